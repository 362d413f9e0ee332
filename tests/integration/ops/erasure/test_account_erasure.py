"""Everything of a connected account can be forgotten: it asks first, is for owners, and says what was done."""

import asyncpg
import pytest

from ops.access import api_keys, tenants, users
from schema.tenancy import DEFAULT_TENANT
from tests.integration.ops.access.test_users import EMAIL, PASSWORD, logged_in, page, post
from tests.integration.ops.web.pages.test_confirmation import confirmed, told
from tests.rig import TESTS, Rig
from tests.support import append_event, command

EVE = "eve@example.org"
NOBODY = "00000000-0000-7000-8000-00000000dead"


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


async def requested(rig: Rig) -> list[str]:
    """The codes of the requests that were recorded."""
    return [row["code"] for row in await rig.raw("SELECT code FROM deletion_requests")]


async def audited(rig: Rig) -> list[str]:
    rows = await rig.raw("SELECT action FROM audit_log WHERE action = 'connection.deletion_requested'")
    return [row["action"] for row in rows]


async def test_forgetting_asks_first_lists_what_goes_and_says_once_what_was_done(rig: Rig) -> None:
    await logged_in(rig)
    [id_] = await rig.connect("tiktok")
    _, text = await page(rig)
    assert f'href="/connections/{id_}/forget" aria-label="Forget everything of shop, TikTok"' in text
    asks, after = await confirmed(rig, f"/connections/{id_}/forget")
    assert "Forget everything of shop on TikTok?" in asks
    for part in ("tokens", "every event", "raw bytes", "every row", "cannot be undone", "landfall erase --requested"):
        assert part in asks, part
    [code] = await requested(rig)
    assert "shop on TikTok is disconnected. Everything of it will be forgotten." in told(after)
    assert f'<a href="/deletions/{code}">See how far it is</a>' in told(after)
    assert "landfall erase --requested" in told(after), "when it is carried out"
    assert (await rig.shown(id_))["state"] == "disconnected"
    assert told((await page(rig))[1]) == "", "loaded again, the page is silent"
    status, text = await page(rig, f"/deletions/{code}")
    assert (status, "In progress" in text) == (200, True)
    assert await audited(rig) == ["connection.deletion_requested"]


async def test_looking_at_the_question_changes_nothing(rig: Rig) -> None:
    await logged_in(rig)
    [id_] = await rig.connect("tiktok")
    assert (await page(rig, f"/connections/{id_}/forget"))[0] == 200
    assert ((await rig.shown(id_))["state"], await requested(rig)) == ("active", [])


async def test_what_was_requested_on_the_page_is_deleted_by_the_daily_command(
    rig: Rig, database: str, connection: asyncpg.Connection
) -> None:
    await logged_in(rig)
    [id_] = await rig.connect("instagram")
    account = (await rig.shown(id_))["account_id"]
    await append_event(connection, account, "e1", payload={"id": "c1", "text": "x", "media": {"id": "m1"}})
    await confirmed(rig, f"/connections/{id_}/forget")
    [code] = await requested(rig)
    exit_code, text = await command(database, "erase", "--requested")
    assert (exit_code, "1 events" in text, "1 requests carried out" in text) == (0, True, True), text
    assert await rig.raw("SELECT 1 FROM webhook_event_log WHERE account_id = $1", account) == []
    assert (await rig.api("GET", f"/api/connections/{id_}"))[0] == 404
    assert "was deleted on" in (await page(rig, f"/deletions/{code}"))[1]


async def test_account_that_is_disconnected_can_still_be_forgotten(rig: Rig) -> None:
    await logged_in(rig)
    [id_] = await rig.connect("tiktok")
    await confirmed(rig, f"/connections/{id_}/disconnect")
    asks, after = await confirmed(rig, f"/connections/{id_}/forget")
    assert "disconnected at once" not in asks
    assert (len(await requested(rig)), "will be forgotten" in told(after)) == (1, True)


@pytest.mark.parametrize("role", ["viewer", "editor"])
async def test_only_owners_may_have_everything_forgotten(rig: Rig, role: str) -> None:
    [id_] = await rig.connect("tiktok")
    await users.add(rig.pool, DEFAULT_TENANT, EVE, PASSWORD, role, TESTS)
    csrf = await logged_in(rig, EVE)
    assert "/forget" not in (await page(rig))[1]
    status, text = await page(rig, f"/connections/{id_}/forget")
    assert (status, "Ask an owner" in text) == (403, True)
    assert (await post(rig, f"/connections/{id_}/forget", csrf=csrf))[0] == 403
    assert ((await rig.shown(id_))["state"], await requested(rig)) == ("active", [])


async def test_connection_of_another_tenant_is_unknown(rig: Rig) -> None:
    other = await tenants.add(rig.connection, "other", TESTS)
    theirs = await api_keys.create(rig.pool, other, "theirs", api_keys.SCOPES, TESTS)
    [id_] = await rig.connect("tiktok", key=theirs)
    csrf = await logged_in(rig)
    for unknown in (id_, NOBODY, "no-id"):
        assert (await page(rig, f"/connections/{unknown}/forget"))[0] == 404
        assert (await post(rig, f"/connections/{unknown}/forget", csrf=csrf))[0] == 404
        assert (await rig.api("DELETE", f"/api/connections/{unknown}/data"))[0] == 404
    [[state]] = await rig.raw("SELECT state FROM connections WHERE id = $1::uuid", id_)
    assert (state, await requested(rig), await audited(rig)) == ("active", [], [])


async def test_form_of_another_website_forgets_nothing(rig: Rig) -> None:
    csrf = await logged_in(rig)
    [id_] = await rig.connect("tiktok")
    path = f"/connections/{id_}/forget"
    elsewhere = {"Origin": "https://evil.example"}
    for headers, form in (({}, {}), ({}, {"csrf": "0" * 64}), (elsewhere, {"csrf": csrf})):
        assert (await post(rig, path, headers, **form))[0] == 403
    async with rig.http.delete(f"{rig.url}/api/connections/{id_}/data") as response:
        assert response.status == 401, "a session is no key: a browser sends it for any website"
    assert ((await rig.shown(id_))["state"], await requested(rig)) == ("active", [])


async def test_program_needs_a_key_that_was_made_for_erasing(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    usual = await api_keys.create(rig.pool, DEFAULT_TENANT, "usual", api_keys.DEFAULT_SCOPES, TESTS)
    erasing = await api_keys.create(rig.pool, DEFAULT_TENANT, "erasing", ["connections:erase"], TESTS)
    path = f"/api/connections/{id_}/data"
    status, answer = await rig.api("DELETE", path, headers={"Authorization": f"Bearer {usual}"})
    assert (status, "connections:erase" in str(answer)) == (403, True)
    assert ((await rig.shown(id_))["state"], await requested(rig)) == ("active", [])
    status, answer = await rig.api("DELETE", path, headers={"Authorization": f"Bearer {erasing}"})
    [code] = await requested(rig)
    assert (status, answer) == (
        202,
        {"url": f"{rig.url}/deletions/{code}", "confirmation_code": code, "disconnected": True, "revoked": True},
    )
    assert (await rig.shown(id_))["state"] == "disconnected"


async def test_posts_schedules_and_slots_of_a_forgotten_account_go_and_those_of_others_stay(
    rig: Rig, database: str
) -> None:
    await logged_in(rig)
    [id_], [other] = await rig.connect("x"), await rig.connect("mastodon")
    both = [{"connection": id_}, {"connection": other}]
    repeats = {"rule": "FREQ=DAILY;COUNT=2", "start_time": "2099-06-01 09:00", "timezone": "UTC"}
    for content, targets in (("one", both[:1]), ("both", both), ("other", both[1:])):
        post = {"content": content, "targets": targets, "thread": ["and more"]}
        assert (await rig.api("POST", "/api/posts", json=post))[0] == 201
        assert (await rig.api("POST", "/api/recurrences", json={**repeats, "post": post}))[0] == 201
    published = "UPDATE post_targets SET platform_post_id = '7' WHERE parent_id IS NULL AND connection_id = $1::uuid"
    for each in (id_, other):
        [target, *_] = await rig.raw(
            f"{published} AND post_id = (SELECT id FROM posts WHERE content = 'both') RETURNING id::text", each
        )
        answer = {"kind": "reply", "target": target["id"], "content": f"answer of {'one' if each == id_ else 'other'}"}
        assert (await rig.api("POST", "/api/actions", json=answer))[0] == 201
    slots = {"timezone": "UTC", "slots": [{"weekday": "MO", "time": "09:00"}]}
    for each in (id_, other):
        assert (await rig.api("PUT", f"/api/connections/{each}/slots", json=slots))[0] == 200
    await confirmed(rig, f"/connections/{id_}/forget")
    exit_code, text = await command(database, "erase", "--requested")
    assert (exit_code, "1 requests carried out" in text) == (0, True), text
    contents = [row["content"] for row in await rig.raw("SELECT content FROM posts ORDER BY content")]
    assert contents == ["answer of other", "both", "other"]
    for table in ("post_targets", "queue_slots"):
        rows = await rig.raw(f"SELECT DISTINCT connection_id::text FROM {table}")
        assert [row["connection_id"] for row in rows] == [other], table
    rows = await rig.raw("SELECT template->>'content' AS content FROM post_recurrences ORDER BY 1")
    assert [row["content"] for row in rows] == ["both", "other"]
