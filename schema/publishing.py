"""Connections to platforms: whose account, what was granted, how long it holds, and the sealed tokens."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from schema.access import created_at, tenant_id
from schema.log import Timestamp
from schema.metadata import metadata
from schema.states import CONNECTION, NOTICE_MAIL, ConnectionState, StateMachine

_ACTIVE = CONNECTION.conditions[ConnectionState.ACTIVE]


def _known_state(machine: StateMachine) -> CheckConstraint:
    states = ", ".join(f"'{state}'" for state in machine.conditions)
    return CheckConstraint(f"state IN ({states})", name="state")


READABLE = " AND ".join(
    f"{column} BETWEEN '2000-01-01 00:00:00+00' AND '2200-01-01 00:00:00+00'"
    for column in ("access_expires_at", "refresh_expires_at", "refresh_due_at", "check_due_at")
)
"""Times that come of what a platform says. Python reads none after the year 9999; one row would hide all others."""

connections = Table(
    "connections",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID; it stays when the account is connected again"),
    Column("platform", Text, nullable=False, comment="of the account"),
    Column("instance", Text, nullable=False, server_default="", comment="host, on platforms with many instances"),
    Column("account_id", Text, nullable=False, comment="the platform's id that its webhooks name"),
    Column(
        "other_ids", ARRAY(Text), nullable=False, comment="further ids of the same account, such as app-scoped ones"
    ),
    Column("username", Text, nullable=False, comment="as the platform last gave it"),
    Column("scopes", ARRAY(Text), nullable=False, comment="as granted, not as asked for"),
    Column("profile", JSONB, nullable=False, comment="what else the platform says of the account"),
    Column("state", Text, nullable=False, comment="active, needs_reconnect or disconnected"),
    Column("reason", Text, comment="why it needs a person, in words for that person"),
    Column("authorized_at", Timestamp, nullable=False, comment="when the person last agreed at the platform"),
    Column("access_expires_at", Timestamp, comment="as the platform said; NULL for a token without an end"),
    Column("refresh_expires_at", Timestamp, comment="when the refresh token ends; NULL for none, or without an end"),
    Column(
        "refresh_due_at",
        Timestamp,
        comment="NULL where there is nothing to refresh; once disconnected, when to revoke it at the platform",
    ),
    Column("refresh_failures", Integer, nullable=False, server_default=text("0"), comment="in a row"),
    Column("lease_until", Timestamp, comment="somebody is refreshing it until then"),
    Column("fence", Integer, nullable=False, server_default=text("0"), comment="which refresh may write"),
    Column("disconnected_at", Timestamp, comment="NULL while it is connected"),
    created_at(),
    Column("via", Text, comment="whose login it came through, where that is not its own platform's"),
    Column("grant_id", Text, comment="what is revoked together, where that is more than this account"),
    Column("check_due_at", Timestamp, comment="NULL where refreshing shows soon enough whether it still holds"),
    Column("checked_at", Timestamp, comment="when the platform last took what we hold"),
    Column("trouble", Text, comment="what went wrong when it was last asked for, while it is tried again"),
    Column(
        "ends_at",
        Timestamp,
        Computed(
            "least(CASE WHEN refresh_due_at IS NULL THEN access_expires_at END, refresh_expires_at)", persisted=True
        ),
        comment="when access ends unless a person comes back",
    ),
    Column("trouble_since", Timestamp, comment="of the first failure in a row; NULL once it works"),
    Column(
        "reporting_id",
        BigInteger,
        Computed("uuid_hash_extended(id, 0) & 9223372036854775807", persisted=True),
        comment="oauth_accounts.id in schema reporting",
        info={"of_key": True},
    ),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "platform", "instance", "account_id"),
    _known_state(CONNECTION),
    CheckConstraint("state <> 'needs_reconnect' OR reason IS NOT NULL", name="reason"),
    CheckConstraint(f"({READABLE}) IS NOT FALSE", name="times"),
    Index("ix_connections_refresh_due_at", "refresh_due_at", postgresql_where=text(_ACTIVE)),
    Index("ix_connections_check_due_at", "check_due_at", postgresql_where=text(_ACTIVE)),
    comment="Accounts that are, or were, connected",
)

connection_secrets = Table(
    "connection_secrets",
    metadata,
    tenant_id(),
    Column("connection_id", Uuid, nullable=False, comment="whose it is"),
    Column("field", Text, nullable=False, comment="which of its tokens"),
    Column("sealed", LargeBinary, nullable=False, comment="version, key name, wrapped key, nonce, text"),
    Column("key_name", Text, nullable=False, comment="the key it is under, for rotation"),
    PrimaryKeyConstraint("tenant_id", "connection_id", "field"),
    ForeignKeyConstraint(
        ["tenant_id", "connection_id"], ["connections.tenant_id", "connections.id"], ondelete="CASCADE"
    ),
    Index("ix_connection_secrets_key_name", "key_name"),
    comment="Tokens of connections, sealed by the vault",
)

oauth_states = Table(
    "oauth_states",
    metadata,
    tenant_id(),
    Column("state_sha256", LargeBinary, nullable=False, comment="of the state that the platform sends back"),
    Column("platform", Text, nullable=False, comment="to be connected to"),
    Column("instance", Text, nullable=False, server_default="", comment="host, on platforms with many instances"),
    Column("session_sha256", LargeBinary, comment="of the secret of the browser that took it; NULL until one does"),
    Column("sealed_verifier", LargeBinary, nullable=False, comment="of PKCE (RFC 7636), sealed by the vault"),
    Column("redirect_uri", Text, nullable=False, comment="where the platform sends the person back to"),
    Column("return_to", Text, nullable=False, comment="where the person goes after that"),
    Column("actor", Text, nullable=False, comment="who began it, as in audit_log"),
    created_at(),
    Column("expires_at", Timestamp, nullable=False, comment="leads nowhere from then on"),
    Column("used_at", Timestamp, comment="when its code was sent to the platform, which is done once"),
    Column("outcome", JSONB, comment="what came of it, for whoever comes back a second time"),
    Column(
        "id",
        Uuid,
        nullable=False,
        server_default=func.gen_random_uuid(),
        comment="what whoever began it asks by for what came of it",
    ),
    Column("connection_id", Uuid, comment="the connection that it is to bring back"),
    Column("sealed_accounts", LargeBinary, comment="what there is to choose from, tokens and all, until it is chosen"),
    Column("scopes", ARRAY(Text), comment="as asked for; NULL where the previous release began it"),
    Column(
        "ticket_sha256",
        LargeBinary,
        comment="of the link that is opened in a browser; NULL where the previous release began it",
    ),
    Column("opened_at", Timestamp, comment="when a browser took it: the link opens it in no other from then on"),
    PrimaryKeyConstraint("tenant_id", "state_sha256"),
    Index("ix_oauth_states_id", "id"),
    comment="Attempts to connect an account",
)

oauth_clients = Table(
    "oauth_clients",
    metadata,
    tenant_id(),
    Column("platform", Text, nullable=False, comment="of the instance"),
    Column("instance", Text, nullable=False, comment="its host"),
    Column("client_id", Text, nullable=False, comment="as the instance calls the application"),
    Column("sealed_secret", LargeBinary, nullable=False, comment="of the application, sealed by the vault"),
    Column("redirect_uri", Text, nullable=False, comment="that was registered"),
    Column("scopes", ARRAY(Text), nullable=False, comment="that were registered"),
    created_at(),
    PrimaryKeyConstraint("tenant_id", "platform", "instance"),
    comment="Applications that were registered at instances",
    info={"about": "registered by ourselves, where an instance lets anybody"},
)

platform_budgets = Table(
    "platform_budgets",
    metadata,
    Column("platform", Text, nullable=False, comment="that counts"),
    Column("instance", Text, nullable=False, comment="host, on platforms with many instances"),
    Column("subject", Text, nullable=False, comment="the account's id; empty for the whole application"),
    Column("percent", Integer, nullable=False, comment="of it is used, as last said"),
    Column("held_until", Timestamp, comment="nobody asks before that; NULL: nothing says to wait"),
    Column(
        "updated_at", Timestamp, nullable=False, server_default=func.now(), comment="when the platform last said so"
    ),
    PrimaryKeyConstraint("platform", "instance", "subject"),
    CheckConstraint("percent >= 0", name="percent"),
    # So it has no policy: what one tenant uses up is gone for all who have connected the same account.
    comment="No tenant's: the platform counts our one application, and an account however many tenants connected it",
)

vault_canaries = Table(
    "vault_canaries",
    metadata,
    Column("key_name", Text, primary_key=True, comment="of the key, as connection_secrets has it"),
    Column("sealed", LargeBinary, nullable=False, comment="opens with the right key, and with no other"),
    created_at(),
    comment="A known text under each key of the vault, to tell a wrong key from a right one",
)

NOTICES = (
    *("needs_reconnect", "in_trouble", "ends_in_14_days", "ends_in_7_days", "ends_in_1_day"),
    *("unsubscribed", "silent"),
    *("post_failed", "post_missed", "post_unconfirmed", "post_waiting", "post_late"),
)
"""Of the access to an account, and of posts at it, which begin with ``post_``."""

notices = Table(
    "notices",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID"),
    Column("connection_id", Uuid, nullable=False, comment="that it is about"),
    Column("kind", Text, nullable=False, comment="what happened, such as needs_reconnect"),
    Column(
        "episode",
        Timestamp,
        nullable=False,
        comment="when the grant or trouble that it is about began, of posts the day: one notice of a kind for each",
    ),
    Column("says", Text, nullable=False, comment="in words for the account's owner"),
    created_at(),
    Column("resolved_at", Timestamp, comment="when it was over; NULL while it is not"),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "connection_id", "kind", "episode"),
    CheckConstraint(f"kind IN ({', '.join(map(repr, NOTICES))})", name="kind"),
    ForeignKeyConstraint(
        ["tenant_id", "connection_id"], ["connections.tenant_id", "connections.id"], ondelete="CASCADE"
    ),
    comment="What somebody is to be told of a connection, once each",
)

notice_mails = Table(
    "notice_mails",
    metadata,
    tenant_id(),
    Column("notice_id", Uuid, nullable=False, comment="that it tells"),
    Column("user_id", Uuid, ForeignKey("users.id"), nullable=False, comment="to whom"),
    Column(
        "state",
        Text,
        nullable=False,
        server_default="waiting",
        comment="unknown: handed over, and no answer came; it is not sent again",
    ),
    Column("tries", Integer, nullable=False, server_default=text("0"), comment="so far"),
    Column("due_at", Timestamp, nullable=False, server_default=func.now(), comment="not tried before"),
    Column("mail_id", Uuid, comment="the mail that it is in, with whatever else that person is told"),
    Column("claimed_at", Timestamp, comment="when somebody began to send that mail"),
    created_at(),
    PrimaryKeyConstraint("tenant_id", "notice_id", "user_id"),
    _known_state(NOTICE_MAIL),
    CheckConstraint(
        "state IN ('waiting', 'given_up') OR (mail_id IS NOT NULL AND claimed_at IS NOT NULL)", name="claimed"
    ),
    ForeignKeyConstraint(["tenant_id", "notice_id"], ["notices.tenant_id", "notices.id"], ondelete="CASCADE"),
    Index("ix_notice_mails_due_at", "due_at", postgresql_where=text(NOTICE_MAIL.conditions["waiting"])),
    comment="Mails about notices, one row for each person and notice",
)

SUBSCRIPTION_STATES = ("unknown", "complete", "incomplete")

event_subscriptions = Table(
    "event_subscriptions",
    metadata,
    tenant_id(),
    Column("connection_id", Uuid, nullable=False, comment="whose events are subscribed to"),
    Column("due_at", Timestamp, nullable=False, server_default=func.now(), comment="when it is looked at again"),
    Column("checked_at", Timestamp, comment="when the platform last showed it; NULL: not yet"),
    Column("incomplete_since", Timestamp, comment="when fields were first found to be missing; NULL while none is"),
    Column("repaired_at", Timestamp, comment="when missing fields were last subscribed to again"),
    Column("lease_until", Timestamp, comment="somebody is looking at it until then"),
    Column("fence", Integer, nullable=False, server_default=text("0"), comment="which look may write"),
    Column("state", Text, nullable=False, server_default="unknown", comment="unknown, complete or incomplete"),
    Column(
        "wanted",
        ARRAY(Text),
        nullable=False,
        server_default="{}",
        comment="fields by the platform's words, each after whose half it is",
    ),
    Column("missing", ARRAY(Text), nullable=False, server_default="{}", comment="those of them that are not there"),
    Column("advice", Text, comment="what the operator does about the missing ones"),
    Column("trouble", Text, comment="why the platform could not be asked; NULL once it could"),
    PrimaryKeyConstraint("tenant_id", "connection_id"),
    ForeignKeyConstraint(
        ["tenant_id", "connection_id"], ["connections.tenant_id", "connections.id"], ondelete="CASCADE"
    ),
    CheckConstraint(f"state IN ({', '.join(map(repr, SUBSCRIPTION_STATES))})", name="state"),
    CheckConstraint("(state = 'incomplete') = (incomplete_since IS NOT NULL)", name="incomplete"),
    Index("ix_event_subscriptions_due_at", "due_at"),
    comment="What the events of connections are subscribed to at their platforms",
)

event_silences = Table(
    "event_silences",
    metadata,
    tenant_id(),
    Column("connection_id", Uuid, nullable=False, comment="whose events are waited for"),
    Column("looked_at", Timestamp, comment="when the log was last looked at; NULL: not yet"),
    Column("rhythm_at", Timestamp, comment="when its history was last looked at"),
    Column("heard_at", Timestamp, comment="when the last event came by webhook; NULL: none is known"),
    Column("silent_since", Timestamp, comment="the same, once that is longer ago than is usual; NULL while it is not"),
    Column(
        "scanned_to",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="the last event of the log that was looked at",
    ),
    Column("usual_hours", Integer, comment="the longest usual pause between events; NULL: its history is too short"),
    Column("alarm_hours", Integer, comment="the pause that is reported; NULL: none is"),
    PrimaryKeyConstraint("tenant_id", "connection_id"),
    ForeignKeyConstraint(
        ["tenant_id", "connection_id"], ["connections.tenant_id", "connections.id"], ondelete="CASCADE"
    ),
    CheckConstraint("silent_since IS NULL OR alarm_hours IS NOT NULL", name="silent"),
    Index("ix_event_silences_looked_at", "looked_at"),
    comment="How often events of connections come, and which have been silent for longer than that",
)
