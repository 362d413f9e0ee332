"""Run the steps of a platform against the network: send the requests that they yield, and give them the responses."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import structlog

from ops.runtime import metrics
from ops.runtime.circuit_breaker import Breaker, Breakers
from ops.runtime.http import Client, OpenPart, Unreachable
from ops.runtime.platform_protocol import PlatformError, RateLimitStatus, Request, Response, Steps, T, clock_skew
from ops.runtime.rate_limits import RateLimits

log = structlog.get_logger()

TRIPPED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a response of an unexpected shape raises."""


class Platform(Protocol):
    """What the client needs to know of a platform."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def rate_limit_status(self) -> Callable[[Response, datetime], Sequence[RateLimitStatus]]:
        """Read what a response says of rate limits, at this time."""

    def ends_grant(self, code: str) -> bool:
        """Return whether this code of a problem means that a grant is over."""


def _next_request(steps: Steps[T], response: Response | None) -> Request:
    """Return the request that follows a response; None begins. Raises PlatformError where the steps cannot read it."""
    try:
        return next(steps) if response is None else steps.send(response)
    except TRIPPED as error:
        message = "The platform answered in a way that it does not document; try again later."
        raise PlatformError("transient", message, "undocumented") from error


def _rate_limits(platform: Platform, response: Response) -> Sequence[RateLimitStatus]:
    """Return what a response says of rate limits; nothing where that cannot be read, so that the rest is used."""
    try:
        return platform.rate_limit_status(response, datetime.now(UTC))
    except TRIPPED as error:
        log.warning("rate_limits.unreadable", error=type(error).__name__)
        return ()


def _note_clock(platform: str, response: Response) -> None:
    """Show how far the platform's clock is from ours. Nothing is decided by it (``meta.md`` 10.10)."""
    if (skew := clock_skew(response, datetime.now(UTC))) is not None:
        metrics.platform_clock_skew.labels(platform).set(skew)


def _checked_grant(platform: Platform, problem: PlatformError) -> PlatformError:
    """Return the problem; a transient one where it would end a grant by a code that the provider does not list."""
    if problem.kind != "grant" or platform.ends_grant(problem.code):
        return problem
    message = "The platform refused it, and did not say that the connection is over; try again later."
    return PlatformError("transient", message, problem.code, problem.after_seconds)


@dataclass(frozen=True, slots=True)
class PlatformClient:
    """Asks platforms, within their rate limits and with a circuit breaker for each server."""

    platforms: Mapping[str, Platform]
    http: Client
    rate_limits: RateLimits
    breakers: Breakers = field(default_factory=Breakers)

    async def require_allowed(self, platform: str, instance: str = "", account: str = "") -> None:
        """Raise PlatformError while a rate limit of the account, or of the whole application, is used up."""
        title = instance or self.platforms[platform].title
        await self.rate_limits.require(title, platform, instance, account)

    async def run(self, steps: Steps[T], *, platform: str, instance: str = "", account: str = "") -> T:
        """Run the steps to their end and return what they found.

        Raises PlatformError. An unknown outcome is a transient one; a code must not be sent again after it. Without an
        ``account`` only the rate limit of the whole application counts.
        """
        known = self.platforms[platform]
        started, pause, probing = time.monotonic(), 0.0, False
        with self.breakers.asking(platform, instance, in_use=bool(account)) as breaker:
            try:
                await self.require_allowed(platform, instance, account)
                probing = breaker.enter()
                request = _next_request(steps, None)
                while True:
                    response = await self._answer(request, breaker)
                    _note_clock(platform, response)
                    said = _rate_limits(known, response)
                    pause = max(pause, await self.rate_limits.note(platform, instance, account, said))
                    request = _next_request(steps, response)
            except StopIteration as done:
                found: T = done.value
                return found
            except PlatformError as problem:
                problem.after_seconds = max(problem.after_seconds, pause)
                raise _checked_grant(known, problem) from None
            finally:
                steps.close()
                if probing:
                    breaker.leave()
                metrics.platform_seconds.labels(platform).observe(time.monotonic() - started)

    async def send(
        self, request: Request, open_part: OpenPart | None = None, *, platform: str, instance: str = "", account: str
    ) -> Response:
        """Send one request, and return the response whatever it says.

        Raises PlatformError where it was not sent, and Unreachable where it may have arrived and no answer came.
        """
        started, probing = time.monotonic(), False
        with self.breakers.asking(platform, instance, in_use=True) as breaker:
            try:
                await self.require_allowed(platform, instance, account)
                probing = breaker.enter()
                response = await self._send(request, breaker, open_part)
            except Unreachable as error:
                if error.sent:
                    raise
                raise _unreachable(error) from None
            else:
                _note_clock(platform, response)
                said = _rate_limits(self.platforms[platform], response)
                await self.rate_limits.note(platform, instance, account, said)
                return response
            finally:
                if probing:
                    breaker.leave()
                metrics.platform_seconds.labels(platform).observe(time.monotonic() - started)

    async def _answer(self, request: Request, breaker: Breaker) -> Response:
        try:
            return await self._send(request, breaker)
        except Unreachable as error:
            raise _unreachable(error) from None

    async def _send(self, request: Request, breaker: Breaker, open_part: OpenPart | None = None) -> Response:
        try:
            reply = await self.http.ask(
                request.method,
                request.url,
                query=request.query,
                form=request.form,
                body=request.json,
                headers=request.headers,
                content=request.content,
                files=request.files,
                open_part=open_part,
                repeatable=request.repeatable,
            )
        except Unreachable:
            breaker.note(failed=True)
            raise
        breaker.note(failed=reply.status >= 500)
        return Response(reply.status, reply.content, reply.headers)


def _unreachable(error: Unreachable) -> PlatformError:
    message = f"The platform could not be reached ({error}); try again later."
    return PlatformError("transient", message, "unreachable")
