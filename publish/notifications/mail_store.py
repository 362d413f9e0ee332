"""Which notice is mailed to whom, and how far the mail is. All by PostgreSQL's clock.

A mail goes from ``waiting`` to ``sending`` before the server is asked, so that a crash never sends a second one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import asyncpg
import uuid_utils

from ops.runtime.db import required
from publish.notifications.email import NoticeItem
from schema.states import NOTICE, NOTICE_MAIL

LOST_SECONDS = 600
"""Longer than handing over one message takes: a process that claimed one before that has died."""

_MAY = f"m.role IN ('owner', 'editor') AND u.disabled_at IS NULL AND {NOTICE.any_of('open')}"
_WAITING = NOTICE_MAIL.any_of("waiting")
_LISTED = f"""
SELECT n.tenant_id, n.id, m.user_id FROM notices n
JOIN memberships m ON m.tenant_id = n.tenant_id JOIN users u ON u.id = m.user_id WHERE {_MAY}"""


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person, claimed; ``tenant_name`` is None for whoever belongs to one tenant alone."""

    id: str
    tenant: str
    tenant_name: str | None
    email: str
    items: list[NoticeItem]


async def address_mails(connection: asyncpg.Connection) -> None:
    """Add a mail for each new notice and recipient, and delete those that need not be sent any more.

    Notices older than a day are not mailed: mail may have been set up only now.
    """
    await connection.execute(
        f"""
        INSERT INTO notice_mails (tenant_id, notice_id, user_id)
        {_LISTED} AND n.created_at > now() - interval '1 day' ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING"""
    )
    await connection.execute(
        f"""
        DELETE FROM notice_mails WHERE {_WAITING} AND (tenant_id, notice_id, user_id) NOT IN ({_LISTED})"""
    )


async def give_up_lost(connection: asyncpg.Connection) -> int:
    """Give up mails whose sender died and return their number: they may have been sent, so they are not sent again."""
    count: int = await connection.fetchval(
        f"""
        WITH lost AS (
            UPDATE notice_mails SET state = '{NOTICE_MAIL.target("lose")}'
            WHERE {NOTICE_MAIL.any_of("sending")} AND claimed_at < now() - make_interval(secs => $1) RETURNING mail_id)
        SELECT count(DISTINCT mail_id) FROM lost""",
        float(LOST_SECONDS),
    )
    return count


async def mail_due(connection: asyncpg.Connection) -> bool:
    found: bool = await connection.fetchval(
        f"SELECT EXISTS (SELECT FROM notice_mails WHERE {_WAITING} AND due_at <= now())"
    )
    return found


async def claim_mail(connection: asyncpg.Connection) -> Mail | None:
    """Claim every notice for one person as one mail; None where nothing is due, or others send it.

    An advisory lock for each person at a tenant keeps two processes from claiming a half each; a lock on the row of a
    membership would need the right to change it.
    """
    due = await connection.fetch(
        f"""
        SELECT m.tenant_id, m.user_id, u.email, t.name,
            (SELECT count(*) FROM memberships WHERE user_id = m.user_id) AS tenants
        FROM memberships m JOIN users u ON u.id = m.user_id JOIN tenants t ON t.id = m.tenant_id
        WHERE (m.tenant_id, m.user_id) IN (
            SELECT tenant_id, user_id FROM notice_mails WHERE {_WAITING} AND due_at <= now())"""
    )
    for whose in due:
        free = await connection.fetchval(
            "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", f"mail {whose['tenant_id']} {whose['user_id']}"
        )
        if free and (mail := await _claimed(connection, whose)) is not None:
            return mail
    return None


async def _claimed(connection: asyncpg.Connection, whose: asyncpg.Record) -> Mail | None:
    """Claim every notice for one person; None where another process has just claimed them."""
    id_ = str(uuid_utils.uuid7())
    rows = await connection.fetch(
        f"""
        WITH claimed AS (
            UPDATE notice_mails SET state = '{NOTICE_MAIL.target("claim")}', mail_id = $3::uuid, claimed_at = now()
            WHERE tenant_id = $1 AND user_id = $2 AND {NOTICE_MAIL.allows("claim")}
                AND (tenant_id, notice_id, user_id) IN ({_LISTED}) RETURNING tenant_id, notice_id)
        SELECT c.id::text, n.id::text, n.kind, c.platform, coalesce(nullif(c.username, ''), c.account_id), n.says
        FROM claimed JOIN notices n ON n.tenant_id = claimed.tenant_id AND n.id = claimed.notice_id
        JOIN connections c ON c.tenant_id = n.tenant_id AND c.id = n.connection_id
        ORDER BY n.created_at, n.id""",
        whose["tenant_id"],
        whose["user_id"],
        id_,
    )
    name = whose["name"] if whose["tenants"] > 1 else None
    return (
        Mail(id_, str(whose["tenant_id"]), name, whose["email"], [NoticeItem(*row) for row in rows]) if rows else None
    )


async def mailed(connection: asyncpg.Connection, mail: Mail, event: Literal["accept", "lose"]) -> None:
    """Note that the server accepted a mail, or that nobody knows whether it did."""
    await connection.execute(
        f"""
        UPDATE notice_mails SET state = '{NOTICE_MAIL.target(event)}', tries = tries + 1
        WHERE tenant_id = $1::uuid AND mail_id = $2::uuid AND {NOTICE_MAIL.allows(event)}""",
        mail.tenant,
        mail.id,
    )


async def mail_refused(connection: asyncpg.Connection, mail: Mail | None, pauses: Sequence[float]) -> tuple[int, int]:
    """Try a mail again after one of the pauses; all that are due where no server could be reached.

    Return how many mails that is, and how many more were tried for a day and are given up.
    """
    sending = NOTICE_MAIL.any_of("sending")
    whose = f"{sending} AND mail_id = $2::uuid" if mail else f"{_WAITING} AND due_at <= now() AND $2 = ''"
    again, over = NOTICE_MAIL.target("retry"), NOTICE_MAIL.target("give_up")
    row = required(
        await connection.fetchrow(
            f"""
        WITH refused AS (
            UPDATE notice_mails w SET tries = tries + 1, claimed_at = NULL, mail_id = NULL,
                state = CASE WHEN created_at < now() - interval '1 day' THEN '{over}' ELSE '{again}' END,
                due_at = now() + make_interval(secs => ($1::float8[])[least(cardinality($1), 1 + (
                    SELECT max(tries) FROM notice_mails same
                    WHERE same.tenant_id = w.tenant_id AND same.user_id = w.user_id
                        AND same.state = w.state AND same.mail_id IS NOT DISTINCT FROM w.mail_id))])
            WHERE {whose} RETURNING tenant_id, user_id, state)
        SELECT count(DISTINCT (tenant_id, user_id)) FILTER (WHERE state = '{again}'),
            count(DISTINCT (tenant_id, user_id)) FILTER (WHERE state = '{over}') FROM refused""",
            list(pauses),
            mail.id if mail else "",
        )
    )
    return row[0], row[1]
