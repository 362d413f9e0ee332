"""The pull of a made-up platform."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.pulling import Pull, pulling


@pytest.fixture
async def pull(database: str, connection: asyncpg.Connection) -> AsyncIterator[Pull]:
    async with pulling(database, connection) as found:
        yield found
