"""Wiring of the public port."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from ingest.views import RECEIVER, Receiver, plain_errors, receive, verify_endpoint


def build(receiver: Receiver) -> web.Application:
    """The public application: nothing on it but the webhooks."""
    app = web.Application(middlewares=[plain_errors])
    app[RECEIVER] = receiver
    app.router.add_post("/api/webhooks/{platform}", receive)
    app.router.add_get("/api/webhooks/{platform}", verify_endpoint)
    app.cleanup_ctx.append(_committing)
    return app


async def _committing(app: web.Application) -> AsyncIterator[None]:
    committer = app[RECEIVER].committer
    lane = asyncio.create_task(committer.run(), name="committer")
    yield
    committer.close()
    await lane
