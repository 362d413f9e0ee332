"""Invitations: insert, look up, and delete. A link is kept as a digest."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg
import uuid_utils

from ops.runtime.tenancy import set_tenant


@dataclass(frozen=True, slots=True)
class ListedInvitation:
    """``inviter`` is an address; None for whoever runs the installation. Expired ones stay in the list for a while."""

    id: str
    email: str
    role: str
    expires_at: datetime
    expired: bool
    inviter: str | None


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a link opens. ``inviter`` is an address; None for whoever runs the installation."""

    tenant: str
    tenant_name: str
    email: str
    role: str
    inviter: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class AcceptedInvitation:
    """``inviter`` is an address; None for whoever runs the installation."""

    email: str
    role: str
    inviter: str | None


async def find(connection: asyncpg.Connection, digest: bytes) -> Invitation | None:
    """Return the invitation that a link opens, or None. The transaction goes on for its tenant."""
    tenant = await connection.fetchval("SELECT tenant_id::text FROM find_invitation($1)", digest)
    if tenant is None:
        return None
    await set_tenant(connection, tenant)
    row = await connection.fetchrow(
        """
        SELECT i.tenant_id::text, t.name, i.email, i.role, u.email, i.expires_at
        FROM invitations i JOIN tenants t ON t.id = i.tenant_id LEFT JOIN users u ON u.id = i.inviter_id
        WHERE i.link_sha256 = $1 AND i.expires_at > now()""",
        digest,
    )
    return None if row is None else Invitation(*row)


async def count_others(connection: asyncpg.Connection, email: str) -> int:
    """Count the invitations of the transaction's tenant for other addresses than this."""
    count: int = await connection.fetchval("SELECT count(*) FROM invitations WHERE email <> $1", email)
    return count


async def lock(connection: asyncpg.Connection, id_: str) -> tuple[str, str] | None:
    """Return the address and the role of an invitation, locked for the transaction; None if there is none."""
    row = await connection.fetchrow("SELECT email, role FROM invitations WHERE id = $1::uuid FOR UPDATE", id_)
    return None if row is None else (row["email"], row["role"])


async def save(
    connection: asyncpg.Connection,
    tenant: str,
    email: str,
    role: str,
    digest: bytes,
    inviter: str | None,
    days: int,
) -> datetime:
    """Insert an invitation, or replace the one for the same address. Return when it expires."""
    expires_at: datetime = await connection.fetchval(
        """
        INSERT INTO invitations (tenant_id, id, email, role, link_sha256, inviter_id, expires_at)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6::uuid, now() + make_interval(days => $7))
        ON CONFLICT (tenant_id, email) DO UPDATE SET role = excluded.role, link_sha256 = excluded.link_sha256,
            inviter_id = excluded.inviter_id, created_at = now(), expires_at = excluded.expires_at
        RETURNING expires_at""",
        tenant,
        str(uuid_utils.uuid7()),
        email,
        role,
        digest,
        inviter,
        days,
    )
    return expires_at


async def accept(connection: asyncpg.Connection, tenant: str, digest: bytes) -> AcceptedInvitation | None:
    """Use a link up. None if that was done before, or it expired. Of two requests at once one waits and gets None."""
    row = await connection.fetchrow(
        """
        DELETE FROM invitations WHERE tenant_id = $1::uuid AND link_sha256 = $2 AND expires_at > now()
        RETURNING email, role, (SELECT u.email FROM users u WHERE u.id = inviter_id)""",
        tenant,
        digest,
    )
    return None if row is None else AcceptedInvitation(*row)


async def withdraw(connection: asyncpg.Connection, tenant: str, *, id_: str = "", email: str = "") -> str | None:
    """Delete an invitation by its id or its address. Return the address, or None if there is none."""
    found: str | None = await connection.fetchval(
        "DELETE FROM invitations WHERE tenant_id = $1::uuid AND (id::text = $2 OR email = $3) RETURNING email",
        tenant,
        id_,
        email,
    )
    return found


async def withdraw_made_by(connection: asyncpg.Connection, tenant: str, inviter: str) -> list[str]:
    """Delete what a user invited others to. Return their addresses."""
    rows = await connection.fetch(
        "DELETE FROM invitations WHERE tenant_id = $1::uuid AND inviter_id = $2::uuid RETURNING email", tenant, inviter
    )
    return sorted(row["email"] for row in rows)


async def list_all(connection: asyncpg.Connection) -> list[ListedInvitation]:
    """Return the invitations of the transaction's tenant, by address."""
    rows = await connection.fetch(
        """
        SELECT i.id::text, i.email, i.role, i.expires_at, i.expires_at <= now(), u.email
        FROM invitations i LEFT JOIN users u ON u.id = i.inviter_id ORDER BY i.email"""
    )
    return [ListedInvitation(*row) for row in rows]
