"""A message for the page that somebody comes to next: what was done, told once.

It waits in a cookie, sealed with the session, so that nobody else writes what our page says, and is taken back by the
page that shows it: loaded again, that page is silent.
"""

import base64
import binascii
import hmac
import json
from dataclasses import asdict, dataclass

SECONDS = 120
LONGEST = 1500
"""Characters: a cookie holds 4096 bytes."""


@dataclass(frozen=True, slots=True)
class Message:
    """``about`` is the id of the row that it stands at; empty for the top of the page. ``bad``: it went wrong."""

    says: str
    about: str = ""
    bad: bool = False


def packed(message: Message, token: str) -> str:
    """For a cookie of the session with this token."""
    fields = asdict(message) | {"says": message.says[:LONGEST]}
    text = base64.urlsafe_b64encode(json.dumps(fields, ensure_ascii=False).encode()).decode()
    return f"{_mac(text, token)}.{text}"


def unpacked(cookie: str, token: str) -> Message | None:
    """None for what no page of this session left."""
    mac, _, text = cookie.partition(".")
    if not token or not hmac.compare_digest(mac, _mac(text, token)):
        return None
    try:
        return Message(**json.loads(base64.urlsafe_b64decode(text)))
    except (binascii.Error, ValueError, TypeError):  # of another release
        return None


def _mac(text: str, token: str) -> str:
    return hmac.digest(token.encode(), f"message {text}".encode(), "sha256").hex()
