"""What people and programs may do with posts, from a draft to the decision on one whose outcome nothing tells."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.access.audit_log_store import Actor
from publish.posting import post_store
from publish.posting.errors import PostError
from publish.posting.lifecycle import RetriedAll
from publish.posting.post_store import PostFilter, StoredPost
from publish.posting.requests import ApproveBody, ConfirmBody, EditBody, PostBody, RetryBody, read
from publish.posting.results import Created
from schema.states import TargetState
from schema.tenancy import DEFAULT_TENANT
from tests.posting import PUBLISHERS, Posting, posting
from tests.rig import Rig

AUTHOR, OWNER = Actor("author@example.org"), Actor("owner@example.org")


class Desk(Posting):
    """Somebody who works with posts of one account of Instagram and a picture."""

    account: str
    picture: str

    def body(self, content: str = "Tea", **more: Any) -> PostBody:
        document = {"content": content, "media": [self.picture], "targets": [{"connection": self.account}], **more}
        return read(PostBody, document)

    async def made(self, content: str = "Tea", **more: Any) -> StoredPost:
        created = await self.create(content, **more)
        assert created.post is not None
        return created.post

    async def create(self, content: str = "Tea", **more: Any) -> Created:
        return await self.posts.create(DEFAULT_TENANT, AUTHOR, self.body(content, **more))

    async def refused(self, content: str = "Tea", **more: Any) -> PostError:
        with pytest.raises(PostError) as caught:
            await self.create(content, **more)
        return caught.value

    async def edit(self, id_: str, **fields: Any) -> Any:
        body = read(EditBody, fields)
        return await self.edits.edit(DEFAULT_TENANT, AUTHOR, id_, body, may_approve=False)

    async def one(self, id_: str) -> StoredPost:
        return await self.listing.one(DEFAULT_TENANT, id_)

    async def put(self, id_: str, **columns: Any) -> None:
        """Set columns of the target of a post, past what the states allow."""
        names = ", ".join(f"{name} = ${number}" for number, name in enumerate(columns, 2))
        await self.rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
        await self.rig.raw(f"UPDATE post_targets SET {names} WHERE id = $1::uuid", id_, *columns.values())
        await self.rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")

    async def audited(self, action: str) -> list[Any]:
        found = await self.rig.raw("SELECT actor, subject, detail FROM audit_log WHERE action = $1", action)
        return list(found)


@pytest.fixture
async def desk(rig: Rig) -> AsyncIterator[Desk]:
    async with posting(rig) as found:
        made = Desk(found.rig, found.driver, found.media, found.posts)
        [made.account] = await rig.connect("instagram")
        made.picture = found.media.add("picture.jpg", "image/jpeg", width=640, height=640)
        yield made


def later(**delta: float) -> dict[str, str]:
    """Some time from now, as it is asked for."""
    return {"scheduled_time": f"{datetime.now(UTC) + timedelta(**delta):%Y-%m-%dT%H:%M:%SZ}"}


def target(post: StoredPost) -> Any:
    [found] = post.targets
    return found


async def test_draft_is_not_worked_on_and_is_published_when_somebody_says_so(desk: Desk) -> None:
    post = await desk.made()
    assert (target(post).state, target(post).due_at, post.status) == ("draft", None, "pending")
    await desk.driver.drain()
    changed = await desk.edits.publish(DEFAULT_TENANT, AUTHOR, post.id)
    assert changed.changed
    row = await desk.run(target(post).id)
    assert row["state"] == "published", dict(row)
    again = await desk.edits.publish(DEFAULT_TENANT, AUTHOR, post.id)
    assert not again.changed
    assert len(await desk.shown("instagram")) == 1
    [created] = await desk.audited("post.created")
    assert (created["actor"], created["subject"]) == ("author@example.org", post.id)
    assert len(await desk.audited("post.published_now")) == 1


async def test_hashtags_are_below_the_text(desk: Desk) -> None:
    post = await desk.made(hashtags=["tea", "#green"], action="publish")
    await desk.run(target(post).id)
    [shown] = await desk.shown("instagram")
    assert shown["text"] == "Tea\n\n#tea #green"


async def test_key_answers_with_the_post_that_it_made_and_refuses_another_body(desk: Desk) -> None:
    first, second = await asyncio.gather(*(desk.create(idempotency_key="k", action="publish") for _ in range(2)))
    assert first.post is not None
    assert second.post is not None
    assert first.post.id == second.post.id
    assert {first.replayed, second.replayed} == {True, False}
    error = await desk.refused("Coffee", idempotency_key="k")
    assert (error.code, error.status, error.details["post"]) == ("conflict", 409, first.post.id)


async def test_same_content_for_the_same_account_is_answered_with_the_post_that_is_there(desk: Desk) -> None:
    made = await asyncio.gather(*(desk.create(action="publish") for _ in range(4)))
    assert len({created.post.id for created in made if created.post}) == 1
    assert sorted(created.results[0].result for created in made) == ["created", "exists", "exists", "exists"]
    [[count]] = await desk.rig.raw("SELECT count(*) FROM post_targets")
    assert count == 1
    on_purpose = await desk.create(action="publish", repeat=True)
    assert on_purpose.results[0].result == "created"
    assert target(await desk.one(on_purpose.post.id if on_purpose.post else "")).repeats


async def test_same_content_a_day_later_is_another_post(desk: Desk) -> None:
    await desk.made(**later(hours=1))
    near = await desk.create(**later(hours=24))
    assert near.results[0].result == "exists"
    assert (await desk.create(**later(hours=26))).results[0].result == "created"


async def test_story_beside_a_post_is_a_target_of_its_own_and_fails_alone(desk: Desk) -> None:
    """``meta.md`` 8.2 has no parameter that shares a post to the story: it is asked for as a second target."""
    beside = [
        {"connection": desk.account, "kind": "image"},
        {"connection": desk.account, "kind": "story", "content": ""},
    ]
    post = await desk.made(targets=beside, action="publish")
    targets = {each.kind: each.id for each in post.targets}
    await desk.rig.sandbox.command(
        "faults",
        platform="instagram",
        endpoint="POST */media",
        where={"media_type": "STORIES"},
        error="account_restricted",
    )
    rows = {kind: await desk.run(id_) for kind, id_ in targets.items()}
    assert {kind: row["state"] for kind, row in rows.items()} == {"image": "published", "story": "failed"}
    await desk.lifecycle.retry(DEFAULT_TENANT, AUTHOR, post.id, read(RetryBody, {"target": targets["story"]}))
    assert (await desk.run(targets["story"]))["state"] == "published"
    assert sorted(bool(each.get("story")) for each in await desk.shown("instagram")) == [False, True]


async def test_second_post_within_minutes_is_a_warning(desk: Desk) -> None:
    first = await desk.create(**later(minutes=30))
    assert "second_post_soon" not in [finding["code"] for finding in first.findings]
    second = await desk.create("Coffee", **later(minutes=35))
    assert "second_post_soon" in [finding["code"] for finding in second.findings]
    third = await desk.create("Cocoa", **later(minutes=50))
    assert "second_post_soon" not in [finding["code"] for finding in third.findings]


async def test_refusals_name_their_item_and_store_nothing(desk: Desk) -> None:
    error = await desk.refused(
        "x" * 2201, action="publish", targets=[{"connection": desk.account, "options": {"no": 1}}]
    )
    assert error.code == "unprocessable"
    found: Any = error.details["findings"]
    assert {("text_length", "text"), ("unknown_option", "option no")} <= {(f["code"], f["item"]) for f in found}
    assert {finding["connection"] for finding in found} == {desk.account}
    assert await desk.rig.raw("SELECT 1 FROM posts") == []
    dry = await desk.create(dry_run=True, action="publish")
    assert (dry.post, dry.results[0].result) == (None, "checked")
    assert await desk.rig.raw("SELECT 1 FROM posts") == []


async def test_account_that_needs_somebody_is_refused_by_the_user_s_code(desk: Desk) -> None:
    await desk.rig.raw("UPDATE connections SET state = 'needs_reconnect', reason = 'gone'")
    assert (await desk.refused(action="publish")).code == "access_token_invalid"


async def test_permission_that_is_missing_is_refused_by_the_user_s_code(desk: Desk) -> None:
    await desk.rig.raw("UPDATE connections SET scopes = '{instagram_business_basic}'")
    assert (await desk.refused(action="publish")).code == "scope_not_authorized"


async def test_more_posts_than_the_platform_takes_are_refused_with_the_numbers(desk: Desk) -> None:
    publisher = PUBLISHERS["instagram"]
    [quota] = publisher.rules.quotas
    rules = replace(publisher.rules, quotas=(replace(quota, posts=2),))
    desk.posts = replace(desk.posts, publishers={"instagram": replace(publisher, rules=rules)})
    await desk.made("one", **later(hours=1))
    await desk.made("two", **later(hours=12))
    error = await desk.refused("three", **later(hours=20))
    assert error.code == "rate_limit_exceeded"
    assert "takes 2 posts of an account in 24 hours, and 2 others" in error.message
    await desk.made("three", **later(hours=26))
    error = await desk.refused("four", **later(hours=13))
    assert error.code == "rate_limit_exceeded"


async def test_time_that_is_past_is_refused(desk: Desk) -> None:
    assert "past" in (await desk.refused(**later(hours=-1))).message


async def test_wall_time_is_decided_and_told(desk: Desk) -> None:
    year = datetime.now(UTC).year + 1
    created = await desk.create(scheduled_time=f"{year}-06-01T09:00", timezone="Europe/Berlin")
    assert created.post is not None
    assert created.post.scheduled_at == datetime(year, 6, 1, 7, tzinfo=UTC)
    assert (created.post.zone, created.post.local_time) == ("Europe/Berlin", f"{year}-06-01T09:00")
    assert "UTC+02:00" in created.words
    assert "time zone" in (await desk.refused(scheduled_time=f"{year}-06-01T09:00")).message


async def test_edit_makes_a_new_version_and_takes_its_approval_away(desk: Desk) -> None:
    post = await desk.made(needs_approval=True, **later(hours=1))
    assert target(post).state == "awaiting_approval"
    await desk.lifecycle.approve(DEFAULT_TENANT, OWNER, post.id, ApproveBody(version=1))
    approved = await desk.one(post.id)
    assert (target(approved).state, approved.approved_by) == ("scheduled", "owner@example.org")
    assert target(approved).due_at == approved.scheduled_at
    changed = await desk.edit(post.id, content="Coffee")
    assert (changed.post.version, changed.post.approved_version) == (2, None)
    assert (target(changed.post).state, target(changed.post).due_at) == ("awaiting_approval", None)
    with pytest.raises(PostError, match="has version 2 by now"):
        await desk.lifecycle.approve(DEFAULT_TENANT, OWNER, post.id, ApproveBody(version=1))
    with pytest.raises(PostError, match="not approved"):
        await desk.edits.publish(DEFAULT_TENANT, AUTHOR, post.id)
    with pytest.raises(PostError, match="author of a post cannot approve it"):
        await desk.lifecycle.approve(DEFAULT_TENANT, AUTHOR, post.id, ApproveBody(version=2))
    with pytest.raises(PostError, match="cannot take away"):
        await desk.edit(post.id, needs_approval=False)


async def test_edit_of_what_a_worker_has_leased_takes_it_away_from_it(desk: Desk) -> None:
    post = await desk.made(action="publish")
    async with desk.rig.pool.acquire() as connection:
        await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    [[_, leased, fence]] = [await _claimed(desk)]
    assert leased == target(post).id
    await desk.edit(post.id, content="Coffee")
    await desk.driver.work(DEFAULT_TENANT, leased, fence)
    assert target(await desk.one(post.id)).state == "scheduled"
    row = await desk.run(leased)
    assert row["state"] == "published"
    [shown] = await desk.shown("instagram")
    assert shown["text"] == "Coffee"


async def _claimed(desk: Desk) -> Any:
    from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
    from publish.posting import target_store

    async with tenant_transaction(desk.driver.pool, ALL_TENANTS) as connection:
        [found] = await target_store.claim(connection, 1)
    return found


async def test_saving_a_published_post_publishes_nothing(desk: Desk) -> None:
    post = await desk.made(action="publish")
    await desk.run(target(post).id)
    before = await desk.one(post.id)
    assert before.scheduled_at is not None
    same = await desk.edit(
        post.id, content="Tea", scheduled_time=before.scheduled_at.isoformat().replace(" ", "T"), action="schedule"
    )
    assert not same.changed
    with pytest.raises(PostError) as caught:
        await desk.edit(post.id, content="Coffee")
    assert (caught.value.code, caught.value.status) == ("too_late", 409)
    await desk.driver.drain()
    assert len(await desk.shown("instagram")) == 1
    assert (await desk.one(post.id)).version == 1


CANCELLED = [
    *(TargetState.DRAFT, TargetState.AWAITING_APPROVAL, TargetState.SCHEDULED, TargetState.MISSED),
    *(TargetState.PREPARING, TargetState.UPLOADING, TargetState.PROCESSING, TargetState.READY),
]
TOO_LATE = [state for state in TargetState if state not in CANCELLED]


@pytest.mark.parametrize("state", CANCELLED)
async def test_cancel_until_something_is_made_visible(desk: Desk, state: str) -> None:
    post = await desk.made(**later(hours=1))
    await desk.put(target(post).id, state=state)
    found = await desk.lifecycle.cancel(DEFAULT_TENANT, AUTHOR, post.id)
    assert (found.reasons, target(found.post).state) == ({target(post).id: ""}, "cancelled")
    assert target(found.post).due_at is None


@pytest.mark.parametrize("state", TOO_LATE)
async def test_cancel_says_why_it_is_too_late(desk: Desk, state: str) -> None:
    post = await desk.made(**later(hours=1))
    await desk.put(target(post).id, state=state)
    found = await desk.lifecycle.cancel(DEFAULT_TENANT, AUTHOR, post.id)
    assert target(found.post).state == state
    assert found.reasons[target(post).id]
    assert await desk.audited("post.cancelled") == []


async def test_cancel_takes_the_lease_of_a_worker_that_died_and_of_one_that_lives(desk: Desk) -> None:
    post = await desk.made(action="publish")
    _, leased, fence = await _claimed(desk)
    found = await desk.lifecycle.cancel(DEFAULT_TENANT, AUTHOR, post.id)
    assert target(found.post).state == "cancelled"
    await desk.driver.work(DEFAULT_TENANT, leased, fence)
    await desk.rig.raw("UPDATE post_targets SET lease_until = now() - interval '1 second'")
    await desk.driver.drain()
    assert await desk.shown("instagram") == []
    assert target(await desk.one(post.id)).state == "cancelled"


async def test_retry_begins_anew_without_what_was_kept(desk: Desk) -> None:
    post = await desk.made(action="publish")
    id_ = target(post).id
    await desk.put(
        id_, state="failed", step="publish", kept='{"container": "1"}', commits=3, error_code="rate_limit_exceeded",
        intent_at=datetime.now(UTC), due_at=None,
    )  # fmt: skip
    with pytest.raises(PostError, match="Nothing of this failed"):
        await desk.lifecycle.retry(DEFAULT_TENANT, AUTHOR, post.id, RetryBody(cause="other"))
    await desk.lifecycle.retry(DEFAULT_TENANT, AUTHOR, post.id, RetryBody(cause="rate_limit_exceeded"))
    row = await desk.row(id_)
    assert (row["state"], row["attempt"], row["commits"], row["intent_at"]) == ("scheduled", 2, 0, None)
    assert (row["kept"], row["sealed"], row["step"], row["error_code"]) == ("{}", None, "", None)
    assert (await desk.run(id_))["state"] == "published"


async def test_retry_of_what_another_post_has_shown_meanwhile_posts_nothing_twice(desk: Desk) -> None:
    """One that failed does not keep the same content from being posted anew, so trying it again must look."""
    failed = await desk.made(action="publish")
    await desk.put(target(failed).id, state="failed", error_code="spam", due_at=None)
    anew = await desk.made(action="publish")
    assert anew.id != failed.id
    await desk.run(target(anew).id)
    with pytest.raises(PostError) as caught:
        await desk.lifecycle.retry(DEFAULT_TENANT, AUTHOR, failed.id, RetryBody())
    assert (caught.value.code, caught.value.details["post"]) == ("conflict", anew.id)
    assert await desk.lifecycle.retry_all(DEFAULT_TENANT, AUTHOR, "spam", None) == RetriedAll(0, 1)
    await desk.driver.drain()
    assert len(await desk.shown("instagram")) == 1
    await desk.lifecycle.retry(DEFAULT_TENANT, AUTHOR, failed.id, RetryBody(repeat=True))
    await desk.run(target(failed).id)
    assert len(await desk.shown("instagram")) == 2


@pytest.mark.parametrize("state", ["published", "unconfirmed", "publishing", "scheduled", "cancelled"])
async def test_retry_of_anything_else_is_refused(desk: Desk, state: str) -> None:
    post = await desk.made(**later(hours=1))
    await desk.put(target(post).id, state=state)
    with pytest.raises(PostError) as caught:
        await desk.lifecycle.retry(DEFAULT_TENANT, AUTHOR, post.id, RetryBody())
    assert caught.value.details["states"] == {target(post).id: state}


async def test_all_that_failed_for_one_cause_are_tried_again_together(desk: Desk) -> None:
    posts = [await desk.made(text, **later(hours=1)) for text in ("one", "two", "three")]
    for post, code in zip(posts, ("spam", "spam", "other"), strict=True):
        await desk.put(target(post).id, state="failed", error_code=code, due_at=None)
    assert await desk.lifecycle.retry_all(DEFAULT_TENANT, AUTHOR, "spam", "instagram") == RetriedAll(2, 0)
    states = [target(await desk.one(post.id)).state for post in posts]
    assert states == ["scheduled", "scheduled", "failed"]


async def test_person_says_that_it_is_there(desk: Desk) -> None:
    post = await desk.made(action="publish")
    await desk.put(target(post).id, state="unconfirmed", evidence='["a listing without it"]', due_at=None)
    with pytest.raises(PostError, match="Neither its id nor its address"):
        await desk.lifecycle.confirm(DEFAULT_TENANT, AUTHOR, post.id, ConfirmBody(target=target(post).id, there=True))
    body = ConfirmBody(target=target(post).id, there=True, post_id="17", url="https://www.instagram.com/p/17/")
    changed = await desk.lifecycle.confirm(DEFAULT_TENANT, AUTHOR, post.id, body)
    assert (target(changed.post).state, target(changed.post).platform_post_id) == ("published", "17")
    [entry] = await desk.audited("post.confirmed")
    assert "a listing without it" in entry["detail"]
    await desk.driver.drain()
    assert await desk.shown("instagram") == []
    with pytest.raises(PostError, match="nothing to decide"):
        await desk.lifecycle.confirm(DEFAULT_TENANT, AUTHOR, post.id, body)


async def test_person_cannot_say_that_it_is_another_target_s_post(desk: Desk) -> None:
    first, second = await desk.made("one", action="publish"), await desk.made("two", action="publish")
    await desk.put(target(first).id, state="published", platform_post_id="17", due_at=None)
    await desk.put(target(second).id, state="unconfirmed", due_at=None)
    body = ConfirmBody(target=target(second).id, there=True, post_id="17")
    with pytest.raises(PostError, match="Another post of this account has that id"):
        await desk.lifecycle.confirm(DEFAULT_TENANT, AUTHOR, second.id, body)
    assert target(await desk.one(second.id)).state == "unconfirmed"


async def test_person_says_that_it_is_not_there_and_it_is_posted_again(desk: Desk) -> None:
    post = await desk.made(action="publish")
    await desk.put(target(post).id, state="unconfirmed", intent_at=datetime.now(UTC), commits=1, due_at=None)
    body = ConfirmBody(target=target(post).id, there=False, evidence="I looked at the profile.")
    changed = await desk.lifecycle.confirm(DEFAULT_TENANT, AUTHOR, post.id, body)
    assert (target(changed.post).state, target(changed.post).attempt) == ("scheduled", 2)
    [entry] = await desk.audited("post.not_there")
    assert "I looked at the profile." in entry["detail"]
    assert (await desk.run(target(post).id))["state"] == "published"
    assert len(await desk.shown("instagram")) == 1


async def test_posts_are_listed_by_what_they_have_and_page_by_page(desk: Desk) -> None:
    texts = [f"post {number}" for number in range(5)]
    made = [await desk.made(text, campaign_id="spring", **later(days=1 + n * 2)) for n, text in enumerate(texts)]
    other = await desk.made("other")
    await desk.put(target(made[0]).id, state="failed", due_at=None)

    async def found(limit: int = 50, **wanted: Any) -> list[str]:
        page = await desk.listing.page(DEFAULT_TENANT, PostFilter(**wanted), limit)
        return [post.content for post in page.posts]

    assert await found() == ["other", *reversed(texts)]
    assert await found(campaign="spring", state="failed") == ["post 0"]
    assert await found(state="draft") == ["other"]
    assert await found(state="pending", campaign="spring") == ["post 4", "post 3", "post 2", "post 1"]
    assert await found(platform="threads") == []
    now = datetime.now(UTC)
    assert await found(since=now + timedelta(days=2), until=now + timedelta(days=6)) == ["post 2", "post 1"]
    page = await desk.listing.page(DEFAULT_TENANT, PostFilter(campaign="spring"), 2)
    assert page.before == made[3].id
    assert await found(campaign="spring", before=page.before, limit=2) == ["post 2", "post 1"]
    with pytest.raises(PostError, match="There is no state"):
        await found(state="nonsense")
    summary: Mapping[str, Any] = await desk.listing.summary(DEFAULT_TENANT)
    assert {name: summary[name] for name in ("total", "pending", "failed", "posted", "cancelled")} == {
        "total": 6, "pending": 5, "failed": 1, "posted": 0, "cancelled": 0,
    }  # fmt: skip
    assert summary["platforms"]["instagram"]["states"] == {"draft": 1, "failed": 1, "scheduled": 4}
    assert summary["campaigns"]["spring"]["total"] == 5
    assert other.id


async def test_first_comment_is_refused_where_no_machine_publishes_one(desk: Desk) -> None:
    publisher = PUBLISHERS["instagram"]
    without = replace(publisher, machines=replace(publisher.machines, reply_kind=""))
    desk.posts = replace(desk.posts, publishers={"instagram": without})
    options = {"first_comment": "More in the shop"}
    error = await desk.refused(action="publish", targets=[{"connection": desk.account, "options": options}])
    assert "neither threads nor first comments" in error.message


async def test_parts_of_a_thread_wait_for_the_one_before(desk: Desk) -> None:
    publisher = PUBLISHERS["instagram"]
    machines = replace(publisher.machines, reply_kind="image")
    desk.posts = replace(desk.posts, publishers={"instagram": replace(publisher, machines=machines)})
    options = {"first_comment": "In the shop"}
    post = await desk.made(
        thread=["second", "third"], action="publish", targets=[{"connection": desk.account, "options": options}]
    )
    root, second, third, comment = post.targets
    assert [each.position for each in post.targets] == [0, 1, 2, 3]
    assert (second.parent_id, third.parent_id, comment.parent_id) == (root.id, second.id, root.id)
    assert [each.content for each in post.targets] == [None, "second", "third", "In the shop"]
    assert [each.due_at is not None for each in post.targets] == [True, False, False, False]
    await desk.put(root.id, state="published", platform_post_id="1", due_at=None)
    await desk.put(second.id, state="failed", due_at=None)
    await desk.lifecycle.retry(DEFAULT_TENANT, AUTHOR, post.id, RetryBody())
    after = {each.id: each for each in (await desk.one(post.id)).targets}
    assert (after[root.id].attempt, after[second.id].attempt) == (1, 2)
    assert after[second.id].due_at is not None
    changed = await desk.one(post.id)
    assert changed.status == "pending"


async def test_nothing_is_seen_of_another_tenant(desk: Desk) -> None:
    post = await desk.made()
    other = "00000000-0000-7000-8000-00000000000b"
    assert (await desk.listing.page(other, PostFilter())).posts == []
    with pytest.raises(PostError, match="There is no such post"):
        await desk.lifecycle.cancel(other, AUTHOR, post.id)
    with pytest.raises(PostError, match="There is no connection"):
        await desk.posts.create(other, AUTHOR, desk.body())
    assert post_store.STATUS[target(post).state] == "pending"


async def test_gauges_show_what_is_unconfirmed_overdue_and_left(desk: Desk) -> None:
    from prometheus_client import REGISTRY

    from publish.posting.gauges import measurer

    async def measured() -> dict[str, float | None]:
        async with desk.driver.pool.acquire() as connection:
            await measurer(PUBLISHERS)(connection)
        labels = {"platform": "instagram"}
        names = ("posts_unconfirmed", "posts_overdue", "post_quota_left", "post_quota_limit")
        return {name: REGISTRY.get_sample_value(f"landfall_{name}", labels) for name in names}

    waiting, late = await desk.made(action="publish"), await desk.made("Coffee", action="publish")
    done = await desk.made("Cocoa", action="publish")
    now = datetime.now(UTC)
    await desk.put(target(waiting).id, state="unconfirmed", due_at=None)
    await desk.put(target(late).id, due_at=now - timedelta(minutes=6))
    await desk.put(target(done).id, state="published", due_at=None, published_at=now)
    found = await measured()
    assert list(found.values()) == [1, 1, 99, 100]
    await desk.put(target(late).id, lease_until=now + timedelta(minutes=1))
    await desk.put(target(waiting).id, state="published", published_at=now - timedelta(days=2))
    found = await measured()
    assert list(found.values()) == [0, 0, 99, 100]
