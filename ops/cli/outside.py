"""What connecting and refreshing need built: the vault, the platforms, the way to them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from ops.cli import wiring
from ops.runtime.db import Pool
from ops.runtime.http import Client
from ops.runtime.settings import Configuration, ConfigurationError
from publish import keeping
from publish.contract import VAULT_KEYS
from publish.driver import Outside
from publish.vault import LocalRing, Vault, VaultError


@dataclass(frozen=True)
class Built:
    vault: Vault
    outside: Outside


def vault_of(configuration: Configuration) -> Vault:
    """Raises ConfigurationError."""
    try:
        return Vault(LocalRing(configuration.variables[VAULT_KEYS.name]))
    except VaultError as error:
        raise ConfigurationError([str(error)]) from None


@asynccontextmanager
async def built(configuration: Configuration, pool: Pool) -> AsyncIterator[Built]:
    """Raises ConfigurationError where a key is not the one it was."""
    vault, channels = vault_of(configuration), wiring.channels()
    try:
        await keeping.check(pool, vault)
    except VaultError as error:
        raise ConfigurationError([str(error)]) from None
    addresses = [address for channel in channels.values() for address in channel.hosts.values()]
    addresses += [url for c in channels.values() for url in configuration.variables[c.base_url.name]]
    async with Client(frozenset(urlsplit(address).netloc for address in addresses)) as client:
        url = configuration.settings.landfall_public_url
        yield Built(vault, Outside(channels, configuration.variables, client, url))
