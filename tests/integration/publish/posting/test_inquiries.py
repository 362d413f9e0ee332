"""Before a post is accepted its platform is asked what the account may post at this moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ops.access.audit_log_store import Actor
from ops.cli import composition, wiring
from ops.cli.composition import assembled
from publish.posting.errors import PostError
from publish.posting.inquiries import Inquiries
from publish.posting.posts import Posts
from publish.posting.queues import WEEKDAYS, Queues
from publish.posting.requests import PostBody, QueueBody, QueueSlot, TargetBody
from publish.schedule import zones
from schema.tenancy import DEFAULT_TENANT
from tests.posting import POSTING, Posting

SITE = "https://posts.example.org"
ADA = Actor("user:ada")


def posts_of(publishing: Posting) -> Posts:
    driver = publishing.driver
    inquiries = Inquiries(POSTING, driver.client, driver.clients, driver.tokens)
    return Posts(publishing.rig.pool, wiring.publishers(), publishing.media, zones.installed(), SITE, ask=inquiries)


async def test_quota_that_the_platform_says_is_used_up_refuses_what_is_published_before_it_is_there_again(
    publishing: Posting,
) -> None:
    [account] = await publishing.rig.connect("instagram")
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    quota = {"data": [{"quota_usage": 50, "config": {"quota_total": 50, "quota_duration": 86_400}}]}
    answer = {"effect": True, "status": 200, "body": quota, "times": 0}
    await publishing.rig.sandbox.command(
        "faults", platform="instagram", endpoint="GET */content_publishing_limit", **answer
    )
    body = PostBody(content="Tea", media=[picture], targets=[TargetBody(connection=account)])
    posts, now = posts_of(publishing), datetime.now(UTC)
    for when in ({"action": "publish"}, {"scheduled_time": f"{now + timedelta(hours=20):%Y-%m-%dT%H:%M:%SZ}"}):
        with pytest.raises(PostError) as refused:
            await posts.create(DEFAULT_TENANT, ADA, body.model_copy(update=when))
        assert refused.value.code == "rate_limit_exceeded", refused.value.details
    for days in (2, 9):
        later = {"scheduled_time": f"{now + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}"}
        created = await posts.create(DEFAULT_TENANT, ADA, body.model_copy(update=later))
        assert [each.result for each in created.results] == ["created"], "tomorrow's quota is another one"
    slots = [
        QueueSlot.model_validate({"weekday": WEEKDAYS[at.weekday()], "time": f"{at:%H:%M}"})
        for at in (now + timedelta(hours=3), now + timedelta(hours=30))
    ]
    await Queues(posts).set(DEFAULT_TENANT, ADA, account, QueueBody(timezone="UTC", slots=slots))
    queued = body.model_copy(update={"next_free_slot": True, "content": "Coffee"})
    created = await posts.create(DEFAULT_TENANT, ADA, queued)
    assert created.post is not None
    assert created.post.scheduled_at is not None
    assert created.post.scheduled_at > now + timedelta(hours=29), "the slot of today is beyond the quota"
    assert "moved_to_later_slot" in {each["code"] for each in created.findings}
    assert await publishing.shown("instagram") == []


async def test_choices_of_the_moment_decide_and_not_those_of_yesterday(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("tiktok")
    clip = publishing.media.add("clip.mp4", "video/mp4", width=640, height=640, duration=4.0)
    options = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}
    target = TargetBody(connection=account, options=options)
    body = PostBody(content="Tea", media=[clip], targets=[target], dry_run=True, action="publish")
    created = await posts_of(publishing).create(DEFAULT_TENANT, ADA, body)
    assert created.results[0].result == "checked"
    await publishing.rig.sandbox.command("account", platform="tiktok", account="shop", settings={"private": True})
    with pytest.raises(PostError) as refused:
        await posts_of(publishing).create(DEFAULT_TENANT, ADA, body)
    assert "privacy_level" in str(refused.value.details)


@pytest.mark.parametrize(
    ("verified", "code"),
    [
        ((), "url_ownership_unknown"),
        (("example.org", "https://cdn.example.net/files/"), ""),
        (("https://posts.example.org/media/",), ""),
        (("https://posts.example.org/other/", "example.net"), "url_ownership_unverified"),
    ],
)
async def test_address_that_tiktok_has_not_verified_refuses_what_it_would_fetch(
    publishing: Posting, verified: tuple[str, ...], code: str
) -> None:
    """``tiktok.md`` 7.3: by what the operator says is verified, and the address below which files are fetched."""
    rig = publishing.rig
    [account] = await rig.connect("tiktok")
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    providers = replace(rig.providers, variables=rig.providers.variables | {"TIKTOK_VERIFIED_URLS": verified})
    built = assembled(rig.pool, publishing.driver.vault, providers)
    posts = replace(composition.posts_of(rig.pool, built, None, SITE), files=publishing.media)
    options = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}
    target = TargetBody(connection=account, options=options)
    body = PostBody(content="Tea", media=[picture], targets=[target], dry_run=True, action="publish")
    answered: set[str] = set()
    try:
        answered |= {finding["code"] for finding in (await posts.create(DEFAULT_TENANT, ADA, body)).findings}
    except PostError as refused:
        answered.add(refused.code)
    assert {each for each in answered if each.startswith("url_ownership")} == ({code} if code else set())


async def test_platform_that_does_not_answer_leaves_the_documented_limits(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("mastodon")
    fault = {"endpoint": "GET */api/v2/instance", "status": 503, "times": 0}
    await publishing.rig.sandbox.command("faults", platform="mastodon", **fault)
    body = PostBody(content="Tea", action="publish", targets=[TargetBody(connection=account)], dry_run=True)
    began = datetime.now(UTC)
    created = await posts_of(publishing).create(DEFAULT_TENANT, ADA, body)
    assert created.results[0].result == "checked"
    assert (datetime.now(UTC) - began).total_seconds() < 15
