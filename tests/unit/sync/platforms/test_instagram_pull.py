"""What is asked of Instagram page by page, and what is made of the answers (``meta.md`` 10)."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.runtime.platform_protocol import PlatformError, Request, Response
from sync.platforms._instagram_insights import CORE
from sync.platforms.instagram_pull import COMMENT, MEDIA, PLATFORM, READ, UNLISTED
from sync.pull.contract import Account, Object, Page, Priority, Task, Turn, Wanted
from tests.recordings import DRIFT

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
SHOP = "17841400000000001"


class Addresses:
    """Where the interface is, as an application says it."""

    def url(self, host: str, path: str) -> str:
        return f"https://{host}.example{path}"


INSTAGRAM = Account("instagram", SHOP, Addresses(), {"access_token": "secret"}, "instagram", username="shop")
FACEBOOK = replace(INSTAGRAM, login="facebook")
LOGINS = pytest.mark.parametrize("account", [INSTAGRAM, FACEBOOK], ids=["Instagram Login", "Facebook Login"])


def turn(kind: str, id_: str = "", **more: Any) -> Turn:
    return Turn(Task(kind, id_), NOW, **more)


def ok(**content: Any) -> Response:
    return Response(200, content)


def refusal(code: int, subcode: int | None = None, message: str = "It did not work", status: int = 400) -> Response:
    error = {"code": code, "message": f"(#{code}) {message}"} | ({"error_subcode": subcode} if subcode else {})
    return Response(status, {"error": error})


MISSING = refusal(100, 33)
TOO_MUCH = refusal(1, message="Please reduce the amount of data you're asking for, then retry", status=500)


def carried_out(account: Account, of: Turn, *answers: Response) -> tuple[Page, list[Request]]:
    """The page that these answers make, and what was asked; every answer must have been asked for."""
    steps = PLATFORM.tasks[of.task.kind].read(account, of)
    asked = [next(steps)]
    for number, answer in enumerate(answers):
        try:
            asked.append(steps.send(answer))
        except StopIteration as done:
            assert number == len(answers) - 1, "answers are left over"
            page: Page = done.value
            assert all("secret" not in json.dumps(reading.payload) for reading in page.readings)
            return page, asked
    raise AssertionError(f"it asks on: {asked[-1]}")


def always(account: Account, of: Turn, answer: Response) -> Page | PlatformError:
    """What comes of a page whose every request is answered so."""
    steps = PLATFORM.tasks[of.task.kind].read(account, of)
    try:
        next(steps)
        for _ in range(20):
            steps.send(answer)
    except StopIteration as done:
        page: Page = done.value
        return page
    except PlatformError as problem:
        return problem
    raise AssertionError("it asks on and on")


def page(account: Account, of: Turn, *answers: Response) -> Page:
    return carried_out(account, of, *answers)[0]


def fields(request: Request) -> list[str]:
    """The outermost fields that are asked for."""
    depth, found = 0, [""]
    for character in request.query["fields"]:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and not depth:
            found.append("")
        else:
            found[-1] += character
    return [item.partition("{")[0] for item in found]


def paged(nodes: Sequence[Any], after: str = "") -> Response:
    """A page; with ``after`` there is another one, whose address holds the token."""
    more = {"next": f"https://graph.example/?access_token=secret&after={after}"} if after else {}
    return ok(data=nodes, paging={"cursors": {"before": "b", "after": after or "end"}, **more})


def media(id_: str, days: float = 1, **more: Any) -> dict[str, Any]:
    made = NOW - timedelta(days=days)
    said = {
        "id": id_,
        "timestamp": made.strftime("%Y-%m-%dT%H:%M:%S+0000"),
        "media_type": "IMAGE",
        "media_product_type": "FEED",
        "permalink": f"https://www.instagram.com/p/{id_}/",
        "media_url": f"https://cdn.example/{id_}?oe=1",
        "owner": {"id": SHOP},
        "username": "shop",
        "comments_count": 0,
    }
    return said | more


def comment(id_: str, days: float = 1, **more: Any) -> dict[str, Any]:
    made = NOW - timedelta(days=days)
    return {"id": id_, "text": "hi", "timestamp": made.strftime("%Y-%m-%dT%H:%M:%S+0000"), "hidden": False} | more


def tasks(found: Page) -> dict[Task, Wanted]:
    return {wanted.task: wanted for wanted in found.wanted}


def test_every_kind_of_work_says_whose_scope_it_needs_and_what_confirms_and_ends_an_object() -> None:
    assert all(task.scopes for task in PLATFORM.tasks.values())
    assert {task.kind for task in PLATFORM.first} <= set(PLATFORM.tasks)
    assert set(PLATFORM.confirms) == set(PLATFORM.gone) == {MEDIA, COMMENT}
    assert set(PLATFORM.confirms.values()) <= set(PLATFORM.tasks)
    assert PLATFORM.tasks["media"].scopes == READ
    assert {name for name, task in PLATFORM.tasks.items() if task.lists} == {"media", "comments", "replies"}


@LOGINS
def test_profile_is_asked_of_the_login_that_the_account_was_connected_by(account: Account) -> None:
    answer = {"id": "9", "user_id": SHOP, "username": "shop", "followers_count": 3}
    found, [asked] = carried_out(account, turn("account"), ok(**answer))
    own = account is INSTAGRAM
    assert asked.url == f"https://graph.example/v25.0/{'me' if own else SHOP}"
    assert ("account_type" in fields(asked)) is own, "the other login does not know it"
    [reading] = found.readings
    assert (reading.type, reading.about, reading.payload) == ("account.read", Object("ig_account", SHOP), answer)
    assert page(account, turn("account"), ok(data=[answer])).readings == [reading], "wrapped, as documented"


def test_field_that_is_refused_by_name_is_left_out_and_remembered() -> None:
    unknown = refusal(100, message="Tried accessing nonexisting field (biography) on node type (IGUser)")
    other = refusal(100, message="Tried accessing nonexisting field (website) on node type (IGUser)")
    found, asked = carried_out(INSTAGRAM, turn("account"), unknown, other, ok(id="9"))
    assert [name in fields(asked[-1]) for name in ("biography", "website", "username")] == [False, False, True]
    assert found.refused == ["instagram.account.biography", "instagram.account.website"]
    _, [again] = carried_out(replace(INSTAGRAM, refused=frozenset(found.refused)), turn("account"), ok(id="9"))
    assert not {"biography", "website"} & set(fields(again))


def test_fields_of_comments_are_tried_one_by_one_where_the_refusal_names_none_and_no_comment_is_lost() -> None:
    """meta.md 10.2: a refused field makes the whole listing fail."""
    no, yes = refusal(100, message="Invalid field"), paged([])
    answers = [no, yes, no, no, yes, refusal(10), paged([comment("c1")])]
    found, asked = carried_out(INSTAGRAM, turn("comments", "m1"), *answers)
    assert [fields(one)[1:] for one in asked[2:6]] == [["from"], ["parent_id"], ["media"], ["user"]]
    assert found.refused == [f"instagram.comment.{name}" for name in ("from", "parent_id", "user")]
    assert "media" in fields(asked[6])
    assert not {"from", "parent_id", "user"} & set(fields(asked[6]))
    assert [reading.about.id for reading in found.readings] == ["c1"]


@pytest.mark.parametrize("kind", ["comments", "replies", COMMENT])
def test_what_is_refused_without_any_doubtful_field_is_skipped_with_its_reason(kind: str) -> None:
    found = page(INSTAGRAM, turn(kind, "m1"), refusal(10), refusal(10))
    assert not found.readings
    assert found.skipped
    assert "10/-" in found.skipped
    assert not found.refused, "no field was at fault"


@pytest.mark.parametrize("kind", ["account", "media", "recent_media", "stories"])
def test_what_is_refused_to_the_account_is_no_matter_of_one_object(kind: str) -> None:
    with pytest.raises(PlatformError, match="lacking"):
        page(INSTAGRAM, turn(kind), refusal(10), refusal(10))


def test_fields_that_are_refused_together_but_not_singly_are_left_out_this_time_and_not_remembered() -> None:
    no, yes = refusal(100), ok(id="c1")
    found, asked = carried_out(INSTAGRAM, turn(COMMENT, "c1"), no, yes, yes, yes, yes, yes, ok(**comment("c1")))
    assert fields(asked[-1]) == ["id", "text", "timestamp", "username", "like_count", "hidden"]
    assert not found.refused


@pytest.mark.parametrize("answer", [refusal(190, 460), refusal(2), refusal(4), refusal(80002), Response(503, None)])
def test_trouble_of_the_account_or_the_platform_is_no_refusal_of_an_object(answer: Response) -> None:
    steps = PLATFORM.tasks[MEDIA].read(INSTAGRAM, turn(MEDIA, "m1"))
    next(steps)
    with pytest.raises(PlatformError) as problem:
        steps.send(answer)
    assert problem.value.kind in ("grant", "transient")


# --- listings of media


def test_media_are_listed_to_the_last_page_with_children_and_without_addresses_of_files() -> None:
    children = {"data": [{"id": "k1", "media_type": "IMAGE", "media_url": "u"}], "paging": {"next": "?t=secret"}}
    album = media("m1", media_type="CAROUSEL_ALBUM", children=children)
    found, [asked] = carried_out(INSTAGRAM, turn("media"), paged([album, media("m2", 400)], after="x"))
    assert asked.url == f"https://graph.example/v25.0/{SHOP}/media"
    assert {"caption", "shortcode", "alt_text", "is_comment_enabled", "view_count"} <= set(fields(asked))
    read = {reading.about: reading for reading in found.readings if reading.type == "media.read"}
    first = read[Object(MEDIA, "m1")]
    assert first.payload["children"] == {"data": [{"id": "k1", "media_type": "IMAGE"}]}
    assert "media_url" not in first.payload
    assert first.source_time == NOW - timedelta(days=1)
    assert next(reading for reading in found.readings if reading.type == "media.files").payload == {
        "id": "m1",
        "media_url": "https://cdn.example/m1?oe=1",
        "children": {"data": [{"id": "k1", "media_url": "u"}]},
    }
    assert found.cursor
    rest, [asked] = carried_out(INSTAGRAM, turn("media", cursor=found.cursor), paged([media("m3", 500)]))
    assert asked.query["after"] == "x"
    assert rest.cursor is None


def test_addresses_of_further_pages_hold_the_token_and_are_kept_at_no_depth() -> None:
    edge = {"data": [{"id": "t1", "paging": {"next": "?access_token=secret"}}], "paging": {"next": "secret"}}
    [read, _] = page(INSTAGRAM, turn(MEDIA, "m1"), ok(**media("m1", tagged=edge))).readings
    assert read.payload["tagged"] == {"data": [{"id": "t1"}]}


def test_short_and_empty_pages_do_not_end_a_listing_and_a_cursor_without_next_does() -> None:
    """meta.md 10.7"""
    assert page(INSTAGRAM, turn("media"), paged([], after="x")).cursor
    assert page(INSTAGRAM, turn("media"), ok(data=[media("m1")], paging={"cursors": {"after": "x"}})).cursor is None
    assert page(INSTAGRAM, turn("media"), ok(data=[])).cursor is None


def test_listing_that_cannot_go_on_or_is_no_list_is_no_completed_listing() -> None:
    for answer in (ok(data=[], paging={"next": "https://x"}), ok(), ok(data=None)):
        with pytest.raises(PlatformError, match="transient"):
            page(INSTAGRAM, turn("media"), answer)


def test_recent_media_end_with_the_first_that_is_older_than_what_is_read_often() -> None:
    young = page(INSTAGRAM, turn("recent_media"), paged([media("m1", 1), media("m2", 29)], after="x"))
    assert young.cursor
    over = page(INSTAGRAM, turn("recent_media"), paged([media("m1", 1), media("m2", 31)], after="x"))
    assert over.cursor is None
    assert Object(MEDIA, "m2") in {reading.about for reading in over.readings}, "what came is not thrown away"


def test_addresses_of_files_are_read_where_media_are_new_and_with_full_walks_while_media_are_young() -> None:
    def with_files(kind: str, **more: Any) -> set[str]:
        listed = paged([media("new", 0.1), media("young", 9), media("old", 90)])
        found = page(INSTAGRAM, turn(kind, **more), listed)
        return {reading.about.id for reading in found.readings if reading.type == "media.files"}

    later = {"first": False, "since": NOW - timedelta(days=1)}
    assert with_files("media") == {"new", "young", "old"}
    assert with_files("media", **later) == {"new", "young"}
    assert with_files("recent_media", **later) == {"new"}


def test_page_that_is_too_much_is_halved_then_asked_for_with_fewer_fields_and_grows_again() -> None:
    """meta.md 10.7"""
    answers = [TOO_MUCH] * 8 + [paged([{"id": "m1", "timestamp": "2026-11-27T12:00:00+0000"}], after="x")]
    found, asked = carried_out(INSTAGRAM, turn("media"), *answers)
    assert [one.query["limit"] for one in asked] == ["50", "25", "12", "6", "3", "1", "1", "1", "1"]
    counts = [len(fields(one)) for one in asked]
    assert [counts[0] - count for count in counts] == [0, 0, 0, 0, 0, 0, 1, 2, 4]
    assert found.cursor
    _, [asked_next] = carried_out(INSTAGRAM, turn("media", cursor=found.cursor), paged([]))
    assert (asked_next.query["limit"], len(fields(asked_next))) == ("2", counts[0] - 2)


def test_page_that_is_too_much_at_its_smallest_is_tried_again_later() -> None:
    with pytest.raises(PlatformError, match="less than one object"):
        page(INSTAGRAM, turn("media"), *[TOO_MUCH] * 30)
    with pytest.raises(PlatformError, match="less than one object"):
        page(INSTAGRAM, turn(MEDIA, "m1"), *[TOO_MUCH] * 30)


def test_cursor_that_is_over_is_told_from_a_field_that_is_refused_and_begins_the_walk_anew() -> None:
    cursor = page(INSTAGRAM, turn("media"), paged([media("m1")], after="x")).cursor
    assert cursor
    expired = refusal(100, message="Invalid cursor")
    with pytest.raises(PlatformError, match="wrong"):
        page(INSTAGRAM, turn("media", cursor=cursor), expired, expired)
    of_comments = page(INSTAGRAM, turn("comments", "m1"), paged([comment("c1")], after="x")).cursor
    no, yes = refusal(100, message="Invalid field"), paged([])
    answers = [no, yes, no, yes, yes, yes, paged([comment("c2")])]
    found, asked = carried_out(INSTAGRAM, turn("comments", "m1", cursor=of_comments), *answers)
    assert {one.query["after"] for one in asked} == {"x"}
    assert found.refused == ["instagram.comment.from"]


def test_comments_are_wanted_where_their_count_may_have_changed_and_as_urgently_as_the_media_is_young() -> None:
    listed = [
        media("young", 2, comments_count=3),
        media("old", 90, comments_count=3),
        media("none", 2),
        media("hidden", 2),
        media("many", 2, comments_count=5000),
    ]
    del listed[3]["comments_count"]
    first = tasks(page(INSTAGRAM, turn("media"), paged(listed)))
    assert (first[Task("comments", "young")].priority, first[Task("comments", "young")].mark) == (Priority.RECENT, "3")
    assert first[Task("comments", "young")].source_time == NOW - timedelta(days=2)
    assert first[Task("comments", "old")].priority == Priority.BACKFILL
    assert Task("comments", "none") not in first
    assert Task("comments", "hidden") in first
    assert Task("comments", "many") in first
    assert Task("new_comments", "many") not in first, "the whole walk finds the new ones too"
    later = tasks(page(INSTAGRAM, turn("recent_media", first=False, since=NOW - timedelta(hours=1)), paged(listed)))
    assert later[Task("comments", "none")].mark == "0", "the last one may have gone"
    assert later[Task("comments", "many")].mark == first[Task("comments", "many")].mark, "walked as a whole by plan"
    assert later[Task("new_comments", "many")].mark == "5000"


def test_figures_are_wanted_by_product_as_long_as_the_platform_keeps_them() -> None:
    listed = [
        media("feed"),
        media("reel", media_product_type="REELS"),
        media("ad", media_product_type="AD"),
        media("older", 731),
    ]
    found = tasks(page(INSTAGRAM, turn("media"), paged(listed)))
    assert {task for task in found if "insights" in task.kind} == {
        Task("feed_insights", "feed"),
        Task("reel_insights", "reel"),
    }


def test_stories_stand_in_no_other_listing_and_want_their_figures_and_no_comments() -> None:
    story = media("s1", 0.2, media_product_type="STORY")
    found, [asked] = carried_out(INSTAGRAM, turn("stories", first=False, since=NOW), paged([story]))
    assert asked.url.endswith(f"/{SHOP}/stories")
    assert {reading.parent for reading in found.readings} == {UNLISTED}
    assert set(tasks(found)) == {Task("story_insights", "s1")}


@pytest.mark.parametrize(
    ("node", "parent", "wants"),
    [
        (media("m1"), "", {"comments", "feed_insights"}),
        (media("m1", media_product_type="STORY"), UNLISTED, {"comments", "story_insights"}),
        (media("m1", media_product_type="AD"), UNLISTED, {"comments"}),
        ({"id": "m1", "media_type": "IMAGE", "media_product_type": "FEED"}, UNLISTED, set()),
        (media("m1", owner={"id": "8"}, username="else"), UNLISTED, set()),
        (media("m1", owner={"id": "8"}), "", {"comments", "feed_insights"}),
    ],
    ids=["own", "a story", "an ad", "an item of an album", "somebody else's", "own, by another id of the account"],
)
def test_media_read_singly_counts_as_listed_only_where_a_listing_shows_it(
    node: dict[str, Any], parent: str, wants: set[str]
) -> None:
    found = page(INSTAGRAM, turn(MEDIA, "m1"), ok(**node))
    assert found.readings[0].parent == parent
    assert {wanted.task.kind for wanted in found.wanted} == wants


@pytest.mark.parametrize(
    ("kind", "about"),
    [(MEDIA, MEDIA), (COMMENT, COMMENT), ("ig_unlisted_comment", COMMENT)],
)
def test_object_that_is_not_found_singly_is_missing_and_not_said_to_be_gone(kind: str, about: str) -> None:
    found = page(INSTAGRAM, turn(kind, "x1"), MISSING)
    assert found.missing == [Object(about, "x1")]
    assert not found.readings
    assert found.skipped is None


@pytest.mark.parametrize("kind", ["comments", "new_comments", "replies", "feed_insights", "story_insights"])
def test_what_is_beneath_an_object_that_is_not_found_is_tried_again_and_completes_no_listing(kind: str) -> None:
    """meta.md 7.4: that is also said where there is too much to do."""
    with pytest.raises(PlatformError, match="wrong"):
        page(INSTAGRAM, turn(kind, "x1"), MISSING)


# --- comments


def test_comments_come_with_their_replies_and_say_where_they_were_found_where_the_answer_does_not() -> None:
    reply = comment("r1", parent_id="c1", media={"id": "m1"})
    listed = [comment("c1", replies={"data": [comment("r0"), reply]}), comment("c2", media={"id": "m1"})]
    found, [asked] = carried_out(INSTAGRAM, turn("comments", "m1"), paged(listed, after="x"))
    assert asked.url.endswith("/m1/comments")
    assert "replies.limit(50){id,text" in asked.query["fields"]
    read = {reading.about.id: reading for reading in found.readings}
    assert [read[id_].parent for id_ in ("c1", "c2", "r0", "r1")] == ["m1", "m1", "c1", "c1"]
    assert read["c1"].payload["listed_media_id"] == "m1"
    assert "listed_media_id" not in read["c2"].payload
    assert (read["r0"].payload["listed_media_id"], read["r0"].payload["listed_parent_id"]) == ("m1", "c1")
    assert read["r1"].payload == reply
    assert all("replies" not in reading.payload for reading in found.readings)
    assert found.cursor


def test_replies_are_walked_at_once_where_they_did_not_all_come_and_later_where_they_changed() -> None:
    cut = {"data": [comment("r1")], "paging": {"next": "?access_token=secret"}}
    whole = {"data": [comment("r2")], "paging": {"cursors": {"after": "x"}}}
    listed = paged([comment("c1", replies=cut), comment("c2", replies=whole), comment("c3")])
    first = tasks(page(INSTAGRAM, turn("comments", "m1"), listed))
    assert first[Task("replies", "c1")][2:] == (Priority.BACKFILL, timedelta(0), NOW - timedelta(days=1), "")
    assert first[Task("replies", "c2")].priority == Priority.SELDOM
    assert first[Task("replies", "c2")].delay > timedelta(days=1), "all of them came"
    assert Task("replies", "c3") not in first
    later = tasks(page(INSTAGRAM, turn("comments", "m1", first=False), listed))
    assert later[Task("replies", "c1")].priority == Priority.RECENT
    assert later[Task("replies", "c2")].mark == first[Task("replies", "c2")].mark, "nothing changed"
    gone = paged([comment("c2", replies={"data": [comment("r3")]})])
    changed = tasks(page(INSTAGRAM, turn("comments", "m1", first=False), gone))
    assert changed[Task("replies", "c2")].mark != first[Task("replies", "c2")].mark


def test_replies_that_were_left_out_of_a_page_that_was_too_much_are_walked() -> None:
    answers = [*[TOO_MUCH] * 6, paged([comment("c1"), comment("c2")])]
    found, asked = carried_out(INSTAGRAM, turn("comments", "m1"), *answers)
    assert "replies" not in asked[-1].query["fields"]
    assert set(tasks(found)) == {Task("replies", "c1"), Task("replies", "c2")}
    assert all(not wanted.mark for wanted in found.wanted)


def test_replies_of_a_comment_are_listed_under_it() -> None:
    found, [asked] = carried_out(INSTAGRAM, turn("replies", "c1"), paged([comment("r1"), comment("r2")], after="x"))
    assert asked.url.endswith("/c1/replies")
    assert [reading.parent for reading in found.readings] == ["c1", "c1"]
    assert found.readings[0].payload["listed_parent_id"] == "c1"
    assert found.cursor


def test_listing_that_shows_nothing_any_more_is_no_proof_unless_what_it_is_of_can_be_read() -> None:
    """meta.md 10.10: a positive control by the same token."""
    empty, later = ok(data=[]), {"first": False, "since": NOW}
    found, asked = carried_out(INSTAGRAM, turn("comments", "m1", **later), empty, ok(id="m1", is_comment_enabled=True))
    assert (asked[1].url, asked[1].query["fields"]) == ("https://graph.example/v25.0/m1", "id,is_comment_enabled")
    assert found.control
    off = ok(id="m1", is_comment_enabled=False)
    assert not page(INSTAGRAM, turn("comments", "m1", **later), empty, off).control
    assert not page(INSTAGRAM, turn("comments", "m1"), empty).control, "the first walk misses nothing"
    assert page(INSTAGRAM, turn("replies", "c1"), empty, ok(id="c1")).control
    cursor = page(INSTAGRAM, turn("replies", "c1"), paged([comment("r1")], after="x")).cursor
    assert not page(INSTAGRAM, turn("replies", "c1", cursor=cursor), empty).control, "the page before showed others"
    assert not page(INSTAGRAM, turn("comments", "m1", **later), paged([], after="x")).control, "it goes on"
    assert not page(INSTAGRAM, turn("replies", "c1"), paged([comment("r1")])).control
    with pytest.raises(PlatformError, match="wrong"):
        page(INSTAGRAM, turn("replies", "c1"), empty, MISSING)


def test_new_comments_are_walked_to_where_the_last_walk_began_and_a_webhook_may_be_late() -> None:
    later = {"first": False, "since": NOW - timedelta(hours=2)}
    young = page(INSTAGRAM, turn("new_comments", "m1", **later), paged([comment("c1", 1)], after="x"))
    assert young.cursor
    assert page(INSTAGRAM, turn("new_comments", "m1", **later), paged([comment("c1", 2)], after="x")).cursor is None


def test_comment_read_singly_stands_under_what_the_answer_says() -> None:
    for more, parent in (
        ({}, ""),  # what is known of its place stays
        ({"media": {"id": "m1"}}, "m1"),
        ({"media": {"id": "m1"}, "parent_id": "c0"}, "c0"),
    ):
        [reading] = page(INSTAGRAM, turn(COMMENT, "c1"), ok(**comment("c1", **more))).readings
        assert (reading.parent, reading.payload) == (parent, comment("c1", **more))
        [unlisted] = page(INSTAGRAM, turn("ig_unlisted_comment", "c1"), ok(**comment("c1", **more))).readings
        assert (unlisted.parent, unlisted.about) == (UNLISTED, Object(COMMENT, "c1"))


# --- mentions


def test_mentions_are_read_through_the_account_and_by_one_login_only() -> None:
    caption = {"id": "m9", "caption": "with @shop", "username": "else"}
    found, [asked] = carried_out(FACEBOOK, turn("ig_mentioned_media", "m9"), ok(mentioned_media=caption, id=SHOP))
    assert asked.url.endswith(f"/{SHOP}")
    assert asked.query["fields"].startswith("mentioned_media.media_id(m9){id,caption")
    assert [(one.type, one.payload) for one in found.readings] == [("mentioned_media.read", caption)]
    said = comment("c9", media={"id": "m9"})
    of_comment = page(FACEBOOK, turn("ig_mentioned_comment", "c9"), ok(mentioned_comment=said))
    assert [one.type for one in of_comment.readings] == ["mentioned_comment.read"]
    assert set(tasks(of_comment)) == {Task("ig_mentioned_media", "m9")}
    assert page(FACEBOOK, turn("ig_mentioned_comment", "c9"), MISSING).missing
    steps = PLATFORM.tasks["ig_mentioned_media"].read(INSTAGRAM, turn("ig_mentioned_media", "m9"))
    with pytest.raises(StopIteration) as done:
        next(steps)
    assert "Facebook Login" in done.value.value.skipped


# --- figures


def numbers(*names: str) -> Response:
    data = [{"name": name, "period": "lifetime", "title": "T", "values": [{"value": 3}]} for name in names]
    return ok(data=data, paging={"next": "?access_token=secret"})


NAMES_IT = "metric[0] must be one of the following values: views, reach"


def test_figures_are_asked_for_in_groups_and_by_the_login() -> None:
    found, asked = carried_out(INSTAGRAM, turn("feed_insights", "m1"), numbers(*CORE), numbers("follows"), ok(data=[]))
    assert [one.query["metric"] for one in asked] == [
        ",".join(CORE),
        "reposts,follows,profile_visits",
        "profile_activity",
    ]
    assert asked[2].query["breakdown"] == "action_type"
    [reading] = found.readings
    assert (reading.type, reading.about) == ("media.insights", Object("ig_media_insights", "m1"))
    assert reading.payload["data"][0] == {"name": "views", "period": "lifetime", "values": [{"value": 3}]}
    _, asked = carried_out(FACEBOOK, turn("feed_insights", "m1"), *[numbers("x")] * 4)
    assert asked[3].query["metric"] == "total_likes,total_comments,total_views"


def test_group_that_is_refused_is_asked_for_singly_and_unknown_names_are_remembered() -> None:
    unknown = refusal(100, message=NAMES_IT)
    answers = [unknown, *[numbers("x")] * 6, unknown, numbers("reposts"), numbers("profile_activity")]
    found, asked = carried_out(INSTAGRAM, turn("feed_insights", "m1"), *answers)
    assert [one.query["metric"] for one in asked[1:8]] == list(CORE)
    assert found.refused == ["instagram.insights.FEED.total_interactions"]
    again = replace(INSTAGRAM, refused=frozenset(found.refused))
    _, [first, *_] = carried_out(again, turn("feed_insights", "m1"), *[numbers("x")] * 3)
    assert first.query["metric"] == ",".join(CORE[:-1])


def test_figure_that_one_media_does_not_have_is_not_remembered_for_its_product() -> None:
    """meta.md 10.5: 2207086 is about media that are not on Facebook."""
    elsewhere = refusal(100, 2207086, message="The media is not shared to Facebook.")
    answers = [numbers("views"), numbers("reposts"), numbers("total_likes"), *[elsewhere] * 3]
    found = page(FACEBOOK, turn("reel_insights", "m1"), *answers)
    assert [item["name"] for item in found.readings[0].payload["data"]] == ["views", "reposts", "total_likes"]
    assert not found.refused
    assert found.skipped is None


@pytest.mark.parametrize("code", [100, 4])
def test_media_from_before_the_conversion_is_skipped_and_the_account_is_not(code: int) -> None:
    found = page(INSTAGRAM, turn("feed_insights", "m1"), refusal(code, 2108006, "Invalid parameter"))
    assert found.skipped
    assert "professional" in found.skipped
    assert not found.readings


def test_too_few_viewers_is_no_number_and_no_refusal() -> None:
    few = refusal(10, message="Not enough viewers for the media to show insights")
    assert page(INSTAGRAM, turn("story_insights", "m1"), few) == Page()


@pytest.mark.parametrize("code", [10, 100])
def test_media_of_which_all_figures_are_refused_is_skipped_and_no_name_is_remembered(code: int) -> None:
    """meta.md 10.5: live media, ads, and posts of others with whom the account worked."""
    found = page(INSTAGRAM, turn("feed_insights", "m1"), *[refusal(code)] * (1 + len(CORE)))
    assert found.skipped
    assert not found.refused


def test_permission_that_one_figure_lacks_is_remembered() -> None:
    """meta.md 10.5: total_views of stories is refused for some accounts with code 200."""
    yes = numbers("views")
    answers = [yes, yes, yes, yes, refusal(200), yes, refusal(200)]
    found = page(FACEBOOK, turn("story_insights", "m1"), *answers)
    assert found.refused == ["facebook.insights.STORY.total_views"]


def test_no_figures_at_all_is_no_reading() -> None:
    assert not page(INSTAGRAM, turn("reel_insights", "m1"), ok(data=[]), ok(data=[])).readings


GROUPS = 8
"""Requests for the figures of an account of one day."""


def test_figures_of_an_account_are_read_day_by_day_in_windows_of_utc() -> None:
    found, asked = carried_out(INSTAGRAM, turn("account_insights"), *[numbers("reach")] * GROUPS)
    day = datetime(2026, 11, 27, tzinfo=UTC)
    for one in asked:
        assert (int(one.query["since"]), int(one.query["until"])) == (
            int(day.timestamp()),
            int((day + timedelta(days=1)).timestamp()),
        )
    assert {one.query.get("breakdown") for one in asked} >= {"media_product_type", "follow_type", "follower_type"}
    [reading] = found.readings
    assert (reading.type, reading.about, reading.payload["day"]) == (
        "account.insights",
        Object("ig_account_day", "2026-11-27"),
        "2026-11-27",
    )
    assert set(tasks(found)) == {Task("past_account_insights")}
    assert found.wanted[0].priority == Priority.SELDOM
    days = ["2026-11-27"]
    while found.cursor:
        # The walk stays with the day on which it began.
        later = replace(turn("account_insights", cursor=found.cursor), now=NOW + timedelta(days=1))
        found = page(INSTAGRAM, later, *[numbers("reach")] * GROUPS)
        days += [str(one.payload["day"]) for one in found.readings]
    assert days == ["2026-11-27", "2026-11-26", "2026-11-25"]


def test_history_of_an_account_goes_on_where_the_last_days_end_and_back_ninety_days() -> None:
    found = page(INSTAGRAM, turn("past_account_insights"), *[numbers("reach")] * GROUPS)
    days = [found.readings[0].payload["day"]]
    while found.cursor:
        found = page(INSTAGRAM, turn("past_account_insights", cursor=found.cursor), *[ok(data=[])] * GROUPS)
        days.append(found.cursor)
    assert days[0] == "2026-11-24"
    assert len(days) == 87
    assert PLATFORM.tasks["past_account_insights"].priority == Priority.SELDOM


# --- how often


def test_what_is_new_is_read_often_and_what_is_old_seldom() -> None:
    again = PLATFORM.tasks["comments"].again
    intervals = [again(NOW, NOW - timedelta(days=days)) for days in (0, 3, 20, 300)]
    assert intervals == [timedelta(hours=12), timedelta(hours=12), timedelta(days=1), timedelta(days=30)]
    assert PLATFORM.tasks["media"].again(NOW, None) == timedelta(days=7)
    assert PLATFORM.tasks["recent_media"].again(NOW, None) < timedelta(hours=1)


def test_figures_of_a_story_are_read_every_three_hours_and_for_the_last_time_at_23() -> None:
    made = NOW
    again = PLATFORM.tasks["story_insights"].again
    looks, now = [], made
    while (wait := again(now, made)) is not None:
        now += wait
        looks.append((now - made).total_seconds() / 3600)
    assert looks == [3, 6, 9, 12, 15, 18, 21, 23]
    assert again(NOW, None) is None


# --- whatever comes


@pytest.mark.parametrize("kind", sorted(PLATFORM.tasks))
@pytest.mark.parametrize("value", DRIFT)
def test_answer_of_an_unexpected_shape_makes_no_reading_of_another_object(kind: str, value: Any) -> None:
    for answer in (value, {"data": value}, {"data": [value]}, {"id": value, "data": [{"id": value}]}):
        for account in (INSTAGRAM, FACEBOOK):
            found = always(account, turn(kind, "x1"), Response(200, answer))
            assert isinstance(found, Page) or found.kind == "transient"
            assert all(reading.about.id for reading in getattr(found, "readings", ()))
