"""The conversations of OAuth 2 (RFC 6749) and how to read their responses, for the differences that ``OAuth`` names."""

import base64
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ops.runtime import platform_protocol
from ops.runtime.platform_protocol import (
    ENDED,
    JsonObject,
    PlatformError,
    RateLimitStatus,
    Request,
    Response,
    Steps,
    error_word,
    expected,
    identifier,
    label,
    number,
    seconds,
    secret,
    text,
    until,
)
from publish.oauth.contract import (
    Account,
    App,
    OAuth,
    Profile,
    Revoke,
    Secrets,
    TokenUpdate,
    granted_scopes,
)

LATER = ("server_error", "temporarily_unavailable", "slow_down", "internal_error", "rate_limit_exceeded")
"""RFC 6749 4.1.2.1, RFC 8628 3.5, and the API of ``tiktok.md`` 9: try again."""

DENIED = ("access_denied", "user_denied", "user_cancelled_login", "user_cancelled_authorize")
OURS = (
    *("invalid_client", "unauthorized_client", "unsupported_grant_type", "unsupported_response_type"),
    *("invalid_redirect_uri", "redirect_uri_mismatch", "invalid_scope", "unauthorized_scope_error"),
)
"""Errors of our own settings: RFC 6749 4.1.2.1 and 5.2, and the words of ``linkedin.md`` 1 for two of them."""

INVALID_GRANT = ("invalid_grant",)
"""RFC 6749 5.2: the refresh token "is invalid, expired, revoked …" or is another client's."""

SCOPE_MISSING = ("scope_not_authorized", "scope_permission_missed", "insufficient_scope")
"""``tiktok.md`` 9, and RFC 6750 3.1: the token is good, and a permission is missing."""


def code_request(oauth: OAuth, app: App, code: str, verifier: str) -> Request:
    """Return the request that exchanges a code (RFC 6749 4.1.3)."""
    form = {
        "grant_type": "authorization_code",
        "code": code.removesuffix(oauth.code_suffix),
        "redirect_uri": app.redirect_uri,
    }
    return _client_request(
        oauth, app, app.url(*oauth.token), form | ({"code_verifier": verifier} if oauth.pkce else {})
    )


def _client_request(oauth: OAuth, app: App, url: str, form: Mapping[str, str]) -> Request:
    """Return a request by the application itself (RFC 6749 2.3.1)."""
    if oauth.secret_in_header:
        return Request("POST", url, form=form, headers=basic(app.client_id, app.client_secret))
    return Request("POST", url, form={oauth.client_id: app.client_id, "client_secret": app.client_secret, **form})


@dataclass(frozen=True, slots=True)
class Token:
    """A token response: the tokens to be sealed, the granted scopes and the lives in seconds, None where not given.

    ``content`` is the whole response.
    """

    secrets: Mapping[str, str] = field(repr=False)
    scopes: Sequence[str]
    access_seconds: int | None
    refresh_seconds: int | None
    content: Mapping[str, object] = field(repr=False)

    @property
    def access_token(self) -> str:
        return self.secrets["access_token"]


def exchange(oauth: OAuth, app: App, code: str, verifier: str) -> Steps[Token]:
    """Exchange a code and return the token response. Raises PlatformError."""
    content = token_of((yield code_request(oauth, app, code, verifier)), "exchanging the code")
    secrets = secrets_of(content)
    if oauth.refresh_token_required and "refresh_token" not in secrets:
        raise PlatformError(
            "lacking", "Access without an end was not granted; connect again and leave all boxes ticked."
        )
    return Token(
        secrets,
        granted_scopes(app, content.get("scope")),
        seconds(content.get("expires_in")),
        seconds(content.get(oauth.refresh_seconds)),
        content,
    )


def account_of(token: Token, account_id: str, username: str, profile: Mapping[str, str]) -> Account:
    """Return the account that a token response is for."""
    return Account(
        account_id,
        username,
        token.scopes,
        token.secrets,
        (),
        profile,
        token.access_seconds,
        token.refresh_seconds,
    )


def connects(oauth: OAuth, profile: Profile) -> Callable[[App, str, str], Steps[list[Account]]]:
    """Return the steps that exchange a code and read one profile with the new token."""

    def connect(app: App, code: str, verifier: str) -> Steps[list[Account]]:
        token = yield from exchange(oauth, app, code, verifier)
        return [(yield from read_account(app, profile, token))]

    return connect


def read_account(app: App, profile: Profile, token: Token) -> Steps[Account]:
    """Read whose account a new token is for, and return it. Raises PlatformError."""
    answer = yield Request("GET", app.url(*profile.endpoint), headers=bearer(token.access_token))
    me: Any = answered(answer, "reading the profile")
    for name in profile.inside:
        me = me.get(name, {})
    kept = {name: label(me.get(name), longest) for name, longest in profile.kept.items()}
    return account_of(token, text(me.get(profile.account_id)), label(me.get(profile.username)), kept)


def refreshes(oauth: OAuth, ended_by: Collection[str]) -> Callable[[App, Secrets], Steps[TokenUpdate]]:
    """Return the steps that refresh a token (RFC 6749 6). ``ended_by`` are the words that end the grant."""

    def refresh(app: App, secrets: Secrets) -> Steps[TokenUpdate]:
        form = {"grant_type": "refresh_token", "refresh_token": secrets["refresh_token"]}
        token = token_of((yield _client_request(oauth, app, app.url(*oauth.token), form)), "refreshing", ended_by)
        return TokenUpdate(
            secrets_of(token), seconds(token.get("expires_in")), seconds(token.get(oauth.refresh_seconds))
        )

    return refresh


def revokes(oauth: OAuth) -> Revoke:
    """Return the steps that revoke what a connection holds (RFC 7009)."""

    def revoke(app: App, secrets: Secrets, *, last: bool) -> Steps[None]:  # noqa: ARG001
        if oauth.revoke is None:
            return
        for name in oauth.revoked_tokens:
            if name in secrets:
                request = _client_request(oauth, app, app.url(*oauth.revoke), {"token": secrets[name]})
                accept_revocation((yield request))

    return revoke


def refusal(error: str, setting: str = "") -> PlatformError:
    """Return why a browser came back without a code, and what to do. ``error`` is the platform's word, empty for none.

    ``setting`` is the operator's variable that decides which scopes are asked for; empty where there is none.
    Its ``error_description`` is not shown: anybody can make a link with any text in it.
    """
    word = identifier(error)
    if word in DENIED:
        message = "You did not allow it, so nothing was connected. Start again if that was not meant."
        return PlatformError("denied", message, word)
    if word in LATER:
        return PlatformError(
            "transient", "The platform is in trouble at the moment; start again in a few minutes.", word
        )
    if "scope" in word:
        message = "The platform does not let this application ask for these permissions; its operator must get them"
        message = f"{message} granted, or correct {setting}." if setting else f"{message} granted."
        return PlatformError("app", message, word)
    if word in OURS:
        message = (
            "The platform does not take this application's settings; its operator must check id and redirect address."
        )
        return PlatformError("app", message, word)
    if word:
        return PlatformError("wrong", f"The platform refused it ({word}); start connecting again.", word)
    return PlatformError("wrong", "The platform sent no code; start connecting again.")


def token_of(response: Response, doing: str, ended_by: Collection[str] | None = None) -> JsonObject:
    """Return a token response. ``ended_by``: the words that end a grant; None while a code is exchanged.

    Raises PlatformError. Platforms put errors at any status, so the key decides (``tiktok.md`` 3.3).
    """
    content = expected(response, doing)
    word = error_word(content)
    if word is not None:
        if word in LATER:
            raise PlatformError("transient", f"The platform is in trouble while {doing}; try again later.", word)
        if word in OURS:
            raise PlatformError("app", "The platform does not know this application; check its id and secret.", word)
        if ended_by is None:
            raise PlatformError("wrong", "The platform refused the code; start connecting again.", word)
        raise _refused(word, doing, ended_by)
    if not response.ok or not secret(content.get("access_token")):
        raise PlatformError("transient", "The platform's answer held no token; try again later.", str(response.status))
    if content.get("refresh_token") and not secret(content["refresh_token"]):
        # Not as if there were none: the platform has spent the one that we hold.
        raise PlatformError("transient", "The platform's answer held no usable refresh token; try again later.")
    return content


def _refused(word: str, doing: str, ended_by: Collection[str]) -> PlatformError:
    """Return the problem of a refused token: only the listed words end the grant."""
    if word in ended_by:
        return PlatformError("grant", ENDED, word)
    message = f"The platform refused it while {doing}, and did not say that the connection is over; it is tried again."
    return PlatformError("transient", message, word)


def secrets_of(token: Mapping[str, object]) -> dict[str, str]:
    """Return the tokens of a response; an empty refresh token counts as none."""
    kept = {name: secret(token.get(name)) for name in ("access_token", "refresh_token")}
    return {name: value for name, value in kept.items() if value}


def answered(response: Response, doing: str, ended_by: Collection[str] | None = None) -> JsonObject:
    """Return an API response. ``ended_by``: the words that end a grant; None while an account is being connected.

    Raises PlatformError for a response that holds an error, at any status.
    """
    content = expected(response, doing)
    word = error_word(content)
    if word is None and response.ok:
        return content
    word = str(response.status) if word is None else word
    if word in LATER:
        raise PlatformError("transient", f"The platform is in trouble while {doing}; try again later.", word)
    if word in SCOPE_MISSING or (ended_by is None and response.status == 403):
        raise PlatformError("lacking", "A permission is missing; connect again and leave all of them ticked.", word)
    if ended_by is not None:
        raise _refused(word, doing, ended_by)
    if response.status == 401:
        message = f"The platform did not take the token that it had just given, while {doing}; start connecting again."
        raise PlatformError("wrong", message, word)
    raise PlatformError("wrong", f"The platform refused it while {doing}.", word)


def accept_revocation(response: Response) -> None:
    """Accept what ``platform_protocol`` accepts. Raises PlatformError also for temporary errors of any status."""
    platform_protocol.accept_revocation(response)
    if isinstance(response.content, dict) and error_word(response.content) in LATER:
        raise PlatformError(
            "transient",
            "The platform is in trouble; the revocation is sent again later.",
            error_word(response.content) or "",
        )


def counted(response: Response, prefix: str, reset: datetime | None, now: datetime) -> list[RateLimitStatus]:
    """Read the account's rate limit from the headers ``…-limit`` and ``…-remaining``; ``reset`` is when it is reset."""
    limit, remaining = (number(response.headers.get(f"{prefix}-{name}")) for name in ("limit", "remaining"))
    if not limit or remaining is None:
        return []
    percent = int(100 * max(0.0, limit - remaining) / limit)
    return [RateLimitStatus(percent, until(reset, response, now) if reset is not None else 0.0)]


def basic(client_id: str, client_secret: str) -> Mapping[str, str]:
    pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


def bearer(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}
