"""API keys: shown once, kept as a digest, with scopes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from ops.access import api_key_store, membership_store
from ops.access.api_key_store import ApiKey
from ops.access.audit_log_store import Actor, audit, audit_once
from ops.access.tokens import digest, new_token
from ops.runtime.db import Pool
from ops.runtime.tenancy import NO_TENANT, tenant_transaction

PREFIX = "lf_"
SCOPES = (
    *("connections:read", "connections:write", "connections:erase"),
    *("posts:read", "posts:write", "posts:approve", "reports:read", "audit:read"),
)
DEFAULT_SCOPES = ("connections:read", "connections:write")
"""The scopes of a key where none are named."""

AUDIT_INTERVAL_HOURS = 1
"""The audit log records the use of a key from one address at most once in this time."""


class NameTakenError(Exception):
    """Raised where the tenant has, or had, a key of this name."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls the API, for which tenant, and with which scopes."""

    tenant: str
    actor: Actor
    scopes: Sequence[str]


async def create(
    pool: Pool, tenant: str, name: str, scopes: Sequence[str], actor: Actor, maker: tuple[str, str] | None = None
) -> str:
    """Make a key and return it, for the only time. Raises NameTakenError, RoleChangedError.

    ``maker`` is the id and the role of the person who makes it, and with whose membership it ends; None where whoever
    runs the installation does.
    """
    key = PREFIX + new_token()
    async with tenant_transaction(pool, tenant) as connection:
        if maker is not None:
            await membership_store.require_role(connection, tenant, *maker)
        if not await api_key_store.insert(connection, tenant, name, digest(key), scopes, maker and maker[0]):
            raise NameTakenError(name)
        await audit(connection, tenant, actor, "key.created", name, scopes=list(scopes))
    return key


async def revoke(pool: Pool, tenant: str, name: str, actor: Actor) -> bool:
    """Revoke a key. Return False if no live key has this name."""
    async with tenant_transaction(pool, tenant) as connection:
        revoked = await api_key_store.revoke(connection, name)
        if revoked:
            await audit(connection, tenant, actor, "key.revoked", name)
    return revoked


async def list_keys(pool: Pool, tenant: str) -> list[ApiKey]:
    async with tenant_transaction(pool, tenant) as connection:
        return await api_key_store.list_all(connection)


async def authenticate(pool: Pool, key: str, address: str | None) -> Caller | None:
    """Return whose key it is, or None if it is unknown or revoked. Record its use, at most once a minute."""
    if not key.startswith(PREFIX):
        return None
    async with tenant_transaction(pool, NO_TENANT) as connection:
        found = await api_key_store.find(connection, digest(key))
        if found is None:
            return None
        actor = Actor(f"key:{found.name}", address)
        if found.revoked:
            await audit_once(connection, found.tenant, actor, "key.refused", found.name, AUDIT_INTERVAL_HOURS)
            return None
        moved = found.last_used_from != address
        if moved or found.idle > timedelta(minutes=1):
            await api_key_store.mark_used(connection, found.id, address)
        if moved or found.idle > timedelta(hours=AUDIT_INTERVAL_HOURS):
            await audit_once(connection, found.tenant, actor, "key.used", found.name, AUDIT_INTERVAL_HOURS)
    return Caller(found.tenant, actor, found.scopes)
