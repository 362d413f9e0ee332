"""The errors between a request and its commit, and the answer each becomes.

::

    Refusal                  an answer other than 200
    ├── UnknownPlatform      404   final
    ├── NotConfigured        503   later: an operator must set a secret
    ├── HandshakeRefused     403   final: not the configured token
    ├── BadChallenge         400   final: a challenge that cannot be echoed
    ├── Broken               400   final: the body is not framed as HTTP has it
    ├── Encoded              415   final: only identity encoding can be verified
    ├── TooLarge             413   final
    ├── TooSlow              408   again
    ├── Forged               401   final; ``reason`` is one of a closed set
    ├── Overloaded           503   again, after Retry-After
    ├── Unavailable          503   again, after Retry-After: nothing was acknowledged, the outcome may be unknown
    └── Unexpected           503   again, after Retry-After: a bug of ours
    Unidentifiable           one change whose identity cannot be told: parked, its siblings live
"""

from typing import ClassVar

from ops.runtime.responses import Code, Failure


class Refusal(Exception):  # noqa: N818  a refusal is an answer, not a fault of ours
    """An answer other than 200.

    ``outcome`` is its label in metrics, ``reason`` the same or finer. ``retry_after`` is in seconds, None where trying
    again cannot help. ``remedy`` says what to do, in place of what its class says.
    """

    status: ClassVar[int]
    code: ClassVar[Code]
    outcome: ClassVar[str]
    retry_after: ClassVar[int | None] = None
    remedy: str

    def __init__(self, message: str, reason: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or self.outcome
        if remedy is not None:
            self.remedy = remedy

    @property
    def failure(self) -> Failure:
        """The content of the answer."""
        again = self.retry_after is not None
        return Failure(self.status, self.code, str(self), self.remedy, again, {"reason": self.reason})


class UnknownPlatform(Refusal):
    status, code, outcome = 404, "unknown_platform", "unknown_platform"
    remedy = "Check the address: /api/webhooks/{platform}."


class NotConfigured(Refusal):
    status, code, outcome, retry_after = 503, "not_configured", "not_configured", 60
    remedy = "Set the secret this platform signs with and restart; nothing is accepted unverified."


class HandshakeRefused(Refusal):
    status, code, outcome = 403, "handshake_refused", "handshake_refused"
    remedy = (
        "In a browser, do nothing: the platform asks this itself when the address is entered in its portal. There,"
        " enter the configured token."
    )


class BadChallenge(Refusal):
    status, code, outcome = 400, "invalid_request", "bad_challenge"
    remedy = "Send the challenge of the platform's documentation."


class Broken(Refusal):
    status, code, outcome = 400, "body_broken", "body_broken"
    remedy = "Send the body whole, with its length or in chunks."


class Encoded(Refusal):
    status, code, outcome = 415, "content_encoding", "content_encoding"
    remedy = "Send the body as it was signed, without Content-Encoding."


class TooLarge(Refusal):
    status, code, outcome = 413, "body_too_large", "body_too_large"
    remedy = "Send fewer changes in one request, or raise LANDFALL_BODY_LIMIT."


class TooSlow(Refusal):
    status, code, outcome, retry_after = 408, "body_too_slow", "body_too_slow", 1
    remedy = "Send the body without pauses."


class Forged(Refusal):
    status, code, outcome = 401, "invalid_signature", "signature"
    remedy = "Sign the exact bytes of the body with the app's current secret; see `landfall doctor`."


class Overloaded(Refusal):
    status, code, outcome, retry_after = 503, "overloaded", "overloaded", 2
    remedy = "Send it again after Retry-After; nothing was stored."


class Unavailable(Refusal):
    status, code, outcome, retry_after = 503, "processing_failed", "log_unavailable", 2
    remedy = "Send it again after Retry-After; if it was stored after all it will count once."


class Unexpected(Refusal):
    status, code, outcome, retry_after = 503, "processing_failed", "unexpected", 5
    remedy = "Send it again after Retry-After. Operators: the log has the trace, as request.failed."


class Unidentifiable(ValueError):  # noqa: N818
    """A change without a usable identity."""
