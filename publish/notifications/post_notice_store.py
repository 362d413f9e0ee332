"""Notices about posts that need somebody: at most one a day for each account and kind, so that a bad day is one mail.

A notice is resolved once none of the posts that it is about is in that state any more.
"""

import asyncpg

from publish.notifications.notice_store import RaisedNotice
from schema.states import IN_FLIGHT, NOTICE, TARGET, TargetState

LATE_HOURS = 2
"""A post that stays at one step for so long is late: no platform takes longer to process a file when it is well."""

OVERDUE_HOURS = 1
"""A post that is due for so long, and that nobody works on, is late."""

TOLD_DAYS = 7
"""A post that failed or was missed needs nobody any more after so many days."""

NEW_DAYS = 2
"""Nobody is told of what is older: notices may have been set up only now."""

_UNDER_WAY = TARGET.any_of(*IN_FLIGHT, row="t")
_FIRST_WORDS = """CASE WHEN p.content = '' THEN 'A post without text'
    ELSE 'The post “' || left(regexp_replace(p.content, '\\s+', ' ', 'g'), 60)
        || CASE WHEN length(p.content) > 60 THEN '…”' ELSE '”' END END"""

_WHY = "coalesce(nullif(t.error_message, ''), 'The platform has not said why.')"


def _of_state(state: TargetState, kind: str, says: str, condition: str = "true") -> str:
    """Return the SELECT of the posts in a state that somebody is to be told of."""
    return f"""
        SELECT t.tenant_id, t.connection_id, '{kind}' AS kind, t.step_since AS since, {_FIRST_WORDS} || {says} AS says
        FROM post_targets t JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
        WHERE t.state = '{state}' AND t.step_since IS NOT NULL AND {condition}"""


_RECENT = f"t.step_since > now() - interval '{TOLD_DAYS} days'"

_FOUND = " UNION ALL ".join(
    (
        _of_state(TargetState.FAILED, "post_failed", f"' failed: ' || {_WHY}", _RECENT),
        _of_state(TargetState.MISSED, "post_missed", f"' missed its time: ' || {_WHY}", _RECENT),
        _of_state(
            TargetState.UNCONFIRMED,
            "post_unconfirmed",
            "' may be published, and no answer told. Look at the account, and say what you see.'",
            "t.due_at IS NULL",
        ),
        _of_state(
            TargetState.AWAITING_PERSON,
            "post_waiting",
            "' waits for you at the platform: ' || coalesce(nullif(t.error_message, ''), 'go on with it there.')",
        ),
        f"""
        SELECT t.tenant_id, t.connection_id, 'post_late', t.step_since, {_FIRST_WORDS}
            || ' is late: ' || coalesce(nullif(t.error_message, ''), 'the platform has not got ready with it.')
        FROM post_targets t JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
        WHERE {_UNDER_WAY} AND t.step_since < now() - interval '{LATE_HOURS} hours'""",
        f"""
        SELECT t.tenant_id, t.connection_id, 'post_late', t.due_at, {_FIRST_WORDS}
            || ' is late: nothing works on it. Tell whoever runs this service.'
        FROM post_targets t JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
        WHERE t.state = '{TargetState.SCHEDULED}' AND t.due_at < now() - interval '{OVERDUE_HOURS} hours'""",
        f"""
        SELECT t.tenant_id, t.connection_id, 'post_late', coalesce(t.slot_at, p.scheduled_at), {_FIRST_WORDS}
            || ' is late: nobody has approved it.'
        FROM post_targets t JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
        WHERE t.state = '{TargetState.AWAITING_APPROVAL}' AND t.parent_id IS NULL
            AND coalesce(t.slot_at, p.scheduled_at) < now()""",
    )
)

_EPISODE = "date_trunc('day', since, 'UTC')"

_WARN = f"""
WITH found AS ({_FOUND}), over AS (
    UPDATE notices n SET resolved_at = now()
    WHERE starts_with(n.kind, 'post_') AND {NOTICE.allows("resolve").replace("resolved_at", "n.resolved_at")}
        AND NOT EXISTS (SELECT FROM found f WHERE f.tenant_id = n.tenant_id AND f.connection_id = n.connection_id
            AND f.kind = n.kind AND {_EPISODE} = n.episode))
INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
SELECT DISTINCT ON (tenant_id, connection_id, kind, {_EPISODE})
    tenant_id, gen_random_uuid(), connection_id, kind, {_EPISODE}, says
FROM found WHERE since > now() - interval '{NEW_DAYS} days'
ORDER BY tenant_id, connection_id, kind, {_EPISODE}, since
ON CONFLICT DO NOTHING RETURNING id, connection_id, kind
"""


async def warn(connection: asyncpg.Connection) -> list[RaisedNotice]:
    """Raise notices of posts that failed, were missed, are late, or wait for a person, and resolve those that are over.

    Return the new notices.
    """
    rows = await connection.fetch(_WARN)
    return [RaisedNotice(str(row["id"]), str(row["connection_id"]), row["kind"]) for row in rows]
