"""Connecting pages by Facebook Login: ``meta.md`` 7.2. Every page that the person may post to becomes a connection."""

from collections.abc import Mapping, Sequence
from typing import Any

from publish.contract import Account, App, Channel, Plan, Problem, Renewed, Request, Steps, text
from publish.meta import META_SECRET, authorize_url, checked, granted
from schema.configuration import Variable

VERSION = "/v25.0"
SCOPES = (
    "pages_show_list",
    "pages_read_engagement",
    "pages_manage_metadata",
    "pages_manage_posts",
    "pages_manage_engagement",
    "instagram_basic",
    "instagram_manage_comments",
    "instagram_content_publish",
)
FIELDS = "id,name,access_token,tasks,instagram_business_account{id,username}"
PAGES = 20
"""Of a hundred pages each: more than anybody has, and an end."""

DAY = 86_400


def authorize(app: App, scopes: Sequence[str], state: str, _challenge: str) -> str:
    return authorize_url(app, "www", f"{VERSION}/dialog/oauth", scopes, state)


def connect(app: App, code: str, _verifier: str) -> Steps[list[Account]]:
    client = {"client_id": app.client_id, "client_secret": app.client_secret}
    url = app.url("graph", f"{VERSION}/oauth/access_token")
    answer = yield Request("POST", url, form=client | {"redirect_uri": app.redirect_uri, "code": code})
    short = granted(checked(answer, "exchanging the code"))["access_token"]
    form = client | {"grant_type": "fb_exchange_token", "fb_exchange_token": short}
    user = granted(checked((yield Request("POST", url, form=form)), "lengthening the token"))["access_token"]
    listed = yield Request("GET", app.url("graph", f"{VERSION}/me/permissions"), {"access_token": user})
    scopes = [
        str(item.get("permission"))
        for item in checked(listed, "reading the permissions").get("data", [])
        if item.get("status") == "granted"
    ]
    asked = yield Request("GET", app.url("graph", f"{VERSION}/me"), {"fields": "id", "access_token": user})
    person = text(checked(asked, "reading who it is").get("id"))
    pages = yield from _pages(app, user)
    usable = [page for page in pages if "CREATE_CONTENT" in (page.get("tasks") or []) and page.get("access_token")]
    if not usable:
        says = "None of your pages lets you create content; ask an administrator of the page for that right."
        raise Problem("lacking", says if pages else "You have no page, or chose none; connect again and choose one.")
    for page in usable:
        fields = {"subscribed_fields": "feed,mention", "access_token": page["access_token"]}
        path = f"{VERSION}/{page['id']}/subscribed_apps"
        checked((yield Request("POST", app.url("graph", path), form=fields)), "subscribing to events")
    return [_account(page, scopes, user, person) for page in usable]


def _pages(app: App, user: str) -> Steps[list[dict[str, Any]]]:
    query = {"fields": FIELDS, "limit": "100", "access_token": user}
    found: list[dict[str, Any]] = []
    for _ in range(PAGES):
        listed = yield Request("GET", app.url("graph", f"{VERSION}/me/accounts"), query)
        content = checked(listed, "listing the pages")
        found += [page for page in content.get("data", []) if isinstance(page, dict)]
        paging = content.get("paging") or {}
        after = (paging.get("cursors") or {}).get("after")
        if "next" not in paging or not after:  # that it is absent is the end (meta.md 10.7)
            break
        query = query | {"after": str(after)}
    return found


def _account(page: Mapping[str, Any], scopes: Sequence[str], user: str, person: str) -> Account:
    """The person's id stands with it: that is whom a deauthorize callback names."""
    gram = page.get("instagram_business_account") or {}
    profile = {"tasks": page.get("tasks"), "instagram": text(gram.get("id")) or None}
    secrets = {"access_token": str(page["access_token"]), "user_token": user}
    return Account(text(page["id"]), str(page.get("name") or ""), scopes, secrets, [person], profile)


def refresh(app: App, secrets: Mapping[str, str]) -> Steps[Renewed]:
    """A page's token has no end, and dies with a password or a role: it is tried, and nothing is exchanged."""
    query = {"fields": "id", "access_token": secrets["access_token"]}
    checked((yield Request("GET", app.url("graph", f"{VERSION}/me"), query)), "checking the page")
    return Renewed()


def revoke(app: App, secrets: Mapping[str, str]) -> Steps[None]:
    """Only this page's events: the person's other pages hang on the same permissions."""
    query = {"access_token": secrets["access_token"]}
    yield Request("DELETE", app.url("graph", f"{VERSION}/me/subscribed_apps"), query)


PLATFORM = Channel(
    title="Facebook Pages",
    client_id=Variable("META_APP_ID", "App dashboard: App settings, Basic, App ID"),
    client_secret=META_SECRET,
    base_url=Variable("FACEBOOK_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/facebook"),
    hosts={"www": "https://www.facebook.com", "graph": "https://graph.facebook.com"},
    scopes=SCOPES,
    needed=("pages_show_list", "pages_manage_metadata", "pages_manage_posts"),
    authorize=authorize,
    connect=connect,
    refresh=refresh,
    revoke=revoke,
    plan=Plan(check=DAY),
    signs_requests_with=(META_SECRET,),
)
