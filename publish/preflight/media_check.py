"""Compare the files of a draft with the rules of its kind of post, and say with the numbers what does not fit."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from publish.preflight.contract import (
    MB,
    AccountFacts,
    Draft,
    FileKind,
    Finding,
    Limit,
    Measure,
    MediaFacts,
    MediaRule,
    PostKind,
    Severity,
)


@dataclass(frozen=True, slots=True)
class _Unit:
    """How one measure is taken and said. ``words`` hold the value of the file, ``shown`` one value."""

    of: Callable[[MediaFacts], float | None]
    words: str
    shown: Callable[[float], str]
    remedy: str


def _plain(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _sides(media: MediaFacts) -> tuple[int, int] | None:
    return (media.width, media.height) if media.width and media.height else None


def _side(of: Callable[[tuple[int, int]], float]) -> Callable[[MediaFacts], float | None]:
    def measured(media: MediaFacts) -> float | None:
        sides = _sides(media)
        return None if sides is None else of(sides)

    return measured


_RESIZE = "have it resized or cropped, or choose another file"
_ENCODE = "export it anew with such a setting: Landfall does not convert videos"

_EXPORT = f"{_ENCODE[0].upper()}{_ENCODE[1:]}."

_UNITS: Mapping[Measure, _Unit] = {
    "bytes": _Unit(lambda m: m.bytes, "is {} large", lambda v: f"{_plain(v / MB)} MB", "make the file smaller"),
    "width": _Unit(lambda m: m.width, "is {} wide", lambda v: f"{_plain(v)} px", _RESIZE),
    "height": _Unit(lambda m: m.height, "is {} high", lambda v: f"{_plain(v)} px", _RESIZE),
    "shorter_side": _Unit(_side(min), "is {} on its shorter side", lambda v: f"{_plain(v)} px", _RESIZE),
    "longer_side": _Unit(_side(max), "is {} on its longer side", lambda v: f"{_plain(v)} px", _RESIZE),
    "pixels": _Unit(_side(lambda s: s[0] * s[1]), "has {}", lambda v: f"{_plain(v)} pixels", _RESIZE),
    "ratio": _Unit(
        _side(lambda s: s[0] / s[1]), "has a ratio of width to height of {}", lambda v: f"{_plain(v)}:1", _RESIZE
    ),
    "seconds": _Unit(lambda m: m.seconds, "lasts {}", lambda v: f"{_plain(v)} s", "cut it, or choose another file"),
    "frames_per_second": _Unit(
        lambda m: m.frames_per_second, "has {}", lambda v: f"{_plain(v)} frames per second", _ENCODE
    ),
    "frames": _Unit(lambda m: m.frames, "has {}", lambda v: f"{_plain(v)} frames", "choose a shorter animation"),
    "bits_per_second": _Unit(
        lambda m: m.bits_per_second, "has {}", lambda v: f"{_plain(v / 1_000_000)} Mbit/s", _ENCODE
    ),
    "audio_hertz": _Unit(lambda m: m.audio_hertz, "has sound of {}", lambda v: f"{_plain(v)} Hz", _ENCODE),
    "pages": _Unit(lambda m: m.pages, "has {}", lambda v: f"{_plain(v)} pages", "split the document"),
}


def check_media(draft: Draft, kind: PostKind, facts: AccountFacts) -> Iterator[Finding]:
    """Yield what is wrong with the files of a draft: first how many they are, then each."""
    yield from _check_items(draft, kind, facts)
    rules = {rule.kind: rule for rule in kind.media}
    for media in draft.media if kind.media else ():
        rule = rules.get(media.kind)
        if rule is None:
            known = _either(sorted({_NOUNS[rule.kind] for rule in kind.media}))
            message = f"{_name(draft, media)} does not fit: {kind.title} takes {known}."
            yield _finding(media, "media_kind", message, f"Send {known}.", kind.source)
            continue
        yield from _check_file(draft, media, rule, facts)
        yield from _check_alt_text(draft, media, kind, facts)


def outside(value: float, limit: Limit, facts: AccountFacts) -> tuple[float | None, float | None] | None:
    """Return the allowed range where a value is outside of it; None where it is inside."""
    low, high = limit.at_least, facts.limits.get(limit.fact, limit.at_most) if limit.fact else limit.at_most
    if (low is not None and value < low) or (high is not None and value > high):
        return low, high
    return None


def allowed(low: float | None, high: float | None, shown: Callable[[float], str]) -> str:
    """Return the words for a range of allowed values."""
    if low is not None and high is not None:
        return f"{shown(low)} is needed" if low == high else f"{shown(low)} to {shown(high)} are allowed"
    if high is not None:
        return f"at most {shown(high)} are allowed"
    return f"at least {shown(low or 0)} are needed"


_NOUNS: Mapping[FileKind, str] = {
    "image": "an image",
    "gif": "an animated GIF",
    "video": "a video",
    "audio": "an audio file",
    "document": "a document",
}


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _name(draft: Draft, media: MediaFacts) -> str:
    noun = _NOUNS[media.kind].partition(" ")[2]
    if len(draft.media) == 1:
        return f"The {noun}"
    return f"{noun[0].upper()}{noun[1:]} {media.position} of {len(draft.media)}"


def _finding(
    media: MediaFacts, code: str, message: str, remedy: str, source: str, severity: Severity = Severity.REFUSAL
) -> Finding:
    return Finding(severity, code, "media", message, remedy, str(media.position), source)


def _check_items(draft: Draft, kind: PostKind, facts: AccountFacts) -> Iterator[Finding]:
    found = outside(len(draft.media), kind.items, facts)
    if found is None:
        return
    low, high = found
    if high == 0:
        message, remedy = f"{kind.title} takes no files; it has {len(draft.media)}", "Leave them out."
    else:
        message = f"{kind.title} has {_files(len(draft.media))}; {allowed(low, high, _plain)}"
        remedy = "Add files." if low is not None and len(draft.media) < low else "Leave files out."
    message = f"{message[0].upper()}{message[1:]}."
    yield Finding(kind.items.severity, "media_count", "media", message, remedy, source=kind.items.source or kind.source)


def _files(count: int) -> str:
    return {0: "no file", 1: "1 file"}.get(count, f"{count} files")


def _check_file(draft: Draft, media: MediaFacts, rule: MediaRule, facts: AccountFacts) -> Iterator[Finding]:
    name = _name(draft, media)
    types = rule.content_types if facts.content_types is None else facts.content_types
    if media.content_type not in types:
        known = _either(sorted(types))
        message = f"{name} is {media.content_type}; {known} is allowed."
        yield _finding(media, "media_type", message, f"Convert it to {known}.", rule.source)
        return
    for measure, limit in rule.limits.items():
        yield from _check_measure(name, media, rule, measure, limit, facts)
    for code, codec, codecs in (
        ("media_codec", media.codec, rule.codecs),
        ("media_audio_codec", media.audio_codec, rule.audio_codecs),
    ):
        if codecs and codec and codec not in codecs:
            what = "sound" if code == "media_audio_codec" else "picture"
            message = f"{name} has its {what} in {codec}; {_either(sorted(codecs))} is allowed."
            yield _finding(media, code, message, _EXPORT, rule.source)
    if rule.subsampling and media.pixel_format and rule.subsampling not in media.pixel_format:
        message = f"{name} has its picture in {media.pixel_format}; 4:2:0 is needed."
        yield _finding(media, "media_pixel_format", message, _EXPORT, rule.source)
    if rule.index_first and media.index_first is False:
        message = f"{name} has its index at the end; it must stand at the beginning."
        remedy = "Export it anew for the web (faststart): Landfall does not convert videos."
        yield _finding(media, "media_index", message, remedy, rule.source)


def _check_measure(
    name: str, media: MediaFacts, rule: MediaRule, measure: Measure, limit: Limit, facts: AccountFacts
) -> Iterator[Finding]:
    unit, source, code = _UNITS[measure], limit.source or rule.source, f"media_{measure}"
    value = unit.of(media)
    if value is None:
        if measure == "audio_hertz":  # there may be no sound
            return
        message = f"{name} was not measured in full ({measure.replace('_', ' ')}), so it may be refused later."
        yield _finding(media, "media_not_measured", message, "Check it yourself.", source, Severity.WARNING)
        return
    said = f"{name} {unit.words.format(unit.shown(value))}"
    remedy = f"{unit.remedy[0].upper()}{unit.remedy[1:]}."
    if (found := outside(value, limit, facts)) is not None:
        message = f"{said}; {allowed(*found, unit.shown)}."
        if limit.severity is Severity.WARNING:
            message = f"{said}; {allowed(*found, unit.shown)} without a change by the platform."
        yield _finding(media, code, message, remedy, source, limit.severity)
    elif limit.doubt_above is not None and limit.fact not in facts.limits and value > limit.doubt_above:
        message = f"{said}; more than {unit.shown(limit.doubt_above)} may be refused."
        yield _finding(media, code, message, remedy, source, Severity.WARNING)


def _check_alt_text(draft: Draft, media: MediaFacts, kind: PostKind, facts: AccountFacts) -> Iterator[Finding]:
    if not media.alt_text:
        return
    name = _name(draft, media)
    if kind.alt_text is None or media.kind not in kind.alt_text_on:
        message = f"The alternative text of {name[0].lower()}{name[1:]} is not sent: the platform has none here."
        remedy = "Say in the text what there is to see."
        yield _finding(media, "alt_text_not_sent", message, remedy, kind.source, Severity.WARNING)
    elif (found := outside(len(media.alt_text), kind.alt_text, facts)) is not None:
        length = len(media.alt_text)
        message = f"The alternative text of {name[0].lower()}{name[1:]} has {length} characters; "
        message += f"{allowed(*found, _plain)}."
        source = kind.alt_text.source or kind.source
        yield _finding(media, "alt_text_length", message, "Shorten it.", source, kind.alt_text.severity)
