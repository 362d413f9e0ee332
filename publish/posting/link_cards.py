"""What is shown of a page that is shared: what the request says, and for the rest what the page says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass

from publish.posting.errors import PostError
from publish.posting.link_preview import NoPreviewError, Preview, Previews
from publish.posting.requests import LinkBody
from publish.preflight.contract import Finding, Severity

CARD = ("title", "description", "image")
"""What is shown of a shared page beside its address."""


@dataclass(frozen=True, slots=True)
class LinkCards:
    """Without ``previews`` a request has to say all that is shown of a page."""

    previews: Previews | None

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
        kept = {name: before.get(name, "") for name in CARD if name not in link.model_fields_set}
        return link.model_copy(update=kept), None


def _no_preview(error: NoPreviewError) -> PostError:
    message = f"The page could not be looked at: {error}."
    return PostError("unprocessable", message, "look whether the address opens in a browser where nobody is logged in")
