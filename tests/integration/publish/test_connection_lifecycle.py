"""One contract over all platforms, against the sandbox: connect, deny, untick, replay, swap, refresh, revoke.

Rows G1, G5, G6 and G7 of ``faults.md``.
"""

import asyncio
import base64
import hashlib
import json
import re
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest
from prometheus_client import REGISTRY

from ops.access import api_keys, maintenance_store
from ops.cli import wiring
from ops.cli.composition import assembled
from ops.runtime import http
from ops.runtime.circuit_breaker import FAILURES, MOST, OPEN_SECONDS
from ops.runtime.http import Client
from ops.runtime.platform_protocol import PlatformError, Request, Steps
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from ops.sandbox.client import CommandRejected
from publish.connections import refresh_store
from publish.vault.envelope import LocalRing, Vault
from schema.tenancy import DEFAULT_TENANT
from sync.projection.worker import Projector
from tests.rig import INSTANCE, KEYS, LONG, PLATFORMS, PROVIDERS, ROTATING, TESTS, UNTICKED, Rig, outcome_of
from tests.support import append_event, eventually


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_account_is_connected_with_what_was_granted_and_only_ciphertext_is_kept(rig: Rig, platform: str) -> None:
    ids = await rig.connect(platform)
    found = await rig.shown(ids[0])
    assert (found["platform"], found["state"]) == (platform, "active")
    assert set(PROVIDERS[platform].needed) <= set(found["scopes"])
    sealed = await rig.raw("SELECT sealed FROM connection_secrets")
    assert sealed
    simulated = rig.server.simulation.platforms[platform]
    kept = [getattr(simulated, name, None) for name in ("tokens", "access", "refresh", "refreshes")]
    held = [secret for tokens in kept if isinstance(tokens, dict) for secret in tokens]
    assert held
    for table in ("connection_secrets", "connections", "oauth_states", "oauth_clients", "audit_log", "api_keys"):
        everything = str(await rig.raw(f"SELECT * FROM {table}"))
        assert not [secret for secret in (*held, rig.key) if secret in everything], table
    actions = [row["action"] for row in await rig.raw("SELECT action FROM audit_log ORDER BY id")]
    assert actions == ["key.created", "key.used", *["connection.connected"] * len(ids)]


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_person_may_refuse_and_nothing_is_stored(rig: Rig, platform: str) -> None:
    outcome = await rig.back(platform, await rig.consented(platform, decision="deny"))
    assert (outcome["ok"], outcome["kind"]) == (False, "denied")
    assert (outcome["error"]["code"], outcome["error"]["retryable"]) == ("access_denied", False)
    assert (await rig.api("GET", "/api/connections"))[1] == {"connections": []}
    assert await rig.raw("SELECT 1 FROM connection_secrets") == []


@pytest.mark.parametrize(("platform", "scope"), UNTICKED.items())
async def test_grant_that_cannot_do_the_job_is_refused_with_what_to_tick(rig: Rig, platform: str, scope: str) -> None:
    outcome = await rig.back(platform, await rig.consented(platform, untick=scope))
    assert (outcome["ok"], outcome["kind"]) == (False, "lacking"), outcome
    assert outcome["error"]["code"] == "invalid_scope"
    assert scope in outcome["says"]
    assert await rig.raw("SELECT 1 FROM connections") == []


async def test_token_of_linkedin_that_is_no_members_own_is_refused(rig: Rig) -> None:
    """One of two legs is the application's, and could post for nobody (``linkedin.md`` 1)."""
    said = {"active": True, "status": "active", "scope": "openid,profile,w_member_social"}
    for auth_type, kind in (("2L", "lacking"), ("Enterprise_User", "lacking"), ("3L", None)):
        fault = {"endpoint": "POST /oauth/v2/introspectToken", "status": 200, "body": said | {"auth_type": auth_type}}
        await rig.sandbox.command("faults", platform="linkedin", **fault)
        outcome = await rig.back("linkedin", await rig.consented("linkedin"))
        assert (outcome["ok"], outcome.get("kind")) == (kind is None, kind), outcome
        assert len(await rig.raw("SELECT 1 FROM connections")) == (kind is None), auth_type


async def test_account_of_instagram_that_is_no_professional_one_is_refused_with_what_to_do(rig: Rig) -> None:
    """It has an id of this application only, and none that a webhook names (``meta.md`` 7.1)."""
    personal = {"id": "990011", "username": "shop", "name": "Shop", "account_type": "PERSONAL"}
    for body in (personal, personal | {"user_id": ""}, {"data": [personal]}):
        await rig.sandbox.command("faults", platform="instagram", endpoint="GET /v25.0/me", status=200, body=body)
        outcome = await rig.back("instagram", await rig.consented("instagram"))
        assert (outcome["ok"], outcome["kind"]) == (False, "lacking"), outcome
        assert "business or creator account" in outcome["says"]
    assert await rig.raw("SELECT 1 FROM connections") == await rig.raw("SELECT 1 FROM connection_secrets") == []
    assert await rig.connect("instagram"), "and a professional one is connected"


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_second_callback_sees_the_first_ones_result_and_the_code_is_spent_once(rig: Rig, platform: str) -> None:
    query = await rig.consented(platform)
    outcomes = await asyncio.gather(*(rig.back(platform, query) for _ in range(4)))
    assert all(outcome == outcomes[0] for outcome in outcomes)
    assert outcomes[0]["ok"] or outcomes[0]["kind"] == "choose"
    assert await rig.back(platform, query) == outcomes[0]
    calls = [c["path"] for c in await rig.sandbox.ledger("call", platform=platform) if "token" in c["path"].lower()]
    exchanges = [path for path in calls if re.search(r"oauth/(access_)?token|oauth2/token|accessToken", path)]
    assert len(exchanges) == (2 if platform == "facebook" else 1), "one code, and Facebook's long token"


async def test_state_of_another_platform_browser_or_time_is_refused_and_nothing_is_stored(rig: Rig) -> None:
    query = await rig.consented("x")
    mixed = await rig.back("tiktok", query)
    assert "another platform" in mixed["says"]
    async with aiohttp.ClientSession() as stranger:
        assert "another browser" in (await rig.back("x", query, stranger))["says"]
    assert "not a link of ours" in (await rig.back("x", query | {"state": "made up"}))["says"]
    await rig.raw("UPDATE oauth_states SET expires_at = now() - interval '1 second'")
    assert "took too long" in (await rig.back("x", query))["says"]
    assert await rig.raw("SELECT 1 FROM connections") == []
    assert [call["path"] for call in await rig.sandbox.ledger("call", platform="x") if "token" in call["path"]] == []


async def test_answer_of_another_instance_of_the_platform_is_refused_and_its_code_is_sent_nowhere(rig: Rig) -> None:
    query = await rig.consented("mastodon")
    address = f"{rig.url}/api/auth/mastodon/elsewhere.example/callback"
    async with rig.http.get(address, params=query, headers={"Accept": "application/json"}) as response:
        assert "another platform" in outcome_of(await response.json())["says"]
    assert await rig.raw("SELECT 1 FROM connections") == []
    assert await rig.sandbox.ledger("token", platform="mastodon", account="shop") == []
    assert (await rig.back("mastodon", query))["ok"], "where it belongs it is taken"


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_code_is_of_no_use_without_the_verifier_that_its_flow_was_begun_with(rig: Rig, platform: str) -> None:
    """RFC 7636: a code that is taken from one browser and brought back by another was not begun by it."""
    address, _, asked = (await rig.started(platform)).partition("?")
    query = dict(parse_qsl(asked))
    begun = {name: query.pop(name) for name in ("code_challenge", "code_challenge_method") if name in query}
    assert begun.get("code_challenge_method") == ("S256" if PROVIDERS[platform].oauth.pkce else None)
    digest = hashlib.sha256(b"the verifier of another flow").digest()
    other = {"code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="), "code_challenge_method": "S256"}
    account = {"facebook": "alice"}.get(platform, "shop")
    found = await rig.sandbox.consent(f"{address}?{urlencode(query | other)}", account=account)
    assert isinstance(found, dict), found
    outcome = await rig.back(platform, found)
    assert (outcome["ok"], outcome["kind"]) == (False, "wrong"), outcome
    assert await rig.raw("SELECT 1 FROM connections") == []
    assert await rig.sandbox.ledger("token", platform=platform, account=account) == []


@pytest.mark.parametrize("platform", sorted(set(PLATFORMS) - {"mastodon"}))
async def test_address_that_the_platform_does_not_know_is_where_nobody_is_sent(rig: Rig, platform: str) -> None:
    rig.server.simulation.platforms[platform].redirect_uris.clear()
    with pytest.raises(CommandRejected):
        await rig.consented(platform)
    assert await rig.raw("SELECT 1 FROM connections") == []
    rig.server.simulation.platforms[platform].redirect_uris.add(rig.providers.redirect_uri(platform, ""))
    assert await rig.connect(platform)


async def test_instance_that_forgot_us_is_registered_with_anew(rig: Rig) -> None:
    await rig.connect("mastodon")
    apps = rig.server.simulation.platforms["mastodon"].apps  # type: ignore[attr-defined]
    first = set(apps)
    await rig.connect("mastodon")
    assert set(apps) == first, "one application for an instance, however often"
    apps.clear()
    assert await rig.connect("mastodon")
    assert len(apps) == 1
    await rig.raw("UPDATE oauth_clients SET scopes = '{read:accounts}'")
    assert await rig.connect("mastodon")
    assert len(apps) == 2, "a release that asks for more registers for more"


async def test_invalid_requests_are_refused_before_any_browser_sees_them(rig: Rig) -> None:
    for path, query, status, said in (
        ("/api/auth/myspace", {}, 400, "known are facebook"),
        ("/api/auth/x", {"return_to": "https://evil.example/"}, 400, "return_to must be one of"),
        ("/api/auth/x", {"return_to": "//evil.example"}, 400, "return_to must be one of"),
        ("/api/auth/mastodon", {"instance": "evil.example/path"}, 400, "Name the server by its host"),
        ("/api/auth/mastodon", {"instance": "user@evil.example"}, 400, "Name the server by its host"),
        ("/api/auth/mastodon", {"instance": ""}, 400, "Name the server by its host"),
    ):
        found, answer = await rig.api("GET", path, params=query)
        assert (found, answer["error"]["retryable"]) == (status, False), answer
        assert said in answer["error"]["message"]
        assert answer["error"]["details"]["remedy"]
    status, answer = await rig.api("GET", "/api/connections", headers={"Authorization": "Bearer lf_wrong"})
    assert (status, answer["error"]["code"]) == (401, "unauthorized")
    reader = await api_keys.create(rig.pool, DEFAULT_TENANT, "reader", ["connections:read"], TESTS)
    status, answer = await rig.api("GET", "/api/auth/x", headers={"Authorization": f"Bearer {reader}"})
    assert (status, answer["error"]["code"]) == (403, "forbidden")
    assert await api_keys.revoke(rig.pool, DEFAULT_TENANT, "reader", TESTS)
    status, _ = await rig.api("GET", "/api/connections", headers={"Authorization": f"Bearer {reader}"})
    assert status == 401


@pytest.mark.parametrize(
    ("instance", "said"),
    [
        ("nobody.invalid", "no server on the internet has this name"),
        (
            "127.0.0.1",
            "no server on the internet has this name",
        ),  # by its letters it is a host name; the connector is what refuses it
        ("127.1", "it is no address"),
        ("0x7f.1", "no server on the internet has this name"),
        ("169.254.169.254", "no server on the internet has this name"),
    ],
)
async def test_instance_that_is_nowhere_or_inside_is_not_asked_and_said_so(rig: Rig, instance: str, said: str) -> None:
    flows = assembled(rig.pool, Vault(LocalRing(KEYS)), replace(rig.providers, variables={})).flows
    with pytest.raises(PlatformError, match=said) as refused:
        await flows.start("mastodon", instance, DEFAULT_TENANT, TESTS, "/")
    assert (refused.value.kind, refused.value.code) == ("transient", "unreachable")
    assert await rig.raw("SELECT 1 FROM oauth_states") == []


async def test_platform_that_is_not_configured_says_which_variables_are_missing(rig: Rig) -> None:
    bare = assembled(rig.pool, Vault(LocalRing(KEYS)), replace(rig.providers, variables={}))
    with pytest.raises(PlatformError, match="X_CLIENT_ID and X_CLIENT_SECRET is not set"):
        await bare.flows.start("x", "", DEFAULT_TENANT, TESTS, "/")


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_reconnecting_finds_the_same_account(rig: Rig, platform: str) -> None:
    first = await rig.connect(platform)
    await rig.raw("UPDATE connections SET state = 'needs_reconnect', reason = 'a test'")
    assert await rig.connect(platform) == first
    found = await rig.shown(first[0])
    assert (found["state"], found["reason"]) == ("active", None)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_twenty_who_want_one_refresh_make_one_call(rig: Rig, platform: str) -> None:
    ids = await rig.connect(platform)
    await rig.sandbox.command("clock", jump=86_400 + 1 if platform in LONG else 60)
    before = len(await rig.sandbox.ledger("call", platform=platform))
    await rig.due()
    outcomes = await asyncio.gather(*(rig.refresher.refresh(ids[0]) for _ in range(20)))
    done = "refreshed" if platform in LONG | ROTATING else "checked"
    assert sorted(outcomes) == sorted(["leased"] * 19 + [done])
    assert len(await rig.sandbox.ledger("call", platform=platform)) == before + 1
    assert (await rig.shown(ids[0]))["state"] == "active"


async def seconds_until(rig: Rig, column: str = "refresh_due_at") -> float:
    [row] = await rig.raw(f"SELECT extract(epoch FROM {column} - now())::float8 AS s FROM connections")
    return float(row["s"])


def spread(seconds: list[float]) -> float:
    return max(seconds) - min(seconds)


async def test_accounts_that_were_connected_or_refreshed_together_are_not_due_together(rig: Rig) -> None:
    """Chance takes up to a tenth off: eight within a fiftieth of that are next to impossible."""
    whole = 7200 * 0.7
    connected, refreshed = [], []
    for _ in range(8):
        [id_] = await rig.connect("x")
        connected.append(await seconds_until(rig))
        await rig.due()
        assert await rig.refresher.refresh(id_) == "refreshed"
        refreshed.append(await seconds_until(rig))
    for found in (connected, refreshed):
        assert 0.9 * whole - 5 < min(found) <= max(found) <= whole
        assert spread(found) > 0.1 * whole / 50, found


async def test_accounts_that_failed_together_are_not_tried_again_together(rig: Rig) -> None:
    """Chance takes up to a fifth off our own pauses, and adds up to a tenth to the time that a platform names."""
    [id_] = await rig.connect("x")
    await rig.sandbox.command("faults", platform="x", endpoint="POST *token", times=0, status=500)
    own = []
    for _ in range(8):
        await rig.raw("UPDATE connections SET refresh_due_at = now(), refresh_failures = 4")
        rig.providers.client.breakers.clear()
        assert await rig.refresher.refresh(id_) == "failed"
        own.append(await seconds_until(rig))
    assert 0.8 * 1800 - 5 < min(own) <= max(own) <= 1800
    assert spread(own) > 0.2 * 1800 / 50, own

    async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
        pass
    wait = {"status": 429, "headers": {"Retry-After": "3000"}}
    await rig.sandbox.command("faults", platform="x", endpoint="POST *token", times=0, **wait)
    named, held = [], []
    for _ in range(8):
        await rig.raw("DELETE FROM platform_budgets")
        for outcome, found in (("failed", named), ("held", held)):
            await rig.raw("UPDATE connections SET refresh_due_at = now(), refresh_failures = 0")
            assert await rig.refresher.refresh(id_) == outcome
            found.append(await seconds_until(rig))
    for found in (named, held):
        assert 3000 - 5 < min(found) <= max(found) <= 1.1 * 3000, "never before the platform's own time"
        assert spread(found) > 0.1 * 3000 / 50, found


TOKEN_OF_X, ACCOUNT_OF_MASTODON = "POST /2/oauth2/token", "GET /api/v1/accounts/verify_credentials"
NEW_TOKENS = {"access_token": "late", "refresh_token": "late", "token_type": "bearer", "expires_in": 7200}
LATE = {
    "keeps what came": ("x", {"endpoint": TOKEN_OF_X, "status": 200, "body": NEW_TOKENS}, "superseded"),
    "is told that it is over": ("x", {"endpoint": TOKEN_OF_X, "status": 400, "body": {"error": "invalid_grant"}},
        "superseded"),
    "meets trouble": ("x", {"endpoint": TOKEN_OF_X, "status": 500}, "failed"),
    "is told that all is well": ("mastodon", {"endpoint": ACCOUNT_OF_MASTODON, "effect": True}, "superseded"),
}  # fmt: skip


async def kept(rig: Rig) -> list[Any]:
    """Whatever says how an account stands, and what there is to act with."""
    return [await rig.raw(f"SELECT * FROM {name}") for name in ("connections", "connection_secrets", "notices")]


@pytest.mark.parametrize("newer", ["person", "refresher"])
@pytest.mark.parametrize("late", LATE)
async def test_refresher_that_wakes_late_changes_nothing_of_what_is_newer(rig: Rig, late: str, newer: str) -> None:
    platform, fault, outcome = LATE[late]
    [id_] = await rig.connect(platform)
    await rig.raw(
        "UPDATE connections SET refresh_due_at = CASE WHEN refresh_due_at IS NOT NULL THEN now() END,"
        " check_due_at = CASE WHEN check_due_at IS NOT NULL THEN now() END"
    )
    await rig.sandbox.command("faults", platform=platform, delay_seconds=1.5, **fault)
    asleep = asyncio.create_task(rig.refresher.refresh(id_))

    async def asked() -> bool:
        return rig.server.simulation.faults._seen == [1]

    await eventually(asked)
    if newer == "person":
        assert await rig.connect(platform) == [id_]
    else:
        await rig.raw("UPDATE connections SET lease_until = now() - interval '1 second'")
        assert await rig.refresher.refresh(id_) in ("refreshed", "checked")
    before = await kept(rig)
    assert not asleep.done()
    assert await asleep == outcome
    assert await kept(rig) == before
    assert (await rig.shown(id_))["state"] == "active"


async def test_refresher_that_wakes_late_puts_nothing_off_that_is_newer(rig: Rig) -> None:
    [id_] = await rig.connect("x")
    await rig.due()
    async with tenant_transaction(rig.pool, ALL_TENANTS) as connection:
        late = await refresh_store.lease(connection, id_, 0)
    assert late is not None
    assert await rig.connect("x") == [id_]
    before = await kept(rig)
    async with tenant_transaction(rig.pool, ALL_TENANTS) as connection:
        await refresh_store.defer(connection, late, 5.0)
    assert await kept(rig) == before


@pytest.mark.parametrize("platform", sorted(ROTATING))
async def test_rotated_tokens_are_kept_and_work_again(rig: Rig, platform: str) -> None:
    ids = await rig.connect(platform)
    for _ in range(3):
        await rig.due()
        assert await rig.refresher.refresh(ids[0]) == "refreshed"
    states = [entry["state"] for entry in await rig.sandbox.ledger("token", platform=platform, use="refresh")]
    assert states == ["rotated"] * 3 + ["live"]


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_revoked_account_needs_a_person_at_once_and_is_said_to_once(rig: Rig, platform: str) -> None:
    ids = await rig.connect(platform)
    account = {"facebook": "alice"}.get(platform, "shop")
    await rig.sandbox.command("act", platform=platform, what="revoke", account=account)
    await rig.sandbox.command("clock", jump=86_400 + 1)
    for _ in range(3):
        await rig.due()
        await rig.refresher.refresh(ids[0])
    found = await rig.shown(ids[0])
    assert found["state"] == "needs_reconnect"
    assert "connect the account again" in found["reason"]
    notices = await rig.raw(
        "SELECT 1 FROM audit_log WHERE action = 'connection.needs_reconnect' AND subject = $1", ids[0]
    )
    assert len(notices) == 1
    assert await rig.connect(platform) == ids


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 503, "spoil": "html"},
        {"drop": True},
        {"truncate": 10},
        {"status": 200, "headers": {"Content-Type": "image/png"}, "body": "no object"},
        {"status": 200, "body": {"surprise": True}},
    ],
)
@pytest.mark.parametrize("platform", ["instagram", "tiktok", "x"])
async def test_trouble_disconnects_nobody_and_waits_longer_each_time(
    rig: Rig, platform: str, fault: dict[str, Any]
) -> None:
    ids = await rig.connect(platform)
    await rig.sandbox.command("clock", jump=86_400 + 1 if platform in LONG else 60)
    await rig.sandbox.command("faults", platform=platform, times=0, **fault)
    pauses = []
    for _ in range(3):
        await rig.due()
        assert await rig.refresher.refresh(ids[0]) == "failed"
        [row] = await rig.raw("SELECT extract(epoch FROM refresh_due_at - now())::float8 AS s FROM connections")
        pauses.append(row["s"])
    assert pauses == sorted(pauses)
    assert max(pauses) <= 1800
    assert (await rig.shown(ids[0]))["state"] == "active"
    async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
        pass
    rig.providers.client.breakers.clear()  # it rests for half a minute otherwise
    await rig.due()
    assert await rig.refresher.refresh(ids[0]) == "refreshed"


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("body", [{"data": []}, {"data": 1, "error": []}, {"error": "x"}, {"data": {"error": "x"}}])
async def test_answer_of_no_documented_shape_is_trouble_and_no_surprise(
    rig: Rig, platform: str, body: dict[str, Any]
) -> None:
    ids = await rig.connect(platform)
    query = await rig.consented(platform)
    await rig.sandbox.command("faults", platform=platform, times=0, status=200, body=body)
    outcome = await rig.back(platform, query)
    # A word for an error refuses the code, whatever the status; anything else may yet be well another time.
    refused = body.get("error") == "x"
    assert (outcome["ok"], outcome["kind"]) == (False, "wrong" if refused else "transient"), outcome
    await rig.due()
    assert await rig.refresher.refresh(ids[0]) == "failed", "and no word that no page lists ends a grant"
    await rig.raw("UPDATE connections SET check_due_at = now(), refresh_due_at = NULL, state = 'active', reason = NULL")
    if PROVIDERS[platform].check is not None:
        assert await rig.refresher.refresh(ids[0]) == "failed", "what says nothing of the account proves nothing"
    assert (await rig.shown(ids[0]))["state"] == "active"


async def test_platform_that_only_fails_is_given_a_rest_and_the_others_are_not(rig: Rig) -> None:
    [tiktok], [x] = await rig.connect("tiktok"), await rig.connect("x")
    await rig.sandbox.command("faults", platform="tiktok", times=0, status=503)
    for _ in range(FAILURES + 3):
        await rig.due()
        assert await rig.refresher.refresh(tiktok) == "failed"
    calls = await rig.sandbox.ledger("call", platform="tiktok")
    assert sum(call["fault"] is not None for call in calls) == FAILURES
    assert await rig.refresher.refresh(x) == "refreshed"
    rig.providers.client.breakers["tiktok", ""].failed_at -= OPEN_SECONDS
    async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
        pass
    await rig.due()
    assert await rig.refresher.refresh(tiktok) == "refreshed"


@pytest.mark.parametrize(
    ("bound", "value", "fault"),
    [("TOTAL_SECONDS", 0.3, {"spoil": "hang"}), ("ANSWER_BYTES", 1000, {"status": 200, "body": "x" * 1001})],
)
async def test_answer_that_does_not_end_is_given_up_and_disconnects_nobody(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, bound: str, value: float, fault: dict[str, Any]
) -> None:
    [id_] = await rig.connect("tiktok")
    await rig.sandbox.command("faults", platform="tiktok", times=0, **fault)
    await rig.due()
    monkeypatch.setattr(http, bound, value)
    async with Client(frozenset({rig.sandbox.url.removeprefix("http://")})) as client:
        refresher = assembled(rig.pool, Vault(LocalRing(KEYS)), replace(rig.providers, client=client)).refresher
        assert await refresher.refresh(id_) == "failed"
    found = await rig.shown(id_)
    assert (found["state"], found["refresh_failures"]) == ("active", 1)


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_only_a_code_that_its_page_lists_ends_a_grant_whatever_a_platforms_file_makes_of_an_answer(
    rig: Rig, platform: str
) -> None:
    def steps(code: str) -> Steps[None]:
        yield from ()
        raise PlatformError("grant", "It is over.", code, 7.0)

    whose = {"platform": platform, "instance": INSTANCE if platform == "mastodon" else ""}
    for code, kind in (
        (next(iter(PROVIDERS[platform].ended_by)), "grant"),
        ("surprise", "transient"),
        ("", "transient"),
    ):
        with pytest.raises(PlatformError) as found:
            await rig.providers.client.run(steps(code), **whose)
        assert (found.value.kind, found.value.code, found.value.after_seconds) == (kind, code, 7.0)


async def test_one_dead_instance_rests_and_the_others_do_not_notice(rig: Rig) -> None:
    def asked(status: int) -> Steps[int]:
        return (yield Request("GET", f"{rig.sandbox.url}/mastodon/api/{status}")).status

    await rig.sandbox.command("faults", platform="mastodon", endpoint="GET /api/503", times=0, status=503)
    for _ in range(FAILURES):
        assert await rig.providers.client.run(asked(503), platform="mastodon", instance="dead.example") == 503
    with pytest.raises(PlatformError, match="given a rest"):
        await rig.providers.client.run(asked(404), platform="mastodon", instance="dead.example")
    for _ in range(2 * FAILURES):  # a refusal is no trouble
        assert await rig.providers.client.run(asked(404), platform="mastodon", instance="alive.example") == 404


async def test_naming_thousands_of_servers_grows_nothing_and_closes_no_breaker_of_one_in_use(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(url: str) -> Steps[int]:
        return (yield Request("POST", url)).status

    async def name(number: int) -> None:
        steps = asked(f"http://127.0.0.1:1/{number}")
        with pytest.raises(PlatformError, match="no server on the internet"):
            await rig.providers.client.run(steps, platform="mastodon", instance=f"n{number}.example")

    def series() -> int:
        return sum(len(list(metric.samples)) for metric in REGISTRY.collect())

    monkeypatch.setattr(http, "NO_SERVER_SECONDS", 0)
    await rig.sandbox.command("faults", platform="mastodon", endpoint="POST /api/503", times=0, status=503)
    broken = f"{rig.sandbox.url}/mastodon/api/503"
    for _ in range(FAILURES):
        await rig.providers.client.run(asked(broken), platform="mastodon", instance="used.example", account="1")
    before = series()
    for start in range(0, 2 * MOST, 50):
        await asyncio.gather(*(name(number) for number in range(start, start + 50)))
    assert len(rig.providers.client.breakers) <= MOST
    assert series() == before
    with pytest.raises(PlatformError, match="given a rest"):
        await rig.providers.client.run(asked(broken), platform="mastodon", instance="used.example", account="1")


async def test_when_the_rest_is_over_one_tries_for_all(rig: Rig) -> None:
    url = f"{rig.sandbox.url}/tiktok/v2/trial"

    def asked() -> Steps[int]:
        return (yield Request("POST", url)).status

    async def tried() -> Any:
        try:
            return await rig.providers.client.run(asked(), platform="tiktok", instance="")
        except PlatformError as problem:
            return problem.code

    with rig.providers.client.breakers.asking("tiktok", "", in_use=True) as breaker:
        for _ in range(FAILURES):
            breaker.note(failed=True)
    assert await tried() == "breaker"
    # The one who tries is stopped: the next may.
    breaker.failed_at -= OPEN_SECONDS
    await rig.sandbox.command("faults", platform="tiktok", times=2, delay_seconds=0.5, status=503)
    stopped = asyncio.create_task(tried())
    await asyncio.sleep(0.1)
    assert await tried() == "breaker", "somebody is at it"
    stopped.cancel()
    await asyncio.wait([stopped])
    outcomes = await asyncio.gather(*(tried() for _ in range(5)))
    assert sorted(map(str, outcomes)) == ["503", *["breaker"] * 4]
    assert await tried() == "breaker", "it failed, so the rest begins anew"
    breaker.failed_at -= OPEN_SECONDS
    await rig.sandbox.command("faults", platform="tiktok", delay_seconds=0.5, effect=True)
    outcomes = await asyncio.gather(*(tried() for _ in range(5)))
    assert sorted(map(str, outcomes)) == ["404", *["breaker"] * 4]
    assert await asyncio.gather(*(tried() for _ in range(5))) == [404] * 5
    assert len(await rig.sandbox.ledger("call", platform="tiktok")) == 8


@pytest.mark.parametrize(
    ("reason", "said"),
    [(0, "You removed the application"), (1, "You removed the application"), (2, "was deleted"), (3, "age of"),
     (4, "was banned"), (5, "ended its own access"), (77, "You removed the application")],
)  # fmt: skip
async def test_removal_in_the_log_ends_the_grant_and_not_a_newer_one(rig: Rig, reason: int, said: str) -> None:
    [id_] = await rig.connect("tiktok")
    account = (await rig.shown(id_))["account_id"]
    [row] = await rig.raw("SELECT date_trunc('second', authorized_at) AS second FROM connections")
    projector = Projector(rig.pool, wiring.projections(), tries=1)
    # The platform's clock counts in seconds: what it dates to the very second of the grant may be later than that.
    for number, at in enumerate((row["second"] - timedelta(seconds=1), row["second"])):
        await append_event(
            rig.connection,
            account,
            f"e{number}",
            provider="tiktok",
            type="authorization.removed",
            payload={"content": json.dumps({"reason": reason})},
            occurred_at=at,
        )
        await projector.drain()
        await rig.refresher._round()
        assert (await rig.shown(id_))["state"] == ("active", "needs_reconnect")[number]
    assert said in (await rig.shown(id_))["reason"]


async def test_answer_without_a_refresh_token_keeps_the_old_one_and_lives_are_taken_as_given(rig: Rig) -> None:
    [id_] = await rig.connect("x")
    held = await rig.raw("SELECT sealed FROM connection_secrets WHERE field = 'refresh_token'")
    body = {"token_type": "bearer", "access_token": "another", "expires_in": 999}
    await rig.sandbox.command("faults", platform="x", endpoint="POST /2/oauth2/token", status=200, body=body)
    await rig.due()
    assert await rig.refresher.refresh(id_) == "refreshed"
    assert await rig.raw("SELECT sealed FROM connection_secrets WHERE field = 'refresh_token'") == held
    [row] = await rig.raw("SELECT extract(epoch FROM access_expires_at - now())::float8 AS s FROM connections")
    assert 990 < row["s"] <= 999


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_disconnecting_revokes_there_forgets_the_secrets_here_and_keeps_the_row(rig: Rig, platform: str) -> None:
    ids = await rig.connect(platform)
    for id_ in ids:
        assert await rig.api("DELETE", f"/api/connections/{id_}") == (200, {"disconnected": True, "revoked": True})
    found = await rig.shown(ids[0])
    assert found["state"] == "disconnected"
    assert await rig.raw("SELECT 1 FROM connection_secrets WHERE connection_id = $1::uuid", ids[0]) == []
    assert (await rig.api("DELETE", f"/api/connections/{ids[0]}"))[0] == 404
    if platform != "threads":  # which has no address for it (meta.md 7.3)
        states = {entry["state"] for entry in await rig.sandbox.ledger("token", platform=platform)}
        assert "live" not in states, "no token of it is good for anything"


async def test_what_has_had_its_time_is_dropped(rig: Rig) -> None:
    await rig.started("x")
    await rig.started("tiktok")
    await rig.raw("UPDATE oauth_states SET expires_at = now() - interval '25 hours' WHERE platform = 'x'")
    await rig.connection.execute(
        "INSERT INTO login_failures (who_sha256, failed_at) VALUES ('a', now() - interval '25 hours'), ('b', now())"
    )
    await rig.refresher._round()
    async with tenant_transaction(rig.pool, ALL_TENANTS) as connection:
        await maintenance_store.delete_expired(connection)
    assert [row["platform"] for row in await rig.raw("SELECT platform FROM oauth_states")] == ["tiktok"]
    assert [row["who_sha256"] for row in await rig.connection.fetch("SELECT * FROM login_failures")] == [b"b"]


async def test_sweep_refreshes_what_is_due_by_itself(rig: Rig) -> None:
    ids = [id_ for platform in ("tiktok", "x", "mastodon") for id_ in await rig.connect(platform)]
    await rig.due()
    stop = asyncio.Event()
    sweeping = asyncio.create_task(rig.refresher.sweep(stop))

    async def done() -> bool:
        rows = await rig.raw("SELECT 1 FROM connections WHERE refresh_due_at <= now()")
        return not rows

    await eventually(done, 10)
    stop.set()
    await sweeping
    assert {(await rig.shown(id_))["state"] for id_ in ids} == {"active"}


@pytest.mark.parametrize("platform", ["facebook", "instagram", "threads"])
async def test_deauthorize_callback_ends_the_grant_and_not_a_newer_one(rig: Rig, platform: str) -> None:
    ids = await rig.connect(platform)
    address = f"{rig.url}/api/auth/{platform}/deauthorize"
    await rig.sandbox.command("webhooks", platform=platform, stream="deauthorize", url=address)
    account = {"facebook": "alice"}.get(platform, "shop")
    await rig.sandbox.command("act", platform=platform, what="revoke", account=account)

    async def told() -> bool:
        return (await rig.shown(ids[0]))["state"] == "needs_reconnect"

    await eventually(told, 5)
    assert "You removed the application" in (await rig.shown(ids[0]))["reason"]
    [delivery] = await rig.sandbox.ledger("webhook", platform=platform)
    assert (delivery["status"], "ended" in delivery["answer"]) == (200, True)
    await asyncio.sleep(2.1)  # its time is told in seconds
    assert await rig.connect(platform) == ids
    async with rig.http.post(
        address, data=delivery["body"], headers={"Content-Type": "application/x-www-form-urlencoded"}
    ) as response:
        assert (response.status, await response.json()) == (200, {"ended": 0}), "late, and of an older grant"
    assert (await rig.shown(ids[0]))["state"] == "active"
    for wrong in (delivery["body"][:-3] + "AAA", "signed_request=x.y", "signed_request=", "else=1"):
        async with rig.http.post(
            address, data=wrong, headers={"Content-Type": "application/x-www-form-urlencoded"}
        ) as response:
            assert (response.status, (await response.json())["error"]["code"]) == (401, "invalid_signature")
