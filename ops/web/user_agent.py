"""Describe a browser and its system by the User-Agent header, for a list of sessions."""

import re

from ops.runtime.text import excerpt

LONGEST = 60
"""Of the description, in characters."""

READ = 512
"""Characters of the header that are read."""

# Browsers also name those that they are built on, so the more specific one comes first.
_BROWSERS = (
    ("Edge", r"Edg(?:e|A|iOS)?/"),
    ("Opera", r"(?:OPR|Opera)/"),
    ("Samsung Internet", r"SamsungBrowser/"),
    ("Vivaldi", r"Vivaldi/"),
    ("Firefox", r"(?:Firefox|FxiOS)/"),
    ("Chrome", r"(?:Chrome|CriOS|Chromium|HeadlessChrome)/"),
    ("Safari", r"Version/\S+ .*Safari/"),
)
_SYSTEMS = (
    ("iPhone", r"iPhone"),
    ("iPad", r"iPad"),
    ("Android", r"Android"),
    ("ChromeOS", r"CrOS"),
    ("Windows", r"Windows"),
    ("macOS", r"Macintosh|Mac OS X"),
    ("Linux", r"Linux|X11"),
)


def in_words(user_agent: str) -> str:
    """Return a description such as "Firefox on Windows"; for a program its own first word; empty without a header."""
    read = user_agent[:READ]
    browser, system = _first(_BROWSERS, read), _first(_SYSTEMS, read)
    if browser and system:
        return f"{browser} on {system}"
    return browser or system or excerpt(read.partition("/")[0], LONGEST)


def _first(known: tuple[tuple[str, str], ...], text: str) -> str:
    return next((name for name, pattern in known if re.search(pattern, text)), "")
