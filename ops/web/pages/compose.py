"""The pages on which a post is written and changed, with the options of each account as fields."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence

from aiohttp import hdrs, web
from multidict import MultiDict, MultiDictProxy, MultiMapping

from ops.access.sessions import Person
from ops.runtime.tenancy import tenant_transaction
from ops.web import forms
from ops.web.api.posts import APPROVE, WRITE, post_id
from ops.web.csrf import require_token
from ops.web.messages import Message
from ops.web.pages.post_words import findings_in, warnings_of, words_of
from ops.web.post_form import (
    Form,
    OptionForms,
    account_name,
    edit_document,
    findings_of,
    last_part,
    new_document,
    part_files,
    parts_of,
    recurrence_document,
    roots_of,
    stored_form,
)
from ops.web.responses import redirect, render
from ops.web.routing import Route
from ops.web.site import Publishing, Site
from ops.web.uploading import configured, read_form
from publish.media import media_store
from publish.media.media_store import Media
from publish.media.refusal import MediaRefused
from publish.posting.edits import Edits, too_late
from publish.posting.errors import PostError
from publish.posting.link_preview import Preview
from publish.posting.links import first_link
from publish.posting.listing import PostListing
from publish.posting.post_store import EDITABLE, Account, StoredPost
from publish.posting.posts import Posts
from publish.posting.recurrences import Recurrences
from publish.posting.requests import EditBody, PostBody, RecurrenceBody, read
from publish.preflight.contract import AccountFacts
from schema.states import TargetState

FILES_SHOWN = 12
PARTS_SHOWN = 3
"""Empty fields for further parts of a thread."""

OPTIONS_FOR = 12
"""With more accounts than this, options are shown of those that are ticked."""

ASKED = 12
"""Of so many accounts that are ticked is asked what they may do now."""

FORM_BYTES = 256 * 2**10

EMPTY: MultiDictProxy[str] = MultiDictProxy(MultiDict())
FROM_QUERY = ("content", "target", "campaign_id", "scheduled_time", "timezone", "media")
"""What a link to the page may fill in."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class ComposePages:
    """The pages ``/posts/new`` and ``/posts/{id}/edit``, and what their forms are sent to."""

    def __init__(self, site: Site, publishing: Publishing) -> None:
        self._site = site
        self._posts = publishing.posts
        self._edits, self._listing = Edits(publishing.posts), PostListing(publishing.posts)
        self._uploads = publishing.uploads
        self._recurrences = Recurrences(publishing.posts)
        self._forms = OptionForms(publishing.posts.publishers)
        self._titles = {name: publisher.rules.title for name, publisher in publishing.posts.publishers.items()}

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/posts/new", self.show),
            Route("POST", "/posts", self.create, body_bytes=FORM_BYTES),
            Route("POST", "/posts/files", self.upload, streamed=WRITE, form=True),
            Route("GET", "/posts/{id}/edit", self.show_edit),
            Route("POST", "/posts/{id}/edit", self.edit, body_bytes=FORM_BYTES),
            Route("POST", "/posts/{id}/files", self.upload_for, streamed=WRITE, form=True),
        )

    # --- a new post

    async def show(self, request: web.Request) -> web.Response:
        """Show the form for a post, with what the address fills in."""
        person = await self._site.authentication.require_login(request, WRITE)
        given = MultiDict((name, text) for name, text in request.query.items() if name in FROM_QUERY)
        return await self._composed(request, person, given)

    async def _composed(
        self,
        request: web.Request,
        person: Person,
        given: MultiMapping[str],
        error: PostError | MediaRefused | None = None,
        note: str = "",
        *,
        look: bool = False,
    ) -> web.Response:
        accounts = await self._listing.accounts(person.tenant)
        findings, chosen = findings_in(error), given.getall("target", [])
        facts = await self._facts(person, [each for each in accounts if each.id in chosen])
        attached = [id_ for id_ in given.getall("media", []) if _ID.fullmatch(id_)]
        link = first_link(given.get("content", "")) if look else None
        preview, why_none = await looked_at(self._posts, person.tenant, link)
        names = {each.id: account_name(each, self._titles[each.platform]) for each in accounts}
        return render(
            "compose.html",
            error.status if error is not None else 200,
            person=person,
            accounts=[
                self._forms.form(
                    *(each.platform, given, each.id, names[each.id]),
                    chosen=each.id in chosen,
                    facts=facts.get(each.id),
                    findings=findings_of(findings, each.id),
                    with_options=each.id in chosen or len(accounts) <= OPTIONS_FOR,
                )
                for each in accounts
            ],
            names=names,
            files=await self._files(person, attached),
            given=given,
            attached=attached,
            zone=given.get("timezone") or await self._listing.usual_zone(person.tenant),
            may_upload=self._uploads is not None,
            note=note,
            parts=range(2, max(1 + PARTS_SHOWN, last_part(given)) + 1),
            part_files=part_files(given),
            error=words_of(error),
            findings=findings,
            flash=self._site.messages.take(request, person),
            preview=preview,
            why_none=why_none,
        )

    async def _facts(self, person: Person, accounts: Sequence[Account]) -> Mapping[str, AccountFacts]:
        """Return what the platforms say now of accounts that are ticked, which a form asks for as it is sent."""
        asked = accounts[:ASKED]
        found = await asyncio.gather(*(self._posts.account_facts(person.tenant, each) for each in asked))
        return {each.id: facts for each, facts in zip(asked, found, strict=True)}

    async def _files(self, person: Person, attached: Sequence[str]) -> list[Media]:
        """Return the files of a post in their order, and the newest ones that it does not have."""
        async with tenant_transaction(self._site.pool, person.tenant) as connection:
            own = await media_store.usable(connection, person.tenant, attached)
            newest = await media_store.listed(connection, person.tenant, limit=FILES_SHOWN)
        return [*own, *(file for file in newest if file.id not in attached)]

    async def create(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, WRITE)
        given = forms.form(request)
        if given.get("action") == "options":
            note = "The options are those of what is ticked and chosen now. Nothing was stored."
            return await self._composed(request, person, given, note=note)
        try:
            platforms = {each.id: each.platform for each in await self._listing.accounts(person.tenant)}
            if given.get("action") == "repeat":
                return await self._repeated(request, person, given, platforms)
            body = read(PostBody, new_document(given, self._forms, platforms))
            created = await self._posts.create(person.tenant, self._site.actor(request, person), body)
        except PostError as error:
            return await self._composed(request, person, given, error)
        if created.post is None:
            note = f"It could be accepted. Nothing was stored. {warnings_of(created)}".strip()
            return await self._composed(request, person, given, note=note, look=True)
        there = all(result.result == "exists" for result in created.results)
        text = "The same post is there already; nothing was added." if there else "The post is stored."
        message = Message(f"{text} {created.words} {warnings_of(created)}".strip(), is_error=there)
        return self._back(person, f"/posts/{created.post.id}", message)

    async def _repeated(
        self, request: web.Request, person: Person, given: MultiMapping[str], platforms: Mapping[str, str]
    ) -> web.Response:
        """Let what a form describes repeat. Raises PostError."""
        body = read(RecurrenceBody, recurrence_document(given, self._forms, platforms))
        saved = await self._recurrences.create(person.tenant, self._site.actor(request, person), body)
        first = f"First at {saved.upcoming[0].time.words}." if saved.upcoming else ""
        done = "It repeats." if saved.changed else "The same repeats already; nothing was added."
        text = " ".join(part for part in (done, first, saved.note) if part)
        return self._back(person, "/posts", Message(text))

    async def upload(self, request: web.Request) -> web.Response:
        """Take the files of the form for another post, and show it again with them chosen, and all else as it was."""
        person = await self._site.authentication.require_form_sender(request, WRITE)
        fields, error, note = await self._uploaded(request, person)
        response = await self._composed(request, person, fields, error, note)
        return _retried_after(response, error)

    async def _uploaded(
        self, request: web.Request, person: Person
    ) -> tuple[MultiDictProxy[str], MediaRefused | None, str]:
        """Take the files of a form. Return its fields with them chosen, what was refused, and what to say."""
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
        return MultiDictProxy(fields), error, note

    # --- a post that is there

    async def show_edit(self, request: web.Request) -> web.Response:
        """Show the form of a post that is there, with what it has; the post itself where it is too late."""
        person = await self._site.authentication.require_login(request, WRITE)
        post = await self._listing.one(person.tenant, post_id(request))
        if (why := _unchangeable(post)) is not None:
            return self._back(person, f"/posts/{post.id}", Message(words_of(why), is_error=True))
        return await self._edited(request, person, post, stored_form(post, self._forms))

    async def _edited(
        self,
        request: web.Request,
        person: Person,
        post: StoredPost,
        given: MultiMapping[str],
        error: PostError | MediaRefused | None = None,
        note: str = "",
    ) -> web.Response:
        findings, roots = findings_in(error), roots_of(post)
        attached = [id_ for id_ in given.getall("media", []) if _ID.fullmatch(id_)]
        of_parts = [file.id for target in post.targets for file in target.media]
        states = {target.state for target in post.targets}
        names = {root.id: f"{self._titles.get(root.platform, root.platform)}, {root.account}" for root in roots}
        by_account: dict[str, Form] = {
            root.id: self._forms.form(
                *(root.platform, given, root.id, names[root.id]),
                kind=root.kind,
                findings=findings_of(findings, root.connection_id),
            )
            for root in roots
        }
        return render(
            "edit.html",
            error.status if error is not None else 200,
            person=person,
            post=post,
            targets=[(by_account[root.id], parts_of(post, root)) for root in roots],
            names={root.connection_id: names[root.id] for root in roots},
            files=await self._files(person, list(dict.fromkeys([*attached, *of_parts]))),
            given=given,
            attached=attached,
            may_upload=self._uploads is not None,
            may_schedule=bool(states & {TargetState.DRAFT, TargetState.MISSED}),
            may_be_draft=bool(states & {TargetState.SCHEDULED, TargetState.AWAITING_APPROVAL}),
            may_take_approval_away=person.may(APPROVE),
            part_files={name: given.getall(name) for name in given if name.endswith("-media")},
            note=note,
            error=words_of(error),
            findings=findings,
            flash=self._site.messages.take(request, person),
        )

    async def edit(self, request: web.Request) -> web.Response:
        person = await self._site.authentication.require_form(request, WRITE)
        post = await self._listing.one(person.tenant, post_id(request))
        given = forms.form(request)
        try:
            body = read(EditBody, edit_document(given, post, self._forms))
            changed = await self._edits.edit(
                *(person.tenant, self._site.actor(request, person), post.id, body), may_approve=person.may(APPROVE)
            )
        except PostError as error:
            if (why := _unchangeable(await self._listing.one(person.tenant, post.id))) is not None:
                return self._back(person, f"/posts/{post.id}", Message(words_of(why), is_error=True))
            return await self._edited(request, person, post, given, error)
        text = "It is changed." if changed.changed else "Everything was as it is already; nothing was changed."
        warnings = " ".join(f"{finding['message']} {finding['remedy']}" for finding in changed.findings)
        return self._back(person, f"/posts/{post.id}", Message(f"{text} {changed.words} {warnings}".strip()))

    async def upload_for(self, request: web.Request) -> web.Response:
        """Take the files of the form of a post that is there, and show it again with them chosen."""
        person = await self._site.authentication.require_form_sender(request, WRITE)
        fields, error, note = await self._uploaded(request, person)  # it begins with the token, which comes first
        post = await self._listing.one(person.tenant, post_id(request))
        if (why := _unchangeable(post)) is not None:
            return self._back(person, f"/posts/{post.id}", Message(words_of(why), is_error=True))
        note = f"{note} Save the post to keep it so." if note else ""
        response = await self._edited(request, person, post, fields, error, note)
        return _retried_after(response, error)

    def _back(self, person: Person, page: str, message: Message) -> web.Response:
        return self._site.messages.add(redirect(page), person, message)


async def looked_at(posts: Posts, tenant: str, url: str | None) -> tuple[Preview | None, str]:
    """Return what the page behind a link says of itself, or why it says nothing."""
    if url is None:
        return None, ""
    try:
        return await posts.cards.preview(tenant, url), ""
    except PostError as error:
        return None, error.message


def can_be_changed(post: StoredPost) -> bool:
    """Whether a post is one whose publishing did not begin anywhere."""
    return _unchangeable(post) is None


def _unchangeable(post: StoredPost) -> PostError | None:
    """Return why a post cannot be changed; None where it can."""
    if post.is_action:
        message = "This is an action on something that is there already, and no post."
        return PostError("conflict", message, "cancel it, and ask for another", status=409)
    began = [target for target in post.targets if target.state not in EDITABLE]
    return too_late(began) if began else None


def _retried_after(response: web.Response, error: MediaRefused | None) -> web.Response:
    if error is not None and error.after is not None:
        response.headers[hdrs.RETRY_AFTER] = str(error.after)
    return response
