"""Report each process and its configuration to PostgreSQL, where `landfall doctor` reads them."""

import os
import platform
from collections.abc import Callable, Sequence
from datetime import datetime
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


async def report(
    pool: Pool, kind: str, configured: Sequence[str], take_refused: Callable[[], datetime | None] = lambda: None
) -> None:
    """Report until cancelled. While the database is away nothing is reported.

    ``take_refused`` returns since when webhooks had to be refused, once for each time that they had; None if they had
    not. Such a time, and one in which no process received any, is noted as an outage once it is over.
    """
    id_ = UUID(str(uuid_utils.uuid7()))
    begun, refused = False, None

    async def report_once() -> None:
        nonlocal begun, refused
        refused = refused or take_refused()
        try:
            async with pool.acquire() as connection:
                if kind == process_store.RECEIVING and not begun:
                    await process_store.note_start(connection)
                    begun = True
                if refused is not None:
                    await process_store.note_refused(connection, refused)
                    refused = None
                await process_store.save(connection, id_, kind, platform.node(), os.getpid(), configured)
                await process_store.delete_old(connection)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.debug("process.not_reported", error=describe(error))

    await repeat(report_once, REPORT_SECONDS, first=FIRST_SECONDS)
