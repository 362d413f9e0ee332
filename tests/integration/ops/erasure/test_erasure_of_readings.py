"""What is noted of reading an account goes with the account, and of a person's comments with the person."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.pulling import SHOP, Pull, pulling
from tests.support import command

FAN = "5200000077"


@pytest.fixture
async def pull(database: str, connection: asyncpg.Connection) -> AsyncIterator[Pull]:
    async with pulling(database, connection) as found:
        found.world.post("m1", ["1785000001", "1785000002"])
        found.world.comments["m1"]["1785000001"]["from"] = {"id": FAN, "username": "somebody"}
        await found.connect()
        await found.want("ig_comment", "1785000001")
        await found.drain()
        await found.project()
        yield found


async def test_account_goes_with_its_tasks_and_what_was_read_of_it(pull: Pull) -> None:
    code, said = await command(pull.dsn, "erase", "instagram", "--account", SHOP, "--yes")
    assert code == 0, said
    for table in ("pull_tasks", "pull_objects", "pull_accounts", "webhook_event_log"):
        assert await pull.raw(f"SELECT 1 FROM {table}") == [], table


async def test_person_goes_with_what_was_read_of_their_comments_and_nothing_else(pull: Pull) -> None:
    code, said = await command(pull.dsn, "erase", "instagram", "--person", FAN, "--yes")
    assert code == 0, said
    left = await pull.raw("SELECT object_id FROM pull_objects WHERE kind = 'ig_comment'")
    assert [row["object_id"] for row in left] == ["1785000002"]
    assert await pull.task("ig_comment", "1785000001") is None
    assert await pull.task("comments", "m1") is not None
    assert [row["ig_id"] for row in await pull.raw("SELECT ig_id FROM ig_comments")] == ["1785000002"]
    await pull.due("comments")
    await pull.drain()
    assert await pull.object("ig_comment", "1785000001"), "a platform that still shows it brings it back"
    assert (await command(pull.dsn, "erase", "--requested"))[0] == 0
    assert await pull.object("ig_comment", "1785000001") is None
