"""Routes, and what happens around every handler: the body is read, requests are limited, every error is a response."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil

import structlog
from aiohttp import hdrs, web

from ops.runtime import metrics, responses
from ops.runtime.db import describe
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.responses import Failure
from ops.runtime.sampling import Sampler
from ops.web import forms
from ops.web.authentication import Authentication
from ops.web.concurrency_limit import RUNNING, WAITING, ConcurrencyLimit, TooManyRequests
from ops.web.messages import Messages
from ops.web.refusals import Refusals
from ops.web.responses import REMEDY, STATUS, EarlyResponse, NotLoggedInError, Refused, failure_of
from publish.posting.errors import PostError

log = structlog.get_logger()

CROWDED_SECONDS = 60
"""When to come again where too much of one kind is under way."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """``limited`` says whether it counts for the concurrency limit of its key's or session's tenant.

    ``any_query`` is for addresses that a platform sends browsers to: whatever the query says, the flow must end.
    ``streamed`` is the scope of an address whose handler reads the body itself: finding out who sends it counts for the
    limit, and the time that the body takes does not. ``form`` is for those that a page's form is sent to: their
    handler checks the token that it begins with.
    ``body_bytes`` is the longest body that is read.
    """

    method: str
    path: str
    handler: Handler
    limited: bool = True
    any_query: bool = False
    streamed: str = ""
    form: bool = False
    body_bytes: int = forms.BODY_BYTES


class Router:
    def __init__(
        self, authentication: Authentication, limit: ConcurrencyLimit, messages: Messages, refusals: Refusals
    ) -> None:
        self._authentication = authentication
        self._limit = limit
        self._messages = messages
        self._refusals = refusals
        self._unexpected = Sampler()

    def add(self, app: web.Application, routes: Iterable[Route]) -> None:
        """Add routes to an application; each that answers GET answers HEAD."""
        for route in routes:
            handler = self._wrapped(route)
            methods = (hdrs.METH_GET, hdrs.METH_HEAD) if route.method == hdrs.METH_GET else (route.method,)
            for method in methods:
                app.router.add_route(method, route.path, handler, expect_handler=responses.expect)

    def _wrapped(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            response = await answered(request)
            if route.streamed and not request.content.is_eof():
                response.force_close()  # the rest of the body is still on its way, and nobody is going to read it
            return response

        async def answered(request: web.Request) -> web.StreamResponse:
            try:
                return responses.suited(request, await self._handle(route, request))
            except (EarlyResponse, Refused) as error:
                return responses.suited(request, error.response(request))
            except TooManyRequests:
                _count_rate_limit_hit(request)
                message = f"More than {RUNNING + WAITING} of your requests are running or waiting."
                refused = Refused(429, "rate_limit_exceeded", message, "send fewer at once", retry=True, after=1)
                return refused.response(request)
            except PlatformError as problem:
                return _problem(request, problem)
            except PostError as error:
                return _not_done(request, error)
            except Exception as error:
                if self._unexpected.take():
                    log.exception("request.failed", path=request.path, error=describe(error))
                message = "Something failed here; what was asked may or may not have been done."
                remedy = "look before you send it again"
                return Refused(503, "server_error", message, remedy, retry=True).response(request)

        return handle

    async def _handle(self, route: Route, request: web.Request) -> web.StreamResponse:
        forms.require_storable(request, query=not route.any_query)
        if route.streamed:
            return await self._stream(route, request)
        # Before there is a slot: nobody holds one while a body is on its way.
        await forms.read(request, route.body_bytes)
        async with self._limit.slot(self._authentication.credentials(request) if route.limited else {}) as waited:
            if waited:  # the session or key may have ended meanwhile
                self._authentication.forget_lookups(request)
            try:
                return self._messages.delete_shown(request, await route.handler(request))
            except (Refused, NotLoggedInError) as error:
                self._refusals.record(request, error)
                raise

    async def _stream(self, route: Route, request: web.Request) -> web.StreamResponse:
        try:
            async with self._limit.slot(self._authentication.credentials(request)):
                if route.form:
                    await self._authentication.require_form_sender(request, route.streamed)
                else:
                    await self._authentication.require_writer(request, route.streamed)
            return self._messages.delete_shown(request, await route.handler(request))
        except (Refused, NotLoggedInError) as error:
            self._refusals.record(request, error)
            raise


def _problem(request: web.Request, problem: PlatformError) -> web.Response:
    crowded = problem.kind == "crowded"
    if crowded:
        _count_rate_limit_hit(request)
    after = ceil(problem.after_seconds) or (CROWDED_SECONDS if crowded else None)
    headers = {} if after is None else {hdrs.RETRY_AFTER: str(after)}
    failure = failure_of(STATUS[problem.kind], problem.kind, problem.user_message, REMEDY.get(problem.kind, ""))
    return responses.error(request, failure, headers=headers)


def _not_done(request: web.Request, error: PostError) -> web.Response:
    headers = {}
    if error.status == HTTPStatus.TOO_MANY_REQUESTS:
        _count_rate_limit_hit(request)
        headers[hdrs.RETRY_AFTER] = str(CROWDED_SECONDS)
    failure = Failure(error.status, error.code, error.message, error.remedy, error.retryable, error.details)
    return responses.error(request, failure, headers=headers)


def _count_rate_limit_hit(request: web.Request) -> None:
    """Count by the route, not by the address requested."""
    resource = request.match_info.route.resource
    metrics.of(metrics.rate_limit_hits, resource.canonical if resource is not None else "unknown").inc()
