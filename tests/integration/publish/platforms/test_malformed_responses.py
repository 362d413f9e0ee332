"""Answers of platforms in another shape, with another error, or with text that no database takes: on every platform."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import pytest
from structlog.testing import CapturingLogger

from ops.runtime.platform_protocol import PlatformError, Request, Steps
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from ops.sandbox import server as sandbox_server
from ops.sandbox.contract import Answer
from publish.connections import connection_store
from publish.oauth import authorization
from publish.oauth.authorization import NOT_TAKEN, AuthorizationFlows
from tests.rig import INSTANCE, LONG, PLATFORMS, PROVIDERS, ROTATING, Rig

ABSENT = object()
ISSUING = {"instagram": "_long", "linkedin": "_issue", "threads": "_long", "tiktok": "_issue", "x": "_issue"}
"""Which method of a simulated platform makes the answer with the token that is kept."""

ENDING = sorted(ISSUING)
REFRESHING = sorted(LONG | ROTATING)
WITHOUT_LIFE = [ABSENT, None, "", "soon", 1_790_000_000_000, -1, 0, float("inf"), float("nan"), [7200], True]


def issuing(monkeypatch: pytest.MonkeyPatch, rig: Rig, platform: str, **changes: Any) -> None:
    """From now on its token answers differ in these fields."""
    simulated = rig.server.simulation.platforms[platform]
    real: Callable[..., Answer] = getattr(type(simulated), ISSUING[platform])

    def changed(*arguments: Any) -> Answer:
        answer = real(simulated, *arguments)
        content = {name: value for name, value in (answer.content | changes).items() if value is not ABSENT}
        return Answer(answer.status, content, answer.headers)

    monkeypatch.setattr(simulated, ISSUING[platform], changed)


def answering(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], dict[str, Any]], nth: int | None = None
) -> list[str]:
    """Change the answers of all platforms, or the one that is counted so; the list grows by one for each."""
    real, seen = sandbox_server.respond, list[str]()

    def changed(answer: Answer) -> Any:
        if isinstance(answer.content, dict):
            seen.append(str(sorted(answer.content)))
            if nth is None or len(seen) == nth + 1:
                answer = Answer(answer.status, change(answer.content), answer.headers)
        return real(answer)

    monkeypatch.setattr(sandbox_server, "respond", changed)
    return seen


async def life(rig: Rig, id_: str, since: str = "authorized_at") -> float | None:
    [row] = await rig.raw(
        f"SELECT extract(epoch FROM access_expires_at - {since})::float8 AS s FROM connections WHERE id = $1::uuid", id_
    )
    return None if row["s"] is None else float(row["s"])


async def no_faults(rig: Rig) -> None:
    async with rig.http.delete(f"{rig.sandbox.url}/_sandbox/faults"):
        pass


async def back_and_chosen(rig: Rig, platform: str, query: dict[str, str]) -> Any:
    outcome = await rig.back(platform, query)
    if outcome.get("kind") == "choose":
        usable = [item["account"] for item in outcome["choose"] if not item["why_not"]]
        outcome = await rig.chosen(platform, usable)
    return outcome


# --- lives


@pytest.mark.parametrize("platform", ENDING)
async def test_life_as_text_or_float_is_a_life(rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    for given in ("90000", 90_000.0, "90000.0"):
        issuing(monkeypatch, rig, platform, expires_in=given)
        [id_] = await rig.connect(platform)
        assert await life(rig, id_) == 90_000, given
        if platform in REFRESHING:
            await rig.sandbox.command("clock", jump=86_400 + 1 if platform in LONG else 60)
            await rig.due()
            assert await rig.refresher.refresh(id_) == "refreshed"
            assert await life(rig, id_, "checked_at") == 90_000, given
            assert (await rig.shown(id_))["refresh_due_at"] is not None, given


@pytest.mark.parametrize("platform", ENDING)
async def test_life_in_milliseconds_is_the_documented_one(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    documented = PROVIDERS[platform].lifetimes.access
    for given in (documented * 1000, str(documented * 1000), documented * 16):
        issuing(monkeypatch, rig, platform, expires_in=given)
        [id_] = await rig.connect(platform)
        assert await life(rig, id_) == documented, given


@pytest.mark.parametrize("platform", sorted(ROTATING))
async def test_token_in_an_answer_that_is_no_success_is_none(rig: Rig, platform: str) -> None:
    [id_] = await rig.connect(platform)
    held = await rig.raw("SELECT field, sealed FROM connection_secrets ORDER BY field")
    body = {"access_token": "another", "refresh_token": "another", "expires_in": 7200, "open_id": "1"}
    for status in (400, 404):
        await rig.sandbox.command("faults", platform=platform, endpoint="POST *token*", status=status, body=body)
        await rig.due()
        assert await rig.refresher.refresh(id_) == "failed", status
    assert await rig.raw("SELECT field, sealed FROM connection_secrets ORDER BY field") == held
    await rig.due()
    assert await rig.refresher.refresh(id_) == "refreshed"


async def test_x_that_gives_no_refresh_token_has_not_granted_access_without_an_end(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the scopes say: after two hours nobody could act for the account (``x.md`` 1)."""
    for given in (ABSENT, ""):
        issuing(monkeypatch, rig, "x", refresh_token=given)
        outcome = await rig.back("x", await rig.consented("x"))
        assert (outcome["ok"], outcome["kind"]) == (False, "lacking"), outcome
    assert await rig.raw("SELECT 1 FROM connections") == []


@pytest.mark.parametrize("platform", sorted(ROTATING))
async def test_refresh_token_that_is_none_does_not_pass_for_one_that_was_left_out(rig: Rig, platform: str) -> None:
    [id_] = await rig.connect(platform)
    for given in ("a\x00b", 5, ["x"], "  "):
        body = {"access_token": "another", "expires_in": 7200, "refresh_token": given}
        await rig.sandbox.command("faults", platform=platform, times=1, status=200, body=body)
        await rig.due()
        assert await rig.refresher.refresh(id_) == "failed", given


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_token_of_blanks_is_none(rig: Rig, platform: str) -> None:
    query = await rig.consented(platform)
    body = {"access_token": "  ", "expires_in": 7200, "refresh_token": "x", "user_id": "1", "open_id": "1"}
    await rig.sandbox.command("faults", platform=platform, times=1, status=200, body=body)
    outcome = await rig.back(platform, query)
    assert (outcome["ok"], outcome["kind"]) == (False, "transient"), outcome


@pytest.mark.parametrize("platform", ["facebook", "instagram", "threads"])
async def test_refusal_while_connecting_is_not_that_of_an_old_connection(rig: Rig, platform: str) -> None:
    query = await rig.consented(platform)
    body = {"error": {"code": 190, "message": "Invalid OAuth access token."}}
    await rig.sandbox.command("faults", platform=platform, times=1, status=400, body=body)
    outcome = await rig.back(platform, query)
    assert (outcome["ok"], outcome["kind"], outcome["says"]) == (False, "wrong", NOT_TAKEN), outcome


@pytest.mark.parametrize("platform", ENDING)
async def test_life_that_is_absent_or_nonsense_is_the_documented_one(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    documented = PROVIDERS[platform].lifetimes.access
    for given in WITHOUT_LIFE:
        issuing(monkeypatch, rig, platform, expires_in=given)
        [id_] = await rig.connect(platform)
        assert await life(rig, id_) == documented, given
        found = (await rig.api("GET", "/api/connections"))[1]["connections"]
        assert [item["id"] for item in found] == [id_], "the list is shown"
        assert (found[0]["refresh_due_at"] is not None) == (platform in REFRESHING), given
        assert (found[0]["ends_at"] is not None) == (platform not in REFRESHING or platform == "tiktok"), given
        if platform in REFRESHING:
            await rig.sandbox.command("clock", jump=86_400 + 1 if platform in LONG else 60)
            await rig.due()
            assert await rig.refresher.refresh(id_) == "refreshed"
            assert await life(rig, id_, "checked_at") == documented, given
            assert (await rig.shown(id_))["refresh_due_at"] is not None, given


async def test_life_of_what_refreshes_is_the_documented_one_and_begins_anew_only_where_it_is_documented_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.server.simulation.platforms["linkedin"].partner = True  # type: ignore[attr-defined]
    for platform, name, days in (("tiktok", "refresh_expires_in", 180), ("linkedin", "refresh_token_expires_in", 365)):
        issuing(monkeypatch, rig, platform, **{name: "nonsense"})
        [id_] = await rig.connect(platform)
        left = "SELECT refresh_expires_at - now() AS left FROM connections WHERE id = $1::uuid"
        assert timedelta(days=days, minutes=-1) < (await rig.raw(left, id_))[0]["left"] <= timedelta(days=days)
        await rig.raw("UPDATE connections SET refresh_expires_at = now() + interval '5 days'")
        await rig.due()
        assert await rig.refresher.refresh(id_) == "refreshed"
        anew = timedelta(days=180 if platform == "tiktok" else 5)
        assert anew - timedelta(minutes=1) < (await rig.raw(left, id_))[0]["left"] <= anew


async def test_end_of_facebooks_data_access_that_makes_no_sense_is_none(rig: Rig) -> None:
    id_, *_ = await rig.connect("facebook")
    data = {"app_id": rig.server.simulation.platforms["facebook"].application()[0], "type": "PAGE", "is_valid": True}
    for given in (1_790_000_000_000, -1, float("inf"), "1e400", 10**30, "soon", 4_000_000_000):
        body = {"data": data | {"data_access_expires_at": given, "expires_at": 0}}
        fault = {"endpoint": "GET *debug_token", "status": 200, "body": body}
        await rig.sandbox.command("faults", platform="facebook", **fault)
        await rig.due()
        assert await rig.refresher.refresh(id_) == "checked", given
        assert (await rig.shown(id_))["refresh_expires_at"] is None, given


async def test_page_token_that_ends_says_so(rig: Rig) -> None:
    id_, *_ = await rig.connect("facebook")
    for token in rig.server.simulation.platforms["facebook"].tokens.values():  # type: ignore[attr-defined]
        token.expires = rig.server.simulation.clock.in_(seconds=3600)
    await rig.due()
    assert await rig.refresher.refresh(id_) == "checked"
    ends = datetime.fromisoformat((await rig.shown(id_))["ends_at"])
    [row] = await rig.raw("SELECT now() AS now")
    assert timedelta(minutes=59) < ends - row["now"] < timedelta(minutes=61)


async def test_database_refuses_times_that_make_no_sense_and_one_that_is_there_hides_no_other(rig: Rig) -> None:
    ids = [*(await rig.connect("x")), *(await rig.connect("tiktok"))]
    for column in ("access_expires_at", "refresh_expires_at", "refresh_due_at", "check_due_at"):
        for moment in ("58692-01-01", "1970-01-01", "infinity"):
            with pytest.raises(asyncpg.CheckViolationError):
                await rig.raw(f"UPDATE connections SET {column} = '{moment}'")
    await rig.connection.execute("ALTER TABLE connections DROP CONSTRAINT ck_connections_times")
    for column in ("access_expires_at", "refresh_expires_at", "refresh_due_at"):
        await rig.raw(f"UPDATE connections SET {column} = '58692-01-01' WHERE platform = 'x'")
        status, found = await rig.api("GET", "/api/connections")
        assert (status, {item["id"] for item in found["connections"]}) == (200, set(ids))
        async with tenant_transaction(rig.pool, ALL_TENANTS) as connection:
            assert {item.id for item in await connection_store.overview(connection, None, None)} == set(ids)


@pytest.mark.parametrize("platform", ENDING)
async def test_connection_that_an_earlier_release_took_for_endless_gets_its_end(rig: Rig, platform: str) -> None:
    provider = PROVIDERS[platform]
    [id_] = await rig.connect(platform)
    soon = provider.refresh_policy.youngest + 86_400
    # An answer without a life left none at connecting, and the old one, and no refresh, at a refresh.
    for ends in ("NULL", "now() - interval '1 hour'") if platform in REFRESHING else ("NULL",):
        await rig.raw(f"UPDATE connections SET access_expires_at = {ends}, refresh_due_at = NULL")
        await rig.refresher._round()
        assert (await rig.shown(id_))["state"] == "active"
        documented = provider.lifetimes.access or 0
        calls = await rig.sandbox.ledger("token", platform=platform, state="rotated")
        if platform in ROTATING:
            assert calls, "it was refreshed at once"
            assert await life(rig, id_, "checked_at") == pytest.approx(documented, abs=2)
        else:
            expected = max(documented, soon) if ends == "NULL" else soon
            assert await life(rig, id_) == pytest.approx(expected, abs=10)
            due = (await rig.shown(id_))["refresh_due_at"]
            assert (due is not None) == (platform in LONG), "and not before a token may be refreshed"


async def test_page_that_has_no_end_gets_none(rig: Rig) -> None:
    ids = await rig.connect("facebook")
    await rig.refresher._round()
    assert {(await rig.shown(id_))["access_expires_at"] for id_ in ids} == {None}


# --- what ends a grant, and what does not

PAGE_WANTED = "(#190) This method must be made as a Page, or by impersonating a Page."


def graph(code: Any, subcode: Any = None, message: str = "no", **more: Any) -> dict[str, Any]:
    error = {"message": message, "type": "OAuthException", "code": code}
    return {"error": error | ({} if subcode is None else {"error_subcode": subcode}), **more}


UNCLEAR: list[tuple[str, int, Any]] = [
    ("x", 403, {"status": 403, "error": "Forbidden"}),
    ("x", 404, {"status": 404, "error": "Not Found"}),
    ("x", 400, {"error": "invalid_request", "error_description": "Value passed for the token was invalid."}),
    ("x", 401, {"title": "Unauthorized", "type": "about:blank", "status": 401, "detail": "Unauthorized"}),
    ("x", 200, {"error": {"code": "invalid"}}),
    ("tiktok", 400, {"error": "invalid_request", "error_description": "no", "log_id": "1"}),
    ("tiktok", 401, {"error": {"code": "access_token_invalid"}}),
    ("tiktok", 403, {"error": "access_denied"}),
    ("linkedin", 401, {"status": 401, "serviceErrorCode": 65601, "code": "REVOKED_ACCESS_TOKEN", "message": "no"}),
    ("linkedin", 400, {"error": "invalid_grant"}),
    ("linkedin", 403, {"error": "Forbidden"}),
    ("linkedin", 200, {"active": False}),
    ("linkedin", 200, {"active": False, "status": "paused"}),
    ("linkedin", 200, {"active": True, "error": "server"}),
    ("mastodon", 401, {"error": "This method requires an authenticated user"}),
    ("mastodon", 401, {"error": "Unauthorized"}),
    ("mastodon", 403, {"error": "Your login is currently disabled"}),
    ("mastodon", 404, {"error": "Record not found"}),
    *(
        (platform, status, body)
        for platform in ("instagram", "threads", "facebook")
        for status, body in (
            (401, {"error": "Unauthorized"}),
            (401, {}),
            (401, graph(1)),
            (400, graph(190, 459)),
            (400, graph(190, 464)),
            (400, graph(190, None, PAGE_WANTED)),
            (400, graph(100, 33)),
            (400, graph(3)),
            (404, {"surprise": 190}),
        )
    ),
    ("facebook", 200, {"data": {"is_valid": False, "error": {"code": 190, "subcode": 459, "message": "checkpoint"}}}),
    ("facebook", 200, {"data": {"is_valid": False, "error": {"code": 100, "message": "no"}}}),
    ("facebook", 200, {"data": {"is_valid": "false"}}),
    ("facebook", 200, {"data": {"is_valid": 1}}),
]


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_refusal_that_does_not_say_that_the_grant_is_over_ends_nothing(rig: Rig, platform: str) -> None:
    id_, *_ = await rig.connect(platform)
    works = [f"{work}_due_at" for work in ("refresh", "check") if _does(platform, work)]
    cases = [(status, body) for name, status, body in UNCLEAR if name == platform]
    assert len(cases) >= 3
    for status, body in cases:
        await rig.sandbox.command("faults", platform=platform, times=0, status=status, body=body)
        for column in works:
            await rig.raw("DELETE FROM platform_budgets")
            await rig.raw("UPDATE connections SET refresh_due_at = NULL, check_due_at = NULL")
            await rig.raw(f"UPDATE connections SET {column} = now() WHERE id = $1::uuid", id_)
            assert await rig.refresher.refresh(id_) == "failed", (status, body, column)
            found = await rig.shown(id_)
            assert (found["state"], found["reason"]) == ("active", None), (status, body, column)
            assert found["trouble"]
        await no_faults(rig)


def _does(platform: str, work: str) -> bool:
    return getattr(PROVIDERS[platform], work) is not None and (work == "check" or platform != "linkedin")


OVER: list[tuple[str, int, Any, dict[str, str], str]] = [
    ("x", 400, {"error": "invalid_grant"}, {}, "invalid_grant"),
    ("x", 200, {"error": "invalid_grant"}, {}, "invalid_grant"),
    ("tiktok", 400, {"error": "invalid_grant", "error_description": "no", "log_id": "1"}, {}, "invalid_grant"),
    ("linkedin", 200, {"active": False, "status": "revoked"}, {}, "revoked"),
    ("linkedin", 200, {"active": False, "status": "expired"}, {}, "expired"),
    ("mastodon", 401, {"error": "The access token is invalid"}, {}, "token_invalid"),
    ("mastodon", 401, {"error": "The access token was revoked"}, {}, "token_revoked"),
    ("mastodon", 401, {"error": "The access token expired"}, {}, "token_expired"),
    ("mastodon", 401, {"error": "invalid_token"}, {}, "invalid_token"),
    ("mastodon", 401, {"error": "Ungültig"}, {"WWW-Authenticate": 'Bearer error="invalid_token"'}, "invalid_token"),
    *(
        (platform, 400, graph(code, subcode), {}, f"{code}/{subcode or '-'}")
        for platform in ("instagram", "threads", "facebook")
        for code, subcode in ((190, 458), (190, 460), (190, 463), (190, None), ("190", "460"), (102, None))
    ),
    ("instagram", 401, graph(190, 460), {}, "190/460"),
    ("facebook", 200, {"data": {"is_valid": False, "error": {"code": 190, "subcode": 460}}}, {}, "190/460"),
    ("facebook", 200, {"data": {"is_valid": False}}, {}, "190/-"),
]  # fmt: skip


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_words_that_mean_that_the_grant_is_over_end_it_and_are_noted(rig: Rig, platform: str) -> None:
    id_, *_ = await rig.connect(platform)
    cases = [case[1:] for case in OVER if case[0] == platform]
    assert cases
    noted = []
    for status, body, headers, code in cases:
        await rig.raw(
            "UPDATE connections SET state = 'active', reason = NULL, refresh_due_at = NULL, check_due_at = NULL"
        )
        column = "check_due_at" if PROVIDERS[platform].check is not None else "refresh_due_at"
        await rig.raw(f"UPDATE connections SET {column} = now() WHERE id = $1::uuid", id_)
        fault = {"status": status, "body": body, "headers": headers}
        await rig.sandbox.command("faults", platform=platform, times=0, **fault)
        assert await rig.refresher.refresh(id_) == "needs_reconnect", (status, body)
        assert "connect the account again" in (await rig.shown(id_))["reason"]
        noted.append(code)
        await no_faults(rig)
    rows = await rig.raw("SELECT detail FROM audit_log WHERE action = 'connection.needs_reconnect' ORDER BY id")
    assert [json.loads(row["detail"])["code"] for row in rows] == noted


async def test_token_of_linkedin_that_ran_out_is_refreshed_where_that_can_be_done(rig: Rig) -> None:
    rig.server.simulation.platforms["linkedin"].partner = True  # type: ignore[attr-defined]
    [id_] = await rig.connect("linkedin")
    body = {"active": False, "status": "expired"}
    await rig.sandbox.command("faults", platform="linkedin", endpoint="*introspect*", times=1, status=200, body=body)
    await rig.raw("UPDATE connections SET check_due_at = now()")
    assert await rig.refresher.refresh(id_) == "failed"
    await rig.due()
    assert await rig.refresher.refresh(id_) == "refreshed"


async def test_scope_that_tiktok_says_is_missing_is_no_dead_connection(rig: Rig) -> None:
    query = await rig.consented("tiktok")
    body = {"data": {}, "error": {"code": "scope_not_authorized", "message": "no", "log_id": "1"}}
    await rig.sandbox.command("faults", platform="tiktok", endpoint="GET /v2/user/info", status=401, body=body)
    outcome = await rig.back("tiktok", query)
    assert (outcome["kind"], "leave all of them ticked" in outcome["says"]) == ("lacking", True)


@pytest.mark.parametrize(
    ("body", "said"), [(graph(190, 459), "log in at the platform"), (graph(190, None, PAGE_WANTED), "administrators")]
)
async def test_owner_is_told_what_to_do_at_the_platform_and_it_is_tried_again(rig: Rig, body: Any, said: str) -> None:
    [id_] = await rig.connect("instagram")
    await rig.sandbox.command("faults", platform="instagram", times=1, status=400, body=body)
    await rig.raw("UPDATE connections SET check_due_at = now()")
    assert await rig.refresher.refresh(id_) == "failed"
    assert said in (await rig.shown(id_))["trouble"]
    await rig.raw("UPDATE connections SET check_due_at = now()")
    assert await rig.refresher.refresh(id_) == "checked"


async def test_401_of_meta_without_a_code_is_a_throttle_and_the_account_is_left_alone(rig: Rig) -> None:
    [id_] = await rig.connect("instagram")
    await rig.sandbox.command(
        "faults", platform="instagram", times=0, status=401, body={"error": {"message": "too many"}}
    )
    await rig.raw("UPDATE connections SET check_due_at = now()")
    assert await rig.refresher.refresh(id_) == "failed"
    calls = len(await rig.sandbox.ledger("call", platform="instagram"))
    await rig.raw("UPDATE connections SET check_due_at = now()")
    assert await rig.refresher.refresh(id_) == "held"
    assert len(await rig.sandbox.ledger("call", platform="instagram")) == calls


async def test_no_platform_ends_a_grant_by_a_word_that_its_page_does_not_list(rig: Rig) -> None:
    def over(code: str) -> Steps[None]:
        yield Request("GET", f"{rig.sandbox.url}/x/2/users/me")
        raise PlatformError("grant", "It is over.", code)

    for code, kind in (("invalid_grant", "grant"), ("Forbidden", "transient"), ("401", "transient"), ("", "transient")):
        with pytest.raises(PlatformError) as raised:
            await rig.providers.client.run(over(code), platform="x", instance="")
        assert raised.value.kind == kind, code


# --- what proves nothing


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_error_beside_an_answer_is_an_error_at_every_step_of_connecting(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    query = await rig.consented(platform)
    with monkeypatch.context() as patch:
        seen = answering(patch, dict)
        assert (await back_and_chosen(rig, platform, query))["ok"]
    steps = len(seen)
    assert steps >= 2
    await rig.raw("DELETE FROM connections")
    for nth in range(steps):
        error: Any = {"code": "access_token_invalid", "message": "no"} if nth % 2 == 0 else "broken"
        query = await rig.consented(platform)
        with monkeypatch.context() as patch:
            answering(patch, lambda content, error=error: content | {"error": error}, nth)
            outcome = await back_and_chosen(rig, platform, query)
        assert not outcome.get("ok"), f"step {nth}: {seen[nth]}"
        assert await rig.raw("SELECT 1 FROM connections") == [], f"step {nth}: {seen[nth]}"


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_error_beside_an_answer_is_no_refresh_and_no_check(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    id_, *_ = await rig.connect(platform)
    await rig.sandbox.command("clock", jump=86_400 + 1 if platform in LONG else 60)
    answering(monkeypatch, lambda content: content | {"error": {"code": "broken"}})
    await rig.due()
    assert await rig.refresher.refresh(id_) == "failed"
    if PROVIDERS[platform].check is not None:
        await rig.raw("UPDATE connections SET check_due_at = now(), refresh_due_at = NULL")
        assert await rig.refresher.refresh(id_) == "failed"


@pytest.mark.parametrize("platform", REFRESHING)
async def test_answer_without_a_usable_token_is_no_refresh(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    for token in ("", None, 7, ["a"], "new\x00token", "new\ntoken"):
        with monkeypatch.context() as patch:
            [id_] = await rig.connect(platform)
            held = await rig.raw("SELECT sealed FROM connection_secrets ORDER BY field")
            await rig.sandbox.command("clock", jump=86_400 + 1 if platform in LONG else 60)
            issuing(patch, rig, platform, access_token=token)
            await rig.due()
            assert await rig.refresher.refresh(id_) == "failed", token
            assert await rig.raw("SELECT sealed FROM connection_secrets ORDER BY field") == held, token


ID_FIELDS = ("id", "user_id", "sub", "open_id")


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_account_without_a_usable_id_is_not_connected(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    for id_ in ("", None, "x" * 300, "17\x00", [], True):
        query = await rig.consented(platform)
        with monkeypatch.context() as patch:
            answering(patch, lambda content, id_=id_: _with(content, dict.fromkeys(ID_FIELDS, id_)))
            outcome = await back_and_chosen(rig, platform, query)
        assert (outcome["ok"], bool(outcome["says"])) == (False, True), id_
    assert await rig.raw("SELECT 1 FROM connections") == []
    assert await rig.raw("SELECT 1 FROM oauth_states WHERE outcome IS NULL") == []


def _with(value: Any, changes: dict[str, Any]) -> Any:
    """The same with these fields changed wherever they occur."""
    if isinstance(value, dict):
        return {name: changes[name] if name in changes else _with(item, changes) for name, item in value.items()}
    return [_with(item, changes) for item in value] if isinstance(value, list) else value


async def test_instance_that_gives_no_usable_client_is_refused(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for client in (
        *({"client_id": ""}, {"client_secret": ""}, {"client_id": "x" * 300}, {"error": "no"}),
        *({"client_id": " "}, {"client_secret": "  "}, {"client_id": "\u202e1"}),
    ):
        with monkeypatch.context() as patch:
            answering(patch, lambda content, client=client: content | client)
            status, answer = await rig.api("GET", "/api/auth/mastodon", params={"instance": INSTANCE})
        assert (status, answer["error"]["code"]) == (400, "invalid_request"), answer
    assert await rig.raw("SELECT 1 FROM oauth_clients") == []


@pytest.mark.parametrize("platform", ["facebook", "instagram"])
async def test_subscription_that_does_not_say_that_it_worked_is_none(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    for content in ({"success": False}, {"success": "false"}, {}):
        query = await rig.consented(platform)
        await rig.sandbox.command(
            "faults", platform=platform, endpoint="POST */subscribed_apps", times=1, status=200, body=content
        )
        outcome = await back_and_chosen(rig, platform, query)
        assert not outcome.get("ok"), content
    assert await rig.raw("SELECT 1 FROM connections") == []


@pytest.mark.parametrize("platform", ["facebook", "instagram"])
async def test_subscription_that_the_platform_does_not_show_afterwards_is_none(rig: Rig, platform: str) -> None:
    """``meta.md`` 1.5: what is read back is the truth, whatever was answered before."""
    shown = {"id": "1", "name": "the application"}
    for content in ({"data": []}, {"data": [shown | {"subscribed_fields": ["messaging_seen"]}]}, {}):
        query = await rig.consented(platform)
        await rig.sandbox.command(
            "faults", platform=platform, endpoint="GET */subscribed_apps", times=1, status=200, body=content
        )
        outcome = await back_and_chosen(rig, platform, query)
        assert not outcome.get("ok"), content
    assert await rig.raw("SELECT 1 FROM connections") == []


@pytest.mark.parametrize("platform", ["facebook", "instagram"])
async def test_subscription_that_is_shown_need_not_name_its_fields(rig: Rig, platform: str) -> None:
    content = {"data": [{"id": "1", "name": "the application", "link": "https://app.example/"}]}
    await rig.sandbox.command(
        "faults", platform=platform, endpoint="GET */subscribed_apps", times=0, status=200, body=content
    )
    assert await rig.connect(platform)


# --- text that no database takes

NAMES = ("name", "username", "display_name", "account_type")


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_nul_and_half_characters_in_names_and_scopes_cost_nobody_the_connection(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    spoiled = "Zoë\x00\ud83d" + "x" * 3000

    def change(content: dict[str, Any]) -> dict[str, Any]:
        content = _with(content, dict.fromkeys(NAMES, spoiled))
        return content | ({"scope": f"{content['scope']},extra\x00"} if "scope" in content else {})

    query = await rig.consented(platform)
    answering(monkeypatch, change)
    outcome = await back_and_chosen(rig, platform, query)
    assert outcome["ok"], outcome
    status, found = await rig.api("GET", "/api/connections")
    assert status == 200
    for item in found["connections"]:
        assert item["username"].startswith("Zoë\ufffd\ufffdxxx")
        assert len(item["username"]) == 200
        assert all("\x00" not in scope for scope in item["scopes"])
        assert len(json.dumps(item["profile"])) < 3000


@pytest.mark.parametrize("platform", REFRESHING)
async def test_spoiled_word_is_an_unknown_one_and_counted(rig: Rig, platform: str) -> None:
    [id_] = await rig.connect(platform)
    for body in ({"error": "invalid_grant\x00"}, {"error": {"code": "190\x00"}}, {"error": "\ud800"}):
        before = (await rig.shown(id_))["refresh_failures"]
        await rig.sandbox.command("faults", platform=platform, times=1, status=400, body=body)
        await rig.due()
        assert await rig.refresher.refresh(id_) == "failed"
        assert (await rig.shown(id_))["refresh_failures"] == before + 1
    rows = await rig.raw("SELECT detail FROM audit_log WHERE action = 'connection.refresh_failed'")
    assert {json.loads(row["detail"])["code"] for row in rows} == {"unknown"}


@pytest.mark.parametrize("platform", PLATFORMS)
async def test_callback_takes_any_text_and_settles(rig: Rig, platform: str) -> None:
    for changes in (
        {"code": "\x00"},
        {"code": "a\x00b"},
        {"error": "access_denied\x00", "code": ""},
        {"error": "x" * 5000, "code": ""},
    ):
        query = await rig.consented(platform)
        outcome = await rig.back(platform, query | changes)
        assert (outcome["ok"], outcome["kind"] in ("wrong", "transient", "app")) == (False, True), outcome
        assert await rig.back(platform, query | changes) == outcome
    spoiled = query | {"state": query["state"] + "\x00"}
    assert "not a link of ours" in (await rig.back(platform, spoiled))["says"]
    assert await rig.raw("SELECT 1 FROM oauth_states WHERE used_at IS NOT NULL AND outcome IS NULL") == []


@pytest.mark.parametrize("method", ["_accounts", "_decide", "_connect"])
async def test_no_surprise_after_the_code_was_claimed_leaves_the_flow_waiting(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    log = CapturingLogger()
    monkeypatch.setattr(authorization, "log", log)
    status, begun = await rig.api("GET", "/api/auth/tiktok")
    assert status == 201
    query = await rig.sandbox.consent(await rig.pressed(begun["open"]), "approve", "shop")
    assert isinstance(query, dict)

    async def surprised(*_: Any) -> Any:
        raise RuntimeError("a secret-canary stands in the text of this error")

    monkeypatch.setattr(AuthorizationFlows, method, surprised)
    outcome = await rig.back("tiktok", query)
    assert (outcome["ok"], outcome["kind"], "look at your connections" in outcome["says"]) == (False, "transient", True)
    assert (await rig.api("GET", f"/api/flows/{begun['flow']}"))[1]["state"] == "failed"
    assert await rig.back("tiktok", query) == outcome, "and the code is not sent again"
    [row] = await rig.raw("SELECT detail FROM audit_log WHERE action = 'connection.refused'")
    assert json.loads(row["detail"])["code"] == "unexpected"
    assert [call.args for call in log.calls] == [("oauth.unexpected",)]
    assert log.calls[0].kwargs["error"] == "RuntimeError"
    assert "secret-canary" not in str(log.calls)


async def test_surprise_in_a_refresh_is_counted_and_put_off(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    [id_] = await rig.connect("x")
    await rig.due()

    async def surprised(*_: Any) -> Any:
        raise asyncpg.DataError("the database does not take it")

    monkeypatch.setattr(rig.refresher, "_refresh", surprised)
    assert await rig.refresher.refresh(id_) == "failed"
    found = await rig.shown(id_)
    assert (found["state"], found["refresh_failures"]) == ("active", 1)
    assert "tried again by itself" in found["trouble"]
