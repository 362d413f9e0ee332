"""Why something that was asked about posts is not done."""

from collections.abc import Mapping
from typing import Literal

Reason = Literal[
    "access_token_invalid",
    "conflict",
    "forbidden",
    "invalid_request",
    "not_found",
    "rate_limit_exceeded",
    "scope_not_authorized",
    "spam_risk_too_many_pending_share",
    "too_late",
    "unprocessable",
    "url_ownership_unverified",
]
"""Those of section 3 of ``users-design.md`` have the meaning that they have there."""


class PostError(Exception):
    """Something that was asked about posts is not done: ``message`` says why, and ``remedy`` what to do.

    ``status`` is the HTTP status of the answer. ``retryable``: the same request may succeed later. ``details`` is JSON.
    """

    def __init__(
        self,
        code: Reason,
        message: str,
        remedy: str,
        *,
        status: int = 422,
        retryable: bool = False,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.code: Reason = code
        self.message = message
        self.remedy = remedy
        self.status = status
        self.retryable = retryable
        self.details = details or {}


def not_connected(reason: str, account: str = "The account") -> str:
    """Say that an account is not connected any more, and why, where that is known."""
    why = f": {reason}" if reason else ""
    return f"{account} is not connected any more{why}".rstrip(".") + "."


def no_post() -> PostError:
    """Return the error for a post that does not exist in this tenant."""
    return PostError("not_found", "There is no such post.", "look at GET /api/posts, or at /posts", status=404)
