"""The change feed, followed by a subscription of PostgreSQL: rows are equal after inserts, updates and a rebuild."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime

import asyncpg
import pytest

from ops.cli import wiring
from ops.runtime.db import open_pool
from ops.runtime.embedded import Postgres, scratch
from schema.feed import PUBLICATION, published_columns, subscriber_script
from schema.rights import APP_ROLE
from sync.projection import store
from sync.projection.worker import Projector
from tests.support import append_event, command, copy_of, eventually

SHOP, PERSON = "17841400000000001", "-000person"
PASSWORD = "long-enough-for-this"
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def cluster(migrated_cluster: Postgres) -> Iterator[Postgres]:
    """A server of its own, whose wal_level is logical."""
    with scratch() as directory:
        directory.chmod(0o755)
        server = copy_of(migrated_cluster, directory / "pg", wal_level="logical")
        server.start()
        yield server
        server.stop()


@pytest.fixture
async def owner(cluster: Postgres) -> AsyncIterator[asyncpg.Connection]:
    opened = await asyncpg.connect(cluster.dsn())
    yield opened
    await opened.close()


async def project(dsn: str) -> None:
    async with await open_pool(dsn, "test", 2, role=APP_ROLE, settings=store.PLANNER) as pool:
        await Projector(pool, wiring.projections(), tries=1).drain()


async def rows(connection: asyncpg.Connection) -> Mapping[str, list[tuple[object, ...]]]:
    return {
        table: [
            tuple(row) for row in await connection.fetch(f"SELECT {', '.join(names)} FROM public.{table} ORDER BY 1, 2")
        ]
        for table, names in published_columns().items()
    }


async def events(connection: asyncpg.Connection, first: int, last: int) -> None:
    for number in range(first, last):
        payload = {"id": f"c{number}", "text": f"text {number} ☕", "media": {"id": f"m{number % 3}"}}
        await append_event(connection, SHOP, f"comment {number}", payload=payload)
        content = json.dumps({"publish_id": f"p{number}", "post_id": f"{number}"})
        kind = {"provider": "tiktok", "type": "post.publish.publicly_available", "payload": {"content": content}}
        await append_event(connection, PERSON, f"post {number}", **kind)


async def test_subscriber_has_the_rows_after_inserts_updates_deletions_and_a_rebuild(
    cluster: Postgres, owner: asyncpg.Connection
) -> None:
    code, said = await command(cluster.dsn(), "db", "feed", "enable")
    assert (code, "CREATE ROLE landfall_feed LOGIN REPLICATION;" in said) == (1, True), "a superuser makes the login"
    cluster.sql(f"CREATE ROLE landfall_feed LOGIN REPLICATION PASSWORD '{PASSWORD}'")
    code, said = await command(cluster.dsn(), "db", "feed", "enable")
    assert (code, "landfall_feed may copy them" in said, "wal_level" in said) == (0, True, False), said
    code, said = await command(cluster.dsn(), "db", "feed", "script")
    assert (code, said) == (0, subscriber_script() + "\n")
    cluster.sql("CREATE DATABASE consumer")
    for _ in range(2):  # it makes what is lacking, and nothing twice
        cluster.sql(*said.strip().rstrip(";").split(";\n"), database="consumer")
    await events(owner, 0, 5)
    await project(cluster.dsn())
    # In one server the slot has to be there before; between two, CREATE SUBSCRIPTION makes it.
    cluster.sql("SELECT pg_create_logical_replication_slot('consumer', 'pgoutput')", database="landfall")
    place = f"host=127.0.0.1 port={cluster.port} dbname=landfall user=landfall_feed password={PASSWORD}"
    cluster.sql(
        f"CREATE SUBSCRIPTION consumer CONNECTION '{place}' PUBLICATION {PUBLICATION}"
        " WITH (create_slot = false, slot_name = 'consumer')",
        database="consumer",
    )
    consumer = await asyncpg.connect(cluster.dsn("consumer", "postgres"))
    try:

        async def equal() -> bool:
            return await rows(consumer) == await rows(owner)

        await eventually(equal)
        assert len((await rows(consumer))["ig_comments"]) == 5, "what was there before is copied"
        await events(owner, 5, 9)
        read = {"id": "c1", "text": "edited", "hidden": True, "like_count": 3}
        await append_event(owner, SHOP, "edited", type="comment.read", payload=read, occurred_at=NOON)
        await project(cluster.dsn())
        await eventually(equal)
        found = await consumer.fetchrow("SELECT text, hidden, metrics_json FROM ig_comments WHERE ig_id = 'c1'")
        assert tuple(found or ()) == ("edited", True, '{"likes": 3}')
        ids = "SELECT id, ig_media_id FROM public.ig_comments ORDER BY 1"
        assert await consumer.fetch(ids) == await owner.fetch(ids), "it computes the same numbers"
        # Rows that are wrong, missing and too many come right by a rebuild, in the tables and at the subscriber.
        await owner.execute("UPDATE ig_comments SET text = 'wrong' WHERE ig_id = 'c2'")
        await owner.execute("DELETE FROM ig_comments WHERE ig_id = 'c3'")
        await owner.execute("UPDATE ig_comments SET ig_id = 'never' WHERE ig_id = 'c4'")
        await eventually(equal)
        code, said = await command(cluster.dsn(), "rebuild")
        assert code == 0, said
        await eventually(equal)
        assert (await consumer.fetchval("SELECT text FROM ig_comments WHERE ig_id = 'c2'")) == "text 2 ☕"
        assert await consumer.fetchval("SELECT count(*) FROM ig_comments WHERE ig_id = 'never'") == 0
        code, said = await command(cluster.dsn(), "db", "feed", "status", "--json")
        shown = json.loads(said)
        assert (code, shown["publication"], shown["wal_level"], shown["lacking"]) == (0, PUBLICATION, "logical", [])
        [slot] = shown["slots"]
        assert (slot["name"], slot["plugin"], slot["active"]) == ("consumer", "pgoutput", True)
        code, said = await command(cluster.dsn(), "doctor")
        assert f"feed: {PUBLICATION} publishes everything that this release has" in said
        assert "servers follow" not in said, "a subscriber is no standby"
    finally:
        await consumer.close()
        cluster.sql("DROP SUBSCRIPTION consumer", database="consumer")


SECRET = re.compile("secret|token|password|sealed|key_sha|totp|credential", re.IGNORECASE)


async def test_publication_has_crm_tables_alone_and_no_column_that_is_not_declared(
    cluster: Postgres, owner: asyncpg.Connection
) -> None:
    await command(cluster.dsn(), "db", "feed", "enable")
    rows_ = await owner.fetch("SELECT tablename, attnames::text[] FROM pg_publication_tables ORDER BY 1")
    assert {row[0]: set(row[1]) for row in rows_} == {name: set(each) for name, each in published_columns().items()}
    assert not any(SECRET.search(f"{row[0]} {' '.join(row[1])}") for row in rows_)
    assert "pull_tasks" not in {row[0] for row in rows_}
    await owner.execute("ALTER TABLE ig_media ADD COLUMN later_secret text")
    try:
        [found] = await owner.fetch("SELECT attnames::text[] FROM pg_publication_tables WHERE tablename = 'ig_media'")
        assert "later_secret" not in found[0], "what is added is not published by itself"
    finally:
        await owner.execute("ALTER TABLE ig_media DROP COLUMN later_secret")


async def test_login_that_subscribes_reads_the_published_columns_and_nothing_else(
    cluster: Postgres,
) -> None:
    cluster.sql("DROP ROLE IF EXISTS another_feed", f"CREATE ROLE another_feed LOGIN REPLICATION PASSWORD '{PASSWORD}'")
    code, said = await command(cluster.dsn(), "db", "feed", "enable", "--login", "another_feed")
    assert code == 0, said
    reader = await asyncpg.connect(f"postgresql://another_feed:{PASSWORD}@127.0.0.1:{cluster.port}/landfall")
    for table, names in published_columns().items():
        await reader.fetch(f"SELECT {', '.join(names)} FROM {table}")
    for statement in (
        "SELECT content_version FROM ig_comments",
        "SELECT * FROM pull_tasks",
        "SELECT * FROM connection_secrets",
        "SELECT * FROM webhook_event_log",
        "SELECT * FROM reporting.posts_v1",
        "UPDATE ig_comments SET text = ''",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute(statement)
    await reader.close()


async def test_feed_of_an_earlier_release_lacks_what_this_one_added_and_says_so(
    cluster: Postgres, owner: asyncpg.Connection
) -> None:
    await command(cluster.dsn(), "db", "feed", "enable")
    await owner.execute(f"ALTER PUBLICATION {PUBLICATION} SET TABLE ig_media (bucket, account_id, ig_id, caption)")
    code, said = await command(cluster.dsn(), "db", "feed", "status")
    assert (code, "lacking: ig_media.permalink" in said, "lacking: ig_comments.text" in said) == (1, True, True)
    code, said = await command(cluster.dsn(), "doctor")
    assert "columns of this release are not published" in said
    await command(cluster.dsn(), "db", "feed", "enable")
    code, said = await command(cluster.dsn(), "db", "feed", "status")
    assert (code, "lacking" in said) == (0, False)


async def test_slot_that_is_left_is_named_when_the_feed_is_ended(cluster: Postgres) -> None:
    await command(cluster.dsn(), "db", "feed", "enable")
    cluster.sql("SELECT pg_create_logical_replication_slot('forgotten', 'pgoutput')", database="landfall")
    try:
        code, said = await command(cluster.dsn(), "db", "feed", "disable")
        assert (code, f"{PUBLICATION} is no more" in said) == (0, True)
        assert "the slot forgotten keeps" in said
        assert "SELECT pg_drop_replication_slot('forgotten');" in said
    finally:
        cluster.sql("SELECT pg_drop_replication_slot('forgotten')", database="landfall")
    code, said = await command(cluster.dsn(), "db", "feed", "disable")
    assert (code, said) == (0, f"there was no {PUBLICATION}\n")
    code, said = await command(cluster.dsn(), "db", "feed", "status")
    assert (code, "make it with `landfall db feed enable`" in said) == (0, True)
    code, said = await command(cluster.dsn(), "doctor")
    assert "feed:" not in said, "nobody asked for one"


async def test_server_that_streams_nothing_is_named_with_what_to_do(database: str, postgres: Postgres) -> None:
    """On the server of the suite, whose wal_level is the default."""
    assert postgres.sql("SHOW wal_level") == "replica"
    for _ in range(2):
        code, said = await command(database, "db", "feed", "enable")
        assert code == 1
        assert f"{PUBLICATION} publishes" in said
        assert "wal_level is replica and has to be logical" in said
        assert "ALTER SYSTEM SET wal_level = logical;" in said
    code, said = await command(database, "db", "feed", "status", "--json")
    assert (code, json.loads(said)["wal_level"]) == (1, "replica")
    code, said = await command(database, "doctor")
    assert "feed: wal_level is replica, so nothing is streamed" in said
    code, said = await command(database, "db", "feed", "enable", "--login", "x; DROP ROLE landfall")
    assert (code, "the name of a login" in said) == (1, True)


def test_script_for_a_subscriber_has_every_column_of_the_feed() -> None:
    script = subscriber_script()
    for table, names in published_columns().items():
        made = script.partition(f"CREATE TABLE IF NOT EXISTS public.{table} (")[2].partition(");")[0]
        assert {line.split()[0] for line in made.splitlines() if line.strip()} >= set(names), table
    assert "GENERATED ALWAYS AS (hashtextextended" in script
    assert "_version" not in script
    assert "_carried" not in script
