"""Subscriptions to events are looked at, mended and reported: ``meta.md`` 1.4 and 1.5, by the sandbox."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.runtime import metrics
from tests.rig import Rig
from tests.support import command

ALL = ["comments", "mentions"]


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """The address of our webhooks, which agrees to whoever sends our word."""

    async def agree(request: web.Request) -> web.Response:
        right = request.query.get("hub.verify_token") == "word"
        return web.Response(status=200 if right else 403, text=request.query["hub.challenge"] if right else "")

    app = web.Application()
    app.router.add_get("/api/webhooks/instagram", agree)
    async with TestServer(app) as server:
        yield str(server.make_url("/api/webhooks/instagram"))


async def subscribed(rig: Rig, address: str) -> None:
    """Somebody entered both objects in the dashboard."""
    rig.variables["META_VERIFY_TOKEN"] = ("word",)
    for stream in ("page", "instagram"):
        await rig.sandbox.command("webhooks", platform="facebook", stream=stream, url=address, verify_token="word")


async def look(rig: Rig) -> None:
    """Everything that is due, and what is due again is due now."""
    await rig.raw("UPDATE event_subscriptions SET due_at = now(), lease_until = NULL")
    while await rig.built.subscriptions.round():
        pass


async def found(rig: Rig) -> dict[str, Any]:
    rows = await rig.raw("SELECT c.platform, s.* FROM event_subscriptions s JOIN connections c ON c.id = connection_id")
    return {row["platform"]: row for row in rows}


async def pages(rig: Rig) -> int:
    [[count]] = await rig.raw("SELECT count(*) FROM connections WHERE platform = 'facebook'")
    return int(count)


async def audited(rig: Rig, action: str) -> list[Any]:
    rows = await rig.raw("SELECT detail FROM audit_log WHERE action = $1 ORDER BY id", action)
    return [json.loads(row["detail"]) for row in rows]


async def open_notices(rig: Rig) -> list[str]:
    return [row["kind"] for row in await rig.raw("SELECT kind FROM notices WHERE resolved_at IS NULL ORDER BY kind")]


async def test_connected_accounts_are_looked_at_at_once_and_found_complete(rig: Rig, address: str) -> None:
    await subscribed(rig, address)
    await rig.connect("facebook")
    await rig.connect("instagram")
    await rig.connect("tiktok")
    while await rig.built.subscriptions.round():
        pass
    rows = await found(rig)
    assert rows.keys() >= {"facebook", "instagram"}
    assert "tiktok" not in rows
    for row in rows.values():
        assert (row["state"], row["missing"], row["incomplete_since"], row["trouble"]) == ("complete", [], None, None)
        assert row["due_at"] > row["checked_at"]
    assert rows["facebook"]["wanted"] == [
        "account feed",
        "account mention",
        "application page feed",
        "application page mention",
    ]
    assert await audited(rig, "connection.subscribed") == []
    assert await rig.built.subscriptions.round() == 0, "nothing is due any more"
    assert metrics.subscriptions.labels("facebook", "complete")._value.get() == await pages(rig)


async def test_account_that_is_not_subscribed_any_more_is_subscribed_again_and_that_is_noted(
    rig: Rig, address: str
) -> None:
    await subscribed(rig, address)
    await rig.connect("instagram")
    await look(rig)
    await rig.sandbox.command("act", platform="instagram", what="unsubscribe", account="shop")
    await look(rig)
    row = (await found(rig))["instagram"]
    assert (row["state"], row["missing"]) == ("complete", [])
    assert row["repaired_at"] is not None
    assert await audited(rig, "connection.subscribed") == [{"platform": "instagram", "fields": "account comments"}]
    assert rig.server.simulation.platforms["instagram"].subscribed["shop"] == ["comments"]  # type: ignore[attr-defined]
    assert await open_notices(rig) == []


async def test_applications_half_of_a_page_is_mended_by_the_address_that_the_platform_has(
    rig: Rig, address: str
) -> None:
    await subscribed(rig, address)
    await rig.connect("facebook")
    await rig.sandbox.command("subscriptions", platform="facebook", object="page", fields=["mention"])
    await look(rig)
    row = (await found(rig))["facebook"]
    assert (row["state"], row["missing"]) == ("complete", [])
    [noted] = await audited(rig, "connection.subscribed")
    assert noted["fields"] == "application page feed"
    assert rig.server.simulation.platforms["facebook"].app_fields["page"] >= {"feed", "mention"}  # type: ignore[attr-defined]


async def test_half_that_cannot_be_mended_is_an_alarm_for_the_operator_until_it_is_there(
    rig: Rig, address: str
) -> None:
    await subscribed(rig, address)
    await rig.connect("facebook")
    await rig.sandbox.command("subscriptions", platform="facebook", object="page", fields=[])
    await look(rig)
    await look(rig)
    row = (await found(rig))["facebook"]
    assert (row["state"], row["missing"]) == ("incomplete", ["application page feed", "application page mention"])
    assert "object page" in row["advice"]
    assert len(await audited(rig, "connection.unsubscribed")) == await pages(rig), "once, and not with each look"
    assert metrics.subscriptions.labels("facebook", "incomplete")._value.get() == await pages(rig)
    assert await open_notices(rig) == [], "the account's people can do nothing about it"
    await rig.sandbox.command("webhooks", platform="facebook", stream="page", url=address, verify_token="word")
    await look(rig)
    row = (await found(rig))["facebook"]
    assert (row["state"], row["incomplete_since"], row["advice"]) == ("complete", None, None)


async def test_account_that_cannot_be_subscribed_again_is_told_to_its_people_until_it_is(
    rig: Rig, address: str
) -> None:
    await subscribed(rig, address)
    await rig.connect("instagram")
    await look(rig)
    await rig.sandbox.command("act", platform="instagram", what="unsubscribe", account="shop")
    await rig.sandbox.command(
        "faults", platform="instagram", endpoint="POST *subscribed_apps", error="permission_missing", times=0
    )
    await look(rig)
    row = (await found(rig))["instagram"]
    assert (row["state"], row["missing"]) == ("incomplete", ["account comments"])
    assert await open_notices(rig) == ["unsubscribed"]
    await look(rig)
    assert len(await rig.raw("SELECT FROM notices")) == 1, "told once"
    await rig.sandbox.clear_faults()
    await look(rig)
    assert (await found(rig))["instagram"]["state"] == "complete"
    assert await open_notices(rig) == []


async def test_platform_in_trouble_changes_nothing_of_what_is_known(rig: Rig, address: str) -> None:
    await subscribed(rig, address)
    await rig.connect("instagram")
    await look(rig)
    before = (await found(rig))["instagram"]
    await rig.sandbox.command(
        "faults", platform="instagram", endpoint="*subscribed_apps", status=500, body="{}", times=0
    )
    await look(rig)
    row = (await found(rig))["instagram"]
    assert (row["state"], row["checked_at"]) == ("complete", before["checked_at"])
    assert row["trouble"]
    await rig.sandbox.clear_faults()
    await look(rig)
    assert (await found(rig))["instagram"]["trouble"] is None


async def test_command_and_doctor_show_what_is_missing(rig: Rig, address: str) -> None:
    await subscribed(rig, address)
    await rig.connect("facebook")
    await rig.connect("tiktok")
    await look(rig)
    code, text = await command(rig.dsn, "connections", "events")
    assert code == 0
    assert "complete" in text
    assert "portal" in text, "TikTok's events need no subscription of an account"
    await rig.sandbox.command("subscriptions", platform="facebook", object="page", fields=[])
    await look(rig)
    code, text = await command(rig.dsn, "connections", "events", "--json")
    first = json.loads(text.splitlines()[0])
    assert (first["platform"], first["subscription"]) == ("facebook", "incomplete")
    assert first["missing"] == ["application page feed", "application page mention"]
