"""The calls of Instagram that both logins share (``meta.md`` 8, 10)."""

import io
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

import imagesize

from ops.sandbox.contract import Answer, Call, Fetched, OutboundRequest, digest, forget_oldest, whole
from ops.sandbox.graph_api import Container, Edge, Fields, Node, Nodes, Token, loaded, upload_failed, when
from ops.sandbox.instagram_insights import InstagramInsights
from ops.sandbox.instagram_service import Comment, Media, Person, alter, media_number, permalink

CAPTION, HASHTAGS, MENTIONS, CHILDREN = 2200, 30, 20, (2, 10)
IMAGE_BYTES, VIDEO_BYTES, STORY_BYTES = 8 * 2**20, 300 * 2**20, 100 * 2**20
RATIO = (4 / 5, 1.91)
CONTAINERS = 400
DAY = timedelta(hours=24)
IMAGE_SECONDS, VIDEO_SECONDS = 3, 30
"""Processing time of an image and of a video."""
PRIVATE_REPLY = timedelta(days=7)

LISTED = 10_000
"""The newest media that are listed (``meta.md`` 10.1)."""
COMMENTS_PAGE = 50
TOTAL_FIELDS = {
    "total_like_count": "total_likes",
    "total_comments_count": "total_comments",
    "total_views_count": "total_views",
}
"""Fields with Facebook Login that count boosts too, and the metrics that are the same (``meta.md`` 10.1)."""
NAMES = ("from", "username", "user")
"""Fields that say who wrote a comment, and may all be absent (``meta.md`` 10.2)."""
ALT_CHARACTERS, COLLABORATORS = 1000, 3
REEL_MILLISECONDS = 15 * 60 * 1000
ADD_ONS = ("poll_attachment", "is_comment_prompt_used")


class InstagramApi(InstagramInsights):
    """Handlers of reading, moderation and publishing."""

    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        **InstagramInsights.variants,
        "quota": ("100", "50"),
        # The subcode for a container that was published before (meta.md 7.4 and 7.5).
        "republished": ("2207006", "2207008"),
        # Fields that were refused on a live account (meta.md 10.2, 14: T23).
        "comment_fields": ("all", "basic"),
        # Whether comments are listed still when a medium is closed to them (no page says it).
        "closed": ("listed", "empty"),
    }

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
        age, top = self.sandbox.clock.now() - media.created, media.parent is None
        owner = self.instagram.people[media.account].user_id
        found = {"id": owner, "username": media.account}
        totals = TOTAL_FIELDS if self.with_facebook_login else {}
        return Node(
            "IGMedia",
            {
                "id": media.id,
                "caption": self.seen(media, "caption") or None,
                "media_type": media.kind,
                "media_product_type": media.product,
                "media_url": None if media.file_absent else url,
                "thumbnail_url": url if media.kind == "VIDEO" else None,
                "permalink": permalink(media),
                "shortcode": media.shortcode,
                "timestamp": when(media.created),
                "username": f"partner_of_{media.account}" if media.collab else media.account,
                "collaborators": Edge(lambda: [Node("IGUser", found)] if media.collab else []),
                "owner": {"id": owner[::-1] if media.collab else owner},
                "is_comment_enabled": self.seen(media, "open"),
                "like_count": None if media.likes_hidden else self.seen(media, "likes"),
                "comments_count": media.counted,
                "alt_text": media.alt_text,
                "is_ai_generated": media.ai_generated,
                "is_shared_to_feed": True if media.product == "REELS" else None,
                **{
                    field: media_number(media, metric, age) if top else None
                    for field, metric in (
                        ("view_count", "views"),
                        ("saved_count", "saved"),
                        ("shares_count", "shares"),
                        ("reposts_count", "reposts"),
                    )
                },
                **{name: self.media_total(media, metric, age) if top else None for name, metric in totals.items()},
                "media_audio_type": "ORIGINAL" if media.kind == "VIDEO" else None,
                "copyright_check_information": {"status": {"status": "completed", "matches_found": False}},
                "boost_eligibility_info": {"eligible_to_boost": True},
                "legacy_instagram_media_id": media.id[::-1],
                "comments": Edge(lambda: self._comment_nodes(media)),
                "children": Edge(
                    lambda: [
                        self.media_node(self.instagram.media[child], base)
                        for child in media.children
                        if child in self.instagram.media
                    ]
                ),
            },
        )

    def _comment_nodes(self, media: Media, parent: str | None = None) -> Nodes:
        """Return the comments of a medium, newest first, or the replies to one, oldest first."""
        found = self.instagram.under(media.id, parent)
        if not media.open and self.variant("closed") == "empty":
            found = []
        return Nodes(found[::-1] if parent else found, self.comment_node)

    def comment_node(self, comment: Comment) -> Node:
        media = self.instagram.media[comment.media]
        person = self.instagram.people[media.account]
        author = Node("IGCommentFromUser", {"id": comment.by_id, "username": comment.by}, ("id", "username"))
        values: dict[str, Any] = {
            "id": comment.id,
            "text": self.seen(comment, "text") or None,
            "timestamp": when(comment.created),
            "username": comment.by,
            "hidden": self.seen(comment, "hidden"),
            "like_count": None if comment.likes_hidden else self.seen(comment, "likes"),
            "replies": Edge(lambda: self._comment_nodes(media, comment.id)),
            "from": author,
            "parent_id": comment.parent,
            "media": Node("IGMedia", {"id": comment.media}),
            "user": Node("IGUser", {"id": comment.by_id}) if comment.by == media.account else None,
        }
        if comment.author_absent or person.names_absent:
            values |= dict.fromkeys(NAMES)
        refused = ("from", "parent_id", "media", "user") if self.variant("comment_fields") == "basic" else ()
        for name in (*refused, *person.refused_fields):
            values.pop(name, None)
        withheld = comment.withheld or not self.listed(comment.created)
        return Node("IGComment", values, ("id", "text", "timestamp"), withheld)

    def instagram_node(self, call: Call) -> Node | None:
        """Return the account, medium, comment or container of an id; None if there is none."""
        id_, instagram = call.parts["id"], self.instagram
        if instagram.account(id_):
            return self.person_node(self.professional(call, "read")[1])
        if id_ in instagram.media:
            return self.media_node(self.own_media(call, self.authorised(call, *self.permissions["read"])), call.base)
        if id_ in instagram.comments:
            return self.comment_node(self.own_comment(call, self.authorised(call, *self.permissions["comments"])))
        if id_ in instagram.containers:
            return self._container_node(self._own_container(id_, self.authorised(call, *self.permissions["publish"])))
        return None

    def media_list(self, call: Call) -> Answer:
        token, person = self.professional(call, "read")
        since, until = self.bounds(call)
        mine = [media for media in self.instagram.of(person.name) if media.product != "STORY"]
        newest = mine[: LISTED if self.limits.listed is None else self.limits.listed]
        # The range of times is looked for in what is listed, not beyond it.
        within = [m for m in newest if since <= int(m.created.timestamp()) <= until and self.listed(m.created)]
        return self.answer(token, self.page(call, self._media_nodes(call, within)))

    def _media_nodes(self, call: Call, found: Sequence[Media]) -> Nodes:
        return Nodes(found, lambda media: self.media_node(media, call.base))

    def stories(self, call: Call) -> Answer:
        token, person = self.professional(call, "read")
        mine = [media for media in self.instagram.of(person.name) if media.product == "STORY"]
        found = [media for media in mine if self.listed(media.created)]
        return self.answer(token, self.page(call, self._media_nodes(call, found)))

    def media_comments(self, call: Call) -> Answer:
        """List top-level comments, newest first, 50 a page (``meta.md`` 10.2)."""
        token = self.authorised(call, *self.permissions["comments"])
        media = self.own_media(call, token)
        return self.answer(token, self.page(call, self._comment_nodes(media), most=COMMENTS_PAGE))

    def comment_replies(self, call: Call) -> Answer:
        token = self.authorised(call, *self.permissions["comments"])
        comment = self.own_comment(call, token)
        replies = self._comment_nodes(self.instagram.media[comment.media], comment.id)
        return self.answer(token, self.page(call, replies, most=COMMENTS_PAGE))

    # --- comments (meta.md 10.3)

    def comment_on(self, call: Call) -> Answer:
        token = self.authorised(call, *self.permissions["comments"])
        media = self.own_media(call, token)
        if not self.answerable(media.created):
            raise self.missing(media.id)
        return self._said(call, token, media, None)

    def reply(self, call: Call) -> Answer:
        token = self.authorised(call, *self.permissions["comments"])
        comment = self.own_comment(call, token)
        if not self.answerable(comment.created):
            raise self.missing(comment.id)
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
        token = self.authorised(call, *self.permissions["comments"])
        if call.parts["id"] in self.instagram.comments and call.text("hide") is not None:
            comment = self.own_comment(call, token)
            alter(comment, "hidden", call.flag("hide"), self.sandbox.clock.seconds())
            account = self.instagram.media[comment.media].account
            self.changed("hide" if comment.hidden else "unhide", account, comment.id)
        elif call.parts["id"] in self.instagram.media and call.text("comment_enabled") is not None:
            media = self.own_media(call, token)
            alter(media, "open", call.flag("comment_enabled"), self.sandbox.clock.seconds())
            self.changed("edit", media.account, media.id)
        else:
            raise self.missing(call.parts["id"])
        return self.answer(token, {"success": True})

    def delete_instagram(self, call: Call) -> Answer:
        """Delete a comment on one's own media, or the media, which needs a permission of its own (``meta.md`` 8.5)."""
        id_ = call.parts["id"]
        token = self.authorised(call, *self.permissions["contents" if id_ in self.instagram.media else "comments"])
        is_comment = id_ in self.instagram.comments
        media = self.instagram.media[self.own_comment(call, token).media] if is_comment else self.own_media(call, token)
        self.instagram.drop(id_)
        self.changed("delete", media.account, id_)
        return self.answer(token, {"success": True})

    def message(self, call: Call) -> Answer:
        """Send a private reply: one for each comment, within 7 days."""
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
        self._check_parameters(call)
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
        child = call.flag("is_carousel_item")
        if kind not in ("IMAGE", "VIDEO", "REELS", "STORIES") or (kind == "REELS" and (not video or child)):
            raise self.refused(100, "The media type is not supported.", 2207023)
        if kind == "VIDEO" and not call.flag("is_carousel_item"):
            kind = "REELS"  # the guide still lists VIDEO in general (meta.md 8.2)
        if video:
            container = self._made(call, person, kind)
            then = partial(self._downloaded, container.id)
            self.sandbox.outbound_requests.append(self.download(video, then, person.name, ranged=True))
            return self.answer(token, {"id": container.id})
        if image is None:
            raise self.refused(100, "The parameter image_url is required")
        # A picture is fetched before there is an answer.
        return self.download(image, partial(self._pictured, call, token, person, kind), person.name, seconds=30.0)

    def _recent(self, container: Container, account: str) -> bool:
        return container.account == account and self.sandbox.clock.now() - container.created < DAY

    def _check_caption(self, call: Call) -> None:
        caption = call.text("caption") or ""
        if len(caption) > CAPTION or len(re.findall(r"#\w", caption)) > HASHTAGS:
            raise self.refused(36004, "The caption was too long.", 2207010)
        if len(re.findall(r"(?<!\w)@\w", caption)) > MENTIONS:
            raise self.refused(100, "The caption holds too many @ tags.", 2207040)

    def _check_parameters(self, call: Call) -> None:
        """Raises 100 for what does not go together (``meta.md`` 8.1, 8.2, 8.6)."""
        kind, child = call.text("media_type") or "IMAGE", call.flag("is_carousel_item")
        alt_text = call.text("alt_text")
        if alt_text and (len(alt_text) > ALT_CHARACTERS or kind not in ("IMAGE", "CAROUSEL")):
            raise self.refused(100, f"alt_text has up to {ALT_CHARACTERS} characters, for images only")
        if call.flag("is_ai_generated") and child:
            raise self.refused(100, "is_ai_generated belongs to the carousel, not to its items")
        given = [loaded(item) for item in call.many("collaborators")]
        if not all(isinstance(names, list) for names in given):
            raise self.refused(100, "Param collaborators must be an array")
        names = [name for names in given for name in names]
        if names and (len(names) > COLLABORATORS or kind == "STORIES"):
            raise self.refused(100, f"Up to {COLLABORATORS} collaborators, and none on stories")
        offset = call.text("thumb_offset") or "0"
        if not whole(offset) or int(offset) > REEL_MILLISECONDS:
            raise self.refused(1, "The thumbnail offset is beyond the video.", 2207057)
        add_ons = [name for name in ADD_ONS if call.text(name)]
        if add_ons and not self.with_facebook_login:
            raise self.refused(100, f"{add_ons[0]} is not supported with Instagram Login")
        if len(add_ons) > 1 or (add_ons and (not call.text("caption") or child or kind == "STORIES")):
            raise self.refused(100, "One add-on per media, with a caption, and none on stories or carousel items")

    def _made(self, call: Call, person: Person, kind: str) -> Container:
        container = Container(self.instagram.id(), person.name, kind, call.params, self.sandbox.clock.now())
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
        self._process(container, IMAGE_SECONDS)
        return container

    def _process(self, container: Container, seconds: float) -> None:
        processing = self.process(seconds)
        error = f"Error: Media upload has failed with error code {processing.reason or 2207053}"
        container.process(processing, self.sandbox.clock.now(), error)

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
        container.file = digest(file.content, container.params.get("alt_text"))
        self._process(container, IMAGE_SECONDS)
        return self.answer(token, {"id": container.id})

    def _downloaded(self, id_: str, file: Fetched) -> None:
        if file.status != 200:
            self.instagram.containers[id_].error = "Error: Media download has failed with error code 2207003"
        else:
            self._received(self.instagram.containers[id_], file.content)

    def _received(self, container: Container, content: bytes) -> None:
        """Process a video. One with ``corrupt`` in it fails, one with ``stuck`` never ends."""
        container.file = digest(content)
        limit = STORY_BYTES if container.kind == "STORIES" else VIDEO_BYTES
        if content[4:8] != b"ftyp" or len(content) > limit:
            container.error = "Error: Media upload has failed with error code 2207026"
        elif b"corrupt" in content:
            container.error = "Error: Media upload has failed with error code 2207082"  # in no table (meta.md 14, T8)
        elif b"stuck" not in content:
            self._process(container, VIDEO_SECONDS)

    def upload(self, call: Call) -> Answer | OutboundRequest:
        """Upload bytes at an offset, or name the address of a file (``meta.md`` 8.4)."""
        container = self._own_container(call.parts["id"], self.authorised(call, *self.permissions["publish"]))
        if url := call.headers.get("file_url"):
            return self.download(url, partial(self._uploaded, container), container.account, ranged=True)
        offset, size = call.headers.get("offset", ""), call.headers.get("file_size", "")
        if not whole(offset) or not whole(size) or int(offset) != container.received:
            return upload_failed("OffsetInvalidError", f"expected offset {container.received}", retriable=True)
        container.content += call.body
        container.received += len(call.body)
        if container.received < int(size):
            return upload_failed("PartialRequestError", f"{container.received} of {size} bytes", retriable=True)
        self._received(container, bytes(container.content))
        container.content.clear()
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
            raise self.refused(24, "The requested resource does not exist.", int(self.variant("republished")))
        if status == "ERROR":
            raise self.refused(-1, "The media could not be created.", 2207032)
        states = [self.instagram.containers[child].status(self.sandbox.clock.now()) for child in container.children]
        if status == "IN_PROGRESS" or any(state != "FINISHED" for state in states):
            raise self.refused(9007, "Media ID is not available: the media is not ready to be published.", 2207027)
        if self._used(person.name) >= int(self.variant("quota")):
            raise self.refused(9, "The user has reached the daily limit of posts.", 2207042)
        media = self._post(person.name, container)
        for child in container.children:
            below = self._post(person.name, self.instagram.containers[child])
            self.instagram.place_in(media, below)
        caption = media.caption
        container.published = media.id
        self.instagram.publishes.setdefault(person.name, []).append(media.created)
        story = {"story": True} if media.product == "STORY" else {}
        made_of = [container, *(self.instagram.containers[child] for child in container.children)]
        files = [one.file for one in made_of if one.file is not None]
        about = {"container": container.id, "files": files, "options": container.params, **story}
        self.record("post", account=person.name, id=media.id, text=caption, **about)
        return self.answer(token, {"id": media.id})

    def _post(self, account: str, container: Container) -> Media:
        params = container.params
        url = str(params.get("image_url") or params.get("video_url") or "")
        media = self.instagram.post(account, container.kind, str(params.get("caption") or ""), url)
        media.alt_text = params.get("alt_text")
        media.ai_generated = str(params.get("is_ai_generated", "")).lower() in ("true", "1")
        if media.product == "STORY":
            self.instagram.expire_later(media)
        return media

    def _used(self, account: str) -> int:
        """Return the number of publishes in the last 24 h; a carousel counts once."""
        now = self.sandbox.clock.now()
        return sum(now - at < DAY for at in self.instagram.publishes.get(account, ()))

    def quota(self, call: Call) -> Answer:
        token, person = self.professional(call, "publish")
        config = {"quota_total": int(self.variant("quota")), "quota_duration": 86_400}
        node = Node("IGContentPublishingLimit", {"quota_usage": self._used(person.name), "config": config})
        return self.answer(token, {"data": [self.pick(call, node, self.fields(call) or Fields(quota_usage=Fields()))]})

    def error_answers(self) -> Mapping[str, Answer]:
        """Return the answers of ``meta.md`` 7.4, with the subcodes of publishing."""
        errors = {
            "spam_block": self.refused(4, "The request was blocked as spam.", 2207051, 403),
            "server_error": self.refused(-1, "The server encountered an error.", 2207001, 500),
            "create_failed": self.refused(-1, "The media could not be created.", 2207032),
            "upload_failed": self.refused(-1, "An unknown upload error occurred.", 2207053),
            "download_timeout": self.refused(-2, "It took too long to download the media.", 2207003),
            "container_expired": self.refused(-2, "The media container has expired.", 2207020),
            "daily_limit": self.refused(9, "The user has reached the daily limit of posts.", 2207042),
            "media_missing": self.refused(24, "The requested resource does not exist.", 2207006),
            "container_missing": self.refused(24, "The media builder does not exist.", 2207008),
            "account_restricted": self.refused(25, "The Instagram account is restricted.", 2207050),
            "download_failed": self.refused(9004, "The media could not be fetched from this URI.", 2207052),
            "not_ready": self.refused(9007, "Media ID is not available.", 2207027),
            "few_viewers": self.refused(10, "Not enough viewers for the media to show insights"),
        }
        return {**super().error_answers(), **{name: error.answer for name, error in errors.items()}}


def _text(call: Call) -> str:
    message = call.fields.get("message")
    if isinstance(message, str):
        message = loaded(message)
    return str(message.get("text")) if isinstance(message, dict) else ""
