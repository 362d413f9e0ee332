"""The same posts, made by us and by the clients that others use, leave equal entries in the sandbox's ledger."""

import asyncio
import json
import re
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import tweepy
from facebook_business.adobjects.page import Page
from facebook_business.api import FacebookAdsApi
from facebook_business.session import FacebookSession
from mastodon import Mastodon

from schema.tenancy import DEFAULT_TENANT
from tests.posting import SHIPPED, Posting

COMPARED = ("account", "text", "by", "files", "options", "endpoint")
"""What an entry says of a post, apart from its id and its time."""

TIME = r"20[0-9-]{8}T[0-9:.]+Z"

POLL = {"options": ["black", "green"], "seconds": 3600}


async def token(publishing: Posting, id_: str) -> str:
    secrets = await publishing.rig.refresher.access(DEFAULT_TENANT, id_)
    return str(secrets["access_token"])


async def ours(publishing: Posting, account: str, text: str, **more: Any) -> None:
    row = await publishing.run(await publishing.target(account, text, **more))
    assert row["state"] == "published", dict(row)


async def equal(publishing: Posting, platform: str) -> None:
    """The two posts of the ledger are the same, but for the mark at the end of their texts and the ids in them."""
    first, second = [
        json.dumps({name: post.get(name) for name in COMPARED}, sort_keys=True)
        for post in await publishing.shown(platform)
    ]
    assert "Tea 1" in first
    assert unmarked(first) == unmarked(second)


def unmarked(entry: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(re.sub(r"\d{9,}", "id", re.sub("Tea [12]", "Tea", re.sub(TIME, "time", entry))))
    return found


@pytest.mark.parametrize("kind", ["text", "images", "poll"])
async def test_mastodon_py_makes_the_same_posts(publishing: Posting, kind: str) -> None:
    [account] = await publishing.rig.connect("mastodon")
    client = Mastodon(
        access_token=await token(publishing, account),
        api_base_url=f"{publishing.rig.sandbox.url}/mastodon",
        version_check_mode="none",
    )
    media = [publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)] if kind == "images" else []
    await ours(publishing, account, "Tea 1", kind=kind, media=media, options={"poll": POLL} if kind == "poll" else {})

    def post() -> None:
        more: dict[str, Any] = {}
        if kind == "images":
            file = client.media_post((SHIPPED / "picture.jpg").read_bytes(), "image/jpeg", description="a picture")
            more["media_ids"] = [file]
        if kind == "poll":
            more["poll"] = client.make_poll(POLL["options"], POLL["seconds"])
        client.status_post("Tea 2", **more)

    await asyncio.to_thread(post)
    await equal(publishing, "mastodon")


async def test_facebook_business_makes_the_same_posts(publishing: Posting) -> None:
    account = (await publishing.rig.connect("facebook"))[0]
    [row] = await publishing.rig.raw("SELECT account_id FROM connections WHERE id = $1::uuid", account)
    await ours(publishing, account, "Tea 1")
    session = FacebookSession(access_token=await token(publishing, account))
    rerouted(session.requests, f"{publishing.rig.sandbox.url}/facebook")
    page = Page(row["account_id"], api=FacebookAdsApi(session, api_version="v25.0"))

    def post() -> None:
        draft = page.create_feed(params={"message": "Tea 2", "published": "false"})
        session.requests.post(
            f"https://graph.facebook.com/v25.0/{draft['id']}",
            {"is_published": "true", "access_token": session.access_token},
        ).raise_for_status()

    await asyncio.to_thread(post)
    await equal(publishing, "facebook")


@pytest.mark.parametrize("kind", ["text", "poll"])
async def test_tweepy_makes_the_same_posts(publishing: Posting, kind: str) -> None:
    [account] = await publishing.rig.connect("x")
    options = {"poll": {"options": POLL["options"], "minutes": 60}} if kind == "poll" else {}
    await ours(publishing, account, "Tea 1", kind=kind, options=options)
    client = tweepy.Client(await token(publishing, account))
    rerouted(client.session, f"{publishing.rig.sandbox.url}/x")
    more = {"poll_options": POLL["options"], "poll_duration_minutes": 60} if kind == "poll" else {}
    await asyncio.to_thread(client.create_tweet, text="Tea 2", user_auth=False, **more)
    await equal(publishing, "x")


async def test_requests_by_linkedins_documentation_make_the_same_posts(publishing: Posting) -> None:
    account = (await publishing.rig.connect("linkedin"))[0]
    [row] = await publishing.rig.raw("SELECT account_id FROM connections WHERE id = $1::uuid", account)
    await ours(publishing, account, "Tea 1")
    [sent] = await publishing.rig.sandbox.ledger("call", platform="linkedin", path="/rest/posts")
    headers = {
        "Authorization": f"Bearer {await token(publishing, account)}",
        "Linkedin-Version": "202609",
        "X-Restli-Protocol-Version": "2.0.0",
    }
    author = row["account_id"]
    body = {
        "author": author if author.startswith("urn:") else f"urn:li:person:{author}",
        "commentary": "Tea 2",
        "visibility": "PUBLIC",
        "distribution": {"feedDistribution": "MAIN_FEED", "targetEntities": [], "thirdPartyDistributionChannels": []},
        "lifecycleState": "PUBLISHED",
        "isReshareDisabledByAuthor": False,
    }
    url = f"{publishing.rig.sandbox.url}/linkedin{sent['path']}"
    made = await asyncio.to_thread(requests.post, url, json=body, headers=headers, timeout=10)
    assert made.status_code == 201, made.text
    await equal(publishing, "linkedin")


def rerouted(session: requests.Session, url: str) -> None:
    """Send what a client asks its platform for to the sandbox."""
    send = session.request

    def request(method: str, address: str, *rest: Any, **more: Any) -> requests.Response:
        parts = urlsplit(address)
        return send(method, f"{url}{parts.path}" + (f"?{parts.query}" if parts.query else ""), *rest, **more)

    session.request = request  # type: ignore[method-assign]
