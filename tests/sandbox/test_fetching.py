"""The log of what platforms download from the addresses that they are given: by whom, which bytes, how it ended."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.sandbox import test_facebook, test_instagram, test_threads, test_tiktok
from tests.sandbox.conftest import Receiver, Stand, until

CLIP = test_instagram.CLIP
LONG = CLIP + bytes(3 * 2**20)
"""More than three parts of a download."""
HIT = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"
Ask = Callable[[Stand, str, str], Awaitable[Any]]


async def instagram_image(stand: Stand, image: str, clip: str) -> Any:
    _, token = await test_instagram.long(stand)
    return await test_instagram.create(stand, token, image_url=image)


async def instagram_reel(stand: Stand, image: str, clip: str) -> Any:
    _, token = await test_instagram.long(stand)
    return await test_instagram.create(stand, token, video_url=clip, media_type="REELS")


async def instagram_resumable(stand: Stand, image: str, clip: str) -> Any:
    _, token = await test_instagram.long(stand)
    made = await test_instagram.create(stand, token, upload_type="resumable", media_type="REELS")
    headers = {"Authorization": f"OAuth {token}", "file_url": clip}
    async with stand.http.post(made["uri"], headers=headers) as response:
        return await response.json()


async def facebook_photo(stand: Stand, image: str, clip: str) -> Any:
    alice = await test_facebook.connected(stand)
    form = {"url": image, "access_token": alice.token()}
    return await stand.call("POST", f"/facebook/{alice.id()}/photos", data=form)


async def facebook_video(stand: Stand, image: str, clip: str) -> Any:
    alice = await test_facebook.connected(stand)
    form = {"file_url": clip, "access_token": alice.token()}
    return await stand.call("POST", f"/facebook/{alice.id()}/videos", data=form)


async def facebook_reel(stand: Stand, image: str, clip: str) -> Any:
    alice = await test_facebook.connected(stand)
    form = {"upload_phase": "start", "access_token": alice.token()}
    begun = await stand.call("POST", f"/facebook/{alice.id()}/video_reels", data=form)
    headers = {"Authorization": f"OAuth {alice.token()}", "file_url": clip}
    async with stand.http.post(begun["upload_url"], headers=headers) as response:
        return await response.json()


async def threads_image(stand: Stand, image: str, clip: str) -> Any:
    client = await test_threads.connected(stand)
    return await test_threads.post(stand, client, media_type="IMAGE", image_url=image)


async def threads_video(stand: Stand, image: str, clip: str) -> Any:
    client = await test_threads.connected(stand)
    return await test_threads.post(stand, client, media_type="VIDEO", video_url=clip)


async def tiktok_video(stand: Stand, image: str, clip: str) -> Any:
    secret = await test_tiktok.connected(stand)
    source = {"source": "PULL_FROM_URL", "video_url": clip}
    body = {"post_info": {"privacy_level": "PUBLIC_TO_EVERYONE", "title": "t"}, "source_info": source}
    made = await test_tiktok.post(stand, secret, "post/publish/video/init/", body)
    return made["data"] | {"token": secret}


async def tiktok_photos(stand: Stand, *images: str) -> Any:
    secret = await test_tiktok.connected(stand)
    source = {"source": "PULL_FROM_URL", "photo_images": list(images), "photo_cover_index": 0}
    info = {"privacy_level": "PUBLIC_TO_EVERYONE", "title": "t"}
    body = {"media_type": "PHOTO", "post_mode": "DIRECT_POST", "post_info": info, "source_info": source}
    made = await test_tiktok.post(stand, secret, "post/publish/content/init/", body)
    return made["data"] | {"token": secret}


async def fetched(stand: Stand, url: str, count: int) -> list[dict[str, Any]]:
    """The requests for an address, once there are so many."""
    await until(lambda: len(stand.server.simulation.ledger.find("fetch", url=url)) >= count)
    return await stand.fetched(url)


@pytest.mark.parametrize("ask", [instagram_image, facebook_photo, threads_image])
async def test_image_is_downloaded_in_one_piece(stand: Stand, receiver: Receiver, ask: Ask) -> None:
    image = f"{receiver.media}/picture.jpg"
    await ask(stand, image, "")
    [entry] = await fetched(stand, image, 1)
    size = len(receiver.files["picture.jpg"])
    assert (entry["agent"], entry["range"], entry["status"]) == (HIT, None, 200)
    assert (entry["bytes"], entry["total"]) == (size, size)
    assert (entry["platform"], entry["account"] in ("shop", "Shop", "alice")) == (ask.__name__.split("_")[0], True)


VIDEOS: list[Ask] = [
    instagram_reel,
    instagram_resumable,
    facebook_video,
    facebook_reel,
    threads_video,
    tiktok_video,
]


@pytest.mark.parametrize("ask", VIDEOS)
async def test_video_is_downloaded_in_parts_where_there_are_parts(stand: Stand, receiver: Receiver, ask: Ask) -> None:
    receiver.files["long.mp4"] = LONG
    clip = f"{receiver.media}/long.mp4"
    await ask(stand, "", clip)
    parts = await fetched(stand, clip, 4)
    assert [part["status"] for part in parts] == [206] * 4
    assert [part["range"].partition("-")[0] for part in parts] == [f"bytes={n * 2**20}" for n in range(4)]
    assert (sum(part["bytes"] for part in parts), {part["total"] for part in parts}) == (len(LONG), {len(LONG)})
    assert {part["agent"] for part in parts} == {"sandbox-tiktok" if ask is tiktok_video else HIT}


@pytest.mark.parametrize("ask", VIDEOS)
async def test_video_comes_whole_from_an_origin_without_parts(stand: Stand, receiver: Receiver, ask: Ask) -> None:
    receiver.files["long.mp4"], receiver.ranges = LONG, False
    clip = f"{receiver.media}/long.mp4"
    await ask(stand, "", clip)
    [entry] = await fetched(stand, clip, 1)
    assert (entry["status"], entry["bytes"]) == (200, len(LONG))


async def test_address_that_was_revoked_is_asked_for_and_not_had(stand: Stand, receiver: Receiver) -> None:
    """``tiktok.md`` 16: revoke the URLs, and the pull fails."""
    clip = f"{receiver.media}/gone.mp4"
    made = await tiktok_video(stand, "", clip)
    [entry] = await fetched(stand, clip, 1)
    assert (entry["status"], entry["bytes"]) == (404, 0)
    found = await test_tiktok.status(stand, made["token"], made["publish_id"])
    assert (found["status"], found["fail_reason"]) == ("FAILED", "video_pull_failed")


async def test_address_is_asked_for_byte_for_byte_and_a_redirect_is_not_followed(stand: Stand) -> None:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    running = TestServer(app)
    await running.start_server()
    address = f"http://127.0.0.1:{running.port}/a%2Fb?sig=x%2By%3d&at=1"
    await instagram_image(stand, address, "")
    [entry] = await stand.fetched(address)
    assert (seen, entry["status"]) == (["/a%2Fb?sig=x%2By%3d&at=1"], 302)
    await running.close()


async def test_download_begins_later_stops_half_way_or_never_begins(stand: Stand, receiver: Receiver) -> None:
    """``tiktok.md`` 6.1 and 16: the log says whether a lost init exists, and how far it came."""
    receiver.files["long.mp4"] = LONG
    clip = f"{receiver.media}/long.mp4"
    await stand.command("fetching", platform="tiktok", seconds=600)
    made = await tiktok_video(stand, "", clip)
    assert await stand.fetched(clip) == []
    await stand.command("clock", jump=601)
    assert len(await fetched(stand, clip, 4)) == 4
    await until(lambda: stand.server.simulation.platforms["tiktok"].publishes[made["publish_id"]].pulled)  # type: ignore[attr-defined]

    await stand.command("fetching", platform="tiktok", result="partial", bytes=2**20 + 5)
    made = await tiktok_video(stand, "", f"{clip}?2")
    parts = await fetched(stand, f"{clip}?2", 2)
    assert [(part["status"], part["bytes"]) for part in parts] == [(206, 2**20), (206, 5)]
    found = await test_tiktok.status(stand, made["token"], made["publish_id"])
    assert (found["status"], found["fail_reason"]) == ("FAILED", "video_pull_failed")

    await stand.command("fetching", platform="tiktok", result="never")
    made = await tiktok_video(stand, "", f"{clip}?3")
    await stand.command("clock", jump=3500)
    assert (await test_tiktok.status(stand, made["token"], made["publish_id"]))["status"] == "PROCESSING_DOWNLOAD"
    await stand.command("clock", jump=101)
    found = await test_tiktok.status(stand, made["token"], made["publish_id"])
    assert (found["status"], found["fail_reason"]) == ("FAILED", "video_pull_failed")
    assert await stand.fetched(f"{clip}?3") == []


async def test_photos_of_which_one_is_never_fetched_fail_after_the_hour(stand: Stand, receiver: Receiver) -> None:
    """``tiktok.md`` 16: any required file that was never fetched means that the init is dead."""
    images = [f"{receiver.media}/picture.jpg?{number}" for number in range(3)]
    await stand.command("fetching", platform="tiktok", result="never", skip=2)
    made = await tiktok_photos(stand, *images)
    await fetched(stand, images[1], 1)
    await stand.command("clock", jump=3601)
    found = await test_tiktok.status(stand, made["token"], made["publish_id"])
    assert (found["status"], found["fail_reason"]) == ("FAILED", "photo_pull_failed")
    assert [len(await stand.fetched(image)) for image in images] == [1, 1, 0]
    assert await stand.published("tiktok") == []


async def test_image_that_is_never_fetched_is_refused_as_unreachable(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 7.4, 9004/2207052; and a video leaves its container in progress until it expires."""
    await stand.command("fetching", platform="instagram", result="never", times=2)
    made = await instagram_image(stand, f"{receiver.media}/picture.jpg", "")
    assert (made["error"]["code"], made["error"]["error_subcode"]) == (9004, 2207052)
    _, token = await test_instagram.long(stand)
    made = await test_instagram.create(stand, token, video_url=f"{receiver.media}/clip.mp4", media_type="REELS")
    await stand.command("clock", jump=3600)
    assert await test_instagram.state(stand, token, made["id"]) == "IN_PROGRESS"
    await stand.command("clock", jump=86_400)
    assert await test_instagram.state(stand, token, made["id"]) == "EXPIRED"


@pytest.mark.parametrize(
    ("robots", "status"),
    [
        ("User-agent: *\nDisallow: /\n", None),
        ("User-agent: facebookexternalhit\nDisallow: /files/\n", None),
        ("User-agent: *\nDisallow: /\n\nUser-agent: facebookexternalhit\nAllow: /files/\n", 200),
        ("", 200),
    ],
)
async def test_robots_txt_keeps_facebook_away(stand: Stand, robots: str, status: int | None) -> None:
    """``meta.md`` 9.2: it must allow ``facebookexternalhit``."""

    async def rules(_: web.Request) -> web.Response:
        return web.Response(text=robots)

    async def picture(_: web.Request) -> web.Response:
        return web.Response(body=test_instagram.PICTURE)

    app = web.Application()
    app.router.add_get("/robots.txt", rules)
    app.router.add_get("/files/a.jpg", picture)
    running = TestServer(app)
    await running.start_server()
    address = str(running.make_url("/files/a.jpg"))
    answer = await facebook_photo(stand, address, "")
    [entry] = await stand.fetched(address)
    assert (entry.get("status"), entry.get("refused")) == (status, None if status else "robots.txt")
    assert ("post_id" in answer) is bool(status)
    await running.close()
