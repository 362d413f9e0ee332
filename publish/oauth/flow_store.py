"""Flows under way, and what we are registered as where we register ourselves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from ops.runtime.db import required
from ops.runtime.tenancy import set_tenant
from schema.states import FLOW


@dataclass(frozen=True, slots=True)
class State:
    """A flow that was begun. ``connection`` is the one it is to bring back; ``since`` is when its code was sent.

    ``ticket`` and ``session`` are digests: of the link's ticket, and of the secret of the browser that took the flow,
    None until one has. ``scopes`` are what the person is asked for; None where the previous release began it.
    """

    tenant: str
    digest: bytes
    platform: str
    instance: str
    ticket: bytes | None
    session: bytes | None
    sealed_verifier: bytes
    redirect_uri: str
    return_to: str
    actor: str
    id: str = ""
    connection: str | None = None
    sealed_accounts: bytes | None = None
    state: str = FLOW.initial
    live: bool = True
    since: datetime | None = None
    outcome: Any = None
    scopes: Sequence[str] | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Asker:
    """Whom a flow is for: the tenant's name, and what whoever began it is now; None where they are nothing any more."""

    tenant: str
    role: str | None
    key_scopes: Sequence[str] | None


async def begin(connection: asyncpg.Connection, state: State, seconds: int) -> str:
    """Its id."""
    return str(
        await connection.fetchval(
            """
            INSERT INTO oauth_states (tenant_id, state_sha256, platform, instance, ticket_sha256, sealed_verifier,
                redirect_uri, return_to, actor, connection_id, expires_at, scopes)
            VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10::uuid, now() + make_interval(secs => $11), $12)
            RETURNING id""",
            state.tenant,
            state.digest,
            state.platform,
            state.instance,
            state.ticket,
            state.sealed_verifier,
            state.redirect_uri,
            state.return_to,
            state.actor,
            state.connection,
            float(seconds),
            state.scopes,
        )
    )


async def unfinished(connection: asyncpg.Connection) -> int:
    """How many flows were begun, and can still be finished."""
    count: int = await connection.fetchval(
        f"SELECT count(*) FROM oauth_states WHERE {FLOW.any_of('started', 'opened')} AND expires_at > now()"
    )
    return count


async def state(
    connection: asyncpg.Connection, *, digest: bytes = b"", session: bytes = b"", ticket: bytes = b""
) -> State | None:
    """By its own digest, by that of the secret of the browser that took it, or by that of its link's ticket.

    The only look at flows whose tenant is not known yet: the transaction goes on for the tenant of the one it finds.
    What the previous release keeps as the session is the ticket: it counts for nothing.
    """
    found = await connection.fetchrow(
        "SELECT tenant_id::text, state_sha256 FROM find_oauth_state($1, $2, $3)", digest, session, ticket
    )
    if found is None:
        return None
    await set_tenant(connection, found["tenant_id"])
    row = await connection.fetchrow(
        f"""
        SELECT tenant_id::text, state_sha256, platform, instance, ticket_sha256,
            CASE WHEN opened_at IS NOT NULL THEN session_sha256 END AS session, sealed_verifier, redirect_uri,
            return_to, actor, id::text, connection_id::text, sealed_accounts, {FLOW.column} AS state,
            expires_at > now() AS live, used_at, outcome, scopes, expires_at
        FROM oauth_states WHERE state_sha256 = $1""",
        found["state_sha256"],
    )
    if row is None:
        return None
    fields = dict(row) | {"outcome": None if row["outcome"] is None else json.loads(row["outcome"])}
    return State(*fields.values())


async def flow(connection: asyncpg.Connection, id_: str) -> tuple[bool, Any] | None:
    """Whether a flow can still come to an end, and what came of it; None where there is none."""
    row = await connection.fetchrow(
        "SELECT expires_at > now() AS live, outcome FROM oauth_states WHERE id = $1::uuid", id_
    )
    return None if row is None else (row["live"], None if row["outcome"] is None else json.loads(row["outcome"]))


async def asker(connection: asyncpg.Connection, tenant: str, actor: str) -> Asker:
    """What whoever began a flow is now: a person by role, a program by the scopes of its key."""
    kind, _, name = actor.partition(":")
    row = required(
        await connection.fetchrow(
            """
        SELECT t.name,
            (SELECT m.role FROM memberships m JOIN users u ON u.id = m.user_id
                WHERE m.tenant_id = t.id AND u.email = $2 AND u.disabled_at IS NULL) AS role,
            (SELECT k.scopes FROM api_keys k
                WHERE k.tenant_id = t.id AND k.name = $3 AND k.revoked_at IS NULL) AS scopes
        FROM tenants t WHERE t.id = $1::uuid""",
            tenant,
            name if kind == "user" else None,
            name if kind == "key" else None,
        )
    )
    return Asker(row["name"], row["role"], row["scopes"])


async def take(connection: asyncpg.Connection, digest: bytes, session: bytes, seconds: int) -> bool:
    """Give a flow to the browser with this secret, for so long; False where one has it, or its time is over."""
    row = await connection.fetchrow(
        f"""
        UPDATE oauth_states SET session_sha256 = $2, opened_at = now(), expires_at = now() + make_interval(secs => $3)
        WHERE state_sha256 = $1 AND {FLOW.allows("open")} AND expires_at > now() RETURNING 1""",
        digest,
        session,
        float(seconds),
    )
    return row is not None


async def claim_code(connection: asyncpg.Connection, digest: bytes) -> datetime | None:
    """Since when the caller is the one who may send the code to the platform. Nobody else is, ever after: None."""
    since: datetime | None = await connection.fetchval(
        f"""
        UPDATE oauth_states SET used_at = now()
        WHERE state_sha256 = $1 AND {FLOW.allows("claim_code")} AND expires_at > now() RETURNING used_at""",
        digest,
    )
    return since


async def settle(connection: asyncpg.Connection, digest: bytes, outcome: Mapping[str, Any]) -> bool:
    """End a flow and forget what there was to choose from. Return False where it was withdrawn before."""
    event = "connect" if outcome["ok"] else "fail"
    settled: bool | None = await connection.fetchval(
        f"""
        UPDATE oauth_states SET outcome = $2::jsonb, sealed_accounts = NULL
        WHERE state_sha256 = $1 AND {FLOW.allows(event)} RETURNING true""",
        digest,
        json.dumps(outcome),
    )
    return settled is not None


async def offer(
    connection: asyncpg.Connection, digest: bytes, outcome: Mapping[str, Any], sealed: bytes, seconds: int
) -> None:
    """Keep what there is to choose from, for so long."""
    await connection.execute(
        f"""
        UPDATE oauth_states SET outcome = $2::jsonb, sealed_accounts = $3,
            expires_at = now() + make_interval(secs => $4)
        WHERE state_sha256 = $1 AND {FLOW.allows("offer")}""",
        digest,
        json.dumps(outcome),
        sealed,
        float(seconds),
    )


async def client(connection: asyncpg.Connection, platform: str, instance: str) -> asyncpg.Record | None:
    """What we are registered as at an instance, and for which address and scopes."""
    return await connection.fetchrow(
        """
        SELECT client_id, sealed_secret, redirect_uri, scopes FROM oauth_clients
        WHERE platform = $1 AND instance = $2""",
        platform,
        instance,
    )


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
