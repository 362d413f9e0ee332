"""What is read from platforms: the work list of each account, what was read last, and who reads at the moment.

The state of work, beside the log: no table of ``schema.crm`` is made of it, so it is neither verified nor rebuilt.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from schema.crm.columns import Timestamp, account_id, bucket, facet, projection_version
from schema.metadata import metadata

SKIP_CODES = ("release", "scopes", "gone", "platform")
"""Why a task is skipped, for programs: this release cannot carry it out; no connection has a scope that it needs; what
it hangs on is no more; the platform does not let it be read."""

pull_tasks = Table(
    "pull_tasks",
    metadata,
    account_id("the account whose connection reads it"),
    Column("provider", Text, nullable=False, comment="the platform to read it from"),
    Column("kind", Text, nullable=False, comment="what is read, by the word of the platform's file"),
    Column("object_id", Text, nullable=False, comment="the platform's id of what it is about; '' for the account"),
    Column("wanted_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was last asked for"),
    Column("due_at", Timestamp, comment="not carried out before; NULL: not until somebody asks for it"),
    Column("pass_began_at", Timestamp, comment="when the walk that is under way, or the last one, began"),
    Column("swept_at", Timestamp, comment="when the last complete walk began"),
    Column("oldest_shown", Timestamp, comment="when the oldest object was made that this walk showed; NULL: not known"),
    Column("first_done_at", Timestamp, comment="when it was carried out for the first time"),
    Column("source_time", Timestamp, comment="when the platform made the object; NULL: not known"),
    Column("pages", BigInteger, nullable=False, server_default=text("0"), comment="read so far, over all walks"),
    Column("objects", BigInteger, nullable=False, server_default=text("0"), comment="in these pages"),
    Column(
        "shown", BigInteger, nullable=False, server_default=text("0"), comment="objects of its listing in this walk"
    ),
    Column("attempts", Integer, nullable=False, server_default=text("0"), comment="failures in a row"),
    bucket(),
    Column("priority", SmallInteger, nullable=False, comment="sync.pull.contract.Priority: the lower first"),
    Column("reason", Text, nullable=False, comment="why it was last asked for, in words"),
    Column("cursor", Text, nullable=False, server_default="", comment="where the next page begins; '' for the first"),
    Column(
        "wanted_version",
        Text(collation="C"),
        nullable=False,
        server_default="",
        comment="of the newest event that asked for it; '' for none",
    ),
    Column("mark", Text, nullable=False, server_default="", comment="what was seen when it was last asked for"),
    Column("trouble", Text, comment="what went wrong when it was last tried, in words"),
    Column("skip_code", Text, comment="why it is not carried out, in a word; NULL where it is"),
    Column("skipped", Text, comment="the same in words for a person"),
    PrimaryKeyConstraint("bucket", "account_id", "provider", "kind", "object_id"),
    CheckConstraint("priority BETWEEN 0 AND 4", name="priority"),
    CheckConstraint(f"skip_code IN ({', '.join(map(repr, SKIP_CODES))})", name="skip_code"),
    CheckConstraint("(skip_code IS NULL) = (skipped IS NULL)", name="skipped"),
    Index(
        "ix_pull_tasks_due_at",
        *("bucket", "account_id", "provider", "priority", "due_at"),
        postgresql_where=text("due_at IS NOT NULL"),
    ),
    comment="What is to be read from platforms, once or again and again",
)

pull_objects = Table(
    "pull_objects",
    metadata,
    account_id("the account whose connection read it"),
    Column("provider", Text, nullable=False, comment="the platform that it was read from"),
    Column("kind", Text, nullable=False, comment="of the object, by the word of the platform's file"),
    Column("object_id", Text, nullable=False, comment="the platform's id of the object"),
    Column("read_at", Timestamp, comment="when the request began whose answer was appended last"),
    Column("checked_at", Timestamp, comment="when the last request began whose answer showed it"),
    Column("source_time", Timestamp, comment="when the platform made it; NULL: not known"),
    Column("missed_at", Timestamp, comment="when the platform first said that it does not exist; NULL: not since"),
    Column("unlisted_at", Timestamp, comment="when a complete walk of its listing ended that did not show it"),
    Column("unlisted_by", Uuid, comment="connections.id by which that walk was read"),
    Column("gone_at", Timestamp, comment="when it was found to be no more; NULL while it is there"),
    bucket(),
    Column("parent", Text, nullable=False, server_default="", comment="in whose listing it stands; '' the account's"),
    Column("external_id", Text, nullable=False, server_default="", comment="of the last event about it; '' for none"),
    Column("digests", JSONB, nullable=False, server_default="{}", comment="of what was appended last, by event type"),
    PrimaryKeyConstraint("bucket", "account_id", "provider", "kind", "object_id"),
    Index("ix_pull_objects_parent", "bucket", "account_id", "provider", "kind", "parent"),
    comment="Objects of platforms as they were read last",
)

pull_accounts = Table(
    "pull_accounts",
    metadata,
    account_id("whose objects are read"),
    Column("provider", Text, nullable=False, comment="the platform"),
    Column("authorized_at", Timestamp, comment="of its newest active connection; NULL while it has none"),
    Column("began_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was connected first"),
    Column("leased_until", Timestamp, comment="free from then on"),
    Column(
        "served_at", Timestamp, nullable=False, server_default=text("'-infinity'"), comment="when it was last taken"
    ),
    Column("held_until", Timestamp, comment="nothing is asked before that; NULL: nothing says to wait"),
    Column(
        "fence",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="goes up with each holder, so that a former one can write nothing",
    ),
    Column("calls", BigInteger, nullable=False, server_default=text("0"), comment="requests that were sent for it"),
    bucket(),
    Column("holder", Text, comment="host and process that read it at the moment"),
    Column("trouble", Text, comment="why nothing is read at the moment, in words"),
    Column(
        "refused",
        ARRAY(Text),
        nullable=False,
        server_default="{}",
        comment="fields and numbers that the platform refuses to its connection",
    ),
    Column("progress", JSONB, nullable=False, server_default="{}", comment="tasks, counted when it was last served"),
    PrimaryKeyConstraint("bucket", "account_id", "provider"),
    CheckConstraint("(holder IS NULL) = (leased_until IS NULL)", name="lease"),
    comment="Accounts whose objects are read: who does it, and how far it has come",
)

pull_drifts = Table(
    "pull_drifts",
    metadata,
    account_id("whose rows were compared"),
    Column("provider", Text, nullable=False, comment="the platform"),
    Column("checked_at", Timestamp, nullable=False, server_default=func.now(), comment="when it ended"),
    Column("compared", BigInteger, nullable=False, comment="objects of the platform"),
    Column("missing", BigInteger, nullable=False, comment="rows that are not there"),
    Column("different", BigInteger, nullable=False, comment="rows that say something else"),
    Column("extra", BigInteger, nullable=False, comment="rows of what does not exist at the platform"),
    Column("complete", Boolean, nullable=False, comment="whether all could be read"),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id", "provider"),
    comment="What the last `landfall drift` found, by account",
)

lookups = Table(
    "lookups",
    metadata,
    account_id("the account whose events asked for it"),
    Column("provider", Text, nullable=False, comment="the platform to read it from"),
    Column("kind", Text, nullable=False, comment="what to read from the platform, by the projection's own word"),
    Column("object_id", Text, nullable=False, comment="the platform's id of what is to be read"),
    projection_version(),
    *facet("wanted", Column("reason", Text, comment="why, in words")),
    bucket(),
    PrimaryKeyConstraint("bucket", "account_id", "provider", "kind", "object_id"),
    comment="Empty: what the release before writes here goes to pull_tasks. To be dropped with the next release",
)
