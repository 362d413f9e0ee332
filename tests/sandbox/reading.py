"""Tokens of the sandbox without a person's consent, and walks through its listings."""

from typing import Any

from ops.sandbox.platforms.facebook import Facebook
from ops.sandbox.platforms.instagram import Instagram
from ops.sandbox.platforms.tiktok import SCOPES, Grant
from tests.sandbox.conftest import Stand

DAY, MINUTE = 86_400, 60
SHOP, PAGE = "shop", "Shop"
"""An account of Instagram, and the page that it is behind."""


def platform_of(stand: Stand, name: str = "instagram") -> Any:
    return stand.server.simulation.platforms[name]


def token(stand: Stand, platform: str = "instagram", account: str = "") -> str:
    """A token for an account: of Instagram's own login, of its page, or of TikTok."""
    found = platform_of(stand, platform)
    if platform == "tiktok":
        return str(found._issue(Grant(account or SHOP, list(SCOPES))).content["access_token"])
    if platform == "facebook":
        return str(found.issue(account or PAGE, list(Facebook.scopes), "page", None))
    return str(found.issue(account or SHOP, list(Instagram.scopes), "long", 60 * DAY))


async def graph(stand: Stand, secret: str, path: str, platform: str = "instagram", **query: Any) -> Any:
    """What Graph answers to a GET of ``path`` below the version."""
    return await stand.get(f"/{platform}/v25.0/{path}", access_token=secret, **query)


async def walked(stand: Stand, secret: str, path: str, platform: str = "instagram", **query: Any) -> list[list[Any]]:
    """The pages of a listing, each as its ``data``, up to the one without ``next``."""
    page = await graph(stand, secret, path, platform, **query)
    pages = [page["data"]]
    while following := page.get("paging", {}).get("next"):
        page = await stand.get(following.removeprefix(stand.url))
        pages.append(page["data"])
    return pages


def ids(pages: list[list[Any]]) -> list[str]:
    return [str(item["id"]) for page in pages for item in page]


async def act(stand: Stand, what: str, platform: str = "instagram", account: str = SHOP, **fields: Any) -> Any:
    return await stand.command("act", platform=platform, what=what, account=account, **fields)


async def commented(stand: Stand, post: str, text: str = "x", **fields: Any) -> str:
    """The id of a comment on a post, or below a comment."""
    return str((await act(stand, "comment", post=post, text=text, **fields))["id"])


def newest(stand: Stand, account: str = SHOP) -> str:
    """The newest post of an account."""
    return str(platform_of(stand).instagram.of(account)[0].id)
