"""Both halves of Meta's subscriptions, with either login (``meta.md`` 1.1, 1.4, 1.5)."""

import asyncio
from typing import Any

import pytest

from ops.sandbox.platforms.facebook import INSTAGRAM_FIELDS, Facebook
from tests.sandbox.conftest import Receiver, Stand, code
from tests.sandbox.reading import PAGE, act, commented, graph, newest, platform_of, token


async def subscribed(stand: Stand, login: str, secret: str, fields: str) -> Any:
    about = {"subscribed_fields": fields, "access_token": secret}
    return await stand.call("POST", f"/{login}/v25.0/me/subscribed_apps", data=about)


async def of_account(stand: Stand, login: str, secret: str) -> list[str]:
    found = (await graph(stand, secret, "me/subscribed_apps", login))["data"]
    return [field for app in found for field in app["subscribed_fields"]]


def app_token(stand: Stand) -> str:
    return f"{Facebook.client_id}|{platform_of(stand, 'facebook').client_secret}"


async def of_app(stand: Stand) -> dict[str, list[str]]:
    """The application's half by object, as read with its own token."""
    found = await graph(stand, app_token(stand), f"{Facebook.client_id}/subscriptions", "facebook")
    return {item["object"]: item["fields"] for item in found["data"]}


async def heard(stand: Stand, receiver: Receiver) -> bool:
    """Whether a comment on the shop's newest post is told within a moment."""
    before = len(receiver.came)
    await commented(stand, newest(stand))
    for _ in range(20):
        await asyncio.sleep(0.01)
        if len(receiver.came) > before:
            return True
    return False


async def listened(stand: Stand, receiver: Receiver, login: str) -> None:
    stream = "instagram" if login == "facebook" else ""
    about = {"platform": login, "stream": stream, "url": receiver.url, "verify_token": receiver.token}
    await stand.command("webhooks", **about)


@pytest.mark.parametrize(
    ("login", "account", "kind", "field"),
    [("instagram", "shop", "instagram", "comments"), ("facebook", PAGE, "instagram", "feed")],
)
async def test_nothing_is_told_while_either_half_is_missing(
    stand: Stand, receiver: Receiver, login: str, account: str, kind: str, field: str
) -> None:
    secret = token(stand, login)
    await listened(stand, receiver, login)
    assert not await heard(stand, receiver), "the account's half is missing"
    assert (await subscribed(stand, login, secret, field))["success"]
    assert await heard(stand, receiver)
    await stand.command("subscriptions", platform=login, object=kind, fields=[])
    assert not await heard(stand, receiver), "the application's half was dropped without a word"
    assert await of_account(stand, login, secret) == [field], "and the other half says nothing of it"
    await stand.command("subscriptions", platform=login, object=kind, fields=["comments"])
    assert await heard(stand, receiver)
    await stand.command("subscriptions", platform=login, account=account, fields=[])
    assert await of_account(stand, login, secret) == []
    assert not await heard(stand, receiver), "the account's half was dropped"
    await stand.command("subscriptions", platform=login, account=account, fields=[field])
    assert await heard(stand, receiver)
    await stand.call("DELETE", f"/{login}/v25.0/me/subscribed_apps?access_token={secret}")
    assert not await heard(stand, receiver)


async def test_half_of_the_application_is_read_with_its_token_and_shows_what_was_dropped(
    stand: Stand, receiver: Receiver
) -> None:
    await listened(stand, receiver, "facebook")
    await stand.command("webhooks", platform="facebook", stream="page", url=receiver.url, verify_token=receiver.token)
    found = await of_app(stand)
    assert set(found) == {"page", "instagram"}
    assert found["instagram"] == sorted(INSTAGRAM_FIELDS)
    await stand.command("subscriptions", platform="facebook", object="page", fields=[])
    assert set(await of_app(stand)) == {"instagram"}
    assert code(await graph(stand, token(stand, "facebook"), f"{Facebook.client_id}/subscriptions", "facebook")) == (
        15,
        None,
    )


async def test_object_instagram_is_set_by_a_call_only_where_that_is_allowed(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 1.1: unconfirmed."""
    path = f"/facebook/v25.0/{Facebook.client_id}/subscriptions"
    form = {"object": "instagram", "callback_url": receiver.url, "verify_token": receiver.token}
    form |= {"fields": "comments,live_comments", "access_token": app_token(stand)}
    assert code(await stand.call("POST", path, data=form)) == (100, None)
    await stand.command("variants", platform="facebook", name="instagram_object", variant="accepted")
    assert code(await stand.call("POST", path, data=form | {"fields": "comments,feed"})) == (100, None), "as a whole"
    assert await of_app(stand) == {}
    assert (await stand.call("POST", path, data=form))["success"]
    assert await of_app(stand) == {"instagram": ["comments", "live_comments"]}
    assert (await stand.call("DELETE", path, params={"access_token": app_token(stand)}))["success"]
    assert await of_app(stand) == {}


@pytest.mark.parametrize(
    ("login", "first", "second"), [("instagram", "comments", "messages"), ("facebook", "feed", "mention")]
)
async def test_second_subscription_replaces_the_first_or_adds_to_it(
    stand: Stand, login: str, first: str, second: str
) -> None:
    """``meta.md`` 1.5: unconfirmed, so that the read-back is the truth."""
    secret = token(stand, login)
    for variant, expected in (("replaces", [second]), ("adds", [first, second])):
        await stand.command("variants", platform=login, name="subscribing", variant=variant)
        await stand.call("DELETE", f"/{login}/v25.0/me/subscribed_apps?access_token={secret}")
        for field in (first, second):
            assert (await subscribed(stand, login, secret, field))["success"]
        assert await of_account(stand, login, secret) == expected
        assert code(await subscribed(stand, login, secret, f"{first},dreams")) == (100, None)
        assert await of_account(stand, login, secret) == expected, "what is refused changes nothing"


async def test_half_that_there_is_not_cannot_be_dropped(stand: Stand) -> None:
    for fields, why in (
        ({"platform": "x"}, "X has no subscriptions of two halves"),
        ({"platform": "instagram", "account": "nobody"}, "account is one of"),
        ({"platform": "instagram", "fields": ["feed"]}, "the fields of object instagram are"),
        ({"platform": "instagram", "object": "page"}, "the fields of object instagram are"),
        ({"platform": "facebook", "object": "user"}, "it is page or instagram"),
        ({"platform": "facebook", "fields": ["message"]}, "the fields of object page are"),
        ({"platform": "facebook", "account": "shop"}, "a page is subscribed"),
        ({"platform": "facebook", "account": PAGE, "object": "instagram"}, "a page is subscribed"),
    ):
        assert why in await stand.refused("subscriptions", **fields)
    await act(stand, "unsubscribe")
