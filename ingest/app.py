"""Build the application of the public port."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from ingest.endpoint import RECEIVER, Address, Receiver, fallback
from ops.runtime.responses import expect

ENDS = ("", "/")
"""A trailing slash names the same address: portals keep what was typed, and a POST follows no redirect."""


def build(receiver: Receiver) -> web.Application:
    """Build the public application with the webhooks only."""
    app = web.Application()
    app[RECEIVER] = receiver
    for platform, webhook in receiver.webhooks.items():
        address = Address(receiver, platform, webhook)
        for end in ENDS:
            app.router.add_post(f"/api/webhooks/{platform}{end}", address.receive, expect_handler=expect)
            app.router.add_get(f"/api/webhooks/{platform}{end}", address.verify, expect_handler=expect)
    for end in ENDS:
        app.router.add_route("*", f"/api/webhooks/{{platform}}{end}", fallback, expect_handler=expect)
    app.cleanup_ctx.append(_committing)
    return app


COMMIT_TASK: web.AppKey["asyncio.Task[None]"] = web.AppKey("commit task", asyncio.Task)
"""The task that commits. The process ends when it does."""


async def _committing(app: web.Application) -> AsyncIterator[None]:
    committer = app[RECEIVER].committer
    app[COMMIT_TASK] = asyncio.create_task(committer.run(), name="committer")
    yield
    committer.close()
    await asyncio.wait({app[COMMIT_TASK]})
