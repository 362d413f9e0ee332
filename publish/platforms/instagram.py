"""Connecting an account by Instagram Login: ``meta.md`` 7.1."""

from collections.abc import Mapping, Sequence

from ops.runtime.graph_api import ENDED_BY, VERSION, checked, rate_limit_status
from ops.runtime.platform_protocol import PlatformError, Request, Steps, label, text
from publish.oauth.contract import (
    Account,
    App,
    HeldAccount,
    OAuth,
    OAuthProvider,
    RefreshPolicy,
    Subscription,
    TokenLifetimes,
    TokenUpdate,
    granted_scopes,
)
from publish.oauth.protocol import code_request
from publish.platforms._meta import (
    LIFE,
    META_SECRET,
    accept_revocation,
    account_half,
    granted,
    holds,
    long_lived,
    subscribe,
    unwrapped,
)
from schema.configuration import Variable

BASIC = "instagram_business_basic"
FIELDS = {"instagram_business_manage_comments": "comments", "instagram_business_manage_messages": "messages"}
"""What events are subscribed to, by the permission that each needs (``meta.md`` 1.5, 2.1)."""

SCOPES = (
    BASIC,
    "instagram_business_content_publish",
    "instagram_business_manage_comments",
    "instagram_business_manage_insights",
)
DAY = 86_400

OAUTH = OAuth(
    authorize=("www", "/oauth/authorize"),
    token=("api", "/oauth/access_token"),
    scope_separator=",",
    code_suffix="#_",
)


def connect(app: App, code: str, verifier: str) -> Steps[list[Account]]:
    answer = yield code_request(OAUTH, app, code, verifier)
    short = granted(checked(answer, "exchanging the code"))
    scopes = granted_scopes(app, short.get("permissions"))
    token, life = yield from long_lived(app, "graph", "ig_exchange_token", short["access_token"])
    query = {"fields": "id,user_id,username,name,account_type,profile_picture_url", "access_token": token}
    me = unwrapped(checked((yield Request("GET", app.url("graph", f"{VERSION}/me"), query)), "reading the profile"))
    account, scoped = text(me.get("user_id")), text(me.get("id"))
    if not account and not scoped:
        raise PlatformError("transient", "The platform did not say whose account it is; start connecting again.")
    if not account:
        message = "The account is no professional one; switch it to a business or creator account, then connect again."
        raise PlatformError("lacking", message)
    profile = {"name": label(me.get("name")), "account_type": label(me.get("account_type"))}
    others = [scoped] if scoped else []
    return [Account(account, label(me.get("username")), scopes, {"access_token": token}, others, profile, life)]


def verify_and_subscribe(app: App, account: Account) -> Steps[None]:
    """That it has a profile was seen; its events come once the application is subscribed (``meta.md`` 1.4)."""
    path = f"{VERSION}/{account.account_id}/subscribed_apps"
    yield from subscribe(app, path, account.secrets["access_token"], _fields(account.scopes))


def _fields(scopes: Sequence[str]) -> list[str]:
    """Return the fields to subscribe to: one without its permission would refuse them all (``meta.md`` 1.5)."""
    return [name for scope, name in FIELDS.items() if scope in scopes]


def subscription(app: App, held: HeldAccount) -> Steps[Subscription]:
    """Keep the account's half. The application's is entered in the dashboard, and no call is documented to show it."""
    path = f"{VERSION}/{held.account_id}/subscribed_apps"
    return (yield from account_half(app, path, held.secrets["access_token"], _fields(held.scopes)))


def check(app: App, held: HeldAccount) -> Steps[TokenUpdate]:
    """A password ends a token long before its time, and nobody is told (``meta.md`` 7.4: 190/460)."""
    yield from holds(app, "graph", f"{VERSION}/me", held.secrets["access_token"])
    return TokenUpdate()


def refresh(app: App, secrets: Mapping[str, str]) -> Steps[TokenUpdate]:
    token, life = yield from long_lived(app, "graph", "ig_refresh_token", secrets["access_token"])
    return TokenUpdate({"access_token": token}, life)


def revoke(app: App, secrets: Mapping[str, str], *, last: bool) -> Steps[None]:  # noqa: ARG001
    """Events first: whether permissions can be removed by a call is not confirmed."""
    query = {"access_token": secrets["access_token"]}
    accept_revocation((yield Request("DELETE", app.url("graph", f"{VERSION}/me/subscribed_apps"), query)))
    accept_revocation((yield Request("DELETE", app.url("graph", f"{VERSION}/me/permissions"), query)))


APP_SECRET = Variable(
    "INSTAGRAM_APP_SECRET",
    "App dashboard: Instagram, API setup with Instagram login, Business login settings, Instagram app secret",
)

PLATFORM = OAuthProvider(
    title="Instagram",
    client_id=Variable("INSTAGRAM_APP_ID", "App dashboard: Instagram, API setup, Business login, Instagram app ID"),
    client_secret=APP_SECRET,
    base_url=Variable("INSTAGRAM_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/instagram"),
    hosts={
        "www": "https://www.instagram.com",
        "api": "https://api.instagram.com",
        "graph": "https://graph.instagram.com",
    },
    scopes=SCOPES,
    scope_uses={
        BASIC: "reading the profile and its posts",
        "instagram_business_content_publish": "publishing",
        "instagram_business_manage_comments": "receiving, answering and hiding comments",
        "instagram_business_manage_insights": "reading figures",
    },
    needed=(BASIC, "instagram_business_content_publish", "instagram_business_manage_comments"),
    oauth=OAUTH,
    connect=connect,
    verify_and_subscribe=verify_and_subscribe,
    refresh=refresh,
    check=check,
    subscription=subscription,
    tells_of_others=True,
    revoke=revoke,
    refresh_policy=RefreshPolicy(share=50 / 60, youngest=DAY + 3600, check=DAY),
    ended_by=ENDED_BY,
    lifetimes=TokenLifetimes(access=LIFE),
    signs_requests_with=(APP_SECRET, META_SECRET),  # which of the two is unconfirmed (meta.md 6)
    rate_limit_status=rate_limit_status,
)
