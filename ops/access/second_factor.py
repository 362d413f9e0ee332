"""Second factors of a user: codes of an authenticator app (TOTP, RFC 6238), and recovery codes.

Passkeys, in ``ops/access/passkeys.py``, are the other kind. A user has a second factor from the moment that a first
code of an app was right, or that a passkey was registered.
"""

import base64
import hmac
import re
import secrets
import time
from dataclasses import dataclass

import asyncpg
import pyotp
import uuid_utils

from ops.access import second_factor_store
from ops.access.tokens import digest
from schema.sealing import Place, Sealer

STEP_SECONDS = 30
WINDOW_STEPS = 1
"""By how many steps the clock of a phone may be off, either way (RFC 6238 5.2)."""

CONFIRM_MINUTES = 15
"""For the first code of an app that is being added."""

MAX_PER_KIND = 10
"""How many factors of each kind a user has."""

RECOVERY_CODES = 10
ISSUER = "Landfall"

_DIGITS, _RECOVERY = re.compile(r"[0-9]{6}"), re.compile(r"[a-z2-7]{16}")
_GROUP = 4


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An app that is being added. ``secret`` is what it has to hold, ``uri`` the same for it to scan."""

    id: str
    secret: str
    uri: str


def totp_place(user: str, factor: str) -> Place:
    return Place("", f"user:{user}", f"totp:{factor}")


async def add_totp(connection: asyncpg.Connection, vault: Sealer, user: str, email: str, name: str) -> Enrolment | None:
    """Add an app that counts for nothing yet, in place of one that was not confirmed.

    None where the user has :data:`MAX_PER_KIND`.
    """
    await second_factor_store.delete_unconfirmed_apps(connection, user)
    if await second_factor_store.count_apps(connection, user) >= MAX_PER_KIND:
        return None
    id_, secret = str(uuid_utils.uuid7()), pyotp.random_base32()
    await second_factor_store.insert_app(connection, id_, user, name, vault.seal(secret, totp_place(user, id_)))
    return Enrolment(id_, secret, pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER))


async def confirm_totp(connection: asyncpg.Connection, vault: Sealer, user: str, id_: str, code: str) -> str | None:
    """Confirm an app, which counts from now on. Return its name, or None for a wrong code.

    Raises KeyError where no app of this id waits for a code.
    """
    app = await second_factor_store.lock_unconfirmed_app(connection, user, id_, CONFIRM_MINUTES)
    if app is None:
        raise KeyError(id_)
    step = _step(vault.open(app.sealed_secret, totp_place(user, id_)), _normalize(code), None)
    if step is None:
        return None
    await second_factor_store.confirm_app(connection, id_, step)
    return app.name


def is_totp_code(code: str) -> bool:
    """Return whether this looks like a code of an authenticator app, not like a recovery code."""
    return bool(_DIGITS.fullmatch(_normalize(code)))


async def verify_code(connection: asyncpg.Connection, user: str, *, vault: Sealer | None, code: str) -> str | None:
    """Spend a code. Return its kind, or None if it is wrong.

    Without a ``vault`` no code of an authenticator app can be right.
    """
    normal = _normalize(code)
    if _DIGITS.fullmatch(normal):
        right = vault is not None and await _verify_totp(connection, vault, user, normal)
        return "totp" if right else None
    if _RECOVERY.fullmatch(normal):
        used = await second_factor_store.use_recovery_code(connection, user, digest(normal))
        return "recovery_code" if used else None
    return None


async def _verify_totp(connection: asyncpg.Connection, vault: Sealer, user: str, code: str) -> bool:
    for app in await second_factor_store.lock_apps(connection, user):
        step = _step(vault.open(app.sealed_secret, totp_place(user, app.id)), code, app.last_step)
        if step is not None:
            await second_factor_store.mark_app_used(connection, app.id, step)
            return True
    return False


def current_step() -> int:
    return int(time.time()) // STEP_SECONDS


def _step(secret: str, code: str, last: int | None) -> int | None:
    """Return the time step of a code, among those later than ``last``: a code works once (RFC 6238 5.2)."""
    totp, now, found = pyotp.TOTP(secret, interval=STEP_SECONDS), current_step(), None
    for step in range(now - WINDOW_STEPS, now + WINDOW_STEPS + 1):
        if hmac.compare_digest(totp.generate_otp(step), code) and (last is None or step > last):
            found = step
    return found


async def make_recovery_codes(connection: asyncpg.Connection, user: str) -> list[str]:
    """Replace all recovery codes. Return the new ones, to be shown once."""
    codes = [base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    await second_factor_store.replace_recovery_codes(connection, user, [digest(code) for code in codes])
    return ["-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP)) for code in codes]


async def remove(connection: asyncpg.Connection, user: str, id_: str) -> str | None:
    """Remove a factor. Return its kind, or None if the user has none of this id.

    The recovery codes end with the last factor: they stand in for one that is lost.
    """
    kind = await second_factor_store.delete(connection, user, id_)
    if kind is not None and not await second_factor_store.has_factor(connection, user):
        await second_factor_store.delete_recovery_codes(connection, user)
    return kind


def _normalize(code: str) -> str:
    """Return a code without what people type to read it more easily."""
    return "".join(code.split()).replace("-", "").lower()
