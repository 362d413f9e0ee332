"""What is due, the lease to work on it, and what came of that. All by PostgreSQL's clock."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

from ops.runtime.platform_protocol import LONGEST_LIFE
from publish.connections.connection_store import Connection, keep_secrets
from publish.notifications.notice_store import out_of_trouble
from publish.oauth.contract import Renewed
from publish.vault.envelope import Vault
from schema.states import CONNECTION

LEASE_SECONDS = 60
"""Longer than a refresh can take; a process that died with one is not waited for any longer."""

FAILED = "connection.refresh_failed"
"""What the audit log calls a refresh or a check that met trouble."""


DUE = f"""
coalesce(lease_until, '-infinity') < now() AND (
    ({CONNECTION.allows("refresh")} AND least(refresh_due_at, check_due_at) <= now())
    OR ({CONNECTION.allows("revoke")} AND refresh_due_at <= now()))"""


async def due(connection: asyncpg.Connection, limit: int) -> list[tuple[str, str]]:
    """Tenant and id of the connections to work on now: the most urgent of each tenant before the second of any."""
    rows = await connection.fetch(
        f"""
        SELECT tenant_id::text, id::text FROM (
            SELECT tenant_id, id, access_expires_at,
                row_number() OVER (PARTITION BY tenant_id ORDER BY access_expires_at NULLS LAST) AS turn
            FROM connections WHERE {DUE}) AS due
        ORDER BY turn, access_expires_at NULLS LAST LIMIT $1""",
        limit,
    )
    return [tuple(row) for row in rows]


async def lease(connection: asyncpg.Connection, id_: str, within: float) -> Connection | None:
    """Take the one right to work on it, if it is due or its token ends ``within`` seconds; None if that is taken."""
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET lease_until = now() + make_interval(secs => $2), fence = fence + 1
        WHERE id = $1::uuid AND (({DUE}) OR (
            {CONNECTION.allows("refresh")} AND coalesce(lease_until, '-infinity') < now() AND refresh_due_at IS NOT NULL
            AND access_expires_at <= now() + make_interval(secs => $3)))
        RETURNING tenant_id::text, id::text, platform, coalesce(via, platform), instance, account_id, fence,
            CASE WHEN {CONNECTION.allows("revoke")} THEN 'revoke'
                WHEN refresh_due_at <= now() OR (refresh_due_at IS NOT NULL
                    AND access_expires_at <= now() + make_interval(secs => $3)) THEN 'refresh'
                ELSE 'check' END""",
        id_,
        float(LEASE_SECONDS),
        within,
    )
    return None if row is None else Connection(*row)


# The audit log has an entry for each failure, and an index by subject.
_FAILED_AT = f"""SELECT created_at FROM audit_log
    WHERE tenant_id = connections.tenant_id AND subject = connections.id::text AND action = '{FAILED}'
    ORDER BY audit_log.id DESC LIMIT 1"""


async def ask_check(connection: asyncpg.Connection, id_: str, *, refreshing: bool, pause: int) -> bool:
    """Make a check due now, or a refresh where that is the check; False where the last was not ``pause`` seconds ago.

    One that failed counts too: a platform in trouble is not to be asked with every press of a button.
    """
    column = "refresh_due_at" if refreshing else "check_due_at"
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET {column} = now() WHERE id = $1::uuid AND {CONNECTION.allows("check")}
            AND ({column} IS NOT NULL OR NOT $2)
            AND coalesce(checked_at, '-infinity') < now() - make_interval(secs => $3)
            AND coalesce(({_FAILED_AT}), '-infinity') < now() - make_interval(secs => $3) RETURNING 1""",
        id_,
        refreshing,
        float(pause),
    )
    return row is not None


async def failed_at(connection: asyncpg.Connection, id_: str) -> datetime | None:
    """When the platform was last asked for this connection in vain; None where it never was."""
    found: datetime | None = await connection.fetchval(
        f"SELECT ({_FAILED_AT}) FROM connections WHERE id = $1::uuid", id_
    )
    return found


async def renew(
    connection: asyncpg.Connection,
    vault: Vault,
    held: Connection,
    renewed: Renewed,
    *,
    access_seconds: int | None,
    refresh_seconds: int | None,
    refresh_in: float | None,
    check_in: int | None,
) -> bool:
    """Keep what a refresh gave; False where the lease was lost meanwhile, and nothing was kept.

    ``access_seconds`` and ``refresh_seconds`` are lives from now on; None leaves the end that is known as it is.
    """
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET refresh_due_at = now() + make_interval(secs => $6),
            access_expires_at = coalesce(now() + make_interval(secs => $7), access_expires_at), {_HOLDS}""",
        *_held(held, renewed, refresh_seconds, check_in),
        refresh_in,
        access_seconds,
    )
    if row is None:
        return False
    await out_of_trouble(connection, held.id)
    await keep_secrets(connection, vault, held.tenant, held.id, renewed.secrets)
    return True


async def checked(connection: asyncpg.Connection, held: Connection, found: Renewed, check_in: int | None) -> bool:
    """Note that the platform still takes what we hold; False where the lease was lost meanwhile."""
    values = _held(held, found, found.refresh_seconds, check_in)
    row = await connection.fetchrow(f"UPDATE connections SET {_HOLDS}", *values)
    if row is None:
        return False
    await out_of_trouble(connection, held.id)
    return True


_HOLDS = f"""lease_until = NULL, refresh_failures = 0, trouble = NULL, trouble_since = NULL, checked_at = now(),
    check_due_at = now() + make_interval(secs => $3),
    refresh_expires_at = coalesce(CASE WHEN $5 < now() + make_interval(secs => {LONGEST_LIFE}) THEN $5 END,
        now() + make_interval(secs => $4), refresh_expires_at)
WHERE id = $1::uuid AND fence = $2 AND {CONNECTION.allows("check")} RETURNING 1"""


def _held(held: Connection, renewed: Renewed, refresh_seconds: int | None, check_in: int | None) -> tuple[Any, ...]:
    return (held.id, held.fence, check_in, refresh_seconds, renewed.ends_at)


async def give_ends(
    connection: asyncpg.Connection,
    channel: str,
    *,
    refreshes_with: str | None,
    access_seconds: int | None,
    youngest: int,
) -> int:
    """Make good what an earlier release took for a token without an end, of one channel; how many rows that were.

    The end becomes the documented one, counted from the grant, and where there is a secret to refresh it with that is
    due as soon as a token may be refreshed, ``youngest`` seconds from now; it does not end before that was tried for a
    day. ``refreshes_with`` is None where the channel refreshes nothing, ``access_seconds`` where it has no end.
    """
    rows = await connection.fetch(
        """
        WITH held AS (
            SELECT c.id, EXISTS (SELECT FROM connection_secrets s WHERE s.tenant_id = c.tenant_id
                AND s.connection_id = c.id AND s.field = $2) AS refreshable
            FROM connections c WHERE c.state = 'active' AND coalesce(c.via, c.platform) = $1
                AND c.refresh_due_at IS NULL)
        UPDATE connections c SET
            refresh_due_at = CASE WHEN held.refreshable THEN now() + make_interval(secs => $4) END,
            access_expires_at = greatest(now() + make_interval(days => 1, secs => $4),
                coalesce(c.access_expires_at, c.authorized_at + make_interval(secs => $3::float8)))
        FROM held WHERE held.id = c.id
            AND (held.refreshable OR (c.access_expires_at IS NULL AND $3::float8 IS NOT NULL))
        RETURNING 1""",
        channel,
        refreshes_with,
        access_seconds,
        float(youngest),
    )
    return len(rows)


async def postpone(
    connection: asyncpg.Connection,
    held: Connection,
    trouble: str,
    *,
    pauses: Sequence[float],
    share: float,
    least: float,
) -> int:
    """Try again after one of the pauses, the last one for ever; how many failures there were in a row.

    Never before ``least`` seconds, which is what the platform wishes.
    """
    failures: int | None = await connection.fetchval(
        f"""
        UPDATE connections SET lease_until = NULL, refresh_failures = refresh_failures + 1, trouble = $6,
            trouble_since = coalesce(trouble_since, now()),
            {_due_column(held)} = now() + make_interval(secs => greatest($5::float8,
                $4::float8 * ($3::float8[])[least(refresh_failures + 1, cardinality($3))]))
        WHERE id = $1::uuid AND fence = $2 AND state <> 'needs_reconnect' RETURNING refresh_failures""",
        held.id,
        held.fence,
        list(pauses),
        share,
        least,
        trouble,
    )
    return failures or 0


async def wait(connection: asyncpg.Connection, held: Connection, seconds: float) -> None:
    """Try again after so long: nobody was asked, and nothing has failed."""
    await connection.execute(
        f"""
        UPDATE connections SET lease_until = NULL, {_due_column(held)} = now() + make_interval(secs => $3)
        WHERE id = $1::uuid AND fence = $2 AND {CONNECTION.allows("refresh")}""",
        held.id,
        held.fence,
        seconds,
    )


def _due_column(held: Connection) -> str:
    return "check_due_at" if held.work == "check" else "refresh_due_at"


async def hurry(connection: asyncpg.Connection, platform: str | None) -> int:
    """Try again now whatever failed and waits; how many that are."""
    rows = await connection.fetch(
        """
        UPDATE connections SET
            refresh_due_at = CASE WHEN refresh_due_at IS NOT NULL THEN now() END,
            check_due_at = CASE WHEN refresh_due_at IS NULL THEN now() ELSE check_due_at END
        WHERE refresh_failures > 0 AND state <> 'needs_reconnect' AND platform = coalesce($1, platform)
            AND coalesce(refresh_due_at, check_due_at) IS NOT NULL RETURNING 1""",
        platform,
    )
    return len(rows)


async def overdue(connection: asyncpg.Connection, seconds: int) -> int:
    """How many nobody works on although they have been due for so long."""
    count: int = await connection.fetchval(
        """
        SELECT count(*) FROM connections WHERE state <> 'needs_reconnect'
            AND least(refresh_due_at, check_due_at) < now() - make_interval(secs => $1)
            AND coalesce(lease_until, '-infinity') < now()""",
        float(seconds),
    )
    return count
