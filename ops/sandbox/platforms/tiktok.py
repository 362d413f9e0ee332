"""TikTok for Developers: Login Kit, Content Posting, Display API and webhooks: contract ``tiktok.md``."""

import hashlib
import heapq
import hmac
import io
import json
import random
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

import imagesize

from ops.sandbox import consent, sample_text
from ops.sandbox.contract import (
    Answer,
    Call,
    Change,
    CommandError,
    Fetched,
    Platform,
    PlatformEvent,
    Refusal,
    Route,
    Sandbox,
    WorldSize,
    apply_settings,
    digest,
    forget_oldest,
    redirect,
    whole,
)
from ops.sandbox.tiktok_videos import CHURN, Creator, Post, TikTokVideos, link

CLIENT_KEY = "sandbox-tiktok-key"
LIVES = {"2h": (7200, 180 * 86_400), "24h": (86_400, 365 * 86_400)}
"""Lifetimes of access and refresh tokens in seconds, by the newer pages and the older one (``tiktok.md`` 1)."""

SCOPES = ("user.info.basic", "user.info.profile", "user.info.stats", "video.list", "video.upload", "video.publish")
PROFILE = {
    "user.info.basic": ("open_id", "union_id", "avatar_url", "avatar_url_100", "avatar_large_url", "display_name"),
    "user.info.profile": ("username", "profile_deep_link", "bio_description", "is_verified"),
    "user.info.stats": ("follower_count", "following_count", "likes_count", "video_count"),
}
LIMITS = {"creator_info": 20, "init": 6, "status": 30, "display": 600}
"""Calls of one token in a sliding minute (``tiktok.md`` 5, 6, 8, 12)."""

# The pages do not say whether a megabyte is 10**6 or 2**20: only what both readings allow passes (tiktok.md 7.1).
CHUNK = (5 * 2**20, 64 * 10**6)
CHUNKS, VIDEO_BYTES = 1000, 4 * 2**30
UPLOAD_LIFE, CODE_LIFE = timedelta(hours=1), timedelta(seconds=600)
TITLE, PHOTO_TITLE, PHOTO_DESCRIPTION, PHOTOS = 2200, 90, 4000, 35
SHOWN_TITLE = 150
PENDING_SHARES = 5
COVER_SECONDS = 6 * 3600
"""How long the address of a cover works (``tiktok.md`` 12)."""
PHOTO_BYTES, PHOTO_SIDE = 20 * 2**20, 1080
"""1080p is taken as the shorter side (``tiktok.md`` 11)."""
DAY = timedelta(hours=24)
PROCESSING_SECONDS, MODERATION_SECONDS, PULL_SECONDS = 20.0, 40.0, 3600.0

FAILURES = (
    "file_format_check_failed",
    "duration_check_failed",
    "frame_rate_check_failed",
    "internal",
    "spam_risk_text",
)
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
VIDEO_FIELDS = {
    *("id", "create_time", "cover_image_url", "share_url", "video_description", "duration", "height", "width"),
    *("title", "embed_html", "embed_link", "like_count", "comment_count", "share_count", "view_count", "is_aigc"),
}


SETTINGS = {
    "private": bool,
    "comment_disabled": bool,
    "duet_disabled": bool,
    "stitch_disabled": bool,
    "max_video_post_duration_sec": int,
    "daily_posts": int,
    "blocked": str,
    "followers": int,
    "following": int,
}


@dataclass
class Grant:
    account: str
    scopes: list[str]
    ended: bool = False


@dataclass
class Token:
    grant: Grant
    expires: datetime
    entry: dict[str, Any]
    used: bool = False
    """A refresh token that was exchanged."""


@dataclass
class Code:
    account: str
    scopes: list[str]
    redirect_uri: str
    challenge: str | None
    expires: datetime
    used: bool = False


@dataclass
class Publish:
    """``status`` as the interface names it. ``post_ids`` are those that are, or were, public."""

    id: str
    account: str
    status: str
    begun: datetime
    title: str = ""
    privacy: str | None = None
    """None for a draft, which the person may post."""
    photo: bool = False
    size: int = 0
    chunk: int = 0
    chunks: int = 1
    content: bytearray = field(default_factory=bytearray)
    upload: str | None = None
    reason: str | None = None
    failure: str | None = None
    """What its processing will fail with, because a test asked for it."""
    ai_generated: bool = False
    pulled: bool = False
    """Whether all its files were downloaded."""
    downloaded: int = 0
    received: int = 0
    """Bytes that were uploaded, which are counted longer than they are kept."""
    post_ids: list[str] = field(default_factory=list)
    files: list[dict[str, Any]] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    """The parameters of its init, for the ledger."""

    @property
    def final(self) -> bool:
        return self.status in ("PUBLISH_COMPLETE", "FAILED", "SEND_TO_USER_INBOX")

    @property
    def kind(self) -> str:
        return "DIRECT_POST" if self.privacy else "INBOX_SHARE"


class TikTok(Platform):
    name = "tiktok"
    fetch_agent = "sandbox-tiktok"
    title = "TikTok"
    unreported: ClassVar[Mapping[str, str]] = {  # tiktok.md 2.4
        "publish": "TikTok sends nothing for a post that was made in its own app.",
        "delete_post": "TikTok sends nothing for a deleted post, unless the application published it: then that"
        " it is no longer public.",
        "change": "TikTok sends nothing for comments, likes and views.",
    }
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        "access": ("2h", "24h"),
        "param": ("invalid_param", "invalid_params"),
        "stamp": ("anew", "kept"),
        "spelling": ("publicly", "publicaly"),
        "post_id": ("text", "number"),
        "audit": ("audited", "unaudited"),
        # What the progress of an upload counts (tiktok.md 7.2: unclear).
        "progress": ("count", "index"),
        # Whether this machine's own addresses count as verified, or none does.
        "ownership": ("local", "none"),
        # What a page's cursor is made of: of whole seconds, posts of one second may lie on both sides (tiktok.md 12).
        "cursor": ("millisecond", "second"),
        # Whether posts of photos are in lists (tiktok.md 12: unconfirmed).
        "photo_posts": ("listed", "absent"),
    }
    bounded = ("calls", "calls_of", "short_pages")
    transient_errors = ("rate_limit_exceeded", "internal_error")
    churn_kinds = CHURN
    resumable = ("upload",)
    # Exponential, 72 h in all, then dropped (tiktok.md 2.1).
    retry_seconds = (15, 60, 300, 900, 3600, 7200, 14_400, 28_800, 57_600, 86_400, 59_925)

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self._last = 0
        self._latest = sandbox.clock.now()
        self.library = TikTokVideos(sandbox)
        for name in ("alice", "bob", "shop"):
            creator = Creator(name, f"-000{sandbox.secret(24)}", sandbox.secret(24), private=name == "bob")
            self.library.add_creator(creator)
        self.codes: dict[str, Code] = {}
        self.access: dict[str, Token] = {}
        self.refreshes: dict[str, Token] = {}
        self.publishes: dict[str, Publish] = {}
        self.verified: set[str] = set()
        """Prefixes of addresses that the application owns."""
        self._due: list[tuple[float, int, str, str]] = []
        self._calls: dict[tuple[str, str], list[float]] = {}
        for name in self.creators:
            for _ in range(3):
                self._post(name, sample_text.caption(sandbox), public=True)

    @property
    def creators(self) -> dict[str, Creator]:
        return self.library.creators

    @property
    def posts(self) -> dict[str, Post]:
        return self.library.posts

    def _id(self) -> str:
        """Return a new id of 19 digits, with the Unix second in its upper half."""
        self._last = max(self._last + self.sandbox.rng.randint(1, 2**20), int(self.sandbox.clock.seconds()) << 32)
        return str(self._last)

    def _post(self, account: str, text: str, *, public: bool, photo: bool = False) -> Post:
        # No two in one millisecond: a page's cursor is one, and those at it are not shown again.
        self._latest = max(self.sandbox.clock.now(), self._latest + timedelta(milliseconds=1))
        post = Post(self._id(), account, text, self._latest, public, photo)
        self.library.add(post)
        return post

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/v2/auth/authorize/", self.ask),
            Route("POST", "/v2/auth/authorize/", self.decide),
            Route("POST", "/v2/oauth/token/", self.token),
            Route("POST", "/v2/oauth/revoke/", self.revoke),
            Route("GET", "/v2/user/info/", self.user_info),
            Route("POST", "/v2/video/list/", self.video_list),
            Route("POST", "/v2/video/query/", self.video_query),
            Route("POST", "/v2/post/publish/creator_info/query/", self.creator_info),
            Route("POST", "/v2/post/publish/video/init/", self.init_video),
            Route("POST", "/v2/post/publish/inbox/video/init/", self.init_inbox),
            Route("POST", "/v2/post/publish/content/init/", self.init_photos),
            Route("POST", "/v2/post/publish/cancel/", self.cancel),
            Route("POST", "/v2/post/publish/status/fetch/", self.status),
            Route("PUT", "/upload", self.upload),
            Route("GET", "/cover/{id}.jpeg", self.cover),
        )

    # --- envelopes (tiktok.md 3.3, 4, 9)

    def application(self) -> tuple[str, str]:
        return CLIENT_KEY, self.signing_secret

    def unknown(self, call: Call) -> Answer:
        return self._refused(404, "unsupported_path", f"Unsupported path({call.path})").answer

    def _answer(self, data: Any, code: str = "ok", message: str = "") -> Answer:
        return Answer(content={"data": data, "error": {"code": code, "message": message, "log_id": self._log_id()}})

    def _refused(self, status: int, code: str, message: str) -> Refusal:
        error = {"code": code, "message": message, "log_id": self._log_id()}
        return Refusal(Answer(status, {"data": {}, "error": error}))

    def _wrong(self, message: str) -> Refusal:
        return self._refused(400, self.variant("param"), message)

    def _oauth(self, error: str, description: str) -> Refusal:
        # The HTTP status of these is unconfirmed: clients must look for the key.
        content = {"error": error, "error_description": description, "log_id": self._log_id()}
        return Refusal(Answer(400, content))

    def _log_id(self) -> str:
        return f"{self.sandbox.clock.now():%Y%m%d%H%M%S}{self.sandbox.secret(6).upper()}"

    def account_of(self, call: Call) -> str | None:
        token = self.access.get(call.bearer or "")
        if token is None and (upload := call.query.get("upload_token")):
            return next((publish.account for publish in self.publishes.values() if publish.upload == upload), None)
        return None if token is None else token.grant.account

    # --- OAuth (tiktok.md 3)

    def ask(self, call: Call) -> Answer:
        scopes = self._asked(call)
        names = ("client_key", "redirect_uri", "state", "response_type", "code_challenge", "code_challenge_method")
        hidden = {name: value for name in names if (value := call.text(name))}
        return consent.page("TikTok", "the application", list(self.creators), scopes, hidden)

    def decide(self, call: Call) -> Answer:
        self._asked(call)
        address, back = call.text("redirect_uri") or "", {"state": call.text("state") or ""}
        account, granted = call.text("account") or "", call.many("granted")
        if call.text("decision") != "approve" or account not in self.creators or not set(granted) <= set(SCOPES):
            denied = {"error": "access_denied", "error_description": "User denied the authorization"}
            return redirect(address, denied | back)
        code = f"{self.sandbox.secret(24)}*0!{self.sandbox.rng.randint(1000, 9999)}.va"  # they hold such characters
        expires = self.sandbox.clock.now() + CODE_LIFE
        self.codes[code] = Code(account, granted, address, call.text("code_challenge"), expires)
        return redirect(address, {"code": code, "scopes": ",".join(granted)} | back)

    def _asked(self, call: Call) -> list[str]:
        """Raises for what TikTok shows an error page for."""
        scopes = [scope for scope in (call.text("scope") or "").split(",") if scope]
        address = call.text("redirect_uri") or ""
        if call.text("client_key") != CLIENT_KEY:
            raise self._oauth("unauthorized_client", "client_key")
        if address not in self.redirect_uris or {"?", "#"} & set(address) or len(address) >= 512:
            raise self._oauth("invalid_request", "redirect_uri")
        if call.text("response_type") != "code":
            raise self._oauth("unsupported_response_type", "response_type must be code")
        if call.text("state") is None:
            raise self._oauth("invalid_request", "state is required")
        if call.method == "GET" and (not scopes or not set(scopes) <= set(SCOPES)):
            raise self._oauth("invalid_scope", "scope")
        return scopes

    def token(self, call: Call) -> Answer:
        if call.text("client_key") != CLIENT_KEY or call.text("client_secret") != self.signing_secret:
            raise self._oauth("invalid_client", "Client key or secret is incorrect.")
        kind = call.text("grant_type")
        if kind == "authorization_code":
            return self._exchange(call)
        if kind == "refresh_token":
            return self._rotate(call)
        if kind == "client_credentials":
            secret = f"clt.{self.sandbox.secret()}"
            return Answer(content={"access_token": secret, "expires_in": 7200, "token_type": "Bearer"})
        raise self._oauth("unsupported_grant_type", "The grant type is not supported.")

    def _exchange(self, call: Call) -> Answer:
        code = self.codes.get(call.text("code") or "")
        if code is None or code.used or code.expires < self.sandbox.clock.now():
            raise self._oauth("invalid_grant", "Authorization code is expired.")
        if code.redirect_uri != call.text("redirect_uri"):
            raise self._oauth("invalid_request", "Redirect_uri is not matched with the uri when requesting code.")
        # In hexadecimal, unlike everybody else's (tiktok.md 3.2).
        proof = hashlib.sha256((call.text("code_verifier") or "").encode()).hexdigest()
        if code.challenge is not None and code.challenge != proof:
            raise self._oauth("invalid_request", "Code verifier or code challenge is invalid.")
        code.used = True
        return self._issue(Grant(code.account, code.scopes))

    def _rotate(self, call: Call) -> Answer:
        old = self.refreshes.get(call.text("refresh_token") or "")
        if old is None or old.used or old.grant.ended or old.expires < self.sandbox.clock.now():
            raise self._oauth("invalid_grant", "Refresh token is invalid or expired.")
        old.used, old.entry["state"] = True, "rotated"
        return self._issue(old.grant)

    def _issue(self, grant: Grant) -> Answer:
        lives, scope = LIVES[self.variant("access")], ",".join(grant.scopes)
        secrets = []
        for use, prefix, kept, life in zip(
            ("access", "refresh"), ("act.", "rft."), (self.access, self.refreshes), lives, strict=True
        ):
            secret = prefix + self.sandbox.secret(40)
            entry = self.record("token", account=grant.account, use=use, scope=scope, state="live")
            kept[secret] = Token(grant, self.sandbox.clock.in_(seconds=life), entry)
            secrets.append(secret)
        return Answer(
            content={
                "access_token": secrets[0],
                "expires_in": lives[0],
                "open_id": self.creators[grant.account].open_id,
                "refresh_expires_in": lives[1],
                "refresh_token": secrets[1],
                "scope": scope,
                "token_type": "Bearer",
            }
        )

    def revoke(self, call: Call) -> Answer:
        if call.text("client_key") != CLIENT_KEY or call.text("client_secret") != self.signing_secret:
            raise self._oauth("invalid_client", "Client key or secret is incorrect.")
        token = self.access.get(call.text("token") or "")
        if token is None or token.grant.ended:
            raise self._oauth("invalid_request", "The token is invalid.")
        self._end(token.grant.account, 5)
        return Answer(content="", headers={"Content-Type": "application/json"})

    def _end(self, account: str, reason: int) -> int:
        """End the account's tokens and pending publishes. Return the number of tokens that were live."""
        ended = 0
        for token in (*self.access.values(), *self.refreshes.values()):
            if token.grant.account == account and token.entry["state"] == "live":
                token.grant.ended, token.entry["state"] = True, "revoked"
                ended += 1
        for publish in self.publishes.values():
            if publish.account == account and not publish.final:
                self._fail(publish, "auth_removed")
        self._tell("authorization.removed", account, {"reason": reason})
        return ended

    def _authorised(self, call: Call, bucket: str, *scopes: str) -> str:
        """Return the account of the token, if it has one of the scopes, and count the call. Raises 401 or 429."""
        self.advance()
        token = self.access.get(call.bearer or "")
        if token is None or token.grant.ended or token.expires < self.sandbox.clock.now():
            raise self._refused(401, "access_token_invalid", "The access token is invalid or not found in the request.")
        if not set(scopes) & set(token.grant.scopes):
            raise self._refused(401, "scope_not_authorized", f"The user did not authorize the scope: {scopes[0]}")
        now = self.sandbox.clock.seconds()
        calls = self._calls.setdefault((call.bearer or "", bucket), [])
        calls[:] = [at for at in calls if at > now - 60]
        kind = bucket.partition(":")[0]
        account = token.grant.account
        if len(calls) >= (self.limits.calls_for(account, LIMITS[kind]) if kind == "display" else LIMITS[kind]):
            raise self._refused(429, "rate_limit_exceeded", "The API rate limit was exceeded. Please try again later.")
        calls.append(now)
        return account

    # --- reading (tiktok.md 12)

    def _fields(self, call: Call, known: set[str]) -> list[str]:
        """Return the fields of the query string; those in a body are ignored."""
        fields = [name for name in call.query.get("fields", "").split(",") if name]
        if not fields or not set(fields) <= known:
            raise self._wrong(f"Fields must be some of {', '.join(sorted(known))}")
        return fields

    def user_info(self, call: Call) -> Answer:
        account = self._authorised(call, "display", *PROFILE)
        fields = self._fields(call, {name for names in PROFILE.values() for name in names})
        scopes = self.access[call.bearer or ""].grant.scopes
        allowed = {name for scope, names in PROFILE.items() if scope in scopes for name in names}
        if not set(fields) <= allowed:
            raise self._refused(400, "scope_permission_missed", "Additional user-granted scopes are required.")
        creator = self.creators[account]
        avatar = "https://p16.tiktokcdn.example/avatar.jpeg"
        user = {
            **dict.fromkeys(("avatar_url", "avatar_url_100", "avatar_large_url"), avatar),
            "open_id": creator.open_id,
            "union_id": creator.union_id,
            "display_name": account.title(),
            "username": account,
            "profile_deep_link": f"https://vm.tiktok.example/{account}",
            "bio_description": "",
            "is_verified": False,
            **self.library.counted(creator),
        }
        return self._answer({"user": {name: user[name] for name in fields}})

    def _public(self, account: str) -> list[Post]:
        """Return what lists and queries show, newest first."""
        photos = self.variant("photo_posts") == "listed"
        return [post for post in self.library.public(account) if photos or not post.photo]

    def video_list(self, call: Call) -> Answer:
        account = self._authorised(call, "display:list", "video.list")
        fields = self._fields(call, VIDEO_FIELDS)
        try:
            count, cursor = int(call.fields.get("max_count", 10)), int(call.fields.get("cursor") or 0)
        except (TypeError, ValueError):
            raise self._wrong("max_count and cursor must be integers") from None
        if not 1 <= count <= 20:
            raise self._wrong("max_count must be 1 to 20")
        found = [
            post
            for post in self._public(account)
            if (not cursor or _milliseconds(post.created) < cursor) and self.listed(post.created)
        ]
        page = found[: self._shortened(min(count, len(found)))]
        last = self._cursor(page[-1]) if page else self._cursor(found[0], after=1) if found else cursor
        videos = [self._video(post, fields, call.base) for post in page]
        return self._answer({"videos": videos, "cursor": last, "has_more": len(found) > len(page)})

    def _shortened(self, count: int) -> int:
        """Return how many posts a page has: fewer, or none, for the share of pages that a test asked for."""
        rng = self.sandbox.rng
        return rng.randrange(count) if count and rng.random() < self.limits.short_pages else count

    def _cursor(self, post: Post, after: int = 0) -> int:
        """Return the cursor at a post, or the next one above it."""
        if self.variant("cursor") == "millisecond":
            return _milliseconds(post.created) + after
        return (int(post.created.timestamp()) + after) * 1000

    def video_query(self, call: Call) -> Answer:
        account = self._authorised(call, "display:query", "video.list")
        fields = self._fields(call, VIDEO_FIELDS)
        filters = call.fields.get("filters")
        ids = filters.get("video_ids") if isinstance(filters, dict) else None
        if not isinstance(ids, list) or not 1 <= len(ids) <= 20:
            raise self._wrong("filters.video_ids must have 1 to 20 ids")
        # Those of others are simply absent, as are those that are private or gone.
        asked = {str(id_) for id_ in ids}
        found = [post for post in self._public(account) if post.id in asked]
        return self._answer({"videos": [self._video(post, fields, call.base) for post in found]})

    def _video(self, post: Post, fields: Sequence[str], base: str) -> dict[str, Any]:
        shown = link(post)
        expires = int(self.sandbox.clock.seconds()) + COVER_SECONDS
        video = {
            "id": post.id,
            "create_time": int(post.created.timestamp()),
            "cover_image_url": f"{base}/cover/{post.id}.jpeg?x-expires={expires}",
            "share_url": f"{shown}?utm_campaign=tt4d_open_api",
            "video_description": post.text[:SHOWN_TITLE],
            "title": post.text[:SHOWN_TITLE],
            "duration": 0 if post.photo else 3,
            "height": 640,
            "width": 360,
            "embed_html": f'<blockquote cite="{shown}"></blockquote>',
            "embed_link": f"https://www.tiktok.com/embed/v2/{post.id}",
            "like_count": post.likes,
            "comment_count": post.comments,
            "share_count": post.shares,
            "view_count": post.views,
            "is_aigc": post.ai_generated,
        }
        return {name: video[name] for name in fields}

    def cover(self, call: Call) -> Answer:
        """Redirect to the picture, until the time in the address is over (``tiktok.md`` 12)."""
        expires = call.text("x-expires") or ""
        post = self.posts.get(call.parts["id"])
        if post is None or not whole(expires) or int(expires) < self.sandbox.clock.seconds():
            raise Refusal(Answer(403, ""))
        return Answer(302, "", {"Location": "/_sandbox/media/picture.jpg"})

    # --- publishing (tiktok.md 5 to 8)

    def creator_info(self, call: Call) -> Answer:
        account = self._authorised(call, "creator_info", "video.publish")
        creator = self.creators[account]
        if blocked := self._blocked(creator):  # with status 200
            return self._answer({}, blocked, "Posting is not possible now.")
        return self._answer(
            {
                "creator_avatar_url": "https://p16.tiktokcdn.example/avatar.jpeg",
                "creator_username": account,
                "creator_nickname": account.title(),
                "privacy_level_options": _options(creator),
                "comment_disabled": creator.comment_disabled,
                "duet_disabled": creator.duet_disabled or creator.private,
                "stitch_disabled": creator.stitch_disabled or creator.private,
                "max_video_post_duration_sec": creator.max_video_post_duration_sec,
            }
        )

    def configure(self, account: str, settings: Mapping[str, Any]) -> None:
        apply_settings(self.creators[account], SETTINGS, settings)

    def _blocked(self, creator: Creator) -> str:
        """Return the code with which the creator's posts are refused; empty for none."""
        return creator.blocked or ("spam_risk_too_many_posts" if self._posted(creator) >= creator.daily_posts else "")

    def _posted(self, creator: Creator) -> int:
        now = self.sandbox.clock.now()
        return sum(now - at < DAY for at in creator.posted)

    def init_video(self, call: Call) -> Answer:
        account = self._authorised(call, "init:video", "video.publish")
        title, privacy = self._post_info(call, account, "title", TITLE)
        return self._begin(call, account, title, privacy, ai_generated=bool(call.fields["post_info"].get("is_aigc")))

    def init_inbox(self, call: Call) -> Answer:
        account = self._authorised(call, "init:inbox", "video.upload")
        self._check_pending(account)
        return self._begin(call, account, "", None)

    def _post_info(self, call: Call, account: str, name: str, limit: int) -> tuple[str, str]:
        info = call.fields.get("post_info")
        if not isinstance(info, dict):
            raise self._wrong("post_info is required")
        text, privacy = str(info.get(name) or ""), info.get("privacy_level")
        if _units(text) > limit or (name != "title" and _units(str(info.get("title") or "")) > PHOTO_TITLE):
            raise self._wrong(f"The {name} is too long.")
        creator = self.creators[account]
        if privacy not in _options(creator):
            message = "privacy_level is not one of those that creator_info returned"
            raise self._refused(403, "privacy_level_option_mismatch", message)
        for flag in ("brand_content_toggle", "brand_organic_toggle", "disable_comment", "disable_duet", "is_aigc"):
            if not isinstance(info.get(flag, False), bool):
                raise self._wrong(f"{flag} must be a boolean")
        if self.variant("audit") == "unaudited" and not (creator.private and privacy == "SELF_ONLY"):
            code = "unaudited_client_can_only_post_to_private_accounts"
            raise self._refused(403, code, "Please review our integration guidelines.")
        if blocked := self._blocked(creator):
            raise self._refused(403, blocked, "Posting is not possible now.")
        return text, str(privacy)

    def _check_pending(self, account: str) -> None:
        if blocked := self.creators[account].blocked:
            raise self._refused(403, blocked, "Posting is not possible now.")
        now = self.sandbox.clock.now()
        pending = [
            publish
            for publish in self.publishes.values()
            if publish.account == account
            and publish.privacy is None
            and publish.status not in ("FAILED", "PUBLISH_COMPLETE")
            and now - publish.begun < DAY
        ]
        if len(pending) >= PENDING_SHARES:
            message = "There may be at most 5 pending shares within any 24-hour period."
            raise self._refused(403, "spam_risk_too_many_pending_share", message)

    def _begin(
        self, call: Call, account: str, title: str, privacy: str | None, *, ai_generated: bool = False
    ) -> Answer:
        source = call.fields.get("source_info")
        kind = source.get("source") if isinstance(source, dict) else None
        way = "pub" if privacy else "inbox"
        if kind == "FILE_UPLOAD" and isinstance(source, dict):
            sizes = [source.get(name) for name in ("video_size", "chunk_size", "total_chunk_count")]
            problem = _chunk_problem(*sizes)
            if problem:
                raise self._wrong(problem)
            publish = self._made(f"v_{way}_file~v2-1.", account, "PROCESSING_UPLOAD", title, privacy)
            publish.options = call.params
            publish.ai_generated = ai_generated
            publish.size, publish.chunk, publish.chunks = (int(size or 0) for size in sizes)
            publish.upload = self.sandbox.secret(24)
            address = f"{call.base}/upload?upload_id={publish.id.rpartition('.')[2]}&upload_token={publish.upload}"
            return self._answer({"publish_id": publish.id, "upload_url": address})
        if kind == "PULL_FROM_URL" and isinstance(source, dict):
            url = str(source.get("video_url") or "")
            self._check_owned(url)
            publish = self._made(f"v_{way}_url~v2-1.", account, "PROCESSING_DOWNLOAD", title, privacy)
            publish.options = call.params
            publish.ai_generated = ai_generated
            self._plan(PULL_SECONDS, publish, "deadline")
            self._pull(publish, url, [])
            return self._answer({"publish_id": publish.id})
        raise self._wrong("source_info.source must be FILE_UPLOAD or PULL_FROM_URL")

    def init_photos(self, call: Call) -> Answer:
        direct = call.fields.get("post_mode") in ("DIRECT_POST", "DIRECT POST")  # the table prints a space
        account = self._authorised(call, "init:content", "video.publish" if direct else "video.upload")
        if call.fields.get("media_type") != "PHOTO" or not (direct or call.fields.get("post_mode") == "MEDIA_UPLOAD"):
            raise self._wrong("media_type must be PHOTO, and post_mode DIRECT_POST or MEDIA_UPLOAD")
        source = call.fields.get("source_info")
        urls = source.get("photo_images") if isinstance(source, dict) else None
        cover = source.get("photo_cover_index") if isinstance(source, dict) else None
        if not isinstance(urls, list) or not 1 <= len(urls) <= PHOTOS or cover not in range(len(urls)):
            raise self._wrong(f"photo_images has 1 to {PHOTOS} addresses, and photo_cover_index is one of theirs")
        for url in urls:
            self._check_owned(str(url))
        text, privacy = "", None
        if direct:
            text, privacy = self._post_info(call, account, "description", PHOTO_DESCRIPTION)
        else:
            self._check_pending(account)
        publish = self._made("p_pub_url~v2-1.", account, "PROCESSING_DOWNLOAD", text, privacy)
        publish.photo, publish.options = True, call.params
        self._plan(PULL_SECONDS, publish, "deadline")
        self._pull(publish, str(urls[0]), urls[1:])
        return self._answer({"publish_id": publish.id})

    def _made(self, prefix: str, account: str, status: str, title: str, privacy: str | None) -> Publish:
        publish = Publish(prefix + self._id(), account, status, self.sandbox.clock.now(), title, privacy)
        self.publishes[publish.id] = publish
        forget_oldest(self.publishes, self.sandbox.capacity)
        if privacy:
            self.creators[account].posted.append(publish.begun)
        return publish

    def _check_owned(self, url: str) -> None:
        try:
            parts = urlsplit(url)
        except ValueError:
            raise self._wrong("The address is no address.") from None
        # This machine's own addresses stand in for verified ones: there is no domain to prove, and no certificate.
        if self.variant("ownership") == "local" and parts.hostname in ("127.0.0.1", "localhost"):
            return
        if parts.scheme != "https" or not any(url.startswith(prefix) for prefix in self.verified):
            message = "Please review our URL ownership verification rules."
            raise self._refused(403, "url_ownership_unverified", message)

    def _pull(self, publish: Publish, url: str, rest: list[Any]) -> None:
        then = partial(self._pulled, publish.id, rest)
        self.sandbox.outbound_requests.append(
            self.download(url, then, publish.account, seconds=10.0, ranged=not publish.photo)
        )

    def _pulled(self, id_: str, rest: list[Any], file: Fetched) -> None:
        publish = self.publishes.get(id_)
        if publish is None or publish.final:
            return
        if file.status != 200:  # a redirect is one of those
            self._fail(publish, "photo_pull_failed" if publish.photo else "video_pull_failed")
            return
        publish.downloaded += len(file.content)
        publish.files.append(digest(file.content))
        publish.content += file.content
        if publish.photo and (problem := _photo_problem(file.content)):
            self._fail(publish, problem)
        elif rest:
            self._pull(publish, str(rest[0]), rest[1:])
        else:
            publish.pulled = True
            self._process(publish)

    def upload(self, call: Call) -> Answer:
        """Store a chunk (``tiktok.md`` 7.2); its address alone identifies the upload."""
        token = call.query.get("upload_token")
        publish = next((p for p in self.publishes.values() if p.upload == token), None) if token else None
        if publish is None or publish.status != "PROCESSING_UPLOAD":
            raise Refusal(Answer(404, ""))
        if self.sandbox.clock.now() - publish.begun > UPLOAD_LIFE:
            raise Refusal(Answer(403, ""))
        given = _RANGE.fullmatch(call.headers.get("content-range", ""))
        kind = call.headers.get("content-type", "")
        if given is None or kind not in ("video/mp4", "video/quicktime", "video/webm"):
            raise Refusal(Answer(400, ""))
        first, last, total = map(int, given.groups())
        broken = len(call.body) < int(call.headers.get("content-length", len(call.body)))
        if last - first + 1 != len(call.body) and not broken:
            raise Refusal(Answer(400, ""))
        done = len(publish.content)
        number = done // publish.chunk
        size = publish.size - done if number == publish.chunks - 1 else publish.chunk
        if (first, last + 1 - first, total) != (done, size, publish.size):
            raise Refusal(Answer(416, "", self._progress(publish)))
        publish.content += call.body
        publish.received = len(publish.content)
        if len(publish.content) < publish.size:
            return Answer(206, "", self._progress(publish))
        publish.files.append(digest(publish.content))
        self._process(publish)
        return Answer(201, "", self._progress(publish))

    def _progress(self, publish: Publish) -> dict[str, str]:
        told = len(publish.content) - (self.variant("progress") == "index")
        return {"Content-Range": f"bytes 0-{max(0, told)}/{publish.size}"}

    def cancel(self, call: Call) -> Answer:
        publish = self._named(call, self._authorised(call, "init:cancel", "video.publish", "video.upload"))
        if publish.status != "PROCESSING_DOWNLOAD":
            raise self._refused(400, "publish_not_cancellable", "The publish is in a state that cannot be cancelled.")
        self._fail(publish, "publish_cancelled")
        return self._answer({})

    def status(self, call: Call) -> Answer:
        publish = self._named(call, self._authorised(call, "status", "video.publish", "video.upload"))
        data: dict[str, Any] = {"status": publish.status}
        if publish.reason:
            data["fail_reason"] = publish.reason
        if publish.post_ids:
            data["publicaly_available_post_id"] = [int(id_) for id_ in publish.post_ids]  # the typo is official
        counted = "downloaded_bytes" if publish.upload is None else "uploaded_bytes"
        data[counted] = publish.downloaded if publish.upload is None else publish.received
        return self._answer(data)

    def _named(self, call: Call, account: str) -> Publish:
        publish = self.publishes.get(str(call.fields.get("publish_id")))
        if publish is None:
            raise self._refused(400, "invalid_publish_id", "The publish_id does not exist.")
        if publish.account != account:
            code = "token_not_authorized_for_specified_publish_id"
            raise self._refused(400, code, "The publish_id does not belong to the user of this token.")
        return publish

    # --- what becomes of it

    def _plan(self, seconds: float, publish: Publish, step: str) -> None:
        due = self.sandbox.clock.seconds() + seconds
        heapq.heappush(self._due, (due, len(self._due), publish.id, step))

    def _process(self, publish: Publish) -> None:
        processing = self.process(PROCESSING_SECONDS)
        if processing.result == "failed":
            publish.failure = processing.reason or "file_format_check_failed"
        if processing.result != "stuck":
            self._plan(processing.seconds, publish, "processed")

    def next_due(self) -> float | None:
        return self._due[0][0] if self._due else None

    def advance(self) -> None:
        while self._due and self._due[0][0] <= self.sandbox.clock.seconds():
            _, _, id_, step = heapq.heappop(self._due)
            publish = self.publishes.get(id_)
            if publish is not None:
                self._step(publish, step)

    def _step(self, publish: Publish, step: str) -> None:
        if step == "deadline" and publish.status == "PROCESSING_DOWNLOAD" and not publish.pulled:
            self._fail(publish, "photo_pull_failed" if publish.photo else "video_pull_failed")
        elif step == "processed" and not publish.final:
            if publish.failure or b"corrupt" in publish.content:
                self._fail(publish, publish.failure or "file_format_check_failed")
            elif publish.privacy is None:
                publish.status = "SEND_TO_USER_INBOX"
                about = {"publish_id": publish.id, "files": publish.files, "options": publish.options}
                self.record("draft", account=publish.account, **about)
                self._about("inbox_delivered", publish)
            else:
                self._complete(publish, public=publish.privacy == "PUBLIC_TO_EVERYONE")
            publish.content.clear()
        elif step in self.posts and publish.status == "PUBLISH_COMPLETE":
            self._appear(publish, step)

    def _complete(self, publish: Publish, *, public: bool) -> Post:
        """Post it. A draft may be posted several times."""
        post = self._post(publish.account, publish.title, public=False, photo=publish.photo)
        publish.status = "PUBLISH_COMPLETE"
        post.publish, post.ai_generated = publish.id, publish.ai_generated
        by = {} if publish.privacy else {"by": "owner"}  # a draft is posted by the person
        about = {"publish_id": publish.id, "files": publish.files, "options": publish.options, **by}
        self.record("post", account=publish.account, id=post.id, text=post.text, **about)
        self._about("complete", publish)
        if public:
            self._plan(MODERATION_SECONDS, publish, post.id)
        return post

    def _appear(self, publish: Publish, post: str) -> None:
        self.posts[post].public = True
        publish.post_ids.append(post)
        self._about(f"{self.variant('spelling')}_available", publish, post)

    def _fail(self, publish: Publish, reason: str) -> None:
        publish.status, publish.reason = "FAILED", reason
        self._about("failed", publish, reason=reason)

    def _hide(self, post: Post) -> None:
        post.public = False
        publish = self.publishes.get(post.publish)
        if publish is not None:
            publish.post_ids = [id_ for id_ in publish.post_ids if id_ != post.id]
            self._about("no_longer_publicaly_available", publish, post.id)

    # --- webhooks (tiktok.md 2)

    def _about(self, event: str, publish: Publish, post: str | None = None, reason: str | None = None) -> None:
        content: dict[str, Any] = {"publish_id": publish.id, "publish_type": publish.kind}
        if post is not None:
            content["post_id"] = post if self.variant("post_id") == "text" else int(post)
        if reason is not None:
            content["reason"] = reason
        self._tell(f"post.publish.{event}", publish.account, content)

    def _tell(self, event: str, account: str, content: dict[str, Any]) -> None:
        self.notify(event, account, content)

    def batch_key(self, event: PlatformEvent) -> Hashable:
        return event.number

    def body(self, events: Sequence[PlatformEvent]) -> bytes:
        [event] = events
        document = {
            "client_key": CLIENT_KEY,
            "event": event.topic,
            "create_time": int(event.at),  # of the event, not of the delivery
            "user_openid": self.creators[event.account].open_id,
            "content": json.dumps(event.value, separators=(",", ":")),
        }
        return json.dumps(document, separators=(",", ":")).encode()

    def signature(self, body: bytes, secret: str, first: float, now: float) -> Mapping[str, str]:
        """Whether ``t`` is made anew for each attempt is unconfirmed (``tiktok.md`` 2.2)."""
        stamp = str(int(now if self.variant("stamp") == "anew" else first)).encode()
        digest = hmac.new(secret.encode(), stamp + b"." + body, hashlib.sha256).hexdigest()
        return {"TikTok-Signature": f"t={stamp.decode()},s={digest}"}

    def error_answers(self) -> Mapping[str, Answer]:
        """Return the answers of ``tiktok.md`` 9; ``creator_info`` gives its blockers with status 200 (5)."""
        statuses = {
            "invalid_params": 400,
            "app_version_check_failed": 400,
            "invalid_publish_id": 400,
            "token_not_authorized_for_specified_publish_id": 400,
            "publish_not_cancellable": 400,
            "invalid_file_upload": 400,
            "scope_permission_missed": 400,
            "access_token_invalid": 401,
            "scope_not_authorized": 401,
            "spam_risk_too_many_posts": 403,
            "spam_risk_too_many_pending_share": 403,
            "spam_risk_user_banned_from_posting": 403,
            "reached_active_user_cap": 403,
            "unaudited_client_can_only_post_to_private_accounts": 403,
            "url_ownership_unverified": 403,
            "privacy_level_option_mismatch": 403,
            "rate_limit_exceeded": 429,
            "internal_error": 500,
        }
        errors = {code: self._refused(status, code, code.replace("_", " ")).answer for code, status in statuses.items()}
        uploads = {f"upload_{status}": Answer(status, "") for status in (400, 403, 404, 416, 502)}
        return {**errors, **uploads}

    # --- life

    def people(self) -> Sequence[str]:
        return list(self.creators)

    def visible_posts(self, account: str) -> list[dict[str, Any]]:
        return [
            {"id": post.id, "text": post.text, "public": post.public, "comments": []}
            for post in self.library.of(account)
        ]

    def drafts(self, account: str) -> list[dict[str, str]]:
        return [
            {"id": publish.id, "text": publish.title}
            for publish in reversed(self.publishes.values())
            if publish.account == account and publish.status == "SEND_TO_USER_INBOX"
        ]

    def simulate_activity(self) -> None:
        """Simulate a publish through the application, or a change of a post's audience."""
        rng = self.sandbox.rng
        account = rng.choice(list(self.creators))
        dice = rng.random()
        drafts = [p for p in self.publishes.values() if p.account == account and p.status == "SEND_TO_USER_INBOX"]
        visible = [post for post in self._public(account)[:20] if post.publish]
        if visible and dice < 0.1:
            self._hide(rng.choice(visible))
            return
        if drafts and dice < 0.35:
            draft = rng.choice(drafts)
            draft.title = sample_text.caption(self.sandbox)
            self._complete(draft, public=True)
            return
        privacy = None if dice < 0.5 else rng.choice(("PUBLIC_TO_EVERYONE", "PUBLIC_TO_EVERYONE", "SELF_ONLY"))
        prefix = f"v_{'pub' if privacy else 'inbox'}_file~v2-1."
        publish = self._made(prefix, account, "PROCESSING_UPLOAD", sample_text.caption(self.sandbox), privacy)
        self.creators[account].posted.clear()  # it is not the cap of a day that is to be seen here
        if rng.random() < 0.2:
            self._fail(publish, rng.choice(FAILURES))
        else:
            self._process(publish)

    def simulate_publish(self, account: str, text: str) -> str:
        """Publish in TikTok's own app, which sends no event."""
        post = self._post(account, text, public=not self.creators[account].private)
        self.record("post", account=account, id=post.id, text=text, by="owner")
        return post.id

    def simulate_post_draft(self, account: str, draft: str) -> str:
        """Post a draft from the inbox; a person may do so several times (``tiktok.md`` 2.4)."""
        publish = self.publishes.get(draft)
        if publish is None or publish.account != account or publish.privacy is not None:
            raise CommandError(f"{account} has no draft {draft}")
        if publish.status not in ("SEND_TO_USER_INBOX", "PUBLISH_COMPLETE"):
            raise CommandError(f"the draft is not in the inbox: {publish.status}")
        return self._complete(publish, public=True).id

    def simulate_remove(self, account: str, id_: str) -> None:
        post = self.library.own(account, id_)
        if post.public:
            self._hide(post)
        self.library.remove(id_)

    def simulate_change(self, change: Change) -> None:
        """Make a post private (``hide``) or public again, change its caption, or like it, as in the app.

        An event follows only for posts that the application published (``tiktok.md`` 2.4).
        """
        post = self.library.own(change.account, change.id)
        if change.what == "hide":
            if post.public:
                self._hide(post)
        elif change.what == "unhide":
            self._unhide(post)
        elif change.what == "edit":
            post.text = change.text
        elif change.what == "like":
            post.likes = max(0, post.likes + change.count)
            post.views += max(0, 7 * change.count)
        else:
            super().simulate_change(change)
        self.record("change", action=change.what, account=change.account, id=change.id, by="owner", endpoint=None)

    def _unhide(self, post: Post) -> None:
        if post.public:
            return
        if post.publish in self.publishes:
            self._appear(self.publishes[post.publish], post.id)
        post.public = True

    def configure_object(self, id_: str, settings: Mapping[str, Any]) -> None:
        self.library.configure(id_, settings)

    def seed_world(self, size: WorldSize) -> Mapping[str, Any]:
        return self.library.seed(size)

    def export_world(self, account: str | None) -> Mapping[str, Any]:
        return self.library.export(account)

    def churn(self, rng: random.Random, kind: str) -> bool:
        account = rng.choice(list(self.creators))
        if kind == "publish":
            self.simulate_publish(account, f"churn {rng.randrange(10**6)}")
            return True
        found = [post for post in self.library.of(account) if kind == "remove" or post.public == (kind != "unhide")]
        if not found:
            return False
        post = rng.choice(found)
        if kind == "remove":
            self.simulate_remove(account, post.id)
            self.record("change", action="remove", account=account, id=post.id, by="owner", endpoint=None)
        else:
            text = f"churn {rng.randrange(10**6)}"
            self.simulate_change(Change(kind, account, post.id, text=text, count=rng.randint(1, 9)))
        return True

    def simulate_withdraw(self, account: str, scope: str) -> int:
        if scope not in SCOPES:
            raise CommandError(f"a permission is one of {', '.join(SCOPES)}")
        held = {id(token.grant): token.grant for token in self.access.values() if token.grant.account == account}
        having = [grant for grant in held.values() if scope in grant.scopes]
        for grant in having:
            grant.scopes.remove(scope)
        return len(having)

    def simulate_revoke(self, account: str) -> int:
        return self._end(account, 1)


PLATFORM = TikTok


def _options(creator: Creator) -> list[str]:
    """``tiktok.md`` 5."""
    first = "FOLLOWER_OF_CREATOR" if creator.private else "PUBLIC_TO_EVERYONE"
    return [first, "MUTUAL_FOLLOW_FRIENDS", "SELF_ONLY"]


def _photo_problem(content: bytes) -> str | None:
    """Return what a photo fails with; None for a good one (``tiktok.md`` 11)."""
    if not content.startswith((b"\xff\xd8\xff", b"RIFF")):
        return "file_format_check_failed"
    sides = imagesize.get(io.BytesIO(content))
    too_large = len(content) > PHOTO_BYTES or min(map(float, sides)) > PHOTO_SIDE
    return "picture_size_check_failed" if too_large else None


def _chunk_problem(size: Any, chunk: Any, count: Any) -> str | None:
    """Return what is wrong with a plan of chunks; None for a valid one (``tiktok.md`` 7.1)."""
    if not all(type(number) is int and number > 0 for number in (size, chunk, count)):
        return "video_size, chunk_size and total_chunk_count must be positive integers"
    if size > VIDEO_BYTES:
        return "The video is too large."
    if count != size // chunk:
        return "The total chunk count is invalid"
    if count == 1:
        return None if chunk == size <= CHUNK[1] else "The chunk size is invalid"
    if not CHUNK[0] <= chunk <= CHUNK[1]:
        return "The chunk size is invalid"
    return None if count <= CHUNKS else "The total chunk count is invalid"


def _units(text: str) -> int:
    """UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
