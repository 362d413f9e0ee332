"""``x.md`` by its numbers, and a client that nobody here wrote."""

import asyncio
import base64
import hashlib
import io
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest
import requests
import tweepy

from ops.sandbox.platforms.x import CLIENT_ID, CLIENT_SECRET
from ops.sandbox.x_length import weighted
from tests.sandbox.conftest import Elsewhere, Stand

CALLBACK = "https://app.example/callback"
SCOPES = ["tweet.read", "tweet.write", "users.read", "media.write", "offline.access"]
BASIC = {"Authorization": "Basic " + base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()}
VERIFIER = "v" * 64


def rerouted(session: requests.Session, stand: Stand) -> None:
    """Tweepy has X's host written into it: this is its base URL."""
    session.mount("https://api.twitter.com", Elsewhere(f"{stand.url}/x"))


@dataclass
class Person:
    """With a token; ``call`` is for what tweepy has no word for."""

    stand: Stand
    token: dict[str, Any]

    async def call(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, Any]]:
        headers = {"Authorization": f"Bearer {self.token['access_token']}"}
        async with self.stand.http.request(method, f"{self.stand.url}/x{path}", headers=headers, **options) as response:
            return response.status, await response.json() if response.content_type == "application/json" else {}

    async def post(self, **fields: Any) -> int:
        return (await self.call("POST", "/2/tweets", json=fields))[0]


def question(stand: Stand, scopes: list[str] = SCOPES, **other: str) -> str:
    digest = hashlib.sha256(VERIFIER.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": CALLBACK,
        "scope": " ".join(scopes),
        "state": "s1",
        "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
        "code_challenge_method": "S256",
        **other,
    }
    return f"{stand.url}/x/i/oauth2/authorize?{urlencode(query)}"


async def code_of(stand: Stand, account: str = "alice", scopes: list[str] = SCOPES) -> str:
    await stand.command("redirects", platform="x", redirect_uri=CALLBACK)
    answer: dict[str, str] = await stand.consent(question(stand, scopes), account=account)
    return answer["code"]


async def grant(stand: Stand, headers: dict[str, str] = BASIC, **form: str) -> tuple[int, dict[str, Any]]:
    async with stand.http.post(f"{stand.url}/x/2/oauth2/token", data=form, headers=headers) as response:
        return response.status, await response.json()


async def exchange(stand: Stand, code: str, **other: str) -> tuple[int, dict[str, Any]]:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    return await grant(stand, **(form | other))


async def connected(stand: Stand, account: str = "alice", scopes: list[str] = SCOPES) -> Person:
    status, token = await exchange(stand, await code_of(stand, account, scopes))
    assert status == 200, token
    return Person(stand, token)


async def test_stranger_authorises_and_posts(stand: Stand) -> None:
    await stand.command("redirects", platform="x", redirect_uri=CALLBACK)
    handler = tweepy.OAuth2UserHandler(
        client_id=CLIENT_ID, client_secret=CLIENT_SECRET, redirect_uri=CALLBACK, scope=SCOPES
    )
    rerouted(handler, stand)
    asked = urlsplit(handler.get_authorization_url())
    answer = await stand.consent(f"{stand.url}/x{asked.path}?{asked.query}")
    token = await asyncio.to_thread(handler.fetch_token, f"{CALLBACK}?{urlencode(answer)}")
    assert token["expires_in"] == 7200
    client = tweepy.Client(token["access_token"])
    rerouted(client.session, stand)

    async def do(name: str, *arguments: Any, **options: Any) -> Any:
        return await asyncio.to_thread(getattr(client, name), *arguments, user_auth=False, **options)

    me = (await do("get_me")).data
    assert me.username == "alice"
    created = (await do("create_tweet", text="Hello, café")).data
    reply = (await do("create_tweet", text="And more", in_reply_to_tweet_id=created["id"])).data
    found = (await do("get_users_tweets", me.id, max_results=5)).data
    assert [str(tweet.id) for tweet in found] == [reply["id"], created["id"]]
    with pytest.raises(tweepy.Forbidden, match="duplicate content"):
        await do("create_tweet", text="Hello, café")
    await do("delete_tweet", reply["id"])
    both = await do("get_tweets", [created["id"], reply["id"]])
    assert [tweet.text for tweet in both.data] == ["Hello, café"]
    assert both.errors[0]["title"] == "Not Found Error", "partial success"
    assert [post["text"] for post in await stand.ledger("post")] == ["Hello, café", "And more"]


async def test_code_lives_for_30_seconds_and_works_once(stand: Stand) -> None:
    code = await code_of(stand)
    await stand.command("clock", jump=29)
    assert (await exchange(stand, code))[0] == 200
    assert (await exchange(stand, code))[0] == 400
    late = await code_of(stand)
    await stand.command("clock", jump=31)
    status, answer = await exchange(stand, late)
    assert (status, answer["error_description"]) == (400, "Value passed for the authorization code was invalid.")
    assert (await exchange(stand, await code_of(stand), code_verifier="w" * 64))[0] == 400
    assert (await exchange(stand, await code_of(stand), redirect_uri="https://app.example/other"))[0] == 400
    status, answer = await grant(stand, {}, grant_type="refresh_token", refresh_token="x")
    assert (status, answer["error"]) == (401, "unauthorized_client"), "forgotten Basic"


async def test_refresh_tokens_rotate_and_an_old_one_ends_the_family(stand: Stand) -> None:
    person = await connected(stand)
    await stand.command("clock", jump=7201)
    assert (await person.call("GET", "/2/users/me"))[0] == 401
    first = person.token["refresh_token"]
    status, second = await grant(stand, grant_type="refresh_token", refresh_token=first)
    assert status == 200
    assert second["refresh_token"] != first
    person.token = second
    assert (await person.call("GET", "/2/users/me"))[0] == 200
    assert (await grant(stand, grant_type="refresh_token", refresh_token=first))[0] == 400
    assert (await person.call("GET", "/2/users/me"))[0] == 401, "the whole family"
    assert (await grant(stand, grant_type="refresh_token", refresh_token=second["refresh_token"]))[0] == 400
    without = await connected(stand, scopes=["tweet.read", "users.read"])
    assert "refresh_token" not in without.token
    assert await without.post(text="no") == 403


async def test_revoked_token_is_of_no_use(stand: Stand) -> None:
    person = await connected(stand)
    form = {"token": person.token["refresh_token"]}
    async with stand.http.post(f"{stand.url}/x/2/oauth2/revoke", data=form, headers=BASIC) as response:
        assert response.status == 200
    assert (await person.call("GET", "/2/users/me"))[0] == 401
    assert {entry["state"] for entry in await stand.ledger("token")} == {"revoked"}


@pytest.mark.parametrize(
    "other",
    [
        {"redirect_uri": "https://app.example/other"},
        {"client_id": "somebody"},
        {"response_type": "token"},
        {"state": ""},
        {"state": "s" * 501},
        {"code_challenge": ""},
        {"code_challenge_method": "s256"},
        {"scope": "tweet.read everything"},
    ],
    ids=str,
)
async def test_wrong_question_is_refused(stand: Stand, other: dict[str, str]) -> None:
    await stand.command("redirects", platform="x", redirect_uri=CALLBACK)
    async with stand.http.get(question(stand, **other), allow_redirects=False) as response:
        assert response.status == 400
        assert set(await response.json()) == {"error", "error_description"}


async def test_person_may_deny(stand: Stand) -> None:
    await stand.command("redirects", platform="x", redirect_uri=CALLBACK)
    assert await stand.consent(question(stand), "deny") == {"error": "access_denied", "state": "s1"}


POSTS: list[tuple[str, dict[str, Any], int]] = [
    ("280 characters", {"text": "x" * 280}, 201),
    ("281 characters", {"text": "x" * 281}, 400),
    ("140 emoji", {"text": "\U0001f600" * 140}, 201),
    ("141 emoji", {"text": "\U0001f600" * 141}, 400),
    ("CJK counts twice", {"text": "\u6f22" * 141}, 400),
    ("a URL counts 23", {"text": "x" * 256 + " https://example.org/" + "y" * 300}, 201),
    ("and one more", {"text": "x" * 257 + " https://example.org/" + "y" * 300}, 400),
    ("nothing", {}, 400),
    ("a key that is not in the schema", {"text": "x", "idempotency_key": "1"}, 400),
    ("media that is not there", {"text": "x", "media": {"media_ids": ["1"]}}, 400),
    ("5 media", {"text": "x", "media": {"media_ids": ["1", "2", "3", "4", "5"]}}, 400),
    ("an answer to nobody", {"text": "x", "reply": {"in_reply_to_tweet_id": "1"}}, 400),
    ("a poll", {"text": "x", "poll": {"options": ["a", "b"], "duration_minutes": 5}}, 201),
    ("a poll of one", {"text": "x", "poll": {"options": ["a"], "duration_minutes": 5}}, 400),
    ("a poll of 4 minutes", {"text": "x", "poll": {"options": ["a", "b"], "duration_minutes": 4}}, 400),
    ("a long option", {"text": "x", "poll": {"options": ["a", "b" * 26], "duration_minutes": 5}}, 400),
]


@pytest.mark.parametrize(("fields", "status"), [row[1:] for row in POSTS], ids=[row[0] for row in POSTS])
async def test_limits_of_a_post(stand: Stand, fields: dict[str, Any], status: int) -> None:
    found, answer = await (await connected(stand)).call("POST", "/2/tweets", json=fields)
    assert found == status, answer
    assert status == 201 or answer["type"] == "https://api.x.com/2/problems/invalid-request"
    assert len(await stand.ledger("post")) == (status == 201)


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("a" * 280, 280),
        ("字" * 141, 282),
        (FAMILY * 140, 280),
        ("e\u0301", 1),
        ("é", 1),
        ("\U0001f44d\U0001f3fd", 2),
        ("\U0001f1e9\U0001f1ea", 2),
        ("1\ufe0f\u20e3", 2),
        ("x" * 257 + " example.com", 281),
        ("x" * 257 + " kiel.de", 265),
        ("kiel.de/hafen", 23),
        ("a.kiel.de", 23),
        ("stream.tv", 23),
        ("@user.com", 9),
        ("me@example.com", 14),
        ("v1.2.3", 6),
        ("see http://example.com/a?b=c.", 28),
        ("http://nowhere.invalidtld", 25),
        ("http://あいう.com", 23),
        ("http://" + "あ" * 60 + ".com", 131),
        ("http://foobar.پاکستان/", 23),
        ("\u2066\u202ahttp://foobar.پاکستان/\u202c\u2069", 31),
        ("http://example.comだよね", 29),
        ("中国語example.com/path", 29),
        ("http://en.wikipedia.org/wiki/Primer_(film)", 23),
        ("@http://example.com", 19),
        ("john.doe.gov@mail.com", 21),
        ("http://a_b.c-d.com", 23),
        ("http://twitter_underscore.com", 29),
        ("http://t.co/pbY2NfTZ's", 25),
        ("https://example.com/" + "a" * 4100, 4120),
    ],
)
def test_length_is_weighted_by_the_rules_of_the_page(text: str, length: int) -> None:
    """``x.md`` 4.1: NFC, 23 for an address, 2 for an emoji sequence, and the ranges of weight 1."""
    assert weighted(text) == length


async def test_quotes_edits_and_replies_to_strangers_are_refused_as_self_serve_access_is(stand: Stand) -> None:
    """``x.md`` 4: self-serve limits of 2026; a reply to one's own post is unconfirmed, so both are to be had."""
    person = await connected(stand)
    x = stand.server.simulation.platforms["x"]
    own = (await person.call("POST", "/2/tweets", json={"text": "part 1"}))[1]["data"]["id"]
    strange = (await stand.command("act", platform="x", what="publish", account="bob", text="hello"))["id"]
    named = (await stand.command("act", platform="x", what="publish", account="bob", text="hello @alice"))["id"]

    async def reply(to: str, text: str) -> tuple[int, Any]:
        return await person.call("POST", "/2/tweets", json={"text": text, "reply": {"in_reply_to_tweet_id": to}})

    assert (await reply(own, "part 2"))[0] == 201
    status, refused = await reply(strange, "hi")
    assert (status, refused["type"], "duplicate" in refused["detail"]) == (403, "about:blank", False)
    assert (await reply(named, "hi"))[0] == 201, "summoned"
    await stand.command("variants", platform="x", name="self_reply", variant="refused")
    assert (await reply(own, "part 3"))[0] == 403
    for fields in ({"quote_tweet_id": named}, {"edit_options": {"previous_post_id": own}}):
        assert (await person.call("POST", "/2/tweets", json={"text": "new", **fields}))[0] == 403
    assert len(x.posts) == 5
    assert len(await stand.published("x")) == 3, "what the owners wrote themselves does not count"


@pytest.mark.parametrize(
    "fields",
    [
        {"media": {"media_ids": [1]}},
        {"media": {"ids": ["1"]}},
        {"reply": {"in_reply_to_tweet_id": 7}},
        {"reply": {}},
        {"poll": {"options": ["a", "b"], "duration_minutes": 5, "until": 1}},
        {"reply_settings": "everybody"},
        {"media": {"media_ids": ["1"], "tagged_user_ids": ["1"] * 11}},
    ],
)
async def test_schema_takes_no_other_keys_and_no_numbers(stand: Stand, fields: dict[str, Any]) -> None:
    """``x.md`` 4: ``additionalProperties: false`` at every level, and ids are strings."""
    person = await connected(stand)
    assert (await person.call("POST", "/2/tweets", json={"text": "x", **fields}))[0] == 400
    assert await stand.published("x") == []


async def test_timeline_takes_its_parameters_and_shows_what_is_asked_for(stand: Stand) -> None:
    """``x.md`` 12 and 13: how one finds out what became of a post."""
    person = await connected(stand)
    me = (await person.call("GET", "/2/users/me"))[1]["data"]["id"]
    form = part(b"png", media_category="tweet_image")
    media = (await person.call("POST", "/2/media/upload", data=form))[1]["data"]
    first = (await person.call("POST", "/2/tweets", json={"text": "one"}))[1]["data"]["id"]
    body = {"text": "two", "media": {"media_ids": [media["id"]]}}
    second = (await person.call("POST", "/2/tweets", json=body))[1]["data"]["id"]
    await person.call("POST", "/2/tweets", json={"text": "three", "reply": {"in_reply_to_tweet_id": first}})
    path = f"/2/users/{me}/tweets"

    async def found(**query: str) -> list[str]:
        status, answer = await person.call("GET", path, params=query)
        assert status == 200, answer
        assert ("data" in answer) == bool(answer["meta"]["result_count"]), "absent when empty"
        return [post["text"].partition(" https://t.co/")[0] for post in answer.get("data", [])]  # that of its media

    assert await found() == ["three", "two", "one"]
    assert await found(exclude="replies,retweets") == ["two", "one"]
    assert await found(since_id=first) == ["three", "two"]
    assert await found(until_id=second) == ["one"]
    now = stand.server.simulation.clock.now()
    assert await found(start_time=(now + timedelta(seconds=1)).strftime("%Y-%m-%dT%H:%M:%SZ")) == []
    assert await found(end_time=(now - timedelta(minutes=2)).strftime("%Y-%m-%dT%H:%M:%SZ")) == []
    for wrong in ({"max_results": "4"}, {"max_results": "101"}, {"start_time": "soon"}, {"exclude": "likes"}):
        assert (await person.call("GET", path, params=wrong))[0] == 400
    bare = (await person.call("GET", path))[1]["data"][0]
    assert set(bare) == {"id", "text", "edit_history_tweet_ids"}, "what is not asked for is not shown"
    query = {"tweet.fields": "created_at,attachments", "expansions": "attachments.media_keys", "since_id": first}
    shown = (await person.call("GET", path, params=query))[1]
    assert shown["data"][1]["attachments"]["media_keys"] == [media["media_key"]], "the exact key (x.md 5, 12)"
    assert shown["includes"]["media"][0]["media_key"] == media["media_key"]
    await stand.command("listing-lag", platform="x", seconds=90)
    assert await found() == []
    assert (await person.call("GET", f"/2/tweets/{first}"))[1]["data"]["text"] == "one", (
        "the index lags, the post is there"
    )
    await stand.command("clock", jump=91)
    assert await found() == ["three", "two", "one"]


async def test_missing_post_is_named_beside_the_others(stand: Stand) -> None:
    """``x.md`` 7."""
    person = await connected(stand)
    made = (await person.call("POST", "/2/tweets", json={"text": "one"}))[1]["data"]["id"]
    answer = (await person.call("GET", f"/2/tweets?ids={made},456"))[1]
    [missing] = answer["errors"]
    assert (missing["resource_type"], missing["resource_id"], missing["title"]) == ("tweet", "456", "Not Found Error")
    assert missing["type"] == "https://api.x.com/2/problems/resource-not-found"


async def test_reply_in_ones_own_conversation_is_hidden(stand: Stand) -> None:
    """``x.md`` 4.2."""
    person = await connected(stand, scopes=[*SCOPES, "tweet.moderate.write"])
    mine = (await person.call("POST", "/2/tweets", json={"text": "mine"}))[1]["data"]["id"]
    act = {"platform": "x", "what": "comment", "account": "alice", "post": mine, "by": "fan_1", "text": "no"}
    reply = (await stand.command("act", **act))["id"]
    hidden = await person.call("PUT", f"/2/tweets/{reply}/hidden", json={"hidden": True})
    assert hidden == (200, {"data": {"hidden": True}})
    assert (await person.call("PUT", f"/2/tweets/{mine}/hidden", json={"hidden": True}))[0] == 403


async def test_subtitles_belong_to_an_uploaded_video(stand: Stand) -> None:
    """``x.md`` 4.2."""
    person = await connected(stand)
    clip = await video(person, b"frames")
    form = aiohttp.FormData()
    form.add_field("media", io.BytesIO(b"1"), filename="a.srt", content_type="text/srt")
    form.add_field("media_category", "subtitles")
    text = (await person.call("POST", "/2/media/upload", data=form))[1]["data"]["id"]
    body = {"id": clip, "media_category": "TweetVideo", "subtitles": {"id": text, "language_code": "EN"}}
    assert (await person.call("POST", "/2/media/subtitles", json=body))[0] == 200
    wrong = body | {"subtitles": {"id": text, "language_code": "en"}}
    assert (await person.call("POST", "/2/media/subtitles", json=wrong))[0] == 400


def part(content: bytes, index: int | None = None, **fields: str) -> aiohttp.FormData:
    form = aiohttp.FormData()
    form.add_field("media", io.BytesIO(content), filename="blob", content_type="image/png")
    if index is not None:
        form.add_field("segment_index", str(index))
    for name, value in fields.items():
        form.add_field(name, value)
    return form


async def video(person: Person, *segments: bytes, total: int | None = None) -> str:
    size = sum(map(len, segments)) if total is None else total
    command = {"media_type": "video/mp4", "media_category": "tweet_video", "total_bytes": size}
    status, answer = await person.call("POST", "/2/media/upload/initialize", json=command)
    assert status == 200, answer
    for index, segment in enumerate(segments):
        path = f"/2/media/upload/{answer['data']['id']}/append"
        assert (await person.call("POST", path, data=part(segment, index)))[0] == 200
    return str(answer["data"]["id"])


async def test_video_goes_up_in_segments_and_is_processed(stand: Stand) -> None:
    person = await connected(stand)
    number = await video(person, b"a" * 2**20, b"b" * 2**20, b"c")
    assert await person.post(text="too soon", media={"media_ids": [number]}) == 400
    status, answer = await person.call("POST", f"/2/media/upload/{number}/finalize")
    assert (status, answer["data"]["size"]) == (200, 2 * 2**20 + 1)
    seen = []
    for _ in range(4):
        query = {"media_id": number, "command": "STATUS"}
        info = (await person.call("GET", "/2/media/upload", params=query))[1]["data"]["processing_info"]
        seen.append(info["state"])
        await stand.command("clock", jump=info.get("check_after_secs", 0) + 1)
    assert seen == ["pending", "in_progress", "in_progress", "succeeded"]
    assert await person.post(media={"media_ids": [number]}) == 201
    assert await person.post(text="mixed", media={"media_ids": [number, await image(person)]}) == 400


async def image(person: Person, content: bytes = b"png") -> str:
    status, answer = await person.call("POST", "/2/media/upload", data=part(content, media_category="tweet_image"))
    assert (status, "processing_info" in answer["data"]) == (200, False), "ready at once"
    return str(answer["data"]["id"])


async def test_upload_that_does_not_add_up_is_refused(stand: Stand) -> None:
    person = await connected(stand)
    short = await video(person, b"abc", total=4)
    assert (await person.call("POST", f"/2/media/upload/{short}/finalize"))[0] == 400
    path = f"/2/media/upload/{short}/append"
    assert (await person.call("POST", path, data=part(b"x", 1000)))[0] == 400, "segments 0 to 999"
    assert (await person.call("POST", path, data=part(b"x" * 5 * 2**20, 1)))[0] == 413, "the edge"
    assert (await person.call("POST", path, data=part(b"d", 2)))[0] == 200
    assert (await person.call("POST", f"/2/media/upload/{short}/finalize"))[0] == 400, "a gap"
    too_large = {"media_type": "video/mp4", "media_category": "tweet_video", "total_bytes": 512 * 2**20 + 1}
    assert (await person.call("POST", "/2/media/upload/initialize", json=too_large))[0] == 400
    other = await connected(stand, "bob")
    assert (await other.call("POST", f"/2/media/upload/{short}/finalize"))[0] == 400, "somebody else's"


async def test_broken_video_fails_and_old_media_expires(stand: Stand) -> None:
    person = await connected(stand)
    number = await video(person, b"corrupt")
    await person.call("POST", f"/2/media/upload/{number}/finalize")
    await stand.command("clock", jump=16)
    query = {"media_id": number, "command": "STATUS"}
    answer = (await person.call("GET", "/2/media/upload", params=query))[1]
    assert answer["data"]["processing_info"]["state"] == "failed"
    picture = await image(person)
    metadata = {"id": picture, "metadata": {"alt_text": {"text": "a" * 1000}}}
    assert (await person.call("POST", "/2/media/metadata", json=metadata))[0] == 200
    metadata["metadata"] = {"alt_text": {"text": "a" * 1001}}
    assert (await person.call("POST", "/2/media/metadata", json=metadata))[0] == 400
    await stand.command("clock", jump=86401)
    person.token = (await connected(stand)).token
    assert await person.post(text="late", media={"media_ids": [picture]}) == 400


async def test_hundred_posts_in_a_quarter_of_an_hour(stand: Stand) -> None:
    person, other = await connected(stand), await connected(stand, "bob")
    assert [await person.post(text=f"n{number}") for number in range(101)] == [201] * 100 + [429]
    assert await other.post(text="mine") == 201
    headers = {"Authorization": f"Bearer {person.token['access_token']}"}
    async with stand.http.post(f"{stand.url}/x/2/tweets", json={"text": "x"}, headers=headers) as response:
        assert response.headers["x-rate-limit-remaining"] == "0"
        reset = int(response.headers["x-rate-limit-reset"])
        assert 0 < reset - stand.server.simulation.clock.seconds() <= 900, "epoch seconds"
        assert (await response.json())["type"].endswith("/rate-limit-exceeded")
    await stand.command("clock", jump=901)
    assert await person.post(text="again") == 201


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/2/nowhere", 404),
        ("PUT", "/2/tweets", 404),
        ("POST", "/2/tweets", 401),
        ("GET", "/2/tweets?ids=", 401),
    ],
)
async def test_what_it_does_not_know_is_a_problem_document(stand: Stand, method: str, path: str, status: int) -> None:
    async with stand.http.request(method, f"{stand.url}/x{path}", data=b"\xff{") as response:
        assert response.status == status
        assert {"type", "title", "detail"} <= set(await response.json())


async def test_text_comes_back_with_short_links_escapes_and_one_link_for_its_media(stand: Stand) -> None:
    """``x.md`` 12: what has to be undone to compare it."""
    person = await connected(stand)
    text = "5 < 6 & see https://example.org/a?b=1&c=2, example.com!"
    fields = {"text": text, "media": {"media_ids": [await image(person)]}}
    made = (await person.call("POST", "/2/tweets", json=fields))[1]["data"]
    path = f"/2/tweets/{made['id']}?tweet.fields=entities"
    found = (await person.call("GET", path))[1]["data"]
    assert found["text"] == made["text"]
    assert found["text"].startswith("5 &lt; 6 &amp; see https://t.co/")
    links = found["entities"]["urls"]
    assert [link["expanded_url"] for link in links[:2]] == ["https://example.org/a?b=1&c=2", "http://example.com"]
    assert links[2]["expanded_url"] == f"https://x.com/alice/status/{made['id']}/photo/1"
    assert [found["text"][link["start"] : link["end"]] for link in links] == [link["url"] for link in links]
    assert found["text"].endswith(f"! {links[2]['url']}")
    assert [entry["text"] for entry in await stand.published("x")] == [text]


@pytest.mark.parametrize(("variant", "status"), [("present", 201), ("deleted_too", 403)])
async def test_repeat_of_a_deleted_post_is_refused_or_not(stand: Stand, variant: str, status: int) -> None:
    """``x.md`` 4: unconfirmed, with a report of either."""
    person = await connected(stand)
    await stand.command("variants", platform="x", name="duplicate_of", variant=variant)
    made = (await person.call("POST", "/2/tweets", json={"text": "once"}))[1]["data"]["id"]
    refused = await person.call("POST", "/2/tweets", json={"text": "once"})
    assert (refused[0], "duplicate content" in refused[1]["detail"], "id" in refused[1]) == (403, True, False)
    await person.call("DELETE", f"/2/tweets/{made}")
    assert await person.post(text="once") == status


async def test_timeline_shows_the_window_the_media_keys_and_what_is_indexed(stand: Stand) -> None:
    """``x.md`` 12: the read by which a lost answer is decided."""
    person = await connected(stand)
    me = (await person.call("GET", "/2/users/me"))[1]["data"]["id"]
    command = {"media_type": "video/mp4", "media_category": "tweet_video", "total_bytes": 6}
    begun = (await person.call("POST", "/2/media/upload/initialize", json=command))[1]["data"]
    await person.call("POST", f"/2/media/upload/{begun['id']}/append", data=part(b"frames", 0))
    await person.call("POST", f"/2/media/upload/{begun['id']}/finalize")
    await stand.command("clock", jump=16)
    assert await person.post(text="before") == 201
    await stand.command("clock", jump=600)
    start = (await stand.state())["now"]
    await stand.command("listing-lag", platform="x", seconds=90)
    fields = {"text": "ours", "media": {"media_ids": [begun["id"]]}}
    await stand.command("faults", platform="x", endpoint="POST /2/tweets", effect=True, error="edge_unavailable")
    assert await person.post(**fields) == 503

    async def seen() -> list[list[str]]:
        query = {"start_time": start, "exclude": "retweets", "tweet.fields": "attachments", "max_results": "100"}
        found = (await person.call("GET", f"/2/users/{me}/tweets", params=query))[1]
        return [post["attachments"]["media_keys"] for post in found.get("data", [])]

    assert await seen() == []
    await stand.command("clock", jump=91)
    assert await seen() == [[begun["media_key"]]]
