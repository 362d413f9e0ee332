"""Protection against cross-site request forgery: was a form sent by a page of ours?"""

import hmac

from aiohttp import hdrs, web

from ops.runtime.origins import Origin, origin_of
from ops.web import paths
from ops.web.client import Client
from ops.web.responses import Refused


def require_token(given: object, expected: str, remedy: str = "open /connections and try again there") -> None:
    """Check the token of a form. Raises Refused unless it is the one that our own page holds."""
    if not hmac.compare_digest(str(given or "").encode(), expected.encode()):
        message = "This form is out of date, or was not on a page of ours; nothing was done."
        raise Refused(403, "csrf", message, remedy)


class OriginCheck:
    """``public_url`` is the address of the site, ``secure`` says whether that is https."""

    def __init__(self, client: Client, public_url: str, *, secure: bool) -> None:
        self._client = client
        self._origin = origin_of(public_url)
        self._secure = secure

    def require_same_origin(self, request: web.Request, *, no_referrer: bool = False) -> None:
        """Raises Refused if a page of another origin sent this. Ours are the public URL, and the one requested.

        ``no_referrer`` is for the form of a page with ``Referrer-Policy: no-referrer``. Browsers send it with the
        origin ``null`` (Fetch, "append a request Origin header"), as they may for another site's page. There the check
        relies on ``Sec-Fetch-Site``, which old browsers do not send, and on the token of the form.
        """
        if no_referrer and request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
            raise _other_site()
        given = request.headers.get(hdrs.ORIGIN)
        if given is None or (no_referrer and given == "null"):
            return
        found = origin_of(given)
        if found is None or found not in self._origins(request):
            raise _other_site()

    def referring_page(self, request: web.Request) -> str:
        """Return the page of ours that a form was on; empty if it was on none."""
        return paths.page_of(request.headers.get(hdrs.REFERER, ""), self._origins(request))

    def _origins(self, request: web.Request) -> set[Origin | None]:
        requested = {origin_of(f"{scheme}://{request.host}") for scheme in self._client.schemes(request)}
        if self._secure and self._origin is not None:
            # Anybody on the network can answer plain http under the public name.
            requested.discard(self._origin._replace(scheme="http", port=80))
        return {self._origin, *requested}


def _other_site() -> Refused:
    return Refused(
        403, "csrf", "This was sent by another website.", "open /connections, or the link again, and try again there"
    )
