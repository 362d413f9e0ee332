"""The consent page, the same for every platform but its name."""

from collections.abc import Mapping, Sequence

from ops.runtime.headers import POLICY, REFERRER, page_policy
from ops.sandbox.contract import Answer
from ops.sandbox.pages import BASE, PAGES

_HEADERS = {POLICY: page_policy(BASE, "'self' http: https:"), REFERRER: "same-origin"}
"""The form's answer redirects to the application, at any address."""


def page(
    platform: str, application: str, accounts: Sequence[str], scopes: Sequence[str], hidden: Mapping[str, str]
) -> Answer:
    """Return the page: accounts to choose from, scopes to untick, two buttons."""
    shown = PAGES.get_template("consent.html")
    return Answer(
        content=shown.render(
            platform=platform, application=application, accounts=accounts, scopes=scopes, hidden=hidden
        ),
        headers=_HEADERS,
    )
