"""``meta.md`` by its numbers for Facebook Login and Pages, with Meta's own client and another one."""

import asyncio
import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from facebook_business.adobjects.page import Page
from facebook_business.adobjects.pagepost import PagePost
from facebook_business.api import FacebookAdsApi
from facebook_business.exceptions import FacebookRequestError
from facebook_business.session import FacebookSession
from pyfacebook import GraphAPI

from ops.sandbox.platforms.facebook import PAGE_FIELDS, Facebook
from ops.sandbox.server import MEDIA
from tests.sandbox.conftest import Receiver, Stand, code, until

CALLBACK = "https://app.example/callback/facebook"
SCOPES = [scope for scope in Facebook.scopes if scope != "public_profile"]
DAY, MINUTE = 86_400, 60
CLIP = (MEDIA / "clip.mp4").read_bytes()


def facebook(stand: Stand) -> Any:
    return stand.server.simulation.platforms["facebook"]


@dataclass
class Connected:
    client: GraphAPI
    user: str
    pages: dict[str, Any]

    def token(self, page: str = "Shop") -> str:
        found: str = self.pages[page]["access_token"]
        return found

    def id(self, page: str = "Shop") -> str:
        found: str = self.pages[page]["id"]
        return found


async def connected(stand: Stand, account: str = "alice", untick: str = "") -> Connected:
    """By a stranger's client: consent, a code, a short token, a long one, and the pages that come with it."""
    base = f"{stand.url}/facebook"
    await stand.command("redirects", platform="facebook", redirect_uri=CALLBACK)
    client = GraphAPI(
        Facebook.client_id,
        facebook(stand).client_secret,
        oauth_flow=True,
        version="v25.0",
        ignore_version_check=True,
        base_url=f"{base}/",
        authorization_url=f"{base}/v25.0/dialog/oauth",
        access_token_url=f"{base}/v25.0/oauth/access_token",
    )
    address, state = client.get_authorization_url(redirect_uri=CALLBACK, scope=SCOPES)
    answer = await stand.consent(address, account=account, untick=untick)
    assert answer["state"] == state
    whole = f"{CALLBACK}?{urlencode(answer)}"
    await asyncio.to_thread(client.exchange_user_access_token, whole, CALLBACK, scope=SCOPES)
    found = await asyncio.to_thread(client.exchange_long_lived_user_access_token)
    client.access_token = found["access_token"]
    pages = await asyncio.to_thread(client.get_connection, "me", "accounts")
    return Connected(client, found["access_token"], {page["name"]: page for page in pages["data"]})


def meta(stand: Stand, token: str) -> FacebookAdsApi:
    """Meta's own client; the address of the interface is its session's."""
    session = FacebookSession(Facebook.client_id, facebook(stand).client_secret, token)
    session.GRAPH = f"{stand.url}/facebook"
    return FacebookAdsApi(session, api_version="v25.0")


async def test_pages_come_with_tokens_that_do_not_end_and_with_their_tasks(stand: Stand) -> None:
    alice = await connected(stand)
    assert set(alice.pages) == {"Shop", "Cafe"}
    assert "MANAGE" in alice.pages["Shop"]["tasks"]
    inspect = {"access_token": f"{Facebook.client_id}|{facebook(stand).client_secret}"}
    shown = await stand.get("/facebook/v25.0/debug_token", input_token=alice.token(), **inspect)
    assert (shown["data"]["type"], shown["data"]["expires_at"]) == ("PAGE", 0)
    user = (await stand.get("/facebook/debug_token", input_token=alice.user, **inspect))["data"]
    assert user["expires_at"] - user["issued_at"] == 5_183_944
    assert user["data_access_expires_at"] - user["issued_at"] == 90 * DAY
    query = {"fields": "instagram_business_account{id,username}", "access_token": alice.user}
    found = await stand.get(f"/facebook/v25.0/{alice.id()}", **query)
    assert found["instagram_business_account"]["username"] == "shop"
    assert "instagram_business_account" not in await stand.get(f"/facebook/v25.0/{alice.id('Cafe')}", **query)
    bob = await connected(stand, "bob")
    assert bob.pages["Cafe"]["tasks"] == ["ANALYZE"]
    refused = await stand.call(
        "POST", f"/facebook/{bob.id('Cafe')}/feed", data={"message": "x", "access_token": bob.token("Cafe")}
    )
    assert code(refused) == (10, None)


async def test_pages_of_portfolios_and_picked_ones_are_in_no_plain_list(stand: Stand) -> None:
    carol = await connected(stand, "carol")
    assert carol.pages == {}
    token = {"access_token": carol.user}
    found = await stand.get("/facebook/v25.0/me/businesses", **token)
    pages = {}
    for business in found["data"]:
        for edge in ("owned_pages", "client_pages"):
            listed = await stand.get(f"/facebook/v25.0/{business['id']}/{edge}", fields="id,name,tasks", **token)
            pages |= {page["name"]: (edge, page["tasks"]) for page in listed["data"]}
    assert {name: edge for name, (edge, _) in pages.items()} == {
        "Warehouse": "owned_pages",
        "Client": "client_pages",
        "Auditor": "client_pages",
    }
    assert "PROFILE_PLUS_FULL_CONTROL" in pages["Warehouse"][1]
    inspect = {"access_token": f"{Facebook.client_id}|{facebook(stand).client_secret}"}
    shown = (await stand.get("/facebook/v25.0/debug_token", input_token=carol.user, **inspect))["data"]
    granular = {item["scope"]: item.get("target_ids") for item in shown["granular_scopes"]}
    [picked] = granular["pages_show_list"]
    assert (granular["business_management"], granular["public_profile"]) == (None, None)
    page = await stand.get(f"/facebook/v25.0/{picked}", fields="name,access_token", **token)
    assert page["name"] == "Picked"
    posted = await stand.call(
        "POST", f"/facebook/{picked}/feed", data={"message": "x", "access_token": page["access_token"]}
    )
    assert "id" in posted
    stranger = await connected(stand, "alice")
    for path in (f"{found['data'][0]['id']}/owned_pages", f"{found['data'][0]['id']}/client_pages"):
        assert code(await stand.get(f"/facebook/v25.0/{path}", access_token=stranger.user)) == (100, 33)
    without = await connected(stand, "carol", untick="business_management")
    assert code(await stand.get("/facebook/v25.0/me/businesses", access_token=without.user)) == (10, None)


async def test_long_token_dies_after_60_days_and_cannot_be_exchanged_then(stand: Stand) -> None:
    alice = await connected(stand)
    await stand.command("clock", jump=5_183_944 - 60)
    again = await asyncio.to_thread(alice.client.exchange_long_lived_user_access_token)
    assert again["expires_in"] == 5_183_944
    await stand.command("clock", jump=120)
    exchange = {
        "grant_type": "fb_exchange_token",
        "client_id": Facebook.client_id,
        "client_secret": facebook(stand).client_secret,
    }
    late = await stand.get("/facebook/oauth/access_token", **exchange, fb_exchange_token=alice.user)
    assert code(late) == (190, 463)
    assert (await stand.get("/facebook/me", access_token=alice.token()))["name"] == "Shop", "a page's lives on"


async def test_metas_own_client_posts_reads_comments_and_deletes(stand: Stand) -> None:
    alice = await connected(stand)
    api = meta(stand, alice.token())
    page = Page(alice.id(), api=api)
    post = await asyncio.to_thread(page.create_feed, params={"message": "Hello, café"})
    comments = await asyncio.to_thread(PagePost(post["id"], api=api).create_comment, params={"message": "first"})
    read = await asyncio.to_thread(PagePost(post["id"], api=api).api_get, fields=["message", "created_time"])
    assert read["message"] == "Hello, café"
    feed = await asyncio.to_thread(lambda: [item["id"] for item in page.get_feed(params={"limit": 2})])
    assert feed[0] == post["id"]
    assert len(feed) == 4, "it followed the pages"
    with pytest.raises(FacebookRequestError) as repeated:
        await asyncio.to_thread(page.create_feed, params={"message": "Hello, café"})
    assert repeated.value.api_error_code() == 506
    await asyncio.to_thread(PagePost(post["id"], api=api).api_delete)
    with pytest.raises(FacebookRequestError) as gone:
        await asyncio.to_thread(PagePost(post["id"], api=api).api_get)
    assert (gone.value.api_error_code(), gone.value.api_error_subcode()) == (100, 33)
    ids = [entry["id"] for entry in await stand.ledger("post")]
    assert ids == [post["id"], comments["id"]]


@pytest.mark.parametrize(("minutes", "taken"), [(9, False), (11, True), (30 * 1440 - 1, True), (30 * 1440 + 1, False)])
async def test_posts_are_scheduled_10_minutes_to_30_days_ahead(stand: Stand, minutes: int, *, taken: bool) -> None:
    alice = await connected(stand)
    at = int(stand.server.simulation.clock.seconds()) + minutes * MINUTE
    form = {"message": "later", "published": "false", "scheduled_publish_time": at, "access_token": alice.token()}
    answer = await stand.call("POST", f"/facebook/{alice.id()}/feed", data=form)
    assert ("id" in answer) is taken
    if taken:
        assert await stand.ledger("post") == []
        await stand.command("clock", jump=minutes * MINUTE + 1)
        feed = await stand.get(f"/facebook/{alice.id()}/feed", access_token=alice.token())
        assert feed["data"][0]["id"] == answer["id"]
        assert [entry["id"] for entry in await stand.ledger("post")] == [answer["id"]]


async def test_photo_is_fetched_and_several_make_one_post(stand: Stand, receiver: Receiver) -> None:
    alice = await connected(stand)
    path, url = f"/facebook/{alice.id()}/photos", f"{receiver.media}/picture.jpg"
    alone = await stand.call("POST", path, data={"url": url, "caption": "one", "access_token": alice.token()})
    assert set(alone) == {"id", "post_id"}
    parts = [
        (await stand.call("POST", path, data={"url": url, "published": "false", "access_token": alice.token()}))["id"]
        for _ in range(2)
    ]
    attached = {f"attached_media[{n}]": f'{{"media_fbid":"{part}"}}' for n, part in enumerate(parts)}
    form = attached | {"message": "both", "access_token": alice.token()}
    both = await stand.call("POST", f"/facebook/{alice.id()}/feed", data=form)
    assert [entry["id"] for entry in await stand.ledger("post")] == [alone["post_id"], both["id"]]
    bad = {"url": f"{receiver.media}/none.jpg", "access_token": alice.token()}
    assert code(await stand.call("POST", path, data=bad)) == (324, 2069019)


async def test_reel_goes_through_its_phases_and_its_post_is_found_later(stand: Stand) -> None:
    alice = await connected(stand)
    path = f"/facebook/v25.0/{alice.id()}/video_reels"
    begun = await stand.call("POST", path, data={"upload_phase": "start", "access_token": alice.token()})
    finish = {"upload_phase": "finish", "video_id": begun["video_id"], "access_token": alice.token()}
    assert code(await stand.call("POST", path, data=finish))[0] == 100, "nothing was uploaded"

    async def send(offset: int, part: bytes) -> Any:
        headers = {"Authorization": f"OAuth {alice.token()}", "offset": str(offset), "file_size": str(len(CLIP))}
        return await stand.call("POST", begun["upload_url"].removeprefix(stand.url), headers=headers, data=part)

    assert (await send(0, CLIP[:4000]))["debug_info"]["type"] == "PartialRequestError"
    query = {"fields": "status,post_id", "access_token": alice.token()}
    video = f"/facebook/{begun['video_id']}"
    assert (await stand.get(video, **query))["status"]["uploading_phase"]["bytes_transfered"] == 4000
    assert (await send(4000, CLIP[4000:]))["success"]
    assert await stand.call("POST", path, data=finish | {"description": "my reel"}) == {"success": True}
    assert (await stand.get(video, **query))["status"]["video_status"] == "processing"
    await stand.command("clock", jump=31)
    shown = await stand.get(video, **query)
    assert (shown["status"]["video_status"], shown["status"]["publishing_phase"]["status"]) == ("ready", "complete")
    assert [entry["id"] for entry in await stand.ledger("post", text="my reel")] == [shown["post_id"]]


async def test_thirty_reels_in_24_hours(stand: Stand) -> None:
    alice = await connected(stand)
    page = facebook(stand).pages["Shop"]
    for _ in range(30):
        facebook(stand)._publish(page, "reel", "r", [], app=True)
    start = {"upload_phase": "start", "access_token": alice.token()}
    path = f"/facebook/{alice.id()}/video_reels"
    assert code(await stand.call("POST", path, data=start)) == (613, None)
    await stand.command("clock", jump=DAY + 1)
    assert "video_id" in await stand.call("POST", path, data=start)


async def test_video_by_the_uploaders_session_and_a_corrupt_one_says_so(stand: Stand) -> None:
    alice = await connected(stand)

    async def made(content: bytes) -> str:
        begin = {"file_length": len(content), "file_type": "video/mp4", "access_token": alice.token()}
        session = await stand.call("POST", f"/facebook/{Facebook.client_id}/uploads", data=begin)
        headers = {"Authorization": f"OAuth {alice.token()}", "file_offset": "0"}
        sent = await stand.call("POST", f"/facebook/{session['id']}", headers=headers, data=content)
        form = {"fbuploader_video_file_chunk": sent["h"], "description": "v", "access_token": alice.token()}
        return str((await stand.call("POST", f"/facebook/{alice.id()}/videos", data=form))["id"])

    videos = [await made(CLIP), await made(CLIP + b"corrupt")]
    await stand.command("clock", jump=31)
    states = [
        (await stand.get(f"/facebook/{video}", fields="status", access_token=alice.token()))["status"]["video_status"]
        for video in videos
    ]
    assert states == ["ready", "error"]
    assert len(await stand.ledger("post", text="v")) == 1


async def connected_with_webhooks(stand: Stand, receiver: Receiver, **form: str) -> Connected:
    alice = await connected(stand)
    for stream in ("page", "instagram"):
        await stand.command(
            "webhooks", platform="facebook", stream=stream, url=receiver.url, verify_token=receiver.token
        )
    subscribe = {"subscribed_fields": "feed", "access_token": alice.token()}
    assert (await stand.call("POST", f"/facebook/{alice.id()}/subscribed_apps", data=subscribe))["success"]
    for name, choice in form.items():
        await stand.command("variants", platform="facebook", name=name, variant=choice)
    return alice


async def test_feed_tells_of_comments_by_their_verbs(stand: Stand, receiver: Receiver) -> None:
    alice = await connected_with_webhooks(stand, receiver, edited="edit", remove="delete")
    act = {"platform": "facebook", "account": "Shop"}
    post = (await stand.command("act", what="publish", text="new", **act))["id"]
    said = (await stand.command("act", what="comment", post=post, text="hm", by="fan_3", **act))["id"]
    reply = (await stand.command("act", what="comment", post=said, text="so", by="fan_4", **act))["id"]
    form = {"is_hidden": "true", "access_token": alice.token()}
    await stand.call("POST", f"/facebook/{said}", data=form)
    await stand.command("act", what="remove", id=said, **act)
    came = [request.json for request in await receiver.until(5)]
    values = [change["value"] for document in came for change in document["entry"][0]["changes"]]
    assert {document["object"] for document in came} == {"page"}
    assert sorted((v["item"], v["verb"]) for v in values) == sorted(
        [("status", "add"), ("comment", "add"), ("comment", "add"), ("comment", "hide"), ("comment", "delete")]
    )
    by_id = {(v.get("comment_id"), v["verb"]): v for v in values}
    assert by_id[said, "add"]["parent_id"] == post, "of a top-level comment the parent is the post"
    assert by_id[reply, "add"]["parent_id"] == said
    assert said.startswith(post.partition("_")[2] + "_")


async def test_who_did_it_is_spelt_in_two_ways_or_left_out(stand: Stand, receiver: Receiver) -> None:
    await connected_with_webhooks(stand, receiver)
    act = {"platform": "facebook", "account": "Shop"}
    post = facebook(stand).visible_posts("Shop")[0]["id"]
    for number, (form, keys) in enumerate(
        (("from", {"from"}), ("sender", {"sender_id", "sender_name"}), ("absent", set())), 1
    ):
        await stand.command("variants", platform="facebook", name="from", variant=form)
        await stand.command("act", what="comment", post=post, text="x", **act)
        came = await receiver.until(number)
        value = came[-1].json["entry"][0]["changes"][0]["value"]
        assert {"from", "sender_id", "sender_name"} & set(value) == keys


async def test_page_half_without_the_applications_half_is_silence(stand: Stand, receiver: Receiver) -> None:
    alice = await connected(stand)
    subscribe = {"subscribed_fields": "feed", "access_token": alice.token()}
    assert (await stand.call("POST", f"/facebook/{alice.id()}/subscribed_apps", data=subscribe))["success"]
    app = f"{Facebook.client_id}|{facebook(stand).client_secret}"
    path = f"/facebook/v25.0/{Facebook.client_id}/subscriptions"
    form = {"object": "page", "callback_url": receiver.url, "verify_token": receiver.token, "access_token": app}
    assert (await stand.call("POST", path, data=form | {"fields": "mention"}))["success"]
    act = {"platform": "facebook", "account": "Shop"}
    await stand.command("act", what="publish", text="unheard", **act)
    assert (await stand.call("POST", path, data=form | {"fields": "feed"}))["success"]
    shown = await stand.get(path, access_token=app)
    assert shown["data"] == [{"object": "page", "callback_url": receiver.url, "active": True, "fields": ["feed"]}]
    await stand.command("act", what="publish", text="heard", **act)
    [came] = await receiver.until(1)
    assert came.json["entry"][0]["changes"][0]["value"]["message"] == "heard"
    wrong = await stand.call("POST", path, data=form | {"fields": "feed", "verify_token": "no"})
    assert code(wrong) == (2200, None)
    assert code(await stand.call("POST", path, data=form | {"object": "instagram", "fields": "comments"}))[0] == 100
    assert set(PAGE_FIELDS) > {"feed"}


async def test_instagram_behind_a_page_is_the_same_instagram(stand: Stand, receiver: Receiver) -> None:
    alice = await connected_with_webhooks(stand, receiver)
    instagram = facebook(stand).instagram.people["shop"].user_id
    listed = await stand.get(f"/facebook/v25.0/{instagram}/media", fields="id", access_token=alice.user)
    media = listed["data"][0]["id"]
    said = await stand.command("act", platform="instagram", what="comment", account="shop", post=media, text="hi")
    [came] = await receiver.until(1)
    assert (came.json["object"], came.json["entry"][0]["id"]) == ("instagram", instagram)
    assert came.json["entry"][0]["changes"][0]["value"]["id"] == said["id"]
    made = await stand.call(
        "POST",
        f"/facebook/v25.0/{instagram}/media",
        data={"image_url": f"{receiver.media}/picture.jpg", "access_token": alice.user},
    )
    await stand.command("clock", jump=5)
    form = {"creation_id": made["id"], "access_token": alice.user}
    posted = await stand.call("POST", f"/facebook/v25.0/{instagram}/media_publish", data=form)
    assert [entry["id"] for entry in await stand.ledger("post", platform="facebook")] == [posted["id"]]
    bob = await connected(stand, "bob")
    assert code(await stand.get(f"/facebook/v25.0/{instagram}/media", access_token=bob.user)) == (100, 33)


async def test_revoked_person_takes_the_pages_tokens_along(stand: Stand, receiver: Receiver) -> None:
    alice = await connected(stand)
    await stand.command("webhooks", platform="facebook", stream="deauthorize", url=receiver.url)
    await stand.command("act", platform="facebook", what="revoke", account="alice")
    for token in (alice.user, alice.token()):
        assert code(await stand.get("/facebook/me", access_token=token)) == (190, 458)
    assert (await receiver.until(1))[0].body.startswith(b"signed_request=")
    assert "a person revokes" in await stand.refused("act", platform="facebook", what="revoke", account="Shop")


async def test_proof_of_the_secret_is_checked_where_it_is_given(stand: Stand) -> None:
    alice = await connected(stand)
    good = facebook(stand).proof(alice.user)
    assert "id" in await stand.get("/facebook/me", access_token=alice.user, appsecret_proof=good)
    wrong = await stand.get("/facebook/me", access_token=alice.user, appsecret_proof="0" * 64)
    assert code(wrong) == (100, None)


async def test_what_it_does_not_know_is_refused_in_its_envelope(stand: Stand) -> None:
    alice = await connected(stand)
    page = alice.id()
    for method, path, token, expected in (
        ("GET", "/facebook/v25.0/no/such/thing", alice.user, 2500),
        ("GET", "/facebook/12345", alice.user, 100),
        ("POST", "/facebook/12345", alice.user, 100),
        ("DELETE", "/facebook/12345", alice.user, 100),
        ("POST", f"/facebook/{page}/feed", alice.user, 210),
        ("POST", f"/facebook/{page}/feed", alice.token(), 100),
        ("POST", f"/facebook/{page}/feed?attached_media=x&message=m&scheduled_publish_time=soon", alice.token(), 100),
        ("POST", f"/facebook/{page}/videos", alice.token(), 389),
        ("POST", f"/facebook/{page}/video_reels?upload_phase=complete", alice.token(), 100),
        ("POST", f"/facebook/{page}/subscribed_apps?subscribed_fields=nothing", alice.token(), 100),
        ("GET", f"/facebook/{page}?fields=nothing", alice.token(), 100),
        ("GET", "/facebook/upload:1", alice.user, 100),
        ("GET", "/facebook/debug_token?input_token=x", alice.user, 15),
    ):
        joint = "&" if "?" in path else "?"
        answer = await stand.call(method, f"{path}{joint}access_token={token}")
        assert (answer.get("status"), code(answer)[0]) == (400, expected), path
    wrong = {"client_id": Facebook.client_id, "client_secret": "no", "code": "x"}
    assert code(await stand.get("/facebook/oauth/access_token", **wrong))[0] == 1
    odd = {"Authorization": "Basic !!!"}
    assert code(await stand.call("GET", "/facebook/oauth/access_token", headers=odd))[0] == 101


async def test_world_lives_and_every_event_of_it_is_told(stand: Stand, receiver: Receiver) -> None:
    await connected_with_webhooks(stand, receiver)
    platform = facebook(stand)
    platform.subscribe_all()
    for _ in range(200):
        platform.simulate_activity()
    stand.server.wake()
    waiting = stand.server.simulation.dispatcher
    await until(lambda: len(waiting) == 0)
    values = [change["value"] for r in receiver.came for entry in r.json["entry"] for change in entry["changes"]]
    kinds = {(value["item"], value["verb"]) for value in values}
    assert kinds >= {("comment", "add"), ("comment", "edited"), ("comment", "remove"), ("reaction", "add")}
    said = {v["comment_id"]: v["message"] for v in values if v["item"] == "comment" and v["verb"] in ("add", "edited")}
    gone = {v["comment_id"] for v in values if v["item"] == "comment" and v["verb"] == "remove"}
    shown = {
        c["id"]: c["text"] for page in platform.pages for post in platform.visible_posts(page) for c in post["comments"]
    }
    below = {v["comment_id"] for v in values if v["item"] == "comment" and v.get("parent_id") in gone}
    assert {id_: text for id_, text in said.items() if id_ not in gone | below} == shown


# --- the pages as they were changed (meta.md, 2026-11-27)


async def test_unpublished_post_is_published_once_however_often_it_is_said(stand: Stand) -> None:
    """``meta.md`` 9.4: step 2 is repeated on the same id."""
    alice = await connected(stand)
    form = {"message": "draft", "published": "false", "access_token": alice.token()}
    made = (await stand.call("POST", f"/facebook/{alice.id()}/feed", data=form))["id"]
    query = {"fields": "is_published,message", "access_token": alice.token()}
    assert (await stand.get(f"/facebook/{made}", **query))["is_published"] is False
    listing = f"/facebook/{alice.id()}/published_posts"
    assert made not in str(await stand.get(listing, access_token=alice.token()))
    assert await stand.published("facebook") == []
    for _ in range(3):
        publish = {"is_published": "true", "access_token": alice.token()}
        assert await stand.call("POST", f"/facebook/{made}", data=publish) == {"success": True}
    assert (await stand.get(f"/facebook/{made}", **query))["is_published"] is True
    assert [post["id"] for post in await stand.published("facebook")] == [made]
    assert made in str(await stand.get(listing, access_token=alice.token()))
    nothing = await stand.call("POST", f"/facebook/{made}", data={"access_token": alice.token()})
    assert code(nothing) == (100, None)


async def test_published_posts_name_their_photos_and_leave_reels_out(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 9.6 and 10.9: ``attachments..target.id`` is the exact match."""
    alice = await connected(stand)
    photos, url = f"/facebook/{alice.id()}/photos", f"{receiver.media}/picture.jpg"
    unpublished = {"url": url, "published": "false", "alt_text_custom": "alt", "access_token": alice.token()}
    parts = [(await stand.call("POST", photos, data=unpublished))["id"] for _ in range(11)]
    shown = await stand.get(f"/facebook/{parts[0]}", fields="alt_text_custom", access_token=alice.token())
    assert shown["alt_text_custom"] == "alt"
    attached = {f"attached_media[{n}]": f'{{"media_fbid":"{part}"}}' for n, part in enumerate(parts)}
    form = attached | {"message": "album", "access_token": alice.token()}
    album = (await stand.call("POST", f"/facebook/{alice.id()}/feed", data=form))["id"]
    fields = "id,message,attachments{media_type,target{id},subattachments{target{id}}}"
    since = str(int(stand.server.simulation.clock.seconds()) - 120)
    path = f"/facebook/v25.0/{alice.id()}/published_posts"
    found = await stand.get(path, fields=fields, since=since, access_token=alice.token())
    [post] = [post for post in found["data"] if post["id"] == album]
    [attachment] = post["attachments"]["data"]
    assert [item["target"]["id"] for item in attachment["subattachments"]["data"]] == parts, "in their order"
    again = await stand.call("POST", f"/facebook/{alice.id()}/feed", data=form | {"message": "again"})
    assert code(again) == (100, 1366051), "these photos were already posted (9.5)"
    page = facebook(stand).pages["Shop"]
    reel = facebook(stand)._publish(page, "reel", "r", [], app=True).id
    for edge in ("feed", "posts", "published_posts"):
        ids = await stand.get(f"/facebook/{alice.id()}/{edge}", fields="id", access_token=alice.token())
        assert reel not in {item["id"] for item in ids["data"]}, edge


async def test_photo_may_be_a_file_and_is_neither_large_nor_facebooks_own(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 9.2 and 9.5."""
    alice = await connected(stand)
    path = f"/facebook/{alice.id()}/photos"

    def file(content: bytes) -> aiohttp.FormData:
        form = aiohttp.FormData({"access_token": alice.token()})
        form.add_field("source", io.BytesIO(content), filename="a.jpg", content_type="image/jpeg")
        return form

    picture = receiver.files["picture.jpg"]
    assert set(await stand.call("POST", path, data=file(picture))) == {"id", "post_id"}
    assert code(await stand.call("POST", path, data=file(picture + bytes(4 * 2**20)))) == (100, 1366046)
    own = {"url": "https://scontent.fbcdn.net/a.jpg", "access_token": alice.token()}
    assert code(await stand.call("POST", path, data=own)) == (100, None)


async def test_stories_are_on_an_edge_of_their_own_for_a_day(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 9.2, 9.6 and 10.9: ``media_id`` is the id that was uploaded."""
    alice = await connected(stand)
    unpublished = {"url": f"{receiver.media}/picture.jpg", "published": "false", "access_token": alice.token()}
    photo = (await stand.call("POST", f"/facebook/{alice.id()}/photos", data=unpublished))["id"]
    story = {"photo_id": photo, "access_token": alice.token()}
    path = f"/facebook/{alice.id()}/photo_stories"
    made = await stand.call("POST", path, data=story)
    assert made["success"]
    assert code(await stand.call("POST", path, data=story)) == (100, 1366051), "it was used already"
    listing = f"/facebook/{alice.id()}/stories"
    [shown] = (await stand.get(listing, access_token=alice.token()))["data"]
    assert (shown["media_id"], shown["media_type"], shown["post_id"]) == (photo, "photo", made["post_id"])
    feed = await stand.get(f"/facebook/{alice.id()}/feed", fields="id", access_token=alice.token())
    assert made["post_id"] not in {post["id"] for post in feed["data"]}
    await stand.command("clock", jump=DAY)
    assert (await stand.get(listing, access_token=alice.token()))["data"] == []


async def test_reels_are_listed_on_their_edge_and_a_second_finish_may_publish_again(stand: Stand) -> None:
    """``meta.md`` 9.6 and 10.9: that a repeated ``finish`` is harmless is unconfirmed."""
    alice = await connected(stand)
    path = f"/facebook/v25.0/{alice.id()}/video_reels"
    begun = await stand.call("POST", path, data={"upload_phase": "start", "access_token": alice.token()})
    headers = {"Authorization": f"OAuth {alice.token()}", "offset": "0", "file_size": str(len(CLIP))}
    await stand.call("POST", begun["upload_url"].removeprefix(stand.url), headers=headers, data=CLIP)
    finish = {"upload_phase": "finish", "video_id": begun["video_id"], "access_token": alice.token()}
    draft = finish | {"video_state": "DRAFT"}
    assert (await stand.call("POST", path, data=draft))["success"]
    await stand.command("clock", jump=31)
    assert await stand.published("facebook") == []
    for count, variant in ((1, "harmless"), (1, "harmless"), (2, "publishes_again")):
        await stand.command("variants", platform="facebook", name="repeated_finish", variant=variant)
        assert (await stand.call("POST", path, data=finish))["success"]
        await stand.command("clock", jump=31)
        query = {"fields": "id,published,permalink_url,post_id", "access_token": alice.token()}
        [reel] = (await stand.get(path, **query))["data"]
        assert (reel["id"], reel["published"]) == (begun["video_id"], True)
        assert len(await stand.published("facebook")) == count


async def test_handle_of_an_upload_makes_a_video_each_time_it_is_used(stand: Stand) -> None:
    """``meta.md`` 9.2 says nothing of a handle that is used up: a publisher must not rely on it."""
    alice = await connected(stand)
    begin = {"file_length": len(CLIP), "file_type": "video/mp4", "access_token": alice.token()}
    session = await stand.call("POST", f"/facebook/{Facebook.client_id}/uploads", data=begin)
    headers = {"Authorization": f"OAuth {alice.token()}", "file_offset": "0"}
    sent = await stand.call("POST", f"/facebook/{session['id']}", headers=headers, data=CLIP)
    form = {"fbuploader_video_file_chunk": sent["h"], "access_token": alice.token()}
    for _ in range(2):
        await stand.call("POST", f"/facebook/{alice.id()}/videos", data=form)
    await stand.command("clock", jump=31)
    assert len(await stand.published("facebook")) == 2


async def test_page_fields_are_the_pages_own_and_messages_need_their_permission(stand: Stand) -> None:
    """``meta.md`` 1.5 and 3.1."""
    alice = await connected(stand, untick="pages_messaging")
    path = f"/facebook/{alice.id()}/subscribed_apps"

    async def subscribe(fields: str) -> Any:
        return await stand.call("POST", path, data={"subscribed_fields": fields, "access_token": alice.token()})

    assert code(await subscribe("feed,messaging_seen")) == (100, None), "that is Instagram's name"
    assert code(await subscribe("feed,message_reads")) == (200, None)
    assert (await stand.get(path, access_token=alice.token()))["data"] == []
    assert (await subscribe("feed,mention"))["success"]


async def test_others_comments_need_a_permission_that_the_refusal_does_not_name(stand: Stand) -> None:
    """``meta.md`` 7.2 and T26 of 14."""
    alice = await connected(stand, untick="pages_read_user_content")
    post = facebook(stand).visible_posts("Shop")[0]["id"]
    refused = await stand.get(f"/facebook/{post}/comments", access_token=alice.token())
    assert code(refused) == (10, None)
    assert "pages_read_engagement" in refused["error"]["message"]


async def test_comments_are_a_stream_of_all_levels_where_asked(stand: Stand) -> None:
    """``meta.md`` 10.9."""
    alice = await connected(stand)
    post = facebook(stand).visible_posts("Shop")[0]["id"]
    act = {"platform": "facebook", "what": "comment", "account": "Shop"}
    top = (await stand.command("act", **act, post=post, text="top"))["id"]
    reply = (await stand.command("act", **act, post=top, text="reply"))["id"]

    async def listed(**query: str) -> list[str]:
        found = await stand.get(f"/facebook/{post}/comments", access_token=alice.token(), **query)
        return [comment["id"] for comment in found["data"]]

    assert await listed() == [top]
    assert await listed(filter="stream") == [top, reply]
    assert await listed(filter="stream", order="reverse_chronological") == [reply, top]


async def test_page_metrics_without_their_permission_are_an_empty_list(stand: Stand) -> None:
    """``meta.md`` 7.2 and 10.5: 200 and no error."""
    alice = await connected(stand)
    path = f"/facebook/v25.0/{alice.id()}/insights"

    async def asked(person: Connected, metric: str) -> Any:
        return await stand.get(path, metric=metric, access_token=person.token())

    [item] = (await asked(alice, "page_views_total"))["data"]
    assert item["values"][0]["value"] > 0
    assert "valid insights metric" in (await asked(alice, "page_impressions"))["error"]["message"]
    await stand.command("act", platform="facebook", what="revoke", account="alice")
    without = await connected(stand, untick="read_insights")
    assert await asked(without, "page_views_total") == {"data": []}


async def test_facebook_login_has_metrics_of_its_own_and_one_kills_the_request(stand: Stand) -> None:
    """``meta.md`` 10.5, subcode 2207086."""
    alice = await connected(stand)
    media = facebook(stand).instagram.post("shop", "REELS", "c").id
    path = f"/facebook/v25.0/{media}/insights"
    found = await stand.get(path, metric="likes,total_likes", access_token=alice.token())
    assert [item["name"] for item in found["data"]] == ["likes", "total_likes"]
    killed = await stand.get(path, metric="likes,facebook_views", access_token=alice.token())
    assert code(killed) == (100, 2207086)


async def test_orphans_of_a_lost_first_step_stand_in_nobodys_way(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 9.4: step 1 lost, make another; neither its text nor its photos were posted yet."""
    alice = await connected(stand)
    path, token = f"/facebook/{alice.id()}", {"access_token": alice.token(), "published": "false"}
    photo = (await stand.call("POST", f"{path}/photos", data=token | {"url": f"{receiver.media}/picture.jpg"}))["id"]
    form = token | {"message": "hello", "attached_media[0]": f'{{"media_fbid":"{photo}"}}'}
    made = [(await stand.call("POST", f"{path}/feed", data=form))["id"] for _ in range(2)]
    assert len(set(made)) == 2
    publish = {"is_published": "true", "access_token": alice.token()}
    assert await stand.call("POST", f"/facebook/{made[1]}", data=publish) == {"success": True}
    assert [post["id"] for post in await stand.published("facebook")] == [made[1]]
    assert code(await stand.call("POST", f"{path}/feed", data=form | {"message": "x"})) == (100, 1366051)
    text = {"message": "hello", "access_token": alice.token()}
    assert code(await stand.call("POST", f"{path}/feed", data=text)) == (506, None)


async def test_is_published_may_do_nothing_and_say_success(stand: Stand) -> None:
    """``meta.md`` 9.4: prove live before relying on it."""
    alice = await connected(stand)
    await stand.command("variants", platform="facebook", name="is_published", variant="ignored")
    form = {"message": "draft", "published": "false", "access_token": alice.token()}
    made = (await stand.call("POST", f"/facebook/{alice.id()}/feed", data=form))["id"]
    publish = {"is_published": "true", "access_token": alice.token()}
    assert await stand.call("POST", f"/facebook/{made}", data=publish) == {"success": True}
    found = await stand.get(f"/facebook/{made}", fields="is_published", access_token=alice.token())
    assert found["is_published"] is False
    assert await stand.published("facebook") == []


async def test_reel_shows_each_phase_and_a_lost_finish_shows_none(stand: Stand) -> None:
    """``meta.md`` 9.2 and 9.6: the phases decide whether a finish is sent again."""
    alice = await connected(stand)
    path, token = f"/facebook/{alice.id()}/video_reels", {"access_token": alice.token()}
    begun = await stand.call("POST", path, data=token | {"upload_phase": "start"})

    async def phases() -> tuple[str, str, str]:
        found = await stand.get(f"/facebook/{begun['video_id']}", fields="status", **token)
        status = found["status"]
        return status["video_status"], status["processing_phase"]["status"], status["publishing_phase"]["status"]

    assert await phases() == ("uploading", "not_started", "not_started")
    headers = {"Authorization": f"OAuth {alice.token()}", "offset": "0", "file_size": str(len(CLIP))}
    async with stand.http.post(begun["upload_url"], data=CLIP, headers=headers) as response:
        assert response.status == 200
    finish = token | {"upload_phase": "finish", "video_id": begun["video_id"], "video_state": "PUBLISHED"}
    fault = {"platform": "facebook", "endpoint": "POST */video_reels", "drop": True}
    await stand.command("faults", where={"upload_phase": "finish"}, **fault)
    with pytest.raises(aiohttp.ClientError):
        await stand.call("POST", path, data=finish)
    assert await phases() == ("upload_complete", "not_started", "not_started")
    assert await stand.call("POST", path, data=finish) == {"success": True}
    assert await phases() == ("processing", "in_progress", "not_started")
    await stand.command("clock", jump=31)
    assert await phases() == ("ready", "complete", "complete")
    assert len(await stand.published("facebook")) == 1
