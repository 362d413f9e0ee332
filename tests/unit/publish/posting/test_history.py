"""What happens next with a target, in every state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from publish.posting.history import Next, history_of, next_of
from publish.posting.post_store import StoredPost, StoredTarget, TargetEvent
from schema.states import TargetState

NOW = datetime(2027, 5, 1, 9, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)

TARGET = StoredTarget(
    id="t",
    post_id="p",
    connection_id="c",
    platform="x",
    account="me",
    parent_id=None,
    position=0,
    kind="text",
    content=None,
    untagged=None,
    link_url=None,
    options={},
    digest=b"",
    repeats=False,
    state=TargetState.SCHEDULED,
    step="",
    attempt=1,
    failures=0,
    due_at=LATER,
    leased=False,
    platform_post_id=None,
    platform_post_url=None,
    error_code=None,
    error_message=None,
    retryable=None,
    evidence=(),
    published_at=None,
    worked_at=None,
    asked=False,
    slot_at=None,
    slot_local_time=None,
    slot_zone=None,
    tzdata=None,
    moved_from=None,
    edited_at=None,
    deleted_at=None,
    media=(),
)
POST = StoredPost(
    id="p",
    content="Tea",
    link={},
    hashtags=(),
    campaign_id=None,
    utm=False,
    author="user:ada",
    version=2,
    needs_approval=False,
    approved_version=None,
    approved_by=None,
    scheduled_at=LATER,
    local_time=None,
    zone=None,
    late_policy="publish",
    late_seconds=86_400,
    schedule_id=None,
    created_at=NOW,
    updated_at=NOW,
    media=(),
    targets=(TARGET,),
)


def said(state: TargetState, **changes: object) -> tuple[str, datetime | None, str]:
    found: Next = next_of(replace(TARGET, state=state, **changes), POST, NOW)  # type: ignore[arg-type]
    return found.waits_for, found.at, found.words


@pytest.mark.parametrize("state", TargetState)
def test_every_state_says_in_a_sentence_what_happens_next(state: TargetState) -> None:
    for due_at in (None, NOW, LATER):
        for leased in (False, True):
            waits_for, at, words = said(state, due_at=due_at, leased=leased)
            assert words.endswith(".")
            assert at is None or at > NOW, "a time that is past is none at which something happens"
            assert waits_for


def test_planned_target_waits_for_its_time_then_for_a_worker() -> None:
    assert said(TargetState.SCHEDULED) == ("time", LATER, "Publishing begins.")
    assert said(TargetState.SCHEDULED, due_at=NOW)[:2] == ("worker", None)
    assert said(TargetState.SCHEDULED, leased=True)[2] == "A worker is on it at this moment."
    assert said(TargetState.SCHEDULED, due_at=None)[0] == "target", "a further part follows the one before it"


def test_what_did_not_work_is_tried_again_at_its_time() -> None:
    assert said(TargetState.UPLOADING, failures=1) == (
        "time",
        LATER,
        "It is tried again; so far it did not work once.",
    )
    assert "did not work 2 times" in said(TargetState.UPLOADING, failures=2)[2]


def test_platform_is_asked_again_how_far_it_is_and_looked_at_for_what_is_in_doubt() -> None:
    assert said(TargetState.PROCESSING) == ("platform", LATER, "The platform is asked how far it is.")
    assert said(TargetState.UNCONFIRMED) == ("platform", LATER, "It is looked for at the platform.")
    assert said(TargetState.PUBLISHED_ID_UNKNOWN, due_at=None)[0] == "platform"


def test_person_is_waited_for_where_only_a_person_can_go_on() -> None:
    assert said(TargetState.UNCONFIRMED, due_at=None)[0] == "editor"
    assert said(TargetState.AWAITING_PERSON, due_at=None)[0] == "owner"
    waits_for, at, words = said(TargetState.AWAITING_APPROVAL, due_at=None)
    assert (waits_for, at) == ("approval", LATER)
    assert words == "Somebody other than user:ada has to approve version 2 first."
    assert "it may work" in said(TargetState.FAILED, due_at=None, retryable=True)[2]
    assert "correct what it says" in said(TargetState.FAILED, due_at=None, retryable=False)[2]


def test_history_has_the_events_of_each_target_with_that_target() -> None:
    other = replace(TARGET, id="u")
    events = [TargetEvent(id_, NOW, TargetState.SCHEDULED, "", 0, None, None, None) for id_ in ("t", "u", "t")]
    found = history_of(replace(POST, targets=(TARGET, other)), events, NOW)
    assert [(each.target.id, len(each.events)) for each in found.targets] == [("t", 2), ("u", 1)]
