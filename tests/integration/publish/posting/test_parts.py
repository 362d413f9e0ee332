"""Further parts of a thread and first comments may have files of their own, where the platform takes them there."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from publish.posting.errors import PostError
from publish.posting.requests import EditBody, PostBody, RetryBody, read
from schema.tenancy import DEFAULT_TENANT
from tests.integration.publish.posting.test_posts import AUTHOR
from tests.posting import Posting, posting
from tests.rig import Rig
from tests.support import command


@pytest.fixture
async def publishing(rig: Rig) -> AsyncIterator[Posting]:
    async with posting(rig) as found:
        yield found


def pictures(publishing: Posting, count: int) -> list[str]:
    add = publishing.media.add
    return [add("picture.jpg", "image/jpeg", size=20_000 + n, width=640, height=640) for n in range(count)]


def sized(publishing: Posting, ids: list[str]) -> list[int]:
    return [publishing.media.files[id_][1].size for id_ in ids]


async def create(publishing: Posting, account: str, **document: Any) -> Any:
    target = {"connection": account, **document.pop("target", {})}
    body = read(PostBody, {"content": "One", "targets": [target], "action": "publish", **document})
    created = await publishing.posts.create(DEFAULT_TENANT, AUTHOR, body)
    assert created.post is not None
    return created.post


async def refusals(publishing: Posting, account: str, **document: Any) -> dict[str, Any]:
    with pytest.raises(PostError) as caught:
        await create(publishing, account, **document)
    found = caught.value.details["findings"]
    assert isinstance(found, list)
    return {each["item"]: each for each in found if each["severity"] == "refusal"}


@pytest.mark.parametrize("platform", ["x", "mastodon", "threads"])
async def test_parts_and_first_comment_show_files_of_their_own(publishing: Posting, platform: str) -> None:
    [account, *_] = await publishing.rig.connect(platform)
    ids = pictures(publishing, 5)
    if platform == "threads":  # its first comments need a permission that the account did not grant
        comment: dict[str, Any] = {}
        shown = {"One": [ids[0]], "Two": [ids[1]], "Three": [], "": ids[2:4]}
    else:
        comment = {"options": {"first_comment": "In the shop"}, "first_comment_media": [ids[4]]}
        shown = {"One": [ids[0]], "Two": [ids[1]], "Three": [], "": ids[2:4], "In the shop": [ids[4]]}
    post = await create(
        publishing,
        account,
        media=[ids[0]],
        thread=[{"content": "Two", "media": [{"id": ids[1], "alt_text": "a cup"}]}, "Three", {"media": ids[2:4]}],
        target=comment,
    )
    assert [[each.id for each in target.media] for target in post.targets] == [[], *list(shown.values())[1:]]
    for target in post.targets:
        row = await publishing.run(target.id)
        assert row["state"] == "published", (target.position, dict(row))
    posts = {each["text"]: each for each in await publishing.shown(platform)}
    found = {text: [file["bytes"] for file in each["files"]] for text, each in posts.items()}
    if platform == "threads":  # it fetches what the sandbox has under the same name
        assert {text: len(each) for text, each in found.items()} == {text: len(each) for text, each in shown.items()}
    else:
        assert found == {text: sized(publishing, ids_) for text, ids_ in shown.items()}
    above = {text: each["reply_to"] for text, each in posts.items()}
    ids_of = {text: each["id"] for text, each in posts.items()}
    assert above.pop("In the shop", ids_of["One"]) == ids_of["One"]
    assert above == {"One": None, "Two": ids_of["One"], "Three": ids_of["Two"], "": ids_of["Three"]}
    assert posts["Two"]["files"][0]["alt_text"] == "a cup"
    kept = [json.loads((await publishing.row(target.id))["kept"]) for target in post.targets]
    bound = [id_ for each in kept for id_ in each.get("media_ids", each.get("files", each.get("children", [])))]
    assert len(bound) == len(set(bound)), "what was uploaded is bound to one target"


async def test_thread_goes_on_at_its_first_missing_part_with_that_parts_files(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    ids = pictures(publishing, 3)
    thread = [{"content": "Two", "media": [ids[1]]}, {"content": "Three", "media": [ids[2]]}]
    post = await create(publishing, account, media=[ids[0]], thread=thread)
    first, second, third = (target.id for target in post.targets)
    await publishing.run(first)
    refused = {"endpoint": "POST /2/tweets", "status": 400, "body": {"title": "Invalid Request"}, "times": 20}
    await publishing.rig.sandbox.command("faults", platform="x", **refused)
    assert (await publishing.run(second))["state"] == "failed"
    assert [(await publishing.row(id_))["state"] for id_ in (first, third)] == ["published", "scheduled"]
    await publishing.rig.sandbox.clear_faults()
    await publishing.lifecycle.retry(DEFAULT_TENANT, AUTHOR, post.id, RetryBody())
    for id_ in (second, third):
        row = await publishing.run(id_)
        assert row["state"] == "published", dict(row)
    posts = await publishing.shown("x")
    assert [(each["text"], [file["bytes"] for file in each["files"]]) for each in posts] == [
        (text, sized(publishing, [id_])) for text, id_ in zip(("One", "Two", "Three"), ids, strict=True)
    ]


@pytest.mark.parametrize("platform", ["instagram", "facebook", "linkedin"])
async def test_platform_that_takes_text_alone_below_a_post_says_so_of_the_part_and_the_file(
    publishing: Posting, platform: str
) -> None:
    [account, *_] = await publishing.rig.connect(platform)
    ids = pictures(publishing, 2)
    found = await refusals(
        publishing,
        account,
        media=[ids[0]],
        thread=[{"content": "Two", "media": [ids[1]]}],
        target={"options": {"first_comment": "Three"}, "first_comment_media": [ids[1]]},
    )
    for item, name in (("part 2 media 1", "Part 2"), ("first comment media 1", "First comment")):
        assert found[item]["code"] == "media_not_possible"
        assert found[item]["message"].startswith(f"{name} has a file; ")
        assert "takes text alone below a post" in found[item]["message"]


async def test_files_of_a_part_are_compared_with_what_the_platform_says_and_named(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    [picture] = pictures(publishing, 1)
    large = publishing.media.add("large.jpg", "image/jpeg", size=6 * 2**20, width=640, height=640)
    paper = publishing.media.add("paper.pdf", "application/pdf", size=100)
    found = await refusals(
        publishing,
        account,
        thread=[
            {"content": "Two", "media": [picture, {"id": large, "alt_text": "x" * 1001}]},
            {"content": "x" * 281},
            {"content": "Four", "media": [paper]},
            {},
        ],
    )
    assert {item: each["code"] for item, each in found.items()} == {
        "part 2 media 2": "alt_text_length",
        "part 3 text": "text_length",
        "part 4 media 1": "media_kind",
        "part 5 post": "text_missing",
    }
    assert found["part 2 media 2"]["message"].startswith("Part 2: The alternative text of image 2 of 2")
    assert await publishing.rig.raw("SELECT 1 FROM posts") == []


async def test_part_needs_the_permission_for_files_though_the_post_has_none(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    query = "UPDATE connections SET scopes = array_remove(scopes, 'media.write') WHERE id = $1::uuid"
    await publishing.rig.raw(query, account)
    assert await create(publishing, account, thread=["Two"])
    [picture] = pictures(publishing, 1)
    found = await refusals(publishing, account, content="Another", thread=[{"content": "Two", "media": [picture]}])
    assert found["part 2 post"]["code"] == "scope_not_authorized"


async def test_file_that_is_gone_is_named_with_the_part_that_has_it(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    gone = "0198a000-0000-7000-8000-000000000000"
    for document, words in (
        ({"thread": ["Two", {"content": "Three", "media": [gone]}]}, "file 1 of part 3"),
        (
            {"target": {"options": {"first_comment": "C"}, "first_comment_media": [gone]}},
            "file 1 of the first comment",
        ),
    ):
        with pytest.raises(PostError, match=words):
            await create(publishing, account, **document)
    [picture] = pictures(publishing, 1)
    with pytest.raises(PostError, match="A first comment has files and no text"):
        await create(publishing, account, target={"first_comment_media": [picture]})


async def test_files_of_a_part_are_changed_until_publishing_begins_and_those_of_the_rest_stay(
    publishing: Posting,
) -> None:
    [account] = await publishing.rig.connect("x")
    ids = pictures(publishing, 4)
    options = {"first_comment": "C"}
    post = await create(
        publishing,
        account,
        action="draft",
        media=[ids[0]],
        thread=[{"content": "Two", "media": [ids[1]]}, "Three"],
        target={"options": options, "first_comment_media": [ids[3]]},
    )
    second, third = post.targets[1].id, post.targets[2].id

    async def edit(**fields: Any) -> Any:
        body = read(EditBody, fields)
        return await publishing.edits.edit(DEFAULT_TENANT, AUTHOR, post.id, body, may_approve=False)

    assert not (await edit(targets=[{"id": second, "media": [ids[1]]}])).changed, "the same already"
    changed = await edit(
        targets=[{"id": second, "media": []}, {"id": third, "media": [{"id": ids[2], "alt_text": "a cup"}]}]
    )
    assert changed.changed
    assert [(t.kind, [each.id for each in t.media]) for t in changed.post.targets] == [
        ("images", []),
        ("text", []),
        ("images", [ids[2]]),
        ("images", [ids[3]]),
    ]
    assert changed.post.targets[2].media[0].alt_text == "a cup"
    changed = await edit(media=[ids[1]], targets=[{"id": post.targets[0].id, "options": {"first_comment": "D"}}])
    assert [each.id for each in changed.post.media] == [ids[1]]
    assert [[each.id for each in t.media] for t in changed.post.targets] == [[], [], [ids[2]], [ids[3]]]
    assert [t.content for t in changed.post.targets[1:]] == ["Two", "Three", "D"]
    with pytest.raises(PostError, match="The files of an account are those of the post"):
        await edit(targets=[{"id": post.targets[0].id, "media": [ids[0]]}])


async def test_same_thread_with_another_file_is_another_post(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    first, second = pictures(publishing, 2)
    posts = [
        (await create(publishing, account, thread=[{"content": "Two", "media": [id_]}])).id
        for id_ in (first, first, second)
    ]
    assert (posts[0] == posts[1], posts[1] == posts[2]) == (True, False)


async def test_command_gives_files_to_the_parts_that_it_names(publishing: Posting, database: str) -> None:
    code, said = await command(database, "posts", "create", "--content", "x", "--thread-media", "2", "0198" + "0" * 28)
    assert (code, "names part 2, and there are 1 parts" in said) == (2, True)
    code, said = await command(database, "posts", "create", "--content", "x", "--thread-alt-text", "t")
    assert (code, "more --thread-alt-text than --thread-media" in said) == (2, True)
    [account] = await publishing.rig.connect("x")
    id_ = "0198a000-0000-7000-8000-000000000000"
    arguments = ("--connection", account, "--content", "One", "--thread", "Two", "--thread-media", "2", id_)
    code, said = await command(database, "posts", "create", *arguments, "--dry-run")
    assert (code, f"There is no file {id_}, which is file 1 of part 2" in said) == (1, True), said


async def test_log_says_of_each_part_what_it_shows(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    ids = pictures(publishing, 3)
    post = await create(
        publishing, account, action="draft", media=[ids[0]], thread=[{"content": "Two", "media": ids[1:]}, "Three"]
    )
    query = "SELECT payload_json->>'target_id', payload_json->>'media_ids' FROM webhook_event_log WHERE source = 'own'"
    said = {row[0]: row[1] for row in await publishing.rig.raw(f"{query} AND event_type = 'target.draft'")}
    shown = ([ids[0]], ids[1:], [])
    assert said == {target.id: " ".join(each) for target, each in zip(post.targets, shown, strict=True)}
