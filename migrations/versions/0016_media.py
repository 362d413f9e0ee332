"""Files that are posted, their uploads, and the addresses at which platforms fetch them."""

from migrations.script import run

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE media (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    stored_as TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    bytes BIGINT NOT NULL,
    content_type TEXT NOT NULL,
    kind TEXT NOT NULL,
    width INTEGER,
    height INTEGER,
    duration_ms BIGINT,
    details JSONB NOT NULL,
    file_name TEXT,
    source_url TEXT,
    converted_from UUID,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    removed_at TIMESTAMP WITH TIME ZONE,
    removed_by TEXT,
    purged_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_media PRIMARY KEY (tenant_id, id),
    CONSTRAINT ck_media_kind CHECK (kind IN ('image', 'gif', 'video', 'document')),
    CONSTRAINT ck_media_sha256 CHECK (length(sha256) = 32),
    CONSTRAINT ck_media_removed CHECK ((removed_at IS NULL) = (removed_by IS NULL)),
    CONSTRAINT ck_media_purged CHECK (purged_at IS NULL OR removed_at IS NOT NULL),
    CONSTRAINT fk_media_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_media_created_at ON media (created_at) WHERE removed_at IS NULL;
CREATE INDEX ix_media_removed_at ON media (removed_at) WHERE purged_at IS NULL AND removed_at IS NOT NULL;
CREATE UNIQUE INDEX uq_media_tenant_id_sha256 ON media (tenant_id, sha256) WHERE removed_at IS NULL;
COMMENT ON TABLE media IS 'Files to be posted: images, videos and documents';
COMMENT ON COLUMN media.tenant_id IS 'whose it is';
COMMENT ON COLUMN media.id IS 'UUID';
COMMENT ON COLUMN media.stored_as IS 'its name in the storage';
COMMENT ON COLUMN media.sha256 IS 'of the bytes: the same ones are stored once for a tenant';
COMMENT ON COLUMN media.bytes IS 'size of the file';
COMMENT ON COLUMN media.content_type IS 'as found in the bytes, whatever the upload said';
COMMENT ON COLUMN media.kind IS 'image, gif, video or document';
COMMENT ON COLUMN media.width IS 'in pixels, as shown: turned as the file says; NULL for a document';
COMMENT ON COLUMN media.height IS 'in pixels, as shown: turned as the file says; NULL for a document';
COMMENT ON COLUMN media.duration_ms IS 'of a video, or of one round of a moving image; NULL for all else';
COMMENT ON COLUMN media.details IS 'what else was found: codec, frames_per_second, audio, frames, pages, rotation …';
COMMENT ON COLUMN media.file_name IS 'as uploaded; NULL where none was given';
COMMENT ON COLUMN media.source_url IS 'where it was fetched from, without its query; NULL for an upload';
COMMENT ON COLUMN media.converted_from IS 'the file that it was made of; NULL for one that was uploaded or fetched';
COMMENT ON COLUMN media.created_by IS 'who brought it, as in audit_log';
COMMENT ON COLUMN media.created_at IS 'when it was made';
COMMENT ON COLUMN media.removed_at IS 'it cannot be used from then on; NULL while it can';
COMMENT ON COLUMN media.removed_by IS 'who removed it, as in audit_log: worker where its time was over';
COMMENT ON COLUMN media.purged_at IS 'when its bytes were deleted, after that; NULL while they are there';
CREATE TABLE media_uploads (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    length BIGINT,
    upload_offset BIGINT DEFAULT 0 NOT NULL,
    parts TEXT[] DEFAULT '{}' NOT NULL,
    file_name TEXT,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    media_id UUID,
    CONSTRAINT pk_media_uploads PRIMARY KEY (tenant_id, id),
    CONSTRAINT ck_media_uploads_upload_offset CHECK (upload_offset BETWEEN 0 AND coalesce(length, upload_offset)),
    CONSTRAINT fk_media_uploads_tenant_id_media_id_media FOREIGN KEY(tenant_id, media_id) REFERENCES media (tenant_id, id),
    CONSTRAINT fk_media_uploads_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_media_uploads_expires_at ON media_uploads (expires_at);
COMMENT ON TABLE media_uploads IS 'Uploads under way, and for a while what came of them';
COMMENT ON COLUMN media_uploads.tenant_id IS 'whose it is';
COMMENT ON COLUMN media_uploads.id IS 'UUID; names in the storage begin with it';
COMMENT ON COLUMN media_uploads.length IS 'bytes announced; NULL where the file is sent or fetched in one go';
COMMENT ON COLUMN media_uploads.upload_offset IS 'bytes stored so far';
COMMENT ON COLUMN media_uploads.parts IS 'their names in the storage, in the order of the bytes';
COMMENT ON COLUMN media_uploads.file_name IS 'as announced; NULL where none was given';
COMMENT ON COLUMN media_uploads.created_by IS 'who uploads it, as in audit_log';
COMMENT ON COLUMN media_uploads.created_at IS 'when it was made';
COMMENT ON COLUMN media_uploads.expires_at IS 'takes nothing from then on; what it stored is deleted';
COMMENT ON COLUMN media_uploads.media_id IS 'the file that came of it; NULL while it is not whole';
CREATE TABLE media_links (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    media_id UUID NOT NULL,
    target_id UUID NOT NULL,
    attempt INTEGER NOT NULL,
    token_sha256 BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_media_links PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_media_links_tenant_id_media_id_media FOREIGN KEY(tenant_id, media_id) REFERENCES media (tenant_id, id),
    CONSTRAINT fk_media_links_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_media_links_expires_at ON media_links (expires_at);
CREATE INDEX ix_media_links_tenant_id_target_id ON media_links (tenant_id, target_id);
CREATE INDEX ix_media_links_token_sha256 ON media_links (token_sha256);
COMMENT ON TABLE media_links IS 'Addresses at which a platform fetches a file, each for one attempt of one target';
COMMENT ON COLUMN media_links.tenant_id IS 'whose it is';
COMMENT ON COLUMN media_links.id IS 'UUID';
COMMENT ON COLUMN media_links.media_id IS 'the file that it leads to';
COMMENT ON COLUMN media_links.target_id IS 'the target of the post that it was made for';
COMMENT ON COLUMN media_links.attempt IS 'which attempt of that target it was made for';
COMMENT ON COLUMN media_links.token_sha256 IS 'of 256 random bits, so a fast digest is enough';
COMMENT ON COLUMN media_links.created_at IS 'when it was made';
COMMENT ON COLUMN media_links.expires_at IS 'leads nowhere from then on';
COMMENT ON COLUMN media_links.revoked_at IS 'leads nowhere from then on; NULL where nobody revoked it';
CREATE TABLE media_fetches (
    tenant_id UUID NOT NULL,
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    link_id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    method TEXT NOT NULL,
    status INTEGER NOT NULL,
    first_byte BIGINT,
    last_byte BIGINT,
    user_agent TEXT NOT NULL,
    CONSTRAINT pk_media_fetches PRIMARY KEY (tenant_id, id),
    CONSTRAINT fk_media_fetches_tenant_id_link_id_media_links FOREIGN KEY(tenant_id, link_id) REFERENCES media_links (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_media_fetches_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id)
);
CREATE INDEX ix_media_fetches_tenant_id_link_id ON media_fetches (tenant_id, link_id);
COMMENT ON TABLE media_fetches IS 'Requests for files by these addresses, written before the first byte is sent';
COMMENT ON COLUMN media_fetches.tenant_id IS 'whose it is';
COMMENT ON COLUMN media_fetches.id IS 'in the order of requests';
COMMENT ON COLUMN media_fetches.link_id IS 'the link that was followed';
COMMENT ON COLUMN media_fetches.at IS 'when it was asked for';
COMMENT ON COLUMN media_fetches.method IS 'GET or HEAD';
COMMENT ON COLUMN media_fetches.status IS 'of the answer: 200, 206 or 416';
COMMENT ON COLUMN media_fetches.first_byte IS 'asked for, from 0 on; NULL where no bytes were';
COMMENT ON COLUMN media_fetches.last_byte IS 'the last one sent; NULL for none, or where nobody saw the end of it';
COMMENT ON COLUMN media_fetches.user_agent IS 'as it calls itself, cut where it is long';
"""

TENANTED = ("media", "media_uploads", "media_links", "media_fetches")

# As in 0004.
POLICIES = """
ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON {table} USING (tenant_id::text = current_setting('landfall.tenant', true));
CREATE POLICY every_tenant ON {table} TO landfall_worker USING (current_setting('landfall.tenant', true) = '*');
"""

# As in 0004.
FUNCTIONS = """
CREATE FUNCTION find_media_link(token bytea) RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    acting text := coalesce(current_setting('landfall.tenant', true), '');
BEGIN
    PERFORM set_config('landfall.tenant', '*', true);
    RETURN QUERY SELECT l.tenant_id, l.id FROM public.media_links l
        WHERE l.token_sha256 = token AND l.revoked_at IS NULL AND l.expires_at > now();
    PERFORM set_config('landfall.tenant', acting, true);
END $$;
REVOKE ALL ON FUNCTION find_media_link FROM PUBLIC;
GRANT EXECUTE ON FUNCTION find_media_link TO landfall_web;
"""

GRANTS = """
GRANT SELECT, INSERT (tenant_id, id, stored_as, sha256, bytes, content_type, kind, width, height, duration_ms, details, file_name,
    source_url, converted_from, created_by), UPDATE (removed_at, removed_by) ON media TO landfall_web;
GRANT SELECT, INSERT (tenant_id, id, length, file_name, created_by, expires_at), UPDATE (upload_offset, parts,
    expires_at, media_id), DELETE ON media_uploads TO landfall_web;
GRANT SELECT, UPDATE (revoked_at) ON media_links TO landfall_web;
GRANT SELECT (tenant_id, id), INSERT (tenant_id, link_id, method, status, first_byte, user_agent), UPDATE (last_byte)
    ON media_fetches TO landfall_web;
GRANT SELECT, UPDATE (removed_at, removed_by, purged_at) ON media TO landfall_worker;
GRANT SELECT, DELETE ON media_uploads TO landfall_worker;
GRANT SELECT, INSERT (tenant_id, id, media_id, target_id, attempt, token_sha256, expires_at), UPDATE (revoked_at),
    DELETE ON media_links TO landfall_worker;
GRANT SELECT ON media_fetches TO landfall_worker;
"""


def upgrade() -> None:
    run(TABLES)
    for table in TENANTED:
        run(POLICIES.format(table=table))
    for script in (FUNCTIONS, GRANTS):
        run(script)


def downgrade() -> None:
    run(
        """
        DROP FUNCTION find_media_link;
        DROP TABLE media_fetches, media_links, media_uploads, media;
        """
    )
