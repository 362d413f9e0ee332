"""Users: their passwords, and whether they may log in.

A user is one for the whole installation, so some of these reach beyond one tenant. Each takes an id, a digest or an
address, and answers no more than it is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg
import uuid_utils


@dataclass(frozen=True, slots=True)
class Credentials:
    """The password hash of a user who is not disabled.

    ``chosen_by`` is the tenant that chose the password for the user, who has to choose another one; else None.
    """

    user: str
    password_hash: str
    chosen_by: str | None


async def credentials(connection: asyncpg.Connection, email: str) -> Credentials | None:
    """Return how the user with this address logs in. None if there is none, or the user is disabled."""
    row = await connection.fetchrow(
        """
        SELECT id::text, password_hash, password_tenant_id::text FROM users
        WHERE email = $1 AND disabled_at IS NULL""",
        email,
    )
    return None if row is None else Credentials(*row)


async def find(connection: asyncpg.Connection, email: str) -> str | None:
    """Return the id of the user with this address, or None."""
    user: str | None = await connection.fetchval("SELECT id::text FROM users WHERE email = $1", email)
    return user


async def find_and_lock(connection: asyncpg.Connection, email: str) -> str | None:
    """Return the id of the user with this address, locked against being deleted or joining a tenant meanwhile.

    None if there is none, or only one who belongs to no tenant. The previous release kept such users, and their
    passwords may be ones that somebody else chose, so they are deleted here.
    """
    user: str | None = await connection.fetchval("SELECT id::text FROM users WHERE email = $1 FOR UPDATE", email)
    return None if user is None or await delete_without_tenant(connection, user) else user


async def delete_without_tenant(connection: asyncpg.Connection, user: str) -> bool:
    """Delete a user who belongs to no tenant, with devices and sessions. Return whether that was so."""
    deleted: bool = await connection.fetchval("SELECT forget_person($1::uuid)", user)
    return deleted


async def delete_all_without_tenant(connection: asyncpg.Connection) -> None:
    """Delete every user who belongs to no tenant: the previous release removes members and keeps their passwords."""
    rows = await connection.fetch(
        "SELECT id::text FROM users u WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.user_id = u.id)"
    )
    for row in rows:
        await delete_without_tenant(connection, row["id"])


async def insert(connection: asyncpg.Connection, email: str, password_hash: str) -> str | None:
    """Return the id of a new user, or None if the address has one already."""
    user: str | None = await connection.fetchval(
        """
        INSERT INTO users (id, email, password_hash) VALUES ($1::uuid, $2, $3)
        ON CONFLICT (email) DO NOTHING RETURNING id::text""",
        str(uuid_utils.uuid7()),
        email,
        password_hash,
    )
    return user


async def set_password(connection: asyncpg.Connection, email: str, password_hash: str, chosen_by: str | None) -> str:
    """Make a user, or replace the password of the one there is and enable them. Return the id."""
    user: str = await connection.fetchval(
        """
        INSERT INTO users (id, email, password_hash, password_tenant_id) VALUES ($1::uuid, $2, $3, $4::uuid)
        ON CONFLICT (email) DO UPDATE SET password_hash = excluded.password_hash, disabled_at = NULL,
            password_tenant_id = excluded.password_tenant_id
        RETURNING id::text""",
        str(uuid_utils.uuid7()),
        email,
        password_hash,
        chosen_by,
    )
    return user


async def replace_password(connection: asyncpg.Connection, user: str, old_hash: str, new_hash: str) -> bool:
    """Replace a password by one that the user chose. Return False if another one was set meanwhile."""
    replaced: bool | None = await connection.fetchval(
        """
        UPDATE users SET password_hash = $3, password_tenant_id = NULL WHERE id = $1::uuid AND password_hash = $2
        RETURNING true""",
        user,
        old_hash,
        new_hash,
    )
    return replaced is not None


async def upgrade_hash(connection: asyncpg.Connection, user: str, old_hash: str, new_hash: str) -> None:
    """Store another hash of the same password, unless another password was set meanwhile."""
    await connection.execute(
        "UPDATE users SET password_hash = $2 WHERE id = $1::uuid AND password_hash = $3", user, new_hash, old_hash
    )


async def clear_password_chosen_by(connection: asyncpg.Connection, user: str, tenant: str) -> None:
    """Make a password worthless that this tenant chose for the user."""
    await connection.execute(
        "UPDATE users SET password_hash = '' WHERE id = $1::uuid AND password_tenant_id = $2::uuid", user, tenant
    )


async def password_hash(connection: asyncpg.Connection, user: str) -> str | None:
    found: str | None = await connection.fetchval("SELECT password_hash FROM users WHERE id = $1::uuid", user)
    return found


async def password_hash_of(connection: asyncpg.Connection, email: str) -> str | None:
    """Return the hash of the user with this address, disabled or not; None if there is none."""
    found: str | None = await connection.fetchval("SELECT password_hash FROM users WHERE email = $1", email)
    return found


async def lock_if_password_is(connection: asyncpg.Connection, user: str, hashes: Sequence[str]) -> bool:
    """Return whether one of these is the hash of the user, who may log in. It stays so for the transaction."""
    found: bool | None = await connection.fetchval(
        """
        SELECT true FROM users WHERE id = $1::uuid AND password_hash = ANY($2::text[]) AND disabled_at IS NULL
        FOR SHARE""",
        user,
        list(hashes),
    )
    return found is not None


async def lock_if_enabled(connection: asyncpg.Connection, user: str) -> bool:
    """Return whether the user may log in. It stays so for the transaction."""
    found: bool | None = await connection.fetchval(
        "SELECT true FROM users WHERE id = $1::uuid AND disabled_at IS NULL FOR UPDATE", user
    )
    return found is not None


async def disable(connection: asyncpg.Connection, email: str, tenant: str) -> str | None:
    """Disable a member of this tenant. Return the id, or None if there is no enabled one of this address."""
    user: str | None = await connection.fetchval(
        """
        UPDATE users SET disabled_at = now() WHERE email = $1 AND disabled_at IS NULL
            AND id IN (SELECT user_id FROM memberships WHERE tenant_id = $2::uuid) RETURNING id::text""",
        email,
        tenant,
    )
    return user
