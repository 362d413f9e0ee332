"""Connecting an account of X: ``x.md`` 1. Its codes live 30 s, so the exchange happens inside the callback."""

from datetime import datetime

from ops.runtime.platform_protocol import LONGEST_NAME, RateLimitStatus, Response, asked_to_wait, moment
from publish.oauth.contract import OAuth, OAuthProvider, Profile, RefreshPolicy, TokenLifetimes
from publish.oauth.protocol import INVALID_GRANT, connects, counted, refreshes, revokes
from schema.configuration import Variable

SCOPES = ("tweet.read", "tweet.write", "users.read", "media.write", "tweet.moderate.write", "offline.access")

CAPPED_SECONDS = 3600.0
"""A monthly cap, or credit that has run out: no reset is named, and somebody may raise the one or buy the other."""


def rate_limit_status(response: Response, now: datetime) -> list[RateLimitStatus]:
    """What the headers count is the account's; a cap or missing credit is the whole application's (``x.md`` 6, 7)."""
    found = asked_to_wait(response, now)
    found += counted(response, "x-rate-limit", moment(response.headers.get("x-rate-limit-reset")), now)
    said = response.content.get("type") if isinstance(response.content, dict) else None
    capped = response.status == 429 and isinstance(said, str) and said.endswith("/usage-capped")
    if capped or response.status == 402:
        found.append(RateLimitStatus(100, CAPPED_SECONDS, whole_app=True))
    return found


OAUTH = OAuth(
    authorize=("www", "/i/oauth2/authorize"),
    token=("api", "/2/oauth2/token"),
    revoke=("api", "/2/oauth2/revoke"),
    pkce=True,
    secret_in_header=True,  # for refreshes too (x.md 9.3)
    refresh_token_required=True,
    revoked_tokens=("refresh_token", "access_token"),
)
PROFILE = Profile(("api", "/2/users/me"), inside=("data",), kept={"name": LONGEST_NAME})

PLATFORM = OAuthProvider(
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
        "tweet.moderate.write": "hiding replies to your posts",
        "offline.access": "staying connected for more than two hours",
    },
    needed=("tweet.read", "tweet.write", "users.read", "offline.access"),
    oauth=OAUTH,
    connect=connects(OAUTH, PROFILE),
    # A refresh token is used once: a second use ends the whole family (reported, x.md 9.2). What X answers for one that
    # is over is not documented; ``invalid_request``, which was seen, means other things too.
    refresh=refreshes(OAUTH, INVALID_GRANT),
    revoke=revokes(OAUTH),
    revokes_for_all=False,
    refreshes_with="refresh_token",
    refresh_policy=RefreshPolicy(),
    ended_by=INVALID_GRANT,
    lifetimes=TokenLifetimes(access=7200),  # x.md 1; the life of a refresh token is not documented
    rate_limit_status=rate_limit_status,
)
