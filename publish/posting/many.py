"""Make several posts of one request: those of a file, each with a report, and one shared page at several accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.access.audit_log_store import Actor
from ops.runtime.tenancy import tenant_transaction
from publish.posting import post_store
from publish.posting.errors import PostError
from publish.posting.posts import Created, Posts, Result, digest_of
from publish.posting.requests import PostBody, ShareBody, TargetBody, UploadBody, read
from publish.schedule.bulk import BulkPost, Defaults, Report


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


async def create_all(
    posts: Posts, tenant: str, actor: Actor, report: Report, *, key: str = "", dry_run: bool = False
) -> list[LineOutcome]:
    """Make the posts of a file, each for itself: one that is refused keeps no other from being made."""
    outcomes = []
    for line in report.lines:
        if line.post is None:
            problems = [{"field": each.field, "message": each.message, "remedy": each.remedy} for each in line.problems]
            outcomes.append(LineOutcome(line.number, None, problems))
            continue
        try:
            body = _of_line(line.post, f"{key}/{line.number}" if key else "", dry_run=dry_run)
            outcomes.append(LineOutcome(line.number, await posts.create(tenant, actor, body)))
        except PostError as error:
            problem = {"field": "", "message": error.message, "remedy": error.remedy, **error.details}
            outcomes.append(LineOutcome(line.number, None, [problem]))
    return outcomes


def _of_line(post: BulkPost, key: str, *, dry_run: bool) -> PostBody:
    """Raises PostError for files by address, which a library has to fetch first."""
    if post.media_urls:
        message = "Files are not fetched by their address here."
        raise PostError("unprocessable", message, "upload them, and make the post with their ids")
    document = {
        "content": post.content,
        "hashtags": list(post.hashtags),
        "platforms": list(post.platforms),
        "campaign_id": post.campaign_id or None,
        "scheduled_time": post.time.written,
        "timezone": post.time.zone,
        "idempotency_key": key,
        "dry_run": dry_run,
    }
    return read(PostBody, document)


@dataclass(frozen=True, slots=True)
class Shared:
    """What became of a shared page: a result for each account, and the error of each that refused it."""

    created: Created
    errors: Mapping[str, PostError]
    results: Sequence[Result]


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
    errors, results = dict[str, PostError](), list[Result]()
    for account in chosen:
        try:
            tried = await posts.create(tenant, actor, _of_share(body, [account.id], dry_run=True))
            results += tried.results
        except PostError as error:
            errors[account.id] = error
            results.append(Result(account.id, account.platform, account.username or account.account_id, "refused"))
    able = [result.connection for result in results if result.result != "refused"]
    if not able:
        raise next(iter(errors.values()), _nobody())
    if body.dry_run:
        return Shared(Created(None), errors, results)
    created = await posts.create(tenant, actor, _of_share(body, able, dry_run=False), asked=asked)
    refused = [result for result in results if result.result == "refused"]
    return Shared(created, errors, [*created.results, *refused])


def _nobody() -> PostError:
    return PostError("unprocessable", "No account is connected that could share a page.", "connect one")


def _of_share(body: ShareBody, accounts: Sequence[str], *, dry_run: bool) -> PostBody:
    link = {"url": body.url, "title": body.title, "description": body.description, "image": body.image}
    document = {
        "content": body.message or body.title,
        "link": link,
        "targets": [{"connection": id_} for id_ in accounts],
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
