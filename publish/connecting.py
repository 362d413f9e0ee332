"""Connecting an account, from the first click to the proof that it can do its work.

A flow is a row: its state is random, of one use and short life, kept as a digest, and bound to the browser that opened
it. The code that the platform sends back is spent once, whoever comes back with it how often; everybody else sees what
came of the first time.
"""

import asyncio
import base64
import hashlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import uniform
from typing import Any
from urllib.parse import urlencode

import asyncpg
import structlog
import uuid_utils

from ops.runtime import metrics
from ops.runtime.db import Pool
from ops.runtime.faultpoint import faultpoint
from publish import store
from publish.contract import Account, App, Channel, Problem
from publish.driver import Outside
from publish.signed_request import Wish, opened
from publish.store import EVERYBODY, Actor, State
from publish.vault import Place, Vault

LIFE_SECONDS = 600
WAIT_SECONDS = 20.0
"""How long a second visitor waits for what comes of the first one's."""

RETURNS = ("/", "/api/connections")
"""Where a flow may end: nowhere else, whatever a link says."""

REMOVED = "You removed the application at the platform; connect the account again if that was not meant."

_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Visit:
    """What a browser brings back from the platform."""

    platform: str
    instance: str
    state: str
    code: str
    error: str
    session: str
    address: str | None = None


class Flows:
    def __init__(self, pool: Pool, vault: Vault, outside: Outside, name: str = "Landfall") -> None:
        self._pool = pool
        self._vault = vault
        self._outside = outside
        self._name = name

    @property
    def titles(self) -> Mapping[str, str]:
        """What people call the platforms."""
        return {name: channel.title for name, channel in self._outside.channels.items()}

    # --- the way there

    async def start(self, platform: str, instance: str, tenant: str, actor: Actor, return_to: str) -> str:
        """Begin a flow; the ticket that opens it in a browser, once. Raises Problem."""
        channel = self._channel(platform)
        instance = self._instance(channel, instance)
        if return_to not in RETURNS:
            raise Problem("wrong", f"return_to must be one of {', '.join(RETURNS)}.")
        await self._app(platform, instance, tenant)  # says now, and not in the browser, what is not configured
        state, verifier, ticket = (secrets.token_urlsafe(32) for _ in range(3))
        digest = _digest(state)
        sealed = self._vault.seal(f"{state} {verifier}", _place(tenant, digest))
        uri = self._outside.redirect_uri(platform, instance)
        row = State(
            tenant,
            digest,
            platform,
            instance,
            _digest(ticket),
            sealed,
            uri,
            return_to,
            actor.name,
            used=False,
            live=True,
            outcome=None,
        )
        async with store.acting(self._pool, tenant) as connection:
            await store.begin(connection, row, LIFE_SECONDS)
        return ticket

    def address(self, platform: str, ticket: str) -> str:
        """Where to open a flow."""
        return f"{self._outside.public_url.rstrip('/')}/api/auth/{platform}/open?{urlencode({'ticket': ticket})}"

    async def open(self, platform: str, ticket: str) -> str:
        """Where to send the browser that holds this ticket. Raises Problem."""
        async with store.acting(self._pool, EVERYBODY) as connection:
            row = await store.state(connection, session=_digest(ticket))
        if row is None or row.platform != platform or not row.live or row.used:
            raise Problem("wrong", "This link is too old or was used before; start connecting again.")
        state, _, verifier = self._vault.open(row.sealed_verifier, _place(row.tenant, row.digest)).partition(" ")
        channel = self._channel(platform)
        app = await self._app(platform, row.instance, row.tenant)
        return channel.authorize(app, channel.scopes, state, _challenge(verifier) if channel.pkce else "")

    def _channel(self, platform: str) -> Channel:
        channel = self._outside.channels.get(platform)
        if channel is None:
            known = ", ".join(self._outside.channels)
            raise Problem("wrong", f"There is no platform {platform!r}; known are {known}.")
        return channel

    def _instance(self, channel: Channel, given: str) -> str:
        if channel.register is None:
            return ""
        host = given.strip().lower().removeprefix("https://").rstrip("/")
        if not _HOST.fullmatch(host):
            raise Problem("wrong", "instance must be the host of your server, such as mastodon.social.")
        return host

    async def _app(self, platform: str, instance: str, tenant: str) -> App:
        """Who we are at a platform; at an instance that does not know us yet we register. Raises Problem."""
        channel = self._outside.channels[platform]
        if channel.register is None:
            return self._outside.app(platform, instance)
        uri = self._outside.redirect_uri(platform, instance)
        place = Place(tenant, f"{platform}:{instance}", "client_secret")
        async with store.acting(self._pool, tenant) as connection:
            known = await store.client(connection, platform, instance, uri)
        if known is not None:
            return self._outside.app(platform, instance, (known[0], self._vault.open(known[1], place)))
        asking = self._outside.app(platform, instance)
        made = await self._outside.run(channel.register(asking, self._name, channel.scopes), platform=platform)
        sealed = self._vault.seal(made[1], place)
        async with store.acting(self._pool, tenant) as connection:
            await store.keep_client(connection, tenant, platform, instance, made[0], sealed, uri, channel.scopes)
        return self._outside.app(platform, instance, made)

    # --- the way back

    async def finish(self, visit: Visit) -> dict[str, Any]:
        """What came of a flow: ``ok``, ``says``, ``connections`` and ``return_to``. Never raises for the platform."""
        async with store.acting(self._pool, EVERYBODY) as connection:
            row = await store.state(connection, digest=_digest(visit.state)) if visit.state else None
        refusal = _refused(row, visit)
        if refusal is not None or row is None:
            metrics.of(metrics.oauth_flows, self._label(visit.platform), "refused").inc()
            return _outcome(ok=False, says=refusal or "", return_to="/")
        if row.outcome is not None:
            return dict(row.outcome)
        async with store.acting(self._pool, row.tenant) as connection:
            mine = await store.claim_code(connection, row.digest)
        if not mine:
            return await self._awaited(row)
        faultpoint("publish.claimed")
        return await self._settled(row, visit)

    def _label(self, platform: str) -> str:
        return platform if platform in self._outside.channels else "unknown"

    async def _awaited(self, row: State) -> dict[str, Any]:
        """What the first visitor got; a process that died with the code leaves only the unknown."""
        end = asyncio.get_running_loop().time() + WAIT_SECONDS
        while asyncio.get_running_loop().time() < end:
            async with store.acting(self._pool, EVERYBODY) as connection:
                found = await store.state(connection, digest=row.digest)
            if found is not None and found.outcome is not None:
                return dict(found.outcome)
            await asyncio.sleep(0.2)
        says = (
            "It is not known whether the platform took it; look at your connections, and start again if it is missing."
        )
        return _outcome(ok=False, says=says, return_to=row.return_to)

    async def _settled(self, row: State, visit: Visit) -> dict[str, Any]:
        try:
            accounts = await self._accounts(row, visit)
            faultpoint("publish.exchanged")
        except Problem as problem:
            log.info("oauth.failed", platform=row.platform, kind=problem.kind, code=problem.code)
            return await self._failed(row, visit, problem)
        channel = self._outside.channels[row.platform]
        ids = []
        async with store.acting(self._pool, row.tenant) as connection:
            for account in accounts:
                due = due_at(channel, account.access_seconds, account.secrets)
                new = str(uuid_utils.uuid7())
                id_ = await store.connect(
                    connection, self._vault, row.tenant, new, row.platform, row.instance, account, due
                )
                ids.append(id_)
                await store.audit(
                    connection,
                    row.tenant,
                    Actor(row.actor, visit.address),
                    "connection.connected",
                    id_,
                    platform=row.platform,
                    scopes=list(account.scopes),
                )
            names = ", ".join(account.username or account.account_id for account in accounts)
            outcome = _outcome(ok=True, says=f"Connected: {names}.", return_to=row.return_to, connections=ids)
            await store.settle(connection, row.digest, outcome)
        metrics.of(metrics.oauth_flows, row.platform, "connected").inc()
        return outcome

    async def _accounts(self, row: State, visit: Visit) -> list[Account]:
        channel = self._outside.channels[row.platform]
        if visit.error or not visit.code:
            denied = "denied" in visit.error or "cancelled" in visit.error
            if denied:
                raise Problem("denied", "You did not allow it, so nothing was connected.", visit.error[:80])
            raise Problem("wrong", "The platform sent no code; start connecting again.", visit.error[:80])
        verifier = self._vault.open(row.sealed_verifier, _place(row.tenant, row.digest)).partition(" ")[2]
        app = await self._app(row.platform, row.instance, row.tenant)
        accounts = await self._outside.run(channel.connect(app, visit.code, verifier), platform=row.platform)
        lacking = _lacking(channel.needed, accounts)
        if lacking:
            says = f"Not everything was allowed: connect again and leave {', '.join(lacking)} ticked."
            raise Problem("lacking", says)
        if not accounts or not all(account.account_id for account in accounts):
            raise Problem("transient", "The platform did not say whose account it is; try again later.")
        return accounts

    async def _failed(self, row: State, visit: Visit, problem: Problem) -> dict[str, Any]:
        outcome = _outcome(ok=False, says=problem.says, return_to=row.return_to, kind=problem.kind)
        async with store.acting(self._pool, row.tenant) as connection:
            await store.settle(connection, row.digest, outcome)
            detail = {"platform": row.platform, "kind": problem.kind, "code": problem.code}
            actor = Actor(row.actor, visit.address)
            await store.audit(connection, row.tenant, actor, "connection.refused", row.platform, **detail)
        metrics.of(metrics.oauth_flows, row.platform, problem.kind).inc()
        return outcome

    # --- the end

    async def removed(self, platform: str, signed: str) -> int | None:
        """A person removed us at the platform, it says; how many connections that ended. None: it is not the platform.

        It comes again until it is answered, and perhaps after the person came back: what is newer is left alone.
        """
        wish = self._signed(platform, signed)
        if wish is None:
            return None
        async with store.acting(self._pool, EVERYBODY) as connection:
            return await self._ended(connection, platform, wish)

    async def delete(self, platform: str, signed: str) -> str | None:
        """A person asks that what we know be deleted: the address at which they can see how far it is.

        The connection ends at once; `landfall erase --requested` does the rest. None: it is not the platform.
        """
        wish = self._signed(platform, signed)
        if wish is None:
            return None
        code = hashlib.sha256(f"{platform} {wish.user_id} {wish.issued_at}".encode()).hexdigest()[:24]
        async with store.acting(self._pool, EVERYBODY) as connection:
            await self._ended(connection, platform, wish)
            await store.ask_deletion(connection, code, platform, wish.user_id)
        return code

    def deletion_address(self, code: str) -> str:
        return f"{self._outside.public_url.rstrip('/')}/deletions/{code}"

    def _signed(self, platform: str, signed: str) -> Wish | None:
        channel = self._outside.channels.get(platform)
        secrets_ = [s for v in (channel.signs_requests_with if channel else ()) for s in self._outside.all(v.name)]
        return opened(signed, secrets_)

    async def _ended(self, connection: asyncpg.Connection, platform: str, wish: Wish) -> int:
        ended = await store.removed(connection, platform, wish.user_id, wish.issued_at, REMOVED)
        for tenant, id_ in ended:
            await store.audit(connection, tenant, Actor(platform), "connection.removed", id_, platform=platform)
        return len(ended)

    async def disconnect(self, tenant: str, id_: str, actor: Actor) -> bool:
        """End a connection here, and at the platform if that can be done. False where there is none."""
        async with store.acting(self._pool, tenant) as connection:
            held = await store.secrets(connection, self._vault, tenant, id_)
            row = await store.disconnect(connection, id_)
            if row is None:
                return False
            await store.audit(connection, tenant, actor, "connection.disconnected", id_, platform=row["platform"])
        channel = self._outside.channels[row["platform"]]
        if channel.revoke is not None and "access_token" in held:
            try:
                app = await self._app(row["platform"], row["instance"], tenant)
                await self._outside.run(channel.revoke(app, held), platform=row["platform"])
            except Problem as problem:
                log.warning("connection.not_revoked", platform=row["platform"], kind=problem.kind, code=problem.code)
        return True


def due_at(channel: Channel, access_seconds: int | None, held: Mapping[str, str]) -> datetime | None:
    """When to refresh, never the same second for two that were connected together; None for nothing to refresh."""
    due = channel.plan.due(access_seconds)
    if channel.refresh is None or due is None or not held.get(channel.refreshes_with):
        return None
    return datetime.now(UTC) + timedelta(seconds=max(channel.plan.youngest, due * uniform(0.9, 1.0)))  # noqa: S311


def _refused(row: State | None, visit: Visit) -> str | None:
    """Why a visit is none of ours; None for one that is."""
    if row is None:
        return "This is not a link of ours, or it is too old; start connecting again."
    if (row.platform, row.instance) != (visit.platform, visit.instance):
        return "This answer is of another platform than the one that was asked; nothing was connected."
    if not visit.session or not secrets.compare_digest(_digest(visit.session), row.session):
        return "This was begun in another browser; start connecting again in this one."
    if not row.live and not row.used:
        return "It took too long; start connecting again."
    return None


def _lacking(needed: Sequence[str], accounts: Sequence[Account]) -> list[str]:
    """What was not granted; ``write`` holds ``write:statuses``."""
    granted = {scope for account in accounts for scope in account.scopes}
    return [scope for scope in needed if scope not in granted and scope.partition(":")[0] not in granted]


def _outcome(*, ok: bool, says: str, return_to: str, **more: Any) -> dict[str, Any]:
    return {"ok": ok, "says": says, "return_to": return_to, "connections": [], **more}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _place(tenant: str, digest: bytes) -> Place:
    return Place(tenant, f"flow:{digest.hex()}", "verifier")


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")
