"""Files are sent, listed, shown, converted and removed."""

import asyncio
import io
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import api_keys
from ops.runtime import http
from ops.web.api import media as media_api
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.integration.ops.access.test_users import EMAIL, PASSWORD, logged_in
from tests.rig import TESTS, Rig
from tests.support import eventually, is_error

pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "editor"})


async def sent(rig: Rig, content: bytes, **options: Any) -> tuple[int, Any]:
    return await rig.api("POST", "/api/media", data=io.BytesIO(content), **options)


def stored(rig: Rig) -> list[int]:
    return sorted(path.stat().st_size for path in rig.media.rglob("*") if path.is_file())


async def test_file_is_taken_as_a_body_and_shown_with_what_was_found_in_it(rig: Rig) -> None:
    content = media_samples.turned()
    status, made = await sent(
        rig, content, params={"file_name": "..\\holiday/beach.jpg"}, headers={"Content-Type": "text/plain"}
    )
    assert status == 201, made
    assert (made["kind"], made["content_type"], made["bytes"]) == ("image", "image/jpeg", len(content))
    assert (made["width"], made["height"], made["file_name"]) == (200, 300, "beach.jpg")
    assert made["details"]["orientation"] == 6
    assert made["created_by"] == "key:tests"
    assert "stored_as" not in made
    assert await rig.api("GET", f"/api/media/{made['id']}") == (200, made)
    assert await rig.api("GET", "/api/media") == (200, {"media": [made], "before": None})
    assert stored(rig) == [len(content)]


async def test_same_bytes_are_stored_once_in_a_tenant(rig: Rig) -> None:
    content = media_samples.image()
    _, first = await sent(rig, content)
    assert await sent(rig, content) == (200, first)
    assert await asyncio.gather(*(sent(rig, content) for _ in range(3))) == [(200, first)] * 3
    assert stored(rig) == [len(content)]


async def test_same_bytes_at_the_same_time_are_stored_once(rig: Rig) -> None:
    content = media_samples.image("PNG", (310, 200))
    answers = await asyncio.gather(*(sent(rig, content) for _ in range(3)))
    assert sorted(status for status, _ in answers) == [200, 200, 201]
    assert len({made["id"] for _, made in answers}) == 1
    assert stored(rig) == [len(content)]


async def test_file_is_taken_from_a_form(rig: Rig) -> None:
    form = aiohttp.FormData()
    form.add_field("note", "not a file")
    form.add_field("file", media_samples.video(), filename="clip.bin", content_type="text/html")
    status, made = await rig.api("POST", "/api/media", data=form)
    assert status == 201, made
    assert (made["kind"], made["content_type"], made["file_name"]) == ("video", "video/mp4", "clip.bin")
    assert (made["width"], made["height"], made["details"]["codec"]) == (320, 240, "h264")
    assert made["details"]["audio"]["codec"] == "aac"
    empty = aiohttp.FormData({"note": "nothing"})
    status, answer = await rig.api("POST", "/api/media", data=empty, headers={"Content-Type": "multipart/form-data"})
    assert (status, is_error(answer)) == (400, True)


async def test_file_is_fetched_by_its_address_over_redirects(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "outside", lambda _: True)
    content = media_samples.pdf()

    async def serve(request: web.Request) -> web.Response:
        if request.path == "/go":
            return web.Response(status=302, headers={"Location": "/doc.pdf?token=secret"})
        return web.Response(body=content, content_type="application/octet-stream")

    app = web.Application()
    app.router.add_get("/{name}", serve)
    async with TestServer(app) as server:
        status, made = await rig.api("POST", "/api/media", json={"url": f"{server.make_url('/go')}?token=secret"})
        assert status == 201, made
        assert (made["kind"], made["details"]) == ("document", {"pages": 3})
        assert made["source_url"] == str(server.make_url("/go"))
        status, answer = await rig.api("POST", "/api/media", json={"url": str(server.make_url("/a/b"))})
        assert (status, answer["error"]["details"]["reason"]) == (422, "not_fetched")


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.png", "http://[::1]/a.png", "http://169.254.169.254/latest"])
async def test_address_that_leads_into_our_own_network_is_not_asked(rig: Rig, url: str) -> None:
    status, answer = await rig.api("POST", "/api/media", json={"url": url})
    assert (status, answer["error"]["details"]["reason"]) == (422, "not_fetched")
    assert "no server on the internet has this name" in answer["error"]["message"]


async def test_host_that_is_trusted_as_a_platform_is_not_asked_for_a_file(rig: Rig) -> None:
    rig.uploads._client._trusted |= {rig.sandbox.url.removeprefix("http://")}
    status, answer = await rig.api("POST", "/api/media", json={"url": f"{rig.sandbox.url}/_sandbox/media/picture.jpg"})
    assert (status, answer["error"]["details"]["reason"]) == (422, "not_fetched")


async def test_redirect_into_our_own_network_is_not_followed(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [False, True]
    monkeypatch.setattr(http, "outside", lambda _: answers.pop())
    asked = []

    async def serve(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=302, headers={"Location": f"http://127.0.0.1:{inner.port}/secret"})

    app, other = web.Application(), web.Application()
    app.router.add_get("/", serve)
    other.router.add_get("/secret", serve)
    async with TestServer(app) as server, TestServer(other) as inner:
        status, answer = await rig.api("POST", "/api/media", json={"url": str(server.make_url("/"))})
    assert (status, answer["error"]["details"]["reason"]) == (422, "not_fetched")
    assert asked == ["/"]


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (b"", 400, "wrong_request"),
        (b"<html>", 415, "unsupported"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", 415, "unsupported"),
        (media_samples.image("JPEG", (2000, 1000))[:2000], 422, "broken"),
        (media_samples.video()[:3000], 422, "broken"),
        (media_samples.pdf(1, "password"), 422, "unsupported"),
        (media_samples.archive("a.txt"), 422, "unsupported"),
    ],
)
async def test_what_cannot_be_posted_is_refused_and_leaves_nothing(
    rig: Rig, content: bytes, status: int, reason: str
) -> None:
    found, answer = await sent(rig, content)
    assert (found, answer["error"]["details"]["reason"]) == (status, reason)
    assert is_error(answer)
    assert await rig.api("GET", "/api/media") == (200, {"media": [], "before": None})
    assert stored(rig) == []


async def test_file_is_held_to_the_limit_of_its_kind(rig: Rig) -> None:
    image = media_samples.image() + bytes(10 * 2**20)
    status, answer = await sent(rig, image)
    assert (status, answer["error"]["details"]["limit_bytes"]) == (413, 10 * 2**20)
    status, answer = await sent(rig, media_samples.large_video(11 * 2**20))
    assert status == 201, "a video may be larger than an image"
    assert stored(rig) == [11 * 2**20]


async def test_image_is_converted_to_a_new_file(rig: Rig) -> None:
    _, source = await sent(rig, media_samples.image("PNG", (400, 200), (255, 0, 0, 128)))
    address = f"/api/media/{source['id']}/convert"
    status, made = await rig.api("POST", address, json={"format": "jpeg", "longest": 100})
    assert status == 201, made
    assert (made["content_type"], made["width"], made["height"]) == ("image/jpeg", 100, 50)
    assert made["converted_from"] == source["id"]
    _, made = await rig.api("POST", address, json={"format": "png", "ratio": "1:1", "fit": "pad"})
    assert (made["content_type"], made["width"], made["height"]) == ("image/png", 400, 400)
    _, made = await rig.api("POST", address, json={"ratio": "4:5"})
    assert (made["content_type"], made["width"], made["height"]) == ("image/jpeg", 160, 200)
    _, clip = await sent(rig, media_samples.video())
    status, answer = await rig.api("POST", f"/api/media/{clip['id']}/convert", json={})
    assert (status, answer["error"]["details"]["reason"]) == (422, "unsupported")


@pytest.mark.parametrize(
    "given",
    [
        {"format": "webp"},
        {"longest": 0},
        {"longest": True},
        {"longest": "100"},
        {"ratio": "4/5"},
        {"ratio": "100:1"},
        {"ratio": None},
        {"fit": "fill"},
        {"width": 100},
        {"format": []},
        [],
        None,
    ],
)
def test_conversion_that_makes_no_sense_is_refused(given: object) -> None:
    with pytest.raises(media_api.Refused):
        media_api.conversion_of(given)


async def test_removed_file_is_gone_from_listings_and_its_row_says_so(rig: Rig) -> None:
    content = media_samples.image()
    _, made = await sent(rig, content)
    assert await rig.api("DELETE", f"/api/media/{made['id']}") == (200, {"removed": True})
    status, _ = await rig.api("DELETE", f"/api/media/{made['id']}")
    assert status == 404
    status, shown = await rig.api("GET", f"/api/media/{made['id']}")
    assert (status, shown["removed_by"]) == (200, "key:tests")
    assert await rig.api("GET", "/api/media") == (200, {"media": [], "before": None})
    status, answer = await rig.api("POST", f"/api/media/{made['id']}/convert", json={})
    assert (status, answer["error"]["code"]) == (410, "gone")
    status, again = await sent(rig, content)
    assert (status, again["id"] != made["id"]) == (201, True), "the same bytes are a new file then"
    actions = [row["action"] for row in await rig.raw("SELECT action FROM audit_log ORDER BY id")]
    assert actions[-3:] == ["media.added", "media.removed", "media.added"]


async def test_listing_goes_page_by_page(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_api, "PAGE_SIZE", 2)
    made = [(await sent(rig, media_samples.image("PNG", (10 + n, 10))))[1]["id"] for n in range(3)]
    _, first = await rig.api("GET", "/api/media")
    _, second = await rig.api("GET", "/api/media", params={"before": first["before"]})
    assert [each["id"] for each in first["media"] + second["media"]] == made[::-1]
    assert second["before"] is None


async def test_scopes_and_roles_say_who_may(rig: Rig) -> None:
    reading = await api_keys.create(rig.pool, DEFAULT_TENANT, "reading", ["posts:read"], TESTS)
    headers = {"Authorization": f"Bearer {reading}"}
    assert (await rig.api("GET", "/api/media", headers=headers))[0] == 200
    assert (await sent(rig, media_samples.image(), headers=headers))[0] == 403
    assert (await sent(rig, media_samples.image(), headers={"Authorization": "Bearer lf_unknown"}))[0] == 401


async def test_script_of_a_page_sends_files_with_the_token_of_its_forms(rig: Rig) -> None:
    csrf = await logged_in(rig)
    address, content = f"{rig.url}/api/media", media_samples.image()
    for headers, status in (
        ({}, 403),
        ({"X-CSRF-Token": "wrong"}, 403),
        ({"X-CSRF-Token": csrf, "Origin": "https://elsewhere.example"}, 403),
        ({"X-CSRF-Token": csrf}, 201),
    ):
        async with rig.http.post(address, data=content, headers=headers) as response:
            assert response.status == status, (headers, await response.text())
    async with rig.http.get(address) as response:
        [made] = (await response.json())["media"]
        assert made["created_by"] == f"user:{EMAIL}"
    async with aiohttp.ClientSession() as nobody, nobody.post(address, data=content) as response:
        assert response.status == 401


async def test_too_many_uploads_of_a_tenant_at_once_are_told_to_wait(rig: Rig) -> None:
    holding = asyncio.Event()

    async def slow() -> Any:
        yield media_samples.image()[:100]
        await holding.wait()

    async def all_running() -> bool:
        return rig.uploads._running.total() == 4

    waiting = [asyncio.create_task(rig.api("POST", "/api/media", data=slow())) for _ in range(4)]
    await eventually(all_running)
    status, answer = await sent(rig, media_samples.image())
    assert (status, answer["error"]["code"]) == (429, "rate_limit_exceeded")
    assert (await rig.api("GET", "/api/media"))[0] == 200, "other requests are not held up"
    holding.set()
    assert {status for status, _ in await asyncio.gather(*waiting)} == {422}
    assert rig.uploads._running.total() == 0


async def test_body_of_somebody_unknown_is_not_read(rig: Rig) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
    writer.write(b"POST /api/media HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    assert head.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in head.lower()
    writer.close()
