"""Find a post of ours in a list: times, texts, and which listed post may be ours at all."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from publish.oauth.contract import App
from publish.posting.contract import Doubt, Job, Looks, Published, Wait
from publish.posting.matching import folded, normal, one_of, tagless, time_of, unbound

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
SECONDS = int(NOON.timestamp())
JOB = Job("t1", "text", App("", "", "", {}), "1", "Tea", {}, now=NOON, intent_at=NOON, bound=frozenset(["7"]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (SECONDS, NOON),
        (float(SECONDS), NOON),
        (SECONDS * 1000, NOON),
        (str(SECONDS), NOON),
        ("2026-11-28T12:00:00Z", NOON),
        ("2026-11-28T13:00:00+0100", NOON),
        ("2026-11-28T12:00:00", NOON),
        *((value, None) for value in ("soon", "", None, True, -5, 10**30, [], {})),
    ],
)
def test_time_of_a_post_in_each_form_that_platforms_give(value: object, expected: datetime | None) -> None:
    assert time_of(value) == expected


def test_texts_are_compared_without_what_platforms_change_about_them() -> None:
    assert normal(" Cafe\u0301 &amp;\n cake ") == normal("Caf\u00e9 & cake")
    assert normal(None) == ""
    assert folded("Tea &amp; cake") == "Tea &amp; cake", "a text that has no entities has none to undo"
    assert tagless('<p class="quote-inline">RE: x</p><p>Tea</p><p>and<br/>cake</p>') == "Tea\nand\ncake"
    assert tagless(None) == ""


def test_only_a_post_made_since_the_intent_that_no_other_target_holds_may_be_ours() -> None:
    before = (NOON - timedelta(seconds=121)).isoformat()
    listed = [
        *({"id": "7", "at": NOON.isoformat()}, {"id": "2", "at": before}, {"at": NOON.isoformat()}),
        *({"id": "3", "at": (NOON - timedelta(seconds=119)).isoformat()}, {"id": "4"}),
    ]
    assert [post["id"] for post in unbound(JOB, listed, lambda _: True, created="at")] == ["3", "4"]
    assert unbound(JOB, listed, lambda _: False, created="at") == []


def test_one_is_ours_several_are_a_question_and_none_is_looked_for_again() -> None:
    looks, doubt = Looks(2, 60), Doubt("nothing there")

    def found(job: Job, *ids: str) -> object:
        posts = [{"id": each} for each in ids]
        return one_of(job, posts, lambda post: Published(post["id"]), looks, doubt, shown=lambda post: post["id"])

    assert found(JOB, "1") == Published("1")
    several = found(JOB, "1", "2")
    assert isinstance(several, Doubt)
    assert several.evidence == ["1", "2"]
    here = replace(JOB, step_since=NOON - timedelta(seconds=60), kept={"looks": 1})
    assert isinstance(found(replace(here, kept={})), Wait)
    assert isinstance(found(replace(here, step_since=NOON)), Wait)
    assert found(here) is doubt
