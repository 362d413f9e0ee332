"""Answer bytes that are no HTTP request, for which there is no route."""

import asyncio
from dataclasses import replace

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ops.runtime import headers, responses
from ops.runtime.responses import Failure

_SURPRISE = Failure(500, "server_error", "something failed here", "look before you send it again", retryable=True)


def _unparsed(status: int) -> Failure:
    message = "this is no HTTP request, or its first line or one of its headers is too long"
    return Failure(status, "bad_request", message, "send HTTP/1.1, with lines of at most 8190 bytes before the body")


def answer_unparsed(server: web.Server, *, https: bool = False) -> None:
    """Make ``server`` answer requests that it cannot parse in the shape of all other errors.

    To be called before connections are accepted. aiohttp builds its request handlers itself, so each one gets its class
    here, when its connection is made.
    """
    made = server.connection_made
    chosen = _Encrypted if https else _Plain

    def connection_made(handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        handler.__class__ = chosen
        made(handler, transport)

    server.connection_made = connection_made  # type: ignore[method-assign]


class _Plain(web.RequestHandler):
    __slots__ = ()
    https = False

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Return the answer and close the connection. Raises ConnectionError where part of another answer was sent."""
        super().handle_error(request, status, exc, message)  # for what it logs, and its check of what was sent
        if isinstance(exc, HttpProcessingError):
            response = responses.program_error(_unparsed(status))  # whether a browser asked is not known
            response.force_close()
        else:
            response = responses.error(request, replace(_SURPRISE, status=status), close=True)
        headers.set_standard(response, https=self.https)
        return response


class _Encrypted(_Plain):
    __slots__ = ()
    https = True
