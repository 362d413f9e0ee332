"""Write the mails about notices. Text that came from a platform is shortened and made harmless."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.runtime.text import excerpt

MOST = 50
"""How many accounts one mail names; the page that it links to shows the others."""

NAME, WORDS = 80, 500
"""Characters."""

ACTION = "Press “connect again” beside it."

ABOUT_POSTS = "post_"
"""What the kinds of notices about posts begin with."""


@dataclass(frozen=True, slots=True)
class NoticeItem:
    """One account that needs a person, for its access or for its posts, and why."""

    connection: str
    notice: str
    kind: str
    platform: str
    name: str
    message: str


def compose(items: Sequence[NoticeItem], titles: Mapping[str, str], url: str, tenant: str | None) -> tuple[str, str]:
    """Return subject and text; ``tenant`` is named to whoever belongs to several."""
    accounts = {item.connection: titles.get(item.platform, item.platform) for item in items}
    need = f"{len(accounts)} account{'s need' if len(accounts) > 1 else ' needs'} you"
    counted = Counter(accounts.values())
    where = ", ".join(f"{count} {title}" if len(counted) > 1 else title for title, count in sorted(counted.items()))
    whose = f" of {excerpt(tenant, NAME)}" if tenant else ""
    lines = [
        f"- {titles.get(item.platform, item.platform)}, “{excerpt(item.name, NAME)}”:"
        f" {excerpt(item.message, WORDS)} {'' if item.kind.startswith(ABOUT_POSTS) else ACTION}".rstrip()
        for item in items[:MOST]
    ]
    if len(items) > MOST:
        lines.append(f"- and {len(items) - MOST} more")
    text = [
        f"{need.replace(' need', f'{whose} need')}:",
        "",
        *lines,
        "",
        *(f"{url.rstrip('/')}/{page}" for page in _pages(items)),
        "",
        "Owners and editors are told once of each account that needs somebody, and once a day of its posts.",
    ]
    return excerpt(f"{need}: {where}", WORDS), "\n".join(text) + "\n"


def _pages(items: Sequence[NoticeItem]) -> list[str]:
    """Return the pages at which something can be done about the notices."""
    posts = {item.kind.startswith(ABOUT_POSTS) for item in items}
    return [page for page, about_posts in (("connections", False), ("posts", True)) if about_posts in posts]
