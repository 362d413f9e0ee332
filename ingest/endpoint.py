"""Serve the webhook endpoints: read the bytes, call ``accept``, wait for the commit, answer. Names no platform."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from aiohttp import hdrs, web

from ingest import store
from ingest.accept import accept
from ingest.committer import Committer
from ingest.contract import Delivery, Variables, Webhook
from ingest.errors import (
    Broken,
    Encoded,
    Forged,
    NotConfigured,
    Overloaded,
    Refusal,
    TooLarge,
    TooSlow,
    Unexpected,
    UnknownPlatform,
)
from ingest.signatures import insist_present
from ops.runtime import bodies, metrics, proxies, responses
from ops.runtime.clock import Clock
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.proxies import Network
from ops.runtime.sampling import Sampler

_UNREAD: Mapping[type[bodies.BodyError], type[Refusal]] = {
    bodies.BodyTooLargeError: TooLarge,
    bodies.BodyTooSlowError: TooSlow,
    bodies.BodyBrokenError: Broken,
}

log = structlog.get_logger()


@dataclass
class Receiver:
    """What all platforms' endpoints share; built once by the command line."""

    webhooks: Mapping[str, Webhook]
    variables: Variables
    committer: Committer
    samples: Pool
    clock: Clock
    body_limit: int
    budget: bodies.Budget
    trusted: Sequence[Network] = ()
    forged: Sampler = field(default_factory=Sampler)
    surprises: Sampler = field(default_factory=Sampler)

    def __post_init__(self) -> None:
        metrics.ingest_waiting_bytes.set_function(lambda: self.budget.held)


@dataclass(frozen=True)
class Address:
    """``/api/webhooks/{platform}`` of one platform.

    Its handlers also answer unexpected errors: a middleware would cost a tenth of the time that a request takes.
    """

    receiver: Receiver
    platform: str
    webhook: Webhook

    async def receive(self, request: web.Request) -> web.Response:
        """Receive a delivery. 200 means that its bytes are durable; the worker splits them into events."""
        started = time.perf_counter()
        receiver, platform = self.receiver, self.platform
        held = 0
        try:
            self._insist_configured()
            if hdrs.CONTENT_ENCODING in request.headers and _encodings(request) - {"", "identity"}:
                raise Encoded("a signature is made over the bytes as sent; compressed bodies are not read")
            try:
                insist_present(self.webhook.signature, request.headers)
            except Forged as error:
                await _sample(receiver, platform, error, Delivery(_headers(request), b""))
                raise
            body = await _read(request, receiver)
            held = len(body)
            faultpoint("ingest.read")
            delivery = Delivery(_proof(request, self.webhook.proof), body)
            try:
                received = accept(platform, self.webhook, delivery, receiver.variables, receiver.clock())
            except Forged as error:
                await _sample(receiver, platform, error, Delivery(_headers(request), body))
                raise
            faultpoint("ingest.accepted")
            await receiver.committer.commit(received)
            faultpoint("ingest.answer")
        except (ConnectionError, asyncio.CancelledError):  # nobody is there to be answered
            raise
        except Exception as error:  # noqa: BLE001  answered 503, so the platform sends it again
            return self._refuse(request, error)
        finally:
            receiver.budget.release(held)
        metrics.of(metrics.deliveries, platform, received.verdict).inc()
        metrics.of(metrics.secret_matches, platform, received.secret_used).inc()
        metrics.of(metrics.ingest_seconds, platform).observe(time.perf_counter() - started)
        # Exactly 200: nothing else counts as delivered (tiktok.md 2.1).
        return web.Response(body=b'{"delivery":"%s"}' % received.id.encode(), content_type="application/json")

    async def verify(self, request: web.Request) -> web.Response:
        """Answer a platform's handshake, or a person who opens the address."""
        try:
            self._insist_configured()
            if self.webhook.handshake is None:
                text = f"This address receives the webhooks of {self.platform}, by POST and signed.\n"
                return web.Response(text=text)
            answer = self.webhook.handshake(request.query, self.receiver.variables)
        except Exception as error:  # noqa: BLE001  as above
            return self._refuse(request, error, handshake=True)
        metrics.of(metrics.deliveries, self.platform, "handshake_200").inc()
        return web.Response(text=answer, content_type="text/plain")

    def _insist_configured(self) -> None:
        secrets = self.webhook.signature.secrets
        if not any(self.receiver.variables.get(variable.name) for variable in secrets):
            names = " or ".join(variable.name for variable in secrets)
            raise NotConfigured(f"no secret is configured for this platform: {names} is not set")

    def _refuse(self, request: web.Request, error: Exception, *, handshake: bool = False) -> web.Response:
        if not isinstance(error, Refusal):
            if self.receiver.surprises.take():
                log.error("request.failed", platform=self.platform, error=describe(error), exc_info=error)
            error = Unexpected("something failed here; nothing was acknowledged")
        outcome = f"handshake_{error.status}" if handshake else error.outcome
        metrics.of(metrics.deliveries, self.platform, outcome).inc()
        metrics.of(metrics.refusals, self.platform, error.reason).inc()
        # Of a body that was not read to its end, the rest must not be taken for another request.
        unread = isinstance(error, TooLarge | TooSlow | Broken | Encoded) or not request.content.is_eof()
        return refused(request, error, close=unread or error.reason == "missing")


def _encodings(request: web.Request) -> set[str]:
    """Return the content codings of the body; an empty name stands for none."""
    return {
        name.strip().lower() for value in request.headers.getall(hdrs.CONTENT_ENCODING) for name in value.split(",")
    }


async def _read(request: web.Request, receiver: Receiver) -> bytes:
    """Read the whole body, counted against the shared budget of memory. Raises Refusal."""
    try:
        return await bodies.read(request, receiver.body_limit, receiver.budget, lambda: _client(request, receiver))
    except bodies.BudgetError as error:
        raise Overloaded(str(error)) from None
    except bodies.BodyError as error:
        raise _UNREAD[type(error)](str(error)) from None


def _client(request: web.Request, receiver: Receiver) -> str | None:
    """Return the address whose share of memory a body counts against; None where our proxy does not name it."""
    trusted = receiver.trusted
    address = proxies.client(request.remote, request.headers.getall(hdrs.X_FORWARDED_FOR, []), trusted)
    return None if proxies.is_ours(address, trusted) else address


def _proof(request: web.Request, names: Sequence[str]) -> dict[str, str]:
    """Return the headers of these names that are there; repeated ones are joined by a comma and a space."""
    found = request.headers
    return {name: ", ".join(found.getall(name)) for name in names if name in found}


def _headers(request: web.Request) -> dict[str, str]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    if len(headers) < len(request.headers):
        headers = {name: ", ".join(request.headers.getall(name)) for name in headers}
    return headers


async def _sample(receiver: Receiver, platform: str, error: Forged, delivery: Delivery) -> None:
    if not receiver.forged.take():
        return
    log.warning("delivery.refused", platform=platform, reason=error.reason, size=len(delivery.body))
    try:
        async with receiver.samples.acquire() as connection:
            await store.keep_refusal(connection, platform, receiver.forged.number, error.reason, delivery)
    except Exception as failure:  # noqa: BLE001  the refusal does not depend on the sample
        log.warning("delivery.refusal_not_kept", error=describe(failure))


def refused(request: web.Request, refusal: Refusal, *, close: bool = False) -> web.Response:
    """Build the answer to a refused request."""
    headers = {} if refusal.retry_after is None else {hdrs.RETRY_AFTER: str(refusal.retry_after)}
    return responses.error(request, refusal.failure, headers=headers, close=close)


async def fallback(request: web.Request) -> web.Response:
    """Answer what no platform's route answers: 405 at a platform's address, 404 at any other."""
    receiver = request.app[RECEIVER]
    if request.match_info["platform"] in receiver.webhooks:
        return responses.method_not_allowed(request, [hdrs.METH_GET, hdrs.METH_HEAD, hdrs.METH_POST])
    known = ", ".join(receiver.webhooks)
    metrics.of(metrics.deliveries, "unknown", UnknownPlatform.outcome).inc()
    return refused(request, UnknownPlatform(f"no platform of this name; known are {known}"))


RECEIVER: web.AppKey[Receiver] = web.AppKey("receiver", Receiver)
