"""`landfall retention`: what it says, and what it refuses."""

import json
from datetime import timedelta

import asyncpg

from tests.integration.ops.retention.test_retention import NOW, Appending, append, names
from tests.support import command

__all__ = ["append"]


async def test_policy_is_set_planned_run_and_removed(
    database: str, connection: asyncpg.Connection, append: Appending
) -> None:
    async def said(*arguments: str) -> str:
        code, output = await command(database, "retention", *arguments)
        assert code == 0, output
        return output

    await append(NOW - timedelta(days=90), 1)
    await append(NOW, 2)
    assert await said("list") == "no policies: everything is kept for ever\n"
    assert await said("plan") == "nothing is due\n"
    assert "`landfall retention plan` says what is due" in await said("set", "instagram", "comments", "60")
    await said("set", "instagram", "events", "forever")
    lines = (await said("list", "--json")).splitlines()
    assert [json.loads(line) for line in lines] == [
        {"platform": "instagram", "kind": "comments", "days": 60},
        {"platform": "instagram", "kind": "events", "days": None},
    ]
    assert await said("list") == "instagram  comments  60 days\ninstagram  events  forever\n"
    planned = (await said("plan")).splitlines()
    assert planned[0].startswith("instagram comments: 1 events of 1 accounts, received from ")
    assert planned[1] == (
        "the raw requests of instagram are kept, and hold what these events hold: set a policy for deliveries"
    )
    assert "ig_comments: 1 rows that no rebuild can make anew; they are kept as they are" in planned
    document = json.loads(await said("plan", "--json"))
    assert [found["events"] for found in document["events"]] == [1]
    assert {"table": "ig_comments", "rows": 1} in document["kept_rows"]
    assert await names(connection) == {"comments:1", "comments:2"}, "nothing was dropped by looking"
    assert (await said("run", "--yes")).splitlines() == [
        "webhook_event_log_before was dropped whole",
        "0 events and 0 deliveries were dropped from other months",
    ]
    assert await names(connection) == {"comments:2"}
    code, output = await command(database, "verify")
    assert code == 0
    assert "rows could not be compared: retention dropped events that made them" in output
    assert await said("unset", "instagram", "comments") == "removed\n"
    assert (await command(database, "retention", "unset", "instagram", "comments"))[0] == 1


async def test_policy_that_would_mean_nothing_is_refused(database: str, append: Appending) -> None:
    await append(NOW, 1)
    for arguments, why in (
        (("nowhere", "events", "1"), "no platform is called nowhere"),
        (("instagram", "comment", "1"), "known are events, deliveries, comments"),
        (("instagram", "events", "0"), "a number of days, from 1 on, or forever"),
        (("instagram", "events", "٣"), "a number of days, from 1 on, or forever"),
    ):
        code, output = await command(database, "retention", "set", *arguments)
        assert (code, why in output) == (2, True), output
    code, output = await command(database, "retention", "run")
    assert (code, "cannot be had back" in output) == (1, True), "it asks"
