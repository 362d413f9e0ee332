"""Posts that repeat, what became of each of their occurrences, and the slots of the queues of accounts."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Time,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from schema.access import created_at, tenant_id
from schema.log import Timestamp
from schema.metadata import metadata
from schema.states import OccurrenceState, RecurrenceState

post_recurrences = Table(
    "post_recurrences",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID, ordered by time; posts.schedule_id of its posts"),
    Column(
        "template",
        JSONB,
        nullable=False,
        comment="content, files, targets and options of each post, as they were asked for",
    ),
    Column(
        "media_ids",
        ARRAY(Uuid),
        nullable=False,
        server_default="{}",
        comment="the files that these name, which are kept while it goes on",
    ),
    Column("rule", Text, nullable=False, comment="of RFC 5545, such as FREQ=WEEKLY;BYDAY=MO;COUNT=10"),
    Column("start_time", Text, nullable=False, comment="the wall time of the first occurrence, or its instant with Z"),
    Column("zone", Text, nullable=False, comment="the IANA zone of all its wall times"),
    Column("author", Text, nullable=False, comment="who made it, as in audit_log"),
    Column("state", Text, nullable=False, server_default=RecurrenceState.ACTIVE, comment="see docs/states.md"),
    Column(
        "revision",
        Integer,
        nullable=False,
        server_default=text("1"),
        comment="goes up with each change, which arms it anew",
    ),
    Column(
        "armed_at",
        Timestamp,
        nullable=False,
        server_default=func.now(),
        comment="what was due until then is past, and is not made",
    ),
    Column(
        "handled",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="number of the last occurrence of this revision that was made or missed",
    ),
    Column("next_at", Timestamp, comment="when the one after that is due; NULL where there is none"),
    Column("due_at", Timestamp, comment="when to look for what is to be made; NULL while nothing is"),
    Column("trouble", Text, comment="why the next post cannot be made so far; NULL where nothing is wrong"),
    Column(
        "held_until",
        Timestamp,
        comment="what was due until then is not made: the database was restored; NULL for never",
    ),
    Column("idempotency_key", Text, comment="of the request that made it"),
    Column("request_sha256", LargeBinary, comment="of that request, to tell a repeat from another use of the key"),
    created_at(),
    Column("updated_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was last changed"),
    Column("tzdata", Text, comment="release of the time zone database that gave next_at; NULL if it is not known"),
    PrimaryKeyConstraint("tenant_id", "id"),
    UniqueConstraint("tenant_id", "idempotency_key"),
    CheckConstraint(f"state IN ({', '.join(repr(str(state)) for state in RecurrenceState)})", name="state"),
    Index("ix_post_recurrences_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    comment="Posts that repeat by a rule; each occurrence is a post of its own",
)

post_occurrences = Table(
    "post_occurrences",
    metadata,
    tenant_id(),
    Column("recurrence_id", Uuid, nullable=False, comment="of what"),
    Column("revision", Integer, nullable=False, comment="of that, which gave this time"),
    Column("number", Integer, nullable=False, comment="from 1, at the first wall time of the rule"),
    Column("at", Timestamp, nullable=False, comment="when it is, or was, due"),
    Column(
        "state",
        Text,
        nullable=False,
        comment="made; missed: it passed while nobody could make it; replaced: cancelled by a change, unpublished",
    ),
    Column("post_id", Uuid, comment="the post; NULL for one that was missed"),
    Column("reason", Text, comment="why it was missed; NULL for a post"),
    created_at(),
    # What lets an occurrence be made once, whoever makes it.
    PrimaryKeyConstraint("tenant_id", "recurrence_id", "revision", "number"),
    CheckConstraint(f"state IN ({', '.join(repr(str(state)) for state in OccurrenceState)})", name="state"),
    CheckConstraint(f"(state = '{OccurrenceState.MISSED}') = (post_id IS NULL)", name="post_id"),
    ForeignKeyConstraint(
        ["tenant_id", "recurrence_id"], ["post_recurrences.tenant_id", "post_recurrences.id"], ondelete="CASCADE"
    ),
    comment="What became of each occurrence of posts that repeat: its key lets it be made once",
)

queue_slots = Table(
    "queue_slots",
    metadata,
    tenant_id(),
    Column("connection_id", Uuid, nullable=False, comment="the account"),
    Column("weekday", SmallInteger, nullable=False, comment="0 for Monday to 6 for Sunday"),
    Column("local_time", Time, nullable=False, comment="the wall time"),
    Column("zone", Text, nullable=False, comment="the IANA zone of that time, the same for all of an account"),
    PrimaryKeyConstraint("tenant_id", "connection_id", "weekday", "local_time"),
    CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),
    ForeignKeyConstraint(
        ["tenant_id", "connection_id"], ["connections.tenant_id", "connections.id"], ondelete="CASCADE"
    ),
    comment="Times of the week at which an account publishes what takes its next free slot",
)
