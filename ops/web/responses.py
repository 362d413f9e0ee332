"""Build answers to people and programs: pages with one set of headers, refusals from ``ops.runtime.responses``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ops.runtime import responses, text
from ops.runtime.headers import POLICY
from ops.runtime.responses import Code, Failure

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
"""The code of each kind of Problem, and of a flow whose beginner may not connect any more; the kind is ``reason``."""

PAGE_CODES: Mapping[int, Code] = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    410: "gone",
    429: "rate_limit_exceeded",
    502: "server_error",
    503: "overloaded",
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

_TEMPLATES = Path(__file__).with_name("templates")

PAGES = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=text.finalize,
)

_HEADERS = responses.page_headers((_TEMPLATES / "base.html").read_text())
SCRIPTED = {POLICY: f"{_HEADERS[POLICY]}; script-src 'self'"}
"""For pages that hold a passkey's form: files of ours run there, and nothing that stands in the page."""


class Ended(Exception):  # noqa: N818  an answer
    """The request ends here, with this answer."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self._answer = answer

    def answer(self, request: web.Request) -> web.Response:  # noqa: ARG002  what others are answered hangs on it
        return self._answer


class NotLoggedInError(Ended):
    """Nobody is logged in, or the session ended: the answer is the login, or leads there."""


class Refused(Exception):  # noqa: N818  an answer
    """The request ends here, with an error. ``after`` is in seconds; ``close`` ends the connection too."""

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
    ) -> None:
        super().__init__(status)
        self.error = error
        self._failure = Failure(status, error, message, remedy, retry)
        self._headers = {} if after is None else {hdrs.RETRY_AFTER: str(after)}
        self._close = close

    def answer(self, request: web.Request) -> web.Response:
        return responses.error(request, self._failure, headers=self._headers, close=self._close)


def rendered(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **shown: Any) -> web.Response:
    """Render a page. One that reports a failure also holds what a program is told in its place."""
    html = PAGES.get_template(template).render({"person": None} | shown)
    response = web.Response(status=status, text=html, content_type="text/html", headers=_HEADERS | dict(headers or {}))
    if status >= 400:
        words = shown.get("wrong") or shown.get("says") or shown.get("said", {}).get("wrong") or ""
        retryable = status in (429, 503)
        response[responses.FAILURE] = Failure(status, PAGE_CODES[status], words, retryable=retryable)
    return response


def page(
    title: str, says: str, status: int, back: str = "", person: object = None, kind: str | None = None
) -> web.Response:
    """Render a page with one message; ``kind`` is that of the Problem it reports, if it reports one."""
    response = rendered("said.html", status, title=title, says=says, back=back, person=person)
    if kind is not None:
        response[responses.FAILURE] = failed(status, kind, says)
    return response


def failed(status: int, kind: str | None, says: str, remedy: str = "") -> Failure:
    """Describe a Problem for an answer; ``kind`` is None for a failure that is no Problem."""
    if kind is None:
        return Failure(status, PAGE_CODES[status], says, remedy)
    return Failure(status, CODES[kind], says, remedy, kind in ("crowded", "transient"), {"reason": kind})


def ask(
    request: web.Request,
    person: object,
    title: str,
    ends: Sequence[str],
    button: str,
    back: str,
    *,
    password: bool = False,
) -> web.Response:
    """The page before something ends: what will, each a sentence, and one button that sends to the same address.

    ``back`` is where nothing is done; with ``password`` the person gives it again.
    """
    return rendered(
        "ask.html",
        person=person,
        action=request.path,
        title=title,
        ends=ends,
        button=button,
        back=back,
        password=password,
    )


def onward(address: str) -> web.Response:
    """A page that goes on to ``address`` by itself, for the answer to a form that leads to another site.

    A redirect would be held to the form's page's ``form-action``, which allows nothing but ourselves.
    """
    return rendered("onward.html", address=address)


def sentence(wrong: Exception | str) -> str:
    """Return the text of an exception, or a text, as a sentence."""
    text = str(wrong)
    return f"{text[:1].upper()}{text[1:]}."


def to(address: str) -> web.Response:
    return web.Response(status=303, headers=responses.NO_STORE | {hdrs.LOCATION: address})
