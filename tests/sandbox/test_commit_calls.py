"""Every call that makes something visible, on every platform: it takes effect and fails, it is lost, or it comes late.

What a platform really published is in the ledger, which counts here.
"""

import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
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
from tests.sandbox.conftest import Receiver, Stand, until

CLIP = test_instagram.CLIP
Act = Callable[[], Awaitable[Any]]


@dataclass
class Commit:
    """A call with an effect; ``where`` tells it from the other calls of its route."""

    endpoint: str
    act: Act
    where: dict[str, str] = field(default_factory=dict)


Maker = Callable[[Stand, Receiver], Awaitable[Commit]]
MAKERS: list[tuple[str, str, Maker]] = []


def commit(platform: str) -> Callable[[Maker], Maker]:
    """Add a maker to the table, by its platform and its name."""

    def added(make: Maker) -> Maker:
        MAKERS.append((platform, make.__name__, make))
        return make

    return added


async def fetched(stand: Stand, url: str) -> None:
    """Wait until a file was downloaded and looked at."""
    await until(lambda: bool(stand.server.simulation.ledger.find("fetch", url=url)))
    await until(lambda: len(stand.server._tasks) == 1)


# --- Instagram (meta.md 8, 10.3)


async def _container(stand: Stand, receiver: Receiver, **params: str) -> tuple[str, str]:
    _, token = await test_instagram.long(stand)
    made = await test_instagram.create(stand, token, image_url=f"{receiver.media}/picture.jpg", **params)
    await stand.command("clock", jump=4)
    return token, str(made["id"])


@commit("instagram")
async def image(stand: Stand, receiver: Receiver) -> Commit:
    token, made = await _container(stand, receiver, caption="hello")
    return Commit("POST */media_publish", lambda: test_instagram.publish(stand, token, made))


@commit("instagram")
async def story(stand: Stand, receiver: Receiver) -> Commit:
    token, made = await _container(stand, receiver, media_type="STORIES")
    return Commit("POST */media_publish", lambda: test_instagram.publish(stand, token, made))


@commit("instagram")
async def carousel(stand: Stand, receiver: Receiver) -> Commit:
    token, first = await _container(stand, receiver, is_carousel_item="true")
    _, second = await _container(stand, receiver, is_carousel_item="true")
    made = await test_instagram.create(stand, token, media_type="CAROUSEL", children=f"{first},{second}")
    await stand.command("clock", jump=4)
    return Commit("POST */media_publish", lambda: test_instagram.publish(stand, token, made["id"]))


@commit("instagram")
async def instagram_reel(stand: Stand, receiver: Receiver) -> Commit:
    _, token = await test_instagram.long(stand)
    url = f"{receiver.media}/clip.mp4"
    made = await test_instagram.create(stand, token, media_type="REELS", video_url=url, caption="hello")
    await fetched(stand, url)
    await stand.command("clock", jump=31)
    return Commit("POST */media_publish", lambda: test_instagram.publish(stand, token, made["id"]))


@commit("instagram")
async def private_reply(stand: Stand, receiver: Receiver) -> Commit:
    _, token = await test_instagram.long(stand)
    post = (await stand.command("act", platform="instagram", what="publish", account="shop", text="x"))["id"]
    said = await stand.command("act", platform="instagram", what="comment", account="shop", post=post, text="hi")
    body = {"recipient": {"comment_id": said["id"]}, "message": {"text": "thanks"}}
    path = f"/instagram/me/messages?access_token={token}"
    return Commit("POST */messages", lambda: stand.call("POST", path, json=body))


@commit("instagram")
async def comment(stand: Stand, receiver: Receiver) -> Commit:
    _, token = await test_instagram.long(stand)
    post = (await stand.command("act", platform="instagram", what="publish", account="shop", text="x"))["id"]
    form = {"message": "first", "access_token": token}
    return Commit("POST */comments", lambda: stand.call("POST", f"/instagram/{post}/comments", data=form))


@commit("instagram")
async def reply(stand: Stand, receiver: Receiver) -> Commit:
    _, token = await test_instagram.long(stand)
    post = (await stand.command("act", platform="instagram", what="publish", account="shop", text="x"))["id"]
    said = await stand.command("act", platform="instagram", what="comment", account="shop", post=post, text="hi")
    form = {"message": "thanks", "access_token": token}
    return Commit("POST */replies", lambda: stand.call("POST", f"/instagram/{said['id']}/replies", data=form))


# --- Facebook (meta.md 9.2, 9.4)


@commit("facebook")
async def feed(stand: Stand, receiver: Receiver) -> Commit:
    alice = await test_facebook.connected(stand)
    form = {"message": "hello", "access_token": alice.token()}
    return Commit("POST */feed", lambda: stand.call("POST", f"/facebook/{alice.id()}/feed", data=form))


@commit("facebook")
async def unpublished(stand: Stand, receiver: Receiver) -> Commit:
    alice = await test_facebook.connected(stand)
    form = {"message": "hello", "published": "false", "access_token": alice.token()}
    made = (await stand.call("POST", f"/facebook/{alice.id()}/feed", data=form))["id"]
    form = {"is_published": "true", "access_token": alice.token()}
    return Commit(
        f"POST */{made}", lambda: stand.call("POST", f"/facebook/{made}", data=form), {"is_published": "true"}
    )


async def _photo(stand: Stand, receiver: Receiver, alice: Any, **more: str) -> Any:
    form = {"url": f"{receiver.media}/picture.jpg", "access_token": alice.token(), **more}
    return await stand.call("POST", f"/facebook/{alice.id()}/photos", data=form)


@commit("facebook")
async def album(stand: Stand, receiver: Receiver) -> Commit:
    alice = await test_facebook.connected(stand)
    ids = [(await _photo(stand, receiver, alice, published="false"))["id"] for _ in range(2)]
    attached = {f"attached_media[{n}]": json.dumps({"media_fbid": id_}) for n, id_ in enumerate(ids)}
    form = attached | {"message": "hello", "access_token": alice.token()}
    return Commit("POST */feed", lambda: stand.call("POST", f"/facebook/{alice.id()}/feed", data=form))


@commit("facebook")
async def instagram_of_a_page(stand: Stand, receiver: Receiver) -> Commit:
    alice = await test_facebook.connected(stand)
    fields = {"fields": "instagram_business_account{id}", "access_token": alice.token()}
    person = (await stand.get(f"/facebook/{alice.id()}", **fields))["instagram_business_account"]["id"]
    form = {"image_url": f"{receiver.media}/picture.jpg", "access_token": alice.user}
    made = (await stand.call("POST", f"/facebook/{person}/media", data=form))["id"]
    await stand.command("clock", jump=4)
    form = {"creation_id": made, "access_token": alice.user}
    path = f"/facebook/{person}/media_publish"
    return Commit("POST */media_publish", lambda: stand.call("POST", path, data=form))


@commit("facebook")
async def photo(stand: Stand, receiver: Receiver) -> Commit:
    alice = await test_facebook.connected(stand)
    return Commit("POST */photos", lambda: _photo(stand, receiver, alice, caption="hello"))


@commit("facebook")
async def photo_story(stand: Stand, receiver: Receiver) -> Commit:
    alice = await test_facebook.connected(stand)
    made = await _photo(stand, receiver, alice, published="false")
    form = {"photo_id": made["id"], "access_token": alice.token()}
    path = f"/facebook/{alice.id()}/photo_stories"
    return Commit("POST */photo_stories", lambda: stand.call("POST", path, data=form))


@commit("facebook")
async def video(stand: Stand, receiver: Receiver) -> Commit:
    alice = await test_facebook.connected(stand)
    form = {"file_url": f"{receiver.media}/clip.mp4", "access_token": alice.token()}
    return Commit("POST */videos", lambda: stand.call("POST", f"/facebook/{alice.id()}/videos", data=form))


async def _phases(stand: Stand, edge: str) -> Commit:
    alice = await test_facebook.connected(stand)
    path, form = f"/facebook/{alice.id()}/{edge}", {"access_token": alice.token()}
    begun = await stand.call("POST", path, data=form | {"upload_phase": "start"})
    headers = {"Authorization": f"OAuth {alice.token()}", "offset": "0", "file_size": str(len(CLIP))}
    async with stand.http.post(begun["upload_url"], data=CLIP, headers=headers) as response:
        assert response.status == 200
    finish = form | {"upload_phase": "finish", "video_id": begun["video_id"], "video_state": "PUBLISHED"}
    return Commit(f"POST */{edge}", lambda: stand.call("POST", path, data=finish), {"upload_phase": "finish"})


@commit("facebook")
async def reel(stand: Stand, receiver: Receiver) -> Commit:
    return await _phases(stand, "video_reels")


@commit("facebook")
async def video_story(stand: Stand, receiver: Receiver) -> Commit:
    return await _phases(stand, "video_stories")


@commit("facebook")
async def page_comment(stand: Stand, receiver: Receiver) -> Commit:
    alice = await test_facebook.connected(stand)
    post = (await stand.command("act", platform="facebook", what="publish", account="Shop", text="x"))["id"]
    form = {"message": "first", "access_token": alice.token()}
    return Commit("POST */comments", lambda: stand.call("POST", f"/facebook/{post}/comments", data=form))


# --- Threads (meta.md 9.1)


@commit("threads")
async def text(stand: Stand, receiver: Receiver) -> Commit:
    client = await test_threads.connected(stand)
    made = await test_threads.post(stand, client, media_type="TEXT", text="hello")
    await stand.command("clock", jump=8)
    return Commit("POST */threads_publish", lambda: test_threads.publish(stand, client, made["id"]))


@commit("threads")
async def threads_reply(stand: Stand, receiver: Receiver) -> Commit:
    client = await test_threads.connected(stand)
    above = (await stand.command("act", platform="threads", what="publish", account="alice", text="x"))["id"]
    made = await test_threads.post(stand, client, media_type="TEXT", text="and more", reply_to_id=above)
    await stand.command("clock", jump=8)
    return Commit("POST */threads_publish", lambda: test_threads.publish(stand, client, made["id"]))


@commit("threads")
async def threads_carousel(stand: Stand, receiver: Receiver) -> Commit:
    client = await test_threads.connected(stand)
    items = []
    for number in range(2):
        url = f"{receiver.media}/picture.jpg?{number}"
        item = {"media_type": "IMAGE", "image_url": url, "is_carousel_item": "true"}
        items.append((await test_threads.post(stand, client, **item))["id"])
        await fetched(stand, url)
    made = await test_threads.post(stand, client, media_type="CAROUSEL", children=",".join(items))
    await stand.command("clock", jump=11)
    return Commit("POST */threads_publish", lambda: test_threads.publish(stand, client, made["id"]))


@commit("threads")
async def auto_publish(stand: Stand, receiver: Receiver) -> Commit:
    client = await test_threads.connected(stand)
    form = {"media_type": "TEXT", "text": "hello", "auto_publish_text": "true"}
    return Commit("POST */threads", lambda: test_threads.post(stand, client, **form), {"auto_publish_text": "true"})


# --- TikTok (tiktok.md 6, 7)


@commit("tiktok")
async def pull(stand: Stand, receiver: Receiver) -> Commit:
    secret = await test_tiktok.connected(stand)
    source = {"source": "PULL_FROM_URL", "video_url": f"{receiver.media}/clip.mp4"}
    body = {"post_info": {"privacy_level": "PUBLIC_TO_EVERYONE", "title": "hello"}, "source_info": source}
    return Commit(
        "POST */video/init",
        lambda: test_tiktok.post(stand, secret, "post/publish/video/init/", body),
        {"source_info.source": "PULL_FROM_URL"},
    )


@commit("tiktok")
async def photos(stand: Stand, receiver: Receiver) -> Commit:
    secret = await test_tiktok.connected(stand)
    source = {"source": "PULL_FROM_URL", "photo_images": [f"{receiver.media}/picture.jpg"], "photo_cover_index": 0}
    info = {"privacy_level": "PUBLIC_TO_EVERYONE", "title": "hello"}
    body = {"media_type": "PHOTO", "post_mode": "DIRECT_POST", "post_info": info, "source_info": source}
    return Commit("POST */content/init", lambda: test_tiktok.post(stand, secret, "post/publish/content/init/", body))


@commit("tiktok")
async def last_chunk(stand: Stand, receiver: Receiver) -> Commit:
    secret = await test_tiktok.connected(stand)
    begun = (await test_tiktok.init(stand, secret, len(CLIP)))["data"]
    return Commit("PUT /upload", lambda: test_tiktok.put(stand, begun["upload_url"], CLIP, 0, len(CLIP)))


# --- X (x.md 4)


@commit("x")
async def tweet(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_x.connected(stand)
    return Commit("POST /2/tweets", lambda: person.post(text="hello"))


@commit("x")
async def poll(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_x.connected(stand)
    fields = {"text": "which?", "poll": {"options": ["a", "b"], "duration_minutes": 60}}
    return Commit("POST /2/tweets", lambda: person.post(**fields))


@commit("x")
async def tweet_with_image(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_x.connected(stand)
    media = await test_x.image(person)
    return Commit("POST /2/tweets", lambda: person.post(text="hello", media={"media_ids": [media]}))


@commit("x")
async def thread(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_x.connected(stand)
    above = (await stand.command("act", platform="x", what="publish", account="alice", text="x"))["id"]
    return Commit("POST /2/tweets", lambda: person.post(text="and more", reply={"in_reply_to_tweet_id": above}))


# --- LinkedIn (linkedin.md 4)


@commit("linkedin")
async def share(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_linkedin.administrator(stand)
    return Commit("POST /rest/posts", lambda: person.post("hello"))


@commit("linkedin")
async def article(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_linkedin.administrator(stand)
    content = {"article": {"source": "https://example.org/a", "title": "A"}}
    return Commit("POST /rest/posts", lambda: person.post("hello", content=content))


@commit("linkedin")
async def share_with_image(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_linkedin.administrator(stand)
    content = {"media": {"id": await test_linkedin.image(person), "altText": "x"}}
    return Commit("POST /rest/posts", lambda: person.post("hello", content=content))


@commit("linkedin")
async def share_of_a_member(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_linkedin.connected(stand)
    return Commit("POST /rest/posts", lambda: person.post("hello"))


@commit("linkedin")
async def linkedin_poll(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_linkedin.administrator(stand)
    poll = {"question": "which?", "options": [{"text": "a"}, {"text": "b"}], "settings": {"duration": "ONE_DAY"}}
    return Commit("POST /rest/posts", lambda: person.post("hello", content={"poll": poll}))


@commit("linkedin")
async def multi_image(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_linkedin.administrator(stand)
    images = [{"id": await test_linkedin.image(person), "altText": "x"} for _ in range(2)]
    return Commit("POST /rest/posts", lambda: person.post("hello", content={"multiImage": {"images": images}}))


@commit("linkedin")
async def document(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_linkedin.administrator(stand)
    begun = await test_linkedin.begin(person, "documents")
    assert (await person.call("PUT", begun["uploadUrl"], data=b"%PDF"))[0] == 201
    content = {"media": {"id": begun["document"], "title": "a document"}}
    return Commit("POST /rest/posts", lambda: person.post("hello", content=content))


@commit("linkedin")
async def organization_comment(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_linkedin.administrator(stand)
    urn = (await stand.command("act", platform="linkedin", what="publish", account="acme", text="x"))["id"]
    body = {"actor": person.urn, "object": urn, "message": {"text": "first"}}
    path = f"/rest/socialActions/{urn.replace(':', '%3A')}/comments"
    return Commit("POST */comments", lambda: person.call("POST", path, json=body))


# --- Mastodon (mastodon.md 5)


@commit("mastodon")
async def status(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_mastodon.connected(stand)
    fields = {"status": "hello"}
    return Commit(
        "POST /api/v1/statuses", lambda: test_mastodon.raw(stand, person, "POST", "/v1/statuses", json=fields)
    )


@commit("mastodon")
async def status_with_poll(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_mastodon.connected(stand)
    fields = {"status": "which?", "poll": {"options": ["a", "b"], "expires_in": 3600}}
    return Commit(
        "POST /api/v1/statuses", lambda: test_mastodon.raw(stand, person, "POST", "/v1/statuses", json=fields)
    )


@commit("mastodon")
async def answer_to_a_status(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_mastodon.connected(stand)
    above = (await stand.command("act", platform="mastodon", what="publish", account="alice", text="x"))["id"]
    fields = {"status": "and more", "in_reply_to_id": above}
    return Commit(
        "POST /api/v1/statuses", lambda: test_mastodon.raw(stand, person, "POST", "/v1/statuses", json=fields)
    )


@commit("mastodon")
async def status_with_image(stand: Stand, receiver: Receiver) -> Commit:
    person = await test_mastodon.connected(stand)
    _, media = await test_mastodon.upload(stand, person, "image/png")
    fields = {"status": "hello", "media_ids": [media["id"]]}
    return Commit(
        "POST /api/v1/statuses", lambda: test_mastodon.raw(stand, person, "POST", "/v1/statuses", json=fields)
    )


UNKNOWN = {
    "instagram": [{"error": "service_unavailable"}, {"error": "spam_block"}, {"error": "server_error"}],
    "facebook": [{"error": "service_unavailable"}, {"error": "temporarily_unavailable"}],
    "threads": [{"error": "service_unavailable"}, {"error": "server_error"}],
    "tiktok": [{"error": "internal_error"}],
    "x": [{"error": "internal_error"}, {"error": "created_without_data"}],
    "linkedin": [{"error": "server_error"}, {"error": "created_without_id"}],
    "mastodon": [{"error": "server_error"}],
}
"""Answers after which the outcome is unknown, beside those that every platform may give."""

EVERY = [{"status": 504, "spoil": "html"}, {"drop": True}, {"truncate": 5}]
CALLS = pytest.mark.parametrize(
    ("platform", "make"), [(platform, make) for platform, _, make in MAKERS], ids=[f"{p}-{n}" for p, n, _ in MAKERS]
)


async def settled(stand: Stand, platform: str) -> int:
    """Count what the application published, once files are fetched and processed and moderation is over."""
    before = len(await stand.published(platform, text="x"))
    simulation = stand.server.simulation
    await until(lambda: not simulation.sandbox.outbound_requests and len(stand.server._tasks) <= 1)
    for _ in range(3):
        await stand.command("clock", jump=62)
        simulation.advance()
    assert before == 0, "the owner's own posts are not the application's"
    return len(await stand.published(platform))


async def failing(stand: Stand, platform: str, call: Commit, **fault: Any) -> None:
    """Make the call once with this fault, and see that it did not succeed as a client knows it."""
    # aiohttp itself repeats a PUT whose connection was kept from an earlier call and broke.
    times = 2 if call.endpoint.startswith("PUT") else 1
    await stand.command("faults", platform=platform, endpoint=call.endpoint, where=call.where, times=times, **fault)
    with contextlib.suppress(aiohttp.ClientError, json.JSONDecodeError):
        await call.act()
    [met, *_] = [entry for entry in await stand.ledger("call", platform=platform) if entry["fault"]]
    assert met["path"].endswith(call.endpoint.partition(" ")[2].lstrip("*"))


@CALLS
async def test_call_takes_effect_and_fails_in_every_way_that_leaves_its_outcome_unknown(
    stand: Stand, receiver: Receiver, platform: str, make: Maker
) -> None:
    """``meta.md`` 7.5, ``tiktok.md`` 16, ``x.md`` 12, ``linkedin.md`` 11, ``mastodon.md`` 12."""
    for fault in [*UNKNOWN[platform], *EVERY]:
        call = await make(stand, receiver)
        await failing(stand, platform, call, effect=True, **fault)
        assert await settled(stand, platform) == 1, fault
        await stand.command("reset")


@CALLS
async def test_call_is_lost_before_its_effect(stand: Stand, receiver: Receiver, platform: str, make: Maker) -> None:
    call = await make(stand, receiver)
    await failing(stand, platform, call, drop=True)
    assert await settled(stand, platform) == 0
    async with stand.http.delete(f"{stand.url}/_sandbox/faults") as response:
        assert response.status == 200
    await call.act()
    assert await settled(stand, platform) == 1


@CALLS
async def test_effect_comes_long_after_the_answer(stand: Stand, receiver: Receiver, platform: str, make: Maker) -> None:
    """A proxy's 504 does not stop the server (``mastodon.md`` 5 d), and a commit may land after our last read."""
    call = await make(stand, receiver)
    await failing(stand, platform, call, effect=True, late_seconds=300, status=504, spoil="html")
    assert await stand.published(platform) == []
    await stand.command("clock", jump=301)
    await until(lambda: any(e["fault"] and e["status"] for e in stand.server.simulation.ledger.find("call")))
    assert await settled(stand, platform) == 1


async def test_fault_is_for_the_calls_whose_fields_it_names(stand: Stand, receiver: Receiver) -> None:
    """The finish of a reel fails, and not its start."""
    await stand.command(
        "faults", platform="facebook", endpoint="POST */video_reels", where={"upload_phase": "finish"}, status=500
    )
    call = await _phases(stand, "video_reels")
    assert (await call.act())["status"] == 500
    await stand.command("faults", platform="x", where={"reply.in_reply_to_tweet_id": "[0-9]*"}, status=418)
    person = await test_x.connected(stand)
    assert await person.post(text="a") == 201
    assert await person.post(text="b", reply={"in_reply_to_tweet_id": "1"}) == 418
    assert await person.post(text="b", reply=None) == 201


@pytest.mark.parametrize("fault", [{"error": "internal_error"}, {"drop": True}])
async def test_draft_is_in_the_inbox_though_its_init_failed(
    stand: Stand, receiver: Receiver, fault: dict[str, Any]
) -> None:
    """``tiktok.md`` 6.1: with an address TikTok goes on by itself; a file that never comes leaves no draft."""
    secret = await test_tiktok.connected(stand)
    url = f"{receiver.media}/clip.mp4"
    pulled = {"source": "PULL_FROM_URL", "video_url": url}
    sent = {"source": "FILE_UPLOAD", "video_size": len(CLIP), "chunk_size": len(CLIP), "total_chunk_count": 1}
    for source in (pulled, sent):
        await stand.command("faults", platform="tiktok", endpoint="POST */inbox/video/init", effect=True, **fault)
        with contextlib.suppress(aiohttp.ClientError):
            await test_tiktok.post(stand, secret, "post/publish/inbox/video/init/", {"source_info": source})
    await fetched(stand, url)
    await stand.command("clock", jump=21)
    [draft] = await stand.ledger("draft", platform="tiktok")
    assert draft["publish_id"].startswith("v_inbox_url")
    assert await stand.published("tiktok") == []


# --- uploads that break


async def test_reel_goes_on_at_the_offset_that_arrived(stand: Stand) -> None:
    """``meta.md`` 9.2: resume with ``offset = bytes_transfered``."""
    alice = await test_facebook.connected(stand)
    path, form = f"/facebook/{alice.id()}/video_reels", {"access_token": alice.token()}
    begun = await stand.call("POST", path, data=form | {"upload_phase": "start"})

    async def send(offset: int) -> int:
        headers = {"Authorization": f"OAuth {alice.token()}", "offset": str(offset), "file_size": str(len(CLIP))}
        async with stand.http.post(begun["upload_url"], data=CLIP[offset:], headers=headers) as response:
            return response.status

    await stand.command("faults", platform="facebook", endpoint="POST /video-upload/*", receive=1000)
    with pytest.raises(aiohttp.ClientError):
        await send(0)
    node = await stand.get(f"/facebook/{begun['video_id']}", fields="status", access_token=alice.token())
    assert node["status"]["uploading_phase"]["bytes_transfered"] == 1000
    assert await send(0) == 400
    assert await send(1000) == 200
    finish = form | {"upload_phase": "finish", "video_id": begun["video_id"], "video_state": "PUBLISHED"}
    assert (await stand.call("POST", path, data=finish))["success"]
    assert await settled(stand, "facebook") == 1


async def test_chunk_that_broke_is_refused_at_its_beginning(stand: Stand) -> None:
    """``tiktok.md`` 7.2: 416 with the progress, which ``status/fetch`` tells too."""
    secret = await test_tiktok.connected(stand)
    begun = (await test_tiktok.init(stand, secret, len(CLIP)))["data"]
    await stand.command("faults", platform="tiktok", endpoint="PUT /upload", receive=700, times=2)
    with pytest.raises(aiohttp.ClientError):
        await test_tiktok.put(stand, begun["upload_url"], CLIP, 0, len(CLIP))
    assert (await test_tiktok.status(stand, secret, begun["publish_id"]))["uploaded_bytes"] == 700
    again = await test_tiktok.put(stand, begun["upload_url"], CLIP, 0, len(CLIP))
    assert again == (416, f"bytes 0-700/{len(CLIP)}")
    assert (await test_tiktok.put(stand, begun["upload_url"], CLIP[700:], 700, len(CLIP)))[0] == 201
    assert await settled(stand, "tiktok") == 1


async def test_upload_that_broke_leaves_nothing_where_uploads_do_not_resume(stand: Stand) -> None:
    """``linkedin.md`` 5: an image has no offset; it waits for its upload."""
    person = await test_linkedin.administrator(stand)
    await stand.command("faults", platform="linkedin", endpoint="PUT /dms-uploads/*", receive=3, times=2)
    with pytest.raises(aiohttp.ClientError):
        await test_linkedin.image(person)
    [asset] = stand.server.simulation.platforms["linkedin"].assets  # type: ignore[attr-defined]
    path = f"/rest/images/{asset.replace(':', '%3A')}"
    assert (await person.call("GET", path))[1]["status"] == "WAITING_UPLOAD"
