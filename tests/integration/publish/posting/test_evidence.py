"""What the log has of our own posts decides about targets whose outcome is unknown, and no platform is asked."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.posting import Posting


async def account_of(publishing: Posting, platform: str) -> Any:
    """The connection of a platform, which is connected where it is not yet."""
    find = "SELECT id::text, account_id, username FROM connections WHERE platform = $1 ORDER BY username LIMIT 1"
    if not await publishing.rig.raw(find, platform):
        await publishing.rig.connect(platform)
    [row] = await publishing.rig.raw(find, platform)
    return row


async def unconfirmed(
    publishing: Posting, platform: str, kind: str, step: str, *, asks: bool = True, text: str = "Tea", **more: Any
) -> tuple[str, Any]:
    """A target whose outcome is unknown, and its account; ``asks``: the platform was asked, and a person is now."""
    account = await account_of(publishing, platform)
    kept = more.pop("kept", {})
    id_ = await publishing.target(account["id"], text, kind=kind, **more)
    await publishing.rig.raw(
        """
        UPDATE post_targets SET state = 'unconfirmed', step = $2, step_since = now(), kept = $3::jsonb,
            intent_at = now() - interval '10 seconds', worked_at = now(), error_message = 'Look there.',
            due_at = CASE WHEN $4 THEN NULL ELSE now() + interval '1 hour' END,
            error_code = CASE WHEN $4 THEN 'unconfirmed' END, evidence = '["HTTP 500"]'
        WHERE id = $1::uuid""",
        *(id_, step, json.dumps({"doubt": "HTTP 500", **kept}), asks),
    )
    return id_, account


async def settled(publishing: Posting, id_: str) -> Any:
    """The row, once everything was read that the log has."""
    while await publishing.driver.drain():
        pass
    return await publishing.row(id_)


async def asked(publishing: Posting, platform: str) -> int:
    """How many calls there were after the account was connected."""
    calls = await publishing.rig.sandbox.ledger("call", platform=platform)
    return len(calls)


def comment(account: Any, text: str = "Tea", **more: Any) -> Mapping[str, Any]:
    """A notification of a comment that the account itself wrote, as ``meta.md`` 2.2 has it."""
    author = {"id": account["account_id"], "username": account["username"], "self_ig_scoped_id": "77"}
    return {
        "id": "1785001",
        "text": text,
        "from": author,
        "media": {"id": "17900", "media_product_type": "FEED"},
    } | more


@pytest.mark.parametrize("asks", [True, False])
async def test_own_comment_of_which_a_webhook_tells_is_adopted_and_the_platform_not_asked(
    publishing: Posting, *, asks: bool
) -> None:
    options = {"parent_post_id": "17900"}
    id_, account = await unconfirmed(publishing, "instagram", "comment", "look", asks=asks, options=options)
    before = await asked(publishing, "instagram")
    for _ in range(2):
        await publishing.told("instagram", account["account_id"], "comments", comment(account), name="one")
    row = await settled(publishing, id_)
    assert (row["state"], row["platform_post_id"], row["error_code"]) == ("published", "1785001", None), dict(row)
    assert await asked(publishing, "instagram") == before
    [[rows]] = await publishing.rig.raw("SELECT count(*) FROM ig_comments")
    assert rows == 1, "one row, linked to its target"


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("another text", {"text": "Coffee"}),
        ("another post", {"media": {"id": "17901"}}),
        ("an answer", {"parent_id": "178"}),
        ("somebody else", {"from": {"id": "5", "username": "fan"}}),
    ],
)
async def test_comment_that_is_not_ours_decides_nothing_and_the_person_stays_asked(
    publishing: Posting, what: str, more: Mapping[str, Any]
) -> None:
    options = {"parent_post_id": "17900"}
    id_, account = await unconfirmed(publishing, "instagram", "comment", "look", options=options)
    before = await asked(publishing, "instagram")
    await publishing.told("instagram", account["account_id"], "comments", comment(account) | more)
    row = await settled(publishing, id_)
    assert (row["state"], row["due_at"], row["lease_until"]) == ("unconfirmed", None, None), what
    assert (row["error_message"], row["evidence"]) == ("Look there.", '["HTTP 500"]'), "what the person was told stands"
    assert await asked(publishing, "instagram") == before


async def test_comment_that_another_target_holds_and_two_that_fit_are_not_adopted(publishing: Posting) -> None:
    options = {"parent_post_id": "17900"}
    first, account = await unconfirmed(publishing, "instagram", "comment", "look", options=options)
    await publishing.told("instagram", account["account_id"], "comments", comment(account))
    assert (await settled(publishing, first))["state"] == "published"
    second, _ = await unconfirmed(publishing, "instagram", "comment", "look", options=options)
    assert (await settled(publishing, second))["state"] == "unconfirmed", "it is the first one's"
    for number in ("1785002", "1785003"):
        await publishing.told(
            "instagram", account["account_id"], "comments", comment(account, id=number), project=False
        )
    await publishing.project()
    assert (await settled(publishing, second))["state"] == "unconfirmed", "either could be it"


async def test_comment_of_before_the_intent_is_not_adopted(publishing: Posting) -> None:
    options = {"parent_post_id": "17900"}
    account = await account_of(publishing, "instagram")
    await publishing.told("instagram", account["account_id"], "comments", comment(account))
    await publishing.rig.raw("UPDATE ig_comments SET created_at = now() - interval '10 minutes'")
    id_, _ = await unconfirmed(publishing, "instagram", "comment", "look", options=options)
    assert (await settled(publishing, id_))["state"] == "unconfirmed"


async def test_target_that_waits_for_a_person_for_weeks_costs_no_comparison(publishing: Posting) -> None:
    options = {"parent_post_id": "17900"}
    id_, account = await unconfirmed(publishing, "instagram", "comment", "look", options=options)
    await publishing.rig.raw("UPDATE post_targets SET intent_at = now() - interval '8 days'")
    await publishing.told("instagram", account["account_id"], "comments", comment(account))
    assert (await settled(publishing, id_))["state"] == "unconfirmed"
    await publishing.rig.raw("UPDATE post_targets SET intent_at = now() - interval '6 days'")
    assert (await settled(publishing, id_))["state"] == "published"


def media(account: Any, **more: Any) -> Mapping[str, Any]:
    """What a reading of one of the account's posts puts into the log, in the fields of ``meta.md`` 10.1."""
    return {
        "id": "17950",
        "caption": "Tea",
        "media_type": "IMAGE",
        "media_product_type": "FEED",
        "permalink": "https://www.instagram.com/p/x/",
        "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+0000}",
        "username": account["username"],
    } | more


@pytest.mark.parametrize("step", ["look", "search"])
async def test_post_that_was_read_meanwhile_is_adopted(publishing: Posting, step: str) -> None:
    id_, account = await unconfirmed(publishing, "instagram", "image", step, kept={"container": "1"})
    before = await asked(publishing, "instagram")
    await publishing.told("instagram", account["account_id"], "media.read", media(account))
    row = await settled(publishing, id_)
    assert (row["state"], row["platform_post_id"]) == ("published", "17950"), dict(row)
    assert row["platform_post_url"] == "https://www.instagram.com/p/x/"
    assert await asked(publishing, "instagram") == before


@pytest.mark.parametrize(
    "more",
    [
        {"caption": "Coffee"},
        {"username": "fan"},
        {"media_product_type": "REELS"},
        {"timestamp": f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%S+0000}"},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_post_that_is_not_ours_is_not_adopted(publishing: Posting, more: Mapping[str, Any]) -> None:
    id_, account = await unconfirmed(publishing, "instagram", "image", "search", kept={"container": "1"})
    await publishing.told("instagram", account["account_id"], "media.read", media(account) | more)
    assert (await settled(publishing, id_))["state"] == "unconfirmed"


def feed(account: Any, **more: Any) -> Mapping[str, Any]:
    """A notification of the feed of a page about what the page itself posted, as ``meta.md`` 3.2 has it."""
    page = account["account_id"]
    of = {"id": page, "name": account["username"]}
    said = {"item": "status", "verb": "add", "post_id": f"{page}_9", "message": "Tea", "from": of}
    return said | {"created_time": int(datetime.now(UTC).timestamp())} | more


async def tell(publishing: Posting, account: Any, value: Mapping[str, Any], *, page: str = "") -> None:
    """One callback serves pages and Instagram (``meta.md`` 1.4), so the log has it under that name."""
    await publishing.told("instagram", page or account["account_id"], "page.feed", value, project=False)


async def test_post_of_which_the_feed_of_the_page_tells_is_adopted(publishing: Posting) -> None:
    id_, account = await unconfirmed(publishing, "facebook", "text", "search", kept={"direct": True})
    await tell(publishing, account, feed(account))
    row = await settled(publishing, id_)
    assert (row["state"], row["platform_post_id"]) == ("published", f"{account['account_id']}_9"), dict(row)


@pytest.mark.parametrize(
    "more",
    [
        {"message": "Coffee"},
        {"verb": "edited"},
        {"item": "comment"},
        {"from": {"id": "5"}},
        {"photo_id": "3"},
        {"created_time": int(datetime.now(UTC).timestamp()) - 3600},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_event_of_the_feed_that_is_not_about_our_post_decides_nothing(
    publishing: Posting, more: Mapping[str, Any]
) -> None:
    id_, account = await unconfirmed(publishing, "facebook", "text", "search", kept={"direct": True})
    await tell(publishing, account, feed(account) | more)
    await tell(publishing, account, feed(account), page="998877")
    assert (await settled(publishing, id_))["state"] == "unconfirmed"


async def test_photo_is_known_by_its_id_whatever_the_text(publishing: Posting) -> None:
    kept = {"direct": True, "photos": ["3"]}
    id_, account = await unconfirmed(publishing, "facebook", "photo", "search", kept=kept)
    await tell(publishing, account, feed(account, item="photo", photo_id="4"))
    assert (await settled(publishing, id_))["state"] == "unconfirmed"
    await tell(publishing, account, feed(account, item="photo", photo_id="3", message="Tea, changed"))
    assert (await settled(publishing, id_))["state"] == "published"


async def test_own_comment_on_a_page_is_adopted(publishing: Posting) -> None:
    options = {"parent_post_id": "1_2"}
    id_, account = await unconfirmed(publishing, "facebook", "comment", "look", options=options)
    value = feed(account, item="comment", comment_id="2_7", post_id="1_2", parent_id="1_2")
    await tell(publishing, account, value)
    row = await settled(publishing, id_)
    assert (row["state"], row["platform_post_id"]) == ("published", "2_7"), dict(row)


async def test_draft_of_which_the_feed_tells_is_asked_about_at_once(publishing: Posting) -> None:
    id_, account = await unconfirmed(publishing, "facebook", "text", "look", asks=False, kept={"draft": "1_2"})
    await tell(publishing, account, feed(account, post_id="1_3"))
    assert await publishing.driver.drain() == 0
    before = await asked(publishing, "facebook")
    await tell(publishing, account, feed(account, post_id="1_2"))
    await publishing.driver.drain()
    await publishing.driver.drain()
    assert await asked(publishing, "facebook") == before + 1
    assert (await publishing.row(id_))["state"] == "unconfirmed", "the platform has the last word about a draft"


async def test_what_the_log_has_already_comes_before_the_first_question(publishing: Posting) -> None:
    """The answer to a comment is lost, and the webhook of it is there before the list of comments is read."""
    account = await account_of(publishing, "instagram")
    post = (
        await publishing.rig.sandbox.command("act", platform="instagram", what="publish", account="shop", text="Ours")
    )["id"]
    id_ = await publishing.target(account["id"], "Tea", kind="comment", options={"parent_post_id": str(post)})
    await publishing.rig.sandbox.command(
        "faults", platform="instagram", endpoint="POST */comments", effect=True, drop=True
    )
    await publishing.driver.drain()
    assert (await publishing.row(id_))["step"] == "look"
    [made] = [each for each in await publishing.shown("instagram") if each["text"] == "Tea"]
    value = comment(account, id=made["id"], media={"id": str(post)})
    await publishing.told("instagram", account["account_id"], "comments", value)
    await publishing.hurry()  # it is to be looked for now
    row = await settled(publishing, id_)
    assert (row["state"], row["platform_post_id"]) == ("published", made["id"]), dict(row)
    listed = await publishing.rig.sandbox.ledger("call", platform="instagram", method="GET")
    assert [call for call in listed if call["path"].endswith("/comments")] == []
