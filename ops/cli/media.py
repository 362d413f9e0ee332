"""`landfall media`: files to be posted. `list` and `prune` are about those of all tenants."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from ops.access.audit_log_store import COMMAND
from ops.cli import options, wiring
from ops.cli.access import scope_of
from ops.cli.terminal import echo, echo_json
from ops.runtime.db import Pool, open_pool
from ops.runtime.settings import Configuration
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from schema.rights import APP_ROLE

if TYPE_CHECKING:
    from publish.media.integrity import StoredFile
    from publish.media.media_store import Media
    from publish.media.uploads import Uploads

READ_BYTES = 2**20


@click.group("media")
def media_group() -> None:
    """Files to be posted: upload, list, prune, and see who fetched them."""


@media_group.command("upload")
@click.argument("files", metavar="FILE_OR_URL...", nargs=-1, required=True)
@options.json_lines
@options.tenant
def upload_command(files: Sequence[str], tenant: str | None, *, as_json: bool) -> None:
    """Take files, or what is at addresses, and print the id of each, for `posts create --media`."""
    wiring.run(upload(wiring.load(), tenant, files, as_json=as_json))


async def upload(configuration: Configuration, tenant: str | None, files: Sequence[str], *, as_json: bool) -> None:
    """Take files one after the other, and print each. Raises ClickException for the first one that is refused."""
    from ops.cli.composition import uploads_of

    async with scope_of(configuration, tenant) as scope, uploads_of(configuration, scope.pool) as uploads:
        async for media, is_new in uploaded(uploads, scope.tenant, files):
            if as_json:
                echo_json(media.document)
                continue
            size = f"{media.width}x{media.height}" if media.width else ""
            known = "" if is_new else "was there already"
            parts = (media.id, media.content_type, f"{media.bytes} bytes", size, media.file_name, known)
            echo("  ".join(part for part in parts if part))


async def uploaded(uploads: "Uploads | None", tenant: str, files: Sequence[str]) -> AsyncIterator[tuple["Media", bool]]:
    """Take files by path or by address. Yield each, and whether it is new. Raises ClickException.

    How far a file is, is shown on standard error where that is a terminal.
    """
    from publish.media.refusal import MediaRefused
    from publish.media.storage import NOT_CONFIGURED

    if uploads is None:
        raise click.ClickException(f"there is no place for files: {NOT_CONFIGURED}")
    for file in files:
        try:
            yield await _taken(uploads, tenant, file)
        except MediaRefused as refused:
            raise click.ClickException(f"{file}: {refused.message} What to do: {refused.remedy}") from None


async def _taken(uploads: "Uploads", tenant: str, file: str) -> tuple["Media", bool]:
    """Raises MediaRefused, and ClickException for a file that cannot be read."""
    if file.startswith(("http://", "https://")):
        return await uploads.fetched(tenant, COMMAND, file)
    path = Path(file)
    try:
        size = (await asyncio.to_thread(path.stat)).st_size
        with click.progressbar(
            length=size, label=path.name, file=sys.stderr, hidden=not sys.stderr.isatty(), update_min_steps=READ_BYTES
        ) as bar:
            return await uploads.whole(tenant, COMMAND, _read(path, bar.update), path.name, size)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read ({error.strerror or type(error).__name__})") from None


async def _read(path: Path, told: Callable[[int], None]) -> AsyncIterator[bytes]:
    """Read a file piece by piece, and tell how many bytes each has. Raises OSError."""
    with await asyncio.to_thread(path.open, "rb") as opened:
        while piece := await asyncio.to_thread(opened.read, READ_BYTES):
            yield piece
            told(len(piece))


@media_group.command("list")
@click.option("--removed", is_flag=True, help="Those too that were removed.")
@click.option("--check", is_flag=True, help="Ask the storage for each; exits 1 where the bytes of one are not there.")
@options.json_lines
def list_command(*, removed: bool, check: bool, as_json: bool) -> None:
    """List the files, the newest first."""
    if wiring.run(show(wiring.load(), removed=removed, check=check, as_json=as_json)):
        raise click.exceptions.Exit(1)


async def show(configuration: Configuration, *, removed: bool, check: bool, as_json: bool) -> int:
    """Print the files, and return how many of them the storage does not have as they were. Raises ClickException.

    Of a removed file nothing is asked: its bytes go.
    """
    from ops.cli.composition import storage_of
    from publish.media import media_store
    from publish.media.integrity import StoredFile, stored_files
    from publish.media.storage import NOT_CONFIGURED

    async with _opened(configuration) as pool, tenant_transaction(pool, ALL_TENANTS) as connection:
        found = await media_store.overview(connection, removed=removed)
    checked = dict[str, StoredFile]()
    if check:
        storage = storage_of(configuration)
        if storage is None:
            raise click.ClickException(f"there is no place for files: {NOT_CONFIGURED}")
        asked = [item for item in found if item.removed_at is None]
        looked = await stored_files(storage, [(item.stored_as, item.bytes) for item in asked])
        checked = {item.id: each for item, each in zip(asked, looked, strict=True)}
    for item in found:
        stored = checked.get(item.id)
        if as_json:
            shown = {name: value for name, value in asdict(item).items() if name != "stored_as"}
            bytes_there = None if stored is None else stored.size
            echo_json(shown | {"stored": None if stored is None else stored.state, "stored_bytes": bytes_there})
            continue
        size = f"{item.width}x{item.height}" if item.width else ""
        seconds = f"{item.duration_ms / 1000:.1f} s" if item.duration_ms is not None else ""
        gone = f"removed {item.removed_at.date()} by {item.removed_by}" if item.removed_at else ""
        parts = (item.id, item.tenant, item.content_type, f"{item.bytes} bytes", size, seconds, item.file_name, gone)
        echo("  ".join(part for part in (*parts, _damage(stored)) if part))
    damaged = sum(each.state != "ok" for each in checked.values())
    if not as_json:
        echo(f"{len(found)} files, {sum(item.bytes for item in found if item.removed_at is None)} bytes")
    if damaged:
        remedy = "bring them back from a backup of the storage, or remove the files and upload them again"
        echo(f"the storage does not have the bytes of {damaged} files as they were; {remedy}", err=True)
    return damaged


def _damage(stored: "StoredFile | None") -> str:
    """Return what is wrong with the bytes of a file; empty for nothing."""
    if stored is None or stored.state == "ok":
        return ""
    words = {"missing": "its bytes are missing", "unreadable": "the storage did not say whether it is there"}
    return words.get(stored.state, f"the storage has {stored.size} bytes of it")


@media_group.command("fetches")
@click.argument("id_", metavar="ID", type=click.UUID)
@options.json_lines
@options.tenant
def fetches_command(id_: UUID, tenant: str | None, *, as_json: bool) -> None:
    """List who fetched a file, by its id, or what a post or one of its targets shows; the first request first."""
    wiring.run(show_fetches(wiring.load(), tenant, str(id_), as_json=as_json))


async def show_fetches(configuration: Configuration, tenant: str | None, id_: str, *, as_json: bool) -> None:
    """Print the newest requests by the addresses of files. Raises ClickException where nothing has this id."""
    from publish.media.links import fetches_about

    async with (
        scope_of(configuration, tenant) as scope,
        tenant_transaction(scope.pool, scope.tenant) as connection,
    ):
        found = await fetches_about(connection, scope.tenant, id_)
    if found is None:
        raise click.ClickException(f"neither a file nor a post nor a target of one has the id {id_}")
    for fetch in found:
        if as_json:
            echo_json(fetch.document)
            continue
        place = f"from {fetch.address}" if fetch.address else ""
        file, attempt = f"file {fetch.media}", f"attempt {fetch.attempt}"
        time, answer = f"{fetch.at:%Y-%m-%d %H:%M:%S}Z", f"{fetch.method} {fetch.status}"
        parts = (time, answer, fetch.sent, file, attempt, fetch.user_agent, place)
        echo("  ".join(part for part in parts if part))
    if not found and not as_json:
        echo("nobody fetched it", err=True)


@media_group.command("prune")
def prune_command() -> None:
    """Remove at once what a worker would remove: files whose time is over, and what is left of uploads."""
    wiring.run(prune(wiring.load()))


async def prune(configuration: Configuration) -> None:
    """Prune, and print how much that was. Raises ClickException."""
    from ops.cli.composition import pruner_of
    from publish.media.storage import NOT_CONFIGURED, StorageError

    async with _opened(configuration) as pool:
        pruner = pruner_of(configuration, pool)
        if pruner is None:
            raise click.ClickException(f"there is no place for files: {NOT_CONFIGURED}")
        removed = await pruner.remove_due(COMMAND)
        try:
            deleted, uploads = await pruner.purge(), await pruner.clear_uploads()
        except StorageError as error:
            raise click.ClickException(f"{removed} files were removed, and not all of their bytes: {error}") from None
    echo(f"{removed} files were removed; the bytes of {deleted} and what was left of {uploads} uploads were deleted")


@asynccontextmanager
async def _opened(configuration: Configuration) -> AsyncIterator[Pool]:
    settings = configuration.settings
    dsn = settings.database_url.get_secret_value()
    async with await open_pool(dsn, "media", 1, role=settings.role(APP_ROLE)) as pool:
        yield pool
