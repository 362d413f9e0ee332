"""Login failures: attempts at a password or a second factor, counted for whom they are made."""

import asyncpg


async def lock(connection: asyncpg.Connection, subject: bytes) -> None:
    """Let nobody else count for this subject before the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", int.from_bytes(subject[:8], "big", signed=True))


async def count(connection: asyncpg.Connection, subject: bytes, minutes: int) -> int:
    """Count the failures of the last ``minutes``."""
    found: int = await connection.fetchval(
        """
        SELECT count(*) FROM login_failures
        WHERE who_sha256 = $1 AND failed_at > clock_timestamp() - make_interval(mins => $2)""",
        subject,
        minutes,
    )
    return found


async def insert(connection: asyncpg.Connection, subject: bytes) -> int:
    """Return the id of a new failure."""
    id_: int = await connection.fetchval("INSERT INTO login_failures (who_sha256) VALUES ($1) RETURNING id", subject)
    return id_


async def delete(connection: asyncpg.Connection, subject: bytes, id_: int) -> None:
    await connection.execute("DELETE FROM login_failures WHERE who_sha256 = $1 AND id = $2", subject, id_)


async def delete_all(connection: asyncpg.Connection, subject: bytes) -> None:
    await connection.execute("DELETE FROM login_failures WHERE who_sha256 = $1", subject)


async def move(connection: asyncpg.Connection, subject: bytes, other: bytes) -> None:
    """Count the failures of one subject for another one from now on."""
    await connection.execute(
        """
        WITH counted AS (DELETE FROM login_failures WHERE who_sha256 = $1 RETURNING failed_at)
        INSERT INTO login_failures (who_sha256, failed_at) SELECT $2, failed_at FROM counted""",
        subject,
        other,
    )
