"""`landfall posts`: make posts, see what became of them, and decide what only a person can."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import click

from ops.access.audit_log_store import COMMAND
from ops.cli import options, wiring
from ops.cli.media import uploaded
from ops.cli.post_context import content_of, content_options, post_context
from ops.cli.schedules import repeat, slots
from ops.cli.terminal import echo, echo_json
from ops.runtime.http import Client
from ops.runtime.settings import Configuration
from publish.posting import many
from publish.posting.descriptions import (
    cancelled_document,
    created_document,
    history_document,
    line_document,
    moved_words,
    post_document,
    preview_document,
)
from publish.posting.lifecycle import PostLifecycle
from publish.posting.link_preview import NoPreviewError, fetch_preview
from publish.posting.listing import MOST_LISTED, PostListing
from publish.posting.many import LineOutcome
from publish.posting.post_store import ONLY, STATUSES, PostFilter, StoredPost, StoredTarget
from publish.posting.requests import ApproveBody, ConfirmBody, PostBody, RetryBody, moment, read
from publish.posting.results import Created
from publish.schedule.bulk_csv import read_csv
from publish.schedule.bulk_json import read_json
from schema.states import TargetState

SHOWN_CHARACTERS = 60
"""Of a text in a listing."""

_POST = click.argument("post_id", type=click.UUID)


@click.group()
def posts() -> None:
    """Posts: make, list, repeat, retry, confirm, approve and cancel them."""


posts.add_command(repeat)
posts.add_command(slots)


@posts.command("create")
@content_options
@click.option("--file", "files", multiple=True, metavar="FILE_OR_URL", help="One to upload first, after --media.")
@click.option("--at", "scheduled_time", metavar="TIME", help="Such as 2027-05-01T09:00.")
@click.option("--zone", "timezone", help="Such as Europe/Berlin.")
@click.option("--next-free-slot", is_flag=True, help="At the next free slot of each account; see `posts slots`.")
@click.option("--now", is_flag=True, help="Publish it now. Without --now, --at and --next-free-slot it is a draft.")
@click.option("--repeat", is_flag=True, help="Post what was posted before, on purpose.")
@click.option("--dry-run", is_flag=True, help="Check it, and store nothing.")
@click.option("--key", "idempotency_key", default="", help="A repeat of the command with it makes no second post.")
@options.json_document
@options.tenant
def posts_create(tenant: str | None, *, as_json: bool, now: bool, files: Sequence[str], **given: Any) -> None:
    """Make a post: a draft, for a time, for the next free slot, or at once."""
    if sum((now, bool(given["scheduled_time"]), given["next_free_slot"])) > 1:
        raise click.UsageError("--now, --at and --next-free-slot contradict each other")
    document = content_of(files=len(files), **given) | {"action": "publish" if now else None}
    wiring.run(create(wiring.load(), tenant, document, files, as_json=as_json))


async def create(
    configuration: Configuration,
    tenant: str | None,
    document: Mapping[str, Any],
    files: Sequence[str] = (),
    *,
    as_json: bool,
) -> None:
    """Upload files, make a post with them, and print what came of it. Raises PostError, ClickException."""
    read(PostBody, {**document, "media": []})  # before a file is taken
    async with post_context(configuration, tenant) as found:
        media = [item for item in document["media"] if item["id"]]
        waiting = iter([item for item in document["media"] if not item["id"]])
        if files:
            async for file, _ in uploaded(found.uploads, found.tenant, files):
                media.append({**next(waiting), "id": file.id})
        body = read(PostBody, {**document, "media": media})
        created = await found.posts.create(found.tenant, COMMAND, body)
    if as_json:
        echo_json(created_document(created))
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


@posts.command("preview-link")
@click.argument("url")
@options.json_document
def posts_preview_link(url: str, *, as_json: bool) -> None:
    """Show what the page at URL says of itself: what is shown of it where it is shared."""
    wiring.run(preview_link(url, wiring.load().settings.landfall_public_url, as_json=as_json))


async def preview_link(url: str, own_url: str, *, as_json: bool) -> None:
    """Print what a page says of itself. Raises ClickException where it says nothing, or cannot be looked at.

    Our own pages, which are below ``own_url``, are not asked.
    """
    try:
        async with Client(frozenset(), own_url) as client:
            document = preview_document(await fetch_preview(url, client))
    except NoPreviewError as error:
        raise click.ClickException(f"the page could not be looked at: {error}") from None
    if as_json:
        echo_json(document)
        return
    for name, value in document.items():
        if value:
            echo(f"{name:>11}: {value}")


@posts.command("list")
@click.option("--campaign")
@click.option(
    "--state",
    type=click.Choice([*STATUSES, *(state.value for state in TargetState), f"{ONLY}{TargetState.FAILED}"]),
    metavar="STATE",
    help=f"{', '.join(STATUSES)}, or a state of docs/states.md; {ONLY}failed leaves out what was missed.",
)
@click.option("--platform")
@click.option("--connection", type=click.UUID, help="Of this account; `connections list` has its id.")
@click.option("--text", help="With this in the text, in capitals or not.")
@click.option("--from", "since", metavar="TIME", help="Of this time and later, such as 2027-05-01T09:00Z.")
@click.option("--to", "until", metavar="TIME", help="Before this time; one without an offset is in UTC.")
@click.option("--before", type=click.UUID, help="Older than this post.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, MOST_LISTED))
@options.json_lines
@options.tenant
def posts_list(tenant: str | None, *, limit: int, as_json: bool, **chosen: Any) -> None:
    """List the newest posts first."""
    wiring.run(show_list(wiring.load(), tenant, chosen, limit, as_json=as_json))


async def show_list(
    configuration: Configuration, tenant: str | None, chosen: Mapping[str, Any], limit: int, *, as_json: bool
) -> None:
    """Print the newest posts that fit. Raises PostError for a time that is none."""
    ids = {name: None if chosen[name] is None else str(chosen[name]) for name in ("before", "connection")}
    same = {name: chosen[name] for name in ("campaign", "state", "platform", "text")}
    since, until = moment("--from", chosen["since"]), moment("--to", chosen["until"])
    wanted = PostFilter(since=since, until=until, **same, **ids)
    async with post_context(configuration, tenant) as found:
        page = await PostListing(found.posts).page(found.tenant, wanted, limit)
    for post in page.posts:
        if as_json:
            echo_json(post_document(post))
            continue
        time = f"{post.scheduled_at:%Y-%m-%d %H:%M}" if post.scheduled_at else "no time"
        places = ", ".join(f"{target.platform} {target.state}" for target in post.targets)
        echo(f"{post.id}  {time:<16}  {post.status:<9}  {places}  {post.content[:SHOWN_CHARACTERS]}")
    if not page.posts and not as_json:
        echo("no posts fit", err=True)


@posts.command("summary")
@click.option("--campaign", help="Only of this one.")
@options.json_document
@options.tenant
def posts_summary(tenant: str | None, *, campaign: str | None, as_json: bool) -> None:
    """Count posts at accounts by status: in all, per platform and per campaign."""
    wiring.run(show_summary(wiring.load(), tenant, campaign, as_json=as_json))


async def show_summary(
    configuration: Configuration, tenant: str | None, campaign: str | None, *, as_json: bool
) -> None:
    """Print how many targets are in each status."""
    async with post_context(configuration, tenant) as found:
        counted = await PostListing(found.posts).summary(found.tenant, campaign)
    if as_json:
        echo_json(counted)
        return
    shown: Any = counted
    campaigns = {f"campaign {name}": counts for name, counts in shown["campaigns"].items()}
    for name, counts in ({"all": shown} | shown["platforms"] | campaigns).items():
        echo(f"{name:<20} " + "  ".join(f"{status} {counts[status]}" for status in STATUSES))


@posts.command("show")
@_POST
@options.json_document
@options.tenant
def posts_show(post_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Show one post, and how far it is at each account."""
    wiring.run(show_one(wiring.load(), tenant, str(post_id), as_json=as_json))


async def show_one(configuration: Configuration, tenant: str | None, post_id: str, *, as_json: bool) -> None:
    """Print one post whole. Raises PostError where there is none."""
    async with post_context(configuration, tenant) as found:
        post = await PostListing(found.posts).one(found.tenant, post_id)
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
        _say_target(target, post)


def _say_target(target: StoredTarget, post: StoredPost) -> None:
    echo(f"{target.platform} {target.account}: {target.state} ({target.kind}), target {target.id}")
    for shown in (target.content or "").splitlines() if target.untagged is not None else []:
        echo(f"    | {shown}".rstrip())
    for each in target.media:
        echo(f"    file {each.id} {each.alt_text}".rstrip())
    slot = f"slot of {target.slot_at:%Y-%m-%d %H:%M} UTC" if target.slot_at else None
    moved = moved_words(target, post)
    for line in (slot, moved, target.link_url, target.platform_post_url, target.error_message, *target.evidence):
        if line:
            echo(f"    {line}")
    if target.state == TargetState.UNCONFIRMED:
        echo(
            "    look there, then: landfall posts confirm POST TARGET --there --url …, or --not-there to post it again"
        )


@posts.command("history")
@_POST
@options.json_document
@options.tenant
def posts_history(post_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Show when a post, or an action, came to its states at each account, and what happens next."""
    wiring.run(show_history(wiring.load(), tenant, str(post_id), as_json=as_json))


async def show_history(configuration: Configuration, tenant: str | None, post_id: str, *, as_json: bool) -> None:
    """Print what became of a post so far. Raises PostError where there is none."""
    async with post_context(configuration, tenant) as found:
        history = await PostListing(found.posts).history(found.tenant, post_id)
    if as_json:
        echo_json(history_document(history))
        return
    for each in history.targets:
        echo(f"{each.target.platform} {each.target.account}: {each.target.state} ({each.target.kind})")
        for event in each.events:
            step = f" ({event.step})" if event.step else ""
            said = f"  {event.error_message}" if event.error_message else ""
            echo(f"    {event.at:%Y-%m-%d %H:%M:%S}Z  {event.state}{step}{said}")
        at = f" {each.next.at:%Y-%m-%d %H:%M:%S}Z" if each.next.at else ""
        echo(f"    next: {each.next.words}{at}")


@posts.command("retry")
@click.argument("post_id", type=click.UUID, required=False)
@click.option("--target", type=click.UUID, help="Of this post; all that failed if it is not given.")
@click.option("--cause", default="", help="Only what failed with this code.")
@click.option("--platform", help="With --cause and without a post: only this one's.")
@click.option("--repeat", is_flag=True, help="Of this post: post again, on purpose, what another post has shown.")
@options.json_document
@options.tenant
def posts_retry(
    post_id: UUID | None, tenant: str | None, *, platform: str | None, as_json: bool, target: UUID | None, **which: Any
) -> None:
    """Try again what failed of a post, or all that failed for one cause."""
    if post_id is None and (not which["cause"] or target is not None or which["repeat"]):
        raise click.UsageError("name a post, or the --cause for which posts failed")
    body = read(RetryBody, {**which, "target": None if target is None else str(target)})
    post = None if post_id is None else str(post_id)
    wiring.run(retry(wiring.load(), tenant, post, body, platform, as_json=as_json))


async def retry(
    configuration: Configuration,
    tenant: str | None,
    post_id: str | None,
    body: RetryBody,
    platform: str | None,
    *,
    as_json: bool = False,
) -> None:
    """Try targets of a post again, or without one all that failed for a cause. Raises PostError."""
    async with post_context(configuration, tenant) as found:
        if post_id is not None:
            changed = await PostLifecycle(found.posts).retry(found.tenant, COMMAND, post_id, body)
            _say_states(changed.post, as_json=as_json)
            return
        done = await PostLifecycle(found.posts).retry_all(found.tenant, COMMAND, body.cause, platform)
    if as_json:
        echo_json(done.document)
        return
    echo(f"{done.retried} targets that failed with {body.cause} are tried again")
    if done.refused:
        echo(f"{done.refused} are refused: try one of them again by itself to see why", err=True)


@posts.command("confirm")
@_POST
@click.argument("target", type=click.UUID)
@click.option("--there/--not-there", "there", default=None, help="What you saw at the platform.")
@click.option("--post-id", "platform_post_id", default="", help="Of the post that is there.")
@click.option("--url", default="", help="Its address.")
@click.option("--evidence", default="", help="What you looked at; it stands in the audit log.")
@options.json_document
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
    as_json: bool,
) -> None:
    """Say whether an unconfirmed post is there. If it is not, it is posted again."""
    if there is None:
        raise click.UsageError("say --there or --not-there: nothing is decided for you")
    document = {"target": str(target), "there": there, "post_id": platform_post_id, "url": url, "evidence": evidence}
    wiring.run(confirm(wiring.load(), tenant, str(post_id), document, as_json=as_json))


async def confirm(
    configuration: Configuration,
    tenant: str | None,
    post_id: str,
    document: Mapping[str, Any],
    *,
    as_json: bool = False,
) -> None:
    """Store what a person saw, and print the states. Raises PostError."""
    body = read(ConfirmBody, document)
    async with post_context(configuration, tenant) as found:
        changed = await PostLifecycle(found.posts).confirm(found.tenant, COMMAND, post_id, body)
    _say_states(changed.post, as_json=as_json)


@posts.command("approve")
@_POST
@click.argument("version", type=click.IntRange(1))
@options.json_document
@options.tenant
def posts_approve(post_id: UUID, version: int, tenant: str | None, *, as_json: bool) -> None:
    """Approve a version of a post that somebody else made."""
    wiring.run(approve(wiring.load(), tenant, str(post_id), version, as_json=as_json))


async def approve(
    configuration: Configuration, tenant: str | None, post_id: str, version: int, *, as_json: bool = False
) -> None:
    """Approve a post, and print the states. Raises PostError."""
    async with post_context(configuration, tenant) as found:
        changed = await PostLifecycle(found.posts).approve(found.tenant, COMMAND, post_id, ApproveBody(version=version))
    _say_states(changed.post, as_json=as_json)


@posts.command("cancel")
@_POST
@options.json_document
@options.tenant
def posts_cancel(post_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Cancel a post wherever it is not published yet, and say why it is too late elsewhere."""
    wiring.run(cancel(wiring.load(), tenant, str(post_id), as_json=as_json))


async def cancel(configuration: Configuration, tenant: str | None, post_id: str, *, as_json: bool = False) -> None:
    """Cancel a post, and print what became of each target. Raises PostError."""
    async with post_context(configuration, tenant) as found:
        cancelled = await PostLifecycle(found.posts).cancel(found.tenant, COMMAND, post_id)
    if as_json:
        echo_json(cancelled_document(cancelled))
        return
    for target in cancelled.post.targets:
        reason = cancelled.reasons[target.id]
        echo(f"{target.platform} {target.account}: " + (f"not cancelled, {reason}" if reason else "cancelled"))


@posts.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option("--zone", help="Of times without one, such as Europe/Berlin.")
@click.option("--key", default="", help="A repeat of the command with it makes no second posts.")
@click.option("--dry-run", is_flag=True, help="Check them and make none; files are fetched for it.")
@options.json_lines
@options.tenant
def posts_import(file: Path, tenant: str | None, *, zone: str | None, key: str, dry_run: bool, as_json: bool) -> None:
    """Make the posts of a CSV or JSON file, each for itself; exits 1 if one is refused."""
    done = import_file(wiring.load(), tenant, file, zone, key, dry_run=dry_run, as_json=as_json)
    refused = wiring.run(done)
    if refused:
        raise click.exceptions.Exit(1)


async def import_file(
    configuration: Configuration,
    tenant: str | None,
    file: Path,
    zone: str | None,
    key: str,
    *,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Make the posts of a file, print what became of each, and return how many were refused. Raises ClickException."""
    try:
        content = await asyncio.to_thread(file.read_bytes)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read ({error.strerror})") from None
    async with post_context(configuration, tenant) as found:
        defaults = await many.defaults_of(found.posts, found.tenant, zone)
        report = (read_json if file.suffix.lower() == ".json" else read_csv)(content, defaults)
        if report.problems:
            raise click.ClickException("\n".join(f"{each.message}; {each.remedy}" for each in report.problems))
        outcomes = await many.create_all(
            found.posts, found.uploads, found.tenant, COMMAND, report, key=key, dry_run=dry_run
        )
    refused = sum(1 for outcome in outcomes if outcome.created is None)
    for outcome in outcomes:
        if as_json:
            echo_json(line_document(outcome))
        else:
            _say_line(f"{report.unit} {outcome.number}: ", outcome)
    if not as_json:
        echo(f"{len(outcomes) - refused} accepted, {refused} refused")
    return refused


def _say_line(place: str, outcome: LineOutcome) -> None:
    if outcome.created is not None:
        accounts = ", ".join(f"{each.platform} {each.result}" for each in outcome.created.results)
        echo(f"{place}{accounts}; {outcome.created.words}")
    for problem in outcome.problems:
        echo(f"{place}{problem['message']} ({problem['remedy']})")


def _say_states(post: StoredPost, *, as_json: bool) -> None:
    if as_json:
        echo_json(post_document(post))
        return
    for target in post.targets:
        echo(f"{target.platform} {target.account}: {target.state}")
