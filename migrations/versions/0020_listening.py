"""Let webhooks decide about targets that wait: what their owner posted meanwhile may have no id, and they are found fast."""

from migrations.script import run

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

# As in 0015, with one transition more.
GUARD = """
CREATE OR REPLACE FUNCTION post_targets_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT CASE
        WHEN state = 'draft' THEN 'draft'
        WHEN state = 'awaiting_approval' THEN 'awaiting_approval'
        WHEN state = 'scheduled' THEN 'scheduled'
        WHEN state = 'preparing' THEN 'preparing'
        WHEN state = 'uploading' THEN 'uploading'
        WHEN state = 'processing' THEN 'processing'
        WHEN state = 'ready' THEN 'ready'
        WHEN state = 'publishing' THEN 'publishing'
        WHEN state = 'published' THEN 'published'
        WHEN state = 'published_id_unknown' THEN 'published_id_unknown'
        WHEN state = 'unconfirmed' THEN 'unconfirmed'
        WHEN state = 'awaiting_person' THEN 'awaiting_person'
        WHEN state = 'failed' THEN 'failed'
        WHEN state = 'cancelled' THEN 'cancelled'
        WHEN state = 'missed' THEN 'missed' END FROM (SELECT OLD.*) AS previous);
    after text := (SELECT CASE
        WHEN state = 'draft' THEN 'draft'
        WHEN state = 'awaiting_approval' THEN 'awaiting_approval'
        WHEN state = 'scheduled' THEN 'scheduled'
        WHEN state = 'preparing' THEN 'preparing'
        WHEN state = 'uploading' THEN 'uploading'
        WHEN state = 'processing' THEN 'processing'
        WHEN state = 'ready' THEN 'ready'
        WHEN state = 'publishing' THEN 'publishing'
        WHEN state = 'published' THEN 'published'
        WHEN state = 'published_id_unknown' THEN 'published_id_unknown'
        WHEN state = 'unconfirmed' THEN 'unconfirmed'
        WHEN state = 'awaiting_person' THEN 'awaiting_person'
        WHEN state = 'failed' THEN 'failed'
        WHEN state = 'cancelled' THEN 'cancelled'
        WHEN state = 'missed' THEN 'missed' END FROM (SELECT NEW.*) AS changed);
BEGIN
    IF before IS DISTINCT FROM after AND (before, after) NOT IN (
        ('awaiting_approval', 'cancelled'), ('awaiting_approval', 'draft'), ('awaiting_approval', 'missed'), ('awaiting_approval', 'scheduled'), ('awaiting_person', 'failed'), ('awaiting_person', 'published'), ('awaiting_person', 'published_id_unknown'), ('draft', 'awaiting_approval'), ('draft', 'cancelled'), ('draft', 'scheduled'), ('failed', 'scheduled'), ('missed', 'cancelled'), ('missed', 'scheduled'), ('preparing', 'awaiting_person'), ('preparing', 'cancelled'), ('preparing', 'failed'), ('preparing', 'processing'), ('preparing', 'published'), ('preparing', 'published_id_unknown'), ('preparing', 'publishing'), ('preparing', 'ready'), ('preparing', 'unconfirmed'), ('preparing', 'uploading'), ('processing', 'awaiting_person'), ('processing', 'cancelled'), ('processing', 'failed'), ('processing', 'preparing'), ('processing', 'published'), ('processing', 'published_id_unknown'), ('processing', 'publishing'), ('processing', 'ready'), ('processing', 'unconfirmed'), ('processing', 'uploading'), ('published_id_unknown', 'published'), ('publishing', 'awaiting_person'), ('publishing', 'failed'), ('publishing', 'preparing'), ('publishing', 'processing'), ('publishing', 'published'), ('publishing', 'published_id_unknown'), ('publishing', 'ready'), ('publishing', 'unconfirmed'), ('publishing', 'uploading'), ('ready', 'awaiting_person'), ('ready', 'cancelled'), ('ready', 'failed'), ('ready', 'preparing'), ('ready', 'processing'), ('ready', 'published'), ('ready', 'published_id_unknown'), ('ready', 'publishing'), ('ready', 'unconfirmed'), ('ready', 'uploading'), ('scheduled', 'awaiting_approval'), ('scheduled', 'cancelled'), ('scheduled', 'draft'), ('scheduled', 'failed'), ('scheduled', 'missed'), ('scheduled', 'preparing'), ('scheduled', 'processing'), ('scheduled', 'publishing'), ('scheduled', 'ready'), ('scheduled', 'unconfirmed'), ('scheduled', 'uploading'), ('unconfirmed', 'awaiting_person'), ('unconfirmed', 'failed'), ('unconfirmed', 'preparing'), ('unconfirmed', 'processing'), ('unconfirmed', 'published'), ('unconfirmed', 'published_id_unknown'), ('unconfirmed', 'publishing'), ('unconfirmed', 'ready'), ('unconfirmed', 'uploading'), ('uploading', 'awaiting_person'), ('uploading', 'cancelled'), ('uploading', 'failed'), ('uploading', 'preparing'), ('uploading', 'processing'), ('uploading', 'published'), ('uploading', 'published_id_unknown'), ('uploading', 'publishing'), ('uploading', 'ready'), ('uploading', 'unconfirmed')) THEN
        RAISE EXCEPTION 'a row of post_targets cannot go from % to %', before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'post_targets_transition';
    END IF;
    RETURN NEW;
END $$;
"""

BEFORE = """
CREATE OR REPLACE FUNCTION post_targets_transition() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text := (SELECT CASE
        WHEN state = 'draft' THEN 'draft'
        WHEN state = 'awaiting_approval' THEN 'awaiting_approval'
        WHEN state = 'scheduled' THEN 'scheduled'
        WHEN state = 'preparing' THEN 'preparing'
        WHEN state = 'uploading' THEN 'uploading'
        WHEN state = 'processing' THEN 'processing'
        WHEN state = 'ready' THEN 'ready'
        WHEN state = 'publishing' THEN 'publishing'
        WHEN state = 'published' THEN 'published'
        WHEN state = 'published_id_unknown' THEN 'published_id_unknown'
        WHEN state = 'unconfirmed' THEN 'unconfirmed'
        WHEN state = 'awaiting_person' THEN 'awaiting_person'
        WHEN state = 'failed' THEN 'failed'
        WHEN state = 'cancelled' THEN 'cancelled'
        WHEN state = 'missed' THEN 'missed' END FROM (SELECT OLD.*) AS previous);
    after text := (SELECT CASE
        WHEN state = 'draft' THEN 'draft'
        WHEN state = 'awaiting_approval' THEN 'awaiting_approval'
        WHEN state = 'scheduled' THEN 'scheduled'
        WHEN state = 'preparing' THEN 'preparing'
        WHEN state = 'uploading' THEN 'uploading'
        WHEN state = 'processing' THEN 'processing'
        WHEN state = 'ready' THEN 'ready'
        WHEN state = 'publishing' THEN 'publishing'
        WHEN state = 'published' THEN 'published'
        WHEN state = 'published_id_unknown' THEN 'published_id_unknown'
        WHEN state = 'unconfirmed' THEN 'unconfirmed'
        WHEN state = 'awaiting_person' THEN 'awaiting_person'
        WHEN state = 'failed' THEN 'failed'
        WHEN state = 'cancelled' THEN 'cancelled'
        WHEN state = 'missed' THEN 'missed' END FROM (SELECT NEW.*) AS changed);
BEGIN
    IF before IS DISTINCT FROM after AND (before, after) NOT IN (
        ('awaiting_approval', 'cancelled'), ('awaiting_approval', 'draft'), ('awaiting_approval', 'missed'), ('awaiting_approval', 'scheduled'), ('awaiting_person', 'failed'), ('awaiting_person', 'published'), ('draft', 'awaiting_approval'), ('draft', 'cancelled'), ('draft', 'scheduled'), ('failed', 'scheduled'), ('missed', 'cancelled'), ('missed', 'scheduled'), ('preparing', 'awaiting_person'), ('preparing', 'cancelled'), ('preparing', 'failed'), ('preparing', 'processing'), ('preparing', 'published'), ('preparing', 'published_id_unknown'), ('preparing', 'publishing'), ('preparing', 'ready'), ('preparing', 'unconfirmed'), ('preparing', 'uploading'), ('processing', 'awaiting_person'), ('processing', 'cancelled'), ('processing', 'failed'), ('processing', 'preparing'), ('processing', 'published'), ('processing', 'published_id_unknown'), ('processing', 'publishing'), ('processing', 'ready'), ('processing', 'unconfirmed'), ('processing', 'uploading'), ('published_id_unknown', 'published'), ('publishing', 'awaiting_person'), ('publishing', 'failed'), ('publishing', 'preparing'), ('publishing', 'processing'), ('publishing', 'published'), ('publishing', 'published_id_unknown'), ('publishing', 'ready'), ('publishing', 'unconfirmed'), ('publishing', 'uploading'), ('ready', 'awaiting_person'), ('ready', 'cancelled'), ('ready', 'failed'), ('ready', 'preparing'), ('ready', 'processing'), ('ready', 'published'), ('ready', 'published_id_unknown'), ('ready', 'publishing'), ('ready', 'unconfirmed'), ('ready', 'uploading'), ('scheduled', 'awaiting_approval'), ('scheduled', 'cancelled'), ('scheduled', 'draft'), ('scheduled', 'failed'), ('scheduled', 'missed'), ('scheduled', 'preparing'), ('scheduled', 'processing'), ('scheduled', 'publishing'), ('scheduled', 'ready'), ('scheduled', 'unconfirmed'), ('scheduled', 'uploading'), ('unconfirmed', 'awaiting_person'), ('unconfirmed', 'failed'), ('unconfirmed', 'preparing'), ('unconfirmed', 'processing'), ('unconfirmed', 'published'), ('unconfirmed', 'published_id_unknown'), ('unconfirmed', 'publishing'), ('unconfirmed', 'ready'), ('unconfirmed', 'uploading'), ('uploading', 'awaiting_person'), ('uploading', 'cancelled'), ('uploading', 'failed'), ('uploading', 'preparing'), ('uploading', 'processing'), ('uploading', 'published'), ('uploading', 'published_id_unknown'), ('uploading', 'publishing'), ('uploading', 'ready'), ('uploading', 'unconfirmed')) THEN
        RAISE EXCEPTION 'a row of post_targets cannot go from % to %', before, after
            USING ERRCODE = 'check_violation', CONSTRAINT = 'post_targets_transition';
    END IF;
    RETURN NEW;
END $$;
"""


def upgrade() -> None:
    run(
        """
        CREATE INDEX ix_post_targets_listening ON post_targets (platform, step)
            WHERE ((state = 'processing') OR (state = 'published_id_unknown') OR (state = 'unconfirmed') OR (state = 'awaiting_person'));
        """
        + GUARD
    )


def downgrade() -> None:
    run("DROP INDEX ix_post_targets_listening;" + BEFORE)
