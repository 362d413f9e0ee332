"""Read the body of an upload piece by piece, and say in a response why a file was refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import BodyPartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from multidict import MultiDict

from ops.access.api_keys import Caller
from ops.web import forms
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


MOST_FILES = 10
"""In one form."""

_MALFORMED = "send a form as the page has it, in UTF-8"


async def read_form(
    request: web.Request,
    fields: MultiDict[str],
    check_token: Callable[[str], None],
    take: Callable[[str, AsyncIterator[bytes]], Awaitable[None]],
) -> None:
    """Read a form with files: its fields into ``fields``, and each file by ``take``, piece by piece.

    The form begins with the token of the page, which ``check_token`` is given before anything else is read. A field of
    type file without a file is left out. Raises MediaRefused, ConnectionError and what the two raise.
    """
    budget, files, checked = forms.BODY_BYTES, 0, False
    async for part in _parts(request):
        text = await _text(part, budget) if part.filename is None else ""
        if not checked:
            check_token(text if part.name == "csrf" else "")
            checked = True
        if part.filename is None:
            budget -= len(text.encode()) + len(part.name or "")
            fields.add(part.name or "", text)
        elif part.filename:
            files += 1
            if files > MOST_FILES:
                message = f"More than {MOST_FILES} files came at once."
                raise MediaRefused("wrong_request", 400, "invalid_request", message, "send the others after these")
            await take(part.filename, _chunks(part))
    if not checked:
        check_token("")


async def _parts(request: web.Request) -> AsyncIterator[BodyPartReader]:
    """Yield the fields of a form, each with a name. Raises MediaRefused and ConnectionError."""
    if request.content_type != MULTIPART:
        message = f"The body must be {MULTIPART}."
        raise MediaRefused("wrong_request", 415, "content_type", message, _MALFORMED)
    with _interrupted():
        reader = await request.multipart()
    while True:
        with _interrupted():
            async with asyncio.timeout(PAUSE_SECONDS):
                part = await reader.next()
        if part is None:
            return
        if not isinstance(part, BodyPartReader) or not part.name:
            raise MediaRefused("wrong_request", 400, "invalid_request", "A field of the form has no name.", _MALFORMED)
        yield part


async def _text(part: BodyPartReader, most: int) -> str:
    """Return a field of a form of at most so many bytes. Raises MediaRefused."""
    content = bytearray()
    async for chunk in _chunks(part):
        content += chunk
        if len(content) > most:
            message = f"The fields of the form are longer than {forms.BODY_BYTES} bytes in all."
            raise MediaRefused("too_large", 413, "body_too_large", message, "send less at once")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = "\0"
    if not forms.is_storable(text) or not forms.is_storable(part.name or ""):
        raise MediaRefused("wrong_request", 400, "invalid_request", "A field of the form is no text.", _MALFORMED)
    return text


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
