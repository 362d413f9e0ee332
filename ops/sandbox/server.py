"""The HTTP server: parse requests, apply faults, keep the ledger, and send what the platforms send by themselves."""

import asyncio
import dataclasses
import functools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.robotparser import RobotFileParser

import aiohttp
from aiohttp import BodyPartReader, web
from yarl import URL

from ops.runtime import headers
from ops.runtime.files import read_private, write_private
from ops.sandbox.clock import Clock
from ops.sandbox.contract import (
    ENDPOINT,
    Answer,
    Call,
    CommandError,
    Download,
    Fetched,
    Handler,
    OutboundRequest,
    Platform,
    Refusal,
    Upload,
    rule_of,
    whole,
)
from ops.sandbox.dispatcher import Delivery
from ops.sandbox.faults import Fault
from ops.sandbox.origin_check import origin_check_middleware
from ops.sandbox.simulation import Simulation

BODY_LIMIT = 2**30
IN_FLIGHT = 32
RANGE = 2**20
"""Bytes of each part of a download that asks for parts."""

SHOWN = 65_536
"""Characters of a webhook body, and bytes of its answer, that the ledger keeps."""

OWN_ANSWERS = ({"delivery", "events", "new"}, {"ended"}, {"url", "confirmation_code"})
"""The fields of Landfall's answers to a delivery, a deauthorization and a request to delete data (``meta.md`` 6)."""

ERROR_FIELDS = {"code", "message", "details", "retryable", "userMessage"}
"""The fields of ``error`` in Landfall's answer to a request that it refuses."""

SAVE_SECONDS = 1.0
"""Seconds until a simulation that a call has changed is written to its file."""

LIVED_SAVE_SECONDS = 15.0
"""Seconds between writes while only simulated activity changes it; a killed process loses the newest of that."""

MEDIA = Path(__file__).with_name("media")
"""A picture and a clip, served for tests that need an address a platform can fetch."""

HTML = "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


class Server:
    """Serves all platforms at one port, each below ``/<name>``."""

    def __init__(self, seed: int, ring: int = 10_000, capacity: int = 10_000, state: Path | None = None) -> None:
        """Create a simulation, or load it from ``state``, a file of this program's own that it is also saved to.

        Raises UnsafePathError where it may be somebody else's: what is in such a file is run. Raises
        UnreadableStateError for one of another release.
        """
        self._ring, self._capacity, self._state = ring, capacity, state
        self._kept = read_private(state) if state else None
        self.simulation = Simulation.load(self._kept) if self._kept else Simulation(seed, Clock(), ring, capacity)
        self._woken = asyncio.Event()
        self._limit = asyncio.Semaphore(IN_FLIGHT)
        self._client: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._checks: dict[tuple[str, str, str], float] = {}
        self.changed = False
        """Whether a call has changed the simulation since it was last saved."""

    def replace(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self._checks.clear()
        self.wake()

    def reset(self) -> None:
        """Start over with other accounts and posts; keep the time, the pace and the portal settings."""
        self.replace(self.simulation.restarted(self._ring, self._capacity))

    def snapshot(self) -> int:
        """Save the simulation as it is now, for :meth:`restore`. Return its size in bytes."""
        self._kept = self.simulation.save()
        self.save(self._kept)
        return len(self._kept)

    def save(self, content: bytes | None = None) -> None:
        """Write the simulation to its file, if it has one."""
        self.changed = False
        if self._state:
            write_private(self._state, self.simulation.save() if content is None else content)

    def restore(self) -> None:
        """Restore the last snapshot, except for the time. Raises CommandError if there is none."""
        if self._kept is None:
            raise CommandError("there is no snapshot; make one first")
        self.replace(Simulation.load(self._kept))

    def wake(self) -> None:
        """Look now whether something is due."""
        self._woken.set()

    def app(self, host: str = "127.0.0.1") -> web.Application:
        """Return the application. ``host`` is the address that it will listen on."""
        from ops.sandbox.control import Control

        app = web.Application(client_max_size=BODY_LIMIT, middlewares=[origin_check_middleware(host)])
        headers.add_to(app)
        Control(self).add_to(app)
        app.router.add_static("/_sandbox/media", MEDIA)
        for name, platform in self.simulation.platforms.items():
            end = "{slash:/?}" if platform.slash_ignored else ""
            routes = ((route.method, route.path, route.handler.__name__) for route in platform.routes())
            app.router.add_route("*", f"/{name}{{path:.*}}", self._serve(name, route_table(name, end, tuple(routes))))
        app.cleanup_ctx.append(self._running)
        return app

    # --- requests of clients

    def _serve(self, name: str, table: "RouteTable") -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            simulation = self.simulation  # looked up anew: a reset replaces it
            platform = simulation.platforms[name]
            handler, edge, matched = await table.resolve(request)
            call = await read(request, name, matched)
            simulation.vanish()
            account = platform.account_of(call)
            fault = simulation.faults.take(name, call, account, platform.transient_errors)
            spent = f"{call.method} {platform.edge(call, edge)}"  # named before a deletion takes its id away
            answer = None
            if fault is not None and fault.receive is not None:
                if handler in platform.resumable:
                    part = dataclasses.replace(call, body=call.body[: fault.receive])
                    answer = await self._answered(getattr(platform, handler), part)
            elif fault is None or (fault.effect and not fault.late_seconds):
                answer = platform.complete(call, await self._answered(getattr(platform, handler), call))
            entry = simulation.ledger.add(
                "call",
                simulation.sandbox.at,
                name,
                method=call.method,
                path=call.path,
                account=account,
                edge=spent,
                status=None if answer is None else answer.status,
                fault=None if fault is None else fault.model_dump(exclude_defaults=True),
            )
            simulation.ledger.spend(name, account, spent, entry["status"], faulted=fault is not None)
            if fault is not None and fault.effect and fault.late_seconds:
                due = simulation.clock.seconds() + fault.late_seconds
                self._start(self._late(simulation, getattr(platform, handler), call, due, entry))
            self.changed = self.changed or call.method != "GET"
            self.wake()
            if fault is not None:
                own = None if fault.error is None else platform.error_answers()[fault.error]
                return await apply_fault(request, fault, answer, own)
            assert answer is not None  # noqa: S101  there is one where no fault took its place
            response = respond(answer)
            # By the clock that the times in it are of, such as the end of a rate limit.
            response.headers["Date"] = format_datetime(simulation.clock.now(), usegmt=True)
            return response

        return serve

    async def _late(
        self, simulation: Simulation, handler: Handler, call: Call, due: float, entry: dict[str, Any]
    ) -> None:
        """Do what a call asked for after it was answered, as behind a proxy that gave up (``mastodon.md`` 9.3)."""
        await simulation.clock.until(due)
        entry["status"] = (await self._answered(handler, call)).status
        self.changed = True
        self.wake()

    async def _answered(self, handler: Handler, call: Call) -> Answer:
        ENDPOINT.set(f"{call.method} {call.path}")
        try:
            answer = handler(call)
            while isinstance(answer, OutboundRequest):
                answer = answer.then(await self.fetch(answer) or Fetched())
        except Refusal as refusal:
            return refusal.answer
        finally:
            ENDPOINT.set(None)
        return answer

    async def fetch(self, outbound: OutboundRequest) -> Fetched | None:
        """Send a platform's request, without following redirects. None: a test asked that it be never sent."""
        if isinstance(outbound, Download):
            return await self._download(outbound)
        assert self._client is not None  # noqa: S101  it lives as long as the application
        limit = aiohttp.ClientTimeout(total=outbound.seconds)
        try:
            async with self._client.get(
                outbound.url, params=outbound.query, timeout=limit, allow_redirects=False
            ) as response:
                return Fetched(response.status, response.content_type, await response.read())
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return Fetched()

    async def _download(self, download: Download) -> Fetched | None:
        """Download a file, whole or part by part, as a rule says."""
        rule = rule_of(download.platform.fetch_rules)
        if rule is not None:
            if rule.result == "never":
                return None
            clock = download.platform.sandbox.clock
            await clock.until(clock.seconds() + rule.seconds)
        if download.platform.reads_robots and not await self._permitted(download):
            self._log_fetch(download, refused="robots.txt")
            return Fetched()
        most = rule.bytes if rule is not None and rule.result == "partial" else None
        content, size = b"", RANGE if download.ranged else 0
        while True:
            first = len(content)
            asked = f"bytes={first}-{first + size - 1}" if size else None
            status, kind, part, total = await self._requested(download, asked, None if most is None else most - first)
            content += part
            if status not in (200, 206) or (most is not None and len(content) >= most):
                return Fetched(None if status in (200, 206) else status)
            if status == 200 or len(content) >= total or not part:
                return Fetched(200, kind, content)

    async def _requested(
        self, download: Download, asked: str | None, most: int | None
    ) -> tuple[int | None, str, bytes, int]:
        """Send one request of a download. Return its status, the type, the bytes and the size of the whole file."""
        assert self._client is not None  # noqa: S101
        status, kind, content, total = None, "", b"", 0
        sent = {"User-Agent": download.platform.fetch_agent} | ({"Range": asked} if asked else {})
        limit = aiohttp.ClientTimeout(total=download.seconds)
        try:
            url = URL(download.url, encoded=True)  # byte for byte, for it may be signed
            async with self._client.get(url, headers=sent, timeout=limit, allow_redirects=False) as response:
                status, kind = response.status, response.content_type
                size = response.headers.get("Content-Range", "").rpartition("/")[2]
                total = int(size) if whole(size) else 0
                content = await (response.read() if most is None else first_bytes(response.content, most))
        except (aiohttp.ClientError, TimeoutError, ValueError):
            status = None
        about = {"range": asked, "status": status, "bytes": len(content), "total": total or len(content)}
        self._log_fetch(download, **about)
        return status, kind, content, total

    def _log_fetch(self, download: Download, **fields: Any) -> None:
        agent = download.platform.fetch_agent
        download.platform.record("fetch", account=download.account, url=download.url, agent=agent, **fields)

    async def _permitted(self, download: Download) -> bool:
        """Return whether the server's robots.txt lets the platform have the file; without one, it does."""
        fetched = await self.fetch(OutboundRequest(urljoin(download.url, "/robots.txt"), lambda file: file))
        rules = RobotFileParser()
        rules.parse(
            (fetched.content if fetched and fetched.status == 200 else b"").decode(errors="replace").splitlines()
        )
        return rules.can_fetch(download.platform.fetch_agent, download.url)

    # --- requests of the platforms

    async def _running(self, _: web.Application) -> AsyncIterator[None]:
        async with aiohttp.ClientSession() as self._client:
            self._start(self._work())
            if self._state:
                self._start(self._save_changes())
            yield
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self) -> None:
        """Simulate activity, send outbound requests and deliver webhooks whenever something is due."""
        while True:
            self._woken.clear()
            simulation = self.simulation
            simulation.advance()
            for outbound in simulation.sandbox.outbound_requests:
                self._start(self._run(outbound))
            simulation.sandbox.outbound_requests.clear()
            for delivery in simulation.dispatcher.due():
                await self._limit.acquire()
                self._start(self._deliver(simulation, delivery))
            moments = [moment for moment in (simulation.next_due(), *self._recheck(simulation)) if moment is not None]
            await self._pause(simulation.clock.real_seconds_until(min(moments)) if moments else None)

    async def _save_changes(self) -> None:
        """Save changes soon, so that a killed process loses only the newest."""
        saved = time.monotonic()
        while True:
            await asyncio.sleep(SAVE_SECONDS)
            if self.changed or time.monotonic() - saved >= LIVED_SAVE_SECONDS:
                self.save()
                saved = time.monotonic()

    async def _pause(self, seconds: float | None) -> None:
        """Wait until there is work, the clock is moved or the time is up."""
        waits = [asyncio.create_task(self._woken.wait()), asyncio.create_task(self.simulation.clock.moved())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, outbound: OutboundRequest) -> None:
        fetched = await self.fetch(outbound)
        if fetched is not None:
            outbound.then(fetched)
        self.wake()

    async def _deliver(self, simulation: Simulation, delivery: Delivery) -> None:
        begun = time.monotonic()
        status, said = None, ""
        try:
            status, said = await self._post(simulation, delivery)
        finally:
            self._limit.release()
        simulation.ledger.add(
            "webhook",
            simulation.sandbox.at,
            delivery.platform,
            account=", ".join(sorted({event.account for event in delivery.events})),
            topic=", ".join(sorted({event.topic for event in delivery.events})),
            events=[event.number for event in delivery.events],
            url=delivery.url,
            attempt=delivery.attempt,
            forged=delivery.forged,
            status=status,
            milliseconds=round((time.monotonic() - begun) * 1000),
            body=delivery.body.decode(errors="replace")[:SHOWN],
            answer=said,
        )
        simulation.dispatcher.answered(delivery, status)
        self.wake()

    async def _post(self, simulation: Simulation, delivery: Delivery) -> tuple[int | None, str]:
        assert self._client is not None  # noqa: S101
        limit = aiohttp.ClientTimeout(total=simulation.platforms[delivery.platform].answer_seconds)
        headers = {"Content-Type": "application/json", **delivery.headers}
        try:
            async with self._client.post(
                delivery.url, data=delivery.body, headers=headers, timeout=limit, allow_redirects=False
            ) as response:
                return response.status, own_answer(response.content_type, await response.content.read(SHOWN))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return None, type(error).__name__

    def _recheck(self, simulation: Simulation) -> list[float]:
        """Repeat the handshakes that are due. Return when the next ones are."""
        now, planned = simulation.clock.seconds(), self._checks
        self._checks = {}  # those of removed addresses are planned no more
        for name, platform in simulation.platforms.items():
            for stream, url in platform.callbacks.items() if platform.recheck_seconds else ():
                due = planned.get((name, stream, url), now + (platform.recheck_seconds or 0))
                if due <= now:
                    due = now + (platform.recheck_seconds or 0)
                    self._start(self._repeat_handshake(platform, stream, url))
                self._checks[name, stream, url] = due
        return list(self._checks.values())

    async def _repeat_handshake(self, platform: Platform, stream: str, url: str) -> None:
        outbound = platform.handshake(url, lambda passed: passed)
        if outbound is not None:
            platform.handshake_repeated(stream, passed=outbound.then(await self.fetch(outbound) or Fetched()))

    async def verify_callback(self, name: str, stream: str, url: str) -> dict[str, Any]:
        """Do what a portal does with a new callback address: verify it, and send there from now on if it passes.

        Raises CommandError, with the status that it answered instead.
        """
        platform = self.simulation.platforms[name]
        outbound = (
            None if stream in platform.streams_without_handshake else platform.handshake(url, lambda passed: passed)
        )
        if outbound is not None:
            fetched = await self.fetch(outbound) or Fetched()
            if not outbound.then(fetched):
                raise CommandError(f"{url} did not pass the handshake: it answered {fetched.status or 'nothing'}")
        platform.callbacks[stream] = url
        platform.callback_set(stream)
        self.wake()
        return {"platform": name, "stream": stream, "url": url, "verified": outbound is not None}


def respond(answer: Answer) -> web.Response:
    given = dict(answer.headers)
    if isinstance(answer.content, str):
        given.setdefault("Content-Type", "text/html; charset=utf-8")
        return web.Response(status=answer.status, text=answer.content, headers=given)
    return web.json_response(answer.content, status=answer.status, headers=given)


async def apply_fault(
    request: web.Request, fault: Fault, answer: Answer | None, own: Answer | None
) -> web.StreamResponse:
    """Answer as the fault says. ``answer`` is the call's own if it took effect, ``own`` the named error."""
    await asyncio.sleep(fault.delay_seconds)
    if fault.spoil == "hang":
        await asyncio.Event().wait()
    if fault.drop or fault.receive is not None:
        assert request.transport is not None  # noqa: S101  the request has just come by it
        request.transport.abort()
        return web.Response()
    if fault.spoil == "html":
        return web.Response(status=fault.status or 502, text=HTML, content_type="text/html", headers=fault.headers)
    given = own or answer or Answer(500)
    content = given.content if fault.body is None else fault.body
    headers = {**(own.headers if own else {}), **fault.headers}
    response = respond(Answer(fault.status or given.status, content, headers))
    status = response.status
    if fault.truncate is None:
        return response
    # Announce the whole length, and close the connection before that.
    whole = response.body if isinstance(response.body, bytes) else b""
    stream = web.StreamResponse(status=status, headers={**response.headers, "Content-Length": str(len(whole))})
    await stream.prepare(request)
    await stream.write(whole[: fault.truncate])
    assert request.transport is not None  # noqa: S101
    request.transport.close()
    return stream


class RouteTable:
    """The paths of a platform, found as aiohttp's router finds those of an application.

    They are compiled once in a process, however many applications are made: that takes longer than most tests of one.
    """

    def __init__(self) -> None:
        self._router = web.UrlDispatcher()
        self._targets: dict[web.AbstractRoute, tuple[str, str]] = {}

    def add(self, method: str, path: str, handler: str, edge: str) -> None:
        self._targets[self._router.add_route(method, path, _never_called)] = handler, edge

    async def resolve(self, request: web.Request) -> tuple[str, str, dict[str, str]]:
        """Return the name of the platform's handler, the path without values, and its variable parts."""
        found = await self._router.resolve(request)
        return *self._targets[found.route], dict(found)


async def _never_called(_: web.Request) -> web.StreamResponse:
    """Stand for the handler in a table that only says which one it is."""
    raise NotImplementedError


@functools.cache
def route_table(name: str, end: str, routes: tuple[tuple[str, str, str], ...]) -> RouteTable:
    """Return the table of a platform's routes: method, path and name of the handler. ``end`` may follow each path."""
    table = RouteTable()
    for method, path, handler in routes:
        table.add(method, f"/{name}{path}{end}", handler, edge_of(path))
    table.add("*", f"/{name}{{path:.*}}", "unknown", "unknown")
    return table


def edge_of(path: str) -> str:
    """Return the path of a route without versions and patterns: ``/{id}/media``."""
    plain, depth, name = "", 0, ""
    for character in path:
        if character == "}":
            depth -= 1
            if not depth:
                plain += "" if name.partition(":")[0] == "version" else f"{{{name.partition(':')[0]}}}"
                name = ""
                continue
        if depth:
            name += character
        elif character != "{":
            plain += character
        depth += character == "{"
    return plain


async def first_bytes(stream: aiohttp.StreamReader, most: int) -> bytes:
    try:
        return await stream.readexactly(most)
    except asyncio.IncompleteReadError as error:
        return error.partial


async def read(request: web.Request, name: str, matched: dict[str, str]) -> Call:
    """Parse a request, whatever encoding its fields have. ``matched`` are the variable parts of its path."""
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
        matched,
        request.query,
        fields,
        files,
        {key.lower(): value for key, value in request.headers.items()},
        body,
    )


def own_answer(content_type: str, content: bytes) -> str:
    """Return the answer to a webhook if it is Landfall's own, otherwise nothing.

    Whoever enters an address here need not be able to reach it themselves, so its answer is not theirs to read.
    """
    document = parsed_json(content) if content_type == "application/json" else None
    return content.decode(errors="replace") if isinstance(document, dict) and _is_own(document) else ""


def _is_own(document: dict[str, Any]) -> bool:
    error = document.get("error")
    if isinstance(error, dict):
        return set(document) == {"error"} and set(error) == ERROR_FIELDS
    return set(document) in OWN_ANSWERS


def parsed_json(body: bytes) -> Any:
    try:
        return json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return None


def put(fields: dict[str, Any], name: str, value: Any) -> None:
    """Add a field; ``name[]`` and repeated names become lists."""
    if name.endswith("[]"):
        fields.setdefault(name, []).append(value)
    elif name in fields:
        known = fields[name]
        fields[name] = [*(known if isinstance(known, list) else [known]), value]
    else:
        fields[name] = value
