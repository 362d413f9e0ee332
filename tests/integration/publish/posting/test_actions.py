"""What is done to what is there: asked for as programs do, carried out by the driver, and seen in the sandbox."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from ops.access.audit_log_store import Actor
from ops.cli import wiring
from publish.posting.action_kinds import actions_of
from publish.posting.action_store import ActionFilter
from publish.posting.actions import ActionResult, Actions
from publish.posting.edits import Edits
from publish.posting.errors import PostError
from publish.posting.listing import PostListing
from publish.posting.post_store import PostFilter
from publish.posting.requests import ActionBody, ActionConfirmBody, EditBody, PostBody, read
from schema.tenancy import DEFAULT_TENANT
from sync.projection.worker import Projector
from tests.posting import POSTING, Posting, connect_organization
from tests.posting_faults import Case, account, faulty, parent_of, run_on
from tests.support import command

SOMEBODY = Actor("somebody@example.org")


@dataclass(frozen=True)
class Way:
    """An action at a platform. ``on`` is what it acts on: a ``post`` or ``comment`` of somebody's, a ``reply`` or a
    post of our own (``own``). ``kind`` is the machine that carries it out, ``change`` what the sandbox calls it.
    """

    platform: str
    act: str
    on: str
    kind: str = ""
    change: str = ""
    content: str = ""
    more: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.platform}-{self.act}-{self.on}"


SURE = {"sure": True}
ANSWER = "Thank you"

WAYS = [
    Way("instagram", "reply", "comment", "comment_reply", content=ANSWER),
    Way("instagram", "reply", "own", "comment", content=ANSWER),
    Way("instagram", "hide_comment", "comment", change="hide"),
    Way("instagram", "show_comment", "hidden", change="unhide"),
    Way("instagram", "delete_comment", "comment", change="delete", more=SURE),
    Way("instagram", "delete_post", "own", change="delete"),
    Way("facebook", "reply", "comment", "comment_reply", content=ANSWER),
    Way("facebook", "reply", "own", "comment", content=ANSWER),
    Way("facebook", "hide_comment", "comment", change="hide"),
    Way("facebook", "show_comment", "hidden", change="unhide"),
    Way("facebook", "delete_comment", "comment", change="delete", more=SURE),
    Way("facebook", "edit_post", "own", change="edit", content="Tea with milk"),
    Way("facebook", "delete_post", "own", change="delete"),
    Way("threads", "reply", "comment", "reply", content=ANSWER),
    Way("threads", "hide_comment", "comment", change="hide"),
    Way("threads", "show_comment", "hidden", change="unhide"),
    Way("threads", "delete_post", "own", change="delete"),
    Way("mastodon", "reply", "comment", "text", content=ANSWER, more={"options": {"visibility": "unlisted"}}),
    Way("mastodon", "reply", "own", "text", content=ANSWER),
    Way("x", "reply", "own", "text", content=ANSWER),
    Way("x", "hide_comment", "reply", change="hide"),
    Way("x", "show_comment", "reply", change="unhide"),
    Way("x", "delete_post", "own", change="delete"),
    Way("linkedin", "reply", "own", "comment", content=ANSWER),
    Way("linkedin", "delete_comment", "reply", change="delete"),
    Way("linkedin", "edit_post", "own", change="edit", content="Tea with milk"),
    Way("linkedin", "delete_post", "own", change="delete"),
]


@pytest.fixture
def actions(publishing: Posting) -> Actions:
    return Actions(publishing.posts)


async def ask(actions: Actions, **document: Any) -> ActionResult:
    return await actions.create(DEFAULT_TENANT, SOMEBODY, read(ActionBody, document))


async def refused(actions: Actions, **document: Any) -> PostError:
    with pytest.raises(PostError) as caught:
        await ask(actions, **document)
    return caught.value


def codes(error: PostError) -> set[str]:
    found: Any = error.details["findings"]
    return {each["code"] for each in found if each["severity"] == "refusal"}


async def own_post(publishing: Posting, connection: str, platform: str, text: str = "Tea") -> str:
    """A post of ours that is published; the id of its target."""
    instagram = platform == "instagram"
    files = [publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)] if instagram else []
    id_ = await publishing.target(connection, text, kind="image" if instagram else "text", media=files)
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    return id_


async def allow(publishing: Posting, platform: str, scope: str) -> None:
    """Let the tokens of a platform have a scope that nobody asked for."""
    simulated: Any = publishing.rig.server.simulation.platforms[platform]
    for token in simulated.tokens.values():
        token.scopes = [*token.scopes, scope]
    await publishing.rig.raw("UPDATE connections SET scopes = scopes || ARRAY[$1]", scope)


async def thing(publishing: Posting, actions: Actions, way: Way) -> dict[str, Any]:
    """What an action is to act on, as a request names it."""
    connection = await connected(publishing, way.platform)
    if way.on in ("comment", "hidden", "post"):
        case = Case(way.platform, way.act, "", parent=way.on)
        return {"connection": connection, "object": await parent_of(publishing, case)}
    target = await own_post(publishing, connection, way.platform)
    if way.on == "own":
        return {"target": target}
    reply = await ask(actions, kind="reply", target=target, content="First")
    assert reply.action is not None
    await publishing.run(reply.action.id)
    return {"target": reply.action.id}


async def connected(publishing: Posting, platform: str) -> str:
    """Connect an account of a platform that may do all there is; its id."""
    if platform == "linkedin":
        return await connect_organization(publishing.rig)
    connection = await account(publishing, Case(platform, "", ""))
    if platform == "instagram":  # which no page offers by this login (meta.md 8.5)
        await allow(publishing, platform, "instagram_manage_contents")
    return connection


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_action_is_done_once_and_asking_again_changes_nothing(
    publishing: Posting, actions: Actions, way: Way
) -> None:
    named = await thing(publishing, actions, way)
    asked = {"kind": way.act, "content": way.content, **named, **way.more}
    acted = await ask(actions, **asked)
    assert (acted.result, acted.action is not None) == ("created", True)
    assert acted.action is not None
    row = await publishing.run(acted.action.id)
    told = f"{row['state']}, {row['step']}, {row['error_code']} {row['error_message']}"
    assert (row["state"], row["kind"]) == ("published", way.kind or way.act), told
    object_ = json.loads(row["options"])["parent_post_id"]
    certain = {"own": "post"}.get(way.on, "comment" if way.kind == "comment_reply" else None)
    events = await publishing.rig.raw(
        "SELECT payload_json FROM webhook_event_log WHERE starts_with(external_id, 'target:' || $1)", acted.action.id
    )
    said = [json.loads(event["payload_json"]) for event in events]
    assert {(each["object_id"], each["object_kind"]) for each in said} == {
        (object_, "comment" if way.act.endswith("_comment") else certain)
    }, "the log says what was acted on, from the request to the end"
    again = await ask(actions, **asked)
    assert (again.result, again.action and again.action.id) == ("exists", acted.action.id)
    await publishing.run(acted.action.id)
    if way.act == "reply":
        [said] = [post for post in await publishing.shown(way.platform) if post["text"] == ANSWER]
        assert row["platform_post_id"] in (said["id"], f"urn:li:comment:({object_},{said['id']})")
    else:
        changes = await publishing.rig.sandbox.ledger("change", platform=way.platform)
        names = (object_, object_.rpartition(",")[2].rstrip(")"))  # LinkedIn's own id of a comment is a part of its URN
        done = [entry["action"] for entry in changes if entry["id"] in names and entry["action"] == way.change]
        assert done == [way.change], changes


def test_ways_are_all_that_the_platforms_have() -> None:
    has = {name: set(actions_of(platform)) for name, platform in POSTING.items() if actions_of(platform)}
    assert {name: {way.act for way in WAYS if way.platform == name} for name in has} == has
    assert POSTING.keys() - has.keys() == {"tiktok"}


async def test_what_cannot_be_done_is_refused_and_says_what_can(publishing: Posting, actions: Actions) -> None:
    connection = await connected(publishing, "facebook")
    target = await own_post(publishing, connection, "facebook")
    mine = {"target": target}
    [row] = await publishing.rig.raw("SELECT account_id FROM connections WHERE id = $1::uuid", connection)
    named: dict[str, Any] = {"connection": connection}

    wrong = await refused(actions, kind="pin_post", **mine)
    assert codes(wrong) == {"unknown_kind"}
    assert "it has reply, hide_comment, show_comment, delete_comment, edit_post, delete_post" in wrong.message
    assert codes(await refused(actions, kind="reply", content=" ", **mine)) == {"text_missing"}
    assert codes(await refused(actions, kind="edit_post", **mine)) == {"text_missing"}
    assert codes(await refused(actions, kind="delete_post", content="Tea", **mine)) == {"text_not_possible"}
    assert codes(await refused(actions, kind="reply", content="Tea", options={"place_id": "1"}, **mine)) == {
        "unknown_option"
    }
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    assert codes(await refused(actions, kind="reply", content="Tea", media=[picture], **mine)) == {"media_not_possible"}
    assert codes(await refused(actions, kind="delete_post", media=[picture], **mine)) == {"media_not_possible"}
    assert codes(await refused(actions, kind="hide_comment", **mine)) == {"object_not_valid"}, "it is a post"
    for id_ in ("me", "1/feed", "1?x=1", "..", "1#", "%31", "1\n2", "٣", row["account_id"]):
        error = await refused(actions, kind="delete_post", object=id_, sure=True, **named)
        assert codes(error) == {"object_not_valid"}, id_
    assert codes(await refused(actions, kind="delete_comment", object="7_7", **named)) == {"object_unknown"}
    warned = await ask(actions, kind="hide_comment", object="7_7", dry_run=True, **named)
    assert (warned.result, [each["code"] for each in warned.findings]) == ("checked", ["object_unknown"])
    nothing = await refused(actions, kind="delete_post")
    both = await refused(actions, kind="delete_post", object="7", **mine)
    assert (nothing.code, both.code) == ("unprocessable", "unprocessable")
    assert (await refused(actions, kind="delete_post", target=DEFAULT_TENANT)).status == 404
    assert await publishing.rig.raw("SELECT 1 FROM post_targets WHERE id = post_id") == []

    await publishing.rig.raw("UPDATE connections SET scopes = array_remove(scopes, 'pages_manage_engagement')")
    lacking = await refused(actions, kind="reply", content="Tea", **mine)
    assert (lacking.code, "pages_manage_engagement" in lacking.message) == ("scope_not_authorized", True)
    posts = await publishing.target(connection, "Draft", kind="text", state="draft")
    assert (await refused(actions, kind="delete_post", target=posts)).status == 409, "it is not published"
    other = await connected(publishing, "tiktok")
    assert codes(await refused(actions, kind="reply", content="Tea", connection=other, object="7")) == {"unknown_kind"}


async def test_what_was_done_is_done_again_after_its_opposite_and_on_purpose(
    publishing: Posting, actions: Actions
) -> None:
    connection = await connected(publishing, "facebook")
    comment = await parent_of(publishing, Case("facebook", "hide_comment", "", parent="comment"))
    named = {"connection": connection, "object": comment}
    post = await own_post(publishing, connection, "facebook")

    async def result(**document: Any) -> str:
        acted = await ask(actions, **document)
        assert acted.action is not None
        row = await publishing.run(acted.action.id)
        assert row["state"] == "published", dict(row)
        return acted.result

    hide, show = {"kind": "hide_comment", **named}, {"kind": "show_comment", **named}
    assert [await result(**each) for each in (hide, hide, show, show, hide)] == [
        *("created", "exists", "created", "exists", "created")
    ]
    edits = [{"kind": "edit_post", "target": post, "content": text} for text in ("A", "A", "B", "A")]
    assert [await result(**each) for each in edits] == ["created", "exists", "created", "created"]
    answers: list[dict[str, Any]] = [{"kind": "reply", **named, "content": text} for text in ("A", "A", "B", "A")]
    assert [await result(**each) for each in answers] == ["created", "exists", "created", "exists"]
    assert await result(**answers[0], repeat=True) == "created"
    said = [each["text"] for each in await publishing.shown("facebook")]
    assert (said.count("A"), said.count("B")) == (2, 1)


async def test_posts_say_what_was_done_to_them_and_actions_are_no_posts(publishing: Posting, actions: Actions) -> None:
    account_ = await connected(publishing, "facebook")
    target = await own_post(publishing, account_, "facebook")
    post = str((await publishing.row(target))["post_id"])
    before = await PostListing(actions.posts).summary(DEFAULT_TENANT)
    made = []
    for kind, content in (("edit_post", "Tea with milk"), ("reply", "Thanks"), ("delete_post", "")):
        acted = await ask(actions, kind=kind, target=target, content=content)
        assert acted.action is not None
        assert (await publishing.run(acted.action.id))["state"] == "published"
        made.append(acted.action.id)
        [shown] = (await PostListing(actions.posts).one(DEFAULT_TENANT, post)).targets
        assert (shown.edited_at is not None, shown.deleted_at is not None) == (True, kind == "delete_post")
    gone = await refused(actions, kind="reply", target=target, content="Thanks again")
    assert codes(gone) == {"object_deleted"}
    assert [each.id for each in (await PostListing(actions.posts).page(DEFAULT_TENANT, PostFilter())).posts] == [post]
    assert await PostListing(actions.posts).summary(DEFAULT_TENANT) == before
    page = await actions.page(DEFAULT_TENANT, ActionFilter(target=target), 2)
    assert ([each.id for each in page.actions], page.before) == ([made[2], made[1]], made[1])
    older = await actions.page(DEFAULT_TENANT, ActionFilter(target=target, before=page.before))
    assert [each.id for each in older.actions] == [made[0]]
    assert [each.id for each in await actions.on_post(DEFAULT_TENANT, post)] == made
    with pytest.raises(PostError, match="no such action"):
        await actions.one(DEFAULT_TENANT, post)
    for change in (
        Edits(actions.posts).publish(DEFAULT_TENANT, SOMEBODY, made[0]),
        Edits(actions.posts).edit(DEFAULT_TENANT, SOMEBODY, made[0], EditBody(content="B"), may_approve=True),
    ):
        with pytest.raises(PostError, match="no post"):
            await change

    rows = (
        "SELECT target_id, is_action, parent_id, kind, state, object_id, object_kind, s::text"
        " FROM social_posts s ORDER BY target_id"
    )
    await Projector(publishing.rig.pool, wiring.projections(), tries=1).drain()
    kept = await publishing.rig.raw(rows)
    assert [(each["target_id"], each["is_action"], each["parent_id"]) for each in kept] == [
        (target, False, None),
        *((id_, True, target) for id_ in made),
    ]
    own_id = (await publishing.row(target))["platform_post_id"]
    assert [(each["object_id"], each["object_kind"]) for each in kept] == [
        (None, None),
        *((own_id, "post") for _ in made),
    ], "whoever reads the log knows what changed there"
    await publishing.rig.raw(
        "UPDATE social_posts SET state = 'failed', kind = 'text', parent_id = NULL, object_id = NULL, object_kind = 'x'"
    )
    code, output = await command(publishing.rig.dsn, "rebuild")
    assert (code, await publishing.rig.raw(rows)) == (0, kept), output


@pytest.mark.parametrize("there", [True, False])
async def test_person_decides_an_action_of_which_nothing_tells(
    publishing: Posting, actions: Actions, *, there: bool
) -> None:
    connection = await connected(publishing, "facebook")
    target = await own_post(publishing, connection, "facebook")
    acted = await ask(actions, kind="reply", target=target, content=ANSWER)
    assert acted.action is not None
    id_ = acted.action.id
    case = Case("facebook", "comment", "POST */comments")
    row = await run_on(publishing, id_, faulty(publishing, "lost_before", case))
    assert (row["state"], row["retryable"], row["evidence"] is not None) == ("unconfirmed", False, True)
    assert (await ask(actions, kind="reply", target=target, content=ANSWER)).result == "exists"
    with pytest.raises(PostError, match="Nothing of this failed"):
        await actions.retry(DEFAULT_TENANT, SOMEBODY, id_)
    assert (await actions.cancel(DEFAULT_TENANT, SOMEBODY, id_)).reasons[id_].startswith("it may be published")
    if there:
        with pytest.raises(PostError, match="Neither its id nor its address"):
            await actions.confirm(DEFAULT_TENANT, SOMEBODY, id_, ActionConfirmBody(there=True))
    seen = ActionConfirmBody(there=there, post_id="77_1" if there else "", evidence="I looked")
    await actions.confirm(DEFAULT_TENANT, SOMEBODY, id_, seen)
    row = await publishing.run(id_)
    said = [each for each in await publishing.shown("facebook") if each["text"] == ANSWER]
    assert (row["state"], len(said)) == ("published", 0 if there else 1)
    [entry] = await publishing.rig.raw(
        "SELECT detail FROM audit_log WHERE action LIKE 'post.%' AND detail ? 'evidence'"
    )
    assert json.loads(entry["detail"])["evidence"] == "I looked"


async def test_change_is_confirmed_without_an_id(publishing: Posting, actions: Actions) -> None:
    connection = await connected(publishing, "facebook")
    target = await own_post(publishing, connection, "facebook")
    acted = await ask(actions, kind="delete_post", target=target)
    assert acted.action is not None
    await publishing.rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
    put = "UPDATE post_targets SET state = 'unconfirmed', due_at = NULL WHERE id = $1::uuid"
    await publishing.rig.raw(put, acted.action.id)
    await publishing.rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")
    await actions.confirm(DEFAULT_TENANT, SOMEBODY, acted.action.id, ActionConfirmBody(there=True))
    [post] = await actions.on_post(DEFAULT_TENANT, str((await publishing.row(target))["post_id"]))
    assert str(post.targets[0].state) == "published"


async def test_requests_side_by_side_make_one_answer(publishing: Posting, actions: Actions) -> None:
    connection = await connected(publishing, "mastodon")
    asked = {"kind": "reply", "connection": connection, "object": "77", "content": "Tea"}
    done = await asyncio.gather(*(ask(actions, **asked) for _ in range(4)))
    assert sorted(each.result for each in done) == ["created", "exists", "exists", "exists"]
    assert len({each.action.id for each in done if each.action is not None}) == 1


async def test_answer_holds_a_file_with_its_text_for_who_cannot_see_it(publishing: Posting, actions: Actions) -> None:
    connection = await connected(publishing, "mastodon")
    post = await own_post(publishing, connection, "mastodon")
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    media = [{"id": picture, "alt_text": "a kettle"}]
    acted = await ask(actions, kind="reply", target=post, content=ANSWER, media=media)
    assert acted.action is not None
    row = await publishing.run(acted.action.id)
    [said] = [each for each in await publishing.shown("mastodon") if each["text"] == ANSWER]
    assert (row["kind"], row["state"], said["reply_to"]) == (
        *("images", "published"),
        (await publishing.row(post))["platform_post_id"],
    )
    assert [file["alt_text"] for file in said["files"]] == ["a kettle"]


async def test_nothing_is_done_that_was_due_before_the_database_was_restored(
    publishing: Posting, actions: Actions
) -> None:
    connection = await connected(publishing, "facebook")
    target = await own_post(publishing, connection, "facebook")
    acted = await ask(actions, kind="delete_post", target=target)
    assert acted.action is not None
    await publishing.rig.raw("UPDATE database_incarnations SET incarnation = 'another'")
    row = await publishing.run(acted.action.id)
    assert (row["state"], row["error_code"]) == ("unconfirmed", "restored"), dict(row)
    assert await publishing.rig.sandbox.ledger("change", platform="facebook") == []
    await actions.confirm(DEFAULT_TENANT, SOMEBODY, acted.action.id, ActionConfirmBody(there=False))
    assert (await publishing.run(acted.action.id))["state"] == "published"


async def test_answers_use_up_no_quota_of_posts(publishing: Posting, actions: Actions) -> None:
    connection = await connected(publishing, "x")
    long = await refused(actions, kind="reply", connection=connection, object="77", content="x" * 281)
    assert codes(long) == {"text_length"}
    await ask(actions, kind="reply", connection=connection, object="77", content="Tea")
    asked = {"content": "Tea", "targets": [{"connection": connection}], "action": "publish"}
    created = await actions.posts.create(DEFAULT_TENANT, SOMEBODY, read(PostBody, asked))
    assert [each.result for each in created.results] == ["created"], "an answer of the same text is another thing"
    assert "second_post_soon" not in {each["code"] for each in created.findings}
