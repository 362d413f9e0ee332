"""Files, as rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from ops.runtime.serialization import json_object
from publish.media.inspection import Facts
from schema.states import RECURRENCE, TARGET, RecurrenceState, TargetState

_OVER = (TargetState.PUBLISHED, TargetState.PUBLISHED_ID_UNKNOWN, TargetState.CANCELLED)

HELD = f"""(EXISTS (SELECT FROM media_links l WHERE l.tenant_id = m.tenant_id AND l.media_id = m.id
    AND l.revoked_at IS NULL AND l.expires_at > now())
    OR EXISTS (SELECT FROM post_media pm JOIN post_targets t ON t.tenant_id = pm.tenant_id AND t.post_id = pm.post_id
        WHERE pm.tenant_id = m.tenant_id AND pm.media_id = m.id AND NOT {TARGET.any_of(*_OVER)})
    OR EXISTS (SELECT FROM post_targets t JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
        WHERE t.tenant_id = m.tenant_id AND NOT {TARGET.any_of(*_OVER, row="t")}
            AND (p.link->>'image_media' = m.id::text OR EXISTS (SELECT FROM jsonb_each_text(t.options) o
                WHERE o.key LIKE '%media_id' AND o.value = m.id::text)))
    OR EXISTS (SELECT FROM post_recurrences r WHERE r.tenant_id = m.tenant_id AND m.id = ANY(r.media_ids)
        AND NOT {RECURRENCE.any_of(RecurrenceState.ENDED)}))"""
"""The condition on a row ``m`` of ``media`` under which it is neither removed nor pruned: a platform may fetch it, or a
post with it repeats, is still to be published, or could be tried again."""

_COLUMNS = """m.id::text, m.stored_as, m.kind, m.content_type, m.bytes, encode(m.sha256, 'hex') AS sha256, m.width,
    m.height, m.duration_ms, m.details, m.file_name, m.source_url, m.converted_from::text, m.created_by, m.created_at,
    m.removed_at, m.removed_by"""


@dataclass(frozen=True, slots=True)
class Media:
    """A file. ``sha256`` is in hexadecimal; a file with ``removed_at`` is gone and cannot be used."""

    id: str
    stored_as: str
    kind: str
    content_type: str
    bytes: int
    sha256: str
    width: int | None
    height: int | None
    duration_ms: int | None
    details: Mapping[str, Any]
    file_name: str | None
    source_url: str | None
    converted_from: str | None
    created_by: str
    created_at: datetime
    removed_at: datetime | None
    removed_by: str | None

    @property
    def document(self) -> dict[str, object]:
        """What programs are shown."""
        return {name: value for name, value in json_object(self).items() if name != "stored_as"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a file comes from."""

    created_by: str
    file_name: str | None = None
    source_url: str | None = None
    converted_from: str | None = None


async def insert(
    connection: asyncpg.Connection,
    tenant: str,
    id_: str,
    stored_as: str,
    sha256: bytes,
    size: int,
    facts: Facts,
    origin: Origin,
) -> bool:
    """Add a file. Return False where the tenant has the same bytes already."""
    status = await connection.execute(
        """
        INSERT INTO media (tenant_id, id, stored_as, sha256, bytes, content_type, kind, width, height, duration_ms,
            details, file_name, source_url, converted_from, created_by)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $14::uuid, $15)
        ON CONFLICT (tenant_id, sha256) WHERE removed_at IS NULL DO NOTHING""",
        tenant,
        id_,
        stored_as,
        sha256,
        size,
        facts.content_type,
        facts.kind,
        facts.width,
        facts.height,
        facts.duration_ms,
        json.dumps(facts.details),
        origin.file_name,
        origin.source_url,
        origin.converted_from,
        origin.created_by,
    )
    return status == "INSERT 0 1"


async def with_bytes(connection: asyncpg.Connection, tenant: str, sha256: bytes) -> Media | None:
    """Return the file of a tenant that has these bytes, and lock it so that it stays until the transaction ends."""
    query = f"""
        SELECT {_COLUMNS} FROM media m
        WHERE m.tenant_id = $1::uuid AND m.sha256 = $2 AND m.removed_at IS NULL FOR SHARE OF m"""
    row = await connection.fetchrow(query, tenant, sha256)
    return None if row is None else _media(row)


async def find(connection: asyncpg.Connection, tenant: str, id_: str) -> Media | None:
    """Return a file of a tenant, removed or not."""
    query = f"SELECT {_COLUMNS} FROM media m WHERE m.tenant_id = $1::uuid AND m.id = $2::uuid"
    row = await connection.fetchrow(query, tenant, id_)
    return None if row is None else _media(row)


async def usable(connection: asyncpg.Connection, tenant: str, ids: Sequence[str]) -> list[Media]:
    """Return those of the files that are there, in the order of ``ids``; none is removed before the transaction ends.

    Whoever makes a row that holds a file calls this first in the same transaction.
    """
    query = f"""
        SELECT {_COLUMNS} FROM media m
        WHERE m.tenant_id = $1::uuid AND m.id = ANY($2::uuid[]) AND m.removed_at IS NULL
        ORDER BY m.id FOR SHARE OF m"""
    found = {row["id"]: _media(row) for row in await connection.fetch(query, tenant, ids)}
    return [found[id_] for id_ in ids if id_ in found]


async def listed(
    connection: asyncpg.Connection, tenant: str, *, before: str | None = None, limit: int = 50
) -> list[Media]:
    """Return the newest files of a tenant that are not removed, or those older than the file ``before``."""
    query = f"""
        SELECT {_COLUMNS} FROM media m
        WHERE m.tenant_id = $1::uuid AND m.removed_at IS NULL AND ($2::uuid IS NULL OR (m.created_at, m.id) <
            (SELECT b.created_at, b.id FROM media b WHERE b.tenant_id = $1::uuid AND b.id = $2::uuid))
        ORDER BY m.created_at DESC, m.id DESC LIMIT $3"""
    return [_media(row) for row in await connection.fetch(query, tenant, before, limit)]


async def lock(connection: asyncpg.Connection, tenant: str, id_: str) -> bool:
    """Lock a file that is to be removed. Return whether it is there.

    :func:`remove` follows as a statement of its own: only so does it see what a transaction made that held the file
    until now.
    """
    query = """
        SELECT EXISTS (SELECT FROM media WHERE tenant_id = $1::uuid AND id = $2::uuid AND removed_at IS NULL
            FOR UPDATE)"""
    found: bool = await connection.fetchval(query, tenant, id_)
    return found


async def remove(connection: asyncpg.Connection, tenant: str, id_: str, by: str) -> bool:
    """Remove a file that :func:`lock` has locked. Return False where it is held."""
    query = f"""
        UPDATE media m SET removed_at = now(), removed_by = $3
        WHERE m.tenant_id = $1::uuid AND m.id = $2::uuid AND m.removed_at IS NULL AND NOT ({HELD})"""
    return await connection.execute(query, tenant, id_, by) == "UPDATE 1"


async def due(connection: asyncpg.Connection, days: int, limit: int) -> list[tuple[str, str]]:
    """Return files that are older than ``days`` and that nothing holds: tenants and ids, the oldest first."""
    query = f"""
        SELECT m.tenant_id::text, m.id::text FROM media m
        WHERE m.removed_at IS NULL AND m.created_at < now() - make_interval(days => $1) AND NOT ({HELD})
        ORDER BY m.created_at LIMIT $2"""
    return [(tenant, id_) for tenant, id_ in await connection.fetch(query, days, limit)]


async def to_purge(connection: asyncpg.Connection, limit: int) -> list[tuple[str, str, str]]:
    """Return removed files whose bytes are still kept: tenants, ids and names in the storage."""
    query = """
        SELECT tenant_id::text, id::text, stored_as FROM media WHERE removed_at IS NOT NULL AND purged_at IS NULL
        ORDER BY removed_at LIMIT $1"""
    return [(tenant, id_, name) for tenant, id_, name in await connection.fetch(query, limit)]


async def purged(connection: asyncpg.Connection, tenant: str, id_: str) -> None:
    """Note that the bytes of a removed file are deleted."""
    query = "UPDATE media SET purged_at = now() WHERE tenant_id = $1::uuid AND id = $2::uuid AND removed_at IS NOT NULL"
    await connection.execute(query, tenant, id_)


@dataclass(frozen=True, slots=True)
class Listed:
    """A file, for whoever runs the installation."""

    tenant: str
    id: str
    kind: str
    content_type: str
    bytes: int
    width: int | None
    height: int | None
    duration_ms: int | None
    file_name: str | None
    created_by: str
    created_at: datetime
    removed_at: datetime | None
    removed_by: str | None
    stored_as: str


async def overview(connection: asyncpg.Connection, *, removed: bool) -> list[Listed]:
    """Return the files of all tenants, the newest first; those that are removed too, or not."""
    query = """
        SELECT t.name, m.id::text, m.kind, m.content_type, m.bytes, m.width, m.height, m.duration_ms, m.file_name,
            m.created_by, m.created_at, m.removed_at, m.removed_by, m.stored_as
        FROM media m JOIN tenants t ON t.id = m.tenant_id WHERE $1 OR m.removed_at IS NULL
        ORDER BY m.created_at DESC, m.id"""
    return [Listed(*row) for row in await connection.fetch(query, removed)]


async def count(connection: asyncpg.Connection) -> int:
    """Return how many files of all tenants are not removed."""
    found: int = await connection.fetchval("SELECT count(*) FROM media WHERE removed_at IS NULL")
    return found


def _media(row: asyncpg.Record) -> Media:
    return Media(**{**row, "details": json.loads(row["details"])})
