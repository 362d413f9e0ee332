"""The client's side of the promise: what was sent, what was acknowledged, and what nobody knows."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import aiohttp
import asyncpg

from tests.support import Service, comment, instagram, sign_meta

_STORED = """
WITH waiting AS (
    SELECT DISTINCT comment_id #>> '{}' AS id
    FROM webhook_delivery_queue q JOIN webhook_deliveries d ON d.id = q.delivery_id,
        jsonb_path_query(convert_from(d.body, 'UTF8')::jsonb, '$.entry[*].changes[*].value.id') AS comment_id
), logged AS (
    SELECT payload_json->>'id' AS id, count(*) AS count FROM webhook_event_log GROUP BY 1
)
SELECT id, coalesce(count, 1) AS count FROM logged FULL JOIN waiting USING (id)
"""
"""Every comment with how often it is in the log, or 1 while the delivery that brought it waits to be split."""


@dataclass
class Oracle:
    """Sends numbered comments and remembers every answer."""

    service: Service
    url: str = ""
    """Where to send to, if not straight to the service."""
    acked: set[int] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    statuses: set[int] = field(default_factory=set)
    slowest: float = 0.0
    without_retry_after: int = 0

    async def send(self, number: int) -> None:
        """One delivery; 503 and a broken connection both leave its outcome unknown."""
        begun = time.monotonic()
        body = instagram(comment(number))
        try:
            url = f"{self.url or self.service.url}/api/webhooks/instagram"
            async with self.service.client.post(url, data=body, headers=sign_meta(body)) as response:
                self.statuses.add(response.status)
                if response.status == 200:
                    self.acked.add(number)
                    self.unknown.discard(number)
                else:
                    self.unknown.add(number)
                    self.without_retry_after += "Retry-After" not in response.headers
        except (aiohttp.ClientError, ConnectionError):
            self.unknown.add(number)
            await asyncio.sleep(0.01)  # a port that refuses at once must not make up thousands to send again
        self.slowest = max(self.slowest, time.monotonic() - begun)

    async def load(self, numbers: Iterator[int], stop: asyncio.Event, senders: int = 8) -> None:
        """Send until told to stop."""

        async def sender() -> None:
            while not stop.is_set():
                await self.send(next(numbers))

        await asyncio.gather(*(sender() for _ in range(senders)))

    async def redeliver(self) -> None:
        """As platforms do: what was not acknowledged comes again until it is."""
        end = time.monotonic() + 30
        while self.unknown - self.acked:
            assert time.monotonic() < end, f"{len(self.unknown - self.acked)} are still not acknowledged"
            await asyncio.gather(*(self.send(number) for number in sorted(self.unknown - self.acked)[:50]))

    async def check(self, connection: asyncpg.Connection) -> None:
        """I1 and I2: acknowledged is stored, and everything stored counts once."""
        rows = await connection.fetch(_STORED)
        stored = {row["id"]: row["count"] for row in rows}
        missing = {number for number in self.acked if f"1785{number:08d}" not in stored}
        assert not missing, f"acknowledged and lost: {sorted(missing)[:5]}"
        assert set(stored.values()) <= {1}
        assert len(stored) <= len(self.acked | self.unknown)
        assert self.statuses <= {200, 503}
        assert self.without_retry_after == 0
