"""TikTok's lists, queries and counters (``tiktok.md`` 12, 17)."""

from typing import Any

import pytest

from tests.sandbox.conftest import Receiver, Stand
from tests.sandbox.reading import act, platform_of, token
from tests.sandbox.test_tiktok import post, uploaded

FIELDS = "id,create_time,title,video_description,like_count,comment_count,share_count,view_count,share_url,is_aigc"
SEED = {"platform": "tiktok", "seed": 2, "accounts": 2, "media": 30}


async def listed(stand: Stand, secret: str, again: int = 0, count: int = 20, fields: str = "id") -> list[list[Any]]:
    """The pages of a whole list; each is asked for from ``again`` milliseconds above the end of the one before."""
    pages: list[list[Any]] = []
    body: dict[str, int] = {"max_count": count}
    while True:
        data = (await post(stand, secret, f"video/list/?fields={fields}", body))["data"]
        pages.append(data["videos"])
        if not data["has_more"]:
            return pages
        body["cursor"] = data["cursor"] + again


async def queried(stand: Stand, secret: str, *ids: str, fields: str = "id") -> list[Any]:
    filters = {"filters": {"video_ids": list(ids)}}
    found: list[Any] = (await post(stand, secret, f"video/query/?fields={fields}", filters))["data"]["videos"]
    return found


def ids(pages: list[list[Any]]) -> list[str]:
    return [video["id"] for page in pages for video in page]


async def test_world_is_listed_to_its_end_with_the_numbers_of_its_export(stand: Stand) -> None:
    assert (await stand.command("world", **SEED))["media"] == 60
    truth = await stand.world("tiktok", account="s2_001")
    public = [video for video in truth["videos"] if video["public"]]
    assert len(public) == 27, "every tenth is not public"
    secret = token(stand, "tiktok", "s2_001")
    pages = await listed(stand, secret, fields=FIELDS)
    assert [len(page) for page in pages] == [20, 7]
    for shown, known in zip([v for page in pages for v in page], reversed(public), strict=True):
        assert shown["title"] == shown["video_description"] == known["text"][:150]
        same = ("id", "create_time", "like_count", "comment_count", "share_count", "view_count")
        assert {name: shown[name] for name in same} == {name: known[name] for name in same}
        assert shown["share_url"].startswith(known["share_url"])
    assert max(len(video["text"]) for video in public) > 150
    headers = {"Authorization": f"Bearer {secret}"}
    names = "follower_count,following_count,likes_count,video_count"
    user = (await stand.call("GET", f"/tiktok/v2/user/info/?fields={names}", headers=headers))["data"]["user"]
    [account] = truth["accounts"]
    assert user == {name: account[name] for name in names.split(",")}
    assert (user["video_count"], user["likes_count"]) == (27, sum(video["like_count"] for video in public))


async def test_posts_of_one_second_are_lost_at_the_end_of_a_page_unless_it_is_asked_for_again(stand: Stand) -> None:
    """``tiktok.md`` 12: ask again from ``cursor + 1000``."""
    await stand.command("world", **SEED)
    secret = token(stand, "tiktok", "s2_001")
    whole = ids(await listed(stand, secret))
    assert ids(await listed(stand, secret, count=1)) == whole, "of milliseconds, no post is lost"
    await stand.command("variants", platform="tiktok", name="cursor", variant="second")
    assert len(ids(await listed(stand, secret, count=1))) < len(whole)
    seen = ids(await listed(stand, secret, count=5, again=1000))
    assert list(dict.fromkeys(seen)) == whole
    assert len(seen) > len(whole), "some come twice"


@pytest.mark.parametrize("cursor", ["millisecond", "second"])
async def test_pages_are_short_or_empty_although_more_follows(stand: Stand, cursor: str) -> None:
    await stand.command("world", **SEED)
    await stand.command("variants", platform="tiktok", name="cursor", variant=cursor)
    secret = token(stand, "tiktok", "s2_001")
    whole = ids(await listed(stand, secret))
    await stand.command("limits", platform="tiktok", short_pages=0.7)
    pages = await listed(stand, secret, count=4, again=1000 if cursor == "second" else 0)
    assert list(dict.fromkeys(ids(pages))) == whole
    assert {len(page) for page in pages[:-1]} > {0}


async def test_post_becomes_private_and_public_again(stand: Stand, receiver: Receiver) -> None:
    """``tiktok.md`` 2.4: the application hears of its own posts only."""
    await stand.command("webhooks", platform="tiktok", url=receiver.url)
    secret = token(stand, "tiktok")
    own = (await act(stand, "publish", "tiktok", text="in the app"))["id"]
    publish = await uploaded(stand, secret)
    await stand.command("clock", jump=21)
    await stand.command("clock", jump=41)
    await receiver.until(2)
    made = platform_of(stand, "tiktok").publishes[publish].post_ids[0]
    for id_ in (own, made):
        await act(stand, "hide", "tiktok", id=id_)
        await act(stand, "hide", "tiktok", id=id_)
    assert not {own, made} & set(ids(await listed(stand, secret)))
    assert await queried(stand, secret, own, made) == []
    for id_ in (own, made):
        await act(stand, "unhide", "tiktok", id=id_)
        await act(stand, "unhide", "tiktok", id=id_)
    assert {video["id"] for video in await queried(stand, secret, own, made)} == {own, made}
    came = await receiver.until(4)
    assert [delivery.json["event"].rpartition(".")[2] for delivery in came] == [
        "complete",
        "publicly_available",
        "no_longer_publicaly_available",
        "publicly_available",
    ]


async def test_query_leaves_out_what_is_foreign_private_and_gone(stand: Stand) -> None:
    secret = token(stand, "tiktok")
    shop, other = (platform_of(stand, "tiktok")._public(name)[0].id for name in ("shop", "alice"))
    private = (await act(stand, "publish", "tiktok", text="p"))["id"]
    gone = (await act(stand, "publish", "tiktok", text="g"))["id"]
    await act(stand, "hide", "tiktok", id=private)
    await act(stand, "remove", "tiktok", id=gone)
    assert await queried(stand, secret, shop, other, private, gone, "1") == [{"id": shop}]
    found = {video["id"]: video for video in (await stand.world("tiktok", account="shop"))["videos"]}
    assert (found[private]["public"], found[private]["deleted"]) == (False, False)
    assert (found[gone]["public"], found[gone]["deleted"]) == (False, True)


async def test_private_account_shows_no_post(stand: Stand) -> None:
    """``tiktok.md`` 17: if no id comes back, nothing is learned."""
    secret = token(stand, "tiktok")
    shown = ids(await listed(stand, secret))
    await stand.command("account", platform="tiktok", account="shop", settings={"private": True})
    assert ids(await listed(stand, secret)) == []
    assert await queried(stand, secret, *shown) == []
    await stand.command("account", platform="tiktok", account="shop", settings={"private": False})
    assert ids(await listed(stand, secret)) == shown


async def test_permission_to_list_is_taken_back(stand: Stand) -> None:
    secret = token(stand, "tiktok")
    assert (await act(stand, "withdraw", "tiktok", text="video.list"))["tokens"] == 1
    assert (await post(stand, secret, "video/list/?fields=id"))["error"]["code"] == "scope_not_authorized"
    assert "one of" in await stand.refused("act", platform="tiktok", what="withdraw", account="shop", text="dreams")
    assert "cannot take back" in await stand.refused("act", platform="x", what="withdraw", account="alice")


async def test_counters_captions_and_profiles_change(stand: Stand) -> None:
    secret = token(stand, "tiktok")
    id_ = platform_of(stand, "tiktok")._public("shop")[0].id

    async def counted() -> tuple[int, int, int, int, str]:
        [video] = await queried(stand, secret, id_, fields=FIELDS)
        return tuple(video[name] for name in ("like_count", "view_count", "comment_count", "share_count", "title"))

    assert (await counted())[:4] == (5, 100, 1, 0)
    await act(stand, "like", "tiktok", id=id_, count=3)
    await act(stand, "edit", "tiktok", id=id_, text="new words " + "x" * 150)
    assert await counted() == (8, 121, 1, 0, "new words " + "x" * 140)
    settings = {"likes": 1, "comments": 2, "shares": 3, "views": 4}
    await stand.command("object", platform="tiktok", id=id_, settings=settings)
    assert (await counted())[:4] == (1, 4, 2, 3)
    assert "settings are" in await stand.refused("object", platform="tiktok", id=id_, settings={"likes": "1"})
    assert await stand.refused("object", platform="tiktok", id="1", settings={}) == "there is no post 1"
    assert await stand.refused("act", platform="tiktok", what="archive", account="shop", id=id_) == (
        "TikTok has nothing for archive"
    )


async def test_posts_of_photos_may_be_in_no_list(stand: Stand) -> None:
    """``tiktok.md`` 12: unconfirmed."""
    secret = token(stand, "tiktok")
    photo = platform_of(stand, "tiktok")._post("shop", "photos", public=True, photo=True).id
    assert photo in ids(await listed(stand, secret))
    await stand.command("variants", platform="tiktok", name="photo_posts", variant="absent")
    assert photo not in ids(await listed(stand, secret))


async def test_cover_can_be_fetched_for_six_hours(stand: Stand) -> None:
    secret = token(stand, "tiktok")
    [[video, *_]] = await listed(stand, secret, fields="cover_image_url")

    async def fetched() -> tuple[int, str]:
        async with stand.http.get(video["cover_image_url"]) as response:
            return response.status, response.content_type

    assert await fetched() == (200, "image/jpeg")
    await stand.command("clock", jump=6 * 3600 + 1)
    assert (await fetched())[0] == 403


async def test_budget_of_an_account_ends_in_a_429_for_a_minute(stand: Stand) -> None:
    shop, alice = token(stand, "tiktok"), token(stand, "tiktok", "alice")
    await stand.command("limits", platform="tiktok", account="shop", calls=2)
    answers = [await post(stand, shop, "video/list/?fields=id") for _ in range(3)]
    assert [answer["error"]["code"] for answer in answers] == ["ok", "ok", "rate_limit_exceeded"]
    assert answers[2]["status"] == 429
    assert (await post(stand, shop, "video/query/?fields=id", {"filters": {"video_ids": ["1"]}}))["error"][
        "code"
    ] == "ok"
    assert (await post(stand, alice, "video/list/?fields=id"))["error"]["code"] == "ok"
    await stand.command("clock", jump=61)
    assert (await post(stand, shop, "video/list/?fields=id"))["error"]["code"] == "ok"
    spent = await stand.spent(platform="tiktok", account="shop")
    assert spent == {"POST /v2/video/list/": 4, "POST /v2/video/query/": 1}


async def test_churn_of_tiktok_says_what_it_did(stand: Stand) -> None:
    await stand.command("world", **SEED)
    done = await stand.command("churn", platform="tiktok", seed=9, changes=120)
    assert set(done) == {"publish", "like", "edit", "hide", "unhide", "remove"}
    assert all(done.values())
    truth = (await stand.world("tiktok"))["videos"]
    assert sum(video["deleted"] for video in truth) == done["remove"]
    for account in ("s2_001", "s2_002"):
        public = {video["id"] for video in truth if video["account"] == account and video["public"]}
        assert set(ids(await listed(stand, token(stand, "tiktok", account)))) == public
