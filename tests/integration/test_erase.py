"""Erasure: out of the log, the bytes, the tables and the connections, and no rebuild brings anybody back."""

import asyncio
import json
import os
import sys
from typing import Any

import aiohttp
import asyncpg
import pytest

from publish.contract import Usage
from tests.rig import rigged
from tests.support import ENVIRONMENT, Service, append_event, comment, drained, eventually, instagram, sign_meta

ACCOUNT, OTHER = "17841400000000001", "17841400000000002"
PERSON, NEIGHBOUR = "5200000007", "52000000071"


async def command(database: str, *arguments: str) -> tuple[int, str]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "ops.cli.main", *arguments, cwd="/",
        env={"PATH": os.environ["PATH"], "DATABASE_URL": database} | ENVIRONMENT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await child.communicate()
    assert b"Traceback" not in output, output.decode()
    assert child.returncode is not None
    return child.returncode, output.decode()


async def everywhere(connection: asyncpg.Connection, text: str) -> dict[str, int]:
    """The tables that hold this text anywhere, raw bytes included, and how many rows of each."""
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    found = {}
    async with connection.transaction():
        await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
        await connection.execute("SET LOCAL bytea_output = 'escape'")
        for row in tables:
            query = f"SELECT count(*) FROM {row['relname']} t WHERE t::text ~ $1"
            if count := await connection.fetchval(query, f"(^|[^0-9]){text}([^0-9]|$)"):
                found[row["relname"]] = count
    return found


def said(number: int, person: str, account: str = ACCOUNT) -> dict[str, Any]:
    return comment(number, account=account, text=f"n{number}", **{"from": {"id": person, "username": f"u{person}"}})


@pytest.fixture
async def filled(service: Service, connection: asyncpg.Connection) -> asyncpg.Connection:
    bodies = [
        instagram(said(1, PERSON), said(2, NEIGHBOUR)),
        instagram(said(3, NEIGHBOUR)),
        instagram(said(4, NEIGHBOUR, OTHER)),
    ]
    forged = {"X-Hub-Signature-256": "sha256=" + "0" * 64}
    async with aiohttp.ClientSession() as http:
        for body, headers in [*((body, sign_meta(body)) for body in (*bodies, bodies[0])), (bodies[0], forged)]:
            async with http.post(f"{service.url}/api/webhooks/instagram", data=body, headers=headers) as response:
                assert response.status == (401 if headers is forged else 200)
    await drained(connection)
    return connection


async def test_person_is_gone_from_everything_and_a_neighbour_of_almost_the_same_id_is_not(
    filled: asyncpg.Connection, database: str
) -> None:
    before = await everywhere(filled, NEIGHBOUR)
    assert {"webhook_event_log", "webhook_deliveries", "ig_comments"} <= set(await everywhere(filled, PERSON))
    code, text = await command(database, "erase", "instagram", "--person", PERSON, "--yes")
    assert code == 0, text
    assert "1 events, the bytes of 2 deliveries" in text
    assert await everywhere(filled, PERSON) == {}
    after = await everywhere(filled, NEIGHBOUR)
    assert after["ig_comments"] == before["ig_comments"]
    assert after["webhook_event_log"] == before["webhook_event_log"]
    for again in ("rebuild", "verify"):
        code, text = await command(database, again)
        assert code == 0, text
    assert await everywhere(filled, PERSON) == {}
    code, text = await command(database, "erase", "instagram", "--person", PERSON, "--yes")
    assert (code, text.startswith("0 events, the bytes of 0 deliveries")) == (0, True)
    async with filled.transaction():
        await filled.execute("SELECT set_config('landfall.tenant', '*', true)")
        rows = await filled.fetch("SELECT subject, detail FROM audit_log WHERE action = 'person.erased'")
    assert [json.loads(row["detail"])["events"] for row in rows] == [1, 0]
    assert all(PERSON not in row["subject"] for row in rows)


async def test_account_is_gone_with_all_that_was_said_there(filled: asyncpg.Connection, database: str) -> None:
    code, text = await command(database, "erase", "instagram", "--account", ACCOUNT, "--yes")
    assert code == 0, text
    assert await everywhere(filled, ACCOUNT) == {}
    assert [row["account_id"] for row in await filled.fetch("SELECT account_id FROM ig_comments")] == [OTHER]


async def test_wrong_wishes_erase_nothing(filled: asyncpg.Connection, database: str) -> None:
    for arguments in (
        ("myspace", "--person", PERSON, "--yes"),
        ("instagram", "--yes"),
        ("instagram", "--person", PERSON, "--account", ACCOUNT, "--yes"),
        ("instagram", "--person", ".*", "--yes"),
        ("instagram", "--person", PERSON),
    ):
        code, _ = await command(database, "erase", *arguments)
        assert code != 0
    assert "ig_comments" in await everywhere(filled, PERSON)


async def test_wish_that_came_by_way_of_meta_is_carried_out_and_can_be_looked_up(
    database: str, connection: asyncpg.Connection
) -> None:
    async with rigged(database, connection) as rig:
        [id_] = await rig.connect("instagram")
        account = (await rig.shown(id_))["account_id"]
        await append_event(connection, account, "e1", payload={"id": "c1", "text": "x", "media": {"id": "m1"}})
        await rig.outside.budgets.note("instagram", "", account, [Usage(96)])
        address = f"{rig.url}/api/auth/instagram/deletion"
        await rig.sandbox.wish("webhooks", platform="instagram", stream="deletion", url=address)
        await rig.sandbox.wish("act", platform="instagram", what="erase", account="shop")

        async def answered() -> Any:
            found = await rig.sandbox.ledger("webhook", platform="instagram")
            return [entry for entry in found if entry["status"] == 200]

        [entry] = await eventually(answered, 5)
        told = json.loads(entry["answer"])
        assert told["url"].endswith(told["confirmation_code"])
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        async with rig.http.post(address, data=entry["body"], headers=form) as response:
            assert await response.json() == told, "the same wish again"
        async with rig.http.post(address, data="signed_request=x.y", headers=form) as response:
            assert response.status == 401
        assert (await rig.shown(id_))["state"] == "needs_reconnect"
        async with rig.http.get(told["url"]) as response:
            assert "In hand" in await response.text()
        code, text = await command(database, "erase", "--requested")
        assert (code, text.splitlines()[-1]) == (0, "1 requests carried out")
        async with rig.http.get(told["url"]) as response:
            assert "was deleted on" in await response.text()
        async with rig.http.get(told["url"] + "0") as response:
            assert response.status == 404
        assert (await rig.api("GET", f"/api/connections/{id_}"))[0] == 404
    assert await everywhere(connection, account) == {}
