"""What people are written: their words are ours, and whatever a platform says in between is made harmless."""

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST = 50
"""Accounts that one letter names; whoever has more to do finds the others where the letter leads."""

NAME, WORDS = 80, 500
"""Characters."""

DO = "Press “connect again” beside it."


@dataclass(frozen=True, slots=True)
class News:
    """One account that needs somebody."""

    connection: str
    notice: str
    kind: str
    platform: str
    name: str
    says: str


def letter(news: Sequence[News], titles: Mapping[str, str], url: str, tenant: str | None) -> tuple[str, str]:
    """Subject and text; ``tenant`` is named to whoever belongs to several."""
    accounts = {item.connection: titles.get(item.platform, item.platform) for item in news}
    need = f"{len(accounts)} account{'s need' if len(accounts) > 1 else ' needs'} you"
    counted = Counter(accounts.values())
    where = ", ".join(f"{count} {title}" if len(counted) > 1 else title for title, count in sorted(counted.items()))
    whose = f" of {line(tenant, NAME)}" if tenant else ""
    said = [
        f"- {titles.get(item.platform, item.platform)}, “{line(item.name, NAME)}”: {line(item.says, WORDS)} {DO}"
        for item in news[:MOST]
    ]
    if len(news) > MOST:
        said.append(f"- and {len(news) - MOST} more")
    text = [
        f"{need.replace(' need', f'{whose} need')}:",
        "",
        *said,
        "",
        f"{url.rstrip('/')}/connections",
        "",
        "Owners and editors are told once of each account that needs somebody.",
    ]
    return line(f"{need}: {where}", WORDS), "\n".join(text) + "\n"


def line(text: str, most: int) -> str:
    """One line without anything that controls how or in which direction it is shown, cut where it is too long."""
    shown = " ".join("".join(_harmless(character) for character in text[: 4 * most]).split())
    return shown if len(shown) <= most else shown[: most - 1].rstrip() + "…"


def _harmless(character: str) -> str:
    kind = unicodedata.category(character)
    return " " if kind in ("Cc", "Zl", "Zp") else "" if kind.startswith("C") else character
