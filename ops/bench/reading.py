"""Part (i): the history of an account read, against a bare loop of the same calls, and memory as the account grows.

The whole of Landfall runs as processes against the sandbox. The bare loop carries out the same steps over one
connection, one after the other, and keeps nothing: no cursor, no object, no event, no row.
"""

import asyncio
import json
import time
from collections import deque
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import asyncpg

from ops.bench.publishing import Desk, desk
from ops.bench.report import Report
from ops.bench.stage import Stage, end, proportional_megabytes
from ops.cli import wiring
from ops.runtime.platform_protocol import Request, Response
from ops.runtime.ports import Api
from sync.pull.contract import Account, Page, Priority, PullTask, Turn

PLATFORM = "instagram"
GROWTH = 10
COMMENTS = 20
"""Of each media, on average."""

LATER = ("past_account_insights",)
"""Figures of days long ago come last, a day a call, however large the account is."""

SECONDS = 300.0
"""So long a history may take before the run ends with an error."""

_LEFT = """
SELECT NOT EXISTS (SELECT 1 FROM pull_tasks WHERE account_id = $1) OR EXISTS (SELECT 1 FROM pull_tasks
    WHERE account_id = $1 AND first_done_at IS NULL AND skip_code IS NULL AND NOT kind = ANY($2)
        AND due_at < now() + interval '1 hour')
"""

_TOOK = """
SELECT extract(epoch FROM max(first_done_at) - min(first_done_at))::float8 AS seconds, sum(objects)::bigint AS objects
FROM pull_tasks WHERE account_id = $1 AND NOT kind = ANY($2)
"""


@dataclass(frozen=True)
class Host:
    """Where the sandbox plays the platform."""

    base: str

    def url(self, host: str, path: str) -> str:  # noqa: ARG002  there is one for all
        return self.base + path


@dataclass(frozen=True)
class Read:
    """What reading a history came to."""

    seconds: float
    objects: int
    calls: int
    megabytes: float = 0.0


def reading(stage: Stage, report: Report, media: int) -> None:
    """Run both sizes and add their figures."""
    asyncio.run(_reading(stage, report, media))


async def _reading(stage: Stage, report: Report, media: int) -> None:
    connection = await asyncpg.connect(stage.postgres.dsn(), server_settings={"landfall.tenant": "*"})
    most: list[float] = []
    async with desk(stage, [PLATFORM], 1.0) as found:
        for seed, size in enumerate((media, GROWTH * media), 1):
            world = {"platform": PLATFORM, "seed": seed, "accounts": 1, "media": size, "comments": COMMENTS}
            await found.sandbox.command("world", **world)
            await found.connect(PLATFORM, f"s{seed}_001")
            [row] = await connection.fetch(
                "SELECT account_id, username, scopes, profile FROM connections ORDER BY authorized_at DESC LIMIT 1"
            )
            account = Account(
                PLATFORM,
                row["account_id"],
                _api(found),
                {"access_token": found.tokens[PLATFORM]},
                PLATFORM,
                username=row["username"],
                scopes=row["scopes"],
                profile=json.loads(row["profile"]),
            )
            bare = await _bare(found, account)
            kept = await _kept(found, connection, account.account_id)
            most.append(kept.megabytes)
            name = "large account" if seed > 1 else "small account"
            report.add(f"{name}: history read / bare loop of the same calls", _rate(kept) / _rate(bare))
            report.add(f"{name}: calls per object", kept.calls / kept.objects)
            note = {"objects": kept.objects, "calls": kept.calls, "calls of the bare loop": bare.calls}
            note |= {"objects a second": round(_rate(kept)), "of the bare loop": round(_rate(bare))}
            report.notes.setdefault("histories", []).append(note)
    report.add("memory of the worker, large account / one tenth of it", most[1] / most[0])
    report.add("memory of the worker, large account, MB", most[1])
    await connection.close()


def _rate(read: Read) -> float:
    return read.objects / read.seconds


def _api(found: Desk) -> Api:
    return Host(f"{found.sandbox.url}/{PLATFORM}")


async def _calls(found: Desk) -> int:
    return sum((await found.sandbox.spent(platform=PLATFORM)).values())


async def _kept(found: Desk, connection: asyncpg.Connection, account: str) -> Read:
    """Let a worker read the history; the time is from the first task that it carried out to the last."""
    before = await _calls(found)
    worker = await asyncio.to_thread(lambda: found.stage.work(**found.environment))
    begun, most = time.perf_counter(), 0.0
    try:
        while await connection.fetchval(_LEFT, account, LATER):
            if time.perf_counter() - begun > SECONDS or worker.poll() is not None:
                raise RuntimeError("the worker does not read what is due")
            most = max(most, await asyncio.to_thread(proportional_megabytes, worker))
            await asyncio.sleep(0.05)
        calls = await _calls(found) - before
    finally:
        await asyncio.to_thread(end, worker)
    [row] = await connection.fetch(_TOOK, account, LATER)
    await connection.execute("UPDATE pull_tasks SET due_at = NULL")  # what is left is not in the way of the next one
    return Read(row["seconds"], row["objects"], calls, most)


async def _bare(found: Desk, account: Account) -> Read:
    """Carry out every task of the account to its end."""
    platform = wiring.pulling_platforms()[PLATFORM]
    waiting = deque(platform.first)
    known, objects, calls, refused = {*waiting}, 0, 0, frozenset[str]()
    begun = time.perf_counter()
    while waiting:
        task, cursor = waiting.popleft(), ""
        while True:
            asked = replace(account, refused=refused)
            page, sent = await _page(found, platform.tasks[task.kind], asked, Turn(task, datetime.now(UTC), cursor))
            calls, objects, refused = calls + sent, objects + len(page.readings), refused | {*page.refused}
            for wanted in page.wanted:
                soon = wanted.delay <= timedelta(hours=1) and wanted.priority < Priority.SELDOM
                if soon and wanted.task not in known:
                    known.add(wanted.task)
                    waiting.append(wanted.task)
            if page.cursor is None:
                break
            cursor = page.cursor
    return Read(time.perf_counter() - begun, objects, calls)


async def _page(found: Desk, how: PullTask, account: Account, turn: Turn) -> tuple[Page, int]:
    steps, sent = how.read(account, turn), 0
    try:
        request: Request = next(steps)
        while True:
            sent += 1
            async with found.http.request(request.method, request.url, params=request.query) as answer:
                response = Response(
                    answer.status, await answer.json(), {k.lower(): v for k, v in answer.headers.items()}
                )
            request = steps.send(response)
    except StopIteration as done:
        page: Page = done.value
        return page, sent
