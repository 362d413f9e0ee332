"""What Mastodon, X and LinkedIn tell of their own accord, by the numbers and the vectors of their pages."""

import asyncio
import base64
import json
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest
import tweepy
from mastodon.errors import MastodonNotFoundError

from ops.sandbox.platforms import linkedin, x
from ops.sandbox.x_webhooks import CONSUMER_KEY
from tests.sandbox import test_linkedin, test_mastodon, test_x
from tests.sandbox.conftest import Receiver, Stand, until

HOUR, DAY = 3600, 86_400


def platform(stand: Stand, name: str) -> Any:
    return stand.server.simulation.platforms[name]


async def addressed(stand: Stand, receiver: Receiver, name: str, *, all_accounts: bool = True) -> Any:
    """The receiver's address, entered in the portal."""
    await stand.command("webhooks", platform=name, url=receiver.url, secret=receiver.secret, all_accounts=all_accounts)
    return platform(stand, name)


async def act(stand: Stand, name: str, what: str, account: str, **more: str) -> Any:
    return await stand.command("act", platform=name, what=what, account=account, **more)


async def quiet(stand: Stand) -> None:
    await until(lambda: len(stand.server.simulation.dispatcher) == 0)


# --- Mastodon (mastodon.md 7, 10)

MASTODON_SECRET = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (
            (
                '{"event":"status.created","created_at":"2026-01-02T03:04:05.678Z",'
                '"object":{"id":"115824000000000001","content":"<p>café</p>"}}'
            ),
            "47aaa660d93d1300618834d3f27825e6d34e7a562becdc8708af245f7019ec13",
        ),
        (
            '{"event":"account.approved","created_at":"2026-01-02T03:04:05.678Z","object":{"id":"123456789"}}',
            "17f8637df04e9f277b0982a4264dd06c041894dae4d08ed6ac94f2c454f68106",
        ),
    ],
)
async def test_mastodon_signs_as_the_vectors_say(stand: Stand, body: str, digest: str) -> None:
    headers = platform(stand, "mastodon").signature(body.encode(), MASTODON_SECRET, 0, 0)
    assert headers == {"X-Hub-Signature": f"sha256={digest}"}


async def test_mastodon_tells_of_statuses_and_a_reply_is_a_mention(stand: Stand, receiver: Receiver) -> None:
    person = await test_mastodon.connected(stand)
    await addressed(stand, receiver, "mastodon")
    status = await person("status_post", "mine")
    reply = (await act(stand, "mastodon", "comment", "alice", post=status.id, by="fan_7", text="nice"))["id"]
    await person("status_update", status, "mine, edited")
    came = {(r.json["event"], r.json["object"]["id"]): r.json for r in await receiver.until(5)}
    fan = platform(stand, "mastodon").fans["fan_7"]
    assert set(came) == {
        ("status.created", str(status.id)),
        ("account.created", fan),
        ("account.approved", fan),
        ("status.created", reply),
        ("status.updated", str(status.id)),
    }
    assert came["status.created", reply]["object"]["in_reply_to_id"] == str(status.id)
    seen = came["account.created", fan]["object"]
    assert (seen["email"], seen["account"]["acct"]) == ("fan_7@example.org", "fan_7"), "as administrators see it"
    [mention] = await person("notifications")
    assert (mention.type, mention.account.username, str(mention.status.id)) == ("mention", "fan_7", reply)
    assert (await person("notifications", mention.id)).id == mention.id
    await act(stand, "mastodon", "remove", "alice", id=reply)
    assert (await person("status_context", status)).descendants == [], "and nobody is told"
    assert await person("notifications") == [], "the mention went with it"
    with pytest.raises(MastodonNotFoundError):
        await person("notifications", mention.id)
    await quiet(stand)
    assert len(receiver.came) == 5


async def test_mastodon_tells_of_accounts_statuses_and_reports(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "mastodon")
    for _ in range(300):
        found.simulate_activity()
    await stand.command("clock", jump=1)
    await quiet(stand)
    last = {r.json["event"]: r.json["object"] for r in receiver.came}
    assert set(last) == {
        *("account.approved", "account.created", "account.updated"),
        *("report.created", "status.created", "status.updated"),
    }
    report = last["report.created"]
    [status] = report["statuses"]
    assert report["target_account"]["account"]["acct"] == status["account"]["acct"]
    assert report["account"]["username"] in found.people()
    assert "<p>" in status["content"]


async def test_mastodon_tries_16_times_more_and_a_refusal_ends_it(stand: Stand, receiver: Receiver) -> None:
    mastodon = await addressed(stand, receiver, "mastodon")
    assert (len(mastodon.retry_seconds), mastodon.retry_seconds[:3]) == (16, (15, 16, 31))
    ends = [status for status in (None, 200, 202, 302, 400, 401, 403, 404, 408, 410, 429, 500, 501, 503)
            if mastodon.ends_delivery(status)]  # fmt: skip
    assert ends == [200, 202, 400, 403, 404, 410, 501]
    receiver.statuses = [503, 401, 410]
    await act(stand, "mastodon", "publish", "bob", text="x")
    for number, pause in enumerate((16, 17), 1):
        await until(lambda number=number: len(stand.server.simulation.ledger.find("webhook")) >= number)
        await stand.command("clock", jump=pause)
    came = await receiver.until(3)
    assert len({request.body for request in came}) == 1, "the stored body is sent again"
    await quiet(stand)


# --- X (x.md 2, 3, 10)

X_SECRET = "x_consumer_secret_ABC123"


@pytest.mark.parametrize(
    ("body", "digest"),
    [
        (
            (
                '{"data":{"event_uuid":"2080761390344937796","filter":{"user_id":"1111111111111111111"},'
                '"event_type":"post.create","tag":"posts","payload":{"id":"2080761390344937796","text":"café"}}}'
            ),
            "px5G+xHziCmQ4jjFfN0LIPTzE5OrvOcJ/DIi3GodsAE=",
        ),
        (
            (
                '{"for_user_id":"2244994945","tweet_delete_events":[{"status":{"id":"1045405559317569537",'
                '"user_id":"2244994945"},"timestamp_ms":"1432228155593"}]}'
            ),
            "Lkgv4cGwIfVL0QZ+zN/7CuhcqarDc0W6dKVL3JWPciI=",
        ),
    ],
)
async def test_x_signs_and_asks_as_the_vectors_say(stand: Stand, body: str, digest: str) -> None:
    found = platform(stand, "x").signature(body.encode(), X_SECRET, 0, 0)
    assert found == {"x-twitter-webhooks-signature": f"sha256={digest}"}
    token = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"
    assert platform(stand, "x").crc(token, X_SECRET) == "sha256=I/x7d4+XZ6iprNptd1UaEogCa8impi/kMlO6cgfR6Kc="


async def bearer(stand: Stand, receiver: Receiver) -> dict[str, str]:
    """The application's own token."""
    platform(stand, "x").signing_secret = receiver.secret
    basic = base64.b64encode(f"{CONSUMER_KEY}:{receiver.secret}".encode()).decode()
    found = await stand.call(
        "POST",
        "/x/oauth2/token",
        data={"grant_type": "client_credentials"},
        headers={"Authorization": f"Basic {basic}"},
    )
    return {"Authorization": f"Bearer {found['access_token']}"}


async def test_x_takes_one_webhook_that_passes_its_check(stand: Stand, receiver: Receiver) -> None:
    headers = await bearer(stand, receiver)

    async def create(url: str) -> Any:
        return await stand.call("POST", "/x/2/webhooks", json={"url": url}, headers=headers)

    for url, reason in (
        ("http://app.example/hook", "UrlValidationFailed"),
        ("http://[", "UrlValidationFailed"),
        ("https://app.example:port/hook", "UrlValidationFailed"),
        ("https://app.example:99999/hook", "UrlValidationFailed"),
        ("https://10.0.0.1/hook", "UrlValidationFailed"),
        ("https://intranet/hook", "UrlValidationFailed"),
        ("ftp://127.0.0.1/hook", "UrlValidationFailed"),
        ("https://app.example:8443/hook", "UrlValidationFailed"),
        (f"https://app.example/{'x' * 200}", "UrlValidationFailed"),
        (receiver.url.replace("/hook", "/nothing"), "CrcValidationFailed"),
    ):
        assert (await create(url))["reason"] == reason
    made = (await create(receiver.url))["data"]
    assert (made["url"], made["valid"]) == (receiver.url, True)
    assert (await create(receiver.url))["reason"] == "DuplicateUrlFailed"
    assert (await create(receiver.url + "?2"))["reason"] == "WebhookLimitExceeded"
    path = f"/x/2/webhooks/{made['id']}"
    assert (await stand.call("PUT", path, headers=headers))["data"] == {"valid": True}
    assert (await stand.call("GET", "/x/2/webhooks", headers=headers))["meta"]["result_count"] == 1
    assert (await stand.call("DELETE", path, headers=headers))["data"] == {"deleted": True}
    assert (await stand.call("PUT", path, headers=headers))["reason"] == "WebhookIdInvalid"
    assert (await stand.call("GET", "/x/2/webhooks"))["status"] == 401
    own = {"Authorization": f"Bearer {(await test_x.connected(stand)).token['access_token']}"}
    assert (await stand.call("GET", "/x/2/webhooks", headers=own))["status"] == 403, (
        "a person's is not the application's"
    )


async def test_nobody_looks_after_an_address_that_was_taken_away(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "x")
    headers = await bearer(stand, receiver)
    await asyncio.sleep(0.05)
    await stand.call("DELETE", f"/x/2/webhooks/{next(iter(found.webhooks))}", headers=headers)
    asked, server = len(receiver.asked), stand.server
    await stand.command("clock", jump=HOUR + 1)
    await asyncio.sleep(0.05)
    assert (len(receiver.asked), server._checks) == (asked, {}), "and the server does not turn in circles"


async def test_x_checks_every_hour_and_says_nothing_to_an_invalid_webhook(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "x")
    headers = await bearer(stand, receiver)
    [webhook] = found.webhooks.values()
    asked = len(receiver.asked)
    await asyncio.sleep(0.05)  # the first check is planned when it looks the next time
    await stand.command("clock", jump=HOUR + 1)
    await until(lambda: len(receiver.asked) == asked + 1)
    receiver.secret = "another"
    await stand.command("clock", jump=HOUR + 1)
    await until(lambda: not webhook.valid)
    await act(stand, "x", "publish", "alice", text="unheard")
    assert receiver.came == []
    receiver.secret = found.signing_secret
    assert (await stand.call("PUT", f"/x/2/webhooks/{webhook.id}", headers=headers))["data"] == {"valid": True}
    await act(stand, "x", "publish", "alice", text="heard")
    [came] = await receiver.until(1)
    assert came.json["data"]["payload"]["text"] == "heard"


async def test_x_subscriptions_say_who_may_hear_what_in_three_forms(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "x", all_accounts=False)
    headers = await bearer(stand, receiver)
    person = await test_x.connected(stand)
    alice, webhook = found.accounts["alice"], next(iter(found.webhooks))

    async def subscribe(event: str, given: dict[str, str], **more: Any) -> Any:
        command = {"event_type": event, "filter": {"user_id": alice}, "webhook_id": webhook} | more
        return await stand.call("POST", "/x/2/activity/subscriptions", json=command, headers=given)

    own = {"Authorization": f"Bearer {person.token['access_token']}"}
    made = (await subscribe("post.create", headers, tag="posts"))["data"]["subscription"]
    assert (await subscribe("post.reply.create", headers))["status"] == 403, "private"
    await stand.command("variants", platform="x", name="subscription", variant="object")
    assert "subscription_id" in (await subscribe("post.reply.create", own))["data"]
    await stand.command("variants", platform="x", name="subscription", variant="array")
    assert isinstance((await subscribe("post.delete", headers))["data"], list)
    assert (await subscribe("like.create", own))["status"] == 403, "the scope was not asked for"
    assert (await subscribe("dreams", headers))["status"] == 400
    assert (await subscribe("post.create", headers, tag="x" * 201))["status"] == 400
    mine = (await act(stand, "x", "publish", "alice", text="mine"))["id"]
    reply = (await act(stand, "x", "comment", "alice", post=mine, by="fan_1", text="yes"))["id"]
    await act(stand, "x", "remove", "alice", id=mine)
    came = {r.json["data"]["event_type"]: r.json["data"] for r in await receiver.until(3)}
    assert set(came) == {"post.create", "post.reply.create", "post.delete"}
    assert came["post.create"]["event_uuid"] == mine, "it equals the post's id"
    assert came["post.create"]["tag"] == "posts"
    replied = came["post.reply.create"]["payload"]
    assert (replied["id"], replied["in_reply_to_tweet_id"]) == (reply, mine)
    assert replied["referenced_tweets"] == [{"type": "replied_to", "id": mine}]
    assert replied["public_metrics"]["like_count_str"] == "0"
    assert came["post.delete"]["payload"] == {"id": mine, "author_id": alice}
    assert came["post.delete"]["includes"]["users"][0]["data"]["id"] == alice
    path = f"/x/2/activity/subscriptions/{made['subscription_id']}"
    assert (await stand.call("PUT", path, json={"tag": "t"}, headers=headers))["data"]["subscription"]["tag"] == "t"
    for wrong in ({"tag": "x" * 201}, {"webhook_id": "1"}):
        assert (await stand.call("PUT", path, json=wrong, headers=headers))["status"] == 400
    assert (await subscribe("profile.update.bio", headers))["data"], "it may be asked for, though it never happens here"
    assert (await stand.call("DELETE", path, headers=headers))["data"] == {"deleted": True}
    assert (await stand.call("DELETE", path, headers=headers))["status"] == 404
    found.subscriptions |= {str(n): next(iter(found.subscriptions.values())) for n in range(1500)}
    assert (await subscribe("post.create", headers))["detail"] == "SubscriptionLimitExceeded"


async def test_x_replays_what_was_told_and_has_the_older_products_bodies(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "x")
    headers = await bearer(stand, receiver)
    post = (await act(stand, "x", "publish", "shop", text="once"))["id"]
    await receiver.until(1)
    minute = stand.server.simulation.clock.now().strftime("%Y%m%d%H%M")
    command = {"webhook_id": next(iter(found.webhooks)), "from_date": minute, "to_date": minute}
    assert "job_id" in (await stand.call("POST", "/x/2/webhooks/replay", json=command, headers=headers))["data"]
    again = await receiver.until(2)
    assert again[0].body == again[1].body
    wrong = await stand.call("POST", "/x/2/webhooks/replay", json=command | {"from_date": "soon"}, headers=headers)
    assert wrong["status"] == 400
    await stand.command("variants", platform="x", name="product", variant="account")
    await act(stand, "x", "publish", "shop", text="twice")
    await act(stand, "x", "remove", "shop", id=post)
    await act(stand, "x", "revoke", "shop")
    shapes = [set(r.json) - {"for_user_id"} for r in (await receiver.until(5))[2:]]
    assert sorted(map(sorted, shapes)) == [["tweet_create_events"], ["tweet_delete_events"], ["user_event"]]


async def test_x_bears_errors_of_a_check_for_28_hours_and_a_redirect_not_once(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "x")
    [webhook] = found.webhooks.values()

    async def checked(status: int) -> bool:
        """Whether it is valid after a check was answered so."""
        asked, receiver.asking = len(receiver.asked), status
        await asyncio.sleep(0.05)
        await stand.command("clock", jump=HOUR + 1)
        await until(lambda: len(receiver.asked) > asked)
        await asyncio.sleep(0.05)
        return bool(webhook.valid)

    assert await checked(503)
    await stand.command("clock", jump=25 * HOUR)
    assert await checked(503)
    await stand.command("clock", jump=2 * HOUR)
    assert not await checked(503), "more than 28 hours"
    assert await checked(200), "it passes again"
    assert not await checked(302)


async def test_x_tries_again_and_drops_what_waits_for_an_invalid_webhook(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "x")
    [webhook] = found.webhooks.values()
    receiver.statuses = [500, 200, 500]
    await act(stand, "x", "publish", "alice", text="heard")
    await until(lambda: len(stand.server.simulation.ledger.find("webhook")) == 1)
    await stand.command("clock", jump=6)
    first, second = await receiver.until(2)
    assert first.body == second.body
    await act(stand, "x", "publish", "alice", text="unheard")
    await until(lambda: len(stand.server.simulation.ledger.find("webhook")) == 3)
    webhook.valid = False
    await stand.command("clock", jump=6)
    await quiet(stand)
    assert len(receiver.came) == 3


async def test_x_forgets_a_webhook_that_is_taken_away_in_the_portal(stand: Stand, receiver: Receiver) -> None:
    await addressed(stand, receiver, "x")
    headers = await bearer(stand, receiver)
    await stand.command("webhooks", platform="x")
    assert (await stand.call("GET", "/x/2/webhooks", headers=headers))["data"] == []
    assert (await stand.call("POST", "/x/2/webhooks", json={"url": receiver.url}, headers=headers))["data"]["valid"]


async def test_x_subscribes_three_people_once_each_to_the_older_product(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "x", all_accounts=False)
    path = f"/x/2/account_activity/webhooks/{next(iter(found.webhooks))}/subscriptions/all"
    await stand.command("variants", platform="x", name="product", variant="account")
    tokens = []
    for name in ("alice", "bob"):
        tokens.append({"Authorization": f"Bearer {(await test_x.connected(stand, name)).token['access_token']}"})
        assert (await stand.call("POST", path, headers=tokens[-1]))["data"] == {"subscribed": True}
    assert (await stand.call("POST", path, headers=tokens[0]))["reason"] == "DuplicateSubscriptionFailed"
    mine = (await act(stand, "x", "publish", "alice", text="mine"))["id"]
    await act(stand, "x", "comment", "alice", post=mine, by="bob", text="ours")
    bodies = [r.json for r in await receiver.until(3)]
    assert sorted(body["for_user_id"] for body in bodies) == sorted(
        [found.accounts["alice"], found.accounts["alice"], found.accounts["bob"]]
    ), "two people in one reply: two deliveries"
    replies = [body["tweet_create_events"][0]["in_reply_to_status_id_str"] for body in bodies]
    assert sorted(map(str, replies)) == sorted(["None", mine, mine])
    found.older[next(iter(found.webhooks))] += ["another"]
    assert (await stand.call("POST", path, headers=tokens[0]))["reason"] == "DuplicateSubscriptionFailed"
    shop = {"Authorization": f"Bearer {(await test_x.connected(stand, 'shop')).token['access_token']}"}
    assert (await stand.call("POST", path, headers=shop))["reason"] == "SubscriptionLimitExceeded"


async def test_x_likes_name_one_post(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "x")
    for _ in range(200):
        found.simulate_activity()
    await stand.command("clock", jump=1)
    await quiet(stand)
    likes = [r.json["data"]["payload"] for r in receiver.came if r.json["data"]["event_type"] == "like.create"]
    assert len(likes) > 10
    assert {like["liked_tweet_author_id"] for like in likes} <= set(found.accounts.values())
    assert all(int(like["id"], 16) and like["liked_tweet_id"].isdigit() for like in likes), "x.md 3.2"


async def test_tweepy_finds_mentions_and_conversations(stand: Stand) -> None:
    person = await test_x.connected(stand)
    found = platform(stand, "x")
    mine = (await act(stand, "x", "publish", "alice", text="mine"))["id"]
    reply = (await act(stand, "x", "comment", "alice", post=mine, by="fan_1", text="hello @alice"))["id"]
    below = (await act(stand, "x", "comment", "alice", post=reply, by="fan_2", text="and you"))["id"]
    client = tweepy.Client(person.token["access_token"])
    test_x.rerouted(client.session, stand)
    mentions = await asyncio.to_thread(client.get_users_mentions, found.accounts["alice"])
    assert [str(post.id) for post in mentions.data] == [reply]
    talk = await asyncio.to_thread(client.search_recent_tweets, f"conversation_id:{mine}")
    assert [str(post.id) for post in talk.data] == [below, reply]


# --- LinkedIn (linkedin.md 2, 8)

LINKEDIN_SECRET = "li_client_secret_XYZ789"
BODY_A = (
    '{"type":"ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS","notifications":[{"notificationId":369668042,'
    '"organizationalEntity":"urn:li:organization:1000","action":"LIKE","sourcePost":"urn:li:share:6800000000000000000",'
    '"lastModifiedAt":1760000000000,"generatedActivity":"urn:li:activity:6800000000000000001",'
    '"subscriber":"urn:li:person:abc123"}]}'
)


async def test_linkedin_signs_and_asks_as_the_vectors_say(stand: Stand) -> None:
    found = platform(stand, "linkedin")
    digest = "0a0c5a3e2cb6ebfdccfa0e52ab453ac0bfd4da2c7d977b7cc6b08b78f1b15a58"
    assert found.signature(BODY_A.encode(), LINKEDIN_SECRET, 0, 0) == {"X-LI-Signature": digest}
    body_b = b'{"type":"LEAD_ACTION","leadAction":"CREATED","occurredAt":1760000000000}'
    assert found.signature(body_b, LINKEDIN_SECRET, 0, 0) == {
        "X-LI-Signature": "a1d9179bef883650cc1312ba78ba97bed9f8a0837d9f8a8846d1df9295af352d"
    }
    await stand.command("variants", platform="linkedin", name="prefix", variant="prefixed")
    assert found.signature(BODY_A.encode(), LINKEDIN_SECRET, 0, 0) == {"X-LI-Signature": f"hmacsha256={digest}"}
    answer = "6af61ad8b0b2181c4fbbcd9a30fe1d2d26274f9d26caea7a1506dbd26b0edf26"
    assert found.challenge("890e4665-4dfe-4ab1-b689-ed553bceeed0", LINKEDIN_SECRET) == answer


async def administrator(stand: Stand) -> Any:
    person = await test_linkedin.administrator(stand)
    return test_linkedin.Person(stand, person.token, platform(stand, "linkedin").urn("alice"))


def key(user: str, entity: str) -> str:
    text = f"(developerApplication:urn:li:developerApplication:1,user:{user},entity:{entity},eventType:"
    return quote(f"{text}ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS)", safe="(),:")


async def test_linkedin_subscribes_administrators_of_validated_addresses(stand: Stand, receiver: Receiver) -> None:
    found = platform(stand, "linkedin")
    receiver.secret = linkedin.CLIENT_SECRET
    person = await administrator(stand)
    acme, bakery = found.urn("acme"), found.urn("bakery")
    path = f"/rest/eventSubscriptions/{key(person.urn, acme)}"
    command = {"webhook": receiver.url}
    assert (await person.call("PUT", path, json=command))[1]["code"] == "INVALID_WEBHOOK"
    await addressed(stand, receiver, "linkedin", all_accounts=False)
    assert (await person.call("PUT", path, json=command))[0] == 204
    assert (await person.call("GET", path))[1]["webhook"] == receiver.url
    other = f"/rest/eventSubscriptions/{key(person.urn, bakery)}"
    assert (await person.call("PUT", other, json=command))[0] == 403
    assert (await person.call("PUT", "/rest/eventSubscriptions/(x)", json=command))[0] == 400
    roles = (await person.call("GET", "/rest/organizationAcls?q=roleAssignee&state=APPROVED"))[1]["elements"]
    assert [role["organization"] for role in roles] == [acme]
    status, _, headers = await person.post("for all of us", author=acme)
    urn = headers["x-restli-id"]
    said = (await act(stand, "linkedin", "comment", "acme", post=urn, by="fan_1", text="nice (really)"))["id"]
    comments = f"/rest/socialActions/{quote(urn, safe='')}/comments"
    answer = {"actor": acme, "message": {"text": "thank you (so much)"}}
    replied = (await person.call("POST", comments, json=answer))[1]
    assert replied["message"]["text"] == "thank you (so much)", "comments are plain text"
    await act(stand, "linkedin", "remove", "acme", id=said)
    listed = (await person.call("GET", comments))[1]["elements"]
    assert (status, [item["id"] for item in listed]) == (201, [replied["id"]])
    came = [n for r in await receiver.until(3) for n in r.json["notifications"]]
    assert [item["action"] for item in sorted(came, key=lambda item: item["notificationId"])] == [
        "COMMENT",
        "ADMIN_COMMENT",
        "COMMENT_DELETE",
    ]
    assert {(item["organizationalEntity"], item["sourcePost"], item["subscriber"]) for item in came} == {
        (acme, urn, person.urn)
    }
    history = f"/rest/organizationalEntityNotifications?q=criteria&organizationalEntity={quote(acme)}"
    assert (await person.call("GET", history))[1]["paging"]["total"] == 3
    assert {entry["account"] for entry in await stand.ledger("post")} == {"acme"}
    assert (await person.call("DELETE", f"{comments}/{replied['id']}"))[0] == 204
    assert (await person.call("DELETE", path))[0] == 204
    await quiet(stand)
    heard = len(receiver.came)
    await act(stand, "linkedin", "comment", "acme", post=urn, text="unheard")
    await quiet(stand)
    assert len(receiver.came) == heard


async def test_linkedin_sends_ten_at_a_time_again_every_5_minutes_for_8_hours(stand: Stand, receiver: Receiver) -> None:
    found = await addressed(stand, receiver, "linkedin")
    assert (set(found.retry_seconds), sum(found.retry_seconds)) == ({300}, 8 * HOUR)
    assert [status for status in (200, 204, 299, 300, 401, 500) if found.ends_delivery(status)] == [200, 204, 299]
    await stand.command("delivery-policy", batch_seconds=3600)
    post = (await act(stand, "linkedin", "publish", "acme", text="p"))["id"]
    for number in range(25):
        await act(stand, "linkedin", "comment", "acme", post=post, text=str(number))
    await asyncio.sleep(0.05)
    receiver.statuses = [500]
    await stand.command("clock", jump=3601)
    came = await receiver.until(3)
    assert sorted(len(request.json["notifications"]) for request in came) == [5, 10, 10]
    await until(lambda: len(stand.server.simulation.ledger.find("webhook")) == 3)
    await stand.command("clock", jump=301)
    assert len((await receiver.until(4))[3].json["notifications"]) in (5, 10)


async def test_linkedin_blocks_after_three_failed_checks_until_it_is_entered_again(
    stand: Stand, receiver: Receiver
) -> None:
    found = await addressed(stand, receiver, "linkedin")
    post = (await act(stand, "linkedin", "publish", "acme", text="p"))["id"]
    secret, receiver.secret = receiver.secret, "another"
    await asyncio.sleep(0.05)
    for number in range(1, 4):
        assert not found.blocked
        await stand.command("clock", jump=2 * HOUR - 100)
        if number == 3:
            receiver.statuses = [500]
            await act(stand, "linkedin", "comment", "acme", post=post, text="tried once")
            await until(lambda: len(stand.server.simulation.ledger.find("webhook")) == 1)
        await stand.command("clock", jump=101)
        await until(lambda number=number: found._failed == number)
    assert found.blocked
    await stand.command("clock", jump=300)
    await quiet(stand)
    assert len(receiver.came) == 1, "what was to be tried again is dropped"
    receiver.came.clear()
    await act(stand, "linkedin", "comment", "acme", post=post, text="unheard")
    assert "did not pass" in await stand.refused("webhooks", platform="linkedin", url=receiver.url)
    receiver.secret = secret
    await stand.command("webhooks", platform="linkedin", url=receiver.url)
    await act(stand, "linkedin", "comment", "acme", post=post, text="heard")
    [came] = await receiver.until(1)
    assert json.loads(came.body)["notifications"][0]["action"] == "COMMENT"


async def test_linkedin_tells_of_public_posts_only(stand: Stand, receiver: Receiver) -> None:
    receiver.secret = linkedin.CLIENT_SECRET
    found = await addressed(stand, receiver, "linkedin")
    person = await administrator(stand)
    for visibility in ("LOGGED_IN", "PUBLIC"):
        _, _, headers = await person.post(visibility, author=found.urn("acme"), visibility=visibility)
        await act(stand, "linkedin", "comment", "acme", post=headers["x-restli-id"], by="fan_1", text="hm")
    [came] = await receiver.until(1)
    await quiet(stand)
    assert ([n["sourcePost"] for n in came.json["notifications"]], len(receiver.came)) == ([headers["x-restli-id"]], 1)


async def test_linkedin_comments_as_whom_the_scopes_allow(stand: Stand) -> None:
    found = platform(stand, "linkedin")
    acme, alice = found.urn("acme"), found.urn("alice")
    post = (await act(stand, "linkedin", "publish", "acme", text="p"))["id"]
    said = (await act(stand, "linkedin", "comment", "acme", post=post, by="fan_1", text="hm"))["id"]
    comments = f"/rest/socialActions/{quote(post, safe='')}/comments"
    await test_linkedin.community_management(stand)
    for scope, allowed in (("w_member_social", alice), ("w_organization_social", acme)):
        code = (await stand.consent(test_linkedin.question(stand, scope=scope)))["code"]
        person = test_linkedin.Person(stand, (await test_linkedin.exchange(stand, code=code))[1])
        answers = {
            actor: (await person.call("POST", comments, json={"actor": actor, "message": {"text": "x"}}))[0]
            for actor in (alice, acme, found.urn("bakery"))
        }
        assert {actor for actor, status in answers.items() if status == 201} == {allowed}
        removed = (await person.call("DELETE", f"{comments}/{said}"))[0]
        assert removed == (204 if allowed == acme else 404), "a fan's is the organization's to remove"


async def test_linkedin_shows_when_a_comment_was_edited(stand: Stand) -> None:
    found = platform(stand, "linkedin")
    person = await administrator(stand)
    for _ in range(120):
        found.simulate_activity()
        stand.server.simulation.clock.jump(1)
    listed = []
    for post in found.visible_posts("acme"):
        path = f"/rest/socialActions/{quote(post['id'], safe='')}/comments"
        listed += (await person.call("GET", path))[1]["elements"]
    edited = {c["commentUrn"]: c for c in listed if c["lastModified"]["time"] > c["created"]["time"]}
    noticed = {n["generatedActivity"] for _, n in found.notifications if n["action"] == "COMMENT_EDIT"}
    assert edited
    assert set(edited) == noticed & {c["commentUrn"] for c in listed}


async def test_linkedin_subscription_ends_with_the_grant_without_a_word(stand: Stand, receiver: Receiver) -> None:
    found = platform(stand, "linkedin")
    receiver.secret = linkedin.CLIENT_SECRET
    await addressed(stand, receiver, "linkedin", all_accounts=False)
    for end in ("application", "person"):
        person = await administrator(stand)
        path = f"/rest/eventSubscriptions/{key(person.urn, found.urn('acme'))}"
        assert (await person.call("PUT", path, json={"webhook": receiver.url}))[0] == 204
        if end == "application":
            assert (await test_linkedin.form(stand, "revoke", token=person.token["access_token"]))[0] == 200
        else:
            assert (await act(stand, "linkedin", "revoke", "alice"))["ended"] == 1
        assert found.subscriptions == {}
    assert receiver.came == []
    states = [entry["state"] for entry in await stand.ledger("token")]
    assert states == ["revoked", "revoked by the person"]


async def test_linkedin_version_ends_by_command(stand: Stand) -> None:
    person = await test_linkedin.connected(stand)
    assert (await person.post("one"))[0] == 201
    await stand.command("sunset", platform="linkedin", version="202609")
    status, body, _ = await person.post("two")
    assert (status, body["code"]) == (426, "NONEXISTENT_VERSION")
    assert "is none of" in await stand.refused("sunset", platform="linkedin", version="202609")
    assert "no versions that end" in await stand.refused("sunset", platform="tiktok", version="v2")
    assert x.CLIENT_ID != linkedin.CLIENT_ID


@pytest.mark.parametrize("name", ["mastodon", "x", "linkedin"])
async def test_mail_that_comes_twice_is_the_same_both_times(stand: Stand, receiver: Receiver, name: str) -> None:
    found = await addressed(stand, receiver, name)
    account = found.people()[-1]
    post = (await act(stand, name, "publish", account, text="p"))["id"]
    await stand.command("clock", jump=1)
    await quiet(stand)
    receiver.came.clear()
    await stand.command("delivery-policy", duplicated=1.0, delay_seconds=30)
    await act(stand, name, "comment", account, post=post, by="alice", text="c")
    await stand.command("clock", jump=31)
    await quiet(stand)
    assert set(Counter(request.body for request in receiver.came).values()) == {2}
    for request in receiver.came:
        [(header, signature)] = found.signature(request.body, receiver.secret, 0, 0).items()
        assert request.headers[header.lower()] == signature


@pytest.mark.parametrize("name", ["mastodon", "x", "linkedin", "instagram", "threads", "tiktok"])
async def test_life_is_told_and_shown(stand: Stand, receiver: Receiver, name: str) -> None:
    receiver.token = platform(stand, name).verify_token
    found = await addressed(stand, receiver, name)
    for _ in range(120):
        found.simulate_activity()
    for _ in range(3):  # what comes of one thing takes its time too
        await stand.command("clock", jump=600)
        await until(lambda: (found.next_due() or 9e9) > stand.server.simulation.clock.seconds())
    await quiet(stand)
    assert len(receiver.came) > (30 if name not in ("instagram", "linkedin") else 0), "those two pack many into one"
    shown = [post for account in found.people() for post in found.visible_posts(account)]
    assert len(shown) > 3
    if name != "tiktok":
        assert any(post["comments"] for post in shown)
    simulation = await stand.state()
    assert set(simulation["platforms"][name]["accounts"]) == set(found.people())
    gone = await act(stand, name, "revoke", found.people()[0])
    assert gone == {"ended": 0}
    await stand.refused("act", platform=name, what="comment", account=found.people()[0], post="1", text="x")
    await stand.refused("act", platform=name, what="remove", account=found.people()[0], id="1")
    await stand.refused("act", platform=name, what="live", account="nobody")
