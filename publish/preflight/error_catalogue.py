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

    ``subcode`` is a second code where the platform has one. ``problem`` is False where the error came without the body
    that the platform's own errors have, as from a proxy before it.
    """

    code: str = ""
    subcode: str = ""
    text: str = ""
    problem: bool = True
    wait_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """One row of a catalogue. An empty ``codes``, ``subcodes`` or ``statuses`` fits any; ``text`` is part of a message.

    ``error_class`` holds for every step; ``on_commit``, where it is given, for a step that makes a post visible.
    ``retryable`` is whether the same step may be taken again without a person. ``user_code`` is the code that our own
    error answers have for it.
    """

    error_class: ErrorClass
    message: str
    remedy: str
    source: str
    codes: Sequence[str] = ()
    subcodes: Sequence[str] = ()
    statuses: Sequence[int] = ()
    text: str = ""
    problem: bool | None = None
    on_commit: ErrorClass | None = None
    retryable: bool = False
    user_code: str = ""

    def fits(self, error: ReportedError, status: int) -> bool:
        return (
            (not self.codes or error.code in self.codes)
            and (not self.subcodes or error.subcode in self.subcodes)
            and (not self.statuses or status in self.statuses)
            and (self.problem is None or error.problem is self.problem)
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
    - ``wait_seconds``: for how long the platform asks to wait; 0 if it does not say.
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


def classify(catalogue: ErrorCatalogue, response: Response, *, commit: bool) -> Classified | None:
    """Return what a response means that is an error; None if it is none.

    ``commit`` is whether the request makes a post visible. An error that the catalogue does not have leaves the outcome
    of such a request unknown.
    """
    error = catalogue.read(response)
    if error is None:
        return None
    raw = f"{response.status} {_code(error)}: {without_secrets(error.text)}"
    for rule in catalogue.rules:
        if rule.fits(error, response.status):
            return _by_rule(rule, error, response.status, raw, commit=commit)
    code = said(error, response.status)
    if commit:
        message = f"The platform answered {code} while publishing, and whether the post is there is not known yet."
        return Classified(ErrorClass.UNKNOWN_OUTCOME, code, message, LOOK, catalogued=False, raw=raw)
    error_class = _by_status(response.status)
    retryable = error_class in {ErrorClass.AGAIN, ErrorClass.WAIT}
    remedy = "It is tried again by itself." if retryable else "Ask the operator what the platform means by it."
    message = f"The platform answered {code}."
    wait = error.wait_seconds
    return Classified(error_class, code, message, remedy, retryable, wait_seconds=wait, catalogued=False, raw=raw)


def said(error: ReportedError, status: int, known: Collection[str] = ()) -> str:
    """Return the code of an error, safe to store: the platform's, else the HTTP status.

    A code that is one of ``known`` is safe whatever its form.
    """
    if not error.code:
        return str(status)
    return error.code if error.code in known else identifier(_code(error))


def without_secrets(text: str) -> str:
    """Return what a platform said, cut, with everything left out that may be a token, an id or an address."""
    return _OPAQUE.sub(lambda found: "…" if _may_be_secret(found[0]) else found[0], text)[:LONGEST_RAW]


def _may_be_secret(word: str) -> bool:
    return len(word) > 60 or any(not (character.isalpha() or character in "_-.:") for character in word)


def _code(error: ReportedError) -> str:
    return f"{error.code}/{error.subcode}" if error.subcode else error.code


def _by_rule(rule: ErrorRule, error: ReportedError, status: int, raw: str, *, commit: bool) -> Classified:
    error_class = rule.on_commit if commit and rule.on_commit is not None else rule.error_class
    unknown = error_class is ErrorClass.UNKNOWN_OUTCOME
    return Classified(
        error_class,
        said(error, status, rule.codes),
        rule.message,
        LOOK if unknown and rule.error_class is not ErrorClass.UNKNOWN_OUTCOME else rule.remedy,
        rule.retryable and not unknown,
        rule.user_code,
        error.wait_seconds,
        raw=raw,
    )


def _by_status(status: int) -> ErrorClass:
    if status == 429:
        return ErrorClass.WAIT
    if status >= 500:
        return ErrorClass.AGAIN
    if status == 401:
        return ErrorClass.TOKEN
    return ErrorClass.PERMISSION if status == 403 else ErrorClass.NOT_DONE
