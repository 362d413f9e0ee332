"""`landfall posts`: make posts, see what became of them, and decide what only a person can."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from ops.access.audit_log_store import COMMAND
from ops.cli import options, wiring
from ops.cli.access import scope_of
from ops.cli.composition import built, posts_of, storage_of
from ops.cli.terminal import echo, echo_json
from ops.runtime.settings import Configuration
from publish.posting import many
from publish.posting.descriptions import post_document, result_document
from publish.posting.post_store import STATUSES, PostFilter, StoredPost, StoredTarget
from publish.posting.posts import MOST_LISTED, Created, Posts
from publish.posting.requests import ApproveBody, ConfirmBody, PostBody, RetryBody, read
from publish.schedule.bulk_csv import read_csv
from publish.schedule.bulk_json import read_json
from schema.states import TargetState

SHOWN_CHARACTERS = 60
"""Of a text in a listing."""

_POST = click.argument("post_id", type=click.UUID)


@click.group()
def posts() -> None:
    """Posts: make, list, retry, confirm, approve and cancel them."""


@dataclass(frozen=True)
class _Desk:
    posts: Posts
    tenant: str


@asynccontextmanager
async def _desk(configuration: Configuration, tenant: str | None) -> AsyncIterator[_Desk]:
    async with scope_of(configuration, tenant) as scope, AsyncExitStack() as stack:
        url, found = configuration.settings.landfall_public_url, None
        if wiring.has_vault(configuration):
            found = await stack.enter_async_context(built(configuration, scope.pool))
        yield _Desk(posts_of(scope.pool, found, storage_of(configuration), url), scope.tenant)


@posts.command("create")
@click.option("--content", default="", help="The text.")
@click.option("--connection", "connections", type=click.UUID, multiple=True, help="An account; see `connections list`.")
@click.option("--platform", "platforms", multiple=True, help="All connected accounts of a platform.")
@click.option("--media", type=click.UUID, multiple=True, help="A file; see `media list`.")
@click.option("--alt-text", "alt_texts", multiple=True, help="Of the files, in their order.")
@click.option("--link", default="", help="A page to share.")
@click.option("--hashtag", "hashtags", multiple=True)
@click.option("--campaign", "campaign_id")
@click.option("--thread", multiple=True, help="A further part.")
@click.option(
    "--thread-media",
    type=(click.IntRange(2), click.UUID),
    multiple=True,
    metavar="PART FILE",
    help="A file of a further part; parts count from 2, the first --thread.",
)
@click.option("--thread-alt-text", "thread_alt_texts", multiple=True, help="Of the --thread-media, in their order.")
@click.option("--first-comment-media", type=click.UUID, multiple=True, help="A file of the option first_comment.")
@click.option("--kind", default="", help="Such as reel; chosen from the files if not named.")
@click.option("--options", "chosen", default="{}", metavar="JSON", help="Of the platform.")
@click.option("--at", "scheduled_time", metavar="TIME", help="Such as 2027-05-01T09:00.")
@click.option("--zone", "timezone", help="Such as Europe/Berlin.")
@click.option("--now", is_flag=True, help="Publish it now. Without --now and --at it is a draft.")
@click.option("--needs-approval", is_flag=True)
@click.option("--repeat", is_flag=True, help="Post what was posted before, on purpose.")
@click.option("--dry-run", is_flag=True, help="Check it, and store nothing.")
@click.option("--key", "idempotency_key", default="", help="A repeat of the command with it makes no second post.")
@options.json_document
@options.tenant
def posts_create(tenant: str | None, *, as_json: bool, **given: Any) -> None:
    """Make a post: a draft, for a time, or at once."""
    wiring.run(create(wiring.load(), tenant, _document(**given), as_json=as_json))


def _document(
    *,
    connections: Sequence[UUID],
    media: Sequence[UUID],
    alt_texts: Sequence[str],
    thread: Sequence[str],
    thread_media: Sequence[tuple[int, UUID]],
    thread_alt_texts: Sequence[str],
    first_comment_media: Sequence[UUID],
    link: str,
    kind: str,
    chosen: str,
    now: bool,
    **given: Any,
) -> dict[str, Any]:
    """Return a post as programs send it. Raises UsageError."""
    try:
        parsed = json.loads(chosen)
    except (ValueError, RecursionError):
        raise click.UsageError('--options is no JSON, such as {"first_comment": "…"}') from None
    if len(alt_texts) > len(media):
        raise click.UsageError("there are more --alt-text than --media")
    if len(thread_alt_texts) > len(thread_media):
        raise click.UsageError("there are more --thread-alt-text than --thread-media")
    parts: list[dict[str, Any]] = [{"content": text, "media": []} for text in thread]
    described = [*thread_alt_texts, *[""] * (len(thread_media) - len(thread_alt_texts))]
    for (number, id_), text in zip(thread_media, described, strict=True):
        if number > len(parts) + 1:
            raise click.UsageError(f"--thread-media names part {number}, and there are {len(parts) + 1} parts")
        parts[number - 2]["media"].append({"id": str(id_), "alt_text": text})
    if now and given["scheduled_time"]:
        raise click.UsageError("--now and --at contradict each other")
    texts = [*alt_texts, *[""] * (len(media) - len(alt_texts))]
    lists = {name: list(given.pop(name)) for name in ("platforms", "hashtags")}
    comment = [str(id_) for id_ in first_comment_media]
    return {
        **given,
        **lists,
        "targets": [
            {"connection": str(id_), "kind": kind, "options": parsed, "first_comment_media": comment}
            for id_ in connections
        ],
        "thread": parts,
        "media": [{"id": str(id_), "alt_text": text} for id_, text in zip(media, texts, strict=True)],
        "link": {"url": link} if link else None,
        "action": "publish" if now else None,
    }


async def create(
    configuration: Configuration, tenant: str | None, document: Mapping[str, Any], *, as_json: bool
) -> None:
    """Make a post, and print what came of it. Raises PostError."""
    body = read(PostBody, document)
    async with _desk(configuration, tenant) as desk:
        created = await desk.posts.create(desk.tenant, COMMAND, body)
    if as_json:
        echo_json(
            {
                "post": None if created.post is None else post_document(created.post),
                "accounts": [result_document(result) for result in created.results],
                "findings": list(created.findings),
                "time": created.words or None,
                "replayed": created.replayed,
            }
        )
        return
    _say_created(created)


def _say_created(created: Created) -> None:
    words = {"created": "accepted", "exists": "is there already", "checked": "could be accepted"}
    for result in created.results:
        echo(f"{result.platform:<10} {result.account}  {words[result.result]}  {result.post or ''}".rstrip())
    for finding in created.findings:
        echo(f"{finding['severity']}: {finding['message']} {finding['remedy']}", err=True)
    if created.words:
        echo(created.words)


@posts.command("list")
@click.option("--campaign")
@click.option("--state", type=click.Choice([*STATUSES, *(state.value for state in TargetState)]))
@click.option("--platform")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, MOST_LISTED))
@options.json_lines
@options.tenant
def posts_list(tenant: str | None, *, limit: int, as_json: bool, **chosen: Any) -> None:
    """List the newest posts first."""
    wiring.run(show_list(wiring.load(), tenant, PostFilter(**chosen), limit, as_json=as_json))


async def show_list(
    configuration: Configuration, tenant: str | None, wanted: PostFilter, limit: int, *, as_json: bool
) -> None:
    """Print the newest posts that fit."""
    async with _desk(configuration, tenant) as desk:
        page = await desk.posts.page(desk.tenant, wanted, limit)
    for post in page.posts:
        if as_json:
            echo_json(post_document(post))
            continue
        time = f"{post.scheduled_at:%Y-%m-%d %H:%M}" if post.scheduled_at else "no time"
        places = ", ".join(f"{target.platform} {target.state}" for target in post.targets)
        echo(f"{post.id}  {time:<16}  {post.status:<9}  {places}  {post.content[:SHOWN_CHARACTERS]}")
    if not page.posts and not as_json:
        echo("no posts fit", err=True)


@posts.command("show")
@_POST
@options.json_document
@options.tenant
def posts_show(post_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Show one post, and how far it is at each account."""
    wiring.run(show_one(wiring.load(), tenant, str(post_id), as_json=as_json))


async def show_one(configuration: Configuration, tenant: str | None, post_id: str, *, as_json: bool) -> None:
    """Print one post whole. Raises PostError where there is none."""
    async with _desk(configuration, tenant) as desk:
        post = await desk.posts.one(desk.tenant, post_id)
    if as_json:
        echo_json(post_document(post))
        return
    for name, value in post_document(post).items():
        if name not in ("targets", "link", "media") and value not in (None, [], ""):
            echo(f"{name:>16}: {value}")
    for each in post.media:
        echo(f"{'file':>16}: {each.id} {each.alt_text}".rstrip())
    if post.link:
        echo(f"{'link':>16}: {post.link.get('url', '')}")
    for target in post.targets:
        _say_target(target)


def _say_target(target: StoredTarget) -> None:
    echo(f"{target.platform} {target.account}: {target.state} ({target.kind}), target {target.id}")
    for each in target.media:
        echo(f"    file {each.id} {each.alt_text}".rstrip())
    for line in (target.platform_post_url, target.error_message, *target.evidence):
        if line:
            echo(f"    {line}")
    if target.state == TargetState.UNCONFIRMED:
        echo(
            "    look there, then: landfall posts confirm POST TARGET --there --url …, or --not-there to post it again"
        )


@posts.command("retry")
@click.argument("post_id", type=click.UUID, required=False)
@click.option("--target", type=click.UUID, help="Of this post; all that failed if it is not given.")
@click.option("--cause", default="", help="Only what failed with this code.")
@click.option("--platform", help="With --cause and without a post: only this one's.")
@options.tenant
def posts_retry(
    post_id: UUID | None, tenant: str | None, *, target: UUID | None, cause: str, platform: str | None
) -> None:
    """Try again what failed of a post, or all that failed for one cause."""
    if post_id is None and (not cause or target is not None):
        raise click.UsageError("name a post, or the --cause for which posts failed")
    post, chosen = (None if id_ is None else str(id_) for id_ in (post_id, target))
    wiring.run(retry(wiring.load(), tenant, post, chosen, cause, platform))


async def retry(
    configuration: Configuration,
    tenant: str | None,
    post_id: str | None,
    target: str | None,
    cause: str,
    platform: str | None,
) -> None:
    """Try targets again, and print how many. Raises PostError."""
    async with _desk(configuration, tenant) as desk:
        if post_id is None:
            count = await desk.posts.retry_all(desk.tenant, COMMAND, cause, platform)
            echo(f"{count} targets that failed with {cause} are tried again")
            return
        body = read(RetryBody, {"target": target, "cause": cause})
        changed = await desk.posts.retry(desk.tenant, COMMAND, post_id, body)
    _say_states(changed.post)


@posts.command("confirm")
@_POST
@click.argument("target", type=click.UUID)
@click.option("--there/--not-there", "there", default=None, help="What you saw at the platform.")
@click.option("--post-id", "platform_post_id", default="", help="Of the post that is there.")
@click.option("--url", default="", help="Its address.")
@click.option("--evidence", default="", help="What you looked at; it stands in the audit log.")
@options.tenant
def posts_confirm(
    post_id: UUID,
    target: UUID,
    tenant: str | None,
    *,
    there: bool | None,
    platform_post_id: str,
    url: str,
    evidence: str,
) -> None:
    """Say whether an unconfirmed post is there. If it is not, it is posted again."""
    if there is None:
        raise click.UsageError("say --there or --not-there: nothing is decided for you")
    document = {"target": str(target), "there": there, "post_id": platform_post_id, "url": url, "evidence": evidence}
    wiring.run(confirm(wiring.load(), tenant, str(post_id), document))


async def confirm(configuration: Configuration, tenant: str | None, post_id: str, document: Mapping[str, Any]) -> None:
    """Store what a person saw, and print the states. Raises PostError."""
    body = read(ConfirmBody, document)
    async with _desk(configuration, tenant) as desk:
        changed = await desk.posts.confirm(desk.tenant, COMMAND, post_id, body)
    _say_states(changed.post)


@posts.command("approve")
@_POST
@click.argument("version", type=click.IntRange(1))
@options.tenant
def posts_approve(post_id: UUID, version: int, tenant: str | None) -> None:
    """Approve a version of a post that somebody else made."""
    wiring.run(approve(wiring.load(), tenant, str(post_id), version))


async def approve(configuration: Configuration, tenant: str | None, post_id: str, version: int) -> None:
    """Approve a post, and print the states. Raises PostError."""
    async with _desk(configuration, tenant) as desk:
        changed = await desk.posts.approve(desk.tenant, COMMAND, post_id, ApproveBody(version=version))
    _say_states(changed.post)


@posts.command("cancel")
@_POST
@options.tenant
def posts_cancel(post_id: UUID, tenant: str | None) -> None:
    """Cancel a post wherever it is not published yet, and say why it is too late elsewhere."""
    wiring.run(cancel(wiring.load(), tenant, str(post_id)))


async def cancel(configuration: Configuration, tenant: str | None, post_id: str) -> None:
    """Cancel a post, and print what became of each target. Raises PostError."""
    async with _desk(configuration, tenant) as desk:
        found = await desk.posts.cancel(desk.tenant, COMMAND, post_id)
    for target in found.post.targets:
        reason = found.reasons[target.id]
        echo(f"{target.platform} {target.account}: " + (f"not cancelled, {reason}" if reason else "cancelled"))


@posts.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--zone", help="Of times without one, such as Europe/Berlin.")
@click.option("--key", default="", help="A repeat of the command with it makes no second posts.")
@click.option("--dry-run", is_flag=True, help="Check them, and store nothing.")
@options.tenant
def posts_import(file: Path, tenant: str | None, *, zone: str | None, key: str, dry_run: bool) -> None:
    """Make the posts of a CSV or JSON file, each for itself; exits 1 if one is refused."""
    refused = wiring.run(import_file(wiring.load(), tenant, file, zone, key, dry_run=dry_run))
    if refused:
        raise click.exceptions.Exit(1)


async def import_file(
    configuration: Configuration, tenant: str | None, file: Path, zone: str | None, key: str, *, dry_run: bool
) -> int:
    """Make the posts of a file, print what became of each, and return how many were refused. Raises ClickException."""
    try:
        content = await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read ({error.strerror})") from None
    async with _desk(configuration, tenant) as desk:
        defaults = await many.defaults_of(desk.posts, desk.tenant, zone)
        report = (read_json if file.suffix.lower() == ".json" else read_csv)(content, defaults)
        if report.problems:
            raise click.ClickException("\n".join(f"{each.message}; {each.remedy}" for each in report.problems))
        outcomes = await many.create_all(desk.posts, desk.tenant, COMMAND, report, key=key, dry_run=dry_run)
    refused = 0
    for outcome in outcomes:
        place = f"{report.unit} {outcome.number}: "
        if outcome.created is None:
            refused += 1
            for problem in outcome.problems:
                echo(f"{place}{problem['message']} ({problem['remedy']})")
        else:
            accounts = ", ".join(f"{each.platform} {each.result}" for each in outcome.created.results)
            echo(f"{place}{accounts}; {outcome.created.words}")
    echo(f"{len(outcomes) - refused} accepted, {refused} refused")
    return refused


def _say_states(post: StoredPost) -> None:
    for target in post.targets:
        echo(f"{target.platform} {target.account}: {target.state}")
