"""Read the objects of connected accounts, task by task and page by page, and append to the log what is new of them.

The right to read an account is a lease in its row, so that one of any number of processes reads it. What a page found,
what is known of its objects, and where the walk goes on are stored in one transaction, which names the fence of the
lease: whoever is killed anywhere leaves a page that is read again, and nothing of it is stored twice.
"""

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime

import asyncpg
import structlog

from ops.runtime import metrics
from ops.runtime.db import REFUSED, Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.platform_protocol import PlatformError, Request, Response, Steps, T
from ops.runtime.ports import Fact, Pulling
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from sync.pull import decisions, store
from sync.pull.contract import Object, Page, Priority, PullingPlatform, PullTask, Task, Turn, Wanted
from sync.pull.decisions import CONFIRM_SECONDS, Due, Judged, judge, judge_missing, setback
from sync.pull.store import Claimed, Key, Lease, LeaseLostError, Reader, Shown

LOOK_SECONDS = 1.0
STOP_SECONDS = 5.0
"""How long a page may take to be stored when the process is to end."""

ACCOUNTS_SECONDS = 2.0
"""How often is looked which accounts are connected."""

LEASE_SECONDS = 60.0
"""So long a worker that was killed keeps its accounts from others. Each page prolongs it."""

TURN_SECONDS = 5.0
"""Longest that an account is served at once while others wait."""

AT_ONCE = 4
"""Accounts that one worker reads side by side."""

READ_RULE = 1
"""Version of the rule that names events of readings (``decisions.name_of``)."""

RELEASE_WORDS = "This release cannot read it; a later one may."
GONE_WORDS = "It, or what it hangs on, does not exist any more."
CONNECTED = "the account was connected"

log = structlog.get_logger()


@dataclass(slots=True)
class Calls:
    """Requests that were sent for a page."""

    sent: int = 0


def counted(steps: Steps[T], calls: Calls) -> Steps[T]:
    """Run steps as they are, and count their requests."""
    try:
        request: Request = next(steps)
        while True:
            calls.sent += 1
            response: Response = yield request
            request = steps.send(response)
    except StopIteration as done:
        found: T = done.value
        return found
    finally:
        steps.close()


@dataclass(slots=True)
class _Turn:
    """The service of one account: its lease, the connections that it can be read by, and their tokens."""

    lease: Lease
    readers: Sequence[Reader]
    secrets: dict[str, Mapping[str, str]] = field(default_factory=dict)
    renewed: set[str] = field(default_factory=set)
    trouble: str | None = None
    rest: float = 0.0

    @property
    def key(self) -> Key:
        return self.lease.key


@dataclass(slots=True)
class Puller:
    """Reads accounts. ``platforms`` are those whose accounts can be read, by name.

    ``confirm_seconds`` is the least time between two answers that an object does not exist.
    """

    pool: Pool
    platforms: Mapping[str, PullingPlatform]
    needs: Pulling
    at_once: int = AT_ONCE
    lease_seconds: float = LEASE_SECONDS
    turn_seconds: float = TURN_SECONDS
    confirm_seconds: float = CONFIRM_SECONDS
    holder: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}")
    _connected: dict[Key, datetime] | None = None

    async def sweep(self, stop: asyncio.Event) -> None:
        """Read what is due until ``stop`` is set; pages that are under way then are stored before it returns."""
        serving: set[asyncio.Task[None]] = set()
        stopping = asyncio.create_task(stop.wait())
        looked = float("-inf")
        while not stop.is_set():
            try:
                if time.monotonic() - looked > ACCOUNTS_SECONDS:
                    await self.refresh_accounts()
                    looked = time.monotonic()
                leased = await self.leased(self.at_once - len(serving))
                serving |= {asyncio.create_task(self._guarded(lease, stop)) for lease in leased}
            except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
                log.warning("pull.round_failed", error=describe(error))
            await asyncio.wait({stopping, *serving}, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            serving = {task for task in serving if not task.done()}
        if serving:
            _, late = await asyncio.wait(serving, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def round(self) -> int:
        """Look which accounts are connected, serve those with due tasks once each, and return their number."""
        await self.refresh_accounts()
        leased = await self.leased(self.at_once)
        await asyncio.gather(*(self._guarded(lease) for lease in leased))
        return len(leased)

    async def refresh_accounts(self) -> None:
        """Read accounts that were connected, or connected anew, from now on, and those that have no connection no more.

        What an account is read for first is due at once, of one that is connected anew as well: what happened since it
        was last read is not known.
        """
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            active = await store.active_accounts(connection, list(self.platforms))
            first_look = self._connected is None
            if self._connected is None:
                self._connected = await store.known_accounts(connection)
                for name, platform in self.platforms.items():
                    await store.take_new_kinds(connection, name, list(platform.tasks))
            for key, authorized_at in sorted(active.items()):
                anew = self._connected.get(key) != authorized_at
                if anew:
                    await store.enable_account(connection, key, authorized_at)
                if anew or first_look:
                    await self._want_first(connection, key, anew=anew)
            for key in sorted(self._connected.keys() - active.keys()):
                await store.disable_account(connection, key)
        self._connected = active

    async def _want_first(self, connection: asyncpg.Connection, key: Key, *, anew: bool) -> None:
        """Want what every account is read for: at once where it is connected ``anew``, else only what is not known yet.

        A process that starts asks for nothing again of what was read, or is to be read later.
        """
        platform = self.platforms[key.provider]
        for task in platform.first:
            own = platform.tasks[task.kind].priority
            soon = anew and own < Priority.SELDOM
            wanted = Wanted(task, CONNECTED, min(own, Priority.RECENT) if soon else max(own, Priority.BACKFILL))
            await store.want(connection, key, [wanted])

    async def leased(self, limit: int) -> list[Lease]:
        """Take up to ``limit`` accounts with due tasks, those that were served longest ago first."""
        if limit <= 0:
            return []
        found = []
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            for key in await store.due_accounts(connection, limit):
                if key.provider in self.platforms:
                    taken = await store.lease(connection, key, self.holder, self.lease_seconds)
                    found += [taken] if taken is not None else []
        return found

    async def _guarded(self, lease: Lease, stop: asyncio.Event | None = None) -> None:
        try:
            await self.serve(lease, stop)
        except LeaseLostError:
            log.warning("pull.lease_lost", platform=lease.key.provider)
        except Exception as error:  # noqa: BLE001  one account's trouble is not the others'; its lease ends by itself
            log.warning("pull.account_failed", platform=lease.key.provider, error=describe(error))

    async def serve(self, lease: Lease, stop: asyncio.Event | None = None) -> None:
        """Read pages of a leased account until nothing is due, its time is over, or ``stop`` is set.

        Raises LeaseLostError.
        """
        faultpoint("pull.leased")
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            turn = _Turn(lease, await store.readers(connection, lease.key))
        end = time.monotonic() + self.turn_seconds
        while turn.readers and time.monotonic() < end and not (stop and stop.is_set()):
            claimed = await self._claim(turn)
            if claimed is None or not await self._page(turn, claimed):
                break
        await self._release(turn)

    async def _claim(self, turn: _Turn) -> Claimed | None:
        """Return the task whose next page is to be read, by what is left of the rate limits."""
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            now = await store.hold(connection, turn.lease, self.lease_seconds)
            percent = await store.used_percent(connection, turn.readers[0], turn.key.account_id)
            priorities = decisions.allowed_priorities(percent)
            claimed = await store.next_task(connection, turn.key, priorities, now)
        if claimed is None and len(priorities) < len(Priority):
            turn.rest = decisions.REST_SECONDS  # something else may be due, which has to wait
        return claimed

    async def _release(self, turn: _Turn) -> None:
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            counts = await store.counts(connection, turn.key, decisions.TROUBLE_AFTER)
            platform = self.platforms[turn.key.provider]
            took = datetime.now(UTC) - turn.lease.began_at
            history = [name for name, task in platform.tasks.items() if task.backfill]
            found = decisions.progress(counts, history, took)
            shown = {**asdict(found), "percent": found.percent}
            await store.release(connection, turn.lease, shown, turn.trouble, turn.rest)

    async def _page(self, turn: _Turn, claimed: Claimed) -> bool:
        """Read one page of a task and store what it found; return whether to go on with the account."""
        key, task = turn.key, self.platforms[turn.key.provider].tasks.get(claimed.task.kind)
        if task is None:
            await self._skip(turn, claimed.task, "release", RELEASE_WORDS)
            return True
        reader = next((each for each in turn.readers if not decisions.lacking_scopes(task, each.scopes)), None)
        if reader is None:
            words = f"The account has not allowed what this needs ({' or '.join(task.scopes)}); connect it again."
            await self._skip(turn, claimed.task, "scopes", words)
            return True
        calls, began = Calls(), time.monotonic()
        try:
            page = await self._read(turn, claimed, task, reader, calls)
        except PlatformError as problem:
            return await self._set_back(turn, claimed, reader, problem, calls)
        faultpoint("pull.asked")
        try:
            judged = await self._store(turn, claimed, task, reader, page, calls)
        except REFUSED as error:
            # What the platform sent cannot be stored as it is: this task waits, and the others go on.
            log.warning("pull.page_refused", platform=key.provider, task=claimed.task.kind, error=describe(error))
            unfit = PlatformError("transient", "What the platform sent could not be stored.", "undocumented")
            return await self._set_back(turn, claimed, reader, unfit, calls)
        faultpoint("pull.committed")
        metrics.pull_page_seconds.labels(key.provider).observe(time.monotonic() - began)
        self._count(key.provider, claimed.task.kind, judged, calls, page)
        return True

    async def _read(self, turn: _Turn, claimed: Claimed, task: PullTask, reader: Reader, calls: Calls) -> Page:
        """Ask for a page. Raises PlatformError."""
        key = turn.key
        api = await self.needs.applications.app(reader.login_platform, reader.instance, reader.tenant)
        if reader.id not in turn.secrets:
            turn.secrets[reader.id] = await self.needs.tokens.access(reader.tenant, reader.id)
        known: Sequence[str] = ()
        if task.needs:
            async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
                known = await store.known_ids(connection, key, task.needs, task.most_known)
        account = reader.account(key, api, turn.secrets[reader.id], turn.lease.refused)
        asked = Turn(
            claimed.task, claimed.now, claimed.cursor, claimed.first, claimed.since, claimed.source_time, known
        )
        return await self.needs.platforms.run(
            counted(task.read(account, asked), calls),
            platform=reader.login_platform,
            instance=reader.instance,
            account=key.account_id,
        )

    async def _store(
        self, turn: _Turn, claimed: Claimed, task: PullTask, reader: Reader, page: Page, calls: Calls
    ) -> Judged:
        """Store in one transaction what a page found, and where its walk goes on. Raises LeaseLostError."""
        key, platform = turn.key, self.platforms[turn.key.provider]
        abouts = {*(reading.about for reading in page.readings), *page.missing}
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            await store.hold(
                connection, turn.lease, self.lease_seconds, calls=calls.sent, refused=self._new(turn, page)
            )
            known = await store.known(connection, key, abouts) if abouts else {}
            judged = judge(known, page.readings, claimed.now, lists=task.lists)
            parents = {known[about].parent for about in page.missing if about in known}
            judge_missing(
                judged,
                known,
                page,
                platform,
                reader=reader.id,
                now=claimed.now,
                confirm=self.confirm_seconds,
                gone_parents=await store.gone_among(connection, key, parents) if parents else (),
            )
            facts = [
                Fact(
                    key.provider,
                    READ_RULE,
                    key.account_id,
                    new.type,
                    new.external_id,
                    new.payload,
                    claimed.now,
                    source="poll",
                )
                for new in judged.events
            ]
            await self.needs.append(connection, facts)
            faultpoint("pull.appended")
            await store.save(connection, key, judged.objects.values())
            await store.want(connection, key, page.wanted)
            await self._advance(connection, turn, claimed, task, reader, page)
            if page.cursor is None and page.skipped is None:
                await self._settle_missing(connection, key, claimed.task, page, judged, known)
            await self._follow(connection, key, judged, known, claimed.now)
            faultpoint("pull.stored")
        turn.lease = Lease(key, turn.lease.fence, turn.lease.refused | {*page.refused}, turn.lease.began_at)
        return judged

    def _new(self, turn: _Turn, page: Page) -> list[str]:
        return sorted({*page.refused} - turn.lease.refused)

    async def _advance(
        self,
        connection: asyncpg.Connection,
        turn: _Turn,
        claimed: Claimed,
        task: PullTask,
        reader: Reader,
        page: Page,
    ) -> None:
        """Store where the walk of a task goes on, or that it is complete, and what it did not show."""
        key = turn.key
        if page.skipped is not None:
            due = Due(None, Priority(claimed.priority))
            await store.skip(connection, key, claimed.task, "platform", page.skipped, due, pages=1)
            return
        listed = [
            reading
            for reading in page.readings
            if reading.about.kind == task.lists and reading.parent == claimed.task.object_id
        ]
        times = [reading.source_time for reading in listed if reading.source_time is not None]
        oldest = min([*times, *([claimed.oldest_shown] if claimed.oldest_shown else [])], default=None)
        number = claimed.shown + len({reading.about for reading in listed})
        shown = Shown(number or int(page.control), oldest)
        if page.cursor is not None:
            await store.go_on(connection, key, claimed, page.cursor, len(page.readings), shown)
            return
        about = [r.source_time for r in page.readings if r.about.id == claimed.task.object_id and r.source_time]
        source_time = about[0] if about else claimed.source_time
        due = decisions.due_again(task, claimed.now, source_time)
        await store.finish(connection, key, claimed, len(page.readings), source_time, due)
        kind = self.platforms[key.provider].confirms.get(task.lists)
        if task.lists and kind is not None:
            listing = Object(task.lists, claimed.task.object_id)
            lost = await store.unlist(connection, key, listing, claimed.pass_began_at, reader.id, shown, task.range)
            reason = "a complete listing did not show it"
            confirms = [Wanted(Task(kind, id_), reason, Priority.RECENT, source_time=made) for id_, made in lost]
            # A reading that the platform once refused is tried again: only it tells what is gone.
            await store.resume_refused(connection, key, kind, [id_ for id_, _ in lost])
            await store.want(connection, key, confirms)

    async def _settle_missing(
        self,
        connection: asyncpg.Connection,
        key: Key,
        task: Task,
        page: Page,
        judged: Judged,
        known: Mapping[Object, decisions.Known],
    ) -> None:
        """Ask no more for an object that was never read and does not exist, or that was found to be gone before."""
        for about in page.missing:
            if about.id != task.object_id or about in judged.objects:
                continue
            due = Due(None, Priority.SELDOM)
            if about not in known:
                await store.skip(connection, key, task, "platform", "The platform says that it does not exist.", due)
            elif known[about].gone_at is not None:
                await store.skip(connection, key, task, "gone", GONE_WORDS, due)

    async def _follow(
        self,
        connection: asyncpg.Connection,
        key: Key,
        judged: Judged,
        known: Mapping[Object, decisions.Known],
        now: datetime,
    ) -> None:
        """Ask for what proves an absence, and for nothing that hangs on an object that is gone."""
        platform = self.platforms[key.provider]
        reason = "an object that stands in it is said not to exist"
        for about in [*judged.unsure, *judged.missed]:
            if about.kind in platform.siblings_prove:
                continue
            known_of = judged.objects.get(about) or known[about]
            wait = 0.0
            if known_of.missed_at is not None:  # a second walk is of use only so long after the first miss
                wait = max(0.0, self.confirm_seconds - (now - known_of.missed_at).total_seconds())
            kinds = decisions.walks_of(platform.tasks, about.kind)
            await store.walk_again(connection, key, kinds, [known_of.parent], wait, reason)
        if judged.gone:
            ids = await store.descendants(connection, key, [about.id for about in judged.gone])
            await store.skip_gone(connection, key, ids, GONE_WORDS)
        if judged.lifted:
            ids = await store.descendants(connection, key, [about.id for about in judged.lifted])
            await store.resume_gone(connection, key, ids)

    async def _skip(self, turn: _Turn, task: Task, code: str, words: str) -> None:
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            await store.hold(connection, turn.lease, self.lease_seconds)
            await store.skip(connection, turn.key, task, code, words, Due(None, Priority.SELDOM))
        metrics.of(metrics.pull_skipped, turn.key.provider, code).inc()

    async def _set_back(
        self, turn: _Turn, claimed: Claimed, reader: Reader, problem: PlatformError, calls: Calls
    ) -> bool:
        """Store what a problem means; return whether to go on with the account."""
        key, task = turn.key, claimed.task
        found = setback(problem, claimed.attempts + 1, walking=bool(claimed.cursor))
        metrics.of(metrics.pull_problems, key.provider, problem.kind).inc()
        metrics.of(metrics.pull_calls, key.provider, task.kind).inc(calls.sent)
        log.info("pull.set_back", platform=key.provider, task=task.kind, kind=problem.kind, code=problem.code)
        if found.renews and await self._renewed(turn, reader, problem):
            async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
                await store.hold(connection, turn.lease, self.lease_seconds, calls=calls.sent)
            return True
        async with tenant_transaction(self.pool, ALL_TENANTS) as connection:
            await store.hold(connection, turn.lease, self.lease_seconds, calls=calls.sent)
            if found.skip_code:
                again = decisions.AGAIN_AFTER_REFUSAL if found.skip_code == "platform" else None
                due = Due(again, Priority.SELDOM)
                await store.skip(connection, key, task, found.skip_code, problem.user_message, due, pages=1)
            else:
                await store.fail(
                    connection,
                    key,
                    task,
                    problem.user_message,
                    found.task_seconds,
                    counts=found.counts,
                    restarts=found.restarts,
                )
        if found.account_seconds:
            turn.rest, turn.trouble = found.account_seconds, problem.user_message
        if found.renews:
            turn.trouble = problem.user_message
        return not found.account_seconds and not found.renews

    async def _renewed(self, turn: _Turn, reader: Reader, problem: PlatformError) -> bool:
        """Return whether there is another token than the one that the platform did not take; tried once in a turn."""
        refused = turn.secrets.pop(reader.id, None)
        if refused is None or reader.id in turn.renewed:
            return False
        turn.renewed.add(reader.id)
        try:
            return await self.needs.tokens.renew(reader.tenant, reader.id, refused)
        except PlatformError as ended:  # it needs a person now, and is read no more until then
            log.info("pull.grant_over", platform=turn.key.provider, code=ended.code or problem.code)
            return False

    def _count(self, platform: str, kind: str, judged: Judged, calls: Calls, page: Page) -> None:
        metrics.of(metrics.pull_calls, platform, kind).inc(calls.sent)
        metrics.of(metrics.pull_pages, platform, kind).inc()
        gone = len(judged.gone)
        for outcome, number in (
            ("appended", len(judged.events) - gone),
            ("unchanged", judged.unchanged),
            ("gone", gone),
        ):
            metrics.of(metrics.pull_objects, platform, outcome).inc(number)
        if page.skipped is not None:
            metrics.of(metrics.pull_skipped, platform, "platform").inc()


def measurer(platforms: Collection[str]) -> Callable[[asyncpg.Connection], Awaitable[None]]:
    """Return what sets the gauges of the tasks that are due, and of what differed when it was last compared."""

    async def measure_tasks(connection: asyncpg.Connection) -> None:
        for compared in await store.differences(connection):
            for kind in ("missing", "different", "extra"):
                metrics.drift_rows.labels(compared["provider"], kind).set(compared[kind])
            metrics.drift_checked_at.labels(compared["provider"]).set(compared["checked_at"].timestamp())
        found = {(each.provider, each.priority): each for each in await store.backlog(connection)}
        for platform in platforms:
            for priority in Priority:
                due = found.get((platform, priority))
                name = priority.name.lower()
                metrics.pull_due.labels(platform, name).set(due.tasks if due else 0)
                metrics.pull_oldest_due.labels(platform, name).set(due.oldest_seconds if due else 0.0)

    return measure_tasks
