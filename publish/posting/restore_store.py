"""Notice that the database is not the one it was: restored from a backup, or taken over by another server.

What was posted after the backup was made, or in the moment before the takeover, is not known then. So nothing that was
due is posted before it was looked for: each target that was under way or due becomes *unconfirmed*. Its machine looks
for it by its content where the platform shows that, and a person decides about the rest. Of what repeats, occurrences
that were due and had no post yet are not made.
"""

import json
from collections.abc import Mapping

import asyncpg

from publish.posting import recurrence_store
from schema.states import IN_FLIGHT, TARGET, TargetState

INCARNATION = """
SELECT s.system_identifier || ':' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || ':' || d.oid
FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()
"""
"""The server's identity, the timeline, which each promotion and each recovery begins, and that of the database."""

RESTORED = (
    "The database was restored, or taken over, while this was due, so whether it was posted is not known here."
    " Look there, and say whether it is there."
)

_KNOWN = f"SELECT EXISTS (SELECT FROM database_incarnations WHERE incarnation = ({INCARNATION}))"

_NOTE = f"""
INSERT INTO database_incarnations (incarnation, last_seen_at)
SELECT ({INCARNATION}),
    CASE WHEN EXISTS (SELECT FROM database_incarnations) THEN (SELECT max(seen_at) FROM processes) END
ON CONFLICT DO NOTHING RETURNING (SELECT count(*) FROM database_incarnations) > 0 AS restored
"""

_SCHEDULED = TARGET.any_of(TargetState.SCHEDULED, row="t")
_UNDER_WAY = TARGET.any_of(*IN_FLIGHT, row="t")

_HOLD = f"""
UPDATE post_targets t SET state = '{TargetState.UNCONFIRMED}',
    step = coalesce($1::jsonb #>> ARRAY[t.platform, t.kind], ''),
    step_since = now(), asked_at = NULL, failures = 0, fence = fence + 1, lease_until = NULL,
    due_at = CASE WHEN $1::jsonb #>> ARRAY[t.platform, t.kind] IS NOT NULL THEN now() END,
    intent_at = coalesce(t.intent_at, least(coalesce(t.slot_at, p.scheduled_at), now())), error_code = 'restored',
    error_message = $2,
    evidence = jsonb_build_array('last report of a process before: ' || coalesce(
        (SELECT max(last_seen_at) FROM database_incarnations)::text, 'none'))
FROM posts p WHERE p.tenant_id = t.tenant_id AND p.id = t.post_id AND (
    ({_SCHEDULED} AND t.due_at <= now())
    OR {_UNDER_WAY}) RETURNING 1
"""


async def is_known(connection: asyncpg.Connection) -> bool:
    """Return whether this is the database that workers have worked with before."""
    return bool(await connection.fetchval(_KNOWN))


async def hold(connection: asyncpg.Connection, searches: Mapping[str, Mapping[str, str]]) -> int:
    """Note the new incarnation, and make what may have been posted unconfirmed; return how many targets that are.

    ``searches`` has the step that looks for a post, by platform and kind. Nothing is done for the first incarnation,
    or where another worker was faster.
    """
    restored = await connection.fetchval(_NOTE)
    if not restored:
        return 0
    await recurrence_store.hold(connection)
    held = len(await connection.fetch(_HOLD, json.dumps({name: dict(by) for name, by in searches.items()}), RESTORED))
    await connection.execute(f"UPDATE database_incarnations SET held = $1 WHERE incarnation = ({INCARNATION})", held)
    return held
