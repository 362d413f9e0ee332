"""`landfall media`: files to be posted, of all tenants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from ops.access.audit_log_store import COMMAND
from ops.cli import options, wiring
from ops.cli.terminal import echo, echo_json
from ops.runtime.db import Pool, open_pool
from ops.runtime.settings import Configuration
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from schema.rights import APP_ROLE

if TYPE_CHECKING:
    from publish.media.integrity import StoredFile


@click.group("media")
def media_group() -> None:
    """Files to be posted, of all tenants."""


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
