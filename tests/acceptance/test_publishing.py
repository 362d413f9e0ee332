"""The user's own journey, through the real processes: connect, upload, publish, receive the webhook, see one row."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from ops.cli.demonstration import Demonstration
from ops.cli.stack import Stack, stack
from ops.sandbox.client import Client
from tests.acceptance.test_up import environment
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("forked_stack")

OPTIONS = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}
INBOX = {"kind": "inbox_video", "content": ""}
ENDS = ("published", "failed", "unconfirmed")
CLIP = Path(__file__).parents[2] / "ops" / "sandbox" / "media" / "clip.mp4"


class Journey:
    """A person with a key, everything that runs, and the database as its owner sees it."""

    def __init__(self, running: Stack, http: aiohttp.ClientSession, connection: asyncpg.Connection) -> None:
        self.running, self.http, self.connection = running, http, connection
        self.sandbox = Client(http, running.sandbox)
        self.last: Any = None

    async def call(self, method: str, path: str, status: int, **more: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.running.api_key}"} | more.pop("headers", {})
        async with self.http.request(method, self.running.url + path, headers=headers, **more) as response:
            content = await response.json()
            assert response.status == status, content
            return content

    async def post(self, text: str, media: str, account: str, key: str = "", status: int = 201) -> Any:
        target = {"connection": account, **(INBOX if text == "" else {"kind": "video", "options": OPTIONS})}
        body = {"content": text, "action": "publish", "media": [media], "targets": [target]}
        return await self.call("POST", "/api/posts", status, json=body, headers={"Idempotency-Key": key} if key else {})

    async def ended(self, id_: str, *, hurry: bool = False, ends: Sequence[str] = ENDS) -> Any:
        async def look() -> Any:
            if hurry:
                await self.connection.execute("UPDATE post_targets SET due_at = now() WHERE due_at > now()")
                await self.connection.execute("UPDATE connections SET checked_at = checked_at - interval '1 hour'")
                await self.connection.execute("DELETE FROM platform_budgets")
            post = await self.call("GET", f"/api/posts/{id_}", 200)
            [target] = post["targets"]
            self.last = target
            return target if target["state"] in ends else None

        try:
            return await eventually(look, seconds=150, every=4.0)
        except AssertionError:
            raise AssertionError(f"it does not end: {self.last}") from None


@asynccontextmanager
async def begun(directory: Path) -> AsyncIterator[Journey]:
    async with stack(directory, environment()) as running, aiohttp.ClientSession() as http:
        connection = await asyncpg.connect(running.dsn, server_settings={"landfall.tenant": "*"})
        yield Journey(running, http, connection)
        await connection.close()


async def test_journey_from_connecting_to_one_row(tmp_path: Path) -> None:
    async with begun(tmp_path / "data") as journey:
        said: list[str] = []
        headers = {"Authorization": f"Bearer {journey.running.api_key}", "Accept": "application/json"}
        cookies = aiohttp.CookieJar(unsafe=True)
        async with (
            aiohttp.ClientSession(headers=headers) as program,
            aiohttp.ClientSession(cookie_jar=cookies) as browser,
        ):
            running = journey.running
            shown = Demonstration(running.url, running.api_key, running.sandbox, ["tiktok"], said.append)
            await shown.connect("tiktok", program, browser)
            await shown.connect("linkedin", program, browser)
        await journey.sandbox.command("clock", speed=20.0)  # a video is processed, and looked at, for minutes
        connections = (await journey.call("GET", "/api/connections", 200))["connections"]
        [account] = [each for each in connections if each["platform"] == "tiktok"]
        await as_organization(journey, [each for each in connections if each["platform"] == "linkedin"])
        content = await asyncio.to_thread(CLIP.read_bytes)
        media = (await journey.call("POST", "/api/media?file_name=tea.mp4", 201, data=content))["id"]

        made = await journey.post("Tea", media, account["id"], key="one")
        again = await journey.post("Tea", media, account["id"], key="one", status=200)
        other = await journey.post("Tea", media, account["id"], status=200)
        assert made["post"]["id"] == again["post"]["id"] == other["post"]["id"]
        assert (again["replayed"], other["accounts"][0]["result"]) == (True, "exists")
        target = await journey.ended(made["post"]["id"], hurry=True)
        assert target["state"] == "published", target
        await came_back(journey, target["platform_post_id"])

        await journey.sandbox.command("clock", jump=25 * 3600)  # the token of a day is over at the platform
        second = await journey.post("More tea", media, account["id"])
        target = await journey.ended(second["post"]["id"], hurry=True)
        assert target["state"] == "published", target

        limited = {"status": 429, "error": "rate_limit_exceeded", "times": 1}
        await journey.sandbox.command("faults", platform="tiktok", endpoint="POST */video/init", **limited)
        third = await journey.post("Still more tea", media, account["id"])
        target = await journey.ended(third["post"]["id"], hurry=True)
        assert target["state"] == "published", target

        await posted_by_its_owner(journey, media, account["id"])
        calls = await journey.sandbox.ledger("call", platform="tiktok", method="POST")
        assert [call["fault"]["error"] for call in calls if call.get("fault")] == ["rate_limit_exceeded"]

        await repeats(journey, media, account["id"])
        shown = await journey.sandbox.published("tiktok")
        assert sorted(post["text"] for post in shown) == ["More tea", "Still more tea", "Tea"], "each of them once"


async def as_organization(journey: Journey, connections: list[Any]) -> None:
    """The member and the organization were connected by one consent; a text and an image are posted as the latter."""
    assert {each["profile"]["urn"] for each in connections} == {"urn:li:person:aLiCe01", "urn:li:organization:1000"}
    [acme] = [each["id"] for each in connections if each["profile"]["owner"] == "organization"]
    content = await asyncio.to_thread((CLIP.parent / "picture.jpg").read_bytes)
    image = (await journey.call("POST", "/api/media?file_name=tea.jpg", 201, data=content))["id"]
    for text, media in (("Tea for all", []), ("Tea, seen", [{"id": image, "alt_text": "A cup of tea"}])):
        body = {"content": text, "action": "publish", "media": media, "targets": [{"connection": acme}]}
        made = await journey.call("POST", "/api/posts", 201, json=body)
        target = await journey.ended(made["post"]["id"], hurry=True)
        assert target["state"] == "published", target
    shown = await journey.sandbox.published("linkedin")
    assert [(post["text"], post["options"]["author"], len(post["files"])) for post in shown] == [
        ("Tea for all", "urn:li:organization:1000", 0),
        ("Tea, seen", "urn:li:organization:1000", 1),
    ]


async def repeats(journey: Journey, media: str, account: str) -> None:
    """The worker makes the posts of what repeats, and they are gone with it."""
    target = {"connection": account, "kind": "video", "options": OPTIONS}
    post = {"content": "Tea again", "media": [media], "targets": [target]}
    start = f"{datetime.now(UTC) + timedelta(hours=9):%Y-%m-%dT%H:%M:%SZ}"
    body = {"post": post, "rule": "FREQ=DAILY;COUNT=2", "start_time": start}
    made = (await journey.call("POST", "/api/recurrences", 201, json=body))["recurrence"]

    async def occurrences() -> Any:
        shown = await journey.call("GET", f"/api/recurrences/{made['id']}", 200)
        return shown if len(shown["occurrences"]) == 2 else None

    shown = await eventually(occurrences, seconds=60)
    assert shown["state"] == "ended", "nothing is left to be made"
    for each in shown["occurrences"]:
        assert (await journey.call("DELETE", f"/api/posts/{each['post']}", 200))["cancelled"]


async def posted_by_its_owner(journey: Journey, media: str, account: str) -> None:
    """What waits in the inbox is published once its owner posts it, which only TikTok's webhook tells."""
    made = await journey.post("", media, account)
    await journey.ended(made["post"]["id"], hurry=True, ends=["awaiting_person"])
    [draft] = await journey.sandbox.ledger("draft", platform="tiktok")
    post = await journey.sandbox.command(
        "act", platform="tiktok", what="post_draft", account=draft["account"], id=draft["publish_id"]
    )
    target = await journey.ended(made["post"]["id"], ends=["published"])
    assert target["platform_post_id"] == post["id"]


async def came_back(journey: Journey, post_id: str) -> None:
    """The platform's own webhook is in the log, and of one publish there is one row, with what we asked for."""

    async def rows() -> Any:
        found = await journey.connection.fetch("SELECT publish_id, status, source, title FROM tiktok_posts")
        events = await journey.connection.fetch(
            "SELECT event_type, source FROM webhook_event_log WHERE NOT (source = 'own')"
        )
        done = [row for row in found if row["status"] == "PUBLISH_COMPLETE" and row["title"]]
        return (found, events) if done and events else None

    found, events = await eventually(rows, seconds=60)
    [row] = found
    assert (row["source"], row["title"]) == ("FILE_UPLOAD", "Tea")
    assert "post.publish.complete" in {event["event_type"] for event in events}

    async def named() -> Any:
        """The id comes after the state, by a webhook of its own."""
        shown = "SELECT status, platform_post_id, post_content FROM reporting.scheduled_posts WHERE platform = 'tiktok'"
        [shared] = await journey.connection.fetch(shown)
        return tuple(shared) if shared["platform_post_id"] else None

    assert await eventually(named, seconds=60) == ("posted", post_id, "Tea")
