"""A flow belongs to the one browser that pressed its button, and a link to nobody until then."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import api_keys, tenants, users
from ops.web.pages.authorization import BROWSER_COOKIE, FLOW_COOKIE
from publish.oauth.authorization import AuthorizationFlows, mark_of
from schema.tenancy import DEFAULT_TENANT
from tests.rig import HTML, INSTANCE, PROVIDERS, TESTS, Rig, add_pages, form_of, led_to

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
JSON = {"Accept": "application/json"}
USED = "This link was used"


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


@asynccontextmanager
async def another() -> AsyncIterator[aiohttp.ClientSession]:
    """A browser of somebody else."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        yield browser


async def shown(http: aiohttp.ClientSession, address: str, **headers: str) -> tuple[int, str]:
    async with http.get(address, headers=HTML | headers, allow_redirects=False) as response:
        return response.status, await response.text()


async def sent(
    rig: Rig, http: aiohttp.ClientSession, path: str, form: dict[str, str], **headers: str
) -> tuple[int, str, str]:
    """Status, where it leads to, and text of the answer to a form."""
    url = rig.url + path
    async with http.post(url, data=form, headers=HTML | headers, allow_redirects=False) as response:
        text = await response.text()
        onward = led_to(text) if response.status == 200 else ""
        return response.status, response.headers.get("Location", onward), text


async def log_in(rig: Rig, http: aiohttp.ClientSession, email: str = EMAIL) -> str:
    """The token of that person's forms."""
    status, _, text = await sent(rig, http, "/login", {"email": email, "password": PASSWORD})
    assert status == 303, text
    _, text = await shown(http, f"{rig.url}/connections")
    return re.findall(r'name="csrf" value="(\w+)"', text)[0]


async def flows(rig: Rig) -> list[dict[str, Any]]:
    return [dict(row) for row in await rig.raw("SELECT * FROM oauth_states ORDER BY id")]


async def connections(rig: Rig) -> list[str]:
    return [row["username"] for row in await rig.raw("SELECT username FROM connections ORDER BY username")]


async def approved(rig: Rig, consent: str, account: str = "shop") -> dict[str, str]:
    query = await rig.sandbox.consent(consent, "approve", account)
    assert isinstance(query, dict)
    return query


def cookies(http: aiohttp.ClientSession) -> dict[str, str]:
    return {cookie.key: cookie.value for cookie in http.cookie_jar}


def state_of(consent: str) -> str:
    return parse_qs(urlsplit(consent).query)["state"][0]


def ticket_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["ticket"][0]


# --- the page


@pytest.mark.parametrize("platform", sorted(PROVIDERS))
async def test_link_shows_who_asks_for_what_and_opening_it_changes_nothing(rig: Rig, platform: str) -> None:
    link, before = await rig.link(platform), await flows(rig)
    for method, headers in (
        ("GET", {}),
        ("GET", {"Purpose": "prefetch", "Sec-Purpose": "prefetch"}),
        ("GET", {"Accept": "*/*", "User-Agent": "a preview of links"}),
        ("HEAD", {}),
    ):
        async with (
            another() as browser,
            browser.request(method, link, headers=HTML | headers, allow_redirects=False) as response,
        ):
            assert response.status == 200
            assert response.headers["Referrer-Policy"] == "no-referrer"
            assert response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Frame-Options"] == "DENY"
            text = await response.text()
            assert [name for name in cookies(browser) if name.startswith(FLOW_COOKIE)] == []
        assert await flows(rig) == before
    _, text = await shown(rig.http, link)
    expires = before[0]["expires_at"]
    named = ["API key tests", "default", PROVIDERS[platform].title, *PROVIDERS[platform].scopes, f"{expires:%H:%M}"]
    for words in [*named, INSTANCE] if platform == "mastodon" else named:
        assert words in text, words
    assert await approved(rig, await rig.pressed(link), "alice" if platform == "facebook" else "shop")


async def test_page_names_the_account_that_is_to_be_brought_back_and_nothing_of_another_tenant(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    _, text = await shown(rig.http, await rig.link("tiktok", connection=id_))
    assert "shop" in text
    other = await tenants.add(rig.connection, "other & co", TESTS)
    key = await api_keys.create(rig.pool, other, "<b>crm</b>", api_keys.DEFAULT_SCOPES, TESTS)
    _, text = await shown(rig.http, await rig.link("tiktok", key))
    assert ("other &amp; co" in text, "API key &lt;b&gt;crm" in text, "default" in text) == (True, True, False)


async def test_person_of_another_tenant_is_told_where_the_account_would_go(rig: Rig) -> None:
    other = await tenants.add(rig.connection, "Mallory's", TESTS)
    await users.add(rig.pool, other, "mallory@example.org", PASSWORD, "owner", TESTS)
    key = await api_keys.create(rig.pool, other, "theirs", api_keys.DEFAULT_SCOPES, TESTS)
    link = await rig.link("tiktok", key)
    warning = f"You are logged in here as {EMAIL}"
    assert warning not in (await shown(rig.http, link))[1]
    await log_in(rig, rig.http)
    _, text = await shown(rig.http, link)
    assert (warning in text, "goes to Mallory&#39;s, and not to default" in text) == (True, True)
    async with another() as owner:
        await log_in(rig, owner, "mallory@example.org")
        assert 'role="alert"' not in (await shown(owner, link))[1], "it is their own tenant"


async def test_links_that_are_none_are_told_so_and_where_to_go(rig: Rig) -> None:
    link = await rig.link("tiktok")
    for wrong in (link + "x", link.replace("tiktok", "x", 1), link.partition("?")[0]):
        status, text = await shown(rig.http, wrong)
        assert (status, "ask for a new link" in text) == (400, True)
        status, _, text = await sent(rig, rig.http, urlsplit(wrong).path, {"ticket": ticket_of(link) + "x"})
        assert status == 403
    await rig.raw("UPDATE oauth_states SET expires_at = now() - interval '1 second'")
    status, text = await shown(rig.http, link)
    assert (status, "too old" in text) == (400, True)


# --- the button


async def test_of_many_browsers_the_first_to_press_has_the_flow_and_each_other_is_told(rig: Rig) -> None:
    link = await rig.link("tiktok")
    browsers = [aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) for _ in range(5)]
    forms = [form_of((await shown(browser, link))[1]) for browser in browsers]
    answers = await asyncio.gather(
        *(sent(rig, browser, action, fields) for browser, (action, fields) in zip(browsers, forms, strict=True))
    )
    assert sorted(status for status, _, _ in answers) == [200, 400, 400, 400, 400]
    assert all(USED in text and "ask for a new one" in text for status, _, text in answers if status == 400)
    winner = next(number for number, (status, _, _) in enumerate(answers) if status == 200)
    query = await approved(rig, answers[winner][1])
    for number, browser in enumerate(browsers):
        if number != winner:
            assert USED in (await shown(browser, link))[1]
            assert "another browser" in (await rig.back("tiktok", query, browser))["says"]
    assert await connections(rig) == []
    assert (await rig.back("tiktok", query, browsers[winner]))["ok"]
    for browser in browsers:
        await browser.close()


async def test_browser_that_presses_twice_goes_on_and_so_does_one_that_went_back(rig: Rig) -> None:
    link = await rig.link("tiktok")
    action, fields = form_of((await shown(rig.http, link))[1])
    first, second = await asyncio.gather(*(sent(rig, rig.http, action, fields) for _ in range(2)))
    assert first[:2] == second[:2]
    assert first[0] == 200
    [before] = await flows(rig)
    assert await rig.pressed(link) == first[1], "the page is there again when one goes back"
    assert [before] == await flows(rig), "and its time is not lengthened"
    assert (await rig.back("tiktok", await approved(rig, first[1])))["ok"]
    assert USED in (await shown(rig.http, link))[1]
    status, _, text = await sent(rig, rig.http, action, fields)
    assert (status, USED in text) == (400, True)


async def test_another_website_cannot_press_the_button_for_somebody(rig: Rig) -> None:
    link = await rig.link("tiktok")
    async with another() as thief:
        action, stolen = form_of((await shown(thief, link))[1])
    _, fields = form_of((await shown(rig.http, link))[1])
    _, other = form_of((await shown(rig.http, await rig.link("x")))[1])
    for form, headers in (
        ({"ticket": ticket_of(link)}, {}),
        (stolen, {}),
        (fields | {"csrf": other["csrf"]}, {}),
        (fields | {"csrf": "0" * 64}, {}),
        (fields, {"Origin": "https://evil.example"}),
        (fields, {"Origin": "null", "Sec-Fetch-Site": "cross-site"}),
        (fields, {"Sec-Fetch-Site": "cross-site"}),
        (fields, {"Sec-Fetch-Site": "same-site"}),
    ):
        status, location, text = await sent(rig, rig.http, action, form, **headers)
        assert (status, location) == (403, ""), (form, headers)
        assert "the link again" in text
    async with another() as victim:
        assert (await sent(rig, victim, action, fields))[0] == 403, "a browser that never saw the page"
    # A page without a referrer sends its own forms so.
    headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    assert (await sent(rig, rig.http, action, fields, **headers))[0] == 200


# --- what the browser holds


async def test_ticket_is_no_cookie_and_the_database_holds_no_secret(rig: Rig) -> None:
    link = await rig.link("facebook")
    consent = await rig.pressed(link)
    ticket, mark = ticket_of(link), mark_of(state_of(consent))
    secret = cookies(rig.http)[f"{FLOW_COOKIE}-{mark}"]
    assert ticket not in consent
    assert secret not in (ticket, cookies(rig.http)[BROWSER_COOKIE])
    query = await approved(rig, consent, "alice")
    address = f"{rig.url}/api/auth/facebook/choose"
    async with another() as thief:
        for name in (mark, "0" * 32):
            thief.cookie_jar.update_cookies({f"{FLOW_COOKIE}-{name}": ticket, BROWSER_COOKIE: ticket})
        assert "another browser" in (await rig.back("facebook", query, thief))["says"]
        outcome = await rig.back("facebook", query)
        assert outcome["kind"] == "choose"
        for params in ({}, {"flow": mark}):
            async with thief.get(address, params=params, headers=JSON) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_request")
            body = {"accounts": [outcome["choose"][0]["account"]]} | params
            async with thief.post(address, json=body, headers=JSON) as response:
                assert (response.status, (await response.json())["error"]["code"]) == (400, "invalid_request")
    everything = str(await flows(rig))
    assert [text for text in (ticket, secret, state_of(consent)) if text in everything] == []
    assert (await rig.chosen("facebook", [outcome["choose"][0]["account"]]))["ok"]


async def test_cookies_are_out_of_reach_of_scripts_other_sites_and_plain_http(rig: Rig) -> None:
    link = (await rig.link("tiktok")).removeprefix(rig.url)
    app = web.Application()
    add_pages(app, rig.pool, rig.built, secure=True, public_url="https://crm.example")
    server = TestServer(app)
    await server.start_server()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as browser:
        async with browser.get(server.make_url(link.partition("?")[0]), params={"ticket": ticket_of(link)}) as response:
            action, fields = form_of(await response.text())
            [shown_in] = response.cookies.values()
        headers = {"Cookie": f"{shown_in.key}={shown_in.value}", "Origin": "https://crm.example"}
        address = server.make_url(action)
        async with browser.post(address, data=fields, headers=headers, allow_redirects=False) as response:
            assert response.status == 200
            [taken_by] = response.cookies.values()
    await server.close()
    assert shown_in.key == f"__Host-{BROWSER_COOKIE}"
    assert taken_by.key.startswith(f"__Host-{FLOW_COOKIE}-")
    for cookie in (shown_in, taken_by):
        assert (cookie["httponly"], cookie["secure"], cookie["samesite"], cookie["path"]) == (True, True, "Lax", "/")
        assert not cookie["domain"]


async def test_ticket_of_a_flow_that_the_previous_release_began_is_no_cookie_either(rig: Rig) -> None:
    link = await rig.link("tiktok")
    consent = await rig.pressed(link)
    query = await approved(rig, consent)
    await rig.raw("ALTER TABLE oauth_states DISABLE TRIGGER oauth_states_transition")  # of a release before it
    await rig.raw(
        "UPDATE oauth_states SET ticket_sha256 = NULL, opened_at = NULL, session_sha256 = sha256($1)",
        ticket_of(link).encode(),
    )
    await rig.raw("ALTER TABLE oauth_states ENABLE TRIGGER oauth_states_transition")
    async with another() as thief:
        thief.cookie_jar.update_cookies({f"{FLOW_COOKIE}-{mark_of(query['state'])}": ticket_of(link)})
        assert "another browser" in (await rig.back("tiktok", query, thief))["says"]
    assert await connections(rig) == []


async def test_answer_in_a_browser_without_the_secret_ends_nothing_of_the_honest_flow(rig: Rig) -> None:
    query = await approved(rig, await rig.pressed(await rig.link("tiktok")))
    before = await flows(rig)
    async with another() as stranger:
        for wrong in (query, query | {"code": "theirs"}, {"error": "access_denied", "state": query["state"]}):
            assert "another browser" in (await rig.back("tiktok", wrong, stranger))["says"]
    assert await flows(rig) == before
    assert (await rig.back("tiktok", query))["ok"]


async def test_secret_of_one_flow_opens_no_other_and_both_go_on(rig: Rig) -> None:
    async with another() as second:
        mine = await approved(rig, await rig.pressed(await rig.link("tiktok")), "shop")
        theirs = await approved(rig, await rig.pressed(await rig.link("tiktok"), second), "alice")
        own, foreign = (f"{FLOW_COOKIE}-{mark_of(query['state'])}" for query in (mine, theirs))
        async with another() as swapped:
            held = {own: cookies(second)[foreign], foreign: cookies(rig.http)[own]}
            swapped.cookie_jar.update_cookies(held)
            for query in (mine, theirs):
                assert "another browser" in (await rig.back("tiktok", query, swapped))["says"]
        # An answer that was meant for the other browser, with its state or with one's own code.
        assert "another browser" in (await rig.back("tiktok", theirs))["says"]
        assert "another browser" in (await rig.back("tiktok", mine | {"state": theirs["state"]}))["says"]
        assert await connections(rig) == []
        assert (await rig.back("tiktok", mine))["says"] == "Connected: shop on TikTok."
        assert (await rig.back("tiktok", theirs, second))["says"] == "Connected: alice on TikTok."


async def test_answer_without_a_button_pressed_is_refused(rig: Rig) -> None:
    """Whoever knows a state, which nobody does before the button, holds no secret."""
    link = await rig.link("tiktok")
    async with another() as stranger:
        stranger.cookie_jar.update_cookies({f"{FLOW_COOKIE}-{'0' * 32}": ticket_of(link)})
        address = f"{rig.url}/api/auth/tiktok/choose"
        async with stranger.get(address, headers=JSON) as response:
            assert response.status == 400
    assert (await flows(rig))[0]["session_sha256"] is None


async def test_link_lives_five_minutes_and_the_button_gives_five_more(rig: Rig) -> None:
    older = "UPDATE oauth_states SET expires_at = expires_at - make_interval(secs => $1)"
    late, link = await rig.link("x"), await rig.link("tiktok")
    await rig.raw(older, 290.0)
    consent = await rig.pressed(link)
    await rig.raw(older, 11.0)
    assert "too old" in (await shown(rig.http, late))[1]
    await rig.raw(older, 280.0)
    assert (await rig.back("tiktok", await approved(rig, consent)))["ok"]


# --- somebody who is logged in


async def test_address_that_a_logged_in_person_follows_begins_nothing_before_the_button(rig: Rig) -> None:
    csrf = await log_in(rig, rig.http)
    address, texts = f"{rig.url}/api/auth/mastodon?instance={INSTANCE}", []
    for method, headers in (
        ("GET", {}),
        ("GET", {"Sec-Fetch-Site": "cross-site"}),
        ("GET", {"Sec-Purpose": "prefetch"}),
        ("HEAD", {}),
    ):
        async with rig.http.request(method, address, headers=HTML | headers, allow_redirects=False) as response:
            assert response.status == 200
            texts.append(await response.text())
    assert await flows(rig) == await rig.raw("SELECT FROM oauth_clients") == []
    [text, *_, nothing] = texts
    assert nothing == ""
    for words in (EMAIL, "default", "Mastodon", INSTANCE, *PROVIDERS["mastodon"].scopes):
        assert words in text, words
    action, fields = form_of(text)
    assert action == "/api/auth/mastodon"
    for form, headers in (
        (fields | {"csrf": ""}, {}),
        (fields | {"csrf": "0" * 64}, {}),
        (fields, {"Origin": "https://evil.example"}),
        (fields, {"Origin": "null"}),
    ):
        assert (await sent(rig, rig.http, action, form, **headers))[0] == 403
    async with another() as stranger:
        assert (await sent(rig, stranger, action, fields))[0] == 401
    assert await flows(rig) == []
    assert fields["csrf"] == csrf
    status, consent, _ = await sent(rig, rig.http, action, fields, Origin=rig.url)
    assert status == 200
    assert (await rig.back("mastodon", await approved(rig, consent)))["ok"]


async def test_session_begins_no_flow_by_get_and_head_begins_none_at_all(rig: Rig) -> None:
    await log_in(rig, rig.http)
    for accept in ("application/json", "*/*", "image/png"):
        async with rig.http.get(f"{rig.url}/api/auth/x", headers={"Accept": accept}) as response:
            assert response.status == 403
            assert (await response.json())["error"]["code"] == "forbidden"
    key = {"Authorization": f"Bearer {rig.key}"}
    async with another() as program, program.head(f"{rig.url}/api/auth/x", headers=key) as response:
        assert response.status == 200
    assert await flows(rig) == []
    async with rig.http.get(f"{rig.url}/api/auth/x", headers=HTML | key) as response:
        assert response.status == 201, "with a key it is a program, whatever else came along"


async def test_every_way_to_connect_at_the_page_of_connections_is_a_form_of_ours(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    csrf = await log_in(rig, rig.http)
    _, text = await shown(rig.http, f"{rig.url}/connections")
    assert 'href="/api/auth/' not in text
    forms = re.findall(r'<form(?: class="row")? method="post" action="(/api/auth/\w+)">(.*?)</form>', text, re.DOTALL)
    assert sorted(action for action, _ in forms) == sorted(
        [*(f"/api/auth/{name}" for name in PROVIDERS), "/api/auth/tiktok"]
    )
    assert all(f'name="csrf" value="{csrf}"' in body for _, body in forms)
    assert [action for action, body in forms if f'name="connection" value="{id_}"' in body] == ["/api/auth/tiktok"]
    status, consent, _ = await sent(rig, rig.http, "/api/auth/tiktok", {"csrf": csrf, "connection": id_})
    assert status == 200
    query = await approved(rig, consent)
    async with rig.http.get(
        f"{rig.url}/api/auth/tiktok/callback", params=query, headers=HTML, allow_redirects=False
    ) as response:
        assert response.headers["Location"] == "/connections"


async def test_invalid_requests_are_told_on_the_page_before_the_button(rig: Rig) -> None:
    [id_] = await rig.connect("tiktok")
    csrf = await log_in(rig, rig.http)
    for path, form, status, said in (
        ("myspace", {}, 400, "known are facebook"),
        ("x", {"return_to": "https://evil.example/"}, 400, "return_to must be one of"),
        ("x", {"connection": id_}, 400, "there is no such connection"),
        ("x", {"connection": "nonsense"}, 404, "there is no such connection"),
        ("x", {"optional_scopes": "all"}, 400, "optional_scopes may name"),
        ("mastodon", {"instance": "evil.example/path"}, 400, "name the server by its host"),
    ):
        async with rig.http.get(f"{rig.url}/api/auth/{path}", params=form, headers=HTML) as response:
            assert (response.status, said in (await response.text()).lower()) == (status, True), (path, form)
        found, _, text = await sent(rig, rig.http, f"/api/auth/{path}", form | {"csrf": csrf})
        assert (found, said in text.lower()) == (status, True), (path, form)
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "viewer", TESTS)
    async with another() as viewer:
        csrf = await log_in(rig, viewer, "eve@example.org")
        assert (await shown(viewer, f"{rig.url}/api/auth/x"))[0] == 403
        assert (await sent(rig, viewer, "/api/auth/x", {"csrf": csrf}))[0] == 403


# --- what ends in between


async def test_session_that_ended_in_between_does_not_end_the_flow_of_its_browser(rig: Rig) -> None:
    csrf = await log_in(rig, rig.http)
    _, consent, _ = await sent(rig, rig.http, "/api/auth/tiktok", {"csrf": csrf})
    query = await approved(rig, consent)
    assert (await sent(rig, rig.http, "/logout", {"csrf": csrf}))[0] == 303
    async with rig.http.get(
        f"{rig.url}/api/auth/tiktok/callback", params=query, headers=HTML, allow_redirects=False
    ) as response:
        text = await response.text()
        assert (response.status, "Connected: shop on TikTok." in text, "/connections" in text) == (200, True, False)


async def test_person_who_is_logged_in_for_another_tenant_by_then_is_told_and_not_led_to_its_accounts(rig: Rig) -> None:
    other = await tenants.add(rig.connection, "other", TESTS)
    await users.add(rig.pool, other, "bob@example.org", PASSWORD, "owner", TESTS)
    csrf = await log_in(rig, rig.http)
    _, consent, _ = await sent(rig, rig.http, "/api/auth/tiktok", {"csrf": csrf})
    query = await approved(rig, consent)
    await log_in(rig, rig.http, "bob@example.org")
    status, text = await shown(rig.http, f"{rig.url}/api/auth/tiktok/callback?{urlencode(query)}")
    assert (status, "Connected: shop on TikTok." in text, "/connections" in text) == (200, True, False)
    assert [str(row["tenant_id"]) for row in await rig.raw("SELECT tenant_id FROM connections")] == [DEFAULT_TENANT]


async def _removed(rig: Rig) -> None:
    user = await users.find_member(rig.pool, DEFAULT_TENANT, "eve@example.org")
    assert await users.remove(rig.pool, DEFAULT_TENANT, user or "", TESTS)


async def _demoted(rig: Rig) -> None:
    user = await users.find_member(rig.pool, DEFAULT_TENANT, "eve@example.org")
    assert await users.change_role(rig.pool, DEFAULT_TENANT, user or "", "viewer", TESTS)


async def _disabled(rig: Rig) -> None:
    assert await users.disable(rig.pool, DEFAULT_TENANT, "eve@example.org", TESTS)


@pytest.mark.parametrize("ended", [_removed, _demoted, _disabled])
async def test_flow_of_somebody_who_may_no_longer_connect_ends_where_it_is(rig: Rig, ended: Any) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "editor", TESTS)
    csrf = await log_in(rig, rig.http, "eve@example.org")
    _, consent, _ = await sent(rig, rig.http, "/api/auth/tiktok", {"csrf": csrf})
    query = await approved(rig, consent)
    _, consent, _ = await sent(rig, rig.http, "/api/auth/facebook", {"csrf": csrf})
    selection = await rig.back("facebook", await approved(rig, consent, "alice"))
    assert selection["kind"] == "choose"
    await ended(rig)
    outcome = await rig.back("tiktok", query)
    assert (outcome["ok"], "may not connect accounts any more" in outcome["says"]) == (False, True)
    answer = await rig.chosen("facebook", [selection["choose"][0]["account"]])
    assert (answer["kind"], "may not connect accounts any more" in answer["says"]) == ("denied", True)
    assert await connections(rig) == []


async def test_person_who_is_removed_while_the_platform_answers_connects_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, "eve@example.org", PASSWORD, "editor", TESTS)
    csrf = await log_in(rig, rig.http, "eve@example.org")
    _, consent, _ = await sent(rig, rig.http, "/api/auth/tiktok", {"csrf": csrf})
    query, decided = await approved(rig, consent), AuthorizationFlows._decide

    async def slowly(self: AuthorizationFlows, *known: Any) -> Any:
        await _removed(rig)
        return await decided(self, *known)

    monkeypatch.setattr(AuthorizationFlows, "_decide", slowly)
    outcome = await rig.back("tiktok", query)
    assert (outcome["ok"], "may not connect accounts any more" in outcome["says"]) == (False, True)
    assert await connections(rig) == []


async def test_link_of_a_key_that_was_revoked_connects_nothing(rig: Rig) -> None:
    key = await api_keys.create(rig.pool, DEFAULT_TENANT, "crm", api_keys.DEFAULT_SCOPES, TESTS)
    link = await rig.link("tiktok", key)
    page = form_of((await shown(rig.http, link))[1])
    query = await approved(rig, await rig.pressed(await rig.link("x", key)))
    assert await api_keys.revoke(rig.pool, DEFAULT_TENANT, "crm", TESTS)
    status, text = await shown(rig.http, link)
    assert (status, "may not connect accounts any more" in text) == (403, True)
    status, _, text = await sent(rig, rig.http, *page)
    assert (status, "may not connect accounts any more" in text) == (403, True)
    assert "may not connect accounts any more" in (await rig.back("x", query))["says"]
    assert await connections(rig) == []
