"""Mailing a link to whoever is invited, so that nobody else ever has it."""

import asyncio
from datetime import UTC, datetime

import structlog
import uuid_utils

from ops.runtime.mail import Lost, Mailer, Refused
from ops.runtime.text import excerpt

SECONDS = 25.0
"""For the whole conversation with the server: somebody waits for the page."""

NAME, WORDS = 80, 500
"""Characters."""

log = structlog.get_logger()


class NotSent(Exception):  # noqa: N818  an answer
    """The server did not take it; the text is a kind and a code."""


async def send(
    mailer: Mailer, email: str, tenant: str, role: str, inviter: str | None, address: str, until: datetime
) -> None:
    """Hand the link over to the mail server. Raises NotSent, also where nobody knows whether it took it."""
    subject, text = invitation_letter(tenant, role, inviter, address, until)
    id_ = str(uuid_utils.uuid7())
    try:
        async with asyncio.timeout(SECONDS), mailer.session() as session:
            message = mailer.message(id_, email, subject, text, datetime.now(UTC))
            await session.send(mailer.sender, email, message)
    except (Refused, Lost, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        log.warning("invitation.not_mailed", mail=id_, error=reason)
        raise NotSent(reason) from None
    log.info("invitation.mailed", mail=id_)


def invitation_letter(tenant: str, role: str, inviter: str | None, address: str, until: datetime) -> tuple[str, str]:
    """Subject and text for whoever is invited; ``inviter`` is None for whoever runs the install."""
    name = excerpt(tenant, NAME)
    by = excerpt(inviter, WORDS) if inviter else "Whoever runs this Landfall"
    text = [
        f"{by} invites you to {name}, as {role}. To accept, open",
        "",
        address,
        "",
        f"The link works once, until {until:%d %B %Y %H:%M} UTC. Whoever has it can use it: give it to nobody.",
        "If you do not know what this is about, do nothing, and nothing happens.",
    ]
    return f"Invitation to {name}", "\n".join(text) + "\n"
