"""Campaign parameters of a post: what is counted, stored, sent and looked for at each account has them."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.access.audit_log_store import Actor
from publish.posting.descriptions import post_document
from publish.posting.errors import PostError
from publish.posting.post_store import StoredPost
from publish.posting.requests import ApproveBody, EditBody, PostBody, read
from publish.posting.results import Created
from schema.tenancy import DEFAULT_TENANT
from tests.posting import Posting, posting
from tests.rig import Rig

AUTHOR, OWNER = Actor("author@example.org"), Actor("owner@example.org")
LINK = "https://example.org/tea?a=1"


class Desk(Posting):
    """Somebody who posts links at one account of X and one of Mastodon."""

    x: str
    mastodon: str

    async def create(self, content: str, *accounts: str, **more: Any) -> Created:
        targets = [{"connection": id_} for id_ in accounts]
        body = read(PostBody, {"content": content, "targets": targets, "utm": True, "campaign_id": "spring"} | more)
        return await self.posts.create(DEFAULT_TENANT, AUTHOR, body)

    async def made(self, content: str, *accounts: str, **more: Any) -> StoredPost:
        created = await self.create(content, *accounts, **more)
        assert created.post is not None
        return created.post

    async def edit(self, id_: str, **fields: Any) -> StoredPost:
        body = read(EditBody, fields)
        return (await self.edits.edit(DEFAULT_TENANT, AUTHOR, id_, body, may_approve=False)).post


@pytest.fixture
async def desk(rig: Rig) -> AsyncIterator[Desk]:
    async with posting(rig) as found:
        made = Desk(found.rig, found.driver, found.media, found.posts)
        [made.x] = await rig.connect("x")
        [made.mastodon] = await rig.connect("mastodon")
        yield made


def tagged(platform: str, campaign: str = "spring") -> str:
    return f"{LINK}&utm_source={platform}&utm_medium=social&utm_campaign={campaign}"


def contents(post: StoredPost) -> dict[str, str | None]:
    return {target.platform: target.content for target in post.targets}


async def test_links_of_a_post_get_the_parameters_of_each_platform(desk: Desk) -> None:
    post = await desk.made(f"Tea: {LINK}.", desk.x, desk.mastodon, hashtags=["tea"], action="publish")
    for target in post.targets:
        assert (await desk.run(target.id))["state"] == "published"
        [shown] = await desk.shown(target.platform)
        assert shown["text"] == f"Tea: {tagged(target.platform)}.\n\n#tea"
    document: Any = post_document(post)
    assert (document["utm"], document["content"]) == (True, f"Tea: {LINK}.")
    assert {each["platform"]: each["text"] for each in document["targets"]} == {
        name: f"Tea: {tagged(name)}.\n\n#tea" for name in ("x", "mastodon")
    }
    said = await desk.rig.raw("SELECT payload_json->>'content' FROM webhook_event_log WHERE event_type LIKE 'target.%'")
    assert {row[0] for row in said} == {f"Tea: {tagged(name)}.\n\n#tea" for name in ("x", "mastodon")}


async def test_nothing_is_added_unless_it_is_asked_for(desk: Desk) -> None:
    post = await desk.made(f"Tea: {LINK}", desk.x, utm=False)
    assert (post.utm, contents(post)) == (False, {"x": None})
    document: Any = post_document(post)
    assert document["targets"][0]["text"] == f"Tea: {LINK}"


async def test_further_parts_and_own_texts_get_them_too(desk: Desk) -> None:
    targets = [{"connection": desk.mastodon, "content": f"Own: {LINK}"}]
    post = await desk.made("Tea", targets=targets, thread=[f"More: {LINK}", "No link"])
    assert [target.content for target in post.targets] == [
        f"Own: {tagged('mastodon')}",
        f"More: {tagged('mastodon')}",
        "No link",
    ]
    assert [target.written for target in post.targets] == [f"Own: {LINK}", f"More: {LINK}", "No link"]


async def test_parts_with_files_and_the_first_comment_get_them_and_keep_their_files(desk: Desk) -> None:
    add = desk.media.add
    one, two = (add("picture.jpg", "image/jpeg", size=20_000 + n, width=640, height=640) for n in range(2))
    comment = {"options": {"first_comment": f"Also: {LINK}"}, "first_comment_media": [two]}
    thread = [{"content": f"More: {LINK}", "media": [{"id": one, "alt_text": "a cup"}]}]
    post = await desk.made("Tea", targets=[{"connection": desk.mastodon, **comment}], thread=thread)
    assert [target.content for target in post.targets] == [
        None,
        f"More: {tagged('mastodon')}",
        f"Also: {tagged('mastodon')}",
    ]
    post = await desk.edit(post.id, campaign_id="autumn")
    texts = [f"{words}: {tagged('mastodon', 'autumn')}" for words in ("More", "Also")]
    assert [target.content for target in post.targets] == [None, *texts]
    assert [[each.id for each in target.media] for target in post.targets] == [[], [one], [two]]
    await desk.edits.publish(DEFAULT_TENANT, AUTHOR, post.id)
    for target in post.targets:
        assert (await desk.run(target.id))["state"] == "published"
    shown = {each["text"]: [file["bytes"] for file in each["files"]] for each in await desk.shown("mastodon")}
    assert shown == {"Tea": [], texts[0]: [20_000], texts[1]: [20_001]}


async def test_part_that_is_too_long_with_the_parameters_only_is_refused(desk: Desk) -> None:
    [threads, *_] = await desk.rig.connect("threads")
    text = f"{LINK} {'x' * (500 - len(LINK) - 1)}"
    await desk.create("Tea", threads, utm=False, thread=[text], action="publish", dry_run=True)
    with pytest.raises(PostError, match=f"Part 2: .*{len(text) + len(tagged('threads')) - len(LINK)} characters"):
        await desk.create("Tea", threads, thread=[text], action="publish", dry_run=True)


async def test_lost_answer_is_found_by_the_text_with_the_parameters(desk: Desk) -> None:
    post = await desk.made(f"Tea: {LINK}", desk.x, action="publish")
    await desk.rig.sandbox.command("faults", platform="x", endpoint="POST /2/tweets", effect=True, drop=True)
    row = await desk.run(post.targets[0].id)
    [shown] = await desk.shown("x")
    assert (row["state"], row["platform_post_id"]) == ("published", shown["id"])


async def test_same_content_is_known_by_what_is_shown(desk: Desk) -> None:
    first = await desk.create(f"Tea: {LINK}", desk.x, action="publish")
    assert (await desk.create(f"Tea: {LINK}", desk.x, action="publish")).results[0].result == "exists"
    by_hand = await desk.create(f"Tea: {tagged('x')}", desk.x, action="publish", utm=False)
    assert (by_hand.results[0].result, by_hand.results[0].post) == ("exists", first.results[0].post)
    other = await desk.create(f"Tea: {LINK}", desk.x, action="publish", campaign_id="autumn")
    assert other.results[0].result == "created"


async def test_edit_of_the_campaign_changes_the_links_and_asks_for_another_approval(desk: Desk) -> None:
    soon = f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    targets = [{"connection": desk.x}, {"connection": desk.mastodon, "content": f"Own: {LINK}"}]
    post = await desk.made(f"Tea: {LINK}", targets=targets, scheduled_time=soon, needs_approval=True)
    await desk.lifecycle.approve(DEFAULT_TENANT, OWNER, post.id, ApproveBody(version=1))
    changed = await desk.edit(post.id, campaign_id="autumn")
    assert (changed.version, changed.approved) == (2, False)
    assert contents(changed) == {
        "x": f"Tea: {tagged('x', 'autumn')}",
        "mastodon": f"Own: {tagged('mastodon', 'autumn')}",
    }
    assert {target.digest for target in changed.targets}.isdisjoint(target.digest for target in post.targets)
    same = await desk.edit(post.id, campaign_id="autumn", utm=True)
    assert same.version == 2
    off = await desk.edit(post.id, utm=False)
    assert (off.version, contents(off)) == (3, {"x": None, "mastodon": f"Own: {LINK}"})
    assert all(target.untagged is None for target in off.targets)


async def test_text_that_was_read_with_the_parameters_can_be_sent_back(desk: Desk) -> None:
    post = await desk.made(f"Tea: {LINK}", desk.mastodon, thread=[f"More: {LINK}"])
    edits = [{"id": target.id, "content": target.content} for target in post.targets]
    changed = await desk.edit(post.id, targets=edits)
    assert [target.content for target in changed.targets] == [target.content for target in post.targets]


async def test_shared_page_has_the_parameters_of_each_account(rig: Rig, desk: Desk) -> None:
    [linkedin] = await rig.connect("linkedin")
    targets = [{"connection": linkedin, "options": {"title": "About tea"}}]
    created = await desk.create("Tea", targets=targets, link={"url": LINK}, action="publish")
    assert created.post is not None
    [target] = created.post.targets
    assert target.link_url == tagged("linkedin")
    await rig.sandbox.command("faults", platform="linkedin", endpoint="POST /rest/posts", effect=True, drop=True)
    await desk.run(target.id)
    [shown] = await desk.shown("linkedin")
    assert shown["options"]["content"]["article"]["source"] == tagged("linkedin")
    again = await desk.create("Tea", targets=targets, link={"url": LINK}, action="publish")
    assert again.results[0].result == "exists"


async def test_text_that_is_too_long_with_the_parameters_only_is_refused(desk: Desk) -> None:
    [linkedin] = await desk.rig.connect("linkedin")
    text = f"{LINK} {'x' * (3000 - len(LINK) - 1)}"
    await desk.create(text, linkedin, utm=False, action="publish", dry_run=True)
    with pytest.raises(PostError, match=f"{len(text) + len(tagged('linkedin')) - len(LINK)} characters"):
        await desk.create(text, linkedin, action="publish", dry_run=True)


async def test_first_comment_follows_a_change_of_the_campaign(desk: Desk) -> None:
    [linkedin] = await desk.rig.connect("linkedin")
    targets = [{"connection": linkedin, "options": {"first_comment": f"More: {LINK}"}}]
    post = await desk.made("Tea", targets=targets)
    assert [target.content for target in post.targets] == [None, f"More: {tagged('linkedin')}"]
    changed = await desk.edit(post.id, campaign_id="autumn")
    assert [target.content for target in changed.targets] == [None, f"More: {tagged('linkedin', 'autumn')}"]
    options = {"first_comment": f"Less: {LINK}"}
    changed = await desk.edit(post.id, targets=[{"id": post.targets[0].id, "options": options}])
    assert [target.content for target in changed.targets] == [None, f"Less: {tagged('linkedin', 'autumn')}"]
    await desk.edits.publish(DEFAULT_TENANT, AUTHOR, post.id)
    for target in changed.targets:
        assert (await desk.run(target.id))["state"] == "published"
    shown = [each["text"] for each in await desk.shown("linkedin")]
    assert shown == ["Tea", f"Less: {tagged('linkedin', 'autumn')}"]
