"""The processes of the service, as each says of itself, so that `landfall doctor` need not guess."""

from sqlalchemy import CheckConstraint, Column, Integer, PrimaryKeyConstraint, Table, Text, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY

from schema.log import Timestamp
from schema.metadata import metadata

processes = Table(
    "processes",
    metadata,
    Column("id", Uuid, nullable=False, comment="made up when the process starts"),
    Column("kind", Text, nullable=False, comment="serve or work, by the command"),
    Column("host", Text, nullable=False, comment="the name of the machine"),
    Column("pid", Integer, nullable=False, comment="its number on that machine"),
    Column(
        "configured",
        ARRAY(Text),
        nullable=False,
        comment="what it has settings for: vault, redis, mail, and webhooks of each platform",
    ),
    Column("started_at", Timestamp, nullable=False, server_default=func.now(), comment="when it first reported"),
    Column("seen_at", Timestamp, nullable=False, server_default=func.now(), comment="written every few seconds"),
    PrimaryKeyConstraint("id"),
    CheckConstraint("kind IN ('serve', 'work')", name="kind"),
    comment="Processes of the service, as each reports itself; `landfall doctor` shows them",
)

outages = Table(
    "outages",
    metadata,
    Column("began_at", Timestamp, nullable=False, comment="when a process that receives webhooks last reported"),
    Column("ended_at", Timestamp, nullable=False, server_default=func.now(), comment="when the next one began"),
    Column("settled_at", Timestamp, comment="when what it may have lost was looked for; NULL: not yet"),
    PrimaryKeyConstraint("began_at"),
    CheckConstraint("ended_at > began_at", name="times"),
    comment="Times in which nothing received webhooks, and platforms repeated them",
)
