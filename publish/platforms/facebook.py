"""Connecting pages, and the accounts of Instagram behind them, by Facebook Login: ``meta.md`` 7.2.

A person may have many; which of them are connected is theirs to choose. A page and its Instagram account share the
page's token, and the events of both come as long as the page has the application installed (``meta.md`` 1.4).
"""

from collections.abc import Iterable, Mapping, Sequence

from ops.runtime.graph_api import ENDED_BY, VERSION, checked, problem_of, rate_limit_status
from ops.runtime.platform_protocol import (
    ENDED,
    JsonObject,
    PlatformError,
    Request,
    Response,
    Steps,
    label,
    member,
    moment,
    objects,
    secret,
    text,
)
from publish.oauth.contract import (
    Account,
    App,
    HeldAccount,
    OAuth,
    OAuthProvider,
    RefreshPolicy,
    Subscription,
    TokenUpdate,
    scope_list,
)
from publish.platforms._meta import (
    META_SECRET,
    VERIFY_TOKENS,
    accept_revocation,
    account_half,
    application_half,
    both,
    granted,
    subscribe,
)
from schema.configuration import Variable

SCOPES = (
    "pages_show_list",
    "pages_read_engagement",
    "pages_manage_metadata",
    "pages_manage_posts",
    "pages_manage_engagement",
    # Without the next, figures come empty and others' comments not at all, and nothing says why (meta.md 7.2).
    "read_insights",
    "pages_read_user_content",
    "instagram_basic",
    "instagram_manage_comments",
    "instagram_manage_insights",
    "instagram_content_publish",
)
PAGE_NEEDS = ("pages_show_list", "pages_manage_metadata", "pages_manage_posts")
INSTAGRAM_NEEDS = (
    *("pages_show_list", "pages_manage_metadata"),
    *("instagram_basic", "instagram_manage_comments", "instagram_content_publish"),
)
BUSINESS = "business_management"
"""Without it the pages of a business portfolio are not listed; most people have none, so it is asked for on request."""

CONTENTS = "instagram_manage_contents"
"""For deleting posts of Instagram (``meta.md`` 8.5). It is asked for on request: the dialog refuses an application that
was not given it as a whole.
"""

MAY_CREATE = {"CREATE_CONTENT", "MANAGE", "PROFILE_PLUS_CREATE_CONTENT", "PROFILE_PLUS_FULL_CONTROL"}
"""Tasks with which one may create content (``meta.md`` 1.4, 7.2), also as pages of the new experience name them."""

FIELDS = "id,name,access_token,tasks,instagram_business_account{id,username}"
PLAIN_FIELDS = "id,name,access_token,instagram_business_account{id,username}"
"""Of a page that was not found by ``/me/accounts``: ``tasks`` is documented for that edge alone."""

PAGE_EVENTS, INSTAGRAM_EVENTS = ("feed", "mention"), ("comments",)
"""What is subscribed to, in two vocabularies (``meta.md`` 1.5): of a page, at both halves; and of the accounts behind
pages, whose events come as long as the page has the application, and the application the field (``meta.md`` 1.4).
"""

PAGES = 20
"""Of a hundred pages each: more than anybody has, and an end."""

BUSINESSES, BY_ID = 20, 50
"""Business portfolios that are looked through, and pages that are read one by one: an end for these too."""

DAY = 86_400

OAUTH = OAuth(
    authorize=("www", f"{VERSION}/dialog/oauth"),
    token=("graph", f"{VERSION}/oauth/access_token"),
    scope_separator=",",
)


def connect(app: App, code: str, _verifier: str) -> Steps[list[Account]]:
    client = {"client_id": app.client_id, "client_secret": app.client_secret}
    url = app.url(*OAUTH.token)
    # Without grant_type (meta.md 7.2).
    answer = yield Request("POST", url, form=client | {"redirect_uri": app.redirect_uri, "code": code})
    short = granted(checked(answer, "exchanging the code"))["access_token"]
    form = client | {"grant_type": "fb_exchange_token", "fb_exchange_token": short}
    user = granted(checked((yield Request("POST", url, form=form)), "lengthening the token"))["access_token"]
    listed = yield Request("GET", app.url("graph", f"{VERSION}/me/permissions"), {"access_token": user})
    scopes = scope_list(
        [
            item.get("permission")
            for item in objects(checked(listed, "reading the permissions").get("data"))
            if item.get("status") == "granted"
        ]
    )
    asked = yield Request("GET", app.url("graph", f"{VERSION}/me"), {"fields": "id", "access_token": user})
    person = text(checked(asked, "reading who it is").get("id"))
    if not person:
        raise PlatformError("transient", "The platform did not say who it is; start connecting again.")
    pages = yield from _pages(app, user, scopes)
    if not pages:
        raise PlatformError("lacking", NO_PAGE if BUSINESS in scopes else f"{NO_PAGE} {NO_BUSINESS}")
    return [account for page in pages for account in _accounts(page, scopes, user, person)]


NO_PAGE = "You have no page, or chose none; connect again and choose one."
NO_BUSINESS = (
    f"A page that belongs to a business portfolio is shown only with the permission {BUSINESS}: start at"
    f" /api/auth/facebook?optional_scopes={BUSINESS} to be asked for it."
)


def _pages(app: App, user: str, scopes: Sequence[str]) -> Steps[list[JsonObject]]:
    """All pages that can be found: those listed, those of business portfolios, and those that are named by id alone."""
    found = _by_id((yield from _listed(app, "/me/accounts", FIELDS, user, "listing the pages")))
    if not found and BUSINESS in scopes:
        businesses = yield from _listed(app, "/me/businesses", "id", user, "listing the business portfolios")
        for business in list(_by_id(businesses))[:BUSINESSES]:
            for edge in ("owned_pages", "client_pages"):
                path = f"/{business}/{edge}"
                of_business = yield from _listed(app, path, PLAIN_FIELDS, user, "listing the pages of a portfolio")
                found = _by_id(of_business) | found
    # Chosen in the dialog, and in no list all the same (meta.md 7.2).
    inspected = yield from _inspected(app, user)
    for id_ in [id_ for id_ in _chosen(inspected) if id_ not in found][:BY_ID]:
        query = {"fields": PLAIN_FIELDS, "access_token": user}
        answer = yield Request("GET", app.url("graph", f"{VERSION}/{id_}"), query)
        try:
            page = checked(answer, "reading a page")
        except PlatformError as problem:
            if problem.kind == "transient":
                raise
            continue  # it is no page, or not this person's: 100/33, 10, 2xx (meta.md 7.4)
        found |= _by_id([page])
    return list(found.values())


def _by_id(nodes: Iterable[JsonObject]) -> dict[str, JsonObject]:
    return {text(node.get("id")): node for node in nodes if text(node.get("id"))}


def _chosen(inspected: Mapping[str, object]) -> list[str]:
    """Ids of the pages that were chosen in the dialog, by ``granular_scopes`` of the permissions on pages."""
    ids = [
        text(id_)
        for item in objects(inspected.get("granular_scopes"))
        if text(item.get("scope")).startswith("pages_") and isinstance(item.get("target_ids"), list)
        for id_ in item["target_ids"]
    ]
    return [id_ for id_ in dict.fromkeys(ids) if id_.isascii() and id_.isdecimal()]


def _listed(app: App, path: str, fields: str, user: str, doing: str) -> Steps[list[JsonObject]]:
    """All objects of an edge, up to an end."""
    query = {"fields": fields, "limit": "100", "access_token": user}
    found: list[JsonObject] = []
    for _ in range(PAGES):
        content = checked((yield Request("GET", app.url("graph", f"{VERSION}{path}"), query)), doing)
        found += objects(content.get("data"))
        paging = member(content, "paging")
        after = text(member(paging, "cursors").get("after"))
        if "next" not in paging or not after:  # that it is absent is the end (meta.md 10.7)
            break
        query = query | {"after": after}
    return found


def _accounts(page: Mapping[str, object], scopes: Sequence[str], user: str, person: str) -> list[Account]:
    """A page, and the Instagram account behind it. With both stands the person, whom a deauthorize callback names."""
    instagram = member(page, "instagram_business_account")
    id_, name, token = text(page.get("id")), label(page.get("name")), secret(page.get("access_token"))
    # Where no tasks are named the page's own token must do; what it may shows when the account is verified.
    tasks = scope_list(page.get("tasks"))
    usable = token and ("tasks" not in page or not MAY_CREATE.isdisjoint(tasks))
    unusable = "" if usable else f"You may not create content on {name}; ask one of its administrators for that right."
    secrets = {"access_token": token, "user_token": user}
    profile = {"tasks": tasks}
    accounts = [
        Account(id_, name, scopes, secrets, [person], profile, needs=PAGE_NEEDS, grant_id=id_, unusable=unusable)
    ]
    if text(instagram.get("id")):
        accounts.append(
            Account(
                text(instagram["id"]),
                label(instagram.get("username")),
                scopes,
                secrets,
                [person],
                {"page": id_, "page_name": name},
                platform="instagram",
                needs=INSTAGRAM_NEEDS,
                grant_id=id_,
                unusable=unusable,
            )
        )
    return accounts


def verify_and_subscribe(app: App, account: Account) -> Steps[None]:
    """Is it a page's own token of this application, is the account in reach with it, and are its events sent."""
    token = account.secrets["access_token"]
    found = yield from _inspected(app, token)
    if found.get("type") != "PAGE" or text(found.get("profile_id") or account.grant_id) != account.grant_id:
        raise PlatformError("lacking", "The platform gave a token of another kind than the page's; connect again.")
    query = {"fields": "id", "access_token": token}
    reached = yield Request("GET", app.url("graph", f"{VERSION}/{account.account_id}"), query)
    checked(reached, "looking at the account")
    if missing := _missing_scopes(found, account.needs):
        # Every scope was granted (account_selection.reason_unusable), so the person's right on the page is missing.
        message = f"You may not do everything on {account.username} ({', '.join(missing)}); leave it out, or ask one of"
        raise PlatformError("lacking", f"{message} its administrators for that right.")
    yield from subscribe(app, f"{VERSION}/{account.grant_id}/subscribed_apps", token, PAGE_EVENTS)


def subscription(app: App, held: HeldAccount) -> Steps[Subscription]:
    """Keep the page's half, and the application's: of the page, or of the account behind it (``meta.md`` 1.4).

    That of Instagram is entered in the dashboard: whether a call may change it is not confirmed (``meta.md`` 1.1).
    """
    page = held.grant_id or held.account_id
    of_page = yield from account_half(
        app, f"{VERSION}/{page}/subscribed_apps", held.secrets["access_token"], PAGE_EVENTS
    )
    behind = held.platform == "instagram"
    kind, fields = ("instagram", INSTAGRAM_EVENTS) if behind else ("page", PAGE_EVENTS)
    path = f"{VERSION}/{app.client_id}/subscriptions"
    return both(of_page, (yield from application_half(app, path, kind, fields, writable=not behind)))


def _missing_scopes(inspected: Mapping[str, object], needs: Sequence[str]) -> list[str]:
    """What a token lacks, where it is said what it has."""
    scopes = scope_list(inspected.get("scopes"))
    return [scope for scope in needs if scope not in scopes] if scopes else []


def _inspected(app: App, token: str) -> Steps[JsonObject]:
    """Inspect a token. Raises PlatformError for one that is over or of another application."""
    query = {"input_token": token, "access_token": f"{app.client_id}|{app.client_secret}"}
    answer = yield Request("GET", app.url("graph", f"{VERSION}/debug_token"), query)
    found = checked(answer, "checking the token").get("data")
    if not isinstance(found, dict):
        raise PlatformError("transient", "The platform did not say what it thinks of the token; try again later.")
    error = found.get("error")
    if found.get("is_valid") is not True:
        raise _invalid(found, error if isinstance(error, dict) else {}, answer)
    if text(found.get("app_id")) != app.client_id:
        raise PlatformError(
            "app", "The token belongs to another application; META_APP_ID must be the one it was given to."
        )
    return found


def _invalid(found: Mapping[str, object], error: JsonObject, answer: Response) -> PlatformError:
    """Return why a token is not valid. That the platform says so ends the grant, unless a code means something else."""
    if error:
        return problem_of(error, answer, "checking the token")
    if found.get("is_valid") is False:
        return PlatformError("grant", ENDED, "190/-")
    return PlatformError("transient", "The platform did not say whether the token is valid; try again later.")


def check(app: App, held: HeldAccount) -> Steps[TokenUpdate]:
    """A page's token has no end but dies with a password or a role; what may be read has one (``meta.md`` 7.2).

    Both ends are seconds since 1970, and 0 for never. A page's token has one where the person's was a short one.
    """
    found = yield from _inspected(app, held.secrets["access_token"])
    if missing := _missing_scopes(found, PAGE_NEEDS[:2]):
        message = f"A permission was taken away: connect again and leave {', '.join(missing)} ticked."
        raise PlatformError("lacking", message)
    ends = [moment(found.get(name)) for name in ("data_access_expires_at", "expires_at")]
    return TokenUpdate(ends_at=min((end for end in ends if end is not None), default=None))


def revoke(app: App, secrets: Mapping[str, str], *, last: bool) -> Steps[None]:
    """This page's events; the permissions too once no other page of the person hangs on them (``meta.md`` 7.2)."""
    query = {"access_token": secrets["access_token"]}
    accept_revocation((yield Request("DELETE", app.url("graph", f"{VERSION}/me/subscribed_apps"), query)))
    if last and "user_token" in secrets:
        query = {"access_token": secrets["user_token"]}
        accept_revocation((yield Request("DELETE", app.url("graph", f"{VERSION}/me/permissions"), query)))


PLATFORM = OAuthProvider(
    title="Facebook Pages",
    client_id=Variable("META_APP_ID", "App dashboard: App settings, Basic, App ID"),
    client_secret=META_SECRET,
    base_url=Variable("FACEBOOK_BASE_URL", "Only to point at a sandbox: http://127.0.0.1:8090/facebook"),
    hosts={
        "www": "https://www.facebook.com",
        "graph": "https://graph.facebook.com",
        "rupload": "https://rupload.facebook.com",
    },
    scopes=SCOPES,
    scope_uses={
        "pages_show_list": "finding your pages",
        "pages_read_engagement": "reading posts",
        "pages_manage_metadata": "receiving events",
        "pages_manage_posts": "publishing on pages",
        "pages_manage_engagement": "answering and hiding comments on pages",
        "read_insights": "reading the figures of pages and their posts",
        "pages_read_user_content": "reading what others write on pages",
        "instagram_basic": "connecting the Instagram accounts behind pages",
        "instagram_manage_comments": "answering and hiding comments on Instagram",
        "instagram_manage_insights": "reading figures on Instagram",
        "instagram_content_publish": "publishing on Instagram",
    },
    needed=PAGE_NEEDS,
    oauth=OAUTH,
    connect=connect,
    verify_and_subscribe=verify_and_subscribe,
    check=check,
    subscription=subscription,
    tells_of_others=True,
    verify_tokens=VERIFY_TOKENS,
    revoke=revoke,
    refresh_policy=RefreshPolicy(check=DAY),
    ended_by=ENDED_BY,
    optional_scopes=(BUSINESS, CONTENTS),
    optional_variable=Variable(
        "FACEBOOK_OPTIONAL_SCOPES",
        f"Permissions asked for beside the usual ones, separated by commas: {BUSINESS}, {CONTENTS}",
    ),
    signs_requests_with=(META_SECRET,),
    rate_limit_status=rate_limit_status,
)
