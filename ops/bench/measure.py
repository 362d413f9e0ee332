"""The parts of the benchmark. Each measures both sides in turns, round by round, and adds a ratio for every round."""

import asyncio
import json
import pickle
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import asyncpg
import psutil

from ops.bench import projecting, traffic
from ops.bench import publishing as publish
from ops.bench import reading as read
from ops.bench.load import Sent
from ops.bench.report import Report
from ops.bench.stage import Stage, cpu, end, proportional_megabytes


@dataclass(frozen=True)
class Extent:
    """How much of everything: ``seconds`` for one load, ``requests`` made for each second of it."""

    rounds: int
    seconds: float
    requests: int
    events: int
    jobs: int
    sizes: tuple[int, ...]
    rebuilt: int
    texts: int
    megabytes: int
    media: int
    """Of the smaller account that is read; the other has ten times as many, each 20 comments."""


WHOLE = Extent(
    rounds=3,
    seconds=3.0,
    requests=18_000,
    events=40_000,
    jobs=1500,
    sizes=(10_000, 100_000, 1_000_000),
    rebuilt=200_000,
    texts=50,
    megabytes=1024,
    media=60,
)
QUICK = Extent(
    rounds=1,
    seconds=1.5,
    requests=18_000,
    events=10_000,
    jobs=500,
    sizes=(5_000, 50_000),
    rebuilt=20_000,
    texts=50,
    megabytes=128,
    media=5,
)

WARM_SECONDS = 0.5
"""Before anything counts, each server has answered for so long."""


def ingest(stage: Stage, report: Report, extent: Extent) -> None:
    """(a): the same requests to the empty handler and to the web process, 64 and 256 connections."""
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
            real, megabytes = _watched(stage, web, requests[cut:], port, connections, extent.seconds)
            web_cpu = (cpu(web) - before_web) / real.count
            pg_cpu = (cpu(psutil.Process(stage.postgres.pid)) - before_pg) / real.count
            stored = stage.scalar("SELECT count(*) FROM webhook_deliveries")
            if stored != real.count:
                raise RuntimeError(f"{real.count} deliveries were acknowledged and {stored:.0f} are stored")
            report.add(f"ingest / bare aiohttp, {connections} connections", real.per_second / empty.per_second)
            report.add(f"ingest p99 / bare p99, {connections} connections", real.p99 / empty.p99)
            report.add("PSS of the web process under load, MB", megabytes)
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
    end(bare)
    end(web)
    stage.empty()


def _watched(
    stage: Stage, process: psutil.Process, requests: list[bytes], port: int, connections: int, seconds: float
) -> tuple[Sent, float]:
    """Send, and see how much memory a process has meanwhile, at the most."""
    most = 0.0
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(stage.send, requests, port, connections, seconds)
        while not sending.done():
            most = max(most, proportional_megabytes(process))
            time.sleep(0.25)
    return sending.result(), most


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
            many = list(traffic.new_of_many(int(extent.requests * extent.seconds * 3 / changes), changes))
            sent = stage.send(many, port, 64, extent.seconds)
            rows = sent.count * changes / sent.seconds
            report.add(f"rows/s acknowledged in deliveries of {changes} changes / of 1", rows / new.per_second)
            if changes == 10:
                ceiling = asyncio.run(_batched_inserts(stage, extent.seconds))
                report.add("rows/s acknowledged in deliveries of 10 changes / batched INSERT", rows / ceiling)
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
        """
        DROP TABLE IF EXISTS plain_log;
        CREATE TABLE plain_log (LIKE webhook_event_log INCLUDING ALL, UNIQUE (provider, account_id, external_id));
        ALTER TABLE plain_log ALTER id ADD GENERATED ALWAYS AS IDENTITY, ALTER bucket SET DEFAULT 0"""
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
    INSERT INTO webhook_event_log (id, bucket, account_id, provider, event_type, external_id, rule_version,
        payload_json, sanitized)
    SELECT next_event_id(now()), bucket_of('instagram', a.account_id), a.account_id,
        'instagram', 'comments', 'ig:' || a.account_id || ':comments:' || n || ':0123456789abcdef', 1,
        jsonb_build_object('id', '1790' || n, 'text', $3::text,
            'from', jsonb_build_object('id', (n % 1000)::text, 'username', 'fan_' || n % 1000),
            'media', jsonb_build_object('id', '1780' || n % 500, 'media_product_type', 'FEED')), false
    FROM generate_series($1::bigint, $2::bigint) n
    JOIN unnest($4::text[]) WITH ORDINALITY AS a (account_id, position) ON a.position = n % $5 + 1
    RETURNING bucket, account_id, id, provider, external_id
), named AS (
    INSERT INTO webhook_event_identities (bucket, identity, event_id)
    SELECT bucket, identity_of(provider, account_id, external_id), id FROM added
)
INSERT INTO webhook_event_queue (bucket, account_id, event_id) SELECT bucket, account_id, id FROM added
"""


def fill(stage: Stage, first: int, last: int) -> list[int]:
    """Comments ``first`` to ``last`` wait to be projected; the ids of their events."""

    async def run() -> list[int]:
        accounts = [f"1784140000{number:07d}" for number in range(traffic.ACCOUNTS)]
        connection = await asyncpg.connect(stage.postgres.dsn(), command_timeout=300)
        for start in range(first, last + 1, 100_000):
            until = min(start + 99_999, last)
            await connection.execute(_FILL, start, until, traffic.TEXT[:120], accounts, len(accounts))
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
        stage.empty_tables()
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


def whole_way(stage: Stage, report: Report, extent: Extent) -> None:
    """(f): as many requests as are answered, until each is a row; against the empty handler, which only answers."""
    bare, bare_port = stage.bare()
    web, port = stage.serve(REDIS_URL=stage.redis.url)
    worker = stage.work()
    busy = [web, worker, psutil.Process(stage.postgres.pid)]
    stage.send(list(traffic.new(2000)), port, 64, WARM_SECONDS)
    for _ in range(extent.rounds):
        stage.settle()
        stage.empty()
        requests = list(traffic.new(int(extent.requests * extent.seconds)))
        before = cpu(bare)
        empty = stage.send(requests * 3, bare_port, 64, extent.seconds)
        bare_cpu = (cpu(bare) - before) / empty.count
        before = sum(map(cpu, busy))
        sent = stage.send(requests, port, 64, extent.seconds)
        answered = time.monotonic()
        stage.settle()
        # Without the start of the sender: from its first request, for as long as it sent, until nothing waited.
        seconds = sent.seconds + time.monotonic() - answered
        spent = (sum(map(cpu, busy)) - before) / sent.count
        done = stage.scalar("SELECT count(*) FROM webhook_event_outcomes WHERE state = 'done'")
        if done != sent.count:
            raise RuntimeError(f"{done:.0f} of {sent.count} events were projected")
        report.add("whole way, request to row: events/s", sent.count / seconds)
        report.add("whole way, request to row / bare aiohttp", sent.count / seconds / empty.per_second)
        report.add("whole way: CPU s per 1000 events", spent * 1000)
        report.add("whole way: CPU per event / bare's", spent / bare_cpu)
    for process in (bare, web, worker):
        end(process)
    stage.empty()


_LATENCIES = """
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms) AS p50, percentile_cont(0.99) WITHIN GROUP (ORDER BY ms) AS p99,
    count(*) AS events
FROM (
    SELECT extract(epoch FROM pg_xact_commit_timestamp(o.xmin) - pg_xact_commit_timestamp(d.xmin)) * 1000 AS ms
    FROM webhook_event_outcomes o
        JOIN webhook_event_log e ON e.bucket = o.bucket AND e.account_id = o.account_id AND e.id = o.event_id
        JOIN webhook_deliveries d ON d.id = e.delivery_id
) measured
"""


def latency(stage: Stage, report: Report, extent: Extent) -> None:
    """(e): from the commit of a delivery to the commit of its rows, by PostgreSQL's own commit times."""
    web, port = stage.serve(REDIS_URL=stage.redis.url)
    worker = stage.work()
    stage.empty()
    begun = time.monotonic()
    quick = stage.send(list(traffic.new(4000)), port, 16, 1.0)
    stage.settle()
    half = quick.count / (time.monotonic() - begun) / 2
    for name, rate, seconds in (("idle", 10.0, 5.0 + extent.seconds), ("half load", half, extent.seconds)):
        stage.settle()
        stage.empty()
        before = cpu(worker)
        sent = stage.send(list(traffic.new(int(rate * seconds) + 64)), port, 32, seconds, rate)
        stage.settle()
        row = stage.postgres.sql(_LATENCIES, database="landfall").split("|")
        if int(row[2]) != sent.count:
            raise RuntimeError(f"{row[2]} of {sent.count} events were projected")
        report.add(f"commit to row, {name}, p50 ms", float(row[0]))
        report.add(f"commit to row, {name}, p99 ms", float(row[1]))
        if name == "half load":
            report.add("CPU s per 1000 deliveries: worker", (cpu(worker) - before) / sent.count * 1000)
    report.add("PSS of the worker, MB", proportional_megabytes(worker))
    end(worker)
    end(web)
    stage.empty()


def publishing(stage: Stage, report: Report, extent: Extent) -> None:
    """(h): posts and a large file, against a bare loop of the same requests."""
    stage.empty()
    publish.publishing(stage, report, extent.texts, extent.megabytes, extent.rounds)


def reading(stage: Stage, report: Report, extent: Extent) -> None:
    """(i): the history of an account and of one ten times as large, against a bare loop of the same calls."""
    stage.empty()
    read.reading(stage, report, extent.media)
    stage.empty()


def rebuilding(stage: Stage, report: Report, extent: Extent) -> None:
    """(g): `landfall verify` and `landfall rebuild` of emptied tables, in one process and in two; one round only.

    Each command takes half a minute or more, so that rounds of all would take half of the whole run.
    """
    stage.empty()
    fill(stage, 1, extent.rebuilt)
    side_by_side(stage, ["landfall"], ["landfall"])
    rows = stage.scalar("SELECT count(*) FROM ig_comments")
    taken: dict[tuple[str, int], float] = {}
    for processes in (1, 2):
        taken["verify", processes] = _command(stage, "verify", "--processes", str(processes))
        stage.empty_tables()
        taken["rebuild", processes] = _command(stage, "rebuild", "--processes", str(processes))
        if stage.scalar("SELECT count(*) FROM ig_comments") != rows:
            raise RuntimeError("rebuild did not bring back every row")
    for name in ("verify", "rebuild"):
        report.add(f"{name}, 2 processes / 1", taken[name, 1] / taken[name, 2])
    report.notes["seconds of verify and rebuild"] = {
        f"{name}, {count}": seconds for (name, count), seconds in taken.items()
    }
    stage.empty()


def _command(stage: Stage, *arguments: str) -> float:
    """Seconds that a command takes from its start to its end."""
    begun = time.perf_counter()
    process = stage.start("ops.cli.main", *arguments)
    if process.wait(600):
        raise RuntimeError(f"{process.args} failed")
    return time.perf_counter() - begun


_FILL_DELIVERIES = """
WITH stored AS (
    INSERT INTO webhook_deliveries (id, provider, verdict, secret_used, headers, body)
    SELECT uuidv7(), 'instagram', 'accepted', 'META_APP_SECRET#1', repeat('h', 120)::bytea, (n || $3)::bytea
    FROM generate_series($1::bigint, $2::bigint) n
    RETURNING id, body
)
INSERT INTO webhook_delivery_outcomes (
    delivery_id, rule_version, verdict, event_count, new_event_count, body_sha256
)
SELECT id, 1, 'accepted', 1, 1, sha256(body) FROM stored
"""


def _fill_deliveries(stage: Stage, first: int, last: int) -> None:
    """Deliveries that are split, one for each event of a log that size."""

    async def run() -> None:
        connection = await asyncpg.connect(stage.postgres.dsn(), command_timeout=300)
        for start in range(first, last + 1, 100_000):
            await connection.execute(_FILL_DELIVERIES, start, min(start + 99_999, last), traffic.TEXT[:120])
        await connection.close()

    asyncio.run(run())


def growth(stage: Stage, report: Report, extent: Extent) -> None:
    """(d): the same work with more and more events in the log, and the drain of the largest lot."""
    stage.empty()
    rates: dict[str, list[float]] = {"ingest": [], "splitting": [], "projection": []}
    filled = 0
    for size in extent.sizes:
        # What the log grows by waits, and is drained: the last lot is the large backlog.
        _fill_deliveries(stage, filled + 1, size)
        fill(stage, filled + 1, size)
        tenths = _drain(stage, size - filled)
        filled = size
        web, port = stage.serve()
        sent = [
            stage.send(list(traffic.new(int(extent.requests * extent.seconds))), port, 64, extent.seconds)
            for _ in range(min(2, extent.rounds))
        ]
        end(web)
        rates["ingest"].append(max(each.per_second for each in sent))
        rates["splitting"].append(stage.waiting() / side_by_side(stage, ["split"], ["split"]))
        rates["projection"].append(stage.waiting() / side_by_side(stage, ["landfall"], ["landfall"]))
    report.add("drain rate, last 10 % / first 10 %", tenths)
    for name, values in rates.items():
        report.add(f"{name}, largest log / smallest", values[-1] / values[0])
    series = {name: [value / values[0] for value in values] for name, values in rates.items()}
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
