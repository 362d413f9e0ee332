"""Views of schema ``reporting``: the tables of the user's design, with its names, for whoever reads by SQL.

``SET search_path = reporting`` makes queries run that were written against that design. Each ``id`` is the number that
the row's table computes from its key, so that it stays after a rebuild; an id of one view in another joins them. The
role ``landfall_reader`` sees these views and nothing else, and its logins have that search path.

The views of one platform's tables stand beside those tables, in its module of ``schema.crm``. Tokens are shown as NULL.

The published views ``…_v1`` stand beside them (``schema.published``).
"""

from collections.abc import Mapping
from types import MappingProxyType

from schema.crm import platform_views
from schema.states import CONNECTION, ConnectionState
from schema.views import EVERYTHING, View

SCHEMA = EVERYTHING.schema


OAUTH_ACCOUNTS = View(
    "Accounts that are, or were, connected",
    {
        "id": "for joins",
        "user_id": "the tenant's id",
        "provider": "the platform",
        "open_id": "the platform's id of the account; with @ and the host, on platforms with many instances",
        "scope": "what was granted, separated by blanks",
        "access_token_encrypted": "always NULL: tokens are shown nowhere",
        "refresh_token_encrypted": "always NULL: tokens are shown nowhere",
        "expires_at": "when the access token ends; NULL for one without an end",
        "metadata": "username, status, reason, what else the platform says of the account",
        "created_at": "when it was connected for the first time",
        "updated_at": "when it was last connected, checked or disconnected",
    },
    """
    SELECT c.id, c.tenant_id AS user_id, c.platform AS provider,
        c.account_id || CASE WHEN c.instance = '' THEN '' ELSE '@' || c.instance END AS open_id,
        array_to_string(c.scopes, ' ') AS scope,
        NULL::text AS access_token_encrypted, NULL::text AS refresh_token_encrypted,
        c.expires_at,
        c.profile || jsonb_strip_nulls(jsonb_build_object('username', c.username, 'status', c.state, 'reason', c.reason,
            'instance', nullif(c.instance, ''), 'via', c.via)) AS metadata,
        c.created_at, c.updated_at
    FROM public.find_reported_connections() c
    """,
)

SOCIAL_CONNECTIONS = View(
    "Accounts that are, or were, connected, as pages show them",
    {
        "id": "for joins: oauth_accounts.id",
        "user_id": "the tenant's id",
        "platform": "the platform",
        "platform_user_id": "the platform's id of the account",
        "platform_username": "as the platform last gave it",
        "display_name": "as people see it; the username where the platform gives no other",
        "token_expires_at": "when the access token ends; NULL for one without an end",
        "scopes": "what was granted",
        "extra_data": "what else is known: such as the instance, and the page",
        "connection_status": "active, needs_reconnect or disconnected",
        "created_at": "when it was connected for the first time",
        "updated_at": "when it was last connected, checked or disconnected",
        "revoked_at": "when it was disconnected; NULL while it is not",
    },
    f"""
    SELECT c.id, c.tenant_id AS user_id, c.platform, c.account_id AS platform_user_id, c.username AS platform_username,
        coalesce(nullif(c.profile ->> 'name', ''), c.username) AS display_name, c.expires_at AS token_expires_at,
        c.scopes, c.profile || jsonb_strip_nulls(jsonb_build_object('instance', nullif(c.instance, ''),
            'via', c.via)) AS extra_data,
        c.state AS connection_status, c.created_at, c.updated_at,
        CASE WHEN {CONNECTION.conditions[ConnectionState.DISCONNECTED]} THEN c.updated_at END AS revoked_at
    FROM public.find_reported_connections() c
    """,
)

WEBHOOK_EVENTS = View(
    "Events, and how far the work on each has come",
    {
        "id": "in the order of the log",
        "provider": "the platform that it is of",
        "event_type": "the platform's own word",
        "external_id": "the same for every delivery of one event",
        "payload_json": "NULL where the body could not be read",
        "processed_at": "when its rows were written, or it was ignored; NULL until then",
        "error_message": "of the last failure, or why somebody ignored it",
        "retry_count": "failures so far",
        "created_at": "when it was received",
        "source": "webhook: a platform sent it; poll: it was read from a platform; own: a fact of Landfall's",
    },
    """
    SELECT e.id, e.provider, e.event_type, e.external_id, e.payload_json, e.processed_at, e.error_message,
        e.retry_count, e.created_at, e.source
    FROM public.webhook_events e
    """,
)

VIEWS: Mapping[str, View] = MappingProxyType(
    {
        "oauth_accounts": OAUTH_ACCOUNTS,
        "social_connections": SOCIAL_CONNECTIONS,
        **platform_views(),
        "webhook_events": WEBHOOK_EVENTS,
    }
)
