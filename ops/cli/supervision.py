"""Keep the processes of `landfall up` running: start again what ends, and report it."""

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import aiohttp

from ops.runtime.embedded import Server, StartError
from ops.runtime.files import UnsafePathError
from ops.runtime.periodic import stopped

POLL_SECONDS = 0.2
STEADY_SECONDS = 10.0
"""A process that ran so long is started again at once when it ends."""

LONGEST_WAIT_SECONDS = 30.0
READY_TIMEOUT = aiohttp.ClientTimeout(total=2.0)


@dataclass(frozen=True, slots=True)
class Part:
    """A process. ``start`` starts it again and raises StartError; ``url`` answers 200 once the process is ready."""

    name: str
    server: Server
    start: Callable[[], None]
    url: str | None = None

    async def ready(self) -> bool:
        if self.url is None:
            return True
        with suppress(aiohttp.ClientError, TimeoutError):
            async with aiohttp.ClientSession(timeout=READY_TIMEOUT) as client, client.get(self.url) as response:
                return response.status == 200
        return False


async def supervise(part: Part, say: Callable[[str], None], stop: asyncio.Event) -> None:
    """Start a process again whenever it ended, until ``stop``; one that ends at once is waited for longer each time."""
    failures, started = 0, time.monotonic()
    while not await stopped(stop, POLL_SECONDS):
        if part.server.running:
            continue
        failures = 0 if time.monotonic() - started >= STEADY_SECONDS else failures + 1
        wait = min(2.0 ** (failures - 1), LONGEST_WAIT_SECONDS) if failures else 0.0
        after = f"in {wait:.0f} s; its log is {part.server.log}" if wait else "now"
        say(f"{part.name} {ending(part.server)}: it is started again {after}")
        if await stopped(stop, wait):
            return
        started = time.monotonic()
        try:
            await asyncio.to_thread(part.start)
        except (StartError, UnsafePathError) as error:
            say(str(error).splitlines()[0])
        while part.server.running and not stop.is_set():
            if await part.ready():
                say(f"{part.name} runs again after {time.monotonic() - started:.1f} s")
                break
            await stopped(stop, POLL_SECONDS)


def ending(server: Server) -> str:
    """Return how a process ended, in words."""
    code = None if server.process is None else server.process.returncode
    if code is None:
        return "ended"
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"
