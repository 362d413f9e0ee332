"""Posts, for programs: make, list, change, publish, cancel, try again, decide upon and approve them."""

import json
from collections.abc import Mapping, Sequence

from aiohttp import web

from ops.runtime.tenancy import tenant_transaction
from ops.web import forms
from ops.web.negotiation import redirect_browser
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Publishing, Site
from ops.web.uploading import configured, refusals, whole_file
from publish.media import links
from publish.posting import many
from publish.posting.descriptions import (
    cancelled_document,
    created_document,
    history_document,
    line_document,
    post_document,
    preview_document,
    result_document,
)
from publish.posting.edits import Edits
from publish.posting.errors import PostError, no_post
from publish.posting.lifecycle import PostLifecycle
from publish.posting.link_preview import ADDRESS_CHARACTERS
from publish.posting.listing import MOST_LISTED, PAGE_SIZE, PostListing
from publish.posting.many import Shared
from publish.posting.post_store import PostFilter
from publish.posting.requests import (
    ApproveBody,
    ConfirmBody,
    EditBody,
    PostBody,
    RetryAllBody,
    RetryBody,
    ShareBody,
    UploadBody,
    moment,
    read,
)
from publish.posting.results import Changed, Created
from publish.schedule.bulk_json import read_json

READ, WRITE, APPROVE = "posts:read", "posts:write", "posts:approve"
KEY_HEADER = "Idempotency-Key"
BULK_BYTES = 512 * 2**10
FETCH_SECONDS = 120.0
"""So long one request fetches files; the posts whose files are missing then are refused, and can be sent again."""

LONGEST_KEY = 200
JSON = "application/json"
NOBODYS = "00000000-0000-0000-0000-000000000000"
"""Stands for the file that is to come, while the rest of a request is checked."""


class PostsApi:
    """The routes below ``/api/posts``, ``/api/share``, ``/api/link-preview`` and ``/api/{platform}/upload``."""

    def __init__(self, site: Site, publishing: Publishing) -> None:
        self._site = site
        self._posts = publishing.posts
        self._edits, self._lifecycle = Edits(publishing.posts), PostLifecycle(publishing.posts)
        self._listing = PostListing(publishing.posts)
        self._uploads = publishing.uploads

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/api/posts", self.create),
            Route("POST", "/api/posts/schedule", self.schedule),
            Route("POST", "/api/posts/bulk", self.bulk, body_bytes=BULK_BYTES),
            Route("GET", "/api/posts", self.list),
            Route("GET", "/api/posts/summary", self.summary),
            Route("POST", "/api/posts/retry", self.retry_all),
            Route("GET", "/api/posts/{id}", self.show),
            Route("PATCH", "/api/posts/{id}", self.edit),
            Route("DELETE", "/api/posts/{id}", self.cancel),
            Route("GET", "/api/posts/{id}/history", self.history),
            Route("GET", "/api/posts/{id}/fetches", self.fetches),
            Route("POST", "/api/posts/{id}/publish", self.publish),
            Route("POST", "/api/posts/{id}/cancel", self.cancel),
            Route("POST", "/api/posts/{id}/retry", self.retry),
            Route("POST", "/api/posts/{id}/confirm", self.confirm),
            Route("POST", "/api/posts/{id}/approve", self.approve),
            Route("GET", "/api/posting/rules", self.rules),
            Route("POST", "/api/share", self.share),
            Route("GET", "/api/link-preview", self.preview),
            Route("POST", "/api/{platform}/upload", self.upload, streamed=WRITE),
        )

    async def create(self, request: web.Request) -> web.Response:
        """Make a post: 201, or 200 with the one that is there, and with the one of an earlier request with its key."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        body = read(PostBody, with_key(request))
        return _created(await self._posts.create(caller.tenant, caller.actor, body))

    async def schedule(self, request: web.Request) -> web.Response:
        """Make a post that has a time."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        document = with_key(request)
        body = read(PostBody, {"action": "schedule", **document} if isinstance(document, Mapping) else document)
        return _created(await self._posts.create(caller.tenant, caller.actor, body))

    async def bulk(self, request: web.Request) -> web.Response:
        """Make the posts of a list, each for itself: 200 with what became of each, 422 where none was accepted."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        content, key = forms.content(request, JSON), _key(request)
        defaults = await many.defaults_of(self._posts, caller.tenant, request.query.get("timezone"))
        report = read_json(content, defaults)
        if report.problems:
            first = report.problems[0]
            problems = [{"field": p.field, "message": p.message, "remedy": p.remedy} for p in report.problems]
            message = f"{first.message[:1].upper()}{first.message[1:]}."
            raise PostError("invalid_request", message, first.remedy, status=400, details={"problems": problems})
        dry_run = request.query.get("dry_run", "") not in ("", "0", "false")
        outcomes = await many.create_all(
            *(self._posts, self._uploads, caller.tenant, caller.actor, report),
            key=key,
            dry_run=dry_run,
            seconds=FETCH_SECONDS,
        )
        accepted = sum(1 for outcome in outcomes if outcome.created is not None)
        if not accepted:
            details = {"posts": [line_document(outcome) for outcome in outcomes]}
            raise PostError(
                "unprocessable", "None of the posts was accepted.", "correct each as it says", details=details
            )
        answer = {
            "accepted": accepted,
            "refused": len(outcomes) - accepted,
            "posts": [line_document(outcome) for outcome in outcomes],
        }
        return web.json_response(answer)

    async def list(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, READ)
        redirect_browser(request, "/posts")
        page = await self._listing.page(caller.tenant, post_filter(request.query), page_size(request.query))
        return web.json_response({"posts": [post_document(post) for post in page.posts], "before": page.before})

    async def summary(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, READ)
        redirect_browser(request, "/posts")
        return web.json_response(await self._listing.summary(caller.tenant, request.query.get("campaign")))

    async def show(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, READ)
        id_ = post_id(request)
        found = await self._listing.one(caller.tenant, id_)
        redirect_browser(request, f"/posts/{id_}")
        return web.json_response(post_document(found))

    async def history(self, request: web.Request) -> web.Response:
        """Show when each target came to its states, and what happens next."""
        caller = await self._site.authentication.require_caller(request, READ)
        id_ = post_id(request)
        shown = await self._listing.history(caller.tenant, id_)
        redirect_browser(request, f"/posts/{id_}")
        return web.json_response(history_document(shown))

    async def fetches(self, request: web.Request) -> web.Response:
        """Show who fetched the files of a post by the addresses that were made for platforms."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        id_ = post_id(request)
        async with tenant_transaction(self._site.pool, caller.tenant) as connection:
            found = await links.fetches_about(connection, caller.tenant, id_)
        if found is None:
            raise no_post()
        redirect_browser(request, f"/posts/{id_}")
        return web.json_response({"fetches": [fetch.document for fetch in found]})

    async def edit(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        body = read(EditBody, forms.document(request))
        may_approve = APPROVE in caller.scopes
        changed = await self._edits.edit(caller.tenant, caller.actor, post_id(request), body, may_approve=may_approve)
        return _changed(changed)

    async def publish(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        repeat = _flag(request, "repeat")
        return _changed(await self._edits.publish(caller.tenant, caller.actor, post_id(request), repeat=repeat))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel a post, and say of each target whether it is cancelled, or why it is too late."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        found = await self._lifecycle.cancel(caller.tenant, caller.actor, post_id(request))
        return web.json_response(cancelled_document(found))

    async def retry(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        body = read(RetryBody, _optional(request))
        return _changed(await self._lifecycle.retry(caller.tenant, caller.actor, post_id(request), body))

    async def retry_all(self, request: web.Request) -> web.Response:
        """Begin anew with all that failed for one cause, and answer with their number, and that of those refused."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        body = read(RetryAllBody, forms.document(request))
        done = await self._lifecycle.retry_all(caller.tenant, caller.actor, body.cause, body.platform)
        return web.json_response(done.document)

    async def confirm(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, WRITE)
        body = read(ConfirmBody, forms.document(request))
        return _changed(await self._lifecycle.confirm(caller.tenant, caller.actor, post_id(request), body))

    async def approve(self, request: web.Request) -> web.Response:
        caller = await self._site.authentication.require_caller(request, APPROVE)
        body = read(ApproveBody, forms.document(request))
        return _changed(await self._lifecycle.approve(caller.tenant, caller.actor, post_id(request), body))

    async def rules(self, request: web.Request) -> web.Response:
        """Return kinds of post, limits and JSON schemas of options, by platform."""
        await self._site.authentication.require_caller(request, READ)
        redirect_browser(request, "/posts")
        publishers = self._posts.publishers
        return web.json_response({"platforms": {name: publisher.document for name, publisher in publishers.items()}})

    async def share(self, request: web.Request) -> web.Response:
        """Share a page: 201 with a result for each account, 200 where it is shared already at all of them."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        body = read(ShareBody, with_key(request))
        shared = await many.share(self._posts, caller.tenant, caller.actor, body)
        answer = {
            "accounts": shared_documents(shared),
            "post": _post_of(shared.created),
            "findings": [] if shared.note is None else [shared.note.document],
        }
        return web.json_response(answer, status=_status(shared.created))

    async def preview(self, request: web.Request) -> web.Response:
        """Return what a page says of itself. Whoever may write may have it fetched."""
        caller = await self._site.authentication.require_caller(request, WRITE)
        redirect_browser(request, "/share")
        url = request.query.get("url", "")
        if not 0 < len(url) <= ADDRESS_CHARACTERS:
            message = f"url is no address of at most {ADDRESS_CHARACTERS} characters."
            raise PostError("invalid_request", message, "name the page that is to be shared", status=400)
        return web.json_response(preview_document(await self._posts.cards.preview(caller.tenant, url)))

    async def upload(self, request: web.Request) -> web.Response:
        """Publish a file at the accounts of one platform: one of the library, or the one that is sent."""
        caller = await self._site.authentication.require_writer(request, WRITE)
        platform = request.match_info["platform"]
        if platform not in self._posts.publishers:
            message = "There is no platform of this name to publish to."
            raise Refused(404, "unknown_platform", message, "look at GET /api/posting/rules")
        if request.content_type == JSON:
            await forms.read(request)
            document = with_key(request)
        else:
            document = _from_query(request)
            read(UploadBody, {**document, "media": NOBODYS})  # before the file is taken
            with refusals():
                media, _ = await whole_file(request, configured(self._uploads), caller)
            document["media"] = {"id": media.id, "alt_text": request.query.get("alt_text", "")}
        body = read(UploadBody, document)
        return _created(await many.upload(self._posts, caller.tenant, caller.actor, platform, body))


def post_id(request: web.Request) -> str:
    """Return the id in the address. Raises PostError for what can be none."""
    try:
        return forms.path_id(request, Refused(404, "not_found", "", ""))
    except Refused:
        raise no_post() from None


def post_filter(given: Mapping[str, str]) -> PostFilter:
    """Return which posts a query asks for. Raises PostError."""
    before = given.get("before")
    if before is not None:
        wrong = Refused(400, "invalid_request", "before must be the id of a post.", "take it from the answer before")
        before = forms.parse_id(before, wrong)
    connection = given.get("connection") or None
    if connection is not None:
        wrong = Refused(400, "invalid_request", "connection must be an id.", "take it from GET /api/connections")
        connection = forms.parse_id(connection, wrong)
    return PostFilter(
        campaign=given.get("campaign") or None,
        state=given.get("state") or None,
        platform=given.get("platform") or None,
        since=moment("from", given.get("from")),
        until=moment("to", given.get("to")),
        before=before,
        connection=connection,
        text=given.get("text", "").strip() or None,
    )


def page_size(given: Mapping[str, str]) -> int:
    """Return how many a query asks for. Raises PostError."""
    text = given.get("limit", str(PAGE_SIZE))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= MOST_LISTED):
        raise PostError("invalid_request", "limit is no such number.", f"name 1 to {MOST_LISTED}", status=400)
    return int(text)


def _key(request: web.Request) -> str:
    key = request.headers.get(KEY_HEADER, "").strip()
    if len(key) > LONGEST_KEY or not forms.is_storable(key):
        message = f"{KEY_HEADER} is no key of at most {LONGEST_KEY} characters."
        raise PostError("invalid_request", message, "send a UUID, for example", status=400)
    return key


def with_key(request: web.Request) -> object:
    """Return the JSON of the body, with the key of the header where it has none. Raises Refused, PostError."""
    document, key = forms.document(request), _key(request)
    if key and isinstance(document, dict) and not document.get("idempotency_key"):
        return {**document, "idempotency_key": key}
    return document


def _from_query(request: web.Request) -> dict[str, object]:
    """Return what the query says of a file that is the body. Raises PostError."""
    given = request.query
    try:
        options = json.loads(given.get("options", "{}"))
    except (ValueError, RecursionError):
        message, remedy = "The options are no JSON.", 'write them as {"first_comment": "…"}'
        raise PostError("invalid_request", message, remedy, status=400) from None
    names = ("caption", "kind", "scheduled_time", "timezone")
    return {
        **{name: given[name] for name in names if name in given},
        "options": options,
        "accounts": given.getall("account", []),
        "repeat": given.get("repeat") in ("1", "true"),
        "idempotency_key": _key(request),
    }


def _optional(request: web.Request) -> object:
    """Return the JSON of the body, an empty object where nothing was sent. Raises Refused."""
    return forms.document(request) if request.can_read_body or request.content_length else {}


def _flag(request: web.Request, name: str) -> bool:
    document = _optional(request)
    return isinstance(document, dict) and document.get(name) is True


def _status(created: Created) -> int:
    new = not created.replayed and any(result.result == "created" for result in created.results)
    return 201 if new else 200


def _post_of(created: Created) -> dict[str, object] | None:
    return None if created.post is None else post_document(created.post)


def _created(created: Created) -> web.Response:
    return web.json_response(created_document(created), status=_status(created))


def _changed(changed: Changed) -> web.Response:
    return web.json_response(
        {
            "changed": changed.changed,
            "post": post_document(changed.post),
            "findings": list(changed.findings),
            "time": changed.words or None,
        }
    )


def shared_documents(shared: Shared) -> list[dict[str, object]]:
    """Return what became of each account of a shared page."""
    words = {"exists": "already_shared", "created": "accepted"}
    found = []
    for result in shared.results:
        error = shared.errors.get(result.connection)
        told = None if error is None else {"code": error.code, "message": error.message, "remedy": error.remedy}
        found.append({**result_document(result), "result": words.get(result.result, result.result), "error": told})
    return found
