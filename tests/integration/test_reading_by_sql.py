"""Reading the tables by SQL: the role for it, comments on everything, the README's queries, and the log's own time."""

import itertools
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
from schema.crm import crm_tables
from schema.events import Event
from schema.log import WEBHOOK_EVENTS
from schema.reading import moment
from schema.rights import APP_ROLE, READER_ROLE
from sync.projection import store
from sync.projection.contract import event_of
from sync.projection.store import Batch, Claimed
from sync.projection.worker import Projector, project
from sync.rebuild import procedure as rebuild
from tests.support import append_event

README = (Path(__file__).parents[2] / "README.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", README, re.DOTALL)
READABLE = {*(table.name for table in crm_tables()), "crm_verifications", "webhook_events"}
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
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f')
            AND relname <> 'alembic_version'"""
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


async def test_reader_sees_the_tables_and_the_events_and_nothing_else(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        """
        SELECT c.relname, p.name FROM pg_class c,
            unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p (name)
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p', 'f') AND (
            has_table_privilege($1, c.oid, p.name)
            OR p.name IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege($1, c.oid, p.name)
        )""",
        READER_ROLE,
    )
    assert {tuple(row) for row in rows} == {(name, "SELECT") for name in READABLE}
    role = await connection.fetchrow(
        """
        SELECT rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,
            EXISTS (SELECT FROM pg_auth_members WHERE member = r.oid) AS member,
            has_schema_privilege(r.oid, 'public', 'CREATE') AS maker
        FROM pg_roles r WHERE rolname = $1""",
        READER_ROLE,
    )
    assert not any(role.values())


async def test_login_that_reads_runs_the_queries_of_the_readme_and_can_change_nothing(
    database: str, connection: asyncpg.Connection, pool: Pool, postgres: Postgres
) -> None:
    for number, value in enumerate(
        (
            comment(1),
            comment(2, parent_id="c1", **{"from": {"id": "a", "username": "shop"}}),
            comment(3),
            comment(4),
        )
    ):
        await append_event(connection, "a", f"e{number}", payload=value)
    gone = {"id": "c4"}
    await append_event(connection, "a", "gone", type="comment.gone", payload=gone, occurred_at=NOON)
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
            newest, unanswered, published = [await reader.fetch(query) for query in QUERIES]
            assert [row["text"] for row in newest] == ["t3", "t1"], "newest first, without the deleted and our own"
            assert [row["external_id"] for row in unanswered] == ["c3"]
            assert [
                (row["publish_id"], row["status"], row["fail_reason"], row["public_posts"]) for row in published
            ] == [
                ("p2", "failed", "spam_risk", 0),
                ("p1", "complete", None, 1),
            ]
            for statement in (
                "SELECT * FROM connection_secrets",
                "SELECT * FROM users",
                "SELECT * FROM sessions",
                "SELECT * FROM api_keys",
                "SELECT * FROM audit_log",
                "SELECT * FROM webhook_deliveries",
                "UPDATE ig_comments SET text = ''",
                "DELETE FROM ig_media",
                "INSERT INTO lookups DEFAULT VALUES",
                "CREATE TABLE mine (id int)",
                "SET ROLE landfall_app",
            ):
                with pytest.raises(asyncpg.InsufficientPrivilegeError):
                    await reader.execute(statement)
        finally:
            await reader.close()
    finally:
        await connection.execute(f"DROP ROLE {name}")


async def test_comment_has_the_time_of_the_first_event_about_it_after_any_order_and_a_rebuild(
    database: str, connection: asyncpg.Connection, pool: Pool
) -> None:
    """It is the log's own time: whoever projects it, in whatever order and however often, finds the same."""
    events = [
        ("read", {"type": "comment.read", "payload": {"id": "c1"}, "occurred_at": NOON}),
        ("said", {"payload": comment(1)}),
        ("mention", {"type": "mentions", "payload": {"media_id": "m", "comment_id": "c1"}}),
        ("gone", {"type": "comment.gone", "payload": {"id": "c1"}, "occurred_at": NOON}),
    ]
    for name, event in events:
        await append_event(connection, "a", name, **event)
    first = await connection.fetchval("SELECT min(created_at) FROM webhook_event_log")
    for order in itertools.permutations([name for name, _ in events], 4):
        for name in order:
            await connection.execute(
                """
                WITH o AS (DELETE FROM webhook_event_outcomes RETURNING *)
                INSERT INTO webhook_event_queue (bucket, account_id, event_id)
                SELECT bucket, account_id, event_id FROM o
                """
            )
            await connection.execute(
                "UPDATE webhook_event_queue SET due_at = now() + (external_id <> $1)::int * interval '1 hour'"
                " FROM webhook_event_log e WHERE e.id = event_id",
                name,
            )
            await drain(pool)
        row = await connection.fetchrow("SELECT received_at, receipt_version FROM ig_comments")
        assert row["received_at"] == first, order
        assert event_of(row["receipt_version"]) == "read"
        await connection.execute("DELETE FROM ig_comments; UPDATE webhook_event_queue SET due_at = now()")
        await drain(pool)
    await connection.execute("UPDATE ig_comments SET received_at = now() + interval '1 day'")
    report = await rebuild.verify(connection, wiring.projections(), lambda *_: None)
    assert report.drift == 1, "a time that is not the log's is found"
    await connection.execute("RESET search_path")
    await rebuild.rebuild(connection, wiring.projections(), ["instagram"], lambda *_: None, lose_failed=False)
    await connection.execute("RESET search_path")
    assert await connection.fetchval("SELECT received_at FROM ig_comments") == first


def test_event_that_is_not_in_the_log_states_no_time_of_it() -> None:
    event = Event("instagram", "a", "e", "comments", comment(1), None)
    facts = project(wiring.projections(), Batch([Claimed(1, event, None, NOON, 0)], None)).facts
    assert "receipt" not in {fact.upsert.facet for fact in facts}
    assert moment("2026-11-27T12:00:00+0000") == NOON
