"""Tenants, the keys that programs call with, and what was done by whom.

Every table of a tenant, here and in ``schema/publishing.py``, has a row-level policy, forced on its owner too: without
``landfall.tenant`` set for the transaction nothing is seen and nothing can be written. ``*`` is the worker, which
serves them all; it shows the web process nothing. An install with one tenant never notices: its only one is made by the
migration.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB

from schema.log import Timestamp
from schema.metadata import metadata


def tenant_id() -> Column[object]:
    return Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False)


def created_at() -> Column[object]:
    return Column("created_at", Timestamp, nullable=False, server_default=func.now())


tenants = Table(
    "tenants",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    created_at(),
)

ROLES = ("owner", "editor", "viewer")

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, nullable=False, unique=True, comment="in lower case"),
    Column(
        "password_hash",
        Text,
        nullable=False,
        comment="Argon2id, parameters and salt included; empty where no password fits",
    ),
    created_at(),
    Column("disabled_at", Timestamp),
    Column(
        "password_tenant_id",
        Uuid,
        ForeignKey("tenants.id"),
        comment="where somebody else chose the password, which only lets the person choose another; NULL for their own",
    ),
    CheckConstraint("email = lower(email)", name="email"),
)

memberships = Table(
    "memberships",
    metadata,
    tenant_id(),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("role", Text, nullable=False),
    created_at(),
    PrimaryKeyConstraint("tenant_id", "user_id"),
    CheckConstraint("role IN ('owner', 'editor', 'viewer')", name="role"),
)

invitations = Table(
    "invitations",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False),
    Column("email", Text, nullable=False, comment="in lower case"),
    Column("role", Text, nullable=False),
    Column("link_sha256", LargeBinary, nullable=False, comment="of 256 random bits, so a fast digest is enough"),
    Column("inviter_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), comment="NULL for whoever runs the install"),
    created_at(),
    Column("expires_at", Timestamp, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "email"),
    CheckConstraint("role IN ('owner', 'editor', 'viewer')", name="role"),
    CheckConstraint("email = lower(email)", name="email"),
    Index("ix_invitations_link_sha256", "link_sha256"),
    info={"about": "gone once accepted or withdrawn, so that a link works once"},
)

sessions = Table(
    "sessions",
    metadata,
    tenant_id(),
    Column("session_sha256", LargeBinary, nullable=False),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("address", INET),
    created_at(),
    Column("expires_at", Timestamp, nullable=False),
    Column(
        "id",
        Uuid,
        nullable=False,
        server_default=func.gen_random_uuid(),
        comment="what the list of sessions calls it; opens nothing",
    ),
    Column(
        "last_used_at", Timestamp, nullable=False, server_default=func.now(), comment="written at most once a minute"
    ),
    Column("browser", Text, nullable=False, server_default=text("''"), comment="in words, from the User-Agent header"),
    Column(
        "second_factor",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="begun with one; a session without ends when its person has one",
    ),
    PrimaryKeyConstraint("tenant_id", "session_sha256"),
    Index("ix_sessions_session_sha256", "session_sha256"),
    Index("ix_sessions_user_id", "user_id"),
)

login_failures = Table(
    "login_failures",
    metadata,
    Column(
        "who_sha256",
        LargeBinary,
        nullable=False,
        comment="of an email address, a device, a session, or of where it came from",
    ),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("failed_at", Timestamp, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("who_sha256", "id"),
)

devices = Table(
    "devices",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False),
    Column("device_sha256", LargeBinary, nullable=False, comment="of the cookie of a browser that was logged in"),
    Column("seen_at", Timestamp, nullable=False, server_default=func.now(), comment="logging in, for the last time"),
    PrimaryKeyConstraint("user_id", "device_sha256"),
    info={"about": "strangers' wrong passwords do not lock these out"},
)

totp_factors = Table(
    "totp_factors",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("sealed_secret", LargeBinary, nullable=False, comment="the shared secret, sealed by the vault"),
    created_at(),
    Column("confirmed_at", Timestamp, comment="NULL until a first code was right: until then it is no factor"),
    Column("last_step", BigInteger, comment="the newest time step whose code was taken; older codes are not"),
    Column("last_used_at", Timestamp),
    Index("ix_totp_factors_user_id", "user_id"),
)

passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("credential_id", LargeBinary, nullable=False, unique=True),
    Column("public_key", LargeBinary, nullable=False, comment="COSE key"),
    Column("sign_count", BigInteger, nullable=False, comment="as the authenticator counted last; 0 where it does not"),
    created_at(),
    Column("last_used_at", Timestamp),
    Index("ix_passkeys_user_id", "user_id"),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("code_sha256", LargeBinary, nullable=False, comment="of 80 random bits, so a fast digest is enough"),
    created_at(),
    Column("used_at", Timestamp),
    PrimaryKeyConstraint("user_id", "code_sha256"),
)

pending_logins = Table(
    "pending_logins",
    metadata,
    Column("token_sha256", LargeBinary, primary_key=True, comment="of a cookie of the browser that gave the password"),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    created_at(),
    Column("expires_at", Timestamp, nullable=False),
    Column("tries", BigInteger, nullable=False, server_default=text("0")),
    Index("ix_pending_logins_user_id", "user_id"),
)

webauthn_challenges = Table(
    "webauthn_challenges",
    metadata,
    Column(
        "bound_sha256", LargeBinary, primary_key=True, comment="of what it is for, and the session or pending login"
    ),
    Column("challenge", LargeBinary, nullable=False),
    Column("expires_at", Timestamp, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("key_sha256", LargeBinary, nullable=False, comment="of 256 random bits, so a fast digest is enough"),
    Column("scopes", ARRAY(Text), nullable=False),
    created_at(),
    Column("last_used_at", Timestamp),
    Column("revoked_at", Timestamp),
    Column("last_used_from", INET),
    Column(
        "user_id",
        Uuid,
        ForeignKey("users.id", ondelete="SET NULL"),
        comment="who made it, and with whose membership it ends; NULL for whoever runs the install",
    ),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "name"),
    Index("ix_api_keys_key_sha256", "key_sha256"),
)

audit_log = Table(
    "audit_log",
    metadata,
    tenant_id(),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    created_at(),
    Column("actor", Text, nullable=False, comment="key:name, command, worker, or the platform that told us"),
    Column("action", Text, nullable=False, comment="a verb in the past, such as connection.connected"),
    Column("subject", Text, nullable=False, comment="what it was done to"),
    Column("address", INET, comment="where from, where that is known"),
    Column("detail", JSONB, nullable=False),
    PrimaryKeyConstraint("tenant_id", "id"),
    CheckConstraint("action LIKE '%.%'", name="action"),
    Index("ix_audit_log_tenant_id_subject_id", "tenant_id", "subject", "id"),
    info={"about": "a trigger refuses every change but an insert, to the owner too"},
)

deletion_requests = Table(
    "deletion_requests",
    metadata,
    Column("code", Text, primary_key=True, comment="what the platform was told, and its person can look up"),
    Column("platform", Text, nullable=False),
    Column("user_id", Text, comment="NULL once no platform can bring the person back: then this too is forgotten"),
    Column("requested_at", Timestamp, nullable=False, server_default=func.now()),
    Column("done_at", Timestamp, comment="when it was carried out for the first time"),
    Column("accounts", ARRAY(Text), comment="that go with all they received; NULL where nobody has looked for any yet"),
    Column(
        "names",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="what else leads to the person: usernames, and the ids of comments",
    ),
    Column(
        "rebuild_due",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="the log has forgotten, the tables have not",
    ),
    Column("repeat_until", Timestamp, comment="carried out again until then, as platforms repeat deliveries"),
    CheckConstraint("(done_at IS NULL) = (repeat_until IS NULL)", name="done"),
    CheckConstraint("user_id IS NOT NULL OR (done_at IS NOT NULL AND names = '{}')", name="forgotten"),
)

signed_requests = Table(
    "signed_requests",
    metadata,
    Column("platform", Text, nullable=False),
    Column("purpose", Text, nullable=False, comment="the address it was taken at"),
    Column("request_sha256", LargeBinary, nullable=False, comment="of the person's id and the time of issue"),
    Column("code", Text, nullable=False, comment="of the deletion request, where it is one"),
    Column("received_at", Timestamp, nullable=False, server_default=func.now(), comment="for the first time"),
    Column("expires_at", Timestamp, nullable=False, comment="from then on it is refused as too old"),
    PrimaryKeyConstraint("platform", "purpose", "request_sha256"),
    CheckConstraint("purpose IN ('deauthorize', 'deletion')", name="purpose"),
)
