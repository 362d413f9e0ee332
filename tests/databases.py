"""Databases for tests: clones of a template, given to one test after another and cleaned in between.

To clone and drop a database costs as much as many a test, to delete a few rows next to nothing. What a test has left
is looked for in the database itself, not guessed from the test: rows of every table, sequences, and any change of the
catalogues. A database whose schema, rights or settings were changed is dropped, not mended, and so is one that was
used often, as deleted rows take space.
"""

import asyncio
import io
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import asyncpg

from ops.runtime.embedded import Postgres

USES = 40
"""Tests after which a database is replaced."""

END_MS = 10_000
"""How long a session that a test left open has to end."""

_CATALOGUES = """
SELECT string_agg(format(
    'SELECT count(*) AS total, count(*) FILTER (WHERE age(xmin) < age($1::text::xid)) AS changed FROM %s', oid::regclass
), ' UNION ALL ')
FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'pg_catalog'::regnamespace AND NOT relisshared
    AND relname NOT LIKE 'pg_statistic%'"""  # those are written by ANALYZE
_RELATIONS = """
SELECT quote_ident(n.nspname), quote_ident(c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = $1 AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2"""
_SETTINGS = """
SELECT age(d.xmin) < age($1::text::xid) OR EXISTS (SELECT FROM pg_db_role_setting WHERE setdatabase = d.oid)
FROM pg_database d WHERE d.datname = current_database()"""
_END_SESSIONS = """
SELECT coalesce(bool_and(pg_terminate_backend(pid, $1)), true) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


def _content(table: str) -> str:
    """The query of a digest of all rows of a table."""
    return f"SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {table} t"


_numbers = itertools.count()


@dataclass
class _Clone:
    """A database and the superuser's connection to it, by which it is watched."""

    name: str
    connection: asyncpg.Connection
    uses: int = 0
    began: str = ""
    """The transaction after which a change of a catalogue is a test's doing."""
    changes: str = ""
    """The query that counts rows of all catalogues, and those that were changed since."""
    objects: int = 0
    look: str = ""
    """The query that tells tables that are not as in the template, and where the sequences stand."""
    sequences: list[str] = field(default_factory=list)
    seeds: dict[str, bytes] = field(default_factory=dict)
    """The rows of each table that is not empty in the template."""

    async def learn(self) -> None:
        """Note what it is like before a test has used it."""
        run = self.connection
        await run.execute("SET session_replication_role = replica")  # no trigger keeps rows from being deleted
        self.began = await run.fetchval("SELECT pg_current_xact_id()::xid::text")
        self.changes = f"SELECT sum(total), sum(changed) FROM ({await run.fetchval(_CATALOGUES)}) c"
        self.objects, _ = await run.fetchrow(self.changes, self.began)
        looks = []
        for schema, name in await run.fetch(_RELATIONS, b"r"):
            table = f"{schema}.{name}"
            if await run.fetchval(f"SELECT EXISTS (SELECT FROM {table})"):
                rows = io.BytesIO()
                await run.copy_from_query(f"TABLE {table}", output=rows, format="binary")
                self.seeds[table] = rows.getvalue()
                looks.append(f"SELECT '{table}' WHERE ({_content(table)}) <> '{await run.fetchval(_content(table))}'")
            else:
                looks.append(f"SELECT '{table}' WHERE EXISTS (SELECT FROM {table})")
        stands = [
            f"SELECT ARRAY['{schema}.{name}', last_value::text, is_called::text] FROM {schema}.{name}"
            for schema, name in await run.fetch(_RELATIONS, b"S")
        ]
        self.look = f"SELECT ARRAY({' UNION ALL '.join(looks)}), ARRAY({' UNION ALL '.join(stands)})"
        _, self.sequences = await run.fetchrow(self.look)

    async def cleaned(self) -> bool:
        """Whether it is again as it was, after whatever was left in it is gone."""
        run = self.connection
        self.uses += 1
        ended = await run.fetchval(_END_SESSIONS, END_MS)
        if self.uses >= USES or not ended or await run.fetchval(_SETTINGS, self.began):
            return False
        if tuple(await run.fetchrow(self.changes, self.began)) != (self.objects, 0):
            return False
        tables, sequences = await run.fetchrow(self.look)
        if tables:
            await run.execute("; ".join(f"DELETE FROM {table}" for table in tables))
        for table in self.seeds.keys() & set(tables):
            schema, name = table.split(".")
            await run.copy_to_table(name, schema_name=schema, source=io.BytesIO(self.seeds[table]), format="binary")
        if moved := [first for first, now in zip(self.sequences, sequences, strict=True) if first != now]:
            await run.execute("; ".join(f"SELECT setval('{name}', {value}, {called})" for name, value, called in moved))
        return True


class Databases:
    """The clones of a process of the tests, on one server or several."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self._superusers: dict[int, asyncpg.Connection] = {}
        self._clean: dict[tuple[int, str], list[_Clone]] = {}

    @contextmanager
    def fresh(self, server: Postgres, template: str) -> Iterator[str]:
        """A clone of its own, dropped afterwards; its name."""
        name = self._create(server, template)
        try:
            yield name
        finally:
            self._drop(server, name)

    @contextmanager
    def shared(self, server: Postgres, template: str) -> Iterator[str]:
        """A clone like a fresh one, which others have used before and will use; its name."""
        waiting = self._clean.setdefault((server.port, template), [])
        clone = waiting.pop() if waiting else self._learned(server, self._create(server, template))
        try:
            yield clone.name
        finally:
            if self._cleaned(clone):
                waiting.append(clone)
            else:
                clone.connection.terminate()
                self._drop(server, clone.name)

    def close(self) -> None:
        """Let go of the connections; the databases go with their servers."""
        clones = [clone.connection for waiting in self._clean.values() for clone in waiting]
        for connection in (*self._superusers.values(), *clones):
            connection.terminate()  # its server may be gone
        self._runner.close()

    def _create(self, server: Postgres, template: str) -> str:
        name = f"landfall_test_{next(_numbers)}"  # as `make up` and `db reset` take it for ours
        # Copied as files it takes half as long as through the log.
        self._run(server, f"CREATE DATABASE {name} TEMPLATE {template} OWNER landfall STRATEGY FILE_COPY")
        return name

    def _drop(self, server: Postgres, name: str) -> None:
        self._run(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, server: Postgres, statement: str) -> None:
        """Run a statement by a connection that is kept: starting psql takes longer than what most need done."""
        if server.port not in self._superusers:
            self._superusers[server.port] = self._runner.run(self._connect(server, "postgres"))
        self._runner.run(self._superusers[server.port].execute(statement))

    async def _connect(self, server: Postgres, database: str) -> asyncpg.Connection:
        login = {"user": "postgres", "password": server.password, "database": database}
        return await asyncpg.connect(host="127.0.0.1", port=server.port, **login)

    def _learned(self, server: Postgres, name: str) -> _Clone:
        clone = _Clone(name, self._runner.run(self._connect(server, name)))
        self._runner.run(clone.learn())
        return clone

    def _cleaned(self, clone: _Clone) -> bool:
        try:
            return self._runner.run(clone.cleaned())
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False  # a test has dropped or locked it, or ended the connection
