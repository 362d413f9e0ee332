"""Text that came from outside, made safe to show: on a terminal, on a page, in a mail."""

import re
from typing import Any

_CONTROLS = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL and C1: escape sequences of terminals begin with them
    "\u2028\u2029"  # line and paragraph separators
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they change the direction in which the rest is shown
    "\ufeff\ufff9-\ufffb"  # byte order mark and interlinear annotation
    "\ud800-\udfff"  # surrogates, which no encoding takes
    "]"
)
"""What is not shown as it is. Joiners stay: Persian and many emoji are made with them."""


def visible(text: str, keep: str = "") -> str:
    r"""Return ``text`` with every control character written as an escape, such as ``\x1b``; those in ``keep`` stay."""
    return _CONTROLS.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def finalize(value: Any) -> Any:
    """Make what a template shows visible, for ``jinja2.Environment``; escaping markup is left to its autoescape."""
    return visible(value, keep="\n\t") if type(value) is str else value


def excerpt(text: str, limit: int) -> str:
    """Return ``text`` on one line of at most ``limit`` characters, cut where it is longer."""
    shown = visible(" ".join(text[: 4 * limit].split()))
    return shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…"
