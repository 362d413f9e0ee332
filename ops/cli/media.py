"""`landfall media`: files to be posted, of all tenants."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict

import click

from ops.access.audit_log_store import COMMAND
from ops.cli import options, wiring
from ops.cli.terminal import echo, echo_json
from ops.runtime.db import Pool, open_pool
from ops.runtime.settings import Configuration
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from schema.rights import APP_ROLE


@click.group("media")
def media_group() -> None:
    """Files to be posted, of all tenants."""


@media_group.command("list")
@click.option("--removed", is_flag=True, help="Those too that were removed.")
@options.json_lines
def list_command(*, removed: bool, as_json: bool) -> None:
    """List the files, the newest first."""
    wiring.run(show(wiring.load(), removed=removed, as_json=as_json))


async def show(configuration: Configuration, *, removed: bool, as_json: bool) -> None:
    from publish.media import media_store

    async with _opened(configuration) as pool, tenant_transaction(pool, ALL_TENANTS) as connection:
        found = await media_store.overview(connection, removed=removed)
    for item in found:
        if as_json:
            echo_json(asdict(item))
            continue
        size = f"{item.width}x{item.height}" if item.width else ""
        seconds = f"{item.duration_ms / 1000:.1f} s" if item.duration_ms is not None else ""
        gone = f"removed {item.removed_at.date()} by {item.removed_by}" if item.removed_at else ""
        parts = (item.id, item.tenant, item.content_type, f"{item.bytes} bytes", size, seconds, item.file_name, gone)
        echo("  ".join(part for part in parts if part))
    if not as_json:
        echo(f"{len(found)} files, {sum(item.bytes for item in found if item.removed_at is None)} bytes")


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
