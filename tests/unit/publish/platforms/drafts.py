"""Drafts and facts that the platforms' tests begin with."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from publish.preflight.check import check
from publish.preflight.contract import AccountFacts, Draft, Finding, MediaFacts, PostingRules

FACTS = AccountFacts(media_url="https://media.example/")


def image(position: int = 1, **facts: Any) -> MediaFacts:
    return replace(MediaFacts(position, "image/jpeg", 200_000, 1080, 1080), **facts)


def video(position: int = 1, **facts: Any) -> MediaFacts:
    """An upright video of 10 seconds that every platform takes."""
    whole = MediaFacts(
        position,
        "video/mp4",
        5_000_000,
        720,
        1280,
        10.0,
        "h264",
        "aac",
        48_000,
        30.0,
        bits_per_second=4_000_000,
    )
    return replace(whole, **facts)


def document(**facts: Any) -> MediaFacts:
    return replace(MediaFacts(1, "application/pdf", 1_000_000, pages=10), **facts)


def findings(
    rules: PostingRules,
    kind: str,
    text: str = "",
    *media: MediaFacts,
    facts: AccountFacts = FACTS,
    link: str = "",
    **options: object,
) -> Sequence[Finding]:
    return check(rules, Draft(kind, text, link, media, options), facts).findings


def codes(*arguments: Any, **named: Any) -> list[tuple[str, str]]:
    """Severity and code of each finding."""
    return [(finding.severity.value, finding.code) for finding in findings(*arguments, **named)]
