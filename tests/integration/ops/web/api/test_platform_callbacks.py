"""Signed requests of a platform about its people: old ones, repeated ones, and ones sent to the wrong address."""

import asyncio
import time
from typing import Any

import asyncpg
import pytest

from tests.rig import Rig

DAY = 86_400
YEAR_2015, YEAR_2100 = 1_420_070_400, 4_102_444_800


async def send(rig: Rig, purpose: str, user: str, issued_at: int | None) -> tuple[int, Any]:
    """POST a request that the platform signed; the status and the JSON answer."""
    simulated = rig.server.simulation.platforms["instagram"]
    payload = {"algorithm": "HMAC-SHA256", "user_id": user}
    if issued_at is not None:
        payload |= {"issued_at": issued_at, "expires": issued_at + 3600}
    form = {"signed_request": simulated.signed_request(payload)}  # type: ignore[attr-defined]
    async with rig.http.post(f"{rig.url}/api/auth/instagram/{purpose}", data=form) as response:
        return response.status, await response.json()


async def connected(rig: Rig) -> tuple[str, str]:
    """A connection, and the app-scoped id of its person."""
    [id_] = await rig.connect("instagram")
    return id_, (await rig.shown(id_))["account_id"]


async def state(rig: Rig, id_: str) -> str:
    return str((await rig.shown(id_))["state"])


async def requests(rig: Rig) -> list[asyncpg.Record]:
    found: list[asyncpg.Record] = await rig.connection.fetch("SELECT * FROM deletion_requests")
    return found


@pytest.mark.parametrize("purpose", ["deauthorize", "deletion"])
async def test_request_of_2015_ends_nothing_and_is_refused_in_words(rig: Rig, purpose: str) -> None:
    id_, user = await connected(rig)
    status, answer = await send(rig, purpose, user, YEAR_2015)
    assert (status, answer["error"]["code"], answer["error"]["retryable"]) == (400, "stale", False)
    assert "7 days" in answer["error"]["message"]
    assert await state(rig, id_) == "active"
    assert await requests(rig) == []


@pytest.mark.parametrize("purpose", ["deauthorize", "deletion"])
async def test_request_of_an_hour_ago_ends_no_grant_made_since(rig: Rig, purpose: str) -> None:
    id_, user = await connected(rig)
    issued = int(time.time()) - 3600
    assert (await send(rig, purpose, user, issued))[0] == 200
    assert await state(rig, id_) == "active"
    await rig.raw("UPDATE connections SET authorized_at = now() - interval '2 hours'")
    assert (await send(rig, purpose, user, issued))[0] == 200
    assert await state(rig, id_) == "needs_reconnect", "that is what it was about"


@pytest.mark.parametrize("purpose", ["deauthorize", "deletion"])
async def test_request_of_one_platform_ends_nothing_at_another(rig: Rig, purpose: str) -> None:
    id_, user = await connected(rig)
    [other] = await rig.connect("tiktok")
    await rig.raw("UPDATE connections SET account_id = $1 WHERE id = $2::uuid", user, other)
    assert (await send(rig, purpose, user, None))[0] == 200
    assert (await state(rig, id_), await state(rig, other)) == ("needs_reconnect", "active")


async def test_deletion_keeps_the_time_at_which_the_person_asked(rig: Rig) -> None:
    id_, user = await connected(rig)
    issued = int(time.time()) - 3600
    assert (await send(rig, "deletion", user, issued))[0] == 200
    [row] = await requests(rig)
    assert 0 <= row["requested_at"].timestamp() - issued <= 1, "erasure leaves alone what was connected later"
    assert await state(rig, id_) == "active"


async def test_deauthorize_request_is_no_deletion_request(rig: Rig) -> None:
    _, user = await connected(rig)
    issued = int(time.time())
    assert (await send(rig, "deauthorize", user, issued))[0] == 200
    status, answer = await send(rig, "deletion", user, issued)
    assert (status, answer["error"]["code"]) == (400, "duplicate_event")
    assert await requests(rig) == []
    assert (await send(rig, "deletion", user, issued + 1))[0] == 200, "one of its own is taken"


async def test_codes_are_not_to_be_guessed_and_the_same_request_has_the_same_one(rig: Rig) -> None:
    issued = int(time.time())
    answers = await asyncio.gather(*(send(rig, "deletion", "218471", issued) for _ in range(8)))
    assert {status for status, _ in answers} == {200}
    [code] = {answer["confirmation_code"] for _, answer in answers}
    assert len(await requests(rig)) == 1
    assert (await send(rig, "deauthorize", "218471", issued))[0] == 200, "which ends less than it did"
    assert (await send(rig, "deletion", "218471", issued))[1]["confirmation_code"] == code
    await rig.connection.execute("TRUNCATE deletion_requests, signed_requests")
    assert (await send(rig, "deletion", "218471", issued))[1]["confirmation_code"] != code, "it is random"
    assert len(code) >= 22, "128 bits and more"


@pytest.mark.parametrize("issued", [None, YEAR_2100])
@pytest.mark.parametrize("purpose", ["deauthorize", "deletion"])
async def test_request_without_a_time_or_of_the_future_counts_from_its_receipt(
    rig: Rig, purpose: str, issued: int | None
) -> None:
    id_, user = await connected(rig)
    assert (await send(rig, purpose, user, issued))[0] == 200
    assert await state(rig, id_) == "needs_reconnect"
    assert await rig.connect("instagram") == [id_]
    assert (await send(rig, purpose, user, issued))[0] == 200
    assert await state(rig, id_) == "active", "repeated, it says nothing of the new grant"


async def test_what_was_taken_is_forgotten_once_it_would_be_refused_as_old(rig: Rig) -> None:
    for user, issued in (("1", int(time.time())), ("2", None), ("3", YEAR_2100)):
        assert (await send(rig, "deauthorize", user, issued))[0] == 200
    await rig.refresher._round()
    assert await rig.connection.fetchval("SELECT count(*) FROM signed_requests") == 3
    await rig.connection.execute(
        "UPDATE signed_requests SET expires_at = expires_at - make_interval(secs => $1)", 7.0 * DAY + 2
    )
    await rig.refresher._round()
    assert await rig.connection.fetchval("SELECT count(*) FROM signed_requests") == 1, "that of 2100 is repeatable"
