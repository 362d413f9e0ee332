"""The roles of processes, of commands and of whoever reads by SQL: groups that nobody logs in as.

Roles belong to the whole cluster: another database's migration, or an administrator, may have made them. Downgrading keeps
them, as other databases of the cluster may use them, and they own nothing.
"""

from migrations.script import run

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ROLES = """
DO $$
DECLARE
    made text;
BEGIN
    FOREACH made IN ARRAY ARRAY['landfall_web', 'landfall_worker', 'landfall_reader', 'landfall_app'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = made) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', made);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
            END;
        END IF;
    END LOOP;
END $$;
"""

# Until PostgreSQL 15 a member may act as the role; from 16 on that is a right of its own, and whoever makes a role is a
# member without it. Whoever owns the tables has to inherit what landfall_app may, or would see no row of any tenant.
MEMBERS = """
DO $$
DECLARE
    made text;
    settable text := CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH made IN ARRAY ARRAY['landfall_web', 'landfall_worker'] LOOP
        IF NOT (pg_has_role('landfall_app', made, 'USAGE') AND pg_has_role('landfall_app', made, settable)) THEN
            EXECUTE format('GRANT %I TO landfall_app', made);
        END IF;
    END LOOP;
    IF NOT (pg_has_role('landfall_app', 'USAGE') AND pg_has_role('landfall_app', settable)) THEN
        EXECUTE format('GRANT landfall_app TO %I', current_user);
        IF NOT pg_has_role('landfall_app', 'USAGE') THEN
            RAISE EXCEPTION 'the login that migrates must inherit the rights of its roles: ALTER ROLE % INHERIT, then'
                ' migrate again', quote_ident(current_user) USING ERRCODE = 'insufficient_privilege';
        END IF;
    END IF;
END $$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT SELECT ON alembic_version TO landfall_web, landfall_worker, landfall_app;
"""


def upgrade() -> None:
    run(ROLES)
    run(MEMBERS)


def downgrade() -> None:
    run("REVOKE ALL ON alembic_version FROM landfall_web, landfall_worker, landfall_app")
