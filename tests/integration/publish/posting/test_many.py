"""Many posts of one file, with files at addresses: a report for each post, and one bad post harms no other."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access.audit_log_store import Actor
from ops.cli.composition import posts_of
from ops.runtime import http
from publish.posting import many
from publish.posting.many import LineOutcome
from publish.posting.posts import Posts
from publish.schedule.bulk_csv import read_csv
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.rig import Rig

AUTHOR = Actor("author@example.org")
OPTIONS = {"interval_hours": 2, "start_time": "2099-06-01 09:00", "timezone": "UTC"}


@dataclass(repr=False)
class Host:
    """A server with files. ``asked`` are the paths that were asked for."""

    url: str
    posts: Posts
    rig: Rig
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    async def bulk(self, *posts: dict[str, Any], status: int = 200, path: str = "", **headers: str) -> list[Any]:
        body = {"posts": [{"platforms": ["instagram"], **post} for post in posts], "scheduling_options": OPTIONS}
        found_status, found = await self.rig.api("POST", f"/api/posts/bulk{path}", json=body, headers=headers)
        assert found_status == status, found
        answer = found if status == 200 else found["error"]["details"]
        return list(answer["posts"])


@pytest.fixture
async def host(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Host]:
    monkeypatch.setattr(http, "outside", lambda address: str(address) == "127.0.0.1")

    async def serve(request: web.Request) -> web.Response:
        found.asked.append(request.path)
        if request.path == "/slow.jpg":
            await asyncio.sleep(30)
        if request.path not in found.files:
            raise web.HTTPNotFound
        return web.Response(body=found.files[request.path], content_type="application/octet-stream")

    await rig.connect("instagram")
    app = web.Application()
    app.router.add_get("/{name}", serve)
    async with TestServer(app) as server:
        posts = posts_of(rig.pool, None, rig.uploads.storage, rig.url)
        found = Host(str(server.make_url("")).rstrip("/"), posts, rig)
        found.files["/a.jpg"] = media_samples.image("JPEG", (640, 640))
        found.files["/page.html"] = b"<html>no file</html>"
        yield found


async def test_each_post_has_its_files_or_a_line_that_names_the_item_and_what_is_wrong(host: Host) -> None:
    good = f"{host.url}/a.jpg?token=secret-canary"
    first, gone, inside, text, nowhere, last = await host.bulk(
        {"content": "one", "media_urls": [good]},
        {"content": "two", "media_urls": [good, f"{host.url}/gone.jpg?token=secret-canary"]},
        {"content": "three", "media_urls": ["http://10.0.0.1/a.jpg"]},
        {"content": "four", "media_urls": f"{host.url}/page.html"},
        {"content": "five", "media_urls": []},
        {"content": "six", "media_urls": [good]},
    )
    assert [each["accepted"] for each in (first, gone, inside, text, nowhere, last)] == [True, *[False] * 4, True]
    [media] = first["post"]["media"]
    assert last["post"]["media"] == [media]
    assert first["post"]["targets"][0]["state"] == "scheduled"
    assert host.asked == ["/a.jpg", "/gone.jpg", "/page.html"], "each address is asked once"
    [problem] = gone["problems"]
    assert (problem["item"], problem["field"], problem["reason"]) == ("media_urls 2", "media_urls", "not_fetched")
    assert problem["url"] == f"{host.url}/gone.jpg"
    assert "404" in problem["message"]
    assert "no server on the internet has this name" in inside["problems"][0]["message"]
    assert text["problems"][0]["reason"] == "unsupported"
    assert nowhere["problems"][0]["findings"], "the platform wants a file"
    assert "secret-canary" not in str((first, gone, inside, text, nowhere, last))
    assert all(each["remedy"] for line in (gone, inside, text) for each in line["problems"])


async def test_key_answers_with_the_post_that_a_line_made_and_fetches_nothing_again(host: Host) -> None:
    post = {"content": "one", "media_urls": [f"{host.url}/a.jpg"]}
    [first] = await host.bulk(post, **{"Idempotency-Key": "k"})
    host.files["/a.jpg"] = media_samples.image("JPEG", (650, 650))
    [again] = await host.bulk(post, **{"Idempotency-Key": "k"})
    assert (again["post"]["id"], again["replayed"]) == (first["post"]["id"], True)
    assert host.asked == ["/a.jpg"]
    other = {"content": "one", "media_urls": [f"{host.url}/b.jpg"]}
    [refused] = await host.bulk(other, status=422, **{"Idempotency-Key": "k"})
    assert "used for another request" in refused["problems"][0]["message"]


async def test_dry_run_checks_the_files_and_makes_no_post(host: Host) -> None:
    [checked] = await host.bulk({"content": "one", "media_urls": [f"{host.url}/a.jpg"]}, path="?dry_run=1")
    assert (checked["accepted"], checked["post"], checked["accounts"][0]["result"]) == (True, None, "checked")
    assert await host.rig.raw("SELECT 1 FROM posts") == []


async def imported(host: Host, lines: str, **more: Any) -> list[LineOutcome]:
    report = read_csv(lines.encode(), await many.defaults_of(host.posts, DEFAULT_TENANT, "UTC"))
    uploads = more.pop("uploads", host.rig.uploads)
    return await many.create_all(host.posts, uploads, DEFAULT_TENANT, AUTHOR, report, **more)


async def test_csv_names_files_by_address_too(host: Host) -> None:
    lines = "content,platforms,scheduled_time,media_urls\n" + "".join(
        f"{text},instagram,2099-06-01 0{hour}:00,{host.url}/{name}\n"
        for hour, (text, name) in enumerate((("one", "a.jpg"), ("two", "gone.jpg"), ("three", "a.jpg")), 1)
    )
    first, second, third = await imported(host, lines)
    assert first.created is not None
    assert third.created is not None
    assert (second.created, second.number, second.problems[0]["item"]) == (None, 3, "media_urls 1")


async def test_files_whose_time_is_over_are_refused_and_those_before_are_kept(host: Host) -> None:
    lines = (
        "content,platforms,scheduled_time,media_urls\n"
        f"one,instagram,2099-06-01 01:00,{host.url}/a.jpg\n"
        f"two,instagram,2099-06-01 02:00,{host.url}/slow.jpg\n"
        f"three,instagram,2099-06-01 03:00,{host.url}/a.jpg\n"
    )
    first, slow, last = await imported(host, lines, seconds=2.0)
    assert first.created is not None
    assert slow.problems[0]["message"].endswith("The time that one request may take was over.")  # type: ignore[attr-defined]
    assert last.created is not None, "its file is there already"


async def test_without_a_place_for_files_each_such_post_says_so(host: Host) -> None:
    lines = f"content,platforms,scheduled_time,media_urls\none,instagram,2099-06-01 01:00,{host.url}/a.jpg\n"
    [only] = await imported(host, lines, uploads=None)
    assert "there is no place to keep them" in str(only.problems[0]["message"])
    assert host.asked == []
