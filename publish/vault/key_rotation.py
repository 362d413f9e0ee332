"""Check the keys of the vault, count what is sealed under each, and move everything under the first."""

from collections import Counter
from collections.abc import Callable

import asyncpg

from ops.access.second_factor import totp_place
from ops.runtime.db import Pool
from ops.runtime.faultpoint import faultpoint
from ops.runtime.tenancy import ALL_TENANTS, NO_TENANT, tenant_transaction
from publish.oauth.client_registration import client_place
from publish.vault.envelope import Vault, VaultError, key_name
from schema.sealing import Place

CANARY = "this opens with the right key only"
BATCH = 200


def _place(name: str) -> Place:
    return Place("", f"canary:{name}", "canary")


async def check(pool: Pool, vault: Vault) -> None:
    """Compare every key with the one that first had its name. Raises VaultError, before anything is sealed."""
    async with tenant_transaction(pool, NO_TENANT) as connection:
        rows = await connection.fetch("SELECT key_name, sealed FROM vault_canaries")
        known = {row["key_name"]: row["sealed"] for row in rows}
        for name in vault.names:
            if name in known and vault.open(known[name], _place(name)) != CANARY:
                raise VaultError(f"the key {name} is another one than it was")
        if vault.primary not in known:
            await connection.execute(
                "INSERT INTO vault_canaries (key_name, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                vault.primary,
                vault.seal(CANARY, _place(vault.primary)),
            )
        used = await connection.fetch("SELECT key_name, sealed_head FROM find_vault_keys()")
        lost = {row["key_name"] or key_name(row["sealed_head"]) for row in used} - set(vault.names)
    if lost:
        names = ", ".join(sorted(lost))
        raise VaultError(
            f"secrets are under {names}, which is not in LANDFALL_VAULT_KEYS or LANDFALL_VAULT_RING; put it back"
        )


async def count(pool: Pool) -> Counter[str]:
    """Count the secrets under each key."""
    found: Counter[str] = Counter()
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        for row in await connection.fetch("SELECT key_name, count(*) AS n FROM connection_secrets GROUP BY 1"):
            found[row["key_name"]] += row["n"]
        sealed = await connection.fetch(
            "SELECT sealed_secret AS sealed FROM oauth_clients"
            " UNION ALL SELECT sealed_verifier FROM oauth_states WHERE expires_at > now()"
            " UNION ALL SELECT sealed_accounts FROM oauth_states WHERE sealed_accounts IS NOT NULL"
            " UNION ALL SELECT sealed_secret FROM totp_factors"
        )
    found.update(key_name(row["sealed"]) for row in sealed)
    return found


async def rotate(pool: Pool, vault: Vault, progress: Callable[[int], None]) -> int:
    """Move every secret under the primary key, in batches while the service runs, and return their number.

    It can be run again after it was killed. A flow that is under way keeps its key for up to twenty minutes.
    """
    moved = 0
    while True:
        async with tenant_transaction(pool, ALL_TENANTS) as connection:
            rows = await connection.fetch(
                """
                SELECT tenant_id::text, connection_id::text, field, sealed FROM connection_secrets
                WHERE key_name <> $1 LIMIT $2 FOR UPDATE SKIP LOCKED""",
                vault.primary,
                BATCH,
            )
            for row in rows:
                place = Place(row["tenant_id"], row["connection_id"], row["field"])
                await connection.execute(
                    """
                    UPDATE connection_secrets SET sealed = $4, key_name = $5
                    WHERE tenant_id = $1::uuid AND connection_id = $2::uuid AND field = $3""",
                    *(place.tenant, place.owner, place.field),
                    vault.rewrap(row["sealed"], place),
                    vault.primary,
                )
        if not rows:
            break
        faultpoint("publish.rewrapped")
        moved += len(rows)
        progress(moved)
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        clients = await connection.fetch(
            "SELECT tenant_id::text, platform, instance, sealed_secret FROM oauth_clients FOR UPDATE"
        )
        for row in clients:
            if key_name(row["sealed_secret"]) == vault.primary:
                continue
            place = client_place(row["platform"], row["instance"], row["tenant_id"])
            await connection.execute(
                "UPDATE oauth_clients SET sealed_secret = $4"
                " WHERE tenant_id = $1::uuid AND platform = $2 AND instance = $3",
                *(row["tenant_id"], row["platform"], row["instance"]),
                vault.rewrap(row["sealed_secret"], place),
            )
            moved += 1
        moved += await _rotate_totp(connection, vault)
    progress(moved)
    return moved


async def _rotate_totp(connection: asyncpg.Connection, vault: Vault) -> int:
    moved = 0
    for row in await connection.fetch("SELECT id::text, user_id::text, sealed_secret FROM totp_factors FOR UPDATE"):
        if key_name(row["sealed_secret"]) != vault.primary:
            place = totp_place(row["user_id"], row["id"])
            await connection.execute(
                "UPDATE totp_factors SET sealed_secret = $2 WHERE id = $1::uuid",
                row["id"],
                vault.rewrap(row["sealed_secret"], place),
            )
            moved += 1
    return moved
