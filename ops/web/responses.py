"""Build responses: pages with one set of headers, refusals from ``ops.runtime.responses``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ops.runtime import responses, text
from ops.runtime.headers import FILES, POLICY
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.responses import Code, Failure
from ops.web import static_files

STATUS = {"wrong": 400, "denied": 403, "lacking": 403, "grant": 409, "crowded": 429, "app": 503, "transient": 503}
CODES: Mapping[str, Code] = {
    "wrong": "invalid_request",
    "denied": "access_denied",
    "lacking": "invalid_scope",
    "grant": "access_token_invalid",
    "crowded": "rate_limit_exceeded",
    "app": "not_configured",
    "transient": "server_error",
    "ended": "access_denied",
}
"""The code of each kind of PlatformError, and of a flow whose beginner may not connect any more.

The kind is ``reason``."""

PAGE_CODES: Mapping[int, Code] = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    408: "body_too_slow",
    409: "conflict",
    410: "gone",
    413: "body_too_large",
    415: "content_type",
    422: "unprocessable",
    429: "rate_limit_exceeded",
    502: "server_error",
    503: "overloaded",
    507: "server_error",
}
"""The code of a page that reports a failure, by its status, where none is named."""

REMEDY = {
    "wrong": "correct the request",
    "crowded": "finish some of them, or wait until they have had their time",
    "app": "set what is missing and start `landfall serve` again",
    "transient": "send it again later",
}

MAKE_VAULT_KEY = "make a key with `landfall vault key`, set LANDFALL_VAULT_KEYS to it and start `landfall serve` again"
"""What to do where a secret cannot be encrypted, because no vault key is configured."""

_DEFAULTS: Mapping[str, object] = {"person": None, "message": "", "error": "", "email": "", "wanted": ""}
"""What every template may ask for."""

_TEMPLATES = Path(__file__).with_name("templates")

PAGES = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=text.finalize,
)

PAGES.globals["static"] = static_files.address

_HEADERS = responses.page_headers("")
_HEADERS[POLICY] += f"; {FILES}"
SCRIPTED = {POLICY: f"{_HEADERS[POLICY]}; script-src 'self'"}
"""For pages with a passkey's form: scripts of this site run there, and no script inside the page."""

LIVE = {POLICY: f"{SCRIPTED[POLICY]}; connect-src 'self'"}
"""For pages that a script of this site keeps up to date: it asks this site for them again."""


class EarlyResponse(Exception):  # noqa: N818  a response
    """Ends the handling of a request with this response."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self._response = response

    def response(self, request: web.Request) -> web.Response:  # noqa: ARG002  as Refused, whose response depends on it
        return self._response


class NotLoggedInError(EarlyResponse):
    """Nobody is logged in, or the session ended: the response is the login, or leads there."""


class Refused(Exception):  # noqa: N818  a response
    """Ends the handling of a request with an error. ``after`` is in seconds; ``close`` closes the connection too."""

    def __init__(
        self,
        status: int,
        error: Code,
        message: str,
        remedy: str,
        *,
        retry: bool = False,
        after: int | None = None,
        close: bool = False,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(status)
        self.error = error
        self._failure = Failure(status, error, message, remedy, retry, details or {})
        self._headers = {} if after is None else {hdrs.RETRY_AFTER: str(after)}
        self._close = close

    def response(self, request: web.Request) -> web.Response:
        return responses.error(request, self._failure, headers=self._headers, close=self._close)


def render(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **shown: Any) -> web.Response:
    """Render a page. ``message`` and ``error`` stand at its top, in the one form that all pages have.

    A page that reports a failure also holds what a program is told in its place.
    """
    html = PAGES.get_template(template).render(dict(_DEFAULTS) | shown)
    response = web.Response(status=status, text=html, content_type="text/html", headers=_HEADERS | dict(headers or {}))
    if status >= 400:
        words = shown.get("error") or shown.get("message") or shown.get("text") or ""
        response[responses.FAILURE] = Failure(status, PAGE_CODES[status], words, retryable=status in (429, 503))
    return response


def message_page(title: str, text: str, status: int, back: str = "", person: object = None) -> web.Response:
    """Render a page that says one thing; ``back`` is where its button leads."""
    return render("message.html", status, title=title, text=text, back=back, person=person)


def problem_page(
    problem: PlatformError, title: str = "Not connected", back: str = "", person: object = None
) -> web.Response:
    """Render a page that says what went wrong."""
    status = STATUS[problem.kind]
    response = message_page(title, problem.user_message, status, back, person)
    response[responses.FAILURE] = failure_of(status, problem.kind, problem.user_message)
    return response


def failure_of(status: int, kind: str | None, message: str, remedy: str = "") -> Failure:
    """Describe a PlatformError for a response; ``kind`` is None for a failure that is no PlatformError."""
    if kind is None:
        return Failure(status, PAGE_CODES[status], message, remedy)
    return Failure(status, CODES[kind], message, remedy, kind in ("crowded", "transient"), {"reason": kind})


def confirmation_page(
    request: web.Request,
    person: object,
    title: str,
    effects: Sequence[str],
    button: str,
    back: str,
    *,
    password: bool = False,
) -> web.Response:
    """Render the page before something that cannot be undone. Its button sends a form to the same address.

    ``effects`` are sentences that say what it does; ``back`` is the page to return to without doing it. With
    ``password`` the person has to enter theirs again.
    """
    return render(
        "confirmation.html",
        person=person,
        action=request.path,
        title=title,
        effects=effects,
        button=button,
        back=back,
        password=password,
    )


def redirect_page(address: str) -> web.Response:
    """Render a page that leads to ``address`` by itself, in response to a form that leads to another site.

    ``form-action`` of the form's page allows this site only, and browsers apply it to redirects.
    """
    return render("redirect.html", address=address)


def redirect(address: str) -> web.Response:
    """Lead a browser to an address on this site, by GET."""
    return web.Response(status=303, headers=responses.NO_STORE | {hdrs.LOCATION: address})


def sentence(error: Exception | str) -> str:
    """Return the text of an exception, or a text, as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
