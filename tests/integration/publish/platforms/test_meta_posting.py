"""Publishing on Instagram, Facebook and Threads against the sandbox: each kind once, and once whatever goes wrong.

What the three share; what only one of them has is in the module of that platform.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from tests.integration.publish.platforms import test_facebook_posting as facebook
from tests.integration.publish.platforms import test_instagram_posting as instagram
from tests.integration.publish.platforms import test_threads_posting as threads
from tests.posting import Posting
from tests.posting_faults import MODES, Case, acted, lagged, made, published, raced, survived, swept, target, worked_on

CASES = [*facebook.CASES, *instagram.CASES, *threads.CASES]
ACTIONS = [*facebook.ACTIONS, *instagram.ACTIONS, *threads.ACTIONS]

LEAST_CALLS = {"facebook": 2, "instagram": 1, "threads": 4}
ADDRESSES = {"facebook": "https://www.facebook.com/", "instagram": "", "threads": "https://www.threads.net/@shop/post/"}


@dataclass(frozen=True)
class Containers:
    """A platform of containers. ``edge`` is where they are made, ``status`` the field that says how far one is."""

    single: Case
    carousel: Case
    edge: str
    status: str

    def __str__(self) -> str:
        return self.single.platform

    async def count(self, publishing: Posting) -> int:
        """How many containers were made."""
        calls = await publishing.rig.sandbox.ledger("call", platform=self.single.platform, method="POST")
        return len([call for call in calls if call["path"].endswith(self.edge)])


CONTAINERS = [
    Containers(instagram.IMAGE, instagram.CAROUSEL, "/media", "status_code"),
    Containers(threads.TEXT, threads.CAROUSEL, "/threads", "status"),
]

on_containers = pytest.mark.parametrize("of", CONTAINERS, ids=str)


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_kind_is_published_once(publishing: Posting, case: Case) -> None:
    row = await published(publishing, case, "Tea & cake")
    [post] = await made(publishing, case, "Tea & cake")
    assert row["platform_post_id"] == post["id"]
    assert (row["platform_post_url"] or "").startswith(ADDRESSES[case.platform])


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_each_is_there_once_whatever_happens_to_its_commit(publishing: Posting, case: Case) -> None:
    for mode in MODES:
        await survived(publishing, case, mode, f"Tea {mode}")


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("mode", ["lost_after", "killed_after"])
async def test_each_is_there_once_whichever_call_is_lost(publishing: Posting, case: Case, mode: str) -> None:
    assert await swept(publishing, case, mode) >= LEAST_CALLS[case.platform]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_two_workers_publish_it_once(publishing: Posting, case: Case) -> None:
    await raced(publishing, case)


@pytest.mark.parametrize(("case", "change"), ACTIONS, ids=str)
async def test_acting_on_what_is_there(publishing: Posting, case: Case, change: str) -> None:
    for mode in ("", *MODES):
        await acted(publishing, case, change, mode)


@on_containers
@pytest.mark.parametrize("result", ["failed", "expired"])
async def test_container_that_ends_is_made_again_a_few_times(publishing: Posting, of: Containers, result: str) -> None:
    platform = of.single.platform
    await publishing.rig.sandbox.command("processing", platform=platform, result=result, times=2)
    await published(publishing, of.single, "Tea")
    await publishing.rig.sandbox.command("processing", platform=platform, result=result, times=3)
    row = await publishing.run(await target(publishing, of.single, "Cake"))
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "container_failed", True)
    assert len(await publishing.shown(platform)) == 1


@on_containers
async def test_only_the_child_that_failed_is_made_again(publishing: Posting, of: Containers) -> None:
    await publishing.rig.sandbox.command("processing", platform=of.single.platform, result="failed", skip=1)
    await published(publishing, of.carousel, "Tea")
    assert await of.count(publishing) == 5, "three items, one of them twice, and the carousel"


@pytest.mark.parametrize(
    ("case", "fields", "edge", "calls"),
    [
        pytest.param(facebook.REEL, "status,published*", "/video_reels", 2, id="facebook"),  # a start and a finish
        pytest.param(instagram.IMAGE, "status_code,status", "/media", 1, id="instagram"),
        pytest.param(threads.TEXT, "status,error_message", "/threads", 1, id="threads"),
    ],
)
async def test_token_that_dies_in_a_poll_does_not_begin_anew(
    publishing: Posting, case: Case, fields: str, edge: str, calls: int
) -> None:
    fault = {"endpoint": "GET *", "where": {"fields": fields}, "error": "token_expired"}
    await publishing.rig.sandbox.command("faults", platform=case.platform, **fault)
    await published(publishing, case, "Tea")
    found = await publishing.rig.sandbox.ledger("call", platform=case.platform, method="POST")
    assert len([call for call in found if call["path"].endswith(edge)]) == calls


@on_containers
async def test_throttle_by_401_neither_ends_the_token_nor_costs_the_post(publishing: Posting, of: Containers) -> None:
    platform = of.single.platform
    for endpoint in (f"POST *{of.edge}", of.single.commit):
        fault = {"endpoint": endpoint, "error": "too_many_actions"}
        await publishing.rig.sandbox.command("faults", platform=platform, **fault)
        row = await worked_on(publishing, await target(publishing, of.single, endpoint), publishing.driver)
        assert row["state"] == "published", dict(row)
        assert len(await made(publishing, of.single, endpoint)) == 1
    [row] = await publishing.rig.raw("SELECT state FROM connections WHERE platform = $1", platform)
    assert row["state"] == "active"


@pytest.mark.parametrize(
    ("case", "kind"),
    [(facebook.TEXT, "comment"), (instagram.IMAGE, "comment"), (threads.TEXT, "reply")],
    ids=["facebook", "instagram", "threads"],
)
async def test_first_comment_waits_for_a_post_that_is_seconds_old(publishing: Posting, case: Case, kind: str) -> None:
    await publishing.rig.sandbox.command("parent-lag", platform=case.platform, seconds=70)
    root = await target(publishing, case, "Tea")
    connection = str((await publishing.row(root))["connection_id"])
    first = await publishing.target(connection, "First!", kind=kind, parent=root)
    await publishing.run(root)
    row = await publishing.run(first)
    assert row["state"] == "published", dict(row)
    assert len(await made(publishing, case, "First!")) == 1


@pytest.mark.parametrize(
    "cases",
    [
        [facebook.TEXT, facebook.PHOTOS, facebook.REEL],
        [instagram.IMAGE, instagram.CAROUSEL],
        [threads.TEXT, threads.CAROUSEL, threads.REPLY],
    ],
    ids=["facebook", "instagram", "threads"],
)
@pytest.mark.parametrize("seconds", [45, 150, 400])
async def test_commit_that_takes_effect_late_is_there_once(
    publishing: Posting, cases: Sequence[Case], seconds: int
) -> None:
    fault = {"error": "service_unavailable", "effect": True, "late_seconds": seconds}
    for case in cases:
        await publishing.rig.sandbox.command(
            "faults", platform=case.platform, endpoint=case.commit, where=case.where, **fault
        )
        row = await publishing.run(await target(publishing, case, f"Tea {case}"))
        assert row["state"] == "published", dict(row)
        await publishing.rig.sandbox.command("clock", jump=600)
        assert [post["id"] for post in await made(publishing, case, f"Tea {case}")] == [row["platform_post_id"]]
        await publishing.rig.sandbox.clear_faults()


@on_containers
async def test_status_that_lags_behind_does_not_publish_again(publishing: Posting, of: Containers) -> None:
    await lagged(publishing, of.single, of.status)
