"""Landfall as a whole against a world of the sandbox: webhooks, and two readers of accounts, one of which keeps dying.

``Keeping`` runs what a worker runs, in this process, over HTTP and with tokens that were consented to. ``difference``
compares the tables with the world, row for row; ``wrongly_gone`` finds events that say of an object that it is gone
while it was there.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from aiohttp.test_utils import TestServer

from ingest.app import build
from ingest.committer import Committer
from ingest.endpoint import Receiver
from ingest.splitter import Splitter
from ops.cli import wiring
from ops.cli.composition import assembled
from ops.runtime import faultpoint as faults
from ops.runtime.bodies import Budget
from ops.runtime.clock import now
from ops.runtime.db import Pool, open_pool
from schema.rights import APP_ROLE, WORKER_ROLE
from sync.projection.store import PLANNER
from sync.projection.worker import Projector
from sync.pull.drift import Drift, DriftCheck
from sync.pull.worker import Puller
from sync.rebuild.procedure import Report, verify
from tests.pulling import Killed
from tests.rig import Rig
from tests.support import VARIABLES, eventually

SOON = timedelta(seconds=5)
"""A request may begin so long before the object is gone that it then does not find."""

LEASE_SECONDS = 1.0
"""Who dies leaves leases behind, which others wait for."""

_DOOMED: ContextVar[bool] = ContextVar("doomed", default=False)


@dataclass
class Doom:
    """Kills a reader that is doomed at the ``left``-th point of a page that it reaches."""

    left: int = 0
    kills: dict[str, int] = field(default_factory=dict)

    def reach(self, name: str) -> None:
        if not _DOOMED.get() or not name.startswith("pull."):
            return
        self.left -= 1
        if self.left == 0:
            self.kills[name] = self.kills.get(name, 0) + 1
            raise Killed


@dataclass
class Keeping:
    """What keeps the tables complete, and the world that they are to be equal to."""

    rig: Rig
    pool: Pool
    reader: Puller
    drift: DriftCheck
    splitter: Splitter
    projector: Projector
    seed: int = 1
    killer: Doom = field(default_factory=Doom)
    deaths: int = 0
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def raw(self, query: str, *arguments: Any) -> Any:
        """Look, or arrange, by the owner's connection, of which there is one."""
        async with self._looking:
            return await self.rig.raw(query, *arguments)

    def another(self, name: str) -> Puller:
        """Return another process's reader, which reads one account at a time."""
        of = self.reader
        return Puller(
            of.pool, of.platforms, of.needs, 1, LEASE_SECONDS, confirm_seconds=of.confirm_seconds, holder=name
        )

    async def take(self) -> int:
        """Split and project what came."""
        async with self.pool.acquire() as connection:
            count = await self.splitter.drain(connection)
        return count + await self.projector.drain()

    async def taking(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            if not await self.take():
                await asyncio.sleep(0.05)

    async def dying(self, stop: asyncio.Event) -> None:
        """Read accounts by one process after the other, each of which is killed: at a point of a page, or anywhere."""
        rng = random.Random(self.seed)
        while not stop.is_set():
            self.killer.left = rng.randrange(1, 100)
            task = asyncio.create_task(self._doomed(self.another(f"doomed-{self.deaths}")))
            await asyncio.wait({task}, timeout=rng.uniform(0.2, 2.0))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.deaths += 1
            await asyncio.sleep(rng.uniform(0, 2 * LEASE_SECONDS))

    async def _doomed(self, reader: Puller) -> None:
        _DOOMED.set(True)
        while True:
            if not await reader.round():
                await asyncio.sleep(0.05)

    async def time_passes(self, *, everything: bool = False) -> None:
        """What failed is due again, nothing rests, and with ``everything`` so is all that is ever read again."""
        await self.raw("UPDATE pull_accounts SET held_until = NULL WHERE held_until IS NOT NULL")
        await self.raw("UPDATE platform_budgets SET held_until = NULL, percent = 0")
        await self.raw(
            """
            UPDATE pull_tasks SET due_at = now()
            WHERE due_at > now() AND ($1 OR attempts > 0 OR due_at < now() + interval '1 minute')""",
            everything,
        )

    async def passing(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self.time_passes()
            await asyncio.sleep(0.5)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything runs: a reader that lives, one that dies, what takes webhooks, and time."""
        stop = asyncio.Event()
        work = (self.reader.sweep(stop), self.dying(stop), self.taking(stop), self.passing(stop))
        faults._fault = self.killer  # type: ignore[assignment]
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)
            faults._fault = None

    async def due(self, *, first: bool = False) -> int:
        """Return how many tasks of connected accounts are due; ``first``: that were never carried out."""
        [[found]] = await self.raw(
            """
            SELECT count(*) FROM pull_accounts a JOIN pull_tasks t
                ON t.bucket = a.bucket AND t.account_id = a.account_id AND t.provider = a.provider
            WHERE a.authorized_at IS NOT NULL AND t.due_at <= now() + CASE WHEN $1 THEN interval '1 hour' ELSE '0' END
                AND ($1 IS FALSE OR t.first_done_at IS NULL)""",
            first,
        )
        return int(found)

    async def is_read(self) -> bool:
        """Whether the history of all accounts is."""
        return bool(await self.raw("SELECT 1 FROM pull_tasks LIMIT 1")) and not await self.due(first=True)

    async def told(self) -> None:
        """Wait until the sandbox has sent all webhooks, and take them."""

        async def all_are_sent() -> bool:
            return not (await self.rig.sandbox.deliveries())["waiting"]

        await eventually(all_are_sent, 60)
        while await self.take():
            pass

    async def settle(self) -> None:
        """Read and project until nothing is due any more."""
        await self.raw("UPDATE pull_accounts SET leased_until = now() - interval '1 s' WHERE holder IS NOT NULL")
        while True:
            await self.time_passes()
            served, taken = await self.reader.round(), await self.take()
            if not served and not taken and not await self.due():
                return

    async def compare(self, most: int) -> list[Drift]:
        """Compare so many accounts, the last ones, with the platform; its numbers of views grow meanwhile."""
        return [await self.drift.compare(key) for key in (await self.drift.accounts())[-most:]]


@asynccontextmanager
async def keeping(rig: Rig) -> AsyncIterator[Keeping]:
    """The rig with an endpoint that the sandbox sends webhooks of Instagram and TikTok to, and all that reads."""
    async with AsyncExitStack() as stack:
        pool = await stack.enter_async_context(
            await open_pool(rig.dsn, "pull", 12, role=WORKER_ROLE, wait_seconds=20, settings=PLANNER)
        )
        web = await stack.enter_async_context(await open_pool(rig.dsn, "web", 3, role=APP_ROLE, wait_seconds=20))
        platforms = rig.server.simulation.platforms
        variables = VARIABLES | {
            "INSTAGRAM_APP_SECRET": (platforms["instagram"].signing_secret,),
            "TIKTOK_CLIENT_SECRET": (platforms["tiktok"].signing_secret,),
            "META_VERIFY_TOKEN": (platforms["instagram"].verify_token,),
        }
        committer = Committer(web, max_deliveries=100)
        receiver = Receiver(wiring.webhooks(), variables, committer, web, now, 2**20, Budget(2**24, 2**24))
        server = await stack.enter_async_context(TestServer(build(receiver)))
        needs = assembled(pool, rig.built.vault, rig.providers).pulling
        pulled = wiring.pulling_platforms()
        reader = Puller(pool, pulled, needs, 4, LEASE_SECONDS, confirm_seconds=0.0)
        drift = DriftCheck(pool, pulled, wiring.projections(), needs)
        splitter = Splitter(wiring.webhooks(), variables)
        found = Keeping(rig, pool, reader, drift, splitter, Projector(pool, wiring.projections(), tries=3))
        for name in ("instagram", "tiktok"):
            url = str(server.make_url(f"/api/webhooks/{name}"))
            await rig.sandbox.command("webhooks", platform=name, url=url, all_accounts=True)
        yield found


# --- the tables beside the world


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _numbers(text: str | None, names: Mapping[str, str]) -> tuple[Any, ...]:
    found = json.loads(text or "{}")
    return tuple(found.get(name) for name in names.values())


OF_MEDIA = {"like_count": "likes", "comments_count": "comments"}
OF_COMMENTS = {"like_count": "likes"}
OF_VIDEOS = {"like_count": "likes", "comment_count": "comments", "share_count": "shares", "view_count": "views"}
OF_INSTAGRAM = {"followers_count": "followers", "media_count": "media"}
OF_TIKTOK = {
    "follower_count": "followers",
    "following_count": "follows",
    "likes_count": "likes",
    "video_count": "videos",
}

Rows = dict[str, tuple[Any, ...]]


async def difference(keeping: Keeping) -> list[tuple[str, str, Any, Any]]:
    """Return where tables and world differ: what, its id, what the world has and what the table has."""
    sandbox = keeping.rig.sandbox
    instagram, tiktok = await sandbox.world("instagram"), await sandbox.world("tiktok")
    ids = {row["account_id"] for row in await keeping.raw("SELECT account_id FROM connections")}
    shops = {each["account"] for each in instagram["accounts"] if each["user_id"] in ids}
    creators = {each["account"] for each in tiktok["accounts"] if each["open_id"] in ids}
    found: list[tuple[str, str, Any, Any]] = []
    media = [item for item in instagram["media"] if item["account"] in shops and not item["parent"]]
    comments = [item for item in instagram["comments"] if item["media"] in {each["id"] for each in media}]
    videos = [item for item in tiktok["videos"] if item["account"] in creators]
    for what, theirs, ours in (
        ("media", _media(media), await _media_rows(keeping)),
        ("comment", _comments(comments), await _comment_rows(keeping)),
        ("video", _videos(videos), await _video_rows(keeping)),
        (
            "account",
            {
                each["user_id"]: tuple(each[n] for n in OF_INSTAGRAM)
                for each in instagram["accounts"]
                if each["account"] in shops
            }
            | {
                each["open_id"]: tuple(each[n] for n in OF_TIKTOK)
                for each in tiktok["accounts"]
                if each["account"] in creators
            },
            await _account_rows(keeping),
        ),
    ):
        found += [
            (what, id_, theirs.get(id_), ours.get(id_))
            for id_ in theirs.keys() | ours.keys()
            if theirs.get(id_) != ours.get(id_)
        ]
    found += await _not_gone(keeping, media, comments, videos)
    return sorted(found, key=lambda each: each[:2])


async def evidence(keeping: Keeping, id_: str) -> list[str]:
    """Return what was stored, asked and appended about an object, for whoever looks for the cause."""
    found = []
    for query in (
        "SELECT * FROM pull_objects WHERE object_id IN ($1, (SELECT parent FROM pull_objects WHERE object_id = $1))",
        "SELECT * FROM pull_tasks WHERE object_id IN ($1, (SELECT parent FROM pull_objects WHERE object_id = $1))",
        """
        SELECT id, event_type, external_id, payload_json, occurred_at, created_at FROM webhook_event_log
        WHERE payload_json ->> 'id' IN ($1, (SELECT parent FROM pull_objects WHERE object_id = $1)) ORDER BY id""",
    ):
        found += [str(dict(row)) for row in await keeping.raw(query, id_)]
    changes = await keeping.rig.sandbox.ledger("change", id=id_)
    return [*found, *map(str, changes)]


async def _not_gone(
    keeping: Keeping, media: list[Any], comments: list[Any], videos: list[Any]
) -> list[tuple[str, str, Any, Any]]:
    """Return rows of what was deleted, and that are not marked so; what hangs on it is out of reach, and not marked."""
    readable = {each["id"] for each in media if each["readable"]}
    gone = {each["id"] for each in media if not each["readable"]}
    alone = {each["id"]: each for each in comments if each["deleted"] and each["media"] in readable}
    gone |= {id_ for id_, each in alone.items() if each["parent"] not in alone}
    gone |= {each["id"] for each in videos if each["deleted"] or not each["public"]}
    rows = await keeping.raw(
        """
        SELECT 'ig_media' AS what, ig_id AS id FROM ig_media WHERE deleted_at IS NULL AND NOT placeholder
        UNION ALL SELECT 'ig_comments', ig_id FROM ig_comments WHERE deleted_at IS NULL
        UNION ALL SELECT 'tiktok_videos', post_id FROM tiktok_videos WHERE absent_at IS NULL"""
    )
    return [(f"{row['what']}, which is gone", row["id"], None, "there") for row in rows if row["id"] in gone]


def _media(items: list[Any]) -> Rows:
    names = ("caption", "media_type", "media_product_type", "permalink")
    return {
        each["id"]: (*(each[name] for name in names), moment(each["timestamp"]), *(each[name] for name in OF_MEDIA))
        for each in items
        if each["readable"]
    }


async def _media_rows(keeping: Keeping) -> Rows:
    rows = await keeping.raw("SELECT * FROM ig_media WHERE deleted_at IS NULL AND NOT placeholder")
    return {
        row["ig_id"]: (
            *(row[name] for name in ("caption", "media_type", "media_product_type", "permalink", "timestamp")),
            *_numbers(row["metrics_json"], OF_MEDIA),
        )
        for row in rows
    }


def _comments(items: list[Any]) -> Rows:
    return {
        each["id"]: (
            *(each[name] for name in ("media", "parent", "username", "text", "hidden")),
            moment(each["timestamp"]),
            each["like_count"],
        )
        for each in items
        if each["listed"]
    }


async def _comment_rows(keeping: Keeping) -> Rows:
    """What can be reached: of comments on media that are there, and replies to comments that are there."""
    rows = await keeping.raw(
        """
        SELECT c.* FROM ig_comments c
        JOIN ig_media m ON m.account_id = c.account_id AND m.ig_id = c.media_ig_id AND m.deleted_at IS NULL
            AND NOT m.placeholder
        LEFT JOIN ig_comments p ON p.account_id = c.account_id AND p.ig_id = c.parent_ig_id
        WHERE c.deleted_at IS NULL AND p.deleted_at IS NULL"""
    )
    return {
        row["ig_id"]: (
            *(row[n] for n in ("media_ig_id", "parent_ig_id", "from_user", "text", "hidden", "timestamp")),
            *_numbers(row["metrics_json"], OF_COMMENTS),
        )
        for row in rows
    }


def _videos(items: list[Any]) -> Rows:
    return {
        each["id"]: (
            each["text"][:150],
            datetime.fromtimestamp(each["create_time"], UTC),
            *(each[name] for name in OF_VIDEOS),
        )
        for each in items
        if each["public"] and not each["deleted"]
    }


async def _video_rows(keeping: Keeping) -> Rows:
    rows = await keeping.raw("SELECT * FROM tiktok_videos WHERE absent_at IS NULL")
    return {
        row["post_id"]: (
            row["video_description"],
            row["posted_at"],
            *_numbers(row["metrics_json"], OF_VIDEOS),
        )
        for row in rows
    }


async def _account_rows(keeping: Keeping) -> Rows:
    found: Rows = {}
    for table, names in (("instagram_accounts", OF_INSTAGRAM), ("tiktok_accounts", OF_TIKTOK)):
        for row in await keeping.raw(
            f"SELECT account_id, metrics_json FROM {table} t WHERE account_id IN (SELECT account_id FROM connections)"
        ):
            found[row["account_id"]] = _numbers(row["metrics_json"], names)
    return found


# --- the log beside what was done to the world

GONE = {"remove_media": True, "remove_comment": True, "remove": True, "archive": True, "hide": True}
BACK = {"unarchive", "unhide"}


async def wrongly_gone(keeping: Keeping) -> list[tuple[str, str, datetime]]:
    """Return the events that say of an object that it is gone while it was there: type, id and time.

    A comment is gone only if it, or the comment that it answers, or its media was deleted.
    """
    sandbox = keeping.rig.sandbox
    above: dict[str, list[str]] = {}
    for item in (await sandbox.world("instagram"))["comments"]:
        above[item["id"]] = [id_ for id_ in (item["parent"], item["media"]) if id_]
    absences: dict[str, list[tuple[datetime, datetime]]] = {}
    for name in ("instagram", "tiktok"):
        for id_, begun, ended in _absences(await sandbox.ledger("change", platform=name), name):
            absences.setdefault(id_, []).append((begun, ended))
    events = await keeping.raw(
        """
        SELECT event_type, payload_json, occurred_at FROM webhook_event_log
        WHERE event_type IN ('media.gone', 'comment.gone', 'video.absent')"""
    )
    found = []
    for event in events:
        id_, at = json.loads(event["payload_json"])["id"], event["occurred_at"]
        times = [each for one in (id_, *above.get(id_, ())) for each in absences.get(one, ())]
        if event["event_type"] == "comment.gone":
            times = [(begun, ended) for begun, ended in times if ended == datetime.max.replace(tzinfo=UTC)]
        if not any(begun <= at + SOON and at <= ended for begun, ended in times):
            found.append((event["event_type"], id_, at))
    return found


def _absences(changes: list[Any], platform: str) -> Iterator[tuple[str, datetime, datetime]]:
    """Yield, of each object, from when to when it was not there; hiding a comment of Instagram is no absence."""
    always, begun = datetime.max.replace(tzinfo=UTC), dict[str, datetime]()
    for change in changes:
        action, id_, at = change["action"], change["id"], moment(change["at"])
        if platform == "instagram" and action in ("hide", "unhide"):
            continue
        if action in GONE:
            begun.setdefault(id_, at)
        elif action in BACK and id_ in begun:
            yield id_, begun.pop(id_), at
    for id_, at in begun.items():
        yield id_, at, always


async def verified(keeping: Keeping) -> Report:
    """Compare the tables with what the log alone makes."""
    connection = await asyncpg.connect(keeping.rig.dsn)
    try:
        return await verify(connection, wiring.projections(), lambda *_: None)
    finally:
        await connection.close()
