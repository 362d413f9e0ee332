"""What users do to their own account: add a second factor, remove it, make recovery codes.

Each needs the password again, which the web asks for. Each is recorded in the audit log of every tenant of the user.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ops.access import passkeys, second_factor, second_factor_store, sessions, users
from ops.access.audit_log_store import Actor
from ops.access.passkeys import PasskeyRejectedError, RelyingParty
from ops.access.second_factor import Enrolment
from ops.access.second_factor_store import Factor
from ops.access.sessions import Person
from ops.runtime.db import Pool
from ops.runtime.tenancy import ALL_TENANTS, NO_TENANT, tenant_transaction
from schema.sealing import Sealer


@dataclass(frozen=True, slots=True)
class AddedFactor:
    """A factor that counts from now on. ``codes`` are recovery codes, if there were none before."""

    name: str
    codes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Factors:
    """The factors of a user. ``codes_left`` counts recovery codes that are not spent."""

    factors: Sequence[Factor]
    codes_left: int


async def list_factors(pool: Pool, user: str) -> Factors:
    async with tenant_transaction(pool, NO_TENANT) as connection:
        found = await second_factor_store.list_factors(connection, user)
        return Factors(found, await second_factor_store.count_recovery_codes(connection, user))


async def begin_totp(pool: Pool, vault: Sealer, own: Person, name: str) -> Enrolment | None:
    """Begin to add an authenticator app. None where there are too many."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        return await second_factor.add_totp(connection, vault, own.user, own.email, name)


async def confirm_totp(
    pool: Pool, vault: Sealer, own: Person, id_: str, code: str, address: str | None
) -> AddedFactor | None:
    """Confirm an app by its first code. None for a wrong code. Raises KeyError where no app of this id waits."""
    async with tenant_transaction(pool, own.tenant) as connection:
        name = await second_factor.confirm_totp(connection, vault, own.user, id_, code)
        return None if name is None else await _added(connection, own, "totp", name, address)


async def begin_passkey(pool: Pool, party: RelyingParty, own: Person) -> str:
    """Return the options for the browser, as JSON."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        return await passkeys.registration_options(connection, party, own.user, own.email, own.token)


async def finish_passkey(
    pool: Pool, party: RelyingParty, own: Person, name: str, credential: str, address: str | None
) -> AddedFactor:
    """Keep a passkey. Raises PasskeyRejectedError."""
    # In a transaction of its own: the challenge is used up whatever comes of it.
    async with tenant_transaction(pool, NO_TENANT) as connection:
        challenge = await passkeys.take_registration_challenge(connection, own.token)
    if challenge is None:
        raise PasskeyRejectedError("It took too long, or this was sent before. Begin again.")
    async with tenant_transaction(pool, own.tenant) as connection:
        await passkeys.register(connection, party, own.user, name, challenge, credential)
        return await _added(connection, own, "passkey", name, address)


async def remove_factor(pool: Pool, own: Person, id_: str, address: str | None) -> bool:
    """Remove a factor. Return False if the user has none of this id."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        kind = await second_factor.remove(connection, own.user, id_)
        if kind is not None:
            actor = own.actor(address)
            await users.audit_at_all_tenants(connection, own.user, actor, "user.factor_removed", own.email, kind=kind)
    return kind is not None


async def make_recovery_codes(pool: Pool, own: Person, address: str | None) -> list[str]:
    """Replace all recovery codes. Return the new ones; none for a user without a second factor."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        if not await second_factor_store.has_factor(connection, own.user):
            return []
        codes = await second_factor.make_recovery_codes(connection, own.user)
        actor = own.actor(address)
        await users.audit_at_all_tenants(connection, own.user, actor, "user.recovery_codes_made", own.email)
    return codes


async def reset_factors(pool: Pool, user: str, email: str, actor: Actor) -> None:
    """Remove every factor of a user who lost them, and end the sessions; for whoever runs the installation."""
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        await second_factor_store.delete_all(connection, user)
        await users.end_sessions(connection, user)
        await users.audit_at_all_tenants(connection, user, actor, "user.factors_reset", email)


async def _added(connection: asyncpg.Connection, own: Person, kind: str, name: str, address: str | None) -> AddedFactor:
    await sessions.mark_second_factor(connection, own, address)
    await users.audit_at_all_tenants(
        connection, own.user, own.actor(address), "user.factor_added", own.email, kind=kind
    )
    left = await second_factor_store.count_recovery_codes(connection, own.user)
    return AddedFactor(name, [] if left else await second_factor.make_recovery_codes(connection, own.user))
