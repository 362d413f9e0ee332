"""The pages as a person meets them: a real Chromium goes through them, and has nothing to complain of."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from publish import people
from schema.people import DEFAULT_TENANT
from tests.rig import TESTS, Rig, rigged

EMAIL, PASSWORD = "ada@example.org", "correct horse battery"
SECONDS = 10


@pytest.fixture
async def rig(database: str, connection: asyncpg.Connection) -> AsyncIterator[Rig]:
    async with rigged(database, connection) as found:
        await people.add(found.pool, DEFAULT_TENANT, EMAIL, PASSWORD, "owner", TESTS)
        yield found


def said(browser: WebDriver) -> str:
    """All the words on the page."""
    return browser.find_element(By.TAG_NAME, "body").text


def until(browser: WebDriver, found: Callable[[WebDriver], Any], missing: str) -> Any:
    try:
        return WebDriverWait(browser, SECONDS, 0.05, [StaleElementReferenceException]).until(found)
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


def consent(browser: WebDriver, decision: str, account: str = "shop") -> None:
    """Decide on the sandbox's page, which stands for the platform's."""
    see(browser, "It may")
    Select(browser.find_element(By.TAG_NAME, "select")).select_by_visible_text(account)
    press(browser, decision)


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
        see(browser, "disconnected")

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
