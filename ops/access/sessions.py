"""Sessions: logging in, switching tenants, a new password, and the end of each.

A session is kept as a digest, belongs to one tenant, and gets a new token whenever what it stands for changes. It ends
:data:`HOURS` after the login, earlier when nobody uses it, and, where it was begun with a password alone, with the
first second factor that its person adds.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address, ip_address
from operator import itemgetter

import asyncpg

from ops.access import passwords, pending_logins, second_factor, user_store, users
from ops.access.api_keys import Caller
from ops.access.audit_log_store import Actor, audit
from ops.access.pending_logins import Pending
from ops.runtime.db import Pool
from ops.runtime.tenancy import NO_TENANT, other_tenant, set_tenant, tenant_transaction

HOURS = 12
IDLE_MINUTES = 120
"""Without a request, where nothing else is configured (``LANDFALL_SESSION_IDLE_MINUTES``)."""

NOTED_SECONDS = 60
"""The use of a session is written at most once in so long, lest every page that is read be a write."""

WINDOW_MINUTES, TRIES_BY_EMAIL, TRIES_BY_ADDRESS = 15, 5, 30
TRIES_BY_DEVICE = TRIES_BY_SESSION = 5
_PLACE = "address:"

DEVICES = 20
"""Of one person, the newest; each is five more guesses for whoever steals its cookie."""


class Throttled(Exception):  # noqa: N818  an answer
    """Too many wrong passwords; wait for :data:`WINDOW_MINUTES`."""


class MustChange(Exception):  # noqa: N818  an answer
    """The password is right, and somebody else chose it: it only lets the person choose another one."""


def csrf_of(token: str) -> str:
    """What a form must hold: whoever only makes the browser send the cookie does not know it."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


_LIVE = f"""(s.expires_at > now() AND s.last_used_at > now() - make_interval(mins => {{idle}})
    AND (s.second_factor OR NOT {second_factor.held_by("s.user_id")}))"""
"""SQL: whether a session ``s`` has not ended; ``idle`` is how many minutes it may go without use."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a session at ``tenant``; ``tenants`` are all of theirs, each an id and a name, the first first.

    ``device`` is what their browser is to keep, known only when they just logged in. ``second_factor`` says whether the
    session was begun with one, ``must_add_factor`` that it does nothing until its person has one.
    """

    tenant: str
    user: str
    email: str
    role: str
    tenants: Sequence[tuple[str, str]]
    token: str
    device: str = ""
    second_factor: bool = False
    browser: str = ""
    must_add_factor: bool = False

    @property
    def scopes(self) -> Sequence[str]:
        return () if self.must_add_factor else users.SCOPES[self.role]

    def may(self, scope: str) -> bool:
        return scope in self.scopes

    def actor(self, address: str | None) -> Actor:
        return Actor(f"user:{self.email}", address)

    def caller(self, address: str | None) -> Caller:
        return Caller(self.tenant, self.actor(address), self.scopes)

    @property
    def csrf(self) -> str:
        return csrf_of(self.token)


async def login(
    pool: Pool, email: str, password: str, address: str | None, device: str = "", browser: str = "", replaced: str = ""
) -> Person | Pending | None:
    """A new session at the person's first tenant, or the second step for somebody with a second factor; None for a
    wrong pair. Raises Wrong, Throttled, Busy, MustChange.

    ``device`` is what the browser was given by an earlier login: one of this person has a count of wrong passwords of
    its own, so that strangers lock nobody out of it. ``browser`` is what it is, in words, and ``replaced`` the token of
    the session that it had, which ends.
    """
    users.possible(password)
    email = email.strip().lower()
    with passwords.line():
        async with tenant_transaction(pool, NO_TENANT) as connection:
            row = await connection.fetchrow(
                """
                SELECT id::text, password_hash, password_tenant_id IS NOT NULL AS must_change
                FROM users WHERE email = $1 AND disabled_at IS NULL""",
                email,
            )
            tenants = await user_store.tenants_of(connection, row["id"]) if row else []
            row = row if tenants else None
            known = row is not None and await _is_known(connection, row["id"], device)
            attempt = await _counted(connection, _limits(email, address, device if known else ""))
        kept = row["password_hash"] if row else None
        renewed = await passwords.verified(password, kept)
    if row is None or renewed is None:
        await _failed(pool, email, address, attempt)
        return None
    if row["must_change"]:
        async with tenant_transaction(pool, NO_TENANT) as connection:
            await _passed(connection, attempt)
        raise MustChange
    async with tenant_transaction(pool, tenants[0]) as connection:
        # Looking took a while: whoever set a new password meanwhile, or shut the person out, ended this login too.
        if not await _still_kept(connection, row["id"], [form for form in (kept, renewed) if form]):
            return None
        if renewed != kept:
            await connection.execute(
                "UPDATE users SET password_hash = $2 WHERE id = $1::uuid AND password_hash = $3",
                row["id"],
                renewed,
                kept,
            )
        if await second_factor.held(connection, row["id"]):
            # Codes that were wrong before go on counting: the password alone buys no new guesses.
            await _withdrawn(connection, attempt)
            return await pending_logins.begin(connection, row["id"])
        await _passed(connection, attempt)
        await _end_replaced(connection, replaced, address)
        device = await _remembered(connection, row["id"], device if known else "")
        token = await _begun(connection, tenants[0], row["id"], address, browser)
        await audit(connection, tenants[0], Actor(f"user:{email}", address), "user.logged_in", email)
    found = await person(pool, token)
    return found and replace(found, device=device)


Prove = Callable[[asyncpg.Connection, str], Awaitable[str | None]]
"""Looks at what the person with this id gave as a second factor: its kind where it was right, which spends it."""


async def login_with_factor(
    pool: Pool,
    pending: str,
    prove: Prove,
    address: str | None,
    device: str = "",
    browser: str = "",
    replaced: str = "",
) -> Person | None:
    """The second step: a session in the place of a pending login; None for a wrong factor.

    A wrong one counts as a wrong password does. Raises pending_logins.Ended, Throttled.
    """
    async with tenant_transaction(pool, NO_TENANT) as connection:
        tried = await pending_logins.attempt(connection, pending)
        known = await _is_known(connection, tried.user, device)
        attempt = await _counted(connection, _limits(tried.email, address, device if known else ""))
    actor = Actor(f"user:{tried.email}", address)
    async with tenant_transaction(pool, NO_TENANT) as connection:
        kind = await prove(connection, tried.user)
        if kind is not None:
            # Of those that come at once one finishes it; the others take back what they spent.
            await pending_logins.finish(connection, pending)
            tenant = await _first_tenant(connection, tried.user)
            await set_tenant(connection, tenant)
            await _passed(connection, attempt)
            await _end_replaced(connection, replaced, address)
            device = await _remembered(connection, tried.user, device if known else "")
            token = await _begun(connection, tenant, tried.user, address, browser, second_factor=True)
            await audit(connection, tenant, actor, "user.logged_in", tried.email, second_factor=kind)
        elif tried.last:
            await pending_logins.end(connection, pending)
    if kind is None:
        await _failed(pool, tried.email, address, attempt)
        return None
    found = await person(pool, token)
    return found and replace(found, device=device)


async def _first_tenant(connection: asyncpg.Connection, user: str) -> str:
    """Raises pending_logins.Ended for somebody who belongs nowhere any more."""
    tenants = await user_store.tenants_of(connection, user)
    if not tenants:
        raise pending_logins.Ended
    return tenants[0]


async def person(pool: Pool, token: str, idle_minutes: int = IDLE_MINUTES) -> Person | None:
    """Whose session it is, and that it is in use; None for one that ended."""
    if not token:
        return None
    async with tenant_transaction(pool, NO_TENANT) as connection:
        tenant = await user_store.tenant_of_session(connection, _digest(token))
        if tenant is None:
            return None
        await set_tenant(connection, tenant)
        row = await connection.fetchrow(
            f"""
            SELECT s.tenant_id::text, s.user_id::text, u.email, m.role, s.second_factor, s.browser,
                s.last_used_at < now() - make_interval(secs => $3) AS unnoted, array(
                SELECT t.id::text || ' ' || t.name
                FROM find_tenants_of_person(s.user_id) WITH ORDINALITY AS o (id, place) JOIN tenants t USING (id)
                ORDER BY o.place) AS tenants
            FROM sessions s
            JOIN users u ON u.id = s.user_id AND u.disabled_at IS NULL
            JOIN memberships m ON m.user_id = s.user_id AND m.tenant_id = s.tenant_id
            WHERE s.session_sha256 = $1 AND {_LIVE.format(idle="$2")}""",
            _digest(token),
            idle_minutes,
            NOTED_SECONDS,
        )
        if row is not None and row["unnoted"]:
            await connection.execute(
                """
                UPDATE sessions SET last_used_at = now()
                WHERE session_sha256 = $1 AND last_used_at < now() - make_interval(secs => $2)""",
                _digest(token),
                NOTED_SECONDS,
            )
    if row is None:
        return None
    tenants = [(id_, name) for id_, _, name in (found.partition(" ") for found in row["tenants"])]
    return Person(
        row["tenant_id"],
        row["user_id"],
        row["email"],
        row["role"],
        tenants,
        token,
        second_factor=row["second_factor"],
        browser=row["browser"],
    )


async def listed(pool: Pool, own: Person, idle_minutes: int = IDLE_MINUTES) -> list[asyncpg.Record]:
    """The living sessions of a person, at whichever tenant: the one that asks first, then the last used."""
    found: list[asyncpg.Record] = []
    async with tenant_transaction(pool, NO_TENANT) as connection:
        for tenant in await user_store.tenants_of_sessions(connection, own.user):
            await set_tenant(connection, tenant)
            found += await connection.fetch(
                f"""
                SELECT s.id::text, t.name AS tenant, s.browser, host(s.address) AS address, s.created_at,
                    s.last_used_at, s.session_sha256 = $2 AS current
                FROM sessions s JOIN tenants t ON t.id = s.tenant_id
                WHERE s.user_id = $1::uuid AND {_LIVE.format(idle="$3")} ORDER BY s.id""",
                own.user,
                _digest(own.token),
                idle_minutes,
            )
    return sorted(found, key=itemgetter("current", "last_used_at"), reverse=True)


async def end(pool: Pool, own: Person, id_: str, address: str | None) -> bool:
    """End one session of the same person; False where they have none of this id."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        for tenant in await user_store.tenants_of_sessions(connection, own.user):
            await set_tenant(connection, tenant)
            ended = await connection.fetchval(
                "DELETE FROM sessions WHERE id = $1::uuid AND user_id = $2::uuid RETURNING true", id_, own.user
            )
            if ended:
                await audit(connection, tenant, own.actor(address), "user.session_ended", own.email)
                return True
    return False


async def end_others(pool: Pool, own: Person, address: str | None) -> int:
    """End every session of the person but this one, and their unfinished logins; how many sessions it were."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        return await _end_others(connection, own, address)


async def _end_others(connection: asyncpg.Connection, own: Person, address: str | None) -> int:
    await connection.execute("DELETE FROM pending_logins WHERE user_id = $1::uuid", own.user)
    count = 0
    for tenant in await user_store.tenants_of_sessions(connection, own.user):
        async with other_tenant(connection, tenant):
            rows = await connection.fetch(
                "DELETE FROM sessions WHERE user_id = $1::uuid AND session_sha256 <> $2 RETURNING 1",
                own.user,
                _digest(own.token),
            )
            for _ in rows:
                await audit(connection, tenant, own.actor(address), "user.session_ended", own.email)
            count += len(rows)
    return count


async def factor_added(connection: asyncpg.Connection, own: Person, address: str | None) -> None:
    """This session has proven a second factor; the others go, of whoever knew no more than the password.

    The transaction is for the session's tenant.
    """
    await connection.execute("UPDATE sessions SET second_factor = true WHERE session_sha256 = $1", _digest(own.token))
    if not own.second_factor:
        await _end_others(connection, own, address)


async def switch(pool: Pool, gone: Person, tenant: str, address: str | None) -> str | None:
    """A session at another of the person's tenants in place of this one; None where it is none of theirs."""
    if tenant not in [id_ for id_, _ in gone.tenants]:
        return None
    token = secrets.token_urlsafe(32)
    async with tenant_transaction(pool, gone.tenant) as connection:
        # It goes on being one session: it ends when it would have ended, and wrong passwords in it go on counting.
        kept = await connection.fetchrow(
            """
            DELETE FROM sessions WHERE session_sha256 = $1
            RETURNING user_id, created_at, expires_at, browser, second_factor""",
            _digest(gone.token),
        )
        await audit(connection, gone.tenant, gone.actor(address), "user.logged_out", gone.email)
        await connection.execute(
            """
            WITH counted AS (DELETE FROM login_failures WHERE who_sha256 = $1 RETURNING failed_at)
            INSERT INTO login_failures (who_sha256, failed_at) SELECT $2, failed_at FROM counted""",
            _digest(_session(gone.token)),
            _digest(_session(token)),
        )
        await set_tenant(connection, tenant)
        if kept is not None:
            await connection.execute(
                """
                INSERT INTO sessions (tenant_id, session_sha256, address, user_id, created_at, expires_at, browser,
                    second_factor)
                VALUES ($1::uuid, $2, $3::inet, $4, $5, $6, $7, $8)""",
                tenant,
                _digest(token),
                address,
                *kept,
            )
        await audit(connection, tenant, gone.actor(address), "user.logged_in", gone.email)
    return token


async def change_password(pool: Pool, own: Person, old: str, new: str, address: str | None) -> Person | None:
    """A new session in place of all there were; None for a wrong old password. Raises Wrong, Throttled, Busy.

    Wrong ones count for the session, which no stranger has. The log of the session's tenant says so, and no other's.
    """
    users.possible(old)
    new = users.strong(new, own.email)
    kept = await confirm_password(pool, own, old, address)
    if kept is None:
        return None
    with passwords.line():
        hashed = await passwords.hashed(new)
    async with tenant_transaction(pool, own.tenant) as connection:
        if not await _replaced(connection, own.user, kept, hashed):
            return None
        await users.shut_out(connection, own.user)
        await audit(connection, own.tenant, own.actor(address), "user.password_changed", own.email)
        device = await _remembered(connection, own.user, "")
        token = await _begun(connection, own.tenant, own.user, address, own.browser, second_factor=own.second_factor)
    found = await person(pool, token)
    return found and replace(found, device=device)


async def choose_password(pool: Pool, email: str, given: str, new: str, address: str | None) -> bool:
    """Put a password of the person's own in the place of the one that somebody else chose, which works this once.

    False for a wrong pair, or where none was chosen for the person. Raises Wrong, Throttled, Busy.
    """
    users.possible(given)
    email = email.strip().lower()
    new = users.strong(new, email)
    if passwords.same(given, new):
        raise users.Wrong("choose another password than the one you were given")
    with passwords.line():
        async with tenant_transaction(pool, NO_TENANT) as connection:
            row = await connection.fetchrow(
                """
                SELECT id::text, password_hash, password_tenant_id::text AS tenant FROM users
                WHERE email = $1 AND disabled_at IS NULL AND password_tenant_id IS NOT NULL""",
                email,
            )
            attempt = await _counted(connection, _limits(email, address, ""))
        kept = row["password_hash"] if row else None
        right = await passwords.verified(given, kept) is not None
        hashed = await passwords.hashed(new) if right else ""
    if row is None or not right:
        await _failed(pool, email, address, attempt, row["tenant"] if row else None)
        return False
    async with tenant_transaction(pool, row["tenant"]) as connection:
        if not await _replaced(connection, row["id"], kept, hashed):
            return False
        await _passed(connection, attempt)
        actor = Actor(f"user:{email}", address)
        await audit(connection, row["tenant"], actor, "user.password_changed", email)
    return True


async def _replaced(connection: asyncpg.Connection, user: str, kept: str | None, hashed: str) -> bool:
    """Whether the new password took the place of that one; not where another one was set meanwhile."""
    row = await connection.fetchrow(
        "UPDATE users SET password_hash = $3, password_tenant_id = NULL WHERE id = $1::uuid AND password_hash = $2"
        " RETURNING 1",
        user,
        kept,
        hashed,
    )
    return row is not None


async def confirm_password(pool: Pool, own: Person, password: str, address: str | None) -> str | None:
    """The hash of the password, where somebody with a session knows it too; else None. Raises Wrong, Throttled, Busy.

    Wrong ones count for the session, which no stranger has.
    """
    users.possible(password)
    with passwords.line():
        async with tenant_transaction(pool, NO_TENANT) as connection:
            attempt = await _counted(connection, {_session(own.token): TRIES_BY_SESSION})
            kept: str | None = await connection.fetchval(
                "SELECT password_hash FROM users WHERE id = $1::uuid", own.user
            )
        right = await passwords.verified(password, kept) is not None
    if not right:
        await _failed(pool, own.email, address, attempt, own.tenant)
        return None
    async with tenant_transaction(pool, NO_TENANT) as connection:
        await _passed(connection, attempt)
    return kept


async def logout(pool: Pool, gone: Person, address: str | None) -> None:
    async with tenant_transaction(pool, gone.tenant) as connection:
        await connection.execute("DELETE FROM sessions WHERE session_sha256 = $1", _digest(gone.token))
        await audit(connection, gone.tenant, gone.actor(address), "user.logged_out", gone.email)


async def _begun(
    connection: asyncpg.Connection,
    tenant: str,
    user: str,
    address: str | None,
    browser: str = "",
    *,
    second_factor: bool = False,
) -> str:
    """The token of a new session."""
    token = secrets.token_urlsafe(32)
    await connection.execute(
        """
        INSERT INTO sessions (tenant_id, session_sha256, user_id, address, expires_at, browser, second_factor)
        VALUES ($1::uuid, $2, $3::uuid, $4::inet, now() + make_interval(hours => $5), $6, $7)""",
        tenant,
        _digest(token),
        user,
        address,
        HOURS,
        browser,
        second_factor,
    )
    return token


async def _still_kept(connection: asyncpg.Connection, user: str, hashes: Sequence[str]) -> bool:
    """Whether one of these is still the person's, who may log in; it stays so for the transaction."""
    return bool(
        await connection.fetchval(
            """
            SELECT true FROM users WHERE id = $1::uuid AND password_hash = ANY($2::text[]) AND disabled_at IS NULL
            FOR SHARE""",
            user,
            list(hashes),
        )
    )


async def _end_replaced(connection: asyncpg.Connection, token: str, address: str | None) -> None:
    """End the session that was there in a browser that logs in again, whosever it was; empty for none."""
    tenant = await user_store.tenant_of_session(connection, _digest(token))
    if tenant is None:
        return
    async with other_tenant(connection, tenant):
        email = await connection.fetchval(
            """
            DELETE FROM sessions s USING users u WHERE s.session_sha256 = $1 AND u.id = s.user_id
            RETURNING u.email""",
            _digest(token),
        )
        if email is not None:
            actor = Actor(f"user:{email}", address)
            await audit(connection, tenant, actor, "user.logged_out", email, replaced=True)


async def _remembered(connection: asyncpg.Connection, user: str, device: str) -> str:
    """What the browser is to keep: ``device``, or a new one where that is empty."""
    device = device or secrets.token_urlsafe(32)
    await connection.execute(
        """
        INSERT INTO devices (user_id, device_sha256) VALUES ($1::uuid, $2)
        ON CONFLICT (user_id, device_sha256) DO UPDATE SET seen_at = now()""",
        user,
        _digest(device),
    )
    await connection.execute(
        """
        DELETE FROM devices WHERE user_id = $1::uuid AND device_sha256 IN (
            SELECT device_sha256 FROM devices WHERE user_id = $1::uuid ORDER BY seen_at DESC OFFSET $2)""",
        user,
        DEVICES,
    )
    return device


# --- wrong passwords


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One that was counted before it was looked at.

    ``rows`` has its row for each that it counts for, ``shared`` those that others count for too; ``last`` says whether
    it was the last that is allowed.
    """

    rows: Mapping[bytes, int]
    shared: frozenset[bytes]
    last: bool


def place_of(address: str | None) -> str:
    """Where attempts come from: an IPv4 address, or a /64 of IPv6, all of which one customer has."""
    if address is None:
        return ""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        return str(ip.ipv4_mapped or IPv6Address(int(ip) >> 64 << 64))
    return str(ip)


async def _is_known(connection: asyncpg.Connection, user: str, device: str) -> bool:
    """Whether this person was logged in before in a browser that holds this."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM devices WHERE user_id = $1::uuid AND device_sha256 = $2)",
            user,
            _digest(device),
        )
    )


def _limits(email: str, address: str | None, device: str) -> dict[str, int]:
    """For whom a login counts, and how many of each are allowed; ``device`` is that of a known browser, or empty."""
    if device:
        return {f"device:{email}:{device}": TRIES_BY_DEVICE}
    return {f"email:{email}": TRIES_BY_EMAIL, f"{_PLACE}{place_of(address)}": TRIES_BY_ADDRESS}


def _session(token: str) -> str:
    return f"session:{token}"


async def _counted(connection: asyncpg.Connection, limits: Mapping[str, int]) -> _Attempt:
    """Count an attempt, before it is looked at, as a wrong one until it is not. Raises Throttled.

    One after the other, and in one order, so that of those that come at once as many get through as are allowed.
    """
    rows, last = {}, False
    digests = sorted((_digest(who), limit) for who, limit in limits.items())
    for who, limit in digests:
        await connection.execute("SELECT pg_advisory_xact_lock($1)", int.from_bytes(who[:8], "big", signed=True))
        count = await connection.fetchval(
            """
            SELECT count(*) FROM login_failures
            WHERE who_sha256 = $1 AND failed_at > clock_timestamp() - make_interval(mins => $2)""",
            who,
            WINDOW_MINUTES,
        )
        if count >= limit:
            raise Throttled
        rows[who] = await connection.fetchval("INSERT INTO login_failures (who_sha256) VALUES ($1) RETURNING id", who)
        last |= count + 1 == limit
    return _Attempt(rows, frozenset(_digest(who) for who in limits if who.startswith(_PLACE)), last)


async def _passed(connection: asyncpg.Connection, attempt: _Attempt) -> None:
    """It was right: it does not count, nor do those before it, except the ones of others at the same place."""
    for who, row in attempt.rows.items():
        if who in attempt.shared:
            await connection.execute("DELETE FROM login_failures WHERE who_sha256 = $1 AND id = $2", who, row)
        else:
            await connection.execute("DELETE FROM login_failures WHERE who_sha256 = $1", who)


async def _withdrawn(connection: asyncpg.Connection, attempt: _Attempt) -> None:
    """It does not count; those before it do."""
    for who, row in attempt.rows.items():
        await connection.execute("DELETE FROM login_failures WHERE who_sha256 = $1 AND id = $2", who, row)


async def _failed(pool: Pool, email: str, address: str | None, attempt: _Attempt, tenant: str | None = None) -> None:
    """Say of a wrong password, if it is anybody's, that it was; and of the last that was allowed that it was.

    In the log of ``tenant`` alone if that is where it was tried; somebody who is not logged in is at none, and every
    tenant that the password opens is told.
    """
    actor = Actor(f"user:{email}", address)
    actions = ["user.refused", "user.throttled"] if attempt.last else ["user.refused"]
    if tenant is not None:
        async with tenant_transaction(pool, tenant) as connection:
            for action in actions:
                await audit(connection, tenant, actor, action, email)
        return
    async with tenant_transaction(pool, NO_TENANT) as connection:
        user = await connection.fetchval("SELECT id::text FROM users WHERE email = $1", email)
        for action in actions if user is not None else ():
            await users.note(connection, user, actor, action, email)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
