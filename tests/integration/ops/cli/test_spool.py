"""What `landfall spool` and `landfall doctor` say of a spool, with and without a process that has it."""

import json
import os
from pathlib import Path

import asyncpg
import pytest

from ingest.spool import Spool
from tests.recordings import received
from tests.support import command

LIMIT = 2**24


@pytest.fixture
async def left_behind(tmp_path: Path) -> Path:
    """The spool of a web process that ended while PostgreSQL was away."""
    spool = await Spool.open(tmp_path / "spool", LIMIT)
    await spool.append([received("instagram", b"%d" % number) for number in range(3)])
    await spool.close()
    return spool.directory


async def finding(database: str, directory: Path | None) -> list[tuple[str, str]]:
    """What the doctor finds of it: level and message."""
    given = {} if directory is None else {"LANDFALL_SPOOL_DIR": str(directory)}
    _, said = await command(database, "doctor", "--json", **given)
    return [(one["level"], one["message"]) for one in json.loads(said) if one["about"] == "spool"]


async def test_spool_that_nobody_has_is_a_fault_until_it_is_drained(
    database: str, connection: asyncpg.Connection, left_behind: Path
) -> None:
    given = {"LANDFALL_SPOOL_DIR": str(left_behind)}
    [(level, message)] = await finding(database, left_behind)
    assert level == "fault"
    assert message.startswith("3 deliveries wait, the oldest for ")
    assert message.endswith("and no process has it")
    code, said = await command(database, "spool", "status", **given)
    assert (code, said.startswith("3 deliveries wait, the oldest for ")) == (0, True)
    assert said.endswith("no process has it\n")
    assert await command(database, "spool", "drain", **given) == (0, "3 deliveries are stored\n")
    assert await connection.fetchval("SELECT count(*) FROM webhook_delivery_queue") == 3
    assert await command(database, "spool", "drain", **given) == (0, "0 deliveries are stored\n")
    assert await finding(database, left_behind) == [("ok", "0 deliveries wait")]


async def test_spool_that_a_process_has_is_left_to_it(database: str, left_behind: Path) -> None:
    spool = await Spool.open(left_behind, LIMIT)
    given = {"LANDFALL_SPOOL_DIR": str(left_behind)}
    code, said = await command(database, "spool", "status", "--json", **given)
    assert (code, json.loads(said)["process"]) == (0, f"{os.getpid()}")
    code, said = await command(database, "spool", "drain", **given)
    assert (code, "of its own" in said) == (1, True)
    [(level, message)] = await finding(database, left_behind)
    assert (level, "no process" in message) == ("fault", False), "waiting for more than a minute is one"
    await spool.close()


async def test_drain_without_postgresql_loses_nothing(left_behind: Path) -> None:
    given = {"LANDFALL_SPOOL_DIR": str(left_behind)}
    code, said = await command("postgresql://x:x@127.0.0.1:1/x", "spool", "drain", **given)
    assert (code, "PostgreSQL cannot be reached" in said) == (1, True)
    _, said = await command("postgresql://x:x@127.0.0.1:1/x", "spool", "status", "--json", **given)
    assert json.loads(said)["deliveries"] == 3


async def test_files_that_were_set_aside_are_told(
    database: str, connection: asyncpg.Connection, left_behind: Path
) -> None:
    spool = await Spool.open(left_behind, LIMIT)
    await spool.append([received("instagram", b"4")._replace(verdict="odd")])
    await spool.close()
    code, said = await command(database, "spool", "drain", LANDFALL_SPOOL_DIR=str(left_behind))
    assert code == 0
    assert said.endswith("3 deliveries are stored\nfiles were set aside: see `landfall spool status`\n")
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 3
    _, said = await command(database, "spool", "status", LANDFALL_SPOOL_DIR=str(left_behind))
    assert '1 files were set aside: refused (ops/RUNBOOK.md, "LandfallSpoolFilesAside")' in said
    assert ("warning", "1 files were set aside: refused") in await finding(database, left_behind)


async def test_no_spool_is_said(database: str) -> None:
    assert await finding(database, None) == [
        ("ok", "none: while PostgreSQL is away, webhooks are answered 503 (LANDFALL_SPOOL_DIR)")
    ]
    code, said = await command(database, "spool", "status")
    assert (code, "LANDFALL_SPOOL_DIR is not set" in said) == (1, True)
