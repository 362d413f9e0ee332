"""Persons across tenants, and what ends with a membership.

A person is one for the whole install, so a few questions reach beyond one tenant. They are all here, each by an id or a
digest, and answer no more than is asked.
"""

import json
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from ops.runtime.tenancy import set_tenant

ENDED = "Whoever began this may not connect accounts any more; nothing was connected."


class RoleChangedError(Exception):
    """Whoever asks has another role by now, or none."""


# --- across tenants


async def person_called(connection: asyncpg.Connection, email: str) -> str | None:
    """The id of whoever has this address, locked against being forgotten or joining elsewhere meanwhile.

    None where nobody has, or only somebody who belongs to no tenant: the previous release kept such persons, and their
    passwords may be ones that somebody else chose. They are forgotten here.
    """
    user: str | None = await connection.fetchval("SELECT id::text FROM users WHERE email = $1 FOR UPDATE", email)
    return None if user is None or await forget(connection, user) else user


async def forget(connection: asyncpg.Connection, user: str) -> bool:
    """Forget a person who belongs to no tenant any more: password, browsers and sessions. Whether that was so."""
    forgotten: bool = await connection.fetchval("SELECT forget_person($1::uuid)", user)
    return forgotten


async def forget_strangers(connection: asyncpg.Connection) -> None:
    """Forget whoever belongs to no tenant: the previous release removes people and keeps their passwords."""
    rows = await connection.fetch(
        "SELECT id::text FROM users u WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.user_id = u.id)"
    )
    for row in rows:
        await forget(connection, row["id"])


async def tenants_of(connection: asyncpg.Connection, user: str) -> list[str]:
    """Where a person is a member: ids, the first tenant first."""
    rows = await connection.fetch("SELECT tenant_id::text FROM find_tenants_of_person($1::uuid)", user)
    return [row["tenant_id"] for row in rows]


async def tenant_of_session(connection: asyncpg.Connection, digest: bytes) -> str | None:
    """At which tenant a session is, if it is anywhere."""
    tenant: str | None = await connection.fetchval("SELECT tenant_id::text FROM find_session($1)", digest)
    return tenant


async def tenants_of_sessions(connection: asyncpg.Connection, user: str) -> list[str]:
    """Where a person has sessions: ids, in one order, so that two who end sessions at once do not block each other."""
    rows = await connection.fetch("SELECT tenant_id::text FROM find_tenants_of_sessions($1::uuid)", user)
    return [row["tenant_id"] for row in rows]


async def invitation(connection: asyncpg.Connection, digest: bytes) -> asyncpg.Record | None:
    """The invitation that a link opens, as long as it does. The transaction goes on for its tenant."""
    tenant = await connection.fetchval("SELECT tenant_id::text FROM find_invitation($1)", digest)
    if tenant is None:
        return None
    await set_tenant(connection, tenant)
    return await connection.fetchrow(
        """
        SELECT i.tenant_id::text AS tenant, t.name AS tenant_name, i.email, i.role, u.email AS inviter, i.expires_at
        FROM invitations i JOIN tenants t ON t.id = i.tenant_id LEFT JOIN users u ON u.id = i.inviter_id
        WHERE i.link_sha256 = $1 AND i.expires_at > now()""",
        digest,
    )


# --- within the transaction's tenant


async def insist_role(connection: asyncpg.Connection, tenant: str, user: str, role: str) -> None:
    """Raises RoleChangedError unless a person has this role; nobody can change that before the transaction ends."""
    held = await connection.fetchval(
        "SELECT role FROM memberships WHERE tenant_id = $1::uuid AND user_id = $2::uuid FOR SHARE", tenant, user
    )
    if held != role:
        raise RoleChangedError


async def invite(
    connection: asyncpg.Connection,
    tenant: str,
    id_: str,
    email: str,
    role: str,
    digest: bytes,
    inviter: str | None,
    days: int,
) -> datetime:
    """Keep an invitation, in the place of the one for the same address; until when it holds."""
    until: datetime = await connection.fetchval(
        """
        INSERT INTO invitations (tenant_id, id, email, role, link_sha256, inviter_id, expires_at)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6::uuid, now() + make_interval(days => $7))
        ON CONFLICT (tenant_id, email) DO UPDATE SET role = excluded.role, link_sha256 = excluded.link_sha256,
            inviter_id = excluded.inviter_id, created_at = now(), expires_at = excluded.expires_at
        RETURNING expires_at""",
        tenant,
        id_,
        email,
        role,
        digest,
        inviter,
        days,
    )
    return until


async def accept(connection: asyncpg.Connection, tenant: str, digest: bytes) -> asyncpg.Record | None:
    """Use a link up; None where somebody did before, or where it is over. Of two at once one waits, and gets None."""
    return await connection.fetchrow(
        """
        DELETE FROM invitations WHERE tenant_id = $1::uuid AND link_sha256 = $2 AND expires_at > now()
        RETURNING email, role, (SELECT u.email FROM users u WHERE u.id = inviter_id) AS inviter""",
        tenant,
        digest,
    )


async def withdraw(connection: asyncpg.Connection, tenant: str, *, id_: str = "", email: str = "") -> str | None:
    """The address whose invitation, by its id or that address, is none any more; None where there is none."""
    found: str | None = await connection.fetchval(
        "DELETE FROM invitations WHERE tenant_id = $1::uuid AND (id::text = $2 OR email = $3) RETURNING email",
        tenant,
        id_,
        email,
    )
    return found


async def end_keys(connection: asyncpg.Connection, tenant: str, user: str, scopes: Sequence[str]) -> list[str]:
    """Revoke the living keys that a person made and that may more than ``scopes``; their names."""
    rows = await connection.fetch(
        """
        UPDATE api_keys SET revoked_at = now()
        WHERE tenant_id = $1::uuid AND user_id = $2::uuid AND revoked_at IS NULL AND NOT scopes <@ $3::text[]
        RETURNING name""",
        tenant,
        user,
        list(scopes),
    )
    return sorted(row["name"] for row in rows)


async def end_flows(connection: asyncpg.Connection, tenant: str, actors: Sequence[str]) -> None:
    """End the flows that these began and did not finish: nobody comes back from a platform with one, or chooses."""
    outcome = {"ok": False, "says": ENDED, "return_to": "", "connections": [], "kind": "ended"}
    await connection.execute(
        """
        UPDATE oauth_states SET outcome = $3::jsonb, sealed_accounts = NULL
        WHERE tenant_id = $1::uuid AND actor = ANY($2::text[]) AND (outcome IS NULL OR outcome->>'kind' = 'choose')""",
        tenant,
        list(actors),
        json.dumps(outcome),
    )


async def end_invitations(connection: asyncpg.Connection, tenant: str, inviter: str) -> list[str]:
    """Withdraw what a person invited others to; their addresses."""
    rows = await connection.fetch(
        "DELETE FROM invitations WHERE tenant_id = $1::uuid AND inviter_id = $2::uuid RETURNING email", tenant, inviter
    )
    return sorted(row["email"] for row in rows)
