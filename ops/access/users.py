"""People: who belongs to which tenant, and what each role may do there.

A person is one for the whole install, with one password; a tenant has members. So what an owner does ends at the
tenant's border: only the person, or whoever runs the install, changes a password.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import uuid_utils

from ops.access import api_keys, password_rules, passwords, user_store
from ops.access.audit_log_store import Actor, audit
from ops.access.passwords import LONGEST, Unfit
from ops.runtime.db import Pool
from ops.runtime.tenancy import ALL_TENANTS, other_tenant, tenant_transaction

SCOPES = {
    "owner": (*api_keys.SCOPES, "keys:write", "people:write"),
    "editor": ("connections:read", "connections:write"),
    "viewer": ("connections:read",),
}
LONGEST_EMAIL = 254
"""In characters (RFC 5321 4.5.3.1.3, without the brackets)."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Wrong(Exception):  # noqa: N818  an answer
    """What was given cannot be taken; the text says why."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What ended with a membership, or with a role: the names of API keys."""

    keys: tuple[str, ...] = ()


async def add(
    pool: Pool, tenant: str, email: str, password: str, role: str, actor: Actor, *, must_change: bool = False
) -> None:
    """Let somebody in, for whoever runs the install: the password replaces the one there was, and ends all sessions of
    the person. Raises Wrong, of somebody whom only other tenants know too: that person is invited and confirms it.

    With ``must_change`` the password opens nothing but the form in which the person chooses another one.
    """
    email, role = address(email), role_called(role)
    hashed = await passwords.hashed(strong(password, email))
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        if await user_store.person_called(connection, email) and not await belongs(connection, tenant, email):
            raise Wrong(f"{email} has a password, for another tenant: give none, and they are invited")
        user = await connection.fetchval(
            """
            INSERT INTO users (id, email, password_hash, password_tenant_id) VALUES ($1::uuid, $2, $3, $4::uuid)
            ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash, disabled_at = NULL,
                password_tenant_id = excluded.password_tenant_id
            RETURNING id::text""",
            str(uuid_utils.uuid7()),
            email,
            hashed,
            tenant if must_change else None,
        )
        await shut_out(connection, user)
        await note(connection, user, actor, "user.password_set", email)
        await user_store.withdraw(connection, tenant, email=email)
        if await joined(connection, tenant, user, role):
            await audit(connection, tenant, actor, "user.added", email, role=role)
        else:
            await _change(connection, tenant, user, email, role, actor)


async def change_role(pool: Pool, tenant: str, user: str, role: str, actor: Actor) -> bool:
    """False where the tenant has no such person. Raises Wrong."""
    role = role_called(role)
    async with tenant_transaction(pool, tenant) as connection:
        email = await _email(connection, tenant, user)
        if email is not None:
            await _change(connection, tenant, user, email, role, actor)
    return email is not None


async def remove(pool: Pool, tenant: str, user: str, actor: Actor) -> Ended | None:
    """End a membership, and what the person set going at this tenant; who belongs to no other is forgotten.

    None where the tenant has no such person. Raises Wrong.
    """
    async with tenant_transaction(pool, tenant) as connection:
        email = await _email(connection, tenant, user)
        if email is None:
            return None
        await _keep_an_owner(connection, tenant, user, email)
        for table in ("sessions", "memberships"):
            await connection.execute(
                f"DELETE FROM {table} WHERE tenant_id = $1::uuid AND user_id = $2::uuid", tenant, user
            )
        await audit(connection, tenant, actor, "user.removed", email)
        await user_store.withdraw(connection, tenant, email=email)
        ended = await _end_access(connection, tenant, user, email, actor)
        # A password that was chosen for the person here was for this membership.
        await connection.execute(
            "UPDATE users SET password_hash = '' WHERE id = $1::uuid AND password_tenant_id = $2::uuid", user, tenant
        )
        await user_store.forget(connection, user)
    return ended


async def disable(pool: Pool, tenant: str, email: str, actor: Actor) -> Ended | None:
    """Shut a member out of every tenant, at once, with what the person set going at each.

    None where there is none who could log in; the keys are those of this tenant.
    """
    email = email.strip().lower()
    ended = {}
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        user = await connection.fetchval(
            """
            UPDATE users SET disabled_at = now() WHERE email = $1 AND disabled_at IS NULL
                AND id IN (SELECT user_id FROM memberships WHERE tenant_id = $2::uuid) RETURNING id::text""",
            email,
            tenant,
        )
        if user is None:
            return None
        await shut_out(connection, user)
        await note(connection, user, actor, "user.disabled", email)
        for row in await connection.fetch("SELECT tenant_id::text FROM memberships WHERE user_id = $1::uuid", user):
            ended[row["tenant_id"]] = await _end_access(connection, row["tenant_id"], user, email, actor)
    return ended[tenant]


async def password_fits(pool: Pool, email: str, password: str) -> bool | None:
    """Whether somebody would be let in with this password, for whoever runs the install; None where nobody is known."""
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        row = await connection.fetchrow("SELECT password_hash FROM users WHERE email = $1", email)
    return None if row is None else await passwords.verified(password, row["password_hash"]) is not None


async def listed(pool: Pool, tenant: str) -> list[asyncpg.Record]:
    async with tenant_transaction(pool, tenant) as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            """
            SELECT u.id::text, u.email, m.role, u.disabled_at, (
                SELECT count(*) FROM api_keys k WHERE k.user_id = u.id AND k.revoked_at IS NULL) AS keys
            FROM users u JOIN memberships m ON m.user_id = u.id ORDER BY u.email"""
        )
    return found


async def member(pool: Pool, tenant: str, email: str) -> str | None:
    """The id of somebody whom this tenant knows."""
    async with tenant_transaction(pool, tenant) as connection:
        user: str | None = await connection.fetchval(
            "SELECT id::text FROM users JOIN memberships ON user_id = id WHERE email = $1", email.strip().lower()
        )
    return user


async def belongs(connection: asyncpg.Connection, tenant: str, email: str) -> bool:
    """Whether an address is a member's."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM users JOIN memberships ON user_id = id WHERE email = $1 AND tenant_id = $2::uuid)",
        email,
        tenant,
    )
    return found


async def note(connection: asyncpg.Connection, user: str, actor: Actor, action: str, email: str, **detail: str) -> None:
    """Say in the log of every tenant of a person what is about the person, whichever tenant it was done at."""
    for tenant in await user_store.tenants_of(connection, user):
        async with other_tenant(connection, tenant):
            await audit(connection, tenant, actor, action, email, **detail)


async def shut_out(connection: asyncpg.Connection, user: str) -> None:
    """End every session and unfinished login of a person, and know no browser of theirs any more."""
    await connection.execute("DELETE FROM pending_logins WHERE user_id = $1::uuid", user)
    for tenant in await user_store.tenants_of_sessions(connection, user):
        async with other_tenant(connection, tenant):
            await connection.execute("DELETE FROM sessions WHERE user_id = $1::uuid", user)
    await connection.execute("DELETE FROM devices WHERE user_id = $1::uuid", user)


def strong(password: str, email: str) -> str:
    """In its normal form, as a password of whoever has this address. Raises Wrong, which says which rule it breaks."""
    try:
        return password_rules.fitting(password, email)
    except Unfit as unfit:
        raise Wrong(str(unfit)) from None


def possible(password: str) -> None:
    """Raises Wrong for what is nobody's password, being longer than any."""
    try:
        length = len(passwords.normalised(password))
    except Unfit:
        length = len(password)
    if length > LONGEST:
        raise Wrong(f"a password has at most {LONGEST} characters")


def address(email: str) -> str:
    email = email.strip().lower()
    if len(email) > LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise Wrong(f"{email[:LONGEST_EMAIL]!r} is no email address")
    return email


def role_called(role: str) -> str:
    if role not in SCOPES:
        raise Wrong(f"a role is one of {', '.join(SCOPES)}")
    return role


async def joined(connection: asyncpg.Connection, tenant: str, user: str, role: str) -> bool:
    """Whether this made somebody a member who was none."""
    row = await connection.fetchrow(
        "INSERT INTO memberships (tenant_id, user_id, role) VALUES ($1::uuid, $2::uuid, $3)"
        " ON CONFLICT (tenant_id, user_id) DO NOTHING RETURNING 1",
        tenant,
        user,
        role,
    )
    return row is not None


async def _change(connection: asyncpg.Connection, tenant: str, user: str, email: str, role: str, actor: Actor) -> None:
    """Raises Wrong."""
    if role != "owner":
        await _keep_an_owner(connection, tenant, user, email)
    key = (tenant, user)
    before = await connection.fetchval(
        "SELECT role FROM memberships WHERE tenant_id = $1::uuid AND user_id = $2::uuid FOR UPDATE", *key
    )
    if before != role:
        await connection.execute(
            "UPDATE memberships SET role = $3 WHERE tenant_id = $1::uuid AND user_id = $2::uuid", *key, role
        )
        await audit(connection, tenant, actor, "user.role_changed", email, **{"from": before, "to": role})
        await _end_access(connection, tenant, user, email, actor, SCOPES[role])


async def _end_access(
    connection: asyncpg.Connection, tenant: str, user: str, email: str, actor: Actor, scopes: Sequence[str] = ()
) -> Ended:
    """End what a person set going at a tenant and may not do any more: keys, flows and invitations.

    ``scopes`` are those that the person still has there.
    """
    revoked = await user_store.end_keys(connection, tenant, user, scopes)
    for name in revoked:
        await audit(connection, tenant, actor, "key.revoked", name, made_by=email)
    flows = [f"key:{name}" for name in revoked] + ([] if "connections:write" in scopes else [f"user:{email}"])
    await user_store.end_flows(connection, tenant, flows)
    if "people:write" not in scopes:
        for invited in await user_store.end_invitations(connection, tenant, user):
            await audit(connection, tenant, actor, "invitation.withdrawn", invited, invited_by=email)
    return Ended(tuple(revoked))


async def _keep_an_owner(connection: asyncpg.Connection, tenant: str, user: str, email: str) -> None:
    """Raises Wrong where nobody would be left to look after the tenant.

    Locks the owners, so that two who demote each other at once do not both succeed.
    """
    rows = await connection.fetch(
        """
        SELECT m.user_id::text, u.disabled_at IS NULL AS live FROM memberships m JOIN users u ON u.id = m.user_id
        WHERE m.tenant_id = $1::uuid AND m.role = 'owner' ORDER BY m.user_id FOR UPDATE OF m""",
        tenant,
    )
    owners = {row["user_id"]: row["live"] for row in rows}
    if user in owners and not any(live for other, live in owners.items() if other != user):
        raise Wrong(f"{email} is the last owner; make somebody else an owner first")


async def _email(connection: asyncpg.Connection, tenant: str, user: str) -> str | None:
    email: str | None = await connection.fetchval(
        """
        SELECT email FROM users JOIN memberships ON user_id = id
        WHERE id = $2::uuid AND tenant_id = $1::uuid""",
        tenant,
        user,
    )
    return email
