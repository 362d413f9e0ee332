"""The API of posts that repeat, over HTTP and as the web process's role."""

from typing import Any

import pytest

from ops.access import api_keys, tenants
from publish.posting.occurrences import OccurrenceSweep
from tests.integration.ops.web.api.test_posts import Programs, later
from tests.integration.ops.web.api.test_posts import programs as programs_fixture
from tests.rig import TESTS

programs = programs_fixture
PATH = "/api/recurrences"


@pytest.fixture
async def sweep(programs: Programs) -> OccurrenceSweep:
    await programs.publishing.driver.drain()
    return OccurrenceSweep(programs.publishing.posts)


def body(programs: Programs, content: str = "Tea", **more: Any) -> dict[str, Any]:
    return {"rule": "FREQ=DAILY;COUNT=20", "start_time": later(hours=2), "post": programs.post(content)} | more


async def made(programs: Programs, **more: Any) -> Any:
    status, found = await programs.ask("POST", PATH, body(programs, **more))
    assert status == 201, found
    return found["recurrence"]


async def test_post_repeats_is_shown_and_its_posts_are_listed_as_any(
    programs: Programs, sweep: OccurrenceSweep
) -> None:
    recurrence = await made(programs)
    assert (recurrence["state"], recurrence["author"], len(recurrence["upcoming"])) == ("active", "key:tests", 5)
    assert await sweep.drain() == 7
    status, shown = await programs.ask("GET", f"{PATH}/{recurrence['id']}", key="reader")
    assert (status, [each["state"] for each in shown["occurrences"]]) == (200, ["made"] * 7)
    status, listed = await programs.ask("GET", "/api/posts")
    assert {post["schedule_id"] for post in listed["posts"]} == {recurrence["id"]}
    assert {post["id"] for post in listed["posts"]} == {each["post"] for each in shown["occurrences"]}
    status, found = await programs.ask("GET", f"{PATH}?state=active&limit=1", key="reader")
    assert (status, [each["id"] for each in found["recurrences"]], found["before"]) == (200, [recurrence["id"]], None)
    assert (await programs.ask("GET", f"{PATH}?state=paused"))[1]["recurrences"] == []
    assert (await programs.ask("GET", f"{PATH}?state=odd"))[0] == 400
    assert (await programs.ask("GET", f"{PATH}?before=odd"))[0] == 400


async def test_change_pause_resume_and_end(programs: Programs, sweep: OccurrenceSweep) -> None:
    recurrence = await made(programs)
    path = f"{PATH}/{recurrence['id']}"
    await sweep.drain()
    change = {"post": {"content": "Coffee"}, "version": 1}
    status, found = await programs.ask("PATCH", path, change)
    assert (status, found["changed"], found["recurrence"]["version"]) == (200, True, 2)
    assert found["recurrence"]["post"]["content"] == "Coffee"
    assert found["recurrence"]["post"]["media"][0]["id"] == programs.picture, "what is not named stays"
    status, found = await programs.ask("PATCH", path, change)
    assert (status, found["error"]["code"]) == (409, "conflict")
    for action, state in (("pause", "paused"), ("resume", "active"), ("end", "ended")):
        status, found = await programs.ask("POST", f"{path}/{action}")
        assert (status, found["changed"], found["recurrence"]["state"]) == (200, True, state)
        assert (await programs.ask("POST", f"{path}/{action}"))[1]["changed"] is False
    status, found = await programs.ask("POST", f"{path}/resume")
    assert (status, found["error"]["code"]) == (409, "too_late")
    status, found = await programs.ask("DELETE", path)
    assert (status, found["changed"]) == (200, False)


async def test_each_call_wants_its_scope(programs: Programs) -> None:
    recurrence = await made(programs)
    path = f"{PATH}/{recurrence['id']}"
    for method, address in (
        ("POST", PATH),
        ("PATCH", path),
        ("DELETE", path),
        *(("POST", f"{path}/{action}") for action in ("pause", "resume", "end")),
    ):
        for key in ("reader", "other"):
            status, found = await programs.ask(method, address, {}, key=key)
            assert (status, found["error"]["code"]) == (403, "forbidden"), address
    for address in (PATH, path):
        assert (await programs.ask("GET", address, key="other"))[0] == 403
    assert (await programs.ask("GET", path))[1]["state"] == "active"
    status, found = await programs.ask("PATCH", path, {"post": {"needs_approval": True}}, key="writer")
    assert (status, found["recurrence"]["post"]["needs_approval"]) == (200, True)
    status, found = await programs.ask("PATCH", path, {"post": {"needs_approval": False}}, key="writer")
    assert (status, found["error"]["code"]) == (403, "forbidden")


async def test_another_tenant_sees_none(programs: Programs) -> None:
    recurrence = await made(programs)
    rig = programs.publishing.rig
    b = await tenants.add(rig.connection, "other", TESTS)
    programs.keys["theirs"] = await api_keys.create(rig.pool, b, "theirs", api_keys.SCOPES, TESTS)
    assert (await programs.ask("GET", PATH, key="theirs"))[1]["recurrences"] == []
    for method, action in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/pause")):
        status, _ = await programs.ask(method, f"{PATH}/{recurrence['id']}{action}", {}, key="theirs")
        assert status == 404


async def test_what_is_wrong_is_said_with_what_to_do(programs: Programs) -> None:
    for wrong, status, said in (
        ({"rule": "FREQ=DAILY"}, 422, "needs one end"),
        ({"start_time": "2020-01-01 09:00", "timezone": "UTC"}, 422, "no time to come"),
        ({"timezone": "Mars/Olympus", "start_time": "2099-01-01 09:00"}, 422, "no time zone"),
        ({"post": {"content": "x"}}, 422, "names no account"),
        ({"post": None}, 400, "post"),
        ({"more": 1}, 400, "more"),
    ):
        found_status, found = await programs.ask("POST", PATH, body(programs) | wrong)
        assert (found_status, said in found["error"]["message"]) == (status, True), found
        assert found["error"]["details"]["remedy"]
    assert (await programs.ask("GET", f"{PATH}/nonsense"))[0] == 404
    headers = {"Idempotency-Key": "k"}
    start = body(programs)
    assert (await programs.ask("POST", PATH, start, **headers))[0] == 201
    status, again = await programs.ask("POST", PATH, start, **headers)
    assert (status, again["replayed"]) == (200, True)
