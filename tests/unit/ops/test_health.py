"""/readyz costs one look at the database a second, whoever asks and however often."""

import asyncio
from collections.abc import Mapping

from aiohttp import web
from pytest_aiohttp.plugin import AiohttpClient

from ops.runtime import health
from ops.runtime.health import Check


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
