"""Notice that the database is not the one it was: restored from a backup, or taken over by another server.

What was posted after the backup was made, or in the moment before the takeover, is not known then: what was planned for
later, or waited for approval, may have been published early, too. So nothing that was there is posted before it was
looked for. Each target that was under way or due becomes *unconfirmed* at once, and any other that is not final once
its turn comes. Its machine looks for it by its content where the platform shows that, and a person decides about the
rest. Of what repeats, occurrences that were due and had no post yet are not made, and a post that is made of one for
which there may have been a post is looked for as well.
"""

import json
from collections.abc import Mapping
from datetime import datetime

import asyncpg

from publish.posting import recurrence_store
from publish.posting.decision import RESTORED_SINCE
from schema.states import IN_FLIGHT, NOT_BEGUN, NOT_POSTED, TARGET, TargetState

INCARNATION = """
SELECT s.system_identifier || ':' || left(pg_walfile_name(pg_current_wal_lsn()), 8) || ':' || d.oid
FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()
"""
"""The server's identity, the timeline, which each promotion and each recovery begins, and that of the database."""

RESTORED = (
    "The database was restored, or taken over, after this was made, so whether it was posted is not known here."
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
_MAY_YET_BE_POSTED = TARGET.any_of(*NOT_BEGUN, *NOT_POSTED, row="t")

_SINCE = "greatest(t.created_at, (SELECT max(worked_at) FROM post_targets))"
"""The earliest time at which a target can have been posted without a row that says so.

Only workers set ``worked_at``, and none works on a restored database before it has held what is there.
"""

_HOLD = f"""
UPDATE post_targets t SET state = '{TargetState.UNCONFIRMED}',
    step = coalesce($1::jsonb #>> ARRAY[t.platform, t.kind], ''),
    step_since = now(), asked_at = NULL, failures = 0, fence = fence + 1, lease_until = NULL,
    due_at = CASE WHEN $1::jsonb #>> ARRAY[t.platform, t.kind] IS NOT NULL THEN now() END,
    intent_at = coalesce(t.intent_at, (t.kept->>'{RESTORED_SINCE}')::timestamptz, {_SINCE}),
    kept = t.kept - '{RESTORED_SINCE}', error_code = 'restored',
    error_message = $2,
    evidence = jsonb_build_array('last report of a process before: ' || coalesce(
        (SELECT max(last_seen_at) FROM database_incarnations)::text, 'none'))
WHERE ({_SCHEDULED} AND t.due_at <= now()) OR {_UNDER_WAY} RETURNING 1
"""

_MARK = f"""
UPDATE post_targets t SET kept = jsonb_build_object('{RESTORED_SINCE}', {_SINCE}) || t.kept
WHERE {_MAY_YET_BE_POSTED}
"""

_LOOK_FIRST = f"""
UPDATE post_targets SET state = '{TargetState.UNCONFIRMED}', step = $3, step_since = now(), asked_at = NULL,
    failures = 0, lease_until = NULL, due_at = CASE WHEN $3 <> '' THEN now() END,
    intent_at = (kept->>'{RESTORED_SINCE}')::timestamptz, kept = kept - '{RESTORED_SINCE}',
    error_code = 'restored', error_message = $4, retryable = false, worked_at = now(),
    evidence = jsonb_build_array('it may have been posted since: ' || (kept->>'{RESTORED_SINCE}'))
WHERE id = $1::uuid AND fence = $2 AND lease_until > now() AND {TARGET.any_of(TargetState.SCHEDULED)} RETURNING 1
"""


async def is_known(connection: asyncpg.Connection) -> bool:
    """Return whether this is the database that workers have worked with before."""
    return bool(await connection.fetchval(_KNOWN))


async def hold(connection: asyncpg.Connection, searches: Mapping[str, Mapping[str, str]]) -> int:
    """Note the new incarnation, and make what may have been posted unconfirmed; return how many targets that are.

    What is not due is marked, to be looked for once its turn comes. ``searches`` has the step that looks for a post, by
    platform and kind. Nothing is done for the first incarnation, or where another worker was faster.
    """
    restored = await connection.fetchval(_NOTE)
    if not restored:
        return 0
    await recurrence_store.hold(connection)
    held = len(await connection.fetch(_HOLD, json.dumps({name: dict(by) for name, by in searches.items()}), RESTORED))
    await connection.execute(_MARK)
    await connection.execute(f"UPDATE database_incarnations SET held = $1 WHERE incarnation = ({INCARNATION})", held)
    return held


async def look_first(connection: asyncpg.Connection, id_: str, fence: int, search: str) -> bool:
    """Make a marked target unconfirmed whose turn has come, and give its lease back.

    ``search`` is the step that looks for it; empty where nothing can, so that a person is asked. False where the lease
    was lost, or somebody cancelled the target.
    """
    return await connection.fetchval(_LOOK_FIRST, id_, fence, search, RESTORED) is not None


async def mark(connection: asyncpg.Connection, post_id: str, since: datetime) -> None:
    """Have a post looked for when its turn comes, as one like it may have been posted since then."""
    await connection.execute(
        f"""
        UPDATE post_targets SET kept = jsonb_build_object('{RESTORED_SINCE}', $2::timestamptz) || kept
        WHERE post_id = $1::uuid""",
        post_id,
        since,
    )
