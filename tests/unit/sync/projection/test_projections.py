"""Facts have no order of arrival: any permutation, any repetition, the same rows."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import permutations
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ops.cli import wiring
from schema.events import Event
from schema.states import TargetState
from sync.projection.contract import (
    ID_LIMIT,
    LATEST,
    Unprojectable,
    Want,
    big_integer,
    boolean,
    integer,
    optional,
    required,
    text,
    version,
)
from tests.recordings import drifted, dumped, event, fold, json_values, recordings, stated, take

PLATFORMS = list(wiring.projections())
TARGET_EVENTS = {f"target.{state}" for state in TargetState}
OWN_EVENTS = {name: set(TARGET_EVENTS) for name in PLATFORMS}
OWN_EVENTS["instagram"] |= {"account.read", "account.insights", "media.read", "media.files", "media.insights"}
OWN_EVENTS["instagram"] |= {"media.gone", "comment.read", "comment.gone"}
OWN_EVENTS["instagram"] |= {"mentioned_media.read", "mentioned_comment.read"}
OWN_EVENTS["tiktok"] |= {"post.begun", "post.read", "account.read", "video.read", "video.absent"}
"""What we read from a platform, or did there, and wrote to the log ourselves: no webhook carries it."""

ACCOUNT = "17841400000000001"
PERSON = "-000abcDEF123"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def recorded(platform: str) -> list[Event]:
    """Every event of every recording that a worker would see."""
    return [
        event(platform, item)
        for recording in recordings(platform)
        for item in take(platform, recording.body).events
        if item.defect is None
    ]


def meta(*changes: tuple[str, dict[str, Any]]) -> list[Event]:
    body = [{"field": field, "value": value} for field, value in changes]
    accepted = take(
        "instagram", dumped({"object": "instagram", "entry": [{"id": ACCOUNT, "time": 1, "changes": body}]})
    )
    return [event("instagram", item) for item in accepted.events]


def own(kind: str, at: datetime, **payload: Any) -> Event:
    """An answer that was read from Instagram."""
    return Event("instagram", ACCOUNT, f"{kind}:{payload['id']}:{at.isoformat()}", kind, payload, at)


def own_post(kind: str, at: int, **payload: Any) -> Event:
    """What we asked TikTok to do with a publish, or heard of it."""
    moment = datetime.fromtimestamp(at, UTC)
    return Event("tiktok", PERSON, f"{kind}:{payload['publish_id']}:{at}:{len(payload)}", kind, payload, moment)


def own_video(kind: str, at: int, **payload: Any) -> Event:
    """What reading an account of TikTok, or one of its videos, found."""
    moment = datetime.fromtimestamp(at, UTC)
    return Event("tiktok", PERSON, f"{kind}:{payload.get('id', '')}:{at}:{len(payload)}", kind, payload, moment)


def tiktok(name: str, at: int, **content: Any) -> Event:
    body = {"client_key": "k", "event": name, "create_time": at, "user_openid": PERSON, "content": json.dumps(content)}
    [item] = take("tiktok", dumped(body)).events
    return event("tiktok", item)


def row(events: Any, table: str, *key: str) -> dict[str, Any]:
    return fold(events)[table][key]


def in_every_order(events: list[Event]) -> dict[str, Any]:
    """The rows, which must not depend on order, nor on repetition."""
    first = fold(events)
    for order in permutations(events):
        assert fold(order) == first
        assert fold([*order, *order[:2], *reversed(order)]) == first
    return first


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_handler_is_tried_by_a_recording(platform: str) -> None:
    handlers = set(wiring.projections()[platform].handlers)
    assert handlers - {one.type for one in recorded(platform)} == OWN_EVENTS[platform]
    assert OWN_EVENTS[platform] == {one.type for one in READINGS if one.provider == platform}


def target_event(platform: str, sequence: int, state: str, *, at: datetime = NOON, **more: Any) -> Event:
    """What the database appends when a target of a post comes to another state."""
    said = {
        "sequence": sequence,
        "target_id": "t1",
        "post_id": "p1",
        "content": f"Tea {sequence}",
        "state": state,
    } | more
    return Event(platform, ACCOUNT, f"target:t1:{sequence}", f"target.{state}", said, at)


READINGS = [
    *(
        target_event(platform, sequence, state, platform_post_id="1" if state == "published" else None)
        for platform in PLATFORMS
        for sequence, state in enumerate(TargetState, 1)
    ),
    own("account.read", NOON, id=ACCOUNT, username="shop", followers_count=10, media_count=2),
    own("account.read", NOON + timedelta(hours=1), id=ACCOUNT, biography="Tea", followers_count=11),
    own("media.read", NOON, id="17800000000000001", username="shop", caption="c", comments_count=3),
    own("media.read", NOON + timedelta(hours=1), id="17800000000000001", username="shop", caption="d", like_count=1),
    own("media.insights", NOON, id="17800000000000001", data=[{"name": "reach", "values": [{"value": 9}]}]),
    own("media.insights", NOON, id="17800000000000030", data=[{"name": "reach", "total_value": {"value": 45}}]),
    own("comment.read", NOON, id="17900000000000001", timestamp="2026-01-01T11:00:00+0000", hidden=False),
    own("comment.read", NOON + timedelta(hours=1), id="17900000000000001", hidden=True),
    own("comment.gone", NOON + timedelta(hours=2), id="17900000000000001"),
    own("comment.gone", NOON, id="never seen"),
    own("comment.read", NOON, id="17900000000000077", listed_media_id="17800000000000001", listed_parent_id="1"),
    own("account.insights", NOON, id=ACCOUNT, day="2025-12-31", data=[{"name": "reach", "total_value": {"value": 4}}]),
    own("media.files", NOON, id="17800000000000001", media_url="https://cdn.example/1"),
    own("media.gone", NOON + timedelta(hours=2), id="17800000000000001"),
    own("mentioned_media.read", NOON, id="17800000000000099", caption="with @shop", username="else"),
    own("mentioned_comment.read", NOON, id="17900000000000099", text="@shop", media={"id": "17800000000000099"}),
    own_post("post.begun", 100, publish_id="v_pub_url~v2.2", source="PULL_FROM_URL", title="Tea"),
    own_post("post.read", 101, publish_id="v_pub_url~v2.2", status="PROCESSING_DOWNLOAD"),
    own_post(
        "post.read", 102, publish_id="v_pub_url~v2.2", status="PUBLISH_COMPLETE", publicaly_available_post_id=[7, "8"]
    ),
    own_video("account.read", 100, open_id=PERSON, display_name="Shop", is_verified=True),
    own_video("account.read", 90_100, username="shop", follower_count=3, likes_count=2**40),
    own_video("video.read", 100, id="7", create_time=90, video_description="Tea", view_count=2**40, like_count=1),
    own_video("video.read", 90_100, id="7", title="Tea", share_url="https://x", like_count=2, duration=3),
    own_video("video.absent", 200_000, id="7"),
    own_video("video.absent", 100, id="never seen"),
]


@cache
def stream(platform: str) -> list[Event]:
    return recorded(platform) + [one for one in READINGS if one.provider == platform]


@cache
def settled(platform: str) -> Any:
    """The rows of the stream as it was recorded."""
    return fold(stream(platform))


@pytest.mark.parametrize("platform", PLATFORMS)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_order_and_repetition_of_what_was_recorded_gives_the_same_rows(platform: str, data: st.DataObject) -> None:
    """faults.md F1, F2"""
    events = stream(platform)
    assert events
    order = data.draw(st.permutations(range(len(events))))
    again = data.draw(st.lists(st.sampled_from(range(len(events))), max_size=30))
    assert fold(events[n] for n in [*again, *order, *again]) == settled(platform)


SEVERAL = [str(number) for number in range(8)]
"""Ids enough that no order by hash could pass for an order by rank."""

SAME_SECOND = [
    # events of one second, the status that counts, why
    (("inbox_delivered", "complete"), "PUBLISH_COMPLETE", "a draft is delivered before it is posted"),
    (("inbox_delivered", "failed"), "FAILED", "or fails after it was delivered"),
    (("failed", "complete"), "PUBLISH_COMPLETE", "tiktok.md 2.5: rank 2 and rank 3"),
    (("inbox_delivered", "failed", "complete"), "PUBLISH_COMPLETE", "all three"),
]


@pytest.mark.parametrize(("names", "status"), [r[:2] for r in SAME_SECOND], ids=[r[2] for r in SAME_SECOND])
def test_events_of_one_second_are_ordered_by_the_steps_of_a_publish(names: tuple[str, ...], status: str) -> None:
    for publish_id in SEVERAL:
        events = [tiktok(f"post.publish.{name}", 100, publish_id=publish_id, reason="internal") for name in names]
        post = in_every_order(events)["tiktok_posts"][PERSON, publish_id]
        assert post["status"] == status
        assert post["error_code"] == ("internal" if status == "FAILED" else None)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_last_transition_of_a_target_counts_whatever_the_clock_says(platform: str) -> None:
    """A server that takes over may be behind: the number within the target decides, and no time."""
    events = [
        target_event(platform, 9, "publishing", at=NOON + timedelta(hours=1)),
        target_event(platform, 10, "published", platform_post_id="77", at=NOON),
        target_event(platform, 11, "published", platform_post_id="77", platform_post_url="https://x", at=NOON),
    ]
    post = in_every_order(events)["social_posts"][ACCOUNT, platform, "t1"]
    assert (post["state"], post["platform_post_id"], post["content"]) == ("published", "77", "Tea 11")


def test_newer_step_beats_a_higher_one() -> None:
    events = [tiktok("post.publish.complete", 100, publish_id="p"), tiktok("post.publish.failed", 101, publish_id="p")]
    assert in_every_order(events)["tiktok_posts"][PERSON, "p"]["status"] == "FAILED"


@pytest.mark.parametrize("shown", ["publicly_available", "publicaly_available"])
@pytest.mark.parametrize("hidden", ["no_longer_publicly_available", "no_longer_publicaly_available"])
def test_visibility_of_one_second_ends_hidden_and_the_newest_second_counts(shown: str, hidden: str) -> None:
    def post(name: str, at: int, post_id: str) -> Event:
        return tiktok(f"post.publish.{name}", at, publish_id="p", post_id=post_id)

    for post_id in SEVERAL:
        same = in_every_order([post(shown, 100, post_id), post(hidden, 100, post_id)])
        assert same["tiktok_post_ids"][PERSON, "p", post_id]["is_public"] is False
        toggled = in_every_order([post(shown, 100, post_id), post(hidden, 200, post_id), post(shown, 300, post_id)])
        assert toggled["tiktok_post_ids"][PERSON, "p", post_id]["is_public"] is True


def test_post_may_become_visible_before_its_publish_is_known() -> None:
    """And one publish may have several posts (tiktok.md 2.4)."""
    rows = in_every_order(
        [
            tiktok("post.publish.publicly_available", 90, publish_id="p", post_id="1"),
            tiktok("post.publish.publicly_available", 95, publish_id="p", post_id=2),
            tiktok("post.publish.complete", 100, publish_id="p", publish_type="INBOX_SHARE"),
        ]
    )
    assert set(rows["tiktok_post_ids"]) == {(PERSON, "p", "1"), (PERSON, "p", "2")}
    assert rows["tiktok_posts"][PERSON, "p"]["status"] == "PUBLISH_COMPLETE"


def test_late_removal_of_an_older_grant_changes_nothing() -> None:
    """tiktok.md 2.5: retries come up to 72 h late."""
    older, newer = (tiktok("authorization.removed", at, reason=reason) for at, reason in ((100, 1), (200, 5)))
    account = in_every_order([newer, older])["tiktok_accounts"][(PERSON,)]
    assert (account["authorization_removed_at"], account["removal_reason"]) == (datetime.fromtimestamp(200, UTC), 5)


COMMENT = {
    "id": "c1",
    "text": "hello",
    "from": {"id": "7", "username": "alice"},
    "media": {"id": "m1", "media_product_type": "FEED"},
}


def test_late_comment_does_not_lift_a_tombstone_and_a_later_reading_does() -> None:
    """meta.md 10.10: presence lifts; at one time, gone is the stronger word."""
    [comment] = meta(("comments", COMMENT))
    gone = own("comment.gone", NOON, id="c1")
    before, same, after = (own("comment.read", NOON + timedelta(days=n), id="c1", hidden=False) for n in (-1, 0, 1))
    found = in_every_order([gone, comment, before, same])["ig_comments"][ACCOUNT, "c1"]
    assert (found["deleted_at"], found["text"]) == (NOON, "hello")
    assert in_every_order([gone, comment, after])["ig_comments"][ACCOUNT, "c1"]["deleted_at"] is None
    again = own("comment.gone", NOON + timedelta(days=2), id="c1")
    assert in_every_order([gone, after, again])["ig_comments"][ACCOUNT, "c1"]["deleted_at"] == again.occurred_at


def test_comment_on_an_ad_belongs_to_the_organic_media_whichever_notification_comes_first() -> None:
    """meta.md 5: the notification with original_media_id is preferred."""
    ad = {"media_product_type": "AD", "ad_id": "a1", "ad_title": "Sale"}
    events = meta(
        ("comments", COMMENT | {"media": {"id": "ad-media", **ad}}),
        ("comments", COMMENT | {"media": {"id": "ad-media", **ad, "original_media_id": "m1"}}),
        ("comments", COMMENT | {"id": "c2"}),
    )
    rows = in_every_order(events)
    assert rows["ig_comments"][ACCOUNT, "c1"]["media_ig_id"] == "m1"
    media = rows["ig_media"][ACCOUNT, "m1"]
    assert (media["ad_id"], media["ad_title"]) == ("a1", "Sale")
    assert media["media_product_type"] == "FEED", "what an ad says of the product is about the ad"


def test_placeholder_is_filled_by_what_was_read_in_any_order() -> None:
    [comment] = meta(("comments", COMMENT))
    [insights] = meta(("story_insights", {"media_id": "m1", "impressions": -1, "reach": "12", "exits": "many"}))
    old, new = (own("media.read", NOON + timedelta(hours=n), id="m1", caption=f"caption {n}") for n in (0, 1))
    placeholder = row([comment, insights], "ig_media", ACCOUNT, "m1")
    assert (placeholder["content_version"], placeholder["caption"]) == ("", None)
    media = in_every_order([comment, insights, old, new])["ig_media"][ACCOUNT, "m1"]
    assert media["content_version"]
    assert (media["caption"], media["media_product_type"]) == ("caption 1", "FEED")
    assert media["metrics_json"] == {"impressions": None, "reach": 12}, "-1: there is a number, which is not shown"


def test_like_rewrites_no_caption_and_each_number_is_of_the_newest_reading_that_had_it() -> None:
    first = own("media.read", NOON, id="m1", caption="old", like_count=1, comments_count=5)
    liked = own("media.read", NOON + timedelta(hours=1), id="m1", like_count=2)
    reach = own("media.insights", NOON, id="m1", data=[{"name": "reach", "values": [{"value": 9}]}, {"name": "x"}, 3])
    media = in_every_order([first, liked, reach])["ig_media"][ACCOUNT, "m1"]
    assert (media["caption"], media["metrics_json"]) == ("old", {"likes": 2, "comments": 5, "reach": 9})
    assert media["metrics_carried"].keys() == {"comments", "reach"}


def test_final_numbers_of_a_story_beat_every_reading_of_it() -> None:
    [final] = meta(("story_insights", {"media_id": "m1", "reach": 50}))
    late = own("media.insights", NOON + timedelta(days=9), id="m1", data=[{"name": "reach", "values": [{"value": 9}]}])
    assert in_every_order([final, late])["ig_media"][ACCOUNT, "m1"]["metrics_json"] == {"reach": 50}


def test_account_of_a_comment_has_a_row_and_a_reading_fills_it() -> None:
    [comment] = meta(("comments", COMMENT))
    assert row([comment], "instagram_accounts", ACCOUNT)["username"] is None
    read = own("account.read", NOON, id=ACCOUNT, username="shop", followers_count=10)
    found = in_every_order([comment, read])["instagram_accounts"][(ACCOUNT,)]
    assert (found["username"], found["metrics_json"]) == ("shop", {"followers": 10})


def test_reading_of_a_comment_tells_who_wrote_it_and_what_as_a_mention_does_not() -> None:
    [mention] = meta(("mentions", {"media_id": "m1", "comment_id": "c1"}))
    read = own("comment.read", NOON, id="c1", text="hi", username="alice", parent_id="c0", like_count=3)
    found = in_every_order([mention, read])["ig_comments"][ACCOUNT, "c1"]
    assert (found["text"], found["from_user"], found["media_ig_id"]) == ("hi", "alice", "m1")
    assert (found["parent_ig_id"], found["metrics_json"], found["hidden"]) == ("c0", {"likes": 3}, None)


def test_publish_that_was_asked_for_shows_its_source_and_each_status_by_the_platforms_word() -> None:
    begun, waiting, done = (one for one in READINGS if one.provider == "tiktok" and one.type.startswith("post."))
    rows = in_every_order([begun, waiting])
    post = rows["tiktok_posts"][PERSON, "v_pub_url~v2.2"]
    assert (post["status"], post["source"], post["title"]) == ("PROCESSING_DOWNLOAD", "PULL_FROM_URL", "Tea")
    rows = in_every_order([waiting, done])
    assert rows["tiktok_posts"][PERSON, "v_pub_url~v2.2"]["status"] == "PUBLISH_COMPLETE"
    assert {key[2]: row["listed_at"] for key, row in rows["tiktok_post_ids"].items()} == {
        "7": done.occurred_at,
        "8": done.occurred_at,
    }
    assert {row["is_public"] for row in rows["tiktok_post_ids"].values()} == {None}, "what a webhook tells stands apart"
    assert {key[1] for key in rows["tiktok_videos"]} == {"7", "8"}, "and they are to be read"
    wanted = {(fact.kind, fact.object_id) for fact in stated(done) if isinstance(fact, Want)}
    assert wanted == {("tiktok_video", "7"), ("tiktok_video", "8")}


def test_reading_of_a_video_fills_it_and_leaves_the_caption_that_we_know() -> None:
    """tiktok.md 12: a caption of up to 2200 characters is shown with 150, and an answer may leave out anything."""
    caption = "Tea " * 100
    rows = in_every_order(
        [
            own_post("post.begun", 100, publish_id="p", source="FILE_UPLOAD", title=caption),
            tiktok("post.publish.publicly_available", 110, publish_id="p", post_id="7"),
            own_video("video.read", 120, id="7", create_time=105, video_description=caption[:150], view_count=2**40),
            own_video("video.read", 130, id="7", like_count="4", share_url="https://x"),
        ]
    )
    assert rows["tiktok_posts"][PERSON, "p"]["title"] == caption
    video = rows["tiktok_videos"][PERSON, "7"]
    assert (video["video_description"], video["share_url"]) == (caption[:150], "https://x")
    assert video["posted_at"] == datetime.fromtimestamp(105, UTC), "in seconds, as cursors are not"
    assert video["metrics_json"] == {"views": 2**40, "likes": 4}
    assert (video["is_public"], video["absent_at"]) == (True, None)
    assert rows["tiktok_post_ids"][PERSON, "p", "7"]["is_public"] is True


def test_videos_absence_and_what_webhooks_tell_of_it_are_different_facts() -> None:
    """tiktok.md 17: a later reading lifts an absence; at one time absent is the stronger word."""
    read, same, later = (own_video("video.read", at, id="7", like_count=at) for at in (100, 200, 300))
    absent = own_video("video.absent", 200, id="7")
    told = tiktok("post.publish.no_longer_publicly_available", 250, publish_id="p", post_id="7")
    video = in_every_order([read, same, absent, told])["tiktok_videos"][PERSON, "7"]
    assert (video["absent_at"], video["is_public"]) == (absent.occurred_at, False)
    video = in_every_order([absent, told, later])["tiktok_videos"][PERSON, "7"]
    assert video["absent_at"] is None, "it is there again"
    assert (video["is_public"], video["visibility_at"]) == (False, told.occurred_at), "and what was told stays told"


def test_numbers_are_kept_by_day_each_of_the_newest_reading_that_had_it() -> None:
    day = 86_400
    rows = in_every_order(
        [
            own_video("video.read", day + 1, id="7", view_count=10, like_count=1),
            own_video("video.read", 2 * day - 1, id="7", view_count=15),
            own_video("video.read", 2 * day, id="7", view_count=20),
            own_video("account.read", 2 * day, username="shop", follower_count=3),
        ]
    )
    series = {key[2]: row for key, row in rows["tiktok_video_metrics"].items()}
    assert {name: row["metrics_json"] for name, row in series.items()} == {
        "1970-01-02": {"views": 15, "likes": 1},
        "1970-01-03": {"views": 20},
    }
    assert series["1970-01-02"]["read_at"] == datetime.fromtimestamp(2 * day - 1, UTC)
    assert rows["tiktok_videos"][PERSON, "7"]["metrics_json"] == {"views": 20, "likes": 1}
    assert rows["tiktok_account_metrics"][PERSON, "1970-01-03"]["metrics_json"] == {"followers": 3}


ONE_PUBLISH = [
    own_post("post.begun", 100, publish_id="p", source="PULL_FROM_URL", title="Tea " * 100),
    own_post("post.read", 104, publish_id="p", status="PUBLISH_COMPLETE", publicaly_available_post_id=["7"]),
    *(
        tiktok(f"post.publish.{name}", at, publish_id="p", post_id="7")
        for name, at in (
            ("complete", 104),
            ("publicly_available", 105),
            ("no_longer_publicaly_available", 105),
            ("publicly_available", 106),
        )
    ),
    own_video("video.read", 104, id="7", create_time=103, video_description="Tea", view_count=1),
    own_video("video.read", 105, id="7", like_count=2),
    own_video("video.absent", 105, id="7"),
    own_video("video.read", 90_000, id="7", view_count=5, video_description="Tea and cake"),
    target_event("tiktok", 3, "published", platform_post_id="7"),
]
"""All that can be said of one publish and the post that came of it."""


@given(order=st.permutations(ONE_PUBLISH), again=st.lists(st.sampled_from(ONE_PUBLISH), max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_order_of_what_is_said_of_one_publish_and_its_video_gives_the_same_rows(
    order: list[Event], again: list[Event]
) -> None:
    """faults.md F1, F2"""
    rows = fold([*again, *order, *again])
    assert rows == fold(ONE_PUBLISH)
    video = rows["tiktok_videos"][PERSON, "7"]
    assert (video["video_description"], video["absent_at"], video["is_public"]) == ("Tea and cake", None, True)
    assert rows["tiktok_posts"][PERSON, "p"]["title"] == "Tea " * 100


def test_mention_never_overwrites_the_comment_it_is_in() -> None:
    [mention, comment] = meta(("mentions", {"media_id": "m1", "comment_id": "c1"}), ("comments", COMMENT))
    [elsewhere] = meta(("mentions", {"media_id": "m2", "comment_id": "c1"}))
    found = in_every_order([mention, comment, elsewhere])["ig_comments"][ACCOUNT, "c1"]
    assert (found["text"], found["media_ig_id"], found["from_id"]) == ("hello", "m1", "7")
    alone = row([mention], "ig_comments", ACCOUNT, "c1")
    assert (alone["text"], alone["media_ig_id"]) == (None, "m1")


def test_reply_may_come_before_its_parent() -> None:
    events = meta(("comments", COMMENT), ("comments", COMMENT | {"id": "c2", "parent_id": "c1"}))
    rows = in_every_order(events)["ig_comments"]
    assert rows[ACCOUNT, "c2"]["parent_ig_id"] == "c1"
    assert rows[ACCOUNT, "c1"]["parent_ig_id"] is None


OWN_COMMENT = [
    # author, whether the account wrote it itself, why
    ({"id": ACCOUNT, "username": "shop", "self_ig_scoped_id": "9"}, True, "meta.md 2.2: both marks"),
    ({"id": ACCOUNT, "username": "shop"}, True, "the account's id alone"),
    ({"id": int(ACCOUNT)}, True, "as a number"),
    ({"username": "shop", "self_ig_scoped_id": "9"}, True, "the scoped id alone"),
    ({"id": "7", "username": "alice"}, False, "somebody else"),
    ({"username": "alice"}, None, "nobody says whose it is"),
    ({"id": "", "username": "alice"}, None, "nor with an empty id"),
    (None, None, "no author"),
]


@pytest.mark.parametrize(("author", "is_own"), [r[:2] for r in OWN_COMMENT], ids=[r[2] for r in OWN_COMMENT])
def test_own_comments_are_known(author: Any, *, is_own: bool | None) -> None:
    assert row(meta(("comments", COMMENT | {"from": author})), "ig_comments", ACCOUNT, "c1")["is_own"] is is_own


@pytest.mark.parametrize("platform", ["instagram", "tiktok"])
def test_drift_of_a_payload_is_refused_by_name_or_projected(platform: str) -> None:
    """faults.md E10: a handler that stumbles is tried again and again; one that refuses is parked at once."""
    for one in stream(platform):
        if one.type not in wiring.projections()[platform].handlers:
            continue
        payloads = [*(payload for _, payload in drifted({"": one.payload}))]
        for payload in [p.get("") for p in payloads] + [_with_content(one, c) for c in _contents(one)]:
            changed = one._replace(payload=payload)
            try:
                said = stated(changed)
            except Unprojectable:
                continue
            assert said, payload
            keys = [(one.object_id,) if isinstance(one, Want) else one.key.values() for one in said]
            assert all(len(part.encode()) <= ID_LIMIT for key in keys for part in key)


def _contents(one: Event) -> list[Any]:
    """What TikTok's second layer may drift to."""
    content = one.payload.get("content") if isinstance(one.payload, dict) else None
    try:
        parsed = json.loads(content) if isinstance(content, str) else content
    except ValueError:
        return []
    return [other for _, other in drifted(parsed)]


def _with_content(one: Event, content: Any) -> Any:
    return one.payload | {"content": json.dumps(content)}


WEBHOOKS = {"comments", "mentions", "story_insights", "message_edit"}
KINDS = [
    *(("instagram", kind) for kind in sorted(OWN_EVENTS["instagram"] | WEBHOOKS)),
    *(("tiktok", kind) for kind in sorted(OWN_EVENTS["tiktok"] - TARGET_EVENTS)),
]


@pytest.mark.parametrize(("platform", "kind"), KINDS)
@given(payload=json_values)
def test_any_payload_is_refused_by_name_or_projected(platform: str, kind: str, payload: Any) -> None:
    with suppress(Unprojectable):
        stated(Event(platform, ACCOUNT, "x", kind, payload, NOON))


LONG = "9" * 2**20
TOO_LONG = [
    # field, value, why
    ("comments", COMMENT | {"id": LONG}, "a comment's id"),
    ("mentions", {"media_id": LONG}, "a mention's media"),
    ("story_insights", {"media_id": LONG}, "a story"),
    ("message_edit", {"message_edit": {"mid": LONG, "num_edit": 0}}, "a message"),
    ("comments", COMMENT | {"id": "😀" * (ID_LIMIT // 4 + 1)}, "bytes count, not characters"),
]


@pytest.mark.parametrize(("field", "value"), [r[:2] for r in TOO_LONG], ids=[r[2] for r in TOO_LONG])
def test_id_that_no_row_can_be_keyed_by_is_refused(field: str, value: dict[str, Any]) -> None:
    """faults.md E8"""
    [one] = meta((field, value))
    with pytest.raises(Unprojectable, match=f"longer than {ID_LIMIT} bytes"):
        stated(one)


def test_optional_id_that_no_row_can_be_keyed_by_takes_nothing_with_it() -> None:
    for media, media_id in (({"id": LONG}, None), ({"id": "m1", "original_media_id": LONG}, "m1")):
        found = row(meta(("comments", COMMENT | {"media": media})), "ig_comments", ACCOUNT, "c1")
        assert (found["text"], found["media_ig_id"]) == ("hello", media_id)
    for value, table in (
        ({"media_id": "m1", "comment_id": LONG}, "ig_media"),
        ({"media_id": LONG, "comment_id": "c1"}, "ig_comments"),
    ):
        assert len(fold(meta(("mentions", value)))[table]) == 1


def test_id_of_the_longest_length_is_projected() -> None:
    assert row(meta(("comments", COMMENT | {"id": "9" * ID_LIMIT})), "ig_comments", ACCOUNT, "9" * ID_LIMIT)


SOME = Event("p", "a", "id", "t", {}, None)
moments = st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


@given(first=moments, second=moments, ranks=st.tuples(st.integers(0, LATEST), st.integers(0, LATEST)))
@example(first=datetime(2026, 1, 1, tzinfo=UTC), second=datetime(9999, 1, 1, tzinfo=UTC), ranks=(9, 0))
@example(first=datetime(2026, 1, 1, tzinfo=UTC), second=datetime(2300, 1, 1, tzinfo=UTC), ranks=(9, 0))
@example(
    first=datetime(2001, 9, 9, 1, 46, 39, tzinfo=UTC), second=datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC), ranks=(9, 0)
)
def test_versions_sort_by_time_then_rank(first: datetime, second: datetime, ranks: tuple[int, int]) -> None:
    one, other = version(SOME, first, ranks[0]), version(SOME, second, ranks[1])
    assert len(one) == len(other), "text sorts as numbers do only while it is as long"
    end = datetime(2286, 1, 1, tzinfo=UTC)
    if first != second and min(first, second) < end:
        assert (one < other) == (first < second)
    elif first == second and ranks[0] != ranks[1]:
        assert (one < other) == (ranks[0] < ranks[1])


def test_equal_times_and_ranks_are_decided_by_the_event_itself() -> None:
    one, other = version(SOME._replace(external_id="a"), NOON), version(SOME._replace(external_id="b"), NOON)
    assert one < other
    assert version(SOME, None) < version(SOME, NOON), "a fact without a time is the oldest"
    assert version(SOME, None) > "!", "and what a mention says of a comment is older still"


VALUES = [
    # function, value, what it becomes, why
    (integer, 5, 5, "a number"),
    (integer, "5", 5, "as text"),
    (integer, "-1", -1, "under five, as text"),
    (integer, 0, 0, "zero is a number"),
    (integer, 2**31 - 1, 2**31 - 1, "the largest"),
    (integer, 2**31, None, "too large for the column"),
    (integer, str(2**31), None, "also as text"),
    (integer, "9" * 5000, None, "more digits than Python converts"),
    (integer, True, None, "not a number, though Python thinks so"),
    (integer, 5.0, 5, "a float that is whole"),
    (integer, 5.5, None, "one that is not"),
    (integer, "--5", None, "text that only begins like a number"),
    (integer, "-", None, "a sign alone"),
    (integer, "", None, "nothing"),
    (integer, "²", None, "a digit that int() refuses"),
    (integer, "5\n", None, "a newline after it"),
    (integer, [5], None, "a list"),
    (big_integer, 2**63 - 1, 2**63 - 1, "the largest that a bigint holds"),
    (big_integer, str(2**40), 2**40, "a large one as text"),
    (big_integer, 2**63, None, "too large for a bigint too"),
    (text, "a", "a", "text"),
    (text, 5, "5", "a number as text"),
    (text, True, None, "not text"),
    (text, None, None, "nothing"),
    (text, {"a": 1}, None, "an object"),
    (text, "a\x00\ud800", "a\ufffd\ufffd", "what PostgreSQL's text cannot hold"),
    (text, "😀", "😀", "what it can"),
    (boolean, True, True, "true"),
    (boolean, "true", None, "text"),
    (boolean, 1, None, "a number"),
]


@pytest.mark.parametrize(("function", "value", "expected"), [r[:3] for r in VALUES], ids=[r[3] for r in VALUES])
def test_value_of_a_column(function: Any, value: Any, expected: Any) -> None:
    found = function(value)
    assert found == expected
    assert type(found) is type(expected)


def test_required_id_must_be_there_and_an_optional_one_need_not() -> None:
    for absent in (None, "", [], {}, True, 1.5):
        assert optional(absent) is None
        with pytest.raises(Unprojectable, match="id is missing"):
            required(absent, "id")
    assert required(17, "id") == optional("17") == "17"
