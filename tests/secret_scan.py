"""Where a secret could come to light, read whole: every table, every Redis key."""

from collections.abc import Iterable
from typing import Any

import asyncpg
import redis

from ops.sandbox.server import Server


def secrets_of(server: Server) -> list[str]:
    """Every token, code and client secret that the sandbox's platforms gave out or know us by."""
    held: list[str] = []
    for platform in server.simulation.platforms.values():
        for name in ("tokens", "access", "refresh", "refreshes", "codes"):
            kept = getattr(platform, name, None)
            held += list(kept) if isinstance(kept, dict) else []
        held.append(platform.application()[1])
    held += [app.client_secret for app in server.simulation.platforms["mastodon"].apps.values()]  # type: ignore[attr-defined]
    return [secret for secret in held if len(secret) > 8]


async def tables(connection: asyncpg.Connection) -> dict[str, str]:
    """All rows of all tables as text, raw bytes in both of PostgreSQL's spellings; the owner's connection."""
    found = {}
    names = await connection.fetch(
        "SELECT oid::regclass::text AS name FROM pg_class WHERE relkind IN ('r', 'p', 'm')"
        " AND relnamespace::regnamespace::text NOT LIKE ALL (ARRAY['pg\\_%', 'information\\_schema'])"
    )
    async with connection.transaction():
        await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
        for spelling in ("escape", "hex"):
            await connection.execute(f"SET LOCAL bytea_output = '{spelling}'")
            for row in names:
                rows = await connection.fetch(f"SELECT t::text FROM {row['name']} t")
                found[f"{row['name']} ({spelling})"] = "\n".join(text for (text,) in rows)
    return found


def redis_keys(url: str) -> dict[str, str]:
    """Every key of a Redis database with its value, whatever its type."""
    with redis.Redis.from_url(url) as client:
        read: dict[bytes, Any] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"zset": lambda key: client.zrange(key, 0, -1, withscores=True),
            b"stream": client.xrange,
        }
        return {f"redis {key!r}": f"{key!r} {read[client.type(key)](key)!r}" for key in client.scan_iter()}


def shown(secrets: Iterable[str], places: dict[str, str]) -> list[tuple[str, str]]:
    """Where which secret is to be seen, as it is or byte by byte in hexadecimal."""
    return [
        (place, secret)
        for secret in dict.fromkeys(secrets)
        for place, text in places.items()
        if secret in text or secret.encode().hex() in text
    ]
