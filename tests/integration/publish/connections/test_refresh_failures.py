"""Trouble has an end: an account that nothing can bring back needs a person, and long trouble is told of once."""

import asyncio
from typing import Any

import pytest

from ops.access import users
from ops.runtime.mail import Mailer
from ops.runtime.mailserver import MailServer
from publish.notifications.sender import NoticeSender
from schema.tenancy import DEFAULT_TENANT
from tests.rig import LONG, PROVIDERS, ROTATING, TESTS, Rig
from tests.smtp_server import SmtpServer
from tests.support import command

REFUSED = {"status": 400, "body": {"error": {"message": "no", "code": 100, "error_subcode": 33}}}


async def failing(rig: Rig, id_: str, times: int = 1) -> None:
    """Refresh it in vain."""
    for _ in range(times):
        await rig.due()
        assert await rig.refresher.refresh(id_) == "failed"


async def works_again(rig: Rig) -> None:
    async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
        pass
    rig.providers.client.breakers.clear()
    await rig.raw("DELETE FROM platform_budgets")


async def notices(rig: Rig) -> dict[str, str]:
    """What is said, by kind."""
    status, found = await rig.api("GET", "/api/notices")
    assert status == 200
    assert len({item["kind"] for item in found["notices"]}) == len(found["notices"])
    return {item["kind"]: item["says"] for item in found["notices"]}


async def ends(rig: Rig, column: str, when: str = "now() - interval '1 second'") -> None:
    await rig.raw(f"UPDATE connections SET {column} = {when}")


# --- when nothing is left that could refresh it


@pytest.mark.parametrize("platform", sorted(LONG))
async def test_account_that_refuses_for_days_and_whose_token_ends_meanwhile_needs_its_owner(
    rig: Rig, platform: str
) -> None:
    [id_] = await rig.connect(platform)
    await rig.sandbox.command("faults", platform=platform, times=0, **REFUSED)
    await failing(rig, id_, 3)
    await rig.refresher._round()
    assert (await rig.shown(id_))["state"] == "active", "as long as its token may live"
    await ends(rig, "access_expires_at")
    await rig.refresher._round()
    found = await rig.shown(id_)
    assert found["state"] == "needs_reconnect"
    assert "The platform refused it while renewing the token" in found["reason"]
    assert (found["trouble"], found["trouble_since"]) == (None, None)
    assert list(await notices(rig)) == ["needs_reconnect"]


@pytest.mark.parametrize("platform", sorted(LONG))
async def test_refresh_that_nobody_got_to_in_time_is_said_and_not_tried(rig: Rig, platform: str) -> None:
    [id_] = await rig.connect(platform)
    await ends(rig, "access_expires_at")
    await ends(rig, "refresh_due_at")
    calls = len(await rig.sandbox.ledger("call", platform=platform))
    await rig.refresher._round()
    found = await rig.shown(id_)
    assert (found["state"], "nothing can renew it" in found["reason"]) == ("needs_reconnect", True)
    assert len(await rig.sandbox.ledger("call", platform=platform)) == calls


@pytest.mark.parametrize("platform", sorted(ROTATING))
async def test_outage_disconnects_nobody_whose_refresh_token_lives(rig: Rig, platform: str) -> None:
    [id_] = await rig.connect(platform)
    await rig.sandbox.command("faults", platform=platform, times=0, status=503)
    await ends(rig, "access_expires_at", "now() - interval '9 hours'")
    for _ in range(3):
        await rig.due()
        await rig.refresher._round()
    found = await rig.shown(id_)
    assert (found["state"], found["refresh_failures"]) == ("active", 3)
    assert await notices(rig) == {}
    await works_again(rig)
    await rig.due()
    await rig.refresher._round()
    found = await rig.shown(id_)
    assert (found["state"], found["trouble"], found["trouble_since"]) == ("active", None, None)


@pytest.mark.parametrize("platform", ["tiktok", "linkedin"])
async def test_account_whose_refresh_token_has_run_out_too_needs_its_owner(rig: Rig, platform: str) -> None:
    rig.server.simulation.platforms["linkedin"].partner = True  # type: ignore[attr-defined]
    [id_] = await rig.connect(platform)
    await rig.sandbox.command("faults", platform=platform, times=0, status=400, body={"error": "invalid_request"})
    await failing(rig, id_)
    await ends(rig, "refresh_expires_at")
    await rig.refresher._round()
    assert (await rig.shown(id_))["state"] == "active", "its access token still lives"
    await ends(rig, "access_expires_at")
    await rig.refresher._round()
    found = await rig.shown(id_)
    assert (found["state"], "The platform refused it while refreshing" in found["reason"]) == ("needs_reconnect", True)


async def test_somebody_who_is_refreshing_it_at_this_moment_may_finish(rig: Rig) -> None:
    [id_] = await rig.connect("threads")
    await ends(rig, "access_expires_at")
    await rig.raw("UPDATE connections SET lease_until = now() + interval '1 minute'")
    await rig.refresher._round()
    assert (await rig.shown(id_))["state"] == "active"


async def test_page_without_an_end_is_not_ended_when_its_data_access_is_over(rig: Rig) -> None:
    id_, *_ = await rig.connect("facebook")
    await ends(rig, "refresh_expires_at")
    await rig.refresher._round()
    assert (await rig.shown(id_))["state"] == "active"


# --- what people are told


async def test_trouble_is_counted_from_its_first_failure(rig: Rig) -> None:
    [id_] = await rig.connect("x")
    assert (await rig.shown(id_))["trouble_since"] is None
    await rig.sandbox.command("faults", platform="x", times=0, status=503)
    await failing(rig, id_)
    first = (await rig.shown(id_))["trouble_since"]
    await failing(rig, id_, 2)
    assert (await rig.shown(id_))["trouble_since"] == first is not None
    assert await rig.api("DELETE", f"/api/connections/{id_}") == (200, {"disconnected": True, "revoked": False})
    await works_again(rig)
    assert await rig.connect("x") == [id_]
    assert (await rig.shown(id_))["trouble_since"] is None


@pytest.mark.parametrize("platform", list(PROVIDERS))
async def test_trouble_of_two_days_is_told_once_and_is_over_when_the_platform_takes_us_again(
    rig: Rig, platform: str, database: str
) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "ada@example.org", "correct horse battery", "editor", TESTS)
    id_, *others = await rig.connect(platform)
    await rig.raw("DELETE FROM connections WHERE id = ANY($1::uuid[])", others)
    await rig.sandbox.command("clock", jump=86_400 + 1 if platform in LONG else 60)
    for episode in (1, 2):
        await rig.sandbox.command("faults", platform=platform, times=0, status=503)
        await failing(rig, id_)
        await ends(rig, "trouble_since", "now() - interval '47 hours'")
        await rig.refresher._round()
        assert await notices(rig) == {}, "an outage of hours is nothing to tell of"
        await ends(rig, "trouble_since", f"now() - interval '{48 + episode} hours'")
        for _ in range(3):
            await rig.refresher._round()
        found = await notices(rig)
        assert list(found) == ["in_trouble"]
        assert "The platform is in trouble" in found["in_trouble"] or "could not be reached" in found["in_trouble"]
        shown = await rig.shown(id_)
        assert (shown["state"], shown["trouble"] in found["in_trouble"]) == ("active", True)
        _, text = await command(database, "connections", "list")
        assert f"since {shown['trouble_since'][:10]}, tried again by itself" in text
        await works_again(rig)
        await rig.due()
        assert await rig.refresher.refresh(id_) in ("refreshed", "checked")
        assert await notices(rig) == {}
        await rig.sandbox.command("clock", jump=86_400 + 1 if platform in LONG else 60)
    told = await rig.raw("SELECT 1 FROM notices WHERE kind = 'in_trouble'")
    assert len(told) == 2, "one for each episode"


async def test_owners_and_editors_are_mailed_of_long_trouble(rig: Rig) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "ada@example.org", "correct horse battery", "editor", TESTS)
    [id_] = await rig.connect("x")
    await rig.sandbox.command("faults", platform="x", times=0, status=503)
    await failing(rig, id_)
    await ends(rig, "trouble_since", "now() - interval '3 days'")
    await rig.refresher._round()
    smtp = SmtpServer()
    async with smtp.open():
        server = MailServer.of(f"smtp://127.0.0.1:{smtp.port}")
        notice_sender = NoticeSender(rig.pool, Mailer(server, "landfall@example.org"), rig.built.flows.titles, rig.url)
        for _ in range(2):
            await notice_sender.round(asyncio.Event())
    assert smtp.to() == ["ada@example.org"]
    text: Any = smtp.received[0].message.get_content()
    assert "Nothing has worked since" in text
    assert "tried again by itself" in text


async def test_notice_of_an_end_and_one_of_trouble_stand_beside_each_other(rig: Rig) -> None:
    [id_] = await rig.connect("linkedin")
    await rig.sandbox.command("faults", platform="linkedin", times=0, status=503)
    await failing(rig, id_)
    await ends(rig, "trouble_since", "now() - interval '3 days'")
    await ends(rig, "access_expires_at", "now() + interval '5 days'")
    await rig.refresher._round()
    assert set(await notices(rig)) == {"in_trouble", "ends_in_7_days"}
    await ends(rig, "access_expires_at", "now() + interval '5 hours'")
    await rig.refresher._round()
    assert set(await notices(rig)) == {"in_trouble", "ends_in_1_day"}
    await works_again(rig)
    await rig.due()
    assert await rig.refresher.refresh(id_) == "checked"
    assert set(await notices(rig)) == {"ends_in_1_day"}
