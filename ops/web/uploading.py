"""Read the body of an upload piece by piece, and say in a response why a file was refused."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from ops.access.api_keys import Caller
from ops.web.responses import Refused
from publish.media.media_store import Media
from publish.media.refusal import MediaRefused
from publish.media.storage import NOT_CONFIGURED
from publish.media.uploads import Uploads

PAUSE_SECONDS = 30.0
"""Longest that a body may stand still."""

MULTIPART = "multipart/form-data"
_CHUNK = 2**16


@contextmanager
def refusals() -> Iterator[None]:
    """Raises Refused for a file that is refused, and for one of which the end is missing."""
    try:
        yield
    except ConnectionError:  # nobody reads the response
        message, remedy = "The connection broke before the whole file was here.", "send it again"
        raise Refused(400, "body_broken", message, remedy, retry=True, close=True) from None
    except MediaRefused as refused:
        raise Refused(
            refused.status,
            refused.code,
            refused.message,
            refused.remedy,
            retry=refused.status >= 500 or refused.status in (408, 429),
            after=refused.after,
            details={"reason": refused.reason, **refused.details},
        ) from None


def configured(uploads: Uploads | None) -> Uploads:
    """Raises Refused where there is no storage for files."""
    if uploads is None:
        raise Refused(503, "not_configured", "Files cannot be taken: there is no place to keep them.", NOT_CONFIGURED)
    return uploads


async def body(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the body as it comes. Raises MediaRefused and ConnectionError."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() not in ("", "identity"):
        message, remedy = "Compressed bodies are not read.", "send the body without Content-Encoding"
        raise MediaRefused("wrong_request", 415, "content_encoding", message, remedy)
    while True:
        with _interrupted():
            async with asyncio.timeout(PAUSE_SECONDS):
                chunk = await request.content.readany()
        if not chunk:
            return
        yield chunk


async def file_part(request: web.Request) -> tuple[str | None, AsyncIterator[bytes]]:
    """Return the name and the bytes of the first file of a form. Raises MediaRefused and ConnectionError."""
    with _interrupted():
        reader = await request.multipart()
        while True:
            async with asyncio.timeout(PAUSE_SECONDS):
                part = await reader.next()
            if part is None:
                message = "The form holds no file."
                raise MediaRefused("wrong_request", 400, "invalid_request", message, "send it in a field of type file")
            if isinstance(part, BodyPartReader) and (part.filename or part.name == "file"):
                return part.filename, _chunks(part)


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while True:
        with _interrupted():
            async with asyncio.timeout(PAUSE_SECONDS):
                chunk = await part.read_chunk(_CHUNK)
        if not chunk:
            return
        yield chunk


async def whole_file(request: web.Request, uploads: Uploads, caller: Caller) -> tuple[Media, bool]:
    """Store the file that is the body, or the first one of a form; return it, and whether it is new.

    Raises MediaRefused and ConnectionError.
    """
    name, content, announced = request.query.get("file_name"), body(request), request.content_length
    if request.content_type == MULTIPART:
        (name, content), announced = await file_part(request), None
    return await uploads.whole(caller.tenant, caller.actor, content, name, announced)


@contextmanager
def _interrupted() -> Iterator[None]:
    """Tell apart how a body can break off."""
    try:
        yield
    except TimeoutError:
        message, remedy = f"Nothing of the body came for {PAUSE_SECONDS:g} s.", "send the body without pauses"
        raise MediaRefused("interrupted", 408, "body_too_slow", message, remedy, 1) from None
    except (HttpProcessingError, web.RequestPayloadError, ValueError):
        message = "The body is not framed as HTTP has it."
        remedy = "send the body whole, with its length or in chunks"
        raise MediaRefused("interrupted", 400, "body_broken", message, remedy) from None
    except RuntimeError:  # aiohttp raises it where the connection closed before the reading began
        raise ConnectionResetError("the connection is closed") from None
