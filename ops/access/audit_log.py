"""Reading the audit log: who did what, when, from where, to which connection."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import asyncpg

from ops.runtime.db import Pool, required
from ops.runtime.tenancy import tenant_transaction

PAGE = 200

_SHOWN = """
SELECT a.id, a.created_at, a.actor, a.action, a.subject, host(a.address) AS address, a.detail, c.platform, c.username
FROM audit_log a
LEFT JOIN connections c ON c.tenant_id = a.tenant_id AND c.id::text = a.subject
    AND a.action ~ '^(connection|notice)[.]'"""


@dataclass(frozen=True, slots=True)
class Entry:
    """``platform`` and ``username`` are of the connection it is about; None for one of something else."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    address: str | None
    detail: dict[str, Any]
    platform: str | None
    username: str | None

    @property
    def about(self) -> str:
        return f"{self.platform} {self.username}" if self.platform else self.subject

    @property
    def more(self) -> str:
        return ", ".join(f"{name} {_said(value)}" for name, value in self.detail.items() if value != "")

    def plain(self) -> dict[str, Any]:
        return asdict(self) | {"at": self.at.isoformat()}


@dataclass(frozen=True, slots=True)
class Part:
    """Newest first; ``older`` and ``newer`` are where the next part begins, None where there is none."""

    entries: list[Entry]
    older: int | None
    newer: int | None


async def read(pool: Pool, tenant: str, *, before: int | None = None, after: int | None = None, limit: int) -> Part:
    """The newest entries, those before an id, or the first ones after it."""
    async with tenant_transaction(pool, tenant) as connection:
        if after is not None:
            rows = await connection.fetch(f"{_SHOWN} WHERE a.id > $1 ORDER BY a.id LIMIT $2", after, limit)
            rows.reverse()
        else:
            top = 2**63 - 1 if before is None else before
            rows = await connection.fetch(f"{_SHOWN} WHERE a.id < $1 ORDER BY a.id DESC LIMIT $2", top, limit)
        entries = [_entry(row) for row in rows]
        ends = (entries[-1].id, entries[0].id) if entries else (0, 0)
        beyond = required(
            await connection.fetchrow(
                "SELECT EXISTS (SELECT FROM audit_log WHERE id < $1), EXISTS (SELECT FROM audit_log WHERE id > $2)",
                *ends,
            )
        )
    older, newer = beyond
    return Part(entries, ends[0] if older and entries else None, ends[1] if newer and entries else None)


def _entry(row: asyncpg.Record) -> Entry:
    id_, at, actor, action, subject, address, detail, platform, username = row
    return Entry(id_, at, actor, action, subject, address, json.loads(detail), platform, username)


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
