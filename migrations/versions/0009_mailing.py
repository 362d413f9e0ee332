"""Which notice is mailed to whom."""

from migrations.script import run

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run(
        """
        CREATE TABLE notice_mails (
            tenant_id UUID NOT NULL,
            notice_id UUID NOT NULL,
            user_id UUID NOT NULL,
            state TEXT DEFAULT 'waiting' NOT NULL,
            tries INTEGER DEFAULT 0 NOT NULL,
            due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            mail_id UUID,
            claimed_at TIMESTAMP WITH TIME ZONE,
            created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
            CONSTRAINT pk_notice_mails PRIMARY KEY (tenant_id, notice_id, user_id),
            CONSTRAINT ck_notice_mails_state CHECK (state IN ('waiting', 'sending', 'sent', 'unknown', 'given_up')),
            CONSTRAINT ck_notice_mails_claimed CHECK (
                state IN ('waiting', 'given_up') OR (mail_id IS NOT NULL AND claimed_at IS NOT NULL)),
            CONSTRAINT fk_notice_mails_tenant_id_notice_id_notices FOREIGN KEY(tenant_id, notice_id)
                REFERENCES notices (tenant_id, id) ON DELETE CASCADE,
            CONSTRAINT fk_notice_mails_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
            CONSTRAINT fk_notice_mails_user_id_users FOREIGN KEY(user_id) REFERENCES users (id)
        );
        CREATE INDEX ix_notice_mails_due_at ON notice_mails (due_at) WHERE state = 'waiting';
        COMMENT ON COLUMN notice_mails.state IS 'unknown: handed over, and no answer came; it is not sent again';
        COMMENT ON COLUMN notice_mails.mail_id IS 'the mail that it is in, with whatever else that person is told';
        COMMENT ON COLUMN notice_mails.claimed_at IS 'when somebody began to send that mail';
        ALTER TABLE notice_mails ENABLE ROW LEVEL SECURITY;
        ALTER TABLE notice_mails FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON notice_mails USING (
            current_setting('landfall.tenant', true) IN ('*', tenant_id::text)
        );
        GRANT SELECT, INSERT, UPDATE, DELETE ON notice_mails TO landfall_app;
        """
    )


def downgrade() -> None:
    run("DROP TABLE notice_mails")
