"""Passkeys (WebAuthn) as a second factor: registering one, and proving to hold it.

A challenge is kept here, for one session or one pending login, until it is used once or its minutes are over. What a
browser sends is judged by ``webauthn`` (py_webauthn); which person a passkey belongs to, and that its counter only
grows, is judged here.
"""

import hashlib
import secrets
from dataclasses import dataclass
from ipaddress import ip_address

import asyncpg
import uuid_utils
import webauthn
from webauthn.helpers import options_to_json
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from ops.access.second_factor import ISSUER, MOST
from ops.runtime.origins import DEFAULT_PORTS, origin_of

CHALLENGE_MINUTES = 5
ALGORITHMS = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256,
    COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]
LONGEST_KEY, LONGEST_ID = 1100, 1023
"""Bytes: an RSA key of 8192 bits, beyond which a signature costs too much to check; an id as WebAuthn 4 bounds it."""


class Refused(Exception):  # noqa: N818  an answer
    """A passkey cannot be added; the text says why."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The site as WebAuthn has it: its host, and the origin that browsers write into what they sign."""

    id: str
    origin: str


def relying_party(site: str) -> RelyingParty | None:
    """Of the public address; None where browsers offer no passkeys: at an address without a name, or without https.

    WebAuthn wants a domain for the id and a secure context, which ``localhost`` is without https too.
    """
    found = origin_of(site)
    if found is None:
        return None
    local = found.host == "localhost" or found.host.endswith(".localhost")
    if found.scheme != "https" and not local:
        return None
    try:
        ip_address(found.host)
    except ValueError:
        port = "" if found.port == DEFAULT_PORTS[found.scheme] else f":{found.port}"
        return RelyingParty(found.host, f"{found.scheme}://{found.host}{port}")
    return None


async def registration(connection: asyncpg.Connection, party: RelyingParty, user: str, email: str, session: str) -> str:
    """The options for the browser, as JSON, with a challenge that only this session can answer."""
    own = await _credentials(connection, user)
    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=ISSUER,
        user_id=uuid_utils.UUID(user).bytes,
        user_name=email,
        challenge=await _challenge(connection, "register", session),
        timeout=CHALLENGE_MINUTES * 60_000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=own,
        supported_pub_key_algs=ALGORITHMS,
    )
    return options_to_json(options)


async def taken_registration(connection: asyncpg.Connection, session: str) -> bytes | None:
    """The challenge of a registration, which is used up now; None where there is none, or it is too old."""
    return await _taken(connection, "register", session)


async def register(
    connection: asyncpg.Connection, party: RelyingParty, user: str, name: str, challenge: bytes, credential: str
) -> None:
    """Keep a passkey. Raises Refused."""
    try:
        found = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            supported_pub_key_algs=ALGORITHMS,
        )
    except Exception:  # noqa: BLE001  hostile bytes fail in many ways, in several libraries
        raise Refused("What the browser sent is no passkey for this site. Try again.") from None
    if len(found.credential_public_key) > LONGEST_KEY or len(found.credential_id) > LONGEST_ID:
        raise Refused("The key of this passkey is longer than any that is taken here. Use another one.")
    if await connection.fetchval("SELECT count(*) FROM passkeys WHERE user_id = $1::uuid", user) >= MOST:
        raise Refused(f"There are {MOST} passkeys already; remove one first.")
    kept = await connection.fetchval(
        """
        INSERT INTO passkeys (id, user_id, name, credential_id, public_key, sign_count)
        VALUES ($1::uuid, $2::uuid, $3, $4, $5, $6) ON CONFLICT (credential_id) DO NOTHING RETURNING true""",
        str(uuid_utils.uuid7()),
        user,
        name,
        found.credential_id,
        found.credential_public_key,
        found.sign_count,
    )
    if not kept:
        raise Refused("This passkey is in use here already.")


async def authentication(connection: asyncpg.Connection, party: RelyingParty, user: str, pending: str) -> str | None:
    """The options for the browser, as JSON, with a challenge for this pending login alone; None without a passkey."""
    own = await _credentials(connection, user)
    if not own:
        return None
    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=await _challenge(connection, "login", pending),
        timeout=CHALLENGE_MINUTES * 60_000,
        allow_credentials=own,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return options_to_json(options)


async def prove(
    connection: asyncpg.Connection, user: str, *, party: RelyingParty, pending: str, credential: str
) -> str | None:
    """``passkey`` where the person holds one and the challenge of this pending login was signed with it, else None.

    The challenge is used up either way.
    """
    challenge = await _taken(connection, "login", pending)
    if challenge is None:
        return None
    try:
        parsed = webauthn.helpers.parse_authentication_credential_json(credential)
    except Exception:  # noqa: BLE001  hostile bytes fail in many ways, in several libraries
        return None
    row = await connection.fetchrow(
        """
        SELECT id::text, public_key, sign_count FROM passkeys WHERE credential_id = $1 AND user_id = $2::uuid
        FOR UPDATE""",
        parsed.raw_id,
        user,
    )
    if row is None:
        return None
    try:
        found = webauthn.verify_authentication_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=row["public_key"],
            credential_current_sign_count=row["sign_count"],  # a counter that does not grow is a copy (WebAuthn 6.1.1)
        )
    except Exception:  # noqa: BLE001  as above
        return None
    await connection.execute(
        "UPDATE passkeys SET sign_count = $2, last_used_at = now() WHERE id = $1::uuid", row["id"], found.new_sign_count
    )
    return "passkey"


async def _credentials(connection: asyncpg.Connection, user: str) -> list[PublicKeyCredentialDescriptor]:
    rows = await connection.fetch("SELECT credential_id FROM passkeys WHERE user_id = $1::uuid ORDER BY id", user)
    return [PublicKeyCredentialDescriptor(id=row["credential_id"]) for row in rows]


async def _challenge(connection: asyncpg.Connection, purpose: str, bound: str) -> bytes:
    """A new one in the place of the one before."""
    challenge = secrets.token_bytes(32)
    await connection.execute(
        """
        INSERT INTO webauthn_challenges (bound_sha256, challenge, expires_at)
        VALUES ($1, $2, now() + make_interval(mins => $3))
        ON CONFLICT (bound_sha256) DO UPDATE SET challenge = excluded.challenge, expires_at = excluded.expires_at""",
        _bound(purpose, bound),
        challenge,
        CHALLENGE_MINUTES,
    )
    return challenge


async def _taken(connection: asyncpg.Connection, purpose: str, bound: str) -> bytes | None:
    row = await connection.fetchrow(
        "DELETE FROM webauthn_challenges WHERE bound_sha256 = $1 RETURNING challenge, expires_at > now() AS live",
        _bound(purpose, bound),
    )
    return row["challenge"] if row is not None and row["live"] else None


def _bound(purpose: str, bound: str) -> bytes:
    return hashlib.sha256(f"{purpose}:{bound}".encode()).digest()
