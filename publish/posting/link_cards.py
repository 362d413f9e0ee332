"""What is shown of a page that is shared: what the request says, and for the rest what the page says of itself."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ops.access.audit_log_store import Actor
from publish.media.inspection import Conversion
from publish.media.media_store import Media as StoredMedia
from publish.media.refusal import MediaRefused
from publish.posting.contract import CARD_FILE
from publish.posting.errors import PostError
from publish.posting.link_preview import NoPreviewError, Preview, Previews
from publish.posting.requests import LinkBody
from publish.preflight.contract import Finding, MediaRule, Severity

CARD = ("title", "description", "image")
"""What is shown of a shared page beside its address."""

WAIT_SECONDS = 15.0
"""How long a person who shares a page waits for its picture."""

LONGEST_SIDE = 2048
"""Of a picture that is converted, in pixels: a card shows less."""


class Pictures(Protocol):
    """Takes files into the library."""

    async def fetched(self, tenant: str, actor: Actor, url: str) -> tuple[StoredMedia, bool]:
        """Take the file at an address. Return it, and whether it is new. Raises MediaRefused."""

    async def converted(
        self, tenant: str, actor: Actor, media_id: str, conversion: Conversion
    ) -> tuple[StoredMedia, bool]:
        """Make another image of an image. As :meth:`fetched`."""


@dataclass(frozen=True, slots=True)
class LinkCards:
    """Without ``previews`` a request has to say all that is shown of a page, and without ``pictures`` no picture of one
    is taken.
    """

    previews: Previews | None
    pictures: Pictures | None = None

    async def preview(self, tenant: str, url: str) -> Preview:
        """Return what a page says of itself. Raises PostError where it says nothing, or cannot be looked at."""
        if self.previews is None:
            message = "This service looks at no pages: no vault key is configured."
            raise PostError("unprocessable", message, "whoever runs it has to set LANDFALL_VAULT_KEYS")
        try:
            return await self.previews.of(tenant, url)
        except NoPreviewError as error:
            raise _no_preview(error) from None

    async def card(self, tenant: str, link: LinkBody) -> tuple[LinkBody, Finding | None]:
        """Return a link with what the page says of itself where the request says nothing.

        Where the page cannot be looked at, the link is as it was, with a warning that says why. Nothing is looked at
        where all is given.
        """
        lacking = [name for name in CARD if name not in link.model_fields_set]
        if not lacking or self.previews is None:
            return link, None
        try:
            found = await self.preview(tenant, link.url)
        except PostError as error:
            message = f"{error.message} So nothing is shown of it but what you give."
            return link, Finding(
                Severity.WARNING, "link_preview", "link", message, "Give title, description and image."
            )
        given = {"title": found.title, "description": found.description, "image": found.image}
        return link.model_copy(update={name: given[name] for name in lacking}), None

    async def changed_card(
        self, tenant: str, link: LinkBody, before: Mapping[str, str]
    ) -> tuple[LinkBody, Finding | None]:
        """Return a link that comes in place of another: what is not said of the same page stays as it is."""
        if before.get("url") != link.url:
            return await self.card(tenant, link)
        kept: dict[str, str | None] = {name: before.get(name, "") for name in CARD if name not in link.model_fields_set}
        if kept.get("image", link.image) == before.get("image", "") and link.image_media is None:
            kept[CARD_FILE] = before.get(CARD_FILE)
        return link.model_copy(update=kept), None

    async def pictured(
        self, tenant: str, actor: Actor, link: LinkBody, rule: MediaRule
    ) -> tuple[LinkBody, Finding | None]:
        """Return a link with the file of its picture, which is fetched now; for a platform with this rule.

        Where it cannot be taken, the link is as it was, with a warning that says why.
        """
        if self.pictures is None or not link.image or link.image_media is not None:
            return link, None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                found, _ = await self.pictures.fetched(tenant, actor, link.image)
                if found.content_type not in rule.content_types:
                    made = Conversion("jpeg", longest=LONGEST_SIDE)
                    found, _ = await self.pictures.converted(tenant, actor, found.id, made)
        except MediaRefused as refused:
            return link, _no_picture(refused.message)
        except TimeoutError:
            return link, _no_picture(f"It was not there within {WAIT_SECONDS:g} seconds.")
        return link.model_copy(update={CARD_FILE: found.id}), None


def _no_picture(why: str) -> Finding:
    message = f"The picture of the page was not taken: {why} So a card that is sent as a file shows none."
    return Finding(Severity.WARNING, "link_image", "link", message, "Give another image, or leave it at that.")


def _no_preview(error: NoPreviewError) -> PostError:
    message = f"The page could not be looked at: {error}."
    return PostError("unprocessable", message, "look whether the address opens in a browser where nobody is logged in")
