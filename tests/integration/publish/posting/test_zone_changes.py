"""Saved times follow a newer release of the time zone database, once, until somebody began to publish."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from ops.access.audit_log_store import Actor
from ops.runtime.db import open_pool
from ops.runtime.faultpoint import InjectedError
from publish.posting.descriptions import moved_words, target_document
from publish.posting.occurrences import OccurrenceSweep
from publish.posting.post_store import StoredPost
from publish.posting.queues import Queues
from publish.posting.recurrences import Recurrences
from publish.posting.requests import EditBody, PostBody, QueueBody, RecurrenceBody, read
from publish.posting.zone_changes import ZoneChanges
from schema.rights import WORKER_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.posting import Posting, posting
from tests.rig import PATIENT, Rig
from tests.unit.publish.schedule.support import STANDARD, SUMMER, TOWN, release_of, utc

AUTHOR = Actor("author@example.org")
OLD, NEW, BACK = release_of("2098a", STANDARD), release_of("2098b", SUMMER), release_of("2098c", STANDARD)


class Desk(Posting):
    account: str
    changes: ZoneChanges

    async def made(self, time: str, content: str = "Tea", **more: Any) -> StoredPost:
        body = {"content": content, "targets": [{"connection": self.account}], "timezone": TOWN}
        wanted = read(PostBody, {**body, "scheduled_time": time, **more})
        created = await self.posts.create(DEFAULT_TENANT, AUTHOR, wanted)
        assert created.post is not None
        return created.post

    async def one(self, post: StoredPost) -> StoredPost:
        return await self.listing.one(DEFAULT_TENANT, post.id)

    async def due(self, post: StoredPost) -> tuple[datetime | None, datetime | None, str | None]:
        """When a post is due, as it is shown and as the worker has it, and by which release."""
        found = await self.one(post)
        return found.scheduled_at, found.targets[0].due_at, found.targets[0].tzdata

    async def edit(self, post: StoredPost, **fields: Any) -> None:
        await self.edits.edit(DEFAULT_TENANT, AUTHOR, post.id, read(EditBody, fields), may_approve=False)


@pytest.fixture
async def desk(rig: Rig) -> AsyncIterator[Desk]:
    async with posting(rig) as found, await open_pool(rig.dsn, "publish", 4, role=WORKER_ROLE, **PATIENT) as worker:  # type: ignore[arg-type]
        made = Desk(found.rig, found.driver, found.media, replace(found.posts, zones=OLD))
        [made.account] = await rig.connect("mastodon")
        made.changes = ZoneChanges(worker, NEW)
        await found.driver.drain()  # which gets to know the database
        yield made


async def test_scheduled_posts_keep_their_wall_time_and_say_what_moved_them(desk: Desk) -> None:
    plain, gap = await desk.made("2099-06-01T09:00"), await desk.made("2099-04-10T02:30", "gap")
    overlap, winter = await desk.made("2099-07-19T02:30", "overlap"), await desk.made("2099-12-01T09:00", "winter")
    instant = await desk.made("2099-06-01T08:00Z", "instant")
    thread = await desk.made("2099-06-02T09:00", "thread", thread=["and more"])
    assert await desk.due(plain) == (utc("2099-06-01 08:00"), utc("2099-06-01 08:00"), "2098a")
    assert await desk.changes.drain() == 4
    for post, at in ((plain, "2099-06-01 07:00"), (gap, "2099-04-10 01:00"), (overlap, "2099-07-19 00:30")):
        assert await desk.due(post) == (utc(at), utc(at), "2098b")
    assert await desk.due(winter) == (utc("2099-12-01 08:00"), utc("2099-12-01 08:00"), "2098b")
    assert await desk.due(instant) == (utc("2099-06-01 08:00"), utc("2099-06-01 08:00"), None), "no zone decides it"
    shown = await desk.one(plain)
    assert (shown.local_time, shown.zone, shown.version) == ("2099-06-01T09:00", TOWN, 1)
    assert moved_words(shown.targets[0], shown) == (
        f"Release 2098b of the time zone database changed the clocks of {TOWN}: it was due at 2099-06-01 08:00 UTC"
        " before, and keeps its local time."
    )
    assert target_document(shown.targets[0], shown)["moved_from"] == "2099-06-01T08:00:00+00:00"
    assert (await desk.one(winter)).targets[0].moved_from is None
    [entry] = await desk.rig.raw(
        "SELECT actor, detail FROM audit_log WHERE subject = $1 AND action <> 'post.created'", plain.id
    )
    said = json.loads(entry["detail"])
    assert (entry["actor"], said["tzdata"], said["at"]) == ("worker", "2098b", "2099-06-01T07:00:00+00:00")
    await desk.project()
    rows = await desk.rig.raw("SELECT DISTINCT scheduled_at FROM social_posts WHERE post_id = $1", thread.id)
    assert [row[0] for row in rows] == [utc("2099-06-02 07:00")], "the log has it, of the further part too"


async def test_times_are_decided_once_and_never_again_by_an_older_release(desk: Desk) -> None:
    post = await desk.made("2099-06-01T09:00")
    assert sum(await asyncio.gather(*(desk.changes.drain() for _ in range(3)))) == 1
    moved, count = await desk.due(post), "SELECT count(*) FROM webhook_event_log"
    [[events]] = await desk.rig.raw(count)
    assert await desk.changes.drain() == 0
    assert await replace(desk.changes, zones=OLD).drain() == 0
    assert (await desk.due(post), (await desk.rig.raw(count))[0][0]) == (moved, events)
    assert await replace(desk.changes, zones=BACK).drain() == 1
    assert await desk.due(post) == (utc("2099-06-01 08:00"), utc("2099-06-01 08:00"), "2098c")


async def test_what_somebody_began_or_tries_again_or_published_is_not_moved(desk: Desk) -> None:
    begun, again, cancelled = [await desk.made("2099-06-01T09:00", text) for text in ("begun", "again", "cancelled")]
    await desk.rig.raw("UPDATE post_targets SET state = 'preparing' WHERE post_id = $1::uuid", begun.id)
    await desk.rig.raw("UPDATE post_targets SET attempt = 2, due_at = now() WHERE post_id = $1::uuid", again.id)
    await desk.lifecycle.cancel(DEFAULT_TENANT, AUTHOR, cancelled.id)
    now = await desk.made("2099-06-01T09:00", "now")
    await desk.edits.publish(DEFAULT_TENANT, AUTHOR, now.id)
    before = [await desk.due(each) for each in (begun, cancelled, now)]
    assert await desk.changes.drain() == 0
    assert [await desk.due(each) for each in (begun, cancelled, now)] == before
    assert (await desk.due(again))[0] == utc("2099-06-01 08:00")


async def test_drafts_and_posts_that_wait_for_approval_follow_and_stay_approved(desk: Desk) -> None:
    draft = await desk.made("2099-06-01T09:00", "draft", action="draft")
    waits = await desk.made("2099-06-01T09:00", "waits", needs_approval=True)
    assert await desk.changes.drain() == 2
    assert await desk.due(draft) == (utc("2099-06-01 07:00"), None, "2098b")
    found = await desk.one(waits)
    assert (found.scheduled_at, found.version, found.targets[0].state) == (
        utc("2099-06-01 07:00"),
        1,
        "awaiting_approval",
    )


async def test_worker_that_had_leased_a_target_begins_nothing_after_it_moved(desk: Desk) -> None:
    post = await desk.made("2099-06-01T09:00")
    await desk.rig.raw("UPDATE post_targets SET lease_until = now() + interval '1 minute'")
    [[fence]] = await desk.rig.raw("SELECT fence FROM post_targets")
    assert await desk.changes.drain() == 1
    await desk.driver.work(DEFAULT_TENANT, post.targets[0].id, fence)
    assert (await desk.one(post)).targets[0].state == "scheduled"


async def test_edit_with_another_time_forgets_what_moved_it(desk: Desk) -> None:
    post = await desk.made("2099-06-01T09:00")
    await desk.changes.drain()
    await desk.edit(post, content="Coffee")
    assert (await desk.one(post)).targets[0].moved_from is not None
    await desk.edit(post, scheduled_time="2099-06-01T08:00Z")
    [target] = (await desk.one(post)).targets
    assert (target.moved_from, target.tzdata) == (None, None)


async def test_slots_of_a_queue_move_together(desk: Desk) -> None:
    queues = Queues(desk.posts)
    body = {"timezone": TOWN, "slots": [{"weekday": "MO", "time": f"{hour:02}:00"} for hour in (9, 10, 11)]}
    await queues.set(DEFAULT_TENANT, AUTHOR, desk.account, read(QueueBody, body))
    wanted = {"targets": [{"connection": desk.account}], "next_free_slot": True}
    made = []
    for number in range(3):
        created = await desk.posts.create(
            DEFAULT_TENANT, AUTHOR, read(PostBody, {"content": f"Tea {number}", **wanted})
        )
        assert created.post is not None
        made.append(created.post)
    # They are planned for the coming weeks; in this town there is summer then.
    assert {each.targets[0].slot_zone for each in made} == {TOWN}
    always = replace(desk.changes, zones=release_of("2098b", "XST-2"))
    assert await always.drain() == 3
    for post in made:
        found = await desk.one(post)
        at = (post.scheduled_at or utc("2099-01-01")) - timedelta(hours=1)
        assert (found.scheduled_at, found.targets[0].slot_at, found.targets[0].due_at) == (at, at, at)
        assert (found.local_time, found.targets[0].slot_local_time) == (post.local_time, post.local_time)
    assert await replace(always, zones=BACK).drain() == 3, "each takes the slot that another leaves"
    assert [(await desk.one(post)).scheduled_at for post in made] == [post.scheduled_at for post in made]


async def test_what_repeats_follows_and_a_change_of_it_makes_nothing_twice(desk: Desk) -> None:
    recurrences = Recurrences(desk.posts)
    sweep = OccurrenceSweep(replace(desk.posts, pool=desk.changes.pool))
    [[start]] = await desk.rig.raw("SELECT date_trunc('hour', now() + interval '26 hours') AT TIME ZONE 'UTC'")
    post = {"content": "Tea", "targets": [{"connection": desk.account}]}
    body = {"rule": "FREQ=DAILY;COUNT=10", "start_time": f"{start:%Y-%m-%dT%H:%M}", "timezone": TOWN, "post": post}
    saved = await recurrences.create(DEFAULT_TENANT, AUTHOR, read(RecurrenceBody, body))
    assert saved.recurrence is not None
    id_, before = saved.recurrence.stored.id, "SELECT scheduled_at FROM posts ORDER BY 1"
    made = await sweep.drain()
    times = [row[0] for row in await desk.rig.raw(before)]
    always = replace(desk.changes, zones=release_of("2098b", "XST-2"))
    next_at = (await recurrences.one(DEFAULT_TENANT, id_)).stored.next_at
    assert await always.drain() == made + 1
    assert [row[0] for row in await desk.rig.raw(before)] == [each - timedelta(hours=1) for each in times]
    at = await desk.rig.raw("SELECT at FROM post_occurrences ORDER BY 1")
    assert [row[0] for row in at] == [each - timedelta(hours=1) for each in times]
    assert next_at is not None
    assert (await recurrences.one(DEFAULT_TENANT, id_)).stored.next_at == next_at - timedelta(hours=1)
    assert await always.drain() == 0
    moved = replace(sweep, posts=replace(sweep.posts, zones=always.zones))
    assert await moved.drain() <= 1, "what is a post already is not made again"


async def test_crash_before_it_is_stored_leaves_all_to_the_next_round(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = await desk.made("2099-06-01T09:00")

    def dies(_: str) -> None:
        raise InjectedError

    with monkeypatch.context() as patched:
        patched.setattr("publish.posting.zone_changes.faultpoint", dies)
        assert await desk.changes.drain() == 0
    assert await desk.due(post) == (utc("2099-06-01 08:00"), utc("2099-06-01 08:00"), "2098a")
    assert await desk.changes.drain() == 1


async def test_zone_that_a_release_has_no_more_leaves_its_posts_where_they_are(desk: Desk) -> None:
    post = await desk.made("2099-06-01T09:00")
    await desk.rig.raw("UPDATE posts SET zone = 'Gone/Zone'")
    assert await desk.changes.drain() == 0
    assert await desk.due(post) == (utc("2099-06-01 08:00"), utc("2099-06-01 08:00"), "2098b")
