"""What `landfall up` shows in a terminal, as an emulator reads it: at the size that all have, and at a large one."""

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest

from ops.runtime.embedded import free_port
from tests.compose import ROOT

SMALL, LARGE = (80, 24), (200, 50)
PLATFORMS = "instagram, tiktok, facebook, linkedin, mastodon, threads, x"
NUMBERS = ["deliveries", "events", "duplicates", "refused", "projected", "waiting", "lag", "things/s"]
HEADERS = (r"by +says +on", r"media +product +placeholder +comments", r"publish +status +public posts")
TABLES = ("ig_comments", "ig_media", "tiktok_posts")


class Terminal:
    """A program in a terminal of its own, and what an emulator makes of all that it writes."""

    def __init__(self, command: list[str], size: tuple[int, int], environment: dict[str, str]) -> None:
        self._screen = pyte.Screen(*size)
        self._stream = pyte.ByteStream(self._screen)
        self._here, there = pty.openpty()
        self._set(size)
        self.program = subprocess.Popen(
            command, stdin=there, stdout=there, stderr=there, env=environment, cwd=ROOT, start_new_session=True
        )
        os.close(there)
        os.set_blocking(self._here, False)

    def _set(self, size: tuple[int, int]) -> None:
        columns, lines = size
        fcntl.ioctl(self._here, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, size: tuple[int, int]) -> None:
        """As a window that is made larger or smaller: what was written stays until it is written over."""
        columns, lines = size
        self._screen.resize(lines, columns)
        self._set(size)
        os.killpg(self.program.pid, signal.SIGWINCH)

    def lines(self) -> list[str]:
        """What stands there now, without blanks at the ends."""
        with contextlib.suppress(BlockingIOError, OSError):
            while written := os.read(self._here, 65_536):
                self._stream.feed(written)
        return [line.rstrip() for line in self._screen.display]

    async def until(self, shown: str, seconds: float = 60) -> list[str]:
        """The lines once this pattern is in one of them, and the picture is whole."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(0.1)
            lines = self.lines()
            if any(re.search(shown, line) for line in lines) and lines[-1].startswith("Try: "):
                return lines
        raise AssertionError(f"{shown} is not in\n" + "\n".join(self.lines()))

    def close(self) -> None:
        if self.program.poll() is None:
            os.killpg(self.program.pid, signal.SIGTERM)
            end = time.monotonic() + 30
            while self.program.poll() is None and time.monotonic() < end:
                self.lines()  # a terminal that nobody reads holds up whoever writes to it
                time.sleep(0.1)
            self.program.wait(5)
        os.close(self._here)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "TERM": "xterm-256color"}
    environment |= {"LANDFALL_HTTP_PORT": str(free_port()), "LANDFALL_METRICS_PORT": str(free_port())}
    command = [sys.executable, "-m", "ops.cli.main", "up", "--pace", "60", "--directory", str(tmp_path / "data")]
    found = Terminal(command, SMALL, environment)
    yield found
    found.close()


def whole(lines: list[str], rows: int) -> None:
    """Headers unbroken, three tables with so many rows each, no line cut but of a cell, and the hint at the foot."""
    text = "\n".join(lines)
    assert any(line.split() == NUMBERS for line in lines), text
    assert all(any(re.fullmatch(header, line) for line in lines) for header in HEADERS), text
    titles = [next(i for i, line in enumerate(lines) if line.startswith(f"{name} · ")) for name in TABLES]
    assert titles == sorted(titles), text
    for title in titles:
        assert all(lines[title + 1 : title + 2 + rows]), text
    assert "…" not in "\n".join([*lines[: titles[0]], lines[-1]]), text
    assert re.fullmatch(
        r"Try: comment as a fan at http://127\.0\.0\.1:\d+/, kill -9 a process; Ctrl-C ends", lines[-1]
    ), text


def pids(lines: list[str]) -> dict[str, int]:
    names = "PostgreSQL|Redis|sandbox|web|worker"
    return {name: int(pid) for name, pid in re.findall(rf"({names}) (\d+)", "\n".join(lines[:12]))}


async def test_picture_is_whole_at_both_sizes_and_a_resize_leaves_nothing_behind(terminal: Terminal) -> None:
    tiktok_row = r"^v_(pub|inbox)_file~v2"
    small = await terminal.until(tiktok_row)
    for shown in (
        r"pages     http://127\.0\.0\.1:\d+/connections",
        r"login     you@landfall\.example password \S{16}",
        r"sandbox   http://127\.0\.0\.1:\d+/ stands in for",
        rf" {{10}}{PLATFORMS}",
        r"database  \./landfall sql opens psql with a login that can only read",
    ):
        assert any(re.fullmatch(shown, line) for line in small), (shown, small)
    assert set(pids(small)) == {"PostgreSQL", "Redis", "sandbox", "web", "worker"}
    whole(await terminal.until(r"^ig_media · \d+ rows"), rows=1)

    terminal.resize(LARGE)
    await terminal.until(r"^read only PGPASSWORD=\S+ psql postgresql://landfall_read@\S+/landfall")
    large = await terminal.until(r"^tiktok_posts · (\d{3}|[2-9]\d) rows")
    whole(large, rows=5)
    assert pids(large) == pids(small)
    addresses = [line.split()[0] for line in large[:9]]
    assert addresses == ["webhooks", "sandbox", "people", "connect", "health", "metrics", "database", "read", "logs"]
    assert all(name in large[1] for name in PLATFORMS.split(", ")), large

    os.kill(pids(large)["worker"], signal.SIGKILL)
    await terminal.until(r"worker was ended by SIGKILL: it is started again")
    terminal.resize(SMALL)
    await asyncio.sleep(2)
    again = await terminal.until(r"worker runs again after")
    whole(again, rows=1)
    kept = "\n".join(line for line in again if not line.startswith("processes"))
    assert "webhooks" not in kept
    assert again[:5] == small[:5], "as it was before"
