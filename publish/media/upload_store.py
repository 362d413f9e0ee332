"""Uploads under way."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

LIFE_HOURS = 24
"""How long an upload can be continued, and its outcome be asked for."""

SETTLED_MINUTES = 10
"""How long after its end an upload is left alone: a request that began before its end may still be writing."""


@dataclass(frozen=True, slots=True)
class Upload:
    """``length`` is None where it is not announced; ``media`` is the file that came of it."""

    id: str
    length: int | None
    offset: int
    parts: Sequence[str]
    file_name: str | None
    created_by: str
    expires_at: datetime
    expired: bool
    media: str | None


async def insert(
    connection: asyncpg.Connection, tenant: str, id_: str, length: int | None, file_name: str | None, created_by: str
) -> datetime:
    """Begin an upload. Return when it ends."""
    ends: datetime = await connection.fetchval(
        """
        INSERT INTO media_uploads (tenant_id, id, length, file_name, created_by, expires_at)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, now() + make_interval(hours => $6)) RETURNING expires_at""",
        tenant,
        id_,
        length,
        file_name,
        created_by,
        LIFE_HOURS,
    )
    return ends


async def find(connection: asyncpg.Connection, tenant: str, id_: str) -> Upload | None:
    row = await connection.fetchrow(
        """
        SELECT id::text, length, upload_offset, parts, file_name, created_by, expires_at, expires_at <= now(),
            media_id::text
        FROM media_uploads WHERE tenant_id = $1::uuid AND id = $2::uuid""",
        tenant,
        id_,
    )
    return None if row is None else Upload(*row)


async def append(connection: asyncpg.Connection, tenant: str, id_: str, offset: int, part: str, size: int) -> bool:
    """Count a part that is stored. Return False where another request has stored one there, or the upload ended."""
    query = """
        UPDATE media_uploads SET upload_offset = upload_offset + $5, parts = parts || $4::text
        WHERE tenant_id = $1::uuid AND id = $2::uuid AND upload_offset = $3 AND media_id IS NULL
            AND expires_at > clock_timestamp()"""
    return await connection.execute(query, tenant, id_, offset, part, size) == "UPDATE 1"


async def complete(connection: asyncpg.Connection, tenant: str, id_: str, size: int, media: str) -> bool:
    """Note which file came of an upload. Return False where one did already, or the upload ended."""
    query = """
        UPDATE media_uploads SET upload_offset = $3, media_id = $4::uuid
        WHERE tenant_id = $1::uuid AND id = $2::uuid AND media_id IS NULL AND expires_at > clock_timestamp()"""
    return await connection.execute(query, tenant, id_, size, media) == "UPDATE 1"


async def end(connection: asyncpg.Connection, tenant: str, id_: str) -> bool:
    """Let an upload take nothing any more. Return whether no file came of it, and none will.

    The time is the clock's, here and where a file comes of it: a transaction that began before this one and waited for
    it still sees that the upload has ended.
    """
    query = """
        UPDATE media_uploads SET expires_at = least(expires_at, clock_timestamp())
        WHERE tenant_id = $1::uuid AND id = $2::uuid RETURNING media_id IS NULL"""
    ended: bool | None = await connection.fetchval(query, tenant, id_)
    return bool(ended)


@dataclass(frozen=True, slots=True)
class Expired:
    """``kept`` is the name in the storage that belongs to a file now; None where no file came of it."""

    tenant: str
    id: str
    kept: str | None


async def expired(connection: asyncpg.Connection, limit: int) -> list[Expired]:
    """Return uploads that ended a while ago."""
    query = """
        SELECT u.tenant_id::text, u.id::text, m.stored_as
        FROM media_uploads u LEFT JOIN media m ON m.tenant_id = u.tenant_id AND m.id = u.media_id
        WHERE u.expires_at < now() - make_interval(mins => $1) ORDER BY u.expires_at LIMIT $2"""
    return [Expired(*row) for row in await connection.fetch(query, SETTLED_MINUTES, limit)]


async def delete(connection: asyncpg.Connection, tenant: str, id_: str) -> None:
    """Delete an upload whose parts are deleted."""
    await connection.execute("DELETE FROM media_uploads WHERE tenant_id = $1::uuid AND id = $2::uuid", tenant, id_)
