"""Posts and their targets: what is to be published where and when, and how far the work on each target has come.

Both are work state, as ``webhook_event_queue`` is: what became of a target is in the log, an event for each transition,
and so in the CRM table ``social_posts``.
"""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Float,
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
from schema.states import LISTENING, NOT_BEGUN, TARGET, TargetState

LATE_POLICIES = ("publish", "skip", "ask")
"""What becomes of a target whose time has passed by more than ``late_seconds``."""

posts = Table(
    "posts",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID, ordered by time"),
    Column("content", Text, nullable=False, comment="the text, where a target has none of its own"),
    Column("link", JSONB, comment="url, title, description and image of a shared page; NULL for none"),
    Column("hashtags", ARRAY(Text), nullable=False, server_default="{}", comment="without #, added to the text"),
    Column("campaign_id", Text, comment="by which posts are listed together; NULL for none"),
    Column("author", Text, nullable=False, comment="who made it, as in audit_log"),
    Column("version", Integer, nullable=False, server_default=text("1"), comment="goes up with each edit"),
    Column(
        "needs_approval", Boolean, nullable=False, server_default=text("false"), comment="by another person, as it is"
    ),
    Column("approved_version", Integer, comment="that somebody approved; another one is not published"),
    Column("approved_by", Text, comment="who did, as in audit_log"),
    Column("scheduled_at", Timestamp, comment="when it is to be published; NULL for a draft"),
    Column("local_time", Text, comment="the wall time that was asked for, such as 2026-11-28T09:00"),
    Column("zone", Text, comment="the IANA zone of that time"),
    Column("late_policy", Text, nullable=False, server_default="publish", comment="publish, skip or ask"),
    Column(
        "late_seconds",
        Float,
        nullable=False,
        server_default=text("86400"),
        comment="how late it may be published without a decision",
    ),
    Column("schedule_id", Uuid, comment="the recurrence that it is an occurrence of; NULL for none"),
    Column("idempotency_key", Text, comment="of the request that made it"),
    Column("request_sha256", LargeBinary, comment="of that request, to tell a repeat from another use of the key"),
    created_at(),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was last edited"),
    Column(
        "utm",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether campaign parameters are added to its links",
    ),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "idempotency_key"),
    CheckConstraint(f"late_policy IN ({', '.join(map(repr, LATE_POLICIES))})", name="late_policy"),
    Index("ix_posts_campaign_id", "tenant_id", "campaign_id", postgresql_where=text("campaign_id IS NOT NULL")),
    Index(
        "ix_posts_schedule_id",
        *("tenant_id", "schedule_id", "scheduled_at"),
        postgresql_where=text("schedule_id IS NOT NULL"),
    ),
    Index("ix_posts_scheduled_at", "tenant_id", "scheduled_at"),
    comment="What is, or was, to be published",
)

post_media = Table(
    "post_media",
    metadata,
    tenant_id(),
    Column("post_id", Uuid, nullable=False, comment="that shows it"),
    Column("position", Integer, nullable=False, comment="from 0; those of parts from 1000"),
    Column("media_id", Uuid, nullable=False, comment="the file"),
    Column("alt_text", Text, nullable=False, server_default="", comment="what it shows, for who cannot see it"),
    Column("sha256", LargeBinary, nullable=False, comment="of the file as it was attached: another is not posted"),
    Column(
        "target_id",
        Uuid,
        comment="the part of a thread, or the first comment, that shows it; NULL for the post itself",
    ),
    PrimaryKeyConstraint("tenant_id", "post_id", "position"),
    ForeignKeyConstraint(["tenant_id", "post_id"], ["posts.tenant_id", "posts.id"], ondelete="CASCADE"),
    Index("ix_post_media_media_id", "tenant_id", "media_id"),
    Index("ix_post_media_target_id", "tenant_id", "target_id", postgresql_where=text("target_id IS NOT NULL")),
    comment="The files of posts, in order",
)

post_targets = Table(
    "post_targets",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID, ordered by time"),
    Column("post_id", Uuid, nullable=False, comment="what is to be published"),
    Column("connection_id", Uuid, nullable=False, comment="the account that it is published with"),
    Column("platform", Text, nullable=False, comment="of that account"),
    Column("account_id", Text, nullable=False, comment="the platform's id of it, under which the log has its events"),
    Column("parent_id", Uuid, comment="the target that it answers: of a thread's part or a first comment"),
    Column("position", Integer, nullable=False, server_default=text("0"), comment="in the thread, from 0"),
    Column("kind", Text, nullable=False, comment="the machine that publishes it, such as reel or carousel"),
    Column("content", Text, comment="its own text; NULL for that of the post"),
    Column("options", JSONB, nullable=False, server_default="{}", comment="the platform's options, as given"),
    Column("digest", LargeBinary, nullable=False, comment="of what is shown: tells the same post to one account again"),
    Column(
        "repeats",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether somebody said that the same is to be posted again",
    ),
    Column("state", Text, nullable=False, comment="see docs/states.md"),
    Column("sequence", Integer, nullable=False, server_default=text("0"), comment="transitions so far"),
    Column("step", Text, nullable=False, server_default="", comment="of its machine; empty before the first"),
    Column("step_since", Timestamp, comment="when it came to that step"),
    Column(
        "asked_at",
        Timestamp,
        comment="when the request of this step was about to be sent; NULL once its outcome is stored",
    ),
    Column("intent_at", Timestamp, comment="the first of those times at a step that makes something visible"),
    Column("commits", Integer, nullable=False, server_default=text("0"), comment="how often such a step was asked"),
    Column("attempt", Integer, nullable=False, server_default=text("1"), comment="goes up when it is begun anew"),
    Column("failures", Integer, nullable=False, server_default=text("0"), comment="in a row, at this step"),
    Column("kept", JSONB, nullable=False, server_default="{}", comment="ids and counts that the steps need"),
    Column("sealed", LargeBinary, comment="secrets that the steps need, such as upload addresses, sealed by the vault"),
    Column("due_at", Timestamp, comment="when to work on it; NULL while it waits for somebody"),
    Column("lease_until", Timestamp, comment="somebody works on it until then"),
    Column("fence", Integer, nullable=False, server_default=text("0"), comment="which of those may write"),
    Column("worked_at", Timestamp, comment="when somebody last did"),
    Column("platform_post_id", Text, comment="the platform's id of the post; NULL while it is not known"),
    Column("platform_post_url", Text, comment="its address for people"),
    Column("error_code", Text, comment="why it failed or is in doubt, in a word"),
    Column("error_message", Text, comment="and in words for the person"),
    Column("retryable", Boolean, comment="whether trying again can help"),
    Column("evidence", JSONB, comment="what was looked at where it is unconfirmed"),
    Column("published_at", Timestamp, comment="when it was seen to be published"),
    created_at(),
    Column(
        "slot_at",
        Timestamp,
        comment="the slot of its account that it took, in place of the time of its post; NULL for none",
    ),
    Column("untagged", Text, comment="content before campaign parameters were added to its links; NULL if none were"),
    Column("link_url", Text, comment="of the shared page, with campaign parameters; NULL for that of the post"),
    Column("slot_local_time", Text, comment="the wall time of that slot, such as 2026-11-28T09:00"),
    Column("slot_zone", Text, comment="the IANA zone of that time"),
    Column(
        "tzdata",
        Text,
        comment="release of the time zone database by which its wall time was turned into UTC; NULL without one",
    ),
    Column("moved_from", Timestamp, comment="when it was due before a later release moved it; NULL if none did"),
    Column(
        "object_kind",
        Text,
        comment="whether what an action acts on is a post or a comment; NULL if that is not known, and for a post",
    ),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "post_id"], ["posts.tenant_id", "posts.id"], ondelete="CASCADE"),
    ForeignKeyConstraint(["tenant_id", "connection_id"], ["connections.tenant_id", "connections.id"]),
    ForeignKeyConstraint(["tenant_id", "parent_id"], ["post_targets.tenant_id", "post_targets.id"]),
    CheckConstraint(f"state IN ({', '.join(repr(str(state)) for state in TargetState)})", name="state"),
    # Two targets never hold one post of the platform: the second would be the first one's.
    Index(
        "uq_post_targets_platform_post_id",
        *("tenant_id", "connection_id", "platform_post_id"),
        unique=True,
        postgresql_where=text("platform_post_id IS NOT NULL"),
    ),
    # Two targets never take one slot of an account.
    Index(
        "uq_post_targets_slot_at",
        *("tenant_id", "connection_id", "slot_at"),
        unique=True,
        postgresql_where=text(f"slot_at IS NOT NULL AND state <> '{TargetState.CANCELLED}'"),
    ),
    Index("ix_post_targets_slot_at", *("tenant_id", "slot_at"), postgresql_where=text("slot_at IS NOT NULL")),
    Index("ix_post_targets_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("ix_post_targets_post_id", "tenant_id", "post_id"),
    Index("ix_post_targets_parent_id", "tenant_id", "parent_id", postgresql_where=text("parent_id IS NOT NULL")),
    Index("ix_post_targets_connection_id", "tenant_id", "connection_id", "published_at"),
    Index(
        "ix_post_targets_state",
        *("state", "step_since"),
        postgresql_where=text("state NOT IN ('draft', 'published', 'cancelled')"),
    ),
    # Those whose time a later release of the time zone database may move.
    Index(
        "ix_post_targets_tzdata",
        "tzdata",
        postgresql_where=text(f"tzdata IS NOT NULL AND {TARGET.any_of(*NOT_BEGUN)}"),
    ),
    Index("ix_post_targets_digest", "tenant_id", "connection_id", "digest"),
    # Of those that a webhook may decide about, whether or not they are due.
    Index(
        "ix_post_targets_listening",
        *("platform", "step"),
        postgresql_where=text(TARGET.any_of(*LISTENING)),
    ),
    comment="Posts at the accounts that they are published with, and the state of that work",
)

database_incarnations = Table(
    "database_incarnations",
    metadata,
    Column("incarnation", Text, primary_key=True, comment="of server, timeline and database: another after a restore"),
    Column("began_at", Timestamp, nullable=False, server_default=func.now(), comment="when a worker first met it"),
    Column("last_seen_at", Timestamp, comment="when a process last reported before that; NULL for the first"),
    Column("held", Integer, nullable=False, server_default=text("0"), comment="targets that were then looked for"),
    comment="Histories that this database has lived: after a restore or a failover it may not know what was posted",
)
