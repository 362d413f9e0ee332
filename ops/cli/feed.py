"""`landfall db feed`: publish changes of the CRM tables by logical replication, and see who follows them."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence

import asyncpg
import click

from ops.cli import options, wiring
from ops.cli.store import feed as store
from ops.cli.store import logins as login_store
from ops.cli.terminal import echo, echo_json
from ops.runtime import db
from ops.runtime.settings import Configuration
from schema.feed import LOGIN, PUBLICATION, published_columns, subscriber_script

LOGICAL = "logical"

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@click.group("feed")
def feed_group() -> None:
    """Changes of the CRM tables, for other databases and programs (docs/feed.md)."""


@feed_group.command("enable")
@click.option("--login", default=LOGIN, show_default=True, help="Of the database: who is to subscribe.")
def enable_command(login: str) -> None:
    """Publish the CRM tables, or what this release added to them; exits 1 while something is left to do.

    Needs the owner of the database. A subscriber has to have new columns first: run `landfall db feed script` there.
    """
    sys.exit(wiring.run(enable(wiring.load(), login)))


@feed_group.command("disable")
def disable_command() -> None:
    """Publish nothing any more. Slots stay until they are dropped, and keep the log of the database."""
    wiring.run(disable(wiring.load()))


@feed_group.command("status")
@options.json_document
def status_command(*, as_json: bool) -> None:
    """Show what is published and who follows it; exits 1 where something of it is lacking or cannot be followed."""
    sys.exit(wiring.run(status(wiring.load(), as_json=as_json)))


@feed_group.command("script")
def script_command() -> None:
    """Print SQL for the database of a subscriber: it makes the tables, or adds the columns that are lacking there."""
    for line in subscriber_script().splitlines():
        echo(line)


async def enable(configuration: Configuration, login: str) -> int:
    """Publish, and print what is left to do; the exit code. Raises ClickException."""
    if not _NAME.fullmatch(login):
        raise click.ClickException("the name of a login has 1 to 63 characters: small letters, digits and _")
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        async with connection.transaction():
            await store.publish(connection, published_columns(), new=await store.published(connection) is None)
            known = await login_store.role_exists(connection, login)
            if known:
                await store.let_copy(connection, login, published_columns())
        level = await store.wal_level(connection)
    finally:
        await connection.close()
    columns = published_columns()
    echo(f"{PUBLICATION} publishes {sum(map(len, columns.values()))} columns of {len(columns)} tables")
    left = list(_left_to_do(login, level, known=known))
    if known:
        echo(f"{login} may copy them")
    for line in left:
        echo(line, err=True)
    return 1 if left else 0


def _left_to_do(login: str, level: str, *, known: bool) -> Iterator[str]:
    if not known:
        yield f"there is no login {login} yet. A superuser makes it in psql, then run this again:"
        yield from (f"    {line}" for line in store.login_by_hand(login))
    if level != LOGICAL:
        yield f"nothing is streamed yet: wal_level is {level} and has to be {LOGICAL}. A superuser runs in psql"
        yield f"    {store.logical_by_hand()}"
        yield "and starts the server of the database again (a managed one has a setting of its own for it)"


async def disable(configuration: Configuration) -> None:
    """Drop the publication, and print which slots are left."""
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        dropped = await store.drop(connection)
        left = await store.slots(connection)
    finally:
        await connection.close()
    echo(f"{PUBLICATION} is no more" if dropped else f"there was no {PUBLICATION}")
    for slot in left:
        echo(f"the slot {slot.name} keeps {slot.behind_bytes} bytes of the log. If nobody needs it: ", err=True)
        echo(f"    {store.drop_slot_by_hand(slot.name)}", err=True)


async def status(configuration: Configuration, *, as_json: bool) -> int:
    """Print what is published and who follows it; the exit code."""
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        found, level = await store.published(connection), await store.wal_level(connection)
        slots = await store.slots(connection)
    finally:
        await connection.close()
    missing = [] if found is None else lacking(found)
    complete = found is None or (not missing and level == LOGICAL)
    if as_json:
        echo_json(
            {
                "publication": None if found is None else PUBLICATION,
                "wal_level": level,
                "tables": {} if found is None else {table: list(names) for table, names in found.items()},
                "lacking": missing,
                "slots": [slot._asdict() for slot in slots],
            }
        )
        return 0 if complete else 1
    if found is None:
        echo(f"there is no {PUBLICATION}: make it with `landfall db feed enable`")
    else:
        echo(f"{PUBLICATION} publishes {sum(map(len, found.values()))} columns of {len(found)} tables")
        for each in missing:
            echo(f"lacking: {each}; publish it with `landfall db feed enable`, once subscribers have it")
        for line in _left_to_do(LOGIN, level, known=True):
            echo(line)
    for slot in slots:
        state = "is followed" if slot.active else "is followed by nobody now"
        echo(f"slot {slot.name} ({slot.plugin}) {state}, {slot.behind_bytes} bytes behind")
    return 0 if complete else 1


def lacking(found: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the columns of this release, as table.column, that a publication has not."""
    return [
        f"{table}.{name}"
        for table, names in published_columns().items()
        for name in names
        if name not in found.get(table, ())
    ]


async def findings(connection: asyncpg.Connection) -> list[tuple[str, str, str]]:
    """Return what `landfall doctor` says of the feed: level, message and remedy; nothing where there is none."""
    found = await store.published(connection)
    if found is None:
        return []
    level, said = await store.wal_level(connection), []
    if level != LOGICAL:
        said.append(("warning", f"wal_level is {level}, so nothing is streamed", store.logical_by_hand()))
    if missing := lacking(found):
        message = f"{len(missing)} columns of this release are not published, such as {missing[0]}"
        said.append(("warning", message, "let subscribers have them (docs/feed.md), then `landfall db feed enable`"))
    for slot in await store.slots(connection):
        if not slot.active and slot.behind_bytes > FORGOTTEN_BYTES:
            message = f"nobody follows the slot {slot.name}, for which {slot.behind_bytes >> 20} MB of the log are kept"
            said.append(("warning", message, f"start its subscriber, or {store.drop_slot_by_hand(slot.name)}"))
    return said or [("ok", f"{PUBLICATION} publishes everything that this release has", "")]


FORGOTTEN_BYTES = 2**30
"""So much of the log may be kept for a slot that nobody follows at the moment."""
