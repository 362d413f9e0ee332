"""Export a view: its rows as bytes, piece by piece."""

from collections.abc import AsyncGenerator

import asyncpg

from ops.export import store
from ops.export.formats import writer
from ops.export.request import Export


async def exported(connection: asyncpg.Connection, wanted: Export, tenant: str | None) -> AsyncGenerator[bytes, None]:
    """Yield the whole export, of one instant.

    ``tenant`` is the id of the one whose rows the view shows, for a view of schema ``reporting_tenant``.
    The connection is in a transaction meanwhile; it is to be closed, or the iterator, where it is not read to its end.
    """
    target = writer(wanted)
    async with store.snapshot(connection, tenant):
        if begun := target.begin():
            yield begun
        async for rows in store.rows(connection, wanted):
            if piece := target.write(rows):
                yield piece
    if ended := target.end():
        yield ended
