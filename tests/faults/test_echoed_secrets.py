"""Row J5 of ``faults.md``: a platform may send any secret back in any field of an error, and none comes to light."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import generate_latest
from structlog.testing import CapturingLogger

from ops.runtime import platform_client, rate_limits
from ops.runtime.tenancy import tenant_transaction
from ops.web import routing
from publish.connections import connection_store, disconnect, refresh
from publish.oauth import authorization
from publish.vault.envelope import LocalRing, Vault
from schema.tenancy import DEFAULT_TENANT
from tests.rig import INSTANCE, KEYS, PLATFORMS, Rig
from tests.secret_scan import secrets_of, shown, tables

PASSWORD = "correct horse battery canary"
FIELDS = (
    *("error_description", "error_message", "error_type", "message", "code", "type", "status", "subcode"),
    *("error_subcode", "error_user_msg", "serviceErrorCode", "title", "detail", "log_id", "fbtrace_id", "reason"),
)
PARAMETERS = ("error", "error_code", "error_description", "error_reason", "scopes")
"""Of a callback."""


def echoes(secret: str) -> list[tuple[int, Any]]:
    """Status and body of every way in which a platform could send a secret back in an error."""
    fields: dict[str, Any] = dict.fromkeys(FIELDS, secret)
    return [
        (400, {"error": secret, **fields}),
        (200, {"error": fields, "errors": [fields], "data": {"error": fields, "is_valid": False}, **fields}),
        (401, {"error": fields | {"code": 190, "error_subcode": secret}}),
        (403, {"error": f"invalid_grant {secret}", "active": False, "status": secret}),
        (200, {"active": False, "status": secret, "scope": secret, "data": {"is_valid": False, "scopes": [secret]}}),
        (500, fields | {"error": secret}),
    ]


@dataclass(repr=False)
class Conversation:
    """Everything that is asked of one platform, and what was seen of it."""

    rig: Rig
    platform: str
    id: str
    held: dict[str, str]
    pages: list[str] = field(default_factory=list)
    canaries: list[str] = field(default_factory=list)

    async def secrets(self) -> list[str]:
        query = await self.consented()
        simulated: Any = self.rig.server.simulation.platforms[self.platform]
        ours = simulated.application()[1]
        if self.platform == "mastodon":
            ours = [app.client_secret for app in simulated.apps.values()][-1]
        found = [*self.held.values(), ours, query["code"], query["state"]]
        self.canaries += found
        return found

    async def consented(self) -> dict[str, str]:
        query = await self.rig.consented(self.platform)
        self.canaries += [query["code"], query["state"]]
        return query

    async def answers(self, secret: str, status: int, body: Any, times: int = 0) -> None:
        headers = {
            "Retry-After": secret,
            "WWW-Authenticate": f'Bearer error="{secret}"',
            "X-App-Usage": secret,
        }
        headers |= {
            "X-Rate-Limit-Reset": secret,
            "X-Business-Use-Case-Usage": secret,
            "X-RateLimit-Reset": secret,
        }
        fault = {"status": status, "body": body, "headers": headers}
        await self.rig.sandbox.command("faults", platform=self.platform, times=times, **fault)

    async def works(self) -> None:
        """Everything is as if it had never failed."""
        async with self.rig.http.delete(f"{self.rig.sandbox.url}/_sandbox/faults"):
            pass
        self.rig.providers.client.breakers.clear()
        await self.rig.raw("DELETE FROM platform_budgets")
        await self.rig.raw("UPDATE connections SET state = 'active'")

    async def refreshed_and_checked(self, secret: str) -> None:
        provider = self.rig.providers.by_platform[self.platform]
        refreshes = provider.refresh is not None and provider.refreshes_with in self.held
        works = [name for name, does in (("refresh", refreshes), ("check", provider.check is not None)) if does]
        assert works
        for status, body in echoes(secret):
            for work in works:
                await self.answers(secret, status, body)
                await self.rig.raw("UPDATE connections SET refresh_due_at = NULL, check_due_at = NULL")
                await self.rig.raw(f"UPDATE connections SET {work}_due_at = now()")
                assert await self.rig.refresher.refresh(self.id) in ("failed", "needs_reconnect")
                self.pages.append(str(await self.rig.api("GET", f"/api/connections/{self.id}")))
                await self.works()

    async def connected(self, secret: str) -> None:
        for status, body in echoes(secret)[:5:2]:
            query = await self.consented()
            await self.answers(secret, status, body)
            outcome = await self.rig.back(self.platform, query)
            assert not outcome["ok"]
            self.pages.append(str(outcome))
            await self.works()

    async def called_back(self, secret: str) -> None:
        middle = f"/{INSTANCE}" if self.platform == "mastodon" else ""
        address = f"{self.rig.url}/api/auth/{self.platform}{middle}/callback"
        for name in PARAMETERS:
            spoiled = {"state": (await self.consented())["state"], "error_description": secret, name: secret}
            async with self.rig.http.get(address, params=spoiled, headers={"Accept": "text/html"}) as response:
                assert response.status == 400
                self.pages.append(await response.text())

    async def registered(self, secret: str) -> None:
        for status, body in echoes(secret)[:4]:
            await self.rig.raw("DELETE FROM oauth_clients")
            await self.answers(secret, status, body)
            answered, found = await self.rig.api("GET", "/api/auth/mastodon", params={"instance": INSTANCE})
            assert answered >= 400
            self.pages.append(str(found))
            await self.works()

    async def disconnected(self, secret: str) -> None:
        """Twice in vain, then for good."""
        status, body = echoes(secret)[-1]
        await self.answers(secret, status, body)
        self.pages.append(str(await self.rig.api("DELETE", f"/api/connections/{self.id}")))
        self.rig.providers.client.breakers.clear()
        for status, body in echoes(secret)[:1]:
            async with self.rig.http.delete(f"{self.rig.sandbox.url}/_sandbox/faults"):
                pass
            await self.answers(secret, status, body)
            await self.rig.due()
            self.pages.append(await self.rig.refresher.refresh(self.id))

    async def looked_at(self) -> None:
        await self.rig.raw("UPDATE connections SET trouble_since = now() - interval '3 days' WHERE trouble IS NOT NULL")
        await self.rig.refresher._round()
        for path in ("/connections", "/audit", "/api/connections", "/api/notices", "/api/audit"):
            async with self.rig.http.get(self.rig.url + path) as response:
                assert response.status == 200, path
                self.pages.append(await response.text())


pytestmark = pytest.mark.rig(password=PASSWORD, members={"ada@example.org": "owner"})


@pytest.fixture
async def rig(rig: Rig) -> Rig:
    form = {"email": "ada@example.org", "password": PASSWORD}
    async with rig.http.post(f"{rig.url}/login", data=form) as response:
        assert response.status == 200
    return rig


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_no_secret_that_a_platform_sends_back_in_an_error_is_kept_logged_or_shown(
    rig: Rig, platform: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = CapturingLogger()
    for module in (rate_limits, authorization, platform_client, disconnect, refresh, routing):
        monkeypatch.setattr(module, "log", log)
    id_, *others = await rig.connect(platform)
    await rig.raw("DELETE FROM connections WHERE id = ANY($1::uuid[])", others)
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        held = await connection_store.secrets(connection, Vault(LocalRing(KEYS)), DEFAULT_TENANT, id_)
    talk = Conversation(rig, platform, id_, held)
    secrets = await talk.secrets()
    for secret in secrets:
        await talk.refreshed_and_checked(secret)
        await talk.connected(secret)
        await talk.called_back(secret)
    if platform == "mastodon":
        await talk.registered(secrets[0])
    await talk.looked_at()
    await talk.disconnected(secrets[0])
    await talk.looked_at()
    captured = capfd.readouterr()
    places = {"pages": "\n".join(talk.pages), "metrics": generate_latest().decode()}
    places |= {"log": str(log.calls), "output": captured.out + captured.err} | await tables(rig.connection)
    assert shown([*talk.canaries, *secrets_of(rig.server)], places) == []
    assert {"oauth.failed", "refresh.failed"} <= {call.args[0] for call in log.calls}
    codes = {json.loads(row["detail"]).get("code") for row in await rig.raw("SELECT detail FROM audit_log")}
    assert "unknown" in codes, "an error was noted, and its word was not"
