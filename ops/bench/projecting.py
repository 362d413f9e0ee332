"""Work of the worker, and its ceilings: each way of doing it is a process. `python -m ops.bench.projecting WAY …`

Two processes of one way work side by side, as two workers would.
"""

import asyncio
import json
import os
import pickle
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import asyncpg
import uvloop
from arq.connections import ArqRedis
from arq.typing import WorkerCoroutine
from arq.worker import Worker, func

from ingest.splitter import Splitter
from ops.bench import traffic
from ops.cli import wiring
from ops.runtime import garbage, logs
from ops.runtime.db import open_pool
from ops.runtime.worker_listener import deserialize, open_redis, serialize
from schema.rights import APP_ROLE
from sync.projection import store
from sync.projection.store import Batch, Write
from sync.projection.worker import Projector, project

BATCH = 1000
ARQ_QUEUE = "bench:events"

_PAGE = """
SELECT e.id, e.provider, e.account_id, e.external_id, e.event_type, e.payload_json, e.occurred_at, e.delivery_id,
    e.created_at, e.defect, 0 AS retry_count
FROM webhook_event_log e WHERE e.id = any($1::bigint[]) ORDER BY e.account_id, e.id
"""


async def landfall(dsn: str) -> None:
    """Drain until nothing waits, as `landfall work` does."""
    async with await open_pool(dsn, "bench", 1, role=APP_ROLE, settings=store.PLANNER) as pool:
        await Projector(pool, wiring.projections(), tries=3, holder=f"bench {time.perf_counter_ns()}").drain(900)


async def split(dsn: str) -> None:
    """Split until nothing waits, as `landfall work` does."""
    variables = {"META_APP_SECRET": (traffic.SECRET,), "TIKTOK_CLIENT_SECRET": (traffic.SECRET,)}
    splitter = Splitter(wiring.webhooks(), variables)
    async with (
        await open_pool(dsn, "bench", 1, role=APP_ROLE, settings=store.PLANNER) as pool,
        pool.acquire() as connection,
    ):
        await splitter.drain(connection, 900)


async def writes(dsn: str, ids: list[int]) -> list[list[Write]]:
    """The rows that projecting these events would write, ready to be sent, a thousand events at a time."""
    connection = await asyncpg.connect(dsn)
    ready = []
    for start in range(0, len(ids), BATCH):
        claimed = [store.claimed(row) for row in await connection.fetch(_PAGE, ids[start : start + BATCH])]
        ready.append(store.prepare(project(wiring.projections(), Batch(claimed)).facts))
    await connection.close()
    return ready


async def upserts(dsn: str, path: str) -> None:
    """The ceiling: rows that are ready are sent by a client, nothing is read, decided or kept account of."""
    batches: list[list[tuple[str, list[Any]]]] = pickle.loads(await asyncio.to_thread(Path(path).read_bytes))  # noqa: S301
    connection = await asyncpg.connect(dsn)
    print(time.time(), flush=True)
    for batch in batches:
        async with connection.transaction():
            for statement, arrays in batch:
                await connection.execute(statement, *arrays)
    await connection.close()


async def enqueue(redis_url: str, ids: list[int]) -> None:
    """One job per event."""
    redis: ArqRedis = await open_redis(redis_url)
    for event_id in ids:
        await redis.enqueue_job("project_one", event_id, _queue_name=ARQ_QUEUE)
    await redis.aclose()


class _Worker(Worker):
    """arq's worker, until its queue is empty, without the INFO that arq begins with: this Redis refuses it."""

    async def main(self) -> None:
        while await self.pool.zcard(self.queue_name):
            await self._poll_iteration()
            await asyncio.sleep(self.poll_delay_s)
        await asyncio.gather(*self.tasks.values())


async def arq(dsn: str, redis_url: str) -> None:
    """An arq worker, ten jobs at once, which projects the event that a job names."""
    projections = wiring.projections()
    pool = await asyncpg.create_pool(dsn, min_size=10, max_size=10)

    async def project_one(ctx: dict[Any, Any], event_id: int) -> None:  # noqa: ARG001  arq's shape
        async with pool.acquire() as connection, connection.transaction():
            claimed = [store.claimed(row) for row in await connection.fetch(_PAGE, [event_id])]
            await store.apply(cast("asyncpg.Connection", connection), project(projections, Batch(claimed)).facts)
            await connection.execute("DELETE FROM webhook_event_queue WHERE event_id = $1", event_id)

    worker = _Worker(
        functions=[func(cast("WorkerCoroutine", project_one), name="project_one", keep_result=0)],
        queue_name=ARQ_QUEUE,
        redis_pool=await open_redis(redis_url),
        handle_signals=False,
        max_jobs=10,
        poll_delay=0.01,
        keep_result=0,
        burst=True,
        job_serializer=serialize,
        job_deserializer=deserialize,
    )
    print(time.time(), flush=True)
    await worker.async_run()
    await pool.close()


if __name__ == "__main__":
    logs.configure("error")
    garbage.collect_rarely()  # all of them, as `landfall work` does
    way, *arguments = sys.argv[1:]
    dsn = os.environ["DATABASE_URL"]  # it holds a password, which has no place among the arguments
    ways: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "landfall": lambda: landfall(dsn),
        "split": lambda: split(dsn),
        "upserts": lambda: upserts(dsn, *arguments),
        "arq": lambda: arq(dsn, os.environ["REDIS_URL"]),
    }
    if way in ("landfall", "split"):
        print(time.time(), flush=True)
    uvloop.run(ways[way]())
    print(json.dumps({"ended": time.time()}))
