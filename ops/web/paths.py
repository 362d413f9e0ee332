"""Addresses that a browser is sent back to: paths on this site only."""

import re
from collections.abc import Collection
from urllib.parse import urlencode, urlsplit

from ops.runtime.origins import Origin, origin_of

LONGEST = 2000
"""Characters of an address that is kept during a login."""

_LOCAL = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_ENDS = ("/login", "/logout")
_FORMS = re.compile(r"/api/auth/[a-z]+")
_PAGES = ("connections", "posts", "share", "people", "account", "audit", "invitation")
_SHOWN_AT = {"keys": "/people"}


def local(address: str) -> str:
    r"""Return ``address`` if it is a path of this site that can be opened again; empty for anything else.

    Browsers take ``//host`` and ``/\host`` for another site, and drop tabs and line breaks before they look.
    """
    fits = len(address) <= LONGEST and _LOCAL.fullmatch(address)
    path = address.partition("?")[0]
    return address if fits and not any(path == end or path.startswith(f"{end}/") for end in _ENDS) else ""


def login(wanted: str = "", at: str = "/login") -> str:
    """Return the address of the login that leads on to ``wanted``."""
    kept = local(wanted)
    return f"{at}?{urlencode({'next': kept})}" if kept not in ("", "/", "/connections") else at


def page_of(referrer: str, site: Collection[Origin | None]) -> str:
    """Return the page that a form was on, by the ``Referer`` of its request; empty if that is no page of this site.

    ``site`` holds our origins. The address of a form's result may be no page to open again; then the page that shows
    the result is returned.
    """
    try:
        parts = urlsplit(referrer)
    except ValueError:
        return ""
    origin = origin_of(f"{parts.scheme}://{parts.netloc}")
    if origin is None or origin not in site:
        return ""
    if _FORMS.fullmatch(parts.path):
        return local(parts.path + (f"?{parts.query}" if parts.query else ""))
    first = parts.path.split("/")[1] if "/" in parts.path else ""
    return f"/{first}" if first in _PAGES else _SHOWN_AT.get(first, "")
