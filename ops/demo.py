"""A small world that sends webhooks in the documented formats, for `make up` and the end-to-end test.

It shares no code with the stages: it signs, names and orders by the platform pages alone, and it remembers what it
sent, so that the tables can be compared with the truth instead of with ourselves. Duplicates, late deliveries,
re-cut batches and forgeries are part of it, as they are of the real thing.
"""

import hashlib
import hmac
import json
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

SAYINGS = (
    "love this",
    "where did you get it?",
    "wow, so good",
    "please restock",
    "asking for a friend",
    "best one yet 😍",
    "how much is shipping to Zürich?",
)
FORGED, COPIED, LATE = 0.03, 0.12, 0.15

# Later steps of a publish win within one second (tiktok.md 2.5).
RANKS = {
    "post.publish.inbox_delivered": (1, "inbox_delivered"),
    "post.publish.failed": (2, "failed"),
    "post.publish.complete": (3, "complete"),
}


@dataclass(frozen=True, slots=True)
class Shipment:
    """A request ready to be sent; ``genuine`` ones must be acknowledged, others refused."""

    platform: str
    body: bytes
    headers: Mapping[str, str]
    genuine: bool


@dataclass
class Truth:
    """What the tables must say once everything has arrived; keys begin with the account."""

    comments: dict[tuple[str, str], str] = field(default_factory=dict)
    media: set[tuple[str, str]] = field(default_factory=set)
    publishes: dict[tuple[str, str], tuple[int, int, str]] = field(default_factory=dict)
    public: dict[tuple[str, str, str], tuple[int, int, bool]] = field(default_factory=dict)
    events: int = 0


class World:
    """Same seed and ``now`` (unix seconds), same world. ``secrets`` holds the signing secret of each platform."""

    def __init__(self, secrets: Mapping[str, str], seed: int, now: int | None = None) -> None:
        self._secrets = secrets
        self._chance = random.Random(seed)  # noqa: S311  a world, not a secret
        self._ids = seed * 1_000_000_007 % 10**12
        self._clock = 0
        self._pending: list[tuple[int, str, bytes]] = []
        self._sent: list[tuple[str, bytes]] = []
        self._now = int(time.time()) if now is None else now
        self.truth = Truth()
        self.accounts = [f"1784140000000{n:04d}" for n in range(1, 5)]
        self.creators = [f"-000demo{n:04d}" for n in range(1, 4)]
        self._media = [(account, self._id("179")) for account in self.accounts for _ in range(6)]

    def _id(self, prefix: str) -> str:
        self._ids += self._chance.randint(1, 50)
        return f"{prefix}{self._ids:014d}"

    def next(self) -> Shipment:
        """The next thing that the platforms send."""
        self._clock += 1
        chance = self._chance.random()
        if chance < FORGED:
            return self._forge()
        if chance < FORGED + COPIED and self._sent:
            return self._sign(*self._chance.choice(self._sent[-300:]))
        due = [item for item in self._pending if item[0] <= self._clock]
        if due:
            self._pending.remove(due[0])
            return self._ship(*due[0][1:])
        platform, body = self._happen()
        if self._chance.random() < LATE:
            self._pending.append((self._clock + self._chance.randint(5, 60), platform, body))
            return self.next()
        return self._ship(platform, body)

    def rest(self) -> Iterator[Shipment]:
        """Whatever was still on its way."""
        while self._pending:
            yield self._ship(*self._pending.pop(0)[1:])

    def _ship(self, platform: str, body: bytes) -> Shipment:
        self._sent.append((platform, body))
        return self._sign(platform, body)

    def _happen(self) -> tuple[str, bytes]:
        if self._chance.random() < 0.3:
            return "tiktok", self._publish()
        entries = [self._entry() for _ in range(self._chance.choice((1, 1, 1, 2, 5)))]
        # Meta escapes slashes and everything beyond ASCII on the wire (meta.md 1.2).
        text = json.dumps({"object": "instagram", "entry": entries}, separators=(",", ":"))
        return "instagram", text.replace("/", "\\/").encode()

    def _entry(self) -> dict[str, Any]:
        self.truth.events += 1
        account, media = self._chance.choice(self._media)
        self.truth.media.add((account, media))
        if self._chance.random() < 0.06:
            value: dict[str, Any] = {"media_id": media, "impressions": 120, "reach": 90, "replies": -1, "exits": 4}
            # One per story: the platform sends it once, at expiry.
            story = self._id("180")
            self.truth.media.add((account, story))
            return self._change(account, "story_insights", value | {"media_id": story})
        comment = self._id("178")
        text = f"{self._chance.choice(SAYINGS)} ({len(self.truth.comments)})"
        self.truth.comments[account, comment] = text
        person = self._chance.randint(1, 40)
        value = {
            "id": comment,
            "text": text,
            "from": {"id": f"52{person:08d}", "username": f"fan_{person}"},
            "media": {"id": media, "media_product_type": self._chance.choice(("FEED", "REELS"))},
        }
        known = [c for a, c in list(self.truth.comments)[-40:] if a == account and c != comment]
        if known and self._chance.random() < 0.2:
            value["parent_id"] = self._chance.choice(known)
        return self._change(account, "comments", value)

    def _change(self, account: str, name: str, value: dict[str, Any]) -> dict[str, Any]:
        return {"id": account, "time": self._now + self._clock, "changes": [{"field": name, "value": value}]}

    def _publish(self) -> bytes:
        """A publish goes through its steps; all but the first arrive whenever they like."""
        creator, publish, at = self._chance.choice(self.creators), self._id("v_pub_file~v2-1."), self._now + self._clock
        outcome = self._chance.choice(("complete", "complete", "complete", "failed", "inbox"))
        steps: list[tuple[str, dict[str, Any], int]] = []
        if outcome == "inbox":
            steps.append(("post.publish.inbox_delivered", {"publish_type": "INBOX_SHARE"}, at))
        if outcome == "failed":
            steps.append(("post.publish.failed", {"reason": "file_format_check_failed"}, at))
        else:
            steps.append(("post.publish.complete", {}, at))
            for _ in range(self._chance.choice((0, 1, 1, 2))):
                post = self._id("7556")
                spelling = self._chance.choice(("publicly", "publicaly"))
                steps.append((f"post.publish.{spelling}_available", {"post_id": post}, at + 1))
                if self._chance.random() < 0.2:
                    steps.append(("post.publish.no_longer_publicaly_available", {"post_id": post}, at + 1))
        bodies = [self._step(creator, publish, *step) for step in steps]
        for body in bodies[1:]:
            self._pending.append((self._clock + self._chance.randint(0, 30), "tiktok", body))
        return bodies[0]

    def _step(self, creator: str, publish: str, event: str, extra: dict[str, Any], at: int) -> bytes:
        self.truth.events += 1
        if event in RANKS:
            rank, status = RANKS[event]
            key = (creator, publish)
            self.truth.publishes[key] = max(self.truth.publishes.get(key, (0, 0, "")), (at, rank, status))
        else:
            hidden = "no_longer" in event
            post = (creator, publish, str(extra["post_id"]))
            seen = self.truth.public.get(post, (0, 0, False))
            self.truth.public[post] = max(seen, (at, 5 if hidden else 4, not hidden))
        content = {"publish_id": publish, "publish_type": "DIRECT_POST"} | extra
        return json.dumps(
            {
                "client_key": "awdemo",
                "event": event,
                "create_time": at,
                "user_openid": creator,
                "content": json.dumps(content, separators=(",", ":")),
            },
            separators=(",", ":"),
        ).encode()

    def _forge(self) -> Shipment:
        truth, self.truth = self.truth, Truth()
        platform, body = self._happen()
        # What a forger claims never becomes true, nor do the later steps of a publish he made up.
        self.truth = truth
        self._pending = [item for item in self._pending if self._honest(item[2])]
        forged = self._sign(platform, body, secret="not the secret")  # noqa: S106
        return Shipment(forged.platform, forged.body, forged.headers, genuine=False)

    def _honest(self, body: bytes) -> bool:
        document = json.loads(body)
        if "content" not in document:
            return True
        publish = json.loads(document["content"])["publish_id"]
        return (document["user_openid"], publish) in self.truth.publishes

    def _sign(self, platform: str, body: bytes, secret: str | None = None) -> Shipment:
        key = (secret or self._secrets[platform]).encode()
        if platform == "tiktok":
            stamp = str(int(time.time())).encode()
            digest = hmac.new(key, stamp + b"." + body, hashlib.sha256).hexdigest()
            headers = {"TikTok-Signature": f"t={stamp.decode()},s={digest}"}
        else:
            headers = {"X-Hub-Signature-256": "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()}
        return Shipment(platform, body, {"Content-Type": "application/json", **headers}, genuine=True)
