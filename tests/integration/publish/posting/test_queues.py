"""The next free slot of an account's queue, through the store: each slot once, at its wall time all the year."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import asyncpg
import pytest

from ops.access.audit_log_store import Actor
from publish.posting import posts as posts_module
from publish.posting.errors import PostError
from publish.posting.post_store import StoredPost
from publish.posting.queues import WEEKDAYS, AccountQueue, Queues
from publish.posting.requests import ApproveBody, EditBody, PostBody, QueueBody, read
from publish.posting.results import Created
from schema.tenancy import DEFAULT_TENANT
from tests.posting import Posting, posting
from tests.rig import Rig

AUTHOR = Actor("author@example.org")


class Desk(Posting):
    account: str
    other: str
    picture: str
    queues: Queues

    async def set(self, *slots: tuple[str, str], zone: str = "UTC", account: str = "") -> AccountQueue:
        body = read(QueueBody, {"timezone": zone, "slots": [{"weekday": day, "time": time} for day, time in slots]})
        return await self.queues.set(DEFAULT_TENANT, AUTHOR, account or self.account, body)

    async def queued(self, content: str = "Tea", **more: Any) -> Created:
        body = {"content": content, "targets": [{"connection": self.account}], "next_free_slot": True, **more}
        return await self.posts.create(DEFAULT_TENANT, AUTHOR, read(PostBody, body))


@pytest.fixture
async def desk(rig: Rig) -> AsyncIterator[Desk]:
    async with posting(rig) as found:
        made = Desk(found.rig, found.driver, found.media, found.posts)
        made.queues = Queues(found.posts)
        [made.account] = await rig.connect("x")
        [made.other] = await rig.connect("mastodon")
        yield made


def post_of(created: Created) -> StoredPost:
    assert created.post is not None
    return created.post


async def test_each_post_takes_the_next_slot_that_is_free(desk: Desk) -> None:
    shown = await desk.set(("MO", "09:00"), ("TH", "17:30"), zone="Europe/Berlin")
    first, second = post_of(await desk.queued("one")), post_of(await desk.queued("two"))
    assert [first.scheduled_at, second.scheduled_at] == [shown.free[0].instant, shown.free[1].instant]
    [target] = first.targets
    assert (target.state, target.slot_at, target.due_at) == ("scheduled", first.scheduled_at, first.scheduled_at)
    assert (first.local_time, first.zone) == (f"{shown.free[0].wall:%Y-%m-%dT%H:%M}", "Europe/Berlin")
    left = await desk.queues.show(DEFAULT_TENANT, desk.account)
    assert left.free[0].instant == shown.free[2].instant
    await desk.lifecycle.cancel(DEFAULT_TENANT, AUTHOR, first.id)
    assert post_of(await desk.queued("three")).scheduled_at == first.scheduled_at, "it is free again"
    entries = await desk.rig.raw("SELECT subject, detail FROM audit_log WHERE action = 'connection.queue_set'")
    assert [entry["subject"] for entry in entries] == [desk.account]


async def test_posts_at_once_never_take_one_slot_of_an_account(desk: Desk) -> None:
    await desk.set(*((day, "09:00") for day in WEEKDAYS))
    made = [post_of(each) for each in await asyncio.gather(*(desk.queued(f"Tea {n}") for n in range(6)))]
    times = sorted(post.scheduled_at for post in made if post.scheduled_at)
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(times))


async def test_database_refuses_a_slot_that_is_taken(desk: Desk) -> None:
    await desk.set(*((day, "09:00") for day in WEEKDAYS))
    first, second = post_of(await desk.queued("one")), post_of(await desk.queued("two"))
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_post_targets_slot_at"):
        await desk.rig.raw(
            "UPDATE post_targets SET slot_at = $2 WHERE post_id = $1::uuid", second.id, first.scheduled_at
        )


async def test_each_account_of_a_post_has_a_slot_of_its_own_and_the_answer_shows_it(desk: Desk) -> None:
    own = await desk.set(("MO", "09:00"))
    theirs = await desk.set(("MO", "11:00"), account=desk.other)
    created = await desk.queued(targets=[{"connection": desk.account}, {"connection": desk.other}])
    times = {result.connection: result.slot_at for result in created.results}
    assert times == {desk.account: own.free[0].instant, desk.other: theirs.free[0].instant}
    assert "09:00" in created.words
    assert "11:00" in created.words
    post = post_of(created)
    assert post.scheduled_at == own.free[0].instant
    assert {target.connection_id: target.due_at for target in post.targets} == times
    events = await desk.rig.raw("SELECT payload_json FROM webhook_event_log WHERE event_type = 'target.scheduled'")
    said = [json.loads(event["payload_json"]) for event in events]
    assert {each["connection_id"]: datetime.fromisoformat(each["scheduled_at"]) for each in said} == times
    await desk.rig.raw("UPDATE post_targets SET due_at = now() WHERE connection_id = $1::uuid", desk.account)
    while await desk.rig.raw("SELECT 1 FROM post_targets WHERE state = 'scheduled' AND due_at <= now()"):
        await desk.driver.drain()
    states = {each.connection_id: str(each.state) for each in (await desk.listing.one(DEFAULT_TENANT, post.id)).targets}
    assert states[desk.other] == "scheduled", "it is published at a time of its own"
    assert states[desk.account] != "scheduled"


async def test_slots_keep_their_wall_time_over_a_change_of_daylight_saving(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone = "Europe/Berlin"
    await desk.set(*((day, "02:30") for day in WEEKDAYS), zone=zone)
    year = datetime.now(UTC).year + 1
    change = max(day for day in (datetime(year, 3, n, tzinfo=UTC) for n in range(25, 32)) if day.weekday() == 6)
    before = change - timedelta(days=2)

    async def then(_: Any) -> datetime:
        return before + timedelta(hours=12)

    monkeypatch.setattr(posts_module.post_store, "clock", then)
    made = [post_of(await desk.queued(f"Tea {number}")) for number in range(3)]
    assert [f"{post.scheduled_at:%m-%d %H:%M}" for post in made] == [
        f"{change - timedelta(days=1):%m-%d} 01:30",
        f"{change:%m-%d} 01:00",
        f"{change + timedelta(days=1):%m-%d} 00:30",
    ], "the hour that is left out moves to the first time after it"


async def test_time_of_another_post_is_no_free_slot(desk: Desk) -> None:
    shown = await desk.set(*((day, "09:00") for day in WEEKDAYS))
    body = {"content": "Coffee", "targets": [{"connection": desk.account}], "timezone": "UTC"}
    taken = {**body, "scheduled_time": f"{shown.free[0].instant:%Y-%m-%d %H:%M}"}
    await desk.posts.create(DEFAULT_TENANT, AUTHOR, read(PostBody, taken))
    assert post_of(await desk.queued()).scheduled_at == shown.free[1].instant


async def test_same_content_is_found_anywhere_in_the_queue(desk: Desk) -> None:
    await desk.set(("MO", "09:00"))
    first = post_of(await desk.queued())
    again = await desk.queued()
    assert (again.results[0].result, post_of(again).id) == ("exists", first.id), "a week apart, and still the same"
    on_purpose = await desk.queued(repeat=True)
    assert on_purpose.results[0].result == "created"


async def test_edit_keeps_the_slot_and_another_time_gives_it_back(desk: Desk) -> None:
    shown = await desk.set(("MO", "09:00"))
    post = post_of(await desk.queued())
    slot = shown.free[0].instant
    changed = await desk.edits.edit(
        DEFAULT_TENANT, AUTHOR, post.id, read(EditBody, {"content": "Coffee"}), may_approve=False
    )
    assert (changed.post.targets[0].slot_at, changed.post.targets[0].due_at) == (slot, slot)
    later = {"scheduled_time": f"{slot + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"}
    changed = await desk.edits.edit(DEFAULT_TENANT, AUTHOR, post.id, read(EditBody, later), may_approve=False)
    assert (changed.post.targets[0].slot_at, changed.post.targets[0].due_at) == (None, slot + timedelta(hours=1))
    other = post_of(await desk.queued())
    assert other.scheduled_at == slot
    await desk.edits.publish(DEFAULT_TENANT, AUTHOR, other.id)
    assert (await desk.listing.one(DEFAULT_TENANT, other.id)).targets[0].slot_at is None


async def test_approval_plans_a_post_for_the_slot_that_it_took(desk: Desk) -> None:
    shown = await desk.set(("MO", "09:00"))
    post = post_of(await desk.queued(needs_approval=True))
    assert (post.targets[0].state, post.targets[0].due_at) == ("awaiting_approval", None)
    assert post_of(await desk.queued("Coffee")).scheduled_at == shown.free[1].instant, "it holds its slot meanwhile"
    done = await desk.lifecycle.approve(DEFAULT_TENANT, Actor("owner@example.org"), post.id, ApproveBody(version=1))
    assert done.post.targets[0].due_at == shown.free[0].instant


async def test_account_without_slots_and_a_second_time_are_refused_with_what_to_do(desk: Desk) -> None:
    with pytest.raises(PostError) as caught:
        await desk.queued()
    assert "has no slot" in caught.value.message
    assert f"PUT /api/connections/{desk.account}/slots" in caught.value.remedy
    await desk.set(("MO", "09:00"))
    for more in ({"scheduled_time": "2099-06-01T09:00:00Z"}, {"action": "publish"}, {"action": "draft"}):
        with pytest.raises(PostError, match="next free slot is the time"):
            await desk.queued(**more)
    with pytest.raises(PostError, match="no time zone 'Mars/Olympus'"):
        await desk.set(("MO", "09:00"), zone="Mars/Olympus")
    await desk.set()
    with pytest.raises(PostError, match="has no slot"):
        await desk.queued()
