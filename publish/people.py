"""People: who belongs to which tenant, and what each role may do there.

A person is one for the whole install, with one password; a tenant has members. So what an owner does ends at the
tenant's border: only the person, or whoever runs the install, changes a password.
"""

import re

import asyncpg
import uuid_utils

from ops.runtime.db import Pool
from publish import keys, passwords, store
from publish.passwords import LONGEST, SHORTEST, Unfit
from publish.store import EVERYBODY, Actor

SCOPES = {
    "owner": (*keys.SCOPES, "keys:write", "people:write"),
    "editor": ("connections:read", "connections:write"),
    "viewer": ("connections:read",),
}
LONGEST_EMAIL = 254
"""In characters (RFC 5321 4.5.3.1.3, without the brackets)."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Wrong(Exception):  # noqa: N818  an answer
    """What was given cannot be taken; the text says why."""


async def add(pool: Pool, tenant: str, email: str, password: str | None, role: str, actor: Actor) -> None:
    """Let somebody in, for whoever runs the install: a password given here replaces the one there was, and ends all
    sessions of the person; None is for somebody who has one. Raises Wrong.
    """
    email, role = _address(email), _role(role)
    hashed = None if password is None else await passwords.hashed(strong(password))
    async with store.acting(pool, EVERYBODY) as connection:
        if hashed is None:
            row = await connection.fetchrow("SELECT id::text, disabled_at FROM users WHERE email = $1", email)
            if row is None or row["disabled_at"] is not None:
                raise Wrong(f"{email} has no password, or is disabled: give one")
            user = str(row["id"])
        else:
            user = await connection.fetchval(
                """
                INSERT INTO users (id, email, password_hash) VALUES ($1::uuid, $2, $3)
                ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash, disabled_at = NULL
                RETURNING id::text""",
                str(uuid_utils.uuid7()),
                email,
                hashed,
            )
            await shut_out(connection, user)
            await note(connection, user, actor, "user.password_set", email)
        if await _joined(connection, tenant, user, role):
            await store.audit(connection, tenant, actor, "user.added", email, role=role)
        else:
            await _change(connection, tenant, user, email, role, actor)


async def invite(pool: Pool, tenant: str, email: str, password: str, role: str, actor: Actor) -> None:
    """Let somebody in, for an owner: the password is a newcomer's first one, and of no effect on anybody who has one,
    because that would be a way into another tenant. Raises Wrong.
    """
    email, role = _address(email), _role(role)
    hashed = await passwords.hashed(strong(password))
    async with store.acting(pool, EVERYBODY) as connection:
        await connection.execute(
            "INSERT INTO users (id, email, password_hash) VALUES ($1::uuid, $2, $3) ON CONFLICT (email) DO NOTHING",
            str(uuid_utils.uuid7()),
            email,
            hashed,
        )
        user = await connection.fetchval("SELECT id::text FROM users WHERE email = $1", email)
        if not await _joined(connection, tenant, user, role):
            raise Wrong(f"{email} is here already; change the role in the list")
        await store.audit(connection, tenant, actor, "user.added", email, role=role)


async def change_role(pool: Pool, tenant: str, user: str, role: str, actor: Actor) -> bool:
    """False where the tenant has no such person. Raises Wrong."""
    role = _role(role)
    async with store.acting(pool, tenant) as connection:
        email = await _email(connection, tenant, user)
        if email is not None:
            await _change(connection, tenant, user, email, role, actor)
    return email is not None


async def remove(pool: Pool, tenant: str, user: str, actor: Actor) -> bool:
    """End a membership, and the sessions at this tenant. False where it has no such person. Raises Wrong."""
    async with store.acting(pool, tenant) as connection:
        email = await _email(connection, tenant, user)
        if email is None:
            return False
        await _keep_an_owner(connection, tenant, user, email)
        for table in ("sessions", "memberships"):
            await connection.execute(
                f"DELETE FROM {table} WHERE tenant_id = $1::uuid AND user_id = $2::uuid", tenant, user
            )
        await store.audit(connection, tenant, actor, "user.removed", email)
    return True


async def disable(pool: Pool, tenant: str, email: str, actor: Actor) -> bool:
    """Shut a member out of every tenant, at once. False where there is none who could log in."""
    email = email.strip().lower()
    async with store.acting(pool, EVERYBODY) as connection:
        user = await connection.fetchval(
            """
            UPDATE users SET disabled_at = now() WHERE email = $1 AND disabled_at IS NULL
                AND id IN (SELECT user_id FROM memberships WHERE tenant_id = $2::uuid) RETURNING id::text""",
            email,
            tenant,
        )
        if user is not None:
            await shut_out(connection, user)
            await note(connection, user, actor, "user.disabled", email)
    return user is not None


async def listed(pool: Pool, tenant: str) -> list[asyncpg.Record]:
    async with store.acting(pool, tenant) as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            "SELECT id::text, email, role, disabled_at FROM users JOIN memberships ON user_id = id ORDER BY email"
        )
    return found


async def member(pool: Pool, tenant: str, email: str) -> str | None:
    """The id of somebody whom this tenant knows."""
    async with store.acting(pool, tenant) as connection:
        user: str | None = await connection.fetchval(
            "SELECT id::text FROM users JOIN memberships ON user_id = id WHERE email = $1", email.strip().lower()
        )
    return user


async def elsewhere(pool: Pool, tenant: str, email: str) -> bool:
    """Whether only other tenants know this address."""
    async with store.acting(pool, EVERYBODY) as connection:
        here: bool | None = await connection.fetchval(
            """
            SELECT bool_or(tenant_id = $2::uuid) FROM users JOIN memberships ON user_id = id
            WHERE email = $1 AND disabled_at IS NULL""",
            email.strip().lower(),
            tenant,
        )
    return here is False


async def note(connection: asyncpg.Connection, user: str, actor: Actor, action: str, email: str) -> None:
    """Say in the log of every tenant of a person what is about the person, whichever tenant it was done at."""
    rows = await connection.fetch("SELECT tenant_id::text FROM memberships WHERE user_id = $1::uuid", user)
    for row in rows:
        await store.audit(connection, row["tenant_id"], actor, action, email)


async def shut_out(connection: asyncpg.Connection, user: str) -> None:
    """End every session of a person, and know no browser of theirs any more."""
    for table in ("sessions", "devices"):
        await connection.execute(f"DELETE FROM {table} WHERE user_id = $1::uuid", user)


def strong(password: str) -> str:
    """In its normal form. Raises Wrong."""
    try:
        normal = passwords.normalised(password)
    except Unfit as unfit:
        raise Wrong(str(unfit)) from None
    if not SHORTEST <= len(normal) <= LONGEST:
        raise Wrong(f"a password has {SHORTEST} to {LONGEST} characters")
    return normal


def possible(password: str) -> None:
    """Raises Wrong for what is nobody's password, being longer than any."""
    try:
        length = len(passwords.normalised(password))
    except Unfit:
        length = len(password)
    if length > LONGEST:
        raise Wrong(f"a password has at most {LONGEST} characters")


def _address(email: str) -> str:
    email = email.strip().lower()
    if len(email) > LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise Wrong(f"{email[:LONGEST_EMAIL]!r} is no email address")
    return email


def _role(role: str) -> str:
    if role not in SCOPES:
        raise Wrong(f"a role is one of {', '.join(SCOPES)}")
    return role


async def _joined(connection: asyncpg.Connection, tenant: str, user: str, role: str) -> bool:
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
        await store.audit(connection, tenant, actor, "user.role_changed", email, **{"from": before, "to": role})


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
