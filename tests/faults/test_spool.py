"""``kill -9`` at any moment loses nothing that the spool acknowledged, and repeats nothing (``faults.md`` B13)."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from ingest.spool import Spool

ROOT = Path(__file__).parents[2]
SECONDS = 8.0
MOST_ROUNDS = 120


async def test_b13_killed_process_loses_nothing_that_it_acknowledged_and_repeats_nothing(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # noqa: T201  shown where the test fails
    chance = random.Random(seed)
    directory = tmp_path / "spool"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.spool_writer", directory,
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert writer.stdin is not None
    assert writer.stdout is not None
    acknowledged: set[str] = set()
    committed: set[str] = set()
    rounds, until = 0, time.monotonic() + SECONDS
    while rounds < MOST_ROUNDS and (time.monotonic() < until or rounds < 10):
        rounds += 1
        writer.stdin.write(b"%d\n" % chance.randrange(2**32))
        word, number = (await asyncio.wait_for(writer.stdout.readline(), 20)).split()
        assert word == b"begun"
        await asyncio.sleep(chance.random() * 0.08)
        os.kill(int(number), signal.SIGKILL)
        while (line := (await writer.stdout.readline()).decode().split()) != ["ended"]:
            {"acknowledged": acknowledged, "committed": committed}[line[0]].update(line[1:])
    writer.stdin.close()
    assert await writer.wait() == 0
    spool = await Spool.open(directory, 2**30)
    left: list[str] = []
    while batch := await spool.next_batch(1000):
        left += [record.id for record in batch.records]
        assert all(set(record.body.split(record.id.encode())) == {b""} for record in batch.records)
        await spool.done(batch)
    await spool.close()
    assert rounds >= 10
    assert len(acknowledged) > 100
    assert committed
    assert acknowledged - committed - set(left) == set(), "acknowledged, and gone"
    assert len(left) == len(set(left)), "given back twice by one spool"
    assert left == sorted(left), "in the order of arrival: ids are UUIDv7"
    assert [*directory.glob("*.damaged")] == [], "a torn tail is no damage"
