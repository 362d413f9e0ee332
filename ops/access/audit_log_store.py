"""The note of who did what."""

import json
from dataclasses import dataclass
from typing import Any

import asyncpg


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, and from where; ``address`` is None where nobody came over the network."""

    name: str
    address: str | None = None


COMMAND, WORKER = Actor("command"), Actor("worker")


async def audit(
    connection: asyncpg.Connection, tenant: str, actor: Actor, action: str, subject: str, **detail: Any
) -> None:
    """Note what was done; ``detail`` names nobody that a platform knows, so that nothing here has to be taken back."""
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
