"""Every page, in every state of note: axe-core finds nothing, nothing is too wide, no control hides another.

At the width of a phone and of a desk, of a desk zoomed to 200 %, and at 320 px (WCAG 1.4.10), light and dark.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions
from selenium.webdriver.remote.webdriver import WebDriver

from ops.access import users
from ops.cli.composition import assembled
from ops.runtime import responses
from ops.runtime.embedded import free_port
from schema.states import TargetState
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.acceptance.test_browser import consent, fill, press, see
from tests.rig import PLATFORMS, TESTS, Rig, add_pages

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
LONG = "somebody.with.a.rather.long.address.of.her.own@a-long-name-of-a-company.example.org"
AXE = (Path(__file__).parents[1] / "vendor" / "axe.min.js").read_text()
WIDTHS = (1280, 640, 390, 320)
SCHEMES = ("light", "dark")
SHOTS = os.environ.get("LANDFALL_SCREENSHOTS", "")
"""A folder for pictures of the pages, for whoever wants to look; without it none are taken."""

RULE = "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR,SA;COUNT=100"

FOUND = """
const done = arguments[arguments.length - 1];
axe.run(document, {rules: {"target-size": {enabled: true}}}).then(
  found => done(found.violations.map(v => v.id + ": " + v.nodes.map(n => n.html.slice(0, 150)).join(" | "))),
  error => done(["axe failed: " + error]));
"""

LAYOUT = """
const shown = [...document.querySelectorAll("button, a.button, input, select, textarea, summary")].filter(
  each => each.type !== "hidden" && each.checkVisibility());
const boxes = shown.map(each => each.getBoundingClientRect());
const found = [];
boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
  const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
  const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
  if (wide > 0.5 && high > 0.5) found.push(shown[i].outerHTML.slice(0, 120) + " and " + shown[i + 1 + j].outerHTML);
}));
return [document.documentElement.scrollWidth, getComputedStyle(document.documentElement).backgroundColor, found];
"""

SHAPE = """
const named = each => (each.getAttribute("aria-label") || each.innerText).trim();
const buttons = [...document.querySelectorAll("main button, main a.button")].map(
  each => named(each) + " " + (each.form ? each.form.action : each.href));
const seen = {};
[...document.querySelectorAll("main button, main a.button")].forEach(each => {
  const to = (each.form ? each.form.action + (each.form.connection ? each.form.connection.value : "") : each.href);
  (seen[named(each)] = seen[named(each)] || new Set()).add(to);
});
return {
  h1: document.querySelectorAll("h1").length, main: document.querySelectorAll("main").length,
  skip: document.querySelectorAll("a.skip[href='#content']").length, nav: document.querySelectorAll("nav").length,
  twice: Object.entries(seen).filter(([, to]) => to.size > 1).map(([name]) => name),
  ground: getComputedStyle(document.documentElement).backgroundColor,
  times: [
    ...document.body.innerText.matchAll(/\\d\\d:\\d\\d(:\\d\\d)?(?!\\s+UTC)(?!\\s+in [A-Z]\\w+\\/)(?![:\\d])/g)
  ].map(found => found[0]),
};
"""


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


@pytest.fixture
async def url(rig: Rig) -> AsyncIterator[str]:
    """Landfall at a name for which browsers have passkeys, with an answer for what is not there."""
    port = free_port()
    app = web.Application()
    public_url = f"http://localhost:{port}"
    built = assembled(rig.pool, rig.built.vault, replace(rig.providers, public_url=public_url))
    add_pages(app, rig.pool, built, public_url=public_url)
    responses.add_fallback(app)
    server = TestServer(app, host="127.0.0.1", port=port)
    await server.start_server()
    yield public_url
    await server.close()


@pytest.fixture
def looked(browser: webdriver.Chrome) -> Iterator[Callable[[str], None]]:
    """Looks at the page that the browser shows, and notes what is wrong with it under this name."""
    wrong: list[str] = []

    def look(name: str, *, logged_in: bool = True) -> None:
        for width in WIDTHS:
            for scheme in SCHEMES:
                wrong.extend(f"{name}, {width} px, {scheme}: {each}" for each in faults(browser, width, scheme, name))
        shape = browser.execute_script(SHAPE)
        skips = shape["skip"] or name.startswith("error")  # the page of an error has nothing to skip
        if (shape["h1"], shape["main"], bool(skips)) != (1, 1, True) or (logged_in and shape["nav"] != 1):
            wrong.append(f"{name}: {shape}")
        wrong.extend(f"{name}: two things are called {each!r}" for each in shape["twice"])
        wrong.extend(f"{name}: a time without a zone: {each}" for each in shape["times"])
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

    yield look
    assert wrong == [], "\n".join(wrong)


def faults(browser: webdriver.Chrome, width: int, scheme: str, name: str) -> list[str]:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    found: list[str] = []
    if width in (390, 1280):  # the other two are of these layouts
        if not browser.execute_script("return 'axe' in window"):
            browser.execute_script(AXE)
        found += browser.execute_async_script(FOUND)
    wide, ground, overlaps = browser.execute_script(LAYOUT)
    if wide > width:
        found.append(f"it is {wide} px wide")
    found += [f"one hides another: {each}" for each in overlaps]
    light, dark = "rgb(246, 247, 249)", "rgb(13, 20, 32)"
    if ground != (light if scheme == "light" else dark):
        found.append(f"the background is {ground}")
    if SHOTS and width in (390, 1280):
        tall = metrics | {"height": browser.execute_script("return document.documentElement.scrollHeight")}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", tall)
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        browser.save_screenshot(str(Path(SHOTS) / f"{name}-{width}-{scheme}.png"))
    return found


def log_in(browser: WebDriver, url: str, email: str = EMAIL) -> None:
    browser.get(f"{url}/login")
    fill(browser, "Email address", email)
    fill(browser, "Password", PASSWORD)
    press(browser, "Log in")


async def test_pages_before_and_beside_a_login(
    rig: Rig, url: str, browser: webdriver.Chrome, looked: Callable[..., None]
) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, LONG, PASSWORD, "viewer", TESTS, must_change=True)
    await rig.raw("INSERT INTO deletion_requests (code, platform, user_id) VALUES ('code', 'facebook', '1')")

    def journey() -> None:
        browser.get(f"{url}/login?next=/people")
        see(browser, "Log in to open the page you asked for")
        looked("login", logged_in=False)
        fill(browser, "Email address", EMAIL)
        fill(browser, "Password", "wrong")
        press(browser, "Log in")
        see(browser, "password is wrong")
        looked("login-wrong", logged_in=False)
        log_in(browser, url, LONG)
        see(browser, "Choose a password of your own")
        looked("first-password", logged_in=False)
        for name, path in (("nowhere", "/nowhere"), ("method", "/logout"), ("platform", "/api/auth/tiktok/open")):
            browser.get(url + path)
            looked(f"error-{name}", logged_in=False)
        for name, code in (("known", "code"), ("unknown", "other")):
            browser.get(f"{url}/deletions/{code}")
            looked(f"deletion-{name}", logged_in=False)

    await asyncio.to_thread(journey)


async def test_pages_of_an_owner_about_people(
    rig: Rig, url: str, browser: webdriver.Chrome, looked: Callable[..., None]
) -> None:
    await users.add(rig.pool, DEFAULT_TENANT, LONG, PASSWORD, "viewer", TESTS)
    other = await rig.raw(
        "INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'Sea and Land') RETURNING id::text"
    )
    await users.add(rig.pool, other[0][0], "cy@example.org", PASSWORD, "owner", TESTS)

    def journey() -> None:
        log_in(browser, url)
        see(browser, "Nothing here yet")
        looked("connections-empty")
        browser.get(f"{url}/people")
        browser.find_element(By.CSS_SELECTOR, "form[action='/people'] input[name=email]").send_keys("bob@example.org")
        press(browser, "Invite")
        see(browser, "bob@example.org is invited")
        link = re.findall(r"http://\S+/invitation\?link=\S+", browser.find_element(By.TAG_NAME, "main").text)[0]
        looked("people-invited")
        for name, words in (
            ("remove", "cannot come back without an invitation"),
            ("withdraw", "stops working"),
            ("revoke", "refused at once"),
        ):
            browser.get(f"{url}/people")
            chosen = f"*='{LONG}'" if name == "remove" else ""
            browser.find_element(By.CSS_SELECTOR, f"a[href$='/{name}'][aria-label{chosen}]").click()
            see(browser, words)
            looked(f"ask-{name}")
        press(browser, "Revoke the key")
        see(browser, "is revoked")
        looked("people-revoked")
        browser.get(f"{url}/audit")
        looked("audit")
        browser.get(link)
        see(browser, "another address")
        looked("invitation-of-another")
        press(browser, "Log out")
        see(browser, "Email address")
        browser.get(link)
        see(browser, "You are new here")
        looked("invitation", logged_in=False)
        browser.get(f"{url}/invitation?link={'x' * 40}")
        see(browser, "Not valid any more")
        looked("invitation-gone", logged_in=False)
        log_in(browser, url, LONG)
        see(browser, "Connections")
        looked("connections-viewer")
        for name in ("people", "api/auth/tiktok"):
            browser.get(f"{url}/{name}")
            see(browser, "Not allowed for your role")
            looked(f"not-for-you-{name.replace('/', '-')}")

    await asyncio.to_thread(journey)


async def test_pages_of_ones_own_account(
    rig: Rig, url: str, browser: webdriver.Chrome, looked: Callable[..., None]
) -> None:
    options = VirtualAuthenticatorOptions(
        protocol="ctap2", transport="internal", has_resident_key=True, has_user_verification=True, is_user_verified=True
    )

    def into(action: str, name: str, text: str) -> None:
        browser.find_element(By.CSS_SELECTOR, f"form[action='{action}'] input[name={name}]").send_keys(text)

    def journey() -> None:
        browser.add_virtual_authenticator(options)
        log_in(browser, url)
        see(browser, "Connect an account")
        browser.get(f"{url}/account")
        looked("account")
        into("/account/totp", "password", PASSWORD)
        press(browser, "Add an app")
        see(browser, "Scan this with the app")
        looked("totp")
        press(browser, "Back to your account")
        into("/account/passkeys", "name", "Laptop")
        into("/account/passkeys", "password", PASSWORD)
        press(browser, "Add a passkey")
        see(browser, "keeps the passkey for this site")
        looked("passkey")
        press(browser, "Create the passkey")
        see(browser, "Recovery codes")
        looked("codes")
        press(browser, "I have kept them")
        see(browser, "Laptop")
        looked("account-with-factor")
        press(browser, "Remove")
        see(browser, "It is your last factor")
        looked("ask-factor")
        press(browser, "Log out")
        see(browser, "Email address")
        log_in(browser, url)
        see(browser, "Use a passkey")
        looked("second-step", logged_in=False)

    await asyncio.to_thread(journey)


async def test_pages_of_connections_in_every_state(
    rig: Rig, url: str, browser: webdriver.Chrome, looked: Callable[..., None]
) -> None:
    for platform in PLATFORMS:
        await rig.connect(platform)
    link = await rig.link("mastodon")
    await rig.raw("UPDATE connections SET checked_at = now() - interval '1 minute'")
    await rig.raw(
        "UPDATE connections SET state = 'needs_reconnect', reason = 'The password was changed; connect the account"
        " again.' WHERE platform IN ('threads', 'x')"
    )
    await rig.raw(
        "INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says) SELECT tenant_id, gen_random_uuid(),"
        " id, 'needs_reconnect', now(), reason FROM connections WHERE state = 'needs_reconnect'"
    )
    await rig.raw(
        "UPDATE connections SET trouble = 'The platform is in trouble.', refresh_failures = 3"
        " WHERE platform = 'linkedin'"
    )
    await rig.raw(
        "UPDATE connections SET scopes = scopes[1:2], username = repeat('long_name_', 12) WHERE platform = 'tiktok'"
    )
    await rig.raw("UPDATE connections SET state = 'disconnected', disconnected_at = now() WHERE platform = 'mastodon'")
    await rig.sandbox.command("redirects", platform="facebook", redirect_uri=f"{url}/api/auth/facebook/callback")

    def journey() -> None:
        log_in(browser, url)
        see(browser, "What needs you")
        looked("connections")
        for summary in browser.find_elements(By.TAG_NAME, "summary"):
            summary.click()
        looked("connections-open")
        press(browser, "check now")
        see(browser, "Checked now")
        looked("connections-checked")
        browser.find_element(By.CSS_SELECTOR, "a[href$='/disconnect']").click()
        see(browser, "What was synced before stays")
        looked("ask-disconnect")
        browser.get(f"{url}/api/auth/tiktok")
        see(browser, "Who asks")
        looked("confirm-own")
        browser.get(link.replace(rig.url, url))
        see(browser, "Who asks")
        looked("confirm-link", logged_in=False)
        browser.get(f"{url}/api/auth/mastodon?instance=no%20server")
        see(browser, "such as @me@social.example")
        looked("no-such-server")
        browser.get(f"{url}/connections")
        press(browser, "Facebook Pages")
        consent(browser, "Approve", "alice")
        see(browser, "Choose what to connect")
        looked("choose", logged_in=False)
        press(browser, "Connect")
        see(browser, "Connected: ")
        looked("connections-connected")
        browser.get(f"{url}/api/auth/facebook/callback?state=x")
        see(browser, "Not connected")
        looked("not-connected", logged_in=False)

    await asyncio.to_thread(journey)


async def test_pages_that_forget_everything_of_an_account(
    rig: Rig, url: str, browser: webdriver.Chrome, looked: Callable[..., None]
) -> None:
    for platform in ("tiktok", "facebook"):
        await rig.connect(platform)

    def journey() -> None:
        log_in(browser, url)
        see(browser, "Connect an account")
        browser.find_element(By.CSS_SELECTOR, ".connection .menu summary").click()
        press(browser, "Forget everything")
        see(browser, "cannot be undone")
        looked("ask-forget")
        press(browser, "Forget everything")
        see(browser, "See how far it is")
        looked("connections-forgotten")
        press(browser, "See how far it is")
        see(browser, "In progress")
        looked("deletion-requested", logged_in=False)

    await asyncio.to_thread(journey)


async def answered(rig: Rig, post: str) -> str:
    """Let a published post have an answer that is unconfirmed, and one that is there; the latter's id."""
    put = "UPDATE post_targets SET platform_post_id = '77' WHERE post_id = $1::uuid RETURNING id::text"
    [row] = await rig.raw(put, post)
    id_ = ""
    for content, state in (("A long answer " * 20, TargetState.UNCONFIRMED), ("Thanks", TargetState.PUBLISHED)):
        body = {"kind": "reply", "target": row["id"], "content": content}
        status, acted = await rig.api("POST", "/api/actions", json=body)
        assert status == 201, acted
        id_ = acted["action"]["id"]
        await rig.raw(
            "UPDATE post_targets SET state = $2, due_at = NULL, evidence = $3::jsonb WHERE id = $1::uuid",
            *(id_, state, '["The newest comments there: Tea, Coffee"]'),
        )
    return id_


def look_at_forms_and_calendar(browser: WebDriver, url: str, scheduled: str, looked: Callable[..., None]) -> None:
    browser.get(f"{url}/posts/new")
    see(browser, "Show the options of what is ticked")
    looked("compose")
    press(browser, "Publish now")
    see(browser, "No account is ticked")
    for box in browser.find_elements(By.CSS_SELECTOR, "input[name=target]"):
        box.click()
    for summary in browser.find_elements(By.CSS_SELECTOR, "main summary"):
        summary.click()
    looked("compose-open")
    browser.find_element(By.CSS_SELECTOR, "input[name$='.user_tags.0.x']").send_keys("left")
    press(browser, "Publish now")
    see(browser, "nothing is chosen for you")
    looked("compose-refused")
    browser.get(f"{url}/posts/{scheduled}/edit")
    see(browser, "Edit the post")
    looked("edit")
    for view in ("month", "week"):
        browser.get(f"{url}/posts/calendar?view={view}&day=2099-06-03")
        see(browser, "Times are those of Europe/Berlin")
        looked(f"calendar-{view}")
    browser.get(f"{url}/posts/calendar?day=2098-06-03&zone=Nowhere/There")
    see(browser, "there is no time zone")
    looked("calendar-empty")


async def test_pages_of_posts_in_every_state(
    rig: Rig, url: str, browser: webdriver.Chrome, looked: Callable[..., None]
) -> None:
    [account] = await rig.connect("instagram")
    await rig.connect("tiktok")
    await rig.raw("UPDATE connections SET username = repeat('long_name_', 12) WHERE platform = 'tiktok'")
    picture = media_samples.image("JPEG", (640, 640))
    headers = {"Content-Type": "image/jpeg"}
    _, file = await rig.api("POST", "/api/media", data=picture, headers=headers, params={"file_name": "cup.jpg"})
    posts = {}
    for number, state in enumerate(TargetState):
        body = {
            "content": f"A post that is {state}, with a long address: https://example.org/{'tea' * 40}",
            "media": [{"id": file["id"], "alt_text": "a cup"}],
            "targets": [{"connection": account}],
            "campaign_id": "spring",
            "scheduled_time": f"2099-06-{number + 1:02}T09:00",
            "timezone": "Europe/Berlin",
        }
        status, made = await rig.api("POST", "/api/posts", json=body)
        assert status == 201, made
        posts[state] = made["post"]["id"]
    for content, change in (("Tea every day", "trouble = 'It is not connected.'"), ("Coffee", "state = 'paused'")):
        post = {"content": content, "media": [file["id"]], "targets": [{"connection": account}]}
        start = {"start_time": "2099-08-01 09:00", "timezone": "UTC" if content == "Coffee" else "Europe/Berlin"}
        status, made = await rig.api("POST", "/api/recurrences", json={"post": post, "rule": RULE, **start})
        assert status == 201, made
        await rig.raw(f"UPDATE post_recurrences SET {change} WHERE template->>'content' = $1", content)
    slots = {"timezone": "Europe/Berlin", "slots": [{"weekday": "MO", "time": "09:00"}]}
    assert (await rig.api("PUT", f"/api/connections/{account}/slots", json=slots))[0] == 200
    await rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
    for state, id_ in posts.items():
        await rig.raw(
            "UPDATE post_targets SET state = $2, due_at = NULL, error_code = $3, error_message = $4,"
            " evidence = $5::jsonb WHERE post_id = $1::uuid",
            *(id_, state, "rate_limit_exceeded" if state == TargetState.FAILED else None),
            *("The account has posted enough for today.", '["The newest posts there: Tea, Coffee"]'),
        )
    action = await answered(rig, posts[TargetState.PUBLISHED])

    def journey() -> None:
        log_in(browser, url)
        see(browser, "Connect an account")
        browser.get(f"{url}/posts")
        see(browser, "A post that is missed")
        looked("posts")
        browser.get(f"{url}/posts?state=missed&text=nothing")
        see(browser, "No post fits")
        looked("posts-filtered")
        look_at_forms_and_calendar(browser, url, posts[TargetState.SCHEDULED], looked)
        for state, id_ in posts.items():
            browser.get(f"{url}/posts/{id_}")
            see(browser, "A post that is")
            if state in (TargetState.SCHEDULED, TargetState.PUBLISHED, TargetState.UNCONFIRMED, TargetState.FAILED):
                for summary in browser.find_elements(By.TAG_NAME, "summary"):
                    summary.click()
                looked(f"post-{state}")
        browser.get(f"{url}/posts/{action}")
        see(browser, "published here")
        looked("action")
        browser.get(f"{url}/share?url=https://example.org/tea&title=Tea&description=Green&image=x")
        see(browser, "Share a page")
        looked("share")
        press(browser, "Share now")
        see(browser, "No account is ticked")
        looked("share-refused")

    await asyncio.to_thread(journey)
