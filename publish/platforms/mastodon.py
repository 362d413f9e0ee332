"""Connecting an account on a Mastodon instance, where we register ourselves: ``mastodon.md`` 1 to 3."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode

from publish.contract import (
    Account,
    App,
    Channel,
    Plan,
    Problem,
    Renewed,
    Request,
    Response,
    Steps,
    Usage,
    asked_to_wait,
    expected,
    text,
    told,
)
from publish.oauth import answered, bearer, counted, token_of
from schema.configuration import Variable

SCOPES = ("read:accounts", "read:statuses", "write:statuses", "write:media")
DAY = 86_400


def register(app: App, name: str, scopes: Sequence[str]) -> Steps[tuple[str, str]]:
    """Our id and secret at the instance."""
    form = {"client_name": name, "redirect_uris": app.redirect_uri, "scopes": " ".join(scopes)}
    answer = yield Request("POST", app.url("instance", "/api/v1/apps"), form=form)
    made = answered(answer, "registering with the instance")
    if not isinstance(made.get("client_id"), str) or not isinstance(made.get("client_secret"), str):
        raise Problem("wrong", "This address does not answer as a Mastodon instance does; check it.")
    return made["client_id"], made["client_secret"]


def recognised(app: App) -> Steps[bool]:
    """Before 4.3 an instance forgot applications that nobody used (``mastodon.md`` 2): a token of its own tells."""
    form = {"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
    answer = yield Request("POST", app.url("instance", "/oauth/token"), form=form)
    return expected(answer, "asking the instance").get("error") not in ("invalid_client", "unauthorized_client")


def authorize(app: App, scopes: Sequence[str], state: str, challenge: str) -> str:
    query = {
        "response_type": "code",
        "client_id": app.client_id,
        "redirect_uri": app.redirect_uri,
        "scope": " ".join(scopes),
        "state": state,
        "code_challenge": challenge,  # ignored before 4.3, which the state makes up for
        "code_challenge_method": "S256",
    }
    return f"{app.url('instance', '/oauth/authorize')}?{urlencode(query)}"


def connect(app: App, code: str, verifier: str) -> Steps[list[Account]]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "redirect_uri": app.redirect_uri,
        "code_verifier": verifier,
    }
    token = token_of((yield Request("POST", app.url("instance", "/oauth/token"), form=form)), "exchanging the code")
    me = yield from _me(app, token["access_token"])
    scopes = str(token.get("scope") or "").split()
    profile = {"url": me.get("url"), "display_name": me.get("display_name")}
    username = str(me.get("username") or "")
    return [Account(text(me.get("id")), username, scopes, {"access_token": token["access_token"]}, (), profile)]


def _me(app: App, token: str) -> Steps[dict[str, object]]:
    url = app.url("instance", "/api/v1/accounts/verify_credentials")
    return answered((yield Request("GET", url, headers=bearer(token))), "reading the profile")


def check(app: App, secrets: Mapping[str, str]) -> Steps[Renewed]:
    """Tokens have no end and nothing to refresh: whether it still holds is looked at."""
    me = yield from _me(app, secrets["access_token"])
    if not text(me.get("id")):
        raise Problem("transient", "The instance did not say whose token it is; it is asked again later.")
    return Renewed()


def revoke(app: App, secrets: Mapping[str, str], *, last: bool) -> Steps[None]:  # noqa: ARG001
    form = {"client_id": app.client_id, "client_secret": app.client_secret, "token": secrets["access_token"]}
    told((yield Request("POST", app.url("instance", "/oauth/revoke"), form=form)))


def usage(response: Response, now: datetime) -> list[Usage]:
    """The nearest of several limits; its reset is a date as ISO 8601 has it, and no number (``mastodon.md`` 6)."""
    try:
        reset = datetime.fromisoformat(response.headers.get("x-ratelimit-reset", ""))
    except ValueError:
        reset = None
    if reset is not None and reset.tzinfo is None:
        reset = reset.replace(tzinfo=UTC)
    return [*asked_to_wait(response, now), *counted(response, "x-ratelimit", reset, now)]


PLATFORM = Channel(
    title="Mastodon",
    client_id=None,
    client_secret=None,
    base_url=Variable("MASTODON_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/mastodon"),
    hosts={},
    scopes=SCOPES,
    needed=SCOPES,
    authorize=authorize,
    connect=connect,
    check=check,
    revoke=revoke,
    revokes_for_all=False,
    register=register,
    recognised=recognised,
    plan=Plan(check=DAY),
    pkce=True,
    usage=usage,
)
