"""Invitations that a person confirms, passwords that somebody else chose, and who made an API key.

The previous release knows none of this while both run: a key that it makes has no maker here, a person whom it removes
from the last tenant is forgotten by the worker of this one, and to it a password that somebody else chose is one like
any other. So upgrade every process before the first ``landfall user add --password-file``.
"""

from migrations.script import run

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INVITATIONS = """
CREATE TABLE invitations (
    tenant_id UUID NOT NULL,
    id UUID NOT NULL,
    email TEXT NOT NULL,
    role TEXT NOT NULL,
    link_sha256 BYTEA NOT NULL,
    inviter_id UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_invitations PRIMARY KEY (tenant_id, id),
    CONSTRAINT uq_invitations_tenant_id_email UNIQUE (tenant_id, email),
    CONSTRAINT ck_invitations_role CHECK (role IN ('owner', 'editor', 'viewer')),
    CONSTRAINT ck_invitations_email CHECK (email = lower(email)),
    CONSTRAINT fk_invitations_tenant_id_tenants FOREIGN KEY(tenant_id) REFERENCES tenants (id),
    CONSTRAINT fk_invitations_inviter_id_users FOREIGN KEY(inviter_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE INDEX ix_invitations_link_sha256 ON invitations (link_sha256);
COMMENT ON COLUMN invitations.email IS 'in lower case';
COMMENT ON COLUMN invitations.link_sha256 IS 'of 256 random bits, so a fast digest is enough';
COMMENT ON COLUMN invitations.inviter_id IS 'NULL for whoever runs the install';
ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitations USING (
    current_setting('landfall.tenant', true) IN ('*', tenant_id::text)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON invitations TO landfall_app;
"""

PASSWORDS = """
ALTER TABLE users ADD COLUMN password_tenant_id UUID,
    ADD CONSTRAINT fk_users_password_tenant_id_tenants FOREIGN KEY(password_tenant_id) REFERENCES tenants (id);
COMMENT ON COLUMN users.password_tenant_id IS
    'where somebody else chose the password, which only lets the person choose another; NULL for their own';
COMMENT ON COLUMN users.password_hash IS 'Argon2id, parameters and salt included; empty where no password fits';
GRANT DELETE ON users TO landfall_app;
"""

# Names of keys are never free again, so the log says of each who made it.
MAKERS = """
ALTER TABLE api_keys ADD COLUMN user_id UUID,
    ADD CONSTRAINT fk_api_keys_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE SET NULL;
COMMENT ON COLUMN api_keys.user_id IS
    'who made it, and with whose membership it ends; NULL for whoever runs the install';
SELECT set_config('landfall.tenant', '*', true);
UPDATE api_keys k SET user_id = u.id FROM audit_log a JOIN users u ON a.actor = 'user:' || u.email
WHERE a.tenant_id = k.tenant_id AND a.action = 'key.created' AND a.subject = k.name;
"""

# Whoever belongs nowhere was removed everywhere; the password may be one that somebody else chose.
FORGOTTEN = """
DELETE FROM notice_mails n WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.user_id = n.user_id);
DELETE FROM sessions s WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.user_id = s.user_id);
DELETE FROM devices d WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.user_id = d.user_id);
DELETE FROM users u WHERE NOT EXISTS (SELECT FROM memberships m WHERE m.user_id = u.id);
SELECT set_config('landfall.tenant', '', true);
"""


def upgrade() -> None:
    for script in (INVITATIONS, PASSWORDS, MAKERS, FORGOTTEN):
        run(script)


def downgrade() -> None:
    run(
        """
        DROP TABLE invitations;
        REVOKE DELETE ON users FROM landfall_app;
        ALTER TABLE api_keys DROP COLUMN user_id;
        UPDATE users SET password_hash = '!' WHERE password_tenant_id IS NOT NULL OR password_hash = '';
        ALTER TABLE users DROP COLUMN password_tenant_id;
        COMMENT ON COLUMN users.password_hash IS 'Argon2id, parameters and salt included';
        """
    )
