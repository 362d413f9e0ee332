"""Connecting members of LinkedIn and their organizations: ``linkedin.md`` 1.1 and 1.2."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from ops.access import users
from ops.runtime.tenancy import tenant_transaction
from ops.sandbox.client import CommandRejected
from publish.connections import connection_store
from publish.platforms.linkedin import COMMUNITY_MANAGEMENT, SCOPES
from publish.vault.envelope import LocalRing, Vault
from schema.tenancy import DEFAULT_TENANT
from tests.posting import Posting, posting
from tests.rig import KEYS, TESTS, Rig, use_community_management
from tests.support import eventually

ME, ACME, BAKERY = "linkedin:sHoP003", "linkedin:1000", "linkedin:2000"
TOKENS = "POST /oauth/v2/accessToken"


@pytest.fixture
async def publishing(rig: Rig) -> AsyncIterator[Posting]:
    async with posting(rig) as found:
        yield found


def simulated(rig: Rig) -> Any:
    return rig.server.simulation.platforms["linkedin"]


async def offered(rig: Rig, account: str = "shop", **query: str) -> dict[str, Any]:
    outcome = await rig.back("linkedin", await rig.consented("linkedin", account=account, **query))
    assert outcome["kind"] == "choose", outcome
    return {item["account"]: item for item in outcome["choose"]}


async def connected(rig: Rig, *wanted: str, account: str = "shop") -> list[str]:
    """Choose these; their ids."""
    await use_community_management(rig)
    await offered(rig, account)
    outcome = await rig.chosen("linkedin", list(wanted))
    assert outcome["ok"], outcome
    ids: list[str] = outcome["connections"]
    return ids


async def role(rig: Rig, organization: str = "acme", **settings: str) -> None:
    settings = {"member": "shop"} | settings
    await rig.sandbox.command("account", platform="linkedin", account=organization, settings=settings)


async def held(rig: Rig, id_: str) -> dict[str, str]:
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        return await connection_store.secrets(connection, Vault(LocalRing(KEYS)), DEFAULT_TENANT, id_)


async def asked(rig: Rig, path: str) -> int:
    return len(await rig.sandbox.ledger("call", platform="linkedin", path=path))


def scopes_of(address: str) -> list[str]:
    [scope] = parse_qs(urlsplit(address).query)["scope"]
    return scope.split()


# --- what is asked for


async def test_without_the_product_the_member_alone_is_asked_for_and_connected(rig: Rig) -> None:
    assert scopes_of(await rig.started("linkedin")) == list(SCOPES)
    [id_] = await rig.connect("linkedin")
    found = await rig.shown(id_)
    assert (found["account_id"], found["profile"]["owner"]) == ("sHoP003", "person")
    assert await asked(rig, "/rest/organizationAcls") == 0


async def test_with_the_product_its_own_scopes_are_asked_for_and_no_others(rig: Rig) -> None:
    """``linkedin.md`` 1.1: one that the application does not have fails the whole request."""
    await use_community_management(rig)
    assert scopes_of(await rig.started("linkedin")) == list(COMMUNITY_MANAGEMENT)


async def test_product_that_the_application_does_not_have_is_told_to_whom_it_concerns(rig: Rig) -> None:
    rig.variables["LINKEDIN_PRODUCT"] = ("community_management",)
    address = await rig.started("linkedin")
    async with rig.http.get(address, allow_redirects=False) as response:
        query = {name: values[0] for name, values in parse_qs(urlsplit(response.headers["Location"]).query).items()}
    outcome = await rig.back("linkedin", query)
    assert (outcome["kind"], outcome["error"]["code"]) == ("app", "not_configured"), outcome
    assert outcome["says"].endswith("its operator must get them granted, or correct LINKEDIN_PRODUCT.")
    await rig.sandbox.command("variants", platform="linkedin", name="unauthorized_scope", variant="page")
    with pytest.raises(CommandRejected, match="is not authorized for your application"):
        await rig.consented("linkedin")
    assert (await rig.api("GET", "/api/connections"))[1]["connections"] == []


@pytest.mark.parametrize("product", ["advertising", "community_management,advertising"])
async def test_product_that_is_none_is_refused_before_anybody_goes_to_the_platform(rig: Rig, product: str) -> None:
    rig.variables["LINKEDIN_PRODUCT"] = tuple(product.split(","))
    status, answer = await rig.api("GET", "/api/auth/linkedin")
    assert (status, answer["error"]["retryable"]) == (503, False), answer
    assert "LINKEDIN_PRODUCT may be community_management, or empty, and not" in answer["error"]["message"]


async def test_no_person_widens_what_is_asked_for(rig: Rig) -> None:
    """``linkedin.md`` 1: another set than before ends the tokens of before."""
    status, answer = await rig.api("GET", "/api/auth/linkedin", params={"optional_scopes": "w_organization_social"})
    assert (status, answer["error"]["code"]) == (400, "invalid_request")


# --- what is chosen


async def test_member_and_organizations_are_offered_with_whose_they_are(rig: Rig) -> None:
    await use_community_management(rig)
    shown = await offered(rig)
    assert {name: (item["username"], item["owner"]) for name, item in shown.items()} == {
        ME: ("Shop Sandbox", "person"),
        ACME: ("Acme", "organization"),
        BAKERY: ("Bakery", "organization"),
    }
    assert (shown[ME]["why_not"], shown[ACME]["why_not"]) == ("", "")
    assert "You may not post as Bakery" in shown[BAKERY]["why_not"], "an analyst"
    assert [name for name, item in shown.items() if item["chosen"]] == [ME, ACME]
    refused = await rig.chosen("linkedin", [BAKERY])
    assert (refused["kind"], "You may not post as Bakery" in refused["says"]) == ("lacking", True)
    outcome = await rig.chosen("linkedin", [ACME])
    assert outcome["says"] == "Connected: Acme on LinkedIn."
    [found] = (await rig.api("GET", "/api/connections"))[1]["connections"]
    assert (found["account_id"], found["username"], found["state"]) == ("1000", "Acme", "active")
    assert found["profile"]["urn"] == "urn:li:organization:1000"
    assert found["profile"]["owner"] == "organization"
    assert set(found["scopes"]) == set(COMMUNITY_MANAGEMENT)


async def test_each_that_is_chosen_is_a_connection_of_its_own(rig: Rig) -> None:
    me, acme = await connected(rig, ME, ACME)
    found = [await rig.shown(id_) for id_ in (me, acme)]
    assert [item["profile"]["urn"] for item in found] == ["urn:li:person:sHoP003", "urn:li:organization:1000"]
    assert await held(rig, me) == await held(rig, acme), "they hang on one grant"
    assert await rig.connect("linkedin") == [me, acme], "and keep their ids"


async def test_role_that_ends_between_looking_and_choosing_is_noticed(rig: Rig) -> None:
    await use_community_management(rig)
    await offered(rig)
    await role(rig, role="ANALYST")
    outcome = await rig.chosen("linkedin", [ME, ACME])
    assert (outcome["kind"], "may not post as it any more" in outcome["says"]) == ("lacking", True)
    assert (await rig.api("GET", "/api/connections"))[1]["connections"] == []
    assert (await rig.chosen("linkedin", [ME]))["ok"]


async def test_content_administrator_sees_names_and_posts(rig: Rig) -> None:
    """``linkedin.md`` 1.2: the whole organization is for administrators, its name for everybody."""
    await use_community_management(rig)
    await role(rig, role="CONTENT_ADMINISTRATOR")
    shown = await offered(rig)
    assert (shown[ACME]["username"], shown[ACME]["why_not"]) == ("Acme", "")
    await rig.sandbox.command("variants", platform="linkedin", name="tier", variant="development")
    assert (await offered(rig))[ACME]["username"] == "", "neither list nor object: its number is shown"
    await role(rig, role="ADMINISTRATOR")
    assert (await offered(rig))[ACME]["username"] == "Acme", "one by one, where no list is for the application"


async def test_person_sees_in_the_browser_which_is_an_organization(rig: Rig) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "ada@example.org", "correct horse battery", "owner", TESTS)
    html = {"Accept": "text/html"}
    async with rig.http.post(
        f"{rig.url}/login", data={"email": "ada@example.org", "password": "correct horse battery"}
    ):
        pass
    await use_community_management(rig)
    query = await rig.sandbox.consent(await rig.pressed(f"{rig.url}/api/auth/linkedin"), "approve", "shop")
    assert isinstance(query, dict)
    async with rig.http.get(f"{rig.url}/api/auth/linkedin/callback", params=query, headers=html) as response:
        text = await response.text()
    assert "LinkedIn: Acme (organization)" in text
    assert "LinkedIn: Shop Sandbox (person)" in text
    await rig.chosen("linkedin", [ME, ACME])
    async with rig.http.get(f"{rig.url}/connections", headers=html) as response:
        text = await response.text()
    assert 'LinkedIn <span class="soft">organization</span>' in text
    assert 'LinkedIn <span class="soft">person</span>' in text
    assert "Not allowed:" not in text, "what another product has is not missing"


# --- one grant


@pytest.mark.parametrize("variant", ["kept", "rotated"])
async def test_refresh_of_one_gives_the_others_the_new_token(rig: Rig, variant: str) -> None:
    """``linkedin.md`` 9: whether the refresh token changes is not confirmed, so either must do."""
    simulated(rig).partner = True
    me, acme = await connected(rig, ME, ACME)
    await rig.sandbox.command("variants", platform="linkedin", name="refresh_token", variant=variant)
    before = await held(rig, me)
    await rig.raw("UPDATE connections SET refresh_due_at = now() WHERE id = $1::uuid", acme)
    assert await rig.refresher.refresh(acme) == "refreshed"
    assert await held(rig, me) == await held(rig, acme) != before
    [[due, other]] = await rig.raw("SELECT min(refresh_due_at), max(refresh_due_at) FROM connections")
    assert due == other, "it is not refreshed again for each"
    for id_ in (me, acme, me):
        await rig.raw("UPDATE connections SET refresh_due_at = now() WHERE id = $1::uuid", id_)
        assert await rig.refresher.refresh(id_) == "refreshed"
    await rig.raw("UPDATE connections SET check_due_at = now()")
    assert [await rig.refresher.refresh(id_) for id_ in (me, acme)] == ["checked", "checked"]


async def test_two_workers_use_a_refresh_token_once_though_two_connections_hold_it(rig: Rig) -> None:
    simulated(rig).partner = True
    me, acme = await connected(rig, ME, ACME)
    await rig.sandbox.command("variants", platform="linkedin", name="refresh_token", variant="rotated")
    before = await asked(rig, "/oauth/v2/accessToken")
    for _ in range(5):
        await rig.raw("UPDATE connections SET refresh_due_at = now()")
        outcomes = await asyncio.gather(*(rig.refresher.refresh(id_) for id_ in (me, acme, me, acme)))
        assert sorted(outcomes) == ["leased", "leased", "leased", "refreshed"]
    assert await asked(rig, "/oauth/v2/accessToken") == before + 5
    assert (await rig.refresher.access(DEFAULT_TENANT, me)) == (await rig.refresher.access(DEFAULT_TENANT, acme))
    assert {row["trouble"] for row in await rig.raw("SELECT trouble FROM connections")} == {None}


async def test_token_is_waited_for_while_it_is_refreshed_for_another_connection(rig: Rig) -> None:
    simulated(rig).partner = True
    me, acme = await connected(rig, ME, ACME)
    await rig.raw("UPDATE connections SET access_expires_at = now(), refresh_due_at = now()")
    await rig.sandbox.command("faults", platform="linkedin", endpoint=TOKENS, times=1, delay_seconds=1.0, effect=True)
    refreshing = asyncio.create_task(rig.refresher.refresh(acme))
    await asyncio.sleep(0.3)
    found = await rig.refresher.access(DEFAULT_TENANT, me)
    assert await refreshing == "refreshed"
    assert found == await held(rig, acme)


async def test_refresh_and_a_new_consent_take_the_connections_of_a_grant_in_one_order(rig: Rig) -> None:
    """Each wants both rows. In two orders one would end the other, and with it a token that is held nowhere else."""
    simulated(rig).partner = True
    me, acme = await connected(rig, ME, ACME)
    await offered(rig)
    await rig.raw("UPDATE connections SET refresh_due_at = now() WHERE id = $1::uuid", me)
    await rig.sandbox.command("faults", platform="linkedin", endpoint=TOKENS, times=1, delay_seconds=1.0, effect=True)
    refreshing = asyncio.create_task(rig.refresher.refresh(me))
    await eventually(lambda: rig.raw("SELECT 1 FROM connections WHERE lease_until > now()"))

    async def waiting(many: int) -> Any:
        [[count]] = await rig.raw("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        return count >= many

    holder = await asyncpg.connect(rig.dsn, server_settings={"landfall.tenant": DEFAULT_TENANT})
    try:
        async with holder.transaction():
            await holder.execute("SELECT 1 FROM connections WHERE id = $1::uuid FOR UPDATE", acme)
            await eventually(lambda: waiting(1))
            choosing = asyncio.create_task(rig.chosen("linkedin", [ME]))
            await eventually(lambda: waiting(2))
    finally:
        await holder.close()
    assert await refreshing == "refreshed"
    assert (await choosing)["connections"] == [me]
    assert await held(rig, me) == await held(rig, acme)


async def test_refresh_that_fails_leaves_all_of_them_to_be_tried_again(rig: Rig) -> None:
    simulated(rig).partner = True
    me, acme = await connected(rig, ME, ACME)
    before = await held(rig, me)
    await rig.sandbox.command("faults", platform="linkedin", endpoint=TOKENS, times=1, status=503)
    await rig.raw("UPDATE connections SET refresh_due_at = now()")
    assert await rig.refresher.refresh(acme) == "failed"
    assert (await rig.shown(me))["trouble"] is None
    assert await held(rig, me) == before
    assert await rig.refresher.refresh(me) == "refreshed"
    found = await rig.shown(acme)
    assert (found["trouble"], found["refresh_failures"]) == (None, 0), "the new token is its own too"


async def test_consent_with_other_scopes_gives_every_connection_of_the_member_the_token_that_lives(rig: Rig) -> None:
    """``linkedin.md`` 1: asking for another set of scopes ends the tokens of before."""
    [me] = await rig.connect("linkedin")
    [acme] = await connected(rig, ACME)
    assert await held(rig, me) == await held(rig, acme)
    found = await rig.shown(me)
    assert (found["state"], set(found["scopes"])) == ("active", set(COMMUNITY_MANAGEMENT))
    assert await rig.refresher.refresh(me) == "checked", "and it was due at once"
    assert found["profile"]["owner"] == "person"


async def test_what_does_not_work_any_more_gets_no_token_of_another_one(rig: Rig) -> None:
    me, acme = await connected(rig, ME, ACME)
    await rig.raw("UPDATE connections SET state = 'needs_reconnect', reason = 'a test' WHERE id = $1::uuid", me)
    before = await held(rig, me)
    assert await connected(rig, ACME) == [acme]
    assert (await rig.shown(me))["state"] == "needs_reconnect"
    assert await held(rig, me) == before != await held(rig, acme)
    await rig.api("DELETE", f"/api/connections/{me}")
    assert await connected(rig, ACME) == [acme]
    assert (await rig.shown(me))["state"] == "disconnected"
    assert await held(rig, me) == {}


async def test_what_somebody_else_connected_keeps_its_own_token(rig: Rig) -> None:
    [acme] = await connected(rig, ACME, account="alice")
    before = await held(rig, acme)
    [me] = await connected(rig, ME)
    assert await held(rig, acme) == before != await held(rig, me)
    [same] = await connected(rig, ACME)
    assert (same, await held(rig, acme)) == (acme, await held(rig, me)), "until they take it over"


async def test_disconnecting_one_leaves_the_others_and_the_last_is_told_to_the_platform(rig: Rig) -> None:
    me, acme = await connected(rig, ME, ACME)
    assert (await rig.api("DELETE", f"/api/connections/{acme}"))[0] == 200
    assert await asked(rig, "/oauth/v2/revoke") == 0
    assert (await rig.shown(acme))["state"] == "disconnected"
    assert await held(rig, acme) == {}
    await rig.due()
    assert await rig.refresher.refresh(me) == "checked"
    assert (await rig.api("DELETE", f"/api/connections/{me}"))[0] == 200
    assert await asked(rig, "/oauth/v2/revoke") == 1


async def test_bringing_an_organization_back_renews_all_of_the_member(rig: Rig) -> None:
    me, acme = await connected(rig, ME, ACME)
    await rig.sandbox.command("act", platform="linkedin", what="revoke", account="shop")
    for id_ in (me, acme):
        await rig.due()
        assert await rig.refresher.refresh(id_) == "needs_reconnect"
    outcome = await rig.back("linkedin", await rig.consented("linkedin", connection=acme))
    assert (outcome["ok"], sorted(outcome["connections"])) == (True, sorted([me, acme]))


# --- a lost role


async def test_role_that_is_lost_is_found_by_the_daily_check_and_the_member_stays_connected(rig: Rig) -> None:
    me, acme = await connected(rig, ME, ACME)
    await role(rig, state="REVOKED")
    await rig.due()
    assert [await rig.refresher.refresh(id_) for id_ in (me, acme)] == ["checked", "needs_reconnect"]
    found = await rig.shown(acme)
    assert "Have one of its administrators on LinkedIn make them administrator" in found["reason"]
    [notice] = (await rig.api("GET", "/api/notices"))[1]["notices"]
    assert (notice["kind"], notice["connection_id"]) == ("needs_reconnect", acme)
    refused = await rig.back("linkedin", await rig.consented("linkedin", connection=acme))
    assert refused["ok"] is False, "not before the role is back"
    await role(rig)
    assert (await rig.back("linkedin", await rig.consented("linkedin", connection=acme)))["ok"]
    assert (await rig.shown(acme))["state"] == "active"


@pytest.mark.parametrize("kind", ["text", "image"])
async def test_organization_posts_and_the_ledger_names_it_as_author(publishing: Posting, kind: str) -> None:
    rig = publishing.rig
    me, acme = await connected(rig, ME, ACME)
    media = [publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)] if kind == "image" else []
    row = await publishing.run(await publishing.target(acme, "Tea for all", media=media))
    assert (row["state"], row["kind"]) == ("published", kind), dict(row)
    [post] = await publishing.shown("linkedin")
    assert (post["account"], post["id"]) == ("acme", row["platform_post_id"])
    assert (post["options"]["author"], len(post["files"])) == ("urn:li:organization:1000", len(media))
    await publishing.run(await publishing.target(me, "Tea for me"))
    assert [post["options"]["author"] for post in await publishing.shown("linkedin")] == [
        "urn:li:organization:1000",
        "urn:li:person:sHoP003",
    ]


@pytest.mark.parametrize("kind", ["text", "image"])
async def test_post_without_the_role_fails_and_says_what_to_do(publishing: Posting, kind: str) -> None:
    rig = publishing.rig
    me, acme = await connected(rig, ME, ACME)
    await role(rig, role="")
    await rig.raw("UPDATE connections SET checked_at = checked_at - interval '1 minute'")
    media = [publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)] if kind == "image" else []
    row = await publishing.run(await publishing.target(acme, "Tea for all", media=media))
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "scope_not_authorized", False), dict(row)
    assert "Have an administrator of the page give the role back, or let somebody who has it" in row["error_message"]
    assert await publishing.shown("linkedin") == []
    found = await rig.shown(acme)
    assert (found["state"], "Have one of its administrators" in found["reason"]) == ("needs_reconnect", True), "at once"
    [notice] = [each for each in (await rig.api("GET", "/api/notices"))[1]["notices"] if each["connection_id"] == acme]
    assert notice["kind"] == "needs_reconnect"
    other = await publishing.run(await publishing.target(acme, "More tea", media=media))
    assert (other["state"], other["error_code"]) == ("failed", "access_token_invalid")
    assert "may not post as it any more. Have one of its administrators" in other["error_message"]
    assert (await publishing.run(await publishing.target(me, "Tea for me")))["state"] == "published"


async def test_role_that_is_lost_refuses_a_post_before_it_is_accepted_and_says_what_to_do(rig: Rig) -> None:
    me, acme = await connected(rig, ME, ACME)
    await role(rig, role="")
    await rig.raw("UPDATE connections SET checked_at = checked_at - interval '1 minute'")
    body = {"content": "Tea", "action": "publish", "targets": [{"connection": acme}]}
    status, refused = await rig.api("POST", "/api/posts", json=body)
    assert (status, refused["error"]["code"]) == (422, "access_token_invalid"), refused
    assert "Have one of its administrators on LinkedIn make them administrator" in refused["error"]["message"]
    assert (await rig.shown(acme))["state"] == "needs_reconnect"
    status, made = await rig.api("POST", "/api/posts", json={**body, "targets": [{"connection": me}]})
    assert status == 201, made


async def test_role_is_looked_at_once_a_minute_however_many_posts_are_made(rig: Rig) -> None:
    _, acme = await connected(rig, ME, ACME)
    await rig.raw("UPDATE connections SET checked_at = checked_at - interval '1 minute'")
    before = len(await rig.sandbox.ledger("call", platform="linkedin"))
    body = {"action": "draft", "targets": [{"connection": acme}]}
    for text in ("Tea", "Coffee", "Milk"):
        assert (await rig.api("POST", "/api/posts", json={**body, "content": text}))[0] == 201
    calls = (await rig.sandbox.ledger("call", platform="linkedin"))[before:]
    assert [call["path"] for call in calls if "organizationAcls" in call["path"]] == ["/rest/organizationAcls"]


async def test_comments_need_the_permission_for_them_and_posts_do_not(rig: Rig) -> None:
    """``linkedin.md`` 1: the scopes ``…_social_feed``."""
    _, acme = await connected(rig, ME, ACME)
    await rig.raw(
        "UPDATE connections SET scopes = array_remove(scopes, 'w_organization_social_feed') WHERE id = $1::uuid", acme
    )

    async def refusals(**more: Any) -> list[str]:
        body = {"content": "Tea", "action": "publish", "dry_run": True} | more
        _, answer = await rig.api("POST", "/api/posts", json=body)
        return [found["item"] for found in answer.get("error", {}).get("details", {}).get("findings", [])]

    target = {"connection": acme, "kind": "text"}
    assert await refusals(targets=[target]) == []
    assert await refusals(targets=[target | {"options": {"first_comment": "More"}}]) == ["option first_comment"]
    assert await refusals(targets=[target], thread=["More"]) == ["post"]
    await rig.raw("UPDATE connections SET scopes = scopes || '{w_organization_social_feed}'")
    assert await refusals(targets=[target | {"options": {"first_comment": "More"}}]) == []
    assert await refusals(targets=[target], thread=["More"]) == []
    await rig.raw("UPDATE connections SET scopes = array_remove(scopes, 'w_organization_social')")
    assert await refusals(targets=[target]) == ["post"]
