"""Buckets are divided into ranges by what there is to do."""

import random

from schema.events import BUCKETS
from sync.rebuild.processes import MOST_BY_DEFAULT, PROCESS_EVENTS, RANGE_EVENTS, Processes, Range, ranges


def covered(found: list[Range]) -> list[int]:
    return sorted(bucket for item in found for bucket in range(item.first, item.last + 1))


def test_every_bucket_is_in_one_range() -> None:
    chance = random.Random(1)
    for most in (0, 1, 100, 50_000):
        events = {bucket: chance.randint(0, most) for bucket in chance.sample(range(BUCKETS), 200)}
        for processes in (1, 3, 16):
            found = ranges(events, processes)
            assert covered(found) == list(range(BUCKETS))
            assert sum(item.events for item in found) == sum(events.values())
            for item in found:
                assert item.events == sum(events.get(bucket, 0) for bucket in range(item.first, item.last + 1))


def test_range_is_no_larger_than_fits_in_memory_unless_it_is_one_bucket() -> None:
    events = dict.fromkeys(range(BUCKETS), 900) | {7: 10 * RANGE_EVENTS}
    found = ranges(events, 2)
    assert all(item.events <= RANGE_EVENTS or item.first == item.last for item in found)
    assert found[0] == Range(7, 7, 10 * RANGE_EVENTS), "the largest is taken first"


def test_processes_have_several_ranges_each_and_an_empty_log_has_one() -> None:
    assert len(ranges(dict.fromkeys(range(BUCKETS), 10), 4)) >= 16
    assert ranges({}, 4) == [Range(0, BUCKETS - 1, 0)]


def test_small_log_needs_no_further_process() -> None:
    as_needed = Processes("", "")
    assert as_needed.needed(0) == as_needed.needed(2 * PROCESS_EVENTS - 1) == 1
    assert 1 <= as_needed.needed(10**9) <= MOST_BY_DEFAULT
    assert Processes("", "", 3).needed(0) == 3
