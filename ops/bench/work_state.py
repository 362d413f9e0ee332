"""Where should the state of the work on an event live? `python -m ops.bench.work_state [events]`

Two layouts of the same log are filled with the same events and drained in batches of 1000, in turns:

- *columns*: ``state`` and ``processed_at`` stand in the wide event row, which is updated when the work is done.
- *narrow*: what waits is a row of a narrow queue; settling deletes it and inserts a narrow outcome row. The event row
  is never touched. This is what ``schema/log.py`` does.

Events are taken oldest first, as they are when the accounts of a bucket are served side by side. No projection takes
place: what is compared is the price of keeping account of it. Quote the ratios, not the rates.
"""

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass

import asyncpg

from ops.runtime.embedded import Postgres, scratch

BATCH = 1000
ROUNDS = 3

_LOG = """
CREATE TABLE log (
    account_id text NOT NULL, id bigint GENERATED ALWAYS AS IDENTITY, provider text NOT NULL, event_type text NOT NULL,
    external_id text NOT NULL, payload_json jsonb, created_at timestamptz NOT NULL DEFAULT now() {columns},
    PRIMARY KEY (account_id, id), UNIQUE (provider, account_id, external_id)
) WITH (fillfactor = {fillfactor});
CREATE TABLE queue (bucket smallint, account_id text, event_id bigint, PRIMARY KEY (bucket, event_id, account_id));
CREATE TABLE outcomes (
    account_id text, event_id bigint, state text, settled_at timestamptz DEFAULT now(), retry_count int DEFAULT 0,
    PRIMARY KEY (account_id, event_id)
)
"""

_APPEND = """
WITH added AS (
    INSERT INTO log (account_id, provider, event_type, external_id, payload_json)
    SELECT a, 'instagram', 'comments', e, $3::jsonb FROM unnest($1::text[], $2::text[]) u (a, e)
    ON CONFLICT DO NOTHING RETURNING account_id, id
)
INSERT INTO queue SELECT 0, account_id, id FROM added
"""

_CLAIM = "SELECT account_id, event_id FROM queue WHERE bucket = 0 ORDER BY event_id LIMIT $1"
_READ = (
    "SELECT l.payload_json FROM unnest($1::text[], $2::bigint[]) u (a, i) JOIN log l ON l.account_id = a AND l.id = i"
)

_SETTLE = {
    "columns": """
        WITH taken AS (
            DELETE FROM queue q USING unnest($1::text[], $2::bigint[]) u (a, i)
            WHERE q.bucket = 0 AND q.account_id = a AND q.event_id = i
        )
        UPDATE log l SET state = 'done', processed_at = now() FROM unnest($1::text[], $2::bigint[]) u (a, i)
        WHERE l.account_id = a AND l.id = i""",
    "narrow": """
        WITH taken AS (
            DELETE FROM queue q USING unnest($1::text[], $2::bigint[]) u (a, i)
            WHERE q.bucket = 0 AND q.account_id = a AND q.event_id = i RETURNING a, i
        )
        INSERT INTO outcomes (account_id, event_id, state) SELECT a, i, 'done' FROM taken""",
}

_TABLES = {
    "columns": _LOG.format(
        columns=", state text DEFAULT 'pending', processed_at timestamptz, error_message text, retry_count int",
        fillfactor=85,
    ),
    "narrow": _LOG.format(columns="", fillfactor=100),
}


@dataclass(frozen=True)
class Measured:
    """Events per second, WAL bytes per event, and megabytes on disk afterwards."""

    insert: float
    drain: float
    wal: float
    size: float


async def measure(dsn: str, layout: str, events: int) -> Measured:
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off")
    await connection.execute("DROP TABLE IF EXISTS log, queue, outcomes")
    await connection.execute(_TABLES[layout])
    comment = {"id": "17900000000000001", "text": "hello " * 40, "from": {"id": "1234567890", "username": "alice"}}
    payload = json.dumps(comment | {"media": {"id": "17800000000000001", "media_product_type": "FEED"}})
    begun = time.perf_counter()
    for start in range(0, events, BATCH):
        numbers = range(start, start + BATCH)
        names = [f"ig:17841400000000001:comments:1790000000{n:07d}:4c42662c88f2c323" for n in numbers]
        await connection.execute(_APPEND, [f"1784140000000{n % 200:04d}" for n in numbers], names, payload)
    inserted = time.perf_counter() - begun
    before = await connection.fetchval("SELECT pg_current_wal_lsn()")
    begun = time.perf_counter()
    while True:
        async with connection.transaction():
            rows = await connection.fetch(_CLAIM, BATCH)
            if not rows:
                break
            key = [row[0] for row in rows], [row[1] for row in rows]
            await connection.fetch(_READ, *key)
            await connection.execute(_SETTLE[layout], *key)
    drained = time.perf_counter() - begun
    wal = await connection.fetchval("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), $1::pg_lsn)::float8", before)
    size = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(name::regclass))::float8 FROM unnest('{log,queue,outcomes}'::text[]) name"
    )
    await connection.close()
    return Measured(events / inserted, events / drained, wal / events, size / 2**20)


async def main(events: int) -> None:
    found: dict[str, list[Measured]] = {layout: [] for layout in _SETTLE}
    with scratch() as directory:
        directory.chmod(0o755)
        server = Postgres.at(directory / "pg", settings={"shared_buffers": "1GB", "max_wal_size": "8GB"})
        server.start()
        try:
            for number in range(ROUNDS):
                for layout, rounds in found.items():
                    rounds.append(await measure(server.dsn(), layout, events))
                    print(f"round {number + 1} {layout:<8} {rounds[-1]}", flush=True)
        finally:
            server.stop()
    print(f"\nnarrow / columns, {events} events, per round (median)")
    for name in ("insert", "drain", "wal", "size"):
        pairs = zip(found["narrow"], found["columns"], strict=True)
        ratios = [getattr(narrow, name) / getattr(columns, name) for narrow, columns in pairs]
        print(f"  {name:<7}" + "  ".join(f"{ratio:.2f}" for ratio in ratios) + f"  ({statistics.median(ratios):.2f})")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
