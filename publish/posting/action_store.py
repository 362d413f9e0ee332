"""Actions on what is there already, as people and programs ask for and see them."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

from publish.posting import post_store
from publish.posting.contract import PARENT_OPTION
from publish.posting.post_store import COUNTED, StoredPost, StoredTarget, states_of


@dataclass(frozen=True, slots=True)
class ActionFilter:
    """Which actions to list. ``state`` is a state or the user's word; ``before`` is the id of an action.

    ``object`` is the platform's id of what they act on, ``target`` the target of ours that they act on.
    """

    connection: str | None = None
    state: str | None = None
    object: str | None = None
    target: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """An action of the last day on one thing."""

    id: str
    digest: bytes
    content: str


async def own_target(connection: asyncpg.Connection, id_: str) -> StoredTarget | None:
    """Return a target by its id; None where the tenant has none."""
    query = "SELECT post_id::text, id::text FROM post_targets WHERE id = $1::uuid"
    return await _target(connection, await connection.fetchrow(query, id_))


async def own_target_of(
    connection: asyncpg.Connection, connection_id: str, platform_post_id: str
) -> StoredTarget | None:
    """Return the target of an account which the platform knows by this id; None where it was not made here."""
    row = await connection.fetchrow(
        """
        SELECT post_id::text, id::text FROM post_targets
        WHERE connection_id = $1::uuid AND platform_post_id = $2""",
        connection_id,
        platform_post_id,
    )
    return await _target(connection, row)


async def _target(connection: asyncpg.Connection, row: asyncpg.Record | None) -> StoredTarget | None:
    post = None if row is None else await post_store.one(connection, row[0])
    return None if row is None or post is None else next(each for each in post.targets if each.id == row[1])


async def latest(connection: asyncpg.Connection, connection_id: str, digests: Sequence[bytes]) -> Before | None:
    """Return the newest action of an account with one of these digests that was done, or may be, in the last day."""
    row = await connection.fetchrow(
        f"""
        SELECT t.id::text, t.digest, coalesce(t.content, p.content) FROM post_targets t
        JOIN posts p ON p.tenant_id = t.tenant_id AND p.id = t.post_id
        WHERE t.connection_id = $1::uuid AND t.digest = ANY($2::bytea[]) AND t.id = t.post_id AND {COUNTED}
            AND coalesce(t.published_at, t.created_at) > now() - $3::interval ORDER BY t.id DESC LIMIT 1""",
        connection_id,
        list(digests),
        post_store.SAME_CONTENT,
    )
    return None if row is None else Before(*row)


async def listed(connection: asyncpg.Connection, wanted: ActionFilter, limit: int) -> list[StoredPost]:
    """Return the newest actions that fit, those before ``wanted.before`` if it is given."""
    rows = await connection.fetch(
        f"""
        SELECT t.id::text FROM post_targets t WHERE t.id = t.post_id
            AND ($1::uuid IS NULL OR t.connection_id = $1) AND ($2::text[] IS NULL OR t.state = ANY($2))
            AND ($3::text IS NULL OR t.options->>'{PARENT_OPTION}' = $3) AND ($4::uuid IS NULL OR t.parent_id = $4)
            AND ($5::uuid IS NULL OR t.id < $5)
        ORDER BY t.id DESC LIMIT $6""",
        wanted.connection,
        None if wanted.state is None else states_of(wanted.state),
        wanted.object,
        wanted.target,
        wanted.before,
        limit,
    )
    return await post_store.some(connection, [row[0] for row in rows])


async def on_post(connection: asyncpg.Connection, post_id: str) -> list[StoredPost]:
    """Return the actions on what the targets of a post made, the oldest first."""
    rows = await connection.fetch(
        """
        SELECT a.id::text FROM post_targets t JOIN post_targets a ON a.tenant_id = t.tenant_id AND a.parent_id = t.id
        WHERE t.post_id = $1::uuid AND a.id = a.post_id""",
        post_id,
    )
    return [*reversed(await post_store.some(connection, [row[0] for row in rows]))]
