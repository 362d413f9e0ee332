"""What whoever is woken at night sees of the connections, and how they are tried again."""

import json
from datetime import UTC, datetime

from ops.runtime.http import TRIES
from publish.connections.refresh import SEALED
from publish.vault.envelope import new_key
from tests.rig import KEYS, Rig
from tests.support import command


async def test_what_needs_somebody_comes_first_and_says_why(rig: Rig, database: str) -> None:
    [x] = await rig.connect("x")
    [tiktok] = await rig.connect("tiktok")
    await rig.connect("mastodon")
    await rig.sandbox.command("act", platform="tiktok", what="revoke", account="shop")
    await rig.sandbox.command("faults", platform="x", times=1, status=503)
    await rig.due()
    await rig.refresher._round()
    code, text = await command(database, "connections", "list")
    lines = text.splitlines()
    assert (code, lines[-1]) == (0, "3 connections")
    assert [line.split()[1:4] for line in lines[:-1]] == [
        ["needs_reconnect", "tiktok", "shop"],
        ["active", "x", "shop"],
        ["active", "mastodon", "shop@social.example"],
    ]
    assert "connect the account again" in lines[0]
    today = datetime.now(UTC).date()
    assert f"failed 1 times since {today}, tried again by itself: The platform is in trouble" in lines[1]
    code, text = await command(database, "connections", "list", "--state", "active", "--platform", "x", "--json")
    assert (code, [json.loads(line)["id"] for line in text.splitlines()]) == (0, [x])
    found = await rig.shown(x)
    assert (found["state"], "The platform is in trouble" in found["trouble"]) == ("active", True)
    assert (await rig.shown(tiktok))["trouble"] is None


async def test_what_was_mended_is_tried_again_at_once(rig: Rig, database: str) -> None:
    [x] = await rig.connect("x")
    [page, *_] = await rig.connect("facebook")
    await rig.connect("tiktok")
    await rig.sandbox.command("faults", platform="x", times=1, status=503)
    await rig.sandbox.command("faults", platform="facebook", times=TRIES, status=503)
    await rig.due()
    for id_ in (x, page):
        assert await rig.refresher.refresh(id_) == "failed"
    await rig.raw("UPDATE connections SET check_due_at = now() + interval '1 day' WHERE id <> $1::uuid", page)
    await rig.raw("UPDATE connections SET refresh_due_at = now() + interval '1 day' WHERE platform = 'tiktok'")
    assert (await rig.refresher.refresh(x), await rig.refresher.refresh(page)) == ("leased", "leased")
    code, text = await command(database, "connections", "retry", "--platform", "x")
    assert (code, text.startswith("1 connections")) == (0, True)
    assert (await rig.refresher.refresh(x), await rig.refresher.refresh(page)) == ("refreshed", "leased")
    assert (await command(database, "connections", "retry"))[1].startswith("1 connections")
    assert await rig.refresher.refresh(page) == "checked"
    assert (await command(database, "connections", "retry"))[1].startswith("0 connections")
    assert (await rig.shown(x))["trouble"] is None


async def test_doctor_finds_a_worker_that_refreshes_nothing(rig: Rig, database: str) -> None:
    await rig.connect("x")
    keys = ",".join(KEYS)
    _, text = await command(database, "doctor", LANDFALL_VAULT_KEYS=keys)
    assert "refreshes" not in text
    await rig.raw("UPDATE connections SET refresh_due_at = now() - interval '11 minutes'")
    code, text = await command(database, "doctor", LANDFALL_VAULT_KEYS=keys)
    assert (code, "1 connections should have been refreshed or checked 10 minutes ago" in text) == (1, True)


async def test_key_that_is_missing_is_said_to_people_without_its_name(rig: Rig) -> None:
    [x] = await rig.connect("x")
    await rig.due()
    rig.refresher._vault._ring._keys = {new_key().partition(":")[0]: None}  # type: ignore[attr-defined]
    assert await rig.refresher.refresh(x) == "failed"
    assert (await rig.shown(x))["trouble"] == SEALED
