"""Reading a member's organizations: ``linkedin.md`` 1.1 and 1.2."""

from collections.abc import Callable
from typing import Any

import pytest

from ops.runtime.platform_protocol import PlatformError, Request, Response
from publish.oauth.contract import Account, App, HeldAccount
from publish.platforms.linkedin import COMMUNITY_MANAGEMENT, PLATFORM, SCOPES, connect

APP = App("id", "secret", "https://landfall.example/back", PLATFORM.hosts, scopes=COMMUNITY_MANAGEMENT)
Answers = Callable[[Request], Response | None]
ACME, ROLE = "urn:li:organization:1000", {"role": "ADMINISTRATOR", "state": "APPROVED"}


def usual(request: Request) -> Response:
    """What LinkedIn says to Ada, who administers nothing."""
    if request.url.endswith("/accessToken"):
        return Response(200, {"access_token": "t", "expires_in": 5184000, "scope": ",".join(COMMUNITY_MANAGEMENT)})
    if request.url.endswith("/v2/me"):
        return Response(200, {"id": "aDa1", "localizedFirstName": "Ada", "localizedLastName": "Lovelace"})
    if request.url.endswith("/introspectToken"):
        return Response(200, {"active": True, "auth_type": "3L", "scope": ",".join(COMMUNITY_MANAGEMENT)})
    return Response(200, {"elements": [], "paging": {"links": []}})


def walk(steps: Any, answers: Answers = lambda _: None) -> tuple[Any, list[Request]]:
    """What comes of a conversation, and what was asked; ``answers`` replace the usual ones."""
    asked: list[Request] = []
    try:
        request = next(steps)
        while True:
            asked.append(request)
            request = steps.send(answers(request) or usual(request))
    except StopIteration as end:
        return end.value, asked


def roles(*elements: Any) -> Answers:
    """These are listed, and no organization has a name."""

    def answer(request: Request) -> Response | None:
        if "/rest/organizations" in request.url:
            return Response(403, {"status": 403, "code": "ACCESS_DENIED", "message": "no"})
        if request.url.endswith("/organizationAcls"):
            return Response(200, {"elements": list(elements), "paging": {"links": []}})
        return None

    return answer


def found(answers: Answers) -> list[Account]:
    accounts, _ = walk(connect(APP, "code", "verifier"), answers)
    assert isinstance(accounts, list)
    return accounts


def test_member_of_an_application_of_community_management_is_read_without_openid() -> None:
    [account] = found(lambda _: None)
    assert (account.account_id, account.username, account.grant_id) == ("aDa1", "Ada Lovelace", "aDa1")
    assert account.profile == {"name": "Ada Lovelace", "owner": "person", "urn": "urn:li:person:aDa1"}


def test_application_without_the_product_asks_for_no_organization() -> None:
    def answer(request: Request) -> Response | None:
        if request.url.endswith("/accessToken"):
            return Response(200, {"access_token": "t", "scope": ",".join(SCOPES)})
        return Response(200, {"sub": "aDa1", "name": "Ada"}) if request.url.endswith("/v2/userinfo") else None

    accounts, asked = walk(connect(APP, "code", "verifier"), answer)
    assert [(account.account_id, account.profile["owner"]) for account in accounts] == [("aDa1", "person")]
    assert [request.url.rpartition("/")[2] for request in asked] == ["accessToken", "userinfo"]


@pytest.mark.parametrize(
    "elements",
    [
        [ROLE | {"organization": ACME}],
        [ROLE | {"organizationTarget": ACME}],
        [ROLE | {"organization": ACME, "role": "CONTENT_ADMIN"}],
        [ROLE | {"organization": ACME, "role": "CONTENT_ADMINISTRATOR"}],
        [ROLE | {"organization": ACME, "role": "DIRECT_SPONSORED_CONTENT_POSTER"}],
        [ROLE | {"organization": ACME, "role": "ANALYST"}, ROLE | {"organization": ACME}],
        [5, None, ROLE, {"organization": 7}, ROLE | {"organization": ACME}],
        [ROLE | {"organization": "urn:li:organizationBrand:7"}, ROLE | {"organization": ACME}],
    ],
)
def test_organization_with_a_role_for_posting_can_be_connected(elements: list[Any]) -> None:
    [_, acme] = found(roles(*elements))
    assert (acme.account_id, acme.unusable, acme.grant_id) == ("1000", "", "aDa1")
    assert (acme.profile["owner"], acme.profile["urn"]) == ("organization", ACME)
    assert PLATFORM.missing_scopes(acme) == []


@pytest.mark.parametrize("role", ["ANALYST", "CURATOR", "RECRUITING_POSTER", "A_ROLE_OF_TOMORROW", None])
def test_organization_without_such_a_role_is_shown_with_what_to_do(role: str | None) -> None:
    [_, acme] = found(roles(ROLE | {"organization": ACME, "role": role}))
    assert "You may not post as 1000: ask one of its administrators" in acme.unusable


@pytest.mark.parametrize("state", ["REQUESTED", "REVOKED", "REJECTED", None, "approved"])
def test_role_that_is_not_approved_is_none(state: str | None) -> None:
    assert len(found(roles(ROLE | {"organization": ACME, "state": state}))) == 1


def test_scope_that_only_an_organization_needs_is_missing_of_it_alone() -> None:
    def answer(request: Request) -> Response | None:
        granted = [scope for scope in COMMUNITY_MANAGEMENT if scope != "r_organization_social"]
        if request.url.endswith("/accessToken"):
            return Response(200, {"access_token": "t", "scope": " ".join(granted)})
        return roles(ROLE | {"organization": ACME})(request)

    [person, acme] = found(answer)
    assert (PLATFORM.missing_scopes(person), PLATFORM.missing_scopes(acme)) == ([], ["r_organization_social"])


def test_all_organizations_are_listed_however_few_a_page_holds() -> None:
    everything = [ROLE | {"organization": f"urn:li:organization:{number}"} for number in range(1, 251)]

    def answer(request: Request) -> Response | None:
        if not request.url.endswith("/organizationAcls"):
            return roles()(request)
        assert request.query is not None
        start = int(request.query["start"])
        links = [{"rel": "next"}] if start + 50 < len(everything) else []
        return Response(200, {"elements": everything[start : start + 50], "paging": {"links": links}})

    accounts, asked = walk(connect(APP, "code", "verifier"), answer)
    assert len(accounts) == 251
    names = [request for request in asked if "/rest/organizations/" in request.url]
    assert len(names) == 100, "of further ones the number is shown"


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, {}),
        Response(200, {"elements": None}),
        Response(200, {"elements": [ROLE], "paging": {"links": [{"rel": "next"}]}}),
        Response(500, {"status": 500, "message": "no"}),
        Response(403, {"status": 403, "code": "ACCESS_DENIED", "message": "no"}),
    ],
    ids=["nothing", "no list", "a list without an end", "trouble", "forbidden"],
)
def test_list_that_cannot_be_read_whole_connects_nobody_and_ends_no_connection(answer: Response) -> None:
    def answers(request: Request) -> Response | None:
        return answer if request.url.endswith("/organizationAcls") else None

    with pytest.raises(PlatformError):
        found(answers)
    held = HeldAccount("1000", {"owner": "organization"}, {"access_token": "t"})
    assert PLATFORM.check is not None
    with pytest.raises(PlatformError) as raised:
        walk(PLATFORM.check(APP, held), answers)
    assert raised.value.kind == "transient"


def test_names_are_read_together_or_one_by_one_and_none_is_no_reason_to_stop() -> None:
    listed = roles(ROLE | {"organization": ACME}, ROLE | {"organization": "urn:li:organization:2000"})

    def together(request: Request) -> Response | None:
        named = {"1000": {"localizedName": "Acme", "vanityName": "acme"}, "2000": "odd"}
        return Response(200, {"results": named}) if "organizationsLookup" in request.url else listed(request)

    accounts, asked = walk(connect(APP, "code", "verifier"), together)
    assert [account.username for account in accounts] == ["Ada Lovelace", "Acme", ""]
    assert accounts[1].profile["vanity_name"] == "acme"
    assert asked[3].url.endswith("/rest/organizationsLookup?ids=List(1000,2000)")

    def one_by_one(request: Request) -> Response | None:
        found = Response(200, {"localizedName": "Bakery"})
        return found if request.url.endswith("/rest/organizations/2000") else listed(request)

    assert [account.username for account in found(one_by_one)] == ["Ada Lovelace", "", "Bakery"]

    def trouble(request: Request) -> Response | None:
        return Response(503, {}) if "organizationsLookup" in request.url else listed(request)

    with pytest.raises(PlatformError) as raised:
        found(trouble)
    assert raised.value.kind == "transient"


@pytest.mark.parametrize(
    ("elements", "lost"),
    [
        ([ROLE | {"organization": ACME}], False),
        ([ROLE | {"organization": ACME, "role": "ANALYST"}], True),
        ([ROLE | {"organization": ACME, "state": "REVOKED"}], True),
        ([ROLE | {"organization": "urn:li:organization:2000"}], True),
        ([], True),
    ],
)
def test_check_of_an_organization_finds_a_lost_role_and_that_of_a_member_asks_for_none(
    elements: list[Any], lost: Any
) -> None:
    assert PLATFORM.check is not None
    secrets = {"access_token": "t"}
    acme = HeldAccount("1000", {"owner": "organization"}, secrets)
    if lost:
        with pytest.raises(PlatformError, match="may not post as it any more") as raised:
            walk(PLATFORM.check(APP, acme), roles(*elements))
        assert raised.value.kind == "lacking"
    else:
        walk(PLATFORM.check(APP, acme), roles(*elements))
    for profile in ({"owner": "person"}, {}):
        _, asked = walk(PLATFORM.check(APP, HeldAccount("aDa1", profile, secrets)), roles(*elements))
        assert [request.url.rpartition("/")[2] for request in asked] == ["introspectToken"]


def test_held_account_shows_no_secret() -> None:
    assert "secret-word" not in repr(HeldAccount("1", {}, {"access_token": "secret-word"}))
