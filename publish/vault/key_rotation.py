"""Check the keys of the vault, count what is sealed under each, and move everything under the first."""

from collections import Counter
from collections.abc import Callable

from ops.runtime.db import Pool
from ops.runtime.faultpoint import faultpoint
from ops.runtime.tenancy import ALL_TENANTS, NO_TENANT, tenant_transaction
from publish.vault import vault_store
from publish.vault.envelope import Vault, VaultError
from schema.sealing import Place

CANARY = "this opens with the right key only"
BATCH = 200


def _place(name: str) -> Place:
    return Place("", f"canary:{name}", "canary")


async def check(pool: Pool, vault: Vault) -> None:
    """Compare every key with the one that first had its name. Raises VaultError, before anything is sealed."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        known = await vault_store.canaries(connection)
        for name in vault.names:
            if name in known and vault.open(known[name], _place(name)) != CANARY:
                raise VaultError(f"the key {name} is another one than it was")
        if vault.primary not in known:
            await vault_store.add_canary(connection, vault.primary, vault.seal(CANARY, _place(vault.primary)))
        lost = await vault_store.used_keys(connection) - set(vault.names)
    if lost:
        names = ", ".join(sorted(lost))
        raise VaultError(
            f"secrets are under {names}, which is not in LANDFALL_VAULT_KEYS or LANDFALL_VAULT_RING; put it back"
        )


async def count(pool: Pool) -> Counter[str]:
    """Count the secrets under each key."""
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        return await vault_store.count(connection)


async def rotate(pool: Pool, vault: Vault, progress: Callable[[int], None]) -> int:
    """Move every secret under the primary key, in batches while the service runs, and return their number.

    It can be run again after it was killed. A flow that is under way keeps its key for up to twenty minutes.
    """
    moved = 0
    while True:
        async with tenant_transaction(pool, ALL_TENANTS) as connection:
            found = await vault_store.lock_secrets_under_other_keys(connection, vault.primary, BATCH)
            for secret in found:
                sealed = vault.rewrap(secret.sealed, secret.place)
                await vault_store.save_secret(connection, secret.place, sealed, vault.primary)
        if not found:
            break
        faultpoint("publish.rewrapped")
        moved += len(found)
        progress(moved)
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        moved += await vault_store.move_clients(connection, vault.primary, vault.rewrap)
        moved += await vault_store.move_totp_secrets(connection, vault.primary, vault.rewrap)
        moved += await vault_store.move_target_secrets(connection, vault.primary, vault.rewrap)
    progress(moved)
    return moved
