"""What people do to their own account: add a second factor, remove it, make recovery codes.

Each needs the password again, which the web asks for; each is noted in the log of every tenant of the person.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ops.runtime.db import Pool
from publish import passkeys, people, second_factor, sessions, store
from publish.passkeys import RelyingParty
from publish.second_factor import Enrolment
from publish.sessions import Person
from publish.store import EVERYBODY, NOBODY, Actor
from publish.vault import Vault


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
    async with store.acting(pool, NOBODY) as connection:
        found = await second_factor.listed(connection, user)
        return Factors(found, await second_factor.recovery_codes_left(connection, user))


async def begin_totp(pool: Pool, vault: Vault, own: Person, name: str) -> Enrolment | None:
    """None where there are too many."""
    async with store.acting(pool, NOBODY) as connection:
        return await second_factor.add_totp(connection, vault, own.user, own.email, name)


async def confirm_totp(pool: Pool, vault: Vault, own: Person, id_: str, code: str, address: str | None) -> Added | None:
    """None for a wrong code. Raises KeyError where no app of this id waits for one."""
    async with store.acting(pool, own.tenant) as connection:
        name = await second_factor.confirm_totp(connection, vault, own.user, id_, code)
        return None if name is None else await _added(connection, own, "totp", name, address)


async def begin_passkey(pool: Pool, party: RelyingParty, own: Person) -> str:
    """The options for the browser, as JSON."""
    async with store.acting(pool, NOBODY) as connection:
        return await passkeys.registration(connection, party, own.user, own.email, own.token)


async def finish_passkey(
    pool: Pool, party: RelyingParty, own: Person, name: str, credential: str, address: str | None
) -> Added:
    """Raises passkeys.Refused."""
    async with store.acting(pool, NOBODY) as connection:  # by itself: a challenge is used up whatever comes of it
        challenge = await passkeys.taken_registration(connection, own.token)
    if challenge is None:
        raise passkeys.Refused("It took too long, or this was sent before. Begin again.")
    async with store.acting(pool, own.tenant) as connection:
        await passkeys.register(connection, party, own.user, name, challenge, credential)
        return await _added(connection, own, "passkey", name, address)


async def remove_factor(pool: Pool, own: Person, id_: str, address: str | None) -> bool:
    """False where the person has none of this id."""
    async with store.acting(pool, NOBODY) as connection:
        kind = await second_factor.remove(connection, own.user, id_)
        if kind is not None:
            await people.note(connection, own.user, own.actor(address), "user.factor_removed", own.email, kind=kind)
    return kind is not None


async def make_recovery_codes(pool: Pool, own: Person, address: str | None) -> list[str]:
    """New ones in the place of all there were; none for somebody without a second factor."""
    async with store.acting(pool, NOBODY) as connection:
        if not await second_factor.held(connection, own.user):
            return []
        codes = await second_factor.make_recovery_codes(connection, own.user)
        await people.note(connection, own.user, own.actor(address), "user.recovery_codes_made", own.email)
    return codes


async def reset_factors(pool: Pool, user: str, email: str, actor: Actor) -> None:
    """Take every factor of somebody who lost them, and end the sessions, for whoever runs the install."""
    async with store.acting(pool, EVERYBODY) as connection:
        await second_factor.remove_all(connection, user)
        await people.shut_out(connection, user)
        await people.note(connection, user, actor, "user.factors_reset", email)


async def _added(connection: asyncpg.Connection, own: Person, kind: str, name: str, address: str | None) -> Added:
    await sessions.factor_added(connection, own, address)
    await people.note(connection, own.user, own.actor(address), "user.factor_added", own.email, kind=kind)
    left = await second_factor.recovery_codes_left(connection, own.user)
    return Added(name, [] if left else await second_factor.make_recovery_codes(connection, own.user))
