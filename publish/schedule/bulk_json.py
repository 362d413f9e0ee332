"""Read posts as the JSON of ``users-design.md`` 2: ``campaign_id``, ``posts`` and ``scheduling_options``.

``utm`` beside them counts for each post that does not say it for itself.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from ops.runtime.text import LONGEST_NUMBER
from publish.schedule.bulk import (
    FIELDS,
    LONGEST_CAMPAIGN,
    MOST_POSTS,
    Defaults,
    FileError,
    Problem,
    Reader,
    Report,
    decoded,
    switched,
    unknown_fields,
)
from publish.schedule.errors import ScheduleError
from publish.schedule.intervals import read_options

UNIT = "post"
KEYS = ("campaign_id", "posts", "scheduling_options", "utm")


def read_json(content: bytes, defaults: Defaults) -> Report:
    """Read posts from JSON. Never raises: the report says what is wrong."""
    try:
        document = _document(decoded(content))
        reader = Reader(_defaults(document, defaults), UNIT)
        for number, post in enumerate(_posts(document), 1):
            _add(reader, number, post)
    except FileError as error:
        return Report(UNIT, (), error.problems)
    return Report(UNIT, tuple(reader.lines))


def _document(text: str) -> Mapping[str, object]:
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_no_number, parse_int=_integer)
    except json.JSONDecodeError as error:
        message = f"line {error.lineno} of the file is no JSON: {error.msg}"
        raise FileError(Problem("", message, "correct it there")) from None
    except RecursionError:
        remedy = "send posts as a list of objects with plain fields"
        raise FileError(Problem("", "the JSON is nested too deeply", remedy)) from None
    if not isinstance(document, dict):
        raise FileError(Problem("", "the JSON is no object", 'send {"posts": […]}'))
    if problems := unknown_fields(document, KEYS, "field"):
        raise FileError(*problems)
    return document


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FileError(
            Problem(twice[:40], f"the field {twice[:40]!r} is there twice in one object", "keep one of them")
        )
    return found


def _no_number(name: str) -> NoReturn:
    raise FileError(Problem("", f"{name} is no number of JSON", "write a number"))


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise FileError(Problem("", f"a number has {len(digits)} digits", "write a shorter one"))
    return int(digits)


def _defaults(document: Mapping[str, object], defaults: Defaults) -> Defaults:
    """Add what the document says for all of its posts."""
    campaign, options = document.get("campaign_id"), document.get("scheduling_options")
    if campaign is not None:
        if not isinstance(campaign, str) or len(campaign) > LONGEST_CAMPAIGN:
            message = f"campaign_id is no text of at most {LONGEST_CAMPAIGN} characters"
            raise FileError(Problem("campaign_id", message, "write a shorter one, in quotes"))
        defaults = replace(defaults, campaign_id=campaign)
    problems: list[Problem] = []
    utm = switched("utm", document, problems)
    if problems:
        raise FileError(*problems)
    defaults = replace(defaults, utm=defaults.utm if utm is None else utm)
    if options is None:
        return defaults
    if not isinstance(options, dict):
        message = "scheduling_options is no object"
        raise FileError(Problem("scheduling_options", message, "name start_time and interval_hours"))
    try:
        found = read_options(options, defaults.timezone, defaults.zones)
    except ScheduleError as error:
        raise FileError(Problem("scheduling_options", error.message, error.remedy)) from None
    named = found.start.zone if options.get("timezone") else defaults.timezone
    return replace(defaults, options=found, timezone=named)


def _posts(document: Mapping[str, object]) -> list[object]:
    posts = document.get("posts")
    if not isinstance(posts, list) or not posts:
        remedy = 'send {"posts": [{"content": …, "platforms": […]}]}'
        raise FileError(Problem("posts", "there is no list of posts", remedy))
    if len(posts) > MOST_POSTS:
        message = f"there are {len(posts)} posts; {MOST_POSTS} are allowed"
        raise FileError(Problem("posts", message, "send them in several parts"))
    return posts


def _add(reader: Reader, number: int, post: object) -> None:
    if not isinstance(post, dict):
        reader.refuse(number, Problem("", "the post is no object", 'write it as {"content": …, "platforms": […]}'))
    elif problems := unknown_fields(post, FIELDS, "field"):
        reader.refuse(number, *problems)
    else:
        reader.add(number, post)
