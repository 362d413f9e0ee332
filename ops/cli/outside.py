"""What connections need built: the vault, the platforms, the way to them, and who works with all that."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from ops.cli import wiring
from ops.runtime.db import Pool
from ops.runtime.http import Client
from ops.runtime.settings import Configuration, ConfigurationError
from publish import keeping
from publish.applications import Applications
from publish.connecting import Flows
from publish.contract import VAULT_KEYS
from publish.driver import Outside
from publish.ending import Endings
from publish.refreshing import Refresher
from publish.vault import LocalRing, Vault, VaultError


@dataclass(frozen=True)
class Built:
    """Everything about connections, put together."""

    vault: Vault
    outside: Outside
    flows: Flows
    endings: Endings
    refresher: Refresher


def assembled(pool: Pool, vault: Vault, outside: Outside) -> Built:
    applications = Applications(pool, vault, outside)
    endings = Endings(pool, vault, outside, applications)
    flows = Flows(pool, vault, outside, applications)
    return Built(vault, outside, flows, endings, Refresher(pool, vault, outside, applications, endings))


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
        yield assembled(pool, vault, Outside(channels, configuration.variables, client, url))
