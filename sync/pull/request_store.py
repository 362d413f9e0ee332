"""SQL of what people ask of pulls, and are shown of them."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import asyncpg

from sync.pull.contract import Task
from sync.pull.decisions import TROUBLE_AFTER, Count
from sync.pull.store import Key


class Kept(NamedTuple):
    """What the worker noted of an account when it last served it. ``progress`` is empty before the first time."""

    began_at: datetime
    served_at: datetime | None
    held_until: datetime | None
    trouble: str | None
    calls: int
    progress: Mapping[str, object]


def _kept(row: asyncpg.Record) -> Kept:
    return Kept(
        row["began_at"],
        row["served_at"],
        row["held_until"],
        row["trouble"],
        row["calls"],
        json.loads(row["progress"]),
    )


_NEVER = "nullif(served_at, '-infinity')"


async def kept(connection: asyncpg.Connection, ids: Collection[str]) -> dict[str, Kept]:
    """Return what is noted of the accounts of these connections of the acting tenant, by the connection's id."""
    rows = await connection.fetch(
        f"""
        SELECT connection_id::text, began_at, {_NEVER} AS served_at, held_until, trouble, calls, progress
        FROM find_pull_progress($1::uuid[])""",
        list(ids),
    )
    return {row["connection_id"]: _kept(row) for row in rows}


async def ask_of_connection(connection: asyncpg.Connection, id_: str, tasks: Sequence[Task], why: str) -> bool:
    """Have tasks of a connection's account carried out soon; False where the tenant has no active one of this id."""
    asked: int | None = await connection.fetchval(
        "SELECT request_pull($1::uuid, $2, $3, $4)",
        id_,
        [task.kind for task in tasks],
        [task.object_id for task in tasks],
        why,
    )
    return asked is not None


class Account(NamedTuple):
    """An account that is, or was, read. ``username`` is the newest connection's."""

    provider: str
    account_id: str
    username: str
    connected: bool
    kept: Kept


async def accounts(connection: asyncpg.Connection, platform: str | None, account: str | None) -> list[Account]:
    """Return the accounts that are read, of all tenants, by their platform, and one of them by its id or its name."""
    rows = await connection.fetch(
        f"""
        SELECT provider, account_id, authorized_at IS NOT NULL AS connected, began_at, {_NEVER} AS served_at,
            held_until, trouble, calls, progress
        FROM pull_accounts WHERE provider = coalesce($1, provider) ORDER BY provider, account_id""",
        platform,
    )
    named = await connection.fetch(
        """
        SELECT DISTINCT ON (platform, account_id) platform, account_id, username FROM connections
        WHERE platform = ANY($1) ORDER BY platform, account_id, authorized_at DESC""",
        list({row["provider"] for row in rows}),
    )
    names = {(row["platform"], row["account_id"]): row["username"] for row in named}
    found = [
        Account(
            row["provider"],
            row["account_id"],
            names.get((row["provider"], row["account_id"]), ""),
            row["connected"],
            _kept(row),
        )
        for row in rows
    ]
    return [each for each in found if account is None or account in (each.account_id, each.username)]


async def counts(connection: asyncpg.Connection) -> dict[Key, list[Count]]:
    """Return the tasks of all accounts by their kind."""
    rows = await connection.fetch(
        """
        SELECT provider, account_id, kind, count(*),
            count(*) FILTER (WHERE first_done_at IS NOT NULL AND skip_code IS NULL),
            count(*) FILTER (WHERE due_at <= now()), count(*) FILTER (WHERE skip_code IS NOT NULL),
            count(*) FILTER (WHERE attempts >= $1), coalesce(sum(objects), 0)::bigint
        FROM pull_tasks GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
        TROUBLE_AFTER,
    )
    found: dict[Key, list[Count]] = {}
    for provider, account_id, *count in rows:
        found.setdefault(Key(provider, account_id), []).append(Count(*count))
    return found


class Reason(NamedTuple):
    """Why tasks of a kind are not carried out, or have trouble, and how many there are."""

    kind: str
    reason: str
    skipped: bool
    tasks: int
    example: str


async def reasons(connection: asyncpg.Connection, key: Key) -> list[Reason]:
    rows = await connection.fetch(
        """
        SELECT kind, coalesce(skipped, trouble), skipped IS NOT NULL, count(*), min(object_id) FROM pull_tasks
        WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND (skipped IS NOT NULL OR attempts >= $4)
        GROUP BY 1, 2, 3 ORDER BY 3, 4 DESC, 1, 2""",
        *key.place,
        TROUBLE_AFTER,
    )
    return [Reason(*row) for row in rows]


class Holder(NamedTuple):
    """An account that knows an object, and the kind of the object; '' where it was never read."""

    key: Key
    kind: str


async def holders(connection: asyncpg.Connection, platform: str | None, object_id: str) -> list[Holder]:
    """Return the connected accounts that have read an object of this id, or were to read one."""
    rows = await connection.fetch(
        """
        SELECT o.provider, o.account_id, o.kind FROM (
            SELECT bucket, provider, account_id, kind FROM pull_objects WHERE object_id = $2
            UNION ALL
            SELECT bucket, provider, account_id, '' FROM pull_tasks WHERE object_id = $2
        ) o JOIN pull_accounts a ON a.bucket = o.bucket AND a.account_id = o.account_id AND a.provider = o.provider
        WHERE o.provider = coalesce($1, o.provider) AND a.authorized_at IS NOT NULL
        GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
        platform,
        object_id,
    )
    return [Holder(Key(row["provider"], row["account_id"]), row["kind"]) for row in rows]


async def published(connection: asyncpg.Connection, post_id: str) -> list[tuple[Key, str]]:
    """Return where a post of ours is published: the account, and the platform's id of the post there."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT platform, account_id, platform_post_id FROM post_targets
        WHERE post_id::text = $1 AND platform_post_id IS NOT NULL ORDER BY 1, 2, 3""",
        post_id,
    )
    return [(Key(row["platform"], row["account_id"]), row["platform_post_id"]) for row in rows]


async def tasks_about(connection: asyncpg.Connection, key: Key, object_id: str) -> list[str]:
    """Return the kinds of tasks of an account that are about an object."""
    rows = await connection.fetch(
        """
        SELECT kind FROM pull_tasks
        WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND object_id = $4 ORDER BY kind""",
        *key.place,
        object_id,
    )
    return [row["kind"] for row in rows]


class State(NamedTuple):
    """How far a task is that was asked for: ``done`` since then, ``skipped`` or in ``trouble``, in words."""

    kind: str
    object_id: str
    done: bool
    skipped: str | None
    trouble: str | None
    objects: int


async def states(connection: asyncpg.Connection, key: Key, tasks: Collection[Task], since: datetime) -> list[State]:
    """Return how far tasks are; one is done where a walk that began since then is complete."""
    rows = await connection.fetch(
        """
        SELECT w.kind, w.object_id, coalesce(t.swept_at >= $6, false) AS done, t.skipped, t.trouble, t.objects
        FROM unnest($4::text[], $5::text[]) AS w (kind, object_id)
        JOIN pull_tasks t ON t.bucket = $1 AND t.account_id = $2 AND t.provider = $3 AND t.kind = w.kind
            AND t.object_id = w.object_id
        ORDER BY 1, 2""",
        *key.place,
        [task.kind for task in tasks],
        [task.object_id for task in tasks],
        since,
    )
    return [State(*row) for row in rows]


async def now(connection: asyncpg.Connection) -> datetime:
    found: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return found
