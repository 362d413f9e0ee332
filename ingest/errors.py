"""What can go wrong between a request and its commit, and the answer each becomes.

::

    Refusal                  the sender is told no
    ├── UnknownPlatform      404   final
    ├── NotConfigured        503   later: an operator must set a secret
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


class Refusal(Exception):  # noqa: N818  a refusal is an answer, not a fault of ours
    """An answer other than 200. ``retry_after`` is in seconds, None where trying again cannot help."""

    status: ClassVar[int]
    code: ClassVar[str]
    retry_after: ClassVar[int | None] = None
    remedy: ClassVar[str]

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason or self.code


class UnknownPlatform(Refusal):
    status, code = 404, "unknown_platform"
    remedy = "Check the address: /api/webhooks/{platform}."


class NotConfigured(Refusal):
    status, code, retry_after = 503, "not_configured", 60
    remedy = "Set the secret this platform signs with and restart; nothing is accepted unverified."


class Broken(Refusal):
    status, code = 400, "body_broken"
    remedy = "Send the body whole, with its length or in chunks."


class Encoded(Refusal):
    status, code = 415, "content_encoding"
    remedy = "Send the body as it was signed, without Content-Encoding."


class TooLarge(Refusal):
    status, code = 413, "body_too_large"
    remedy = "Send fewer changes in one request, or raise LANDFALL_BODY_LIMIT."


class TooSlow(Refusal):
    status, code, retry_after = 408, "body_too_slow", 1
    remedy = "Send the body without pauses."


class Forged(Refusal):
    status, code = 401, "signature"
    remedy = "Sign the exact bytes of the body with the app's current secret; see `landfall doctor`."


class Overloaded(Refusal):
    status, code, retry_after = 503, "overloaded", 2
    remedy = "Send it again after Retry-After; nothing was stored."


class Unavailable(Refusal):
    status, code, retry_after = 503, "log_unavailable", 2
    remedy = "Send it again after Retry-After; if it was stored after all it will count once."


class Unexpected(Refusal):
    status, code, retry_after = 503, "unexpected", 5
    remedy = "Send it again after Retry-After. Operators: the log has the trace, as request.failed."


class Unidentifiable(ValueError):  # noqa: N818
    """A change without a usable identity."""
