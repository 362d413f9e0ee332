"""Threads: contract ``meta.md`` 1, 4, 7.3, 9.1 and 10.6."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from ops.sandbox import sample_text
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
)
from ops.sandbox.graph_api import (
    SHORT_SECONDS,
    Container,
    Edge,
    Fields,
    GraphApi,
    Node,
    OwnLogin,
    Token,
    loaded,
    unix,
    when,
)

VERSION = r"/{version:(?:v1\.0/)?}"
BASIC = "threads_basic"
CHARACTERS, LINKS, TAG = 500, 5, 50
CHILDREN = (2, 20)
QUOTAS = {"post": 250, "reply": 1000, "delete": 100, "location_search": 500}
DAY = timedelta(hours=24)
IMAGE_BYTES, VIDEO_BYTES = 8 * 2**20, 2**30
TEXT_SECONDS, IMAGE_SECONDS, VIDEO_SECONDS = 7, 10, 40
"""Seconds from creation to FINISHED, for texts too: "about 7 s" in 210 cases of 45 days (``meta.md`` 14, T10)."""

POLL_OPTIONS = ("option_a", "option_b", "option_c", "option_d")
OPTION_CHARACTERS, SPOILERS, LONG_TEXT = 25, 10, 10_000
MEDIA_METRICS = ("views", "likes", "replies", "reposts", "quotes", "shares")
USER_METRICS = (
    *("views", "likes", "replies", "reposts", "quotes", "clicks", "followers_count", "follower_demographics"),
)
METRICS_SINCE = 1_712_991_600
"""There are no metrics before 2024-04-13 (``meta.md`` 10.5)."""

REPLY_CONTROLS = ("everyone", "accounts_you_follow", "mentioned_only", "parent_post_author_only", "followers_only")
_URL = re.compile(r"https?://\S+")


@dataclass
class Post:
    id: str
    by: str
    kind: str
    text: str
    created: datetime
    shortcode: str
    url: str = ""
    reply_to: str | None = None
    root: str | None = None
    hidden: bool = False
    link: str | None = None
    topic: str | None = None
    alt_text: str | None = None
    children: list[str] = field(default_factory=list)
    parent: str | None = None
    """Id of the carousel that it belongs to."""
    audience: str = "everyone"
    poll: dict[str, str] | None = None
    spoilers: list[dict[str, Any]] = field(default_factory=list)
    spoiler_media: bool = False
    long_text: dict[str, Any] | None = None
    approval: str | None = None
    """Of a reply to a post that approves its replies: pending, approved or ignored."""
    approves_replies: bool = False


class Threads(OwnLogin):
    name = "threads"
    title = "Threads"
    client_id = "3000000000000003"
    token_prefix = "TH"  # noqa: S105
    basic = BASIC
    exchange_grant, refresh_grant = "th_exchange_token", "th_refresh_token"
    business = "threads"
    error_type = "THApiException"
    scopes = (
        *(BASIC, "threads_content_publish", "threads_read_replies", "threads_manage_replies"),
        *("threads_manage_insights", "threads_manage_mentions", "threads_delete", "threads_location_tagging"),
        "threads_share_to_instagram",
    )
    streams = ("", "deauthorize", "deletion")
    unreported: ClassVar[Mapping[str, str]] = {  # meta.md 4
        "delete_comment": "Threads sends nothing for a reply that somebody else deleted: only the account's own posts.",
        "change": "Threads sends nothing for a post that is edited, or a reply that is hidden or shown again.",
    }
    variants: ClassVar[Mapping[str, Sequence[str]]] = {**GraphApi.variants, "values": ("object", "list")}

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self._ids = 18_000_000_000_000_000 + sandbox.rng.randrange(10**12)
        self.users = {name: self._id() for name in ("alice", "bob", "shop")}
        self.subscriptions: dict[str, str] = {}
        """Subscription ids by account."""
        self.posts: dict[str, Post] = {}
        self.containers: dict[str, Container] = {}
        self._used: dict[tuple[str, str], list[datetime]] = {}
        for name in self.users:
            for _ in range(3):
                self._add(Post(self._id(), name, "TEXT_POST", sample_text.caption(sandbox), sandbox.clock.now(), "x"))

    def _id(self) -> str:
        self._ids += self.sandbox.rng.randint(1, 5000)
        return str(self._ids)

    def _add(self, post: Post) -> Post:
        post.shortcode = self.sandbox.secret(8)
        self.posts[post.id] = post
        if len(self.posts) > self.sandbox.capacity:
            del self.posts[next(iter(self.posts))]
        return post

    def routes(self) -> Sequence[Route]:
        node = VERSION + r"{id:[^/]+}"
        return (
            Route("GET", "/oauth/authorize", self.ask),
            Route("POST", "/oauth/authorize", self.decide),
            Route("POST", "/oauth/access_token", self.exchange),
            Route("GET", f"{VERSION}access_token", self.lengthen),
            Route("GET", f"{VERSION}refresh_access_token", self.refresh),
            Route("GET", f"{node}/threads", self.list_posts),
            Route("POST", f"{node}/threads", self.create),
            Route("POST", f"{node}/threads_publish", self.publish),
            Route("GET", f"{node}/threads_publishing_limit", self.quota),
            Route("GET", f"{node}/replies", self.replies),
            Route("GET", f"{node}/mentions", self.mentions),
            Route("GET", f"{node}/threads_insights", self.user_insights),
            Route("GET", f"{node}/pending_replies", self.pending_replies),
            Route("POST", f"{node}/manage_pending_reply", self.decide_reply),
            Route("GET", f"{node}/conversation", self.conversation),
            Route("GET", f"{node}/insights", self.insights),
            Route("POST", f"{node}/manage_reply", self.hide),
            Route("GET", node, self.show),
            Route("DELETE", node, self.delete),
        )

    def business_id(self, account: str) -> str:
        return self.users[account]

    # --- OAuth (meta.md 7.3)

    def exchange(self, call: Call) -> Answer:
        """Exchange a code; the answer has the user's id as a number of 17 digits."""
        code = None
        if call.text("client_id") == self.client_id and call.text("client_secret") == self.client_secret:
            code = self.spent(call) if call.text("grant_type") == "authorization_code" else None
        if code is None:
            return self.wrong("The client, its secret or the code is invalid, used or expired")
        secret = self.issue(code.account, code.scopes, "short", SHORT_SECONDS)
        self.subscriptions.setdefault(code.account, self._id())  # there is no call for it (meta.md 1.4)
        return Answer(content={"access_token": secret, "user_id": int(self.users[code.account])})

    # --- reading (meta.md 10.6)

    def _user(self, call: Call, *scopes: str) -> tuple[Token, str]:
        token = self.authorised(call, BASIC, *scopes)
        if call.parts["id"] not in ("me", self.users[token.account]):
            raise self.missing(call.parts["id"])
        return token, token.account

    def _user_node(self, name: str) -> Node:
        values = {
            "id": self.users[name],
            "username": name,
            "name": name.title(),
            "threads_profile_picture_url": "https://scontent.example/p.jpg",
            "threads_biography": "",
            "is_verified": False,
        }
        return Node("ThreadsUser", values)

    def _post_node(self, post: Post) -> Node:
        root, parent = self.posts.get(post.root or ""), self.posts.get(post.reply_to or "")
        own = post.by in self.users
        top = post.reply_to is None
        return Node(
            "ThreadsMedia",
            {
                "id": post.id,
                "text": post.text or None,
                "username": post.by,
                "owner": {"id": self.users[post.by]} if own and top else None,
                "is_verified": False,
                "profile_picture_url": "https://scontent.example/p.jpg",
                "timestamp": when(post.created),
                "media_product_type": "THREADS",
                "media_type": post.kind,
                "media_url": post.url or None,
                "thumbnail_url": post.url if post.kind == "VIDEO" else None,
                "gif_url": None,
                "alt_text": post.alt_text,
                "permalink": f"https://www.threads.net/@{post.by}/post/{post.shortcode}",
                "shortcode": post.shortcode,
                "topic_tag": post.topic,
                "link_attachment_url": post.link,
                "location_id": None,
                "is_quote_post": False,
                "quoted_post": None,
                "reposted_post": None,
                "is_reply": not top,
                "is_reply_owned_by_me": bool(root) and own and not top,
                "has_replies": any(other.reply_to == post.id for other in self.posts.values()),
                "reply_audience": post.audience.upper() if own and top else None,
                "hide_status": "HIDDEN" if post.hidden else "NOT_HUSHED",
                "reply_approval_status": post.approval,
                "poll_attachment": self._poll(post),
                "is_spoiler_media": post.spoiler_media,
                "text_entities": post.spoilers or None,
                "text_attachment": post.long_text,
                "ghost_post_status": None,
                "ghost_post_expiration_timestamp": None,
                "root_post": Node("ThreadsMedia", {"id": root.id}) if root else None,
                "replied_to": Node("ThreadsMedia", {"id": parent.id}) if parent else None,
                "children": Edge(lambda: [self._post_node(self.posts[id_]) for id_ in post.children]),
            },
        )

    def _poll(self, post: Post) -> dict[str, Any] | None:
        if post.poll is None:
            return None
        votes = {f"{name}_votes_percentage": 0.0 for name in post.poll}
        expires = when(post.created + DAY)
        return {**post.poll, **votes, "total_votes": 0, "expiration_timestamp": expires}

    def show(self, call: Call) -> Answer:
        id_ = call.parts["id"]
        if id_ == "me" or id_ in self.users.values():
            token, name = self._user(call)
            return self.answer(token, self.pick(call, self._user_node(name), self.fields(call)))
        token = self.authorised(call, BASIC)
        if id_ in self.containers:
            return self.answer(token, self._container(self._own_container(id_, token), call))
        return self.answer(token, self.pick(call, self._post_node(self._seen(call, token)), self.fields(call)))

    def _seen(self, call: Call, token: Token) -> Post:
        """Return a post of the token's user, or a reply below one. Raises 100."""
        post = self.posts.get(call.parts["id"])
        root = self.posts.get((post.root if post else None) or "", post)
        if post is None or root is None or token.account not in (post.by, root.by):
            raise self.missing(call.parts["id"])
        return post

    def list_posts(self, call: Call) -> Answer:
        """List the user's posts; replies and items of carousels are not among them."""
        token, name = self._user(call)
        return self.answer(token, self._listing(call, [p for p in self._own(name) if p.reply_to is None]))

    def _own(self, name: str) -> list[Post]:
        """Newest first."""
        return [post for post in reversed(self.posts.values()) if post.by == name and post.parent is None]

    def _listing(self, call: Call, posts: Sequence[Post]) -> dict[str, Any]:
        nodes = [self._post_node(post) for post in posts if self.listed(post.created)]
        return self.page(call, nodes, moment="timestamp")

    def replies(self, call: Call) -> Answer:
        """List the replies right below a post, or those that a user wrote."""
        if call.parts["id"] == "me" or call.parts["id"] in self.users.values():
            token, name = self._user(call, "threads_read_replies")
            return self.answer(token, self._listing(call, [p for p in self._own(name) if p.reply_to is not None]))
        return self._below(call, lambda post, top: post.reply_to == top)

    def conversation(self, call: Call) -> Answer:
        """List the replies of every depth."""
        return self._below(call, lambda post, top: post.root == top)

    def _below(self, call: Call, belongs: Any) -> Answer:
        """Newest first, unless ``reverse`` is false (``meta.md`` 10.6)."""
        token = self.authorised(call, BASIC, "threads_read_replies")
        top = self._seen(call, token)
        visible = (None, "approved")
        found = [p for p in self.posts.values() if belongs(p, top.id) and p.approval in visible]
        if (call.text("reverse") or "true").lower() != "false":
            found.reverse()
        nodes = [self._post_node(post) for post in found if self.listed(post.created)]
        return self.answer(token, self.page(call, nodes))

    def mentions(self, call: Call) -> Answer:
        """List the public posts that mention the user."""
        token, name = self._user(call, "threads_manage_mentions")
        found = [p for p in reversed(self.posts.values()) if f"@{name}" in p.text and p.by != name]
        return self.answer(token, self._listing(call, found))

    def pending_replies(self, call: Call) -> Answer:
        """List the replies that wait for approval, or were ignored (``meta.md`` 9.1)."""
        token = self.authorised(call, BASIC, "threads_read_replies")
        top = self._seen(call, token)
        wanted = call.text("approval_status") or "pending"
        if wanted not in ("pending", "ignored"):
            raise self.refused(100, "Param approval_status must be one of pending, ignored")
        found = [p for p in reversed(self.posts.values()) if p.root == top.id and p.approval == wanted]
        return self.answer(token, self._listing(call, found))

    def decide_reply(self, call: Call) -> Answer:
        token = self.authorised(call, BASIC, "threads_manage_replies")
        post = self._seen(call, token)
        root = self.posts.get(post.root or "")
        if post.approval is None or root is None or root.by != token.account:
            raise self.refused(100, "The reply does not wait for approval")
        post.approval = "approved" if call.flag("approve") else "ignored"
        return self.answer(token, {"success": True})

    def insights(self, call: Call) -> Answer:
        token = self.authorised(call, BASIC, "threads_manage_insights")
        post = self._seen(call, token)
        asked = self._metrics(call, MEDIA_METRICS)
        if post.kind == "REPOST_FACADE":
            return self.answer(token, {"data": []})
        # Of a root post all replies count, of a reply the direct ones.
        said = sum((p.root if post.reply_to is None else p.reply_to) == post.id for p in self.posts.values())
        counts = {"views": 40 * (said + 1), "replies": said}
        shown = [
            {
                "name": name,
                "period": "lifetime",
                "values": [{"value": counts.get(name, 0)}],
                "title": name.title(),
                "id": f"{post.id}/insights/{name}/lifetime",
            }
            for name in asked
        ]
        return self.answer(token, {"data": shown})

    def _metrics(self, call: Call, allowed: Sequence[str]) -> list[str]:
        asked = [name for item in call.many("metric") for name in item.split(",") if name]
        if not asked or not set(asked) <= set(allowed):
            raise self.refused(100, f"metric must be one of the following values: {', '.join(allowed)}")
        return asked

    def user_insights(self, call: Call) -> Answer:
        """Answer views as a daily series, clicks by their link, the others as a total (``meta.md`` 10.5)."""
        token, name = self._user(call, "threads_manage_insights")
        asked, now = self._metrics(call, USER_METRICS), self.sandbox.clock.seconds()
        try:
            until = min(now, unix(call.text("until") or str(int(now))))
            since = unix(call.text("since") or str(int(until) - 86_400))
        except (ValueError, OverflowError):
            raise self.refused(100, "since and until must be times") from None
        if since < METRICS_SINCE:
            raise self.refused(100, f"since must be at least {METRICS_SINCE}")
        if "follower_demographics" in asked and call.text("breakdown") not in ("country", "city", "age", "gender"):
            raise self.refused(100, "follower_demographics needs a breakdown: country, city, age or gender")
        data: list[dict[str, Any]] = []
        for metric in asked:
            shown: dict[str, Any] = {
                "name": metric,
                "period": "day",
                "title": metric,
                "id": f"{self.users[name]}/{metric}",
            }
            if metric == "views":
                ends = range(int(since) + 86_400, int(until) + 1, 86_400)
                moments = [datetime.fromtimestamp(end, UTC) for end in ends]
                shown["values"] = [{"value": 9, "end_time": when(moment)} for moment in moments]
            elif metric == "clicks":
                shown["link_total_values"] = [{"value": 1, "link_url": "https://example.org/"}]
            else:
                shown["total_value"] = {"value": 120}
            data.append(shown)
        return self.answer(token, {"data": data})

    # --- publishing (meta.md 9.1)

    def create(self, call: Call) -> Answer | OutboundRequest:
        token, name = self._user(call, "threads_content_publish")
        kind, text = call.text("media_type"), call.text("text") or ""
        self._check_text(call, text)
        self._check_attachments(call, kind or "")
        if kind == "TEXT" and text:  # with nothing to fetch
            container = self._made(call, name, kind)
            self._process(container, TEXT_SECONDS, "UNKNOWN")
            if call.flag("auto_publish_text"):
                return self.answer(token, {"id": self._publish(container).id})
            return self.answer(token, {"id": container.id})
        if kind == "CAROUSEL":
            return self.answer(token, {"id": self._carousel(call, name).id})
        image, video = call.text("image_url"), call.text("video_url")
        if (kind, bool(image)) != ("IMAGE", True) and (kind, bool(video)) != ("VIDEO", True):
            raise self.refused(100, "media_type must be TEXT, IMAGE, VIDEO or CAROUSEL, with what belongs to it")
        container = self._made(call, name, "IMAGE" if image else "VIDEO")
        # Both are fetched later: only the container says that it failed.
        then = partial(self._fetched, container.id)
        self.sandbox.outbound_requests.append(self.download(image or video or "", then, name, ranged=bool(video)))
        return self.answer(token, {"id": container.id})

    def _check_text(self, call: Call, text: str) -> None:
        # Emoji count as their bytes in UTF-8.
        length = sum(len(char.encode()) if ord(char) > 0xFFFF else 1 for char in text)
        if length > CHARACTERS:
            raise self.refused(100, f"Param text must be at most {CHARACTERS} characters long.")
        link, more = call.text("link_attachment"), self._long_text(call)
        links = {*_URL.findall(text), *_URL.findall(str(more.get("plaintext") or "")), link}
        links |= {more.get("link_attachment_url")}
        if len(links - {None}) > LINKS:
            raise self.refused(100, "THREADS_API__LINK_LIMIT_EXCEEDED")
        if link and more.get("link_attachment_url"):
            raise self.refused(100, "A post has one link_attachment")
        if link and call.text("media_type") != "TEXT":
            raise self.refused(100, "link_attachment goes with TEXT only")
        tag = call.text("topic_tag")
        if tag and (len(tag) > TAG or {".", "&"} & set(tag)):
            raise self.refused(100, "topic_tag has 1 to 50 characters, none of them . or &")
        if (call.text("reply_control") or "everyone") not in REPLY_CONTROLS:
            raise self.refused(100, f"Param reply_control must be one of {', '.join(REPLY_CONTROLS)}")
        answered = call.text("reply_to_id")
        if answered and (answered not in self.posts or not self.answerable(self.posts[answered].created)):
            raise self.refused(24, "The requested resource does not exist.", 4279009)

    def _long_text(self, call: Call) -> dict[str, Any]:
        given = loaded(call.fields.get("text_attachment", call.query.get("text_attachment")))
        return given if isinstance(given, dict) else {}

    def _check_attachments(self, call: Call, kind: str) -> None:
        """Raises 100 for what does not go together (``meta.md`` 9.3)."""
        poll, more = _poll_of(call), self._long_text(call)
        if poll is not None and (kind != "TEXT" or not 2 <= len(poll) <= 4):
            raise self.refused(100, "A poll has 2 to 4 options and goes with TEXT only")
        if poll and any(not 0 < len(text) <= OPTION_CHARACTERS for text in poll.values()):
            raise self.refused(100, f"An option of a poll has 1 to {OPTION_CHARACTERS} characters")
        spoilers = loaded(call.fields.get("text_entities", call.query.get("text_entities"))) or []
        if not isinstance(spoilers, list) or len(spoilers) > SPOILERS:
            raise self.refused(100, f"A post has at most {SPOILERS} text entities")
        if more and (kind != "TEXT" or poll):
            raise self.refused(100, "text_attachment goes with TEXT only, and not with a poll")
        if len(str(more.get("plaintext") or "")) > LONG_TEXT:
            raise self.refused(100, f"plaintext has at most {LONG_TEXT} characters")
        if call.flag("is_spoiler_media") and kind not in ("IMAGE", "VIDEO", "CAROUSEL"):
            raise self.refused(100, "is_spoiler_media goes with media only")

    def _process(self, container: Container, seconds: float, failure: str) -> None:
        processing = self.process(seconds)
        container.process(processing, self.sandbox.clock.now(), processing.reason or failure)

    def _made(self, call: Call, name: str, kind: str) -> Container:
        container = Container(self._id(), name, kind, call.params, self.sandbox.clock.now())
        self.containers[container.id] = container
        if len(self.containers) > self.sandbox.capacity:
            del self.containers[next(iter(self.containers))]
        return container

    def _carousel(self, call: Call, name: str) -> Container:
        named = call.many("children")
        children = named[0].split(",") if len(named) == 1 else named
        known = [self.containers.get(child) for child in children]
        if len(children) not in range(CHILDREN[0], CHILDREN[1] + 1):
            raise self.refused(100, "A carousel has 2 to 20 children.")
        if any(c is None or c.account != name or not c.params.get("is_carousel_item") for c in known):
            raise self.refused(24, "The requested resource does not exist.", 4279009)
        container = self._made(call, name, "CAROUSEL")
        container.children = children
        self._process(container, IMAGE_SECONDS, "UNKNOWN")
        return container

    def _fetched(self, id_: str, file: Fetched) -> None:
        """Check the fetched file. One with ``corrupt`` or ``unknown`` in it fails, one with ``stuck`` never ends."""
        container, content = self.containers[id_], file.content
        image = container.kind == "IMAGE"
        container.file = digest(content, container.params.get("alt_text"))
        if file.status != 200:
            container.error = "FAILED_DOWNLOADING_VIDEO"
        elif b"unknown" in content:
            container.error = "UNKNOWN"
        elif b"corrupt" in content or (not image and (content[4:8] != b"ftyp" or len(content) > VIDEO_BYTES)):
            container.error = "FAILED_PROCESSING_VIDEO"
        elif image and (not content.startswith((b"\xff\xd8\xff", b"\x89PNG")) or len(content) > IMAGE_BYTES):
            container.error = "INVALID_ASPEC_RATIO"  # sic
        elif b"stuck" not in content:
            self._process(container, IMAGE_SECONDS if image else VIDEO_SECONDS, "FAILED_PROCESSING_VIDEO")

    def _own_container(self, id_: str, token: Token) -> Container:
        container = self.containers.get(id_)
        if container is None or container.account != token.account:
            raise self.missing(id_)
        return container

    def _container(self, container: Container, call: Call) -> dict[str, Any]:
        status = container.status(self.sandbox.clock.now())
        fields = self.fields(call)
        if status == "PUBLISHED" and {"status", "error_message"} & set(fields):
            # What is published is a post, and a post has no such field (meta.md 14, T11).
            raise self.refused(100, "Tried accessing nonexisting field (status)")
        return self.pick(
            call, Node("Container", {"id": container.id, "status": status, "error_message": container.error}), fields
        )

    def publish(self, call: Call) -> Answer:
        token, name = self._user(call, "threads_content_publish")
        container = self.containers.get(call.text("creation_id") or "")
        if container is None or container.account != name or container.published:
            raise self.refused(24, "The requested resource does not exist.", 4279009)
        status = container.status(self.sandbox.clock.now())
        states = [self.containers[child].status(self.sandbox.clock.now()) for child in container.children]
        # Not ready reads as if it did not exist, and passes later with the same container (meta.md 14, T9, T10).
        if status == "IN_PROGRESS" or any(state != "FINISHED" for state in states):
            raise self.refused(24, "Media Not Found: The media with id cannot be found.", 4279009)
        if status != "FINISHED":
            raise self.refused(-1, f"The container is {status}", 2207032)
        kind = "reply" if container.params.get("reply_to_id") else "post"
        if self._usage(name, kind) >= QUOTAS[kind]:
            raise self.refused(9, f"The user has reached the daily limit of {QUOTAS[kind]}.", 2207042)
        shared = {}
        wanted = ("crossreshare_to_ig", "crossreshare_to_ig_dark_mode")
        if any(call.flag(key) or str(container.params.get(key, "")).lower() == "true" for key in wanted):
            permitted = "threads_share_to_instagram" in token.scopes
            shared = {"crossreshare_to_ig_status": "SUCCESS" if permitted else "FAILED"}
        post = self._publish(container)
        if shared.get("crossreshare_to_ig_status") == "SUCCESS":
            self.record("post", account=name, id=f"ig-{post.id}", text="", container=container.id, story=True)
        return self.answer(token, {"id": post.id, **shared})

    def _publish(self, container: Container) -> Post:
        params = container.params
        parent = self.posts.get(str(params.get("reply_to_id")))
        root = self.posts.get(((parent.root or parent.id) if parent else None) or "")
        waits = root is not None and root.approves_replies and root.by != container.account
        kind = {"TEXT": "TEXT_POST", "CAROUSEL": "CAROUSEL_ALBUM"}.get(container.kind, container.kind)
        post = self._add(
            Post(
                self._id(),
                container.account,
                kind,
                str(params.get("text") or ""),
                self.sandbox.clock.now(),
                "",
                str(params.get("image_url") or params.get("video_url") or ""),
                parent.id if parent else None,
                (parent.root or parent.id) if parent else None,
                link=params.get("link_attachment"),
                topic=params.get("topic_tag"),
                alt_text=params.get("alt_text"),
                audience=str(params.get("reply_control") or "everyone"),
                poll=_poll_options(params.get("poll_attachment")),
                spoilers=loaded(params.get("text_entities")) or [],
                spoiler_media=str(params.get("is_spoiler_media", "")).lower() == "true",
                long_text=loaded(params.get("text_attachment")),
                approves_replies=str(params.get("enable_reply_approvals", "")).lower() == "true",
                approval="pending" if waits else None,
            )
        )
        for child in container.children:
            item = self.containers[child]
            url = str(item.params.get("image_url") or item.params.get("video_url") or "")
            below = self._add(Post(self._id(), post.by, item.kind, "", post.created, "", url, parent=post.id))
            below.alt_text = item.params.get("alt_text")
            post.children.append(below.id)
        container.published = post.id
        self._use(post.by, "reply" if parent else "post")
        made_of = [container, *(self.containers[child] for child in container.children)]
        files = [one.file for one in made_of if one.file is not None]
        about = {"container": container.id, "reply_to": post.reply_to, "files": files, "options": params}
        self.record("post", account=post.by, id=post.id, text=post.text, **about)
        self._tell_published(post)
        return post

    def _use(self, account: str, kind: str) -> None:
        self._used.setdefault((account, kind), []).append(self.sandbox.clock.now())

    def _usage(self, account: str, kind: str) -> int:
        now = self.sandbox.clock.now()
        return sum(now - at < DAY for at in self._used.get((account, kind), ()))

    def quota(self, call: Call) -> Answer:
        token, name = self._user(call, "threads_content_publish")
        values: dict[str, Any] = {}
        for kind, total in QUOTAS.items():
            prefix = "" if kind == "post" else f"{kind}_"
            values[f"{prefix}quota_usage"] = self._usage(name, kind)
            values[f"{prefix}config"] = {"quota_total": total, "quota_duration": 86_400}
        fields = self.fields(call) or Fields(quota_usage=Fields())
        return self.answer(token, {"data": [self.pick(call, Node("ThreadsPublishingLimit", values), fields)]})

    def hide(self, call: Call) -> Answer:
        """Hide or show a top-level reply and those below it."""
        token = self.authorised(call, BASIC, "threads_manage_replies")
        post = self._seen(call, token)
        above = self.posts.get(post.reply_to or "")
        if above is None or above.reply_to is not None or above.by != token.account:
            raise self.refused(100, "Only a top-level reply to a post of one's own can be hidden")
        post.hidden = call.flag("hide")
        for other in self.posts.values():
            if other.reply_to == post.id:
                other.hidden = post.hidden
        self.changed("hide" if post.hidden else "unhide", above.by, post.id)
        return self.answer(token, {"success": True})

    def delete(self, call: Call) -> Answer:
        token = self.authorised(call, BASIC, "threads_delete")
        post = self._seen(call, token)
        if post.by != token.account:
            raise self.missing(post.id)
        if self._usage(post.by, "delete") >= QUOTAS["delete"]:
            raise self.refused(9, "The user has reached the daily limit of 100 deletions.", 2207042)
        self._use(post.by, "delete")
        self._remove(post)
        self.changed("delete", post.by, post.id)
        return self.answer(token, {"success": True, "deleted_id": post.id})

    # --- webhooks (meta.md 4)

    def _remove(self, post: Post) -> None:
        """Delete a post; an event is sent only for a connected account's own."""
        del self.posts[post.id]
        if post.by in self.users:
            now = when(self.sandbox.clock.now())
            value = {"id": post.id, "owner": {"owner_id": self.users[post.by]}, "deleted_at": now}
            self._tell("delete", post.by, value | {"timestamp": when(post.created), "username": post.by})

    def _tell_published(self, post: Post) -> None:
        permalink = f"https://www.threads.net/@{post.by}/post/{post.shortcode}"
        value = {"id": post.id, "media_type": post.kind, "permalink": permalink, "timestamp": when(post.created)}
        self._tell("publish", post.by, value | {"username": post.by})

    def _tell_reply(self, post: Post) -> None:
        root = self.posts[post.root or ""]
        value = {
            "id": post.id,
            "username": post.by,
            "text": post.text,
            "media_type": post.kind,
            "permalink": f"https://www.threads.net/@{post.by}/post/{post.shortcode}",
            "shortcode": post.shortcode,
            "timestamp": when(post.created),
            "replied_to": {"id": post.reply_to},
            "root_post": {"id": root.id, "owner_id": self.users[root.by], "username": root.by},
        }
        self._tell("replies", root.by, value)

    def _tell(self, field: str, account: str, value: dict[str, Any]) -> None:
        if account in self.subscriptions:
            self.notify(field, account, value)

    def batch_key(self, event: PlatformEvent) -> Hashable:
        return event.number  # one flat object in each request

    def document(self, events: Sequence[PlatformEvent]) -> Any:
        [event] = events
        field, id_ = event.topic, event.value["id"]
        value = {"field": field, "value": event.value}
        return {
            "app_id": self.client_id,
            "topic": "moderate" if field in ("replies", "delete") else "interaction",
            "target_id": id_ if field in ("replies", "delete") else self.users[event.account],
            "time": int(self.sandbox.clock.seconds()),
            "subscription_id": self.subscriptions.get(event.account, ""),
            "has_uid_field": False,
            "values": [value] if self.variant("values") == "list" else value,
        }

    def error_answers(self) -> Mapping[str, Answer]:
        """Return also the answers of Threads' publishing (``meta.md`` 7.4)."""
        errors = {
            "media_missing": self.refused(24, "Media Not Found: The media cannot be found.", 4279009),
            "account_blocked": self.refused(24, "The account is blocked.", 4279013),
            "daily_limit": self.refused(9, "The user has reached the daily limit.", 2207042),
            "server_error": self.refused(-1, "The server encountered an error.", 2207001, 500),
        }
        return {**super().error_answers(), **{name: error.answer for name, error in errors.items()}}

    # --- life

    def people(self) -> Sequence[str]:
        return list(self.users)

    def visible_posts(self, account: str) -> list[dict[str, Any]]:
        replies: dict[str, list[dict[str, Any]]] = {}
        for post in self.posts.values():
            if post.root:
                said = {"id": post.id, "by": post.by, "text": post.text, "parent": post.reply_to}
                replies.setdefault(post.root, []).append(said)
        return [
            {"id": post.id, "text": post.text, "comments": replies.get(post.id, [])}
            for post in reversed(self.posts.values())
            if post.by == account and post.reply_to is None and post.parent is None
        ]

    def simulate_activity(self) -> None:
        rng = self.sandbox.rng
        name = rng.choice(list(self.users))
        mine = [post for post in self.posts.values() if post.by == name and post.reply_to is post.parent is None][-8:]
        dice = rng.random()
        if not mine or dice < 0.05:
            self.simulate_publish(name, sample_text.caption(self.sandbox))
            return
        post = rng.choice(mine)
        below = [other for other in self.posts.values() if other.root == post.id]
        if below and dice < 0.12:
            self._remove(rng.choice(below))
        elif dice < 0.18:
            self._mention(name)
        else:
            parent = rng.choice(below) if below and dice < 0.35 else post
            self._reply(parent, sample_text.commenter(self.sandbox), sample_text.comment_text(self.sandbox))

    def _mention(self, name: str) -> None:
        by, now = sample_text.commenter(self.sandbox), self.sandbox.clock.now()
        post = self._add(Post(self._id(), by, "TEXT_POST", f"thanks @{name}!", now, ""))
        node = self._post_node(post).values
        shown = ("id", "media_product_type", "media_type", "permalink", "shortcode", "text", "timestamp", "username")
        value = {field: node[field] for field in shown} | {"is_quote_post": False, "is_reply": False}
        self._tell("mentions", name, value | {"has_replies": False})

    def _reply(self, parent: Post, by: str, text: str) -> Post:
        root = parent.root or parent.id
        now = self.sandbox.clock.now()
        post = self._add(Post(self._id(), by, "TEXT_POST", text, now, "", reply_to=parent.id, root=root))
        if root in self.posts and self.posts[root].by in self.users:
            self._tell_reply(post)
        return post

    def simulate_publish(self, account: str, text: str) -> str:
        post = self._add(Post(self._id(), account, "TEXT_POST", text, self.sandbox.clock.now(), ""))
        self.record("post", account=account, id=post.id, text=text, by="owner")
        self._tell_published(post)
        return post.id

    def simulate_comment(self, account: str, post: str, by: str, text: str) -> str:
        parent = self.posts.get(post)
        root = self.posts.get((parent.root if parent else None) or post)
        if parent is None or root is None or root.by != account:
            raise CommandError(f"{account} has no post {post}")
        return self._reply(parent, by, text).id

    def simulate_remove(self, account: str, id_: str) -> None:
        if id_ not in self.posts:
            raise CommandError(f"there is no {id_}")
        self._remove(self.posts[id_])

    def simulate_revoke(self, account: str) -> int:
        self.subscriptions.pop(account, None)
        self.tell_of("deauthorize", account, self.users[account])
        return self.end(account, 458, "revoked by the person")

    def simulate_erase(self, account: str) -> None:
        self.tell_of("deletion", account, self.users[account])

    def simulate_unsubscribe(self, account: str) -> None:
        self.subscriptions.pop(account, None)

    def subscribe_all(self) -> None:
        self.subscriptions = {name: self._id() for name in self.users}


PLATFORM = Threads


def _poll_of(call: Call) -> dict[str, str] | None:
    return _poll_options(call.fields.get("poll_attachment", call.query.get("poll_attachment")))


def _poll_options(given: Any) -> dict[str, str] | None:
    """Return the options of a poll; None without one. Any other form is silently ignored (``meta.md`` 9.3)."""
    poll = loaded(given)
    if not isinstance(poll, dict):
        return None
    return {name: str(poll[name]) for name in POLL_OPTIONS if poll.get(name)} or None
