"""``tiktok.md`` by its numbers."""

import asyncio
import hashlib
import io
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from ops.sandbox.contract import PlatformEvent
from ops.sandbox.platforms.tiktok import CLIENT_KEY, SCOPES, _chunk_problem
from ops.sandbox.server import MEDIA
from tests.sandbox.conftest import Receiver, Stand, until

CALLBACK = "https://app.example/callback/tiktok"
DAY = 86_400
CLIP = (MEDIA / "clip.mp4").read_bytes()
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "13d31e961a1ad8ec2f16b10c4c982e0876a878ad6df144566ee1894acb70f9c3"


def tiktok(stand: Stand) -> Any:
    return stand.server.simulation.platforms["tiktok"]


async def asked(stand: Stand, account: str = "shop", untick: str = "", decision: str = "approve", **more: str) -> Any:
    await stand.command("redirects", platform="tiktok", redirect_uri=CALLBACK)
    query = {"client_key": CLIENT_KEY, "response_type": "code", "scope": ",".join(SCOPES), "state": "s"}
    address = f"{stand.url}/tiktok/v2/auth/authorize/?{urlencode(query | {'redirect_uri': CALLBACK} | more)}"
    return await stand.consent(address, decision, account, untick)


async def token(stand: Stand, **form: str) -> Any:
    app = {"client_key": CLIENT_KEY, "client_secret": tiktok(stand).signing_secret}
    return await stand.call("POST", "/tiktok/v2/oauth/token/", data=app | form)


async def exchange(stand: Stand, code: str, **more: str) -> Any:
    return await token(stand, grant_type="authorization_code", code=code, redirect_uri=CALLBACK, **more)


async def refresh(stand: Stand, secret: str) -> Any:
    return await token(stand, grant_type="refresh_token", refresh_token=secret)


async def connected(stand: Stand, account: str = "shop", untick: str = "") -> str:
    found = await exchange(stand, (await asked(stand, account, untick))["code"])
    return str(found["access_token"])


async def post(stand: Stand, secret: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {secret}"}
    return await stand.call("POST", f"/tiktok/v2/{path}", json={} if body is None else body, headers=headers)


async def init(stand: Stand, secret: str, size: int, chunk: int = 0, count: int = 1, **info: Any) -> Any:
    source = {"source": "FILE_UPLOAD", "video_size": size, "chunk_size": chunk or size, "total_chunk_count": count}
    about = {"privacy_level": "PUBLIC_TO_EVERYONE", "title": "t"} | info
    return await post(stand, secret, "post/publish/video/init/", {"post_info": about, "source_info": source})


async def put(stand: Stand, url: str, part: bytes, first: int, total: int, **headers: str) -> tuple[int, str | None]:
    given = {"Content-Type": "video/mp4", "Content-Range": f"bytes {first}-{first + len(part) - 1}/{total}"} | headers
    async with stand.http.put(url, data=io.BytesIO(part), headers=given) as response:
        return response.status, response.headers.get("Content-Range")


async def status(stand: Stand, secret: str, publish: str) -> Any:
    return (await post(stand, secret, "post/publish/status/fetch/", {"publish_id": publish}))["data"]


async def uploaded(stand: Stand, secret: str, content: bytes = CLIP, **info: Any) -> str:
    begun = (await init(stand, secret, len(content), **info))["data"]
    assert (await put(stand, begun["upload_url"], content, 0, len(content)))[0] == 201
    return str(begun["publish_id"])


async def test_code_refresh_and_revocation_follow_the_newer_page(stand: Stand) -> None:
    answer = await asked(stand, untick="user.info.stats")
    assert "user.info.stats" not in answer["scopes"]
    assert {"*", "!"} <= set(answer["code"]), "codes hold characters that must be decoded once"
    first = await exchange(stand, answer["code"])
    assert (first["expires_in"], first["refresh_expires_in"]) == (7200, 180 * DAY)
    assert first["scope"] == answer["scopes"]
    assert (await exchange(stand, answer["code"]))["error"] == "invalid_grant", "used"
    second = await refresh(stand, first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    assert (await refresh(stand, first["refresh_token"]))["error"] == "invalid_grant", "the old one is dead at once"
    await stand.command("clock", jump=7201)
    late = await post(stand, second["access_token"], "post/publish/creator_info/query/")
    assert (late["status"], late["error"]["code"]) == (401, "access_token_invalid")
    third = await refresh(stand, second["refresh_token"])
    revoke = {"client_key": CLIENT_KEY, "client_secret": tiktok(stand).signing_secret, "token": third["access_token"]}
    async with stand.http.post(f"{stand.url}/tiktok/v2/oauth/revoke/", data=revoke) as response:
        assert (response.status, await response.text()) == (200, "")
    assert (await refresh(stand, third["refresh_token"]))["error"] == "invalid_grant"
    states = [entry["state"] for entry in await stand.ledger("token", use="refresh")]
    assert states == ["rotated", "rotated", "revoked"]


async def test_refresh_token_lives_180_days_and_the_older_page_can_be_had(stand: Stand) -> None:
    first = await exchange(stand, (await asked(stand))["code"])
    await stand.command("clock", jump=180 * DAY + 1)
    assert (await refresh(stand, first["refresh_token"]))["error"] == "invalid_grant"
    await stand.command("variants", platform="tiktok", name="access", variant="24h")
    older = await exchange(stand, (await asked(stand))["code"])
    assert (older["expires_in"], older["refresh_expires_in"]) == (DAY, 365 * DAY)


async def test_desktop_challenge_is_in_hexadecimal(stand: Stand) -> None:
    assert hashlib.sha256(VERIFIER.encode()).hexdigest() == CHALLENGE
    code = (await asked(stand, code_challenge=CHALLENGE, code_challenge_method="S256"))["code"]
    assert (await exchange(stand, code, code_verifier="x" * 43))["error"] == "invalid_request"
    assert "access_token" in await exchange(stand, code, code_verifier=VERIFIER)


async def test_denied_and_wrong_questions(stand: Stand) -> None:
    denied = await asked(stand, decision="deny")
    assert (denied["error"], denied["state"]) == ("access_denied", "s")
    assert (await token(stand, grant_type="password"))["error"] == "unsupported_grant_type"
    assert (await token(stand, client_secret="no", grant_type="refresh_token"))["error"] == "invalid_client"
    late = (await asked(stand))["code"]
    await stand.command("clock", jump=601)
    assert (await exchange(stand, late))["error"] == "invalid_grant"
    for wrong in ({"scope": "everything"}, {"response_type": "token"}, {"client_key": "x"}, {"state": ""}):
        query = {"client_key": CLIENT_KEY, "response_type": "code", "scope": "video.list", "state": "s"} | wrong
        found = await stand.get("/tiktok/v2/auth/authorize/", **query, redirect_uri=CALLBACK)
        assert {"error", "error_description", "log_id"} <= set(found)


@pytest.mark.parametrize(
    ("size", "chunk", "count", "problem"),
    [
        (4_194_304, 4_194_304, 1, None),
        (50_000_123, 10_000_000, 5, None),
        (50_000_123, 10_000_000, 6, "count"),
        (64_000_000, 64_000_000, 1, None),
        (64_000_001, 64_000_001, 1, "size"),
        (64_000_001, 10_000_000, 6, None),
        (66_259_900, 10_000_000, 6, None),
        (158_008_374, 10_000_000, 15, None),
        (4_294_967_296, 10_000_000, 429, None),
        (4_294_967_297, 10_000_000, 429, "large"),
        (15_000_000, 10_000_000, 1, "size"),
        (10_485_760, 5_242_880, 2, None),
        (10_485_758, 5_242_879, 2, "size"),
        (128_000_002, 64_000_001, 2, "size"),
        (0, 0, 0, "positive"),
        (True, "1", None, "positive"),
        (True, True, True, "positive"),
    ],
)
def test_chunks_follow_the_rules_to_the_byte(size: Any, chunk: Any, count: Any, problem: str | None) -> None:
    found = _chunk_problem(size, chunk, count)
    assert found is None if problem is None else problem in str(found)


async def test_chunks_go_up_in_order_and_the_last_one_takes_the_rest(stand: Stand) -> None:
    secret = await connected(stand)
    content = CLIP + bytes(11_000_000)
    begun = (await init(stand, secret, len(content), 5_242_880, 2))["data"]
    url, size = begun["upload_url"], len(content)
    assert len(begun["publish_id"]) <= 64
    assert await put(stand, url, content[5_242_880:], 5_242_880, size) == (416, f"bytes 0-0/{size}")
    assert (await put(stand, url, content[:10], 0, size))[0] == 416, "not the announced size"
    assert (await put(stand, url, content[:5_242_880], 0, size, **{"Content-Type": "text/plain"}))[0] == 400
    assert (await put(stand, url, content[:100], 0, size, **{"Content-Range": f"bytes 0-5242879/{size}"}))[0] == 400
    assert await put(stand, url, content[:5_242_880], 0, size) == (206, f"bytes 0-5242880/{size}")
    assert (await status(stand, secret, begun["publish_id"]))["uploaded_bytes"] == 5_242_880
    assert (await put(stand, url, content[5_242_880:], 5_242_880, size))[0] == 201
    assert (await put(stand, url.replace("token=", "token=x"), b"x", 0, 1))[0] == 404
    late = (await init(stand, secret, 100))["data"]["upload_url"]
    await stand.command("clock", jump=3601)
    assert (await put(stand, late, bytes(100), 0, 100))[0] == 403


async def test_post_is_complete_first_and_public_after_its_moderation(stand: Stand, receiver: Receiver) -> None:
    await stand.command("webhooks", platform="tiktok", url=receiver.url)
    assert receiver.asked == [], "there is no handshake"
    secret = await connected(stand)
    publish = await uploaded(stand, secret, title="Hello")
    assert (await status(stand, secret, publish))["status"] == "PROCESSING_UPLOAD"
    await stand.command("clock", jump=21)
    found = await status(stand, secret, publish)
    assert (found["status"], "publicaly_available_post_id" in found) == ("PUBLISH_COMPLETE", False)
    await receiver.until(1)
    await stand.command("clock", jump=41)
    [post_id] = (await status(stand, secret, publish))["publicaly_available_post_id"]
    assert isinstance(post_id, int)
    assert len(str(post_id)) == 19
    came = [request.json for request in await receiver.until(2)]
    assert [event["event"] for event in came] == ["post.publish.complete", "post.publish.publicly_available"]
    assert json.loads(came[1]["content"]) == {
        "publish_id": publish,
        "publish_type": "DIRECT_POST",
        "post_id": str(post_id),
    }
    [entry] = await stand.ledger("post")
    assert (entry["publish_id"], entry["id"]) == (publish, str(post_id))
    await stand.command("act", platform="tiktok", what="remove", account="shop", id=str(post_id))
    assert (await receiver.until(3))[2].json["event"] == "post.publish.no_longer_publicaly_available"


async def test_private_post_never_gets_an_id_and_a_corrupt_one_fails(stand: Stand) -> None:
    secret = await connected(stand)
    private = await uploaded(stand, secret, privacy_level="SELF_ONLY")
    corrupt = await uploaded(stand, secret, CLIP + b"corrupt")
    await stand.command("clock", jump=3600)
    found = await status(stand, secret, private)
    assert (found["status"], "publicaly_available_post_id" in found) == ("PUBLISH_COMPLETE", False)
    found = await status(stand, secret, corrupt)
    assert (found["status"], found["fail_reason"]) == ("FAILED", "file_format_check_failed")
    assert len(await stand.ledger("post")) == 1


async def test_five_drafts_wait_and_the_person_may_post_one_several_times(stand: Stand) -> None:
    secret = await connected(stand)
    source = {"source": "FILE_UPLOAD", "video_size": len(CLIP), "chunk_size": len(CLIP), "total_chunk_count": 1}
    path, body = "post/publish/inbox/video/init/", {"source_info": source}
    begun = [(await post(stand, secret, path, body))["data"] for _ in range(5)]
    sixth = await post(stand, secret, path, body)
    assert (sixth["status"], sixth["error"]["code"]) == (403, "spam_risk_too_many_pending_share")
    await put(stand, begun[0]["upload_url"], CLIP, 0, len(CLIP))
    await stand.command("clock", jump=61)
    publish = begun[0]["publish_id"]
    assert (await status(stand, secret, publish))["status"] == "SEND_TO_USER_INBOX"
    draft = tiktok(stand).publishes[publish]
    for _ in range(2):
        tiktok(stand)._complete(draft, public=True)
    await stand.command("clock", jump=61)
    assert len((await status(stand, secret, publish))["publicaly_available_post_id"]) == 2
    await stand.command("clock", jump=DAY)
    again = await exchange(stand, (await asked(stand))["code"])
    assert (await post(stand, again["access_token"], path, body))["error"]["code"] == "ok"


async def test_addresses_are_pulled_from_owned_hosts_without_redirects(stand: Stand, receiver: Receiver) -> None:
    secret = await connected(stand)
    path = "post/publish/video/init/"

    async def pull(url: str) -> Any:
        info = {"privacy_level": "SELF_ONLY", "title": "t"}
        return await post(
            stand, secret, path, {"post_info": info, "source_info": {"source": "PULL_FROM_URL", "video_url": url}}
        )

    assert (await pull("https://[broken/a.mp4"))["error"]["code"] == "invalid_param"
    foreign = await pull("https://cdn.example/a.mp4")
    assert (foreign["status"], foreign["error"]["code"]) == (403, "url_ownership_unverified")
    good = (await pull(f"{receiver.media}/clip.mp4"))["data"]["publish_id"]
    bad = (await pull(f"{receiver.media}/none.mp4"))["data"]["publish_id"]
    publishes = tiktok(stand).publishes
    await until(lambda: publishes[bad].final and publishes[good].downloaded == len(CLIP))
    assert (await status(stand, secret, bad))["fail_reason"] == "video_pull_failed"
    cancelled = await post(stand, secret, "post/publish/cancel/", {"publish_id": good})
    assert cancelled["error"]["code"] == "ok"
    found = await status(stand, secret, good)
    assert (found["status"], found["fail_reason"]) == ("FAILED", "publish_cancelled")
    again = await post(stand, secret, "post/publish/cancel/", {"publish_id": good})
    assert again["error"]["code"] == "publish_not_cancellable"
    other = await connected(stand, "alice")
    for secret_, id_, code in (
        (other, good, "token_not_authorized_for_specified_publish_id"),
        (secret, "v_pub_file~v2-1.1", "invalid_publish_id"),
    ):
        wrong = await post(stand, secret_, "post/publish/status/fetch/", {"publish_id": id_})
        assert (wrong["status"], wrong["error"]["code"]) == (400, code)


async def test_pull_that_nobody_answers_ends_after_its_hour(stand: Stand) -> None:
    secret = await connected(stand)
    source = {"source": "PULL_FROM_URL", "video_url": "http://127.0.0.1:9/never.mp4"}
    body = {"post_info": {"privacy_level": "SELF_ONLY", "title": "t"}, "source_info": source}
    stand.server.simulation.sandbox.outbound_requests = _Nobody()
    publish = (await post(stand, secret, "post/publish/video/init/", body))["data"]["publish_id"]
    assert (await status(stand, secret, publish))["status"] == "PROCESSING_DOWNLOAD"
    await stand.command("clock", jump=3601)
    fresh = await connected(stand)
    assert (await status(stand, fresh, publish))["fail_reason"] == "video_pull_failed"


class _Nobody(list[Any]):
    """Tasks that are never run, as those of a simulation that was replaced."""

    def append(self, _: Any) -> None:
        pass


async def test_photos_are_one_to_35_addresses_of_jpeg_or_webp(stand: Stand, receiver: Receiver) -> None:
    secret = await connected(stand)
    receiver.files["a.png"] = b"\x89PNG"

    async def photos(*names: str, cover: int = 0, **info: Any) -> Any:
        about = {"privacy_level": "PUBLIC_TO_EVERYONE", "title": "t", "description": "d"} | info
        urls = [f"{receiver.media}/{name}" for name in names]
        source = {"source": "PULL_FROM_URL", "photo_images": urls, "photo_cover_index": cover}
        body = {"media_type": "PHOTO", "post_mode": "DIRECT_POST", "post_info": about, "source_info": source}
        return await post(stand, secret, "post/publish/content/init/", body)

    good = (await photos(*["picture.jpg"] * 3, description="x" * 4000))["data"]["publish_id"]
    bad = (await photos("a.png"))["data"]["publish_id"]
    publishes = tiktok(stand).publishes
    await until(lambda: publishes[bad].final and publishes[good].downloaded == 3 * len(receiver.files["picture.jpg"]))
    assert publishes[bad].reason == "file_format_check_failed"
    for wrong in (
        await photos(*["picture.jpg"] * 36),
        await photos("picture.jpg", cover=1),
        await photos("picture.jpg", title="x" * 91),
        await photos("picture.jpg", description="x" * 4001),
    ):
        assert (wrong["status"], wrong["error"]["code"]) == (400, "invalid_param")
    await stand.command("clock", jump=61)
    assert (await status(stand, secret, good))["status"] == "PUBLISH_COMPLETE"


async def test_titles_privacy_caps_and_audit_are_enforced_by_their_codes(stand: Stand) -> None:
    secret = await connected(stand)

    async def code(**info: Any) -> str:
        await stand.command("clock", jump=61)  # six in a minute
        return str((await init(stand, secret, 100, **info))["error"]["code"])

    assert await code(title="é" * 2200) == "ok"
    assert await code(title="😀" * 1101) == "invalid_param", "in UTF-16 units"
    assert await code(privacy_level="FOLLOWER_OF_CREATOR") == "privacy_level_option_mismatch"
    await stand.command("variants", platform="tiktok", name="param", variant="invalid_params")
    assert await code(title="x" * 2201) == "invalid_params"
    await stand.command("variants", platform="tiktok", name="audit", variant="unaudited")
    assert await code(privacy_level="SELF_ONLY") == "unaudited_client_can_only_post_to_private_accounts"
    await stand.command("variants", platform="tiktok", name="audit", variant="audited")
    tiktok(stand).creators["shop"].posted = [stand.server.simulation.clock.now()] * 15
    assert await code() == "spam_risk_too_many_posts"
    info = await post(stand, secret, "post/publish/creator_info/query/")
    assert (info["error"]["code"], "status" in info) == ("spam_risk_too_many_posts", False), "with status 200"
    bob = await connected(stand, "bob")
    options = (await post(stand, bob, "post/publish/creator_info/query/"))["data"]["privacy_level_options"]
    assert options == ["FOLLOWER_OF_CREATOR", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"]
    await stand.command("variants", platform="tiktok", name="audit", variant="unaudited")
    assert (await init(stand, bob, 100, privacy_level="SELF_ONLY"))["error"]["code"] == "ok"


async def test_six_inits_in_a_sliding_minute(stand: Stand) -> None:
    secret = await connected(stand)
    codes = [(await init(stand, secret, 100))["error"]["code"] for _ in range(7)]
    assert codes == ["ok"] * 6 + ["rate_limit_exceeded"]
    await stand.command("clock", jump=61)
    assert (await init(stand, secret, 100))["error"]["code"] == "ok"


async def test_only_public_posts_are_listed_and_fields_need_their_scopes(stand: Stand) -> None:
    secret = await connected(stand, untick="user.info.profile")
    platform = tiktok(stand)
    for number in range(22):
        platform._post("shop", f"{number} " + "x" * 200, public=number != 5)
    path = "video/list/?fields=id,title,create_time"
    first = (await post(stand, secret, path, {"max_count": 20}))["data"]
    second = (await post(stand, secret, path, {"max_count": 20, "cursor": first["cursor"]}))["data"]
    videos = first["videos"] + second["videos"]
    assert (len(first["videos"]), first["has_more"], second["has_more"]) == (20, True, False)
    assert [video["id"] for video in videos] == [p.id for p in platform._public("shop")]
    assert {len(video["title"]) for video in first["videos"]} == {150}
    ids = [videos[0]["id"], platform._public("alice")[0].id]
    found = (await post(stand, secret, "video/query/?fields=id", {"filters": {"video_ids": ids}}))["data"]["videos"]
    assert found == [{"id": ids[0]}]
    headers = {"Authorization": f"Bearer {secret}"}
    info = await stand.call("GET", "/tiktok/v2/user/info/?fields=open_id,union_id", headers=headers)
    assert info["data"]["user"]["open_id"] == platform.creators["shop"].open_id
    missed = await stand.call("GET", "/tiktok/v2/user/info/?fields=open_id,username", headers=headers)
    assert (missed["status"], missed["error"]["code"]) == (400, "scope_permission_missed")
    for wrong, body in ((path, {"max_count": 21}), ("video/list/", {}), ("video/list/?fields=id", {"cursor": "x"})):
        assert (await post(stand, secret, wrong, body))["error"]["code"] == "invalid_param"
    no_list = await connected(stand, untick="video.list")
    assert (await post(stand, no_list, path))["error"]["code"] == "scope_not_authorized"


V1 = (
    r'{"client_key":"awtestkey0001","event":"authorization.removed","create_time":1760000000,'
    r'"user_openid":"-000abcDEF123","content":"{\"reason\":1}"}'
)
VECTORS = [
    (
        1760000000,
        V1,
        "adeee180d8fcb2fa8ebdf9bde902bf7344de4b646a87549b6d92ba5cc7127060",
    ),
    (
        1760000300,
        r'{"event":"post.publish.failed","content":"{\"reason\":\"spam_risk_text\",\"note\":\"café ☕\"}"}' + "\n",
        "64dd22ef5de9a0e1f73c1649cb8acef27950469943f1aefcfc0bc3c6d54c46d7",
    ),
    (
        1633174587,
        '{"event":"authorization.removed"}',
        "ca897b247d7a88c637eb8e406dd4317babb4d4a76d5de0c5d86c3cbd39a09acc",
    ),
    (1760000400, "", "a07b7b7023bf3b1319fde8627976911a3ba3224cfaa582dd9fd6bc08d6fd4199"),
]


@pytest.mark.parametrize(("stamp", "body", "digest"), VECTORS)
async def test_signs_as_the_vectors_say(stand: Stand, stamp: int, body: str, digest: str) -> None:
    secret = "tt_test_secret_0123456789abcdef"
    assert tiktok(stand).signature(body.encode(), secret, stamp - 9, stamp) == {
        "TikTok-Signature": f"t={stamp},s={digest}"
    }
    await stand.command("variants", platform="tiktok", name="stamp", variant="kept")
    assert tiktok(stand).signature(body.encode(), secret, stamp, stamp + 9) == {
        "TikTok-Signature": f"t={stamp},s={digest}"
    }


async def test_body_is_byte_for_byte_that_of_the_page(stand: Stand) -> None:
    platform = tiktok(stand)
    creator = platform.creators["shop"]
    event = PlatformEvent("tiktok", "authorization.removed", "shop", {"reason": 1}, 1760000000.9)
    expected = V1.replace("awtestkey0001", CLIENT_KEY).replace("-000abcDEF123", creator.open_id)
    assert platform.body([event]).decode() == expected


async def test_anything_but_200_is_tried_again_for_72_hours(stand: Stand, receiver: Receiver) -> None:
    assert sum(tiktok(stand).retry_seconds) <= 72 * 3600
    await stand.command("webhooks", platform="tiktok", url=receiver.url)
    receiver.statuses = [204, 503]
    await stand.command("act", platform="tiktok", what="revoke", account="shop")
    await receiver.until(1)
    for pause in (16, 61):
        await until(lambda: len(stand.server.simulation.dispatcher) > 0)
        await stand.command("clock", jump=pause)
        await asyncio.sleep(0.05)
    came = await receiver.until(3)
    assert {request.body for request in came} == {came[0].body}
    assert json.loads(came[0].json["content"]) == {"reason": 1}


async def test_what_it_does_not_know_is_refused_in_its_envelope(stand: Stand) -> None:
    secret = await connected(stand)
    for path, body, expected in (
        ("no/such/path/", {}, "unsupported_path"),
        ("post/publish/video/init/", {}, "invalid_param"),
        ("post/publish/video/init/", {"post_info": "x", "source_info": []}, "invalid_param"),
        ("post/publish/inbox/video/init/", {"source_info": {"source": "TELEPATHY"}}, "invalid_param"),
        ("post/publish/content/init/", {"media_type": "SONG"}, "invalid_param"),
        ("post/publish/status/fetch/", {"publish_id": ["x"]}, "invalid_publish_id"),
        ("video/query/?fields=id", {"filters": "x"}, "invalid_param"),
        ("video/list/?fields=mood", {}, "invalid_param"),
    ):
        answer = await post(stand, secret, path, body)
        assert answer["error"]["code"] == expected, path
        assert answer["error"]["log_id"]


async def test_world_lives_by_the_clock(stand: Stand, receiver: Receiver) -> None:
    await stand.command("webhooks", platform="tiktok", url=receiver.url)
    for _ in range(150):
        tiktok(stand).simulate_activity()
        stand.server.simulation.clock.jump(30)
        stand.server.simulation.advance()
    await stand.command("clock", jump=120)
    await until(lambda: len(stand.server.simulation.dispatcher) == 0 and not tiktok(stand)._due)
    events = [request.json["event"].removeprefix("post.publish.") for request in receiver.came]
    wanted = {"complete", "failed", "inbox_delivered", "publicly_available", "no_longer_publicaly_available"}
    assert wanted == set(events)
    public = {p.id for p in tiktok(stand).posts.values() if p.public and p.publish}
    told: dict[str, bool] = {}
    for request in sorted(receiver.came, key=lambda r: r.json["create_time"]):
        content = json.loads(request.json["content"])
        if "post_id" in content:
            told[content["post_id"]] = "no_longer" not in request.json["event"]
    assert {id_ for id_, shown in told.items() if shown} == public


# --- the pages as they were changed (tiktok.md, 2026-11-27)


async def test_bytes_stay_counted_after_the_upload(stand: Stand) -> None:
    """``tiktok.md`` 7.2 and 16: a retried last chunk is told the progress, and the status says the same."""
    secret = await connected(stand)
    begun = (await init(stand, secret, len(CLIP)))["data"]
    assert (await put(stand, begun["upload_url"], CLIP, 0, len(CLIP)))[0] == 201
    assert await put(stand, begun["upload_url"], CLIP, 0, len(CLIP)) == (416, f"bytes 0-{len(CLIP)}/{len(CLIP)}")
    await stand.command("clock", jump=21)
    found = await status(stand, secret, begun["publish_id"])
    assert (found["status"], found["uploaded_bytes"]) == ("PUBLISH_COMPLETE", len(CLIP))
    assert (await put(stand, begun["upload_url"], CLIP, 0, len(CLIP)))[0] == 404
    assert len(await stand.published("tiktok")) == 1


@pytest.mark.parametrize(("side", "failed"), [(1080, None), (1081, "picture_size_check_failed")])
async def test_one_image_beyond_1080p_fails_the_whole_post(
    stand: Stand, receiver: Receiver, side: int, failed: str | None
) -> None:
    """``tiktok.md`` 11 and 13.16: the shorter side counts, and the answer names no item."""
    secret = await connected(stand)
    picture = bytearray(receiver.files["picture.jpg"])
    at = picture.find(b"\xff\xc0")
    picture[at + 5 : at + 9] = side.to_bytes(2, "big") + (1920).to_bytes(2, "big")
    receiver.files["other.jpg"] = bytes(picture)
    urls = [f"{receiver.media}/picture.jpg", f"{receiver.media}/other.jpg"]
    body = {
        "media_type": "PHOTO",
        "post_mode": "DIRECT_POST",
        "post_info": {"title": "t", "privacy_level": "SELF_ONLY"},
        "source_info": {"source": "PULL_FROM_URL", "photo_images": urls, "photo_cover_index": 0},
    }
    made = (await post(stand, secret, "post/publish/content/init/", body))["data"]["publish_id"]
    publish = tiktok(stand).publishes[made]
    await until(
        lambda: publish.final or publish.downloaded == sum(len(receiver.files[u.rpartition("/")[2]]) for u in urls)
    )
    await stand.command("clock", jump=21)
    found = await status(stand, secret, made)
    assert found.get("fail_reason") == failed
    assert len(await stand.published("tiktok")) == (failed is None)


async def test_draft_is_posted_by_the_person_and_counts_as_theirs(stand: Stand) -> None:
    """``tiktok.md`` 2.4 and 8.1: for us it ends in the inbox; a person may post it several times."""
    secret = await connected(stand)
    source = {"source": "FILE_UPLOAD", "video_size": len(CLIP), "chunk_size": len(CLIP), "total_chunk_count": 1}
    begun = (await post(stand, secret, "post/publish/inbox/video/init/", {"source_info": source}))["data"]
    act = {"platform": "tiktok", "what": "post_draft", "account": "shop", "id": begun["publish_id"]}
    assert "not in the inbox" in await stand.refused("act", **act)
    await put(stand, begun["upload_url"], CLIP, 0, len(CLIP))
    await stand.command("clock", jump=21)
    assert (await status(stand, secret, begun["publish_id"]))["status"] == "SEND_TO_USER_INBOX"
    ids = {(await stand.command("act", **act))["id"] for _ in range(2)}
    await stand.command("clock", jump=41)
    found = await status(stand, secret, begun["publish_id"])
    assert (found["status"], set(map(str, found["publicaly_available_post_id"]))) == ("PUBLISH_COMPLETE", ids)
    assert await stand.published("tiktok") == []
    assert {entry["id"] for entry in await stand.ledger("post", by="owner", publish_id=begun["publish_id"])} == ids
    assert "has no draft" in await stand.refused("act", **act | {"id": "v_inbox_file~v2-1.1"})
    assert "has no drafts" in await stand.refused("act", **act | {"platform": "x", "account": "alice"})


async def test_blockers_of_creator_info_come_with_status_200(stand: Stand) -> None:
    """``tiktok.md`` 4 and 5."""
    secret = await connected(stand)
    for error in ("spam_risk_too_many_posts", "spam_risk_user_banned_from_posting", "reached_active_user_cap"):
        endpoint = "POST */creator_info/query"
        await stand.command("faults", platform="tiktok", endpoint=endpoint, error=error, status=200)
        answer = await post(stand, secret, "post/publish/creator_info/query/")
        assert ("status" in answer, answer["error"]["code"]) == (False, error)


async def test_query_takes_1_to_20_ids(stand: Stand) -> None:
    """``tiktok.md`` 12."""
    secret = await connected(stand)
    for ids, expected in (([], "invalid_param"), (["1"] * 21, "invalid_param"), (["1"], "ok")):
        body = {"filters": {"video_ids": ids}}
        assert (await post(stand, secret, "video/query/?fields=id", body))["error"]["code"] == expected


async def test_label_of_generated_content_is_shown(stand: Stand) -> None:
    """``tiktok.md`` 6 and 12."""
    secret = await connected(stand)
    await uploaded(stand, secret, title="made", is_aigc=True)
    await stand.command("clock", jump=21)
    await stand.command("clock", jump=41)
    found = await post(stand, secret, "video/list/?fields=title,is_aigc", {"max_count": 1})
    assert found["data"]["videos"] == [{"title": "made", "is_aigc": True}]
    wrong = await init(stand, secret, 100, is_aigc="yes")
    assert wrong["error"]["code"] == "invalid_param"


async def test_options_of_a_creator_change_between_two_calls(stand: Stand) -> None:
    """``tiktok.md`` 5: call it right before each post; an option that is gone is refused by its code."""
    secret = await connected(stand)

    async def info() -> Any:
        return await post(stand, secret, "post/publish/creator_info/query/")

    assert (await info())["data"]["privacy_level_options"][0] == "PUBLIC_TO_EVERYONE"
    settings = {"private": True, "comment_disabled": True, "max_video_post_duration_sec": 60}
    await stand.command("account", platform="tiktok", account="shop", settings=settings)
    found = (await info())["data"]
    assert found["privacy_level_options"] == ["FOLLOWER_OF_CREATOR", "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"]
    assert (found["comment_disabled"], found["duet_disabled"], found["max_video_post_duration_sec"]) == (True, True, 60)
    refused = await init(stand, secret, len(CLIP))
    assert (refused["status"], refused["error"]["code"]) == (403, "privacy_level_option_mismatch")
    settings = {"private": False, "daily_posts": 0}
    await stand.command("account", platform="tiktok", account="shop", settings=settings)
    assert (await info())["error"]["code"] == "spam_risk_too_many_posts"


@pytest.mark.parametrize("blocked", ["spam_risk_user_banned_from_posting", "reached_active_user_cap"])
async def test_blocked_creator_is_answered_200_and_inits_403(stand: Stand, blocked: str) -> None:
    """``tiktok.md`` 5 and 9."""
    secret = await connected(stand)
    await stand.command("account", platform="tiktok", account="shop", settings={"blocked": blocked})
    found = await post(stand, secret, "post/publish/creator_info/query/")
    assert ("status" in found, found["error"]["code"]) == (False, blocked)
    source = {"source": "FILE_UPLOAD", "video_size": len(CLIP), "chunk_size": len(CLIP), "total_chunk_count": 1}
    inbox = await post(stand, secret, "post/publish/inbox/video/init/", {"source_info": source})
    for refused in (await init(stand, secret, len(CLIP)), inbox):
        assert (refused["status"], refused["error"]["code"]) == (403, blocked)


async def test_token_that_dies_in_a_status_poll_leaves_the_publish_alone(stand: Stand) -> None:
    """``tiktok.md`` 6.1 and 8.3: refresh, and repeat the status call only."""
    secret = await connected(stand)
    publish = await uploaded(stand, secret)
    fault = {"platform": "tiktok", "endpoint": "POST */status/fetch", "error": "access_token_invalid"}
    await stand.command("faults", **fault)
    refused = await post(stand, secret, "post/publish/status/fetch/", {"publish_id": publish})
    assert (refused["status"], refused["error"]["code"]) == (401, "access_token_invalid")
    assert (await status(stand, secret, publish))["status"] == "PROCESSING_UPLOAD"
    await stand.command("clock", jump=21)
    assert (await status(stand, secret, publish))["status"] == "PUBLISH_COMPLETE"
    assert len(await stand.published("tiktok")) == 1


async def test_upload_address_expires_after_its_hour(stand: Stand) -> None:
    """``tiktok.md`` 7.2: 403, then a new init; what was left behind posts nothing."""
    secret = await connected(stand)
    begun = (await init(stand, secret, len(CLIP)))["data"]
    await stand.command("clock", jump=3601)
    assert (await put(stand, begun["upload_url"], CLIP, 0, len(CLIP)))[0] == 403
    assert (await status(stand, secret, begun["publish_id"]))["uploaded_bytes"] == 0
    await stand.command("clock", jump=DAY)
    assert await stand.published("tiktok") == []


async def test_progress_may_be_an_index_and_no_address_verified(stand: Stand, receiver: Receiver) -> None:
    """``tiktok.md`` 7.2: unclear which; 7.3: 403 for a host that is not verified."""
    secret = await connected(stand)
    await stand.command("variants", platform="tiktok", name="progress", variant="index")
    begun = (await init(stand, secret, len(CLIP)))["data"]
    told = await put(stand, begun["upload_url"], CLIP, 0, len(CLIP))
    assert told == (201, f"bytes 0-{len(CLIP) - 1}/{len(CLIP)}")
    await stand.command("variants", platform="tiktok", name="ownership", variant="none")
    source = {"source": "PULL_FROM_URL", "video_url": f"{receiver.media}/clip.mp4"}
    refused = await post(stand, secret, "post/publish/inbox/video/init/", {"source_info": source})
    assert (refused["status"], refused["error"]["code"]) == (403, "url_ownership_unverified")
    assert await stand.fetched(f"{receiver.media}/clip.mp4") == []
