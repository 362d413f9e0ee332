"""`landfall erase`: take a person, or a whole account, out of everything that is kept.

The tables are pure functions of the log, so it is the log that forgets: the events that name the person go, the raw
bytes that held them go, and a rebuild brings the tables in line. Whatever is made from the log later cannot bring the
person back.
"""

import hashlib
import re
from dataclasses import dataclass

import asyncpg
import click

from ops.cli import wiring
from ops.cli.tables import rebuild
from ops.runtime import db
from ops.runtime.settings import Configuration
from publish import store
from schema.people import DEFAULT_TENANT

ID = re.compile(r"[\w.:~-]{3,128}")
AGAIN = "Platforms repeat unanswered deliveries for up to 72 hours: run this again after that, it is quick then."


@dataclass(frozen=True, slots=True)
class Erased:
    """How much went."""

    events: int
    deliveries: int
    refusals: int
    connections: int


async def requested(configuration: Configuration) -> None:
    """Carry out what people asked for by way of a platform. Raises ClickException."""
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
        wishes = await connection.fetch(
            """
            SELECT code, platform, user_id, array(SELECT DISTINCT account_id FROM connections c
                WHERE c.platform = d.platform AND (account_id = d.user_id OR d.user_id = ANY(other_ids))) AS accounts
            FROM deletion_requests d WHERE done_at IS NULL ORDER BY requested_at"""
        )
        for wish in wishes:
            for account in wish["accounts"]:
                await erase(configuration, wish["platform"], account, account=True)
            await erase(configuration, wish["platform"], wish["user_id"], account=False)
            await connection.execute(
                "UPDATE deletion_requests SET user_id = NULL, done_at = now() WHERE code = $1", wish["code"]
            )
    finally:
        await connection.close()
    click.echo(f"{len(wishes)} requests carried out")


async def erase(configuration: Configuration, platform: str, id_: str, *, account: bool) -> None:
    """Erase, rebuild what that touched, and say how much it was. Raises ClickException."""
    known = sorted({*wiring.webhooks(), *wiring.channels()})
    if platform not in known:
        raise click.UsageError(f"no platform is called {platform}; known are {', '.join(known)}")
    if not ID.fullmatch(id_):
        raise click.UsageError("the id is not one that a platform gives: letters, digits and _ . : ~ - only")
    # As the login itself: the service's own role cannot take anything out of the log.
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        async with connection.transaction():
            await connection.execute("SELECT set_config('landfall.tenant', '*', true)")
            erased = await _erased(connection, platform, id_, account=account)
            # That it was done is kept, and not about whom: the digest proves it to whoever asks with the id in hand.
            subject = hashlib.sha256(f"{platform}:{id_}".encode()).hexdigest()
            detail = {"events": erased.events, "deliveries": erased.deliveries, "connections": erased.connections}
            await store.audit(connection, DEFAULT_TENANT, store.COMMAND, "person.erased", subject, **detail)
    finally:
        await connection.close()
    click.echo(
        f"{erased.events} events, the bytes of {erased.deliveries} deliveries, {erased.refusals} samples of refused"
        f" requests and {erased.connections} connections are gone"
    )
    if erased.events and platform in wiring.projections():
        await rebuild(configuration, [platform], outdated=False, lose_failed=True)
    click.echo(AGAIN)


async def _erased(connection: asyncpg.Connection, platform: str, id_: str, *, account: bool) -> Erased:
    # The whole id and not a part of another one; it may stand in text, in a number, or in JSON inside of JSON.
    named = f"(^|[^0-9A-Za-z]){re.escape(id_)}([^0-9A-Za-z]|$)"
    events = await connection.fetch(
        """
        DELETE FROM webhook_event_log
        WHERE provider = $1 AND (($3 AND account_id = $2) OR payload_json::text ~ $4 OR external_id ~ $4)
        RETURNING account_id, id""",
        platform,
        id_,
        account,
        named,
    )
    keys = [row["account_id"] for row in events], [row["id"] for row in events]
    for table in ("webhook_event_queue", "webhook_event_outcomes"):
        await connection.execute(
            f"DELETE FROM {table} t USING unnest($1::text[], $2::bigint[]) AS gone (account_id, event_id)"
            " WHERE t.account_id = gone.account_id AND t.event_id = gone.event_id",
            *keys,
        )
    deliveries = await connection.execute(
        """
        UPDATE webhook_deliveries SET body = '', headers = '{}', verdict_reason = 'erased'
        WHERE provider = $1 AND encode(body, 'escape') ~ $2""",
        platform,
        named,
    )
    refusals = await connection.execute(
        "DELETE FROM webhook_refusals WHERE provider = $1 AND encode(body_head, 'escape') ~ $2", platform, named
    )
    await connection.execute(
        """
        DELETE FROM platform_budgets WHERE platform = $1 AND (subject = $2 OR subject IN (
            SELECT account_id FROM connections WHERE platform = $1 AND $2 = ANY(other_ids)))""",
        platform,
        id_,
    )
    connections = await connection.execute(
        "DELETE FROM connections WHERE platform = $1 AND (account_id = $2 OR $2 = ANY(other_ids))", platform, id_
    )
    await connection.execute(  # what was done stays said, and no longer about whom
        "UPDATE audit_log SET detail = detail - 'account' - 'user' WHERE $1 IN (detail->>'account', detail->>'user')",
        id_,
    )
    return Erased(len(events), *(db.rows_affected(status) for status in (deliveries, refusals, connections)))
