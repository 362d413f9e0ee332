"""A person, or an account, is erased whole although retention dropped the events behind their rows."""

from datetime import timedelta

import asyncpg
import pytest

from ops.retention import procedure
from ops.retention.store import Policy
from tests.integration.ops.erasure.test_erasure import everywhere
from tests.integration.ops.retention.test_retention import NOW, Appending, append, names, operator
from tests.support import command

__all__ = ["append", "operator"]


@pytest.fixture
async def dropped(
    connection: asyncpg.Connection, operator: asyncpg.Connection, append: Appending
) -> asyncpg.Connection:
    """Comments of two persons on media of an account, all events dropped but one."""
    for number, person in ((1, "5200000007"), (2, "5200000008"), (3, "5200000007")):
        await append(NOW - timedelta(days=0 if number == 3 else 90), number, person=person, account="17841400000000001")
    await procedure.put(operator, Policy("instagram", "events", 30))
    await procedure.put(operator, Policy("instagram", "deliveries", 30))
    await procedure.run(operator)
    assert len(await names(connection)) == 1
    return connection


async def test_person_is_erased_from_rows_whose_events_were_dropped(database: str, dropped: asyncpg.Connection) -> None:
    assert (await everywhere(dropped, "5200000007"))["ig_comments"] == 2
    code, said = await command(database, "erase", "instagram", "--person", "5200000007", "--yes")
    assert code == 0, said
    assert await everywhere(dropped, "5200000007") == {"deletion_requests": 1}
    rows = await dropped.fetch("SELECT from_id FROM ig_comments")
    assert [row["from_id"] for row in rows] == ["5200000008"], "what is somebody else's stays"
    assert (await command(database, "verify"))[0] == 0


async def test_account_is_erased_with_the_names_of_events_that_were_dropped(
    database: str, dropped: asyncpg.Connection
) -> None:
    assert await dropped.fetchval("SELECT count(*) FROM webhook_event_identities") == 3
    code, said = await command(database, "erase", "instagram", "--account", "17841400000000001", "--yes")
    assert code == 0, said
    assert await everywhere(dropped, "17841400000000001") == {"deletion_requests": 1}
    for table in ("webhook_event_identities", "webhook_dropped_events", "ig_comments", "ig_media", "pull_tasks"):
        assert await dropped.fetchval(f"SELECT count(*) FROM {table}") == 0, table
