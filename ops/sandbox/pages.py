"""The pages for people: an overview at ``/``, and one for each platform, to act by hand and to see the results."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError

from ops.runtime.headers import POLICY, REFERRER, page_policy
from ops.runtime.text import finalize
from ops.sandbox.contract import CHANGES, CommandError, Platform, PlatformEvent

if TYPE_CHECKING:
    from ops.sandbox.control import Control
    from ops.sandbox.server import Server

SHOWN = 20
"""Number of the newest ledger entries of each kind that a page shows."""

_TEMPLATES = Path(__file__).with_name("templates")
BASE = (_TEMPLATES / "base.html").read_text()
"""The template that all others extend; the only one with styles."""

PAGES = Environment(
    loader=FileSystemLoader(_TEMPLATES),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=finalize,
)

_HEADERS = {POLICY: page_policy(BASE), REFERRER: "same-origin"}

_DONE = {
    "publish": "{account} published post {id}.",
    "post_draft": "{account} posted the draft: post {id}.",
    "comment": "{by} commented on post {post}: comment {id}.",
    "delete_post": "Post {id} of {account} is deleted.",
    "delete_comment": "Comment {id} is deleted.",
    "revoke": "{account} revoked Landfall; {ended}.",
    "unsubscribe": "{title} sends nothing about {account} any more, and does not say so.",
    "erase": "{account} asked to be erased.",
    "live": "Somebody did something.",
    "mention": "{by} mentioned {account}: {id}.",
    "withdraw": "{account} took a permission back.",
    **dict.fromkeys(CHANGES, "It is done in the app of {account}."),
}
"""The sentence that describes each action, by its name."""

_WORLD = {
    "snapshot": "The simulation is saved as it is now.",
    "restore": "The simulation is as it was when it was saved; only its clock went on.",
    "reset": "All accounts, posts and tokens were created anew; addresses, secrets, the delivery policy and the pace"
    " stayed.",
}
"""The same for commands that change the whole simulation."""


class Page:
    """Serves the pages; their forms run commands of the control interface."""

    def __init__(self, server: "Server", control: "Control") -> None:
        self._server = server
        self._control = control

    async def show(self, request: web.Request) -> web.Response:
        """Show the overview: the time, the pace and the newest entries of all platforms."""
        return self._page(request, "overview.html", None)

    async def show_platform(self, request: web.Request) -> web.Response:
        """Show one platform: its settings, its accounts and its newest entries."""
        name = request.match_info["name"]
        platforms = self._server.simulation.platforms
        if name not in platforms:
            text = f"there is no platform {name}; there are {', '.join(platforms)}"
            raise web.HTTPNotFound(text=text)
        return self._page(request, "platform.html", platforms[name])

    def _page(self, request: web.Request, template: str, platform: Platform | None) -> web.Response:
        simulation = self._server.simulation
        name = None if platform is None else platform.name
        newest = {kind: simulation.ledger.newest(kind, SHOWN, name) for kind in ("webhook", "post", "call")}
        text = PAGES.get_template(template).render(
            now=simulation.clock.now(),
            waiting=len(simulation.dispatcher),
            dropped=simulation.dispatcher.dropped,
            pace=simulation.pace,
            platforms=simulation.platforms,
            platform=platform,
            offered=() if platform is None else _offered(platform),
            webhooks=newest["webhook"],
            posts=newest["post"],
            calls=newest["call"],
            said=request.query.get("said", ""),
            at=request.query.get("at", ""),
        )
        return web.Response(text=text, content_type="text/html", headers=_HEADERS)

    async def act(self, request: web.Request) -> web.Response:
        """Run the command of a form and redirect to its page, which shows the result beside the form."""
        form = {name: str(value) for name, value in (await request.post()).items()}
        what, at = form.pop("what", ""), form.pop("at", "top")
        try:
            said = await self._run(what, form)
        except ValidationError as error:
            said = "; ".join(str(problem["msg"]) for problem in error.errors())
        except CommandError as error:
            said = str(error)
        name = form.get("platform", "")
        path = f"/platforms/{name}" if name in self._server.simulation.platforms else "/"
        raise web.HTTPSeeOther(f"{path}?{urlencode({'said': said, 'at': at})}#{quote(at)}")

    async def _run(self, what: str, form: dict[str, str]) -> str:
        fields: dict[str, Any] = dict(form)
        if what == "jump":
            found = await self._control.command("clock", {"jump": fields.get("seconds", "")})
            return f"It is {found['now'][:19].replace('T', ' ')} UTC here now."
        if what == "webhooks":
            found = await self._control.command(
                "webhooks", fields | {"url": form.get("url") or None, "all_accounts": True}
            )
            title = self._server.simulation.platforms[found["platform"]].title
            return (
                f"{title} sends its webhooks to {found['url']}." if found["url"] else f"{title} sends no webhooks now."
            )
        if what == "pace":
            pace = (await self._control.command("pace", fields))["pace"]
            return f"About {pace:g} things happen each second." if pace else "Nothing happens by itself now."
        if what in _WORLD:
            await self._control.command(what, fields)
            return _WORLD[what]
        return await self._acted(what, form)

    async def _acted(self, what: str, form: dict[str, str]) -> str:
        """Run an action of a person, and say which webhooks follow."""
        simulation = self._server.simulation
        platform, account = simulation.platforms.get(form.get("platform", "")), form.get("account", "")
        if what == "remove" and platform is not None and account in platform.people():
            what = (
                "delete_post"
                if any(post["id"] == form.get("id") for post in platform.visible_posts(account))
                else ("delete_comment")
            )
        before = len(simulation.sandbox.outbox)
        command = "remove" if what.startswith("delete_") else what
        found = await self._control.command("act", form | {"what": command})
        assert platform is not None  # noqa: S101  otherwise that was refused
        told = simulation.sandbox.outbox[before:]
        ended = _counted(found["ended"], "token") if "ended" in found else ""
        words = {"by": "fan_1", "title": platform.title} | form | found | {"ended": ended}
        done = _DONE[what].format_map(words)
        return f"{done} {_sent(platform, what, account, told)}".strip()


def _offered(platform: Platform) -> list[str]:
    """Return the optional actions that the platform supports."""
    names = ("comment", "erase", "unsubscribe")
    return [
        name
        for name in names
        if getattr(type(platform), f"simulate_{name}") is not getattr(Platform, f"simulate_{name}")
    ]


def _counted(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'} ended"


def _sent(platform: Platform, what: str, account: str, told: list[PlatformEvent]) -> str:
    """Say what the platform sends of an action, or why it sends nothing."""
    if listened := [event for event in told if platform.stream(event) in platform.callbacks]:
        topics = ", ".join(dict.fromkeys(event.topic for event in listened))
        return f"{platform.title} sends a webhook: {topics}."
    if told:
        return f"{platform.title} would send a webhook, but no address is entered for it."
    if what == "unsubscribe":
        return ""
    if what in platform.unreported:
        return platform.unreported[what]
    if what == "live":
        return f"{platform.title} sends nothing for it."
    return f"{platform.title} sends nothing: {account} is not subscribed."
