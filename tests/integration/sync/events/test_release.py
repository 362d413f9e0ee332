"""Looking at events and releasing them, as a page calls it: without the command line, in the role of commands."""

from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import asyncpg
import pytest

from ops.cli import wiring
from ops.runtime.db import Pool, open_pool
from schema.rights import APP_ROLE
from sync.events import release, store
from sync.events.release import ChoiceError
from sync.events.store import Filter
from sync.projection.worker import Projector
from tests.support import append_event

VALUE = {"id": "c1", "media": {"id": "m1"}, "from": {"id": "1", "username": "u"}, "text": "t"}


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 2, role=APP_ROLE) as found:
        yield found


@pytest.fixture
async def ids(connection: asyncpg.Connection, pool: Pool) -> list[int]:
    """One done, two parked, one of a type that nothing reads."""
    found = [
        await append_event(connection, "a", "e1", payload=VALUE),
        await append_event(connection, "a", "e2", payload={"text": "no id"}),
        await append_event(connection, "b", "e3", payload={"text": "no id"}),
        await append_event(connection, "b", "e4", type="story_mentions"),
    ]
    await Projector(pool, wiring.projections(), tries=1).drain()
    return found


async def test_every_filter_is_one_condition_and_together_they_narrow(pool: Pool, ids: list[int]) -> None:
    async with pool.acquire() as connection:
        for chosen, wanted in (
            (Filter(), ids),
            (Filter(state="parked"), ids[1:3]),
            (Filter(state="parked", account="b"), ids[2:3]),
            (Filter(event_type="story_mentions"), ids[3:]),
            (Filter(platform="tiktok"), []),
            (Filter(ids[:2]), ids[:2]),
            (Filter(ids[:2], state="done"), ids[:1]),
            (Filter(account="x' OR true --"), []),
        ):
            found = await store.listed(connection, chosen, 10)
            assert [event.id for event in found] == sorted(wanted, reverse=True), chosen
            assert await store.count(connection, chosen) == len(wanted), chosen
        assert [event.id for event in await store.listed(connection, Filter(), 1)] == ids[3:], "the newest"


async def test_event_is_shown_with_every_column_of_the_view_but_the_bucket(
    pool: Pool, ids: list[int], connection: asyncpg.Connection
) -> None:
    async with pool.acquire() as reading:
        event = await store.shown(reading, ids[1])
        assert event is not None
        assert (event.payload_json, event.state, event.delivery) == ({"text": "no id"}, "parked", None)
        assert await store.shown(reading, 10**9) is None
    columns = await connection.fetch(
        "SELECT attname FROM pg_attribute WHERE attrelid = 'webhook_events'::regclass AND attnum > 0"
    )
    assert {row[0] for row in columns} - {"bucket"} == set(asdict(event)) - {"delivery"}


async def test_released_event_that_is_being_worked_on_is_not_at_its_end(
    pool: Pool, ids: list[int], connection: asyncpg.Connection
) -> None:
    async with pool.acquire() as releasing:
        released = await release.retry(releasing, Filter([ids[1]]))
        await connection.execute("UPDATE webhook_buckets SET holder = 'w', leased_until = now() + interval '1 minute'")
        [outcome] = await store.outcomes(releasing, [ids[1]])
        assert outcome.state == "leased"
        followed = await release.follow(releasing, released, 0)
    assert [followed.result(found) for found in followed.outcomes] == ["waiting"]
    assert (followed.waiting, followed.troubled) == ([outcome], [])


async def test_released_event_is_followed_to_its_end(pool: Pool, ids: list[int]) -> None:
    async with pool.acquire() as connection:
        released = await release.retry(connection, Filter(account="b", state="parked"))
        assert released == {ids[2]: 1}
        assert await release.retry(connection, Filter(ids[2:3])) == {}, "what waits already is left"
        followed = await release.follow(connection, released, 0.0)
        assert [followed.result(outcome) for outcome in followed.outcomes] == ["waiting"]
        assert followed.worker_connected is False
    await Projector(pool, wiring.projections(), tries=1).drain()
    async with pool.acquire() as connection:
        followed = await release.follow(connection, released, 0.0)
    assert [followed.result(outcome) for outcome in followed.troubled] == ["parked"]
    assert followed.waiting == []


async def test_only_parked_and_dead_events_are_ignored_and_never_without_a_reason(pool: Pool, ids: list[int]) -> None:
    async with pool.acquire() as connection:
        for reason in ("", " \n"):
            with pytest.raises(ChoiceError, match="empty"):
                await release.ignore(connection, Filter(ids), reason)
        assert await release.ignore(connection, Filter(ids), "of a test") == 2
        states = {event.id: (event.state, event.error_message) for event in await store.listed(connection, Filter(), 9)}
    assert [states[id_][0] for id_ in ids] == ["done", "ignored", "ignored", "ignored"]
    assert states[ids[1]] == ("ignored", "of a test")
    assert states[ids[3]][1] is None, "ignored before, for another reason"


@pytest.mark.parametrize("chosen", [Filter(), Filter([1], state="parked")])
async def test_nobody_changes_every_event_by_mistake(pool: Pool, ids: list[int], chosen: Filter) -> None:
    async with pool.acquire() as connection:
        with pytest.raises(ChoiceError, match="give event ids"):
            await release.retry(connection, chosen)
        with pytest.raises(ChoiceError, match="give event ids"):
            await release.ignore(connection, chosen, "of a test")
        assert [event.state for event in await store.listed(connection, Filter(state="parked"), 9)] == ["parked"] * 2


def test_functions_on_events_know_no_command_line() -> None:
    for path in Path("sync/events").glob("*.py"):
        assert "click" not in path.read_text(), path
