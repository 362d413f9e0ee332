"""Report each process and its configuration to PostgreSQL, where `landfall doctor` reads them."""

import os
import platform
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import structlog
import uuid_utils

from ops.runtime import process_store
from ops.runtime.db import Pool, describe
from ops.runtime.periodic import repeat

REPORT_SECONDS = 5.0
FIRST_SECONDS = 0.5
"""Before the first report: a process that cannot stay, because its port is taken, is none."""

log = structlog.get_logger()


async def report(pool: Pool, kind: str, configured: Sequence[str]) -> None:
    """Report until cancelled. While the database is away nothing is reported."""
    id_ = UUID(str(uuid_utils.uuid7()))

    async def report_once() -> None:
        try:
            async with pool.acquire() as connection:
                await process_store.save(connection, id_, kind, platform.node(), os.getpid(), configured)
                await process_store.delete_old(connection)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.debug("process.not_reported", error=describe(error))

    await repeat(report_once, REPORT_SECONDS, first=FIRST_SECONDS)
