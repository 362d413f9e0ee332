"""Facebook Login, Pages, and Instagram behind a Page: contract ``meta.md`` 1, 3, 6, 7.2, 9.2 and 10."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ops.sandbox import consent, pkce, sample_text
from ops.sandbox.contract import (
    Answer,
    Call,
    CommandError,
    Fetched,
    OutboundRequest,
    PlatformEvent,
    Route,
    Sandbox,
    digest,
    forget_oldest,
    redirect,
    whole,
)
from ops.sandbox.graph_api import SHORT_SECONDS, Edge, Keyed, Node, Token, loaded, upload_failed, when
from ops.sandbox.instagram_api import InstagramApi
from ops.sandbox.instagram_service import Person

VERSION = r"/{version:(?:v\d+\.\d+/)?}"
TASKS = ["ANALYZE", "ADVERTISE", "MODERATE", "CREATE_CONTENT", "MANAGE"]
FULL_CONTROL = ["PROFILE_PLUS_FULL_CONTROL", "PROFILE_PLUS_ANALYZE"]
CREATE = {"CREATE_CONTENT", "MANAGE", "PROFILE_PLUS_FULL_CONTROL", "PROFILE_PLUS_CREATE_CONTENT"}
"""Any one of these tasks lets a person publish for a page; the long names are those of pages of the new experience."""

DATA_ACCESS = timedelta(days=90)
SCHEDULE = (timedelta(minutes=10), timedelta(days=30))
REEL_SCHEDULE = (timedelta(minutes=10), timedelta(days=29))
REELS_DAILY = 30
DUPLICATE = timedelta(minutes=10)
PROCESSING_SECONDS = 30
NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""Publication time of a post that stays unpublished."""

MESSAGING_FIELDS = (
    *("messages", "message_echoes", "message_deliveries", "message_reads", "message_reactions", "message_edits"),
    *("message_context", "messaging_postbacks", "messaging_optins", "messaging_referrals", "messaging_handovers"),
    *("messaging_account_linking", "messaging_policy_enforcement", "messaging_customer_information", "standby"),
)
PAGE_FIELDS = (
    *("feed", "mention", "ratings", "videos", "live_videos", "leadgen", "group_feed", "business_integrity"),
    *MESSAGING_FIELDS,
)
"""Their names differ from those of Instagram (``meta.md`` 1.5, 3.1)."""

PAGE_METRICS = (
    *("page_total_media_view_unique", "page_media_view", "page_post_engagements", "page_views_total", "page_follows"),
    *("page_daily_follows_unique", "page_daily_unfollows_unique", "page_follows_city", "page_follows_country"),
    *("page_total_actions", "page_video_view_time", "page_actions_post_reactions_total"),
)
INSTAGRAM_FIELDS = ("comments", "live_comments", "mentions", "story_insights")
"""What the application hears of the Instagram accounts behind pages (``meta.md`` 2.1)."""

POST_METRICS = ("post_total_media_view_unique",)
"""Those that are left since 2025-11-15 (``meta.md`` 10.5)."""

PHOTO_BYTES = 4 * 2**20
FETCHED_FORMATS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"RIFF")
STORY_LIFE = timedelta(hours=24)


@dataclass
class Comment:
    id: str
    post: str
    by: str
    by_id: str
    text: str
    created: datetime
    parent: str | None = None
    hidden: bool = False


@dataclass
class Post:
    id: str
    page: str
    kind: str
    text: str
    created: datetime
    media: list[str]
    app: bool
    """Whether the application made it; it can edit no other post."""
    due: datetime | None = None
    """Time of publication; None once it is published."""
    link: str | None = None
    hidden: bool = False
    updated: datetime | None = None
    options: dict[str, Any] = field(default_factory=dict)
    """The parameters of the call that made it, for the ledger."""
    comments: dict[str, Comment] = field(default_factory=dict)


@dataclass
class Video:
    """An upload, by the phases of reels or by a session of the uploader."""

    id: str
    page: str
    size: int
    content: bytearray = field(default_factory=bytearray)
    kind: str = "video"
    """``video``, ``reel`` or ``story``, by the edge of its upload."""
    created: datetime = NEVER
    finished: dict[str, Any] | None = None
    ready: datetime | None = None
    failure: str | None = None
    post: str | None = None
    settled: bool = False
    """Whether it needs no more of us: it failed, is a draft, or has its post."""

    @property
    def whole(self) -> bool:
        return 0 < self.size <= len(self.content)

    @property
    def broken(self) -> bool:
        return bool(self.failure) or b"corrupt" in self.content or (self.whole and self.content[4:8] != b"ftyp")


@dataclass
class Photo:
    page: str
    url: str
    alt_text: str | None
    file: dict[str, Any]
    """What the ledger says of it."""
    post: str | None = None
    """The post or story that shows it."""


@dataclass
class Page:
    id: str
    name: str
    instagram: str | None
    tasks: dict[str, list[str]]
    """Tasks by person."""
    posts: dict[str, Post] = field(default_factory=dict)
    found: str = "listed"
    """How it is found: ``listed`` by ``/me/accounts``, ``owned`` by a portfolio or its ``client``, or ``picked``
    in the dialog, and known by its id alone (``meta.md`` 7.2)."""


@dataclass
class Business:
    """A business portfolio, through which its people find its pages."""

    id: str
    name: str
    people: Sequence[str]
    pages: Sequence[str]


class Facebook(InstagramApi):
    name = "facebook"
    title = "Facebook"
    client_id = "2000000000000002"
    token_prefix = "EAA"  # noqa: S105
    basic = "public_profile"
    exchange_grant, refresh_grant = "fb_exchange_token", ""
    business = "pages"
    scopes = (
        *("public_profile", "email", "business_management", "instagram_manage_contents"),
        *("pages_show_list", "pages_read_engagement", "pages_manage_metadata", "pages_manage_posts"),
        *("pages_manage_engagement", "pages_read_user_content", "pages_messaging", "publish_video", "read_insights"),
        *("instagram_basic", "instagram_manage_comments", "instagram_manage_insights", "instagram_content_publish"),
        "instagram_manage_messages",
    )
    permissions: ClassVar[Mapping[str, Sequence[str]]] = {
        "read": ("instagram_basic",),
        "comments": ("instagram_basic", "instagram_manage_comments"),
        "insights": ("instagram_basic", "instagram_manage_insights"),
        "publish": ("instagram_basic", "instagram_content_publish"),
        "messages": ("instagram_manage_messages",),
        "contents": ("instagram_basic", "instagram_manage_contents"),
    }
    reads_robots = True  # meta.md 9.2
    resumable = ("reel_bytes", "upload", "upload_chunk")
    streams = ("page", "instagram", "deauthorize", "deletion")
    unreported: ClassVar[Mapping[str, str]] = {  # meta.md 2.2 and 3.1
        "change": "Facebook sends nothing for posts that are ads, or for likes of a page that has 10,000.",
        "instagram": "Of the Instagram accounts behind pages it sends no new, edited or deleted posts, and no edited,"
        " deleted or hidden comments.",
    }
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        **InstagramApi.variants,
        "edited": ("edited", "edit"),
        "remove": ("remove", "delete"),
        "completed": ("complete", "completed"),
        "from": ("from", "sender", "absent"),
        # How a page's call with a person's token is refused (meta.md 7.4, 14: T29).
        "page_token": ("210", "190"),
        # Whether a second finish of a published reel publishes it again (meta.md 9.6: unconfirmed).
        "repeated_finish": ("harmless", "publishes_again"),
        # Whether is_published publishes a post that was made unpublished (meta.md 9.4: unconfirmed).
        "is_published": ("applied", "ignored"),
        # Whether the application's half of object instagram can be set by a call (meta.md 1.1: unconfirmed).
        "instagram_object": ("refused", "accepted"),
    }
    with_facebook_login = True

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self._ids = 100_000_000_000_000 + sandbox.rng.randrange(10**12)
        self.users = {name: self._id() for name in ("alice", "bob")}
        listed = (("Shop", "shop", {"alice": TASKS}), ("Cafe", None, {"alice": TASKS, "bob": TASKS[:1]}))
        self.pages: dict[str, Page] = {}
        self._page_ids: dict[str, Page] = {}
        self._behind: dict[str, Page] = {}
        """Pages by the Instagram account behind them."""
        for name, instagram, people in listed:
            self._add_page(Page(self._id(), name, instagram, people))
        # Carol's pages are a portfolio's, one that she picked is in no list, and she has no others.
        self.users["carol"] = self._id()
        for name, tasks, found in (
            ("Warehouse", FULL_CONTROL, "owned"),
            ("Client", ["PROFILE_PLUS_CREATE_CONTENT"], "client"),
            ("Auditor", ["PROFILE_PLUS_ANALYZE"], "client"),
            ("Picked", FULL_CONTROL, "picked"),
        ):
            self._add_page(Page(self._id(), name, None, {"carol": tasks}, found=found))
        self.businesses = {
            name: Business(self._id(), name, ["carol"], pages)
            for name, pages in (("Holding", ["Warehouse", "Client"]), ("Agency", ["Auditor"]))
        }
        self.fans: dict[str, str] = {}
        self.posts: dict[str, Post] = {}
        self.comments: dict[str, Comment] = {}
        self.photos: dict[str, Photo] = {}
        self.videos: dict[str, Video] = {}
        self.subscribed: dict[str, set[str]] = {}
        self.app_fields: dict[str, set[str]] = {"page": set(), "instagram": set()}
        """The application's half of a subscription; the other is each page's (``meta.md`` 1.4)."""
        self._page_tokens: dict[tuple[str, str, str], str] = {}
        for page in self.pages.values():
            for _ in range(3):
                self._publish(page, "status", sample_text.caption(sandbox), [], app=False, quiet=True)

    def _add_page(self, page: Page) -> None:
        self.pages[page.name] = self._page_ids[page.id] = page
        if page.instagram:
            self._behind[page.instagram] = page

    def account_added(self, person: Person) -> None:
        """Add a page of Alice's with the account behind it."""
        page = Page(f"7{person.user_id[2:]}", f"Page {person.name}", person.name, {"alice": TASKS})
        self._add_page(page)
        if self.all_subscribed:
            self.subscribed[page.name] = set(PAGE_FIELDS)

    def _id(self) -> str:
        self._ids += self.sandbox.rng.randint(1, 5000)
        return str(self._ids)

    def routes(self) -> Sequence[Route]:
        node = VERSION + r"{id:[^/]+}"
        return (
            Route("GET", f"{VERSION}dialog/oauth", self.ask),
            Route("POST", f"{VERSION}dialog/oauth", self.decide),
            Route("GET", f"{VERSION}oauth/access_token", self.exchange),
            Route("POST", f"{VERSION}oauth/access_token", self.exchange),
            Route("GET", f"{VERSION}debug_token", self.debug),
            Route("GET", f"{VERSION}me", self.me),
            Route("GET", f"{node}/accounts", self.accounts),
            Route("GET", f"{node}/businesses", self.list_businesses),
            Route("GET", f"{node}/{{edge:owned_pages|client_pages}}", self.business_pages),
            Route("GET", f"{node}/permissions", self.list_permissions),
            Route("DELETE", f"{node}/permissions", self.remove_permissions),
            Route("DELETE", f"{node}/permissions/{{scope}}", self.remove_permission),
            Route("POST", f"{node}/subscriptions", self.subscribe_app),
            Route("GET", f"{node}/subscriptions", self.app_subscriptions),
            Route("DELETE", f"{node}/subscriptions", self.end_app_subscription),
            Route("POST", f"{node}/subscribed_apps", self.subscribe_page),
            Route("GET", f"{node}/subscribed_apps", self.page_subscriptions),
            Route("DELETE", f"{node}/subscribed_apps", self.end_page_subscription),
            Route("GET", f"{node}/feed", self.feed),
            Route("GET", f"{node}/posts", self.feed),
            Route("GET", f"{node}/published_posts", self.feed),
            Route("GET", f"{node}/scheduled_posts", self.scheduled_posts),
            Route("GET", f"{node}/video_reels", self.list_videos),
            Route("GET", f"{node}/videos", self.list_videos),
            Route("POST", f"{node}/feed", self.post),
            Route("POST", f"{node}/photos", self.photo),
            Route("POST", f"{node}/photo_stories", self.photo_story),
            Route("POST", f"{node}/uploads", self.begin_upload),
            Route("POST", f"{VERSION}{{upload:upload:[^/]+}}", self.upload_chunk),
            Route("GET", f"{VERSION}{{upload:upload:[^/]+}}", self.upload_state),
            Route("POST", f"{node}/videos", self.video),
            Route("POST", f"{node}/video_reels", self.reel),
            Route("POST", f"{node}/video_stories", self.reel),
            Route("POST", "/video-upload/{version}/{id}", self.reel_bytes),
            Route("POST", "/ig-api-upload/{version}/{id}", self.upload),
            Route("GET", f"{node}/media", self.media_list),
            Route("POST", f"{node}/media", self.create),
            Route("POST", f"{node}/media_publish", self.publish),
            Route("GET", f"{node}/content_publishing_limit", self.quota),
            Route("GET", f"{node}/stories", self.list_stories),
            Route("GET", f"{node}/comments", self.list_comments),
            Route("POST", f"{node}/comments", self.add_comment),
            Route("GET", f"{node}/replies", self.comment_replies),
            Route("POST", f"{node}/replies", self.reply),
            Route("GET", f"{node}/insights", self.page_insights),
            Route("POST", f"{node}/messages", self.message),
            Route("GET", node, self.show),
            Route("POST", node, self.edit),
            Route("DELETE", node, self.delete),
        )

    def business_id(self, account: str) -> str:
        return self.pages[account].id if account in self.pages else self.users.get(account, account)

    # --- OAuth (meta.md 7.2)

    def ask(self, call: Call) -> Answer:
        scopes = self._asked(call)
        names = ("client_id", "redirect_uri", "state", *pkce.FIELDS)
        hidden = {name: value for name in names if (value := call.text(name))}
        return consent.page("Facebook", "the application", list(self.users), scopes, hidden)

    def decide(self, call: Call) -> Answer:
        self._asked(call)
        address, back = call.text("redirect_uri") or "", {"state": call.text("state") or ""}
        account, granted = call.text("account") or "", call.many("granted")
        if call.text("decision") != "approve" or account not in self.users:
            denied = {"error": "access_denied", "error_code": "200", "error_reason": "user_denied"}
            return redirect(address, denied | {"error_description": "Permissions error"} | back)
        code = self.grant(call, account, ["public_profile", *granted], address)
        return redirect(address, {"code": code} | back, "#_=_")

    def _asked(self, call: Call) -> list[str]:
        scopes = (call.text("scope") or "").replace(",", " ").split()
        if call.text("client_id") != self.client_id or call.text("redirect_uri") not in self.redirect_uris:
            raise self.refused(191, "Can't load URL: the domain of this URL isn't included in the app's domains.")
        if call.method == "GET" and not set(scopes) <= set(self.scopes):
            raise self.refused(100, f"Invalid Scopes: {', '.join(sorted(set(scopes) - set(self.scopes)))}")
        return [scope for scope in scopes if scope != "public_profile"]

    def exchange(self, call: Call) -> Answer:
        # RFC 6749 lets a client name itself in the header too, and common clients do.
        named = call.basic or (call.text("client_id"), call.text("client_secret"))
        if named != (self.client_id, self.client_secret):
            raise self.refused(101 if named[0] != self.client_id else 1, "Error validating application.")
        if call.text("grant_type") == "client_credentials":
            return Answer(content={"access_token": self._app_token(), "token_type": "bearer"})
        if call.text("grant_type") == self.exchange_grant:
            token = self.live_token(call.text("fb_exchange_token") or "")
            # One that is long already gives another one, as long (meta.md 7.2, Refresh).
            return self._long(token)
        code = self.spent(call)
        if code is None:
            raise self.refused(100, "This authorization code has been used, has expired, or belongs elsewhere.", 36009)
        secret = self.issue(code.account, code.scopes, "short", SHORT_SECONDS)
        return Answer(content={"access_token": secret, "token_type": "bearer", "expires_in": SHORT_SECONDS})

    def _app_token(self) -> str:
        return f"{self.client_id}|{self.client_secret}"

    def _as_app(self, call: Call) -> None:
        if self.given(call) != self._app_token():
            raise self.refused(15, "This method must be called with an app access_token.")

    def debug(self, call: Call) -> Answer:
        self._as_app(call)
        token = self.tokens.get(call.text("input_token") or "")
        if token is None:
            wrong = {"code": 190, "message": "Malformed access token"}
            return Answer(content={"data": {"error": wrong, "is_valid": False, "scopes": []}})
        now = self.sandbox.clock.now()
        valid = token.dead is None and (token.expires is None or token.expires > now)
        owner = next((user for (user, page, _) in self._page_tokens if page == token.account), token.account)
        data: dict[str, Any] = {
            "app_id": self.client_id,
            "type": "PAGE" if token.use == "page" else "USER",
            "application": "the application",
            "expires_at": int(token.expires.timestamp()) if token.expires else 0,
            "data_access_expires_at": int((token.created + DATA_ACCESS).timestamp()),
            "is_valid": valid,
            "issued_at": int(token.created.timestamp()),
            "scopes": token.scopes,
            "granular_scopes": self._granular(token),
            "user_id": self.users[owner],
        }
        if token.use == "page":
            data["profile_id"] = self.pages[token.account].id
        if not valid:
            data["error"] = {"code": 190, "subcode": token.dead or 463, "message": "The session is not valid."}
        return Answer(content={"data": data})

    def _granular(self, token: Token) -> list[dict[str, Any]]:
        """Return the scopes with the ids of the pages chosen for them; pages of a portfolio are not chosen."""
        chosen = [
            page.id
            for page in self.pages.values()
            if token.account in page.tasks and page.found in ("listed", "picked")
        ]
        return [
            {"scope": scope, "target_ids": chosen} if scope.startswith("pages_") and chosen else {"scope": scope}
            for scope in token.scopes
        ]

    def _user(self, call: Call, *scopes: str) -> Token:
        token = self.authorised(call, *scopes)
        if token.account not in self.users or call.parts.get("id", "me") not in ("me", self.users[token.account]):
            raise self.missing(call.parts.get("id", "me"))
        return token

    def me(self, call: Call) -> Answer:
        token = self.authorised(call)
        if token.account in self.pages:
            return self.answer(
                token, self.pick(call, self._page_node(self.pages[token.account], token), self.fields(call))
            )
        values = {"id": self.users[token.account], "name": token.account.title()}
        return self.answer(token, self.pick(call, Node("User", values, ("id", "name")), self.fields(call)))

    def accounts(self, call: Call) -> Answer:
        """List the person's pages. A page's token expires with a short user token, and never with a long one."""
        token = self._user(call, "pages_show_list")
        mine = [page for page in self.pages.values() if token.account in page.tasks and page.found == "listed"]
        return self.answer(token, self.page(call, [self._page_node(page, token) for page in mine]))

    def list_businesses(self, call: Call) -> Answer:
        token = self._user(call, "business_management")
        mine = [
            Node("Business", {"id": business.id, "name": business.name}, ("id", "name"))
            for business in self.businesses.values()
            if token.account in business.people
        ]
        return self.answer(token, self.page(call, mine))

    def business_pages(self, call: Call) -> Answer:
        token = self.authorised(call, "business_management", "pages_show_list")
        business = next((b for b in self.businesses.values() if b.id == call.parts["id"]), None)
        if business is None or token.account not in business.people:
            raise self.missing(call.parts["id"])
        wanted = call.parts["edge"].removesuffix("_pages")
        pages = [self.pages[name] for name in business.pages if self.pages[name].found == wanted]
        return self.answer(token, self.page(call, [self._page_node(page, token) for page in pages]))

    def _page_token(self, page: Page, token: Token) -> str:
        key = (token.account, page.name, token.use)
        known = self.tokens.get(self._page_tokens.get(key, ""))
        if known is None or known.dead is not None:
            scopes = list(token.scopes)
            if CREATE.isdisjoint(page.tasks[token.account]):
                scopes = [scope for scope in scopes if scope != "pages_manage_posts"]
            self._page_tokens[key] = self.issue(page.name, scopes, "page", None)
            if token.use == "short":
                self.tokens[self._page_tokens[key]].expires = token.expires
        return self._page_tokens[key]

    def end(self, account: str, subcode: int, state: str) -> int:
        """End a person's tokens and the page tokens issued for them. Return their number."""
        given = {secret for (user, _, _), secret in self._page_tokens.items() if user == account}
        for secret in given:
            self.tokens[secret].dead, self.tokens[secret].entry["state"] = subcode, state
        return super().end(account, subcode, state) + len(given)

    def list_permissions(self, call: Call) -> Answer:
        token = self._user(call)
        return self.answer(token, {"data": [{"permission": scope, "status": "granted"} for scope in token.scopes]})

    def remove_permissions(self, call: Call) -> Answer:
        self.simulate_revoke(self._user(call).account)
        return Answer(content={"success": True})

    def remove_permission(self, call: Call) -> Answer:
        token = self._user(call)
        if call.parts["scope"] in self.scopes:
            self.simulate_withdraw(token.account, call.parts["scope"])
        return Answer(content={"success": True})

    def of_account(self, account: str) -> list[Token]:
        """Return a person's tokens, and those of pages that were issued for them."""
        given = [self.tokens[secret] for (user, _, _), secret in self._page_tokens.items() if user == account]
        return [*super().of_account(account), *given]

    # --- subscriptions (meta.md 1.1, 1.4)

    def subscribe_app(self, call: Call) -> Answer | OutboundRequest:
        self._as_app(call)
        fields = {item for value in call.many("fields") for item in value.split(",") if item}
        kind = call.text("object") or ""
        if kind != "page" and (kind != "instagram" or self.variant("instagram_object") == "refused"):
            raise self.refused(100, "Param object must be page here")  # that of Instagram is made in the dashboard
        known = PAGE_FIELDS if kind == "page" else INSTAGRAM_FIELDS
        if not fields or not fields <= set(known):
            raise self.refused(100, f"Param fields must be one of {', '.join(known)}")
        url = call.text("callback_url") or self.callbacks.get(kind) or ""
        self.verify_token = call.text("verify_token") or self.verify_token
        outbound = self.handshake(url, partial(self._subscribed_app, kind, url, fields))
        assert outbound is not None  # noqa: S101  Meta has one
        return outbound

    def _subscribed_app(self, kind: str, url: str, fields: set[str], passed: bool) -> Answer:  # noqa: FBT001
        if not passed:
            raise self.refused(2200, "Callback verification failed: HTTP Status Code or challenge do not match")
        self.callbacks[kind] = url
        self.app_fields[kind] = fields
        return Answer(content={"success": True})

    def app_subscriptions(self, call: Call) -> Answer:
        self._as_app(call)
        shown = [
            {"object": name, "callback_url": self.callbacks[name], "active": True, "fields": sorted(fields)}
            for name, fields in self.app_fields.items()
            if name in self.callbacks and fields
        ]
        return Answer(content={"data": shown})

    def end_app_subscription(self, call: Call) -> Answer:
        self._as_app(call)
        named = call.text("object")
        for name in [named] if named else list(self.app_fields):
            self.callbacks.pop(name, None)
            self.app_fields[name] = set()
        return Answer(content={"success": True})

    def subscribe_page(self, call: Call) -> Answer:
        page = self._as_page(call, "pages_manage_metadata", "pages_show_list")
        needed = dict.fromkeys(MESSAGING_FIELDS, "pages_messaging")
        token = self.live_token(self.given(call))
        before = sorted(self.subscribed.get(page.name, ()))
        self.subscribed[page.name] = set(self.subscription_fields(call, token, PAGE_FIELDS, needed, before))
        return Answer(content={"success": True})

    def page_subscriptions(self, call: Call) -> Answer:
        page = self._as_page(call, "pages_manage_metadata")
        fields = sorted(self.subscribed.get(page.name, ()))
        app = {"category": "Business", "link": "https://app.example/", "name": "the application", "id": self.client_id}
        return Answer(content={"data": [app | {"subscribed_fields": fields}] if fields else []})

    def end_page_subscription(self, call: Call) -> Answer:
        self.subscribed.pop(self._as_page(call, "pages_manage_metadata").name, None)
        return Answer(content={"success": True})

    def _as_page(self, call: Call, *scopes: str) -> Page:
        """Return the page of a call with that page's token. Raises 100, 190 or 210."""
        token = self.authorised(call, *scopes)
        page = self._page_ids.get(call.parts["id"])
        if call.parts["id"] == "me" and token.use == "page":
            return self.pages[token.account]
        if page is None:
            raise self.missing(call.parts["id"])
        if token.account != page.name:
            if self.variant("page_token") == "190":
                raise self.refused(190, "This method must be called with a Page Access Token")
            raise self.refused(210, "A page access token is required to request this resource.")
        return page

    # --- webhooks (meta.md 3)

    def stream(self, event: PlatformEvent) -> str:
        return super().stream(event) or event.topic.partition(":")[0]

    def batch_key(self, event: PlatformEvent) -> Hashable:
        return super().batch_key(event), self.stream(event)

    def handle_event(self, topic: str, account: str, value: Any) -> None:
        """Queue an Instagram event if the account's page has the application installed, with any field."""
        page = self._behind.get(account)
        if page and self.subscribed.get(page.name) and topic in self.app_fields["instagram"]:
            self.notify(f"instagram:{topic}", page.name, value)

    def callback_set(self, stream: str) -> None:
        """Subscribe to all fields, as in the dashboard."""
        if stream in self.app_fields:
            self.app_fields[stream] = set(PAGE_FIELDS if stream == "page" else INSTAGRAM_FIELDS)

    def _tell(self, page: Page, value: dict[str, Any]) -> None:
        if "feed" in self.subscribed.get(page.name, ()) and "feed" in self.app_fields["page"]:
            self.notify("page:feed", page.name, value)

    def document(self, events: Sequence[PlatformEvent]) -> Any:
        now = int(self.sandbox.clock.seconds())
        kind = self.stream(events[0])
        entries: list[dict[str, Any]] = []
        for event in events:
            page = self.pages[event.account]
            id_ = page.id if kind == "page" else self.instagram.people[page.instagram or ""].user_id
            if not entries or entries[-1]["id"] != id_:
                entries.append({"id": id_, "time": now, "changes": []})
            entries[-1]["changes"].append({"field": event.topic.partition(":")[2], "value": event.value})
        return {"object": kind, "entry": entries}

    def _about(self, item: str, verb: str, page: Page, by: str, **more: Any) -> dict[str, Any]:
        """Return a feed value; its author is written in two ways or left out (``meta.md`` 3.2)."""
        id_ = page.id if by == page.name else self.fans.setdefault(by, self._id())
        author: dict[str, dict[str, Any]] = {
            "from": {"from": {"id": id_, "name": by}},
            "sender": {"sender_id": int(id_), "sender_name": by},
            "absent": {},
        }
        return {"item": item, "verb": verb, **author[self.variant("from")], **more}

    # --- nodes

    def acts_for(self, token: Token, person: Person) -> bool:
        page = self._behind.get(person.name)
        return page is not None and (token.account == page.name or token.account in page.tasks)

    def _page_node(self, page: Page, token: Token) -> Node:
        instagram = self.person_node(self.instagram.people[page.instagram]) if page.instagram else None
        tasks = page.tasks.get(token.account)
        return Node(
            "Page",
            {
                "id": page.id,
                "name": page.name,
                "category": "Shopping & Retail",
                "category_list": [{"id": "200600219953504", "name": "Shopping & Retail"}],
                "tasks": tasks,
                "access_token": self._page_token(page, token) if tasks else None,
                "instagram_business_account": instagram,
                "connected_instagram_account": instagram,
                "link": f"https://www.facebook.com/{page.id}",
            },
            ("access_token", "category", "category_list", "name", "id", "tasks") if tasks else ("id", "name"),
        )

    def _post_node(self, post: Post) -> Node:
        page = self.pages[post.page]
        return Node(
            "Post",
            {
                "id": post.id,
                "message": post.text or None,
                "created_time": when(post.created),
                "updated_time": when(post.updated or post.created),
                "is_published": post.due is None,
                "is_hidden": post.hidden,
                "is_expired": False,
                "story": None,
                "full_picture": self.photos[post.media[0]].url if post.media and post.media[0] in self.photos else None,
                "parent_id": None,
                "shares": None,
                "attachments": Edge(lambda: self._attachments(post)),
                "scheduled_publish_time": int(post.due.timestamp()) if post.due and post.due < NEVER else None,
                "from": Node("Page", {"id": page.id, "name": page.name}, ("id", "name")),
                "permalink_url": f"https://www.facebook.com/{post.id}",
                "status_type": {"photo": "added_photos", "video": "added_video"}.get(post.kind, "mobile_status_update"),
                "comments": Edge(lambda: [self._comment_node(c) for c in post.comments.values() if c.parent is None]),
            },
            ("id", "message", "created_time"),
        )

    def _attachments(self, post: Post) -> list[Node]:
        """Return one attachment; that of several photos names them below it."""
        single: dict[str, Any] = {"subattachments": None}
        targets = [
            Node("Attachment", single | {"id": id_, "media_type": "photo", "target": {"id": id_}}) for id_ in post.media
        ]
        if post.link:
            link = {"id": post.id, "media_type": "link", "url": post.link, "target": None}
            return [Node("Attachment", single | link)]
        if len(targets) < 2:
            return [Node("Attachment", {**item.values, "media_type": post.kind}) for item in targets]
        album = {"id": post.id, "media_type": "album", "target": {"id": post.id}}
        return [Node("Attachment", album | {"subattachments": Edge(lambda: targets)})]

    def _comment_node(self, comment: Comment) -> Node:
        below = self.posts[comment.post].comments
        return Node(
            "Comment",
            {
                "id": comment.id,
                "message": comment.text,
                "created_time": when(comment.created),
                "from": Node("User", {"id": comment.by_id, "name": comment.by}, ("id", "name")),
                "is_hidden": comment.hidden,
                "parent": Node("Comment", {"id": comment.parent}) if comment.parent else None,
                "can_reply_privately": comment.by not in self.pages,
                "comment_count": sum(other.parent == comment.id for other in below.values()),
                "like_count": 0,
                "permalink_url": f"https://www.facebook.com/{comment.post}?comment_id={comment.id}",
                "comments": Edge(lambda: [self._comment_node(c) for c in below.values() if c.parent == comment.id]),
            },
            ("id", "message", "created_time", "from"),
        )

    def show(self, call: Call) -> Answer:
        node, fields = self.instagram_node(call), self.fields(call)
        token = self.authorised(call)
        id_ = call.parts["id"]
        page = self._page_ids.get(id_)
        if page is not None:
            node = self._page_node(page, token)
        elif id_ in self.posts:
            node = self._post_node(self._own_post(call, "pages_read_engagement"))
        elif id_ in self.comments:
            node = self._comment_node(self._readable_comment(call))
        elif id_ in self.photos:
            node = self._photo_node(call)
        elif id_ in self.videos:
            node = self._video_node(self._own_video(call))
        if node is None:
            raise self.missing(id_)
        return self.answer(token, self.pick(call, node, fields))

    def _acting(self, call: Call, page: str, *scopes: str) -> None:
        token = self.authorised(call, *scopes)
        if token.account != page:
            raise self.missing(call.parts["id"])

    def _own_post(self, call: Call, *scopes: str) -> Post:
        self.advance()
        post = self.posts.get(call.parts["id"])
        if post is None:
            raise self.missing(call.parts["id"])
        self._acting(call, post.page, *scopes)
        return post

    def _own_comment(self, call: Call, *scopes: str) -> Comment:
        comment = self.comments[call.parts["id"]]
        self._acting(call, self.posts[comment.post].page, *scopes)
        return comment

    def _readable_comment(self, call: Call) -> Comment:
        self._may_read_comments(call)
        return self._own_comment(call, "pages_read_engagement")

    def _may_read_comments(self, call: Call) -> None:
        """Raises 10, whose text names another permission than the one that is missing (``meta.md`` 7.2)."""
        if "pages_read_user_content" not in self.authorised(call).scopes:
            raise self.refused(10, "This endpoint requires the 'pages_read_engagement' permission")

    def _photo_node(self, call: Call) -> Node:
        photo, id_ = self.photos[call.parts["id"]], call.parts["id"]
        self._acting(call, photo.page, "pages_read_engagement")
        values = {"id": id_, "alt_text_custom": photo.alt_text, "page_story_id": photo.post}
        return Node("Photo", values | {"link": f"https://www.facebook.com/{id_}"})

    def feed(self, call: Call) -> Answer:
        """List published posts, newest first. Reels and stories are on edges of their own (``meta.md`` 10.9)."""
        self.advance()
        page = self._as_page(call, "pages_read_engagement")
        shown = [
            post
            for post in reversed(page.posts.values())
            if post.due is None and post.kind not in ("reel", "story") and self.listed(post.created)
        ]
        nodes = [self._post_node(post) for post in sorted(shown, key=lambda post: post.created, reverse=True)]
        return Answer(content=self.page(call, nodes, moment="created_time"))

    def scheduled_posts(self, call: Call) -> Answer:
        self.advance()
        page = self._as_page(call, "pages_read_engagement")
        shown = [post for post in page.posts.values() if post.due is not None and post.due < NEVER]
        return Answer(content=self.page(call, [self._post_node(post) for post in shown]))

    def list_videos(self, call: Call) -> Answer:
        """List videos or reels, newest first (``meta.md`` 10.9)."""
        self.advance()
        page = self._as_page(call, "pages_read_engagement")
        kind = "reel" if call.path.endswith("video_reels") else "video"
        shown = [
            video
            for video in reversed(self.videos.values())
            if video.page == page.name and video.kind == kind and video.post and self.listed(video.created)
        ]
        return Answer(content=self.page(call, [self._video_node(video) for video in shown]))

    def list_stories(self, call: Call) -> Answer:
        """List the stories of a page, of 24 hours, or those of an Instagram account (``meta.md`` 10.9)."""
        if call.parts["id"] not in self._page_ids:
            return self.stories(call)
        self.advance()
        page, now = self._as_page(call, "pages_read_engagement"), self.sandbox.clock.now()
        shown = [
            post
            for post in reversed(page.posts.values())
            if post.kind == "story" and now - post.created < STORY_LIFE and self.listed(post.created)
        ]
        nodes = [
            Node(
                "PageStory",
                {
                    "id": post.id,
                    "post_id": post.id,
                    "status": "PUBLISHED",
                    "creation_time": str(int(post.created.timestamp())),
                    "media_type": "photo" if post.media[0] in self.photos else "video",
                    "media_id": post.media[0],
                    "url": f"https://www.facebook.com/stories/{post.id}",
                },
                ("post_id", "status", "creation_time", "media_type", "media_id", "url"),
            )
            for post in shown
        ]
        return Answer(content=self.page(call, nodes, moment="creation_time"))

    def page_insights(self, call: Call) -> Answer:
        """Answer for a page or its post; without the permission with nothing at all (``meta.md`` 7.2, 10.5)."""
        id_ = call.parts["id"]
        page = self._page_ids.get(id_)
        if page is None and id_ not in self.posts:
            return self.insights(call)
        if page is None:
            self._own_post(call, "pages_read_engagement")
        else:
            self._as_page(call, "pages_read_engagement")
        asked = [name for item in call.many("metric") for name in item.split(",") if name]
        if not asked or not set(asked) <= set(PAGE_METRICS if page else POST_METRICS):
            raise self.refused(100, "The value must be a valid insights metric")
        if "read_insights" not in self.live_token(self.given(call)).scopes:
            return Answer(content={"data": []})
        end = when(self.sandbox.clock.now())
        period = "day" if page else "lifetime"
        data = [
            {
                "name": name,
                "period": period,
                "values": [{"value": 7} | ({"end_time": end} if page else {})],
                "title": name.replace("_", " ").title(),
                "id": f"{id_}/insights/{name}/{period}",
            }
            for name in asked
        ]
        return Answer(content={"data": data})

    # --- publishing (meta.md 9.2)

    def post(self, call: Call) -> Answer:
        page = self._as_page(call, "pages_manage_posts")
        text, link = call.text("message") or "", call.text("link")
        attached = [
            str(photo.get("media_fbid")) if isinstance(photo := loaded(value), dict) else ""
            for name, value in sorted(call.fields.items(), key=lambda item: (len(item[0]), item[0]))
            if name.startswith("attached_media")
        ]
        if not text and not link and not attached:
            raise self.refused(100, "The status you are trying to publish is empty.")
        self._check_photos(page, attached)
        newest = next((post for post in reversed(page.posts.values()) if post.due is None), None)
        if newest and text and newest.text == text and self.sandbox.clock.now() - newest.created < DUPLICATE:
            raise self.refused(506, "Duplicate status message")
        due = self._due(call, SCHEDULE)
        if due is None and call.text("published") is not None and not call.flag("published"):
            due = NEVER
        kind = "photo" if attached else "link" if link else "status"
        post = self._publish(page, kind, text, attached, app=True, due=due, link=link, options=call.params)
        return Answer(content={"id": post.id})

    def _check_photos(self, page: Page, ids: Sequence[str]) -> None:
        """Raises for photos that are not there, or that a post shows already (``meta.md`` 9.2, 9.5)."""
        for id_ in ids:
            photo = self.photos.get(id_)
            if photo is None or photo.page != page.name:
                raise self.refused(100, "Invalid parameter: attached_media")
            if photo.post is not None:
                raise self.refused(100, "These photos were already posted.", 1366051)

    def _due(self, call: Call, bounds: tuple[timedelta, timedelta]) -> datetime | None:
        """Parse the publication time (Unix seconds or ISO-8601). Raises 100 if it is outside ``bounds``."""
        given = call.text("scheduled_publish_time")
        if given is None:
            return None
        try:
            moment = datetime.fromtimestamp(int(given), UTC) if whole(given) else datetime.fromisoformat(given)
        except (ValueError, OverflowError):
            raise self.refused(100, "Invalid parameter: scheduled_publish_time") from None
        ahead = moment.astimezone(UTC) - self.sandbox.clock.now()
        if not bounds[0] <= ahead <= bounds[1]:
            raise self.refused(100, "The specified scheduled publish time is invalid.", 1363159)
        return moment.astimezone(UTC)

    def _publish(
        self,
        page: Page,
        kind: str,
        text: str,
        media: list[str],
        *,
        app: bool,
        due: datetime | None = None,
        quiet: bool = False,
        link: str | None = None,
        options: dict[str, Any] | None = None,
    ) -> Post:
        now = self.sandbox.clock.now()
        post = Post(f"{page.id}_{self._id()}", page.name, kind, text, now, media, app, due, link=link)
        post.options = options or {}
        self.posts[post.id] = page.posts[post.id] = post
        if len(self.posts) > self.sandbox.capacity:
            self._forget(next(iter(self.posts)))
        if due is None and not quiet:
            self._published(post)
        return post

    def _published(self, post: Post) -> None:
        page, post.due, post.created = self.pages[post.page], None, self.sandbox.clock.now()
        for photo in post.media:
            if photo in self.photos:
                self.photos[photo].post = post.id
        by = {} if post.app else {"by": "owner"}
        story = {"story": True} if post.kind == "story" else {}
        about = {"media": list(post.media), "files": self._files(post), "options": post.options, **by, **story}
        self.record("post", account=page.name, id=post.id, text=post.text, **about)
        created = int(post.created.timestamp())
        about = {"post_id": post.id, "message": post.text, "created_time": created, "published": 1}
        if post.kind != "story":
            item = {"reel": "video"}.get(post.kind, post.kind)
            self._tell(page, self._about(item, "add", page, page.name, **about))

    def _files(self, post: Post) -> list[dict[str, Any]]:
        photos = [self.photos[id_].file for id_ in post.media if id_ in self.photos]
        return photos + [digest(self.videos[id_].content) for id_ in post.media if id_ in self.videos]

    def next_due(self) -> float | None:
        dues = [post.due for post in self.posts.values() if post.due and post.due < NEVER]
        dues += [v.ready for v in self.videos.values() if v.finished and v.ready and not v.settled]
        return min(dues).timestamp() if dues else None

    def budget_of(self, call: Call, token: Token) -> tuple[str, str]:
        """Calls for what is Instagram's have a budget of their own (``meta.md`` 11)."""
        return token.account, "instagram" if self.is_instagram(call.parts.get("id", "")) else self.business

    def person_node(self, person: Person) -> Node:
        """Return the account as this login shows it: by its professional id, and with what its profile says."""
        values = {**super().person_node(person).values, "id": person.user_id}
        for name in ("user_id", "account_type"):  # of the other login (meta.md 7.1)
            del values[name]
        values |= {"biography": f"We are {person.name}.", "website": None}
        values["mentioned_comment"] = Keyed("comment_id", partial(self._mentioned_comment, person))
        values["mentioned_media"] = Keyed("media_id", partial(self._mentioned_media, person))
        return Node("IGUser", values)

    def _mentioned_comment(self, person: Person, id_: str) -> Node:
        """Return the comment of somebody else in which the account is mentioned (``meta.md`` 10.4)."""
        mention = self.instagram.mentions.get(id_)
        if mention is None or mention.account != person.name or mention.comment is None:
            raise self.missing(id_)
        values = {
            "id": mention.comment,
            "text": mention.text,
            "timestamp": when(mention.created),
            "like_count": 0,
            "media": Node("IGMedia", {"id": mention.media, "media_url": "https://scontent.example/m.jpg"}),
        }
        return Node("IGComment", values, ("id", "text", "timestamp"))

    def _mentioned_media(self, person: Person, id_: str) -> Node:
        """Return the post of somebody else in whose caption, or below which, the account is mentioned."""
        found = (mention for mention in self.instagram.mentions.values() if mention.media == id_)
        mention = next((mention for mention in found if mention.account == person.name), None)
        if mention is None:
            raise self.missing(id_)
        values = {
            "id": mention.media,
            "caption": mention.caption,
            "media_type": "IMAGE",
            "timestamp": when(mention.created),
            "username": mention.by,
        }
        return Node("IGMedia", values)

    def edge(self, call: Call, path: str) -> str:
        id_ = call.parts.get("id", "")
        if id_ in self._page_ids:
            return path.replace("{id}", "{page}")
        if id_ in self.posts or id_ in self.comments:
            return path.replace("{id}", "{post}" if id_ in self.posts else "{comment}")
        return super().edge(call, path)

    def advance(self) -> None:
        """Publish scheduled posts that are due and videos that are processed."""
        now = self.sandbox.clock.now()
        for post in [post for post in self.posts.values() if post.due and post.due <= now]:
            self._published(post)
        for video in self.videos.values():
            if video.finished and video.ready and video.ready <= now and not video.settled:
                self._video_ready(video)

    def photo(self, call: Call) -> Answer | OutboundRequest:
        page = self._as_page(call, "pages_manage_posts")
        url, file = call.text("url"), call.files.get("source")
        if file is not None:
            return self._photographed(call, page, Fetched(200, file.content_type, file.content))
        if url is None:
            raise self.refused(100, "Requires upload file or url")
        if (urlsplit(url).hostname or "").endswith((".fbcdn.net", "fbcdn.net")):
            raise self.refused(100, "The source of a photo cannot be on Facebook's own servers")
        return self.download(url, partial(self._photographed, call, page), page.name, seconds=30.0)

    def _photographed(self, call: Call, page: Page, file: Fetched) -> Answer:
        if file.status != 200 or not file.content.startswith(FETCHED_FORMATS):
            raise self.refused(324, "Missing or invalid image file", 2069019)
        if len(file.content) > PHOTO_BYTES:
            raise self.refused(100, "Photos should be smaller than 4 MB and saved as JPG or PNG.", 1366046)
        photo, text = self._id(), call.text("caption") or call.text("message") or ""
        alt_text = call.text("alt_text_custom")
        self.photos[photo] = Photo(page.name, call.text("url") or "", alt_text, digest(file.content, alt_text))
        forget_oldest(self.photos, self.sandbox.capacity)
        if call.text("published") is not None and not call.flag("published"):
            return Answer(content={"id": photo})
        post = self._publish(page, "photo", text, [photo], app=True, options=call.params)
        return Answer(content={"id": photo, "post_id": post.id})

    def photo_story(self, call: Call) -> Answer:
        page = self._as_page(call, "pages_manage_posts")
        photo = call.text("photo_id") or ""
        self._check_photos(page, [photo])
        post = self._publish(page, "story", "", [photo], app=True, options=call.params)
        return Answer(content={"success": True, "post_id": post.id})

    # --- video

    def begin_upload(self, call: Call) -> Answer:
        token = self.authorised(call)
        if call.parts["id"] not in (self.client_id, "app"):
            raise self.missing(call.parts["id"])
        length = call.text("file_length") or ""
        if not whole(length) or call.text("file_type") not in ("video/mp4", "image/jpeg", "image/png"):
            raise self.refused(100, "Invalid parameter: file_length or file_type")
        video = self._video(token.account, int(length))
        return Answer(content={"id": f"upload:{video.id}"})

    def _video(self, account: str, size: int, kind: str = "video") -> Video:
        video = Video(self._id(), account, size, kind=kind, created=self.sandbox.clock.now())
        self.videos[video.id] = video
        forget_oldest(self.videos, self.sandbox.capacity)
        return video

    def _session(self, call: Call) -> Video:
        token = self.authorised(call)
        video = self.videos.get(call.parts["upload"].removeprefix("upload:"))
        if video is None or video.page != token.account:
            raise self.missing(call.parts["upload"])
        return video

    def upload_chunk(self, call: Call) -> Answer:
        video = self._session(call)
        offset = call.headers.get("file_offset", "")
        if offset != str(len(video.content)):
            return upload_failed("OffsetInvalidError", f"expected offset {len(video.content)}", retriable=True)
        video.content += call.body
        if not video.whole:
            return upload_failed("PartialRequestError", f"{len(video.content)} of {video.size} bytes", retriable=True)
        return Answer(content={"h": f"2:{video.id}"})

    def upload_state(self, call: Call) -> Answer:
        return Answer(content={"id": call.parts["upload"], "file_offset": len(self._session(call).content)})

    def video(self, call: Call) -> Answer | OutboundRequest:
        page = self._as_page(call, "pages_manage_posts")
        if url := call.text("file_url"):
            return self.download(url, partial(self._fetched_video, call, page), page.name, ranged=True)
        handle = (call.text("fbuploader_video_file_chunk") or "").removeprefix("2:")
        video = self.videos.get(handle)
        if video is None or not video.whole:
            raise self.refused(389, "Unable to fetch video file.")
        made = self._video(page.name, video.size)  # another one each time: nothing says that a handle is used up
        made.content += video.content
        return self._finish(made, call)

    def _fetched_video(self, call: Call, page: Page, file: Fetched) -> Answer:
        if file.status != 200:
            raise self.refused(389, "Unable to fetch video file from URL.")
        video = self._video(page.name, len(file.content))
        video.content += file.content
        return self._finish(video, call)

    def _finish(self, video: Video, call: Call) -> Answer:
        params = {name: call.text(name) for name in ("title", "description")}
        due = self._due(call, SCHEDULE)
        if due is None and call.text("published") is not None and not call.flag("published"):
            due = NEVER
        self._process_video(video)
        video.finished = params | {"due": due, "options": call.params}
        return Answer(content={"id": video.id})

    def _process_video(self, video: Video) -> None:
        processing = self.process(PROCESSING_SECONDS)
        if processing.result == "failed":
            video.failure = processing.reason or "The file is corrupt."
        if processing.result != "stuck":
            video.ready = self.sandbox.clock.in_(seconds=processing.seconds)

    def _video_ready(self, video: Video) -> None:
        assert video.finished is not None  # noqa: S101  the caller looked
        video.settled = True
        if video.broken:
            return
        params = video.finished
        text = str(params.get("description") or "")
        post = self._publish(
            self.pages[video.page],
            video.kind,
            text,
            [video.id],
            app=True,
            due=params["due"],
            options=params["options"],
        )
        video.post = post.id

    def reel(self, call: Call) -> Answer:
        page = self._as_page(call, "pages_manage_posts")
        phase = call.text("upload_phase")
        kind = "reel" if call.path.endswith("video_reels") else "story"
        if phase == "start":
            day = self.sandbox.clock.now() - timedelta(hours=24)
            recent = [p for p in page.posts.values() if p.kind == "reel" and p.created > day]
            if (
                kind == "reel" and len(recent) >= REELS_DAILY
            ):  # no code is documented for it; this is the one of custom throttles
                raise self.refused(613, "Calls to this api have exceeded the rate limit: 30 reels in 24 hours.")
            video = self._video(page.name, 0, kind)
            return Answer(content={"video_id": video.id, "upload_url": f"{call.base}/video-upload/v25.0/{video.id}"})
        video_ = self.videos.get(call.text("video_id") or "")
        if phase != "finish" or video_ is None or (video_.page, video_.kind) != (page.name, kind):
            raise self.refused(100, "Invalid parameter: upload_phase or video_id")
        state = call.text("video_state") or "PUBLISHED"
        if state not in ("PUBLISHED", "SCHEDULED", "DRAFT") or not video_.whole:
            raise self.refused(100, "Invalid parameter: video_state, or the upload is not whole")
        due = self._due(call, REEL_SCHEDULE)
        if (state == "SCHEDULED") != (due is not None):
            raise self.refused(100, "scheduled_publish_time goes with video_state SCHEDULED")
        if video_.finished is None:
            self._process_video(video_)
        if video_.post is not None and self.variant("repeated_finish") == "publishes_again":
            video_.post = None
        if video_.post is None:  # whether a second finish changes what is published is unconfirmed (meta.md 9.6)
            video_.settled = state == "DRAFT"
            params = {"description": call.text("description"), "title": call.text("title")}
            video_.finished = params | {"due": due, "options": call.params}
        return Answer(content={"success": True})

    def reel_bytes(self, call: Call) -> Answer | OutboundRequest:
        video = self._own_video(call)
        if url := call.headers.get("file_url"):
            return self.download(url, partial(self._reel_fetched, video), video.page, ranged=True)
        offset, size = call.headers.get("offset", ""), call.headers.get("file_size", "")
        if offset != str(len(video.content)) or not whole(size):
            return upload_failed("OffsetInvalidError", f"expected offset {len(video.content)}", retriable=True)
        video.size = int(size)
        video.content += call.body
        if not video.whole:
            return upload_failed("PartialRequestError", f"{len(video.content)} of {video.size} bytes", retriable=True)
        return Answer(content={"success": True})

    def _reel_fetched(self, video: Video, file: Fetched) -> Answer:
        if file.status != 200:
            return upload_failed("ProcessingFailedError", "the file could not be fetched", retriable=False)
        video.content, video.size = bytearray(file.content), len(file.content)
        return Answer(content={"success": True})

    def _own_video(self, call: Call) -> Video:
        self.advance()
        token = self.authorised(call)
        video = self.videos.get(call.parts["id"])
        if video is None or video.page != token.account:
            raise self.missing(call.parts["id"])
        return video

    def _video_node(self, video: Video) -> Node:
        now, done = self.sandbox.clock.now(), self.variant("completed")
        processed = bool(video.finished and video.ready and video.ready <= now)
        if processed:
            overall = "error" if video.broken else "ready"
        elif video.finished:
            overall = "processing"
        else:
            overall = "upload_complete" if video.whole else "uploading"
        post = self.posts.get(video.post or "")
        published = post is not None and post.due is None
        publishing: dict[str, Any] = {"status": done if published else "not_started"}
        if post is not None:
            publishing["publish_status"] = "published" if published else "scheduled"
            publishing["publish_time"] = int((post.due or post.created).timestamp())
        status = {
            "video_status": overall,
            "uploading_phase": {
                "status": done if video.whole else "in_progress",
                "bytes_transfered": len(video.content),
                "source_file_size": video.size,
            },
            "processing_phase": {"status": "error", "error": {"message": video.failure or "The file is corrupt."}}
            if processed and video.broken
            else {"status": done if processed else "in_progress" if video.finished else "not_started"},
            "publishing_phase": publishing,
        }
        values: dict[str, Any] = {"id": video.id, "status": status}
        values["post_id"] = post.id if published and post else None
        values |= {"published": published, "created_time": when(video.created), "updated_time": when(video.created)}
        values["permalink_url"] = f"/reel/{video.id}/" if published else None
        return Node("Video", values | {"description": (video.finished or {}).get("description")})

    # --- posts and comments

    def edit(self, call: Call) -> Answer:
        id_ = call.parts["id"]
        if id_ in self.posts:
            post = self._own_post(call, "pages_manage_posts")
            if not post.app:
                raise self.refused(200, "An application can edit only the posts that it made")
            self._edit_post(call, post)
        elif id_ in self.comments:
            comment = self._own_comment(call, "pages_manage_engagement")
            if call.text("is_hidden") is not None:
                comment.hidden = call.flag("is_hidden")
                self._tell_comment(comment, "hide" if comment.hidden else "unhide")
                self.changed("hide" if comment.hidden else "unhide", self.posts[comment.post].page, id_)
            else:
                comment.text = call.text("message") or comment.text
                self._tell_comment(comment, self.variant("edited"))
                self.changed("edit", self.posts[comment.post].page, id_)
        else:
            return self.change(call)
        return Answer(content={"success": True})

    def _edit_post(self, call: Call, post: Post) -> None:
        """Change what is named; ``is_published`` publishes, and repeating it is harmless (``meta.md`` 9.2, 9.4)."""
        known = ("message", "is_published", "scheduled_publish_time", "is_hidden", "is_pinned", "backdated_time")
        if not any(call.text(name) is not None for name in (*known, "place", "attached_media")):
            raise self.refused(100, "Nothing to change")
        if call.text("is_published") is not None and not call.flag("is_published"):
            raise self.refused(100, "A published post cannot be made unpublished")
        if post.due is not None:
            post.due = self._due(call, SCHEDULE) or post.due
        if call.text("is_hidden") is not None:
            post.hidden = call.flag("is_hidden")
        if (text := call.text("message")) is not None:
            post.text, post.updated = text, self.sandbox.clock.now()
            if post.due is None:
                self._tell_edit(post)
        if post.due is not None and call.flag("is_published"):
            if self.variant("is_published") == "applied":
                self._published(post)
        elif post.due is None and set(call.params) - {"is_published"}:
            self.changed("edit", post.page, post.id)

    def delete(self, call: Call) -> Answer:
        id_ = call.parts["id"]
        if id_ in self.posts:
            page = self._own_post(call, "pages_manage_posts").page
        elif id_ in self.comments:
            page = self.posts[self._own_comment(call, "pages_manage_engagement").post].page
        else:
            return self.delete_instagram(call)
        self._remove(id_)
        self.changed("delete", page, id_)
        return Answer(content={"success": True})

    def _remove(self, id_: str) -> None:
        """Remove a post or comment with all below it; an event is sent for the removed object only."""
        if id_ in self.posts:
            post = self.posts[id_]
            page = self.pages[post.page]
            self._forget(id_)
            self._tell(page, self._about(post.kind, self.variant("remove"), page, page.name, post_id=id_))
        else:
            comment = self.comments[id_]
            self._tell_comment(comment, self.variant("remove"))
            below = self.posts[comment.post].comments
            for other in [c.id for c in below.values() if id_ in (c.id, c.parent)]:
                del below[other], self.comments[other]

    def _forget(self, id_: str) -> None:
        post = self.posts.pop(id_)
        del self.pages[post.page].posts[id_]
        for comment in post.comments:
            del self.comments[comment]

    def list_comments(self, call: Call) -> Answer:
        stream = call.text("filter") == "stream"
        if call.parts["id"] in self.posts:
            self._may_read_comments(call)
            post = self._own_post(call, "pages_read_engagement")
            found = [c for c in post.comments.values() if stream or c.parent is None]
        elif call.parts["id"] in self.comments:
            comment = self._readable_comment(call)
            found = [c for c in self.posts[comment.post].comments.values() if c.parent == comment.id]
        else:
            return self.media_comments(call)
        if call.text("order") == "reverse_chronological":
            found.reverse()
        content = self.page(call, [self._comment_node(comment) for comment in found], moment="created_time")
        if call.flag("summary"):
            content["summary"] = {"order": call.text("order") or "chronological", "total_count": len(found)}
        return Answer(content=content)

    def add_comment(self, call: Call) -> Answer:
        text, id_ = call.text("message"), call.parts["id"]
        if id_ not in self.posts and id_ not in self.comments:
            return self.comment_on(call)
        if id_ in self.posts:
            post, parent = self._own_post(call, "pages_manage_engagement"), None
        else:
            parent = self._own_comment(call, "pages_manage_engagement")
            post = self.posts[parent.post]
        if not self.answerable((parent or post).created):
            raise self.missing(id_)
        if text is None:
            raise self.refused(100, "The parameter message is required")
        comment = self._say(post, post.page, text, parent)
        self.record("post", account=post.page, id=comment.id, text=text, reply_to=id_)
        return Answer(content={"id": comment.id})

    def _say(self, post: Post, by: str, text: str, parent: Comment | None = None) -> Comment:
        page = self.pages[post.page]
        by_id = page.id if by == page.name else self.fans.setdefault(by, self._id())
        id_ = f"{post.id.partition('_')[2]}_{self._id()}"
        above = (parent.parent or parent.id) if parent else None
        comment = Comment(id_, post.id, by, by_id, text, self.sandbox.clock.now(), above)
        self.comments[id_] = post.comments[id_] = comment
        if len(self.comments) > self.sandbox.capacity:
            oldest = self.comments.pop(next(iter(self.comments)))
            del self.posts[oldest.post].comments[oldest.id]
        self._tell_comment(comment, "add")
        return comment

    def _tell_comment(self, comment: Comment, verb: str) -> None:
        page = self.pages[self.posts[comment.post].page]
        more: dict[str, Any] = {
            "post_id": comment.post,
            "comment_id": comment.id,
            "parent_id": comment.parent or comment.post,
            "created_time": int(comment.created.timestamp()),
        }
        if verb not in ("remove", "delete"):
            more |= {"message": comment.text, "is_hidden": comment.hidden}
        self._tell(page, self._about("comment", verb, page, comment.by, **more))

    def _tell_edit(self, post: Post) -> None:
        page = self.pages[post.page]
        more = {"post_id": post.id, "message": post.text, "created_time": int(post.created.timestamp())}
        self._tell(page, self._about(post.kind, self.variant("edited"), page, page.name, **more))

    def error_answers(self) -> Mapping[str, Answer]:
        """Return also the answers of a page's publishing (``meta.md`` 9.5); the code beside them is not documented."""
        errors = {
            "photos_already_posted": self.refused(100, "These photos were already posted.", 1366051),
            "photo_too_large": self.refused(100, "Photos should be smaller than 4 MB.", 1366046),
            "posting_too_fast": self.refused(368, "You are posting too fast.", 1390008),
            "temporarily_unavailable": self.refused(2, "Temporarily unavailable", 1363047, 500, transient=True),
            "account_limited": self.refused(368, "The account is limited.", 1404112),
            "security_check": self.refused(368, "Confirm your identity in the app.", 1404006),
            "no_video_permission": self.refused(100, "No permission to publish the video"),
        }
        return {**super().error_answers(), **{name: error.answer for name, error in errors.items()}}

    # --- life

    def people(self) -> Sequence[str]:
        """Return the people who log in, and their pages."""
        return [*self.users, *self.pages]

    def visible_posts(self, account: str) -> list[dict[str, Any]]:
        if account not in self.pages:
            return []
        return [
            {
                "id": post.id,
                "text": post.text,
                "comments": [
                    {"id": c.id, "by": c.by, "text": c.text, "parent": c.parent} for c in post.comments.values()
                ],
            }
            for post in reversed(self.pages[account].posts.values())
            if post.due is None
        ]

    def simulate_activity(self) -> None:
        rng = self.sandbox.rng
        page = self.pages[rng.choice(list(self.pages))]
        posts = [post for post in page.posts.values() if post.due is None][-8:]
        dice = rng.random()
        if not posts or dice < 0.03:
            self._publish(page, "status", sample_text.caption(self.sandbox), [], app=False)
            return
        post = rng.choice(posts)
        comments = list(post.comments.values())
        by = sample_text.commenter(self.sandbox)
        if comments and dice < 0.10:
            comment = rng.choice(comments)
            comment.text = sample_text.comment_text(self.sandbox)
            self._tell_comment(comment, self.variant("edited"))
        elif comments and dice < 0.15:
            self._remove(rng.choice(comments).id)
        elif dice < 0.35:
            kind = rng.choice(("like", "love", "wow", "haha"))
            more = {"post_id": post.id, "reaction_type": kind, "created_time": int(self.sandbox.clock.seconds())}
            self._tell(page, self._about("reaction", "add", page, by, **more, parent_id=post.id))
        else:
            parent = rng.choice(comments) if comments and dice < 0.45 else None
            self._say(post, by, sample_text.comment_text(self.sandbox), parent)

    def simulate_publish(self, account: str, text: str) -> str:
        if account not in self.pages:
            raise CommandError(f"{account} is a person: only pages publish here")
        return self._publish(self.pages[account], "status", text, [], app=False).id

    def simulate_comment(self, account: str, post: str, by: str, text: str) -> str:
        parent = self.comments.get(post)
        found = self.posts.get(parent.post if parent else post)
        if found is None or found.page != account:
            raise CommandError(f"{account} has no post {post}")
        return self._say(found, by, text, parent).id

    def simulate_remove(self, account: str, id_: str) -> None:
        if id_ not in self.posts and id_ not in self.comments:
            raise CommandError(f"{account} has no post or comment {id_}")
        self._remove(id_)

    def simulate_revoke(self, account: str) -> int:
        if account not in self.users:
            raise CommandError(f"{account} is a page: a person revokes, {' or '.join(self.users)}")
        for page in self.pages.values():
            if account in page.tasks:
                self.subscribed.pop(page.name, None)
        self.tell_of("deauthorize", account, self.users[account])
        return self.end(account, 458, "revoked by the person")

    def simulate_erase(self, account: str) -> None:
        if account not in self.users:
            raise CommandError(f"{account} is a page: a person asks for that, {' or '.join(self.users)}")
        self.tell_of("deletion", account, self.users[account])

    def simulate_unsubscribe(self, account: str) -> None:
        self.subscribed.pop(account, None)

    def set_subscription(self, account: str | None, kind: str, fields: Sequence[str]) -> None:
        kind = kind or "page"
        known = {"page": PAGE_FIELDS, "instagram": INSTAGRAM_FIELDS}.get(kind, ())
        if not known or not set(fields) <= set(known):
            raise CommandError(f"the fields of object {kind} are {', '.join(known) or 'none: it is page or instagram'}")
        if account is None:
            self.app_fields[kind] = set(fields)
        elif account not in self.pages or kind != "page":
            raise CommandError(f"a page is subscribed, with fields of object page: {', '.join(self.pages)}")
        else:
            self.subscribed[account] = set(fields)

    def subscribe_all(self) -> None:
        self.subscribed = {name: set(PAGE_FIELDS) for name in self.pages}


PLATFORM = Facebook
