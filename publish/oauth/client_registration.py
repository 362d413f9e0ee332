"""Our application at a platform: the one that the operator configured, or one that we register at an instance."""

from ops.runtime.db import Pool
from ops.runtime.tenancy import tenant_transaction
from publish.oauth import flow_store
from publish.oauth.contract import App, OAuthProvider
from publish.oauth.flow_store import RegisteredClient
from publish.oauth.providers import OAuthProviders
from publish.vault.envelope import Vault
from schema.sealing import Place


class ClientRegistrations:
    def __init__(self, pool: Pool, vault: Vault, providers: OAuthProviders, name: str = "Landfall") -> None:
        self._pool = pool
        self._vault = vault
        self._providers = providers
        self._name = name

    async def app(self, platform: str, instance: str, tenant: str) -> App:
        """Return our application; without an id where we are not registered at the instance.

        Raises PlatformError where the platform is not configured.
        """
        if self._providers.by_platform[platform].register is None:
            return self._providers.app(platform, instance)
        return await self._registered(platform, instance, tenant) or self._providers.app(platform, instance)

    async def locate(self, platform: str, instance: str, tenant: str) -> str:
        """Return the host of the instance at this address, which may redirect to it. Raises PlatformError for none."""
        provider = self._providers.by_platform[platform]
        if provider.locate is None or await self._registered(platform, instance, tenant) is not None:
            return instance
        steps = provider.locate(self._providers.app(platform, instance))
        return await self._providers.client.run(steps, platform=platform, instance=instance)

    async def register(self, platform: str, instance: str, tenant: str) -> App:
        """Return our application, and register it where the instance does not know it. Raises PlatformError."""
        provider = self._providers.by_platform[platform]
        if provider.register is None:
            return self._providers.app(platform, instance)
        known = await self._registered(platform, instance, tenant)
        if known is not None and await self._is_recognised(provider, known, platform, instance):
            return known
        unregistered = self._providers.app(platform, instance)
        client_id, secret = await self._providers.client.run(
            provider.register(unregistered, self._name, provider.scopes), platform=platform, instance=instance
        )
        client = RegisteredClient(
            client_id,
            self._vault.seal(secret, client_place(platform, instance, tenant)),
            unregistered.redirect_uri,
            provider.scopes,
        )
        async with tenant_transaction(self._pool, tenant) as connection:
            await flow_store.save_client(connection, tenant, platform, instance, client)
        return self._providers.app(platform, instance, (client_id, secret))

    async def _registered(self, platform: str, instance: str, tenant: str) -> App | None:
        """Return our application as registered for today's redirect address and scopes; None where it is not."""
        async with tenant_transaction(self._pool, tenant) as connection:
            client = await flow_store.client(connection, platform, instance)
        scopes = set(self._providers.by_platform[platform].scopes)
        uri = self._providers.redirect_uri(platform, instance)
        if client is None or client.redirect_uri != uri or not scopes <= set(client.scopes):
            return None
        secret = self._vault.open(client.sealed_secret, client_place(platform, instance, tenant))
        return self._providers.app(platform, instance, (client.client_id, secret))

    async def _is_recognised(self, provider: OAuthProvider, app: App, platform: str, instance: str) -> bool:
        if provider.recognised is None:
            return True
        return await self._providers.client.run(provider.recognised(app), platform=platform, instance=instance)


def client_place(platform: str, instance: str, tenant: str) -> Place:
    """Return where the secret of a registered application is sealed."""
    return Place(tenant, f"{platform}:{instance}", "client_secret")
