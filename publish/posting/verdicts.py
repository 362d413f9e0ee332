"""What the error of a platform means for a step, by its class in the platform's error catalogue."""

from collections.abc import Callable, Mapping

import structlog

from ops.runtime import metrics
from ops.runtime.platform_protocol import Response
from publish.posting.contract import Doubt, Failed, Hold, Job, Retry, TokenRefused, Unknown, Verdict, Wait
from publish.posting.decision import DOUBT, REPEATED
from publish.preflight.error_catalogue import (
    Classified,
    ErrorCatalogue,
    ErrorClass,
    ReportedError,
    classify,
    classify_error,
)

QUOTA_SECONDS = 1800.0
"""How often it is tried again where an account has published all that it may for now."""

WAIT_SECONDS = 60.0
"""The least pause where too much was asked in a short time; headers that name a longer one are kept by themselves."""

READY_SECONDS = 15.0

log = structlog.get_logger()

Make = Callable[[Classified], Verdict]


def _failed(code: str = "") -> Make:
    return lambda said: Failed(
        said.user_code or code or said.code, f"{said.message} {_remedy(said)}".strip(), retryable=said.retryable
    )


def _remedy(said: Classified) -> str:
    """Return what a person can do; that it is made again by itself is no remedy where nothing can make it again."""
    return "Post it again." if said.error_class is ErrorClass.ANEW else said.remedy


def is_repeat(job: Job) -> bool:
    """Return whether an earlier request for the same may have had its effect after all."""
    return DOUBT in job.kept or REPEATED in job.kept


_BY_CLASS: Mapping[ErrorClass, Make] = {
    ErrorClass.UNKNOWN_OUTCOME: lambda said: Unknown(f"{said.message} Its code: {said.code}."),
    ErrorClass.AGAIN: lambda said: Retry(said.user_code or said.code, said.message, said.wait_seconds),
    ErrorClass.NOT_READY: lambda said: Wait(max(said.wait_seconds, READY_SECONDS), said.message),
    ErrorClass.WAIT: lambda said: Hold(
        max(said.wait_seconds, WAIT_SECONDS), said.user_code or "rate_limit_exceeded", said.message
    ),
    ErrorClass.QUOTA: lambda said: Hold(
        max(said.wait_seconds, QUOTA_SECONDS), said.user_code or "rate_limit_exceeded", said.message
    ),
    ErrorClass.TOKEN: lambda said: TokenRefused(said.code),
    ErrorClass.PERMISSION: _failed("scope_not_authorized"),
}


def error_verdict(
    catalogue: ErrorCatalogue, job: Job, response: Response, *, commit: bool = False, anew: Verdict | None = None
) -> Verdict | None:
    """Return what an error means; None if the response is no error.

    ``commit``: the request makes something visible, so what the catalogue does not have leaves its outcome unknown.
    ``anew`` is taken where the container, upload or address is of no use any more and a new one may be made; a failure
    without it.
    """
    said = classify(catalogue, response, commit=commit, repeated=is_repeat(job))
    return None if said is None else _of_class(_noted(job, said), anew)


def unread_verdict(catalogue: ErrorCatalogue, job: Job, response: Response) -> Verdict | None:
    """Return what an error means that answers a look for a post which may be there; None if the response is no error.

    That the post could not be looked for says nothing against it: a person is asked.
    """
    problem = error_verdict(catalogue, job, response)
    return in_doubt(job, problem.message) if isinstance(problem, Failed) else problem


def in_doubt(job: Job, message: str, *evidence: str) -> Doubt:
    """Return a question to a person, with why the outcome is unknown and what else is known of it."""
    return Doubt(message, [each for each in (job.kept_text(DOUBT), *evidence) if each])


def reported_verdict(
    catalogue: ErrorCatalogue, job: Job, error: ReportedError, *, anew: Verdict | None = None
) -> Verdict:
    """Return what an error means that a status reports, such as the reason of a publish that failed."""
    return _of_class(_noted(job, classify_error(catalogue, error, OK, commit=False)), anew)


def _noted(job: Job, said: Classified) -> Classified:
    """Count an error that the catalogue does not have, and show operators what the platform said."""
    if not said.catalogued:
        metrics.of(metrics.post_unknown_errors, job.platform).inc()
        log.warning("posting.unknown_error", platform=job.platform, kind=job.kind, target=job.id, said=said.raw)
    return said


OK = 200
"""The status of a response that reports an error of something else."""


def _of_class(said: Classified, anew: Verdict | None) -> Verdict:
    if said.error_class is ErrorClass.ANEW and anew is not None:
        return anew
    return _BY_CLASS.get(said.error_class, _failed())(said)
