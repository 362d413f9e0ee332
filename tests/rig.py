"""Landfall's connections, the sandbox, and a browser in between."""

import base64
import re
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
from aiohttp import web
from aiohttp.test_utils import TestServer

import publish.platforms
from ops.access import api_keys, invitations
from ops.access.audit_log_store import Actor
from ops.access.sessions import Person
from ops.cli import wiring
from ops.cli.composition import Built, assembled, posts_of
from ops.erasure.requests import request_account
from ops.runtime.db import Pool, open_pool
from ops.runtime.discovery import discover
from ops.runtime.http import Client
from ops.runtime.mail import Mailer
from ops.runtime.platform_client import PlatformClient
from ops.runtime.rate_limits import RateLimits
from ops.sandbox.client import Client as Sandbox
from ops.sandbox.server import Server
from ops.web.app import add_access, add_connections, add_export, add_media, add_posts
from ops.web.site import Connecting, Publishing, Site, build_site
from publish.connections.refresh import Refresher
from publish.media.inspection import Inspector
from publish.media.storage import open_storage
from publish.media.uploads import Uploads
from publish.oauth.contract import OAuthProvider
from publish.oauth.providers import OAuthProviders
from publish.posting.posts import Posts
from publish.vault.envelope import LocalRing, Vault
from schema.rights import APP_ROLE, WEB_ROLE, WORKER_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.support import is_error

PROVIDERS = discover(publish.platforms, OAuthProvider)
PLATFORMS = list(PROVIDERS)
KEYS = tuple(f"{name}:{base64.urlsafe_b64encode(bytes([n]) * 32).decode()}" for n, name in enumerate(("one", "two"), 1))
INSTANCE = "social.example"
TESTS = Actor("tests")
HTML = {"Accept": "text/html"}
LONG = {"instagram", "threads"}
ROTATING = {"tiktok", "x"}
UNTICKED = {
    "facebook": "pages_manage_metadata",
    "instagram": "instagram_business_content_publish",
    "mastodon": "write:statuses",
    "threads": "threads_content_publish",
    "tiktok": "video.list",
    "x": "tweet.write",
}


@dataclass(repr=False)
class Rig:
    """Landfall's connections on one port, the sandbox on another, and a browser in between.

    What comes over HTTP acts as the web process's role, ``refresher`` as the worker's; ``pool`` is a command's.

    Like everything that holds a rig it has no generated ``repr``: each test would write out a megabyte of nested
    objects, as asyncio's runner describes the task that gave a fixture's value whenever it hands SIGINT back.
    """

    server: Server
    sandbox: Sandbox
    url: str
    http: aiohttp.ClientSession
    key: str
    pool: Pool
    providers: OAuthProviders
    built: Built
    connection: asyncpg.Connection
    dsn: str
    uploads: Uploads
    media: Path
    """The folder that holds the storage of files."""
    variables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """The operator's settings, which may be changed."""

    @property
    def refresher(self) -> Refresher:
        return self.built.refresher

    async def api(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.key}"} | options.pop("headers", {})
        async with (
            aiohttp.ClientSession() as program,
            program.request(method, self.url + path, headers=headers, **options) as response,
        ):
            return response.status, await response.json()

    async def started(self, platform: str, key: str = "", **query: str) -> str:
        """The platform's consent page, reached as a browser does."""
        return await self.pressed(await self.link(platform, key, **query))

    async def link(self, platform: str, key: str = "", **query: str) -> str:
        """What a program is given to open in the owner's browser."""
        query |= {"instance": INSTANCE} if platform == "mastodon" else {}
        headers = {"Authorization": f"Bearer {key or self.key}"}
        status, found = await self.api("GET", f"/api/auth/{platform}", params=query, headers=headers)
        assert status == 201, found
        link: str = found["open"]
        return link

    async def pressed(self, link: str, http: aiohttp.ClientSession | None = None) -> str:
        """The consent page that a browser is sent to which opens this page of ours and presses its button."""
        browser = http or self.http
        async with browser.get(link, headers=HTML, allow_redirects=False) as response:
            assert response.status == 200, await response.text()
            action, fields = form_of(await response.text())
        async with browser.post(self.url + action, data=fields, headers=HTML, allow_redirects=False) as response:
            assert response.status == 200, await response.text()
            return led_to(await response.text())

    async def consented(
        self,
        platform: str,
        decision: str = "approve",
        untick: str = "",
        account: str = "",
        key: str = "",
        **query: str,
    ) -> dict[str, str]:
        account = account or {"facebook": "alice"}.get(platform, "shop")
        found = await self.sandbox.consent(await self.started(platform, key, **query), decision, account, untick)
        assert isinstance(found, dict), found
        return found

    async def back(self, platform: str, query: dict[str, str], http: aiohttp.ClientSession | None = None) -> Any:
        """The browser comes back; what it is told."""
        middle = f"/{INSTANCE}" if platform == "mastodon" else ""
        address = f"{self.url}/api/auth/{platform}{middle}/callback"
        async with (http or self.http).get(address, params=query, headers={"Accept": "application/json"}) as response:
            return outcome_of(await response.json())

    async def chosen(self, platform: str, accounts: list[str]) -> Any:
        """What comes of choosing these, as ``platform:id``."""
        async with self.http.post(
            f"{self.url}/api/auth/{platform}/choose",
            json={"accounts": accounts},
            headers={"Accept": "application/json"},
        ) as response:
            return outcome_of(await response.json())

    async def connect(self, platform: str, account: str = "", key: str = "", **query: str) -> list[str]:
        """Consent, choose whatever can be connected, and be connected; the ids."""
        outcome = await self.back(platform, await self.consented(platform, account=account, key=key, **query))
        if outcome.get("kind") == "choose":
            usable = [item["account"] for item in outcome["choose"] if not item["why_not"]]
            outcome = await self.chosen(platform, usable)
        assert outcome["ok"], outcome
        ids: list[str] = outcome["connections"]
        return ids

    async def shown(self, id_: str) -> Any:
        status, found = await self.api("GET", f"/api/connections/{id_}")
        assert status == 200, found
        return found

    async def due(self) -> None:
        """Every refresh, and every check of what cannot be refreshed."""
        await self.raw(
            """
            UPDATE connections SET refresh_due_at = CASE WHEN refresh_due_at IS NOT NULL THEN now() END,
                check_due_at = CASE WHEN refresh_due_at IS NULL AND check_due_at IS NOT NULL THEN now()
                    ELSE check_due_at END"""
        )

    async def raw(self, query: str, *arguments: Any) -> Any:
        async with self.connection.transaction():
            await self.connection.execute("SELECT set_config('landfall.tenant', '*', true)")
            return await self.connection.fetch(query, *arguments)


async def use_community_management(rig: Rig) -> None:
    """Let the application at LinkedIn be one of Community Management, there and in the operator's settings."""
    await rig.sandbox.command("variants", platform="linkedin", name="product", variant="community_management")
    rig.variables["LINKEDIN_PRODUCT"] = ("community_management",)


def outcome_of(content: Any) -> Any:
    """What came of a flow, whether it is told as an outcome or as an error."""
    if "error" not in content:
        return content
    assert is_error(content)
    error = content["error"]
    return {"ok": False, "says": error["message"], "kind": error["details"].get("reason"), "error": error}


def form_of(page: str) -> tuple[str, dict[str, str]]:
    """Where the form of a page's main part goes, and what it holds unseen."""
    [(action, body)] = re.findall(r'<form method="post" action="([^"]+)" class="block">(.*?)</form>', page, re.DOTALL)
    fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', body)
    return unescape(action), {name: unescape(value) for name, value in fields}


def led_to(page: str) -> str:
    """Where a page goes on to by itself."""
    [address] = re.findall(r'http-equiv="refresh" content="0; url=([^"]+)"', page)
    return unescape(address)


def variables(server: Server, url: str) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for name, provider in PROVIDERS.items():
        found[provider.base_url.name] = (f"{url}/{name}",)
        application = server.simulation.platforms[name].application()
        if provider.client_id is not None and provider.client_secret is not None:
            found[provider.client_id.name] = (application[0],)
            found[provider.client_secret.name] = (application[1],)
    return found


def add_pages(
    app: web.Application,
    pool: Pool,
    built: Built,
    *,
    secure: bool = False,
    mailer: Mailer | None = None,
    uploads: Uploads | None = None,
    posts: Posts | None = None,
    **site: Any,
) -> Site:
    """Add all pages and the API to an application, at the public URL of the flows if no other is given."""
    found = build_site(pool, secure=secure, **{"public_url": built.flows.public_url} | site)
    add_access(app, found, built.vault, mailer)
    add_media(app, found, uploads)
    add_export(app, found, pool)
    pulling = wiring.pulling_platforms()
    connecting = Connecting(built.flows, built.disconnector, built.refresher, request_account, pulling)
    add_connections(app, found, connecting)
    made = posts or posts_of(pool, built, uploads.storage if uploads else None, found.public_url)
    add_posts(app, found, Publishing(made, uploads))
    return found


async def join(rig: "Rig", tenant: str, email: str, role: str) -> None:
    """Somebody who is known here is invited to another tenant, and confirms."""
    [[user]] = await rig.raw("SELECT id::text FROM users WHERE email = $1", email)
    made = await invitations.invite(rig.pool, tenant, email, role, TESTS)
    await invitations.accept(rig.pool, made.link, Person("", user, email, role, [], ""), None)


LIMITS = {"image": 10 * 2**20, "gif": 10 * 2**20, "video": 64 * 2**20, "audio": 10 * 2**20, "document": 10 * 2**20}
"""Of files, by kind."""

PATIENT = {"connect_seconds": 20.0, "wait_seconds": 20.0}
"""Nothing that runs on a rig is about how long a busy machine takes to open a connection."""


@asynccontextmanager
async def rigged(
    database: str,
    connection: asyncpg.Connection,
    more: Mapping[str, OAuthProvider] | None = None,
    given: Mapping[str, tuple[str, ...]] | None = None,
) -> AsyncIterator[Rig]:
    """``more`` are platforms that the sandbox does not play; ``given`` are their variables, base address included."""
    server, more, given = Server(seed=5), more or {}, given or {}
    elsewhere = {urlsplit(url).netloc for provider in more.values() for url in given[provider.base_url.name]}
    async with (
        TestServer(server.app()) as sandbox_server,
        await open_pool(database, "test", 10, role=APP_ROLE, **PATIENT) as pool,
        await open_pool(database, "publish", 10, role=WEB_ROLE, **PATIENT) as web_pool,
        await open_pool(database, "publish", 10, role=WORKER_ROLE, **PATIENT) as worker_pool,
        Client(frozenset({f"{sandbox_server.host}:{sandbox_server.port}"}) | elsewhere) as client,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http,
        AsyncExitStack() as stack,
    ):
        sandbox_url = str(sandbox_server.make_url("")).rstrip("/")
        app = web.Application()
        running = TestServer(app)
        await running.start_server(access_log=None)
        url = str(running.make_url("")).rstrip("/")
        await running.close()
        known = variables(server, sandbox_url) | given
        by_platform = {**PROVIDERS, **more}
        providers = OAuthProviders(by_platform, known, PlatformClient(by_platform, client, RateLimits(web_pool)), url)
        vault = Vault(LocalRing(KEYS))
        built = assembled(web_pool, vault, providers)
        app = web.Application()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        storage = open_storage((folder / "media").as_uri(), {})
        uploads = Uploads(web_pool, storage, Inspector(), client, LIMITS)
        add_pages(app, web_pool, built, uploads=uploads)
        running = await stack.enter_async_context(TestServer(app, port=int(url.rpartition(":")[2])))
        sandbox = Sandbox(http, sandbox_url)
        for name in PLATFORMS:
            if name != "mastodon":
                await sandbox.command("redirects", platform=name, redirect_uri=providers.redirect_uri(name, ""))
        # No page of X says what a refresh token that is over is answered with; this is RFC 6749's word.
        await sandbox.command("variants", platform="x", name="refused_refresh", variant="invalid_grant")
        key = await api_keys.create(pool, DEFAULT_TENANT, "tests", api_keys.SCOPES, TESTS)
        worker = assembled(worker_pool, vault, providers)
        built = replace(built, refresher=worker.refresher, subscriptions=worker.subscriptions)
        yield Rig(server, sandbox, url, http, key, pool, providers, built, connection, database, uploads, folder, known)
