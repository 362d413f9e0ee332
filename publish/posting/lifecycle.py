"""Approve, cancel and try posts again, and decide about those of which nothing tells.

Each call is one transaction with its entry in the audit log.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import asyncpg

from ops.access.audit_log_store import Actor, Value, audit
from ops.runtime import metrics
from ops.runtime.tenancy import tenant_transaction
from publish.posting import post_store
from publish.posting.action_kinds import CHANGES
from publish.posting.edits import TOO_LATE
from publish.posting.errors import PostError
from publish.posting.plans import around, duplicate
from publish.posting.post_store import StoredPost, StoredTarget
from publish.posting.posts import Posts
from publish.posting.requests import ApproveBody, ConfirmBody, RetryBody
from publish.posting.results import Cancelled, Changed
from schema.states import TargetState


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

        Raises PostError where there is none, and where the same content was posted to an account of them meanwhile.
        """
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
            await self._retried(connection, tenant, actor, post, chosen)
            return Changed(await post_store.existing(connection, id_), changed=True)

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

    async def retry_all(self, tenant: str, actor: Actor, cause: str, platform: str | None) -> int:
        """Begin anew with all targets of a tenant that failed for one cause, and return their number."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
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
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            return await post_store.failures(connection)

    async def confirm(self, tenant: str, actor: Actor, id_: str, body: ConfirmBody) -> Changed:
        """Store what a person saw of an unconfirmed target. Raises PostError.

        A target that is there is published; one that is not there is begun anew.
        """
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
                await post_store.confirm_absent(connection, target.id)
                await self._retried(connection, tenant, actor, post, [replace(target, error_code="not_there")])
            await self.posts.files.revoke(connection, target.id)
            return Changed(await post_store.existing(connection, id_), changed=True)

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
