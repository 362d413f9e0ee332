"""OAuth 2 as RFC 6749 has it, for the platforms that keep to it but for a word here and there."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from publish.contract import Problem, Response, Usage, expected, number, until

LATER = ("server_error", "temporarily_unavailable", "slow_down")
DENIED = ("access_denied", "user_denied", "user_cancelled_login", "user_cancelled_authorize")
OURS = (
    *("invalid_client", "unauthorized_client", "unsupported_grant_type", "unsupported_response_type"),
    *("invalid_redirect_uri", "redirect_uri_mismatch", "invalid_scope", "unauthorized_scope_error"),
)
"""Errors of our own settings: RFC 6749 4.1.2.1 and 5.2, and LinkedIn's words for two of them (``linkedin.md`` 1)."""


def refusal(error: str) -> Problem:
    """Why a browser came back without a code, and what to do. ``error`` is the platform's word, empty for none.

    What it adds in ``error_description`` is not shown: whoever makes up a link could write there what he likes.
    """
    word = error if len(error) <= 60 and error.isidentifier() else "unknown" if error else ""
    if word in DENIED:
        says = "You did not allow it, so nothing was connected. Start again if that was not meant."
        return Problem("denied", says, word)
    if word in LATER:
        return Problem("transient", "The platform is in trouble at the moment; start again in a few minutes.", word)
    if "scope" in word:
        says = (
            "The platform does not let this application ask for these permissions; its operator must get them granted."
        )
        return Problem("app", says, word)
    if word in OURS:
        says = (
            "The platform does not take this application's settings; its operator must check id and redirect address."
        )
        return Problem("app", says, word)
    if word:
        return Problem("wrong", f"The platform refused it ({word}); start connecting again.", word)
    return Problem("wrong", "The platform sent no code; start connecting again.")


def token_of(response: Response, doing: str, *, spent: bool = False) -> dict[str, Any]:
    """The object of a token answer. ``spent``: a refusal means that what we hold is over, whatever word is used.

    Raises Problem. Platforms put errors at any status, so the key decides (``tiktok.md`` 3.3).
    """
    content = expected(response, doing)
    error = content.get("error")
    if error:
        word = str(error)
        if word in LATER:
            raise Problem("transient", f"The platform is in trouble while {doing}; try again later.", word)
        if word in OURS:
            raise Problem("app", "The platform does not know this application; check its id and secret.", word)
        if word == "invalid_grant" or spent:
            raise Problem("grant", "The platform no longer accepts this connection; connect the account again.", word)
        raise Problem("wrong", "The platform refused the code; start connecting again.", word)
    if not response.ok or not isinstance(content.get("access_token"), str):
        raise Problem("transient", "The platform's answer held no token; try again later.", str(response.status))
    return content


def secrets_of(token: Mapping[str, Any]) -> dict[str, str]:
    """What of a token answer is to be kept sealed; an empty refresh token is none."""
    kept = {name: token.get(name) for name in ("access_token", "refresh_token")}
    return {name: value for name, value in kept.items() if isinstance(value, str) and value}


def answered(response: Response, doing: str) -> dict[str, Any]:
    """The object of an API answer. Raises Problem."""
    content = expected(response, doing)
    if response.status == 401:
        raise Problem("grant", "The platform no longer accepts this connection; connect the account again.", "401")
    if response.status == 403:
        raise Problem("lacking", "A permission is missing; connect again and leave all of them ticked.", "403")
    if not response.ok:
        raise Problem("wrong", f"The platform refused it while {doing}.", str(response.status))
    return content


def counted(response: Response, prefix: str, reset: datetime | None, now: datetime) -> list[Usage]:
    """The account's budget as ``…-limit`` and ``…-remaining`` count it; ``reset`` is when it is whole again."""
    limit, remaining = (number(response.headers.get(f"{prefix}-{name}")) for name in ("limit", "remaining"))
    if not limit or remaining is None:
        return []
    percent = int(100 * max(0.0, limit - remaining) / limit)
    return [Usage(percent, until(reset, response, now) if reset is not None else 0.0)]


def basic(client_id: str, client_secret: str) -> Mapping[str, str]:
    pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}
