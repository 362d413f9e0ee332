"""Publishing to X, through the driver and against the sandbox: each post is there once, whatever happens."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.posting import Posting

POLL = {"poll": {"options": ["black", "green"], "minutes": 60}}
MADE = "POST /2/tweets"
LOST: Mapping[str, Mapping[str, Any]] = {
    "answer lost after the effect": {"effect": True, "drop": True},
    "request lost": {"drop": True},
    "500 after the effect": {"effect": True, "error": "internal_error"},
    "500 without it": {"error": "internal_error"},
    "from the edge after the effect": {"effect": True, "error": "edge_unavailable"},
    "from the edge without it": {"error": "edge_unavailable"},
    "created without data, and there": {"effect": True, "error": "created_without_data"},
    "created without data, and not there": {"error": "created_without_data"},
}
DONE = [name for name, fault in LOST.items() if fault.get("effect")]


def files(publishing: Posting, kind: str) -> Sequence[str]:
    add = publishing.media.add
    match kind:
        case "images":
            return [add("picture.jpg", "image/jpeg", width=640, height=640) for _ in range(2)]
        case "gif":
            return [add("turning.gif", "image/gif", size=3000, width=640, height=640)]
        case "video":
            return [add("film.mp4", "video/mp4", size=2 * 2**20 + 5, width=640, height=640, duration=5.0)]
    return []


async def begun(publishing: Posting, kind: str, text: str = "Tea", **more: Any) -> str:
    found = await publishing.rig.raw("SELECT id::text FROM connections WHERE platform = 'x'")
    account = found[0]["id"] if found else (await publishing.rig.connect("x"))[0]
    options = POLL if kind == "poll" else {}
    media = files(publishing, kind)
    return await publishing.target(account, text, **{"kind": kind, "media": media, "options": options} | more)


async def fault(publishing: Posting, endpoint: str, **how: Any) -> None:
    await publishing.rig.sandbox.command("faults", platform="x", endpoint=endpoint, **how)


async def calls(publishing: Posting, endpoint: str) -> int:
    """How many calls of an endpoint, a pattern, there were."""
    made = await publishing.rig.sandbox.ledger("call", platform="x")
    return sum(fnmatchcase(f"{one['method']} {one['path']}", endpoint) for one in made)


async def after(publishing: Posting, parent: str, text: str, kind: str = "text") -> str:
    """A target that answers another one, which is published."""
    id_ = await begun(publishing, kind, text, parent=parent)
    await publishing.run(parent)
    return id_


# --- what arrives


@pytest.mark.parametrize("kind", ["text", "poll", "images", "gif", "video"])
async def test_each_kind_is_published_with_what_belongs_to_it(publishing: Posting, kind: str) -> None:
    shared = {"reply_control": "following", "ai_generated": True, "paid_partnership": True}
    options = shared | (POLL if kind == "poll" else {})
    media = files(publishing, kind)
    row = await publishing.run(await begun(publishing, kind, "Tea & cake", media=media, options=options))
    assert row["state"] == "published", dict(row)
    [post] = await publishing.shown("x")
    assert (post["id"], post["text"]) == (row["platform_post_id"], "Tea & cake")
    assert row["platform_post_url"] == f"https://x.com/shop/status/{post['id']}"
    sent = post["options"]
    assert (sent["reply_settings"], sent["made_with_ai"], sent["paid_partnership"]) == ("following", True, True)
    assert sent.get("poll") == ({"options": ["black", "green"], "duration_minutes": 60} if kind == "poll" else None)
    contents = [publishing.media.files[each][0].read_bytes() for each in media]
    assert [file["sha256"] for file in post["files"]] == [hashlib.sha256(each).hexdigest() for each in contents]
    described = {"images": ["a picture"] * 2, "gif": ["a picture"]}.get(kind, [None] * len(media))
    assert [file["alt_text"] for file in post["files"]] == described


async def test_thread_is_published_in_order_each_part_below_the_one_before(publishing: Posting) -> None:
    first = await begun(publishing, "text", "One")
    second = await after(publishing, first, "Two", "images")
    third = await after(publishing, second, "Three")
    row = await publishing.run(third)
    assert row["state"] == "published", dict(row)
    posts = await publishing.shown("x")
    assert [post["text"] for post in posts] == ["One", "Two", "Three"]
    assert [post["reply_to"] for post in posts] == [None, posts[0]["id"], posts[1]["id"]]


async def test_part_whose_answer_was_lost_is_found_among_the_answers(publishing: Posting) -> None:
    second = await after(publishing, await begun(publishing, "text", "One"), "Two")
    await fault(publishing, MADE, effect=True, drop=True)
    row = await publishing.run(second)
    assert (row["state"], len(await publishing.shown("x"))) == ("published", 2)


async def test_thread_that_x_refuses_stops_and_says_so(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("variants", platform="x", name="self_reply", variant="refused")
    first = await begun(publishing, "text", "One")
    row = await publishing.run(await after(publishing, first, "Two"))
    assert (row["state"], row["error_code"]) == ("failed", "reply_refused")
    assert (await publishing.row(first))["state"] == "published"


async def test_parent_that_is_not_known_everywhere_yet_is_waited_for(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("parent-lag", platform="x", seconds=20)
    row = await publishing.run(await after(publishing, await begun(publishing, "text", "One"), "Two"))
    assert (row["state"], len(await publishing.shown("x"))) == ("published", 2), dict(row)


# --- unknown outcomes


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("kind", ["text", "poll", "images", "gif", "video"])
async def test_unknown_outcome_is_looked_up(publishing: Posting, kind: str, how: str) -> None:
    await fault(publishing, MADE, **LOST[how])
    row = await publishing.run(await begun(publishing, kind, "Tea <3 https://example.org/a?b=1 & example.com"))
    posts = await publishing.shown("x")
    if how in DONE:
        assert (row["state"], [post["id"] for post in posts]) == ("published", [row["platform_post_id"]]), dict(row)
    elif kind == "text":
        assert (row["state"], len(posts)) == ("published", 1), "X refuses an exact repeat by itself"
    else:
        assert (row["state"], posts) == ("unconfirmed", [])
        assert "three times" in row["evidence"]


async def test_post_that_is_listed_late_is_found_by_the_third_look(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("listing-lag", platform="x", seconds=100)
    await fault(publishing, MADE, effect=True, drop=True)
    row = await publishing.run(await begun(publishing, "text"))
    assert (row["state"], len(await publishing.shown("x"))) == ("published", 1)


async def test_post_that_is_listed_very_late_is_not_doubled_since_x_refuses_the_repeat(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("listing-lag", platform="x", seconds=600)
    await fault(publishing, MADE, effect=True, drop=True)
    row = await publishing.run(await begun(publishing, "text"))
    assert (row["state"], len(await publishing.shown("x"))) == ("unconfirmed", 1), dict(row)
    assert "says that this account has posted the same text" in row["evidence"]


@pytest.mark.parametrize("error", ["duplicate", "duplicate_legacy"])
async def test_repeat_of_what_somebody_posted_before_is_a_question(publishing: Posting, error: str) -> None:
    first = await publishing.run(await begun(publishing, "text"))
    await publishing.rig.sandbox.command("clock", jump=3600)
    await fault(publishing, MADE, error=error)
    row = await publishing.run(await begun(publishing, "text"))
    assert (row["state"], row["platform_post_id"]) == ("unconfirmed", None)
    assert first["platform_post_url"] in row["evidence"], "the person sees what is there"
    assert len(await publishing.shown("x")) == 1


async def test_late_effect_is_found(publishing: Posting) -> None:
    await fault(publishing, MADE, effect=True, late_seconds=45, drop=True)
    row = await publishing.run(await begun(publishing, "text"))
    assert (row["state"], len(await publishing.shown("x"))) == ("published", 1)


async def test_two_like_posts_leave_a_question(publishing: Posting) -> None:
    """One by hand in the same minute, as the exact repeat of ours, which was never made."""
    await fault(publishing, MADE, drop=True)
    id_ = await begun(publishing, "text")
    for _ in range(2):
        await publishing.rig.sandbox.command("act", platform="x", what="publish", account="shop", text="Tea")
    row = await publishing.run(id_)
    assert (row["state"], len(await publishing.shown("x"))) == ("unconfirmed", 0)
    assert row["evidence"].count("https://x.com/shop/status/") == 2


# --- files


@pytest.mark.parametrize(
    "endpoint",
    [
        "POST /2/media/upload/initialize",
        "POST /2/media/upload/*/append",
        "POST /2/media/upload/*/finalize",
        "GET /2/media/upload",
        "POST /2/media/metadata",
    ],
)
@pytest.mark.parametrize("how", [{"effect": True, "drop": True}, {"drop": True}, {"error": "internal_error"}])
async def test_upload_goes_on_where_it_broke(publishing: Posting, endpoint: str, how: Mapping[str, Any]) -> None:
    kind = "images" if endpoint.endswith("metadata") else "video"
    await fault(publishing, endpoint, **how)
    row = await publishing.run(await begun(publishing, kind))
    assert (row["state"], len(await publishing.shown("x"))) == ("published", 1), dict(row)
    pieces = await calls(publishing, "POST /2/media/upload/*/append")
    if endpoint.endswith("append"):
        assert pieces == 4, "of three pieces, only the one that broke was sent again"


async def test_upload_that_breaks_within_a_piece_sends_that_piece_again(publishing: Posting) -> None:
    await fault(publishing, "POST /2/media/upload/*/append", skip=1, receive=70_000)
    row = await publishing.run(await begun(publishing, "video"))
    assert row["state"] == "published", dict(row)
    assert await calls(publishing, "POST /2/media/upload/initialize") == 1


async def test_file_that_fails_once_is_uploaded_again_and_one_that_always_does_is_refused(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("processing", platform="x", result="failed", times=1)
    row = await publishing.run(await begun(publishing, "video"))
    assert (row["state"], await calls(publishing, "POST /2/media/upload/initialize")) == ("published", 2)
    await publishing.rig.sandbox.command("processing", platform="x", result="failed", times=9)
    row = await publishing.run(await begun(publishing, "video", "More"))
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "media_refused", True)
    assert len(await publishing.shown("x")) == 1


async def test_file_that_is_processed_for_ever_is_given_up(publishing: Posting) -> None:
    await publishing.rig.sandbox.command("processing", platform="x", result="stuck", times=9)
    id_ = await begun(publishing, "video")
    for _ in range(40):
        await publishing.driver.drain()
        await publishing.rig.raw("UPDATE post_targets SET step_since = step_since - interval '30 minutes'")
        await publishing.hurry()
    row = await publishing.row(id_)
    assert (row["state"], row["error_code"]) == ("failed", "media_refused")


async def test_files_that_ended_before_the_post_are_uploaded_again(publishing: Posting) -> None:
    """A limit held the post back for longer than X keeps files."""
    await fault(publishing, MADE, error="rate_limited")
    id_ = await begun(publishing, "images")
    await publishing.driver.drain()
    row = await publishing.row(id_)
    assert (row["step"], row["error_code"], row["commits"]) == ("publish", "rate_limit_exceeded", 0)
    for _ in range(5):
        await publishing.hurry()
        await publishing.driver.drain()
    row = await publishing.row(id_)
    assert (row["step"], row["commits"]) == ("publish", 0), "what a limit holds back costs no attempt"
    await publishing.rig.raw("UPDATE platform_budgets SET held_until = NULL")
    await publishing.rig.sandbox.command("clock", jump=2 * 86_400)
    row = await publishing.run(id_)
    assert (row["state"], len(await publishing.shown("x"))) == ("published", 1), dict(row)
    assert await calls(publishing, "POST /2/media/upload/initialize") == 4


async def test_token_that_dies_while_a_file_is_processed_begins_nothing_anew(publishing: Posting) -> None:
    await fault(publishing, "GET /2/media/upload", error="unauthorized")
    row = await publishing.run(await begun(publishing, "video"))
    assert row["state"] == "published", dict(row)
    assert await calls(publishing, "POST /2/media/upload/initialize") == 1


@pytest.mark.parametrize("error", ["rate_limited", "usage_capped"])
async def test_limit_holds_the_post_back_without_costing_an_attempt(publishing: Posting, error: str) -> None:
    await fault(publishing, MADE, error=error)
    id_ = await begun(publishing, "text")
    await publishing.driver.drain()
    row = await publishing.row(id_)
    assert (row["state"], row["error_code"], row["failures"]) == ("publishing", "rate_limit_exceeded", 0)
    assert await publishing.shown("x") == []


@pytest.mark.parametrize(
    ("error", "code"), [("out_of_credits", "402"), ("forbidden", "scope_not_authorized"), ("unauthorized", "")]
)
async def test_refusals_are_said(publishing: Posting, error: str, code: str) -> None:
    await fault(publishing, MADE, error=error)
    row = await publishing.run(await begun(publishing, "text"))
    if error == "unauthorized":
        assert (row["state"], len(await publishing.shown("x"))) == ("published", 1), "the token was renewed"
    else:
        assert (row["state"], row["error_code"], await publishing.shown("x")) == ("failed", code, [])
        assert row["error_message"]


async def long_connected(publishing: Posting) -> None:
    """Nobody asked the platform about the account within the last minute, as is mostly so when a token ends."""
    await publishing.rig.raw("UPDATE connections SET checked_at = checked_at - interval '1 hour'")


async def test_token_that_was_refused_is_renewed_and_the_post_goes_on_at_once(publishing: Posting) -> None:
    id_ = await begun(publishing, "text")
    await long_connected(publishing)
    await fault(publishing, MADE, error="unauthorized")
    await publishing.driver.drain()
    row = await publishing.row(id_)
    assert (row["state"], row["due_at"]) == ("published", None), dict(row)
    assert (await calls(publishing, MADE), await calls(publishing, "POST /2/oauth2/token")) == (2, 2)


async def test_token_that_is_refused_though_it_is_new_is_no_hot_loop(publishing: Posting) -> None:
    id_ = await begun(publishing, "text")
    await long_connected(publishing)
    await fault(publishing, MADE, error="unauthorized", times=0)
    await publishing.driver.drain()
    row = await publishing.row(id_)
    assert (row["state"], row["error_code"]) == ("publishing", "access_token_invalid"), dict(row)
    [[pause]] = await publishing.rig.raw("SELECT extract(epoch FROM due_at - now())::float8 FROM post_targets")
    assert pause > 5
    assert (await calls(publishing, MADE), await calls(publishing, "POST /2/oauth2/token")) == (2, 2)


async def test_token_that_another_process_renewed_meanwhile_is_taken_and_not_renewed_again(
    publishing: Posting,
) -> None:
    id_ = await begun(publishing, "text")
    await fault(publishing, MADE, error="unauthorized")
    [account] = await publishing.rig.raw("SELECT id::text FROM connections")
    tokens: Any = publishing.driver.tokens

    class Renewed:
        access = staticmethod(tokens.access)

        async def renew(self, tenant: str, id_: str, refused: Mapping[str, str]) -> bool:
            await publishing.rig.raw("UPDATE connections SET refresh_due_at = now()")
            assert await tokens.refresh(account["id"], tenant=tenant) == "refreshed"
            found: bool = await tokens.renew(tenant, id_, refused)
            return found

    await replace(publishing.driver, tokens=Renewed()).drain()
    assert (await publishing.row(id_))["state"] == "published"
    assert await calls(publishing, "POST /2/oauth2/token") == 2, "the code, and the one refresh"


# --- what is done to posts that are there


@pytest.mark.parametrize("how", [{}, {"effect": True, "drop": True}, {"drop": True}, {"error": "internal_error"}])
async def test_deleting_is_repeated_until_it_is_done(publishing: Posting, how: Mapping[str, Any]) -> None:
    post = await publishing.run(await begun(publishing, "text"))
    if how:
        await fault(publishing, "DELETE /2/tweets/*", **how)
    options = {"parent_post_id": post["platform_post_id"]}
    row = await publishing.run(await begun(publishing, "delete_post", "", options=options))
    assert row["state"] == "published", dict(row)
    state = await publishing.rig.sandbox.state()
    assert state["platforms"]["x"]["accounts"]["shop"] == []


@pytest.mark.parametrize("how", [{}, {"effect": True, "drop": True}, {"drop": True}, {"error": "internal_error"}])
async def test_answers_are_hidden_and_shown(publishing: Posting, how: Mapping[str, Any]) -> None:
    first = await begun(publishing, "text", "One")
    answer = await publishing.run(await after(publishing, first, "Two"))
    posts: Any = publishing.rig.server.simulation.platforms["x"]
    options = {"parent_post_id": answer["platform_post_id"]}
    for kind, hidden in (("hide_comment", True), ("show_comment", False)):
        if how:
            await fault(publishing, "PUT /2/tweets/*/hidden", **how)
        row = await publishing.run(await begun(publishing, kind, "", options=options))
        assert row["state"] == "published", dict(row)
        assert posts.posts[answer["platform_post_id"]].hidden is hidden
    assert len(await publishing.shown("x")) == 2


async def test_account_that_was_connected_without_it_is_asked_to_allow_hiding(publishing: Posting) -> None:
    first = await begun(publishing, "text", "One")
    answer = await publishing.run(await after(publishing, first, "Two"))
    await publishing.rig.raw("UPDATE connections SET scopes = array_remove(scopes, 'tweet.moderate.write')")
    row = await publishing.run(
        await begun(publishing, "hide_comment", "", options={"parent_post_id": answer["platform_post_id"]})
    )
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "scope_not_authorized", True)
    assert "tweet.moderate.write" in row["error_message"]
    assert "Connect the account again" in row["error_message"]
    assert await calls(publishing, "PUT /2/tweets/*/hidden") == 0, "nothing is asked that is sure to be refused"
