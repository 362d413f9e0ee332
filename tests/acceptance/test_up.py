"""What a newcomer does: everything is started as `make up` starts it, and the tables are held against the truth."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil
import pytest

from ingest.spool import look
from ops.access import api_keys, users
from ops.access.audit_log_store import COMMAND
from ops.cli.stack import PERSON, Stack, Unusable, stack
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres, free_port
from ops.runtime.files import private_folder, write_private
from ops.sandbox.client import Client
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests import compose, media_samples
from tests.compose import REDIS_PASSWORD, ROOT, SERVICES
from tests.rig import form_of, led_to
from tests.support import (
    CANARIES,
    ENVIRONMENT,
    Process,
    comment,
    drained,
    eventually,
    instagram,
    sign_meta,
    sign_tiktok,
    tiktok,
)

pytestmark = pytest.mark.usefixtures("forked_stack")  # what is started as a process is `landfall up`, with ``program``

DELIVERIES = 5000
SERVE_PASSWORD, WORK_PASSWORD = "canary0serve0password", "canary0work0password"
WORDS = {"inbox_delivered": "SEND_TO_USER_INBOX", "failed": "FAILED", "complete": "PUBLISH_COMPLETE"}
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


@pytest.mark.parametrize("redis", ["with Redis", "with Redis disconnected"])
async def test_thousands_of_deliveries_become_exactly_what_was_sent(tmp_path: Path, redis: str) -> None:
    environ = environment()
    if redis == "with Redis disconnected":
        environ["REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"  # nobody listens there
    async with stack(tmp_path / "data", environ) as running, aiohttp.ClientSession() as http:
        sandbox = Client(http, running.sandbox)
        await sandbox.command(
            "delivery-policy", duplicated=0.12, delayed=0.15, delay_seconds=60.0, regrouped=0.5, forged=0.03
        )
        await sandbox.command("clock", speed=20.0)  # TikTok takes its time, and late ones come a minute later
        await sandbox.command("pace", pace=25.0, platforms=running.simulated)

        async def sent() -> bool:
            return bool((await sandbox.deliveries())["sent"] >= DELIVERIES)

        await eventually(sent, 120)
        await sandbox.command("pace", pace=0.0)
        await sandbox.command("clock", jump=600.0)

        async def delivered() -> bool:
            await sandbox.command("clock", jump=60.0)
            return bool((await sandbox.deliveries())["waiting"] == 0)

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
        comments = await connection.fetch("SELECT account_id, ig_id, text FROM ig_comments")
        assert {(row[0], row[1]): row[2] for row in comments} == truth.comments
        media = await connection.fetch("SELECT account_id, ig_id FROM ig_media")
        assert {tuple(row) for row in media} == truth.media
        posts = await connection.fetch("SELECT account_id, publish_id, status FROM tiktok_posts")
        assert {(row[0], row[1]): row[2] for row in posts} == {k: WORDS[v[2]] for k, v in truth.publishes.items()}
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
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
        await connection.execute(
            "INSERT INTO ig_media (bucket, account_id, ig_id, projection_version, created_at)"
            " VALUES (1, 'a', 'kept', 1, now())"
        )
        await connection.close()
        secret = first.environment["TIKTOK_CLIENT_SECRET"]
        with pytest.raises(Unusable, match="already running"):
            async with stack(tmp_path / "data", environment()):
                pass
    async with stack(tmp_path / "data", environment()) as second:
        connection = await asyncpg.connect(second.dsn)
        assert await connection.fetchval("SELECT ig_id FROM ig_media") == "kept"
        await connection.close()
        assert second.environment["TIKTOK_CLIENT_SECRET"] == secret


async def test_run_that_was_killed_can_be_started_again(tmp_path: Path) -> None:
    port = free_port()
    private_folder(tmp_path / "data")
    write_private(tmp_path / "data" / "lock", b"")
    write_private(tmp_path / "data" / "ports.json", json.dumps({"postgresql": port}).encode())
    running = await program(tmp_path / "data", "--pace", "0").start()

    async def announced() -> bool:
        return "Ctrl-C stops everything" in running.output()

    await eventually(announced, 60)
    left = below(running.pid)
    ours = [child for child in left if "ops.cli.attended" in child.cmdline()]
    assert len(ours) == 3, "the sandbox, the web process and the worker"
    [postgres] = [child for child in left if child.name() == "postgres" and child.ppid() == running.pid]
    outliving = {postgres, *postgres.children(recursive=True)}
    [watcher] = [child for child in left if child.name() == "sh" and str(postgres.pid) in child.cmdline()]
    watcher.kill()
    await running.kill()

    async def none_works_alone() -> bool:
        return not any(
            child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in left if child not in outliving
        )

    try:
        await eventually(none_works_alone, 20)
        assert postgres.is_running()
        async with stack(tmp_path / "data", environment()) as again:
            assert not postgres.is_running() or postgres.status() == psutil.STATUS_ZOMBIE
            log = (tmp_path / "data" / "postgres" / "server.log").read_text()
            assert "database system is shut down" in log, "and not killed"
            assert f":{port}/" in running.output()
            assert f":{port}/" in again.dsn, "it has the port of the one before"
            connection = await asyncpg.connect(again.dsn)
            assert await connection.fetchval("SELECT count(*) FROM webhook_event_log") == 0
            await connection.close()
            web = again.parts["web"].server
            assert look(tmp_path / "data" / "spool").holder == str(web.pid), "the one before was ended"
    finally:
        for child in left:
            if child.is_running():
                child.kill()


async def test_machine_without_any_redis_does_without_notifications(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ops.cli.stack.redis_server", lambda: None)
    async with stack(tmp_path / "data", environment()) as running:
        assert "nothing is lost without it" in capsys.readouterr().out
        assert "REDIS_URL" not in running.environment
        assert not (tmp_path / "data" / "redis").exists()
        async with aiohttp.ClientSession() as http:
            sandbox = Client(http, running.sandbox)
            await sandbox.command("pace", pace=25.0, platforms=running.simulated)
            connection = await asyncpg.connect(running.dsn)

            async def projected() -> bool:
                return bool(await connection.fetchval("SELECT count(*) FROM ig_comments"))

            await eventually(projected, 30)
            await connection.close()


async def test_port_that_is_taken_is_said_and_another_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with stack(tmp_path / "data", environment() | {"LANDFALL_HTTP_PORT": str(port)}) as running:
            assert running.http_port != port
    said = capsys.readouterr().out
    assert f"port {port} of LANDFALL_HTTP_PORT is taken by another program: {running.http_port} is used" in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LANDFALL_HTTP_PORT", "eighty"),
        ("LANDFALL_HTTP_PORT", "65536"),
        ("LANDFALL_METRICS_PORT", "-1"),
        ("DATABASE_URL", "mysql://h/d"),
        ("REDIS_URL", "nonsense"),
    ],
)
async def test_setting_that_cannot_be_is_said_in_one_sentence_and_nothing_is_started(
    tmp_path: Path, name: str, value: str
) -> None:
    running = await program(tmp_path / "data", **{name: value}).start()
    assert running.child is not None
    async with asyncio.timeout(30):
        assert await running.child.wait() == 1
    assert f"{name} cannot be used: " in running.output()
    assert "Traceback" not in running.output()
    assert not (tmp_path / "data").exists()


async def test_each_process_that_is_killed_is_started_again_and_said_and_nothing_is_lost(tmp_path: Path) -> None:
    """The first thing that somebody tries who was promised that a process may be killed."""
    running = await program(tmp_path / "data", LANDFALL_HTTP_PORT=str(free_port())).start()

    async def counted() -> bool:
        assert running.running, running.output()
        return bool(re.search(r"projected [1-9]\d* ", running.output()))

    await eventually(counted, 60)
    names = {"worker": "work", "web": "serve", "sandbox": "sandbox", "PostgreSQL": "-D", "Redis": "valkey-server"}
    for name, argument in names.items():
        [victim] = [
            child
            for child in psutil.Process(running.pid).children()
            if any(part == argument or part.endswith(argument) for part in child.cmdline()[:4])
        ]
        victim.kill()

        async def runs_again(name: str = name) -> bool:
            assert running.running, running.output()
            return f"{name} runs again" in running.output()

        await eventually(runs_again, 60)
        assert f"{name} was ended by SIGKILL" in running.output()
    before = int(re.findall(r"projected (\d+) ", running.output())[-1])

    async def goes_on() -> bool:
        lines = re.findall(r"projected (\d+)  waiting (\d+) ", running.output())
        return int(lines[-1][0]) > before + 50 and int(lines[-1][1]) < 50

    await eventually(goes_on, 60)
    assert "Traceback" not in running.output()
    assert running.child is not None
    running.signal(signal.SIGINT)
    async with asyncio.timeout(30):
        assert await running.child.wait() == 0, running.output()


async def test_database_that_does_not_answer_is_said_and_what_is_shown_is_dated(tmp_path: Path) -> None:
    running = await program(tmp_path / "data", LANDFALL_HTTP_PORT=str(free_port())).start()

    async def counted() -> bool:
        return bool(re.search(r"projected [1-9]\d* ", running.output()))

    await eventually(counted, 60)
    [postgres] = [child for child in psutil.Process(running.pid).children() if "-D" in child.cmdline()]
    frozen = [postgres, *postgres.children(recursive=True)]
    for process in frozen:
        process.suspend()
    try:

        async def said() -> bool:
            return (
                "PostgreSQL has not answered for" in running.output() and "; the tables are as of" in running.output()
            )

        await eventually(said, 30)
    finally:
        for process in frozen:
            process.resume()
    lines = running.output().count("projected ")

    async def read_again() -> bool:
        return running.output().count("projected ") > lines

    await eventually(read_again, 30)
    running.signal(signal.SIGTERM)
    assert running.child is not None
    async with asyncio.timeout(30):
        assert await running.child.wait() == 0, running.output()


async def test_commands_run_beside_it_with_its_settings_and_say_so_where_it_does_not_run(tmp_path: Path) -> None:
    def landfall(*arguments: str) -> subprocess.CompletedProcess[str]:
        own = {"PATH": os.environ["PATH"], "LANDFALL_DATA_DIR": str(tmp_path / "data")}
        return subprocess.run(
            [ROOT / "landfall", *arguments], env=own, cwd=tmp_path, capture_output=True, text=True, check=False
        )

    missing = await asyncio.to_thread(landfall, "doctor")
    assert missing.returncode == 1
    assert "`make up` does not run here: start it" in missing.stderr
    async with stack(tmp_path / "data", environment() | {"TIKTOK_CLIENT_SECRET": 'it\'s $(quoted) \\ "so"'}):
        assert stat.S_IMODE((tmp_path / "data" / "environment").stat().st_mode) == 0o600
        found = {
            command: await asyncio.to_thread(landfall, *command.split())
            for command in ("doctor", "events list", "connections list", "vault status", "user list", "key list")
        }
        read, changed = [
            await asyncio.to_thread(landfall, "sql", "--no-psqlrc", "-Atc", statement)
            for statement in (
                "SELECT current_user FROM ig_comments LIMIT 0; SELECT current_user",
                "TRUNCATE public.ig_comments",
            )
        ]
        printed = await asyncio.to_thread(
            subprocess.run,
            ["sh", "-c", f'. {tmp_path}/data/environment; printf %s "$TIKTOK_CLIENT_SECRET"'],
            capture_output=True,
            text=True,
            check=True,
        )
    for command, done in found.items():
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert "you@landfall.example" in found["user list"].stdout
    assert (read.returncode, read.stdout) == (0, "landfall_read\n"), read.stderr
    assert changed.returncode == 1
    assert "cannot execute TRUNCATE TABLE in a read-only transaction" in changed.stderr
    assert printed.stdout == 'it\'s $(quoted) \\ "so"'
    assert not (tmp_path / "data" / "environment").exists()


async def test_doctor_tells_a_shell_without_secrets_from_a_service_without(tmp_path: Path) -> None:
    async def doctor(dsn: str) -> list[dict[str, str]]:
        own = {"PATH": os.environ["PATH"], "DATABASE_URL": dsn}
        command = [sys.executable, "-m", "ops.cli.main", "doctor", "--json"]
        done = await asyncio.to_thread(subprocess.run, command, env=own, capture_output=True, text=True, check=False)
        found: list[dict[str, str]] = json.loads(done.stdout)
        levels = [("fault", "warning", "ok").index(finding["level"]) for finding in found]
        assert levels == sorted(levels), "what is wrong comes first"
        return found

    def said(found: list[dict[str, str]], about: str) -> list[tuple[str, str]]:
        return [(finding["level"], finding["message"]) for finding in found if finding["about"] == about]

    async with stack(tmp_path / "data", environment()) as running:
        found = await doctor(running.dsn)
        for name in ("instagram", "tiktok"):
            assert said(found, name) == [("ok", "the web process has a secret for it; this shell has none")]
        assert said(found, "secrets") == []
        for name in ("web", "worker"):
            [(level, message)] = said(found, name)
            assert (level, bool(re.match(r"last heard \d+ s ago \(", message))) == ("ok", True), message
        assert "this shell has none" in said(found, "connections")[0][1]
        assert "this shell has none" in said(found, "redis")[0][1]
        for part in ("web", "worker"):
            running.parts[part].server.kill()
        connection = await asyncpg.connect(running.dsn)
        await connection.execute("UPDATE processes SET seen_at = seen_at - interval '3 hours'")
        found = await doctor(running.dsn)
        for name in ("web", "worker"):
            [(level, message)] = [line for line in said(found, name) if "3 hours ago" in line[1]]
            assert level == "fault"
        assert ("fault", "no platform is configured: nothing can be received") in said(found, "secrets")
        await connection.close()


async def test_second_run_goes_on_in_the_same_simulation_at_the_same_addresses(tmp_path: Path) -> None:
    async with stack(tmp_path / "data", environment()) as first, aiohttp.ClientSession() as http:
        sandbox = Client(http, first.sandbox)
        await sandbox.command("clock", jump=86_400.0)
        post = (await sandbox.command("act", platform="mastodon", what="publish", account="alice", text="kept"))["id"]
        addresses = (first.url, first.sandbox, first.dsn)
        told = (await sandbox.state())["platforms"]
    async with stack(tmp_path / "data", environment()) as second, aiohttp.ClientSession() as http:
        assert (second.url, second.sandbox, second.dsn) == addresses
        state = await Client(http, second.sandbox).state()
        assert datetime.fromisoformat(state["now"]) > datetime.now(UTC) + timedelta(hours=23)
        assert post in [item["id"] for item in state["platforms"]["mastodon"]["accounts"]["alice"]]
        assert {name: platform["accounts"] for name, platform in state["platforms"].items()} == {
            name: platform["accounts"] for name, platform in told.items()
        }


async def test_what_is_printed_works_and_what_somebody_changed_is_not_printed(tmp_path: Path) -> None:
    async def let_in(running: Stack) -> tuple[int, int]:
        headers = {"Authorization": f"Bearer {running.api_key}"}
        form = {"email": PERSON, "password": running.password}
        async with aiohttp.ClientSession() as http:
            async with http.get(f"{running.url}/api/connections", headers=headers) as response:
                by_key = response.status
            async with http.post(f"{running.url}/login", data=form, allow_redirects=False) as response:
                return by_key, response.status

    async with stack(tmp_path / "data", environment()) as first:
        assert await let_in(first) == (200, 303)
        async with await open_pool(first.dsn, "test", 1, role=APP_ROLE) as pool:
            await api_keys.revoke(pool, DEFAULT_TENANT, "make up", COMMAND)
            await users.add(pool, DEFAULT_TENANT, PERSON, "a password of her own", "owner", COMMAND)
    async with stack(tmp_path / "data", environment()) as second:
        assert second.api_key != first.api_key
        assert second.password == ""
        assert await let_in(replace(second, password="a password of her own")) == (200, 303)
    async with stack(tmp_path / "data", environment()) as third:
        assert third.api_key == second.api_key
        connection = await asyncpg.connect(third.dsn)
        await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
        await connection.execute("UPDATE api_keys SET scopes = array_remove(scopes, 'posts:write')")
        await connection.close()
    async with stack(tmp_path / "data", environment()) as fourth:
        assert fourth.api_key != third.api_key, "a key of an earlier release lacks a scope"
        headers, picture = {"Authorization": f"Bearer {fourth.api_key}"}, media_samples.image()
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"{fourth.url}/api/media", data=picture, headers=headers) as response,
        ):
            assert response.status == 201, await response.text()
        assert len([*(tmp_path / "data" / "media").rglob("file-*")]) == 1


@pytest.mark.parametrize(("platform", "person"), [("instagram", "shop"), ("threads", "shop"), ("facebook", "alice")])
async def test_account_that_is_revoked_at_meta_is_noticed_at_once(tmp_path: Path, platform: str, person: str) -> None:
    async with (
        stack(tmp_path / "data", environment()) as running,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
    ):
        assert running.environment["LANDFALL_CHECK_MINUTES"] == "2"
        key = {"Authorization": f"Bearer {running.api_key}"}
        html = {"Accept": "text/html"}
        async with http.get(f"{running.url}/api/auth/{platform}", headers=key) as response:
            link = (await response.json())["open"]
        async with http.get(link, headers=html) as response:
            action, fields = form_of(await response.text())
        async with http.post(f"{running.url}{action}", data=fields, headers=html) as response:
            consent = led_to(await response.text())
        sandbox = Client(http, running.sandbox)
        back = await sandbox.consent(consent, account=person)
        async with http.get(f"{running.url}/api/auth/{platform}/callback", params=back, headers=html) as response:
            page = await response.text()
            assert response.status == 200, page
        if platform == "facebook":
            flow = dict(reversed(re.findall(r'name="(csrf|flow|account)" value="([^"]*)"', page)))
            async with http.post(f"{running.url}/api/auth/facebook/choose", data=flow, headers=html) as response:
                assert response.status == 200, await response.text()
        await sandbox.command("act", platform=platform, what="revoke", account=person)

        async def noticed() -> bool:
            async with http.get(f"{running.url}/api/connections", headers=key) as response:
                [found] = (await response.json())["connections"]
                return bool(found["state"] == "needs_reconnect")

        await eventually(noticed, 10)


async def test_simulation_of_another_release_begins_anew_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stack(tmp_path / "data", environment()):
        pass
    assert "begin anew" not in capsys.readouterr().out
    write_private(tmp_path / "data" / "sandbox.state", b"of another release")
    async with stack(tmp_path / "data", environment()) as running, aiohttp.ClientSession() as http:
        assert (await Client(http, running.sandbox).state())["platforms"]["x"]
    assert "the sandbox's accounts are of another release and begin anew" in capsys.readouterr().out


@dataclass
class Composed:
    """Processes that have what compose gives its services and nothing else, on this machine's addresses."""

    postgres: Postgres
    redis_port: int
    directory: Path
    spawned: list[Process]
    http: int = field(default_factory=free_port)
    internal: dict[str, int] = field(default_factory=lambda: {"web": free_port(), "worker": free_port()})

    def environment(self, name: str) -> dict[str, str]:
        given = {"POSTGRES_PASSWORD": self.postgres.password, "REDIS_PASSWORD": REDIS_PASSWORD}
        given |= {"SERVE_PASSWORD": SERVE_PASSWORD, "WORK_PASSWORD": WORK_PASSWORD}
        environ = compose.environment(name, given | ENVIRONMENT)
        for variable, there, here in (
            ("DATABASE_URL", "@postgres:5432/landfall", f"@127.0.0.1:{self.postgres.port}/composed"),
            ("REDIS_URL", "@redis:6379/", f"@127.0.0.1:{self.redis_port}/"),
        ):
            assert there in environ[variable]
            environ[variable] = environ[variable].replace(there, here)
        if name in self.internal:
            environ |= {"LANDFALL_HTTP_PORT": str(self.http), "LANDFALL_METRICS_PORT": str(self.internal[name])}
        return environ

    def service(self, name: str, *arguments: str) -> Process:
        command = arguments or tuple(SERVICES[name]["command"])
        self.spawned.append(Process(command, self.environment(name), self.directory / f"{name}.log"))
        return self.spawned[-1]

    async def migrated(self) -> None:
        """By the shell of the file, with our `landfall` in the place of the image's."""
        program = self.directory / "landfall"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ops.cli.main "$@"\n')
        program.chmod(0o755)
        [shell, option], [script] = SERVICES["migrate"]["entrypoint"], SERVICES["migrate"]["command"]
        environ = self.environment("migrate")
        child = await asyncio.create_subprocess_exec(
            shell, option, compose.substituted(script, {}),
            env=environ | {"PATH": f"{self.directory}:{os.environ['PATH']}"}, cwd=self.directory,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await child.communicate()
        assert child.returncode == 0, output.decode()

    async def done(self, name: str, *arguments: str) -> None:
        process = await self.service(name, *arguments).start()
        assert process.child is not None
        assert await process.child.wait() == 0, process.output()

    async def ready(self, client: aiohttp.ClientSession, *processes: Process) -> None:
        """Wait until the health checks of the file would find these well."""

        async def answering() -> bool:
            assert all(process.running for process in processes), [process.output() for process in processes]
            try:
                for port in self.internal.values():
                    async with client.get(f"http://127.0.0.1:{port}/readyz") as response:
                        if response.status != 200:
                            return False
            except aiohttp.ClientError:
                return False
            return True

        await eventually(answering)

    async def send(self, client: aiohttp.ClientSession, platform: str, body: bytes, headers: dict[str, str]) -> int:
        url = f"http://127.0.0.1:{self.http}/api/webhooks/{platform}"
        async with client.post(url, data=io.BytesIO(body), headers=headers) as response:
            return response.status


@pytest.fixture
def composed(postgres: Postgres, locked_redis: int, tmp_path: Path, spawned: list[Process]) -> Iterator[Composed]:
    postgres.sql("DROP DATABASE IF EXISTS composed", "CREATE DATABASE composed OWNER landfall")
    yield Composed(postgres, locked_redis, tmp_path, spawned)
    postgres.sql("DROP DATABASE composed WITH (FORCE)")


async def test_real_servers_and_the_very_commands_of_the_compose_file(composed: Composed) -> None:
    """Signed webhooks become rows by `landfall migrate`, `serve` and `work`, against servers that were there."""
    await composed.migrated()
    web, worker = [await composed.service(name).start() for name in ("web", "worker")]
    connection = await asyncpg.connect(composed.postgres.dsn("composed"))
    async with aiohttp.ClientSession() as client:
        await composed.ready(client, web, worker)
        body = instagram(comment(1, text="first!"), comment(2, text="second"))
        assert await composed.send(client, "instagram", body, sign_meta(body)) == 200
        assert await composed.send(client, "instagram", body, sign_meta(body, "another secret")) == 401
        body = tiktok("post.publish.complete", {"publish_id": "p1", "publish_type": "DIRECT_POST"})
        assert await composed.send(client, "tiktok", body, sign_tiktok(body)) == 200
        await drained(connection)
        async with client.get(f"http://127.0.0.1:{composed.internal['web']}/metrics") as response:
            assert re.search(
                r'^landfall_worker_notifications_total\{outcome="sent"\} [1-9]', await response.text(), re.MULTILINE
            )
    for query, expected in {
        "SELECT ig_id, text FROM ig_comments": [("178500000001", "first!"), ("178500000002", "second")],
        "SELECT account_id, publish_id, status FROM tiktok_posts": [("-000person", "p1", "PUBLISH_COMPLETE")],
        "SELECT state, count(*) FROM webhook_events GROUP BY 1": [("done", 3)],
        "SELECT secret_used FROM webhook_deliveries": [("META_APP_SECRET#1",), ("TIKTOK_CLIENT_SECRET#1",)],
        "SELECT provider, reason FROM webhook_refusals": [("instagram", "mismatch")],
    }.items():
        assert sorted(tuple(row) for row in await connection.fetch(query)) == expected
    held = await connection.fetch(
        "SELECT DISTINCT usename, split_part(application_name, '-', 1) FROM pg_stat_activity"
        " WHERE datname = 'composed' AND application_name LIKE 'landfall %'"
    )
    assert {tuple(row) for row in held} == {("landfall_serve", "landfall ingest"), ("landfall_work", "landfall sync")}
    await connection.close()
    [line] = SERVICES["daily"]["command"]
    await composed.done("daily", *line.partition("landfall ")[2].partition(";")[0].split())
    begun = time.monotonic()
    assert await web.terminate() == 0
    assert await worker.terminate() == 0
    assert time.monotonic() - begun < 15
    said = "".join(process.output() for process in composed.spawned)
    secrets = (composed.postgres.password, REDIS_PASSWORD, SERVE_PASSWORD, WORK_PASSWORD, *CANARIES)
    assert not any(secret in said for secret in secrets)
