"""Look into files, and convert images, by ``decoder.py`` in a process of its own with bounds on memory and time."""

import asyncio
import json
import os
import signal
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import structlog

from publish.media.refusal import MediaRefused, Reason
from publish.media.sniffing import SUPPORTED, Claim

MEMORY_BYTES = 1536 * 2**20
PROCESSOR_SECONDS = 20
WALL_SECONDS = 60.0
"""A decoder that waits for the storage takes none of its processor time."""

MOST_PIXELS = 100_000_000
"""Of one image; no platform is known to take as many."""

AT_ONCE = 2
"""Decoders that run in one process of the service."""

READ_BYTES = 2**20
DECODER = Path(__file__).with_name("decoder.py")

Read = Callable[[int, int], Awaitable[bytes]]
"""Returns bytes of the file: from an offset on, so many."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found in a file. ``width`` and ``height`` are as shown; ``details`` is JSON, with these keys:

    - image, gif: codec, mode, frames, has_alpha, orientation (where it is not 1)
    - video: codec, profile, pixel_format, frames_per_second, bits_per_second, rotation, index_first (of MP4 and MOV:
      whether the index stands before the pictures), audio (None, or codec, sample_rate, channels, bits_per_second)
    - audio: codec, sample_rate, channels, bits_per_second
    - document: pages (None where it is not known: a Word file says nothing reliable)
    """

    kind: str
    content_type: str
    width: int | None
    height: int | None
    duration_ms: int | None
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Conversion:
    """What is to become of an image. ``ratio`` is width to height, to which it is cut, or filled with white."""

    format: Literal["jpeg", "png"]
    longest: int | None = None
    ratio: tuple[int, int] | None = None
    fit: Literal["crop", "pad"] = "crop"


class Inspector:
    """Runs decoders, :data:`AT_ONCE` of them; who comes later waits."""

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def look(self, claim: Claim, size: int, read: Read) -> Facts:
        """Return what is in a file. Raises MediaRefused, and whatever ``read`` raises."""
        order = {"do": "look", "decoder": claim.decoder, "form": claim.form, "supported": SUPPORTED}
        async with self._decoder(claim, size, order) as process:
            found = await _answered(process, read)
        return Facts(
            claim.kind,
            found.get("content_type", claim.content_type),
            found.get("width"),
            found.get("height"),
            found.get("duration_ms"),
            found["details"],
        )

    @asynccontextmanager
    async def converted(
        self, claim: Claim, size: int, read: Read, conversion: Conversion
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yield the bytes of an image that is made of another. Raises as :meth:`look` does."""
        order = {
            "do": "convert",
            "form": claim.form,
            "format": conversion.format,
            "longest": conversion.longest,
            "ratio": conversion.ratio,
            "fit": conversion.fit,
        }
        async with self._decoder(claim, size, order) as process:
            length = await _answered(process, read)
            yield _content(process, length)

    @asynccontextmanager
    async def _decoder(
        self, claim: Claim, size: int, order: Mapping[str, object]
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        bounds = {"size": size, "memory": MEMORY_BYTES, "seconds": PROCESSOR_SECONDS, "pixels": MOST_PIXELS}
        line = json.dumps({**order, **bounds, "said": claim.noun}).encode() + b"\n"
        async with self._slots:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-B", str(DECODER)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env={},
                limit=2**16,
            )
            try:
                async with asyncio.timeout(WALL_SECONDS):
                    _stdin(process).write(line)
                    yield process
            except (TimeoutError, EOFError, ConnectionError, ValueError, asyncio.LimitOverrunError) as error:
                # It ended, or says what it should not: by a bound, or because the file made it.
                log.warning("media.decoder_failed", kind=claim.kind, bytes=size, error=type(error).__name__)
                message = f"What reads a file ran out of time or memory over this {claim.noun}, or crashed."
                remedy = "save or export it once more, smaller or in another format, and send that"
                raise MediaRefused("decoder_failed", 422, "unprocessable", message, remedy) from None
            finally:
                if process.returncode is None:
                    with suppress(ProcessLookupError):
                        os.kill(process.pid, signal.SIGKILL)  # Process.kill() may reap it before asyncio does
                await process.wait()


async def _answered(process: asyncio.subprocess.Process, read: Read) -> Any:
    """Give the decoder the bytes that it asks for, and return its answer. Raises MediaRefused, EOFError, ValueError."""
    while True:
        line = await _stdout(process).readuntil()
        [(kind, value)] = json.loads(line).items()
        if kind == "read":
            offset, length = value
            content = await read(offset, min(length, READ_BYTES))
            _stdin(process).write(struct.pack("!I", len(content)) + content)
            await _stdin(process).drain()
        elif kind == "refused":
            reason, message, remedy = value
            raise MediaRefused(cast("Reason", reason), 422, "unprocessable", message, remedy)
        else:
            return value


async def _content(process: asyncio.subprocess.Process, length: int) -> AsyncIterator[bytes]:
    while length:
        content = await _stdout(process).read(min(length, 2**16))
        if not content:
            raise EOFError
        length -= len(content)
        yield content


def _stdin(process: asyncio.subprocess.Process) -> asyncio.StreamWriter:
    return cast("asyncio.StreamWriter", process.stdin)


def _stdout(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    return cast("asyncio.StreamReader", process.stdout)
