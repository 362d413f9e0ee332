"""Look up time zones in one release of the IANA time zone database."""

import difflib
from collections.abc import Callable, Collection
from datetime import tzinfo
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

import tzdata

from publish.schedule.errors import ScheduleError

LONGEST_NAME = 64
"""No name of the database is longer; whatever is longer is not compared with each of them."""


class TimeZones:
    """The zones of one release of the database. Releases, such as ``2026b``, sort by age as text."""

    def __init__(self, names: Collection[str], load: Callable[[str], tzinfo], release: str) -> None:
        self.names = frozenset(names)
        self.release = release
        self._load = cache(load)

    def zone(self, name: str) -> tzinfo:
        """Return the rules of a zone. Raises ScheduleError where the database has none of this name."""
        if name in self.names:  # checked before a file is opened by this name
            return self._load(name)
        remedy = "name a zone of the IANA time zone database, such as Europe/Berlin"
        if len(name) <= LONGEST_NAME:
            words = name.strip().replace(" ", "_").casefold()
            folded = {known.casefold(): known for known in sorted(self.names)}
            if close := difflib.get_close_matches(words, folded, n=1, cutoff=0.8):
                remedy = f"{remedy}; the nearest name is {folded[close[0]]}"
        raise ScheduleError(f"there is no time zone {name[:LONGEST_NAME]!r}", remedy)


@cache
def installed() -> TimeZones:
    """Return the database of the package ``tzdata``, which is locked like every other dependency.

    The system's own copy is not used: processes of one release would disagree on machines of different age.
    """
    folder = resources.files("tzdata")
    names = set(folder.joinpath("zones").read_text().split()) - {"Factory"}  # "Factory" says that nothing is set up

    def load(name: str) -> tzinfo:
        with folder.joinpath("zoneinfo", *name.split("/")).open("rb") as file:
            return ZoneInfo.from_file(file, key=name)

    return TimeZones(names, load, tzdata.IANA_VERSION)
