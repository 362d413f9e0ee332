"""What pages and programs are answered with: one shape for refusals, one set of headers for pages."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ops.runtime import text

STATUS = {"wrong": 400, "denied": 403, "lacking": 403, "grant": 409, "crowded": 429, "app": 503, "transient": 503}
REMEDY = {
    "wrong": "correct the request",
    "crowded": "finish some of them, or wait until they have had their time",
    "app": "set what is missing and start `landfall serve` again",
    "transient": "send it again later",
}

PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=text.finalize,
)


class Ended(Exception):  # noqa: N818  an answer
    """The request ends here, with this answer."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(answer.status)
        self.answer = answer


class Refused(Ended):
    def __init__(
        self, status: int, error: str, message: str, remedy: str, *, retry: bool = False, after: int | None = None
    ) -> None:
        body = {"error": error, "message": message, "retry": retry, "remedy": remedy}
        headers = {} if after is None else {hdrs.RETRY_AFTER: str(after)}
        super().__init__(
            web.Response(
                status=status, content_type="application/json", body=json.dumps(body).encode(), headers=headers
            )
        )


def rendered(template: str, status: int = 200, headers: Mapping[str, str] | None = None, **shown: Any) -> web.Response:
    # Neither the code in an address nor the page itself goes any further, and nobody frames it. "no-referrer" would
    # make browsers send a form of ours with "Origin: null", which is what a stranger sends.
    fixed = {
        hdrs.CACHE_CONTROL: "no-store",
        "Referrer-Policy": "same-origin",
        "X-Frame-Options": "DENY",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    }
    html = PAGES.get_template(template).render({"person": None} | shown)
    return web.Response(status=status, text=html, content_type="text/html", headers=fixed | dict(headers or {}))


def page(title: str, says: str, status: int, back: str = "") -> web.Response:
    return rendered("said.html", status, title=title, says=says, back=back)


def to(address: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: address, hdrs.CACHE_CONTROL: "no-store"})


def browser(request: web.Request) -> bool:
    return "text/html" in request.headers.get(hdrs.ACCEPT, "")
