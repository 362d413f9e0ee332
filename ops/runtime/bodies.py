"""Reading the body of a request: whole, within a size and within a time."""

import asyncio
from collections.abc import Callable

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

BODY_SECONDS = 10.0
"""A body slower than this belongs to somebody who holds a connection open."""


class BodyError(Exception):
    """The body was not read; the text says why. What is left of it must not be read as another request."""


class BodyTooLargeError(BodyError):
    pass


class BodyTooSlowError(BodyError):
    pass


class BodyBrokenError(BodyError):
    """What came is no body that HTTP knows."""


def _count_nothing(_: int) -> None:
    pass


async def read(request: web.Request, limit: int, count: Callable[[int], None] = _count_nothing) -> bytes:
    """The whole body, at most ``limit`` bytes, within :data:`BODY_SECONDS`.

    ``count`` is called with the length of each piece before it is kept, and may refuse it by raising; of a body that is
    not read to its end it is called with the negative of all before. Raises BodyError, ConnectionError.
    """
    announced = request.content_length
    if announced is not None and announced > limit:
        raise _too_large(limit)
    if request.content.is_eof() and request.content.exception() is None:
        body = request.content.read_nowait()  # a small body comes with its headers: no timer is needed to wait for it
        if len(body) > limit:
            raise _too_large(limit)
        count(len(body))
        return body
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                if size + len(chunk) > limit:
                    raise _too_large(limit)
                count(len(chunk))
                size += len(chunk)
                chunks.append(chunk)
    except BaseException as error:
        count(-size)
        if isinstance(error, TimeoutError):
            raise BodyTooSlowError(f"the body took longer than {BODY_SECONDS:.0f} s") from None
        if isinstance(error, HttpProcessingError | web.RequestPayloadError):
            raise BodyBrokenError("the body is not framed as HTTP has it") from None
        if isinstance(error, RuntimeError):  # aiohttp's word for a connection that is closed before the reading begins
            raise ConnectionResetError("the connection is closed") from None
        raise
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"bodies over {limit} bytes are refused")
