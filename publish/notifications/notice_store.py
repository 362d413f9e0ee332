"""Notices about connections, one for each kind and episode.

Those about posts at a connection, whose kinds begin with ``post_``, are raised and resolved by
:mod:`.post_notice_store`: nothing that happens to the access ends them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import asyncpg

from schema.states import CONNECTION, NOTICE, ConnectionState

_ACTIVE = CONNECTION.any_of(ConnectionState.ACTIVE)

ABOUT_ACCESS = "NOT starts_with(kind, 'post_')"
"""The condition on a notice that is about the access to an account."""

TROUBLE_DAYS = 2
"""An account that fails for so long is reported; most outages of platforms end within hours."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An open notice."""

    id: str
    connection_id: str
    platform: str
    username: str
    kind: str
    says: str
    created_at: datetime


class RaisedNotice(NamedTuple):
    """A notice that was raised just now."""

    id: str
    connection_id: str
    kind: str


async def warn(connection: asyncpg.Connection) -> list[RaisedNotice]:
    """Raise notices of access that ends within 14, 7 and 1 days, and of failures that last for days.

    Return the new notices.
    """
    rows = await connection.fetch(
        f"""
        INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
        SELECT tenant_id, gen_random_uuid(), id,
            CASE WHEN ends_at < now() + interval '1 day' THEN 'ends_in_1_day'
                WHEN ends_at < now() + interval '7 days' THEN 'ends_in_7_days' ELSE 'ends_in_14_days' END,
            authorized_at,
            'Access ends on ' || to_char(ends_at AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY')
                || '; connect the account again before that.'
        FROM connections WHERE {_ACTIVE} AND ends_at < now() + interval '14 days'
        ON CONFLICT DO NOTHING RETURNING id, connection_id, kind"""
    )
    await connection.execute(
        f"""
        UPDATE notices SET resolved_at = now() WHERE connection_id = ANY($1::uuid[]) AND id <> ALL($2::uuid[])
            AND starts_with(kind, 'ends_in_') AND {NOTICE.allows("resolve")}""",
        [row["connection_id"] for row in rows],
        [row["id"] for row in rows],
    )
    rows += await connection.fetch(
        f"""
        INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
        SELECT tenant_id, gen_random_uuid(), id, 'in_trouble', trouble_since,
            'Nothing has worked since ' || to_char(trouble_since AT TIME ZONE 'UTC', 'FMDD FMMonth YYYY') || ': '
                || trouble || ' It is tried again by itself; if the account works at the platform, connect it again.'
        FROM connections WHERE {_ACTIVE} AND trouble_since < now() - make_interval(days => $1)
        ON CONFLICT DO NOTHING RETURNING id, connection_id, kind""",
        TROUBLE_DAYS,
    )
    return [RaisedNotice(str(row["id"]), str(row["connection_id"]), row["kind"]) for row in rows]


async def resolve_trouble(connection: asyncpg.Connection, id_: str) -> None:
    """Resolve the notice of a failing connection: the platform accepts the token again."""
    await connection.execute(
        f"""
        UPDATE notices SET resolved_at = now()
        WHERE connection_id = $1::uuid AND kind = 'in_trouble' AND {NOTICE.allows("resolve")}""",
        id_,
    )


async def resolve(connection: asyncpg.Connection, id_: str) -> None:
    """Resolve all notices about the access to an account: a person did what they asked for."""
    await connection.execute(
        f"""
        UPDATE notices SET resolved_at = now()
        WHERE connection_id = $1::uuid AND {ABOUT_ACCESS} AND {NOTICE.allows("resolve")}""",
        id_,
    )


async def notices(connection: asyncpg.Connection) -> list[Notice]:
    """List the open notices of the tenant, the newest first."""
    rows = await connection.fetch(
        f"""
        SELECT n.id::text, n.connection_id::text, c.platform, c.username, n.kind, n.says, n.created_at
        FROM notices n JOIN connections c ON c.tenant_id = n.tenant_id AND c.id = n.connection_id
        WHERE {NOTICE.any_of("open")} ORDER BY n.created_at DESC, n.id"""
    )
    return [Notice(*row) for row in rows]
