"""What Meta's three ways in share: ``meta.md`` 7."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from publish.contract import (
    App,
    Problem,
    Request,
    Response,
    Steps,
    Usage,
    asked_to_wait,
    expected,
    number,
    seconds,
    text,
)
from schema.configuration import Variable

DEAD = (102, 190)
"""Codes of tokens that are over, whatever the subcode (``meta.md`` 7.4)."""

META_SECRET = Variable("META_APP_SECRET", "App dashboard: App settings, Basic, App secret")

LATER = (1, 2, 4, 17, 32, 341, 368, 613, 80001, 80002, 80006)

APP_SPENT, SPAM = 4, 2207051
"""The application's budget; with this subcode it is the one account that is blocked (``meta.md`` 7.4)."""

ACCOUNT_SPENT = (17, 32, 613, 80001, 80002, 80006)


def authorize_url(app: App, host: str, path: str, scopes: Sequence[str], state: str) -> str:
    query = {
        "client_id": app.client_id,
        "redirect_uri": app.redirect_uri,
        "response_type": "code",
        "scope": ",".join(scopes),
        "state": state,
    }
    return f"{app.url(host, path)}?{urlencode(query)}"


def checked(response: Response, doing: str) -> dict[str, Any]:
    """An answer's object. Raises Problem for Graph's errors and for the login hosts' own shape."""
    content = expected(response, doing)
    error = content.get("error")
    if isinstance(error, dict):
        code, said = error.get("code"), f"{error.get('code')}/{error.get('error_subcode', '-')}"
        if code in DEAD:
            raise Problem("grant", "The platform no longer accepts this connection; connect the account again.", said)
        if code in LATER or error.get("is_transient"):
            raise Problem("transient", f"The platform asks for patience while {doing}; try again later.", said)
        if code == 10 or (isinstance(code, int) and 200 <= code < 300):
            raise Problem("lacking", "A permission is missing; connect again and leave all of them ticked.", said)
        raise Problem("wrong", f"The platform refused it while {doing}.", said)
    if "error_message" in content:
        raise Problem("wrong", "The platform refused the code; start connecting again.", str(content.get("code")))
    if not response.ok:
        raise Problem("wrong", f"The platform refused it while {doing}.", str(response.status))
    return content


def granted(content: dict[str, Any]) -> dict[str, Any]:
    """A token's object, wrapped in ``data`` as documented, or flat as observed (``meta.md`` 7.1)."""
    data = content.get("data")
    inner = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else content
    if not isinstance(inner.get("access_token"), str):
        raise Problem("transient", "The platform's answer held no token; try again later.")
    return inner


def holds(app: App, host: str, path: str, token: str) -> Steps[None]:
    """Whether a token still gets an answer about its own account. Raises Problem, also for an answer about nobody."""
    query = {"fields": "id", "access_token": token}
    content = checked((yield Request("GET", app.url(host, path), query)), "checking the token")
    wrapped = content.get("data")  # documented so for Instagram, observed flat (meta.md 7.1)
    if not text((wrapped[0] if wrapped else content).get("id")):
        raise Problem("transient", "The platform did not say whose token it is; it is asked again later.")


def permissions(value: Any) -> list[str]:
    """A list, or one text with commas."""
    if isinstance(value, list):
        return [str(item) for item in value]
    return [item.strip() for item in str(value or "").split(",") if item.strip()]


def long_lived(app: App, host: str, grant: str, token: str) -> Steps[tuple[str, int | None]]:
    """A short token for a long one, or a long one for its successor; the token and its life in seconds."""
    path = "/refresh_access_token" if grant.endswith("refresh_token") else "/access_token"
    query = {"grant_type": grant, "access_token": token}
    if not grant.endswith("refresh_token"):
        query["client_secret"] = app.client_secret
    content = checked((yield Request("GET", app.url(host, path), query)), "renewing the token")
    return granted(content)["access_token"], seconds(content.get("expires_in"))


def usage(response: Response, now: datetime) -> list[Usage]:
    """Both usage headers, which appear only after some traffic, and the codes of what is spent (``meta.md`` 11)."""
    found = asked_to_wait(response, now)
    app = _object(response.headers.get("x-app-usage"))
    if app:
        found.append(Usage(_percent(app), whole_app=True))
    # A list for each object: only the account's own stand here, whichever of its ids they are under.
    for budgets in _object(response.headers.get("x-business-use-case-usage")).values():
        for budget in budgets if isinstance(budgets, list) else ():
            if isinstance(budget, dict):
                minutes = number(budget.get("estimated_time_to_regain_access")) or 0.0
                found.append(Usage(max(_percent(budget), 100 if minutes else 0), minutes * 60))
    error = response.content.get("error") if isinstance(response.content, dict) else None
    if isinstance(error, dict):
        code = error.get("code")
        if code == APP_SPENT:
            found.append(Usage(100, whole_app=error.get("error_subcode") != SPAM))
        elif code in ACCOUNT_SPENT:
            found.append(Usage(100))
    return found


def _percent(budget: dict[str, Any]) -> int:
    """The largest of the three; calls, time and processor time are each a budget."""
    return int(max(number(budget.get(name)) or 0.0 for name in ("call_count", "total_time", "total_cputime")))


def _object(header: str | None) -> dict[str, Any]:
    try:
        found = json.loads(header or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
