"""Clients that nobody here wrote read a whole world, and agree with its export."""

import asyncio
from typing import Any

from facebook_business.adobjects.igcomment import IGComment
from facebook_business.adobjects.igmedia import IGMedia
from facebook_business.adobjects.iguser import IGUser
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession
from pyfacebook import GraphAPI

from ops.sandbox.platforms.facebook import Facebook
from tests.sandbox.conftest import Stand
from tests.sandbox.reading import platform_of, token

COMMENT = ["id", "text", "username", "timestamp", "hidden"]
SEED = {"platform": "instagram", "seed": 6, "accounts": 1, "media": 11, "comments": 12}


def truth_of(world: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Captions of the media that are listed, and the comments that are, each with its parent."""
    media = {item["id"]: item["caption"] for item in world["media"] if item["readable"] and not item["parent"]}
    comments = {
        item["id"]: {name: item[name] for name in (*COMMENT, "parent")} for item in world["comments"] if item["listed"]
    }
    return media, comments


async def test_metas_own_client_reads_the_world_of_an_account_behind_a_page(stand: Stand) -> None:
    await stand.command("world", **SEED)
    await stand.command("limits", platform="facebook", short_pages=0.5)
    secret = token(stand, "facebook", "Page s6_001")
    session = FacebookSession(Facebook.client_id, platform_of(stand, "facebook").client_secret, secret)
    session.GRAPH = f"{stand.url}/facebook"
    api = FacebookAdsApi(session, api_version="v25.0")
    account = platform_of(stand).instagram.people["s6_001"].user_id

    def read() -> tuple[dict[str, Any], dict[str, Any]]:
        media: dict[str, Any] = {}
        comments: dict[str, Any] = {}
        for item in IGUser(account, api=api).get_media(fields=["id", "caption"], params={"limit": 4}):
            media[item["id"]] = item.get("caption")
            for comment in IGMedia(item["id"], api=api).get_comments(fields=COMMENT, params={"limit": 50}):
                comments[comment["id"]] = {name: comment[name] for name in COMMENT} | {"parent": None}
                for reply in IGComment(comment["id"], api=api).get_replies(fields=COMMENT, params={"limit": 50}):
                    comments[reply["id"]] = {name: reply[name] for name in COMMENT} | {"parent": comment["id"]}
        return media, comments

    assert await asyncio.to_thread(read) == truth_of(await stand.world("instagram", account="s6_001"))


async def test_another_client_reads_the_world_by_instagrams_own_login(stand: Stand) -> None:
    await stand.command("world", **SEED)
    await stand.command("churn", platform="instagram", seed=2, changes=60)
    client = GraphAPI(
        access_token=token(stand, account="s6_001"),
        version="v25.0",
        ignore_version_check=True,
        base_url=f"{stand.url}/instagram/",
    )

    def listed(id_: str, edge: str, fields: str) -> list[dict[str, Any]]:
        found = client.get_full_connections(object_id=id_, connection=edge, count=None, limit=50, fields=fields)
        return list(found["data"])

    def read() -> tuple[dict[str, Any], dict[str, Any]]:
        media = {item["id"]: item.get("caption") for item in listed("me", "media", "id,caption")}
        comments: dict[str, Any] = {}
        for id_ in media:
            for comment in listed(id_, "comments", ",".join(COMMENT)):
                comments[comment["id"]] = comment | {"parent": None}
                for reply in listed(comment["id"], "replies", ",".join(COMMENT)):
                    comments[reply["id"]] = reply | {"parent": comment["id"]}
        return media, comments

    assert await asyncio.to_thread(read) == truth_of(await stand.world("instagram", account="s6_001"))
