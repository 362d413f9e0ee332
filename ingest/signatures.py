"""Verify signatures by schemes that are data. Nothing is parsed before a signature is verified."""

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from ingest.errors import Forged, NotConfigured
from schema.configuration import Variable

FUTURE_SECONDS = 300
"""How far ahead of ours a platform's clock may be."""


@dataclass(frozen=True, slots=True)
class Hmac:
    """HMAC-SHA256 of the raw body in a header.

    ``secrets`` are candidates in order: platforms do not always say which of an app's secrets signs. ``prefix``
    stands before the digest in the header; ``signed_prefix`` before the body in what is signed. The prefix and a
    hexadecimal digest are read in either case and with white space around them; base64 is case-sensitive.
    """

    header: str
    secrets: tuple[Variable, ...]
    prefix: str = ""
    prefix_optional: bool = False
    signed_prefix: bytes = b""
    base64: bool = False


@dataclass(frozen=True, slots=True)
class TimestampedHmac:
    """HMAC-SHA256 of ``<t>.<body>``; the header is ``t=<unix seconds>,s=<hex>``, read in either case.

    ``future`` seconds ahead are accepted as clock skew. ``horizon`` seconds back is as long as the platform retries:
    an older signature is genuine but no retry, so the delivery is quarantined, never dropped.
    """

    header: str
    secrets: tuple[Variable, ...]
    horizon: int
    future: int = FUTURE_SECONDS


Scheme = Hmac | TimestampedHmac


class Verified(NamedTuple):
    """``secret_used`` is the variable's name and which of its values matched, as ``NAME#1``."""

    secret_used: str
    signed_at: datetime | None = None
    stale: bool = False


def insist_present(scheme: Scheme, headers: Mapping[str, str]) -> None:
    """Check that the signature's header is there, before the body is read. Raises Forged."""
    if scheme.header not in headers:
        raise Forged(f"the {scheme.header} header is missing", "missing")


def verify(
    scheme: Scheme,
    headers: Mapping[str, str],
    body: bytes,
    variables: Mapping[str, tuple[str, ...]],
    now: datetime,
) -> Verified:
    """Return which secret signed ``body``. Raises NotConfigured without any secret, Forged if none fits."""
    secrets = [
        (f"{variable.name}#{position}", value)
        for variable in scheme.secrets
        for position, value in enumerate(variables.get(variable.name, ()), start=1)
    ]
    if not secrets:
        names = " or ".join(variable.name for variable in scheme.secrets)
        raise NotConfigured(f"no secret is configured for this platform: {names} is not set")
    insist_present(scheme, headers)
    header = headers[scheme.header]
    if isinstance(scheme, Hmac):
        given = _digest_in(scheme, header)
        return Verified(_match(secrets, given, scheme.signed_prefix, body, as_base64=scheme.base64))
    return _verify_timestamped(scheme, header, body, secrets, now)


def _digest_in(scheme: Hmac, header: str) -> bytes:
    # The header may hold any byte; work on bytes, so that none of them can raise and only ASCII letters change case.
    digest = header.strip().encode("utf-8", "surrogatepass")
    prefix = scheme.prefix.encode()
    if prefix and digest[: len(prefix)].lower() == prefix.lower():
        digest = digest[len(prefix) :]
    elif prefix and not scheme.prefix_optional:
        raise Forged(f"the {scheme.header} header does not begin with {scheme.prefix}", "malformed")
    digest = digest.strip()
    return digest if scheme.base64 else digest.lower()


def _match(secrets: list[tuple[str, str]], given: bytes, prefix: bytes, body: bytes, *, as_base64: bool = False) -> str:
    message = prefix + body if prefix else body
    for name, secret in secrets:
        digest = hmac.digest(secret.encode(), message, "sha256")
        expected = base64.b64encode(digest) if as_base64 else digest.hex().encode()
        if hmac.compare_digest(expected, given):
            return name
    raise Forged("the signature fits none of the configured secrets", "mismatch")


def _verify_timestamped(
    scheme: TimestampedHmac, header: str, body: bytes, secrets: list[tuple[str, str]], now: datetime
) -> Verified:
    pairs = (part.split("=", 1) for part in header.split(",") if "=" in part)
    parts = {name.strip().lower(): value.strip() for name, value in pairs}
    stamp, digest = parts.get("t", ""), parts.get("s", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 11 and digest):  # 11 digits reach the year 5138
        raise Forged(f"the {scheme.header} header is not of the form t=<seconds>,s=<hex>", "malformed")
    given = digest.encode("utf-8", "surrogatepass").lower()
    secret_used = _match(secrets, given, stamp.encode() + b".", body)
    signed_at = datetime.fromtimestamp(int(stamp), UTC)
    age = (now - signed_at).total_seconds()
    if age < -scheme.future:
        raise Forged(
            f"the signature is dated {-age:.0f} s in the future; check this machine's clock",
            "from_the_future",
        )
    return Verified(secret_used, signed_at, stale=age > scheme.horizon)
