"""Which signed requests of platforms were taken, and which browsers were logged in before.

The previous release notes none while both run: what it takes then, this one takes once more, for grants that are older
than the request.
"""

from migrations.script import run

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SIGNED_REQUESTS = """
CREATE TABLE signed_requests (
    platform TEXT NOT NULL,
    purpose TEXT NOT NULL,
    request_sha256 BYTEA NOT NULL,
    code TEXT NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_signed_requests PRIMARY KEY (platform, purpose, request_sha256),
    CONSTRAINT ck_signed_requests_purpose CHECK (purpose IN ('deauthorize', 'deletion'))
);
COMMENT ON COLUMN signed_requests.purpose IS 'the address it was taken at';
COMMENT ON COLUMN signed_requests.request_sha256 IS 'of the person''s id and the time of issue';
COMMENT ON COLUMN signed_requests.code IS 'of the deletion request, where it is one';
COMMENT ON COLUMN signed_requests.received_at IS 'for the first time';
COMMENT ON COLUMN signed_requests.expires_at IS 'from then on it is refused as too old';
GRANT SELECT, INSERT, UPDATE, DELETE ON signed_requests TO landfall_app;
"""

DEVICES = """
CREATE TABLE devices (
    user_id UUID NOT NULL,
    device_sha256 BYTEA NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_devices PRIMARY KEY (user_id, device_sha256),
    CONSTRAINT fk_devices_user_id_users FOREIGN KEY(user_id) REFERENCES users (id)
);
COMMENT ON COLUMN devices.device_sha256 IS 'of the cookie of a browser that was logged in';
COMMENT ON COLUMN devices.seen_at IS 'logging in, for the last time';
COMMENT ON COLUMN login_failures.who_sha256 IS 'of an email address, a device, a session, or of where it came from';
GRANT SELECT, INSERT, UPDATE, DELETE ON devices TO landfall_app;
"""


def upgrade() -> None:
    run(SIGNED_REQUESTS)
    run(DEVICES)


def downgrade() -> None:
    run(
        """
        DROP TABLE devices, signed_requests;
        COMMENT ON COLUMN login_failures.who_sha256 IS 'of an email address, or of where it came from';
        """
    )
