"""Tables are compared with the platform: what differs is named with its cause, and nothing is written."""

from collections.abc import Sequence

from ops.cli import wiring
from schema.crm import crm_tables
from sync.pull.contract import Task
from sync.pull.drift import Drift, DriftCheck
from sync.pull.store import Key
from tests.pulling import PLATFORM, SCOPE, SHOP, Pull
from tests.support import append_event

KEY = Key(PLATFORM, SHOP)


async def compared(pull: Pull, *, metrics: bool = False, calls: int = 1000) -> Drift:
    """Compare, and hold that nothing was written but how much differs."""
    tables = [table.name for table in crm_tables()] + ["pull_tasks", "pull_objects", "webhook_event_log"]
    before = [await pull.raw(f"SELECT * FROM {name} t ORDER BY t::text") for name in tables]
    check = DriftCheck(pull.pool, pull.puller.platforms, wiring.projections(), pull.puller.needs, calls)
    assert await check.accounts(PLATFORM, SHOP) == [KEY]
    drift = await check.compare(KEY, metrics=metrics)
    assert [await pull.raw(f"SELECT * FROM {name} t ORDER BY t::text") for name in tables] == before
    return drift


def named(drift: Drift) -> list[tuple[str, str, Sequence[str]]]:
    return sorted((each.kind, each.table, [*each.key.values(), *each.columns]) for each in drift.findings)


async def filled(pull: Pull) -> None:
    pull.world.post("m1", ["c1", "c2", "c3", "c4"])
    pull.world.post("m2", ["d1"])
    await pull.connect()
    await pull.drain()
    await pull.project()


async def test_nothing_differs_after_all_was_read(pull: Pull) -> None:
    await filled(pull)
    drift = await compared(pull)
    assert (drift.findings, drift.complete, drift.compared, drift.unread) == ([], True, 8, {})
    [noted] = await pull.raw("SELECT compared, missing, different, extra, complete FROM pull_drifts")
    assert tuple(noted) == (8, 0, 0, 0, True)


async def test_each_kind_of_difference_is_named_with_its_cause(pull: Pull) -> None:
    await filled(pull)
    pull.world.media["m1"]["caption"] = "edited"
    pull.world.say("m2", "d2", "new")
    del pull.world.comments["m1"]["c2"]
    drift = await compared(pull)
    assert named(drift) == [
        ("different", "ig_media", ["m1", "caption"]),
        ("extra", "ig_comments", ["c2"]),
        ("missing", "ig_comments", ["d2", "text", "timestamp", "from_user", "from_id", "is_own"]),
    ]
    by_kind = {each.kind: each for each in drift.findings}
    assert by_kind["different"].columns == {"caption": ("caption of m1", "edited")}
    assert "last read" in by_kind["different"].cause
    assert by_kind["missing"].cause == "no answer about it was appended yet"
    assert "does not exist" in by_kind["extra"].cause
    [noted] = await pull.raw("SELECT missing, different, extra FROM pull_drifts")
    assert tuple(noted) == (1, 1, 1)


async def test_difference_heals_once_it_is_read(pull: Pull) -> None:
    await filled(pull)
    pull.world.media["m1"]["caption"] = "edited"
    pull.world.say("m2", "d2", "new")
    assert len((await compared(pull)).findings) == 2
    await pull.due()
    await pull.drain()
    await pull.project()
    assert (await compared(pull)).findings == []


async def test_numbers_differ_where_they_changed_and_not_because_they_are_looked_at_later(pull: Pull) -> None:
    await filled(pull)
    assert (await compared(pull, metrics=True)).findings == []
    pull.world.media["m1"]["like_count"] = 999
    assert (await compared(pull)).findings == []
    tables = {finding.table for finding in (await compared(pull, metrics=True)).findings}
    assert tables == {"ig_media", "ig_media_metrics"}


async def test_event_that_waits_is_a_difference(pull: Pull) -> None:
    await filled(pull)
    pull.world.media["m1"]["caption"] = "edited"
    await pull.due()
    await pull.drain()
    assert named(await compared(pull)) == [("different", "ig_media", ["m1", "caption"])]


async def test_row_that_no_listing_shows_and_that_is_there_is_not_extra(pull: Pull) -> None:
    await filled(pull)
    pull.world.unlisted.add("c2")
    drift = await compared(pull)
    assert (drift.findings, drift.unlisted) == ([], 1)


async def test_comment_that_only_a_webhook_brought_and_that_was_deleted_is_extra(pull: Pull) -> None:
    await filled(pull)
    value = {"id": "w1", "text": "gone soon", "media": {"id": "m1"}, "from": {"id": "9", "username": "guest"}}
    await append_event(pull.connection, SHOP, "comment:w1", type="comments", payload=value)
    await pull.project()
    assert named(await compared(pull)) == [("extra", "ig_comments", ["w1"])]


async def test_comment_on_media_that_are_gone_is_out_of_reach_and_not_extra(pull: Pull) -> None:
    await filled(pull)
    value = {"id": "w1", "text": "and gone", "media": {"id": "never"}, "from": {"id": "9", "username": "guest"}}
    await append_event(pull.connection, SHOP, "comment:w1", type="comments", payload=value)
    await pull.project()
    del pull.world.media["m1"]
    for _ in range(4):
        await pull.due()
        await pull.drain()
    await pull.project()
    rows = await pull.raw("SELECT ig_id FROM ig_comments WHERE deleted_at IS NULL")
    assert {"c1", "w1"} <= {row["ig_id"] for row in rows}
    drift = await compared(pull)
    assert (drift.findings, drift.complete) == ([], True)


async def test_media_known_by_mention_only_are_not_compared(pull: Pull) -> None:
    await filled(pull)
    value = {"media_id": "foreign"}
    await append_event(pull.connection, SHOP, "mention:1", type="mentions", payload=value)
    await pull.project()
    assert (await compared(pull)).findings == []


async def test_what_cannot_be_read_is_said_and_nothing_is_taken_for_extra(pull: Pull) -> None:
    await filled(pull)
    del pull.world.comments["m2"]["d1"]
    pull.world.broken["/media/m1/comments"] = 500
    drift = await compared(pull)
    assert (drift.findings, drift.complete) == ([], False)
    assert [*drift.unread] == [Task("comments", "m1")]


async def test_missing_scope_is_said(pull: Pull) -> None:
    await filled(pull)
    await pull.connect(scopes=())
    drift = await compared(pull)
    assert (drift.findings, drift.complete) == ([], False)
    assert {*drift.unread.values()} == {f"the account has not allowed {SCOPE}"}


async def test_calls_have_an_end(pull: Pull) -> None:
    await filled(pull)
    drift = await compared(pull, calls=2)
    assert (drift.calls, drift.complete) == (2, False)
