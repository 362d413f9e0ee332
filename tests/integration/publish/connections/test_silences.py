"""Accounts of which nothing is heard any more are noticed, by the log, and heal with the first event."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from ops.runtime import metrics
from ops.runtime.db import Pool, open_pool
from publish.connections import silence_store
from publish.connections.silence_store import Watched
from publish.connections.silences import SilenceWatch
from schema.events import bucket_of
from schema.rights import WORKER_ROLE
from tests.rig import Rig


@pytest.fixture
async def watch(rig: Rig) -> AsyncIterator[SilenceWatch]:
    pool: Pool
    async with await open_pool(rig.dsn, "publish", 4, role=WORKER_ROLE) as pool:
        yield SilenceWatch(pool, ["instagram", "tiktok"])


async def events(connection: asyncpg.Connection, account: str, ages: Iterable[float], source: str = "webhook") -> None:
    """Events of an account, received so many hours ago."""
    await connection.executemany(
        """
        INSERT INTO webhook_event_log (id, bucket, account_id, provider, event_type, external_id, rule_version,
            created_at, sanitized, source, delivery_id)
        SELECT next_event_id(at), $1, $2, 'instagram', 'comments', gen_random_uuid()::text, 1, at, false, $4,
            CASE WHEN $4 = 'webhook' THEN gen_random_uuid() END
        FROM (SELECT now() - make_interval(mins => $3) AS at) AS received""",
        [(bucket_of("instagram", account), account, round(age * 60), source) for age in ages],
    )


async def look(rig: Rig, watch: SilenceWatch, hours: float = 0.0) -> Any:
    """Look again, after so many hours: everything that is stored becomes older."""
    if hours:
        await rig.raw(
            """
            UPDATE event_silences SET heard_at = heard_at - make_interval(mins => $1),
                silent_since = silent_since - make_interval(mins => $1), rhythm_at = rhythm_at - interval '1 hour'""",
            round(hours * 60),
        )
    await rig.raw("UPDATE event_silences SET looked_at = NULL")
    await watch.round()
    [row] = await rig.raw("SELECT * FROM event_silences")
    return row


async def connected(rig: Rig) -> str:
    [id_] = await rig.connect("instagram")
    await rig.raw("UPDATE connections SET authorized_at = now() - interval '60 days'")
    account: str = (await rig.shown(id_))["account_id"]
    return account


async def open_notices(rig: Rig) -> list[tuple[str, str]]:
    rows = await rig.raw("SELECT kind, says FROM notices WHERE resolved_at IS NULL")
    return [(row["kind"], row["says"]) for row in rows]


async def test_account_that_falls_silent_is_told_once_and_is_heard_with_the_first_event(
    rig: Rig, watch: SilenceWatch
) -> None:
    account = await connected(rig)
    await events(rig.connection, account, range(30, 600, 5))
    row = await look(rig, watch)
    assert (row["usual_hours"], row["alarm_hours"]) == (5, 12)
    assert row["silent_since"] == row["heard_at"]
    assert datetime.now(UTC) - row["silent_since"] >= timedelta(hours=29)
    [(kind, says)] = await open_notices(rig)
    assert kind == "silent"
    assert "Nothing has been heard" in says
    assert metrics.accounts_heard.labels("instagram", "silent")._value.get() == 1
    await look(rig, watch)
    assert len(await rig.raw("SELECT FROM notices")) == 1
    await events(rig.connection, account, [0.01])
    row = await look(rig, watch)
    assert row["silent_since"] is None
    assert await open_notices(rig) == []
    assert metrics.accounts_heard.labels("instagram", "heard")._value.get() == 1
    assert metrics.accounts_heard.labels("instagram", "silent")._value.get() == 0


async def test_account_within_its_rhythm_or_without_a_history_raises_nothing(rig: Rig, watch: SilenceWatch) -> None:
    account = await connected(rig)
    row = await look(rig, watch)
    assert (row["heard_at"], row["alarm_hours"], row["silent_since"]) == (None, None, None)
    await events(rig.connection, account, range(11, 600, 5))
    await rig.raw("UPDATE event_silences SET rhythm_at = NULL")
    row = await look(rig, watch)
    assert (row["alarm_hours"], row["silent_since"]) == (12, None)
    row = await look(rig, watch, hours=1.1)
    assert row["silent_since"] is not None, "and an hour later it is"


async def test_few_events_never_raise_an_alarm(rig: Rig, watch: SilenceWatch) -> None:
    account = await connected(rig)
    await events(rig.connection, account, range(300, 600, 20))
    row = await look(rig, watch)
    assert (row["alarm_hours"], row["silent_since"]) == (None, None)


async def test_what_we_read_ourselves_is_nothing_that_was_heard(rig: Rig, watch: SilenceWatch) -> None:
    account = await connected(rig)
    await events(rig.connection, account, range(30, 600, 5))
    await events(rig.connection, account, range(1, 30), source="poll")
    row = await look(rig, watch)
    assert row["silent_since"] is not None
    await events(rig.connection, account, [0.01], source="poll")
    assert (await look(rig, watch))["silent_since"] is not None


async def test_silence_after_an_outage_of_ours_or_a_new_connection_is_given_its_time_anew(
    rig: Rig, watch: SilenceWatch
) -> None:
    account = await connected(rig)
    await events(rig.connection, account, range(30, 600, 5))
    await rig.raw(
        "INSERT INTO outages (began_at, ended_at) VALUES (now() - interval '29 hours', now() - interval '1 hour')"
    )
    assert (await look(rig, watch))["silent_since"] is None
    await rig.raw("UPDATE outages SET ended_at = now() - interval '13 hours'")
    assert (await look(rig, watch))["silent_since"] is not None
    await rig.raw("UPDATE connections SET authorized_at = now() - interval '1 hour'")
    assert (await look(rig, watch))["silent_since"] is None


async def test_disconnected_account_is_waited_for_no_more(rig: Rig, watch: SilenceWatch) -> None:
    account = await connected(rig)
    await events(rig.connection, account, range(30, 600, 5))
    await look(rig, watch)
    await rig.raw("UPDATE connections SET state = 'disconnected', disconnected_at = now()")
    await watch.round()
    assert await rig.raw("SELECT FROM event_silences") == []


async def test_only_the_accounts_own_range_of_the_log_is_read(rig: Rig) -> None:
    """The log may hold a billion events of others: each look is into the index that begins with the account."""
    asked: list[tuple[str, tuple[Any, ...]]] = []

    class Noting:
        async def fetch(self, query: str, *arguments: Any) -> list[Any]:
            asked.append((query, arguments))
            return []

        async def fetchrow(self, query: str, *arguments: Any) -> None:
            asked.append((query, arguments))

    now = datetime.now(UTC)
    watched = Watched("", "", "instagram", "1", now, now, None, None, None, 5, history_due=True)
    noting: Any = Noting()
    await silence_store.hours(noting, watched)
    await silence_store.heard(noting, watched, 5)
    assert len(asked) == 2
    await rig.connection.execute("SET enable_seqscan = off")
    for query, arguments in asked:
        plan = await rig.connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *arguments)
        scans = [
            node for node in nodes(json.loads(plan)[0]["Plan"]) if "webhook_event_log" in node.get("Relation Name", "")
        ]
        assert scans
        for scan in scans:
            assert scan["Node Type"].startswith("Index"), scan
            assert all(f"{column} " in scan["Index Cond"] for column in ("bucket", "account_id", "id")), scan


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)
