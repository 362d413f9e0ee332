"""HTTP in and out. Reads bytes, asks ``accept``, waits for the commit, answers. Knows no platform by name."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import structlog
import uuid_utils.compat as uuid_utils
from aiohttp import hdrs, web

from ingest import store
from ingest.accept import accept
from ingest.committer import Committer
from ingest.contract import Delivery, Variables, Webhook
from ingest.errors import (
    Encoded,
    Forged,
    NotConfigured,
    Overloaded,
    Refusal,
    TooLarge,
    TooSlow,
    UnknownPlatform,
)
from ops.runtime import metrics
from ops.runtime.clock import Clock
from ops.runtime.db import Pool, describe
from ops.runtime.queue import Doorbell

BODY_SECONDS = 10.0
"""A body slower than this is somebody holding the door open."""

SAMPLES_PER_SECOND = 5

log = structlog.get_logger()


class Sampler:
    """Lets through a few a second, and numbers them: forged requests must not become a way to fill a disk."""

    def __init__(self) -> None:
        self.number = 0
        self._second = 0
        self._taken = 0

    def take(self) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._taken = second, 0
        self._taken += 1
        if self._taken > SAMPLES_PER_SECOND:
            return False
        self.number += 1
        return True


@dataclass
class Receiver:
    """What the routes need, built once at the roof."""

    webhooks: Mapping[str, Webhook]
    variables: Variables
    committer: Committer
    bell: Doorbell
    samples: Pool
    clock: Clock
    body_limit: int
    bytes_limit: int
    bytes_held: int = 0
    forged: Sampler = field(default_factory=Sampler)

    def webhook(self, request: web.Request) -> tuple[str, Webhook]:
        """The platform in the path. Raises UnknownPlatform."""
        name = request.match_info["platform"]
        webhook = self.webhooks.get(name)
        if webhook is None:
            raise UnknownPlatform(f"no platform of this name; known are {', '.join(self.webhooks)}")
        return name, webhook


RECEIVER: web.AppKey[Receiver] = web.AppKey("receiver", Receiver)


async def receive(request: web.Request) -> web.Response:
    """A platform delivers. 200 means that every event in it is durable."""
    started = time.perf_counter()
    receiver = request.app[RECEIVER]
    platform = "unknown"
    held = 0
    try:
        platform, webhook = receiver.webhook(request)
        _insist_configured(webhook, receiver.variables)
        encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
        if encoding != "identity":
            raise Encoded("a signature is made over the bytes as sent; compressed bodies are not read")
        body = await _read(request, receiver)
        held = len(body)
        delivery = Delivery(_headers(request), body)
        try:
            accepted = accept(webhook, delivery, receiver.variables, receiver.clock())
        except Forged as error:
            await _sample(receiver, platform, error, delivery)
            raise
        receipt = store.Receipt(uuid_utils.uuid7(), platform, webhook.rule_version, delivery, accepted)
        new = await receiver.committer.commit(receipt)
    except Refusal as refusal:
        metrics.deliveries.labels(platform, refusal.code).inc()
        metrics.refusals.labels(platform, refusal.reason).inc()
        return refused(refusal, close=isinstance(refusal, TooLarge | TooSlow | Encoded))
    finally:
        receiver.bytes_held -= held
        metrics.ingest_waiting_bytes.set(receiver.bytes_held)
    if new:
        receiver.bell.ring()
    count = len(accepted.events)
    metrics.deliveries.labels(platform, accepted.verdict).inc()
    metrics.events.labels(platform, "new").inc(new)
    metrics.events.labels(platform, "duplicate").inc(count - new)
    metrics.secret_matches.labels(platform, accepted.verified.secret_used).inc()
    metrics.ingest_seconds.labels(platform).observe(time.perf_counter() - started)
    # Exactly 200: TikTok counts nothing else as delivered (tiktok.md 2.1).
    return web.Response(
        body=b'{"delivery":"%s","events":%d,"new":%d}' % (str(receipt.id).encode(), count, new),
        content_type="application/json",
    )


async def verify_endpoint(request: web.Request) -> web.Response:
    """A platform, or a person, asks whether this address is ours."""
    receiver = request.app[RECEIVER]
    try:
        platform, webhook = receiver.webhook(request)
        _insist_configured(webhook, receiver.variables)
    except Refusal as refusal:
        return refused(refusal)
    if webhook.handshake is None:
        return web.Response(text=f"This address receives the webhooks of {platform}, by POST and signed.\n")
    answer = webhook.handshake(request.query, receiver.variables)
    metrics.deliveries.labels(platform, f"handshake_{answer.status}").inc()
    return web.Response(status=answer.status, text=answer.body, content_type=answer.content_type)


def _insist_configured(webhook: Webhook, variables: Variables) -> None:
    if not any(variables.get(variable.name) for variable in webhook.signature.secrets):
        names = " or ".join(variable.name for variable in webhook.signature.secrets)
        raise NotConfigured(f"no secret is configured for this platform: {names} is not set")


async def _read(request: web.Request, receiver: Receiver) -> bytes:
    """The whole body, or a refusal before it can cost anything. What is read counts against one shared budget."""
    announced = request.content_length
    if announced is not None and announced > receiver.body_limit:
        raise TooLarge(f"bodies over {receiver.body_limit} bytes are refused")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                receiver.bytes_held += len(chunk)
                if size > receiver.body_limit:
                    raise TooLarge(f"bodies over {receiver.body_limit} bytes are refused")
                if receiver.bytes_held > receiver.bytes_limit:
                    raise Overloaded("too many bytes wait for the log")
                chunks.append(chunk)
    except TimeoutError:
        receiver.bytes_held -= size
        raise TooSlow(f"the body took longer than {BODY_SECONDS:.0f} s") from None
    except BaseException:
        receiver.bytes_held -= size
        raise
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _headers(request: web.Request) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers


async def _sample(receiver: Receiver, platform: str, error: Forged, delivery: Delivery) -> None:
    if not receiver.forged.take():
        return
    log.warning("delivery.refused", platform=platform, reason=error.reason, size=len(delivery.body))
    try:
        async with receiver.samples.acquire() as connection:
            await store.keep_refusal(connection, platform, receiver.forged.number, error.reason, delivery)
    except Exception as failure:  # noqa: BLE001  a sample is a courtesy; the refusal stands without it
        log.warning("delivery.refusal_not_kept", error=describe(failure))


def refused(refusal: Refusal, *, close: bool = False) -> web.Response:
    """What happened, whether to try again, and what to do: for every error the same shape."""
    headers = {} if refusal.retry_after is None else {hdrs.RETRY_AFTER: str(refusal.retry_after)}
    response = web.Response(
        status=refusal.status,
        headers=headers,
        content_type="application/json",
        body=json.dumps(
            {
                "error": refusal.code,
                "reason": refusal.reason,
                "message": str(refusal),
                "retry": refusal.retry_after is not None,
                "remedy": refusal.remedy,
            }
        ).encode(),
    )
    if close:  # the rest of the body is still on its way and nobody is going to read it
        response.force_close()
    return response


@web.middleware
async def plain_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Router errors in the same shape, and no surprise without a log line; a surprise is 503, so it is sent again."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        body = {"error": error.reason.lower().replace(" ", "_"), "retry": False, "message": error.reason}
        headers = {name: value for name, value in error.headers.items() if name == hdrs.ALLOW}
        return web.json_response(body, status=error.status, headers=headers)
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:
        log.exception("request.failed", path=request.path, error=describe(error))
        body = {
            "error": "unexpected",
            "retry": True,
            "message": "something failed here; nothing was acknowledged",
        }
        return web.json_response(body, status=503, headers={hdrs.RETRY_AFTER: "5"})
