"""No path through a machine posts twice, and none ends without a word.

Two workers, one that dies, one lease that runs out, one answer that is lost and one request that arrives late, in every
order, on models of the platforms. Where a page names a risk that no order of calls can exclude, its shortest path is
here.
"""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import pytest

import publish.platforms
from ops.runtime.discovery import discover
from ops.runtime.periodic import RetryPolicy
from publish.oauth.contract import App
from publish.posting import decision
from publish.posting.contract import Go, Job, Machine, Media, PostingPlatform
from schema.states import TargetState
from tests.exploration import Explorer, ViolationError
from tests.unit.publish.posting.platform_models import (
    SIZE,
    Containers,
    FacebookModel,
    InstagramModel,
    MastodonModel,
    Page,
    Publishes,
    Server,
    ThreadsModel,
    TikTokModel,
)

POSTING = discover(publish.platforms, PostingPlatform, "machines")
HOSTS = {name: f"https://{name}.example" for name in ("api", "graph", "instance")}
APP = App("client", "secret", "https://example.org/callback", HOSTS)
PICTURE = Media("p1", "image/jpeg", SIZE, 640, 640, url="https://example.org/p1")
SECOND = replace(PICTURE, id="p2", url="https://example.org/p2")
CLIP = Media("v", "video/mp4", SIZE, 640, 640, 5.0, url="https://example.org/v")
HOUR = 3600.0
DIRECT = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "RETRIES", RetryPolicy((10, 60), jitter=0.0))


def job(kind: str, **more: Any) -> Job:
    return Job(id="t1", kind=kind, app=APP, account_id="17", text="Tea", secrets={"access_token": "token"}, **more)


@dataclass(frozen=True)
class Case:
    """``latest`` is how long a request that was given up may be under way, in seconds."""

    platform: str
    kind: str
    model: Any
    begin: Any
    media: Sequence[Media] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    latest: float = inf
    what: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.platform, self.kind, self.what)))

    def explored(self, **budget: int) -> Mapping[str, int]:
        machine = POSTING[self.platform].machines[self.kind]
        of = job(self.kind, media=self.media, options=self.options)
        return Explorer(machine, self.model, of, self.latest).explore(self.begin, **budget)


PULLED = {**DIRECT, "transfer": "url"}
WHOLE = bool(os.environ.get("EXPLORE_WHOLE"))
"""Whether platforms also fail by themselves: this takes a minute of a processor."""

ERRORS = int(WHOLE)

SAFE = [
    Case("instagram", "image", InstagramModel(), Containers(errors=ERRORS), [PICTURE]),
    Case("instagram", "carousel", InstagramModel(), Containers(errors=0), [PICTURE, SECOND]),
    Case("threads", "text", ThreadsModel(), Containers(errors=ERRORS)),
    Case("facebook", "text", FacebookModel(), Page()),
    Case("facebook", "text", FacebookModel(), Page("refused"), latest=300.0, what="draft-refused"),
    Case("facebook", "text", FacebookModel(), Page("ignored"), latest=300.0, what="draft-ignored"),
    Case("tiktok", "video", TikTokModel(), Publishes(troubles=ERRORS), [CLIP], DIRECT, what="sent"),
    Case("tiktok", "video", TikTokModel(), Publishes(troubles=ERRORS), [CLIP], PULLED, what="pulled"),
    Case("mastodon", "text", MastodonModel(), Server()),
    Case("mastodon", "text", MastodonModel(), Server(known=False), latest=HOUR, what="no-keys"),
]

LONG = [
    Case("tiktok", "video", TikTokModel(), Publishes(public=False, troubles=ERRORS), [CLIP], PULLED, what="private"),
]
"""What has so many steps that faults are met two at a time."""

PAIRS = [{"crashes": 1, "losses": 1}, {"lates": 1, "expiries": 1}]
NONE = {"crashes": 0, "losses": 0, "lates": 0, "expiries": 0}


@pytest.mark.parametrize("case", SAFE, ids=str)
def test_no_order_of_events_posts_twice_or_ends_without_a_word(case: Case) -> None:
    walked(case)


@pytest.mark.parametrize("faults", PAIRS, ids="-".join)
@pytest.mark.parametrize("case", LONG, ids=str)
def test_no_order_of_two_faults_posts_twice_or_ends_without_a_word(case: Case, faults: Mapping[str, int]) -> None:
    walked(case, **{**NONE, **faults})


def walked(case: Case, **budget: int) -> None:
    before = time.process_time()
    found = case.explored(**budget)
    print(case, budget, dict(found), f"{time.process_time() - before:.1f} s")  # noqa: T201
    assert found["values"] > 100
    assert found.keys() & {TargetState.PUBLISHED, TargetState.PUBLISHED_ID_UNKNOWN}


DIRECTLY = (
    "direct is asked, and is under way",
    "10 s pass",
    "search is asked and answered: Wait",
    "150 s pass",
    "search is asked and answered: Wait",
    "150 s pass",
    "search is asked and answered: Go",
    "POST /v25.0/17/feed arrives late",
    "direct is asked and answered: Published",
)

RISKS = [
    # meta.md 9.6: three readings over five minutes that do not list it count as "not posted".
    (
        Case("facebook", "text", FacebookModel(), Page("refused"), what="draft-refused"),
        (
            "draft is asked and answered: Go",
            "publish is asked and answered: Go",
            "discard is asked and answered: Go",
            *DIRECTLY,
        ),
    ),
    (
        Case("facebook", "text", FacebookModel(), Page("ignored"), what="draft-ignored"),
        (
            "draft is asked and answered: Go",
            "publish is asked and answered: Go",
            "1 s pass",
            "confirm is asked and answered: Wait",
            "30 s pass",
            "confirm is asked and answered: Wait",
            "30 s pass",
            "confirm is asked and answered: Go",
            "discard is asked and answered: Go",
            *DIRECTLY,
        ),
    ),
    # mastodon.md 12: a slow server may commit after an hour, once it was sent again.
    (
        Case("mastodon", "text", MastodonModel(), Server(known=False), what="no-keys"),
        (
            "instance is asked and answered: Go",
            "post_once is asked, and is under way",
            "10 s pass",
            *("look is asked and answered: Wait", "360 s pass") * 10,
            "look is asked and answered: Go",
            "POST /api/v1/statuses arrives late",
            "post_once is asked and answered: Published",
        ),
    ),
    # mastodon.md 5, caveat g: the server may lose a key before its hour is over.
    (
        Case("mastodon", "text", MastodonModel(), Server(forgets=1), what="key-lost"),
        (
            "instance is asked and answered: Go",
            "post is asked, and the answer is lost",
            "10 s pass",
            "the platform goes on by itself",
            "post is asked and answered: Published",
        ),
    ),
]


@pytest.mark.parametrize(("case", "path"), RISKS, ids=[str(case) for case, _ in RISKS])
def test_risk_that_a_page_names_has_no_shorter_path(case: Case, path: Sequence[str]) -> None:
    """``faults.md`` has them in words, below its rows H1 and H2."""
    with pytest.raises(ViolationError, match="2 posts are visible") as found:
        case.explored()
    ours = ("it is claimed", "it is at ")
    told = [label for label in found.value.path if not label.startswith(ours) and not label.endswith(" next")]
    assert told == list(path)


def test_explorer_finds_a_machine_that_asks_again_after_an_unknown_outcome() -> None:
    machine = POSTING["instagram"].machines["image"]
    steps = dict(machine.steps)
    steps["look"] = replace(steps["look"], read=lambda job, response: Go("quota", keep={"container": ""}))
    changed = Machine("image", "Image", steps, machine.first)
    with pytest.raises(ViolationError, match="2 posts are visible"):
        Explorer(changed, InstagramModel(), job("image", media=[PICTURE])).explore(Containers())
