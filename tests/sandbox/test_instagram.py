"""``meta.md`` by its numbers for Instagram Login, and clients that nobody here wrote."""

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import aiohttp
import imagesize
import pytest
from pyfacebook import BasicDisplayAPI, FacebookError
from pywa.utils import webhook_updates_validator

from ops.sandbox.graph_api import wanted
from ops.sandbox.platforms.instagram import Instagram
from ops.sandbox.server import MEDIA
from tests.sandbox.conftest import Receiver, Stand, code, until

CALLBACK = "https://app.example/callback/instagram"
SCOPES = list(Instagram.scopes)
DAY = 86_400
PICTURE = (MEDIA / "picture.jpg").read_bytes()
CLIP = (MEDIA / "clip.mp4").read_bytes()


def platform_of(stand: Stand) -> Any:
    return stand.server.simulation.platforms["instagram"]


async def short(stand: Stand, account: str = "shop", untick: str = "", **more: str) -> tuple[Any, str]:
    """A client of somebody else's with a short token, by its own calls and a person's consent."""
    base = f"{stand.url}/instagram"
    await stand.command("redirects", platform="instagram", redirect_uri=CALLBACK)
    await stand.command("variants", platform="instagram", name="token", variant="flat")  # what this client can read
    client = BasicDisplayAPI(
        Instagram.client_id,
        platform_of(stand).client_secret,
        oauth_flow=True,
        version="v25.0",
        base_url=f"{base}/",
        authorization_url=f"{base}/oauth/authorize",
        access_token_url=f"{base}/oauth/access_token",
    )
    address, state = client.get_authorization_url(redirect_uri=CALLBACK, scope=SCOPES, **more)
    answer = await stand.consent(address, account=account, untick=untick)
    assert answer["state"] == state
    whole = f"{CALLBACK}?{urlencode(answer)}"
    await asyncio.to_thread(client.exchange_user_access_token, whole, CALLBACK, scope=SCOPES)
    return client, client.access_token


async def long(stand: Stand, account: str = "shop", untick: str = "") -> tuple[Any, str]:
    client, token = await short(stand, account, untick)
    found = await asyncio.to_thread(client.exchange_long_lived_user_access_token, token)
    client.access_token = found["access_token"]
    return client, client.access_token


async def test_stranger_authorises_lengthens_and_refreshes_by_the_platforms_own_rules(stand: Stand) -> None:
    client, token = await short(stand)
    with pytest.raises(FacebookError, match="24 hours"):
        await asyncio.to_thread(client.refresh_access_token, await _long(client, token))
    held = await _long(client, token)
    await stand.command("clock", jump=DAY + 1)
    with pytest.raises(FacebookError, match="expired"):
        await _long(client, token)
    refreshed = await asyncio.to_thread(client.refresh_access_token, held)
    assert refreshed["expires_in"] == 5_183_944
    await stand.command("clock", jump=refreshed["expires_in"] + 1)
    with pytest.raises(FacebookError) as late:
        await asyncio.to_thread(client.refresh_access_token, refreshed["access_token"])
    assert (late.value.code, late.value.message[:5]) == (190, "Error")
    assert (await stand.call("POST", "/instagram/refresh_access_token"))["status"] == 400, "GET only"


async def _long(client: Any, token: str) -> str:
    found: str = (await asyncio.to_thread(client.exchange_long_lived_user_access_token, token))["access_token"]
    return found


async def test_code_works_once_within_its_hour_and_comes_with_a_fragment(stand: Stand) -> None:
    await stand.command("redirects", platform="instagram", redirect_uri=CALLBACK)
    query = {"client_id": Instagram.client_id, "redirect_uri": CALLBACK, "scope": ",".join(SCOPES), "state": "s"}
    address = f"{stand.url}/instagram/oauth/authorize?{urlencode(query)}"
    app = {
        "client_id": Instagram.client_id,
        "client_secret": platform_of(stand).client_secret,
        "redirect_uri": CALLBACK,
    }
    form = app | {"grant_type": "authorization_code"}

    async def spend(code: str, **other: str) -> Any:
        return await stand.call("POST", "/instagram/oauth/access_token", data=form | {"code": code} | other)

    code = (await stand.consent(address, account="bob"))["code"]
    assert (await spend(code, redirect_uri="https://else.example/"))["error_type"] == "OAuthException"
    wrapped = await spend(code)
    assert set(wrapped["data"][0]) == {"access_token", "user_id", "permissions"}
    assert (await spend(code))["code"] == 400, "used"
    late = (await stand.consent(address, account="bob"))["code"]
    await stand.command("clock", jump=3601)
    assert "error_message" in await spend(late)
    for choice, kind in (("flat", str), ("listed", list)):
        await stand.command("variants", platform="instagram", name="token", variant=choice)
        assert isinstance((await spend((await stand.consent(address))["code"]))["permissions"], kind)
    denied = await stand.consent(address, decision="deny")
    assert (denied["error"], denied["error_reason"]) == ("access_denied", "user_denied")
    form_data = [*query.items(), ("account", "bob"), ("decision", "approve"), ("granted[]", SCOPES[0])]
    path = f"{stand.url}/instagram/oauth/authorize"
    async with stand.http.post(path, data=form_data, allow_redirects=False) as response:
        assert response.headers["Location"].endswith("#_")


async def test_account_has_two_ids_and_webhooks_name_the_professional_one(stand: Stand, receiver: Receiver) -> None:
    _, token = await long(stand)
    me = await stand.get("/instagram/v25.0/me", fields="id,user_id,username", access_token=token)
    assert me["id"] != me["user_id"]
    await stand.command("variants", platform="instagram", name="identity", variant="wrapped")
    assert (await stand.get("/instagram/me", access_token=token))["data"][0]["id"] == me["id"]
    await stand.command("webhooks", platform="instagram", url=receiver.url, verify_token=receiver.token)
    media = (await stand.get(f"/instagram/{me['user_id']}/media", access_token=token))["data"][0]["id"]
    await stand.command(
        "act", platform="instagram", what="comment", account="shop", post=media, text="unheard: not subscribed"
    )
    path = f"/instagram/v25.0/{me['user_id']}/subscribed_apps"
    assert await stand.call("POST", path, data={"subscribed_fields": "messages", "access_token": token}) == {
        "success": True
    }
    said = await stand.command(
        "act", platform="instagram", what="comment", account="shop", post=media, by="fan_9", text="café / @you"
    )
    [came] = await receiver.until(1)
    assert came.json["entry"][0]["id"] == me["user_id"]
    [change] = came.json["entry"][0]["changes"]
    assert (change["field"], change["value"]["id"]) == ("comments", said["id"]), "any field gives all of them"
    assert set(change["value"]) == {"id", "text", "from", "media"}, "no time, no verb, no parent"
    assert b"caf\\u00e9 \\/ @you" in came.body
    assert (await stand.call("DELETE", path, data={"access_token": token}))["success"]
    await stand.command("act", platform="instagram", what="comment", account="shop", post=media, text="unheard")
    assert len(receiver.came) == 1


async def test_strangers_checks_pass_on_what_is_signed_here(stand: Stand, receiver: Receiver) -> None:
    await stand.command(
        "webhooks",
        platform="instagram",
        url=receiver.url,
        secret="s3cret",
        verify_token=receiver.token,
        all_accounts=True,
    )
    await stand.command("delivery-policy", forged=1.0)
    media = platform_of(stand).instagram.of("shop")[0].id
    for number in range(1, 6):
        command = {"platform": "instagram", "what": "comment", "account": "shop", "post": media, "text": "é"}
        await stand.command("act", **command)
        await receiver.until(2 * number)
    came = receiver.came
    checks = [webhook_updates_validator("s3cret", c.body, c.headers["x-hub-signature-256"]) for c in came]
    assert sorted(checks) == [False] * 5 + [True] * 5, "half of them are forged, by command"


BODY_A = (
    '{"object":"instagram","entry":[{"id":"17841400000000001","time":1700000000,"changes":[{"field":"comments",'
    '"value":{"id":"17900000000000001","text":"hello","from":{"id":"1234567890","username":"alice"},'
    '"media":{"id":"17800000000000001","media_product_type":"FEED"}}}]}]}'
)
VECTORS = [
    (
        BODY_A,
        "12870cccb9652dc78b8e65907fcc2f51dbcc4363d6bf078e70619494d5d67b33",
    ),
    (
        r'{"text":"\u00e4\u00f6\u00e5 \ud83d\ude00 caf\u00e9"}',
        "e3eaa7f001b72d1e7a9f1d4cf13db6efeb66d5a3c2d1344c5bf465a346e66da3",
    ),
    ('{"text":"äöå 😀 café"}', "2340372e429041d18ac38b014f79bc1a20086e62f0d359457953f4e8b4986a43"),
    ("", "41e8f75a26ef599c5c89e456ec3c0729db143bb9925971cd4dab8c31ea4a95c3"),
    (
        r'{"permalink":"https:\/\/www.threads.net\/@u\/post\/Pp"}',
        "64af7ed551ab9e77e133b9c0a87535596e026bf89a92fc94c7773636a0ac47c6",
    ),
    (r'{"text":"mail me: a\u0040b.co"}', "d1ddfd9df876988fd9d2c6f6cec46f2797e7c5f966476971d1c6e26506d756ec"),
]


@pytest.mark.parametrize(("body", "digest"), VECTORS)
async def test_signs_as_the_vectors_say(stand: Stand, body: str, digest: str) -> None:
    headers = platform_of(stand).signature(body.encode(), "test_app_secret_0123456789abcdef", 0, 0)
    assert headers == {"X-Hub-Signature-256": f"sha256={digest}"}


async def test_signed_request_and_proof_are_those_of_the_vectors(stand: Stand) -> None:
    instagram = platform_of(stand)
    instagram.signing_secret = "test_app_secret_0123456789abcdef"
    payload = {"algorithm": "HMAC-SHA256", "expires": 1291840400, "issued_at": 1291836800, "user_id": "218471"}
    assert instagram.signed_request(payload) == (
        "4AQNQMGvsaRNHmcrCVLK_eD2UEV-ri4gBiVaTdDCLf4.eyJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImV4cGlyZXMiOjEyOTE4NDA0MD"
        "AsImlzc3VlZF9hdCI6MTI5MTgzNjgwMCwidXNlcl9pZCI6IjIxODQ3MSJ9"
    )
    assert instagram.proof("EAAtesttoken") == "ce54f32adad60074a1453c3168447959c31c1dc6a10604430250454ca199f06e"


async def test_wire_has_the_escapes_of_either_page(stand: Stand) -> None:
    instagram = platform_of(stand)
    assert instagram.escaped({"t": "ä/@<"}) == b'{"t":"\\u00e4\\/@<"}'
    await stand.command("variants", platform="instagram", name="escape", variant="more")
    assert instagram.escaped({"t": "ä/@<%"}) == b'{"t":"\\u00e4\\/\\u0040\\u003C\\u0025"}'


async def test_handshake_goes_first_and_a_wrong_answer_is_said(stand: Stand, receiver: Receiver) -> None:
    command = {"platform": "instagram", "url": receiver.url}
    assert "did not pass the handshake: it answered 403" in await stand.refused(
        "webhooks", **command, verify_token="no"
    )
    assert platform_of(stand).callbacks == {}
    assert (await stand.command("webhooks", **command, verify_token=receiver.token))["verified"]
    assert receiver.asked[-1]["hub.mode"] == "subscribe"
    assert receiver.asked[-1]["hub.challenge"].isdigit()
    assert "stream is one of" in await stand.refused("webhooks", **command, stream="page")


async def test_unanswered_delivery_comes_again_for_36_hours_less_and_less_often(
    stand: Stand, receiver: Receiver
) -> None:
    pauses = platform_of(stand).retry_seconds
    assert sum(pauses) <= 36 * 3600
    assert list(pauses) == sorted(pauses)
    await stand.command(
        "webhooks", platform="instagram", url=receiver.url, verify_token=receiver.token, all_accounts=True
    )
    receiver.statuses = [500] * 20
    media = platform_of(stand).instagram.of("bob")[0].id
    await stand.command("act", platform="instagram", what="comment", account="bob", post=media, text="again")
    for number, pause in enumerate(pauses, 1):
        await receiver.until(number)
        await _settled(stand, number)
        await stand.command("clock", jump=pause + 1)
    await receiver.until(len(pauses) + 1)
    await _settled(stand, len(pauses) + 1)
    await stand.command("clock", jump=DAY * 3)
    await asyncio.sleep(0.05)
    attempts = await stand.ledger("webhook")
    assert [entry["attempt"] for entry in attempts] == list(range(1, len(pauses) + 2))
    assert stand.server.simulation.dispatcher.dropped == 1


async def _settled(stand: Stand, attempts: int) -> None:
    await until(lambda: len(stand.server.simulation.ledger.find("webhook")) >= attempts)


async def test_comment_can_be_hidden_answered_and_removed_and_reading_shows_it(stand: Stand) -> None:
    _, token = await long(stand)
    media = platform_of(stand).instagram.of("shop")[0].id
    ids = [
        (
            await stand.command(
                "act", platform="instagram", what="comment", account="shop", post=media, by=f"fan_{n}", text=f"n{n}"
            )
        )["id"]
        for n in range(60)
    ]
    path, query = f"/instagram/v25.0/{media}/comments", {"access_token": token, "fields": "id,text,from,hidden"}
    first = await stand.get(path, **query, limit="500")
    assert [comment["id"] for comment in first["data"]] == ids[:9:-1], "50 a page, newest first"
    rest = await stand.get(first["paging"]["next"].removeprefix(stand.url))
    assert [comment["id"] for comment in rest["data"]] == ids[9::-1]
    assert "next" not in rest["paging"]
    reply = await stand.call("POST", f"/instagram/{ids[0]}/replies", data={"message": "ta", "access_token": token})
    assert [post["id"] for post in await stand.ledger("post")] == [reply["id"]]
    shown = await stand.get(f"/instagram/{ids[0]}", fields="id,replies{text,parent_id}", access_token=token)
    assert shown["replies"]["data"] == [{"id": reply["id"], "text": "ta", "parent_id": ids[0]}]
    assert (await stand.call("POST", f"/instagram/{ids[1]}?hide=true&access_token={token}"))["success"]
    assert (await stand.get(f"/instagram/{ids[1]}", fields="hidden", access_token=token))["hidden"] is True
    assert (await stand.call("DELETE", f"/instagram/{ids[1]}?access_token={token}"))["success"]
    gone = await stand.get(f"/instagram/{ids[1]}", access_token=token)
    assert (gone["error"]["code"], gone["error"]["error_subcode"]) == (100, 33)
    private = {"recipient": {"comment_id": ids[2]}, "message": {"text": "hi"}}
    me = platform_of(stand).instagram.people["shop"].user_id
    send = f"/instagram/v25.0/{me}/messages?access_token={token}"
    assert "message_id" in await stand.call("POST", send, json=private)
    assert (await stand.call("POST", send, json=private))["error"]["code"] == 10, "one for each comment"
    await stand.command("clock", jump=7 * DAY + 1)
    late = {"recipient": {"comment_id": ids[3]}, "message": {"text": "hi"}}
    assert (await stand.call("POST", send, json=late))["error"]["code"] == 10, "within 7 days"


async def create(stand: Stand, token: str, **params: Any) -> Any:
    return await stand.call("POST", "/instagram/v25.0/me/media", data=params | {"access_token": token})


async def publish(stand: Stand, token: str, container: str) -> Any:
    form = {"creation_id": container, "access_token": token}
    return await stand.call("POST", "/instagram/v25.0/me/media_publish", data=form)


async def state(stand: Stand, token: str, container: str) -> str:
    query = {"fields": "status_code,status", "access_token": token}
    found: str = (await stand.get(f"/instagram/v25.0/{container}", **query))["status_code"]
    return found


async def test_picture_is_published_once_its_container_is_finished(stand: Stand, receiver: Receiver) -> None:
    _, token = await long(stand)
    made = await create(stand, token, image_url=f"{receiver.media}/picture.jpg", caption="Hello")
    assert code(await publish(stand, token, made["id"])) == (9007, 2207027)
    assert await state(stand, token, made["id"]) == "IN_PROGRESS"
    await stand.command("clock", jump=3)
    assert await state(stand, token, made["id"]) == "FINISHED"
    media = await publish(stand, token, made["id"])
    assert await state(stand, token, made["id"]) == "PUBLISHED"
    for subcode in (2207006, 2207008):
        await stand.command("variants", platform="instagram", name="republished", variant=str(subcode))
        assert code(await publish(stand, token, made["id"])) == (24, subcode), "and never again (7.4)"
    newest = await stand.get("/instagram/me/media", fields="id,caption,media_url", access_token=token, limit=1)
    assert newest["data"][0] == {"id": media["id"], "caption": "Hello", "media_url": f"{receiver.media}/picture.jpg"}
    [post] = await stand.ledger("post")
    assert (post["id"], post["container"]) == (media["id"], made["id"])


async def test_container_expires_after_24_hours(stand: Stand, receiver: Receiver) -> None:
    _, token = await long(stand)
    made = await create(stand, token, image_url=f"{receiver.media}/picture.jpg")
    await stand.command("clock", jump=DAY - 60)
    assert await state(stand, token, made["id"]) == "FINISHED"
    await stand.command("clock", jump=61)
    assert await state(stand, token, made["id"]) == "EXPIRED"
    assert code(await publish(stand, token, made["id"])) == (-2, 2207020)


async def test_video_is_fetched_later_and_only_its_container_says_what_came_of_it(
    stand: Stand, receiver: Receiver
) -> None:
    _, token = await long(stand)
    receiver.files |= {"bad.mp4": CLIP + b"corrupt", "stuck.mp4": CLIP + b"stuck", "text.mp4": b"words"}
    names = ("clip.mp4", "bad.mp4", "stuck.mp4", "text.mp4", "none.mp4")
    made = {
        name: (await create(stand, token, media_type="REELS", video_url=f"{receiver.media}/{name}"))["id"]
        for name in names
    }
    containers = platform_of(stand).instagram.containers
    await until(lambda: all(containers[made[n]].error for n in ("bad.mp4", "text.mp4", "none.mp4")))
    await until(lambda: bool(containers[made["clip.mp4"]].ready))
    await stand.command("clock", jump=31)
    states = {name: await state(stand, token, made[name]) for name in names}
    assert list(states.values()) == ["FINISHED", "ERROR", "IN_PROGRESS", "ERROR", "ERROR"]
    said = await stand.get(f"/instagram/{made['bad.mp4']}", fields="status", access_token=token)
    assert "2207082" in said["status"]
    reel = await publish(stand, token, made["clip.mp4"])
    shown = await stand.get(f"/instagram/{reel['id']}", fields="media_type,media_product_type", access_token=token)
    assert (shown["media_type"], shown["media_product_type"]) == ("VIDEO", "REELS")


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"image_url": "none.jpg"}, (9004, 2207052)),
        ({"image_url": "clip.mp4"}, (36001, 2207005)),
        ({"image_url": "big.jpg"}, (36000, 2207004)),
        ({"image_url": "wide.jpg"}, (36003, 2207009)),
        ({"image_url": "picture.jpg", "caption": "x" * 2201}, (36004, 2207010)),
        ({"image_url": "picture.jpg", "caption": "#a " * 31}, (36004, 2207010)),
        ({"image_url": "picture.jpg", "caption": "@a " * 21}, (100, 2207040)),
        ({"media_type": "GIF", "image_url": "picture.jpg"}, (100, 2207023)),
        ({"media_type": "CAROUSEL", "children": "1"}, (100, 2207028)),
        ({"media_type": "CAROUSEL", "children": "1,2"}, (24, 2207006)),
    ],
)
async def test_wrong_media_are_refused_by_their_codes(
    stand: Stand, receiver: Receiver, params: dict[str, str], expected: tuple[int, int]
) -> None:
    _, token = await long(stand)
    wide = bytearray(PICTURE)
    at = wide.find(b"\xff\xc0")
    wide[at + 5 : at + 9] = (500).to_bytes(2, "big") + (1000).to_bytes(2, "big")
    receiver.files |= {"big.jpg": PICTURE + bytes(8 * 2**20), "wide.jpg": bytes(wide)}
    if "image_url" in params:
        params = params | {"image_url": f"{receiver.media}/{params['image_url']}"}
    assert code(await create(stand, token, **params)) == expected


async def test_captions_and_ratios_at_their_limits_are_taken(stand: Stand, receiver: Receiver) -> None:
    _, token = await long(stand)
    assert imagesize.get(MEDIA / "picture.jpg") == (1080, 1080)
    caption = ("#a " * 30 + "@b " * 20).ljust(2200, "x")
    assert "id" in await create(stand, token, image_url=f"{receiver.media}/picture.jpg", caption=caption)


async def test_carousel_counts_once_and_needs_its_children_finished(stand: Stand, receiver: Receiver) -> None:
    _, token = await long(stand)
    one = {"image_url": f"{receiver.media}/picture.jpg", "is_carousel_item": "true"}
    clip = {"video_url": f"{receiver.media}/clip.mp4", "media_type": "VIDEO", "is_carousel_item": "true"}
    children = [(await create(stand, token, **params))["id"] for params in (one, clip)]
    parent = await create(stand, token, media_type="CAROUSEL", children=",".join(children), caption="two")
    await stand.command("clock", jump=4)
    assert await state(stand, token, parent["id"]) == "FINISHED"
    assert code(await publish(stand, token, parent["id"])) == (9007, 2207027), "the clip is not"
    await until(lambda: bool(platform_of(stand).instagram.containers[children[1]].ready))
    await stand.command("clock", jump=31)
    media = await publish(stand, token, parent["id"])
    shown = await stand.get(f"/instagram/{media['id']}", fields="media_type,children", access_token=token)
    assert (shown["media_type"], len(shown["children"]["data"])) == ("CAROUSEL_ALBUM", 2)
    limit = await stand.get("/instagram/me/content_publishing_limit", fields="quota_usage,config", access_token=token)
    assert limit["data"] == [{"quota_usage": 1, "config": {"quota_total": 100, "quota_duration": 86_400}}]


async def test_quota_of_either_page_is_enforced_over_rolling_24_hours(stand: Stand, receiver: Receiver) -> None:
    _, token = await long(stand)
    await stand.command("variants", platform="instagram", name="quota", variant="50")
    made = [(await create(stand, token, image_url=f"{receiver.media}/picture.jpg"))["id"] for _ in range(51)]
    await stand.command("clock", jump=60)
    answers = [await publish(stand, token, container) for container in made]
    assert ["error" in answer for answer in answers] == [False] * 50 + [True]
    assert code(answers[50]) == (9, 2207042)
    await stand.command("variants", platform="instagram", name="quota", variant="100")
    assert "id" in await publish(stand, token, made[50])


async def test_upload_goes_on_where_it_broke_off(stand: Stand) -> None:
    _, token = await long(stand)
    made = await create(stand, token, media_type="REELS", upload_type="resumable")
    path = made["uri"].removeprefix(stand.url)

    async def send(offset: int, part: bytes) -> Any:
        headers = {"Authorization": f"OAuth {token}", "offset": str(offset), "file_size": str(len(CLIP))}
        return await stand.call("POST", path, headers=headers, data=part)

    assert (await send(0, CLIP[:3000]))["debug_info"]["type"] == "PartialRequestError"
    assert (await send(0, CLIP))["debug_info"]["type"] == "OffsetInvalidError"
    assert (await send(3000, CLIP[3000:]))["success"]
    await stand.command("clock", jump=31)
    assert "id" in await publish(stand, token, made["id"])


async def test_unticked_scope_is_missing_and_a_metric_that_does_not_fit_fails_them_all(stand: Stand) -> None:
    _, token = await long(stand, untick="instagram_business_manage_comments")
    media = platform_of(stand).instagram.of("shop")[0].id
    assert code(await stand.get(f"/instagram/{media}/comments", access_token=token)) == (10, None)
    found = await stand.get(f"/instagram/{media}/insights", metric="views,reach", access_token=token)
    assert [item["name"] for item in found["data"]] == ["views", "reach"]
    wrong = await stand.get(f"/instagram/{media}/insights", metric="views,impressions", access_token=token)
    assert code(wrong) == (100, None)


async def test_what_it_does_not_know_is_refused_in_its_envelope(stand: Stand) -> None:
    _, token = await long(stand)
    other = platform_of(stand).instagram.of("alice")[0].id
    for method, path, expected in (
        ("GET", "/instagram/v25.0/nowhere/at/all", 2500),
        ("GET", "/instagram/v25.0/12345", 100),
        ("GET", f"/instagram/v25.0/{other}", 100),
        ("GET", "/instagram/me/media?fields=id,nothing", 100),
        ("GET", "/instagram/me/media?fields=id{", 2500),
        ("GET", "/instagram/me/media?fields=children{id}}", 2500),
        ("GET", "/instagram/me/media?limit=many", 100),
        ("GET", "/instagram/me/media?after=%25", 100),
        ("POST", "/instagram/me/media", 100),
        ("POST", "/instagram/me/media_publish", 24),
        ("POST", "/instagram/me/subscribed_apps?subscribed_fields=dreams", 100),
        ("DELETE", "/instagram/v25.0/12345", 100),
    ):
        joint = "&" if "?" in path else "?"
        answer = await stand.call(method, f"{path}{joint}access_token={token}")
        assert (answer["status"], code(answer)[0]) == (400, expected), path
        assert answer["error"]["fbtrace_id"]
    assert code(await stand.get("/instagram/me"))[0] == 104
    assert code(await stand.get("/instagram/me", access_token="IGAAnone"))[0] == 190


@pytest.mark.parametrize("text", ["{", "a{b}}", "}", "a{b", "{a}", ",{,", "a{b{c"])
def test_fields_with_unmatched_braces_are_no_fields(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        wanted(text)


async def test_budget_shows_in_a_header_and_then_ends(stand: Stand) -> None:
    _, token = await long(stand)
    instagram = platform_of(stand)
    now = instagram.sandbox.clock.seconds()
    instagram._calls["shop", "instagram"] = [now - 3600] * 24_000
    async with stand.http.get(f"{stand.url}/instagram/me/media", params={"access_token": token}) as response:
        usage = json.loads(response.headers["X-Business-Use-Case-Usage"])
    [[shown]] = usage.values()
    assert (shown["type"], shown["call_count"], shown["estimated_time_to_regain_access"]) == ("instagram", 50, 0)
    instagram._calls["shop", "instagram"] = [now - 3600] * 48_480
    throttled = await stand.get("/instagram/me/media", access_token=token)
    assert code(throttled) == (80002, None)
    await stand.command("clock", jump=23 * 3600 + 1)
    assert "data" in await stand.get("/instagram/me/media", access_token=token)


async def test_person_who_leaves_ends_the_tokens_and_the_application_is_told(stand: Stand, receiver: Receiver) -> None:
    _, token = await long(stand)
    for stream in ("deauthorize", "deletion"):
        await stand.command("webhooks", platform="instagram", stream=stream, url=receiver.url)
    assert receiver.asked == [], "no handshake goes before these"
    ended = await stand.command("act", platform="instagram", what="revoke", account="shop")
    assert ended["ended"] >= 1
    await stand.command("act", platform="instagram", what="erase", account="shop")
    came = await receiver.until(2)
    for request in came:
        assert request.headers["content-type"] == "application/x-www-form-urlencoded"
        signature, _, payload = request.body.decode().removeprefix("signed_request=").partition(".")
        digest = hmac.new(platform_of(stand).client_secret.encode(), payload.encode(), hashlib.sha256).digest()
        assert signature == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    dead = await stand.get("/instagram/me", access_token=token)
    assert code(dead) == (190, 458)
    assert {entry["state"] for entry in await stand.ledger("token", account="shop")} == {"revoked by the person"}


# --- the pages as they were changed (meta.md, 2026-11-27)


async def subscribe(stand: Stand, token: str, fields: str) -> Any:
    form = {"subscribed_fields": fields, "access_token": token}
    return await stand.call("POST", "/instagram/v25.0/me/subscribed_apps", data=form)


async def test_subscription_is_refused_whole_for_a_field_of_the_other_vocabulary_or_without_permission(
    stand: Stand,
) -> None:
    """``meta.md`` 1.5 and 2.1."""
    _, token = await long(stand, untick="instagram_business_manage_messages")
    unknown = await subscribe(stand, token, "comments,message_reads")
    assert code(unknown) == (100, None)
    text = "Param subscribed_fields[1] must be one of"
    assert text in unknown["error"]["message"]
    assert unknown["error"]["message"].endswith('- got "message_reads"'), "that is a Page's name"
    refused = await subscribe(stand, token, "comments,messages")
    assert code(refused) == (200, None)
    assert refused["error"]["message"].endswith("is needed: instagram_business_manage_messages")
    path = "/instagram/v25.0/me/subscribed_apps"
    assert (await stand.get(path, access_token=token))["data"] == [], "no field of the list"
    assert (await subscribe(stand, token, "comments,live_comments"))["success"]
    [app] = (await stand.get(path, access_token=token))["data"]
    assert app["subscribed_fields"] == ["comments", "live_comments"], "read back what was set"


@pytest.mark.parametrize("query", ["ids=1,2", "fields=id.as(x)", "date_format=U", "method=delete", "callback=f"])
async def test_what_new_applications_cannot_use_since_v27_is_refused(stand: Stand, query: str) -> None:
    """``meta.md`` 13: on every version; multi-id requests are replaced by field expansion."""
    _, token = await long(stand)
    for path in ("/instagram/v25.0/me", "/instagram/v25.0/"):
        answer = await stand.call("GET", f"{path}?{query}&access_token={token}")
        assert code(answer)[0] in (100, 2500), path


async def test_expanded_replies_are_one_page_and_the_rest_is_walked(stand: Stand) -> None:
    """``meta.md`` 10.2."""
    _, token = await long(stand)
    media = platform_of(stand).instagram.of("shop")[0]
    act = {"platform": "instagram", "what": "comment", "account": "shop"}
    top = (await stand.command("act", **act, post=media.id, text="top"))["id"]
    below = [(await stand.command("act", **act, post=top, text=f"r{n}"))["id"] for n in range(7)]
    fields = "id,replies.limit(3){id,text}"
    [comment] = (await stand.get(f"/instagram/v25.0/{media.id}/comments", fields=fields, access_token=token))["data"]
    found = [reply["id"] for reply in comment["replies"]["data"]]
    page = comment["replies"]
    while following := page["paging"].get("next"):
        page = await stand.get(following.removeprefix(stand.url))
        found += [reply["id"] for reply in page["data"]]
    assert found == below


async def test_optional_fields_of_comments_fail_the_whole_listing_where_they_are_refused(stand: Stand) -> None:
    """``meta.md`` 10.2 and T23 of 14."""
    _, token = await long(stand)
    media = platform_of(stand).instagram.of("shop")[0].id
    await stand.command("act", platform="instagram", what="comment", account="shop", post=media, text="x")
    path = f"/instagram/v25.0/{media}/comments"
    full = "id,text,from{id,username},parent_id,media{id}"
    assert "from" in (await stand.get(path, fields=full, access_token=token))["data"][0]
    await stand.command("variants", platform="instagram", name="comment_fields", variant="basic")
    for field in ("from{id}", "parent_id", "media{id}", "user"):
        assert code(await stand.get(path, fields=f"id,{field}", access_token=token)) == (100, None)
    base = "id,text,timestamp,username,like_count,hidden,replies{id,text,timestamp,username,like_count,hidden}"
    assert (await stand.get(path, fields=base, access_token=token))["data"][0]["text"] == "x"


async def insights(stand: Stand, token: str, media: str, metric: str, **more: str) -> Any:
    return await stand.get(f"/instagram/v25.0/{media}/insights", metric=metric, access_token=token, **more)


CORE = "views,reach,likes,comments,shares,saved,total_interactions"


@pytest.mark.parametrize(
    ("product", "metric", "known"),
    [
        ("IMAGE", f"{CORE},reposts,follows,profile_visits", True),
        ("IMAGE", "impressions", False),
        ("IMAGE", "total_likes", False),
        ("IMAGE", "ig_reels_avg_watch_time", False),
        ("REELS", f"{CORE},ig_reels_avg_watch_time,ig_reels_video_view_total_time", True),
        ("REELS", "reels_skip_rate", True),
        ("REELS", "plays", False),
        ("REELS", "facebook_views", False),
        ("STORIES", "views,reach,replies,shares,total_interactions,navigation", True),
        ("STORIES", "likes", False),
        ("STORIES", "link_clicks", False),
    ],
)
async def test_metrics_are_those_of_the_product_with_this_login(
    stand: Stand, product: str, metric: str, *, known: bool
) -> None:
    """``meta.md`` 10.5."""
    _, token = await long(stand)
    media = platform_of(stand).instagram.post("shop", product, "c")
    found = await insights(stand, token, media.id, metric)
    if known:
        assert [item["name"] for item in found["data"]] == metric.split(",")
    else:
        assert code(found) == (100, None)
        assert "must be one of the following values" in found["error"]["message"]


async def test_number_comes_as_values_or_as_total_value(stand: Stand) -> None:
    """``meta.md`` 10.5: a reader that looks only into ``values`` stores zeros."""
    _, token = await long(stand)
    story = platform_of(stand).instagram.post("shop", "STORIES", "")
    query = {"breakdown": "story_navigation_action_type"}
    [item] = (await insights(stand, token, story.id, "navigation", **query))["data"]
    assert "values" not in item
    [parts] = item["total_value"]["breakdowns"]
    assert parts["dimension_keys"] == ["story_navigation_action_type"]
    assert {result["dimension_values"][0] for result in parts["results"]} >= {"tap_forward", "tap_exit"}
    assert sum(result["value"] for result in parts["results"]) == item["total_value"]["value"]
    [plain] = (await insights(stand, token, story.id, "views"))["data"]
    assert set(plain["values"][0]) == {"value"}
    assert code(await insights(stand, token, story.id, "views", **query)) == (100, None), "it has no breakdown"


async def test_insights_that_cannot_be_had_say_why(stand: Stand) -> None:
    """``meta.md`` 10.5: 2108006 concerns one object, 10 concerns viewers, an empty list is no zero."""
    _, token = await long(stand)
    newest, *_, oldest = [media.id for media in platform_of(stand).instagram.of("shop")]

    async def answered(variant: str, media: str) -> Any:
        await stand.command("variants", platform="instagram", name="insights", variant=variant)
        return await insights(stand, token, media, "views")

    before = (await answered("before_conversion", oldest))["error"]
    assert (before["code"], before["error_subcode"], before["is_transient"]) == (100, 2108006, False)
    assert before["error_user_title"] == "Media posted before business account conversion"
    assert "data" in await answered("before_conversion", newest), "the account goes on"
    few = await answered("few_viewers", newest)
    assert (code(few)[0], "Not enough viewers" in few["error"]["message"]) == (10, True)
    assert await answered("empty", newest) == {"data": []}


async def test_account_has_totals_and_series_over_30_days_at_most(stand: Stand) -> None:
    """``meta.md`` 10.8."""
    _, token = await long(stand)
    now = int(stand.server.simulation.clock.seconds())

    async def asked(metric: str, **query: Any) -> Any:
        return await insights(stand, token, "me", metric, period="day", **query)

    month = {"since": str(now - 30 * DAY), "until": str(now)}
    [series] = (await asked("reach", metric_type="time_series", **month))["data"]
    assert len(series["values"]) == 30
    [total] = (await asked("views", metric_type="total_value"))["data"]
    assert "values" not in total
    assert total["total_value"]["value"] > 0
    late = await asked("reach", since=str(now - 30 * DAY - 1), until=str(now))
    assert "more than 30 days (2592000 s)" in late["error"]["message"]
    [shell] = (await asked("follows_and_unfollows"))["data"]
    assert "total_value" not in shell, "without its breakdown a shell comes"
    midnight = now // DAY * DAY
    before = {"since": str(midnight - 2 * DAY), "until": str(midnight - DAY)}  # the day just ended is not there yet
    [follows] = (await asked("follows_and_unfollows", breakdown="follow_type", **before))["data"]
    names = [result["dimension_values"][0] for result in follows["total_value"]["breakdowns"][0]["results"]]
    assert names == ["FOLLOWER", "NON_FOLLOWER", "UNKNOWN"]
    for metric, query in (("saved", {}), ("views", {"metric_type": "time_series"}), ("views", {"breakdown": "age"})):
        assert code(await asked(metric, **query)) == (100, None)


async def test_media_are_listed_between_times(stand: Stand) -> None:
    """``meta.md`` 9.6 and 10.1: how the media of a lost answer is found."""
    _, token = await long(stand)
    await stand.command("clock", jump=DAY)
    now = int(stand.server.simulation.clock.seconds())
    new = platform_of(stand).instagram.post("shop", "IMAGE", "new").id

    async def listed(**query: str) -> list[str]:
        found = await stand.get("/instagram/me/media", fields="id", access_token=token, **query)
        return [media["id"] for media in found["data"]]

    assert await listed(since=str(now - 120)) == [new]
    assert new not in await listed(until=str(now - 120))
    assert code(await stand.get("/instagram/me/media", since="soon", access_token=token)) == (100, None)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"alt_text": "x" * 1000}, None),
        ({"alt_text": "x" * 1001}, (100, None)),
        ({"alt_text": "x", "media_type": "STORIES"}, (100, None)),
        ({"is_ai_generated": "true"}, None),
        ({"is_ai_generated": "true", "is_carousel_item": "true"}, (100, None)),
        ({"collaborators": '["a","b","c"]'}, None),
        ({"collaborators": '["a","b","c","d"]'}, (100, None)),
        ({"collaborators": '["a"]', "media_type": "STORIES"}, (100, None)),
        ({"poll_attachment": '{"option_a":"a","option_b":"b"}', "caption": "?"}, (100, None)),
        ({"thumb_offset": "900001"}, (1, 2207057)),
    ],
)
async def test_parameters_of_a_container_go_together(
    stand: Stand, receiver: Receiver, params: dict[str, str], expected: tuple[int, int | None] | None
) -> None:
    """``meta.md`` 8.1, 8.2 and 8.6."""
    _, token = await long(stand)
    answer = await create(stand, token, image_url=f"{receiver.media}/picture.jpg", **params)
    assert ("id" in answer) if expected is None else (code(answer) == expected)


async def test_children_of_a_carousel_are_media_of_their_own_without_insights(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 8.1, 10.1 and 10.5."""
    _, token = await long(stand)
    one = {"image_url": f"{receiver.media}/picture.jpg", "is_carousel_item": "true", "alt_text": "alt"}
    children = [(await create(stand, token, **one))["id"] for _ in range(2)]
    parent = await create(stand, token, media_type="CAROUSEL", children=",".join(children))
    reel = {"media_type": "REELS", "video_url": f"{receiver.media}/clip.mp4", "is_carousel_item": "true"}
    assert code(await create(stand, token, **reel)) == (100, 2207023), "no reels inside"
    await stand.command("clock", jump=4)
    album = (await publish(stand, token, parent["id"]))["id"]
    fields = "children{id,media_type,alt_text,permalink}"
    found = (await stand.get(f"/instagram/{album}", fields=fields, access_token=token))["children"]["data"]
    assert [(child["media_type"], child["alt_text"], "permalink" in child) for child in found] == [
        ("IMAGE", "alt", False)
    ] * 2
    assert not {child["id"] for child in found} & set(children), "a container is no medium"
    assert code(await insights(stand, token, found[0]["id"], "views")) == (100, None)
    listed = await stand.get("/instagram/me/media", fields="id", access_token=token)
    assert {media["id"] for media in listed["data"]} & {child["id"] for child in found} == set()
    assert len(await stand.published("instagram")) == 1


async def test_too_many_actions_are_a_401_that_ends_no_token(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 7.4 and 14, T30: a throttle, in spite of its status."""
    _, token = await long(stand)
    made = await create(stand, token, image_url=f"{receiver.media}/picture.jpg")
    await stand.command("clock", jump=4)
    fault = {"platform": "instagram", "endpoint": "POST */media_publish", "error": "too_many_actions"}
    await stand.command("faults", **fault)
    throttled = await publish(stand, token, made["id"])
    assert (throttled["status"], "code" in throttled["error"]) == (401, False)
    assert await stand.published("instagram") == []
    assert "id" in await publish(stand, token, made["id"]), "with the same token"


async def test_restricted_account_makes_no_container(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 7.4: 25/2207050."""
    _, token = await long(stand)
    await stand.command("account", platform="instagram", account="shop", settings={"restricted": True})
    refused = await create(stand, token, image_url=f"{receiver.media}/picture.jpg")
    assert code(refused) == (25, 2207050)
    await stand.command("account", platform="instagram", account="shop", settings={"restricted": False})
    assert "id" in await create(stand, token, image_url=f"{receiver.media}/picture.jpg")
    assert "settings are" in await stand.refused("account", platform="instagram", account="shop", settings={"a": 1})
    assert "no settings" in await stand.refused("account", platform="x", account="alice", settings={})
    assert "account is one of" in await stand.refused("account", platform="x", account="nobody", settings={})


async def test_child_that_failed_once_is_made_again_without_its_siblings(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 14, T31: 9004/2207052 once, for one child of three."""
    _, token = await long(stand)
    fault = {"platform": "instagram", "endpoint": "POST */media", "error": "download_failed", "skip": 1}
    await stand.command("faults", where={"is_carousel_item": "true"}, **fault)
    item = {"image_url": f"{receiver.media}/picture.jpg", "is_carousel_item": "true"}
    children: list[str] = []
    while len(children) < 3:
        made = await create(stand, token, **item)
        if "id" in made:
            children.append(made["id"])
        else:
            assert (code(made), len(children)) == ((9004, 2207052), 1)
    parent = await create(stand, token, media_type="CAROUSEL", children=",".join(children))
    await stand.command("clock", jump=4)
    await publish(stand, token, parent["id"])
    [post] = await stand.published("instagram")
    assert len(post["files"]) == 3


async def test_upload_that_broke_goes_on_where_it_stopped(stand: Stand) -> None:
    """``meta.md`` 8.4: the offset is that of the bytes that arrived."""
    _, token = await long(stand)
    made = await create(stand, token, upload_type="resumable", media_type="REELS", caption="hello")

    async def send(offset: int) -> Any:
        headers = {"Authorization": f"OAuth {token}", "offset": str(offset), "file_size": str(len(CLIP))}
        async with stand.http.post(made["uri"], data=CLIP[offset:], headers=headers) as response:
            return await response.json()

    await stand.command("faults", platform="instagram", endpoint="POST /ig-api-upload/*", receive=1234)
    with pytest.raises(aiohttp.ClientError):
        await send(0)
    refused = (await send(0))["debug_info"]
    assert (refused["type"], refused["retriable"]) == ("OffsetInvalidError", True)
    assert (await send(1234))["success"]
    await stand.command("clock", jump=31)
    await publish(stand, token, made["id"])
    [post] = await stand.published("instagram")
    assert post["files"][0]["sha256"] == hashlib.sha256(CLIP).hexdigest()
