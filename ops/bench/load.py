"""The sender: HTTP/1.1 over keep-alive connections, as cheap as Python allows, in a process of its own.

Requests are bytes made beforehand. Without a rate each connection sends its next request when the answer is there
(closed loop); with one, requests are due at equal distances whether or not answers come.
"""

import asyncio
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import uvloop


@dataclass(frozen=True, slots=True)
class Order:
    """What to send where, how. ``rate`` is in requests a second, None for as fast as answers come."""

    port: int
    connections: int
    seconds: float
    requests: str
    """Path of a pickled list of bytes."""
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """``seconds`` is how long it really took; latencies are in seconds; ``cpu`` is the sender's own, in seconds."""

    count: int
    seconds: float
    p50: float
    p99: float
    cpu: float
    ran_out: bool

    @property
    def per_second(self) -> float:
        return self.count / self.seconds


class RefusedError(RuntimeError):
    """An answer other than 200: what was measured would mean nothing."""


class _Sender:
    """The queue of requests that all connections share."""

    def __init__(self, requests: Sequence[bytes], seconds: float, rate: float | None) -> None:
        self.requests = requests
        self.loop = asyncio.get_running_loop()
        self.begun = self.loop.time()
        self.end = self.begun + seconds
        self.rate = rate
        self.next = 0
        self.latencies: list[float] = []
        self.open = 0
        self.done: asyncio.Future[None] = self.loop.create_future()

    def due(self) -> float | None:
        """When the next request is to go, or None when there is no more."""
        due = self.begun + self.next / self.rate if self.rate else self.loop.time()
        return None if due >= self.end or self.next >= len(self.requests) else due

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def finished(self) -> None:
        self.open -= 1
        if not self.open and not self.done.done():
            self.done.set_result(None)


class _Connection(asyncio.Protocol):
    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self._transport: asyncio.WriteTransport
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)
        self._sender.open += 1
        self._schedule()

    def _schedule(self) -> None:
        due = self._sender.due()
        if due is None:
            self._transport.close()
            self._sender.finished()
            return
        request = self._sender.requests[self._sender.next]
        self._sender.next += 1
        wait = due - self._sender.loop.time()
        if wait > 0:
            self._sender.loop.call_later(wait, self._send, request)
        else:
            self._send(request)

    def _send(self, request: bytes) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            size = answer_size(self._received)
        except RefusedError as error:
            self._sender.fail(error)
            return
        if size is None or len(self._received) < size:
            return
        self._received = b""
        self._sender.latencies.append(time.perf_counter() - self._sent_at)
        self._schedule()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or self._sender.due() is not None:
            self._sender.fail(RefusedError(f"the server closed a connection ({exc!r})"))


def answer_size(received: bytes) -> int | None:
    """Bytes of the whole answer, or None while its headers are not there. Raises RefusedError unless it is a 200."""
    headers = received.find(b"\r\n\r\n")
    if headers < 0:
        return None
    if not received.startswith(b"HTTP/1.1 200 "):
        raise RefusedError(received[:400].decode(errors="replace"))
    start = received.index(b"Content-Length: ") + 16
    return headers + 4 + int(received[start : received.index(b"\r", start)])


async def send(order: Order) -> Sent:
    requests: list[bytes] = pickle.loads(await asyncio.to_thread(Path(order.requests).read_bytes))  # noqa: S301  ours
    cpu = time.process_time()
    sender = _Sender(requests, order.seconds, order.rate)
    for _ in range(order.connections):
        await sender.loop.create_connection(lambda: _Connection(sender), "127.0.0.1", order.port)
    await sender.done
    seconds = sender.loop.time() - sender.begun
    ordered = sorted(sender.latencies)
    return Sent(
        len(ordered),
        seconds,
        ordered[len(ordered) // 2],
        ordered[int(len(ordered) * 0.99)],
        time.process_time() - cpu,
        sender.next >= len(requests) and order.rate is None,
    )


def run(order: Order) -> Sent:
    """Send from a process of its own. Raises RefusedError."""
    done = subprocess.run(
        [sys.executable, "-m", "ops.bench.load", json.dumps(asdict(order))], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RefusedError(done.stderr[-800:])
    return Sent(**json.loads(done.stdout))


if __name__ == "__main__":
    print(json.dumps(asdict(uvloop.run(send(Order(**json.loads(sys.argv[1])))))))
