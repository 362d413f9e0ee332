"""A TCP proxy that fails on demand, to stand before PostgreSQL, Redis or the web process."""

import asyncio
import random
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import unquote, urlsplit, urlunsplit

CHUNK = 64 * 1024
Direction = Literal["requests", "replies"]


@dataclass(frozen=True, slots=True)
class Pass:
    """Bytes go through as they come."""


@dataclass(frozen=True, slots=True)
class Delay:
    """Each chunk is held for ``seconds`` and up to ``jitter`` more, in both directions."""

    seconds: float
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Throttle:
    """A narrow line, in both directions."""

    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nobody listens; what was open is reset."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Connections are accepted and reset at once; what was open is reset too."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A link is reset once ``after`` bytes have passed in one direction since the mode was set."""

    direction: Direction
    after: int


@dataclass(frozen=True, slots=True)
class Blackhole:
    """Half-open: accepts, takes what is sent, and passes on neither data nor FIN nor RST.

    A link that fell in never comes out; once the mode is another, new ones go through.
    """


@dataclass(frozen=True, slots=True)
class SwallowReply:
    """The request goes through and is answered; the client gets an RST in place of the answer, or silence."""

    silent: bool = False


Mode = Pass | Delay | Throttle | Refuse | Reset | Cut | Blackhole | SwallowReply


class _LinkOverError(ConnectionError):
    """The mode ends this link."""


@dataclass(eq=False, slots=True)
class _Link:
    """A client and its connection upstream."""

    client: asyncio.StreamWriter
    upstream: asyncio.StreamWriter | None = None
    dead: bool = False
    passed: dict[Direction, int] = field(default_factory=lambda: {"requests": 0, "replies": 0})

    def writers(self) -> list[asyncio.StreamWriter]:
        return [writer for writer in (self.client, self.upstream) if writer is not None]

    def reset(self) -> None:
        for writer in self.writers():
            with suppress(OSError):  # closed before
                linger = struct.pack("ii", 1, 0)  # for 0 s: closing sends RST in place of FIN
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()

    async def close(self) -> None:
        for writer in self.writers():
            writer.close()
            await writer.wait_closed()


class FaultProxy:
    """Listens on a port before the port or Unix socket ``upstream``. A context; ``become`` switches its mode."""

    def __init__(self, upstream: int | str) -> None:
        self._upstream = upstream
        self._mode: Mode = Pass()
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], _Link] = {}
        self.port = 0

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_listening()
        tasks = list(self._links)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)

    @classmethod
    def to(cls, url: str) -> Self:
        """A proxy to the address in ``url``."""
        parts = urlsplit(url)
        upstream = unquote(parts.path) if parts.scheme == "unix" else parts.port
        assert upstream is not None
        return cls(upstream)

    def before(self, url: str, host: str = "127.0.0.1") -> str:
        """``url``, by way of this proxy."""
        parts = urlsplit(url)
        if parts.scheme == "unix":
            parts = parts._replace(scheme="redis", path="")
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}{host}:{self.port}"))

    async def become(self, mode: Mode) -> None:
        """Fail in this way from now on, on links that are open and on new ones."""
        self._mode = mode
        if isinstance(mode, Refuse):
            self._stop_listening()
        elif self._server is None:
            await self._listen()
        for link in self._links.values():
            link.passed.update(requests=0, replies=0)
            link.dead |= isinstance(mode, Blackhole)
            if isinstance(mode, Refuse | Reset):
                link.reset()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer, dead=isinstance(self._mode, Blackhole))
        task = asyncio.current_task()
        assert task is not None
        self._links[task] = link
        try:
            if isinstance(self._mode, Reset):
                raise _LinkOverError
            if isinstance(self._upstream, str):
                upstream, link.upstream = await asyncio.open_unix_connection(self._upstream)
            else:
                upstream, link.upstream = await asyncio.open_connection("127.0.0.1", self._upstream)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._carry(link, "requests", reader, link.upstream))
                directions.create_task(self._carry(link, "replies", upstream, writer))
            await link.close()
        except* (OSError, asyncio.CancelledError):
            link.reset()
        finally:
            del self._links[task]

    async def _carry(
        self, link: _Link, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while chunk := await reader.read(CHUNK):
                await self._pass_on(link, direction, chunk, writer)
            await self._hold(link)
        except OSError:
            await self._hold(link)
            raise
        writer.write_eof()

    async def _hold(self, link: _Link) -> None:
        """A dead link lasts until the proxy closes: the other side is never told that this one is gone."""
        if link.dead:
            await asyncio.get_running_loop().create_future()

    async def _pass_on(self, link: _Link, direction: Direction, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        mode = self._mode
        over = False
        match mode:
            case Delay(seconds, jitter):
                await asyncio.sleep(seconds + random.uniform(0, jitter))
            case Throttle(bytes_per_second):
                await asyncio.sleep(len(chunk) / bytes_per_second)
            case Cut(cut, after) if cut == direction:
                chunk = chunk[: after - link.passed[direction]]
                over = link.passed[direction] + len(chunk) >= after
            case SwallowReply(silent) if direction == "replies":
                link.dead |= silent
                over = not silent
                chunk = b""
        if link.dead:
            return
        writer.write(chunk)
        await writer.drain()
        link.passed[direction] += len(chunk)
        if over:
            raise _LinkOverError
