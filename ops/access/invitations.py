"""Invitations: a link that works once, for one tenant, in the hands of the person who is invited.

Nobody is a member before that person says so. Whoever has a password here accepts, logged in; a newcomer chooses a
password, which nobody else ever knows. The link is random and kept as a digest.
"""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode

import asyncpg

from ops.access import invitation_store, membership_store, passwords, user_store, users
from ops.access.audit_log_store import Actor, audit
from ops.access.errors import ValidationError
from ops.access.invitation_store import AcceptedInvitation, Invitation, ListedInvitation
from ops.access.sessions import Person
from ops.access.tokens import digest, new_token
from ops.runtime.db import Pool
from ops.runtime.tenancy import NO_TENANT, tenant_transaction

LIFETIME_DAYS = 7
MAX_WAITING = 100
"""Of a tenant: each may be a mail to somebody."""


class InvitationEndedError(Exception):
    """Raised for a link that never was one, was used or withdrawn, or expired."""


class AccountExistsError(Exception):
    """Raised where the invited address has a password here: its owner logs in and accepts."""


@dataclass(frozen=True, slots=True)
class NewInvitation:
    """``link`` is shown, or mailed, this once."""

    link: str
    email: str
    role: str
    expires_at: datetime


def invitation_url(public_url: str, link: str) -> str:
    """Return the address where the person who is invited opens a link."""
    return f"{public_url.rstrip('/')}/invitation?{urlencode({'link': link})}"


# --- for owners, and whoever runs the installation


async def invite(
    pool: Pool, tenant: str, email: str, role: str, actor: Actor, inviter: Person | None = None
) -> NewInvitation:
    """Invite an address, or invite it again with another link. Raises ValidationError, RoleChangedError."""
    email, role = users.validate_email(email), users.validate_role(role)
    async with tenant_transaction(pool, tenant) as connection:
        await _require_role(connection, inviter)
        if await membership_store.is_member(connection, tenant, email):
            raise ValidationError(f"{email} is a member already; change the role in the list")
        if await invitation_store.count_others(connection, email) >= MAX_WAITING:
            raise ValidationError(f"there are {MAX_WAITING} invitations that nobody has accepted; withdraw some first")
        return await _save(connection, tenant, email, role, actor, inviter, "invitation.made")


async def renew(pool: Pool, tenant: str, id_: str, actor: Actor, inviter: Person) -> NewInvitation | None:
    """Replace the link of an invitation. None where the tenant has no such invitation. Raises RoleChangedError."""
    async with tenant_transaction(pool, tenant) as connection:
        await _require_role(connection, inviter)
        found = await invitation_store.lock(connection, id_)
        if found is None:
            return None
        return await _save(connection, tenant, *found, actor, inviter, "invitation.renewed")


async def withdraw(pool: Pool, tenant: str, actor: Actor, *, id_: str = "", email: str = "") -> bool:
    """End an invitation, and its link. Return False if the tenant has no such one."""
    async with tenant_transaction(pool, tenant) as connection:
        found = await invitation_store.withdraw(connection, tenant, id_=id_, email=email.strip().lower())
        if found is not None:
            await audit(connection, tenant, actor, "invitation.withdrawn", found)
    return found is not None


async def list_invitations(pool: Pool, tenant: str) -> list[ListedInvitation]:
    """Return the invitations of a tenant; expired ones too, until they are deleted."""
    async with tenant_transaction(pool, tenant) as connection:
        return await invitation_store.list_all(connection)


async def _require_role(connection: asyncpg.Connection, inviter: Person | None) -> None:
    if inviter is not None:
        await membership_store.require_role(connection, inviter.tenant, inviter.user, inviter.role)


async def _save(
    connection: asyncpg.Connection,
    tenant: str,
    email: str,
    role: str,
    actor: Actor,
    inviter: Person | None,
    action: str,
) -> NewInvitation:
    link = new_token()
    user = inviter.user if inviter else None
    expires_at = await invitation_store.save(connection, tenant, email, role, digest(link), user, LIFETIME_DAYS)
    await audit(connection, tenant, actor, action, email, role=role)
    return NewInvitation(link, email, role, expires_at)


# --- for whoever holds a link


async def open_link(pool: Pool, link: str) -> Invitation | None:
    """Return the invitation that this link opens; None where it opens none, or none any more."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        return await invitation_store.find(connection, digest(link))


async def accept(pool: Pool, link: str, person: Person, address: str | None) -> str:
    """Make the person who is logged in a member of the tenant that invited them. Return its id.

    Whoever is a member already keeps the role. Raises InvitationEndedError.
    """
    found = await open_link(pool, link)
    if found is None or found.email != person.email:
        raise InvitationEndedError
    async with tenant_transaction(pool, found.tenant) as connection:
        accepted = await invitation_store.accept(connection, found.tenant, digest(link))
        enabled = await user_store.lock_if_enabled(connection, person.user)
        if accepted is None or not enabled:
            raise InvitationEndedError
        await _add_member(connection, found.tenant, person.user, accepted, person.actor(address))
    return found.tenant


async def accept_with_password(pool: Pool, link: str, password: str, address: str | None) -> str:
    """Make a newcomer a member of the tenant that invited them, with a password that they choose. Return the address.

    Raises InvitationEndedError, AccountExistsError, ValidationError, OverloadedError.
    """
    found = await open_link(pool, link)
    if found is None:
        raise InvitationEndedError
    password = users.validate_new_password(password, found.email)
    with passwords.hashing_slot():
        password_hash = await passwords.hash_password(password)
    async with tenant_transaction(pool, found.tenant) as connection:
        accepted = await invitation_store.accept(connection, found.tenant, digest(link))
        if accepted is None:
            raise InvitationEndedError
        if await user_store.find_and_lock(connection, accepted.email) is not None:
            raise AccountExistsError
        user = await user_store.insert(connection, accepted.email, password_hash)
        if user is None:  # through another tenant's invitation, at this moment
            raise AccountExistsError
        await _add_member(connection, found.tenant, user, accepted, Actor(f"user:{accepted.email}", address))
    return found.email


async def _add_member(
    connection: asyncpg.Connection, tenant: str, user: str, accepted: AcceptedInvitation, actor: Actor
) -> None:
    if await membership_store.insert(connection, tenant, user, accepted.role):
        by = {"invited_by": accepted.inviter} if accepted.inviter else {}
        await audit(connection, tenant, actor, "user.added", accepted.email, role=accepted.role, **by)
