"""Wiring of the public port."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web

from ingest.endpoint import RECEIVER, Address, Receiver, fallback
from ops.runtime.responses import expect

ENDS = ("", "/")
"""An address with a slash at its end is the same one: portals keep what was typed, and a POST follows no redirect."""


def build(receiver: Receiver) -> web.Application:
    """The public application: nothing on it but the webhooks."""
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


LANE: web.AppKey["asyncio.Task[None]"] = web.AppKey("lane", asyncio.Task)
"""What commits. Without it the process is of no use."""


async def _committing(app: web.Application) -> AsyncIterator[None]:
    committer = app[RECEIVER].committer
    app[LANE] = asyncio.create_task(committer.run(), name="committer")
    yield
    committer.close()
    await asyncio.wait({app[LANE]})
