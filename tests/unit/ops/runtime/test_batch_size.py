"""A batch that runs into a time-out is smaller the next time."""

import asyncpg
import pytest

from ops.runtime.batch_size import BatchSize


def end(size: BatchSize, error: Exception, taken: int | None = None) -> None:
    """Let a transaction of that size end with an error."""
    with size.attempt() as attempt:
        attempt.taken = attempt.size if taken is None else taken
        raise error


@pytest.mark.parametrize("error", [TimeoutError(), asyncpg.QueryCanceledError()], ids=["ours", "the server's"])
def test_size_halves_down_to_one_and_grows_up_to_the_most(error: Exception) -> None:
    size, sizes = BatchSize(17), []
    for _ in range(6):
        sizes.append(size.now)
        with pytest.raises(type(error)):
            end(size, error)
    for _ in range(18):
        with size.attempt() as attempt:
            sizes.append(attempt.size)
    assert sizes == [17, 8, 4, 2, 1, 1, *range(1, 17), 17, 17]


def test_half_of_what_was_taken_is_taken_next() -> None:
    size = BatchSize(250)
    with pytest.raises(TimeoutError):
        end(size, TimeoutError(), taken=20)
    assert size.now == 10


def test_other_errors_leave_the_size_as_it_is() -> None:
    size = BatchSize(4)
    with pytest.raises(KeyError):
        end(size, KeyError())
    assert size.now == 4
