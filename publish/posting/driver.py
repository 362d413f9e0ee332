"""Run the machines of targets: each request with its intent stored before it, and its outcome at once after.

The right to work on a target is a lease in its row. Whoever holds it stores that a request is about to be sent, sends
it, and stores what came of it; each of these names the fence of the lease. A worker that finds a request whose outcome
nobody stored takes it for unknown. It is never sent again for that: the machine's table says what to do, and only what
leaves nothing visible is asked again.

What this cannot prevent: a process that is stopped between its last look at the clock and the system call that sends
the request, for longer than its lease, sends it late. ``SEND_SECONDS`` makes that a matter of microseconds; a machine
that publishes by an id which the platform knows already is safe even then.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import asyncpg
import structlog

from ops.access.audit_log_store import WORKER, audit
from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.http import LEAST_BYTES_PER_SECOND, Unreachable
from ops.runtime.periodic import stopped_or_woken
from ops.runtime.platform_client import TRIPPED, PlatformClient
from ops.runtime.platform_protocol import FilePart, JsonObject, PlatformError, Request, Response
from ops.runtime.ports import AppendFacts, Fact
from ops.runtime.rate_limits import HELD
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.oauth.client_registration import ClientRegistrations
from publish.oauth.contract import App
from publish.posting import contract as posting_contract
from publish.posting import restore_store, target_store
from publish.posting.contract import (
    AFTERWARDS,
    CARD_FILE,
    Doubt,
    Effect,
    Evidence,
    Failed,
    Hold,
    Job,
    JsonValue,
    Machine,
    Media,
    PostingPlatform,
    Retry,
    Step,
    TokenRefused,
    Unknown,
    Verdict,
    allowed,
)
from publish.posting.decision import (
    LOG_DIGESTS,
    RESTORED_SINCE,
    VISIBLE,
    Outcome,
    decide,
    shown_evidence,
    without_asking,
)
from publish.posting.errors import not_connected
from publish.posting.target_store import Target
from publish.schedule import lateness
from publish.vault.envelope import Vault, VaultError
from schema.sealing import target_place
from schema.states import TargetState

LOOK_SECONDS = 1.0
AT_ONCE = 8
"""Targets that one worker works on side by side, each of another account."""

MOST_STEPS = 2000
"""Requests of one lease. A chunked upload has 1,000 at most; a machine that goes round in a circle is stopped."""

SEND_SECONDS = 5.0
"""A request is not sent later than this after its intent was stored: its lease could end before its answer comes."""

SEALED = "The keys of this service do not fit what it keeps of the account; whoever runs it has to see to that."

ENDS = (
    *(TargetState.PUBLISHED, TargetState.PUBLISHED_ID_UNKNOWN, TargetState.AWAITING_PERSON),
    *(TargetState.UNCONFIRMED, TargetState.FAILED, TargetState.MISSED),
)
"""States in which the work on a target ends, or waits for a person; they are counted and recorded."""

log = structlog.get_logger()


class MediaLibrary(Protocol):
    """What publishing needs of the files of posts."""

    async def describe(self, connection: asyncpg.Connection, ids: Sequence[str]) -> Mapping[str, Media]:
        """Return what is known of files by id; one that is gone is left out."""

    async def digests(self, connection: asyncpg.Connection, ids: Sequence[str]) -> Mapping[str, bytes]:
        """Return the SHA-256 of files by id; one that is gone is left out."""

    async def link(
        self, connection: asyncpg.Connection, tenant: str, media_id: str, target_id: str, attempt: int
    ) -> str:
        """Return an address where a platform may fetch a file for one attempt at one target."""

    async def fetched(self, connection: asyncpg.Connection, target_id: str, attempt: int) -> Mapping[str, int]:
        """Return how many bytes of each file were fetched at the addresses of an attempt, by id."""

    async def revoke(self, connection: asyncpg.Connection, target_id: str) -> None:
        """End all addresses that were made for a target."""

    def read(self, tenant: str, part: FilePart) -> AsyncIterator[bytes]:
        """Read a part of a file, a piece at a time."""


class Tokens(Protocol):
    """Gives tokens for connected accounts."""

    async def access(self, tenant: str, id_: str) -> Mapping[str, str]:
        """Return the secrets of a connection by name, refreshed if they end soon. Raises PlatformError."""

    async def recheck(self, tenant: str, id_: str) -> str:
        """Ask the platform what a connection may do, if it was not just asked, and store that; return the outcome."""

    async def renew(self, tenant: str, id_: str, refused: Mapping[str, str]) -> bool:
        """Refresh or check a token that the platform did not take; return whether there is another now.

        Raises PlatformError where the grant is over.
        """


@dataclass(frozen=True, slots=True)
class Driver:
    """Works on targets. ``platforms`` are those to which posts can be published, by name."""

    pool: Pool
    vault: Vault
    platforms: Mapping[str, PostingPlatform]
    client: PlatformClient
    clients: ClientRegistrations
    tokens: Tokens
    media: MediaLibrary
    append: AppendFacts

    def __post_init__(self) -> None:
        for name in self.platforms:  # a first one is an increase only from a zero
            metrics.of(metrics.post_unknown_errors, name)

    async def sweep(self, stop: asyncio.Event, woken: asyncio.Event | None = None) -> None:
        """Work on what is due until ``stop`` is set; what is under way then is finished, or taken up by another.

        It looks for work every ``LOOK_SECONDS``, and at once when ``woken`` is set.
        """
        woken = woken or asyncio.Event()
        while not stop.is_set():
            try:
                worked = await self.drain()
            except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
                log.warning("posting.round_failed", error=describe(error))
                worked = 0
            await stopped_or_woken(stop, woken, 0 if worked else LOOK_SECONDS)

    async def drain(self) -> int:
        """Work on targets that are due, side by side, and return their number."""
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            if not await restore_store.is_known(connection):
                await self._hold(connection)
            found = await target_store.claim(connection, AT_ONCE)
            informed = await self._with_new_evidence(connection)
        worked = (self._guarded(self.work, *each) for each in found)
        applied = (self._guarded(self.apply_log, *each) for each in informed)
        await asyncio.gather(*worked, *applied)
        return len(found) + len(informed)

    async def _with_new_evidence(self, connection: asyncpg.Connection) -> list[tuple[str, str, int]]:
        """Lease targets of which the log has something new."""
        listening, found = await target_store.listening(connection), []
        for name, platform in self.platforms.items():
            at = [(kind, step) for of, kind, step in listening if of == name]
            for evidence in platform.evidence:
                if any(evidence.is_for(kind, step) for kind, step in at):
                    found += await target_store.claim_with_evidence(connection, name, evidence, AT_ONCE)
        return found

    async def _hold(self, connection: asyncpg.Connection) -> None:
        """Post nothing that was there when the database was restored, or taken over, until it was looked for."""
        searches = {
            name: {kind: machine.search for kind, machine in platform.machines.items() if machine.search}
            for name, platform in self.platforms.items()
        }
        held = await restore_store.hold(connection, searches)
        if held:
            log.warning("posting.restored", targets=held)

    async def _guarded(self, do: Callable[[str, str, int], Awaitable[None]], tenant: str, id_: str, fence: int) -> None:
        try:
            await do(tenant, id_, fence)
        except Exception as error:  # noqa: BLE001  one target's trouble is not the others'; its lease ends by itself
            log.warning("posting.target_failed", target=id_, error=describe(error))

    async def work(self, tenant: str, id_: str, fence: int) -> None:
        """Take a leased target as far as it goes at once."""
        for _ in range(MOST_STEPS):
            faultpoint("posting.leased")
            async with tenant_transaction(self.pool, tenant) as connection:
                target = await target_store.load(connection, id_, fence)
            if target is None:
                return
            machine = self.platforms[target.platform].machines.get(target.kind)
            if machine is None:
                message = f"This release publishes no {target.kind} there; choose another kind."
                await self._left(target, Failed("unknown_kind", message))
                return
            if not await self._advance(target, machine):
                return
        log.error("posting.circle", target=id_)

    async def apply_log(self, tenant: str, id_: str, fence: int) -> None:
        """Take a leased target as far as the log takes it, which has something new of it."""
        faultpoint("posting.leased")
        async with tenant_transaction(self.pool, tenant) as connection:
            target = await target_store.load(connection, id_, fence)
        machine = None if target is None else self.platforms[target.platform].machines.get(target.kind)
        if target is None or machine is None or target.step not in machine.steps:
            return
        digests, verdict = await self._read_log(target, machine.steps[target.step])
        if verdict is None:
            asks = any(evidence.asks for evidence in self._evidence(target))
            async with tenant_transaction(self.pool, tenant) as connection:
                await target_store.note_digests(connection, target, digests, asks=asks)
            faultpoint("posting.outcome_saved")
            return
        if await self._store(target, decide(target, machine, _with_digests(verdict, digests)), verdict):
            await self.work(tenant, id_, fence)

    def _evidence(self, target: Target) -> list[Evidence]:
        return [each for each in self.platforms[target.platform].evidence if each.is_for(target.kind, target.step)]

    async def _read_log(self, target: Target, step: Step) -> tuple[dict[str, JsonValue], Verdict | None]:
        """Return digests of what the log has of a target, by table, and what that means; None where nothing."""
        digests: dict[str, JsonValue] = {}
        seen: dict[str, Sequence[JsonObject]] = {}
        evidence = self._evidence(target)
        if not evidence:
            return digests, None
        async with tenant_transaction(self.pool, target.tenant) as connection:
            for each in evidence:
                digests[each.table], seen[each.table] = await target_store.seen(connection, target, each)
            rivals, bound = await target_store.rivals(connection, target), await target_store.bound(connection, target)
            known = await self.media.describe(connection, [file.media_id for file in target.files])
        if step.read_log is None or not any(seen.values()):
            return digests, None
        media = [known[file.media_id] for file in target.files if file.media_id in known]
        job = replace(_job(target, NO_APP, bound), media=media, seen=seen, rivals=rivals)
        try:
            return digests, step.read_log(job)
        except TRIPPED as error:
            log.warning("posting.unreadable", target=target.id, step=target.step, error=type(error).__name__)
            return digests, None

    async def _advance(self, target: Target, machine: Machine) -> bool:
        """Do one step of a target; return whether there is another to do at once."""
        if target.state == TargetState.SCHEDULED:
            return await self._begin(target, machine)
        verdict: Verdict | None
        if target.step not in machine.steps:
            message = "This release does not know the step at which an earlier one left it; try again."
            return await self._left(target, Failed("unknown_step", message, retryable=True))
        step = machine.steps[target.step]
        digests: dict[str, JsonValue] = {}
        verdict = without_asking(target, step)
        if verdict is None and step.effect is Effect.READ:
            digests, verdict = await self._read_log(target, step)
        if verdict is None:
            secrets: dict[str, str] = {}
            verdict = await self._verdict(target, step, secrets)
            target = replace(target, sealed=self._sealed(target, secrets) or target.sealed)
        if verdict is None:
            return False
        stored = await self._store(target, decide(target, machine, _with_digests(verdict, digests)), verdict)
        if isinstance(verdict, Failed) and verdict.code == "scope_not_authorized" and not verdict.unasked:
            await self._check(target)
        return stored

    async def _check(self, target: Target) -> None:
        """Have the connection of a target checked that may have lost what it was allowed, so that people are told of it
        now, and no other post of it is tried.
        """
        checked_first = self.platforms[target.platform].checked_first
        if checked_first is None or not checked_first(target.profile):
            return
        outcome = await self.tokens.recheck(target.tenant, target.connection_id)
        log.info("posting.rechecked", connection=target.connection_id, outcome=outcome)

    async def _verdict(self, target: Target, step: Step, secrets: dict[str, str]) -> Verdict | None:
        """Ask what the step asks; None where the lease was lost. ``secrets`` get what the target keeps sealed."""
        try:
            secrets |= target.secrets(self.vault)
            job = await self._job(target, secrets, links=step.effect is not Effect.READ)
        except PlatformError as problem:
            return _of_problem(problem)
        except VaultError:
            log.exception("posting.vault_failed", target=target.id)
            return Hold(300.0, "vault", SEALED)
        if step.deadline is not None and step.overdue is not None and job.seconds_here > step.deadline:
            return step.overdue(job)
        verdict = await self._ask(target, step, job)
        return await self._renewed(target, job) if isinstance(verdict, TokenRefused) else verdict

    async def _begin(self, target: Target, machine: Machine) -> bool:
        due, superseded = target.due_at or target.now, target.superseded
        decision = lateness.decide(due, target.now, target.late_policy, superseded=superseded)
        if decision in ("missed", "ask"):
            asks = decision == "ask" or (target.late_policy.when_late != "skip" and not superseded)
            message = "Its time had passed when this service could work on it" + (
                "; publish it now or cancel it."
                if asks
                else ", and a later post of its schedule is due as well, so it was left out."
                if superseded
                else ", so it was left out, as it says."
            )
            outcome = Outcome(
                state=TargetState.MISSED, step="", seconds=None, code="missed", message=message, retryable=asks
            )
        elif not target.approved:
            outcome = Outcome(state=TargetState.AWAITING_APPROVAL, step="", seconds=None)
        elif not target.connected:
            message = f"{not_connected(target.reason)} Connect it again, and try again."
            outcome = Outcome(
                state=TargetState.FAILED,
                step="",
                seconds=None,
                code="access_token_invalid",
                message=message,
                retryable=True,
            )
        elif lacking := self._lacking(target):
            outcome = Outcome(
                state=TargetState.FAILED,
                step="",
                seconds=None,
                code="scope_not_authorized",
                message=lacking,
                retryable=True,
            )
        elif target.waiting_parent:
            outcome = Outcome(state=TargetState.SCHEDULED, step="", seconds=None)
        elif RESTORED_SINCE in target.kept:
            return await self._look_first(target, machine)
        else:
            first = machine.beginning(files=bool(target.files or target.link.get(CARD_FILE)))
            async with tenant_transaction(self.pool, target.tenant) as connection:
                return await target_store.begin(connection, target, first, machine.steps[first].state)
        outcome = replace(outcome, kept=target.kept)
        async with tenant_transaction(self.pool, target.tenant) as connection:
            if await target_store.save_outcome(connection, target, outcome, release=True):
                await self._note(connection, target, outcome)
        return False

    async def _look_first(self, target: Target, machine: Machine) -> bool:
        """Have a target looked for that may have been posted before the database was restored; nothing is sent."""
        outcome = Outcome(state=TargetState.UNCONFIRMED, step=machine.search, seconds=None, code="restored")
        async with tenant_transaction(self.pool, target.tenant) as connection:
            if await restore_store.look_first(connection, target.id, target.fence, machine.search):
                await self._note(connection, target, outcome)
        return False

    def _lacking(self, target: Target) -> str:
        """Return what the account has not allowed that the target needs, and what to do; empty if nothing."""
        permission = self.platforms[target.platform].permissions.get(target.kind)
        missing = permission.missing(target.scopes) if permission is not None else ""
        if permission is None or not missing:
            return ""
        return f"The account has not allowed what this needs: {missing}. {permission.remedy}"

    async def _job(self, target: Target, sealed: dict[str, str], *, links: bool) -> Job:
        """Raises PlatformError where there is no token, or a file is not what it was.

        ``links``: the platform may be told where to fetch the files.
        """
        provider_app = await self.clients.app(target.login_platform, target.instance, target.tenant)
        secrets = await self.tokens.access(target.tenant, target.connection_id)
        async with tenant_transaction(self.pool, target.tenant) as connection:
            bound = await target_store.bound(connection, target)
            media, others = await self._media(connection, target, sealed, links=links)
        return replace(_job(target, provider_app, bound), secrets=secrets, sealed=sealed, media=media, others=others)

    async def _media(
        self, connection: asyncpg.Connection, target: Target, sealed: dict[str, str], *, links: bool
    ) -> tuple[Sequence[Media], Mapping[str, Media]]:
        """Return the files of the post in order, and those that options name by id; raises PlatformError.

        ``sealed`` gets the addresses that are made for them: they are one attempt's, so that what was fetched there
        tells whether the platform ever began with it.
        """
        named = [str(value) for name, value in target.options.items() if name.endswith("_media_id") and value]
        named += [card] if (card := target.link.get(CARD_FILE)) else []
        ids = [*(file.media_id for file in target.files), *named]
        if not ids:
            return (), {}
        known, digests = await self.media.describe(connection, ids), await self.media.digests(connection, ids)
        for number, file in enumerate(target.files, 1):
            if digests.get(file.media_id) != file.sha256:
                message = f"File {number} is not the one that was attached any more; attach it again."
                raise PlatformError("wrong", message, "media_changed")
        fetched = await self.media.fetched(connection, target.id, target.attempt)
        for id_ in ids:
            name = f"url:{target.attempt}:{id_}"
            if links and id_ in known and name not in sealed:
                sealed[name] = await self.media.link(connection, target.tenant, id_, target.id, target.attempt)
        found = {
            id_: replace(media, url=sealed.get(f"url:{target.attempt}:{id_}", ""), fetched=fetched.get(id_, 0))
            for id_, media in known.items()
        }
        shown = [replace(found[file.media_id], alt_text=file.alt_text) for file in target.files]
        return shown, {id_: found[id_] for id_ in named if id_ in found}

    async def _ask(self, target: Target, step: Step, job: Job) -> Verdict | None:
        """Send the request of a step and return what came of it; None where the lease was lost before it was sent."""
        try:
            request = step.ask(job)
        except TRIPPED as error:
            log.exception("posting.cannot_ask", target=target.id, step=target.step, error=type(error).__name__)
            return Failed("internal", "This service could not make the request; report this target.", unasked=True)
        if step.effect is not Effect.READ and not await self._may_send(target, step, job, request):
            return None
        begun = time.monotonic()
        try:
            response = await self._send(target, request)
            faultpoint("posting.asked")
            return step.read(job, response)
        except PlatformError as problem:
            return _of_problem(problem)
        except Unreachable as error:
            return Unknown(str(error))
        except TRIPPED as error:
            log.warning("posting.unreadable", target=target.id, step=target.step, error=type(error).__name__)
            return Unknown("the platform answered in a way that it does not document")
        finally:
            metrics.step_seconds.labels(target.platform).observe(time.monotonic() - begun)

    async def _may_send(self, target: Target, step: Step, job: Job, request: Request) -> bool:
        """Store that a request is about to be sent; return whether it may be."""
        before, seconds = time.monotonic(), _bytes_of(request) / LEAST_BYTES_PER_SECOND
        sealed = self._sealed(target, job.sealed)
        visible = step.effect in VISIBLE
        async with tenant_transaction(self.pool, target.tenant) as connection:
            stored = await target_store.save_intent(connection, target, sealed, visible=visible, seconds=seconds)
        faultpoint("posting.intent_saved")
        # Where it took too long, whoever finds the target next takes the outcome for unknown.
        return stored is not None and time.monotonic() - before < SEND_SECONDS

    async def _send(self, target: Target, request: Request) -> Response:
        return await self.client.send(
            request,
            lambda part: self.media.read(target.tenant, part),
            platform=target.login_platform,
            instance=target.instance,
            account=target.account_id,
        )

    def _sealed(self, target: Target, secrets: Mapping[str, str]) -> bytes | None:
        if not secrets:
            return None
        return self.vault.seal(json.dumps(dict(secrets)), target_place(target.tenant, target.id))

    def _resealed(self, target: Target, verdict: Verdict) -> bytes | None:
        """Seal what a target keeps with what a verdict adds; what no key opens stays as it is until its key is back."""
        try:
            return self._sealed(target, {**target.secrets(self.vault), **verdict.seal})
        except VaultError:
            return target.sealed

    async def _store(self, target: Target, outcome: Outcome, verdict: Verdict) -> bool:
        """Store what becomes of a target; return whether there is another step to do at once."""
        outcome = replace(outcome, sealed=None if outcome.seconds is None else self._resealed(target, verdict))
        try:
            stored = await self._stored(target, outcome, verdict.facts)
        except asyncpg.UniqueViolationError:
            outcome = _of_another(target, outcome)
            stored = await self._stored(target, outcome, ())
        faultpoint("posting.outcome_saved")
        metrics.of(metrics.target_steps, target.platform, type(verdict).__name__.lower()).inc()
        return stored and outcome.seconds == 0

    async def _left(self, target: Target, failed: Failed) -> bool:
        """Leave a target with which this release cannot go on.

        What is published stays so, what may be there is a question to a person, and anything else failed.
        """
        outcome = Outcome(state=target.state, step="", seconds=None, kept=target.kept)
        if target.state not in AFTERWARDS:
            unsure = target.intent_at is not None or target.state == TargetState.UNCONFIRMED
            outcome = replace(
                outcome,
                state=TargetState.UNCONFIRMED if unsure else TargetState.FAILED,
                code="unconfirmed" if unsure else failed.code,
                message="This release does not know how far it had come; look there." if unsure else failed.message,
                retryable=failed.retryable and not unsure,
                evidence=shown_evidence(target, Doubt(failed.message)) if unsure else (),
            )
        return await self._store(target, outcome, failed)

    async def _stored(self, target: Target, outcome: Outcome, facts: Sequence[posting_contract.Fact]) -> bool:
        """Store an outcome with all that follows from it, in one transaction. False where the lease was lost."""
        async with tenant_transaction(self.pool, target.tenant) as connection:
            if not await target_store.save_outcome(connection, target, outcome, release=outcome.seconds != 0):
                return False
            await self.append(connection, [_named(target, fact) for fact in facts])
            if outcome.published:
                await target_store.wake_children(connection, target)
            if outcome.end_links:
                await self.media.revoke(connection, target.id)
            if outcome.state != target.state:
                await self._note(connection, target, outcome)
        return True

    async def _note(self, connection: asyncpg.Connection, target: Target, outcome: Outcome) -> None:
        """Count the end of a target, and record it in the audit log: publishing acts in somebody's name."""
        if outcome.state not in ENDS:
            return
        metrics.of(metrics.targets, target.platform, str(outcome.state)).inc()
        detail = {"platform": target.platform, "kind": target.kind, "code": outcome.code or ""}
        await audit(connection, target.tenant, WORKER, f"post.{outcome.state}", target.post_id, **detail)
        log.info("posting.ended", target=target.id, platform=target.platform, state=outcome.state, code=outcome.code)

    async def _renewed(self, target: Target, job: Job) -> Verdict:
        """Have the token checked or refreshed, away from the step that met it, which is asked again then."""
        try:
            another = await self.tokens.renew(target.tenant, target.connection_id, job.secrets)
        except PlatformError as problem:
            return _of_problem(problem)
        message = "The platform did not take the token of this account; it is tried again."
        return Retry("access_token_invalid", message, at_once=another)


NO_APP = App("", "", "", {})
"""What a step that reads the log has for an application: it asks nothing."""


def _job(target: Target, app: App, bound: frozenset[str]) -> Job:
    """Return what a step may know of a target, its secrets and its files apart."""
    return Job(
        id=target.id,
        kind=target.kind,
        app=app,
        account_id=target.account_id,
        text=target.text,
        secrets={},
        options=target.options,
        link=target.link,
        platform=target.platform,
        username=target.username,
        profile=target.profile,
        instance=target.instance,
        parent_id=target.parent_post_id,
        root_id=target.root_post_id,
        post_id=target.platform_post_id,
        kept=target.kept,
        now=target.now,
        step_since=target.step_since,
        intent_at=target.intent_at,
        attempt=target.attempt,
        bound=bound,
    )


def _with_digests(verdict: Verdict, digests: Mapping[str, JsonValue]) -> Verdict:
    """Return a verdict that keeps what was read of the log before it."""
    return replace(verdict, keep={**verdict.keep, LOG_DIGESTS: dict(digests)}) if digests else verdict


def _bytes_of(request: Request) -> int:
    parts = [*request.files.values(), *([request.content] if request.content is not None else [])]
    return sum(part.length for part in parts)


def _of_problem(problem: PlatformError) -> Verdict:
    """Return what a request that was not sent means."""
    if problem.code in (HELD, "breaker"):
        return Hold(max(problem.after_seconds, 5.0), "rate_limit_exceeded", problem.user_message)
    if problem.kind in ("grant", "lacking"):
        code = "access_token_invalid" if problem.kind == "grant" else "scope_not_authorized"
        return Failed(code, problem.user_message, retryable=True, unasked=True)
    if problem.kind in ("wrong", "app"):
        retryable = problem.kind == "app"
        return Failed(problem.code or problem.kind, problem.user_message, retryable, unasked=True)
    return Retry(problem.code or "unreachable", problem.user_message, problem.after_seconds)


def _named(target: Target, fact: posting_contract.Fact) -> Fact:
    """Return the event of a fact: once for each name that a step gives it."""
    name = f"{fact.type}:{target.id}:{fact.name}"
    payload = json.dumps(dict(fact.payload))
    return Fact(target.platform, 1, target.account_id, fact.type, name, payload, target.now)


def _of_another(target: Target, outcome: Outcome) -> Outcome:
    """Return the outcome where the platform named a post that another target of the account holds.

    What is there for its owner stays so: only the id is not taken.
    """
    message = "The platform named a post that another target of this account holds; look there."
    doubted = allowed(target.state, TargetState.UNCONFIRMED)
    return Outcome(
        state=TargetState.UNCONFIRMED if doubted else target.state,
        step=target.step,
        seconds=None,
        kept={**target.kept, **({LOG_DIGESTS: outcome.kept[LOG_DIGESTS]} if LOG_DIGESTS in outcome.kept else {})},
        code="post_of_another_target",
        message=message,
        evidence=[outcome.post_id],
    )
