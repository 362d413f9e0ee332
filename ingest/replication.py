"""Notice commits that their standby did not confirm (``faults.md`` B3)."""

import asyncpg


class NotReplicatedError(Exception):
    """The commit is on this server only: the wait for its standby was cut short, so it is not acknowledged."""


class watched:  # noqa: N801  reads as a phrase
    """Collect the server's warnings that a commit was not replicated as configured.

    When the wait for a synchronous standby is cancelled, PostgreSQL reports success and only warns, with no code of
    its own. Storing deliveries gives no other warning, so any is taken for that one.
    """

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._warnings: list[str] = []

    def __enter__(self) -> list[str]:
        self._connection.add_log_listener(self._hear)
        return self._warnings

    def __exit__(self, *_: object) -> None:
        if not self._connection.is_closed():
            self._connection.remove_log_listener(self._hear)

    def _hear(self, _: object, message: asyncpg.PostgresLogMessage) -> None:
        if message.sqlstate[:2] in ("01", "57"):
            self._warnings.append(message.sqlstate)
