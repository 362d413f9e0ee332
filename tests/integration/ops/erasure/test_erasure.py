"""Erasure: out of the log, the bytes, the tables and the connections, and no rebuild brings anybody back.

Row I-5 of ``faults.md``.
"""

import json
from typing import Any

import aiohttp
import asyncpg
import pytest
import uuid_utils

from ops.access import api_keys
from ops.cli import wiring
from ops.erasure.requests import request_account
from ops.runtime.db import open_pool
from ops.runtime.platform_protocol import RateLimitStatus
from schema.rights import WEB_ROLE
from schema.tenancy import DEFAULT_TENANT
from sync.rebuild.processes import EVERYTHING
from sync.rebuild.shadow import KEPT, Shadow
from tests.rig import TESTS, Rig
from tests.support import Service, append_event, command, comment, drained, eventually, instagram, sign_meta

ACCOUNT, OTHER = "17841400000000001", "17841400000000002"
PERSON, NEIGHBOUR = "5200000007", "52000000071"
KEPT_REQUEST = {"deletion_requests": 1}
"""Where an id still is until no platform can bring it back."""


async def everywhere(connection: asyncpg.Connection, text: str) -> dict[str, int]:
    """The tables that hold this text anywhere, raw bytes included, and how many rows of each."""
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
        " AND NOT relispartition"
    )
    found = {}
    async with connection.transaction():
        await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
        await connection.execute("SET LOCAL bytea_output = 'escape'")
        for row in tables:
            query = f"SELECT count(*) FROM {row['relname']} t WHERE t::text ~ $1"
            if count := await connection.fetchval(query, f"{text}([^0-9]|$)"):
                found[row["relname"]] = count
    return found


def said(number: int, person: str, account: str = ACCOUNT) -> dict[str, Any]:
    return comment(number, account=account, text=f"n{number}", **{"from": {"id": person, "username": f"u{person}"}})


BODIES = [
    instagram(said(1, PERSON), said(2, NEIGHBOUR)),
    instagram(said(3, NEIGHBOUR)),
    instagram(said(4, NEIGHBOUR, OTHER)),
]


@pytest.fixture
async def filled(service: Service, connection: asyncpg.Connection) -> asyncpg.Connection:
    bodies = BODIES
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
    assert await everywhere(filled, PERSON) == KEPT_REQUEST
    after = await everywhere(filled, NEIGHBOUR)
    assert after["ig_comments"] == before["ig_comments"]
    assert after["webhook_event_log"] == before["webhook_event_log"]
    for again in ("rebuild", "verify"):
        code, text = await command(database, again)
        assert code == 0, text
    assert await everywhere(filled, PERSON) == KEPT_REQUEST
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
    assert await everywhere(filled, ACCOUNT) == KEPT_REQUEST
    assert [row["account_id"] for row in await filled.fetch("SELECT account_id FROM ig_comments")] == [OTHER]


async def delivered(service: Service, connection: asyncpg.Connection, *bodies: bytes) -> None:
    for body in bodies:
        assert (await service.send("instagram", body))[0] == 200
    await drained(connection)


async def test_what_a_platform_brings_back_is_taken_out_again_and_the_id_is_forgotten_in_time(
    filled: asyncpg.Connection, service: Service, database: str
) -> None:
    await command(database, "erase", "instagram", "--person", PERSON, "--yes")
    await delivered(service, filled, BODIES[0])
    assert {"webhook_event_log", "webhook_deliveries", "ig_comments"} <= set(await everywhere(filled, PERSON))
    code, text = await command(database, "erase", "--requested")
    assert (code, text.splitlines()[-1]) == (0, "0 requests carried out, 1 looked at again, 0 of them for good")
    assert "1 events, the bytes of 1 deliveries" in text
    assert await everywhere(filled, PERSON) == KEPT_REQUEST
    assert (await command(database, "rebuild"))[0] == 0
    assert await everywhere(filled, PERSON) == KEPT_REQUEST
    code, text = await command(database, "erase", "--requested")
    assert text == "0 requests carried out, 1 looked at again, 0 of them for good\n", (
        "no rebuild, no audit: nothing came"
    )
    await delivered(service, filled, BODIES[0])
    await filled.execute("UPDATE deletion_requests SET repeat_until = now() - interval '25 hours'")
    _, text = await command(database, "doctor")
    assert "1 people were erased, and are not forgotten" in text
    code, text = await command(database, "erase", "--requested")
    assert (code, text.splitlines()[-1]) == (0, "0 requests carried out, 1 looked at again, 1 of them for good")
    assert await everywhere(filled, PERSON) == {}
    assert await everywhere(filled, f"u{PERSON}") == {}
    assert (await command(database, "verify"))[0] == 0
    assert (await command(database, "erase", "--requested"))[1].startswith("0 requests carried out, 0 looked at again")
    assert "erased" not in (await command(database, "doctor"))[1]
    async with filled.transaction():
        await filled.execute("SELECT set_config('landfall.tenant', '*', true)")
        rows = await filled.fetch("SELECT detail FROM audit_log WHERE action = 'person.erased' ORDER BY id")
    assert [json.loads(row["detail"])["events"] for row in rows] == [1, 1, 1]


async def test_every_copy_of_an_erased_body_is_erased_also_one_that_came_while_it_was(
    filled: asyncpg.Connection, service: Service, database: str
) -> None:
    copies = "SELECT count(*) FROM webhook_deliveries WHERE body_of IS NOT NULL"
    assert await filled.fetchval(copies) == 1
    late = """
        WITH late AS (
            INSERT INTO webhook_deliveries (id, provider, body_of, headers, verdict, secret_used)
            SELECT gen_random_uuid(), provider, id, headers, verdict, secret_used
            FROM webhook_deliveries WHERE body = '' LIMIT 1 RETURNING id, body_of
        )
        INSERT INTO webhook_delivery_outcomes (delivery_id, rule_version, verdict, event_count, new_event_count,
            body_sha256)
        SELECT late.id, o.rule_version, o.verdict, 0, 0, o.body_sha256
        FROM late JOIN webhook_delivery_outcomes o ON o.delivery_id = late.body_of"""
    code, text = await command(database, "erase", "instagram", "--person", PERSON, "--yes")
    assert (code, "the bytes of 2 deliveries" in text) == (0, True), text
    assert await filled.fetchval(copies) == 0
    await filled.execute(late)  # began before the erasure was committed, and so saw what it is the copy of
    assert "1 deliveries are copies of a body that was erased" in (await command(database, "doctor"))[1]
    code, text = await command(database, "erase", "--requested")
    assert (code, "0 events, the bytes of 1 deliveries" in text) == (0, True), text
    assert await filled.fetchval(copies) == 0
    await delivered(service, filled, BODIES[0], BODIES[0])
    found = await filled.fetch(
        """
        SELECT o.body FROM webhook_deliveries d JOIN webhook_deliveries o ON o.id = d.body_of"""
    )
    assert [row["body"] for row in found] == [BODIES[0]]


async def test_id_is_found_behind_whatever_stands_for_a_character(
    service: Service, connection: asyncpg.Connection, database: str
) -> None:
    texts = {5: f"é{PERSON}", 6: f"see\n{PERSON}", 7: json.dumps({"deep": json.dumps({"to": f"\n{PERSON}"})})}
    entries = {number: comment(number, text=text) for number, text in texts.items()}
    raw = [json.dumps({"object": "instagram", "entry": [e]}, ensure_ascii=False).encode() for e in entries.values()]
    escaped = instagram(*entries.values())
    spelled = instagram(comment(8, text="x")).replace(b'"x"', b'"\\u0035200000007"')
    neighbours = instagram(comment(9, text=f"é1{PERSON}"), comment(10, text=f"{PERSON}1"))
    await delivered(service, connection, *raw, escaped, spelled, neighbours)
    code, text = await command(database, "erase", "instagram", "--person", PERSON, "--yes")
    assert (code, "4 events, the bytes of 5 deliveries" in text) == (0, True), text
    assert await everywhere(connection, PERSON) == await everywhere(connection, f"1{PERSON}") | KEPT_REQUEST
    texts_left = {row["text"] for row in await connection.fetch("SELECT text FROM ig_comments")}
    assert texts_left == {f"é1{PERSON}", f"{PERSON}1"}
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries WHERE body = ''") == 5


async def test_username_and_comments_lead_to_the_person_also_when_only_they_come_again(
    service: Service, connection: asyncpg.Connection, database: str
) -> None:
    by_name = instagram(comment(11, text="no id", **{"from": {"username": f"u{PERSON}"}}))
    mentioned = instagram(comment(12, text=f"hello @U{PERSON}."))
    named_by_comment = instagram(
        {
            "id": ACCOUNT,
            "time": 1_760_000_001,
            "changes": [{"field": "mentions", "value": {"media_id": "17901", "comment_id": "178500000001"}}],
        }
    )
    others = instagram(
        comment(13, text=f"u{PERSON} without a sign, and @u{PERSON}.x"),
        comment(14, text="an answer", parent_id="178500000001"),
    )
    await delivered(service, connection, BODIES[0], by_name, mentioned, named_by_comment, others)
    comments = await connection.fetch("SELECT ig_id FROM ig_comments ORDER BY ig_id")
    assert len(comments) == 6
    code, text = await command(database, "erase", "instagram", "--person", PERSON, "--yes")
    assert (code, "4 events, the bytes of 4 deliveries" in text) == (0, True), text
    await delivered(service, connection, by_name, mentioned, named_by_comment)
    code, text = await command(database, "erase", "--requested")
    assert (code, "3 events, the bytes of 3 deliveries" in text) == (0, True), text
    left = [row["ig_id"] for row in await connection.fetch("SELECT ig_id FROM ig_comments ORDER BY 1")]
    assert left == [f"1785{number:08d}" for number in (2, 13, 14)]
    tasks = [row["object_id"] for row in await connection.fetch("SELECT object_id FROM pull_tasks")]
    assert "178500000001" not in tasks, "nothing would read the comment again"


async def test_what_an_interrupted_rebuild_left_brings_nobody_back(filled: asyncpg.Connection, database: str) -> None:
    interrupted = await asyncpg.connect(database)
    left = Shadow(interrupted, wiring.projections(), ["instagram"])
    await left.open()
    await left.fold(EVERYTHING)
    assert await filled.fetchval(f"SELECT count(*) FROM {KEPT}.folded") == 4
    code, text = await command(database, "erase", "instagram", "--person", PERSON, "--yes")
    assert (code, "a rebuild is under way" in text) == (1, True)
    await interrupted.close()
    code, text = await command(database, "erase", "--requested")
    assert code == 0, text
    assert await everywhere(filled, PERSON) == KEPT_REQUEST
    assert (await command(database, "verify"))[0] == 0


async def test_erasure_that_dies_before_its_rebuild_is_finished_by_the_next(
    filled: asyncpg.Connection, database: str
) -> None:
    code, _ = await command(
        database, "erase", "instagram", "--person", PERSON, "--yes", LANDFALL_FAULT="exit:1:/dev/null"
    )
    assert code == 137
    assert set(await everywhere(filled, PERSON)) == {"deletion_requests", "ig_comments"}
    assert await filled.fetchval("SELECT done_at FROM deletion_requests") is None
    await filled.execute("INSERT INTO deletion_requests (code, platform, user_id) VALUES ('odd', 'instagram', '.')")
    _, text = await command(database, "doctor")
    assert "2 people asked to be erased" in text
    code, text = await command(database, "erase", "--requested")
    assert "request odd names no id that a platform gives" in text, "and the others are carried out all the same"
    assert (code, text.splitlines()[-1]) == (0, "1 requests carried out, 0 looked at again, 0 of them for good")
    assert await everywhere(filled, PERSON) == KEPT_REQUEST
    assert await filled.fetchval("SELECT done_at FROM deletion_requests WHERE code <> 'odd'") is not None


async def test_invalid_requests_erase_nothing(filled: asyncpg.Connection, database: str) -> None:
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


async def test_request_that_came_by_way_of_meta_is_carried_out_and_can_be_looked_up(
    rig: Rig, database: str, connection: asyncpg.Connection
) -> None:
    [id_] = await rig.connect("instagram")
    account = (await rig.shown(id_))["account_id"]
    await append_event(connection, account, "e1", payload={"id": "c1", "text": "x", "media": {"id": "m1"}})
    await rig.providers.client.rate_limits.note("instagram", "", account, [RateLimitStatus(96)])
    address = f"{rig.url}/api/auth/instagram/deletion"
    await rig.sandbox.command("webhooks", platform="instagram", stream="deletion", url=address)
    await rig.sandbox.command("act", platform="instagram", what="erase", account="shop")

    async def answered() -> Any:
        found = await rig.sandbox.ledger("webhook", platform="instagram")
        return [entry for entry in found if entry["status"] == 200]

    [entry] = await eventually(answered, 5)
    told = json.loads(entry["answer"])
    assert told["url"].endswith(told["confirmation_code"])
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    async with rig.http.post(address, data=entry["body"], headers=form) as response:
        assert await response.json() == told, "the same request again"
    async with rig.http.post(address, data="signed_request=x.y", headers=form) as response:
        assert response.status == 401
    assert (await rig.shown(id_))["state"] == "needs_reconnect"
    async with rig.http.get(told["url"]) as response:
        assert "In progress" in await response.text()
    code, text = await command(database, "erase", "--requested")
    assert (code, text.splitlines()[-1]) == (0, "1 requests carried out, 0 looked at again, 0 of them for good")
    async with rig.http.get(told["url"]) as response:
        assert "was deleted on" in await response.text()
    async with rig.http.get(told["url"] + "0") as response:
        assert response.status == 404
    assert (await rig.api("GET", f"/api/connections/{id_}"))[0] == 404
    assert await everywhere(connection, account) == KEPT_REQUEST
    await append_event(connection, account, "e1", payload={"id": "c1", "text": "x", "media": {"id": "m1"}})
    code, text = await command(database, "erase", "--requested")
    assert (code, "1 events" in text) == (0, True), "only the connection knew the account's id, and it is gone"
    assert await everywhere(connection, account) == KEPT_REQUEST
    async with rig.http.get(told["url"]) as response:
        assert "was deleted on" in await response.text()


async def test_connection_that_is_newer_than_the_request_stays(
    rig: Rig, database: str, connection: asyncpg.Connection
) -> None:
    [id_] = await rig.connect("instagram")
    account = (await rig.shown(id_))["account_id"]
    await append_event(connection, account, "e1", payload={"id": "c1", "text": "x", "media": {"id": "m1"}})
    await connection.execute(
        "INSERT INTO deletion_requests (code, platform, user_id) VALUES ('c', 'instagram', $1)", account
    )
    await rig.connect("instagram")
    code, text = await command(database, "erase", "--requested")
    assert (code, "1 events" in text, "0 connections are gone" in text) == (0, True, True), text
    assert (await rig.shown(id_))["state"] == "active"
    code, text = await command(database, "erase", "--requested")
    assert text.endswith("0 requests carried out, 1 looked at again, 1 of them for good\n")


async def test_every_tenant_that_had_the_account_is_told_and_who_comes_back_is_left_alone(
    rig: Rig, database: str, connection: asyncpg.Connection
) -> None:
    other = str(uuid_utils.uuid7())
    await connection.execute("INSERT INTO tenants (id, name) VALUES ($1::uuid, 'other')", other)
    theirs = await api_keys.create(rig.pool, other, "k", api_keys.SCOPES, TESTS)
    [id_] = await rig.connect("instagram")
    await rig.connect("instagram", key=theirs)
    account = (await rig.shown(id_))["account_id"]
    await append_event(connection, account, "e1", payload={"id": "c1", "text": "x", "media": {"id": "m1"}})
    code, text = await command(database, "erase", "instagram", "--account", account, "--yes")
    assert (code, "1 events" in text, "2 connections are gone" in text) == (0, True, True), text
    assert await everywhere(connection, account) == KEPT_REQUEST
    assert await everywhere(connection, id_) == {"audit_log": 1}, "that it was connected, and not what"
    await append_event(connection, account, "e2", payload={"id": "c1", "text": "x", "media": {"id": "m1"}})
    assert (await command(database, "erase", "--requested"))[0] == 0
    told = await rig.raw(
        "SELECT tenant_id::text, detail FROM audit_log WHERE action = 'person.erased' ORDER BY tenant_id, id"
    )
    expected = {"events": 1, "deliveries": 0}
    assert [(row["tenant_id"], json.loads(row["detail"])) for row in told] == [
        (tenant, expected | {"connections": connections})
        for tenant in (DEFAULT_TENANT, other)
        for connections in (1, 0)
    ]
    [again] = await rig.connect("instagram")
    await append_event(connection, account, "e3", payload={"id": "c2", "text": "y", "media": {"id": "m1"}})
    code, text = await command(database, "erase", "--requested")
    assert (code, text) == (0, "0 requests carried out, 1 looked at again, 1 of them for good\n")
    assert (await rig.shown(again))["account_id"] == account
    assert (await everywhere(connection, account)).keys() == {
        "connections",
        "webhook_event_log",
        "webhook_event_queue",
    }


# --- a tenant asks for an account of its own


class Shared:
    """An account that two tenants have connected, and an event of it."""

    def __init__(self, rig: Rig, connection: asyncpg.Connection, database: str) -> None:
        self.rig = rig
        self.connection = connection
        self.database = database
        self.other = str(uuid_utils.uuid7())
        self.account = self.ours = self.theirs = self.their_key = ""

    async def connected(self) -> "Shared":
        await self.connection.execute("INSERT INTO tenants (id, name) VALUES ($1::uuid, 'other')", self.other)
        self.their_key = await api_keys.create(self.rig.pool, self.other, "k", api_keys.SCOPES, TESTS)
        [self.ours] = await self.rig.connect("instagram")
        [self.theirs] = await self.rig.connect("instagram", key=self.their_key)
        self.account = (await self.rig.shown(self.ours))["account_id"]
        await self.event("e1")
        return self

    async def event(self, name: str) -> None:
        payload = {"id": f"c{name}", "text": "x", "media": {"id": "m1"}}
        await append_event(self.connection, self.account, name, payload=payload)

    async def ask(self, tenant: str, id_: str) -> str | None:
        """As the web process asks: in its role, on a connection of its own."""
        async with await open_pool(self.database, "test", 1, role=WEB_ROLE) as pool:
            return await request_account(pool, tenant, id_, TESTS)

    async def run(self) -> list[str]:
        code, text = await command(self.database, "erase", "--requested")
        assert code == 0, text
        return text.splitlines()

    async def tables(self) -> set[str]:
        return set(await everywhere(self.connection, self.account))

    async def tenants(self) -> list[tuple[str, str]]:
        rows = await self.rig.raw("SELECT tenant_id::text, state FROM connections ORDER BY created_at")
        return [tuple(row) for row in rows]

    async def disconnect(self, id_: str, key: str) -> None:
        headers = {"Authorization": f"Bearer {key}"}
        async with self.rig.http.delete(f"{self.rig.url}/api/connections/{id_}", headers=headers) as response:
            assert response.status in (200, 202, 204), await response.text()


@pytest.fixture
async def shared(rig: Rig, database: str, connection: asyncpg.Connection) -> Shared:
    return await Shared(rig, connection, database).connected()


WAITS = "1 requests of tenants wait: another tenant has the account connected"


async def test_request_of_one_tenant_takes_its_connection_and_nothing_that_another_one_has(shared: Shared) -> None:
    code = await shared.ask(DEFAULT_TENANT, shared.ours)
    assert code is not None
    assert await shared.ask(DEFAULT_TENANT, shared.ours) == code, "asked again, it is the same request"
    assert await shared.ask(shared.other, shared.ours) is None, "of another tenant there is no such connection"
    assert await shared.tenants() == [(DEFAULT_TENANT, "active"), (shared.other, "active")], "nothing before the run"
    _, text = await command(shared.database, "doctor")
    assert "1 people asked to be erased" in text
    said = await shared.run()
    assert "0 events, the bytes of 0 deliveries, 0 samples of refused requests and 1 connections are gone" in said
    assert said[-2:] == [WAITS, "0 requests carried out, 0 looked at again, 0 of them for good"]
    assert await shared.tenants() == [(shared.other, "active")]
    assert {"webhook_event_log", "connections", "deletion_requests"} <= await shared.tables()
    assert (await command(shared.database, "verify"))[0] == 0
    assert await shared.run() == [WAITS, "0 requests carried out, 0 looked at again, 0 of them for good"]
    _, text = await command(shared.database, "doctor")
    assert "1 requests of tenants wait until no other tenant has the account connected" in text
    assert "asked to be erased" not in text
    async with shared.rig.http.get(f"{shared.rig.url}/deletions/{code}") as response:
        assert "In progress" in await response.text()
    told = await shared.rig.raw("SELECT tenant_id::text, detail FROM audit_log WHERE action = 'person.erased'")
    assert [(row["tenant_id"], json.loads(row["detail"])["connections"]) for row in told] == [(DEFAULT_TENANT, 1)], (
        "the other tenant is told nothing, and the waiting request is noted once"
    )
    asked = await shared.rig.raw("SELECT tenant_id::text FROM audit_log WHERE action = 'connection.deletion_requested'")
    assert {row[0] for row in asked} == {DEFAULT_TENANT}


async def test_request_that_waited_is_carried_out_when_no_other_tenant_has_the_account(shared: Shared) -> None:
    code = await shared.ask(DEFAULT_TENANT, shared.ours)
    await shared.run()
    await shared.event("e2")
    await shared.disconnect(shared.theirs, shared.their_key)
    said = await shared.run()
    assert any(line.startswith("2 events") for line in said), said
    assert said[-1] == "1 requests carried out, 0 looked at again, 0 of them for good"
    assert await everywhere(shared.connection, shared.account) == KEPT_REQUEST
    assert await shared.tenants() == []
    async with shared.rig.http.get(f"{shared.rig.url}/deletions/{code}") as response:
        assert "was deleted on" in await response.text()
    await shared.event("e1")
    assert (await shared.run())[-1] == "0 requests carried out, 1 looked at again, 0 of them for good"
    assert await everywhere(shared.connection, shared.account) == KEPT_REQUEST


async def test_tenant_that_connects_while_a_request_waits_keeps_what_it_has(shared: Shared) -> None:
    """Also one that connected after the request, and before it was carried out."""
    await shared.disconnect(shared.theirs, shared.their_key)
    await shared.ask(DEFAULT_TENANT, shared.ours)
    await shared.rig.connect("instagram", key=shared.their_key)
    assert (await shared.run())[-2] == WAITS
    assert await shared.tenants() == [(shared.other, "active")]
    assert "webhook_event_log" in await shared.tables()


async def test_tenant_that_connects_again_while_its_request_waits_has_taken_it_back(shared: Shared) -> None:
    await shared.ask(DEFAULT_TENANT, shared.ours)
    await shared.run()
    await shared.rig.connect("instagram")
    assert (await shared.run())[-1] == "1 requests carried out, 0 looked at again, 0 of them for good"
    assert (await shared.run())[-1] == "0 requests carried out, 1 looked at again, 1 of them for good"
    await shared.disconnect(shared.theirs, shared.their_key)
    assert (await shared.run())[-1] == "0 requests carried out, 0 looked at again, 0 of them for good"
    assert "webhook_event_log" in await shared.tables(), "what it has agreed to since stays"
    assert (DEFAULT_TENANT, "active") in await shared.tenants()


async def test_request_of_a_tenant_leaves_what_the_account_wrote_at_accounts_of_others(shared: Shared) -> None:
    """A comment on another tenant's media is that tenant's row; one at an account that nobody else has goes."""
    await shared.disconnect(shared.theirs, shared.their_key)
    await shared.rig.raw(
        """
        INSERT INTO connections (tenant_id, id, platform, account_id, other_ids, username, scopes, profile, state,
            authorized_at)
        VALUES ($1::uuid, gen_random_uuid(), 'instagram', $2, '{}', 'u', '{}', '{}', 'active', now())""",
        shared.other,
        OTHER,
    )
    written = {"media": {"id": "m2"}, "from": {"id": shared.account, "username": "shop"}, "text": "hello"}
    await append_event(shared.connection, OTHER, "e2", payload={"id": "c2", **written})
    await append_event(shared.connection, ACCOUNT, "e3", payload={"id": "c3", **written})
    await shared.ask(DEFAULT_TENANT, shared.ours)
    said = await shared.run()
    assert any(line.startswith("2 events") for line in said), said
    left = await shared.connection.fetch("SELECT account_id, external_id FROM webhook_event_log")
    assert [tuple(row) for row in left] == [(OTHER, "e2")]
    assert OTHER in {row[0] for row in await shared.rig.raw("SELECT account_id FROM connections")}


async def test_request_of_a_tenant_is_about_one_instance(shared: Shared) -> None:
    """Two instances may give two people the same id."""
    for tenant, instance in ((DEFAULT_TENANT, "a.example"), (DEFAULT_TENANT, "b.example"), (shared.other, "b.example")):
        await shared.rig.raw(
            """
            INSERT INTO connections (tenant_id, id, platform, instance, account_id, other_ids, username, scopes,
                profile, state, authorized_at)
            VALUES ($1::uuid, gen_random_uuid(), 'mastodon', $2, '109000001', '{}', 'u', '{}',
                '{}', 'active', now())""",
            tenant,
            instance,
        )
    [[id_]] = await shared.rig.raw("SELECT id::text FROM connections WHERE instance = 'a.example'")
    await shared.ask(DEFAULT_TENANT, id_)
    assert (await shared.run())[-1] == "1 requests carried out, 0 looked at again, 0 of them for good"
    left = await shared.rig.raw("SELECT instance FROM connections WHERE platform = 'mastodon' ORDER BY created_at")
    assert [row[0] for row in left] == ["b.example", "b.example"]
