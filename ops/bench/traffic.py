"""Signed deliveries, made before any clock starts; every comment is new unless it is meant to come again."""

import hashlib
import hmac
import itertools
import json
import pickle
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SECRET = "a secret of the benchmark's own"  # noqa: S105
ACCOUNTS = 50
TEXT = "so good, how much is it and do you ship to Zürich? " * 7
"""Makes a delivery of one comment about 680 bytes long, as in ``performance.md`` 0."""

_numbers = itertools.count(1)


def comment(number: int) -> dict[str, Any]:
    """One entry with one comment."""
    value = {
        "id": f"1790{number:013d}",
        "text": TEXT,
        "from": {"id": f"12345{number % 1000:05d}", "username": f"fan_{number % 1000}"},
        "media": {"id": f"1780{number % 500:013d}", "media_product_type": "FEED"},
    }
    changes = [{"field": "comments", "value": value}]
    return {"id": f"1784140000{number % ACCOUNTS:07d}", "time": 1_760_000_000, "changes": changes}


def request(entries: Sequence[dict[str, Any]]) -> bytes:
    """A whole HTTP request."""
    body = json.dumps({"object": "instagram", "entry": list(entries)}, ensure_ascii=False).encode()
    digest = hmac.digest(SECRET.encode(), body, hashlib.sha256).hex()
    head = (
        "POST /api/webhooks/instagram HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"X-Hub-Signature-256: sha256={digest}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def new(count: int, changes: int = 1) -> Iterator[bytes]:
    """Deliveries of ``changes`` comments that nobody has sent before."""
    for _ in range(count):
        yield request([comment(next(_numbers)) for _ in range(changes)])


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
