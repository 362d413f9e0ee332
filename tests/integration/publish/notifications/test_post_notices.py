"""Who is told that a post needs somebody: by the page, the API and a mail, once a day for each account and kind."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.notifications import mail_store, post_notice_store
from publish.notifications.email import compose
from tests.posting import Posting, posting
from tests.rig import Rig

pytestmark = pytest.mark.rig(password="correct horse battery", members={"editor@example.org": "editor"})


class Desk(Posting):
    account: str

    async def put(self, text: str, state: str, columns: str = "step_since = now()") -> str:
        """Store a post whose target is in a state, past what the states allow; the target's id."""
        id_ = await self.target(self.account, text, kind="image")
        await self.rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
        await self.rig.raw("UPDATE post_targets SET due_at = NULL WHERE id = $1::uuid", id_)
        change = f"UPDATE post_targets SET state = $2, {columns} WHERE id = $1::uuid"
        await self.rig.raw(change, id_, state)
        await self.rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")
        return id_

    async def warn(self) -> list[str]:
        """Do what the worker does every half minute; the kinds of the new notices."""
        async with tenant_transaction(self.driver.pool, ALL_TENANTS) as connection:
            return sorted(raised.kind for raised in await post_notice_store.warn(connection))

    async def open(self) -> list[Any]:
        status, answer = await self.rig.api("GET", "/api/notices")
        assert status == 200, answer
        return sorted(answer["notices"], key=lambda notice: str(notice["kind"]))


@pytest.fixture
async def desk(rig: Rig) -> AsyncIterator[Desk]:
    async with posting(rig) as found:
        made = Desk(found.rig, found.driver, found.media, found.posts)
        [made.account] = await rig.connect("instagram")
        yield made


NEEDS_SOMEBODY = {
    "post_failed": ("failed", "step_since = now(), error_message = 'The caption is too long.'", "caption is too long"),
    "post_missed": ("missed", "step_since = now(), error_message = 'It was too late.'", "missed its time"),
    "post_unconfirmed": ("unconfirmed", "step_since = now()", "say what you see"),
    "post_waiting": ("awaiting_person", "step_since = now()", "go on with it there"),
    "post_late": ("processing", "step_since = now() - interval '3 hours'", "has not got ready"),
}


async def test_each_state_that_needs_somebody_is_told_once(desk: Desk) -> None:
    for kind, (state, columns, _) in NEEDS_SOMEBODY.items():
        await desk.put(f"about {kind}", state, columns)
        await desk.put(f"another about {kind}", state, columns)
    assert await desk.warn() == sorted(NEEDS_SOMEBODY)
    assert await desk.warn() == []
    notices = await desk.open()
    assert [notice["kind"] for notice in notices] == sorted(NEEDS_SOMEBODY)
    for notice in notices:
        assert f"about {notice['kind']}" in notice["says"]
        assert NEEDS_SOMEBODY[notice["kind"]][2] in notice["says"], notice
        assert notice["connection_id"] == desk.account


async def test_what_goes_on_by_itself_is_told_to_nobody(desk: Desk) -> None:
    await desk.put("fine", "published")
    await desk.put("on its way", "processing", "step_since = now() - interval '1 hour'")
    await desk.put("is looked for", "unconfirmed", "step_since = now(), due_at = now() + interval '1 minute'")
    await desk.put("waits for its time", "scheduled", "due_at = now() + interval '1 day'")
    assert await desk.warn() == []


async def test_what_nobody_works_on_and_nobody_approves_is_late(desk: Desk) -> None:
    id_ = await desk.put("due", "scheduled", "due_at = now() - interval '90 minutes'")
    assert await desk.warn() == ["post_late"]
    [notice] = await desk.open()
    assert "nothing works on it" in notice["says"]
    await desk.rig.raw("UPDATE post_targets SET due_at = now() WHERE id = $1::uuid", id_)
    await desk.warn()
    assert await desk.open() == []
    await desk.rig.raw("DELETE FROM notices")
    await desk.put("unread", "awaiting_approval", "step = ''")
    assert await desk.warn() == ["post_late"]
    [notice] = await desk.open()
    assert "nobody has approved it" in notice["says"]


async def test_notice_is_over_with_the_last_post_that_it_is_about(desk: Desk) -> None:
    await desk.put("three", "failed")
    ids = [await desk.put(text, "unconfirmed") for text in ("one", "two")]
    await desk.warn()
    for id_ in ids:
        assert [notice["kind"] for notice in await desk.open()] == ["post_failed", "post_unconfirmed"]
        await desk.rig.raw("UPDATE post_targets SET state = 'published' WHERE id = $1::uuid", id_)
        await desk.warn()
    assert [notice["kind"] for notice in await desk.open()] == ["post_failed"]


async def test_connecting_the_account_again_settles_nothing_about_its_posts(desk: Desk) -> None:
    await desk.put("one", "unconfirmed")
    await desk.warn()
    await desk.rig.connect("instagram")
    assert [notice["kind"] for notice in await desk.open()] == ["post_unconfirmed"]


async def test_old_failures_are_nobody_s_news(desk: Desk) -> None:
    await desk.put("old", "failed", "step_since = now() - interval '3 days'")
    assert await desk.warn() == []


async def test_mail_says_what_to_do_with_posts_and_leads_to_them(desk: Desk) -> None:
    await desk.put("Tea & biscuits", "failed", "step_since = now(), error_message = 'The caption is too long.'")
    await desk.warn()
    async with tenant_transaction(desk.driver.pool, ALL_TENANTS) as connection:
        await mail_store.address_mails(connection)
        mail = await mail_store.claim_mail(connection)
    assert mail is not None
    assert mail.email == "editor@example.org"
    subject, text = compose(mail.items, {"instagram": "Instagram"}, "https://landfall.example.org", mail.tenant_name)
    assert subject == "1 account needs you: Instagram"
    assert "The post “Tea & biscuits” failed: The caption is too long." in text
    assert "https://landfall.example.org/posts\n" in text
    assert "connect again" not in text
    assert "/connections" not in text
