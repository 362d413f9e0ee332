"""Write and read the audit log."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ops.runtime.db import required

Value = str | int | float | bool | Sequence[str] | None
"""A value in the detail of an entry."""

_SELECT = """
SELECT a.id, a.created_at, a.actor, a.action, a.subject, host(a.address) AS address, a.detail, c.platform, c.username
FROM audit_log a
LEFT JOIN connections c ON c.tenant_id = a.tenant_id AND c.id::text = a.subject
    AND a.action ~ '^(connection|notice)[.]'"""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something, and from where. ``address`` is None where nobody came over the network."""

    name: str
    address: str | None = None


COMMAND, WORKER = Actor("command"), Actor("worker")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """``platform`` and ``username`` are those of the connection that it is about; None for one of something else."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    address: str | None
    detail: Mapping[str, Value]
    platform: str | None
    username: str | None

    @property
    def subject_name(self) -> str:
        return f"{self.platform} {self.username}" if self.platform else self.subject

    @property
    def detail_text(self) -> str:
        return ", ".join(f"{name} {_text(value)}" for name, value in self.detail.items() if value != "")


@dataclass(frozen=True, slots=True)
class AuditLogPage:
    """Entries, the newest first.

    ``older`` and ``newer`` are the ids where the next pages begin; None where there is none.
    """

    entries: list[AuditEntry]
    older: int | None
    newer: int | None


async def audit(
    connection: asyncpg.Connection, tenant: str, actor: Actor, action: str, subject: str, **detail: Value
) -> None:
    """Record what was done. ``detail`` names nobody that a platform knows, so that nothing here has to be erased."""
    await connection.execute(
        """
        INSERT INTO audit_log (tenant_id, actor, address, action, subject, detail)
        VALUES ($1::uuid, $2, $3::inet, $4, $5, $6::jsonb)""",
        tenant,
        actor.name,
        actor.address,
        action,
        subject,
        json.dumps(detail),
    )


async def audit_once(
    connection: asyncpg.Connection, tenant: str, actor: Actor, action: str, subject: str, hours: int
) -> None:
    """Record what was done, unless the same was recorded from the same address within ``hours``.

    The log only grows, so something that a program does all the time must not fill it.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{tenant}{actor}")
    recorded: bool = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM audit_log WHERE tenant_id = $1::uuid AND subject = $2 AND action = $3
            AND address IS NOT DISTINCT FROM $4::inet AND created_at > now() - make_interval(hours => $5))""",
        tenant,
        subject,
        action,
        actor.address,
        hours,
    )
    if not recorded:
        await audit(connection, tenant, actor, action, subject)


async def read_page(
    connection: asyncpg.Connection, *, before: int | None, after: int | None, limit: int
) -> AuditLogPage:
    """Return the newest entries, those before the id ``before``, or the first ones after the id ``after``."""
    if after is not None:
        rows = await connection.fetch(f"{_SELECT} WHERE a.id > $1 ORDER BY a.id LIMIT $2", after, limit)
        rows.reverse()
    else:
        top = 2**63 - 1 if before is None else before
        rows = await connection.fetch(f"{_SELECT} WHERE a.id < $1 ORDER BY a.id DESC LIMIT $2", top, limit)
    entries = [_entry(row) for row in rows]
    oldest, newest = (entries[-1].id, entries[0].id) if entries else (0, 0)
    query = "SELECT EXISTS (SELECT FROM audit_log WHERE id < $1), EXISTS (SELECT FROM audit_log WHERE id > $2)"
    older, newer = required(await connection.fetchrow(query, oldest, newest))
    return AuditLogPage(entries, oldest if older and entries else None, newest if newer and entries else None)


def _entry(row: asyncpg.Record) -> AuditEntry:
    id_, at, actor, action, subject, address, detail, platform, username = row
    return AuditEntry(id_, at, actor, action, subject, address, json.loads(detail), platform, username)


def _text(value: Value) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
