"""Approve, cancel and try posts again, and decide about those of which nothing tells.

Each call is one transaction with its entry in the audit log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import asyncpg

from ops.access.audit_log_store import Actor, Value, audit
from ops.runtime import metrics
from ops.runtime.tenancy import tenant_transaction
from publish.posting import action_store, post_store
from publish.posting.acceptance import Checked, Wanted, WantedPart, checked_parts, first_comment, refusal_of
from publish.posting.action_acceptance import WantedAction, checked_action, same_text
from publish.posting.action_kinds import CHANGES, action_of
from publish.posting.contract import PARENT_OPTION
from publish.posting.edits import TOO_LATE, Edits
from publish.posting.errors import PostError
from publish.posting.plans import around, duplicate, targets_below
from publish.posting.post_store import StoredPost, StoredTarget
from publish.posting.posts import Posts
from publish.posting.requests import ApproveBody, ConfirmBody, EditBody, RetryBody
from publish.posting.results import Cancelled, Changed
from publish.preflight.contract import AccountFacts
from schema.states import TargetState


@dataclass(frozen=True, slots=True)
class RetriedAll:
    """How many targets are begun anew, and of how many that was refused."""

    retried: int
    refused: int

    @property
    def document(self) -> dict[str, int]:
        """What programs are told."""
        return {"retried": self.retried, "refused": self.refused}


@dataclass(frozen=True, slots=True)
class PostLifecycle:
    posts: Posts

    async def approve(self, tenant: str, actor: Actor, id_: str, body: ApproveBody) -> Changed:
        """Approve the version that somebody read, and schedule what waits for the approval. Raises PostError."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            post = await self.posts.locked(connection, id_)
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
            return Changed(await post_store.existing(connection, id_), changed=True)

    async def cancel(self, tenant: str, actor: Actor, id_: str) -> Cancelled:
        """Cancel the targets of which nothing is visible, and say why it is too late for others. Raises PostError."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            post = await self.posts.locked(connection, id_)
            done = await post_store.cancel(connection, id_)
            for target in done:
                await self.posts.files.revoke(connection, target)
            if done:
                await audit(connection, tenant, actor, "post.cancelled", id_, targets=len(done))
            reasons = {t.id: "" if t.id in done else TOO_LATE[t.state] for t in post.targets}
            return Cancelled(await post_store.existing(connection, id_), reasons)

    async def retry(self, tenant: str, actor: Actor, id_: str, body: RetryBody) -> Changed:
        """Begin anew with targets that failed or were missed.

        Raises PostError where there is none, where the same content was posted to an account of them meanwhile, and
        where what can have changed since forbids it: quotas, permissions, files.
        """
        said = await self.posts.asked_of(tenant, id_, body.target)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            post = await self.posts.locked(connection, id_)
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
            findings = await self._examined_again(connection, tenant, post, chosen, said)
            await self._retried(connection, tenant, actor, post, chosen)
            return Changed(await post_store.existing(connection, id_), changed=True, findings=findings)

    async def _examined_again(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        post: StoredPost,
        chosen: Sequence[StoredTarget],
        said: Mapping[str, AccountFacts],
    ) -> list[Mapping[str, str]]:
        """Compare what is to be begun anew with what its platforms say now, and return what to know of it.

        Raises PostError for what is refused. That the same content is there already is found elsewhere.
        """
        if post.is_action:
            found = [await self._action_checked(connection, tenant, post, said)]
        else:
            roots = [target for target in chosen if target.parent_id is None]
            plans = await Edits(self.posts).plans_as_they_are(connection, tenant, post, roots, said) if roots else []
            now = await post_store.clock(connection)
            again = EditBody(repeat=True)
            seen = await self.posts.examined(connection, plans, now, again, draft=False, leaving_out=post.id)
            found = [plan.checked for plan in seen]
            found += await self._parts_checked(connection, tenant, post, chosen, said)
        if (error := refusal_of(found)) is not None:
            raise error
        return [document for each in found for document in each.documents]

    async def _parts_checked(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        post: StoredPost,
        chosen: Sequence[StoredTarget],
        said: Mapping[str, AccountFacts],
    ) -> list[Checked]:
        """Return what is found of further parts below posts that are not begun anew themselves. Raises PostError."""
        ids, found = {target.id for target in chosen}, []
        for root in post.targets:
            if root.parent_id is not None or root.id in ids:
                continue
            below = targets_below(post, root)
            names = {each.id: f"part {number}" for number, each in enumerate(below, 2)}
            if below and first_comment(root.options):
                names[below[-1].id] = "first comment"
            parts = []
            for each in below:
                if each.id in ids:
                    items = await self.posts.items(connection, tenant, names[each.id], each.media)
                    parts.append((WantedPart(each.content or "", items), names[each.id]))
            if not parts:
                continue
            [account] = await post_store.accounts(connection, [root.connection_id])
            wanted = Wanted(account, root.content or post.content, root.kind)
            found.append(checked_parts(self.posts.publishers, wanted, parts, self.posts.facts(account, said)))
        return found

    async def _action_checked(
        self, connection: asyncpg.Connection, tenant: str, action: StoredPost, said: Mapping[str, AccountFacts]
    ) -> Checked:
        """Return what is found of an action. Raises PostError where the same was done meanwhile."""
        [target] = action.targets
        [account] = await post_store.accounts(connection, [target.connection_id])
        options = {name: value for name, value in target.options.items() if name != PARENT_OPTION}
        object_ = str(target.options.get(PARENT_OPTION, ""))
        own = await action_store.own_target_of(connection, account.id, object_)
        items = await self.posts.items(connection, tenant, "the action", action.media)
        wanted = WantedAction(account, action_of(target.kind), object_, own, action.content, options, items, sure=True)
        there = await action_store.latest(connection, account.id, wanted.rivals)
        same = there is not None and there.digest == wanted.digest and same_text(wanted, there.content)
        if there is not None and there.id != action.id and same:
            message = "The same was asked for again less than a day ago, and is done, or about to be."
            raise PostError("conflict", message, "leave it at that", status=409, details={"action": there.id})
        return checked_action(self.posts.publishers, wanted, self.posts.facts(account, said))

    async def _not_posted_meanwhile(
        self, connection: asyncpg.Connection, post: StoredPost, chosen: Sequence[StoredTarget]
    ) -> None:
        """Raises PostError where another post has the same content at an account: one that failed holds no place."""
        roots = [target for target in chosen if target.parent_id is None and not target.repeats]
        await post_store.lock_content(connection, [(target.connection_id, target.digest) for target in roots])
        now = await post_store.clock(connection)
        for target in roots:
            window = around(now, queued=target.slot_at is not None)
            existing = await post_store.same_content(connection, target.connection_id, target.digest, *window, post.id)
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

    async def retry_all(self, tenant: str, actor: Actor, cause: str, platform: str | None) -> RetriedAll:
        """Begin anew with all targets of a tenant that failed for one cause."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await post_store.failed_targets(connection, cause=cause, platform=platform)
        refused = 0
        for post, target in found:
            try:
                await self.retry(tenant, actor, post, RetryBody(target=target, cause=cause))
            except PostError:
                refused += 1
        return RetriedAll(len(found) - refused, refused)

    async def failures(self, tenant: str) -> list[tuple[str, str, int]]:
        """Return, for each platform and code, how many targets failed with it, the most first."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            return await post_store.failures(connection)

    async def confirm(self, tenant: str, actor: Actor, id_: str, body: ConfirmBody) -> Changed:
        """Store what a person saw of an unconfirmed target. Raises PostError.

        A target that is there is published; one that is not there is begun anew, unless that is refused now: then it
        failed, and says why.
        """
        said = {} if body.there else await self.posts.asked_of(tenant, id_, body.target)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            post = await self.posts.locked(connection, id_)
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
                await self._absent(connection, tenant, actor, post, target, said)
            await self.posts.files.revoke(connection, target.id)
            return Changed(await post_store.existing(connection, id_), changed=True)

    async def _absent(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        actor: Actor,
        post: StoredPost,
        target: StoredTarget,
        said: Mapping[str, AccountFacts],
    ) -> None:
        """Store that a target is not there, and begin anew with it if it would be accepted now."""
        try:
            await self._examined_again(connection, tenant, post, [target], said)
        except PostError as error:
            await post_store.confirm_absent(connection, target.id, f"It is not sent again: {error.message}")
        else:
            await post_store.confirm_absent(connection, target.id)
            await self._retried(connection, tenant, actor, post, [replace(target, error_code="not_there")])

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
