"""Users: who belongs to which tenant, and what each role may do there.

A user is one for the whole installation, with one password; a tenant has members. So what an owner does ends at the
tenant's border: only the user, or whoever runs the installation, changes a password.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from ops.access import (
    api_key_store,
    api_keys,
    device_store,
    invitation_store,
    membership_store,
    password_rules,
    passwords,
    pending_login_store,
    session_store,
    user_store,
)
from ops.access.audit_log_store import Actor, audit
from ops.access.errors import ValidationError
from ops.access.membership_store import Member
from ops.access.passwords import MAX_LENGTH, InvalidPasswordError
from ops.runtime.db import Pool
from ops.runtime.tenancy import ALL_TENANTS, other_tenant, tenant_transaction

SCOPES = {
    "owner": (*api_keys.SCOPES, "keys:write", "people:write"),
    "editor": ("connections:read", "connections:write", "posts:read", "posts:write", "reports:read"),
    "viewer": ("connections:read", "posts:read"),
}
MAX_EMAIL_LENGTH = 254
"""In characters (RFC 5321 4.5.3.1.3, without the brackets)."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class RevokedAccess:
    """The names of the API keys that were revoked with a membership, or with a role."""

    keys: tuple[str, ...] = ()


async def add(
    pool: Pool, tenant: str, email: str, password: str, role: str, actor: Actor, *, must_change: bool = False
) -> None:
    """Make somebody a member, with a password; for whoever runs the installation.

    The password replaces the one there was and ends all sessions of the user. With ``must_change`` it opens nothing but
    the form in which the user chooses another one. Raises ValidationError, also for a user whom only other tenants
    know: that one is invited and accepts.
    """
    email, role = validate_email(email), validate_role(role)
    password_hash = await passwords.hash_password(validate_new_password(password, email))
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        known = await user_store.find_and_lock(connection, email)
        if known and not await membership_store.is_member(connection, tenant, email):
            raise ValidationError(f"{email} has a password, for another tenant: give none, and they are invited")
        user = await user_store.set_password(connection, email, password_hash, tenant if must_change else None)
        await end_sessions(connection, user)
        await audit_at_all_tenants(connection, user, actor, "user.password_set", email)
        await invitation_store.withdraw(connection, tenant, email=email)
        if await membership_store.insert(connection, tenant, user, role):
            await audit(connection, tenant, actor, "user.added", email, role=role)
        else:
            await _change_role(connection, tenant, user, email, role, actor)


async def change_role(pool: Pool, tenant: str, user: str, role: str, actor: Actor) -> bool:
    """Give a member another role. Return False if the tenant has no such member. Raises ValidationError."""
    role = validate_role(role)
    async with tenant_transaction(pool, tenant) as connection:
        email = await membership_store.email_of(connection, tenant, user)
        if email is not None:
            await _change_role(connection, tenant, user, email, role, actor)
    return email is not None


async def remove(pool: Pool, tenant: str, user: str, actor: Actor) -> RevokedAccess | None:
    """End a membership and what the user began at this tenant. A user of no other tenant is deleted.

    None where the tenant has no such member. Raises ValidationError.
    """
    async with tenant_transaction(pool, tenant) as connection:
        email = await membership_store.email_of(connection, tenant, user)
        if email is None:
            return None
        await _require_another_owner(connection, tenant, user, email)
        await session_store.delete_at(connection, tenant, user)
        await membership_store.delete(connection, tenant, user)
        await audit(connection, tenant, actor, "user.removed", email)
        await invitation_store.withdraw(connection, tenant, email=email)
        revoked = await _revoke_access(connection, tenant, user, email, actor)
        # A password that was chosen for the user here was for this membership.
        await user_store.clear_password_chosen_by(connection, user, tenant)
        await user_store.delete_without_tenant(connection, user)
    return revoked


async def disable(pool: Pool, tenant: str, email: str, actor: Actor) -> RevokedAccess | None:
    """Disable a member at every tenant, at once, and end what the user began at each.

    Return the keys of this tenant; None where no such member could log in.
    """
    email = email.strip().lower()
    revoked = {}
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        user = await user_store.disable(connection, email, tenant)
        if user is None:
            return None
        await end_sessions(connection, user)
        await audit_at_all_tenants(connection, user, actor, "user.disabled", email)
        for each in await membership_store.tenants_of(connection, user):
            revoked[each] = await _revoke_access(connection, each, user, email, actor)
    return revoked[tenant]


async def check_password(pool: Pool, email: str, password: str) -> bool | None:
    """Return whether this is the password of a user; None where there is none. For whoever runs the installation."""
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        password_hash = await user_store.password_hash_of(connection, email)
    return None if password_hash is None else await passwords.verify_password(password, password_hash) is not None


async def list_members(pool: Pool, tenant: str) -> list[Member]:
    async with tenant_transaction(pool, tenant) as connection:
        return await membership_store.list_members(connection)


async def find_member(pool: Pool, tenant: str, email: str) -> str | None:
    """Return the id of a member, or None."""
    async with tenant_transaction(pool, tenant) as connection:
        return await membership_store.find(connection, email.strip().lower())


async def audit_at_all_tenants(
    connection: asyncpg.Connection, user: str, actor: Actor, action: str, email: str, **detail: str
) -> None:
    """Record at every tenant of a user what is about the user, whichever tenant it was done at."""
    for tenant in await membership_store.tenants_of(connection, user):
        async with other_tenant(connection, tenant):
            await audit(connection, tenant, actor, action, email, **detail)


async def end_sessions(connection: asyncpg.Connection, user: str) -> None:
    """End every session and pending login of a user, and forget their devices."""
    await pending_login_store.delete_all_of(connection, user)
    for tenant in await session_store.tenants_of(connection, user):
        async with other_tenant(connection, tenant):
            await session_store.delete_all_of(connection, user)
    await device_store.forget_all(connection, user)


def validate_new_password(password: str, email: str) -> str:
    """Return a password in its normal form. Raises ValidationError, which says which rule it breaks."""
    try:
        return password_rules.validate(password, email)
    except InvalidPasswordError as error:
        raise ValidationError(str(error)) from None


def validate_password_length(password: str) -> None:
    """Raise ValidationError for a password that is longer than any can be."""
    try:
        length = len(passwords.normalize(password))
    except InvalidPasswordError:
        length = len(password)
    if length > MAX_LENGTH:
        raise ValidationError(f"a password has at most {MAX_LENGTH} characters")


def validate_email(email: str) -> str:
    """Return an address without space around it and in lower case. Raises ValidationError."""
    email = email.strip().lower()
    if len(email) > MAX_EMAIL_LENGTH or not email.isprintable() or not _EMAIL.fullmatch(email):
        raise ValidationError(f"{email[:MAX_EMAIL_LENGTH]!r} is not an email address")
    return email


def validate_role(role: str) -> str:
    """Return the role. Raises ValidationError for one that does not exist."""
    if role not in SCOPES:
        raise ValidationError(f"a role is one of {', '.join(SCOPES)}")
    return role


async def _change_role(
    connection: asyncpg.Connection, tenant: str, user: str, email: str, role: str, actor: Actor
) -> None:
    """Raises ValidationError."""
    if role != "owner":
        await _require_another_owner(connection, tenant, user, email)
    before = await membership_store.lock_role(connection, tenant, user)
    if before != role:
        await membership_store.set_role(connection, tenant, user, role)
        await audit(connection, tenant, actor, "user.role_changed", email, **{"from": before, "to": role})
        await _revoke_access(connection, tenant, user, email, actor, SCOPES[role])


async def _revoke_access(
    connection: asyncpg.Connection, tenant: str, user: str, email: str, actor: Actor, scopes: Sequence[str] = ()
) -> RevokedAccess:
    """End the keys, flows and invitations of a user at a tenant that need other scopes than these, which are kept."""
    revoked = await api_key_store.revoke_made_by(connection, tenant, user, scopes)
    for name in revoked:
        await audit(connection, tenant, actor, "key.revoked", name, made_by=email)
    actors = [f"key:{name}" for name in revoked] + ([] if "connections:write" in scopes else [f"user:{email}"])
    await membership_store.end_flows(connection, tenant, actors)
    if "people:write" not in scopes:
        for invited in await invitation_store.withdraw_made_by(connection, tenant, user):
            await audit(connection, tenant, actor, "invitation.withdrawn", invited, invited_by=email)
    return RevokedAccess(tuple(revoked))


async def _require_another_owner(connection: asyncpg.Connection, tenant: str, user: str, email: str) -> None:
    """Raise ValidationError if nobody else would be left to look after the tenant.

    Locks the owners, so that two who demote each other at once do not both succeed.
    """
    owners = await membership_store.lock_owners(connection, tenant)
    if user in owners and not any(enabled for other, enabled in owners.items() if other != user):
        raise ValidationError(f"{email} is the last owner; make somebody else an owner first")
