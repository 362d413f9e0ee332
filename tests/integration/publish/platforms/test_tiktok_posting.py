"""Publishing to TikTok, through the driver and against the sandbox: each post is there once, whatever happens."""

import json
from itertools import count
from typing import Any

import pytest

from ops.runtime.faultpoint import InjectedError
from publish.posting import driver as driver_module
from schema.events import bucket_of
from tests.posting import Posting

DIRECT = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}


async def video(publishing: Posting, **options: Any) -> str:
    [account] = await publishing.rig.connect("tiktok")
    clip = publishing.media.add("clip.mp4", "video/mp4", width=640, height=640, duration=1.0)
    return await publishing.target(account, "Tea", kind="video", media=[clip], options=DIRECT | options)


async def test_file_is_sent_and_the_post_is_known_by_its_id(publishing: Posting) -> None:
    row = await publishing.run(await video(publishing, allow_comments=True, ai_generated=True))
    assert row["state"] == "published", dict(row)
    [post] = await publishing.shown("tiktok")
    assert (post["id"], post["text"]) == (row["platform_post_id"], "Tea")
    assert row["platform_post_url"].startswith("https://www.tiktok.com/")
    facts = await publishing.rig.connection.fetch(
        "SELECT event_type FROM webhook_event_log WHERE provider = 'tiktok' AND event_type LIKE 'post.%' ORDER BY id"
    )
    assert next(fact["event_type"] for fact in facts) == "post.begun"
    assert "post.read" in {fact["event_type"] for fact in facts}


async def test_inbox_waits_for_its_owner(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("tiktok")
    clip = publishing.media.add("clip.mp4", "video/mp4", width=640, height=640, duration=1.0)
    row = await publishing.run(await publishing.target(account, "", kind="inbox_video", media=[clip]))
    assert (row["state"], await publishing.shown("tiktok")) == ("awaiting_person", [])


COMPLETE, INBOX, FAILED = "complete", "inbox_delivered", "failed"
PUBLIC, HIDDEN = "publicly_available", "no_longer_publicaly_available"


async def waiting(publishing: Posting) -> Any:
    """A target whose video waits in the inbox of its owner; its row."""
    found = await publishing.rig.raw("SELECT id::text FROM connections WHERE platform = 'tiktok'")
    account = str(found[0]["id"]) if found else (await publishing.rig.connect("tiktok"))[0]
    clip = publishing.media.add("clip.mp4", "video/mp4", width=640, height=640, duration=1.0)
    row = await publishing.run(await publishing.target(account, "", kind="inbox_video", media=[clip]))
    assert row["state"] == "awaiting_person", dict(row)
    await publishing.project()
    await publishing.driver.drain()
    return row


async def tell(
    publishing: Posting, row: Any, event: str, *, account: str = "", project: bool = True, **more: Any
) -> None:
    """Let TikTok tell something of a target's publish; ``more`` is of the content."""
    content = {"publish_id": json.loads(row["kept"])["publish_id"], "publish_type": "INBOX_SHARE"} | more
    about = account or row["account_id"]
    payload = {"event": f"post.publish.{event}", "user_openid": about, "content": json.dumps(content)}
    name = f"{about}:{event}:{json.dumps(content)}"
    await publishing.told("tiktok", about, f"post.publish.{event}", payload, name=name, project=project)


async def posted(publishing: Posting, row: Any) -> str:
    """Let the owner post what waits in the inbox; the id of the post."""
    draft = json.loads(row["kept"])["publish_id"]
    made = await publishing.rig.sandbox.command("act", platform="tiktok", what="post_draft", account="shop", id=draft)
    return str(made["id"])


async def worked(publishing: Posting, row: Any) -> Any:
    """Work until no target waits for a clock; the row."""
    return await publishing.run(str(row["id"]), rounds=200)


@pytest.mark.parametrize(
    "events",
    [
        (PUBLIC,),
        (COMPLETE, PUBLIC),
        (PUBLIC, COMPLETE, INBOX, PUBLIC),
        (INBOX, COMPLETE, COMPLETE, PUBLIC),
        (HIDDEN,),
        (PUBLIC, HIDDEN),
    ],
)
async def test_webhooks_in_any_order_say_that_what_waited_in_the_inbox_is_posted(
    publishing: Posting, events: tuple[str, ...]
) -> None:
    row = await waiting(publishing)
    post = await posted(publishing, row)
    for event in events:
        await tell(publishing, row, event, **({"post_id": post} if event in (PUBLIC, HIDDEN) else {}))
        await publishing.driver.drain()
    row = await worked(publishing, row)
    assert (row["state"], row["platform_post_id"]) == ("published", post), dict(row)
    begun = await publishing.rig.sandbox.ledger("call", platform="tiktok", method="POST")
    assert len([call for call in begun if call["path"].endswith("/init")]) == 1, "nothing is begun anew"


async def test_draft_that_was_posted_for_few_is_published_without_an_id(publishing: Posting) -> None:
    row = await waiting(publishing)
    await tell(publishing, row, COMPLETE)
    await publishing.driver.drain()
    row = await publishing.row(str(row["id"]))
    assert (row["state"], row["step"]) == ("published_id_unknown", "locate")


async def test_post_without_an_id_gets_it_from_the_webhook_however_late_it_comes(publishing: Posting) -> None:
    row = await waiting(publishing)
    await tell(publishing, row, COMPLETE)
    await publishing.driver.drain()
    await publishing.rig.raw("UPDATE post_targets SET step_since = now() - interval '2 days', due_at = now()")
    await publishing.driver.drain()
    after = await publishing.row(str(row["id"]))
    assert (after["state"], after["due_at"]) == ("published_id_unknown", None), "nobody asks for it any more"
    await tell(publishing, row, PUBLIC, post_id="7556012345678901234")
    after = await worked(publishing, row)
    assert (after["state"], after["platform_post_id"]) == ("published", "7556012345678901234")


async def test_inbox_is_not_asked_about_and_waits_on_where_nothing_new_is_told(publishing: Posting) -> None:
    row = await waiting(publishing)
    asked = len(await publishing.rig.sandbox.ledger("call", platform="tiktok"))
    await tell(publishing, row, INBOX)
    for _ in range(3):
        assert await publishing.driver.drain() in (0, 1)
    assert await publishing.driver.drain() == 0, "what was read is not read again"
    after = await publishing.row(str(row["id"]))
    assert (after["state"], after["due_at"], after["lease_until"]) == ("awaiting_person", None, None)
    assert len(await publishing.rig.sandbox.ledger("call", platform="tiktok")) == asked


async def test_draft_that_failed_is_said_to_have_failed_and_one_that_is_there_never(publishing: Posting) -> None:
    first, second = await waiting(publishing), await waiting(publishing)
    await tell(publishing, first, FAILED, reason="spam_risk_text")
    await tell(publishing, second, PUBLIC, post_id="7556012345678901234")
    await tell(publishing, second, FAILED, reason="spam_risk_text")
    failed, there = await worked(publishing, first), await worked(publishing, second)
    assert (failed["state"], failed["error_code"]) == ("failed", "spam_risk_text"), dict(failed)
    assert failed["error_message"]
    assert there["state"] == "published"
    await tell(publishing, second, HIDDEN, post_id="7556012345678901234")
    await publishing.driver.drain()
    assert (await publishing.row(str(second["id"])))["state"] == "published"


async def test_webhook_about_another_account_or_another_publish_touches_nothing(publishing: Posting) -> None:
    row = await waiting(publishing)
    bucket = bucket_of("tiktok", row["account_id"])  # of both, which the same worker serves
    other = next(name for name in map(str, count()) if bucket_of("tiktok", name) == bucket)
    await tell(publishing, row, PUBLIC, account=other, post_id="7556012345678901234")
    await tell(publishing, row, PUBLIC, publish_id="v_inbox_file~v2.another", post_id="7556012345678901234")
    assert await publishing.driver.drain() == 0
    assert (await publishing.row(str(row["id"])))["state"] == "awaiting_person"


async def test_event_of_a_transaction_that_ends_late_is_not_lost(publishing: Posting) -> None:
    """Its time is before that at which the target was last worked on, and it is seen only after that."""
    row = await waiting(publishing)
    await tell(publishing, row, PUBLIC, post_id="7556012345678901234", project=False)
    await publishing.rig.raw("UPDATE post_targets SET worked_at = now() + interval '1 minute'")
    await publishing.project()
    assert (await worked(publishing, row))["state"] == "published"


@pytest.mark.parametrize("point", ["posting.leased", "posting.outcome_saved"])
async def test_worker_that_dies_while_it_heeds_the_log_loses_nothing(
    publishing: Posting, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = await waiting(publishing)
    await tell(publishing, row, PUBLIC, post_id="7556012345678901234")

    def dies(name: str) -> None:
        if name == point:
            raise InjectedError(name)

    monkeypatch.setattr(driver_module, "faultpoint", dies)
    await publishing.driver.drain()
    monkeypatch.undo()
    await publishing.free()
    assert (await worked(publishing, row))["state"] == "published"


async def test_lost_publish_is_taken_from_a_webhook_that_fits_no_other_target(publishing: Posting) -> None:
    """``tiktok.md`` 16: the answer that named it was lost, and the webhook names a publish that we do not know."""
    [account] = await publishing.rig.connect("tiktok")
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    options = DIRECT | {"privacy_level": "SELF_ONLY"}
    id_ = await publishing.target(account, "Tea", kind="photos", media=[picture], options=options)
    await publishing.rig.sandbox.command(
        "faults", platform="tiktok", endpoint="POST */content/init", effect=True, drop=True
    )
    await publishing.driver.drain()
    row = await publishing.row(id_)
    assert (row["state"], row["step"]) == ("unconfirmed", "lost"), dict(row)
    platform: Any = publishing.rig.server.simulation.platforms["tiktok"]
    [publish] = platform.publishes
    event = {"publish_id": publish, "publish_type": "DIRECT_POST"}
    payload = {"event": "post.publish.complete", "content": json.dumps(event)}
    await publishing.told("tiktok", row["account_id"], "post.publish.complete", payload)
    await publishing.driver.drain()
    assert (await publishing.row(id_))["step"] == "lost", "the answer to another target may be under way"
    await publishing.rig.raw("UPDATE tiktok_posts SET created_at = now() - interval '3 minutes'")
    await publishing.rig.raw("UPDATE post_targets SET intent_at = now() - interval '4 minutes'")
    for _ in range(3):
        await publishing.driver.drain()
        await publishing.hurry()
    row = await publishing.row(id_)
    assert row["state"] in ("published", "published_id_unknown"), dict(row)
    assert json.loads(row["kept"])["publish_id"] == publish
    assert len(await publishing.shown("tiktok")) == 1


async def test_photos_are_fetched(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("tiktok")
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    row = await publishing.run(await publishing.target(account, "Tea", kind="photos", media=[picture], options=DIRECT))
    assert row["state"] == "published", dict(row)
    assert len(await publishing.shown("tiktok")) == 1
