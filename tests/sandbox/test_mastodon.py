"""``mastodon.md`` by its numbers, and a client that nobody here wrote."""

import asyncio
import base64
import hashlib
import html
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import mastodon
import pytest
from mastodon import Mastodon

from ops.sandbox.platforms.mastodon import length
from tests.sandbox.conftest import Stand

CALLBACK = "https://app.example/callback"
SCOPES = ["read", "write", "profile"]
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 64


@dataclass
class Client:
    """Mastodon.py, whose calls block, called from elsewhere than the loop that serves them."""

    real: Mastodon

    async def __call__(self, name: str, *arguments: Any, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(self.real, name), *arguments, **options)


async def register(stand: Stand, scopes: list[str] = SCOPES) -> tuple[str, str]:
    found: tuple[str, str] = await asyncio.to_thread(
        Mastodon.create_app, "Landfall", scopes=scopes, redirect_uris=CALLBACK, api_base_url=f"{stand.url}/mastodon"
    )
    return found


async def client(stand: Stand, client_id: str, client_secret: str, token: str | None = None) -> Client:
    """It asks for the instance's version while it is made."""
    options = {"api_base_url": f"{stand.url}/mastodon", "ratelimit_method": "throw"}
    return Client(await asyncio.to_thread(Mastodon, client_id, client_secret, token, **options))


async def connected(stand: Stand, account: str = "alice") -> Client:
    """Registered, consented to by a person, and with a token: all of it by the client's own calls."""
    found = await client(stand, *await register(stand))
    address = await found("auth_request_url", redirect_uris=CALLBACK, scopes=SCOPES, state="s1", allow_http=True)
    answer = await stand.consent(address, account=account)
    assert answer["state"] == "s1"
    await found("log_in", code=answer["code"], redirect_uri=CALLBACK, scopes=SCOPES, allow_http=True)
    return found


async def test_stranger_registers_authorises_uploads_and_posts(stand: Stand) -> None:
    person = await connected(stand)
    assert (await person("account_verify_credentials")).username == "alice"
    picture = await person("media_post", io.BytesIO(PNG), mime_type="image/png", description="a cup")
    status = await person("status_post", "Hello, café <3", media_ids=[picture], language="en", visibility="unlisted")
    assert (status.content, status.visibility) == ("<p>Hello, café &lt;3</p>", "unlisted")
    assert status.media_attachments[0].description == "a cup"
    reply = await person("status_post", "And more", in_reply_to_id=status)
    assert [item.id for item in (await person("status_context", status)).descendants] == [reply.id]
    edited = await person("status_update", reply, "And less")
    assert edited.edited_at is not None
    mine = await person("account_statuses", (await person("me")).id)
    assert [item.id for item in mine] == [reply.id, status.id], "newest first"
    await person("status_delete", reply)
    with pytest.raises(mastodon.MastodonNotFoundError):
        await person("status", reply)
    posts = await stand.ledger("post")
    assert [post["text"] for post in posts] == ["Hello, café <3", "And more"], "the ledger forgets no deletion"
    assert [entry["account"] for entry in await stand.ledger("token", state="live")] == ["alice"]


async def test_pages_follow_the_link_header(stand: Stand) -> None:
    person = await connected(stand)
    posted = [(await person("status_post", f"number {number}")).id for number in range(7)]
    page = await person("account_statuses", (await person("me")).id, limit=3)
    seen = [item.id for item in page]
    while page := await person("fetch_next", page):
        seen += [item.id for item in page]
    assert seen == posted[::-1]
    newer = await person("account_statuses", (await person("me")).id, min_id=posted[2], limit=2)
    assert [item.id for item in newer] == [posted[4], posted[3]], "min_id: the oldest ones above it"


async def test_token_dies_by_revocation_only(stand: Stand) -> None:
    person = await connected(stand)
    await stand.command("clock", jump=400 * 86400)
    assert (await person("me")).username == "alice"
    token = person.real.access_token
    await person("revoke_access_token", allow_http=True)
    again = await client(stand, person.real.client_id, person.real.client_secret, token)
    with pytest.raises(mastodon.MastodonUnauthorizedError, match="The access token is invalid"):
        await again("me")
    assert [entry["state"] for entry in await stand.ledger("token")] == ["revoked"]


async def code_of(stand: Stand, client_id: str, verifier: str | None = None, **query: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256((verifier or "").encode()).digest()).decode().rstrip("=")
    pkce = f"&code_challenge={challenge}&code_challenge_method=S256" if verifier else ""
    address = f"{stand.url}/mastodon/oauth/authorize?response_type=code&client_id={client_id}&redirect_uri={CALLBACK}"
    answer: dict[str, str] = await stand.consent(f"{address}&scope=read+write{pkce}", **query)
    return answer["code"]


async def exchange(stand: Stand, pair: tuple[str, str], code: str, **more: str) -> tuple[int, dict[str, Any]]:
    form = {
        "grant_type": "authorization_code",
        "client_id": pair[0],
        "client_secret": pair[1],
        "code": code,
        "redirect_uri": CALLBACK,
        **more,
    }
    async with stand.http.post(f"{stand.url}/mastodon/oauth/token", data=form) as response:
        return response.status, await response.json()


async def test_code_works_once_in_time_for_its_own_client_address_and_verifier(stand: Stand) -> None:
    pair, other = await register(stand), await register(stand)
    status, answer = await exchange(stand, pair, await code_of(stand, pair[0]))
    assert (status, answer["token_type"], answer["scope"]) == (200, "Bearer", "read write")
    assert set(answer) == {"access_token", "token_type", "scope", "created_at"}, "no expiry, no refresh token"

    async def refused(code: str, why: str, to: tuple[str, str] = pair, **more: str) -> None:
        status, answer = await exchange(stand, to, code, **more)
        assert (status, answer["error"]) == (400, "invalid_grant"), why

    used = await code_of(stand, pair[0])
    assert (await exchange(stand, pair, used))[0] == 200
    await refused(used, "used before")
    await refused(await code_of(stand, pair[0]), "another client's", other)
    await refused(await code_of(stand, pair[0]), "another address", redirect_uri="https://app.example/other")
    await refused(await code_of(stand, pair[0], "v" * 43), "no verifier")
    await refused(await code_of(stand, pair[0], "v" * 43), "a wrong verifier", code_verifier="w" * 43)
    await refused(await code_of(stand, pair[0]), "a verifier where nothing was to be verified", code_verifier="v" * 43)
    assert (await exchange(stand, pair, await code_of(stand, pair[0], "v" * 43), code_verifier="v" * 43))[0] == 200
    late = await code_of(stand, pair[0])
    await stand.command("clock", jump=601)
    await refused(late, "too late")
    status, answer = await exchange(stand, (pair[0], "wrong"), "any")
    assert (status, answer["error"]) == (401, "invalid_client")


async def test_person_may_deny_and_untick(stand: Stand) -> None:
    pair = await register(stand)
    address = (
        f"{stand.url}/mastodon/oauth/authorize?client_id={pair[0]}&redirect_uri={CALLBACK}&scope=read+write&state=x"
    )
    answer = await stand.consent(address, "deny")
    assert (answer["error"], answer["state"]) == ("access_denied", "x")
    code = (await stand.consent(address, untick="write"))["code"]
    status, answer = await exchange(stand, pair, code)
    assert (status, answer["scope"]) == (200, "read")
    person = await client(stand, *pair, answer["access_token"])
    with pytest.raises(mastodon.MastodonAPIError, match="outside the authorized scopes"):
        await person("status_post", "no")
    assert not await stand.ledger("post")


async def test_idempotency_key_is_remembered_for_an_hour(stand: Stand) -> None:
    person, other = await connected(stand), await connected(stand, "bob")
    first = await person("status_post", "once", idempotency_key="job-1")
    assert (await person("status_post", "once", idempotency_key="job-1")).id == first.id
    assert (await other("status_post", "once", idempotency_key="job-1")).id != first.id, "per account"
    await stand.command("clock", jump=3601)
    assert (await person("status_post", "once", idempotency_key="job-1")).id != first.id
    assert len(await stand.ledger("post", account="alice")) == 2


async def test_video_is_processed_before_it_can_be_attached(stand: Stand) -> None:
    person = await connected(stand)
    video = await person("media_post", io.BytesIO(b"frames"), mime_type="video/mp4")
    assert video.url is None, "202"
    with pytest.raises(mastodon.MastodonAPIError, match="have not finished processing"):
        await person("status_post", "too soon", media_ids=[video])
    await stand.command("clock", jump=21)
    assert (await person("media", video)).url is not None
    await person("status_post", "now", media_ids=[video])
    with pytest.raises(mastodon.MastodonNotFoundError):
        await person("media", video)  # only unattached media is found
    broken = await person("media_post", io.BytesIO(b"corrupt"), mime_type="video/mp4")
    await stand.command("clock", jump=21)
    with pytest.raises(mastodon.MastodonAPIError, match="Error processing"):
        await person("media", broken)


LIMITS: list[tuple[str, Callable[[], dict[str, Any]], bool]] = [
    ("500 characters", lambda: {"status": "x" * 500}, True),
    ("501 characters", lambda: {"status": "x" * 501}, False),
    ("a URL counts 23", lambda: {"status": "x" * 476 + " https://example.org/" + "y" * 300}, True),
    ("and one more", lambda: {"status": "x" * 477 + " https://example.org/" + "y" * 300}, False),
    ("the warning counts", lambda: {"status": "x" * 490, "spoiler_text": "y" * 11}, False),
    ("nothing at all", lambda: {"status": ""}, False),
    ("an unknown visibility", lambda: {"status": "x", "visibility": "friends"}, False),
    ("6 minutes ahead", lambda: {"status": "x", "scheduled_at": datetime.now(UTC) + timedelta(minutes=6)}, True),
    ("4 minutes ahead", lambda: {"status": "x", "scheduled_at": datetime.now(UTC) + timedelta(minutes=4)}, False),
]


@pytest.mark.parametrize(("make", "taken"), [row[1:] for row in LIMITS], ids=[row[0] for row in LIMITS])
async def test_limits_of_a_status(stand: Stand, make: Callable[[], dict[str, Any]], *, taken: bool) -> None:
    person = await connected(stand)
    form = {name: str(value) for name, value in make().items()}
    headers = {"Authorization": f"Bearer {person.real.access_token}"}
    async with stand.http.post(f"{stand.url}/mastodon/api/v1/statuses", data=form, headers=headers) as response:
        assert response.status == (200 if taken else 422), await response.text()
        assert taken or set(await response.json()) == {"error"}


def test_remote_mention_counts_without_its_domain() -> None:
    assert length("@anna@social.example hi") == len("@anna hi")


async def test_scheduled_status_appears_with_an_id_of_its_own(stand: Stand) -> None:
    person = await connected(stand)
    when = datetime.now(UTC) + timedelta(hours=2)
    scheduled = await person("status_post", "later", scheduled_at=when)
    assert [item.id for item in await person("scheduled_statuses")] == [scheduled.id]
    assert await person("account_statuses", (await person("me")).id) == []
    await stand.command("clock", jump=2 * 3600 + 1)
    [status] = await person("account_statuses", (await person("me")).id)
    assert status.id != scheduled.id
    assert await person("scheduled_statuses") == []
    for number in range(25):
        await person("status_post", "x", scheduled_at=when + timedelta(days=3, seconds=number))
    with pytest.raises(mastodon.MastodonAPIError, match="exceeded the limit"):
        await person("status_post", "x", scheduled_at=when + timedelta(days=3, minutes=1))


async def test_limits_of_calls_are_told_in_iso_8601(stand: Stand) -> None:
    person = await connected(stand)
    url, headers = f"{stand.url}/mastodon/api/v1", {"Authorization": f"Bearer {person.real.access_token}"}
    statuses = []
    for _ in range(301):
        async with stand.http.get(f"{url}/accounts/verify_credentials", headers=headers) as response:
            statuses.append(response.status)
            last = response.headers
    assert statuses == [200] * 300 + [429]
    assert (last["X-RateLimit-Limit"], last["X-RateLimit-Remaining"]) == ("300", "0")
    reset = datetime.fromisoformat(last["X-RateLimit-Reset"])
    assert timedelta(0) < reset - datetime.now(UTC) <= timedelta(minutes=5)
    await stand.command("clock", jump=301)
    assert (await person("me")).username == "alice"
    for number in range(31):
        form = {"file": PNG}
        async with stand.http.post(f"{url}/media", data=multipart(form), headers=headers) as response:
            assert response.status == (200 if number < 30 else 429)


async def test_end_of_a_limit_is_told_by_the_clock_of_the_answer(stand: Stand) -> None:
    """Whoever waits until then takes the time of the answer for now, whatever their own clock says."""
    person = await connected(stand)
    await stand.command("clock", jump=86_400)
    answered, _, headers = await raw(stand, person, "GET", "/v1/accounts/verify_credentials")
    at = parsedate_to_datetime(headers["Date"])
    assert (answered, at - datetime.now(UTC) > timedelta(hours=23)) == (200, True)
    left = datetime.fromisoformat(headers["X-RateLimit-Reset"]) - at
    assert timedelta(0) < left <= timedelta(minutes=5, seconds=1)


async def test_instance_may_raise_its_limits(stand: Stand) -> None:
    await stand.command("variants", platform="mastodon", name="limits", variant="raised")
    person = await connected(stand)
    for number in range(301):
        answered, _, headers = await raw(stand, person, "POST", "/v1/statuses", json={"status": f"Tea {number}"})
        assert answered == 200
    assert int(headers["X-RateLimit-Remaining"]) > 200_000


def multipart(files: dict[str, bytes]) -> Any:
    import aiohttp

    form = aiohttp.FormData()
    for name, content in files.items():
        form.add_field(name, content, filename="a.png", content_type="image/png")
    return form


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/nowhere"),
        ("PATCH", "/api/v1/statuses"),
        ("GET", "/api/v1/statuses/x"),
        ("GET", "/api/v1/accounts/1/statuses"),
        ("POST", "/api/v1/statuses"),
        ("POST", "/api/v1/apps"),
        ("POST", "/oauth/token"),
        ("GET", "/oauth/authorize"),
        ("PUT", "/api/v1/media/1"),
    ],
)
async def test_what_it_does_not_know_is_answered_in_its_own_words(stand: Stand, method: str, path: str) -> None:
    async with stand.http.request(method, f"{stand.url}/mastodon{path}", data=b"\xff{") as response:
        assert 400 <= response.status < 500
        assert "error" in await response.json()


async def raw(stand: Stand, person: Any, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
    headers = {"Authorization": f"Bearer {person.real.access_token}", **options.pop("headers", {})}
    url = f"{stand.url}/mastodon/api{path}"
    async with stand.http.request(method, url, headers=headers, **options) as response:
        body = await response.json() if response.content_type == "application/json" else await response.text()
        return response.status, body, response.headers


async def test_account_creates_300_statuses_in_a_window_of_three_hours(stand: Stand) -> None:
    """``mastodon.md`` 6: windows begin at multiples of three hours, over all applications of the account."""
    one, two = await connected(stand), await connected(stand)
    clock = stand.server.simulation.clock
    await stand.command("clock", jump=3 * 3600 - clock.seconds() % (3 * 3600) + 1)
    clock.set_speed(0)
    for number in range(300):
        if number % 250 == 249:
            await stand.command("clock", jump=301)  # the general limit has room, this one has not
        person = (one, two)[number % 2]
        status, _, headers = await raw(stand, person, "POST", "/v1/statuses", json={"status": f"n{number}"})
        assert status == 200
        assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("300", str(299 - number))
    await stand.command("clock", jump=301)
    status, body, headers = await raw(stand, one, "POST", "/v1/statuses", json={"status": "more"})
    assert (status, body, headers["X-RateLimit-Remaining"]) == (429, {"error": "Too many requests"}, "0")
    assert datetime.fromisoformat(headers["X-RateLimit-Reset"]).timestamp() % (3 * 3600) == 0
    assert (await raw(stand, one, "GET", "/v1/accounts/verify_credentials"))[0] == 200
    await stand.command("clock", jump=3 * 3600 - 604)
    assert (await raw(stand, one, "POST", "/v1/statuses", json={"status": "more"}))[0] == 429, "a second before its end"
    await stand.command("clock", jump=2)
    assert (await raw(stand, one, "POST", "/v1/statuses", json={"status": "more"}))[0] == 200
    assert len(await stand.published("mastodon")) == 301


@pytest.mark.parametrize(
    ("variant", "status", "published"), [("kept", 200, 1), ("server_error", 500, 1), ("ignored", 200, 2)]
)
async def test_repeat_with_the_same_key_is_answered_as_builds_and_forks_do(
    stand: Stand, variant: str, status: int, published: int
) -> None:
    """``mastodon.md`` 5 (b) and (f)."""
    person = await connected(stand)
    await stand.command("variants", platform="mastodon", name="idempotency", variant=variant)
    given = {"json": {"status": "once"}, "headers": {"Idempotency-Key": "job-1"}}
    assert (await raw(stand, person, "POST", "/v1/statuses", **given))[0] == 200
    assert (await raw(stand, person, "POST", "/v1/statuses", **given))[0] == status
    assert len(await stand.published("mastodon", account="alice")) == published


async def test_answer_that_was_lost_comes_again_with_the_key_and_publishes_nothing_more(stand: Stand) -> None:
    """``mastodon.md`` 12."""
    person = await connected(stand)
    given = {"json": {"status": "once"}, "headers": {"Idempotency-Key": "job-1"}}
    await stand.command(
        "faults", platform="mastodon", endpoint="POST /api/v1/statuses", error="gateway_timeout", effect=True
    )
    assert (await raw(stand, person, "POST", "/v1/statuses", **given))[0] == 504
    status, found, _ = await raw(stand, person, "POST", "/v1/statuses", **given)
    assert status == 200
    assert [post["id"] for post in await stand.published("mastodon")] == [found["id"]]


async def upload(stand: Stand, person: Any, kind: str = "video/mp4", path: str = "/v2/media") -> tuple[int, Any]:
    import aiohttp

    form = aiohttp.FormData()
    form.add_field("file", b"frames", filename="a", content_type=kind)
    status, body, _ = await raw(stand, person, "POST", path, data=form)
    return status, body


async def test_media_are_202_then_206_then_200_and_are_collected_after_a_day(stand: Stand) -> None:
    """``mastodon.md`` 4."""
    person = await connected(stand)
    status, media = await upload(stand, person)
    assert (status, media["url"]) == (202, None)
    path = f"/v1/media/{media['id']}"
    assert (await raw(stand, person, "GET", path))[0] == 206
    await stand.command("clock", jump=21)
    assert (await raw(stand, person, "GET", path))[0] == 200
    assert (await raw(stand, person, "PUT", path, json={"description": "x" * 1501}))[0] == 422
    await stand.command("clock", jump=86_400)
    assert (await raw(stand, person, "GET", path))[0] == 404
    assert (await raw(stand, person, "POST", "/v1/statuses", json={"media_ids": [media["id"]]}))[0] == 422
    assert (await upload(stand, person, path="/v1/media"))[0] == 200, "the older upload answers when it is done"


async def test_edit_takes_the_whole_list_of_media_and_keeps_its_history(stand: Stand) -> None:
    """``mastodon.md`` 5 and 5.2."""
    person = await connected(stand)
    one, two = [(await upload(stand, person, "image/png"))[1]["id"] for _ in range(2)]
    made = (await raw(stand, person, "POST", "/v1/statuses", json={"status": "a", "media_ids": [one]}))[1]
    path = f"/v1/statuses/{made['id']}"
    change = {"status": "b", "media_ids": [one, two], "media_attributes": [{"id": one, "description": "d"}]}
    edited = (await raw(stand, person, "PUT", path, json=change | {"spoiler_text": "cw", "language": "de"}))[1]
    assert [media["id"] for media in edited["media_attachments"]] == [one, two]
    assert (edited["media_attachments"][0]["description"], edited["sensitive"], edited["language"]) == ("d", True, "de")
    assert edited["edited_at"] is not None
    assert (await raw(stand, person, "GET", f"{path}/source"))[1] == {
        "id": made["id"],
        "text": "b",
        "spoiler_text": "cw",
    }
    versions = (await raw(stand, person, "GET", f"{path}/history"))[1]
    assert [version["content"] for version in versions] == ["<p>a</p>", "<p>b</p>"]
    assert [len(version["media_attachments"]) for version in versions] == [1, 2]
    assert (await raw(stand, person, "PUT", path, json={"status": "b", "media_ids": [two]}))[0] == 200
    assert (await raw(stand, person, "GET", f"/v1/media/{one}"))[0] == 200, "it is unattached again"
    assert (await raw(stand, person, "DELETE", path))[1]["text"] == "b"
    assert (await raw(stand, person, "DELETE", path))[0] == 404, "done"


@pytest.mark.parametrize(
    ("poll", "status"),
    [
        ({"options": ["a", "b"], "expires_in": 300}, 200),
        ({"options": ["a"], "expires_in": 300}, 422),
        ({"options": ["a"] * 5, "expires_in": 300}, 422),
        ({"options": ["a", "b" * 51], "expires_in": 300}, 422),
        ({"options": ["a", "b"], "expires_in": 299}, 422),
        ({"options": ["a", "b"]}, 422),
    ],
)
async def test_poll_keeps_the_limits_of_the_instance(stand: Stand, poll: Any, status: int) -> None:
    """``mastodon.md`` 1 and 5."""
    person = await connected(stand)
    found, body, _ = await raw(stand, person, "POST", "/v1/statuses", json={"status": "x", "poll": poll})
    assert found == status
    assert status != 200 or [option["title"] for option in body["poll"]["options"]] == ["a", "b"]


async def test_quote_names_the_quoted_status_and_begins_with_a_link(stand: Stand) -> None:
    """``mastodon.md`` 5.1."""
    person, other = await connected(stand), await connected(stand, "bob")
    first = (await raw(stand, other, "POST", "/v1/statuses", json={"status": "first"}))[1]
    form = {"status": "so true", "quoted_status_id": first["id"], "quote_approval_policy": "followers"}
    made = (await raw(stand, person, "POST", "/v1/statuses", json=form))[1]
    assert made["quote"] == {"state": "accepted", "quoted_status_id": first["id"]}
    assert made["content"].startswith('<p class="quote-inline">RE: <a ')
    assert made["quote_approval"]["automatic"] == ["followers"]
    assert (await raw(stand, person, "POST", "/v1/statuses", json=form | {"quoted_status_id": "1"}))[0] == 404


async def test_private_status_is_shown_to_its_author_alone(stand: Stand) -> None:
    """``mastodon.md`` 12: the look-up uses the person's own token, since private ones show."""
    person, other = await connected(stand), await connected(stand, "bob")
    made = (await raw(stand, person, "POST", "/v1/statuses", json={"status": "x", "visibility": "private"}))[1]
    listing = f"/v1/accounts/{made['account']['id']}/statuses?exclude_reblogs=true"
    for viewer, status, count in ((person, 200, 1), (other, 404, 0)):
        assert (await raw(stand, viewer, "GET", f"/v1/statuses/{made['id']}"))[0] == status
        assert len((await raw(stand, viewer, "GET", listing))[1]) == count


def plain(content: str) -> str:
    """The text of a status, as ``mastodon.md`` 12 says to compare it."""
    without = re.sub(r'<p class="quote-inline">.*?</p>', "", content)
    broken = re.sub(r"</p><p>", "\n\n", without).replace("<br />", "\n")
    return html.unescape(re.sub(r"<[^>]+>", "", broken))


async def test_text_comes_back_as_html_that_can_be_undone(stand: Stand) -> None:
    person = await connected(stand)
    text = "1 < 2 & more\nsecond #Tag\n\nhttps://example.org/a/rather/long/path?with=query&more=1 end"
    made = (await raw(stand, person, "POST", "/v1/statuses", json={"status": text}))[1]
    assert made["content"].startswith("<p>1 &lt; 2 &amp; more<br />second <a href=")
    assert plain(made["content"]) == text
    quoting = {"status": "so true", "quoted_status_id": made["id"]}
    quote = (await raw(stand, person, "POST", "/v1/statuses", json=quoting))[1]
    assert plain(quote["content"]) == "so true"


async def test_policy_of_quotes_is_changed_later_and_kept_to(stand: Stand) -> None:
    """``mastodon.md`` 5.1: what is not public is quoted by nobody."""
    person, other = await connected(stand), await connected(stand, "bob")
    made = (await raw(stand, person, "POST", "/v1/statuses", json={"status": "first"}))[1]
    quote = {"status": "so true", "quoted_status_id": made["id"]}
    assert (await raw(stand, other, "POST", "/v1/statuses", json=quote))[0] == 200
    path = f"/v1/statuses/{made['id']}/interaction_policy"
    changed = await raw(stand, person, "PUT", path, json={"quote_approval_policy": "nobody"})
    assert (changed[0], changed[1]["quote_approval"]["automatic"]) == (200, [])
    assert (await raw(stand, other, "POST", "/v1/statuses", json=quote | {"status": "again"}))[0] == 403
    assert (await raw(stand, person, "POST", "/v1/statuses", json=quote | {"status": "mine"}))[0] == 200
    assert (await raw(stand, person, "PUT", path, json={"quote_approval_policy": "friends"}))[0] == 422
    assert (await raw(stand, other, "PUT", path, json={"quote_approval_policy": "public"}))[0] == 404
    private = {"status": "x", "visibility": "private", "quote_approval_policy": "public"}
    shown = (await raw(stand, person, "POST", "/v1/statuses", json=private))[1]
    assert shown["quote_approval"]["automatic"] == []


async def test_edit_of_a_poll_loses_its_votes_only_with_other_options(stand: Stand) -> None:
    """``mastodon.md`` 5: changing options or ``multiple`` resets the votes."""
    person = await connected(stand)
    poll = {"options": ["a", "b"], "expires_in": 3600}
    made = (await raw(stand, person, "POST", "/v1/statuses", json={"status": "which?", "poll": poll}))[1]
    path, seen = f"/v1/statuses/{made['id']}", []
    for options in (["a", "b"], ["a", "c"]):
        change = {"status": "which one?", "poll": poll | {"options": options}}
        edited = (await raw(stand, person, "PUT", path, json=change))[1]
        seen.append(edited["poll"]["id"])
        assert [option["title"] for option in edited["poll"]["options"]] == options
    assert seen[0] == made["poll"]["id"] != seen[1]


async def test_status_may_be_made_without_its_key(stand: Stand) -> None:
    """``mastodon.md`` 5 a: the key is written after the commit, and a crash between them makes a repeat post twice."""
    person = await connected(stand)
    await stand.command("variants", platform="mastodon", name="idempotency", variant="ignored")
    await stand.command("faults", platform="mastodon", endpoint="POST */statuses", effect=True, error="gateway_timeout")
    options: Any = {"json": {"status": "hello"}, "headers": {"Idempotency-Key": "k1"}}
    assert (await raw(stand, person, "POST", "/v1/statuses", **options))[0] == 504
    await stand.command("variants", platform="mastodon", name="idempotency", variant="kept")
    statuses = [(await raw(stand, person, "POST", "/v1/statuses", **options))[0] for _ in range(2)]
    assert (statuses, len(await stand.published("mastodon"))) == ([200, 200], 2)
