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
    """One that is to be worked on. ``channel`` is whose login it came through; ``work``: refresh, check or revoke."""

    tenant: str
    id: str
    platform: str
    channel: str
    instance: str
    account_id: str
    fence: int
    work: str

    @property
    def whose(self) -> dict[str, str]:
        """Whose budget it is, and whose trouble."""
        return {"platform": self.channel, "instance": self.instance, "account": self.account_id}


@dataclass(frozen=True, slots=True)
class State:
    """A flow that was begun. ``connection`` is the one it is to bring back; ``since`` is when its code was sent."""

    tenant: str
    digest: bytes
    platform: str
    instance: str
    session: bytes
    sealed_verifier: bytes
    redirect_uri: str
    return_to: str
    actor: str
    id: str = ""
    connection: str | None = None
    sealed_accounts: bytes | None = None
    used: bool = False
    live: bool = True
    since: datetime | None = None
    outcome: Any = None


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


async def begin(connection: asyncpg.Connection, state: State, seconds: int) -> str:
    """Its id."""
    return str(
        await connection.fetchval(
            """
            INSERT INTO oauth_states (tenant_id, state_sha256, platform, instance, session_sha256, sealed_verifier,
                redirect_uri, return_to, actor, connection_id, expires_at)
            VALUES ($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10::uuid, now() + make_interval(secs => $11))
            RETURNING id""",
            state.tenant,
            state.digest,
            state.platform,
            state.instance,
            state.session,
            state.sealed_verifier,
            state.redirect_uri,
            state.return_to,
            state.actor,
            state.connection,
            float(seconds),
        )
    )


async def unfinished(connection: asyncpg.Connection) -> int:
    """How many flows were begun, and can still be finished."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM oauth_states WHERE used_at IS NULL AND expires_at > now()"
    )
    return count


async def state(connection: asyncpg.Connection, *, digest: bytes = b"", session: bytes = b"") -> State | None:
    """By its own digest, or by that of the session which it is bound to."""
    row = await connection.fetchrow(
        """
        SELECT tenant_id::text, state_sha256, platform, instance, session_sha256, sealed_verifier, redirect_uri,
            return_to, actor, id::text, connection_id::text, sealed_accounts, used_at IS NOT NULL AS used,
            expires_at > now() AS live, used_at, outcome
        FROM oauth_states WHERE state_sha256 = $1 OR session_sha256 = $2""",
        digest,
        session,
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


async def claim_code(connection: asyncpg.Connection, digest: bytes) -> datetime | None:
    """Since when the caller is the one who may send the code to the platform. Nobody else is, ever after: None."""
    since: datetime | None = await connection.fetchval(
        "UPDATE oauth_states SET used_at = now() WHERE state_sha256 = $1 AND used_at IS NULL AND expires_at > now()"
        " RETURNING used_at",
        digest,
    )
    return since


async def settle(connection: asyncpg.Connection, digest: bytes, outcome: Mapping[str, Any]) -> None:
    """The end of a flow; what there was to choose from is forgotten."""
    await connection.execute(
        "UPDATE oauth_states SET outcome = $2::jsonb, sealed_accounts = NULL WHERE state_sha256 = $1",
        digest,
        json.dumps(outcome),
    )


async def offer(
    connection: asyncpg.Connection, digest: bytes, outcome: Mapping[str, Any], sealed: bytes, seconds: int
) -> None:
    """Keep what there is to choose from, for so long."""
    await connection.execute(
        """
        UPDATE oauth_states SET outcome = $2::jsonb, sealed_accounts = $3,
            expires_at = now() + make_interval(secs => $4)
        WHERE state_sha256 = $1""",
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


# --- connections


async def connect(
    connection: asyncpg.Connection,
    vault: Vault,
    tenant: str,
    new_id: str,
    channel: str,
    instance: str,
    account: Account,
    *,
    refresh_in: float | None,
    check_in: int | None,
    since: datetime | None = None,
) -> str:
    """Keep an account and its secrets; an account that was connected before keeps its id. The id.

    Lives are counted from ``since``, when the platform was asked for them; now if it is not given.
    """
    platform = account.platform or channel
    via = None if channel == platform else channel
    # What another login gave is of no use to this one.
    await connection.execute(
        """
        DELETE FROM connection_secrets WHERE connection_id = (
            SELECT id FROM connections WHERE tenant_id = $1::uuid AND platform = $2 AND instance = $3
                AND account_id = $4 AND via IS DISTINCT FROM $5)""",
        tenant,
        platform,
        instance,
        account.account_id,
        via,
    )
    row = await connection.fetchrow(
        """
        INSERT INTO connections AS c (tenant_id, id, platform, instance, account_id, other_ids, username, scopes,
            profile, via, grant_id, state, authorized_at, checked_at, access_expires_at, refresh_expires_at,
            refresh_due_at, check_due_at)
        SELECT $1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, 'active', since, since,
            since + make_interval(secs => $12), since + make_interval(secs => $13),
            since + make_interval(secs => $14), since + make_interval(secs => $15)
        FROM coalesce($16::timestamptz, now()) AS since
        ON CONFLICT (tenant_id, platform, instance, account_id) DO UPDATE SET other_ids = excluded.other_ids,
            username = excluded.username, scopes = excluded.scopes, profile = excluded.profile, via = excluded.via,
            grant_id = excluded.grant_id, state = 'active', reason = NULL, authorized_at = excluded.authorized_at,
            checked_at = excluded.checked_at, access_expires_at = excluded.access_expires_at,
            refresh_expires_at = CASE WHEN c.via IS DISTINCT FROM excluded.via THEN excluded.refresh_expires_at
                ELSE coalesce(excluded.refresh_expires_at, c.refresh_expires_at) END,
            refresh_due_at = excluded.refresh_due_at, check_due_at = excluded.check_due_at, refresh_failures = 0,
            trouble = NULL, disconnected_at = NULL, fence = c.fence + 1, lease_until = NULL
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
        via,
        account.grant_id or None,
        account.access_seconds,
        account.refresh_seconds,
        refresh_in,
        check_in,
        since,
    )
    id_ = str(row["id"])
    await keep_secrets(connection, vault, tenant, id_, account.secrets)
    await resolve(connection, id_)
    return id_


async def known(connection: asyncpg.Connection, channel: str, instance: str) -> set[tuple[str, str]]:
    """Platform and account id of whatever is connected through this login."""
    rows = await connection.fetch(
        """
        SELECT platform, account_id FROM connections
        WHERE coalesce(via, platform) = $1 AND instance = $2 AND state <> 'disconnected'""",
        channel,
        instance,
    )
    return {tuple(row) for row in rows}


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


DUE = """
coalesce(lease_until, '-infinity') < now() AND (
    (state = 'active' AND least(refresh_due_at, check_due_at) <= now())
    OR (state = 'disconnected' AND refresh_due_at <= now()))"""


async def due(connection: asyncpg.Connection, limit: int) -> list[tuple[str, str]]:
    """Tenant and id of the connections to work on now: the most urgent of each tenant before the second of any."""
    rows = await connection.fetch(
        f"""
        SELECT tenant_id::text, id::text FROM (
            SELECT tenant_id, id, access_expires_at,
                row_number() OVER (PARTITION BY tenant_id ORDER BY access_expires_at NULLS LAST) AS turn
            FROM connections WHERE {DUE}) AS due
        ORDER BY turn, access_expires_at NULLS LAST LIMIT $1""",
        limit,
    )
    return [tuple(row) for row in rows]


async def lease(connection: asyncpg.Connection, id_: str, within: float) -> Connection | None:
    """Take the one right to work on it, if it is due or its token ends ``within`` seconds; None if that is taken."""
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET lease_until = now() + make_interval(secs => $2), fence = fence + 1
        WHERE id = $1::uuid AND (({DUE}) OR (
            state = 'active' AND coalesce(lease_until, '-infinity') < now() AND refresh_due_at IS NOT NULL
            AND access_expires_at <= now() + make_interval(secs => $3)))
        RETURNING tenant_id::text, id::text, platform, coalesce(via, platform), instance, account_id, fence,
            CASE WHEN state = 'disconnected' THEN 'revoke'
                WHEN refresh_due_at <= now() OR (refresh_due_at IS NOT NULL
                    AND access_expires_at <= now() + make_interval(secs => $3)) THEN 'refresh'
                ELSE 'check' END""",
        id_,
        float(LEASE_SECONDS),
        within,
    )
    return None if row is None else Connection(*row)


async def ask_check(connection: asyncpg.Connection, id_: str, *, refreshing: bool) -> bool:
    """Make a check due now, or a refresh where that is the check; False where there was one within the last minute."""
    column = "refresh_due_at" if refreshing else "check_due_at"
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET {column} = now() WHERE id = $1::uuid AND state = 'active' AND {column} IS NOT NULL
            AND coalesce(checked_at, '-infinity') < now() - interval '1 minute' RETURNING 1""",
        id_,
    )
    return row is not None


async def standing(connection: asyncpg.Connection, id_: str) -> asyncpg.Record | None:
    """Whether it may be used: its state and reason, whether its token is over, and whether somebody works on it."""
    return await connection.fetchrow(
        """
        SELECT state, reason, coalesce(via, platform) AS channel,
            coalesce(access_expires_at <= now(), false) AS over, coalesce(lease_until > now(), false) AS leased
        FROM connections WHERE id = $1::uuid""",
        id_,
    )


async def renew(
    connection: asyncpg.Connection,
    vault: Vault,
    held: Connection,
    renewed: Renewed,
    refresh_in: float | None,
    check_in: int | None,
) -> bool:
    """Keep what a refresh gave; False where the lease was lost meanwhile, and nothing was kept."""
    row = await connection.fetchrow(
        f"""
        UPDATE connections SET refresh_due_at = now() + make_interval(secs => $6),
            access_expires_at = coalesce(now() + make_interval(secs => $7), access_expires_at), {_HOLDS}""",
        *_held(held, renewed, check_in),
        refresh_in,
        renewed.access_seconds,
    )
    if row is None:
        return False
    await keep_secrets(connection, vault, held.tenant, held.id, renewed.secrets)
    return True


async def checked(connection: asyncpg.Connection, held: Connection, found: Renewed, check_in: int | None) -> bool:
    """Note that the platform still takes what we hold; False where the lease was lost meanwhile."""
    row = await connection.fetchrow(f"UPDATE connections SET {_HOLDS}", *_held(held, found, check_in))
    return row is not None


_HOLDS = """lease_until = NULL, refresh_failures = 0, trouble = NULL, checked_at = now(),
    check_due_at = now() + make_interval(secs => $3),
    refresh_expires_at = coalesce($5, now() + make_interval(secs => $4), refresh_expires_at)
WHERE id = $1::uuid AND fence = $2 AND state = 'active' RETURNING 1"""


def _held(held: Connection, renewed: Renewed, check_in: int | None) -> tuple[Any, ...]:
    return (held.id, held.fence, check_in, renewed.refresh_seconds, renewed.ends_at)


async def postpone(
    connection: asyncpg.Connection,
    held: Connection,
    trouble: str,
    *,
    pauses: Sequence[int],
    share: float,
    least: float,
) -> int:
    """Try again after one of the pauses, the last one for ever; how many failures there were in a row.

    Never before ``least`` seconds, which is what the platform wishes.
    """
    failures: int | None = await connection.fetchval(
        f"""
        UPDATE connections SET lease_until = NULL, refresh_failures = refresh_failures + 1, trouble = $6,
            {_due_column(held)} = now() + make_interval(secs => greatest($5::float8,
                $4::float8 * ($3::int[])[least(refresh_failures + 1, cardinality($3))]))
        WHERE id = $1::uuid AND fence = $2 AND state <> 'needs_reconnect' RETURNING refresh_failures""",
        held.id,
        held.fence,
        list(pauses),
        share,
        least,
        trouble,
    )
    return failures or 0


async def wait(connection: asyncpg.Connection, held: Connection, seconds: float) -> None:
    """Try again after so long: nobody was asked, and nothing has failed."""
    await connection.execute(
        f"""
        UPDATE connections SET lease_until = NULL, {_due_column(held)} = now() + make_interval(secs => $3)
        WHERE id = $1::uuid AND fence = $2 AND state = 'active'""",
        held.id,
        held.fence,
        seconds,
    )


def _due_column(held: Connection) -> str:
    return "check_due_at" if held.work == "check" else "refresh_due_at"


# --- ends


_ENDED = """state = 'needs_reconnect', refresh_due_at = NULL, check_due_at = NULL, lease_until = NULL,
    trouble = NULL, fence = fence + 1"""
_WHOSE = "RETURNING tenant_id::text, id::text, platform, authorized_at, reason"


async def needs_reconnect(connection: asyncpg.Connection, held: Connection, reason: str) -> bool:
    """Whether this is when it began to: there is one notice for each such time."""
    query = f"""
        UPDATE connections SET {_ENDED}, reason = $3 WHERE id = $1::uuid AND fence = $2 AND state = 'active' {_WHOSE}"""
    return bool(await _told(connection, await connection.fetch(query, held.id, held.fence, reason)))


async def removed(
    connection: asyncpg.Connection, channel: str, user: str, issued_at: int, reason: str
) -> list[tuple[str, str]]:
    """A platform says that a person removed us: tenant and id of what that ended. Grants newer than that live on."""
    query = f"""
        UPDATE connections SET {_ENDED}, reason = $4
        WHERE coalesce(via, platform) = $1 AND state = 'active' AND (account_id = $2 OR $2 = ANY(other_ids))
            AND ($3 = 0 OR authorized_at <= to_timestamp($3 + 1)) {_WHOSE}"""
    return await _told(connection, await connection.fetch(query, channel, user, float(issued_at), reason))


async def removed_in_log(
    connection: asyncpg.Connection, platform: str, event: str, reason: str
) -> list[tuple[str, str]]:
    """What the log says of removals: tenant and id of what that ended. A grant newer than the event lives on."""
    query = f"""
        UPDATE connections c SET {_ENDED}, reason = $3
        WHERE platform = $1 AND via IS NULL AND state = 'active' AND EXISTS (
            SELECT FROM webhook_event_log e
            WHERE e.account_id = c.account_id AND e.provider = $1 AND e.event_type = $2
                AND e.occurred_at >= date_trunc('second', c.authorized_at)) {_WHOSE}"""
    return await _told(connection, await connection.fetch(query, platform, event, reason))


async def expired(connection: asyncpg.Connection, reason: str) -> list[tuple[str, str, str]]:
    """Tenant, id and platform of connections whose time is over, and which nothing can refresh."""
    query = f"""
        UPDATE connections SET {_ENDED}, reason = $1
        WHERE state = 'active' AND refresh_due_at IS NULL AND access_expires_at <= now() {_WHOSE}"""
    rows = await connection.fetch(query, reason)
    await _told(connection, rows)
    return [(row["tenant_id"], row["id"], row["platform"]) for row in rows]


async def _told(connection: asyncpg.Connection, ended: Sequence[asyncpg.Record]) -> list[tuple[str, str]]:
    """A notice for each that needs a person from now on."""
    await connection.executemany(
        """
        INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
        VALUES ($1::uuid, gen_random_uuid(), $2::uuid, 'needs_reconnect', $3, $4) ON CONFLICT DO NOTHING""",
        [(row["tenant_id"], row["id"], row["authorized_at"], row["reason"]) for row in ended],
    )
    await connection.execute(
        """
        UPDATE notices SET resolved_at = now()
        WHERE connection_id = ANY($1::uuid[]) AND kind <> 'needs_reconnect' AND resolved_at IS NULL""",
        [row["id"] for row in ended],
    )
    return [(row["tenant_id"], row["id"]) for row in ended]


async def warn(connection: asyncpg.Connection) -> list[tuple[str, str, str]]:
    """Tell once of each access that ends within 14, 7 and 1 days: platform, connection and kind of what is new."""
    rows = await connection.fetch(
        """
        INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
        SELECT tenant_id, gen_random_uuid(), id,
            CASE WHEN ends_at < now() + interval '1 day' THEN 'ends_in_1_day'
                WHEN ends_at < now() + interval '7 days' THEN 'ends_in_7_days' ELSE 'ends_in_14_days' END,
            authorized_at,
            'Access ends on ' || to_char(ends_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY')
                || '; connect the account again before that.'
        FROM connections WHERE state = 'active' AND ends_at < now() + interval '14 days'
        ON CONFLICT DO NOTHING RETURNING id, connection_id, kind"""
    )
    await connection.execute(
        """
        UPDATE notices SET resolved_at = now() WHERE connection_id = ANY($1::uuid[]) AND id <> ALL($2::uuid[])
            AND resolved_at IS NULL""",
        [row["connection_id"] for row in rows],
        [row["id"] for row in rows],
    )
    return [(str(row["id"]), str(row["connection_id"]), row["kind"]) for row in rows]


async def resolve(connection: asyncpg.Connection, id_: str) -> None:
    """Somebody did what the notices about a connection asked for."""
    await connection.execute(
        "UPDATE notices SET resolved_at = now() WHERE connection_id = $1::uuid AND resolved_at IS NULL", id_
    )


async def notices(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    """What somebody should do, the newest first."""
    rows = await connection.fetch(
        """
        SELECT n.id::text, n.connection_id::text, c.platform, c.username, n.kind, n.says, n.created_at
        FROM notices n JOIN connections c ON c.tenant_id = n.tenant_id AND c.id = n.connection_id
        WHERE n.resolved_at IS NULL ORDER BY n.created_at DESC, n.id"""
    )
    return [_plain(row) for row in rows]


async def disconnect(connection: asyncpg.Connection, id_: str) -> Connection | None:
    """End it here; what the tables have synced stays. None where there is nothing to end.

    The caller has the lease to revoke it at the platform. Whoever dies with it leaves that to the worker.
    """
    row = await connection.fetchrow(
        """
        UPDATE connections SET state = 'disconnected', reason = NULL, disconnected_at = now(), refresh_failures = 0,
            refresh_due_at = now(), check_due_at = NULL, lease_until = now() + make_interval(secs => $2),
            fence = fence + 1
        WHERE id = $1::uuid AND state <> 'disconnected'
        RETURNING tenant_id::text, id::text, platform, coalesce(via, platform), instance, account_id, fence,
            'revoke'""",
        id_,
        float(LEASE_SECONDS),
    )
    if row is not None:
        await resolve(connection, id_)
    return None if row is None else Connection(*row)


async def sharing(connection: asyncpg.Connection, held: Connection) -> tuple[bool, bool]:
    """Whether others, of any tenant, use what revoking this one would end; and whether others are of its person."""
    row = await connection.fetchrow(
        """
        SELECT coalesce(bool_or(coalesce(other.grant_id, other.account_id) = coalesce(mine.grant_id, mine.account_id)),
                false) AS same,
            coalesce(bool_or(other.other_ids && mine.other_ids), false) AS related
        FROM connections mine JOIN connections other ON other.id <> mine.id AND other.instance = mine.instance
            AND coalesce(other.via, other.platform) = coalesce(mine.via, mine.platform)
        WHERE mine.id = $1::uuid AND other.state <> 'disconnected'""",
        held.id,
    )
    return row["same"], row["related"]


async def revoked(connection: asyncpg.Connection, held: Connection) -> None:
    """Forget the secrets of a connection that was ended; one that came back meanwhile keeps its new ones."""
    row = await connection.fetchrow(
        """
        UPDATE connections SET refresh_due_at = NULL, lease_until = NULL
        WHERE id = $1::uuid AND fence = $2 AND state = 'disconnected' RETURNING 1""",
        held.id,
        held.fence,
    )
    if row is not None:
        await connection.execute("DELETE FROM connection_secrets WHERE connection_id = $1::uuid", held.id)


async def hopeless(connection: asyncpg.Connection, held: Connection, hours: int) -> bool:
    """Whether revoking was tried for so long that it is given up."""
    found: bool = await connection.fetchval(
        "SELECT disconnected_at < now() - make_interval(hours => $2) FROM connections WHERE id = $1::uuid",
        held.id,
        hours,
    )
    return found


async def tidy(connection: asyncpg.Connection) -> None:
    """Drop what has had its time: flows that ended, sessions that are over, wrong passwords of yesterday."""
    await connection.execute("DELETE FROM oauth_states WHERE expires_at < now() - interval '1 day'")
    await connection.execute(
        "UPDATE oauth_states SET sealed_accounts = NULL WHERE sealed_accounts IS NOT NULL AND expires_at < now()"
    )
    await connection.execute("DELETE FROM sessions WHERE expires_at < now()")
    await connection.execute("DELETE FROM login_failures WHERE failed_at < now() - interval '1 day'")
    await connection.execute("DELETE FROM platform_budgets WHERE updated_at < now() - interval '2 days'")


async def gauge(connection: asyncpg.Connection) -> None:
    """Show how the connections are, and what is left of the platforms' patience."""
    metrics.connections.clear()
    metrics.connections_ending.clear()
    for row in await connection.fetch("SELECT platform, state, count(*) AS n FROM connections GROUP BY 1, 2"):
        metrics.connections.labels(row["platform"], row["state"]).set(row["n"])
    ending = """
        SELECT platform, days, count(*) FILTER (WHERE ends_at < now() + make_interval(days => days)) AS n
        FROM connections, unnest(ARRAY[1, 7, 14]) AS days
        WHERE state = 'active' AND ends_at IS NOT NULL GROUP BY 1, 2"""
    for row in await connection.fetch(ending):
        metrics.connections_ending.labels(row["platform"], str(row["days"])).set(row["n"])
    metrics.budget_used.clear()
    used = """
        SELECT platform, max(percent) / 100.0::float8 AS ratio FROM platform_budgets
        WHERE held_until > now() OR updated_at > now() - interval '10 minutes' GROUP BY 1"""
    for row in await connection.fetch(used):
        metrics.budget_used.labels(row["platform"]).set(row["ratio"])


# --- budgets


async def held(
    connection: asyncpg.Connection, platform: str, instance: str, account: str
) -> tuple[datetime, float] | None:
    """Until when the account, or the whole application, is to leave the platform alone; also in seconds."""
    row = await connection.fetchrow(
        """
        SELECT held_until, extract(epoch FROM held_until - now())::float8 FROM platform_budgets
        WHERE platform = $1 AND instance = $2 AND subject IN ('', $3) AND held_until > now()
        ORDER BY held_until DESC LIMIT 1""",
        platform,
        instance,
        account,
    )
    return None if row is None else (row[0], row[1])


async def spent(
    connection: asyncpg.Connection, platform: str, instance: str, subject: str, percent: int, seconds: float
) -> None:
    """Keep what was said of a budget; answers that were on their way meanwhile do not end a wait."""
    await connection.execute(
        """
        INSERT INTO platform_budgets AS b (platform, instance, subject, percent, held_until)
        VALUES ($1, $2, $3, $4, CASE WHEN $5::float8 > 0 THEN now() + make_interval(secs => $5) END)
        ON CONFLICT (platform, instance, subject) DO UPDATE SET updated_at = now(),
            percent = CASE WHEN b.held_until > now() THEN greatest(b.percent, excluded.percent)
                ELSE excluded.percent END,
            held_until = greatest(b.held_until, excluded.held_until)""",
        platform,
        instance,
        subject,
        percent,
        seconds,
    )


SHOWN = """
SELECT id::text, platform, coalesce(via, platform) AS channel, instance, account_id, username, scopes, profile, state,
    reason, authorized_at, access_expires_at, refresh_expires_at, refresh_due_at, refresh_failures, trouble,
    checked_at, ends_at, disconnected_at
FROM connections"""


async def listed(connection: asyncpg.Connection) -> list[dict[str, Any]]:
    return [_shown(row) for row in await connection.fetch(f"{SHOWN} ORDER BY platform, username, id")]


async def overview(connection: asyncpg.Connection, state: str | None, platform: str | None) -> list[dict[str, Any]]:
    """All tenants' connections, for whoever runs the install: those that need somebody first."""
    rows = await connection.fetch(
        """
        SELECT c.id::text, t.name AS tenant, platform, instance, account_id, username, state, reason, trouble,
            refresh_failures, checked_at, ends_at
        FROM connections c JOIN tenants t ON t.id = c.tenant_id
        WHERE state = coalesce($1, state) AND platform = coalesce($2, platform)
        ORDER BY state <> 'needs_reconnect', trouble IS NULL, state, ends_at NULLS LAST, platform, username, c.id""",
        state,
        platform,
    )
    return [_plain(row) for row in rows]


async def overdue(connection: asyncpg.Connection, seconds: int) -> int:
    """How many nobody works on although they have been due for so long."""
    count: int = await connection.fetchval(
        """
        SELECT count(*) FROM connections WHERE state <> 'needs_reconnect'
            AND least(refresh_due_at, check_due_at) < now() - make_interval(secs => $1)
            AND coalesce(lease_until, '-infinity') < now()""",
        float(seconds),
    )
    return count


async def hurry(connection: asyncpg.Connection, platform: str | None) -> int:
    """Try again now whatever failed and waits; how many that are."""
    rows = await connection.fetch(
        """
        UPDATE connections SET
            refresh_due_at = CASE WHEN refresh_due_at IS NOT NULL THEN now() END,
            check_due_at = CASE WHEN refresh_due_at IS NULL THEN now() ELSE check_due_at END
        WHERE refresh_failures > 0 AND state <> 'needs_reconnect' AND platform = coalesce($1, platform)
            AND coalesce(refresh_due_at, check_due_at) IS NOT NULL RETURNING 1""",
        platform,
    )
    return len(rows)


async def one(connection: asyncpg.Connection, id_: str) -> dict[str, Any] | None:
    row = await connection.fetchrow(f"{SHOWN} WHERE id = $1::uuid", id_)
    return None if row is None else _shown(row)


def _shown(row: asyncpg.Record) -> dict[str, Any]:
    return _plain(row) | {"profile": json.loads(row["profile"])}


def _plain(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


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
