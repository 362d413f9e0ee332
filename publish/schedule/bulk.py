"""Read many posts at once, from CSV or JSON, with a report for each of them (``users-design.md`` 2).

Nothing is guessed: a field that nobody knows, an encoding other than UTF-8 or a date that could be two days is refused,
with what to do. What is written has the fields that are read.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from ops.runtime.text import storable
from publish.schedule.errors import ScheduleError
from publish.schedule.intervals import SchedulingOptions
from publish.schedule.wall_time import ScheduledTime, parse
from publish.schedule.zones import TimeZones

MOST_BYTES = 2 * 2**20
MOST_POSTS = 1000
LONGEST_CAMPAIGN = 200

FIELDS = ("campaign_id", "content", "platforms", "scheduled_time", "timezone", "hashtags", "media_urls", "utm")
"""The fields of a post, in the order of the columns that are written."""

_LIST = re.compile(r"[\s,;|]+")
_URLS = re.compile(r"[\s|]+")
_SWITCH = {"": None, "yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
"""What a column says that is on or off; None where it says nothing."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and what to do. ``field`` is the column or field, "" for the line or file as a whole."""

    field: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class BulkPost:
    """A post as it was sent. ``hashtags`` are without ``#``; ``time`` says in words how it was decided.

    ``utm`` is whether campaign parameters are added to its links.
    """

    campaign_id: str
    content: str
    platforms: tuple[str, ...]
    time: ScheduledTime
    hashtags: tuple[str, ...] = ()
    media_urls: tuple[str, ...] = ()
    utm: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    """What was found at one place: a post, or the problems for which there is none.

    ``number`` is the line of the file on which the post begins, or its place in the list of JSON; both count from 1.
    """

    number: int
    post: BulkPost | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Each post of a file, and what is wrong with the file as a whole. ``unit`` is what ``Line.number`` counts."""

    unit: str
    lines: tuple[Line, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def accepted(self) -> bool:
        """Whether there is nothing wrong with anything in it."""
        return bool(self.lines) and not self.problems and all(line.post for line in self.lines)

    @property
    def posts(self) -> list[BulkPost]:
        """The posts with which nothing is wrong."""
        return [line.post for line in self.lines if line.post]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What counts where a file says nothing, and what it is held against.

    ``platforms`` are those to which the tenant may post. ``options`` give times to the posts that have none.
    """

    platforms: Collection[str]
    now: datetime
    zones: TimeZones
    campaign_id: str = ""
    timezone: str | None = None
    options: SchedulingOptions | None = None
    utm: bool = False


class FileError(Exception):
    """The file as a whole cannot be read."""

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*(problem.message for problem in problems))
        self.problems = problems


def decoded(content: bytes) -> str:
    """Decode a file, with or without a byte order mark. Raises FileError for what is not UTF-8, or too large."""
    if len(content) > MOST_BYTES:
        message = f"the file has {len(content)} bytes; {MOST_BYTES} are allowed"
        raise FileError(Problem("", message, "send it in several parts"))
    remedy = 'save it as UTF-8; a spreadsheet calls this "CSV UTF-8"'
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileError(Problem("", "the file is in UTF-16 or UTF-32", remedy))
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Counted in the file: the decoder counts from after a byte order mark.
        line = error.object[: error.start].count(b"\n") + 1
        message = f"line {line} of the file has the byte 0x{error.object[error.start]:02X}, which is not UTF-8"
        raise FileError(Problem("", message, remedy)) from None
    if "\x00" in text:
        line = text[: text.index("\x00")].count("\n") + 1
        message = f"line {line} of the file has a NUL character, as UTF-16 has"
        raise FileError(Problem("", message, remedy))
    return text


def unknown_fields(names: Iterable[str], known: Sequence[str], what: str) -> list[Problem]:
    """Name each field, or column, that is not known."""
    remedy = f"remove or rename it; there are {', '.join(known)}"
    return [
        Problem(name[:40], f"there is no {what} {name[:40]!r}" if name else f"a {what} has no name", remedy)
        for name in dict.fromkeys(names)
        if name not in known
    ]


@dataclass(slots=True)
class Reader:
    """Reads the posts of one file in order: those without a time are counted, and repeats are found."""

    defaults: Defaults
    unit: str
    lines: list[Line] = field(default_factory=list)
    _untimed: int = 0
    _seen: dict[tuple[str, str, datetime], int] = field(default_factory=dict)

    def add(self, number: int, fields: Mapping[str, object]) -> None:
        """Read one post, whose fields are known ones; lists are lists of texts, or texts that are split."""
        self.lines.append(self._read(number, fields))

    def refuse(self, number: int, *problems: Problem) -> None:
        """Report a post that could not be split into known fields."""
        self.lines.append(Line(number, None, problems))

    def _read(self, number: int, fields: Mapping[str, object]) -> Line:
        problems: list[Problem] = []
        texts = {
            name: _text(name, fields, problems) for name in ("campaign_id", "content", "scheduled_time", "timezone")
        }
        urls = _list("media_urls", fields, _URLS, problems)
        platforms = [name.lower() for name in _list("platforms", fields, _LIST, problems)]
        hashtags = [tag.removeprefix("#") for tag in _list("hashtags", fields, _LIST, problems)]
        utm = switched("utm", fields, problems)
        campaign = texts["campaign_id"].strip() or self.defaults.campaign_id
        content = texts["content"].replace("\r\n", "\n").replace("\r", "\n")
        problems += self._problems(campaign, platforms, hashtags, urls)
        if not content.strip() and not urls:
            problems.append(Problem("content", "the post has no text and no media", "write a text or name media"))
        time = self._time(texts["scheduled_time"].strip(), texts["timezone"].strip(), problems)
        if time is None or problems:
            return Line(number, None, tuple(problems))
        utm = self.defaults.utm if utm is None else utm
        post = BulkPost(campaign, content, _once(platforms), time, _once(hashtags), tuple(urls), utm)
        if repeat := self._repeat(number, post):
            return Line(number, None, (repeat,))
        return Line(number, post)

    def _problems(
        self, campaign: str, platforms: Sequence[str], hashtags: Sequence[str], urls: Sequence[str]
    ) -> list[Problem]:
        problems = []
        if len(campaign) > LONGEST_CAMPAIGN:
            remedy = f"use at most {LONGEST_CAMPAIGN} characters"
            problems.append(Problem("campaign_id", "the name of the campaign is too long", remedy))
        known = ", ".join(sorted(self.defaults.platforms))
        if not platforms:
            problems.append(Problem("platforms", "the post names no platform", f"name one or more of {known}"))
        problems += [
            Problem("platforms", f"there is no platform {name[:40]!r} to post to", f"name one or more of {known}")
            for name in platforms
            if name not in self.defaults.platforms
        ]
        problems += [
            Problem("hashtags", f"{tag[:40]!r} is no hashtag", "write each as one word, with or without # before it")
            for tag in hashtags
            if not tag or "#" in tag or any(character.isspace() for character in tag)
        ]
        problems += [
            Problem("media_urls", f"{url[:80]!r} is no address of the web", "begin it with https://")
            for url in urls
            if not _is_address(url)
        ]
        return problems

    def _time(self, written: str, zone: str, problems: list[Problem]) -> ScheduledTime | None:
        """Return when the post is due; None, with a problem, where that is nowhere said or is past."""
        defaults = self.defaults
        try:
            if written:
                found = parse(written, zone or defaults.timezone, defaults.zones)
            elif defaults.options is None:
                message = "the post has no time"
                remedy = "give it a scheduled_time, or name start_time and interval_hours in scheduling_options"
                problems.append(Problem("scheduled_time", message, remedy))
                return None
            else:
                found = defaults.options.time(self._untimed, defaults.zones)
                self._untimed += 1
        except ScheduleError as error:
            problems.append(Problem("scheduled_time", error.message, error.remedy))
            return None
        if found.instant <= defaults.now:
            message = f"the time is past: {found.words}"
            problems.append(Problem("scheduled_time", message, "choose a time to come, or publish it now"))
            return None
        return found

    def _repeat(self, number: int, post: BulkPost) -> Problem | None:
        """Return a problem where an earlier post has the same text for the same platform at the same time."""
        for platform in post.platforms:
            earlier = self._seen.setdefault((post.content, platform, post.time.instant), number)
            if earlier != number:
                message = f"it is the same post on {platform} at the same time as on {self.unit} {earlier}"
                return Problem("", message, "remove one of them, or give it another time")
        return None


def _text(name: str, fields: Mapping[str, object], problems: list[Problem]) -> str:
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        problems.append(Problem(name, f"{name} is no text", "write it in quotes"))
        return ""
    return _checked(name, value, problems)


def switched(name: str, fields: Mapping[str, object], problems: list[Problem]) -> bool | None:
    """Return whether a field is switched on; None where it is not there or empty, and for what is neither."""
    value = fields.get(name)
    if value is None or isinstance(value, bool):
        return value
    said = value.strip().lower() if isinstance(value, str) else "?"
    if said not in _SWITCH:
        problems.append(Problem(name, f"{name} is neither yes nor no", "write yes or no; in JSON, true or false"))
    return _SWITCH.get(said)


def _list(name: str, fields: Mapping[str, object], separator: re.Pattern[str], problems: list[Problem]) -> list[str]:
    value = fields.get(name)
    if value is None:
        return []
    if isinstance(value, str):
        return [part for part in separator.split(_checked(name, value, problems)) if part]
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return [_checked(name, part.strip(), problems) for part in value]
    problems.append(Problem(name, f"{name} is no list of texts", 'write it as ["one", "two"]'))
    return []


def _checked(name: str, text: str, problems: list[Problem]) -> str:
    if storable(text) != text:
        message = f"{name} has a character that no text can have: NUL, or half of a surrogate pair"
        problems.append(Problem(name, message, "remove it"))
    return text


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _once(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))
