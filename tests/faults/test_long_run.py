"""Accounts of all platforms through many days: whoever can live, lives.

``DAYS=60 TENANTS=10 make test TESTS=tests/faults/test_long_run.py`` is the whole length, with 200 accounts.
PostgreSQL's clock cannot be hurried, so every stored time is moved back by what the sandbox's clock is moved ahead.
"""

import asyncio
import os
import uuid
from collections import Counter

import pytest

from ops.access import api_keys
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.connections import refresh_store
from tests.rig import PLATFORMS, TESTS, Rig

DAYS = float(os.environ.get("DAYS", "2"))
TENANTS = int(os.environ.get("TENANTS", "1"))
STEP = 1800
MOVED = (
    *("refresh_due_at", "access_expires_at", "refresh_expires_at", "authorized_at", "lease_until"),
    *("check_due_at", "checked_at"),
)


async def settle(rig: Rig, outcomes: Counter[str]) -> None:
    """Refresh until nothing is due."""
    while True:
        async with tenant_transaction(rig.pool, ALL_TENANTS) as connection:
            found = await refresh_store.due(connection, 8)
        if not found:
            return
        outcomes.update(await asyncio.gather(*(rig.refresher.refresh(id_) for _, id_ in found)))


async def test_whoever_can_live_lives(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    ids = []
    for number in range(TENANTS):
        tenant = str(uuid.UUID(int=0x1000 + number))
        await rig.connection.execute("INSERT INTO tenants (id, name) VALUES ($1::uuid, $2)", tenant, f"t{number}")
        key = await api_keys.create(rig.pool, tenant, "k", api_keys.SCOPES, TESTS)
        for platform in PLATFORMS:
            for account in ("alice",) if platform == "facebook" else ("alice", "bob", "shop"):
                ids += await rig.connect(platform, account, key)
    outcomes: Counter[str] = Counter()
    shift = ", ".join(f"{name} = {name} - make_interval(secs => {STEP})" for name in MOVED)
    for _ in range(int(DAYS * 86_400 / STEP) - 1):
        rig.server.simulation.clock.jump(STEP)
        await rig.raw(f"UPDATE connections SET {shift}")
        await settle(rig, outcomes)
    rows = await rig.raw(
        "SELECT platform, state, count(*) AS n, count(*) FILTER (WHERE access_expires_at < now()) AS over"
        " FROM connections GROUP BY 1, 2 ORDER BY 1, 2"
    )
    with capsys.disabled():
        shown = ", ".join(f"{row['platform']} {row['n']} {row['state']}" for row in rows)
        print(  # noqa: T201  the numbers are the result
            f"\n{len(set(ids))} accounts, {DAYS} days: {dict(outcomes)}; {shown}"
        )
    assert {row["state"] for row in rows} == {"active"}
    assert [row["platform"] for row in rows if row["over"]] == []
    assert set(outcomes) == {"refreshed", "checked"}
    assert sum(row["n"] for row in rows) == len(set(ids)) == 20 * TENANTS
