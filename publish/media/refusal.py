"""Say why a file, or a part of one, is not taken."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ops.runtime import metrics
from ops.runtime.responses import Code

Reason = Literal[
    "broken",
    "busy",
    "decoder_failed",
    "expired",
    "in_use",
    "interrupted",
    "not_found",
    "not_fetched",
    "offset",
    "storage",
    "too_large",
    "too_many_parts",
    "too_many_pixels",
    "unsupported",
    "wrong_request",
]
"""What refusals are counted by."""


@dataclass(eq=False)
class MediaRefused(Exception):  # noqa: N818  an answer
    """``message`` says what happened, with the numbers, ``remedy`` what to do; ``status`` is that of the HTTP answer.

    ``after`` is in seconds, where the same request may succeed later.
    """

    reason: Reason
    status: int
    code: Code
    message: str
    remedy: str
    after: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.message)
        metrics.of(metrics.media_refusals, self.reason).inc()
