"""Make, change, approve, cancel, try again, decide upon and list posts: whatever people and programs ask for.

Each call is one transaction with its entry in the audit log. What follows is the worker's: see :mod:`.driver`.
"""

import asyncio
import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import uuid_utils
from pydantic import BaseModel

from ops.access.audit_log_store import WORKER, Actor, Value, audit
from ops.runtime import metrics
from ops.runtime.db import Pool
from ops.runtime.tenancy import tenant_transaction
from publish.posting import post_store, queue_store, recurrence_store
from publish.posting.acceptance import (
    Checked,
    Files,
    Item,
    KnownFile,
    Publisher,
    Wanted,
    WantedPart,
    checked,
    first_comment,
    noted,
    quota_findings,
    refusal_of,
)
from publish.posting.action_kinds import CHANGES
from publish.posting.errors import PostError, no_post
from publish.posting.inquiries import AskAccount
from publish.posting.link_preview import NoPreviewError, Preview, Previews
from publish.posting.links import Campaign, tagged
from publish.posting.post_store import (
    EDITABLE,
    STATUSES,
    Account,
    AttachedMedia,
    NewPost,
    NewTarget,
    PostFilter,
    StoredPost,
    StoredTarget,
    Tally,
)
from publish.posting.requests import (
    ApproveBody,
    ConfirmBody,
    EditBody,
    LinkBody,
    MediaItem,
    PostBody,
    RetryBody,
    TargetBody,
    TargetEdit,
)
from publish.preflight.contract import AccountFacts, Finding, Severity
from publish.schedule import slots
from publish.schedule.errors import ScheduleError
from publish.schedule.wall_time import ScheduledTime, local_time, parse
from publish.schedule.zones import TimeZones
from schema.states import TargetState

PAGE_SIZE = 50
MOST_LISTED = 200

CARD = ("title", "description", "image")
"""What is shown of a shared page beside its address."""

MOST_SLOTS_TRIED = 100
"""Free slots of a queue that are held against the quotas of an account, before the first of them is refused."""

TOO_LATE: Mapping[TargetState, str] = {
    TargetState.PUBLISHING: "it is being published: the request that makes it visible may be under way",
    TargetState.PUBLISHED: "it is published",
    TargetState.PUBLISHED_ID_UNKNOWN: "it is published",
    TargetState.UNCONFIRMED: "it may be published: no answer told, so look there and confirm what you see",
    TargetState.AWAITING_PERSON: "the platform has it, and waits for the owner of the account",
    TargetState.FAILED: "it failed, and nothing is going to be published",
    TargetState.CANCELLED: "it is cancelled",
}
"""Why a target in this state is not cancelled any more."""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one account of a request: ``created``, ``exists`` where the post is there already, or ``checked``
    where nothing was to be stored.
    """

    connection: str
    platform: str
    account: str
    result: str
    post: str | None = None
    target: str | None = None
    slot_at: datetime | None = None
    """The slot that it took; None where it has the time of its post."""


@dataclass(frozen=True, slots=True)
class Created:
    """What came of a request to make a post. ``post`` is the one that was made, or that was there already.

    ``replayed``: the same request was answered before. ``words`` say how the time was decided.
    """

    post: StoredPost | None
    results: Sequence[Result] = ()
    findings: Sequence[Mapping[str, str]] = ()
    words: str = ""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """A post after a change; ``changed`` is False where everything was as asked for already."""

    post: StoredPost
    changed: bool
    findings: Sequence[Mapping[str, str]] = ()
    words: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What came of a cancellation, by target: the reason why it is too late, empty where it is cancelled now."""

    post: StoredPost
    reasons: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """Posts, the newest first. ``before`` is where the next page begins; None at the end."""

    posts: Sequence[StoredPost]
    before: str | None


@dataclass(frozen=True, slots=True)
class Time:
    """When a post is due, as it was asked for. ``action`` is draft, schedule or publish.

    ``queued``: each account publishes it at the next free slot of its own.
    """

    action: str
    found: ScheduledTime | None = None
    queued: bool = False

    @property
    def words(self) -> str:
        """How the time was decided, as where the clocks change; empty where none was named."""
        return self.found.words if self.found is not None else ""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a post is to show at one account. ``own`` is the text that it has there alone.

    ``slot_at`` is when, where it took a slot of the account's queue, and ``slot`` how that was decided.
    """

    checked: Checked
    own: str | None
    existing: tuple[str, str] | None = None
    slot_at: datetime | None = None
    slot: ScheduledTime | None = None


@dataclass(frozen=True, slots=True)
class Posts:
    """``publishers`` are the platforms to which posts can be published. Platforms fetch files below ``media_url``.

    ``verified`` has the hosts and address prefixes that platforms have verified as ours, by platform.
    ``previews`` looks at pages that are shared; without one a request has to say all that is shown of them.
    """

    pool: Pool
    publishers: Mapping[str, Publisher]
    files: Files
    zones: TimeZones
    media_url: str = ""
    verified: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ask: AskAccount | None = None
    previews: Previews | None = None

    # --- shared pages

    async def preview(self, tenant: str, url: str) -> Preview:
        """Return what a page says of itself. Raises PostError where it says nothing, or cannot be looked at."""
        if self.previews is None:
            message = "This service looks at no pages: no vault key is configured."
            raise PostError("unprocessable", message, "whoever runs it has to set LANDFALL_VAULT_KEYS")
        try:
            return await self.previews.of(tenant, url)
        except NoPreviewError as error:
            raise _no_preview(error) from None

    async def card(self, tenant: str, link: LinkBody) -> tuple[LinkBody, Finding | None]:
        """Return a link with what the page says of itself where the request says nothing.

        Where the page cannot be looked at, the link is as it was, with a warning that says why. Nothing is looked at
        where all is given.
        """
        lacking = [name for name in CARD if name not in link.model_fields_set]
        if not lacking or self.previews is None:
            return link, None
        try:
            found = await self.preview(tenant, link.url)
        except PostError as error:
            message = f"{error.message} So nothing is shown of it but what you give."
            return link, Finding(
                Severity.WARNING, "link_preview", "link", message, "Give title, description and image."
            )
        given = {"title": found.title, "description": found.description, "image": found.image}
        return link.model_copy(update={name: given[name] for name in lacking}), None

    async def changed_card(
        self, tenant: str, link: LinkBody, before: Mapping[str, str]
    ) -> tuple[LinkBody, Finding | None]:
        """Return a link that comes in place of another: what is not said of the same page stays as it is."""
        if before.get("url") != link.url:
            return await self.card(tenant, link)
        kept = {name: before.get(name, "") for name in CARD if name not in link.model_fields_set}
        return link.model_copy(update=kept), None

    async def _edited_card(self, tenant: str, id_: str, body: EditBody) -> tuple[EditBody, Finding | None]:
        """Return a change with its link whole: what it does not say of the same page stays as it is."""
        if body.link is None:
            return body, None
        async with tenant_transaction(self.pool, tenant) as connection:
            post = await post_store.one(connection, id_)
        link, note = await self.changed_card(tenant, body.link, {} if post is None else post.link)
        return body.model_copy(update={"link": link}), note

    # --- making

    async def create(
        self,
        tenant: str,
        actor: Actor,
        body: PostBody,
        *,
        asked: bytes | None = None,
        note: Finding | None = None,
    ) -> Created:
        """Make a post, or answer with the one that is there. Raises PostError.

        ``asked`` is the digest of the request, by which a repeat of its key is known; that of the body if not given.
        ``note`` is what is to be said of a shared page that was looked at before.
        """
        time, asked = self._time_of(body), asked or digest_of("post", body)
        said = await self.asked_accounts(tenant, body)
        if body.link is not None:
            link, found = await self.card(tenant, body.link)
            body, note = body.model_copy(update={"link": link}), found or note
        async with tenant_transaction(self.pool, tenant) as connection:
            if body.idempotency_key and not body.dry_run:
                before = await self.made_before(connection, tenant, body.idempotency_key, asked)
                if before is not None:
                    return Created(before, _results(before), words=time.words, replayed=True)
            if body.schedule_id is not None and not await recurrence_store.is_there(connection, body.schedule_id):
                message = "There is no schedule of this id."
                raise PostError("unprocessable", message, "take it from GET /api/recurrences")
            at = due_at(time, await post_store.clock(connection))
            return await self._created(connection, tenant, actor, body, time, at, said, asked, note=note)

    async def create_occurrence(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        author: str,
        body: PostBody,
        time: ScheduledTime,
        said: Mapping[str, AccountFacts],
    ) -> Created:
        """Make the post of an occurrence, late or not, within the caller's transaction. Raises PostError."""
        time_, asked = Time("schedule", time), digest_of("occurrence", body)
        return await self._created(connection, tenant, WORKER, body, time_, time.instant, said, asked, author)

    async def asked_accounts(self, tenant: str, body: PostBody) -> Mapping[str, AccountFacts]:
        """Return what the platforms say now of the accounts of a request; outside of any transaction."""
        return await self._asked(tenant, [target.connection for target in body.targets], body.platforms)

    async def account_facts(self, tenant: str, account: Account) -> AccountFacts:
        """Return what an account may do now, as its platform says and as it was allowed; outside of any transaction."""
        return self._facts(account, await self._asked(tenant, [account.id]))

    async def items(
        self, connection: asyncpg.Connection, tenant: str, words: str, media: Sequence[MediaItem]
    ) -> list[Item]:
        """Return files in order; ``words`` say what shows them. Raises PostError for one that is not there."""
        return (await self._items(connection, tenant, {words: _pairs(media)}))[words]

    async def _created(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        actor: Actor,
        body: PostBody,
        time: Time,
        at: datetime,
        said: Mapping[str, AccountFacts],
        asked: bytes,
        author: str = "",
        note: Finding | None = None,
    ) -> Created:
        named = await self._named(connection, body)
        items, parts, comments = await self._files_of(connection, tenant, body, [each for _, each in named])
        link = {name: value for name, value in body.link.model_dump().items() if value} if body.link else {}
        plans = []
        for (account, target), comment in zip(named, comments, strict=True):
            text = target_text(body.content, body.hashtags) if target.content is None else target.content
            campaign = _campaign(account, body.campaign_id) if body.utm else None
            wanted = Wanted(account, text, target.kind, target.options, items, link, parts, comment, campaign)
            seen = checked(self.publishers, wanted, self._facts(account, said))
            plans.append(_Plan(noted(self.publishers, seen, note), target.content))
        draft = time.action == "draft"
        found = await self._examined(connection, plans, at, body, draft=draft, queued=time.queued)
        findings = [document for plan in found for document in plan.checked.documents]
        words = _slot_words(found) or time.words
        if body.dry_run:
            return Created(None, [_result(plan, "checked") for plan in found], findings, words)
        fresh = [plan for plan in found if plan.existing is None]
        if not fresh:
            existing = found[0].existing
            post = await post_store.one(connection, existing[0]) if existing else None
            return Created(post, [_result(plan, "exists") for plan in found], findings, words)
        post = await self._stored(
            connection, tenant, actor, body, time, at, items, link, fresh, asked, author or actor.name
        )
        made = {target.connection_id + target.kind: target for target in post.targets if target.parent_id is None}
        results = [
            _result(plan, "exists")
            if plan.existing is not None
            else _result(plan, "created", made[plan.checked.wanted.account.id + plan.checked.wanted.kind])
            for plan in found
        ]
        return Created(post, results, findings, words)

    async def replay(self, tenant: str, key: str, asked: bytes) -> Created | None:
        """Return the answer to an earlier request with this key. Raises PostError where that was another one."""
        async with tenant_transaction(self.pool, tenant) as connection:
            before = await self.made_before(connection, tenant, key, asked)
        return None if before is None else Created(before, _results(before), replayed=True)

    async def _stored(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        actor: Actor,
        body: PostBody,
        time: Time,
        at: datetime,
        items: Sequence[Item],
        link: Mapping[str, str],
        plans: Sequence[_Plan],
        asked: bytes,
        author: str,
    ) -> StoredPost:
        id_ = new_id()
        taken = sorted((plan.slot for plan in plans if plan.slot is not None), key=lambda slot: slot.instant)
        if taken:  # the post has the time of its first target
            time, at = replace(time, found=taken[0]), taken[0].instant
        new = NewPost(
            content=body.content,
            link=link,
            hashtags=[tag.removeprefix("#") for tag in body.hashtags],
            campaign_id=body.campaign_id or None,
            utm=body.utm,
            needs_approval=body.needs_approval,
            scheduled_at=None if time.action == "draft" and time.found is None else at,
            local_time=_local(time.found),
            zone=time.found.zone if time.found is not None else None,
            late_policy=body.late_policy,
            late_seconds=body.late_minutes * 60.0,
            media=_media(items),
        )
        tzdata = self._release(time)
        key = body.idempotency_key or None
        await post_store.insert(
            connection, tenant, id_, new, author, key=key, request_sha256=asked, schedule_id=body.schedule_id
        )
        state = state_after(time.action, needs_approval=body.needs_approval)
        count = 0
        for plan in plans:
            for target in _targets(plan, new, state, tzdata, repeats=body.repeat):
                await post_store.insert_target(connection, tenant, id_, target, at)
                count += 1
        await audit(connection, tenant, actor, "post.created", id_, targets=count, state=str(state), repeat=body.repeat)
        return await _one(connection, id_)

    async def made_before(
        self, connection: asyncpg.Connection, tenant: str, key: str, asked: bytes
    ) -> StoredPost | None:
        """Return the post that an earlier request with this key made. Raises PostError where that was another one."""
        await post_store.lock_key(connection, tenant, key)
        found = await post_store.by_key(connection, key)
        if found is None:
            return None
        if found[1] != asked:
            message = "This idempotency key was used for another request."
            raise PostError("conflict", message, "take a new key for each post", status=409, details={"post": found[0]})
        return await _one(connection, found[0])

    async def _named(self, connection: asyncpg.Connection, body: PostBody) -> Sequence[tuple[Account, TargetBody]]:
        """Return the accounts of a request, each with what is wanted there. Raises PostError."""
        ids = [target.connection for target in body.targets]
        known = {each.id: each for each in await post_store.accounts(connection, ids, body.platforms)}
        if missing := [id_ for id_ in ids if id_ not in known]:
            message, remedy = f"There is no connection {missing[0]}.", "take ids from GET /api/connections"
            raise PostError("unprocessable", message, remedy, details={"missing": missing})
        found = [(known[each.connection], each) for each in body.targets]
        found += [(each, TargetBody(connection=id_)) for id_, each in known.items() if id_ not in ids]
        without = [name for name in body.platforms if all(account.platform != name for account, _ in found)]
        if without:
            message = f"No account of {without[0][:40]} is connected."
            raise PostError("unprocessable", message, "connect one, or leave the platform out")
        if not found:
            message = "The post names no account."
            raise PostError("unprocessable", message, "name connections in targets, or platforms")
        return found

    async def _files_of(
        self, connection: asyncpg.Connection, tenant: str, body: PostBody, targets: Sequence[TargetBody]
    ) -> tuple[list[Item], list[WantedPart], list[WantedPart | None]]:
        """Return the files of a post, its further parts, and the first comment at each account. Raises PostError."""
        groups = {"the post": _pairs(body.media)}
        groups |= {f"part {number}": _pairs(part.media) for number, part in enumerate(body.thread, 2)}
        for number, target in enumerate(targets):
            if target.first_comment_media and not first_comment(target.options):
                message = "A first comment has files and no text."
                remedy = "write it as the option first_comment, or leave its files out"
                raise PostError("unprocessable", message, remedy)
            groups[f"the first comment of account {number + 1}"] = _pairs(target.first_comment_media)
        items, *rest = (await self._items(connection, tenant, groups)).values()
        parts = [WantedPart(part.content, each) for part, each in zip(body.thread, rest, strict=False)]
        comments = [
            WantedPart(text, each) if (text := first_comment(target.options)) else None
            for target, each in zip(targets, rest[len(parts) :], strict=True)
        ]
        return items, parts, comments

    async def _items(
        self, connection: asyncpg.Connection, tenant: str, groups: Mapping[str, Sequence[tuple[str, str]]]
    ) -> dict[str, list[Item]]:
        """Return the files of a post and its parts in order, each group by what shows it, in words.

        Raises PostError for a file that is not there.
        """
        ids = list(dict.fromkeys(id_ for media in groups.values() for id_, _ in media))
        known: Mapping[str, KnownFile] = await self.files.known(connection, tenant, ids) if ids else {}
        for words, media in groups.items():
            for number, (id_, _) in enumerate(media, 1):
                if id_ not in known:
                    message = f"There is no file {id_}, which is file {number} of {words}."
                    raise PostError("unprocessable", message, "upload it, and take its id from the answer")
        return {words: [Item(known[id_], alt_text) for id_, alt_text in media] for words, media in groups.items()}

    async def _asked(
        self, tenant: str, ids: Sequence[str], platforms: Sequence[str] = ()
    ) -> Mapping[str, AccountFacts]:
        """Return what the platforms say of these accounts now, by connection; outside of any transaction."""
        if self.ask is None:
            return {}
        async with tenant_transaction(self.pool, tenant) as connection:
            accounts = await post_store.accounts(connection, ids, platforms)
        found = await asyncio.gather(*(self.ask(tenant, account) for account in accounts))
        return {account.id: facts for account, facts in zip(accounts, found, strict=True) if facts is not None}

    async def _asked_of(self, tenant: str, id_: str) -> Mapping[str, AccountFacts]:
        """Return what the platforms say now of the accounts of a post; of one that is not there, nothing."""
        if self.ask is None:
            return {}
        async with tenant_transaction(self.pool, tenant) as connection:
            post = await post_store.one(connection, id_)
        return {} if post is None else await self._asked(tenant, [target.connection_id for target in post.targets])

    def _facts(self, account: Account, said: Mapping[str, AccountFacts]) -> AccountFacts:
        return replace(
            said.get(account.id) or AccountFacts(),
            scopes=account.scopes,
            owner=account.owner,
            login=account.login_platform,
            media_url=self.media_url,
            owned_urls=self.verified.get(account.platform),
        )

    async def _examined(
        self,
        connection: asyncpg.Connection,
        plans: Sequence[_Plan],
        at: datetime,
        body: PostBody | EditBody,
        *,
        draft: bool,
        leaving_out: str = "",
        queued: bool = False,
    ) -> list[_Plan]:
        """Find what is posted already, what is left of quotas, and what comes soon. Raises PostError for refusals.

        A draft is kept with its refusals, which are found again when it is to be published.
        """
        shown = Counter((plan.checked.wanted.account.id, plan.checked.wanted.digest) for plan in plans)
        if most := [key for key, count in shown.items() if count > 1]:
            message = f"The same post is named twice for the connection {most[0][0]}."
            raise PostError("unprocessable", message, "name each account once")
        if draft:
            return list(plans)
        await post_store.lock_content(connection, list(shown))
        if queued:
            await queue_store.lock(connection, [plan.checked.wanted.account.id for plan in plans])
        found: list[_Plan] = []
        for each in plans:
            plan, wanted, findings = each, each.checked.wanted, list(each.checked.findings)
            existing = None
            if not body.repeat:
                around = _around(plan.slot_at or at, queued=queued)
                existing = await post_store.same_content(
                    connection, wanted.account.id, wanted.digest, *around, leaving_out
                )
            if existing is None and wanted.account.platform in self.publishers:
                publisher = self.publishers[wanted.account.platform]
                if queued:
                    beside = [other.slot_at for other in found if other.checked.wanted.account.id == wanted.account.id]
                    plan, moved = await self._slotted(connection, publisher, plan, at, beside)
                    findings += moved
                due = plan.slot_at or at
                findings += await quota_findings(connection, publisher, wanted, due, leaving_out)
                findings += await self._soon(connection, publisher, wanted, due, leaving_out)
            found.append(replace(plan, checked=replace(plan.checked, findings=findings), existing=existing))
        if error := refusal_of([plan.checked for plan in found if plan.existing is None]):
            raise error
        return found

    async def _slotted(
        self,
        connection: asyncpg.Connection,
        publisher: Publisher,
        plan: _Plan,
        now: datetime,
        beside: Sequence[datetime | None],
    ) -> tuple[_Plan, list[Finding]]:
        """Give a post the next slot of its account that is free and within the quotas. Raises PostError for none.

        Whoever calls this holds the lock of the queue. ``beside`` are slots that the same request takes.
        """
        account = plan.checked.wanted.account
        queue = await queue_store.queue(connection, account.id)
        taken = [*await queue_store.taken(connection, account.id, now), *(slot for slot in beside if slot is not None)]
        try:
            first = slots.next_free(queue, taken, now, self.zones)
        except ScheduleError as error:
            message = f"{account.platform}, {account.username or account.account_id}: {error.message}."
            remedy = f"{error.remedy}; PUT /api/connections/{account.id}/slots sets them"
            raise PostError("unprocessable", message, remedy) from None
        free = slots.free_times(queue, taken, now, self.zones)
        for found in itertools.islice(free, MOST_SLOTS_TRIED):
            if not await quota_findings(connection, publisher, plan.checked.wanted, found.instant, ""):
                moved = [] if found.instant == first.instant else [_moved(first, found)]
                return replace(plan, slot=found, slot_at=found.instant), moved
        return replace(plan, slot=first, slot_at=first.instant), []

    async def _soon(
        self, connection: asyncpg.Connection, publisher: Publisher, wanted: Wanted, at: datetime, leaving_out: str
    ) -> list[Finding]:
        kinds = list(publisher.machines.machines)
        around = (at - post_store.SOON, at + post_store.SOON)
        if not await post_store.times(connection, wanted.account.id, kinds, *around, leaving_out):
            return []
        message = f"Another post of this account is less than {post_store.SOON.seconds // 60} minutes away."
        return [Finding(Severity.WARNING, "second_post_soon", "post", message, "Spread posts over more time.")]

    def _release(self, time: Time) -> str | None:
        """Return the release of the time zone database that decided a time; None where an instant was named, or none.

        What is due at an instant stays there, whatever the clocks of its zone do.
        """
        return None if time.found is None or time.found.decision == "instant" else self.zones.release

    def _time_of(self, body: PostBody) -> Time:
        """Return when a new post is due. Raises PostError."""
        if not body.next_free_slot:
            return self._time(body.action, body.scheduled_time, body.timezone)
        if body.scheduled_time or body.action not in (None, "schedule"):
            message = (
                "The next free slot is the time of a post, so it has no other, and is neither kept nor published now."
            )
            raise PostError("unprocessable", message, "leave scheduled_time and action out, or next_free_slot")
        return Time("schedule", queued=True)

    def _time(self, action: str | None, scheduled_time: str | None, zone: str | None) -> Time:
        """Return when a post is due by its request. Raises PostError."""
        action = action or ("schedule" if scheduled_time else "draft")
        if action == "publish":
            return Time(action)
        if not scheduled_time:
            if action == "schedule":
                message = "The post has no time."
                raise PostError("unprocessable", message, "give it a scheduled_time and a timezone, or publish it now")
            return Time(action)
        try:
            return Time(action, parse(scheduled_time, zone or None, self.zones))
        except ScheduleError as error:
            raise PostError("unprocessable", f"{error.message[:1].upper()}{error.message[1:]}.", error.remedy) from None

    # --- changing

    async def edit(self, tenant: str, actor: Actor, id_: str, body: EditBody, *, may_approve: bool) -> Changed:
        """Change a post until publishing begins; what was approved is not approved any more. Raises PostError.

        A post that is as asked for already stays as it is, whatever its state, and nothing is published by that.
        """
        said = await self._asked_of(tenant, id_)
        body, note = await self._edited_card(tenant, id_, body)
        async with tenant_transaction(self.pool, tenant) as connection:
            post = await self._locked(connection, id_)
            _require_post(post)
            time = self._edited_time(post, body)
            new, items = await self._edited(connection, tenant, post, body, time)
            edits = _edits_of(post, body)
            if not self._differs(post, new, items, edits, time):
                return Changed(post, changed=False)
            if post.needs_approval and not new.needs_approval and not may_approve:
                message = "Whoever may not approve a post cannot take away that it needs approval."
                raise PostError("forbidden", message, "ask an owner", status=403)
            if began := [target for target in post.targets if target.state not in EDITABLE]:
                raise too_late(began)
            now = await post_store.clock(connection)
            at = due_at(time, now, post.scheduled_at)
            plans = await self._edited_plans(connection, tenant, post, new, items, edits, said)
            later = {target.id: _state_after_edit(target.state, time.action, new) for target in post.targets}
            draft = all(state == TargetState.DRAFT for state in later.values())
            if time.found is None and not draft:  # whoever names another time gives the slots back
                plans = [(target, replace(plan, slot_at=target.slot_at)) for target, plan in plans]
            roots = [replace(plan, checked=noted(self.publishers, plan.checked, note)) for _, plan in plans]
            # An occurrence is like those before and after it on purpose.
            asked = body if post.schedule_id is None else body.model_copy(update={"repeat": True})
            found = await self._examined(connection, roots, at, asked, draft=draft, leaving_out=post.id)
            for plan in found:
                if plan.existing is not None:
                    raise duplicate(plan.existing)
            findings = [document for plan in found for document in plan.checked.documents]
            if body.dry_run:
                return Changed(post, changed=False, findings=findings, words=time.words)
            await post_store.update(connection, tenant, id_, new)
            for (target, _), plan in zip(plans, found, strict=True):
                await self._update_root(connection, target, plan, new, later[target.id], at, time, repeat=body.repeat)
                await self._update_parts(connection, tenant, post, target, plan, later, repeat=body.repeat)
            version = post.version + 1
            await audit(connection, tenant, actor, "post.edited", id_, version=version)
            return Changed(await _one(connection, id_), changed=True, findings=findings, words=time.words)

    async def _locked(self, connection: asyncpg.Connection, id_: str) -> StoredPost:
        post = await post_store.lock(connection, id_)
        if post is None:
            raise no_post()
        return post

    def _edited_time(self, post: StoredPost, body: EditBody) -> Time:
        """Return the time that a post is to have: the one that it has where the request names none."""
        if body.action == "publish":
            message = "A change does not publish a post."
            raise PostError("unprocessable", message, "change it, then POST /api/posts/{id}/publish")
        if "scheduled_time" in body.model_fields_set and body.scheduled_time:
            zone = body.timezone if "timezone" in body.model_fields_set else post.zone
            return replace(self._time("schedule", body.scheduled_time, zone), action=body.action or "")
        if body.action == "schedule" and post.scheduled_at is None:
            return self._time("schedule", None, None)
        return Time(body.action or "")

    async def _edited(
        self, connection: asyncpg.Connection, tenant: str, post: StoredPost, body: EditBody, time: Time
    ) -> tuple[NewPost, list[Item]]:
        named = body.model_fields_set
        media = _pairs(body.media if "media" in named else post.media)
        items = (await self._items(connection, tenant, {"the post": media}))["the post"]
        link = dict(post.link)
        if "link" in named:
            link = {name: value for name, value in body.link.model_dump().items() if value} if body.link else {}
        found = time.found
        new = NewPost(
            content=body.content if "content" in named else post.content,
            link=link,
            hashtags=[tag.removeprefix("#") for tag in body.hashtags] if "hashtags" in named else post.hashtags,
            campaign_id=body.campaign_id or None if "campaign_id" in named else post.campaign_id,
            utm=body.utm if "utm" in named else post.utm,
            needs_approval=body.needs_approval if "needs_approval" in named else post.needs_approval,
            scheduled_at=found.instant if found is not None else post.scheduled_at,
            local_time=_local(found) if found is not None else post.local_time,
            zone=found.zone if found is not None else post.zone,
            late_policy=body.late_policy if "late_policy" in named else post.late_policy,
            late_seconds=body.late_minutes * 60.0 if "late_minutes" in named else post.late_seconds,
            media=_media(items),
        )
        if body.version is not None and body.version != post.version:
            message = f"Somebody changed the post meanwhile: it has version {post.version}, and not {body.version}."
            raise PostError("conflict", message, "read it again, and send the change once more", status=409)
        return new, items

    def _differs(
        self,
        post: StoredPost,
        new: NewPost,
        items: Sequence[Item],
        edits: Mapping[str, TargetEdit],
        time: Time,
    ) -> bool:
        same = (
            (post.content, dict(post.link), list(post.hashtags), post.campaign_id, post.utm, post.needs_approval)
            == (new.content, dict(new.link), list(new.hashtags), new.campaign_id, new.utm, new.needs_approval)
            and (post.scheduled_at, post.late_policy, post.late_seconds)
            == (new.scheduled_at, new.late_policy, new.late_seconds)
            and [(each.id, each.alt_text) for each in post.media] == [(i.file.media.id, i.alt_text) for i in items]
        )
        states = {target.state for target in post.targets}
        moved = {
            "schedule": bool(states & {TargetState.DRAFT, TargetState.MISSED}),
            "draft": bool(states & {TargetState.AWAITING_APPROVAL, TargetState.SCHEDULED}),
        }.get(time.action, False)
        return not same or moved or any(_edit_differs(post, edits[t.id]) for t in post.targets if t.id in edits)

    async def _edited_plans(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        post: StoredPost,
        new: NewPost,
        items: Sequence[Item],
        edits: Mapping[str, TargetEdit],
        said: Mapping[str, AccountFacts],
    ) -> list[tuple[StoredTarget, _Plan]]:
        """Return what each account of a post is to show after a change."""
        roots = [target for target in post.targets if target.parent_id is None]
        known = {each.id: each for each in await post_store.accounts(connection, [t.connection_id for t in roots])}
        before: Sequence[Item] | None = items
        if [each.id for each in post.media] != [item.file.media.id for item in items]:
            before = await self._known_still(connection, tenant, post)
        plans = []
        for target in roots:
            own, options = _edited_own(post, target, edits), _edited_options(target, edits)
            if bool(first_comment(options)) != bool(first_comment(target.options)):
                message = "A first comment is neither added nor taken away by a change."
                raise PostError("unprocessable", message, "cancel the post, and make it anew")
            text = target_text(new.content, new.hashtags) if own is None else own
            kind = target.kind
            publisher = self.publishers.get(target.platform)
            if before is not items and publisher is not None and before is not None:
                media = [item.file.media for item in before]
                chosen = publisher.machines.kind_of(media, target.options, post.link)
                kind = "" if chosen == target.kind else target.kind
            parts = await self._edited_parts(connection, tenant, post, target, options, edits)
            comment = parts.pop() if first_comment(options) else None
            account = known[target.connection_id]
            campaign = _campaign(account, new.campaign_id) if new.utm else None
            wanted = Wanted(account, text, kind, options, items, new.link, parts, comment, campaign)
            plan = _Plan(checked(self.publishers, wanted, self._facts(account, said)), own)
            plans.append((target, plan))
        return plans

    async def _known_still(
        self, connection: asyncpg.Connection, tenant: str, post: StoredPost
    ) -> Sequence[Item] | None:
        """Return the files that a post has; None where one is gone."""
        known = await self.files.known(connection, tenant, [each.id for each in post.media])
        if any(each.id not in known for each in post.media):
            return None
        return [Item(known[each.id], each.alt_text) for each in post.media]

    async def _edited_parts(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        post: StoredPost,
        root: StoredTarget,
        options: Mapping[str, Any],
        edits: Mapping[str, TargetEdit],
    ) -> list[WantedPart]:
        """Return what is to be shown below the target of an account, the first comment last. Raises PostError."""
        below = _below(post, root)
        groups = {f"target {each.id}": _edited_media(each, edits) for each in below}
        items = await self._items(connection, tenant, groups)
        texts = [_edited_part(each, edits) for each in below]
        if below and first_comment(options) != first_comment(root.options):
            texts[-1] = first_comment(options)
        return [WantedPart(text, each) for text, each in zip(texts, items.values(), strict=True)]

    async def _update_root(
        self,
        connection: asyncpg.Connection,
        root: StoredTarget,
        plan: _Plan,
        new: NewPost,
        state: TargetState,
        at: datetime,
        time: Time,
        *,
        repeat: bool,
    ) -> None:
        """Store what the target of an account is to show, and when: at ``time``, where it names one."""
        wanted = plan.checked.wanted
        content, untagged = _root_text(plan, new)
        await post_store.update_target(
            connection,
            root.id,
            kind=wanted.kind,
            content=content,
            untagged=untagged,
            link_url=_link_url(wanted),
            options=wanted.options,
            digest=wanted.digest,
            repeats=root.repeats or repeat,
            state=state,
            due_at=(plan.slot_at or at) if state == TargetState.SCHEDULED else None,
            slot_at=plan.slot_at,
            tzdata=root.tzdata if time.found is None else self._release(time),
            retimed=time.found is not None,
        )

    async def _update_parts(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        post: StoredPost,
        root: StoredTarget,
        plan: _Plan,
        states: Mapping[str, TargetState],
        *,
        repeat: bool,
    ) -> None:
        """Store what the targets below that of an account are to show."""
        for target, (part, kind) in zip(_below(post, root), plan.checked.replies, strict=True):
            if _pairs(target.media) != [(item.file.media.id, item.alt_text) for item in part.items]:
                await post_store.set_part_media(connection, tenant, post.id, target.id, _media(part.items))
            content, untagged = _shown(part.text, part.text, plan.checked.wanted)
            await post_store.update_target(
                connection,
                target.id,
                kind=kind,
                content=content,
                untagged=untagged,
                link_url=None,
                options=target.options,
                digest=target.digest,
                repeats=target.repeats or repeat,
                state=states[target.id],
                due_at=None,
                slot_at=None,
                tzdata=None,
                retimed=False,
            )

    async def publish(self, tenant: str, actor: Actor, id_: str, *, repeat: bool = False) -> Changed:
        """Publish a draft, or what is planned or was missed, now. Raises PostError.

        A post of which nothing is left to publish is answered as it is.
        """
        said = await self._asked_of(tenant, id_)
        async with tenant_transaction(self.pool, tenant) as connection:
            post = await self._locked(connection, id_)
            _require_post(post)
            waiting = (TargetState.DRAFT, TargetState.AWAITING_APPROVAL, TargetState.SCHEDULED, TargetState.MISSED)
            if not any(target.state in waiting for target in post.targets):
                return Changed(post, changed=False)
            if not post.approved:
                message = f"Version {post.version} of the post is not approved."
                raise PostError("conflict", message, "have somebody else approve it first", status=409)
            now = await post_store.clock(connection)
            groups = {"the post": _pairs(post.media)}
            items = (await self._items(connection, tenant, groups))["the post"]
            new = _as_it_is(post, items)
            body = EditBody(repeat=repeat or any(target.repeats for target in post.targets))
            plans = await self._edited_plans(connection, tenant, post, new, items, {}, said)
            roots = [plan for target, plan in plans if target.state in waiting]
            found = await self._examined(connection, roots, now, body, draft=False, leaving_out=post.id)
            for plan in found:
                if plan.existing is not None:
                    raise duplicate(plan.existing)
            await post_store.set_time(connection, id_)
            await post_store.schedule(connection, id_, now=True)
            await audit(connection, tenant, actor, "post.published_now", id_, version=post.version)
            findings = [document for plan in found for document in plan.checked.documents]
            return Changed(await _one(connection, id_), changed=True, findings=findings)

    async def approve(self, tenant: str, actor: Actor, id_: str, body: ApproveBody) -> Changed:
        """Approve the version that somebody read, and schedule what waits for the approval. Raises PostError."""
        async with tenant_transaction(self.pool, tenant) as connection:
            post = await self._locked(connection, id_)
            if post.version != body.version:
                message = f"The post has version {post.version} by now, and not {body.version}."
                raise PostError("conflict", message, "read it again, and approve that", status=409)
            if not post.needs_approval:
                message = "The post needs no approval."
                raise PostError("conflict", message, "nothing is left to do", status=409)
            if post.approved:
                return Changed(post, changed=False)
            if post.author == actor.name:
                message = "The author of a post cannot approve it."
                raise PostError("forbidden", message, "ask another owner", status=403)
            await post_store.approve(connection, id_, actor.name)
            if any(target.state == TargetState.AWAITING_APPROVAL for target in post.targets):
                await post_store.schedule(connection, id_, now=False)
            await audit(connection, tenant, actor, "post.approved", id_, version=post.version)
            return Changed(await _one(connection, id_), changed=True)

    async def cancel(self, tenant: str, actor: Actor, id_: str) -> Cancelled:
        """Cancel the targets of which nothing is visible, and say why it is too late for others. Raises PostError."""
        async with tenant_transaction(self.pool, tenant) as connection:
            post = await self._locked(connection, id_)
            done = await post_store.cancel(connection, id_)
            for target in done:
                await self.files.revoke(connection, target)
            if done:
                await audit(connection, tenant, actor, "post.cancelled", id_, targets=len(done))
            reasons = {t.id: "" if t.id in done else TOO_LATE[t.state] for t in post.targets}
            return Cancelled(await _one(connection, id_), reasons)

    async def retry(self, tenant: str, actor: Actor, id_: str, body: RetryBody) -> Changed:
        """Begin anew with targets that failed or were missed.

        Raises PostError where there is none, and where the same content was posted to an account of them meanwhile.
        """
        async with tenant_transaction(self.pool, tenant) as connection:
            post = await self._locked(connection, id_)
            if body.target is not None and all(target.id != body.target for target in post.targets):
                raise PostError("not_found", "The post has no such target.", "take its id from the post", status=404)
            chosen = [
                target
                for target in post.targets
                if target.state in (TargetState.FAILED, TargetState.MISSED)
                and body.target in (None, target.id)
                and body.cause in ("", target.error_code)
            ]
            if not chosen:
                states = {target.id: str(target.state) for target in post.targets if body.target in (None, target.id)}
                message = "Nothing of this failed, so nothing is tried again."
                remedy = "look at the states; what is unconfirmed is decided upon with /confirm"
                raise PostError("conflict", message, remedy, status=409, details={"states": states})
            if not post.approved:
                message = f"Version {post.version} of the post is not approved."
                raise PostError("conflict", message, "have somebody else approve it first", status=409)
            if not body.repeat:
                await self._not_posted_meanwhile(connection, post, chosen)
            await self._retried(connection, tenant, actor, post, chosen)
            return Changed(await _one(connection, id_), changed=True)

    async def _not_posted_meanwhile(
        self, connection: asyncpg.Connection, post: StoredPost, chosen: Sequence[StoredTarget]
    ) -> None:
        """Raises PostError where another post has the same content at an account: one that failed holds no place."""
        roots = [target for target in chosen if target.parent_id is None and not target.repeats]
        await post_store.lock_content(connection, [(target.connection_id, target.digest) for target in roots])
        now = await post_store.clock(connection)
        for target in roots:
            around = _around(now, queued=target.slot_at is not None)
            existing = await post_store.same_content(connection, target.connection_id, target.digest, *around, post.id)
            if existing is not None:
                raise duplicate(existing)

    async def _retried(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        actor: Actor,
        post: StoredPost,
        chosen: Sequence[StoredTarget],
    ) -> None:
        await post_store.retry(connection, [target.id for target in chosen])
        await post_store.let_be_late(connection, post.id)
        for target in chosen:
            detail: dict[str, Value] = {
                "target": target.id,
                "attempt": target.attempt + 1,
                "code": target.error_code or "",
            }
            await audit(connection, tenant, actor, "post.retried", post.id, **detail)

    async def retry_all(self, tenant: str, actor: Actor, cause: str, platform: str | None) -> int:
        """Begin anew with all targets of a tenant that failed for one cause, and return their number."""
        async with tenant_transaction(self.pool, tenant) as connection:
            found = await post_store.failed_targets(connection, cause=cause, platform=platform)
        count = 0
        for post, target in found:
            try:
                await self.retry(tenant, actor, post, RetryBody(target=target, cause=cause))
            except PostError:  # somebody changed it meanwhile
                continue
            count += 1
        return count

    async def failures(self, tenant: str) -> list[tuple[str, str, int]]:
        """Return, for each platform and code, how many targets failed with it, the most first."""
        async with tenant_transaction(self.pool, tenant) as connection:
            return await post_store.failures(connection)

    async def confirm(self, tenant: str, actor: Actor, id_: str, body: ConfirmBody) -> Changed:
        """Store what a person saw of an unconfirmed target. Raises PostError.

        A target that is there is published; one that is not there is begun anew.
        """
        async with tenant_transaction(self.pool, tenant) as connection:
            post = await self._locked(connection, id_)
            target = next((each for each in post.targets if each.id == body.target), None)
            if target is None:
                raise PostError("not_found", "The post has no such target.", "take its id from the post", status=404)
            open_ = {TargetState.UNCONFIRMED, TargetState.AWAITING_PERSON}
            if body.there:
                open_.add(TargetState.PUBLISHED_ID_UNKNOWN)
            if target.state not in open_:
                message = f"There is nothing to decide: {TOO_LATE.get(target.state, f'it is {target.state}')}."
                raise PostError("conflict", message, "look at the post", status=409)
            seen = {"target": target.id, "state": str(target.state), "evidence": body.evidence}
            seen["looked_at"] = "; ".join(map(str, target.evidence))
            if body.there:
                await self._confirmed(connection, target, body)
                found = {**seen, "post_id": body.post_id, "url": body.url}
                await audit(connection, tenant, actor, "post.confirmed", id_, **found)
                metrics.of(metrics.targets, target.platform, str(TargetState.PUBLISHED)).inc()
            else:
                await audit(connection, tenant, actor, "post.not_there", id_, **seen)
                await post_store.confirm_absent(connection, target.id)
                await self._retried(connection, tenant, actor, post, [replace(target, error_code="not_there")])
            await self.files.revoke(connection, target.id)
            return Changed(await _one(connection, id_), changed=True)

    async def _confirmed(self, connection: asyncpg.Connection, target: StoredTarget, body: ConfirmBody) -> None:
        named = body.post_id.strip() or body.url or target.platform_post_id or target.platform_post_url
        if not named and target.kind not in CHANGES:
            message = "Neither its id nor its address is named."
            raise PostError("unprocessable", message, "open the post there, and copy its address")
        if body.url and not body.url.startswith(("http://", "https://")):
            message = "The address does not begin with http:// or https://."
            raise PostError("unprocessable", message, "copy the whole address")
        try:
            await post_store.confirm_there(connection, target.id, body.post_id.strip(), body.url)
        except asyncpg.UniqueViolationError:
            message = "Another post of this account has that id."
            raise PostError("conflict", message, "look again which of them this one is", status=409) from None

    # --- showing

    async def one(self, tenant: str, id_: str) -> StoredPost:
        """Return a post. Raises PostError where there is none."""
        async with tenant_transaction(self.pool, tenant) as connection:
            found = await post_store.one(connection, id_)
        if found is None:
            raise no_post()
        return found

    async def page(self, tenant: str, wanted: PostFilter, limit: int = PAGE_SIZE) -> Page:
        """Return posts that fit, at most ``limit``, the newest first. Raises PostError for a state that is unknown."""
        known_state(wanted.state)
        async with tenant_transaction(self.pool, tenant) as connection:
            found = await post_store.listed(connection, wanted, limit + 1)
        return Page(found[:limit], found[limit - 1].id if len(found) > limit else None)

    async def summary(self, tenant: str, campaign: str | None = None) -> dict[str, object]:
        """Count targets by the user's words and by state, in all, per platform and per campaign."""
        async with tenant_transaction(self.pool, tenant) as connection:
            found = await post_store.tallies(connection, campaign)
        return {
            **_counted(found),
            "platforms": {name: _counted(each) for name, each in _grouped(found, lambda t: t.platform).items()},
            "campaigns": {
                name: _counted(each) for name, each in _grouped(found, lambda t: t.campaign_id or "").items() if name
            },
        }

    async def accounts(self, tenant: str) -> list[Account]:
        """Return the connected accounts of platforms to which posts can be published."""
        async with tenant_transaction(self.pool, tenant) as connection:
            found = await post_store.accounts(connection)
        return [account for account in found if account.platform in self.publishers]


def _no_preview(error: NoPreviewError) -> PostError:
    message = f"The page could not be looked at: {error}."
    return PostError("unprocessable", message, "look whether the address opens in a browser where nobody is logged in")


def known_state(state: str | None) -> None:
    """Raises PostError for what is neither a state nor the user's word for one."""
    if state is not None and state not in (*STATUSES, *(str(each) for each in TargetState)):
        message = f"There is no state {state[:40]!r}."
        known = ", ".join((*STATUSES, *TargetState))
        raise PostError("invalid_request", message, f"name one of {known}", status=400)


def _require_post(post: StoredPost) -> None:
    """Raises PostError for an action on what is there, which is neither edited nor published by itself."""
    if post.is_action:
        message = "This is an action on something that is there already, and no post."
        raise PostError("conflict", message, "look at GET /api/actions; cancel it, and ask for another", status=409)


def new_id() -> str:
    """Return a new id (UUIDv7), which sorts after those that were made before it."""
    return str(uuid_utils.uuid7())


_LATER: Mapping[str, Sequence[str]] = {
    "post": ("next_free_slot", "utm"),
    "occurrence": ("next_free_slot", "utm"),
    "share": ("campaign_id", "utm"),
}
"""By kind of request, what an earlier release did not know."""


def digest_of(what: str, body: BaseModel) -> bytes:
    """Return the digest of a request, its idempotency key apart.

    What an earlier release did not know counts only where it is asked for, so that a repeat is known across releases.
    """
    document = body.model_dump(mode="json", exclude={"idempotency_key"})
    for name in _LATER.get(what, ()):
        if not document[name]:
            del document[name]
    return hashlib.sha256(json.dumps([what, document], sort_keys=True).encode()).digest()


def target_text(content: str, hashtags: Sequence[str]) -> str:
    """Return the text of a post with its hashtags below it."""
    tags = " ".join(f"#{tag.removeprefix('#')}" for tag in hashtags)
    return "\n\n".join(part for part in (content, tags) if part)


def due_at(time: Time, now: datetime, before: datetime | None = None) -> datetime:
    """Return when a post is due: the time that it names, the one that it had before, or now. Raises PostError."""
    if time.found is None:
        return before or now
    if time.found.instant < now and time.action != "draft":
        message = f"The time is past: {time.found.words}."
        raise PostError("unprocessable", message, "choose a later time, or publish it now")
    return time.found.instant


def state_after(action: str, *, needs_approval: bool) -> TargetState:
    """Return the state of the targets of a new post."""
    if action == "draft":
        return TargetState.DRAFT
    return TargetState.AWAITING_APPROVAL if needs_approval else TargetState.SCHEDULED


def _state_after_edit(state: TargetState, action: str, new: NewPost) -> TargetState:
    if state == TargetState.FAILED:
        return state
    planned = state_after("schedule", needs_approval=new.needs_approval)
    if state == TargetState.MISSED:
        return TargetState.SCHEDULED if action == "schedule" and not new.needs_approval else state
    if action == "draft":
        return TargetState.DRAFT
    return planned if action == "schedule" or state != TargetState.DRAFT else state


def too_late(began: Sequence[StoredTarget]) -> PostError:
    """Return the error for a change of a post that is published, or about to be."""
    first = began[0]
    message = f"It is too late to change the post: at {first.account}, {TOO_LATE.get(first.state, 'work on it began')}."
    states = {target.id: str(target.state) for target in began}
    return PostError("too_late", message, "make another post", status=409, details={"states": states})


def duplicate(existing: tuple[str, str]) -> PostError:
    """Return the error for content that the account has already; ``existing`` is the post and its target."""
    message = "The same content is posted to this account already, or planned, less than a day away."
    remedy = "leave it at that, or say repeat to post it again on purpose"
    return PostError("conflict", message, remedy, status=409, details={"post": existing[0], "target": existing[1]})


def _local(found: ScheduledTime | None) -> str | None:
    return None if found is None else local_time(found.wall)


def _pairs(media: Sequence[MediaItem] | Sequence[AttachedMedia]) -> list[tuple[str, str]]:
    """Return ids and alternative texts."""
    return [(each.id, each.alt_text) for each in media]


def _around(at: datetime, *, queued: bool) -> tuple[datetime, datetime]:
    """Return between which times the same content counts as the same post: anywhere in the queue for what is queued."""
    ahead = timedelta(days=slots.HORIZON_DAYS + 2) if queued else post_store.SAME_CONTENT
    return at - post_store.SAME_CONTENT, at + ahead


def _slot_words(plans: Sequence[_Plan]) -> str:
    """Return how the slots of accounts were decided; empty where none took one."""
    found = [(plan.checked.wanted.account, plan.slot) for plan in plans if plan.slot is not None]
    return "; ".join(f"{each.platform}, {each.username or each.account_id}: {slot.words}" for each, slot in found)


def _moved(first: ScheduledTime, found: ScheduledTime) -> Finding:
    message = f"The quota of the account leaves no post at {first.words}, so it takes the slot of {found.words}."
    return Finding(Severity.WARNING, "moved_to_later_slot", "post", message, "Choose a time if that is too late.")


def _media(items: Sequence[Item]) -> list[tuple[str, str, bytes]]:
    return [(item.file.media.id, item.alt_text, item.file.sha256) for item in items]


def _hashed(text: str, new: NewPost) -> str | None:
    """Return the text of a target where it is not that of its post: with the hashtags."""
    return text if new.hashtags else None


def _campaign(account: Account, campaign_id: str | None) -> Campaign:
    return Campaign(account.platform, campaign=campaign_id or "")


def _shown(written: str | None, text: str, wanted: Wanted) -> tuple[str | None, str | None]:
    """Return the text of a target as it is stored, and what it was before campaign parameters were added.

    ``written`` is None, as what is stored, where ``text`` is that of the post and nothing is added.
    """
    shown = tagged(text, wanted.campaign)
    return (written, None) if shown == text else (shown, text)


def _root_text(plan: _Plan, new: NewPost) -> tuple[str | None, str | None]:
    """Return the text of the target of an account as :func:`_shown` does."""
    wanted = plan.checked.wanted
    return _shown(plan.own if plan.own is not None else _hashed(wanted.text, new), wanted.text, wanted)


def _link_url(wanted: Wanted) -> str | None:
    return wanted.shown_link if wanted.shown_link != wanted.link.get("url", "") else None


def _targets(plan: _Plan, new: NewPost, state: TargetState, tzdata: str | None, *, repeats: bool) -> list[NewTarget]:
    """Return the target of an account, and below it those of a thread's further parts and of the first comment."""
    wanted = plan.checked.wanted
    scheduled = state == TargetState.SCHEDULED
    content, untagged = _root_text(plan, new)
    root = NewTarget(
        id=new_id(),
        account=wanted.account,
        kind=wanted.kind,
        content=content,
        untagged=untagged,
        link_url=_link_url(wanted),
        options=wanted.options,
        digest=wanted.digest,
        repeats=repeats,
        state=state,
        due=scheduled,
        slot_at=plan.slot_at,
        slot_local_time=_local(plan.slot),
        slot_zone=plan.slot.zone if plan.slot is not None else None,
        tzdata=tzdata,
    )
    found = [root]
    for position, (part, kind) in enumerate(plan.checked.replies, 1):
        above = root.id if part is wanted.comment else found[-1].id
        found.append(_child(root, above, wanted, part, kind, position))
    return found


def _child(root: NewTarget, parent: str, wanted: Wanted, part: WantedPart, kind: str, position: int) -> NewTarget:
    content, untagged = _shown(part.text, part.text, wanted)
    shown = part.text.encode() + b"".join(item.file.sha256 for item in part.items)
    return replace(
        root,
        id=new_id(),
        kind=kind,
        content=content,
        untagged=untagged,
        link_url=None,
        options={},
        digest=hashlib.sha256(root.digest + shown + bytes([position])).digest(),
        due=False,
        parent_id=parent,
        position=position,
        media=_media(part.items),
        slot_at=None,
        slot_local_time=None,
        slot_zone=None,
        tzdata=None,
    )


def _result(plan: _Plan, result: str, target: StoredTarget | None = None) -> Result:
    account, existing = plan.checked.wanted.account, plan.existing
    post, id_ = existing or ((target.post_id, target.id) if target is not None else (None, None))
    name = account.username or account.account_id
    slot_at = None if existing else plan.slot_at
    return Result(account.id, account.platform, name, "exists" if existing else result, post, id_, slot_at)


def _results(post: StoredPost) -> list[Result]:
    return [
        Result(target.connection_id, target.platform, target.account, "created", post.id, target.id, target.slot_at)
        for target in post.targets
        if target.parent_id is None
    ]


def _edited_own(post: StoredPost, target: StoredTarget, edits: Mapping[str, TargetEdit]) -> str | None:
    """Return the text that a target has for itself, None where it is that of the post."""
    edit = edits.get(target.id)
    if edit is not None and "content" in edit.model_fields_set:
        return edit.content
    return None if target.written == target_text(post.content, post.hashtags) else target.written


def _edited_options(target: StoredTarget, edits: Mapping[str, TargetEdit]) -> Mapping[str, Any]:
    edit = edits.get(target.id)
    return edit.options if edit is not None and "options" in edit.model_fields_set else target.options


def _edited_part(target: StoredTarget, edits: Mapping[str, TargetEdit]) -> str:
    edit = edits.get(target.id)
    return (edit.content if edit is not None and edit.content is not None else target.written) or ""


def _edited_media(target: StoredTarget, edits: Mapping[str, TargetEdit]) -> list[tuple[str, str]]:
    edit = edits.get(target.id)
    return _pairs(edit.media if edit is not None and "media" in edit.model_fields_set else target.media)


def _edits_of(post: StoredPost, body: EditBody) -> dict[str, TargetEdit]:
    """Return the changes of targets by their ids. Raises PostError for one that the post cannot have."""
    edits = {edit.id: edit for edit in body.targets}
    if unknown := edits.keys() - {target.id for target in post.targets}:
        message = f"The post has no target {min(unknown)}."
        raise PostError("unprocessable", message, "take ids from the post")
    if any("media" in edits[t.id].model_fields_set for t in post.targets if t.id in edits and not t.parent_id):
        message = "The files of an account are those of the post."
        raise PostError("unprocessable", message, "name them beside the content, and not at a target")
    return edits


def _edit_differs(post: StoredPost, edit: TargetEdit) -> bool:
    target = next(each for each in post.targets if each.id == edit.id)
    own = _edited_own(post, target, {}) if target.parent_id is None else target.written
    named = edit.model_fields_set
    return (
        ("content" in named and edit.content != own)
        or ("options" in named and edit.options != target.options)
        or ("media" in named and _pairs(edit.media) != _pairs(target.media))
    )


def _below(post: StoredPost, root: StoredTarget) -> list[StoredTarget]:
    """Return the targets below the one of an account, in the order of their positions."""
    ids, found = {root.id}, list[StoredTarget]()
    for target in sorted(post.targets, key=lambda each: each.position):
        if target.parent_id in ids:
            ids.add(target.id)
            found.append(target)
    return found


def _as_it_is(post: StoredPost, items: Sequence[Item]) -> NewPost:
    return NewPost(
        content=post.content,
        link=post.link,
        hashtags=post.hashtags,
        campaign_id=post.campaign_id,
        utm=post.utm,
        needs_approval=post.needs_approval,
        scheduled_at=post.scheduled_at,
        local_time=post.local_time,
        zone=post.zone,
        late_policy=post.late_policy,
        late_seconds=post.late_seconds,
        media=_media(items),
    )


async def _one(connection: asyncpg.Connection, id_: str) -> StoredPost:
    found = await post_store.one(connection, id_)
    if found is None:
        raise LookupError("the post is gone within its own transaction")
    return found


def _grouped(tallies: Sequence[Tally], name: Any) -> dict[str, list[Tally]]:
    found: dict[str, list[Tally]] = {}
    for tally in tallies:
        found.setdefault(name(tally), []).append(tally)
    return found


def _counted(tallies: Sequence[Tally]) -> dict[str, object]:
    words, states = Counter(dict.fromkeys(STATUSES, 0)), Counter[str]()
    for tally in tallies:
        words[post_store.STATUS[tally.state]] += tally.targets
        states[str(tally.state)] += tally.targets
    return {"total": sum(states.values()), **words, "states": dict(states)}
