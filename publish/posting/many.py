"""Make several posts of one request: those of a file, each with a report, and one shared page at several accounts."""

import asyncio
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit, urlunsplit

from ops.access.audit_log_store import Actor
from ops.runtime.tenancy import tenant_transaction
from ops.runtime.text import excerpt
from publish.media.refusal import MediaRefused
from publish.media.storage import NOT_CONFIGURED
from publish.media.uploads import Uploads
from publish.posting import post_store
from publish.posting.errors import PostError
from publish.posting.link_cards import CARD
from publish.posting.plans import digest_of
from publish.posting.posts import Posts
from publish.posting.requests import LinkBody, PostBody, ShareBody, TargetBody, UploadBody, read
from publish.posting.results import Created, Result
from publish.preflight.contract import Finding
from publish.schedule.bulk import BulkPost, Defaults, Report

TRIES = 4
"""Of a file while others of the tenant are taken."""

LONGEST_SHOWN = 200
"""Characters of an address."""


@dataclass(frozen=True, slots=True)
class LineOutcome:
    """What became of one post of a file, by its place there. One of ``created`` and ``problems`` is empty."""

    number: int
    created: Created | None
    problems: Sequence[Mapping[str, object]] = ()


async def defaults_of(posts: Posts, tenant: str, zone: str | None = None) -> Defaults:
    """Return what a file of posts is held against: the platforms that are connected, and the time."""
    async with tenant_transaction(posts.pool, tenant) as connection:
        now = await post_store.clock(connection)
        connected = {account.platform for account in await post_store.accounts(connection)}
    return Defaults(connected & {*posts.publishers}, now, posts.zones, timezone=zone)


class _Files:
    """Fetches the files of one import, each address once, until its time is over."""

    def __init__(self, uploads: Uploads | None, tenant: str, actor: Actor, seconds: float | None) -> None:
        self._uploads = uploads
        self._tenant = tenant
        self._actor = actor
        self._end = None if seconds is None else time.monotonic() + seconds
        self._known: dict[str, str | MediaRefused] = {}

    async def ids(self, urls: Sequence[str]) -> list[str]:
        """Return the ids of the files at these addresses. Raises _LineRefused, which names each that was not taken."""
        found, problems = [], []
        for number, url in enumerate(urls, 1):
            if url not in self._known:
                self._known[url] = await self._fetched(url)
            known = self._known[url]
            if isinstance(known, str):
                found.append(known)
                continue
            problems.append(
                {
                    "field": "media_urls",
                    "item": f"media_urls {number}",
                    "url": _without_secrets(url),
                    "message": f"file {number} at {_without_secrets(url)}: {known.message}",
                    "remedy": known.remedy,
                    "reason": known.reason,
                }
            )
        if problems:
            raise _LineRefused(problems)
        return found

    async def _fetched(self, url: str) -> str | MediaRefused:
        if self._uploads is None:
            message = "Files cannot be taken: there is no place to keep them."
            return MediaRefused("storage", 503, "not_configured", message, NOT_CONFIGURED)
        for last in (*[False] * (TRIES - 1), True):
            left = None if self._end is None else max(0.0, self._end - time.monotonic())
            try:
                async with asyncio.timeout(left):
                    media, _ = await self._uploads.fetched(self._tenant, self._actor, url)
            except TimeoutError:
                message, remedy = "The time that one request may take was over.", "send this post again by itself"
                return MediaRefused("interrupted", 503, "overloaded", message, remedy)
            except MediaRefused as refused:
                if refused.reason != "busy" or last:
                    return refused
                await asyncio.sleep(refused.after or 1)
            else:
                return media.id
        raise AssertionError("unreachable")


class _LineRefused(Exception):  # noqa: N818  an answer
    """A post of a file is not made; ``problems`` say why."""

    def __init__(self, problems: Sequence[Mapping[str, object]]) -> None:
        super().__init__()
        self.problems = problems


def _without_secrets(url: str) -> str:
    """Return an address without its query and its user, which may hold secrets."""
    parts = urlsplit(url)
    return excerpt(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")), LONGEST_SHOWN)


async def create_all(
    posts: Posts,
    uploads: Uploads | None,
    tenant: str,
    actor: Actor,
    report: Report,
    *,
    key: str = "",
    dry_run: bool = False,
    seconds: float | None = None,
) -> list[LineOutcome]:
    """Make the posts of a file, each for itself: one that is refused keeps no other from being made.

    Files are fetched by their addresses into ``uploads``, in a dry run too: only so can the post be checked. After
    ``seconds`` no more are.
    """
    outcomes, files = [], _Files(uploads, tenant, actor, seconds)
    for line in report.lines:
        if line.post is None:
            problems = [{"field": each.field, "message": each.message, "remedy": each.remedy} for each in line.problems]
            outcomes.append(LineOutcome(line.number, None, problems))
            continue
        line_key = f"{key}/{line.number}" if key else ""
        try:
            created = await _created(posts, files, tenant, actor, line.post, line_key, dry_run=dry_run)
            outcomes.append(LineOutcome(line.number, created))
        except _LineRefused as refused:
            outcomes.append(LineOutcome(line.number, None, refused.problems))
        except PostError as error:
            problem = {"field": "", "message": error.message, "remedy": error.remedy, **error.details}
            outcomes.append(LineOutcome(line.number, None, [problem]))
    return outcomes


async def _created(
    posts: Posts, files: _Files, tenant: str, actor: Actor, post: BulkPost, key: str, *, dry_run: bool
) -> Created:
    """Make one post of a file. Raises PostError and _LineRefused."""
    if not post.media_urls:
        return await posts.create(tenant, actor, _of_line(post, [], key, dry_run=dry_run))
    # The request is what the line says: what is at an address may have changed since.
    asked = hashlib.sha256(json.dumps(["line", asdict(post)], default=str, sort_keys=True).encode()).digest()
    if key and not dry_run and (before := await posts.replay(tenant, key, asked)) is not None:
        return before
    media = await files.ids(post.media_urls)
    return await posts.create(tenant, actor, _of_line(post, media, key, dry_run=dry_run), asked=asked)


def _of_line(post: BulkPost, media: Sequence[str], key: str, *, dry_run: bool) -> PostBody:
    """Raises PostError."""
    document = {
        "content": post.content,
        "hashtags": list(post.hashtags),
        "media": list(media),
        "platforms": list(post.platforms),
        "campaign_id": post.campaign_id or None,
        "utm": post.utm,
        "scheduled_time": post.time.written,
        "timezone": post.time.zone,
        "idempotency_key": key,
        "dry_run": dry_run,
    }
    return read(PostBody, document)


@dataclass(frozen=True, slots=True)
class Shared:
    """What became of a shared page: a result for each account, and the error of each that refused it.

    ``note`` says why nothing is known of the page; None where it was looked at, or all was given.
    """

    created: Created
    errors: Mapping[str, PostError]
    results: Sequence[Result]
    note: Finding | None = None


async def share(posts: Posts, tenant: str, actor: Actor, body: ShareBody) -> Shared:
    """Share a page at accounts, and say of each that refuses it why. Raises PostError where all refuse it.

    An account at which it is shared already is answered with that post.
    """
    asked = digest_of("share", body)
    if body.idempotency_key and (before := await posts.replay(tenant, body.idempotency_key, asked)) is not None:
        return Shared(before, {}, before.results)
    async with tenant_transaction(posts.pool, tenant) as connection:
        known = await post_store.accounts(connection, body.accounts or None)
    chosen = [each for each in known if not body.accounts or each.id in body.accounts]
    chosen = chosen if body.accounts else [each for each in chosen if each.platform in posts.publishers]
    given = {name: value for name in CARD if (value := getattr(body, name))}
    link, note = await posts.cards.card(tenant, LinkBody(url=body.url, **given))
    errors, results = dict[str, PostError](), list[Result]()
    for account in chosen:
        try:
            tried = await posts.create(tenant, actor, _of_share(body, link, [account.id], dry_run=True))
            results += tried.results
        except PostError as error:
            errors[account.id] = error
            results.append(Result(account.id, account.platform, account.username or account.account_id, "refused"))
    able = [result.connection for result in results if result.result != "refused"]
    if not able:
        raise _with_note(next(iter(errors.values()), _nobody()), note)
    if body.dry_run:
        return Shared(Created(None), errors, results, note)
    created = await posts.create(tenant, actor, _of_share(body, link, able, dry_run=False), asked=asked)
    refused = [result for result in results if result.result == "refused"]
    return Shared(created, errors, [*created.results, *refused], note)


def _with_note(error: PostError, note: Finding | None) -> PostError:
    """Return the error with what is to be said of the shared page among its findings."""
    if note is None:
        return error
    found = error.details.get("findings")
    findings = [*(found if isinstance(found, list) else []), note.document]
    details = {**error.details, "findings": findings}
    return PostError(
        error.code, error.message, error.remedy, status=error.status, retryable=error.retryable, details=details
    )


def _nobody() -> PostError:
    return PostError("unprocessable", "No account is connected that could share a page.", "connect one")


def _of_share(body: ShareBody, link: LinkBody, accounts: Sequence[str], *, dry_run: bool) -> PostBody:
    document = {
        # Only what was given: what the page says of itself may differ the next time, and so would tell another post.
        "content": body.message or body.title,
        # Whole, so that the page is not looked at again for each account.
        "link": link.model_dump(),
        "targets": [{"connection": id_} for id_ in accounts],
        "campaign_id": body.campaign_id,
        "utm": body.utm,
        "action": "publish",
        "repeat": body.repeat,
        "dry_run": dry_run,
        "idempotency_key": body.idempotency_key,
    }
    return read(PostBody, document)


async def upload(posts: Posts, tenant: str, actor: Actor, platform: str, body: UploadBody) -> Created:
    """Publish a file of the library at accounts of one platform, now or at a time. Raises PostError."""
    async with tenant_transaction(posts.pool, tenant) as connection:
        known = await post_store.accounts(connection, body.accounts, [] if body.accounts else [platform])
    if wrong := [account for account in known if account.platform != platform]:
        message = f"The connection {wrong[0].id} is none of {platform}."
        raise PostError("unprocessable", message, "name connections of this platform")
    if not known:
        raise PostError("unprocessable", f"No such account of {platform} is connected.", "connect one")
    document = {
        "content": body.caption,
        "action": "schedule" if body.scheduled_time else "publish",
        "scheduled_time": body.scheduled_time,
        "timezone": body.timezone,
        "repeat": body.repeat,
        "dry_run": body.dry_run,
        "idempotency_key": body.idempotency_key,
    }
    made = read(PostBody, document)
    targets = [TargetBody(connection=account.id, kind=body.kind, options=dict(body.options)) for account in known]
    made = made.model_copy(update={"media": [body.media], "targets": targets})
    return await posts.create(tenant, actor, made)
