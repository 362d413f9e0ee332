"""What a verdict makes of a target: three rules that no machine can break."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from publish.posting.contract import (
    Doubt,
    Failed,
    Go,
    HandedOver,
    Hold,
    Machine,
    Published,
    PublishedUnnamed,
    Retry,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.decision import ASIDE, DOUBT, MOST_COMMITS, READ_TRIES, REPEATED, TRIES, decide, without_asking
from schema.states import TargetState
from tests.unit.publish.posting.test_contract import STEPS

MACHINE = Machine("whole", "Whole", STEPS, "make")
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
ENDLESS: list[Verdict] = [
    Failed("media_refused", "no"),
    Doubt("who knows"),
    *(Retry("unreachable", "not reached"), Unknown("no answer")),
]


@dataclass
class At:
    step: str
    failures: int = 0
    intent_at: datetime | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    asked: bool = False
    commits: int = 0

    @property
    def state(self) -> TargetState:
        return MACHINE.steps[self.step].state


@pytest.mark.parametrize("verdict", [Published("1"), PublishedUnnamed(), *ENDLESS])
def test_what_did_not_happen_beside_a_published_post_is_said_and_changes_nothing_of_it(verdict: Verdict) -> None:
    aside = {"code": "story_share_failed", "message": "It was not shared."}
    outcome = decide(At("show", failures=READ_TRIES, kept={ASIDE: aside}), MACHINE, verdict)
    assert outcome.state in (TargetState.PUBLISHED, TargetState.PUBLISHED_ID_UNKNOWN)
    assert (outcome.code, outcome.message, outcome.retryable) == ("story_share_failed", "It was not shared.", False)


@pytest.mark.parametrize("verdict", ENDLESS)
def test_what_is_published_stays_published_whatever_a_reading_meets(verdict: Verdict) -> None:
    outcome = decide(At("show", failures=READ_TRIES), MACHINE, verdict)
    assert (outcome.state, outcome.seconds) == (TargetState.PUBLISHED, None)


@pytest.mark.parametrize("code", ["access_token_invalid", "scope_not_authorized", "media_changed"])
def test_look_that_cannot_be_made_asks_a_person_and_does_not_fail(code: str) -> None:
    outcome = decide(At("look", intent_at=NOON), MACHINE, Failed(code, "gone", retryable=True))
    assert (outcome.state, outcome.code, outcome.message) == (TargetState.UNCONFIRMED, "unconfirmed", "gone")


def test_look_that_could_not_be_sent_asks_a_person_whatever_the_reason() -> None:
    for code in ("internal", "app", "wrong"):
        outcome = decide(At("look", intent_at=NOON), MACHINE, Failed(code, "not sent", unasked=True))
        assert (outcome.state, outcome.message) == (TargetState.UNCONFIRMED, "not sent")
        before = decide(At("make"), MACHINE, Failed(code, "not sent", unasked=True))
        assert (before.state, before.code) == (TargetState.FAILED, code), "nothing was ever asked for"


@pytest.mark.parametrize("step", ["publish", "look"])
@pytest.mark.parametrize(
    "verdict",
    [
        Doubt("who knows"),
        Doubt("who knows", ["a list without it"]),
        Failed("access_token_invalid", "gone"),
        Retry("unreachable", "not reached"),
        Go("nowhere"),
    ],
)
def test_person_who_decides_always_sees_why_and_what_was_looked_at(step: str, verdict: Verdict) -> None:
    for kept in ({}, {DOUBT: "HTTP 500"}):
        outcome = decide(At(step, READ_TRIES - 1, NOON, kept=dict(kept)), MACHINE, verdict)
        if outcome.state != TargetState.UNCONFIRMED:
            continue
        assert outcome.evidence
        assert all(outcome.evidence), "no empty lines"
        assert ("HTTP 500" in outcome.evidence) is bool(kept)


def test_look_that_is_never_answered_asks_a_person() -> None:
    outcome = decide(At("look", READ_TRIES - 1, NOON), MACHINE, Retry("unreachable", "not reached"))
    assert (outcome.state, outcome.seconds) == (TargetState.UNCONFIRMED, None)


def test_unknown_outcome_of_a_commit_is_looked_up_and_remembered() -> None:
    outcome = decide(At("publish"), MACHINE, Unknown("no answer"))
    assert (outcome.state, outcome.step, outcome.kept) == (TargetState.UNCONFIRMED, "look", {DOUBT: "no answer"})
    again = decide(At("look", kept=dict(outcome.kept), intent_at=NOON), MACHINE, Go("publish"))
    assert (again.step, again.kept) == ("publish", {REPEATED: True}), "the look has decided it, maybe too early"
    anew = decide(At("make", kept=dict(again.kept), intent_at=NOON), MACHINE, Wait(1))
    assert anew.kept == {}, "what is made anew was never asked for"


def test_request_that_a_limit_held_back_costs_no_attempt() -> None:
    held = decide(At("publish"), MACHINE, Hold(60, "rate_limit_exceeded", "too much"))
    assert (held.uncounted, held.failures, held.same_step) == (True, 0, True)
    assert not decide(At("make"), MACHINE, Hold(60, "rate_limit_exceeded", "too much")).uncounted
    assert not decide(At("publish"), MACHINE, Retry("x", "not done")).uncounted


def test_what_the_answer_told_is_kept_though_the_outcome_is_unknown() -> None:
    outcome = decide(At("publish"), MACHINE, Unknown("no answer", keep={"duplicate": True}))
    assert outcome.kept == {DOUBT: "no answer", "duplicate": True}


def test_unknown_outcome_of_what_nobody_sees_is_asked_again() -> None:
    outcome = decide(At("make"), MACHINE, Unknown("no answer"))
    assert (outcome.state, outcome.step, outcome.failures) == (TargetState.PREPARING, "make", 1)
    assert outcome.seconds is not None
    assert outcome.seconds > 0


def test_what_was_not_done_fails_after_three_tries_and_can_be_tried_again() -> None:
    for failures in range(TRIES - 1):
        outcome = decide(At("make", failures), MACHINE, Retry("internal", "try later"))
        assert (outcome.state, outcome.failures) == (TargetState.PREPARING, failures + 1)
    outcome = decide(At("make", TRIES - 1), MACHINE, Retry("internal", "try later"))
    assert (outcome.state, outcome.code, outcome.retryable) == (TargetState.FAILED, "internal", True)


@pytest.mark.parametrize("verdict", [Wait(5), Hold(60, "rate_limit_exceeded", "wait")])
def test_waiting_costs_no_try(verdict: Verdict) -> None:
    outcome = decide(At("look", 1), MACHINE, verdict)
    assert outcome.failures <= 1
    assert outcome.same_step
    assert outcome.seconds in (5, 60)


def test_pause_is_never_shorter_than_the_platform_asks_for() -> None:
    outcome = decide(At("make"), MACHINE, Retry("internal", "later", 500.0))
    assert outcome.seconds == 500.0


def test_step_that_leads_elsewhere_ends_in_a_question() -> None:
    outcome = decide(At("make"), MACHINE, Go("show"))
    assert (outcome.state, outcome.seconds) == (TargetState.UNCONFIRMED, None)


@pytest.mark.parametrize(
    ("verdict", "state", "seconds"),
    [
        (Published("1", "https://x"), TargetState.PUBLISHED, None),
        (Published("1", step="show"), TargetState.PUBLISHED, 0.0),
        (PublishedUnnamed(), TargetState.PUBLISHED_ID_UNKNOWN, None),
        (HandedOver("look into the inbox"), TargetState.AWAITING_PERSON, None),
        (Failed("media_refused", "no"), TargetState.FAILED, None),
    ],
)
def test_ends(verdict: Verdict, state: TargetState, seconds: float | None) -> None:
    outcome = decide(At("publish"), MACHINE, verdict)
    assert (outcome.state, outcome.seconds) == (state, seconds)


def test_request_that_nobody_stored_an_outcome_of_is_unknown_and_many_are_a_question() -> None:
    step = MACHINE.steps["publish"]
    assert isinstance(without_asking(At("publish", asked=True), step), Unknown)
    assert isinstance(without_asking(At("publish", commits=MOST_COMMITS), step), Doubt)
    assert without_asking(At("publish"), step) is None
    assert without_asking(At("make", asked=True), MACHINE.steps["make"]) is None, "nothing visible came of it"


def test_refusal_after_an_unknown_outcome_does_not_say_failed() -> None:
    outcome = decide(At("publish", kept={DOUBT: "no answer"}), MACHINE, Failed("content", "refused"))
    assert outcome.state == TargetState.UNCONFIRMED
