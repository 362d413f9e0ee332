"""Divide accounts among 256 buckets by a hash that the database can compute too.

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


def downgrade() -> None:
    run(BACK)
