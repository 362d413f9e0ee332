"""Mail a link to whoever is invited, so that nobody else ever has it."""

import asyncio
from datetime import UTC, datetime

import structlog
import uuid_utils

from ops.access.invitations import NewInvitation
from ops.runtime.mail import Lost, Mailer, Refused
from ops.runtime.text import excerpt

TIMEOUT_SECONDS = 25.0
"""For the whole conversation with the server: somebody waits for the page."""

MAX_NAME, MAX_INVITER = 80, 500
"""Characters."""

log = structlog.get_logger()


class MailNotSentError(Exception):
    """Raised where the mail server did not take a mail, or may not have. The text is a kind and a code."""


async def send(mailer: Mailer, invitation: NewInvitation, tenant: str, inviter: str | None, url: str) -> None:
    """Hand the link over to the mail server. Raises MailNotSentError.

    ``tenant`` is a name, ``inviter`` an address or None for whoever runs the installation.
    """
    subject, text = compose(invitation, tenant, inviter, url)
    id_ = str(uuid_utils.uuid7())
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS), mailer.session() as session:
            message = mailer.message(id_, invitation.email, subject, text, datetime.now(UTC))
            await session.send(mailer.sender, invitation.email, message)
    except (Refused, Lost, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        log.warning("invitation.not_mailed", mail=id_, error=reason)
        raise MailNotSentError(reason) from None
    log.info("invitation.mailed", mail=id_)


def compose(invitation: NewInvitation, tenant: str, inviter: str | None, url: str) -> tuple[str, str]:
    """Return the subject and the text of the mail."""
    name = excerpt(tenant, MAX_NAME)
    by = excerpt(inviter, MAX_INVITER) if inviter else "Whoever runs this Landfall"
    expires = f"{invitation.expires_at:%d %B %Y %H:%M} UTC"
    text = [
        f"{by} invites you to {name}, as {invitation.role}. To accept, open",
        "",
        url,
        "",
        f"The link works once, until {expires}. Whoever has it can use it: give it to nobody.",
        "If you do not know what this is about, do nothing, and nothing happens.",
    ]
    return f"Invitation to {name}", "\n".join(text) + "\n"
