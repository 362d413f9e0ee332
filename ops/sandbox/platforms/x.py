"""X, API v2: contract ``x.md``. There is one confidential application."""

import base64
import hashlib
import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from ops.sandbox import consent, pkce
from ops.sandbox.contract import Answer, Call, Processing, Refusal, Route, Sandbox, digest, redirect, whole
from ops.sandbox.pkce import Challenge
from ops.sandbox.x_length import LIMIT as CHARACTERS
from ops.sandbox.x_length import urls, valid, weighted
from ops.sandbox.x_webhooks import Post, XWebhooks

CLIENT_ID, CLIENT_SECRET = "sandbox-x-client", "sandbox-x-secret"
CODE_SECONDS, ACCESS_SECONDS = 30, 7200
STATE_LIMIT = 500
SCOPES = (
    *("tweet.read", "tweet.write", "users.read", "media.write", "offline.access", "tweet.moderate.write"),
    *("like.read", "mute.read", "block.read", "dm.read", "follows.read"),
)
POSTING = ("tweet.read", "tweet.write", "users.read")

ALT_CHARACTERS = 1000
TWEET_KEYS = {
    *("text", "media", "reply", "quote_tweet_id", "poll", "reply_settings", "made_with_ai", "paid_partnership"),
    *("edit_options", "community_id", "share_with_followers", "card_uri", "direct_message_deep_link"),
    *("for_super_followers_only", "geo", "nullcast"),
}
NESTED_KEYS = {
    "media": {
        *("media_ids", "tagged_user_ids", "title", "description", "embeddable", "preview_media_id", "call_to_actions"),
    },
    "reply": {"in_reply_to_tweet_id", "exclude_reply_user_ids", "auto_populate_reply_metadata"},
    "poll": {"options", "duration_minutes", "reply_settings"},
    "geo": {"place_id"},
    "edit_options": {"previous_post_id"},
}
"""No other keys are taken (``x.md`` 4)."""

REPLY_SETTINGS = ("following", "mentionedUsers", "subscribers", "verified")
TAGGED = 10
TIMELINE, MENTIONS = 3200, 800
"""How many of the newest posts a timeline and the mentions list (``x.md`` 13)."""

USUAL_FIELDS = ("id", "text", "edit_history_tweet_ids")
LIMITS = {
    "POST /2/tweets": (100, 900),
    "DELETE /2/tweets/{id}": (50, 900),
    "GET /2/tweets": (5000, 900),
    "GET /2/users/{id}/tweets": (900, 900),
    "GET /2/users/me": (75, 900),
    "GET /2/users/{id}/mentions": (300, 900),
    "GET /2/tweets/search/recent": (300, 900),
    "GET /2/tweets/{id}": (900, 900),
    "PUT /2/tweets/{id}/hidden": (50, 900),
    "initialize": (1875, 900),
    "append": (1875, 900),
    "finalize": (1875, 900),
    "POST /2/media/upload": (500, 900),
    "GET /2/media/upload": (1000, 900),
}
"""Per user: calls, seconds (``x.md`` 6)."""

SEGMENTS, SEGMENT_BYTES = 1000, 5 * 2**20 - 1
CATEGORIES = {
    "tweet_image": ("image/", 5 * 2**20),
    "tweet_gif": ("image/gif", 15 * 2**20),
    "tweet_video": ("video/", 512 * 2**20),
    "amplify_video": ("video/", 512 * 2**20),
    "subtitles": ("text/", 512 * 2**10),
}
ONE_SHOT = ("tweet_image", "tweet_gif", "subtitles")
PENDING_SECONDS, PROCESSING_SECONDS = 2.0, 15.0
UPLOAD_SECONDS, MEDIA_SECONDS = 15 * 86400, 86400

_ID = re.compile(r"[0-9]{1,19}")


@dataclass
class Code:
    account: str
    scopes: list[str]
    redirect_uri: str
    challenge: Challenge | None
    expires: datetime
    used: bool = False


@dataclass
class Grant:
    """A consent. Its refresh tokens rotate; reuse of an old one ends them all (reported, ``x.md`` 9.2)."""

    account: str
    scopes: list[str]
    ended: bool = False


@dataclass
class Access:
    grant: Grant
    expires: datetime
    entry: dict[str, Any]
    revoked: bool = False


@dataclass
class Refresh:
    grant: Grant
    entry: dict[str, Any]
    used: bool = False


@dataclass
class Media:
    id: str
    account: str
    kind: str
    category: str
    total: int
    expires: datetime
    segments: dict[int, bytes] = field(default_factory=dict)
    finished: datetime | None = None
    alt_text: str | None = None
    subtitles: list[dict[str, Any]] = field(default_factory=list)
    processing: Processing | None = None

    @property
    def key(self) -> str:
        """Known before the post, and in its ``attachments`` (``x.md`` 5, 12)."""
        return f"{3 if self.category == 'tweet_image' else 7}_{self.id}"

    @property
    def content(self) -> bytes:
        return b"".join(self.segments[index] for index in sorted(self.segments))

    @property
    def size(self) -> int:
        return sum(map(len, self.segments.values()))

    @property
    def broken(self) -> bool:
        asked = self.processing is not None and self.processing.result == "failed"
        return asked or any(b"corrupt" in segment for segment in self.segments.values())


class X(XWebhooks):
    name = "x"
    title = "X"
    unreported: ClassVar[Mapping[str, str]] = {  # x.md 3
        "delete_comment": "X sends nothing for a reply that somebody else deleted.",
        "change": "X sends nothing for a like that is taken back or a reply that is hidden; an edit is a new post.",
    }
    # No page says what a refresh token that is over is answered with: the first was seen, the second is RFC 6749's.
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        **XWebhooks.variants,
        "refused_refresh": ("invalid_request", "invalid_grant"),
        # Whether a reply to one's own post passes the rule of 2026-02-23 (x.md 4: unconfirmed).
        "self_reply": ("allowed", "refused"),
        # Whether a deleted post still makes an exact repeat a duplicate (x.md 4: unconfirmed, reported).
        "duplicate_of": ("present", "deleted_too"),
    }

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self._last = 0
        self.accounts = {"alice": self.new_id(), "bob": self.new_id(), "shop": self.new_id()}
        self.codes: dict[str, Code] = {}
        self.access: dict[str, Access] = {}
        self.refresh: dict[str, Refresh] = {}
        self.media: dict[str, Media] = {}
        self.posts: dict[str, Post] = {}
        self._made: set[tuple[str, str, tuple[str, ...]]] = set()
        """Account, text and media of every post that the application made, those that were deleted too."""
        self._calls: dict[tuple[str, str], list[float]] = {}

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/i/oauth2/authorize", self.ask),
            Route("POST", "/i/oauth2/authorize", self.decide),
            Route("POST", "/2/oauth2/token", self.token),
            Route("POST", "/2/oauth2/revoke", self.revoke),
            Route("GET", "/2/users/me", self.me),
            Route("GET", "/2/users/{id}/tweets", self.user_posts),
            Route("POST", "/2/tweets", self.post),
            Route("GET", "/2/tweets", self.show_many),
            Route("DELETE", "/2/tweets/{id}", self.delete),
            Route("POST", "/2/media/upload", self.upload),
            Route("GET", "/2/media/upload", self.media_status),
            Route("POST", "/2/media/upload/initialize", self.initialize),
            Route("POST", "/2/media/upload/{id}/append", self.append),
            Route("POST", "/2/media/upload/{id}/finalize", self.finalize),
            Route("POST", "/2/media/metadata", self.describe),
            Route("GET", "/2/users/{id}/mentions", self.mentions),
            Route("GET", "/2/tweets/search/recent", self.search),
            Route("PUT", "/2/tweets/{id}/hidden", self.hide),
            Route("POST", "/2/media/subtitles", self.add_subtitles),
            Route("GET", "/2/tweets/{id}", self.show),
            *self.webhook_routes(),
        )

    def application(self) -> tuple[str, str]:
        return CLIENT_ID, CLIENT_SECRET

    def unknown(self, call: Call) -> Answer:
        return _problem(404, "resource-not-found", "Not Found Error", f"{call.path} is no resource")

    def account_of(self, call: Call) -> str | None:
        token = self.access.get(call.bearer or "")
        return None if token is None else token.grant.account

    # --- OAuth 2.0 with PKCE (x.md 1)

    def ask(self, call: Call) -> Answer:
        self._check_question(call)
        names = ("client_id", "redirect_uri", "state", "response_type", *pkce.FIELDS)
        hidden = {name: value for name in names if (value := call.text(name))}
        scopes = (call.text("scope") or "").split()
        return consent.page("X", "the application", list(self.accounts), scopes, hidden)

    def decide(self, call: Call) -> Answer:
        self._check_question(call)
        back, address = {"state": call.text("state") or ""}, call.text("redirect_uri") or ""
        account, granted = call.text("account") or "", call.many("granted")
        if call.text("decision") != "approve" or account not in self.accounts or not granted:
            return redirect(address, {"error": "access_denied"} | back)
        code = self.sandbox.secret()
        self.codes[code] = Code(
            account,
            granted,
            address,
            pkce.challenge_of(call),
            self.sandbox.clock.in_(seconds=CODE_SECONDS),
        )
        return redirect(address, back | {"code": code})

    def _check_question(self, call: Call) -> None:
        scopes = (call.text("scope") or "").split()
        if call.text("client_id") != CLIENT_ID or call.text("redirect_uri") not in self.redirect_uris:
            raise _oauth(400, "invalid_request", "Value passed for the redirect uri or client id did not match.")
        if call.text("response_type") != "code" or len(call.text("state") or "") not in range(1, STATE_LIMIT + 1):
            raise _oauth(400, "invalid_request", "response_type must be code, and state is missing or too long.")
        # Exactly so: a lower-case s256 is not taken (x.md 9.7).
        if not call.text("code_challenge") or call.text("code_challenge_method") not in (None, "plain", "S256"):
            raise _oauth(400, "invalid_request", "code_challenge is missing, or its method is neither S256 nor plain.")
        if call.method == "GET" and (not scopes or not set(scopes) <= set(SCOPES)):
            raise _oauth(400, "invalid_scope", "A scope is unknown.")

    def token(self, call: Call) -> Answer:
        self._check_client(call)
        if call.text("grant_type") == "authorization_code":
            return self._exchange(call)
        if call.text("grant_type") == "refresh_token":
            return self._refresh(call)
        raise _oauth(400, "invalid_request", "Value passed for the grant type is not supported.")

    def _check_client(self, call: Call) -> None:
        """Check the client's credentials in the header, also for a refresh (``x.md`` 9.3)."""
        if call.basic != (CLIENT_ID, CLIENT_SECRET):
            raise _oauth(401, "unauthorized_client", "Missing valid authorization header")

    def _exchange(self, call: Call) -> Answer:
        code = self.codes.get(call.text("code") or "")
        if (
            code is None
            or code.used
            or code.expires < self.sandbox.clock.now()
            or code.redirect_uri != call.text("redirect_uri")
            or not pkce.proven(code.challenge, call)
        ):
            raise _oauth(400, "invalid_request", "Value passed for the authorization code was invalid.")
        code.used = True
        return self._issue(Grant(code.account, code.scopes))

    def _refresh(self, call: Call) -> Answer:
        old = self.refresh.get(call.text("refresh_token") or "")
        if old is None or old.grant.ended or old.used:
            if old is not None and old.used:
                self._end(old.grant, "family ended: a used refresh token came again")
            raise _oauth(400, self.variant("refused_refresh"), "Value passed for the token was invalid.")
        old.used = True
        old.entry["state"] = "rotated"
        return self._issue(old.grant)

    def _issue(self, grant: Grant) -> Answer:
        access, scope = self.sandbox.secret(), " ".join(grant.scopes)
        entry = self.record("token", account=grant.account, use="access", scope=scope, state="live")
        self.access[access] = Access(grant, self.sandbox.clock.in_(seconds=ACCESS_SECONDS), entry)
        answer = {"token_type": "bearer", "expires_in": ACCESS_SECONDS, "access_token": access, "scope": scope}
        if "offline.access" in grant.scopes:
            refresh = self.sandbox.secret()
            entry = self.record("token", account=grant.account, use="refresh", scope=scope, state="live")
            self.refresh[refresh] = Refresh(grant, entry)
            answer["refresh_token"] = refresh
        return Answer(content=answer)

    def revoke(self, call: Call) -> Answer:
        self._check_client(call)
        token = call.text("token") or ""
        if token in self.access:
            self.access[token].revoked = True
            self.access[token].entry["state"] = "revoked"
        elif token in self.refresh:
            self._end(self.refresh[token].grant, "revoked")
        return Answer(content={"revoked": True})

    def _end(self, grant: Grant, state: str) -> None:
        grant.ended = True
        tokens: list[Access | Refresh] = [*self.access.values(), *self.refresh.values()]
        for token in tokens:
            if token.grant is grant and token.entry["state"] == "live":
                token.entry["state"] = state

    def _person(self, call: Call, limit: str, *scopes: str) -> tuple[str, dict[str, str]]:
        """Return the account of the token and the rate limit headers (``x.md`` 6). Raises 401, 403 or 429."""
        token = self.access.get(call.bearer or "")
        if token is None or token.revoked or token.grant.ended or token.expires < self.sandbox.clock.now():
            raise Refusal(_problem(401, None, "Unauthorized", "Unauthorized"))
        if not set(scopes) <= set(token.grant.scopes):
            missing = "Your client app is not permitted to perform this action: a scope is missing."
            raise Refusal(_problem(403, "client-forbidden", "Forbidden", missing))
        return token.grant.account, self._counted(token.grant.account, limit)

    def scopes_of(self, call: Call) -> tuple[str, list[str]] | None:
        token = self.access.get(call.bearer or "")
        if token is None or token.revoked or token.grant.ended or token.expires < self.sandbox.clock.now():
            return None
        return token.grant.account, token.grant.scopes

    def simulate_revoke(self, account: str) -> int:
        """End all tokens of an account, as in X's settings. Return the number that were live."""
        lived = 0
        tokens: list[Access | Refresh] = [*self.access.values(), *self.refresh.values()]
        for token in tokens:
            if token.grant.account == account and token.entry["state"] == "live":
                token.grant.ended, token.entry["state"] = True, "revoked by the person"
                lived += 1
        now = self.sandbox.at
        payload = {"date_time": now, "user_id": self.accounts[account], "app_id": CLIENT_ID}
        self.emit("oauth.revoke", account, payload)
        return lived

    def _counted(self, account: str, what: str) -> dict[str, str]:
        limit, seconds = LIMITS[what]
        now = self.sandbox.clock.seconds()
        calls = self._calls.setdefault((account, what), [])
        calls[:] = [at for at in calls if at > now - seconds]
        calls.append(now)
        headers = {
            "x-rate-limit-limit": str(limit),
            "x-rate-limit-remaining": str(max(0, limit - len(calls))),
            "x-rate-limit-reset": str(int(calls[0] + seconds)),
        }
        if len(calls) > limit:
            calls.pop()
            content = _problem(429, "rate-limit-exceeded", "Too Many Requests", "Too Many Requests").content
            raise Refusal(Answer(429, content, headers))
        return headers

    # --- people and posts (x.md 1, 4)

    def me(self, call: Call) -> Answer:
        account, headers = self._person(call, "GET /2/users/me", "tweet.read", "users.read")
        data = {"id": self.accounts[account], "name": account.title(), "username": account}
        return Answer(content={"data": data}, headers=headers)

    def post(self, call: Call) -> Answer:
        account, headers = self._person(call, "POST /2/tweets", *POSTING)
        post = self._checked(call.fields, account)
        self.posts[post.id] = post
        self._made.add((account, post.text, tuple(post.media)))
        files = [digest(self.media[id_].content, self.media[id_].alt_text) for id_ in post.media]
        about = {"media": list(post.media), "reply_to": post.reply_to, "files": files, "options": call.params}
        self.record("post", account=account, id=post.id, text=post.text, **about)
        self.tell_of(post)
        text = self._linked(post)[0]
        content = {"data": {"id": post.id, "text": text, "edit_history_post_ids": [post.id]}}
        return Answer(201, content, headers)

    def _checked(self, fields: Any, account: str) -> Post:
        """Return the post that the fields describe. Raises 400 and 403 (``x.md`` 4)."""
        _check_keys(fields)
        text, attached = str(fields.get("text") or ""), fields.get("media")
        ids = attached.get("media_ids", []) if isinstance(attached, dict) else []
        poll, quoted = fields.get("poll"), fields.get("quote_tweet_id")
        if not text and not ids:
            raise _invalid("a post needs text or media")
        if not valid(text):
            raise _invalid("the text has characters that are not allowed")
        if weighted(text) > CHARACTERS:
            raise _invalid("Your Tweet text is too long. For more information see the documentation.")
        if fields.get("reply_settings") not in (None, *REPLY_SETTINGS):
            raise _invalid(f"$.reply_settings: does not have a value in the enumeration {list(REPLY_SETTINGS)}")
        if attached is not None:
            self._check_media(ids, account)
        if poll is not None:
            _check_poll(poll, ids)
        above = self._parent(fields.get("reply"), account)
        # Edits need Premium, and quoting is not in self-serve access since 2026-04-20 (x.md 4).
        if quoted is not None or fields.get("edit_options") is not None:
            raise Refusal(_problem(403, None, "Forbidden", "You are not permitted to perform this action."))
        # No idempotency key exists; an exact repeat is what is refused, without the id of the first (x.md 4).
        present = any(p.account == account and p.text == text and p.media == ids for p in self.posts.values())
        deleted_too = self.variant("duplicate_of") == "deleted_too" and (account, text, tuple(ids)) in self._made
        if text and (present or deleted_too):
            raise Refusal(_duplicate())
        id_ = self.new_id()
        conversation, reply_to = (above.conversation, above.id) if above else (id_, None)
        return Post(id_, account, text, self.sandbox.clock.now(), list(ids), reply_to, poll, conversation)

    def _parent(self, reply: Any, account: str) -> Post | None:
        """Return the post to be replied to: one's own, or that of somebody who named the account (``x.md`` 4)."""
        if reply is None:
            return None
        above = self.posts.get(str(reply.get("in_reply_to_tweet_id")))
        if above is None or not self.answerable(above.created):
            raise _invalid("the post to be replied to is not there")
        own = above.account == account
        if (own and self.variant("self_reply") == "refused") or (not own and f"@{account}" not in above.text):
            detail = "You are not permitted to reply: the author of the post has not mentioned you."
            raise Refusal(_problem(403, None, "Forbidden", detail))
        return above

    def _check_media(self, ids: Any, account: str) -> None:
        if not isinstance(ids, list) or not 1 <= len(ids) <= 4 or not all(isinstance(item, str) for item in ids):
            raise _invalid("media_ids holds 1 to 4 ids, as strings")
        found = [self.media.get(item) for item in ids]
        for media in found:
            if media is None or media.account != account or self._state(media) != "succeeded":
                raise _invalid("Your media IDs are invalid.")
        if len(ids) > 1 and any(media is not None and media.category != "tweet_image" for media in found):
            raise _invalid("4 photos, or 1 GIF, or 1 video")

    def hide(self, call: Call) -> Answer:
        """Hide a reply in a conversation of one's own (``x.md`` 4.2)."""
        account, headers = self._person(call, "PUT /2/tweets/{id}/hidden", *POSTING[::2], "tweet.moderate.write")
        post, hidden = self.posts.get(call.parts["id"]), call.fields.get("hidden")
        top = self.posts.get(post.conversation) if post else None
        if not isinstance(hidden, bool):
            raise _invalid("$.hidden: must be a boolean")
        if post is None or post.reply_to is None or top is None or top.account != account:
            raise Refusal(_problem(403, "client-forbidden", "Forbidden", "This is no reply to a post of yours."))
        post.hidden = hidden
        self.changed("hide" if hidden else "unhide", account, post.id)
        return Answer(content={"data": {"hidden": hidden}}, headers=headers)

    def delete(self, call: Call) -> Answer:
        account, headers = self._person(call, "DELETE /2/tweets/{id}", *POSTING)
        post = self.posts.get(call.parts["id"])
        if post is not None and post.account != account:
            raise Refusal(_problem(403, "client-forbidden", "Forbidden", "You are not authorized to delete this."))
        if post is not None:
            self.drop(post)
            self.changed("delete", account, post.id)
        return Answer(content={"data": {"deleted": True}}, headers=headers)

    def show(self, call: Call) -> Answer:
        return self._found(call, [call.parts["id"]], one=True)

    def show_many(self, call: Call) -> Answer:
        ids = (call.text("ids") or "").split(",")
        if not 1 <= len(ids) <= 100:
            raise _invalid("ids holds 1 to 100 ids")
        return self._found(call, ids, one=False)

    def _found(self, call: Call, ids: list[str], *, one: bool) -> Answer:
        """Return the posts found and errors for the others; partial success is 200 (``x.md`` 7)."""
        _, headers = self._person(call, "GET /2/tweets/{id}" if one else "GET /2/tweets", "tweet.read", "users.read")
        if not all(_ID.fullmatch(number) for number in ids):
            raise _invalid("ids are numbers of up to 19 digits")
        found = [self.posts[number] for number in ids if number in self.posts]
        data = [self._selected_fields(call, post) for post in found]
        errors = [_not_found(number, "id" if one else "ids") for number in ids if number not in self.posts]
        content: dict[str, Any] = {"errors": errors} if errors else {}
        if data:
            content["data"] = data[0] if one else data
        return Answer(content=content | self._includes(call, found), headers=headers)

    def _selected_fields(self, call: Call, post: Post) -> dict[str, Any]:
        """Return the usual fields and those that were asked for, by either name of the parameter (``x.md`` 13)."""
        asked = (call.text("tweet.fields") or call.text("post.fields") or "").split(",")
        shown = self.shape(post)
        return {name: value for name, value in shown.items() if name in (*USUAL_FIELDS, *asked)}

    def _includes(self, call: Call, posts: Sequence[Post]) -> dict[str, Any]:
        wanted = (call.text("expansions") or "").split(",")
        includes: dict[str, Any] = {}
        if "author_id" in wanted:
            authors = dict.fromkeys(post.account for post in posts)
            includes["users"] = [{"id": self.author(name), "name": name.title(), "username": name} for name in authors]
        if "attachments.media_keys" in wanted:
            media = [self.media[id_] for post in posts for id_ in post.media if id_ in self.media]
            kinds = {"tweet_image": "photo", "tweet_gif": "animated_gif"}
            includes["media"] = [
                {"media_key": one.key, "type": kinds.get(one.category, "video"), "alt_text": one.alt_text}
                for one in media
            ]
        if "referenced_tweets.id" in wanted:
            above = [self.posts[p.reply_to] for p in posts if p.reply_to and p.reply_to in self.posts]
            includes["tweets"] = [self._selected_fields(call, post) for post in above]
        return {"includes": includes} if any(includes.values()) else {}

    def user_posts(self, call: Call) -> Answer:
        _, headers = self._person(call, "GET /2/users/{id}/tweets", "tweet.read", "users.read")
        owner = next((name for name, number in self.accounts.items() if number == call.parts["id"]), None)
        exclude = set(filter(None, (call.text("exclude") or "").split(",")))
        if not exclude <= {"replies", "retweets"}:
            raise _invalid("exclude holds replies and retweets")
        mine = [post for post in self.posts.values() if post.account == owner][-TIMELINE:]
        return self._page(call, [p for p in mine if "replies" not in exclude or p.reply_to is None], headers)

    def mentions(self, call: Call) -> Answer:
        account, headers = self._person(call, "GET /2/users/{id}/mentions", "tweet.read", "users.read")
        if self.accounts[account] != call.parts["id"]:
            raise Refusal(_problem(403, "client-forbidden", "Forbidden", "These are somebody else's mentions."))
        found = [post for post in self.posts.values() if f"@{account}" in post.text and post.account != account]
        return self._page(call, found[-MENTIONS:], headers)

    def search(self, call: Call) -> Answer:
        """Search by ``conversation_id:`` and ``from:``, over seven days."""
        _, headers = self._person(call, "GET /2/tweets/search/recent", "tweet.read", "users.read")
        terms = dict(term.split(":", 1) for term in (call.text("query") or "").split() if ":" in term)
        if not terms or not set(terms) <= {"conversation_id", "from"}:
            raise _invalid("query: this sandbox knows conversation_id: and from:")
        week = self.sandbox.clock.in_(days=-7)
        found = [
            post
            for post in self.posts.values()
            if terms.get("conversation_id", post.conversation) == post.conversation
            and post.id != terms.get("conversation_id")
            and terms.get("from", post.account) == post.account
            and post.created >= week
        ]
        return self._page(call, found, headers, least=10)

    def _page(self, call: Call, posts: list[Post], headers: dict[str, str], least: int = 5) -> Answer:
        """Return a page, newest first, of what the parameters leave (``x.md`` 13); ``data`` is absent when empty."""
        numbers = [call.text("max_results") or "10", call.text("pagination_token") or call.text("next_token") or "0"]
        if not all(map(whole, numbers)):
            raise _invalid("max_results or pagination_token is no number")
        size, start = int(numbers[0]), int(numbers[1])
        if not least <= size <= 100:
            raise _invalid(f"max_results is {least} to 100")
        between = [post for post in self._between(call, posts) if self.listed(post.created)]
        ordered = sorted(between, key=lambda post: int(post.id), reverse=True)
        chosen = ordered[start : start + size]
        page = [self._selected_fields(call, post) for post in chosen]
        meta: dict[str, Any] = {"result_count": len(page)}
        if start + size < len(ordered):
            meta["next_token"] = str(start + size)
        if page:
            meta |= {"newest_id": page[0]["id"], "oldest_id": page[-1]["id"]}
        content = {"meta": meta} | ({"data": page} if page else {}) | self._includes(call, chosen)
        return Answer(content=content, headers=headers)

    def _between(self, call: Call, posts: list[Post]) -> list[Post]:
        """Return the posts within ``start_time``, ``end_time``, ``since_id`` and ``until_id``."""
        for name, compare in (("start_time", datetime.__ge__), ("end_time", datetime.__lt__)):
            if (given := call.text(name)) is not None:
                try:
                    moment = datetime.fromisoformat(given)
                    posts = [post for post in posts if compare(post.created, moment)]
                except (ValueError, TypeError):
                    raise _invalid(f"{name} is YYYY-MM-DDTHH:mm:ssZ") from None
        for name, sign in (("since_id", 1), ("until_id", -1)):
            if (given := call.text(name)) is not None:
                if not _ID.fullmatch(given):
                    raise _invalid(f"{name} is no id")
                posts = [post for post in posts if (int(post.id) - int(given)) * sign > 0]
        return posts

    def _linked(self, post: Post) -> tuple[str, list[dict[str, Any]]]:
        """Return the text as X shows it, and its addresses (``x.md`` 12): shortened, escaped, and one for its media."""
        shown, at = "", 0
        found: list[dict[str, Any]] = []
        for number, (start, end) in enumerate(urls(post.text)):
            shown += html.escape(post.text[at:start], quote=False)
            named = post.text[start:end]
            entity = {"expanded_url": named if "://" in named else f"http://{named}", "display_url": named}
            shown, at = self._link(shown, post, number, entity, found), end
        shown += html.escape(post.text[at:], quote=False)
        if post.media:
            page = f"https://x.com/{post.account}/status/{post.id}/photo/1"
            shown += " " if shown else ""
            shown = self._link(shown, post, len(found), {"expanded_url": page, "display_url": "pic.x.com"}, found)
        return shown, found

    def _link(self, shown: str, post: Post, number: int, entity: dict[str, Any], found: list[dict[str, Any]]) -> str:
        short = "https://t.co/" + hashlib.sha256(f"{post.id} {number}".encode()).hexdigest()[:10]
        found.append({"start": len(shown), "end": len(shown) + len(short), "url": short, **entity})
        return shown + short

    def shape(self, post: Post) -> dict[str, Any]:
        text, links = self._linked(post)
        replies = sum(other.reply_to == post.id for other in self.posts.values())
        above = self.posts.get(post.reply_to or "")
        reply: dict[str, Any] = {}
        if post.reply_to:
            reply["referenced_tweets"] = [{"type": "replied_to", "id": post.reply_to}]
        if above is not None:
            reply["in_reply_to_user_id"] = self.author(above.account)
        if post.media:
            keys = [self.media[id_].key for id_ in post.media if id_ in self.media]
            reply["attachments"] = {"media_keys": keys}
        if links:
            reply["entities"] = {"urls": links}
        return reply | {
            "id": post.id,
            "text": text,
            "author_id": self.author(post.account),
            "conversation_id": post.conversation,
            "created_at": post.created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "edit_history_tweet_ids": [post.id],
            "public_metrics": {"like_count": 0, "reply_count": replies, "retweet_count": 0, "quote_count": 0},
        }

    def error_answers(self) -> Mapping[str, Answer]:
        """Return the answers of ``x.md`` 4, 6 and 7."""
        reset = {"x-rate-limit-remaining": "0", "x-rate-limit-reset": str(int(self.sandbox.clock.seconds()) + 900)}
        limited = _problem(429, "rate-limit-exceeded", "Too Many Requests", "Too Many Requests").content
        legacy = {"errors": [{"code": 187, "message": "Status is a duplicate."}]}
        warning = _problem(400, "invalid-request", "Invalid Request", "A parameter was ignored.").content
        return {
            "duplicate": _duplicate(),
            "duplicate_legacy": Answer(403, legacy),
            "forbidden": _problem(403, None, "Forbidden", "You are not permitted to perform this action."),
            "unauthorized": _problem(401, None, "Unauthorized", "Unauthorized"),
            "out_of_credits": _problem(402, None, "Payment Required", "Your account has no credits left."),
            "rate_limited": Answer(429, limited, reset),
            "usage_capped": _problem(
                429, "usage-capped", "UsageCapExceeded", "Usage cap exceeded: Monthly product cap"
            ),
            "internal_error": _problem(500, "internal-error", "Internal Error", "Internal Error"),
            "edge_unavailable": Answer(503, "Service Unavailable", {"Content-Type": "text/plain"}),
            "created_without_data": Answer(201, {"errors": [warning]}),
        }

    # --- media (x.md 5)

    def initialize(self, call: Call) -> Answer:
        account, headers = self._person(call, "initialize", "media.write")
        media = self._new_media(
            account, call.text("media_type") or "", call.text("media_category") or "", call.text("total_bytes") or ""
        )
        data = {"id": media.id, "media_key": media.key, "expires_after_secs": UPLOAD_SECONDS}
        return Answer(content={"data": data}, headers=headers)

    def _new_media(self, account: str, kind: str, category: str, total: str) -> Media:
        wanted, most = CATEGORIES.get(category, ("", 0))
        if not wanted or not kind.startswith(wanted):
            raise _invalid("media_type and media_category do not fit each other")
        if not whole(total) or not 0 < int(total) <= most:
            raise _invalid(f"total_bytes must be 1 to {most}")
        expires = self.sandbox.clock.in_(seconds=UPLOAD_SECONDS)
        media = Media(self.new_id(), account, kind, category, int(total), expires)
        self.media[media.id] = media
        return media

    def append(self, call: Call) -> Answer:
        account, headers = self._person(call, "append", "media.write")
        media = self._own_media(call.parts["id"], account)
        index = call.text("segment_index") or ""
        file = call.files.get("media")
        try:
            content = file.content if file else base64.b64decode(call.text("media") or "")
        except ValueError:
            raise _invalid("media is no base64") from None
        if not whole(index) or int(index) >= SEGMENTS or not content:
            raise _invalid(f"segment_index is 0 to {SEGMENTS - 1}, and media is not empty")
        if len(content) > SEGMENT_BYTES:
            raise Refusal(Answer(413, "", headers))  # the edge answers, without a word (x.md 9.4)
        if media.finished is not None:
            raise _invalid("the upload is finalized")
        media.segments[int(index)] = content
        return Answer(content={"data": {"expires_at": int(media.expires.timestamp())}}, headers=headers)

    def finalize(self, call: Call) -> Answer:
        account, headers = self._person(call, "finalize", "media.write")
        media = self._own_media(call.parts["id"], account)
        if sorted(media.segments) != list(range(len(media.segments))) or media.size != media.total:
            raise _invalid(f"segments are not contiguous from 0, or hold {media.size} of {media.total} bytes")
        self._finish(media)
        return Answer(content={"data": self._progress(media)}, headers=headers)

    def upload(self, call: Call) -> Answer:
        """Upload images and subtitles in one request."""
        account, headers = self._person(call, "POST /2/media/upload", "media.write")
        file = call.files.get("media")
        if file is None:
            raise _invalid("media is missing")
        category = call.text("media_category") or ""
        if category not in ONE_SHOT:
            raise _invalid("only images and subtitles are uploaded in one piece")
        media = self._new_media(account, file.content_type, category, str(len(file.content)))
        media.segments[0] = file.content
        self._finish(media)
        return Answer(content={"data": self._progress(media)}, headers=headers)

    def _finish(self, media: Media) -> None:
        if media.finished is None:
            media.finished = self.sandbox.clock.now()
            media.processing = self.process(PROCESSING_SECONDS if media.kind.startswith("video/") else 0.0)
        media.expires = self.sandbox.clock.in_(seconds=MEDIA_SECONDS)

    def media_status(self, call: Call) -> Answer:
        account, headers = self._person(call, "GET /2/media/upload", "media.write")
        if call.text("command") != "STATUS":
            raise _invalid("command must be STATUS")
        return Answer(
            content={"data": self._progress(self._own_media(call.text("media_id") or "", account))}, headers=headers
        )

    def describe(self, call: Call) -> Answer:
        account, headers = self._person(call, "POST /2/media/upload", "media.write")
        media = self._own_media(call.text("id") or "", account)
        metadata = call.fields.get("metadata")
        alt = metadata.get("alt_text") if isinstance(metadata, dict) else None
        text = alt.get("text") if isinstance(alt, dict) else None
        if not isinstance(text, str) or not 0 < len(text) <= ALT_CHARACTERS:
            raise _invalid(f"alt_text.text has 1 to {ALT_CHARACTERS} characters")
        media.alt_text = text
        return Answer(content={"data": {"id": media.id}}, headers=headers)

    def add_subtitles(self, call: Call) -> Answer:
        """Attach uploaded subtitles to a video (``x.md`` 4.2)."""
        account, headers = self._person(call, "POST /2/media/upload", "media.write")
        video, given = self._own_media(call.text("id") or "", account), call.fields.get("subtitles")
        if call.text("media_category") not in ("TweetVideo", "AmplifyVideo") or not isinstance(given, dict):
            raise _invalid("media_category is TweetVideo or AmplifyVideo, and subtitles an object")
        if not re.fullmatch("[A-Z]{2}", str(given.get("language_code"))):
            raise _invalid("language_code has two upper-case letters")
        self._own_media(str(given.get("id")), account)
        video.subtitles.append(given)
        data = {"id": video.id, "media_category": call.text("media_category"), "associated_subtitles": video.subtitles}
        return Answer(content={"data": data}, headers=headers)

    def _own_media(self, number: str, account: str) -> Media:
        media = self.media.get(number)
        if media is None or media.account != account or media.expires < self.sandbox.clock.now():
            raise _invalid("the media id is invalid, or has expired")
        return media

    def _state(self, media: Media) -> str:
        if media.finished is None or media.expires < self.sandbox.clock.now():
            return "unfinished"
        if media.processing is not None:
            age = (self.sandbox.clock.now() - media.finished).total_seconds()
            if age < media.processing.seconds or media.processing.result == "stuck":
                return "pending" if age < PENDING_SECONDS else "in_progress"
        return "failed" if media.broken else "succeeded"

    def _progress(self, media: Media) -> dict[str, Any]:
        data: dict[str, Any] = {
            "id": media.id,
            "media_key": media.key,
            "size": media.size,
            "expires_after_secs": MEDIA_SECONDS,
        }
        state = self._state(media)
        processed = media.processing is not None and media.processing.seconds > 0
        if (processed or state == "failed") and media.finished is not None and media.processing is not None:
            age = (self.sandbox.clock.now() - media.finished).total_seconds()
            percent = min(100, int(100 * age / (media.processing.seconds or 1)))
            data["processing_info"] = {"state": state, "progress_percent": percent}
            if state in ("pending", "in_progress"):
                data["processing_info"]["check_after_secs"] = 5
        return data

    def new_id(self) -> str:
        """Return a new snowflake: milliseconds since X's epoch in the upper bits (``x.md`` 3)."""
        self._last = max(self._last + 1, (int(self.sandbox.clock.seconds() * 1000) - 1_288_834_974_657) << 22)
        return str(self._last)


PLATFORM = X


def _check_keys(fields: Any) -> None:
    """Raises 400 for keys and ids that the schema does not take."""
    if unknown := set(fields) - TWEET_KEYS:
        raise _invalid(f"$.{min(unknown)}: is not defined in the schema")
    for name, known in NESTED_KEYS.items():
        value = fields.get(name)
        if value is None:
            continue
        if not isinstance(value, dict):
            raise _invalid(f"$.{name}: must be an object")
        if unknown := set(value) - known:
            raise _invalid(f"$.{name}.{min(unknown)}: is not defined in the schema")
    media = fields.get("media") or {}
    ids = media.get("media_ids", []) if isinstance(media.get("media_ids", []), list) else []
    tagged = media.get("tagged_user_ids", [])
    if not isinstance(tagged, list) or len(tagged) > TAGGED:
        raise _invalid(f"$.media.tagged_user_ids: up to {TAGGED} ids")
    reply = (fields.get("reply") or {}).get("in_reply_to_tweet_id")
    if "reply" in fields and fields["reply"] is not None and reply is None:
        raise _invalid("$.reply.in_reply_to_tweet_id: is missing but it is required")
    for id_ in (*ids, *tagged, *([] if reply is None else [reply]), fields.get("quote_tweet_id")):
        if id_ is not None and not (isinstance(id_, str) and _ID.fullmatch(id_)):
            raise _invalid("ids are strings of 1 to 19 digits")


def _not_found(number: str, parameter: str) -> dict[str, Any]:
    """Return an entry of ``errors`` beside the posts that were found (``x.md`` 7)."""
    return {
        "value": number,
        "detail": f"Could not find tweet with {parameter}: [{number}].",
        "title": "Not Found Error",
        "resource_type": "tweet",
        "parameter": parameter,
        "resource_id": number,
        "type": "https://api.x.com/2/problems/resource-not-found",
    }


def _duplicate() -> Answer:
    return _problem(403, None, "Forbidden", "You are not allowed to create a Tweet with duplicate content.")


def _check_poll(poll: Any, ids: list[str]) -> None:
    options = poll.get("options") if isinstance(poll, dict) else None
    minutes = poll.get("duration_minutes") if isinstance(poll, dict) else None
    if ids:
        raise _invalid("a post has media or a poll, not both")
    if not isinstance(options, list) or not 2 <= len(options) <= 4 or any(len(str(o)) > 25 for o in options):
        raise _invalid("a poll has 2 to 4 options of at most 25 characters")
    if not isinstance(minutes, int) or not 5 <= minutes <= 10_080:
        raise _invalid("a poll lasts 5 to 10080 minutes")


def _problem(status: int, slug: str | None, title: str, detail: str) -> Answer:
    kind = f"https://api.x.com/2/problems/{slug}" if slug else "about:blank"
    return Answer(status, {"type": kind, "title": title, "detail": detail, "status": status})


def _invalid(detail: str) -> Refusal:
    answer = _problem(400, "invalid-request", "Invalid Request", "One or more parameters to your request was invalid.")
    return Refusal(Answer(400, answer.content | {"errors": [{"message": detail}]}))


def _oauth(status: int, error: str, description: str) -> Refusal:
    return Refusal(Answer(status, {"error": error, "error_description": description}))
