"""Sessions that end when nobody uses them, and second factors.

The previous release begins sessions without a second factor and does not write when one was last used: people who have
a factor log in again at this release, and a session that only the previous release serves ends as an idle one.
"""

from migrations.script import run

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SESSIONS = """
ALTER TABLE sessions
    ADD COLUMN id UUID DEFAULT gen_random_uuid() NOT NULL,
    ADD COLUMN last_used_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    ADD COLUMN browser TEXT DEFAULT '' NOT NULL,
    ADD COLUMN second_factor BOOLEAN DEFAULT false NOT NULL;
COMMENT ON COLUMN sessions.id IS 'what the list of sessions calls it; opens nothing';
COMMENT ON COLUMN sessions.last_used_at IS 'written at most once a minute';
COMMENT ON COLUMN sessions.browser IS 'in words, from the User-Agent header';
COMMENT ON COLUMN sessions.second_factor IS 'begun with one; a session without ends when its person has one';
CREATE INDEX ix_sessions_user_id ON sessions (user_id);
GRANT UPDATE (last_used_at, second_factor) ON sessions TO landfall_app;
"""

FACTORS = """
CREATE TABLE totp_factors (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    sealed_secret BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    confirmed_at TIMESTAMP WITH TIME ZONE,
    last_step BIGINT,
    last_used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_totp_factors PRIMARY KEY (id),
    CONSTRAINT fk_totp_factors_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
COMMENT ON COLUMN totp_factors.sealed_secret IS 'the shared secret, sealed by the vault';
COMMENT ON COLUMN totp_factors.confirmed_at IS 'NULL until a first code was right: until then it is no factor';
COMMENT ON COLUMN totp_factors.last_step IS 'the newest time step whose code was taken; older codes are not';
CREATE INDEX ix_totp_factors_user_id ON totp_factors (user_id);

CREATE TABLE passkeys (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    credential_id BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    sign_count BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_passkeys PRIMARY KEY (id),
    CONSTRAINT fk_passkeys_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT uq_passkeys_credential_id UNIQUE (credential_id)
);
COMMENT ON COLUMN passkeys.public_key IS 'COSE key';
COMMENT ON COLUMN passkeys.sign_count IS 'as the authenticator counted last; 0 where it does not';
CREATE INDEX ix_passkeys_user_id ON passkeys (user_id);

CREATE TABLE recovery_codes (
    user_id UUID NOT NULL,
    code_sha256 BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (user_id, code_sha256),
    CONSTRAINT fk_recovery_codes_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
COMMENT ON COLUMN recovery_codes.code_sha256 IS 'of 80 random bits, so a fast digest is enough';
GRANT SELECT, INSERT, UPDATE, DELETE ON totp_factors, passkeys, recovery_codes TO landfall_app;
"""

LOGGING_IN = """
CREATE TABLE pending_logins (
    token_sha256 BYTEA NOT NULL,
    user_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    tries BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_pending_logins PRIMARY KEY (token_sha256),
    CONSTRAINT fk_pending_logins_user_id_users FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
COMMENT ON COLUMN pending_logins.token_sha256 IS 'of a cookie of the browser that gave the password';
CREATE INDEX ix_pending_logins_user_id ON pending_logins (user_id);

CREATE TABLE webauthn_challenges (
    bound_sha256 BYTEA NOT NULL,
    challenge BYTEA NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_webauthn_challenges PRIMARY KEY (bound_sha256)
);
COMMENT ON COLUMN webauthn_challenges.bound_sha256 IS 'of what it is for, and the session or pending login';
GRANT SELECT, INSERT, UPDATE, DELETE ON pending_logins, webauthn_challenges TO landfall_app;
"""


def upgrade() -> None:
    run(SESSIONS)
    run(FACTORS)
    run(LOGGING_IN)


def downgrade() -> None:
    run(
        """
        DROP TABLE webauthn_challenges, pending_logins, recovery_codes, passkeys, totp_factors;
        DROP INDEX ix_sessions_user_id;
        ALTER TABLE sessions DROP COLUMN second_factor, DROP COLUMN browser, DROP COLUMN last_used_at, DROP COLUMN id;
        """
    )
