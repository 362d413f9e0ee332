"""Errors and rate limits of the Graph API, which several platforms speak: ``meta.md`` 7.4 and 11."""

import json
import re
from datetime import datetime

from ops.runtime.platform_protocol import (
    ENDED,
    JsonObject,
    PlatformError,
    RateLimitStatus,
    Response,
    asked_to_wait,
    error_word,
    expected,
    number,
)

VERSION = "/v25.0"
"""The first part of a path: pinned, and alive to 2028-07-29 (``meta.md`` 0, 13)."""

ENDED_BY = ("102", "190")
"""Codes of tokens that are no longer valid (``meta.md`` 7.4), except with the subcodes and texts below."""

AT_THE_PLATFORM = (459, 464)
"""Subcodes of 190: a checkpoint, and an account that is not confirmed (``meta.md`` 7.4). The owner resolves either at
the platform. The token stays valid (inferred)."""

AS_A_PAGE = ("must be made as", "impersonating a page", "must be called with a page access token")
"""In the text of a 190 that is about a permission on a page and not about the token (``meta.md`` 7.4)."""

TOO_MANY = 401
"""This status without code 102 or 190 is a rate limit (``meta.md`` 7.4)."""

LATER = (1, 2, 4, 17, 32, 341, 368, 613, 80001, 80002, 80006)
"""Codes after which the same request may be sent again later (``meta.md`` 7.4). After one that publishes,
1 and 2 leave its outcome unknown, so it must not be sent again (``meta.md`` 7.5)."""

NO_INSIGHTS = 2108006
"""Subcode for media posted before the account was converted; with code 100, observed with 4 too (``meta.md`` 10.5)."""

TOO_FEW_VIEWERS = "viewers"
"""In the text of a 10 that is about the insights of one object and not about a permission (``meta.md`` 7.4)."""

APP_RATE_LIMIT, SPAM = 4, 2207051
"""The code for the application's rate limit; with this subcode one account is blocked (``meta.md`` 7.4)."""

ACCOUNT_RATE_LIMIT = (17, 32, 613, 80001, 80002, 80006)


def checked(response: Response, doing: str) -> JsonObject:
    """Return the JSON object of a response. Raises PlatformError for errors of Graph or a login host, at any status."""
    content = expected(response, doing)
    error = content.get("error")
    if isinstance(error, dict) and error:
        raise problem_of(error, response, doing)
    if response.status == TOO_MANY:
        raise PlatformError("transient", f"The platform asks for patience while {doing}; try again later.", "401")
    if (word := error_word(content)) is not None:
        raise PlatformError("wrong", f"The platform refused it while {doing}.", word)
    if "error_message" in content or "error_type" in content:
        said = code_number(content.get("code"))
        raise PlatformError("wrong", "The platform refused the code; start connecting again.", str(said))
    if not response.ok:
        raise PlatformError("wrong", f"The platform refused it while {doing}.", str(response.status))
    return content


def asks_for_less(response: Response) -> bool:
    """Return whether a request asks for too much: smaller pages or fewer fields may work (``meta.md`` 10.7)."""
    return "reduce the amount of data" in error_text(response)


def error_text(response: Response) -> str:
    """Return the text of an error in lower case; empty if there is none."""
    error = response.content.get("error") if isinstance(response.content, dict) else None
    said = error.get("message") if isinstance(error, dict) else None
    return said.lower() if isinstance(said, str) else ""


def problem_of(error: JsonObject, response: Response, doing: str) -> PlatformError:
    """Return what a Graph error means (``meta.md`` 7.4). ``debug_token`` has another key for the subcode."""
    code, subcode = code_number(error.get("code")), code_number(error.get("error_subcode", error.get("subcode")))
    said = f"{code}/{'-' if subcode is None else subcode}"
    given = error.get("message")
    given = given.lower() if isinstance(given, str) else ""
    if str(code) in ENDED_BY:
        return _token_problem(subcode, given, said)
    if subcode == NO_INSIGHTS or (code == 10 and TOO_FEW_VIEWERS in given):
        return PlatformError("wrong", "The platform has no figures of this object.", said)
    if code in LATER or error.get("is_transient") is True or response.status == TOO_MANY:
        return PlatformError("transient", f"The platform asks for patience while {doing}; try again later.", said)
    if code == 10 or (code is not None and 200 <= code < 300):
        return PlatformError("lacking", "A permission is missing; connect again and leave all of them ticked.", said)
    return PlatformError("wrong", f"The platform refused it while {doing}.", said)


def _token_problem(subcode: int | None, given: str, said: str) -> PlatformError:
    """Return what 102 or 190 means; ``given`` is its text in lower case."""
    if subcode in AT_THE_PLATFORM:
        message = (
            "The platform holds the account back until its owner has confirmed something there: log in at the"
            " platform, do what it asks for, and it works again by itself."
        )
        return PlatformError("transient", message, said)
    if any(words in given for words in AS_A_PAGE):
        message = (
            "The platform wants this to be done in the name of the page, and a right on the page is missing: have"
            " one of its administrators give you that right at the platform, and it works again by itself."
        )
        return PlatformError("transient", message, said)
    return PlatformError("grant", ENDED, said)


def code_number(value: object) -> int | None:
    """Return a Graph error code, sent as an integer, a float or text; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,10}(\.0+)?\s*", value):
        value = float(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def rate_limit_status(response: Response, now: datetime) -> list[RateLimitStatus]:
    """Read both usage headers, which appear only after some traffic, and the rate limit codes (``meta.md`` 11)."""
    found = asked_to_wait(response, now)
    app = _object(response.headers.get("x-app-usage"))
    if app:
        found.append(RateLimitStatus(_percent(app), whole_app=True))
    # A list for each object, all of them of this account, under any of its ids.
    for limits in _object(response.headers.get("x-business-use-case-usage")).values():
        for limit in limits if isinstance(limits, list) else ():
            if isinstance(limit, dict):
                minutes = number(limit.get("estimated_time_to_regain_access")) or 0.0
                found.append(RateLimitStatus(max(_percent(limit), 100 if minutes else 0), minutes * 60))
    error = response.content.get("error") if isinstance(response.content, dict) else None
    code = code_number(error.get("code")) if isinstance(error, dict) else None
    subcode = code_number(error.get("error_subcode")) if isinstance(error, dict) else None
    if subcode == NO_INSIGHTS:
        return found
    if code == APP_RATE_LIMIT:
        found.append(RateLimitStatus(100, whole_app=subcode != SPAM))
    elif code in ACCOUNT_RATE_LIMIT or (response.status == TOO_MANY and str(code) not in ENDED_BY):
        found.append(RateLimitStatus(100))
    return found


def _percent(limit: JsonObject) -> int:
    """Return the largest of the three: calls, time and processor time have a limit each."""
    return int(max(number(limit.get(name)) or 0.0 for name in ("call_count", "total_time", "total_cputime")))


def _object(header: str | None) -> JsonObject:
    try:
        found = json.loads(header or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
