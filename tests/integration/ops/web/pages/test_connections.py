"""What the page says of an account is true: asked or not, what is allowed, how soon its end shows, which one it is."""

import re
from dataclasses import replace

import lxml.html
import pytest

from ops.cli.composition import checked_every
from publish.connections import descriptions
from publish.connections.connection_store import ConnectionDetails
from publish.oauth.account_selection import ReconnectTarget, Selection, decide
from publish.oauth.contract import Account
from tests.integration.ops.access.test_users import EMAIL, PASSWORD, logged_in, page, post
from tests.rig import HTML, PLATFORMS, PROVIDERS, Rig

MESSAGE = r'role="(?:status|alert)"'


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


async def asked(rig: Rig, id_: str, csrf: str) -> str:
    """What stands at the account after somebody pressed the button there."""
    status, where, _ = await post(rig, f"/connections/{id_}/check", csrf=csrf)
    assert (status, where) == (303, f"/connections#at-{id_}")
    _, text = await page(rig)
    [row] = re.findall(rf'<article id="at-{id_}".*?>(.*?)</article>', text, re.DOTALL)
    messages = re.findall(r'role="(?:status|alert)">(.*?)</p>', row, re.DOTALL)
    assert len(re.findall(MESSAGE, text)) == len(messages) == 1, "at that row, and nowhere else"
    assert re.findall(MESSAGE, (await page(rig))[1]) == [], "it does not come back"
    return messages[0]


async def calls(rig: Rig, platform: str) -> int:
    return len(await rig.sandbox.ledger("call", platform=platform))


async def later(rig: Rig, seconds: int) -> None:
    await rig.raw(f"UPDATE connections SET checked_at = checked_at - interval '{seconds} seconds'")


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_check_asks_each_time_it_is_pressed_and_says_what_came_of_it(rig: Rig, platform: str) -> None:
    csrf = await logged_in(rig)
    [id_, *_] = await rig.connect(platform)
    title, pause = PROVIDERS[platform].title, rig.refresher.pause(platform)
    before = await calls(rig, platform)
    await rig.raw("UPDATE connections SET checked_at = now()")  # however long it took to connect
    says = await asked(rig, id_, csrf)
    assert re.fullmatch(rf"{title} accepted the connection at \d\d:\d\d:\d\d UTC; wait {pause} seconds .*", says)
    assert await calls(rig, platform) == before
    for number in (1, 2):
        await later(rig, pause + 1)
        await rig.sandbox.command("clock", jump=pause + 1)
        assert re.fullmatch(
            rf"Checked now: {title} accepts the connection \(\d\d:\d\d:\d\d UTC\)\.", await asked(rig, id_, csrf)
        )
        assert await calls(rig, platform) == before + number
    await later(rig, pause + 1)
    await rig.sandbox.command(
        "act", platform=platform, what="revoke", account={"facebook": "alice"}.get(platform, "shop")
    )
    says = await asked(rig, id_, csrf)
    assert says.startswith(f"{title} does not accept the connection any more.")
    assert "connect the account again" in says


async def test_check_that_meets_trouble_says_so_and_not_that_all_is_well(rig: Rig) -> None:
    csrf = await logged_in(rig)
    [id_] = await rig.connect("mastodon")
    await rig.sandbox.command("faults", platform="mastodon", times=0, status=500)
    await later(rig, 60)
    says = await asked(rig, id_, csrf)
    assert says.startswith("Mastodon could not be asked now: ")
    assert "Landfall tries again." in says
    assert "accepts" not in says


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_check_that_failed_is_not_repeated_before_its_pause_is_over(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    csrf = await logged_in(rig)
    [id_, *_] = await rig.connect(platform)
    await rig.sandbox.command("faults", platform=platform, times=0, status=500)
    await later(rig, 61)
    title, pause = PROVIDERS[platform].title, rig.refresher.pause(platform)
    assert (await asked(rig, id_, csrf)).startswith(f"{title} could not be asked now: ")
    await rig.raw("UPDATE connections SET access_expires_at = now() WHERE access_expires_at IS NOT NULL")
    before = await calls(rig, platform)
    for _ in range(3):
        rig.providers.client.breakers.clear()
        says = await asked(rig, id_, csrf)
        said = (
            rf"{title} was last asked at \d\d:\d\d:\d\d UTC, and gave no answer: .* Landfall tries again;"
            rf" wait {pause} seconds before the next check\."
        )
        assert re.fullmatch(said, says), says
        await rig.api("POST", f"/api/connections/{id_}/check")
    assert await calls(rig, platform) == before
    [row] = await rig.raw("SELECT refresh_failures FROM connections WHERE id = $1::uuid", id_)
    assert row["refresh_failures"] == 1
    monkeypatch.setattr(type(rig.refresher), "pause", lambda *_: 0)
    rig.providers.client.breakers.clear()
    assert (await asked(rig, id_, csrf)).startswith(f"{title} could not be asked now: ")
    assert await calls(rig, platform) > before


async def test_page_says_once_what_was_connected_and_where(rig: Rig) -> None:
    await logged_in(rig)
    query = await rig.consented("threads", account="alice", return_to="/connections")
    async with rig.http.get(f"{rig.url}/api/auth/threads/callback", params=query, headers=HTML) as response:
        assert str(response.url) == f"{rig.url}/connections"
        assert "Connected: alice on Threads." in await response.text()
    assert "Connected: alice" not in (await page(rig))[1]


async def test_partial_grant_says_what_does_not_work(rig: Rig) -> None:
    await logged_in(rig)
    query = await rig.consented("tiktok", untick="video.publish")
    outcome = await rig.back("tiktok", query)
    assert outcome["ok"], outcome
    _, text = await page(rig)
    assert "Not allowed: <code>video.publish</code>, so publishing does not work" in text
    assert "<code>video.list</code>" in text


async def test_two_accounts_of_one_name_are_told_apart_by_their_numbers(rig: Rig) -> None:
    csrf = await logged_in(rig)
    ids = [*(await rig.connect("tiktok")), *(await rig.connect("tiktok", account="alice"))]
    shown = [{name: value for name, value in (await rig.shown(id_)).items() if name != "sync"} for id_ in ids]
    assert "(" not in descriptions.names([ConnectionDetails(**each) for each in shown])[ids[0]]
    await rig.raw("UPDATE connections SET username = 'alice'")
    _, text = await page(rig)
    for id_ in ids:
        number = (await rig.shown(id_))["account_id"]
        assert f'aria-label="Disconnect alice ({number}), TikTok"' in text
    number = (await rig.shown(ids[0]))["account_id"]
    await post(rig, f"/connections/{ids[0]}/disconnect", csrf=csrf)
    assert f"alice ({number}) on TikTok is disconnected." in (await page(rig))[1]


def test_question_about_another_account_of_the_same_name_shows_both_numbers() -> None:
    provider = PROVIDERS["threads"]
    account = Account("2", "alice", list(provider.needed), {"access_token": "t"})
    for name, meant, found in (("alice", "alice (1)", "alice (2)"), ("shop", "shop", "alice")):
        asks = decide("threads", provider, [account], ReconnectTarget(("threads", "1"), name), [])
        assert isinstance(asks, Selection)
        assert asks.message.startswith(f"You wanted to connect {meant} again, but this is {found}. ")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_does_not_work_without_it_is_known_of_every_permission(platform: str) -> None:
    provider = PROVIDERS[platform]
    products = {scope for scopes in provider.products.values() for scope in scopes}
    assert set(provider.scope_uses) == {*provider.scopes, *products}
    assert set(provider.unreported_scopes) < set(provider.scopes)
    nothing = descriptions.permissions(provider, [])
    assert {*nothing.missing, *nothing.unreported} == set(provider.scopes)
    assert all(nothing.missing.values())
    assert descriptions.permissions(provider, provider.scopes).missing == {}


def test_wider_permission_holds_the_narrower_ones() -> None:
    assert descriptions.permissions(PROVIDERS["mastodon"], ["read", "write"]).missing == {}


NOTICED = {
    "facebook": ("tells Landfall at once when somebody removes the application", "asks once a day"),
    "instagram": ("tells Landfall at once when somebody removes the application", "asks once a day"),
    "threads": ("tells Landfall at once when somebody removes the application", "asks once a day"),
    "tiktok": ("tells Landfall at once by a webhook", "asks every 84 minutes as well"),
    "x": ("does not tell", "asks every 84 minutes"),
    "linkedin": ("does not tell", "asks once a day"),
    "mastodon": ("does not tell", "asks once a day"),
}


def test_page_says_of_every_platform_how_soon_a_revocation_is_noticed() -> None:
    assert set(NOTICED) == set(PLATFORMS)
    for platform, words in NOTICED.items():
        says = descriptions.revocation_notice(PROVIDERS[platform])
        assert all(each in says for each in words), says


@pytest.mark.parametrize("platform", PLATFORMS)
def test_accounts_of_every_platform_are_asked_as_often_as_it_is_set(platform: str) -> None:
    provider = checked_every(PROVIDERS[platform], 120)
    asked = provider.refresh_policy.due(provider.lifetimes.access, 1.0) if provider.check is None else provider.check_in
    assert asked is not None
    assert asked <= 120
    assert "every 2 minutes" in descriptions.revocation_notice(provider)


async def test_account_whose_check_is_a_refresh_is_refreshed_as_often_as_it_is_set(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    often = {name: checked_every(provider, 120) for name, provider in rig.providers.by_platform.items()}
    monkeypatch.setattr(rig.refresher, "_providers", replace(rig.providers, by_platform=often))
    [id_] = await rig.connect("x")
    await rig.due()
    assert await rig.refresher.refresh(id_) == "refreshed"
    [row] = await rig.raw("SELECT extract(epoch FROM refresh_due_at - now())::float8 AS seconds FROM connections")
    assert 60 < row["seconds"] <= 120


async def card(rig: Rig, id_: str) -> str:
    """The card of an account, in the words that are read."""
    _, text = await page(rig)
    [found] = re.findall(rf'<article id="at-{id_}".*?>(.*?)</article>', text, re.DOTALL)
    return " ".join(lxml.html.fragment_fromstring(found, create_parent="div").text_content().split())


async def test_card_says_how_the_events_of_its_account_come_and_how_long_it_lasts(rig: Rig) -> None:
    await logged_in(rig)
    [id_] = await rig.connect("instagram")
    assert "Landfall looks soon whether they are sent." in await card(rig, id_)
    await rig.raw(
        "INSERT INTO event_subscriptions (tenant_id, connection_id, state, checked_at)"
        " SELECT tenant_id, id, 'complete', now() FROM connections"
    )
    shown = await card(rig, id_)
    assert "Sent by webhook." in shown
    assert "Silent" not in shown
    await rig.raw(
        "INSERT INTO event_silences (tenant_id, connection_id, heard_at, silent_since, usual_hours, alarm_hours)"
        " SELECT tenant_id, id, '2026-05-01 09:30Z', '2026-05-01 09:30Z', 5, 20 FROM connections"
    )
    shown = await card(rig, id_)
    assert "Silent for too long: usually at most 5 hours pass between two. Last one 2026-05-01 09:30 UTC" in shown
    await rig.raw("UPDATE event_subscriptions SET trouble = 'the platform did not answer'")
    assert "Whether they are sent is not seen: the platform did not answer" in await card(rig, id_)
    await rig.raw(
        "UPDATE event_subscriptions SET state = 'incomplete', missing = '{account comments}', incomplete_since = now(),"
        " advice = 'Connect it again.'"
    )
    assert "Not all are sent, missing: account comments. Connect it again." in await card(rig, id_)
    [other] = await rig.connect("tiktok")
    shown = await card(rig, other)
    assert PROVIDERS["tiktok"].unsubscribed in shown
    assert re.search(r"since \d{4}-\d\d-\d\d, until \d{4}-\d\d-\d\d \(\d+ days left\)", shown)
