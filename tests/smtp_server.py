"""A real mail server on loopback, whose behaviour a test can choose."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ops.runtime.embedded import free_port


@dataclass
class ReceivedMail:
    """A message as it was received."""

    to: str
    secure: bool
    user: str | None
    raw: bytes

    @property
    def message(self) -> EmailMessage:
        return message_from_bytes(self.raw, policy=policy.default)  # type: ignore[return-value]

    @property
    def text(self) -> str:
        return str(self.message.get_content()).replace("\r\n", "\n")


@dataclass
class SmtpServer:
    """``refuses`` are people; ``answer`` is what a message gets; ``drops`` is how many connections break after one."""

    port: int = field(default_factory=free_port)
    received: list[ReceivedMail] = field(default_factory=list)
    refuses: set[str] = field(default_factory=set)
    answer: str = "250 OK"
    drops: int = 0
    password: str = ""
    tls: ssl.SSLContext | None = None
    connections: int = 0
    slow: float = 0.0

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuses:
            return "550 5.1.1 nobody of that name, says canary-of-the-server"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.slow)
        if self.answer.startswith("2"):
            user = session.auth_data.decode() if session.auth_data else None
            assert isinstance(envelope.content, bytes)
            [to] = envelope.rcpt_tos
            self.received.append(ReceivedMail(to, session.ssl is not None, user, envelope.content))
        if self.drops:
            self.drops -= 1
            assert server.transport is not None
            server.transport.abort()
        return self.answer

    def _authenticate(self, server: SMTP, session: Session, envelope: Envelope, way: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        good = given.password.decode() == self.password
        return AuthResult(success=good, handled=good, auth_data=given.login)

    @asynccontextmanager
    async def open(self, implicit: ssl.SSLContext | None = None) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        held = []

        def conversation() -> SMTP:
            self.connections += 1
            smtp = SMTP(
                self,
                hostname="mail.example",
                loop=loop,
                tls_context=self.tls,
                authenticator=self._authenticate if self.password else None,
                auth_require_tls=False,
            )
            held.append(smtp)
            return smtp

        server = await loop.create_server(conversation, "127.0.0.1", self.port, ssl=implicit)
        try:
            yield
        finally:
            server.close()
            for smtp in held:
                if smtp.transport is not None:
                    smtp.transport.abort()

    def to(self) -> list[str]:
        return sorted(mail.to for mail in self.received)


def certified(directory: Path, names: Iterable[str]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS and that of a client who trusts it."""
    import ipaddress

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example")])
    now = datetime.now(UTC)
    alternatives = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name)) for name in names])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "mail.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))
