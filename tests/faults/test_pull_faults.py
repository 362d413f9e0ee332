"""The pull, killed at every point of a page, and read against live webhooks in both orders of every pair."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import asyncpg
import pytest

from ops.runtime import faultpoint as faults
from tests.pulling import ONE_PAGE, POINTS, SHOP, Killed, Killer, Pull, died, pulling
from tests.support import append_event


@pytest.fixture
async def pull(database: str, connection: asyncpg.Connection) -> AsyncIterator[Pull]:
    async with pulling(database, connection) as found:
        yield found


async def tables(pull: Pull) -> list[Any]:
    await pull.project()
    found: list[Any] = []
    for table, key in (("instagram_accounts", "account_id"), ("ig_media", "ig_id"), ("ig_comments", "ig_id")):
        rows = await pull.raw(f"SELECT * FROM {table} ORDER BY {key}")
        hidden = ("created_at", "updated_at", "deleted_at")
        found += [
            {
                name: value
                for name, value in row.items()
                if name not in hidden and not name.endswith(("_version", "_carried"))
            }
            for row in rows
        ]
    return found


@pytest.mark.parametrize("point", POINTS)
async def test_pull_that_is_killed_anywhere_goes_on_and_repeats_nothing_wrong(
    pull: Pull, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        pull.world.post(f"m{number}", [f"c{number}.{n}" for n in range(number + 2)])
    await pull.connect()
    kills = 0
    for number in range(1, 20):
        killer = Killer(point, number)
        monkeypatch.setattr(faults, "_fault", killer)
        try:
            for _ in range(30):
                if not await pull.puller.round():
                    break
        except (BaseExceptionGroup, Killed):
            pass
        monkeypatch.setattr(faults, "_fault", None)
        kills += killer.fired
        await died(pull)
        await pull.due()
        if not killer.fired:
            break
    await pull.drain()
    assert kills > 0
    logged = [(row["event_type"], json.loads(row["payload_json"])["id"]) for row in await pull.events()]
    assert len(logged) == len(set(logged)) == 1 + 4 + sum(number + 2 for number in range(4)), "each object once"
    found = await tables(pull)
    assert len(found) == len(logged)
    left = await pull.raw("SELECT 1 FROM pull_tasks WHERE cursor <> '' OR attempts > 0 OR first_done_at IS NULL")
    assert left == []


async def test_history_is_whole_whichever_answers_are_lost(pull: Pull) -> None:
    """A read has no effect: it is asked again, and what the answer would have said is appended once."""
    for number in range(3):
        pull.world.post(f"m{number}", [f"c{number}.{n}" for n in range(number + 3)])
    await pull.connect()
    lost = 0
    while True:
        lost += 1
        pull.world.lost = lost
        for _ in range(30):
            if not await pull.puller.round():
                break
        if pull.world.lost > 0:  # so many calls are not made at all
            break
        await pull.due()
    assert lost > 7
    await pull.drain()
    logged = [(row["event_type"], json.loads(row["payload_json"])["id"]) for row in await pull.events()]
    assert len(logged) == len(set(logged)) == 1 + 3 + 3 + 4 + 5, "each object once"
    left = await pull.raw("SELECT 1 FROM pull_tasks WHERE cursor <> '' OR attempts > 0 OR first_done_at IS NULL")
    assert left == []


async def test_walk_that_is_killed_between_pages_goes_on_at_its_cursor(pull: Pull) -> None:
    pull.world.post("m1", [f"c{n}" for n in range(9)])
    await pull.connect()
    first = replace(pull.puller, turn_seconds=ONE_PAGE)
    while not ((task := await pull.task("comments", "m1")) and task["cursor"]):
        await first.round()
    await pull.connection.execute("UPDATE pull_accounts SET holder = 'dead', leased_until = now() - interval '1 s'")
    asked = pull.world.calls["/media/m1/comments"]
    await replace(pull.puller, holder="another").round()
    assert pull.world.calls["/media/m1/comments"] == asked + 2
    assert len(await pull.events("comment.read")) == 9


# --- races: a reading and a webhook about one object, in both orders


WEBHOOK = {"id": "c1", "text": "hello", "media": {"id": "m1"}, "from": {"id": "7", "username": "fan"}}

CHANGES: dict[str, Callable[[Pull], None]] = {
    "nothing": lambda pull: None,
    "an edit": lambda pull: pull.world.say("m1", "c1", "edited"),
    "a like": lambda pull: pull.world.comments["m1"]["c1"].update(like_count=4),
    "a hide": lambda pull: pull.world.comments["m1"]["c1"].update(hidden=True),
}


async def told(pull: Pull, step: str) -> None:
    match step:
        case "webhook":
            await append_event(pull.connection, SHOP, "w1", payload=WEBHOOK)
        case "webhook again":
            await append_event(pull.connection, SHOP, "w2", payload=WEBHOOK | {"text": "hello"})
        case "single reading":
            await pull.want("ig_comment", "c1")
            await pull.puller.round()
        case "listing":
            await pull.want("comments", "m1")
            await pull.puller.round()


PAIRS = [
    ("webhook", "single reading"),
    ("webhook", "listing"),
    ("single reading", "listing"),
    ("webhook", "webhook again"),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("pair", PAIRS, ids=" and ".join)
async def test_both_orders_of_a_pair_give_the_same_row(
    database: str, connection: asyncpg.Connection, pair: tuple[str, str], change: str
) -> None:
    """What is read last stands, whenever webhooks come and whenever the worker projects."""
    found = []
    for order in permutations(pair):
        async with pulling(database, connection) as pull:
            pull.world.post("m1", ["c1"])
            await pull.connect()
            await pull.connection.execute("TRUNCATE pull_tasks, pull_objects, pull_accounts")
            await pull.connection.execute(
                "TRUNCATE webhook_event_log, webhook_event_queue, webhook_event_outcomes, webhook_event_identities"
            )
            await pull.connection.execute("TRUNCATE instagram_accounts, ig_media, ig_comments CASCADE")
            await pull.puller.refresh_accounts()
            await pull.connection.execute("UPDATE pull_tasks SET due_at = NULL")
            CHANGES[change](pull)
            for number, step in enumerate(order):
                await told(pull, step)
                if number % 2:
                    await pull.project()
            await pull.connection.execute("UPDATE pull_tasks SET due_at = NULL")
            found.append([row for row in await tables(pull) if row.get("ig_id") == "c1"])
    assert found[0] == found[1]
    assert len(found[0]) == 1


async def test_history_that_is_read_while_webhooks_come_never_takes_a_row_back(pull: Pull) -> None:
    """A reading is of when its request began: what is projected later of an earlier one changes nothing."""
    pull.world.post("m1", ["c1"])
    await pull.connect()
    await pull.drain()
    pull.world.say("m1", "c1", "newer")
    await pull.want("ig_comment", "c1")
    await pull.drain()
    await pull.connection.execute(
        "UPDATE webhook_event_queue SET due_at = now() + interval '1 h' WHERE event_id = (SELECT min(id) FROM"
        " webhook_event_log WHERE event_type = 'comment.read')"
    )
    await pull.project()
    [row] = await pull.raw("SELECT text FROM ig_comments")
    assert row["text"] == "newer"
    await pull.connection.execute("UPDATE webhook_event_queue SET due_at = now()")
    await pull.project()
    [row] = await pull.raw("SELECT text FROM ig_comments")
    assert row["text"] == "newer"
