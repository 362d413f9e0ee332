"""What Meta's three interfaces share: tokens, fields, paging, errors, usage and webhooks (``meta.md``)."""

import base64
import hashlib
import hmac
import json
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar, overload
from urllib.parse import urlencode

from ops.sandbox import consent, pkce
from ops.sandbox.contract import (
    Answer,
    Call,
    CommandError,
    Fetched,
    OutboundRequest,
    Platform,
    PlatformEvent,
    Processing,
    Refusal,
    Sandbox,
    redirect,
    whole,
)
from ops.sandbox.pkce import Challenge

CODE_SECONDS, SHORT_SECONDS, LONG_SECONDS = 3600, 3600, 5_183_944
REFRESH_AGE = timedelta(hours=24)
"""How old a token must be to be refreshed (``meta.md`` 7.1, 7.3)."""

IMPRESSIONS = 10
"""Impressions of every account in 24 h, each worth 4800 calls (``meta.md`` 11)."""
DAILY_USERS = 1000
"""Users of the application a day, each worth 200 calls an hour of all of it (``meta.md`` 11)."""
HOUR_SECONDS, DAY_SECONDS = 3600.0, 86_400.0
THROTTLES = {"instagram": 80002, "pages": 80001, "threads": 80002}
"""The code of a budget that is used up, by its type in the header (``meta.md`` 7.4)."""

COUNTED: ContextVar[Call | None] = ContextVar("COUNTED", default=None)
"""The call that was counted last in a budget."""

SIGNED = b"signed_request="


@dataclass
class Code:
    account: str
    scopes: list[str]
    redirect_uri: str
    challenge: Challenge | None
    expires: datetime
    used: bool = False


@dataclass
class Token:
    """``use`` is short, long, page or app; ``expires`` is None for a token without expiry."""

    account: str
    scopes: list[str]
    use: str
    created: datetime
    expires: datetime | None
    entry: dict[str, Any]
    dead: int | None = None
    """The error subcode of its end; None while it is live."""


@dataclass(frozen=True, slots=True)
class Edge:
    """Nodes behind a field, created on access."""

    nodes: Callable[[], "Sequence[Node]"]
    limit: int = 25


@dataclass(frozen=True, slots=True)
class Node:
    """An object with fields. Fields that are None are left out; without a selection the ``usual`` ones are shown."""

    kind: str
    values: Mapping[str, Any]
    usual: Sequence[str] = ("id",)
    withheld: bool = False
    """Whether listings leave it out; the page that it would be on is shorter for it (``meta.md`` 10.7)."""


class Nodes(Sequence[Node]):
    """The nodes of many objects, each made when it is looked at."""

    def __init__(self, objects: Sequence[Any], make: Callable[[Any], Node]) -> None:
        self._objects, self._make = objects, make

    def __len__(self) -> int:
        return len(self._objects)

    @overload
    def __getitem__(self, place: int) -> Node: ...
    @overload
    def __getitem__(self, place: slice) -> list[Node]: ...
    def __getitem__(self, place: int | slice) -> Node | list[Node]:
        if isinstance(place, slice):
            return [self._make(found) for found in self._objects[place]]
        return self._make(self._objects[place])


@dataclass(frozen=True, slots=True)
class Keyed:
    """A field that is asked for with the id of a node: ``name.key(id){fields}``. ``node`` raises the refusal."""

    key: str
    node: Callable[[str], Node]


class Fields(dict[str, "Fields"]):
    """Names of fields, each with the fields below it; ``limit`` is that of an expanded edge.

    ``arguments`` are all that stand behind the name: ``name.key(value)``.
    """

    limit: int | None = None
    arguments: Mapping[str, str] = {}


MULTI_ID = "ids"
REMOVED = {
    MULTI_ID: "Requests for multiple ids are no longer supported",
    "date_format": "Formatting of dates is no longer supported",
    "callback": "JSONP callbacks are no longer supported",
    "method": "Overriding the HTTP method is no longer supported",
}
"""Parameters that new applications cannot use on any version since 2026-11-04 (``meta.md`` 13)."""


def wanted(text: str) -> Fields:
    """Parse ``id,from{id},replies.limit(5){text}``. Raises ValueError for unmatched braces and for aliases."""
    root = Fields()
    stack, here = [root], ""
    for part in re.findall(r"[a-z_0-9]+(?:\.[a-z_]+\([^)]*\))*|[{},]", text.replace(" ", "")):
        if part == "{":
            stack.append(stack[-1][here])
        elif part == "}":
            stack.pop()
            if not stack:
                raise ValueError("a brace too many")
        elif part != ",":
            here, _, modifiers = part.partition(".")
            stack[-1][here] = Fields()
            stack[-1][here].arguments = dict(re.findall(r"([a-z_]+)\(([^)]*)\)", modifiers))
            if "as(" in modifiers:  # gone with v27 (meta.md 13)
                raise ValueError("aliases are no longer supported")
            if found := re.search(r"limit\((\d{1,6})\)", modifiers):
                stack[-1][here].limit = max(1, int(found[1]))
    if len(stack) != 1:
        raise ValueError("a brace is missing")
    return root


class GraphApi(Platform):
    """One application at one of Meta's hosts."""

    client_id: str
    token_prefix: str
    scopes: Sequence[str]
    basic: str
    """The scope that every call needs."""
    exchange_grant: str
    refresh_grant: str
    business: str
    """What its usage header calls the interface."""
    error_type = "OAuthException"

    slash_ignored = True  # Meta's own client ends addresses with one
    fetch_agent = "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)"
    batch = 1000
    # "At once, then a few times, less and less often, over 36 h" (meta.md 1.3).
    retry_seconds = (0, 60, 300, 1800, 7200, 21_600, 43_200, 54_840)
    answer_seconds = 5.0
    streams_without_handshake = ("deauthorize", "deletion")
    processing_results = (*Platform.processing_results, "expired")
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        "escape": ("slashes", "more"),
        # What a cursor leads to when the object that it names is gone (meta.md 10.7 says only: do not keep cursors).
        "lost_cursor": ("goes_on", "refused", "skips"),
        # Whether a subscription adds to the one before or replaces it (meta.md 1.5: unconfirmed).
        "subscribing": ("replaces", "adds"),
    }
    bounded: ClassVar[Sequence[str]] = (
        "calls",
        "calls_of",
        "window_seconds",
        "app_calls",
        "page_weight",
        "cursor_seconds",
        "short_pages",
    )
    transient_errors = ("unknown", "service_unavailable", "app_throttled", "user_throttled")

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.signing_secret = f"sandbox-{self.name}-secret"
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, Token] = {}
        self._calls: dict[tuple[str, str], list[float]] = {}
        self._app_calls: list[float] = []

    @property
    def client_secret(self) -> str:
        """One secret for OAuth and for webhooks (``meta.md`` 1.2)."""
        return self.signing_secret

    # --- errors (meta.md 7.4)

    def refused(
        self, code: int, message: str, subcode: int | None = None, status: int = 400, *, transient: bool = False
    ) -> Refusal:
        error: dict[str, Any] = {
            "message": f"(#{code}) {message}" if code > 0 and code not in (102, 104, 190) else message,
            "type": self.error_type,
            "code": code,
        }
        if subcode is not None:
            error |= {"error_subcode": subcode, "is_transient": transient}
        elif transient:
            error["is_transient"] = True
        error["fbtrace_id"] = "A" + self.sandbox.secret(15)
        return Refusal(Answer(status, {"error": error}))

    def too_heavy(self) -> Refusal:
        """Return the answer to a page that holds too much (``meta.md`` 10.7)."""
        return self.refused(1, "Please reduce the amount of data you're asking for", status=500)

    def missing(self, id_: str) -> Refusal:
        message = (
            f"Unsupported get request. Object with ID '{id_}' does not exist, cannot be loaded due to missing"
            " permissions, or does not support this operation"
        )
        return self.refused(100, message, 33)

    def application(self) -> tuple[str, str]:
        return self.client_id, self.client_secret

    def unknown(self, call: Call) -> Answer:
        self.reject_removed(call)
        if call.bearer is None and call.text("access_token") is None:
            return self.refused(104, "An access token is required to request this resource.").answer
        return self.refused(2500, f"Unknown path components: {call.path}").answer

    # --- tokens

    def issue(self, account: str, scopes: Sequence[str], use: str, seconds: int | None) -> str:
        secret = self.token_prefix + self.sandbox.secret(48).replace("_", "A").replace("-", "B")
        entry = self.record("token", account=account, use=use, scope=",".join(scopes), state="live")
        now = self.sandbox.clock.now()
        expires = None if seconds is None else now + timedelta(seconds=seconds)
        self.tokens[secret] = Token(account, list(scopes), use, now, expires, entry)
        return secret

    def given(self, call: Call) -> str:
        """Return the token of a call, from the header, the form or the query."""
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        if kind.lower() in ("oauth", "bearer") and token:
            return token.strip()
        return call.text("access_token") or ""

    def account_of(self, call: Call) -> str | None:
        token = self.tokens.get(self.given(call))
        return None if token is None else token.account

    def live_token(self, secret: str) -> Token:
        """Raises 190 for one that is unknown, ended or expired."""
        token = self.tokens.get(secret)
        if token is None:
            raise self.refused(190, "Invalid OAuth access token - Cannot parse access token")
        if token.dead is not None:
            raise self.refused(190, "Error validating access token: the session has been invalidated.", token.dead)
        if token.expires is not None and token.expires < self.sandbox.clock.now():
            raise self.refused(190, f"Error validating access token: Session has expired on {token.expires}.", 463)
        return token

    def error_answers(self) -> Mapping[str, Answer]:
        """Return the answers of ``meta.md`` 7.4 that all of Meta's interfaces share."""
        too_many = {"error": {"message": "Please wait a few minutes before you try again.", "type": self.error_type}}
        errors = {
            "unknown": self.refused(1, "An unknown error occurred", status=500),
            "service_unavailable": self.refused(2, "Service temporarily unavailable", status=500, transient=True),
            "reduce_data": self.too_heavy(),
            "app_throttled": self.refused(4, "Application request limit reached", status=403, transient=True),
            "user_throttled": self.refused(17, "User request limit reached", status=403),
            "page_throttled": self.refused(32, "Page request limit reached", status=403),
            "custom_throttled": self.refused(613, "Calls to this api have exceeded the rate limit.", status=403),
            "business_throttled": self.refused(THROTTLES[self.business], "There have been too many calls", status=403),
            "blocked": self.refused(368, "The action attempted has been deemed abusive or is otherwise disallowed"),
            "duplicate": self.refused(506, "Duplicate status message"),
            "permission_missing": self.refused(10, "Application does not have permission for this action"),
            "object_missing": self.missing("0"),
            "token_invalid": self.refused(190, "Error validating access token: the session is invalid.", 467),
            "token_expired": self.refused(190, "Error validating access token: Session has expired.", 463),
            # A permission in spite of its code (meta.md 7.4, 14: T29).
            "page_permission": self.refused(190, "This method must be called with a Page Access Token"),
        }
        # A throttle in spite of its status (meta.md 7.4, 14: T30).
        return {name: error.answer for name, error in errors.items()} | {"too_many_actions": Answer(401, too_many)}

    def reject_removed(self, call: Call) -> None:
        """Raises 100 for what new applications cannot use since v27 (``meta.md`` 13)."""
        for name, message in REMOVED.items():
            if name in call.query:
                raise self.refused(100, message)

    def authorised(self, call: Call, *scopes: str) -> Token:
        """Return the token of a call that may do this and count the call, once however often it is looked at.

        Raises 104, 190, 10, 100 or the throttle.
        """
        self.reject_removed(call)
        secret = self.given(call)
        if not secret:
            raise self.refused(104, "An access token is required to request this resource.")
        token = self.live_token(secret)
        proof = call.text("appsecret_proof")
        if proof is not None and proof != self.proof(secret):
            raise self.refused(100, "Invalid appsecret_proof provided in the API argument")
        if COUNTED.get() is not call:
            COUNTED.set(call)
            self._count(self.budget_of(call, token))
        missing = [scope for scope in scopes if scope not in token.scopes]
        if missing:
            raise self.refused(10, f"Application does not have permission for this action: {', '.join(missing)}")
        return token

    def subscription_fields(
        self, call: Call, token: Token, known: Sequence[str], needed: Mapping[str, str], before: Sequence[str]
    ) -> list[str]:
        """Return the fields that are subscribed to now, after those of ``before``.

        Raises 100 or 200 for the first that cannot be; then none of the list is (``meta.md`` 1.5).
        """
        named = [name for item in call.many("subscribed_fields") for name in item.split(",") if name]
        if not named:
            raise self.refused(100, "The parameter subscribed_fields is required")
        for place, name in enumerate(named):
            if name not in known:
                choices = ", ".join(known)
                text = f'Param subscribed_fields[{place}] must be one of {{{choices}}} - got "{name}"'
                raise self.refused(100, text)
            if (scope := needed.get(name)) and scope not in token.scopes:
                text = f"To subscribe to the {name} field, one of these permissions is needed: {scope}"
                raise self.refused(200, text)
        return list(dict.fromkeys([*before, *named] if self.variant("subscribing") == "adds" else named))

    def proof(self, secret: str) -> str:
        """``appsecret_proof`` (``meta.md`` 7.2)."""
        return hmac.new(self.client_secret.encode(), secret.encode(), hashlib.sha256).hexdigest()

    def end(self, account: str, subcode: int, state: str) -> int:
        """End all tokens of an account. Return the number that were live."""
        ended = [token for token in self.tokens.values() if token.account == account and token.dead is None]
        for token in ended:
            token.dead, token.entry["state"] = subcode, state
        return len(ended)

    def of_account(self, account: str) -> list[Token]:
        """Return the tokens that an account's permissions are in."""
        return [token for token in self.tokens.values() if token.account == account]

    def simulate_withdraw(self, account: str, scope: str) -> int:
        if scope not in self.scopes:
            raise CommandError(f"a permission is one of {', '.join(self.scopes)}")
        having = [token for token in self.of_account(account) if scope in token.scopes]
        for token in having:
            token.scopes.remove(scope)
        return len(having)

    # --- budgets (meta.md 11)

    def budget_of(self, call: Call, token: Token) -> tuple[str, str]:
        """Return the budget that a call is counted in: an account's, of one of the header's types."""
        return token.account, self.business

    def _count(self, budget: tuple[str, str]) -> None:
        """Count a call of an account and of the application. Raises code 4 or the throttle of the account."""
        now = self.sandbox.clock.seconds()
        calls = self._calls.setdefault(budget, [])
        for counted, window in ((calls, self._window), (self._app_calls, HOUR_SECONDS)):
            del counted[: bisect_right(counted, now - window)]
            counted.append(now)  # those made while throttled count too, and lengthen the block
        if len(self._app_calls) > self._app_budget:
            raise self.refused(4, "Application request limit reached", status=403, transient=True)
        if len(calls) > self._budget(budget[0]):
            raise self.refused(THROTTLES[budget[1]], "There have been too many calls to this account", status=403)

    @property
    def _window(self) -> float:
        return DAY_SECONDS if self.limits.window_seconds is None else self.limits.window_seconds

    @property
    def _app_budget(self) -> int:
        return 200 * DAILY_USERS if self.limits.app_calls is None else self.limits.app_calls

    def _budget(self, account: str) -> int:
        return self.limits.calls_for(account, 4800 * IMPRESSIONS)

    def usage(self, account: str) -> dict[str, str]:
        """Return the usage headers, each once usage is at least one percent."""
        found, shown, budget = {}, [], self._budget(account)
        for (name, kind), calls in self._calls.items():
            if name != account or not (percent := len(calls) * 100 // max(budget, 1)):
                continue
            used = {"type": kind, "call_count": percent, "total_cputime": percent, "total_time": percent}
            # The account has calls again once those before the last ``budget - 1`` have left the window.
            left = 0.0
            if len(calls) > budget:
                left = calls[min(len(calls) - budget, len(calls) - 1)] + self._window - self.sandbox.clock.seconds()
            shown.append(used | {"estimated_time_to_regain_access": max(0, math.ceil(left / 60))})
        if shown:
            found["X-Business-Use-Case-Usage"] = json.dumps({self.business_id(account): shown})
        if percent := len(self._app_calls) * 100 // max(self._app_budget, 1):
            found["X-App-Usage"] = json.dumps(dict.fromkeys(("call_count", "total_time", "total_cputime"), percent))
        return found

    def complete(self, call: Call, answer: Answer) -> Answer:
        """Add the usage headers to every answer to a token, refusals among them."""
        account = self.account_of(call)
        if account is None:
            return answer
        return Answer(answer.status, answer.content, {**answer.headers, **self.usage(account)})

    def business_id(self, account: str) -> str:
        raise NotImplementedError

    def answer(self, token: Token, content: Any) -> Answer:
        return Answer(content=content)

    # --- the OAuth that Instagram Login and Threads share (meta.md 7.1, 7.3)

    def grant(self, call: Call, account: str, scopes: list[str], redirect_uri: str) -> str:
        code = self.sandbox.secret()
        expires = self.sandbox.clock.in_(seconds=CODE_SECONDS)
        self.codes[code] = Code(account, scopes, redirect_uri, pkce.challenge_of(call), expires)
        return code

    def spent(self, call: Call) -> Code | None:
        """Use up the code of a call and return it; None if it is not valid."""
        code = self.codes.get(call.text("code") or "")
        if (
            code is None
            or code.used
            or code.expires < self.sandbox.clock.now()
            or code.redirect_uri != call.text("redirect_uri")
            or not pkce.proven(code.challenge, call)
        ):
            return None
        code.used = True
        return code

    def lengthen(self, call: Call) -> Answer:
        """Exchange a short token for a long one."""
        if call.text("grant_type") != self.exchange_grant or call.text("client_secret") != self.client_secret:
            raise self.refused(1, "Error validating client secret.", status=400)
        token = self.live_token(self.given(call))
        if token.use != "short":
            raise self.refused(452, "Session key invalid: the token is not a short-lived one")
        return self._long(token)

    def refresh(self, call: Call) -> Answer:
        """Refresh a token that is at least 24 h old and not expired; the old one stays valid until its expiry."""
        if call.text("grant_type") != self.refresh_grant:
            raise self.refused(100, "Invalid grant_type")
        token = self.live_token(self.given(call))
        if token.use != "long" or self.basic not in token.scopes:
            raise self.refused(10, "The token cannot be refreshed")
        if self.sandbox.clock.now() - token.created < REFRESH_AGE:
            raise self.refused(10, "The token must be at least 24 hours old to be refreshed")
        token.entry["state"] = "refreshed"
        return self._long(token)

    def _long(self, token: Token) -> Answer:
        secret = self.issue(token.account, token.scopes, "long", LONG_SECONDS)
        return Answer(content={"access_token": secret, "token_type": "bearer", "expires_in": LONG_SECONDS})

    # --- fields and pages (meta.md 10)

    def pick(self, call: Call, node: Node, fields: Fields) -> dict[str, Any]:
        """Return the fields asked for, or the usual ones. Raises 100 for a field that the node does not have.

        An expanded edge is one page; ``paging.next`` leads to the rest (``meta.md`` 10.2).
        """
        shown: dict[str, Any] = {}
        for name, below in (fields or {name: Fields() for name in node.usual}).items():
            if name not in node.values:
                raise self.refused(100, f"Tried accessing nonexisting field ({name}) on node type ({node.kind})")
            value = node.values[name]
            if isinstance(value, Edge):
                nodes = value.nodes()
                path = f"/v25.0/{node.values['id']}/{name}"
                limit = below.limit or value.limit
                value = self._part(call, path, {}, nodes, 0, limit, below) if nodes else None
            elif isinstance(value, Node):
                value = self.pick(call, value, below)
            elif isinstance(value, Keyed):
                if value.key not in below.arguments:
                    raise self.refused(100, f"The parameter {value.key} is required")
                value = self.pick(call, value.node(below.arguments[value.key]), below)
            if value is not None:
                shown[name] = value
        return shown | {"id": node.values["id"]} if "id" in node.values else shown

    def fields(self, call: Call) -> Fields:
        try:
            return wanted(call.text("fields") or "")
        except (ValueError, KeyError):
            raise self.refused(2500, "Syntax error in the field list") from None

    def page(self, call: Call, nodes: Sequence[Node], most: int = 100, moment: str = "") -> dict[str, Any]:
        """Return one page of an edge. ``next`` is there as long as there is more, token and all (``meta.md`` 10.7).

        ``moment`` is the field that ``since`` and ``until`` are compared with; without it the edge ignores them.
        """
        if moment:
            nodes = self._between(call, nodes, moment)
        try:
            limit = min(max(int(call.text("limit") or 25), 1), most)
        except ValueError:
            raise self.refused(100, "Param limit must be an integer") from None
        fields = self.fields(call)
        content = self._part(call, call.path, call.query, nodes, self._start(call, nodes), limit, fields)
        if self.limits.page_weight is not None and _weight(content["data"]) > self.limits.page_weight:
            raise self.too_heavy()
        return content

    def _start(self, call: Call, nodes: Sequence[Node]) -> int:
        """Return where a page begins. Raises 100 for a cursor that leads nowhere (any more)."""
        if not (after := call.text("after")):
            return 0
        cursor = _opened(after)
        if cursor is None:
            raise self.refused(100, "Invalid cursor")
        id_, place, left, made = cursor
        life = self.limits.cursor_seconds
        if life is not None and self.sandbox.clock.seconds() - made > life:
            raise self.refused(100, "Invalid cursor: it has expired")
        if self.variant("lost_cursor") == "skips" or (place < len(nodes) and str(nodes[place].values["id"]) == id_):
            return place + 1
        ids = [str(node.values["id"]) for node in nodes]
        if id_ in ids:
            return ids.index(id_) + 1
        if self.variant("lost_cursor") == "refused":
            raise self.refused(100, "Invalid cursor: its object is gone")
        # What followed the object, counted from both ends: rather shown twice than left out.
        return max(0, min(place, len(nodes) - left))

    def _part(
        self,
        call: Call,
        path: str,
        query: Mapping[str, str],
        nodes: Sequence[Node],
        start: int,
        limit: int,
        fields: Fields,
    ) -> dict[str, Any]:
        part = list(nodes[start : start + limit])
        rng = self.sandbox.rng
        if self.limits.short_pages and len(part) > 1 and rng.random() < self.limits.short_pages:
            part = part[: rng.randint(1, len(part) - 1)]
        content: dict[str, Any] = {"data": [self.pick(call, node, fields) for node in part if not node.withheld]}
        if part:
            last, made = start + len(part) - 1, int(self.sandbox.clock.seconds())
            before = _closed(str(part[0].values["id"]), start, len(nodes) - start - 1, made)
            after = _closed(str(part[-1].values["id"]), last, len(nodes) - last - 1, made)
            content["paging"] = {"cursors": {"before": before, "after": after}}
            if last + 1 < len(nodes):
                more = {**query, "access_token": self.given(call), "limit": str(limit), "after": after}
                content["paging"]["next"] = f"{call.base}{path}?{urlencode(more)}"
        return content

    def _between(self, call: Call, nodes: Sequence[Node], moment: str) -> list[Node]:
        since, until = self.bounds(call)
        return [node for node in nodes if since <= unix(str(node.values[moment])) <= until]

    def bounds(self, call: Call) -> tuple[float, float]:
        """Return ``since`` and ``until`` of a call in Unix seconds, without end where absent. Raises 100."""
        bounds = []
        for name, end in (("since", 0.0), ("until", float("inf"))):
            given = call.text(name)
            try:
                bounds.append(end if given is None else unix(given))
            except (ValueError, OverflowError):
                raise self.refused(100, f"Param {name} must be a time") from None
        return bounds[0], bounds[1]

    # --- webhooks (meta.md 1)

    def handshake(self, url: str, then: Callable[[bool], Any]) -> OutboundRequest | None:
        challenge = str(self.sandbox.rng.randint(10**8, 10**10))

        def judged(fetched: Fetched) -> Any:
            return then(fetched.status == 200 and fetched.content == challenge.encode())

        query = {"hub.mode": "subscribe", "hub.challenge": challenge, "hub.verify_token": self.verify_token}
        return OutboundRequest(url, judged, query)

    def stream(self, event: PlatformEvent) -> str:
        return event.topic if event.topic in self.streams_without_handshake else ""

    def batch_key(self, event: PlatformEvent) -> Hashable:
        # A signed_request is about one person.
        stream = self.stream(event)
        return (stream, event.number if stream in self.streams_without_handshake else 0)

    def body(self, events: Sequence[PlatformEvent]) -> bytes:
        if events[0].topic in self.streams_without_handshake:
            return SIGNED + self.signed_request(events[0].value).encode()
        return self.escaped(self.document(events))

    def document(self, events: Sequence[PlatformEvent]) -> Any:
        """Return the JSON document of a delivery."""
        raise NotImplementedError

    def escaped(self, document: Any) -> bytes:
        """Serialize as on the wire: lower-case escapes beyond ASCII and for slashes (``meta.md`` 1.2)."""
        text = json.dumps(document, separators=(",", ":")).replace("/", "\\/")
        if self.variant("escape") == "more":
            text = text.replace("<", "\\u003C").replace("%", "\\u0025").replace("@", "\\u0040")
        return text.encode()

    def signature(self, body: bytes, secret: str, first: float, now: float) -> Mapping[str, str]:
        if body.startswith(SIGNED):
            return {"Content-Type": "application/x-www-form-urlencoded"}
        return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()}

    def signed_request(self, payload: Mapping[str, Any]) -> str:
        """Return a ``signed_request`` with this application's secret (``meta.md`` 6)."""
        text = _unpadded(json.dumps(payload, separators=(",", ":")).encode())
        return f"{_unpadded(hmac.new(self.client_secret.encode(), text.encode(), hashlib.sha256).digest())}.{text}"

    def tell_of(self, topic: str, account: str, user_id: str) -> None:
        """Queue a deauthorize or deletion callback about an app-scoped id."""
        now = int(self.sandbox.clock.seconds())
        payload = {"algorithm": "HMAC-SHA256", "expires": now + 3600, "issued_at": now, "user_id": user_id}
        self.notify(topic, account, payload)


class OwnLogin(GraphApi):
    """The login flow that Instagram and Threads share (``meta.md`` 7.1, 7.3)."""

    def ask(self, call: Call) -> Answer:
        scopes = self._asked(call)
        names = ("client_id", "redirect_uri", "state", *pkce.FIELDS)
        hidden = {name: value for name in names if (value := call.text(name))}
        return consent.page(self.name.title(), "the application", self.people(), scopes, hidden)

    def decide(self, call: Call) -> Answer:
        self._asked(call)
        address, back = call.text("redirect_uri") or "", {"state": call.text("state") or ""}
        account = call.text("account") or ""
        if call.text("decision") != "approve" or account not in self.people():
            denied = {"error": "access_denied", "error_reason": "user_denied"}
            return redirect(address, denied | {"error_description": "The user denied your request"} | back)
        return redirect(address, {"code": self.grant(call, account, call.many("granted"), address)} | back, "#_")

    def _asked(self, call: Call) -> list[str]:
        """Return the scopes, separated by commas or spaces. Raises the error page for a wrong application."""
        scopes = (call.text("scope") or "").replace(",", " ").split()
        if call.text("client_id") != self.client_id or call.text("redirect_uri") not in self.redirect_uris:
            raise Refusal(self.wrong("Invalid platform app or redirect_uri"))
        if call.method == "GET" and (not set(scopes) <= set(self.scopes) or self.basic not in scopes):
            raise Refusal(self.wrong("Invalid scope"))
        return scopes

    def wrong(self, message: str) -> Answer:
        """Return an error in the login hosts' shape, which is not Graph's."""
        return Answer(400, {"error_type": "OAuthException", "code": 400, "error_message": message})


@dataclass
class Container:
    """A media container; it expires after 24 h (``meta.md`` 8.1)."""

    id: str
    account: str
    kind: str
    params: dict[str, Any]
    created: datetime
    ready: datetime | None = None
    """Time when processing ends; None until its file is there."""
    error: str | None = None
    children: list[str] = field(default_factory=list)
    published: str | None = None
    received: int = 0
    content: bytearray = field(default_factory=bytearray)
    """Bytes of an upload that is not complete."""
    file: dict[str, Any] | None = None
    """What the ledger says of its file."""

    cut_short: bool = False
    """Whether it expires as soon as it is processed, because a test asked for it."""

    LIFE: ClassVar[timedelta] = timedelta(hours=24)

    def process(self, processing: Processing, now: datetime, error: str) -> None:
        """Start processing. ``error`` is the text that the container has if it fails."""
        if processing.result == "stuck":
            return
        self.ready = now + timedelta(seconds=processing.seconds)
        self.cut_short = processing.result == "expired"
        if processing.result == "failed":
            self.error = error

    def status(self, now: datetime) -> str:
        if self.published:
            return "PUBLISHED"
        done = self.ready is not None and self.ready <= now
        if self.error and (done or self.ready is None):
            return "ERROR"
        if now - self.created >= self.LIFE or (done and self.cut_short):
            return "EXPIRED"
        return "FINISHED" if done else "IN_PROGRESS"


def when(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S+0000")


def unix(text: str) -> float:
    """Return Unix seconds of a number or an ISO-8601 time. Raises ValueError, OverflowError."""
    return float(int(text)) if whole(text) else datetime.fromisoformat(text).timestamp()


def upload_failed(kind: str, message: str, *, retriable: bool) -> Answer:
    """Return an error in the upload host's shape (``meta.md`` 8.4, 9.2)."""
    return Answer(400, {"debug_info": {"retriable": retriable, "type": kind, "message": message}})


def loaded(value: Any) -> Any:
    """Parse JSON in a form field; None if it is not valid."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _closed(id_: str, place: int, left: int, made: int) -> str:
    return base64.urlsafe_b64encode(f"{place}:{left}:{made}:{id_}".encode()).decode()


def _opened(cursor: str) -> tuple[str, int, int, int] | None:
    """Return the id, the place, the number of objects after it, and the time of a cursor; None if it is none."""
    try:
        place, left, made, id_ = base64.urlsafe_b64decode(cursor).decode().split(":", 3)
        return id_, int(place), int(left), int(made)
    except ValueError:
        return None


def _weight(content: Any) -> int:
    """Return the number of values in a document."""
    if isinstance(content, Mapping):
        return sum(map(_weight, content.values()))
    return sum(map(_weight, content)) if isinstance(content, list) else 1


def _unpadded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
