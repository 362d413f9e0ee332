"""HTTP around the platforms: parsing, faults, the ledger, and the control surface under ``/_sandbox``."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import BodyPartReader, web
from pydantic import ValidationError

import ops.sandbox.platforms
from ops.runtime.discovery import discover
from ops.sandbox.clock import Clock
from ops.sandbox.contract import Answer, Call, Handler, Platform, Refusal, Sandbox, Upload
from ops.sandbox.faults import Fault, Script
from ops.sandbox.ledger import KINDS, Ledger

BODY_LIMIT = 2**30
HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class Server:
    """All platforms at one port, each below ``/<name>``."""

    def __init__(self, seed: int, ring: int = 10_000) -> None:
        self.seed = seed
        self.clock = Clock()
        self.ledger = Ledger(ring)
        self.script = Script()
        self.platforms: dict[str, Platform] = {}
        self.reset()

    def reset(self) -> None:
        """Forget everything but the time."""
        self.ledger.clear()
        self.script.clear()
        shared = Sandbox(self.clock, self.ledger, random.Random(self.seed))  # noqa: S311  a world, not a secret
        for name, kind in discover(ops.sandbox.platforms, type).items():
            self.platforms[name] = kind(shared)

    def app(self) -> web.Application:
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_get("/_sandbox/ledger", self._ledger)
        app.router.add_post("/_sandbox/faults", self._add_fault)
        app.router.add_delete("/_sandbox/faults", self._clear_faults)
        app.router.add_post("/_sandbox/clock", self._move_clock)
        app.router.add_post("/_sandbox/redirects", self._allow_redirect)
        app.router.add_post("/_sandbox/reset", self._reset)
        for name, platform in self.platforms.items():
            end = "{slash:/?}" if platform.slash_ignored else ""
            for route in platform.routes():
                path = f"/{name}{route.path}{end}"
                app.router.add_route(route.method, path, self._serve(name, route.handler.__name__))
            app.router.add_route("*", f"/{name}{{path:.*}}", self._serve(name, "unknown"))
        return app

    def _serve(self, name: str, handler: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            platform = self.platforms[name]  # looked up anew: a reset replaces it
            call = await read(request, name)
            account = platform.account_of(call)
            fault = self.script.take(name, f"{call.method} {call.path}", account)
            answer = None
            if fault is None or fault.effect:
                answer = answered(getattr(platform, handler), call)
            self.ledger.add(
                "call",
                platform.sandbox.at,
                name,
                method=call.method,
                path=call.path,
                account=account,
                status=None if answer is None else answer.status,
                fault=None if fault is None else fault.model_dump(exclude_defaults=True),
            )
            if fault is not None:
                return await befallen(request, fault, answer)
            assert answer is not None  # noqa: S101  there is one where no fault took its place
            return respond(answer)

        return serve

    async def _ledger(self, request: web.Request) -> web.Response:
        wanted = dict(request.query)
        kind = wanted.pop("kind", None)
        if kind is not None and kind not in KINDS:
            return web.json_response({"error": f"kind is one of {', '.join(KINDS)}"}, status=400)
        return web.json_response(self.ledger.find(kind, **wanted))

    async def _add_fault(self, request: web.Request) -> web.Response:
        try:
            self.script.add(Fault.model_validate_json(await request.read()))
        except ValidationError as error:
            return web.json_response({"error": json.loads(error.json(include_url=False))}, status=400)
        return web.json_response({"faults": len(self.script.faults)})

    async def _clear_faults(self, _: web.Request) -> web.Response:
        self.script.clear()
        return web.json_response({"faults": 0})

    async def _move_clock(self, request: web.Request) -> web.Response:
        try:
            wish = await request.json()
            if "speed" in wish:
                self.clock.run(float(wish["speed"]))
            self.clock.jump(float(wish.get("jump", 0)))
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"now": self.clock.now().isoformat()})

    async def _allow_redirect(self, request: web.Request) -> web.Response:
        """What one would do in a platform's developer portal: enter a callback address."""
        wish = parsed_json(await request.read())
        platform = self.platforms.get(str(wish.get("platform"))) if isinstance(wish, dict) else None
        if platform is None or not isinstance(wish.get("redirect_uri"), str):
            error = f"platform is one of {', '.join(self.platforms)}, and redirect_uri is text"
            return web.json_response({"error": error}, status=400)
        platform.redirect_uris.add(wish["redirect_uri"])
        return web.json_response({"redirect_uris": sorted(platform.redirect_uris)})

    async def _reset(self, _: web.Request) -> web.Response:
        self.reset()
        return web.json_response({"reset": True})


def answered(handler: Handler, call: Call) -> Answer:
    try:
        return handler(call)
    except Refusal as refusal:
        return refusal.answer


def respond(answer: Answer) -> web.Response:
    headers = dict(answer.headers)
    if isinstance(answer.content, str):
        headers.setdefault("Content-Type", "text/html; charset=utf-8")
        return web.Response(status=answer.status, text=answer.content, headers=headers)
    return web.json_response(answer.content, status=answer.status, headers=headers)


async def befallen(request: web.Request, fault: Fault, answer: Answer | None) -> web.StreamResponse:
    """The answer, spoiled as the script says."""
    await asyncio.sleep(fault.delay_seconds)
    if fault.spoil == "hang":
        await asyncio.Event().wait()
    if fault.drop:
        assert request.transport is not None  # noqa: S101  the request has just come by it
        request.transport.abort()
        return web.Response()
    if fault.spoil == "html":
        return web.Response(status=fault.status or 502, text=HTML, content_type="text/html", headers=fault.headers)
    status = fault.status or (answer.status if answer else 500)
    content = fault.body if answer is None or fault.body is not None else answer.content
    response = respond(Answer(status, {} if content is None else content, fault.headers))
    if fault.truncate is None:
        return response
    # It announces its whole length, and the connection ends before that.
    whole = response.body if isinstance(response.body, bytes) else b""
    stream = web.StreamResponse(status=status, headers={**response.headers, "Content-Length": str(len(whole))})
    await stream.prepare(request)
    await stream.write(whole[: fault.truncate])
    assert request.transport is not None  # noqa: S101
    request.transport.close()
    return stream


async def read(request: web.Request, name: str) -> Call:
    """The call in a request, whatever way its fields are written."""
    fields: dict[str, Any] = {}
    files: dict[str, Upload] = {}
    body = b""
    if request.content_type == "multipart/form-data":
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                continue
            content = bytes(await part.read())
            if part.filename is None:
                put(fields, part.name, content.decode(errors="replace"))
            else:
                files[part.name] = Upload(
                    part.filename, part.headers.get("Content-Type", "application/octet-stream"), content
                )
    else:
        body = await request.read()
        if request.content_type == "application/json":
            parsed = parsed_json(body)
            fields = parsed if isinstance(parsed, dict) else {}
        elif request.content_type == "application/x-www-form-urlencoded":
            for key, value in (await request.post()).items():
                put(fields, key, value)
    prefix = f"/{name}"
    return Call(
        request.method,
        request.path.removeprefix(prefix).rstrip("/"),
        f"{request.scheme}://{request.host}{prefix}",
        dict(request.match_info),
        request.query,
        fields,
        files,
        {key.lower(): value for key, value in request.headers.items()},
        body,
    )


def parsed_json(body: bytes) -> Any:
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return None


def put(fields: dict[str, Any], name: str, value: Any) -> None:
    """``name[]`` and repeated names are lists."""
    if name.endswith("[]"):
        fields.setdefault(name, []).append(value)
    elif name in fields:
        known = fields[name]
        fields[name] = [*(known if isinstance(known, list) else [known]), value]
    else:
        fields[name] = value
