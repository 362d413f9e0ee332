"""The log: what platforms sent, the events in it, and how far the work on each event has come.

A request is stored as it came, and answered; the worker splits it into events later. Seven tables, so that each stays
fast at any size. (``ops/bench/work_state.py``, a million events: with the state of the work in columns of the wide
event row, draining took 1.7 to 2.3 times as long and wrote 3 to 5 times the WAL.)

- ``webhook_deliveries``: one row per accepted HTTP request, with its raw bytes and what proves it. A 200 stands for
  this row, of duplicates too, and for WAL that was flushed. The bytes of a body that was sent before are dropped once
  it is split: ``body_of`` names the delivery that holds them.
- ``webhook_delivery_queue``: one small row per delivery that waits to be split. Its absence means that it is.
- ``webhook_delivery_outcomes``: one row per delivery that is split, with what was in it. It is written in the same
  transaction as the events.
- ``webhook_event_identities``: one narrow row per event that was ever received, kept for ever. It is what makes a
  duplicate a duplicate, also when the event itself has long been dropped.
- ``webhook_event_log``: one immutable row per event. The service's role has no UPDATE and no DELETE on it.
- ``webhook_event_queue``: one small row per event that waits. Its absence means the event is settled.
- ``webhook_event_outcomes``: one small row per event that is settled: done, ignored, parked or dead.

``webhook_events`` is the view a person reads: the log with ``state``, ``processed_at``, ``error_message`` and
``retry_count`` beside each event, always true because they are computed from the rows above.

The transitions between states are the table of ``schema.event_states``. An event is settled by deleting its queue row
and inserting its outcome row in one statement, and released by the opposite.

*leased* is pending work whose bucket somebody holds: a lease is a row of ``webhook_buckets``, one for each of
256 hashes of the account. Holding one, a worker needs no row locks on the queue, two workers never touch one
account, and the fence number refuses a holder that woke up too late.

``bucket`` stands in every key of events, so that the tables can be distributed by it. There is no foreign key between
log, queue and outcomes: each pair is written by one statement.

The tables that only grow are partitioned by the month of their ids, which begin with a time: of deliveries it is in
their UUIDv7, of events in the upper bits. ``make_partitions`` of the database makes partitions ahead, and the worker
calls it. There is a default partition, so that nothing is ever refused for want of one, and one for the time before the
first month. Rows are read and written by the table's name; nobody but the owner has rights on a partition.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from schema.event_states import FOR_A_PERSON, SETTLED, quoted
from schema.metadata import metadata

Timestamp = DateTime(timezone=True)


def _created_at() -> Column[object]:
    return Column("created_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was received")


webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", Uuid, primary_key=True, comment="UUIDv7; the correlation id of everything that follows from it"),
    Column("provider", Text, nullable=False, comment="the platform that sent it"),
    Column("received_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was received"),
    Column(
        "verdict",
        Text,
        nullable=False,
        comment="accepted; quarantined: genuine, and signed longer ago than the platform repeats a delivery",
    ),
    Column("secret_used", Text, nullable=False, comment="name of the variable, and which of its values matched"),
    Column("signed_at", Timestamp, comment="time in the signature, where the scheme has one"),
    Column("headers", LargeBinary, nullable=False, comment="the lines of those that prove it, as received"),
    Column("body", LargeBinary, comment="the bytes the signature was made over; NULL where body_of has the same"),
    Column("body_of", Uuid, comment="the delivery that holds the same body, which is stored once"),
    CheckConstraint("verdict IN ('accepted', 'quarantined')", name="verdict"),
    CheckConstraint("(body IS NULL) = (body_of IS NOT NULL)", name="body"),
    Index("ix_webhook_deliveries_received_at", "received_at", postgresql_using="brin"),
    Index("ix_webhook_deliveries_body_of", "body_of", postgresql_where=text("body_of IS NOT NULL")),
    Index("ix_webhook_deliveries_erased", "id", postgresql_where=text("body = ''")),
    comment="Accepted requests, as received",
    postgresql_partition_by="RANGE (id)",
)

webhook_delivery_queue = Table(
    "webhook_delivery_queue",
    metadata,
    Column("delivery_id", Uuid, primary_key=True, comment="of the delivery"),
    Column(
        "new_events",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="events that were new so far, of a large one that is split in portions",
    ),
    comment="Deliveries that wait to be split into events",
)

webhook_delivery_outcomes = Table(
    "webhook_delivery_outcomes",
    metadata,
    Column("delivery_id", Uuid, primary_key=True, comment="of the delivery"),
    Column("split_at", Timestamp, nullable=False, server_default=func.now(), comment="when its events were appended"),
    Column("rule_version", SmallInteger, nullable=False, comment="version of the rule that split it"),
    Column(
        "verdict",
        Text,
        nullable=False,
        comment="accepted; unreadable: no event could be read from it; quarantined: as the delivery",
    ),
    Column("verdict_reason", Text, comment="why it is not accepted as it is"),
    Column("event_count", Integer, nullable=False, comment="events in it"),
    Column("new_event_count", Integer, nullable=False, comment="those of them that the log did not have"),
    Column("body_sha256", LargeBinary, nullable=False, comment="of the body, before anything was parsed"),
    Column(
        "holds_body",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="later deliveries with the same body point to this one",
    ),
    CheckConstraint("verdict IN ('accepted', 'unreadable', 'quarantined')", name="verdict"),
    CheckConstraint("new_event_count BETWEEN 0 AND event_count", name="counts"),
    Index(
        "ix_webhook_delivery_outcomes_body_sha256",
        "body_sha256",
        postgresql_using="hash",
        postgresql_where=text("holds_body"),  # a body may have any number of copies
    ),
    comment="Deliveries that are split: what each came to",
    postgresql_partition_by="RANGE (delivery_id)",
)

webhook_event_identities = Table(
    "webhook_event_identities",
    metadata,
    Column("bucket", SmallInteger, nullable=False, comment="of the account"),
    Column(
        "identity",
        Uuid,
        nullable=False,
        comment="hashes of the account (48 bits) and of the event within it (80 bits)",
    ),
    Column("event_id", BigInteger, nullable=False, comment="of the log, which may have dropped the event since"),
    PrimaryKeyConstraint("bucket", "identity"),
    comment="The names of all events that were ever received: each is received once",
)

webhook_event_log = Table(
    "webhook_event_log",
    metadata,
    # Columns of fixed width first: less is lost between them.
    Column(
        "id",
        BigInteger,
        nullable=False,
        autoincrement=False,
        comment="in the order of the log: seconds since 2020, and a number within the second",
    ),
    _created_at(),
    Column("occurred_at", Timestamp, comment="the platform's clock for the thing itself"),
    Column("delivery_id", Uuid, comment="first delivery that carried it; NULL for facts of our own"),
    Column("bucket", SmallInteger, nullable=False, comment="of the account"),
    Column("rule_version", SmallInteger, nullable=False, comment="version of the rule that made external_id"),
    Column("sanitized", Boolean, nullable=False, comment="payload_json differs from the raw bytes"),
    Column("provider", Text, nullable=False, comment="the platform that it is of"),
    Column("account_id", Text, nullable=False, comment="the platform's id of the account the event is about"),
    Column("event_type", Text, nullable=False, comment="the platform's own word"),
    Column("external_id", Text, nullable=False, comment="deterministic; see the platform's split rules"),
    Column(
        "source",
        Text,
        nullable=False,
        server_default="webhook",
        comment="webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall's",
    ),
    Column("defect", Text, comment="why the event cannot be projected as it is"),
    Column("payload_json", JSONB, comment="NULL where the body could not be read; the delivery has the bytes"),
    PrimaryKeyConstraint("bucket", "account_id", "id"),
    CheckConstraint("source IN ('webhook', 'poll', 'own')", name="source"),
    Index("ix_webhook_event_log_created_at", "created_at", postgresql_using="brin"),
    Index("ix_webhook_event_log_id", "id"),  # the newest events, and one by its number, whatever its account
    comment="Events, each once; never changed",
    postgresql_partition_by="RANGE (id)",
)

webhook_dropped_events = Table(
    "webhook_dropped_events",
    metadata,
    Column("bucket", SmallInteger, nullable=False, comment="of the account"),
    Column("provider", Text, nullable=False, comment="the platform that it is of"),
    Column("account_id", Text, nullable=False, comment="the platform's id of the account"),
    Column("event_count", BigInteger, nullable=False, comment="how many events were dropped"),
    Column("newest_at", Timestamp, nullable=False, comment="when the newest of them was received"),
    PrimaryKeyConstraint("bucket", "provider", "account_id"),
    comment="Accounts of whose events the log has dropped some: no rebuild can make their rows anew",
)

retention_policies = Table(
    "retention_policies",
    metadata,
    Column("platform", Text, nullable=False, comment="of which platform"),
    Column(
        "kind",
        Text,
        nullable=False,
        comment="a type of events; events: those without a policy of their own; deliveries: raw requests",
    ),
    Column("days", Integer, comment="for how many days after they were received; NULL for ever"),
    PrimaryKeyConstraint("platform", "kind"),
    CheckConstraint("days >= 1", name="days"),
    comment="How long the log keeps what it holds; for ever where nothing is said",
)

webhook_event_queue = Table(
    "webhook_event_queue",
    metadata,
    Column("bucket", SmallInteger, nullable=False, comment="the lease under which it is worked on"),
    Column("account_id", Text, nullable=False, comment="of the event"),
    Column("event_id", BigInteger, nullable=False, comment="of the log"),
    Column("due_at", Timestamp, nullable=False, server_default=func.now(), comment="not worked on before"),
    Column("retry_count", Integer, nullable=False, server_default=text("0"), comment="failures so far"),
    Column("error_message", Text, comment="of the last failure"),
    PrimaryKeyConstraint("bucket", "account_id", "event_id"),
    CheckConstraint("retry_count >= 0", name="retry_count"),
    comment="Events that wait to be projected",
)

webhook_event_outcomes = Table(
    "webhook_event_outcomes",
    metadata,
    Column("event_id", BigInteger, nullable=False, comment="of the log"),
    Column("settled_at", Timestamp, nullable=False, server_default=func.now(), comment="when it came to this state"),
    Column("retry_count", Integer, nullable=False, server_default=text("0"), comment="failures until then"),
    Column("bucket", SmallInteger, nullable=False, comment="the lease under which it was worked on"),
    Column("projection_version", SmallInteger, comment="version of the projection that settled it"),
    Column("account_id", Text, nullable=False, comment="of the event"),
    Column("state", Text, nullable=False, comment="done, ignored, parked or dead; the last two wait for a person"),
    Column("error_message", Text, comment="of the last failure, or why somebody ignored it"),
    PrimaryKeyConstraint("bucket", "account_id", "event_id"),
    CheckConstraint(f"state IN ({quoted(SETTLED)})", name="state"),
    CheckConstraint(f"state NOT IN ({quoted(FOR_A_PERSON)}) OR error_message IS NOT NULL", name="reason"),
    Index(
        "ix_webhook_event_outcomes_unsettled",
        "state",
        "settled_at",
        postgresql_where=text(f"state IN ({quoted(FOR_A_PERSON)})"),
    ),
    Index("ix_webhook_event_outcomes_settled_at", "settled_at", postgresql_using="brin"),
    comment="Events that are settled",
    postgresql_partition_by="RANGE (event_id)",
)

webhook_buckets = Table(
    "webhook_buckets",
    metadata,
    Column("bucket", SmallInteger, primary_key=True, autoincrement=False, comment="hash of an account"),
    Column("holder", Text, comment="host and process that hold it"),
    Column(
        "fence",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="goes up with each holder, so that a former one can write nothing",
    ),
    Column("leased_until", Timestamp, comment="free from then on"),
    Column(
        "served_at",
        Timestamp,
        nullable=False,
        server_default=text("'-infinity'"),
        comment="when it was last taken; the longest ago is next",
    ),
    CheckConstraint("(holder IS NULL) = (leased_until IS NULL)", name="lease"),
    comment="Leases on the work: who holds one works on its accounts alone",
)

webhook_refusals = Table(
    "webhook_refusals",
    metadata,
    Column("provider", Text, nullable=False, comment="the platform whose address it was sent to"),
    Column("slot", SmallInteger, nullable=False, comment="a ring: the newest sample takes the oldest one's place"),
    Column("reason", Text, nullable=False, comment="why it was refused"),
    Column("headers", JSONB, nullable=False, comment="as received, less anything secret"),
    Column("body_head", LargeBinary, nullable=False, comment="the first bytes only"),
    Column("body_size", Integer, nullable=False, comment="of the whole body, in bytes"),
    Column("refused_at", Timestamp, nullable=False, server_default=func.now(), comment="when it was refused"),
    PrimaryKeyConstraint("provider", "slot"),
    comment="A sample of refused requests",
)

WEBHOOK_EVENTS = (
    "Events with the work on each: what people and dashboards read",
    {
        "id": "in the order of the log",
        "provider": "the platform that it is of",
        "event_type": "the platform's own word",
        "external_id": "deterministic; see the platform's split rules",
        "account_id": "the platform's id of the account the event is about",
        "payload_json": "NULL where the body could not be read; the delivery has the bytes",
        "state": "pending, leased (being worked on), done, ignored, parked or dead; the last two wait for a person",
        "processed_at": "when its rows were written, or it was ignored; NULL until then",
        "error_message": "of the last failure, or why somebody ignored it",
        "retry_count": "failures so far",
        "due_at": "not worked on before; NULL once it is settled",
        "settled_at": "when it came to its state; NULL while it waits",
        "projection_version": "version of the projection that settled it",
        "occurred_at": "the platform's clock for the thing itself",
        "created_at": "when it was received",
        "delivery_id": "first delivery that carried it; NULL for facts of our own",
        "rule_version": "version of the rule that made external_id",
        "defect": "why the event cannot be projected as it is",
        "sanitized": "payload_json differs from the raw bytes",
        "source": "webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall's",
        "bucket": "of the account",
    },
)
"""The comments of that view and of its columns. The view itself is made by its migration."""
