"""Hand messages to a mail server, with one of three results: accepted, refused, unknown."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as WIRE

import aiosmtplib
from aiosmtplib import SMTPDataError, SMTPException, SMTPResponseException

from ops.runtime.mailserver import MailServer

ANSWER_SECONDS, QUIT_SECONDS = 15.0, 2.0
ACCEPT_SECONDS = 60.0
"""Servers look through a message before they accept it; what is not answered until then may have been sent."""


class Refused(Exception):  # noqa: N818  an answer
    """The server has certainly not accepted it; the text is a kind and a code, never what the server said."""


class Lost(Exception):  # noqa: N818  an answer
    """It was handed over, and no answer came: it may have been accepted."""


class Session:
    """One conversation with the server, for any number of messages."""

    def __init__(self, smtp: aiosmtplib.SMTP) -> None:
        self._smtp = smtp

    @property
    def open(self) -> bool:
        return self._smtp.is_connected

    async def send(self, sender: str, to: str, message: bytes) -> None:
        """Send a message; return when the server has accepted it. Raises Refused or Lost."""
        try:
            await self._smtp.mail(sender)
            await self._smtp.rcpt(to)
        except (SMTPException, OSError, ValueError) as error:
            raise await self._refused(error) from None
        try:
            await self._smtp.data(message, timeout=ACCEPT_SECONDS)
        except SMTPDataError as error:
            if error.code < 400:
                self._smtp.close()
                raise Lost(_named(error)) from None
            raise await self._refused(error) from None
        except (SMTPException, OSError) as error:
            self._smtp.close()
            raise Lost(_named(error)) from None

    async def _refused(self, error: Exception) -> Refused:
        """Reset the session for the next message and return what to raise."""
        if isinstance(error, SMTPResponseException | ValueError):
            with suppress(SMTPException, OSError):
                await self._smtp.rset()
                return Refused(_named(error))
        self._smtp.close()
        return Refused(_named(error))


class Mailer:
    """Connects to the server. ``tls`` is for a server whose certificate this machine does not know."""

    def __init__(self, server: MailServer, sender: str, tls: ssl.SSLContext | None = None) -> None:
        self.sender = sender
        self._server = server
        self._tls = tls

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Session]:
        """Open a session. Raises Refused where the server cannot be reached, or cannot be trusted with the password."""
        server = self._server
        smtp = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password,
            timeout=ANSWER_SECONDS,
            use_tls=server.tls,
            start_tls=True if server.demands_tls and not server.tls else None,
            tls_context=self._tls,
            # A server on this machine has as a rule a certificate that nobody signed, and nobody is in between.
            validate_certs=not server.here,
        )
        try:
            await smtp.connect()
        except (SMTPException, OSError, ValueError) as error:
            raise Refused(_named(error)) from None
        try:
            yield Session(smtp)
            with suppress(SMTPException, OSError):  # a cancelled task does not wait for QUIT
                await smtp.quit(timeout=QUIT_SECONDS)
        finally:
            smtp.close()

    def message(self, id_: str, to: str, subject: str, text: str, at: datetime) -> bytes:
        """Build a message. Raises Refused where it cannot be addressed."""
        domain = self.sender.rpartition("@")[2]
        message = EmailMessage(policy=WIRE)
        try:
            user, _, host = to.rpartition("@")
            message["To"] = Address(username=user, domain=host.encode("idna").decode())
            message["From"] = Address("Landfall", addr_spec=self.sender)
            message["Subject"] = subject
        except ValueError as error:
            raise Refused(_named(error)) from None
        message["Date"] = at
        message["Message-ID"] = f"<{id_}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text, cte="quoted-printable")
        return message.as_bytes()


def _named(error: BaseException) -> str:
    if isinstance(error.__cause__, ssl.SSLError):
        error = error.__cause__
    code = getattr(error, "code", None)
    return f"{error.__class__.__name__}{f' {code}' if code else ''}"
