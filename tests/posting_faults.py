"""What goes wrong while a target is published, at the call that makes it visible or at any other, and who looks after.

The sandbox's ledger is the judge: one post, or a state that says why there is none, and never two.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from ops.runtime.http import Unreachable
from ops.runtime.platform_client import PlatformClient
from ops.runtime.platform_protocol import Request, Response
from publish.posting.driver import Driver
from tests.posting import Posting

MODES = ("lost_after", "lost_before", "error_after", "error_before", "killed_after", "killed_before")
"""What becomes of one call: its answer is lost, it is answered by a 500, or the process that sent it dies; each with
what was asked for done, or not.
"""

NOT_DONE = ("lost_before", "error_before", "killed_before")

OPTION = "parent_post_id"

FILES = {
    "picture": ("picture.jpg", "image/jpeg", {"width": 640, "height": 640}),
    "clip": ("clip.mp4", "video/mp4", {"width": 720, "height": 1280, "duration": 5.0}),
}

IN_TROUBLE = {"error": {"message": "Service temporarily unavailable", "type": "OAuthException", "code": 2}}


class KilledError(RuntimeError):
    """Stands for the end of the process: nothing that follows a call happens any more."""


@dataclass(frozen=True)
class Case:
    """A kind of post. ``commit`` is the call that makes it visible, as ``METHOD /path``, with these fields of its form.

    ``parent`` is what it answers or acts on: a ``post`` of the account, a ``comment`` on one or a ``hidden`` one, or a
    post that was made here (``own``); what is ``named`` is so by the text of the target.
    ``doubtful`` are the modes after which a person must decide.
    """

    platform: str
    kind: str
    commit: str
    where: Mapping[str, str] = field(default_factory=dict)
    media: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    link: Mapping[str, str] = field(default_factory=dict)
    parent: str = ""
    login: str = ""
    doubtful: Sequence[str] = ()

    def __str__(self) -> str:
        return "-".join(filter(None, (self.platform, self.login and f"by {self.login}", self.kind, *self.media)))

    @property
    def at(self) -> str:
        """The platform of the sandbox that it is told to."""
        return self.login or self.platform

    def commits(self, request: Request) -> bool:
        form = {**request.query, **(request.form or {})}
        path = urlsplit(request.url).path.removeprefix(f"/{self.at}")
        return fnmatchcase(f"{request.method} {path}", self.commit) and all(
            form.get(name, "") == value for name, value in self.where.items()
        )


@dataclass
class Faulty:
    """A platform's client of which one call goes wrong: the ``number``-th that fits, counted from 1."""

    client: PlatformClient
    mode: str
    case: Case
    only_commits: bool
    number: int = 1
    seen: int = 0
    fired: bool = False

    async def send(self, request: Request, open_part: Any = None, **where: Any) -> Response:
        if self.only_commits and not self.case.commits(request):
            return await self.client.send(request, open_part, **where)
        self.seen += 1
        if self.seen != self.number:
            return await self.client.send(request, open_part, **where)
        self.fired = True
        if self.mode.endswith("after"):
            await self.client.send(request, open_part, **where)
        if self.mode.startswith("lost"):
            raise Unreachable("sandbox", "the connection was cut", sent=True)
        if self.mode.startswith("killed"):
            raise KilledError
        return Response(500, IN_TROUBLE, {})


@dataclass
class Frozen:
    """A client that stays away after the commit until it is let go."""

    client: PlatformClient
    case: Case
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, request: Request, open_part: Any = None, **where: Any) -> Response:
        found = await self.client.send(request, open_part, **where)
        if self.case.commits(request) and not self.sent.is_set():
            self.sent.set()
            await self.go.wait()
        return found


def faulty(publishing: Posting, mode: str, case: Case, number: int = 1, *, only_commits: bool = True) -> Driver:
    client: Any = Faulty(publishing.driver.client, mode, case, only_commits, number)
    return replace(publishing.driver, client=client)


async def account(publishing: Posting, case: Case) -> str:
    """Connect the account of a case, or find it connected."""
    rig = publishing.rig
    find = "SELECT id::text, username FROM connections WHERE platform = $1 AND coalesce(via, platform) = $2"
    if not await rig.raw(find, case.platform, case.at):
        await rig.connect(case.at)
    found = {row["username"]: str(row["id"]) for row in await rig.raw(find, case.platform, case.at)}
    return found.get("Shop") or found["shop"]


def owner(case: Case) -> str:
    """The account of a case by its name in the sandbox."""
    return "Shop" if case.platform == "facebook" else "shop"


async def parent_of(publishing: Posting, case: Case) -> str:
    """The id of what a case answers or acts on."""
    sandbox, name = publishing.rig.sandbox, owner(case)
    if case.parent == "own":  # a platform lets an application edit only what it made
        made = await published(publishing, replace(case, kind="text", parent="", options={}), "To be changed")
        return str(made["platform_post_id"])
    post = (await sandbox.command("act", platform=case.platform, what="publish", account=name, text="Ours"))["id"]
    if case.parent == "post":
        return str(post)
    said = await sandbox.command(
        "act",
        platform=case.platform,
        what="comment",
        account=name,
        post=post,
        text="Nice",
    )
    if case.parent == "hidden":
        await published(publishing, replace(case, kind="hide_comment", parent="named"), str(said["id"]))
    return str(said["id"])


async def target(publishing: Posting, case: Case, text: str) -> str:
    files = []
    for name in case.media:
        file, content_type, facts = FILES[name]
        files.append(publishing.media.add(file, content_type, **facts))
    options = dict(case.options)
    if case.parent:
        options[OPTION] = text if case.parent == "named" else await parent_of(publishing, case)
    connection = await account(publishing, case)
    return await publishing.target(
        connection, text, kind=case.kind, media=files, options=options, link=case.link or None
    )


async def published(publishing: Posting, case: Case, text: str) -> Any:
    row = await publishing.run(await target(publishing, case, text))
    assert row["state"] == "published", dict(row)
    return row


async def made(publishing: Posting, case: Case, text: str) -> list[Any]:
    """What the application published, by the sandbox's ledger. A story has no text, and so counts whole."""
    posts = await publishing.rig.sandbox.published(case.at)
    if case.kind == "story":
        return [post for post in posts if post.get("story")]
    return [post for post in posts if post["text"] == text]


async def sent(publishing: Posting, case: Case, text: str = "Tea") -> Mapping[str, Any]:
    """What the ledger has of the parameters and files of a post that is published for this."""
    await published(publishing, case, text)
    [post] = await made(publishing, case, text)
    found: Mapping[str, Any] = {**post["options"], "files": post["files"]}
    return found


async def survived(publishing: Posting, case: Case, mode: str, text: str) -> Any:
    """Let one commit go wrong, and look after: the row."""
    before = len(await made(publishing, case, text))
    id_, driver = await target(publishing, case, text), faulty(publishing, mode, case)
    row = await run_on(publishing, id_, driver)
    client: Any = driver.client
    assert client.fired, dict(row)
    judge(case, mode, row, (await made(publishing, case, text))[before:])
    if mode.endswith("after"):
        assert client.seen == 1, "it was there already"
    return row


async def run_on(publishing: Posting, id_: str, driver: Driver, rounds: int = 80) -> Any:
    """Work with a driver that may die, until the target waits for nobody's clock; another takes up what it left."""
    for _ in range(rounds):
        await driver.drain()
        await publishing.rig.raw("UPDATE post_targets SET lease_until = NULL WHERE lease_until IS NOT NULL")
        row = await publishing.row(id_)
        if row["due_at"] is None:
            return row
        await publishing.hurry()
    raise AssertionError(f"it never ends: {dict(row)}")


def judge(case: Case, mode: str, row: Any, posts: Sequence[Any]) -> None:
    """One post that is known by its id, or a question with what was looked at; and nothing twice."""
    told = f"{case} {mode}: {row['state']}, {row['step']}, {row['error_message']}, {len(posts)} posts"
    assert len(posts) <= 1, told
    if mode in case.doubtful:
        assert (row["state"], row["retryable"]) == ("unconfirmed", False), told
        assert row["error_message"], told
        assert row["evidence"] not in (None, "[]"), told
        assert len(posts) == int(mode.endswith("after")), told
        return
    assert row["state"] == "published", told
    assert [row["platform_post_id"]] == [post["id"] for post in posts], told


async def swept(publishing: Posting, case: Case, mode: str) -> int:
    """Let each call go wrong, one target after the other, and return their number."""
    number = 1
    while True:
        text, before = f"Tea {mode} {number}", len(await publishing.rig.sandbox.published(case.at))
        id_ = await target(publishing, case, text)
        driver = faulty(publishing, mode, case, number, only_commits=False)
        row = await run_on(publishing, id_, driver)
        client: Any = driver.client
        posts = (await publishing.rig.sandbox.published(case.at))[before:]
        judge(case, mode, row, [post for post in posts if case.kind == "story" or post["text"] == text])
        if not client.fired:
            return number - 1
        number += 1


async def raced(publishing: Posting, case: Case) -> None:
    """Two workers side by side, and one that stays away until its lease is another's."""
    id_ = await target(publishing, case, "Tea by two")
    for _ in range(80):
        await asyncio.gather(publishing.driver.drain(), publishing.driver.drain())
        row = await publishing.row(id_)
        if row["due_at"] is None:
            break
        await publishing.hurry()
    judge(case, "", row, await made(publishing, case, "Tea by two"))

    before = len(await made(publishing, case, "Tea by a late one"))
    id_ = await target(publishing, case, "Tea by a late one")
    client: Any = Frozen(publishing.driver.client, case)
    late = asyncio.create_task(away(publishing, id_, replace(publishing.driver, client=client)))
    await asyncio.wait_for(client.sent.wait(), 60)
    await publishing.rig.raw("UPDATE post_targets SET lease_until = now() - interval '1 second'")
    row = await run_on(publishing, id_, publishing.driver)
    judge(case, "", row, (await made(publishing, case, "Tea by a late one"))[before:])
    client.go.set()
    await late
    assert dict(await publishing.row(id_)) == dict(row), "the late worker changes nothing"


async def away(publishing: Posting, id_: str, driver: Driver) -> None:
    client: Any = driver.client
    while not client.sent.is_set():
        await driver.drain()
        if not client.sent.is_set():
            await publishing.hurry()


async def worked_on(
    publishing: Posting, id_: str, driver: Driver, *, seconds: int = 0, until: str = "", rounds: int = 120
) -> Any:
    """Work on a target whose account may be held back: each pause is over at once, that of a limit too.

    ``seconds`` pass with each round; ``until`` is an error code at which to stop.
    """
    for _ in range(rounds):
        await driver.drain()
        row = await publishing.row(id_)
        if row["due_at"] is None or (until and row["error_code"] == until):
            return row
        await publishing.rig.raw("DELETE FROM platform_budgets")
        await publishing.hurry()
        await publishing.rig.raw("UPDATE post_targets SET step_since = step_since - $1 * interval '1 s'", seconds)
    raise AssertionError(f"it never ends: {dict(row)}")


async def acted(publishing: Posting, case: Case, change: str, mode: str = "") -> None:
    """Do something to what is there, with its call going wrong in this way: it is done, and said to be."""
    id_ = await target(publishing, case, "Tea with milk")
    driver = faulty(publishing, mode, case) if mode else publishing.driver
    row = await run_on(publishing, id_, driver)
    told = f"{case} {mode}: {row['state']}, {row['step']}, {row['error_message']}"
    assert (row["state"], row["platform_post_id"]) == ("published", None), told
    changes = await publishing.rig.sandbox.ledger("change", platform=case.at, id=json.loads(row["options"])[OPTION])
    assert {entry["action"] for entry in changes} - {"hide" if case.parent == "hidden" else ""} == {change}, told


async def lagged(publishing: Posting, case: Case, field: str) -> None:
    """Lose the answer to a commit, and let the container read once more as if nothing had come of it."""
    id_, driver = await target(publishing, case, "Tea"), faulty(publishing, "lost_after", case)
    for _ in range(20):
        await driver.drain()
        if (await publishing.row(id_))["step"] == "look":
            break
        await publishing.hurry()
    container = json.loads((await publishing.row(id_))["kept"])["container"]
    fault = {"endpoint": f"GET */{container}", "status": 200, "body": {"id": container, field: "FINISHED"}}
    await publishing.rig.sandbox.command("faults", platform=case.at, **fault)
    judge(case, "lag", await run_on(publishing, id_, driver), await made(publishing, case, "Tea"))
    client: Any = driver.client
    assert client.seen == 1, "published once is asked once"
