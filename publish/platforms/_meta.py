"""What Meta's three ways in share: ``meta.md`` 7."""

import json
import re
from collections.abc import Sequence
from datetime import datetime

from ops.runtime import platform_protocol
from ops.runtime.platform_protocol import (
    JsonObject,
    Problem,
    RateLimitStatus,
    Request,
    Response,
    Steps,
    asked_to_wait,
    error_word,
    expected,
    number,
    objects,
    seconds,
    secret,
    text,
)
from publish.oauth.contract import ENDED, App, scope_list
from schema.configuration import Variable

ENDED_BY = ("102", "190")
"""Codes of tokens that are over (``meta.md`` 7.4), but for the subcodes and the text below."""

AT_THE_PLATFORM = (459, 464)
"""Subcodes of 190: a checkpoint, and an account that is not confirmed (``meta.md`` 7.4). Its owner mends either at the
platform; that the token lives on is inferred."""

AS_A_PAGE = ("must be made as", "impersonating a page")
"""In the text of a 190 that is about a permission on a page, and about no token (``meta.md`` 7.4)."""

TOO_MANY = 401
"""This status without code 102 or 190 is a throttle (``meta.md`` 7.4)."""

LIFE = 5_183_944
"""Seconds, some 60 days, of a long token (``meta.md`` 7.1, 7.3)."""

META_SECRET = Variable("META_APP_SECRET", "App dashboard: App settings, Basic, App secret")

LATER = (1, 2, 4, 17, 32, 341, 368, 613, 80001, 80002, 80006)
"""Codes after which the same is asked again later (``meta.md`` 7.4). Nothing here publishes: after a call that does, 1
and 2 leave open what came of it, and it is never sent again for them (``meta.md`` 7.5)."""

NO_FIGURES = 2108006
"""Subcode for a medium older than the account's conversion, beside code 100 and, as was seen, 4 (``meta.md`` 10.5)."""

FEW_VIEWERS = "viewers"
"""In the text of a 10 that is about the figures of one object, and about no permission (``meta.md`` 7.4)."""

APP_SPENT, SPAM = 4, 2207051
"""The application's budget; with this subcode it is the one account that is blocked (``meta.md`` 7.4)."""

ACCOUNT_SPENT = (17, 32, 613, 80001, 80002, 80006)


def checked(response: Response, doing: str) -> JsonObject:
    """An answer's object. Raises Problem for Graph's errors and for the login hosts' own shape, at any status."""
    content = expected(response, doing)
    error = content.get("error")
    if isinstance(error, dict) and error:
        raise problem_of(error, response, doing)
    if response.status == TOO_MANY:
        raise Problem("transient", f"The platform asks for patience while {doing}; try again later.", "401")
    if (word := error_word(content)) is not None:
        raise Problem("wrong", f"The platform refused it while {doing}.", word)
    if "error_message" in content or "error_type" in content:
        said = _code(content.get("code"))
        raise Problem("wrong", "The platform refused the code; start connecting again.", str(said))
    if not response.ok:
        raise Problem("wrong", f"The platform refused it while {doing}.", str(response.status))
    return content


def problem_of(error: JsonObject, response: Response, doing: str) -> Problem:
    """What one of Graph's errors means (``meta.md`` 7.4); that of ``debug_token`` names the subcode otherwise."""
    code, subcode = _code(error.get("code")), _code(error.get("error_subcode", error.get("subcode")))
    said = f"{code}/{'-' if subcode is None else subcode}"
    given = error.get("message")
    given = given.lower() if isinstance(given, str) else ""
    if str(code) in ENDED_BY:
        return _token_problem(subcode, given, said)
    if subcode == NO_FIGURES or (code == 10 and FEW_VIEWERS in given):
        return Problem("wrong", "The platform has no figures of this object.", said)
    if code in LATER or error.get("is_transient") is True or response.status == TOO_MANY:
        return Problem("transient", f"The platform asks for patience while {doing}; try again later.", said)
    if code == 10 or (code is not None and 200 <= code < 300):
        return Problem("lacking", "A permission is missing; connect again and leave all of them ticked.", said)
    return Problem("wrong", f"The platform refused it while {doing}.", said)


def _token_problem(subcode: int | None, given: str, said: str) -> Problem:
    """Return what 102 or 190 means; ``given`` is its text in lower case."""
    if subcode in AT_THE_PLATFORM:
        message = (
            "The platform holds the account back until its owner has confirmed something there: log in at the"
            " platform, do what it asks for, and it works again by itself."
        )
        return Problem("transient", message, said)
    if any(words in given for words in AS_A_PAGE):
        message = (
            "The platform wants this to be done in the name of the page, and a right on the page is missing: have"
            " one of its administrators give you that right at the platform, and it works again by itself."
        )
        return Problem("transient", message, said)
    return Problem("grant", ENDED, said)


def _code(value: object) -> int | None:
    """A code of Graph, also where it is a float or stands as text."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,10}(\.0+)?\s*", value):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def accept_revocation(response: Response) -> None:
    """Accept any answer to a revocation. Raises Problem where the platform asks to repeat it later."""
    platform_protocol.accept_revocation(response)
    try:
        checked(response, "ending the connection")
    except Problem as problem:
        if problem.kind == "transient" and isinstance(response.content, dict):
            raise


def granted(content: JsonObject) -> JsonObject:
    """A token's object, wrapped in ``data`` as documented, or flat as observed (``meta.md`` 7.1)."""
    inner = unwrapped(content)
    if not secret(inner.get("access_token")):
        raise Problem("transient", "The platform's answer held no token; try again later.")
    return inner


def unwrapped(content: JsonObject) -> JsonObject:
    """The first object in ``data``, where there is such a list; else the content itself."""
    wrapped = objects(content.get("data"))
    return wrapped[0] if wrapped else content


def holds(app: App, host: str, path: str, token: str) -> Steps[None]:
    """Whether a token still gets an answer about its own account. Raises Problem, also for an answer about nobody."""
    query = {"fields": "id", "access_token": token}
    content = checked((yield Request("GET", app.url(host, path), query)), "checking the token")
    if not text(unwrapped(content).get("id")):  # documented wrapped for Instagram, observed flat (meta.md 7.1)
        raise Problem("transient", "The platform did not say whose token it is; try again later.")


def subscribe(app: App, path: str, token: str, fields: Sequence[str]) -> Steps[None]:
    """Subscribe an account to these fields, and read back whether it is (``meta.md`` 1.4, 1.5).

    One field that is unknown, or lacks its permission, refuses all of them. Raises Problem where an answer does not say
    ``success``, or where the subscription, or a field of it, is not shown afterwards; fields need not be named there.
    """
    doing, url = "subscribing to events", app.url("graph", path)
    form = {"subscribed_fields": ",".join(fields), "access_token": token}
    if checked((yield Request("POST", url, form=form)), doing).get("success") is not True:
        raise Problem("transient", f"The platform did not say that it worked while {doing}; try again later.")
    shown = objects(checked((yield Request("GET", url, {"access_token": token})), doing).get("data"))
    named = {field for subscription in shown for field in scope_list(subscription.get("subscribed_fields"))}
    if not shown or (named and not named.issuperset(fields)):
        raise Problem("transient", "The platform does not show the subscription to events; start connecting again.")


def long_lived(app: App, host: str, grant: str, token: str) -> Steps[tuple[str, int | None]]:
    """A short token for a long one, or a long one for its successor; the token and its life in seconds."""
    path = "/refresh_access_token" if grant.endswith("refresh_token") else "/access_token"
    query = {"grant_type": grant, "access_token": token}
    if not grant.endswith("refresh_token"):
        query["client_secret"] = app.client_secret
    content = granted(checked((yield Request("GET", app.url(host, path), query)), "renewing the token"))
    return content["access_token"], seconds(content.get("expires_in"))


def rate_limit_status(response: Response, now: datetime) -> list[RateLimitStatus]:
    """Both usage headers, which appear only after some traffic, and the codes of what is spent (``meta.md`` 11)."""
    found = asked_to_wait(response, now)
    app = _object(response.headers.get("x-app-usage"))
    if app:
        found.append(RateLimitStatus(_percent(app), whole_app=True))
    # A list for each object: only the account's own stand here, whichever of its ids they are under.
    for budgets in _object(response.headers.get("x-business-use-case-usage")).values():
        for budget in budgets if isinstance(budgets, list) else ():
            if isinstance(budget, dict):
                minutes = number(budget.get("estimated_time_to_regain_access")) or 0.0
                found.append(RateLimitStatus(max(_percent(budget), 100 if minutes else 0), minutes * 60))
    error = response.content.get("error") if isinstance(response.content, dict) else None
    code = _code(error.get("code")) if isinstance(error, dict) else None
    subcode = _code(error.get("error_subcode")) if isinstance(error, dict) else None
    if subcode == NO_FIGURES:
        return found
    if code == APP_SPENT:
        found.append(RateLimitStatus(100, whole_app=subcode != SPAM))
    elif code in ACCOUNT_SPENT or (response.status == TOO_MANY and str(code) not in ENDED_BY):
        found.append(RateLimitStatus(100))
    return found


def _percent(budget: JsonObject) -> int:
    """The largest of the three; calls, time and processor time are each a budget."""
    return int(max(number(budget.get(name)) or 0.0 for name in ("call_count", "total_time", "total_cputime")))


def _object(header: str | None) -> JsonObject:
    try:
        found = json.loads(header or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
