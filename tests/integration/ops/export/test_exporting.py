"""Exports of a filled database: the rows, one instant, in constant memory, to a file, to standard output, over HTTP."""

import asyncio
import csv
import gc
import io
import json
import tracemalloc
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pyarrow.parquet as pq
import pytest

from ops.access import api_keys, tenants
from ops.cli import logins
from ops.export import exporting, store
from ops.export.exporting import exported
from ops.export.request import export_of
from ops.runtime import db, metrics
from schema.catalogue import catalogue
from schema.published import PUBLISHED
from schema.reporting import VIEWS
from schema.rights import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.integration.schema.test_reporting import connected
from tests.rig import TESTS, Rig
from tests.support import command, is_error

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SHOP, OTHER_SHOP = "17841400000000001", "17841400000000002"

COMMENT = """
INSERT INTO ig_comments (bucket, account_id, ig_id, created_at, projection_version, text, "timestamp", from_user)
SELECT bucket_of('instagram', $1), $1, 'c' || n, now(), 1, $2, $3::timestamptz + n * interval '1 minute', 'fan'
FROM generate_series($4::int, $5::int) n
"""


async def commented(
    connection: asyncpg.Connection, account: str, text: str, first: int = 0, last: int | None = None
) -> None:
    """Store comments, written a minute apart from noon on."""
    last = first if last is None else last
    await connection.execute(COMMENT, account, text, NOON, first, last)


@pytest.fixture
async def exporter(database: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await db.connect(database, APP_ROLE, "export", limited=False)
    yield opened
    await opened.close()


async def content(
    connection: asyncpg.Connection, view: str, form: str, tenant: str | None = None, **more: Any
) -> bytes:
    wanted = export_of(view, form, one_tenant=tenant is not None, **more)
    return b"".join([piece async for piece in exported(connection, wanted, tenant)])


async def test_formats_hold_the_same_rows_to_the_last_digit(
    connection: asyncpg.Connection, exporter: asyncpg.Connection
) -> None:
    await connected(connection, "instagram", SHOP, scopes=["a", "b"])
    await commented(connection, SHOP, '=HYPERLINK("x")\n☕')
    await connection.execute("""UPDATE ig_comments SET metrics_json = '{"likes": 2147483647}'""")
    lines = (await content(exporter, "comments_v1", "jsonl")).decode().splitlines()
    [row] = [json.loads(line) for line in lines]
    assert list(row) == list(catalogue()["comments_v1"])
    assert (row["text"], row["likes"], row["hidden"]) == ('=HYPERLINK("x")\n☕', 2147483647, False)
    assert row["commented_at"] == "2026-11-27T12:00:00+00:00"
    text = (await content(exporter, "comments_v1", "csv", bom=True)).decode("utf-8-sig")
    [cells] = list(csv.DictReader(io.StringIO(text, newline="")))
    assert cells["text"] == '\'=HYPERLINK("x")\n☕'
    for name, value in row.items():
        if name != "text":
            assert cells[name] == (
                "" if value is None else str(value).lower() if value in (True, False) else str(value)
            )
    table = pq.read_table(io.BytesIO(await content(exporter, "comments_v1", "parquet")))
    assert table.column_names == list(row)
    [found] = table.to_pylist()
    assert (found["text"], found["likes"], found["commented_at"]) == (row["text"], 2147483647, NOON)
    assert found["tenant_id"] == DEFAULT_TENANT


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
async def test_every_view_can_be_written_in_every_format_with_rows_and_without(
    connection: asyncpg.Connection, exporter: asyncpg.Connection, form: str
) -> None:
    for view in (*PUBLISHED, *VIEWS):
        empty = await content(exporter, view, form)
        if form == "parquet":
            assert pq.read_table(io.BytesIO(empty)).num_rows == 0
        else:
            assert len(empty.splitlines()) == (form == "csv")
    await connected(connection, "instagram", SHOP, scopes=["a"])
    for view in ("accounts_v1", "oauth_accounts", "social_connections", "instagram_accounts"):
        assert len(await content(exporter, view, form)) > len(b"")
    scopes = {"csv": b'"[""a""]"', "jsonl": b'["a"]'}
    if form in scopes:
        assert scopes[form] in await content(exporter, "accounts_v1", form)
    else:
        [row] = pq.read_table(io.BytesIO(await content(exporter, "accounts_v1", form))).to_pylist()
        assert row["scopes"] == ["a"]


async def test_rows_are_those_of_the_time_and_the_account(
    connection: asyncpg.Connection, exporter: asyncpg.Connection
) -> None:
    await commented(connection, SHOP, "mine", 0, 9)
    await commented(connection, OTHER_SHOP, "theirs", 0, 9)

    async def ids(**more: Any) -> list[str]:
        lines = (await content(exporter, "comments_v1", "jsonl", **more)).splitlines()
        return sorted(json.loads(line)["comment_id"] + json.loads(line)["account_id"][-1] for line in lines)

    minute = {"since": (NOON + timedelta(minutes=2)).isoformat(), "until": (NOON + timedelta(minutes=4)).isoformat()}
    assert await ids(**minute) == ["c21", "c22", "c31", "c32"], "from the first on, and without the second"
    assert await ids(account=OTHER_SHOP, **minute) == ["c22", "c32"]
    assert len(await ids(since="2026-11-27")) == 20
    assert await ids(until="2026-11-27") == []
    days = (await content(exporter, "engagement_v1", "csv", since="2026-11-27", until="2026-11-28")).splitlines()
    assert len(days) == 1, "no post is known"


async def test_export_shows_one_instant_whatever_is_written_meanwhile(
    connection: asyncpg.Connection, exporter: asyncpg.Connection
) -> None:
    await commented(connection, SHOP, "before", 1, 3 * store.PORTION)
    wanted = export_of("comments_v1", "jsonl", one_tenant=False)
    found: list[bytes] = []
    async for piece in exported(exporter, wanted, None):
        found += piece.splitlines()
        await connection.execute("UPDATE ig_comments SET text = 'after'")
        await commented(connection, SHOP, "more", 10_000 + len(found))
    assert len(found) == 3 * store.PORTION
    assert {json.loads(line)["text"] for line in found} == {"before"}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
async def test_memory_does_not_grow_with_the_number_of_rows(
    connection: asyncpg.Connection, exporter: asyncpg.Connection, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if form == "parquet":  # a row group is in memory: both exports have whole ones
        monkeypatch.setattr("ops.export.parquet.GROUP_ROWS", 2 * store.PORTION)
    await commented(connection, SHOP, "x" * 500, 1, 4 * store.PORTION)

    async def peak() -> tuple[int, int]:
        gc.collect()
        tracemalloc.start()
        written = 0
        async for piece in exported(exporter, export_of("comments_v1", form, one_tenant=False), None):
            written += len(piece)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, written

    await peak()
    few, written_few = await peak()
    await commented(connection, SHOP, "x" * 500, 10_000, 10_000 + 36 * store.PORTION)
    many, written_many = await peak()
    assert written_many > (3 if form == "parquet" else 9) * written_few, "equal text is small in Parquet"
    assert many < 1.3 * few


async def test_whoever_stops_reading_leaves_a_connection_that_can_be_used(
    connection: asyncpg.Connection, exporter: asyncpg.Connection
) -> None:
    await commented(connection, SHOP, "x", 1, 3 * store.PORTION)
    async with aclosing(exported(exporter, export_of("comments_v1", "jsonl", one_tenant=False), None)) as pieces:
        await anext(pieces)
    assert not exporter.is_in_transaction()
    assert await exporter.fetchval("SELECT count(*) FROM reporting.comments_v1") == 3 * store.PORTION


async def test_export_may_take_longer_than_a_request_and_changes_nothing(
    connection: asyncpg.Connection, exporter: asyncpg.Connection
) -> None:
    async with store.snapshot(exporter, None):
        if exporter.get_server_version().major >= 17:
            assert await exporter.fetchval("SHOW transaction_timeout") == "1h"
        assert await exporter.fetchval("SHOW statement_timeout") == "1h"
        assert await exporter.fetchval("SHOW idle_in_transaction_session_timeout") == "1min"
        assert await exporter.fetchval("SHOW transaction_isolation") == "repeatable read"
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await exporter.execute("DELETE FROM lookups")


# --- the command


async def test_command_writes_a_file_that_has_its_name_once_it_is_whole(
    connection: asyncpg.Connection, database: str, tmp_path: Path
) -> None:
    await connected(connection, "instagram", SHOP)
    await commented(connection, SHOP, "Tea")
    file = tmp_path / "comments.csv"
    code, said = await command(database, "export", "comments_v1", "--output", str(file))
    assert (code, said) == (0, f"{file.stat().st_size} bytes of comments_v1 in {file}\n")
    assert b'"Tea"' in file.read_bytes()
    assert not file.with_name(f"{file.name}.part").exists()
    code, said = await command(database, "export", "comments_v1", "--format", "jsonl", "--tenant", "default")
    assert (code, json.loads(said)["text"]) == (0, "Tea")
    before = file.read_bytes()
    for wrong, why in (
        (["comments_v9"], "There is no view comments_v9"),
        (["ig_comments", "--tenant", "default"], "it shows no rows of one tenant"),
        (["comments_v1", "--tenant", "nobody"], "there is no tenant nobody"),
        (["comments_v1", "--since", "soon"], "since is no date"),
        (["comments_v1", "--output", str(tmp_path / "none" / "x.csv")], "the export cannot be written"),
    ):
        code, said = await command(database, "export", *wrong)
        assert (code, why in said) == (1, True), said
    code, said = await command(
        database, "export", "comments_v1", "--output", str(file), LANDFALL_DATABASE_ROLE="landfall_reader"
    )
    assert code == 1, "what fails leaves the file that was there"
    assert file.read_bytes() == before


# --- over HTTP


async def download(
    rig: Rig, path: str, key: str = "", method: str = "GET"
) -> tuple[int, aiohttp.ClientResponse, bytes]:
    headers = {"Authorization": f"Bearer {key or rig.key}"}
    async with aiohttp.ClientSession() as program, program.request(method, rig.url + path, headers=headers) as response:
        return response.status, response, await response.read()


async def test_program_downloads_the_rows_of_its_tenant_alone(rig: Rig, connection: asyncpg.Connection) -> None:
    other = await tenants.add(connection, "other", TESTS)
    await connected(connection, "instagram", SHOP)
    await connected(connection, "instagram", OTHER_SHOP, tenant=other)
    await commented(connection, SHOP, "mine")
    await commented(connection, OTHER_SHOP, "theirs")
    theirs = await api_keys.create(rig.pool, other, "theirs", ["reports:read"], TESTS)
    for key, seen in ((rig.key, "mine"), (theirs, "theirs")):
        for view in PUBLISHED:
            status, response, body = await download(rig, f"/api/export/{view}?format=jsonl", key)
            assert status == 200, view
            assert response.headers["Content-Type"] == "application/jsonl; charset=utf-8"
            assert response.headers["Content-Disposition"] == f'attachment; filename="{view}.jsonl"'
            assert response.headers["Cache-Control"] == "no-store"
            rows = [json.loads(line) for line in body.splitlines()]
            assert {row["tenant_id"] for row in rows} <= {other if key == theirs else DEFAULT_TENANT}
            if view == "comments_v1":
                assert [row["text"] for row in rows] == [seen]
    status, _, body = await download(rig, f"/api/export/comments_v1?account={OTHER_SHOP}")
    assert (status, len(body.splitlines())) == (200, 1), "the head alone"
    status, _, body = await download(rig, "/api/export/comments_v1?bom=true&since=2026-11-27&until=2026-11-28")
    assert (status, body.startswith(b"\xef\xbb\xbfid,"), body.count(b"\r\n")) == (200, True, 2)
    status, _, body = await download(rig, "/api/export/comments_v1?format=parquet")
    assert pq.read_table(io.BytesIO(body)).num_rows == 1
    status, response, body = await download(rig, "/api/export/comments_v1", method="HEAD")
    assert (status, body, response.headers["Content-Type"]) == (200, b"", "text/csv; charset=utf-8")
    entries = [row["subject"] for row in await rig.raw("SELECT subject FROM audit_log WHERE action = 'data.exported'")]
    assert entries.count("comments_v1") == 5


async def test_export_needs_its_scope_and_a_view_that_is_there(rig: Rig) -> None:
    lacking = await api_keys.create(rig.pool, DEFAULT_TENANT, "lacking", ["posts:read", "connections:read"], TESTS)
    for path, key, status, code in (
        ("posts_v1", lacking, 403, "forbidden"),
        ("posts_v1", "lf_unknown", 401, "unauthorized"),
        ("posts_v9", rig.key, 404, "not_found"),
        ("webhook_events", rig.key, 404, "not_found"),
        ("posts_v1?format=xlsx", rig.key, 400, "invalid_request"),
        ("posts_v1?since=soon", rig.key, 400, "invalid_request"),
        ("posts_v1?tenant=other", rig.key, 400, "invalid_request"),
        ("posts_v1?bom=1", rig.key, 400, "invalid_request"),
    ):
        found, _, body = await download(rig, f"/api/export/{path}", key)
        assert (found, json.loads(body)["error"]["code"]) == (status, code), path
        assert is_error(json.loads(body)), path


async def test_tenant_has_one_export_at_a_time_and_its_other_requests_go_on(
    rig: Rig, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    real = store.rows

    async def held(*arguments: Any) -> AsyncIterator[Any]:
        begun.set()
        await go_on.wait()
        async for portion in real(*arguments):
            yield portion

    monkeypatch.setattr(exporting.store, "rows", held)
    other = await tenants.add(connection, "other", TESTS)
    theirs = await api_keys.create(rig.pool, other, "theirs", ["reports:read"], TESTS)
    first = asyncio.create_task(download(rig, "/api/export/posts_v1"))
    await begun.wait()
    status, response, body = await download(rig, "/api/export/posts_v1")
    assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
    assert response.headers["Retry-After"] == "30"
    second = asyncio.create_task(download(rig, "/api/export/posts_v1", theirs))
    assert (await rig.api("GET", "/api/connections"))[0] == 200
    go_on.set()
    assert [(await each)[0] for each in (first, second)] == [200, 200]
    assert (await download(rig, "/api/export/posts_v1"))[0] == 200, "it may export again"


async def test_export_that_breaks_off_does_not_look_whole(
    rig: Rig, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connected(connection, "instagram", SHOP)
    await commented(connection, SHOP, "x" * 1000, 1, 2 * store.PORTION)
    real = store.rows

    async def broken(*arguments: Any) -> AsyncIterator[Any]:
        async for portion in real(*arguments):
            yield portion
            raise ConnectionResetError("the database is gone")

    monkeypatch.setattr(exporting.store, "rows", broken)
    cut_off, whole = (metrics.of(metrics.exports, "comments_v1", outcome) for outcome in ("cut_off", "whole"))
    before = cut_off._value.get(), whole._value.get()
    with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError)):
        await download(rig, "/api/export/comments_v1")
    monkeypatch.setattr(exporting.store, "rows", real)
    status, _, body = await download(rig, "/api/export/comments_v1")
    assert (status, body.count(b"\r\n")) == (200, 2 * store.PORTION + 1)
    assert (cut_off._value.get(), whole._value.get()) == (before[0] + 1, before[1] + 1)


async def test_login_of_the_web_process_sees_the_tenant_that_it_acts_for_and_no_view_of_all(
    connection: asyncpg.Connection, database: str
) -> None:
    await connected(connection, "instagram", SHOP)
    await logins.make(connection, "serve", "landfall_serve", "long-enough-for-this")
    web = await asyncpg.connect(logins.address(database, "landfall_serve", "long-enough-for-this"))
    for tenant, count in ((DEFAULT_TENANT, 1), (str(uuid.uuid4()), 0), ("*", 0), ("", 0)):
        await web.execute("SELECT set_config('landfall.tenant', $1, false)", tenant)
        assert await web.fetchval("SELECT count(*) FROM reporting_tenant.accounts_v1") == count, tenant
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await web.fetch("SELECT * FROM reporting.accounts_v1")
    await web.close()
