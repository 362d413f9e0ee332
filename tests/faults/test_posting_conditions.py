"""What goes wrong around publishing (``faults.md`` H4 to H8): uploads, containers, files, lateness and cancelling."""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import uuid_utils

from ops.access.audit_log_store import WORKER
from ops.runtime.platform_client import PlatformClient
from ops.runtime.platform_protocol import FilePart, Request, Response
from publish.posting import target_store
from publish.posting.contract import Media
from schema.tenancy import DEFAULT_TENANT
from tests.posting import SHIPPED, Posting, SampleFiles
from tests.posting_faults import worked_on

MEBIBYTE = 2**20
DIRECT = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}


class GeneratedFiles(SampleFiles):
    """Files of any size that are made as they are read: zeros, with their size at the end."""

    def generated(self, size: int) -> str:
        id_ = str(uuid_utils.uuid7())
        media = Media(id_, "video/mp4", size, 720, 1280, 5.0, file_name="clip.mp4")
        self.files[id_] = Path(f"{size}.generated"), media
        return id_

    async def digests(self, _: asyncpg.Connection, ids: Sequence[str]) -> Mapping[str, bytes]:
        return {id_: hashlib.sha256(content(self.files[id_][1].size)).digest() for id_ in ids}

    async def read(self, _: str, part: FilePart) -> AsyncIterator[bytes]:
        whole = content(self.files[part.media_id][1].size)
        for start in range(part.offset, part.offset + part.length, MEBIBYTE):
            yield whole[start : min(start + MEBIBYTE, part.offset + part.length)]


def content(size: int) -> bytes:
    return bytes(size - 8) + size.to_bytes(8, "big")


CHUNK = 10_000_000

CUTS = [
    *((5 * MEBIBYTE + more, 0, at) for more in (-1, 0, 1) for at in (1, 5 * MEBIBYTE + more - 1)),
    (64 * MEBIBYTE - 1, 0, CHUNK),
    (64 * MEBIBYTE, 0, 64 * MEBIBYTE - 1),
    (64 * MEBIBYTE + 1, 0, CHUNK - 1),
    (64 * MEBIBYTE + 1, 1, 1),
    (64 * MEBIBYTE + 1, 5, CHUNK + 1),
]
"""Size of a file, how many of its parts arrive whole, and after how many bytes the next one breaks."""


@pytest.mark.parametrize(("size", "first", "at"), CUTS)
async def test_h4_upload_that_breaks_goes_on_where_the_platform_is(
    publishing: Posting, size: int, first: int, at: int
) -> None:
    files = GeneratedFiles(publishing.rig.sandbox.url, publishing.media.folder)
    publishing.media, publishing.driver = files, replace(publishing.driver, media=files)
    [account] = await publishing.rig.connect("tiktok")
    id_ = await publishing.target(account, "Tea", media=[files.generated(size)], options=DIRECT)
    await publishing.rig.sandbox.command("faults", platform="tiktok", endpoint="PUT *", skip=first, receive=at)
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    [post] = await publishing.shown("tiktok")
    assert hashlib.sha256(content(size)).hexdigest() in str(post["files"]), post["files"]
    assert await broken(publishing), "no part broke"


async def test_h4_upload_whose_address_is_over_is_begun_anew(publishing: Posting) -> None:
    size = 64 * MEBIBYTE + 1
    files = GeneratedFiles(publishing.rig.sandbox.url, publishing.media.folder)
    publishing.media, publishing.driver = files, replace(publishing.driver, media=files)
    [account] = await publishing.rig.connect("tiktok")
    id_ = await publishing.target(account, "Tea", media=[files.generated(size)], options=DIRECT)
    await publishing.rig.sandbox.command("faults", platform="tiktok", endpoint="PUT *", skip=2, receive=CHUNK - 1)
    await publishing.driver.drain()
    begun = (await publishing.row(id_))["kept"]
    await publishing.rig.sandbox.command("clock", jump=3700)
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    assert json.loads(begun)["publish_id"] != json.loads(row["kept"])["publish_id"]
    assert len(await publishing.shown("tiktok")) == 1


async def broken(publishing: Posting) -> list[Any]:
    """Uploads of parts that met a fault."""
    calls = await publishing.rig.sandbox.ledger("call", platform="tiktok", method="PUT")
    return [call for call in calls if call.get("fault")]


@pytest.mark.parametrize("result", ["failed", "expired", "stuck"])
async def test_h5_container_that_comes_to_nothing_is_made_again(publishing: Posting, result: str) -> None:
    id_ = await picture(publishing)
    await publishing.rig.sandbox.command("processing", platform="instagram", result=result)
    row = await worked_on(publishing, id_, publishing.driver, seconds=6 * 3600)
    assert row["state"] == "published", dict(row)
    assert len(await publishing.shown("instagram")) == 1


@pytest.mark.parametrize("result", ["failed", "expired", "stuck"])
async def test_h5_container_that_never_gets_ready_fails_with_a_reason(publishing: Posting, result: str) -> None:
    id_ = await picture(publishing)
    await publishing.rig.sandbox.command("processing", platform="instagram", result=result, times=9)
    row = await worked_on(publishing, id_, publishing.driver, seconds=6 * 3600)
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "container_failed", True), dict(row)
    assert row["error_message"]
    assert await publishing.shown("instagram") == []
    made = await publishing.rig.sandbox.ledger("call", platform="instagram", method="POST")
    assert sum(call["path"].endswith("/media") for call in made) == 3


async def test_h6_file_that_was_swapped_is_not_posted(publishing: Posting) -> None:
    id_ = await picture(publishing)
    swap(publishing)
    row = await publishing.run(id_)
    assert (row["state"], row["error_code"]) == ("failed", "media_changed"), dict(row)
    assert "attach it again" in row["error_message"]
    assert await publishing.shown("instagram") == []
    made = await publishing.rig.sandbox.ledger("call", platform="instagram", method="POST")
    assert [call for call in made if call["path"].endswith("/media")] == []


async def test_h6_file_that_is_swapped_before_the_last_call_is_not_posted(
    publishing: Posting, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = PlatformClient.send

    async def swapping(client: PlatformClient, request: Request, *rest: Any, **more: Any) -> Response:
        found = await send(client, request, *rest, **more)
        if "status_code" in request.query.get("fields", ""):
            swap(publishing)
        return found

    id_ = await picture(publishing)
    monkeypatch.setattr(PlatformClient, "send", swapping)
    row = await publishing.run(id_)
    assert (row["state"], row["error_code"]) == ("failed", "media_changed"), dict(row)
    assert await publishing.shown("instagram") == []


@pytest.mark.parametrize(
    ("hours", "policy", "state"),
    [
        (1, "publish", "published"),
        (1, "skip", "missed"),
        (1, "ask", "missed"),
        *((25, policy, "missed") for policy in ("publish", "skip", "ask")),
    ],
)
async def test_h7_worker_that_was_down_publishes_late_or_says_that_it_was_missed(
    publishing: Posting, hours: int, policy: str, state: str
) -> None:
    id_ = await picture(publishing)
    await publishing.rig.raw(
        "UPDATE posts SET scheduled_at = now() - $1::interval, late_policy = $2, late_seconds = 7200",
        timedelta(hours=hours),
        policy,
    )
    await publishing.rig.raw("UPDATE post_targets SET due_at = now() - $1::interval", timedelta(hours=hours))
    row = await publishing.run(id_)
    assert row["state"] == state, dict(row)
    assert row["retryable"] is (None if state == "published" else policy != "skip")
    assert len(await publishing.shown("instagram")) == int(state == "published")
    assert (row["error_code"], bool(row["error_message"])) == (("missed", True) if state == "missed" else (None, False))


async def test_h8_cancel_before_an_intent_wins_and_nothing_is_posted(
    publishing: Posting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each request that is more than a reading: somebody is faster than the worker that is about to store it."""
    save, seen, number = target_store.save_intent, 0, 0
    while True:
        number, seen, before = number + 1, 0, len(await publishing.shown("instagram"))
        id_ = await picture(publishing, f"Tea {number}")

        async def slow(connection: asyncpg.Connection, target: Any, *rest: Any, at: int = number, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == at:
                await cancelled(publishing, str(target.id))
            return await save(connection, target, *rest, **more)

        monkeypatch.setattr(target_store, "save_intent", slow)
        row = await publishing.run(id_)
        posted = len(await publishing.shown("instagram")) - before
        if seen < number:
            assert (row["state"], posted) == ("published", 1)
            break
        visible = row["intent_at"] is not None or row["state"] == "published"
        assert (row["state"], posted) == (("published", 1) if visible else ("cancelled", 0)), (number, dict(row))
    assert number > 2


async def test_h8_cancel_while_a_request_is_under_way_tells_the_truth(
    publishing: Posting, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, number, told = PlatformClient.send, 0, []
    while True:
        number, seen, before = number + 1, 0, len(await publishing.shown("instagram"))
        id_ = await picture(publishing, f"Tea {number}")

        async def slow(
            client: PlatformClient, request: Request, *rest: Any, at: int = number, of: str = id_, **more: Any
        ) -> Response:
            nonlocal seen
            seen += 1
            if seen == at:
                told.append(await cancelled(publishing, of))
            return await send(client, request, *rest, **more)

        monkeypatch.setattr(PlatformClient, "send", slow)
        row = await publishing.run(id_)
        posted = len(await publishing.shown("instagram")) - before
        if seen < number:
            break
        expected = ("published", 1) if told[-1] else ("cancelled", 0)
        assert (row["state"], posted) == expected, (number, told[-1], dict(row))
    assert {bool(reason) for reason in told} == {True, False}


async def picture(publishing: Posting, text: str = "Tea") -> str:
    found = await publishing.rig.raw("SELECT id::text FROM connections WHERE platform = 'instagram'")
    account = found[0]["id"] if found else (await publishing.rig.connect("instagram"))[0]
    file = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    return await publishing.target(account, text, media=[file])


def swap(publishing: Posting) -> None:
    files = publishing.media.files
    publishing.media.files = {id_: (SHIPPED / "clip.mp4", media) for id_, (_, media) in files.items()}


async def cancelled(publishing: Posting, id_: str) -> str:
    """Cancel the post of a target; why it is too late, or nothing."""
    [row] = await publishing.rig.raw("SELECT post_id::text FROM post_targets WHERE id = $1::uuid", id_)
    found = await publishing.lifecycle.cancel(DEFAULT_TENANT, WORKER, row["post_id"])
    return found.reasons[id_]
