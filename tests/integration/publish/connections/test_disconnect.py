"""How connections end: told to the platform sooner or later, shared grants last, and nobody is surprised."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ingest.store import append_own
from ops.access import api_keys
from ops.cli import wiring
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.connections import refresh_store
from sync.projection.worker import Projector
from tests.recordings import dumped, take
from tests.rig import TESTS, Rig

OTHER = "00000000-0000-7000-8000-000000000002"


async def held(rig: Rig, id_: str) -> int:
    return len(await rig.raw("SELECT 1 FROM connection_secrets WHERE connection_id = $1::uuid", id_))


async def elsewhere(rig: Rig) -> str:
    """A key of another tenant."""
    await rig.connection.execute("INSERT INTO tenants (id, name) VALUES ($1::uuid, 'other')", OTHER)
    return await api_keys.create(rig.pool, OTHER, "theirs", api_keys.SCOPES, TESTS)


async def test_platform_that_cannot_be_told_now_is_told_later_and_then_forgotten(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    await rig.sandbox.command("faults", platform="tiktok", endpoint="POST /v2/oauth/revoke", times=2, status=503)
    assert await rig.api("DELETE", f"/api/connections/{id_}") == (200, {"disconnected": True, "revoked": False})
    assert (await rig.shown(id_))["state"] == "disconnected"
    assert await held(rig, id_) == 2, "without them nobody could tell the platform"
    await rig.due()
    assert await rig.refresher.refresh(id_) == "failed"
    await rig.due()
    await rig.refresher._round()
    assert await held(rig, id_) == 0
    states = [entry["state"] for entry in await rig.sandbox.ledger("token", platform="tiktok")]
    assert "live" not in states
    assert await rig.refresher.refresh(id_) == "leased", "there is nothing left to do"


async def test_after_a_day_the_platform_is_not_told_and_nothing_is_kept(rig: Rig) -> None:
    [id_] = await rig.connect("x")
    await rig.sandbox.command("faults", platform="x", times=0, drop=True)
    await rig.api("DELETE", f"/api/connections/{id_}")
    await rig.raw("UPDATE connections SET disconnected_at = now() - interval '25 hours'")
    rig.providers.client.breakers.clear()
    await rig.due()
    assert await rig.refresher.refresh(id_) == "revoked"
    assert await held(rig, id_) == 0


async def test_connection_of_which_nothing_is_held_ends_without_a_word_to_the_platform(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    await rig.raw("DELETE FROM connection_secrets")
    assert await rig.api("DELETE", f"/api/connections/{id_}") == (200, {"disconnected": True, "revoked": True})
    assert await rig.sandbox.ledger("call", platform="tiktok", path="/v2/oauth/revoke") == []


async def test_account_that_came_back_before_the_platform_was_told_stays(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    await rig.sandbox.command("faults", platform="tiktok", endpoint="POST /v2/oauth/revoke", times=1, status=503)
    await rig.api("DELETE", f"/api/connections/{id_}")
    assert await rig.connect("tiktok") == [id_]
    await rig.refresher._round()
    assert ((await rig.shown(id_))["state"], await held(rig, id_)) == ("active", 2)


async def test_goodbye_that_wakes_up_late_ends_nothing_of_a_newer_grant(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    await rig.sandbox.command("faults", platform="tiktok", endpoint="POST /v2/oauth/revoke", times=1, status=503)
    await rig.api("DELETE", f"/api/connections/{id_}")
    await rig.due()
    async with tenant_transaction(rig.pool, ALL_TENANTS) as connection:
        late = await refresh_store.lease(connection, id_, 0)
    assert late is not None
    assert await rig.connect("tiktok") == [id_]
    told = len(await rig.sandbox.ledger("call", platform="tiktok", path="/v2/oauth/revoke"))
    assert await rig.built.disconnector.revoke(late) == "revoked"
    assert ((await rig.shown(id_))["state"], await held(rig, id_)) == ("active", 2)
    assert len(await rig.sandbox.ledger("call", platform="tiktok", path="/v2/oauth/revoke")) == told


async def test_page_goes_on_sending_until_the_last_that_needs_it_is_gone(rig: Rig) -> None:
    ids = {(await rig.shown(id_))["username"]: id_ for id_ in await rig.connect("facebook")}
    simulated = rig.server.simulation.platforms["facebook"]
    for name, left in (("Shop", {"Shop", "Cafe"}), ("Cafe", {"Shop"}), ("shop", set())):
        await rig.api("DELETE", f"/api/connections/{ids[name]}")
        assert set(simulated.subscribed) == left  # type: ignore[attr-defined]
    calls = await rig.sandbox.ledger("call", platform="facebook")
    asked = [call["method"] for call in calls if call["path"].endswith("/me/permissions")]
    assert asked == ["GET", "DELETE"], "read once, and removed with the last"


@pytest.mark.parametrize("platform", ["tiktok", "instagram", "x", "mastodon"])
async def test_one_tenants_goodbye_does_not_end_what_another_one_uses(rig: Rig, platform: str) -> None:
    [mine] = await rig.connect(platform)
    key = await elsewhere(rig)
    [theirs] = await rig.connect(platform, key=key)
    assert mine != theirs
    assert await rig.api("DELETE", f"/api/connections/{mine}") == (200, {"disconnected": True, "revoked": True})
    assert await held(rig, mine) == 0
    await rig.raw("UPDATE connections SET checked_at = NULL")
    status, found = await rig.api(
        "POST", f"/api/connections/{theirs}/check", headers={"Authorization": f"Bearer {key}"}
    )
    assert (status, found["state"]) == (200, "active"), found


async def test_access_that_ends_is_told_of_14_7_and_1_days_before_once_each(rig: Rig) -> None:
    [id_] = await rig.connect("linkedin")
    kinds = []
    for days in (20, 13, 13, 6, 6, 0.5, 0.5):
        await rig.raw("UPDATE connections SET access_expires_at = now() + make_interval(secs => $1)", days * 86_400)
        await rig.refresher._round()
        _, found = await rig.api("GET", "/api/notices")
        kinds.append([notice["kind"] for notice in found["notices"]])
    assert kinds == [
        [], *[["ends_in_14_days"]] * 2, *[["ends_in_7_days"]] * 2, *[["ends_in_1_day"]] * 2,
    ]  # fmt: skip
    assert "connect the account again before that" in found["notices"][0]["says"]
    assert len(await rig.raw("SELECT 1 FROM notices")) == 3
    await rig.raw("UPDATE connections SET access_expires_at = now() - interval '1 second'")
    await rig.refresher._round()
    found = await rig.shown(id_)
    assert (found["state"], "nothing can renew it" in found["reason"]) == ("needs_reconnect", True)
    _, found = await rig.api("GET", "/api/notices")
    assert [notice["kind"] for notice in found["notices"]] == ["needs_reconnect"]
    assert await rig.connect("linkedin") == [id_]
    assert (await rig.api("GET", "/api/notices"))[1] == {"notices": []}
    assert (await rig.raw("SELECT count(*) AS n FROM notices WHERE resolved_at IS NULL"))[0]["n"] == 0


async def test_access_that_is_refreshed_in_time_is_nothing_to_tell_of(rig: Rig) -> None:
    for platform in ("instagram", "tiktok", "x"):
        await rig.connect(platform)
    await rig.refresher._round()
    assert (await rig.api("GET", "/api/notices"))[1] == {"notices": []}


REMOVALS = [
    # what the event has beside its type, what the owner is told, why
    ({"create_time": "SECONDS"}, "You removed the application", "no content at all"),
    ({"create_time": "SECONDS", "content": ""}, "You removed the application", "an empty content"),
    ({"create_time": "SECONDS", "content": '{"reason":null}'}, "You removed the application", "a reason of nothing"),
    ({"create_time": "SECONDS", "content": "nonsense"}, "You removed the application", "a content that is no JSON"),
    ({"create_time": "SECONDS", "content": '{"reason":4,"x":1e400}'}, "was banned", "an odd number beside the reason"),
    ({"create_time": "MILLISECONDS", "content": '{"reason":2}'}, "was deleted", "milliseconds"),
    ({"create_time": "ISO", "content": '{"reason":2}'}, "was deleted", "ISO 8601"),
    ({"create_time": "FLOAT"}, "You removed the application", "a fraction of a second"),
    ({"create_time": "TEXT"}, "You removed the application", "a number as text"),
    ({"content": '{"reason":3}'}, "age of", "no time"),
    ({"create_time": None}, "You removed the application", "a time of nothing"),
    ({"create_time": "yesterday", "content": '{"reason":5}'}, "ended its own access", "a time that is none"),
    ({"create_time": {}}, "You removed the application", "nor an object"),
    ({}, "You removed the application", "the type, and nothing else"),
]


def removal(account: str, more: dict[str, Any], at: datetime) -> Any:
    """A removal as it would come, with what it has beside its type; the time in the form that is named."""
    forms = {
        "SECONDS": int(at.timestamp()) + 1, "MILLISECONDS": int(at.timestamp() * 1000), "ISO": at.isoformat(),
        "FLOAT": at.timestamp(), "TEXT": str(at.timestamp()),
    }  # fmt: skip
    created = more.get("create_time")
    if isinstance(created, str) and created in forms:
        more = more | {"create_time": forms[created]}
    document = {"event": "authorization.removed", "user_openid": account, **more}
    [event] = take("tiktok", dumped(document), now=datetime.now(UTC)).events
    assert event.defect is None
    return event


async def received(rig: Rig, event: Any) -> None:
    """Append and project it, and let what it says of connections be found."""
    async with rig.pool.acquire() as connection:
        await append_own(connection, "tiktok", 2, [event])
    await Projector(rig.pool, wiring.projections(), tries=1).drain()
    states = await rig.raw("SELECT state FROM webhook_events WHERE external_id = $1", event.external_id)
    assert [row["state"] for row in states] == ["done"]
    await rig.refresher._round()


@pytest.mark.parametrize(("more", "said"), [row[:2] for row in REMOVALS], ids=[row[2] for row in REMOVALS])
async def test_removal_ends_the_grant_whatever_details_it_lacks(rig: Rig, more: dict[str, Any], said: str) -> None:
    [id_] = await rig.connect("tiktok")
    account = (await rig.shown(id_))["account_id"]
    await received(rig, removal(account, more, datetime.now(UTC)))
    found = await rig.shown(id_)
    assert (found["state"], said in found["reason"]) == ("needs_reconnect", True), found


async def test_removal_without_a_time_ends_what_was_granted_before_it_came_and_nothing_newer(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    account = (await rig.shown(id_))["account_id"]
    old = {"create_time": "SECONDS", "content": '{"reason":1}'}
    await received(rig, removal(account, old, datetime.now(UTC) - timedelta(hours=1)))
    for number in range(6):  # so many that no order by name could pass for the order of receipt
        await rig.refresher._round()
        shown = await rig.shown(id_)
        assert shown["state"] == "active", f"what was received before is of the grant before: {number} {shown}"
        content = json.dumps({"reason": 4, "number": number})
        await received(rig, removal(account, {"content": content}, datetime.now(UTC)))
        found = await rig.shown(id_)
        assert (found["state"], "was banned" in found["reason"]) == ("needs_reconnect", True), number
        assert await rig.connect("tiktok") == [id_]
