"""`landfall erase`: take a person, or a whole account, out of everything that is kept, and keep them out.

The tables are pure functions of the log, so it is the log that forgets: the events that name the person go, the raw
bytes that held them go, and a rebuild brings the tables in line. Whatever is made from the log later cannot bring the
person back. A platform that repeats a delivery can: so each wish is kept, and carried out again each time this is run,
until no platform repeats anything of before; then the id is forgotten too.
"""

import hashlib
import json
import re
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg
import click

from ops.access.audit_log_store import COMMAND, audit
from ops.cli import wiring
from ops.cli.tables import rebuild
from ops.cli.terminal import echo
from ops.runtime import db
from ops.runtime.settings import Configuration
from schema.tenancy import DEFAULT_TENANT
from sync.rebuild import shadow
from sync.rebuild.shadow import BusyError

ID = re.compile(r"[\w.:~-]{3,128}")
NAME = re.compile(r"[\w.:~-]{1,128}")
REPEAT_HOURS = 96
"""Longer than any platform repeats a delivery: TikTok 72 hours (``tiktok.md`` 2.1), Meta 36 (``meta.md`` 1.3)."""

_CALLED = r"""'(?i)(?:\m(?:id|comment_id|username)\\*"\s*:\s*\\*"?|@)([\w.:~-]+)'"""
_ENDS = ".:~-"
"""Of a name only where more of it follows: else it is the sentence's."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Whom to erase. ``accounts`` go with all they received; None where the connections have not been asked yet.

    ``names`` are what else leads to the person: usernames, and the ids of comments of theirs.
    """

    code: str
    platform: str
    user_id: str
    accounts: list[str] | None
    names: list[str]
    asked_at: datetime
    done: bool
    returned: bool
    """Whether the person connected the account again since."""

    @property
    def ids(self) -> list[str]:
        return list(dict.fromkeys([self.user_id, *(self.accounts or ())]))


@dataclass(frozen=True, slots=True)
class Erased:
    """How much went; ``connections`` by tenant."""

    events: int
    deliveries: int
    refusals: int
    connections: Counter[str]

    @property
    def anything(self) -> bool:
        return bool(self.events or self.deliveries or self.refusals or self.connections)


async def erase(configuration: Configuration, platform: str, id_: str, *, account: bool) -> None:
    """Erase, rebuild what that touched, and say how much it was. Raises ClickException."""
    known = sorted({*wiring.webhooks(), *wiring.channels()})
    if platform not in known:
        raise click.UsageError(f"no platform is called {platform}; known are {', '.join(known)}")
    if not ID.fullmatch(id_):
        raise click.UsageError("the id is not one that a platform gives: letters, digits and _ . : ~ - only")
    async with _owner(configuration) as connection:
        code = await _noted(connection, platform, id_, [id_] if account else [])
        await _carry_out(configuration, connection, await _wishes(connection, code), by_hand=True)
        until = await connection.fetchval("SELECT repeat_until FROM deletion_requests WHERE code = $1", code)
    echo(
        f"Platforms repeat unanswered deliveries for days: run `landfall erase --requested` daily, which takes out"
        f" what they bring back until {until:%Y-%m-%d %H:%M}Z"
    )


async def requested(configuration: Configuration) -> None:
    """Carry out what was asked for, again where a platform may have brought it back. Raises ClickException."""
    async with _owner(configuration) as connection:
        await _spread(connection)
        found = await _wishes(connection)
        for wish in found:
            if not ID.fullmatch(wish.user_id):
                echo(f"request {wish.code} names no id that a platform gives; nothing was done about it", err=True)
        wishes = [wish for wish in found if ID.fullmatch(wish.user_id)]
        # Whoever connected again after it was done has agreed anew, and what comes now is of that.
        await _carry_out(configuration, connection, [wish for wish in wishes if not (wish.done and wish.returned)])
        forgotten = await _forget(connection, [wish.code for wish in wishes if wish.done and wish.returned])
    fresh = sum(not wish.done for wish in wishes)
    echo(f"{fresh} requests carried out, {len(wishes) - fresh} looked at again, {forgotten} of them for good")


async def _spread(connection: asyncpg.Connection) -> None:
    """Whoever asks at one platform asks for the accounts of another one too that their login there connected."""
    rows = await connection.fetch(
        """
        SELECT DISTINCT c.platform, c.account_id FROM connections c JOIN deletion_requests d ON c.via = d.platform
            AND d.user_id = ANY(c.other_ids) AND c.authorized_at <= d.requested_at
        WHERE d.done_at IS NULL"""
    )
    for platform, account in rows:
        await _noted(connection, platform, account, [account])


@asynccontextmanager
async def _owner(configuration: Configuration) -> AsyncIterator[asyncpg.Connection]:
    """As the login itself: the service's own role cannot take anything out of the log."""
    connection = await db.connect(configuration.settings.database_url.get_secret_value())
    try:
        await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
        yield connection
    finally:
        await connection.close()


async def _noted(connection: asyncpg.Connection, platform: str, id_: str, accounts: list[str]) -> str:
    """Keep a wish, before it is carried out; the same one again begins its time anew. Its code."""
    code: str | None = await connection.fetchval(
        """
        UPDATE deletion_requests SET requested_at = now(),
            repeat_until = CASE WHEN done_at IS NOT NULL THEN now() + make_interval(hours => $4) END
        WHERE platform = $1 AND user_id = $2 AND accounts = $3 RETURNING code""",
        platform,
        id_,
        accounts,
        REPEAT_HOURS,
    )
    if code is None:
        code = secrets.token_hex(12)
        await connection.execute(
            "INSERT INTO deletion_requests (code, platform, user_id, accounts) VALUES ($1, $2, $3, $4)",
            *(code, platform, id_, accounts),
        )
    return code


async def _wishes(connection: asyncpg.Connection, code: str | None = None) -> list[Wish]:
    """Those whose time is not over, or the one with this code."""
    rows = await connection.fetch(
        """
        SELECT code, platform, user_id, accounts, names, requested_at, done_at IS NOT NULL, EXISTS (
            SELECT FROM connections c
            WHERE d.platform IN (c.platform, c.via) AND authorized_at > requested_at AND state <> 'disconnected'
                AND (account_id = user_id OR account_id = ANY(accounts) OR user_id = ANY(other_ids)))
        FROM deletion_requests d WHERE user_id IS NOT NULL AND code = coalesce($1, code) ORDER BY requested_at""",
        code,
    )
    return [Wish(*row) for row in rows]


async def _carry_out(
    configuration: Configuration, connection: asyncpg.Connection, wishes: Sequence[Wish], *, by_hand: bool = False
) -> None:
    """Erase for each, then rebuild once for each platform, and only then call it done. Raises ClickException."""
    for wish in wishes:
        try:
            async with connection.transaction():
                erased = await _erased(connection, wish)
                telling = by_hand or not wish.done or erased.anything
                if telling:
                    await _audit(connection, wish, erased)
        except BusyError:
            raise click.ClickException("a rebuild is under way; run this again when it has ended") from None
        if telling:
            echo(
                f"{erased.events} events, the bytes of {erased.deliveries} deliveries, {erased.refusals} samples of"
                f" refused requests and {erased.connections.total()} connections are gone"
            )
    # Also what an earlier run did not come to.
    due = await connection.fetch("SELECT code, platform FROM deletion_requests WHERE rebuild_due")
    if platforms := sorted({row["platform"] for row in due} & {*wiring.projections()}):
        await rebuild(configuration, platforms, outdated=False, lose_failed=True)
    await connection.execute(
        """
        UPDATE deletion_requests SET rebuild_due = false, done_at = coalesce(done_at, now()),
            repeat_until = coalesce(repeat_until, now() + make_interval(hours => $2))
        WHERE code = ANY($1)""",
        [*(wish.code for wish in wishes), *(row["code"] for row in due)],
        REPEAT_HOURS,
    )


async def _forget(connection: asyncpg.Connection, codes: Iterable[str]) -> int:
    """Forget whom a wish was about: those of ``codes``, and those whose time is over; how many."""
    status = await connection.execute(
        """
        UPDATE deletion_requests SET user_id = NULL, accounts = NULL, names = '{}'
        WHERE user_id IS NOT NULL AND (repeat_until < now() OR code = ANY($1))""",
        list(codes),
    )
    return db.rows_affected(status)


async def _erased(connection: asyncpg.Connection, wish: Wish) -> Erased:
    wish = await _known(connection, wish)
    named = _named(wish.ids)
    events = await connection.fetch(
        f"""
        DELETE FROM webhook_event_log
        WHERE provider = $1 AND (account_id = ANY($2) OR payload_json::text ~ $3 OR external_id ~ $3
            OR {_leads("payload_json::text", "$4::text[]")})
        RETURNING account_id, id, delivery_id""",
        wish.platform,
        wish.accounts,
        named,
        wish.names,
    )
    if events:
        await shadow.discard(connection)  # a fold of what was just deleted
    keys = [row["account_id"] for row in events], [row["id"] for row in events]
    for table in ("webhook_event_queue", "webhook_event_outcomes"):
        await connection.execute(
            f"DELETE FROM {table} t USING unnest($1::text[], $2::bigint[]) AS gone (account_id, event_id)"
            " WHERE t.account_id = gone.account_id AND t.event_id = gone.event_id",
            *keys,
        )
    # Those that brought the events too, whatever way their bytes may spell a name, and every copy of such a body: also
    # one that was committed while an earlier run erased what it is the copy of. All copies of a body go with any of
    # them, so that none is left to point at a body that is gone.
    deliveries = await connection.execute(
        f"""
        WITH found AS (
            SELECT body_sha256 FROM webhook_deliveries
            WHERE provider = $1 AND (body IS NULL OR body <> '') AND (encode(body, 'escape') ~ $2 OR headers::text ~ $2
                OR {_leads("encode(body, 'escape')", "$3::text[]")}
                OR id = ANY($4)
                OR body_of IN (SELECT id FROM webhook_deliveries WHERE provider = $1 AND body = ''))
        )
        UPDATE webhook_deliveries SET body = '', body_of = NULL, headers = '{{}}', verdict_reason = 'erased'
        WHERE provider = $1 AND (body IS NULL OR body <> '') AND body_sha256 IN (SELECT body_sha256 FROM found)""",
        wish.platform,
        named,
        wish.names,
        list({row["delivery_id"] for row in events} - {None}),
    )
    refusals = await connection.execute(
        f"""
        DELETE FROM webhook_refusals
        WHERE provider = $1 AND (encode(body_head, 'escape') ~ $2 OR headers::text ~ $2
            OR {_leads("encode(body_head, 'escape')", "$3::text[]")})""",
        wish.platform,
        named,
        wish.names,
    )
    await connection.execute(
        "DELETE FROM platform_budgets WHERE platform = $1 AND subject = ANY($2)", wish.platform, wish.ids
    )
    connections = await connection.fetch(
        """
        DELETE FROM connections
        WHERE $1 IN (platform, via) AND (account_id = ANY($2) OR other_ids && $2) AND authorized_at <= $3
        RETURNING tenant_id::text, id::text""",
        wish.platform,
        wish.ids,
        wish.asked_at,
    )
    await connection.execute(  # what a flow told its visitor names the account
        "DELETE FROM oauth_states s WHERE platform = $1 AND (outcome->'connections' ?| $2 OR s::text ~ $3)",
        wish.platform,
        [row["id"] for row in connections],
        named,
    )
    await connection.execute(
        "UPDATE deletion_requests SET accounts = $2, names = $3, rebuild_due = rebuild_due OR $4 WHERE code = $1",
        *(wish.code, wish.accounts, wish.names, bool(events)),
    )
    gone = Counter(row["tenant_id"] for row in connections)
    return Erased(len(events), db.rows_affected(deliveries), db.rows_affected(refusals), gone)


async def _known(connection: asyncpg.Connection, wish: Wish) -> Wish:
    """The wish with all that leads to the person: what says so is about to go, and a repeated delivery may not."""
    rows = await connection.fetch(
        "SELECT account_id, username FROM connections WHERE platform = $1 AND (account_id = $2 OR $2 = ANY(other_ids))",
        wish.platform,
        wish.user_id,
    )
    accounts = sorted({row["account_id"] for row in rows}) if wish.accounts is None else wish.accounts
    names = {*wish.names, *(row["username"].lower().rstrip(_ENDS) for row in rows if row["account_id"] in accounts)}
    known = [*dict.fromkeys([wish.user_id, *accounts])]
    variables = {"ids": [*known, *(int(id_) for id_ in known if id_.isascii() and id_.isdecimal())]}
    for paths in (
        ["lax $.** ? (@.id == $ids[*] || @.self_ig_scoped_id == $ids[*]).username"],
        [f"lax $.** ? (@.from.id == $ids[*] || @.from.username == $names[*]).{key}" for key in ("id", "comment_id")],
    ):
        found = await connection.fetch(
            f"""
            SELECT DISTINCT found #>> '{{}}' AS name
            FROM webhook_event_log, unnest($2::text[]) AS path,
                jsonb_path_query(payload_json, path::jsonpath, $3::jsonb) AS found
            WHERE provider = $1 AND (payload_json::text ~ $4 OR {_leads("payload_json::text", "$5::text[]")})""",
            wish.platform,
            paths,
            json.dumps(variables | {"names": sorted(names)}),
            _named(known),
            sorted(names),
        )
        names |= {row["name"].lower().rstrip(_ENDS) for row in found if row["name"]}
    usable = sorted(name for name in names - {*known} if NAME.fullmatch(name))
    return replace(wish, accounts=accounts, names=usable)


def _named(ids: Iterable[str]) -> str:
    """Finds a whole id and no part of another one: in text, in a number, or in JSON inside of JSON.

    Right before it there may be what stands for a character: JSON's escapes, or the octal ones of PostgreSQL.
    """
    before = r"(^|[^0-9A-Za-z]|\\[bfnrt]|\\u[0-9A-Fa-f]{4}|\\[0-3][0-7]{2})"
    return f"{before}({'|'.join(map(re.escape, ids))})([^0-9A-Za-z]|$)"


def _leads(text: str, names: str) -> str:
    """SQL: whether a text holds one of the names where it is one: called so by its key, or mentioned.

    Elsewhere it may be any word. There may be thousands of names, so words are looked up and not alternatives tried.
    """
    return (
        f"EXISTS (SELECT FROM regexp_matches({text}, {_CALLED}, 'g') AS found"
        f" WHERE cardinality({names}) > 0 AND rtrim(lower(found[1]), '{_ENDS}') = ANY({names}))"
    )


async def _audit(connection: asyncpg.Connection, wish: Wish, erased: Erased) -> None:
    """That it was done is kept, and not about whom: the digest proves it to whoever asks with the id in hand.

    Every tenant that had a connection to the account is told, also of what is taken out again.
    """
    for id_ in wish.ids:
        subject = hashlib.sha256(f"{wish.platform}:{id_}".encode()).hexdigest()
        told = await connection.fetch(
            "SELECT DISTINCT tenant_id::text FROM audit_log WHERE action = 'person.erased' AND subject = $1", subject
        )
        for tenant in sorted({*erased.connections, *(row[0] for row in told)}) or [DEFAULT_TENANT]:
            detail = {
                "events": erased.events,
                "deliveries": erased.deliveries,
                "connections": erased.connections[tenant],
            }
            await audit(connection, tenant, COMMAND, "person.erased", subject, **detail)
