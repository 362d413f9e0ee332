"""OAuth 2 as RFC 6749 has it, for the platforms that keep to it but for a word here and there."""

import base64
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from ops.runtime import platform_protocol
from ops.runtime.platform_protocol import (
    Problem,
    Response,
    Usage,
    error_word,
    expected,
    identifier,
    number,
    secret,
    until,
)
from publish.oauth.contract import ENDED

LATER = ("server_error", "temporarily_unavailable", "slow_down", "internal_error", "rate_limit_exceeded")
"""RFC 6749 4.1.2.1, RFC 8628 3.5, and TikTok's API (``tiktok.md`` 9): try again."""

DENIED = ("access_denied", "user_denied", "user_cancelled_login", "user_cancelled_authorize")
OURS = (
    *("invalid_client", "unauthorized_client", "unsupported_grant_type", "unsupported_response_type"),
    *("invalid_redirect_uri", "redirect_uri_mismatch", "invalid_scope", "unauthorized_scope_error"),
)
"""Errors of our own settings: RFC 6749 4.1.2.1 and 5.2, and LinkedIn's words for two of them (``linkedin.md`` 1)."""

INVALID_GRANT = ("invalid_grant",)
"""RFC 6749 5.2: the refresh token "is invalid, expired, revoked …" or is another client's."""

SCOPE_MISSING = ("scope_not_authorized", "scope_permission_missed", "insufficient_scope")
"""``tiktok.md`` 9, and RFC 6750 3.1: the token is good, and a permission is missing."""


def refusal(error: str) -> Problem:
    """Why a browser came back without a code, and what to do. ``error`` is the platform's word, empty for none.

    What it adds in ``error_description`` is not shown: whoever makes up a link could write there what he likes.
    """
    word = identifier(error)
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


def token_of(response: Response, doing: str, ended_by: Collection[str] | None = None) -> dict[str, Any]:
    """The object of a token answer. ``ended_by``: the words that end a grant; None where a code is exchanged.

    Raises Problem. Platforms put errors at any status, so the key decides (``tiktok.md`` 3.3).
    """
    content = expected(response, doing)
    word = error_word(content)
    if word is not None:
        if word in LATER:
            raise Problem("transient", f"The platform is in trouble while {doing}; try again later.", word)
        if word in OURS:
            raise Problem("app", "The platform does not know this application; check its id and secret.", word)
        if ended_by is None:
            raise Problem("wrong", "The platform refused the code; start connecting again.", word)
        raise _refused(word, doing, ended_by)
    if not response.ok or not secret(content.get("access_token")):
        raise Problem("transient", "The platform's answer held no token; try again later.", str(response.status))
    if content.get("refresh_token") and not secret(content["refresh_token"]):
        # Not as if there were none: the platform has spent the one that we hold.
        raise Problem("transient", "The platform's answer held no usable refresh token; try again later.")
    return content


def _refused(word: str, doing: str, ended_by: Collection[str]) -> Problem:
    """What a refusal of something that we hold means: only the listed words mean that it is over."""
    if word in ended_by:
        return Problem("grant", ENDED, word)
    says = f"The platform refused it while {doing}, and did not say that the connection is over; it is tried again."
    return Problem("transient", says, word)


def secrets_of(token: Mapping[str, Any]) -> dict[str, str]:
    """What of a token answer is to be kept sealed; an empty refresh token is none."""
    kept = {name: secret(token.get(name)) for name in ("access_token", "refresh_token")}
    return {name: value for name, value in kept.items() if value}


def answered(response: Response, doing: str, ended_by: Collection[str] | None = None) -> dict[str, Any]:
    """The object of an API answer. ``ended_by``: the words that end a grant; None while an account is being connected.

    Raises Problem, for an answer that holds an error at any status.
    """
    content = expected(response, doing)
    word = error_word(content)
    if word is None and response.ok:
        return content
    word = str(response.status) if word is None else word
    if word in LATER:
        raise Problem("transient", f"The platform is in trouble while {doing}; try again later.", word)
    if word in SCOPE_MISSING or (ended_by is None and response.status == 403):
        raise Problem("lacking", "A permission is missing; connect again and leave all of them ticked.", word)
    if ended_by is not None:
        raise _refused(word, doing, ended_by)
    if response.status == 401:
        says = f"The platform did not take the token that it had just given, while {doing}; start connecting again."
        raise Problem("wrong", says, word)
    raise Problem("wrong", f"The platform refused it while {doing}.", word)


def told(response: Response) -> None:
    """As ``platform_protocol.told``, and for a word that asks to come again, at any status."""
    platform_protocol.told(response)
    if isinstance(response.content, dict) and error_word(response.content) in LATER:
        raise Problem("transient", "The platform is in trouble; it is told later.", error_word(response.content) or "")


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
