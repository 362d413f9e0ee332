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

import asyncpg
import pytest
from pytest_aiohttp.plugin import AiohttpClient

import ingest.platforms
import schema.crm
import sync.platforms
from ingest.app import build
from ingest.committer import Committer
from ingest.views import Receiver
from ops.cli import wiring
from ops.runtime.bodies import Budget
from ops.runtime.clock import now
from ops.runtime.db import open_pool
from ops.runtime.queue import NoBell
from schema.metadata import APP_ROLE, metadata
from sync import store
from sync.worker import Projector
from tests.support import rows

PAGE = (Path(__file__).parents[2] / "ADDING_A_PLATFORM.md").read_text()
INGEST, TABLE, SYNC = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[MIGRATION] = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
SECRET = "acme-secret"


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's files, beside the real ones for as long as the test runs."""
    for package, code in ((ingest.platforms, INGEST), (sync.platforms, SYNC)):
        folder = tmp_path / package.__name__
        folder.mkdir()
        (folder / "acme.py").write_text(code)
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    scope: dict[str, Any] = dict(vars(schema.crm))
    exec(TABLE, scope)
    monkeypatch.setattr(schema.crm, "acme_leads", scope["acme_leads"], raising=False)
    importlib.invalidate_caches()
    yield
    metadata.remove(scope["acme_leads"])
    for name in ("ingest.platforms.acme", "sync.platforms.acme"):
        sys.modules.pop(name, None)


def lead(kind: str, at: int, **more: Any) -> dict[str, Any]:
    return {"shop": "s1", "kind": kind, "lead": "l1", "at": at, **more}


async def test_page_adds_a_platform_that_works(
    acme: None, database: str, connection: asyncpg.Connection, aiohttp_client: AiohttpClient
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
            bell=NoBell(),
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
        assert (await post(newer, older))["new"] == 2
        assert (await post(older))["new"] == 0, "cut differently, it is still the same event"
        assert (await post(lead("lead.deleted", 300), "nonsense"))["new"] == 2
        await asyncio.wait_for(Projector(sync_pool, wiring.projections(), tries=3).drain(), 20)

    [row] = await rows(connection, "acme_leads")
    assert (row["account_id"], row["full_name"], row["email"]) == ("s1", "New", "o@x"), "known before, and not told"
    assert row["deleted_at"] is not None
    states = await connection.fetch("SELECT state, count(*) FROM webhook_events GROUP BY state ORDER BY state")
    assert [tuple(row) for row in states] == [("done", 3), ("parked", 1)]
