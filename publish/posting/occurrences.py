"""Make the posts of what repeats, each occurrence once, up to a week before it is due.

What was made and what is next are stored in one transaction with the post, under a lock of the rule's row and under a
key of the occurrence, so any number of processes make it once. After downtime only the latest of those that passed is
made, late as its policy says; the others are recorded as missed.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import structlog

from ops.runtime import metrics
from ops.runtime.db import describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.periodic import repeat
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.posting import post_store, recurrence_store, restore_store
from publish.posting.errors import PostError
from publish.posting.posts import Posts
from publish.posting.recurrence_store import StoredOccurrence, StoredRecurrence
from publish.posting.recurrences import post_body, recurrence_of
from publish.posting.requests import PostBody
from publish.preflight.contract import AccountFacts
from publish.schedule.errors import ScheduleError
from publish.schedule.lateness import LatePolicy
from publish.schedule.recurrence import AHEAD, Occurrence, Recurrence, due
from schema.states import OccurrenceState, RecurrenceState

LOOK_SECONDS = 5.0
BATCH = 100

RETRY = timedelta(minutes=15)
"""After so long what could not be made is tried again, until its time is over."""

LATE = "Its time passed while this service could not make it."
LEFT_OUT = "Its time passed while this service could not make it, and a later one was due as well."
RESTORED = "It was due before the database was restored, or taken over, so it may be posted; it is not posted again."

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Step:
    """What to do about a rule now: record occurrences as missed, and make the post of another one."""

    recurrence: Recurrence
    missed: tuple[Occurrence, ...]
    occurrence: Occurrence | None
    handled: int
    """The number of the last of these."""

    following: Occurrence | None
    """The one after them; None where the rule has ended."""

    superseded: bool
    """Whether all that is missed is so because of a later one that is due as well."""


def plan(stored: StoredRecurrence, recurrence: Recurrence, now: datetime) -> _Step:
    """Decide what to do about a rule at a time."""
    policy = LatePolicy(
        stored.template.get("late_policy", "publish"), timedelta(minutes=stored.template.get("late_minutes", 1440))
    )
    found = due(recurrence, stored.handled, now, policy)
    missed, occurrence = found.missed, found.next_post(now)
    if occurrence is not None and stored.held_until is not None and occurrence.time.instant <= stored.held_until:
        missed, occurrence = (*missed, occurrence), None
    numbers = [each.number for each in (*missed, occurrence) if each is not None]
    handled = max([stored.handled, *numbers])
    left = [each for each in recurrence.occurrences if each.number > handled and each.time.instant > stored.armed_at]
    following = left[0] if left else None
    return _Step(recurrence, missed, occurrence, handled, following, superseded=found.latest is not None)


@dataclass(frozen=True, slots=True)
class OccurrenceSweep:
    posts: Posts

    async def sweep(self, stop: asyncio.Event) -> None:
        """Make what is to be made every few seconds, until told to stop."""
        await repeat(self._round, LOOK_SECONDS, stop=stop)

    async def _round(self) -> None:
        try:
            await self.drain()
        except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
            log.warning("recurrences.round_failed", error=describe(error))

    async def drain(self) -> int:
        """Make all that is to be made, and return how many posts that were.

        Nothing is made in a database that was just restored, before whoever publishes has held back what was due there.
        """
        async with tenant_transaction(self.posts.pool, ALL_TENANTS) as connection:
            if not await restore_store.is_known(connection):
                return 0
            found = await recurrence_store.due(connection, BATCH)
        made = 0
        for tenant, id_ in found:
            try:
                made += await self._make(tenant, id_)
            except Exception as error:  # noqa: BLE001  one tenant's trouble is not the others'
                log.warning("recurrences.failed", recurrence=id_, error=describe(error))
        return made

    async def _make(self, tenant: str, id_: str) -> int:
        """Make the posts of one rule that are to be made now, one after the other, and return their number."""
        made = 0
        while True:
            async with tenant_transaction(self.posts.pool, tenant) as connection:
                stored, now = await recurrence_store.one(connection, id_), await post_store.clock(connection)
            if stored is None or stored.state != RecurrenceState.ACTIVE:
                return made
            try:
                step = plan(stored, recurrence_of(stored, self.posts.zones), now)
            except ScheduleError as error:
                await self._give_up(tenant, stored, None, f"{error.message}; {error.remedy}", now)
                return made
            try:
                done = await self._done(tenant, stored, step, now)
            except PostError as error:
                await self._give_up(tenant, stored, step, f"{error.message} {_sentence(error.remedy)}", now)
                return made
            if not done or step.occurrence is None:
                return made
            made += 1

    async def _done(self, tenant: str, stored: StoredRecurrence, step: _Step, now: datetime) -> bool:
        """Make one post, and store what came of the occurrences up to it; False where somebody else was faster.

        Raises PostError for a post that cannot be accepted.
        """
        body, said = None, dict[str, AccountFacts]()
        if step.occurrence is not None:
            body = _body(stored, step.occurrence)
            said |= await self.posts.asked_accounts(tenant, body)
        faultpoint("recurrences.planned")
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            if not await _is_still(connection, stored):
                return False
            await _record_missed(connection, tenant, stored, step)
            if step.occurrence is not None and body is not None:
                post = await self._post(connection, tenant, stored, step.occurrence, body, said)
                made = _stored(stored, step.occurrence, OccurrenceState.MADE, post_id=post)
                await recurrence_store.insert_occurrence(connection, tenant, stored.id, made)
            if step.following is None:
                await recurrence_store.end(connection, stored.id)
            else:
                next_at = step.following.time.instant
                await recurrence_store.advance(
                    connection, stored.id, step.handled, next_at, max(next_at - AHEAD, now), None
                )
            faultpoint("recurrences.stored")
        _count(stored, step, made=step.occurrence is not None)
        return True

    async def _post(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        stored: StoredRecurrence,
        occurrence: Occurrence,
        body: PostBody,
        said: Mapping[str, AccountFacts],
    ) -> str:
        """Return the post of an occurrence: that of an earlier revision for the same time, or a new one.

        One that a person cancelled, moved or published early stands: a change of the rule does not bring it back.
        Where there may have been one before a restore that was published early, the new one is looked for first.
        """
        before = await recurrence_store.standing(connection, stored.id, occurrence.time.instant)
        if before is not None:
            return before
        created = await self.posts.create_occurrence(connection, tenant, stored.author, body, occurrence.time, said)
        if created.post is None:
            raise LookupError("an occurrence is never only checked")
        made_from = occurrence.time.instant - AHEAD
        if stored.held_until is not None and made_from <= stored.held_until:
            await restore_store.mark(connection, created.post.id, made_from)
        return created.post.id

    async def _give_up(
        self, tenant: str, stored: StoredRecurrence, step: _Step | None, trouble: str, now: datetime
    ) -> None:
        """Store why nothing could be made, and when to try again."""
        log.warning("recurrences.not_made", recurrence=stored.id, reason=trouble)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            if not await _is_still(connection, stored):
                return
            handled, next_at = stored.handled, stored.next_at or now
            if step is not None:
                await _record_missed(connection, tenant, stored, step)
                handled = max([handled, *(each.number for each in step.missed)])
                next_at = step.occurrence.time.instant if step.occurrence is not None else next_at
            await recurrence_store.advance(connection, stored.id, handled, next_at, now + RETRY, trouble)
        if step is not None:
            _count(stored, step, made=False)


def _body(stored: StoredRecurrence, occurrence: Occurrence) -> PostBody:
    """Return the post of an occurrence, with the key by which it is made once. Raises PostError."""
    key = f"occurrence {stored.id} {stored.revision} {occurrence.number}"
    return post_body(stored.template, idempotency_key=key, schedule_id=stored.id)


async def _is_still(connection: asyncpg.Connection, stored: StoredRecurrence) -> bool:
    """Return whether a rule is as it was read, and let nobody change it until the transaction ends."""
    locked = await recurrence_store.lock(connection, stored.id)
    return locked is not None and (locked.state, locked.revision, locked.handled, locked.held_until) == (
        RecurrenceState.ACTIVE,
        stored.revision,
        stored.handled,
        stored.held_until,
    )


async def _record_missed(connection: asyncpg.Connection, tenant: str, stored: StoredRecurrence, step: _Step) -> None:
    for each in step.missed:
        if stored.held_until is not None and each.time.instant <= stored.held_until:
            reason = RESTORED
        else:
            alone = each is step.missed[-1] and not step.superseded
            reason = stored.trouble or (LATE if alone else LEFT_OUT)
        missed = _stored(stored, each, OccurrenceState.MISSED, reason=reason)
        await recurrence_store.insert_occurrence(connection, tenant, stored.id, missed)


def _stored(
    stored: StoredRecurrence,
    occurrence: Occurrence,
    state: OccurrenceState,
    *,
    post_id: str | None = None,
    reason: str | None = None,
) -> StoredOccurrence:
    return StoredOccurrence(stored.revision, occurrence.number, occurrence.time.instant, state, post_id, reason)


def _count(stored: StoredRecurrence, step: _Step, *, made: bool) -> None:
    if made:
        metrics.of(metrics.occurrences, str(OccurrenceState.MADE)).inc()
    if step.missed:
        metrics.of(metrics.occurrences, str(OccurrenceState.MISSED)).inc(len(step.missed))
        log.warning("recurrences.missed", recurrence=stored.id, occurrences=len(step.missed))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")
