"""What ends something asks first, on a page of its own, and says once what was done."""

import re

import pytest

from ops.access import api_keys, invitations, users
from schema.tenancy import DEFAULT_TENANT
from tests.integration.ops.access.test_users import EMAIL, PASSWORD, logged_in, page, post
from tests.rig import TESTS, Rig, form_of

EVE = "eve@example.org"
NOBODY = "00000000-0000-7000-8000-00000000dead"


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


async def confirmed(rig: Rig, path: str) -> tuple[str, str]:
    """The page that asks, and the page that one comes to after its one button."""
    status, asks = await page(rig, path)
    assert status == 200, asks
    action, fields = form_of(asks)
    assert (action, set(fields)) == (path, {"csrf"})
    status, where, _ = await post(rig, action, **fields)
    assert status == 303
    return asks, (await page(rig, where))[1]


def told(text: str) -> str:
    """What the page says was done."""
    return " ".join(re.findall(r'role="status">(.*?)</p>', text))


async def test_disconnect_asks_first_says_what_ends_and_says_once_that_it_is_done(rig: Rig) -> None:
    await logged_in(rig)
    [id_] = await rig.connect("tiktok")
    _, text = await page(rig)
    assert f'href="/connections/{id_}/disconnect" aria-label="Disconnect shop, TikTok"' in text
    status, asks = await page(rig, f"/connections/{id_}/disconnect")
    assert (status, (await rig.shown(id_))["state"]) == (200, "active"), "to look ends nothing"
    asks, after = await confirmed(rig, f"/connections/{id_}/disconnect")
    assert "Disconnect shop on TikTok?" in asks
    assert "Landfall tells TikTok" in asks
    assert told(after) == "shop on TikTok is disconnected."
    assert told((await page(rig))[1]) == "", "loaded again, the page is silent"
    assert (await rig.shown(id_))["state"] == "disconnected"
    assert (await page(rig, f"/connections/{id_}/disconnect"))[0] == 303, "there is nothing left to ask"


async def test_account_of_a_platform_without_revocation_is_told_where_to_give_it_back(rig: Rig) -> None:
    await logged_in(rig)
    [id_] = await rig.connect("threads")
    _, asks = await page(rig, f"/connections/{id_}/disconnect")
    assert "Threads offers no way to withdraw the permission from here" in asks


async def test_platform_that_cannot_be_told_is_named_after_the_disconnect(rig: Rig) -> None:
    await logged_in(rig)
    [id_] = await rig.connect("tiktok")
    await rig.sandbox.command("faults", platform="tiktok", endpoint="POST /v2/oauth/revoke", times=9, status=503)
    _, after = await confirmed(rig, f"/connections/{id_}/disconnect")
    assert told(after) == "shop on TikTok is disconnected. TikTok could not be told yet; Landfall tries again."


async def test_removing_a_person_names_the_keys_and_invitations_that_end(rig: Rig) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, EVE, PASSWORD, "owner", TESTS)
    eve = await users.find_member(rig.pool, DEFAULT_TENANT, EVE)
    assert eve is not None
    for name in ("crm", "etl"):
        await api_keys.create(rig.pool, DEFAULT_TENANT, name, api_keys.DEFAULT_SCOPES, TESTS, (eve, "owner"))
    await logged_in(rig, EVE)
    csrf = re.findall(r'name="csrf" value="(\w+)"', (await page(rig, "/people"))[1])[0]
    await post(rig, "/people", csrf=csrf, email="bob@example.org", role="viewer")
    await logged_in(rig)
    asks, after = await confirmed(rig, f"/people/{eve}/remove")
    assert f"Remove {EVE}?" in asks
    assert f"2 API keys end made by {EVE}: crm, etl." in asks
    assert f"1 invitation ends sent by {EVE}: bob@example.org." in asks
    assert told(after) == f"{EVE} is removed. 2 API keys end with that: crm, etl."
    assert await invitations.list_invitations(rig.pool, DEFAULT_TENANT) == []
    assert told((await page(rig, "/people"))[1]) == ""


async def test_revoking_a_key_and_withdrawing_an_invitation_ask_and_tell(rig: Rig) -> None:
    csrf = await logged_in(rig)
    await post(rig, "/people", csrf=csrf, email="bob@example.org", role="viewer")
    [invited] = await invitations.list_invitations(rig.pool, DEFAULT_TENANT)
    asks, after = await confirmed(rig, f"/people/invitations/{invited.id}/withdraw")
    assert "The link that was sent to bob@example.org, to join as viewer, stops working." in asks
    assert told(after) == "The invitation of bob@example.org is withdrawn."
    [key] = await api_keys.list_keys(rig.pool, DEFAULT_TENANT)
    asks, after = await confirmed(rig, f"/keys/{key.id}/revoke")
    assert "Programs that use the key tests are refused at once." in asks
    assert told(after) == "The key tests is revoked."
    for gone in (
        f"/people/invitations/{invited.id}/withdraw",
        f"/keys/{key.id}/revoke",
        f"/people/{NOBODY}/remove",
    ):
        assert (await page(rig, gone))[0] == 404, gone


async def test_only_whoever_may_do_it_is_asked(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    [key] = await api_keys.list_keys(rig.pool, DEFAULT_TENANT)
    await users.add(rig.pool, DEFAULT_TENANT, EVE, PASSWORD, "viewer", TESTS)
    await logged_in(rig, EVE)
    for path in (f"/connections/{id_}/disconnect", f"/keys/{key.id}/revoke", f"/people/{NOBODY}/remove"):
        status, text = await page(rig, path)
        assert (status, "Ask an owner" in text) == (403, True), path


async def test_message_that_another_session_left_is_not_shown(rig: Rig) -> None:
    """A cookie is all that a message is: one that was planted, or is left of somebody else, says nothing."""
    csrf = await logged_in(rig)
    [key] = await api_keys.list_keys(rig.pool, DEFAULT_TENANT)
    await post(rig, f"/keys/{key.id}/revoke", csrf=csrf)
    [cookie] = [c for c in rig.http.cookie_jar if c.key == "landfall-message"]
    await users.add(rig.pool, DEFAULT_TENANT, EVE, PASSWORD, "owner", TESTS)
    rig.http.cookie_jar.clear(lambda kept: kept.key == "landfall-message")
    await post(rig, "/login", email=EVE, password=PASSWORD)
    for value in (cookie.value, "x", "0" * 64 + ".e30=", "é"):
        rig.http.cookie_jar.update_cookies({"landfall-message": value})
        status, text = await page(rig, "/people")
        assert (status, told(text)) == (200, ""), value
