"""Connecting members of LinkedIn, and the organizations for which they may post: ``linkedin.md`` 1.

Most applications get no refresh token: a person comes back. An application of Community Management is another kind of
application, with other scopes, which the operator names (``linkedin.md`` 1.1). A member's token is that of their
organizations too, so that all connections of one member hang on one grant.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

from ops.runtime.platform_protocol import (
    ENDED,
    LONGEST_NAME,
    JsonObject,
    PlatformError,
    RateLimitStatus,
    Request,
    Response,
    Steps,
    asked_to_wait,
    label,
    member,
    objects,
    text,
)
from publish.oauth.contract import (
    Account,
    App,
    HeldAccount,
    OAuth,
    OAuthProvider,
    Profile,
    RefreshPolicy,
    TokenLifetimes,
    TokenUpdate,
    scope_list,
)
from publish.oauth.protocol import Token, account_of, answered, bearer, exchange, read_account, refreshes, revokes
from publish.platforms._linkedin import ORGANIZATION, PERSON, is_organization, may_post, urn_of, versioned
from schema.configuration import Variable

DAY = 86_400
SCOPES = ("openid", "profile", "w_member_social")
COMMUNITY_MANAGEMENT = (
    "r_basicprofile",
    "w_member_social",
    "w_organization_social",
    "r_organization_social",
    "rw_organization_admin",
    # Asked for with the others, since another set later would end the tokens of before (linkedin.md 1); needed for
    # comments alone.
    "w_member_social_feed",
    "r_organization_social_feed",
    "w_organization_social_feed",
)
"""In place of ``SCOPES``: an application with this product has no other, and no ``openid`` (``linkedin.md`` 1.1)."""

MEMBER_NEEDS = ("w_member_social",)
ORGANIZATION_NEEDS = ("w_organization_social", "r_organization_social", "rw_organization_admin")
"""To post, to look for a post whose outcome is unknown, and to see the role."""

ROLE_PAGES, ROLES_OF_A_PAGE = 20, 100
MOST_NAMES = 100
"""Organizations whose names are read; of further ones the number is shown."""

_ORGANIZATION = re.compile(r"urn:li:organization:([0-9]{1,19})")

ENDED_BY = ("revoked", "expired")
"""What introspection says of a token that is not active (``linkedin.md`` 1). The errors of the token endpoint do not
tell a refresh token that is over from a request that it dislikes."""


def connect(app: App, code: str, verifier: str) -> Steps[list[Account]]:
    """Return the member, and each organization in which they have a role."""
    token = yield from exchange(OAUTH, app, code, verifier)
    person = yield from (read_account(app, PROFILE, token) if "openid" in token.scopes else _basic_profile(app, token))
    profile = {**person.profile, "owner": PERSON, "urn": urn_of(PERSON, person.account_id)}
    found = [_account(token, person.account_id, person.username, profile, MEMBER_NEEDS, person.account_id)]
    if ORGANIZATION_NEEDS[-1] not in token.scopes:
        return found
    roles = yield from _roles(app, token.access_token)
    names = yield from _names(app, token.access_token, list(roles)[:MOST_NAMES])
    for id_, held in roles.items():
        name, vanity_name = names.get(id_, ("", ""))
        about = {"owner": ORGANIZATION, "urn": urn_of(ORGANIZATION, id_), "vanity_name": vanity_name, "roles": held}
        unusable = "" if may_post(held) else _may_not_post(name or id_)
        found.append(_account(token, id_, name, about, ORGANIZATION_NEEDS, person.account_id, unusable))
    return found


def _account(
    token: Token,
    id_: str,
    name: str,
    profile: Mapping[str, object],
    needs: Sequence[str],
    grant: str,
    unusable: str = "",
) -> Account:
    return replace(account_of(token, id_, name, {}), profile=profile, needs=needs, grant_id=grant, unusable=unusable)


def _may_not_post(name: str) -> str:
    return (
        f"You may not post as {name}: ask one of its administrators for the role of administrator or content"
        " administrator of the page, and connect again."
    )


def _basic_profile(app: App, token: Token) -> Steps[Account]:
    """Read the member with an application of Community Management (``linkedin.md`` 1.1)."""
    answer = yield Request("GET", app.url("api", "/v2/me"), headers=bearer(token.access_token))
    me = answered(answer, "reading the profile")
    parts = (label(me.get("localizedFirstName")), label(me.get("localizedLastName")))
    name = " ".join(filter(None, parts))
    return account_of(token, text(me.get("id")), label(name), {"name": label(name)})


def _roles(app: App, token: str, ended_by: Collection[str] | None = None) -> Steps[dict[str, list[str]]]:
    """Return the roles of the token's member in organizations, by the organization's id; approved ones alone.

    ``ended_by`` is None while an account is being connected. Raises PlatformError; a list that could not be read to
    its end is none.
    """
    found: dict[str, list[str]] = {}
    start = 0
    for _ in range(ROLE_PAGES):
        query = {"q": "roleAssignee", "state": "APPROVED", "start": str(start), "count": str(ROLES_OF_A_PAGE)}
        url = app.url("api", "/rest/organizationAcls")
        answer = yield Request("GET", url, query, headers=versioned(token, "FINDER"))
        content = answered(answer, "listing the organizations", ended_by)
        if not isinstance(content.get("elements"), list):
            break
        elements = objects(content["elements"])
        for element in elements:
            # One reader found the key of before (linkedin.md 1.2). A brand is no organization to post as.
            urn = _ORGANIZATION.fullmatch(text(element.get("organization") or element.get("organizationTarget")))
            if urn is not None and element.get("state") == "APPROVED":
                found.setdefault(urn[1], []).append(text(element.get("role")))
        start += len(elements)
        more = any(link.get("rel") == "next" for link in objects(member(content, "paging").get("links")))
        if not elements or (not more and len(elements) < ROLES_OF_A_PAGE):
            return found
    raise PlatformError("transient", "The platform did not say which organizations are yours; try again later.")


def _names(app: App, token: str, ids: Sequence[str]) -> Steps[dict[str, tuple[str, str]]]:
    """Return name and vanity name of organizations by id; of those that are shown.

    All at once, which is not for the development tier, and then one by one, which is for administrators alone
    (``linkedin.md`` 1.2). That a name cannot be had is no reason not to connect.
    """
    if not ids:
        return {}
    url = app.url("api", f"/rest/organizationsLookup?ids=List({','.join(ids)})")
    listed = yield from _shown(Request("GET", url, headers=versioned(token)))
    found = {id_: _named(one) for id_, one in member(listed, "results").items() if isinstance(one, dict)}
    for id_ in [id_ for id_ in ids if not any(found.get(id_, ()))]:
        found[id_] = _named(
            (yield from _shown(Request("GET", app.url("api", f"/rest/organizations/{id_}"), headers=versioned(token))))
        )
    return found


def _shown(request: Request) -> Steps[JsonObject]:
    """Return what is shown; nothing where it is refused. Raises PlatformError for trouble that passes."""
    answer = yield request
    if 400 <= answer.status < 500 and answer.status != 429:
        return {}
    return answered(answer, "reading an organization")


def _named(organization: JsonObject) -> tuple[str, str]:
    return label(organization.get("localizedName")), label(organization.get("vanityName"))


def verify_and_subscribe(app: App, account: Account) -> Steps[None]:
    """Is it a member's own token, and has the member a role with which one posts as the organization.

    A token of two legs, the application's, could post for nobody.
    """
    found = yield from _introspected(app, account.secrets, account.needs)
    if found.get("auth_type", "3L") != "3L":
        raise PlatformError("lacking", "The platform gave a token of another kind than a member's; connect again.")
    if is_organization(account.profile):
        yield from _check_role(app, account.secrets, account.account_id)


def _check_role(app: App, secrets: Mapping[str, str], id_: str, ended_by: Collection[str] | None = None) -> Steps[None]:
    """Raises PlatformError where the member may not post as the organization any more (``linkedin.md`` 1.2)."""
    roles = yield from _roles(app, secrets["access_token"], ended_by)
    if not may_post(roles.get(id_, ())):
        raise PlatformError("lacking", ROLE_LOST, "role")


ROLE_LOST = (
    "The person who connected this organization may not post as it any more. Have one of its administrators on"
    " LinkedIn make them administrator or content administrator of the page again, or let somebody who is one connect"
    " it; then connect it again."
)


def check(app: App, held: HeldAccount) -> Steps[TokenUpdate]:
    """A member, or LinkedIn itself, may end a token at any time: introspection costs none of the member's calls.

    A role ends without a word, and the token stays good (``linkedin.md`` 1.2).
    """
    organization = is_organization(held.profile)
    yield from _introspected(app, held.secrets, ORGANIZATION_NEEDS if organization else MEMBER_NEEDS)
    if organization:
        yield from _check_role(app, held.secrets, held.account_id, ())
    return TokenUpdate()


def _introspected(app: App, secrets: Mapping[str, str], needs: Sequence[str]) -> Steps[JsonObject]:
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
    if scopes and (missing := [scope for scope in needs if scope not in scopes]):
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
        "r_basicprofile": "knowing whose account it is",
        "w_member_social": "publishing and commenting as a member",
        "w_member_social_feed": "commenting as a member",
        "w_organization_social": "publishing as an organization",
        "r_organization_social": "looking for posts of an organization",
        "rw_organization_admin": "finding your organizations",
        "r_organization_social_feed": "reading comments on posts of an organization",
        "w_organization_social_feed": "commenting as an organization",
    },
    needed=MEMBER_NEEDS,
    products={"community_management": COMMUNITY_MANAGEMENT},
    product_variable=Variable(
        "LINKEDIN_PRODUCT", "community_management, if your app has that product, to connect organizations; else empty"
    ),
    shares_tokens=True,
    oauth=OAUTH,
    connect=connect,
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
