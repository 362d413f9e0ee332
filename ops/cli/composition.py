"""Compose what connections need: the vault, the providers, the platform client, and the services that use them."""

import pkgutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg

from ingest import store
from ingest.contract import Incoming
from ops.cli import wiring
from ops.runtime.db import Pool, describe
from ops.runtime.http import Client
from ops.runtime.mail import Mailer
from ops.runtime.mailserver import MailServer
from ops.runtime.platform_client import PlatformClient
from ops.runtime.ports import Fact, Pulling
from ops.runtime.rate_limits import RateLimits
from ops.runtime.settings import Configuration, ConfigurationError
from publish.connections.disconnect import Disconnector
from publish.connections.refresh import Refresher
from publish.connections.subscriptions import SubscriptionKeeper
from publish.media.inspection import Inspector
from publish.media.library import MediaLibrary
from publish.media.links import PATH
from publish.media.pruning import Pruner
from publish.media.storage import Storage, open_storage
from publish.media.uploads import Uploads
from publish.notifications.sender import NoticeSender
from publish.oauth.authorization import AuthorizationFlows
from publish.oauth.client_registration import ClientRegistrations
from publish.oauth.contract import OAuthProvider
from publish.oauth.providers import OAuthProviders
from publish.posting.driver import Driver
from publish.posting.inquiries import Inquiries
from publish.posting.link_preview import Previews
from publish.posting.occurrences import OccurrenceSweep
from publish.posting.posts import Posts
from publish.posting.zone_changes import ZoneChanges
from publish.schedule import zones
from publish.vault import key_rotation
from publish.vault.envelope import VAULT_KEYS, LocalRing, Ring, Vault, VaultError

if TYPE_CHECKING:
    from sync.pull.worker import Puller

RING = "LANDFALL_VAULT_RING"


@dataclass(frozen=True)
class Built:
    """Everything about connections, put together."""

    vault: Vault
    providers: OAuthProviders
    flows: AuthorizationFlows
    disconnector: Disconnector
    refresher: Refresher
    subscriptions: SubscriptionKeeper
    pulling: Pulling


def assembled(pool: Pool, vault: Vault, providers: OAuthProviders) -> Built:
    clients = ClientRegistrations(pool, vault, providers)
    disconnector = Disconnector(pool, vault, providers, clients)
    flows = AuthorizationFlows(pool, vault, providers, clients)
    refresher = Refresher(pool, vault, providers, clients, disconnector)
    pulling = Pulling(refresher, clients, providers.client, append_within)
    subscriptions = SubscriptionKeeper(pool, vault, providers, clients)
    return Built(vault, providers, flows, disconnector, refresher, subscriptions, pulling)


async def append_within(connection: asyncpg.Connection, facts: Sequence[Fact]) -> None:
    """Append facts to the log within the caller's transaction."""
    for (platform, version, source), group in groupby(
        facts, lambda fact: (fact.platform, fact.rule_version, fact.source)
    ):
        events = [
            Incoming(
                fact.account_id, fact.type, fact.external_id, fact.payload, fact.occurred_at, sanitized=fact.sanitized
            )
            for fact in group
        ]
        await store.append_own(connection, platform, version, events, source)


def posts_of(
    pool: Pool, found: Built | None, storage: Storage | None, public_url: str, pictures: Uploads | None = None
) -> Posts:
    """Return what accepts posts; without a storage those without files.

    Without what a vault key builds no platform is asked what an account may post: the documented limits count. No
    page that is shared is looked at either. ``pictures`` takes those of shared pages; none where it is None.
    """
    publishers = wiring.publishers()
    library = MediaLibrary(pool, storage, public_url)
    inquiries = previews = None
    if found is not None:
        clients = ClientRegistrations(pool, found.vault, found.providers)
        platforms = {name: publisher.machines for name, publisher in publishers.items()}
        inquiries = Inquiries(platforms, found.providers.client, clients, found.refresher)
        previews = Previews(found.providers.client.http)
    verified = {} if found is None else found.providers.verified()
    media_url = f"{public_url}{PATH}/"
    return Posts(
        *(pool, publishers, library, zones.installed(), media_url, verified),
        ask=inquiries,
        previews=previews,
        pictures=pictures,
    )


def driver_of(pool: Pool, found: Built, storage: Storage | None) -> Driver:
    """Return what publishes posts; without a storage those without files."""
    clients = ClientRegistrations(pool, found.vault, found.providers)
    platforms = {name: publisher.machines for name, publisher in wiring.publishers().items()}
    client, library = found.providers.client, MediaLibrary(pool, storage, found.providers.public_url)
    return Driver(pool, found.vault, platforms, client, clients, found.refresher, library, append_within)


def puller_of(pool: Pool, found: Built, accounts: int) -> "Puller":
    """Return what reads connected accounts, so many side by side."""
    from sync.pull.worker import Puller

    return Puller(pool, wiring.pulling_platforms(), found.pulling, at_once=accounts)


def occurrences_of(pool: Pool, found: Built, storage: Storage | None) -> OccurrenceSweep:
    """Return what makes the posts of what repeats; without a storage those without files."""
    return OccurrenceSweep(posts_of(pool, found, storage, found.providers.public_url))


def zone_changes_of(pool: Pool) -> ZoneChanges:
    """Return what decides saved times again where the time zone database is a newer one."""
    return ZoneChanges(pool, zones.installed())


def mailer_of(configuration: Configuration) -> Mailer | None:
    """None where no mail server is configured."""
    settings = configuration.settings
    if settings.landfall_smtp_url is None:
        return None
    return Mailer(MailServer.of(settings.landfall_smtp_url.get_secret_value()), settings.landfall_mail_from)


def notice_sender(configuration: Configuration, pool: Pool, flows: AuthorizationFlows) -> NoticeSender | None:
    """None where no mail server is configured."""
    mailer = mailer_of(configuration)
    if mailer is None:
        return None
    return NoticeSender(pool, mailer, flows.titles, configuration.settings.landfall_public_url)


def storage_of(configuration: Configuration) -> Storage | None:
    """None where no place for files is configured."""
    url = configuration.settings.landfall_media_url
    return None if url is None else open_storage(url, configuration.variables)


def pruner_of(configuration: Configuration, pool: Pool) -> Pruner | None:
    """None where no place for files is configured."""
    storage = storage_of(configuration)
    return None if storage is None else Pruner(pool, storage, configuration.settings.landfall_media_days)


@asynccontextmanager
async def uploads_of(configuration: Configuration, pool: Pool) -> AsyncIterator[Uploads | None]:
    """None where no place for files is configured."""
    settings, storage = configuration.settings, storage_of(configuration)
    if storage is None:
        yield None
        return
    limits = {
        "image": settings.landfall_media_image_bytes,
        "gif": settings.landfall_media_gif_bytes,
        "video": settings.landfall_media_video_bytes,
        "audio": settings.landfall_media_audio_bytes,
        "document": settings.landfall_media_document_bytes,
    }
    async with Client(frozenset(), settings.landfall_public_url) as client:  # trusts no host: anybody may name a file
        yield Uploads(pool, storage, Inspector(), client, limits)


def vault_of(configuration: Configuration) -> Vault:
    """Raises ConfigurationError."""
    keys, factory = configuration.variables[VAULT_KEYS.name], configuration.settings.landfall_vault_ring
    if keys and factory:
        problem = f"{VAULT_KEYS.name} and {RING} are both set; keep one, and let the ring open what the keys sealed"
        raise ConfigurationError([problem])
    try:
        return Vault(_ring(factory) if factory else LocalRing(keys))
    except VaultError as error:
        raise ConfigurationError([str(error)]) from None


def _ring(factory: str) -> Ring:
    """What the factory makes. Raises VaultError, which says how it failed and not with what words."""
    try:
        make = pkgutil.resolve_name(factory)
    except Exception as error:  # noqa: BLE001  whatever runs when somebody's module is imported
        problem = f"{RING}: {factory} cannot be imported ({describe(error)}); it must be where this Python looks"
        raise VaultError(problem) from None
    try:
        made = make()
        fits = isinstance(made, Ring)
    except VaultError:
        raise
    except Exception as error:  # noqa: BLE001
        raise VaultError(f"{RING}: {factory} made no ring of keys ({describe(error)})") from None
    if not fits:
        problem = f"{RING}: what {factory} makes is no ring of keys: it needs primary, names, wrap and unwrap"
        raise VaultError(problem)
    return made  # type: ignore[no-any-return]


def checked_every(provider: OAuthProvider, seconds: int) -> OAuthProvider:
    """Return the provider with its accounts checked at least so often, by a refresh where that is the check."""
    policy = provider.refresh_policy
    if provider.check is None:
        return replace(provider, refresh_policy=replace(policy, longest=seconds))
    return replace(provider, refresh_policy=replace(policy, check=min(seconds, policy.check or seconds)))


@asynccontextmanager
async def built(configuration: Configuration, pool: Pool) -> AsyncIterator[Built]:
    """Raises ConfigurationError where a key is not the one it was."""
    vault, by_platform = vault_of(configuration), wiring.oauth_providers()
    if minutes := configuration.settings.landfall_check_minutes:
        by_platform = {name: checked_every(provider, minutes * 60) for name, provider in by_platform.items()}
    try:
        await key_rotation.check(pool, vault)
    except VaultError as error:
        raise ConfigurationError([str(error)]) from None
    addresses = [address for provider in by_platform.values() for address in provider.hosts.values()]
    addresses += [url for provider in by_platform.values() for url in configuration.variables[provider.base_url.name]]
    url = configuration.settings.landfall_public_url
    async with Client(frozenset(urlsplit(address).netloc for address in addresses), url) as client:
        platforms = PlatformClient(by_platform, client, RateLimits(pool))
        yield assembled(pool, vault, OAuthProviders(by_platform, configuration.variables, platforms, url))
