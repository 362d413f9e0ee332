"""Act on what is there: answer, hide, show, edit and delete, as people and programs ask for it.

An action is published by the driver like a post: its intent is stored before the platform is asked, and an unknown
outcome is looked up or decided by a person. See :mod:`.action_kinds` for how it is stored.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import asyncpg

from ops.access.audit_log_store import Actor, Value, audit
from ops.runtime.tenancy import tenant_transaction
from publish.posting import action_store, post_store
from publish.posting.acceptance import refusal_of
from publish.posting.action_acceptance import WantedAction, checked_action, object_kind, same_text
from publish.posting.action_store import ActionFilter
from publish.posting.errors import PostError
from publish.posting.lifecycle import PostLifecycle
from publish.posting.listing import known_state
from publish.posting.plans import digest_of, new_id
from publish.posting.post_store import Account, NewPost, NewTarget, StoredPost, StoredTarget
from publish.posting.posts import Posts
from publish.posting.requests import ActionBody, ActionConfirmBody, ConfirmBody, RetryBody
from publish.posting.results import Cancelled, Changed
from schema.states import TargetState

PAGE_SIZE = 50

LATE = timedelta(days=1)
"""What nobody could work on for longer is not done without a decision of a person."""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What came of a request to act. ``action`` is the one that was made, or that was there; None for a check alone.

    ``result`` is created, exists or checked. ``replayed``: the same request was answered before.
    """

    action: StoredPost | None
    result: str
    findings: Sequence[Mapping[str, str]] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class ActionPage:
    """Actions, the newest first. ``before`` is where the next page begins; None at the end."""

    actions: Sequence[StoredPost]
    before: str | None


@dataclass(frozen=True, slots=True)
class Actions:
    posts: Posts

    async def create(self, tenant: str, actor: Actor, body: ActionBody) -> ActionResult:
        """Store an action that is worked on at once, or answer with the one that is there. Raises PostError."""
        asked = digest_of("action", body)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            if (before := await self._made_before(connection, tenant, body, asked)) is not None:
                return before
            account, _ = await self._named(connection, body)
        facts = await self.posts.account_facts(tenant, account)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            if (before := await self._made_before(connection, tenant, body, asked)) is not None:
                return before
            account, own = await self._named(connection, body)
            object_ = own.platform_post_id if own is not None and own.platform_post_id else body.object.strip()
            await post_store.lock_content(connection, [(account.id, hashlib.sha256(object_.encode()).digest())])
            own = await action_store.own_target_of(connection, account.id, object_)
            items = await self.posts.items(connection, tenant, "the action", body.media)
            said = (body.content, body.options, items, body.object_is or "", body.sure)
            wanted = WantedAction(account, body.kind, object_, own, *said)
            checked = checked_action(self.posts.publishers, wanted, facts)
            if not body.repeat and (there := await _existing(connection, wanted)) is not None:
                return ActionResult(await _one(connection, there), "exists", checked.documents)
            if (error := refusal_of([checked])) is not None:
                raise error
            if body.dry_run:
                return ActionResult(None, "checked", checked.documents)
            made = await self._stored(connection, tenant, actor, body, wanted, checked.wanted.kind, asked)
            return ActionResult(made, "created", checked.documents)

    async def _made_before(
        self, connection: asyncpg.Connection, tenant: str, body: ActionBody, asked: bytes
    ) -> ActionResult | None:
        """Return the answer to an earlier request with this key. Raises PostError where that was another one."""
        if not body.idempotency_key or body.dry_run:
            return None
        before = await self.posts.made_before(connection, tenant, body.idempotency_key, asked)
        return None if before is None else ActionResult(before, "created", replayed=True)

    async def _named(self, connection: asyncpg.Connection, body: ActionBody) -> tuple[Account, StoredTarget | None]:
        """Return the account that acts, and the target of ours that is acted on, if one is named. Raises PostError."""
        if bool(body.target) == bool(body.object.strip()):
            message = "An action acts on one thing: a target that was made here, or an object of the platform."
            raise PostError("unprocessable", message, "name target, or connection and object")
        own = None
        if body.target is not None:
            own = await action_store.own_target(connection, body.target)
            if own is None:
                message = f"There is no target {body.target}."
                raise PostError("not_found", message, "take its id from GET /api/posts", status=404)
            if own.platform_post_id is None:
                message = f"Nothing can be done to it: it is {own.state}, and the platform's id of it is not known."
                raise PostError("conflict", message, "wait until it is published", status=409)
            if body.connection not in (None, own.connection_id):
                message = "The target is of another account than the connection that is named."
                raise PostError("unprocessable", message, "leave connection out, or name that of the target")
        id_ = own.connection_id if own is not None else body.connection
        found = await post_store.accounts(connection, [id_]) if id_ is not None else []
        if not found:
            message = "No account is named." if id_ is None else f"There is no connection {id_}."
            raise PostError("unprocessable", message, "take ids from GET /api/connections")
        return found[0], own

    async def _stored(
        self,
        connection: asyncpg.Connection,
        tenant: str,
        actor: Actor,
        body: ActionBody,
        wanted: WantedAction,
        kind: str,
        asked: bytes,
    ) -> StoredPost:
        id_, now = new_id(), await post_store.clock(connection)
        new = NewPost(
            content=wanted.text,
            link={},
            hashtags=[],
            campaign_id=None,
            utm=False,
            needs_approval=False,
            scheduled_at=now,
            local_time=None,
            zone=None,
            late_policy="publish",
            late_seconds=LATE.total_seconds(),
            media=[(item.file.media.id, item.alt_text, item.file.sha256) for item in wanted.items],
        )
        key = body.idempotency_key or None
        await post_store.insert(
            connection, tenant, id_, new, actor.name, key=key, request_sha256=asked, schedule_id=None
        )
        target = NewTarget(
            id=id_,
            account=wanted.account,
            kind=kind,
            content=None,
            untagged=None,
            link_url=None,
            options=wanted.stored_options,
            digest=wanted.digest,
            repeats=body.repeat,
            state=TargetState.SCHEDULED,
            due=True,
            parent_id=None if wanted.own is None else wanted.own.id,
            object_kind=object_kind(self.posts.publishers[wanted.account.platform], wanted, kind),
        )
        await post_store.insert_target(connection, tenant, id_, target, now)
        detail: dict[str, Value] = {
            "platform": wanted.account.platform,
            "kind": kind,
            "object": wanted.object,
            "sure": body.sure,
        }
        await audit(connection, tenant, actor, "action.created", id_, **detail)
        return await _one(connection, id_)

    # --- what people do with one

    async def retry(self, tenant: str, actor: Actor, id_: str) -> Changed:
        """Begin anew with an action that failed. Raises PostError."""
        await self.one(tenant, id_)
        return await PostLifecycle(self.posts).retry(tenant, actor, id_, RetryBody())

    async def confirm(self, tenant: str, actor: Actor, id_: str, body: ActionConfirmBody) -> Changed:
        """Store what a person saw of an unconfirmed action: what was not done is done again. Raises PostError."""
        await self.one(tenant, id_)
        seen = ConfirmBody(target=id_, there=body.there, post_id=body.post_id, url=body.url, evidence=body.evidence)
        return await PostLifecycle(self.posts).confirm(tenant, actor, id_, seen)

    async def cancel(self, tenant: str, actor: Actor, id_: str) -> Cancelled:
        """Cancel an action of which nothing was asked yet, and say otherwise why it is too late. Raises PostError."""
        await self.one(tenant, id_)
        return await PostLifecycle(self.posts).cancel(tenant, actor, id_)

    # --- showing

    async def one(self, tenant: str, id_: str) -> StoredPost:
        """Return an action. Raises PostError where there is none."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await post_store.one(connection, id_)
        if found is None or not found.is_action:
            raise no_action()
        return found

    async def page(self, tenant: str, wanted: ActionFilter, limit: int = PAGE_SIZE) -> ActionPage:
        """Return actions that fit, at most ``limit``, the newest first. Raises PostError for an unknown state."""
        known_state(wanted.state)
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            found = await action_store.listed(connection, wanted, limit + 1)
        return ActionPage(found[:limit], found[limit - 1].id if len(found) > limit else None)

    async def parent(self, tenant: str, action: StoredPost) -> StoredTarget | None:
        """Return the target of ours that an action acts on; None where it is no action, or that was not made here."""
        own = action.targets[0].parent_id if action.is_action else None
        if own is None:
            return None
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            return await action_store.own_target(connection, own)

    async def on_post(self, tenant: str, id_: str) -> Sequence[StoredPost]:
        """Return what was done, or is to be done, to what a post made; the oldest first."""
        async with tenant_transaction(self.posts.pool, tenant) as connection:
            return await action_store.on_post(connection, id_)


def no_action() -> PostError:
    """Return the error for an action that does not exist in this tenant."""
    return PostError("not_found", "There is no such action.", "look at GET /api/actions", status=404)


async def _existing(connection: asyncpg.Connection, wanted: WantedAction) -> str | None:
    """Return the action of the last day that this one would repeat; None where there is none."""
    found = await action_store.latest(connection, wanted.account.id, wanted.rivals)
    return (
        found.id if found is not None and found.digest == wanted.digest and same_text(wanted, found.content) else None
    )


async def _one(connection: asyncpg.Connection, id_: str) -> StoredPost:
    found = await post_store.one(connection, id_)
    if found is None:
        raise LookupError("the action is gone within its own transaction")
    return found
