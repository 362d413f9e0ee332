"""Say what retention drops, and drop it: whole partitions where all of one is due, batches of rows elsewhere.

Names of events are kept for ever, so that what is sent again years later is still known. What waits for a worker or for
a person is kept, and so is the row of a CRM table of which events were dropped: no rebuild could make it anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from ops.access.audit_log_store import COMMAND, Value, audit
from ops.retention import store
from ops.retention.store import DueDeliveries, DueEvents, KeptRows, Policy
from ops.runtime.tenancy import set_tenant
from schema.crm import crm_tables
from schema.tenancy import DEFAULT_TENANT

EVENTS, DELIVERIES = "events", "deliveries"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is due now, and which rows no rebuild can make anew once it is dropped."""

    events: Sequence[DueEvents]
    deliveries: Sequence[DueDeliveries]
    kept_rows: Sequence[KeptRows]


@dataclass(frozen=True, slots=True)
class Dropped:
    """What a run dropped. ``partitions`` went whole, with what they held; the counts are of rows besides."""

    partitions: Sequence[str]
    events: int
    deliveries: int
    busy: bool
    """Whether a partition was left for the next run, as somebody held it."""


async def plan(connection: asyncpg.Connection) -> Plan:
    """Return what a run would drop now. It reads what is due once."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        return Plan(
            await store.due_events(connection),
            await store.due_deliveries(connection),
            await store.rows_without_a_log(connection, crm_tables()),
        )


async def put(connection: asyncpg.Connection, policy: Policy) -> None:
    """Set a policy, and note it in the audit log of the install's own tenant."""
    async with connection.transaction():
        await store.put_policy(connection, policy)
        await _note(connection, "retention.set", f"{policy.platform} {policy.kind}", days=policy.days)


async def remove(connection: asyncpg.Connection, platform: str, kind: str) -> bool:
    """Remove a policy, and note it. Return whether there was one."""
    async with connection.transaction():
        if not await store.remove_policy(connection, platform, kind):
            return False
        await _note(connection, "retention.removed", f"{platform} {kind}")
        return True


async def run(connection: asyncpg.Connection) -> Dropped:
    """Drop what is due. It may be stopped at any moment: the next run goes on."""
    async with connection.transaction():
        said = [f"{policy.platform} {policy.kind} {policy.days}" for policy in await store.policies(connection)]
        await _note(connection, "retention.begun", "the log", policies=said)
    partitions, busy = [], False
    while True:
        try:
            async with connection.transaction():
                name = await store.drop_partition(connection)
                if name is not None:
                    await _note(connection, "retention.dropped", name)
        except asyncpg.LockNotAvailableError:
            busy = True
            break
        if name is None:
            break
        partitions.append(name)
    events, event = 0, -1
    while True:
        async with connection.transaction():
            count, last = await store.drop_events(connection, event)
            events += count
            if last is None:
                break
            event = last
    deliveries, delivery = 0, UUID(int=0)
    while True:
        async with connection.transaction():
            count, place = await store.drop_deliveries(connection, delivery)
            deliveries += count
            if place is None:
                break
            delivery = place
    if events or deliveries:
        async with connection.transaction():
            await _note(connection, "retention.dropped", "the log", events=events, deliveries=deliveries)
    return Dropped(partitions, events, deliveries, busy)


async def _note(connection: asyncpg.Connection, action: str, subject: str, **detail: Value) -> None:
    await set_tenant(connection, DEFAULT_TENANT)
    await audit(connection, DEFAULT_TENANT, COMMAND, action, subject, **detail)
