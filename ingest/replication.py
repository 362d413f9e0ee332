"""Notice commits that their standby did not confirm (``faults.md`` B3)."""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg


class NotReplicatedError(Exception):
    """The commit is on this server only: the wait for its standby was cut short, so it is not acknowledged."""


@contextmanager
def replication_warnings(connection: asyncpg.Connection) -> Iterator[list[str]]:
    """Give a list that collects the SQLSTATE of each warning that a commit was not replicated as configured.

    When the wait for a synchronous standby is cancelled, PostgreSQL reports success and only warns, with no code of
    its own. Storing deliveries gives no other warning, so any is taken for that one.
    """
    warnings: list[str] = []

    def collect(_: object, message: asyncpg.PostgresLogMessage) -> None:
        if message.sqlstate[:2] in ("01", "57"):
            warnings.append(message.sqlstate)

    connection.add_log_listener(collect)
    try:
        yield warnings
    finally:
        if not connection.is_closed():
            connection.remove_log_listener(collect)
