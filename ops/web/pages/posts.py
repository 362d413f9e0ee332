"""The pages of posts: write one, see how far each is, decide what is unconfirmed, and share a page."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

from aiohttp import hdrs, web
from multidict import MultiDict, MultiDictProxy

from ops.access.sessions import Person
from ops.runtime.tenancy import tenant_transaction
from ops.web import forms
from ops.web.api.connections import no_connection
from ops.web.api.posts import APPROVE, READ, WRITE, post_filter, post_id, shared_documents
from ops.web.api.recurrences import recurrence_id
from ops.web.csrf import require_token
from ops.web.messages import Message
from ops.web.responses import redirect, render
from ops.web.routing import Route
from ops.web.site import Publishing, Site
from ops.web.uploading import configured, read_form
from publish.media import media_store
from publish.media.refusal import MediaRefused
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
from publish.posting.lifecycle import PostLifecycle
from publish.posting.link_cards import CARD
from publish.posting.link_preview import Preview
from publish.posting.links import first_link
from publish.posting.listing import PostListing
from publish.posting.post_store import STATUSES, StoredTarget
from publish.posting.queues import Queues, slot_of, written
from publish.posting.recurrences import Recurrences, Saved
from publish.posting.requests import (
    ActionBody,
    ApproveBody,
    ConfirmBody,
    PostBody,
    QueueBody,
    RecurrenceBody,
    RetryAllBody,
    RetryBody,
    ShareBody,
    read,
)
from publish.posting.results import Created
from schema.states import RecurrenceState, TargetState

FILES_SHOWN = 12
PARTS_SHOWN = 3
"""Empty fields for further parts of a thread."""

REFRESH_SECONDS = 5
EMPTY: Mapping[str, str] = {}

WORDS: Mapping[TargetState, str] = {
    TargetState.DRAFT: "draft",
    TargetState.AWAITING_APPROVAL: "waits for approval",
    TargetState.SCHEDULED: "scheduled",
    TargetState.PREPARING: "is being prepared",
    TargetState.UPLOADING: "is being uploaded",
    TargetState.PROCESSING: "is being processed there",
    TargetState.READY: "is ready to be published",
    TargetState.PUBLISHING: "is being published",
    TargetState.PUBLISHED: "published",
    TargetState.PUBLISHED_ID_UNKNOWN: "published; its id is not known yet",
    TargetState.UNCONFIRMED: "unconfirmed: it may be there, and no answer told",
    TargetState.AWAITING_PERSON: "waits for the owner of the account, there",
    TargetState.FAILED: "failed",
    TargetState.CANCELLED: "cancelled",
    TargetState.MISSED: "missed its time",
}


ACT_WORDS: Mapping[str, str] = {
    "reply": "Answer it",
    "hide_comment": "Hide it",
    "show_comment": "Show it again",
    "delete_comment": "Delete the comment",
    "edit_post": "Edit the text",
    "delete_post": "Delete the post",
}

ACT_NAMES: Mapping[str, str] = {
    "reply": "Answer",
    "hide_comment": "Hiding of the comment",
    "show_comment": "Showing of the comment",
    "delete_comment": "Deletion of the comment",
    "edit_post": "Edit of the text",
    "delete_post": "Deletion of the post",
}

DONE_WORDS: Mapping[TargetState, str] = {
    TargetState.SCHEDULED: "is about to be done",
    TargetState.PUBLISHING: "is being done",
    TargetState.PUBLISHED: "done",
    TargetState.UNCONFIRMED: "unconfirmed: it may be done, and no answer told",
}
"""What an action is called in states whose words are about posts."""


class PostPages:
    """The pages below ``/posts`` and ``/share``."""

    def __init__(self, site: Site, publishing: Publishing) -> None:
        self._site = site
        self._posts = publishing.posts
        self._edits, self._lifecycle = Edits(publishing.posts), PostLifecycle(publishing.posts)
        self._listing = PostListing(publishing.posts)
        self._uploads = publishing.uploads
        self._actions = Actions(publishing.posts)
        self._recurrences = Recurrences(publishing.posts)
        self._queues = Queues(publishing.posts)

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/posts", self.list),
            Route("POST", "/posts", self.create),
            Route("POST", "/posts/files", self.upload, streamed=WRITE, form=True),
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
        """Show the newest posts, and the form for another one."""
        person = await self._site.authentication.require_login(request, READ)
        return await self._listed(request, person, request.query)

    async def _listed(
        self,
        request: web.Request,
        person: Person,
        query: Mapping[str, str],
        given: MultiDictProxy[str] | None = None,
        error: PostError | MediaRefused | None = None,
        note: str = "",
        *,
        look: bool = False,
    ) -> web.Response:
        page = await self._listing.page(person.tenant, post_filter(query))
        accounts = await self._listing.accounts(person.tenant)
        repeating, _ = await self._recurrences.page(person.tenant, None, None)
        queues = await self._queues.all(person.tenant)
        async with tenant_transaction(self._site.pool, person.tenant) as connection:
            files = await media_store.listed(connection, person.tenant, limit=FILES_SHOWN)
            attached = [] if given is None else [id_ for id_ in given.getall("media", []) if _ID.fullmatch(id_)]
            older = [id_ for id_ in attached if id_ not in {file.id for file in files}]
            files += await media_store.usable(connection, person.tenant, older)
        content = "" if given is None else given.get("content", "")
        preview, why_none = await self._looked(person, first_link(content) if look else None)
        return render(
            "posts.html",
            error.status if error is not None else 200,
            person=person,
            page=page,
            words=WORDS,
            statuses=STATUSES,
            state=query.get("state", ""),
            campaign=query.get("campaign", ""),
            accounts=accounts,
            repeating=[each for each in repeating if each.state != RecurrenceState.ENDED],
            queues=queues,
            written=written,
            titles={name: publisher.rules.title for name, publisher in self._posts.publishers.items()},
            rules={name: publisher.document for name, publisher in self._posts.publishers.items()},
            files=files,
            failures=await self._lifecycle.failures(person.tenant),
            given=EMPTY if given is None else given,
            chosen=[] if given is None else given.getall("target", []),
            attached=attached,
            may_upload=self._uploads is not None,
            note=note,
            parts=range(2, max(1 + PARTS_SHOWN, 1 if given is None else _last_part(given)) + 1),
            part_files={} if given is None else {name: given.getall(name) for name in given if _PART.fullmatch(name)},
            error=_words(error),
            findings=_findings(error),
            flash=self._site.messages.take(request, person),
            preview=preview,
            why_none=why_none,
            may_write=person.may(WRITE),
        )

    async def _looked(self, person: Person, url: str | None) -> tuple[Preview | None, str]:
        """Return what the page behind a link says of itself, or why it says nothing."""
        if url is None:
            return None, ""
        try:
            return await self._posts.cards.preview(person.tenant, url), ""
        except PostError as error:
            return None, error.message

    async def create(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, WRITE)
        given = forms.form(request)
        try:
            if given.get("action") == "repeat":
                return await self._repeated(request, person, given)
            created = await self._posts.create(person.tenant, self._site.actor(request, person), _body(given))
        except PostError as error:
            return await self._listed(request, person, EMPTY, given, error)
        if created.post is None:
            note = f"It could be accepted. Nothing was stored. {_warnings(created)}".strip()
            return await self._listed(request, person, EMPTY, given, note=note, look=True)
        there = all(result.result == "exists" for result in created.results)
        text = "The same post is there already; nothing was added." if there else "The post is stored."
        message = Message(f"{text} {created.words} {_warnings(created)}".strip(), is_error=there)
        return self._back(person, f"/posts/{created.post.id}", message)

    async def upload(self, request: web.Request) -> web.Response:
        """Take the files of the form for another post, and show it again with them chosen, and all else as it was."""
        person = await self._site.authentication.require_form_sender(request, WRITE)
        uploads, actor = configured(self._uploads), self._site.actor(request, person)
        fields, names = MultiDict[str](), list[str]()

        async def take(name: str, content: AsyncIterator[bytes]) -> None:
            media, _ = await uploads.whole(person.tenant, actor, content, name, None)
            if media.id not in fields.getall("media", []):
                fields.add("media", media.id)
            names.append(media.file_name or media.id)

        error = None
        try:
            await read_form(request, fields, lambda token: require_token(token, person.csrf), take)
            if not names:
                raise MediaRefused(
                    "wrong_request", 400, "invalid_request", "No file is chosen.", "choose one to upload"
                )
        except MediaRefused as refused:
            error = refused
        note = f"Uploaded and chosen for the post: {', '.join(names)}." if names else ""
        response = await self._listed(request, person, EMPTY, MultiDictProxy(fields), error, note)
        if error is not None and error.after is not None:
            response.headers[hdrs.RETRY_AFTER] = str(error.after)
        return response

    async def _repeated(self, request: web.Request, person: Person, given: MultiDictProxy[str]) -> web.Response:
        """Let what a form describes repeat. Raises PostError."""
        names = ("content", "hashtags", "campaign_id", "utm", "media", "targets", "thread", "needs_approval")
        shown = _document(given)
        document = {
            "post": {name: shown[name] for name in names},
            "rule": given.get("rule", "").strip(),
            "start_time": given.get("scheduled_time", "").strip(),
            "timezone": given.get("timezone", "").strip() or None,
        }
        body = read(RecurrenceBody, document)
        saved = await self._recurrences.create(person.tenant, self._site.actor(request, person), body)
        first = f"First at {saved.upcoming[0].time.words}." if saved.upcoming else ""
        done = "It repeats." if saved.changed else "The same repeats already; nothing was added."
        text = " ".join(part for part in (done, first, saved.note) if part)
        return self._back(person, "/posts", Message(text))

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
            return self._back(person, "/posts", Message(_words(error), is_error=True))
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
            return self._back(person, "/posts", Message(_words(error), is_error=True))
        free = f" The next free one is {shown.free[0].words}." if shown.free else ""
        return self._back(person, "/posts", Message(f"The slots are set.{free}"))

    async def show(self, request: web.Request) -> web.Response:
        """Show one post with the state of each target. While one is worked on, the page loads itself again."""
        person = await self._site.authentication.require_login(request, READ)
        post = await self._listing.one(person.tenant, post_id(request))
        actions = await self._actions.on_post(person.tenant, post.id)
        states = {target.state for target in post.targets}
        worked_on = [*post.targets, *(each.targets[0] for each in actions if not each.targets[0].error_code)]
        waiting = any(target.due_at is not None and target.status == "pending" for target in worked_on)
        begun = bool(states - {TargetState.SCHEDULED, TargetState.DRAFT, TargetState.AWAITING_APPROVAL})
        offered = [target for target in post.targets if person.may(WRITE) and can_be_acted_on(target)]
        acts = {target.id: self._acts(target) for target in offered}
        return render(
            "post.html",
            person=person,
            post=post,
            parent=await self._actions.parent(person.tenant, post),
            words=WORDS,
            moved_words=moved_words,
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
            titles={name: publisher.rules.title for name, publisher in self._posts.publishers.items()},
            refresh=REFRESH_SECONDS if waiting and begun and TargetState.UNCONFIRMED not in states else 0,
            can_publish=bool(states & _WAITING) and post.approved and not post.is_action,
            can_cancel=bool(states & _CANCELLABLE),
            can_retry=bool(states & {TargetState.FAILED, TargetState.MISSED}),
            can_approve=not post.approved
            and post.author != self._site.actor(request, person).name
            and person.may(APPROVE),
            flash=self._site.messages.take(request, person),
            may_write=person.may(WRITE),
        )

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
        return self._back(person, f"/posts/{id_}", Message(_words(error), is_error=True))

    def _back(self, person: Person, page: str, message: Message) -> web.Response:
        return self._site.messages.add(redirect(page), person, message)

    # --- sharing

    async def show_share(self, request: web.Request) -> web.Response:
        """Show the form that shares the page of the query, with what that page says of itself."""
        person = await self._site.authentication.require_login(request, WRITE)
        query = request.query
        url = query.get("url", "").strip()
        lacking = [name for name in CARD if not query.get(name)]
        found, why_none = await self._looked(person, url if url and lacking else None)
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
            titles={name: publisher.rules.title for name, publisher in self._posts.publishers.items()},
            results=results,
            why_none=why_none,
            error=_words(error),
            findings=_findings(error),
        )

    async def share(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, WRITE)
        given = forms.form(request)
        names = ("url", "title", "description", "image", "message")
        document = {name: given.get(name, "") for name in names}
        try:
            more = {"accounts": _ticked(given), "utm": "utm" in given}
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


_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_PART = re.compile(r"part-([2-9]|[1-9][0-9])(-media)?")


def _last_part(given: Mapping[str, str]) -> int:
    """Return the number of the last part of a thread in which something is; 1 for none."""
    found = [int(match[1]) for name, text in given.items() if text.strip() and (match := _PART.fullmatch(name))]
    return max(found, default=1)


def _part_document(given: MultiDictProxy[str], number: int) -> dict[str, object]:
    """Return a further part as programs send it. Alternative texts are lines, in the order of the files shown."""
    ids, lines = given.getall(f"part-{number}-media", []), given.get(f"part-{number}-alt", "").splitlines()
    texts = [*lines, *[""] * len(ids)]
    return {
        "content": given.get(f"part-{number}", "").replace("\r\n", "\n"),
        "media": [{"id": id_, "alt_text": text.strip()} for id_, text in zip(ids, texts, strict=False)],
    }


def _body(given: MultiDictProxy[str]) -> PostBody:
    """Return the post that a form describes. Raises PostError."""
    return read(PostBody, _document(given))


def _document(given: MultiDictProxy[str]) -> dict[str, object]:
    """Return the post that a form describes, as programs send it. Raises PostError."""
    if waiting := given.get("file"):
        message = f"The file {waiting[:100]} is chosen and not uploaded."
        raise PostError("invalid_request", message, "press Upload first, or take the choice back", status=400)
    options = given.get("options", "").strip()
    try:
        chosen = json.loads(options) if options else {}
    except (ValueError, RecursionError):
        message, remedy = "The options are no JSON.", 'write them as {"first_comment": "…"}'
        raise PostError("invalid_request", message, remedy, status=400) from None
    ids = [*given.getall("media", []), *given.get("more_media", "").split()]
    alt_texts = [given.get(f"alt-{id_}", "") for id_ in ids]
    kind, action = given.get("kind", "").strip(), given.get("action", "draft")
    time, queued = given.get("scheduled_time", "").strip() or None, action == "queue"
    document: dict[str, object] = {
        "content": given.get("content", "").replace("\r\n", "\n"),
        "hashtags": given.get("hashtags", "").split(),
        "campaign_id": given.get("campaign_id", "").strip() or None,
        "media": [{"id": id_, "alt_text": text} for id_, text in zip(ids, alt_texts, strict=True)],
        "targets": [{"connection": id_, "kind": kind, "options": chosen} for id_ in _ticked(given)],
        "thread": [_part_document(given, number) for number in range(2, _last_part(given) + 1)],
        "scheduled_time": time if action != "publish" and not queued else None,
        "next_free_slot": queued,
        "timezone": given.get("timezone", "").strip() or None,
        "action": None if action == "check" or queued else action,
        "dry_run": action == "check",
        "utm": "utm" in given,
        "needs_approval": "needs_approval" in given,
        "repeat": "repeat" in given,
    }
    if action == "check":
        document["action"] = "schedule" if time else "publish"
    return document


def _words(error: PostError | MediaRefused | None) -> str:
    """Return what is wrong and what to do, as sentences; empty for nothing."""
    if error is None:
        return ""
    remedy = error.remedy if error.remedy.endswith(".") else f"{error.remedy}."
    return f"{error.message} {remedy[:1].upper()}{remedy[1:]}"


def _ticked(given: MultiDictProxy[str]) -> list[str]:
    """Return the accounts that are ticked. Raises PostError where none is."""
    found = given.getall("target", [])
    if not found:
        raise PostError("invalid_request", "No account is ticked.", "tick where to post it", status=400)
    return found


def _findings(error: PostError | MediaRefused | None) -> list[Mapping[str, str]]:
    found = error.details.get("findings") if error is not None else None
    return found if isinstance(found, list) else []


def _warnings(created: Created) -> str:
    return " ".join(f"{finding['message']} {finding['remedy']}" for finding in created.findings)
