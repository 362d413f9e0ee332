"""What a newcomer does: everything is started as `make up` starts it, and the tables are held against the truth."""

import asyncio
import json
import os
import re
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest

from ops.cli.stack import Unusable, stack
from ops.runtime.embedded import free_port
from ops.sandbox.client import Client
from tests.support import Process, drained, eventually

DELIVERIES = 5000
STEPS = (
    "inbox_delivered",
    "failed",
    "complete",
)


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LANDFALL_LOG_LEVEL": "warning"}


@dataclass
class Truth:
    """What the tables must say, by what the sandbox's ledger says was sent; keys begin with the account."""

    comments: dict[tuple[str, str], str] = field(default_factory=dict)
    media: set[tuple[str, str]] = field(default_factory=set)
    publishes: dict[tuple[str, str], tuple[int, int, str]] = field(default_factory=dict)
    public: dict[tuple[str, str, str], tuple[int, int, bool]] = field(default_factory=dict)
    events: set[Any] = field(default_factory=set)
    carried: int = 0
    """Events in all deliveries, as often as they came."""

    def instagram(self, document: Any) -> None:
        for entry in document["entry"]:
            for change in entry["changes"]:
                value, account = change["value"], entry["id"]
                media = value["media"]["id"] if change["field"] == "comments" else value["media_id"]
                self.media.add((account, media))
                if change["field"] == "comments":
                    self.comments[account, value["id"]] = value["text"]
                self.events.add((account, change["field"], value.get("id") or media))
                self.carried += 1

    def tiktok(self, document: Any) -> None:
        """Later steps of a publish win within one second (``tiktok.md`` 2.5)."""
        content = json.loads(document["content"])
        event, at = document["event"].removeprefix("post.publish."), document["create_time"]
        key = (document["user_openid"], content["publish_id"])
        self.events.add((event, at, *key, content.get("post_id")))
        self.carried += 1
        if (rank := STEPS.index(event) if event in STEPS else None) is not None:
            self.publishes[key] = max(self.publishes.get(key, (0, 0, "")), (at, rank, event))
        else:
            hidden = event.startswith("no_longer")
            post = (*key, content["post_id"])
            self.public[post] = max(self.public.get(post, (0, 0, False)), (at, hidden, not hidden))


@pytest.mark.parametrize("bell", ["with the bell", "with the bell disconnected"])
async def test_thousands_of_deliveries_become_exactly_what_was_sent(tmp_path: Path, bell: str) -> None:
    environ = environment()
    if bell == "with the bell disconnected":
        environ["REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"  # nobody listens there
    async with stack(tmp_path / "data", environ) as running, aiohttp.ClientSession() as http:
        sandbox = Client(http, running.sandbox)
        await sandbox.wish("manners", twice=0.12, late=0.15, late_seconds=60.0, recut=0.5, forged=0.03)
        await sandbox.wish("clock", speed=20.0)  # TikTok takes its time, and late ones come a minute later
        await sandbox.wish("pace", pace=25.0, platforms=running.simulated)

        async def sent() -> bool:
            return bool((await sandbox.mail())["sent"] >= DELIVERIES)

        await eventually(sent, 120)
        await sandbox.wish("pace", pace=0.0)
        await sandbox.wish("clock", jump=600.0)

        async def delivered() -> bool:
            await sandbox.wish("clock", jump=60.0)
            return bool((await sandbox.mail())["waiting"] == 0)

        await eventually(delivered, 60, every=0.5)
        entries = await sandbox.ledger("webhook")
        genuine = [entry for entry in entries if not entry["forged"]]
        assert {entry["status"] for entry in genuine} == {200}
        assert {entry["status"] for entry in entries if entry["forged"]} == {401}
        assert len(entries) - len(genuine) > DELIVERIES * 0.01
        truth = Truth()
        for entry in genuine:
            (truth.tiktok if entry["platform"] == "tiktok" else truth.instagram)(json.loads(entry["body"]))
        connection = await asyncpg.connect(running.dsn)
        await drained(connection, 60)

        assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == len(genuine)
        states = await connection.fetch("SELECT state, count(*) FROM webhook_events GROUP BY state")
        assert [tuple(row) for row in states] == [("done", len(truth.events))]
        assert len(truth.events) < truth.carried, "some came twice"
        comments = await connection.fetch("SELECT account_id, external_id, text FROM ig_comments")
        assert {(row[0], row[1]): row[2] for row in comments} == truth.comments
        media = await connection.fetch("SELECT account_id, external_id FROM ig_media")
        assert {tuple(row) for row in media} == truth.media
        posts = await connection.fetch("SELECT account_id, external_id, status FROM tiktok_posts")
        assert {(row[0], row[1]): row[2] for row in posts} == {k: v[2] for k, v in truth.publishes.items()}
        public = await connection.fetch("SELECT account_id, publish_id, post_id, is_public FROM tiktok_post_ids")
        assert {tuple(row)[:3]: row[3] for row in public} == {k: v[2] for k, v in truth.public.items()}
        assert min(map(len, (truth.comments, truth.publishes, truth.public))) > 50
        assert 0 < await connection.fetchval("SELECT count(*) FROM webhook_refusals") <= 400
        await connection.close()


def program(directory: Path, *arguments: str, **environ: str) -> Process:
    return Process(
        ("up", "--directory", str(directory), *arguments), environment() | environ, directory.parent / "up.log"
    )


def below(pid: int) -> list[psutil.Process]:
    return [child for child in psutil.Process(pid).children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_without_a_terminal_it_prints_lines_and_a_signal_ends_everything(tmp_path: Path, number: int) -> None:
    running = await program(tmp_path / "data", LANDFALL_HTTP_PORT=str(free_port())).start()

    async def counted() -> bool:
        assert running.running, running.output()
        return bool(re.search(r"projected [1-9]\d* ", running.output()))

    await eventually(counted, 60)
    output = running.output()
    for shown in ("webhooks  http://127.0.0.1:", " psql postgresql://", "metrics   http://"):
        assert shown in output
    children = below(running.pid)
    assert len(children) >= 4, "PostgreSQL, Redis, the web process and the worker"
    running.signal(number)
    assert running.child is not None
    async with asyncio.timeout(30):
        assert await running.child.wait() == 0, running.output()
    assert "the data is kept" in running.output()
    psutil.wait_procs(children, timeout=5)
    assert [child for child in children if child.is_running()] == []


async def test_second_run_goes_on_from_the_first_and_two_at_once_are_refused(tmp_path: Path) -> None:
    async with stack(tmp_path / "data", environment()) as first:
        connection = await asyncpg.connect(first.dsn)
        await connection.execute("INSERT INTO ig_media (account_id, external_id, projector) VALUES ('a', 'kept', 1)")
        await connection.close()
        secret = first.environment["TIKTOK_CLIENT_SECRET"]
        with pytest.raises(Unusable, match="already running"):
            async with stack(tmp_path / "data", environment()):
                pass
    async with stack(tmp_path / "data", environment()) as second:
        connection = await asyncpg.connect(second.dsn)
        assert await connection.fetchval("SELECT external_id FROM ig_media") == "kept"
        await connection.close()
        assert second.environment["TIKTOK_CLIENT_SECRET"] == secret


async def test_run_that_was_killed_can_be_started_again(tmp_path: Path) -> None:
    running = await program(tmp_path / "data", "--pace", "0").start()

    async def announced() -> bool:
        return "Ctrl-C stops everything" in running.output()

    await eventually(announced, 60)
    left = below(running.pid)
    await running.kill()
    try:
        async with stack(tmp_path / "data", environment()) as again:
            connection = await asyncpg.connect(again.dsn)
            assert await connection.fetchval("SELECT count(*) FROM webhook_event_log") == 0
            await connection.close()
    finally:
        for child in left:
            if child.is_running():
                child.kill()


async def test_machine_without_any_redis_does_without_the_bell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ops.cli.stack.redis_server", lambda: None)
    async with stack(tmp_path / "data", environment()) as running:
        assert "going on without the bell" in capsys.readouterr().out
        assert "REDIS_URL" not in running.environment
        assert not (tmp_path / "data" / "redis").exists()
        async with aiohttp.ClientSession() as http:
            sandbox = Client(http, running.sandbox)
            await sandbox.wish("pace", pace=25.0, platforms=running.simulated)
            connection = await asyncpg.connect(running.dsn)

            async def projected() -> bool:
                return bool(await connection.fetchval("SELECT count(*) FROM ig_comments"))

            await eventually(projected, 30)
            await connection.close()


async def test_taken_ports_are_gone_around(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with stack(tmp_path / "data", environment() | {"LANDFALL_HTTP_PORT": str(port)}) as running:
            assert running.http_port != port


async def test_real_servers_and_the_very_commands_of_the_compose_file(tmp_path: Path) -> None:
    """`landfall migrate`, `serve` and `work` as plain processes, against servers that were already there."""
    async with stack(tmp_path / "data", environment()) as servers:
        shared = servers.environment | environment()
        shared |= {"LANDFALL_HTTP_PORT": str(free_port()), "LANDFALL_METRICS_PORT": str(free_port())}
        migrated = await Process(("migrate",), shared, tmp_path / "migrate.log").start()
        assert migrated.child is not None
        assert await migrated.child.wait() == 0
        web = await Process(("serve",), shared, tmp_path / "serve.log").start()
        work_environment = shared | {"LANDFALL_METRICS_PORT": str(free_port())}
        worker = await Process(("work",), work_environment, tmp_path / "work.log").start()
        async with aiohttp.ClientSession() as client:

            async def ready() -> bool:
                try:
                    for port in (shared["LANDFALL_HTTP_PORT"], work_environment["LANDFALL_METRICS_PORT"]):
                        async with client.get(f"http://127.0.0.1:{port}/readyz") as response:
                            if response.status != 200:
                                return False
                except aiohttp.ClientError:
                    return False
                return True

            await eventually(ready)
        begun = time.monotonic()
        assert await web.terminate() == 0
        assert await worker.terminate() == 0
        assert time.monotonic() - begun < 15
