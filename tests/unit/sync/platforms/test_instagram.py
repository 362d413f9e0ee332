"""What readings of Instagram make of rows, beside what webhooks say of the same things (``meta.md`` 10)."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import publish.platforms
from ops.runtime.discovery import discover
from publish.posting.contract import PostingPlatform
from schema.events import Event
from sync.platforms import instagram
from sync.projection.contract import Unprojectable, Want
from tests.instagram_events import ABOUT_ONE_COMMENT, ABOUT_ONE_MEDIA, NOON, SHOP, comment, own, story_insights
from tests.recordings import facts, fold, stated, wants


def media_row(*events: Event, id_: str = "m1") -> dict[str, Any]:
    return fold(events)["ig_media"][SHOP, id_]


def comment_row(*events: Event, id_: str = "c1") -> dict[str, Any]:
    return fold(events)["ig_comments"][SHOP, id_]


def numbers(*events: Event) -> dict[str, Any]:
    """The series of a media, by day."""
    return {day: row["metrics_json"] for (_, _, day), row in fold(events).get("ig_media_metrics", {}).items()}


def figure(name: str, value: Any) -> dict[str, Any]:
    return {"name": name, "period": "lifetime", "values": [{"value": value}]}


LATER = NOON + timedelta(hours=1)


def test_media_has_all_that_was_read_of_it() -> None:
    row = media_row(
        own(
            "media.read", NOON, id="m1", caption="Tea", media_type="CAROUSEL_ALBUM", media_product_type="FEED",
            permalink="https://www.instagram.com/p/x/", shortcode="x", timestamp="2026-01-01T10:00:00+0000",
            username="shop", owner={"id": SHOP}, alt_text="a cup", is_comment_enabled=True, is_ai_generated=False,
            children={"data": [{"id": "k1", "media_type": "IMAGE", "more": 1}, {"id": 5}, {"media_type": "IMAGE"}, 7]},
        ),
        own("media.files", NOON, id="m1", media_url="https://cdn/1", thumbnail_url="https://cdn/2"),
    )  # fmt: skip
    assert (row["caption"], row["shortcode"], row["alt_text"], row["is_own"]) == ("Tea", "x", "a cup", True)
    assert (row["is_comment_enabled"], row["is_ai_generated"], row["is_shared_to_feed"]) == (True, False, None)
    assert row["children"] == '[{"id": "k1", "media_type": "IMAGE"}, {"id": "5"}]', "as jsonb writes it"
    assert (row["media_url"], row["thumbnail_url"]) == ("https://cdn/1", "https://cdn/2")
    assert row["timestamp"] == datetime(2026, 1, 1, 10, tzinfo=UTC)


def test_key_that_an_answer_leaves_out_is_unknown_and_takes_nothing_away() -> None:
    first = own("media.read", NOON, id="m1", caption="Tea", like_count=5, shortcode="x")
    row = media_row(first, own("media.read", LATER, id="m1", comments_count=0))
    assert (row["caption"], row["shortcode"]) == ("Tea", "x")
    assert row["metrics_json"] == {"likes": 5, "comments": 0}, "hidden likes are not 0"


def test_carousel_whose_items_an_answer_leaves_out_keeps_them_and_an_empty_list_is_none() -> None:
    album = own("media.read", NOON, id="m1", children={"data": [{"id": "k1"}]})
    assert media_row(album, own("media.read", LATER, id="m1"))["children"] == '[{"id": "k1"}]'
    assert media_row(album, own("media.read", LATER, id="m1", children={"data": []}))["children"] == "[]"


def test_media_that_is_gone_is_there_again_by_a_later_reading_and_not_by_an_earlier_one_or_by_a_comment() -> None:
    read, gone = own("media.read", NOON, id="m1", caption="Tea"), own("media.gone", LATER, id="m1")
    later = own("media.read", LATER + timedelta(hours=1), id="m1")
    assert media_row(gone, read, comment())["deleted_at"] == LATER
    assert media_row(gone, read)["caption"] == "Tea", "what it was is kept"
    assert media_row(later, gone, read)["deleted_at"] is None, "unarchived"
    assert media_row(own("media.read", LATER, id="m1"), gone)["deleted_at"] == LATER, "at one time gone is stronger"
    figures = own("media.insights", LATER + timedelta(hours=1), id="m1", data=[figure("reach", 1)])
    assert media_row(gone, figures)["deleted_at"] == LATER


def test_media_of_somebody_else_that_mentions_the_account_is_not_its_own() -> None:
    mentioned = own("mentioned_media.read", NOON, id="m1", caption="with @shop", username="else")
    assert media_row(mentioned)["is_own"] is False
    assert media_row(mentioned)["caption"] == "with @shop"
    assert media_row(own("media.read", NOON, id="m1", owner={"id": "another id"}))["is_own"] is None


def test_comment_that_no_webhook_brought_is_a_whole_row() -> None:
    read = own(
        "comment.read", NOON, id="c1", text="hi", timestamp="2026-01-01T10:00:00+0000", hidden=False, like_count=2,
        **{"from": {"id": "7", "username": "alice"}}, media={"id": "m1"}, parent_id="c0",
    )  # fmt: skip
    row = comment_row(read)
    assert (row["text"], row["from_user"], row["from_id"], row["is_own"]) == ("hi", "alice", "7", False)
    assert (row["media_ig_id"], row["parent_ig_id"], row["hidden"]) == ("m1", "c0", False)
    assert row["timestamp"] == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert fold([read])["ig_media"].keys() == {(SHOP, "m1")}, "the media that it refers to"


def test_comment_without_an_author_is_a_valid_row_and_where_it_was_found_says_what_it_is_on() -> None:
    row = comment_row(own("comment.read", NOON, id="c1", listed_media_id="m1", listed_parent_id="c0"))
    assert (row["from_user"], row["text"], row["media_ig_id"], row["parent_ig_id"]) == (None, None, "m1", "c0")
    said = {"media": {"id": "m2"}, "parent_id": "c9", "listed_media_id": "m1", "listed_parent_id": "c0"}
    row = comment_row(own("comment.read", NOON, id="c1", **said))
    assert (row["media_ig_id"], row["parent_ig_id"]) == ("m2", "c9"), "the answer's own word comes first"


OWN_BY_READING = [
    ({"from": {"id": SHOP}}, True),
    ({"user": {"id": "app-scoped"}}, True),
    ({"from": {"id": "7"}}, False),
    ({"username": "shop"}, None),
]


@pytest.mark.parametrize(("said", "is_own"), OWN_BY_READING)
def test_own_comment_is_known_by_its_author_or_by_a_field_that_only_own_ones_have(
    said: dict[str, Any], *, is_own: bool | None
) -> None:
    assert comment_row(own("comment.read", NOON, id="c1", **said))["is_own"] is is_own


def test_comment_stands_where_a_reading_says_unless_a_notification_knows_the_organic_media() -> None:
    plain, read = comment(media="ad"), own("comment.read", NOON, id="c1", media={"id": "m1"})
    assert comment_row(plain, read)["media_ig_id"] == "m1"
    organic = comment(media="ad", original="m9")
    for order in ((plain, read, organic), (organic, read, plain), (read, organic, plain)):
        assert comment_row(*order)["media_ig_id"] == "m9"


def test_look_up_of_a_comment_that_no_listing_shows_is_of_another_kind() -> None:
    def kinds(event: Event) -> set[str]:
        return {want["kind"] for want in wants([event]) if "comment" in want["kind"]}

    assert kinds(comment()) == {"ig_comment"}
    assert kinds(comment(kind="live_comments")) == {"ig_unlisted_comment"}
    assert kinds(comment(media="ad", original="m1")) == {"ig_unlisted_comment"}


def test_look_up_of_a_comment_says_in_which_listing_it_stands() -> None:
    def parent(event: Event) -> str:
        [want] = [want for want in stated(event) if isinstance(want, Want) and "comment" in want.kind]
        return want.parent

    assert parent(comment()) == "m1"
    assert parent(comment(parent_id="c0")) == "c0"
    assert parent(comment(kind="live_comments")) == parent(comment(media="ad", original="m1")) == "", "in none"


WRITTEN = [
    ("reel", {"platform_post_id": "m1"}, ("ig_media", "m1")),
    ("story", {"platform_post_id": "m1"}, ("ig_media", "m1")),
    ("comment_reply", {"platform_post_id": "c2", "parent_id": "c1"}, ("ig_comment", "c2")),
    ("hide_comment", {"parent_id": "c1"}, ("ig_comment", "c1")),
    ("delete_post", {"parent_id": "m1"}, ("ig_media", "m1")),
    ("reel", {}, None),
    ("else", {"platform_post_id": "m1"}, None),
]


@pytest.mark.parametrize(("kind", "more", "wanted"), WRITTEN)
def test_what_we_wrote_or_acted_on_is_read_again(
    kind: str, more: dict[str, str], wanted: tuple[str, str] | None
) -> None:
    def asked(state: str) -> list[tuple[str, str]]:
        said = {"sequence": 3, "target_id": "t1", "kind": kind, "state": state} | more
        event = Event("instagram", SHOP, "target:t1:3", f"target.{state}", said, NOON)
        assert fold([event])["social_posts"]
        return [(want["kind"], want["object_id"]) for want in wants([event])]

    assert asked("published") == ([wanted] if wanted else [])
    assert asked("publishing") == []


def test_every_kind_that_is_published_or_acted_with_is_looked_up() -> None:
    assert set(instagram.WRITTEN) == set(discover(publish.platforms, PostingPlatform, "machines")["instagram"].machines)


def test_numbers_are_kept_by_day_and_as_they_are() -> None:
    day = timedelta(days=1)
    events = [
        own("media.read", NOON, id="m1", like_count=1, comments_count=2, view_count=2**40, total_like_count=9),
        own("media.insights", LATER, id="m1", data=[figure("reach", 7), figure("likes", 3)]),
        own("media.read", NOON + day, id="m1", like_count=4),
    ]
    assert numbers(*events) == {
        "2026-01-01": {"likes": 3, "comments": 2, "views": 2**40, "total_likes": 9, "reach": 7},
        "2026-01-02": {"likes": 4},
    }
    assert media_row(*events)["metrics_json"] == numbers(events[0])["2026-01-01"] | {"likes": 4, "reach": 7}
    [row] = [row for (_, _, on), row in fold(events)["ig_media_metrics"].items() if on == "2026-01-01"]
    assert row["read_at"] == LATER


def test_day_of_a_number_is_that_of_utc() -> None:
    read = own("media.read", datetime.fromisoformat("2026-01-02T00:30:00+01:00"), id="m1", like_count=1)
    assert numbers(read).keys() == {"2026-01-01"}


def test_figure_in_either_form_with_its_parts_and_nothing_for_what_is_not_answered() -> None:
    parts = [{"dimension_values": ["bio_link_clicked"], "value": 2}, {"dimension_values": ["CALL"], "value": 0}]
    total = {"value": 2, "breakdowns": [{"dimension_keys": ["action_type"], "results": parts}]}
    data = [
        figure("reach", 5), {"name": "profile_activity", "total_value": total}, figure("reels_skip_rate", 0.25),
        {"name": "views"}, {"name": "shares", "values": []}, figure("saved", "many"), 7, {"name": None},
    ]  # fmt: skip
    assert media_row(own("media.insights", NOON, id="m1", data=data))["metrics_json"] == {
        "reach": 5,
        "profile_activity": 2,
        "profile_activity.action_type.BIO_LINK_CLICKED": 2,
        "profile_activity.action_type.CALL": 0,
        "reels_skip_rate": 0.25,
    }


@pytest.mark.parametrize("breakdowns", [None, 7, [None], [{}], [{"dimension_keys": [], "results": [{"value": 1}]}]])
def test_parts_of_an_unexpected_shape_are_left_out(breakdowns: Any) -> None:
    data = [{"name": "views", "total_value": {"value": 1, "breakdowns": breakdowns}}]
    assert media_row(own("media.insights", NOON, id="m1", data=data))["metrics_json"] == {"views": 1}


def test_figures_of_an_account_stand_at_the_day_that_they_are_about_beside_what_was_read_on_it() -> None:
    total = {"name": "views", "period": "day", "total_value": {"value": 12}}
    events = [
        own("account.read", NOON, id=SHOP, followers_count=3, follows_count=2, media_count=1),
        own("account.insights", NOON + timedelta(days=2), id=SHOP, day="2026-01-01", data=[total]),
    ]
    rows = fold(events)["ig_account_metrics"]
    assert {day: row["metrics_json"] for (_, day), row in rows.items()} == {
        "2026-01-01": {"followers": 3, "follows": 2, "media": 1, "views": 12}
    }
    assert fold(events)["instagram_accounts"][(SHOP,)]["metrics_json"] == {"followers": 3, "follows": 2, "media": 1}


@pytest.mark.parametrize("day", [None, "", "today", 7, "2026-13-01"])
def test_figures_of_no_day_are_refused_by_name(day: Any) -> None:
    with pytest.raises(Unprojectable, match="day"):
        facts(own("account.insights", NOON, id=SHOP, day=day, data=[]))


def test_series_takes_the_last_count_of_a_story_from_readings_and_its_row_from_the_webhook() -> None:
    """The webhook names no time, so no day (meta.md 2.4)."""
    read = own("media.insights", NOON, id="m1", data=[figure("reach", 5)])
    assert numbers(read, story_insights(reach=9)) == {"2026-01-01": {"reach": 5}}
    assert media_row(read, story_insights(reach=9))["metrics_json"]["reach"] == 9


# --- any order


def test_no_facet_is_ordered_by_two_clocks() -> None:
    """meta.md 10.10: what a reading found has our clock; what a webhook says has none here, or is the last word."""
    clocks: dict[tuple[str, str], set[str]] = {}
    for event in [*ABOUT_ONE_COMMENT, *ABOUT_ONE_MEDIA]:
        webhook = "." not in event.type
        for fact in facts(event):
            if fact.facet is None:
                continue
            undated = fact.version.startswith(("!", "0" * 16))
            kind = "none" if undated else "last" if fact.version.startswith("9" * 16) else "time"
            assert kind != "time" or not webhook, (event.type, fact.facet)
            clocks.setdefault((fact.table.name, fact.facet), set()).add(kind)
    assert clocks["ig_comments", "place"] == {"none"}
    assert clocks["ig_comments", "presence"] == clocks["ig_media", "presence"] == {"time"}
    assert all(facet == ("ig_media", "metrics") for facet, kinds in clocks.items() if "last" in kinds)


@pytest.mark.parametrize("events", [ABOUT_ONE_COMMENT, ABOUT_ONE_MEDIA], ids=["a comment", "a media"])
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_order_of_what_is_said_of_one_object_gives_the_same_rows(events: list[Event], data: st.DataObject) -> None:
    order = data.draw(st.permutations(events))
    again = data.draw(st.lists(st.sampled_from(events), max_size=6))
    assert fold([*again, *order, *again]) == fold(events)
