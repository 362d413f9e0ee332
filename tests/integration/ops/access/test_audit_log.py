"""The audit log: who did what, when, from where; and nobody takes it back, the owner of the database neither."""

import json
from typing import Any

import asyncpg
import pytest

from ops.access import api_keys, login_throttle, sessions, tenants, users
from ops.access.audit_log_store import Actor, audit
from ops.runtime.tenancy import tenant_transaction
from schema.tenancy import DEFAULT_TENANT
from tests.rig import TESTS, Rig, join

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"


async def noted(rig: Rig, action: str, subject: str = "") -> list[dict[str, Any]]:
    rows = await rig.raw(
        "SELECT actor, host(address) AS address, subject, detail FROM audit_log"
        " WHERE action = $1 AND $2 IN ('', subject) ORDER BY id",
        action,
        subject,
    )
    return [dict(row) | {"detail": json.loads(row["detail"])} for row in rows]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'nobody'",
        "UPDATE audit_log SET actor = 'nobody' WHERE false",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
    ],
)
async def test_nobody_changes_what_was_said(rig: Rig, statement: str) -> None:
    before = await rig.raw("SELECT * FROM audit_log")
    assert before
    with pytest.raises(asyncpg.RestrictViolationError, match="what was done stays said"):
        await rig.raw(statement)
    assert await rig.raw("SELECT * FROM audit_log") == before
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with tenant_transaction(rig.pool, "*") as connection:
            await connection.execute(statement)


async def test_connection_has_its_whole_story(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    await rig.sandbox.command("faults", platform="tiktok", times=0, status=503)
    for _ in range(2):
        await rig.due()
        assert await rig.refresher.refresh(id_) == "failed"
    assert (await rig.api("DELETE", f"/api/connections/{id_}"))[0] == 200
    rows = await rig.raw(
        "SELECT action, actor, host(address) AS address, detail FROM audit_log WHERE subject = $1 ORDER BY id", id_
    )
    assert [(row["action"], row["actor"], row["address"]) for row in rows] == [
        ("connection.connected", "key:tests", "127.0.0.1"),
        ("connection.refresh_failed", "worker", None),
        ("connection.refresh_failed", "worker", None),
        ("connection.disconnected", "key:tests", "127.0.0.1"),
    ]
    failures = [json.loads(row["detail"]) for row in rows[1:3]]
    assert [(failure["kind"], failure["in_a_row"]) for failure in failures] == [("transient", 1), ("transient", 2)]
    assert all("code" in failure for failure in failures)


async def test_use_of_a_key_is_noted_at_first_and_from_elsewhere_and_after_it_was_revoked(rig: Rig) -> None:
    async def used(key: str, address: str) -> bool:
        return await api_keys.authenticate(rig.pool, key, address) is not None

    key = await api_keys.create(rig.pool, DEFAULT_TENANT, "crm", api_keys.DEFAULT_SCOPES, TESTS)
    for address in ("203.0.113.1", "203.0.113.1", "203.0.113.2", "203.0.113.1", "203.0.113.2"):
        assert await used(key, address)
    assert [entry["address"] for entry in await noted(rig, "key.used", "crm")] == ["203.0.113.1", "203.0.113.2"]
    assert {entry["actor"] for entry in await noted(rig, "key.used", "crm")} == {"key:crm"}
    listed = {key.name: key for key in await api_keys.list_keys(rig.pool, DEFAULT_TENANT)}
    assert listed["crm"].last_used_from == "203.0.113.2"
    await api_keys.revoke(rig.pool, DEFAULT_TENANT, "crm", TESTS)
    for _ in range(3):
        assert not await used(key, "203.0.113.9")
    assert not await used("lf_made_up", "203.0.113.9")
    assert [(entry["actor"], entry["address"]) for entry in await noted(rig, "key.refused")] == [
        ("key:crm", "203.0.113.9")
    ]
    [row] = await rig.raw("SELECT host(last_used_from) AS last_used_from FROM api_keys WHERE name = 'crm'")
    assert row["last_used_from"] == "203.0.113.2", "a refused try is no use"
    idle = await api_keys.create(rig.pool, DEFAULT_TENANT, "idle", api_keys.DEFAULT_SCOPES, TESTS)
    assert await used(idle, "203.0.113.1")
    [[first]] = await rig.raw("SELECT last_used_at FROM api_keys WHERE name = 'idle'")
    await rig.raw("UPDATE api_keys SET last_used_at = now() - interval '2 minutes' WHERE name = 'idle'")
    assert await used(idle, "203.0.113.1")
    [[again]] = await rig.raw("SELECT last_used_at FROM api_keys WHERE name = 'idle'")
    assert again > first
    assert len(await noted(rig, "key.used", "idle")) == 1, "the same hour"


async def test_logins_are_noted_with_the_refused_and_the_one_that_was_too_many(rig: Rig) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, EMAIL, PASSWORD, "owner", TESTS)
    other = await tenants.add(rig.connection, "other", TESTS)
    await join(rig, other, EMAIL, "viewer")
    for _ in range(login_throttle.MAX_ATTEMPTS_BY_EMAIL):
        assert await sessions.login(rig.pool, EMAIL, "wrong", "203.0.113.9") is None
    for _ in range(3):
        with pytest.raises(login_throttle.TooManyAttemptsError):
            await sessions.login(rig.pool, EMAIL, PASSWORD, "203.0.113.9")
    assert len(await noted(rig, "user.refused", EMAIL)) == 2 * login_throttle.MAX_ATTEMPTS_BY_EMAIL, "at both tenants"
    throttled = await noted(rig, "user.throttled", EMAIL)
    assert [entry["address"] for entry in throttled] == ["203.0.113.9"] * 2
    assert await sessions.login(rig.pool, "nobody@example.org", "wrong", "203.0.113.9") is None
    assert await noted(rig, "user.refused", "nobody@example.org") == [], "it is nobody's log"
    await rig.connection.execute("DELETE FROM login_failures")
    person = await sessions.login(rig.pool, EMAIL, PASSWORD, "203.0.113.10")
    assert person is not None
    again = await sessions.change_password(rig.pool, person, PASSWORD, "another long password", "203.0.113.10")
    assert again is not None
    await sessions.logout(rig.pool, again, "203.0.113.11")
    for action, count, address in (
        ("user.logged_in", 1, "203.0.113.10"),
        ("user.password_changed", 1, "203.0.113.10"),
        ("user.logged_out", 1, "203.0.113.11"),
    ):
        entries = await noted(rig, action, EMAIL)
        assert [(entry["actor"], entry["address"]) for entry in entries] == [(f"user:{EMAIL}", address)] * count, action


async def test_page_and_programs_read_it_newest_first_in_parts(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        for number in range(450):
            await audit(connection, DEFAULT_TENANT, Actor("tests", "2001:db8::7"), "test.done", f"n{number}", of=[1, 2])
    total = (await rig.raw("SELECT count(*) FROM audit_log"))[0][0]
    seen: list[dict[str, Any]] = []
    before = ""
    for _ in range(3):
        status, found = await rig.api("GET", f"/api/audit{before}")
        assert status == 200
        seen += found["entries"]
        before = f"?before={found['before']}"
    assert found["before"] is None
    assert [entry["subject"] for entry in seen[:3]] == ["n449", "n448", "n447"]
    assert (len(seen), len({entry["id"] for entry in seen})) == (total, total)
    assert seen[0]["address"] == "2001:db8::7"
    connected = next(entry for entry in seen if entry["action"] == "connection.connected")
    assert (connected["subject"], connected["platform"], connected["username"]) == (id_, "tiktok", "shop")
    for wrong in ("x", "-1", "9" * 30, "", "1.5"):
        status, answer = await rig.api("GET", f"/api/audit?before={wrong}")
        assert (status, answer["error"]["code"]) == (400, "invalid_request")
    narrow = await api_keys.create(rig.pool, DEFAULT_TENANT, "narrow", api_keys.DEFAULT_SCOPES, TESTS)
    status, answer = await rig.api("GET", "/api/audit", headers={"Authorization": f"Bearer {narrow}"})
    assert (status, "audit:read" in answer["error"]["message"]) == (403, True)

    await users.add(rig.pool, DEFAULT_TENANT, EMAIL, PASSWORD, "owner", TESTS)
    async with rig.http.post(f"{rig.url}/login", data={"email": EMAIL, "password": PASSWORD}):
        pass

    async def page(query: str) -> str:
        async with rig.http.get(f"{rig.url}/audit{query}") as response:
            assert response.status == 200
            return await response.text()

    newest = await page("")
    assert ("user.logged_in" in newest, "of 1 2" in newest, "2001:db8::7" in newest) == (True, True, True)
    assert (">Newer</a>" in newest, ">Older</a>" in newest) == (False, True)
    ids = [row["id"] for row in await rig.raw("SELECT id FROM audit_log ORDER BY id DESC")]
    older = await page(f"?before={ids[199]}")
    assert (f"?after={ids[200]}" in older, f"?before={ids[399]}" in older) == (True, True)
    assert await page(f"?after={ids[200]}") == newest, "and back again"
    oldest = await page(f"?before={ids[-2]}")
    assert (oldest.count("<tr>"), ">Older</a>" in oldest) == (2, False)
