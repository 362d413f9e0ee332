"""The control interface under ``/_sandbox``: what a person does in an app, a portal or a settings page, and what only a
test can do. Every command is a JSON object; an invalid one is answered 400 with the reason.
"""

import dataclasses
import fnmatch
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ops.sandbox.contract import (
    CHANGES,
    Change,
    CommandError,
    FetchRule,
    Platform,
    ProcessingRule,
    VanishRule,
    WorldSize,
)
from ops.sandbox.dispatcher import DeliveryPolicy
from ops.sandbox.faults import GENERAL, Fault, RandomFaults
from ops.sandbox.ledger import KINDS
from ops.sandbox.pages import Page

if TYPE_CHECKING:
    from ops.sandbox.server import Server


class Command(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Clock(Command):
    speed: float | None = Field(default=None, ge=0)
    """Sandbox seconds for each real second."""
    jump: float = Field(default=0.0, ge=0)


class Redirect(Command):
    platform: str
    redirect_uri: str


class Callback(Command):
    """An application's webhook settings. Without ``url`` the callback is removed."""

    platform: str
    stream: str = ""
    url: str | None = None
    secret: str | None = None
    verify_token: str | None = None
    all_accounts: bool = False
    """Whether all accounts are subscribed at once, as if each had connected."""


class Variant(Command):
    platform: str
    name: str
    variant: str


class Process(Command):
    """How the platform processes the next ``times`` files or containers after the first ``skip``."""

    platform: str
    result: Literal["ready", "failed", "stuck", "expired"] = "ready"
    seconds: float | None = Field(default=None, ge=0)
    """Of processing; the platform's usual time if absent."""
    reason: str | None = None
    """The platform's own code for a failure, such as ``2207053``; a usual one if absent."""
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=1)


class Fetching(Command):
    """How the platform downloads the next ``times`` files from their addresses after the first ``skip``."""

    platform: str
    result: Literal["complete", "partial", "never"] = "complete"
    seconds: float = Field(default=0.0, ge=0)
    """Until it begins."""
    bytes: int = Field(default=0, ge=0)
    """After which it gives up, if ``partial``."""
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=1)


class ListingLag(Command):
    """New posts are missing from the platform's listings for ``seconds``."""

    platform: str
    seconds: float = Field(ge=0)


class ParentLag(Command):
    """New posts and comments cannot be replied to for ``seconds``, as if they were not there."""

    platform: str
    seconds: float = Field(ge=0)


class ReadLag(Command):
    """Reads show what was so before a change for ``seconds``."""

    platform: str
    seconds: float = Field(ge=0)


class Vanish(Command):
    """The next ``times`` posts after the first ``skip`` are gone ``seconds`` after they were made."""

    platform: str
    seconds: float = Field(default=0.0, ge=0)
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=1)


class Outage(Command):
    """The platform sends no webhooks for ``seconds``; events of that time are sent afterwards, or lost."""

    platform: str
    seconds: float = Field(ge=0)


class Pace(Command):
    pace: float = Field(ge=0)
    platforms: list[str] | None = None


class Sunset(Command):
    platform: str
    version: str


class Act(Command):
    """An action of a person on a platform."""

    platform: str
    what: Literal[
        "publish",
        "post_draft",
        "comment",
        "remove",
        "revoke",
        "unsubscribe",
        "erase",
        "live",
        "edit",
        "moderate",
        "hide",
        "unhide",
        "archive",
        "unarchive",
        "restrict",
        "unrestrict",
        "approve",
        "like",
        "comments_off",
        "comments_on",
        "withdraw",
        "mention",
    ]
    account: str
    post: str = ""
    id: str = ""
    by: str = "fan_1"
    text: str = ""
    kind: str = ""
    """Of what is published, or of a comment that listings withhold."""
    count: int = 1
    """How many likes come or, below 0, go."""


class Account(Command):
    """Settings of an account that its owner or the platform has changed."""

    platform: str
    account: str
    settings: dict[str, Any]


class Object(Command):
    """What is so of one post or comment, and a test wants otherwise."""

    platform: str
    id: str
    settings: dict[str, Any]


class LimitsCommand(Command):
    """Limits that are to be met soon; null is the platform's usual one. ``calls`` are one account's if it is named."""

    platform: str
    account: str | None = None
    calls: int | None = Field(default=None, ge=0)
    window_seconds: float | None = Field(default=None, gt=0)
    app_calls: int | None = Field(default=None, ge=0)
    listed: int | None = Field(default=None, ge=0)
    page_weight: int | None = Field(default=None, ge=0)
    cursor_seconds: float | None = Field(default=None, ge=0)
    short_pages: float = Field(default=0.0, ge=0, le=1)


class Subscriptions(Command):
    """One half of a subscription is changed without a word: an account's, or without one the application's."""

    platform: str
    account: str | None = None
    object: str = ""
    fields: list[str] = Field(default_factory=list)
    """None: it is dropped."""


class World(Command):
    """Accounts with posts and comments, the same for the same seed and sizes."""

    platform: str
    seed: int = Field(default=1, ge=0)
    accounts: int = Field(default=50, ge=1, le=1000)
    media: int = Field(default=100, ge=0, le=20_000)
    """Of each account."""
    comments: int = Field(default=20, ge=0, le=20_000)
    """Of each of the media, on average; replies are among them."""
    replies: float = Field(default=0.3, ge=0, le=1)
    """The share of comments that are replies."""
    days: int = Field(default=365, ge=1)
    """Over which they were made, until now."""


class Churn(Command):
    """So many random changes, of these kinds; the same seed makes the same ones of the same world."""

    platform: str
    seed: int = 1
    changes: int = Field(default=1, ge=0, le=100_000)
    kinds: list[str] = Field(default_factory=list)
    """All that the platform has, if absent."""


class Control:
    def __init__(self, server: "Server") -> None:
        self._server = server
        self._commands: dict[str, tuple[type[BaseModel], Callable[[Any], Awaitable[Any]]]] = {
            "faults": (Fault, self.fault),
            "random-faults": (RandomFaults, self.random_faults),
            "clock": (Clock, self.clock),
            "redirects": (Redirect, self.redirect),
            "webhooks": (Callback, self.webhooks),
            "delivery-policy": (DeliveryPolicy, self.delivery_policy),
            "variants": (Variant, self.variant),
            "outage": (Outage, self.outage),
            "processing": (Process, self.processing),
            "fetching": (Fetching, self.fetching),
            "listing-lag": (ListingLag, self.listing_lag),
            "parent-lag": (ParentLag, self.parent_lag),
            "read-lag": (ReadLag, self.read_lag),
            "vanish": (Vanish, self.vanish),
            "pace": (Pace, self.pace),
            "sunset": (Sunset, self.sunset),
            "act": (Act, self.act),
            "account": (Account, self.account),
            "object": (Object, self.object),
            "limits": (LimitsCommand, self.limits),
            "subscriptions": (Subscriptions, self.subscriptions),
            "world": (World, self.world),
            "churn": (Churn, self.churn),
            "reset": (Command, self.reset),
            "snapshot": (Command, self.snapshot),
            "restore": (Command, self.restore),
        }

    def add_to(self, app: web.Application) -> None:
        add = app.router.add_route
        add("GET", "/_sandbox/ledger", self.ledger)
        add("GET", "/_sandbox/state", self.state)
        add("GET", "/_sandbox/deliveries", self.deliveries)
        add("GET", "/_sandbox/world", self.export_world)
        add("GET", "/_sandbox/spent", self.spent)
        add("DELETE", "/_sandbox/spent", self.clear_spent)
        add("DELETE", "/_sandbox/faults", self.clear_faults)
        for name in self._commands:
            add("POST", f"/_sandbox/{name}", self._handler(name))
        page = Page(self._server, self)
        add("GET", "/", page.show)
        add("GET", "/platforms/{name}", page.show_platform)
        add("POST", "/", page.act)

    async def command(self, name: str, fields: Any) -> Any:
        """Run a command. Raises ValidationError or CommandError."""
        kind, run = self._commands[name]
        result = await run(kind.model_validate(fields))
        self._server.changed = True
        return result

    def _handler(self, name: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            try:
                if request.content_type != "application/json":  # another website's page cannot send JSON without asking
                    raise CommandError("the body is JSON: send it with Content-Type: application/json")
                return web.json_response(await self.command(name, json.loads(await request.read() or b"{}")))
            except ValidationError as error:
                return web.json_response({"error": json.loads(error.json(include_url=False))}, status=400)
            except ValueError:
                return web.json_response({"error": "the body is no JSON"}, status=400)
            except CommandError as error:
                return web.json_response({"error": str(error)}, status=400)

        return answer

    def _platform(self, name: str) -> Platform:
        platforms = self._server.simulation.platforms
        if name not in platforms:
            raise CommandError(f"platform is one of {', '.join(platforms)}")
        return platforms[name]

    # --- the ledger and the state

    async def ledger(self, request: web.Request) -> web.Response:
        wanted = dict(request.query)
        kind = wanted.pop("kind", None)
        if kind is not None and kind not in KINDS:
            return web.json_response({"error": f"kind is one of {', '.join(KINDS)}"}, status=400)
        self._server.simulation.catch_up()  # a jump of the clock has just been answered, perhaps
        return web.json_response(self._server.simulation.ledger.find(kind, **wanted))

    async def state(self, _: web.Request) -> web.Response:
        simulation = self._server.simulation
        return web.json_response(
            {
                "now": simulation.clock.now().isoformat(),
                "waiting": len(simulation.dispatcher),
                "dropped": simulation.dispatcher.dropped,
                "platforms": {
                    name: {
                        "application": platform.application(),
                        "callbacks": platform.callbacks,
                        "variants": dict(platform.selected),
                        "accounts": {account: platform.visible_posts(account) for account in platform.people()},
                    }
                    for name, platform in simulation.platforms.items()
                },
            }
        )

    async def deliveries(self, _: web.Request) -> web.Response:
        dispatcher = self._server.simulation.dispatcher
        counts = {"sent": dispatcher.answers.total(), "waiting": len(dispatcher), "dropped": dispatcher.dropped}
        return web.json_response(counts | {"answers": {str(status): n for status, n in dispatcher.answers.items()}})

    async def export_world(self, request: web.Request) -> web.Response:
        """Show all accounts, posts and comments of one platform as they are, and what was deleted."""
        simulation, account = self._server.simulation, request.query.get("account")
        try:
            platform = self._platform(request.query.get("platform", ""))
            simulation.catch_up()
            world = platform.export_world(account)
        except CommandError as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({"platform": platform.name, "at": simulation.sandbox.at, **world})

    async def spent(self, request: web.Request) -> web.Response:
        ledger = self._server.simulation.ledger
        return web.json_response(ledger.spent(request.query.get("platform"), request.query.get("account")))

    async def clear_spent(self, _: web.Request) -> web.Response:
        self._server.simulation.ledger.clear_spent()
        return web.json_response([])

    # --- faults and time

    async def fault(self, command: Fault) -> Any:
        platforms = self._server.simulation.platforms
        for name in fnmatch.filter(platforms, command.platform) if command.error else ():
            known = platforms[name].error_answers()
            if command.error not in known:
                raise CommandError(f"error of {name} is one of {', '.join(known)}")
        self._server.simulation.faults.add(command)
        return {"faults": len(self._server.simulation.faults.faults)}

    async def random_faults(self, command: RandomFaults) -> Any:
        for name in command.platforms or self._server.simulation.platforms:
            known = [*GENERAL, *self._platform(name).error_answers()]
            if wrong := [kind for kind in command.kinds if kind not in known]:
                raise CommandError(f"kinds of {name} are {', '.join(known)}: not {', '.join(wrong)}")
        self._server.simulation.faults.fail_by_chance(command)
        return command.model_dump()

    async def clear_faults(self, _: web.Request) -> web.Response:
        self._server.simulation.faults.clear()
        return web.json_response({"faults": 0})

    async def clock(self, command: Clock) -> Any:
        clock = self._server.simulation.clock
        if command.speed is not None:
            clock.set_speed(command.speed)
        clock.jump(command.jump)
        return {"now": clock.now().isoformat()}

    async def outage(self, command: Outage) -> Any:
        simulation = self._server.simulation
        self._platform(command.platform)
        until = simulation.dispatcher.outages[command.platform] = simulation.clock.seconds() + command.seconds
        return {"until": until}

    async def processing(self, command: Process) -> Any:
        platform = self._platform(command.platform)
        if command.result not in platform.processing_results:
            raise CommandError(f"result on {command.platform} is one of {', '.join(platform.processing_results)}")
        rule = ProcessingRule(command.skip, command.times, command.result, command.seconds, command.reason)
        platform.processing_rules.append(rule)
        return {"rules": len(platform.processing_rules)}

    async def fetching(self, command: Fetching) -> Any:
        platform = self._platform(command.platform)
        rule = FetchRule(command.skip, command.times, command.result, command.seconds, command.bytes)
        platform.fetch_rules.append(rule)
        return {"rules": len(platform.fetch_rules)}

    async def listing_lag(self, command: ListingLag) -> Any:
        self._platform(command.platform).listing_lag = command.seconds
        return {"seconds": command.seconds}

    async def parent_lag(self, command: ParentLag) -> Any:
        self._platform(command.platform).parent_lag = command.seconds
        return {"seconds": command.seconds}

    async def read_lag(self, command: ReadLag) -> Any:
        platform = self._platform(command.platform)
        if not platform.reads_lag:
            raise CommandError(f"reads of {command.platform} do not lag behind here")
        platform.read_lag = command.seconds
        return {"seconds": command.seconds}

    async def vanish(self, command: Vanish) -> Any:
        platform = self._platform(command.platform)
        platform.vanish_rules.append(VanishRule(command.skip, command.times, command.seconds))
        return {"rules": len(platform.vanish_rules)}

    async def sunset(self, command: Sunset) -> Any:
        self._platform(command.platform).sunset(command.version)
        return {"ended": command.version}

    # --- portals and settings

    async def redirect(self, command: Redirect) -> Any:
        platform = self._platform(command.platform)
        platform.redirect_uris.add(command.redirect_uri)
        return {"redirect_uris": sorted(platform.redirect_uris)}

    async def webhooks(self, command: Callback) -> Any:
        platform = self._platform(command.platform)
        if command.stream not in platform.streams:
            raise CommandError(f"stream is one of {', '.join(map(repr, platform.streams))}")
        platform.signing_secret = command.secret or platform.signing_secret
        platform.verify_token = command.verify_token or platform.verify_token
        if command.url is None:
            platform.callbacks.pop(command.stream, None)
            platform.callback_removed(command.stream)
            return {"platform": command.platform, "stream": command.stream, "url": None}
        shaken = await self._server.verify_callback(command.platform, command.stream, command.url)
        if command.all_accounts:
            platform.subscribe_all_accounts()
        return shaken

    async def variant(self, command: Variant) -> Any:
        platform = self._platform(command.platform)
        if command.variant not in platform.variants.get(command.name, ()):
            known = "; ".join(f"{name}: {', '.join(choices)}" for name, choices in platform.variants.items())
            raise CommandError(f"{command.platform} has these variants: {known or 'none'}")
        platform.selected[command.name] = command.variant
        return platform.selected

    async def limits(self, command: LimitsCommand) -> Any:
        platform = self._platform(command.platform)
        given = command.model_dump(include=command.model_fields_set - {"platform", "account"})
        if command.account is not None:
            if set(given) != {"calls"} or command.calls is None:
                raise CommandError("of one account only calls are limited")
            given = {"calls_of": platform.limits.calls_of | {command.account: command.calls}}
        if wrong := set(given) - set(platform.bounded):
            raise CommandError(f"{command.platform} has no {', '.join(sorted(wrong))} to limit")
        platform.limits = dataclasses.replace(platform.limits, **given)
        return dataclasses.asdict(platform.limits)

    async def subscriptions(self, command: Subscriptions) -> Any:
        self._platform(command.platform).set_subscription(command.account, command.object, command.fields)
        return {"fields": command.fields}

    # --- activity

    async def world(self, command: World) -> Any:
        size = WorldSize(**command.model_dump(exclude={"platform"}))
        return self._platform(command.platform).seed_world(size)

    async def churn(self, command: Churn) -> Any:
        platform, rng = self._platform(command.platform), random.Random(command.seed)  # noqa: S311
        if not platform.churn_kinds or not set(command.kinds) <= set(platform.churn_kinds):
            raise CommandError(f"changes of {command.platform} are {', '.join(platform.churn_kinds) or 'none'}")
        done: Counter[str] = Counter()
        for _ in range(command.changes):
            kind = rng.choice(command.kinds or platform.churn_kinds)
            done[kind] += platform.churn(rng, kind)
        self._server.wake()
        return dict(done)

    async def object(self, command: Object) -> Any:
        self._platform(command.platform).configure_object(command.id, command.settings)
        return {"id": command.id, "settings": command.settings}

    async def delivery_policy(self, command: DeliveryPolicy) -> Any:
        self._server.simulation.dispatcher.delivery_policy = command
        return command.model_dump()

    async def pace(self, command: Pace) -> Any:
        simulation = self._server.simulation
        for name in command.platforms or ():
            self._platform(name)
        simulation.active = command.platforms or list(simulation.platforms)
        simulation.set_pace(command.pace)
        self._server.wake()
        return {"pace": simulation.pace, "platforms": simulation.active}

    async def act(self, command: Act) -> Any:
        platform = self._platform(command.platform)
        if command.account not in platform.people():
            raise CommandError(f"account is one of {', '.join(platform.people())}")
        try:
            return self._done(platform, command)
        finally:
            self._server.wake()

    async def account(self, command: Account) -> Any:
        platform = self._platform(command.platform)
        if command.account not in platform.people():
            raise CommandError(f"account is one of {', '.join(platform.people())}")
        platform.configure(command.account, command.settings)
        return {"account": command.account, "settings": command.settings}

    def _done(self, platform: Platform, command: Act) -> Any:
        account, what = command.account, command.what
        if what in ("publish", "post_draft", "comment", "mention"):
            return {"id": self._made(platform, command)}
        if what == "revoke":
            return {"ended": platform.simulate_revoke(account)}
        if what == "withdraw":
            return {"tokens": platform.simulate_withdraw(account, command.text)}
        if what in CHANGES:
            change = Change(what, account, command.id, command.by, command.text, command.count)
            platform.simulate_change(change)
        elif what == "remove":
            platform.simulate_remove(account, command.id)
            platform.record("change", action="remove", account=account, id=command.id, by="owner", endpoint=None)
        elif what == "unsubscribe":
            platform.simulate_unsubscribe(account)
        elif what == "erase":
            platform.simulate_erase(account)
        else:
            platform.simulate_activity()
        return {"done": what}

    def _made(self, platform: Platform, command: Act) -> str:
        """Make a post or a comment, and return its id."""
        account, kind = command.account, command.kind
        if command.what == "post_draft":
            return platform.simulate_post_draft(account, command.id)
        if command.what == "comment":
            about = (account, command.post, command.by, command.text)
            return platform.simulate_comment_kind(*about, kind) if kind else platform.simulate_comment(*about)
        if command.what == "mention":
            return platform.simulate_mention(account, command.by, command.text, kind)
        if kind:
            return platform.simulate_publish_kind(account, command.text, kind)
        return platform.simulate_publish(account, command.text)

    # --- state

    async def reset(self, _: Command) -> Any:
        self._server.reset()
        return {"reset": True}

    async def snapshot(self, _: Command) -> Any:
        return {"bytes": self._server.snapshot()}

    async def restore(self, _: Command) -> Any:
        self._server.restore()
        return {"restored": True}
