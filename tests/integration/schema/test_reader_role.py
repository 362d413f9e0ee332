"""Reading the tables by SQL: the role for it, comments on everything, the README's queries, and the log's own time."""

import itertools
import random
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ops.cli import logins, wiring
from ops.runtime.db import Pool, open_pool
from ops.runtime.embedded import Postgres
from schema.log import WEBHOOK_EVENTS
from schema.published import PUBLISHED, PUBLISHED_FOR_TENANT
from schema.reporting import VIEWS
from schema.rights import APP_ROLE, READER_ROLE, TENANT_READER_ROLE
from sync.projection import store
from sync.projection.worker import Projector
from sync.rebuild import procedure as rebuild
from tests.support import append_event

README = (Path(__file__).parents[3] / "README.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 4, role=APP_ROLE, settings=store.PLANNER) as found:
        yield found


async def drain(pool: Pool) -> None:
    await Projector(pool, wiring.projections(), tries=1).drain()


def comment(number: int, **value: Any) -> dict[str, Any]:
    return {
        "id": f"c{number}",
        "media": {"id": "m"},
        "from": {"id": "5", "username": "fan"},
        "text": f"t{number}",
    } | value


async def test_every_table_view_and_column_says_what_it_is(connection: asyncpg.Connection) -> None:
    tables = await connection.fetch(
        """
        SELECT oid, relname, obj_description(oid) AS about FROM pg_class
        WHERE relnamespace IN ('public'::regnamespace, 'reporting'::regnamespace, 'reporting_tenant'::regnamespace)
            AND relkind IN ('r', 'v', 'm', 'p', 'f') AND NOT relispartition AND relname <> 'alembic_version'"""
    )
    columns = await connection.fetch(
        """
        SELECT attrelid::regclass::text, attname, col_description(attrelid, attnum) AS about FROM pg_attribute
        WHERE attrelid = any($1::oid[]) AND attnum > 0 AND NOT attisdropped""",
        [table["oid"] for table in tables],
    )
    assert len(tables) > 30
    assert len(columns) > 250
    assert [tuple(row)[:2] for row in [*tables, *columns] if not (row["about"] or "").strip()] == []


async def test_view_of_the_events_says_what_the_schema_says(connection: asyncpg.Connection) -> None:
    about, columns = WEBHOOK_EVENTS
    query = "SELECT obj_description('webhook_events'::regclass)"
    assert await connection.fetchval(query) == about
    rows = await connection.fetch(
        "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid = 'webhook_events'::regclass AND attnum > 0"
    )
    assert {row[0]: row[1] for row in rows} == columns


SEEN = {
    READER_ROLE: {f"reporting.{name}" for name in (*VIEWS, *PUBLISHED)},
    TENANT_READER_ROLE: {f"reporting_tenant.{name}" for name in PUBLISHED_FOR_TENANT},
}


@pytest.mark.parametrize("role", SEEN)
async def test_readers_see_the_views_of_their_schema_and_nothing_else(
    connection: asyncpg.Connection, role: str
) -> None:
    rows = await connection.fetch(
        """
        SELECT c.oid::regclass::text, p.name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
            unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p (name)
        WHERE n.nspname IN ('public', 'reporting', 'reporting_tenant') AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND (
            has_table_privilege($1, c.oid, p.name)
            OR p.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege($1, c.oid, p.name)
        )""",
        role,
    )
    assert {tuple(row) for row in rows} == {(name, "SELECT") for name in SEEN[role]}
    found = await connection.fetchrow(
        """
        SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,
            EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) AS member,
            has_schema_privilege(r.oid, 'public', 'CREATE') AS maker,
            has_schema_privilege(r.oid, 'reporting', 'CREATE') AS view_maker,
            has_schema_privilege(r.oid, 'reporting_tenant', 'CREATE') AS tenant_view_maker
        FROM pg_roles r WHERE rolname = $1""",
        role,
    )
    assert not any(found.values())


async def test_login_that_reads_runs_the_queries_of_the_readme_and_can_change_nothing(
    database: str, connection: asyncpg.Connection, pool: Pool, postgres: Postgres
) -> None:
    for number, value in enumerate((comment(1), comment(3), comment(4))):
        await append_event(connection, "a", f"e{number}", payload=value)
    gone = {"id": "c4"}
    await append_event(connection, "a", "gone", type="comment.gone", payload=gone, occurred_at=NOON)
    media = {"id": "m", "caption": "Tea", "like_count": 7, "timestamp": NOON.isoformat()}
    await append_event(connection, "a", "media", type="media.read", payload=media, occurred_at=NOON)
    for event, content in (
        ("post.publish.complete", '{"publish_id": "p1"}'),
        ("post.publish.publicly_available", '{"publish_id": "p1", "post_id": "7"}'),
        ("post.publish.failed", '{"publish_id": "p2", "reason": "spam_risk"}'),
    ):
        at = NOON + timedelta(seconds=len(content))
        event_ = {"type": event, "payload": {"content": content}, "occurred_at": at}
        await append_event(connection, "t", f"{event}", provider="tiktok", **event_)
    await drain(pool)
    name, password = f"{database.rpartition('/')[2]}_read", "long-enough-for-this"
    try:
        await logins.make(connection, "read", name, password)
        reader = await asyncpg.connect(logins.address(database, name, password))
        try:
            assert len(QUERIES) == 3
            newest, liked, published = [await reader.fetch(query) for query in QUERIES]
            assert [row["text"] for row in newest] == ["t3", "t1"], "newest first, without the deleted one"
            assert [(row["caption"], row["likes"], row["comments"]) for row in liked] == [("Tea", 7, 2)]
            assert [
                (row["publish_id"], row["status"], row["error_code"], row["public_posts"]) for row in published
            ] == [
                ("p2", "FAILED", "spam_risk", None),
                ("p1", "PUBLISH_COMPLETE", None, '[{"post_id": "7"}]'),
            ]
            # Its rights hold, whatever its session sets.
            await reader.execute("SET default_transaction_read_only = off")
            for statement in (
                "SELECT * FROM public.connection_secrets",
                "SELECT * FROM public.connections",
                "SELECT * FROM public.users",
                "SELECT * FROM public.sessions",
                "SELECT * FROM public.api_keys",
                "SELECT * FROM public.audit_log",
                "SELECT * FROM public.webhook_deliveries",
                "SELECT * FROM public.webhook_events",
                "SELECT * FROM public.ig_comments",
                "UPDATE ig_comments SET text = ''",
                "DELETE FROM ig_media",
                "INSERT INTO webhook_events DEFAULT VALUES",
                "CREATE TABLE mine (id int)",
                "SET ROLE landfall_app",
            ):
                with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError)):
                    await reader.execute(statement)
        finally:
            await reader.close()
    finally:
        await connection.execute(f"DROP ROLE {name}")


AGAIN = """
WITH o AS (DELETE FROM webhook_event_outcomes RETURNING *)
INSERT INTO webhook_event_queue (bucket, account_id, event_id) SELECT bucket, account_id, event_id FROM o
"""


async def test_rows_have_the_times_of_the_first_and_last_event_about_them_after_any_order_and_a_rebuild(
    database: str, connection: asyncpg.Connection, pool: Pool
) -> None:
    """They are the log's own times: whoever projects it, in whatever order and however often, finds the same."""
    events = [
        ("read", {"type": "comment.read", "payload": {"id": "c1"}, "occurred_at": NOON}),
        ("told", {"payload": comment(1)}),
        ("mention", {"type": "mentions", "payload": {"media_id": "m", "comment_id": "c1"}}),
        ("gone", {"type": "comment.gone", "payload": {"id": "c1"}, "occurred_at": NOON}),
        ("media", {"type": "media.read", "payload": {"id": "m"}, "occurred_at": NOON}),
        ("late", {"payload": comment(2)}),
    ]
    for name, event in events:
        await append_event(connection, "a", name, **event)
    found = await connection.fetch("SELECT external_id, created_at FROM webhook_event_log")
    at = {row["external_id"]: row["created_at"] for row in found}
    times = "SELECT created_at, updated_at FROM ig_comments WHERE ig_id = 'c1' UNION ALL SELECT created_at, updated_at"
    times += " FROM ig_media UNION ALL SELECT created_at, updated_at FROM instagram_accounts"
    wanted = [(at["read"], at["gone"]), (at["told"], at["media"]), (at["read"], None)]
    for order in random.Random(1).sample(list(itertools.permutations([name for name, _ in events])), 12):
        for name in order:
            await connection.execute(AGAIN)
            await connection.execute(
                "UPDATE webhook_event_queue SET due_at = now() + (external_id <> $1)::int * interval '1 hour'"
                " FROM webhook_event_log e WHERE e.id = event_id",
                name,
            )
            await drain(pool)
        assert [tuple(row) for row in await connection.fetch(times)] == wanted, order
        await connection.execute("TRUNCATE ig_comments, ig_media, ig_media_metrics, instagram_accounts")
    await connection.execute(AGAIN)
    await connection.execute("UPDATE webhook_event_queue SET due_at = now()")
    await drain(pool)
    await connection.execute("UPDATE ig_comments SET updated_at = now() + interval '1 day' WHERE ig_id = 'c1'")
    report = await rebuild.verify(connection, wiring.projections(), lambda *_: None)
    assert report.drift == 1, "a time that is not the log's is found"
    await connection.execute("RESET search_path")
    await rebuild.rebuild(connection, wiring.projections(), ["instagram"], lambda *_: None, lose_failed=False)
    await connection.execute("RESET search_path")
    assert [tuple(row) for row in await connection.fetch(times)] == wanted
