"""Who we are at a platform: one application of the operator's, or, at an instance, one that we register ourselves."""

from ops.runtime.db import Pool
from ops.runtime.tenancy import tenant_transaction
from publish.oauth import flow_store
from publish.oauth.contract import App, Channel
from publish.oauth.providers import Outside
from publish.vault.envelope import Vault
from schema.sealing import Place


class Applications:
    def __init__(self, pool: Pool, vault: Vault, outside: Outside, name: str = "Landfall") -> None:
        self._pool = pool
        self._vault = vault
        self._outside = outside
        self._name = name

    async def known(self, channel: str, instance: str, tenant: str) -> App:
        """Where an instance does not know us, one without an id. Raises Problem for what is not configured."""
        if self._outside.channels[channel].register is None:
            return self._outside.app(channel, instance)
        return await self._registered(channel, instance, tenant) or self._outside.app(channel, instance)

    async def located(self, channel: str, instance: str, tenant: str) -> str:
        """The instance at this address, whose web server may have another name. Raises Problem where there is none."""
        way = self._outside.channels[channel]
        if way.locate is None or await self._registered(channel, instance, tenant) is not None:
            return instance
        steps = way.locate(self._outside.app(channel, instance))
        return await self._outside.run(steps, platform=channel, instance=instance)

    async def made(self, channel: str, instance: str, tenant: str) -> App:
        """Registers us where an instance does not know us, or no longer. Raises Problem."""
        way = self._outside.channels[channel]
        if way.register is None:
            return self._outside.app(channel, instance)
        known = await self._registered(channel, instance, tenant)
        if known is not None and await self._recognised(way, known, channel, instance):
            return known
        asking = self._outside.app(channel, instance)
        made = await self._outside.run(
            way.register(asking, self._name, way.scopes), platform=channel, instance=instance
        )
        sealed = self._vault.seal(made[1], client_place(channel, instance, tenant))
        uri = asking.redirect_uri
        async with tenant_transaction(self._pool, tenant) as connection:
            await flow_store.keep_client(connection, tenant, channel, instance, made[0], sealed, uri, way.scopes)
        return self._outside.app(channel, instance, made)

    async def _registered(self, channel: str, instance: str, tenant: str) -> App | None:
        """As we registered for the address and the scopes of today; None where that was not done."""
        async with tenant_transaction(self._pool, tenant) as connection:
            row = await flow_store.client(connection, channel, instance)
        scopes = set(self._outside.channels[channel].scopes)
        uri = self._outside.redirect_uri(channel, instance)
        if row is None or row["redirect_uri"] != uri or not scopes <= set(row["scopes"]):
            return None
        secret = self._vault.open(row["sealed_secret"], client_place(channel, instance, tenant))
        return self._outside.app(channel, instance, (row["client_id"], secret))

    async def _recognised(self, way: Channel, app: App, channel: str, instance: str) -> bool:
        if way.recognised is None:
            return True
        return await self._outside.run(way.recognised(app), platform=channel, instance=instance)


def client_place(channel: str, instance: str, tenant: str) -> Place:
    return Place(tenant, f"{channel}:{instance}", "client_secret")
