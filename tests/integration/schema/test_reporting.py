"""Schema ``reporting``: the tables of the user's design, with its columns, its joins, and what it is not to show."""

import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from textwrap import dedent
from typing import Any

import asyncpg
import pytest

from ingest.contract import Incoming
from ingest.store import append_own
from ops.cli import logins, wiring
from ops.runtime.db import Pool, open_pool
from schema.reporting import VIEWS
from schema.rights import APP_ROLE
from schema.tables import key_numbers
from schema.tenancy import DEFAULT_TENANT
from sync.projection import store
from sync.projection.worker import Projector
from sync.rebuild.procedure import rebuild, verify
from tests.support import append_event, command

DESIGN = {
    "oauth_accounts": "id user_id provider open_id scope access_token_encrypted refresh_token_encrypted expires_at"
    " metadata created_at updated_at",
    "instagram_accounts": "id user_id oauth_account_id ig_business_id page_id username access_level metadata created_at"
    " updated_at",
    "ig_media": "id instagram_account_id ig_id media_type caption permalink timestamp metrics_json created_at"
    " updated_at",
    "ig_comments": "id ig_media_id ig_id from_user text hidden timestamp created_at updated_at",
    "tiktok_posts": "id user_id oauth_account_id publish_id status source title error_code error_message metadata"
    " created_at updated_at",
    "scheduled_posts": "id campaign_id user_id social_connection_id platform post_content media_urls hashtags"
    " scheduled_time status platform_post_id posting_error retry_count created_at",
    "social_connections": "id user_id platform platform_user_id platform_username display_name token_expires_at scopes"
    " extra_data connection_status created_at updated_at revoked_at",
    "social_shares": "connection shared_url shared_title platform_post_id platform_post_url status error_message"
    " created_at",
    "webhook_events": "id provider event_type external_id payload_json processed_at error_message retry_count"
    " created_at source",
}
"""The user's tables and their columns, in their order. ``source`` of an event came later."""

TIME = "timestamp with time zone"
TYPES = {
    "id": "bigint",
    "user_id": "uuid",
    "oauth_account_id": "bigint",
    "instagram_account_id": "bigint",
    "ig_media_id": "bigint",
    "social_connection_id": "bigint",
    "connection": "bigint",
    "extra_data": "jsonb",
    **dict.fromkeys(("scopes", "media_urls", "hashtags"), "text[]"),
    **dict.fromkeys(("scheduled_time", "token_expires_at", "revoked_at"), "timestamp with time zone"),
    "metadata": "jsonb",
    "metrics_json": "jsonb",
    "payload_json": "jsonb",
    "hidden": "boolean",
    "retry_count": "integer",
    **dict.fromkeys(
        ("created_at", "updated_at", "expires_at", "processed_at", "timestamp"), "timestamp with time zone"
    ),
}
"""Text, if it is not here."""

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SHOP, TIKTOK = "17841400000000001", "-000person"
BASIC = ["instagram_basic", "instagram_manage_comments"]


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    async with await open_pool(database, "test", 4, role=APP_ROLE, settings=store.PLANNER) as found:
        yield found


@pytest.fixture
async def reader(database: str, connection: asyncpg.Connection) -> AsyncIterator[asyncpg.Connection]:
    """A connection of a login that `landfall db login read` makes."""
    name, password = f"{database.rpartition('/')[2]}_read", "long-enough-for-this"
    await logins.make(connection, "read", name, password)
    opened = await asyncpg.connect(logins.address(database, name, password))
    yield opened
    await opened.close()
    await connection.execute(f"DROP ROLE {name}")


async def connected(
    connection: asyncpg.Connection, platform: str, account: str, *, tenant: str = DEFAULT_TENANT, **more: Any
) -> None:
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    given = {"scopes": [], "profile": {}, "username": "shop", "state": "active", "instance": "", "via": None} | more
    await connection.execute(
        """
        INSERT INTO connections (tenant_id, id, platform, instance, account_id, other_ids, username, scopes, profile,
            state, via, authorized_at, access_expires_at)
        VALUES ($1, $2, $3, $4, $5, '{}', $6, $7, $8::jsonb, $9, $10, $11, $12)""",
        uuid.UUID(tenant),
        uuid.uuid4(),
        platform,
        given["instance"],
        account,
        given["username"],
        given["scopes"],
        json.dumps(given["profile"]),
        given["state"],
        given["via"],
        given.get("authorized_at", NOON),
        NOON + timedelta(days=60),
    )
    await connection.execute("RESET landfall.tenant")


async def filled(connection: asyncpg.Connection, pool: Pool) -> None:
    comment = {"id": "c1", "text": "hello", "media": {"id": "m1"}, "from": {"id": "5", "username": "fan"}}
    await append_event(connection, SHOP, "e1", payload=comment)
    await append_event(connection, SHOP, "e2", payload=comment | {"id": "c2"})
    at = {"occurred_at": NOON}
    await append_event(connection, SHOP, "e3", type="comment.gone", payload={"id": "c2"}, **at)
    media = {"id": "m1", "caption": "Tea", "media_type": "VIDEO", "media_product_type": "REELS", "like_count": 7}
    await append_event(connection, SHOP, "e4", type="media.read", payload=media, **at)
    status = {"publish_id": "p1", "status": "FAILED", "fail_reason": "spam_risk"}
    begun = {"publish_id": "p1", "source": "FILE_UPLOAD", "title": "Tea"}
    for name, kind, payload in (("e5", "post.read", status), ("e6", "post.begun", begun)):
        await append_event(connection, TIKTOK, name, provider="tiktok", type=kind, payload=payload, **at)
    await Projector(pool, wiring.projections(), tries=1).drain()
    assert await connection.fetchval("SELECT count(*) FROM webhook_events WHERE state <> 'done'") == 0


async def test_views_have_the_columns_of_the_design_and_no_other(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'reporting'::regnamespace AND c.relname !~ '_v[0-9]+$' ORDER BY c.relname, a.attnum"""
    )
    found: dict[str, list[str]] = {}
    for view, column, kind in rows:
        found.setdefault(view, []).append(column)
        assert kind == TYPES.get(column, "text"), (view, column)
    assert found == {view: columns.split() for view, columns in DESIGN.items()}


async def test_views_are_and_are_called_what_the_schema_says(connection: asyncpg.Connection) -> None:
    for name, view in VIEWS.items():
        await connection.execute(f"CREATE TEMP VIEW declared AS {dedent(view.query)}")
        made, declared = [
            await connection.fetchval("SELECT pg_get_viewdef($1::regclass)", which)
            for which in (f"reporting.{name}", "pg_temp.declared")
        ]
        assert made == declared, name
        await connection.execute("DROP VIEW declared")
        assert await connection.fetchval("SELECT obj_description($1::regclass)", f"reporting.{name}") == view.comment
        comments = await connection.fetch(
            "SELECT attname, col_description(attrelid, attnum) FROM pg_attribute"
            " WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum",
            f"reporting.{name}",
        )
        assert [tuple(row) for row in comments] == list(view.columns.items()), name


async def test_joins_of_the_design_find_what_belongs_together(
    connection: asyncpg.Connection, pool: Pool, reader: asyncpg.Connection
) -> None:
    await connected(connection, "instagram", SHOP, scopes=BASIC, profile={"page": "99"}, via="facebook")
    await connected(connection, "tiktok", TIKTOK, scopes=["video.upload"])
    await filled(connection, pool)
    [found] = await reader.fetch(
        """
        SELECT c.ig_id, c.text, c.from_user, c.hidden, m.ig_id AS media, m.media_type, m.caption, m.metrics_json,
            a.ig_business_id, a.page_id, a.username, a.access_level, a.user_id::text, o.provider, o.scope
        FROM ig_comments c JOIN ig_media m ON c.ig_media_id = m.id
        JOIN instagram_accounts a ON m.instagram_account_id = a.id
        JOIN oauth_accounts o ON a.oauth_account_id = o.id AND o.user_id = a.user_id"""
    )
    assert dict(found) == {
        "ig_id": "c1", "text": "hello", "from_user": "fan", "hidden": False,
        "media": "m1", "media_type": "REELS", "caption": "Tea", "metrics_json": '{"likes": 7}',
        "ig_business_id": SHOP, "page_id": "99", "username": "shop", "access_level": "BASIC",
        "user_id": DEFAULT_TENANT, "provider": "instagram", "scope": " ".join(BASIC),
    }  # fmt: skip
    [post] = await reader.fetch(
        """
        SELECT p.publish_id, p.status, p.source, p.title, p.error_code, p.error_message, p.metadata ->> 'open_id' AS of,
            o.open_id, p.user_id = o.user_id AS same
        FROM tiktok_posts p JOIN oauth_accounts o ON p.oauth_account_id = o.id"""
    )
    assert tuple(post) == ("p1", "FAILED", "FILE_UPLOAD", "Tea", "spam_risk", None, TIKTOK, TIKTOK, True)
    assert await reader.fetchval("SELECT count(*) FROM ig_comments") == 1, "without the one that is gone"


async def test_rows_of_an_account_that_nobody_connected_are_shown_too(
    connection: asyncpg.Connection, pool: Pool, reader: asyncpg.Connection
) -> None:
    await filled(connection, pool)
    joined = "SELECT count(*) FROM ig_media m JOIN instagram_accounts a ON m.instagram_account_id = a.id"
    assert await reader.fetchval(joined) == 1
    [account] = await reader.fetch("SELECT * FROM instagram_accounts")
    assert (account["user_id"], account["oauth_account_id"], account["access_level"]) == (None, None, None)
    assert await reader.fetchval("SELECT oauth_account_id FROM tiktok_posts") is None
    assert await reader.fetch("SELECT * FROM oauth_accounts") == []


async def test_connected_account_is_shown_before_any_event_of_it_and_keeps_its_id(
    connection: asyncpg.Connection, pool: Pool, reader: asyncpg.Connection
) -> None:
    scopes = [*BASIC, "instagram_content_publish"]
    await connected(connection, "instagram", SHOP, scopes=scopes)
    [before] = await reader.fetch("SELECT id, access_level, page_id, username FROM instagram_accounts")
    assert tuple(before)[1:] == ("CONTENT_PUBLISH", None, "shop")
    await filled(connection, pool)
    assert await reader.fetchval("SELECT id FROM instagram_accounts") == before["id"]


async def test_account_of_two_tenants_is_one_row_and_both_of_their_grants_are_shown(
    connection: asyncpg.Connection, pool: Pool, reader: asyncpg.Connection
) -> None:
    other = str(uuid.uuid4())
    await connection.execute("INSERT INTO tenants (id, name) VALUES ($1, 'other')", uuid.UUID(other))
    for platform, account in (("instagram", SHOP), ("tiktok", TIKTOK)):
        await connected(connection, platform, account, state="disconnected", authorized_at=NOON + timedelta(days=1))
        await connected(connection, platform, account, tenant=other)
    await connected(connection, "mastodon", "1", instance="mastodon.example")
    await filled(connection, pool)
    for view in ("instagram_accounts", "tiktok_posts"):
        assert [str(row[0]) for row in await reader.fetch(f"SELECT user_id FROM {view}")] == [other], "it is active"
    rows = await reader.fetch("SELECT provider, open_id, user_id, metadata FROM oauth_accounts ORDER BY 1, 2")
    assert len({(row["provider"], row["open_id"], row["user_id"]) for row in rows}) == len(rows) == 5
    assert {row["open_id"] for row in rows} == {SHOP, TIKTOK, "1@mastodon.example"}
    assert json.loads(rows[2]["metadata"])["status"] == "active"


async def test_tokens_are_shown_to_nobody_and_the_tenant_that_is_set_hides_nothing(
    connection: asyncpg.Connection, reader: asyncpg.Connection
) -> None:
    await connected(connection, "tiktok", TIKTOK)
    for tenant in ("", str(uuid.uuid4()), "*"):
        await reader.execute("SELECT set_config('landfall.tenant', $1, false)", tenant)
        [row] = await reader.fetch("SELECT * FROM oauth_accounts")
        assert (row["access_token_encrypted"], row["refresh_token_encrypted"]) == (None, None)
        assert await reader.fetchval("SELECT current_setting('landfall.tenant')") == tenant
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.fetch("SELECT * FROM public.connections")


async def test_ids_are_positive_and_stay_after_a_rebuild(
    connection: asyncpg.Connection, pool: Pool, reader: asyncpg.Connection, database: str
) -> None:
    await filled(connection, pool)
    views = ("instagram_accounts", "ig_media", "ig_comments", "tiktok_posts")
    before = [await reader.fetch(f"SELECT * FROM {view} ORDER BY id") for view in views]
    assert all(row["id"] > 0 for rows in before for row in rows)
    await connection.execute(
        "TRUNCATE instagram_accounts, ig_media, ig_comments, tiktok_posts, tiktok_post_ids CASCADE"
    )
    owner = await asyncpg.connect(database)
    await rebuild(owner, wiring.projections(), list(wiring.projections()), lambda *_: None)
    await owner.close()
    assert [await reader.fetch(f"SELECT * FROM {view} ORDER BY id") for view in views] == before


async def test_number_that_two_rows_share_is_found_by_verify(
    connection: asyncpg.Connection, pool: Pool, database: str
) -> None:
    await connected(connection, "tiktok", "one")
    await connected(connection, "tiktok", "two")
    await filled(connection, pool)
    report = await verify(connection, wiring.projections(), lambda *_: None)
    await connection.execute("RESET search_path")
    assert (report.drift, list(report.collisions)) == (0, [])
    for table, column in key_numbers():  # by chance it takes thousands of millions of rows
        await connection.execute(f"ALTER TABLE public.{table} ALTER COLUMN {column} DROP EXPRESSION")
        await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
        await connection.execute(f"UPDATE public.{table} SET {column} = 1")
    code, text = await command(database, "verify")
    assert code == 1
    assert "ig_comments: 1 ids are shared by two rows" in text
    assert "connections: 1 ids" in text
    assert "ig_media: " not in text, "there is one row"
    assert await connection.fetchval("SELECT colliding_ids FROM public.crm_verifications") == 2


async def test_event_says_whether_a_platform_sent_it_or_it_was_read_there_or_is_our_own(
    connection: asyncpg.Connection, reader: asyncpg.Connection
) -> None:
    await append_event(connection, SHOP, "sent")
    for source in ("own", "poll"):
        event = Incoming(account_id=SHOP, type="media.read", external_id=source, payload="{}")
        await append_own(connection, "instagram", 1, [event], source)
    rows = await reader.fetch("SELECT external_id, source, created_at FROM webhook_events ORDER BY id")
    assert [(row["external_id"], row["source"]) for row in rows] == [
        ("sent", "webhook"),
        ("own", "own"),
        ("poll", "poll"),
    ]
    with pytest.raises(asyncpg.CheckViolationError):
        await append_own(connection, "instagram", 1, [Incoming(SHOP, "x", "x", "{}")], "guess")


PUBLISHERS = wiring.publishers()


async def targeted(
    connection: asyncpg.Connection,
    platform: str,
    kind: str,
    *,
    post: uuid.UUID | None = None,
    parent: uuid.UUID | None = None,
    options: dict[str, str] | None = None,
    link: str = "null",
) -> tuple[uuid.UUID, uuid.UUID]:
    """Store a target of a kind, and its post if none is given; the ids of both."""
    id_, own = uuid.uuid4(), uuid.uuid4()
    if post is None:
        await connection.execute(
            "INSERT INTO posts (tenant_id, id, content, link, author) VALUES ($1::uuid, $2, 'Tea', $3::jsonb, 'test')",
            *(DEFAULT_TENANT, own, link),
        )
    await connection.execute(
        """
        INSERT INTO post_targets (tenant_id, id, post_id, connection_id, platform, account_id, parent_id, kind, options,
            digest, state)
        SELECT tenant_id, $1, $2, id, platform, account_id, $3, $4, $5::jsonb, '', 'draft' FROM connections
        WHERE platform = $6""",
        *(id_, post or own, parent, kind, json.dumps(options or {}), platform),
    )
    return post or own, id_


async def test_every_kind_of_post_is_a_row_of_scheduled_posts_and_no_action_is(
    connection: asyncpg.Connection, pool: Pool, reader: asyncpg.Connection
) -> None:
    """Every machine of every platform is one of the two, and what answers somebody else's post is an action too."""
    link, posts, actions = '{"url": "https://example.org/tea", "title": "Tea"}', set[uuid.UUID](), set[uuid.UUID]()
    for platform, publisher in PUBLISHERS.items():
        await connected(connection, platform, f"account of {platform}")
        await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
        reply = publisher.machines.reply_kind
        for kind in publisher.machines.machines:
            if kind in publisher.rules.kinds:
                post, root = await targeted(connection, platform, kind, link=link)
                posts.add(root)
                if reply:
                    posts.add((await targeted(connection, platform, reply, post=post, parent=root))[1])
                    actions.add((await targeted(connection, platform, reply, parent=root, link=link))[1])
            named = {"parent_post_id": "77"}
            actions.add((await targeted(connection, platform, kind, options=named, link=link))[1])
    assert {"facebook", "instagram", "linkedin", "mastodon", "threads", "tiktok", "x"} <= PUBLISHERS.keys()
    await Projector(pool, wiring.projections(), tries=1).drain()
    rows = await connection.fetch("SELECT id, target_id::uuid, is_action, parent_id, link_url FROM social_posts")
    assert {row["target_id"]: row["is_action"] for row in rows} == dict.fromkeys(posts, False) | dict.fromkeys(
        actions, True
    )
    shown = {row["id"] for row in await reader.fetch("SELECT id FROM scheduled_posts")}
    assert {row["target_id"] for row in rows if row["id"] in shown} == posts
    shares = [row for row in rows if row["target_id"] in posts and row["parent_id"] is None]
    assert await reader.fetchval("SELECT count(*) FROM social_shares") == len(shares), "no part shares the page again"
