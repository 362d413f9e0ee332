"""Instagram itself, and the calls that both of its logins have (``meta.md`` 8, 10)."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import imagesize

from ops.sandbox import sample_text
from ops.sandbox.contract import Answer, Call, CommandError, Fetched, OutboundRequest, Sandbox, forget_oldest, whole
from ops.sandbox.graph_api import Container, Edge, GraphApi, Node, Token, loaded, upload_failed, when

CAPTION, HASHTAGS, MENTIONS, CHILDREN = 2200, 30, 20, (2, 10)
IMAGE_BYTES, VIDEO_BYTES, STORY_BYTES = 8 * 2**20, 300 * 2**20, 100 * 2**20
RATIO = (4 / 5, 1.91)
CONTAINERS = 400
DAY = timedelta(hours=24)
IMAGE_SECONDS, VIDEO_SECONDS = 3, 30
"""How long a file is processed."""
PRIVATE_REPLY = timedelta(days=7)
STORY_LIFE = timedelta(hours=24)

PRODUCTS = {"REELS": "REELS", "STORIES": "STORY", "CAROUSEL": "FEED", "IMAGE": "FEED", "VIDEO": "REELS"}
COMMON_METRICS = ("views", "reach", "shares", "total_interactions", "reposts")
METRICS = {
    "FEED": (*COMMON_METRICS, "likes", "comments", "saved", "profile_visits", "follows"),
    "REELS": (*COMMON_METRICS, "likes", "comments", "saved", "ig_reels_avg_watch_time"),
    "STORY": (*COMMON_METRICS, "replies", "follows", "profile_visits", "navigation"),
}


@dataclass
class Person:
    """A professional account. ``user_id`` is the one in webhooks, ``scoped_id`` the application's (``meta.md`` 0.9)."""

    name: str
    user_id: str
    scoped_id: str
    followers: int = 1200
    restricted: bool = False


@dataclass
class Media:
    id: str
    account: str
    kind: str
    product: str
    caption: str
    created: datetime
    shortcode: str
    url: str
    children: list[str] = field(default_factory=list)
    open: bool = True
    """Whether it can be commented on."""
    likes: int = 0
    comments: "dict[str, Comment]" = field(default_factory=dict)


@dataclass
class Comment:
    id: str
    media: str
    by: str
    by_id: str
    text: str
    created: datetime
    parent: str | None = None
    hidden: bool = False
    answered: bool = False
    """Whether its author has had the one private reply."""


class InstagramService:
    """Accounts, media and comments, the same behind both logins."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._ids = 17_800_000_000_000_000 + sandbox.rng.randrange(10**12)
        self.people = {
            name: Person(name, f"178414{number:011d}", f"2{number:016d}")
            for number, name in enumerate(("alice", "bob", "shop"), sandbox.rng.randrange(10**9))
        }
        self.fans: dict[str, str] = {}
        self.media: dict[str, Media] = {}
        self.comments: dict[str, Comment] = {}
        self.containers: dict[str, Container] = {}
        self.publishes: dict[str, list[datetime]] = {}
        self.listeners: list[InstagramApi] = []
        for person in self.people.values():
            for _ in range(4):
                self.post(person.name, "IMAGE", sample_text.caption(sandbox))

    def id(self) -> str:
        self._ids += self.sandbox.rng.randint(1, 5000)
        return str(self._ids)

    def fan(self, name: str) -> str:
        """The id of one who comments."""
        return self.fans.setdefault(name, self.people[name].user_id if name in self.people else self.id())

    def account(self, id_: str) -> Person | None:
        return next((person for person in self.people.values() if id_ in (person.user_id, person.scoped_id)), None)

    def of(self, account: str) -> list[Media]:
        """Newest first; stories for as long as they live."""
        now = self.sandbox.clock.now()
        return [
            media
            for media in reversed(self.media.values())
            if media.account == account and (media.product != "STORY" or now - media.created < STORY_LIFE)
        ]

    def under(self, media: str, parent: str | None = None) -> list[Comment]:
        """Newest first."""
        return [c for c in reversed(self.media[media].comments.values()) if c.parent == parent]

    def post(self, account: str, kind: str, caption: str, url: str = "", children: Sequence[str] = ()) -> Media:
        id_ = self.id()
        shown = {"REELS": "VIDEO", "CAROUSEL": "CAROUSEL_ALBUM", "STORIES": "IMAGE"}.get(kind, kind)
        media = Media(
            id_,
            account,
            shown,
            PRODUCTS[kind],
            caption,
            self.sandbox.clock.now(),
            self.sandbox.secret(8),
            url or "/_sandbox/media/picture.jpg",
            list(children),
        )
        self.media[id_] = media
        if len(self.media) > self.sandbox.capacity:
            self.drop(next(iter(self.media)))
        return media

    def say(self, media: Media, by: str, text: str, parent: str | None = None) -> Comment:
        """Somebody comments; a reply to a reply lands below the top one. Tells whoever listens."""
        if parent is not None:
            parent = self.comments[parent].parent or parent
        comment = Comment(self.id(), media.id, by, self.fan(by), text, self.sandbox.clock.now(), parent)
        self.comments[comment.id] = media.comments[comment.id] = comment
        if len(self.comments) > self.sandbox.capacity:
            self.drop(next(iter(self.comments)))
        for listener in self.listeners:
            listener.handle_event("comments", media.account, listener.comment_value(comment, media))
        return comment

    def drop(self, id_: str) -> bool:
        """A comment or a medium goes, with everything below it. Nobody is told (``meta.md`` 2.2)."""
        if id_ in self.media:
            gone = list(self.media.pop(id_).comments)
        elif id_ in self.comments:
            below = self.media[self.comments[id_].media].comments
            gone = [id_, *(comment.id for comment in below.values() if comment.parent == id_)]
            for comment in gone:
                del below[comment]
        else:
            return False
        for comment in gone:
            del self.comments[comment]
        return True

    def simulate_activity(self) -> None:
        """One thing that people do: mostly they comment."""
        rng = self.sandbox.rng
        account = rng.choice(list(self.people))
        mine = [media for media in self.of(account) if media.open]
        dice = rng.random()
        if not mine or dice < 0.02:
            self.post(account, rng.choice(("IMAGE", "REELS")), sample_text.caption(self.sandbox))
            return
        media = rng.choice(mine[:8])
        if dice < 0.05:
            story = self.post(account, "STORIES", "")
            del self.media[story.id]  # it is told about when it is over
            for listener in self.listeners:
                listener.handle_event("story_insights", account, _told_story(story, rng.randint(50, 500)))
            return
        top = self.under(media.id)
        if top and dice < 0.08:
            self.drop(rng.choice(top).id)
            return
        parent = rng.choice(top).id if top and dice < 0.25 else None
        self.say(media, sample_text.commenter(self.sandbox), sample_text.comment_text(self.sandbox), parent)


class InstagramApi(GraphApi):
    """The handlers. ``rights`` says which scopes each kind of call needs here."""

    rights: ClassVar[Mapping[str, Sequence[str]]]
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        **GraphApi.variants,
        "quota": ("100", "50"),
        "comment_id": ("id", "comment_id"),
    }
    business = "instagram"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.instagram = sandbox.common(InstagramService)
        self.instagram.listeners.append(self)

    def handle_event(self, topic: str, account: str, value: Any) -> None:
        """Something happened to an account."""
        raise NotImplementedError

    def comment_value(self, comment: Comment, media: Media) -> dict[str, Any]:
        """``meta.md`` 2.2: no time, no verb, and the parent only for a reply."""
        author = {"id": comment.by_id, "username": comment.by}
        if comment.by == media.account:
            author["self_ig_scoped_id"] = self.instagram.people[comment.by].scoped_id
        value = {
            self.variant("comment_id"): comment.id,
            "text": comment.text,
            "from": author,
            "media": {"id": media.id, "media_product_type": media.product},
        }
        return value | ({"parent_id": comment.parent} if comment.parent else {})

    # --- whose it is

    def professional(self, call: Call, right: str) -> tuple[Token, Person]:
        """The account that a call is about, if its token may act for it."""
        token = self.authorised(call, *self.rights[right])
        person = self.instagram.account(call.parts["id"])
        if person is None or not self.acts_for(token, person):
            raise self.missing(call.parts["id"])
        return token, person

    def acts_for(self, token: Token, person: Person) -> bool:
        raise NotImplementedError

    def own_media(self, call: Call, token: Token) -> Media:
        media = self.instagram.media.get(call.parts["id"])
        if media is None or not self.acts_for(token, self.instagram.people[media.account]):
            raise self.missing(call.parts["id"])
        return media

    def own_comment(self, call: Call, token: Token) -> Comment:
        comment = self.instagram.comments.get(call.parts["id"])
        if comment is None or not self.acts_for(
            token, self.instagram.people[self.instagram.media[comment.media].account]
        ):
            raise self.missing(call.parts["id"])
        return comment

    # --- reading

    def person_node(self, person: Person) -> Node:
        return Node(
            "IGUser",
            {
                "id": person.scoped_id,
                "user_id": person.user_id,
                "username": person.name,
                "name": person.name.title(),
                "account_type": "BUSINESS",
                "profile_picture_url": "https://scontent.example/p.jpg",
                "followers_count": person.followers,
                "follows_count": 80,
                "media_count": len(self.instagram.of(person.name)),
            },
        )

    def media_node(self, media: Media, base: str) -> Node:
        url = media.url if "//" in media.url else base.rpartition("/")[0] + media.url
        return Node(
            "IGMedia",
            {
                "id": media.id,
                "caption": media.caption or None,
                "media_type": media.kind,
                "media_product_type": media.product,
                "media_url": url,
                "thumbnail_url": url if media.kind == "VIDEO" else None,
                "permalink": f"https://www.instagram.com/p/{media.shortcode}/",
                "shortcode": media.shortcode,
                "timestamp": when(media.created),
                "username": media.account,
                "owner": {"id": self.instagram.people[media.account].user_id},
                "is_comment_enabled": media.open,
                "like_count": media.likes,
                "comments_count": len(media.comments),
                "comments": Edge(lambda: [self.comment_node(comment) for comment in self.instagram.under(media.id)]),
                "children": Edge(
                    lambda: [
                        Node("IGMedia", {"id": child, "media_type": "IMAGE", "media_url": url})
                        for child in media.children
                    ]
                ),
            },
        )

    def comment_node(self, comment: Comment) -> Node:
        author = Node("IGCommentFromUser", {"id": comment.by_id, "username": comment.by}, ("id", "username"))
        return Node(
            "IGComment",
            {
                "id": comment.id,
                "text": comment.text,
                "timestamp": when(comment.created),
                "username": comment.by,
                "from": author,
                "hidden": comment.hidden,
                "like_count": 0,
                "parent_id": comment.parent,
                "media": Node("IGMedia", {"id": comment.media}),
                "replies": Edge(
                    lambda: [self.comment_node(c) for c in reversed(self.instagram.under(comment.media, comment.id))]
                ),
            },
            ("id", "text", "timestamp"),
        )

    def instagram_node(self, call: Call) -> Node | None:
        """The account, medium, comment or container of this id, with the right that looking at it needs."""
        id_, instagram = call.parts["id"], self.instagram
        if instagram.account(id_):
            return self.person_node(self.professional(call, "read")[1])
        if id_ in instagram.media:
            return self.media_node(self.own_media(call, self.authorised(call, *self.rights["read"])), call.base)
        if id_ in instagram.comments:
            return self.comment_node(self.own_comment(call, self.authorised(call, *self.rights["comments"])))
        if id_ in instagram.containers:
            return self._container_node(self._own_container(id_, self.authorised(call, *self.rights["publish"])))
        return None

    def media_list(self, call: Call) -> Answer:
        token, person = self.professional(call, "read")
        mine = [media for media in self.instagram.of(person.name) if media.product != "STORY"][:10_000]
        return self.answer(token, self.page(call, [self.media_node(media, call.base) for media in mine]))

    def stories(self, call: Call) -> Answer:
        token, person = self.professional(call, "read")
        mine = [media for media in self.instagram.of(person.name) if media.product == "STORY"]
        return self.answer(token, self.page(call, [self.media_node(media, call.base) for media in mine]))

    def media_comments(self, call: Call) -> Answer:
        """Top-level ones, newest first, 50 a page (``meta.md`` 10.2)."""
        token = self.authorised(call, *self.rights["comments"])
        media = self.own_media(call, token)
        return self.answer(
            token, self.page(call, [self.comment_node(c) for c in self.instagram.under(media.id)], most=50)
        )

    def comment_replies(self, call: Call) -> Answer:
        token = self.authorised(call, *self.rights["comments"])
        comment = self.own_comment(call, token)
        replies = self.instagram.under(comment.media, comment.id)
        return self.answer(token, self.page(call, [self.comment_node(c) for c in reversed(replies)], most=50))

    def insights(self, call: Call) -> Answer:
        """One metric that does not fit fails them all (``meta.md`` 10.5)."""
        token = self.authorised(call, *self.rights["insights"])
        media = self.own_media(call, token)
        asked = [name for name in (call.text("metric") or "").split(",") if name]
        allowed = METRICS[media.product]
        if not asked or not set(asked) <= set(allowed):
            raise self.refused(100, f"(metric) must be one of the following values: {', '.join(allowed)}")
        said = len(media.comments)
        counts = {"comments": said, "likes": media.likes, "views": 40 * (said + 1), "reach": 30 * (said + 1)}
        shown = [
            {
                "name": name,
                "period": "lifetime",
                "values": [{"value": counts.get(name, 0)}],
                "title": name.replace("_", " ").title(),
                "id": f"{media.id}/insights/{name}/lifetime",
            }
            for name in asked
        ]
        return self.answer(token, {"data": shown})

    # --- comments (meta.md 10.3)

    def comment_on(self, call: Call) -> Answer:
        token = self.authorised(call, *self.rights["comments"])
        media = self.own_media(call, token)
        return self._said(call, token, media, None)

    def reply(self, call: Call) -> Answer:
        token = self.authorised(call, *self.rights["comments"])
        comment = self.own_comment(call, token)
        if comment.hidden:
            raise self.refused(100, "A hidden comment cannot be replied to")
        return self._said(call, token, self.instagram.media[comment.media], comment.id)

    def _said(self, call: Call, token: Token, media: Media, parent: str | None) -> Answer:
        text = call.text("message")
        if text is None:
            raise self.refused(100, "The parameter message is required")
        if not media.open:
            raise self.refused(10, "Comments are off for this media")
        comment = self.instagram.say(media, media.account, text, parent)
        self.record("post", account=media.account, id=comment.id, text=text, media=media.id, reply_to=parent)
        return self.answer(token, {"id": comment.id})

    def change(self, call: Call) -> Answer:
        """Hide a comment, or switch a medium's comments."""
        token = self.authorised(call, *self.rights["comments"])
        if call.parts["id"] in self.instagram.comments and call.text("hide") is not None:
            self.own_comment(call, token).hidden = call.flag("hide")
        elif call.parts["id"] in self.instagram.media and call.text("comment_enabled") is not None:
            self.own_media(call, token).open = call.flag("comment_enabled")
        else:
            raise self.missing(call.parts["id"])
        return self.answer(token, {"success": True})

    def delete_instagram(self, call: Call) -> Answer:
        """A comment on one's own media, or the media."""
        token = self.authorised(call, *self.rights["comments"])
        owned = self.own_comment if call.parts["id"] in self.instagram.comments else self.own_media
        self.instagram.drop(owned(call, token).id)
        return self.answer(token, {"success": True})

    def message(self, call: Call) -> Answer:
        """A private reply: one for each comment, within 7 days."""
        token, person = self.professional(call, "messages")
        recipient = call.fields.get("recipient")
        if isinstance(recipient, str):
            recipient = loaded(recipient)
        comment = self.instagram.comments.get(str((recipient or {}).get("comment_id"))) if recipient else None
        if comment is None or self.instagram.media[comment.media].account != person.name:
            raise self.refused(100, "No matching comment found")
        if comment.answered or self.sandbox.clock.now() - comment.created > PRIVATE_REPLY:
            raise self.refused(10, "This comment can no longer be replied to privately")
        comment.answered = True
        mid = self.sandbox.secret(24)
        self.record("post", account=person.name, id=mid, text=_text(call), reply_to=comment.id, private=True)
        return self.answer(token, {"recipient_id": comment.by_id, "message_id": mid})

    # --- publishing (meta.md 8)

    def create(self, call: Call) -> Answer | OutboundRequest:
        token, person = self.professional(call, "publish")
        if person.restricted:
            raise self.refused(25, "The Instagram account is restricted.", 2207050)
        self._check_caption(call)
        recent = [c for c in self.instagram.containers.values() if self._recent(c, person.name)]
        if len(recent) >= CONTAINERS:  # no code is documented for this; the nearest is that of the daily limit
            raise self.refused(9, "Too many containers were created in 24 hours.", 2207042)
        if call.text("media_type") == "CAROUSEL":
            return self.answer(token, {"id": self._carousel(call, person).id})
        if call.text("upload_type") == "resumable":
            container = self._made(call, person, call.text("media_type") or "VIDEO")
            uri = f"{call.base}/ig-api-upload/v25.0/{container.id}"
            return self.answer(token, {"id": container.id, "uri": uri})
        kind = call.text("media_type") or ("IMAGE" if call.text("image_url") else "VIDEO")
        video, image = call.text("video_url"), call.text("image_url")
        if kind not in ("IMAGE", "VIDEO", "REELS", "STORIES") or (kind == "REELS" and not video):
            raise self.refused(100, "The media type is not supported.", 2207023)
        if kind == "VIDEO" and not call.flag("is_carousel_item"):
            kind = "REELS"  # the guide still lists VIDEO in general (meta.md 8.2)
        if video:
            container = self._made(call, person, kind)
            self.sandbox.outbound_requests.append(
                OutboundRequest(video, partial(self._downloaded, container.id), seconds=60.0)
            )
            return self.answer(token, {"id": container.id})
        if image is None:
            raise self.refused(100, "The parameter image_url is required")
        # A picture is fetched before there is an answer.
        return OutboundRequest(image, partial(self._pictured, call, token, person, kind), seconds=30.0)

    def _recent(self, container: Container, account: str) -> bool:
        return container.account == account and self.sandbox.clock.now() - container.created < DAY

    def _check_caption(self, call: Call) -> None:
        caption = call.text("caption") or ""
        if len(caption) > CAPTION or len(re.findall(r"#\w", caption)) > HASHTAGS:
            raise self.refused(36004, "The caption was too long.", 2207010)
        if len(re.findall(r"(?<!\w)@\w", caption)) > MENTIONS:
            raise self.refused(100, "The caption holds too many @ tags.", 2207040)

    def _made(self, call: Call, person: Person, kind: str) -> Container:
        params = {name: value for name, value in call.fields.items() if name != "access_token"}
        container = Container(
            self.instagram.id(), person.name, kind, {**dict(call.query), **params}, self.sandbox.clock.now()
        )
        self.instagram.containers[container.id] = container
        forget_oldest(self.instagram.containers, self.sandbox.capacity)
        return container

    def _carousel(self, call: Call, person: Person) -> Container:
        named = call.many("children")
        children = named[0].split(",") if len(named) == 1 else named
        if len(children) not in range(CHILDREN[0], CHILDREN[1] + 1):
            raise self.refused(100, "A carousel has 2 to 10 children.", 2207028)
        known = [self.instagram.containers.get(child) for child in children]
        if any(c is None or c.account != person.name or not c.params.get("is_carousel_item") for c in known):
            raise self.refused(24, "The requested resource does not exist.", 2207006)
        container = self._made(call, person, "CAROUSEL")
        container.children = children
        container.ready = self.sandbox.clock.in_(seconds=IMAGE_SECONDS)
        return container

    def _pictured(self, call: Call, token: Token, person: Person, kind: str, file: Fetched) -> Answer:
        if file.status != 200:
            raise self.refused(9004, "The media could not be fetched from this URI.", 2207052)
        if not file.content.startswith(b"\xff\xd8\xff"):
            raise self.refused(36001, "The image format is not supported.", 2207005)
        if len(file.content) > IMAGE_BYTES:
            raise self.refused(36000, "The image is too large.", 2207004)
        width, height = imagesize.get(io.BytesIO(file.content))
        if kind == "IMAGE" and not RATIO[0] <= width / height <= RATIO[1]:
            raise self.refused(36003, "The aspect ratio is not supported.", 2207009)
        container = self._made(call, person, kind)
        container.ready = self.sandbox.clock.in_(seconds=IMAGE_SECONDS)
        return self.answer(token, {"id": container.id})

    def _downloaded(self, id_: str, file: Fetched) -> None:
        if file.status != 200:
            self.instagram.containers[id_].error = "Error: Media download has failed with error code 2207003"
        else:
            self._received(self.instagram.containers[id_], file.content)

    def _received(self, container: Container, content: bytes) -> None:
        """A video is there. Files that say ``corrupt`` fail, ones that say ``stuck`` never end."""
        limit = STORY_BYTES if container.kind == "STORIES" else VIDEO_BYTES
        if content[4:8] != b"ftyp" or len(content) > limit:
            container.error = "Error: Media upload has failed with error code 2207026"
        elif b"corrupt" in content:
            container.error = "Error: Media upload has failed with error code 2207082"  # in no table (meta.md 14, T8)
        elif b"stuck" not in content:
            container.ready = self.sandbox.clock.in_(seconds=VIDEO_SECONDS)

    def upload(self, call: Call) -> Answer | OutboundRequest:
        """Bytes at an offset, or the address of a file (``meta.md`` 8.4)."""
        container = self._own_container(call.parts["id"], self.authorised(call, *self.rights["publish"]))
        if url := call.headers.get("file_url"):
            return OutboundRequest(url, partial(self._uploaded, container), seconds=60.0)
        offset, size = call.headers.get("offset", ""), call.headers.get("file_size", "")
        if not whole(offset) or not whole(size) or int(offset) != container.received:
            return upload_failed("OffsetInvalidError", f"expected offset {container.received}", retriable=True)
        container.params.setdefault("file", bytearray()).extend(call.body)
        container.received += len(call.body)
        if container.received < int(size):
            return upload_failed("PartialRequestError", f"{container.received} of {size} bytes", retriable=True)
        self._received(container, bytes(container.params.pop("file")))
        return Answer(content={"success": True, "message": "Upload successful."})

    def _uploaded(self, container: Container, file: Fetched) -> Answer:
        if file.status != 200:
            return upload_failed("ProcessingFailedError", "the file could not be fetched", retriable=False)
        self._received(container, file.content)
        return Answer(content={"success": True, "message": "Upload successful."})

    def _own_container(self, id_: str, token: Token) -> Container:
        container = self.instagram.containers.get(id_)
        if container is None or not self.acts_for(token, self.instagram.people[container.account]):
            raise self.missing(id_)
        return container

    def _container_node(self, container: Container) -> Node:
        status = container.status(self.sandbox.clock.now())
        said = {
            "EXPIRED": "Expired: the container was not published within 24 hours and has expired.",
            "ERROR": container.error,
            "FINISHED": "Finished: Media has been uploaded and it is ready to be published.",
            "IN_PROGRESS": "In Progress: Media is still being processed.",
            "PUBLISHED": "Published: Media has been successfully published.",
        }
        copyright_status = {"status": "completed" if container.ready else "in_progress", "matches_found": False}
        values = {"id": container.id, "status_code": status, "status": said[status]}
        return Node("IGMediaBuilder", values | {"copyright_check_status": copyright_status})

    def publish(self, call: Call) -> Answer:
        token, person = self.professional(call, "publish")
        container = self.instagram.containers.get(call.text("creation_id") or "")
        if container is None or container.account != person.name:
            raise self.refused(24, "The requested resource does not exist.", 2207006)
        status = container.status(self.sandbox.clock.now())
        if status == "EXPIRED":
            raise self.refused(-2, "The media container has expired.", 2207020)
        if status == "PUBLISHED":
            raise self.refused(24, "The media builder with this creation ID does not exist.", 2207008)
        if status == "ERROR":
            raise self.refused(-1, "The media could not be created.", 2207032)
        states = [self.instagram.containers[child].status(self.sandbox.clock.now()) for child in container.children]
        if status == "IN_PROGRESS" or any(state != "FINISHED" for state in states):
            raise self.refused(9007, "Media ID is not available: the media is not ready to be published.", 2207027)
        if self._used(person.name) >= int(self.variant("quota")):
            raise self.refused(9, "The user has reached the daily limit of posts.", 2207042)
        caption = str(container.params.get("caption") or "")
        url = str(container.params.get("image_url") or container.params.get("video_url") or "")
        media = self.instagram.post(person.name, container.kind, caption, url, container.children)
        container.published = media.id
        self.instagram.publishes.setdefault(person.name, []).append(media.created)
        self.record("post", account=person.name, id=media.id, text=caption, container=container.id)
        return self.answer(token, {"id": media.id})

    def _used(self, account: str) -> int:
        """Of the rolling 24 h; a carousel counts once."""
        now = self.sandbox.clock.now()
        return sum(now - at < DAY for at in self.instagram.publishes.get(account, ()))

    def quota(self, call: Call) -> Answer:
        token, person = self.professional(call, "publish")
        config = {"quota_total": int(self.variant("quota")), "quota_duration": 86_400}
        node = Node("IGContentPublishingLimit", {"quota_usage": self._used(person.name), "config": config})
        return self.answer(token, {"data": [self.pick(node, self.fields(call) or {"quota_usage": {}})]})

    # --- life

    def instagram_posts(self, account: str) -> list[dict[str, Any]]:
        return [
            {
                "id": media.id,
                "text": media.caption,
                "comments": [
                    {"id": c.id, "by": c.by, "text": c.text, "parent": c.parent} for c in media.comments.values()
                ],
            }
            for media in self.instagram.of(account)
        ]

    def simulate_comment(self, account: str, post: str, by: str, text: str) -> str:
        """``post`` may be a comment, which is then replied to."""
        comment = self.instagram.comments.get(post)
        media = self.instagram.media.get(comment.media if comment else post)
        if media is None or media.account != account:
            raise CommandError(f"{account} has no post {post}")
        return self.instagram.say(media, by, text, comment.id if comment else None).id

    def simulate_remove(self, account: str, id_: str) -> None:
        if not self.instagram.drop(id_):
            raise CommandError(f"there is no {id_}")


def _told_story(story: Media, seen: int) -> dict[str, Any]:
    """``meta.md`` 2.4: counts under 5 come as -1."""
    counts = {"impressions": seen, "reach": seen * 3 // 4, "taps_forward": seen // 3, "exits": seen // 5}
    return {"media_id": story.id, **counts, "taps_back": seen // 9, "replies": -1}


def _text(call: Call) -> str:
    message = call.fields.get("message")
    if isinstance(message, str):
        message = loaded(message)
    return str(message.get("text")) if isinstance(message, dict) else ""
