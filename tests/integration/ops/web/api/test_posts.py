"""The API of posts, over HTTP and as the web process's role."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.access import api_keys, tenants
from ops.runtime.db import open_pool
from ops.runtime.tenancy import tenant_transaction
from publish.media.links import Links
from publish.posting import link_preview
from publish.posting.link_preview import Previews
from schema.rights import WEB_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.linked_site import linked_site
from tests.posting import Posting, posting
from tests.rig import PATIENT, TESTS, Rig, add_pages
from tests.support import is_error


@dataclass(repr=False)
class Programs:
    """``publishing`` has the worker's side; ``account`` is a connection to Instagram, and ``picture`` a file."""

    publishing: Posting
    url: str
    account: str
    picture: str
    keys: dict[str, str]

    async def ask(
        self, method: str, path: str, body: Any = None, *, key: str = "all", **headers: str
    ) -> tuple[int, Any]:
        headers |= {"Authorization": f"Bearer {self.keys[key]}"}
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, self.url + path, json=body, headers=headers) as response,
        ):
            found = await response.json()
            assert response.status < 400 or is_error(found), found
            return response.status, found

    def post(self, content: str = "Tea", **more: Any) -> dict[str, Any]:
        return {"content": content, "media": [self.picture], "targets": [{"connection": self.account}]} | more

    async def made(self, content: str = "Tea", **more: Any) -> Any:
        status, found = await self.ask("POST", "/api/posts", self.post(content, **more))
        assert status == 201, found
        return found["post"]


@pytest.fixture
async def programs(rig: Rig) -> AsyncIterator[Programs]:
    async with posting(rig) as found, await open_pool(rig.dsn, "publish", 4, role=WEB_ROLE, **PATIENT) as pool:  # type: ignore[arg-type]
        app = web.Application()
        previews = Previews(rig.built.providers.client.http)
        add_pages(app, pool, rig.built, posts=replace(found.posts, pool=pool, previews=previews))
        async with TestServer(app) as server:
            [account] = await rig.connect("instagram")
            picture = found.media.add("picture.jpg", "image/jpeg", width=640, height=640)
            keys = {"all": rig.key}
            for name, scopes in {
                "reader": ["posts:read"],
                "writer": ["posts:read", "posts:write"],
                "approver": ["posts:read", "posts:approve"],
                "other": ["connections:read"],
            }.items():
                keys[name] = await api_keys.create(rig.pool, DEFAULT_TENANT, name, scopes, TESTS)
            yield Programs(found, str(server.make_url("")).rstrip("/"), account, picture, keys)


def later(**delta: float) -> str:
    return f"{datetime.now(UTC) + timedelta(**delta):%Y-%m-%dT%H:%M:%SZ}"


async def test_post_is_made_shown_published_and_listed(programs: Programs) -> None:
    post = await programs.made(campaign_id="spring", hashtags=["tea"])
    assert (post["status"], post["targets"][0]["state"], post["author"]) == ("pending", "draft", "key:tests")
    status, changed = await programs.ask("POST", f"/api/posts/{post['id']}/publish")
    assert (status, changed["changed"]) == (200, True)
    await programs.publishing.run(post["targets"][0]["id"])
    status, shown = await programs.ask("GET", f"/api/posts/{post['id']}")
    assert (status, shown["status"], shown["targets"][0]["state"]) == (200, "posted", "published")
    assert shown["targets"][0]["platform_post_url"].startswith("https://www.instagram.com/")
    status, listed = await programs.ask("GET", "/api/posts?campaign=spring&state=posted&from=2020-01-01&to=2100-01-01")
    assert (status, [each["id"] for each in listed["posts"]], listed["before"]) == (200, [post["id"]], None)
    status, summary = await programs.ask("GET", "/api/posts/summary?campaign=spring")
    assert (summary["posted"], summary["pending"], summary["platforms"]["instagram"]["posted"]) == (1, 0, 1)


async def test_header_with_a_key_makes_one_post(programs: Programs) -> None:
    key = {"Idempotency-Key": "once"}
    status, first = await programs.ask("POST", "/api/posts", programs.post(action="publish"), **key)
    again, second = await programs.ask("POST", "/api/posts", programs.post(action="publish"), **key)
    assert (status, again, second["replayed"]) == (201, 200, True)
    assert first["post"]["id"] == second["post"]["id"]
    status, error = await programs.ask("POST", "/api/posts", programs.post("Coffee", action="publish"), **key)
    assert (status, error["error"]["code"], error["error"]["details"]["post"]) == (409, "conflict", first["post"]["id"])


async def test_same_post_again_is_answered_with_the_one_that_is_there(programs: Programs) -> None:
    post = await programs.made(action="publish")
    status, found = await programs.ask("POST", "/api/posts", programs.post(action="publish"))
    assert (status, found["accounts"][0]["result"], found["post"]["id"]) == (200, "exists", post["id"])


async def test_refusal_has_the_findings_by_item(programs: Programs) -> None:
    status, found = await programs.ask("POST", "/api/posts", programs.post("x" * 2300, action="publish"))
    assert (status, found["error"]["code"]) == (422, "unprocessable")
    assert ("text_length", "text") in {(f["code"], f["item"]) for f in found["error"]["details"]["findings"]}
    status, found = await programs.ask("POST", "/api/posts", programs.post(media=[DEFAULT_TENANT], action="publish"))
    assert (status, "There is no file" in found["error"]["message"]) == (422, True)


@pytest.mark.parametrize(
    "body",
    [
        [], 1, "x", {"content": 1}, {"unknown": 1}, {"content": "\x00"}, {"media": ["x"]}, {"targets": [{}]},
        {"targets": [{"connection": "x"}]}, {"late_minutes": 1}, {"action": "go"}, {"hashtags": ["a b"]},
        {"targets": [{"connection": DEFAULT_TENANT, "options": {"a": "\x00"}}]}, {"content": "\ud800"},
    ],
)  # fmt: skip
async def test_body_that_is_none_is_refused(programs: Programs, body: Any) -> None:
    status, found = await programs.ask("POST", "/api/posts", body)
    assert (status, found["error"]["code"]) == (400, "invalid_request")


async def test_schedule_wants_a_time(programs: Programs) -> None:
    status, found = await programs.ask("POST", "/api/posts/schedule", programs.post())
    assert (status, found["error"]["message"]) == (422, "The post has no time.")
    status, found = await programs.ask("POST", "/api/posts/schedule", programs.post(scheduled_time=later(hours=1)))
    assert (status, found["post"]["targets"][0]["state"]) == (201, "scheduled")


async def test_edit_by_version_and_what_is_the_same_changes_nothing(programs: Programs) -> None:
    post = await programs.made(scheduled_time=later(hours=1))
    path = f"/api/posts/{post['id']}"
    assert (await programs.ask("PATCH", path, {"content": "Tea"}))[1]["changed"] is False
    status, found = await programs.ask("PATCH", path, {"content": "Coffee", "version": 1})
    assert (status, found["post"]["content"], found["post"]["version"]) == (200, "Coffee", 2)
    status, found = await programs.ask("PATCH", path, {"content": "Cocoa", "version": 1})
    assert (status, found["error"]["code"]) == (409, "conflict")
    status, found = await programs.ask("PATCH", path, {"scheduled_time": later(hours=3)})
    assert found["post"]["targets"][0]["due_at"] == found["post"]["scheduled_time"]


async def test_cancel_always_answers(programs: Programs) -> None:
    post = await programs.made(scheduled_time=later(hours=1))
    status, found = await programs.ask("DELETE", f"/api/posts/{post['id']}")
    assert (status, found["cancelled"]) == (200, True)
    status, found = await programs.ask("POST", f"/api/posts/{post['id']}/cancel")
    assert (status, found["cancelled"]) == (200, True)
    published = await programs.made("Coffee", action="publish")
    await programs.publishing.run(published["targets"][0]["id"])
    status, found = await programs.ask("POST", f"/api/posts/{published['id']}/cancel")
    [told] = found["targets"].values()
    assert (status, found["cancelled"], told) == (
        200, False, {"state": "published", "cancelled": False, "reason": "it is published"},
    )  # fmt: skip


async def test_approval_by_somebody_else(programs: Programs) -> None:
    post = await programs.made(needs_approval=True, scheduled_time=later(hours=1))
    path = f"/api/posts/{post['id']}/approve"
    assert (await programs.ask("POST", path, {"version": 1}, key="writer"))[0] == 403
    assert (await programs.ask("POST", path, {"version": 1}))[0] == 403, "its author"
    status, found = await programs.ask("POST", path, {"version": 1}, key="approver")
    assert (status, found["post"]["approved_by"], found["post"]["targets"][0]["state"]) == (
        200,
        "key:approver",
        "scheduled",
    )


async def test_retry_and_confirm(programs: Programs) -> None:
    post = await programs.made(action="publish")
    [target] = post["targets"]
    status, found = await programs.ask("POST", f"/api/posts/{post['id']}/retry")
    assert (status, found["error"]["details"]["states"]) == (409, {target["id"]: "scheduled"})
    await programs.publishing.rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER USER")
    await programs.publishing.rig.raw("UPDATE post_targets SET state = 'unconfirmed', evidence = '[\"seen\"]'")
    status, found = await programs.ask("GET", f"/api/posts/{post['id']}")
    assert found["targets"][0]["evidence"] == ["seen"]
    await programs.publishing.rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER USER")
    body = {"target": target["id"], "there": True, "post_id": "17"}
    status, found = await programs.ask("POST", f"/api/posts/{post['id']}/confirm", body)
    assert (status, found["post"]["targets"][0]["platform_post_id"]) == (200, "17")


async def test_all_that_failed_for_one_cause_are_tried_again(programs: Programs) -> None:
    posts = [await programs.made(text, action="publish") for text in ("one", "two", "three")]
    raw, connection = programs.publishing.rig.raw, programs.publishing.rig.connection
    await connection.execute("ALTER TABLE post_targets DISABLE TRIGGER USER")
    for post, code in zip(posts, ("spam", "spam", "other"), strict=True):
        change = "UPDATE post_targets SET state = 'failed', error_code = $2, due_at = NULL WHERE post_id = $1::uuid"
        await raw(change, post["id"], code)
    await connection.execute("ALTER TABLE post_targets ENABLE TRIGGER USER")
    assert (await programs.ask("POST", "/api/posts/retry", {"cause": ""}))[0] == 400
    nothing = await programs.ask("POST", "/api/posts/retry", {"cause": "spam", "platform": "x"})
    assert nothing == (200, {"retried": 0, "refused": 0})
    done = await programs.ask("POST", "/api/posts/retry", {"cause": "spam"})
    assert done == (200, {"retried": 2, "refused": 0})
    states = [(await programs.ask("GET", f"/api/posts/{post['id']}"))[1]["targets"][0]["state"] for post in posts]
    assert states == ["scheduled", "scheduled", "failed"]


@pytest.mark.parametrize("key", ["reader", "other"])
async def test_scopes_are_needed(programs: Programs, key: str) -> None:
    post = await programs.made()
    path = f"/api/posts/{post['id']}"
    for method, address in (
        ("POST", "/api/posts"), ("POST", "/api/posts/bulk"), ("PATCH", path), ("DELETE", path), ("POST", "/api/share"),
        *(("POST", f"{path}/{what}") for what in ("publish", "cancel", "retry", "confirm", "approve")),
        ("POST", "/api/posts/schedule"), ("POST", "/api/instagram/upload"), ("POST", "/api/posts/retry"),
    ):  # fmt: skip
        status, found = await programs.ask(method, address, {}, key=key)
        assert (status, found["error"]["code"]) == (403, "forbidden"), address
    for address in ("/api/posts", path, "/api/posts/summary", "/api/posting/rules"):
        assert (await programs.ask("GET", address, key=key))[0] == (200 if key == "reader" else 403)
    assert (await programs.ask("GET", path))[1]["targets"][0]["state"] == "draft"


async def test_user_s_bulk_document_makes_each_post_for_itself(programs: Programs) -> None:
    # No file can be named there, so nothing is taken by a platform that needs one.
    body = {
        "campaign_id": "spring",
        "posts": [
            {"content": "one", "platforms": ["instagram"], "hashtags": ["#a"]},
            {"content": "two", "platforms": ["no"]},
        ],
        "scheduling_options": {"interval_hours": 2, "start_time": "2099-06-01 09:00", "timezone": "Europe/Berlin"},
    }
    status, found = await programs.ask("POST", "/api/posts/bulk", body)
    assert (status, found["error"]["code"]) == (422, "unprocessable")
    first, second = found["error"]["details"]["posts"]
    assert first["problems"][0]["findings"][0]["connection"] == programs.account
    assert "no platform 'no'" in second["problems"][0]["message"]
    status, found = await programs.ask("POST", "/api/posts/bulk", {"posts": []})
    assert (status, found["error"]["details"]["problems"][0]["field"]) == (400, "posts")


async def test_campaign_parameters_are_shown_with_each_target(programs: Programs) -> None:
    post = await programs.made("See https://example.org/tea", campaign_id="spring", utm=True, action="publish")
    [target] = post["targets"]
    text = "See https://example.org/tea?utm_source=instagram&utm_medium=social&utm_campaign=spring"
    assert (post["content"], post["utm"], target["text"]) == ("See https://example.org/tea", True, text)
    await programs.publishing.run(target["id"])
    [shown] = await programs.publishing.shown("instagram")
    assert shown["text"] == text


async def test_share_has_a_result_for_each_account(programs: Programs) -> None:
    status, found = await programs.ask("POST", "/api/share", {"url": "https://example.org/tea", "message": "Tea"})
    assert (status, found["error"]["code"]) == (422, "unprocessable"), "Instagram shares no pages"


async def test_preview_is_what_a_page_says_of_itself(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    async with linked_site(monkeypatch) as (site, asked):
        status, found = await programs.ask("GET", f"/api/link-preview?url={site}/tea")
        assert (status, found) == (
            200,
            {
                "url": f"{site}/tea",
                "title": "All about tea",
                "description": "Green & black",
                "image": f"{site}/cup.jpg",
            },
        )
        for path, why in (("inside", "no server on the internet"), ("picture", "no HTML page"), ("x", "status 404")):
            status, found = await programs.ask("GET", f"/api/link-preview?url={site}/{path}")
            assert (status, found["error"]["code"], why in found["error"]["message"]) == (422, "unprocessable", True)
        for url in ("file:///etc/passwd", "http://127.0.0.2/", "http://[", "tea"):
            assert (await programs.ask("GET", f"/api/link-preview?url={url}"))[0] == 422
        for url in ("", "https://example.org/" + "x" * 2000):
            assert (await programs.ask("GET", f"/api/link-preview?url={url}"))[0] == 400
        before = len(asked)
        status, _ = await programs.ask("GET", f"/api/link-preview?url={site}/tea", key="reader")
        assert (status, len(asked)) == (403, before), "who may only read has nothing fetched"
        monkeypatch.setattr(link_preview, "A_MINUTE", 0)
        status, found = await programs.ask("GET", f"/api/link-preview?url={site}/tea")
        error = found["error"]
        assert (status, error["code"], error["retryable"], len(asked)) == (429, "rate_limit_exceeded", True, before)


async def test_share_says_why_nothing_is_known_of_the_page(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, rig: Rig
) -> None:
    [linkedin] = await rig.connect("linkedin")
    async with linked_site(monkeypatch) as (site, _):
        body = {"url": f"{site}/tea", "message": "Tea", "accounts": [linkedin]}
        status, found = await programs.ask("POST", "/api/share", body)
        assert (status, found["findings"], found["post"]["link"]["title"]) == (201, [], "All about tea")
        body = {"url": f"{site}/gone", "title": "Gone", "accounts": [linkedin], "utm": True, "campaign_id": "spring"}
        status, found = await programs.ask("POST", "/api/share", body)
        assert (status, [each["code"] for each in found["findings"]]) == (201, ["link_preview"])
        [target] = found["post"]["targets"]
        assert target["link_url"] == f"{site}/gone?utm_source=linkedin&utm_medium=social&utm_campaign=spring"


async def test_upload_publishes_a_file_at_the_accounts_of_a_platform(programs: Programs) -> None:
    body = {"media": {"id": programs.picture, "alt_text": "a cup"}, "caption": "Tea"}
    status, found = await programs.ask("POST", "/api/instagram/upload", body)
    assert (status, found["accounts"][0]["result"]) == (201, "created"), found
    await programs.publishing.run(found["post"]["targets"][0]["id"])
    [shown] = await programs.publishing.shown("instagram")
    assert shown["text"] == "Tea"
    status, found = await programs.ask("POST", "/api/friendfeed/upload", body)
    assert (status, found["error"]["code"]) == (404, "unknown_platform")
    status, found = await programs.ask("POST", "/api/instagram/upload", body | {"scheduled_time": later(days=2)})
    assert (status, found["post"]["targets"][0]["state"]) == (201, "scheduled")


async def test_rules_have_kinds_limits_and_schemas_of_options(programs: Programs) -> None:
    _, found = await programs.ask("GET", "/api/posting/rules")
    image = found["platforms"]["instagram"]["kinds"]["image"]
    assert image["text"]["at_most"] == 2200
    assert "first_comment" in image["options"]["properties"]
    assert found["platforms"]["instagram"]["quotas"] == [{"posts": 100, "hours": 24.0, "kinds": []}]
    owners = found["platforms"]["linkedin"]["owners"]
    assert owners["organization"]["permissions"] != owners["person"]["permissions"]
    assert found["platforms"]["instagram"]["owners"] == {}


@pytest.mark.parametrize("option", [{"first_comment": "More"}, {"share_to_story": "light"}])
async def test_option_is_no_refusal_where_the_platform_does_not_say_whether_it_was_allowed(
    programs: Programs, option: dict[str, str]
) -> None:
    """``meta.md`` 7.3: no answer of Threads says what was granted."""
    [account] = await programs.publishing.rig.connect("threads")
    target = {"connection": account, "kind": "text", "options": option}
    body = {"content": "Tea", "action": "publish", "targets": [target], "dry_run": True}
    status, answer = await programs.ask("POST", "/api/posts", body)
    assert (status, answer.get("findings")) == (200, []), answer


@pytest.mark.parametrize(
    "query",
    [
        "state=nonsense",
        "from=yesterday",
        "before=x",
        "limit=0",
        "limit=1000",
        "limit=x",
        "state=only:pending",
        "state=only:",
        "connection=x",
        "to=0001-01-01T00:00:00+23:00",
    ],
)
async def test_query_that_is_none_is_refused(programs: Programs, query: str) -> None:
    status, found = await programs.ask("GET", f"/api/posts?{query}")
    assert (status, found["error"]["code"]) == (400, "invalid_request")


async def found_by(programs: Programs, query: str) -> list[str]:
    status, found = await programs.ask("GET", f"/api/posts?{query}")
    assert status == 200, found
    return [post["content"] for post in found["posts"]]


async def test_posts_are_found_by_state_account_and_text(programs: Programs) -> None:
    rig = programs.publishing.rig
    [other] = await rig.connect("mastodon")
    made = {}
    for content in ("Green tea", "Black tea, 100%", "Coffee"):
        targets = [{"connection": programs.account}, *([{"connection": other}] if content == "Coffee" else [])]
        made[content] = await programs.made(content, targets=targets)
    await rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
    for content, state in (("Green tea", "failed"), ("Black tea, 100%", "missed"), ("Coffee", "awaiting_person")):
        query = "UPDATE post_targets SET state = $2 WHERE post_id = $1::uuid AND connection_id = $3::uuid"
        await rig.raw(query, made[content]["id"], state, programs.account)
    for query, expected in {
        "state=failed": ["Black tea, 100%", "Green tea"],
        "state=only:failed": ["Green tea"],
        "state=missed": ["Black tea, 100%"],
        "state=awaiting_person": ["Coffee"],
        "state=unconfirmed": [],
        f"connection={other}": ["Coffee"],
        f"connection={other}&state=awaiting_person": [],
        f"connection={other}&state=draft&platform=mastodon": ["Coffee"],
        "text=TEA": ["Black tea, 100%", "Green tea"],
        "text=100%25": ["Black tea, 100%"],
        "text=n%25t": [],
        "text=n_t": [],
        "text=%5C": [],
        "text=tea&state=missed": ["Black tea, 100%"],
    }.items():
        assert await found_by(programs, query) == expected, query
    own = {"targets": [{"connection": programs.account, "content": "Something of its own"}]}
    await programs.made("Cake", **own)
    assert await found_by(programs, "text=of+its+own") == ["Cake"], "the text of one account counts too"


async def test_pages_of_what_fits_lead_on_until_the_end(programs: Programs) -> None:
    for number in range(5):
        await programs.made(f"Tea {number}" if number != 2 else "Coffee")
    seen, before = [], ""
    for _ in range(3):
        status, found = await programs.ask("GET", f"/api/posts?text=tea&limit=2{before}")
        seen += [post["content"] for post in found["posts"]]
        if found["before"] is None:
            break
        before = f"&before={found['before']}"
    assert (status, seen) == (200, ["Tea 4", "Tea 3", "Tea 1", "Tea 0"])


async def test_history_has_each_state_of_a_target_by_the_log_and_what_happens_next(programs: Programs) -> None:
    post = await programs.made(scheduled_time=later(hours=1), timezone="UTC")
    path = f"/api/posts/{post['id']}"
    status, found = await programs.ask("GET", f"{path}/history", key="reader")
    [target] = found["targets"]
    assert (status, found["post"], target["target"]) == (200, post["id"], post["targets"][0]["id"])
    assert [event["state"] for event in target["events"]] == ["scheduled"]
    assert (target["next"]["waits_for"], target["next"]["at"]) == ("time", post["scheduled_time"])
    await programs.ask("POST", f"{path}/publish")
    await programs.publishing.run(target["target"])
    _, found = await programs.ask("GET", f"{path}/history")
    [target] = found["targets"]
    states = [event["state"] for event in target["events"]]
    assert (states[0], states[-1], target["state"]) == ("scheduled", "published", "published")
    assert "publishing" in states
    times = [event["at"] for event in target["events"]]
    assert times == sorted(times)
    assert (
        target["events"][-1]["platform_post_url"]
        == (await programs.ask("GET", path))[1]["targets"][0]["platform_post_url"]
    )
    assert target["next"] == {"words": "Nothing more: it is published.", "at": None, "waits_for": "nothing"}


async def test_editors_see_who_fetched_the_files_of_a_post(programs: Programs) -> None:
    rig = programs.publishing.rig
    status, file = await rig.api("POST", "/api/media", data=media_samples.image())
    assert status == 201, file
    post = await programs.made()
    target = post["targets"][0]["id"]
    addresses = (f"/api/media/{file['id']}/fetches", f"/api/posts/{post['id']}/fetches")
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        url = await Links(rig.url).make(connection, DEFAULT_TENANT, file["id"], target, 2, 60)
    for address in addresses:
        assert await programs.ask("GET", address) == (200, {"fetches": []})
    async with aiohttp.ClientSession() as http:
        for method in ("HEAD", "GET"):
            async with http.request(method, url, headers={"User-Agent": "fetcher/1"}) as response:
                await response.read()
    for address in addresses:
        status, found = await programs.ask("GET", address, key="writer")
        head, get = found["fetches"]
        assert (head["method"], head["first_byte"], get["method"], get["status"]) == ("HEAD", None, "GET", 200)
        assert (get["media"], get["target"], get["attempt"]) == (file["id"], target, 2)
        assert (get["user_agent"], get["address"]) == ("fetcher/1", "127.0.0.1")
        assert url.rpartition("/")[2] not in json.dumps(found), "the secret of the address is shown nowhere"
        assert (await programs.ask("GET", address, key="reader"))[0] == 403
    theirs = await tenants.add(rig.connection, "other", TESTS)
    programs.keys["theirs"] = await api_keys.create(rig.pool, theirs, "theirs", api_keys.SCOPES, TESTS)
    for address in (*addresses, f"/api/posts/{post['id']}/history"):
        assert (await programs.ask("GET", address, key="theirs"))[0] == 404, address
    assert (await programs.ask("GET", f"/api/media/{rig.key}/fetches"))[0] == 404


async def test_tenants_see_nothing_of_each_other(programs: Programs) -> None:
    post = await programs.made(idempotency_key="mine")
    rig = programs.publishing.rig
    other = await tenants.add(rig.connection, "other", TESTS)
    programs.keys["theirs"] = await api_keys.create(rig.pool, other, "theirs", api_keys.SCOPES, TESTS)
    path = f"/api/posts/{post['id']}"
    assert (await programs.ask("GET", "/api/posts", key="theirs"))[1]["posts"] == []
    for method, address, body in (
        ("GET", path, None), ("PATCH", path, {"content": "x"}), ("DELETE", path, None),
        ("POST", f"{path}/publish", None),
        ("POST", f"{path}/approve", {"version": 1}),
    ):  # fmt: skip
        assert (await programs.ask(method, address, body, key="theirs"))[0] == 404, address
    status, found = await programs.ask("POST", "/api/posts", programs.post(idempotency_key="mine"), key="theirs")
    assert (status, found["error"]["details"]["missing"]) == (422, [programs.account])
    assert json.dumps(await programs.ask("GET", path)).count('"draft"') == 1


async def test_next_free_slot_is_taken_and_shown(programs: Programs) -> None:
    path = f"/api/connections/{programs.account}/slots"
    body = {"timezone": "Europe/Berlin", "slots": [{"weekday": "MO", "time": "09:00"}]}
    status, found = await programs.ask("PUT", path, body)
    assert (status, found["slots"], found["timezone"]) == (200, body["slots"], "Europe/Berlin")
    assert (await programs.ask("GET", path, key="reader"))[1] == found
    for key, code in (("reader", 403), ("other", 403)):
        assert (await programs.ask("PUT", path, body, key=key))[0] == code
    status, made = await programs.ask("POST", "/api/posts", programs.post(next_free_slot=True))
    assert (status, made["accounts"][0]["slot_at"]) == (201, found["free"][0]["time"]), made
    assert made["post"]["targets"][0]["slot_at"] == made["post"]["scheduled_time"] == found["free"][0]["time"]
    assert "09:00 in Europe/Berlin" in made["time"]
    status, again = await programs.ask("POST", "/api/posts", programs.post(next_free_slot=True))
    assert (status, again["accounts"][0]["result"]) == (200, "exists")
    for wrong in ({"timezone": "UTC", "slots": [{"weekday": "MO", "time": "9"}]}, {"slots": []}):
        status, refused = await programs.ask("PUT", path, wrong)
        assert (status, refused["error"]["code"]) == (400, "invalid_request")
    assert (await programs.ask("GET", f"/api/connections/{programs.picture}/slots"))[0] == 404
    assert (await programs.ask("GET", "/api/connections/nonsense/slots"))[0] == 404


async def test_post_may_name_a_schedule_that_there_is_and_no_other(programs: Programs) -> None:
    status, found = await programs.ask("POST", "/api/posts", programs.post(schedule_id=programs.picture))
    assert (status, "There is no schedule" in found["error"]["message"]) == (422, True)
