"""ADDING_A_PLATFORM.md, followed to the letter: its code receives, names and projects a platform of nobody."""

import asyncio
import hashlib
import hmac
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer
from pytest_aiohttp.plugin import AiohttpClient

import ingest.platforms
import publish.platforms
import schema.crm
import sync.platforms
from ingest.app import build
from ingest.committer import Committer
from ingest.endpoint import Receiver
from ingest.splitter import Splitter
from ops.cli import tables, wiring
from ops.runtime import garbage
from ops.runtime.bodies import Budget
from ops.runtime.clock import now
from ops.runtime.db import open_pool
from schema.metadata import APP_ROLE, metadata
from sync.projection import store
from sync.projection.worker import Projector
from sync.rebuild import lineage
from sync.rebuild.procedure import rebuild, verify
from tests.rig import rigged
from tests.support import rows

PAGE = (Path(__file__).parents[2] / "ADDING_A_PLATFORM.md").read_text()
INGEST, TABLE, SYNC, PUBLISH = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[MIGRATION] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
[ENVIRONMENT] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
[COMPOSE] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SECRET = "acme-secret"


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's files, beside the real ones for as long as the test runs."""
    code = {schema.crm: TABLE, ingest.platforms: INGEST, sync.platforms: SYNC, publish.platforms: PUBLISH}
    for package, text in code.items():
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / "acme.py").write_text(text)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    importlib.invalidate_caches()
    yield
    if "acme_leads" in metadata.tables:
        metadata.remove(metadata.tables["acme_leads"])
    for name in ("schema.crm.acme", "ingest.platforms.acme", "sync.platforms.acme", "publish.platforms.acme"):
        sys.modules.pop(name, None)


def lead(kind: str, at: int, **more: Any) -> dict[str, Any]:
    return {"shop": "s1", "kind": kind, "lead": "l1", "at": at, **more}


async def test_page_adds_a_platform_that_works(
    acme: None,
    database: str,
    connection: asyncpg.Connection,
    aiohttp_client: AiohttpClient,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await connection.execute(MIGRATION)
    webhooks = wiring.webhooks()
    assert list(webhooks) == sorted(webhooks)
    assert "ACME_APP_SECRET" in [variable.name for variable in wiring.variables()]
    async with (
        await open_pool(database, "test", 2, role=APP_ROLE) as pool,
        await open_pool(database, "test-sync", 2, role=APP_ROLE, settings=store.PLANNER) as sync_pool,
    ):
        receiver = Receiver(
            webhooks=webhooks,
            variables={"ACME_APP_SECRET": (SECRET,)},
            committer=Committer(pool, max_deliveries=10),
            samples=pool,
            clock=now,
            body_limit=10_000,
            budget=Budget(100_000, 50_000),
        )
        client = await aiohttp_client(build(receiver))

        async def post(*entries: Any) -> dict[str, Any]:
            body = json.dumps({"entries": entries}).encode()
            digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            headers = {"X-Acme-Signature": f"sha256={digest}"}
            async with client.post("/api/webhooks/acme", data=body, headers=headers) as response:
                assert response.status == 200
                return await response.json()

        newer, older = lead("lead.updated", 200, name="New"), lead("lead.created", 100, name="Old", email="o@x")
        splitter = Splitter(webhooks, receiver.variables)
        events = "SELECT count(*) FROM webhook_event_log"
        for entries, known in (((newer, older), 2), ((older,), 2), ((lead("lead.deleted", 300), "nonsense"), 4)):
            await post(*entries)
            assert await splitter.drain(connection) == 1
            assert await connection.fetchval(events) == known, "cut differently, it is still the same event"
        await asyncio.wait_for(Projector(sync_pool, wiring.projections(), tries=3).drain(), 20)

        for step in (verify, rebuild):
            owner = await asyncpg.connect(database)
            platforms = [["acme"]] if step is rebuild else []
            report = await step(owner, wiring.projections(), *platforms, lambda *_: None)
            assert (report.drift, report.failed) == (0, [])
            assert "acme_leads" in {difference.table for difference in report.differences}
            await owner.close()

    [row] = await rows(connection, "acme_leads")
    [table] = [table for table in schema.crm.crm_tables() if table.name == "acme_leads"]
    makers = await lineage.makers(connection, table, row)
    assert {said.facet for said in makers} == {"person", "presence"}
    assert (row["account_id"], row["full_name"], row["email"]) == ("s1", "New", "o@x"), "known before, and not told"
    assert row["deleted_at"] is not None
    states = await connection.fetch("SELECT state, count(*) FROM webhook_events GROUP BY state ORDER BY state")
    assert [tuple(row) for row in states] == [("done", 3), ("parked", 1)]

    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setattr(garbage, "collect_rarely", lambda: None)  # for the whole process, which is the tests'
    configuration = wiring.configuration()
    assert await tables.verify(configuration, as_json=False)
    await connection.execute("UPDATE acme_leads SET full_name = 'somebody else'")
    assert not await tables.verify(configuration, as_json=False)
    await tables.rebuild(configuration, ["acme"], outdated=False, lose_failed=False)
    assert "acme: 1 rows put right" in capsys.readouterr().out
    assert await tables.verify(configuration, as_json=False), "of Acme and of every other platform"
    assert [dict(row) for row in await rows(connection, "acme_leads")] == [dict(row)]
    await tables.explain(configuration, "acme_leads", "l1", None, full=True, as_json=False)
    explained = capsys.readouterr().out
    assert all(kind in explained for kind in ("lead.created", "lead.updated", "lead.deleted"))


class Acme:
    """What the page says that Acme does; ``calls`` are the forms and tokens that it was sent."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.tokens: list[str] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.post("/oauth/token", self.token),
                web.get("/v1/shop", self.shop),
                web.post("/oauth/revoke", self.revoke),
            ]
        )
        return app

    async def token(self, request: web.Request) -> web.Response:
        form = await request.post()
        kind = str(form["grant_type"])
        self.calls.append((kind, str(form["code" if kind == "authorization_code" else "refresh_token"])))
        if (form["client_id"], form["client_secret"]) != ("acme-1", SECRET):
            return web.json_response({"error": "invalid_client"}, status=401)
        self.tokens.append(f"access-{len(self.tokens)}")
        found = {"access_token": self.tokens[-1], "refresh_token": f"refresh-{len(self.tokens)}", "expires_in": 600}
        return web.json_response(found | {"token_type": "bearer", "scope": "shop.read leads.read"})

    async def shop(self, request: web.Request) -> web.Response:
        if request.headers["Authorization"] != f"Bearer {self.tokens[-1]}":
            return web.json_response({"error": "unauthorized"}, status=401)
        return web.json_response({"id": "s1", "name": "Shop"})

    async def revoke(self, request: web.Request) -> web.Response:
        self.calls.append(("revoke", str((await request.post())["token"])))
        return web.json_response({})


async def test_page_connects_refreshes_and_disconnects_an_account(
    acme: None, database: str, connection: asyncpg.Connection
) -> None:
    played = Acme()
    async with TestServer(played.app()) as server:
        base = str(server.make_url("")).rstrip("/")
        given = {"ACME_APP_ID": ("acme-1",), "ACME_APP_SECRET": (SECRET,), "ACME_BASE_URL": (base,)}
        async with rigged(database, connection, {"acme": wiring.oauth_providers()["acme"]}, given) as rig:
            address = urlsplit(await rig.started("acme"))
            asked = dict(parse_qsl(address.query))
            assert (f"{address.scheme}://{address.netloc}", address.path) == (base, "/authorize")
            assert (asked["client_id"], asked["scope"]) == ("acme-1", "shop.read leads.read")
            outcome = await rig.back("acme", {"code": "code-1", "state": asked["state"]})
            assert outcome["ok"], outcome
            [id_] = outcome["connections"]
            shown = await rig.shown(id_)
            assert (shown["account_id"], shown["username"], shown["state"]) == ("s1", "Shop", "active")
            await rig.due()
            assert await rig.refresher.refresh(id_) == "refreshed"
            assert (await rig.api("DELETE", f"/api/connections/{id_}"))[0] == 200
    assert played.calls == [("authorization_code", "code-1"), ("refresh_token", "refresh-1"), ("revoke", "access-1")]


def test_page_gives_every_variable_to_the_environment_and_to_compose(acme: None) -> None:
    """Each that a file of Acme reads, discovered as those of every platform are."""
    read = {variable.name for variable in wiring.variables() if variable.name.startswith("ACME_")}
    assert len(read) == 3
    assert set(re.findall(r"^(\w+)=$", ENVIRONMENT, re.MULTILINE)) == read
    assert yaml.safe_load(COMPOSE) == {name: f"${{{name}:-}}" for name in read}
