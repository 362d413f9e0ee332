"""``linkedin.md`` by its numbers."""

import asyncio
import io
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
import requests
from linkedin_api.clients.auth.client import AuthClient
from linkedin_api.clients.restli.client import RestliClient

from ops.sandbox.platforms.linkedin import CLIENT_ID, CLIENT_SECRET, LinkedIn, shown
from tests.sandbox.conftest import Elsewhere, Stand

CALLBACK = "https://app.example/callback"
SCOPES = "openid profile w_member_social"
CLIENT = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
DAY = 86400


@dataclass
class Person:
    stand: Stand
    token: dict[str, Any]
    urn: str = ""

    async def call(
        self, method: str, path: str, version: str | None = "202609", **options: Any
    ) -> tuple[int, Any, Any]:
        headers = {"Authorization": f"Bearer {self.token['access_token']}", **options.pop("headers", {})}
        if version:
            headers["Linkedin-Version"] = version
        url = path if path.startswith("http") else f"{self.stand.url}/linkedin{path}"
        async with self.stand.http.request(method, url, headers=headers, **options) as response:
            body = await response.json() if response.content_type == "application/json" else await response.text()
            return response.status, body, response.headers

    async def post(self, commentary: str = "hello", **fields: Any) -> tuple[int, Any, Any]:
        body = {
            "author": self.urn,
            "commentary": commentary,
            "visibility": "PUBLIC",
            "distribution": {"feedDistribution": "MAIN_FEED"},
            "lifecycleState": "PUBLISHED",
            **fields,
        }
        return await self.call("POST", "/rest/posts", json=body)


def question(stand: Stand, **other: str) -> str:
    query = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": CALLBACK,
        "scope": SCOPES,
        "state": "s1",
        **other,
    }
    return f"{stand.url}/linkedin/oauth/v2/authorization?{urlencode(query)}"


async def form(stand: Stand, path: str, **fields: str) -> tuple[int, dict[str, Any]]:
    async with stand.http.post(f"{stand.url}/linkedin/oauth/v2/{path}", data=CLIENT | fields) as response:
        return response.status, await response.json()


async def exchange(stand: Stand, **other: str) -> tuple[int, dict[str, Any]]:
    await stand.command("redirects", platform="linkedin", redirect_uri=CALLBACK)
    fields = {"grant_type": "authorization_code", "redirect_uri": CALLBACK, **other}
    if "code" not in fields:
        fields["code"] = (await stand.consent(question(stand)))["code"]
    return await form(stand, "accessToken", **fields)


async def connected(stand: Stand) -> Person:
    status, token = await exchange(stand)
    assert status == 200, token
    person = Person(stand, token)
    person.urn = "urn:li:person:" + (await person.call("GET", "/v2/userinfo"))[1]["sub"]
    return person


async def test_access_lives_for_60_days_and_nobody_gets_a_refresh_token_unasked(stand: Stand) -> None:
    person = await connected(stand)
    assert (person.token["expires_in"], "refresh_token" in person.token) == (5_184_000, False)
    await stand.command("clock", jump=60 * DAY - 60)
    assert (await person.call("GET", "/v2/userinfo"))[0] == 200
    await stand.command("clock", jump=61)
    status, answer, _ = await person.call("GET", "/v2/userinfo")
    assert (status, answer["code"]) == (401, "EXPIRED_ACCESS_TOKEN")
    assert (await form(stand, "introspectToken", token=person.token["access_token"]))[1]["status"] == "expired"


async def test_refresh_does_not_extend_the_365_days(stand: Stand) -> None:
    platform = stand.server.simulation.platforms["linkedin"]
    assert isinstance(platform, LinkedIn)
    platform.partner = True
    person = await connected(stand)
    refresh = person.token["refresh_token"]
    assert person.token["refresh_token_expires_in"] == 365 * DAY

    async def renewed() -> tuple[int, dict[str, Any]]:
        return await form(stand, "accessToken", grant_type="refresh_token", refresh_token=refresh)

    await stand.command("clock", jump=59 * DAY)
    answer = (await renewed())[1]
    assert answer["refresh_token_expires_in"] == pytest.approx(306 * DAY, abs=60)
    await stand.command("clock", jump=301 * DAY)
    answer = (await renewed())[1]
    assert answer["expires_in"] == pytest.approx(5 * DAY, abs=60), "both end in five days"
    await stand.command("clock", jump=6 * DAY)
    assert (await renewed())[0] == 400


async def test_refresh_token_stays_or_another_one_takes_its_place(stand: Stand) -> None:
    """``linkedin.md`` 9: which of both is not confirmed."""
    platform = stand.server.simulation.platforms["linkedin"]
    assert isinstance(platform, LinkedIn)
    platform.partner = True
    refresh = (await connected(stand)).token["refresh_token"]
    given = {"grant_type": "refresh_token", "refresh_token": refresh}
    assert (await form(stand, "accessToken", **given))[1]["refresh_token"] == refresh
    await stand.command("variants", platform="linkedin", name="refresh_token", variant="rotated")
    other = (await form(stand, "accessToken", **given))[1]["refresh_token"]
    assert (await form(stand, "accessToken", **given))[0] == 400, "it was used"
    assert (await form(stand, "accessToken", grant_type="refresh_token", refresh_token=other))[0] == 200


async def test_code_lives_for_30_minutes_and_works_once(stand: Stand) -> None:
    await stand.command("redirects", platform="linkedin", redirect_uri=CALLBACK)
    code = (await stand.consent(question(stand)))["code"]
    await stand.command("clock", jump=1799)
    assert (await exchange(stand, code=code))[0] == 200
    assert (await exchange(stand, code=code))[0] == 400
    late = (await stand.consent(question(stand)))["code"]
    await stand.command("clock", jump=1801)
    assert (await exchange(stand, code=late))[0] == 400
    assert (await exchange(stand, redirect_uri="https://app.example/other"))[0] == 400
    assert (await form(stand, "accessToken", client_secret="wrong"))[0] == 401


async def test_consent_is_all_or_nothing(stand: Stand) -> None:
    await stand.command("redirects", platform="linkedin", redirect_uri=CALLBACK)
    code = (await stand.consent(question(stand), untick="w_member_social"))["code"]
    assert (await exchange(stand, code=code))[1]["scope"] == SCOPES.replace(" ", ",")
    denied = await stand.consent(question(stand), "deny")
    assert (denied["error"], denied["state"]) == ("user_cancelled_authorize", "s1")


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"redirect_uri": "https://app.example/other"}, "invalid_redirect_uri"),
        ({"client_id": "somebody"}, "invalid_request"),
    ],
    ids=str,
)
async def test_wrong_question_is_refused(stand: Stand, other: dict[str, str], error: str) -> None:
    await stand.command("redirects", platform="linkedin", redirect_uri=CALLBACK)
    async with stand.http.get(question(stand, **other)) as response:
        assert (response.status, (await response.json())["error"]) == (400, error)


@pytest.mark.parametrize(
    ("product", "wanted", "refused"),
    [
        ("sign_in_and_share", "openid profile w_member_social", ""),
        ("sign_in_and_share", "openid profile w_member_social w_organization_social", "w_organization_social"),
        ("sign_in_and_share", "r_basicprofile", "r_basicprofile"),
        ("community_management", "r_basicprofile w_member_social w_organization_social_feed", ""),
        ("community_management", "openid w_organization_social", "openid"),
        ("community_management", "r_member_social", "r_member_social"),
    ],
)
async def test_scope_that_the_application_s_product_does_not_have_refuses_the_whole_request(
    stand: Stand, product: str, wanted: str, refused: str
) -> None:
    """``linkedin.md`` 1.1: an application of Community Management has no other product."""
    await stand.command("redirects", platform="linkedin", redirect_uri=CALLBACK)
    await stand.command("variants", platform="linkedin", name="product", variant=product)
    for variant, status in (("redirect", 302), ("page", 400)):
        await stand.command("variants", platform="linkedin", name="unauthorized_scope", variant=variant)
        async with stand.http.get(question(stand, scope=wanted), allow_redirects=False) as response:
            assert response.status == (status if refused else 200)
            if refused and variant == "redirect":
                [description] = parse_qs(urlsplit(response.headers["Location"]).query)["error_description"]
                assert description == f'Scope "{refused}" is not authorized for your application'
                assert parse_qs(urlsplit(response.headers["Location"]).query)["state"] == ["s1"]


async def test_application_of_community_management_reads_the_member_at_another_address(stand: Stand) -> None:
    """``linkedin.md`` 1.1: there is no ``openid``, and so no ``userinfo``."""
    assert (await (await connected(stand)).call("GET", "/v2/me"))[0] == 403
    person = await administrator(stand)
    assert (await person.call("GET", "/v2/userinfo"))[0] == 403
    status, me, _ = await person.call("GET", "/v2/me")
    assert (status, me["id"], me["localizedFirstName"], me["localizedLastName"]) == (200, "aLiCe01", "Alice", "Sandbox")


async def test_roles_of_a_member_are_listed_in_every_state_and_by_role(stand: Stand) -> None:
    """``linkedin.md`` 1.2."""
    path = "/rest/organizationAcls?q=roleAssignee"
    assert (await (await connected(stand)).call("GET", path))[0] == 403, "w_member_social is not for this"
    person = await administrator(stand, "shop")

    async def listed(query: str = "") -> Any:
        return (await person.call("GET", path + query))[1]

    assert [(role["organization"], role["role"], role["state"]) for role in (await listed())["elements"]] == [
        ("urn:li:organization:1000", "ADMINISTRATOR", "APPROVED"),
        ("urn:li:organization:2000", "ANALYST", "APPROVED"),
    ]
    assert {role["roleAssignee"] for role in (await listed())["elements"]} == {"urn:li:person:sHoP003"}
    assert len((await listed("&role=ADMINISTRATOR"))["elements"]) == 1
    ended = {"member": "shop", "role": "ADMINISTRATOR", "state": "REVOKED"}
    await stand.command("account", platform="linkedin", account="acme", settings=ended)
    assert [role["role"] for role in (await listed("&state=APPROVED"))["elements"]] == ["ANALYST"]
    first = await listed("&count=1")
    [following] = first["paging"]["links"]
    rest = (await person.call("GET", following["href"]))[1]
    assert [role["state"] for role in first["elements"] + rest["elements"]] == ["REVOKED", "APPROVED"]
    assert rest["paging"]["links"] == []
    await stand.command("account", platform="linkedin", account="acme", settings={"member": "shop", "role": ""})
    assert len((await listed())["elements"]) == 1
    for wrong in ("/rest/organizationAcls", f"{path}&role=OWNER", f"{path}&state=GONE", f"{path}&count=x"):
        assert (await person.call("GET", wrong))[0] == 400
    refusal = await stand.refused("account", platform="linkedin", account="acme", settings={"member": "nobody"})
    assert "member is one of alice, bob, shop" in refusal
    assert "organizations" in await stand.refused("account", platform="linkedin", account="alice", settings={})


async def test_organization_is_shown_to_administrators_and_named_to_others(stand: Stand) -> None:
    """``linkedin.md`` 1.2."""
    person = await administrator(stand, "shop")
    status, acme, _ = await person.call("GET", "/rest/organizations/1000")
    assert (status, acme["localizedName"], acme["vanityName"], acme["id"]) == (200, "Acme", "acme", 1000)
    assert (await person.call("GET", "/rest/organizations/2000"))[0] == 403, "an analyst"
    assert (await person.call("GET", "/rest/organizations/3000"))[0] == 404
    found = (await person.call("GET", "/rest/organizationsLookup?ids=List(1000,2000,3000)"))[1]
    assert {id_: one["localizedName"] for id_, one in found["results"].items()} == {"1000": "Acme", "2000": "Bakery"}
    assert found["statuses"]["3000"] == 404
    assert (await person.call("GET", "/rest/organizationsLookup?ids=1000"))[0] == 400
    await stand.command("variants", platform="linkedin", name="tier", variant="development")
    assert (await person.call("GET", "/rest/organizationsLookup?ids=List(1000)"))[0] == 403


@pytest.mark.parametrize(
    ("role", "state", "posts"),
    [
        ("ADMINISTRATOR", "APPROVED", True),
        ("CONTENT_ADMINISTRATOR", "APPROVED", True),
        ("DIRECT_SPONSORED_CONTENT_POSTER", "APPROVED", True),
        ("ANALYST", "APPROVED", False),
        ("ADMINISTRATOR", "REVOKED", False),
        ("ADMINISTRATOR", "REQUESTED", False),
        ("", "APPROVED", False),
    ],
)
async def test_role_decides_who_acts_for_an_organization_and_the_token_knows_nothing_of_it(
    stand: Stand, role: str, state: str, posts: Any
) -> None:
    """``linkedin.md`` 1.2."""
    person = await administrator(stand, "shop")
    urn = (await person.post("before"))[2]["x-restli-id"]
    settings = {"member": "shop", "role": role, "state": state}
    await stand.command("account", platform="linkedin", account="acme", settings=settings)
    status, answer, _ = await person.post("after")
    assert (status, "code" in answer) == ((201, False) if posts else (403, True))
    assert (await person.call("GET", of(urn)))[0] == (200 if posts else 403)
    finder = f"/rest/posts?q=author&author={quote(ORGANIZATION, safe='')}"
    assert (await person.call("GET", finder))[0] == (200 if posts else 403)
    assert (await form(stand, "introspectToken", token=person.token["access_token"]))[1]["active"] is True


async def test_revoked_token_is_of_no_use(stand: Stand) -> None:
    person = await connected(stand)
    assert (await form(stand, "revoke", token=person.token["access_token"]))[0] == 200
    status, answer, _ = await person.post()
    assert (status, answer["code"]) == (401, "REVOKED_ACCESS_TOKEN")


async def test_post_is_named_in_a_header_and_its_repeat_names_it(stand: Stand) -> None:
    person = await administrator(stand)
    status, body, headers = await person.post("once")
    urn = headers["x-restli-id"]
    assert (status, body, urn.startswith("urn:li:share:")) == (201, "", True)
    status, answer, _ = await person.post("once")
    assert status == 422
    assert answer["message"].endswith(f"BadRequestResponseException: Content is a duplicate of {urn}")
    assert answer["errorDetails"]["inputErrors"][0]["code"] == "DUPLICATE_POST"
    assert (await person.call("GET", f"/rest/posts/{quote(urn, safe='')}"))[1]["commentary"] == "once"
    await stand.command("clock", jump=601)
    assert (await person.post("once"))[0] == 201
    for _ in range(2):
        assert (await person.call("DELETE", f"/rest/posts/{quote(urn, safe='')}"))[0] == 204, "idempotent"
    assert len(await stand.ledger("post")) == 2


@pytest.mark.parametrize(("version", "status"), [(None, 400), ("202512", 426), ("202601", 201), ("202609", 201)])
async def test_version_is_asked_for_and_retired(stand: Stand, version: str | None, status: int) -> None:
    person = await connected(stand)
    body = {"author": person.urn, "commentary": "x", "visibility": "PUBLIC", "lifecycleState": "PUBLISHED"}
    body["distribution"] = {"feedDistribution": "MAIN_FEED"}  # type: ignore[assignment]
    found, answer, _ = await person.call("POST", "/rest/posts", version, json=body)
    assert found == status
    assert status == 201 or answer["code"] == {400: "VERSION_MISSING", 426: "NONEXISTENT_VERSION"}[status]


LITTLE_TEXT = [
    ("plain", "plain"),
    (r"see \(this\) and \#that", "see (this) and #that"),
    ("cut here (and this is gone)", "cut here "),
    (r"kept \( but (not this", "kept ( but "),
    ("hi @[Acme](urn:li:organization:12) there", "hi @[Acme](urn:li:organization:12) there"),
    (r"a {hashtag|\#|tag} b", "a {hashtag|#|tag} b"),
]


@pytest.mark.parametrize(("commentary", "seen"), LITTLE_TEXT)
async def test_unescaped_parenthesis_silently_cuts_the_post(stand: Stand, commentary: str, seen: str) -> None:
    assert shown(commentary) == seen
    person = await connected(stand)
    assert (await person.post(commentary))[0] == 201
    assert [post["text"] for post in await stand.ledger("post")] == [seen]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"commentary": "x" * 3000}, 201),
        ({"commentary": "x" * 3001}, 422),
        ({"commentary": ""}, 422),
        ({"visibility": "EVERYBODY"}, 422),
        ({"lifecycleState": "DRAFT"}, 422),
        ({"distribution": {}}, 422),
        ({"author": "urn:li:person:somebody"}, 403),
        ({"content": {"media": {"id": "urn:li:image:none"}}}, 400),
        ({"content": {"multiImage": {"images": [{"id": "urn:li:image:none"}]}}}, 422),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_limits_of_a_post(stand: Stand, fields: dict[str, Any], status: int) -> None:
    person = await connected(stand)
    assert (await person.post(**fields))[0] == status
    assert len(await stand.ledger("post")) == (status == 201)


async def test_150_posts_a_day(stand: Stand) -> None:
    person = await connected(stand)
    statuses = [(await person.post(f"n{number}"))[0] for number in range(151)]
    assert statuses == [201] * 150 + [429]
    await stand.command("clock", jump=DAY)
    assert (await person.post("tomorrow"))[0] == 201


async def begin(person: Person, kind: str, **command: Any) -> dict[str, Any]:
    body = {"initializeUploadRequest": {"owner": person.urn, **command}}
    status, answer, _ = await person.call("POST", f"/rest/{kind}?action=initializeUpload", json=body)
    assert status == 200, answer
    value: dict[str, Any] = answer["value"]
    return value


async def status_of(person: Person, kind: str, urn: str) -> str:
    return str((await person.call("GET", f"/rest/{kind}/{quote(urn, safe='')}"))[1]["status"])


async def test_image_is_put_with_the_token_and_becomes_available(stand: Stand) -> None:
    person = await administrator(stand)
    value = await begin(person, "images")
    media = {"media": {"id": value["image"], "altText": "a cup"}}
    assert (await person.post(content=media))[1]["code"] == "MEDIA_ASSET_WAITING_UPLOAD"
    assert await status_of(person, "images", value["image"]) == "WAITING_UPLOAD"
    async with stand.http.put(value["uploadUrl"], data=b"png") as response:
        assert response.status == 401, "without the token"
    assert (await person.call("PUT", value["uploadUrl"], data=b"png"))[0] == 201
    assert await status_of(person, "images", value["image"]) == "PROCESSING"
    await stand.command("clock", jump=2)
    assert await status_of(person, "images", value["image"]) == "AVAILABLE"
    assert (await person.post(content=media))[0] == 201
    late = await begin(person, "documents")
    await stand.command("clock", jump=3601)
    assert (await person.call("PUT", late["uploadUrl"], data=b"pdf"))[1]["code"] == "EXPIRED_UPLOAD_URL"


@pytest.mark.parametrize("beyond", [-1, 0, 1], ids=["just one part", "exactly one part", "a byte more"])
async def test_video_goes_up_by_inclusive_ranges(stand: Stand, beyond: int) -> None:
    person = await administrator(stand)
    film = b"f" * (4 * 2**20 + beyond)
    value = await begin(person, "videos", fileSizeBytes=len(film))
    ranges = [(part["firstByte"], part["lastByte"]) for part in value["uploadInstructions"]]
    assert len(ranges) == (2 if beyond > 0 else 1)
    assert sum(last - first + 1 for first, last in ranges) == len(film)
    tags = []
    for part in value["uploadInstructions"]:
        first, last = part["firstByte"], part["lastByte"]
        async with stand.http.put(part["uploadUrl"], data=io.BytesIO(film[first:last] or b"--")) as response:
            assert response.status == 400, "the last byte belongs to it"
        async with stand.http.put(part["uploadUrl"], data=io.BytesIO(film[first : last + 1])) as response:
            assert response.status == 200
            tags.append(response.headers["ETag"])
    finish = {"video": value["video"], "uploadToken": "", "uploadedPartIds": tags[:-1]}
    path = "/rest/videos?action=finalizeUpload"
    assert (await person.call("POST", path, json={"finalizeUploadRequest": finish}))[0] == 422
    finish["uploadedPartIds"] = tags
    assert (await person.call("POST", path, json={"finalizeUploadRequest": finish}))[0] == 200
    await stand.command("clock", jump=16)
    assert await status_of(person, "videos", value["video"]) == "AVAILABLE"


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/rest/nothing"), ("PUT", "/rest/posts"), ("POST", "/rest/posts"), ("PUT", "/dms-uploads/x")],
)
async def test_what_it_does_not_know_is_answered_in_its_own_words(stand: Stand, method: str, path: str) -> None:
    async with stand.http.request(method, f"{stand.url}/linkedin{path}", data=b"\xff{") as response:
        assert 400 <= response.status < 500
        assert {"status", "message"} <= set(await response.json())


def rerouted(session: requests.Session, stand: Stand) -> None:
    for host, path in (("www.linkedin.com", "/linkedin"), ("api.linkedin.com", "/linkedin")):
        session.mount(f"https://{host}", Elsewhere(stand.url + path))


async def test_linkedins_own_client_authorises_introspects_posts_reads_and_deletes(stand: Stand) -> None:
    await stand.command("redirects", platform="linkedin", redirect_uri=CALLBACK)
    auth, rest = AuthClient(CLIENT_ID, CLIENT_SECRET, CALLBACK), RestliClient()
    for client in (auth, rest):
        rerouted(client.session, stand)
    await community_management(stand)
    asked = urlsplit(auth.generate_member_auth_url(scopes=ALL.split(), state="s"))
    answer = await stand.consent(f"{stand.url}/linkedin{asked.path}?{asked.query}")
    token = await asyncio.to_thread(auth.exchange_auth_code_for_access_token, answer["code"])
    assert token.expires_in == 60 * DAY
    known = await asyncio.to_thread(auth.introspect_access_token, token.access_token)
    assert (known.active, known.auth_type) == (True, "3L")
    given = {"access_token": token.access_token}
    me = await asyncio.to_thread(rest.get, resource_path="/me", **given)
    versioned = given | {"version_string": "202609"}
    finder = {"resource_path": "/organizationAcls", "finder_name": "roleAssignee"}
    roles = await asyncio.to_thread(rest.finder, query_params={"state": "APPROVED"}, **finder, **versioned)
    [role] = roles.elements
    assert role["roleAssignee"] == f"urn:li:person:{me.entity['id']}"
    entity = {
        "author": role["organization"],
        "commentary": "From their own client",
        "visibility": "PUBLIC",
        "distribution": {"feedDistribution": "MAIN_FEED"},
        "lifecycleState": "PUBLISHED",
    }
    made = await asyncio.to_thread(rest.create, resource_path="/posts", entity=entity, **versioned)
    one = {"resource_path": "/posts/{id}", "path_keys": {"id": made.entity_id}} | versioned
    assert (await asyncio.to_thread(rest.get, **one)).entity["commentary"] == "From their own client"
    assert (await asyncio.to_thread(rest.delete, **one)).status_code == 204
    assert [entry["id"] for entry in await stand.ledger("post")] == [made.entity_id]


ORGANIZATION = "urn:li:organization:1000"
ALL = "r_basicprofile w_member_social r_organization_social w_organization_social rw_organization_admin"


async def community_management(stand: Stand) -> None:
    """Let the application be one of Community Management, which has no other product (``linkedin.md`` 1.1)."""
    await stand.command("redirects", platform="linkedin", redirect_uri=CALLBACK)
    await stand.command("variants", platform="linkedin", name="product", variant="community_management")


async def administrator(stand: Stand, account: str = "alice") -> Person:
    """A member, with a token that may act for an organization of theirs."""
    await community_management(stand)
    answer = await stand.consent(question(stand, scope=ALL), account=account)
    status, token = await exchange(stand, code=answer["code"])
    assert status == 200, token
    return Person(stand, token, ORGANIZATION)


def of(urn: str) -> str:
    return f"/rest/posts/{quote(urn, safe='')}"


async def test_repeat_names_a_ghost_for_48_hours_though_the_post_was_deleted(stand: Stand) -> None:
    """``linkedin.md`` 4 and 7.8: a 422 is evidence, not success."""
    person = await administrator(stand)
    for name, variant in (("duplicate", "ghost"), ("duplicate_window", "48h")):
        await stand.command("variants", platform="linkedin", name=name, variant=variant)
    urn = (await person.post("once"))[2]["x-restli-id"]
    assert (await person.call("DELETE", of(urn)))[0] == 204
    await stand.command("clock", jump=DAY)
    ghosts = set()
    for _ in range(2):
        status, answer, _ = await person.post("once")
        assert status == 422
        ghosts.add(answer["message"].rpartition(" ")[2])
    assert len(ghosts) == 2, "another one at every retry"
    for ghost in ghosts:
        assert (await person.call("GET", of(ghost)))[0] == 404
    await stand.command("clock", jump=DAY + 1)
    assert (await person.post("once"))[0] == 201
    assert len(await stand.published("linkedin")) == 2


async def test_finder_lists_an_organizations_posts_and_a_members_to_nobody(stand: Stand) -> None:
    """``linkedin.md`` 4.2 and 11: the way to find out what became of a post."""
    person = await administrator(stand)
    urns = [(await person.post(f"p{n}"))[2]["x-restli-id"] for n in range(3)]
    path = f"/rest/posts?q=author&author={quote(ORGANIZATION, safe='')}"
    status, found, _ = await person.call("GET", f"{path}&count=2&sortBy=CREATED", headers={"X-RestLi-Method": "FINDER"})
    assert (status, [post["id"] for post in found["elements"]]) == (200, urns[:0:-1])
    [following] = found["paging"]["links"]
    rest = (await person.call("GET", following["href"]))[1]
    assert ([post["id"] for post in rest["elements"]], rest["paging"]["links"]) == (urns[:1], [])
    post = rest["elements"][0]
    assert (post["lifecycleState"], post["commentary"]) == ("PUBLISHED", "p0")
    assert post["createdAt"] == post["publishedAt"] == post["lastModifiedAt"]
    member = f"/rest/posts?q=author&author={quote('urn:li:person:aLiCe01', safe='')}"
    assert (await person.call("GET", member))[0] == 403, "r_member_social is closed"
    await stand.command("listing-lag", platform="linkedin", seconds=300)
    await person.post("late")
    assert len((await person.call("GET", path))[1]["elements"]) == 0
    await stand.command("clock", jump=301)
    assert len((await person.call("GET", path))[1]["elements"]) == 4


async def test_several_posts_are_read_at_once_but_not_in_the_development_tier(stand: Stand) -> None:
    """``linkedin.md`` 4.2."""
    person = await administrator(stand)
    urn = (await person.post("one"))[2]["x-restli-id"]
    path = f"/rest/posts?ids=List({quote(urn, safe='')},urn%3Ali%3Ashare%3A1)"
    headers = {"X-RestLi-Method": "BATCH_GET"}
    status, found, _ = await person.call("GET", path, headers=headers)
    assert (status, found["results"][urn]["commentary"]) == (200, "one")
    assert found["statuses"] == {urn: 200, "urn:li:share:1": 404}
    assert set(found["errors"]) == {"urn:li:share:1"}
    assert (await person.call("GET", path))[0] == 403, "the method has to be named"
    await stand.command("variants", platform="linkedin", name="tier", variant="development")
    assert (await person.call("GET", path, headers=headers))[0] == 403


async def test_partial_update_sets_the_commentary_or_only_says_so(stand: Stand) -> None:
    """``linkedin.md`` 4.3."""
    person = await administrator(stand)
    urn = (await person.post("before"))[2]["x-restli-id"]
    patch = {"patch": {"$set": {"commentary": "after"}}}
    assert (await person.call("POST", of(urn), json=patch))[0] == 400, "the method has to be named"
    headers = {"X-RestLi-Method": "PARTIAL_UPDATE"}
    await stand.command("variants", platform="linkedin", name="partial_update", variant="ignored")
    assert (await person.call("POST", of(urn), json=patch, headers=headers))[0] == 204
    assert (await person.call("GET", of(urn)))[1]["commentary"] == "before", "204 without effect"
    await stand.command("variants", platform="linkedin", name="partial_update", variant="applied")
    for _ in range(2):
        assert (await person.call("POST", of(urn), json=patch, headers=headers))[0] == 204, "repeating is harmless"
    shown_post = (await person.call("GET", of(urn)))[1]
    assert (shown_post["commentary"], shown_post["lifecycleStateInfo"]) == ("after", {"isEditedByAuthor": True})
    assert shown_post["lastModifiedAt"] > shown_post["createdAt"]
    for wrong in ({"visibility": "PUBLIC"}, {}, {"commentary": "x" * 3001}):
        status = (await person.call("POST", of(urn), json={"patch": {"$set": wrong}}, headers=headers))[0]
        assert status == 422, wrong


OPTIONS = [{"text": "a"}, {"text": "b"}]
POLL = {"question": "q", "options": OPTIONS, "settings": {"duration": "ONE_DAY"}}


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"poll": POLL}, 201),
        ({"poll": POLL | {"question": "q" * 141}}, 422),
        ({"poll": POLL | {"options": OPTIONS[:1]}}, 422),
        ({"poll": POLL | {"options": [{"text": "a" * 31}, {"text": "b"}]}}, 422),
        ({"poll": POLL | {"settings": {"duration": "ONE_WEEK"}}}, 422),
        ({"poll": POLL, "media": {"id": "urn:li:image:1"}}, 422),
        ({"article": {"source": "https://example.org/", "title": "t"}}, 201),
        ({"article": {"source": "https://example.org/"}}, 422),
        ({"media": {"id": "urn:li:document:1"}}, 400),
        ({"photo": {}}, 422),
    ],
)
async def test_content_is_one_thing_of_the_documented_shape(stand: Stand, content: Any, status: int) -> None:
    """``linkedin.md`` 4, 4.4 and 4.5."""
    assert (await (await administrator(stand)).post("x", content=content))[0] == status
    assert len(await stand.published("linkedin")) == (status == 201)


async def image(person: Person, content: bytes = b"pixels") -> str:
    body = {"initializeUploadRequest": {"owner": person.urn}}
    value = (await person.call("POST", "/rest/images?action=initializeUpload", json=body))[1]["value"]
    assert (await person.call("PUT", value["uploadUrl"], data=content))[0] == 201
    return str(value["image"])


async def test_created_post_vanishes_when_its_media_fail_later(stand: Stand) -> None:
    """``linkedin.md`` 4 and 5: a 201 is not for ever."""
    person = await administrator(stand)
    await stand.command("processing", platform="linkedin", result="failed", seconds=60)
    urn = await image(person)
    made = (await person.post("x", content={"media": {"id": urn}}))[2]["x-restli-id"]
    assert (await person.call("GET", of(made)))[1]["lifecycleState"] == "PUBLISH_REQUESTED"
    await stand.command("clock", jump=61)
    assert (await person.call("GET", of(made)))[0] == 404
    assert (await person.call("GET", f"{of(made)}?viewContext=AUTHOR"))[1]["lifecycleState"] == "PUBLISH_FAILED"
    status, answer, _ = await person.post("y", content={"media": {"id": urn}})
    assert (status, answer["code"]) == (400, "MEDIA_ASSET_PROCESSING_FAILED")


async def test_consent_with_other_scopes_ends_the_tokens_of_before(stand: Stand) -> None:
    """``linkedin.md`` 1, Scopes."""
    first = await connected(stand)
    same = await connected(stand)
    assert (await first.call("GET", "/v2/userinfo"))[0] == 200
    await administrator(stand)
    for person in (first, same):
        assert (await person.call("GET", "/v2/userinfo"))[1]["code"] == "REVOKED_ACCESS_TOKEN"


async def test_replies_are_walked_below_their_comment(stand: Stand) -> None:
    """``linkedin.md`` 4.6: the listing of a post has its first level only."""
    person = await administrator(stand)
    urn = (await person.post("post"))[2]["x-restli-id"]
    path = f"/rest/socialActions/{quote(urn, safe='')}/comments"
    body = {"actor": ORGANIZATION, "object": urn, "message": {"text": "first"}}
    first = (await person.call("POST", path, json=body))[1]
    parent = {"message": {"text": "second"}, "parentComment": first["commentUrn"]}
    assert (await person.call("POST", path, json=body | parent))[0] == 201
    [shown_comment] = (await person.call("GET", path))[1]["elements"]
    assert shown_comment["commentsSummary"]["totalFirstLevelComments"] == 1
    below = f"/rest/socialActions/{quote(first['commentUrn'], safe='')}/comments"
    assert [c["message"]["text"] for c in (await person.call("GET", below))[1]["elements"]] == ["second"]


async def test_missed_notifications_are_found_by_action_post_and_time(stand: Stand) -> None:
    """``linkedin.md`` 2.3."""
    person = await administrator(stand)
    urn = (await person.post("post"))[2]["x-restli-id"]
    act = {"platform": "linkedin", "account": "acme"}
    comment = await stand.command("act", **act, what="comment", post=urn, by="fan_1", text="hm")
    await stand.command("act", **act, what="remove", id=comment["id"])
    base = f"/rest/organizationalEntityNotifications?q=criteria&organizationalEntity={quote(ORGANIZATION, safe='')}"

    async def found(query: str) -> list[str]:
        answer = (await person.call("GET", base + query))[1]
        return [item["action"] for item in answer["elements"]]

    assert await found("") == ["COMMENT_DELETE", "COMMENT"]
    assert await found("&actions=List(COMMENT,COMMENT_EDIT)") == ["COMMENT"]
    assert await found(f"&sourcePost={quote(urn, safe='')}") == ["COMMENT_DELETE", "COMMENT"]
    assert await found("&sourcePost=urn%3Ali%3Ashare%3A1") == []
    assert await found("&timeRange=(start:0,end:1)") == []
    assert (await person.call("GET", f"{base}&actions=COMMENT"))[0] == 400


async def test_ghost_answers_404_to_everything(stand: Stand) -> None:
    """``linkedin.md`` 4 and 7.8: the URN of a 422, by the variant and by the fault."""
    person = await administrator(stand)
    await stand.command("variants", platform="linkedin", name="duplicate", variant="ghost")
    assert (await person.post("once"))[0] == 201
    ghosts = [(await person.post("once"))[1]["message"].rpartition(" ")[2] for _ in range(2)]
    await stand.command("faults", platform="linkedin", endpoint="POST /rest/posts", error="duplicate")
    ghosts.append((await person.post("never posted"))[1]["message"].rpartition(" ")[2])
    assert len(set(ghosts)) == 3
    update = {"json": {"patch": {"$set": {"commentary": "x"}}}, "headers": {"X-RestLi-Method": "PARTIAL_UPDATE"}}
    for urn in ghosts:
        comments = f"/rest/socialActions/{quote(urn, safe='')}/comments"
        assert (await person.call("GET", of(urn)))[0] == 404
        assert (await person.call("POST", of(urn), **update))[0] == 404
        assert (await person.call("GET", comments))[0] == 404
    assert len(await stand.published("linkedin")) == 1


async def test_member_reads_neither_posts_nor_the_state_of_files(stand: Stand) -> None:
    """``linkedin.md`` 4.2 and 5: 403 with ``w_member_social`` alone, for all three kinds of files."""
    await stand.command("redirects", platform="linkedin", redirect_uri=CALLBACK)
    scope = "openid profile w_member_social"
    _, token = await exchange(stand, code=(await stand.consent(question(stand, scope=scope)))["code"])
    person = Person(stand, token)
    person.urn = "urn:li:person:" + (await person.call("GET", "/v2/userinfo"))[1]["sub"]
    for kind, more in (("image", {}), ("document", {}), ("video", {"fileSizeBytes": 100_000})):
        urn = (await begin(person, f"{kind}s", **more))[kind]
        status, answer, _ = await person.call("GET", f"/rest/{kind}s/{quote(urn, safe='')}")
        assert (status, answer["code"]) == (403, "ACCESS_DENIED")
    made = (await person.post("hello"))[2]["x-restli-id"]
    author = quote(person.urn, safe="")
    for path in (of(made), f"/rest/posts?q=author&author={author}"):
        assert (await person.call("GET", path))[0] == 403


async def test_finder_lags_behind_what_can_be_read_by_its_urn(stand: Stand) -> None:
    """``linkedin.md`` 11: none in 3 reads over 5 minutes."""
    person = await administrator(stand)
    await stand.command("listing-lag", platform="linkedin", seconds=120)
    await stand.command(
        "faults", platform="linkedin", endpoint="POST /rest/posts", effect=True, error="gateway_timeout"
    )
    media = {"media": {"id": await image(person), "altText": "x"}}
    assert (await person.post("hello", content=media))[0] == 504

    async def found() -> list[Any]:
        query = f"q=author&author={quote(person.urn, safe='')}&sortBy=CREATED&count=50"
        elements = (await person.call("GET", f"/rest/posts?{query}"))[1]["elements"]
        return [(post["id"], post["content"]) for post in elements]

    assert await found() == []
    [post] = await stand.published("linkedin")
    assert (await person.call("GET", of(post["id"])))[0] == 200
    await stand.command("clock", jump=121)
    assert await found() == [(post["id"], media)]
