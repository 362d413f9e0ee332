"""Connecting an account, from the first click to the proof that it can do its work.

A flow is a row: its state is random, of one use and short life, and kept as a digest. Its link shows a page with a
button and changes nothing; the first browser in which the button is pressed has the flow, by a secret that no other
browser holds, and the link's ticket is worth nothing from then on. The code that the platform sends back is spent once,
whoever comes back with it how often; everybody else sees what came of the first time. Where there is something to
choose, what was found waits, sealed, until that is done.
"""

import asyncio
import base64
import hashlib
import hmac
import secrets
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import uniform
from typing import Any
from urllib.parse import urlencode

import structlog
import uuid_utils

from ops.access import membership_store, users
from ops.access.audit_log_store import Actor, audit
from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.platform_protocol import Problem
from ops.runtime.tenancy import NO_TENANT, tenant_transaction
from ops.runtime.text import storable
from publish.connections import connection_store
from publish.oauth import account_selection, flow_store
from publish.oauth.account_selection import Question, Wanted
from publish.oauth.client_registration import Applications
from publish.oauth.contract import Account, Channel, scope_list
from publish.oauth.flow_store import Asker, State
from publish.oauth.instances import instance_of
from publish.oauth.protocol import refusal
from publish.oauth.providers import Outside
from publish.vault.envelope import Vault
from schema.sealing import Place

LIFE_SECONDS = 300
"""Of a link, until its button is pressed, and of a state: from then until the browser is back from the platform."""

CHOICE_SECONDS = 600
"""For a person to choose, from when the browser is back."""

WAIT_SECONDS = 20.0
"""How long a second visitor waits for what comes of the first one's."""

RETURNS = ("", "/", "/connections")
"""Where a browser may be led in the end: nowhere else, whatever a link says. Empty: it is told, and led nowhere."""

NEEDED = "connections:write"
"""The scope of whoever begins a flow, and still has it when the flow goes on."""

OPEN_FLOWS = 100
"""That a tenant may have begun and not finished: a loop that begins them fills no table."""

INSTANCE = "Name the server by its host, such as social.example, or by your handle there, such as @me@social.example."
USED = "This link was used before, and works once. If that was not you, tell whoever sent it, and ask for a new one."
TOO_OLD = "This link is too old, or it is not one of ours; ask for a new link, or start connecting again."
NOT_TAKEN = "The platform did not take the token that it had just given; start connecting again."
SURPRISE = (
    "Something failed here, and it is not known whether the platform took it; look at your connections, and start again"
    " if it is missing."
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Visit:
    """What a browser brings back from the platform; anybody may have written it."""

    platform: str
    instance: str
    state: str
    code: str
    error: str
    session: str
    address: str | None = None

    @property
    def storable(self) -> "Visit":
        """The same with text that can be digested, sent and stored; what was spoiled fits nothing."""
        texts = ("platform", "instance", "state", "code", "error", "session")
        return replace(self, **{field: storable(getattr(self, field)) for field in texts})


@dataclass(frozen=True, slots=True)
class Begun:
    """``ticket`` gives the flow to a browser, once; whoever began it asks by ``id`` what came of it."""

    ticket: str
    id: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person reads before the button is pressed.

    ``actor`` asks, for ``tenant``; ``account`` is the name of the one to bring back, empty for a new one; ``until`` is
    when the link ends, None for an address without an end.
    """

    actor: str
    tenant: str
    tenant_name: str
    instance: str
    scopes: Sequence[str]
    account: str
    until: datetime | None = None

    @property
    def by(self) -> str:
        """Who asks, as an owner knows them."""
        return _words(self.actor)


@dataclass(frozen=True, slots=True)
class Taken:
    """``address`` is where the browser goes; ``mark`` names the flow where the browser holds several.

    ``secret`` is what this browser alone holds from now on: it is asked for when the browser is back.
    """

    address: str
    mark: str
    secret: str


def mark_of(state: str) -> str:
    """By which a browser tells its flows apart: whoever comes back with a state finds what belongs to it."""
    return _mark(_digest(state))


class Flows:
    def __init__(self, pool: Pool, vault: Vault, outside: Outside, applications: Applications) -> None:
        self._pool = pool
        self._vault = vault
        self._outside = outside
        self._applications = applications

    @property
    def titles(self) -> Mapping[str, str]:
        """What people call the platforms."""
        return {name: channel.title for name, channel in self._outside.channels.items()}

    @property
    def channels(self) -> Mapping[str, Channel]:
        return self._outside.channels

    @property
    def public_url(self) -> str:
        return self._outside.public_url

    @property
    def with_instance(self) -> list[str]:
        """Those of which there are many, each at an address of its own."""
        return [name for name, channel in self._outside.channels.items() if channel.register is not None]

    # --- the way there

    async def start(
        self,
        platform: str,
        instance: str,
        tenant: str,
        actor: Actor,
        return_to: str,
        reconnecting: str | None = None,
        optional_scopes: str = "",
    ) -> Begun:
        """Begin a flow, to bring back the connection ``reconnecting`` if that is given. Raises Problem.

        ``optional_scopes``, a list as text, are asked for beside the usual ones.
        """
        asked = await self.asked(platform, instance, tenant, actor, return_to, reconnecting, optional_scopes)
        title = self._outside.channels[platform].title
        # Said now, not when somebody has been at the platform for nothing.
        await self._outside.client.rate_limits.insist(asked.instance or title, platform, asked.instance, "")
        instance = await self._applications.located(platform, asked.instance, tenant)
        await self._applications.made(platform, instance, tenant)
        state, verifier, ticket = (secrets.token_urlsafe(32) for _ in range(3))
        digest = _digest(state)
        sealed = self._vault.seal(f"{state} {verifier}", _place(tenant, digest, "verifier"))
        uri = self._outside.redirect_uri(platform, instance)
        row = State(
            tenant,
            digest,
            platform,
            instance,
            _digest(ticket),
            None,
            sealed,
            uri,
            return_to,
            actor.name,
            connection=reconnecting,
            scopes=asked.scopes,
        )
        async with tenant_transaction(self._pool, tenant) as connection:
            if await flow_store.unfinished(connection) >= OPEN_FLOWS:
                minutes = LIFE_SECONDS // 60
                says = f"{OPEN_FLOWS} connections were begun and not finished; each ends after {minutes} minutes."
                raise Problem("crowded", says)
            return Begun(ticket, await flow_store.begin(connection, row, LIFE_SECONDS))

    async def asked(
        self,
        platform: str,
        instance: str,
        tenant: str,
        actor: Actor,
        return_to: str,
        reconnecting: str | None = None,
        optional_scopes: str = "",
    ) -> Asked:
        """What :meth:`start` with the same would ask for; nothing is begun. Raises Problem."""
        channel = self._channel(platform)
        scopes = self._outside.scopes(platform, scope_list(optional_scopes))
        if return_to not in RETURNS:
            raise Problem("wrong", f"return_to must be one of {', '.join(filter(None, RETURNS))}.")
        async with tenant_transaction(self._pool, tenant) as connection:
            asker = await flow_store.asker(connection, tenant, actor.name)
            found = None if reconnecting is None else await connection_store.one(connection, reconnecting)
        if reconnecting is not None and (found is None or found["channel"] != platform):
            raise Problem("wrong", "There is no such connection to bring back this way.")
        instance = self._instance(channel, found["instance"] if found else instance)
        return Asked(actor.name, tenant, asker.tenant, instance, scopes, _account(found))

    def address(self, platform: str, ticket: str) -> str:
        """Where to open a flow."""
        return f"{self._outside.public_url.rstrip('/')}/api/auth/{platform}/open?{urlencode({'ticket': ticket})}"

    async def look(self, platform: str, ticket: str, browser: str) -> Asked:
        """What the link with this ticket asks for; it changes nothing. Raises Problem for one that gives nothing more.

        ``browser`` is what the browser is told from others by, before and after it has the flow.
        """
        row = await self._for(platform, ticket, browser)
        asker = await self._entitled(row)
        found = None
        if row.connection is not None:
            async with tenant_transaction(self._pool, row.tenant) as connection:
                found = await connection_store.one(connection, row.connection)
        scopes = _scopes_of(self._channel(platform), row)
        return Asked(row.actor, row.tenant, asker.tenant, row.instance, scopes, _account(found), row.expires)

    async def take(self, platform: str, ticket: str, browser: str) -> Taken:
        """Give the flow to this browser, unless another has it, and say where to send it. Raises Problem.

        The same browser is given the same again: a second click, or a way back, must not end what was begun.
        """
        row = await self._for(platform, ticket, browser)
        await self._entitled(row)
        state, verifier = self._opened(row)
        channel = self._channel(platform)
        app = await self._applications.known(platform, row.instance, row.tenant)
        address = channel.authorize(app, _scopes_of(channel, row), state, _challenge(verifier) if channel.pkce else "")
        secret = _secret(verifier, browser)
        if row.session is None:
            async with tenant_transaction(self._pool, row.tenant) as connection:
                taken = await flow_store.take(connection, row.digest, _digest(secret), LIFE_SECONDS)
            if not taken:
                await self._for(platform, ticket, browser, taken=True)
        return Taken(address, _mark(row.digest), secret)

    async def _for(self, platform: str, ticket: str, browser: str, *, taken: bool = False) -> State:
        """The flow of this ticket, which this browser has, or nobody where it is not ``taken`` yet. Raises Problem."""
        row = await self._state(ticket=_digest(ticket))
        if row is None or row.platform != platform or (row.session is None and (taken or not row.live)):
            raise Problem("wrong", TOO_OLD)
        if row.session is not None:
            own = hmac.compare_digest(_digest(_secret(self._opened(row)[1], browser)), row.session)
            if not own or row.state != "opened" or not row.live:
                raise Problem("wrong", USED)
        return row

    async def _state(self, **by: bytes) -> State | None:
        return (await self._states([by]))[0]

    async def _states(self, wanted: Sequence[Mapping[str, bytes]]) -> list[State | None]:
        """Each by what it is known by, whatever tenant it is of; None for one that there is not."""
        async with tenant_transaction(self._pool, NO_TENANT) as connection:
            return [await flow_store.state(connection, **by) for by in wanted]

    async def _entitled(self, row: State) -> Asker:
        """Whoever began a flow. Raises Problem where they may not do that any more."""
        async with tenant_transaction(self._pool, row.tenant) as connection:
            return _require_scope(row, await flow_store.asker(connection, row.tenant, row.actor))

    def _opened(self, row: State) -> tuple[str, str]:
        """Its state, and the verifier of its code."""
        place = _place(row.tenant, row.digest, "verifier")
        state, _, verifier = self._vault.open(row.sealed_verifier, place).partition(" ")
        return state, verifier

    def _channel(self, platform: str) -> Channel:
        channel = self._outside.channels.get(platform)
        if channel is None:
            known = ", ".join(self._outside.channels)
            raise Problem("wrong", f"There is no platform {platform!r}; known are {known}.")
        return channel

    def _instance(self, channel: Channel, given: str) -> str:
        if channel.register is None:
            return ""
        host = instance_of(given)
        if host is None:
            raise Problem("wrong", INSTANCE)
        return host

    async def result(self, tenant: str, id_: str) -> dict[str, Any] | None:
        """How far a flow is, for whoever began it: waiting, connected or failed. None: there is none, or no longer."""
        async with tenant_transaction(self._pool, tenant) as connection:
            found = await flow_store.flow(connection, id_)
        if found is None:
            return None
        live, outcome = found
        if outcome is None or outcome.get("kind") == "choose":
            says = "The browser has not come back yet." if live else "It took too long; start connecting again."
            return {"state": "waiting" if live else "failed", "says": says, "connections": []}
        state = "connected" if outcome["ok"] else "failed"
        return {"state": state, "says": outcome["says"], "connections": outcome["connections"]}

    # --- the way back

    async def finish(self, visit: Visit) -> dict[str, Any]:
        """What came of a flow: ``ok``, ``says``, ``connections`` and ``return_to``. Never raises for the platform.

        Where there is something to choose it is not ``ok`` yet, its ``kind`` is choose, and ``choose`` says what.
        """
        visit = visit.storable
        row = await self._state(digest=_digest(visit.state)) if visit.state else None
        why = _refused(row, visit)
        if why is not None or row is None:
            metrics.of(metrics.oauth_flows, self._label(visit.platform), "refused").inc()
            return _outcome(ok=False, says=why or "", return_to="")
        if row.outcome is not None:
            return dict(row.outcome)
        async with tenant_transaction(self._pool, row.tenant) as connection:
            since = await flow_store.claim_code(connection, row.digest)
        if since is None:
            return await self._awaited(row)
        faultpoint("publish.claimed")
        return await self._settled(replace(row, since=since), visit)

    def _label(self, platform: str) -> str:
        return platform if platform in self._outside.channels else "unknown"

    async def _awaited(self, row: State) -> dict[str, Any]:
        """What the first visitor got; a process that died with the code leaves only the unknown."""
        end = asyncio.get_running_loop().time() + WAIT_SECONDS
        while asyncio.get_running_loop().time() < end:
            found = await self._state(digest=row.digest)
            if found is not None and found.outcome is not None:
                return dict(found.outcome)
            await asyncio.sleep(0.2)
        says = (
            "It is not known whether the platform took it; look at your connections, and start again if it is missing."
        )
        return _outcome(ok=False, says=says, return_to=row.return_to)

    async def _settled(self, row: State, visit: Visit) -> dict[str, Any]:
        """What comes of a code that was claimed. Nobody can send it again, so that every way out of here settles it."""
        actor = Actor(row.actor, visit.address)
        try:
            await self._entitled(row)
            accounts = await self._accounts(row, visit)
            faultpoint("publish.exchanged")
            decided = await self._decided(row, accounts)
            if isinstance(decided, Question):
                return await self._asked(row, accounts, decided)
            return await self._connected(row, actor, decided)
        except Problem as found:
            # Nothing is connected yet whose grant could be over: it is the new token that was not taken.
            problem = Problem("wrong", NOT_TAKEN, found.code) if found.kind == "grant" else found
            log.info("oauth.failed", platform=row.platform, kind=problem.kind, code=problem.code)
            return await self._failed(row, actor, problem)
        except Exception as error:  # noqa: BLE001
            # Not the error itself: what PostgreSQL or the vault refuses may stand in its text.
            log.error("oauth.surprised", platform=row.platform, error=describe(error), where=_where(error))  # noqa: TRY400
            return await self._failed(row, actor, Problem("transient", SURPRISE, "unexpected"))

    async def _accounts(self, row: State, visit: Visit) -> list[Account]:
        channel = self._outside.channels[row.platform]
        if visit.error or not visit.code:
            raise refusal(visit.error)
        verifier = self._opened(row)[1]
        app = await self._applications.known(row.platform, row.instance, row.tenant)
        app = replace(app, scopes=_scopes_of(channel, row))
        accounts = await self._outside.run(
            channel.connect(app, visit.code, verifier), platform=row.platform, instance=row.instance
        )
        if not accounts or not all(account.account_id for account in accounts):
            raise Problem("transient", "The platform did not say whose account it is; try again later.")
        return accounts

    async def _decided(self, row: State, accounts: Sequence[Account]) -> list[Account] | Question:
        wanted = None
        async with tenant_transaction(self._pool, row.tenant) as connection:
            known = await connection_store.known(connection, row.platform, row.instance)
            if row.connection is not None and (found := await connection_store.one(connection, row.connection)):
                wanted = Wanted((found["platform"], found["account_id"]), found["username"])
        return account_selection.decide(row.platform, self._outside.channels[row.platform], accounts, wanted, known)

    async def _asked(self, row: State, accounts: Sequence[Account], question: Question) -> dict[str, Any]:
        channel = self._outside.channels[row.platform]
        shown = account_selection.choices(row.platform, channel, accounts, question)
        outcome = _outcome(ok=False, says=question.says, return_to=row.return_to, kind="choose", choose=shown)
        sealed = self._vault.seal(account_selection.packed(accounts), _place(row.tenant, row.digest, "accounts"))
        async with tenant_transaction(self._pool, row.tenant) as connection:
            await flow_store.offer(connection, row.digest, outcome, sealed, CHOICE_SECONDS)
        return outcome

    async def asking(self, platform: str, held: Sequence[str]) -> str:
        """The mark of the one flow among these where there is, or was, something to choose; empty where there is none.

        Raises Problem where it could be several.
        """
        rows = [row for row in await self._held(held) if row is not None and row.platform == platform and row.live]
        waiting = [row for row in rows if _waits_for_choice(row)]
        if len(waiting) > 1:
            says = "In this browser there is something to choose in several flows; say which one by its `flow`."
            raise Problem("wrong", says)
        done = waiting or [row for row in rows if row.outcome is not None]
        return _mark(done[0].digest) if len(done) == 1 else ""

    async def ended(self, held: Sequence[str]) -> list[str]:
        """Those of a browser's secrets whose flow nobody can go on with."""
        rows = zip(held, await self._held(held), strict=True)
        return [
            secret
            for secret, row in rows
            if row is None or not row.live or (row.outcome is not None and not _waits_for_choice(row))
        ]

    async def _held(self, held: Sequence[str]) -> list[State | None]:
        return await self._states([{"session": _digest(secret)} for secret in held])

    async def offered(self, platform: str, session: str) -> dict[str, Any]:
        """What came of the flow that this browser is in. Raises Problem where it is in none."""
        return dict((await self._chosen_in(platform, session)).outcome)

    async def choose(self, platform: str, session: str, wanted: Sequence[str], address: str | None) -> dict[str, Any]:
        """Connect what was chosen of what was found. Raises Problem, and it can be done again."""
        row = await self._chosen_in(platform, session)
        await self._entitled(row)
        if row.sealed_accounts is None or not _waits_for_choice(row):
            return dict(row.outcome)
        channel = self._outside.channels[platform]
        sealed = self._vault.open(row.sealed_accounts, _place(row.tenant, row.digest, "accounts"))
        offered = account_selection.unpacked(sealed)
        found = {account_selection.written(account_selection.key_of(platform, a)): a for a in offered}
        chosen = [found[name] for name in dict.fromkeys(wanted) if name in found]
        if not chosen or len(chosen) != len(set(wanted)):
            raise Problem("wrong", "Choose at least one of the accounts that are shown.")
        for account in chosen:
            if why_not := account_selection.why_not(channel, account):
                raise Problem("lacking", why_not)
        return await self._connected(row, Actor(row.actor, address), chosen)

    async def _chosen_in(self, platform: str, session: str) -> State:
        row = await self._state(session=_digest(session)) if session else None
        if row is None or row.platform != platform or row.outcome is None or not row.live:
            raise Problem("wrong", "There is nothing to choose in this browser, or it took too long; start again.")
        return row

    async def _connected(self, row: State, actor: Actor, accounts: Sequence[Account]) -> dict[str, Any]:
        """Prove each, keep them together, and say so. Raises Problem: then none is kept."""
        channel = self._outside.channels[row.platform]
        if channel.take_up is not None:
            app = await self._applications.known(row.platform, row.instance, row.tenant)
            for account in accounts:
                whose = {"platform": row.platform, "instance": row.instance, "account": account.account_id}
                await self._outside.run(channel.take_up(app, account), **whose)
        faultpoint("publish.taken_up")
        ids: dict[account_selection.Key, str] = {}
        async with tenant_transaction(self._pool, row.tenant) as connection:
            # Once more: the platform may have taken its time.
            _require_scope(row, await flow_store.asker(connection, row.tenant, row.actor))
            # In one order, so that no two flows with the same accounts can deadlock.
            for account in sorted(accounts, key=lambda account: account_selection.key_of(row.platform, account)):
                spread = uniform(0.9, 1.0)  # noqa: S311  no secret
                access_seconds = channel.access_life(account.access_seconds)
                id_ = await connection_store.connect(
                    connection,
                    self._vault,
                    row.tenant,
                    str(uuid_utils.uuid7()),
                    row.platform,
                    row.instance,
                    account,
                    access_seconds=access_seconds,
                    refresh_seconds=channel.refresh_life(account.refresh_seconds, account.secrets, first=True),
                    refresh_in=channel.refresh_in(access_seconds, account.secrets, spread),
                    check_in=channel.check_in,
                    since=row.since,
                )
                ids[account_selection.key_of(row.platform, account)] = id_
                shown = {"platform": account.platform or row.platform, "scopes": list(account.scopes)}
                await audit(connection, row.tenant, actor, "connection.connected", id_, **shown)
            names = ", ".join(self._called(row.platform, account) for account in accounts)
            in_order = [ids[account_selection.key_of(row.platform, account)] for account in accounts]
            outcome = _outcome(ok=True, says=f"Connected: {names}.", return_to=row.return_to, connections=in_order)
            if not await flow_store.settle(connection, row.digest, outcome):
                raise Problem("denied", membership_store.FLOW_ENDED, "ended")
        metrics.of(metrics.oauth_flows, row.platform, "connected").inc()
        return outcome

    def _called(self, channel: str, account: Account) -> str:
        """What people call an account, with its platform."""
        platform = account.platform or channel
        return f"{account.username or account.account_id} on {self.titles.get(platform, platform)}"

    async def _failed(self, row: State, actor: Actor, problem: Problem) -> dict[str, Any]:
        outcome = _outcome(ok=False, says=problem.says, return_to=row.return_to, kind=problem.kind)
        async with tenant_transaction(self._pool, row.tenant) as connection:
            await flow_store.settle(connection, row.digest, outcome)
            detail = {"platform": row.platform, "kind": problem.kind, "code": problem.code}
            await audit(connection, row.tenant, actor, "connection.refused", row.platform, **detail)
        metrics.of(metrics.oauth_flows, row.platform, problem.kind).inc()
        return outcome


def _refused(row: State | None, visit: Visit) -> str | None:
    """Why a visit is none of ours; None for one that is."""
    if row is None:
        return "This is not a link of ours, or it is too old; start connecting again."
    if (row.platform, row.instance) != (visit.platform, visit.instance):
        return "This answer is of another platform than the one that was asked; nothing was connected."
    if row.session is None or not hmac.compare_digest(_digest(visit.session), row.session):
        return "This was begun in another browser; start connecting again in this one."
    if not row.live and row.state in ("started", "opened"):
        return "It took too long; start connecting again."
    return None


def _require_scope(row: State, asker: Asker) -> Asker:
    scopes = users.SCOPES.get(asker.role or "", ()) if asker.key_scopes is None else asker.key_scopes
    if NEEDED not in scopes:
        who = _words(row.actor)
        says = f"This was asked for by {who}, who may not connect accounts any more; ask somebody who may."
        raise Problem("denied", says)
    return asker


def _waits_for_choice(row: State) -> bool:
    return row.state == "selecting"


def _outcome(*, ok: bool, says: str, return_to: str, **more: Any) -> dict[str, Any]:
    return {"ok": ok, "says": says, "return_to": return_to, "connections": [], **more}


def _scopes_of(channel: Channel, row: State) -> Sequence[str]:
    """The scopes that a flow asks for; one that the previous release began asks for the usual ones."""
    return channel.scopes if row.scopes is None else row.scopes


def _where(error: BaseException) -> str:
    """File and line of a surprise, in the place of a trace with values in it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""


def _words(actor: str) -> str:
    """Who an actor is, for people."""
    kind, _, name = actor.partition(":")
    return f"the program with the API key {name}" if kind == "key" else name


def _account(found: Mapping[str, Any] | None) -> str:
    """What people call a connection; empty for none."""
    return "" if found is None else str(found["username"] or found["account_id"])


def _secret(verifier: str, browser: str) -> str:
    """What the browser that has a flow holds: new with each flow, and nothing that anybody knew before it had it."""
    return _encoded(hmac.digest(verifier.encode(), f"browser {browser}".encode(), "sha256"))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode(errors="replace")).digest()


def _mark(digest: bytes) -> str:
    return digest.hex()[:32]


def _place(tenant: str, digest: bytes, field: str) -> Place:
    return Place(tenant, f"flow:{digest.hex()}", field)


def _challenge(verifier: str) -> str:
    return _encoded(hashlib.sha256(verifier.encode()).digest())


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
