"""Connecting an account of X: ``x.md`` 1. Its codes live 30 s, so the exchange happens inside the callback."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from ops.runtime.platform_protocol import (
    Problem,
    Request,
    Response,
    Steps,
    Usage,
    asked_to_wait,
    label,
    moment,
    seconds,
    text,
)
from publish.oauth.contract import Account, App, Channel, Lives, Plan, Renewed, granted_scopes
from publish.oauth.protocol import INVALID_GRANT, answered, basic, bearer, counted, secrets_of, token_of, told
from schema.configuration import Variable

SCOPES = ("tweet.read", "tweet.write", "users.read", "media.write", "offline.access")

CAPPED_SECONDS = 3600.0
"""A monthly cap, or credit that has run out: no reset is named, and somebody may raise the one or buy the other."""


def authorize(app: App, scopes: Sequence[str], state: str, challenge: str) -> str:
    query = {
        "response_type": "code",
        "client_id": app.client_id,
        "redirect_uri": app.redirect_uri,
        "scope": " ".join(scopes),
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{app.url('www', '/i/oauth2/authorize')}?{urlencode(query)}"


def _token(app: App, form: Mapping[str, str]) -> Request:
    """A confidential client names itself in the header, for refreshes too (``x.md`` 9.3)."""
    headers = basic(app.client_id, app.client_secret)
    return Request("POST", app.url("api", "/2/oauth2/token"), form=form, headers=headers)


def connect(app: App, code: str, verifier: str) -> Steps[list[Account]]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": app.redirect_uri,
        "code_verifier": verifier,
    }
    token = token_of((yield _token(app, form)), "exchanging the code")
    if "refresh_token" not in secrets_of(token):
        raise Problem("lacking", "Access without an end was not granted; connect again and leave all boxes ticked.")
    answer = yield Request("GET", app.url("api", "/2/users/me"), headers=bearer(token["access_token"]))
    me = answered(answer, "reading the profile").get("data", {})
    return [
        Account(
            text(me.get("id")),
            label(me.get("username")),
            granted_scopes(app, token.get("scope")),
            secrets_of(token),
            (),
            {"name": label(me.get("name"))},
            seconds(token.get("expires_in")),
        )
    ]


def refresh(app: App, secrets: Mapping[str, str]) -> Steps[Renewed]:
    """Single use: the old one, used again, ends the whole family (reported, ``x.md`` 9.2).

    What X answers for one that is over is not documented; ``invalid_request``, which was seen, means other things too.
    """
    form = {"grant_type": "refresh_token", "refresh_token": secrets["refresh_token"]}
    token = token_of((yield _token(app, form)), "refreshing", INVALID_GRANT)
    return Renewed(secrets_of(token), seconds(token.get("expires_in")))


def revoke(app: App, secrets: Mapping[str, str], *, last: bool) -> Steps[None]:  # noqa: ARG001
    headers = basic(app.client_id, app.client_secret)
    for name in ("refresh_token", "access_token"):
        if name in secrets:
            form = {"token": secrets[name]}
            told((yield Request("POST", app.url("api", "/2/oauth2/revoke"), form=form, headers=headers)))


def usage(response: Response, now: datetime) -> list[Usage]:
    """What the headers count is the account's; a cap or missing credit is the whole application's (``x.md`` 6, 7)."""
    found = asked_to_wait(response, now)
    found += counted(response, "x-rate-limit", moment(response.headers.get("x-rate-limit-reset")), now)
    said = response.content.get("type") if isinstance(response.content, dict) else None
    capped = response.status == 429 and isinstance(said, str) and said.endswith("/usage-capped")
    if capped or response.status == 402:
        found.append(Usage(100, CAPPED_SECONDS, whole_app=True))
    return found


PLATFORM = Channel(
    title="X",
    client_id=Variable("X_CLIENT_ID", "Developer console: your app, Keys and tokens, OAuth 2.0 Client ID"),
    client_secret=Variable("X_CLIENT_SECRET", "Developer console: your app, Keys and tokens, OAuth 2.0 Client Secret"),
    base_url=Variable("X_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/x"),
    hosts={"www": "https://x.com", "api": "https://api.x.com"},
    scopes=SCOPES,
    scope_uses={
        "tweet.read": "reading posts",
        "tweet.write": "publishing",
        "users.read": "knowing whose account it is",
        "media.write": "publishing with pictures and videos",
        "offline.access": "staying connected for more than two hours",
    },
    needed=("tweet.read", "tweet.write", "users.read", "offline.access"),
    authorize=authorize,
    connect=connect,
    refresh=refresh,
    revoke=revoke,
    revokes_for_all=False,
    refreshes_with="refresh_token",
    plan=Plan(),
    ended_by=INVALID_GRANT,
    lives=Lives(access=7200),  # x.md 1; the life of a refresh token is not documented
    pkce=True,
    usage=usage,
)
