"""All of publish's SQL. Every transaction says first whose rows it may see."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from ops.runtime import metrics
from ops.runtime.db import Pool, transaction
from publish.contract import Account, Renewed
from publish.vault import Place, Vault

EVERYBODY = "*"
LEASE_SECONDS = 60
"""Longer than a refresh can take; a process that died with one is not waited for any longer."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it, and from where; ``address`` is None where nobody came over the network."""

    name: str
    address: str | None = None


COMMAND, WORKER = Actor("command"), Actor("worker")


@dataclass(frozen=True, slots=True)
class Connection:
    tenant: str
    id: str
    platform: str
    instance: str
    account_id: str
    fence: int


@dataclass(frozen=True, slots=True)
class State:
    """A flow that was begun."""

    tenant: str
    digest: bytes
    platform: str
    instance: str
    session: bytes
    sealed_verifier: bytes
    redirect_uri: str
    return_to: str
    actor: str
    used: bool
    live: bool
    outcome: Any


@asynccontextmanager
async def acting(pool: Pool, tenant: str) -> AsyncIterator[asyncpg.Connection]:
    """A transaction for one tenant, or for ``EVERYBODY``."""
    async with pool.acquire() as connection, transaction(connection):
        await connection.execute("SELECT set_config('landfall.tenant', $1, true)", tenant)
        yield connection


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


# --- flows


async def begin(connection: asyncpg.Connection, state: State, seconds: int) -> None:
    await connection.execute(
        """
        INSERT INTO oauth_states (tenant_id, state_sha256, platform, instance, session_sha256, sealed_verifier,
            redirect_uri, return_to, actor, expires_at)
        VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, now() + make_interval(secs => $10))""",
        state.tenant,
        state.digest,
        state.platform,
        state.instance,
        state.session,
        state.sealed_verifier,
        state.redirect_uri,
        state.return_to,
        state.actor,
        float(seconds),
    )


async def state(connection: asyncpg.Connection, *, digest: bytes = b"", session: bytes = b"") -> State | None:
    """By its own digest, or by that of the session which it is bound to."""
    row = await connection.fetchrow(
        """
        SELECT tenant_id::text, state_sha256, platform, instance, session_sha256, sealed_verifier, redirect_uri,
            return_to, actor, used_at IS NOT NULL AS used, expires_at > now() AS live, outcome
        FROM oauth_states WHERE state_sha256 = $1 OR session_sha256 = $2""",
        digest,
        session,
    )
    if row is None:
        return None
    fields = dict(row) | {"outcome": None if row["outcome"] is None else json.loads(row["outcome"])}
    return State(*fields.values())


async def claim_code(connection: asyncpg.Connection, digest: bytes) -> bool:
    """Whether the caller is the one who may send the code to the platform. Nobody else is, ever after."""
    row = await connection.fetchrow(
        "UPDATE oauth_states SET used_at = now() WHERE state_sha256 = $1 AND used_at IS NULL AND expires_at > now()"
        " RETURNING 1",
        digest,
    )
    return row is not None


async def settle(connection: asyncpg.Connection, digest: bytes, outcome: Mapping[str, Any]) -> None:
    await connection.execute(
        "UPDATE oauth_states SET outcome = $2::jsonb WHERE state_sha256 = $1", digest, json.dumps(outcome)
    )


async def client(connection: asyncpg.Connection, platform: str, instance: str, uri: str) -> tuple[str, bytes] | None:
    """What we are registered as at an instance, for this redirect address."""
    row = await connection.fetchrow(
        "SELECT client_id, sealed_secret FROM oauth_clients WHERE platform = $1 AND instance = $2"
        " AND redirect_uri = $3",
        platform,
        instance,
        uri,
    )
    return None if row is None else (row["client_id"], row["sealed_secret"])


async def keep_client(
    connection: asyncpg.Connection,
    tenant: str,
    platform: str,
    instance: str,
    client_id: str,
    sealed: bytes,
    uri: str,
    scopes: Sequence[str],
) -> None:
    await connection.execute(
        """
        INSERT INTO oauth_clients (tenant_id, platform, instance, client_id, sealed_secret, redirect_uri, scopes)
        VALUES ($1::uuid, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (tenant_id, platform, instance) DO UPDATE SET client_id = excluded.client_id,
            sealed_secret = excluded.sealed_secret, redirect_uri = excluded.redirect_uri, scopes = excluded.scopes""",
        tenant,
        platform,
        instance,
        client_id,
        sealed,
        uri,
        list(scopes),
    )


# --- connections


async def connect(
    connection: asyncpg.Connection,
    vault: Vault,
    tenant: str,
    new_id: str,
    platform: str,
    instance: str,
    account: Account,
    due: datetime | None,
) -> str:
    """Keep an account and its secrets; an account that was connected before keeps its id. The id."""
    row = await connection.fetchrow(
        """
        INSERT INTO connections AS c (tenant_id, id, platform, instance, account_id, other_ids, username, scopes,
            profile, state, authorized_at, access_expires_at, refresh_expires_at, refresh_due_at)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9::jsonb, 'active', now(),
            now() + make_interval(secs => $10), now() + make_interval(secs => $11), $12)
        ON CONFLICT (tenant_id, platform, instance, account_id) DO UPDATE SET other_ids = excluded.other_ids,
            username = excluded.username, scopes = excluded.scopes, profile = excluded.profile, state = 'active',
            reason = NULL, authorized_at = excluded.authorized_at, access_expires_at = excluded.access_expires_at,
            refresh_expires_at = coalesce(excluded.refresh_expires_at, c.refresh_expires_at),
            refresh_due_at = excluded.refresh_due_at, refresh_failures = 0, disconnected_at = NULL,
            fence = c.fence + 1, lease_until = NULL
        RETURNING id::text""",
        tenant,
        new_id,
        platform,
        instance,
        account.account_id,
        list(account.other_ids),
        account.username,
        list(account.scopes),
        json.dumps(dict(account.profile)),
        account.access_seconds,
        account.refresh_seconds,
        due,
    )
    id_ = str(row["id"])
    await keep_secrets(connection, vault, tenant, id_, account.secrets)
    return id_


async def keep_secrets(
    connection: asyncpg.Connection, vault: Vault, tenant: str, owner: str, secrets: Mapping[str, str]
) -> None:
    """An empty one never replaces what is there."""
    rows = [
        (tenant, owner, field, vault.seal(secret, Place(tenant, owner, field)), vault.primary)
        for field, secret in secrets.items()
        if secret
    ]
    await connection.executemany(
        """
        INSERT INTO connection_secrets (tenant_id, connection_id, field, sealed, key_name)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5)
        ON CONFLICT (tenant_id, connection_id, field) DO UPDATE SET sealed = excluded.sealed,
            key_name = excluded.key_name""",
        rows,
    )


async def secrets(connection: asyncpg.Connection, vault: Vault, tenant: str, owner: str) -> dict[str, str]:
    rows = await connection.fetch("SELECT field, sealed FROM connection_secrets WHERE connection_id = $1::uuid", owner)
    return {row["field"]: vault.open(row["sealed"], Place(tenant, owner, row["field"])) for row in rows}


async def due(connection: asyncpg.Connection, limit: int) -> list[tuple[str, str]]:
    """Tenant and id of the connections to refresh now, the most urgent first."""
    rows = await connection.fetch(
        """
        SELECT tenant_id::text, id::text FROM connections
        WHERE state = 'active' AND refresh_due_at <= now() AND coalesce(lease_until, '-infinity') < now()
        ORDER BY access_expires_at NULLS LAST LIMIT $1""",
        limit,
    )
    return [tuple(row) for row in rows]


async def lease(connection: asyncpg.Connection, id_: str, within: float) -> Connection | None:
    """Take the one right to refresh, if it is due, or its token ends ``within`` seconds; None where somebody has it."""
    row = await connection.fetchrow(
        """
        UPDATE connections SET lease_until = now() + make_interval(secs => $2), fence = fence + 1
        WHERE id = $1::uuid AND state = 'active' AND coalesce(lease_until, '-infinity') < now()
            AND (refresh_due_at <= now() OR access_expires_at <= now() + make_interval(secs => $3))
            AND refresh_due_at IS NOT NULL
        RETURNING tenant_id::text, id::text, platform, instance, account_id, fence""",
        id_,
        float(LEASE_SECONDS),
        within,
    )
    return None if row is None else Connection(*row)


async def renew(
    connection: asyncpg.Connection, vault: Vault, held: Connection, renewed: Renewed, due_at: datetime | None
) -> bool:
    """Keep what a refresh gave; False where the lease was lost meanwhile, and nothing was kept."""
    row = await connection.fetchrow(
        """
        UPDATE connections SET lease_until = NULL, refresh_failures = 0, refresh_due_at = $3,
            access_expires_at = coalesce(now() + make_interval(secs => $4), access_expires_at),
            refresh_expires_at = coalesce(now() + make_interval(secs => $5), refresh_expires_at)
        WHERE id = $1::uuid AND fence = $2 AND state = 'active' RETURNING 1""",
        held.id,
        held.fence,
        due_at,
        renewed.access_seconds,
        renewed.refresh_seconds,
    )
    if row is None:
        return False
    await keep_secrets(connection, vault, held.tenant, held.id, renewed.secrets)
    return True


async def postpone(connection: asyncpg.Connection, held: Connection, pauses: Sequence[int], share: float) -> int:
    """Try again after one of the pauses, the last one for ever; how many failures there were in a row."""
    failures: int | None = await connection.fetchval(
        """
        UPDATE connections SET lease_until = NULL, refresh_failures = refresh_failures + 1,
            refresh_due_at = now()
                + make_interval(secs => $4::float8 * ($3::int[])[least(refresh_failures + 1, cardinality($3))])
        WHERE id = $1::uuid AND fence = $2 AND state = 'active' RETURNING refresh_failures""",
        held.id,
        held.fence,
        list(pauses),
        share,
    )
    return failures or 0


async def needs_reconnect(connection: asyncpg.Connection, held: Connection, reason: str) -> bool:
    """Whether this is when it began to: there is one notice for each such time."""
    row = await connection.fetchrow(
        """
        UPDATE connections SET state = 'needs_reconnect', reason = $3, lease_until = NULL, refresh_due_at = NULL
        WHERE id = $1::uuid AND fence = $2 AND state = 'active' RETURNING 1""",
        held.id,
        held.fence,
        reason,
    )
    return row is not None


async def removed(
    connection: asyncpg.Connection, platform: str, user: str, issued_at: int, reason: str
) -> list[tuple[str, str]]:
    """A platform says that a person removed us: tenant and id of what that ended. Grants newer than that live on."""
    rows = await connection.fetch(
        """
        UPDATE connections SET state = 'needs_reconnect', reason = $4, refresh_due_at = NULL, lease_until = NULL,
            fence = fence + 1
        WHERE platform = $1 AND state = 'active' AND (account_id = $2 OR $2 = ANY(other_ids))
            AND ($3 = 0 OR authorized_at <= to_timestamp($3 + 1))
        RETURNING tenant_id::text, id::text""",
        platform,
        user,
        float(issued_at),
        reason,
    )
    return [tuple(row) for row in rows]


async def removed_in_log(
    connection: asyncpg.Connection, platform: str, event: str, reason: str
) -> list[tuple[str, str]]:
    """What the log says of removals: tenant and id of what that ended. A grant newer than the event lives on."""
    rows = await connection.fetch(
        """
        UPDATE connections c SET state = 'needs_reconnect', reason = $3, refresh_due_at = NULL, lease_until = NULL,
            fence = fence + 1
        WHERE platform = $1 AND state = 'active' AND EXISTS (
            SELECT FROM webhook_event_log e
            WHERE e.account_id = c.account_id AND e.provider = $1 AND e.event_type = $2
                AND e.occurred_at >= date_trunc('second', c.authorized_at))
        RETURNING tenant_id::text, id::text""",
        platform,
        event,
        reason,
    )
    return [tuple(row) for row in rows]


async def disconnect(connection: asyncpg.Connection, id_: str) -> asyncpg.Record | None:
    """End it here; what the tables have synced stays. The row as it was, or None where there is none."""
    row = await connection.fetchrow(
        """
        UPDATE connections SET state = 'disconnected', reason = NULL, disconnected_at = now(), refresh_due_at = NULL,
            lease_until = NULL, fence = fence + 1
        WHERE id = $1::uuid AND state <> 'disconnected'
        RETURNING tenant_id::text, id::text, platform, instance, account_id, fence""",
        id_,
    )
    if row is not None:
        await connection.execute("DELETE FROM connection_secrets WHERE connection_id = $1::uuid", id_)
    return row


async def tidy(connection: asyncpg.Connection) -> None:
    """Drop what has had its time: flows that ended, sessions that are over, wrong passwords of yesterday."""
    await connection.execute("DELETE FROM oauth_states WHERE expires_at < now() - interval '1 day'")
    await connection.execute("DELETE FROM sessions WHERE expires_at < now()")
    await connection.execute("DELETE FROM login_failures WHERE failed_at < now() - interval '1 day'")


async def gauge(connection: asyncpg.Connection) -> None:
    """Show how the connections are."""
    metrics.connections.clear()
    metrics.connections_ending.clear()
    for row in await connection.fetch("SELECT platform, state, count(*) AS n FROM connections GROUP BY 1, 2"):
        metrics.connections.labels(row["platform"], row["state"]).set(row["n"])
    ending = """
        SELECT platform, days, count(*) FILTER (WHERE access_expires_at < now() + make_interval(days => days)) AS n
        FROM connections, unnest(ARRAY[1, 7, 14]) AS days
        WHERE state = 'active' AND refresh_due_at IS NULL AND access_expires_at IS NOT NULL GROUP BY 1, 2"""
    for row in await connection.fetch(ending):
        metrics.connections_ending.labels(row["platform"], str(row["days"])).set(row["n"])


SHOWN = """
SELECT id::text, platform, instance, account_id, username, scopes, profile, state, reason, authorized_at,
    access_expires_at, refresh_expires_at, refresh_due_at, refresh_failures, disconnected_at
FROM connections"""


async def listed(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    return [_shown(row) for row in await connection.fetch(f"{SHOWN} ORDER BY platform, username, id")]


async def one(connection: asyncpg.Connection, id_: str) -> dict[str, Any] | None:
    row = await connection.fetchrow(f"{SHOWN} WHERE id = $1::uuid", id_)
    return None if row is None else _shown(row)


def _shown(row: asyncpg.Record) -> dict[str, Any]:
    found = dict(row) | {"profile": json.loads(row["profile"])}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}


async def ask_deletion(connection: asyncpg.Connection, code: str, platform: str, user: str) -> None:
    """Note a wish; the same wish again changes nothing."""
    await connection.execute(
        "INSERT INTO deletion_requests (code, platform, user_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        code,
        platform,
        user,
    )


async def deletion(connection: asyncpg.Connection, code: str) -> tuple[datetime, datetime | None] | None:
    """When it was asked for, and when it was done."""
    row = await connection.fetchrow("SELECT requested_at, done_at FROM deletion_requests WHERE code = $1", code)
    return None if row is None else (row["requested_at"], row["done_at"])
