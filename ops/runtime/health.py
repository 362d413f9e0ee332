"""Serve /healthz, /readyz and /metrics for load balancers, operators and Prometheus."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from ops.runtime import headers, metrics, responses, server_store
from ops.runtime.db import Pool, describe
from ops.runtime.periodic import repeat
from ops.runtime.responses import Failure

DURABLE = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply", "remote_write"),
}
"""Settings without which a 200 promises nothing: a commit must be on disk when PostgreSQL says that it is done."""

CACHE_SECONDS = 1.0
LAG_SECONDS = 0.5
"""How often the lag of the event loop is measured."""


@dataclass(frozen=True, slots=True)
class Check:
    """``detail`` says what is wrong and what to do; a process that is not ok in something required is not ready."""

    ok: bool
    detail: str = ""
    required: bool = True


Readiness = Callable[[], Awaitable[Mapping[str, Check]]]


async def check_database(pool: Pool, head: str) -> dict[str, Check]:
    """Check that PostgreSQL answers, has the schema of this release, and settings that keep what was acknowledged."""
    try:
        async with pool.acquire() as connection:
            revision = await server_store.schema_revision(connection)
            settings = await server_store.settings(connection, DURABLE)
    except Exception as error:  # noqa: BLE001  every failure means the same here
        return {"postgresql": Check(ok=False, detail=f"PostgreSQL does not answer ({describe(error)})")}
    weak = [f"{name} = {value}" for name, value in settings.items() if value not in DURABLE[name]]
    return {
        "postgresql": Check(ok=True),
        "schema": Check(
            revision == head,
            "" if revision == head else f"schema is at {revision}, this release needs {head}: run `landfall migrate`",
        ),
        "durability": Check(
            not weak,
            f"{', '.join(weak)}: an acknowledged event can be lost; see `landfall doctor`" if weak else "",
            required=False,
        ),
    }


def add_routes(app: web.Application, readiness: Readiness) -> None:
    """Add /healthz and /readyz to ``app``."""
    cached: tuple[float, Mapping[str, Check]] = (0.0, {})
    asking: asyncio.Task[None] | None = None

    async def ask() -> None:
        nonlocal cached
        cached = (time.monotonic(), await readiness())

    async def healthz(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        nonlocal asking
        if time.monotonic() - cached[0] > CACHE_SECONDS:
            if asking is None or asking.done():
                asking = asyncio.create_task(ask(), name="readiness")
            await asyncio.shield(
                asking
            )  # requests that come meanwhile wait for the same result, which costs one connection
        checks = cached[1]
        shown = {
            name: {"ok": check.ok, **({"detail": check.detail} if check.detail else {})}
            for name, check in checks.items()
        }
        missing = [check.detail or name for name, check in checks.items() if check.required and not check.ok]
        if missing:
            remedy = "send requests to another process until this one is ready"
            failure = Failure(503, "not_ready", "; ".join(missing), remedy, retryable=True, details={"checks": shown})
            return responses.error(request, failure)
        return web.json_response({"status": "ready", "checks": shown}, headers=responses.NO_STORE)

    app.router.add_get("/healthz", healthz, expect_handler=responses.expect)
    app.router.add_get("/readyz", readyz, expect_handler=responses.expect)


def build(readiness: Readiness, process: str) -> web.Application:
    """Build the internal application: health and metrics.

    ``process`` is a key of ``metrics.MEASURED``.
    """
    app = web.Application()
    add_routes(app, readiness)

    async def expose(_: web.Request) -> web.Response:
        return web.Response(body=metrics.exposition(process), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app.router.add_get("/metrics", expose, expect_handler=responses.expect)
    responses.add_fallback(app)
    headers.add_to(app)
    app.cleanup_ctx.append(_watch_loop)
    return app


async def _watch_loop(_: web.Application) -> AsyncIterator[None]:
    due = time.monotonic() + LAG_SECONDS

    async def measure() -> None:
        nonlocal due
        now = time.monotonic()
        metrics.loop_lag_seconds.set(max(0.0, now - due))
        due = now + LAG_SECONDS

    task = asyncio.create_task(repeat(measure, LAG_SECONDS, first=LAG_SECONDS), name="loop lag")
    yield
    task.cancel()
