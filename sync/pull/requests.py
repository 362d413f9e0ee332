"""What people ask of pulls: to have an account or an object read now, and how far an account is read."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from sync.pull import request_store, store
from sync.pull.contract import Priority, PullingPlatform, Task, Wanted
from sync.pull.decisions import Count, Progress, progress
from sync.pull.request_store import Account, Kept, Reason
from sync.pull.store import Key


@dataclass(frozen=True, slots=True)
class Sync:
    """How far the account of a connection is read. ``percent`` is of the tasks that are known; ``seconds_left`` by the
    pace so far, None where nobody knows yet. ``served_at`` is when it was last looked at.
    """

    percent: int
    tasks: int
    done: int
    objects: int
    waiting: int
    skipped: int
    troubled: int
    seconds_left: float | None
    calls: int
    began_at: datetime
    served_at: datetime | None
    held_until: datetime | None
    trouble: str | None


def _sync(kept: Kept) -> Sync:
    found = kept.progress

    def number(name: str) -> int:
        value = found.get(name)
        return value if isinstance(value, int) else 0

    seconds = found.get("seconds")
    return _with(
        kept,
        percent=number("percent"),
        counted=Progress(
            number("tasks"),
            number("done"),
            number("objects"),
            number("waiting"),
            number("skipped"),
            number("troubled"),
            float(seconds) if isinstance(seconds, int | float) else None,
        ),
    )


def _with(kept: Kept, percent: int, counted: Progress) -> Sync:
    return Sync(
        percent,
        counted.tasks,
        counted.done,
        counted.objects,
        counted.waiting,
        counted.skipped,
        counted.troubled,
        counted.seconds,
        kept.calls,
        kept.began_at,
        kept.served_at,
        kept.held_until,
        kept.trouble,
    )


async def synced(connection: asyncpg.Connection, ids: Collection[str]) -> dict[str, Sync]:
    """Return how far the accounts of connections of the acting tenant are read, by the connection's id.

    Those that no worker has looked at, or whose platform is not read, are left out.
    """
    return {id_: _sync(kept) for id_, kept in (await request_store.kept(connection, ids)).items()}


ASKED = "a person asked for it"


async def ask(connection: asyncpg.Connection, platform: PullingPlatform, id_: str) -> bool:
    """Have the account of a connection read anew; False where the acting tenant has no active one of this id."""
    return await request_store.ask_of_connection(connection, id_, platform.first, ASKED)


@dataclass(frozen=True, slots=True)
class Status:
    """An account with its tasks by kind, and why some of them are not carried out."""

    account: Account
    sync: Sync
    counts: Sequence[Count]
    reasons: Sequence[Reason]


async def status(
    connection: asyncpg.Connection, platforms: Mapping[str, PullingPlatform], platform: str | None
) -> list[Status]:
    """Return how far accounts of all tenants are, counted now."""
    found = []
    counted = await request_store.counts(connection)
    for account in await request_store.accounts(connection, platform, None):
        key = Key(account.provider, account.account_id)
        tasks = platforms[account.provider].tasks if account.provider in platforms else {}
        history = [name for name, task in tasks.items() if task.backfill]
        of_account = counted.get(key, [])
        took = datetime.now(UTC) - account.kept.began_at
        counted_now = progress(of_account, history, took)
        sync = _with(account.kept, counted_now.percent, counted_now)
        found.append(Status(account, sync, of_account, await request_store.reasons(connection, key)))
    return found


@dataclass(frozen=True, slots=True)
class Asked:
    """Tasks of one account that were asked for, at this time of the database."""

    key: Key
    tasks: Sequence[Task]
    since: datetime


async def ask_for_account(
    connection: asyncpg.Connection,
    platforms: Mapping[str, PullingPlatform],
    platform: str | None,
    account: str,
) -> list[Asked]:
    """Have accounts of this id or name read anew, of every platform or of one; nothing where none is connected."""
    found = [each for each in await request_store.accounts(connection, platform, account) if each.connected]
    return [
        await _ask(connection, Key(each.provider, each.account_id), platforms[each.provider].first)
        for each in found
        if each.provider in platforms
    ]


async def ask_for_object(
    connection: asyncpg.Connection,
    platforms: Mapping[str, PullingPlatform],
    platform: str | None,
    object_id: str,
    account: str | None = None,
) -> list[Asked]:
    """Have an object read with all that is read of it, by each connected account that knows it.

    Where none does, by ``account``. Nothing where that is not connected either.
    """
    kinds: dict[Key, set[str]] = {}
    for holder in await request_store.holders(connection, platform, object_id):
        if account in (None, holder.key.account_id):
            kinds.setdefault(holder.key, set()).add(holder.kind)
    if not kinds and account is not None:
        for each in await request_store.accounts(connection, platform, account):
            if each.connected:
                kinds[Key(each.provider, each.account_id)] = {""}
    return [
        await _ask(connection, key, await _about(connection, platforms[key.provider], key, object_id, of))
        for key, of in kinds.items()
        if key.provider in platforms
    ]


async def ask_for_post(
    connection: asyncpg.Connection, platforms: Mapping[str, PullingPlatform], platform: str | None, post: str
) -> list[Asked]:
    """Have a post of ours read where it is published; nothing where it is nowhere that is read."""
    asked: list[Asked] = []
    for key, object_id in await request_store.published(connection, post):
        if key.provider in platforms and platform in (None, key.provider):
            asked += await ask_for_object(connection, platforms, key.provider, object_id, key.account_id)
    return asked


async def _about(
    connection: asyncpg.Connection, platform: PullingPlatform, key: Key, object_id: str, kinds: Collection[str]
) -> list[Task]:
    """Return what is read of an object: its own task, by the kind that it is of, and all that are about it.

    One that nobody ever read is taken for what the platform's file names first, which is its posts.
    """
    own = [platform.confirms[kind] for kind in sorted(kinds) if kind in platform.confirms]
    about = [kind for kind in await request_store.tasks_about(connection, key, object_id) if kind in platform.tasks]
    names = dict.fromkeys([*(own or list(platform.confirms.values())[:1]), *about])
    return [Task(name, object_id) for name in names]


async def _ask(connection: asyncpg.Connection, key: Key, tasks: Sequence[Task]) -> Asked:
    since = await request_store.now(connection)
    await store.want(connection, key, [Wanted(task, ASKED, Priority.ASKED) for task in tasks])
    return Asked(key, tasks, since)
