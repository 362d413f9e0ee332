"""What commands about posts share: a way to act for a tenant, and the options that describe what is posted."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import click

from ops.cli import wiring
from ops.cli.access import scope_of
from ops.cli.composition import built, posts_of, storage_of, uploads_of
from ops.runtime.settings import Configuration
from publish.media.uploads import Uploads
from publish.posting.posts import Posts

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class PostContext:
    """``uploads`` is None where no place for files is configured."""

    posts: Posts
    tenant: str
    uploads: Uploads | None


@asynccontextmanager
async def post_context(configuration: Configuration, tenant: str | None) -> AsyncIterator[PostContext]:
    async with scope_of(configuration, tenant) as scope, AsyncExitStack() as stack:
        url, found = configuration.settings.landfall_public_url, None
        if wiring.has_vault(configuration):
            found = await stack.enter_async_context(built(configuration, scope.pool))
        uploads = await stack.enter_async_context(uploads_of(configuration, scope.pool))
        posts = posts_of(scope.pool, found, storage_of(configuration), url, uploads)
        yield PostContext(posts, scope.tenant, uploads)


_CONTENT = (
    click.option("--content", default="", help="The text."),
    click.option(
        "--connection", "connections", type=click.UUID, multiple=True, help="An account; see `connections list`."
    ),
    click.option("--platform", "platforms", multiple=True, help="All connected accounts of a platform."),
    click.option("--media", type=click.UUID, multiple=True, help="A file; see `media list`."),
    click.option("--alt-text", "alt_texts", multiple=True, help="Of the files, in their order."),
    click.option("--link", default="", help="A page to share."),
    click.option("--hashtag", "hashtags", multiple=True),
    click.option("--campaign", "campaign_id"),
    click.option("--utm", is_flag=True, help="Add campaign parameters to the links, by platform."),
    click.option("--thread", multiple=True, help="A further part."),
    click.option(
        "--thread-media",
        type=(click.IntRange(2), click.UUID),
        multiple=True,
        metavar="PART FILE",
        help="A file of a further part; parts count from 2, the first --thread.",
    ),
    click.option("--thread-alt-text", "thread_alt_texts", multiple=True, help="Of the --thread-media, in their order."),
    click.option("--first-comment-media", type=click.UUID, multiple=True, help="A file of the option first_comment."),
    click.option("--kind", default="", help="Such as reel; chosen from the files if not named."),
    click.option("--options", "chosen", default="{}", metavar="JSON", help="Of the platform."),
    click.option("--needs-approval", is_flag=True),
)


def content_options(command: F) -> F:
    """Add the options that :func:`content_of` reads."""
    for option in reversed(_CONTENT):
        command = option(command)
    return command


def content_of(
    *,
    connections: Sequence[UUID],
    media: Sequence[UUID],
    alt_texts: Sequence[str],
    thread: Sequence[str],
    thread_media: Sequence[tuple[int, UUID]],
    thread_alt_texts: Sequence[str],
    first_comment_media: Sequence[UUID],
    link: str,
    kind: str,
    chosen: str,
    files: int = 0,
    **given: Any,
) -> dict[str, Any]:
    """Return what is posted as programs send it; the ids of so many files that follow are empty. Raises UsageError."""
    try:
        parsed = json.loads(chosen)
    except (ValueError, RecursionError):
        raise click.UsageError('--options is no JSON, such as {"first_comment": "…"}') from None
    ids = [*map(str, media), *[""] * files]
    if len(alt_texts) > len(ids):
        raise click.UsageError("there are more --alt-text than files")
    texts = [*alt_texts, *[""] * (len(ids) - len(alt_texts))]
    lists = {name: list(given.pop(name)) for name in ("platforms", "hashtags")}
    comment = [str(id_) for id_ in first_comment_media]
    return {
        **given,
        **lists,
        "targets": [
            {"connection": str(id_), "kind": kind, "options": parsed, "first_comment_media": comment}
            for id_ in connections
        ],
        "thread": _parts(thread, thread_media, thread_alt_texts),
        "media": [{"id": id_, "alt_text": text} for id_, text in zip(ids, texts, strict=True)],
        "link": {"url": link} if link else None,
    }


def _parts(thread: Sequence[str], media: Sequence[tuple[int, UUID]], alt_texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return the further parts of a thread with their files. Raises UsageError."""
    if len(alt_texts) > len(media):
        raise click.UsageError("there are more --thread-alt-text than --thread-media")
    parts: list[dict[str, Any]] = [{"content": text, "media": []} for text in thread]
    described = [*alt_texts, *[""] * (len(media) - len(alt_texts))]
    for (number, id_), text in zip(media, described, strict=True):
        if number > len(parts) + 1:
            raise click.UsageError(f"--thread-media names part {number}, and there are {len(parts) + 1} parts")
        parts[number - 2]["media"].append({"id": str(id_), "alt_text": text})
    return parts
