"""Appends to a spool and drains it, and says what it did, until it is killed: one process for each line of input."""

import asyncio
import os
import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import uuid_utils

from ingest.contract import Received
from ingest.spool import Spool
from ops.runtime import logs

logs.configure("error")


def say(*words: str) -> None:
    os.write(1, f"{' '.join(words)}\n".encode())


def received(chance: random.Random) -> Received:
    identity = str(uuid_utils.uuid7())
    body = identity.encode() * chance.randint(1, 60)
    return Received(identity, "instagram", datetime.now(UTC), "accepted", "SECRET", None, b"headers", body)


async def work(directory: Path, chance: random.Random) -> None:
    spool = await Spool.open(directory, 2**30, segment_bytes=8192)
    say("begun", str(os.getpid()))
    while True:
        records = [received(chance) for _ in range(chance.randint(1, 6))]
        await spool.append(records)
        say("acknowledged", *(record.id for record in records))
        if chance.random() < 0.2:
            batch = await spool.next_batch(chance.randint(1, 8))
            if batch is not None:
                say("committed", *(record.id for record in batch.records))  # into a PostgreSQL that takes an id once
                await spool.done(batch)


def main() -> None:
    for seed in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(work(Path(sys.argv[1]), random.Random(int(seed))))
        os.waitpid(child, 0)
        say("ended")


if __name__ == "__main__":
    main()
