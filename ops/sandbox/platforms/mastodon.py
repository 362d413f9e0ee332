"""A Mastodon instance: contract ``mastodon.md``."""

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from ops.sandbox import consent, pkce
from ops.sandbox.contract import Answer, Call, Refusal, Route, Sandbox, Upload, digest, redirect, whole
from ops.sandbox.mastodon_server import ADDRESS, MastodonServer, Notification, Status
from ops.sandbox.pkce import Challenge

VERSION = "4.6.2"
CHARACTERS, ATTACHMENTS, URL_CHARACTERS = 500, 4, 23
DESCRIPTION = 1500
IMAGE_BYTES, VIDEO_BYTES = 16 * 2**20, 99 * 2**20
CODE_SECONDS = 600
IDEMPOTENCY = timedelta(hours=1)
SCHEDULE_AHEAD = timedelta(minutes=5)
SCHEDULED_TOTAL, SCHEDULED_DAILY = 300, 25
PROCESSING_SECONDS = {"image": 0.0, "video": 20.0, "audio": 8.0}
RATE_LIMIT, USER_LIMIT, RATE_SECONDS = 300, 1500, 300
"""Calls of a token and of a person, in ``RATE_SECONDS`` (``mastodon.md`` 6)."""

MEDIA_LIMIT, DELETE_LIMIT, MEDIA_SECONDS = 30, 30, 1800
STATUS_LIMIT, STATUS_SECONDS = 300, 3 * 3600
"""Statuses of an account over all applications, in windows that begin at multiples of three hours since 1970."""

RAISED = 1000
"""So many times the documented limits are those of an instance that raised them."""

MEDIA_LIFE = timedelta(hours=24)
"""How long media are kept without a status; unconfirmed (``mastodon.md`` 4)."""

POLL_OPTIONS, POLL_CHARACTERS, POLL_SECONDS = 4, 50, (300, 2_629_746)
QUOTE_POLICIES = ("public", "followers", "nobody")
VOTES = ("id", "expires_at", "votes_count")
"""What a poll keeps in an edit that leaves its options alone."""

SHOWN_ADDRESS = 30
"""Characters of an address that a status shows; the others are hidden in it."""

SCOPES = [
    "read",
    "read:accounts",
    "read:statuses",
    "read:notifications",
    "write",
    "write:statuses",
    "write:media",
    "follow",
    "push",
    "profile",
]
TYPES = (
    *("image/jpeg", "image/png", "image/gif", "image/webp", "video/mp4", "video/webm"),
    *("audio/mpeg", "audio/ogg", "audio/wav", "audio/flac", "audio/mp4"),
)
_URL = re.compile(r"https?://\S+")
_REMOTE = re.compile(r"(@\w+)@[\w.-]+")
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
OUT_OF_BAND = "urn:ietf:wg:oauth:2.0:oob"


@dataclass
class App:
    id: str
    name: str
    website: str | None
    redirect_uris: list[str]
    scopes: list[str]
    client_id: str
    client_secret: str


@dataclass
class Code:
    app: App
    account: str
    scopes: list[str]
    redirect_uri: str
    challenge: Challenge | None
    expires: datetime
    used: bool = False


@dataclass
class Token:
    app: App
    account: str | None
    """None for an application's own."""
    scopes: list[str]
    created: datetime
    entry: dict[str, Any]
    revoked: bool = False


@dataclass
class Media:
    id: str
    account: str
    kind: str
    description: str | None
    ready: datetime
    created: datetime
    broken: bool = False
    status: str | None = None
    focus: str | None = None
    file: dict[str, Any] = field(default_factory=dict)
    """What the ledger says of it, but for the description."""


@dataclass
class Limit:
    """A rate limit as the headers show it."""

    total: int
    left: int
    reset: datetime

    def headers(self) -> dict[str, str]:
        """The reset is a time, not a number (``mastodon.md`` 6)."""
        return {
            "X-RateLimit-Limit": str(self.total),
            "X-RateLimit-Remaining": str(self.left),
            "X-RateLimit-Reset": _when(self.reset),
        }


class Mastodon(MastodonServer):
    """One server with a few accounts. Tokens never expire; they end by revocation (``mastodon.md`` 3)."""

    name = "mastodon"
    title = "Mastodon"
    unreported: ClassVar[Mapping[str, str]] = {  # mastodon.md 7.1
        "delete_post": "Mastodon sends nothing for a deleted post.",
        "delete_comment": "Mastodon sends nothing for a deleted reply.",
        "revoke": "Mastodon does not tell.",
        "change": "Mastodon sends nothing for favourites, boosts and follows.",
    }
    slash_ignored = True
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        # What a repeat with the same key is answered: the first status; 500 by some builds of 2026, though it exists;
        # or it is published again, by forks that ignore the header (mastodon.md 5 b and f).
        "idempotency": ("kept", "server_error", "ignored"),
        "limits": ("documented", "raised"),  # instances may tune them (mastodon.md 6)
    }

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self._last = 0
        self.accounts = {"alice": self.new_id(), "bob": self.new_id(), "shop": self.new_id()}
        self.apps: dict[str, App] = {}
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, Token] = {}
        self.media: dict[str, Media] = {}
        self.statuses: dict[str, Status] = {}
        self.scheduled: dict[str, tuple[datetime, str, dict[str, Any], datetime]] = {}
        self._keys: dict[tuple[str, str], tuple[datetime, str]] = {}
        self._calls: dict[tuple[str, str], list[float]] = {}
        self._created: dict[tuple[str, int], int] = {}
        """Statuses of an account, by its window of three hours."""
        self._shown_limit: dict[str, Limit] = {}
        """The limit that the headers of a token's current answer show."""

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/.well-known/oauth-authorization-server", self.discover),
            Route("GET", "/api/v1/instance", self.instance_v1),
            Route("GET", "/api/v2/instance", self.instance),
            Route("POST", "/api/v1/apps", self.register),
            Route("GET", "/api/v1/apps/verify_credentials", self.verify_app),
            Route("GET", "/oauth/authorize", self.ask),
            Route("POST", "/oauth/authorize", self.decide),
            Route("POST", "/oauth/token", self.exchange),
            Route("POST", "/oauth/revoke", self.revoke),
            Route("GET", "/oauth/userinfo", self.userinfo),
            Route("GET", "/api/v1/accounts/verify_credentials", self.verify_account),
            Route("GET", "/api/v1/accounts/{id}/statuses", self.account_statuses),
            Route("POST", "/api/v1/media", self.upload),
            Route("POST", "/api/v2/media", self.upload),
            Route("GET", "/api/v1/media/{id}", self.show_media),
            Route("PUT", "/api/v1/media/{id}", self.describe_media),
            Route("DELETE", "/api/v1/media/{id}", self.delete_media),
            Route("POST", "/api/v1/statuses", self.post),
            Route("GET", "/api/v1/statuses", self.show_many),
            Route("GET", "/api/v1/statuses/{id}", self.show),
            Route("PUT", "/api/v1/statuses/{id}", self.edit),
            Route("DELETE", "/api/v1/statuses/{id}", self.delete),
            Route("PUT", "/api/v1/statuses/{id}/interaction_policy", self.set_policy),
            Route("GET", "/api/v1/statuses/{id}/context", self.context),
            Route("GET", "/api/v1/statuses/{id}/source", self.source),
            Route("GET", "/api/v1/statuses/{id}/history", self.history),
            Route("GET", "/api/v1/notifications", self.show_notifications),
            Route("GET", "/api/v1/notifications/{id}", self.show_notification),
            Route("GET", "/api/v1/scheduled_statuses", self.show_scheduled),
            Route("GET", "/api/v1/scheduled_statuses/{id}", self.show_one_scheduled),
            Route("PUT", "/api/v1/scheduled_statuses/{id}", self.reschedule),
            Route("DELETE", "/api/v1/scheduled_statuses/{id}", self.cancel),
        )

    def application(self) -> tuple[str, str]:
        return "", ""

    def unknown(self, call: Call) -> Answer:
        return _error(404, "The page you are looking for isn't here.")

    def account_of(self, call: Call) -> str | None:
        token = self.tokens.get(call.bearer or "")
        return None if token is None else token.account

    # --- discovery and registration (mastodon.md 1, 2)

    def discover(self, call: Call) -> Answer:
        return Answer(
            content={
                "issuer": f"{call.base}/",
                "authorization_endpoint": f"{call.base}/oauth/authorize",
                "token_endpoint": f"{call.base}/oauth/token",
                "revocation_endpoint": f"{call.base}/oauth/revoke",
                "userinfo_endpoint": f"{call.base}/oauth/userinfo",
                "app_registration_endpoint": f"{call.base}/api/v1/apps",
                "scopes_supported": SCOPES,
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "client_credentials"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    def instance(self, call: Call) -> Answer:
        return Answer(
            content={
                "domain": call.headers.get("host", "localhost"),
                "title": "Sandbox",
                "version": VERSION,
                "api_versions": {"mastodon": 8},
                "configuration": {
                    "urls": {"streaming": call.base.replace("http", "ws", 1)},
                    "statuses": {
                        "max_characters": CHARACTERS,
                        "max_media_attachments": ATTACHMENTS,
                        "characters_reserved_per_url": URL_CHARACTERS,
                    },
                    "media_attachments": {
                        "supported_mime_types": list(TYPES),
                        "description_limit": DESCRIPTION,
                        "image_size_limit": IMAGE_BYTES,
                        "image_matrix_limit": 33_177_600,
                        "video_size_limit": VIDEO_BYTES,
                        "video_frame_rate_limit": 120,
                        "video_matrix_limit": 8_294_400,
                    },
                    "polls": {
                        "max_options": POLL_OPTIONS,
                        "max_characters_per_option": POLL_CHARACTERS,
                        "min_expiration": POLL_SECONDS[0],
                        "max_expiration": POLL_SECONDS[1],
                    },
                },
            }
        )

    def instance_v1(self, call: Call) -> Answer:
        whole = self.instance(call).content
        return Answer(
            content={
                "uri": whole["domain"],
                "title": whole["title"],
                "version": whole["version"],
                "configuration": whole["configuration"],
            }
        )

    def register(self, call: Call) -> Answer:
        name = call.text("client_name")
        uris = call.many("redirect_uris")
        addresses = [uri for item in uris for uri in item.split("\n") if uri]
        scopes = (call.text("scopes") or "read").split()
        if name is None or not addresses:
            raise _refused(422, "Validation failed: Application name and Redirect URI can't be blank")
        if not set(scopes) <= set(SCOPES):
            raise _refused(422, "Validation failed: Scopes doesn't match configured on the server.")
        app = App(
            self.new_id(), name, call.text("website"), addresses, scopes, self.sandbox.secret(), self.sandbox.secret()
        )
        self.apps[app.client_id] = app
        return Answer(content=_app(app) | {"client_id": app.client_id, "client_secret": app.client_secret})

    def verify_app(self, call: Call) -> Answer:
        return Answer(content=_app(self._token(call).app))

    # --- OAuth (mastodon.md 3)

    def ask(self, call: Call) -> Answer:
        app, scopes = self._asked(call)
        hidden = {
            name: value for name in ("client_id", "redirect_uri", "state", *pkce.FIELDS) if (value := call.text(name))
        }
        return consent.page("Mastodon", app.name, list(self.accounts), scopes, hidden)

    def decide(self, call: Call) -> Answer:
        app, _ = self._asked(call)
        redirect_uri, state = call.text("redirect_uri") or "", call.text("state")
        back = {"state": state} if state else {}
        granted = call.many("granted")
        account = call.text("account") or ""
        if call.text("decision") != "approve" or not granted or account not in self.accounts:
            denied = {"error": "access_denied", "error_description": "The resource owner denied the request."}
            return redirect(redirect_uri, denied | back)
        if not set(granted) <= set(app.scopes):
            raise _refused(400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.")
        code = self.sandbox.secret()
        expires = self.sandbox.clock.in_(seconds=CODE_SECONDS)
        self.codes[code] = Code(app, account, granted, redirect_uri, pkce.challenge_of(call), expires)
        if redirect_uri == OUT_OF_BAND:
            return Answer(content=f"<!doctype html><p>Copy this code:</p><code>{code}</code>")
        return redirect(redirect_uri, {"code": code} | back)

    def _asked(self, call: Call) -> tuple[App, list[str]]:
        app = self.apps.get(call.text("client_id") or "")
        if app is None:
            raise _refused(401, "invalid_client", "Client authentication failed due to unknown client.")
        if call.text("redirect_uri") not in app.redirect_uris:
            raise _refused(400, "invalid_redirect_uri", "The requested redirect uri is malformed or doesn't match.")
        scopes = (call.text("scope") or "read").split()
        if call.method == "GET" and not all(_covers(app.scopes, scope) for scope in scopes):
            raise _refused(400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.")
        # All that an instance lists (mastodon.md 1); without a name it would be the other one (RFC 7636 4.3).
        if (challenge := pkce.challenge_of(call)) is not None and challenge.method != "S256":
            raise _refused(400, "invalid_code_challenge_method", "The code challenge method must be S256.")
        return app, scopes

    def exchange(self, call: Call) -> Answer:
        app = self._client(call)
        if call.text("grant_type") == "client_credentials":
            return self._issue(app, None, (call.text("scope") or "read").split())
        if call.text("grant_type") != "authorization_code":
            raise _refused(400, "unsupported_grant_type", "The authorization grant type is not supported.")
        code = self.codes.get(call.text("code") or "")
        if (
            code is None
            or code.used
            or code.app is not app
            or code.expires < self.sandbox.clock.now()
            or code.redirect_uri != call.text("redirect_uri")
            or not pkce.proven(code.challenge, call)
        ):
            raise _refused(400, "invalid_grant", "The provided authorization grant is invalid, expired or revoked.")
        code.used = True
        return self._issue(app, code.account, code.scopes)

    def _issue(self, app: App, account: str | None, scopes: list[str]) -> Answer:
        secret = self.sandbox.secret()
        entry = self.record("token", account=account, client_id=app.client_id, scope=" ".join(scopes), state="live")
        self.tokens[secret] = Token(app, account, scopes, self.sandbox.clock.now(), entry)
        created = int(self.sandbox.clock.seconds())
        answer = {"access_token": secret, "token_type": "Bearer", "scope": " ".join(scopes), "created_at": created}
        return Answer(content=answer)

    def revoke(self, call: Call) -> Answer:
        app = self._client(call)
        token = self.tokens.get(call.text("token") or "")
        if token is not None:
            if token.app is not app:
                raise _refused(403, "unauthorized_client", "You are not authorized to revoke this token")
            self._end(token)
        return Answer()

    def _end(self, token: Token) -> None:
        token.revoked = True
        token.entry["state"] = "revoked"

    def _client(self, call: Call) -> App:
        client_id, secret = call.basic or (call.text("client_id"), call.text("client_secret"))
        app = self.apps.get(client_id or "")
        if app is None or app.client_secret != secret:
            raise _refused(401, "invalid_client", "Client authentication failed.")
        return app

    def _token(self, call: Call, *scopes: str) -> Token:
        """Return the call's token if it has one of the scopes, and count the call. Raises 401, 403 or 429."""
        token = self.tokens.get(call.bearer or "")
        if token is None or token.revoked:
            raise _refused(401, "The access token is invalid" if call.bearer else "This method requires authentication")
        self._count(call, call.bearer or "", "calls", RATE_LIMIT, RATE_SECONDS)
        if token.account is not None:
            self._count(call, token.account, "user", USER_LIMIT, RATE_SECONDS)
        if scopes and not any(_covers(token.scopes, scope) for scope in scopes):
            raise _refused(403, "This action is outside the authorized scopes")
        return token

    def _person(self, call: Call, *scopes: str) -> str:
        account = self._token(call, *scopes).account
        if account is None:
            raise _refused(422, "This method requires an authenticated user")
        return account

    def _count(self, call: Call, who: str, what: str, limit: int, seconds: int) -> None:
        """Count a call. Raises 429 beyond ``limit`` of them in ``seconds`` (``mastodon.md`` 6)."""
        now, limit = self.sandbox.clock.seconds(), self._tuned(limit)
        calls = self._calls.setdefault((who, what), [])
        calls[:] = [at for at in calls if at > now - seconds]
        reset = datetime.fromtimestamp((calls[0] if calls else now) + seconds, UTC)
        if len(calls) >= limit:
            self._show_limit(call, Limit(limit, 0, reset))
            raise Refusal(Answer(429, {"error": "Too many requests"}))
        calls.append(now)
        self._show_limit(call, Limit(limit, limit - len(calls), reset))

    def _tuned(self, limit: int) -> int:
        return limit * RAISED if self.variant("limits") == "raised" else limit

    def _show_limit(self, call: Call, limit: Limit) -> None:
        """Keep the limit with the fewest calls left, which the headers show."""
        known = self._shown_limit.get(call.bearer or "")
        if known is None or limit.left < known.left:
            self._shown_limit[call.bearer or ""] = limit

    def complete(self, call: Call, answer: Answer) -> Answer:
        """Add the headers of the limit to the answer."""
        limit = self._shown_limit.pop(call.bearer or "", None)
        return answer if limit is None else replace(answer, headers={**limit.headers(), **answer.headers})

    def _count_status(self, call: Call, account: str) -> None:
        """Count a created status. Raises 429 beyond 300 in a window of three hours; its headers replace the others."""
        window = int(self.sandbox.clock.seconds()) // STATUS_SECONDS
        reset = datetime.fromtimestamp((window + 1) * STATUS_SECONDS, UTC)
        made, limit = self._created.get((account, window), 0), self._tuned(STATUS_LIMIT)
        self._shown_limit[call.bearer or ""] = Limit(limit, max(0, limit - made - 1), reset)
        if made >= limit:
            raise Refusal(Answer(429, {"error": "Too many requests"}))
        self._created[account, window] = made + 1

    # --- accounts (mastodon.md 3, 5)

    def verify_account(self, call: Call) -> Answer:
        return Answer(content=self.shape_account(self._person(call, "profile", "read:accounts"), call.base))

    def userinfo(self, call: Call) -> Answer:
        account = self._person(call, "profile")
        url = f"{call.base}/@{account}"
        return Answer(content={"iss": f"{call.base}/", "sub": url, "name": account, "preferred_username": account})

    def account_statuses(self, call: Call) -> Answer:
        name = next((name for name, number in self.accounts.items() if number == call.parts["id"]), None)
        if name is None:
            raise _refused(404, "Record not found")
        viewer = self._token(call).account if call.bearer else None
        self.advance()
        mine = [
            status
            for status in self.statuses.values()
            if status.account == name
            and (viewer == name or status.visibility in ("public", "unlisted"))
            and not (call.flag("exclude_replies") and status.reply_to)
            and not (call.flag("only_media") and not status.media)
            and self.listed(status.created)
        ]
        mine.sort(key=lambda status: int(status.id), reverse=True)
        return self._paged(call, [self.shape(status, call.base) for status in mine])

    def _paged(self, call: Call, items: list[dict[str, Any]]) -> Answer:
        """Return a page by ``max_id``, ``since_id``, ``min_id`` and ``limit``, with the Link header."""
        if not all(whole(call.text(name) or "0") for name in ("limit", "max_id", "min_id", "since_id")):
            raise _refused(400, "limit and ids are numbers")
        limit = min(int(call.text("limit") or 20), 40)
        if highest := call.text("max_id"):
            items = [item for item in items if int(item["id"]) < int(highest)]
        if lowest := call.text("min_id"):  # the oldest ones above it
            items = [item for item in items if int(item["id"]) > int(lowest)][-limit:]
        if since := call.text("since_id"):
            items = [item for item in items if int(item["id"]) > int(since)]
        items = items[:limit]
        address = f"{call.base}{call.path}"
        links = (
            f'<{address}?max_id={items[-1]["id"]}>; rel="next", <{address}?min_id={items[0]["id"]}>; rel="prev"'
            if items
            else ""
        )
        return Answer(content=items, headers={"Link": links} if links else {})

    # --- media (mastodon.md 4)

    def upload(self, call: Call) -> Answer:
        account = self._person(call, "write:media")
        self._count(call, account, "media", MEDIA_LIMIT, MEDIA_SECONDS)
        file = call.files.get("file")
        if file is None:
            raise _refused(422, "Validation failed: File can't be blank")
        kind = _kind(file)
        _check_description(call)
        now = self.sandbox.clock.now()
        processing = self.process(PROCESSING_SECONDS[kind])
        ready = NEVER if processing.result == "stuck" else now + timedelta(seconds=processing.seconds)
        if call.path.endswith("/v1/media"):  # the older upload answers when everything is done
            ready = now
        broken = processing.result == "failed" or b"corrupt" in file.content
        media = Media(self.new_id(), account, kind, call.text("description"), ready, now, broken)
        media.focus, media.file = call.text("focus"), digest(file.content)
        self.media[media.id] = media
        done = media.ready <= now
        if media.broken and done:
            raise _refused(422, "Validation failed: File could not be processed")
        return Answer(200 if done else 202, self._media(media, call.base))

    def show_media(self, call: Call) -> Answer:
        media = self._own_media(call)
        if media.ready > self.sandbox.clock.now():
            return Answer(206, self._media(media, call.base))
        if media.broken:
            raise _refused(422, "Error processing thumbnail for uploaded media")
        return Answer(content=self._media(media, call.base))

    def describe_media(self, call: Call) -> Answer:
        media = self._own_media(call)
        _check_description(call)
        media.description = call.text("description") or media.description
        media.focus = call.text("focus") or media.focus
        return Answer(content=self._media(media, call.base))

    def delete_media(self, call: Call) -> Answer:
        del self.media[self._own_media(call).id]
        return Answer()

    def _own_media(self, call: Call) -> Media:
        """Return one's own unattached medium: anything else, and one that was collected, is not found."""
        account = self._person(call, "write:media")
        media = self.media.get(call.parts["id"])
        if media is None or media.account != account or media.status is not None or self._collected(media):
            raise _refused(404, "Record not found")
        return media

    def _collected(self, media: Media) -> bool:
        return media.status is None and self.sandbox.clock.now() - media.created > MEDIA_LIFE

    # --- statuses (mastodon.md 5)

    def post(self, call: Call) -> Answer:
        account = self._person(call, "write:statuses")
        self.advance()
        key = call.headers.get("idempotency-key")
        known = self._keys.get((account, key)) if key and self.variant("idempotency") != "ignored" else None
        if known is not None and known[0] > self.sandbox.clock.now():
            if self.variant("idempotency") == "server_error":
                raise _refused(500, "We're sorry, but something went wrong on our end.")
            return self._shown(known[1], call.base)
        params = self._checked(call, account)
        if not call.text("scheduled_at"):
            self._count_status(call, account)
        when = call.text("scheduled_at")
        made = self._schedule(account, params, when) if when else self._publish(account, params)
        if key and self.variant("idempotency") != "ignored":
            self._keys[account, key] = (self.sandbox.clock.now() + IDEMPOTENCY, made)
        return self._shown(made, call.base)

    def _shown(self, number: str, base: str) -> Answer:
        if number in self.scheduled:
            return Answer(content=self._one_scheduled(number, base))
        if number not in self.statuses:  # deleted, or fired, meanwhile
            raise _refused(404, "Record not found")
        return Answer(content=self.shape(self.statuses[number], base))

    def _checked(self, call: Call, account: str) -> dict[str, Any]:
        text, spoiler = call.text("status") or "", call.text("spoiler_text") or ""
        ids = call.many("media_ids")
        poll = self._poll_of(call)
        if not text and not ids:
            raise _refused(422, "Validation failed: Text can't be blank")
        if length(text) + length(spoiler) > CHARACTERS:
            raise _refused(422, f"Validation failed: Text character limit of {CHARACTERS} exceeded")
        visibility = call.text("visibility") or "public"
        if visibility not in ("public", "unlisted", "private", "direct"):
            raise _refused(422, "Validation failed: Visibility is not included in the list")
        if poll and ids:
            raise _refused(422, "Validation failed: Polls cannot be attached to a status with media")
        quoted, policy = call.text("quoted_status_id"), call.text("quote_approval_policy")
        if quoted and (quoted not in self.statuses or self.statuses[quoted].visibility == "direct"):
            raise _refused(404, "Record not found")
        if quoted and self.statuses[quoted].quote_policy == "nobody" and self.statuses[quoted].account != account:
            raise _refused(403, "This action is not allowed")
        _check_policy(policy)
        self._check_media(ids, account)
        reply = call.text("in_reply_to_id")
        if reply and (reply not in self.statuses or not self.answerable(self.statuses[reply].created)):
            raise _refused(404, "The post you are trying to reply to does not appear to exist.")
        return {
            "text": text,
            "spoiler": spoiler,
            "media": ids,
            "poll": self._poll(call, poll) if poll else None,
            "visibility": visibility,
            "reply_to": reply,
            "language": call.text("language"),
            "sensitive": call.flag("sensitive") or bool(spoiler),
            "quoted": quoted,
            "quote_policy": _policy(visibility, policy),
        }

    def _poll_of(self, call: Call) -> Any:
        """Return the poll as it was sent, as JSON or in form fields; None without one."""
        options = call.many("poll[options]")
        return call.fields.get("poll") or ({"options": options} if options else None)

    def _poll(self, call: Call, poll: Any) -> dict[str, Any]:
        """Return the poll as a status shows it. Raises 422 for one that breaks the limits of the instance."""
        given = poll if isinstance(poll, dict) else {}
        options = given.get("options")
        seconds = str(given.get("expires_in") or call.text("poll[expires_in]") or "")
        if not isinstance(options, list) or not 2 <= len(options) <= POLL_OPTIONS:
            raise _refused(422, f"Validation failed: Options must have 2 to {POLL_OPTIONS} items")
        if any(not 0 < len(str(option)) <= POLL_CHARACTERS for option in options):
            raise _refused(422, f"Validation failed: Options can't be longer than {POLL_CHARACTERS} characters each")
        if not whole(seconds) or not POLL_SECONDS[0] <= int(seconds) <= POLL_SECONDS[1]:
            raise _refused(422, "Validation failed: Expires at is too soon or too far into the future")
        return {
            "id": self.new_id(),
            "expires_at": _when(self.sandbox.clock.in_(seconds=int(seconds))),
            "expired": False,
            "multiple": str(given.get("multiple", call.query.get("poll[multiple]", ""))).lower() in ("true", "1"),
            "votes_count": 0,
            "options": [{"title": str(option), "votes_count": 0} for option in options],
            "emojis": [],
        }

    def _check_media(self, ids: list[str], account: str, status: str | None = None) -> None:
        if len(ids) > ATTACHMENTS:
            raise _refused(422, f"Cannot attach more than {ATTACHMENTS} files")
        found = [self.media.get(number) for number in ids]
        for media in found:
            if (
                media is None
                or media.account != account
                or media.status not in (None, status)
                or self._collected(media)
            ):
                raise _refused(422, "Validation failed: Media could not be found")
            if media.broken or media.ready > self.sandbox.clock.now():
                raise _refused(422, "Cannot attach files that have not finished processing. Try again in a moment!")
        if len(ids) > 1 and any(media is not None and media.kind != "image" for media in found):
            raise _refused(422, "Cannot attach a video to a post that already contains images")

    def _publish(self, account: str, params: dict[str, Any]) -> str:
        status = Status(self.new_id(), account, created=self.sandbox.clock.now(), **params)
        self.statuses[status.id] = status
        for number in status.media:
            self.media[number].status = status.id
        attached = [self.media[number] for number in status.media]
        files = [media.file | {"alt_text": media.description} for media in attached]
        shown = ("visibility", "spoiler", "sensitive", "language", "poll", "quoted", "quote_policy")
        about = {"reply_to": status.reply_to, "files": files, "options": {name: params[name] for name in shown}}
        self.record("post", account=account, id=status.id, text=status.text, media=list(status.media), **about)
        self.tell_of(status)
        return status.id

    def next_due(self) -> float | None:
        return min((due.timestamp() for due, *_ in self.scheduled.values()), default=None)

    def _schedule(self, account: str, params: dict[str, Any], when: str) -> str:
        now = self.sandbox.clock.now()
        moment = _moment(when)
        if moment is None or moment < now + SCHEDULE_AHEAD:
            raise _refused(422, "Validation failed: Scheduled at The scheduled date must be in the future")
        mine = [due for due, owner, _, _ in self.scheduled.values() if owner == account]
        if len(mine) >= SCHEDULED_TOTAL or sum(d.date() == moment.date() for d in mine) >= SCHEDULED_DAILY:
            raise _refused(422, "Validation failed: You have exceeded the limit of scheduled posts")
        number = self.new_id()
        self.scheduled[number] = (moment, account, params, now)
        return number

    def advance(self) -> None:
        """Publish scheduled statuses that are due; each gets another id."""
        for number, (due, account, params, _) in sorted(self.scheduled.items(), key=lambda item: item[1][0]):
            if due <= self.sandbox.clock.now():
                del self.scheduled[number]
                self._publish(account, params)

    def show(self, call: Call) -> Answer:
        return Answer(content=self.shape(self._visible(call), call.base))

    def show_many(self, call: Call) -> Answer:
        if call.bearer:
            self._token(call, "read:statuses")
        found = [self.statuses[number] for number in call.many("id") if number in self.statuses]
        return Answer(content=[self.shape(status, call.base) for status in found])

    def context(self, call: Call) -> Answer:
        status = self._visible(call)
        above: list[Status] = []
        while (parent := self.statuses.get((above[0] if above else status).reply_to or "")) is not None:
            above.insert(0, parent)
        below: list[Status] = []
        for other in sorted(self.statuses.values(), key=lambda s: int(s.id)):
            if other.reply_to in {status.id, *(found.id for found in below)}:
                below.append(other)
        shown = [[self.shape(item, call.base) for item in side] for side in (above, below)]
        return Answer(content={"ancestors": shown[0], "descendants": shown[1]})

    def edit(self, call: Call) -> Answer:
        """Change text, warning, language, media and poll; visibility, parent and quote stay (``mastodon.md`` 5)."""
        status = self._own_status(call)
        text, spoiler, ids = call.text("status") or "", call.text("spoiler_text") or "", call.many("media_ids")
        if not text and not ids:
            raise _refused(422, "Validation failed: Text can't be blank")
        if length(text) + length(spoiler) > CHARACTERS:
            raise _refused(422, f"Validation failed: Text character limit of {CHARACTERS} exceeded")
        self._check_media(ids, status.account, status.id)
        attributes = call.fields.get("media_attributes") or []
        for changed in attributes if isinstance(attributes, list) else [attributes]:
            media = self.media.get(str(changed.get("id"))) if isinstance(changed, dict) else None
            if media is None or media.status != status.id:
                raise _refused(422, "Validation failed: Media could not be found")
            media.description = changed.get("description", media.description)
            media.focus = changed.get("focus", media.focus)
        for number in status.media:
            self.media[number].status = None if number not in ids else status.id
        for number in ids:
            self.media[number].status = status.id
        status.versions.append(self._version(status, call.base))
        status.text, status.spoiler, status.media = text, spoiler, ids
        status.sensitive = call.flag("sensitive") or bool(spoiler)
        status.language = call.text("language") or status.language
        if poll := self._poll_of(call):
            changed = self._poll(call, poll)
            kept = status.poll is not None and _question(changed) == _question(status.poll)
            status.poll = changed | {name: status.poll[name] for name in VOTES} if kept and status.poll else changed
        if (policy := call.text("quote_approval_policy")) is not None:
            _check_policy(policy)
            status.quote_policy = _policy(status.visibility, policy)
        status.edited = self.sandbox.clock.now()
        self.changed("edit", status.account, status.id)
        self.announce("status.updated", status.account, self.shape(status, ADDRESS))
        return Answer(content=self.shape(status, call.base))

    def set_policy(self, call: Call) -> Answer:
        """Change who may quote a status; past quotes stay (``mastodon.md`` 5.1)."""
        status = self._own_status(call)
        policy = call.text("quote_approval_policy")
        if policy is None:
            raise _refused(422, "Validation failed: Quote approval policy can't be blank")
        _check_policy(policy)
        status.quote_policy = _policy(status.visibility, policy)
        self.changed("edit", status.account, status.id)
        return Answer(content=self.shape(status, call.base))

    def _version(self, status: Status, base: str) -> dict[str, Any]:
        shown = self.shape(status, base)
        names = ("content", "spoiler_text", "sensitive", "media_attachments", "poll", "account")
        return {name: shown[name] for name in names} | {"created_at": _when(status.edited or status.created)}

    def history(self, call: Call) -> Answer:
        """List all versions, oldest first."""
        status = self._visible(call)
        return Answer(content=[*status.versions, self._version(status, call.base)])

    def source(self, call: Call) -> Answer:
        """Return the text as it was written, for editing."""
        status = self._visible(call)
        return Answer(content={"id": status.id, "text": status.text, "spoiler_text": status.spoiler})

    def delete(self, call: Call) -> Answer:
        status = self._own_status(call)
        self._count(call, status.account, "delete", DELETE_LIMIT, MEDIA_SECONDS)
        shown = self.shape(status, call.base) | {"text": status.text}
        del self.statuses[status.id]
        self.changed("delete", status.account, status.id)
        for number in status.media:  # kept about a day for another draft, unless they are to go too
            if call.flag("delete_media"):
                self.media.pop(number, None)
            elif number in self.media:
                self.media[number].status, self.media[number].created = None, self.sandbox.clock.now()
        return Answer(content=shown)

    def _visible(self, call: Call) -> Status:
        viewer = self._token(call, "read:statuses").account if call.bearer else None
        self.advance()
        status = self.statuses.get(call.parts["id"])
        hidden = status is not None and status.visibility in ("private", "direct") and status.account != viewer
        if status is None or hidden:
            raise _refused(404, "Record not found")
        return status

    def _own_status(self, call: Call) -> Status:
        account = self._person(call, "write:statuses")
        status = self.statuses.get(call.parts["id"])
        if status is None or status.account != account:
            raise _refused(404, "Record not found")
        return status

    def show_notifications(self, call: Call) -> Answer:
        account = self._person(call, "read:notifications")
        mine = [found for found in reversed(self.notifications.values()) if self._tells(found, account)]
        return self._paged(call, [self._notification(found, call.base) for found in mine])

    def show_notification(self, call: Call) -> Answer:
        account = self._person(call, "read:notifications")
        found = self.notifications.get(call.parts["id"])
        if found is None or not self._tells(found, account):
            raise _refused(404, "Record not found")
        return Answer(content=self._notification(found, call.base))

    def _tells(self, found: Notification, account: str) -> bool:
        """Whether it is there for this account: a mention goes with its status (inferred)."""
        return found.account == account and found.status in self.statuses

    def _notification(self, found: Notification, base: str) -> dict[str, Any]:
        return {
            "id": found.id,
            "type": "mention",
            "created_at": _when(found.created),
            "account": self.shape_account(found.by, base),
            "status": self.shape(self.statuses[found.status], base),
        }

    def simulate_revoke(self, account: str) -> int:
        lived = [token for token in self.tokens.values() if token.account == account and not token.revoked]
        for token in lived:
            self._end(token)
        return len(lived)

    def show_scheduled(self, call: Call) -> Answer:
        account = self._person(call, "read:statuses")
        self.advance()
        mine = [number for number, (_, owner, _, _) in self.scheduled.items() if owner == account]
        return self._paged(call, [self._one_scheduled(number, call.base) for number in reversed(mine)])

    def show_one_scheduled(self, call: Call) -> Answer:
        return Answer(content=self._one_scheduled(self._own_scheduled(call, "read:statuses"), call.base))

    def reschedule(self, call: Call) -> Answer:
        number = self._own_scheduled(call, "write:statuses")
        moment = _moment(call.text("scheduled_at") or "")
        if moment is None or moment < self.sandbox.clock.now() + SCHEDULE_AHEAD:
            raise _refused(422, "Validation failed: Scheduled at The scheduled date must be in the future")
        _, *rest = self.scheduled[number]
        self.scheduled[number] = (moment, *rest)  # type: ignore[assignment]
        return Answer(content=self._one_scheduled(number, call.base))

    def cancel(self, call: Call) -> Answer:
        del self.scheduled[self._own_scheduled(call, "write:statuses")]
        return Answer()

    def _own_scheduled(self, call: Call, scope: str) -> str:
        account = self._person(call, scope)
        self.advance()
        number = call.parts["id"]
        if number not in self.scheduled or self.scheduled[number][1] != account:
            raise _refused(404, "Record not found")
        return number

    def error_answers(self) -> Mapping[str, Answer]:
        """Return the answers of ``mastodon.md`` 4, 5, 6 and 9."""
        reset = self.sandbox.clock.in_(seconds=RATE_SECONDS)
        unfinished = "Cannot attach files that have not finished processing. Try again in a moment!"
        return {
            "token_invalid": _error(401, "The access token is invalid"),
            "outside_scopes": _error(403, "This action is outside the authorized scopes"),
            "record_missing": _error(404, "Record not found"),
            "parent_missing": _error(404, "The post you are trying to reply to does not appear to exist."),
            "unprocessable": _error(422, "Validation failed"),
            "media_unfinished": _error(422, unfinished),
            "media_failed": _error(422, "Error processing thumbnail for uploaded media"),
            "too_many_requests": Answer(429, {"error": "Too many requests"}, Limit(RATE_LIMIT, 0, reset).headers()),
            "server_error": _error(500, "We're sorry, but something went wrong on our end."),
            "unavailable": _error(503, "Remote data could not be fetched"),
            "gateway_timeout": Answer(504, "<html><body><h1>504 Gateway Time-out</h1></body></html>"),
        }

    # --- shapes

    def shape_account(self, name: str, base: str) -> dict[str, Any]:
        url = f"{base}/@{name}"
        mine = [status for status in self.statuses.values() if status.account == name]
        return {
            "id": self.accounts.get(name) or self.fans[name],
            "username": name,
            "acct": name,
            "display_name": name.title(),
            "url": url,
            "uri": url,
            "statuses_count": len(mine),
            "bot": False,
            "locked": False,
        }

    def shape(self, status: Status, base: str) -> dict[str, Any]:
        url = f"{base}/@{status.account}/{status.id}"
        replies = [other for other in self.statuses.values() if other.reply_to == status.id]
        quoted = self.statuses.get(status.quoted or "")
        content = _html(status.text, base)
        quote = None
        if status.quoted is not None:
            link = f"{base}/@{quoted.account}/{quoted.id}" if quoted else ""
            content = f'<p class="quote-inline">RE: <a href="{link}">{link}</a></p>{content}'
            quote = {"state": "accepted" if quoted else "deleted", "quoted_status_id": quoted.id if quoted else None}
        automatic = {"public": ["public"], "followers": ["followers"], "nobody": []}[status.quote_policy]
        return {
            "id": status.id,
            "uri": url,
            "url": url,
            "created_at": _when(status.created),
            "edited_at": None if status.edited is None else _when(status.edited),
            "visibility": status.visibility,
            "content": content,
            "spoiler_text": status.spoiler,
            "sensitive": status.sensitive,
            "quote": quote,
            "quote_approval": {"automatic": automatic, "manual": [], "current_user": "automatic"},
            "language": status.language,
            "in_reply_to_id": status.reply_to,
            "account": self.shape_account(status.account, base),
            "media_attachments": [self._media(self.media[n], base) for n in status.media if n in self.media],
            "poll": status.poll,
            "replies_count": len(replies),
            "reblogs_count": 0,
            "favourites_count": 0,
        }

    def _one_scheduled(self, number: str, base: str) -> dict[str, Any]:
        due, _, params, _ = self.scheduled[number]
        attached = [self._media(self.media[item], base) for item in params["media"]]
        shown = {"text": params["text"], "media_ids": params["media"], "visibility": params["visibility"]}
        return {"id": number, "scheduled_at": _when(due), "params": shown, "media_attachments": attached}

    def _media(self, media: Media, base: str) -> dict[str, Any]:
        done = media.ready <= self.sandbox.clock.now()
        url = f"{base}/media/{media.id}" if done else None
        return {
            "id": media.id,
            "type": media.kind,
            "url": url,
            "preview_url": url,
            "description": media.description,
            "meta": {} if media.focus is None else {"focus": _focus(media.focus)},
        }

    def new_id(self) -> str:
        """Return a new time-based id (``mastodon.md`` 8)."""
        self._last = max(self._last + 1, int(self.sandbox.clock.seconds() * 1000) << 16)
        return str(self._last)


PLATFORM = Mastodon


def length(text: str) -> int:
    """Return the length that Mastodon counts: URLs are 23, remote mentions count without their domain."""
    return len(_REMOTE.sub(r"\1", _URL.sub("x" * URL_CHARACTERS, text)))


def _check_policy(policy: str | None) -> None:
    if policy and policy not in QUOTE_POLICIES:
        raise _refused(422, "Validation failed: Quote approval policy is not included in the list")


def _policy(visibility: str, policy: str | None) -> str:
    """Return who may quote; nobody what is not public (``mastodon.md`` 5.1)."""
    return "nobody" if visibility in ("private", "direct") else policy or "public"


def _question(poll: Mapping[str, Any]) -> Any:
    """Return what of a poll cannot change without losing its votes (``mastodon.md`` 5)."""
    return poll["multiple"], [option["title"] for option in poll["options"]]


def _html(text: str, base: str) -> str:
    """Return a text as statuses show it: paragraphs, line breaks, and links of addresses and hashtags."""
    if not text:
        return ""
    parts = re.split(r"(https?://\S+|(?<!\w)#\w+)", text)
    shown = "".join(_linked(part, base) if number % 2 else html.escape(part) for number, part in enumerate(parts))
    paragraphs = [part.replace("\n", "<br />") for part in re.split(r"\n{2,}", shown)]
    return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)


def _linked(part: str, base: str) -> str:
    if part.startswith("#"):
        link = f"{base}/tags/{part[1:].lower()}"
        return f'<a href="{link}" class="mention hashtag" rel="tag">#<span>{html.escape(part[1:])}</span></a>'
    scheme, shown = part.split("//", 1)
    rest = html.escape(shown[SHOWN_ADDRESS:])
    cut = ' class="ellipsis"' if rest else ""
    return (
        f'<a href="{html.escape(part)}" rel="nofollow noopener"><span class="invisible">{scheme}//</span>'
        f'<span{cut}>{html.escape(shown[:SHOWN_ADDRESS])}</span><span class="invisible">{rest}</span></a>'
    )


def _covers(granted: Sequence[str], scope: str) -> bool:
    """Return whether the scopes include this one, as ``write`` includes ``write:statuses``."""
    return scope in granted or scope.partition(":")[0] in granted


def _check_description(call: Call) -> None:
    if len(call.text("description") or "") > DESCRIPTION:
        raise _refused(422, f"Validation failed: Description is too long (maximum is {DESCRIPTION} characters)")


def _focus(text: str) -> dict[str, float]:
    """Parse ``x,y``, each from -1 to 1; anything else is the middle."""
    try:
        x, y = (min(1.0, max(-1.0, float(part))) for part in text.split(","))
    except ValueError:
        return {"x": 0.0, "y": 0.0}
    return {"x": x, "y": y}


def _kind(file: Upload) -> str:
    """Raises a 422 for what is not taken."""
    if file.content_type not in TYPES:
        raise _refused(422, "Validation failed: File content type is invalid")
    kind = file.content_type.partition("/")[0]
    if len(file.content) > (IMAGE_BYTES if kind == "image" else VIDEO_BYTES):
        raise _refused(422, "Validation failed: File is too large")
    return kind


def _app(app: App) -> dict[str, Any]:
    return {
        "id": app.id,
        "name": app.name,
        "website": app.website,
        "scopes": app.scopes,
        "redirect_uris": app.redirect_uris,
        "redirect_uri": "\n".join(app.redirect_uris),
        "client_secret_expires_at": 0,
    }


def _when(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None


def _error(status: int, error: str, description: str | None = None) -> Answer:
    return Answer(status, {"error": error} | ({"error_description": description} if description else {}))


def _refused(status: int, error: str, description: str | None = None) -> Refusal:
    return Refusal(_error(status, error, description))
