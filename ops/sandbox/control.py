"""The control surface under ``/_sandbox``: what a person would do in an app, a portal or a settings page, and what only
the owner of a universe can do. Every wish is a JSON object; a wrong one is answered 400 and says what is wrong.
"""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops.sandbox.contract import Impossible, Platform
from ops.sandbox.dispatcher import Manners
from ops.sandbox.faults import Fault
from ops.sandbox.ledger import KINDS
from ops.sandbox.pages import Page

if TYPE_CHECKING:
    from ops.sandbox.server import Server


class Wish(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Clock(Wish):
    speed: float | None = Field(default=None, ge=0)
    """Seconds there for each real one."""
    jump: float = Field(default=0.0, ge=0)


class Redirect(Wish):
    platform: str
    redirect_uri: str


class Callback(Wish):
    """An application's webhook settings. Without ``url`` it is taken away."""

    platform: str
    stream: str = ""
    url: str | None = None
    secret: str | None = None
    verify_token: str | None = None
    everybody: bool = False
    """Whether all accounts are subscribed at once, as if each had connected."""


class Form(Wish):
    platform: str
    name: str
    form: str


class Outage(Wish):
    """The platform sends nothing for so long; what happens meanwhile is sent afterwards, or lost."""

    platform: str
    seconds: float = Field(ge=0)


class Pace(Wish):
    pace: float = Field(ge=0)
    platforms: list[str] | None = None


class Sunset(Wish):
    platform: str
    version: str


class Act(Wish):
    """What a person does."""

    platform: str
    what: Literal["publish", "comment", "remove", "revoke", "unsubscribe", "erase", "live"]
    account: str
    post: str = ""
    id: str = ""
    by: str = "fan_1"
    text: str = ""


class Control:
    def __init__(self, server: "Server") -> None:
        self._server = server
        self._wishes: dict[str, tuple[type[BaseModel], Callable[[Any], Awaitable[Any]]]] = {
            "faults": (Fault, self.fault),
            "clock": (Clock, self.clock),
            "redirects": (Redirect, self.redirect),
            "webhooks": (Callback, self.webhooks),
            "manners": (Manners, self.manners),
            "forms": (Form, self.form),
            "outage": (Outage, self.outage),
            "pace": (Pace, self.pace),
            "sunset": (Sunset, self.sunset),
            "act": (Act, self.act),
            "reset": (Wish, self.reset),
            "snapshot": (Wish, self.snapshot),
            "restore": (Wish, self.restore),
        }

    def add_to(self, app: web.Application) -> None:
        add = app.router.add_route
        add("GET", "/_sandbox/ledger", self.ledger)
        add("GET", "/_sandbox/world", self.world)
        add("GET", "/_sandbox/mail", self.mail)
        add("DELETE", "/_sandbox/faults", self.clear_faults)
        for name in self._wishes:
            add("POST", f"/_sandbox/{name}", self._granted(name))
        page = Page(self._server, self)
        add("GET", "/", page.show)
        add("GET", "/platforms/{name}", page.show_platform)
        add("POST", "/", page.act)

    async def wish(self, name: str, fields: Any) -> Any:
        """Grant a wish. Raises ValidationError or Impossible."""
        kind, grant = self._wishes[name]
        granted = await grant(kind.model_validate(fields))
        self._server.changed = True
        return granted

    def _granted(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                if request.content_type != "application/json":  # no page of another website can send that unasked
                    raise Impossible("the body is JSON: send it with Content-Type: application/json")
                return web.json_response(await self.wish(name, json.loads(await request.read() or b"{}")))
            except ValidationError as error:
                return web.json_response({"error": json.loads(error.json(include_url=False))}, status=400)
            except ValueError:
                return web.json_response({"error": "the body is no JSON"}, status=400)
            except Impossible as error:
                return web.json_response({"error": str(error)}, status=400)

        return answer

    def _platform(self, name: str) -> Platform:
        platforms = self._server.world.platforms
        if name not in platforms:
            raise Impossible(f"platform is one of {', '.join(platforms)}")
        return platforms[name]

    # --- what happened, and what there is

    async def ledger(self, request: web.Request) -> web.Response:
        wanted = dict(request.query)
        kind = wanted.pop("kind", None)
        if kind is not None and kind not in KINDS:
            return web.json_response({"error": f"kind is one of {', '.join(KINDS)}"}, status=400)
        return web.json_response(self._server.world.ledger.find(kind, **wanted))

    async def world(self, _: web.Request) -> web.Response:
        world = self._server.world
        return web.json_response(
            {
                "now": world.clock.now().isoformat(),
                "waiting": len(world.office),
                "dropped": world.office.dropped,
                "platforms": {
                    name: {
                        "application": platform.application(),
                        "callbacks": platform.callbacks,
                        "forms": {form: platform.chosen[form] for form in platform.forms},
                        "accounts": {account: platform.shown(account) for account in platform.people()},
                    }
                    for name, platform in world.platforms.items()
                },
            }
        )

    async def mail(self, _: web.Request) -> web.Response:
        office = self._server.world.office
        counts = {"sent": office.answers.total(), "waiting": len(office), "dropped": office.dropped}
        return web.json_response(counts | {"answers": {str(status): n for status, n in office.answers.items()}})

    # --- faults and time

    async def fault(self, wish: Fault) -> Any:
        self._server.world.script.add(wish)
        return {"faults": len(self._server.world.script.faults)}

    async def clear_faults(self, _: web.Request) -> web.Response:
        self._server.world.script.clear()
        return web.json_response({"faults": 0})

    async def clock(self, wish: Clock) -> Any:
        clock = self._server.world.clock
        if wish.speed is not None:
            clock.run(wish.speed)
        clock.jump(wish.jump)
        return {"now": clock.now().isoformat()}

    async def outage(self, wish: Outage) -> Any:
        world = self._server.world
        self._platform(wish.platform)
        until = world.office.outages[wish.platform] = world.clock.seconds() + wish.seconds
        return {"until": until}

    async def sunset(self, wish: Sunset) -> Any:
        self._platform(wish.platform).sunset(wish.version)
        return {"ended": wish.version}

    # --- portals and settings

    async def redirect(self, wish: Redirect) -> Any:
        platform = self._platform(wish.platform)
        platform.redirect_uris.add(wish.redirect_uri)
        return {"redirect_uris": sorted(platform.redirect_uris)}

    async def webhooks(self, wish: Callback) -> Any:
        platform = self._platform(wish.platform)
        if wish.stream not in platform.streams:
            raise Impossible(f"stream is one of {', '.join(map(repr, platform.streams))}")
        platform.signing_secret = wish.secret or platform.signing_secret
        platform.verify_token = wish.verify_token or platform.verify_token
        if wish.url is None:
            platform.callbacks.pop(wish.stream, None)
            platform.left(wish.stream)
            return {"platform": wish.platform, "stream": wish.stream, "url": None}
        shaken = await self._server.shake_hands(wish.platform, wish.stream, wish.url)
        if wish.everybody:
            platform.subscribe_everybody()
        return shaken

    async def form(self, wish: Form) -> Any:
        forms = self._platform(wish.platform).forms
        if wish.form not in forms.get(wish.name, ()):
            known = "; ".join(f"{name}: {', '.join(choices)}" for name, choices in forms.items())
            raise Impossible(f"{wish.platform} has these forms: {known or 'none'}")
        self._platform(wish.platform).chosen[wish.name] = wish.form
        return self._platform(wish.platform).chosen

    # --- life

    async def manners(self, wish: Manners) -> Any:
        self._server.world.office.manners = wish
        return wish.model_dump()

    async def pace(self, wish: Pace) -> Any:
        world = self._server.world
        for name in wish.platforms or ():
            self._platform(name)
        world.lively = wish.platforms or list(world.platforms)
        world.hurry(wish.pace)
        self._server.stir()
        return {"pace": world.pace, "platforms": world.lively}

    async def act(self, wish: Act) -> Any:
        platform = self._platform(wish.platform)
        if wish.account not in platform.people():
            raise Impossible(f"account is one of {', '.join(platform.people())}")
        try:
            return self._done(platform, wish)
        finally:
            self._server.stir()

    def _done(self, platform: Platform, wish: Act) -> Any:
        if wish.what == "publish":
            return {"id": platform.let_publish(wish.account, wish.text)}
        if wish.what == "comment":
            return {"id": platform.let_comment(wish.account, wish.post, wish.by, wish.text)}
        if wish.what == "remove":
            platform.let_remove(wish.account, wish.id)
        elif wish.what == "unsubscribe":
            platform.let_unsubscribe(wish.account)
        elif wish.what == "erase":
            platform.let_erase(wish.account)
        elif wish.what == "live":
            platform.live()
        else:
            return {"ended": platform.let_revoke(wish.account)}
        return {"done": wish.what}

    # --- state

    async def reset(self, _: Wish) -> Any:
        self._server.reset()
        return {"reset": True}

    async def snapshot(self, _: Wish) -> Any:
        return {"bytes": self._server.snapshot()}

    async def restore(self, _: Wish) -> Any:
        self._server.restore()
        return {"restored": True}
