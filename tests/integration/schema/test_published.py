"""The published views: what they show of all platforms, that they are what is listed, and what a tenant sees there."""

import json
import re
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ops.cli import logins, wiring
from ops.cli.store.logins import READER_CONNECTIONS, SETTINGS
from ops.runtime.db import Pool
from schema.catalogue import broken, listed
from schema.crm.instagram import UNLISTED
from schema.crm.posts import social_posts
from schema.published import PUBLISHED, PUBLISHED_FOR_TENANT
from schema.tenancy import DEFAULT_TENANT
from schema.views import EVERYTHING, ONE_TENANT, View
from sync.projection.worker import Projector
from tests.integration.schema.test_reporting import connected, pool  # noqa: F401  a fixture
from tests.support import append_event, command

PAGE = (Path(__file__).parents[3] / "docs" / "reporting.md").read_text()
NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
SHOP, OTHER_SHOP, PERSON = "17841400000000001", "17841400000000002", "-000person"
PASSWORD = "long-enough-for-this"
OTHER_TENANT = "00000000-0000-7000-8000-0000000000aa"


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


async def published_by_us(connection: asyncpg.Connection, platform: str, account: str, **values: Any) -> str:
    """Store a row of ``social_posts`` as the projection writes it; its target's id."""
    target = str(uuid.uuid4())
    row = {
        "account_id": account,
        "provider": platform,
        "target_id": target,
        "created_at": NOON,
        "projection_version": 1,
        "content_version": "x",
        "state_version": "x",
        "user_id": DEFAULT_TENANT,
        "post_id": str(uuid.uuid4()),
        "kind": "image",
        "content": "ours",
        "state": "published",
        "published_at": NOON,
    } | values
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    row.setdefault(
        "connection_id",
        await connection.fetchval(
            "SELECT id::text FROM connections WHERE platform = $1 AND account_id = $2 AND tenant_id = $3::text::uuid",
            *(platform, account, row["user_id"]),
        ),
    )
    await connection.execute("RESET landfall.tenant")
    assert set(row) <= {column.name for column in social_posts.columns}
    places = ", ".join(f"${number}" for number in range(3, len(row) + 3))
    await connection.execute(
        f"INSERT INTO social_posts (bucket, {', '.join(row)}) VALUES (bucket_of($1, $2), {places})",
        *(platform, account, *row.values()),
    )
    return target


async def drain(pool: Pool) -> None:  # noqa: F811
    await Projector(pool, wiring.projections(), tries=1).drain()


async def media(connection: asyncpg.Connection, account: str, id_: str, **values: Any) -> None:
    value = {"id": id_, "media_type": "IMAGE", "timestamp": NOON.isoformat()} | values
    await append_event(
        connection, account, f"media {id_} {uuid.uuid4()}", type="media.read", payload=value, occurred_at=NOON
    )


async def comment(
    connection: asyncpg.Connection,
    account: str,
    id_: str,
    minutes: float | None,
    *,
    parent: str = "",
    own: bool = False,
    post: str = "m1",
) -> None:
    """A comment with its notification, and its reading at a time after noon; None: nobody read it yet."""
    author = {"id": account, "username": "shop"} if own else {"id": "5", "username": "fan"}
    value = {"id": id_, "text": f"text {id_}", "media": {"id": post}, "from": author}
    value |= {"parent_id": parent} if parent else {}
    await append_event(connection, account, f"comment {id_}", payload=value)
    if minutes is not None:
        read = {"id": id_, "timestamp": at(minutes).isoformat()}
        await append_event(
            connection, account, f"read {id_}", type="comment.read", payload=read, occurred_at=at(minutes)
        )


async def test_views_are_and_are_called_what_the_schema_says(connection: asyncpg.Connection) -> None:
    found: dict[str, dict[str, str]] = {}
    for scope, views in ((EVERYTHING, PUBLISHED), (ONE_TENANT, PUBLISHED_FOR_TENANT)):
        for name, view in views.items():
            shown = await definition(connection, scope.schema, name, view)
            if scope is EVERYTHING:
                found[name] = shown
            else:
                assert shown == found[name], "both schemas have the same columns"
    names = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'reporting_tenant'::regnamespace AND relkind = 'v'"
        " AND reloptions = ARRAY['security_barrier=true'] ORDER BY 1"
    )
    assert [row[0] for row in names] == sorted(PUBLISHED_FOR_TENANT), "none without the barrier"
    for name, view in PUBLISHED_FOR_TENANT.items():
        assert "UNION" not in at_the_top(view.query), f"{name}: conditions are pushed into its parts, barrier or not"


def at_the_top(query: str) -> str:
    """What of a query stands in no parentheses."""
    while query != (outer := re.sub(r"\([^()]*\)", "", query)):
        query = outer
    return query


async def definition(connection: asyncpg.Connection, schema: str, name: str, view: View) -> dict[str, str]:
    """The columns of a view of the database with their types, once it is as it is declared."""
    await connection.execute(f"CREATE TEMP VIEW declared AS {view.query}")
    made, declared = [
        await connection.fetchval("SELECT pg_get_viewdef($1::regclass)", which)
        for which in (f"{schema}.{name}", "pg_temp.declared")
    ]
    assert made == declared, (schema, name)
    await connection.execute("DROP VIEW declared")
    assert await connection.fetchval("SELECT obj_description($1::regclass)", f"{schema}.{name}") == view.comment
    rows = await connection.fetch(
        "SELECT attname, col_description(attrelid, attnum), format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum",
        f"{schema}.{name}",
    )
    assert [tuple(row)[:2] for row in rows] == list(view.columns.items()), (schema, name)
    return {row[0]: row[2] for row in rows}


async def test_no_published_column_changed_its_name_or_its_type_or_is_gone(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(
        """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        WHERE c.relnamespace = 'reporting'::regnamespace ORDER BY c.relname, a.attnum"""
    )
    found: dict[str, dict[str, str]] = {}
    for view, column, kind in rows:
        found.setdefault(view, {})[column] = kind
    assert broken(listed(PAGE), found) == []
    assert broken(found, listed(PAGE)) == [], "published, and not listed: python -m schema.catalogue docs/reporting.md"


# --- what they show


async def test_post_of_ours_and_what_the_platform_says_of_it_are_one_row(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP)
    await connected(connection, "tiktok", PERSON, username="person")
    await connected(connection, "mastodon", "9", instance="social.example", username="toot")
    await media(connection, SHOP, "m1", caption="theirs", like_count=7, comments_count=3, media_product_type="REELS")
    insights = {"id": "m1", "data": [{"name": name, "values": [{"value": 5}]} for name in ("views", "reach", "saved")]}
    await append_event(connection, SHOP, "i", type="media.insights", payload=insights, occurred_at=at(1))
    await media(connection, SHOP, "m2", caption="by hand", media_type="CAROUSEL_ALBUM", permalink="https://i.example/2")
    for event, post in (
        ("publicly_available", "7"),
        ("publicly_available", "8"),
        ("no_longer_publicly_available", "8"),
    ):
        content = json.dumps({"publish_id": "p1", "post_id": post})
        await append_event(
            connection, PERSON, f"{event} {post}", provider="tiktok", type=f"post.publish.{event}",
            payload={"content": content}, occurred_at=NOON + timedelta(seconds=len(event)),
        )  # fmt: skip
    for publish, own in (("p2", True), ("p3", False)):
        status = {"publish_id": publish, "status": "PUBLISH_COMPLETE"}
        as_read = {"provider": "tiktok", "type": "post.read", "payload": status, "occurred_at": NOON}
        await append_event(connection, PERSON, publish, **as_read)
        if own:
            begun = {"publish_id": publish, "source": "FILE_UPLOAD", "title": "Tea"}
            await append_event(connection, PERSON, "begun", **as_read | {"type": "post.begun", "payload": begun})
    await drain(pool)
    ours = await published_by_us(connection, "instagram", SHOP, platform_post_id="m1", campaign_id="spring")
    await published_by_us(connection, "instagram", SHOP, platform_post_id="c9", kind="comment")
    await published_by_us(connection, "instagram", SHOP, platform_post_id="m2", kind="hide_comment", is_action=True)
    unread = await published_by_us(
        connection, "instagram", SHOP, platform_post_id="m3", platform_post_url="https://i/3"
    )
    clip = await published_by_us(connection, "tiktok", PERSON, platform_post_id="7", kind="video")
    unnamed = await published_by_us(connection, "tiktok", PERSON, state="published_id_unknown", kind="video")
    toot = await published_by_us(connection, "mastodon", "9", platform_post_id="1", kind="text")
    for state in ("failed", "scheduled", "draft", "cancelled", "unconfirmed"):
        await published_by_us(connection, "instagram", SHOP, state=state, published_at=None)
    rows = await connection.fetch("SELECT * FROM reporting.posts_v1 ORDER BY platform, post_id, text")
    shown = ("platform", "account", "post_id", "text", "kind", "state", "target_id")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        ("instagram", "shop", "m1", "theirs", "reel", "published", ours),
        ("instagram", "shop", "m2", "by hand", "carousel", "published", None),
        ("instagram", "shop", "m3", "ours", "image", "published", unread),
        ("mastodon", "toot", "1", "ours", "text", "published", toot),
        ("tiktok", "person", "7", "ours", "video", "published", clip),
        ("tiktok", "person", "8", None, None, "not_public", None),
        ("tiktok", "person", None, "ours", "video", "published_id_unknown", unnamed),
        ("tiktok", "person", None, None, None, "published_id_unknown", None),
    ]
    first = rows[0]
    numbers = ("views", "likes", "comments_count", "shares_count", "saves", "reach")
    assert [first[name] for name in numbers] == [5, 7, 3, None, 5, 5]
    assert (str(first["tenant_id"]), first["campaign_id"], first["published_at"]) == (DEFAULT_TENANT, "spring", NOON)
    assert [row["permalink"] for row in rows[:3]] == [None, "https://i.example/2", "https://i/3"]
    assert len({row["id"] for row in rows}) == len(rows)


async def test_comments_have_their_thread_and_the_time_to_our_first_answer(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP)
    await media(connection, SHOP, "m1")
    await comment(connection, SHOP, "c1", 0)
    await comment(connection, SHOP, "c2", 10, parent="c1")
    await comment(connection, SHOP, "too soon", -5, parent="c1", own=True)
    await comment(connection, SHOP, "gone", 11, parent="c1", own=True)
    await comment(connection, SHOP, "answer", 12, parent="c1", own=True)
    await comment(connection, SHOP, "later", 30, parent="c1", own=True)
    await comment(connection, SHOP, "c3", 5)
    await comment(connection, SHOP, "unread", None)
    await append_event(connection, SHOP, "g", type="comment.gone", payload={"id": "gone"}, occurred_at=at(20))
    hidden = {"id": "c3", "hidden": True, "like_count": 4}
    await append_event(connection, SHOP, "h", type="comment.read", payload=hidden, occurred_at=at(21))
    await drain(pool)
    rows = await connection.fetch("SELECT * FROM reporting.comments_v1")
    found = {row["comment_id"]: row for row in rows}
    shown = ("parent_id", "root_id", "depth", "is_own", "hidden", "deleted", "answer_seconds")
    assert {name: tuple(row[column] for column in shown) for name, row in found.items()} == {
        "c1": (None, "c1", 0, False, False, False, 720),
        "c2": ("c1", "c1", 1, False, False, False, 120),
        "too soon": ("c1", "c1", 1, True, False, False, None),
        "gone": ("c1", "c1", 1, True, False, True, None),
        "answer": ("c1", "c1", 1, True, False, False, None),
        "later": ("c1", "c1", 1, True, False, False, None),
        "c3": (None, "c3", 0, False, True, False, None),
        "unread": (None, "unread", 0, False, False, False, None),
    }
    assert (found["c3"]["likes"], found["c1"]["likes"]) == (4, None)
    assert (
        await connection.fetchval("SELECT text FROM reporting.response_times_v1 WHERE comment_id = 'c3'") == "text c3"
    )
    assert (found["c1"]["commented_at"], found["c1"]["commented_at_is_platforms"]) == (NOON, True)
    assert (found["unread"]["commented_at"], found["unread"]["commented_at_is_platforms"]) == (
        found["unread"]["created_at"],
        False,
    )
    [post] = await connection.fetch("SELECT id FROM reporting.posts_v1")
    assert {row["post_key"] for row in rows} == {post["id"]}
    times = await connection.fetch(
        "SELECT comment_id, is_answered, answer_id, answered_at, answer_seconds FROM reporting.response_times_v1"
        " ORDER BY comment_id"
    )
    assert [tuple(row) for row in times] == [
        ("c1", True, "answer", at(12), 720),
        ("c2", True, "answer", at(12), 120),
        ("c3", False, None, None, None),
        ("unread", False, None, None, None),
    ]


async def test_engagement_has_a_row_for_each_post_and_day_with_comments_and_totals(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP)
    await media(connection, SHOP, "m1", like_count=7)
    await media(connection, SHOP, "m2")
    for number, minutes in enumerate((0, 1, 2 * 1440, 2 * 1440 + 719, 2 * 1440 + 721)):
        await comment(connection, SHOP, f"c{number}", minutes)
    await comment(connection, SHOP, "own", 3, parent="c0", own=True)
    await drain(pool)
    rows = await connection.fetch("SELECT * FROM reporting.engagement_v1 ORDER BY post_id, day")
    assert [(str(row["day"]), row["new_comments"], row["own_comments"], row["likes"]) for row in rows] == [
        ("2026-11-27", 2, 1, 7),
        ("2026-11-29", 2, 0, None),
        ("2026-11-30", 1, 0, None),
    ]
    assert [row["measured_at"] for row in rows] == [NOON, None, None]
    assert {row["post_id"] for row in rows} == {"m1"}, "nothing is known of the other one"


async def test_totals_that_no_reading_brought_stand_on_the_day_they_were_heard_of(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP)
    told = {"media_id": "s1", "reach": 40}
    await append_event(connection, SHOP, "s", type="story_insights", payload=told, occurred_at=NOON)
    await drain(pool)
    heard = await connection.fetchval("SELECT updated_at FROM ig_media")
    [row] = await connection.fetch("SELECT * FROM reporting.engagement_v1")
    assert (row["post_id"], row["reach"], row["likes"], row["day"]) == ("s1", 40, None, heard.astimezone(UTC).date())


async def test_days_gain_is_the_difference_to_the_last_earlier_value_that_is_known(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP)
    await connected(connection, "tiktok", PERSON)
    for day, counts in ((0, {"like_count": 7, "view_count": 100}), (1, {"like_count": 9}), (4, {"view_count": 130})):
        payload = {"id": "m1", **counts}
        await append_event(connection, SHOP, f"r{day}", type="media.read", payload=payload, occurred_at=day_of(day))
    for day, views in ((0, 5), (3, 4)):
        video = {"id": "7", "view_count": views, "create_time": int(NOON.timestamp())}
        await append_event(
            connection, PERSON, f"v{day}", provider="tiktok", type="video.read", payload=video, occurred_at=day_of(day)
        )
    await append_event(
        connection, SHOP, "other", type="media.read", payload={"id": "m2", "like_count": 1}, occurred_at=day_of(4)
    )
    await drain(pool)
    rows = await connection.fetch("SELECT * FROM reporting.engagement_v1 ORDER BY post_id, day")
    assert [
        tuple(row[name] for name in ("post_id", "likes", "likes_gained", "views", "views_gained")) for row in rows
    ] == [
        ("7", None, None, 5, None),
        ("7", None, None, 4, -1),
        ("m1", 7, None, 100, None),
        ("m1", 9, 2, None, None),
        ("m1", None, None, 130, 30),
        ("m2", 1, None, None, None),
    ]
    posts = await connection.fetch("SELECT id, post_id FROM reporting.posts_v1")
    assert {(row["post_key"], row["post_id"]) for row in rows} == {tuple(row) for row in posts}


def day_of(days: int) -> datetime:
    return NOON + timedelta(days=days)


async def test_series_says_until_when_it_was_looked_at_so_that_a_gap_does_not_read_as_flat(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP)
    for kind, payload in (
        ("media.read", {"id": "m1", "like_count": 7}),
        ("account.read", {"followers_count": 70}),
    ):
        await append_event(connection, SHOP, kind, type=kind, payload=payload, occurred_at=NOON)
    await comment(connection, SHOP, "c1", 2 * 1440)
    await drain(pool)

    async def until(view: str) -> set[datetime | None]:
        return {row[0] for row in await connection.fetch(f"SELECT synced_at FROM reporting.{view}")}

    for view, kind, object_id in (("engagement_v1", "ig_media", "m1"), ("account_metrics_v1", "ig_account", SHOP)):
        assert await until(view) == {None}, "nothing says that it was looked at since"
        await looked(connection, kind, object_id, day_of(9))
        assert await until(view) == {day_of(9)}, "of a day with comments alone too"
    await looked(connection, "ig_media_insights", "m1", day_of(6))
    assert await until("engagement_v1") == {day_of(6)}, "its figures are read by themselves, and were not since"
    await looked(connection, "ig_media", "m1", None)
    assert await until("engagement_v1") == {None}, "its figures alone are not all of it"


async def test_account_has_its_numbers_by_day(connection: asyncpg.Connection, pool: Pool) -> None:  # noqa: F811
    await connected(connection, "instagram", SHOP)
    await connected(connection, "tiktok", PERSON, username="person")
    for day, followers in ((0, 100), (2, 90)):
        for account, platform, counts in (
            (SHOP, "instagram", {"followers_count": followers, "media_count": 4}),
            (PERSON, "tiktok", {"follower_count": followers, "video_count": 4}),
        ):
            await append_event(
                connection, account, f"{platform} {day}", provider=platform, type="account.read", payload=counts,
                occurred_at=day_of(day),
            )  # fmt: skip
    figures = {"day": NOON.date().isoformat(), "data": [{"name": "reach", "total_value": {"value": 12}}]}
    await append_event(connection, SHOP, "reach", type="account.insights", payload=figures, occurred_at=day_of(1))
    await drain(pool)
    rows = await connection.fetch("SELECT * FROM reporting.account_metrics_v1 ORDER BY platform, day")
    shown = ("account", "followers", "followers_gained", "posts_count", "following", "reach_of_day", "views_of_day")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        ("shop", 100, None, 4, None, 12, None),
        ("shop", 90, -10, 4, None, None, None),
        ("person", 100, None, 4, None, None, None),
        ("person", 90, -10, 4, None, None, None),
    ]
    accounts = await connection.fetch("SELECT platform, followers, posts_count FROM reporting.accounts_v1 ORDER BY 1")
    assert [tuple(row) for row in accounts] == [("instagram", 90, 4), ("tiktok", 90, 4)]


# --- what is gone


async def test_media_that_is_gone_says_so_until_a_reading_finds_it_again(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP)
    await media(connection, SHOP, "m1")
    await media(connection, SHOP, "m2")
    await append_event(connection, SHOP, "gone", type="media.gone", payload={"id": "m1"}, occurred_at=at(1))
    await drain(pool)
    query = "SELECT state, deleted, gone_at FROM reporting.posts_v1 ORDER BY post_id"
    assert [tuple(row) for row in await connection.fetch(query)] == [
        ("deleted", True, at(1)),
        ("published", False, None),
    ]
    await append_event(connection, SHOP, "back", type="media.read", payload={"id": "m1"}, occurred_at=at(2))
    await drain(pool)
    assert [tuple(row) for row in await connection.fetch(query)] == [("published", False, None)] * 2


async def test_what_hangs_on_what_is_gone_is_unreachable_and_not_deleted(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP)
    for id_, parent, post in (
        ("c1", "", "m1"), ("r1", "c1", "m1"), ("c2", "", "m1"), ("c3", "", "m2"), ("r3", "c3", "m2")
    ):  # fmt: skip
        await comment(connection, SHOP, id_, 0, parent=parent, post=post)
    # A reply of which nothing says what it is on but its comment.
    below = {"id": "r4", "listed_parent_id": "c3"}
    await append_event(connection, SHOP, "r4", type="comment.read", payload=below, occurred_at=at(0))
    await append_event(connection, SHOP, "g", type="comment.gone", payload={"id": "c1"}, occurred_at=at(1))
    await drain(pool)

    async def found(view: str = "comments_v1") -> dict[str, tuple[bool, bool]]:
        rows = await connection.fetch(f"SELECT comment_id, deleted, unreachable FROM reporting.{view}")
        return {row[0]: (row[1], row[2]) for row in rows}

    there = dict.fromkeys(("c2", "c3", "r3", "r4"), (False, False))
    assert await found() == {"c1": (True, False), "r1": (False, True), **there}
    await append_event(connection, SHOP, "m", type="media.gone", payload={"id": "m2"}, occurred_at=at(1))
    await drain(pool)
    gone = dict.fromkeys(("c3", "r3", "r4"), (False, True))
    assert await found() == {"c1": (True, False), "r1": (False, True), "c2": (False, False), **gone}
    assert await found("response_times_v1") == await found()
    for event, type_, id_ in (("c back", "comment.read", "c1"), ("m back", "media.read", "m2")):
        await append_event(connection, SHOP, event, type=type_, payload={"id": id_}, occurred_at=at(2))
    await drain(pool)
    assert set((await found()).values()) == {(False, False)}


async def test_comment_that_a_reading_found_is_late_and_has_an_end_for_private_answers(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP)
    await comment(connection, SHOP, "read", 0)
    await comment(connection, SHOP, "own", 0, own=True)
    await comment(connection, SHOP, "unread", None)
    live = {"id": "live", "text": "x", "media": {"id": "m1"}, "from": {"id": "5"}}
    await append_event(connection, SHOP, "live", type="live_comments", payload=live)
    read = {"id": "live", "timestamp": NOON.isoformat()}
    await append_event(connection, SHOP, "live read", type="comment.read", payload=read, occurred_at=at(0))
    await drain(pool)
    query = "SELECT comment_id, found_late, reply_until FROM reporting.comments_v1"

    async def found(minutes: int) -> dict[str, tuple[bool | None, datetime | None]]:
        await connection.execute("UPDATE ig_comments SET created_at = $1", at(minutes))
        return {row[0]: (row[1], row[2]) for row in await connection.fetch(query)}

    until = NOON + timedelta(days=7)
    for minutes, late in ((-1, False), (60, False), (61, True)):
        assert await found(minutes) == {
            "read": (late, until), "own": (late, None), "live": (late, None), "unread": (None, None)
        }  # fmt: skip


# --- TikTok's videos


async def tiktok(connection: asyncpg.Connection, type_: str, payload: dict[str, Any], when: datetime) -> None:
    name = f"{type_} {json.dumps(payload)} {when}"
    await append_event(connection, PERSON, name, provider="tiktok", type=type_, payload=payload, occurred_at=when)


async def test_video_is_one_post_with_its_numbers_and_the_whole_caption_of_our_publish(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "tiktok", PERSON, username="person")
    caption = "tea " * 100
    for publish in ("p1", "p0"):
        begun = {"publish_id": publish, "source": "FILE_UPLOAD", "title": caption if publish == "p1" else ""}
        if publish == "p1":
            await tiktok(connection, "post.begun", begun, NOON)
        content = {"content": json.dumps({"publish_id": publish, "post_id": "7"})}
        await tiktok(connection, "post.publish.publicly_available", content, at(1))
    for id_ in ("7", "8"):
        video = {"id": id_, "video_description": "tea tea", "create_time": int(NOON.timestamp()), "duration": 9}
        video |= {
            "view_count": 10,
            "like_count": 2,
            "comment_count": 1,
            "share_count": 0,
            "share_url": f"https://t/{id_}",
        }
        await tiktok(connection, "video.read", video, at(2))
    await drain(pool)
    ours = await published_by_us(connection, "tiktok", PERSON, platform_post_id="7", kind="video")
    rows = await connection.fetch("SELECT * FROM reporting.posts_v1 ORDER BY post_id")
    shown = ("post_id", "text", "permalink", "kind", "target_id", "published_at", "state")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        ("7", caption, "https://t/7", "video", ours, NOON, "published"),
        ("8", "tea tea", "https://t/8", "video", None, NOON, "published"),
    ]
    numbers = ("views", "likes", "comments_count", "shares_count", "saves", "reach")
    assert [rows[0][name] for name in numbers] == [10, 2, 1, 0, None, None]
    key = rows[0]["id"]
    # As an earlier release projected it: the publish names the post, and there is no row of the video.
    await connection.execute("DELETE FROM tiktok_video_metrics; DELETE FROM tiktok_videos")
    [row] = await connection.fetch("SELECT * FROM reporting.posts_v1")
    assert (row["id"], row["post_id"], row["text"], row["target_id"]) == (key, "7", caption, ours)


WEBHOOK, STATUS, READ, ABSENT = "webhook", "status", "read", "absent"


@pytest.mark.parametrize(
    ("said", "public"),
    [
        ([(READ, 1)], True),
        ([(WEBHOOK, 1)], False),
        ([(READ, 1), (WEBHOOK, 2)], False),
        ([(WEBHOOK, 1), (READ, 2)], True),
        ([(READ, 1), (ABSENT, 2)], False),
        ([(ABSENT, 1), (READ, 2)], True),
        ([(WEBHOOK, 1), (STATUS, 2)], True),
        ([(STATUS, 1), (WEBHOOK, 2)], False),
        ([(STATUS, 1), (ABSENT, 2)], False),
        ([(ABSENT, 1), (STATUS, 2)], True),
    ],
)
async def test_video_is_public_by_the_latest_word_of_a_webhook_a_status_or_a_reading(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
    said: list[tuple[str, int]],
    public: bool,  # noqa: FBT001
) -> None:
    await connected(connection, "tiktok", PERSON)
    hidden = {"content": json.dumps({"publish_id": "p1", "post_id": "7"})}
    status = {"publish_id": "p1", "status": "PUBLISH_COMPLETE", "publicaly_available_post_id": ["7"]}
    events = {
        WEBHOOK: ("post.publish.no_longer_publicly_available", hidden),
        STATUS: ("post.read", status),
        READ: ("video.read", {"id": "7"}),
        ABSENT: ("video.absent", {"id": "7"}),
    }
    for word, minutes in said:
        await tiktok(connection, *events[word], at(minutes))
    await drain(pool)
    [row] = await connection.fetch("SELECT state, deleted, gone_at FROM reporting.posts_v1 WHERE post_id = '7'")
    assert tuple(row) == (("published", False, None) if public else ("not_public", False, at(said[-1][1])))


async def test_accounts_are_connections_and_accounts_that_nobody_connected(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "instagram", SHOP, scopes=["a"])
    await connected(connection, "mastodon", "9", instance="social.example", username="toot", state="disconnected")
    for account in (SHOP, OTHER_SHOP):
        read = {"username": f"read {account}", "name": "Tea", "followers_count": 3, "media_count": 2}
        await append_event(connection, account, "read", type="account.read", payload=read, occurred_at=NOON)
    await drain(pool)
    rows = await connection.fetch("SELECT * FROM reporting.accounts_v1 ORDER BY platform, account_id")
    shown = ("platform", "account_id", "account", "instance", "name", "state", "followers", "posts_count")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        ("instagram", SHOP, "shop", None, "Tea", "active", 3, 2),
        ("instagram", OTHER_SHOP, f"read {OTHER_SHOP}", None, "Tea", None, 3, 2),
        ("mastodon", "9", "toot", "social.example", None, "disconnected", None, None),
    ]
    assert [row["tenant_id"] and str(row["tenant_id"]) for row in rows] == [DEFAULT_TENANT, None, DEFAULT_TENANT]


async def test_publishing_shows_every_target_with_its_state_its_error_and_its_times(
    connection: asyncpg.Connection,
) -> None:
    await connected(connection, "instagram", SHOP)
    await published_by_us(connection, "instagram", SHOP, scheduled_at=at(-2), platform_post_id="m1")
    await published_by_us(
        connection, "instagram", SHOP, state="failed", error_code="spam_risk", error_message="Too many.",
        retryable=False, retry_count=2, published_at=None, scheduled_at=at(-1),
    )  # fmt: skip
    await published_by_us(connection, "instagram", SHOP, state="scheduled", kind="hide_comment", is_action=True)
    rows = await connection.fetch("SELECT * FROM reporting.publishing_v1 ORDER BY state")
    shown = ("state", "status", "is_action", "error_code", "error_message", "failures", "late_seconds", "account")
    assert [tuple(row[name] for name in shown) for row in rows] == [
        ("failed", "failed", False, "spam_risk", "Too many.", 2, None, "shop"),
        ("published", "posted", False, None, None, None, 120, "shop"),
        ("scheduled", "pending", True, None, None, None, None, "shop"),
    ]


# --- how fresh it is


async def looked(
    connection: asyncpg.Connection,
    kind: str,
    object_id: str,
    when: datetime | None,
    *,
    account: str = SHOP,
    **more: Any,
) -> None:
    """Note that an object was looked at."""
    row = {"account_id": account, "provider": "instagram", "kind": kind, "object_id": object_id, "checked_at": when}
    await replace(connection, "pull_objects", row | more)


async def task(connection: asyncpg.Connection, kind: str, object_id: str, *, account: str = SHOP, **more: Any) -> None:
    row = {"account_id": account, "provider": "instagram", "kind": kind, "object_id": object_id, "priority": 2}
    await replace(connection, "pull_tasks", row | {"reason": "a test"} | more)


async def replace(connection: asyncpg.Connection, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    keys = [name for name in ("account_id", "provider", "kind", "object_id") if name in row]
    where = " AND ".join(f"{name} = ${number}" for number, name in enumerate(keys, 1))
    await connection.execute(f"DELETE FROM {table} WHERE {where}", *(row[name] for name in keys))
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    bucket = f"bucket_of('{row['provider']}', '{row['account_id']}')"
    await connection.execute(f"INSERT INTO {table} (bucket, {names}) VALUES ({bucket}, {places})", *row.values())


async def ago(connection: asyncpg.Connection, **delta: float) -> datetime:
    now: datetime = await connection.fetchval("SELECT now()")
    return now - timedelta(**delta)


OBJECTS = [("ig_account", SHOP), ("ig_media", "m1"), ("ig_media_insights", "m1"), ("ig_comment", "c1")]

FRESH = {
    "accounts_v1": "ig_account",
    "account_metrics_v1": "ig_account",
    "posts_v1": "ig_media",
    "engagement_v1": "ig_media",
    "comments_v1": "ig_comment",
    "response_times_v1": "ig_comment",
}
"""The views of what is read, with the kind of object that their rows are of."""


@pytest.fixture
async def fresh(connection: asyncpg.Connection, pool: Pool) -> None:  # noqa: F811
    """An account with one row of each view, all of which was looked at ten minutes ago, and is looked at again."""
    await connected(connection, "instagram", SHOP)
    await media(connection, SHOP, "m1", like_count=7)
    await comment(connection, SHOP, "c1", 0)
    await append_event(connection, SHOP, "a", type="account.read", payload={"followers_count": 3}, occurred_at=NOON)
    await drain(pool)
    await connection.execute("DELETE FROM pull_tasks")
    seen, due = await ago(connection, minutes=10), await ago(connection, minutes=-5)
    for kind, id_ in OBJECTS:
        await looked(connection, kind, id_, seen, source_time=NOON)
    for kind, id_ in (
        ("account", ""),
        ("media", ""),
        ("recent_media", ""),
        ("comments", "m1"),
        ("feed_insights", "m1"),
    ):
        await task(connection, kind, id_, due_at=due)
    await task(connection, "ig_comment", "c1")
    for account in (SHOP, OTHER_SHOP):
        row = {"account_id": account, "provider": "instagram", "authorized_at": NOON}
        await replace(connection, "pull_accounts", row)


async def stale(connection: asyncpg.Connection) -> set[str]:
    """The views whose row is stale. Without a row there is none to trust."""
    found = {view: await connection.fetch(f"SELECT DISTINCT stale FROM reporting.{view}") for view in FRESH}
    assert all(len(rows) == 1 for rows in found.values()), found
    return {view for view, [row] in found.items() if row["stale"]}


ON_MEDIA = {"posts_v1", "engagement_v1"}
COMMENTS = {"comments_v1", "response_times_v1"}
ACCOUNTS = {"accounts_v1", "account_metrics_v1"}


async def test_row_says_when_it_was_looked_at_and_what_time_the_platform_gives_it(
    connection: asyncpg.Connection, fresh: None
) -> None:
    seen = await connection.fetchval("SELECT max(checked_at) FROM pull_objects")
    for view in FRESH:
        for row in await connection.fetch(f"SELECT synced_at, source_time, stale FROM reporting.{view}"):
            assert tuple(row) == (seen, None if view in ACCOUNTS else NOON, False), view


async def test_row_that_nobody_reads_is_stale(connection: asyncpg.Connection, fresh: None) -> None:
    assert await stale(connection) == set()
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    for change, back in (
        (
            "UPDATE connections SET state = 'needs_reconnect', reason = 'revoked'",
            "UPDATE connections SET state = 'active', reason = NULL",
        ),
        ("UPDATE connections SET state = 'disconnected'", "UPDATE connections SET state = 'active'"),
        ("UPDATE pull_accounts SET authorized_at = NULL", "UPDATE pull_accounts SET authorized_at = now()"),
        (
            f"UPDATE pull_accounts SET trouble = 'no' WHERE account_id = '{SHOP}'",
            "UPDATE pull_accounts SET trouble = NULL",
        ),
        ("DELETE FROM connections", None),
    ):
        await connection.execute(change)
        assert await stale(connection) == set(FRESH), change
        if back is not None:
            await connection.execute(back)
            assert await stale(connection) == set(), change


WAITS = {"due_at": -5}
TASKS: list[tuple[str, str, dict[str, Any], set[str]]] = [
    ("ig_media", "m1", WAITS, ON_MEDIA),
    ("ig_comment", "c1", WAITS, COMMENTS),
    ("ig_comment", "c2", WAITS, set()),
    ("ig_comment", "c1", {}, set()),
    ("ig_comment", "c1", {"due_at": -5, "skip_code": "platform", "skipped": "no"}, set()),
    ("comments", "m1", {"trouble": "it failed"}, COMMENTS),
    ("comments", "m2", {"trouble": "it failed"}, set()),
    ("comments", "m1", {"skip_code": "scopes", "skipped": "no"}, COMMENTS),
    ("comments", "m1", {"skip_code": "gone", "skipped": "no"}, set()),
    ("recent_media", "", {"trouble": "it failed"}, ON_MEDIA),
    ("media", "", {"skip_code": "release", "skipped": "no"}, ON_MEDIA),
    ("account", "", {"trouble": "it failed"}, ACCOUNTS),
    ("feed_insights", "m1", {"trouble": "it failed"}, ON_MEDIA),
    ("feed_insights", "m1", {"due_at": 61}, ON_MEDIA),
    ("feed_insights", "m1", {"due_at": 59}, set()),
    ("feed_insights", "m1", {"due_at": 61, "skip_code": "platform", "skipped": "no figures"}, set()),
    # Looked at ten minutes ago, since it was due; what was due before that was not.
    ("recent_media", "", {"due_at": 100}, set()),
    ("stories", "", {"trouble": "it failed"}, set()),
]


@pytest.mark.parametrize(("kind", "object_id", "how", "wanted"), TASKS)
async def test_row_is_stale_while_a_look_at_it_waits_or_fails(
    connection: asyncpg.Connection, fresh: None, kind: str, object_id: str, how: dict[str, Any], wanted: set[str]
) -> None:
    """``due_at`` in minutes ago."""
    values = how | ({"due_at": await ago(connection, minutes=how["due_at"])} if "due_at" in how else {})
    await task(connection, kind, object_id, **values)
    assert await stale(connection) == wanted


async def test_row_is_stale_that_was_not_looked_at_when_it_was_due(connection: asyncpg.Connection, fresh: None) -> None:
    seen = await ago(connection, hours=5)
    for kind, id_ in OBJECTS:
        await looked(connection, kind, id_, seen)
    assert await stale(connection) == set(), "the next look is not due yet"
    for kind, id_, wanted in (("comments", "m1", COMMENTS), ("media", "", ON_MEDIA), ("account", "", ACCOUNTS)):
        for minutes, found in ((59, set()), (61, wanted)):
            await task(connection, kind, id_, due_at=await ago(connection, minutes=minutes))
            assert await stale(connection) == found
        await task(connection, kind, id_, due_at=None)


@pytest.mark.parametrize("kind", ["ig_media", "ig_comment", "ig_account"])
async def test_row_is_stale_that_was_not_looked_at_at_all_or_not_for_long_or_is_missing(
    connection: asyncpg.Connection, fresh: None, kind: str
) -> None:
    id_ = dict(OBJECTS)[kind]
    views = {view for view, each in FRESH.items() if each == kind}
    seen, long = await ago(connection, minutes=1), await ago(connection, days=36)
    day, days = await ago(connection, hours=25), await ago(connection, days=34)
    for when, more, wanted in (
        (None, {}, views),
        (long, {}, views),
        (days, {}, set()),
        (long, {"gone_at": long}, set()),
        (day, {"parent": UNLISTED}, set() if kind == "ig_account" else views),
        (day, {}, set()),
        (seen, {"parent": UNLISTED}, set()),
        (seen, {"missed_at": seen}, views),
        (seen, {"unlisted_at": seen}, views),
        (seen, {"unlisted_at": seen, "missed_at": seen, "gone_at": seen}, set()),
    ):
        await looked(connection, kind, id_, when, **more)
        assert await stale(connection) == wanted, (when, more)
    await connection.execute("DELETE FROM pull_objects WHERE kind = $1", kind)
    assert await stale(connection) == views


async def test_mention_of_the_account_was_looked_at_once_and_is_stale_after_a_day(
    connection: asyncpg.Connection, fresh: None
) -> None:
    await connection.execute(
        "UPDATE pull_objects SET kind = 'ig_mentioned_comment', parent = $1 WHERE kind = 'ig_comment'", UNLISTED
    )
    assert await stale(connection) == set()
    await connection.execute("UPDATE pull_objects SET checked_at = now() - interval '25 h' WHERE object_id = 'c1'")
    assert await stale(connection) == COMMENTS


async def test_what_landfall_knows_itself_is_fresh_and_what_nobody_reads_is_not(
    connection: asyncpg.Connection,
) -> None:
    await connected(connection, "mastodon", "9", instance="social.example", username="toot")
    await published_by_us(connection, "mastodon", "9", platform_post_id="1")
    found = {}
    for view in ("publishing_v1", "posts_v1", "accounts_v1"):
        [row] = await connection.fetch(f"SELECT synced_at, source_time, stale FROM reporting.{view}")
        found[view] = tuple(row)
    assert found == {
        "publishing_v1": (NOON, NOON, False), "posts_v1": (None, NOON, True), "accounts_v1": (None, None, True)
    }  # fmt: skip


async def test_video_is_fresh_while_its_account_is_read_and_it_is_found(
    connection: asyncpg.Connection,
    pool: Pool,  # noqa: F811
) -> None:
    await connected(connection, "tiktok", PERSON)
    await tiktok(connection, "video.read", {"id": "7", "view_count": 3}, NOON)
    await tiktok(connection, "account.read", {"open_id": PERSON, "follower_count": 3}, NOON)
    await drain(pool)
    seen = await ago(connection, minutes=10)
    whose: dict[str, Any] = {"account": PERSON, "provider": "tiktok"}
    await looked(connection, "tiktok_video", "7", seen, **whose)
    await looked(connection, "tiktok_account", PERSON, seen, **whose)
    views = ("posts_v1", "engagement_v1", "accounts_v1", "account_metrics_v1")

    async def found() -> set[str]:
        rows = [(view, *row) for view in views for row in await connection.fetch(f"SELECT stale FROM reporting.{view}")]
        assert len(rows) == len(views)
        return {view for view, is_stale in rows if is_stale}

    assert await found() == set(views)
    account = {"account_id": PERSON, "provider": "tiktok", "authorized_at": NOON}
    await replace(connection, "pull_accounts", account)
    assert await found() == set()
    for kind in ("videos", "videos_by_id"):
        await task(connection, kind, "", trouble="it failed", **whose)
        assert await found() == ON_MEDIA
        await task(connection, kind, "", **whose)
    await task(connection, "tiktok_video", "7", due_at=seen, **whose)
    assert await found() == ON_MEDIA
    await task(connection, "account", "", trouble="it failed", **whose)
    assert await found() == set(views)


def test_words_of_tasks_and_objects_are_those_of_the_platforms() -> None:
    platforms = wiring.pulling_platforms()
    found = [
        (found[1], set(re.findall(r"'(\w+)'", found[2])))
        for view in PUBLISHED.values()
        for found in re.finditer(r"provider = '(\w+)'\s+AND t\.kind IN \(([^)]*)\)", view.query)
    ]
    assert {platform for platform, _ in found} == {"instagram", "tiktok"}
    for platform, kinds in found:
        assert kinds <= set(platforms[platform].tasks), platform


# --- one tenant's


@pytest.fixture
async def two_tenants(connection: asyncpg.Connection, pool: Pool) -> None:  # noqa: F811
    """Each with an account of its own, comments, posts of its own, and rows of every published view."""
    await connection.execute("INSERT INTO tenants (id, name) VALUES ($1, 'other')", uuid.UUID(OTHER_TENANT))
    await connected(connection, "instagram", SHOP, username="mine")
    await connected(connection, "instagram", OTHER_SHOP, username="theirs", tenant=OTHER_TENANT)
    for account in (SHOP, OTHER_SHOP):
        await media(connection, account, f"m {account}", like_count=1)
        await comment(connection, account, f"secret {account}", 1, post=f"m {account}")
        counted = {"followers_count": 3}
        await append_event(connection, account, "a", type="account.read", payload=counted, occurred_at=NOON)
    await append_event(connection, "17841400000000003", "nobody", payload={"id": "n", "media": {"id": "nobody's"}})
    await drain(pool)
    await published_by_us(connection, "instagram", SHOP, platform_post_id="p1", content=f"by {DEFAULT_TENANT}")
    await published_by_us(
        connection, "instagram", OTHER_SHOP, platform_post_id="p2", user_id=OTHER_TENANT, content=f"by {OTHER_TENANT}"
    )


@pytest.fixture
async def tenant_login(database: str, connection: asyncpg.Connection, two_tenants: None) -> AsyncIterator[str]:
    """The address of a login that sees the rows of the tenant ``other``."""
    name = f"{database.rpartition('/')[2]}_other"
    await logins.make(connection, "read", name, PASSWORD, "other")
    yield logins.address(database, name, PASSWORD)
    await connection.execute(f"REVOKE CONNECT ON DATABASE {database.rpartition('/')[2]} FROM {name}")
    await connection.execute(f"DROP ROLE {name}")


async def test_login_of_a_tenant_sees_its_rows_in_every_published_view_and_no_other(tenant_login: str) -> None:
    reader = await asyncpg.connect(tenant_login)
    for setting in ("", DEFAULT_TENANT, "*"):
        await reader.execute("SELECT set_config('landfall.tenant', $1, false)", setting)
        for view in PUBLISHED_FOR_TENANT:
            rows = await reader.fetch(f"SELECT * FROM {view}")
            assert rows, view
            assert {(str(row["tenant_id"]), row["account_id"]) for row in rows} == {(OTHER_TENANT, OTHER_SHOP)}, view
    await reader.close()


ELSEWHERE = [
    "SELECT * FROM reporting.comments_v1",
    "SELECT * FROM reporting.ig_comments",
    "SELECT * FROM reporting.webhook_events",
    "SELECT * FROM public.find_reported_connections()",
    "SELECT * FROM public.ig_comments",
    "SELECT * FROM public.connections",
    "SELECT * FROM public.pull_tasks",
    "SELECT * FROM public.pull_objects",
    "SELECT * FROM public.pull_accounts",
    "SELECT * FROM public.connection_secrets",
    "SELECT * FROM public.reader_tenants",
    "SELECT * FROM public.tenants",
    "INSERT INTO public.reader_tenants (tenant_id, login) SELECT tenant_id, session_user FROM posts_v1",
    "UPDATE comments_v1 SET text = ''",
    "DELETE FROM posts_v1",
    "CREATE VIEW reporting_tenant.mine AS SELECT 1",
    "CREATE OR REPLACE FUNCTION public.find_own_connections() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "ALTER VIEW comments_v1 RESET (security_barrier)",
    "SET ROLE landfall_reader",
    "SET ROLE landfall_web",
    "SET SESSION AUTHORIZATION landfall",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY comments_v1 TO PROGRAM 'cat'",
]


async def test_login_of_a_tenant_reaches_nothing_else(tenant_login: str) -> None:
    reader = await asyncpg.connect(tenant_login)
    await reader.execute("SET default_transaction_read_only = off")
    for statement in ELSEWHERE:
        with pytest.raises((asyncpg.InsufficientPrivilegeError, asyncpg.ObjectNotInPrerequisiteStateError)):
            await reader.execute(statement)
    await reader.close()


async def test_condition_of_somebodys_own_never_sees_a_row_of_another_tenant(tenant_login: str) -> None:
    """A function that costs nothing is called first, unless the view is a barrier; an error tells of rows as well."""
    reader = await asyncpg.connect(tenant_login)
    said: list[str] = []
    reader.add_log_listener(lambda _, message: said.append(str(message)))
    await reader.execute("SET default_transaction_read_only = off")
    await reader.execute(
        """
        CREATE FUNCTION pg_temp.told(value text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS
            $$ BEGIN RAISE NOTICE 'told %', value; RETURN true; END $$;
        """
    )
    for view, column in (
        ("comments_v1", "text"),
        ("posts_v1", "text"),
        ("publishing_v1", "text"),
        ("accounts_v1", "account"),
    ):
        await reader.fetch(f"SELECT 1 FROM {view} WHERE pg_temp.told({column})")
        await reader.fetch(f"SELECT 1 FROM {view} WHERE {column} <> 'x' AND 1 / (strpos({column}, '{SHOP}') - 100) < 9")
    await reader.close()
    assert any(OTHER_SHOP in each for each in said)
    assert [each for each in said if SHOP in each or DEFAULT_TENANT in each or "mine" in each] == []


async def test_account_that_moved_to_another_tenant_is_no_more_shown_to_the_one_that_had_it(
    connection: asyncpg.Connection, tenant_login: str
) -> None:
    reader = await asyncpg.connect(tenant_login)
    seen = "SELECT count(*) FROM comments_v1"

    async def change(query: str, *values: Any) -> None:
        async with connection.transaction():
            await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
            await connection.execute(query, *values)

    await change("UPDATE connections SET state = 'disconnected' WHERE account_id = $1", OTHER_SHOP)
    assert await reader.fetchval(seen) == 1, "nobody has it now: the last one who had it keeps what it had"
    await connected(connection, "instagram", OTHER_SHOP, authorized_at=at(99))
    assert await reader.fetchval(seen) == 0
    assert await reader.fetchval("SELECT count(*) FROM publishing_v1") == 1, "what it published stays its own"
    await change("UPDATE connections SET state = 'active' WHERE account_id = $1", OTHER_SHOP)
    assert await reader.fetchval(seen) == 1, "both have it"
    await reader.close()


async def test_login_is_made_again_for_another_tenant_and_shows_nothing_once_it_is_none_s(
    connection: asyncpg.Connection, tenant_login: str
) -> None:
    name = tenant_login.partition("//")[2].partition(":")[0]
    await logins.make(connection, "read", name, PASSWORD, "default")
    reader = await asyncpg.connect(tenant_login)
    assert [row[0] for row in await reader.fetch("SELECT account_id FROM comments_v1")] == [SHOP]
    async with connection.transaction():
        await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
        await connection.execute("DELETE FROM reader_tenants")
    await reader.execute("SELECT set_config('landfall.tenant', $1, false)", DEFAULT_TENANT)
    assert [await reader.fetchval(f"SELECT count(*) FROM {view}") for view in PUBLISHED] == [0] * len(PUBLISHED)
    await reader.close()
    with pytest.raises(logins.UnfitLogin, match="member of landfall_tenant_reader; choose another"):
        await logins.make(connection, "read", name, PASSWORD)
    with pytest.raises(logins.UnfitLogin, match="there is no tenant nowhere"):
        await logins.make(connection, "read", name, PASSWORD, "nowhere")


@pytest.mark.parametrize("tenant", [None, "default"])
async def test_session_of_a_reader_ends_what_takes_too_long_and_changes_nothing(
    database: str, connection: asyncpg.Connection, tenant: str | None
) -> None:
    name = f"{database.rpartition('/')[2]}_limits"
    await logins.make(connection, "read", name, PASSWORD, tenant)
    try:
        reader = await asyncpg.connect(logins.address(database, name, PASSWORD))
        found = {setting: await reader.fetchval(f"SHOW {setting}") for setting in SETTINGS}
        times = {"60s": "1min"}
        assert found == {setting: times.get(value, value) for setting, value in SETTINGS.items()}
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await reader.execute("CREATE TABLE public.mine (id int)")
        await reader.execute("SET statement_timeout = '20ms'")
        with pytest.raises(asyncpg.QueryCanceledError):
            await reader.execute("SELECT pg_sleep(5)")
        await reader.close()
        limit = "SELECT rolconnlimit FROM pg_roles WHERE rolname = $1"
        assert await connection.fetchval(limit, name) == READER_CONNECTIONS
    finally:
        async with connection.transaction():
            await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
            await connection.execute("DELETE FROM reader_tenants")
        await connection.execute(f"DROP ROLE {name}")


async def test_command_makes_a_login_of_a_tenant_and_none_for_a_process_of_one(
    database: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    name = f"{database.rpartition('/')[2]}_cli"
    made = ("db", "login", "read", "--tenant", "default", "--name", name, "--password-file", str(file))
    code, said = await command(database, *made)
    assert (code, said) == (
        0,
        f"{name} can log in, and read the published views with the rows of default, and change nothing\n",
    )
    reader = await asyncpg.connect(logins.address(database, name, PASSWORD))
    assert await reader.fetchval("SHOW search_path") == "reporting_tenant"
    await reader.close()
    await connection.execute(f"DROP ROLE {name}")
    code, said = await command(database, "db", "login", "work", "--tenant", "default", "--password-file", str(file))
    assert (code, "--tenant is for logins that read" in said) == (2, True)
