"""Memberships: which users belong to which tenant, and in which role."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ops.access.errors import RoleChangedError
from schema.states import FLOW

FLOW_ENDED = "Whoever began this may not connect accounts any more; nothing was connected."


@dataclass(frozen=True, slots=True)
class Member:
    """``api_keys`` counts the live keys that the member made."""

    id: str
    email: str
    role: str
    disabled_at: datetime | None
    api_keys: int


async def tenants_of(connection: asyncpg.Connection, user: str) -> list[str]:
    """Return the ids of the tenants of a user, the first one joined first."""
    rows = await connection.fetch("SELECT tenant_id::text FROM find_tenants_of_person($1::uuid)", user)
    return [row["tenant_id"] for row in rows]


async def list_members(connection: asyncpg.Connection) -> list[Member]:
    """Return the members of the transaction's tenant, by address."""
    rows = await connection.fetch(
        """
        SELECT u.id::text, u.email, m.role, u.disabled_at, (
            SELECT count(*) FROM api_keys k WHERE k.user_id = u.id AND k.revoked_at IS NULL)
        FROM users u JOIN memberships m ON m.user_id = u.id ORDER BY u.email"""
    )
    return [Member(*row) for row in rows]


async def find(connection: asyncpg.Connection, email: str) -> str | None:
    """Return the id of the member of the transaction's tenant with this address, or None."""
    user: str | None = await connection.fetchval(
        "SELECT id::text FROM users JOIN memberships ON user_id = id WHERE email = $1", email
    )
    return user


async def is_member(connection: asyncpg.Connection, tenant: str, email: str) -> bool:
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM users JOIN memberships ON user_id = id WHERE email = $1 AND tenant_id = $2::uuid)",
        email,
        tenant,
    )
    return found


async def email_of(connection: asyncpg.Connection, tenant: str, user: str) -> str | None:
    """Return the address of a member, or None if the user is none."""
    email: str | None = await connection.fetchval(
        "SELECT email FROM users JOIN memberships ON user_id = id WHERE id = $2::uuid AND tenant_id = $1::uuid",
        tenant,
        user,
    )
    return email


async def insert(connection: asyncpg.Connection, tenant: str, user: str, role: str) -> bool:
    """Make somebody a member. Return False if they are one already, with whatever role."""
    inserted: bool | None = await connection.fetchval(
        """
        INSERT INTO memberships (tenant_id, user_id, role) VALUES ($1::uuid, $2::uuid, $3)
        ON CONFLICT (tenant_id, user_id) DO NOTHING RETURNING true""",
        tenant,
        user,
        role,
    )
    return inserted is not None


async def delete(connection: asyncpg.Connection, tenant: str, user: str) -> None:
    await connection.execute("DELETE FROM memberships WHERE tenant_id = $1::uuid AND user_id = $2::uuid", tenant, user)


async def lock_role(connection: asyncpg.Connection, tenant: str, user: str) -> str | None:
    """Return the role of a member, locked for the transaction."""
    role: str | None = await connection.fetchval(
        "SELECT role FROM memberships WHERE tenant_id = $1::uuid AND user_id = $2::uuid FOR UPDATE", tenant, user
    )
    return role


async def set_role(connection: asyncpg.Connection, tenant: str, user: str, role: str) -> None:
    await connection.execute(
        "UPDATE memberships SET role = $3 WHERE tenant_id = $1::uuid AND user_id = $2::uuid", tenant, user, role
    )


async def require_role(connection: asyncpg.Connection, tenant: str, user: str, role: str) -> None:
    """Raise RoleChangedError unless the user has this role. Nobody can change it before the transaction ends."""
    held: str | None = await connection.fetchval(
        "SELECT role FROM memberships WHERE tenant_id = $1::uuid AND user_id = $2::uuid FOR SHARE", tenant, user
    )
    if held != role:
        raise RoleChangedError


async def lock_owners(connection: asyncpg.Connection, tenant: str) -> Mapping[str, bool]:
    """Return for each owner, by id, whether they are enabled. Locks them, so that two who demote each other wait."""
    rows = await connection.fetch(
        """
        SELECT m.user_id::text, u.disabled_at IS NULL AS enabled FROM memberships m JOIN users u ON u.id = m.user_id
        WHERE m.tenant_id = $1::uuid AND m.role = 'owner' ORDER BY m.user_id FOR UPDATE OF m""",
        tenant,
    )
    return {row["user_id"]: row["enabled"] for row in rows}


async def end_flows(connection: asyncpg.Connection, tenant: str, actors: Sequence[str]) -> None:
    """End the authorization flows that these actors began and did not finish."""
    outcome = {"ok": False, "says": FLOW_ENDED, "return_to": "", "connections": [], "kind": "ended"}
    await connection.execute(
        f"""
        UPDATE oauth_states SET outcome = $3::jsonb, sealed_accounts = NULL
        WHERE tenant_id = $1::uuid AND actor = ANY($2::text[]) AND {FLOW.allows("withdraw")}""",
        tenant,
        list(actors),
        json.dumps(outcome),
    )
