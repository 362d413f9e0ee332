"""What is tried again is compared with what its platform says now, and refused with the words of the first time."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from ops.access.audit_log_store import Actor
from publish.posting.actions import Actions
from publish.posting.errors import PostError
from publish.posting.post_store import Account, StoredPost
from publish.posting.requests import ActionBody, ConfirmBody, PostBody, RetryBody, read
from publish.preflight.contract import AccountFacts
from schema.tenancy import DEFAULT_TENANT
from tests.posting import Posting, posting
from tests.rig import Rig

AUTHOR = Actor("author@example.org")


class Desk(Posting):
    """Somebody with accounts whose posts failed."""

    async def made(self, account: str, *, media: Sequence[str] = (), **more: Any) -> StoredPost:
        body = {"content": "Tea", "media": list(media), "targets": [{"connection": account}], "action": "publish"}
        created = await self.posts.create(DEFAULT_TENANT, AUTHOR, read(PostBody, {**body, **more}))
        assert created.post is not None
        return created.post

    async def put(self, id_: str, state: str) -> None:
        await self.rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
        await self.rig.raw(
            "UPDATE post_targets SET state = $2, error_code = 'spam', due_at = NULL WHERE id = $1::uuid", id_, state
        )
        await self.rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")

    async def failed(self, account: str, **more: Any) -> StoredPost:
        post = await self.made(account, **more)
        await self.put(post.targets[0].id, "failed")
        return post

    async def refused(self, post: StoredPost, **body: Any) -> PostError:
        with pytest.raises(PostError) as caught:
            await self.lifecycle.retry(DEFAULT_TENANT, AUTHOR, post.id, RetryBody(**body))
        [first, *_] = (await self.listing.one(DEFAULT_TENANT, post.id)).targets
        assert (first.state, first.attempt) in (("failed", 1), ("published", 1)), "nothing of it was begun"
        return caught.value

    def picture(self) -> str:
        return self.media.add("picture.jpg", "image/jpeg", width=640, height=640)


@pytest.fixture
async def desk(rig: Rig) -> AsyncIterator[Desk]:
    async with posting(rig) as found:
        yield Desk(found.rig, found.driver, found.media, found.posts)


def codes(error: PostError) -> set[str]:
    found: Any = error.details["findings"]
    return {each["code"] for each in found if each["severity"] == "refusal"}


async def test_quota_that_the_platform_or_the_ledger_says_is_used_up_refuses_another_try(desk: Desk) -> None:
    [account] = await desk.rig.connect("instagram")
    post = await desk.failed(account, media=[desk.picture()])
    asked: list[str] = []

    async def ask(_: str, about: Account) -> AccountFacts:
        asked.append(about.id)
        return AccountFacts(quota_left=0, quota_resets_at=datetime(2099, 1, 1, tzinfo=UTC))

    ledger, desk.posts = desk.posts, replace(desk.posts, ask=ask)
    error = await desk.refused(post)
    assert (error.code, error.status, asked) == ("rate_limit_exceeded", 422, [account])
    publisher = ledger.publishers["instagram"]
    [quota] = publisher.rules.quotas
    rules = replace(publisher.rules, quotas=(replace(quota, posts=1),))
    desk.posts = replace(ledger, publishers={**ledger.publishers, "instagram": replace(publisher, rules=rules)})
    await desk.made(account, media=[desk.picture()], content="Coffee")
    assert (await desk.refused(post)).code == "rate_limit_exceeded"


async def test_permission_connection_and_file_that_are_gone_refuse_another_try_and_say_so(desk: Desk) -> None:
    [account] = await desk.rig.connect("mastodon")
    picture = desk.picture()
    post = await desk.failed(account, media=[picture])
    [[scopes]] = await desk.rig.raw("SELECT scopes FROM connections")
    await desk.rig.raw("UPDATE connections SET scopes = ARRAY['read']")
    assert (await desk.refused(post)).code == "scope_not_authorized"
    await desk.rig.raw("UPDATE connections SET scopes = $1", scopes)
    kept = desk.media.files.pop(picture)
    gone = await desk.refused(post)
    assert (gone.code, "upload it" in gone.remedy) == ("unprocessable", True)
    assert picture in gone.message
    desk.media.files[picture] = kept
    await desk.rig.raw("UPDATE connections SET state = 'needs_reconnect', reason = 'a test'")
    error = await desk.refused(post)
    assert (error.code, codes(error)) == ("access_token_invalid", {"access_token_invalid"})
    assert (await desk.lifecycle.retry_all(DEFAULT_TENANT, AUTHOR, "spam", None)).document == {
        "retried": 0,
        "refused": 1,
    }
    await desk.rig.connect("mastodon")
    await desk.lifecycle.retry(DEFAULT_TENANT, AUTHOR, post.id, RetryBody())
    assert (await desk.run(post.targets[0].id))["state"] == "published"


async def test_part_is_tried_again_by_its_own_files_and_not_by_those_of_what_is_published(desk: Desk) -> None:
    [account] = await desk.rig.connect("mastodon")
    above, below = desk.picture(), desk.picture()
    post = await desk.made(account, media=[above], thread=[{"content": "Two", "media": [below]}])
    first, second = (target.id for target in post.targets)
    assert (await desk.run(first))["state"] == "published"
    await desk.put(second, "failed")
    del desk.media.files[above]
    kept = desk.media.files.pop(below)
    gone = await desk.refused(post)
    assert (below in gone.message, "part 2" in gone.message) == (True, True)
    desk.media.files[below] = kept
    await desk.rig.raw("UPDATE connections SET scopes = ARRAY['read']")
    error = await desk.refused(post, target=second)
    assert (error.code, codes(error)) == ("scope_not_authorized", {"scope_not_authorized"})
    await desk.rig.raw("UPDATE connections SET scopes = ARRAY['read', 'write', 'push']")
    await desk.lifecycle.retry(DEFAULT_TENANT, AUTHOR, post.id, RetryBody())
    row = await desk.run(second)
    assert row["state"] == "published", dict(row)


async def test_what_is_not_there_is_not_posted_again_where_that_is_refused_now(desk: Desk) -> None:
    [account] = await desk.rig.connect("mastodon")
    post = await desk.made(account)
    await desk.put(post.targets[0].id, "unconfirmed")
    await desk.rig.raw("UPDATE connections SET scopes = ARRAY['read']")
    body = ConfirmBody(target=post.targets[0].id, there=False)
    [target] = (await desk.lifecycle.confirm(DEFAULT_TENANT, AUTHOR, post.id, body)).post.targets
    assert (target.state, target.attempt, target.error_code) == ("failed", 1, "not_there")
    assert (target.error_message or "").startswith("Somebody looked, and it is not there. It is not sent again: ")
    await desk.driver.drain()
    assert await desk.shown("mastodon") == []


async def test_action_is_tried_again_only_on_what_is_still_there_and_was_not_acted_on(desk: Desk) -> None:
    [account] = await desk.rig.connect("mastodon")
    actions = Actions(desk.posts)

    async def asked(content: str, **more: Any) -> StoredPost:
        body = read(ActionBody, {"kind": "reply", "target": target, "content": content, **more})
        acted = await actions.create(DEFAULT_TENANT, AUTHOR, body)
        assert acted.action is not None
        return acted.action

    target = (await desk.made(account)).targets[0].id
    await desk.run(target)
    failed = await asked("Thank you")
    await desk.put(failed.id, "failed")
    anew = await asked("Thank you")
    with pytest.raises(PostError, match="asked for again less than a day ago"):
        await actions.retry(DEFAULT_TENANT, AUTHOR, failed.id)
    await desk.lifecycle.cancel(DEFAULT_TENANT, AUTHOR, anew.id)
    await desk.rig.raw("UPDATE connections SET scopes = ARRAY['read']")
    with pytest.raises(PostError) as caught:
        await actions.retry(DEFAULT_TENANT, AUTHOR, failed.id)
    assert caught.value.code == "scope_not_authorized"
    await desk.rig.raw("UPDATE connections SET scopes = ARRAY['read', 'write', 'push']")
    changed = await actions.retry(DEFAULT_TENANT, AUTHOR, failed.id)
    assert changed.post.targets[0].attempt == 2
    assert (await desk.run(failed.id))["state"] == "published"
