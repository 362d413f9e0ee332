"""Which database role may do what: the one table of it, with which a test compares the migrated database.

The roles are groups that nobody logs in as; `landfall db login` makes members of the first two. Columns that are not
named here are nobody's to read or to give: a row's number and the time at which it was written are the database's,
but for events, whose number is that of their name. Partitions have no rights of their own.
Row policies come on top: the web process sees the rows of the one tenant that it acts for, and never those of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

WEB_ROLE = "landfall_web"
"""Of `landfall serve`: it stores deliveries, and works on access and connections of one tenant at a time."""

WORKER_ROLE = "landfall_worker"
"""Of `landfall work`: it splits deliveries into events, projects those, and keeps connections of all tenants."""

APP_ROLE = "landfall_app"
"""Of the other commands, and of whatever shares one login: a member of both others, and more."""

READER_ROLE = "landfall_reader"
"""Of whoever reads by SQL: they see the views of schema ``reporting``, and can change nothing."""

TENANT_READER_ROLE = "landfall_tenant_reader"
"""Of whoever reads the rows of one tenant by SQL: they see the views of schema ``reporting_tenant``, which show rows of
the tenant that their login was made for, and can change nothing."""

EVERY = "*"


@dataclass(frozen=True, slots=True)
class Rights:
    """On one table: the columns by their names, separated by blanks, or ``EVERY`` for the whole table."""

    select: str = ""
    insert: str = ""
    update: str = ""
    delete: bool = False


PROJECTED = Rights(select=EVERY, insert=EVERY, update=EVERY)
"""The worker's on each table of ``schema.crm``."""

READ = Rights(select=EVERY)
"""The reader's and the commands' on each view of schema ``reporting``, and the tenant reader's and the web process's on
each of schema ``reporting_tenant``."""

_EVENT = (
    "id bucket delivery_id provider account_id event_type external_id rule_version payload_json occurred_at defect"
    " sanitized created_at source"
)
_SPLIT = "split_at rule_version verdict verdict_reason event_count new_event_count"
_AUDIT = "tenant_id actor action subject address detail"
_RATE_LIMIT = "platform instance subject percent held_until"
_KEPT = "access_expires_at refresh_expires_at refresh_due_at check_due_at checked_at"
_WORKED_ON = f"state reason refresh_failures lease_until fence trouble trouble_since {_KEPT}"
_ACCOUNT = "other_ids username scopes profile via grant_id authorized_at"
_SECRET = Rights(
    select=EVERY, insert="tenant_id connection_id field sealed key_name", update="sealed key_name", delete=True
)
_NOTICE = Rights(select=EVERY, insert="tenant_id id connection_id kind episode says", update="resolved_at")
_CANARY = Rights(select="key_name sealed", insert="key_name sealed")
_PROCESS = Rights(select=EVERY, insert="id kind host pid configured", update="seen_at", delete=True)
_REVISION = Rights(select=EVERY)
_OUTAGE = Rights(select=EVERY, insert="began_at")
_SUBSCRIPTION = "due_at checked_at incomplete_since repaired_at lease_until fence state wanted missing advice trouble"
_ALL = Rights(select=EVERY, insert=EVERY, update=EVERY, delete=True)
_POST = Rights(
    select=EVERY,
    insert=(
        "tenant_id id content link hashtags campaign_id utm author needs_approval scheduled_at local_time zone"
        " late_policy late_seconds schedule_id idempotency_key request_sha256"
    ),
    update=(
        "content link hashtags campaign_id utm version needs_approval approved_version approved_by scheduled_at"
        " local_time zone late_policy late_seconds updated_at"
    ),
    delete=True,
)
_POST_MEDIA = Rights(select=EVERY, insert=EVERY, delete=True)
_POST_TARGET = Rights(
    select=EVERY,
    insert=(
        "tenant_id id post_id connection_id platform account_id parent_id position kind content untagged link_url"
        " options digest repeats state due_at slot_at slot_local_time slot_zone tzdata"
        " object_kind"
    ),
    update=(
        "kind content untagged link_url options digest repeats state sequence step step_since asked_at intent_at"
        " commits attempt failures kept sealed due_at lease_until fence worked_at platform_post_id platform_post_url"
        " error_code error_message retryable evidence published_at slot_at slot_local_time slot_zone tzdata"
        " moved_from"
    ),
    delete=True,
)
_RECURRENCE = Rights(
    select=EVERY,
    insert=(
        "tenant_id id template media_ids rule start_time zone author next_at due_at idempotency_key request_sha256"
        " tzdata"
    ),
    update=(
        "template media_ids rule start_time zone state revision armed_at handled next_at due_at trouble"
        " held_until updated_at tzdata"
    ),
)
_OCCURRENCE = Rights(
    select=EVERY,
    insert="tenant_id recurrence_id revision number at state post_id reason",
    update="state at",
)
_EXPIRED = Rights(select="expires_at", delete=True)
"""What the worker needs to delete what is over."""

RIGHTS: Mapping[str, Mapping[str, Rights]] = {
    WEB_ROLE: {
        "alembic_version": _REVISION,
        # The log: what came in is stored, and nothing of it is read.
        "webhook_deliveries": Rights(insert="id provider received_at verdict secret_used signed_at headers body"),
        "webhook_delivery_queue": Rights(insert="delivery_id"),
        "webhook_refusals": Rights(
            select="provider slot reason headers body_head body_size",
            insert="provider slot reason headers body_head body_size",
            update="reason headers body_head body_size refused_at",
        ),
        # Access
        "tenants": Rights(select="id name"),
        # These belong to a person, who may belong to several tenants, and so to none. Functions that found rows by the
        # person's id or address would hide nothing: the web process lists the people of every tenant that it serves.
        "users": Rights(
            select="id email password_hash disabled_at password_tenant_id",
            insert="id email password_hash",
            update="password_hash password_tenant_id",
        ),
        "devices": Rights(select=EVERY, insert="user_id device_sha256", update="seen_at", delete=True),
        "login_failures": Rights(select=EVERY, insert="who_sha256 failed_at", delete=True),
        "totp_factors": Rights(
            select=EVERY,
            insert="id user_id name sealed_secret",
            update="confirmed_at last_step last_used_at",
            delete=True,
        ),
        "passkeys": Rights(
            select=EVERY,
            insert="id user_id name credential_id public_key sign_count",
            update="sign_count last_used_at",
            delete=True,
        ),
        "recovery_codes": Rights(select=EVERY, insert="user_id code_sha256", update="used_at", delete=True),
        "pending_logins": Rights(
            select="token_sha256 user_id expires_at tries",
            insert="token_sha256 user_id expires_at",
            update="tries",
            delete=True,
        ),
        "webauthn_challenges": Rights(
            select=EVERY,
            insert="bound_sha256 challenge expires_at",
            update="challenge expires_at",
            delete=True,
        ),
        # These are a tenant's.
        "memberships": Rights(select=EVERY, insert="tenant_id user_id role", update="role", delete=True),
        "invitations": Rights(
            select=EVERY,
            insert="tenant_id id email role link_sha256 inviter_id expires_at",
            update="role link_sha256 inviter_id created_at expires_at",
            delete=True,
        ),
        "sessions": Rights(
            select=EVERY,
            insert="tenant_id session_sha256 user_id address created_at expires_at browser second_factor",
            update="last_used_at second_factor",
            delete=True,
        ),
        "api_keys": Rights(
            select="tenant_id id name scopes created_at last_used_at revoked_at last_used_from user_id",
            insert="tenant_id id name key_sha256 scopes user_id",
            update="last_used_at last_used_from revoked_at",
        ),
        "audit_log": Rights(select=EVERY, insert=_AUDIT),
        "deletion_requests": Rights(insert="code platform user_id requested_at"),
        "signed_requests": Rights(
            select="platform purpose request_sha256 code received_at",
            insert="platform purpose request_sha256 code expires_at",
            update="code",
        ),
        # Connections
        "connections": Rights(
            select=EVERY,
            insert=f"tenant_id id platform instance account_id state {_ACCOUNT} {_KEPT}",
            update=f"disconnected_at {_ACCOUNT} {_WORKED_ON}",
        ),
        "connection_secrets": _SECRET,
        "oauth_states": Rights(
            select=EVERY,
            insert="tenant_id state_sha256 platform instance ticket_sha256 sealed_verifier redirect_uri return_to"
            " actor connection_id expires_at scopes",
            update="used_at outcome sealed_accounts expires_at session_sha256 opened_at",
        ),
        "oauth_clients": Rights(
            select=EVERY,
            insert="tenant_id platform instance client_id sealed_secret redirect_uri scopes",
            update="client_id sealed_secret redirect_uri scopes",
        ),
        "notices": _NOTICE,
        "platform_budgets": Rights(select=EVERY, insert=_RATE_LIMIT, update="percent held_until updated_at"),
        "vault_canaries": _CANARY,
        "processes": _PROCESS,
        "event_subscriptions": Rights(select=EVERY),
        "event_silences": Rights(select=EVERY),
        "outages": _OUTAGE,
        # Posts
        "posts": _POST,
        "post_media": _POST_MEDIA,
        "post_targets": _POST_TARGET,
        "post_recurrences": _RECURRENCE,
        "post_occurrences": _OCCURRENCE,
        "queue_slots": Rights(select=EVERY, insert=EVERY, delete=True),
        # Files that are posted
        "media": Rights(
            select=EVERY,
            insert="tenant_id id stored_as sha256 bytes content_type kind width height duration_ms details file_name"
            " source_url converted_from created_by",
            update="removed_at removed_by",
        ),
        "media_uploads": Rights(
            select=EVERY,
            insert="tenant_id id length file_name created_by expires_at",
            update="upload_offset parts expires_at media_id",
            delete=True,
        ),
        "media_links": Rights(select=EVERY, update="revoked_at"),
        "media_fetches": Rights(
            select=EVERY,
            insert="tenant_id link_id method status first_byte user_agent address",
            update="last_byte",
        ),
    },
    WORKER_ROLE: {
        "alembic_version": _REVISION,
        "crm_verifications": Rights(select=EVERY),
        # The log
        "webhook_deliveries": Rights(select=EVERY),
        "webhook_delivery_queue": Rights(select=EVERY, update=EVERY, delete=True),
        "webhook_delivery_outcomes": Rights(
            select=EVERY,
            insert="delivery_id rule_version verdict verdict_reason event_count new_event_count body_sha256 holds_body",
            update=_SPLIT,
        ),
        "webhook_event_identities": Rights(select=EVERY, insert=EVERY),
        "webhook_event_log": Rights(
            select="id provider account_id external_id event_type payload_json occurred_at delivery_id created_at"
            " defect bucket",
            insert=_EVENT,
        ),
        "webhook_event_queue": Rights(
            select=EVERY, insert="bucket account_id event_id", update="due_at retry_count error_message", delete=True
        ),
        "webhook_event_outcomes": Rights(
            select="bucket account_id event_id state",
            insert="bucket account_id event_id state projection_version retry_count error_message",
        ),
        "webhook_buckets": Rights(select=EVERY, update="holder fence leased_until served_at"),
        # What is read from platforms
        "pull_tasks": PROJECTED,
        "pull_objects": PROJECTED,
        "pull_accounts": PROJECTED,
        "pull_drifts": PROJECTED,
        "lookups": PROJECTED,
        # Of access, what is mailed to whom, and the end of what has had its time
        "tenants": Rights(select="id name"),
        "users": Rights(select="id email disabled_at"),
        "memberships": Rights(select="tenant_id user_id role"),
        "invitations": _EXPIRED,
        "sessions": _EXPIRED,
        "pending_logins": _EXPIRED,
        "webauthn_challenges": _EXPIRED,
        "totp_factors": Rights(select="confirmed_at created_at", delete=True),
        "devices": Rights(select="seen_at", delete=True),
        "login_failures": Rights(select="failed_at", delete=True),
        "audit_log": Rights(insert=_AUDIT),
        "signed_requests": _EXPIRED,
        # Connections
        "connections": Rights(select=EVERY, update=_WORKED_ON),
        "connection_secrets": _SECRET,
        "oauth_states": Rights(select="expires_at sealed_accounts", update="sealed_accounts", delete=True),
        "oauth_clients": Rights(select=EVERY),
        "notices": _NOTICE,
        "notice_mails": Rights(
            select=EVERY,
            insert="tenant_id notice_id user_id",
            update="state tries due_at mail_id claimed_at",
            delete=True,
        ),
        "platform_budgets": Rights(
            select=EVERY, insert=_RATE_LIMIT, update="percent held_until updated_at", delete=True
        ),
        "vault_canaries": _CANARY,
        "processes": _PROCESS,
        "outages": Rights(select=EVERY, update="settled_at"),
        "event_subscriptions": Rights(select=EVERY, insert="tenant_id connection_id", update=_SUBSCRIPTION),
        "event_silences": Rights(
            select=EVERY,
            insert="tenant_id connection_id",
            update="looked_at rhythm_at heard_at silent_since scanned_to usual_hours alarm_hours",
            delete=True,
        ),
        # Posts
        "posts": _POST,
        "post_media": _POST_MEDIA,
        "post_targets": _POST_TARGET,
        "post_recurrences": _RECURRENCE,
        "post_occurrences": _OCCURRENCE,
        "queue_slots": Rights(select=EVERY),
        "database_incarnations": Rights(select=EVERY, insert="incarnation last_seen_at", update="held"),
        # Files that are posted
        "media": Rights(select=EVERY, update="removed_at removed_by purged_at"),
        "media_uploads": Rights(select=EVERY, delete=True),
        "media_links": Rights(
            select=EVERY,
            insert="tenant_id id media_id target_id attempt token_sha256 expires_at",
            update="revoked_at",
            delete=True,
        ),
        "media_fetches": Rights(select=EVERY),
    },
    # And READ on each view of schema ``reporting``, or ``reporting_tenant``
    READER_ROLE: {},
    TENANT_READER_ROLE: {},
    # What the previous release may, which acts as this role alone: less it gets a release later.
    APP_ROLE: {
        "alembic_version": _REVISION,
        "webhook_deliveries": Rights(select=EVERY, insert=EVERY),
        "webhook_delivery_queue": _ALL,
        "webhook_delivery_outcomes": Rights(select=EVERY, insert=EVERY, update=_SPLIT),
        "webhook_event_identities": Rights(select=EVERY, insert=EVERY),
        "webhook_event_log": Rights(select=EVERY, insert=_EVENT),
        "webhook_event_queue": Rights(
            select=EVERY, insert=EVERY, update="due_at retry_count error_message", delete=True
        ),
        "webhook_event_outcomes": Rights(
            select=EVERY, insert=EVERY, update="state settled_at error_message", delete=True
        ),
        "webhook_events": Rights(select=EVERY),
        "webhook_buckets": Rights(select=EVERY, update="holder fence leased_until served_at"),
        "lookups": _ALL,
        "webhook_refusals": Rights(select=EVERY, insert=EVERY, update=EVERY),
        "webhook_dropped_events": Rights(select=EVERY),
        "retention_policies": _ALL,
        "crm_verifications": Rights(select=EVERY, insert=EVERY),
        "tenants": Rights(select=EVERY),
        "users": _ALL,
        "memberships": _ALL,
        "invitations": _ALL,
        "sessions": Rights(select=EVERY, insert=EVERY, update="last_used_at second_factor", delete=True),
        "devices": _ALL,
        "totp_factors": _ALL,
        "passkeys": _ALL,
        "recovery_codes": _ALL,
        "pending_logins": _ALL,
        "webauthn_challenges": _ALL,
        "login_failures": Rights(select=EVERY, insert=EVERY, delete=True),
        "api_keys": Rights(select=EVERY, insert=EVERY, update=EVERY),
        "audit_log": Rights(select=EVERY, insert=_AUDIT),
        "deletion_requests": Rights(select=EVERY, insert=EVERY),
        "signed_requests": _ALL,
        "connections": Rights(select=EVERY, insert=EVERY, update=EVERY),
        "connection_secrets": _ALL,
        "oauth_states": _ALL,
        "oauth_clients": _ALL,
        "notices": Rights(select=EVERY, insert=EVERY, update=EVERY),
        "notice_mails": _ALL,
        "platform_budgets": _ALL,
        "vault_canaries": Rights(select=EVERY, insert=EVERY),
        "processes": Rights(select=EVERY),
        "outages": Rights(select=EVERY),
        "event_subscriptions": Rights(select=EVERY),
        "event_silences": Rights(select=EVERY),
        "database_incarnations": Rights(select=EVERY),
        "posts": _ALL,
        "post_media": _ALL,
        "post_targets": _ALL,
        "post_recurrences": _ALL,
        "post_occurrences": _ALL,
        "queue_slots": _ALL,
    },
}

APP_PROJECTED = _ALL
"""The commands' on each table of ``schema.crm`` that an earlier release made."""

FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "append_target_event()": (),  # a trigger's
    "drop_due_deliveries(uuid,integer)": (APP_ROLE,),
    "drop_due_events(bigint,integer)": (APP_ROLE,),
    "drop_due_partition()": (APP_ROLE,),
    "forget_person(uuid)": (WEB_ROLE, WORKER_ROLE),
    "find_api_key(bytea)": (WEB_ROLE,),
    "find_connections_of_person(text,text,timestamp with time zone)": (WEB_ROLE,),
    "find_connections_sharing_grant(uuid)": (WEB_ROLE, WORKER_ROLE),
    "find_deletion_request(text)": (WEB_ROLE,),
    "find_invitation(bytea)": (WEB_ROLE,),
    "find_own_connections()": (TENANT_READER_ROLE, WEB_ROLE),
    "find_reported_connections()": (APP_ROLE, READER_ROLE),
    "find_partition_gaps()": (APP_ROLE, WORKER_ROLE),
    "find_pull_progress(uuid[])": (WEB_ROLE,),
    "find_media_link(bytea)": (WEB_ROLE,),
    "find_oauth_state(bytea,bytea,bytea)": (WEB_ROLE,),
    "find_session(bytea)": (WEB_ROLE,),
    "find_target_events(uuid)": (WEB_ROLE,),
    "find_tenants_of_person(uuid)": (WEB_ROLE,),
    "find_tenants_of_sessions(uuid)": (WEB_ROLE,),
    "find_vault_keys()": (WEB_ROLE, WORKER_ROLE),
    "make_partitions()": (APP_ROLE, WORKER_ROLE),
    "request_account_deletion(uuid,text)": (WEB_ROLE,),
    "request_pull(uuid,text[],text[],text)": (WEB_ROLE,),
    "share_bodies(uuid[])": (WORKER_ROLE,),
}
"""Who may call the functions that run with the owner's rights. Each answers one question about all tenants, and gives
back as little as the answer is: mostly the tenant, for which the caller then acts. ``find_target_events`` reads of the
log when the targets of a post of that tenant came to their states. ``forget_person`` deletes, and only somebody
who belongs to no tenant; ``request_account_deletion`` records a request for a connection of that tenant;
``find_pull_progress`` tells how far connections of that tenant are read, and ``request_pull`` asks for one of them to
be read; ``share_bodies`` drops a body that is stored twice; ``make_partitions`` makes those of the months to come; the
three of retention drop what the stored policies say and nothing else."""
