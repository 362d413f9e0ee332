"""/readyz costs one look at the database a second, whoever asks and however often."""

import asyncio
from collections.abc import Mapping

from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from ops.runtime import health
from ops.runtime.health import Check
from tests.support import is_error


async def test_a_crowd_shares_one_answer(aiohttp_client: AiohttpClient) -> None:
    looks = 0

    async def readiness() -> Mapping[str, Check]:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.1)
        return {"postgresql": Check(ok=looks > 1, detail="away")}

    app = web.Application()
    health.add_routes(app, readiness)
    client = await aiohttp_client(app)
    answers = await asyncio.gather(*(client.get("/readyz") for _ in range(20)))
    assert {answer.status for answer in answers} == {503}
    assert looks == 1
    assert (await client.get("/readyz")).status == 503
    assert looks == 1
    await asyncio.sleep(health.CACHE_SECONDS)
    assert (await client.get("/readyz")).status == 200
    assert looks == 2


async def test_process_that_is_not_ready_says_why_in_the_shape_of_every_error(aiohttp_client: AiohttpClient) -> None:
    async def readiness() -> Mapping[str, Check]:
        return {"postgresql": Check(ok=False, detail="away"), "keys": Check(ok=True)}

    client = await aiohttp_client(health.build(readiness, "web"))
    answer = await client.get("/readyz")
    content = await answer.json()
    assert (answer.status, is_error(content), content["error"]["code"]) == (503, True, "not_ready")
    assert content["error"]["message"] == "away"
    assert content["error"]["details"]["checks"] == {
        "postgresql": {"ok": False, "detail": "away"},
        "keys": {"ok": True},
    }
    page = await client.get("/readyz", headers={"Accept": "text/html"})
    assert (page.status, page.content_type, "Away." in await page.text()) == (503, "text/html", True)
