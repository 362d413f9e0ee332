"""What is done to what is there already: answers, moderation, edits and deletions, by the names that outsiders use.

An action is a target like that of a post, worked on by the same driver. It is the only target of a row of ``posts``
whose id it shares: that tells it from a post. What it acts on is the option ``parent_post_id``, and ``parent_id`` too
where that is a target of ours.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from publish.posting.contract import PostingPlatform

REPLY = "reply"
COMMENT_REPLY = "comment_reply"
"""The machine of an answer to a comment, where that is not the one of a comment on a post."""

COMMENTS = ("comment", COMMENT_REPLY)
"""Kinds of what is a comment and never a post, on platforms that tell them apart."""

ON_COMMENTS = ("hide_comment", "show_comment", "delete_comment")
ON_POSTS = ("edit_post", "delete_post")
CHANGES = (*ON_COMMENTS, *ON_POSTS)
"""Actions that make nothing: what they act on is another thing after them, or gone."""

DELETIONS = ("delete_comment", "delete_post")
FINAL = (*DELETIONS, "edit_post")
"""Actions that cannot be taken back."""

OPPOSITES: Mapping[str, Sequence[str]] = {
    "hide_comment": ("hide_comment", "show_comment"),
    "show_comment": ("hide_comment", "show_comment"),
}
"""Actions of which the last one counts: hiding is done again after showing."""

ACTIONS = (REPLY, *CHANGES)


def actions_of(platform: PostingPlatform) -> list[str]:
    """Return the actions that a platform has machines for."""
    replies = [REPLY] if platform.reply_kind else []
    return [*replies, *(kind for kind in CHANGES if kind in platform.machines)]


class ActedOn(Protocol):
    """What made something at a platform."""

    @property
    def kind(self) -> str: ...
    @property
    def parent_id(self) -> str | None: ...
    @property
    def platform_post_id(self) -> str | None: ...
    @property
    def deleted_at(self) -> datetime | None: ...


def can_be_acted_on(target: ActedOn) -> bool:
    """Whether something that a target made is there, as far as is known, and has an id."""
    return target.platform_post_id is not None and target.deleted_at is None and target.kind not in CHANGES


def is_comment(target: ActedOn) -> bool | None:
    """Whether a target made a comment; None where platforms make no difference between that and a post."""
    if target.kind in COMMENTS:
        return True
    return False if target.parent_id is None else None


def actions_on_own(target: ActedOn, possible: Sequence[str]) -> list[str]:
    """Return those of the possible actions that fit what a target made."""
    comment = is_comment(target)
    wrong = ON_POSTS if comment else ON_COMMENTS if comment is False else ()
    return [act for act in possible if act not in wrong]


def action_of(kind: str) -> str:
    """Return the action that a machine carries out: all but changes are answers."""
    return kind if kind in CHANGES else REPLY
