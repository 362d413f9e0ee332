"""What people do to their own account: add a second factor, remove it, make recovery codes.

Each needs the password again, which the web asks for; each is noted in the log of every tenant of the person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ops.access import passkeys, second_factor, sessions, users
from ops.access.audit_log_store import Actor
from ops.access.passkeys import RelyingParty
from ops.access.second_factor import Enrolment
from ops.access.sessions import Person
from ops.runtime.db import Pool
from ops.runtime.tenancy import ALL_TENANTS, NO_TENANT, tenant_transaction
from schema.sealing import Sealer


@dataclass(frozen=True, slots=True)
class Added:
    """A factor that counts from now on; ``codes`` are recovery codes, where there were none before."""

    name: str
    codes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Factors:
    """Those of one person; ``codes_left`` recovery codes are unused."""

    factors: Sequence[asyncpg.Record]
    codes_left: int


async def factors(pool: Pool, user: str) -> Factors:
    async with tenant_transaction(pool, NO_TENANT) as connection:
        found = await second_factor.listed(connection, user)
        return Factors(found, await second_factor.recovery_codes_left(connection, user))


async def begin_totp(pool: Pool, vault: Sealer, own: Person, name: str) -> Enrolment | None:
    """None where there are too many."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        return await second_factor.add_totp(connection, vault, own.user, own.email, name)


async def confirm_totp(
    pool: Pool, vault: Sealer, own: Person, id_: str, code: str, address: str | None
) -> Added | None:
    """None for a wrong code. Raises KeyError where no app of this id waits for one."""
    async with tenant_transaction(pool, own.tenant) as connection:
        name = await second_factor.confirm_totp(connection, vault, own.user, id_, code)
        return None if name is None else await _added(connection, own, "totp", name, address)


async def begin_passkey(pool: Pool, party: RelyingParty, own: Person) -> str:
    """The options for the browser, as JSON."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        return await passkeys.registration(connection, party, own.user, own.email, own.token)


async def finish_passkey(
    pool: Pool, party: RelyingParty, own: Person, name: str, credential: str, address: str | None
) -> Added:
    """Raises passkeys.Refused."""
    # By itself: a challenge is used up whatever comes of it.
    async with tenant_transaction(pool, NO_TENANT) as connection:
        challenge = await passkeys.taken_registration(connection, own.token)
    if challenge is None:
        raise passkeys.Refused("It took too long, or this was sent before. Begin again.")
    async with tenant_transaction(pool, own.tenant) as connection:
        await passkeys.register(connection, party, own.user, name, challenge, credential)
        return await _added(connection, own, "passkey", name, address)


async def remove_factor(pool: Pool, own: Person, id_: str, address: str | None) -> bool:
    """False where the person has none of this id."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        kind = await second_factor.remove(connection, own.user, id_)
        if kind is not None:
            await users.note(connection, own.user, own.actor(address), "user.factor_removed", own.email, kind=kind)
    return kind is not None


async def make_recovery_codes(pool: Pool, own: Person, address: str | None) -> list[str]:
    """New ones in the place of all there were; none for somebody without a second factor."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        if not await second_factor.held(connection, own.user):
            return []
        codes = await second_factor.make_recovery_codes(connection, own.user)
        await users.note(connection, own.user, own.actor(address), "user.recovery_codes_made", own.email)
    return codes


async def reset_factors(pool: Pool, user: str, email: str, actor: Actor) -> None:
    """Take every factor of somebody who lost them, and end the sessions, for whoever runs the install."""
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        await second_factor.remove_all(connection, user)
        await users.shut_out(connection, user)
        await users.note(connection, user, actor, "user.factors_reset", email)


async def _added(connection: asyncpg.Connection, own: Person, kind: str, name: str, address: str | None) -> Added:
    await sessions.factor_added(connection, own, address)
    await users.note(connection, own.user, own.actor(address), "user.factor_added", own.email, kind=kind)
    left = await second_factor.recovery_codes_left(connection, own.user)
    return Added(name, [] if left else await second_factor.make_recovery_codes(connection, own.user))
