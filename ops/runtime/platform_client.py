"""Runs a platform's steps against the network: asks what they yield, and sends them the answers."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

import structlog

from ops.runtime import metrics
from ops.runtime.circuit_breaker import Breaker, Breakers
from ops.runtime.http import Client, Unreachable
from ops.runtime.platform_protocol import Problem, Request, Response, Steps, T, Usage
from ops.runtime.rate_limits import Budgets

log = structlog.get_logger()

TRIPPED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading an answer of another shape raises."""


class Manner(Protocol):
    """What the client must know of a platform."""

    @property
    def title(self) -> str:
        """What people call it."""

    @property
    def usage(self) -> Callable[[Response, datetime], Sequence[Usage]]:
        """Read what an answer says of rate limits, at this time."""

    def ends(self, code: str) -> bool:
        """Whether this code of a problem means that a grant is over."""


def _next(steps: Steps[T], response: Response | None) -> Request:
    """Return what is asked after this answer, None to begin with. Raises Problem where the steps trip over it."""
    try:
        return next(steps) if response is None else steps.send(response)
    except TRIPPED as error:
        says = "The platform answered in a way that it does not document; try again later."
        raise Problem("transient", says, "undocumented") from error


def _usage(platform: Manner, response: Response) -> Sequence[Usage]:
    """What an answer says of rate limits; nothing where that cannot be read, since the rest is worth more."""
    try:
        return platform.usage(response, datetime.now(UTC))
    except TRIPPED as error:
        log.warning("usage.unreadable", error=type(error).__name__)
        return ()


def _judged(platform: Manner, problem: Problem) -> Problem:
    """The problem as it is; transient where it would end a grant by a code that the platform's page does not list."""
    if problem.kind != "grant" or platform.ends(problem.code):
        return problem
    says = "The platform refused it, and did not say that the connection is over; try again later."
    return Problem("transient", says, problem.code, problem.after_seconds)


@dataclass(frozen=True, slots=True)
class PlatformClient:
    """The way to the platforms, within their rate limits and with a circuit breaker for each server."""

    platforms: Mapping[str, Manner]
    http: Client
    rate_limits: Budgets
    breakers: Breakers = field(default_factory=Breakers)

    async def run(self, steps: Steps[T], *, platform: str, instance: str = "", account: str = "") -> T:
        """Run the steps to their end and return what they found.

        Raises Problem; an unknown outcome is a transient one, which whoever spends a code must not repeat. Without an
        ``account`` nobody knows yet whose it is, and only the rate limit of the whole application counts.
        """
        known = self.platforms[platform]
        begun, pause, trying = time.monotonic(), 0.0, False
        with self.breakers.asking(platform, instance, in_use=bool(account)) as breaker:
            try:
                await self.rate_limits.insist(instance or known.title, platform, instance, account)
                trying = breaker.enter()
                request = _next(steps, None)
                while True:
                    response = await self._answered(request, breaker)
                    said = _usage(known, response)
                    pause = max(pause, await self.rate_limits.note(platform, instance, account, said))
                    request = _next(steps, response)
            except StopIteration as done:
                found: T = done.value
                return found
            except Problem as problem:
                problem.after_seconds = max(problem.after_seconds, pause)
                raise _judged(known, problem) from None
            finally:
                steps.close()
                if trying:
                    breaker.leave()
                metrics.platform_seconds.labels(platform).observe(time.monotonic() - begun)

    async def _answered(self, request: Request, breaker: Breaker) -> Response:
        try:
            reply = await self.http.ask(
                request.method,
                request.url,
                query=request.query,
                form=request.form,
                body=request.json,
                headers=request.headers,
                repeatable=request.repeatable,
            )
        except Unreachable as error:
            breaker.note(failed=True)
            says = f"The platform could not be reached ({error}); try again later."
            raise Problem("transient", says, "unreachable") from None
        breaker.note(failed=reply.status >= 500)
        return Response(reply.status, reply.content, reply.headers)
