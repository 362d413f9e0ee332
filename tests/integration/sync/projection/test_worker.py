"""The log becomes rows once, whatever the order, whoever fails, and whoever else is at work."""

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY

from ops.cli import wiring
from ops.runtime.db import Pool, open_pool, transaction
from ops.sandbox.clock import Clock
from ops.sandbox.dispatcher import DeliveryPolicy
from ops.sandbox.simulation import Simulation
from schema.crm import crm_tables
from schema.crm.instagram import ig_comments, ig_media
from schema.event_states import State
from schema.events import Event, bucket_of
from schema.metadata import APP_ROLE
from sync.projection import store
from sync.projection.contract import Projection, Unprojectable, Upsert, version
from sync.projection.store import Cursor, LeaseLostError, Settled
from sync.projection.worker import DEAD_AFTER_PARKED, RETRIES, Projector
from tests.support import append_event, crm, crm_of_any_log

TRIES = 3
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 12, role=APP_ROLE, settings=store.PLANNER) as opened:
        yield opened


def projector(pool: Pool, projections: Any = None) -> Projector:
    return Projector(pool, wiring.projections() if projections is None else projections, tries=TRIES)


def handled(handler: Any, provider: str = "instagram") -> Any:
    """A platform with one event type, and this to say about it."""
    return MappingProxyType({provider: Projection({"comments": handler}, 1)})


async def states(connection: asyncpg.Connection) -> dict[str, str]:
    return {row[0]: row[1] for row in await connection.fetch("SELECT external_id, state FROM webhook_events")}


async def make_due(connection: asyncpg.Connection) -> None:
    await connection.execute("UPDATE webhook_event_queue SET due_at = now()")


def story(seed: int, steps: int = 250) -> list[tuple[str, dict[str, Any]]]:
    """Events as the platforms would cut them, in the order of their happening."""
    clock = Clock()
    clock.set_speed(0)
    simulation = Simulation(seed, clock)
    simulation.active = ["instagram", "tiktok"]
    simulation.dispatcher.delivery_policy = DeliveryPolicy(duplicated=0.1, delayed=0.2)
    webhooks = wiring.webhooks()
    return [
        (change.account_id, {"provider": delivery.platform, "type": change.type, "payload": change.value} | {
            "external_id": webhooks[delivery.platform].identify(change).external_id,
            "occurred_at": webhooks[delivery.platform].identify(change).occurred_at,
        })
        for delivery in simulation.deliveries(steps)
        for change in webhooks[delivery.platform].changes(json.loads(delivery.body))
    ]  # fmt: skip


LOG = "webhook_event_identities, webhook_event_log, webhook_event_queue, webhook_event_outcomes"


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_any_order_any_cut_any_number_of_workers_give_the_same_tables(
    connection: asyncpg.Connection, pool: Pool, seed: int
) -> None:
    chance = random.Random(seed)
    events = list({event["external_id"]: (account, event) for account, event in story(seed)}.values())
    assert len(events) > 150
    tables = ", ".join(table.name for table in crm_tables())
    results = []
    for workers in (1, 4, 1):
        await connection.execute(f"TRUNCATE {LOG}, {tables}")
        chance.shuffle(events)
        remaining = list(events)
        while remaining:  # cut into pieces, each projected before the next one comes
            size = chance.choice((1, 3, 20, 90))
            for account, event in remaining[:size]:
                await append_event(connection, account, **event)
            del remaining[:size]
            await asyncio.gather(*(projector(pool).drain() for _ in range(workers)))
        assert set((await states(connection)).values()) <= {"done", "ignored"}
        results.append(await crm_of_any_log(connection))
    assert results[0] == results[1] == results[2]
    assert len(results[0]["ig_comments"]) > 40
    assert len(results[0]["tiktok_posts"]) > 10


async def test_projection_waits_for_no_flush_and_whatever_follows_does(
    connection: asyncpg.Connection, pool: Pool
) -> None:
    await append_event(connection, "a", "one", payload={"id": "1"})
    async with pool.acquire() as worker:
        held = await store.lease(worker, "test")
        assert held is not None
        assert await worker.fetchval("SHOW synchronous_commit") == "on"
        async with transaction(worker):
            assert (await store.claim(worker, held, store.Cursor())).claimed
            assert await worker.fetchval("SHOW synchronous_commit") == "off"
        await store.release(worker, held)
        assert await worker.fetchval("SHOW synchronous_commit") == "on"


async def test_time_to_the_rows_is_observed_once_for_each_commit_and_platform(
    connection: asyncpg.Connection, pool: Pool
) -> None:
    def observed(name: str, platform: str) -> float:
        return REGISTRY.get_sample_value(f"landfall_{name}_count", {"platform": platform}) or 0

    names = ("sync_wait_seconds", "webhook_processing_seconds")
    before = {(name, platform): observed(name, platform) for name in names for platform in ("instagram", "tiktok")}
    for commit in range(2):
        async with transaction(connection):
            for number in range(5):
                await append_event(connection, "a", f"{commit} {number}", payload={"id": f"{commit}{number}"})
            await append_event(connection, "a", f"tiktok {commit}", provider="tiktok", type="unknown")
    assert await projector(pool).drain() == 12
    assert {key: observed(*key) - count for key, count in before.items()} == dict.fromkeys(before, 2)


async def test_projecting_again_changes_nothing(connection: asyncpg.Connection, pool: Pool) -> None:
    for account, event in {event["external_id"]: (account, event) for account, event in story(9)}.values():
        await append_event(connection, account, **event)
    await projector(pool).drain()
    before = await crm(connection)
    physical = await connection.fetch("SELECT ctid, xmin, ig_id FROM ig_comments ORDER BY ig_id")
    await connection.execute(
        "WITH o AS (DELETE FROM webhook_event_outcomes RETURNING *) INSERT INTO webhook_event_queue "
        "(bucket, account_id, event_id) SELECT bucket, account_id, event_id FROM o"
    )
    await projector(pool).drain()
    assert await crm(connection) == before
    again = await connection.fetch("SELECT ctid, xmin, ig_id FROM ig_comments ORDER BY ig_id")
    assert again == physical, "old news does not even touch a row"


def comment_fact(event: Event, facet: str = "author", **values: Any) -> list[Upsert]:
    key = {"ig_id": event.payload["id"]}
    return [Upsert(ig_comments, key, facet, version(event, None), values)]


async def test_poison_event_is_parked_after_its_budget_and_the_rest_flow(
    connection: asyncpg.Connection, pool: Pool
) -> None:
    """faults.md E11"""
    for number in range(10):
        await append_event(connection, "a", f"e{number}", payload={"id": f"c{number}"})
    broken = True

    def on_comment(event: Event) -> list[Upsert]:
        if broken and event.external_id == "e3":
            raise RuntimeError("a bug, with a secret in its message")
        return comment_fact(event, from_user="t")

    worker = projector(pool, handled(on_comment))
    for tried in range(1, TRIES + 1):
        await make_due(connection)
        await worker.drain()
        found = await states(connection)
        assert [name for name, state in found.items() if state != "done"] == ["e3"]
        assert found["e3"] == ("parked" if tried == TRIES else "pending")
    row = await connection.fetchrow("SELECT * FROM webhook_events WHERE external_id = 'e3'")
    assert (row["retry_count"], row["error_message"], row["processed_at"]) == (TRIES, "RuntimeError", None)
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 9

    for _ in range(DEAD_AFTER_PARKED - 1):
        assert (await states(connection))["e3"] == "parked"
        await release(connection)
        for _ in range(TRIES):
            await make_due(connection)
            await worker.drain()
    assert (await states(connection))["e3"] == "dead"

    broken = False
    await release(connection)
    await worker.drain()
    assert (await states(connection))["e3"] == "done", "replay after a fix clears it"


async def release(connection: asyncpg.Connection) -> None:
    await connection.execute(
        "WITH o AS (DELETE FROM webhook_event_outcomes WHERE state IN ('parked', 'dead') RETURNING *) "
        "INSERT INTO webhook_event_queue (bucket, account_id, event_id, retry_count) "
        "SELECT bucket, account_id, event_id, retry_count FROM o"
    )


async def test_what_an_event_says_impossibly_is_parked_at_once(connection: asyncpg.Connection, pool: Pool) -> None:
    def on_comment(_: Event) -> list[Upsert]:
        raise Unprojectable("no comment id")

    await append_event(connection, "a", "e1")
    await projector(pool, handled(on_comment)).drain()
    row = await connection.fetchrow("SELECT state, error_message, retry_count FROM webhook_events")
    assert tuple(row) == ("parked", "Unprojectable: no comment id", 1)


async def test_row_that_postgresql_refuses_costs_its_own_event_only(connection: asyncpg.Connection, pool: Pool) -> None:
    for number in range(20):
        await append_event(connection, "a", f"e{number}", payload={"id": f"c{number}"})

    def on_comment(event: Event) -> list[Upsert]:
        # The foreign key refuses e7: its media does not exist.
        return comment_fact(event, "place", media_ig_id="nowhere" if event.external_id == "e7" else None)

    await projector(pool, handled(on_comment)).drain()
    found = await states(connection)
    assert found.pop("e7") == "pending"
    assert set(found.values()) == {"done"}
    assert await connection.fetchval("SELECT error_message FROM webhook_events WHERE external_id = 'e7'") == (
        "ForeignKeyViolationError 23503"
    )


async def test_refusal_that_is_about_no_event_is_raised_as_it_is_and_costs_none_a_try(
    connection: asyncpg.Connection, pool: Pool
) -> None:
    await append_event(connection, "a", "e1", payload={"id": "c1"})
    await connection.execute(
        """
        CREATE FUNCTION refuse_renewal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.fence = OLD.fence AND NEW.holder IS NOT NULL THEN
                RAISE EXCEPTION 'no lease is renewed' USING ERRCODE = 'check_violation';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse_renewal BEFORE UPDATE ON webhook_buckets FOR EACH ROW EXECUTE FUNCTION refuse_renewal()
        """
    )
    with pytest.raises(asyncpg.CheckViolationError, match="no lease is renewed"):
        await projector(pool).drain()
    [row] = await connection.fetch("SELECT retry_count, error_message FROM webhook_event_queue")
    assert tuple(row) == (0, None)
    await connection.execute("DROP TRIGGER refuse_renewal ON webhook_buckets")
    await connection.execute("UPDATE webhook_buckets SET leased_until = now() WHERE holder IS NOT NULL")
    await projector(pool).drain()
    assert await states(connection) == {"e1": "done"}


@pytest.mark.parametrize("stolen", [2, 3], ids=["before the event is tried alone", "before its failure is counted"])
async def test_holder_that_lost_its_lease_counts_no_failure(
    connection: asyncpg.Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch, stolen: int
) -> None:
    """Between the transactions of a refused batch somebody else may take the bucket, and the event with it."""
    await append_event(connection, "a", "e1", payload={"id": "c1"})
    begun = 0

    @asynccontextmanager
    async def stealing(on: asyncpg.Connection) -> AsyncIterator[None]:
        nonlocal begun
        begun += 1
        if begun == stolen:
            await connection.execute("UPDATE webhook_buckets SET leased_until = now() WHERE holder IS NOT NULL")
            assert await store.lease(connection, "another") is not None
        async with transaction(on):
            yield

    monkeypatch.setattr("sync.projection.worker.transaction", stealing)
    await projector(pool, handled(lambda event: comment_fact(event, "place", media_ig_id="nowhere"))).drain()
    assert begun == stolen
    [row] = await connection.fetch("SELECT retry_count, error_message FROM webhook_event_queue")
    assert tuple(row) == (0, None)


@pytest.mark.parametrize("step", ["apply", "settle"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_effects_and_progress_commit_together_or_not_at_all(
    connection: asyncpg.Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch, step: str, when: str
) -> None:
    """faults.md A4: the connection is lost on either side of either half."""
    await append_event(connection, "a", "e1", payload={"id": "c1"})
    worker = projector(pool, handled(lambda event: comment_fact(event, from_user="t")))
    real = getattr(store, step)

    async def crash(*arguments: Any) -> None:
        if when == "after":
            await real(*arguments)
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(store, step, crash)
        with pytest.raises(ConnectionResetError):
            await worker.drain()
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 0
    assert await states(connection) == {"e1": "leased"}, "its holder is gone, but not for long enough to be sure"
    await connection.execute("UPDATE webhook_buckets SET leased_until = now() WHERE holder IS NOT NULL")
    await worker.drain()
    assert await connection.fetchval("SELECT count(*) FROM ig_comments") == 1
    assert await states(connection) == {"e1": "done"}


async def test_holder_that_woke_up_late_cannot_write(connection: asyncpg.Connection, database: str) -> None:
    """faults.md A5"""
    await append_event(connection, "a", "e1", payload={"id": "c1"})
    early, late = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        held = await store.lease(early, "early")
        assert held is not None
        assert await store.lease(late, "late") is None, "one holder at a time"
        await connection.execute(
            "UPDATE webhook_buckets SET leased_until = now() - interval '1 s' WHERE holder = 'early'"
        )
        taken = await store.lease(late, "late")
        assert taken is not None
        assert taken.buckets == held.buckets
        assert taken.fences > held.fences
        with pytest.raises(LeaseLostError):
            await store.claim(early, held, Cursor())
        await store.release(early, held)
        assert (
            await connection.fetchval("SELECT holder FROM webhook_buckets WHERE bucket = $1", held.buckets[0]) == "late"
        )
    finally:
        await early.close()
        await late.close()


async def test_lease_outlives_its_time_while_a_batch_is_being_written(
    connection: asyncpg.Connection, database: str
) -> None:
    await append_event(connection, "a", "e1")
    early, late = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        held = await store.lease(early, "early")
        assert held is not None
        async with early.transaction():
            await store.claim(early, held, Cursor())
            await asyncio.sleep(store.LEASE_SECONDS + 0.2)
            assert await store.lease(late, "late") is None
    finally:
        await early.close()
        await late.close()


async def test_drained_bucket_is_anybodys_at_once(connection: asyncpg.Connection, pool: Pool) -> None:
    """Not only when the lease is over: what comes next would wait that long for each worker but the last one."""
    first, second = (Projector(pool, wiring.projections(), tries=TRIES, holder=name) for name in ("first", "second"))
    for number, worker in enumerate((first, second, first, second)):
        await append_event(connection, "a", f"e{number}", payload={"id": f"c{number}"})
        assert await worker.drain() == 1
        held = await connection.fetch(
            "SELECT holder FROM webhook_buckets WHERE holder IS NOT NULL OR leased_until > now()"
        )
        assert held == []


async def test_buckets_with_work_take_turns(connection: asyncpg.Connection) -> None:
    accounts = {bucket_of("instagram", name): name for name in map(str, range(100))}
    for number, name in enumerate(list(accounts.values())[:3]):
        await append_event(connection, name, f"e{number}")
    # Who was served longest ago is written last, so that no order of the rows on disk looks like turns.
    first = [bucket_of("instagram", name) for name in list(accounts.values())[:3]]
    for bucket, hours in zip(first, (1, 2, 3), strict=True):
        query = "UPDATE webhook_buckets SET served_at = now() - make_interval(hours => $2) WHERE bucket = $1"
        await connection.execute(query, bucket, hours)
    turns = []
    for _ in range(9):  # whoever has a bucket gives it back with work left in it
        held = await store.lease(connection, "test", 1)
        assert held is not None
        turns += held.buckets
        await store.release(connection, held)
    assert turns == first[::-1] * 3
    held = await store.lease(connection, "test", 2)
    assert held is not None
    assert sorted(held.buckets) == held.buckets == sorted(first[1:]), "the two that were served longest ago"
    other = await store.lease(connection, "other")
    assert other is not None
    assert other.buckets == first[:1], "what is left"
    assert await store.lease(connection, "third") is None


def of_bucket(bucket: int, count: int) -> list[str]:
    """Accounts of that bucket, in the order in which PostgreSQL sorts them."""
    return sorted([name for name in map(str, range(250_000)) if bucket_of("instagram", name) == bucket][:count])


async def append_many(connection: asyncpg.Connection, account: str, count: int) -> None:
    await connection.execute(
        """
        WITH added AS (
            INSERT INTO webhook_event_log (id, bucket, account_id, provider, event_type, external_id, rule_version,
                sanitized, payload_json)
            SELECT next_event_id(now()), $2, $1, 'instagram', 'comments', n::text, 1, false,
                jsonb_build_object('id', n::text)
            FROM generate_series(1, $3::int) n RETURNING id
        )
        INSERT INTO webhook_event_queue (bucket, account_id, event_id) SELECT $2, $1, id FROM added
        """,
        account,
        bucket_of("instagram", account),
        count,
    )


async def claimed_in_turn(connection: asyncpg.Connection, batches: int) -> list[dict[str, int]]:
    """How many events of each account so many batches of one lease take."""
    held, cursor, found = await store.lease(connection, "test"), Cursor(), []
    assert held is not None
    for _ in range(batches):
        async with connection.transaction():
            batch = await store.claim(connection, held, cursor)
            await store.settle(connection, [Settled(claimed, State.DONE, 1) for claimed in batch.claimed])
        found.append(dict(Counter(claimed.event.account_id for claimed in batch.claimed)))
    await store.release(connection, held)
    return found


async def test_where_tables_are_distributed_the_same_events_are_found_in_the_same_turns(
    connection: asyncpg.Connection,
) -> None:
    names = [*of_bucket(7, 2), *of_bucket(9, 2), *of_bucket(11, 1)]
    for name, count in zip(names, (3, 5, 4, 1, 2), strict=True):
        await append_many(connection, name, count)
    later = "UPDATE webhook_event_queue SET due_at = now() + interval '1 hour' WHERE bucket = 11"
    await connection.execute(later)
    found: list[list[tuple[list[int], bool]]] = []
    for distributed in (False, True):
        batches = []
        held = await store.lease(connection, "test", distributed=distributed)
        assert held is not None
        assert held.buckets == [7, 9]
        cursor = Cursor()
        for size in (4, 6, 20):
            async with connection.transaction():
                batch = await store.claim(connection, held, cursor, size, distributed=distributed)
            batches.append(([claimed.id for claimed in batch.claimed], batch.more))
        found.append(batches)
        await store.release(connection, held)
        await connection.execute("UPDATE webhook_buckets SET served_at = '-infinity'")
    assert found[0] == found[1]
    assert [(len(ids), more) for ids, more in found[1]] == [(4, True), (6, True), (13, False)]


async def test_busy_account_does_not_starve_a_quiet_one_of_its_bucket(
    connection: asyncpg.Connection, pool: Pool
) -> None:
    before, hot, after = of_bucket(7, 3)
    await append_many(connection, hot, 5000)
    for quiet in (before, after):
        await append_event(connection, quiet, "quiet", payload={"id": quiet})
    first, second, third = await claimed_in_turn(connection, 3)
    assert first == {before: 1, hot: store.BATCH_EVENTS - 1}
    assert second == {after: 1, hot: store.BATCH_EVENTS - 1}, "it goes on after the account that filled the batch"
    assert third == {hot: store.BATCH_EVENTS}
    assert await projector(pool).drain(30) == 5002 - 3 * store.BATCH_EVENTS


async def test_next_lease_goes_on_where_the_last_one_stopped(
    connection: asyncpg.Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else accounts that come late in the order would wait until all before them are done."""
    monkeypatch.setattr("sync.projection.worker.LEASE_BATCHES", 1)
    names = of_bucket(7, 3)
    for name in names:
        await append_many(connection, name, 30)
    one = Projector(pool, wiring.projections(), tries=TRIES, batch_events=10)
    left = "SELECT count(*) FROM webhook_event_queue WHERE account_id = $1"
    async with pool.acquire() as working:
        for number in range(6):
            held = await store.lease(working, one.holder)
            assert held is not None
            await one._drain_buckets(working, held, time.monotonic() + 30)
            await store.release(working, held)
            turns = [(number - at) // 3 + 1 for at in range(3)]
            assert [await connection.fetchval(left, name) for name in names] == [30 - 10 * turn for turn in turns]


async def test_batch_is_full_although_one_of_many_buckets_has_the_work(connection: asyncpg.Connection) -> None:
    busy, *others = {bucket_of("instagram", name): name for name in map(str, range(200))}.values()
    await append_many(connection, busy, 5000)
    for quiet in others[: store.LEASE_BUCKETS - 1]:
        await append_event(connection, quiet, "quiet", payload={"id": quiet})
    first, second = await claimed_in_turn(connection, 2)
    assert sum(first.values()) == sum(second.values()) == store.BATCH_EVENTS
    assert {**first, **second}.keys() == {busy, *others[: store.LEASE_BUCKETS - 1]}, "nobody waits for a second batch"
    assert await connection.fetchval("SELECT count(DISTINCT bucket) FROM webhook_event_queue") == 1


async def test_busy_buckets_take_turns_over_leases_too(
    connection: asyncpg.Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else those with a high number would wait until all before them are done."""
    monkeypatch.setattr("sync.projection.worker.LEASE_BATCHES", 1)
    names = [of_bucket(bucket, 1)[0] for bucket in (3, 7, 200)]
    for name in names:
        await append_many(connection, name, 30)
    one = Projector(pool, wiring.projections(), tries=TRIES, batch_events=10)
    left = "SELECT count(*) FROM webhook_event_queue WHERE account_id = $1"
    async with pool.acquire() as working:
        for number in range(6):
            held = await store.lease(working, one.holder)
            assert held is not None
            await one._drain_buckets(working, held, time.monotonic() + 30)
            await store.release(working, held)
            turns = [(number - at) // 3 + 1 for at in range(3)]
            assert [await connection.fetchval(left, name) for name in names] == [30 - 10 * turn for turn in turns]


async def test_lease_takes_no_more_buckets_than_the_one_before_got_to(
    connection: asyncpg.Connection, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else one worker holds most buckets of a backlog to its end, and the others have long found nothing."""
    names = [*{bucket_of("instagram", name): name for name in map(str, range(200))}.values()][:40]
    taken, lease = [], store.lease

    async def recorded(*arguments: Any, **options: Any) -> store.Lease | None:
        held = await lease(*arguments, **options)
        taken.append(0 if held is None else len(held.buckets))
        return held

    monkeypatch.setattr(store, "lease", recorded)
    worker = Projector(pool, wiring.projections(), tries=TRIES, batch_events=25)
    for name in names:
        await append_many(connection, name, 50)
    assert await worker.drain(60) == 50 * len(names)
    assert taken == [store.LEASE_BUCKETS, *[8] * 9, 0], "8 batches, each of another bucket"
    taken.clear()
    for name in names:
        await append_event(connection, name, "e", payload={"id": "c"})
    assert await worker.drain(60) == len(names)
    assert taken == [8, 16, 16, 0], "twice as many after one that got through all it had; the last took what was left"


async def test_lease_is_lost_where_one_of_its_buckets_is(connection: asyncpg.Connection) -> None:
    names = {bucket_of("instagram", name): name for name in map(str, range(20))}
    for number, name in enumerate(names.values()):
        await append_event(connection, name, f"e{number}")
    held = await store.lease(connection, "early")
    assert held is not None
    assert len(held.buckets) > 3
    await connection.execute("UPDATE webhook_buckets SET fence = fence + 1 WHERE bucket = $1", held.buckets[2])
    before = await connection.fetch("SELECT * FROM webhook_buckets ORDER BY bucket")
    with pytest.raises(LeaseLostError):
        async with connection.transaction():
            await store.claim(connection, held, Cursor())
    assert await connection.fetch("SELECT * FROM webhook_buckets ORDER BY bucket") == before
    await store.release(connection, held)
    left = await connection.fetch("SELECT bucket FROM webhook_buckets WHERE holder IS NOT NULL")
    assert [row["bucket"] for row in left] == [held.buckets[2]], "that one is somebody else's to give back"


async def test_event_about_no_account_is_served_too(connection: asyncpg.Connection, pool: Pool) -> None:
    await append_event(connection, "", "e1", type="portability.download.ready", provider="tiktok")
    assert await projector(pool).drain() == 1
    assert await states(connection) == {"e1": "ignored"}


async def test_many_accounts_are_all_served(connection: asyncpg.Connection, pool: Pool) -> None:
    """More accounts in one bucket than a batch takes events: the next batch goes on where it stopped."""
    names = of_bucket(7, 600)
    assert len(names) == 600
    for name in names:
        await append_event(connection, name, "e", payload={"id": "c"})
    held, cursor, served = await store.lease(connection, "test"), Cursor(), list[str]()
    assert held is not None
    for _ in range(3):  # also while the first of them have work left
        async with connection.transaction():
            batch = await store.claim(connection, held, cursor, 200)
        served += [claimed.event.account_id for claimed in batch.claimed]
        assert batch.more
    assert sorted(served) == names
    await store.release(connection, held)
    assert await projector(pool).drain(30) == 600
    assert await connection.fetchval("SELECT count(DISTINCT account_id) FROM ig_comments") == 600


async def test_event_that_commits_late_with_a_lower_number_is_not_missed(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    """faults.md B10"""
    other = await asyncpg.connect(database)
    transaction = other.transaction()
    await transaction.start()
    first = await append_event(other, "a", "first", payload={"id": "c1"})
    second = await append_event(connection, "a", "second", payload={"id": "c2"})
    assert first < second
    await projector(pool).drain()
    assert await states(connection) == {"second": "done"}
    await transaction.commit()
    await other.close()
    await projector(pool).drain()
    assert await states(connection) == {"first": "done", "second": "done"}


async def test_repeat_that_adds_nothing_changes_no_value_and_one_that_adds_a_detail_does(
    connection: asyncpg.Connection, pool: Pool
) -> None:
    async def project(name: str, **values: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        await append_event(connection, "a", name, payload={"id": "c"})
        await projector(pool, handled(lambda event: comment_fact(event, **values))).drain()
        row = dict(await connection.fetchrow("SELECT xmin::text, * FROM ig_comments"))
        made = await connection.fetchval("SELECT max(created_at) FROM webhook_event_log")
        assert row["updated_at"] == made, "that one more event is about it is all that old news changes"
        return {name: value for name, value in row.items() if name not in ("xmin", "updated_at")}, row

    first, row = await project("e5", from_user="t", from_id="1")
    assert row["author_carried"] is None
    assert (await project("e4", from_user="older"))[0] == first, "old news"
    assert (await project("e3"))[0] == first, "older still, and it knows nothing"
    second, row = await project("e2", is_own=True)
    assert second != first, "older, but it knows what nobody else does"
    assert (row["from_user"], row["is_own"], row["author_version"][-2:]) == ("t", True, "e5")
    assert {name: at[-2:] for name, at in json.loads(row["author_carried"]).items()} == {"is_own": "e2"}
    assert (await project("e1", is_own=False, from_user="u"))[0] == second
    _, row = await project("e6", from_user=None)
    stored = (row["from_user"], row["from_id"], row["is_own"])
    assert stored == (None, "1", True), "None is known, and absent is not"
    assert {name: at[-2:] for name, at in json.loads(row["author_carried"]).items()} == {
        "from_user": "e6", "from_id": "e5", "is_own": "e2",
    }  # fmt: skip
    _, row = await project("e7", from_user="t", from_id="1", is_own=True)
    assert row["author_carried"] is None, "all of one event again"


def test_facet_of_several_columns_says_which_event_each_is_of() -> None:
    for table in crm_tables():
        carried = {column.info["carries"] for column in table.columns if "carries" in column.info}
        several = {facet for facet, names in store.facets_of(table).items() if len(names) > 1}
        assert carried == several | {c.info["facet"] for c in table.columns if c.info.get("keys")}, table.name


async def test_facts_of_one_batch_fold_as_postgresql_would(connection: asyncpg.Connection, database: str) -> None:
    """The fold in memory and the guard in SQL are one rule: newest first or last, one batch or many."""
    facts = [
        store.Fact("a", 1, Upsert(ig_media, {"ig_id": "m"}, facet, f"{n:03d}", values), NOON + timedelta(hours=n))
        for n in range(6)
        for facet, values in (("ad", {"ad_id": str(n)}), ("product", {"media_product_type": f"p{5 - n}"}))
    ]
    facts += [fact._replace(upsert=fact.upsert._replace(facet=None)) for fact in facts[:2]]
    named = Upsert(ig_media, {"ig_id": "m"}, mention=True)
    facts += [store.Fact("a", 1, named, NOON + timedelta(days=days)) for days in (-1, 1)]
    facts += [
        store.Fact("a", 1, Upsert(ig_media, {"ig_id": "m"}, "metrics", f"{n:03d}", {f"m{n % 3}": n, "all": n}), NOON)
        for n in range(7)
    ]
    facts.append(store.Fact("a", 1, Upsert(ig_media, {"ig_id": "m"}, "metrics", "002b", {"m0": None}), NOON))
    chance, results = random.Random(4), []
    for cut in (1, 2, 5, 100):
        await connection.execute("TRUNCATE ig_media CASCADE")
        chance.shuffle(facts)
        for start in range(0, len(facts), cut):
            async with connection.transaction():
                await store.apply(connection, facts[start : start + cut])
        results.append(await crm(connection))
    assert all(result == results[0] for result in results)
    [row] = results[0]["ig_media"]
    assert (row["ad_id"], row["media_product_type"]) == ("5", "p0")
    assert json.loads(row["metrics_json"]) == {"m0": 6, "m1": 4, "m2": 5, "all": 6}
    assert json.loads(row["metrics_carried"]) == {"m1": "004", "m2": "005"}
    assert row["created_at"] == NOON - timedelta(days=1), "an event that only names it is its first"
    assert row["updated_at"] == NOON + timedelta(hours=5), "and not its last"


@pytest.mark.parametrize("cut", [1, 2])
@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
async def test_row_names_the_newest_projection_that_wrote_it(
    connection: asyncpg.Connection, order: tuple[int, int], cut: int
) -> None:
    """While two releases run, the older one must not make a row look as if it were all its own."""
    facts = [
        store.Fact("a", release, Upsert(ig_media, {"ig_id": "m"}, "ad", f"{at:03d}", {"ad_id": str(at)}), NOON)
        for at, release in enumerate(order)
    ]
    for start in range(0, len(facts), cut):
        await store.apply(connection, facts[start : start + cut])
    row = await connection.fetchrow("SELECT ad_id, projection_version FROM ig_media")
    assert tuple(row) == ("1", 2)


async def test_event_that_somebody_else_took_off_the_queue_is_not_settled_again(connection: asyncpg.Connection) -> None:
    for name in ("e1", "e2"):
        await append_event(connection, "a", name)
    held = await store.lease(connection, "test")
    assert held is not None
    async with connection.transaction():
        batch = await store.claim(connection, held, Cursor())
    settled = [store.Settled(claimed, "done", 1) for claimed in batch.claimed]
    await store.settle(connection, settled[:1])
    with pytest.raises(LeaseLostError):
        async with connection.transaction():
            await store.settle(connection, settled)
    assert await states(connection) == {"e1": "done", "e2": "leased"}, "all of the batch, or none of it"


def test_backoff_grows_and_does_not_march() -> None:
    assert [RETRIES.delay(n, chance=lambda: 0.0) for n in range(1, 7)] == [1, 4, 16, 64, 256, 900]
    assert RETRIES.delay(3, chance=lambda: 1.0) == 12
