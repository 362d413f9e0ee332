"""What becomes of a target after a step: from a verdict to an outcome. Pure, so that every path can be explored.

Three rules hold for every machine. What only reads decides nothing against a post that may be there: it ends in a
question to a person, and never in *failed*. What is published stays published, whatever a later reading meets. And a
request whose outcome is unknown is followed by what its step declares, and by nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from ops.runtime.periodic import RetryPolicy
from publish.posting.contract import (
    AFTERWARDS,
    AGAIN,
    ASK_PERSON,
    Doubt,
    Effect,
    Failed,
    Go,
    HandedOver,
    Hold,
    JsonValue,
    Machine,
    Published,
    PublishedUnnamed,
    Retry,
    Step,
    Unknown,
    Verdict,
    Wait,
)
from schema.states import TargetState

TRIES = 3
"""Of a step that was not done, in a row; then the target fails and a person may try again."""

READ_TRIES = 12
"""Of a step that only reads: a platform may be away for an hour while nothing of ours is at stake."""

RETRIES = RetryPolicy.exponential(10, 600)
"""Pauses after failures in a row, in seconds."""

SETTLE_SECONDS = 10.0
"""How long a request whose outcome is unknown is left alone before it is looked for."""

LOCATE_SECONDS = 30.0
"""How long a post whose id is not known is left alone before it is looked for."""

MOST_COMMITS = 3
"""How often a request that makes something visible is sent for one attempt, at most."""

VISIBLE = (Effect.COMMIT, Effect.KEYED)
"""Effects that people see."""

DOUBT = "doubt"
"""Kept while a request that people may see the effect of has an unknown outcome: why it is unknown."""

REPEATED = "repeated"
"""Kept once a request is sent again that an earlier look did not find the effect of, until other things are asked for.

The look may have been too early, so what only proves that a first request came to nothing proves nothing here.
"""

LOOKS = "looks"
"""Kept by a step that looks for something: how often it did. It counts for one step."""


LOG_DIGESTS = "log_digests"
"""Kept by a step that reads the log: a digest of what was seen there, by table."""

RESTORED_SINCE = "restored_since"
"""Kept of what was there when the database was restored: since when it may have been posted without a row that says so.

It is looked for once its turn comes, before anything is sent, and then forgotten.
"""


ASIDE = "aside"
"""Kept of what is published: ``code`` and ``message`` of what was to happen beside it, and did not or may not have."""


class Progress(Protocol):
    """How far a target has come."""

    @property
    def state(self) -> TargetState: ...
    @property
    def step(self) -> str: ...
    @property
    def failures(self) -> int: ...
    @property
    def intent_at(self) -> datetime | None: ...
    @property
    def kept(self) -> Mapping[str, JsonValue]: ...
    @property
    def asked(self) -> bool:
        """Whether a request of this step may have been sent whose outcome nobody stored."""

    @property
    def commits(self) -> int:
        """How many requests that people see the effect of were about to be sent for this attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What becomes of a target. ``state`` and ``step`` are where it goes; ``seconds`` when to work on it again, None
    for never by itself. ``same_step``: its time at the step goes on. ``uncounted``: the request costs no attempt.
    """

    state: TargetState
    step: str
    seconds: float | None
    same_step: bool = False
    failures: int = 0
    kept: Mapping[str, JsonValue] = field(default_factory=dict)
    sealed: bytes | None = field(default=None, repr=False)
    code: str | None = None
    message: str | None = None
    retryable: bool | None = None
    evidence: Sequence[str] = ()
    post_id: str = ""
    url: str = ""
    published: bool = False
    end_links: bool = False
    new_attempt: bool = False
    uncounted: bool = False


def decide(target: Progress, machine: Machine, verdict: Verdict) -> Outcome:
    """Return what becomes of a target that is at a step of its machine."""
    step = machine.steps[target.step]
    if isinstance(verdict, Unknown):
        verdict = _after_unknown(step, verdict)
    outcome = _RULES[type(verdict)](target, machine, step, verdict)
    kept = _kept(target, machine, outcome, verdict)
    return replace(
        _with_aside(outcome, kept),
        kept=kept,
        end_links=verdict.end_links or verdict.new_links or outcome.seconds is None,
        new_attempt=verdict.new_links,
    )


def _with_aside(outcome: Outcome, kept: Mapping[str, JsonValue]) -> Outcome:
    """Return the outcome with what is to be said of what was to happen beside the post, once that is published."""
    aside = kept.get(ASIDE)
    if not isinstance(aside, dict) or outcome.state not in AFTERWARDS or outcome.code is not None:
        return outcome
    return replace(outcome, code=str(aside.get("code")), message=str(aside.get("message")), retryable=False)


def without_asking(target: Progress, step: Step) -> Verdict | None:
    """Return what is known of a target before its step is asked; None where it is to be asked."""
    if step.effect not in VISIBLE:
        return None
    if target.asked:
        return Unknown("the process that sent it is gone")
    if target.commits >= MOST_COMMITS:
        return Doubt("The platform was asked several times to publish it and never said that it did; look there.")
    return None


def _after_unknown(step: Step, verdict: Unknown) -> Verdict:
    """Return what the step declares for an unknown outcome."""
    if step.unknown == ASK_PERSON:
        message = "It was sent, and no answer tells whether it is there. Look there, and say what you see."
        return Doubt(message, [verdict.reason])
    kept = {**verdict.keep, **({DOUBT: verdict.reason} if step.effect in VISIBLE else {})}
    if step.unknown == AGAIN:
        message = f"No answer tells what came of the last request ({verdict.reason}); it is asked again."
        return Retry("unknown_outcome", message, keep=kept)
    return Go(step.unknown, SETTLE_SECONDS, keep=kept)


def _kept(target: Progress, machine: Machine, outcome: Outcome, verdict: Verdict) -> dict[str, JsonValue]:
    step, after = machine.steps[target.step], machine.steps.get(outcome.step)
    kept = {**target.kept, **verdict.keep}
    if outcome.state in (TargetState.PREPARING, TargetState.UPLOADING):
        kept.pop(REPEATED, None)
    if step.state == TargetState.UNCONFIRMED and after is not None and after.effect in VISIBLE:
        kept[REPEATED] = True
    if not outcome.same_step and LOOKS not in verdict.keep:
        kept.pop(LOOKS, None)
    known = not outcome.same_step and DOUBT not in verdict.keep and outcome.state != TargetState.UNCONFIRMED
    if known and (step.effect in VISIBLE or step.state == TargetState.UNCONFIRMED):
        kept.pop(DOUBT, None)
    return kept


def _go(target: Progress, machine: Machine, step: Step, verdict: Go) -> Outcome:
    if verdict.step not in (*step.leads_to, step.unknown):
        message = f"The step {target.step} does not lead to {verdict.step}; report this target."
        return _doubtful(target, machine, step, Doubt(message))
    return Outcome(state=machine.steps[verdict.step].state, step=verdict.step, seconds=verdict.seconds)


def _here(target: Progress, step: Step, seconds: float) -> Outcome:
    return Outcome(state=step.state, step=target.step, seconds=seconds, same_step=True)


def _wait(target: Progress, _: Machine, step: Step, verdict: Wait) -> Outcome:
    return _here(target, step, max(verdict.seconds, 0.5))


def _hold(target: Progress, _: Machine, step: Step, verdict: Hold) -> Outcome:
    return replace(
        _here(target, step, max(verdict.seconds, 1.0)),
        failures=target.failures,
        code=verdict.code,
        message=verdict.message,
        retryable=True,
        uncounted=step.effect in VISIBLE,
    )


def _retry(target: Progress, machine: Machine, step: Step, verdict: Retry) -> Outcome:
    failures = target.failures + 1
    if failures < (READ_TRIES if step.effect is Effect.READ else TRIES):
        return replace(
            _here(target, step, 0.0 if verdict.at_once else max(RETRIES.delay(failures), verdict.seconds)),
            failures=failures,
            code=verdict.code,
            message=verdict.message,
            retryable=True,
        )
    if step.effect is Effect.READ and target.intent_at is not None:
        return _doubtful(target, machine, step, Doubt(verdict.message))
    return _failed(target, machine, step, Failed(verdict.code, verdict.message, retryable=True, keep=verdict.keep))


def _published(_target: Progress, _machine: Machine, _step: Step, verdict: Published) -> Outcome:
    return Outcome(
        state=TargetState.PUBLISHED,
        step=verdict.step,
        seconds=0.0 if verdict.step else None,
        post_id=verdict.post_id,
        url=verdict.url,
        published=True,
    )


def _unnamed(_target: Progress, _machine: Machine, _step: Step, verdict: PublishedUnnamed) -> Outcome:
    seconds = LOCATE_SECONDS if verdict.step else None
    return Outcome(state=TargetState.PUBLISHED_ID_UNKNOWN, step=verdict.step, seconds=seconds, published=True)


def _handed_over(_target: Progress, _machine: Machine, _step: Step, verdict: HandedOver) -> Outcome:
    return Outcome(
        state=TargetState.AWAITING_PERSON, step=verdict.step, seconds=None, message=verdict.message, published=True
    )


def _doubtful(target: Progress, _: Machine, step: Step, verdict: Doubt) -> Outcome:
    if step.state in AFTERWARDS:
        return _quiet(target, step)
    return Outcome(
        state=TargetState.UNCONFIRMED,
        step=target.step,
        seconds=None,
        code="unconfirmed",
        message=verdict.message,
        retryable=False,
        evidence=shown_evidence(target, verdict),
    )


def shown_evidence(target: Progress, verdict: Doubt) -> Sequence[str]:
    """Return what a person sees who decides: why the outcome is unknown, what was looked at, and never nothing."""
    unknown = verdict.keep.get(DOUBT) or target.kept.get(DOUBT)
    found = [str(said) for said in (unknown, *verdict.evidence) if said]
    return list(dict.fromkeys(found)) or [f"the step {target.step}, of which nothing else is known"]


ABOUT_THE_QUESTION = ("access_token_invalid", "scope_not_authorized", "media_changed")
"""Why a reading was refused, or could not be made. None of them tells what became of an earlier request."""


def _failed(target: Progress, machine: Machine, step: Step, verdict: Failed) -> Outcome:
    if step.state in AFTERWARDS:
        return _quiet(target, step)
    unanswered = verdict.unasked or verdict.code in ABOUT_THE_QUESTION
    reading = step.effect is Effect.READ and target.intent_at is not None
    doubted = step.effect in VISIBLE and (DOUBT in target.kept or DOUBT in verdict.keep)
    if (reading and unanswered) or doubted:
        return _doubtful(target, machine, step, Doubt(verdict.message, keep=verdict.keep))
    return Outcome(
        state=TargetState.FAILED,
        step=target.step,
        seconds=None,
        failures=target.failures + 1,
        code=verdict.code,
        message=verdict.message,
        retryable=verdict.retryable,
    )


def _quiet(target: Progress, step: Step) -> Outcome:
    """It stays published: only what was still to be read of it is not known, unless the log tells it later."""
    return Outcome(state=target.state, step=target.step if step.read_log is not None else "", seconds=None)


_RULES: Mapping[type[Verdict], Callable[..., Outcome]] = {
    Go: _go,
    Wait: _wait,
    Hold: _hold,
    Retry: _retry,
    Published: _published,
    PublishedUnnamed: _unnamed,
    HandedOver: _handed_over,
    Doubt: _doubtful,
    Failed: _failed,
}
