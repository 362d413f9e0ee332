"""All of the pull's SQL. Functions take a connection and never open a transaction; the caller does.

Statements about account data name its bucket, and none joins them with connections, so that the tables can be
distributed (``docs/scale.md``, chapter 7).
"""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg

from ops.runtime.ports import Api
from schema.events import bucket_of
from schema.states import CONNECTION, ConnectionState
from sync.pull.contract import Account, Object, Priority, Range, Task, Wanted
from sync.pull.decisions import Count, Due, Known

UNSERVED = timedelta(minutes=5)
"""How long the used share of a rate limit counts after it was last heard of: then one page finds out anew."""

_ACTIVE = CONNECTION.conditions[ConnectionState.ACTIVE]


class Key(NamedTuple):
    """An account whose objects are read."""

    provider: str
    account_id: str

    @property
    def place(self) -> tuple[int, str, str]:
        """Bucket, account and platform, as they begin the keys of the tables."""
        return bucket_of(self.provider, self.account_id), self.account_id, self.provider


@dataclass(frozen=True, slots=True)
class Reader:
    """An active connection by which an account can be read, of whichever tenant."""

    tenant: str
    id: str
    login_platform: str
    instance: str
    username: str
    scopes: Sequence[str]
    profile: Mapping[str, object]
    authorized_at: datetime

    def account(self, key: Key, api: Api, secrets: Mapping[str, str], refused: frozenset[str]) -> Account:
        """Return the account as the steps of a platform take it."""
        return Account(
            *key, api, secrets, self.login_platform, self.instance, self.username, self.scopes, self.profile, refused
        )


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to read an account; the fence is refused once somebody else has held it."""

    key: Key
    fence: int
    refused: frozenset[str]
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Claimed:
    """A task whose next page is to be read. ``now`` is the database's time at which the page begins."""

    task: Task
    now: datetime
    cursor: str
    pass_began_at: datetime
    first: bool
    since: datetime | None
    source_time: datetime | None
    attempts: int
    priority: int
    shown: int
    oldest_shown: datetime | None


class LeaseLostError(Exception):
    """Somebody else reads the account now: whatever was read must not be written."""


# --- accounts


async def active_accounts(connection: asyncpg.Connection, platforms: Collection[str]) -> dict[Key, datetime]:
    """Return the accounts of these platforms with an active connection, with the newest time one was authorised at."""
    rows = await connection.fetch(
        f"""
        SELECT platform, account_id, max(authorized_at) AS authorized_at FROM connections
        WHERE {_ACTIVE} AND platform = ANY($1) GROUP BY 1, 2""",
        list(platforms),
    )
    return {Key(row["platform"], row["account_id"]): row["authorized_at"] for row in rows}


async def known_accounts(connection: asyncpg.Connection) -> dict[Key, datetime]:
    """Return the accounts that are read at present, with when the connection was authorised by which they are."""
    rows = await connection.fetch(
        "SELECT provider, account_id, authorized_at FROM pull_accounts WHERE authorized_at IS NOT NULL"
    )
    return {Key(row["provider"], row["account_id"]): row["authorized_at"] for row in rows}


_ENABLE = """
INSERT INTO pull_accounts AS a (bucket, account_id, provider, authorized_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (bucket, account_id, provider) DO UPDATE SET authorized_at = excluded.authorized_at, trouble = NULL,
    held_until = NULL, refused = CASE WHEN a.authorized_at IS DISTINCT FROM excluded.authorized_at THEN '{}'
        ELSE a.refused END
"""

_GRANTED_ANEW = """
UPDATE pull_tasks SET skip_code = NULL, skipped = NULL, due_at = now()
WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND skip_code = 'scopes'
"""


async def enable_account(connection: asyncpg.Connection, key: Key, authorized_at: datetime) -> None:
    """Read an account from now on by a connection that was authorised then; what lacked its scopes is tried again."""
    await connection.execute(_ENABLE, *key.place, authorized_at)
    await connection.execute(_GRANTED_ANEW, *key.place)


async def disable_account(connection: asyncpg.Connection, key: Key) -> None:
    """Read an account no more: it has no active connection. Its tasks wait for one."""
    await connection.execute(
        "UPDATE pull_accounts SET authorized_at = NULL WHERE bucket = $1 AND account_id = $2 AND provider = $3",
        *key.place,
    )


async def take_new_kinds(connection: asyncpg.Connection, platform: str, kinds: Collection[str]) -> None:
    """Let tasks be carried out that an earlier release could not."""
    await connection.execute(
        """
        UPDATE pull_tasks SET skip_code = NULL, skipped = NULL, due_at = now()
        WHERE provider = $1 AND kind = ANY($2) AND skip_code = 'release'""",
        platform,
        list(kinds),
    )


_DUE_ACCOUNTS = """
SELECT a.account_id, a.provider FROM pull_accounts a
WHERE a.authorized_at IS NOT NULL AND (a.leased_until IS NULL OR a.leased_until < now())
    AND (a.held_until IS NULL OR a.held_until <= now())
    AND EXISTS (SELECT 1 FROM pull_tasks t WHERE t.bucket = a.bucket AND t.account_id = a.account_id
        AND t.provider = a.provider AND t.priority IN (0, 1, 2, 3, 4) AND t.due_at <= now())
ORDER BY a.served_at, a.account_id LIMIT $1
"""

_LEASE = """
UPDATE pull_accounts SET holder = $4, fence = fence + 1, served_at = now(),
    leased_until = now() + make_interval(secs => $5)
WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND authorized_at IS NOT NULL
    AND (leased_until IS NULL OR leased_until < now())
RETURNING fence, refused, began_at
"""


async def due_accounts(connection: asyncpg.Connection, limit: int) -> list[Key]:
    """Return accounts with due tasks that nobody reads, those that were served longest ago first."""
    rows = await connection.fetch(_DUE_ACCOUNTS, limit)
    return [Key(row["provider"], row["account_id"]) for row in rows]


async def lease(connection: asyncpg.Connection, key: Key, holder: str, seconds: float) -> Lease | None:
    """Take an account; None if somebody else has."""
    row = await connection.fetchrow(_LEASE, *key.place, holder, float(seconds))
    return None if row is None else Lease(key, row["fence"], frozenset(row["refused"]), row["began_at"])


_HOLD = """
UPDATE pull_accounts SET leased_until = now() + make_interval(secs => $5), calls = calls + $6,
    refused = CASE WHEN $7::text[] <@ refused THEN refused ELSE refused || $7 END
WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND fence = $4
RETURNING clock_timestamp()
"""


async def hold(
    connection: asyncpg.Connection, lease: Lease, seconds: float, *, calls: int = 0, refused: Sequence[str] = ()
) -> datetime:
    """Prolong the lease and hold its row until the transaction ends; return the database's time.

    Adds to the calls of the account and to what is refused to it. Raises LeaseLostError.
    """
    now: datetime | None = await connection.fetchval(
        _HOLD, *lease.key.place, lease.fence, float(seconds), calls, [*refused]
    )
    if now is None:
        raise LeaseLostError
    return now


_RELEASE = """
UPDATE pull_accounts SET holder = NULL, leased_until = NULL, progress = $5::jsonb, trouble = $6,
    held_until = CASE WHEN $7 > 0 THEN greatest(held_until, now() + make_interval(secs => $7)) ELSE held_until END
WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND fence = $4
"""


async def release(
    connection: asyncpg.Connection, lease: Lease, progress: Mapping[str, object], trouble: str | None, seconds: float
) -> None:
    """Give an account back, with how far it has come; nothing is asked for it for so many seconds.

    Nothing happens where it is somebody else's by now.
    """
    await connection.execute(_RELEASE, *lease.key.place, lease.fence, json.dumps(progress), trouble, float(seconds))


async def readers(connection: asyncpg.Connection, key: Key) -> list[Reader]:
    """Return the active connections of an account, the newest authorisation first."""
    rows = await connection.fetch(
        f"""
        SELECT tenant_id::text AS tenant, id::text AS id, coalesce(via, platform) AS login_platform, instance,
            username, scopes, profile, authorized_at
        FROM connections WHERE {_ACTIVE} AND platform = $1 AND account_id = $2 ORDER BY authorized_at DESC, id""",
        *key,
    )
    return [
        Reader(
            row["tenant"],
            row["id"],
            row["login_platform"],
            row["instance"],
            row["username"],
            row["scopes"],
            json.loads(row["profile"]),
            row["authorized_at"],
        )
        for row in rows
    ]


async def used_percent(connection: asyncpg.Connection, reader: Reader, account_id: str) -> int:
    """Return how much of the fullest rate limit of an account, or of the application, is used, as last heard."""
    percent: int = await connection.fetchval(
        """
        SELECT coalesce(max(percent), 0) FROM platform_budgets
        WHERE platform = $1 AND instance = $2 AND subject IN ('', $3)
            AND (updated_at > now() - $4::interval OR held_until > now())""",
        reader.login_platform,
        reader.instance,
        account_id,
        UNSERVED,
    )
    return percent


# --- tasks

_NEXT = """
SELECT t.* FROM unnest($4::smallint[]) AS p (priority), LATERAL (
    SELECT kind, object_id, cursor, pass_began_at, swept_at, first_done_at, source_time, attempts, t.priority, due_at,
        shown, oldest_shown
    FROM pull_tasks t WHERE t.bucket = $1 AND t.account_id = $2 AND t.provider = $3 AND t.priority = p.priority
        AND t.due_at <= $5 ORDER BY t.due_at LIMIT 1
) t ORDER BY t.priority LIMIT 1
"""


async def next_task(
    connection: asyncpg.Connection, key: Key, priorities: Sequence[int], now: datetime
) -> Claimed | None:
    """Return the most urgent task of an account that is due; None if there is none."""
    row = await connection.fetchrow(_NEXT, *key.place, list(priorities), now)
    if row is None:
        return None
    walking = bool(row["cursor"])
    return Claimed(
        Task(row["kind"], row["object_id"]),
        now,
        row["cursor"],
        row["pass_began_at"] if walking else now,
        row["first_done_at"] is None,
        row["swept_at"],
        row["source_time"],
        row["attempts"],
        row["priority"],
        row["shown"] if walking else 0,
        row["oldest_shown"] if walking else None,
    )


_KNOWN_IDS = """
SELECT object_id FROM pull_objects
WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND kind = $4 AND gone_at IS NULL
ORDER BY checked_at NULLS FIRST, object_id LIMIT $5
"""


async def known_ids(connection: asyncpg.Connection, key: Key, kind: str, most: int) -> list[str]:
    """Return ids of objects of a kind, those that were checked longest ago first."""
    return [row["object_id"] for row in await connection.fetch(_KNOWN_IDS, *key.place, kind, most)]


_WANT = """
INSERT INTO pull_tasks AS t (bucket, account_id, provider, kind, object_id, reason, priority, due_at, source_time, mark)
SELECT $1, $2, $3, w.kind, w.object_id, w.reason, w.priority, now() + make_interval(secs => w.delay), w.source_time,
    w.mark
FROM unnest($4::text[], $5::text[], $6::text[], $7::smallint[], $8::float8[], $9::timestamptz[], $10::text[])
    AS w (kind, object_id, reason, priority, delay, source_time, mark)
ORDER BY w.kind, w.object_id
ON CONFLICT (bucket, account_id, provider, kind, object_id) DO UPDATE SET
    due_at = least(t.due_at, excluded.due_at), wanted_at = clock_timestamp(), reason = excluded.reason,
    priority = CASE WHEN t.first_done_at IS NULL THEN least(t.priority, excluded.priority) ELSE excluded.priority END,
    source_time = coalesce(excluded.source_time, t.source_time),
    mark = CASE WHEN excluded.mark = '' THEN t.mark ELSE excluded.mark END, skip_code = NULL, skipped = NULL,
    attempts = CASE WHEN excluded.priority < 2 THEN 0 ELSE t.attempts END,
    trouble = CASE WHEN excluded.priority < 2 THEN NULL ELSE t.trouble END
WHERE CASE WHEN excluded.mark <> '' THEN excluded.mark <> t.mark AND t.skip_code IS DISTINCT FROM 'gone'
    ELSE excluded.priority <= t.priority AND (t.first_done_at IS NULL OR excluded.priority < 3)
        AND (t.due_at IS NULL OR excluded.due_at < t.due_at OR excluded.priority < t.priority)
        AND (t.skip_code IS NULL OR excluded.priority < 2) END
"""


async def want(connection: asyncpg.Connection, key: Key, wanted: Iterable[Wanted]) -> None:
    """Put tasks on the list. One that waits already is taken sooner where it is asked for as urgently, or more so.

    History asks for nothing that was carried out before, and only a person or an event for what is skipped, unless the
    mark is another one than the last. The same mark asks for nothing.
    """
    newest: dict[Task, Wanted] = {}
    for each in wanted:
        before = newest.get(each.task)
        if before is None or each.priority < before.priority:
            newest[each.task] = each
    if newest:
        await connection.execute(
            _WANT,
            *key.place,
            [each.task.kind for each in newest.values()],
            [each.task.object_id for each in newest.values()],
            [each.reason for each in newest.values()],
            [each.priority for each in newest.values()],
            [each.delay.total_seconds() for each in newest.values()],
            [each.source_time for each in newest.values()],
            [each.mark for each in newest.values()],
        )


_OF_TASK = "bucket = $1 AND account_id = $2 AND provider = $3 AND kind = $4 AND object_id = $5"

_GO_ON = f"""
UPDATE pull_tasks SET cursor = $6, pass_began_at = $7, pages = pages + 1, objects = objects + $8, attempts = 0,
    trouble = NULL, skip_code = NULL, skipped = NULL, shown = $9, oldest_shown = $10
WHERE {_OF_TASK}
"""


class Shown(NamedTuple):
    """What a walk has shown so far of the listing itself, and when the oldest of it was made, where that is known."""

    number: int
    oldest: datetime | None


async def go_on(
    connection: asyncpg.Connection, key: Key, claimed: Claimed, cursor: str, objects: int, shown: Shown
) -> None:
    """Store where the next page of a walk begins."""
    await connection.execute(_GO_ON, *key.place, *claimed.task, cursor, claimed.pass_began_at, objects, *shown)


# What was asked for since the walk began is due: the walk may have passed it.
_FINISH = f"""
UPDATE pull_tasks SET cursor = '', pass_began_at = $6, swept_at = $6, pages = pages + 1, objects = objects + $7,
    attempts = 0, trouble = NULL, skip_code = NULL, skipped = NULL, first_done_at = coalesce(first_done_at, now()),
    source_time = coalesce($8, source_time),
    due_at = CASE WHEN wanted_at > $6 THEN greatest(due_at, now()) ELSE now() + $9::interval END,
    priority = CASE WHEN wanted_at > $6 THEN priority ELSE $10 END
WHERE {_OF_TASK}
"""


async def finish(
    connection: asyncpg.Connection,
    key: Key,
    claimed: Claimed,
    objects: int,
    source_time: datetime | None,
    due: Due,
) -> None:
    """Store that a task was carried out, and when it is due again."""
    began = claimed.pass_began_at
    await connection.execute(
        _FINISH, *key.place, *claimed.task, began, objects, source_time, due.after, int(due.priority)
    )


_SKIP = f"""
UPDATE pull_tasks SET cursor = '', pages = pages + $6, attempts = 0, trouble = NULL, skip_code = $7, skipped = $8,
    due_at = now() + $9::interval, priority = CASE WHEN $9::interval IS NULL THEN priority ELSE $10 END
WHERE {_OF_TASK}
"""


async def skip(
    connection: asyncpg.Connection, key: Key, task: Task, code: str, words: str, due: Due, *, pages: int = 0
) -> None:
    """Store why a task is not carried out, and when it is tried again all the same."""
    await connection.execute(_SKIP, *key.place, *task, pages, code, words, due.after, int(due.priority))


_FAIL = f"""
UPDATE pull_tasks SET attempts = attempts + $6, trouble = $7, due_at = now() + make_interval(secs => $8),
    cursor = CASE WHEN $9 THEN '' ELSE cursor END
WHERE {_OF_TASK}
"""


async def fail(
    connection: asyncpg.Connection, key: Key, task: Task, trouble: str, seconds: float, *, counts: bool, restarts: bool
) -> None:
    """Store that a page failed: it is tried again after so many seconds, from the beginning where it ``restarts``."""
    await connection.execute(_FAIL, *key.place, *task, int(counts), trouble, float(seconds), restarts)


# --- objects

_KNOWN = """
SELECT o.kind, o.object_id, o.parent, o.source_time, o.external_id, o.digests, o.read_at, o.checked_at, o.missed_at,
    o.unlisted_at, o.unlisted_by::text, o.gone_at
FROM unnest($4::text[], $5::text[]) AS w (kind, object_id)
JOIN pull_objects o ON o.bucket = $1 AND o.account_id = $2 AND o.provider = $3 AND o.kind = w.kind
    AND o.object_id = w.object_id
"""


async def known(connection: asyncpg.Connection, key: Key, objects: Collection[Object]) -> dict[Object, Known]:
    """Return what is known of objects; those that were never read are left out."""
    wanted = sorted(set(objects))
    rows = await connection.fetch(_KNOWN, *key.place, [each.kind for each in wanted], [each.id for each in wanted])
    return {Object(row["kind"], row["object_id"]): _known(row) for row in rows}


def _known(row: asyncpg.Record) -> Known:
    return Known(
        Object(row["kind"], row["object_id"]),
        row["parent"],
        row["source_time"],
        row["external_id"],
        json.loads(row["digests"]),
        row["read_at"],
        row["checked_at"],
        row["missed_at"],
        row["unlisted_at"],
        row["unlisted_by"],
        row["gone_at"],
    )


_SAVE = """
INSERT INTO pull_objects (bucket, account_id, provider, kind, object_id, parent, source_time, external_id, digests,
    read_at, checked_at, missed_at, unlisted_at, unlisted_by, gone_at)
SELECT $1, $2, $3, w.kind, w.object_id, w.parent, w.source_time, w.external_id, w.digests::jsonb, w.read_at,
    w.checked_at, w.missed_at, w.unlisted_at, w.unlisted_by::uuid, w.gone_at
FROM unnest($4::text[], $5::text[], $6::text[], $7::timestamptz[], $8::text[], $9::text[], $10::timestamptz[],
    $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::text[], $15::timestamptz[])
    AS w (kind, object_id, parent, source_time, external_id, digests, read_at, checked_at, missed_at, unlisted_at,
        unlisted_by, gone_at)
ORDER BY w.kind, w.object_id
ON CONFLICT (bucket, account_id, provider, kind, object_id) DO UPDATE SET parent = excluded.parent,
    source_time = excluded.source_time, external_id = excluded.external_id, digests = excluded.digests,
    read_at = excluded.read_at, checked_at = excluded.checked_at, missed_at = excluded.missed_at,
    unlisted_at = excluded.unlisted_at, unlisted_by = excluded.unlisted_by, gone_at = excluded.gone_at
"""


async def save(connection: asyncpg.Connection, key: Key, objects: Collection[Known]) -> None:
    """Store what is known of objects from now on."""
    if not objects:
        return
    columns: list[list[Any]] = [
        list(column)
        for column in zip(
            *(
                (
                    each.about.kind,
                    each.about.id,
                    each.parent,
                    each.source_time,
                    each.external_id,
                    json.dumps(dict(each.digests)),
                    each.read_at,
                    each.checked_at,
                    each.missed_at,
                    each.unlisted_at,
                    each.unlisted_by,
                    each.gone_at,
                )
                for each in objects
            ),
            strict=True,
        )
    ]
    await connection.execute(_SAVE, *key.place, *columns)


# --- presence

# Of a listing with a cap it shows the newest for certain: what is younger than the oldest that it showed.
_UNLIST = """
UPDATE pull_objects SET unlisted_at = clock_timestamp(), unlisted_by = $7::uuid
WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND kind = $4 AND parent = $5
    AND gone_at IS NULL AND (checked_at IS NULL OR checked_at < $6) AND $8::bigint > 0
    AND ($9::bigint IS NULL OR $8 < $9 OR source_time > $10::timestamptz)
    AND ($11::interval IS NULL OR source_time > $6 - $11::interval)
RETURNING object_id, source_time
"""


async def unlist(
    connection: asyncpg.Connection,
    key: Key,
    listed: Object,
    began: datetime,
    reader: str,
    shown: Shown,
    range_: Range,
) -> list[tuple[str, datetime | None]]:
    """Note which objects a complete walk did not show that it would have shown: of the kind and parent of ``listed``.

    Nothing where it showed none at all. Return their ids, with when they were made.
    """
    rows = await connection.fetch(
        _UNLIST, *key.place, *listed, began, reader, shown.number, range_.most, shown.oldest, range_.life
    )
    return [(row["object_id"], row["source_time"]) for row in rows]


_CHILDREN = """
SELECT DISTINCT object_id FROM pull_objects
WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND parent = ANY($4)
"""


async def descendants(connection: asyncpg.Connection, key: Key, ids: Collection[str]) -> list[str]:
    """Return these ids and those of all objects that hang on them."""
    found, level = set(ids), list(ids)
    while level:
        rows = await connection.fetch(_CHILDREN, *key.place, level)
        level = [row["object_id"] for row in rows if row["object_id"] not in found]
        found.update(level)
    return sorted(found)


async def gone_among(connection: asyncpg.Connection, key: Key, ids: Collection[str]) -> set[str]:
    """Return those of these ids whose object is gone."""
    rows = await connection.fetch(
        """
        SELECT object_id FROM pull_objects WHERE bucket = $1 AND account_id = $2 AND provider = $3
            AND object_id = ANY($4) AND gone_at IS NOT NULL""",
        *key.place,
        list(ids),
    )
    return {row["object_id"] for row in rows}


_SKIP_GONE = """
UPDATE pull_tasks SET cursor = '', due_at = NULL, skip_code = 'gone', skipped = $5, attempts = 0, trouble = NULL
WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND object_id = ANY($4)
"""

_RESUME_GONE = """
UPDATE pull_tasks SET due_at = now(), skip_code = NULL, skipped = NULL
WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND object_id = ANY($4) AND skip_code = 'gone'
"""


async def resume_refused(connection: asyncpg.Connection, key: Key, kind: str, ids: Collection[str]) -> None:
    """Let objects be asked for again whose reading the platform refused."""
    await connection.execute(
        """
        UPDATE pull_tasks SET skip_code = NULL, skipped = NULL, attempts = 0
        WHERE bucket = $1 AND account_id = $2 AND provider = $3 AND kind = $4 AND object_id = ANY($5)
            AND skip_code = 'platform'""",
        *key.place,
        kind,
        [*ids],
    )


async def skip_gone(connection: asyncpg.Connection, key: Key, ids: Collection[str], words: str) -> None:
    """Ask for nothing any more of objects that are gone, or that hang on one."""
    await connection.execute(_SKIP_GONE, *key.place, list(ids), words)


async def resume_gone(connection: asyncpg.Connection, key: Key, ids: Collection[str]) -> None:
    """Ask again for what hangs on objects that are there again."""
    await connection.execute(_RESUME_GONE, *key.place, list(ids))


_WALK_AGAIN = """
UPDATE pull_tasks t SET due_at = least(t.due_at, now() + make_interval(secs => $6)), priority = least(t.priority, $7),
    reason = $8
WHERE t.bucket = $1 AND t.account_id = $2 AND t.provider = $3 AND t.kind = ANY($4) AND t.object_id = ANY($5)
    AND t.swept_at IS NOT NULL AND t.skip_code IS NULL
"""


async def walk_again(
    connection: asyncpg.Connection, key: Key, kinds: Sequence[str], parents: Sequence[str], seconds: float, reason: str
) -> None:
    """Have listings walked again after so many seconds at the latest."""
    await connection.execute(
        _WALK_AGAIN, *key.place, list(kinds), list(parents), float(seconds), int(Priority.RECENT), reason
    )


# --- what people and gauges are shown

_COUNTS = """
SELECT kind, count(*) AS tasks, count(*) FILTER (WHERE first_done_at IS NOT NULL AND skip_code IS NULL) AS done,
    count(*) FILTER (WHERE due_at <= now()) AS due, count(*) FILTER (WHERE skip_code IS NOT NULL) AS skipped,
    count(*) FILTER (WHERE attempts >= $4) AS troubled, coalesce(sum(objects), 0)::bigint AS objects
FROM pull_tasks WHERE bucket = $1 AND account_id = $2 AND provider = $3 GROUP BY kind ORDER BY kind
"""


async def counts(connection: asyncpg.Connection, key: Key, troubled_after: int) -> list[Count]:
    """Return the tasks of an account by their kind; those are troubled that failed so many times in a row."""
    return [Count(*row) for row in await connection.fetch(_COUNTS, *key.place, troubled_after)]


class Backlog(NamedTuple):
    """Due tasks of connected accounts of one priority, and for how long the oldest has been due, in seconds."""

    provider: str
    priority: int
    tasks: int
    oldest_seconds: float


async def backlog(connection: asyncpg.Connection) -> list[Backlog]:
    rows = await connection.fetch(
        """
        SELECT a.provider, t.priority, count(*), extract(epoch FROM now() - min(t.due_at))::float8
        FROM pull_accounts a JOIN pull_tasks t ON t.bucket = a.bucket AND t.account_id = a.account_id
            AND t.provider = a.provider AND t.due_at <= now()
        WHERE a.authorized_at IS NOT NULL GROUP BY 1, 2"""
    )
    return [Backlog(*row) for row in rows]


async def differences(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Return, by platform, the rows that differed when each account was last compared, and when that was first."""
    return list(
        await connection.fetch(
            """
            SELECT provider, sum(missing)::bigint AS missing, sum(different)::bigint AS different,
                sum(extra)::bigint AS extra, min(checked_at) AS checked_at
            FROM pull_drifts GROUP BY provider"""
        )
    )
