"""Divide accounts among 256 buckets by a hash that the database can compute too, and put the bucket in every CRM key.

The work that waits goes over to the new buckets. Whoever holds a lease has lost it.
"""

from migrations.script import run

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# As schema/events.py has it. decode() and not convert_to(), which is only STABLE: a call of a function that contains it
# is not replaced by its body, and takes four times as long.
FUNCTION = r"""
CREATE FUNCTION bucket_of(provider text, account_id text) RETURNS smallint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE RETURN ((
    get_byte(sha256(decode(replace(provider || U&'\001F' || account_id, '\', '\\'), 'escape')), 0) * 256
    + get_byte(sha256(decode(replace(provider || U&'\001F' || account_id, '\', '\\'), 'escape')), 1)
) % 256)::smallint;
COMMENT ON FUNCTION bucket_of IS 'The bucket of an account, as schema.events.bucket_of computes it';
"""

# The rows of the leases are taken first, so that no batch is under way.
MOVE = """
SELECT FROM webhook_buckets ORDER BY bucket FOR UPDATE;
INSERT INTO webhook_buckets (bucket) SELECT generate_series(64, 255);
UPDATE webhook_buckets SET holder = NULL, leased_until = NULL, fence = fence + 1;
UPDATE webhook_event_queue q SET bucket = bucket_of(e.provider, e.account_id)
FROM webhook_event_log e WHERE e.account_id = q.account_id AND e.id = q.event_id;
UPDATE webhook_event_outcomes o SET bucket = bucket_of(e.provider, e.account_id)
FROM webhook_event_log e WHERE e.account_id = o.account_id AND e.id = o.event_id;
"""

# A generated column computes the values in the one rewrite of the table that there is, and is then made a plain one.
KEYS = """
ALTER TABLE ig_comments DROP CONSTRAINT fk_ig_comments_account_id_media_ig_id_ig_media;
ALTER TABLE tiktok_post_ids DROP CONSTRAINT fk_tiktok_post_ids_account_id_publish_id_tiktok_posts;
ALTER TABLE instagram_accounts ADD COLUMN bucket smallint NOT NULL GENERATED ALWAYS AS (bucket_of('instagram', account_id)) STORED;
ALTER TABLE instagram_accounts ALTER COLUMN bucket DROP EXPRESSION, DROP CONSTRAINT pk_instagram_accounts,
    ADD CONSTRAINT pk_instagram_accounts PRIMARY KEY (bucket, account_id);
COMMENT ON COLUMN instagram_accounts.bucket IS 'hash of the account; see schema.events.bucket_of';
ALTER TABLE ig_media ADD COLUMN bucket smallint NOT NULL GENERATED ALWAYS AS (bucket_of('instagram', account_id)) STORED;
ALTER TABLE ig_media ALTER COLUMN bucket DROP EXPRESSION, DROP CONSTRAINT pk_ig_media,
    ADD CONSTRAINT pk_ig_media PRIMARY KEY (bucket, account_id, ig_id);
COMMENT ON COLUMN ig_media.bucket IS 'hash of the account; see schema.events.bucket_of';
ALTER TABLE ig_comments ADD COLUMN bucket smallint NOT NULL GENERATED ALWAYS AS (bucket_of('instagram', account_id)) STORED;
ALTER TABLE ig_comments ALTER COLUMN bucket DROP EXPRESSION, DROP CONSTRAINT pk_ig_comments,
    ADD CONSTRAINT pk_ig_comments PRIMARY KEY (bucket, account_id, ig_id);
COMMENT ON COLUMN ig_comments.bucket IS 'hash of the account; see schema.events.bucket_of';
ALTER TABLE tiktok_accounts ADD COLUMN bucket smallint NOT NULL GENERATED ALWAYS AS (bucket_of('tiktok', account_id)) STORED;
ALTER TABLE tiktok_accounts ALTER COLUMN bucket DROP EXPRESSION, DROP CONSTRAINT pk_tiktok_accounts,
    ADD CONSTRAINT pk_tiktok_accounts PRIMARY KEY (bucket, account_id);
COMMENT ON COLUMN tiktok_accounts.bucket IS 'hash of the account; see schema.events.bucket_of';
ALTER TABLE tiktok_undated_removals ADD COLUMN bucket smallint NOT NULL GENERATED ALWAYS AS (bucket_of('tiktok', account_id)) STORED;
ALTER TABLE tiktok_undated_removals ALTER COLUMN bucket DROP EXPRESSION, DROP CONSTRAINT pk_tiktok_undated_removals,
    ADD CONSTRAINT pk_tiktok_undated_removals PRIMARY KEY (bucket, account_id, external_id);
COMMENT ON COLUMN tiktok_undated_removals.bucket IS 'hash of the account; see schema.events.bucket_of';
ALTER TABLE tiktok_posts ADD COLUMN bucket smallint NOT NULL GENERATED ALWAYS AS (bucket_of('tiktok', account_id)) STORED;
ALTER TABLE tiktok_posts ALTER COLUMN bucket DROP EXPRESSION, DROP CONSTRAINT pk_tiktok_posts,
    ADD CONSTRAINT pk_tiktok_posts PRIMARY KEY (bucket, account_id, publish_id);
COMMENT ON COLUMN tiktok_posts.bucket IS 'hash of the account; see schema.events.bucket_of';
ALTER TABLE tiktok_post_ids ADD COLUMN bucket smallint NOT NULL GENERATED ALWAYS AS (bucket_of('tiktok', account_id)) STORED;
ALTER TABLE tiktok_post_ids ALTER COLUMN bucket DROP EXPRESSION, DROP CONSTRAINT pk_tiktok_post_ids,
    ADD CONSTRAINT pk_tiktok_post_ids PRIMARY KEY (bucket, account_id, publish_id, post_id);
COMMENT ON COLUMN tiktok_post_ids.bucket IS 'hash of the account; see schema.events.bucket_of';
ALTER TABLE lookups ADD COLUMN bucket smallint NOT NULL GENERATED ALWAYS AS (bucket_of(provider, account_id)) STORED;
ALTER TABLE lookups ALTER COLUMN bucket DROP EXPRESSION, DROP CONSTRAINT pk_lookups,
    ADD CONSTRAINT pk_lookups PRIMARY KEY (bucket, account_id, provider, kind, object_id);
COMMENT ON COLUMN lookups.bucket IS 'hash of the account; see schema.events.bucket_of';
ALTER TABLE ig_comments ADD CONSTRAINT fk_ig_comments_bucket_account_id_media_ig_id_ig_media
    FOREIGN KEY (bucket, account_id, media_ig_id) REFERENCES ig_media (bucket, account_id, ig_id);
ALTER TABLE tiktok_post_ids ADD CONSTRAINT fk_tiktok_post_ids_bucket_account_id_publish_id_tiktok_posts
    FOREIGN KEY (bucket, account_id, publish_id) REFERENCES tiktok_posts (bucket, account_id, publish_id);
DROP INDEX ix_ig_comments_account_id_media_ig_id;
CREATE INDEX ix_ig_comments_bucket_account_id_media_ig_id ON ig_comments (bucket, account_id, media_ig_id);
CREATE OR REPLACE VIEW reporting.tiktok_posts AS
SELECT p.id, c.tenant_id AS user_id, c.id AS oauth_account_id, p.publish_id, p.status, p.source, p.title,
    p.error_code, p.error_message,
    jsonb_strip_nulls(jsonb_build_object('open_id', p.account_id, 'publish_type', p.publish_type, 'status_at',
        p.status_at, 'post_ids', (SELECT jsonb_agg(i.post_id ORDER BY i.post_id) FROM public.tiktok_post_ids i
            WHERE i.bucket = p.bucket AND i.account_id = p.account_id AND i.publish_id = p.publish_id AND i.is_public))) AS metadata,
    p.created_at, coalesce(p.updated_at, p.created_at) AS updated_at
FROM public.tiktok_posts p
LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) c ON c.account_id = p.account_id;
"""

KEYS_BACK = """
CREATE OR REPLACE VIEW reporting.tiktok_posts AS
SELECT p.id, c.tenant_id AS user_id, c.id AS oauth_account_id, p.publish_id, p.status, p.source, p.title,
    p.error_code, p.error_message,
    jsonb_strip_nulls(jsonb_build_object('open_id', p.account_id, 'publish_type', p.publish_type, 'status_at',
        p.status_at, 'post_ids', (SELECT jsonb_agg(i.post_id ORDER BY i.post_id) FROM public.tiktok_post_ids i
            WHERE i.account_id = p.account_id AND i.publish_id = p.publish_id AND i.is_public))) AS metadata,
    p.created_at, coalesce(p.updated_at, p.created_at) AS updated_at
FROM public.tiktok_posts p
LEFT JOIN (SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
WHERE platform = 'tiktok' ORDER BY account_id, state = 'active' DESC, authorized_at DESC, id) c ON c.account_id = p.account_id;
ALTER TABLE ig_comments DROP CONSTRAINT fk_ig_comments_bucket_account_id_media_ig_id_ig_media;
ALTER TABLE tiktok_post_ids DROP CONSTRAINT fk_tiktok_post_ids_bucket_account_id_publish_id_tiktok_posts;
ALTER TABLE instagram_accounts DROP CONSTRAINT pk_instagram_accounts, DROP COLUMN bucket, ADD CONSTRAINT pk_instagram_accounts PRIMARY KEY (account_id);
ALTER TABLE ig_media DROP CONSTRAINT pk_ig_media, DROP COLUMN bucket, ADD CONSTRAINT pk_ig_media PRIMARY KEY (account_id, ig_id);
ALTER TABLE ig_comments DROP CONSTRAINT pk_ig_comments, DROP COLUMN bucket, ADD CONSTRAINT pk_ig_comments PRIMARY KEY (account_id, ig_id);
ALTER TABLE tiktok_accounts DROP CONSTRAINT pk_tiktok_accounts, DROP COLUMN bucket, ADD CONSTRAINT pk_tiktok_accounts PRIMARY KEY (account_id);
ALTER TABLE tiktok_undated_removals DROP CONSTRAINT pk_tiktok_undated_removals, DROP COLUMN bucket, ADD CONSTRAINT pk_tiktok_undated_removals PRIMARY KEY (account_id, external_id);
ALTER TABLE tiktok_posts DROP CONSTRAINT pk_tiktok_posts, DROP COLUMN bucket, ADD CONSTRAINT pk_tiktok_posts PRIMARY KEY (account_id, publish_id);
ALTER TABLE tiktok_post_ids DROP CONSTRAINT pk_tiktok_post_ids, DROP COLUMN bucket, ADD CONSTRAINT pk_tiktok_post_ids PRIMARY KEY (account_id, publish_id, post_id);
ALTER TABLE lookups DROP CONSTRAINT pk_lookups, DROP COLUMN bucket, ADD CONSTRAINT pk_lookups PRIMARY KEY (account_id, provider, kind, object_id);
ALTER TABLE ig_comments ADD CONSTRAINT fk_ig_comments_account_id_media_ig_id_ig_media
    FOREIGN KEY (account_id, media_ig_id) REFERENCES ig_media (account_id, ig_id);
ALTER TABLE tiktok_post_ids ADD CONSTRAINT fk_tiktok_post_ids_account_id_publish_id_tiktok_posts
    FOREIGN KEY (account_id, publish_id) REFERENCES tiktok_posts (account_id, publish_id);
CREATE INDEX ix_ig_comments_account_id_media_ig_id ON ig_comments (account_id, media_ig_id);
"""

# The bucket of the release before: crc32 of the same text, by 64. PostgreSQL has crc32 from version 18 on only.
BACK = r"""
CREATE FUNCTION pg_temp.bucket_before(provider text, account_id text) RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE
    bytes bytea := convert_to(provider || U&'\001F' || account_id, 'UTF8');
    crc bigint := 4294967295;
BEGIN
    FOR i IN 0 .. octet_length(bytes) - 1 LOOP
        crc := crc # get_byte(bytes, i);
        FOR j IN 1 .. 8 LOOP
            crc := CASE WHEN crc & 1 = 1 THEN (crc >> 1) # 3988292384 ELSE crc >> 1 END;
        END LOOP;
    END LOOP;
    RETURN (crc # 4294967295) % 64;
END $$;
SELECT FROM webhook_buckets ORDER BY bucket FOR UPDATE;
CREATE TEMPORARY TABLE buckets_before ON COMMIT DROP AS
SELECT provider, account_id, pg_temp.bucket_before(provider, account_id) AS bucket
FROM (SELECT DISTINCT provider, account_id FROM webhook_event_log) a;
UPDATE webhook_event_queue q SET bucket = b.bucket FROM webhook_event_log e JOIN buckets_before b USING (provider, account_id)
WHERE e.account_id = q.account_id AND e.id = q.event_id;
UPDATE webhook_event_outcomes o SET bucket = b.bucket FROM webhook_event_log e JOIN buckets_before b USING (provider, account_id)
WHERE e.account_id = o.account_id AND e.id = o.event_id;
DELETE FROM webhook_buckets WHERE bucket >= 64;
UPDATE webhook_buckets SET holder = NULL, leased_until = NULL, fence = fence + 1;
DROP FUNCTION bucket_of, pg_temp.bucket_before;
"""


def upgrade() -> None:
    run(FUNCTION)
    run(MOVE)
    run(KEYS)


def downgrade() -> None:
    run(KEYS_BACK)
    run(BACK)
