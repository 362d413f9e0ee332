"""The pages as a person meets them: a real Chromium goes through them, and has nothing to complain of."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.rig import HTML, Rig, form_of

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
SECONDS = 10


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


def said(browser: WebDriver) -> str:
    """All the words on the page."""
    return browser.find_element(By.TAG_NAME, "body").text


def until(browser: WebDriver, found: Callable[[WebDriver], Any], missing: str) -> Any:
    try:
        # A page that goes away while it is read is told of in several ways.
        return WebDriverWait(browser, SECONDS, 0.05, [WebDriverException]).until(found)
    except TimeoutException:
        raise AssertionError(f"{missing} is not on the page {browser.current_url}: {said(browser)}") from None


def see(browser: WebDriver, words: str) -> None:
    """Wait until the page says so, in whole words."""
    wanted = re.compile(rf"\b{re.escape(words)}\b", re.IGNORECASE)
    until(browser, lambda page: wanted.search(said(page)), repr(words))


def press(browser: WebDriver, name: str) -> None:
    """Press the button, or follow the link, that is called so."""

    def named(page: WebDriver) -> WebElement | None:
        found = page.find_elements(By.CSS_SELECTOR, "button, a")
        return next((element for element in found if element.text.strip().lower() == name.lower()), None)

    until(browser, named, f"a button or link called {name!r}").click()


def fill(browser: WebDriver, label: str, text: str) -> None:
    """Type into the field that has this label."""
    browser.find_element(By.XPATH, f"//label[contains(., '{label}')]//input").send_keys(text)


def log_in(browser: WebDriver, url: str) -> None:
    browser.get(f"{url}/login")
    fill(browser, "Email address", EMAIL)
    fill(browser, "Password", PASSWORD)
    press(browser, "Log in")
    see(browser, "Connect an account")


def consent(browser: WebDriver, decision: str, account: str = "shop", untick: str = "") -> None:
    """Decide on the sandbox's page, which stands for the platform's."""
    see(browser, "It may")
    Select(browser.find_element(By.TAG_NAME, "select")).select_by_visible_text(account)
    if untick:
        browser.find_element(By.CSS_SELECTOR, f"input[value='{untick}']").click()
    press(browser, decision)


def tick(browser: WebDriver, label: str) -> None:
    """Tick, or untick, the box that has this label."""
    browser.find_element(By.XPATH, f"//label[contains(normalize-space(.), '{label}')]//input").click()


def errors(browser: WebDriver) -> list[str]:
    """What Chromium's console calls an error: a style or script that a policy blocks, a request that failed."""
    said_there = [line["message"] for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    return [
        message for message in said_there if "/favicon.ico" not in message
    ]  # asked for unbidden, and nobody has one


async def test_person_connects_an_account_finds_it_in_the_list_and_disconnects_it(rig: Rig, browser: WebDriver) -> None:
    def journey() -> None:
        log_in(browser, rig.url)
        press(browser, "TikTok")
        consent(browser, "Approve")
        see(browser, "Connected")
        browser.get(f"{rig.url}/connections")
        see(browser, "shop")
        see(browser, "connected")
        press(browser, "disconnect")
        see(browser, "Disconnect shop on TikTok")
        press(browser, "Disconnect")
        see(browser, "shop on TikTok is disconnected")

    await asyncio.to_thread(journey)
    assert errors(browser) == []
    assert [row["state"] for row in await rig.raw("SELECT state FROM connections")] == ["disconnected"]


async def test_person_who_says_no_at_the_platform_is_told_that_nothing_was_connected(
    rig: Rig, browser: WebDriver
) -> None:
    def journey() -> None:
        log_in(browser, rig.url)
        press(browser, "TikTok")
        consent(browser, "Deny")
        see(browser, "You did not allow it, so nothing was connected")

    await asyncio.to_thread(journey)
    assert all("status of 400" in message for message in errors(browser)), "the page itself may be answered so"
    assert await rig.raw("SELECT FROM connections") == []


async def test_person_chooses_which_pages_to_connect_and_sees_why_one_cannot_be(rig: Rig, browser: WebDriver) -> None:
    def journey() -> None:
        log_in(browser, rig.url)
        press(browser, "Facebook Pages")
        consent(browser, "Approve", "alice", untick="instagram_basic")
        see(browser, "Choose what to connect")
        see(browser, "leave instagram_basic ticked")
        tick(browser, "Facebook Pages: Cafe")
        press(browser, "Connect")
        see(browser, "Connected: Shop")
        assert "Cafe" not in said(browser)

    await asyncio.to_thread(journey)
    assert errors(browser) == []
    assert [row["username"] for row in await rig.raw("SELECT username FROM connections")] == ["Shop"]


async def test_account_that_broke_is_told_of_and_brought_back_and_another_one_asks_first(
    rig: Rig, browser: WebDriver
) -> None:
    [id_] = await rig.connect("tiktok")
    await rig.sandbox.command("act", platform="tiktok", what="revoke", account="shop")
    await rig.due()
    assert await rig.refresher.refresh(id_) == "needs_reconnect"

    def journey() -> None:
        log_in(browser, rig.url)
        see(browser, "What needs you")
        press(browser, "connect again")
        consent(browser, "Approve", "alice")
        see(browser, "You wanted to connect shop again, but this is alice")
        press(browser, "Go back")
        see(browser, "needs you")
        press(browser, "connect again")
        consent(browser, "Approve", "shop")
        see(browser, "Connected: shop")
        assert "What needs you" not in said(browser)
        press(browser, "check now")
        see(browser, "TikTok accepted the connection at")
        assert "Connected: shop" not in said(browser), "it is said once"

    await asyncio.to_thread(journey)
    assert errors(browser) == []
    assert [row["state"] for row in await rig.raw("SELECT state FROM connections")] == ["active"]


async def test_permission_that_was_not_given_and_a_flow_that_took_too_long_are_explained(
    rig: Rig, browser: WebDriver
) -> None:
    def begin() -> None:
        log_in(browser, rig.url)
        press(browser, "TikTok")
        consent(browser, "Approve", untick="video.list")
        see(browser, "leave video.list ticked")
        press(browser, "Back")
        press(browser, "X")
        see(browser, "It may")

    await asyncio.to_thread(begin)
    await rig.raw("UPDATE oauth_states SET expires_at = now() - interval '1 second'")

    def end() -> None:
        consent(browser, "Approve")
        see(browser, "It took too long; start connecting again")

    await asyncio.to_thread(end)
    assert await rig.raw("SELECT FROM connections") == []


async def test_owner_lets_somebody_in_who_may_only_look(rig: Rig, browser: WebDriver) -> None:
    await rig.connect("tiktok")

    def journey() -> None:
        log_in(browser, rig.url)
        press(browser, "People")
        fill(browser, "address", "eve@example.org")
        Select(browser.find_elements(By.CSS_SELECTOR, "select[name=role]")[-1]).select_by_visible_text("viewer")
        press(browser, "invite")
        see(browser, "eve@example.org is invited as viewer")
        link = browser.find_element(By.CSS_SELECTOR, "p[role=status] code").text
        press(browser, "Audit")
        see(browser, "invitation.made")
        browser.get(link)
        see(browser, "this invitation is for another address")
        press(browser, "Log out")
        see(browser, "Email address")
        browser.get(link)
        see(browser, "You are new here")
        fill(browser, "Choose a password", PASSWORD)
        press(browser, "Join default")
        see(browser, "Your password is set")
        fill(browser, "Password", PASSWORD)
        press(browser, "Log in")
        see(browser, "shop")
        assert not browser.find_elements(By.XPATH, "//a[text()='disconnect']")
        assert "Connect an account" not in said(browser)

    await asyncio.to_thread(journey)
    assert ["status of 403" in message for message in errors(browser)] == [True], "the link, in the owner's browser"


async def test_two_tabs_connect_two_servers_and_two_choices_are_made_side_by_side(rig: Rig, browser: WebDriver) -> None:
    def tab_of(name: str) -> str:
        """A tab at the consent page of this server."""
        browser.switch_to.new_window("tab")
        browser.get(f"{rig.url}/connections")
        fill(browser, "A server of Mastodon", name)
        press(browser, "Mastodon")
        see(browser, "It may")
        return browser.current_window_handle

    def chooser() -> str:
        browser.switch_to.new_window("tab")
        browser.get(f"{rig.url}/connections")
        press(browser, "Facebook Pages")
        consent(browser, "Approve", "alice")
        see(browser, "Choose what to connect")
        return browser.current_window_handle

    def journey() -> None:
        log_in(browser, rig.url)
        tabs = [tab_of("@me@social.example"), tab_of("https://other.example/@me")]
        for tab in tabs:
            browser.switch_to.window(tab)
            consent(browser, "Approve")
            see(browser, "Connected: shop")
        tabs = [chooser(), chooser()]
        for tab, unwanted in zip(
            tabs, (("Cafe", "Instagram: shop"), ("Facebook Pages: Shop", "Instagram: shop")), strict=True
        ):
            browser.switch_to.window(tab)
            for name in unwanted:
                tick(browser, name)
            press(browser, "Connect")
            see(browser, "Connected")

    await asyncio.to_thread(journey)
    assert errors(browser) == []
    rows = await rig.raw("SELECT platform, instance, username FROM connections ORDER BY platform, instance, username")
    assert [tuple(row) for row in rows] == [
        ("facebook", "", "Cafe"),
        ("facebook", "", "Shop"),
        ("mastodon", "other.example", "shop"),
        ("mastodon", "social.example", "shop"),
    ]


async def test_owner_of_an_account_opens_a_link_reads_it_presses_twice_and_goes_back(
    rig: Rig, browser: WebDriver
) -> None:
    link = await rig.link("tiktok")

    def button() -> WebElement:
        return browser.find_element(By.XPATH, "//button[contains(., 'Continue to TikTok')]")

    def journey() -> None:
        browser.get(link)
        for words in ("Who asks", "the program with the API key tests", "default", "video.publish", "UTC"):
            see(browser, words)
        ActionChains(browser).double_click(button()).perform()
        see(browser, "It may")
        browser.back()
        see(browser, "Who asks")
        button().click()
        consent(browser, "Approve")
        see(browser, "Connected: shop")
        assert link.rpartition("=")[2] not in browser.current_url
        browser.get(link)
        see(browser, "This link was used before")

    await asyncio.to_thread(journey)
    assert all("status of 400" in message for message in errors(browser)), "the used link is answered so"
    assert [row["username"] for row in await rig.raw("SELECT username FROM connections")] == ["shop"]


async def test_another_website_can_lead_a_browser_to_a_link_and_press_nothing(rig: Rig, browser: WebDriver) -> None:
    link = await rig.link("tiktok")
    async with aiohttp.ClientSession() as thief, thief.get(link, headers=HTML) as response:
        action, fields = form_of(await response.text())
    hidden = "".join(f'<input type="hidden" name="{name}" value="{value}">' for name, value in fields.items())
    pages = {
        "/link": f'<form method="post" action="{rig.url}{action}">{hidden}</form>'
        "<script>document.forms[0].submit()</script>",
        "/own": f'<form method="post" action="{rig.url}/api/auth/tiktok"><input name="csrf"></form>'
        "<script>document.forms[0].submit()</script>",
        "/prefetch": f'<link rel="prefetch" href="{link}"><img src="{rig.url}/api/auth/tiktok"><p>Look</p>'
        f'<iframe src="{link}"></iframe>',
        "/hidden": f'<iframe sandbox="allow-forms allow-scripts" srcdoc="<form method=post action={rig.url}{action}>'
        f"<input name=ticket value={fields['ticket']}><input name=csrf value={fields['csrf']}></form>"
        '<script>document.forms[0].submit()</script>"></iframe><p>Look</p>',
    }

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=pages[request.path], content_type="text/html")

    app = web.Application()
    app.router.add_get("/{name}", page)
    evil = TestServer(app, host="localhost")
    await evil.start_server()

    def journey() -> None:
        log_in(browser, rig.url)
        browser.get(link)
        see(browser, "Who asks")
        for name, said_there in (
            ("link", "another website"),
            ("own", "another website"),
            ("prefetch", "Look"),
            ("hidden", "Look"),
        ):
            browser.get(f"http://localhost:{evil.port}/{name}")
            see(browser, said_there)
        browser.get(link)
        see(browser, "Who asks")
        press(browser, "Continue to TikTok")
        see(browser, "It may")

    await asyncio.to_thread(journey)
    await evil.close()
    assert len(await rig.raw("SELECT FROM oauth_states")) == 1, "and nothing else was begun"


async def test_person_who_meets_an_error_anywhere_is_told_in_words_what_to_do(rig: Rig, browser: WebDriver) -> None:
    def journey() -> None:
        log_in(browser, rig.url)
        browser.get(f"{rig.url}/api/connections/{DEFAULT_TENANT}")
        see(browser, "There is no such connection")
        see(browser, "What to do")
        browser.get(f"{rig.url}/api/auth/mastodon?instance=no%20server")
        see(browser, "or by your handle there, such as @me@social.example")
        browser.get(f"{rig.url}/connections?connected=%00")
        see(browser, "send text in UTF-8, without NUL")

    await asyncio.to_thread(journey)
    assert all("status of 40" in message for message in errors(browser))


async def test_person_uploads_files_while_writing_a_post_and_loses_nothing_of_it(
    rig: Rig, browser: WebDriver, tmp_path: Path
) -> None:
    await rig.connect("x")
    paths = [tmp_path / name for name in ("a beach.jpg", "b beach.jpg")]
    for number, path in enumerate(paths):
        path.write_bytes(media_samples.image("JPEG", (640, 640 + number)))

    def journey() -> None:
        log_in(browser, rig.url)
        press(browser, "Posts")
        press(browser, "Write a post")
        tick(browser, "shop")
        browser.find_element(By.NAME, "content").send_keys("Tea & cake")
        press(browser, "Upload, and go on writing")
        see(browser, "No file is chosen")
        browser.find_element(By.NAME, "file").send_keys("\n".join(map(str, paths)))
        press(browser, "Upload, and go on writing")
        see(browser, "Uploaded and chosen for the post: a beach.jpg, b beach.jpg")
        press(browser, "Keep as a draft")
        see(browser, "The post is stored")
        assert "Tea & cake" in said(browser)

    await asyncio.to_thread(journey)
    assert all("400 (Bad Request)" in message for message in errors(browser)), "but for the upload without a file"
    [[files]] = await rig.raw("SELECT count(*) FROM post_media WHERE target_id IS NULL")
    assert files == 2


async def test_page_of_a_post_keeps_itself_up_to_date_and_leaves_what_somebody_types_alone(
    rig: Rig, browser: WebDriver
) -> None:
    [x] = await rig.connect("x")
    body = {"content": "Tea", "targets": [{"connection": x}], "action": "publish"}
    _, made = await rig.api("POST", "/api/posts", json=body)
    id_ = made["post"]["id"]
    waiting, doubtful = (
        "UPDATE post_targets SET state = 'uploading', due_at = now() + interval '1 hour'",
        "UPDATE post_targets SET state = 'unconfirmed', due_at = now(), error_message = 'Nobody answered.'",
    )

    def shown() -> None:
        log_in(browser, rig.url)
        browser.get(f"{rig.url}/posts/{id_}")
        see(browser, "A worker takes it up")
        browser.execute_script("window.same = true")

    def kept(words: str) -> None:
        see(browser, words)
        assert browser.execute_script("return window.same"), "the page was not loaded anew"

    await asyncio.to_thread(shown)
    await rig.raw(waiting)
    await asyncio.to_thread(kept, "is being uploaded")
    await rig.raw(doubtful)
    await asyncio.to_thread(kept, "Landfall cannot tell whether the post is there")
    evidence = browser.find_element(By.NAME, "evidence")
    await asyncio.to_thread(evidence.send_keys, "I looked")
    await rig.raw("UPDATE post_targets SET error_message = 'Still nobody answered.'")
    await asyncio.to_thread(browser.execute_script, "document.activeElement.blur()")
    await asyncio.sleep(4)
    assert browser.find_element(By.NAME, "evidence").get_attribute("value") == "I looked"
    await asyncio.to_thread(browser.execute_script, "document.getElementsByName('evidence')[0].value = ''")
    await asyncio.to_thread(kept, "Still nobody answered")
    assert errors(browser) == []
