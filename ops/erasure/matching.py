"""What names a person: ids, usernames, and the patterns that find them in text."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ID = re.compile(r"[\w.:~-]{3,128}")
"""An id that a platform gives. Anything else could be a pattern that matches everything."""

NAME = re.compile(r"[\w.:~-]{1,128}")

TRAILING = ".:~-"
"""Characters that belong to a name only where more of it follows: at its end they are the sentence's."""


def named_after(keys: Iterable[str]) -> str:
    """Return a regular expression of PostgreSQL: a name after one of these keys in JSON, escaped or not, or a mention.

    ``keys`` are plain words. The name is the only group.
    """
    return rf'(?i)(?:\m(?:{"|".join(keys)})\\*"\s*:\s*\\*"?|@)([\w.:~-]+)'


def whole_id(ids: Iterable[str]) -> str:
    """Return a pattern that finds a whole id and no part of another one: in text, in a number, in JSON inside of JSON.

    Before it there may be what stands for a character: JSON's escapes, or the octal ones of PostgreSQL.
    """
    before = r"(^|[^0-9A-Za-z]|\\[bfnrt]|\\u[0-9A-Fa-f]{4}|\\[0-3][0-7]{2})"
    return f"{before}({'|'.join(map(re.escape, ids))})([^0-9A-Za-z]|$)"


def normalized(name: str) -> str:
    """Return a username as names are compared: in lower case, without what ends a sentence."""
    return name.lower().rstrip(TRAILING)


def usable(names: Iterable[str], ids: Sequence[str]) -> list[str]:
    """Return the names to look for, sorted: those that can be names, without the ids that are looked for anyway."""
    return sorted(name for name in {*names} - {*ids} if NAME.fullmatch(name))


def path_variables(ids: Sequence[str], names: Iterable[str]) -> str:
    """Return the variables of the JSON paths, as JSON. An id may stand in a payload as a string or as a number."""
    numbers = [int(id_) for id_ in ids if id_.isascii() and id_.isdecimal()]
    return json.dumps({"ids": [*ids, *numbers], "names": sorted(names)})


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for in text: a pattern of whole ids, a pattern that finds names, and the names that count."""

    ids: str
    called: str
    names: list[str]


def search(ids: Sequence[str], names: Iterable[str], keys: Iterable[str]) -> Search:
    """Return what finds these ids, and these names where they stand after one of the keys, or are mentioned."""
    return Search(whole_id(ids), named_after(keys), sorted(names))
