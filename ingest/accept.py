"""Decide about one request, without I/O: whether it is genuine. Nothing in its body is looked at."""

from collections.abc import Mapping
from datetime import datetime

import uuid_utils

from ingest.contract import Delivery, Received, Variables, Webhook
from ingest.signatures import verify


def accept(platform: str, webhook: Webhook, delivery: Delivery, variables: Variables, now: datetime) -> Received:
    """Verify a delivery and return the row that it becomes. Raises Forged or NotConfigured."""
    verified = verify(webhook.signature, delivery.headers, delivery.body, variables, now)
    return Received(
        id=str(uuid_utils.uuid7()),
        provider=platform,
        received_at=now,
        verdict="quarantined" if verified.stale else "accepted",
        secret_used=verified.secret_used,
        signed_at=verified.signed_at,
        headers=_lines(webhook, delivery.headers),
        body=delivery.body,
    )


def _lines(webhook: Webhook, headers: Mapping[str, str]) -> bytes:
    """Return the headers that prove a delivery, as sent: aiohttp reads bytes that are no UTF-8 as surrogates."""
    lines = [f"{name}: {headers[name]}\r\n" for name in webhook.proof if name in headers]
    return "".join(lines).encode("utf-8", "surrogateescape")
