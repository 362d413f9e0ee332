"""Files that are posted: what is known of each, uploads under way, and the addresses at which platforms fetch them.

The bytes are in the storage of ``publish/media/storage.py``: what an upload stores has names of its own there, and the
one that became the file is kept.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB

from schema.access import created_at, tenant_id
from schema.log import Timestamp
from schema.metadata import metadata

KINDS = ("image", "gif", "video", "audio", "document")
"""What a file can be. A GIF is a kind of its own, moving or not, as platforms have rules of their own for it."""

media = Table(
    "media",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID"),
    Column("stored_as", Text, nullable=False, comment="its name in the storage"),
    Column("sha256", LargeBinary, nullable=False, comment="of the bytes: the same ones are stored once for a tenant"),
    Column("bytes", BigInteger, nullable=False, comment="size of the file"),
    Column("content_type", Text, nullable=False, comment="as found in the bytes, whatever the upload said"),
    Column("kind", Text, nullable=False, comment="image, gif, video or document"),
    Column("width", Integer, comment="in pixels, as shown: turned as the file says; NULL for a document"),
    Column("height", Integer, comment="in pixels, as shown: turned as the file says; NULL for a document"),
    Column("duration_ms", BigInteger, comment="of a video, or of one round of a moving image; NULL for all else"),
    Column(
        "details",
        JSONB,
        nullable=False,
        comment="what else was found: codec, frames_per_second, audio, frames, pages, rotation …",
    ),
    Column("file_name", Text, comment="as uploaded; NULL where none was given"),
    Column("source_url", Text, comment="where it was fetched from, without its query; NULL for an upload"),
    Column("converted_from", Uuid, comment="the file that it was made of; NULL for one that was uploaded or fetched"),
    Column("created_by", Text, nullable=False, comment="who brought it, as in audit_log"),
    created_at(),
    Column("removed_at", Timestamp, comment="it cannot be used from then on; NULL while it can"),
    Column("removed_by", Text, comment="who removed it, as in audit_log: worker where its time was over"),
    Column("purged_at", Timestamp, comment="when its bytes were deleted, after that; NULL while they are there"),
    PrimaryKeyConstraint("tenant_id", "id"),
    CheckConstraint(f"kind IN ({', '.join(map(repr, KINDS))})", name="kind"),
    CheckConstraint("length(sha256) = 32", name="sha256"),
    CheckConstraint("(removed_at IS NULL) = (removed_by IS NULL)", name="removed"),
    CheckConstraint("purged_at IS NULL OR removed_at IS NOT NULL", name="purged"),
    Index("uq_media_tenant_id_sha256", "tenant_id", "sha256", unique=True, postgresql_where=text("removed_at IS NULL")),
    Index("ix_media_created_at", "created_at", postgresql_where=text("removed_at IS NULL")),
    Index("ix_media_removed_at", "removed_at", postgresql_where=text("purged_at IS NULL AND removed_at IS NOT NULL")),
    comment="Files to be posted: images, videos, sound and documents",
)

media_uploads = Table(
    "media_uploads",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID; names in the storage begin with it"),
    Column("length", BigInteger, comment="bytes announced; NULL where the file is sent or fetched in one go"),
    Column("upload_offset", BigInteger, nullable=False, server_default=text("0"), comment="bytes stored so far"),
    Column(
        "parts",
        ARRAY(Text),
        nullable=False,
        server_default=text("'{}'"),
        comment="their names in the storage, in the order of the bytes",
    ),
    Column("file_name", Text, comment="as announced; NULL where none was given"),
    Column("created_by", Text, nullable=False, comment="who uploads it, as in audit_log"),
    created_at(),
    Column("expires_at", Timestamp, nullable=False, comment="takes nothing from then on; what it stored is deleted"),
    Column("media_id", Uuid, comment="the file that came of it; NULL while it is not whole"),
    PrimaryKeyConstraint("tenant_id", "id"),
    CheckConstraint("upload_offset BETWEEN 0 AND coalesce(length, upload_offset)", name="upload_offset"),
    ForeignKeyConstraint(["tenant_id", "media_id"], ["media.tenant_id", "media.id"]),
    Index("ix_media_uploads_expires_at", "expires_at"),
    comment="Uploads under way, and for a while what came of them",
)

media_links = Table(
    "media_links",
    metadata,
    tenant_id(),
    Column("id", Uuid, nullable=False, comment="UUID"),
    Column("media_id", Uuid, nullable=False, comment="the file that it leads to"),
    Column("target_id", Uuid, nullable=False, comment="the target of the post that it was made for"),
    Column("attempt", Integer, nullable=False, comment="which attempt of that target it was made for"),
    Column("token_sha256", LargeBinary, nullable=False, comment="of 256 random bits, so a fast digest is enough"),
    created_at(),
    Column("expires_at", Timestamp, nullable=False, comment="leads nowhere from then on"),
    Column("revoked_at", Timestamp, comment="leads nowhere from then on; NULL where nobody revoked it"),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "media_id"], ["media.tenant_id", "media.id"]),
    Index("ix_media_links_token_sha256", "token_sha256"),
    Index("ix_media_links_tenant_id_media_id", "tenant_id", "media_id"),
    Index("ix_media_links_tenant_id_target_id", "tenant_id", "target_id"),
    Index("ix_media_links_expires_at", "expires_at"),
    comment="Addresses at which a platform fetches a file, each for one attempt of one target",
)

media_fetches = Table(
    "media_fetches",
    metadata,
    tenant_id(),
    Column("id", BigInteger, Identity(always=True), nullable=False, comment="in the order of requests"),
    Column("link_id", Uuid, nullable=False, comment="the link that was followed"),
    Column("at", Timestamp, nullable=False, server_default=func.now(), comment="when it was asked for"),
    Column("method", Text, nullable=False, comment="GET or HEAD"),
    Column("status", Integer, nullable=False, comment="of the answer: 200, 206 or 416"),
    Column("first_byte", BigInteger, comment="asked for, from 0 on; NULL where no bytes were"),
    Column("last_byte", BigInteger, comment="the last one sent; NULL for none, or where nobody saw the end of it"),
    Column("user_agent", Text, nullable=False, comment="as it calls itself, cut where it is long"),
    Column("address", INET, comment="from where, behind our proxies; NULL where it is not known"),
    PrimaryKeyConstraint("tenant_id", "id"),
    ForeignKeyConstraint(["tenant_id", "link_id"], ["media_links.tenant_id", "media_links.id"], ondelete="CASCADE"),
    Index("ix_media_fetches_tenant_id_link_id", "tenant_id", "link_id"),
    comment="Requests for files by these addresses, written before the first byte is sent",
)
