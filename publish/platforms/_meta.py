"""What Facebook Login, Instagram Login and Threads have in common: ``meta.md`` 7."""

from collections.abc import Sequence

from ops.runtime import platform_protocol
from ops.runtime.graph_api import checked
from ops.runtime.platform_protocol import (
    JsonObject,
    PlatformError,
    Request,
    Response,
    Steps,
    objects,
    seconds,
    secret,
    text,
)
from publish.oauth.contract import App, Subscription, scope_list
from schema.configuration import Variable

LIFE = 5_183_944
"""Lifetime of a long-lived token in seconds, about 60 days (``meta.md`` 7.1, 7.3)."""

META_SECRET = Variable("META_APP_SECRET", "App dashboard: App settings, Basic, App secret")
VERIFY_TOKENS = (
    Variable("INSTAGRAM_VERIFY_TOKEN", "Any text of yours; type the same in the dashboard's webhook form"),
    Variable("META_VERIFY_TOKEN", "As INSTAGRAM_VERIFY_TOKEN, for every Meta product that has none of its own"),
)
"""Of the handshake of webhooks (``meta.md`` 1.1)."""


def accept_revocation(response: Response) -> None:
    """Accept any response to a revocation. Raises PlatformError if it must be sent again later."""
    platform_protocol.accept_revocation(response)
    try:
        checked(response, "ending the connection")
    except PlatformError as problem:
        if problem.kind == "transient" and isinstance(response.content, dict):
            raise


def granted(content: JsonObject) -> JsonObject:
    """Return the token response: inside ``data`` as documented, or flat as observed (``meta.md`` 7.1)."""
    inner = unwrapped(content)
    if not secret(inner.get("access_token")):
        raise PlatformError("transient", "The platform's answer held no token; try again later.")
    return inner


def unwrapped(content: JsonObject) -> JsonObject:
    """Return the first object of the list ``data`` if there is one, else the content itself."""
    wrapped = objects(content.get("data"))
    return wrapped[0] if wrapped else content


def holds(app: App, host: str, path: str, token: str) -> Steps[None]:
    """Check that a token still reads its own account. Raises PlatformError, also if the response names no account."""
    query = {"fields": "id", "access_token": token}
    content = checked((yield Request("GET", app.url(host, path), query)), "checking the token")
    if not text(unwrapped(content).get("id")):  # documented wrapped for Instagram, observed flat (meta.md 7.1)
        raise PlatformError("transient", "The platform did not say whose token it is; try again later.")


def subscribe(app: App, path: str, token: str, fields: Sequence[str]) -> Steps[None]:
    """Subscribe an account to these fields and read the subscription back (``meta.md`` 1.4, 1.5).

    One unknown field, or one without its permission, makes the platform refuse all of them. Raises PlatformError if the
    response is not ``success``, or if the subscription or one of its fields is missing afterwards; a subscription that
    lists no fields counts as complete.
    """
    doing, url = "subscribing to events", app.url("graph", path)
    form = {"subscribed_fields": ",".join(fields), "access_token": token}
    if checked((yield Request("POST", url, form=form)), doing).get("success") is not True:
        raise PlatformError("transient", f"The platform did not say that it worked while {doing}; try again later.")
    shown = objects(checked((yield Request("GET", url, {"access_token": token})), doing).get("data"))
    named = {field for subscription in shown for field in scope_list(subscription.get("subscribed_fields"))}
    if not shown or (named and not named.issuperset(fields)):
        raise PlatformError(
            "transient", "The platform does not show the subscription to events; start connecting again."
        )


ACCOUNT, APPLICATION = "account", "application"
"""The halves of a subscription: events come only where both have the field (``meta.md`` 1.4)."""

CONNECT_AGAIN = "Connect the account again: the platform refused to subscribe to its events with what was granted."


def account_half(app: App, path: str, token: str, fields: Sequence[str]) -> Steps[Subscription]:
    """Read what an account is subscribed to, and subscribe it to the fields that are missing (``meta.md`` 1.5).

    Whether a subscription replaces the one before is not documented: the whole list is sent, and what is read
    afterwards counts. A subscription that lists no fields counts as complete, as where it is made.
    """
    url = app.url("graph", path)
    missing = _lacking((yield from _shown(url, token)), fields)
    if missing:
        form = {"subscribed_fields": ",".join(fields), "access_token": token}
        try:
            checked((yield Request("POST", url, form=form)), "subscribing to events")
        except PlatformError as problem:
            if problem.kind not in ("lacking", "wrong"):
                raise
            # The whole call is refused for one field (meta.md 1.5): nothing has changed.
            return Subscription(_of(ACCOUNT, fields), _of(ACCOUNT, missing), advice=CONNECT_AGAIN)
    still = _lacking((yield from _shown(url, token)), fields) if missing else []
    repaired = [name for name in missing if name not in still]
    return Subscription(
        _of(ACCOUNT, fields), _of(ACCOUNT, still), _of(ACCOUNT, repaired), CONNECT_AGAIN if still else ""
    )


def _shown(url: str, token: str) -> Steps[list[JsonObject]]:
    """Return the subscriptions of an account to our application."""
    return objects(checked((yield Request("GET", url, {"access_token": token})), "reading subscriptions").get("data"))


def _lacking(shown: Sequence[JsonObject], fields: Sequence[str]) -> list[str]:
    named = {field for subscription in shown for field in scope_list(subscription.get("subscribed_fields"))}
    return [name for name in fields if not shown or (named and name not in named)]


def _of(half: str, fields: Sequence[str]) -> list[str]:
    return [f"{half} {name}" for name in fields]


def application_half(app: App, path: str, kind: str, fields: Sequence[str], *, writable: bool) -> Steps[Subscription]:
    """Read what the application is subscribed to of a ``kind`` of object; ``path`` is of its subscriptions.

    ``writable``: fields that are missing are added, at the address that the platform has for its webhooks; it asks
    that address whether it is ours (``meta.md`` 1.1). Where it has none, or that is not possible, it is the operator's.
    """
    url, token = app.url("graph", path), f"{app.client_id}|{app.client_secret}"
    advice = (
        f"In the dashboard of the application: Webhooks, object {kind}: enter the address of the webhooks, and"
        f" subscribe to {', '.join(fields)}."
    )
    address, named = _application_fields((yield from _shown(url, token)), kind)
    missing = [name for name in fields if name not in named]
    still = missing
    if missing and writable and address and app.verify_token:
        form = {
            "object": kind,
            "callback_url": address,
            "fields": ",".join(dict.fromkeys((*named, *fields))),
            "verify_token": app.verify_token,
            "access_token": token,
        }
        try:
            checked((yield Request("POST", url, form=form)), "subscribing the application")
        except PlatformError as problem:
            if problem.kind not in ("lacking", "wrong"):
                raise
        else:
            _, named = _application_fields((yield from _shown(url, token)), kind)
            still = [name for name in fields if name not in named]
    half = f"{APPLICATION} {kind}"
    repaired = [name for name in missing if name not in still]
    return Subscription(_of(half, fields), _of(half, still), _of(half, repaired), advice if still else "")


def _application_fields(shown: Sequence[JsonObject], kind: str) -> tuple[str, list[str]]:
    """Return the address and the fields of the application's subscription; none of one that is switched off.

    Fields are names, or objects that have one.
    """
    for subscription in shown:
        if subscription.get("object") == kind:
            fields = subscription.get("fields")
            named = [text(item.get("name")) for item in objects(fields)] or scope_list(fields)
            return text(subscription.get("callback_url")), named if subscription.get("active") is not False else []
    return "", []


def both(one: Subscription, other: Subscription) -> Subscription:
    """Return two halves as one."""
    advice = " ".join(filter(None, (one.advice, other.advice)))
    return Subscription(
        [*one.wanted, *other.wanted], [*one.missing, *other.missing], [*one.repaired, *other.repaired], advice
    )


def long_lived(app: App, host: str, grant: str, token: str) -> Steps[tuple[str, int | None]]:
    """Exchange a short-lived token, or refresh a long-lived one. Return the token and its lifetime in seconds."""
    path = "/refresh_access_token" if grant.endswith("refresh_token") else "/access_token"
    query = {"grant_type": grant, "access_token": token}
    if not grant.endswith("refresh_token"):
        query["client_secret"] = app.client_secret
    content = granted(checked((yield Request("GET", app.url(host, path), query)), "renewing the token"))
    return content["access_token"], seconds(content.get("expires_in"))
