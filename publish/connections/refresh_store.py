"""Which connections are due, the lease to work on one, and the outcome of the work. All by PostgreSQL's clock."""

from collections.abc import Sequence
from datetime import datetime

import asyncpg

from ops.runtime.platform_protocol import LONGEST_LIFE
from publish.connections.connection_store import Connection, Grant, lock_grant, save_secrets, share_tokens
from publish.notifications.notice_store import resolve_trouble
from publish.oauth.contract import TokenUpdate
from publish.vault.envelope import Vault
from schema.states import CONNECTION

LEASE_SECONDS = 60
"""Longer than a refresh can take: so long a process that died with a lease blocks its connection."""

FAILED = "connection.refresh_failed"
"""What the audit log calls a refresh or a check that met trouble."""


DUE = f"""
coalesce(lease_until, '-infinity') < now() AND (
    ({CONNECTION.allows("refresh")} AND least(refresh_due_at, check_due_at) <= now())
    OR ({CONNECTION.allows("revoke")} AND refresh_due_at <= now()))"""


_WORKED_ON = f"({CONNECTION.allows('refresh')} OR {CONNECTION.allows('revoke')})"
"""The condition on a connection that has work for us: in every other state only a person can go on."""


async def due(connection: asyncpg.Connection, limit: int) -> list[tuple[str, str]]:
    """Return tenant and id of the connections that are due: the most urgent of each tenant before the second of any."""
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
    """Lease a connection that is due or whose token ends ``within`` seconds; None if it is leased or not due.

    None too while another one of its grant is leased that could refresh the tokens of both: of two requests with one
    refresh token the second would be refused, or end what the first was given.
    """
    due_or_ending = f"""(({DUE}) OR (
        {CONNECTION.allows("refresh")} AND coalesce(lease_until, '-infinity') < now() AND refresh_due_at IS NOT NULL
        AND access_expires_at <= now() + make_interval(secs => $2)))"""
    found = await connection.fetchrow(
        f"""
        SELECT tenant_id::text, coalesce(via, platform), instance, coalesce(grant_id, account_id) FROM connections
        WHERE id = $1::uuid AND {due_or_ending}""",
        id_,
        within,
    )
    if found is None:
        return None
    of_grant = await lock_grant(connection, Grant(*found))
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET lease_until = now() + make_interval(secs => $3), fence = fence + 1
        WHERE id = $1::uuid AND {due_or_ending} AND NOT EXISTS (
            SELECT FROM connections WHERE id = ANY($4::uuid[]) AND {CONNECTION.allows("refresh")}
                AND refresh_due_at IS NOT NULL AND lease_until > now())
        RETURNING tenant_id::text, id::text, platform, coalesce(via, platform), instance, account_id, fence,
            CASE WHEN {CONNECTION.allows("revoke")} THEN 'revoke'
                WHEN refresh_due_at <= now() OR (refresh_due_at IS NOT NULL
                    AND access_expires_at <= now() + make_interval(secs => $2)) THEN 'refresh'
                ELSE 'check' END, profile""",
        id_,
        within,
        float(LEASE_SECONDS),
        [other for other in of_grant if other != id_],
    )
    return None if row is None else Connection.of(row)


# The audit log has an entry for each failure, and an index by subject.
_FAILED_AT = f"""SELECT created_at FROM audit_log
    WHERE tenant_id = connections.tenant_id AND subject = connections.id::text AND action = '{FAILED}'
    ORDER BY audit_log.id DESC LIMIT 1"""


async def ask_check(connection: asyncpg.Connection, id_: str, *, refreshing: bool, pause: int) -> bool:
    """Make a check due now, or a refresh in its place; False if there was one within ``pause`` seconds.

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
    """Return when a request to the platform for this connection last failed; None where none did."""
    found: datetime | None = await connection.fetchval(
        f"SELECT ({_FAILED_AT}) FROM connections WHERE id = $1::uuid", id_
    )
    return found


async def store_refresh(
    connection: asyncpg.Connection,
    vault: Vault,
    held: Connection,
    update: TokenUpdate,
    *,
    access_seconds: int | None,
    refresh_seconds: int | None,
    refresh_in: float | None,
    check_in: int | None,
    shared: bool,
) -> bool:
    """Store the outcome of a refresh; return False where the lease was lost and nothing was stored.

    ``access_seconds`` and ``refresh_seconds`` are lives from now; None leaves the known end as it is. ``shared``: all
    connections of the grant have these tokens.
    """
    grant = await _grant(connection, held.id) if shared else None
    if grant is not None:
        await lock_grant(connection, grant)
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET refresh_due_at = now() + make_interval(secs => $6),
            access_expires_at = coalesce(now() + make_interval(secs => $7), access_expires_at), {_ACCEPTED}""",
        *_values(held, update, refresh_seconds, check_in),
        refresh_in,
        access_seconds,
    )
    if row is None:
        return False
    await resolve_trouble(connection, held.id)
    await save_secrets(connection, vault, held.tenant, held.id, update.secrets)
    if grant is not None:
        await share_tokens(connection, vault, grant, held.id, update.secrets)
    return True


async def _grant(connection: asyncpg.Connection, id_: str) -> Grant | None:
    row = await connection.fetchrow(
        """
        SELECT tenant_id::text, coalesce(via, platform), instance, coalesce(grant_id, account_id) FROM connections
        WHERE id = $1::uuid""",
        id_,
    )
    return None if row is None else Grant(*row)


async def store_check(
    connection: asyncpg.Connection, held: Connection, found: TokenUpdate, check_in: int | None
) -> bool:
    """Store that the platform still accepts the token; return False where the lease was lost."""
    values = _values(held, found, found.refresh_seconds, check_in)
    row = await connection.fetchrow(f"UPDATE connections SET {_ACCEPTED}", *values)
    if row is None:
        return False
    await resolve_trouble(connection, held.id)
    return True


_ACCEPTED = f"""lease_until = NULL, refresh_failures = 0, trouble = NULL, trouble_since = NULL, checked_at = now(),
    check_due_at = now() + make_interval(secs => $3),
    refresh_expires_at = coalesce(CASE WHEN $5 < now() + make_interval(secs => {LONGEST_LIFE}) THEN $5 END,
        now() + make_interval(secs => $4), refresh_expires_at)
WHERE id = $1::uuid AND fence = $2 AND {CONNECTION.allows("check")} RETURNING 1"""


def _values(
    held: Connection, update: TokenUpdate, refresh_seconds: int | None, check_in: int | None
) -> tuple[object, ...]:
    return (held.id, held.fence, check_in, refresh_seconds, update.ends_at)


async def give_ends(
    connection: asyncpg.Connection,
    login_platform: str,
    *,
    refreshes_with: str | None,
    access_seconds: int | None,
    youngest: int,
) -> int:
    """Give tokens of one platform an end that an earlier release stored without one; return the number of rows.

    The end becomes the documented one, counted from the grant. Where there is a secret to refresh it with, the refresh
    is due ``youngest`` seconds from now, and the token does not end before a day of attempts. ``refreshes_with`` is
    None where the platform refreshes nothing, ``access_seconds`` where it documents no end.
    """
    rows = await connection.fetch(
        f"""
        WITH held AS (
            SELECT c.id, EXISTS (SELECT FROM connection_secrets s WHERE s.tenant_id = c.tenant_id
                AND s.connection_id = c.id AND s.field = $2) AS refreshable
            FROM connections c WHERE {CONNECTION.allows("refresh")} AND coalesce(c.via, c.platform) = $1
                AND c.refresh_due_at IS NULL)
        UPDATE connections c SET
            refresh_due_at = CASE WHEN held.refreshable THEN now() + make_interval(secs => $4) END,
            access_expires_at = greatest(now() + make_interval(days => 1, secs => $4),
                coalesce(c.access_expires_at, c.authorized_at + make_interval(secs => $3::float8)))
        FROM held WHERE held.id = c.id
            AND (held.refreshable OR (c.access_expires_at IS NULL AND $3::float8 IS NOT NULL))
        RETURNING 1""",
        login_platform,
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
    """Try again after the pause for this failure; return the number of failures in a row, 0 where the lease was lost.

    Never before ``least`` seconds, for which the platform asked.
    """
    failures: int | None = await connection.fetchval(
        f"""
        UPDATE connections SET lease_until = NULL, refresh_failures = refresh_failures + 1, trouble = $6,
            trouble_since = coalesce(trouble_since, now()),
            {_due_column(held)} = now() + make_interval(secs => greatest($5::float8,
                $4::float8 * ($3::float8[])[least(refresh_failures + 1, cardinality($3))]))
        WHERE id = $1::uuid AND fence = $2 AND {_WORKED_ON} RETURNING refresh_failures""",
        held.id,
        held.fence,
        list(pauses),
        share,
        least,
        trouble,
    )
    return failures or 0


async def defer(connection: asyncpg.Connection, held: Connection, seconds: float) -> None:
    """Try again after so many seconds: the platform was not asked, and nothing has failed."""
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


async def hurry_one(connection: asyncpg.Connection, id_: str, *, refreshing: bool, pause: float) -> bool:
    """Make a check due now, or a refresh in its place; False if the token was taken within ``pause`` seconds."""
    column = "refresh_due_at" if refreshing else "check_due_at"
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET {column} = now() WHERE id = $1::uuid AND {CONNECTION.allows("check")}
            AND ({column} IS NOT NULL OR NOT $2)
            AND coalesce(checked_at, '-infinity') < now() - make_interval(secs => $3) RETURNING 1""",
        id_,
        refreshing,
        pause,
    )
    return row is not None


async def hurry(connection: asyncpg.Connection, platform: str | None) -> int:
    """Make every failed connection due now and return their number."""
    rows = await connection.fetch(
        f"""
        UPDATE connections SET
            refresh_due_at = CASE WHEN refresh_due_at IS NOT NULL THEN now() END,
            check_due_at = CASE WHEN refresh_due_at IS NULL THEN now() ELSE check_due_at END
        WHERE refresh_failures > 0 AND {_WORKED_ON} AND platform = coalesce($1, platform)
            AND coalesce(refresh_due_at, check_due_at) IS NOT NULL RETURNING 1""",
        platform,
    )
    return len(rows)


async def overdue(connection: asyncpg.Connection, seconds: int) -> int:
    """Return how many connections have been due for so many seconds without being worked on."""
    count: int = await connection.fetchval(
        f"""
        SELECT count(*) FROM connections WHERE {_WORKED_ON}
            AND least(refresh_due_at, check_due_at) < now() - make_interval(secs => $1)
            AND coalesce(lease_until, '-infinity') < now()""",
        float(seconds),
    )
    return count
