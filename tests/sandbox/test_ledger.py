"""What the ledger says of each post: what made it, of which bytes, and what became of it."""

import hashlib
from typing import Any

import pytest

from tests.sandbox import (
    test_facebook,
    test_instagram,
    test_linkedin,
    test_mastodon,
    test_threads,
    test_tiktok,
    test_x,
)
from tests.sandbox.conftest import Receiver, Stand, code, until

CLIP, PICTURE = test_instagram.CLIP, test_instagram.PICTURE


def digest(content: bytes, alt_text: str | None = None) -> dict[str, Any]:
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "alt_text": alt_text}


async def only(stand: Stand, platform: str) -> dict[str, Any]:
    """The one post of the application."""
    await until(lambda: not stand.server.simulation.sandbox.outbound_requests and len(stand.server._tasks) <= 1)
    for _ in range(3):
        await stand.command("clock", jump=62)
        stand.server.simulation.catch_up()
    [post] = await stand.published(platform)
    return post


# --- what made it


async def test_instagram_carousel_names_container_files_and_descriptions(stand: Stand, receiver: Receiver) -> None:
    _, token = await test_instagram.long(stand)
    receiver.files["second.jpg"] = PICTURE + b"\x00"
    items = []
    for name in ("picture.jpg", "second.jpg"):
        url = f"{receiver.media}/{name}"
        item = await test_instagram.create(stand, token, image_url=url, is_carousel_item="true", alt_text=name)
        items.append(item["id"])
    params = {"media_type": "CAROUSEL", "caption": "two", "collaborators": '["bob"]'}
    made = await test_instagram.create(stand, token, children=",".join(items), **params)
    await stand.command("clock", jump=4)
    await test_instagram.publish(stand, token, made["id"])
    post = await only(stand, "instagram")
    assert (post["container"], post["endpoint"]) == (made["id"], "POST /v25.0/me/media_publish")
    assert post["files"] == [digest(PICTURE, "picture.jpg"), digest(PICTURE + b"\x00", "second.jpg")]
    assert post["options"] == params | {"children": ",".join(items)}, "and no token"


async def test_facebook_post_of_two_photos_and_reel(stand: Stand, receiver: Receiver) -> None:
    alice = await test_facebook.connected(stand)
    token = {"access_token": alice.token()}
    photo = {"url": f"{receiver.media}/picture.jpg", "published": "false", "alt_text_custom": "a picture"}
    path = f"/facebook/{alice.id()}"
    ids = [(await stand.call("POST", f"{path}/photos", data=photo | token))["id"] for _ in range(2)]
    attached = {f"attached_media[{n}]": f'{{"media_fbid":"{id_}"}}' for n, id_ in enumerate(ids)}
    made = (await stand.call("POST", f"{path}/feed", data=attached | token | {"published": "false"}))["id"]
    assert await stand.published("facebook") == []
    await stand.call("POST", f"/facebook/{made}", data={"is_published": "true"} | token)
    post = await only(stand, "facebook")
    assert (post["media"], post["files"]) == (ids, [digest(PICTURE, "a picture")] * 2)
    assert post["endpoint"] == f"POST /{made}"
    begun = await stand.call("POST", f"{path}/video_reels", data={"upload_phase": "start"} | token)
    headers = {"Authorization": f"OAuth {alice.token()}", "offset": "0", "file_size": str(len(CLIP))}
    async with stand.http.post(begun["upload_url"], data=CLIP, headers=headers):
        pass
    finish = {"upload_phase": "finish", "video_id": begun["video_id"], "video_state": "PUBLISHED", "title": "T"}
    await stand.call("POST", f"{path}/video_reels", data=finish | token)
    await stand.command("clock", jump=31)
    reel = (await stand.published("facebook"))[1]
    assert (reel["media"], reel["files"]) == ([begun["video_id"]], [digest(CLIP)])
    assert (reel["options"], reel["endpoint"]) == (finish, None), "it appears by itself, once it is processed"


async def test_threads_image_with_its_description(stand: Stand, receiver: Receiver) -> None:
    client = await test_threads.connected(stand)
    params = {"media_type": "IMAGE", "image_url": f"{receiver.media}/picture.jpg", "alt_text": "a", "text": "t"}
    made = await test_threads.post(stand, client, **params)
    await until(lambda: test_threads.threads(stand).containers[made["id"]].ready is not None)
    await stand.command("clock", jump=11)
    await test_threads.publish(stand, client, made["id"])
    post = await only(stand, "threads")
    assert (post["container"], post["files"], post["options"]) == (made["id"], [digest(PICTURE, "a")], params)


async def test_tiktok_post_of_an_upload_and_draft_in_the_inbox(stand: Stand) -> None:
    secret = await test_tiktok.connected(stand)
    publish = await test_tiktok.uploaded(stand, secret, disable_duet=True)
    post = await only(stand, "tiktok")
    assert (post["publish_id"], post["files"], post["endpoint"]) == (publish, [digest(CLIP)], None)
    assert post["options"]["post_info"]["disable_duet"] is True
    source = {"source": "FILE_UPLOAD", "video_size": len(CLIP), "chunk_size": len(CLIP), "total_chunk_count": 1}
    begun = (await test_tiktok.post(stand, secret, "post/publish/inbox/video/init/", {"source_info": source}))["data"]
    await test_tiktok.put(stand, begun["upload_url"], CLIP, 0, len(CLIP))
    await stand.command("clock", jump=31)
    [draft] = await stand.ledger("draft")
    assert (draft["publish_id"], draft["files"]) == (begun["publish_id"], [digest(CLIP)])
    await stand.command("act", platform="tiktok", what="post_draft", account="shop", id=begun["publish_id"])
    [owned] = await stand.ledger("post", by="owner", platform="tiktok")
    assert owned["publish_id"] == begun["publish_id"]
    assert len(await stand.published("tiktok")) == 1


async def test_tweet_of_a_video_in_segments(stand: Stand) -> None:
    person = await test_x.connected(stand)
    media = await test_x.video(person, b"first", b"second")
    await person.call("POST", f"/2/media/upload/{media}/finalize")
    await stand.command("clock", jump=16)
    body = {"id": media, "metadata": {"alt_text": {"text": "a video"}}}
    await person.call("POST", "/2/media/metadata", json=body)
    fields = {"text": "hello", "media": {"media_ids": [media]}, "reply_settings": "following"}
    assert await person.post(**fields) == 201
    post = await only(stand, "x")
    assert (post["media"], post["files"], post["options"]) == ([media], [digest(b"firstsecond", "a video")], fields)


async def test_linkedin_post_of_an_image_that_fails_is_gone(stand: Stand) -> None:
    """``linkedin.md`` 5: 201, yet the post stays invisible if processing fails."""
    person = await test_linkedin.administrator(stand)
    await stand.command("processing", platform="linkedin", result="failed", seconds=60)
    urn = await test_linkedin.image(person)
    content = {"media": {"id": urn, "altText": "an image"}}
    made = (await person.post("x", content=content))[2]["x-restli-id"]
    [post] = await stand.published("linkedin")
    assert (post["id"], post["files"]) == (made, [digest(b"pixels", "an image")])
    assert (post["endpoint"], post["options"]["content"]) == ("POST /rest/posts", content)
    assert await stand.ledger("change") == []
    await stand.command("clock", jump=61)
    [gone] = await stand.ledger("change")
    assert (gone["action"], gone["id"], gone["by"], gone["endpoint"]) == ("vanish", made, "platform", None)


async def test_status_with_an_image_and_its_description(stand: Stand) -> None:
    person = await test_mastodon.connected(stand)
    _, media = await test_mastodon.upload(stand, person, "image/png")
    await test_mastodon.raw(stand, person, "PUT", f"/v1/media/{media['id']}", json={"description": "d"})
    fields = {"status": "x", "media_ids": [media["id"]], "visibility": "private", "spoiler_text": "cw"}
    await test_mastodon.raw(stand, person, "POST", "/v1/statuses", json=fields)
    post = await only(stand, "mastodon")
    assert (post["media"], [file["alt_text"] for file in post["files"]]) == ([media["id"]], ["d"])
    assert post["files"][0]["bytes"] > 0
    assert (post["options"]["visibility"], post["options"]["spoiler"]) == ("private", "cw")


# --- what was done to it


async def changes(stand: Stand, platform: str) -> list[tuple[str, str]]:
    return [(entry["action"], entry["id"]) for entry in await stand.ledger("change", platform=platform)]


async def test_edits_deletions_and_hides_are_entered_once_each(stand: Stand) -> None:
    _, token = await test_instagram.long(stand)
    post = (await stand.command("act", platform="instagram", what="publish", account="shop", text="x"))["id"]
    fan = await stand.command("act", platform="instagram", what="comment", account="shop", post=post, text="hi")
    for hide in ("true", "false"):
        await stand.call("POST", f"/instagram/{fan['id']}", data={"hide": hide, "access_token": token})
    await stand.call("DELETE", f"/instagram/{fan['id']}", params={"access_token": token})
    assert await changes(stand, "instagram") == [(what, fan["id"]) for what in ("hide", "unhide", "delete")]

    alice = await test_facebook.connected(stand)
    form = {"message": "hello", "access_token": alice.token()}
    made = (await stand.call("POST", f"/facebook/{alice.id()}/feed", data=form))["id"]
    fan = await stand.command("act", platform="facebook", what="comment", account="Shop", post=made, text="hi")
    await stand.call("POST", f"/facebook/{fan['id']}", data={"is_hidden": "true", "access_token": alice.token()})
    await stand.call("POST", f"/facebook/{made}", data=form | {"message": "other"})
    await stand.call("DELETE", f"/facebook/{made}", params={"access_token": alice.token()})
    assert await changes(stand, "facebook") == [("hide", fan["id"]), ("edit", made), ("delete", made)]

    client = await test_threads.connected(stand)
    above = await test_threads.said(stand, client, text="hello")
    fan = await stand.command("act", platform="threads", what="comment", account="alice", post=above, text="hi")
    hide = {"hide": "true", "access_token": client.access_token}
    await stand.call("POST", f"/threads/{fan['id']}/manage_reply", data=hide)
    await stand.call("DELETE", f"/threads/{above}", params={"access_token": client.access_token})
    assert await changes(stand, "threads") == [("hide", fan["id"]), ("delete", above)]


async def test_deletion_of_what_is_gone_is_no_change(stand: Stand) -> None:
    person = await test_x.connected(stand)
    tweet = (await person.call("POST", "/2/tweets", json={"text": "hello"}))[1]["data"]["id"]
    for _ in range(2):
        assert (await person.call("DELETE", f"/2/tweets/{tweet}"))[0] == 200
    assert await changes(stand, "x") == [("delete", tweet)]

    admin = await test_linkedin.administrator(stand)
    urn = (await admin.post("hello"))[2]["x-restli-id"]
    patch = {"patch": {"$set": {"commentary": "other"}}}
    headers = {"X-RestLi-Method": "PARTIAL_UPDATE"}
    assert (await admin.call("POST", test_linkedin.of(urn), json=patch, headers=headers))[0] == 204
    for _ in range(2):
        assert (await admin.call("DELETE", test_linkedin.of(urn)))[0] == 204
    assert await changes(stand, "linkedin") == [("edit", urn), ("delete", urn)]

    owner = await test_mastodon.connected(stand)
    made = (await test_mastodon.raw(stand, owner, "POST", "/v1/statuses", json={"status": "hello"}))[1]["id"]
    edited = await test_mastodon.raw(stand, owner, "PUT", f"/v1/statuses/{made}", json={"status": "other"})
    assert edited[0] == 200
    statuses = [(await test_mastodon.raw(stand, owner, "DELETE", f"/v1/statuses/{made}"))[0] for _ in range(2)]
    assert (statuses, await changes(stand, "mastodon")) == ([200, 404], [("edit", made), ("delete", made)])


# --- posts that vanish, and parents that are not there yet


async def test_linkedin_post_vanishes_after_its_201(stand: Stand) -> None:
    """``linkedin.md`` 4: a 201 is not for ever."""
    person = await test_linkedin.administrator(stand)
    await stand.command("vanish", platform="linkedin", skip=1)
    kept, gone = [(await person.post(text))[2]["x-restli-id"] for text in ("one", "two")]
    assert [(await person.call("GET", test_linkedin.of(urn)))[0] for urn in (kept, gone)] == [200, 404]
    path = "/rest/posts?q=author&author=urn%3Ali%3Aorganization%3A1000"
    assert [post["id"] for post in (await person.call("GET", path))[1]["elements"]] == [kept]
    assert await changes(stand, "linkedin") == [("vanish", gone)]
    assert [post["id"] for post in await stand.published("linkedin")] == [kept, gone]


async def test_post_vanishes_in_its_time_unless_it_was_deleted_before(stand: Stand) -> None:
    person = await test_mastodon.connected(stand)
    await stand.command("vanish", platform="mastodon", seconds=60, times=2)
    made = [
        await test_mastodon.raw(stand, person, "POST", "/v1/statuses", json={"status": text}) for text in ("one", "two")
    ]
    ids = [status["id"] for _, status, *_ in made]
    await test_mastodon.raw(stand, person, "DELETE", f"/v1/statuses/{ids[0]}")
    assert (await test_mastodon.raw(stand, person, "GET", f"/v1/statuses/{ids[1]}"))[0] == 200
    await stand.command("clock", jump=61)
    assert (await test_mastodon.raw(stand, person, "GET", f"/v1/statuses/{ids[1]}"))[0] == 404
    assert await changes(stand, "mastodon") == [("delete", ids[0]), ("vanish", ids[1])]
    assert len(stand.server._tasks) == 1, "it goes on working"


async def test_post_is_gone_for_the_next_call_whatever_the_sandbox_is_busy_with(stand: Stand) -> None:
    person = await test_mastodon.connected(stand)
    [work] = stand.server._tasks
    work.cancel()
    await stand.command("vanish", platform="mastodon", seconds=60)
    made = (await test_mastodon.raw(stand, person, "POST", "/v1/statuses", json={"status": "one"}))[1]["id"]
    await stand.command("clock", jump=61)
    assert (await test_mastodon.raw(stand, person, "GET", f"/v1/statuses/{made}"))[0] == 404


@pytest.mark.parametrize("name", ["mastodon", "threads", "x", "instagram", "facebook", "linkedin"])
async def test_parent_of_seconds_ago_cannot_be_answered_yet(stand: Stand, name: str) -> None:
    """``mastodon.md`` 9.7 and the end of ``meta.md`` 9.6: not done, and it passes seconds later."""
    await stand.command("parent-lag", platform=name, seconds=5)
    account = {"facebook": "Shop", "linkedin": "acme"}.get(name, "shop" if name == "instagram" else "alice")

    async def parent() -> str:
        return str((await stand.command("act", platform=name, what="publish", account=account, text="x"))["id"])

    if name == "mastodon":
        person = await test_mastodon.connected(stand)
        fields = {"status": "y", "in_reply_to_id": await parent()}
        first = await test_mastodon.raw(stand, person, "POST", "/v1/statuses", json=fields)
        assert (first[0], first[1]["error"].partition(" you")[0]) == (404, "The post")
        await stand.command("clock", jump=6)
        assert (await test_mastodon.raw(stand, person, "POST", "/v1/statuses", json=fields))[0] == 200
    elif name == "threads":
        client = await test_threads.connected(stand)
        fields = {"media_type": "TEXT", "text": "y", "reply_to_id": await parent()}
        assert code(await test_threads.post(stand, client, **fields)) == (24, 4279009)
        await stand.command("clock", jump=6)
        assert "id" in await test_threads.post(stand, client, **fields)
    elif name == "x":
        writer = await test_x.connected(stand)
        reply = {"in_reply_to_tweet_id": await parent()}
        assert await writer.post(text="y", reply=reply) == 400
        await stand.command("clock", jump=6)
        assert await writer.post(text="y", reply=reply) == 201
    elif name == "linkedin":
        admin = await test_linkedin.administrator(stand)
        urn = await parent()
        body = {"actor": admin.urn, "object": urn, "message": {"text": "first"}}
        path = f"/rest/socialActions/{urn.replace(':', '%3A')}/comments"
        assert (await admin.call("POST", path, json=body))[0] == 404
        await stand.command("clock", jump=6)
        assert (await admin.call("POST", path, json=body))[0] == 201
    else:
        token = (
            (await test_instagram.long(stand))[1]
            if name == "instagram"
            else (await test_facebook.connected(stand)).token()
        )
        path, form = f"/{name}/{await parent()}/comments", {"message": "first", "access_token": token}
        assert code(await stand.call("POST", path, data=form)) == (100, 33)
        await stand.command("clock", jump=6)
        assert "id" in await stand.call("POST", path, data=form)
