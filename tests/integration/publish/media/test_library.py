"""Files of the library in posts: from an upload to what a platform shows, and held until then."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import pytest

from ops.runtime.platform_protocol import FilePart
from ops.runtime.tenancy import tenant_transaction
from publish.media.library import MediaLibrary
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.posting import Posting, posting
from tests.rig import Rig


@pytest.fixture
async def publishing(rig: Rig) -> AsyncIterator[Posting]:
    async with posting(rig) as found:
        library = MediaLibrary(found.driver.pool, rig.uploads.storage, rig.url)
        yield replace(found, driver=replace(found.driver, media=library))


async def uploaded(rig: Rig, content: bytes) -> str:
    status, made = await rig.api("POST", "/api/media", data=content, headers={"Content-Type": "image/jpeg"})
    assert status in (200, 201), made
    return str(made["id"])


async def test_uploaded_file_is_fetched_by_the_platform_and_shown_there(publishing: Posting) -> None:
    rig = publishing.rig
    [account] = await rig.connect("instagram")
    content = media_samples.image("JPEG", (640, 640))
    media = {"id": await uploaded(rig, content), "alt_text": "a red square"}
    body = {"content": "Tea", "media": [media], "targets": [{"connection": account}], "action": "publish"}
    status, made = await rig.api("POST", "/api/posts", json=body)
    assert status == 201, made
    [target] = made["post"]["targets"]
    row = await publishing.run(target["id"])
    assert row["state"] == "published", dict(row)
    assert [post["text"] for post in await publishing.shown("instagram")] == ["Tea"]
    async with tenant_transaction(publishing.driver.pool, DEFAULT_TENANT) as connection:
        assert await publishing.driver.media.fetched(connection, target["id"], 1) == {media["id"]: len(content)}
        assert await publishing.driver.media.fetched(connection, target["id"], 2) == {}
    [[revoked]] = await rig.raw("SELECT bool_and(revoked_at IS NOT NULL) FROM media_links")
    assert revoked


@pytest.mark.parametrize("form", ["mp3", "ogg", "wav", "flac", "ipod"])
async def test_sound_is_uploaded_and_published_where_it_is_taken(publishing: Posting, form: str) -> None:
    rig = publishing.rig
    [account], [other] = await rig.connect("mastodon"), await rig.connect("x")
    content = media_samples.audio(form)
    media = {"id": await uploaded(rig, content), "alt_text": "a kettle that sings"}
    body = {"content": "Tea", "media": [media], "targets": [{"connection": account}], "action": "publish"}
    status, made = await rig.api("POST", "/api/posts", json=body)
    assert (status, made["findings"]) == (201, []), made
    [target] = made["post"]["targets"]
    assert target["kind"] == "audio"
    row = await publishing.run(target["id"])
    assert row["state"] == "published", dict(row)
    [shown] = await publishing.shown("mastodon")
    assert [(file["bytes"], file["alt_text"]) for file in shown["files"]] == [(len(content), "a kettle that sings")]
    status, refused = await rig.api("POST", "/api/posts", json={**body, "targets": [{"connection": other}]})
    found = [each["message"] for each in refused["error"]["details"]["findings"] if each["severity"] == "refusal"]
    assert (status, [each.startswith("The audio file does not fit") for each in found]) == (422, [True]), found


async def test_file_is_held_while_a_post_is_to_be_published_with_it(publishing: Posting) -> None:
    rig = publishing.rig
    [account] = await rig.connect("instagram")
    id_ = await uploaded(rig, media_samples.image("JPEG", (640, 640)))
    body = {"content": "Tea", "media": [id_], "targets": [{"connection": account}]}
    status, made = await rig.api("POST", "/api/posts", json=body)
    assert status == 201, made
    assert (await rig.api("DELETE", f"/api/media/{id_}"))[0] == 409
    assert (await rig.api("DELETE", f"/api/posts/{made['post']['id']}"))[1]["cancelled"]
    status, answer = await rig.api("DELETE", f"/api/media/{id_}")
    assert status in (200, 204), answer


async def test_file_is_held_while_posts_with_it_repeat(publishing: Posting) -> None:
    rig = publishing.rig
    [account] = await rig.connect("instagram")
    id_ = await uploaded(rig, media_samples.image("JPEG", (640, 640)))
    post = {"content": "Tea", "media": [id_], "targets": [{"connection": account}]}
    body = {"post": post, "rule": "FREQ=DAILY;COUNT=2", "start_time": "2099-06-01 09:00", "timezone": "UTC"}
    status, made = await rig.api("POST", "/api/recurrences", json=body)
    assert status == 201, made
    assert (await rig.api("DELETE", f"/api/media/{id_}"))[0] == 409
    assert (await rig.api("DELETE", f"/api/recurrences/{made['recurrence']['id']}"))[1]["changed"]
    assert (await rig.api("DELETE", f"/api/media/{id_}"))[0] == 200


async def test_part_of_a_file_is_read_and_the_file_of_another_tenant_is_not_there(publishing: Posting) -> None:
    content = media_samples.image("JPEG", (640, 640))
    id_ = await uploaded(publishing.rig, content)
    library = publishing.driver.media
    part = FilePart(id_, 10, 200)
    assert b"".join([piece async for piece in library.read(DEFAULT_TENANT, part)]) == content[10:210]
    async with tenant_transaction(publishing.driver.pool, DEFAULT_TENANT) as connection:
        assert await library.digests(connection, [id_]) == {id_: hashlib.sha256(content).digest()}
    other = "00000000-0000-7000-8000-00000000000b"
    async with tenant_transaction(publishing.driver.pool, other) as connection:
        assert await library.describe(connection, [id_]) == {}


async def test_file_that_is_sent_is_published_at_the_accounts_of_a_platform(publishing: Posting) -> None:
    rig = publishing.rig
    await rig.connect("instagram")
    content, headers = media_samples.image("JPEG", (640, 640)), {"Content-Type": "image/jpeg"}
    query = {"caption": "Tea", "alt_text": "a red square"}
    status, made = await rig.api("POST", "/api/instagram/upload", data=content, headers=headers, params=query)
    assert status == 201, made
    assert made["post"]["media"][0]["alt_text"] == "a red square"
    row = await publishing.run(made["post"]["targets"][0]["id"])
    assert row["state"] == "published", dict(row)
    assert [post["text"] for post in await publishing.shown("instagram")] == ["Tea"]
    form = aiohttp.FormData()
    form.add_field("file", media_samples.image("JPEG", (650, 650)), filename="cup.jpg", content_type="image/jpeg")
    status, made = await rig.api("POST", "/api/instagram/upload", data=form, params={"caption": "Coffee"})
    assert (status, made["post"]["content"]) == (201, "Coffee")
    for wrong in ({"options": "{"}, {"account": "x"}):
        status, error = await rig.api("POST", "/api/instagram/upload", data=content, headers=headers, params=wrong)
        assert (status, error["error"]["code"]) == (400, "invalid_request")
    [[count]] = await rig.raw("SELECT count(*) FROM media")
    assert count == 2, "what is refused anyway is not stored"


async def test_video_whose_index_stands_at_its_end_is_refused_before_the_platform_sees_it(publishing: Posting) -> None:
    """What the decoder found must reach the rules: Instagram takes no such file, and says so only after it has it."""
    rig = publishing.rig
    [account] = await rig.connect("instagram")
    content = media_samples.video(seconds=3)
    status, made = await rig.api("POST", "/api/media", data=content, headers={"Content-Type": "video/mp4"})
    assert (status, made["details"]["index_first"]) == (201, False), made
    target = {"connection": account, "kind": "reel"}
    body = {"content": "Tea", "media": [made["id"]], "targets": [target], "action": "publish"}
    status, refused = await rig.api("POST", "/api/posts", json=body)
    assert status == 422, refused
    codes = [finding["code"] for finding in refused["error"]["details"]["findings"]]
    assert "media_index" in codes, refused
