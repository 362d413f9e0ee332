"""Passkeys (WebAuthn) as a second factor: register one, and verify that somebody holds it.

A challenge is kept for one session or one pending login, until it is used once or expires. ``webauthn`` (py_webauthn)
checks what a browser sends; which user a passkey belongs to, and that its counter only grows, is checked here.

The library is imported when somebody first uses a passkey, which takes 70 ms once: with what it needs it has 7 MB, a
tenth of the web process, and many installs never use it.
"""

import secrets
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING

import asyncpg
import uuid_utils

from ops.access import passkey_store
from ops.access.second_factor import ISSUER, MAX_PER_KIND
from ops.access.tokens import digest
from ops.runtime.origins import DEFAULT_PORTS, origin_of

if TYPE_CHECKING:
    from webauthn.helpers.cose import COSEAlgorithmIdentifier
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

CHALLENGE_MINUTES = 5
MAX_KEY_BYTES, MAX_ID_BYTES = 1100, 1023
"""An RSA key of 8192 bits, beyond which a signature costs too much to check; an id as WebAuthn 4 bounds it."""


class PasskeyRejectedError(Exception):
    """Raised where a passkey cannot be added. The text says why, in sentences."""


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """The site, in WebAuthn's terms: its host, and the origin that browsers write into what they sign."""

    id: str
    origin: str


def relying_party(site: str) -> RelyingParty | None:
    """Return the relying party of the public address, or None where browsers offer no passkeys.

    WebAuthn needs a domain for the id and a secure context, which ``localhost`` is without https too.
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


async def registration_options(
    connection: asyncpg.Connection, party: RelyingParty, user: str, email: str, session: str
) -> str:
    """Return the options for the browser, as JSON, with a challenge that only this session can answer."""
    import webauthn
    from webauthn.helpers.structs import (
        AuthenticatorSelectionCriteria,
        ResidentKeyRequirement,
        UserVerificationRequirement,
    )

    options = webauthn.generate_registration_options(
        rp_id=party.id,
        rp_name=ISSUER,
        user_id=uuid_utils.UUID(user).bytes,
        user_name=email,
        challenge=await _new_challenge(connection, "register", session),
        timeout=CHALLENGE_MINUTES * 60_000,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED,
            user_verification=UserVerificationRequirement.PREFERRED,
        ),
        exclude_credentials=_descriptors(await passkey_store.credential_ids(connection, user)),
        supported_pub_key_algs=_algorithms(),
    )
    return webauthn.options_to_json(options)


async def take_registration_challenge(connection: asyncpg.Connection, session: str) -> bytes | None:
    """Use up the challenge of a registration and return it; None if there is none, or it expired."""
    return await passkey_store.take_challenge(connection, _binding("register", session))


async def register(
    connection: asyncpg.Connection, party: RelyingParty, user: str, name: str, challenge: bytes, credential: str
) -> None:
    """Keep a passkey. Raises PasskeyRejectedError."""
    import webauthn

    try:
        found = webauthn.verify_registration_response(
            credential=credential,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            supported_pub_key_algs=_algorithms(),
        )
    except Exception:  # noqa: BLE001  hostile bytes fail in many ways, in several libraries
        raise PasskeyRejectedError("What the browser sent is no passkey for this site. Try again.") from None
    if len(found.credential_public_key) > MAX_KEY_BYTES or len(found.credential_id) > MAX_ID_BYTES:
        raise PasskeyRejectedError("The key of this passkey is too long. Use another passkey.")
    if await passkey_store.count(connection, user) >= MAX_PER_KIND:
        raise PasskeyRejectedError(f"There are {MAX_PER_KIND} passkeys already. Remove one first.")
    inserted = await passkey_store.insert(
        connection, user, name, found.credential_id, found.credential_public_key, found.sign_count
    )
    if not inserted:
        raise PasskeyRejectedError("This passkey is in use here already.")


async def authentication_options(
    connection: asyncpg.Connection, party: RelyingParty, user: str, pending: str
) -> str | None:
    """Return the options for the browser, as JSON, with a challenge for this pending login alone.

    None for a user without a passkey.
    """
    ids = await passkey_store.credential_ids(connection, user)
    if not ids:
        return None
    import webauthn
    from webauthn.helpers.structs import UserVerificationRequirement

    options = webauthn.generate_authentication_options(
        rp_id=party.id,
        challenge=await _new_challenge(connection, "login", pending),
        timeout=CHALLENGE_MINUTES * 60_000,
        allow_credentials=_descriptors(ids),
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return webauthn.options_to_json(options)


async def verify(
    connection: asyncpg.Connection, user: str, *, party: RelyingParty, pending: str, credential: str
) -> str | None:
    """Return ``passkey`` if the user signed the challenge of this pending login with one of theirs, else None.

    The challenge is used up either way.
    """
    challenge = await passkey_store.take_challenge(connection, _binding("login", pending))
    if challenge is None:
        return None
    import webauthn

    try:
        parsed = webauthn.helpers.parse_authentication_credential_json(credential)
    except Exception:  # noqa: BLE001  hostile bytes fail in many ways, in several libraries
        return None
    passkey = await passkey_store.lock(connection, user, parsed.raw_id)
    if passkey is None:
        return None
    try:
        found = webauthn.verify_authentication_response(
            credential=parsed,
            expected_challenge=challenge,
            expected_rp_id=party.id,
            expected_origin=party.origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.sign_count,  # one that does not grow is a copy (WebAuthn 6.1.1)
        )
    except Exception:  # noqa: BLE001  as above
        return None
    await passkey_store.mark_used(connection, passkey.id, found.new_sign_count)
    return "passkey"


def _algorithms() -> "list[COSEAlgorithmIdentifier]":
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    return [
        COSEAlgorithmIdentifier.ECDSA_SHA_256,
        COSEAlgorithmIdentifier.EDDSA,
        COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
    ]


def _descriptors(ids: list[bytes]) -> "list[PublicKeyCredentialDescriptor]":
    from webauthn.helpers.structs import PublicKeyCredentialDescriptor

    return [PublicKeyCredentialDescriptor(id=id_) for id_ in ids]


async def _new_challenge(connection: asyncpg.Connection, purpose: str, bound_to: str) -> bytes:
    challenge = secrets.token_bytes(32)
    await passkey_store.save_challenge(connection, _binding(purpose, bound_to), challenge, CHALLENGE_MINUTES)
    return challenge


def _binding(purpose: str, bound_to: str) -> bytes:
    return digest(f"{purpose}:{bound_to}")
