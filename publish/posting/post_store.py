"""Posts and their targets, as people make, change and see them. All times are of PostgreSQL's clock.

What changes a target takes its lease away, so that a worker that has it changes and sends nothing any more. Nothing
here touches a target whose publishing began, but the decision of a person.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from publish.oauth.contract import owner_of
from publish.posting.decision import RESTORED_SINCE
from schema.states import CONNECTION, NOT_POSTED, POSTED, TARGET, ConnectionState, TargetState

SAME_CONTENT = timedelta(hours=24)
"""Within so long of one another, the same content at one account is taken for one post that was sent twice."""

SOON = timedelta(minutes=10)
"""Within so long of one another, two posts to one account get a warning."""

STATUS: Mapping[TargetState, str] = {
    state: "posted"
    if state in POSTED
    else "failed"
    if state in NOT_POSTED
    else "cancelled"
    if state == TargetState.CANCELLED
    else "pending"
    for state in TargetState
}
"""The user's word for each state."""

STATUSES = ("pending", "posted", "failed", "cancelled")

EDITABLE = (
    TargetState.DRAFT,
    TargetState.AWAITING_APPROVAL,
    TargetState.SCHEDULED,
    TargetState.FAILED,
    TargetState.MISSED,
)
"""States of a target that shows nothing at its platform, and that nobody works on."""

NO_ACTION = "t.id <> t.post_id"
"""The condition on a target of a post, which is no action on what is there: see :mod:`.action_kinds`."""

COUNTED = f"NOT {TARGET.any_of(TargetState.DRAFT, TargetState.CANCELLED, TargetState.FAILED, TargetState.MISSED)}"
"""The condition on a target that is published, or may be."""

NOT_THERE = "Somebody looked, and it is not there."

PARTS_FROM = 1000
"""The first position of files of further parts: a post has fewer files."""

_TARGET_TIME = "coalesce(t.published_at, t.slot_at, p.scheduled_at, t.created_at)"
_POST_TIME = "coalesce(p.scheduled_at, p.created_at)"
_LEASE_LOST = "fence = fence + 1, lease_until = NULL"


@dataclass(frozen=True, slots=True)
class Account:
    """A connection to publish with."""

    id: str
    platform: str
    login_platform: str
    instance: str
    account_id: str
    username: str | None
    scopes: Sequence[str]
    profile: Mapping[str, Any]
    state: str
    reason: str
    """Why it needs a person, in words for that person; empty where it does not."""

    @property
    def owner(self) -> str:
        """Whether it is a person's or an organization's; empty where its platform makes no difference."""
        return owner_of(self.profile)


@dataclass(frozen=True, slots=True)
class AttachedMedia:
    """A file of a post or of a part, in its place."""

    id: str
    alt_text: str


@dataclass(frozen=True, slots=True)
class StoredTarget:
    """A target as it is shown. ``due_at`` is when it is worked on next; None while it waits for somebody."""

    id: str
    post_id: str
    connection_id: str
    platform: str
    account: str
    parent_id: str | None
    position: int
    kind: str
    content: str | None
    untagged: str | None
    link_url: str | None
    options: Mapping[str, Any]
    digest: bytes = field(repr=False)
    repeats: bool
    state: TargetState
    step: str
    attempt: int
    failures: int
    due_at: datetime | None
    leased: bool
    platform_post_id: str | None
    platform_post_url: str | None
    error_code: str | None
    error_message: str | None
    retryable: bool | None
    evidence: Sequence[str]
    published_at: datetime | None
    worked_at: datetime | None
    asked: bool
    """Whether a request that makes something visible was ever about to be sent for this attempt."""
    slot_at: datetime | None
    """The slot of its account that it took, in place of the time of its post."""
    edited_at: datetime | None
    """When an action on it last changed its text at the platform."""
    deleted_at: datetime | None
    """When an action on it deleted it at the platform."""
    slot_local_time: str | None
    """The wall time of that slot, in ``slot_zone``."""
    slot_zone: str | None
    tzdata: str | None
    """The release of the time zone database by which its wall time was turned into UTC; None without a wall time."""
    moved_from: datetime | None
    """When it was due before a later release moved it; None if none did."""
    media: Sequence[AttachedMedia]
    """Of a further part or a first comment; those of an account are the post's."""

    @property
    def status(self) -> str:
        """The user's word for the state (``users-design.md`` 1)."""
        return STATUS[self.state]

    @property
    def written(self) -> str | None:
        """Its own text without the campaign parameters that were added; None for that of the post."""
        return self.content if self.untagged is None else self.untagged


@dataclass(frozen=True, slots=True)
class StoredPost:
    """A post as it is shown, with its targets and files."""

    id: str
    content: str
    link: Mapping[str, str]
    hashtags: Sequence[str]
    campaign_id: str | None
    utm: bool
    author: str
    version: int
    needs_approval: bool
    approved_version: int | None
    approved_by: str | None
    scheduled_at: datetime | None
    local_time: str | None
    zone: str | None
    late_policy: str
    late_seconds: float
    schedule_id: str | None
    created_at: datetime
    updated_at: datetime
    media: Sequence[AttachedMedia]
    targets: Sequence[StoredTarget]

    @property
    def status(self) -> str:
        """The user's word: what is still to come counts before what failed, and that before what is posted."""
        found = {target.status for target in self.targets}
        return next((status for status in ("pending", "failed", "posted", "cancelled") if status in found), "pending")

    @property
    def is_action(self) -> bool:
        """Whether it acts on what is there, and is no post: see :mod:`.action_kinds`."""
        return any(target.id == self.id for target in self.targets)

    @property
    def approved(self) -> bool:
        """Whether it may be published: it needs no approval, or this version has one."""
        return not self.needs_approval or self.approved_version == self.version


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPost:
    """What is stored of a post in its own row. ``media`` are ids, alternative texts and digests, in order."""

    content: str
    link: Mapping[str, str]
    hashtags: Sequence[str]
    campaign_id: str | None
    utm: bool
    needs_approval: bool
    scheduled_at: datetime | None
    local_time: str | None
    zone: str | None
    late_policy: str
    late_seconds: float
    media: Sequence[tuple[str, str, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTarget:
    """A target that is to be stored. ``due`` is whether it is worked on at its time: that of its slot, or its post.

    ``untagged`` is its text before campaign parameters were added, ``link_url`` the address of the shared page with
    them; None where none were. ``media`` are the files of a further part or a first comment, as those of
    :class:`NewPost`.
    """

    id: str
    account: Account
    kind: str
    content: str | None
    untagged: str | None
    link_url: str | None
    options: Mapping[str, Any]
    digest: bytes
    repeats: bool
    state: TargetState
    due: bool
    parent_id: str | None = None
    position: int = 0
    media: Sequence[tuple[str, str, bytes]] = ()
    slot_at: datetime | None = None
    slot_local_time: str | None = None
    slot_zone: str | None = None
    tzdata: str | None = None
    object_kind: str | None = None
    """Whether what an action acts on is a post or a comment; None where that is not known, and for a post."""


@dataclass(frozen=True, slots=True)
class TargetEvent:
    """When a target came to a state, or something else of it changed there, by the log."""

    target: str
    at: datetime
    state: TargetState
    step: str
    failures: int
    error_code: str | None
    error_message: str | None
    platform_post_url: str | None


ONLY = "only:"
"""Before a state in a filter: it alone, where the user's word is the same and means more states than that."""


@dataclass(frozen=True, slots=True)
class PostFilter:
    """Which posts to list. ``state`` is the user's word, or a state of a target, alone after ``only:``.

    ``platform``, ``connection`` and ``state`` are of one target. ``text`` is in the post or in a target of its, in
    capitals or not. ``before`` is the id of a post.
    """

    campaign: str | None = None
    state: str | None = None
    platform: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: str | None = None
    connection: str | None = None
    text: str | None = None


def states_of(word: str) -> list[TargetState]:
    """Return the states that a filter names: those of the user's word, a state, or a state alone; none if unknown."""
    if word.startswith(ONLY):
        return [state for state in TargetState if state == word.removeprefix(ONLY)]
    return [state for state in TargetState if word in (state, STATUS[state])]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many targets of a platform and campaign are in a state."""

    platform: str
    campaign_id: str | None
    state: TargetState
    targets: int


async def clock(connection: asyncpg.Connection) -> datetime:
    """Return the time at which the transaction began, by the database's clock."""
    found: datetime = await connection.fetchval("SELECT now()")
    return found


# --- accounts


async def accounts(
    connection: asyncpg.Connection, ids: Sequence[str] | None = None, platforms: Sequence[str] = ()
) -> list[Account]:
    """Return connections by id, whatever their state, and those of platforms that are connected; all of those without
    ``ids``, in the order of platforms and names.
    """
    rows = await connection.fetch(
        f"""
        SELECT id::text, platform, coalesce(via, platform), instance, account_id, username, scopes, profile, state,
            coalesce(reason, '')
        FROM connections WHERE id = ANY($1::uuid[])
            OR {CONNECTION.any_of(ConnectionState.ACTIVE)} AND (platform = ANY($2::text[]) OR $1::uuid[] IS NULL)
        ORDER BY platform, username, id""",
        None if ids is None else list(ids),
        list(platforms),
    )
    values = [list(row) for row in rows]
    for each in values:
        each[7] = json.loads(each[7])
    return [Account(*each) for each in values]


# --- what is there already


async def lock_key(connection: asyncpg.Connection, tenant: str, key: str) -> None:
    """Let nobody else use an idempotency key until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"post key {tenant} {key}")


async def by_key(connection: asyncpg.Connection, key: str) -> tuple[str, bytes] | None:
    """Return the post that was made with a key, and the digest of that request."""
    row = await connection.fetchrow("SELECT id::text, request_sha256 FROM posts WHERE idempotency_key = $1", key)
    return None if row is None else (row[0], row[1])


async def lock_content(connection: asyncpg.Connection, contents: Sequence[tuple[str, bytes]]) -> None:
    """Let nobody else decide about the same content at the same account until the transaction ends."""
    for connection_id, digest in sorted(contents):
        await connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"post content {connection_id} {digest.hex()}"
        )


async def same_content(
    connection: asyncpg.Connection,
    connection_id: str,
    digest: bytes,
    since: datetime,
    until: datetime,
    leaving_out: str,
) -> tuple[str, str] | None:
    """Return post and target with the same content at the same account from one time to another."""
    row = await connection.fetchrow(
        f"""
        SELECT t.post_id::text, t.id::text FROM post_targets t JOIN posts p ON p.id = t.post_id
        WHERE t.connection_id = $1::uuid AND t.digest = $2 AND t.parent_id IS NULL AND {NO_ACTION} AND {COUNTED}
            AND {_TARGET_TIME} BETWEEN $3 AND $4 AND t.post_id::text <> $5
        ORDER BY t.id LIMIT 1""",
        connection_id,
        digest,
        since,
        until,
        leaving_out,
    )
    return None if row is None else (row[0], row[1])


async def times(
    connection: asyncpg.Connection,
    connection_id: str,
    kinds: Sequence[str],
    since: datetime,
    until: datetime,
    leaving_out: str,
) -> list[datetime]:
    """Return when posts of these kinds are planned or were published at an account, answers to others apart."""
    rows = await connection.fetch(
        f"""
        SELECT {_TARGET_TIME} FROM post_targets t JOIN posts p ON p.id = t.post_id
        WHERE t.connection_id = $1::uuid AND t.kind = ANY($2::text[]) AND t.parent_id IS NULL AND {NO_ACTION}
            AND {COUNTED} AND {_TARGET_TIME} BETWEEN $3 AND $4 AND t.post_id::text <> $5""",
        connection_id,
        list(kinds),
        since,
        until,
        leaving_out,
    )
    return [row[0] for row in rows]


# --- making


async def insert(
    connection: asyncpg.Connection,
    tenant: str,
    id_: str,
    post: NewPost,
    author: str,
    *,
    key: str | None,
    request_sha256: bytes,
    schedule_id: str | None,
) -> None:
    """Store a post with its files; its targets follow."""
    await connection.execute(
        """
        INSERT INTO posts (tenant_id, id, content, link, hashtags, campaign_id, author, needs_approval, scheduled_at,
            local_time, zone, late_policy, late_seconds, schedule_id, idempotency_key, request_sha256, utm)
        VALUES ($1::uuid, $2::uuid, $3, $4::jsonb, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::uuid, $15, $16, $17)
        """,
        tenant,
        id_,
        post.content,
        json.dumps(dict(post.link)) if post.link else None,
        list(post.hashtags),
        post.campaign_id,
        author,
        post.needs_approval,
        post.scheduled_at,
        post.local_time,
        post.zone,
        post.late_policy,
        post.late_seconds,
        schedule_id,
        key,
        request_sha256,
        post.utm,
    )
    await _insert_media(connection, tenant, id_, post.media)


async def _insert_media(
    connection: asyncpg.Connection, tenant: str, id_: str, media: Sequence[tuple[str, str, bytes]]
) -> None:
    await connection.executemany(
        """
        INSERT INTO post_media (tenant_id, post_id, position, media_id, alt_text, sha256)
        VALUES ($1::uuid, $2::uuid, $3, $4::uuid, $5, $6)""",
        [(tenant, id_, position, *each) for position, each in enumerate(media)],
    )


async def set_part_media(
    connection: asyncpg.Connection, tenant: str, post_id: str, target_id: str, media: Sequence[tuple[str, str, bytes]]
) -> None:
    """Let these be the files of a further part. The event of the part, which follows, tells them.

    Their positions come after those of the post and of other parts.
    """
    query = "DELETE FROM post_media WHERE post_id = $1::uuid AND target_id = $2::uuid"
    await connection.execute(query, post_id, target_id)
    await connection.executemany(
        f"""
        INSERT INTO post_media (tenant_id, post_id, position, media_id, alt_text, sha256, target_id)
        VALUES ($1::uuid, $2::uuid, (SELECT greatest(max(position), {PARTS_FROM - 1}) + 1 FROM post_media
            WHERE post_id = $2::uuid), $3::uuid, $4, $5, $6::uuid)""",
        [(tenant, post_id, *each, target_id) for each in media],
    )


async def insert_target(
    connection: asyncpg.Connection, tenant: str, post_id: str, target: NewTarget, at: datetime | None
) -> None:
    """Store a target of a post; ``at`` is when it is due, if it is due by itself."""
    if target.media:
        await set_part_media(connection, tenant, post_id, target.id, target.media)
    await connection.execute(
        """
        INSERT INTO post_targets (tenant_id, id, post_id, connection_id, platform, account_id, parent_id, position,
            kind, content, options, digest, repeats, state, due_at, slot_at, untagged, link_url, slot_local_time,
            slot_zone, tzdata, object_kind)
        VALUES ($1::uuid, $2::uuid, $3::uuid, $4::uuid, $5, $6, $7::uuid, $8, $9, $10, $11::jsonb, $12, $13, $14, $15,
            $16, $17, $18, $19, $20, $21, $22)""",
        tenant,
        target.id,
        post_id,
        target.account.id,
        target.account.platform,
        target.account.account_id,
        target.parent_id,
        target.position,
        target.kind,
        target.content,
        json.dumps(dict(target.options)),
        target.digest,
        target.repeats,
        target.state,
        (target.slot_at or at) if target.due else None,
        target.slot_at,
        target.untagged,
        target.link_url,
        target.slot_local_time,
        target.slot_zone,
        target.tzdata,
        target.object_kind,
    )


# --- changing


async def lock(connection: asyncpg.Connection, id_: str) -> StoredPost | None:
    """Return a post; nobody else changes it or its targets until the transaction ends."""
    if await connection.fetchval("SELECT 1 FROM posts WHERE id = $1::uuid FOR UPDATE", id_) is None:
        return None
    await connection.execute("SELECT 1 FROM post_targets WHERE post_id = $1::uuid ORDER BY id FOR UPDATE", id_)
    return await one(connection, id_)


async def update(connection: asyncpg.Connection, tenant: str, id_: str, post: NewPost) -> None:
    """Store a new version of a post, which nobody approved yet."""
    await connection.execute(
        """
        UPDATE posts SET content = $2, link = $3::jsonb, hashtags = $4, campaign_id = $5, needs_approval = $6,
            scheduled_at = $7, local_time = $8, zone = $9, late_policy = $10, late_seconds = $11, utm = $12,
            version = version + 1, approved_version = NULL, approved_by = NULL, updated_at = now()
        WHERE id = $1::uuid""",
        id_,
        post.content,
        json.dumps(dict(post.link)) if post.link else None,
        list(post.hashtags),
        post.campaign_id,
        post.needs_approval,
        post.scheduled_at,
        post.local_time,
        post.zone,
        post.late_policy,
        post.late_seconds,
        post.utm,
    )
    await connection.execute("DELETE FROM post_media WHERE post_id = $1::uuid AND target_id IS NULL", id_)
    await _insert_media(connection, tenant, id_, post.media)


async def update_target(
    connection: asyncpg.Connection,
    id_: str,
    *,
    kind: str,
    content: str | None,
    untagged: str | None,
    link_url: str | None,
    options: Mapping[str, Any],
    digest: bytes,
    repeats: bool,
    state: TargetState,
    due_at: datetime | None,
    slot_at: datetime | None,
    tzdata: str | None,
    retimed: bool,
) -> None:
    """Store what a target is to show from now on, and when. Its event is appended even where its text is as before.

    It keeps its slot, or gives it back. ``tzdata`` is that of its time; ``retimed``: it is another one than before.
    """
    await connection.execute(
        f"""
        UPDATE post_targets SET kind = $2, content = $3, options = $4::jsonb, digest = $5, repeats = $6, state = $7,
            due_at = $8, slot_at = $9, untagged = $10, link_url = $11, sequence = sequence + 1, {_LEASE_LOST},
            slot_local_time = CASE WHEN $9::timestamptz IS NOT NULL THEN slot_local_time END,
            slot_zone = CASE WHEN $9::timestamptz IS NOT NULL THEN slot_zone END, tzdata = $12,
            moved_from = CASE WHEN NOT $13 THEN moved_from END
        WHERE id = $1::uuid AND {TARGET.any_of(*EDITABLE)}""",
        id_,
        kind,
        content,
        json.dumps(dict(options)),
        digest,
        repeats,
        state,
        due_at,
        slot_at,
        untagged,
        link_url,
        tzdata,
        retimed,
    )


async def set_time(connection: asyncpg.Connection, id_: str) -> None:
    """Let the time of a post be now; whoever says so has decided that it is not too late."""
    await connection.execute(
        """
        UPDATE posts SET scheduled_at = now(), local_time = NULL, zone = NULL, late_policy = 'publish',
            updated_at = now() WHERE id = $1::uuid""",
        id_,
    )


async def let_be_late(connection: asyncpg.Connection, id_: str) -> None:
    """Publish what is late of a post: somebody asked for it."""
    await connection.execute("UPDATE posts SET late_policy = 'publish' WHERE id = $1::uuid", id_)


async def approve(connection: asyncpg.Connection, id_: str, by: str) -> None:
    """Store who approved the present version of a post."""
    query = "UPDATE posts SET approved_version = version, approved_by = $2 WHERE id = $1::uuid"
    await connection.execute(query, id_, by)


async def schedule(connection: asyncpg.Connection, id_: str, *, now: bool) -> None:
    """Let the worker have what waits for approval, what is a draft, and, with ``now``, what it has already or missed.

    What answers another target waits for that.
    """
    also = [TargetState.SCHEDULED, TargetState.MISSED] if now else []
    states = [TargetState.DRAFT, TargetState.AWAITING_APPROVAL, *also]
    await connection.execute(
        f"""
        UPDATE post_targets t SET state = '{TargetState.SCHEDULED}', error_code = NULL, error_message = NULL,
            retryable = NULL, {_LEASE_LOST}, slot_at = CASE WHEN NOT $2 THEN t.slot_at END,
            slot_local_time = CASE WHEN NOT $2 THEN t.slot_local_time END,
            slot_zone = CASE WHEN NOT $2 THEN t.slot_zone END, tzdata = CASE WHEN NOT $2 THEN t.tzdata END,
            moved_from = CASE WHEN NOT $2 THEN t.moved_from END,
            due_at = CASE WHEN t.parent_id IS NULL THEN
                CASE WHEN $2 THEN now() ELSE coalesce(t.slot_at, p.scheduled_at) END END
        FROM posts p WHERE p.id = t.post_id AND t.post_id = $1::uuid AND {_of("t", states)}""",
        id_,
        now,
    )


def _of(alias: str, states: Sequence[TargetState]) -> str:
    return f"{alias}.state IN ({', '.join(repr(str(state)) for state in states)})"


async def cancel(connection: asyncpg.Connection, id_: str) -> list[str]:
    """Cancel the targets of a post that nothing was made visible of, and return their ids."""
    rows = await connection.fetch(
        f"""
        UPDATE post_targets SET state = '{TARGET.target("cancel")}', due_at = NULL, asked_at = NULL, sealed = NULL,
            {_LEASE_LOST}
        WHERE post_id = $1::uuid AND {TARGET.allows("cancel")} RETURNING id::text""",
        id_,
    )
    return [row[0] for row in rows]


async def retry(connection: asyncpg.Connection, ids: Sequence[str]) -> None:
    """Begin anew with targets that failed or were missed, without anything that their last attempt kept.

    What is to be looked for after a restore stays so.
    """
    await connection.execute(
        f"""
        UPDATE post_targets t SET state = '{TargetState.SCHEDULED}', attempt = attempt + 1, commits = 0,
            intent_at = NULL, asked_at = NULL, sealed = NULL, step = '', step_since = NULL, failures = 0,
            kept = jsonb_strip_nulls(jsonb_build_object('{RESTORED_SINCE}', kept->'{RESTORED_SINCE}')),
            error_code = NULL, error_message = NULL, retryable = NULL, evidence = NULL, {_LEASE_LOST},
            due_at = CASE WHEN t.parent_id IS NULL OR EXISTS (SELECT FROM post_targets parent
                WHERE parent.id = t.parent_id AND parent.platform_post_id IS NOT NULL) THEN now() END
        WHERE t.id = ANY($1::uuid[]) AND {_of("t", [TargetState.FAILED, TargetState.MISSED])}""",
        list(ids),
    )


async def failed_targets(connection: asyncpg.Connection, *, cause: str, platform: str | None) -> list[tuple[str, str]]:
    """Return post and target of all that failed with a code, at one platform or at all."""
    rows = await connection.fetch(
        f"""
        SELECT post_id::text, id::text FROM post_targets
        WHERE {TARGET.any_of(TargetState.FAILED)} AND error_code = $1 AND ($2::text IS NULL OR platform = $2)
        ORDER BY id""",
        cause,
        platform,
    )
    return [(row[0], row[1]) for row in rows]


async def failures(connection: asyncpg.Connection) -> list[tuple[str, str, int]]:
    """Return, for each platform and code, how many targets failed with it, the most first."""
    rows = await connection.fetch(
        f"""
        SELECT platform, error_code, count(*) FROM post_targets
        WHERE {TARGET.any_of(TargetState.FAILED)} AND error_code IS NOT NULL GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"""
    )
    return [(row[0], row[1], row[2]) for row in rows]


async def confirm_there(connection: asyncpg.Connection, id_: str, platform_post_id: str, url: str) -> None:
    """Store that a person saw a post there, and let what answers it go on.

    Raises UniqueViolationError where another target of the account holds that id.
    """
    await connection.execute(
        f"""
        UPDATE post_targets SET state = '{TargetState.PUBLISHED}', step = '', due_at = NULL, asked_at = NULL,
            sealed = NULL, platform_post_id = coalesce(nullif($2, ''), platform_post_id),
            platform_post_url = coalesce(nullif($3, ''), platform_post_url), error_code = NULL, error_message = NULL,
            retryable = NULL, published_at = coalesce(published_at, now()), {_LEASE_LOST}
        WHERE id = $1::uuid""",
        id_,
        platform_post_id,
        url,
    )
    await connection.execute(
        f"""
        UPDATE post_targets SET due_at = now() WHERE parent_id = $1::uuid AND due_at IS NULL
            AND {TARGET.any_of(TargetState.SCHEDULED)}""",
        id_,
    )


async def confirm_absent(connection: asyncpg.Connection, id_: str, refused: str = "") -> None:
    """Store that a person saw that a post is not there: it failed. ``refused`` is why it is not posted again."""
    await connection.execute(
        f"""
        UPDATE post_targets SET state = '{TargetState.FAILED}', due_at = NULL, asked_at = NULL, sealed = NULL,
            error_code = 'not_there', error_message = $2, retryable = true, {_LEASE_LOST}
        WHERE id = $1::uuid""",
        id_,
        f"{NOT_THERE} {refused}".rstrip(),
    )


# --- showing

_POST_COLUMNS = """p.id::text, p.content, coalesce(p.link, '{}'), p.hashtags, p.campaign_id, p.utm, p.author, p.version,
    p.needs_approval, p.approved_version, p.approved_by, p.scheduled_at, p.local_time, p.zone, p.late_policy,
    p.late_seconds, p.schedule_id::text, p.created_at, p.updated_at"""

_DONE_TO_IT = f"""(SELECT max(a.published_at) FROM post_targets a WHERE a.tenant_id = t.tenant_id
        AND a.parent_id = t.id AND a.id = a.post_id
        AND {TARGET.any_of(TargetState.PUBLISHED, row="a")} AND a.kind IN"""

_TARGET_COLUMNS = f"""t.id::text, t.post_id::text, t.connection_id::text, t.platform,
    coalesce(c.username, c.account_id), t.parent_id::text, t.position, t.kind, t.content, t.untagged, t.link_url,
    t.options, t.digest, t.repeats, t.state, t.step, t.attempt, t.failures, t.due_at,
    coalesce(t.lease_until > now(), false), t.platform_post_id, t.platform_post_url, t.error_code, t.error_message,
    t.retryable, coalesce(t.evidence, '[]'), t.published_at, t.worked_at, t.intent_at IS NOT NULL, t.slot_at,
    {_DONE_TO_IT} ('edit_post')), {_DONE_TO_IT} ('delete_post', 'delete_comment')),
    t.slot_local_time, t.slot_zone, t.tzdata, t.moved_from"""


async def one(connection: asyncpg.Connection, id_: str) -> StoredPost | None:
    """Return a post of the tenant; None where there is none."""
    return next(iter(await some(connection, [id_])), None)


async def existing(connection: asyncpg.Connection, id_: str) -> StoredPost:
    """Return a post that this transaction has stored, or has locked."""
    found = await one(connection, id_)
    if found is None:
        raise LookupError("the post is gone within its own transaction")
    return found


async def some(connection: asyncpg.Connection, ids: Sequence[str]) -> list[StoredPost]:
    """Return posts of the tenant by id, the newest first."""
    query = f"SELECT {_POST_COLUMNS} FROM posts p WHERE p.id = ANY($1::uuid[]) ORDER BY p.id DESC"
    return await _with_targets(connection, await connection.fetch(query, list(ids)))


async def listed(connection: asyncpg.Connection, tenant: str, wanted: PostFilter, limit: int) -> list[StoredPost]:
    """Return the newest posts that fit and are no actions, those before ``wanted.before`` if it is given.

    The tenant is named, beside the row policy, for the indexes that begin with it.
    """
    rows = await connection.fetch(
        f"""
        SELECT {_POST_COLUMNS} FROM posts p
        WHERE p.tenant_id = $10::uuid
            AND ($1::text IS NULL OR p.campaign_id = $1) AND ($2::timestamptz IS NULL OR {_POST_TIME} >= $2)
            AND ($3::timestamptz IS NULL OR {_POST_TIME} < $3) AND ($4::uuid IS NULL OR p.id < $4)
            AND NOT EXISTS (SELECT FROM post_targets a WHERE a.tenant_id = p.tenant_id AND a.id = p.id)
            AND (($5::text IS NULL AND $6::text[] IS NULL AND $8::uuid IS NULL) OR p.id IN (
                SELECT t.post_id FROM post_targets t WHERE t.tenant_id = $10::uuid
                AND ($5::text IS NULL OR t.platform = $5) AND ($6::text[] IS NULL OR t.state = ANY($6))
                AND ($8::uuid IS NULL OR t.connection_id = $8)))
            AND ($9::text IS NULL OR p.content ILIKE $9 OR p.id IN (SELECT t.post_id FROM post_targets t
                WHERE t.tenant_id = $10::uuid AND t.content ILIKE $9))
        ORDER BY p.id DESC LIMIT $7""",
        wanted.campaign,
        wanted.since,
        wanted.until,
        wanted.before,
        wanted.platform,
        None if wanted.state is None else states_of(wanted.state),
        limit,
        wanted.connection,
        None if wanted.text is None else f"%{_literally(wanted.text)}%",
        tenant,
    )
    return await _with_targets(connection, rows)


def _literally(text: str) -> str:
    """Return a text as a pattern that it alone matches."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


@dataclass(frozen=True, slots=True)
class Planned:
    """What an account publishes, or is to publish, and when. ``post`` and ``target`` are ids."""

    at: datetime
    post: str
    target: str
    platform: str
    account: str
    state: TargetState
    content: str
    campaign_id: str | None


_PLANNED = f"""t.parent_id IS NULL AND {NO_ACTION} AND ($3::uuid IS NULL OR t.connection_id = $3)
                AND ($4::text IS NULL OR p.campaign_id = $4)"""
"""The condition on a target ``t`` of a post ``p`` that a calendar shows."""


async def planned(
    connection: asyncpg.Connection,
    tenant: str,
    since: datetime,
    until: datetime,
    *,
    connection_id: str | None,
    campaign: str | None,
    limit: int,
) -> list[Planned]:
    """Return what is planned from one time until another, in that order; further parts and actions apart.

    The time of a target is that of its slot, or of its post. What has none, as some drafts, is left out.
    """
    rows = await connection.fetch(
        f"""
        WITH found AS (
            SELECT t.slot_at AS at, t.tenant_id, t.id, t.post_id, t.connection_id, t.platform, t.state,
                coalesce(t.content, p.content) AS content, p.campaign_id
            FROM post_targets t JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
            WHERE t.tenant_id = $6::uuid AND t.slot_at >= $1 AND t.slot_at < $2 AND {_PLANNED}
            UNION ALL
            SELECT p.scheduled_at, t.tenant_id, t.id, t.post_id, t.connection_id, t.platform, t.state,
                coalesce(t.content, p.content), p.campaign_id
            FROM posts p JOIN post_targets t ON t.tenant_id = p.tenant_id AND t.post_id = p.id
            WHERE p.tenant_id = $6::uuid AND p.scheduled_at >= $1 AND p.scheduled_at < $2 AND t.slot_at IS NULL
                AND {_PLANNED}
            ORDER BY at, post_id, id LIMIT $5)
        SELECT f.at, f.post_id::text, f.id::text, f.platform, coalesce(c.username, c.account_id), f.state, f.content,
            f.campaign_id
        FROM found f JOIN connections c ON c.tenant_id = f.tenant_id AND c.id = f.connection_id
        ORDER BY f.at, f.post_id, f.id""",
        since,
        until,
        connection_id,
        campaign,
        limit,
        tenant,
    )
    found = [list(row) for row in rows]
    for each in found:
        each[5] = TargetState(each[5])
    return [Planned(*each) for each in found]


async def latest_zone(connection: asyncpg.Connection, tenant: str) -> str | None:
    """Return the zone of the newest of the last hundred posts that has one."""
    found: str | None = await connection.fetchval(
        """
        SELECT zone FROM (SELECT id, zone FROM posts WHERE tenant_id = $1::uuid ORDER BY id DESC LIMIT 100) AS latest
        WHERE zone IS NOT NULL ORDER BY id DESC LIMIT 1""",
        tenant,
    )
    return found


async def events(connection: asyncpg.Connection, id_: str) -> list[TargetEvent]:
    """Return what the log has of the targets of a post: of each the newest 200 events, the first one first."""
    rows = await connection.fetch("SELECT * FROM find_target_events($1::uuid)", id_)
    return [
        TargetEvent(
            str(row["target_id"]),
            row["at"],
            TargetState(row["state"]),
            row["step"],
            row["retry_count"],
            row["error_code"],
            row["error_message"],
            row["platform_post_url"],
        )
        for row in rows
    ]


async def _with_targets(connection: asyncpg.Connection, rows: Sequence[asyncpg.Record]) -> list[StoredPost]:
    ids = [row[0] for row in rows]
    targets: dict[str, list[StoredTarget]] = {id_: [] for id_ in ids}
    media: dict[str, list[AttachedMedia]] = {}
    for row in await connection.fetch(
        """
        SELECT coalesce(target_id, post_id)::text, media_id::text, alt_text FROM post_media
        WHERE post_id = ANY($1::uuid[]) ORDER BY position""",
        ids,
    ):
        media.setdefault(row[0], []).append(AttachedMedia(row[1], row[2]))
    for row in await connection.fetch(
        f"""
        SELECT {_TARGET_COLUMNS} FROM post_targets t
        JOIN connections c ON c.tenant_id = t.tenant_id AND c.id = t.connection_id
        WHERE t.post_id = ANY($1::uuid[]) ORDER BY t.platform, c.username, t.connection_id, t.position, t.id""",
        ids,
    ):
        values = list(row)
        values[11], values[14], values[25] = json.loads(values[11]), TargetState(values[14]), json.loads(values[25])
        values.append(media.get(values[0], []))
        targets[values[1]].append(StoredTarget(*values))
    found = []
    for row in rows:
        values = list(row)
        values[2] = json.loads(values[2])
        values += [media.get(row[0], []), targets[row[0]]]
        found.append(StoredPost(*values))
    return found


async def tallies(connection: asyncpg.Connection, campaign: str | None) -> list[Tally]:
    """Count targets of posts by platform, campaign and state."""
    rows = await connection.fetch(
        f"""
        SELECT t.platform, p.campaign_id, t.state, count(*)
        FROM post_targets t JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
        WHERE {NO_ACTION} AND ($1::text IS NULL OR p.campaign_id = $1) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3""",
        campaign,
    )
    return [Tally(row[0], row[1], TargetState(row[2]), row[3]) for row in rows]


# --- for gauges

OVERDUE = timedelta(minutes=5)
"""A target that is due for so long, and that nobody works on, is overdue."""


async def waiting(connection: asyncpg.Connection) -> dict[str, tuple[int, int]]:
    """Return, by platform, how many targets are unconfirmed, and how many are overdue; of all tenants."""
    rows = await connection.fetch(
        f"""
        SELECT platform, count(*) FILTER (WHERE {TARGET.any_of(TargetState.UNCONFIRMED)}),
            count(*) FILTER (WHERE due_at < now() - $1::interval AND coalesce(lease_until, '-infinity') < now())
        FROM post_targets WHERE due_at IS NOT NULL OR {TARGET.any_of(TargetState.UNCONFIRMED)} GROUP BY 1""",
        OVERDUE,
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def most_published(connection: asyncpg.Connection, platform: str, kinds: Sequence[str], seconds: float) -> int:
    """Return the most posts of these kinds that one account of a platform has published within so many seconds."""
    found: int = await connection.fetchval(
        """
        SELECT coalesce(max(n), 0) FROM (SELECT count(*) AS n FROM post_targets
            WHERE platform = $1 AND kind = ANY($2::text[]) AND parent_id IS NULL AND id <> post_id
                AND published_at > now() - make_interval(secs => $3) GROUP BY tenant_id, connection_id) AS counted""",
        platform,
        list(kinds),
        seconds,
    )
    return found
