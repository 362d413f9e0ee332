"""Work on ranges of buckets, in several processes where there is much of it.

Projecting an event is Python, and a process of Python uses one processor. An account lies in one bucket, so whoever
works on a range touches no row of another range.
"""

import asyncio
import math
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

import asyncpg
import uvloop

import sync.platforms
from ops.runtime import db, garbage
from ops.runtime.db import describe
from ops.runtime.discovery import discover
from ops.runtime.faultpoint import faultpoint
from schema.events import BUCKETS
from sync.projection.contract import Projection

MOST_BY_DEFAULT = 4
"""Processes; beyond that it is PostgreSQL that has no processor left."""

PROCESS_EVENTS = 20_000
"""A process is started for so many events at least: starting one takes as long as folding some thousands."""

RANGE_EVENTS = 20_000
"""So many events a range has at most, unless one bucket alone has more. What a process holds is bounded by it."""

RANGES_PER_PROCESS = 4
"""At least, so that all processes end at about the same time."""

END_SECONDS = 5.0


class ProcessEndedError(Exception):
    """One of several processes ended, or failed, before its work was done."""


@dataclass(frozen=True, slots=True)
class Range:
    """Buckets from ``first`` to ``last``, with about so many events to work on."""

    first: int
    last: int
    events: int


EVERYTHING = Range(0, BUCKETS - 1, 0)

Emit = Callable[[object], None]
"""Called with what a job says while it works: how many events it has just read, or what it found."""

Job = Callable[[asyncpg.Connection, Mapping[str, Projection], Range, Emit], Awaitable[None]]
"""Works on one range. Has to be picklable: a function of a module, or a partial of one."""

Join = Callable[[asyncpg.Connection], Awaitable[None]]
"""Prepares the connection of a further process before its first range."""


@dataclass(frozen=True, slots=True)
class Processes:
    """Where further processes connect, as which role, and how many there are; None for as many as make sense."""

    dsn: str
    role: str
    count: int | None = None

    def needed(self, events: int) -> int:
        """Return how many processes are to work on so many events."""
        if self.count is not None:
            return self.count
        return max(1, min(MOST_BY_DEFAULT, _processors(), events // PROCESS_EVENTS))


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def ranges(events: Mapping[int, int], processes: int) -> list[Range]:
    """Divide all buckets into ranges by how many events each has, those with the most events first."""
    most = RANGE_EVENTS
    if processes > 1:
        most = min(most, math.ceil(sum(events.values()) / (RANGES_PER_PROCESS * processes)))
    found: list[Range] = []
    for bucket in range(BUCKETS):
        count = events.get(bucket, 0)
        if found and found[-1].events + count <= most:
            found[-1] = Range(found[-1].first, bucket, found[-1].events + count)
        else:
            found.append(Range(bucket, bucket, count))
    return sorted(found, key=lambda item: -item.events)


async def work(
    connection: asyncpg.Connection,
    projections: Mapping[str, Projection],
    events: Mapping[int, int],
    job: Job,
    emit: Emit,
    processes: Processes | None,
    join: Join | None = None,
) -> None:
    """Do the job on every bucket: here and on this connection, or in several processes with connections of their own.

    ``events`` are how many there are of each bucket. Raises ProcessEndedError, and whatever the job raises here.
    """
    count = 1 if processes is None else processes.needed(sum(events.values()))
    waiting = ranges(events, count)
    if processes is None or count == 1:
        for item in waiting:
            await job(connection, projections, item, emit)
        return
    waiting.reverse()  # the largest are taken first, from the end
    started: list[_Process] = []
    try:
        started.extend(_Process(processes, job, join) for _ in range(min(count, len(waiting))))
        async with asyncio.TaskGroup() as tasks:
            for process in started:
                tasks.create_task(process.serve(waiting, emit))
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    finally:
        for process in started:
            process.end()


@dataclass(frozen=True, slots=True)
class _Done:
    """A range is done, or the process is ready for its first one."""


@dataclass(frozen=True, slots=True)
class _Failed:
    reason: str


class _Process:
    """A further process, as the one that started it sees it."""

    def __init__(self, processes: Processes, job: Job, join: Join | None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=_main, args=(theirs, processes, job, join), name="landfall ranges", daemon=True
        )
        self._process.start()
        theirs.close()  # so that its end is seen here as the end of the pipe

    async def serve(self, waiting: list[Range], emit: Emit) -> None:
        """Give it one range after another until none waits. Raises ProcessEndedError."""
        await self._until_done(emit)
        while waiting:
            self._pipe.send(waiting.pop())
            await self._until_done(emit)

    async def _until_done(self, emit: Emit) -> None:
        while True:
            try:
                said = await _received(self._pipe)
            except (EOFError, ConnectionError):
                raise ProcessEndedError("one of the processes ended") from None
            if isinstance(said, _Failed):
                raise ProcessEndedError(f"one of the processes failed: {said.reason}")
            if isinstance(said, _Done):
                return
            emit(said)

    def end(self) -> None:
        """End it, whatever it does: nothing that it has not committed counts."""
        self._pipe.close()
        self._process.terminate()
        self._process.join(END_SECONDS)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


async def _received(pipe: Connection) -> object:
    """Return what comes through a pipe next. Raises EOFError when the process at its other end has ended."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(pipe.fileno(), readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(pipe.fileno())
    return pipe.recv()


def _main(pipe: Connection, processes: Processes, job: Job, join: Join | None) -> None:
    """Run in a further process: take ranges until the process that started this one closes the pipe, or is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all of them; the first one ends the others
    garbage.collect_rarely()
    try:
        uvloop.run(_serve(pipe, processes, job, join))
    except Exception as error:  # noqa: BLE001  whoever waits for the range has to know
        with suppress(OSError):
            pipe.send(_Failed(describe(error)))


async def _serve(pipe: Connection, processes: Processes, job: Job, join: Join | None) -> None:
    connection = await db.connect(processes.dsn, processes.role, "ranges", limited=False)
    try:
        if join is not None:
            await join(connection)
        projections = discover(sync.platforms, Projection)
        pipe.send(_Done())
        while True:
            await job(connection, projections, pipe.recv(), pipe.send)
            faultpoint("ranges.done")
            pipe.send(_Done())
    finally:
        connection.terminate()
