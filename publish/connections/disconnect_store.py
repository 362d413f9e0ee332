"""Ends of connections, and the deletion requests of people."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ops.runtime.db import required
from publish.connections.connection_store import Connection
from publish.connections.refresh_store import LEASE_SECONDS
from publish.notifications.notice_store import ABOUT_ACCESS, resolve
from publish.oauth.contract import Removals
from schema.states import CONNECTION, NOTICE

_ENDED = f"""state = '{CONNECTION.target("end_grant")}', refresh_due_at = NULL, check_due_at = NULL, lease_until = NULL,
    trouble = NULL, trouble_since = NULL, fence = fence + 1"""

_MAY_END = CONNECTION.allows("end_grant")
_WHOSE = "RETURNING tenant_id::text, id::text, platform, authorized_at, reason"


async def needs_reconnect(connection: asyncpg.Connection, held: Connection, reason: str) -> bool:
    """End the grant of a leased connection. Return False where it had ended before, or the lease was lost."""
    query = f"""
        UPDATE connections SET {_ENDED}, reason = $3 WHERE id = $1::uuid AND fence = $2 AND {_MAY_END} {_WHOSE}"""
    return bool(await _notify(connection, await connection.fetch(query, held.id, held.fence, reason)))


async def removable(
    connection: asyncpg.Connection, login_platform: str, user: str, cut_off: datetime
) -> dict[str, list[str]]:
    """Return the connections of all tenants that a person granted until ``cut_off``: ids by tenant."""
    found: dict[str, list[str]] = {}
    rows = await connection.fetch(
        "SELECT tenant_id::text, id::text FROM find_connections_of_person($1, $2, $3)", login_platform, user, cut_off
    )
    for tenant, id_ in rows:
        found.setdefault(tenant, []).append(id_)
    return found


async def removed(connection: asyncpg.Connection, ids: Sequence[str], cut_off: datetime, reason: str) -> list[str]:
    """End the connections that a person removed and return their ids. Grants after ``cut_off`` are left alone."""
    query = f"""
        UPDATE connections SET {_ENDED}, reason = $3
        WHERE id = ANY($1::uuid[]) AND {_MAY_END} AND authorized_at <= $2 {_WHOSE}"""
    ended = await _notify(connection, await connection.fetch(query, list(ids), cut_off, reason))
    return [id_ for _, id_ in ended]


async def removed_in_table(
    connection: asyncpg.Connection, platform: str, removals: Removals, default: str
) -> list[tuple[str, str]]:
    """End what the log says was removed and return tenant and id of each. Grants newer than the event are left alone.

    The platform's clock counts in seconds, ours does not: an event that names no time has the time of its receipt, to
    the microsecond, and so ends no grant that was made in the same second after it.
    """
    query = f"""
        UPDATE connections c SET {_ENDED}, reason = coalesce($2::jsonb ->> said.why::text, $3)
        FROM (
            SELECT account_id, {removals.at} AS at, 'second' AS unit, {removals.why} AS why FROM {removals.table}
            UNION ALL
            SELECT account_id, created_at, 'microseconds', {removals.why} FROM {removals.undated}
        ) said
        WHERE c.platform = $1 AND c.via IS NULL AND {_MAY_END} AND said.account_id = c.account_id
            AND said.at >= date_trunc(said.unit, c.authorized_at) {_WHOSE}"""
    messages = json.dumps({str(number): text for number, text in removals.messages.items()})
    return await _notify(connection, await connection.fetch(query, platform, messages, default))


async def expired(
    connection: asyncpg.Connection, reason: str, failing: str, refreshing_themselves: Sequence[str]
) -> list[tuple[str, str, str]]:
    """End connections whose token ran out and cannot be refreshed; return tenant, id and platform of each.

    A token cannot be refreshed without a refresh token, with one that ran out itself, or where the access token is its
    own refresh token, as at the platforms ``refreshing_themselves``. A connection that was failing ends with the reason
    ``failing``, in which its trouble replaces ``{}``.
    """
    query = f"""
        UPDATE connections SET {_ENDED}, reason = coalesce(replace($2, '{{}}', trouble), $1)
        WHERE {_MAY_END} AND access_expires_at <= now() AND coalesce(lease_until, '-infinity') < now()
            AND (refresh_due_at IS NULL OR refresh_expires_at <= now() OR coalesce(via, platform) = ANY($3)) {_WHOSE}"""
    rows = await connection.fetch(query, reason, failing, list(refreshing_themselves))
    await _notify(connection, rows)
    return [(row["tenant_id"], row["id"], row["platform"]) for row in rows]


async def _notify(connection: asyncpg.Connection, ended: Sequence[asyncpg.Record]) -> list[tuple[str, str]]:
    """Raise a notice for each connection that needs a person from now on, and resolve the others about it."""
    await connection.executemany(
        """
        INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
        VALUES ($1::uuid, gen_random_uuid(), $2::uuid, 'needs_reconnect', $3, $4) ON CONFLICT DO NOTHING""",
        [(row["tenant_id"], row["id"], row["authorized_at"], row["reason"]) for row in ended],
    )
    await connection.execute(
        f"""
        UPDATE notices SET resolved_at = now()
        WHERE connection_id = ANY($1::uuid[]) AND {ABOUT_ACCESS} AND kind <> 'needs_reconnect'
            AND {NOTICE.allows("resolve")}""",
        [row["id"] for row in ended],
    )
    return [(row["tenant_id"], row["id"]) for row in ended]


async def disconnect(connection: asyncpg.Connection, id_: str) -> Connection | None:
    """Disconnect an account here and return it leased, to be revoked at the platform; None where there is none.

    What was synced stays. If the caller dies with the lease, the worker revokes.
    """
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET state = '{CONNECTION.target("disconnect")}', reason = NULL,
            disconnected_at = now(), refresh_failures = 0, trouble = NULL, trouble_since = NULL,
            refresh_due_at = now(), check_due_at = NULL, lease_until = now() + make_interval(secs => $2),
            fence = fence + 1
        WHERE id = $1::uuid AND {CONNECTION.allows("disconnect")}
        RETURNING tenant_id::text, id::text, platform, coalesce(via, platform), instance, account_id, fence,
            'revoke', profile""",
        id_,
        float(LEASE_SECONDS),
    )
    if row is not None:
        await resolve(connection, id_)
    return None if row is None else Connection.of(row)


async def sharing(connection: asyncpg.Connection, held: Connection) -> tuple[bool, bool]:
    """Return whether other connections, of any tenant, share its grant, and whether others are of the same person."""
    row = required(
        await connection.fetchrow(
            "SELECT same_grant, same_person FROM find_connections_sharing_grant($1::uuid)", held.id
        )
    )
    return row["same_grant"], row["same_person"]


async def still_ended(connection: asyncpg.Connection, held: Connection) -> bool:
    """Return whether it was not connected again since; until the transaction ends nobody does."""
    row = await connection.fetchrow(
        f"SELECT 1 FROM connections WHERE id = $1::uuid AND fence = $2 AND {CONNECTION.allows('revoke')} FOR SHARE",
        held.id,
        held.fence,
    )
    return row is not None


async def revoked(connection: asyncpg.Connection, held: Connection) -> None:
    """Delete the tokens of a disconnected account, unless it was connected again meanwhile."""
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET refresh_due_at = NULL, lease_until = NULL
        WHERE id = $1::uuid AND fence = $2 AND {CONNECTION.allows("revoke")} RETURNING 1""",
        held.id,
        held.fence,
    )
    if row is not None:
        await connection.execute("DELETE FROM connection_secrets WHERE connection_id = $1::uuid", held.id)


async def revocation_expired(connection: asyncpg.Connection, held: Connection, hours: int) -> bool:
    """Return whether revoking has been tried for so many hours."""
    found: bool = await connection.fetchval(
        "SELECT disconnected_at < now() - make_interval(hours => $2) FROM connections WHERE id = $1::uuid",
        held.id,
        hours,
    )
    return found


@dataclass(frozen=True, slots=True)
class Accepted:
    """A signed request: it is about grants until ``cut_off``; ``code`` is the one that it was given first."""

    cut_off: datetime
    code: str
    first: bool


async def accept_signed_request(
    connection: asyncpg.Connection, platform: str, purpose: str, digest: bytes, issued_at: int, code: str, days: int
) -> Accepted | None:
    """Store a signed request, once for each digest and purpose; None for one issued more than ``days`` ago.

    ``issued_at`` is in seconds since 1970, 0 where it was not said. It is a whole second, so the cut-off is its end;
    what names no time, or one to come, counts as issued when it was received for the first time.
    """
    row = await connection.fetchrow(
        """
        INSERT INTO signed_requests (platform, purpose, request_sha256, code, expires_at)
        SELECT $1, $2, $3, $5, greatest(now(), to_timestamp($4)) + make_interval(days => $6)
        WHERE $4 = 0 OR to_timestamp($4) >= now() - make_interval(days => $6)
        ON CONFLICT (platform, purpose, request_sha256) DO UPDATE SET code = signed_requests.code
        RETURNING CASE WHEN $4 = 0 THEN received_at ELSE least(received_at, to_timestamp($4 + 1)) END,
            code, code = $5""",
        platform,
        purpose,
        digest,
        float(issued_at),
        code,
        days,
    )
    return None if row is None else Accepted(*row)


async def is_accepted(connection: asyncpg.Connection, platform: str, purpose: str, digest: bytes) -> bool:
    """Return whether a signed request was accepted for this purpose."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM signed_requests WHERE platform = $1 AND purpose = $2 AND request_sha256 = $3)",
        platform,
        purpose,
        digest,
    )
    return found


async def request_deletion(
    connection: asyncpg.Connection, code: str, platform: str, user: str, requested_at: datetime
) -> None:
    """Store a deletion request; the same request again changes nothing."""
    await connection.execute(
        """
        INSERT INTO deletion_requests (code, platform, user_id, requested_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT DO NOTHING""",
        code,
        platform,
        user,
        requested_at,
    )


async def deletion(connection: asyncpg.Connection, code: str) -> tuple[datetime, datetime | None] | None:
    """Return when a deletion was requested and when it was done."""
    row = await connection.fetchrow("SELECT requested_at, done_at FROM find_deletion_request($1)", code)
    return None if row is None else (row["requested_at"], row["done_at"])
