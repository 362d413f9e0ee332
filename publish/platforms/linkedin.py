"""Connecting a member of LinkedIn: ``linkedin.md`` 1. Most applications get no refresh token: a person comes back."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta

from ops.runtime.platform_protocol import (
    LONGEST_NAME,
    JsonObject,
    PlatformError,
    RateLimitStatus,
    Request,
    Response,
    Steps,
    asked_to_wait,
    text,
)
from publish.oauth.contract import (
    ENDED,
    Account,
    App,
    OAuth,
    OAuthProvider,
    Profile,
    RefreshPolicy,
    TokenLifetimes,
    TokenUpdate,
    scope_list,
)
from publish.oauth.protocol import answered, connects, refreshes, revokes
from schema.configuration import Variable

DAY = 86_400
SCOPES = ("openid", "profile", "w_member_social")

ENDED_BY = ("revoked", "expired")
"""What introspection says of a token that is not active (``linkedin.md`` 1). The errors of the token endpoint do not
tell a refresh token that is over from a request that it dislikes."""


def verify_and_subscribe(app: App, account: Account) -> Steps[None]:
    """Is it a member's own token: one of two legs, the application's, could post for nobody."""
    found = yield from _introspected(app, account.secrets)
    if found.get("auth_type", "3L") != "3L":
        raise PlatformError("lacking", "The platform gave a token of another kind than a member's; connect again.")


def check(app: App, secrets: Mapping[str, str]) -> Steps[TokenUpdate]:
    """A member, or LinkedIn itself, may end a token at any time: introspection costs none of the member's calls."""
    yield from _introspected(app, secrets)
    return TokenUpdate()


def _introspected(app: App, secrets: Mapping[str, str]) -> Steps[JsonObject]:
    """Raises PlatformError for a token that is over or lacks a scope; one that ran out may still be refreshed."""
    form = {"client_id": app.client_id, "client_secret": app.client_secret, "token": secrets["access_token"]}
    answer = yield Request("POST", app.url("www", "/oauth/v2/introspectToken"), form=form)
    found = answered(answer, "checking the token", ())
    if not isinstance(found.get("active"), bool):
        raise PlatformError("transient", "The platform did not say whether the token is active; try again later.")
    if not found["active"]:
        word = text(found.get("status")).lower()
        if word == "expired" and "refresh_token" in secrets:
            raise PlatformError(
                "transient", "The token has run out and is not refreshed yet; that is tried again.", word
            )
        if word in ENDED_BY:
            raise PlatformError("grant", ENDED, word)
        message = "The platform says that the token is not active, and not why; try again later."
        raise PlatformError("transient", message, word or "inactive")
    scopes = scope_list(found.get("scope"))
    if scopes and (missing := [scope for scope in SCOPES if scope not in scopes]):
        raise PlatformError("lacking", f"A permission is missing: connect again and allow {', '.join(missing)}.")
    return found


def rate_limit_status(response: Response, now: datetime) -> list[RateLimitStatus]:
    """No header is documented, and a 429 need not be the day's budget: it is asked again within the hour.

    At the latest when the day's budgets are whole again, at midnight UTC (``linkedin.md`` 6).
    """
    midnight = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
    return asked_to_wait(response, now, otherwise=min(3600.0, (midnight - now).total_seconds()))


OAUTH = OAuth(
    authorize=("www", "/oauth/v2/authorization"),
    token=("www", "/oauth/v2/accessToken"),
    revoke=("www", "/oauth/v2/revoke"),  # on no official page: many clients call it, and a failure changes nothing
    refresh_seconds="refresh_token_expires_in",  # counted from the first grant: a refresh does not move the end
)
PROFILE = Profile(("api", "/v2/userinfo"), account_id="sub", username="name", kept={"name": LONGEST_NAME})

PLATFORM = OAuthProvider(
    title="LinkedIn",
    client_id=Variable("LINKEDIN_CLIENT_ID", "Developer portal: your app, Auth, Client ID"),
    client_secret=Variable("LINKEDIN_CLIENT_SECRET", "Developer portal: your app, Auth, Primary Client Secret"),
    base_url=Variable("LINKEDIN_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/linkedin"),
    hosts={"www": "https://www.linkedin.com", "api": "https://api.linkedin.com"},
    scopes=SCOPES,
    scope_uses={
        "openid": "knowing whose account it is",
        "profile": "showing its name",
        "w_member_social": "publishing and commenting",
    },
    needed=("openid", "profile", "w_member_social"),
    oauth=OAUTH,
    connect=connects(OAUTH, PROFILE),
    verify_and_subscribe=verify_and_subscribe,
    refresh=refreshes(OAUTH, ()),
    check=check,
    revoke=revokes(OAUTH),
    refreshes_with="refresh_token",
    refresh_policy=RefreshPolicy(share=0.8, check=DAY),
    ended_by=ENDED_BY,
    lifetimes=TokenLifetimes(
        access=60 * DAY, refresh=365 * DAY
    ),  # linkedin.md 1: the year is counted from the first grant
    rate_limit_status=rate_limit_status,
)
