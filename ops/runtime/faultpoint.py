"""Crash points: places where a test may let the process die, fail, stall or be cancelled (``faults.md``, "Harness").

Without ``LANDFALL_FAULT`` in the environment a point costs one comparison and does nothing. With ``exit:3:/tmp/fired``
the third point that the process reaches appends its name to the file and fires; a run that leaves no name behind has
passed every point there is, so a sweep knows when it is done.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

STALL_SECONDS = 3.0
"""Longer than a lease, and than a sender waits for its commit."""


class InjectedError(Exception):
    """Stands for a bug: nothing in the code expects it."""


def _raise() -> None:
    raise InjectedError


def _cancel() -> None:
    task = asyncio.current_task()
    if task is not None:
        task.cancel()


_MODES: dict[str, Callable[[], None]] = {
    "exit": lambda: os._exit(137),
    "raise": _raise,
    "stall": lambda: time.sleep(STALL_SECONDS),
    "cancel": _cancel,
}


class _Fault:
    def __init__(self, setting: str) -> None:
        mode, number, path = setting.split(":", 2)
        self._fire = _MODES[mode]
        self._left = int(number)
        self._path = Path(path)

    def reach(self, name: str) -> None:
        self._left -= 1
        if self._left == 0:
            with self._path.open("a") as fired:
                print(name, file=fired, flush=True)
            self._fire()


_fault = _Fault(os.environ["LANDFALL_FAULT"]) if os.environ.get("LANDFALL_FAULT") else None


def faultpoint(name: str) -> None:
    """Fail here if the environment asks for this point."""
    if _fault is not None:
        _fault.reach(name)
