"""Publishing under faults (``faults.md`` H1 to H3): nothing is posted twice, and nothing is lost without a word.

Every scenario is run once for each point at which a worker can die, and once for each request whose answer can be lost,
before its effect and after it. The sandbox's ledger says what people saw.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ops.runtime.faultpoint import InjectedError
from ops.runtime.http import Unreachable
from ops.runtime.platform_client import PlatformClient
from ops.runtime.platform_protocol import Request, Response
from publish.posting import driver as driver_module
from tests.posting import Posting, connect_organization

PICTURE = ("picture.jpg", "image/jpeg", {"width": 640, "height": 640})
CLIP = ("clip.mp4", "video/mp4", {"width": 640, "height": 640, "duration": 1.0})
FILM = ("film.mp4", "video/mp4", {"size": 4 * 2**20 + 100_000, "width": 640, "height": 640, "duration": 5.0})
PAPER = ("paper.pdf", "application/pdf", {"size": 20_000})
DIRECT = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}


@dataclass(frozen=True)
class Scenario:
    """``doubtful``: whether the platform's page leaves some of its unknown outcomes to a person. ``requests``: how many
    it sends at least.
    """

    platform: str
    kind: str
    media: Sequence[tuple[str, str, Mapping[str, Any]]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    link: Mapping[str, str] = field(default_factory=dict)
    doubtful: bool = False
    ends: str = "published"
    requests: int = 2
    organization: bool = False
    below: bool = False
    """Whether it is a further part of a thread."""

    @property
    def id(self) -> str:
        how = "organization-" if self.organization else "part-" if self.below else ""
        return f"{self.platform}-{how}{self.kind}"


SCENARIOS = [
    Scenario("instagram", "image", [PICTURE]),
    Scenario("instagram", "reel", [CLIP]),
    Scenario("instagram", "story", [PICTURE]),
    Scenario("instagram", "carousel", [PICTURE, CLIP]),
    *(
        Scenario(
            "linkedin",
            kind,
            media,
            options,
            link,
            doubtful=not (organization and media),
            requests=len(media) + 1,
            organization=organization,
        )
        for organization in (False, True)
        for kind, media, options, link in (
            ("text", [], {}, {}),
            ("poll", [], {"poll": {"question": "Which?", "options": ["black", "green"], "duration": "ONE_DAY"}}, {}),
            ("article", [PICTURE], {"title": "About tea"}, {"url": "https://example.org/tea"}),
            ("image", [PICTURE], {}, {}),
            ("multi_image", [PICTURE, PICTURE], {}, {}),
            ("video", [FILM], {}, {}),
            ("document", [PAPER], {"title": "Tea"}, {}),
        )
    ),
    Scenario("mastodon", "text"),
    Scenario("mastodon", "images", [PICTURE, PICTURE]),
    Scenario("mastodon", "poll", options={"poll": {"options": ["black", "green"], "seconds": 3600}}),
    Scenario("tiktok", "video", [CLIP], DIRECT),
    Scenario("tiktok", "photos", [PICTURE], DIRECT, doubtful=True),
    Scenario("x", "text", requests=1),
    Scenario("x", "poll", options={"poll": {"options": ["black", "green"], "minutes": 60}}, doubtful=True, requests=1),
    Scenario("x", "images", [PICTURE, PICTURE], doubtful=True),
    Scenario("x", "video", [CLIP], doubtful=True),
    Scenario("mastodon", "images", [PICTURE, PICTURE], below=True),
    Scenario("threads", "reply", [PICTURE], below=True),
    Scenario("x", "images", [PICTURE], doubtful=True, below=True),
]

FAMILIES = (
    *("instagram-image", "instagram-carousel", "linkedin-text", "linkedin-organization-image", "mastodon-text"),
    *("mastodon-part-images", "threads-part-reply", "tiktok-video", "tiktok-photos", "x-text", "x-part-images"),
)
"""A kind of each family of machines, whose steps the others share; `make sweep` goes through all."""

CHOSEN = [each for each in SCENARIOS if os.environ.get("SWEEP") == "all" or each.id in FAMILIES]

everywhere = pytest.mark.parametrize("scenario", CHOSEN, ids=lambda scenario: scenario.id)


@dataclass(repr=False)
class Stage:
    """One scenario with its account and files; each run is another post."""

    publishing: Posting
    scenario: Scenario
    account: str
    files: list[str]
    root: str | None = None
    runs: int = 0

    async def begin(self) -> str:
        self.runs += 1
        scenario = self.scenario
        return await self.publishing.target(
            self.account,
            f"Tea {self.runs}",
            kind=scenario.kind,
            media=self.files,
            options=scenario.options,
            link=scenario.link,
            below=self.root,
        )

    async def check(self, row: Any, before: int, what: str) -> None:
        """The ledger has one post more, or none with a state that says so; never two."""
        count = len(await self.publishing.shown(self.scenario.platform)) - before
        state, where = row["state"], f"{self.scenario.id}, {what}: {dict(row)}"
        assert count <= 1, f"posted {count} times: {where}"
        allowed = {self.scenario.ends} | ({"unconfirmed"} if self.scenario.doubtful else set())
        assert state in allowed, where
        if state == "published":
            assert count == 1, f"called published and not there: {where}"
        if state == "unconfirmed":
            assert row["error_message"]
            assert row["evidence"] != "[]"


async def staged(publishing: Posting, scenario: Scenario) -> Stage:
    if scenario.organization:
        account = await connect_organization(publishing.rig)
    else:
        [account, *_] = await publishing.rig.connect(scenario.platform)
    files = [publishing.media.add(name, kind, **facts) for name, kind, facts in scenario.media]
    root = None
    if scenario.below:
        root = await publishing.target(account, "The first part", kind="text")
        assert (await publishing.run(root))["state"] == "published"
    return Stage(publishing, scenario, account, files, root)


async def swept(stage: Stage, fault: Callable[[int], Any], *, most: int = 200) -> int:
    """Run the scenario with a fault at its first place, its second, and so on, until there is none left."""
    publishing = stage.publishing
    for number in range(1, most):
        before = len(await publishing.shown(stage.scenario.platform))
        id_ = await stage.begin()
        with fault(number) as fired:
            await publishing.driver.drain()
            for _ in range(200):
                row = await publishing.row(id_)
                if row["due_at"] is None and (row["lease_until"] is None or fired):
                    break
                await publishing.free()  # whoever held the lease is gone, and its time is over
                await publishing.hurry()
                await publishing.driver.drain()
        row = await publishing.row(id_)
        await stage.check(row, before, f"fault {number}")
        assert fired or row["state"] == stage.scenario.ends, f"without a fault: {dict(row)}"
        await publishing.rig.sandbox.command("clock", jump=3600)
        if not fired:
            return number - 1
    raise AssertionError("it goes on for ever")


class Dies:
    """A worker that dies at one of its points."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.monkeypatch, self.number, self.fired = monkeypatch, number, []
        self.seen = 0

    def point(self, name: str) -> None:
        self.seen += 1
        if self.seen == self.number:
            self.fired.append(name)
            raise InjectedError

    def __enter__(self) -> list[str]:
        self.monkeypatch.setattr(driver_module, "faultpoint", self.point)
        return self.fired

    def __exit__(self, *_: object) -> None:
        self.monkeypatch.undo()


class Loses:
    """A network that loses one request, or its answer."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int, *, after_effect: bool) -> None:
        self.monkeypatch, self.number, self.after_effect = monkeypatch, number, after_effect
        self.fired: list[str] = []
        self.seen = 0
        self.send = PlatformClient.send

    async def lossy(self, client: PlatformClient, request: Request, *rest: Any, **more: Any) -> Response:
        self.seen += 1
        if self.seen != self.number:
            return await self.send(client, request, *rest, **more)
        self.fired.append(request.url)
        if self.after_effect:
            await self.send(client, request, *rest, **more)
        raise Unreachable("platform.example", "no answer came", sent=True)

    def __enter__(self) -> list[str]:
        this = self

        async def send(client: PlatformClient, request: Request, *rest: Any, **more: Any) -> Response:
            return await this.lossy(client, request, *rest, **more)

        self.monkeypatch.setattr(PlatformClient, "send", send)
        return self.fired

    def __exit__(self, *_: object) -> None:
        self.monkeypatch.undo()


@everywhere
async def test_h1_worker_that_dies_at_any_point_posts_once(
    publishing: Posting, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = await swept(await staged(publishing, scenario), lambda number: Dies(monkeypatch, number))
    assert points >= 4 * scenario.requests, "each step has at least a point before and after its request"


@everywhere
@pytest.mark.parametrize("lost", ["answer", "request"])
async def test_h2_lost_answer_at_any_request_posts_once(
    publishing: Posting, scenario: Scenario, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(number: int) -> Loses:
        return Loses(monkeypatch, number, after_effect=lost == "answer")

    requests = await swept(await staged(publishing, scenario), fault)
    assert requests >= scenario.requests


@everywhere
async def test_h3_two_workers_and_one_that_comes_back_late_post_once(publishing: Posting, scenario: Scenario) -> None:
    """The second takes the target at each point at which the first is frozen past its lease, and both go on."""
    stage = await staged(publishing, scenario)
    before = len(await publishing.shown(scenario.platform))
    id_ = await stage.begin()
    second = replace(publishing.driver)
    for _ in range(200):
        row = await publishing.row(id_)
        if row["due_at"] is None:
            break
        fence = row["fence"]
        await publishing.rig.raw(
            "UPDATE post_targets SET fence = fence + 1, lease_until = now() + interval '1 minute' WHERE id = $1::uuid",
            id_,
        )
        await publishing.driver.work(str(row["tenant_id"]), id_, fence)  # its lease is another's
        assert (await publishing.row(id_))["step"] == row["step"], "a worker without the lease changed something"
        await second.work(str(row["tenant_id"]), id_, fence + 1)
        await publishing.hurry()
    await stage.check(await publishing.row(id_), before, "two workers")
