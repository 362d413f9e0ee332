"""The pages of posts: find one, see how far each is, decide what is unconfirmed, and share a page."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiohttp import web

from ops.access.sessions import Person
from ops.runtime.tenancy import tenant_transaction
from ops.web import forms
from ops.web.api.connections import no_connection
from ops.web.api.posts import APPROVE, READ, WRITE, post_filter, post_id, shared_documents
from ops.web.api.recurrences import recurrence_id
from ops.web.messages import Message
from ops.web.pages.compose import can_be_changed, looked_at
from ops.web.pages.post_words import ACT_NAMES, ACT_WORDS, CLASSES, DONE_WORDS, NAMES, WORDS, findings_in, words_of
from ops.web.post_form import ticked
from ops.web.responses import LIVE, redirect, render
from ops.web.routing import Route
from ops.web.site import Publishing, Site
from publish.media import links
from publish.media.link_store import Fetch
from publish.posting import many
from publish.posting.action_kinds import (
    CHANGES,
    DELETIONS,
    ON_POSTS,
    action_of,
    actions_of,
    actions_on_own,
    can_be_acted_on,
)
from publish.posting.actions import Actions
from publish.posting.contract import PARENT_OPTION
from publish.posting.descriptions import moved_words
from publish.posting.edits import Edits
from publish.posting.errors import PostError
from publish.posting.history import TargetHistory
from publish.posting.lifecycle import PostLifecycle
from publish.posting.link_cards import CARD
from publish.posting.listing import PostListing
from publish.posting.post_store import ONLY, STATUSES, StoredTarget
from publish.posting.queues import Queues, slot_of, written
from publish.posting.recurrences import Recurrences, Saved
from publish.posting.requests import (
    ActionBody,
    ApproveBody,
    ConfirmBody,
    QueueBody,
    RetryAllBody,
    RetryBody,
    ShareBody,
    read,
)
from schema.states import RecurrenceState, TargetState

SOON_SECONDS, LATER_SECONDS = 3, 20
"""How often the page of a post is looked at again while it is worked on, and while it waits for its time."""

FILTERS = ("state", "platform", "connection", "campaign", "from", "to", "text")
"""What the list of posts can be narrowed by."""


class PostPages:
    """The pages below ``/posts`` and ``/share``."""

    def __init__(self, site: Site, publishing: Publishing) -> None:
        self._site = site
        self._posts = publishing.posts
        self._edits, self._lifecycle = Edits(publishing.posts), PostLifecycle(publishing.posts)
        self._listing = PostListing(publishing.posts)
        self._titles = {name: publisher.rules.title for name, publisher in publishing.posts.publishers.items()}
        self._actions = Actions(publishing.posts)
        self._recurrences = Recurrences(publishing.posts)
        self._queues = Queues(publishing.posts)

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/posts", self.list),
            Route("POST", "/posts/retry", self.retry_all),
            Route("GET", "/posts/{id}", self.show),
            Route("POST", "/posts/{id}/publish", self.publish),
            Route("POST", "/posts/{id}/cancel", self.cancel),
            Route("POST", "/posts/{id}/retry", self.retry),
            Route("POST", "/posts/{id}/confirm", self.confirm),
            Route("POST", "/posts/{id}/act", self.act),
            Route("POST", "/posts/{id}/approve", self.approve),
            Route("POST", "/recurrences/{id}/pause", self.pause),
            Route("POST", "/recurrences/{id}/resume", self.resume),
            Route("POST", "/recurrences/{id}/end", self.end),
            Route("POST", "/connections/{id}/slots", self.set_slots),
            Route("GET", "/share", self.show_share),
            Route("POST", "/share", self.share),
        )

    async def list(self, request: web.Request) -> web.Response:
        """Show the newest posts that fit the filters of the address, what repeats, and what failed."""
        person = await self._site.authentication.require_login(request, READ)
        query = request.query
        page = await self._listing.page(person.tenant, post_filter(query))
        repeating, _ = await self._recurrences.page(person.tenant, None, None)
        chosen = {name: query.get(name, "") for name in FILTERS}
        return render(
            "posts.html",
            person=person,
            page=page,
            names=NAMES,
            classes=CLASSES,
            statuses=STATUSES,
            only=ONLY,
            chosen=chosen,
            older={name: text for name, text in chosen.items() if text} | {"before": page.before},
            filtered=any(chosen.values()),
            first_page="before" not in query,
            accounts=await self._listing.accounts(person.tenant),
            repeating=[each for each in repeating if each.state != RecurrenceState.ENDED],
            queues=await self._queues.all(person.tenant),
            written=written,
            titles=self._titles,
            failures=await self._lifecycle.failures(person.tenant),
            zone=await self._listing.usual_zone(person.tenant),
            flash=self._site.messages.take(request, person),
            may_write=person.may(WRITE),
        )

    async def pause(self, request: web.Request) -> web.Response:
        text = "It is paused; nothing of it is posted."
        return await self._recurrence_changed(request, self._recurrences.pause, text)

    async def resume(self, request: web.Request) -> web.Response:
        return await self._recurrence_changed(request, self._recurrences.resume, "It goes on.")

    async def end(self, request: web.Request) -> web.Response:
        text = "It has ended; nothing more is posted."
        return await self._recurrence_changed(request, self._recurrences.end, text)

    async def _recurrence_changed(
        self, request: web.Request, change: Callable[..., Awaitable[Saved]], text: str
    ) -> web.Response:
        person = await self._site.authentication.require_form(request, WRITE)
        id_ = recurrence_id(request)
        try:
            await change(person.tenant, self._site.actor(request, person), id_)
        except PostError as error:
            if error.status == 404:
                raise
            return self._back(person, "/posts", Message(words_of(error), is_error=True))
        return self._back(person, "/posts", Message(text))

    async def set_slots(self, request: web.Request) -> web.Response:
        """Set the slots of an account, written as MO/09:00 one after the other."""
        person = await self._site.authentication.require_form(request, WRITE)
        given, id_ = forms.form(request), forms.path_id(request, no_connection())
        try:
            slots = [slot_of(each) for each in given.get("slots", "").split()]
            body = read(QueueBody, {"timezone": given.get("timezone", "").strip() or "UTC", "slots": slots})
            shown = await self._queues.set(person.tenant, self._site.actor(request, person), id_, body)
        except PostError as error:
            if error.status == 404:
                raise
            return self._back(person, "/posts", Message(words_of(error), is_error=True))
        free = f" The next free one is {shown.free[0].words}." if shown.free else ""
        return self._back(person, "/posts", Message(f"The slots are set.{free}"))

    async def show(self, request: web.Request) -> web.Response:
        """Show one post: the state of each target, how it came there, and what happens next."""
        person = await self._site.authentication.require_login(request, READ)
        history = await self._listing.history(person.tenant, post_id(request))
        post = history.post
        actions = await self._actions.on_post(person.tenant, post.id)
        of_actions = await self._listing.histories(person.tenant, actions)
        states = {target.state for target in post.targets}
        offered = [target for target in post.targets if person.may(WRITE) and can_be_acted_on(target)]
        acts = {target.id: self._acts(target) for target in offered}
        return render(
            "post.html",
            200,
            LIVE,
            person=person,
            post=post,
            history={each.target.id: each for found in (history, *of_actions) for each in found.targets},
            now=history.now,
            parent=await self._actions.parent(person.tenant, post),
            words=WORDS,
            moved_words=moved_words,
            classes=CLASSES,
            act_words=ACT_WORDS,
            act_names=ACT_NAMES,
            done_words=DONE_WORDS,
            action_of=action_of,
            changes=CHANGES,
            deletions=DELETIONS,
            object_option=PARENT_OPTION,
            done={each.id: [a for a in actions if a.targets[0].parent_id == each.id] for each in post.targets},
            possible={target.id: actions_on_own(target, acts.get(target.id, [])) for target in post.targets},
            comment_acts={each.id: [a for a in acts.get(each.id, []) if a not in ON_POSTS] for each in post.targets},
            titles=self._titles,
            refresh=refresh_seconds([target for found in (history, *of_actions) for target in found.targets]),
            fetches=await self._fetches(person, post.id),
            can_publish=bool(states & _WAITING) and post.approved and not post.is_action,
            can_cancel=bool(states & _CANCELLABLE),
            can_retry=bool(states & {TargetState.FAILED, TargetState.MISSED}),
            can_edit=can_be_changed(post),
            can_approve=not post.approved
            and post.author != self._site.actor(request, person).name
            and person.may(APPROVE),
            flash=self._site.messages.take(request, person),
            may_write=person.may(WRITE),
        )

    async def _fetches(self, person: Person, id_: str) -> Mapping[str, Sequence[Fetch]]:
        """Return who fetched the files of a post, by target, for those who may see it."""
        found: dict[str, list[Fetch]] = {}
        if person.may(WRITE):
            async with tenant_transaction(self._site.pool, person.tenant) as connection:
                for fetch in await links.fetches_about(connection, person.tenant, id_) or []:
                    found.setdefault(fetch.target, []).append(fetch)
        return found

    async def publish(self, request: web.Request) -> web.Response:
        person, id_ = await self._pressed(request, WRITE)
        repeat = "repeat" in forms.form(request)
        done = self._edits.publish(person.tenant, self._site.actor(request, person), id_, repeat=repeat)
        try:
            changed = await done
        except PostError as error:
            return await self._refused(person, id_, error)
        text = "It is published now." if changed.changed else "Nothing of it is left to publish."
        return self._back(person, f"/posts/{id_}", Message(text))

    async def cancel(self, request: web.Request) -> web.Response:
        person, id_ = await self._pressed(request, WRITE)
        found = await self._lifecycle.cancel(person.tenant, self._site.actor(request, person), id_)
        late = [f"{t.account}: {found.reasons[t.id]}" for t in found.post.targets if found.reasons[t.id]]
        text = "It is cancelled." if not late else f"Not cancelled everywhere. {'; '.join(late)}."
        return self._back(person, f"/posts/{id_}", Message(text, is_error=bool(late)))

    async def retry(self, request: web.Request) -> web.Response:
        person, id_ = await self._pressed(request, WRITE)
        target = forms.form(request).get("target") or None
        try:
            body = read(RetryBody, {"target": target})
            await self._lifecycle.retry(person.tenant, self._site.actor(request, person), id_, body)
        except PostError as error:
            return await self._refused(person, id_, error)
        return self._back(person, f"/posts/{id_}", Message("It is tried again."))

    async def retry_all(self, request: web.Request) -> web.Response:
        """Try again all that failed for one cause at a platform."""
        person = await self._site.authentication.require_form(request, WRITE)
        given = forms.form(request)
        body = read(RetryAllBody, {"cause": given.get("cause", ""), "platform": given.get("platform") or None})
        actor = self._site.actor(request, person)
        done = await self._lifecycle.retry_all(person.tenant, actor, body.cause, body.platform)
        text = f"Tried again: {done.retried}." if done.retried else "Nothing of it could be tried again."
        if done.refused:
            text = f"{text} Refused: {done.refused}; try one of them again by itself to see why."
        return self._back(person, "/posts", Message(text, is_error=not done.retried))

    async def confirm(self, request: web.Request) -> web.Response:
        person, id_ = await self._pressed(request, WRITE)
        given = forms.form(request)
        there = given.get("there") == "yes"
        document = {
            "target": given.get("target", ""),
            "there": there,
            "url": given.get("url", "").strip(),
            "post_id": given.get("post_id", "").strip(),
            "evidence": given.get("evidence", "").strip(),
        }
        try:
            if given.get("there") not in ("yes", "no"):
                message = "Neither button was pressed."
                raise PostError("invalid_request", message, "say whether it is there", status=400)
            body = read(ConfirmBody, document)
            changed = await self._lifecycle.confirm(person.tenant, self._site.actor(request, person), id_, body)
        except PostError as error:
            return await self._refused(person, id_, error)
        [target] = [each for each in changed.post.targets if each.id == body.target]
        if target.state == TargetState.FAILED:
            return self._back(person, f"/posts/{id_}", Message(target.error_message or "", is_error=True))
        text = "It is noted as published." if there else "It is posted again."
        return self._back(person, f"/posts/{id_}", Message(text))

    def _acts(self, target: StoredTarget) -> Sequence[str]:
        """Return the actions of the platform of a target; none where no post is published there."""
        publisher = self._posts.publishers.get(target.platform)
        return [] if publisher is None else actions_of(publisher.machines)

    async def act(self, request: web.Request) -> web.Response:
        """Do something to what a post made, or to a comment that is named by its id."""
        person, id_ = await self._pressed(request, WRITE)
        given = forms.form(request)
        document = {
            "kind": given.get("kind", ""),
            "target": given.get("target") or None,
            "connection": given.get("connection") or None,
            "object": given.get("object", "").strip(),
            "object_is": "comment" if given.get("object") and given.get("kind") == "reply" else None,
            "content": given.get("content", "").replace("\r\n", "\n"),
            "sure": "sure" in given,
        }
        try:
            if document["kind"] in DELETIONS and not document["sure"]:
                message = "Nothing was deleted: nobody said that it is to be."
                raise PostError("invalid_request", message, "tick the box, and press the button again", status=400)
            body = read(ActionBody, document)
            acted = await self._actions.create(person.tenant, self._site.actor(request, person), body)
        except PostError as error:
            return await self._refused(person, id_, error)
        there = acted.result == "exists"
        text = (
            "That was asked for already; it is not done twice." if there else "It is done as soon as a worker is free."
        )
        warnings = " ".join(f"{finding['message']} {finding['remedy']}" for finding in acted.findings)
        made = "" if acted.action is None else acted.action.id
        shown = id_ if body.target else made
        return self._back(person, f"/posts/{shown}", Message(f"{text} {warnings}".strip(), is_error=there))

    async def approve(self, request: web.Request) -> web.Response:
        person, id_ = await self._pressed(request, APPROVE)
        version = forms.form(request).get("version", "")
        try:
            body = read(ApproveBody, {"version": int(version) if version.isascii() and version.isdigit() else None})
            await self._lifecycle.approve(person.tenant, self._site.actor(request, person), id_, body)
        except PostError as error:
            return await self._refused(person, id_, error)
        return self._back(person, f"/posts/{id_}", Message("It is approved."))

    async def _pressed(self, request: web.Request, scope: str) -> tuple[Person, str]:
        person = await self._site.authentication.require_form(request, scope)
        return person, post_id(request)

    async def _refused(self, person: Person, id_: str, error: PostError) -> web.Response:
        """Show on the page of a post why a button did nothing. Raises PostError where there is no such post."""
        await self._listing.one(person.tenant, id_)
        return self._back(person, f"/posts/{id_}", Message(words_of(error), is_error=True))

    def _back(self, person: Person, page: str, message: Message) -> web.Response:
        return self._site.messages.add(redirect(page), person, message)

    # --- sharing

    async def show_share(self, request: web.Request) -> web.Response:
        """Show the form that shares the page of the query, with what that page says of itself."""
        person = await self._site.authentication.require_login(request, WRITE)
        query = request.query
        url = query.get("url", "").strip()
        lacking = [name for name in CARD if not query.get(name)]
        found, why_none = await looked_at(self._posts, person.tenant, url if url and lacking else None)
        shown = {} if found is None else {name: getattr(found, name) for name in lacking}
        return await self._share_page(person, {**query, **shown}, why_none=why_none)

    async def _share_page(
        self,
        person: Person,
        given: Mapping[str, str],
        results: Sequence[Mapping[str, object]] = (),
        error: PostError | None = None,
        why_none: str = "",
    ) -> web.Response:
        accounts = await self._listing.accounts(person.tenant)
        return render(
            "share.html",
            error.status if error is not None else 200,
            person=person,
            given=given,
            accounts=accounts,
            titles=self._titles,
            results=results,
            why_none=why_none,
            error=words_of(error),
            findings=findings_in(error),
        )

    async def share(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, WRITE)
        given = forms.form(request)
        names = ("url", "title", "description", "image", "message")
        document = {name: given.get(name, "") for name in names}
        try:
            more = {"accounts": ticked(given), "utm": "utm" in given}
            body = read(ShareBody, document | more | {"campaign_id": given.get("campaign_id", "").strip() or None})
            shared = await many.share(self._posts, person.tenant, self._site.actor(request, person), body)
        except PostError as error:
            return await self._share_page(person, given, (), error)
        why_none = "" if shared.note is None else shared.note.message
        return await self._share_page(person, given, shared_documents(shared), why_none=why_none)


_WAITING = {TargetState.DRAFT, TargetState.AWAITING_APPROVAL, TargetState.SCHEDULED, TargetState.MISSED}
_CANCELLABLE = {
    *_WAITING,
    *(TargetState.PREPARING, TargetState.UPLOADING, TargetState.PROCESSING, TargetState.READY),
}


def refresh_seconds(targets: Sequence[TargetHistory]) -> int:
    """Return after how many seconds a page is looked at again; 0 where nothing changes soon by itself."""
    waiting = {each.next.waits_for for each in targets}
    soon = any(each.next.waits_for in ("worker", "platform") and each.target.due_at is not None for each in targets)
    return SOON_SECONDS if soon else LATER_SECONDS if waiting & {"time", "target"} else 0
