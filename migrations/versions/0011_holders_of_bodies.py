"""Note which delivery holds a body, so that a copy is found a holder at one look, however many copies there are."""

from migrations.script import run

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

COLUMN = """
ALTER TABLE webhook_delivery_outcomes ADD COLUMN holds_body BOOLEAN DEFAULT false NOT NULL;
COMMENT ON COLUMN webhook_delivery_outcomes.holds_body IS 'later deliveries with the same body point to this one';
UPDATE webhook_delivery_outcomes o SET holds_body = true FROM webhook_deliveries d
    WHERE d.id = o.delivery_id AND d.body <> '';
DROP INDEX ix_webhook_delivery_outcomes_body_sha256;
CREATE INDEX ix_webhook_delivery_outcomes_body_sha256 ON webhook_delivery_outcomes USING hash (body_sha256)
    WHERE holds_body;
GRANT INSERT (holds_body) ON webhook_delivery_outcomes TO landfall_worker;
"""

# It runs with the rights of whoever owns it, for the worker, which may not change a body itself; and it drops nothing
# that is not there a second time. What holds a body stays so: otherwise its copies would point to one that points on.
# An erased body is empty.
FUNCTION = """
CREATE OR REPLACE FUNCTION share_bodies(copies uuid[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    copy record;
    holder uuid;
BEGIN
    FOR copy IN
        SELECT d.id, d.provider, d.body, o.body_sha256
        FROM public.webhook_deliveries d JOIN public.webhook_delivery_outcomes o ON o.delivery_id = d.id
        WHERE d.id = ANY (copies) AND d.body <> '' AND NOT o.holds_body ORDER BY d.id
    LOOP
        SELECT f.id INTO holder
        FROM public.webhook_delivery_outcomes p JOIN public.webhook_deliveries f ON f.id = p.delivery_id
        WHERE p.holds_body AND p.body_sha256 = copy.body_sha256 AND f.provider = copy.provider AND f.body = copy.body
        ORDER BY f.id LIMIT 1;
        IF holder IS NULL THEN
            UPDATE public.webhook_delivery_outcomes SET holds_body = true WHERE delivery_id = copy.id;
        ELSE
            UPDATE public.webhook_deliveries SET body = NULL, body_of = holder WHERE id = copy.id AND body <> '';
        END IF;
    END LOOP;
END $$;
"""

BACK = """
CREATE OR REPLACE FUNCTION share_bodies(copies uuid[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE public.webhook_deliveries d SET body = NULL, body_of = first.id
    FROM unnest(copies) AS given (id)
        JOIN public.webhook_deliveries copy ON copy.id = given.id
        JOIN public.webhook_delivery_outcomes o ON o.delivery_id = copy.id,
        LATERAL (
            SELECT f.id FROM public.webhook_delivery_outcomes p JOIN public.webhook_deliveries f ON f.id = p.delivery_id
            WHERE p.body_sha256 = o.body_sha256 AND f.provider = copy.provider AND f.body = copy.body AND f.id < copy.id
            ORDER BY f.id LIMIT 1
        ) first
    WHERE d.id = copy.id AND copy.body <> ''
$$;
REVOKE INSERT (holds_body) ON webhook_delivery_outcomes FROM landfall_worker;
DROP INDEX ix_webhook_delivery_outcomes_body_sha256;
CREATE INDEX ix_webhook_delivery_outcomes_body_sha256 ON webhook_delivery_outcomes USING hash (body_sha256);
ALTER TABLE webhook_delivery_outcomes DROP COLUMN holds_body;
"""


def upgrade() -> None:
    run(COLUMN)
    run(FUNCTION)


def downgrade() -> None:
    run(BACK)
