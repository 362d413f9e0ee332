"""Every two events about one object in both orders, and many in any order, in the tables themselves."""

import json
import random
from collections.abc import Sequence
from datetime import timedelta
from itertools import combinations
from typing import Any

import asyncpg
import pytest

from ops.cli import wiring
from schema.crm.instagram import ig_account_metrics, ig_comments, ig_media, ig_media_metrics, instagram_accounts
from schema.events import Event
from sync.projection import store
from tests.instagram_events import ABOUT_ONE_COMMENT, ABOUT_ONE_MEDIA, NOON, SHOP, comment, own
from tests.recordings import facts, fold

TABLES = (instagram_accounts, ig_media, ig_comments, ig_media_metrics, ig_account_metrics)
BOTH = pytest.mark.parametrize("events", [ABOUT_ONE_COMMENT, ABOUT_ONE_MEDIA], ids=["a comment", "a media"])


def offered(event: Event, number: int) -> list[store.Fact]:
    """What a worker writes of an event that the log received as the so-many-th."""
    version = wiring.projections()["instagram"].version
    return [store.Fact(event.account_id, version, fact, NOON + timedelta(seconds=number)) for fact in facts(event)]


async def written(connection: asyncpg.Connection, batches: Sequence[Sequence[tuple[int, Event]]]) -> dict[str, Any]:
    """The rows that these batches make one after the other, in empty tables that are left as they were."""
    transaction = connection.transaction()
    await transaction.start()
    for batch in batches:
        await store.apply(connection, [fact for number, event in batch for fact in offered(event, number)])
    found = {table.name: [dict(row) for row in await rows(connection, table.name)] for table in TABLES}
    await transaction.rollback()
    return found


async def rows(connection: asyncpg.Connection, table: str) -> list[asyncpg.Record]:
    return await connection.fetch(f'SELECT * FROM {table} ORDER BY {table}::text COLLATE "C"')


def plain(value: Any) -> Any:
    """A column's value, JSON as what it says."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        return json.loads(value)
    return value


def assert_folded(found: dict[str, Any], events: Sequence[Event]) -> None:
    """The rows are those of the fold of the tests, which shares no code with that of the program."""
    expected = fold(events)
    for table in TABLES:
        by_key = {tuple(row[name] for name in _key(table)): row for row in found[table.name]}
        assert by_key.keys() == expected.get(table.name, {}).keys()
        for key, row in expected.get(table.name, {}).items():
            assert {name: plain(by_key[key][name]) for name in row} == {name: plain(row[name]) for name in row}


def _key(table: Any) -> list[str]:
    return [column.name for column in table.primary_key.columns if column.name != "bucket"]


@BOTH
async def test_every_two_events_about_one_object_make_the_same_rows_in_both_orders(
    connection: asyncpg.Connection, events: list[Event]
) -> None:
    """A webhook that is late after a reading, and every other race (``meta.md`` 10.10)."""
    for one, other in combinations(enumerate(events), 2):
        there = await written(connection, [[one], [other]])
        assert there == await written(connection, [[other], [one]]), (one, other)
        assert there == await written(connection, [[other, one]]), (one, other)
        assert_folded(there, [one[1], other[1]])


@BOTH
async def test_all_events_about_one_object_make_the_same_rows_in_any_order_and_any_batches(
    connection: asyncpg.Connection, events: list[Event]
) -> None:
    chance, numbered = random.Random(7), list(enumerate(events))
    first = await written(connection, [numbered])
    assert_folded(first, events)
    for _ in range(40):
        order = chance.sample(numbered, len(numbered)) + chance.choices(numbered, k=4)
        size = chance.choice((1, 2, 5))
        assert await written(connection, [order[at : at + size] for at in range(0, len(order), size)]) == first


async def test_views_leave_out_what_is_gone_and_what_hangs_on_it_until_it_is_read_again(
    connection: asyncpg.Connection,
) -> None:
    async def shown(*events: Event) -> tuple[set[str], set[str]]:
        """Ids of media and comments of the views."""
        transaction = connection.transaction()
        await transaction.start()
        for number, event in enumerate(events):
            await store.apply(connection, offered(event, number))
        found = [
            {row["ig_id"] for row in await connection.fetch(f"SELECT ig_id FROM reporting.{view}")}
            for view in ("ig_media", "ig_comments")
        ]
        await transaction.rollback()
        return found[0], found[1]

    reply = own("comment.read", NOON, id="r1", text="reply", parent_id="c1")
    there = [own("media.read", NOON, id="m1"), own("media.read", NOON, id="m2"), comment(), reply, comment("c2", "m2")]
    assert await shown(*there) == ({"m1", "m2"}, {"c1", "r1", "c2"})
    gone = own("media.gone", NOON + timedelta(hours=1), id="m1")
    assert await shown(gone, *there) == ({"m2"}, {"c2"}), "comments of media that are gone are out of reach"
    again = own("media.read", NOON + timedelta(hours=2), id="m1")
    assert await shown(again, gone, *there) == ({"m1", "m2"}, {"c1", "r1", "c2"}), "and none of them was deleted"
    without = own("comment.gone", NOON + timedelta(hours=1), id="c1")
    assert await shown(without, *there) == ({"m1", "m2"}, {"c2"}), "with a comment go its replies"


async def test_reply_whose_media_nobody_named_joins_that_of_its_comment(connection: asyncpg.Connection) -> None:
    for number, event in enumerate([comment(), own("comment.read", NOON, id="r1", listed_parent_id="c1")]):
        await store.apply(connection, offered(event, number))
    query = "SELECT c.ig_id, m.ig_id FROM reporting.ig_comments c JOIN reporting.ig_media m ON m.id = c.ig_media_id"
    assert {tuple(row) for row in await connection.fetch(query)} == {("c1", "m1"), ("r1", "m1")}
    assert await connection.fetchval("SELECT account_id FROM ig_comments WHERE ig_id = 'r1'") == SHOP
