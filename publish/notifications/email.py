"""What people are written: their words are ours, and whatever a platform says in between is made harmless."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.runtime.text import excerpt

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
    whose = f" of {excerpt(tenant, NAME)}" if tenant else ""
    said = [
        f"- {titles.get(item.platform, item.platform)}, “{excerpt(item.name, NAME)}”: {excerpt(item.says, WORDS)} {DO}"
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
    return excerpt(f"{need}: {where}", WORDS), "\n".join(text) + "\n"
