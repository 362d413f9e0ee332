"""What verifications of the CRM tables found."""

from sqlalchemy import BigInteger, Boolean, Column, Identity, Table, func, text

from schema.crm.columns import Timestamp
from schema.metadata import metadata

crm_verifications = Table(
    "crm_verifications",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="in the order of verifications"),
    Column("verified_at", Timestamp, nullable=False, server_default=func.now(), comment="when it ended"),
    Column("compared_rows", BigInteger, nullable=False, comment="rows of the tables that were compared"),
    Column("drifted_rows", BigInteger, nullable=False, comment="rows that were not what the log says"),
    Column(
        "colliding_ids",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        comment="numbers that two rows of a table share as their id",
    ),
    Column("began_at", Timestamp, comment="when it began: events that are settled later are not in it"),
    Column(
        "changed_only",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether it compared only rows that events were about since the verification before",
    ),
    comment="What each `landfall verify` found; the newest is what the gauges show",
)
