"""A made-up platform of media and comments on a local server, and what reads it: the pull with all but tokens."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from aiohttp import web
from aiohttp.test_utils import TestServer

from ops.cli import wiring
from ops.cli.composition import append_within
from ops.runtime.db import Pool, open_pool
from ops.runtime.http import Client
from ops.runtime.platform_client import PlatformClient
from ops.runtime.platform_protocol import (
    PlatformError,
    RateLimitStatus,
    Request,
    Response,
    Steps,
    asked_to_wait,
)
from ops.runtime.ports import Pulling
from ops.runtime.rate_limits import RateLimits
from schema.events import bucket_of
from schema.reading import moment
from schema.rights import WORKER_ROLE
from schema.tenancy import DEFAULT_TENANT
from sync.projection.store import PLANNER
from sync.projection.worker import Projector
from sync.pull.contract import (
    Account,
    Object,
    Page,
    Priority,
    PullingPlatform,
    PullTask,
    Range,
    Reading,
    Task,
    Turn,
    Wanted,
    never,
)
from sync.pull.worker import Puller

PLATFORM, SHOP = "instagram", "17841400000000001"
"""Its readings are of the types that Instagram's projection handles, so that rows come of them."""

OTHER = "17841400000000002"
SCOPE = "read_comments"
PAGE_SIZE = 3
ONE_PAGE = 0.000001
"""Seconds of a turn that is over after its first page."""


@dataclass
class World:
    """What the platform holds, and what it is asked. ``broken`` are statuses that paths are answered with."""

    media: dict[str, dict[str, Any]] = field(default_factory=dict)
    comments: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)
    """In no listing, though they can be read."""
    broken: dict[str, int] = field(default_factory=dict)
    broken_pages: dict[str, int] = field(default_factory=dict)
    """The same of pages behind the first."""
    calls: Counter[str] = field(default_factory=Counter)
    usage: int = 0
    retry_after: int = 0
    most: int | None = None
    """So many does a listing show."""
    lost: int = -1
    """The answer of the so-manieth call from now on is lost, and so is that of its repeat; -1: none is."""

    def post(self, id_: str, comments: Sequence[str] = (), at: str = "2026-06-01T12:00:00+0000", **more: Any) -> None:
        self.media[id_] = {"id": id_, "caption": f"caption of {id_}", "timestamp": at} | more
        self.comments.setdefault(id_, {})
        for comment in comments:
            self.say(id_, comment)

    def say(self, media: str, id_: str, text: str = "hello", at: str = "2026-06-02T12:00:00+0000") -> None:
        self.comments[media][id_] = {"id": id_, "text": text, "timestamp": at, "from": {"id": "7", "username": "fan"}}

    async def answer(self, request: web.Request) -> web.Response:
        path = request.path
        self.calls[path] += 1
        self.lost -= 1
        if self.lost in (0, -1) and request.transport is not None:
            request.transport.abort()
        headers = {"x-used": str(self.usage)}
        refusal = self._refusal(path, request.query)
        if refusal:
            status, headers = refusal, {**headers, **({"retry-after": str(self.retry_after)} if refusal == 429 else {})}
            return web.json_response({"error": "refused"}, status=status, headers=headers)
        found = self._found(path)
        if found is None:
            return web.json_response({"error": "missing"}, status=404, headers=headers)
        if isinstance(found, list):
            shown = [item for item in found if item["id"] not in self.unlisted][: self.most]
            start = int(request.query.get("after") or 0)
            left = start + PAGE_SIZE < len(shown)
            body: dict[str, Any] = {"data": shown[start : start + PAGE_SIZE]}
            return web.json_response(body | ({"next": str(start + PAGE_SIZE)} if left else {}), headers=headers)
        return web.json_response(found, headers=headers)

    def _refusal(self, path: str, query: Mapping[str, str]) -> int:
        """The status of an answer that refuses the request; 0 for none."""
        if query.get("token") == "old":
            return 401
        if self.retry_after:
            return 429
        return self.broken.get(path, 0) or (self.broken_pages.get(path, 0) if query.get("after") else 0)

    def _found(self, path: str) -> Any:
        match path.strip("/").split("/"):
            case ["me", id_]:
                return {"id": id_, "username": f"user_{id_}"}
            case ["me", _, "media"]:
                return sorted(self.media.values(), key=lambda item: str(item["timestamp"]), reverse=True)
            case ["media", id_]:
                return self.media.get(id_)
            case ["media", id_, "comments"]:
                return [*self.comments[id_].values()] if id_ in self.media else None
            case ["comment", id_]:
                return next((found[id_] for found in self.comments.values() if id_ in found), None)
        return None


MISSING = "missing"


def _ask(account: Account, path: str, **query: str) -> Steps[Any]:
    token = account.secrets["access_token"]
    response = yield Request("GET", account.api.url("api", path), {"token": token, **query})
    if response.ok:
        return response.content
    code = {401: "190", 403: "10", 404: MISSING, 400: "bad"}.get(response.status, str(response.status))
    kind: Any = {401: "grant", 403: "lacking", 404: "wrong", 400: "wrong"}.get(response.status, "transient")
    raise PlatformError(kind, "The platform refused it.", code)


def read_account(account: Account, turn: Turn) -> Steps[Page]:
    found = yield from _ask(account, f"/me/{account.account_id}")
    return Page([Reading("account.read", Object("account", account.account_id), found)])


def read_media_list(account: Account, turn: Turn) -> Steps[Page]:
    found = yield from _ask(account, f"/me/{account.account_id}/media", after=turn.cursor)
    readings = [
        Reading("media.read", Object("ig_media", item["id"]), item, source_time=moment(item["timestamp"]))
        for item in found["data"]
    ]
    wanted = [
        Wanted(Task("comments", item["id"]), "its comments", source_time=moment(item["timestamp"]))
        for item in found["data"]
    ]
    return Page(readings, found.get("next"), wanted)


def _comment(item: Mapping[str, Any], parent: str) -> Reading:
    return Reading("comment.read", Object("ig_comment", item["id"]), item, parent, moment(item["timestamp"]))


def read_comments(account: Account, turn: Turn) -> Steps[Page]:
    media = turn.task.object_id
    try:
        found = yield from _ask(account, f"/media/{media}/comments", after=turn.cursor)
    except PlatformError as problem:
        if problem.code == MISSING:
            return Page(skipped="The media cannot be read.")
        raise
    return Page([_comment(item, media) for item in found["data"]], found.get("next"))


def read_one(kind: str) -> Any:
    def steps(account: Account, turn: Turn) -> Steps[Page]:
        id_ = turn.task.object_id
        try:
            found = yield from _ask(account, f"/{kind}/{id_}")
        except PlatformError as problem:
            if problem.code == MISSING:
                return Page(missing=[Object(f"ig_{kind}", id_)])
            raise
        if kind == "comment":
            return Page([_comment(found, "")])
        return Page([Reading("media.read", Object("ig_media", id_), found, source_time=moment(found["timestamp"]))])

    return steps


ALL = Range()


def hourly(now: datetime, source_time: datetime | None) -> timedelta:
    return timedelta(hours=1)


def weekly(now: datetime, source_time: datetime | None) -> timedelta:
    return timedelta(days=7)


def fake(range_: Range = ALL) -> PullingPlatform:
    return PullingPlatform(
        tasks={
            "account": PullTask(read_account, hourly, Priority.RECENT),
            "media": PullTask(read_media_list, weekly, lists="ig_media", range=range_),
            "comments": PullTask(read_comments, hourly, lists="ig_comment", scopes=(SCOPE,)),
            "ig_media": PullTask(read_one("media"), never, Priority.RECENT, backfill=False),
            "ig_comment": PullTask(read_one("comment"), never, Priority.RECENT, backfill=False),
        },
        first=[Task("account"), Task("media")],
        confirms={"ig_media": "ig_media", "ig_comment": "ig_comment"},
        gone={"ig_media": "media.gone", "ig_comment": "comment.gone"},
    )


@dataclass(frozen=True)
class Host:
    base: str

    def url(self, host: str, path: str) -> str:
        return self.base + path


@dataclass
class Provider:
    """What the platform client needs to know."""

    title: str = "Acme"

    def rate_limit_status(self, response: Response, now: datetime) -> Sequence[RateLimitStatus]:
        used = int(response.headers.get("x-used", "0"))
        return [RateLimitStatus(used, 60), *asked_to_wait(response, now)] if used else asked_to_wait(response, now)

    def ends_grant(self, code: str) -> bool:
        return code == "190"


@dataclass
class Tokens:
    """Hands out the one token; ``renew`` gives the next."""

    token: str = "good"
    next: str = "good"
    renewals: int = 0

    async def access(self, tenant: str, id_: str) -> Mapping[str, str]:
        return {"access_token": self.token}

    async def renew(self, tenant: str, id_: str, refused: Mapping[str, str]) -> bool:
        self.renewals += 1
        self.token = self.next
        return {"access_token": self.token} != refused


@dataclass
class Applications:
    host: Host

    async def app(self, platform: str, instance: str, tenant: str) -> Host:
        return self.host


@dataclass(repr=False)
class Pull:
    """The world, the worker that reads it, and the owner's connection for looking and arranging."""

    world: World
    puller: Puller
    connection: asyncpg.Connection
    pool: Pool
    tokens: Tokens
    dsn: str

    async def connect(self, account: str = SHOP, tenant: str = DEFAULT_TENANT, scopes: Sequence[str] = (SCOPE,)) -> str:
        async with self.connection.transaction():
            await self.connection.execute("SELECT set_config('landfall.tenant', '*', true)")
            id_: str = await self.connection.fetchval(
                """
                INSERT INTO connections (tenant_id, id, platform, account_id, other_ids, username, scopes, profile,
                    state, authorized_at)
                VALUES ($1::uuid, gen_random_uuid(), $2, $3, '{}', 'shop', $4, '{}', 'active', clock_timestamp())
                ON CONFLICT (tenant_id, platform, instance, account_id) DO UPDATE SET state = 'active',
                    authorized_at = clock_timestamp(), scopes = excluded.scopes, reason = NULL
                RETURNING id::text""",
                tenant,
                PLATFORM,
                account,
                list(scopes),
            )
        return id_

    async def raw(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self.connection.transaction():
            await self.connection.execute("SELECT set_config('landfall.tenant', '*', true)")
            rows: list[asyncpg.Record] = await self.connection.fetch(query, *arguments)
            return rows

    async def drain(self, rounds: int = 40) -> None:
        """Read until nothing is due, or the account is to rest."""
        for _ in range(rounds):
            if not await self.puller.round():
                return
        raise AssertionError("it never comes to an end")

    async def project(self) -> None:
        await Projector(self.pool, wiring.projections(), tries=3).drain(30)

    async def due(self, kind: str = "", object_id: str = "") -> None:
        """Let tasks be due now, and no account rest."""
        await self.connection.execute(
            """
            UPDATE pull_tasks SET due_at = clock_timestamp() WHERE due_at IS NOT NULL AND ($1 = '' OR kind = $1)
                AND ($2 = '' OR object_id = $2)""",
            kind,
            object_id,
        )
        await self.connection.execute("UPDATE pull_accounts SET held_until = NULL")

    async def events(self, type_: str = "") -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.connection.fetch(
            """
            SELECT event_type, external_id, payload_json, occurred_at, source, account_id FROM webhook_event_log
            WHERE $1 = '' OR event_type = $1 ORDER BY id""",
            type_,
        )
        return rows

    async def task(self, kind: str, object_id: str = "", account: str = SHOP) -> asyncpg.Record | None:
        row: asyncpg.Record | None = await self.connection.fetchrow(
            "SELECT * FROM pull_tasks WHERE account_id = $1 AND kind = $2 AND object_id = $3", account, kind, object_id
        )
        return row

    async def object(self, kind: str, id_: str) -> asyncpg.Record | None:
        row: asyncpg.Record | None = await self.connection.fetchrow(
            "SELECT * FROM pull_objects WHERE account_id = $1 AND kind = $2 AND object_id = $3", SHOP, kind, id_
        )
        return row

    async def want(self, kind: str, object_id: str, account: str = SHOP) -> None:
        """What the projection of an event asks for."""
        await self.connection.execute(
            """
            INSERT INTO pull_tasks AS t (bucket, account_id, provider, kind, object_id, reason, wanted_version,
                priority, due_at)
            VALUES ($1, $2, $3, $4, $5, 'an event', clock_timestamp()::text, 0, clock_timestamp())
            ON CONFLICT (bucket, account_id, provider, kind, object_id) DO UPDATE SET due_at = clock_timestamp(),
                priority = 0, wanted_at = clock_timestamp(), wanted_version = excluded.wanted_version, skip_code = NULL,
                skipped = NULL""",
            bucket_of(PLATFORM, account),
            account,
            PLATFORM,
            kind,
            object_id,
        )


@asynccontextmanager
async def pulling(
    database: str, connection: asyncpg.Connection, platform: PullingPlatform | None = None
) -> AsyncIterator[Pull]:
    world, tokens = World(), Tokens()
    app = web.Application()
    app.router.add_get("/{path:.*}", world.answer)
    async with (
        TestServer(app) as server,
        await open_pool(database, "test", 8, role=WORKER_ROLE, wait_seconds=20, settings=PLANNER) as pool,
        Client(frozenset({f"{server.host}:{server.port}"})) as http,
    ):
        client = PlatformClient({PLATFORM: Provider()}, http, RateLimits(pool))
        host = Host(str(server.make_url("")).rstrip("/"))
        needs = Pulling(tokens, Applications(host), client, append_within)
        puller = Puller(pool, {PLATFORM: platform or fake()}, needs, confirm_seconds=0.0)
        yield Pull(world, puller, connection, pool, tokens, database)


class Killed(BaseException):
    """Stands for the end of the process: nothing is stored or released behind it."""


POINTS = ("pull.leased", "pull.asked", "pull.appended", "pull.stored", "pull.committed")


class Killer:
    """Kills whoever reaches a point for the ``number``-th time."""

    def __init__(self, point: str, number: int) -> None:
        self.point, self.left, self.fired = point, number, False

    def reach(self, name: str) -> None:
        if name == self.point:
            self.left -= 1
            if self.left == 0:
                self.fired = True
                raise Killed


async def died(pull: Pull) -> None:
    """The lease of whoever died ends."""
    await pull.connection.execute(
        "UPDATE pull_accounts SET leased_until = now() - interval '1 s' WHERE holder IS NOT NULL"
    )
