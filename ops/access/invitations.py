"""Invitations: a link that works once, for one tenant, in the hands of the person who is invited.

Nobody is a member before that person says so. Whoever has a password here confirms, logged in; a newcomer chooses a
password, which nobody else ever knows. The link is random and kept as a digest.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

import asyncpg
import uuid_utils

from ops.access import passwords, user_store, users
from ops.access.audit_log_store import Actor, audit
from ops.access.sessions import Person
from ops.access.users import Wrong
from ops.runtime.db import Pool
from ops.runtime.tenancy import NO_TENANT, tenant_transaction

LIFE_DAYS = 7
MOST = 100
"""Of a tenant, that wait: each may be a mail to somebody."""


class Gone(Exception):  # noqa: N818  an answer
    """The link was never one, was used or withdrawn, or is too old."""


class Known(Exception):  # noqa: N818  an answer
    """The address that is invited has a password here; its owner logs in and confirms."""


@dataclass(frozen=True, slots=True)
class Made:
    """``link`` is shown, or mailed, this once."""

    link: str
    email: str
    role: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Invitation:
    """``inviter`` is an address; None for whoever runs the install."""

    tenant: str
    tenant_name: str
    email: str
    role: str
    inviter: str | None
    until: datetime


def address_of(public_url: str, link: str) -> str:
    """Where the person who is invited opens a link."""
    return f"{public_url.rstrip('/')}/invitation?{urlencode({'link': link})}"


# --- for owners, and whoever runs the install


async def invite(pool: Pool, tenant: str, email: str, role: str, actor: Actor, inviter: Person | None = None) -> Made:
    """Invite an address, or invite it anew with another link. Raises Wrong, RoleChangedError."""
    email, role = users.address(email), users.role_called(role)
    async with tenant_transaction(pool, tenant) as connection:
        await _insist(connection, inviter)
        if await users.belongs(connection, tenant, email):
            raise Wrong(f"{email} is here already; change the role in the list")
        waiting = await connection.fetchval("SELECT count(*) FROM invitations WHERE email <> $1", email)
        if waiting >= MOST:
            raise Wrong(f"{MOST} invitations wait for somebody; withdraw some first")
        return await _made(connection, tenant, email, role, actor, inviter, "invitation.made")


async def renew(pool: Pool, tenant: str, id_: str, actor: Actor, inviter: Person) -> Made | None:
    """A new link in the place of the old one; None where the tenant has no such invitation. Raises RoleChangedError."""
    async with tenant_transaction(pool, tenant) as connection:
        await _insist(connection, inviter)
        row = await connection.fetchrow("SELECT email, role FROM invitations WHERE id = $1::uuid FOR UPDATE", id_)
        if row is None:
            return None
        return await _made(connection, tenant, row["email"], row["role"], actor, inviter, "invitation.renewed")


async def withdraw(pool: Pool, tenant: str, actor: Actor, *, id_: str = "", email: str = "") -> bool:
    """End an invitation, and its link. False where the tenant has no such one."""
    async with tenant_transaction(pool, tenant) as connection:
        found = await user_store.withdraw(connection, tenant, id_=id_, email=email.strip().lower())
        if found is not None:
            await audit(connection, tenant, actor, "invitation.withdrawn", found)
    return found is not None


async def listed(pool: Pool, tenant: str) -> list[asyncpg.Record]:
    """Who is invited, as what, by whom and until when; those that are over too, until they are tidied away."""
    async with tenant_transaction(pool, tenant) as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            """
            SELECT i.id::text, i.email, i.role, i.expires_at, i.expires_at <= now() AS over, u.email AS inviter
            FROM invitations i LEFT JOIN users u ON u.id = i.inviter_id ORDER BY i.email"""
        )
    return found


async def _insist(connection: asyncpg.Connection, inviter: Person | None) -> None:
    if inviter is not None:
        await user_store.insist_role(connection, inviter.tenant, inviter.user, inviter.role)


async def _made(
    connection: asyncpg.Connection,
    tenant: str,
    email: str,
    role: str,
    actor: Actor,
    inviter: Person | None,
    action: str,
) -> Made:
    link, id_ = secrets.token_urlsafe(32), str(uuid_utils.uuid7())
    user = inviter.user if inviter else None
    until = await user_store.invite(connection, tenant, id_, email, role, _digest(link), user, LIFE_DAYS)
    await audit(connection, tenant, actor, action, email, role=role)
    return Made(link, email, role, until)


# --- for whoever holds a link


async def opened(pool: Pool, link: str) -> Invitation | None:
    """The invitation that this link opens; None where it opens none, or none any more."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        row = await user_store.invitation(connection, _digest(link))
    return None if row is None else Invitation(*row)


async def confirm(pool: Pool, link: str, person: Person, address: str | None) -> str:
    """Let the person who is logged in belong to the tenant that invited them; its id. Raises Gone.

    Who belongs there already keeps the role.
    """
    found = await opened(pool, link)
    if found is None or found.email != person.email:
        raise Gone
    async with tenant_transaction(pool, found.tenant) as connection:
        row = await user_store.accept(connection, found.tenant, _digest(link))
        live = await connection.fetchval(
            "SELECT true FROM users WHERE id = $1::uuid AND disabled_at IS NULL FOR UPDATE", person.user
        )
        if row is None or not live:
            raise Gone
        await _joined(connection, found.tenant, person.user, row, person.actor(address))
    return found.tenant


async def join(pool: Pool, link: str, password: str, address: str | None) -> str:
    """Let a newcomer belong to the tenant that invited them, with a password of their own; their address.

    Raises Gone, Known, Wrong, Busy.
    """
    found = await opened(pool, link)
    if found is None:
        raise Gone
    password = users.strong(password, found.email)
    with passwords.line():
        hashed = await passwords.hashed(password)
    async with tenant_transaction(pool, found.tenant) as connection:
        row = await user_store.accept(connection, found.tenant, _digest(link))
        if row is None:
            raise Gone
        if await user_store.person_called(connection, row["email"]) is not None:
            raise Known
        user = await connection.fetchval(
            "INSERT INTO users (id, email, password_hash) VALUES ($1::uuid, $2, $3)"
            " ON CONFLICT (email) DO NOTHING RETURNING id::text",
            str(uuid_utils.uuid7()),
            row["email"],
            hashed,
        )
        if user is None:  # through another tenant's invitation, at this moment
            raise Known
        await _joined(connection, found.tenant, user, row, Actor(f"user:{row['email']}", address))
    return found.email


async def _joined(connection: asyncpg.Connection, tenant: str, user: str, row: asyncpg.Record, actor: Actor) -> None:
    if await users.joined(connection, tenant, user, row["role"]):
        by = {"invited_by": row["inviter"]} if row["inviter"] else {}
        await audit(connection, tenant, actor, "user.added", row["email"], role=row["role"], **by)


def _digest(link: str) -> bytes:
    return hashlib.sha256(link.encode()).digest()
