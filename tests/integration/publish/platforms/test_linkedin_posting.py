"""Publishing to LinkedIn, through the driver and against the sandbox, as a member and as an organization."""

import hashlib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.posting import Posting, connect_organization

KINDS = ("text", "poll", "article", "image", "multi_image", "video", "document")
FILES = KINDS[2:]
"""Kinds that have files of their own, by which a post is told."""

POLL = {"question": "Which?", "options": ["black", "green"], "duration": "ONE_DAY"}
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "poll": {"poll": POLL},
    "article": {"title": "About (tea)", "description": "All of it"},
    "document": {"title": "Tea"},
    "image": {"title": "A cup"},
}
LINK = {"url": "https://example.org/tea"}
TEXT = "Tea (hot) for @all of [you] #tea_time_2 & 3*3 {x|y} <b> ~ \\"

CREATED = "POST /rest/posts"
LOST: Mapping[str, Mapping[str, Any]] = {
    "answer lost after the effect": {"effect": True, "drop": True},
    "request lost": {"drop": True},
    "500 after the effect": {"effect": True, "error": "server_error"},
    "500 without it": {"error": "server_error"},
    "504 after the effect": {"effect": True, "error": "gateway_timeout"},
    "504 without it": {"error": "gateway_timeout"},
    "201 without an id, and there": {"effect": True, "error": "created_without_id"},
    "201 without an id, and not there": {"error": "created_without_id"},
    "409 after the effect": {"effect": True, "error": "conflict"},
}
DONE = [name for name, fault in LOST.items() if fault.get("effect")]


def files(publishing: Posting, kind: str) -> Sequence[str]:
    add = publishing.media.add
    picture = {"width": 640, "height": 640}
    match kind:
        case "article" | "image":
            return [add("picture.jpg", "image/jpeg", **picture)]
        case "multi_image":
            return [add("picture.jpg", "image/jpeg", **picture), add("other.png", "image/png", size=9000, **picture)]
        case "video":
            return [add("film.mp4", "video/mp4", size=4 * 2**20 + 100_000, duration=5.0, **picture)]
        case "document":
            return [add("paper.pdf", "application/pdf", size=20_000)]
    return []


async def account(publishing: Posting, author: str) -> str:
    found = await publishing.rig.raw("SELECT id::text FROM connections WHERE platform = 'linkedin'")
    if found:
        return str(found[0]["id"])
    if author == "organization":
        return await connect_organization(publishing.rig)
    return (await publishing.rig.connect("linkedin"))[0]


async def begun(publishing: Posting, kind: str, author: str = "organization", text: str = TEXT, **more: Any) -> str:
    given: dict[str, Any] = {"kind": kind, "options": OPTIONS.get(kind, {}), "media": more.pop("media", None)}
    given["media"] = files(publishing, kind) if given["media"] is None else given["media"]
    given["link"] = LINK if kind == "article" else None
    return await publishing.target(await account(publishing, author), text, **(given | more))


async def command(publishing: Posting, name: str, /, **fields: Any) -> None:
    await publishing.rig.sandbox.command(name, platform="linkedin", **fields)


async def calls(publishing: Posting, endpoint: str) -> int:
    """How many calls of an endpoint, a pattern, there were."""
    made = await publishing.rig.sandbox.ledger("call", platform="linkedin")
    return sum(fnmatchcase(f"{one['method']} {one['path']}", endpoint) for one in made)


# --- what arrives


@pytest.mark.parametrize("author", ["person", "organization"])
@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_published_with_what_belongs_to_it(publishing: Posting, kind: str, author: str) -> None:
    media = files(publishing, kind)
    everywhere = {"visibility": "LOGGED_IN", "feed": "NONE", "reshare_disabled": True}
    id_ = await begun(publishing, kind, author, media=media, options={**OPTIONS.get(kind, {}), **everywhere})
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    [post] = await publishing.shown("linkedin")
    assert (post["id"], post["text"]) == (row["platform_post_id"], TEXT), "nothing is cut at a bracket"
    assert row["platform_post_url"] == f"https://www.linkedin.com/feed/update/{post['id']}/"
    sent, content = post["options"], post["options"].get("content", {})
    assert sent["author"].startswith(f"urn:li:{author}:")
    assert (sent["visibility"], sent["isReshareDisabledByAuthor"]) == ("LOGGED_IN", True)
    assert sent["distribution"]["feedDistribution"] == "NONE"
    contents = [publishing.media.files[each][0].read_bytes() for each in media]
    sums = [hashlib.sha256(each).hexdigest() for each in contents]
    match kind:
        case "poll":
            assert content["poll"]["question"] == "Which?"
            assert content["poll"]["options"] == [{"text": "black"}, {"text": "green"}]
            assert content["poll"]["settings"]["duration"] == "ONE_DAY"
        case "article":
            article = content["article"]
            assert (article["source"], article["title"], article["description"]) == (
                LINK["url"],
                "About (tea)",
                "All of it",
            ), "plain text, and not little text"
            assert article["thumbnail"].startswith("urn:li:image:")
        case "document":
            assert content["media"]["title"] == "Tea"
    if kind in ("image", "multi_image", "video", "document"):
        assert [file["sha256"] for file in post["files"]] == sums
        described = "a picture" if "image" in kind else None
        assert [file["alt_text"] for file in post["files"]] == [described] * len(media)


async def test_article_without_a_picture_needs_no_upload(publishing: Posting) -> None:
    row = await publishing.run(await begun(publishing, "article", media=[]))
    assert row["state"] == "published", dict(row)
    [post] = await publishing.shown("linkedin")
    assert "thumbnail" not in post["options"]["content"]["article"]


async def test_post_is_reshared(publishing: Posting) -> None:
    first = await publishing.run(await begun(publishing, "text", text="One"))
    options = {"reshare_of": first["platform_post_id"]}
    row = await publishing.run(await begun(publishing, "text", text="", options=options))
    assert row["state"] == "published", dict(row)
    assert (await publishing.shown("linkedin"))[1]["options"]["reshareContext"] == {"parent": first["platform_post_id"]}


# --- unknown outcomes


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("kind", KINDS)
async def test_organization_is_looked_up(publishing: Posting, kind: str, how: str) -> None:
    await command(publishing, "faults", endpoint=CREATED, **LOST[how])
    row = await publishing.run(await begun(publishing, kind))
    posts = await publishing.shown("linkedin")
    if how in DONE or kind in FILES:
        assert (row["state"], [post["id"] for post in posts]) == ("published", [row["platform_post_id"]]), dict(row)
    else:
        assert (row["state"], posts) == ("unconfirmed", [])
        assert "three times" in row["evidence"]


@pytest.mark.parametrize("how", LOST)
@pytest.mark.parametrize("kind", ["text", "image"])
async def test_member_is_asked_and_nothing_is_sent_again(publishing: Posting, kind: str, how: str) -> None:
    await command(publishing, "faults", endpoint=CREATED, **LOST[how])
    row = await publishing.run(await begun(publishing, kind, "person"))
    assert (row["state"], len(await publishing.shown("linkedin"))) == ("unconfirmed", int(how in DONE)), dict(row)
    assert "https://www.linkedin.com/in/me/recent-activity/all/" in row["evidence"]
    assert await calls(publishing, CREATED) == 1


@pytest.mark.parametrize("duplicate", ["named", "ghost"])
@pytest.mark.parametrize("author", ["person", "organization"])
async def test_refused_repeat_is_evidence_and_no_success(publishing: Posting, author: str, duplicate: str) -> None:
    for name, variant in (("duplicate", duplicate), ("duplicate_window", "48h")):
        await command(publishing, "variants", name=name, variant=variant)
    first = await publishing.run(await begun(publishing, "text", author))
    await publishing.rig.sandbox.command("clock", jump=3600)
    row = await publishing.run(await begun(publishing, "text", author))
    assert (row["state"], row["platform_post_id"]) == ("unconfirmed", None), dict(row)
    assert "which need not exist" in row["evidence"]
    assert (first["platform_post_id"] in row["evidence"]) is (duplicate == "named")
    assert len(await publishing.shown("linkedin")) == 1
    assert await calls(publishing, CREATED) == 2, "it is not asked a third time"


async def test_post_that_is_listed_late_is_found(publishing: Posting) -> None:
    await command(publishing, "listing-lag", seconds=200)
    await command(publishing, "faults", endpoint=CREATED, effect=True, drop=True)
    row = await publishing.run(await begun(publishing, "image"))
    assert (row["state"], len(await publishing.shown("linkedin"))) == ("published", 1)


async def test_post_that_is_listed_very_late_is_not_doubled_since_linkedin_refuses_it(publishing: Posting) -> None:
    await command(publishing, "variants", name="duplicate_window", variant="48h")
    await command(publishing, "listing-lag", seconds=3600)
    await command(publishing, "faults", endpoint=CREATED, effect=True, drop=True)
    row = await publishing.run(await begun(publishing, "image"))
    assert (row["state"], len(await publishing.shown("linkedin"))) == ("unconfirmed", 1), dict(row)


async def test_like_posts_leave_a_question(publishing: Posting) -> None:
    await command(publishing, "faults", endpoint=CREATED, drop=True)
    id_ = await begun(publishing, "text", text="Tea")
    for _ in range(2):
        await command(publishing, "act", what="publish", account="acme", text="Tea")
    row = await publishing.run(id_)
    assert (row["state"], await publishing.shown("linkedin")) == ("unconfirmed", [])
    assert row["evidence"].count("https://www.linkedin.com/feed/update/") == 2


@pytest.mark.parametrize("kind", ["image", "video"])
async def test_post_that_vanishes_after_its_201_is_not_called_published(publishing: Posting, kind: str) -> None:
    """The file's state could not be read, so it was posted unverified, and its processing failed then."""
    await command(publishing, "processing", result="failed", seconds=400)
    await command(publishing, "faults", endpoint=f"GET /rest/{kind}s/*", error="access_denied")
    row = await publishing.run(await begun(publishing, kind))
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "media_refused", True), dict(row)
    assert "dropped it" in row["error_message"]


async def test_post_that_is_not_found_after_its_201_is_a_question(publishing: Posting) -> None:
    await command(publishing, "vanish", seconds=0)
    row = await publishing.run(await begun(publishing, "image"))
    assert row["state"] == "unconfirmed", dict(row)
    assert "https://www.linkedin.com/feed/update/urn:li:share:" in row["evidence"]


async def test_reading_back_that_never_works_leaves_it_published(publishing: Posting) -> None:
    await command(publishing, "faults", endpoint="GET /rest/posts/*", error="unavailable", times=0)
    id_ = await begun(publishing, "image")
    for _ in range(6):
        await publishing.driver.drain()
        await publishing.hurry()
    assert (await publishing.row(id_))["step"] == "verify"
    await publishing.rig.raw("UPDATE post_targets SET step_since = step_since - interval '31 minutes'")
    row = await publishing.run(id_)
    assert (row["state"], len(await publishing.shown("linkedin"))) == ("published", 1), dict(row)


# --- files

UPLOADS = [
    ("image", "POST /rest/images"),
    ("image", "PUT /dms-uploads/*"),
    ("image", "GET /rest/images/*"),
    ("document", "POST /rest/documents"),
    ("document", "PUT /dms-uploads/*"),
    ("video", "POST /rest/videos"),
    ("video", "PUT /dms-uploads/*"),
    ("video", "GET /rest/videos/*"),
]


@pytest.mark.parametrize("how", [{"effect": True, "drop": True}, {"drop": True}, {"error": "server_error"}])
@pytest.mark.parametrize(("kind", "endpoint"), UPLOADS)
async def test_upload_goes_on_where_it_broke(
    publishing: Posting, kind: str, endpoint: str, how: Mapping[str, Any]
) -> None:
    await command(publishing, "faults", endpoint=endpoint, **how)
    row = await publishing.run(await begun(publishing, kind))
    assert (row["state"], len(await publishing.shown("linkedin"))) == ("published", 1), dict(row)


async def test_end_of_a_video_is_asked_again(publishing: Posting) -> None:
    await command(publishing, "faults", endpoint="POST /rest/videos", skip=1, effect=True, drop=True)
    row = await publishing.run(await begun(publishing, "video"))
    assert (row["state"], len(await publishing.shown("linkedin"))) == ("published", 1)
    assert await calls(publishing, "POST /rest/videos") == 3


async def test_end_of_a_video_is_tried_with_quotes_where_it_is_refused_without(publishing: Posting) -> None:
    await command(publishing, "faults", endpoint="POST /rest/videos", skip=1, status=422, body={"message": "parts"})
    row = await publishing.run(await begun(publishing, "video"))
    assert row["state"] == "published", dict(row)
    assert '"quoted": true' in row["kept"]


async def test_upload_that_breaks_within_a_part_sends_that_part_again(publishing: Posting) -> None:
    await command(publishing, "faults", endpoint="PUT /dms-uploads/*", receive=70_000)
    row = await publishing.run(await begun(publishing, "video"))
    assert row["state"] == "published", dict(row)
    assert await calls(publishing, "POST /rest/videos") == 2, "begun once and ended once"


@pytest.mark.parametrize("kind", ["image", "video"])
async def test_address_that_is_over_is_replaced(publishing: Posting, kind: str) -> None:
    await command(publishing, "faults", endpoint="PUT /dms-uploads/*", error="upload_expired")
    row = await publishing.run(await begun(publishing, kind))
    assert (row["state"], len(await publishing.shown("linkedin"))) == ("published", 1), dict(row)


async def test_file_that_fails_once_is_uploaded_again_and_one_that_always_does_is_refused(publishing: Posting) -> None:
    await command(publishing, "processing", result="failed", times=1)
    row = await publishing.run(await begun(publishing, "multi_image"))
    assert row["state"] == "published", dict(row)
    await command(publishing, "processing", result="failed", times=9)
    row = await publishing.run(await begun(publishing, "image", text="More"))
    assert (row["state"], row["error_code"]) == ("failed", "media_refused")
    assert len(await publishing.shown("linkedin")) == 1


async def test_token_that_dies_while_a_file_is_processed_begins_nothing_anew(publishing: Posting) -> None:
    await command(publishing, "faults", endpoint="GET /rest/images/*", error="token_expired")
    row = await publishing.run(await begun(publishing, "image"))
    assert row["state"] == "published", dict(row)
    assert await calls(publishing, "POST /rest/images") == 1


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        ("throttled", "publishing", "rate_limit_exceeded"),
        ("access_denied", "failed", "scope_not_authorized"),
        ("version_ended", "failed", "NONEXISTENT_VERSION"),
    ],
)
async def test_refusals_are_said(publishing: Posting, error: str, state: str, code: str) -> None:
    await command(publishing, "faults", endpoint=CREATED, error=error)
    id_ = await begun(publishing, "text")
    await publishing.driver.drain()
    row = await publishing.row(id_)
    assert (row["state"], row["error_code"], await publishing.shown("linkedin")) == (state, code, [])
    assert row["error_message"]


# --- comments, and what is done to posts that are there


COMMENTED = "POST /rest/socialActions/*/comments"


async def commented(publishing: Posting, author: str, **fault: Any) -> Any:
    first = await begun(publishing, "text", author, text="One")
    id_ = await begun(publishing, "comment", author, text="More (of it)", parent=first)
    await publishing.run(first)
    if fault:
        await command(publishing, "faults", endpoint=COMMENTED, **fault)
    return await publishing.run(id_)


@pytest.mark.parametrize("author", ["person", "organization"])
async def test_first_comment_is_plain_text(publishing: Posting, author: str) -> None:
    row = await commented(publishing, author)
    assert row["state"] == "published", dict(row)
    post, comment = await publishing.shown("linkedin")
    assert (comment["text"], comment["reply_to"]) == ("More (of it)", post["id"])
    assert row["platform_post_id"] == f"urn:li:comment:({post['id']},{comment['id']})"


@pytest.mark.parametrize("author", ["person", "organization"])
@pytest.mark.parametrize("how", LOST)
async def test_comment_is_looked_for_where_comments_can_be_read(publishing: Posting, how: str, author: str) -> None:
    row = await commented(publishing, author, **LOST[how])
    assert len(await publishing.shown("linkedin")) == 1 + (how in DONE)
    assert row["state"] == ("published" if author == "organization" and how in DONE else "unconfirmed"), dict(row)
    assert await calls(publishing, COMMENTED) == 1


async def test_comment_is_answered_and_deleted(publishing: Posting) -> None:
    first = await commented(publishing, "organization")
    options = {"parent_post_id": first["platform_post_id"]}
    answer = await publishing.run(await begun(publishing, "comment", text="Even more", options=options))
    assert answer["state"] == "published", dict(answer)
    for row in (answer, first):
        options = {"parent_post_id": row["platform_post_id"]}
        gone = await publishing.run(await begun(publishing, "delete_comment", text="", options=options))
        assert gone["state"] == "published", dict(gone)
    [post] = (await publishing.rig.sandbox.state())["platforms"]["linkedin"]["accounts"]["acme"]
    assert post["comments"] == []


REPEATED = [{}, {"effect": True, "drop": True}, {"drop": True}, {"error": "server_error"}]


@pytest.mark.parametrize("how", REPEATED)
@pytest.mark.parametrize("author", ["person", "organization"])
async def test_deleting_is_repeated_until_it_is_done(publishing: Posting, author: str, how: Mapping[str, Any]) -> None:
    post = await publishing.run(await begun(publishing, "text", author))
    if how:
        await command(publishing, "faults", endpoint="DELETE /rest/posts/*", **how)
    options = {"parent_post_id": post["platform_post_id"]}
    row = await publishing.run(await begun(publishing, "delete_post", author, text="", options=options))
    assert row["state"] == "published", dict(row)
    shown = (await publishing.rig.sandbox.state())["platforms"]["linkedin"]["accounts"]
    assert (shown["shop"], shown["acme"]) == ([], [])


@pytest.mark.parametrize("how", REPEATED)
@pytest.mark.parametrize("author", ["person", "organization"])
async def test_text_is_edited(publishing: Posting, author: str, how: Mapping[str, Any]) -> None:
    post = await publishing.run(await begun(publishing, "text", author))
    if how:
        await command(publishing, "faults", endpoint="POST /rest/posts/*", **how)
    options = {"parent_post_id": post["platform_post_id"]}
    row = await publishing.run(await begun(publishing, "edit_post", author, text="New (text)", options=options))
    assert row["state"] == "published", dict(row)
    shown = (await publishing.rig.sandbox.state())["platforms"]["linkedin"]["accounts"]
    [now] = shown["shop"] + shown["acme"]
    assert now["text"] == "New (text)"


async def test_edit_that_changed_nothing_is_said(publishing: Posting) -> None:
    await command(publishing, "variants", name="partial_update", variant="ignored")
    post = await publishing.run(await begun(publishing, "text"))
    options = {"parent_post_id": post["platform_post_id"]}
    row = await publishing.run(await begun(publishing, "edit_post", text="New", options=options))
    assert (row["state"], row["error_code"]) == ("failed", "edit_ignored"), dict(row)
