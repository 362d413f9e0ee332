"""Connecting an account on a Mastodon instance, where we register ourselves: ``mastodon.md`` 1 to 3."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from ops.runtime.platform_protocol import (
    ENDED,
    LONGEST_NAME,
    PlatformError,
    RateLimitStatus,
    Request,
    Response,
    Steps,
    asked_to_wait,
    error_word,
    secret,
    text,
)
from publish.oauth.contract import App, HeldAccount, OAuth, OAuthProvider, Profile, RefreshPolicy, TokenUpdate
from publish.oauth.instances import moved_to
from publish.oauth.protocol import answered, bearer, connects, counted, revokes
from schema.configuration import Variable

SCOPES = ("read:accounts", "read:statuses", "write:statuses", "write:media")
DAY = 86_400

TOKEN_IS = {
    "The access token is invalid": "token_invalid",
    "The access token was revoked": "token_revoked",
    "The access token expired": "token_expired",
}
"""What a 401 says of a token that is over (``mastodon.md`` 3; the other two are of the same library), and our words."""

INVALID_TOKEN = "invalid_token"  # noqa: S105
"""The same as RFC 6750 3.1 has it, in the body or in ``WWW-Authenticate``."""

ENDED_BY = (*TOKEN_IS.values(), INVALID_TOKEN)

OUTSIDE_SCOPES = "This action is outside the authorized scopes"
"""The text of a 403 for a token without the permission (observed; no page has it). Other 403s are about the account, or
of a proxy in front."""


VERIFY = "/api/v1/accounts/verify_credentials"
NO_INSTANCE = "This address does not answer as a Mastodon server does; check the address."
TROUBLE = (408, 425, 429)
REDIRECTS = 3
MOVED = (301, 302, 303, 307, 308)
WELL_KNOWN = ("/.well-known/host-meta", "/.well-known/webfinger")
INSTANCE = ("/api/v2/instance", "/api/v1/instance")
"""The second for servers before 4.0, and for others that speak the same language (``mastodon.md`` 1)."""


def locate(app: App) -> Steps[str]:
    """The host of the server's web site: that of its handles may be another one, which redirects there.

    A site at the domain of the handles leads at least the well-known addresses there, so they are asked first.
    """
    host = app.hosts["instance"].removeprefix("https://")
    seen: list[str] = []
    while len(seen) <= REDIRECTS and host not in seen:
        seen.append(host)
        here = replace(app, hosts={"instance": f"https://{host}"})
        for path in (*WELL_KNOWN, *INSTANCE):
            query = {"resource": f"acct:{host}@{host}"} if path.endswith("webfinger") else {}
            answer = yield Request("GET", here.url("instance", path), query=query)
            lead = moved_to(answer.headers.get("location", "")) if answer.status in MOVED else None
            if lead and lead not in seen:
                host = lead
                break
            if path in INSTANCE:
                _raise_if_unavailable(answer)
                # A server that shows itself to its own people only (401), or to few programs (403), may register us.
                if _shows_an_instance(answer) or answer.status in (401, 403):
                    return host
    raise PlatformError("wrong", NO_INSTANCE, "no_instance")


def _raise_if_unavailable(answer: Response) -> None:
    """Raise PlatformError (transient) for 5xx, 408, 425 and 429."""
    if answer.status >= 500 or answer.status in TROUBLE:
        raise PlatformError("transient", "The server is in trouble; try again later.", str(answer.status))


def _shows_an_instance(answer: Response) -> bool:
    """``domain`` stands in the second version of the answer, ``uri`` in the first."""
    content = answer.content if answer.ok and isinstance(answer.content, dict) else {}
    return any(isinstance(content.get(name), str) for name in ("domain", "uri")) and "version" in content


def register(app: App, name: str, scopes: Sequence[str]) -> Steps[tuple[str, str]]:
    """Our id and secret at the instance."""
    form = {"client_name": name, "redirect_uris": app.redirect_uri, "scopes": " ".join(scopes)}
    answer = yield Request("POST", app.url("instance", "/api/v1/apps"), form=form)
    _raise_if_unavailable(answer)
    content = answer.content if isinstance(answer.content, dict) else {}
    if answer.status in (401, 403):
        message = "This server does not let applications register; ask whoever runs it, or use an account elsewhere."
        raise PlatformError("wrong", message, str(answer.status))
    if answer.status in (400, 422) and isinstance(content.get("error"), str):
        message = (
            "This server does not take our registration; ask whoever runs it whether it lets applications register."
        )
        raise PlatformError("wrong", message, str(answer.status))
    client = (text(content.get("client_id")), secret(content.get("client_secret")))
    if not answer.ok or error_word(content) is not None or not all(client):
        raise PlatformError("wrong", NO_INSTANCE, str(answer.status))
    return client


def recognised(app: App) -> Steps[bool]:
    """Before 4.3 an instance forgot applications that nobody used (``mastodon.md`` 2): a token of its own tells.

    One that no longer answers as an instance does not know us either, and registering there says what it is.
    """
    form = {"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    answer = yield Request("POST", app.url("instance", "/oauth/token"), form=form)
    _raise_if_unavailable(answer)
    if not isinstance(answer.content, dict) or answer.status in (404, 405, *MOVED):
        return False
    return answer.content.get("error") not in ("invalid_client", "unauthorized_client")


def _me(app: App, token: str, ended_by: Sequence[str] | None = None) -> Steps[dict[str, object]]:
    url = app.url("instance", VERIFY)
    response = yield Request("GET", url, headers=bearer(token))
    if ended_by is not None and isinstance(response.content, dict):
        word = _said_of_token(response)
        if word in ended_by:
            raise PlatformError("grant", ENDED, word)
        if response.status == 403 and response.content.get("error") == OUTSIDE_SCOPES:
            raise PlatformError(
                "lacking", "A permission is missing; connect again and leave all of them ticked.", "403"
            )
    return answered(response, "reading the profile", ended_by)


def _said_of_token(response: Response) -> str:
    """Our word for what a 401 says of the token; empty where it says nothing of it."""
    if response.status != 401:
        return ""
    if f'error="{INVALID_TOKEN}"' in response.headers.get("www-authenticate", ""):
        return INVALID_TOKEN
    word = error_word(response.content) or ""
    return TOKEN_IS.get(word.rstrip("."), word if word == INVALID_TOKEN else "")


def check(app: App, held: HeldAccount) -> Steps[TokenUpdate]:
    """Tokens have no end and nothing to refresh: whether it still holds is looked at."""
    me = yield from _me(app, held.secrets["access_token"], ENDED_BY)
    if not text(me.get("id")):
        raise PlatformError("transient", "The instance did not say whose token it is; try again later.")
    return TokenUpdate()


def rate_limit_status(response: Response, now: datetime) -> list[RateLimitStatus]:
    """The nearest of several limits; its reset is a date as ISO 8601 has it, and no number (``mastodon.md`` 6)."""
    try:
        reset = datetime.fromisoformat(response.headers.get("x-ratelimit-reset", ""))
    except ValueError:
        reset = None
    if reset is not None and reset.tzinfo is None:
        reset = reset.replace(tzinfo=UTC)
    return [*asked_to_wait(response, now), *counted(response, "x-ratelimit", reset, now)]


OAUTH = OAuth(
    authorize=("instance", "/oauth/authorize"),
    token=("instance", "/oauth/token"),
    revoke=("instance", "/oauth/revoke"),
    pkce=True,  # ignored before 4.3; the state protects there
)
PROFILE = Profile(("instance", VERIFY), kept={"url": 1000, "display_name": LONGEST_NAME})

PLATFORM = OAuthProvider(
    title="Mastodon",
    client_id=None,
    client_secret=None,
    base_url=Variable("MASTODON_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/mastodon"),
    hosts={},
    scopes=SCOPES,
    scope_uses={
        "read:accounts": "knowing whose account it is",
        "read:statuses": "reading posts",
        "write:statuses": "publishing",
        "write:media": "publishing with pictures and videos",
    },
    needed=SCOPES,
    oauth=OAUTH,
    connect=connects(OAUTH, PROFILE),
    check=check,
    revoke=revokes(OAUTH),
    revokes_for_all=False,
    locate=locate,
    register=register,
    recognised=recognised,
    refresh_policy=RefreshPolicy(check=DAY),
    ended_by=ENDED_BY,
    rate_limit_status=rate_limit_status,
)
