"""Find a post of ours among those that a platform lists, when the answer that named it was lost."""

import html
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from ops.runtime.platform_protocol import JsonObject, text
from publish.posting.contract import Doubt, Job, Looks, Verdict, Wait

BEFORE_INTENT = timedelta(seconds=120)
"""How much earlier than our intent a post may seem to be made: the clocks of two machines differ."""


def normal(value: object) -> str:
    """Return a text as it is compared: composed (NFC), without HTML entities, blanks at its ends and line breaks."""
    return folded(html.unescape(value)) if isinstance(value, str) else ""


def folded(value: str) -> str:
    """Return a text composed (NFC), without blanks at its ends and line breaks; entities stay as they are written."""
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", value)).strip()


_QUOTED = re.compile(r'<p class="quote-inline">.*?</p>', re.DOTALL)
_BREAK = re.compile(r"<br ?/?>|</p>\s*<p[^>]*>")
_TAG = re.compile(r"<[^>]*>")


def tagless(value: object) -> str:
    """Return the text of a post that is given as HTML, without the line that stands for what it quotes."""
    found = _QUOTED.sub("", value) if isinstance(value, str) else ""
    return _TAG.sub("", _BREAK.sub("\n", found))


def time_of(value: object) -> datetime | None:
    """Return a time that a platform gives as ISO 8601, or in seconds or milliseconds since 1970; None for others."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if value > 10**11 else value
        return datetime.fromtimestamp(seconds, UTC) if 0 < seconds < 2**32 else None
    if not isinstance(value, str):
        return None
    if value.isascii() and value.isdigit():
        return time_of(int(value))
    try:
        found = datetime.fromisoformat(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", value))
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def since_intent(job: Job) -> datetime:
    """Return the earliest time of a post that may be ours."""
    return (job.intent_at or job.now) - BEFORE_INTENT


def unbound(
    job: Job,
    listed: Sequence[JsonObject],
    same: Callable[[JsonObject], bool],
    *,
    created: str,
    id_: str = "id",
) -> list[JsonObject]:
    """Return the posts that may be ours: made since the intent, held by no other target, and ``same``.

    ``created`` and ``id_`` name the fields with a post's time and its id. A post without a time may be ours.
    """
    found = []
    for post in listed:
        at = time_of(post.get(created))
        if text(post.get(id_)) and text(post.get(id_)) not in job.bound and (at is None or at >= since_intent(job)):
            found += [post] if same(post) else []
    return found


PAGE = "page"
"""Under this name a step keeps where the next page of a listing begins; '' for the first."""

PAGE_SECONDS = 1.0


def next_page(job: Job, listed: Sequence[JsonObject], cursor: str, *, created: str) -> Wait | None:
    """Return the wait before the next page of a listing, newest first, where this one does not reach to the intent.

    ``cursor`` is where that page begins, '' after the last one. What may be ours can stand on it, so that nothing is
    said to be missing, and nothing is sent again, before it was read.
    """
    times = [time_of(post.get(created)) for post in listed]
    reached = any(at is not None and at < since_intent(job) for at in times)
    if not cursor or reached or cursor == job.kept_text(PAGE):
        return None
    return Wait(PAGE_SECONDS, "the list goes on", keep={PAGE: cursor})


def one_of(
    job: Job,
    found: Sequence[JsonObject],
    published: Callable[[JsonObject], Verdict],
    looks: Looks,
    otherwise: Verdict,
    *,
    shown: Callable[[JsonObject], str],
    more: Wait | None = None,
) -> Verdict:
    """Return what a listing tells: the one that is ours, a question where there are several, ``otherwise`` for none.

    ``shown`` describes a post to the person who decides. ``more`` is what leads to the next page, where none is found.
    """
    if not found and more is not None:
        return more
    if len(found) == 1:
        verdict = published(found[0])
    elif found:
        message = "Several posts there could be this one. Look there, and say whether it is among them."
        verdict = Doubt(message, [shown(post) for post in found])
    else:
        verdict = looks.not_found(job, otherwise)
    # The next look begins with the first page again.
    return replace(verdict, keep={**verdict.keep, PAGE: ""}) if job.kept_text(PAGE) else verdict
