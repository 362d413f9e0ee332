-- Distribute the tables of accounts by bucket, as docs/scale.md, chapter 7, says. Run by psql on the coordinator as its
-- superuser, in Landfall's database, when `landfall migrate` is through, Citus is an extension of this database on every
-- server, and the workers are added (citus_add_node). Give the number of shards, some four for each worker to be had one
-- day: psql -v shards=32 -f citus.sql
-- Run the last statement again when shards were moved: Citus copies no rights on columns.
\set ON_ERROR_STOP on
BEGIN;

-- Their transition tables are refused. The third trigger, on a row, is distributed.
DROP TRIGGER webhook_event_queued_once ON webhook_event_queue;
DROP TRIGGER webhook_event_settled_once ON webhook_event_outcomes;
SET LOCAL citus.enable_unsafe_triggers = on;

-- All in one group of shards, so that a bucket is on one server; tables that others refer to come first.
SELECT create_distributed_table('webhook_event_queue', 'bucket', colocate_with => 'none', shard_count => :shards);
SELECT create_distributed_table('webhook_event_identities', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('webhook_event_log', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('webhook_event_outcomes', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('webhook_dropped_events', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('instagram_accounts', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('ig_media', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('ig_comments', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('ig_media_metrics', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('ig_account_metrics', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('lookups', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('pull_tasks', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('pull_objects', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('pull_accounts', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('pull_drifts', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('social_posts', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('tiktok_accounts', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('tiktok_posts', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('tiktok_post_ids', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('tiktok_videos', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('tiktok_video_metrics', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('tiktok_account_metrics', 'bucket', colocate_with => 'webhook_event_queue');
SELECT create_distributed_table('tiktok_undated_removals', 'bucket', colocate_with => 'webhook_event_queue');
COMMIT;

SELECT create_distributed_function('event_id_from(timestamptz)');
SELECT create_distributed_function('identity_of(text, text, text)');
SELECT create_distributed_function('bucket_of(text, text)');

-- A statement for many shards opens a connection for each, and closes all but one after it, unless this says otherwise:
-- opening them takes most of its time. And without the second, the driver's question about array types looks at every
-- relation for every type, which takes seconds in each new session.
SELECT format('ALTER DATABASE %I SET citus.max_cached_conns_per_worker = %s', current_database(), :shards) \gexec
SELECT format('ALTER DATABASE %I SET citus.override_table_visibility = off', current_database()) \gexec

-- The rights on columns, which stay behind, for the shards. A row is sent to its shard with the values of defaults, so
-- whoever may INSERT some columns may there INSERT all. Readers' views are the coordinator's alone.
SELECT run_command_on_shards(name::regclass, granted) FROM (
    SELECT a.attrelid AS name, format('GRANT %s %s ON %%s TO %s', acl.privilege_type,
        CASE WHEN acl.privilege_type <> 'INSERT' THEN format('(%s)', string_agg(quote_ident(a.attname), ', ')) END,
        acl.grantee::regrole) AS granted
    FROM citus_tables t JOIN pg_attribute a ON a.attrelid = t.table_name, aclexplode(a.attacl) acl
    WHERE t.distribution_column = 'bucket' GROUP BY a.attrelid, acl.privilege_type, acl.grantee
    UNION ALL
    SELECT table_name, 'GRANT SELECT ON %s TO landfall_reader' FROM citus_tables WHERE distribution_column = 'bucket'
) rights \g /dev/null
