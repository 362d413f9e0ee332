"""What people and moderation change on Instagram without an event, with either login (``meta.md`` 2.2, 10.2, 10.10)."""

from typing import Any

import pytest

from tests.sandbox.conftest import Receiver, Stand, code
from tests.sandbox.reading import DAY, act, commented, graph, ids, newest, platform_of, token, walked

LOGINS = ("instagram", "facebook")


async def listened(stand: Stand, receiver: Receiver) -> None:
    for platform, stream in (("instagram", ""), ("facebook", "instagram")):
        about = {"platform": platform, "stream": stream, "url": receiver.url, "verify_token": receiver.token}
        await stand.command("webhooks", **about, all_accounts=True)


@pytest.mark.parametrize("login", LOGINS)
async def test_caption_is_edited_and_a_comment_is_only_moderated(stand: Stand, login: str) -> None:
    secret, media = token(stand, login), newest(stand)
    comment = await commented(stand, media, "rude")
    await act(stand, "edit", id=media, text="another caption")
    assert (await graph(stand, secret, media, login, fields="caption"))["caption"] == "another caption"
    await act(stand, "moderate", id=comment, text="****")
    assert (await graph(stand, secret, comment, login, fields="text"))["text"] == "****"
    await act(stand, "moderate", id=comment, text="")
    assert "text" not in await graph(stand, secret, comment, login, fields="text"), "absent, not empty"
    refused = await stand.refused("act", platform="instagram", what="edit", account="shop", id=comment, text="new")
    assert refused == "Instagram has no edits of comments: its moderation may change one (moderate)"


@pytest.mark.parametrize("login", LOGINS)
async def test_hide_archive_and_deletion_by_a_person_send_nothing_and_are_read(
    stand: Stand, receiver: Receiver, login: str
) -> None:
    await listened(stand, receiver)
    secret, media = token(stand, login), newest(stand)
    account = platform_of(stand).instagram.people["shop"].user_id
    kept, gone = [await commented(stand, media, text) for text in ("kept", "gone")]
    reply = await commented(stand, kept, "below")
    await receiver.until(6)  # three comments, by both logins
    await act(stand, "hide", id=kept)
    assert (await graph(stand, secret, kept, login, fields="hidden"))["hidden"] is True
    await act(stand, "unhide", id=kept)
    assert (await graph(stand, secret, kept, login, fields="hidden"))["hidden"] is False
    await act(stand, "archive", id=media)
    assert media not in ids(await walked(stand, secret, f"{account}/media", login, fields="id"))
    for id_ in (media, kept, reply):
        assert code(await graph(stand, secret, id_, login)) == (100, 33), "nothing of it can be read"
    assert code(await graph(stand, secret, f"{media}/comments", login)) == (100, 33)
    await act(stand, "unarchive", id=media)
    await act(stand, "remove", id=gone)
    assert ids(await walked(stand, secret, f"{media}/comments", login)) == [kept]
    assert code(await graph(stand, secret, gone, login)) == (100, 33)
    await act(stand, "remove", id=kept)
    assert code(await graph(stand, secret, reply, login)) == (100, 33), "a reply goes with its parent"
    assert len(receiver.came) == 6
    actions = [entry["action"] for entry in await stand.ledger("change", by="owner")]
    assert actions == ["hide", "unhide", "archive", "unarchive", "remove", "remove"]


async def test_comment_of_a_restricted_person_is_listed_once_it_is_approved(stand: Stand) -> None:
    secret, media = token(stand), newest(stand)
    before = await commented(stand, media, "before", by="fan_3")
    await act(stand, "restrict", by="fan_3")
    waiting = await commented(stand, media, "after", by="fan_3")
    assert ids(await walked(stand, secret, f"{media}/comments")) == [before]
    assert (await graph(stand, secret, waiting, fields="text"))["text"] == "after"
    await stand.command("variants", platform="instagram", name="withheld", variant="missing")
    assert code(await graph(stand, secret, waiting)) == (100, 33)
    assert (await graph(stand, secret, media, fields="comments_count"))["comments_count"] == 1
    await act(stand, "approve", id=waiting)
    await act(stand, "unrestrict", by="fan_3")
    later = await commented(stand, media, "later", by="fan_3")
    assert ids(await walked(stand, secret, f"{media}/comments")) == [later, waiting, before]


@pytest.mark.parametrize(("kind", "topic"), [("live", "live_comments"), ("age_gated", "comments"), ("ad", "comments")])
async def test_withheld_comment_is_told_and_never_listed(
    stand: Stand, receiver: Receiver, kind: str, topic: str
) -> None:
    await listened(stand, receiver)
    secret, media = token(stand), newest(stand)
    comment = await commented(stand, media, kind=kind)
    came = await receiver.until(2)
    for delivery in came:
        [change] = delivery.json["entry"][0]["changes"]
        assert (change["field"], change["value"]["id"]) == (topic, comment)
    assert ids(await walked(stand, secret, f"{media}/comments")) == []
    assert "is one of live, age_gated, ad" in await stand.refused(
        "act", platform="instagram", what="comment", account="shop", post=media, text="x", kind="loud"
    )


async def test_comments_that_are_off_take_none_and_may_hide_those_there_are(stand: Stand) -> None:
    secret, media = token(stand), newest(stand)
    comment = await commented(stand, media)
    await act(stand, "comments_off", id=media)
    assert (await graph(stand, secret, media, fields="is_comment_enabled"))["is_comment_enabled"] is False
    refused = await stand.refused("act", platform="instagram", what="comment", account="shop", post=media, text="x")
    assert refused == f"comments are off for post {media}"
    assert ids(await walked(stand, secret, f"{media}/comments")) == [comment]
    await stand.command("variants", platform="instagram", name="closed", variant="empty")
    assert ids(await walked(stand, secret, f"{media}/comments")) == []
    await act(stand, "comments_on", id=media)
    assert ids(await walked(stand, secret, f"{media}/comments")) == [comment]


async def test_likes_come_and_go_and_may_be_hidden(stand: Stand) -> None:
    secret, media = token(stand), newest(stand)
    comment = await commented(stand, media)
    for id_ in (media, comment):
        await act(stand, "like", id=id_, count=5)
        await act(stand, "like", id=id_, count=-2)
        assert (await graph(stand, secret, id_, fields="like_count"))["like_count"] == 3
        await stand.command("object", platform="instagram", id=id_, settings={"likes_hidden": True})
        assert "like_count" not in await graph(stand, secret, id_, fields="like_count")
    for _ in range(60):
        platform_of(stand).simulate_activity()
    assert any(media.likes for media in platform_of(stand).instagram.of("alice")), "also by themselves"


async def test_story_lives_24_hours_and_its_numbers_are_told_to_facebooks_login(
    stand: Stand, receiver: Receiver
) -> None:
    await listened(stand, receiver)
    secret = token(stand)
    story = (await act(stand, "publish", text="", kind="STORIES"))["id"]
    assert ids(await walked(stand, secret, "me/stories")) == [story]
    assert story not in ids(await walked(stand, secret, "me/media"))
    await stand.command("clock", jump=DAY - 60)
    assert (await graph(stand, secret, story))["id"] == story
    assert receiver.came == []
    await stand.command("clock", jump=61)
    [came] = await receiver.until(1)
    [change] = came.json["entry"][0]["changes"]
    assert (change["field"], change["value"]["media_id"]) == ("story_insights", story)
    assert ids(await walked(stand, secret, "me/stories")) == []
    assert code(await graph(stand, secret, story)) == (100, 33)


async def test_owner_publishes_of_every_kind(stand: Stand) -> None:
    secret = token(stand)
    fields = "media_type,media_product_type,children{id}"
    kinds: dict[str, Any] = {
        kind: await graph(stand, secret, (await act(stand, "publish", text="t", kind=kind))["id"], fields=fields)
        for kind in ("IMAGE", "REELS", "CAROUSEL")
    }
    assert [found["media_product_type"] for found in kinds.values()] == ["FEED", "REELS", "FEED"]
    assert len(kinds["CAROUSEL"]["children"]["data"]) == 3
    assert "a post is one of" in await stand.refused(
        "act", platform="instagram", what="publish", account="shop", text="t", kind="SONG"
    )
    assert "no kind" in await stand.refused("act", platform="tiktok", what="publish", account="shop", kind="SONG")


async def test_deactivated_account_shows_nothing_and_comes_back(stand: Stand) -> None:
    """``meta.md`` 10.10: a missing object is not a deleted object."""
    secret, media = token(stand), newest(stand)
    comment = await commented(stand, media)
    await stand.command("account", platform="instagram", account="shop", settings={"deactivated": True})
    for path in ("me", "me/media", media, comment, f"{media}/comments"):
        assert code(await graph(stand, secret, path)) == (100, 33), path
    await stand.command("account", platform="instagram", account="shop", settings={"deactivated": False})
    assert (await graph(stand, secret, comment))["id"] == comment


async def test_mention_is_told_by_its_ids_to_one_login_and_as_a_comment_to_the_other(
    stand: Stand, receiver: Receiver
) -> None:
    """``meta.md`` 2.2, 2.3 and 10.4."""
    await listened(stand, receiver)
    comment = (await act(stand, "mention", by="fan_7", text="hello @shop"))["id"]
    came = await receiver.until(2)
    changes = {change["field"]: change["value"] for each in came for change in each.json["entry"][0]["changes"]}
    media = changes["mentions"]["media_id"]
    assert changes["mentions"] == {"media_id": media, "comment_id": comment}
    assert (changes["comments"]["id"], changes["comments"]["media"]["id"]) == (comment, media)
    account, secret = platform_of(stand).instagram.people["shop"].user_id, token(stand, "facebook")
    fields = f"mentioned_comment.comment_id({comment}){{id,text,timestamp,like_count,media{{id}}}}"
    found = (await graph(stand, secret, account, "facebook", fields=fields))["mentioned_comment"]
    assert (found["text"], found["media"]) == ("hello @shop", {"id": media})
    fields = f"mentioned_media.media_id({media}){{id,caption,username}}"
    assert (await graph(stand, secret, account, "facebook", fields=fields))["mentioned_media"]["username"] == "fan_7"
    assert code(await graph(stand, token(stand), comment)) == (100, 33), "it is not its own"
    caption = (await act(stand, "mention", by="fan_7", text="by @shop", kind="caption"))["id"]
    [told] = (await receiver.until(3))[2:]
    assert told.json["entry"][0]["changes"] == [{"field": "mentions", "value": {"media_id": caption}}]
    await act(stand, "remove", id=comment)
    fields = f"mentioned_comment.comment_id({comment}){{id}}"
    assert code(await graph(stand, secret, account, "facebook", fields=fields)) == (100, 33)
    assert code(await graph(stand, secret, account, "facebook", fields="mentioned_comment{id}")) == (100, None)
    [kept] = (await stand.world("instagram", account="shop"))["mentions"]
    assert (kept["media"], kept["comment"], kept["caption"]) == (caption, None, "by @shop")


@pytest.mark.parametrize(("login", "account"), [("instagram", "shop"), ("facebook", "alice")])
async def test_permission_is_taken_back_from_tokens_that_live_on(stand: Stand, login: str, account: str) -> None:
    platform, media = platform_of(stand, login), newest(stand)
    secret = token(stand, login, account)
    if login == "facebook":
        page = (await graph(stand, secret, "me/accounts", login, fields="access_token"))["data"][0]
        secret = page["access_token"]
    assert "data" in await graph(stand, secret, f"{media}/comments", login)
    scope = platform.permissions["comments"][1]
    assert (await act(stand, "withdraw", login, account, text=scope))["tokens"] >= 1
    assert code(await graph(stand, secret, f"{media}/comments", login)) == (10, None)
    assert (await graph(stand, secret, media, login))["id"] == media
    assert "a permission is one of" in await stand.refused(
        "act", platform=login, what="withdraw", account=account, text="dreams"
    )


async def test_reads_lag_behind_a_write(stand: Stand) -> None:
    """``meta.md`` 10.10, races: a read within seconds of a write is repeated."""
    secret, media = token(stand), newest(stand)
    comment = await commented(stand, media, "said")
    await stand.command("read-lag", platform="instagram", seconds=5)
    assert (await stand.call("POST", f"/instagram/{comment}?hide=true&access_token={secret}"))["success"]
    assert (await graph(stand, secret, comment, fields="hidden"))["hidden"] is False
    await stand.command("clock", jump=5)
    assert (await graph(stand, secret, comment, fields="hidden"))["hidden"] is True
    assert "do not lag" in await stand.refused("read-lag", platform="x", seconds=5)


async def test_comment_is_listed_late(stand: Stand) -> None:
    secret, media = token(stand), newest(stand)
    await stand.command("listing-lag", platform="instagram", seconds=90)
    comment = await commented(stand, media)
    assert (await graph(stand, secret, comment))["id"] == comment
    assert ids(await walked(stand, secret, f"{media}/comments")) == []
    await stand.command("clock", jump=91)
    assert ids(await walked(stand, secret, f"{media}/comments")) == [comment]


async def test_change_is_of_something_that_the_account_has(stand: Stand) -> None:
    other = newest(stand, "alice")
    for what, id_, why in (
        ("hide", "1", "shop has no post or comment 1"),
        ("edit", other, f"shop has no post or comment {other}"),
        ("hide", newest(stand), "hide is not for a post"),
        ("archive", await commented(stand, newest(stand)), "archive is not for a comment"),
    ):
        assert await stand.refused("act", platform="instagram", what=what, account="shop", id=id_) == why
    assert await stand.refused("act", platform="x", what="archive", account="alice", id="1") == (
        "X has nothing for archive"
    )
    assert "no settings" in await stand.refused("object", platform="x", id="1", settings={})
    assert "there is no 1" in await stand.refused("object", platform="instagram", id="1", settings={})
