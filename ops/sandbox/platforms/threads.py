"""Threads: contract ``meta.md`` 1, 4, 7.3, 9.1 and 10.6."""

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

from ops.sandbox import sample_text
from ops.sandbox.contract import Answer, Call, CommandError, Fetched, OutboundRequest, PlatformEvent, Route, Sandbox
from ops.sandbox.graph_api import SHORT_SECONDS, Container, Edge, GraphApi, Node, OwnLogin, Token, when

VERSION = r"/{version:(?:v1\.0/)?}"
BASIC = "threads_basic"
CHARACTERS, LINKS, TAG = 500, 5, 50
CHILDREN = (2, 20)
QUOTAS = {"post": 250, "reply": 1000, "delete": 100, "location_search": 500}
DAY = timedelta(hours=24)
IMAGE_BYTES, VIDEO_BYTES = 8 * 2**20, 2**30
TEXT_SECONDS, IMAGE_SECONDS, VIDEO_SECONDS = 7, 10, 40
"""After creation. Texts too are not ready at once: "about 7 s" in 210 cases of 45 days (``meta.md`` 14, T10)."""

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
        """By account, the id that its events name."""
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
        """The user's id comes as a bare number of 17 digits."""
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
        return Node(
            "ThreadsMedia",
            {
                "id": post.id,
                "text": post.text or None,
                "username": post.by,
                "timestamp": when(post.created),
                "media_product_type": "THREADS",
                "media_type": post.kind,
                "media_url": post.url or None,
                "permalink": f"https://www.threads.net/@{post.by}/post/{post.shortcode}",
                "shortcode": post.shortcode,
                "topic_tag": post.topic,
                "link_attachment_url": post.link,
                "is_quote_post": False,
                "is_reply": post.reply_to is not None,
                "has_replies": any(other.reply_to == post.id for other in self.posts.values()),
                "hide_status": "HIDDEN" if post.hidden else "NOT_HUSHED",
                "reply_approval_status": None,
                "root_post": Node("ThreadsMedia", {"id": root.id}) if root else None,
                "replied_to": Node("ThreadsMedia", {"id": parent.id}) if parent else None,
                "children": Edge(list),
            },
        )

    def show(self, call: Call) -> Answer:
        id_ = call.parts["id"]
        if id_ == "me" or id_ in self.users.values():
            token, name = self._user(call)
            return self.answer(token, self.pick(self._user_node(name), self.fields(call)))
        token = self.authorised(call, BASIC)
        if id_ in self.containers:
            return self.answer(token, self._container(self._own_container(id_, token), call))
        return self.answer(token, self.pick(self._post_node(self._seen(call, token)), self.fields(call)))

    def _seen(self, call: Call, token: Token) -> Post:
        """One's own, and what is said below it."""
        post = self.posts.get(call.parts["id"])
        root = self.posts.get((post.root if post else None) or "", post)
        if post is None or root is None or token.account not in (post.by, root.by):
            raise self.missing(call.parts["id"])
        return post

    def list_posts(self, call: Call) -> Answer:
        token, name = self._user(call)
        mine = [post for post in reversed(self.posts.values()) if post.by == name and post.reply_to is None]
        return self.answer(token, self.page(call, [self._post_node(post) for post in mine]))

    def replies(self, call: Call) -> Answer:
        """Right below."""
        return self._below(call, lambda post, top: post.reply_to == top)

    def conversation(self, call: Call) -> Answer:
        """All the way down."""
        return self._below(call, lambda post, top: post.root == top)

    def _below(self, call: Call, belongs: Any) -> Answer:
        token = self.authorised(call, BASIC, "threads_read_replies")
        top = self._seen(call, token)
        found = [post for post in reversed(self.posts.values()) if belongs(post, top.id)]
        return self.answer(token, self.page(call, [self._post_node(post) for post in found]))

    def insights(self, call: Call) -> Answer:
        token = self.authorised(call, BASIC, "threads_manage_insights")
        post = self._seen(call, token)
        allowed = ("views", "likes", "replies", "reposts", "quotes", "shares")
        asked = [name for name in (call.text("metric") or "").split(",") if name]
        if not asked or not set(asked) <= set(allowed):
            raise self.refused(100, f"(metric) must be one of the following values: {', '.join(allowed)}")
        said = sum(other.root == post.id for other in self.posts.values())
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

    # --- publishing (meta.md 9.1)

    def create(self, call: Call) -> Answer | OutboundRequest:
        token, name = self._user(call, "threads_content_publish")
        kind, text = call.text("media_type"), call.text("text") or ""
        self._check_text(call, text)
        if kind == "TEXT" and text:  # with nothing to fetch
            container = self._made(call, name, kind)
            container.ready = self.sandbox.clock.in_(seconds=TEXT_SECONDS)
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
        self.sandbox.outbound_requests.append(
            OutboundRequest(image or video or "", partial(self._fetched, container.id), seconds=60.0)
        )
        return self.answer(token, {"id": container.id})

    def _check_text(self, call: Call, text: str) -> None:
        # Emoji count as their bytes in UTF-8.
        length = sum(len(char.encode()) if ord(char) > 0xFFFF else 1 for char in text)
        if length > CHARACTERS:
            raise self.refused(100, f"Param text must be at most {CHARACTERS} characters long.")
        link = call.text("link_attachment")
        if len({*_URL.findall(text), *([link] if link else [])}) > LINKS:
            raise self.refused(100, "THREADS_API__LINK_LIMIT_EXCEEDED")
        if link and call.text("media_type") != "TEXT":
            raise self.refused(100, "link_attachment goes with TEXT only")
        tag = call.text("topic_tag")
        if tag and (len(tag) > TAG or {".", "&"} & set(tag)):
            raise self.refused(100, "topic_tag has 1 to 50 characters, none of them . or &")
        if (call.text("reply_control") or "everyone") not in REPLY_CONTROLS:
            raise self.refused(100, f"Param reply_control must be one of {', '.join(REPLY_CONTROLS)}")
        answered = call.text("reply_to_id")
        if answered and answered not in self.posts:
            raise self.refused(24, "The requested resource does not exist.", 4279009)

    def _made(self, call: Call, name: str, kind: str) -> Container:
        params = {**dict(call.query), **call.fields}
        params.pop("access_token", None)
        container = Container(self._id(), name, kind, params, self.sandbox.clock.now())
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
        container.children, container.ready = children, self.sandbox.clock.in_(seconds=IMAGE_SECONDS)
        return container

    def _fetched(self, id_: str, file: Fetched) -> None:
        """Files that say ``corrupt`` fail, ones that say ``stuck`` never end, ones that say ``unknown`` say no more."""
        container, content = self.containers[id_], file.content
        image = container.kind == "IMAGE"
        if file.status != 200:
            container.error = "FAILED_DOWNLOADING_VIDEO"
        elif b"unknown" in content:
            container.error = "UNKNOWN"
        elif b"corrupt" in content or (not image and (content[4:8] != b"ftyp" or len(content) > VIDEO_BYTES)):
            container.error = "FAILED_PROCESSING_VIDEO"
        elif image and (not content.startswith((b"\xff\xd8\xff", b"\x89PNG")) or len(content) > IMAGE_BYTES):
            container.error = "INVALID_ASPEC_RATIO"  # sic
        elif b"stuck" not in content:
            seconds = IMAGE_SECONDS if image else VIDEO_SECONDS
            container.ready = self.sandbox.clock.in_(seconds=seconds)

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
            Node("Container", {"id": container.id, "status": status, "error_message": container.error}), fields
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
        return self.answer(token, {"id": self._publish(container).id})

    def _publish(self, container: Container) -> Post:
        params = container.params
        parent = self.posts.get(str(params.get("reply_to_id")))
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
            )
        )
        container.published = post.id
        self._use(post.by, "reply" if parent else "post")
        self.record("post", account=post.by, id=post.id, text=post.text, container=container.id, reply_to=post.reply_to)
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
        fields = self.fields(call) or {"quota_usage": {}}
        return self.answer(token, {"data": [self.pick(Node("ThreadsPublishingLimit", values), fields)]})

    def hide(self, call: Call) -> Answer:
        """Top-level replies only; those below follow."""
        token = self.authorised(call, BASIC, "threads_manage_replies")
        post = self._seen(call, token)
        above = self.posts.get(post.reply_to or "")
        if above is None or above.reply_to is not None or above.by != token.account:
            raise self.refused(100, "Only a top-level reply to a post of one's own can be hidden")
        post.hidden = call.flag("hide")
        for other in self.posts.values():
            if other.reply_to == post.id:
                other.hidden = post.hidden
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
        return self.answer(token, {"success": True, "deleted_id": post.id})

    # --- webhooks (meta.md 4)

    def _remove(self, post: Post) -> None:
        """Told of only for posts of connected accounts."""
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
            if post.by == account and post.reply_to is None
        ]

    def simulate_activity(self) -> None:
        rng = self.sandbox.rng
        name = rng.choice(list(self.users))
        mine = [post for post in self.posts.values() if post.by == name and post.reply_to is None][-8:]
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
