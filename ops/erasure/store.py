"""SQL that carries requests out. Functions take a connection and never open a transaction; the caller does.

They need the owner of the database, and all tenants in view (``see_all_tenants``).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import asyncpg
from sqlalchemy import Table

from ops.erasure import matching
from ops.erasure.matching import Search
from ops.runtime.db import required, rows_affected
from schema.crm import crm_tables
from schema.states import CONNECTION, DELETION_REQUEST


@dataclass(frozen=True, slots=True)
class Request:
    """Whom to erase.

    ``accounts`` are erased with everything they received; None where nobody has looked yet which accounts the person
    connected. ``names`` are what else leads to the person: usernames, and the ids of their comments. ``tenant`` asked
    for an account of its own; None where a person, or the operator of the install, asked. ``instance`` is the host of
    the account, None for any.
    """

    code: str
    platform: str
    user_id: str
    accounts: list[str] | None
    names: list[str]
    requested_at: datetime
    done: bool
    returned: bool
    """Whether somebody connected the account again since."""
    tenant: str | None
    instance: str | None
    withdrawn: bool
    """Whether the tenant that asked connected the account again since."""

    @property
    def ids(self) -> list[str]:
        return list(dict.fromkeys([self.user_id, *(self.accounts or ())]))


class LinkedAccount(NamedTuple):
    """An account of one platform that a login at another one connected."""

    platform: str
    account_id: str


class DeletedEvent(NamedTuple):
    bucket: int
    account_id: str
    id: int
    delivery_id: UUID | None
    external_id: str


class DeletedConnection(NamedTuple):
    tenant: str
    id: str


class RebuildDue(NamedTuple):
    """A request whose events are gone from the log, and not yet from the tables."""

    code: str
    platform: str


async def see_all_tenants(connection: asyncpg.Connection) -> None:
    """Show the rows of every tenant on this connection from now on."""
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")


async def linked_accounts(connection: asyncpg.Connection) -> list[LinkedAccount]:
    """Return the accounts that were connected through the login of a person who asked, and that are still here."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT c.platform, c.account_id FROM connections c JOIN deletion_requests d ON c.via = d.platform
            AND d.user_id = ANY(c.other_ids) AND c.authorized_at <= d.requested_at
        WHERE d.done_at IS NULL AND d.requesting_tenant_id IS NULL"""
    )
    return [LinkedAccount(*row) for row in rows]


_OF_ACCOUNT = f"""c.platform = d.platform AND c.account_id = ANY(d.accounts)
    AND c.instance = coalesce(d.instance, c.instance) AND {CONNECTION.allows("disconnect")}"""

_REQUESTS = f"""
SELECT code, platform, user_id, accounts, names, requested_at, done_at IS NOT NULL, CASE
        WHEN requesting_tenant_id IS NULL THEN EXISTS (
            SELECT FROM connections c
            WHERE d.platform IN (c.platform, c.via) AND authorized_at > requested_at
                AND {CONNECTION.allows("disconnect")}
                AND (account_id = user_id OR account_id = ANY(accounts) OR user_id = ANY(other_ids)))
        ELSE EXISTS (SELECT FROM connections c WHERE {_OF_ACCOUNT} AND c.authorized_at > d.requested_at) END,
    requesting_tenant_id::text, instance, EXISTS (
        SELECT FROM connections c
        WHERE {_OF_ACCOUNT} AND c.authorized_at > d.requested_at AND c.tenant_id = d.requesting_tenant_id)
FROM deletion_requests d WHERE {DELETION_REQUEST.allows("erase")} AND code = coalesce($1, code) ORDER BY requested_at
"""


async def requests(connection: asyncpg.Connection, code: str | None = None) -> list[Request]:
    """Return the requests whose time is not over, oldest first, or the one with this code."""
    return [Request(*row) for row in await connection.fetch(_REQUESTS, code)]


async def repeat_until(connection: asyncpg.Connection, code: str) -> datetime:
    """Return until when a request that was carried out is carried out again."""
    until: datetime = await connection.fetchval("SELECT repeat_until FROM deletion_requests WHERE code = $1", code)
    return until


async def connected_elsewhere(connection: asyncpg.Connection, request: Request) -> bool:
    """Return whether a tenant other than the one that asked has the account connected."""
    found: bool = await connection.fetchval(
        f"""
        SELECT EXISTS (SELECT FROM connections c JOIN deletion_requests d ON d.code = $1
            WHERE {_OF_ACCOUNT} AND c.tenant_id <> d.requesting_tenant_id)""",
        request.code,
    )
    return found


async def accounts_of_others(connection: asyncpg.Connection, request: Request) -> list[str]:
    """Return the platform's accounts that other tenants than the one that asked have connected.

    Empty where no tenant asked: a person's request reaches everything.
    """
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT account_id FROM connections
        WHERE platform = $1 AND tenant_id <> $2::uuid AND {CONNECTION.allows("disconnect")}""",
        request.platform,
        request.tenant,
    )
    return [row["account_id"] for row in rows]


class Profile(NamedTuple):
    account_id: str
    username: str


async def profiles(connection: asyncpg.Connection, request: Request) -> list[Profile]:
    """Return the connected accounts that a request is about: by the account's id, or by another id of its person."""
    rows = await connection.fetch(
        """
        SELECT account_id, username FROM connections
        WHERE platform = $1 AND (account_id = $2 OR ($2 = ANY(other_ids) AND $3::text IS NULL))
            AND instance = coalesce($4, instance)""",
        request.platform,
        request.user_id,
        request.tenant,
        request.instance,
    )
    return [Profile(*row) for row in rows]


async def named_in_payloads(
    connection: asyncpg.Connection,
    request: Request,
    paths: Sequence[str],
    variables: str,
    search: Search,
) -> list[str]:
    """Return what JSON paths with these variables find in the payloads that ``search`` fits."""
    rows = await connection.fetch(
        f"""
        SELECT DISTINCT found #>> '{{}}' AS name
        FROM webhook_event_log, unnest($2::text[]) AS path,
            jsonb_path_query(payload_json, path::jsonpath, $3::jsonb) AS found
        WHERE provider = $1 AND (payload_json::text ~ $4 OR {_names("payload_json::text", "$5::text[]", "$6")})""",
        request.platform,
        list(paths),
        variables,
        search.ids,
        search.names,
        search.called,
    )
    return [row["name"] for row in rows if row["name"]]


async def keep_names(connection: asyncpg.Connection, request: Request, *, rebuild: bool) -> None:
    """Keep what leads to the person: what says so is about to go, and a repeated delivery may not say it."""
    await connection.execute(
        "UPDATE deletion_requests SET accounts = $2, names = $3, rebuild_due = rebuild_due OR $4 WHERE code = $1",
        *(request.code, request.accounts, request.names, rebuild),
    )


async def delete_rows_of_dropped_events(
    connection: asyncpg.Connection, request: Request, search: Search, spared: Sequence[str]
) -> None:
    """Delete from the CRM tables what an account received and what names it, where retention dropped events.

    A rebuild leaves those rows alone, so they are not brought in line with the log by one. Where a row of somebody else
    belongs to one that goes, its key stays, and nothing else of it.
    """
    for table in reversed(crm_tables()):
        if table.info.get("provider", request.platform) != request.platform:
            continue
        provider = "$1" if "provider" in table.info else "t.provider"
        children = " OR ".join(
            f"EXISTS (SELECT FROM {child.name} c WHERE {same})" for child, same in _references(table)
        )
        condition = f"""
            {provider} = $1 AND t.account_id <> ALL($5) AND EXISTS (SELECT FROM webhook_dropped_events k
                WHERE k.bucket = t.bucket AND k.provider = $1 AND k.account_id = t.account_id)
            AND (t.account_id = ANY($2) OR t.whole::text ~ $3 OR {_names("t.whole::text", "$4::text[]", "$6")}
                OR EXISTS (SELECT FROM jsonb_each_text(t.whole) v WHERE lower(v.value) = ANY($4)))"""
        values = (request.platform, request.accounts, search.ids, search.names, list(spared), search.called)
        # Apart from the search, which looks into whole rows: Citus takes that in no statement that changes any.
        key = [column.name for column in table.primary_key.columns]
        whole = f"(SELECT t.*, to_jsonb(t) AS whole FROM {table.name} t) t"
        found = f"WITH found AS MATERIALIZED (SELECT {', '.join(key)} FROM {whole} WHERE {condition}"
        same = " AND ".join(f"t.{name} = found.{name}" for name in key)
        await connection.execute(
            f"{found} AND NOT ({children or 'false'})) DELETE FROM {table.name} t USING found WHERE {same}", *values
        )
        if children:
            emptied = ", ".join(
                f"{column.name} = {'NULL' if column.nullable else 'DEFAULT'}"
                for column in table.columns
                if column.computed is None and (column.nullable or column.name.endswith("_version"))
                if column.name != "projection_version"
            )
            await connection.execute(f"{found}) UPDATE {table.name} t SET {emptied} FROM found WHERE {same}", *values)


def _references(table: Table) -> Iterator[tuple[Table, str]]:
    """Yield each CRM table that refers to ``table``, and when a row ``c`` of it refers to a row ``t``."""
    for child in crm_tables():
        for key in child.foreign_key_constraints:
            if key.referred_table is table:
                yield child, " AND ".join(f"c.{part.parent.name} = t.{part.column.name}" for part in key.elements)


async def delete_events(
    connection: asyncpg.Connection, request: Request, search: Search, spared: Sequence[str]
) -> list[DeletedEvent]:
    """Delete from the log what an account received and what names it, with its names, and the work on it.

    Events of the accounts ``spared`` stay, whomever they name. Of the account itself, the names of events that the log
    has dropped go too.
    """
    rows = await connection.fetch(
        f"""
        WITH gone AS (
            DELETE FROM webhook_event_log
            WHERE provider = $1 AND account_id <> ALL($5) AND (account_id = ANY($2) OR payload_json::text ~ $3
                OR external_id ~ $3 OR {_names("payload_json::text", "$4::text[]", "$6")})
            RETURNING bucket, account_id, id, delivery_id, provider, external_id
        ), unnamed AS (
            DELETE FROM webhook_event_identities i USING gone
            WHERE i.bucket = gone.bucket AND i.identity = identity_of(gone.provider, gone.account_id, gone.external_id)
        )
        SELECT bucket, account_id, id, delivery_id, external_id FROM gone""",
        request.platform,
        request.accounts,
        search.ids,
        search.names,
        list(spared),
        search.called,
    )
    events = [DeletedEvent(*row) for row in rows]
    keys = [event.bucket for event in events], [event.account_id for event in events], [event.id for event in events]
    for table in ("webhook_event_queue", "webhook_event_outcomes"):
        await connection.execute(
            f"""
            DELETE FROM {table} t USING unnest($1::smallint[], $2::text[], $3::bigint[])
                AS gone (bucket, account_id, event_id)
            WHERE t.bucket = gone.bucket AND t.account_id = gone.account_id AND t.event_id = gone.event_id""",
            *keys,
        )
    await connection.execute(
        "DELETE FROM webhook_dropped_events WHERE provider = $1 AND account_id = ANY($2) AND account_id <> ALL($3)",
        request.platform,
        request.accounts,
        list(spared),
    )
    await connection.execute(
        """
        DELETE FROM webhook_event_identities i
        USING unnest($2::text[]) AS account (id), identity_of($1, account.id, '') AS name
        WHERE account.id <> ALL($3) AND i.bucket = bucket_of($1, account.id)
            AND i.identity BETWEEN overlay(name::text PLACING '0000-0000-000000000000' FROM 15)::uuid
                AND overlay(name::text PLACING 'ffff-ffff-ffffffffffff' FROM 15)::uuid""",
        request.platform,
        request.accounts,
        list(spared),
    )
    return events


async def delete_pulled(
    connection: asyncpg.Connection, request: Request, events: Sequence[DeletedEvent], spared: Sequence[str]
) -> None:
    """Delete what is noted of reading an account, and of objects of others that are the person's.

    Those are objects whose last event was deleted, or that are named like the person, or like a writing of theirs.
    """
    of_account = "provider = $1 AND account_id = ANY($2) AND account_id <> ALL($3)"
    for table in ("pull_tasks", "pull_objects", "pull_accounts", "pull_drifts"):
        await connection.execute(
            f"DELETE FROM {table} WHERE {of_account}", request.platform, request.accounts, list(spared)
        )
    rows = await connection.fetch(
        """
        DELETE FROM pull_objects o USING unnest($3::smallint[], $4::text[], $5::text[])
            AS gone (bucket, account_id, external_id)
        WHERE o.provider = $1 AND o.account_id <> ALL($2) AND o.bucket = gone.bucket
            AND o.account_id = gone.account_id AND o.external_id = gone.external_id
        RETURNING o.object_id""",
        request.platform,
        list(spared),
        [event.bucket for event in events],
        [event.account_id for event in events],
        [event.external_id for event in events],
    )
    named = list({*(row["object_id"] for row in rows), *request.ids, *request.names})
    for table in ("pull_tasks", "pull_objects"):
        await connection.execute(
            f"DELETE FROM {table} WHERE provider = $1 AND account_id <> ALL($2) AND lower(object_id) = ANY($3)",
            request.platform,
            list(spared),
            [name.lower() for name in named],
        )


async def empty_deliveries(
    connection: asyncpg.Connection,
    request: Request,
    search: Search,
    events: Sequence[DeletedEvent],
    spared: Sequence[str],
) -> int:
    """Empty the bodies that name the person, and every copy of such a body. Return of how many deliveries.

    Also those that brought ``events``, however their bytes spell a name, and copies that were committed while an
    earlier run erased what they are a copy of. All copies of a body go with any of them, so that none is left to point
    at a body that is gone. What names the person and brought an event of the accounts ``spared``, and none of
    ``events``, stays. So does what is not split yet: it may hold events of others.
    """
    status = await connection.execute(
        f"""
        WITH found AS (
            SELECT o.body_sha256 FROM webhook_deliveries d JOIN webhook_delivery_outcomes o ON o.delivery_id = d.id
            WHERE provider = $1 AND (body IS NULL OR body <> '') AND (
                id = ANY($4)
                OR body_of IN (SELECT id FROM webhook_deliveries WHERE provider = $1 AND body = '')
                OR ((encode(body, 'escape') ~ $2 OR encode(headers, 'escape') ~ $2
                        OR {_names("encode(body, 'escape')", "$3::text[]", "$6")})
                    AND d.id NOT IN (
                        SELECT delivery_id FROM webhook_event_log
                        WHERE account_id = ANY($5) AND delivery_id IS NOT NULL)))
        ), emptied AS (
            UPDATE webhook_deliveries d SET body = '', body_of = NULL, headers = ''
            FROM webhook_delivery_outcomes o
            WHERE o.delivery_id = d.id AND d.provider = $1 AND (d.body IS NULL OR d.body <> '')
                AND o.body_sha256 IN (SELECT body_sha256 FROM found)
            RETURNING d.id
        )
        UPDATE webhook_delivery_outcomes o SET verdict_reason = 'erased' FROM emptied e WHERE o.delivery_id = e.id""",
        request.platform,
        search.ids,
        search.names,
        list({event.delivery_id for event in events} - {None}),
        list(spared),
        search.called,
    )
    return rows_affected(status)


async def delete_refusals(connection: asyncpg.Connection, request: Request, search: Search) -> int:
    """Delete the samples of refused requests that name the person. Return how many."""
    status = await connection.execute(
        f"""
        DELETE FROM webhook_refusals
        WHERE provider = $1 AND (encode(body_head, 'escape') ~ $2 OR headers::text ~ $2
            OR {_names("encode(body_head, 'escape')", "$3::text[]", "$4")})""",
        request.platform,
        search.ids,
        search.names,
        search.called,
    )
    return rows_affected(status)


async def delete_rate_limits(connection: asyncpg.Connection, request: Request) -> None:
    """Delete what the platform said of the account's rate limits."""
    await connection.execute(
        "DELETE FROM platform_budgets WHERE platform = $1 AND subject = ANY($2)", request.platform, request.ids
    )


_POSTS_OF_GONE = """
        targets AS (DELETE FROM post_targets t USING gone
            WHERE t.tenant_id = gone.tenant_id AND t.connection_id = gone.id RETURNING t.tenant_id, t.post_id),
        posted AS (DELETE FROM posts p USING targets t WHERE p.tenant_id = t.tenant_id AND p.id = t.post_id
            AND NOT EXISTS (SELECT FROM post_targets o WHERE o.tenant_id = p.tenant_id AND o.post_id = p.id
                AND (o.tenant_id, o.connection_id) NOT IN (SELECT tenant_id, id FROM gone))),
        repeated AS (DELETE FROM post_recurrences r WHERE r.tenant_id IN (SELECT tenant_id FROM gone)
            AND jsonb_array_length(coalesce(r.template->'targets', '[]')) > 0
            AND jsonb_array_length(coalesce(r.template->'platforms', '[]')) = 0
            AND NOT EXISTS (SELECT FROM jsonb_array_elements(r.template->'targets') e
                WHERE (r.tenant_id, (e->>'connection')::uuid) NOT IN (SELECT tenant_id, id FROM gone)))"""
"""Deletes what was, or was to be, posted with the connections ``gone``: targets, posts of no other account, and what
repeats at no other. The slots of their queues go with them."""


async def delete_connections(connection: asyncpg.Connection, request: Request) -> list[DeletedConnection]:
    """Delete a person's connections of all tenants, and what flows told their visitors of them."""
    rows = await connection.fetch(
        f"""
        WITH gone AS (DELETE FROM connections
        WHERE $1 IN (platform, via) AND (account_id = ANY($2) OR other_ids && $2) AND authorized_at <= $3
        RETURNING tenant_id, id), {_POSTS_OF_GONE}
        SELECT tenant_id::text, id::text FROM gone""",
        request.platform,
        request.ids,
        request.requested_at,
    )
    return await _without_flows(connection, request, rows)


async def delete_own_connections(connection: asyncpg.Connection, request: Request) -> list[DeletedConnection]:
    """Delete the connections that the tenant which asked has to the account, and what flows told of them."""
    rows = await connection.fetch(
        f"""
        WITH gone AS (DELETE FROM connections
        WHERE platform = $1 AND account_id = ANY($2) AND instance = coalesce($4, instance) AND authorized_at <= $3
            AND tenant_id = $5::uuid
        RETURNING tenant_id, id), {_POSTS_OF_GONE}
        SELECT tenant_id::text, id::text FROM gone""",
        request.platform,
        request.accounts,
        request.requested_at,
        request.instance,
        request.tenant,
    )
    return await _without_flows(connection, request, rows)


async def delete_ended_connections(connection: asyncpg.Connection, request: Request) -> list[DeletedConnection]:
    """Delete what is left of connections to the account that other tenants ended and that were revoked."""
    rows = await connection.fetch(
        f"""
        WITH gone AS (DELETE FROM connections
        WHERE platform = $1 AND account_id = ANY($2) AND instance = coalesce($3, instance) AND tenant_id <> $4::uuid
            AND {CONNECTION.allows("revoke")} AND refresh_due_at IS NULL
        RETURNING tenant_id, id), {_POSTS_OF_GONE}
        SELECT tenant_id::text, id::text FROM gone""",
        request.platform,
        request.accounts,
        request.instance,
        request.tenant,
    )
    return [DeletedConnection(*row) for row in rows]


async def _without_flows(
    connection: asyncpg.Connection, request: Request, rows: Sequence[asyncpg.Record]
) -> list[DeletedConnection]:
    """Delete what flows told their visitors of the account: of one tenant where that one asked."""
    deleted = [DeletedConnection(*row) for row in rows]
    await connection.execute(
        """
        DELETE FROM oauth_states s WHERE platform = $1 AND (outcome->'connections' ?| $2 OR s::text ~ $3)
            AND tenant_id::text = coalesce($4, tenant_id::text)""",
        request.platform,
        [found.id for found in deleted],
        matching.whole_id(request.ids),
        request.tenant,
    )
    return deleted


async def rebuilds_due(connection: asyncpg.Connection) -> list[RebuildDue]:
    """Return the requests whose events are gone from the log, and not yet from the tables."""
    rows = await connection.fetch("SELECT code, platform FROM deletion_requests WHERE rebuild_due")
    return [RebuildDue(*row) for row in rows]


async def finish(connection: asyncpg.Connection, codes: Iterable[str], hours: int) -> None:
    """Mark requests as carried out; they are carried out again for so many hours from the first time."""
    await connection.execute(
        """
        UPDATE deletion_requests SET rebuild_due = false, done_at = coalesce(done_at, now()),
            repeat_until = coalesce(repeat_until, now() + make_interval(hours => $2))
        WHERE code = ANY($1)""",
        list(codes),
        hours,
    )


async def forget(connection: asyncpg.Connection, codes: Iterable[str]) -> int:
    """Forget whom requests were about: those with these codes, and those whose time is over. Return how many."""
    status = await connection.execute(
        f"""
        UPDATE deletion_requests SET user_id = NULL, accounts = NULL, names = '{{}}'
        WHERE {DELETION_REQUEST.allows("forget")} AND (repeat_until < now() OR code = ANY($1))""",
        list(codes),
    )
    return rows_affected(status)


async def tenants_told(connection: asyncpg.Connection, subject: str) -> list[str]:
    """Return the tenants whose audit logs note the erasure of this subject."""
    rows = await connection.fetch(
        "SELECT DISTINCT tenant_id::text FROM audit_log WHERE action = 'person.erased' AND subject = $1", subject
    )
    return [row[0] for row in rows]


class Counts(NamedTuple):
    """Requests for `landfall doctor`: to be carried out, done and not forgotten in time, waiting for other tenants."""

    due: int
    overdue: int
    waiting: int


async def counts(connection: asyncpg.Connection, forgotten_hours: int) -> Counts:
    """Count the requests that need somebody; ``forgotten_hours`` is how long after its time an id may still be here."""
    row = await connection.fetchrow(
        f"""
        SELECT count(*) FILTER (WHERE (done_at IS NULL OR rebuild_due) AND NOT waits),
            count(*) FILTER (
                WHERE {DELETION_REQUEST.allows("forget")} AND repeat_until < now() - make_interval(hours => $1)),
            count(*) FILTER (WHERE {DELETION_REQUEST.any_of("received")} AND waits)
        FROM (SELECT d.*, EXISTS (SELECT FROM connections c
                    WHERE {_OF_ACCOUNT} AND c.tenant_id <> d.requesting_tenant_id)
                AND NOT EXISTS (SELECT FROM connections c WHERE c.platform = d.platform
                    AND c.account_id = ANY(d.accounts) AND c.instance = coalesce(d.instance, c.instance)
                    AND c.tenant_id = d.requesting_tenant_id) AS waits
            FROM deletion_requests d) d""",
        forgotten_hours,
    )
    return Counts(*required(row))


async def copies_of_erased_bodies(connection: asyncpg.Connection) -> int:
    """Count the deliveries that are copies of a body that is gone: they came while it was erased."""
    found: int = await connection.fetchval(
        """
        SELECT count(*) FROM webhook_deliveries d JOIN webhook_deliveries o ON o.id = d.body_of
        WHERE d.body_of IS NOT NULL AND o.body = ''"""
    )
    return found


def _names(text: str, names: str, called: str) -> str:
    """Return SQL: whether a text holds one of the names where it is a name: after its key, or mentioned.

    Elsewhere it may be any word. There may be thousands of names, so words are looked up and not alternatives tried.
    """
    return (
        f"EXISTS (SELECT FROM regexp_matches({text}, {called}, 'g') AS found"
        f" WHERE cardinality({names}) > 0 AND rtrim(lower(found[1]), '{matching.TRAILING}') = ANY({names}))"
    )
