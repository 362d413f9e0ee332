"""The driver, with real machines: each post becomes visible once, whatever happens on the way."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from ops.runtime.periodic import stopped_or_woken
from ops.runtime.platform_protocol import PlatformError
from publish.posting import driver
from tests.posting import Posting
from tests.support import eventually


async def test_image_is_published_once_and_its_address_is_known(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("instagram")
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    id_ = await publishing.target(account, "Tea", media=[picture])
    row = await publishing.run(id_)
    assert row["state"] == "published", dict(row)
    [post] = await publishing.shown("instagram")
    assert (row["state"], row["platform_post_id"], post["text"]) == ("published", post["id"], "Tea")
    assert row["platform_post_url"].startswith("https://www.instagram.com/p/")


async def test_worker_that_is_woken_looks_at_once(publishing: Posting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LOOK_SECONDS", 600.0)
    [account] = await publishing.rig.connect("x")
    stop, woken, asleep = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def waiting(stopping: asyncio.Event, waking: asyncio.Event, seconds: float) -> bool:
        if seconds:
            asleep.set()
        return await stopped_or_woken(stopping, waking, seconds)

    monkeypatch.setattr(driver, "stopped_or_woken", waiting)
    sweeping = asyncio.create_task(publishing.driver.sweep(stop, woken))
    await asleep.wait()
    id_ = await publishing.target(account, "Tea")
    woken.set()

    async def published() -> bool:
        return str((await publishing.row(id_))["state"]) == "published"

    await eventually(published)
    stop.set()
    await sweeping


class NoTokens:
    """Has no token of any account, as where the connection or the application's own credentials are gone."""

    def __init__(self, problem: PlatformError) -> None:
        self.problem = problem

    async def access(self, tenant: str, id_: str) -> Mapping[str, str]:
        raise self.problem

    async def renew(self, tenant: str, id_: str) -> None:
        raise self.problem


@pytest.mark.parametrize(
    "problem",
    [
        PlatformError("wrong", "There is no such connection."),
        PlatformError("app", "The application's secret is not set."),
        PlatformError("grant", "The account was disconnected.", "disconnected"),
    ],
    ids=lambda problem: problem.kind,
)
async def test_post_that_may_be_there_and_cannot_be_looked_for_is_no_failure(
    publishing: Posting, problem: PlatformError
) -> None:
    [account] = await publishing.rig.connect("instagram")
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    fault = {"endpoint": "POST */media_publish", "error": "service_unavailable", "effect": True}
    await publishing.rig.sandbox.command("faults", platform="instagram", **fault)
    id_ = await publishing.target(account, "Tea", media=[picture])
    while (await publishing.row(id_))["state"] != "unconfirmed":
        await publishing.driver.drain()
        await publishing.hurry()
    row = await publishing.run(id_, driver=replace(publishing.driver, tokens=NoTokens(problem)))
    assert (row["state"], row["retryable"]) == ("unconfirmed", False), dict(row)
    assert row["error_message"]
    assert len(await publishing.shown("instagram")) == 1


@pytest.mark.parametrize("change", [{"kind": "hologram"}, {"step": "beamed"}], ids=["kind", "step"])
@pytest.mark.parametrize(
    ("state", "asked", "ends"),
    [
        ("preparing", False, "failed"),
        ("publishing", True, "unconfirmed"),
        ("unconfirmed", True, "unconfirmed"),
        ("published", True, "published"),
        ("published_id_unknown", True, "published_id_unknown"),
    ],
)
async def test_target_that_another_release_left_is_never_called_failed_where_it_may_be_there(
    publishing: Posting,
    change: Mapping[str, str],
    state: str,
    asked: bool,  # noqa: FBT001
    ends: str,
) -> None:
    [account] = await publishing.rig.connect("x")
    id_ = await publishing.target(account, "Tea", state=state)
    left = {"kind": "text", "step": "publish", **change}
    await publishing.rig.raw(
        "UPDATE post_targets SET kind = $2, step = $3, due_at = now(), intent_at = CASE WHEN $4 THEN now() END"
        " WHERE id = $1::uuid",
        *(id_, left["kind"], left["step"], asked),
    )
    row = await publishing.run(id_, rounds=3)
    assert (row["state"], row["error_message"] is None) == (ends, ends.startswith("published")), dict(row)
    assert bool(json.loads(row["evidence"] or "[]")) is (ends == "unconfirmed"), "whoever decides sees why"
    assert await publishing.shown("x") == []


async def test_answer_that_cannot_be_read_leaves_the_outcome_unknown_and_is_looked_for(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    fault = {"endpoint": "POST /2/tweets", "status": 201, "body": {"data": {"id": {"nested": 1}}}}
    await publishing.rig.sandbox.command("faults", platform="x", **fault)
    row = await publishing.run(await publishing.target(account, "Tea"))
    assert (row["state"], row["commits"]) == ("published", 2), dict(row)
    assert len(await publishing.shown("x")) == 1


async def test_request_that_cannot_be_made_is_not_sent_and_fails_with_words(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    row = await publishing.run(await publishing.target(account, "Tea", options={"reply_control": 5}))
    assert (row["state"], row["error_code"]) == ("failed", "internal"), dict(row)
    assert "report" in row["error_message"]
    assert await publishing.shown("x") == []


async def test_post_that_another_target_holds_is_not_taken_for_this_one(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    first = await publishing.run(await publishing.target(account, "Tea"))
    fault = {"endpoint": "POST /2/tweets", "status": 201, "body": {"data": {"id": first["platform_post_id"]}}}
    await publishing.rig.sandbox.command("faults", platform="x", **fault)
    row = await publishing.run(await publishing.target(account, "Cake"))
    assert (row["state"], row["error_code"]) == ("unconfirmed", "post_of_another_target"), dict(row)
    assert json.loads(row["evidence"]) == [first["platform_post_id"]]
    assert row["platform_post_id"] is None


async def test_secrets_that_no_key_opens_hold_a_target_back_and_harm_nothing(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("tiktok")
    clip = publishing.media.add("clip.mp4", "video/mp4", width=640, height=640, duration=1.0)
    options = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}
    id_ = await publishing.target(account, "Tea", media=[clip], options=options)
    fault = {"endpoint": "PUT *", "status": 503}
    await publishing.rig.sandbox.command("faults", platform="tiktok", **fault)
    await publishing.driver.drain()
    [[sealed]] = await publishing.rig.raw("SELECT sealed FROM post_targets WHERE id = $1::uuid", id_)
    await publishing.rig.raw(
        "UPDATE post_targets SET sealed = set_byte(sealed, 40, get_byte(sealed, 40) # 1), due_at = now()"
        " WHERE id = $1::uuid",
        id_,
    )
    await publishing.driver.drain()
    row = await publishing.row(id_)
    assert (row["state"], row["error_code"], row["retryable"]) == ("publishing", "vault", True), dict(row)
    await publishing.rig.raw("UPDATE post_targets SET sealed = $2 WHERE id = $1::uuid", id_, sealed)
    assert (await publishing.run(id_))["state"] == "published"
    assert len(await publishing.shown("tiktok")) == 1


async def test_post_of_an_account_that_is_not_connected_fails_before_anything_is_asked(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("x")
    lost = "UPDATE connections SET state = 'needs_reconnect', reason = 'It was revoked.' WHERE id = $1::uuid"
    await publishing.rig.raw(lost, account)
    id_ = await publishing.target(account, "Tea")
    row = await publishing.run(id_)
    assert (row["state"], row["error_code"], row["retryable"]) == ("failed", "access_token_invalid", True), dict(row)
    assert (row["attempt"], row["intent_at"]) == (1, None)
    assert await publishing.rig.sandbox.ledger("call", platform="x", method="POST", path="/2/tweets") == []
