"""X's webhooks, activity subscriptions and simulated activity: ``x.md`` 2 and 3."""

import base64
import hashlib
import hmac
import ipaddress
import json
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ops.sandbox import sample_text
from ops.sandbox.contract import (
    Answer,
    Call,
    CommandError,
    Fetched,
    OutboundRequest,
    Platform,
    PlatformEvent,
    Refusal,
    Route,
    Sandbox,
    forget_oldest,
)

CONSUMER_KEY = "sandbox-x-consumer"
URL_CHARACTERS, TAG_CHARACTERS = 200, 200
WEBHOOKS, SUBSCRIPTIONS = 1, 1500
LOOPBACK = ("127.0.0.1", "::1", "localhost")
UNCHECKED = timedelta(hours=28)
"""A webhook without a passed check for so long becomes invalid."""

PROFILE = (
    *("bio", "profile_picture", "banner_picture", "screenname", "handle", "geo", "url", "verified_badge"),
    "affiliate_badge",
)
PUBLIC = (
    *("post.create", "post.delete", "follow.follow", "follow.unfollow"),
    *(f"profile.update.{part}" for part in PROFILE),
    *("spaces.start", "spaces.end", "broadcast.start", "broadcast.end"),
)
PRIVATE = {
    "post.mention.create": "tweet.read",
    "post.reply.create": "tweet.read",
    "post.quote.create": "tweet.read",
    "post.repost.create": "tweet.read",
    "like.create": "like.read",
    "dm.received": "dm.read",
    "dm.sent": "dm.read",
    "dm.read": "dm.read",
    "dm.indicate_typing": "dm.read",
    "broadcast.chat": "broadcast.read",
    "oauth.revoke": "users.read",
}
"""Private events with the scope that each needs (``x.md`` 3). Not all of them are simulated."""
OLDER = ("post.create", "post.delete", "follow.follow", "follow.unfollow", *PRIVATE)
"""Events of the older product."""
OLDER_USERS = 3


@dataclass
class Post:
    """``conversation`` is the id of the first post of its conversation."""

    id: str
    account: str
    text: str
    created: datetime
    media: list[str]
    reply_to: str | None
    poll: dict[str, Any] | None
    conversation: str = ""
    hidden: bool = False


@dataclass
class Webhook:
    id: str
    url: str
    created: datetime
    passed: datetime
    valid: bool = True


@dataclass
class Subscription:
    id: str
    event: str
    filter: dict[str, str]
    webhook: str | None
    created: datetime
    tag: str | None = None


class XWebhooks(Platform):
    """The webhook part of X. The other part has the posts, the accounts and their tokens."""

    accounts: dict[str, str]
    posts: dict[str, Post]
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        "subscription": ("wrapped", "object", "array"),
        "product": ("activity", "account"),
    }
    retry_seconds = (5, 30, 120, 600, 3600)  # unconfirmed: the pages promise only retries
    recheck_seconds = 3600.0

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.fans: dict[str, str] = {}
        self.webhooks: dict[str, Webhook] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.older: dict[str, list[str]] = {}
        """Accounts by webhook that the older product subscribed to."""
        self.everyone_subscribed = False
        """Whether everything is told of everybody, as someone may command here."""
        self._bearers: set[str] = set()
        self._last_check: int | None = None
        """Status of the last check of the address."""
        self._told: deque[PlatformEvent] = deque(maxlen=sandbox.capacity)

    def new_id(self) -> str:
        raise NotImplementedError

    def scopes_of(self, call: Call) -> tuple[str, list[str]] | None:
        """Return account and scopes of the call's token; None without a live one."""
        raise NotImplementedError

    def problem(self, status: int, slug: str | None, title: str, detail: str, **more: Any) -> Refusal:
        kind = f"https://api.x.com/2/problems/{slug}" if slug else "about:blank"
        return Refusal(Answer(status, {"type": kind, "title": title, "detail": detail, "status": status} | more))

    def webhook_routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/oauth2/token", self.app_token),
            Route("POST", "/2/webhooks", self.create_webhook),
            Route("GET", "/2/webhooks", self.list_webhooks),
            Route("POST", "/2/webhooks/replay", self.replay),
            Route("PUT", "/2/webhooks/{id}", self.check_webhook),
            Route("DELETE", "/2/webhooks/{id}", self.delete_webhook),
            Route("POST", "/2/activity/subscriptions", self.subscribe),
            Route("GET", "/2/activity/subscriptions", self.list_subscriptions),
            Route("PUT", "/2/activity/subscriptions/{id}", self.change_subscription),
            Route("DELETE", "/2/activity/subscriptions/{id}", self.end_subscription),
            Route("POST", "/2/account_activity/webhooks/{id}/subscriptions/all", self.subscribe_account),
        )

    # --- the application's own token, and its webhooks (x.md 2.1)

    def app_token(self, call: Call) -> Answer:
        if call.basic != (CONSUMER_KEY, self.signing_secret) or call.text("grant_type") != "client_credentials":
            error = {"code": 99, "message": "Unable to verify your credentials", "label": "authenticity_token_error"}
            raise Refusal(Answer(403, {"errors": [error]}))
        secret = f"AAAA{self.sandbox.secret(60)}"
        self._bearers.add(secret)
        return Answer(content={"token_type": "bearer", "access_token": secret})

    def _as_app(self, call: Call) -> None:
        """Raises a 401 for no token, and a 403 for a person's (``x.md`` 7)."""
        if call.bearer not in self._bearers and self.scopes_of(call) is None:
            raise self.problem(401, None, "Unauthorized", "Unauthorized")
        if call.bearer not in self._bearers:
            raise self.problem(
                403, "unsupported-authentication", "Unsupported Authentication", "Use an app-only token."
            )

    def create_webhook(self, call: Call) -> Answer | OutboundRequest:
        self._as_app(call)
        url = call.text("url") or ""
        if len(url) > URL_CHARACTERS or not acceptable(url):
            raise self._failed("UrlValidationFailed")
        if any(webhook.url == url for webhook in self.webhooks.values()):
            raise self._failed("DuplicateUrlFailed")
        if len(self.webhooks) >= WEBHOOKS:
            raise self._failed("WebhookLimitExceeded")
        return self._asked(url, partial(self._created, url))

    def _failed(self, reason: str) -> Refusal:
        return self.problem(400, "invalid-request", "Invalid Request", reason, reason=reason)

    def _asked(self, url: str, then: Callable[[bool], Any]) -> OutboundRequest:
        outbound = self.handshake(url, then)
        assert outbound is not None  # noqa: S101  X has one
        return outbound

    def _created(self, url: str, passed: bool) -> Answer:  # noqa: FBT001
        if not passed:
            raise self._failed("CrcValidationFailed")
        self.callbacks[""] = url
        self.callback_set("")
        [webhook] = self.webhooks.values()
        return Answer(content={"data": self._webhook(webhook)})

    def _webhook(self, webhook: Webhook) -> dict[str, Any]:
        created = webhook.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"id": webhook.id, "url": webhook.url, "valid": webhook.valid, "created_at": created}

    def list_webhooks(self, call: Call) -> Answer:
        self._as_app(call)
        data = [self._webhook(webhook) for webhook in self.webhooks.values()]
        return Answer(content={"data": data, "meta": {"result_count": len(data)}})

    def check_webhook(self, call: Call) -> Answer | OutboundRequest:
        self._as_app(call)
        return self._asked(self._known(call).url, partial(self._rechecked, self._known(call)))

    def _rechecked(self, webhook: Webhook, passed: bool) -> Answer:  # noqa: FBT001
        webhook.valid = passed
        if not passed:
            raise self._failed("CrcValidationFailed")
        webhook.passed = self.sandbox.clock.now()
        return Answer(content={"data": {"valid": True}})

    def delete_webhook(self, call: Call) -> Answer:
        self._as_app(call)
        del self.webhooks[self._known(call).id]
        self.callbacks.clear()
        return Answer(content={"data": {"deleted": True}})

    def _known(self, call: Call) -> Webhook:
        if call.parts["id"] not in self.webhooks:
            raise self._failed("WebhookIdInvalid")
        return self.webhooks[call.parts["id"]]

    def replay(self, call: Call) -> Answer:
        """Send the events between two minutes again, both included."""
        self._as_app(call)
        if call.text("webhook_id") not in self.webhooks:
            raise self._failed("WebhookIdInvalid")
        try:
            first, last = (
                datetime.strptime(f"{call.text(name)}+0000", "%Y%m%d%H%M%z") for name in ("from_date", "to_date")
            )
        except ValueError:
            raise self.problem(400, "invalid-request", "Invalid Request", "dates are yyyymmddhhmm, in UTC") from None
        until = last.timestamp() + 60
        self.sandbox.outbox += [event for event in self._told if first.timestamp() <= event.at < until]
        return Answer(content={"data": {"job_id": self.new_id(), "created_at": self.sandbox.at}})

    # --- CRC and signature (x.md 2.2, 2.3)

    def crc(self, token: str, secret: str) -> str:
        return "sha256=" + base64.b64encode(hmac.digest(secret.encode(), token.encode(), hashlib.sha256)).decode()

    def handshake(self, url: str, then: Callable[[bool], Any]) -> OutboundRequest | None:
        token = self.sandbox.secret(32)

        def judged(fetched: Fetched) -> Any:
            self._last_check = fetched.status
            try:
                given = json.loads(fetched.content)["response_token"]
            except (ValueError, TypeError, KeyError):
                given = None
            return then(fetched.status == 200 and given == self.crc(token, self.signing_secret))

        return OutboundRequest(url, judged, {"crc_token": token})

    def callback_removed(self, stream: str) -> None:
        self.webhooks.clear()

    def is_paused(self, stream: str) -> bool:
        return not any(webhook.valid for webhook in self.webhooks.values())

    def callback_set(self, stream: str) -> None:
        now = self.sandbox.clock.now()
        self.webhooks = {(id_ := self.new_id()): Webhook(id_, self.callbacks[stream], now, now)}

    def handshake_repeated(self, stream: str, *, passed: bool) -> None:
        """Invalidate the webhook: at once for a wrong token or a redirect, after 28 hours of errors and time-outs."""
        status, now = self._last_check, self.sandbox.clock.now()
        for webhook in self.webhooks.values():
            if passed:
                webhook.passed, webhook.valid = now, True
            elif (status is not None and status < 400) or now - webhook.passed > UNCHECKED:
                webhook.valid = False

    def signature(self, body: bytes, secret: str, first: float, now: float) -> Mapping[str, str]:
        digest = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
        return {"x-twitter-webhooks-signature": f"sha256={digest}"}

    def batch_key(self, event: PlatformEvent) -> Hashable:
        return event.number

    # --- subscriptions (x.md 3)

    def subscribe(self, call: Call) -> Answer:
        event, command = call.text("event_type") or "", call.fields.get("filter")
        wanted = {str(k): str(v) for k, v in command.items()} if isinstance(command, dict) else {}
        tag, webhook = call.text("tag"), call.text("webhook_id")
        if event not in PUBLIC and event not in PRIVATE:
            raise self.problem(400, "invalid-request", "Invalid Request", f"event_type {event!r} is unknown")
        if wanted.get("user_id") not in self.accounts.values() or len(tag or "") > TAG_CHARACTERS:
            raise self.problem(400, "invalid-request", "Invalid Request", "filter.user_id or tag is not valid")
        if webhook is not None and webhook not in self.webhooks:
            raise self._failed("WebhookIdInvalid")
        self._may_hear(call, event, wanted["user_id"])
        if len(self.subscriptions) >= SUBSCRIPTIONS:
            raise self.problem(403, "client-forbidden", "Forbidden", "SubscriptionLimitExceeded")
        made = Subscription(self.new_id(), event, wanted, webhook, self.sandbox.clock.now(), tag)
        self.subscriptions[made.id] = made
        shown = self._shown_subscription(made)
        forms: dict[str, Any] = {"wrapped": {"subscription": shown}, "object": shown, "array": [shown]}
        return Answer(content={"data": forms[self.variant("subscription")]})

    def _may_hear(self, call: Call, event: str, user: str) -> None:
        """Check the token: the application's for public events, the person's own for private ones."""
        if event in PUBLIC:
            return self._as_app(call)
        person = self.scopes_of(call)
        if person is None or self.accounts[person[0]] != user or PRIVATE[event] not in person[1]:
            raise self.problem(403, "client-forbidden", "Forbidden", "A private event needs the person's own token.")
        return None

    def _shown_subscription(self, made: Subscription) -> dict[str, Any]:
        at = made.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        shown = {"subscription_id": made.id, "event_type": made.event, "filter": made.filter}
        shown |= {"created_at": at, "updated_at": at}
        more = {"tag": made.tag, "webhook_id": made.webhook}
        return shown | {name: value for name, value in more.items() if value is not None}

    def list_subscriptions(self, call: Call) -> Answer:
        self._as_app(call)
        data = [self._shown_subscription(made) for made in self.subscriptions.values()]
        return Answer(content={"data": data, "meta": {"result_count": len(data)}})

    def change_subscription(self, call: Call) -> Answer:
        made, tag, webhook = self._own_subscription(call), call.text("tag"), call.text("webhook_id")
        if len(tag or "") > TAG_CHARACTERS:
            raise self.problem(400, "invalid-request", "Invalid Request", "tag is not valid")
        if webhook is not None and webhook not in self.webhooks:
            raise self._failed("WebhookIdInvalid")
        made.tag, made.webhook = tag or made.tag, webhook or made.webhook
        return Answer(content={"data": {"subscription": self._shown_subscription(made)}})

    def end_subscription(self, call: Call) -> Answer:
        del self.subscriptions[self._own_subscription(call).id]
        return Answer(content={"data": {"deleted": True}})

    def _own_subscription(self, call: Call) -> Subscription:
        self._as_app(call)
        if call.parts["id"] not in self.subscriptions:
            raise self.problem(404, "resource-not-found", "Not Found Error", "There is no such subscription.")
        return self.subscriptions[call.parts["id"]]

    def subscribe_account(self, call: Call) -> Answer:
        """Subscribe to all events of a person, with the older product."""
        person = self.scopes_of(call)
        if person is None:
            raise self.problem(401, None, "Unauthorized", "Unauthorized")
        webhook, user = self._known(call), self.accounts[person[0]]
        if user in self.older.setdefault(webhook.id, []):
            raise self._failed("DuplicateSubscriptionFailed")
        if len(self.older[webhook.id]) >= OLDER_USERS:
            raise self._failed("SubscriptionLimitExceeded")
        self.older[webhook.id].append(user)
        for event in OLDER:
            made = Subscription(self.new_id(), event, {"user_id": user}, webhook.id, self.sandbox.clock.now())
            self.subscriptions[made.id] = made
        return Answer(content={"data": {"subscribed": True}})

    # --- events (x.md 3)

    def emit(self, event: str, account: str, payload: dict[str, Any], uuid: str | None = None, **includes: Any) -> None:
        """Queue an event for each matching subscription, unless the webhook is invalid."""
        if self.is_paused(""):
            return
        user = self.accounts[account]
        wanted = [
            made
            for made in self.subscriptions.values()
            if made.event == event and made.filter["user_id"] == user and made.webhook in self.webhooks
        ]
        if not wanted and self.everyone_subscribed:
            wanted = [Subscription("", event, {"user_id": user}, None, self.sandbox.clock.now())]
        number = uuid or str(self.sandbox.rng.randint(-(2**63), 2**63 - 1))  # it may be negative
        for made in wanted:
            data = {"event_uuid": number, "filter": {} if event == "oauth.revoke" else made.filter, "event_type": event}
            data |= {"tag": made.tag} if made.tag else {}
            data |= {"payload": payload} | ({"includes": includes} if includes else {})
            self.notify(event, account, data)
            self._told.append(self.sandbox.outbox[-1])

    def body(self, events: Sequence[PlatformEvent]) -> bytes:
        [event] = events
        document = {"data": event.value} if self.variant("product") == "activity" else self._legacy(event)
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()

    def _legacy(self, event: PlatformEvent) -> dict[str, Any]:
        """Return the older product's body: one array, named by its kind (``x.md`` 3.1)."""
        payload, at = event.value["payload"], str(int(event.at * 1000))
        user = self.accounts[event.account]
        if event.topic == "oauth.revoke":
            return {"user_event": {"revoke": payload}}
        if event.topic == "post.delete":
            status = {"id": payload["id"], "user_id": payload["author_id"]}
            return {"for_user_id": user, "tweet_delete_events": [{"status": status, "timestamp_ms": at}]}
        if event.topic == "like.create":
            return {"for_user_id": user, "favorite_events": [payload]}
        if event.topic.startswith("follow."):
            kind = event.topic.partition(".")[2]
            return {"for_user_id": user, "follow_events": [payload | {"type": kind, "created_timestamp": at}]}
        tweet = {
            "id_str": payload["id"],
            "text": payload["text"],
            "user": {"id_str": payload["author_id"]},
            "in_reply_to_status_id_str": payload.get("in_reply_to_tweet_id"),
            "timestamp_ms": at,
        }
        return {"for_user_id": user, "tweet_create_events": [tweet]}

    # --- life

    def author(self, account: str) -> str:
        return self.accounts.get(account) or self.fans.setdefault(account, self.new_id())

    def shape(self, post: Post) -> dict[str, Any]:
        raise NotImplementedError

    def say(self, by: str, text: str, parent: Post | None = None) -> Post:
        """Add a post or reply of anybody and send its events."""
        id_ = self.new_id()
        conversation = parent.conversation if parent else id_
        now = self.sandbox.clock.now()
        post = Post(id_, by, text, now, [], parent.id if parent else None, None, conversation)
        self.posts[id_] = post
        forget_oldest(self.posts, self.sandbox.capacity)
        self.tell_of(post)
        return post

    def tell_of(self, post: Post) -> None:
        told = self._told_of(post)
        if post.account in self.accounts:
            self.emit("post.create", post.account, told, post.id)
        parent = self.posts.get(post.reply_to or "")
        if parent is not None and parent.account in self.accounts and parent.account != post.account:
            self.emit("post.reply.create", parent.account, told)
        for name in self.accounts:
            if f"@{name}" in post.text and name != post.account:
                self.emit("post.mention.create", name, told, post.id)

    def _told_of(self, post: Post) -> dict[str, Any]:
        """Return a post as events have it: every count twice, with the parent's id (``x.md`` 3)."""
        told = self.shape(post)
        counts = told["public_metrics"]
        told["public_metrics"] = counts | {f"{name}_str": str(count) for name, count in counts.items()}
        return told | ({"in_reply_to_tweet_id": post.reply_to} if post.reply_to else {})

    def drop(self, post: Post) -> None:
        del self.posts[post.id]
        if post.account in self.accounts:
            author = self.accounts[post.account]
            user = {"data": {"id": author, "username": post.account}}  # wrapped once more than elsewhere
            self.emit("post.delete", post.account, {"id": post.id, "author_id": author}, users=[user])

    def people(self) -> Sequence[str]:
        return list(self.accounts)

    def visible_posts(self, account: str) -> list[dict[str, Any]]:
        replies: dict[str, list[dict[str, Any]]] = {}
        for post in self.posts.values():
            if post.reply_to:
                said = {"id": post.id, "by": post.account, "text": post.text, "parent": post.reply_to}
                replies.setdefault(post.conversation, []).append(said)
        return [
            {"id": post.id, "text": post.text, "comments": replies.get(post.id, [])}
            for post in reversed(self.posts.values())
            if post.account == account and post.reply_to is None
        ]

    def simulate_activity(self) -> None:
        rng = self.sandbox.rng
        name = rng.choice(list(self.accounts))
        by, dice = sample_text.commenter(self.sandbox), rng.random()
        mine = [post for post in list(self.posts.values())[-200:] if post.account == name and post.reply_to is None]
        target, fan = self.accounts[name], self.author(by)
        stamp = str(int(self.sandbox.clock.seconds() * 1000))
        if not mine or dice < 0.1:
            self.simulate_publish(name, sample_text.caption(self.sandbox))
        elif dice < 0.13:
            self.drop(rng.choice(mine))
        elif dice < 0.25:
            kind = rng.choice(("follow", "follow", "unfollow"))
            users = [{"id": id_, "name": who.title(), "username": who} for id_, who in ((fan, by), (target, name))]
            self.emit(f"follow.{kind}", name, {"source": {"data": users[0]}, "target": {"data": users[1]}})
        elif dice < 0.45:
            post = rng.choice(mine)
            written = post.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
            liked = {"id": f"{int(fan) ^ int(post.id):x}", "liked_tweet_id": post.id, "liked_tweet_author_id": target}
            self.emit("like.create", name, liked | {"created_at": written, "timestamp_ms": stamp})
        elif dice < 0.6:
            self.say(by, f"@{name} {sample_text.comment_text(self.sandbox)}")
        else:
            self.say(by, sample_text.comment_text(self.sandbox), rng.choice(mine))

    def simulate_publish(self, account: str, text: str) -> str:
        post = self.say(account, text)
        self.record("post", account=account, id=post.id, text=text, by="owner")
        return post.id

    def simulate_comment(self, account: str, post: str, by: str, text: str) -> str:
        parent = self.posts.get(post)
        if parent is None:
            raise CommandError(f"{account} has no post {post}")
        return self.say(by, text, parent).id

    def simulate_remove(self, account: str, id_: str) -> None:
        if id_ not in self.posts:
            raise CommandError(f"there is no {id_}")
        self.drop(self.posts[id_])

    def simulate_unsubscribe(self, account: str) -> None:
        gone = [made.id for made in self.subscriptions.values() if made.filter["user_id"] == self.accounts[account]]
        for id_ in gone:
            del self.subscriptions[id_]

    def subscribe_all(self) -> None:
        self.everyone_subscribed = True


def acceptable(url: str) -> bool:
    """Whether a webhook may be there: https, public and without a port (``x.md`` 2.1).

    Not so on loopback: whoever tries this out has no other address there, and cannot do without a port.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # no port, or no address
        return False
    if host in LOOPBACK:
        return parts.scheme in ("http", "https")
    return parts.scheme == "https" and port is None and public(host)


def public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host
