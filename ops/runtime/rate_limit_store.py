"""Rate limits of platforms and accounts."""

from datetime import datetime

import asyncpg


async def held(
    connection: asyncpg.Connection, platform: str, instance: str, account: str
) -> tuple[datetime, float] | None:
    """Return until when the account or the whole application must wait, also in seconds; None if it need not."""
    row = await connection.fetchrow(
        """
        SELECT held_until, extract(epoch FROM held_until - now())::float8 FROM platform_budgets
        WHERE platform = $1 AND instance = $2 AND subject IN ('', $3) AND held_until > now()
        ORDER BY held_until DESC LIMIT 1""",
        platform,
        instance,
        account,
    )
    return None if row is None else (row[0], row[1])


async def save(
    connection: asyncpg.Connection, platform: str, instance: str, subject: str, percent: int, seconds: float
) -> None:
    """Store what was said of a rate limit; responses that were under way meanwhile do not end a wait."""
    await connection.execute(
        """
        INSERT INTO platform_budgets AS b (platform, instance, subject, percent, held_until)
        VALUES ($1, $2, $3, $4, CASE WHEN $5::float8 > 0 THEN now() + make_interval(secs => $5) END)
        ON CONFLICT (platform, instance, subject) DO UPDATE SET updated_at = now(),
            percent = CASE WHEN b.held_until > now() THEN greatest(b.percent, excluded.percent)
                ELSE excluded.percent END,
            held_until = greatest(b.held_until, excluded.held_until)""",
        platform,
        instance,
        subject,
        percent,
        seconds,
    )
