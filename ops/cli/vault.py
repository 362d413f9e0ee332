"""`landfall vault`: what is under which key, and moving it."""

import click

from ops.cli import options, wiring
from ops.cli.composition import RING, vault_of
from ops.cli.terminal import echo, echo_json
from ops.runtime.db import open_pool
from ops.runtime.settings import Configuration
from publish.vault import key_rotation
from publish.vault.envelope import VAULT_KEYS, VaultError, new_key
from schema.rights import APP_ROLE


@click.group()
def vault() -> None:
    """The keys that tokens are kept under."""


@vault.command("key")
def vault_key() -> None:
    """Print a new key, for the front of LANDFALL_VAULT_KEYS."""
    echo(new_key())


@vault.command("status")
@options.json_lines
def vault_status(*, as_json: bool) -> None:
    """Count the secrets under each key; a key can go when it has none."""
    wiring.run(status(wiring.load(), as_json=as_json))


async def status(configuration: Configuration, *, as_json: bool) -> None:
    """Print each key, what it is used for here, and how many secrets are under it."""
    vault, settings = vault_of(configuration), configuration.settings
    async with await open_pool(
        settings.database_url.get_secret_value(), "vault", 1, role=settings.role(APP_ROLE)
    ) as pool:
        found = await key_rotation.count(pool)
    for name in sorted({*vault.names, *found}):
        use = "seals" if name == vault.primary else "opens" if name in vault.names else "missing"
        if as_json:
            echo_json({"key": name, "use": use, "secrets": found[name]})
        else:
            echo(f"{name}  {'MISSING' if use == 'missing' else use}  {found[name]} secrets")


@vault.command("rotate")
def vault_rotate() -> None:
    """Bring every secret under the first key, while everything goes on. Run it again if it was stopped."""
    wiring.run(rotate(wiring.load()))


async def rotate(configuration: Configuration) -> None:
    """Bring every secret under the first key. Raises ClickException where a secret cannot be opened."""
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
