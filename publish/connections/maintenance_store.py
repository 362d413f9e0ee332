"""Delete what has expired of connecting accounts, and show how the connections are."""

import asyncpg

from ops.runtime import metrics
from schema.states import CONNECTION, ConnectionState


async def delete_expired(connection: asyncpg.Connection) -> None:
    """Delete flows, signed requests and rate limits that have expired, and mails of old notices."""
    await connection.execute("DELETE FROM oauth_states WHERE expires_at < now() - interval '1 day'")
    await connection.execute(
        "UPDATE oauth_states SET sealed_accounts = NULL WHERE sealed_accounts IS NOT NULL AND expires_at < now()"
    )
    await connection.execute("DELETE FROM signed_requests WHERE expires_at < now()")
    await connection.execute("DELETE FROM platform_budgets WHERE updated_at < now() - interval '2 days'")
    await connection.execute("DELETE FROM notice_mails WHERE created_at < now() - interval '30 days'")


async def show_metrics(connection: asyncpg.Connection) -> None:
    """Set the metrics of connections and of the platforms' rate limits."""
    metrics.connections.clear()
    metrics.connections_ending.clear()
    for row in await connection.fetch("SELECT platform, state, count(*) AS n FROM connections GROUP BY 1, 2"):
        metrics.connections.labels(row["platform"], row["state"]).set(row["n"])
    ending = f"""
        SELECT platform, days, count(*) FILTER (WHERE ends_at < now() + make_interval(days => days)) AS n
        FROM connections, unnest(ARRAY[1, 7, 14]) AS days
        WHERE {CONNECTION.any_of(ConnectionState.ACTIVE)} AND ends_at IS NOT NULL GROUP BY 1, 2"""
    for row in await connection.fetch(ending):
        metrics.connections_ending.labels(row["platform"], str(row["days"])).set(row["n"])
    metrics.rate_limit_used.clear()
    used = """
        SELECT platform, max(percent) / 100.0::float8 AS ratio FROM platform_budgets
        WHERE held_until > now() OR updated_at > now() - interval '10 minutes' GROUP BY 1"""
    for row in await connection.fetch(used):
        metrics.rate_limit_used.labels(row["platform"]).set(row["ratio"])
