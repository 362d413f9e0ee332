"""Posts that repeat: make, change, pause, resume and end them, as people and programs ask for it.

Each call is one transaction with its entry in the audit log. What is to be posted is made of them by
:mod:`.occurrences`, each occurrence a post of its own. A change arms the rule anew: posts that nobody began to publish
are cancelled and made again as it says now, and whatever began stays as it is.
"""

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from ops.access.audit_log_store import Actor, audit
from ops.runtime.tenancy import tenant_transaction
from publish.posting import post_store, recurrence_store
from publish.posting.errors import PostError
from publish.posting.plans import digest_of, new_id
from publish.posting.posts import Posts
from publish.posting.recurrence_store import NewRecurrence, StoredOccurrence, StoredRecurrence
from publish.posting.requests import PostBody, RecurrenceBody, RecurrenceEdit, TemplateBody, read
from publish.preflight.contract import Finding
from publish.schedule.errors import ScheduleError
from publish.schedule.recurrence import AHEAD, Occurrence, Recurrence, read_rule
from publish.schedule.wall_time import parse
from publish.schedule.zones import TimeZones
from schema.states import NOT_BEGUN, RecurrenceState

PAGE_SIZE = 50
MOST_SHOWN = 200
UPCOMING = 5
LATEST = 20
"""Occurrences that are shown of one recurrence: those to come, and those that are handled."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A post that repeats. ``upcoming`` are the next times, ``latest`` what became of those before, the newest first.

    ``note`` says what the rule leaves out.
    """

    stored: StoredRecurrence
    upcoming: Sequence[Occurrence]
    latest: Sequence[StoredOccurrence]
    note: str


@dataclass(frozen=True, slots=True)
class Saved:
    """What came of a request. ``recurrence`` is None where it was only checked. ``changed``: something was stored."""

    recurrence: Shown | None
    upcoming: Sequence[Occurrence]
    findings: Sequence[Mapping[str, str]] = ()
    note: str = ""
    changed: bool = True
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A template and a rule that were checked."""

    template: TemplateBody
    recurrence: Recurrence
    tzdata: str
    """The release of the time zone database by which the times were found."""

    def upcoming(self, now: datetime) -> list[Occurrence]:
        return [each for each in self.recurrence.occurrences if each.time.instant > now]

    def new(self, now: datetime) -> NewRecurrence:
        """Return what to store. Raises PostError where no occurrence is left."""
        left = self.upcoming(now)
        if not left:
            message = "The rule has no time to come."
            raise PostError("unprocessable", message, "choose a later start_time, or a later end of the rule")
        return NewRecurrence(
            template=self.template.model_dump(mode="json"),
            media_ids=files_of(self.template),
            rule=self.recurrence.rule,
            start_time=self.recurrence.start.written,
            zone=self.recurrence.start.zone,
            next_at=left[0].time.instant,
            due_at=left[0].time.instant - AHEAD,
            tzdata=self.tzdata,
        )


@dataclass(frozen=True, slots=True)
class Recurrences:
    posts: Posts

    # --- making and changing

    async def create(self, tenant: str, actor: Actor, body: RecurrenceBody) -> Saved:
        """Let a post repeat, or answer with what does so already, or an earlier request with its key made.

        Raises PostError.
        """
        asked = digest_of("recurrence", body)
        if body.idempotency_key and not body.dry_run:
            async with tenant_transaction(self.posts.pool, tenant) as connection:
                before = await self._made_before(connection, tenant, body.idempotency_key, asked)
            if before is not None:
                return Saved(before, before.upcoming, note=before.note, changed=False, replayed=True)
        rule = self._rule(body.rule, body.start_time, body.timezone)
        template, note = await self._with_card(tenant, actor, body, {})
        wanted = _Wanted(template, rule, self.posts.zones.release)
        findings, now = await self._checked(tenant, actor, wanted, note)
        if body.dry_run:
            return Saved(None, wanted.upcoming(now)[:UPCOMING], findings, wanted.recurrence.note, changed=False)
        id_ = new_id()
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            if body.idempotency_key:
                before = await self._made_before(connection, tenant, body.idempotency_key, asked)
                if before is not None:
                    return Saved(before, before.upcoming, note=before.note, changed=False, replayed=True)
            new = wanted.new(await post_store.clock(connection))
            named = None if body.post.link is None else body.post.link.model_dump(exclude_unset=True)
            if (there := await recurrence_store.same(connection, tenant, new, named)) is not None:
                shown = await self._shown(connection, await _one(connection, there))
                return Saved(shown, shown.upcoming, findings, shown.note, changed=False)
            await self._keep_files(connection, tenant, new)
            key = body.idempotency_key or None
            await recurrence_store.insert(connection, tenant, id_, new, actor.name, key=key, request_sha256=asked)
            await audit(connection, tenant, actor, "recurrence.created", id_, rule=new.rule)
            shown = await self._shown(connection, await _one(connection, id_))
        return Saved(shown, shown.upcoming, findings, wanted.recurrence.note)

    async def edit(self, tenant: str, actor: Actor, id_: str, body: RecurrenceEdit, *, may_approve: bool) -> Saved:
        """Change what is to come of it; what is published, or about to be, stays. Raises PostError.

        What is as asked for already is left alone.
        """
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            before = await _found(connection, id_)
        note = None
        if body.post is not None:
            template, note = await self._with_card(tenant, actor, body, before.template.get("link") or {})
            body = body.model_copy(update={"post": template})
        wanted = self._edited(before, body)
        if self._is_same(before, wanted):
            return await self._left_alone(tenant, id_, body)
        if before.template.get("needs_approval") and not wanted.template.needs_approval and not may_approve:
            message = "Whoever may not approve a post cannot take away that it needs approval."
            raise PostError("forbidden", message, "ask an owner", status=403)
        findings, now = await self._checked(tenant, actor, wanted, note)
        if body.dry_run:
            return Saved(None, wanted.upcoming(now)[:UPCOMING], findings, wanted.recurrence.note, changed=False)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            stored = await self._locked(connection, id_, before.revision if body.version is None else body.version)
            if stored.state == RecurrenceState.ENDED:
                raise _ended()
            now = await post_store.clock(connection)
            new = wanted.new(now)
            await self._keep_files(connection, tenant, new)
            replaced = await self._withdraw(connection, id_)
            await recurrence_store.update(connection, id_, new, now)
            detail = {"version": stored.revision + 1, "replaced": replaced}
            await audit(connection, tenant, actor, "recurrence.edited", id_, **detail)
            shown = await self._shown(connection, await _one(connection, id_))
        return Saved(shown, shown.upcoming, findings, wanted.recurrence.note)

    async def pause(self, tenant: str, actor: Actor, id_: str) -> Saved:
        """Post nothing of it until it is resumed: what nobody began to publish is cancelled. Raises PostError."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            stored = await self._locked(connection, id_, None)
            if stored.state == RecurrenceState.ENDED:
                raise _ended()
            changed = await recurrence_store.pause(connection, id_)
            if changed:
                replaced = await self._withdraw(connection, id_)
                await audit(connection, tenant, actor, "recurrence.paused", id_, replaced=replaced)
            shown = await self._shown(connection, await _one(connection, id_))
        return Saved(shown, shown.upcoming, note=shown.note, changed=changed)

    async def resume(self, tenant: str, actor: Actor, id_: str) -> Saved:
        """Go on with it from now; what passed meanwhile is not posted. Raises PostError."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            stored = await self._locked(connection, id_, None)
            if stored.state == RecurrenceState.ENDED:
                raise _ended()
            changed = stored.state == RecurrenceState.PAUSED
            if changed:
                now = await post_store.clock(connection)
                new = self._of(stored).new(now)
                await recurrence_store.resume(connection, id_, now, new)
                await audit(connection, tenant, actor, "recurrence.resumed", id_)
            shown = await self._shown(connection, await _one(connection, id_))
        return Saved(shown, shown.upcoming, note=shown.note, changed=changed)

    async def end(self, tenant: str, actor: Actor, id_: str) -> Saved:
        """Post nothing of it any more: what nobody began to publish is cancelled. Raises PostError."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            await self._locked(connection, id_, None)
            changed = await recurrence_store.end(connection, id_)
            if changed:
                replaced = await self._withdraw(connection, id_)
                await audit(connection, tenant, actor, "recurrence.ended", id_, replaced=replaced)
            shown = await self._shown(connection, await _one(connection, id_))
        return Saved(shown, shown.upcoming, note=shown.note, changed=changed)

    async def _made_before(self, connection: asyncpg.Connection, tenant: str, key: str, asked: bytes) -> Shown | None:
        await recurrence_store.lock_key(connection, tenant, key)
        found = await recurrence_store.by_key(connection, key)
        if found is None:
            return None
        if found[1] != asked:
            message, details = "This idempotency key was used for another request.", {"recurrence": found[0]}
            raise PostError("conflict", message, "take a new key for each request", status=409, details=details)
        return await self._shown(connection, await _one(connection, found[0]))

    def _rule(self, rule: str, start_time: str, zone: str | None) -> Recurrence:
        """Raises PostError."""
        try:
            start = parse(start_time, zone or None, self.posts.zones)
            return read_rule(rule, start, start.instant, self.posts.zones)
        except ScheduleError as error:
            raise PostError("unprocessable", f"{error.message[:1].upper()}{error.message[1:]}.", error.remedy) from None

    def _of(self, stored: StoredRecurrence) -> _Wanted:
        template = read(TemplateBody, stored.template)
        return _Wanted(template, self._rule(stored.rule, stored.start_time, stored.zone), self.posts.zones.release)

    def _edited(self, before: StoredRecurrence, body: RecurrenceEdit) -> _Wanted:
        template = dict(before.template)
        if body.post is not None:
            template |= body.post.model_dump(mode="json", include=set(body.post.model_fields_set))
        rule = self._rule(
            before.rule if body.rule is None else body.rule,
            before.start_time if body.start_time is None else body.start_time,
            before.zone if body.timezone is None else body.timezone,
        )
        return _Wanted(read(TemplateBody, template), rule, self.posts.zones.release)

    def _is_same(self, before: StoredRecurrence, wanted: _Wanted) -> bool:
        same = self._of(before)
        start, other = wanted.recurrence.start, same.recurrence.start
        return (
            wanted.template == same.template
            and wanted.recurrence.rule == same.recurrence.rule
            and (start.written, start.zone) == (other.written, other.zone)
        )

    async def _left_alone(self, tenant: str, id_: str, body: RecurrenceEdit) -> Saved:
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            stored = await self._locked(connection, id_, body.version)
            shown = await self._shown(connection, stored)
        return Saved(shown, shown.upcoming, note=shown.note, changed=False)

    async def _with_card(
        self, tenant: str, actor: Actor, body: RecurrenceBody | RecurrenceEdit, before: Mapping[str, str]
    ) -> tuple[TemplateBody, Finding | None]:
        """Return a template with what is shown of its page, which is looked at now and for no occurrence again.

        ``before`` is the link that it had; empty for none.
        """
        post = body.post or TemplateBody()
        if post.link is None:
            return post, None
        link, note = await self.posts.cards.changed_card(tenant, post.link, before)
        if not body.dry_run:
            ids = [each.connection for each in post.targets]
            link, missing = await self.posts.pictured(tenant, actor, link, ids, post.platforms)
            note = note or missing
        return post.model_copy(update={"link": link}), note

    async def _checked(
        self, tenant: str, actor: Actor, wanted: _Wanted, note: Finding | None
    ) -> tuple[Sequence[Mapping[str, str]], datetime]:
        """Hold the first post to come against what platforms say: what was found, and the time. Raises PostError.

        ``note`` is what is to be said of the shared page.
        """
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            now = await post_store.clock(connection)
        wanted.new(now)
        first = wanted.upcoming(now)[0].time
        body = post_body(wanted.template.model_dump(mode="json"), time=first.written, zone=first.zone, dry_run=True)
        created = await self.posts.create(tenant, actor, body, note=note)
        return created.findings, now

    async def _keep_files(self, connection: asyncpg.Connection, tenant: str, new: NewRecurrence) -> None:
        """Hold the files that it names until the transaction ends. Raises PostError for one that is gone."""
        known = await self.posts.files.known(connection, tenant, new.media_ids)
        if gone := [id_ for id_ in new.media_ids if id_ not in known]:
            raise PostError(
                "unprocessable", f"There is no file {gone[0]}.", "upload it, and take its id from the answer"
            )

    async def _locked(self, connection: asyncpg.Connection, id_: str, version: int | None) -> StoredRecurrence:
        """Raises PostError where there is none, or where it has another version than the one that was read."""
        stored = await recurrence_store.lock(connection, id_)
        if stored is None:
            raise no_recurrence()
        if version is not None and version != stored.revision:
            message = f"Somebody changed it meanwhile: it has version {stored.revision}, and not {version}."
            raise PostError("conflict", message, "read it again, and send the change once more", status=409)
        return stored

    async def _withdraw(self, connection: asyncpg.Connection, id_: str) -> int:
        """Cancel the posts of which nobody began to publish anything, and return their number."""
        count = 0
        for post_id in await recurrence_store.waiting_posts(connection, id_):
            post = await post_store.lock(connection, post_id)
            if post is None or any(target.state not in NOT_BEGUN or target.attempt > 1 for target in post.targets):
                continue
            for target in await post_store.cancel(connection, post_id):
                await self.posts.files.revoke(connection, target)
            await recurrence_store.replaced(connection, id_, post_id)
            count += 1
        return count

    # --- showing

    async def one(self, tenant: str, id_: str) -> Shown:
        """Raises PostError where there is none."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            return await self._shown(connection, await _found(connection, id_))

    async def page(
        self, tenant: str, state: str | None, before: str | None, limit: int = PAGE_SIZE
    ) -> tuple[Sequence[StoredRecurrence], str | None]:
        """Return the newest, and where the next page begins. Raises PostError for a state that there is not."""
        if state is not None and state not in [*RecurrenceState]:
            message = f"There is no state {state[:40]!r}."
            raise PostError("invalid_request", message, f"name one of {', '.join(RecurrenceState)}", status=400)
        wanted = None if state is None else RecurrenceState(state)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await recurrence_store.listed(connection, wanted, before, limit + 1)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def to_come(
        self, tenant: str, since: datetime, until: datetime
    ) -> list[tuple[StoredRecurrence, list[datetime]]]:
        """Return what repeats, with those times from one until another of which no post is made yet.

        Nothing of what is paused, and nothing in a zone that this edition of the database has no more.
        """
        stored, _ = await self.page(tenant, RecurrenceState.ACTIVE, None, MOST_SHOWN)
        found = []
        for each in stored:
            if each.next_at is None or each.next_at >= until:
                continue
            with suppress(ScheduleError):
                times = [
                    occurrence.time.instant
                    for occurrence in recurrence_of(each, self.posts.zones).occurrences
                    if occurrence.number > each.handled
                    and occurrence.time.instant > each.armed_at
                    and since <= occurrence.time.instant < until
                ]
                found.append((each, times))
        return found

    async def _shown(self, connection: asyncpg.Connection, stored: StoredRecurrence) -> Shown:
        latest = await recurrence_store.occurrences(connection, stored.id, LATEST)
        upcoming: list[Occurrence] = []
        note = ""
        try:
            recurrence = recurrence_of(stored, self.posts.zones)
        except ScheduleError as error:  # a zone that this edition of the database has no more
            note = f"{error.message}; {error.remedy}"
        else:
            note = recurrence.note
            if stored.state != RecurrenceState.ENDED:
                now = await post_store.clock(connection)
                upcoming = [each for each in recurrence.occurrences if each.time.instant > now][:UPCOMING]
        return Shown(stored, upcoming, latest, note)


def recurrence_of(stored: StoredRecurrence, zones: TimeZones) -> Recurrence:
    """Return the rule of what repeats, with its occurrences. Raises ScheduleError."""
    start = parse(stored.start_time, stored.zone, zones)
    return read_rule(stored.rule, start, stored.armed_at, zones, stored.revision)


def post_body(
    template: Mapping[str, Any], *, time: str = "", zone: str = "", dry_run: bool = False, **more: Any
) -> PostBody:
    """Return the post of an occurrence. It repeats the one before on purpose. Raises PostError."""
    document = {**template, "action": "schedule", "scheduled_time": time or None, "timezone": zone or None}
    return read(PostBody, {**document, "repeat": True, "dry_run": dry_run, **more})


def files_of(template: TemplateBody) -> list[str]:
    """Return the ids of the files that posts show, and those that options name."""
    named = [
        value
        for target in template.targets
        for name, value in target.options.items()
        if name.endswith("_media_id") and isinstance(value, str)
    ]
    groups = [template.media, *(part.media for part in template.thread)]
    groups += [target.first_comment_media for target in template.targets]
    shown = [item.id for group in groups for item in group]
    if template.link is not None and template.link.image_media is not None:
        shown.append(template.link.image_media)
    return list(dict.fromkeys([*shown, *filter(_is_id, named)]))


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def no_recurrence() -> PostError:
    message = "There is no such schedule of posts."
    return PostError("not_found", message, "look at GET /api/recurrences, or at /posts", status=404)


def _ended() -> PostError:
    return PostError("too_late", "It has ended.", "make another one", status=409)


async def _found(connection: asyncpg.Connection, id_: str) -> StoredRecurrence:
    """Raises PostError where there is none."""
    found = await recurrence_store.one(connection, id_)
    if found is None:
        raise no_recurrence()
    return found


async def _one(connection: asyncpg.Connection, id_: str) -> StoredRecurrence:
    found = await recurrence_store.one(connection, id_)
    if found is None:
        raise LookupError("it is gone within its own transaction")
    return found
