"""How often events of connections come by webhook, and which are silent. Each account's own range of the log is read.

An event that came by webhook names its delivery. The log is never counted: of 28 days it is asked in which hours an
event came, which takes one look into an index for each hour, once a day; and then only what came since the last look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from publish.connections.silence import HISTORY_DAYS
from publish.notifications.notice_store import RaisedNotice
from schema.events import bucket_of
from schema.states import CONNECTION, NOTICE, ConnectionState

LOOK_MINUTES = 15
"""Between two looks at an account."""

_ACTIVE = CONNECTION.any_of(ConnectionState.ACTIVE, row="c")


@dataclass(frozen=True, slots=True)
class Watched:
    """A connection whose events are waited for. ``listening_since``: from then on they could come without a break."""

    tenant: str
    id: str
    platform: str
    account_id: str
    now: datetime
    listening_since: datetime
    heard_at: datetime | None
    silent_since: datetime | None
    alarm_hours: int | None
    scanned_to: int
    history_due: bool


async def enlist(connection: asyncpg.Connection, platforms: Sequence[str]) -> None:
    """Let the events of all active connections at these platforms be waited for, and forget the others."""
    await connection.execute(
        f"""
        DELETE FROM event_silences q USING connections c
        WHERE c.tenant_id = q.tenant_id AND c.id = q.connection_id
            AND NOT ({_ACTIVE} AND c.platform = ANY($1::text[]))""",
        list(platforms),
    )
    await connection.execute(
        f"""
        INSERT INTO event_silences (tenant_id, connection_id)
        SELECT c.tenant_id, c.id FROM connections c WHERE {_ACTIVE} AND c.platform = ANY($1::text[])
            AND NOT EXISTS (SELECT FROM event_silences q WHERE q.tenant_id = c.tenant_id AND q.connection_id = c.id)
        ON CONFLICT DO NOTHING""",
        list(platforms),
    )


async def claim(connection: asyncpg.Connection, limit: int) -> list[Watched]:
    """Return connections that were looked at longest ago, and lock them until the transaction ends."""
    rows = await connection.fetch(
        f"""
        SELECT q.tenant_id::text, q.connection_id::text, c.platform, c.account_id, now(), greatest(
            c.authorized_at, s.repaired_at, (SELECT max(ended_at) FROM outages)), q.heard_at, q.silent_since,
            q.alarm_hours, q.scanned_to,
            q.silent_since IS NULL AND coalesce(q.rhythm_at, '-infinity') < now() - interval '1 day'
        FROM event_silences q JOIN connections c ON c.tenant_id = q.tenant_id AND c.id = q.connection_id
        LEFT JOIN event_subscriptions s ON s.tenant_id = c.tenant_id AND s.connection_id = c.id
        WHERE {_ACTIVE} AND coalesce(q.looked_at, '-infinity') < now() - make_interval(mins => $2)
        ORDER BY q.looked_at NULLS FIRST LIMIT $1 FOR UPDATE OF q SKIP LOCKED""",
        limit,
        LOOK_MINUTES,
    )
    return [Watched(*row) for row in rows]


async def hours(connection: asyncpg.Connection, watched: Watched) -> list[int]:
    """Return the hours of the history in which an event came by webhook, as numbers since 1970, in ascending order."""
    rows = await connection.fetch(
        """
        SELECT h FROM generate_series(
            floor(extract(epoch FROM now() - make_interval(days => $4)) / 3600)::bigint,
            floor(extract(epoch FROM now()) / 3600)::bigint) AS h
        WHERE EXISTS (
            SELECT 1 FROM webhook_event_log e WHERE e.bucket = $1 AND e.account_id = $2 AND e.provider = $3
                AND e.id >= event_id_from(to_timestamp(h * 3600)) AND e.id < event_id_from(to_timestamp((h + 1) * 3600))
                AND e.delivery_id IS NOT NULL)
        ORDER BY h""",
        bucket_of(watched.platform, watched.account_id),
        watched.account_id,
        watched.platform,
        HISTORY_DAYS,
    )
    return [row["h"] for row in rows]


async def heard(connection: asyncpg.Connection, watched: Watched, after: int) -> tuple[datetime | None, int]:
    """Return when the newest event after this one of the log came by webhook, None for none, and what was seen last."""
    row = await connection.fetchrow(
        """
        SELECT to_timestamp((max(e.id) FILTER (WHERE e.delivery_id IS NOT NULL) >> 20) + 1577836800) AS heard_at,
            max(e.id) AS last
        FROM webhook_event_log e WHERE e.bucket = $1 AND e.account_id = $2 AND e.provider = $3 AND e.id > $4""",
        bucket_of(watched.platform, watched.account_id),
        watched.account_id,
        watched.platform,
        after,
    )
    return (None, after) if row is None or row["last"] is None else (row["heard_at"], row["last"])


def first_of_hour(hour: int) -> int:
    """Return the number in the log before the events of this hour."""
    return (hour * 3600 - 1_577_836_800 << 20) - 1


async def store(
    connection: asyncpg.Connection,
    watched: Watched,
    *,
    heard_at: datetime | None,
    scanned_to: int,
    usual_hours: int | None,
    alarm_hours: int | None,
    silent_since: datetime | None,
) -> None:
    """Store a look. The rhythm is kept where the history was not due."""
    await connection.execute(
        """
        UPDATE event_silences SET looked_at = now(), heard_at = $3, scanned_to = $4, silent_since = $5,
            rhythm_at = CASE WHEN $6 THEN now() ELSE rhythm_at END,
            usual_hours = CASE WHEN $6 THEN $7 ELSE usual_hours END,
            alarm_hours = CASE WHEN $6 THEN $8 ELSE alarm_hours END
        WHERE tenant_id = $1::uuid AND connection_id = $2::uuid""",
        watched.tenant,
        watched.id,
        heard_at,
        scanned_to,
        silent_since,
        watched.history_due,
        usual_hours,
        alarm_hours,
    )


async def tell(connection: asyncpg.Connection, watched: Watched) -> RaisedNotice | None:
    """Raise the notice of a silence that is stored, once, or resolve it where the account was heard again."""
    await connection.execute(
        f"""
        UPDATE notices n SET resolved_at = now() FROM event_silences q
        WHERE n.tenant_id = $1::uuid AND n.connection_id = $2::uuid AND n.kind = 'silent'
            AND {NOTICE.allows("resolve").replace("resolved_at", "n.resolved_at")}
            AND q.tenant_id = n.tenant_id AND q.connection_id = n.connection_id AND q.silent_since IS NULL""",
        watched.tenant,
        watched.id,
    )
    row = await connection.fetchrow(
        """
        INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
        SELECT tenant_id, gen_random_uuid(), connection_id, 'silent', now(),
            'Nothing has been heard of this account since '
                || to_char(silent_since AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY, HH24:MI')
                || ' UTC, which is far longer than is usual for it.'
                || ' If people write there and it does not show here, connect the account again.'
        FROM event_silences WHERE tenant_id = $1::uuid AND connection_id = $2::uuid AND silent_since IS NOT NULL
            AND NOT EXISTS (SELECT FROM notices n WHERE n.tenant_id = $1::uuid AND n.connection_id = $2::uuid
                AND n.kind = 'silent' AND n.resolved_at IS NULL)
        ON CONFLICT DO NOTHING RETURNING id::text, connection_id::text, kind""",
        watched.tenant,
        watched.id,
    )
    return None if row is None else RaisedNotice(*row)


async def counts(connection: asyncpg.Connection) -> list[tuple[str, int, int]]:
    """Count the accounts that are waited for by platform: those with a history, and the silent ones of them."""
    rows = await connection.fetch(
        """
        SELECT c.platform, count(q.alarm_hours), count(q.silent_since) FROM event_silences q
        JOIN connections c ON c.tenant_id = q.tenant_id AND c.id = q.connection_id GROUP BY 1"""
    )
    return [tuple(row) for row in rows]
