"""Words that the pages of posts have in common."""

from collections.abc import Mapping

from publish.media.refusal import MediaRefused
from publish.posting.errors import PostError
from publish.posting.results import Created
from schema.states import TargetState

WORDS: Mapping[TargetState, str] = {
    TargetState.DRAFT: "draft",
    TargetState.AWAITING_APPROVAL: "waits for approval",
    TargetState.SCHEDULED: "scheduled",
    TargetState.PREPARING: "is being prepared",
    TargetState.UPLOADING: "is being uploaded",
    TargetState.PROCESSING: "is being processed there",
    TargetState.READY: "is ready to be published",
    TargetState.PUBLISHING: "is being published",
    TargetState.PUBLISHED: "published",
    TargetState.PUBLISHED_ID_UNKNOWN: "published; its id is not known yet",
    TargetState.UNCONFIRMED: "unconfirmed: it may be there, and no answer told",
    TargetState.AWAITING_PERSON: "waits for the owner of the account, there",
    TargetState.FAILED: "failed",
    TargetState.CANCELLED: "cancelled",
    TargetState.MISSED: "missed its time",
}

NAMES: Mapping[TargetState, str] = {
    **WORDS,
    TargetState.PUBLISHED_ID_UNKNOWN: "published, without its id",
    TargetState.UNCONFIRMED: "unconfirmed",
    TargetState.AWAITING_PERSON: "in the inbox of the account",
}
"""The states as a list names them."""

ACT_WORDS: Mapping[str, str] = {
    "reply": "Answer it",
    "hide_comment": "Hide it",
    "show_comment": "Show it again",
    "delete_comment": "Delete the comment",
    "edit_post": "Edit the text",
    "delete_post": "Delete the post",
}

ACT_NAMES: Mapping[str, str] = {
    "reply": "Answer",
    "hide_comment": "Hiding of the comment",
    "show_comment": "Showing of the comment",
    "delete_comment": "Deletion of the comment",
    "edit_post": "Edit of the text",
    "delete_post": "Deletion of the post",
}

DONE_WORDS: Mapping[TargetState, str] = {
    TargetState.SCHEDULED: "is about to be done",
    TargetState.PUBLISHING: "is being done",
    TargetState.PUBLISHED: "done",
    TargetState.UNCONFIRMED: "unconfirmed: it may be done, and no answer told",
}
"""What an action is called in states whose words are about posts."""

_GOOD = (TargetState.PUBLISHED, TargetState.PUBLISHED_ID_UNKNOWN)
_BAD = (TargetState.FAILED, TargetState.MISSED, TargetState.UNCONFIRMED)
_SOFT = (TargetState.CANCELLED, TargetState.DRAFT)

CLASSES: Mapping[TargetState, str] = {
    state: "good" if state in _GOOD else "bad" if state in _BAD else "soft" if state in _SOFT else "info"
    for state in TargetState
}
"""How a state is coloured."""


def words_of(error: PostError | MediaRefused | None) -> str:
    """Return what is wrong and what to do, as sentences; empty for nothing."""
    if error is None:
        return ""
    remedy = error.remedy if error.remedy.endswith(".") else f"{error.remedy}."
    return f"{error.message} {remedy[:1].upper()}{remedy[1:]}"


def findings_in(error: PostError | MediaRefused | None) -> list[Mapping[str, str]]:
    """Return the findings for which a post is refused; none where it is refused for something else."""
    found = error.details.get("findings") if error is not None else None
    return found if isinstance(found, list) else []


def warnings_of(created: Created) -> str:
    """Return what a person should know of a post that was accepted, as sentences."""
    return " ".join(f"{finding['message']} {finding['remedy']}" for finding in created.findings)
