"""`landfall vault`: what is under which key, and moving it."""

import click

from ops.cli.outside import RING, vault_of
from ops.cli.terminal import echo
from ops.runtime.db import open_pool
from ops.runtime.settings import Configuration
from publish.vault import key_rotation
from publish.vault.envelope import VAULT_KEYS, VaultError
from schema.rights import APP_ROLE


async def status(configuration: Configuration) -> None:
    vault, settings = vault_of(configuration), configuration.settings
    async with await open_pool(
        settings.database_url.get_secret_value(), "vault", 1, role=settings.role(APP_ROLE)
    ) as pool:
        found = await key_rotation.count(pool)
    for name in sorted({*vault.names, *found}):
        here = "seals" if name == vault.primary else "opens" if name in vault.names else "MISSING"
        echo(f"{name}  {here}  {found[name]} secrets")


async def rotate(configuration: Configuration) -> None:
    """Raises ClickException where a secret cannot be opened."""
    vault, settings = vault_of(configuration), configuration.settings
    async with await open_pool(
        settings.database_url.get_secret_value(), "vault", 1, role=settings.role(APP_ROLE)
    ) as pool:
        try:
            await key_rotation.check(pool, vault)
            moved = await key_rotation.rotate(pool, vault, lambda count: echo(f"{count} moved"))
        except VaultError as error:
            raise click.ClickException(str(error)) from None
        left = {name: n for name, n in (await key_rotation.count(pool)).items() if name != vault.primary and n}
    echo(f"{moved} secrets moved under {vault.primary}")
    if left:
        names = ", ".join(f"{name} ({n})" for name, n in left.items())
        echo(f"still under {names}: flows that are under way; run it again in twenty minutes")
    else:
        where = RING if settings.landfall_vault_ring else VAULT_KEYS.name
        echo(f"every other key can be taken out of {where}")
