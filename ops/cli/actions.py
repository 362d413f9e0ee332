"""`landfall actions`: act on what is there, see what came of it, and decide what only a person can."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import click

from ops.access.audit_log_store import COMMAND
from ops.cli import options, wiring
from ops.cli.post_context import post_context
from ops.cli.terminal import echo, echo_json
from ops.runtime.settings import Configuration
from publish.posting.action_kinds import ACTIONS
from publish.posting.action_store import ActionFilter
from publish.posting.actions import PAGE_SIZE, ActionResult, Actions
from publish.posting.descriptions import action_document, action_result_document, cancelled_action_document
from publish.posting.listing import MOST_LISTED
from publish.posting.post_store import ONLY, STATUSES, StoredPost
from publish.posting.requests import ActionBody, ActionConfirmBody, read
from schema.states import TargetState

SHOWN_CHARACTERS = 60
"""Of a text in a listing."""

_ACTION = click.argument("action_id", type=click.UUID)


@click.group()
def actions() -> None:
    """Act on posts and comments that are there: answer, hide, show, edit, delete."""


@actions.command("create")
@click.argument("kind", type=click.Choice(ACTIONS))
@click.option("--target", type=click.UUID, help="What one of your posts made; see `posts show`.")
@click.option("--connection", type=click.UUID, help="The account that acts, with --object.")
@click.option("--object", "object_", default="", metavar="ID", help="The platform's id of a post or a comment.")
@click.option("--object-is", type=click.Choice(["post", "comment"]), help="What an answer answers, if not made here.")
@click.option("--content", default="", help="The text of an answer, or the new one of a post.")
@click.option("--media", type=click.UUID, multiple=True, help="A file of an answer; see `media list`.")
@click.option("--options", "chosen", default="{}", metavar="JSON", help="Of an answer, where its platform has them.")
@click.option("--sure", is_flag=True, help="Delete or edit what was not made here; nothing but its id is known of it.")
@click.option("--repeat", is_flag=True, help="Do what was done before, on purpose.")
@click.option("--dry-run", is_flag=True, help="Check it, and store nothing.")
@click.option("--key", "idempotency_key", default="", help="A repeat of the command with it does nothing twice.")
@options.json_document
@options.tenant
def actions_create(
    tenant: str | None,
    *,
    as_json: bool,
    target: UUID | None,
    connection: UUID | None,
    object_: str,
    media: tuple[UUID, ...],
    chosen: str,
    **given: Any,
) -> None:
    """Act on what is there, at once."""
    try:
        parsed = json.loads(chosen)
    except (ValueError, RecursionError):
        raise click.UsageError("--options is no JSON") from None
    named = {name: None if id_ is None else str(id_) for name, id_ in (("target", target), ("connection", connection))}
    document = {**given, **named, "object": object_, "media": [str(id_) for id_ in media], "options": parsed}
    wiring.run(create(wiring.load(), tenant, document, as_json=as_json))


async def create(
    configuration: Configuration, tenant: str | None, document: Mapping[str, Any], *, as_json: bool
) -> None:
    """Store an action, and print what came of it. Raises PostError."""
    body = read(ActionBody, document)
    async with post_context(configuration, tenant) as found:
        acted = await Actions(found.posts).create(found.tenant, COMMAND, body)
    if as_json:
        echo_json(action_result_document(acted))
        return
    _say_acted(acted)


def _say_acted(acted: ActionResult) -> None:
    words = {"created": "accepted", "exists": "was asked for already", "checked": "could be accepted"}
    echo(f"{words[acted.result]}  {acted.action.id if acted.action is not None else ''}".rstrip())
    for finding in acted.findings:
        echo(f"{finding['severity']}: {finding['message']} {finding['remedy']}", err=True)


@actions.command("list")
@click.option("--connection", type=click.UUID)
@click.option("--target", type=click.UUID, help="On this target of a post.")
@click.option("--object", "object_", metavar="ID", help="On this post or comment of the platform.")
@click.option(
    "--state",
    type=click.Choice([*STATUSES, *(state.value for state in TargetState), f"{ONLY}{TargetState.FAILED}"]),
    metavar="STATE",
    help=f"{', '.join(STATUSES)}, or a state of docs/states.md; {ONLY}failed leaves out what was missed.",
)
@click.option("--limit", default=PAGE_SIZE, show_default=True, type=click.IntRange(1, MOST_LISTED))
@options.json_lines
@options.tenant
def actions_list(
    tenant: str | None,
    *,
    connection: UUID | None,
    target: UUID | None,
    object_: str | None,
    state: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List the newest actions first."""
    ids = {name: None if id_ is None else str(id_) for name, id_ in (("connection", connection), ("target", target))}
    wanted = ActionFilter(state=state, object=object_, **ids)
    wiring.run(show_list(wiring.load(), tenant, wanted, limit, as_json=as_json))


async def show_list(
    configuration: Configuration, tenant: str | None, wanted: ActionFilter, limit: int, *, as_json: bool
) -> None:
    """Print the newest actions that fit. Raises PostError."""
    async with post_context(configuration, tenant) as found:
        page = await Actions(found.posts).page(found.tenant, wanted, limit)
    for action in page.actions:
        if as_json:
            echo_json(action_document(action))
            continue
        echo(_line(action))
    if not page.actions and not as_json:
        echo("no actions fit", err=True)


def _line(action: StoredPost) -> str:
    shown = action_document(action)
    place = f"{shown['platform']} {shown['account']}"
    said = f"{shown['kind']} on {shown['object']}  {action.content[:SHOWN_CHARACTERS]}".rstrip()
    return f"{action.id}  {action.created_at:%Y-%m-%d %H:%M}  {shown['state']:<11}  {place}  {said}"


@actions.command("show")
@_ACTION
@options.json_document
@options.tenant
def actions_show(action_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Show one action, and how far it is."""
    wiring.run(show_one(wiring.load(), tenant, str(action_id), as_json=as_json))


async def show_one(configuration: Configuration, tenant: str | None, action_id: str, *, as_json: bool) -> None:
    """Print one action whole. Raises PostError where there is none."""
    async with post_context(configuration, tenant) as found:
        action = await Actions(found.posts).one(found.tenant, action_id)
    if as_json:
        echo_json(action_document(action))
        return
    for name, value in action_document(action).items():
        if name not in ("media", "error", "evidence") and value not in (None, {}, ""):
            echo(f"{name:>17}: {value}")
    [target] = action.targets
    for line in (target.error_message, *target.evidence):
        if line:
            echo(f"    {line}")
    if target.state == TargetState.UNCONFIRMED:
        echo("    look there, then: landfall actions confirm ACTION --there, or --not-there to do it again")


@actions.command("retry")
@_ACTION
@options.json_document
@options.tenant
def actions_retry(action_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Begin anew with an action that failed."""
    wiring.run(retry(wiring.load(), tenant, str(action_id), as_json=as_json))


async def retry(configuration: Configuration, tenant: str | None, action_id: str, *, as_json: bool) -> None:
    """Begin anew, and print the state. Raises PostError."""
    async with post_context(configuration, tenant) as found:
        changed = await Actions(found.posts).retry(found.tenant, COMMAND, action_id)
    _say_state(changed.post, as_json=as_json)


def _say_state(action: StoredPost, *, as_json: bool) -> None:
    if as_json:
        echo_json(action_document(action))
    else:
        echo(_line(action))


@actions.command("confirm")
@_ACTION
@click.option("--there/--not-there", "there", default=None, help="Whether it was done, by what you saw.")
@click.option("--post-id", default="", help="Of an answer that is there.")
@click.option("--url", default="", help="Its address.")
@click.option("--evidence", default="", help="What you looked at; it stands in the audit log.")
@options.json_document
@options.tenant
def actions_confirm(
    action_id: UUID, tenant: str | None, *, there: bool | None, post_id: str, url: str, evidence: str, as_json: bool
) -> None:
    """Say whether an unconfirmed action was done. If it was not, it is done again."""
    if there is None:
        raise click.UsageError("say --there or --not-there: nothing is decided for you")
    document = {"there": there, "post_id": post_id, "url": url, "evidence": evidence}
    wiring.run(confirm(wiring.load(), tenant, str(action_id), document, as_json=as_json))


async def confirm(
    configuration: Configuration, tenant: str | None, action_id: str, document: Mapping[str, Any], *, as_json: bool
) -> None:
    """Store what a person saw, and print the state. Raises PostError."""
    body = read(ActionConfirmBody, document)
    async with post_context(configuration, tenant) as found:
        changed = await Actions(found.posts).confirm(found.tenant, COMMAND, action_id, body)
    _say_state(changed.post, as_json=as_json)


@actions.command("cancel")
@_ACTION
@options.json_document
@options.tenant
def actions_cancel(action_id: UUID, tenant: str | None, *, as_json: bool) -> None:
    """Cancel an action of which nothing was asked yet, or say why it is too late."""
    wiring.run(cancel(wiring.load(), tenant, str(action_id), as_json=as_json))


async def cancel(configuration: Configuration, tenant: str | None, action_id: str, *, as_json: bool) -> None:
    """Cancel an action, and print what became of it. Raises PostError."""
    async with post_context(configuration, tenant) as found:
        cancelled = await Actions(found.posts).cancel(found.tenant, COMMAND, action_id)
    document = cancelled_action_document(cancelled)
    if as_json:
        echo_json(document)
        return
    echo("cancelled" if document["cancelled"] else f"not cancelled, {document['reason']}")
