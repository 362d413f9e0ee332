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
    return Column("tenant_id", Uuid, ForeignKey("tenants.id"), nullable=False, comment="whose it is")


def created_at() -> Column[object]:
    return Column("created_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was made")


tenants = Table(
    "tenants",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUID"),
    Column("name", Text, nullable=False, unique=True, comment="as `--tenant` and pages call it"),
    created_at(),
    comment="Customers of this install, who see nothing of each other",
)

ROLES = ("owner", "editor", "viewer")

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUID"),
    Column("email", Text, nullable=False, unique=True, comment="in lower case"),
    Column(
        "password_hash",
        Text,
        nullable=False,
        comment="Argon2id, parameters and salt included; empty where no password fits",
    ),
    created_at(),
    Column("disabled_at", Timestamp, comment="from then on nothing lets the person in; NULL for nobody disabled"),
    Column(
        "password_tenant_id",
        Uuid,
        ForeignKey("tenants.id"),
        comment="where somebody else chose the password, which only lets the person choose another; NULL for their own",
    ),
    CheckConstraint("email = lower(email)", name="email"),
    comment="People who can log in",
)

memberships = Table(
    "memberships",
    metadata,
    tenant_id(),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False, comment="the person"),
    Column("role", Text, nullable=False, comment="owner, editor or viewer"),
    created_at(),
    PrimaryKeyConstraint("tenant_id", "user_id"),
    CheckConstraint("role IN ('owner', 'editor', 'viewer')", name="role"),
    comment="Who belongs to which tenant, and as what",
)

invitations = Table(
    "invitations",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID"),
    Column("email", Text, nullable=False, comment="in lower case"),
    Column("role", Text, nullable=False, comment="owner, editor or viewer, once accepted"),
    Column("link_sha256", LargeBinary, nullable=False, comment="of 256 random bits, so a fast digest is enough"),
    Column("inviter_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), comment="NULL for whoever runs the install"),
    created_at(),
    Column("expires_at", Timestamp, nullable=False, comment="the link opens nothing from then on"),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "email"),
    CheckConstraint("role IN ('owner', 'editor', 'viewer')", name="role"),
    CheckConstraint("email = lower(email)", name="email"),
    Index("ix_invitations_link_sha256", "link_sha256"),
    comment="Invitations that wait to be accepted",
    info={"about": "gone once accepted or withdrawn, so that a link works once"},
)

sessions = Table(
    "sessions",
    metadata,
    tenant_id(),
    Column(
        "session_sha256",
        LargeBinary,
        nullable=False,
        comment="of the cookie: 256 random bits, so a fast digest is enough",
    ),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False, comment="the person"),
    Column("address", INET, comment="where the login came from"),
    created_at(),
    Column("expires_at", Timestamp, nullable=False, comment="logged out by then, however much it is used"),
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
    comment="Where people are logged in",
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
    Column("id", BigInteger, Identity(always=True), nullable=False, comment="in the order of failures"),
    Column("failed_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was wrong"),
    PrimaryKeyConstraint("who_sha256", "id"),
    comment="Wrong passwords and codes of late, for throttling",
)

devices = Table(
    "devices",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False, comment="the person"),
    Column("device_sha256", LargeBinary, nullable=False, comment="of the cookie of a browser that was logged in"),
    Column("seen_at", Timestamp, nullable=False, server_default=func.now(), comment="logging in, for the last time"),
    PrimaryKeyConstraint("user_id", "device_sha256"),
    comment="Browsers in which somebody was logged in before",
    info={"about": "strangers' wrong passwords do not lock these out"},
)

totp_factors = Table(
    "totp_factors",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUID"),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, comment="the person"),
    Column("name", Text, nullable=False, comment="as the person calls it"),
    Column("sealed_secret", LargeBinary, nullable=False, comment="the shared secret, sealed by the vault"),
    created_at(),
    Column("confirmed_at", Timestamp, comment="NULL until a first code was right: until then it is no factor"),
    Column("last_step", BigInteger, comment="the newest time step whose code was taken; older codes are not"),
    Column("last_used_at", Timestamp, comment="when a code of it last let in"),
    Index("ix_totp_factors_user_id", "user_id"),
    comment="Authenticator apps of people",
)

passkeys = Table(
    "passkeys",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUID"),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, comment="the person"),
    Column("name", Text, nullable=False, comment="as the person calls it"),
    Column("credential_id", LargeBinary, nullable=False, unique=True, comment="as the authenticator calls it"),
    Column("public_key", LargeBinary, nullable=False, comment="COSE key"),
    Column("sign_count", BigInteger, nullable=False, comment="as the authenticator counted last; 0 where it does not"),
    created_at(),
    Column("last_used_at", Timestamp, comment="when it last let in"),
    Index("ix_passkeys_user_id", "user_id"),
    comment="Passkeys of people",
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, comment="the person"),
    Column("code_sha256", LargeBinary, nullable=False, comment="of 80 random bits, so a fast digest is enough"),
    created_at(),
    Column("used_at", Timestamp, comment="NULL while it can still be used"),
    PrimaryKeyConstraint("user_id", "code_sha256"),
    comment="Codes that let a person in once each, without another factor",
)

pending_logins = Table(
    "pending_logins",
    metadata,
    Column("token_sha256", LargeBinary, primary_key=True, comment="of a cookie of the browser that gave the password"),
    Column(
        "user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, comment="whose password was right"
    ),
    created_at(),
    Column("expires_at", Timestamp, nullable=False, comment="to be begun anew from then on"),
    Column("tries", BigInteger, nullable=False, server_default=text("0"), comment="wrong codes so far"),
    Index("ix_pending_logins_user_id", "user_id"),
    comment="Logins that wait for a second factor",
)

webauthn_challenges = Table(
    "webauthn_challenges",
    metadata,
    Column(
        "bound_sha256", LargeBinary, primary_key=True, comment="of what it is for, and the session or pending login"
    ),
    Column("challenge", LargeBinary, nullable=False, comment="random bytes"),
    Column("expires_at", Timestamp, nullable=False, comment="not taken from then on"),
    comment="Challenges that an authenticator is to sign, once each",
)

api_keys = Table(
    "api_keys",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID"),
    Column("name", Text, nullable=False, comment="as people call it; never free again"),
    Column("key_sha256", LargeBinary, nullable=False, comment="of 256 random bits, so a fast digest is enough"),
    Column("scopes", ARRAY(Text), nullable=False, comment="what it may do"),
    created_at(),
    Column("last_used_at", Timestamp, comment="NULL until it is used"),
    Column("revoked_at", Timestamp, comment="from then on it opens nothing"),
    Column("last_used_from", INET, comment="the address that it was last used from"),
    Column(
        "user_id",
        Uuid,
        ForeignKey("users.id", ondelete="SET NULL"),
        comment="who made it, and with whose membership it ends; NULL for whoever runs the install",
    ),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "name"),
    Index("ix_api_keys_key_sha256", "key_sha256"),
    comment="Keys that programs call with",
)

audit_log = Table(
    "audit_log",
    metadata,
    tenant_id(),
    Column("id", BigInteger, Identity(always=True), nullable=False, comment="in the order of entries"),
    created_at(),
    Column("actor", Text, nullable=False, comment="key:name, command, worker, or the platform that told us"),
    Column("action", Text, nullable=False, comment="a verb in the past, such as connection.connected"),
    Column("subject", Text, nullable=False, comment="what it was done to"),
    Column("address", INET, comment="where from, where that is known"),
    Column(
        "detail",
        JSONB,
        nullable=False,
        comment="what else is to be known of it; no secrets, and nobody that a platform knows",
    ),
    PrimaryKeyConstraint("tenant_id", "id"),
    CheckConstraint("action LIKE '%.%'", name="action"),
    Index("ix_audit_log_tenant_id_subject_id", "tenant_id", "subject", "id"),
    comment="Who did what, when and from where; it only grows",
    info={"about": "a trigger refuses every change but an insert, to the owner too"},
)

deletion_requests = Table(
    "deletion_requests",
    metadata,
    Column("code", Text, primary_key=True, comment="what the platform was told, and its person can look up"),
    Column("platform", Text, nullable=False, comment="of the person or the account"),
    Column("user_id", Text, comment="NULL once no platform can bring the person back: then this too is forgotten"),
    Column("requested_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was taken"),
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
    Column(
        "requesting_tenant_id",
        Uuid,
        ForeignKey("tenants.id"),
        comment="the tenant that asks for an account of its own, where what others have connected stays; or NULL",
    ),
    Column("instance", Text, comment="host of the account, on platforms with many instances; NULL for any"),
    CheckConstraint("(done_at IS NULL) = (repeat_until IS NULL)", name="done"),
    CheckConstraint("user_id IS NOT NULL OR (done_at IS NOT NULL AND names = '{}')", name="forgotten"),
    CheckConstraint("requesting_tenant_id IS NULL OR accounts IS NOT NULL OR user_id IS NULL", name="tenant"),
    comment="Requests to be erased: of a person by way of a platform, of a tenant for an account, or of the operator",
)

signed_requests = Table(
    "signed_requests",
    metadata,
    Column("platform", Text, nullable=False, comment="that signed it"),
    Column("purpose", Text, nullable=False, comment="the address it was taken at"),
    Column("request_sha256", LargeBinary, nullable=False, comment="of the person's id and the time of issue"),
    Column("code", Text, nullable=False, comment="of the deletion request, where it is one"),
    Column("received_at", Timestamp, nullable=False, server_default=func.now(), comment="for the first time"),
    Column("expires_at", Timestamp, nullable=False, comment="from then on it is refused as too old"),
    PrimaryKeyConstraint("platform", "purpose", "request_sha256"),
    CheckConstraint("purpose IN ('deauthorize', 'deletion')", name="purpose"),
    comment="Signed requests of platforms that were taken, so that none is taken twice",
)

reader_tenants = Table(
    "reader_tenants",
    metadata,
    tenant_id(),
    Column("login", Text, nullable=False, comment="of the database, a member of landfall_tenant_reader"),
    created_at(),
    PrimaryKeyConstraint("tenant_id", "login"),
    comment="Logins that read by SQL, with the tenant whose rows each sees",
)
