"""Authorization flows: connecting an account, from the first click to the proof that it can do its work.

A flow is a row in one of the states of ``schema.states.FLOW``. Its OAuth state is random, used once, short-lived and
stored as a digest. Its link shows a page with a button and changes nothing; the first browser in which the button is
pressed is bound to the flow by a secret, and the link's ticket is worth nothing from then on. The code that comes back
is exchanged once, however often a browser brings it; every later visit is shown the outcome of the first.
Where the person has to choose between accounts, the accounts are stored sealed until then.
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
from urllib.parse import urlencode

import structlog
import uuid_utils

from ops.access import membership_store, users
from ops.access.audit_log_store import Actor, audit
from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.tenancy import NO_TENANT, tenant_transaction
from ops.runtime.text import storable
from publish.connections import connection_store
from publish.connections.connection_store import ConnectionDetails, Grant
from publish.oauth import account_selection, flow_store
from publish.oauth.account_selection import ReconnectTarget, Selection
from publish.oauth.client_registration import ClientRegistrations
from publish.oauth.contract import Account, OAuthProvider, scope_list
from publish.oauth.flow_store import Flow, Requester
from publish.oauth.instances import instance_of
from publish.oauth.outcomes import Outcome, Progress
from publish.oauth.protocol import refusal
from publish.oauth.providers import OAuthProviders
from publish.vault.envelope import Vault
from schema.sealing import Place

LIFE_SECONDS = 300
"""A link is valid for so long; once its button is pressed, the browser has so long to come back from the platform."""

CHOICE_SECONDS = 600
"""How long a person has to choose between accounts, from when the browser is back."""

WAIT_SECONDS = 20.0
"""How long a second visit waits for the outcome of the first."""

RETURNS = ("", "/", "/connections")
"""The addresses to which a browser may be redirected in the end. Empty: it is shown a page instead."""

NEEDED = "connections:write"
"""The scope that whoever begins a flow must have, then and at each later step."""

OPEN_FLOWS = 100
"""How many unfinished flows a tenant may have, so that a loop of requests does not fill the table."""

INSTANCE = "Name the server by its host, such as social.example, or by your handle there, such as @me@social.example."
USED = "This link was used before, and works once. If that was not you, tell whoever sent it, and ask for a new one."
TOO_OLD = "This link is too old, or it is not one of ours; ask for a new link, or start connecting again."
NOT_TAKEN = "The platform did not take the token that it had just given; start connecting again."
UNEXPECTED = (
    "Something failed here, and it is not known whether the platform took it; look at your connections, and start again"
    " if it is missing."
)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Callback:
    """What a browser brings back from the platform. Anybody may have written it."""

    platform: str
    instance: str
    state: str
    code: str
    error: str
    session: str
    address: str | None = None

    @property
    def storable(self) -> "Callback":
        """The same with text that can be digested, sent and stored; text that had to be changed matches nothing."""
        texts = ("platform", "instance", "state", "code", "error", "session")
        return replace(self, **{field: storable(getattr(self, field)) for field in texts})


@dataclass(frozen=True, slots=True)
class StartedFlow:
    """``ticket`` opens the flow in one browser; ``id`` is for asking how far it is."""

    ticket: str
    id: str


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """What a person reads before pressing the button.

    ``actor`` asks for ``tenant``; ``account`` is the name of the account to reconnect, empty for a new one; ``until``
    is when the link ends, None for an address that does not end.
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
        """Who asks, in words for a person."""
        return _actor_name(self.actor)


@dataclass(frozen=True, slots=True)
class OpenedFlow:
    """``address`` is where the browser goes; ``mark`` names the flow among several in one browser.

    ``secret`` is held by this browser alone and is required when it comes back.
    """

    address: str
    mark: str
    secret: str


def mark_of(state: str) -> str:
    """Return the name of the flow with this state among the flows of a browser."""
    return _mark(_digest(state))


class AuthorizationFlows:
    def __init__(
        self,
        pool: Pool,
        vault: Vault,
        providers: OAuthProviders,
        clients: ClientRegistrations,
    ) -> None:
        self._pool = pool
        self._vault = vault
        self._providers = providers
        self._clients = clients

    @property
    def titles(self) -> Mapping[str, str]:
        """What people call the platforms."""
        return {platform: provider.title for platform, provider in self._providers.by_platform.items()}

    @property
    def providers(self) -> Mapping[str, OAuthProvider]:
        return self._providers.by_platform

    @property
    def public_url(self) -> str:
        return self._providers.public_url

    @property
    def with_instance(self) -> list[str]:
        """The platforms that consist of many instances."""
        return [name for name, provider in self._providers.by_platform.items() if provider.register is not None]

    # --- to the platform

    async def start(
        self,
        platform: str,
        instance: str,
        tenant: str,
        actor: Actor,
        return_to: str,
        reconnecting: str | None = None,
        optional_scopes: str = "",
    ) -> StartedFlow:
        """Begin a flow, to reconnect the connection ``reconnecting`` if that is given. Raises PlatformError.

        ``optional_scopes``, a list as text, are asked for beside the usual ones.
        """
        request = await self.consent_request(
            platform, instance, tenant, actor, return_to, reconnecting, optional_scopes
        )
        # Refuse now, not after somebody has been at the platform for nothing.
        await self._providers.client.require_allowed(platform, request.instance)
        instance = await self._clients.locate(platform, request.instance, tenant)
        await self._clients.register(platform, instance, tenant)
        state, verifier, ticket = (secrets.token_urlsafe(32) for _ in range(3))
        digest = _digest(state)
        sealed = self._vault.seal(f"{state} {verifier}", _place(tenant, digest, "verifier"))
        uri = self._providers.redirect_uri(platform, instance)
        flow = Flow(
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
            scopes=request.scopes,
        )
        async with tenant_transaction(self._pool, tenant) as connection:
            if await flow_store.unfinished(connection) >= OPEN_FLOWS:
                minutes = LIFE_SECONDS // 60
                message = f"{OPEN_FLOWS} connections were begun and not finished; each ends after {minutes} minutes."
                raise PlatformError("crowded", message)
            return StartedFlow(ticket, await flow_store.begin(connection, flow, LIFE_SECONDS))

    async def consent_request(
        self,
        platform: str,
        instance: str,
        tenant: str,
        actor: Actor,
        return_to: str,
        reconnecting: str | None = None,
        optional_scopes: str = "",
    ) -> ConsentRequest:
        """Return what :meth:`start` with the same arguments would ask for, and begin nothing. Raises PlatformError."""
        provider = self._provider(platform)
        scopes = self._providers.scopes(platform, scope_list(optional_scopes))
        if return_to not in RETURNS:
            raise PlatformError("wrong", f"return_to must be one of {', '.join(filter(None, RETURNS))}.")
        async with tenant_transaction(self._pool, tenant) as connection:
            requester = await flow_store.requester(connection, tenant, actor.name)
            found = None if reconnecting is None else await connection_store.one(connection, reconnecting)
        if reconnecting is not None and (found is None or found.channel != platform):
            raise PlatformError("wrong", "There is no such connection to connect again this way.")
        instance = self._instance(provider, found.instance if found else instance)
        return ConsentRequest(actor.name, tenant, requester.tenant_name, instance, scopes, _account_name(found))

    def address(self, platform: str, ticket: str) -> str:
        """Return the address at which a browser opens a flow."""
        return f"{self._providers.public_url.rstrip('/')}/api/auth/{platform}/open?{urlencode({'ticket': ticket})}"

    async def preview(self, platform: str, ticket: str, browser: str) -> ConsentRequest:
        """Return what the link with this ticket asks for. Change nothing. Raises PlatformError for a link that is over.

        ``browser`` identifies the browser before and after it has opened the flow.
        """
        row = await self._by_ticket(platform, ticket, browser)
        requester = await self._requester(row)
        found = None
        if row.connection is not None:
            async with tenant_transaction(self._pool, row.tenant) as connection:
                found = await connection_store.one(connection, row.connection)
        scopes = _scopes_of(self._provider(platform), row)
        return ConsentRequest(
            row.actor, row.tenant, requester.tenant_name, row.instance, scopes, _account_name(found), row.expires
        )

    async def open(self, platform: str, ticket: str, browser: str) -> OpenedFlow:
        """Bind the flow to this browser and return where to send it. Raises PlatformError where another browser has it.

        A second click in the same browser gets the same answer, so that it does not end the flow.
        """
        row = await self._by_ticket(platform, ticket, browser)
        state, verifier = self._unseal(row)
        provider = self._provider(platform)
        app = await self._clients.app(platform, row.instance, row.tenant)
        address = provider.oauth.authorize_url(app, _scopes_of(provider, row), state, _challenge(verifier))
        secret = _secret(verifier, browser)
        async with tenant_transaction(self._pool, row.tenant) as connection:
            _require_scope(row, await flow_store.requester(connection, row.tenant, row.actor))
            opened = row.session is not None or await flow_store.open_in(
                connection, row.digest, _digest(secret), LIFE_SECONDS
            )
        if not opened:
            await self._by_ticket(platform, ticket, browser, opened=True)
        return OpenedFlow(address, _mark(row.digest), secret)

    async def _by_ticket(self, platform: str, ticket: str, browser: str, *, opened: bool = False) -> Flow:
        """Find the flow of a ticket, open in this browser or, unless ``opened``, in none yet. Raises PlatformError."""
        row = await self._find(ticket=_digest(ticket))
        if row is None or row.platform != platform or (row.session is None and (opened or not row.live)):
            raise PlatformError("wrong", TOO_OLD)
        if row.session is not None:
            own = hmac.compare_digest(_digest(_secret(self._unseal(row)[1], browser)), row.session)
            if not own or row.state != "opened" or not row.live:
                raise PlatformError("wrong", USED)
        return row

    async def _find(self, **by: bytes) -> Flow | None:
        return (await self._find_all([by]))[0]

    async def _find_all(self, wanted: Sequence[Mapping[str, bytes]]) -> list[Flow | None]:
        """Find flows of any tenant by their digests; None for each that does not exist."""
        if not wanted:
            return []
        async with tenant_transaction(self._pool, NO_TENANT) as connection:
            return [await flow_store.find(connection, **by) for by in wanted]

    async def _requester(self, row: Flow) -> Requester:
        """Return who began a flow. Raises PlatformError where they may not connect accounts any more."""
        async with tenant_transaction(self._pool, row.tenant) as connection:
            return _require_scope(row, await flow_store.requester(connection, row.tenant, row.actor))

    def _unseal(self, row: Flow) -> tuple[str, str]:
        """Return the state of a flow and its code verifier."""
        place = _place(row.tenant, row.digest, "verifier")
        state, _, verifier = self._vault.open(row.sealed_verifier, place).partition(" ")
        return state, verifier

    def _provider(self, platform: str) -> OAuthProvider:
        provider = self._providers.by_platform.get(platform)
        if provider is None:
            known = ", ".join(self._providers.by_platform)
            raise PlatformError("wrong", f"There is no platform {platform!r}; known are {known}.")
        return provider

    def _instance(self, provider: OAuthProvider, given: str) -> str:
        if provider.register is None:
            return ""
        host = instance_of(given)
        if host is None:
            raise PlatformError("wrong", INSTANCE)
        return host

    async def progress(self, tenant: str, id_: str) -> Progress | None:
        """Return how far a flow is; None where there is none, or no longer."""
        async with tenant_transaction(self._pool, tenant) as connection:
            found = await flow_store.progress(connection, id_)
        if found is None:
            return None
        live, outcome = found
        if outcome is None or outcome.kind == "choose":
            if live:
                return Progress("waiting", "The browser has not come back yet.")
            return Progress("failed", "It took too long; start connecting again.")
        return Progress("connected" if outcome.ok else "failed", outcome.message, outcome.connections)

    # --- back from the platform

    async def complete(self, callback: Callback) -> Outcome:
        """Exchange the code. Return the outcome of the flow, or that of an earlier callback. Raises no PlatformError.

        Where the person has to choose first, the outcome is not ``ok`` yet, and its ``kind`` is choose.
        """
        callback = callback.storable
        row = await self._find(digest=_digest(callback.state)) if callback.state else None
        refused = _refusal(row, callback)
        if refused is not None or row is None:
            metrics.of(metrics.oauth_flows, self._label(callback.platform), "refused").inc()
            return Outcome(ok=False, message=refused or "")
        if row.outcome is not None:
            return row.outcome
        async with tenant_transaction(self._pool, row.tenant) as connection:
            since = await flow_store.claim_code(connection, row.digest)
            requester = await flow_store.requester(connection, row.tenant, row.actor)
        if since is None:
            return await self._await_outcome(row)
        faultpoint("publish.claimed")
        return await self._exchange(replace(row, since=since), requester, callback)

    def _label(self, platform: str) -> str:
        return platform if platform in self._providers.by_platform else "unknown"

    async def _await_outcome(self, row: Flow) -> Outcome:
        """Wait for the outcome of the first callback. It stays unknown if the process that had the code died."""
        end = asyncio.get_running_loop().time() + WAIT_SECONDS
        while asyncio.get_running_loop().time() < end:
            found = await self._find(digest=row.digest)
            if found is not None and found.outcome is not None:
                return found.outcome
            await asyncio.sleep(0.2)
        message = (
            "It is not known whether the platform took it; look at your connections, and start again if it is missing."
        )
        return Outcome(ok=False, message=message, return_to=row.return_to)

    async def _exchange(self, row: Flow, requester: Requester, callback: Callback) -> Outcome:
        """Exchange a claimed code. Nobody can send it again, so every path through here stores an outcome."""
        actor = Actor(row.actor, callback.address)
        try:
            _require_scope(row, requester)
            accounts = await self._accounts(row, callback)
            faultpoint("publish.exchanged")
            decided = await self._decide(row, accounts)
            if isinstance(decided, Selection):
                return await self._offer(row, accounts, decided)
            return await self._connect(row, actor, decided)
        except PlatformError as found:
            # Nothing is connected yet whose grant could be over: the platform refuses the new token.
            problem = PlatformError("wrong", NOT_TAKEN, found.code) if found.kind == "grant" else found
            log.info("oauth.failed", platform=row.platform, kind=problem.kind, code=problem.code)
            return await self._fail(row, actor, problem)
        except Exception as error:  # noqa: BLE001
            # Not the error itself: what PostgreSQL or the vault refuses may stand in its text.
            log.error("oauth.unexpected", platform=row.platform, error=describe(error), where=_where(error))  # noqa: TRY400
            return await self._fail(row, actor, PlatformError("transient", UNEXPECTED, "unexpected"))

    async def _accounts(self, row: Flow, callback: Callback) -> list[Account]:
        """Send the code to the platform and return the accounts that could be connected. Raises PlatformError."""
        provider = self._providers.by_platform[row.platform]
        if callback.error or not callback.code:
            raise refusal(callback.error, provider.product_variable.name if provider.product_variable else "")
        verifier = self._unseal(row)[1]
        app = await self._clients.app(row.platform, row.instance, row.tenant)
        app = replace(app, scopes=_scopes_of(provider, row))
        accounts = await self._providers.client.run(
            provider.connect(app, callback.code, verifier), platform=row.platform, instance=row.instance
        )
        if not accounts or not all(account.account_id for account in accounts):
            raise PlatformError("transient", "The platform did not say whose account it is; try again later.")
        return accounts

    async def _decide(self, row: Flow, accounts: Sequence[Account]) -> list[Account] | Selection:
        target = None
        async with tenant_transaction(self._pool, row.tenant) as connection:
            known = await connection_store.known(connection, row.platform, row.instance)
            if row.connection is not None and (found := await connection_store.one(connection, row.connection)):
                target = ReconnectTarget((found.platform, found.account_id), found.username)
        provider = self._providers.by_platform[row.platform]
        return account_selection.decide(row.platform, provider, accounts, target, known)

    async def _offer(self, row: Flow, accounts: Sequence[Account], selection: Selection) -> Outcome:
        """Store the accounts, sealed, until the person has chosen."""
        choices = account_selection.choices(
            row.platform, self._providers.by_platform[row.platform], accounts, selection
        )
        outcome = Outcome(
            ok=False, message=selection.message, return_to=row.return_to, kind="choose", choices=tuple(choices)
        )
        sealed = self._vault.seal(account_selection.serialized(accounts), _place(row.tenant, row.digest, "accounts"))
        async with tenant_transaction(self._pool, row.tenant) as connection:
            await flow_store.offer(connection, row.digest, outcome, sealed, CHOICE_SECONDS)
        return outcome

    async def waiting(self, platform: str, held: Sequence[str]) -> str:
        """Return the mark of the flow, of those held, in which there is or was something to choose; empty for none.

        Raises PlatformError where it could be several.
        """
        rows = [row for row in await self._held(held) if row is not None and row.platform == platform and row.live]
        selecting = [row for row in rows if row.state == "selecting"]
        if len(selecting) > 1:
            message = "In this browser there is something to choose in several flows; say which one by its `flow`."
            raise PlatformError("wrong", message)
        done = selecting or [row for row in rows if row.outcome is not None]
        return _mark(done[0].digest) if len(done) == 1 else ""

    async def finished(self, held: Sequence[str]) -> list[str]:
        """Return those of a browser's secrets whose flow cannot continue."""
        rows = zip(held, await self._held(held), strict=True)
        return [secret for secret, row in rows if row is None or not row.live or row.state in ("connected", "failed")]

    async def _held(self, held: Sequence[str]) -> list[Flow | None]:
        return await self._find_all([{"session": _digest(secret)} for secret in held])

    async def outcome(self, platform: str, session: str) -> Outcome:
        """Return the outcome of the flow that this browser is in. Raises PlatformError where it is in none."""
        return (await self._in_browser(platform, session))[1]

    async def select(self, platform: str, session: str, wanted: Sequence[str], address: str | None) -> Outcome:
        """Connect the chosen accounts. Raises PlatformError, and can be called again then."""
        row, outcome = await self._in_browser(platform, session)
        await self._requester(row)
        if row.sealed_accounts is None or row.state != "selecting":
            return outcome
        provider = self._providers.by_platform[platform]
        sealed = self._vault.open(row.sealed_accounts, _place(row.tenant, row.digest, "accounts"))
        offered = account_selection.deserialized(sealed)
        found = {account_selection.form_value(account_selection.key_of(platform, a)): a for a in offered}
        chosen = [found[name] for name in dict.fromkeys(wanted) if name in found]
        if not chosen or len(chosen) != len(set(wanted)):
            raise PlatformError("wrong", "Choose at least one of the accounts that are shown.")
        for account in chosen:
            if reason := account_selection.reason_unusable(provider, account):
                raise PlatformError("lacking", reason)
        return await self._connect(row, Actor(row.actor, address), chosen)

    async def _in_browser(self, platform: str, session: str) -> tuple[Flow, Outcome]:
        """Return the flow that is open in this browser, and its outcome so far. Raises PlatformError for none."""
        row = await self._find(session=_digest(session)) if session else None
        if row is None or row.platform != platform or row.outcome is None or not row.live:
            raise PlatformError(
                "wrong", "There is nothing to choose in this browser, or it took too long; start again."
            )
        return row, row.outcome

    async def _connect(self, row: Flow, actor: Actor, accounts: Sequence[Account]) -> Outcome:
        """Verify each account and subscribe to its events, then store all. Raises PlatformError: none is stored."""
        provider = self._providers.by_platform[row.platform]
        if provider.verify_and_subscribe is not None:
            app = await self._clients.app(row.platform, row.instance, row.tenant)
            for account in accounts:
                steps = provider.verify_and_subscribe(app, account)
                await self._providers.client.run(
                    steps, platform=row.platform, instance=row.instance, account=account.account_id
                )
        faultpoint("publish.verified")
        ids: dict[account_selection.Key, str] = {}
        async with tenant_transaction(self._pool, row.tenant) as connection:
            # Checked again: the platform may have taken long to answer.
            _require_scope(row, await flow_store.requester(connection, row.tenant, row.actor))
            grants = _grants(row, accounts) if provider.shares_tokens else {}
            for grant in sorted(grants, key=lambda grant: grant.id):
                await connection_store.lock_grant(connection, grant)
            # In one order, so that no two flows with the same accounts can deadlock.
            for account in sorted(accounts, key=lambda account: account_selection.key_of(row.platform, account)):
                spread = uniform(0.9, 1.0)  # noqa: S311  no secret
                access_seconds = provider.access_life(account.access_seconds)
                id_ = await connection_store.connect(
                    connection,
                    self._vault,
                    row.tenant,
                    str(uuid_utils.uuid7()),
                    row.platform,
                    row.instance,
                    account,
                    access_seconds=access_seconds,
                    refresh_seconds=provider.refresh_life(account.refresh_seconds, account.secrets, first=True),
                    refresh_in=provider.refresh_in(access_seconds, account.secrets, spread),
                    check_in=provider.check_in,
                    since=row.since,
                )
                ids[account_selection.key_of(row.platform, account)] = id_
                shown = {"platform": account.platform or row.platform, "scopes": list(account.scopes)}
                await audit(connection, row.tenant, actor, "connection.connected", id_, **shown)
            for grant, account in grants.items():
                id_ = ids[account_selection.key_of(row.platform, account)]
                await connection_store.share_tokens(
                    connection, self._vault, grant, id_, account.secrets, authorized=list(ids.values())
                )
            names = ", ".join(self._name(row.platform, account) for account in accounts)
            in_order = tuple(ids[account_selection.key_of(row.platform, account)] for account in accounts)
            outcome = Outcome(ok=True, message=f"Connected: {names}.", return_to=row.return_to, connections=in_order)
            if not await flow_store.settle(connection, row.digest, outcome):
                raise PlatformError("denied", membership_store.FLOW_ENDED, "ended")
        metrics.of(metrics.oauth_flows, row.platform, "connected").inc()
        return outcome

    def _name(self, login_platform: str, account: Account) -> str:
        """Return what people call an account, with its platform."""
        platform = account.platform or login_platform
        return f"{account.username or account.account_id} on {self.titles.get(platform, platform)}"

    async def _fail(self, row: Flow, actor: Actor, problem: PlatformError) -> Outcome:
        outcome = Outcome(ok=False, message=problem.user_message, return_to=row.return_to, kind=problem.kind)
        async with tenant_transaction(self._pool, row.tenant) as connection:
            await flow_store.settle(connection, row.digest, outcome)
            detail = {"platform": row.platform, "kind": problem.kind, "code": problem.code}
            await audit(connection, row.tenant, actor, "connection.refused", row.platform, **detail)
        metrics.of(metrics.oauth_flows, row.platform, problem.kind).inc()
        return outcome


def _grants(row: Flow, accounts: Sequence[Account]) -> dict[Grant, Account]:
    """Return the grants of these accounts, each with one of them."""
    return {
        Grant(row.tenant, row.platform, row.instance, account.grant_id or account.account_id): account
        for account in accounts
    }


def _refusal(row: Flow | None, callback: Callback) -> str | None:
    """Return why a callback does not belong to this flow and browser; None for one that does."""
    if row is None:
        return "This is not a link of ours, or it is too old; start connecting again."
    if (row.platform, row.instance) != (callback.platform, callback.instance):
        return "This answer is of another platform than the one that was asked; nothing was connected."
    if row.session is None or not hmac.compare_digest(_digest(callback.session), row.session):
        return "This was begun in another browser; start connecting again in this one."
    if not row.live and row.state in ("started", "opened"):
        return "It took too long; start connecting again."
    return None


def _require_scope(row: Flow, requester: Requester) -> Requester:
    """Raise PlatformError where whoever began the flow may not connect accounts any more."""
    granted = requester.key_scopes
    scopes = users.SCOPES.get(requester.role or "", ()) if granted is None else granted
    if NEEDED not in scopes:
        who = _actor_name(row.actor)
        message = f"This was asked for by {who}, who may not connect accounts any more; ask somebody who may."
        raise PlatformError("denied", message)
    return requester


def _scopes_of(provider: OAuthProvider, row: Flow) -> Sequence[str]:
    """Return the scopes that a flow asks for; one that the previous release began asks for the usual ones."""
    return provider.scopes if row.scopes is None else row.scopes


def _where(error: BaseException) -> str:
    """Return file and line of an unexpected error, instead of a traceback that may hold values."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""


def _actor_name(actor: str) -> str:
    """Return who an actor is, in words for a person."""
    kind, _, name = actor.partition(":")
    return f"the program with the API key {name}" if kind == "key" else name


def _account_name(found: ConnectionDetails | None) -> str:
    """Return what people call a connection; empty for none."""
    return "" if found is None else found.username or found.account_id


def _secret(verifier: str, browser: str) -> str:
    """Return the secret of the browser that opened a flow: new for each flow, and known to nobody before."""
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
