"""What the page of a post has for what it published: answer, edit, delete, and decide what is unconfirmed."""

import json
from typing import Any

import pytest

from tests.integration.ops.access.test_users import EMAIL, PASSWORD, logged_in
from tests.integration.ops.web.pages.test_posts import VIEWER, page, pressed
from tests.posting import Posting
from tests.posting_faults import Case, account

pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner", VIEWER: "viewer"})


@pytest.fixture
async def target(publishing: Posting) -> Any:
    """A published target of a Page on Facebook."""
    connection = await account(publishing, Case("facebook", "text", ""))
    id_ = await publishing.target(connection, "Tea", kind="text")
    return await publishing.run(id_)


async def last(publishing: Posting) -> Any:
    [row] = await publishing.rig.raw("SELECT * FROM post_targets WHERE id = post_id ORDER BY id DESC LIMIT 1")
    return row


async def test_published_post_is_answered_edited_and_deleted_by_its_page(publishing: Posting, target: Any) -> None:
    rig = publishing.rig
    await logged_in(rig)
    path, named = f"/posts/{target['post_id']}", str(target["id"])
    status, shown = await page(rig, path)
    assert (status, [f'value="{act}"' in shown for act in ("reply", "edit_post", "delete_post")]) == (200, [True] * 3)
    assert "A comment below it" in shown
    status, at, shown = await pressed(rig, f"{path}/act", target=named, kind="reply", content="Thanks\r\nall")
    assert (status, at, "is about to be done" in shown, "Thanks\nall" in shown) == (200, path, True, True)
    assert (await publishing.run(str((await last(publishing))["id"])))["state"] == "published"
    _, _, shown = await pressed(rig, f"{path}/act", target=named, kind="edit_post", content="Tea with milk")
    await publishing.run(str((await last(publishing))["id"]))
    _, shown = await page(rig, path)
    assert "Edited there at" in shown
    _, at, shown = await pressed(rig, f"{path}/act", target=named, kind="delete_post")
    assert (at, "Nothing was deleted" in shown, (await last(publishing))["kind"]) == (path, True, "edit_post")
    _, at, shown = await pressed(rig, f"{path}/act", target=named, kind="delete_post", sure="on")
    id_ = (await last(publishing))["id"]
    await publishing.run(str(id_))
    _, shown = await page(rig, path)
    assert ("Deleted there at" in shown, 'value="delete_post"' in shown) == (True, False)
    _, shown = await page(rig, f"/posts/{id_}")
    assert ("Deletion of the post" in shown, f"{path}#at-{named}" in shown) == (True, True)
    _, shown = await page(rig, "/posts")
    assert f"/posts/{id_}" not in shown


async def test_comment_is_hidden_by_its_id_and_what_is_unconfirmed_is_decided(publishing: Posting, target: Any) -> None:
    rig = publishing.rig
    await logged_in(rig)
    path, form = f"/posts/{target['post_id']}", {"connection": str(target["connection_id"]), "object": "7_7"}
    _, at, shown = await pressed(rig, f"{path}/act", kind="hide_comment", **form)
    action = await last(publishing)
    assert (at, json.loads(action["options"])["parent_post_id"]) == (f"/posts/{action['id']}", "7_7")
    assert "nothing but its id is known" in shown
    _, at, shown = await pressed(rig, f"{path}/act", kind="delete_comment", **form)
    assert "Nothing was deleted" in shown
    _, at, shown = await pressed(rig, f"{path}/act", target=str(target["id"]), kind="reply", content="Thanks")
    answer = await last(publishing)
    await rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
    put = "UPDATE post_targets SET state = 'unconfirmed', due_at = NULL, evidence = '[\"a listing\"]' WHERE id = $1"
    await rig.raw(put, answer["id"])
    await rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")
    _, shown = await page(rig, path)
    assert ("a listing" in shown, f'action="/posts/{answer["id"]}/confirm"' in shown) == (True, True)
    await pressed(rig, f"/posts/{answer['id']}/confirm", target=str(answer["id"]), there="no", evidence="I looked")
    row = await publishing.run(str(answer["id"]))
    assert (row["state"], row["attempt"]) == ("published", 2)


async def test_viewer_sees_no_form_and_cannot_act(publishing: Posting, target: Any) -> None:
    rig = publishing.rig
    await logged_in(rig, VIEWER)
    path = f"/posts/{target['post_id']}"
    status, shown = await page(rig, path)
    assert (status, "/act" in shown) == (200, False)
    status, _, _ = await pressed(rig, f"{path}/act", target=str(target["id"]), kind="delete_post", sure="on")
    assert status == 403
    assert await rig.raw("SELECT 1 FROM post_targets WHERE id = post_id") == []
