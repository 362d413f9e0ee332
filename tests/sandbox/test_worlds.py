"""Worlds of Instagram and TikTok from a seed, random changes of them, and their export."""

from collections import Counter
from typing import Any

import pytest

from ops.sandbox.clock import Clock
from ops.sandbox.contract import WorldSize
from ops.sandbox.simulation import Simulation
from tests.sandbox.conftest import Receiver, Stand, code, until
from tests.sandbox.reading import act, commented, graph, ids, newest, platform_of, token, walked

SMALL = {"seed": 3, "accounts": 2, "media": 25, "comments": 12}
COMMENT = "id,text,timestamp,username,like_count,hidden"
NOON = 1_790_000_000.0


def world(platform: str, size: WorldSize, busy: int = 0) -> Any:
    """What is exported of accounts that were seeded, after so many other things happened."""
    simulation = Simulation(busy + 1, Clock(NOON))
    found = simulation.platforms[platform]
    for _ in range(busy):
        found.simulate_activity()
    accounts = found.seed_world(size)["accounts"]
    return [found.export_world(account) for account in accounts]


@pytest.mark.parametrize("platform", ["instagram", "tiktok"])
def test_same_seed_makes_the_same_world_whatever_happened_before(platform: str) -> None:
    size = WorldSize(seed=3, accounts=2, media=12, comments=6, replies=0.3, days=30)
    assert world(platform, size) == world(platform, size, busy=40)
    other = world(platform, WorldSize(4, 2, 12, 6, 0.3, 30))
    assert not {item["account"] for each in other for item in each["accounts"]} & {
        item["account"] for each in world(platform, size) for item in each["accounts"]
    }


async def test_world_of_instagram_has_the_sizes_that_were_asked_for_and_is_read_to_the_end(stand: Stand) -> None:
    made = await stand.command("world", platform="instagram", **SMALL)
    assert (made["accounts"], made["media"], made["comments"]) == (["s3_001", "s3_002"], 50, 600)
    truth = await stand.world("instagram", account="s3_001")
    secret = token(stand, account="s3_001")
    fields = "id,caption,media_type,media_product_type,permalink,timestamp,like_count,comments_count,children{id}"
    pages = await walked(stand, secret, "me/media", fields=fields, limit=10)
    known = {item["id"]: item for item in truth["media"]}
    assert ids(pages) == [item["id"] for item in sorted_media(truth)]
    for item in (item for page in pages for item in page):
        children = [child["id"] for child in item.pop("children", {"data": []})["data"]]
        assert children == known[item["id"]]["children"]
        shown = {name: value for name, value in known[item["id"]].items() if name in fields.split(",")}
        assert item == {name: value for name, value in shown.items() if value is not None}
    found: dict[str, Any] = {}
    for media in ids(pages):
        for page in await walked(stand, secret, f"{media}/comments", fields=COMMENT, limit=50):
            for comment in page:
                found[comment["id"]] = comment | {"parent": None}
                for replies in await walked(stand, secret, f"{comment['id']}/replies", fields=COMMENT, limit=50):
                    found |= {reply["id"]: reply | {"parent": comment["id"]} for reply in replies}
    assert len(found) == 300
    assert found == {
        item["id"]: {name: item[name] for name in (*COMMENT.split(","), "parent")} for item in truth["comments"]
    }
    by_thread = Counter(item["parent"] for item in truth["comments"] if item["parent"])
    assert max(by_thread.values()) > 25, "a thread that is longer than a page of what is expanded"
    assert max(item["comments_count"] for item in truth["media"]) > 50


def sorted_media(truth: Any) -> list[Any]:
    listed = [item for item in truth["media"] if item["parent"] is None]
    return sorted(listed, key=lambda item: item["timestamp"], reverse=True)


async def test_seeded_account_is_behind_a_page_and_hears_of_its_comments(stand: Stand, receiver: Receiver) -> None:
    await stand.command("world", platform="instagram", seed=3, accounts=1, media=2, comments=1)
    about = {"platform": "facebook", "stream": "instagram", "url": receiver.url, "verify_token": receiver.token}
    await stand.command("webhooks", **about, all_accounts=True)
    facebook = platform_of(stand, "facebook")
    page = facebook.pages["Page s3_001"]
    user = facebook.issue("alice", list(facebook.scopes), "long", None)
    listed = await walked(stand, user, "me/accounts", "facebook", fields="id,instagram_business_account{id}")
    [shown] = [item for item in listed[0] if item["id"] == page.id]
    account = platform_of(stand).instagram.people["s3_001"].user_id
    assert shown["instagram_business_account"]["id"] == account
    secret = token(stand, "facebook", page.name)
    assert len(ids(await walked(stand, secret, f"{account}/media", "facebook"))) == 2
    await commented(stand, newest(stand, "s3_001"), account="s3_001")
    [came] = await receiver.until(1)
    assert came.json["entry"][0]["id"] == account


async def test_seeded_accounts_are_subscribed_where_all_are(stand: Stand, receiver: Receiver) -> None:
    for platform, stream in (("instagram", ""), ("facebook", "instagram")):
        about = {"platform": platform, "stream": stream, "url": receiver.url, "verify_token": receiver.token}
        await stand.command("webhooks", **about, all_accounts=True)
    await stand.command("world", platform="instagram", seed=3, accounts=1, media=1, comments=0)
    await commented(stand, newest(stand, "s3_001"), account="s3_001")
    await receiver.until(2)


async def test_share_of_the_webhooks_is_lost(stand: Stand, receiver: Receiver) -> None:
    about = {"platform": "instagram", "url": receiver.url, "verify_token": receiver.token}
    await stand.command("webhooks", **about, all_accounts=True)
    await stand.command("delivery-policy", lost=1)
    await commented(stand, newest(stand), "lost")
    await until(lambda: stand.server.simulation.dispatcher.dropped == 1)
    await stand.command("delivery-policy", lost=0)
    await commented(stand, newest(stand), "told")
    [came] = await receiver.until(1)
    assert b"told" in came.body


async def test_world_makes_room_and_says_when_it_is_there_already(stand: Stand) -> None:
    stand.server.simulation.sandbox.capacity = 10
    await stand.command("world", platform="instagram", **SMALL)
    await stand.command("world", platform="tiktok", **SMALL)
    await commented(stand, newest(stand))
    assert len((await stand.world("instagram"))["comments"]) == 601, "nothing was dropped"
    for platform in ("instagram", "tiktok"):
        refused = await stand.refused("world", platform=platform, **SMALL)
        assert refused == "the accounts of seed 3 are there already: take another seed"
    assert await stand.refused("world", platform="x") == "X is not filled by this command"
    for query in ("platform=x", "platform=myspace", "platform=instagram&account=nobody", ""):
        answer = await stand.call("GET", f"/_sandbox/world?{query}")
        assert (answer["status"], bool(answer["error"])) == (400, True)


async def test_export_says_what_was_deleted_archived_and_hidden(stand: Stand) -> None:
    """It is what a test compares tables with, so it says of everything whether a listing has it."""
    first, second, third, *_ = [media.id for media in platform_of(stand).instagram.of("shop")]
    kept, hidden, gone = [await commented(stand, first, text) for text in ("kept", "hidden", "gone")]
    below = await commented(stand, gone, "below")
    lost = await commented(stand, second)
    withheld = await commented(stand, third, kind="live")
    album = (await act(stand, "publish", text="album", kind="CAROUSEL"))["id"]
    await act(stand, "hide", id=hidden)
    await act(stand, "archive", id=third)
    for id_ in (gone, second, album):
        await act(stand, "remove", id=id_)
    found = await stand.world("instagram", account="shop")
    media = {item["id"]: (item["deleted"], item["archived"], item["readable"]) for item in found["media"]}
    assert media[first] == (False, False, True)
    assert media[second] == media[album] == (True, False, False)
    assert media[third] == (False, True, False)
    assert sum(item["parent"] == album and item["deleted"] for item in found["media"]) == 3
    comments = {item["id"]: (item["deleted"], item["hidden"], item["listed"]) for item in found["comments"]}
    assert comments == {
        kept: (False, False, True),
        hidden: (False, True, True),
        gone: (True, False, False),
        below: (True, False, False),
        lost: (True, False, False),
        withheld: (False, False, False),
    }


async def test_churn_changes_what_is_read_and_says_what_it_did(stand: Stand, receiver: Receiver) -> None:
    await stand.command("world", platform="instagram", **SMALL)
    before = await stand.world("instagram")
    done = await stand.command("churn", platform="instagram", seed=5, changes=300)
    assert set(done) == set(platform_of(stand).churn_kinds)
    after = await stand.world("instagram")
    entries = await stand.ledger("change", by="owner")
    assert len(entries) == sum(done.values())
    assert Counter(entry["action"] for entry in entries) == Counter({name: n for name, n in done.items() if n})
    deleted = {item["id"] for item in after["media"] if item["deleted"]}
    assert {entry["id"] for entry in entries if entry["action"] == "remove_media"} <= deleted
    assert before["media"] != after["media"]
    secret = token(stand, account="s3_002")
    listed = [i for i in sorted_media(after) if i["account"] == "s3_002" and i["readable"]]
    assert set(ids(await walked(stand, secret, "me/media", limit=100))) == {item["id"] for item in listed}
    assert "changes of instagram are" in await stand.refused("churn", platform="instagram", kinds=["dreams"])
    assert await stand.refused("churn", platform="x") == "changes of x are none"


async def test_saved_world_goes_on(stand: Stand) -> None:
    await stand.command("world", platform="instagram", **SMALL)
    await stand.command("world", platform="tiktok", **SMALL)
    await stand.command("limits", platform="instagram", listed=5)
    await stand.command("random-faults", platforms=["x"], share=0.5)
    await act(stand, "publish", kind="STORIES")
    truth = {name: await stand.world(name) for name in ("instagram", "tiktok")}
    await stand.command("snapshot")
    await stand.command("churn", platform="instagram", changes=50)
    await stand.command("restore")
    for name, content in truth.items():
        again = await stand.world(name)
        assert {key: value for key, value in again.items() if key != "at"} == {
            key: value for key, value in content.items() if key != "at"
        }
    secret = token(stand, account="s3_001")
    assert len(ids(await walked(stand, secret, "me/media"))) == 5
    media = newest(stand, "s3_001")
    comment = await commented(stand, media, account="s3_001")
    await act(stand, "remove", account="s3_001", id=media)
    assert code(await graph(stand, secret, comment)) == (100, 33), "indexes were restored with what they lead to"
