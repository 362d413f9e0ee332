"""What the errors of a platform mean, as data, and :func:`classify`, which reads a response by it."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from ops.runtime.platform_protocol import Response, identifier


class ErrorClass(StrEnum):
    """What an error means for the step that it answered.

    - unknown_outcome: what was asked for may have happened; look before anything is sent again.
    - not_done: it did not happen, and the same request would be refused again.
    - again: it did not happen; the same request may succeed later.
    - anew: it did not happen; the container, upload or address is of no use any more, and a new one may be made.
    - not_ready: it did not happen yet, as what it needs is still being processed.
    - wait: it did not happen, as too much was asked in a short time.
    - quota: it did not happen, as the account has published all that it may for now.
    - token: the platform does not accept the access token.
    - permission: a scope, a role or a right on a page is missing.
    - account_stopped: the platform does not let this account publish; its owner must act there.
    - media: a file does not fit.
    - content: the text, a link or an option does not fit.
    - application: our application is not allowed or not set up for it, whichever the account.
    """

    UNKNOWN_OUTCOME = "unknown_outcome"
    NOT_DONE = "not_done"
    AGAIN = "again"
    ANEW = "anew"
    NOT_READY = "not_ready"
    WAIT = "wait"
    QUOTA = "quota"
    TOKEN = "token"  # noqa: S105 -- a word for what is wrong, and no secret
    PERMISSION = "permission"
    ACCOUNT_STOPPED = "account_stopped"
    MEDIA = "media"
    CONTENT = "content"
    APPLICATION = "application"


@dataclass(frozen=True, slots=True)
class ReportedError:
    """What a response says of an error. ``text`` is the platform's message, in lower case.

    ``subcode`` is a second code where the platform has one. ``transient`` is whether the platform says that it will
    pass. ``own`` is False where the error came without the body that the platform's own errors have, as from a proxy.
    """

    code: str = ""
    subcode: str = ""
    text: str = ""
    transient: bool = False
    own: bool = True


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One row of a catalogue. Empty ``codes``, ``subcodes`` and ``statuses`` fit any; ``text`` is part of a message.

    - ``either``: codes that come as the code or as the subcode.
    - ``error_class`` holds for every step; ``on_commit``, where it is given, for one that makes a post visible, and
      ``on_repeat`` for one of which an earlier attempt has an unknown outcome.
    - ``retryable``: whether the same step may be taken again without a person, ``wait_seconds`` later at the earliest.
    - ``user_code``: the code that our own error answers have for it.
    - ``known``: False for a row that holds for all errors of a kind, so that those without a row of their own count as
      not in the catalogue.
    """

    error_class: ErrorClass
    message: str
    remedy: str
    source: str
    codes: Collection[str] = ()
    subcodes: Collection[str] = ()
    either: Collection[str] = ()
    statuses: Collection[int] = ()
    text: str = ""
    transient: bool | None = None
    own: bool | None = None
    on_commit: ErrorClass | None = None
    on_repeat: ErrorClass | None = None
    retryable: bool = False
    wait_seconds: float = 0.0
    user_code: str = ""
    known: bool = True

    def fits(self, error: ReportedError, status: int) -> bool:
        """Return whether the rule holds for an error, with the HTTP status of its response."""
        return (
            (not self.codes or error.code in self.codes)
            and (not self.subcodes or error.subcode in self.subcodes)
            and (not self.either or bool({error.code, error.subcode} & {*self.either}))
            and (not self.statuses or status in self.statuses)
            and (self.transient is None or error.transient is self.transient)
            and (self.own is None or error.own is self.own)
            and self.text in error.text
        )


@dataclass(frozen=True, slots=True)
class ErrorCatalogue:
    """``read`` gives what a response says, None if it is no error. The first rule that fits counts."""

    read: Callable[[Response], ReportedError | None]
    rules: Sequence[ErrorRule]


@dataclass(frozen=True, slots=True)
class Classified:
    """What an error response means.

    - ``code``: the platform's code and subcode, safe to store.
    - ``retryable``: whether the same step may be taken again without a person.
    - ``user_code``: the code for our own error answers; empty where there is none of its own.
    - ``wait_seconds``: the least time before that, beside what the platform asks for in its headers.
    - ``catalogued``: whether the catalogue has it. What it has not is to be counted and shown to operators.
    - ``raw``: what the platform said, for operators, without what may be a secret.
    """

    error_class: ErrorClass
    code: str
    message: str
    remedy: str
    retryable: bool = False
    user_code: str = ""
    wait_seconds: float = 0.0
    catalogued: bool = True
    raw: str = ""


LONGEST_RAW = 300

_OPAQUE = re.compile(r"[^\s\"'<>(){},;]{12,}")
"""What may be a token, an id or an address: an error may repeat whatever was sent."""

LOOK = "Landfall looks whether the post is there before it sends anything again."

_NOT_KNOWN = "The platform answered with an error, and whether the post is there is not known yet."


def classify(
    catalogue: ErrorCatalogue, response: Response, *, commit: bool, repeated: bool = False
) -> Classified | None:
    """Return what a response means that is an error; None if it is none.

    ``commit`` is whether the request makes a post visible, ``repeated`` whether an earlier attempt of it has an unknown
    outcome. An error that the catalogue does not have leaves the outcome of a commit unknown, and so does any with a
    status of 500 or more.
    """
    error = catalogue.read(response)
    if error is None:
        return None
    return classify_error(catalogue, error, response.status, commit=commit, repeated=repeated)


def classify_error(
    catalogue: ErrorCatalogue, error: ReportedError, status: int, *, commit: bool, repeated: bool = False
) -> Classified:
    """Return what an error means, also one that a status reports, with the HTTP status of that response."""
    code = _code(error)
    shown = code if identifier(code) == code else without_secrets(code)
    raw = " ".join(part for part in (str(status), shown, without_secrets(error.text)) if part)
    for rule in catalogue.rules:
        if rule.fits(error, status):
            return _by_rule(rule, error, status, raw, commit=commit, repeated=repeated)
    stored = said(error, status)
    if commit:
        return Classified(ErrorClass.UNKNOWN_OUTCOME, stored, _NOT_KNOWN, LOOK, catalogued=False, raw=raw)
    error_class = _by_status(status)
    retryable = error_class in {ErrorClass.AGAIN, ErrorClass.WAIT}
    remedy = "It is tried again by itself." if retryable else "Ask the operator what the platform means by it."
    message = f"The platform answered {stored}."
    return Classified(error_class, stored, message, remedy, retryable, catalogued=False, raw=raw)


def said(error: ReportedError, status: int, known: Collection[str] = ()) -> str:
    """Return the code of an error, safe to store: the platform's, else the HTTP status.

    A code that is one of ``known`` is safe whatever its form.
    """
    code = _code(error)
    return code if code and code in known else identifier(code) or str(status)


def without_secrets(text: str) -> str:
    """Return what a platform said, cut, with everything left out that may be a token, an id or an address."""
    return _OPAQUE.sub(lambda found: "…" if _may_be_secret(found[0]) else found[0], text)[:LONGEST_RAW]


def _may_be_secret(word: str) -> bool:
    return len(word) > 60 or any(not (character.isalpha() or character in "_-.:") for character in word)


def _code(error: ReportedError) -> str:
    return "/".join(part for part in (error.code, error.subcode) if part)


def _by_rule(
    rule: ErrorRule, error: ReportedError, status: int, raw: str, *, commit: bool, repeated: bool
) -> Classified:
    error_class = rule.error_class
    if commit:
        error_class = rule.on_commit or error_class
        error_class = rule.on_repeat or error_class if repeated else error_class
        error_class = ErrorClass.UNKNOWN_OUTCOME if status >= 500 else error_class
    unknown = error_class is ErrorClass.UNKNOWN_OUTCOME
    return Classified(
        error_class,
        said(error, status, (*rule.codes, *rule.either)),
        rule.message,
        LOOK if unknown else rule.remedy,
        rule.retryable and not unknown,
        rule.user_code,
        rule.wait_seconds,
        rule.known,
        raw,
    )


def _by_status(status: int) -> ErrorClass:
    if status == 429:
        return ErrorClass.WAIT
    if status >= 500:
        return ErrorClass.AGAIN
    if status == 401:
        return ErrorClass.TOKEN
    return ErrorClass.PERMISSION if status == 403 else ErrorClass.NOT_DONE
