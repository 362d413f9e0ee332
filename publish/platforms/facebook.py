"""Connecting pages, and the accounts of Instagram behind them, by Facebook Login: ``meta.md`` 7.2.

A person may have many; which of them are connected is theirs to choose. A page and its Instagram account share the
page's token, and the events of both come as long as the page has the application installed (``meta.md`` 1.4).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from publish.contract import Account, App, Channel, Plan, Problem, Renewed, Request, Steps, seconds, text, told
from publish.meta import META_SECRET, authorize_url, checked, granted, usage
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
PAGE_NEEDS = ("pages_show_list", "pages_manage_metadata", "pages_manage_posts")
GRAM_NEEDS = (
    *("pages_show_list", "pages_manage_metadata"),
    *("instagram_basic", "instagram_manage_comments", "instagram_content_publish"),
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
    if not pages:
        raise Problem("lacking", "You have no page, or chose none; connect again and choose one.")
    return [account for page in pages for account in _accounts(page, scopes, user, person)]


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


def _accounts(page: Mapping[str, Any], scopes: Sequence[str], user: str, person: str) -> list[Account]:
    """A page, and the Instagram account behind it. With both stands the person, whom a deauthorize callback names."""
    gram = page.get("instagram_business_account") or {}
    id_, name = text(page.get("id")), str(page.get("name") or "")
    usable = "CREATE_CONTENT" in (page.get("tasks") or []) and page.get("access_token")
    unusable = "" if usable else f"You may not create content on {name}; ask one of its administrators for that right."
    secrets = {"access_token": str(page.get("access_token") or ""), "user_token": user}
    profile = {"tasks": page.get("tasks")}
    accounts = [
        Account(id_, name, scopes, secrets, [person], profile, needs=PAGE_NEEDS, grant_id=id_, unusable=unusable)
    ]
    if text(gram.get("id")):
        accounts.append(
            Account(
                text(gram["id"]),
                str(gram.get("username") or ""),
                scopes,
                secrets,
                [person],
                {"page": id_, "page_name": name},
                platform="instagram",
                needs=GRAM_NEEDS,
                grant_id=id_,
                unusable=unusable,
            )
        )
    return accounts


def take_up(app: App, account: Account) -> Steps[None]:
    """Is it a page's own token of this application, is the account in reach with it, and are its events sent."""
    token = account.secrets["access_token"]
    found = yield from _inspected(app, token)
    if found.get("type") != "PAGE" or text(found.get("profile_id") or account.grant_id) != account.grant_id:
        raise Problem("lacking", "The platform gave a token of another kind than the page's; connect again.")
    query = {"fields": "id", "access_token": token}
    reached = yield Request("GET", app.url("graph", f"{VERSION}/{account.account_id}"), query)
    checked(reached, "looking at the account")
    fields = {"subscribed_fields": "feed,mention", "access_token": token}
    path = f"{VERSION}/{account.grant_id}/subscribed_apps"
    checked((yield Request("POST", app.url("graph", path), form=fields)), "subscribing to events")


def _inspected(app: App, token: str) -> Steps[dict[str, Any]]:
    """What the platform says about a token of ours. Raises Problem for one that is over, or is another's."""
    query = {"input_token": token, "access_token": f"{app.client_id}|{app.client_secret}"}
    answer = yield Request("GET", app.url("graph", f"{VERSION}/debug_token"), query)
    found = checked(answer, "checking the token").get("data")
    if not isinstance(found, dict):
        raise Problem("transient", "The platform did not say what it thinks of the token; try again later.")
    error = found.get("error") or {}
    if not found.get("is_valid") or text(found.get("app_id")) != app.client_id:
        said = f"{error.get('code', '-')}/{error.get('subcode', '-')}"
        raise Problem("grant", "The platform no longer accepts this connection; connect the account again.", said)
    return found


def check(app: App, secrets: Mapping[str, str]) -> Steps[Renewed]:
    """A page's token has no end but dies with a password or a role; what may be read has one (``meta.md`` 7.2)."""
    found = yield from _inspected(app, secrets["access_token"])
    lacking = [scope for scope in PAGE_NEEDS[:2] if scope not in (found.get("scopes") or PAGE_NEEDS)]
    if lacking:
        says = f"A permission was taken away: connect again and leave {', '.join(lacking)} ticked."
        raise Problem("lacking", says)
    ends = seconds(found.get("data_access_expires_at"))  # since 1970, and 0 for never
    return Renewed(ends_at=None if ends is None else datetime.fromtimestamp(ends, UTC))


def revoke(app: App, secrets: Mapping[str, str], *, last: bool) -> Steps[None]:
    """This page's events; the permissions too once no other page of the person hangs on them (``meta.md`` 7.2)."""
    query = {"access_token": secrets["access_token"]}
    told((yield Request("DELETE", app.url("graph", f"{VERSION}/me/subscribed_apps"), query)))
    if last and "user_token" in secrets:
        query = {"access_token": secrets["user_token"]}
        told((yield Request("DELETE", app.url("graph", f"{VERSION}/me/permissions"), query)))


PLATFORM = Channel(
    title="Facebook Pages",
    client_id=Variable("META_APP_ID", "App dashboard: App settings, Basic, App ID"),
    client_secret=META_SECRET,
    base_url=Variable("FACEBOOK_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/facebook"),
    hosts={"www": "https://www.facebook.com", "graph": "https://graph.facebook.com"},
    scopes=SCOPES,
    needed=PAGE_NEEDS,
    authorize=authorize,
    connect=connect,
    take_up=take_up,
    check=check,
    revoke=revoke,
    plan=Plan(check=DAY),
    signs_requests_with=(META_SECRET,),
    usage=usage,
)
