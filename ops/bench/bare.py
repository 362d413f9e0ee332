"""The empty handler: the web process's server, which reads the body and answers. `python -m ops.bench.bare PORT`"""

import asyncio
import sys

import uvloop
from aiohttp import web

from ops.cli import wiring


async def answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=b'{"ok":true}', content_type="application/json")


async def main(port: int) -> None:
    app = web.Application()
    for platform in ("instagram", "tiktok"):
        app.router.add_post(f"/api/webhooks/{platform}", answer)
    await wiring.listen(app, "HTTP", "127.0.0.1", port)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
