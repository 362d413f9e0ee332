"""Flash messages: what was done, shown once on the page that a person comes to next.

A message is kept in a cookie, authenticated with the session's token, so that nobody else can write text onto our page.
The page that shows it deletes it: loaded again, that page shows nothing.
"""

import base64
import binascii
import hmac
import json
from dataclasses import asdict, dataclass, replace

from aiohttp import hdrs, web

from ops.access.sessions import Person
from ops.web.cookies import Cookies

COOKIE = "landfall-message"
SECONDS = 120
LONGEST = 1500
"""Characters: a cookie holds 4096 bytes."""

_SHOWN: web.RequestKey[bool] = web.RequestKey("shown", bool)
"""Whether the response to this request shows the message."""


@dataclass(frozen=True, slots=True)
class Message:
    """``row`` is the id of the table row to show it at; empty for the top of the page.

    ``link`` is a path on this site that says more, shown as ``link_text``.
    """

    text: str
    row: str = ""
    is_error: bool = False
    link: str = ""
    link_text: str = ""


class Messages:
    def __init__(self, cookies: Cookies) -> None:
        self._cookies = cookies

    def add(self, response: web.Response, person: Person, message: Message) -> web.Response:
        """Have the next page show a message; return the response."""
        self._cookies.set(response, COOKIE, encode(message, person.token), SECONDS)
        return response

    def take(self, request: web.Request, person: Person) -> Message | None:
        """Return the message for this page; the response deletes it."""
        cookie = self._cookies.get(request, COOKIE)
        if not cookie or request.method == hdrs.METH_HEAD:
            return None
        request[_SHOWN] = True
        return decode(cookie, person.token)

    def delete_shown(self, request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
        """Delete the message that this response shows, if it shows one; return the response."""
        if request.get(_SHOWN) and isinstance(response, web.Response):
            self._cookies.delete(response, COOKIE)
        return response


def encode(message: Message, token: str) -> str:
    """Return the cookie's value, for the session with this token."""
    fields = asdict(replace(message, text=message.text[:LONGEST]))
    text = base64.urlsafe_b64encode(json.dumps(fields, ensure_ascii=False).encode()).decode()
    return f"{_mac(text, token)}.{text}"


def decode(cookie: str, token: str) -> Message | None:
    """Return the message of a cookie; None if no page of this session wrote it."""
    mac, _, text = cookie.partition(".")
    if not token or not hmac.compare_digest(mac, _mac(text, token)):
        return None
    try:
        return Message(**json.loads(base64.urlsafe_b64decode(text)))
    except (binascii.Error, ValueError, TypeError):  # of another release
        return None


def _mac(text: str, token: str) -> str:
    return hmac.digest(token.encode(), f"message {text}".encode(), "sha256").hex()
