"""Connections to PostgreSQL: small pools with names, bounded waits, and the same session settings everywhere."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Self

import asyncpg

from ops.runtime import metrics

CONNECT_SECONDS = 1.0
"""An address that does not answer within this is away: the caller has its own deadline to keep."""

REFUSED = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.exceptions.ProgramLimitExceededError,
    ValueError,
    TypeError,
    OverflowError,
)
"""The data's fault: the same rows would be refused again. Whatever is not of these is the database's trouble, or the
network's, or a release that does not fit the schema: nothing is wrong with what was to be written, so it waits."""

CONFLICTS = {
    asyncpg.exceptions.SerializationError: "serialization",
    asyncpg.exceptions.DeadlockDetectedError: "deadlock",
    asyncpg.exceptions.LockNotAvailableError: "lock_timeout",
}
"""What each is called in metrics. A deadlock is a fault of ours: all writers take their rows in one order."""

CONTENDED = tuple(CONFLICTS)
"""Lost a race; the same statement may win the next one."""

TRANSACTION_SECONDS = 10
_BEGIN = f"""
BEGIN;
SELECT set_config(name, '{TRANSACTION_SECONDS}s', true) FROM (VALUES ('transaction_timeout')) AS setting (name)
WHERE current_setting(name, true) IS NOT NULL
"""
"""A session whose client is gone between two messages of one statement counts neither as idle nor as running: from
PostgreSQL 17 on, this limit alone ends it. Before, it keeps its locks until TCP gives up."""

_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")


class Bounced(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """A connection through PgBouncer in transaction mode: what is behind it changes from one transaction to the next.

    asyncpg prepares a statement with one message and runs it with another, so every statement runs in a transaction;
    and what would be settings of the session are made anew in each.
    """

    begin: ClassVar[str]

    async def fetch(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._alone():
            return await super().fetch(query, *args, **options)

    async def fetchrow(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._alone():
            return await super().fetchrow(query, *args, **options)

    async def fetchval(self, query: str, *args: Any, **options: Any) -> Any:
        async with self._alone():
            return await super().fetchval(query, *args, **options)

    async def execute(self, query: str, *args: Any, **options: Any) -> Any:
        if not args:  # one message, no preparing
            return await super().execute(query, **options)
        async with self._alone():
            return await super().execute(query, *args, **options)

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        if self.is_in_transaction():
            yield
        else:
            async with transaction(self):
                yield


class Pool:
    """asyncpg's pool with a name, a bounded wait and gauges. Opens no connection before it is used."""

    def __init__(self, pool: asyncpg.Pool, name: str, size: int, wait_seconds: float) -> None:
        self._pool = pool
        self._name = name
        self._wait = wait_seconds
        self._free = asyncio.Semaphore(size)
        metrics.pool_size.labels(name).set(size)
        self._in_use = metrics.pool_in_use.labels(name)
        self._waiting = metrics.pool_waiting.labels(name)
        for kind in CONFLICTS.values():  # a first one is an increase only from a zero that was seen
            metrics.of(metrics.database_conflicts, name, kind)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection, within the pool's bounded wait; it is reused only after an error that PostgreSQL survives.

        Raises TimeoutError where none came free in time.
        """
        self._waiting.inc()
        try:
            async with asyncio.timeout(self._wait):
                await self._free.acquire()
        except TimeoutError:
            metrics.pool_timeouts.labels(self._name).inc()
            raise
        finally:
            self._waiting.dec()
        self._in_use.inc()
        try:
            connection = await self._pool.acquire()
            try:
                yield connection
            except REFUSED:
                raise
            except CONTENDED as error:
                metrics.of(metrics.database_conflicts, self._name, CONFLICTS[type(error)]).inc()
                raise
            except BaseException:
                # Its state is unknown, and a peer that is gone may never answer a polite goodbye.
                connection.terminate()
                raise
            finally:
                await self._pool.release(connection)
        finally:
            self._in_use.dec()
            self._free.release()

    async def close(self) -> None:
        try:
            async with asyncio.timeout(5):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def open_pool(
    dsn: str,
    name: str,
    size: int,
    *,
    role: str = "",
    wait_seconds: float = 1.0,
    statement_seconds: float = 30.0,
    settings: Mapping[str, str] | None = None,
    pgbouncer: bool = False,
) -> Pool:
    """A pool named in metrics and in pg_stat_activity. ``settings`` are more session settings."""
    session = session_settings(name, role, statement_seconds) | dict(settings or {})
    options: dict[str, Any] = {"server_settings": session}
    if pgbouncer:
        local = "; ".join(f"SET LOCAL {setting} = '{value}'" for setting, value in session.items())
        kind = type("Bounced", (Bounced,), {"begin": f"{_BEGIN}; {local}"})
        options = {"connection_class": kind, "statement_cache_size": 0}
    pool = asyncpg.create_pool(
        dsn, min_size=0, max_size=size, timeout=CONNECT_SECONDS, command_timeout=statement_seconds, **options
    )
    return Pool(await pool, name, size, wait_seconds)


@asynccontextmanager
async def transaction(connection: asyncpg.Connection) -> AsyncIterator[None]:
    """A transaction on a connection of a pool.

    After a time-out there is no ROLLBACK: a peer that is gone would let that wait as long again, and the pool ends
    the connection anyway.
    """
    await connection.execute(getattr(connection, "begin", _BEGIN))
    try:
        yield
    except (TimeoutError, asyncio.CancelledError):
        raise
    except BaseException:
        if not connection.is_closed():
            await connection.execute("ROLLBACK")
        raise
    await connection.execute("COMMIT")


def session_settings(name: str, role: str, statement_seconds: float = 30.0) -> dict[str, str]:
    """What every session of ours runs under; durability is the server's to set and ``landfall doctor``'s to check."""
    if role and not _ROLE.fullmatch(role):
        raise ValueError("LANDFALL_DATABASE_ROLE is not a role name")
    return {
        "application_name": f"landfall {name}",
        "statement_timeout": f"{int(statement_seconds * 1000)}",
        "lock_timeout": "2000",
        "idle_in_transaction_session_timeout": "5000",  # a worker that is frozen, or cut off, lets go of what it holds
        **({"role": role} if role else {}),
    }


async def connect(dsn: str, role: str = "", name: str = "command") -> asyncpg.Connection:
    """One connection for a command."""
    return await asyncpg.connect(dsn, timeout=10, server_settings=session_settings(name, role, 600))


def describe(error: BaseException) -> str:
    """An error as one short line for a row or a log: its kind and SQLSTATE, never the values it was about."""
    code = getattr(error, "sqlstate", None)
    return f"{error.__class__.__name__}{f' {code}' if code else ''}"


def rows_affected(status: Any) -> int:
    """The count in a command tag such as ``UPDATE 3``."""
    return int(str(status).rsplit(" ", 1)[-1])
