"""What `landfall verify` leaves for `landfall doctor`, metrics, and the next one."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg


@dataclass(frozen=True, slots=True)
class Verification:
    """How many rows were compared with the log, how many are not what it says, and how many ids collide."""

    began_at: datetime
    changed_only: bool
    rows: int
    drifted: int
    colliding: int


async def now(connection: asyncpg.Connection) -> datetime:
    """Return the time by the database's clock."""
    found: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return found


async def last_without_drift(connection: asyncpg.Connection) -> datetime | None:
    """Return when the newest verification began that found all as the log says; None if there is none."""
    found: datetime | None = await connection.fetchval(
        """
        SELECT began_at FROM crm_verifications
        WHERE drifted_rows = 0 AND colliding_ids = 0 AND began_at IS NOT NULL ORDER BY id DESC LIMIT 1"""
    )
    return found


async def note_verification(connection: asyncpg.Connection, done: Verification) -> None:
    await connection.execute(
        """
        INSERT INTO crm_verifications (began_at, changed_only, compared_rows, drifted_rows, colliding_ids)
        VALUES ($1, $2, $3, $4, $5)""",
        *(done.began_at, done.changed_only, done.rows, done.drifted, done.colliding),
    )
