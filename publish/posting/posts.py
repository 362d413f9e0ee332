"""Make posts, as people and programs ask for it: each account's plan is examined, and the post stored with its targets.

Each call is one transaction with its entry in the audit log. What follows is the worker's: see :mod:`.driver`.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import asyncpg

from ops.access.audit_log_store import WORKER, Actor, audit
from ops.runtime.db import Pool
from ops.runtime.tenancy import tenant_transaction
from publish.posting import post_store, queue_store, recurrence_store
from publish.posting.acceptance import (
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
from publish.posting.errors import PostError, no_post
from publish.posting.inquiries import AskAccount
from publish.posting.link_cards import LinkCards, Pictures
from publish.posting.link_preview import Previews
from publish.posting.plans import (
    Plan,
    around,
    campaign_of,
    digest_of,
    ids_and_texts,
    media_rows,
    moved_to_slot,
    new_id,
    result_of,
    slot_words,
    target_text,
    targets_of,
)
from publish.posting.post_store import Account, AttachedMedia, NewPost, StoredPost
from publish.posting.request_times import Time, due_at, release_of, state_after, stored_wall, time_of_post
from publish.posting.requests import EditBody, LinkBody, MediaItem, PostBody, TargetBody
from publish.posting.results import Created, results_of
from publish.preflight.contract import AccountFacts, Finding, Severity
from publish.schedule import slots
from publish.schedule.errors import ScheduleError
from publish.schedule.wall_time import ScheduledTime
from publish.schedule.zones import TimeZones

MOST_SLOTS_TRIED = 100
"""Free slots of a queue that are held against the quotas of an account, before the first of them is refused."""


@dataclass(frozen=True, slots=True)
class Posts:
    """``publishers`` are the platforms to which posts can be published. Platforms fetch files below ``media_url``.

    ``verified`` has the hosts and address prefixes that platforms have verified as ours, by platform.
    ``previews`` looks at pages that are shared; without one a request has to say all that is shown of them.
    ``pictures`` takes the pictures of these pages, for platforms to which they are uploaded.
    """

    pool: Pool
    publishers: Mapping[str, Publisher]
    files: Files
    zones: TimeZones
    media_url: str = ""
    verified: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ask: AskAccount | None = None
    previews: Previews | None = None
    pictures: Pictures | None = None

    @property
    def cards(self) -> LinkCards:
        """What is shown of pages that are shared."""
        return LinkCards(self.previews, self.pictures)

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
        time, asked = time_of_post(body, self.zones), asked or digest_of("post", body)
        said = await self.asked_accounts(tenant, body)
        if body.link is not None:
            link, found = await self.cards.card(tenant, body.link)
            note = found or note
            if not body.dry_run:
                ids = [each.connection for each in body.targets]
                link, found = await self.pictured(tenant, actor, link, ids, body.platforms)
                note = note or found
            body = body.model_copy(update={"link": link})
        async with tenant_transaction(self.pool, tenant) as connection:
            if body.idempotency_key and not body.dry_run:
                before = await self.made_before(connection, tenant, body.idempotency_key, asked)
                if before is not None:
                    return Created(before, results_of(before), words=time.words, replayed=True)
            if body.schedule_id is not None and not await recurrence_store.is_there(connection, body.schedule_id):
                message = "There is no schedule of this id."
                raise PostError("unprocessable", message, "take it from GET /api/recurrences")
            at = due_at(time, await post_store.clock(connection))
            return await self._created(connection, tenant, actor, body, time, at, said, asked, note=note)

    async def pictured(
        self, tenant: str, actor: Actor, link: LinkBody, ids: Sequence[str], platforms: Sequence[str] = ()
    ) -> tuple[LinkBody, Finding | None]:
        """Return a link with the file of its picture, where one of these accounts' platforms wants it uploaded.

        The warning says why there is none, where it could not be taken. Outside of any transaction.
        """
        if self.pictures is None or not link.image or link.image_media is not None:
            return link, None
        async with tenant_transaction(self.pool, tenant) as connection:
            accounts = await post_store.accounts(connection, ids, platforms)
        rules = [self.publishers[each.platform].rules for each in accounts if each.platform in self.publishers]
        wanted = next((each.card_image for each in rules if each.card_image is not None), None)
        return (link, None) if wanted is None else await self.cards.pictured(tenant, actor, link, wanted)

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
        return self.facts(account, await self._asked(tenant, [account.id]))

    async def items(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        words: str,
        media: Sequence[MediaItem] | Sequence[AttachedMedia],
    ) -> list[Item]:
        """Return files in order; ``words`` say what shows them. Raises PostError for one that is not there."""
        return (await self.grouped_items(connection, tenant, {words: ids_and_texts(media)}))[words]

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
            campaign = campaign_of(account, body.campaign_id) if body.utm else None
            wanted = Wanted(account, text, target.kind, target.options, items, link, parts, comment, campaign)
            seen = checked(self.publishers, wanted, self.facts(account, said))
            plans.append(Plan(noted(self.publishers, seen, note), target.content))
        draft = time.action == "draft"
        found = await self.examined(connection, plans, at, body, draft=draft, queued=time.queued)
        findings = [document for plan in found for document in plan.checked.documents]
        words = slot_words(found) or time.words
        if body.dry_run:
            return Created(None, [result_of(plan, "checked") for plan in found], findings, words)
        fresh = [plan for plan in found if plan.existing is None]
        if not fresh:
            existing = found[0].existing
            post = await post_store.one(connection, existing[0]) if existing else None
            return Created(post, [result_of(plan, "exists") for plan in found], findings, words)
        post = await self._stored(
            connection, tenant, actor, body, time, at, items, link, fresh, asked, author or actor.name
        )
        made = {target.connection_id + target.kind: target for target in post.targets if target.parent_id is None}
        results = [
            result_of(plan, "exists")
            if plan.existing is not None
            else result_of(plan, "created", made[plan.checked.wanted.account.id + plan.checked.wanted.kind])
            for plan in found
        ]
        return Created(post, results, findings, words)

    async def replay(self, tenant: str, key: str, asked: bytes) -> Created | None:
        """Return the answer to an earlier request with this key. Raises PostError where that was another one."""
        async with tenant_transaction(self.pool, tenant) as connection:
            before = await self.made_before(connection, tenant, key, asked)
        return None if before is None else Created(before, results_of(before), replayed=True)

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
        plans: Sequence[Plan],
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
            local_time=stored_wall(time.found),
            zone=time.found.zone if time.found is not None else None,
            late_policy=body.late_policy,
            late_seconds=body.late_minutes * 60.0,
            media=media_rows(items),
        )
        tzdata = release_of(time, self.zones)
        key = body.idempotency_key or None
        await post_store.insert(
            connection, tenant, id_, new, author, key=key, request_sha256=asked, schedule_id=body.schedule_id
        )
        state = state_after(time.action, needs_approval=body.needs_approval)
        count = 0
        for plan in plans:
            for target in targets_of(plan, new, state, tzdata, repeats=body.repeat):
                await post_store.insert_target(connection, tenant, id_, target, at)
                count += 1
        await audit(connection, tenant, actor, "post.created", id_, targets=count, state=str(state), repeat=body.repeat)
        return await post_store.existing(connection, id_)

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
        return await post_store.existing(connection, found[0])

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
        groups = {"the post": ids_and_texts(body.media)}
        card = body.link.image_media if body.link is not None else None
        await self.grouped_items(connection, tenant, {"the shared page": [(card, "")] if card else []})
        groups |= {f"part {number}": ids_and_texts(part.media) for number, part in enumerate(body.thread, 2)}
        for number, target in enumerate(targets):
            if target.first_comment_media and not first_comment(target.options):
                message = "A first comment has files and no text."
                remedy = "write it as the option first_comment, or leave its files out"
                raise PostError("unprocessable", message, remedy)
            groups[f"the first comment of account {number + 1}"] = ids_and_texts(target.first_comment_media)
        items, *rest = (await self.grouped_items(connection, tenant, groups)).values()
        parts = [WantedPart(part.content, each) for part, each in zip(body.thread, rest, strict=False)]
        comments = [
            WantedPart(text, each) if (text := first_comment(target.options)) else None
            for target, each in zip(targets, rest[len(parts) :], strict=True)
        ]
        return items, parts, comments

    async def grouped_items(
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

    async def asked_of(self, tenant: str, id_: str, target: str | None = None) -> Mapping[str, AccountFacts]:
        """Return what the platforms say now of the accounts of a post, or of one ``target`` of it.

        Of a post that is not there, nothing; outside of any transaction.
        """
        if self.ask is None:
            return {}
        async with tenant_transaction(self.pool, tenant) as connection:
            post = await post_store.one(connection, id_)
        targets = [] if post is None else [each for each in post.targets if target in (None, each.id)]
        return await self._asked(tenant, [each.connection_id for each in targets])

    def facts(self, account: Account, said: Mapping[str, AccountFacts]) -> AccountFacts:
        return replace(
            said.get(account.id) or AccountFacts(),
            scopes=account.scopes,
            owner=account.owner,
            login=account.login_platform,
            media_url=self.media_url,
            owned_urls=self.verified.get(account.platform),
        )

    async def examined(
        self,
        connection: asyncpg.Connection,
        plans: Sequence[Plan],
        at: datetime,
        body: PostBody | EditBody,
        *,
        draft: bool,
        leaving_out: str = "",
        queued: bool = False,
    ) -> list[Plan]:
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
        found: list[Plan] = []
        for each in plans:
            plan, wanted, findings = each, each.checked.wanted, list(each.checked.findings)
            existing = None
            if not body.repeat:
                window = around(plan.slot_at or at, queued=queued)
                existing = await post_store.same_content(
                    connection, wanted.account.id, wanted.digest, *window, leaving_out
                )
            if existing is None and wanted.account.platform in self.publishers:
                publisher = self.publishers[wanted.account.platform]
                if queued:
                    beside = [other.slot_at for other in found if other.checked.wanted.account.id == wanted.account.id]
                    plan, moved = await self._slotted(connection, publisher, plan, at, beside)
                    findings += moved
                due = plan.slot_at or at
                findings += await quota_findings(connection, publisher, plan.checked, due, leaving_out)
                findings += await self._soon(connection, publisher, wanted, due, leaving_out)
            found.append(replace(plan, checked=replace(plan.checked, findings=findings), existing=existing))
        if error := refusal_of([plan.checked for plan in found if plan.existing is None]):
            raise error
        return found

    async def _slotted(
        self,
        connection: asyncpg.Connection,
        publisher: Publisher,
        plan: Plan,
        now: datetime,
        beside: Sequence[datetime | None],
    ) -> tuple[Plan, list[Finding]]:
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
            quotas = await quota_findings(connection, publisher, plan.checked, found.instant, "")
            if all(each.severity is not Severity.REFUSAL for each in quotas):
                moved = [] if found.instant == first.instant else [moved_to_slot(first, found)]
                return replace(plan, slot=found, slot_at=found.instant), moved
        return replace(plan, slot=first, slot_at=first.instant), []

    async def _soon(
        self, connection: asyncpg.Connection, publisher: Publisher, wanted: Wanted, at: datetime, leaving_out: str
    ) -> list[Finding]:
        kinds = list(publisher.machines.machines)
        window = (at - post_store.SOON, at + post_store.SOON)
        if not await post_store.times(connection, wanted.account.id, kinds, *window, leaving_out):
            return []
        message = f"Another post of this account is less than {post_store.SOON.seconds // 60} minutes away."
        return [Finding(Severity.WARNING, "second_post_soon", "post", message, "Spread posts over more time.")]

    async def locked(self, connection: asyncpg.Connection, id_: str) -> StoredPost:
        """Return a post that nobody else changes until the transaction ends. Raises PostError where there is none."""
        post = await post_store.lock(connection, id_)
        if post is None:
            raise no_post()
        return post
