"""Connecting an account of Threads: ``meta.md`` 7.3."""

from collections.abc import Mapping

from ops.runtime.graph_api import ENDED_BY, checked, rate_limit_status
from ops.runtime.platform_protocol import Request, Steps, error_word, label, text
from publish.oauth.contract import (
    Account,
    App,
    HeldAccount,
    OAuth,
    OAuthProvider,
    RefreshPolicy,
    TokenLifetimes,
    TokenUpdate,
)
from publish.oauth.protocol import code_request
from publish.platforms._meta import (
    LIFE,
    META_SECRET,
    granted,
    holds,
    long_lived,
    unwrapped,
)
from schema.configuration import Variable

SCOPES = (
    *("threads_basic", "threads_content_publish", "threads_read_replies", "threads_manage_replies"),
    "threads_delete",
)
SHARE = "threads_share_to_instagram"
"""For the option of a post to be shared to the Instagram story too; asked for on request (``meta.md`` 9.1)."""

DAY = 86_400

OAUTH = OAuth(
    authorize=("www", "/oauth/authorize"),
    token=("graph", "/oauth/access_token"),
    scope_separator=",",
    code_suffix="#_",
)


def connect(app: App, code: str, verifier: str) -> Steps[list[Account]]:
    answer = yield code_request(OAUTH, app, code, verifier)
    short = granted(checked(answer, "exchanging the code"))
    token, life = yield from long_lived(app, "graph", "th_exchange_token", short["access_token"])
    me_url = app.url("graph", "/v1.0/me")
    query = {"fields": "id,username,name", "access_token": token}
    me = unwrapped(checked((yield Request("GET", me_url, query)), "reading the profile"))
    # Its answer does not say what was granted: each permission is tried by a call that needs it.
    scopes = ["threads_basic"]
    probes = {
        "threads_content_publish": ("/v1.0/me/threads_publishing_limit", {"fields": "quota_usage"}),
    }
    for scope, (path, query) in probes.items():
        tried = yield Request("GET", app.url("graph", path), query | {"access_token": token})
        if tried.ok and isinstance(tried.content, dict) and error_word(tried.content) is None:
            scopes.append(scope)
    account, profile = text(me.get("id")), {"name": label(me.get("name"))}
    return [Account(account, label(me.get("username")), scopes, {"access_token": token}, (), profile, life)]


def check(app: App, held: HeldAccount) -> Steps[TokenUpdate]:
    yield from holds(app, "graph", "/v1.0/me", held.secrets["access_token"])
    return TokenUpdate()


def refresh(app: App, secrets: Mapping[str, str]) -> Steps[TokenUpdate]:
    token, life = yield from long_lived(app, "graph", "th_refresh_token", secrets["access_token"])
    return TokenUpdate({"access_token": token}, life)


APP_SECRET = Variable("THREADS_APP_SECRET", "App dashboard: App settings, Basic, Threads App secret")

PLATFORM = OAuthProvider(
    title="Threads",
    client_id=Variable("THREADS_APP_ID", "App dashboard: App settings, Basic, Threads App ID"),
    client_secret=APP_SECRET,
    base_url=Variable("THREADS_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/threads"),
    hosts={"www": "https://threads.net", "graph": "https://graph.threads.net"},
    scopes=SCOPES,
    scope_uses={
        "threads_basic": "reading the profile and its posts",
        "threads_content_publish": "publishing",
        "threads_read_replies": "reading replies",
        "threads_manage_replies": "answering and hiding replies",
        "threads_delete": "deleting posts",
    },
    unreported_scopes=("threads_read_replies", "threads_manage_replies", "threads_delete"),
    optional_scopes=(SHARE,),
    optional_variable=Variable(
        "THREADS_OPTIONAL_SCOPES", f"Permissions asked for beside the usual ones, separated by commas: {SHARE}"
    ),
    needed=("threads_basic", "threads_content_publish"),
    oauth=OAUTH,
    connect=connect,
    refresh=refresh,
    check=check,
    refresh_policy=RefreshPolicy(share=50 / 60, youngest=DAY + 3600, check=DAY),
    ended_by=ENDED_BY,
    lifetimes=TokenLifetimes(access=LIFE),
    signs_requests_with=(APP_SECRET, META_SECRET),  # which of the two is unconfirmed (meta.md 6)
    rate_limit_status=rate_limit_status,
)
