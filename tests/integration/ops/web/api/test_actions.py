"""The API of actions on what is there, over HTTP and as the web process's role."""

from typing import Any

import pytest

from ops.access import api_keys, tenants
from schema.tenancy import DEFAULT_TENANT
from tests.integration.ops.web.api.test_posts import Programs, programs  # noqa: F401  (a fixture)
from tests.integration.publish.posting.test_actions import allow
from tests.rig import TESTS


@pytest.fixture
async def published(programs: Programs) -> Any:  # noqa: F811
    """A post of Instagram that is published."""
    post = await programs.made(action="publish")
    await programs.publishing.run(post["targets"][0]["id"])
    await allow(programs.publishing, "instagram", "instagram_manage_contents")
    return post


async def test_published_post_is_answered_shown_and_deleted(programs: Programs, published: Any) -> None:  # noqa: F811
    [target] = published["targets"]
    asked = {"kind": "reply", "target": target["id"], "content": "Thanks"}
    status, found = await programs.ask("POST", "/api/actions", asked)
    assert (status, found["result"], found["action"]["state"]) == (201, "created", "scheduled")
    action = found["action"]
    assert (action["kind"], action["target"], action["author"]) == ("reply", target["id"], "key:tests")
    status, again = await programs.ask("POST", "/api/actions", asked)
    assert (status, again["result"], again["action"]["id"]) == (200, "exists", action["id"])
    await programs.publishing.run(action["id"])
    status, found = await programs.ask("GET", f"/api/actions/{action['id']}")
    assert (status, found["status"], found["done_at"] is not None) == (200, "posted", True)
    shown = await programs.publishing.shown("instagram")
    assert [each["text"] for each in shown if each["id"] == found["platform_post_id"]] == ["Thanks"]

    deleted = {"kind": "delete_post", "target": target["id"]}
    status, checked = await programs.ask("POST", "/api/actions", deleted | {"dry_run": True})
    assert (status, checked["result"], checked["action"]) == (200, "checked", None)
    status, found = await programs.ask("POST", "/api/actions", deleted)
    assert status == 201
    status, cancelled = await programs.ask("POST", f"/api/actions/{found['action']['id']}/cancel")
    assert (status, cancelled["cancelled"], cancelled["action"]["state"]) == (200, True, "cancelled")
    status, found = await programs.ask("POST", "/api/actions", deleted)
    assert (status, found["result"]) == (201, "created"), "one that was cancelled is asked for again"
    await programs.publishing.run(found["action"]["id"])
    status, late = await programs.ask("DELETE", f"/api/actions/{found['action']['id']}")
    assert (status, late["cancelled"], late["reason"]) == (200, False, "it is published")
    status, post = await programs.ask("GET", f"/api/posts/{published['id']}")
    assert (status, post["targets"][0]["deleted_at"] is not None) == (200, True)
    assert post["targets"][0]["edited_at"] is None
    status, listed = await programs.ask("GET", f"/api/actions?connection={programs.account}&state=posted&limit=1")
    assert (status, [each["kind"] for each in listed["actions"]]) == (200, ["delete_post"])
    status, listed = await programs.ask("GET", f"/api/actions?target={target['id']}&before={listed['before']}")
    assert [(each["kind"], each["state"]) for each in listed["actions"]][-1] == ("reply", "published")


async def test_key_and_what_is_no_request(programs: Programs, published: Any) -> None:  # noqa: F811
    asked = {"kind": "reply", "target": published["targets"][0]["id"], "content": "Thanks"}
    key = {"Idempotency-Key": "once"}
    status, first = await programs.ask("POST", "/api/actions", asked, **key)
    again, second = await programs.ask("POST", "/api/actions", asked, **key)
    assert (status, again, second["replayed"]) == (201, 200, True)
    assert first["action"]["id"] == second["action"]["id"]
    status, error = await programs.ask("POST", "/api/actions", asked | {"content": "Other"}, **key)
    assert (status, error["error"]["code"]) == (409, "conflict")
    for body in ([], {}, {"kind": 1}, {"kind": "reply", "target": "x"}, {"kind": "reply", "unknown": 1}):
        status, error = await programs.ask("POST", "/api/actions", body)
        assert (status, error["error"]["code"]) == (400, "invalid_request"), body
    for query in ("connection=x", "target=1", "before=y", "state=nonsense", "limit=0"):
        status, error = await programs.ask("GET", f"/api/actions?{query}")
        assert (status, error["error"]["code"]) == (400, "invalid_request"), query
    status, error = await programs.ask("POST", "/api/actions", asked | {"kind": "edit_post"})
    assert (status, "Instagram has no action that is called 'edit_post'" in error["error"]["message"]) == (422, True)
    status, error = await programs.ask("POST", f"/api/actions/{first['action']['id']}/retry")
    assert (status, error["error"]["code"]) == (409, "conflict")
    status, error = await programs.ask("POST", f"/api/actions/{first['action']['id']}/confirm", {"there": True})
    assert (status, error["error"]["code"]) == (409, "conflict"), "there is nothing to decide"
    for what, body in (("retry", None), ("confirm", {"there": False}), ("cancel", None)):
        status, error = await programs.ask("POST", f"/api/actions/{published['id']}/{what}", body)
        assert (status, error["error"]["message"]) == (404, "There is no such action."), "it is a post"


async def test_who_may_not_act_and_another_tenant_does_not(programs: Programs, published: Any) -> None:  # noqa: F811
    asked = {"kind": "reply", "target": published["targets"][0]["id"], "content": "Thanks"}
    status, found = await programs.ask("POST", "/api/actions", asked)
    id_ = found["action"]["id"]
    for method, path, body in (
        ("POST", "/api/actions", asked),
        ("POST", f"/api/actions/{id_}/retry", None),
        ("POST", f"/api/actions/{id_}/confirm", {"there": False}),
        ("POST", f"/api/actions/{id_}/cancel", None),
    ):
        status, error = await programs.ask(method, path, body, key="reader")
        assert (status, error["error"]["code"]) == (403, "forbidden"), path
    assert (await programs.ask("GET", f"/api/actions/{id_}", key="reader"))[0] == 200
    assert (await programs.ask("GET", "/api/actions", key="other"))[0] == 403

    rig = programs.publishing.rig
    tenant = await tenants.add(rig.connection, "Other", TESTS)
    scopes = ["posts:read", "posts:write"]
    programs.keys["stranger"] = await api_keys.create(rig.pool, tenant, "stranger", scopes, TESTS)
    for method, path, body in (
        ("GET", f"/api/actions/{id_}", None),
        ("POST", f"/api/actions/{id_}/retry", None),
        ("POST", f"/api/actions/{id_}/confirm", {"there": False}),
        ("POST", f"/api/actions/{id_}/cancel", None),
        ("POST", "/api/actions", asked),
    ):
        status, error = await programs.ask(method, path, body, key="stranger")
        assert (status, error["error"]["code"]) == (404, "not_found"), path
    status, error = await programs.ask(
        "POST", "/api/actions", {"kind": "reply", "connection": programs.account, "object": "7", "content": "Tea"},
        key="stranger",
    )  # fmt: skip
    assert (status, "There is no connection" in error["error"]["message"]) == (422, True)
    assert (await programs.ask("GET", "/api/actions", key="stranger"))[1]["actions"] == []
    assert tenant != DEFAULT_TENANT
