"""`make bench`: what Landfall costs, as ratios measured in one run on one machine.

``BENCH=quick`` takes less than 3 minutes, the whole less than 12; a part that no longer fits is left out and named.
``ONLY=a,d`` runs some parts. The letters are those of the parts below.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console

from ops.bench import measure
from ops.bench.report import Report, picture
from ops.bench.stage import Stage, stage

QUICK = os.environ.get("BENCH") == "quick"
BUDGET_SECONDS = 170.0 if QUICK else 700.0


@dataclass(frozen=True)
class Part:
    """``seconds`` is what it takes, so that a run which is late leaves it out rather than overrun."""

    letter: str
    what: str
    run: Callable[[Stage, Report, measure.Extent], None]
    quick_seconds: float
    seconds: float


PARTS = [
    Part("a", "signed, durable ingest against an empty handler", measure.ingest, 25, 85),
    Part("b", "projection against its ceilings", measure.projection, 20, 60),
    Part("c", "duplicates, and deliveries of many changes", measure.mixes, 25, 90),
    Part("f", "the whole way, from request to row", measure.whole_way, 20, 70),
    Part("e", "from commit to row", measure.latency, 15, 35),
    Part("d", "growth of the log, and a large backlog", measure.growth, 25, 240),
    Part("h", "publishing against a bare loop of its requests", measure.publishing, 30, 90),
    Part("i", "history of accounts against a bare loop of the calls", measure.reading, 20, 90),
    Part("g", "verify and rebuild, in one process and in two", measure.rebuilding, 30, 110),
]


def main() -> int:
    console = Console()
    console.print(f"{psutil.cpu_count()} processors, shared by sender, web process, worker and PostgreSQL")
    begun, report = time.monotonic(), Report()
    chosen = {letter.strip() for letter in os.environ.get("ONLY", "").split(",")} - {""}
    extent = measure.QUICK if QUICK else measure.WHOLE
    with stage() as running:
        for part in PARTS:
            if chosen and part.letter not in chosen:
                continue
            took = time.monotonic() - begun
            if not chosen and took + (part.quick_seconds if QUICK else part.seconds) > BUDGET_SECONDS:
                report.left_out.append(f"({part.letter}) {part.what}")
                continue
            console.print(f"{took:4.0f} s  ({part.letter}) {part.what}")
            part.run(running, report, extent)
    report.show(console)
    report.save(Path("bench.json"))
    if not QUICK and (growth := report.notes.get("growth")):
        Path("docs").mkdir(exist_ok=True)
        Path("docs/growth.svg").write_text(
            picture("Rates as the log grows, relative to the smallest", growth["sizes"], growth["series"])
        )
        console.print("docs/growth.svg shows the growth")
    missed = report.missed()
    console.print(f"bench.json has every round; {time.monotonic() - begun:.0f} s; {len(missed)} targets missed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
