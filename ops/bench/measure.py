"""The parts of the benchmark. Each measures both sides in turns, round by round, and adds a ratio for every round."""

import asyncio
import json
import pickle
import time
from dataclasses import dataclass
from itertools import pairwise

import asyncpg
import psutil

from ops.bench import projecting, traffic
from ops.bench.report import Report
from ops.bench.stage import Stage, await_port, cpu, end, megabytes
from ops.runtime.embedded import free_port
from schema.events import bucket_of


@dataclass(frozen=True)
class Extent:
    """How much of everything: ``seconds`` for one load, ``requests`` made for each second of it."""

    rounds: int
    seconds: float
    requests: int
    events: int
    jobs: int
    sizes: tuple[int, ...]


WHOLE = Extent(rounds=3, seconds=3.0, requests=14_000, events=40_000, jobs=1500, sizes=(10_000, 100_000, 1_000_000))
QUICK = Extent(rounds=1, seconds=1.5, requests=14_000, events=10_000, jobs=500, sizes=(5_000, 50_000))

WARM_SECONDS = 0.5
"""Before anything counts, each server has answered for so long."""


def ingest(stage: Stage, report: Report, extent: Extent) -> None:
    """(a) and (f): the same requests to the empty handler and to the web process, 64 and 256 connections."""
    bare, bare_port = stage.bare()
    web, port = stage.serve()
    for number in range(extent.rounds):
        for connections in (64, 256):
            requests = list(traffic.new(int(extent.requests * (extent.seconds + WARM_SECONDS))))
            cut = int(extent.requests * WARM_SECONDS)
            stage.send(requests[:cut], bare_port, connections, WARM_SECONDS)
            stage.send(requests[:cut], port, connections, WARM_SECONDS)
            stage.empty()
            before = cpu(bare)
            empty = stage.send(requests[cut:] * 3, bare_port, connections, extent.seconds)
            bare_cpu = (cpu(bare) - before) / empty.count
            before_web, before_pg = cpu(web), cpu(psutil.Process(stage.postgres.pid))
            real = stage.send(requests[cut:], port, connections, extent.seconds)
            web_cpu = (cpu(web) - before_web) / real.count
            pg_cpu = (cpu(psutil.Process(stage.postgres.pid)) - before_pg) / real.count
            stored = stage.scalar("SELECT count(*) FROM webhook_deliveries")
            if stored != real.count:
                raise RuntimeError(f"{real.count} deliveries were acknowledged and {stored:.0f} are stored")
            report.add(f"ingest / bare aiohttp, {connections} connections", real.per_second / empty.per_second)
            report.add(f"ingest p99 / bare p99, {connections} connections", real.p99 / empty.p99)
            if connections == 64:
                report.add("CPU per delivery (app + PostgreSQL) / bare's", (web_cpu + pg_cpu) / bare_cpu)
                report.add("CPU s per 1000 deliveries: bare aiohttp", bare_cpu * 1000)
                report.add("CPU s per 1000 deliveries: web process", web_cpu * 1000)
                report.add("CPU s per 1000 deliveries: PostgreSQL", pg_cpu * 1000)
                report.add("bare: share of a processor the server had", bare_cpu * empty.per_second)
                report.add("bare: share of a processor the sender had", empty.cpu / empty.seconds)
                report.notes.setdefault("requests per second", []).append(
                    {"round": number, "bare": empty.per_second, "ingest": real.per_second}
                )
    report.add("resident memory of the web process, MB", megabytes(web))
    end(bare)
    end(web)
    stage.empty()


def mixes(stage: Stage, report: Report, extent: Extent) -> None:
    """(c): what duplicates cost, and what many changes in one delivery save."""
    web, port = stage.serve()
    for number in range(extent.rounds):
        fresh = list(traffic.new(int(extent.requests * extent.seconds)))
        stage.empty()
        new = stage.send(fresh, port, 64, extent.seconds)
        again = stage.send(fresh[: new.count], port, 64, extent.seconds)
        mixed = stage.send(traffic.repeated(list(traffic.new(len(fresh))), 0.3, seed=number), port, 64, extent.seconds)
        report.add("all duplicates / all new", again.per_second / new.per_second)
        report.add("30 % duplicates / all new", mixed.per_second / new.per_second)
        for changes in (10, 100):
            stage.empty()
            many = list(traffic.new(int(extent.requests * extent.seconds * 3 / changes), changes))
            sent = stage.send(many, port, 64, extent.seconds)
            rows = sent.count * changes / sent.seconds
            report.add(f"rows/s in deliveries of {changes} changes / of 1", rows / new.per_second)
            if changes == 10:
                ceiling = asyncio.run(_batched_inserts(stage, extent.seconds))
                report.add("rows/s in deliveries of 10 changes / batched INSERT", rows / ceiling)
    end(web)
    stage.empty()


_BATCHED = """
INSERT INTO plain_log (account_id, provider, event_type, external_id, rule_version, payload_json, sanitized)
SELECT a, 'instagram', 'comments', e, 1, p::jsonb, false FROM unnest($1::text[], $2::text[], $3::text[]) u (a, e, p)
ON CONFLICT DO NOTHING
"""


async def _batched_inserts(stage: Stage, seconds: float) -> float:
    """Rows a second of one client that inserts ready events, 1000 at a time, into a log with the same keys."""
    connection = await asyncpg.connect(stage.postgres.dsn())
    await connection.execute(
        "DROP TABLE IF EXISTS plain_log; CREATE TABLE plain_log (LIKE webhook_event_log INCLUDING ALL)"
    )
    value = json.dumps(traffic.comment(1)["changes"][0]["value"])
    batches = [
        [
            [f"1784140000{number % traffic.ACCOUNTS:07d}" for number in range(start, start + 1000)],
            [f"ig:comments:{number:018d}:0123456789abcdef" for number in range(start, start + 1000)],
            [value] * 1000,
        ]
        for start in range(0, int(60_000 * seconds), 1000)
    ]
    begun, count = time.perf_counter(), 0
    for batch in batches:
        await connection.execute(_BATCHED, *batch)
        count += 1000
        if time.perf_counter() - begun > seconds:
            break
    rate = count / (time.perf_counter() - begun)
    await connection.execute("DROP TABLE plain_log")
    await connection.close()
    return rate


_FILL = """
WITH added AS (
    INSERT INTO webhook_event_log (account_id, provider, event_type, external_id, rule_version, payload_json, sanitized)
    SELECT a.account_id, 'instagram', 'comments', 'ig:' || a.account_id || ':comments:' || n || ':0123456789abcdef', 1,
        jsonb_build_object('id', '1790' || n, 'text', $3::text,
            'from', jsonb_build_object('id', (n % 1000)::text, 'username', 'fan_' || n % 1000),
            'media', jsonb_build_object('id', '1780' || n % 500, 'media_product_type', 'FEED')), false
    FROM generate_series($1::bigint, $2::bigint) n
    JOIN unnest($4::text[]) WITH ORDINALITY AS a (account_id, position) ON a.position = n % $5 + 1
    RETURNING account_id, id
)
INSERT INTO webhook_event_queue (bucket, account_id, event_id)
SELECT b.bucket, added.account_id, added.id FROM added
JOIN unnest($4::text[], $6::smallint[]) AS b (account_id, bucket) USING (account_id)
"""


def fill(stage: Stage, first: int, last: int) -> list[int]:
    """Comments ``first`` to ``last`` wait to be projected; the ids of their events."""

    async def run() -> list[int]:
        accounts = [f"1784140000{number:07d}" for number in range(traffic.ACCOUNTS)]
        buckets = [bucket_of("instagram", account) for account in accounts]
        connection = await asyncpg.connect(stage.postgres.dsn(), command_timeout=300)
        for start in range(first, last + 1, 100_000):
            until = min(start + 99_999, last)
            await connection.execute(_FILL, start, until, traffic.TEXT[:120], accounts, len(accounts), buckets)
        rows = await connection.fetch("SELECT event_id FROM webhook_event_queue ORDER BY account_id, event_id")
        await connection.execute("ANALYZE")
        await connection.close()
        return [row["event_id"] for row in rows]

    return asyncio.run(run())


def side_by_side(stage: Stage, *commands: list[str]) -> float:
    """Seconds from the first start of work to the last end, of processes of ``ops.bench.projecting``."""
    children = [stage.start_piped("ops.bench.projecting", *command) for command in commands]
    outputs = [child.communicate(timeout=400)[0].decode().split() for child in children]
    for child, output in zip(children, outputs, strict=True):
        if child.returncode:
            raise RuntimeError(f"{child.args} failed: {' '.join(output)[-500:]}")
    begun = min(float(output[0]) for output in outputs)
    ended = max(float(output[-1].rstrip("}")) for output in outputs)
    return ended - begun


def projection(stage: Stage, report: Report, extent: Extent) -> None:
    """(b): the same events by workers, as ready rows from clients, and by a job each."""
    dsn, redis_url = stage.postgres.dsn(), stage.redis.url
    for _ in range(extent.rounds):
        stage.empty()
        ids = fill(stage, 1, extent.events)
        ready = asyncio.run(projecting.writes(dsn, ids))
        taken = side_by_side(stage, ["landfall"], ["landfall"])
        done = stage.scalar("SELECT count(*) FROM ig_comments")
        if done != extent.events or stage.scalar("SELECT count(*) FROM webhook_event_queue"):
            raise RuntimeError(f"{done:.0f} of {extent.events} events were projected")
        stage.postgres.sql("TRUNCATE instagram_accounts, ig_media, ig_comments, lookups", database="landfall")
        halves = []
        for half in range(2):
            path = stage.directory / f"ready{half}"
            batches = [[(write.statement, write.arrays) for write in batch] for batch in ready[half::2]]
            path.write_bytes(pickle.dumps(batches))
            halves.append(["upserts", str(path)])
        ceiling = side_by_side(stage, *halves)
        if stage.scalar("SELECT count(*) FROM ig_comments") != extent.events:
            raise RuntimeError("the ceiling did not write every row")
        report.add("projection, 2 workers / client-fed upserts, 2 clients", ceiling / taken)
        stage.empty()
        jobs = fill(stage, 1, extent.jobs)
        asyncio.run(projecting.enqueue(redis_url, jobs))
        by_arq = side_by_side(stage, ["arq"])
        if stage.scalar("SELECT count(*) FROM ig_comments") != extent.jobs:
            raise RuntimeError("arq did not project every event")
        report.add("projection / one arq job per event", (extent.events / taken) / (extent.jobs / by_arq))
        report.notes.setdefault("events per second", []).append(
            {"landfall": extent.events / taken, "upserts": extent.events / ceiling, "arq": extent.jobs / by_arq}
        )
    stage.empty()


_LATENCIES = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS p50, percentile_cont(0.99) WITHIN GROUP (ORDER BY ms) AS p99,
    count(*) AS events
FROM (
    SELECT extract(epoch FROM pg_xact_commit_timestamp(o.xmin) - pg_xact_commit_timestamp(e.xmin)) * 1000 AS ms
    FROM webhook_event_outcomes o JOIN webhook_event_log e ON e.account_id = o.account_id AND e.id = o.event_id
) measured
"""


def latency(stage: Stage, report: Report, extent: Extent) -> None:
    """(e) and (f): from the commit of an event to the commit of its rows, by PostgreSQL's own commit times."""
    web, port = stage.serve(REDIS_URL=stage.redis.url)
    metrics = free_port()
    worker = stage.start("ops.cli.main", "work", REDIS_URL=stage.redis.url, LANDFALL_METRICS_PORT=str(metrics))
    await_port(metrics, worker)
    stage.empty()
    quick = stage.send(list(traffic.new(4000)), port, 16, 1.0)
    for name, rate, seconds in (
        ("idle", 10.0, 5.0 + extent.seconds),
        ("half load", quick.per_second / 2, extent.seconds),
    ):
        _settle(stage)
        stage.empty()
        before = cpu(worker)
        sent = stage.send(list(traffic.new(int(rate * seconds) + 64)), port, 32, seconds, rate)
        _settle(stage)
        row = stage.postgres.sql(_LATENCIES, database="landfall").split("|")
        if int(row[2]) != sent.count:
            raise RuntimeError(f"{row[2]} of {sent.count} events were projected")
        report.add(f"commit to row, {name}, p50 ms", float(row[0]))
        report.add(f"commit to row, {name}, p99 ms", float(row[1]))
        if name == "half load":
            report.add("CPU s per 1000 deliveries: worker", (cpu(worker) - before) / sent.count * 1000)
    report.add("resident memory of the worker, MB", megabytes(worker))
    end(worker)
    end(web)
    stage.empty()


def _settle(stage: Stage) -> None:
    until = time.monotonic() + 60
    while stage.scalar("SELECT count(*) FROM webhook_event_queue"):
        if time.monotonic() > until:
            raise RuntimeError("the worker does not get through")
        time.sleep(0.1)


def growth(stage: Stage, report: Report, extent: Extent) -> None:
    """(d): the same work with more and more events in the log, and the drain of the largest lot."""
    stage.empty()
    ingested, projected, filled = [], [], 0
    for size in extent.sizes:
        # What the log grows by waits, and is drained: the last lot is the large backlog.
        fill(stage, filled + 1, size)
        tenths = _drain(stage, size - filled)
        filled = size
        web, port = stage.serve()
        rates = []
        for _ in range(min(2, extent.rounds)):
            sent = stage.send(list(traffic.new(int(extent.requests * extent.seconds))), port, 64, extent.seconds)
            rates.append(sent.per_second)
        end(web)
        waiting = stage.scalar("SELECT count(*) FROM webhook_event_queue")
        projected.append(waiting / side_by_side(stage, ["landfall"], ["landfall"]))
        ingested.append(max(rates))
    report.add("drain rate, last 10 % / first 10 %", tenths)
    report.add("ingest, largest log / smallest", ingested[-1] / ingested[0])
    report.add("projection, largest log / smallest", projected[-1] / projected[0])
    series = {
        "ingest": [rate / ingested[0] for rate in ingested],
        "projection": [rate / projected[0] for rate in projected],
    }
    report.notes["growth"] = {"sizes": list(extent.sizes), "series": series}
    stage.empty()


def _drain(stage: Stage, waiting: int) -> float:
    """Drain a backlog by two workers; the rate over the last tenth of it against that over the first."""
    dsn = stage.postgres.dsn()
    begun = time.monotonic()
    workers = [stage.start_piped("ops.bench.projecting", "landfall", dsn) for _ in range(2)]
    seen: list[tuple[float, float]] = []
    while any(worker.poll() is None for worker in workers):
        seen.append((time.monotonic() - begun, waiting - stage.scalar("SELECT count(*) FROM webhook_event_queue")))
        time.sleep(0.25)
    for worker in workers:
        worker.communicate()
    return _rate(seen, 0.9 * waiting, waiting) / _rate(seen, 0.0, 0.1 * waiting)


def _rate(seen: list[tuple[float, float]], start: float, stop: float) -> float:
    """Events a second between two counts of drained events, by straight lines between what was seen."""

    def when(count: float) -> float:
        for (t0, c0), (t1, c1) in pairwise(seen):
            if c1 > c0 and c0 <= count <= c1:
                return t0 + (t1 - t0) * (count - c0) / (c1 - c0)
        return seen[-1][0]

    return (stop - start) / max(0.001, when(stop) - when(start))
