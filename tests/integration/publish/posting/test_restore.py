"""A database that was restored from an older backup posts nothing a second time (``faults.md`` I-3)."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ops.cli.composition import assembled
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres
from publish.oauth.client_registration import ClientRegistrations
from publish.posting import restore_store
from publish.posting.driver import Driver
from schema.rights import WORKER_ROLE
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

    async def run(self, id_: str) -> Any:
        for _ in range(60):
            await self.driver.drain()
            row = await self.row(id_)
            if row["due_at"] is None:
                return row
            await self.connection.execute("UPDATE post_targets SET due_at = now() WHERE due_at IS NOT NULL")
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
    assert (await restored.row(later))["state"] == "scheduled", "what was not due yet cannot have been posted"
    assert await publishing.shown("tiktok") == []


async def test_database_that_is_the_same_holds_nothing(publishing: Posting) -> None:
    [account] = await publishing.rig.connect("mastodon")
    await publishing.driver.drain()
    id_ = await publishing.target(account, "Tea")
    assert (await publishing.run(id_))["state"] == "published"
    assert await publishing.rig.connection.fetchval("SELECT count(*) FROM database_incarnations") == 1
