"""Connect to PostgreSQL: small pools with names, bounded waits, and the same session settings everywhere."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg

from ops.runtime import metrics, transaction_store

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

CONNECT_SECONDS = 1.0
"""An address that does not answer within this is away: the caller has its own deadline to keep."""

COMMAND_STATEMENT_SECONDS = 600.0
COMMAND_CONNECT_SECONDS = 10.0
"""The same for a command, which nobody waits for with a deadline."""

NEXT_HOST_SECONDS = 0.25
"""How long the next host waits for the one before it, which may be frozen; the value of RFC 8305, section 8. Three
hosts are thus all being tried after half a second: within the deadline of a webhook."""

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


class NoPrimaryError(ConnectionError):
    """Servers answer, and none is what ``target_session_attrs`` asks for: a failover is under way, or failed."""


class AddressError(ConnectionError):
    """The address of the database cannot be read; no server was asked."""


_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")


class Session(asyncpg.Connection):
    """A connection that knows when it was opened."""

    opened_at = 0.0
    """By the clock of the event loop."""


class Bounced(Session):
    """A connection through PgBouncer in transaction mode: what is behind it changes from one transaction to the next.

    asyncpg prepares a statement with one message and runs it with another, so every statement runs in a transaction;
    and what would be settings of the session are made anew in each.
    """

    settings: ClassVar[str]
    """The statements that make them."""

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
        self._lost_at = 0.0
        metrics.pool_size.labels(name).set(size)
        self._in_use = metrics.pool_in_use.labels(name)
        self._waiting = metrics.pool_waiting.labels(name)
        for kind in CONFLICTS.values():  # a first one is an increase only from a zero that was seen
            metrics.of(metrics.database_conflicts, name, kind)

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection, within the pool's bounded wait; it is reused only after an error that leaves it usable.

        After a time-out, or an answer that this server is read-only, connections that were opened before it are not
        used again: they lead to the same server, which may be frozen or a primary no more.
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
            connection = await self._trusted()
            try:
                yield connection
            except REFUSED:
                raise
            except CONTENDED as error:
                metrics.of(metrics.database_conflicts, self._name, CONFLICTS[type(error)]).inc()
                raise
            except BaseException as error:
                # Its state is unknown, and a peer that is gone may never answer a polite goodbye.
                connection.terminate()
                # A caller's own deadline arrives here as a cancellation.
                if isinstance(error, TimeoutError | asyncio.CancelledError | asyncpg.ReadOnlySQLTransactionError):
                    self._lost_at = asyncio.get_running_loop().time()
                raise
            finally:
                await self._give_back(connection)
        finally:
            self._in_use.dec()
            self._free.release()

    async def _trusted(self) -> asyncpg.Connection:
        """Return a connection that was opened since a server was last lost."""
        while True:
            # The proxy hands every attribute on to the connection, which is of the pool's connection_class.
            connection = cast("Session", await self._pool.acquire())
            if connection.opened_at >= self._lost_at:
                return connection
            connection.terminate()
            await self._give_back(connection)

    async def _give_back(self, connection: asyncpg.Connection) -> None:
        """Release it; a server that is silent meanwhile keeps neither the connection nor a caller with a deadline."""
        releasing = asyncio.create_task(self._pool.release(cast("PoolConnectionProxy[asyncpg.Record]", connection)))
        releasing.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may be left to ask
        try:
            await asyncio.shield(releasing)
        except BaseException:
            self._lost_at = asyncio.get_running_loop().time()
            with suppress(asyncpg.InterfaceError):  # ended before
                connection.terminate()
            raise

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
    connect_seconds: float = CONNECT_SECONDS,
    wait_seconds: float = 1.0,
    statement_seconds: float = 30.0,
    settings: Mapping[str, str] | None = None,
    pgbouncer: bool = False,
) -> Pool:
    """Open a pool, named in metrics and in pg_stat_activity. ``settings`` are more session settings."""
    session = session_settings(name, role, statement_seconds) | dict(settings or {})
    options: dict[str, Any] = {"server_settings": session, "connection_class": Session}
    if pgbouncer:
        kind = type("Bounced", (Bounced,), {"settings": transaction_store.local_settings(session)})
        options = {"connection_class": kind, "statement_cache_size": 0}
    connect = partial(_opened, connect_seconds)
    pool = asyncpg.create_pool(
        dsn, min_size=0, max_size=size, connect=connect, command_timeout=statement_seconds, **options
    )
    return Pool(await pool, name, size, wait_seconds)


@asynccontextmanager
async def transaction(connection: asyncpg.Connection, first: str = "") -> AsyncIterator[str]:
    """Run a transaction on a connection of a pool.

    ``first`` is a statement that is sent together with the beginning; the status of the last statement is given.

    After a time-out there is no ROLLBACK: a peer that is gone would let that wait as long again, and the pool ends
    the connection anyway.
    """
    status = await transaction_store.begin(connection, getattr(connection, "settings", ""), first)
    try:
        yield status
    except (TimeoutError, asyncio.CancelledError):
        raise
    except BaseException:
        if not connection.is_closed():
            await transaction_store.roll_back(connection)
        raise
    await transaction_store.commit(connection)


def session_settings(name: str, role: str, statement_seconds: float = 30.0) -> dict[str, str]:
    """Return the settings of every session; ``landfall doctor`` checks the durability that the server sets."""
    if role and not _ROLE.fullmatch(role):
        raise ValueError("LANDFALL_DATABASE_ROLE is not a role name")
    return {
        "application_name": f"landfall {name}",
        "statement_timeout": f"{int(statement_seconds * 1000)}",
        "lock_timeout": "2000",
        # Statements here are short; where the planner misjudges one, compiling it takes longer than the locks of a
        # rebuild may be waited for. The embedded server is built without it, Debian's and most others have it on.
        "jit": "off",
        "idle_in_transaction_session_timeout": "5000",  # a worker that is frozen, or cut off, lets go of what it holds
        **({"role": role} if role else {}),
    }


async def connect(dsn: str, role: str = "", name: str = "command", *, limited: bool = True) -> asyncpg.Connection:
    """Open one connection for a command. Raises as ``reach`` does.

    Unless it is ``limited``, a statement may take as long as it needs, which is for statements over whole tables, and
    ends when the command does, however that ends.
    """
    settings = session_settings(name, role, COMMAND_STATEMENT_SECONDS if limited else 0)
    if not limited:
        settings["client_connection_check_interval"] = "10s"
    return await reach(dsn, COMMAND_CONNECT_SECONDS, server_settings=settings)


async def _opened(seconds: float, dsn: str, **options: Any) -> Session:
    """Open one connection for a pool."""
    begun = asyncio.get_running_loop().time()  # a server lost meanwhile may be this one
    connection = cast("Session", await reach(dsn, seconds, **options))  # the pool's connection_class is among them
    connection.opened_at = begun
    return connection


def hosts(dsn: str) -> list[str]:
    """Return the address once for each host that it names, in its order, as libpq reads lists of hosts (34.1.1.3).

    Hosts of ``PGHOST`` and of a service file are not told apart: such an address is returned as it is.
    Raises AddressError.
    """
    try:
        parts = urlsplit(dsn)
    except ValueError:
        raise AddressError("DATABASE_URL is no URL") from None  # without it: it holds a password
    login, at, names = parts.netloc.partition("@") if "@" in parts.netloc else ("", "", parts.netloc)
    if names:
        return [urlunsplit(parts._replace(netloc=f"{login}{at}{name}")) for name in names.split(",")]
    query = parse_qsl(parts.query, keep_blank_values=True)
    named = dict(query)  # the last of a name counts
    several = named.get("host", "").split(",")
    if len(several) == 1:
        return [dsn]
    ports = named.get("port", "").split(",")
    ports = ports * len(several) if len(ports) == 1 else ports
    if len(ports) != len(several):
        return [dsn]  # the driver says what is wrong with it
    rest = [(name, value) for name, value in query if name not in ("host", "port")]
    return [
        urlunsplit(parts._replace(query=urlencode([*rest, ("host", host), *([("port", port)] if port else [])])))
        for host, port in zip(several, ports, strict=True)
    ]


def wanted_server(dsn: str) -> str:
    """Return the kind of server that an address asks for: its ``target_session_attrs``, by default "any"."""
    named = dict(parse_qsl(urlsplit(dsn).query))
    return named.get("target_session_attrs") or os.environ.get("PGTARGETSESSIONATTRS") or "any"


async def reach(dsn: str, seconds: float, **options: Any) -> asyncpg.Connection:
    """Connect to the first host of ``dsn`` that answers and is what ``target_session_attrs`` asks for.

    Each host has ``seconds`` of its own. The next one is tried as soon as the one before it fails, and beside it where
    it is silent for ``NEXT_HOST_SECONDS``: a host that is frozen, or vanished without a reset, keeps nobody from the
    others. asyncpg alone tries them one after another within a single bound, which such a host uses up.

    Raises AddressError, NoPrimaryError, OSError, TimeoutError or asyncpg.PostgresError: what the last host said, unless
    another answered with an error of PostgreSQL's (a wrong password, say), which tells more.
    """
    left, trying = iter(hosts(dsn)), list[asyncio.Task[asyncpg.Connection]]()
    try:
        exhausted = False
        while not exhausted or not all(task.done() for task in trying):
            if (host := next(left, None)) is None:
                exhausted = True
            else:
                trying.append(asyncio.create_task(_reach_one(host, seconds, options)))
            pending = [task for task in trying if not task.done()]
            if pending:
                limit = None if exhausted else NEXT_HOST_SECONDS
                await asyncio.wait(pending, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            for task in trying:
                if task.done() and task.exception() is None:
                    trying.remove(task)
                    return task.result()
    finally:
        for task in trying:
            task.cancel()
            task.add_done_callback(_discard)
    errors = [error for task in trying if (error := task.exception()) is not None]
    raise next((error for error in errors if isinstance(error, asyncpg.PostgresError)), errors[-1])


async def _reach_one(dsn: str, seconds: float, options: Mapping[str, Any]) -> asyncpg.Connection:
    try:
        return await asyncpg.connect(dsn, timeout=seconds, **options)
    except asyncpg.exceptions.TargetServerAttributeNotMatched:
        raise NoPrimaryError(f"no server is what target_session_attrs={wanted_server(dsn)} asks for") from None
    except ValueError:
        raise AddressError("DATABASE_URL cannot be read: see its hosts, ports and parameters") from None


def _discard(task: "asyncio.Task[asyncpg.Connection]") -> None:
    """Close the connection of a host that answered second."""
    if not task.cancelled() and task.exception() is None:
        task.result().terminate()


def describe(error: BaseException) -> str:
    """Describe an error in one short line: its class and SQLSTATE, never the values it was about."""
    code = getattr(error, "sqlstate", None)
    return f"{error.__class__.__name__}{f' {code}' if code else ''}"


def required(row: asyncpg.Record | None) -> asyncpg.Record:
    """Return the row of a statement that always gives one. Raises LookupError where it gave none."""
    if row is None:
        raise LookupError("the statement gave no row")
    return row


def rows_affected(status: str) -> int:
    """Return the count in a command tag such as ``UPDATE 3``."""
    return int(status.rsplit(" ", 1)[-1])
