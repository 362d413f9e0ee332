"""The SQL that stores what was in the spool. Functions take a connection and never open a transaction."""

from collections.abc import Sequence

import asyncpg

from ingest.contract import Received
from ops.runtime.db import rows_affected


class PartlyStoredError(Exception):
    """Some of the deliveries were there already, and not all. The transaction must be rolled back."""


# The web process may read neither table, so the count of rows must tell which deliveries are new: all, or none.
_RECEIVE = """
INSERT INTO webhook_deliveries (id, provider, received_at, verdict, secret_used, signed_at, headers, body)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::text[], $6::timestamptz[], $7::bytea[], $8::bytea[]
)
ON CONFLICT DO NOTHING
"""

_QUEUE = "INSERT INTO webhook_delivery_queue (delivery_id) SELECT unnest($1::uuid[])"

# A transaction that inserts nothing writes no WAL, so its commit does not wait for the flush, or the standby, of the
# one that did insert (faults.md B3). One that writes a message does; it needs no right and touches no table.
_WRITE = "SELECT pg_logical_emit_message(true, 'landfall', '')"


async def receive(connection: asyncpg.Connection, deliveries: Sequence[Received]) -> None:
    """Store deliveries with the time at which they came, and queue them to be split, unless they are there already.

    After the commit they are durable in either case. Without deliveries it tells whether they could be stored.
    Raises PartlyStoredError where some are there and some are not.
    """
    stored = rows_affected(await connection.execute(_RECEIVE, *map(list, _columns(deliveries))))
    if stored == 0:
        await connection.execute(_WRITE)
    elif stored == len(deliveries):
        await connection.execute(_QUEUE, [delivery.id for delivery in deliveries])
    else:
        raise PartlyStoredError


def _columns(deliveries: Sequence[Received]) -> list[tuple[object, ...]]:
    return list(zip(*deliveries, strict=True)) if deliveries else [()] * len(Received._fields)
