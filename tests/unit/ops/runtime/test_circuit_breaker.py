"""How many breakers are kept, and which of them are never forgotten."""

import pytest

from ops.runtime.circuit_breaker import FAILURES, Breakers
from ops.runtime.platform_protocol import PlatformError


def fail(breakers: Breakers, instance: str, times: int, *, in_use: bool = False) -> None:
    with breakers.asking("mastodon", instance, in_use=in_use) as breaker:
        for _ in range(times):
            breaker.note(failed=True)


def is_open(breakers: Breakers, instance: str) -> bool:
    with breakers.asking("mastodon", instance, in_use=False) as breaker:
        try:
            breaker.enter()
        except PlatformError:
            return True
        return False


def test_server_that_answers_leaves_nothing_behind() -> None:
    breakers = Breakers()
    with breakers.asking("mastodon", "a.example", in_use=True) as breaker:
        breaker.note(failed=True)
        breaker.note(failed=False)
    assert len(breakers) == 0


def test_open_breaker_of_a_server_in_use_outlives_any_number_of_names() -> None:
    breakers = Breakers(most=10)
    fail(breakers, "used.example", FAILURES, in_use=True)
    for number in range(10_000):
        fail(breakers, f"n{number}.example", FAILURES)
        assert len(breakers) <= 10
    assert is_open(breakers, "used.example")
    assert not is_open(breakers, "n0.example")


def test_first_failures_of_a_server_in_use_are_forgotten_after_those_of_servers_that_only_were_named() -> None:
    breakers = Breakers(most=3)
    fail(breakers, "used.example", FAILURES - 1, in_use=True)
    for number in range(100):
        fail(breakers, f"n{number}.example", 1)
    fail(breakers, "used.example", 1)
    assert is_open(breakers, "used.example")


def test_breaker_is_not_forgotten_while_its_server_is_being_asked() -> None:
    breakers = Breakers(most=1)
    with breakers.asking("mastodon", "slow.example", in_use=False) as breaker:
        for number in range(100):
            fail(breakers, f"n{number}.example", 1)
        with breakers.asking("mastodon", "slow.example", in_use=False) as again:
            assert again is breaker


def test_many_open_breakers_of_servers_in_use_are_all_kept() -> None:
    breakers = Breakers(most=2)
    for number in range(5):
        fail(breakers, f"n{number}.example", FAILURES, in_use=True)
    with pytest.raises(KeyError):
        breakers["mastodon", "other.example"]
    assert all(is_open(breakers, f"n{number}.example") for number in range(5))
