"""Change posts until publishing begins, and publish them before their time.

Each call is one transaction with its entry in the audit log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import asyncpg

from ops.access.audit_log_store import Actor, audit
from ops.runtime.tenancy import tenant_transaction
from publish.posting import post_store
from publish.posting.acceptance import Item, Wanted, WantedPart, checked, first_comment, noted
from publish.posting.errors import PostError
from publish.posting.plans import (
    Plan,
    campaign_of,
    duplicate,
    ids_and_texts,
    link_url_of,
    media_rows,
    root_text,
    shown_text,
    target_text,
    targets_below,
)
from publish.posting.post_store import EDITABLE, NewPost, StoredPost, StoredTarget
from publish.posting.posts import Posts
from publish.posting.request_times import Time, due_at, release_of, state_after, stored_wall, time_of
from publish.posting.requests import EditBody, TargetEdit
from publish.posting.results import Changed
from publish.preflight.contract import AccountFacts, Finding
from schema.states import TargetState

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
class Edits:
    posts: Posts

    async def edit(self, tenant: str, actor: Actor, id_: str, body: EditBody, *, may_approve: bool) -> Changed:
        """Change a post until publishing begins; what was approved is not approved any more. Raises PostError.

        A post that is as asked for already stays as it is, whatever its state, and nothing is published by that.
        """
        said = await self.posts.asked_of(tenant, id_)
        body, note = await self._edited_card(tenant, actor, id_, body)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            post = await self.posts.locked(connection, id_)
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
            roots = [target for target in post.targets if target.parent_id is None]
            plans = await self._edited_plans(connection, tenant, post, roots, new, items, edits, said)
            later = {target.id: _state_after_edit(target.state, time.action, new) for target in post.targets}
            draft = all(state == TargetState.DRAFT for state in later.values())
            if time.found is None and not draft:  # whoever names another time gives the slots back
                plans = [(target, replace(plan, slot_at=target.slot_at)) for target, plan in plans]
            shown = [replace(plan, checked=noted(self.posts.publishers, plan.checked, note)) for _, plan in plans]
            # An occurrence is like those before and after it on purpose.
            asked = body if post.schedule_id is None else body.model_copy(update={"repeat": True})
            found = await self.posts.examined(connection, shown, at, asked, draft=draft, leaving_out=post.id)
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
            return Changed(
                await post_store.existing(connection, id_), changed=True, findings=findings, words=time.words
            )

    async def publish(self, tenant: str, actor: Actor, id_: str, *, repeat: bool = False) -> Changed:
        """Publish a draft, or what is planned or was missed, now. Raises PostError.

        A post of which nothing is left to publish is answered as it is.
        """
        said = await self.posts.asked_of(tenant, id_)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            post = await self.posts.locked(connection, id_)
            _require_post(post)
            waiting = (TargetState.DRAFT, TargetState.AWAITING_APPROVAL, TargetState.SCHEDULED, TargetState.MISSED)
            if not any(target.state in waiting for target in post.targets):
                return Changed(post, changed=False)
            if not post.approved:
                message = f"Version {post.version} of the post is not approved."
                raise PostError("conflict", message, "have somebody else approve it first", status=409)
            now = await post_store.clock(connection)
            body = EditBody(repeat=repeat or any(target.repeats for target in post.targets))
            roots = [target for target in post.targets if target.parent_id is None and target.state in waiting]
            plans = await self.plans_as_they_are(connection, tenant, post, roots, said)
            found = await self.posts.examined(connection, plans, now, body, draft=False, leaving_out=post.id)
            for plan in found:
                if plan.existing is not None:
                    raise duplicate(plan.existing)
            await post_store.set_time(connection, id_)
            await post_store.schedule(connection, id_, now=True)
            await audit(connection, tenant, actor, "post.published_now", id_, version=post.version)
            findings = [document for plan in found for document in plan.checked.documents]
            return Changed(await post_store.existing(connection, id_), changed=True, findings=findings)

    async def plans_as_they_are(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        post: StoredPost,
        roots: Sequence[StoredTarget],
        said: Mapping[str, AccountFacts],
    ) -> list[Plan]:
        """Return what these targets of accounts are to show, compared anew with what their platforms say.

        Raises PostError for a file that is gone.
        """
        items = await self.posts.items(connection, tenant, "the post", post.media)
        plans = await self._edited_plans(connection, tenant, post, roots, _as_it_is(post, items), items, {}, said)
        return [plan for _, plan in plans]

    async def _edited_card(
        self, tenant: str, actor: Actor, id_: str, body: EditBody
    ) -> tuple[EditBody, Finding | None]:
        """Return a change with its link whole: what it does not say of the same page stays as it is."""
        if body.link is None:
            return body, None
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            post = await post_store.one(connection, id_)
        link, note = await self.posts.cards.changed_card(tenant, body.link, {} if post is None else post.link)
        if post is not None and not body.dry_run:
            ids = [target.connection_id for target in post.targets]
            link, missing = await self.posts.pictured(tenant, actor, link, ids)
            note = note or missing
        return body.model_copy(update={"link": link}), note

    def _edited_time(self, post: StoredPost, body: EditBody) -> Time:
        """Return the time that a post is to have: the one that it has where the request names none."""
        if body.action == "publish":
            message = "A change does not publish a post."
            raise PostError("unprocessable", message, "change it, then POST /api/posts/{id}/publish")
        if "scheduled_time" in body.model_fields_set and body.scheduled_time:
            zone = body.timezone if "timezone" in body.model_fields_set else post.zone
            return replace(time_of("schedule", body.scheduled_time, zone, self.posts.zones), action=body.action or "")
        if body.action == "schedule" and post.scheduled_at is None:
            return time_of("schedule", None, None, self.posts.zones)
        return Time(body.action or "")

    async def _edited(
        self, connection: asyncpg.Connection, tenant: str, post: StoredPost, body: EditBody, time: Time
    ) -> tuple[NewPost, list[Item]]:
        named = body.model_fields_set
        media = ids_and_texts(body.media if "media" in named else post.media)
        items = (await self.posts.grouped_items(connection, tenant, {"the post": media}))["the post"]
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
            local_time=stored_wall(found) if found is not None else post.local_time,
            zone=found.zone if found is not None else post.zone,
            late_policy=body.late_policy if "late_policy" in named else post.late_policy,
            late_seconds=body.late_minutes * 60.0 if "late_minutes" in named else post.late_seconds,
            media=media_rows(items),
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
        roots: Sequence[StoredTarget],
        new: NewPost,
        items: Sequence[Item],
        edits: Mapping[str, TargetEdit],
        said: Mapping[str, AccountFacts],
    ) -> list[tuple[StoredTarget, Plan]]:
        """Return what these accounts of a post are to show after a change."""
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
            publisher = self.posts.publishers.get(target.platform)
            if before is not items and publisher is not None and before is not None:
                media = [item.file.media for item in before]
                chosen = publisher.machines.kind_of(media, target.options, post.link)
                kind = "" if chosen == target.kind else target.kind
            parts = await self._edited_parts(connection, tenant, post, target, options, edits)
            comment = parts.pop() if first_comment(options) else None
            account = known[target.connection_id]
            campaign = campaign_of(account, new.campaign_id) if new.utm else None
            wanted = Wanted(account, text, kind, options, items, new.link, parts, comment, campaign)
            plan = Plan(checked(self.posts.publishers, wanted, self.posts.facts(account, said)), own)
            plans.append((target, plan))
        return plans

    async def _known_still(
        self, connection: asyncpg.Connection, tenant: str, post: StoredPost
    ) -> Sequence[Item] | None:
        """Return the files that a post has; None where one is gone."""
        known = await self.posts.files.known(connection, tenant, [each.id for each in post.media])
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
        below = targets_below(post, root)
        groups = {f"target {each.id}": _edited_media(each, edits) for each in below}
        items = await self.posts.grouped_items(connection, tenant, groups)
        texts = [_edited_part(each, edits) for each in below]
        if below and first_comment(options) != first_comment(root.options):
            texts[-1] = first_comment(options)
        return [WantedPart(text, each) for text, each in zip(texts, items.values(), strict=True)]

    async def _update_root(
        self,
        connection: asyncpg.Connection,
        root: StoredTarget,
        plan: Plan,
        new: NewPost,
        state: TargetState,
        at: datetime,
        time: Time,
        *,
        repeat: bool,
    ) -> None:
        """Store what the target of an account is to show, and when: at ``time``, where it names one."""
        wanted = plan.checked.wanted
        content, untagged = root_text(plan, new)
        await post_store.update_target(
            connection,
            root.id,
            kind=wanted.kind,
            content=content,
            untagged=untagged,
            link_url=link_url_of(wanted),
            options=wanted.options,
            digest=wanted.digest,
            repeats=root.repeats or repeat,
            state=state,
            due_at=(plan.slot_at or at) if state == TargetState.SCHEDULED else None,
            slot_at=plan.slot_at,
            tzdata=root.tzdata if time.found is None else release_of(time, self.posts.zones),
            retimed=time.found is not None,
        )

    async def _update_parts(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        post: StoredPost,
        root: StoredTarget,
        plan: Plan,
        states: Mapping[str, TargetState],
        *,
        repeat: bool,
    ) -> None:
        """Store what the targets below that of an account are to show."""
        for target, (part, kind) in zip(targets_below(post, root), plan.checked.replies, strict=True):
            if ids_and_texts(target.media) != [(item.file.media.id, item.alt_text) for item in part.items]:
                await post_store.set_part_media(connection, tenant, post.id, target.id, media_rows(part.items))
            content, untagged = shown_text(part.text, part.text, plan.checked.wanted)
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


def _require_post(post: StoredPost) -> None:
    """Raises PostError for an action on what is there, which is neither edited nor published by itself."""
    if post.is_action:
        message = "This is an action on something that is there already, and no post."
        raise PostError("conflict", message, "look at GET /api/actions; cancel it, and ask for another", status=409)


def own_text(post: StoredPost, target: StoredTarget) -> str | None:
    """Return the text that a target has for itself, None where it is that of the post."""
    return None if target.written == target_text(post.content, post.hashtags) else target.written


def _edited_own(post: StoredPost, target: StoredTarget, edits: Mapping[str, TargetEdit]) -> str | None:
    edit = edits.get(target.id)
    if edit is not None and "content" in edit.model_fields_set:
        return edit.content
    return own_text(post, target)


def _edited_options(target: StoredTarget, edits: Mapping[str, TargetEdit]) -> Mapping[str, Any]:
    edit = edits.get(target.id)
    return edit.options if edit is not None and "options" in edit.model_fields_set else target.options


def _edited_part(target: StoredTarget, edits: Mapping[str, TargetEdit]) -> str:
    edit = edits.get(target.id)
    return (edit.content if edit is not None and edit.content is not None else target.written) or ""


def _edited_media(target: StoredTarget, edits: Mapping[str, TargetEdit]) -> list[tuple[str, str]]:
    edit = edits.get(target.id)
    return ids_and_texts(edit.media if edit is not None and "media" in edit.model_fields_set else target.media)


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
        or ("media" in named and ids_and_texts(edit.media) != ids_and_texts(target.media))
    )


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
        media=media_rows(items),
    )
