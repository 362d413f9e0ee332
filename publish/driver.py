"""Runs a platform's steps against the network: asks what they yield, and sends them the answers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from ops.runtime import metrics
from ops.runtime.http import Client, Unreachable
from publish.breakers import Breaker, Breakers
from publish.budgets import Budgets
from publish.contract import App, Channel, Problem, Request, Response, Steps, T, Usage

Variables = Mapping[str, tuple[str, ...]]

log = structlog.get_logger()

TRIPPED = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading an answer of another shape raises."""


def _next(steps: Steps[T], response: Response | None) -> Request:
    """What is asked after this answer, None to begin with. Raises Problem for an answer that the steps trip over."""
    try:
        return next(steps) if response is None else steps.send(response)
    except TRIPPED as error:
        says = "The platform answered in a way that it does not document; try again later."
        raise Problem("transient", says, "undocumented") from error


def _usage(channel: Channel, response: Response) -> Sequence[Usage]:
    """What an answer says of budgets; nothing where that cannot be read, since what else it brings is worth more."""
    try:
        return channel.usage(response, datetime.now(UTC))
    except TRIPPED as error:
        log.warning("usage.unreadable", error=type(error).__name__)
        return ()


def _judged(channel: Channel, problem: Problem) -> Problem:
    """The problem as it is; trouble where it would end a grant by a code that the platform's page does not list."""
    if problem.kind != "grant" or channel.ends(problem.code):
        return problem
    says = "The platform refused it, and did not say that the connection is over; try again later."
    return Problem("transient", says, problem.code, problem.after_seconds)


@dataclass(frozen=True, slots=True)
class Outside:
    """The platforms and the way to them."""

    channels: Mapping[str, Channel]
    variables: Variables
    client: Client
    public_url: str
    budgets: Budgets
    breakers: Breakers = field(default_factory=Breakers)

    def redirect_uri(self, platform: str, instance: str) -> str:
        """One for each platform, and for each instance of one: a code cannot be mixed up with another's."""
        middle = f"/{instance}" if instance else ""
        return f"{self.public_url.rstrip('/')}/api/auth/{platform}{middle}/callback"

    def first(self, name: str | None) -> str:
        values = self.variables.get(name or "", ())
        return values[0] if values else ""

    def all(self, name: str) -> tuple[str, ...]:
        """Every live value: one is rotated by having two for a while."""
        return self.variables.get(name, ())

    def scopes(self, platform: str, wanted: Sequence[str] = ()) -> list[str]:
        """What a person is asked for: the usual scopes, the operator's optional ones and those ``wanted`` beside them.

        Raises Problem for an optional one that the platform has not.
        """
        channel = self.channels[platform]
        variable = channel.optional_variable
        configured = self.all(variable.name) if variable is not None else ()
        known = ", ".join(channel.optional_scopes) or "none"
        if unknown := [scope for scope in wanted if scope not in channel.optional_scopes]:
            says = f"optional_scopes may name {known} here, and not {', '.join(map(repr, unknown))}."
            raise Problem("wrong", says[:500])
        if variable is not None and (unknown := [s for s in configured if s not in channel.optional_scopes]):
            raise Problem("app", f"{variable.name} may name {known}, and not {', '.join(unknown)}.")
        return list(dict.fromkeys((*channel.scopes, *configured, *wanted)))

    def app(self, platform: str, instance: str, client: tuple[str, str] = ("", "")) -> App:
        """Raises Problem where the platform is not configured."""
        channel = self.channels[platform]
        known = [v for v in (channel.client_id, channel.client_secret) if v is not None]
        missing = [variable.name for variable in known if not self.first(variable.name)]
        if missing:
            raise Problem("app", f"{' and '.join(missing)} is not set; the operator must set it.")
        if channel.client_id is not None and channel.client_secret is not None:
            client = (self.first(channel.client_id.name), self.first(channel.client_secret.name))
        hosts = channel.hosts or {"instance": f"https://{instance}"}
        return App(*client, self.redirect_uri(platform, instance), hosts, self.first(channel.base_url.name))

    async def run(self, steps: Steps[T], *, platform: str, instance: str, account: str = "") -> T:
        """Raises Problem; an unknown outcome is a transient one, which whoever spends a code must not repeat.

        Without an ``account`` nobody knows yet whose it is, and only the whole application's budget counts.
        """
        channel = self.channels[platform]
        begun, pause, trying = time.monotonic(), 0.0, False
        with self.breakers.asking(platform, instance, in_use=bool(account)) as breaker:
            try:
                await self.budgets.insist(instance or channel.title, platform, instance, account)
                trying = breaker.enter()
                request = _next(steps, None)
                while True:
                    response = await self._answered(request, breaker)
                    said = _usage(channel, response)
                    pause = max(pause, await self.budgets.note(platform, instance, account, said))
                    request = _next(steps, response)
            except StopIteration as done:
                found: T = done.value
                return found
            except Problem as problem:
                problem.after_seconds = max(problem.after_seconds, pause)
                raise _judged(channel, problem) from None
            finally:
                steps.close()
                if trying:
                    breaker.leave()
                metrics.platform_seconds.labels(platform).observe(time.monotonic() - begun)

    async def _answered(self, request: Request, breaker: Breaker) -> Response:
        try:
            reply = await self.client.ask(
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
