"""The page at ``/``: everything a person may want to try by hand, and what came of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from ops.runtime.headers import POLICY, REFERRER, page_policy
from ops.runtime.text import finalize
from ops.sandbox.contract import Impossible

if TYPE_CHECKING:
    from ops.sandbox.control import Control
    from ops.sandbox.server import Server

SHOWN = 20
"""Of the ledger's newest entries of each kind."""

_TEMPLATES = Path(__file__).with_name("templates")
BASE = (_TEMPLATES / "base.html").read_text()
"""What every page is made from; the only one with a style."""

PAGES = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=finalize,
)

_HEADERS = {POLICY: page_policy(BASE), REFERRER: "same-origin"}


class Page:
    """Its forms are wishes of the control surface."""

    def __init__(self, server: "Server", control: "Control") -> None:
        self._server = server
        self._control = control

    async def show(self, request: web.Request) -> web.Response:
        world = self._server.world
        newest = {kind: world.ledger.newest(kind, SHOWN) for kind in ("webhook", "post", "call")}
        text = PAGES.get_template("page.html").render(
            now=world.clock.now(),
            waiting=len(world.office),
            dropped=world.office.dropped,
            pace=world.pace,
            platforms=world.platforms,
            webhooks=newest["webhook"],
            posts=newest["post"],
            calls=newest["call"],
            said=request.query.get("said", ""),
        )
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def act(self, request: web.Request) -> web.Response:
        """Do it, and go back to the page, which says what came of it."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        what = form.get("what", "")
        try:
            said = await self._wished(what, form)
        except ValidationError as error:
            said = "; ".join(str(problem["msg"]) for problem in error.errors())
        except Impossible as error:
            said = str(error)
        back = f"/?{urlencode({'said': said})}#{form.get('platform', '')}"
        raise web.HTTPSeeOther(back)

    async def _wished(self, what: str, form: dict[str, str]) -> str:
        fields: dict[str, Any] = {name: value for name, value in form.items() if name != "what"}
        if what == "jump":
            return f"It is {(await self._control.wish('clock', {'jump': float(form['seconds'])}))['now']} now."
        if what == "webhooks":
            found = await self._control.wish("webhooks", fields | {"url": form.get("url") or None, "everybody": True})
            return f"{found['platform']} sends to {found['url'] or 'nobody'}."
        if what in ("pace", "snapshot", "restore", "reset"):
            return f"{what}: {await self._control.wish(what, fields)}"
        return f"{what}: {await self._control.wish('act', fields | {'what': what})}"
