"""Servers that a test may break: a cluster of its own, with durability on."""

from collections.abc import Iterator

import pytest

from ops.runtime.embedded import Postgres, Redis, scratch
from tests.support import breakable_redis, copy_of


@pytest.fixture
def own_postgres(migrated_cluster: Postgres) -> Iterator[Postgres]:
    """A migrated cluster that nobody else uses."""
    with scratch() as directory:
        directory.chmod(0o755)
        server = copy_of(migrated_cluster, directory / "pg")
        server.start()
        yield server
        if server.running:
            server.stop()


@pytest.fixture
def own_redis() -> Iterator[Redis]:
    with scratch() as directory:
        server = breakable_redis(directory / "redis")
        server.start()
        yield server
        if server.running:
            server.stop()
