"""Second factors of a person: codes of an authenticator app (TOTP, RFC 6238), and recovery codes.

Passkeys, in ``ops/access/passkeys.py``, are the other kind. A person has a second factor from the moment that a first
code of an app was right, or that a passkey was registered. Whatever is about one person is found by the person's id.
"""

import base64
import hashlib
import hmac
import re
import secrets
import time
from dataclasses import dataclass

import asyncpg
import pyotp
import uuid_utils

from schema.sealing import Place, Sealer

STEP_SECONDS = 30
WINDOW = 1
"""Steps by which the clock of a phone may be off, either way (RFC 6238 5.2)."""

CONFIRM_MINUTES = 15
"""For the first code of an app that is being added."""

MOST = 10
"""Factors of each kind that one person has."""

RECOVERY_CODES = 10
ISSUER = "Landfall"

_DIGITS, _RECOVERY = re.compile(r"[0-9]{6}"), re.compile(r"[a-z2-7]{16}")
_GROUP = 4


def held_by(user: str) -> str:
    """SQL: whether the person whose id ``user`` is, a column or a parameter, has a second factor."""
    return f"""(EXISTS (SELECT FROM totp_factors t WHERE t.user_id = {user} AND t.confirmed_at IS NOT NULL)
        OR EXISTS (SELECT FROM passkeys p WHERE p.user_id = {user}))"""


async def held(connection: asyncpg.Connection, user: str) -> bool:
    return bool(await connection.fetchval(f"SELECT {held_by('$1::uuid')}", user))


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An app that is being added: ``secret`` is what it is to hold, ``uri`` the same for it to scan."""

    id: str
    secret: str
    uri: str


def totp_place(user: str, factor: str) -> Place:
    return Place("", f"user:{user}", f"totp:{factor}")


async def add_totp(connection: asyncpg.Connection, vault: Sealer, user: str, email: str, name: str) -> Enrolment | None:
    """Make a secret that counts for nothing yet, in the place of one that was begun before; None where there are
    :data:`MOST`.
    """
    await connection.execute("DELETE FROM totp_factors WHERE user_id = $1::uuid AND confirmed_at IS NULL", user)
    if await connection.fetchval("SELECT count(*) FROM totp_factors WHERE user_id = $1::uuid", user) >= MOST:
        return None
    id_, secret = str(uuid_utils.uuid7()), pyotp.random_base32()
    await connection.execute(
        "INSERT INTO totp_factors (id, user_id, name, sealed_secret) VALUES ($1::uuid, $2::uuid, $3, $4)",
        id_,
        user,
        name,
        vault.seal(secret, totp_place(user, id_)),
    )
    return Enrolment(id_, secret, pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER))


async def confirm_totp(connection: asyncpg.Connection, vault: Sealer, user: str, id_: str, code: str) -> str | None:
    """The name of the app, which counts from now on; None for a wrong code. Raises KeyError where none is waiting."""
    row = await connection.fetchrow(
        """
        SELECT name, sealed_secret FROM totp_factors WHERE id = $1::uuid AND user_id = $2::uuid
            AND confirmed_at IS NULL AND created_at > now() - make_interval(mins => $3) FOR UPDATE""",
        id_,
        user,
        CONFIRM_MINUTES,
    )
    if row is None:
        raise KeyError(id_)
    step = _step(vault.open(row["sealed_secret"], totp_place(user, id_)), _normal(code), None)
    if step is None:
        return None
    await connection.execute(
        "UPDATE totp_factors SET confirmed_at = now(), last_step = $2 WHERE id = $1::uuid", id_, step
    )
    return str(row["name"])


def is_totp_code(code: str) -> bool:
    """Return whether this looks like a code of an authenticator app, not like a recovery code."""
    return bool(_DIGITS.fullmatch(_normal(code)))


async def prove_code(connection: asyncpg.Connection, user: str, *, vault: Sealer | None, code: str) -> str | None:
    """Spend a code. Return its kind, or None if it is wrong.

    Without a ``vault`` no code of an authenticator app can be right.
    """
    normal = _normal(code)
    if _DIGITS.fullmatch(normal):
        right = vault is not None and await _prove_totp(connection, vault, user, normal)
        return "totp" if right else None
    if _RECOVERY.fullmatch(normal):
        spent = await connection.fetchval(
            """
            UPDATE recovery_codes SET used_at = now()
            WHERE user_id = $1::uuid AND code_sha256 = $2 AND used_at IS NULL RETURNING true""",
            user,
            _digest(normal),
        )
        return "recovery_code" if spent else None
    return None


async def _prove_totp(connection: asyncpg.Connection, vault: Sealer, user: str, code: str) -> bool:
    rows = await connection.fetch(
        """
        SELECT id::text, sealed_secret, last_step FROM totp_factors
        WHERE user_id = $1::uuid AND confirmed_at IS NOT NULL ORDER BY id FOR UPDATE""",
        user,
    )
    for row in rows:
        step = _step(vault.open(row["sealed_secret"], totp_place(user, row["id"])), code, row["last_step"])
        if step is not None:
            await connection.execute(
                "UPDATE totp_factors SET last_step = $2, last_used_at = now() WHERE id = $1::uuid", row["id"], step
            )
            return True
    return False


def current_step() -> int:
    return int(time.time()) // STEP_SECONDS


def _step(secret: str, code: str, last: int | None) -> int | None:
    """The time step that the code is of, among those that are later than ``last``: a code works once (RFC 6238 5.2)."""
    totp, now, found = pyotp.TOTP(secret, interval=STEP_SECONDS), current_step(), None
    for step in range(now - WINDOW, now + WINDOW + 1):
        if hmac.compare_digest(totp.generate_otp(step), code) and (last is None or step > last):
            found = step
    return found


async def make_recovery_codes(connection: asyncpg.Connection, user: str) -> list[str]:
    """New ones in the place of all there were, to be shown once."""
    codes = [base64.b32encode(secrets.token_bytes(10)).decode().lower() for _ in range(RECOVERY_CODES)]
    await connection.execute("DELETE FROM recovery_codes WHERE user_id = $1::uuid", user)
    await connection.executemany(
        "INSERT INTO recovery_codes (user_id, code_sha256) VALUES ($1::uuid, $2)",
        [(user, _digest(code)) for code in codes],
    )
    return ["-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP)) for code in codes]


async def recovery_codes_left(connection: asyncpg.Connection, user: str) -> int:
    return int(
        await connection.fetchval(
            "SELECT count(*) FROM recovery_codes WHERE user_id = $1::uuid AND used_at IS NULL", user
        )
    )


async def listed(connection: asyncpg.Connection, user: str) -> list[asyncpg.Record]:
    """Kind, id, name and times of each factor, the oldest first."""
    found: list[asyncpg.Record] = await connection.fetch(
        """
        SELECT 'totp' AS kind, id::text, name, created_at, last_used_at FROM totp_factors
        WHERE user_id = $1::uuid AND confirmed_at IS NOT NULL
        UNION ALL SELECT 'passkey', id::text, name, created_at, last_used_at FROM passkeys WHERE user_id = $1::uuid
        ORDER BY created_at, id""",
        user,
    )
    return found


async def remove(connection: asyncpg.Connection, user: str, id_: str) -> str | None:
    """The kind of the factor that is gone; None where the person has none of this id.

    With the last factor the recovery codes go: they stand for one that is lost.
    """
    for kind, table in (("totp", "totp_factors"), ("passkey", "passkeys")):
        gone = await connection.fetchval(
            f"DELETE FROM {table} WHERE id = $1::uuid AND user_id = $2::uuid RETURNING true", id_, user
        )
        if gone:
            if not await held(connection, user):
                await connection.execute("DELETE FROM recovery_codes WHERE user_id = $1::uuid", user)
            return kind
    return None


async def remove_all(connection: asyncpg.Connection, user: str) -> None:
    for table in ("totp_factors", "passkeys", "recovery_codes"):
        await connection.execute(f"DELETE FROM {table} WHERE user_id = $1::uuid", user)


def _normal(code: str) -> str:
    """Without what people type for the eye."""
    return "".join(code.split()).replace("-", "").lower()


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()
