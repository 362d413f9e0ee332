"""Connecting an account of TikTok: ``tiktok.md`` 3."""

from datetime import datetime

from ops.runtime.platform_protocol import (
    PlatformError,
    RateLimitStatus,
    Request,
    Response,
    Steps,
    asked_to_wait,
    label,
    text,
)
from publish.oauth.contract import Account, App, OAuth, OAuthProvider, RefreshPolicy, Removals, TokenLifetimes
from publish.oauth.protocol import INVALID_GRANT, account_of, answered, bearer, exchange, refreshes, revokes
from schema.configuration import Variable

SCOPES = ("user.info.basic", "user.info.profile", "video.list", "video.upload", "video.publish")
STATS = "user.info.stats"
"""Asked for where the operator wants it: a platform refuses everybody a scope that an application does not have."""

REMOVALS = {
    2: "The account was deleted at the platform, it says; connect another one.",
    3: "The age of the account's owner has changed, the platform says; connect the account again if that is allowed.",
    4: "The account was banned, the platform says; connect it again once that is over.",
    5: "The application ended its own access; connect the account again if that was not meant.",
}
"""Reasons of ``authorization.removed`` (``tiktok.md`` 2.4); 0 is unknown, 1 the person's own wish."""

LIFETIMES = TokenLifetimes(access=7200, refresh=180 * 86_400, restarts=True)
"""By the newer pages (``tiktok.md`` 1); the older ones have longer ones. Each refresh gives a new refresh token, with a
life of its own (``tiktok.md`` 3.3)."""

OAUTH = OAuth(
    authorize=("www", "/v2/auth/authorize/"),
    token=("api", "/v2/oauth/token/"),
    revoke=("api", "/v2/oauth/revoke/"),
    client_id="client_key",
    scope_separator=",",
    refresh_seconds="refresh_expires_in",
)

FIELDS = {"user.info.basic": "open_id,union_id,display_name", "user.info.profile": "username"}


def connect(app: App, code: str, verifier: str) -> Steps[list[Account]]:
    token = yield from exchange(OAUTH, app, code, verifier)
    fields = ",".join(names for scope, names in FIELDS.items() if scope in token.scopes)
    if not fields:
        raise PlatformError("lacking", "The profile may not be read; connect again and leave all boxes ticked.")
    url = app.url("api", "/v2/user/info/")
    answer = yield Request("GET", url, {"fields": fields}, headers=bearer(token.access_token))
    user = answered(answer, "reading the profile").get("data", {}).get("user", {})
    # That the platform names the account in this answer is what proves the token (tiktok.md 4).
    account = text(user.get("open_id")) if "user.info.basic" in token.scopes else text(token.content.get("open_id"))
    profile = {"display_name": label(user.get("display_name")), "union_id": text(user.get("union_id"))}
    username = label(user.get("username")) or label(user.get("display_name"))
    return [account_of(token, account, username, profile)]


def rate_limit_status(response: Response, now: datetime) -> list[RateLimitStatus]:
    """No header is documented; what is counted is the last minute (``tiktok.md`` 9)."""
    return asked_to_wait(response, now, otherwise=60.0)


PLATFORM = OAuthProvider(
    title="TikTok",
    client_id=Variable("TIKTOK_CLIENT_KEY", "Developer portal: Manage apps, your app, Client key"),
    client_secret=Variable("TIKTOK_CLIENT_SECRET", "Developer portal: Manage apps, your app, Client secret"),
    base_url=Variable("TIKTOK_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/tiktok"),
    hosts={"www": "https://www.tiktok.com", "api": "https://open.tiktokapis.com"},
    scopes=SCOPES,
    scope_uses={
        "user.info.basic": "knowing whose account it is",
        "user.info.profile": "showing its profile",
        "video.list": "reading videos and their figures",
        "video.upload": "sending drafts to the inbox",
        "video.publish": "publishing",
    },
    optional_scopes=(STATS,),
    optional_variable=Variable(
        "TIKTOK_OPTIONAL_SCOPES", f"Scopes asked for beside the usual ones, separated by commas: {STATS}"
    ),
    needed=("user.info.basic", "video.list"),
    oauth=OAUTH,
    connect=connect,
    refresh=refreshes(OAUTH, INVALID_GRANT),
    revoke=revokes(OAUTH),
    refreshes_with="refresh_token",
    refresh_policy=RefreshPolicy(),
    removals=Removals(
        "tiktok_accounts", "authorization_removed_at", "removal_reason", REMOVALS, "tiktok_undated_removals"
    ),
    ended_by=INVALID_GRANT,  # tiktok.md 3.3
    lifetimes=LIFETIMES,
    rate_limit_status=rate_limit_status,
    unsubscribed="TikTok sends the events of all accounts to the address that its portal has: none is subscribed to by"
    " itself.",
    tells_of_others=False,  # of publishing and of removals alone (tiktok.md 2.4)
    verified_variable=Variable(
        "TIKTOK_VERIFIED_URLS",
        "Developer portal: your app, URL properties: verified domains and URL prefixes, separated by commas",
    ),
)
