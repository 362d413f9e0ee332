"""All SQL of partitions and retention. Functions take a connection and never open a transaction; the caller does."""

from typing import NamedTuple

import asyncpg

from ops.runtime.db import required

MAKE_SECONDS = 300
"""Longest that making partitions may take: rows may have to be moved into one."""


class Gaps(NamedTuple):
    """For how many months to come there are partitions, and whether rows stand outside of the partition of their month.

    ``misplaced`` rows are in no danger: they are read and written like all others.
    """

    months_ahead: int
    misplaced: bool


async def make_partitions(connection: asyncpg.Connection) -> int:
    """Make the partitions of this month and the next three that are not there yet. Return how many were made."""
    await connection.execute("SELECT set_config('statement_timeout', $1, true)", f"{MAKE_SECONDS}s")
    made: int = await connection.fetchval("SELECT make_partitions()", timeout=MAKE_SECONDS)
    return made


async def gaps(connection: asyncpg.Connection) -> Gaps:
    return Gaps(*required(await connection.fetchrow("SELECT * FROM find_partition_gaps()")))
