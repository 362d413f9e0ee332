"""Read what was found in a stored file as the facts that a draft is checked by."""

from collections.abc import Mapping

from ops.runtime.platform_protocol import member, number
from publish.preflight.contract import MediaFacts


def media_facts(
    position: int,
    *,
    content_type: str,
    size: int,
    width: int | None,
    height: int | None,
    duration_ms: int | None,
    details: Mapping[str, object],
    alt_text: str = "",
) -> MediaFacts:
    """Return the facts of a file at its place in a post, counted from 1, by its row and the ``details`` of it."""
    video = content_type.startswith("video/")
    sound = content_type.startswith("audio/")
    audio = details if sound else member(details, "audio")
    first = details.get("index_first")
    return MediaFacts(
        position,
        content_type,
        size,
        width,
        height,
        None if duration_ms is None else duration_ms / 1000,
        _word(details.get("codec")) if video else None,
        _word(audio.get("codec")) or "" if video or sound else None,
        _whole(audio.get("sample_rate")),
        number(details.get("frames_per_second")),
        _whole(details.get("frames")),
        _whole(details.get("bits_per_second")),
        _whole(details.get("pages")),
        alt_text,
        _word(details.get("pixel_format")) or "",
        first if isinstance(first, bool) else None,
    )


def _word(value: object) -> str | None:
    return value.lower() if isinstance(value, str) and value else None


def _whole(value: object) -> int | None:
    found = number(value)
    return None if found is None else int(found)
