"""`landfall events`: what is in the log, and putting parked events back to work."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import click

from ops.cli.terminal import echo, echo_json
from ops.runtime import db
from ops.runtime.settings import Configuration
from schema.rights import APP_ROLE

_COLUMNS = (
    "id, created_at, provider, event_type, state, account_id, external_id, retry_count, error_message, delivery_id"
)

_FILTERS = {
    "state": "state = $@",
    "platform": "provider = $@",
    "event_type": "event_type = $@",
    "account": "account_id = $@",
    "delivery": "delivery_id = $@::uuid",
}


def _where(chosen: Mapping[str, str | None]) -> tuple[str, list[str]]:
    given = [(_FILTERS[name], value) for name, value in chosen.items() if value is not None]
    conditions = [condition.replace("@", str(n)) for n, (condition, _) in enumerate(given, start=1)]
    return " AND ".join(conditions) or "true", [value for _, value in given]


async def _connect(configuration: Configuration) -> asyncpg.Connection:
    settings = configuration.settings
    return await db.connect(settings.database_url.get_secret_value(), settings.role(APP_ROLE))


async def show_list(
    configuration: Configuration, chosen: Mapping[str, str | None], limit: int, *, as_json: bool
) -> None:
    connection = await _connect(configuration)
    condition, values = _where(chosen)
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM webhook_events WHERE {condition} ORDER BY id DESC LIMIT {limit}", *values
    )
    await connection.close()
    if as_json:
        for row in rows:
            echo_json(dict(row))
        return
    for row in rows:
        line = f"{row['id']:>8}  {row['created_at']:%m-%d %H:%M:%S}  {row['state']:<8} {row['provider']:<10} "
        echo(f"{line}{row['event_type']:<40} {row['account_id']:<20} {row['error_message'] or ''}".rstrip())
    if not rows:
        echo("no events fit", err=True)


async def show_one(configuration: Configuration, event_id: int, *, as_json: bool) -> None:
    connection = await _connect(configuration)
    event = await connection.fetchrow("SELECT * FROM webhook_events WHERE id = $1", event_id)
    if event is None:
        raise click.ClickException(f"there is no event {event_id}; `landfall events list` shows the newest")
    delivery = await connection.fetchrow(
        """
        SELECT d.id, d.created_at, d.verdict, d.verdict_reason, d.secret_used, d.event_count, d.new_event_count,
            octet_length(coalesce(d.body, o.body)) AS body_bytes, encode(d.body_sha256, 'hex') AS body_sha256, d.body_of
        FROM webhook_deliveries d LEFT JOIN webhook_deliveries o ON o.id = d.body_of WHERE d.id = $1
        """,
        event["delivery_id"],
    )
    await connection.close()
    shown = dict(event) | {
        "payload_json": None if event["payload_json"] is None else json.loads(event["payload_json"]),
        "delivery": None if delivery is None else dict(delivery),
    }
    if as_json:
        echo_json(shown)
        return
    for name, value in shown.items():
        if isinstance(value, dict | list):
            first, *rest = json.dumps(value, indent=2, default=str).split("\n")
        else:
            first, rest = str(value), []
        echo(f"{name:>15}: {first}")
        for line in rest:
            echo(" " * 17 + line)


_RETRY = """
WITH chosen AS (SELECT account_id, id FROM webhook_events WHERE {condition}), released AS (
    DELETE FROM webhook_event_outcomes o USING chosen c WHERE o.account_id = c.account_id AND o.event_id = c.id
    RETURNING o.bucket, o.account_id, o.event_id, o.retry_count, o.error_message
)
INSERT INTO webhook_event_queue (bucket, account_id, event_id, retry_count, error_message)
SELECT bucket, account_id, event_id, retry_count, error_message FROM released
RETURNING event_id, retry_count
"""

_IGNORE = """
WITH chosen AS (SELECT account_id, id FROM webhook_events WHERE {condition})
UPDATE webhook_event_outcomes o SET state = 'ignored', settled_at = now(), error_message = $1
FROM chosen c WHERE o.account_id = c.account_id AND o.event_id = c.id AND o.state IN ('parked', 'dead')
RETURNING o.event_id, o.retry_count
"""

_FATE = "SELECT id, state, retry_count, error_message FROM webhook_events WHERE id = any($1::bigint[]) ORDER BY id"

_WORKERS = """
SELECT EXISTS (SELECT FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'landfall sync%')
"""

FOLLOWED = 1000
"""Of more events than that, what became of the first is told."""

POLL_SECONDS = 0.25
LISTED = 20


async def retry(
    configuration: Configuration,
    event_ids: Sequence[int],
    chosen: Mapping[str, str | None],
    *,
    yes: bool,
    seconds: float = 0.0,
) -> None:
    """Put events back, and tell what a worker made of them within ``seconds``. Those that wait already are left."""
    condition, values = _choice(event_ids, chosen)
    connection = await _connect(configuration)
    try:
        put_back = await _change(connection, condition, values, _RETRY, [], "put back on the queue", yes=yes)
        if put_back and seconds:
            await _follow(connection, dict(sorted(put_back.items())[:FOLLOWED]), len(put_back), seconds)
    finally:
        await connection.close()


async def _follow(connection: asyncpg.Connection, tried: Mapping[int, int], total: int, seconds: float) -> None:
    """Wait until each event has been worked on, for so long at most and only while a worker runs; tell what became of
    them. ``tried`` has the failures of each event when it was put back; there were ``total`` of them.
    """
    end = time.monotonic() + seconds
    while True:
        fates = await connection.fetch(_FATE, list(tried))
        waiting = [f for f in fates if f["state"] == "pending" and f["retry_count"] == tried[f["id"]]]
        if not waiting or time.monotonic() >= end or not await connection.fetchval(_WORKERS):
            break
        await asyncio.sleep(POLL_SECONDS)
    for state, count in Counter(_became(fate, tried[fate["id"]]) for fate in fates).items():
        echo(f"{count} {_events(count)} {state}")
    told = [fate for fate in fates if fate not in waiting and fate["state"] not in ("done", "ignored")]
    for fate in told[:LISTED]:
        echo(f"  {fate['id']}: {fate['error_message']}")
    if len(told) > LISTED:
        echo(f"  … and {len(told) - LISTED} more; `landfall events list --state parked` has them")
    if total > len(tried):
        echo(f"{total - len(tried)} more were put back; `landfall events list` tells what becomes of them")
    if waiting and not await connection.fetchval(_WORKERS):
        echo("no worker is connected to this database: start `landfall work`, and they are projected", err=True)
    elif waiting:
        echo(f"after {seconds:g} s; they are worked on when their turn comes", err=True)


def _became(fate: asyncpg.Record, tried: int) -> str:
    """What became of an event that had failed ``tried`` times when it was put back."""
    if fate["state"] != "pending":
        return {"done": "done: its rows are written", "ignored": "ignored: nothing reads its type"}.get(
            fate["state"], f"{fate['state']} again"
        )
    return "failed again, and will be tried again" if fate["retry_count"] > tried else "still waiting"


async def ignore(
    configuration: Configuration,
    event_ids: Sequence[int],
    chosen: Mapping[str, str | None],
    reason: str,
    *,
    yes: bool,
) -> None:
    """Only parked and dead events can be ignored; the rest is left as it is. Raises UsageError without a reason."""
    if not reason.strip():
        raise click.UsageError("--reason says why, for whoever looks at the event later; it is empty")
    condition, values = _choice(event_ids, chosen)
    connection = await _connect(configuration)
    try:
        await _change(connection, condition, values, _IGNORE, [reason], "ignored", yes=yes)
    finally:
        await connection.close()


def _choice(event_ids: Sequence[int], chosen: Mapping[str, str | None]) -> tuple[str, list[Any]]:
    if event_ids:
        if any(value is not None for value in chosen.values()):
            raise click.UsageError("give event ids or filters, not both")
        return "id = any($1::bigint[])", [list(event_ids)]
    if not any(value is not None for value in chosen.values()):
        raise click.UsageError("give event ids, or at least one filter such as --state parked")
    return _where({**chosen, "state": chosen.get("state") or "parked"})


async def _change(
    connection: asyncpg.Connection,
    condition: str,
    values: list[Any],
    statement: str,
    first: list[Any],
    done: str,
    *,
    yes: bool,
) -> dict[int, int]:
    """Change events and say how many; their ids, with how often each has failed."""
    count = await connection.fetchval(f"SELECT count(*) FROM webhook_events WHERE {condition}", *values)
    if count > 1 and not yes:
        click.confirm(f"{count} events fit. Go on?", abort=True)
    # Parameters of the statement's own come first, so the filters' move up by as many.
    for n in range(len(values), 0, -1):
        condition = condition.replace(f"${n}", f"${n + len(first)}")
    rows = await connection.fetch(statement.replace("{condition}", f"({condition})"), *first, *values)
    left = f"; {count - len(rows)} were left as they are" if count != len(rows) else ""
    echo(f"{len(rows)} {_events(len(rows))} {done}{left}")
    return {row["event_id"]: row["retry_count"] for row in rows}


def _events(count: int) -> str:
    return "event" if count == 1 else "events"
