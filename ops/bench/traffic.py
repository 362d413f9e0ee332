"""Signed deliveries, made before any clock starts; every comment is new unless it is meant to come again."""

import hashlib
import hmac
import itertools
import json
import pickle
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SECRET = "a secret of the benchmark's own"  # noqa: S105
ACCOUNTS = 50
TIKTOK_TENTHS = 3
TEXT = "so good, how much is it and do you ship to Zürich? " * 7
"""Makes a delivery of one comment about 680 bytes long, as in ``performance.md`` 0."""

EMOJI_TEXT = "so good 😍🔥, how much is it and do you ship to Zürich? " * 6

_numbers = itertools.count(1)


def comment(number: int) -> dict[str, Any]:
    """One entry with one comment, of which half have emoji."""
    value = {
        "id": f"1790{number:013d}",
        "text": EMOJI_TEXT if number % 2 else TEXT,
        "from": {"id": f"12345{number % 1000:05d}", "username": f"fan_{number % 1000}"},
        "media": {"id": f"1780{number % 500:013d}", "media_product_type": "FEED"},
    }
    changes = [{"field": "comments", "value": value}]
    return {"id": f"1784140000{number % ACCOUNTS:07d}", "time": 1_760_000_000, "changes": changes}


def instagram(*numbers: int) -> bytes:
    """One signed delivery of comments; half of them have what is not ASCII as escapes, as Meta sends it."""
    document = {"object": "instagram", "entry": [comment(number) for number in numbers]}
    body = json.dumps(document, ensure_ascii=numbers[0] % 4 < 2).encode()
    digest = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
    return _request("instagram", f"X-Hub-Signature-256: sha256={digest}", body)


def tiktok(number: int) -> bytes:
    """One signed delivery of a publish that is complete."""
    content = {"publish_id": f"v_pub_url~v2-1.{number:019d}", "publish_type": "DIRECT_PUBLISH"}
    document = {
        "client_key": "bwo2m45353a6k85",
        "event": "post.publish.complete",
        "create_time": 1_760_000_000,
        "user_openid": f"act.example{number % ACCOUNTS:07d}",
        "content": json.dumps(content, separators=(",", ":")),
    }
    body, stamp = json.dumps(document).encode(), str(int(time.time()))
    digest = hmac.digest(SECRET.encode(), stamp.encode() + b"." + body, hashlib.sha256).hex()
    return _request("tiktok", f"TikTok-Signature: t={stamp},s={digest}", body)


def _request(platform: str, signature: str, body: bytes) -> bytes:
    """A whole HTTP request."""
    head = (
        f"POST /api/webhooks/{platform} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"{signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def new(count: int) -> Iterator[bytes]:
    """Deliveries of one event that nobody has sent before, 30 % of them TikTok's."""
    for number in itertools.islice(_numbers, count):
        yield tiktok(number) if number % 10 < TIKTOK_TENTHS else instagram(number)


def new_of_many(count: int, changes: int) -> Iterator[bytes]:
    """Deliveries of ``changes`` comments that nobody has sent before. TikTok sends one event at a time."""
    for _ in range(count):
        yield instagram(*itertools.islice(_numbers, changes))


def repeated(requests: Sequence[bytes], share: float, seed: int) -> list[bytes]:
    """The same, with a share of them replaced by ones that came before."""
    chance = random.Random(seed)
    mixed: list[bytes] = []
    for item in requests:
        mixed.append(chance.choice(mixed) if mixed and chance.random() < share else item)
    return mixed


def save(requests: Sequence[bytes], path: Path) -> str:
    """Where a sender finds them."""
    path.write_bytes(pickle.dumps(list(requests)))
    return str(path)
