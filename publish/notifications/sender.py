"""Send notices by mail: once each, several in one mail, and never again where it is unknown whether one was sent."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

import structlog

from ops.access.audit_log_store import WORKER, audit
from ops.runtime import metrics
from ops.runtime.db import Pool, describe
from ops.runtime.faultpoint import faultpoint
from ops.runtime.mail import Lost, Mailer, Refused, Session
from ops.runtime.periodic import RetryPolicy, stopped
from ops.runtime.tenancy import ALL_TENANTS, tenant_transaction
from publish.notifications import mail_store
from publish.notifications.email import compose
from publish.notifications.mail_store import Mail
from schema.states import NOTICE_MAIL

LOOK_SECONDS = 30.0
RETRIES = RetryPolicy((60, 300, 1800, 3600))
"""Pauses after a refusal; the last one is repeated for a day."""

OUTCOMES = ("sent", "refused", "unknown", "given_up")

log = structlog.get_logger()


class NoticeSender:
    def __init__(self, pool: Pool, mailer: Mailer, titles: Mapping[str, str], url: str) -> None:
        self._pool = pool
        self._mailer = mailer
        self._titles = titles
        self._url = url
        for outcome in OUTCOMES:  # a first failure is an increase only from a zero that was seen
            metrics.of(metrics.mails, outcome)

    async def sweep(self, stop: asyncio.Event) -> None:
        """Mail what is due until ``stop`` is set."""
        while not stop.is_set():
            try:
                await self.round(stop)
            except Exception as error:  # noqa: BLE001  the database's trouble passes; the sweep must outlive it
                log.warning("mail.round_failed", error=describe(error))
            await stopped(stop, LOOK_SECONDS)

    async def round(self, stop: asyncio.Event) -> None:
        """Mail what is due now. No transaction is open while a server is asked."""
        async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
            await mail_store.address_mails(connection)
            _count("unknown", await mail_store.give_up_lost(connection))
        while not stop.is_set() and await self._due():
            handed_over = 0
            try:
                async with self._mailer.session() as session:
                    while session.open:
                        mail = None if stop.is_set() else await self._claimed()
                        if mail is None:
                            return
                        await self._deliver(session, mail)
                        handed_over += 1
            except Refused as error:
                await self._refused(None, error)
                return
            if not handed_over:
                await self._refused(None, Refused("hung up"))
                return

    async def _due(self) -> bool:
        async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
            return await mail_store.mail_due(connection)

    async def _claimed(self) -> Mail | None:
        async with tenant_transaction(self._pool, ALL_TENANTS) as connection:
            return await mail_store.claim_mail(connection)

    async def _deliver(self, session: Session, mail: Mail) -> None:
        faultpoint("publish.mail_claimed")
        subject, text = compose(mail.items, self._titles, self._url, mail.tenant_name)
        try:
            message = self._mailer.message(mail.id, mail.email, subject, text, datetime.now(UTC))
            await session.send(self._mailer.sender, mail.email, message)
        except Refused as error:
            await self._refused(mail, error)
            return
        except Lost as error:
            await self._settled(mail, "lose")
            log.warning("mail.unknown", mail=mail.id, error=str(error))
            return
        faultpoint("publish.mail_accepted")
        await self._settled(mail, "accept")
        log.info("mail.sent", mail=mail.id, notices=len(mail.items))

    async def _settled(self, mail: Mail, event: Literal["accept", "lose"]) -> None:
        async with tenant_transaction(self._pool, mail.tenant) as connection:
            await mail_store.mailed(connection, mail, event)
            for item in mail.items if event == "accept" else ():
                subject = item.connection
                await audit(connection, mail.tenant, WORKER, "notice.mailed", subject, kind=item.kind)
        _count(NOTICE_MAIL.target(event), 1)

    async def _refused(self, mail: Mail | None, error: Refused) -> None:
        async with tenant_transaction(self._pool, mail.tenant if mail else ALL_TENANTS) as connection:
            again, given_up = await mail_store.mail_refused(connection, mail, RETRIES.delays)
        _count("refused", again + given_up)
        _count(NOTICE_MAIL.target("give_up"), given_up)
        log.warning("mail.refused", mail=mail and mail.id, mails=again, given_up=given_up, error=str(error))


def _count(outcome: str, mails: int) -> None:
    metrics.of(metrics.mails, outcome).inc(mails)
