"""The targets of posts: the lease to work on one, and what becomes of it. All by PostgreSQL's clock.

Every statement that writes names the fence of its lease, so that a process that comes back after its lease was over
changes nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg

from ops.runtime.platform_protocol import JsonObject
from publish.posting.contract import PARENT_OPTION, Evidence, JsonValue
from publish.posting.decision import LOG_DIGESTS, Outcome
from publish.schedule.lateness import LatePolicy
from publish.vault.envelope import Vault
from schema.sealing import target_place
from schema.states import (
    CONNECTION,
    LISTENING,
    RECURRENCE,
    TARGET,
    ConnectionState,
    RecurrenceState,
    TargetState,
)

LEASE_SECONDS = 90
"""Longer than a request can take, files apart, for which the lease is longer by the time that they may take."""


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """A file of a post. ``sha256`` is that of the file as it was attached."""

    media_id: str
    alt_text: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """A leased target with what the driver needs of its post and its connection.

    ``waiting_parent`` is whether the target that it answers is not published yet; ``superseded`` is whether its post is
    an occurrence of a schedule of which a later one is due as well, made or not.
    """

    tenant: str
    id: str
    post_id: str
    connection_id: str
    platform: str
    login_platform: str
    instance: str
    account_id: str
    username: str
    profile: Mapping[str, JsonValue]
    scopes: Sequence[str]
    connected: bool
    reason: str
    """Why the connection needs a person; empty where it does not."""
    parent_post_id: str
    root_post_id: str
    waiting_parent: bool
    kind: str
    text: str
    link: Mapping[str, str]
    options: Mapping[str, JsonValue]
    state: TargetState
    step: str
    step_since: datetime
    asked_at: datetime | None
    intent_at: datetime | None
    commits: int
    attempt: int
    failures: int
    kept: Mapping[str, JsonValue]
    sealed: bytes | None = field(repr=False)
    due_at: datetime | None
    late_policy: LatePolicy
    superseded: bool
    approved: bool
    now: datetime
    fence: int
    platform_post_id: str
    files: Sequence[AttachedFile]

    @property
    def asked(self) -> bool:
        """Whether a request of this step may have been sent whose outcome nobody stored."""
        return self.asked_at is not None

    def secrets(self, vault: Vault) -> dict[str, str]:
        """Return what the steps have sealed. Raises VaultError."""
        if self.sealed is None:
            return {}
        found: dict[str, str] = json.loads(vault.open(self.sealed, target_place(self.tenant, self.id)))
        return found


_LISTENING = TARGET.any_of(*LISTENING, row="t")

_BELOW = "(t.parent_id IS NOT NULL AND parent.post_id = t.post_id)"
"""The condition on a further part of a thread, or a first comment: it has files of its own, and no link."""

_SUPERSEDED = f"""(p.schedule_id IS NOT NULL AND (
    EXISTS (SELECT FROM post_recurrences r WHERE r.tenant_id = p.tenant_id AND r.id = p.schedule_id
        AND {RECURRENCE.any_of(RecurrenceState.ACTIVE, row="r")}
        AND r.next_at > p.scheduled_at AND r.next_at <= now())
    OR EXISTS (SELECT FROM posts later WHERE later.tenant_id = p.tenant_id AND later.schedule_id = p.schedule_id
        AND later.scheduled_at > p.scheduled_at AND later.scheduled_at <= now()
        AND EXISTS (SELECT FROM post_targets lt WHERE lt.tenant_id = later.tenant_id AND lt.post_id = later.id
            AND NOT {TARGET.any_of(TargetState.CANCELLED, row="lt")}))))"""

_COLUMNS: Mapping[str, str] = {
    "tenant": "t.tenant_id::text",
    "id": "t.id::text",
    "post_id": "t.post_id::text",
    "connection_id": "t.connection_id::text",
    "platform": "t.platform",
    "login_platform": "coalesce(c.via, c.platform)",
    "instance": "c.instance",
    "account_id": "t.account_id",
    "username": "c.username",
    "profile": "c.profile",
    "scopes": "c.scopes",
    "reason": "coalesce(c.reason, '')",
    "connected": CONNECTION.any_of(ConnectionState.ACTIVE, row="c"),
    "parent_post_id": f"coalesce(parent.platform_post_id, t.options->>'{PARENT_OPTION}', '')",
    "root_post_id": "coalesce(root.platform_post_id, '')",
    "waiting_parent": "t.parent_id IS NOT NULL AND parent.platform_post_id IS NULL",
    "kind": "t.kind",
    "text": "coalesce(t.content, p.content)",
    "link": f"CASE WHEN {_BELOW} THEN '{{}}' ELSE coalesce(p.link, '{{}}') || jsonb_strip_nulls(jsonb_build_object("
    "'url', t.link_url)) END",
    "options": f"t.options - '{PARENT_OPTION}'",
    "state": "t.state",
    "step": "t.step",
    "step_since": "coalesce(t.step_since, now())",
    "asked_at": "t.asked_at",
    "intent_at": "t.intent_at",
    "commits": "t.commits",
    "attempt": "t.attempt",
    "failures": "t.failures",
    "kept": "t.kept",
    "sealed": "t.sealed",
    "due_at": "t.due_at",
    "when_late": "p.late_policy",
    "late_seconds": "p.late_seconds",
    "superseded": _SUPERSEDED,
    "approved": "NOT p.needs_approval OR p.approved_version IS NOT DISTINCT FROM p.version",
    "now": "now()",
    "fence": "t.fence",
    "platform_post_id": "coalesce(t.platform_post_id, '')",
}
"""Each field of a target as SQL."""

_SELECTED = ", ".join(f"{column} AS {name}" for name, column in _COLUMNS.items())

_FROM = """
    FROM post_targets t JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
    JOIN connections c ON c.tenant_id = t.tenant_id AND c.id = t.connection_id
    LEFT JOIN post_targets parent ON parent.tenant_id = t.tenant_id AND parent.id = t.parent_id
    LEFT JOIN post_targets root ON root.tenant_id = t.tenant_id AND root.post_id = t.post_id
        AND root.connection_id = t.connection_id AND root.parent_id IS NULL AND t.parent_id IS NOT NULL"""


async def claim(connection: asyncpg.Connection, limit: int) -> list[tuple[str, str, int]]:
    """Lease targets that are due, the longest due first, one of each account: tenant, id and fence of each.

    An account's targets are worked on one after the other, so that a thread keeps its order and a limit is not run
    into side by side.
    """
    rows = await connection.fetch(
        """
        WITH due AS (
            SELECT DISTINCT ON (t.tenant_id, t.connection_id) t.tenant_id, t.id, t.due_at
            FROM post_targets t WHERE t.due_at <= now() AND coalesce(t.lease_until, '-infinity') < now()
                AND NOT EXISTS (SELECT FROM post_targets o WHERE o.tenant_id = t.tenant_id
                    AND o.connection_id = t.connection_id AND o.due_at IS NOT NULL AND o.lease_until >= now())
            ORDER BY t.tenant_id, t.connection_id, t.due_at, t.id
        ), taken AS (
            SELECT t.tenant_id, t.id FROM post_targets t JOIN due USING (tenant_id, id)
            ORDER BY due.due_at LIMIT $1 FOR UPDATE OF t SKIP LOCKED
        )
        UPDATE post_targets t SET lease_until = now() + make_interval(secs => $2), fence = fence + 1
        FROM taken WHERE t.tenant_id = taken.tenant_id AND t.id = taken.id
            AND t.due_at <= now() AND coalesce(t.lease_until, '-infinity') < now()
        RETURNING t.tenant_id::text, t.id::text, t.fence""",
        limit,
        float(LEASE_SECONDS),
    )
    return [tuple(row) for row in rows]


async def load(connection: asyncpg.Connection, id_: str, fence: int) -> Target | None:
    """Return a leased target with its files; None where the lease was lost."""
    row = await connection.fetchrow(
        f"SELECT {_SELECTED} {_FROM} WHERE t.id = $1::uuid AND t.fence = $2 AND t.lease_until > now()", id_, fence
    )
    if row is None:
        return None
    files = await connection.fetch(
        """
        SELECT media_id::text, alt_text, sha256 FROM post_media m WHERE post_id = $1::uuid
            AND target_id IS NOT DISTINCT FROM (SELECT t.id FROM post_targets t JOIN post_targets parent
                ON parent.tenant_id = t.tenant_id AND parent.id = t.parent_id AND parent.post_id = t.post_id
                WHERE t.id = $2::uuid)
        ORDER BY position""",
        row["post_id"],
        id_,
    )
    values = dict(row)
    for name in ("profile", "link", "options", "kept"):
        values[name] = json.loads(values[name])
    late = LatePolicy(values.pop("when_late"), timedelta(seconds=values.pop("late_seconds")))
    values["state"] = TargetState(values["state"])
    return Target(**values, late_policy=late, files=[AttachedFile(*file) for file in files])


async def bound(connection: asyncpg.Connection, target: Target) -> frozenset[str]:
    """Return the ids of the account's posts that other targets hold, since its intent and of a week and a day."""
    rows = await connection.fetch(
        f"""
        SELECT platform_post_id FROM post_targets WHERE connection_id = $1::uuid AND id <> $2::uuid
            AND platform_post_id IS NOT NULL
            AND published_at > least(now() - interval '8 days', $3::timestamptz
                - interval '{BEFORE_INTENT_SECONDS} seconds')""",
        target.connection_id,
        target.id,
        target.intent_at,
    )
    return frozenset(row[0] for row in rows)


async def begin(connection: asyncpg.Connection, target: Target, step: str, state: TargetState) -> bool:
    """Bring a target to the first step of its machine. False where the lease was lost, or somebody cancelled it."""
    return await _changed(
        connection,
        f"""UPDATE post_targets SET state = $3, step = $4, step_since = now(), failures = 0, asked_at = NULL,
            error_code = NULL, error_message = NULL, retryable = NULL
        WHERE id = $1::uuid AND fence = $2 AND {TARGET.conditions[TargetState.SCHEDULED]} RETURNING 1""",
        target,
        state,
        step,
    )


async def save_intent(
    connection: asyncpg.Connection, target: Target, sealed: bytes | None, *, visible: bool, seconds: float
) -> datetime | None:
    """Store that the request of the target's step is about to be sent, which may take so many seconds.

    Return the time; None where the lease was lost or somebody cancelled the target: nothing may be sent then.
    ``visible``: something that people see may come of it.
    """
    found: datetime | None = await connection.fetchval(
        f"""
        UPDATE post_targets SET asked_at = now(), lease_until = now() + make_interval(secs => $5),
            intent_at = CASE WHEN $4 THEN coalesce(intent_at, now()) ELSE intent_at END,
            commits = commits + $4::int, sealed = $6
        WHERE id = $1::uuid AND fence = $2 AND step = $3 AND lease_until > now()
            AND NOT {TARGET.any_of(TargetState.CANCELLED)} RETURNING asked_at""",
        target.id,
        target.fence,
        target.step,
        visible,
        LEASE_SECONDS + seconds,
        sealed,
    )
    return found


async def save_outcome(connection: asyncpg.Connection, target: Target, outcome: Outcome, *, release: bool) -> bool:
    """Store what becomes of a target, and give the lease back or keep it. False where it was lost.

    Raises UniqueViolationError where another target of the account holds ``post_id``.
    """
    return await _changed(
        connection,
        """
        UPDATE post_targets SET state = $3, step = $4, asked_at = NULL,
            step_since = CASE WHEN $5 THEN step_since ELSE now() END, failures = $6, kept = $7::jsonb, sealed = $8,
            due_at = now() + make_interval(secs => $9),
            lease_until = CASE WHEN $10 THEN NULL ELSE now() + make_interval(secs => $11) END,
            error_code = $12, error_message = $13, retryable = $14,
            evidence = CASE WHEN $15::jsonb = '[]' THEN evidence ELSE $15::jsonb END,
            worked_at = now(),
            platform_post_id = coalesce(nullif($16, ''), platform_post_id),
            platform_post_url = coalesce(nullif($17, ''), platform_post_url),
            published_at = CASE WHEN $18 THEN coalesce(published_at, now()) ELSE published_at END,
            attempt = attempt + $19::int,
            commits = commits - CASE WHEN $20 AND asked_at IS NOT NULL THEN 1 ELSE 0 END
        WHERE id = $1::uuid AND fence = $2 AND lease_until > now() RETURNING 1""",
        target,
        outcome.state,
        outcome.step,
        outcome.same_step,
        outcome.failures,
        json.dumps(dict(outcome.kept)),
        outcome.sealed,
        outcome.seconds,
        release,
        float(LEASE_SECONDS),
        outcome.code,
        outcome.message,
        outcome.retryable,
        json.dumps(list(outcome.evidence)),
        outcome.post_id,
        outcome.url,
        outcome.published,
        outcome.new_attempt,
        outcome.uncounted,
    )


async def _changed(connection: asyncpg.Connection, query: str, target: Target, *values: object) -> bool:
    return await connection.fetchval(query, target.id, target.fence, *values) is not None


async def wake_children(connection: asyncpg.Connection, target: Target) -> None:
    """Make what answers a target due, now that there is something to answer."""
    await connection.execute(
        f"""
        UPDATE post_targets SET due_at = now() WHERE parent_id = $1::uuid
            AND {TARGET.any_of(TargetState.SCHEDULED)} AND due_at IS NULL""",
        target.id,
    )


LOG = "webhook_event_log"

BEFORE_INTENT_SECONDS = 120
"""How much earlier than an intent the log may have what came of it: it has other clocks than the intent."""


UNHELD_SECONDS = 120
"""So old must be what no target holds before another may take it: the answer that names it to its own has come then."""


def _rows(evidence: Evidence) -> str:
    """Return FROM and WHERE of the rows ``e`` of a piece of evidence that count for a target ``t``."""
    since = f"coalesce(t.intent_at, t.created_at) - interval '{BEFORE_INTENT_SECONDS} seconds'"
    of = f"e.{evidence.column} = t.kept->>'{evidence.kept}'"
    if evidence.unheld or not evidence.column:
        of = f"e.created_at >= {since}"
    if evidence.unheld:
        of += f""" AND e.created_at < now() - interval '{UNHELD_SECONDS} seconds' AND NOT EXISTS (
            SELECT FROM post_targets o WHERE o.tenant_id = t.tenant_id AND o.connection_id = t.connection_id
                AND o.kept->>'{evidence.kept}' = e.{evidence.column})"""
    provider = f"'{evidence.provider}'" if evidence.provider else "t.platform"
    if evidence.table == LOG:
        of += f" AND e.provider = {provider} AND e.id >= event_id_from({since})"
    return f"""FROM {evidence.table} e WHERE e.bucket = bucket_of({provider}, t.account_id)
        AND e.account_id = t.account_id AND {of} AND ({evidence.condition})"""


def _digest(evidence: Evidence) -> str:
    """Return SQL for a digest of these rows, the same however often and in whatever order they came; '' for none."""
    shown = "e.id" if evidence.table == LOG else f"ROW({', '.join(f'e.{column}' for column in evidence.columns)})"
    said = f"string_agg({shown}::text, chr(10) ORDER BY {shown}::text)"
    return f"(SELECT coalesce(encode(sha256(convert_to({said}, 'UTF8')), 'hex'), '') {_rows(evidence)})"


LISTENED_DAYS = 7
"""So long after the intent of a target its account's events are compared: platforms repeat them for three days at most
(``tiktok.md`` 2.1). What names the target itself counts however late it comes.
"""


async def listening(connection: asyncpg.Connection) -> set[tuple[str, str, str]]:
    """Return platform, kind and step of the targets of which a platform may tell something."""
    rows = await connection.fetch(f"SELECT DISTINCT t.platform, t.kind, t.step FROM post_targets t WHERE {_LISTENING}")
    return {tuple(row) for row in rows}


async def claim_with_evidence(
    connection: asyncpg.Connection, platform: str, evidence: Evidence, limit: int
) -> list[tuple[str, str, int]]:
    """Lease targets of which the log has other evidence than was read: tenant, id and fence of each.

    The evidence is compared and not its time, as what was committed last need not be what was received last.
    """
    named = evidence.column and not evidence.unheld
    recent = f"coalesce(t.intent_at, t.created_at) > now() - interval '{LISTENED_DAYS} days'"
    rows = await connection.fetch(
        f"""
        WITH informed AS (
            SELECT t.tenant_id, t.id FROM post_targets t
            WHERE t.platform = $1 AND t.step = ANY($2::text[]) AND (t.kind = ANY($3::text[]) OR $3::text[] = '{{}}')
                AND {_LISTENING} AND {"true" if named else recent} AND coalesce(t.lease_until, '-infinity') < now()
                AND NOT EXISTS (SELECT FROM post_targets o WHERE o.tenant_id = t.tenant_id
                    AND o.connection_id = t.connection_id AND o.due_at IS NOT NULL AND o.lease_until >= now())
                AND {_digest(evidence)} <> coalesce(t.kept #>> ARRAY['{LOG_DIGESTS}', $4], '')
            LIMIT $5 FOR UPDATE OF t SKIP LOCKED
        )
        UPDATE post_targets t SET lease_until = now() + make_interval(secs => $6), fence = fence + 1
        FROM informed WHERE t.tenant_id = informed.tenant_id AND t.id = informed.id
        RETURNING t.tenant_id::text, t.id::text, t.fence""",
        platform,
        list(evidence.steps),
        list(evidence.kinds),
        evidence.table,
        limit,
        float(LEASE_SECONDS),
    )
    return [tuple(row) for row in rows]


async def seen(connection: asyncpg.Connection, target: Target, evidence: Evidence) -> tuple[str, Sequence[JsonObject]]:
    """Return a digest of what the log has of a target, and its rows, at most ``MOST_SEEN``."""
    columns = ", ".join(f"e.{column}" for column in evidence.columns)
    row = await connection.fetchrow(
        f"""
        SELECT {_digest(evidence)}, (SELECT coalesce(jsonb_agg(to_jsonb(x)), '[]')::text
            FROM (SELECT {columns} {_rows(evidence)} ORDER BY {columns} LIMIT {MOST_SEEN}) x)
        FROM post_targets t WHERE t.id = $1::uuid""",
        target.id,
    )
    return ("", []) if row is None else (row[0], json.loads(row[1]))


MOST_SEEN = 1000
"""Rows of evidence that are read for a target."""


async def rivals(connection: asyncpg.Connection, target: Target) -> int:
    """Return how many other targets of the account are at the same step, or were when somebody was asked."""
    found: int = await connection.fetchval(
        f"""
        SELECT count(*) FROM post_targets t WHERE t.connection_id = $1::uuid AND t.id <> $2::uuid AND t.step = $3
            AND {_LISTENING}""",
        target.connection_id,
        target.id,
        target.step,
    )
    return found


async def note_digests(
    connection: asyncpg.Connection, target: Target, digests: Mapping[str, JsonValue], *, asks: bool
) -> None:
    """Store what was read and decided nothing, and give the lease back; ``asks``: what waits is due now."""
    await connection.execute(
        f"""
        UPDATE post_targets SET kept = kept || jsonb_build_object('{LOG_DIGESTS}', $3::jsonb), lease_until = NULL,
            due_at = CASE WHEN $4 AND due_at IS NOT NULL THEN now() ELSE due_at END
        WHERE id = $1::uuid AND fence = $2 AND lease_until > now()""",
        target.id,
        target.fence,
        json.dumps(dict(digests)),
        asks,
    )
