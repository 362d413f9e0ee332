"""Posts that repeat, through the store and the real sweeps: each occurrence once, none in a burst, edits arm anew."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from ops.access.audit_log_store import Actor
from ops.runtime.db import Pool, open_pool
from ops.runtime.faultpoint import InjectedError
from ops.runtime.tenancy import tenant_transaction
from publish.posting import recurrence_store
from publish.posting.errors import PostError
from publish.posting.occurrences import LEFT_OUT, OccurrenceSweep
from publish.posting.recurrence_store import StoredOccurrence
from publish.posting.recurrences import Recurrences, Saved, Shown
from publish.posting.requests import EditBody, RecurrenceBody, RecurrenceEdit, read
from publish.schedule.recurrence import AHEAD
from schema.rights import WORKER_ROLE
from schema.states import OccurrenceState
from schema.tenancy import DEFAULT_TENANT
from tests.posting import Posting, posting
from tests.rig import PATIENT, Rig

AUTHOR = Actor("author@example.org")
ZONE = "Europe/Berlin"


class Desk(Posting):
    """Somebody whose posts repeat at one account of Instagram; ``sweeps`` are two workers that make them."""

    account: str
    picture: str
    recurrences: Recurrences
    sweeps: list[OccurrenceSweep]
    worker: Pool

    def body(self, rule: str, start: datetime | str, content: str = "Tea", **more: Any) -> RecurrenceBody:
        named = {name: more.pop(name) for name in ("dry_run", "idempotency_key") if name in more}
        post = {"content": content, "media": [self.picture], "targets": [{"connection": self.account}], **more}
        time = start if isinstance(start, str) else f"{start:%Y-%m-%dT%H:%M:%SZ}"
        return read(RecurrenceBody, {"rule": rule, "start_time": time, "timezone": ZONE, "post": post, **named})

    async def made(self, rule: str, start: datetime | str, content: str = "Tea", **more: Any) -> str:
        saved = await self.recurrences.create(DEFAULT_TENANT, AUTHOR, self.body(rule, start, content, **more))
        assert saved.recurrence is not None
        return saved.recurrence.stored.id

    async def edit(self, id_: str, **fields: Any) -> Saved:
        body = read(RecurrenceEdit, fields)
        return await self.recurrences.edit(DEFAULT_TENANT, AUTHOR, id_, body, may_approve=False)

    async def one(self, id_: str) -> Shown:
        return await self.recurrences.one(DEFAULT_TENANT, id_)

    async def sweep(self) -> int:
        return await self.sweeps[0].drain()

    async def rows(self, id_: str) -> list[Any]:
        """What became of its targets, the earliest first."""
        found = await self.rig.raw(
            "SELECT p.id::text AS post, t.id::text AS target, t.state, p.scheduled_at, p.content AS text,"
            " t.error_message FROM posts p JOIN post_targets t ON t.tenant_id = p.tenant_id AND t.post_id = p.id"
            " WHERE p.schedule_id = $1::uuid ORDER BY p.scheduled_at, p.id",
            id_,
        )
        return list(found)

    async def pass_time(self, time: timedelta) -> None:
        """Let everything that is planned be so much longer ago, as it is after a worker was away for that long."""
        for table, columns in {
            "post_recurrences": ("armed_at", "next_at", "due_at", "created_at"),
            "post_occurrences": ("at",),
            "posts": ("scheduled_at", "created_at"),
            "post_targets": ("due_at", "created_at"),
        }.items():
            moved = ", ".join(f"{name} = {name} - $1::interval" for name in columns)
            await self.rig.raw(f"UPDATE {table} SET {moved}", time)
        for row in await self.rig.raw("SELECT id::text, start_time FROM post_recurrences"):
            moment = datetime.fromisoformat(row["start_time"]) - time
            await self.rig.raw(
                "UPDATE post_recurrences SET start_time = $2 WHERE id = $1::uuid",
                *(row["id"], f"{moment:%Y-%m-%d %H:%M:%S}{'Z' if moment.tzinfo else ''}"),
            )


@pytest.fixture
async def desk(rig: Rig) -> AsyncIterator[Desk]:
    async with posting(rig) as found, await open_pool(rig.dsn, "publish", 4, role=WORKER_ROLE, **PATIENT) as worker:  # type: ignore[arg-type]
        made = Desk(found.rig, found.driver, found.media, found.posts)
        [made.account] = await rig.connect("instagram")
        made.picture = found.media.add("picture.jpg", "image/jpeg", width=640, height=640)
        made.recurrences, made.worker = Recurrences(found.posts), worker
        posts = type(found.posts)(worker, found.posts.publishers, found.media, found.posts.zones, rig.sandbox.url)
        made.sweeps = [OccurrenceSweep(posts), OccurrenceSweep(posts)]
        await found.driver.drain()  # which gets to know the database
        yield made


def soon(**delta: float) -> datetime:
    """Some time from now, to the second."""
    return (datetime.now(UTC) + timedelta(**delta)).replace(microsecond=0)


def states(rows: list[Any]) -> list[str]:
    return [row["state"] for row in rows]


async def test_occurrences_of_the_coming_week_become_posts_of_their_own(desk: Desk) -> None:
    start = soon(hours=2)
    id_ = await desk.made("FREQ=DAILY;COUNT=30", start, late_policy="skip")
    assert await desk.sweep() == 7
    rows = await desk.rows(id_)
    assert states(rows) == ["scheduled"] * 7
    assert [row["scheduled_at"] for row in rows] == [start + timedelta(days=day) for day in range(7)]
    post = await desk.listing.one(DEFAULT_TENANT, rows[0]["post"])
    assert (post.author, post.late_policy, post.schedule_id, post.targets[0].repeats) == (
        AUTHOR.name,
        "skip",
        id_,
        True,
    ), "the same content a day later is on purpose"
    shown = await desk.one(id_)
    assert shown.stored.next_at == start + timedelta(days=7)
    assert [each.state for each in shown.latest] == [OccurrenceState.MADE] * 7
    assert await desk.sweep() == 0, "nothing more is to be made before its time"
    [[due]] = await desk.rig.raw("SELECT due_at FROM post_recurrences")
    assert due == start + timedelta(days=7) - AHEAD


async def test_two_sweeps_at_once_make_each_occurrence_once(desk: Desk) -> None:
    ids = [await desk.made("FREQ=DAILY;COUNT=5", soon(hours=2), f"Tea {number}") for number in range(3)]
    counts = await asyncio.gather(*(sweep.drain() for sweep in (*desk.sweeps, *desk.sweeps)))
    await desk.sweep()
    assert sum(counts) <= 15
    for id_ in ids:
        rows = await desk.rows(id_)
        assert len(rows) == len({row["scheduled_at"] for row in rows}) == 5
        assert len((await desk.one(id_)).latest) == 5


@pytest.mark.parametrize("point", ["recurrences.planned", "recurrences.stored"])
async def test_worker_that_dies_at_any_point_leaves_each_occurrence_to_be_made_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    id_, passed = await desk.made("FREQ=DAILY;COUNT=3", soon(hours=2)), 0

    def dies(name: str) -> None:
        nonlocal passed
        passed += name == point
        if name == point and passed % 2:
            raise InjectedError

    monkeypatch.setattr("publish.posting.occurrences.faultpoint", dies)
    for _ in range(6):
        await desk.sweep()
    assert passed == 6, "it died before each of the three"
    assert len({row["scheduled_at"] for row in await desk.rows(id_)}) == len(await desk.rows(id_)) == 3
    assert [each.state for each in (await desk.one(id_)).latest] == [OccurrenceState.MADE] * 3


async def test_key_of_an_occurrence_lets_a_worker_with_an_old_reading_make_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await desk.made("FREQ=DAILY;COUNT=2", soon(hours=2))
    async with tenant_transaction(desk.worker, DEFAULT_TENANT) as connection:
        old = await recurrence_store.one(connection, id_)
        occurrence = StoredOccurrence(1, 1, soon(hours=2), OccurrenceState.MISSED, None, "why")
    await desk.sweep()

    async def as_it_was(*_: object) -> Any:
        return old

    monkeypatch.setattr(recurrence_store, "lock", as_it_was)
    monkeypatch.setattr(recurrence_store, "one", as_it_was)
    monkeypatch.setattr(recurrence_store, "standing", lambda *_: asyncio.sleep(0))
    with pytest.raises(asyncpg.UniqueViolationError):
        await desk.sweeps[1]._make(DEFAULT_TENANT, id_)
    with pytest.raises(asyncpg.UniqueViolationError, match="pk_post_occurrences"):
        async with tenant_transaction(desk.worker, DEFAULT_TENANT) as connection:
            await recurrence_store.insert_occurrence(connection, DEFAULT_TENANT, id_, occurrence)
    assert len(await desk.rows(id_)) == 2


@pytest.mark.parametrize(("policy", "last"), [("publish", "published"), ("ask", "missed"), ("skip", "missed")])
async def test_week_of_downtime_brings_no_burst(desk: Desk, policy: str, last: str) -> None:
    """The window of the policy is longer than the downtime, so that nothing else keeps the older posts back."""
    id_ = await desk.made("FREQ=DAILY;COUNT=30", soon(hours=2), late_policy=policy, late_minutes=30 * 1440)
    await desk.sweep()
    await desk.pass_time(timedelta(days=10, hours=3))
    order = [desk.driver.drain, desk.sweep] if policy == "publish" else [desk.sweep, desk.driver.drain]
    for work in (*order, *order):
        await work()
    rows = await desk.rows(id_)
    late = [row for row in rows if row["scheduled_at"] < datetime.now(UTC)]
    for row in late:
        await desk.run(row["target"])
    late = [row for row in await desk.rows(id_) if row["scheduled_at"] < datetime.now(UTC)]
    assert states(late)[:7] == ["missed"] * 7, "those that were made before: a later one is due as well"
    assert "a later post of its schedule is due" in late[0]["error_message"] or policy == "skip"
    assert len(await desk.shown("instagram")) == (policy == "publish")
    latest = (await desk.one(id_)).latest
    missed = [each for each in latest if each.state == OccurrenceState.MISSED]
    if policy == "skip":
        assert len(late) == 7
        assert len(missed) == 4, "nothing is made of what is left out anyway"
    else:
        assert len(late) == 8, "of those that had no post yet only the latest has one"
        assert states(late)[-1] == last
        assert [each.reason for each in missed] == [LEFT_OUT] * 3
    ahead = [row for row in rows if row["scheduled_at"] > datetime.now(UTC)]
    assert ahead[0]["scheduled_at"] - late[0]["scheduled_at"] == timedelta(days=11)
    assert states(ahead) == ["scheduled"] * 7, "it goes on at the times of the rule, not at those of the sweep"


async def test_wall_time_stays_over_a_change_of_daylight_saving_and_what_it_decides_is_shown(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    year = datetime.now(UTC).year + 1
    change = max(day for day in (datetime(year, 3, n, tzinfo=UTC) for n in range(25, 32)) if day.weekday() == 6)
    start = change - timedelta(days=1) + timedelta(hours=2, minutes=30)
    id_ = await desk.made("FREQ=DAILY;COUNT=3", f"{start:%Y-%m-%d %H:%M}")
    shown = (await desk.one(id_)).upcoming
    assert [each.time.decision for each in shown] == ["exact", "gap", "exact"]
    assert "does not exist" in shown[1].time.words
    monkeypatch.setattr("publish.schedule.recurrence.AHEAD", timedelta(days=500))
    await desk.rig.raw("UPDATE post_recurrences SET due_at = now()")
    assert await desk.sweep() == 3
    assert [f"{row['scheduled_at']:%m-%d %H:%M}" for row in await desk.rows(id_)] == [
        f"{start:%m-%d} 01:30",
        f"{change:%m-%d} 01:00",
        f"{change + timedelta(days=1):%m-%d} 00:30",
    ]
    [[wall, zone]] = await desk.rig.raw("SELECT local_time, zone FROM posts ORDER BY scheduled_at LIMIT 1")
    assert (wall, zone) == (f"{start:%Y-%m-%dT%H:%M}", ZONE)


async def test_edit_replaces_what_is_not_begun_and_leaves_what_is_published(desk: Desk) -> None:
    id_ = await desk.made("FREQ=DAILY;COUNT=20", soon(hours=2))
    await desk.sweep()
    first, second, third, *_ = await desk.rows(id_)
    await desk.edits.publish(DEFAULT_TENANT, AUTHOR, first["post"])
    await desk.run(first["target"])
    await desk.lifecycle.cancel(DEFAULT_TENANT, AUTHOR, second["post"])
    moved = read(EditBody, {"scheduled_time": f"{soon(days=3, hours=5):%Y-%m-%dT%H:%M:%SZ}"})
    await desk.edits.edit(DEFAULT_TENANT, AUTHOR, third["post"], moved, may_approve=False)
    saved = await desk.edit(id_, post={"content": "Coffee"}, version=1)
    assert saved.changed
    assert await desk.sweep() == 7
    rows = await desk.rows(id_)
    assert [(row["text"], row["state"]) for row in rows if row["text"] == "Tea"] == [
        ("Tea", "published"),
        *[("Tea", "cancelled")] * 6,
    ]
    standing = {first["post"], second["post"]}
    made = [row for row in rows if row["text"] == "Coffee"]
    assert states(made) == ["scheduled"] * 5, "neither what was published early nor what a person cancelled comes back"
    assert made[0]["scheduled_at"] > second["scheduled_at"]
    latest = (await desk.one(id_)).latest
    assert {each.post_id for each in latest if each.revision == 2} >= standing
    assert sum(each.state == OccurrenceState.REPLACED for each in latest) == 5
    again = await desk.edit(id_, post={"content": "Coffee"})
    assert not again.changed
    with pytest.raises(PostError, match="it has version 2, and not 1"):
        await desk.edit(id_, rule="FREQ=DAILY;COUNT=21", version=1)


async def test_each_occurrence_has_campaign_parameters_on_its_links_until_that_is_changed(desk: Desk) -> None:
    link = "https://example.org/tea"
    tagged = f"Tea: {link}?utm_source=instagram&utm_medium=social&utm_campaign=spring"
    more: dict[str, Any] = {"campaign_id": "spring", "utm": True}
    id_ = await desk.made("FREQ=WEEKLY;COUNT=3", soon(hours=2), f"Tea: {link}", **more)
    assert await desk.sweep() == 1
    for row in await desk.rows(id_):
        post = await desk.listing.one(DEFAULT_TENANT, row["post"])
        assert (post.utm, [target.content for target in post.targets]) == (True, [tagged])
    saved = await desk.edit(id_, post={"utm": False})
    assert saved.changed
    assert await desk.sweep() == 1
    [left] = [row for row in await desk.rows(id_) if row["state"] == "scheduled"]
    post = await desk.listing.one(DEFAULT_TENANT, left["post"])
    assert (post.utm, post.targets[0].content) == (False, None)


async def test_edit_of_the_rule_moves_what_is_to_come(desk: Desk) -> None:
    start = soon(hours=2)
    id_ = await desk.made("FREQ=DAILY;COUNT=20", start)
    await desk.sweep()
    later = f"{start + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    await desk.edit(id_, start_time=later, rule="FREQ=DAILY;INTERVAL=2;COUNT=3")
    await desk.sweep()
    left = [row for row in await desk.rows(id_) if row["state"] == "scheduled"]
    assert [row["scheduled_at"] for row in left] == [start + timedelta(hours=1, days=day) for day in (0, 2, 4)]
    assert (await desk.one(id_)).stored.state == "ended", "nothing is left to be made"
    with pytest.raises(PostError, match="It has ended"):
        await desk.edit(id_, rule="FREQ=DAILY;COUNT=21")


async def test_pause_stops_what_is_not_begun_and_what_passes_meanwhile_is_not_made(desk: Desk) -> None:
    id_ = await desk.made("FREQ=DAILY;COUNT=30", soon(hours=2))
    await desk.sweep()
    paused = await desk.recurrences.pause(DEFAULT_TENANT, AUTHOR, id_)
    assert paused.changed
    assert not (await desk.recurrences.pause(DEFAULT_TENANT, AUTHOR, id_)).changed
    assert states(await desk.rows(id_)) == ["cancelled"] * 7
    assert await desk.sweep() == 0
    await desk.pass_time(timedelta(days=3))
    assert (await desk.recurrences.resume(DEFAULT_TENANT, AUTHOR, id_)).changed
    await desk.sweep()
    rows = [row for row in await desk.rows(id_) if row["state"] == "scheduled"]
    assert len(rows) == 7
    assert all(row["scheduled_at"] > datetime.now(UTC) for row in rows)
    latest = (await desk.one(id_)).latest
    assert not [each for each in latest if each.state == OccurrenceState.MISSED]
    ended = await desk.recurrences.end(DEFAULT_TENANT, AUTHOR, id_)
    assert (ended.changed, ended.upcoming) == (True, [])
    assert states(await desk.rows(id_)) == ["cancelled"] * 14
    assert not (await desk.recurrences.end(DEFAULT_TENANT, AUTHOR, id_)).changed
    with pytest.raises(PostError, match="It has ended"):
        await desk.recurrences.resume(DEFAULT_TENANT, AUTHOR, id_)
    actions = await desk.rig.raw("SELECT action FROM audit_log WHERE subject = $1 ORDER BY id", id_)
    assert [row["action"].partition(".")[2] for row in actions] == ["created", "paused", "resumed", "ended"]


async def test_occurrence_that_cannot_be_made_says_why_and_is_tried_again_until_its_time_is_over(desk: Desk) -> None:
    id_ = await desk.made("FREQ=DAILY;COUNT=9", soon(hours=2), late_policy="skip")
    await desk.rig.raw("UPDATE connections SET state = 'needs_reconnect', reason = 'why' WHERE platform = 'instagram'")
    assert await desk.sweep() == 0
    trouble = (await desk.one(id_)).stored.trouble or ""
    assert "is not connected any more" in trouble
    assert await desk.sweep() == 0, "it waits before it tries again"
    await desk.pass_time(timedelta(hours=3))
    await desk.sweep()
    [missed] = [each for each in (await desk.one(id_)).latest if each.state == OccurrenceState.MISSED]
    assert missed.reason == trouble
    await desk.rig.raw("UPDATE connections SET state = 'active' WHERE platform = 'instagram'")
    await desk.rig.raw("UPDATE post_recurrences SET due_at = now()")
    assert await desk.sweep() == 7
    assert (await desk.one(id_)).stored.trouble is None


async def test_nothing_that_was_due_before_a_restore_is_made(desk: Desk) -> None:
    id_ = await desk.made("FREQ=DAILY;COUNT=30", soon(hours=2), late_minutes=30 * 1440)
    await desk.pass_time(timedelta(days=2))
    await desk.rig.raw("UPDATE database_incarnations SET incarnation = 'another'")
    assert await desk.sweep() == 0, "not before those that publish have held back what was due"
    await desk.driver.drain()
    await desk.sweep()
    assert await desk.sweep() == 7, "what is due in the coming week"
    rows = await desk.rows(id_)
    assert all(row["scheduled_at"] > datetime.now(UTC) for row in rows)
    missed = [each for each in (await desk.one(id_)).latest if each.state == OccurrenceState.MISSED]
    assert len(missed) == 2
    assert all("before the database was restored" in (each.reason or "") for each in missed)
    simply = "SELECT id FROM post_targets WHERE state = 'scheduled' AND NOT kept ? 'restored_since'"
    assert await desk.rig.raw(simply) == [], "one of them may have been published early"


async def test_rule_and_post_are_checked_before_anything_is_stored(desk: Desk) -> None:
    for rule, start, said in (
        ("FREQ=DAILY", soon(hours=2), "The rule needs one end"),
        ("FREQ=DAILY;COUNT=2", soon(days=-9), "no time to come"),
        ("FREQ=DAILY;COUNT=2", "some day", "not a time that can be read"),
    ):
        with pytest.raises(PostError, match=said):
            await desk.made(rule, start)
    with pytest.raises(PostError, match="2300 characters"):
        await desk.made("FREQ=DAILY;COUNT=2", soon(hours=2), "x" * 2300)
    body = desk.body("FREQ=MONTHLY;COUNT=2", "2099-01-31 09:00", dry_run=True)
    checked = await desk.recurrences.create(DEFAULT_TENANT, AUTHOR, body)
    assert (checked.recurrence, len(checked.upcoming), checked.note[:26]) == (None, 2, "Months without a day 31 ar")
    assert await desk.rig.raw("SELECT 1 FROM post_recurrences") == []


async def test_key_answers_with_what_it_made_and_refuses_another_body(desk: Desk) -> None:
    start = soon(hours=2)
    body = desk.body("FREQ=DAILY;COUNT=2", start, idempotency_key="k")
    first, second = await asyncio.gather(*(desk.recurrences.create(DEFAULT_TENANT, AUTHOR, body) for _ in range(2)))
    assert {first.replayed, second.replayed} == {False, True}
    assert len(await desk.rig.raw("SELECT 1 FROM post_recurrences")) == 1
    with pytest.raises(PostError, match="used for another request"):
        await desk.made("FREQ=DAILY;COUNT=3", start, idempotency_key="k")


async def test_same_that_repeats_already_is_answered_with_it_until_that_has_ended(desk: Desk) -> None:
    start = soon(hours=2)
    ids = await asyncio.gather(*(desk.made("FREQ=DAILY;COUNT=2", start) for _ in range(3)))
    assert len(set(ids)) == len(await desk.rig.raw("SELECT 1 FROM post_recurrences")) == 1
    assert await desk.made("FREQ=DAILY;COUNT=3", start) != ids[0]
    await desk.recurrences.end(DEFAULT_TENANT, AUTHOR, ids[0])
    assert await desk.made("FREQ=DAILY;COUNT=2", start) != ids[0]


async def test_who_may_not_approve_takes_no_approval_away(desk: Desk) -> None:
    id_ = await desk.made("FREQ=DAILY;COUNT=2", soon(hours=2), needs_approval=True)
    await desk.sweep()
    assert states(await desk.rows(id_)) == ["awaiting_approval"] * 2
    with pytest.raises(PostError, match="Whoever may not approve"):
        await desk.edit(id_, post={"needs_approval": False})
