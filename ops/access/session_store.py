"""Sessions: insert, look up, and end. A token is kept as a digest."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

import asyncpg

from ops.access.second_factor_store import has_factor_sql

_ACTIVE = f"""(s.expires_at > now() AND s.last_used_at > now() - make_interval(mins => {{idle}})
    AND (s.second_factor OR NOT {has_factor_sql("s.user_id")}))"""
"""SQL: whether a session ``s`` has not ended. ``idle`` is how many minutes it may go without use."""


@dataclass(frozen=True, slots=True)
class ActiveSession:
    """``tenants`` are all of the user's, each an id and a name, the first one joined first.

    ``second_factor`` says whether the session began with one, ``use_unrecorded`` whether its use has to be written.
    """

    tenant: str
    user: str
    email: str
    role: str
    second_factor: bool
    browser: str
    tenants: Sequence[tuple[str, str]]
    use_unrecorded: bool

    @classmethod
    def of(cls, row: asyncpg.Record) -> Self:
        tenant, user, email, role, second_factor, browser, tenants, use_unrecorded = row
        named = [(id_, name) for id_, _, name in (text.partition(" ") for text in tenants)]
        return cls(tenant, user, email, role, second_factor, browser, named, use_unrecorded)


@dataclass(frozen=True, slots=True)
class ListedSession:
    """``tenant`` is a name; ``current`` marks the session that asks."""

    id: str
    tenant: str
    browser: str
    address: str | None
    created_at: datetime
    last_used_at: datetime
    current: bool


@dataclass(frozen=True, slots=True)
class MovedSession:
    """What stays of a session that goes on at another tenant."""

    user: str
    created_at: datetime
    expires_at: datetime
    browser: str
    second_factor: bool


async def enter_tenant(connection: asyncpg.Connection, digest: bytes) -> str | None:
    """Go on for the tenant of a session. Return its id, or None if there is no such session."""
    tenant: str | None = await connection.fetchval(
        "SELECT set_config('landfall.tenant', tenant_id::text, true) FROM find_session($1)", digest
    )
    return tenant


async def find_tenant(connection: asyncpg.Connection, digest: bytes) -> str | None:
    """Return the id of the tenant of a session, or None if there is no such session."""
    tenant: str | None = await connection.fetchval("SELECT tenant_id::text FROM find_session($1)", digest)
    return tenant


async def tenants_of(connection: asyncpg.Connection, user: str) -> list[str]:
    """Return the tenants where a user has sessions, in one order, so that two who end sessions do not deadlock."""
    rows = await connection.fetch("SELECT tenant_id::text FROM find_tenants_of_sessions($1::uuid)", user)
    return [row["tenant_id"] for row in rows]


async def find_active(
    connection: asyncpg.Connection, digest: bytes, idle_minutes: int, recorded_seconds: int
) -> ActiveSession | None:
    """Return a session of the transaction's tenant that has not ended, or None."""
    row = await connection.fetchrow(
        f"""
        SELECT s.tenant_id::text, s.user_id::text, u.email, m.role, s.second_factor, s.browser, array(
                SELECT t.id::text || ' ' || t.name
                FROM find_tenants_of_person(s.user_id) WITH ORDINALITY AS o (id, place) JOIN tenants t USING (id)
                ORDER BY o.place),
            s.last_used_at < now() - make_interval(secs => $3)
        FROM sessions s
        JOIN users u ON u.id = s.user_id AND u.disabled_at IS NULL
        JOIN memberships m ON m.user_id = s.user_id AND m.tenant_id = s.tenant_id
        WHERE s.session_sha256 = $1 AND {_ACTIVE.format(idle="$2")}""",
        digest,
        idle_minutes,
        recorded_seconds,
    )
    return None if row is None else ActiveSession.of(row)


async def record_use(connection: asyncpg.Connection, digest: bytes, seconds: int) -> None:
    """Write that a session is in use, unless that was written within ``seconds``."""
    await connection.execute(
        """
        UPDATE sessions SET last_used_at = now()
        WHERE session_sha256 = $1 AND last_used_at < now() - make_interval(secs => $2)""",
        digest,
        seconds,
    )


async def list_active(
    connection: asyncpg.Connection, user: str, current: bytes, idle_minutes: int
) -> list[ListedSession]:
    """Return the sessions of a user at the transaction's tenant that have not ended."""
    rows = await connection.fetch(
        f"""
        SELECT s.id::text, t.name, s.browser, host(s.address), s.created_at, s.last_used_at, s.session_sha256 = $2
        FROM sessions s JOIN tenants t ON t.id = s.tenant_id
        WHERE s.user_id = $1::uuid AND {_ACTIVE.format(idle="$3")} ORDER BY s.id""",
        user,
        current,
        idle_minutes,
    )
    return [ListedSession(*row) for row in rows]


async def insert(
    connection: asyncpg.Connection,
    tenant: str,
    user: str,
    digest: bytes,
    address: str | None,
    *,
    hours: int,
    browser: str,
    second_factor: bool,
) -> None:
    await connection.execute(
        """
        INSERT INTO sessions (tenant_id, session_sha256, user_id, address, expires_at, browser, second_factor)
        VALUES ($1::uuid, $2, $3::uuid, $4::inet, now() + make_interval(hours => $5), $6, $7)""",
        tenant,
        digest,
        user,
        address,
        hours,
        browser,
        second_factor,
    )


async def insert_moved(
    connection: asyncpg.Connection, tenant: str, digest: bytes, address: str | None, moved: MovedSession
) -> None:
    """Go on with a session at another tenant. It ends when it would have ended."""
    await connection.execute(
        """
        INSERT INTO sessions (tenant_id, session_sha256, address, user_id, created_at, expires_at, browser,
            second_factor)
        VALUES ($1::uuid, $2, $3::inet, $4::uuid, $5, $6, $7, $8)""",
        tenant,
        digest,
        address,
        moved.user,
        moved.created_at,
        moved.expires_at,
        moved.browser,
        moved.second_factor,
    )


async def take(connection: asyncpg.Connection, digest: bytes) -> MovedSession | None:
    """Delete a session and return what stays of it; None if there is none."""
    row = await connection.fetchrow(
        """
        DELETE FROM sessions WHERE session_sha256 = $1
        RETURNING user_id::text, created_at, expires_at, browser, second_factor""",
        digest,
    )
    return None if row is None else MovedSession(*row)


async def delete(connection: asyncpg.Connection, digest: bytes) -> str | None:
    """Delete a session. Return the address of its user, or None if there is none."""
    email: str | None = await connection.fetchval(
        "DELETE FROM sessions s USING users u WHERE s.session_sha256 = $1 AND u.id = s.user_id RETURNING u.email",
        digest,
    )
    return email


async def delete_by_id(connection: asyncpg.Connection, user: str, id_: str) -> bool:
    """Delete a session of a user. Return False if the transaction's tenant has none of this id."""
    deleted: bool | None = await connection.fetchval(
        "DELETE FROM sessions WHERE id = $1::uuid AND user_id = $2::uuid RETURNING true", id_, user
    )
    return deleted is not None


async def delete_others(connection: asyncpg.Connection, user: str, kept: bytes) -> int:
    """Delete the sessions of a user at the transaction's tenant but one. Return how many."""
    rows = await connection.fetch(
        "DELETE FROM sessions WHERE user_id = $1::uuid AND session_sha256 <> $2 RETURNING 1", user, kept
    )
    return len(rows)


async def delete_all_of(connection: asyncpg.Connection, user: str) -> None:
    """Delete the sessions of a user at the transaction's tenant."""
    await connection.execute("DELETE FROM sessions WHERE user_id = $1::uuid", user)


async def delete_at(connection: asyncpg.Connection, tenant: str, user: str) -> None:
    """Delete the sessions of a user at this tenant."""
    await connection.execute("DELETE FROM sessions WHERE tenant_id = $1::uuid AND user_id = $2::uuid", tenant, user)


async def mark_second_factor(connection: asyncpg.Connection, digest: bytes) -> None:
    """Write that a second factor was proven in a session."""
    await connection.execute("UPDATE sessions SET second_factor = true WHERE session_sha256 = $1", digest)
