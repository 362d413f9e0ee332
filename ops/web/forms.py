"""Read the input of a request and check it: text that the database and the platforms can take."""

import json
import uuid
from urllib.parse import parse_qsl

from aiohttp import hdrs, web
from multidict import MultiDict, MultiDictProxy

from ops.runtime import bodies
from ops.runtime.text import storable
from ops.web.responses import Refused

BODY_BYTES = 64 * 2**10
"""Of a form, or of JSON: the longest is a selection among all the accounts of one login."""

FIELDS = 2000
WITHOUT_BODY = (hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_OPTIONS, hdrs.METH_TRACE)
FORM = "application/x-www-form-urlencoded"

_BODY: web.RequestKey[bytes] = web.RequestKey("body", bytes)


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL and UTF-8 can hold it: no NUL, and no half of a surrogate pair."""
    return storable(text) == text


def require_storable(request: web.Request, *, query: bool = True) -> None:
    """Raises Refused for an address that cannot be stored; ``query`` says whether to check the query too."""
    if not is_storable(request.path):
        raise Refused(404, "not_found", "There is nothing at this address.", "check the address")
    if query and not all(is_storable(name) and is_storable(value) for name, value in request.query.items()):
        message = "The query holds a character that no text has."
        raise Refused(400, "invalid_request", message, "send text in UTF-8, without NUL")


async def read(request: web.Request, most: int = BODY_BYTES) -> None:
    """Read the whole body of at most so many bytes, for :func:`form` and :func:`document`. Raises Refused.

    Bodies of GET are not read: they have no meaning here.
    """
    if request.method in WITHOUT_BODY:
        return
    if request.headers.get(hdrs.CONTENT_ENCODING, "").strip().lower() not in ("", "identity"):
        message = "Compressed bodies are not read."
        raise Refused(415, "content_encoding", message, "send the body without Content-Encoding", close=True)
    try:
        request[_BODY] = await bodies.read(request, most)
    except bodies.BodyTooLargeError:
        message = f"The body is longer than {most} bytes."
        raise Refused(413, "body_too_large", message, "send less at once", close=True) from None
    except bodies.BodyTooSlowError as error:
        remedy = "send the body without pauses"
        raise Refused(408, "body_too_slow", f"{error}.", remedy, retry=True, after=1, close=True) from None
    except (bodies.BodyBrokenError, ConnectionError):  # after a lost connection nobody reads the answer
        message, remedy = "The body is not framed as HTTP has it.", "send the body whole, with its length or in chunks"
        raise Refused(400, "body_broken", message, remedy, close=True) from None


def form(request: web.Request) -> MultiDictProxy[str]:
    """Return the fields of a form in UTF-8; none if there is no body. Raises Refused."""
    body = request[_BODY]
    if not body:
        return MultiDictProxy(MultiDict())
    _require_type(request, FORM)
    try:
        text = body.decode()
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS)
    except ValueError:  # no UTF-8, or too many fields
        pairs = None
    if pairs is None or not all(is_storable(name) and is_storable(value) for name, value in pairs):
        message = f"The form is not text in UTF-8 of at most {FIELDS} fields."
        raise Refused(400, "invalid_request", message, "send text in UTF-8, without NUL")
    return MultiDictProxy(MultiDict(pairs))


def content(request: web.Request, content_type: str) -> bytes:
    """Return the body as it was sent, which must be of this type. Raises Refused."""
    _require_type(request, content_type)
    return request[_BODY]


def document(request: web.Request) -> object:
    """Return the JSON of the body; None if it is not JSON. Raises Refused."""
    _require_type(request, "application/json")
    try:
        return json.loads(request[_BODY])
    except (ValueError, RecursionError):
        return None


def _require_type(request: web.Request, wanted: str) -> None:
    charset = (request.charset or "utf-8").lower()
    if request.content_type != wanted or charset not in ("utf-8", "utf8"):
        message = f"The body must be {wanted}, in UTF-8."
        raise Refused(415, "content_type", message, f"send it with Content-Type: {wanted}")


def path_id(request: web.Request, missing: Refused) -> str:
    """Return the id in the address. Raises ``missing`` if it cannot be one."""
    return parse_id(request.match_info["id"], missing)


def parse_id(text: str, missing: Refused) -> str:
    """Return an id in its one form. Raises ``missing`` if it cannot be one."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise missing from None
