"""When each comment was first heard of, what every table and column means, and a role for whoever reads by SQL.

The previous release writes no ``received_at``: `landfall rebuild --outdated` fills it for its rows, and makes NULL of
the counts that it kept as -1. Each part may be stopped halfway and is then run again.
"""

from alembic import op

from migrations.script import run

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

RECEIVED = """
ALTER TABLE ig_comments
    ADD COLUMN IF NOT EXISTS receipt_version TEXT COLLATE "C" DEFAULT '' NOT NULL,
    ADD COLUMN IF NOT EXISTS received_at TIMESTAMP WITH TIME ZONE;
"""

# Roles belong to the whole cluster: another database's migration, or an administrator, may have made this one.
READER = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_reader') THEN
        CREATE ROLE landfall_reader NOLOGIN;
    END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;
GRANT SELECT ON ig_media, ig_comments, tiktok_accounts, tiktok_undated_removals, tiktok_posts, tiktok_post_ids, lookups,
    crm_verifications, webhook_events TO landfall_reader;
"""

# Where processes have roles of their own: the worker tells what ingest could not read from what nobody reads.
DEFECT = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'landfall_worker') THEN
        GRANT SELECT (defect) ON webhook_event_log TO landfall_worker;
    END IF;
END $$;
"""

COMMENTS = """
COMMENT ON COLUMN crm_verifications.id IS 'in the order of verifications';
COMMENT ON COLUMN crm_verifications.verified_at IS 'when it ended';
COMMENT ON COLUMN crm_verifications.compared_rows IS 'rows of the tables that were compared';
COMMENT ON COLUMN crm_verifications.drifted_rows IS 'rows that were not what the log says';
COMMENT ON TABLE deletion_requests IS 'Wishes of people, by way of a platform, to be erased';
COMMENT ON COLUMN deletion_requests.platform IS 'by whose way';
COMMENT ON COLUMN deletion_requests.requested_at IS 'when it was taken';
COMMENT ON TABLE ig_media IS 'Instagram media, by the account whose events named them';
COMMENT ON COLUMN ig_media.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN ig_media.details_version IS 'of the newest event that speaks of details; '''' for none';
COMMENT ON COLUMN ig_media.username IS 'of whoever posted it';
COMMENT ON COLUMN ig_media.caption IS 'of the post';
COMMENT ON COLUMN ig_media.media_type IS 'the platform''s own word, such as IMAGE, VIDEO or CAROUSEL_ALBUM';
COMMENT ON COLUMN ig_media.permalink IS 'its address for people';
COMMENT ON COLUMN ig_media.posted_at IS 'by the platform''s clock';
COMMENT ON COLUMN ig_media.comments_count IS 'when it was last read';
COMMENT ON COLUMN ig_media.like_count IS 'when it was last read';
COMMENT ON COLUMN ig_media.product_version IS 'of the newest event that speaks of product; '''' for none';
COMMENT ON COLUMN ig_media.media_product_type IS 'the platform''s own word, such as FEED, REELS, STORY or AD';
COMMENT ON COLUMN ig_media.ad_version IS 'of the newest event that speaks of ad; '''' for none';
COMMENT ON COLUMN ig_media.ad_id IS 'of the ad that shows it, where it is boosted';
COMMENT ON COLUMN ig_media.ad_title IS 'of that ad';
COMMENT ON COLUMN ig_media.story_version IS 'of the newest event that speaks of story; '''' for none';
COMMENT ON COLUMN ig_media.story_impressions IS 'final count of a story; NULL where the platform does not show it';
COMMENT ON COLUMN ig_media.story_reach IS 'as story_impressions';
COMMENT ON COLUMN ig_media.story_taps_forward IS 'as story_impressions';
COMMENT ON COLUMN ig_media.story_taps_back IS 'as story_impressions';
COMMENT ON COLUMN ig_media.story_exits IS 'as story_impressions';
COMMENT ON COLUMN ig_media.story_replies IS 'as story_impressions';
COMMENT ON TABLE login_failures IS 'Wrong passwords and codes of late, for throttling';
COMMENT ON COLUMN login_failures.id IS 'in the order of failures';
COMMENT ON COLUMN login_failures.failed_at IS 'when it was wrong';
COMMENT ON COLUMN lookups.account_id IS 'the account whose events asked for it';
COMMENT ON COLUMN lookups.provider IS 'the platform to read it from';
COMMENT ON COLUMN lookups.object_id IS 'the platform''s id of what is to be read';
COMMENT ON COLUMN lookups.wanted_version IS 'of the newest event that speaks of wanted; '''' for none';
COMMENT ON COLUMN lookups.reason IS 'why, in words';
COMMENT ON COLUMN platform_budgets.platform IS 'that counts';
COMMENT ON COLUMN platform_budgets.instance IS 'host, on platforms with many instances';
COMMENT ON COLUMN platform_budgets.updated_at IS 'when the platform last said so';
COMMENT ON TABLE signed_requests IS 'Signed requests of platforms that were taken, so that none is taken twice';
COMMENT ON COLUMN signed_requests.platform IS 'that signed it';
COMMENT ON TABLE tenants IS 'Customers of this install, who see nothing of each other';
COMMENT ON COLUMN tenants.id IS 'UUID';
COMMENT ON COLUMN tenants.name IS 'as `--tenant` and pages call it';
COMMENT ON COLUMN tenants.created_at IS 'when it was made';
COMMENT ON TABLE tiktok_accounts IS 'TikTok accounts that ended the grant, with the latest time that they did';
COMMENT ON COLUMN tiktok_accounts.removal_version IS 'of the newest event that speaks of removal; '''' for none';
COMMENT ON COLUMN tiktok_accounts.removal_reason IS
    'the platform''s number: 1 by the person, 2 account deleted, 3 age, 4 banned, 5 by the developer';
COMMENT ON TABLE tiktok_posts IS 'What was published to TikTok, one row for each publish';
COMMENT ON COLUMN tiktok_posts.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN tiktok_posts.status_version IS 'of the newest event that speaks of status; '''' for none';
COMMENT ON COLUMN tiktok_posts.fail_reason IS 'the platform''s own word; NULL unless it failed';
COMMENT ON COLUMN tiktok_posts.status_at IS 'of the newest step, by the platform''s clock';
COMMENT ON COLUMN tiktok_undated_removals.removal_version IS
    'of the newest event that speaks of removal; '''' for none';
COMMENT ON COLUMN tiktok_undated_removals.removal_reason IS 'the platform''s number, as in tiktok_accounts';
COMMENT ON TABLE vault_canaries IS 'A known text under each key of the vault, to tell a wrong key from a right one';
COMMENT ON COLUMN vault_canaries.key_name IS 'of the key, as connection_secrets has it';
COMMENT ON COLUMN vault_canaries.created_at IS 'when it was made';
COMMENT ON TABLE webauthn_challenges IS 'Challenges that an authenticator is to sign, once each';
COMMENT ON COLUMN webauthn_challenges.challenge IS 'random bytes';
COMMENT ON COLUMN webauthn_challenges.expires_at IS 'not taken from then on';
COMMENT ON TABLE webhook_buckets IS 'Leases on the work: who holds one works on its accounts alone';
COMMENT ON COLUMN webhook_buckets.bucket IS 'hash of an account';
COMMENT ON COLUMN webhook_buckets.holder IS 'host and process that hold it';
COMMENT ON COLUMN webhook_buckets.fence IS 'goes up with each holder, so that a former one can write nothing';
COMMENT ON COLUMN webhook_buckets.leased_until IS 'free from then on';
COMMENT ON COLUMN webhook_buckets.served_at IS 'when it was last taken; the longest ago is next';
COMMENT ON TABLE webhook_deliveries IS 'Accepted requests, as received';
COMMENT ON COLUMN webhook_deliveries.provider IS 'the platform that sent it';
COMMENT ON COLUMN webhook_deliveries.body_sha256 IS 'of the body, before anything was parsed';
COMMENT ON COLUMN webhook_deliveries.verdict IS 'accepted; unreadable: no JSON; quarantined: of another application';
COMMENT ON COLUMN webhook_deliveries.verdict_reason IS 'why it is not accepted as it is';
COMMENT ON COLUMN webhook_deliveries.event_count IS 'events in it';
COMMENT ON COLUMN webhook_deliveries.new_event_count IS 'those of them that the log did not have';
COMMENT ON COLUMN webhook_deliveries.created_at IS 'when it was received';
COMMENT ON TABLE webhook_event_log IS 'Events, each once; never changed';
COMMENT ON COLUMN webhook_event_log.id IS 'in the order of the log';
COMMENT ON COLUMN webhook_event_log.provider IS 'the platform that it is of';
COMMENT ON COLUMN webhook_event_log.created_at IS 'when it was received';
COMMENT ON TABLE webhook_event_outcomes IS 'Events that are settled';
COMMENT ON COLUMN webhook_event_outcomes.bucket IS 'the lease under which it was worked on';
COMMENT ON COLUMN webhook_event_outcomes.account_id IS 'of the event';
COMMENT ON COLUMN webhook_event_outcomes.event_id IS 'of the log';
COMMENT ON COLUMN webhook_event_outcomes.state IS 'done, ignored, parked or dead; the last two wait for a person';
COMMENT ON COLUMN webhook_event_outcomes.settled_at IS 'when it came to this state';
COMMENT ON COLUMN webhook_event_outcomes.retry_count IS 'failures until then';
COMMENT ON COLUMN webhook_event_outcomes.error_message IS 'of the last failure, or why somebody ignored it';
COMMENT ON TABLE webhook_event_queue IS 'Events that wait to be projected';
COMMENT ON COLUMN webhook_event_queue.bucket IS 'the lease under which it is worked on';
COMMENT ON COLUMN webhook_event_queue.account_id IS 'of the event';
COMMENT ON COLUMN webhook_event_queue.event_id IS 'of the log';
COMMENT ON COLUMN webhook_event_queue.due_at IS 'not worked on before';
COMMENT ON COLUMN webhook_event_queue.retry_count IS 'failures so far';
COMMENT ON COLUMN webhook_event_queue.error_message IS 'of the last failure';
COMMENT ON TABLE webhook_refusals IS 'A sample of refused requests';
COMMENT ON COLUMN webhook_refusals.provider IS 'the platform whose address it was sent to';
COMMENT ON COLUMN webhook_refusals.reason IS 'why it was refused';
COMMENT ON COLUMN webhook_refusals.headers IS 'as received, less anything secret';
COMMENT ON COLUMN webhook_refusals.body_size IS 'of the whole body, in bytes';
COMMENT ON COLUMN webhook_refusals.refused_at IS 'when it was refused';
COMMENT ON TABLE audit_log IS 'Who did what, when and from where; it only grows';
COMMENT ON COLUMN audit_log.tenant_id IS 'whose it is';
COMMENT ON COLUMN audit_log.id IS 'in the order of entries';
COMMENT ON COLUMN audit_log.created_at IS 'when it was made';
COMMENT ON COLUMN audit_log.detail IS 'what else is to be known of it; no secrets, and nobody that a platform knows';
COMMENT ON TABLE connections IS 'Accounts that are, or were, connected';
COMMENT ON COLUMN connections.tenant_id IS 'whose it is';
COMMENT ON COLUMN connections.id IS 'UUID; it stays when the account is connected again';
COMMENT ON COLUMN connections.platform IS 'of the account';
COMMENT ON COLUMN connections.username IS 'as the platform last gave it';
COMMENT ON COLUMN connections.profile IS 'what else the platform says of the account';
COMMENT ON COLUMN connections.state IS 'active, needs_reconnect or disconnected';
COMMENT ON COLUMN connections.authorized_at IS 'when the person last agreed at the platform';
COMMENT ON COLUMN connections.refresh_expires_at IS 'when the refresh token ends; NULL for none, or without an end';
COMMENT ON COLUMN connections.refresh_failures IS 'in a row';
COMMENT ON COLUMN connections.disconnected_at IS 'NULL while it is connected';
COMMENT ON COLUMN connections.created_at IS 'when it was made';
COMMENT ON TABLE ig_comments IS 'Instagram comments and replies, by the account whose events named them';
COMMENT ON COLUMN ig_comments.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN ig_comments.comment_version IS 'of the newest event that speaks of comment; '''' for none';
COMMENT ON COLUMN ig_comments.author_id IS 'the platform''s id of whoever wrote it, scoped to the account';
COMMENT ON COLUMN ig_comments.author_username IS 'of whoever wrote it';
COMMENT ON COLUMN ig_comments.text IS 'of the comment, as last notified';
COMMENT ON COLUMN ig_comments.details_version IS 'of the newest event that speaks of details; '''' for none';
COMMENT ON COLUMN ig_comments.commented_at IS 'by the platform''s clock; NULL until the comment was read';
COMMENT ON COLUMN ig_comments.hidden IS 'as last read';
COMMENT ON COLUMN ig_comments.like_count IS 'when it was last read';
COMMENT ON COLUMN ig_comments.deletion_version IS 'of the newest event that speaks of deletion; '''' for none';
COMMENT ON COLUMN ig_comments.deleted_at IS 'when a look-up found it gone';
COMMENT ON COLUMN ig_comments.receipt_version IS 'of the newest event that speaks of receipt; '''' for none';
COMMENT ON COLUMN ig_comments.received_at IS 'when the log first spoke of it; newest first by this';
COMMENT ON TABLE oauth_clients IS 'Applications that were registered at instances';
COMMENT ON COLUMN oauth_clients.tenant_id IS 'whose it is';
COMMENT ON COLUMN oauth_clients.platform IS 'of the instance';
COMMENT ON COLUMN oauth_clients.instance IS 'its host';
COMMENT ON COLUMN oauth_clients.client_id IS 'as the instance calls the application';
COMMENT ON COLUMN oauth_clients.sealed_secret IS 'of the application, sealed by the vault';
COMMENT ON COLUMN oauth_clients.redirect_uri IS 'that was registered';
COMMENT ON COLUMN oauth_clients.scopes IS 'that were registered';
COMMENT ON COLUMN oauth_clients.created_at IS 'when it was made';
COMMENT ON TABLE oauth_states IS 'Attempts to connect an account';
COMMENT ON COLUMN oauth_states.tenant_id IS 'whose it is';
COMMENT ON COLUMN oauth_states.state_sha256 IS 'of the state that the platform sends back';
COMMENT ON COLUMN oauth_states.platform IS 'to be connected to';
COMMENT ON COLUMN oauth_states.instance IS 'host, on platforms with many instances';
COMMENT ON COLUMN oauth_states.sealed_verifier IS 'of PKCE (RFC 7636), sealed by the vault';
COMMENT ON COLUMN oauth_states.redirect_uri IS 'where the platform sends the person back to';
COMMENT ON COLUMN oauth_states.return_to IS 'where the person goes after that';
COMMENT ON COLUMN oauth_states.actor IS 'who began it, as in audit_log';
COMMENT ON COLUMN oauth_states.created_at IS 'when it was made';
COMMENT ON COLUMN oauth_states.expires_at IS 'leads nowhere from then on';
COMMENT ON TABLE tiktok_post_ids IS 'Public posts that came of a publish: none, one or several';
COMMENT ON COLUMN tiktok_post_ids.account_id IS 'the platform''s id of the account whose events made it';
COMMENT ON COLUMN tiktok_post_ids.publish_id IS 'of tiktok_posts';
COMMENT ON COLUMN tiktok_post_ids.post_id IS 'the platform''s id of the public post';
COMMENT ON COLUMN tiktok_post_ids.visibility_version IS
    'of the newest event that speaks of visibility; '''' for none';
COMMENT ON COLUMN tiktok_post_ids.is_public IS 'whether everybody can see it, as last told';
COMMENT ON COLUMN tiktok_post_ids.visibility_at IS 'when that changed, by the platform''s clock';
COMMENT ON TABLE users IS 'People who can log in';
COMMENT ON COLUMN users.id IS 'UUID';
COMMENT ON COLUMN users.created_at IS 'when it was made';
COMMENT ON COLUMN users.disabled_at IS 'from then on nothing lets the person in; NULL for nobody disabled';
COMMENT ON TABLE api_keys IS 'Keys that programs call with';
COMMENT ON COLUMN api_keys.tenant_id IS 'whose it is';
COMMENT ON COLUMN api_keys.id IS 'UUID';
COMMENT ON COLUMN api_keys.name IS 'as people call it; never free again';
COMMENT ON COLUMN api_keys.scopes IS 'what it may do';
COMMENT ON COLUMN api_keys.created_at IS 'when it was made';
COMMENT ON COLUMN api_keys.last_used_at IS 'NULL until it is used';
COMMENT ON COLUMN api_keys.revoked_at IS 'from then on it opens nothing';
COMMENT ON COLUMN api_keys.last_used_from IS 'the address that it was last used from';
COMMENT ON TABLE connection_secrets IS 'Tokens of connections, sealed by the vault';
COMMENT ON COLUMN connection_secrets.tenant_id IS 'whose it is';
COMMENT ON COLUMN connection_secrets.connection_id IS 'whose it is';
COMMENT ON COLUMN connection_secrets.field IS 'which of its tokens';
COMMENT ON TABLE devices IS 'Browsers in which somebody was logged in before';
COMMENT ON COLUMN devices.user_id IS 'the person';
COMMENT ON TABLE invitations IS 'Invitations that wait to be accepted';
COMMENT ON COLUMN invitations.tenant_id IS 'whose it is';
COMMENT ON COLUMN invitations.id IS 'UUID';
COMMENT ON COLUMN invitations.role IS 'owner, editor or viewer, once accepted';
COMMENT ON COLUMN invitations.created_at IS 'when it was made';
COMMENT ON COLUMN invitations.expires_at IS 'the link opens nothing from then on';
COMMENT ON TABLE memberships IS 'Who belongs to which tenant, and as what';
COMMENT ON COLUMN memberships.tenant_id IS 'whose it is';
COMMENT ON COLUMN memberships.user_id IS 'the person';
COMMENT ON COLUMN memberships.role IS 'owner, editor or viewer';
COMMENT ON COLUMN memberships.created_at IS 'when it was made';
COMMENT ON TABLE notices IS 'What somebody is to be told of a connection, once each';
COMMENT ON COLUMN notices.tenant_id IS 'whose it is';
COMMENT ON COLUMN notices.id IS 'UUID';
COMMENT ON COLUMN notices.connection_id IS 'that it is about';
COMMENT ON COLUMN notices.kind IS 'what happened, such as needs_reconnect';
COMMENT ON COLUMN notices.says IS 'in words for the account''s owner';
COMMENT ON COLUMN notices.created_at IS 'when it was made';
COMMENT ON COLUMN notices.resolved_at IS 'when it was over; NULL while it is not';
COMMENT ON TABLE passkeys IS 'Passkeys of people';
COMMENT ON COLUMN passkeys.id IS 'UUID';
COMMENT ON COLUMN passkeys.user_id IS 'the person';
COMMENT ON COLUMN passkeys.name IS 'as the person calls it';
COMMENT ON COLUMN passkeys.credential_id IS 'as the authenticator calls it';
COMMENT ON COLUMN passkeys.created_at IS 'when it was made';
COMMENT ON COLUMN passkeys.last_used_at IS 'when it last let in';
COMMENT ON TABLE pending_logins IS 'Logins that wait for a second factor';
COMMENT ON COLUMN pending_logins.user_id IS 'whose password was right';
COMMENT ON COLUMN pending_logins.created_at IS 'when it was made';
COMMENT ON COLUMN pending_logins.expires_at IS 'to be begun anew from then on';
COMMENT ON COLUMN pending_logins.tries IS 'wrong codes so far';
COMMENT ON TABLE recovery_codes IS 'Codes that let a person in once each, without another factor';
COMMENT ON COLUMN recovery_codes.user_id IS 'the person';
COMMENT ON COLUMN recovery_codes.created_at IS 'when it was made';
COMMENT ON COLUMN recovery_codes.used_at IS 'NULL while it can still be used';
COMMENT ON TABLE sessions IS 'Where people are logged in';
COMMENT ON COLUMN sessions.tenant_id IS 'whose it is';
COMMENT ON COLUMN sessions.session_sha256 IS 'of the cookie: 256 random bits, so a fast digest is enough';
COMMENT ON COLUMN sessions.user_id IS 'the person';
COMMENT ON COLUMN sessions.address IS 'where the login came from';
COMMENT ON COLUMN sessions.created_at IS 'when it was made';
COMMENT ON COLUMN sessions.expires_at IS 'logged out by then, however much it is used';
COMMENT ON TABLE totp_factors IS 'Authenticator apps of people';
COMMENT ON COLUMN totp_factors.id IS 'UUID';
COMMENT ON COLUMN totp_factors.user_id IS 'the person';
COMMENT ON COLUMN totp_factors.name IS 'as the person calls it';
COMMENT ON COLUMN totp_factors.created_at IS 'when it was made';
COMMENT ON COLUMN totp_factors.last_used_at IS 'when a code of it last let in';
COMMENT ON TABLE notice_mails IS 'Mails about notices, one row for each person and notice';
COMMENT ON COLUMN notice_mails.tenant_id IS 'whose it is';
COMMENT ON COLUMN notice_mails.notice_id IS 'that it tells';
COMMENT ON COLUMN notice_mails.user_id IS 'to whom';
COMMENT ON COLUMN notice_mails.tries IS 'so far';
COMMENT ON COLUMN notice_mails.due_at IS 'not tried before';
COMMENT ON COLUMN notice_mails.created_at IS 'when it was made';
COMMENT ON VIEW webhook_events IS 'Events with the work on each: what people and dashboards read';
COMMENT ON COLUMN webhook_events.id IS 'in the order of the log';
COMMENT ON COLUMN webhook_events.provider IS 'the platform that it is of';
COMMENT ON COLUMN webhook_events.event_type IS 'the platform''s own word';
COMMENT ON COLUMN webhook_events.external_id IS 'deterministic; see the platform''s split rules';
COMMENT ON COLUMN webhook_events.account_id IS 'the platform''s id of the account the event is about';
COMMENT ON COLUMN webhook_events.payload_json IS 'NULL where the body could not be read; the delivery has the bytes';
COMMENT ON COLUMN webhook_events.state IS
    'pending, leased (being worked on), done, ignored, parked or dead; the last two wait for a person';
COMMENT ON COLUMN webhook_events.processed_at IS 'when its rows were written, or it was ignored; NULL until then';
COMMENT ON COLUMN webhook_events.error_message IS 'of the last failure, or why somebody ignored it';
COMMENT ON COLUMN webhook_events.retry_count IS 'failures so far';
COMMENT ON COLUMN webhook_events.due_at IS 'not worked on before; NULL once it is settled';
COMMENT ON COLUMN webhook_events.settled_at IS 'when it came to its state; NULL while it waits';
COMMENT ON COLUMN webhook_events.projector IS 'version of the projection that settled it';
COMMENT ON COLUMN webhook_events.occurred_at IS 'the platform''s clock for the thing itself';
COMMENT ON COLUMN webhook_events.created_at IS 'when it was received';
COMMENT ON COLUMN webhook_events.delivery_id IS 'first delivery that carried it; NULL for facts of our own';
COMMENT ON COLUMN webhook_events.rule_version IS 'version of the rule that made external_id';
COMMENT ON COLUMN webhook_events.defect IS 'why the event cannot be projected as it is';
COMMENT ON COLUMN webhook_events.sanitized IS 'payload_json differs from the raw bytes';
"""


def upgrade() -> None:
    run(RECEIVED)
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_ig_comments_received_at")
        op.execute("CREATE INDEX CONCURRENTLY ix_ig_comments_received_at ON ig_comments (received_at)")
    run(READER)
    run(DEFECT)
    run(COMMENTS)


def downgrade() -> None:
    run(
        """
        REVOKE ALL ON ig_media, ig_comments, tiktok_accounts, tiktok_undated_removals, tiktok_posts, tiktok_post_ids,
            lookups, crm_verifications, webhook_events FROM landfall_reader;
        ALTER TABLE ig_comments DROP COLUMN received_at, DROP COLUMN receipt_version;
        """
    )
