"""`landfall sync`: how far connected accounts are read, and having an account, a media or a post read now."""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager

import asyncpg
import click

from ops.cli import options, wiring
from ops.cli.terminal import echo, echo_json
from ops.runtime.db import Pool, open_pool
from ops.runtime.settings import Configuration
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from schema.rights import APP_ROLE
from sync.pull import request_store, requests
from sync.pull.contract import PullingPlatform
from sync.pull.requests import Asked, Status

BAR_CHARACTERS = 20
LOOK_SECONDS = 0.5
MOST_REASONS = 5

Ask = Callable[[asyncpg.Connection, Mapping[str, PullingPlatform]], Awaitable[list[Asked]]]


@click.group("sync")
def sync_group() -> None:
    """Reading connected accounts: how far it is, and reading something now."""


def _pool(configuration: Configuration) -> Awaitable[Pool]:
    settings = configuration.settings
    return open_pool(settings.database_url.get_secret_value(), "sync", 1, role=settings.role(APP_ROLE))


def _transaction(pool: Pool) -> AbstractAsyncContextManager[asyncpg.Connection]:
    return tenant_transaction(pool, ALL_TENANTS)


@sync_group.command("status")
@click.option("--platform", help="Only this one's accounts.")
@options.json_lines
def sync_status(*, platform: str | None, as_json: bool) -> None:
    """Show how far each account is read, what waits, what is skipped and why, and the calls that were spent."""
    wiring.run(show(wiring.load(), platform, as_json=as_json))


async def show(configuration: Configuration, platform: str | None, *, as_json: bool) -> None:
    async with await _pool(configuration) as pool, _transaction(pool) as connection:
        found = await requests.status(connection, wiring.pulling_platforms(), platform)
    for each in found:
        if as_json:
            echo_json(_document(each))
        else:
            _print(each)
    if not as_json:
        echo(f"{len(found)} accounts")


def _document(found: Status) -> dict[str, object]:
    account, sync = found.account, found.sync
    return {
        "platform": account.provider,
        "account_id": account.account_id,
        "username": account.username,
        "connected": account.connected,
        "percent": sync.percent,
        "tasks": sync.tasks,
        "done": sync.done,
        "waiting": sync.waiting,
        "skipped": sync.skipped,
        "troubled": sync.troubled,
        "objects": sync.objects,
        "calls": sync.calls,
        "seconds_left": None if sync.seconds_left is None else round(sync.seconds_left),
        "began_at": sync.began_at,
        "served_at": sync.served_at,
        "held_until": sync.held_until,
        "trouble": sync.trouble,
        "kinds": [
            {"kind": c.kind, "tasks": c.tasks, "done": c.done, "due": c.due, "skipped": c.skipped, "objects": c.objects}
            for c in found.counts
        ],
        "reasons": [
            {"kind": r.kind, "reason": r.reason, "skipped": r.skipped, "tasks": r.tasks, "example": r.example}
            for r in found.reasons
        ],
    }


def bar(percent: int) -> str:
    """Return a bar of this many percent, as text."""
    full = BAR_CHARACTERS * percent // 100
    return f"[{'#' * full}{'.' * (BAR_CHARACTERS - full)}] {percent:>3} %"


def left(seconds: float | None) -> str:
    """Return for how long something goes on, in words; empty where nobody knows, or where it is over."""
    if not seconds:
        return ""
    if seconds < 90:
        return f"about {round(seconds)} s left"
    if seconds < 5400:
        return f"about {round(seconds / 60)} min left"
    return f"about {round(seconds / 3600)} h left"


def _print(found: Status) -> None:
    account, sync = found.account, found.sync
    echo(f"{account.provider}  {account.username or account.account_id}  {bar(sync.percent)}", bold=True)
    parts = [
        f"{sync.done} of {sync.tasks} tasks",
        f"{sync.objects} objects",
        f"{sync.calls} calls",
        f"{sync.waiting} waiting" if sync.waiting else "nothing waits",
        left(sync.seconds_left),
    ]
    echo("  " + ", ".join(filter(None, parts)))
    if not account.connected:
        echo("  not connected: nothing is read; connect the account again")
    if sync.trouble:
        until = f"; nothing is asked before {sync.held_until:%H:%M:%S}Z" if sync.held_until else ""
        echo(f"  {sync.trouble}{until}")
    for reason in found.reasons[:MOST_REASONS]:
        what = "skipped" if reason.skipped else "in trouble, tried again by itself"
        example = f", such as {reason.example}" if reason.example else ""
        echo(f"  {reason.tasks} {reason.kind} {what}: {reason.reason}{example}")
    if len(found.reasons) > MOST_REASONS:
        echo(f"  … and {len(found.reasons) - MOST_REASONS} more reasons; --json has all")


platform_option = click.option("--platform", help="Of the id, where several platforms have one like it.")
wait_option = click.option("--wait", is_flag=True, help="Wait until it was read; exits 1 where it could not be.")
seconds_option = click.option(
    "--seconds", type=click.FloatRange(1), default=120.0, show_default=True, help="Longest to wait."
)


@sync_group.command("account")
@click.argument("account", metavar="ID")
@platform_option
@wait_option
@seconds_option
@options.json_lines
def sync_account(account: str, *, platform: str | None, wait: bool, seconds: float, as_json: bool) -> None:
    """Read the account of this id or name anew: its profile, and what is new, changed or gone."""
    nothing = f"no connected account that is read has the id or name {account}; see `landfall sync status`"

    async def ask(connection: asyncpg.Connection, platforms: Mapping[str, PullingPlatform]) -> list[Asked]:
        return await requests.ask_for_account(connection, platforms, platform, account)

    sys.exit(wiring.run(_asked(wiring.load(), ask, nothing, seconds if wait else 0.0, as_json=as_json)))


@sync_group.command("media")
@click.argument("object_id", metavar="ID")
@platform_option
@click.option("--account", help="The id or name of the account that is to read it, where none has read it before.")
@wait_option
@seconds_option
@options.json_lines
def sync_media(
    object_id: str, *, platform: str | None, account: str | None, wait: bool, seconds: float, as_json: bool
) -> None:
    """Read the media, video or comment of this id of the platform now, with its comments and numbers."""
    nothing = f"no connected account has read an object {object_id}; name one with --account"

    async def ask(connection: asyncpg.Connection, platforms: Mapping[str, PullingPlatform]) -> list[Asked]:
        return await requests.ask_for_object(connection, platforms, platform, object_id, account)

    sys.exit(wiring.run(_asked(wiring.load(), ask, nothing, seconds if wait else 0.0, as_json=as_json)))


@sync_group.command("post")
@click.argument("post", metavar="ID")
@platform_option
@wait_option
@seconds_option
@options.json_lines
def sync_post(post: str, *, platform: str | None, wait: bool, seconds: float, as_json: bool) -> None:
    """Read a post of ours, by the id of `landfall posts list`, at each account where it is published."""
    nothing = f"no post {post} is published at an account that is connected and read; see `landfall posts show {post}`"

    async def ask(connection: asyncpg.Connection, platforms: Mapping[str, PullingPlatform]) -> list[Asked]:
        return await requests.ask_for_post(connection, platforms, platform, post)

    sys.exit(wiring.run(_asked(wiring.load(), ask, nothing, seconds if wait else 0.0, as_json=as_json)))


async def _asked(configuration: Configuration, ask: Ask, nothing: str, seconds: float, *, as_json: bool) -> int:
    """Ask for tasks, and wait up to so many seconds until they are carried out.

    Return the exit code: 1 where one of them was not. Raises ClickException where there is nothing to ask for.
    """
    async with await _pool(configuration) as pool:
        async with _transaction(pool) as connection:
            asked = await ask(connection, wiring.pulling_platforms())
        if not asked:
            raise click.ClickException(nothing)
        states = await _states(pool, asked)
        end = time.monotonic() + seconds
        while seconds and time.monotonic() < end and any(state == "waiting" for *_, state, _ in states):
            await asyncio.sleep(LOOK_SECONDS)
            states = await _states(pool, asked)
    for platform, account, kind, object_id, state, reason in states:
        if as_json:
            echo_json(
                {
                    "platform": platform,
                    "account_id": account,
                    "task": kind,
                    "object_id": object_id,
                    "state": state,
                    "reason": reason,
                }
            )
        else:
            of = f" {object_id}" if object_id else ""
            echo(f"{platform}  {account}  {kind}{of}: {state}{f': {reason}' if reason else ''}")
    if not seconds:
        return 0
    late = [state for *_, state, _ in states if state == "waiting"]
    if late:
        echo(f"{len(late)} still wait after {seconds:g} s; they are read as soon as `landfall work` can", err=True)
    return 0 if all(state == "done" for *_, state, _ in states) else 1


async def _states(pool: Pool, asked: list[Asked]) -> list[tuple[str, str, str, str, str, str | None]]:
    """Return platform, account, kind and object of each task with how far it is, and why it is no further."""
    found = []
    async with _transaction(pool) as connection:
        for each in asked:
            for state in await request_store.states(connection, each.key, each.tasks, each.since):
                word, reason = "waiting", None
                if state.skipped is not None:
                    word, reason = "skipped", state.skipped
                elif state.done:
                    word = "done"
                elif state.trouble is not None:
                    word, reason = "failed", state.trouble
                found.append((*each.key, state.kind, state.object_id, word, reason))
    return found
