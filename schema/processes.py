"""The processes of the service, as each says of itself, so that `landfall doctor` need not guess."""

from sqlalchemy import CheckConstraint, Column, Integer, PrimaryKeyConstraint, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY

from schema.log import Timestamp
from schema.metadata import metadata

processes = Table(
    "processes",
    metadata,
    Column("id", Uuid, nullable=False),
    Column("kind", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column(
        "configured",
        ARRAY(Text),
        nullable=False,
        comment="what it has settings for, such as webhooks:instagram or vault",
    ),
    Column("started_at", Timestamp, nullable=False, server_default=func.now()),
    Column("seen_at", Timestamp, nullable=False, server_default=func.now(), comment="written every few seconds"),
    PrimaryKeyConstraint("id"),
    CheckConstraint("kind IN ('serve', 'work')", name="kind"),
)
