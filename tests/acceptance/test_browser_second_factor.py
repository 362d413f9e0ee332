"""Second factors as a person meets them: Chromium with an authenticator of its own, and an app's codes."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pyotp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from selenium.webdriver.common.by import By
from selenium.webdriver.common.virtual_authenticator import VirtualAuthenticatorOptions
from selenium.webdriver.remote.webdriver import WebDriver

from ops.access import second_factor
from ops.runtime.embedded import free_port
from tests.acceptance.test_browser import EMAIL, PASSWORD, errors, fill, press, said, see
from tests.rig import Rig, add_pages

SHOTS = os.environ.get("LANDFALL_SCREENSHOTS", "")
"""A folder for pictures of the pages, at two widths, light and dark; without it none are taken."""


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


@pytest.fixture
async def url(rig: Rig) -> AsyncIterator[str]:
    """Landfall at a name for which browsers have passkeys, where owners need a second factor."""
    port = free_port()
    app = web.Application()
    add_pages(app, rig.pool, rig.built, public_url=f"http://localhost:{port}", owners_need_second_factor=True)
    server = TestServer(app, host="127.0.0.1", port=port)
    await server.start_server()
    yield f"http://localhost:{port}"
    await server.close()


def give_password(browser: WebDriver, url: str) -> None:
    browser.get(f"{url}/login")
    fill(browser, "Email address", EMAIL)
    fill(browser, "Password", PASSWORD)
    press(browser, "Log in")


def into(browser: WebDriver, action: str, name: str, text: str) -> None:
    """Type into a field of the form that is sent there."""
    browser.find_element(By.CSS_SELECTOR, f"form[action='{action}'] input[name={name}]").send_keys(text)


def pictured(browser: WebDriver, name: str) -> None:
    """Nothing is wider than a phone; and pictures, for whoever wants to look."""
    for width in (390, 1280):
        for scheme in ("light", "dark"):
            browser.execute_cdp_cmd(  # type: ignore[attr-defined]
                "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            )
            metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)  # type: ignore[attr-defined]
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, (name, width, wide)
            if SHOTS:
                height = browser.execute_script("return document.documentElement.scrollHeight")
                tall = metrics | {"height": height}
                browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", tall)  # type: ignore[attr-defined]
                browser.save_screenshot(str(Path(SHOTS) / f"{name}-{width}-{scheme}.png"))
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})  # type: ignore[attr-defined]


async def test_owner_adds_a_passkey_because_one_is_needed_and_logs_in_with_it(
    rig: Rig, url: str, browser: WebDriver
) -> None:
    options = VirtualAuthenticatorOptions(
        protocol="ctap2", transport="internal", has_resident_key=True, has_user_verification=True, is_user_verified=True
    )

    def journey() -> None:
        browser.add_virtual_authenticator(options)
        give_password(browser, url)
        see(browser, "Owners need a second factor here")
        pictured(browser, "must-add")
        assert "Change the password" not in said(browser)
        into(browser, "/account/passkeys", "name", "Laptop")
        into(browser, "/account/passkeys", "password", PASSWORD)
        press(browser, "Add a passkey")
        see(browser, "keeps the passkey for this site")
        pictured(browser, "passkey")
        press(browser, "Create the passkey")
        see(browser, "Recovery codes")
        pictured(browser, "codes")
        press(browser, "I have kept them")
        see(browser, "Laptop")
        see(browser, "this one")
        pictured(browser, "account")
        press(browser, "Log out")
        see(browser, "Email address")
        give_password(browser, url)
        see(browser, "Second factor")
        pictured(browser, "second-step")
        press(browser, "Use a passkey")
        see(browser, "Connect an account")
        press(browser, "Log out")
        see(browser, "Email address")
        browser.remove_virtual_authenticator()
        give_password(browser, url)
        see(browser, "Second factor")
        # Without an authenticator Chromium waits for one to be plugged in; a person gives up, and is told.
        browser.execute_script(
            "navigator.credentials.get = () => Promise.reject(new DOMException('', 'NotAllowedError'))"
        )
        press(browser, "Use a passkey")
        see(browser, "The browser gave no passkey")
        assert browser.find_element(By.CSS_SELECTOR, "#passkey button").is_enabled()

    await asyncio.to_thread(journey)
    assert errors(browser) == []
    [row] = await rig.raw("SELECT name, sign_count FROM passkeys")
    assert (row["name"], row["sign_count"] > 0) == ("Laptop", True)
    rows = await rig.raw("SELECT detail->>'second_factor' FROM audit_log WHERE action = 'user.logged_in' ORDER BY id")
    assert [row[0] for row in rows] == [None, "passkey"]


async def test_person_adds_an_app_and_logs_in_with_a_code_without_javascript(
    rig: Rig, url: str, browser: WebDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(step=60_000_000)
    monkeypatch.setattr(second_factor, "current_step", lambda: clock.step)

    def journey() -> None:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})  # type: ignore[attr-defined]
        give_password(browser, url)
        see(browser, "Owners need a second factor here")
        into(browser, "/account/totp", "password", PASSWORD)
        press(browser, "Add an app")
        see(browser, "Scan this with the app")
        assert browser.find_element(By.CSS_SELECTOR, ".qr svg").size["width"] > 100
        secret = re.sub(r"\s", "", browser.find_element(By.TAG_NAME, "code").text)
        totp = pyotp.TOTP(secret)
        fill(browser, "The code that the app shows now", totp.generate_otp(clock.step))
        press(browser, "Confirm")
        see(browser, "Recovery codes")
        press(browser, "I have kept them")
        see(browser, "Authenticator app")
        press(browser, "Log out")
        clock.step += 1
        give_password(browser, url)
        see(browser, "Second factor")
        fill(browser, "Code of your app", "000000" if totp.generate_otp(clock.step) != "000000" else "111111")
        press(browser, "Log in")
        see(browser, "This is wrong")
        fill(browser, "Code of your app", totp.generate_otp(clock.step))
        press(browser, "Log in")
        see(browser, "Connect an account")
        browser.get(f"{url}/account")
        press(browser, "Remove")
        see(browser, "It is your last factor")
        fill(browser, "Your password", PASSWORD)
        press(browser, "Remove the factor")
        see(browser, "Authenticator app is removed")
        see(browser, "None yet")

    await asyncio.to_thread(journey)
    assert all("status of 40" in message for message in errors(browser))
    assert await rig.raw("SELECT FROM totp_factors") == []
