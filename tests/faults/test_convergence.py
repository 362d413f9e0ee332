"""The same tables, whatever happens on the way: a machine that does its worst, and a property over all orders.

``CONVERGENCE_EXAMPLES=200 make test TESTS=tests/faults/test_convergence.py`` looks further than every run does.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import asyncpg
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ingest.accept import accept
from ingest.contract import Change, Delivery, Received
from ingest.split import split
from ops.cli import wiring
from ops.runtime import db
from ops.runtime import faultpoint as faults
from ops.runtime.clock import now
from ops.runtime.embedded import Postgres, Redis, scratch
from schema.crm import crm_tables
from schema.events import Event
from schema.rights import APP_ROLE
from schema.tables import all_tables
from sync.projection import store
from sync.projection.contract import Unprojectable, Upsert, Want
from sync.projection.store import Batch, Claimed
from sync.projection.worker import project
from sync.rebuild.procedure import rebuild, verify, verify_changed
from tests import recordings
from tests.pulling import POINTS, SHOP, Killed, Killer, Pull, died, pulling
from tests.support import (
    SIGN,
    VARIABLES,
    Service,
    append_event,
    breakable_redis,
    breaking,
    comment,
    copy_of,
    crm,
    drained,
    eventually,
    instagram,
    tiktok,
)

EXAMPLES = int(os.environ.get("CONVERGENCE_EXAMPLES", "10"))
STEPS = 14

ACCOUNTS = ["17841400000000001", "17841400000000002", "17841400000000003"]
SECONDS = [1_760_000_000, 1_760_000_000, 1_760_000_001]
"""Few, so that many events share one."""

T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """One thing that happened, as a platform words it."""

    platform: str
    account: str
    name: str
    body: str
    """An Instagram entry, or a whole TikTok delivery, as JSON."""

    @property
    def key(self) -> tuple[str, str]:
        """Which row it is about."""
        return self.account, self.name


def said(account: str, number: int, text: str) -> Item:
    entry = comment(number, account=account, text=text)
    return Item("instagram", account, entry["changes"][0]["value"]["id"], json.dumps(entry))


def published(account: str, publish: str, event: str, at: int) -> Item:
    content = {"publish_id": publish, "publish_type": "INBOX_SHARE"}
    if event == "post.publish.failed":
        content["reason"] = "spam_risk"
    return Item("tiktok", account, publish, tiktok(event, content, at=at, account=account).decode())


ITEMS = st.one_of(
    st.builds(said, st.sampled_from(ACCOUNTS), st.integers(0, 5), st.sampled_from(["a", "b", "ü\u2603", ""])),
    st.builds(
        published,
        st.sampled_from(ACCOUNTS),
        st.sampled_from(["p1", "p2"]),
        st.sampled_from(["post.publish.inbox_delivered", "post.publish.failed", "post.publish.complete"]),
        st.sampled_from(SECONDS),
    ),
)


def packed(items: list[Item], cut: int) -> list[tuple[str, bytes]]:
    """As deliveries: Instagram's ``cut`` entries at a time, TikTok's one by one."""
    entries = [json.loads(item.body) for item in items if item.platform == "instagram"]
    batches = [instagram(*entries[start : start + cut]) for start in range(0, len(entries), cut)]
    return [("instagram", body) for body in batches] + [
        ("tiktok", item.body.encode()) for item in items if item.platform == "tiktok"
    ]


@dataclass(repr=False)
class Environment:
    """Real servers and processes that live as long as the machine does."""

    postgres: Postgres
    redis: Redis
    service: Service
    loop: asyncio.AbstractEventLoop
    steps: Counter[str] = field(default_factory=Counter)

    async def spool_is_empty(self) -> bool:
        return (await self.service.metrics())["landfall_spool_deliveries"] == 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)


@pytest.fixture
def environment(migrated_cluster: Postgres, tmp_path: Path) -> Iterator[Environment]:
    loop = asyncio.new_event_loop()
    with scratch() as directory:
        directory.chmod(0o755)
        postgres, valkey = copy_of(migrated_cluster, directory / "pg"), breakable_redis(directory / "redis")
        postgres.start()
        valkey.start()
        service = Service(postgres.dsn(), valkey.url, tmp_path, {"LANDFALL_SPOOL_DIR": str(tmp_path / "spool")})
        loop.run_until_complete(service.start())
        environment = Environment(postgres, valkey, service, loop)
        yield environment
        assert environment.steps["kept in the spool"] > 0, "nothing was shown of the spool"
        loop.run_until_complete(service.stop())
        valkey.stop()
        postgres.stop()
    loop.close()


class Machine(RuleBasedStateMachine):
    """Delivers, and lets everything fail that can; after each step the invariants of ``faults.md`` hold."""

    def __init__(self, environment: Environment) -> None:
        super().__init__()
        self.environment = environment
        self.sent: list[Item] = []
        self.acknowledged = 0

    @initialize()
    def empty(self) -> None:
        async def wipe() -> None:
            connection = await asyncpg.connect(self.environment.postgres.dsn())
            await drained(connection)
            tables = ", ".join(table.name for table in crm_tables())
            await connection.execute(
                "TRUNCATE webhook_deliveries, webhook_delivery_queue, webhook_delivery_outcomes,"
                f" webhook_event_identities, webhook_event_log, webhook_event_queue, webhook_event_outcomes, {tables}"
            )
            await connection.close()

        self.start_worker()
        self.environment.run(wipe())

    def deliver(self, items: list[Item], cut: int) -> None:
        """Send until it is acknowledged, as platforms do."""

        async def accepted(platform: str, body: bytes) -> bool:
            try:
                status, _ = await self.environment.service.send(platform, body)
            except aiohttp.ClientError:
                return False
            assert status in (200, 503)
            return status == 200

        for platform, body in packed(items, cut):
            self.environment.run(eventually(lambda p=platform, b=body: accepted(p, b), 20))  # type: ignore[misc]
            self.acknowledged += 1
        self.sent += items

    @rule(items=st.lists(ITEMS, min_size=1, max_size=8), cut=st.integers(1, 4))
    def new_deliveries(self, items: list[Item], cut: int) -> None:
        self.deliver(items, cut)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), cut=st.integers(1, 5))
    def some_again_in_another_order_and_cut(self, data: st.DataObject, cut: int) -> None:
        self.deliver(data.draw(st.permutations(self.sent))[:6], cut)

    @precondition(lambda self: self.sent)
    @rule()
    def everything_again_backwards(self) -> None:
        sent = self.sent
        self.deliver(sent[::-1][:20], 3)
        self.sent = sent

    @rule(item=ITEMS)
    def forgery(self, item: Item) -> None:
        [(platform, body)] = packed([item], 1)
        headers = SIGN[platform](body + b" ")
        status, _ = self.environment.run(self.environment.service.send(platform, body, headers))
        assert status == 401

    @rule()
    def kill_worker(self) -> None:
        self.environment.run(self.environment.service.worker.kill())

    @rule()
    def start_worker(self) -> None:
        if not self.environment.service.worker.running:
            self.environment.run(self.environment.service.worker.start())

    @rule()
    def kill_web_process(self) -> None:
        self.environment.run(self.environment.service.web.kill())
        self.environment.run(self.environment.service.web.start())
        self.environment.run(eventually(self.environment.service.answering))

    @rule()
    def flush_redis(self) -> None:
        with redis.Redis.from_url(breaking(self.environment.redis)) as client:
            client.flushall()

    @rule()
    def restart_redis(self) -> None:
        self.environment.redis.kill()
        self.environment.redis.start()

    @rule()
    def kill_postgresql(self) -> None:
        self.environment.postgres.kill()
        self.environment.postgres.start()

    @rule(items=st.lists(ITEMS, min_size=1, max_size=4), cut=st.integers(1, 4), kill=st.booleans())
    def deliveries_while_postgresql_is_away(self, items: list[Item], cut: int, *, kill: bool) -> None:
        """Acknowledged all the same, and safe from the death of the process that has them."""
        self.environment.postgres.kill()
        self.deliver(items, cut)
        self.environment.steps["kept in the spool"] += not self.environment.run(self.environment.spool_is_empty())
        if kill:
            self.kill_web_process()
        self.environment.postgres.start()

    @rule()
    def rebuild_tables(self) -> None:
        async def run() -> None:
            connection = await db.connect(self.environment.postgres.dsn())
            projections = wiring.projections()
            report = await rebuild(connection, projections, list(projections), lambda done, total: None)
            await connection.close()
            assert report.drift == 0, "I3: nothing had to be put right"

        self.environment.run(run())

    @rule()
    def project_everything(self) -> None:
        """I4: whatever happened, what waits is projected without anybody's help."""

        async def run() -> None:
            connection = await asyncpg.connect(self.environment.postgres.dsn())
            await drained(connection, 30)
            states = await connection.fetch("SELECT DISTINCT state FROM webhook_event_outcomes")
            assert {row["state"] for row in states} <= {"done"}
            for platform, table in (("instagram", "ig_comments"), ("tiktok", "tiktok_posts")):
                columns = all_tables().tables[table].primary_key.columns
                key = ", ".join(column.name for column in columns if column.name != "bucket")
                found = await connection.fetch(f"SELECT {key} FROM {table}")
                wanted = {item.key for item in self.sent if item.platform == platform}
                assert {tuple(row) for row in found} == wanted
            await connection.close()

        self.start_worker()
        self.environment.run(run())

    @invariant()
    def tables_are_what_the_log_says_and_the_log_is_what_was_acknowledged(self) -> None:
        async def check() -> None:
            await eventually(self.environment.spool_is_empty, 20)
            connection = await db.connect(self.environment.postgres.dsn(), APP_ROLE)
            assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") >= self.acknowledged, "I1"
            async with connection.transaction(isolation="repeatable_read"):
                events = await connection.fetch("SELECT provider, account_id, external_id FROM webhook_event_log")
                unsplit = await connection.fetch(
                    """
                    SELECT d.id::text, provider, received_at, verdict, secret_used, signed_at, headers, body
                    FROM webhook_deliveries d JOIN webhook_delivery_queue q ON q.delivery_id = d.id"""
                )
            logged = {tuple(row) for row in events}
            assert len(logged) == len(events)
            waiting = [Received(*row) for row in unsplit]
            assert logged | {name for delivery in waiting for name in names_in(delivery)} == names(self.sent), "I1, I2"
            queued = await connection.fetchval("SELECT count(*) FROM webhook_event_queue")
            settled = await connection.fetchval("SELECT count(*) FROM webhook_event_outcomes")
            now = await connection.fetchval("SELECT count(*) FROM webhook_event_log")
            assert queued + settled >= len(events), "every event waits or is settled"
            assert settled <= now, "I2: no event is worked on twice"
            report = await verify(connection, wiring.projections(), lambda done, total: None)
            assert (report.drift, report.failed) == (0, []), "I3"
            always = datetime(2000, 1, 1, tzinfo=UTC)
            report = await verify_changed(connection, wiring.projections(), always, lambda done, total: None)
            assert (report.drift, report.failed) == (0, []), "each row is what the events that it names make together"
            await connection.close()

        self.environment.run(check())
        self.environment.steps["steps"] += 1

    def teardown(self) -> None:
        self.project_everything()


def names_in(delivery: Received) -> set[tuple[str, str, str]]:
    """The events in a delivery, by their identity."""
    found = split(wiring.webhooks()[delivery.provider], delivery, VARIABLES)
    return {(delivery.provider, event.account_id, event.external_id) for event in found.events}


def names(items: list[Item]) -> set[tuple[str, str, str]]:
    """The events in these, by their identity."""
    return {(event.provider, event.account_id, event.external_id) for event in events(items)}


def events(items: list[Item]) -> list[Event]:
    """As the log would hold them."""
    found = {}
    for platform, body in packed(items, 1):
        headers = {name.lower(): value for name, value in SIGN[platform](body).items()}
        webhook = wiring.webhooks()[platform]
        received = accept(platform, webhook, Delivery(headers, body), VARIABLES, now())
        for incoming in split(webhook, received, VARIABLES).events:
            payload = json.loads(incoming.payload or "null")
            event = Event(
                platform, incoming.account_id, incoming.external_id, incoming.type, payload, incoming.occurred_at
            )
            found.setdefault((platform, incoming.account_id, incoming.external_id), event)
    return list(found.values())


def test_tables_converge_whatever_happens(environment: Environment) -> None:
    run_state_machine_as_test(
        lambda: Machine(environment),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    print(f"{environment.steps['steps']} steps, the invariants after each")  # noqa: T201  `pytest -s` shows it
    assert environment.steps["steps"] > EXAMPLES


@dataclass
class Account:
    """An account that is read from a made-up platform, in the loop that the machine runs."""

    pull: Pull
    loop: asyncio.AbstractEventLoop
    steps: Counter[str] = field(default_factory=Counter)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)


@pytest.fixture
def account(database: str) -> Iterator[Account]:
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(database))
    opened = pulling(database, connection)
    yield Account(loop.run_until_complete(opened.__aenter__()), loop)
    loop.run_until_complete(opened.__aexit__(None, None, None))
    loop.run_until_complete(connection.close())
    loop.close()


MEDIA, NUMBERS = st.sampled_from(["m0", "m1", "m2"]), st.integers(1, 4)


class Reading(RuleBasedStateMachine):
    """The world changes, webhooks come or are lost, and who reads it is killed: the tables come to be the world.

    The first media and the first comment of each stay: a listing that shows nothing proves nothing.
    """

    def __init__(self, account: Account) -> None:
        super().__init__()
        self.account, self.pull, self.world = account, account.pull, account.pull.world
        self.webhooks = 0

    @initialize()
    def empty(self) -> None:
        async def wipe() -> None:
            tables = ", ".join(table.name for table in crm_tables())
            await self.pull.connection.execute(
                "TRUNCATE webhook_event_identities, webhook_event_log, webhook_event_queue, webhook_event_outcomes,"
                f" pull_tasks, pull_objects, pull_accounts, {tables}"
            )
            await self.pull.connect()

        self.world.media.clear()
        self.world.comments.clear()
        self.world.post("m0", ["m0.0"])
        self.pull.puller._connected = None
        self.account.run(wipe())

    @rule(media=MEDIA)
    def world_changes_by_a_media_that_comes_or_goes(self, media: str) -> None:
        if media not in self.world.media:
            self.world.post(media, [f"{media}.0"])
        elif media != "m0":
            del self.world.media[media], self.world.comments[media]

    @rule(media=MEDIA, number=NUMBERS, word=st.sampled_from("ab"), lost=st.booleans())
    def world_changes_by_a_comment_and_its_webhook_may_be_lost(
        self, media: str, number: int, word: str, *, lost: bool
    ) -> None:
        if media not in self.world.media:
            return
        id_ = f"{media}.{number}"
        is_new = id_ not in self.world.comments[media]
        self.world.say(media, id_, word)
        if is_new and not lost:
            self.webhooks += 1
            value = self.world.comments[media][id_] | {"media": {"id": media}}
            name = f"webhook:{self.webhooks}"
            self.account.run(append_event(self.pull.connection, SHOP, name, payload=value))
        self.account.steps["webhooks lost"] += lost

    @rule(media=MEDIA, number=NUMBERS, change=st.sampled_from(["hide", "like", "delete"]))
    def world_changes_in_silence(self, media: str, number: int, change: str) -> None:
        comment = self.world.comments.get(media, {}).get(f"{media}.{number}")
        if comment is None:
            return
        if change == "delete":
            del self.world.comments[media][f"{media}.{number}"]
        else:
            comment.update({"hidden": True} if change == "hide" else {"like_count": 7})

    @rule(everything=st.booleans())
    def read_account(self, *, everything: bool) -> None:
        async def run() -> None:
            if everything:
                await self.pull.due()
            await self.pull.puller.round()

        self.account.run(run())

    @rule(point=st.sampled_from(POINTS), number=st.integers(1, 6))
    def reader_killed_at_a_point(self, point: str, number: int) -> None:
        killer = Killer(point, number)

        async def run() -> None:
            await self.pull.due()
            faults._fault = killer  # type: ignore[assignment]
            try:
                await self.pull.puller.round()
            except Killed:
                self.account.steps["killed"] += 1
            finally:
                faults._fault = None
            await died(self.pull)

        self.account.run(run())

    @rule()
    def project(self) -> None:
        self.account.run(self.pull.project())

    def teardown(self) -> None:
        """After all is read again, the tables are the world, and the log alone makes them."""

        async def check() -> None:
            await self.pull.project()  # what events ask for is on the list now
            for _ in range(4):
                await self.pull.due()
                await self.pull.drain()
            await self.pull.project()
            media = await self.pull.raw(
                "SELECT ig_id, caption FROM ig_media WHERE deleted_at IS NULL AND NOT placeholder"
            )
            assert dict(map(tuple, media)) == {id_: item["caption"] for id_, item in self.world.media.items()}
            rows = await self.pull.raw(
                "SELECT ig_id, text, hidden, (metrics_json ->> 'likes')::int FROM ig_comments WHERE deleted_at IS NULL"
            )
            there = {
                item["id"]: (item["text"], item.get("hidden"), item.get("like_count"))
                for of_media in self.world.comments.values()
                for item in of_media.values()
            }
            found = {row["ig_id"]: tuple(row)[1:] for row in rows}
            assert {id_: found[id_][0] for id_ in there if id_ in found} == {id_: row[0] for id_, row in there.items()}
            said = {id_: row for id_, row in found.items() if id_.partition(".")[0] in self.world.media}
            assert said.keys() == there.keys()
            for id_, (_, hidden, likes) in there.items():
                # What an answer leaves out is not said: it stays as it was before.
                assert hidden is None or found[id_][1] is hidden
                assert likes is None or found[id_][2] == likes
            report = await verify(self.pull.connection, wiring.projections(), lambda done, total: None)
            assert (report.drift, report.failed) == (0, [])

        self.account.run(check())
        self.account.steps["examples"] += 1


def test_tables_become_the_world_whatever_happens_to_who_reads_it(account: Account) -> None:
    run_state_machine_as_test(
        lambda: Reading(account),
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
    assert account.steps["examples"] >= EXAMPLES
    assert account.steps["killed"] > 0, "nothing was shown of a reader that dies"
    assert account.steps["webhooks lost"] > 0


LOGGED = datetime(2026, 1, 1, tzinfo=UTC)


async def tables_of(connection: asyncpg.Connection, order: list[Event], cut: int) -> dict[str, Any]:
    """What is in the tables after these events, ``cut`` at a time; nothing stays."""
    transaction = connection.transaction()
    await transaction.start()
    names = sorted({event.external_id for event in order})
    numbers = dict(zip(names, range(len(names)), strict=True))  # each event was received once, whenever it is projected
    for start in range(0, len(order), cut):
        claimed = [
            Claimed(n, event, None, LOGGED + timedelta(seconds=numbers[event.external_id]), 0)
            for n, event in enumerate(order[start : start + cut])
        ]
        result = project(wiring.projections(), Batch(claimed))
        assert not result.failed
        await store.apply(connection, result.facts)
    found = await crm(connection)
    await transaction.rollback()
    return found


def test_any_order_of_any_events_gives_the_same_bytes(database: str) -> None:
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(database))

    @settings(max_examples=EXAMPLES * 15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data(), st.lists(ITEMS, min_size=1, max_size=14), st.integers(1, 6))
    def check(data: st.DataObject, items: list[Item], cut: int) -> None:
        first = events(items)
        other = data.draw(st.permutations(first))
        again = data.draw(st.lists(st.sampled_from(first), max_size=5))
        wanted = loop.run_until_complete(tables_of(connection, first, len(first)))
        assert loop.run_until_complete(tables_of(connection, [*other, *again], cut)) == wanted

    check()
    loop.run_until_complete(connection.close())
    loop.close()


OWN = [
    ("video.read", {"id": "7", "video_description": "c", "create_time": 1767265200, "share_url": "https://t/7",
                    "like_count": 3, "view_count": 9}),
    ("video.absent", {"id": "7"}),
    ("account.read", {"id": ACCOUNTS[0], "username": "shop", "followers_count": 3}),
    ("media.insights", {"id": "17800000000000001", "data": [{"name": "likes", "values": [{"value": 7}]},
                                                             {"name": "reach", "total_value": {"value": 9}}]}),
    ("media.read", {"id": "17800000000000001", "username": "shop", "caption": "c", "media_type": "IMAGE",
                    "permalink": "p", "timestamp": "2026-01-01T11:00:00+0000", "comments_count": 3, "like_count": 1}),
    ("comment.read", {"id": "17900000000000001", "timestamp": "2026-01-01T11:00:00+0000", "hidden": False,
                      "like_count": 0}),
    ("comment.gone", {"id": "17900000000000001"}),
    ("account.insights", {"id": "1", "day": "2025-12-31", "data": [{"name": "reach", "total_value": {"value": 5}}]}),
    ("media.files", {"id": "17800000000000001", "media_url": "https://cdn/1", "thumbnail_url": "https://cdn/2"}),
    ("media.gone", {"id": "17800000000000001"}),
    ("mentioned_media.read", {"id": "17800000000000009", "caption": "@shop", "children": {"data": [{"id": "1"}]}}),
    ("mentioned_comment.read", {"id": "17900000000000009", "text": "@shop", "media": {"id": "17800000000000009"}}),
    ("post.begun", {"publish_id": "v_pub_url~v2.2", "source": "FILE_UPLOAD", "title": "t"}),
    ("post.read", {"publish_id": "v_pub_url~v2.2", "status": "FAILED", "fail_reason": "spam_risk",
                   "publicaly_available_post_id": [7]}),
]  # fmt: skip
"""What no webhook carries: we read it, and wrote it to the log ourselves."""


def projected() -> list[Event]:
    """Every event of every recording, and of our own, that means something to the tables."""
    found = [
        recordings.event(platform, incoming)
        for platform in wiring.webhooks()
        for recording in recordings.recordings(platform)
        for incoming in recordings.take(platform, recording.body).events
        if incoming.defect is None
    ]
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    found += [
        Event(
            "tiktok" if kind.startswith(("post.", "video.")) else "instagram",
            ACCOUNTS[0],
            f"own:{kind}",
            kind,
            payload,
            at,
        )
        for kind, payload in OWN
    ]
    return [one for one in found if stated(one)]


def stated(one: Event) -> list[Upsert | Want]:
    """Its facts, and what it asks to be read; none of what would be parked."""
    try:
        return recordings.stated(one)
    except Unprojectable:
        return []


def poorer(one: Event, paths: list[list[int]]) -> Event | None:
    """The same event as a platform might repeat it with less in it, by the name it would get; None if it is parked."""
    payload = one.payload
    for path in paths:
        payload = recordings.without(payload, path)
    if payload == one.payload:
        return one
    if one.external_id.startswith("own:"):
        repeat = one._replace(external_id=f"{one.external_id}:{json.dumps(payload)}", payload=payload)
    else:
        try:
            name, at = wiring.webhooks()[one.provider].identify(Change(one.account_id, one.type, payload))
        except (ValueError, LookupError, TypeError, AttributeError):
            return None
        repeat = one._replace(external_id=name, payload=payload, occurred_at=at)
        if repeat.external_id == one.external_id:  # a duplicate, which the log drops, so it must say the same
            assert stated(repeat) == stated(one)
    return repeat if stated(repeat) else None


def parsed(column: str, value: Any) -> Any:
    return json.loads(value) if value and column.endswith(("_carried", "_json")) else value


def test_repeat_that_lacks_details_takes_none_away(database: str) -> None:
    """Any details missing from any repeats, in any order and cut: the same bytes, and all that anybody knew."""
    loop = asyncio.new_event_loop()
    connection = loop.run_until_complete(asyncpg.connect(database))
    pool = projected()
    handled = {name for p in wiring.projections().values() for name in p.handlers}
    # What the database appends for a transition of a target is whole by itself, and no platform sends it.
    assert {one.type for one in pool} >= {name for name in handled if not name.startswith("target.")}
    lacks = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4), min_size=1, max_size=4)

    @settings(max_examples=EXAMPLES * 20, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data(), st.lists(st.sampled_from(pool), min_size=1, max_size=4), st.integers(1, 6))
    def check(data: st.DataObject, whole: list[Event], cut: int) -> None:
        repeats = [poorer(one, data.draw(lacks)) for one in whole for _ in range(data.draw(st.integers(1, 3)))]
        told = list({(o.provider, o.account_id, o.external_id): o for o in [*whole, *repeats] if o}.values())
        other = data.draw(st.permutations(told))
        again = data.draw(st.lists(st.sampled_from(told), max_size=4))
        found = loop.run_until_complete(tables_of(connection, told, len(told)))
        assert loop.run_until_complete(tables_of(connection, [*other, *again], cut)) == found
        for table, rows in recordings.fold(told).items():
            stored = [{name: parsed(name, value) for name, value in one.items()} for one in found[table]]
            assert len(stored) == len(rows)
            assert all(any(row.items() <= one.items() for one in stored) for row in rows.values()), "as defined"
            for key, row in rows.items():
                for one in told:
                    known = recordings.fold([one]).get(table, {}).get(key, {})
                    for name, value in known.items():
                        if name.endswith("_json"):
                            assert (value or {}).keys() <= (row[name] or {}).keys(), f"{name} forgot a key"
                        elif value is not None and not name.endswith("_carried"):
                            # A step that is no failure says that there is no reason for one; a comment that is read
                            # again is there.
                            assert row[name] is not None or name in ("error_code", "deleted_at"), f"{name} is forgotten"

    check()
    loop.run_until_complete(connection.close())
    loop.close()
