"""An object is taken for gone only where nothing else is left to believe: each way to be wrong leaves the rows alone.

``meta.md`` 10.10.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from schema.events import bucket_of
from sync.pull.contract import Object, Page, Range, Reading
from tests.pulling import ONE_PAGE, PLATFORM, SHOP, Pull, fake, pulling
from tests.support import append_event


async def read(pull: Pull, *, at: str = "2026-06-01T12:00:00+0000") -> None:
    """Three media with three comments each are there, and read."""
    for number in range(3):
        pull.world.post(f"m{number}", [f"c{number}.{n}" for n in range(3)], at)
    await pull.connect()
    await pull.drain()
    await pull.project()


async def again(pull: Pull, times: int = 4) -> None:
    """Read everything again, so often that whatever can be inferred is."""
    for _ in range(times):
        await pull.due()
        await pull.drain()
    await pull.project()


async def there(pull: Pull) -> dict[str, Any]:
    rows = await pull.raw("SELECT ig_id, deleted_at FROM ig_comments")
    return {row["ig_id"]: row["deleted_at"] for row in rows}


async def unchanged(pull: Pull) -> None:
    assert not await pull.events("comment.gone")
    assert not await pull.events("media.gone")
    assert {*(await there(pull)).values()} == {None}


async def test_object_that_is_deleted_is_gone(pull: Pull) -> None:
    await read(pull)
    del pull.world.comments["m1"]["c1.1"]
    await again(pull)
    found = await there(pull)
    assert [name for name, at in found.items() if at is not None] == ["c1.1"]
    [event] = await pull.events("comment.gone")
    assert (event["source"], event["payload_json"]) == ("poll", '{"id": "c1.1"}')
    calls = pull.world.calls["/comment/c1.1"]
    assert calls == 2, "it was asked for twice, and no more"
    await again(pull)
    assert pull.world.calls["/comment/c1.1"] == calls


async def test_object_whose_reading_was_once_refused_is_asked_for_again_once_a_listing_leaves_it_out(
    pull: Pull,
) -> None:
    await read(pull)
    await pull.connection.execute(
        """
        INSERT INTO pull_tasks (bucket, account_id, provider, kind, object_id, priority, reason, skip_code, skipped)
        VALUES ($1, $2, $3, 'ig_comment', 'c1.1', 4, 'a webhook', 'platform', 'It could not be read.')""",
        bucket_of(PLATFORM, SHOP),
        SHOP,
        PLATFORM,
    )
    await again(pull)
    assert pull.world.calls["/comment/c1.1"] == 0, "while a listing shows it, nothing is asked"
    del pull.world.comments["m1"]["c1.1"]
    await again(pull)
    assert [name for name, at in (await there(pull)).items() if at is not None] == ["c1.1"]


async def test_object_that_comes_back_is_there_and_may_go_again(pull: Pull) -> None:
    await read(pull)
    for _ in range(2):
        kept = pull.world.comments["m1"].pop("c1.1")
        await again(pull)
        assert (await there(pull))["c1.1"] is not None
        pull.world.comments["m1"]["c1.1"] = kept
        await again(pull)
        assert (await there(pull))["c1.1"] is None
    assert len({row["external_id"] for row in await pull.events("comment.gone")}) == 2


async def test_two_misses_are_so_long_apart(pull: Pull) -> None:
    pull.puller.confirm_seconds = 600.0
    await read(pull)
    del pull.world.comments["m1"]["c1.1"]
    await again(pull)
    await unchanged(pull)
    missed = await pull.object("ig_comment", "c1.1")
    assert missed is not None
    assert missed["missed_at"] is not None
    await pull.connection.execute("UPDATE pull_objects SET missed_at = missed_at - interval '600 s'")
    await again(pull, 1)
    [_] = await pull.events("comment.gone")


async def test_listing_is_walked_again_before_the_second_miss_counts(pull: Pull) -> None:
    pull.puller.confirm_seconds = 600.0
    await read(pull)
    del pull.world.comments["m1"]["c1.1"]
    await again(pull, 1)
    task = await pull.task("comments", "m1")
    assert task is not None
    assert timedelta(seconds=590) < task["due_at"] - task["swept_at"] < timedelta(seconds=610)
    await pull.connection.execute(
        "UPDATE pull_objects SET missed_at = missed_at - interval '600 s', unlisted_at = unlisted_at - interval '600 s'"
    )
    await pull.connection.execute("UPDATE pull_tasks SET due_at = NULL WHERE kind = 'comments'")
    await pull.want("ig_comment", "c1.1")
    await replace(pull.puller, turn_seconds=ONE_PAGE).round()
    await unchanged(pull)
    task = await pull.task("comments", "m1")
    assert task is not None
    assert task["due_at"] < task["swept_at"] + timedelta(minutes=1), "what would prove it is asked for at once"
    await again(pull, 1)
    [_] = await pull.events("comment.gone")


@pytest.mark.parametrize("status", [401, 403, 400, 500, 503, 429])
async def test_no_error_says_that_an_object_is_gone(pull: Pull, status: int) -> None:
    await read(pull)
    del pull.world.comments["m1"]["c1.1"]
    pull.world.broken["/comment/c1.1"] = status
    await again(pull)
    await unchanged(pull)


async def test_object_that_a_listing_leaves_out_and_that_can_be_read_is_there(pull: Pull) -> None:
    """A filtered or an age-gated comment."""
    await read(pull)
    pull.world.unlisted.add("c1.1")
    await again(pull)
    assert pull.world.calls["/comment/c1.1"] > 0
    await unchanged(pull)


async def test_object_that_is_missing_singly_and_that_a_listing_shows_is_there(pull: Pull) -> None:
    """Code 100 with subcode 33 alone."""
    await read(pull)
    pull.world.broken["/comment/c1.1"] = 404
    for _ in range(4):
        await pull.want("ig_comment", "c1.1")
        await again(pull, 1)
    await unchanged(pull)


async def test_listing_that_is_empty_proves_nothing(pull: Pull) -> None:
    await read(pull)
    pull.world.comments["m1"].clear()
    await again(pull)
    for name in ("c1.0", "c1.1", "c1.2"):
        await pull.want("ig_comment", name)
    await again(pull)
    await unchanged(pull)


async def test_walk_that_is_not_complete_proves_nothing(pull: Pull) -> None:
    pull.world.post("m1", [f"c1.{k}" for k in range(9)])
    await read(pull)
    gone = pull.world.comments["m1"]
    for n in range(9):
        gone.pop(f"c1.{n}", None)
    for n in range(6):
        pull.world.say("m1", f"d{n}")
    pull.world.broken_pages["/media/m1/comments"] = 503
    for n in range(9):
        await pull.want("ig_comment", f"c1.{n}")
    await again(pull)
    await unchanged(pull)


async def test_old_control_is_none(pull: Pull) -> None:
    await read(pull)
    del pull.world.comments["m1"]["c1.1"]
    await pull.connection.execute("UPDATE pull_tasks SET due_at = NULL WHERE kind <> 'comments'")
    await pull.due("comments", "m1")
    puller = replace(pull.puller, turn_seconds=ONE_PAGE)
    await puller.round()
    moved = await pull.connection.execute(
        """
        UPDATE pull_objects SET unlisted_at = unlisted_at - interval '2 h', checked_at = checked_at - interval '3 h'
        WHERE unlisted_at IS NOT NULL"""
    )
    assert moved == "UPDATE 1"
    await pull.connection.execute("UPDATE pull_tasks SET due_at = NULL WHERE kind = 'comments'")
    await pull.due()
    await puller.round()
    missed = await pull.object("ig_comment", "c1.1")
    assert missed is not None
    assert missed["missed_at"] is None
    task = await pull.task("comments", "m1")
    assert task is not None
    assert task["due_at"] is not None, "the listing is asked for again instead"


@pytest.fixture
async def capped(database: str, connection: asyncpg.Connection) -> AsyncIterator[Pull]:
    async with pulling(database, connection, fake(Range(most=3))) as found:
        yield found


async def test_what_is_beyond_the_cap_of_a_listing_is_there(capped: Pull) -> None:
    pull = capped
    for number in range(3):
        pull.world.post(f"old{number}", at=f"2026-01-0{number + 1}T00:00:00+0000")
    await pull.connect()
    await pull.drain()
    for number in range(3):
        pull.world.post(f"new{number}", at=f"2026-02-0{number + 1}T00:00:00+0000")
    pull.world.most = 3
    for number in range(3):
        pull.world.broken[f"/media/old{number}"] = 404
    await again(pull)
    assert not await pull.events("media.gone")
    assert not [path for path in pull.world.calls if path in ("/media/old0", "/media/old1", "/media/old2")]


async def test_what_is_within_the_cap_and_younger_than_what_is_shown_goes(capped: Pull) -> None:
    pull = capped
    for number in range(5):
        pull.world.post(f"m{number}", at=f"2026-01-0{number + 1}T00:00:00+0000")
    pull.world.most = 3
    await pull.connect()
    await pull.drain()
    assert {
        row["object_id"] for row in await pull.raw("SELECT object_id FROM pull_objects WHERE kind = 'ig_media'")
    } == {
        "m2",
        "m3",
        "m4",
    }
    del pull.world.media["m3"]
    await again(pull)
    assert [row["payload_json"] for row in await pull.events("media.gone")] == ['{"id": "m3"}']


async def test_story_that_is_over_is_not_deleted(database: str, connection: asyncpg.Connection) -> None:
    """What its listing shows for a day only."""
    async with pulling(database, connection, fake(Range(life=timedelta(hours=24)))) as pull:
        await read(pull, at="2026-01-01T00:00:00+0000")
        pull.world.post("m9", at="2026-01-01T00:00:00+0000")
        for number in range(3):
            del pull.world.media[f"m{number}"]
        await again(pull)
        assert not await pull.events("media.gone")


async def test_what_hangs_on_an_object_that_is_gone_is_out_of_reach_and_not_gone(pull: Pull) -> None:
    await read(pull)
    kept = pull.world.media.pop("m1")
    await again(pull)
    assert [row["payload_json"] for row in await pull.events("media.gone")] == ['{"id": "m1"}']
    assert {*(await there(pull)).values()} == {None}
    calls = {path: n for path, n in pull.world.calls.items() if "m1" in path or "c1." in path}
    task = await pull.task("comments", "m1")
    assert task is not None
    assert (task["skip_code"], task["due_at"]) == ("gone", None)
    for n in range(3):
        pull.world.broken[f"/comment/c1.{n}"] = 404
        await pull.want("ig_comment", f"c1.{n}")
    await again(pull)
    assert not await pull.events("comment.gone")
    assert {path: n for path, n in pull.world.calls.items() if path in calls and "m1" in path} == {
        path: n for path, n in calls.items() if "m1" in path
    }
    pull.world.broken.clear()
    pull.world.media["m1"] = kept
    pull.world.say("m1", "c1.9")
    await again(pull)
    assert await pull.object("ig_comment", "c1.9"), "what hangs on it is read again once it is there again"


async def test_object_that_nobody_ever_read_and_that_is_missing_is_not_taken_for_gone(pull: Pull) -> None:
    await read(pull)
    await pull.want("ig_media", "m9")
    await again(pull)
    task = await pull.task("ig_media", "m9")
    assert task is not None
    assert (task["skip_code"], task["due_at"]) == ("platform", None)
    await unchanged(pull)


async def test_comment_that_only_a_webhook_brought_is_gone_by_the_same_rules(pull: Pull) -> None:
    await read(pull)
    value = {"id": "c9", "text": "hello", "media": {"id": "m1"}, "from": {"id": "7", "username": "fan"}}
    await append_event(pull.connection, SHOP, "e9", payload=value)
    await pull.project()
    await again(pull)
    assert [row["payload_json"] for row in await pull.events("comment.gone")] == ['{"id": "c9"}']


async def test_siblings_in_one_answer_prove_where_the_platform_says_so(pull: Pull) -> None:
    """``tiktok.md`` 17: absent from a query twice while another id of it came back."""

    def query(account: Any, turn: Any) -> Any:
        yield from ()
        shown = [name for name in turn.known if name in pull.world.media]
        readings = [_reading(pull, name) for name in shown]
        return Page(readings, missing=[Object("ig_media", name) for name in turn.known if name not in shown])

    platform = pull.puller.platforms[PLATFORM]
    task = replace(platform.tasks["account"], read=query, needs="ig_media", most_known=20)
    for proves in (False, True):
        pull.puller.platforms = {
            PLATFORM: replace(
                platform,
                tasks={**platform.tasks, "account": task},
                siblings_prove=("ig_media",) if proves else (),
            )
        }
        if not proves:
            await read(pull)
            del pull.world.media["m1"]
            await pull.connection.execute("UPDATE pull_tasks SET due_at = NULL WHERE kind <> 'account'")
        for _ in range(3):
            await pull.connection.execute("UPDATE pull_tasks SET due_at = clock_timestamp() WHERE kind = 'account'")
            await replace(pull.puller, turn_seconds=ONE_PAGE).round()
            await pull.connection.execute("UPDATE pull_tasks SET due_at = NULL WHERE kind <> 'account'")
        assert len(await pull.events("media.gone")) == int(proves)
    pull.world.media.clear()
    for _ in range(4):
        await pull.connection.execute("UPDATE pull_tasks SET due_at = clock_timestamp() WHERE kind = 'account'")
        await replace(pull.puller, turn_seconds=ONE_PAGE).round()
    assert len(await pull.events("media.gone")) == 1, "an answer that shows none proves nothing"


def _reading(pull: Pull, name: str) -> Reading:
    return Reading("media.read", Object("ig_media", name), pull.world.media[name])
