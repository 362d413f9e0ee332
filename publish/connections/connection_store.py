"""Connections, their sealed secrets, and how they are shown."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg

from ops.runtime.db import required
from publish.notifications.notice_store import resolve, resolve_trouble
from publish.oauth.contract import Account
from publish.vault.envelope import Vault
from schema.sealing import Place
from schema.states import CONNECTION, ConnectionState


@dataclass(frozen=True, slots=True)
class Connection:
    """A leased connection. ``login_platform`` is the platform of its login; ``work`` is refresh, check or revoke.

    ``profile`` is what the platform said of the account when it was connected.
    """

    tenant: str
    id: str
    platform: str
    login_platform: str
    instance: str
    account_id: str
    fence: int
    work: str
    profile: Mapping[str, object]

    @classmethod
    def of(cls, row: asyncpg.Record) -> "Connection":
        """Return the connection of a row with these columns in this order."""
        return replace(cls(*row), profile=json.loads(row["profile"]))

    @property
    def counted_as(self) -> dict[str, str]:
        """The arguments of the platform client that say whose rate limit and circuit breaker count."""
        return {"platform": self.login_platform, "instance": self.instance, "account": self.account_id}


async def connect(
    connection: asyncpg.Connection,
    vault: Vault,
    tenant: str,
    new_id: str,
    login_platform: str,
    instance: str,
    account: Account,
    *,
    access_seconds: int | None,
    refresh_seconds: int | None,
    refresh_in: float | None,
    check_in: int | None,
    since: datetime | None = None,
) -> str:
    """Store an account and its secrets and return its id, which an account that was connected before keeps.

    Lives are in seconds from ``since``, when the platform was asked for the tokens; from now if it is not given.
    """
    platform = account.platform or login_platform
    via = None if login_platform == platform else login_platform
    # Secrets of another login are of no use with this one.
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
    row = required(
        await connection.fetchrow(
            f"""
        INSERT INTO connections AS c (tenant_id, id, platform, instance, account_id, other_ids, username, scopes,
            profile, via, grant_id, state, authorized_at, checked_at, access_expires_at, refresh_expires_at,
            refresh_due_at, check_due_at)
        SELECT $1::uuid, $2::uuid, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11, '{CONNECTION.initial}', since, since,
            since + make_interval(secs => $12), since + make_interval(secs => $13),
            since + make_interval(secs => $14), since + make_interval(secs => $15)
        FROM coalesce($16::timestamptz, now()) AS since
        ON CONFLICT (tenant_id, platform, instance, account_id) DO UPDATE SET other_ids = excluded.other_ids,
            username = excluded.username, scopes = excluded.scopes, profile = excluded.profile, via = excluded.via,
            grant_id = excluded.grant_id, state = '{CONNECTION.target("connect")}', reason = NULL,
            authorized_at = excluded.authorized_at,
            checked_at = excluded.checked_at, access_expires_at = excluded.access_expires_at,
            refresh_expires_at = CASE WHEN c.via IS DISTINCT FROM excluded.via THEN excluded.refresh_expires_at
                ELSE coalesce(excluded.refresh_expires_at, c.refresh_expires_at) END,
            refresh_due_at = excluded.refresh_due_at, check_due_at = excluded.check_due_at, refresh_failures = 0,
            trouble = NULL, trouble_since = NULL, disconnected_at = NULL, fence = c.fence + 1, lease_until = NULL
        RETURNING id::text""",
            tenant,
            new_id,
            platform,
            instance,
            account.account_id,
            [other for other in account.other_ids if other],
            account.username,
            list(account.scopes),
            json.dumps(dict(account.profile)),
            via,
            account.grant_id or None,
            access_seconds,
            refresh_seconds,
            refresh_in,
            check_in,
            since,
        )
    )
    id_ = str(row["id"])
    await save_secrets(connection, vault, tenant, id_, account.secrets)
    await resolve(connection, id_)
    return id_


@dataclass(frozen=True, slots=True)
class Grant:
    """What one person agreed to at one login platform; several connections of a tenant may hang on it."""

    tenant: str
    login_platform: str
    instance: str
    id: str


async def lock_grant(connection: asyncpg.Connection, grant: Grant) -> dict[str, str]:
    """Lock the connections of a grant until the transaction ends; return their states by id.

    In the order in which accounts are connected, so that no two transactions wait for each other.
    """
    rows = await connection.fetch(
        """
        SELECT id::text, state FROM connections
        WHERE tenant_id = $1::uuid AND coalesce(via, platform) = $2 AND instance = $3
            AND coalesce(grant_id, account_id) = $4
        ORDER BY platform, account_id FOR UPDATE""",
        grant.tenant,
        grant.login_platform,
        grant.instance,
        grant.id,
    )
    return {row["id"]: row["state"] for row in rows}


async def share_tokens(
    connection: asyncpg.Connection,
    vault: Vault,
    grant: Grant,
    id_: str,
    secrets: Mapping[str, str],
    *,
    authorized: Collection[str] = (),
) -> None:
    """Give new tokens of a connection, and their ends, to the others of its grant.

    Only to those that work: what needs a person was refused for a reason of its own. What somebody else is about to
    store for one of them counts no more. ``authorized`` are the connections for which the person agreed anew, which
    have the tokens already: the others get the new scopes too, and are checked soon, since one may be out of reach.
    """
    found = await lock_grant(connection, grant)
    others = [
        other
        for other, state in found.items()
        if other != id_ and other not in authorized and state == ConnectionState.ACTIVE
    ]
    anew = """, scopes = mine.scopes, authorized_at = mine.authorized_at,
        check_due_at = CASE WHEN other.check_due_at IS NOT NULL THEN now() END"""
    await connection.execute(
        f"""
        UPDATE connections other SET access_expires_at = mine.access_expires_at,
            refresh_expires_at = mine.refresh_expires_at, refresh_due_at = mine.refresh_due_at, refresh_failures = 0,
            trouble = NULL, trouble_since = NULL, fence = other.fence + 1, lease_until = NULL
            {anew if authorized else ""}
        FROM connections mine WHERE mine.id = $1::uuid AND other.id = ANY($2::uuid[])""",
        id_,
        others,
    )
    for other in others:
        await save_secrets(connection, vault, grant.tenant, other, secrets)
        await resolve_trouble(connection, other)


async def known(connection: asyncpg.Connection, login_platform: str, instance: str) -> set[tuple[str, str]]:
    """Return platform and account id of every account that is connected by a login at this platform."""
    rows = await connection.fetch(
        f"""
        SELECT platform, account_id FROM connections
        WHERE coalesce(via, platform) = $1 AND instance = $2 AND {CONNECTION.allows("disconnect")}""",
        login_platform,
        instance,
    )
    return {tuple(row) for row in rows}


async def save_secrets(
    connection: asyncpg.Connection, vault: Vault, tenant: str, owner: str, secrets: Mapping[str, str]
) -> None:
    """Seal and store secrets; an empty one never replaces what is there."""
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


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a connection can be used: ``over`` is whether its token has ended, ``leased`` whether it is worked on,
    or another one of its grant whose refresh gives it a new token too.
    """

    state: str
    reason: str | None
    login_platform: str
    over: bool
    leased: bool


async def standing(connection: asyncpg.Connection, id_: str) -> Standing | None:
    row = await connection.fetchrow(
        f"""
        SELECT state, reason, coalesce(via, platform), coalesce(access_expires_at <= now(), false),
            coalesce(lease_until > now(), false) OR (refresh_due_at IS NOT NULL AND EXISTS (
                SELECT FROM connections other WHERE other.id <> c.id AND other.tenant_id = c.tenant_id
                    AND coalesce(other.via, other.platform) = coalesce(c.via, c.platform)
                    AND other.instance = c.instance
                    AND coalesce(other.grant_id, other.account_id) = coalesce(c.grant_id, c.account_id)
                    AND other.state = '{ConnectionState.ACTIVE}' AND other.refresh_due_at IS NOT NULL
                    AND other.lease_until > now()))
        FROM connections c WHERE id = $1::uuid""",
        id_,
    )
    return None if row is None else Standing(*row)


@dataclass(frozen=True, slots=True)
class ConnectionDetails:
    """A connection as its tenant sees it; ``channel`` is the platform of its login.

    A time that Python cannot hold is None.
    """

    id: str
    platform: str
    channel: str
    instance: str
    account_id: str
    username: str
    scopes: Sequence[str]
    profile: Mapping[str, object]
    state: str
    reason: str | None
    authorized_at: datetime
    refresh_failures: int
    trouble: str | None
    trouble_since: datetime | None
    checked_at: datetime | None
    disconnected_at: datetime | None
    access_expires_at: datetime | None
    refresh_expires_at: datetime | None
    refresh_due_at: datetime | None
    ends_at: datetime | None


@dataclass(frozen=True, slots=True)
class ConnectionSummary:
    """A connection as an operator sees it; ``tenant`` is the name of its tenant."""

    id: str
    tenant: str
    platform: str
    instance: str
    account_id: str
    username: str
    state: str
    reason: str | None
    trouble: str | None
    trouble_since: datetime | None
    refresh_failures: int
    checked_at: datetime | None
    ends_at: datetime | None


def _readable_time(column: str) -> str:
    """Return SQL for a time that Python can read: NULL for one outside its years, so that one row hides no other."""
    return f"CASE WHEN {column} BETWEEN '0002-01-01 00:00Z' AND '9998-12-31 00:00Z' THEN {column} END"


_TIMES = ", ".join(map(_readable_time, ("access_expires_at", "refresh_expires_at", "refresh_due_at", "ends_at")))

_DETAILS = f"""
SELECT id::text, platform, coalesce(via, platform), instance, account_id, username, scopes, profile, state, reason,
    authorized_at, refresh_failures, trouble, trouble_since, checked_at, disconnected_at, {_TIMES}
FROM connections"""


async def listed(connection: asyncpg.Connection) -> list[ConnectionDetails]:
    return [_details(row) for row in await connection.fetch(f"{_DETAILS} ORDER BY platform, username, id")]


async def overview(connection: asyncpg.Connection, state: str | None, platform: str | None) -> list[ConnectionSummary]:
    """List the connections of all tenants, those that need a person first."""
    rows = await connection.fetch(
        f"""
        SELECT c.id::text, t.name, platform, instance, account_id, username, state, reason, trouble, trouble_since,
            refresh_failures, checked_at, {_readable_time("ends_at")}
        FROM connections c JOIN tenants t ON t.id = c.tenant_id
        WHERE state = coalesce($1, state) AND platform = coalesce($2, platform)
        ORDER BY NOT {CONNECTION.any_of(ConnectionState.NEEDS_RECONNECT)}, trouble IS NULL, state,
            c.ends_at NULLS LAST, platform, username, c.id""",
        state,
        platform,
    )
    return [ConnectionSummary(*row) for row in rows]


async def one(connection: asyncpg.Connection, id_: str) -> ConnectionDetails | None:
    row = await connection.fetchrow(f"{_DETAILS} WHERE id = $1::uuid", id_)
    return None if row is None else _details(row)


def _details(row: asyncpg.Record) -> ConnectionDetails:
    return replace(ConnectionDetails(*row), profile=json.loads(row["profile"]))
