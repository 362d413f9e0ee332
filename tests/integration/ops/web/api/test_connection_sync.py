"""People ask for an account to be read, and see how far that is: of their own connections only."""

import re
from typing import Any

import pytest

from ops.access import api_keys, tenants, users
from schema.tenancy import DEFAULT_TENANT
from sync.pull.contract import Priority
from sync.pull.worker import Puller
from tests.integration.ops.access.test_users import EMAIL, PASSWORD, logged_in, page, post
from tests.pulling import fake
from tests.rig import TESTS, Rig
from tests.support import is_error

pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


async def due(rig: Rig) -> list[Any]:
    return [tuple(row) for row in await rig.raw("SELECT kind, priority FROM pull_tasks WHERE due_at <= now()")]


async def served(rig: Rig, progress: str) -> None:
    """A worker has read the account so far."""
    await Puller(rig.pool, {"instagram": fake()}, rig.built.pulling).refresh_accounts()
    await rig.raw("UPDATE pull_accounts SET served_at = now(), calls = 12, progress = $1::jsonb", progress)


async def test_account_is_read_anew_where_somebody_asks_and_shows_how_far_it_is(rig: Rig) -> None:
    [id_] = await rig.connect("instagram")
    assert (await rig.shown(id_))["sync"] is None
    status, found = await rig.api("POST", f"/api/connections/{id_}/sync")
    assert (status, found) == (202, {"asked": True, "sync": None})
    assert {priority for _, priority in await due(rig)} == {Priority.ASKED}
    assert {"account", "media"} <= {kind for kind, _ in await due(rig)}
    await served(rig, '{"tasks": 8, "done": 2, "percent": 25, "objects": 30, "waiting": 6, "seconds": 90.5}')
    shown = (await rig.shown(id_))["sync"]
    wanted = {"percent": 25, "tasks": 8, "done": 2, "objects": 30, "waiting": 6, "seconds_left": 90.5, "calls": 12}
    assert wanted.items() <= shown.items()
    _, listed = await rig.api("GET", "/api/connections")
    assert [item["sync"] for item in listed["connections"]] == [shown]
    status, found = await rig.api("POST", f"/api/connections/{id_}/sync")
    assert (status, found["sync"]) == (202, shown)


async def test_what_cannot_be_read_says_why(rig: Rig) -> None:
    [mastodon] = await rig.connect("mastodon")
    [id_] = await rig.connect("instagram")
    await rig.raw(
        "UPDATE connections SET state = 'needs_reconnect', reason = 'It was removed.' WHERE id = $1::uuid", id_
    )
    for asked, status, says in (
        (mastodon, 409, "Accounts of Mastodon are not read"),
        (id_, 409, "not connected at the moment"),
        ("00000000-0000-7000-8000-00000000dead", 404, "no such connection"),
        ("nonsense", 404, "no such connection"),
    ):
        answered, found = await rig.api("POST", f"/api/connections/{asked}/sync")
        assert (answered, is_error(found)) == (status, True)
        assert says in found["error"]["message"]
    assert await due(rig) == []


async def test_key_without_the_scope_may_not_ask(rig: Rig) -> None:
    [id_] = await rig.connect("instagram")
    key = await api_keys.create(rig.pool, DEFAULT_TENANT, "reads", ["connections:read"], TESTS)
    headers = {"Authorization": f"Bearer {key}"}
    assert (await rig.api("POST", f"/api/connections/{id_}/sync", headers=headers))[0] == 403
    assert await due(rig) == []


async def test_another_tenants_connection_of_the_same_account_is_not_there(rig: Rig) -> None:
    [mine] = await rig.connect("instagram")
    await served(rig, '{"percent": 25, "tasks": 4, "done": 1}')
    other = await tenants.add(rig.connection, "other", TESTS)
    headers = {"Authorization": f"Bearer {await api_keys.create(rig.pool, other, 'k', api_keys.SCOPES, TESTS)}"}
    await rig.raw("UPDATE pull_tasks SET due_at = NULL")
    status, found = await rig.api("POST", f"/api/connections/{mine}/sync", headers=headers)
    assert (status, found["error"]["message"]) == (404, "There is no such connection.")
    assert await due(rig) == []
    assert await rig.api("GET", "/api/connections", headers=headers) == (200, {"connections": []})
    [theirs] = await rig.connect("instagram", key=headers["Authorization"].removeprefix("Bearer "))
    status, shown = await rig.api("GET", f"/api/connections/{theirs}", headers=headers)
    assert (status, shown["sync"]["percent"]) == (200, 25), "it is read once for both"


async def test_button_asks_and_the_page_shows_how_far_it_is(rig: Rig) -> None:
    csrf = await logged_in(rig)
    [id_] = await rig.connect("instagram")
    _, text = await page(rig)
    assert "Its history is read from now on." in text
    assert (await post(rig, f"/connections/{id_}/sync"))[0] == 403, "without the token of the form"
    assert await due(rig) == []
    status, where, _ = await post(rig, f"/connections/{id_}/sync", csrf=csrf)
    assert (status, where) == (303, f"/connections#at-{id_}")
    assert {priority for _, priority in await due(rig)} == {Priority.ASKED}
    await served(rig, '{"tasks": 8, "done": 2, "percent": 25, "objects": 30, "skipped": 3, "seconds": 600}')
    _, text = await page(rig)
    [row] = re.findall(rf'<article id="at-{id_}".*?>(.*?)</article>', text, re.DOTALL)
    assert "The account is read anew from now on" in row
    assert '<progress max="100" value="25">' in row
    assert "about 10 minutes left" in row
    assert "30 objects, 3 skipped" in row
    await rig.raw("UPDATE pull_accounts SET progress = progress || '{\"percent\": 100}'")
    assert "History read." in (await page(rig))[1]


async def test_viewer_sees_how_far_it_is_and_has_no_button(rig: Rig) -> None:
    [id_] = await rig.connect("instagram")
    await users.add(rig.pool, DEFAULT_TENANT, "viewer@example.org", PASSWORD, "viewer", TESTS)
    csrf = await logged_in(rig, "viewer@example.org")
    assert "Read now" not in (await page(rig))[1]
    assert (await post(rig, f"/connections/{id_}/sync", csrf=csrf))[0] == 403
    assert await due(rig) == []
