"""`landfall posts repeat` and `landfall posts slots`: posts that repeat, and the queues of accounts."""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any
from uuid import UUID

import click

from ops.access.audit_log_store import COMMAND
from ops.cli import options, wiring
from ops.cli.post_context import content_of, content_options, post_context
from ops.cli.terminal import echo, echo_json
from ops.runtime.settings import Configuration
from publish.posting.descriptions import (
    queue_document,
    recurrence_document,
    saved_document,
    stored_recurrence_document,
)
from publish.posting.listing import MOST_LISTED
from publish.posting.queues import AccountQueue, Queues, slot_of, written
from publish.posting.recurrences import Recurrences, Saved
from publish.posting.requests import QueueBody, RecurrenceBody, read
from schema.states import RecurrenceState

SHOWN_CHARACTERS = 60
"""Of a text in a listing."""

_ID = click.argument("recurrence_id", type=click.UUID)
_CONNECTION = click.argument("connection_id", type=click.UUID)


@click.group("repeat")
def repeat() -> None:
    """Posts that repeat by a rule, each occurrence a post of its own."""


@repeat.command("create")
@content_options
@click.option("--rule", required=True, help="Of RFC 5545, with an end: FREQ=WEEKLY;BYDAY=MO,TH;COUNT=10.")
@click.option("--at", "start_time", required=True, metavar="TIME", help="Of the first post: 2027-05-01T09:00.")
@click.option("--zone", "timezone", help="Such as Europe/Berlin.")
@click.option("--late-policy", type=click.Choice(["publish", "skip", "ask"]), default="publish", show_default=True)
@click.option("--late-minutes", type=int, default=1440, show_default=True, help="Later than that it is missed.")
@click.option("--dry-run", is_flag=True, help="Check it, show the first times, and store nothing.")
@click.option("--key", "idempotency_key", default="", help="A repeat of the command with it makes nothing more.")
@options.json_document
@options.tenant
def repeat_create(tenant: str | None, *, as_json: bool, **given: Any) -> None:
    """Let a post repeat."""
    own = {name: given.pop(name) for name in ("rule", "start_time", "timezone", "dry_run", "idempotency_key")}
    document = {**own, "post": content_of(**given)}
    wiring.run(create(wiring.load(), tenant, document, as_json=as_json))


async def create(
    configuration: Configuration, tenant: str | None, document: Mapping[str, Any], *, as_json: bool
) -> None:
    """Let a post repeat, and print what came of it. Raises PostError."""
    body = read(RecurrenceBody, document)
    async with post_context(configuration, tenant) as found:
        saved = await Recurrences(found.posts).create(found.tenant, COMMAND, body)
    if as_json:
        echo_json(saved_document(saved))
        return
    _say_saved(saved)


@repeat.command("list")
@click.option("--state", type=click.Choice([state.value for state in RecurrenceState]))
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, MOST_LISTED))
@options.json_lines
@options.tenant
def repeat_list(tenant: str | None, *, state: str | None, limit: int, as_json: bool) -> None:
    """List what repeats, the newest first."""
    wiring.run(show_list(wiring.load(), tenant, state, limit, as_json=as_json))


async def show_list(
    configuration: Configuration, tenant: str | None, state: str | None, limit: int, *, as_json: bool
) -> None:
    async with post_context(configuration, tenant) as found:
        listed, _ = await Recurrences(found.posts).page(found.tenant, state, None, limit)
    for each in listed:
        if as_json:
            echo_json(stored_recurrence_document(each))
            continue
        content = str(each.template.get("content", ""))[:SHOWN_CHARACTERS]
        next_ = f"next {each.next_at:%Y-%m-%d %H:%M}" if each.next_at and each.state == RecurrenceState.ACTIVE else ""
        echo("  ".join(part for part in (each.id, str(each.state), each.rule, next_, content) if part))
        if each.trouble:
            echo(f"    {each.trouble}")
    if not listed and not as_json:
        echo("nothing repeats", err=True)


@repeat.command("show")
@_ID
@options.json_document
@options.tenant
def repeat_show(recurrence_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Show what repeats, its next times, and what became of the last ones."""
    wiring.run(show(wiring.load(), tenant, str(recurrence_id), as_json=as_json))


async def show(configuration: Configuration, tenant: str | None, id_: str, *, as_json: bool) -> None:
    """Print one whole. Raises PostError where there is none."""
    async with post_context(configuration, tenant) as found:
        shown = await Recurrences(found.posts).one(found.tenant, id_)
    if as_json:
        echo_json(recurrence_document(shown))
        return
    stored = shown.stored
    echo(f"{stored.id}  {stored.state}, version {stored.revision}")
    echo(f"{stored.rule} from {stored.start_time} in {stored.zone}")
    for line in (stored.trouble, shown.note, str(stored.template.get("content", ""))):
        if line:
            echo(line)
    for occurrence in shown.upcoming:
        echo(f"next: {occurrence.time.words}")
    for each in shown.latest:
        echo(f"{each.at:%Y-%m-%d %H:%M} UTC  {each.state}  {each.post_id or each.reason or ''}".rstrip())


@repeat.command("pause")
@_ID
@options.json_document
@options.tenant
def repeat_pause(recurrence_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Post nothing of it until it is resumed; what is not begun is cancelled."""
    wiring.run(_change(wiring.load(), tenant, str(recurrence_id), Recurrences.pause, as_json=as_json))


@repeat.command("resume")
@_ID
@options.json_document
@options.tenant
def repeat_resume(recurrence_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Go on with it; what passed meanwhile is not posted."""
    wiring.run(_change(wiring.load(), tenant, str(recurrence_id), Recurrences.resume, as_json=as_json))


@repeat.command("end")
@_ID
@options.json_document
@options.tenant
def repeat_end(recurrence_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Post nothing of it any more; what is not begun is cancelled."""
    wiring.run(_change(wiring.load(), tenant, str(recurrence_id), Recurrences.end, as_json=as_json))


async def _change(
    configuration: Configuration,
    tenant: str | None,
    id_: str,
    change: Callable[..., Coroutine[Any, Any, Saved]],
    *,
    as_json: bool,
) -> None:
    """Raises PostError."""
    async with post_context(configuration, tenant) as found:
        saved = await change(Recurrences(found.posts), found.tenant, COMMAND, id_)
    if as_json:
        echo_json(saved_document(saved))
    else:
        _say_saved(saved)


def _say_saved(saved: Saved) -> None:
    for finding in saved.findings:
        echo(f"{finding['severity']}: {finding['message']} {finding['remedy']}", err=True)
    if saved.note:
        echo(saved.note, err=True)
    if saved.recurrence is None:
        echo("it could be accepted; nothing was stored")
    else:
        stored = saved.recurrence.stored
        echo(f"{stored.id}  {stored.state}" + ("" if saved.changed else ", as before"))
    for occurrence in saved.upcoming:
        echo(f"next: {occurrence.time.words}")


@click.group("slots")
def slots() -> None:
    """The queue of an account: times of the week for what takes its next free slot."""


@slots.command("show")
@_CONNECTION
@options.json_document
@options.tenant
def slots_show(connection_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Show the slots of an account, and the next of them that are free."""
    wiring.run(show_slots(wiring.load(), tenant, str(connection_id), as_json=as_json))


async def show_slots(configuration: Configuration, tenant: str | None, id_: str, *, as_json: bool) -> None:
    """Raises PostError where there is no such connection."""
    async with post_context(configuration, tenant) as found:
        shown = await Queues(found.posts).show(found.tenant, id_)
    if as_json:
        echo_json(queue_document(shown))
        return
    _say_slots(shown)


@slots.command("set")
@_CONNECTION
@click.argument("slot", nargs=-1)
@click.option("--zone", default="UTC", show_default=True, help="Such as Europe/Berlin.")
@options.json_document
@options.tenant
def slots_set(connection_id: UUID, slot: Sequence[str], tenant: str | None, *, zone: str, as_json: bool) -> None:
    """Set the slots of an account, each as MO/09:00, in place of those that it has; none for no slots."""
    document = {"timezone": zone, "slots": [slot_of(each) for each in slot]}
    wiring.run(set_slots(wiring.load(), tenant, str(connection_id), document, as_json=as_json))


async def set_slots(
    configuration: Configuration, tenant: str | None, id_: str, document: Mapping[str, Any], *, as_json: bool
) -> None:
    """Raises PostError."""
    body = read(QueueBody, document)
    async with post_context(configuration, tenant) as found:
        shown = await Queues(found.posts).set(found.tenant, COMMAND, id_, body)
    if as_json:
        echo_json(queue_document(shown))
    else:
        _say_slots(shown)


def _say_slots(shown: AccountQueue) -> None:
    if not shown.queue.slots:
        echo("the account has no slots")
        return
    echo(f"{written(shown.queue)} in {shown.queue.zone}")
    for each in shown.free:
        echo(f"free: {each.words}")
