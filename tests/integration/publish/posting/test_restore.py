"""A database that was restored from an older backup posts nothing a second time (``faults.md`` I-3)."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import uuid_utils

from ops.cli.composition import assembled
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres
from ops.runtime.tenancy import tenant_transaction
from publish.oauth.client_registration import ClientRegistrations
from publish.posting import post_store, restore_store
from publish.posting.driver import Driver
from schema.rights import WORKER_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.integration.test_backup import run, steps
from tests.posting import Posting
from tests.rig import PATIENT


@pytest.fixture
def beside(postgres: Postgres) -> Iterator[str]:
    postgres.sql("DROP DATABASE IF EXISTS restored_posts", "CREATE DATABASE restored_posts OWNER landfall")
    yield postgres.dsn("restored_posts")
    postgres.sql("DROP DATABASE restored_posts WITH (FORCE)")


class Restored:
    """The worker on the restored database; ``connection`` sees the rows of every tenant there."""

    def __init__(self, publishing: Posting, driver: Driver, connection: asyncpg.Connection) -> None:
        self.publishing, self.driver, self.connection = publishing, driver, connection

    async def row(self, id_: str) -> Any:
        return await self.connection.fetchrow("SELECT * FROM post_targets WHERE id = $1::uuid", id_)

    async def due(self, id_: str) -> Any:
        """Let the turn of a target come, and work until it waits for nobody's clock; its row."""
        await self.connection.execute("UPDATE post_targets SET due_at = now() WHERE id = $1::uuid", id_)
        return await self.run(id_)

    async def run(self, id_: str) -> Any:
        for _ in range(60):
            await self.driver.drain()
            row = await self.row(id_)
            if row["due_at"] is None:
                return row
            await self.connection.execute("UPDATE post_targets SET due_at = now() WHERE id = $1::uuid", id_)
            await self.publishing.rig.sandbox.command("clock", jump=60)
        raise AssertionError(dict(row))


@pytest.fixture
async def restored(publishing: Posting, beside: str) -> AsyncIterator[Restored]:
    rig = publishing.rig
    async with await open_pool(beside, "publish", 5, role=WORKER_ROLE, **PATIENT) as pool:
        clients = ClientRegistrations(pool, rig.built.vault, rig.providers)
        tokens = assembled(pool, rig.built.vault, rig.providers).refresher
        driver = replace(publishing.driver, pool=pool, clients=clients, tokens=tokens)
        connection = await asyncpg.connect(beside, server_settings={"landfall.tenant": "*"})
        yield Restored(publishing, driver, connection)
        await connection.close()


@pytest.mark.parametrize("platform", ["instagram", "mastodon"])
async def test_i3_what_was_posted_after_the_backup_is_found_and_not_posted_again(
    publishing: Posting, restored: Restored, beside: str, tmp_path: Path, platform: str
) -> None:
    [account, *_] = await publishing.rig.connect(platform)
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    await publishing.driver.drain()  # the worker has met this database
    id_ = await publishing.target(account, "Tea", media=[picture])
    dump, _, restore = steps()
    run(dump, tmp_path, DATABASE_URL=publishing.rig.dsn)
    row = await publishing.run(id_)
    assert row["state"] == "published"
    run(restore, tmp_path, NEW_DATABASE_URL=beside)
    assert (await restored.row(id_))["state"] == "scheduled"
    again = await restored.run(id_)
    assert len(await publishing.shown(platform)) == 1, "it was posted a second time"
    assert (again["state"], again["platform_post_id"]) == ("published", row["platform_post_id"])
    held = await restored.connection.fetch("SELECT held FROM database_incarnations ORDER BY began_at")
    assert [each["held"] for each in held] == [0, 1]


async def test_i3_what_nothing_can_find_waits_for_a_person(
    publishing: Posting, restored: Restored, beside: str, tmp_path: Path
) -> None:
    [account] = await publishing.rig.connect("tiktok")
    clip = publishing.media.add("clip.mp4", "video/mp4", width=640, height=640, duration=1.0)
    options = {"privacy_level": "SELF_ONLY", "music_usage_confirmed": True}
    await publishing.driver.drain()
    id_ = await publishing.target(account, "Tea", kind="video", media=[clip], options=options)
    later = await publishing.target(account, "Later", kind="video", media=[clip], options=options)
    await publishing.rig.raw("UPDATE post_targets SET due_at = now() + interval '1 day' WHERE id = $1::uuid", later)
    dump, _, restore = steps()
    run(dump, tmp_path, DATABASE_URL=publishing.rig.dsn)
    run(restore, tmp_path, NEW_DATABASE_URL=beside)
    await restored.driver.drain()
    row = await restored.row(id_)
    assert (row["state"], row["due_at"], row["error_code"]) == ("unconfirmed", None, "restored")
    assert row["error_message"] == restore_store.RESTORED
    assert (await restored.row(later))["state"] == "scheduled", "its turn has not come"
    row = await restored.due(later)
    assert (row["state"], row["due_at"], row["error_code"]) == ("unconfirmed", None, "restored")
    assert await publishing.shown("tiktok") == []


async def planned(publishing: Posting, account: str, *, state: str = "scheduled") -> str:
    """Store a target of tomorrow, or one that has no time; the target's id."""
    await publishing.driver.drain()
    picture = publishing.media.add("picture.jpg", "image/jpeg", width=640, height=640)
    id_ = await publishing.target(account, "Tea", state=state, media=[picture])
    due = "now() + interval '1 day'" if state == "scheduled" else "NULL"
    await publishing.rig.raw(f"UPDATE post_targets SET due_at = {due} WHERE id = $1::uuid", id_)
    return id_


@pytest.mark.parametrize("platform", ["instagram", "threads"])
async def test_i3_what_was_planned_for_later_and_published_early_is_not_posted_again(
    publishing: Posting, restored: Restored, beside: str, tmp_path: Path, platform: str
) -> None:
    [account, *_] = await publishing.rig.connect(platform)
    id_ = await planned(publishing, account)
    dump, _, restore = steps()
    run(dump, tmp_path, DATABASE_URL=publishing.rig.dsn)
    await publishing.rig.raw("UPDATE post_targets SET due_at = now() WHERE id = $1::uuid", id_)
    row = await publishing.run(id_)
    assert row["state"] == "published"
    run(restore, tmp_path, NEW_DATABASE_URL=beside)
    await restored.driver.drain()
    assert (await restored.row(id_))["state"] == "scheduled"
    again = await restored.due(id_)
    assert len(await publishing.shown(platform)) == 1, "it was posted a second time"
    if platform == "instagram":
        assert (again["state"], again["platform_post_id"]) == ("published", row["platform_post_id"])
    else:  # nothing looks for it by its content
        assert (again["state"], again["error_message"]) == ("unconfirmed", restore_store.RESTORED)
        assert again["retryable"] is False
        assert again["evidence"]


@pytest.mark.parametrize("state", ["awaiting_approval", "draft", "failed", "missed"])
async def test_i3_what_a_person_let_go_after_the_backup_is_not_posted_again_when_a_person_does_so_again(
    publishing: Posting, restored: Restored, beside: str, tmp_path: Path, state: str
) -> None:
    [account] = await publishing.rig.connect("instagram")
    id_ = await planned(publishing, account, state=state)
    dump, _, restore = steps()
    run(dump, tmp_path, DATABASE_URL=publishing.rig.dsn)

    async def let_go(connection: asyncpg.Connection) -> None:
        if state in ("failed", "missed"):
            await post_store.retry(connection, [id_])
            return
        post = await connection.fetchval("SELECT post_id::text FROM post_targets WHERE id = $1::uuid", id_)
        await post_store.schedule(connection, post, now=False)

    async with tenant_transaction(publishing.rig.pool, DEFAULT_TENANT) as connection:
        await let_go(connection)
    row = await publishing.run(id_)
    assert row["state"] == "published"
    run(restore, tmp_path, NEW_DATABASE_URL=beside)
    await restored.driver.drain()
    assert (await restored.row(id_))["state"] == state
    await let_go(restored.connection)
    again = await restored.run(id_)
    assert len(await publishing.shown("instagram")) == 1, "it was posted a second time"
    assert (again["state"], again["platform_post_id"]) == ("published", row["platform_post_id"])


async def test_i3_what_failed_before_it_was_looked_for_is_looked_for_when_it_is_tried_again(
    publishing: Posting, restored: Restored, beside: str, tmp_path: Path
) -> None:
    [account] = await publishing.rig.connect("threads")
    id_ = await planned(publishing, account)
    dump, _, restore = steps()
    run(dump, tmp_path, DATABASE_URL=publishing.rig.dsn)
    run(restore, tmp_path, NEW_DATABASE_URL=beside)
    await restored.driver.drain()
    connected = "UPDATE connections SET state = $1, reason = $2"
    await restored.connection.execute(connected, "needs_reconnect", "a test")
    assert (await restored.due(id_))["state"] == "failed"
    await restored.connection.execute(connected, "active", None)
    await post_store.retry(restored.connection, [id_])
    assert (await restored.run(id_))["state"] == "unconfirmed"
    assert await publishing.shown("threads") == []


async def test_i3_what_a_person_says_is_not_there_is_posted_and_not_asked_about_again(
    publishing: Posting, restored: Restored, beside: str, tmp_path: Path
) -> None:
    [account] = await publishing.rig.connect("threads")
    id_ = await planned(publishing, account)
    dump, _, restore = steps()
    run(dump, tmp_path, DATABASE_URL=publishing.rig.dsn)
    run(restore, tmp_path, NEW_DATABASE_URL=beside)
    await restored.driver.drain()
    assert (await restored.due(id_))["state"] == "unconfirmed"
    await post_store.confirm_absent(restored.connection, id_)
    await post_store.retry(restored.connection, [id_])
    assert (await restored.run(id_))["state"] == "published"
    assert len(await publishing.shown("threads")) == 1


async def test_what_is_made_after_the_restore_goes_out_as_planned(
    publishing: Posting, restored: Restored, beside: str, tmp_path: Path
) -> None:
    [account] = await publishing.rig.connect("threads")
    old = await planned(publishing, account)
    dump, _, restore = steps()
    run(dump, tmp_path, DATABASE_URL=publishing.rig.dsn)
    run(restore, tmp_path, NEW_DATABASE_URL=beside)
    await restored.driver.drain()
    new = str(uuid_utils.uuid7())
    await restored.connection.execute(
        """
        WITH post AS (INSERT INTO posts (tenant_id, id, content, author, scheduled_at)
            SELECT tenant_id, $2::uuid, 'Coffee', author, now() FROM posts RETURNING id)
        INSERT INTO post_targets (tenant_id, id, post_id, connection_id, platform, account_id, kind, options, digest,
            state, due_at)
        SELECT t.tenant_id, $2::uuid, post.id, t.connection_id, t.platform, t.account_id, 'text', t.options, '',
            'scheduled', now() FROM post_targets t, post WHERE t.id = $1::uuid""",
        *(old, new),
    )
    assert (await restored.run(new))["state"] == "published"
    [shown] = await publishing.shown("threads")
    assert "Coffee" in str(shown)
    assert (await restored.row(old))["state"] == "scheduled"


async def test_database_that_is_the_same_holds_nothing(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("mastodon")
    await publishing.driver.drain()
    id_ = await publishing.target(account, "Tea")
    assert (await publishing.run(id_))["state"] == "published"
    assert await publishing.rig.connection.fetchval("SELECT count(*) FROM database_incarnations") == 1
