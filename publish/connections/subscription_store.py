"""What the events of connections are subscribed to: which are due, the lease to look at one, and what was found."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from publish.oauth.contract import Subscription
from schema.states import CONNECTION, NOTICE, ConnectionState

LEASE_SECONDS = 60
"""Longer than a look can take."""

_ACTIVE = CONNECTION.any_of(ConnectionState.ACTIVE, row="c")


@dataclass(frozen=True, slots=True)
class Held:
    """A connection whose subscription is to be looked at."""

    tenant: str
    id: str
    fence: int
    platform: str
    login_platform: str
    instance: str
    account_id: str
    scopes: Sequence[str]
    grant_id: str

    @property
    def counted_as(self) -> dict[str, str]:
        """The arguments of the platform client that say whose rate limit and circuit breaker count."""
        return {"platform": self.login_platform, "instance": self.instance, "account": self.account_id}


@dataclass(frozen=True, slots=True)
class Shown:
    """The subscription of a connection, and how its events come, as people are shown them."""

    id: str
    tenant: str
    platform: str
    login_platform: str
    username: str
    state: str | None
    missing: Sequence[str]
    advice: str | None
    trouble: str | None
    checked_at: datetime | None
    incomplete_since: datetime | None
    repaired_at: datetime | None
    heard_at: datetime | None
    silent_since: datetime | None
    usual_hours: int | None


async def enlist(connection: asyncpg.Connection, login_platforms: Sequence[str]) -> None:
    """Let the subscriptions of all active connections by these logins be looked at."""
    await connection.execute(
        f"""
        INSERT INTO event_subscriptions (tenant_id, connection_id)
        SELECT c.tenant_id, c.id FROM connections c WHERE {_ACTIVE} AND coalesce(c.via, c.platform) = ANY($1::text[])
            AND NOT EXISTS (
                SELECT FROM event_subscriptions s WHERE s.tenant_id = c.tenant_id AND s.connection_id = c.id)
        ON CONFLICT DO NOTHING""",
        list(login_platforms),
    )


async def lease(connection: asyncpg.Connection, login_platforms: Sequence[str], limit: int) -> list[Held]:
    """Lease the subscriptions that are due, and those of accounts that were connected again since they were seen."""
    rows = await connection.fetch(
        f"""
        WITH due AS (
            SELECT s.tenant_id, s.connection_id FROM event_subscriptions s
            JOIN connections c ON c.tenant_id = s.tenant_id AND c.id = s.connection_id
            WHERE {_ACTIVE} AND coalesce(c.via, c.platform) = ANY($3::text[])
                AND (s.due_at <= now() OR c.authorized_at > s.checked_at)
                AND coalesce(s.lease_until, '-infinity') < now()
            ORDER BY s.due_at LIMIT $1 FOR UPDATE OF s SKIP LOCKED)
        UPDATE event_subscriptions s SET lease_until = now() + make_interval(secs => $2), fence = s.fence + 1
        FROM due JOIN connections c ON c.tenant_id = due.tenant_id AND c.id = due.connection_id
        WHERE s.tenant_id = due.tenant_id AND s.connection_id = due.connection_id
        RETURNING s.tenant_id::text, s.connection_id::text, s.fence, c.platform, coalesce(c.via, c.platform),
            c.instance, c.account_id, c.scopes, coalesce(c.grant_id, '')""",
        limit,
        float(LEASE_SECONDS),
        list(login_platforms),
    )
    return [Held(*row) for row in rows]


async def store(connection: asyncpg.Connection, held: Held, found: Subscription, again_seconds: float) -> bool | None:
    """Store what was found; return whether it is incomplete only since now, None where the lease was lost."""
    row = await connection.fetchrow(
        """
        WITH before AS (
            SELECT incomplete_since FROM event_subscriptions
            WHERE tenant_id = $1::uuid AND connection_id = $2::uuid AND fence = $3 FOR UPDATE)
        UPDATE event_subscriptions s SET lease_until = NULL, trouble = NULL, checked_at = now(),
            due_at = now() + make_interval(secs => $4), wanted = $5, missing = $6, advice = nullif($7, ''),
            state = CASE WHEN cardinality($6::text[]) = 0 THEN 'complete' ELSE 'incomplete' END,
            incomplete_since = CASE WHEN cardinality($6::text[]) > 0 THEN coalesce(before.incomplete_since, now()) END,
            repaired_at = CASE WHEN $8 THEN now() ELSE s.repaired_at END
        FROM before WHERE s.tenant_id = $1::uuid AND s.connection_id = $2::uuid AND s.fence = $3
        RETURNING before.incomplete_since IS NULL AND s.incomplete_since IS NOT NULL AS begun""",
        held.tenant,
        held.id,
        held.fence,
        again_seconds,
        list(found.wanted),
        list(found.missing),
        found.advice,
        bool(found.repaired),
    )
    return None if row is None else bool(row["begun"])


async def postpone(connection: asyncpg.Connection, held: Held, trouble: str, seconds: float) -> None:
    """Look again after so many seconds: the platform could not be asked. What was found before stays."""
    await connection.execute(
        """
        UPDATE event_subscriptions SET lease_until = NULL, trouble = $4, due_at = now() + make_interval(secs => $5)
        WHERE tenant_id = $1::uuid AND connection_id = $2::uuid AND fence = $3""",
        held.tenant,
        held.id,
        held.fence,
        trouble,
        seconds,
    )


async def tell(connection: asyncpg.Connection, held: Held, half: str) -> str | None:
    """Raise a notice where fields of this half are missing, and resolve it where none is. Return its id if it is new.

    The application's half is the operator's: a person can do nothing about it by connecting again.
    """
    await connection.execute(
        f"""
        UPDATE notices n SET resolved_at = now() FROM event_subscriptions s
        WHERE n.tenant_id = $1::uuid AND n.connection_id = $2::uuid AND n.kind = 'unsubscribed'
            AND {NOTICE.allows("resolve").replace("resolved_at", "n.resolved_at")}
            AND s.tenant_id = n.tenant_id AND s.connection_id = n.connection_id
            AND NOT EXISTS (SELECT FROM unnest(s.missing) AS m (name) WHERE starts_with(m.name, $3 || ' '))""",
        held.tenant,
        held.id,
        half,
    )
    found: str | None = await connection.fetchval(
        """
        INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
        SELECT tenant_id, gen_random_uuid(), connection_id, 'unsubscribed', incomplete_since,
            'The platform does not send the events of this account; connect it again.'
        FROM event_subscriptions WHERE tenant_id = $1::uuid AND connection_id = $2::uuid
            AND EXISTS (SELECT FROM unnest(missing) AS m (name) WHERE starts_with(m.name, $3 || ' '))
        ON CONFLICT DO NOTHING RETURNING id::text""",
        held.tenant,
        held.id,
        half,
    )
    return found


async def counts(connection: asyncpg.Connection) -> list[tuple[str, str, int]]:
    """Count the subscriptions of active connections, by platform and state."""
    rows: Sequence[Any] = await connection.fetch(
        f"""
        SELECT c.platform, s.state, count(*) FROM event_subscriptions s
        JOIN connections c ON c.tenant_id = s.tenant_id AND c.id = s.connection_id WHERE {_ACTIVE} GROUP BY 1, 2"""
    )
    return [tuple(row) for row in rows]


async def shown(connection: asyncpg.Connection) -> list[Shown]:
    """Return what is known of the events of each active connection, those that lack some first."""
    rows = await connection.fetch(
        f"""
        SELECT c.id::text, t.name, c.platform, coalesce(c.via, c.platform), coalesce(nullif(c.username, ''),
            c.account_id), s.state, coalesce(s.missing, '{{}}'), s.advice, s.trouble, s.checked_at, s.incomplete_since,
            s.repaired_at, q.heard_at, q.silent_since, q.usual_hours
        FROM connections c JOIN tenants t ON t.id = c.tenant_id
        LEFT JOIN event_subscriptions s ON s.tenant_id = c.tenant_id AND s.connection_id = c.id
        LEFT JOIN event_silences q ON q.tenant_id = c.tenant_id AND q.connection_id = c.id
        WHERE {_ACTIVE}
        ORDER BY s.incomplete_since NULLS LAST, q.silent_since NULLS LAST, t.name, c.platform, c.username, c.id"""
    )
    return [Shown(*row) for row in rows]
