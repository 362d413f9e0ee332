"""Tune garbage collection for processes that work on batches."""

import gc


def collect_rarely() -> None:
    """Look for cycles every 100,000 allocations instead of every 700.

    A batch keeps tens of thousands of tuples alive at once, and none of them in a cycle: looking through them took a
    quarter of the time (`make bench`, part b).
    """
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)
