"""What is read becomes events of the log, once for each thing that changed, whatever happens on the way."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from ops.cli import wiring
from schema.crm import crm_tables
from schema.events import bucket_of
from sync.pull import store
from sync.pull.contract import Object, Page, Priority, PullTask, Reading, Task, Turn
from sync.pull.worker import Puller
from tests.pulling import ONE_PAGE, OTHER, PLATFORM, SCOPE, SHOP, Pull, hourly
from tests.support import append_event


async def test_history_of_an_account_is_there_after_it_was_connected(pull: Pull) -> None:
    for number in range(7):
        pull.world.post(f"m{number}", [f"c{number}.{n}" for n in range(number)])
    await pull.connect()
    await pull.drain()
    await pull.project()
    events = await pull.events()
    assert {row["source"] for row in events} == {"poll"}
    media = await pull.raw("SELECT ig_id, caption, timestamp FROM ig_media ORDER BY ig_id")
    assert [(row["ig_id"], row["caption"]) for row in media] == [(f"m{n}", f"caption of m{n}") for n in range(7)]
    comments = await pull.raw("SELECT ig_id, text, from_user, timestamp FROM ig_comments")
    assert len(comments) == sum(range(7))
    assert {row["from_user"] for row in comments} == {"fan"}
    assert None not in {row["timestamp"] for row in comments}
    assert sum(pull.world.calls.values()) == 1 + 3 + sum(max(1, -(-n // 3)) for n in range(7)), "and nothing twice"
    [account] = await pull.raw("SELECT progress, calls, holder FROM pull_accounts")
    assert json.loads(account["progress"])["percent"] == 100
    assert (account["calls"], account["holder"]) == (sum(pull.world.calls.values()), None)


async def test_what_is_read_unchanged_makes_no_event_and_moves_when_it_was_checked(pull: Pull) -> None:
    pull.world.post("m1", ["c1", "c2"])
    await pull.connect()
    await pull.drain()
    before, checked = await pull.events(), await pull.object("ig_comment", "c1")
    await pull.due()
    await pull.drain()
    assert await pull.events() == before
    again = await pull.object("ig_comment", "c1")
    assert again is not None
    assert checked is not None
    assert (again["read_at"], again["checked_at"] > checked["checked_at"]) == (checked["read_at"], True)


async def test_process_that_starts_asks_for_nothing_again(pull: Pull) -> None:
    pull.world.post("m1", ["c1", "c2"])
    await pull.connect()
    await pull.drain()
    spent = dict(pull.world.calls)
    another = replace(pull.puller, holder="another")
    another._connected = None
    assert await another.round() == 0
    assert pull.world.calls == spent
    await pull.connection.execute("DELETE FROM pull_tasks WHERE kind = 'account'")
    another._connected = None
    assert await another.round() == 1, "what an earlier release did not know is read"
    assert sum(pull.world.calls.values()) == sum(spent.values()) + 1


async def test_change_and_change_back_are_three_facts(pull: Pull) -> None:
    pull.world.post("m1", ["c1"])
    await pull.connect()
    for text in ("one", "two", "one", "one"):
        pull.world.say("m1", "c1", text)
        await pull.drain()
        await pull.project()
        [row] = await pull.raw("SELECT text FROM ig_comments")
        assert row["text"] == text
        await pull.due()
    events = await pull.events("comment.read")
    assert [json.loads(row["payload_json"])["text"] for row in events] == ["one", "two", "one"]
    assert len({row["external_id"] for row in events}) == 3


async def test_placeholder_of_an_event_is_looked_up_before_history(pull: Pull) -> None:
    for number in range(5):
        pull.world.post(f"m{number}", ["c"] if number == 4 else [])
    comment = {"id": "c", "text": "hello", "media": {"id": "m4"}, "from": {"id": "7", "username": "fan"}}
    await append_event(pull.connection, SHOP, "e1", payload=comment)
    await pull.project()
    found = await pull.raw("SELECT kind, object_id, priority, due_at - wanted_at AS wait FROM pull_tasks ORDER BY kind")
    assert [tuple(row) for row in found] == [
        ("ig_comment", "c", Priority.LIVE, timedelta(seconds=2)),
        ("ig_media", "m4", Priority.LIVE, timedelta(seconds=2)),
    ]
    await pull.drain()
    assert not pull.world.calls, "nobody connected the account"
    await pull.connect()
    await pull.due()
    await pull.drain()
    await pull.project()
    [row] = await pull.raw("SELECT timestamp FROM ig_comments")
    assert row["timestamp"] is not None
    assert [*pull.world.calls][:2] in (["/comment/c", "/media/m4"], ["/media/m4", "/comment/c"])


async def test_events_about_one_object_make_one_task_and_an_old_one_asks_for_nothing(pull: Pull) -> None:
    value = {"id": "c", "media": {"id": "m"}, "from": {"id": "7"}}
    for name in ("e1", "e2", "e3"):
        await append_event(pull.connection, SHOP, name, payload=value)
    await pull.project()
    first = await pull.task("ig_comment", "c")
    assert first is not None
    await append_event(pull.connection, SHOP, "e0", payload=value)
    await pull.project()
    assert await pull.task("ig_comment", "c") == first
    await append_event(pull.connection, SHOP, "e4", payload=value)
    await pull.project()
    newest = await pull.task("ig_comment", "c")
    assert newest is not None
    assert (newest["wanted_version"] > first["wanted_version"], newest["due_at"]) == (True, first["due_at"])


async def test_what_events_ask_for_is_no_part_of_the_tables_that_the_log_makes(pull: Pull) -> None:
    assert "pull_tasks" not in {table.name for table in crm_tables()}
    assert "lookups" not in {table.name for table in crm_tables()}


async def test_what_the_release_before_asks_for_goes_to_the_work_list(pull: Pull) -> None:
    """It writes its own table while this release is there already."""
    for version in ("2", "1"):
        await pull.connection.execute(
            """
            INSERT INTO lookups (bucket, account_id, provider, kind, object_id, projection_version, wanted_version,
                reason)
            VALUES ($1, $2, $3, 'ig_comment', 'c', 4, $4, 'a reason')
            ON CONFLICT (bucket, account_id, provider, kind, object_id) DO UPDATE SET reason = excluded.reason""",
            bucket_of(PLATFORM, SHOP),
            SHOP,
            PLATFORM,
            version,
        )
    task = await pull.task("ig_comment", "c")
    assert task is not None
    assert (task["reason"], task["wanted_version"], task["priority"]) == ("a reason", "2", 0)
    assert await pull.raw("SELECT 1 FROM lookups") == []


async def test_object_asked_for_while_its_listing_is_walked_is_walked_again(pull: Pull) -> None:
    pull.world.post("m1", [f"c{n}" for n in range(5)])
    await pull.connect()
    await pull.drain()
    puller = replace(pull.puller, turn_seconds=ONE_PAGE)
    await pull.due("comments")
    await puller.round()
    walking = await pull.task("comments", "m1")
    assert walking is not None
    assert walking["cursor"] == "3"
    await pull.want("comments", "m1")
    await puller.round()
    done = await pull.task("comments", "m1")
    assert done is not None
    assert (done["cursor"], done["priority"]) == ("", Priority.LIVE)
    assert done["due_at"] <= done["swept_at"] + timedelta(minutes=1), "it may have changed behind the walk"
    calls = pull.world.calls["/media/m1/comments"]
    await pull.drain()
    assert pull.world.calls["/media/m1/comments"] == calls + 2


async def test_two_workers_read_each_account_once(pull: Pull) -> None:
    for account in range(6):
        await pull.connect(f"1784140000000010{account}")
    pull.world.post("m1", ["c1"])
    others = [replace(pull.puller, holder=f"worker {n}", at_once=3) for n in range(2)]
    for _ in range(6):
        await asyncio.gather(*(other.round() for other in others))
    assert pull.world.calls == {
        "/media/m1/comments": 6,
        **{path: 1 for n in range(6) for path in (f"/me/1784140000000010{n}", f"/me/1784140000000010{n}/media")},
    }


async def test_page_of_a_lease_that_was_lost_is_not_stored(pull: Pull) -> None:
    pull.world.post("m1")
    await pull.connect()
    await pull.puller.refresh_accounts()
    [lease] = await pull.puller.leased(1)
    await pull.connection.execute("UPDATE pull_accounts SET fence = fence + 1, holder = 'another'")
    with pytest.raises(store.LeaseLostError):
        await pull.puller.serve(lease)
    assert await pull.events() == []
    [left] = await pull.raw("SELECT holder FROM pull_accounts")
    assert left["holder"] == "another"


async def test_lease_that_is_lost_while_a_page_is_asked_for_stores_nothing_of_it(pull: Pull) -> None:
    pull.world.post("m1")
    await pull.connect()
    await pull.puller.refresh_accounts()
    [lease] = await pull.puller.leased(1)
    asked = pull.puller.needs.platforms.run

    async def run(*arguments: object, **options: object) -> object:
        found = await asked(*arguments, **options)  # type: ignore[arg-type]
        await pull.connection.execute("UPDATE pull_accounts SET fence = fence + 1")
        return found

    pull.puller.needs = replace(pull.puller.needs, platforms=_Running(run))  # type: ignore[arg-type]
    with pytest.raises(store.LeaseLostError):
        await pull.puller.serve(lease)
    assert await pull.events() == []
    assert await pull.raw("SELECT 1 FROM pull_objects") == []


class _Running:
    def __init__(self, run: object) -> None:
        self.run = run


async def test_connection_is_one_that_allows_what_a_task_needs(pull: Pull) -> None:
    pull.world.post("m1", ["c1"])
    await pull.connect(scopes=["another"])
    await pull.drain()
    task = await pull.task("comments", "m1")
    assert task is not None
    assert (task["skip_code"], SCOPE in task["skipped"], task["due_at"]) == ("scopes", True, None)
    assert await pull.events("media.read"), "the rest is read"
    await pull.connect(scopes=[SCOPE])
    await pull.drain()
    task = await pull.task("comments", "m1")
    assert task is not None
    assert task["skip_code"] is None
    assert await pull.events("comment.read")


async def test_account_without_an_active_connection_waits_and_goes_on(pull: Pull) -> None:
    pull.world.post("m1", ["c1"])
    await pull.connect()
    await pull.raw("UPDATE connections SET state = 'needs_reconnect', reason = 'It was removed.'")
    await pull.drain()
    assert not pull.world.calls
    await pull.connect()
    await pull.drain()
    assert await pull.events("comment.read")
    await pull.raw("UPDATE connections SET state = 'disconnected', disconnected_at = now()")
    calls = pull.world.calls.copy()
    await pull.due()
    await pull.drain()
    assert pull.world.calls == calls


async def test_new_token_is_used_where_the_platform_took_the_old_one_no_more(pull: Pull) -> None:
    pull.world.post("m1", ["c1"])
    pull.tokens.token = "old"
    await pull.connect()
    await pull.drain()
    assert pull.tokens.renewals == 1
    assert await pull.events("comment.read")


async def test_token_that_is_refused_and_not_renewed_is_tried_again_later(pull: Pull) -> None:
    pull.tokens.token = pull.tokens.next = "old"
    await pull.connect()
    await pull.drain()
    task = await pull.task("account")
    assert task is not None
    assert (task["attempts"], bool(task["trouble"])) == (1, True)
    [account] = await pull.raw("SELECT trouble FROM pull_accounts")
    assert account["trouble"] == "The platform refused it."
    assert pull.tokens.renewals >= 1


async def test_trouble_of_the_platform_is_tried_again_and_shown(pull: Pull) -> None:
    pull.world.post("m1", ["c1"])
    pull.world.broken[f"/me/{SHOP}/media"] = 503
    await pull.connect()
    for attempt in range(1, 4):
        await pull.drain()
        task = await pull.task("media")
        assert task is not None
        assert task["attempts"] == attempt
        await pull.due()
    [account] = await pull.raw("SELECT progress FROM pull_accounts")
    assert json.loads(account["progress"])["troubled"] == 1
    pull.world.broken.clear()
    await pull.drain()
    task = await pull.task("media")
    assert task is not None
    assert (task["attempts"], task["trouble"]) == (0, None)


async def test_object_that_cannot_be_read_costs_itself_alone(pull: Pull) -> None:
    for number in range(4):
        pull.world.post(f"m{number}", [f"c{number}"])
    pull.world.broken["/media/m2/comments"] = 400
    await pull.connect()
    await pull.drain()
    task = await pull.task("comments", "m2")
    assert task is not None
    assert (task["skip_code"], task["skipped"]) == ("platform", "The platform refused it.")
    assert len(await pull.events("comment.read")) == 3


async def test_cursor_that_the_platform_takes_no_more_begins_the_walk_anew(pull: Pull) -> None:
    pull.world.post("m1", [f"c{n}" for n in range(8)])
    await pull.connect()
    puller = replace(pull.puller, turn_seconds=ONE_PAGE)
    while not ((task := await pull.task("comments", "m1")) and task["cursor"]):
        await puller.round()
    pull.world.broken["/media/m1/comments"] = 400
    await puller.round()
    task = await pull.task("comments", "m1")
    assert task is not None
    assert (task["cursor"], task["skip_code"]) == ("", None)
    pull.world.broken.clear()
    await pull.due()
    await pull.drain()
    assert len(await pull.events("comment.read")) == 8


async def test_what_postgresql_refuses_costs_its_own_task_only(pull: Pull) -> None:
    def spoilt(account: object, turn: Turn) -> object:
        yield from ()
        return Page([Reading("comment.read", Object("ig_comment", "x"), {"id": "x", "text": "\x00"})])

    platform = pull.puller.platforms[PLATFORM]
    spoiling = replace(
        platform,
        tasks={**platform.tasks, "account": PullTask(spoilt, hourly, Priority.RECENT)},  # type: ignore[arg-type]
    )
    puller = replace(pull.puller, platforms={PLATFORM: spoiling})
    pull.world.post("m1", ["c1"])
    await pull.connect()
    for _ in range(3):
        await puller.round()
    task = await pull.task("account")
    assert task is not None
    assert (task["attempts"] >= 1, task["trouble"]) == (True, "What the platform sent could not be stored.")
    assert await pull.events("comment.read")


@pytest.mark.parametrize(
    ("percent", "read"), [(49, {"ig_comment", "media"}), (50, {"ig_comment", "account"}), (75, {"ig_comment"})]
)
async def test_history_pauses_before_what_is_asked_for_now(pull: Pull, percent: int, read: set[str]) -> None:
    await pull.connect()
    pull.world.post("m1", ["c1"])
    await pull.puller.refresh_accounts()
    await pull.want("ig_comment", "c1")
    await pull.connection.execute("UPDATE pull_tasks SET priority = 3 WHERE kind = 'media'")
    pull.world.usage = percent
    await pull.connection.execute(
        "INSERT INTO platform_budgets (platform, instance, subject, percent) VALUES ($1, '', $2, $3)",
        PLATFORM,
        SHOP,
        percent,
    )
    await pull.puller.round()
    done = {row["kind"] for row in await pull.raw("SELECT kind FROM pull_tasks WHERE first_done_at IS NOT NULL")}
    assert done >= read
    assert ("media" in done, "account" in done) == (percent < 50, percent < 75)


async def test_limit_of_one_account_delays_that_account_alone(pull: Pull) -> None:
    pull.world.post("m1")
    await pull.connect()
    await pull.connect(OTHER)
    pull.world.retry_after = 120
    await pull.puller.refresh_accounts()
    [lease] = [each for each in await pull.puller.leased(4) if each.key.account_id == SHOP]
    await pull.puller.serve(lease)
    pull.world.retry_after = 0
    await pull.connection.execute("UPDATE pull_accounts SET leased_until = NULL, holder = NULL")
    await pull.drain()
    assert pull.world.calls[f"/me/{OTHER}/media"] == 1
    assert pull.world.calls[f"/me/{SHOP}/media"] == 0
    [held] = await pull.raw("SELECT held_until - now() AS wait FROM pull_accounts WHERE account_id = $1", SHOP)
    assert timedelta(seconds=60) < held["wait"] < timedelta(seconds=180)


async def test_accounts_are_served_in_turn(pull: Pull) -> None:
    for account in (SHOP, OTHER):
        await pull.connect(account)
    for number in range(9):
        pull.world.post(f"m{number}")
    puller = replace(pull.puller, at_once=1, turn_seconds=ONE_PAGE)
    await puller.refresh_accounts()
    served = []
    for _ in range(6):
        [lease] = await puller.leased(1)
        served.append(lease.key.account_id)
        await puller.serve(lease)
    assert served[0] != served[1]
    assert served == served[:2] * 3


async def test_kind_that_this_release_cannot_read_waits_for_one_that_can(pull: Pull) -> None:
    await pull.connect()
    await pull.want("ig_message", "x")
    await pull.drain()
    task = await pull.task("ig_message", "x")
    assert task is not None
    assert (task["skip_code"], task["due_at"]) == ("release", None)
    platform = pull.puller.platforms[PLATFORM]
    later = replace(platform, tasks={**platform.tasks, "ig_message": platform.tasks["account"]})
    await Puller(pull.pool, {PLATFORM: later}, pull.puller.needs).round()
    task = await pull.task("ig_message", "x")
    assert task is not None
    assert task["skip_code"] is None
    assert task["first_done_at"] is not None


async def test_tokens_are_in_no_row(pull: Pull) -> None:
    pull.tokens.token = "canary-4f1d"
    pull.world.post("m1", ["c1"])
    await pull.connect()
    await pull.drain()
    for table in ("pull_tasks", "pull_objects", "pull_accounts", "webhook_event_log"):
        assert "canary" not in str(await pull.raw(f"SELECT t::text FROM {table} t"))


def test_pulling_platforms_name_tasks_and_events_that_there_are() -> None:
    for name, platform in wiring.pulling_platforms().items():
        assert {task.kind for task in platform.first} <= platform.tasks.keys(), name
        assert {*platform.confirms.values()} <= platform.tasks.keys(), name
        assert platform.gone.keys() <= platform.confirms.keys(), name
        assert {*platform.gone.values()} <= wiring.projections()[name].handlers.keys(), name
        assert Task("") not in platform.first
