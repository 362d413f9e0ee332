"""The database and the program find the same bucket for an account."""

import asyncpg
from hypothesis import given, settings
from hypothesis import strategies as st

from schema.events import BUCKETS, bucket_of

ODD = ["", "\\", "\\\\", "\\x41", "\\101", "'", "$1", "\x1f", "\x7f", "\u00a0", "ä", "a\u0308", "\U0001f600", "9" * 500]


def sample(count: int) -> list[tuple[str, str]]:
    """Pairs of any text that PostgreSQL stores."""
    found: list[tuple[str, str]] = []
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))

    @settings(max_examples=count, database=None)
    @given(st.tuples(text, text))
    def collect(pair: tuple[str, str]) -> None:
        found.append(pair)

    collect()
    return found


async def test_database_computes_the_same_bucket(connection: asyncpg.Connection) -> None:
    pairs = [(provider, account) for provider in ODD for account in ODD] + sample(500)
    rows = await connection.fetch(
        "SELECT p, a, bucket_of(p, a) AS bucket FROM unnest($1::text[], $2::text[]) AS i (p, a)",
        *map(list, zip(*pairs, strict=True)),
    )
    assert [(row["p"], row["a"], row["bucket"]) for row in rows] == [(p, a, bucket_of(p, a)) for p, a in pairs]
    assert await connection.fetchval("SELECT bucket_of(NULL, 'a')") is None


async def test_there_is_a_lease_for_every_bucket(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch("SELECT bucket FROM webhook_buckets ORDER BY bucket")
    assert [row["bucket"] for row in rows] == list(range(BUCKETS))
    accounts = [str(17841400000000000 + number) for number in range(20 * BUCKETS)]
    assert {bucket_of("instagram", account) for account in accounts} == set(range(BUCKETS))


async def test_planner_puts_the_expression_in_the_place_of_a_call(connection: asyncpg.Connection) -> None:
    """A call of an SQL function that stays one takes four times as long."""
    plan = await connection.fetch("EXPLAIN VERBOSE SELECT bucket_of(external_id, account_id) FROM webhook_event_log")
    text = "\n".join(row[0] for row in plan)
    assert "sha256" in text
    assert "bucket_of" not in text
