"""Rotation, canaries, and what the commands say."""

import asyncio
import base64
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from ops.cli.composition import assembled
from ops.runtime.db import Pool, open_pool
from ops.runtime.embedded import Postgres
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.connections import connection_store
from publish.oauth.contract import Account
from publish.vault import key_rotation
from publish.vault.envelope import LocalRing, Vault, VaultError
from schema.metadata import APP_ROLE
from schema.sealing import Place
from schema.tenancy import DEFAULT_TENANT
from tests import support
from tests.keyrings import KeyService, moving
from tests.rig import KEYS, Rig

OLD, NEW = (f"{name}:{base64.urlsafe_b64encode(bytes([n]) * 32).decode()}" for n, name in enumerate(("old", "new"), 1))
IMPOSTOR = "old:" + NEW.partition(":")[2]
COUNT = 450
ROOT = Path(__file__).parents[4]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "publish", 4, role=APP_ROLE, wait_seconds=5) as found:
        yield found


async def filled(pool: Pool, vault: Vault, count: int = COUNT) -> None:
    await key_rotation.check(pool, vault)
    async with tenant_transaction(pool, DEFAULT_TENANT) as connection:
        for number in range(count):
            account = Account(f"a{number}", "someone", ["s"], {"access_token": f"token {number}"})
            new = f"00000000-0000-7000-8000-{number:012d}"
            ends = {"access_seconds": None, "refresh_seconds": None, "refresh_in": None, "check_in": None}
            await connection_store.connect(connection, vault, DEFAULT_TENANT, new, "x", "", account, **ends)


async def opened(pool: Pool, vault: Vault, count: int = COUNT) -> None:
    async with tenant_transaction(pool, DEFAULT_TENANT) as connection:
        for number in (0, count // 2, count - 1):
            id_ = f"00000000-0000-7000-8000-{number:012d}"
            held = await connection_store.secrets(connection, vault, DEFAULT_TENANT, id_)
            assert held == {"access_token": f"token {number}"}


async def command(database: str, keys: str, *arguments: str, ring: str = "") -> tuple[int, str]:
    environment = {"PYTHONPATH": str(ROOT), "LANDFALL_VAULT_KEYS": keys, "LANDFALL_VAULT_RING": ring}
    environment |= {"LANDFALL_HTTP_PORT": "0", "LANDFALL_METRICS_PORT": "0"}  # whatever else listens here
    return await support.command(database, *arguments, **environment)


async def test_rotation_stopped_anywhere_is_finished_by_another_and_everything_opens_all_the_time(pool: Pool) -> None:
    old, both, new = (Vault(LocalRing(keys)) for keys in ([OLD], [NEW, OLD], [NEW]))
    await filled(pool, old)
    stopped = 0

    def stop_after(batches: int) -> None:
        nonlocal stopped
        stopped += 1
        if stopped == batches:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await key_rotation.rotate(pool, both, lambda _: stop_after(1))
    counted = await key_rotation.count(pool)
    assert counted["new"] > 0 < counted["old"]
    await opened(pool, both)
    with pytest.raises(VaultError, match="which is not in LANDFALL_VAULT_KEYS"):
        await key_rotation.check(pool, new)
    moved = await key_rotation.rotate(pool, both, lambda _: None)
    assert moved == counted["old"]
    assert await key_rotation.count(pool) == {"new": COUNT}
    await key_rotation.check(pool, both)
    await key_rotation.check(pool, new)
    await opened(pool, new)
    assert await key_rotation.rotate(pool, both, lambda _: None) == 0


async def test_two_rotations_at_once_share_the_work(pool: Pool) -> None:
    await filled(pool, Vault(LocalRing([OLD])))
    both = Vault(LocalRing([NEW, OLD]))
    moved = await asyncio.gather(*(key_rotation.rotate(pool, both, lambda _: None) for _ in range(3)))
    assert sum(moved) == COUNT
    await opened(pool, Vault(LocalRing([NEW])))


async def test_wrong_key_is_found_before_anything_is_sealed_with_it(pool: Pool, database: str) -> None:
    await filled(pool, Vault(LocalRing([OLD])), 1)
    with pytest.raises(VaultError, match="another one than it was"):
        await key_rotation.check(pool, Vault(LocalRing([IMPOSTOR])))
    for name in ("serve", "work"):
        code, said = await command(database, IMPOSTOR, name)
        assert code == 1
        assert "the key old is another one than it was" in said
        assert "See .env.example" in said
    code, said = await command(database, "old:short", "serve")
    assert (code, "the key at place 1" in said, "short" in said) == (1, True, False)


async def test_swapped_ciphertexts_do_not_open(pool: Pool, connection: asyncpg.Connection) -> None:
    vault = Vault(LocalRing([OLD]))
    await filled(pool, vault, 2)
    async with connection.transaction():
        await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
        rows = await connection.fetch("SELECT connection_id, sealed FROM connection_secrets ORDER BY 1")
        for row, other in zip(rows, reversed(rows), strict=True):
            await connection.execute(
                "UPDATE connection_secrets SET sealed = $2 WHERE connection_id = $1", row[0], other[1]
            )
    async with tenant_transaction(pool, DEFAULT_TENANT) as acting:
        with pytest.raises(VaultError, match="not of this place"):
            await connection_store.secrets(acting, vault, DEFAULT_TENANT, str(rows[0]["connection_id"]))


async def test_commands_say_how_far_a_rotation_is_and_what_can_go(pool: Pool, database: str) -> None:
    await filled(pool, Vault(LocalRing([OLD])), 3)
    code, said = await command(database, f"{NEW},{OLD}", "vault", "status")
    assert (code, said.splitlines()) == (0, ["new  seals  0 secrets", "old  opens  3 secrets"])
    code, said = await command(database, NEW, "vault", "status")
    assert "old  MISSING  3 secrets" in said
    code, said = await command(database, NEW, "vault", "rotate")
    assert (code, "put it back" in said) == (1, True)
    code, said = await command(database, f"{NEW},{OLD}", "vault", "rotate")
    assert code == 0
    assert said.endswith("3 secrets moved under new\nevery other key can be taken out of LANDFALL_VAULT_KEYS\n")
    code, said = await command(database, "", "vault", "status")
    assert (code, "LANDFALL_VAULT_KEYS is not set" in said) == (1, True)
    code, key = await command(database, "", "vault", "key")
    assert LocalRing([key.strip()]).primary.startswith("k")


async def test_rotation_moves_nothing_under_a_key_that_is_another_than_it_was(pool: Pool, database: str) -> None:
    """Else every token would be under a key that the other processes do not have."""
    await filled(pool, Vault(LocalRing([OLD])), 3)
    await key_rotation.check(pool, Vault(LocalRing([NEW, OLD])))
    impostor = "new:" + KEYS[0].partition(":")[2]
    assert impostor != NEW
    code, said = await command(database, f"{impostor},{OLD}", "vault", "rotate")
    assert (code, "the key new is another one than it was" in said) == (1, True)
    assert await key_rotation.count(pool) == {"old": 3}


async def test_nobody_writes_a_secret_while_it_is_being_moved(rig: Rig, database: str, postgres: Postgres) -> None:
    """Else the old one is put back over a token that was just refreshed, or over an application registered anew."""
    name, refused = database.rpartition("/")[2], []
    writes = ("UPDATE connection_secrets SET sealed = sealed", "UPDATE oauth_clients SET sealed_secret = sealed_secret")

    class Contended(Vault):
        def rewrap(self, sealed: bytes, place: Place) -> bytes:
            statement = writes[place.field == "client_secret"]
            try:
                postgres.sql("SET lock_timeout = '100ms'", statement, database=name)
            except subprocess.CalledProcessError as error:
                assert "canceling statement due to lock timeout" in error.stderr  # noqa: PT017
                refused.append(statement)
            return super().rewrap(sealed, place)

    await rig.connect("mastodon")
    moved = await key_rotation.rotate(rig.pool, Contended(LocalRing([NEW, *KEYS])), lambda _: None)
    assert moved == len(refused) == 2
    assert refused == list(writes)


async def test_rotation_says_which_flows_still_need_the_old_key(rig: Rig, database: str) -> None:
    """One that waits for the person to come back, and one that waits for the person to choose."""
    ring = ",".join((NEW, KEYS[0]))
    await key_rotation.check(rig.pool, Vault(LocalRing(KEYS[:1])))
    await rig.started("x")
    assert (await rig.back("facebook", await rig.consented("facebook")))["kind"] == "choose"
    assert await key_rotation.count(rig.pool) == {"one": 3}, "two verifiers, and what there is to choose from"
    code, said = await command(database, ring, "vault", "rotate")
    assert (code, said.splitlines()[-1]) == (
        0,
        "still under one (3): flows that are under way; run it again in twenty minutes",
    )
    code, said = await command(database, ring, "vault", "status")
    assert (code, said.splitlines()) == (0, ["new  seals  0 secrets", "one  opens  3 secrets"])
    code, said = await command(database, NEW, "vault", "status")
    assert "one  MISSING  3 secrets" in said
    await rig.raw("UPDATE oauth_states SET expires_at = now() - interval '1 second', sealed_accounts = NULL")
    code, said = await command(database, ring, "vault", "rotate")
    assert (code, said.splitlines()[-1]) == (0, "every other key can be taken out of LANDFALL_VAULT_KEYS")


async def test_keys_are_shown_once_listed_and_revoked_by_name(database: str) -> None:
    code, said = await command(database, "", "key", "create", "crm", "--scope", "connections:read")
    assert code == 0
    key = said.splitlines()[0]
    assert key.startswith("lf_")
    code, said = await command(database, "", "key", "list")
    assert (key in said, "crm  live  never used  connections:read" in said) == (False, True)
    assert (await command(database, "", "key", "create", "crm"))[0] == 1
    assert (await command(database, "", "key", "create", "x", "--scope", "all"))[0] == 1
    assert (await command(database, "", "key", "revoke", "crm")) == (0, "crm is revoked\n")
    assert (await command(database, "", "key", "revoke", "crm"))[0] == 1


async def test_secrets_move_from_local_keys_to_a_key_service_by_command(pool: Pool, database: str) -> None:
    await filled(pool, Vault(LocalRing(KEYS)))
    code, said = await command(database, "", "serve", ring="tests.keyrings:service")
    assert (code, "secrets are under one, which is not in" in said) == (1, True)
    code, said = await command(database, KEYS[0], "vault", "rotate", ring="tests.keyrings:moving")
    assert (code, "are both set" in said) == (1, True)
    code, said = await command(database, "", "vault", "rotate", ring="tests.keyrings:moving")
    assert code == 0, said
    assert said.endswith("every other key can be taken out of LANDFALL_VAULT_RING\n")
    assert await key_rotation.count(pool) == {KeyService.primary: COUNT}
    await opened(pool, Vault(KeyService()))
    code, said = await command(database, "", "vault", "status", ring="tests.keyrings:service")
    assert (code, said) == (0, f"{KeyService.primary}  seals  {COUNT} secrets\n")
    code, said = await command(database, "", "doctor", ring="tests.keyrings:service")
    assert f"{COUNT} secrets, sealed with {KeyService.primary}" in said


async def test_key_service_that_answers_for_another_key_is_found_out_by_the_canary(pool: Pool) -> None:
    await key_rotation.check(pool, Vault(KeyService()))
    await key_rotation.check(pool, Vault(KeyService()))
    async with tenant_transaction(pool, ALL_TENANTS) as connection:
        kept = await connection.fetchrow("SELECT key_name, sealed FROM vault_canaries")
    assert (kept["key_name"], Vault(moving()).open(kept["sealed"], key_rotation._place(KeyService.primary))) == (
        KeyService.primary,
        key_rotation.CANARY,
    )

    class Impostor(KeyService):
        def unwrap(self, name: str, wrapped: bytes, bound: bytes) -> bytes:
            return bytes(32)

    with pytest.raises(VaultError, match="the secret was changed"):
        await key_rotation.check(pool, Vault(Impostor()))


async def test_key_service_that_is_away_costs_no_account_its_token(rig: Rig) -> None:
    ring = moving()
    [id_] = await rig.connect("x")
    refresher = assembled(rig.pool, Vault(ring), rig.providers).refresher
    await rig.due()
    ring.away = True
    assert await refresher.refresh(id_) == "failed"
    asked = await rig.sandbox.ledger("call", platform="x", path="/2/oauth2/token")
    assert len(asked) == 1, "the code; nothing was rotated that could not be kept"
    ring.away = False
    await rig.due()
    assert await refresher.refresh(id_) == "refreshed"
    assert (await rig.shown(id_))["state"] == "active"
