"""Authorization flows, and the applications that we registered at instances."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from ops.runtime.db import required
from ops.runtime.tenancy import set_tenant
from publish.oauth.outcomes import Outcome
from schema.states import FLOW


@dataclass(frozen=True, slots=True)
class Flow:
    """An authorization flow, in one of the states of ``schema.states.FLOW``.

    ``digest`` is that of the OAuth state. ``ticket`` and ``session`` are digests of the link's ticket and of the secret
    of the browser that opened the flow, None until one has. ``connection`` is the one to reconnect. ``live`` is whether
    its time is not over. ``since`` is when the code was claimed. ``scopes`` are those asked for; None where the
    previous release began the flow.
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
    outcome: Outcome | None = None
    scopes: Sequence[str] | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Requester:
    """The tenant's name, and what whoever began the flow is now: a role or a key's scopes, None for neither."""

    tenant_name: str
    role: str | None
    key_scopes: Sequence[str] | None


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """Our application as it is registered at an instance; the secret is sealed."""

    client_id: str
    sealed_secret: bytes
    redirect_uri: str
    scopes: Sequence[str]


async def begin(connection: asyncpg.Connection, flow: Flow, seconds: int) -> str:
    """Store a flow that ends after so many seconds and return its id."""
    return str(
        await connection.fetchval(
            """
            INSERT INTO oauth_states (tenant_id, state_sha256, platform, instance, ticket_sha256, sealed_verifier,
                redirect_uri, return_to, actor, connection_id, expires_at, scopes)
            VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10::uuid, now() + make_interval(secs => $11), $12)
            RETURNING id""",
            flow.tenant,
            flow.digest,
            flow.platform,
            flow.instance,
            flow.ticket,
            flow.sealed_verifier,
            flow.redirect_uri,
            flow.return_to,
            flow.actor,
            flow.connection,
            float(seconds),
            flow.scopes,
        )
    )


async def unfinished(connection: asyncpg.Connection) -> int:
    """Return how many flows of the tenant wait for their browser to come back."""
    count: int = await connection.fetchval(
        f"SELECT count(*) FROM oauth_states WHERE {FLOW.any_of('started', 'opened')} AND expires_at > now()"
    )
    return count


async def find(
    connection: asyncpg.Connection, *, digest: bytes = b"", session: bytes = b"", ticket: bytes = b""
) -> Flow | None:
    """Find a flow by the digest of its state, of its browser's secret or of its link's ticket.

    It is the only query over flows of any tenant: the transaction continues for the tenant of the flow that it finds.
    What the previous release stored as the session is the ticket, and is ignored.
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
    fields = dict(row) | {"outcome": None if row["outcome"] is None else Outcome.parsed(row["outcome"])}
    return Flow(*fields.values())


async def progress(connection: asyncpg.Connection, id_: str) -> tuple[bool, Outcome | None] | None:
    """Return whether the time of a flow is not over, and its outcome; None where there is no such flow."""
    row = await connection.fetchrow(
        "SELECT expires_at > now() AS live, outcome FROM oauth_states WHERE id = $1::uuid", id_
    )
    return None if row is None else (row["live"], None if row["outcome"] is None else Outcome.parsed(row["outcome"]))


async def requester(connection: asyncpg.Connection, tenant: str, actor: str) -> Requester:
    """Return what whoever began a flow may do now: a person by role, a program by the scopes of its key."""
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
    return Requester(row["name"], row["role"], row["scopes"])


async def open_in(connection: asyncpg.Connection, digest: bytes, session: bytes, seconds: int) -> bool:
    """Bind a flow to the browser with this secret, for so many seconds. Return False if it is bound or over."""
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
    """Claim the code exchange. Return the claim time, or None if it was already claimed or the flow is over."""
    since: datetime | None = await connection.fetchval(
        f"""
        UPDATE oauth_states SET used_at = now()
        WHERE state_sha256 = $1 AND {FLOW.allows("claim_code")} AND expires_at > now() RETURNING used_at""",
        digest,
    )
    return since


async def settle(connection: asyncpg.Connection, digest: bytes, outcome: Outcome) -> bool:
    """End a flow and forget what there was to choose from. Return False where it was withdrawn before."""
    event = "connect" if outcome.ok else "fail"
    settled: bool | None = await connection.fetchval(
        f"""
        UPDATE oauth_states SET outcome = $2::jsonb, sealed_accounts = NULL
        WHERE state_sha256 = $1 AND {FLOW.allows(event)} RETURNING true""",
        digest,
        outcome.text,
    )
    return settled is not None


async def offer(connection: asyncpg.Connection, digest: bytes, outcome: Outcome, sealed: bytes, seconds: int) -> None:
    """Store what there is to choose from, sealed, for so many seconds."""
    await connection.execute(
        f"""
        UPDATE oauth_states SET outcome = $2::jsonb, sealed_accounts = $3,
            expires_at = now() + make_interval(secs => $4)
        WHERE state_sha256 = $1 AND {FLOW.allows("offer")}""",
        digest,
        outcome.text,
        sealed,
        float(seconds),
    )


async def client(connection: asyncpg.Connection, platform: str, instance: str) -> RegisteredClient | None:
    """Return our application at an instance; None where it is not registered."""
    row = await connection.fetchrow(
        """
        SELECT client_id, sealed_secret, redirect_uri, scopes FROM oauth_clients
        WHERE platform = $1 AND instance = $2""",
        platform,
        instance,
    )
    return None if row is None else RegisteredClient(*row)


async def save_client(
    connection: asyncpg.Connection, tenant: str, platform: str, instance: str, client: RegisteredClient
) -> None:
    """Store our application at an instance, in place of an earlier one."""
    await connection.execute(
        """
        INSERT INTO oauth_clients (tenant_id, platform, instance, client_id, sealed_secret, redirect_uri, scopes)
        VALUES ($1::uuid, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (tenant_id, platform, instance) DO UPDATE SET client_id = excluded.client_id,
            sealed_secret = excluded.sealed_secret, redirect_uri = excluded.redirect_uri, scopes = excluded.scopes""",
        tenant,
        platform,
        instance,
        client.client_id,
        client.sealed_secret,
        client.redirect_uri,
        list(client.scopes),
    )
