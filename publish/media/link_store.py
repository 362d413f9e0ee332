"""Addresses at which platforms fetch files, and what they fetched."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ops.runtime.serialization import json_object

KEPT_DAYS = 90
"""How long a link is kept after its end, with what was fetched by it: the evidence of what a platform did."""


@dataclass(frozen=True, slots=True)
class Linked:
    """The file that a link leads to."""

    stored_as: str
    content_type: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Fetch:
    """One request for a file, HEAD included.

    ``first_byte`` and ``last_byte`` are what was sent: None for nothing, and ``last_byte`` also where nobody saw the
    end of it. ``bytes`` is the size of the file. ``address`` is the IP address that asked; None where it is not known.
    """

    at: datetime
    media: str
    target: str
    attempt: int
    link: str
    method: str
    status: int
    first_byte: int | None
    last_byte: int | None
    bytes: int
    user_agent: str
    address: str | None

    @property
    def whole(self) -> bool:
        """Whether this request alone was sent the whole file."""
        return self.first_byte == 0 and self.last_byte == self.bytes - 1

    @property
    def sent(self) -> str:
        """What was sent, in words; empty where nothing of it was asked for."""
        if self.first_byte is None:
            return ""
        if self.last_byte is None:
            return f"from byte {self.first_byte} on, and nobody saw the end of it"
        return "all of it" if self.whole else f"bytes {self.first_byte} to {self.last_byte} of {self.bytes}"

    @property
    def document(self) -> dict[str, object]:
        """What programs are shown."""
        return {**json_object(self), "whole": self.whole}


MOST_SHOWN = 500

_FETCHES = """
    SELECT f.at, l.media_id::text, l.target_id::text, l.attempt, l.id::text, f.method, f.status, f.first_byte,
        f.last_byte, m.bytes, f.user_agent, host(f.address)
    FROM media_fetches f
    JOIN media_links l ON l.tenant_id = f.tenant_id AND l.id = f.link_id
    JOIN media m ON m.tenant_id = l.tenant_id AND m.id = l.media_id
    WHERE l.tenant_id = $1::uuid"""


async def insert(
    connection: asyncpg.Connection,
    tenant: str,
    id_: str,
    media: str,
    target: str,
    attempt: int,
    token_sha256: bytes,
    seconds: int,
) -> None:
    """Store a link that leads to a file for so many seconds, by the SHA-256 of the secret in its address."""
    await connection.execute(
        """
        INSERT INTO media_links (tenant_id, id, media_id, target_id, attempt, token_sha256, expires_at)
        VALUES ($1::uuid, $2::uuid, $3::uuid, $4::uuid, $5, $6, now() + make_interval(secs => $7))""",
        tenant,
        id_,
        media,
        target,
        attempt,
        token_sha256,
        seconds,
    )


async def revoke(connection: asyncpg.Connection, tenant: str, target: str) -> int:
    """Revoke the links of a target. Return how many led somewhere until now."""
    rows = await connection.fetch(
        """
        UPDATE media_links SET revoked_at = now() WHERE tenant_id = $1::uuid AND target_id = $2::uuid
            AND revoked_at IS NULL RETURNING expires_at > now() AS alive""",
        tenant,
        target,
    )
    return sum(row["alive"] for row in rows)


async def fetches(connection: asyncpg.Connection, tenant: str, target: str) -> list[Fetch]:
    """Return what was fetched by the links of a target, revoked ones too, the first request first."""
    rows = await connection.fetch(f"{_FETCHES} AND l.target_id = $2::uuid ORDER BY f.id", tenant, target)
    return [Fetch(*row) for row in rows]


async def fetches_about(connection: asyncpg.Connection, tenant: str, id_: str) -> list[Fetch] | None:
    """Return the newest requests for a file, or for what a post or one of its targets shows, the first one first.

    None where the tenant has neither a file, a post nor a target of this id.
    """
    rows = await connection.fetch(
        f"""
        {_FETCHES} AND (l.media_id = $2::uuid OR l.target_id = $2::uuid OR l.target_id IN
            (SELECT t.id FROM post_targets t WHERE t.tenant_id = $1::uuid AND t.post_id = $2::uuid))
        ORDER BY f.id DESC LIMIT $3""",
        tenant,
        id_,
        MOST_SHOWN,
    )
    if rows:
        return [Fetch(*row) for row in reversed(rows)]
    known: bool = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM media WHERE tenant_id = $1::uuid AND id = $2::uuid)
            OR EXISTS (SELECT FROM post_targets WHERE tenant_id = $1::uuid AND $2::uuid IN (id, post_id))""",
        tenant,
        id_,
    )
    return [] if known else None


async def find(connection: asyncpg.Connection, token_sha256: bytes) -> tuple[str, str] | None:
    """Return the tenant and the id of a link that leads somewhere, whoever is asking."""
    row = await connection.fetchrow("SELECT tenant_id::text, id::text FROM find_media_link($1)", token_sha256)
    return None if row is None else (row["tenant_id"], row["id"])


async def linked(connection: asyncpg.Connection, tenant: str, link: str) -> Linked | None:
    """Return the file that a link leads to; None where it is removed."""
    row = await connection.fetchrow(
        """
        SELECT m.stored_as, m.content_type, m.bytes, encode(m.sha256, 'hex')
        FROM media_links l JOIN media m ON m.tenant_id = l.tenant_id AND m.id = l.media_id
        WHERE l.tenant_id = $1::uuid AND l.id = $2::uuid AND m.removed_at IS NULL""",
        tenant,
        link,
    )
    return None if row is None else Linked(*row)


async def begin_fetch(
    connection: asyncpg.Connection,
    tenant: str,
    link: str,
    method: str,
    status: int,
    first_byte: int | None,
    user_agent: str,
    address: str | None,
) -> int:
    """Note a request before it is answered, with the IP address that it came from. Return its id."""
    id_: int = await connection.fetchval(
        """
        INSERT INTO media_fetches (tenant_id, link_id, method, status, first_byte, user_agent, address)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7::inet) RETURNING id""",
        tenant,
        link,
        method,
        status,
        first_byte,
        user_agent,
        address,
    )
    return id_


async def end_fetch(connection: asyncpg.Connection, tenant: str, id_: int, last_byte: int) -> None:
    """Note the last byte that was sent."""
    query = "UPDATE media_fetches SET last_byte = $3 WHERE tenant_id = $1::uuid AND id = $2"
    await connection.execute(query, tenant, id_, last_byte)


async def delete_old(connection: asyncpg.Connection) -> None:
    """Delete links that ended long ago, of all tenants, with what was fetched by them."""
    query = "DELETE FROM media_links WHERE expires_at < now() - make_interval(days => $1)"
    await connection.execute(query, KEPT_DAYS)
