"""Part (h): posts published a minute, and a large file sent, against a bare loop of the same requests.

The whole of Landfall runs as processes against the sandbox, whose clock runs fast. Its server of Mastodon has raised
its limits: whoever meets one waits as long as the platform says, and hours of a fast clock are as long by ours. The
bare loop keeps nothing: it stores no intent and no outcome, and could not go on after a crash.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import psutil

from ops.access import api_keys
from ops.access.audit_log_store import COMMAND
from ops.bench.report import Report
from ops.bench.stage import Stage, end, proportional_megabytes
from ops.cli import wiring
from ops.cli.demonstration import Demonstration
from ops.runtime.db import open_pool
from ops.runtime.embedded import free_port
from ops.sandbox.client import Client
from publish.connections import connection_store
from publish.platforms.tiktok_posting import chunk_plan
from publish.vault.envelope import LocalRing, Vault, new_key
from schema.rights import APP_ROLE
from schema.tenancy import DEFAULT_TENANT

SAMPLE = Path(__file__).parents[1] / "sandbox" / "media" / "clip.mp4"
SPEED = 300.0
"""The sandbox's seconds in one of ours: processing and quotas of minutes pass at once."""

PIECE = 2**20
SECONDS = 240.0
"""So long a part may take before the run ends with an error."""

TEXTS, FILES = "mastodon", "tiktok"
OPTIONS = {"privacy_level": "SELF_ONLY", "music_usage_confirmed": True}


@dataclass
class Desk:
    """A program with a key, and the token of each account for the bare loop."""

    stage: Stage
    environment: dict[str, str]
    url: str
    key: str
    http: aiohttp.ClientSession
    sandbox: Client
    vault: Vault
    accounts: Mapping[str, str]
    tokens: Mapping[str, str]

    async def connect(self, name: str, account: str = "") -> None:
        """Consent in the place of an account's owner, the first one if none is named."""
        said: list[str] = []
        shown = Demonstration(self.url, self.key, self.sandbox.url, [name], said.append)
        headers = {"Authorization": f"Bearer {self.key}", "Accept": "application/json"}
        async with (
            aiohttp.ClientSession(headers=headers) as program,
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser,
        ):
            await shown.connect(name, program, browser, account)
        self.accounts, self.tokens = await _tokens(self.stage, self.vault)

    async def call(self, method: str, path: str, **more: Any) -> Any:
        async with self.http.request(
            method, self.url + path, headers={"Authorization": f"Bearer {self.key}"}, **more
        ) as response:
            content = await response.json()
            if response.status >= 400:
                raise RuntimeError(f"{method} {path}: {content}")
            return content

    async def post(self, platform: str, text: str, **target: Any) -> None:
        media = target.pop("media", [])
        body = {"content": text, "action": "publish", "media": media}
        await self.call(
            "POST", "/api/posts", json=body | {"targets": [{"connection": self.accounts[platform], **target}]}
        )

    def worked_off(self, worker: psutil.Popen) -> tuple[float, float]:
        """Wait until nothing is due; the seconds that it took, and the most memory of the worker's own meanwhile."""
        begun, most = time.perf_counter(), 0.0
        while self.stage.scalar("SELECT count(*) FROM post_targets WHERE published_at IS NULL"):
            if time.perf_counter() - begun > SECONDS or worker.poll() is not None:
                raise RuntimeError("the worker does not publish what is due")
            most = max(most, proportional_megabytes(worker))
            time.sleep(0.02)
        return time.perf_counter() - begun, most


@asynccontextmanager
async def desk(stage: Stage, names: Sequence[str] = (TEXTS, FILES), speed: float = SPEED) -> AsyncIterator[Desk]:
    """Start the sandbox and the web process, and connect an account of each platform that is named."""
    address = f"http://127.0.0.1:{(port := free_port())}"
    sandboxed = stage.start("ops.cli.main", "sandbox", "--port", str(port), "--speed", str(speed))
    await asyncio.to_thread(_listening, port)
    vault_key = new_key()
    async with aiohttp.ClientSession() as http:
        sandbox = Client(http, address)
        known = (await sandbox.state())["platforms"]
        environment = {
            "LANDFALL_VAULT_KEYS": vault_key,
            "LANDFALL_MEDIA_URL": (stage.directory / "media").as_uri(),
            "LANDFALL_CHECK_MINUTES": "600",
        }
        for name in names:
            provider = wiring.oauth_providers()[name]
            environment[provider.base_url.name] = f"{address}/{name}"
            if provider.client_id is not None and provider.client_secret is not None:
                identity, secret = known[name]["application"]
                environment |= {provider.client_id.name: identity, provider.client_secret.name: secret}
        port = free_port()
        environment["LANDFALL_PUBLIC_URL"] = f"http://127.0.0.1:{port}"
        ports = {"LANDFALL_HTTP_PORT": str(port), "LANDFALL_METRICS_PORT": str(free_port())}
        web = stage.start("ops.cli.main", "serve", **environment, **ports)
        await asyncio.to_thread(_listening, port)
        async with await open_pool(stage.postgres.dsn(), "bench", 2, role=APP_ROLE) as pool:
            key = await api_keys.create(pool, DEFAULT_TENANT, "bench", api_keys.SCOPES, COMMAND)
        vault = Vault(LocalRing([vault_key]))
        found = Desk(stage, environment, environment["LANDFALL_PUBLIC_URL"], key, http, sandbox, vault, {}, {})
        for name in {*names} - {TEXTS}:  # there applications enter their addresses themselves
            await sandbox.command("redirects", platform=name, redirect_uri=f"{found.url}/api/auth/{name}/callback")
        yield found
    end(web)
    end(sandboxed)


def _listening(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in psutil.net_connections("tcp")):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on {port}")


async def _connect(found: Desk) -> None:
    # Two hours, the other value the sandbox knows, pass in 24 s here: too soon for a token between two retries.
    await found.sandbox.command("variants", platform=FILES, name="access", variant="24h")
    await found.sandbox.command("variants", platform=TEXTS, name="limits", variant="raised")
    for name in (TEXTS, FILES):
        await found.connect(name)
    await found.sandbox.command("account", platform=FILES, account="alice", settings={"daily_posts": 1000})


async def _tokens(stage: Stage, vault: Vault) -> tuple[dict[str, str], dict[str, str]]:
    connection = await asyncpg.connect(stage.postgres.dsn(), server_settings={"landfall.tenant": "*"})
    rows = await connection.fetch("SELECT id::text, platform FROM connections")
    accounts = {row["platform"]: row["id"] for row in rows}
    tokens = {}
    for platform, id_ in accounts.items():
        secrets = await connection_store.secrets(connection, vault, DEFAULT_TENANT, id_)
        tokens[platform] = secrets["access_token"]
    await connection.close()
    return accounts, tokens


def publishing(stage: Stage, report: Report, texts: int, megabytes: int, rounds: int) -> None:
    """Run every round and add its figures; the large file is sent in the first."""
    asyncio.run(_publishing(stage, report, texts, megabytes, rounds))


async def _publishing(stage: Stage, report: Report, texts: int, megabytes: int, rounds: int) -> None:
    async with desk(stage) as found:
        await _connect(found)
        for number in range(rounds):
            for each in range(texts):
                await found.post(TEXTS, f"Tea {number}.{each}", kind="text")
            bare = await _bare_texts(found, number, texts)
            worker = stage.work(**found.environment)
            seconds, _ = await asyncio.to_thread(found.worked_off, worker)
            report.add("texts published / bare loop of the same requests", bare / seconds)
            report.notes.setdefault("texts published a minute", []).append(round(texts / seconds * 60))
            if number == 0:  # once: the sandbox's clock runs fast, and its tokens end within minutes
                await _film_sent(found, worker, report, megabytes)
            end(worker)


async def _film_sent(found: Desk, worker: psutil.Popen, report: Report, megabytes: int) -> None:
    path, size = _film(found.stage, megabytes), megabytes * 2**20
    media = await _uploaded(found, path, size)
    before = proportional_megabytes(worker)
    bare = await _bare_upload(found, path, size)
    await found.post(FILES, "Film", kind="video", options=OPTIONS, media=[media])
    seconds, most = await asyncio.to_thread(found.worked_off, worker)
    report.add("upload of a large file / bare loop of the same requests", bare / seconds)
    report.add("memory that the worker gained by sending it, MB", most - before)
    report.notes["megabytes of that file"] = megabytes
    path.unlink()


async def _bare_texts(found: Desk, number: int, texts: int) -> float:
    base, headers = f"{found.sandbox.url}/{TEXTS}", {"Authorization": f"Bearer {found.tokens[TEXTS]}"}
    begun = time.perf_counter()
    for each in range(texts):
        async with found.http.get(f"{base}/api/v2/instance", headers=headers) as response:
            await response.read()
        body = {"status": f"Bare {number}.{each}"}
        async with found.http.post(f"{base}/api/v1/statuses", headers=headers, json=body) as response:
            await response.read()
            if response.status != 200:
                raise RuntimeError(f"the bare loop was refused: {response.status}")
    return time.perf_counter() - begun


def _film(stage: Stage, megabytes: int) -> Path:
    """A video of this size: the sample, and a box of zeros behind it that players pass over."""
    path, sample = stage.directory / "film.mp4", SAMPLE.read_bytes()
    size = megabytes * 2**20 - len(sample)
    with path.open("wb") as file:
        file.write(sample)
        file.write(size.to_bytes(4) + b"free")
        file.truncate(megabytes * 2**20)
    return path


def _pieces(path: Path, first: int, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while length:
            piece = file.read(min(PIECE, length))
            length -= len(piece)
            yield piece


async def _stream(path: Path, first: int, length: int) -> AsyncIterator[bytes]:
    for piece in _pieces(path, first, length):
        yield piece


async def _uploaded(found: Desk, path: Path, size: int) -> str:
    content = _stream(path, 0, size)
    media: str = (await found.call("POST", "/api/media?file_name=film.mp4", data=content))["id"]
    return media


async def _bare_upload(found: Desk, path: Path, size: int) -> float:
    base, headers = f"{found.sandbox.url}/{FILES}", {"Authorization": f"Bearer {found.tokens[FILES]}"}
    plan = chunk_plan(size)
    begun = time.perf_counter()
    async with found.http.post(f"{base}/v2/post/publish/creator_info/query/", headers=headers, json={}) as response:
        await response.read()
    source = {"source": "FILE_UPLOAD", "video_size": plan.size, "chunk_size": plan.chunk_size}
    body = {"source_info": source | {"total_chunk_count": plan.count}}
    async with found.http.post(f"{base}/v2/post/publish/inbox/video/init/", headers=headers, json=body) as response:
        data = json.loads(await response.read())["data"]
    for first, last in plan.ranges:
        sent = {
            "Content-Type": "video/mp4",
            "Content-Length": str(last - first + 1),
            "Content-Range": f"bytes {first}-{last}/{plan.size}",
        }
        content = _stream(path, first, last - first + 1)
        async with found.http.put(data["upload_url"], headers=sent, data=content) as response:
            await response.read()
    return time.perf_counter() - begun
