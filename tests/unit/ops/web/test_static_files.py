"""Files of the pages: browsers keep them under the address that names their content, and ask again otherwise."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from ops.web import static_files

Browser = TestClient[web.Request, web.Application]


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    app = web.Application()
    app.router.add_get(f"{static_files.PATH}/{{name}}", static_files.serve)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize("name", sorted(static_files.FILES))
async def test_file_is_kept_for_good_under_the_address_of_its_content(browser: Browser, name: str) -> None:
    answer = await browser.get(static_files.address(name))
    assert (answer.status, await answer.read()) == (200, static_files.FILES[name])
    assert answer.headers["Cache-Control"] == static_files.FOR_GOOD


async def test_file_of_another_release_is_asked_for_again(browser: Browser) -> None:
    answer = await browser.get("/static/landfall.css?v=0")
    assert answer.headers["Cache-Control"] == "no-cache"
    again = await browser.get("/static/landfall.css?v=0", headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status, await again.read()) == (304, b"")
    changed = await browser.get("/static/landfall.css?v=0", headers={"If-None-Match": '"0"'})
    assert changed.status == 200


@pytest.mark.parametrize("name", ["nothing.css", "..%2Fresponses.py", "%2Fetc%2Fpasswd", "landfall.css%00"])
async def test_nothing_else_is_served(browser: Browser, name: str) -> None:
    answer = await browser.get(f"/static/{name}")
    assert answer.status == 404
    assert (await answer.json())["error"]["code"] == "not_found"
