"""LinkedIn, OAuth and the versioned REST API: contract ``linkedin.md``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from ops.sandbox import consent, pkce
from ops.sandbox.contract import Answer, Call, CommandError, Refusal, Route, Sandbox, digest, redirect
from ops.sandbox.linkedin_organizations import POSTING_ROLES, LinkedInOrganizations, Post
from ops.sandbox.pkce import Challenge

CLIENT_ID, CLIENT_SECRET = "sandbox-linkedin-client", "sandbox-linkedin-secret"
"""The secret signs webhooks too (``linkedin.md`` 2)."""
CODE_SECONDS = 30 * 60
ACCESS_SECONDS, REFRESH_SECONDS = 60 * 86400, 365 * 86400
PRODUCTS: Mapping[str, Sequence[str]] = {
    "sign_in_and_share": ("openid", "profile", "email", "w_member_social"),
    "community_management": (
        "r_basicprofile",
        "w_member_social",
        "w_member_social_feed",
        "w_organization_social",
        "r_organization_social",
        "rw_organization_admin",
        "r_organization_social_feed",
        "w_organization_social_feed",
        "r_member_postAnalytics",
    ),
}
"""What an application may ask for, by its product: Community Management stands alone (``linkedin.md`` 1.1)."""
CHARACTERS = 3000
DUPLICATES = {"10m": timedelta(minutes=10), "48h": timedelta(hours=48)}
"""How long an exact repeat is refused: as documented, and as seen (``linkedin.md`` 4)."""
DAILY_POSTS = 150
PART_BYTES = 4 * 2**20
VIDEO_BYTES = (75 * 1024, 500 * 2**20)
UPLOAD_SECONDS = 3600
PROCESSING_SECONDS = {"image": 1.0, "document": 5.0, "video": 15.0}
VISIBILITIES = ("PUBLIC", "CONNECTIONS", "LOGGED_IN", "CONTAINER")
POLL_DURATIONS = ("ONE_DAY", "THREE_DAYS", "SEVEN_DAYS", "FOURTEEN_DAYS")
QUESTION, OPTION = 140, 30
SETTABLE = ("commentary", "contentCallToActionLabel", "contentLandingPage", "lifecycleState")
"""What a partial update may set (``linkedin.md`` 4.3)."""

NEVER = datetime(9999, 12, 31, tzinfo=UTC)

_LIST = re.compile(r"List\((.*)\)")
_ESCAPED = re.compile(r"\\([\\|{}@\[\]()<>#*_~])")
_MENTION = re.compile(r"@\[[^\]]*\]\(urn:li:[a-zA-Z]+:\w+\)|\{hashtag\|\\#\|\w+\}")


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
    account: str
    scopes: list[str]
    created: datetime
    expires: datetime
    entry: dict[str, Any]
    revoked: bool = False


@dataclass
class Asset:
    """An image, document or video; ``parts`` are the inclusive byte ranges of its uploads."""

    urn: str
    kind: str
    owner: str
    parts: list[tuple[int, int]]
    expires: datetime
    uploaded: dict[int, bytes] = field(default_factory=dict)
    ready: datetime | None = None
    """Time when processing ends; None until it is uploaded."""
    failed: bool = False
    """Whether a test asked for its processing to fail."""

    @property
    def content(self) -> bytes:
        return b"".join(self.uploaded[index] for index in sorted(self.uploaded))

    @property
    def broken(self) -> bool:
        return self.failed or any(b"corrupt" in part for part in self.uploaded.values())


class LinkedIn(LinkedInOrganizations):
    """``partner`` is whether the application was approved for refresh tokens; most are not (``linkedin.md`` 1)."""

    name = "linkedin"
    title = "LinkedIn"
    unreported: ClassVar[Mapping[str, str]] = {  # linkedin.md 2.3
        "publish": "LinkedIn sends nothing for a new post of one's own.",
        "delete_post": "LinkedIn sends nothing for a deleted or edited post.",
        "revoke": "LinkedIn does not tell: the subscriptions end with the grant.",
        "change": "LinkedIn sends nothing for a like that is taken back.",
    }
    partner = False
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        **LinkedInOrganizations.variants,
        # A 422 may name the first post, or one that answers 404 and is another one at every retry (linkedin.md 4).
        "duplicate": ("named", "ghost"),
        "duplicate_window": tuple(DUPLICATES),
        # One project saw 204 without effect on the commentary (linkedin.md 4.3).
        "partial_update": ("applied", "ignored"),
        # The development tier has no BATCH_GET (linkedin.md 6).
        "tier": ("standard", "development"),
        "product": tuple(PRODUCTS),
        # A scope that the application lacks: an error at the redirect address, or a page of LinkedIn's (linkedin.md 1).
        "unauthorized_scope": ("redirect", "page"),
        # Whether a refresh gives another refresh token is not confirmed (linkedin.md 9).
        "refresh_token": ("kept", "rotated"),
    }

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.signing_secret = CLIENT_SECRET
        self.versions = {f"20260{month}" for month in range(1, 10)}
        self._last = 7_000_000_000_000_000_000
        self.accounts = {"alice": "aLiCe01", "bob": "bOb0002", "shop": "sHoP003"}
        self.codes: dict[str, Code] = {}
        self.tokens: dict[str, Token] = {}
        self.refresh: dict[str, Token] = {}
        self.assets: dict[str, Asset] = {}
        self.uploads: dict[str, tuple[Asset, int]] = {}
        self.posts: dict[str, Post] = {}
        self._failing: list[tuple[datetime, Post]] = []
        """Posts that will turn out not to be published, with the time when their media have failed."""
        self.created: list[Post] = []
        """Posts created through the API, including deleted ones, whose repeats are refused too."""

    def routes(self) -> Sequence[Route]:
        return (
            Route("GET", "/oauth/v2/authorization", self.ask),
            Route("POST", "/oauth/v2/authorization", self.decide),
            Route("POST", "/oauth/v2/accessToken", self.token),
            Route("POST", "/oauth/v2/introspectToken", self.introspect),
            Route("POST", "/oauth/v2/revoke", self.revoke),
            Route("GET", "/v2/userinfo", self.userinfo),
            Route("GET", "/v2/me", self.me),
            Route("POST", "/rest/posts", self.post),
            Route("GET", "/rest/posts", self.find),
            Route("GET", "/rest/posts/{urn}", self.show),
            Route("POST", "/rest/posts/{urn}", self.update),
            Route("DELETE", "/rest/posts/{urn}", self.delete),
            Route("POST", "/rest/{kind:images|documents|videos}", self.initialize_or_finalize),
            Route("GET", "/rest/{kind:images|documents|videos}/{urn}", self.asset_status),
            Route("PUT", "/dms-uploads/{upload}", self.put),
            *self.organization_routes(),
        )

    def application(self) -> tuple[str, str]:
        return CLIENT_ID, self.signing_secret

    def unknown(self, call: Call) -> Answer:
        return _error(404, f"No virtual resource found for {call.path}", "RESOURCE_NOT_FOUND")

    def account_of(self, call: Call) -> str | None:
        token = self.tokens.get(call.bearer or "")
        return None if token is None else token.account

    # --- OAuth (linkedin.md 1)

    def ask(self, call: Call) -> Answer:
        self._check_question(call)
        if refused := self._unauthorized_scope(call):
            error = _oauth(400, "unauthorized_scope_error", f'Scope "{refused}" is not authorized for your application')
            if self.variant("unauthorized_scope") == "page":
                raise error
            return redirect(call.text("redirect_uri") or "", error.answer.content | {"state": call.text("state") or ""})
        names = ("client_id", "redirect_uri", "state", "scope", "response_type", *pkce.FIELDS)
        hidden = {name: call.text(name) or "" for name in names}
        return consent.page(
            "LinkedIn", "the application", list(self.accounts), (call.text("scope") or "").split(), hidden
        )

    def decide(self, call: Call) -> Answer:
        self._check_question(call)
        if refused := self._unauthorized_scope(call):
            raise _oauth(400, "unauthorized_scope_error", f'Scope "{refused}" is not authorized for your application')
        back, address = {"state": call.text("state") or ""}, call.text("redirect_uri") or ""
        account = call.text("account") or ""
        if call.text("decision") != "approve" or account not in self.accounts:
            denied = {"error": "user_cancelled_authorize", "error_description": "The user cancelled the authorization"}
            return redirect(address, denied | back)
        code = self.sandbox.secret(48)
        # All or nothing: a member cannot untick single scopes, whatever the page offers.
        scopes = (call.text("scope") or "").split()
        expires = self.sandbox.clock.in_(seconds=CODE_SECONDS)
        self.codes[code] = Code(account, scopes, address, pkce.challenge_of(call), expires)
        return redirect(address, {"code": code} | back)

    def _check_question(self, call: Call) -> None:
        if call.text("client_id") != CLIENT_ID or call.text("response_type") != "code":
            raise _oauth(400, "invalid_request", "client_id or response_type is not valid")
        if call.text("redirect_uri") not in self.redirect_uris:
            raise _oauth(400, "invalid_redirect_uri", "The redirect_uri does not match the registered value")

    def _unauthorized_scope(self, call: Call) -> str:
        """Return a scope that was asked for and that the application's product does not have; empty for none."""
        scopes = (call.text("scope") or "").split() or ["none"]
        return next((scope for scope in scopes if scope not in PRODUCTS[self.variant("product")]), "")

    def token(self, call: Call) -> Answer:
        self._check_client(call)
        now = self.sandbox.clock.now()
        if call.text("grant_type") == "refresh_token":
            known = self.refresh.get(call.text("refresh_token") or "")
            if known is None or known.revoked or known.expires <= now:
                raise _oauth(400, "invalid_request", "The provided refresh token is invalid, expired or revoked")
            # Refreshing does not extend the 365 days; access ends with them at the latest.
            refresh = call.text("refresh_token") or ""
            if self.variant("refresh_token") == "rotated":
                del self.refresh[refresh]
                refresh = self.sandbox.secret(48)
                self.refresh[refresh] = known
            return self._issue(known.account, known.scopes, refresh, known.expires)
        code = self.codes.get(call.text("code") or "")
        if (
            call.text("grant_type") != "authorization_code"
            or code is None
            or code.used
            or code.expires < now
            or code.redirect_uri != call.text("redirect_uri")
            or not pkce.proven(code.challenge, call)
        ):
            raise _oauth(400, "invalid_request", "Unable to retrieve access token: authorization code not found")
        code.used = True
        self._end_other_scopes(code)
        if not self.partner:
            return self._issue(code.account, code.scopes, None, None)
        refresh, until = self.sandbox.secret(48), now + timedelta(seconds=REFRESH_SECONDS)
        entry = self._entry(code.account, "refresh", code.scopes)
        self.refresh[refresh] = Token(code.account, code.scopes, now, until, entry)
        return self._issue(code.account, code.scopes, refresh, until)

    def _end_other_scopes(self, code: Code) -> None:
        """End the member's tokens that have another set of scopes (``linkedin.md`` 1)."""
        for known in self.tokens.values():
            if known.account == code.account and set(known.scopes) != set(code.scopes) and not known.revoked:
                known.revoked, known.entry["state"] = True, "ended by a consent with other scopes"

    def _issue(self, account: str, scopes: list[str], refresh: str | None, until: datetime | None) -> Answer:
        now, access = self.sandbox.clock.now(), self.sandbox.secret(48)
        expires = now + timedelta(seconds=ACCESS_SECONDS)
        expires = expires if until is None else min(expires, until)
        self.tokens[access] = Token(account, scopes, now, expires, self._entry(account, "access", scopes))
        answer = {
            "access_token": access,
            "expires_in": round((expires - now).total_seconds()),
            "scope": ",".join(scopes),
            "token_type": "Bearer",
        }
        if refresh is not None and until is not None:
            left = round((until - now).total_seconds())
            answer |= {"refresh_token": refresh, "refresh_token_expires_in": left}
        return Answer(content=answer)

    def _entry(self, account: str, use: str, scopes: list[str]) -> dict[str, Any]:
        return self.record("token", account=account, use=use, scope=" ".join(scopes), state="live")

    def introspect(self, call: Call) -> Answer:
        self._check_client(call)
        known = self.tokens.get(call.text("token") or "")
        if known is None:
            return Answer(content={"active": False})
        active = not known.revoked and known.expires > self.sandbox.clock.now()
        return Answer(
            content={
                "active": active,
                "status": "active" if active else "revoked" if known.revoked else "expired",
                "scope": ",".join(known.scopes),
                "client_id": CLIENT_ID,
                "auth_type": "3L",
                "created_at": int(known.created.timestamp()),
                "authorized_at": int(known.created.timestamp()),
                "expires_at": int(known.expires.timestamp()),
            }
        )

    def revoke(self, call: Call) -> Answer:
        """End a token, as clients ask; no official page describes it (``linkedin.md`` 1)."""
        self._check_client(call)
        for known in (self.tokens.get(call.text("token") or ""), self.refresh.get(call.text("token") or "")):
            if known is not None:
                known.revoked = True
                known.entry["state"] = "revoked"
                self._end_unheld(known.account)
        return Answer()

    def _end_unheld(self, account: str) -> None:
        """End the member's subscriptions if no token is left (``linkedin.md`` 2.3)."""
        tokens = (*self.tokens.values(), *self.refresh.values())
        if not any(token.account == account and not token.revoked for token in tokens):
            self.simulate_unsubscribe(account)

    def simulate_revoke(self, account: str) -> int:
        """End the member's tokens, and silently the subscriptions (``linkedin.md`` 2.3)."""
        lived = [
            token
            for token in (*self.tokens.values(), *self.refresh.values())
            if token.account == account and not token.revoked
        ]
        for token in lived:
            token.revoked, token.entry["state"] = True, "revoked by the person"
        self.simulate_unsubscribe(account)
        return len(lived)

    def sunset(self, version: str) -> None:
        if version not in self.versions:
            raise CommandError(f"{version} is none of {', '.join(sorted(self.versions))}")
        self.versions.discard(version)

    def _check_client(self, call: Call) -> None:
        if call.text("client_id") != CLIENT_ID or call.text("client_secret") != self.signing_secret:
            raise _oauth(401, "invalid_client", "Client authentication failed")

    def person(self, call: Call, *scopes: str) -> str:
        """Return the member of the token, if it has one of the scopes. Raises 401 or 403."""
        token = self.tokens.get(call.bearer or "")
        if token is None:
            raise Refusal(_error(401, "Invalid access token", "INVALID_ACCESS_TOKEN"))
        if token.revoked:
            raise Refusal(
                _error(401, "The token used in the request has been revoked by the user", "REVOKED_ACCESS_TOKEN")
            )
        if token.expires <= self.sandbox.clock.now():
            raise Refusal(_error(401, "The token used in the request has expired", "EXPIRED_ACCESS_TOKEN"))
        if not set(scopes) & set(token.scopes):
            raise Refusal(_error(403, "Not enough permissions to access this resource", "ACCESS_DENIED"))
        return token.account

    def scopes_of(self, call: Call) -> Sequence[str]:
        token = self.tokens.get(call.bearer or "")
        return () if token is None else token.scopes

    def versioned(self, call: Call) -> None:
        """Check the version header. Raises 400 without one and 426 for a retired one (``linkedin.md`` 3)."""
        version = call.headers.get("linkedin-version")
        if version is None:
            raise Refusal(_error(400, "A version must be present. Please specify a version", "VERSION_MISSING"))
        if version not in self.versions:
            raise Refusal(_error(426, f"Requested version {version}01 is not active", "NONEXISTENT_VERSION"))

    def userinfo(self, call: Call) -> Answer:
        account = self.person(call, "openid", "profile")
        name = account.title()
        return Answer(
            content={
                "sub": self.accounts[account],
                "name": f"{name} Sandbox",
                "given_name": name,
                "family_name": "Sandbox",
                "locale": {"country": "US", "language": "en"},
                "email": f"{account}@example.org",
            }
        )

    def me(self, call: Call) -> Answer:
        """Show the member to an application of Community Management (``linkedin.md`` 1.1)."""
        account = self.person(call, "r_basicprofile")
        name = account.title()
        return Answer(
            content={
                "id": self.accounts[account],
                "localizedFirstName": name,
                "localizedLastName": "Sandbox",
                "localizedHeadline": "Tea",
                "vanityName": account,
            }
        )

    # --- posts (linkedin.md 4)

    def post(self, call: Call) -> Answer:
        self.versioned(call)
        account = self.person(call, "w_member_social", "w_organization_social")
        body = dict(call.fields)
        account = self._author(call, account, body.get("author"))
        self._check_post(body, account)
        now, window = self.sandbox.clock.now(), DUPLICATES[self.variant("duplicate_window")]
        for other in reversed(self.created):
            if other.account == account and other.body == body and now - other.created < window:
                named = other.urn if self.variant("duplicate") == "named" else f"urn:li:share:{self.new_id()}"
                raise Refusal(_duplicate(named))
        today = sum(p.account == account and p.created.date() == now.astimezone(UTC).date() for p in self.created)
        if today >= DAILY_POSTS:
            raise Refusal(_error(429, "Resource level throttle limit for calls to this resource is reached.", None))
        kind = "ugcPost" if any(":video:" in urn for urn in _attached(body.get("content"))) else "share"
        urn = f"urn:li:{kind}:{self.new_id()}"
        post = Post(urn, account, body, shown(str(body.get("commentary") or "")), now)
        self.posts[urn] = post
        self.created.append(post)
        del self.created[: -self.sandbox.capacity]
        alt_texts = _alt_texts(body.get("content"))
        assets = [(self.assets[one], alt_texts.get(one)) for one in _attached(body.get("content"))]
        files = [digest(asset.content, alt_text) for asset, alt_text in assets]
        about = {"commentary": body.get("commentary"), "files": files, "options": body}
        self.record("post", account=account, id=urn, text=post.shown, **about)
        failures = [asset.ready for asset, _ in assets if asset.broken and asset.ready]
        if failures:
            self._failing.append((min(failures), post))
        return Answer(201, "", {"x-restli-id": urn})

    def _author(self, call: Call, account: str, urn: Any) -> str:
        """Return the author of a URN: the member, or an organization that they administer. Raises 403."""
        scopes = self.scopes_of(call)
        if urn == self.urn(account) and "w_member_social" in scopes:
            return account
        organization = self.organization(urn)
        if organization and self.may(account, organization, *POSTING_ROLES) and "w_organization_social" in scopes:
            return organization
        raise Refusal(_error(403, "Field Value validation failed in REQUEST_BODY: author", "ACCESS_DENIED"))

    def _check_post(self, body: dict[str, Any], account: str) -> None:
        distribution = body.get("distribution")
        feed = distribution.get("feedDistribution") if isinstance(distribution, dict) else None
        if (
            body.get("visibility") not in VISIBILITIES
            or body.get("lifecycleState") != "PUBLISHED"
            or feed not in ("MAIN_FEED", "NONE")
        ):
            raise _invalid("visibility, lifecycleState or distribution")
        if len(str(body.get("commentary") or "")) > CHARACTERS:
            raise _invalid(f"commentary is longer than {CHARACTERS} characters")
        content, reshare = body.get("content"), body.get("reshareContext")
        if content is None and not body.get("commentary") and reshare is None:
            raise _invalid("commentary or content")
        if reshare is not None and (not isinstance(reshare, dict) or str(reshare.get("parent")) not in self.posts):
            raise _invalid("reshareContext.parent")
        _check_content(content)
        for urn in _attached(content):
            asset = self.assets.get(urn)
            if asset is None or asset.owner != account:
                raise Refusal(_error(400, f"{urn} is not an asset of the author", "INVALID_IMAGE_ID"))
            if asset.ready is None:
                raise Refusal(_error(400, f"{urn} waits for its upload", "MEDIA_ASSET_WAITING_UPLOAD"))
            if asset.broken and asset.ready <= self.sandbox.clock.now():
                raise Refusal(_error(400, f"The processing of {urn} failed", "MEDIA_ASSET_PROCESSING_FAILED"))

    def next_due(self) -> float | None:
        return min((due.timestamp() for due, _ in self._failing), default=None)

    def advance(self) -> None:
        """Say of posts whose media have failed that they are gone."""
        for due, post in [item for item in self._failing if item[0] <= self.sandbox.clock.now()]:
            self._failing.remove((due, post))
            self.record("change", action="vanish", account=post.account, id=post.urn, by="platform", endpoint=None)

    def _lifecycle(self, post: Post) -> str:
        """Return the state of a post; one whose media fail later is not published, in spite of its 201."""
        now = self.sandbox.clock.now()
        assets = [self.assets[urn] for urn in _attached(post.body.get("content")) if urn in self.assets]
        if any(asset.ready is None or asset.ready > now for asset in assets):
            return "PUBLISH_REQUESTED"
        return "PUBLISH_FAILED" if any(asset.broken for asset in assets) else "PUBLISHED"

    def _shape(self, post: Post) -> dict[str, Any]:
        created = int(post.created.timestamp() * 1000)
        modified = created if post.modified is None else int(post.modified.timestamp() * 1000)
        return post.body | {
            "id": post.urn,
            "lifecycleState": self._lifecycle(post),
            "lifecycleStateInfo": {"isEditedByAuthor": post.modified is not None},
            "createdAt": created,
            "publishedAt": created,
            "lastModifiedAt": modified,
            "isReshareDisabledByAuthor": bool(post.body.get("isReshareDisabledByAuthor")),
        }

    def show(self, call: Call) -> Answer:
        self.versioned(call)
        account = self.person(call, "r_organization_social")
        post = self.posts.get(call.parts["urn"])
        own_view = call.text("viewContext") == "AUTHOR"
        if post is None or (not own_view and self._lifecycle(post) == "PUBLISH_FAILED"):
            raise Refusal(_error(404, "Post is not found", "NOT_FOUND"))
        if post.account not in self.organizations or not self.may(account, post.account, *POSTING_ROLES):
            raise Refusal(_error(403, "Not enough permissions to access: GET /posts", "ACCESS_DENIED"))
        return Answer(content=self._shape(post))

    def find(self, call: Call) -> Answer:
        """List an author's posts, or read several (``linkedin.md`` 4.2)."""
        self.versioned(call)
        account = self.person(call, "r_organization_social")
        method = call.headers.get("x-restli-method", "").upper()
        if (ids := call.text("ids")) is not None:
            return self._batch(ids, method)
        organization = self.organization(call.text("author"))
        if call.text("q") != "author" or method not in ("", "FINDER"):
            raise _invalid("q")
        if organization is None or not self.may(account, organization, *POSTING_ROLES):  # r_member_social is closed
            raise Refusal(
                _error(403, "Not enough permissions to access: partnerApiPosts.FINDER-author", "ACCESS_DENIED")
            )
        start, count = self.page_of(call)
        order = call.text("sortBy") or "LAST_MODIFIED"
        if order not in ("LAST_MODIFIED", "CREATED"):
            raise Refusal(_error(400, "sortBy is LAST_MODIFIED or CREATED", "ILLEGAL_ARGUMENT"))
        mine = [p for p in self.posts.values() if p.account == organization and self.listed(p.created)]
        mine.sort(key=lambda p: (p.modified or p.created) if order == "LAST_MODIFIED" else p.created, reverse=True)
        links = []
        if start + count < len(mine):
            query = {**call.query, "start": str(start + count), "count": str(count)}
            links = [{"rel": "next", "type": "application/json", "href": f"/rest/posts?{urlencode(query)}"}]
        elements = [self._shape(post) for post in mine[start : start + count]]
        paging = {"start": start, "count": count, "links": links, "total": len(mine)}
        return Answer(content={"elements": elements, "paging": paging})

    def _batch(self, ids: str, method: str) -> Answer:
        if method != "BATCH_GET" or self.variant("tier") == "development":
            raise Refusal(_error(403, "Not enough permissions to access: posts.BATCH_GET", "ACCESS_DENIED"))
        named = _LIST.fullmatch(ids)
        if named is None:
            raise Refusal(_error(400, "ids is List(...)", "ILLEGAL_ARGUMENT"))
        urns = named[1].split(",")
        found = {urn: self.posts[urn] for urn in urns if urn in self.posts}
        missing = _error(404, "Post is not found", "NOT_FOUND").content
        return Answer(
            content={
                "results": {urn: self._shape(post) for urn, post in found.items()},
                "statuses": {urn: 200 if urn in found else 404 for urn in urns},
                "errors": {urn: missing for urn in urns if urn not in found},
            }
        )

    def update(self, call: Call) -> Answer:
        """Set the commentary, little else, and answer 204 (``linkedin.md`` 4.3)."""
        self.versioned(call)
        account = self.person(call, "w_member_social", "w_organization_social")
        if call.headers.get("x-restli-method", "").upper() != "PARTIAL_UPDATE":
            raise Refusal(_error(400, "X-RestLi-Method must be PARTIAL_UPDATE", "ILLEGAL_ARGUMENT"))
        post, patch = self.posts.get(call.parts["urn"]), call.fields.get("patch")
        if post is None:
            raise Refusal(_error(404, "Post is not found", "NOT_FOUND"))
        self._author(call, account, self.urn(post.account))
        changes = patch.get("$set") if isinstance(patch, dict) else None
        if not isinstance(changes, dict) or not changes or not set(changes) <= set(SETTABLE):
            raise _invalid(f"patch.$set: one of {', '.join(SETTABLE)}")
        commentary = changes.get("commentary", post.body.get("commentary"))
        if len(str(commentary or "")) > CHARACTERS:
            raise _invalid(f"commentary is longer than {CHARACTERS} characters")
        if self.variant("partial_update") == "applied":
            post.body, post.shown = {**post.body, **changes}, shown(str(commentary or ""))
        post.modified = self.sandbox.clock.now()
        self.changed("edit", post.account, post.urn)
        return Answer(204, "")

    def delete(self, call: Call) -> Answer:
        self.versioned(call)
        account = self.person(call, "w_member_social", "w_organization_social")
        post = self.posts.get(call.parts["urn"])
        if post is not None:
            self._author(call, account, self.urn(post.account))
            del self.posts[post.urn]
            self.changed("delete", post.account, post.urn)
        return Answer(204, "")

    def error_answers(self) -> Mapping[str, Answer]:
        """Return the answers of ``linkedin.md`` 3, 4, 5 and 6."""
        return {
            "duplicate": _duplicate(f"urn:li:share:{self.new_id()}"),
            "access_denied": _error(403, "Not enough permissions to access this resource", "ACCESS_DENIED"),
            "token_expired": _error(401, "The token used in the request has expired", "EXPIRED_ACCESS_TOKEN"),
            "token_revoked": _error(401, "The token used in the request has been revoked", "REVOKED_ACCESS_TOKEN"),
            "throttled": _error(429, "Resource level throttle limit for calls to this resource is reached.", None),
            "comments_throttled": _error(429, "Comment create throttled", None),
            "conflict": _error(409, "Conflict", "CONFLICT"),
            "version_ended": _error(426, "Requested version 20260101 is not active", "NONEXISTENT_VERSION"),
            "server_error": _error(500, "Internal Server Error", "SERVER_ERROR"),
            "unavailable": _error(503, "Service Unavailable", None),
            "gateway_timeout": Answer(504, "", {"Content-Type": "text/plain"}),
            "created_without_id": Answer(201, ""),
            "upload_expired": _error(400, "The upload URL has expired", "EXPIRED_UPLOAD_URL"),
            "too_large": Answer(413, ""),
            "unsupported_type": Answer(415, ""),
        }

    # --- media (linkedin.md 5)

    def initialize_or_finalize(self, call: Call) -> Answer:
        self.versioned(call)
        account = self.person(call, "w_member_social", "w_organization_social")
        kind = call.parts["kind"].removesuffix("s")
        action = call.query.get("action")
        if action == "finalizeUpload" and kind == "video":
            return self._finalize(call, account)
        if action != "initializeUpload":
            raise _invalid("action")
        command = call.fields.get("initializeUploadRequest")
        if not isinstance(command, dict):
            raise _invalid("initializeUploadRequest.owner")
        return self._initialize(call, self._author(call, account, command.get("owner")), kind, command)

    def _initialize(self, call: Call, account: str, kind: str, command: dict[str, Any]) -> Answer:
        parts = [(0, 0)]
        if kind == "video":
            size = command.get("fileSizeBytes")
            if not isinstance(size, int) or not VIDEO_BYTES[0] <= size <= VIDEO_BYTES[1]:
                raise _invalid("fileSizeBytes")
            parts = [(first, min(first + PART_BYTES, size) - 1) for first in range(0, size, PART_BYTES)]
        expires = self.sandbox.clock.in_(seconds=UPLOAD_SECONDS)
        asset = Asset(f"urn:li:{kind}:{self.sandbox.secret(48)[:16]}", kind, account, parts, expires)
        self.assets[asset.urn] = asset
        urls = []
        for index in range(len(parts)):
            upload = self.sandbox.secret(48)
            self.uploads[upload] = (asset, index)
            urls.append(f"{call.base}/dms-uploads/{upload}")
        until = int(expires.timestamp() * 1000)
        if kind != "video":
            return Answer(content={"value": {"uploadUrl": urls[0], "uploadUrlExpiresAt": until, kind: asset.urn}})
        instructions = [
            {"uploadUrl": url, "firstByte": first, "lastByte": last}
            for url, (first, last) in zip(urls, parts, strict=True)
        ]
        value = {"video": asset.urn, "uploadToken": "", "uploadUrlsExpireAt": until, "uploadInstructions": instructions}
        return Answer(content={"value": value})

    def put(self, call: Call) -> Answer:
        """Store uploaded bytes: images and documents need the token, parts of a video do not."""
        found = self.uploads.get(call.parts["upload"])
        if found is None or found[0].expires < self.sandbox.clock.now():
            raise Refusal(_error(400, "The upload URL has expired", "EXPIRED_UPLOAD_URL"))
        asset, index = found
        if asset.kind == "video":
            first, last = asset.parts[index]
            if len(call.body) != last - first + 1:
                raise Refusal(_error(400, f"expected bytes {first} to {last}, both of them included", None))
            asset.uploaded[index] = call.body
            return Answer(200, "", {"ETag": f'"{_tag(asset, index)}"'})
        if not self._owns(self.account_of(call), asset):
            raise Refusal(_error(401, "Invalid access token", "INVALID_ACCESS_TOKEN"))
        asset.uploaded[0] = call.body
        self._process(asset)
        return Answer(201, "")

    def _process(self, asset: Asset) -> None:
        processing = self.process(PROCESSING_SECONDS[asset.kind])
        asset.failed = processing.result == "failed"
        stuck = processing.result == "stuck"
        asset.ready = NEVER if stuck else self.sandbox.clock.in_(seconds=processing.seconds)

    def _finalize(self, call: Call, account: str) -> Answer:
        command = call.fields.get("finalizeUploadRequest")
        asset = self.assets.get(str(command.get("video"))) if isinstance(command, dict) else None
        if not isinstance(command, dict) or asset is None or not self._owns(account, asset):
            raise _invalid("finalizeUploadRequest.video")
        given = [str(tag).strip('"') for tag in command.get("uploadedPartIds", [])]
        if sorted(asset.uploaded) != list(range(len(asset.parts))) or given != [
            _tag(asset, index) for index in range(len(asset.parts))
        ]:
            raise _invalid("uploadedPartIds: every part, in order")
        self._process(asset)
        return Answer(200, "")

    def asset_status(self, call: Call) -> Answer:
        self.versioned(call)
        # With w_member_social alone the status may not be read.
        account = self.person(call, "w_organization_social", "r_organization_social")
        asset = self.assets.get(call.parts["urn"])
        if asset is None or not self._owns(account, asset):
            raise Refusal(_error(404, "Asset is not found", "NOT_FOUND"))
        if asset.ready is None:
            status = "WAITING_UPLOAD"
        elif asset.ready > self.sandbox.clock.now():
            status = "PROCESSING"
        else:
            status = "PROCESSING_FAILED" if asset.broken else "AVAILABLE"
        return Answer(content={"id": asset.urn, "owner": self.urn(asset.owner), "status": status})

    def _owns(self, account: str | None, asset: Asset) -> bool:
        if account is None or asset.owner not in self.organizations:
            return account == asset.owner
        return self.may(account, asset.owner, *POSTING_ROLES)

    def new_id(self) -> str:
        self._last += self.sandbox.rng.randrange(1, 1000)
        return str(self._last)


PLATFORM = LinkedIn


def shown(commentary: str) -> str:
    """Return little text as readers see it: cut at the first unescaped parenthesis (``linkedin.md`` 4.1)."""
    kept = _MENTION.sub(lambda m: "\x00" * len(m.group()), _ESCAPED.sub("\x01\x01", commentary))
    cut = kept.find("(")
    return _ESCAPED.sub(r"\1", commentary if cut < 0 else commentary[:cut])


def _check_content(content: Any) -> None:
    """Raises 422 for content of the wrong shape, and 400 for a document without title (``linkedin.md`` 4.4, 4.5)."""
    if content is None:
        return
    kinds = [
        name for name in ("media", "multiImage", "article", "poll") if isinstance(content, dict) and name in content
    ]
    if len(kinds) != 1 or not isinstance(content[kinds[0]], dict):
        raise _invalid("content: one of media, multiImage, article and poll")
    value = content[kinds[0]]
    if kinds[0] == "media" and ":document:" in str(value.get("id")) and not value.get("title"):
        raise Refusal(_error(400, "content.media.title is required for documents", "MISSING_FIELD"))
    if kinds[0] == "article" and not (value.get("source") and value.get("title")):
        raise _invalid("content.article: source and title")
    if kinds[0] == "poll":
        _check_poll(value)


def _check_poll(poll: dict[str, Any]) -> None:
    options, settings = poll.get("options"), poll.get("settings")
    texts = (
        [item.get("text") if isinstance(item, dict) else None for item in options] if isinstance(options, list) else []
    )
    if not 0 < len(str(poll.get("question") or "")) <= QUESTION:
        raise _invalid(f"content.poll.question has 1 to {QUESTION} characters")
    if not 2 <= len(texts) <= 4 or not all(isinstance(text, str) and 0 < len(text) <= OPTION for text in texts):
        raise _invalid(f"content.poll.options holds 2 to 4 options of 1 to {OPTION} characters")
    if not isinstance(settings, dict) or settings.get("duration") not in POLL_DURATIONS:
        raise _invalid(f"content.poll.settings.duration is one of {', '.join(POLL_DURATIONS)}")


def _duplicate(urn: str) -> Answer:
    """Return the answer to an exact repeat, as it was seen (``linkedin.md`` 4)."""
    errors = [{"description": "Duplicate post is detected", "input": {}, "code": "DUPLICATE_POST"}]
    cause = "com.linkedin.publishing.platform.exception.BadRequestResponseException"
    return Answer(
        422,
        {
            "errorDetailType": "com.linkedin.common.error.BadRequest",
            "message": f"{cause}: Content is a duplicate of {urn}",
            "errorDetails": {"inputErrors": errors},
            "status": 422,
        },
    )


def _attached(content: Any) -> list[str]:
    """Return the URNs of the assets that a post names."""
    if not isinstance(content, dict):
        return []
    media, many = content.get("media"), content.get("multiImage")
    found = [media.get("id")] if isinstance(media, dict) else []
    if isinstance(many, dict):
        images = many.get("images")
        if not isinstance(images, list) or not 2 <= len(images) <= 20:
            raise _invalid("multiImage.images holds 2 to 20 images")
        found += [image.get("id") if isinstance(image, dict) else None for image in images]
    return [str(urn) for urn in found]


def _alt_texts(content: Any) -> dict[str, str]:
    """Return the alternative texts of a post by URN."""
    if not isinstance(content, dict):
        return {}
    many = content.get("multiImage")
    items = [content.get("media"), *(many.get("images", []) if isinstance(many, dict) else [])]
    return {str(item["id"]): item["altText"] for item in items if isinstance(item, dict) and item.get("altText")}


def _tag(asset: Asset, index: int) -> str:
    return f"{asset.urn.rpartition(':')[2]}-{index}"


def _error(status: int, message: str, code: str | None) -> Answer:
    return Answer(status, {"status": status, "message": message} | ({"code": code} if code else {}))


def _invalid(what: str) -> Refusal:
    return Refusal(_error(422, f"Field Value validation failed in REQUEST_BODY: {what}", "FIELD_INVALID"))


def _oauth(status: int, error: str, description: str) -> Refusal:
    return Refusal(Answer(status, {"error": error, "error_description": description}))
