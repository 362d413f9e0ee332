"""What comes of a request about a post, for whoever asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from publish.posting.post_store import StoredPost


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one account of a request: ``created``, ``exists`` where the post is there already, or ``checked``
    where nothing was to be stored.
    """

    connection: str
    platform: str
    account: str
    result: str
    post: str | None = None
    target: str | None = None
    slot_at: datetime | None = None
    """The slot that it took; None where it has the time of its post."""


@dataclass(frozen=True, slots=True)
class Created:
    """What came of a request to make a post. ``post`` is the one that was made, or that was there already.

    ``replayed``: the same request was answered before. ``words`` say how the time was decided.
    """

    post: StoredPost | None
    results: Sequence[Result] = ()
    findings: Sequence[Mapping[str, str]] = ()
    words: str = ""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """A post after a change; ``changed`` is False where everything was as asked for already."""

    post: StoredPost
    changed: bool
    findings: Sequence[Mapping[str, str]] = ()
    words: str = ""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What came of a cancellation, by target: the reason why it is too late, empty where it is cancelled now."""

    post: StoredPost
    reasons: Mapping[str, str]


def results_of(post: StoredPost) -> list[Result]:
    return [
        Result(target.connection_id, target.platform, target.account, "created", post.id, target.id, target.slot_at)
        for target in post.targets
        if target.parent_id is None
    ]
