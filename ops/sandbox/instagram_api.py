"""Instagram's accounts and media, and the calls that both logins share (``meta.md`` 8, 10)."""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, ClassVar

import imagesize

from ops.sandbox import sample_text
from ops.sandbox.contract import (
    Answer,
    Call,
    CommandError,
    Fetched,
    OutboundRequest,
    Sandbox,
    apply_settings,
    digest,
    forget_oldest,
    whole,
)
from ops.sandbox.graph_api import Container, Edge, Fields, GraphApi, Node, Token, loaded, unix, upload_failed, when

CAPTION, HASHTAGS, MENTIONS, CHILDREN = 2200, 30, 20, (2, 10)
IMAGE_BYTES, VIDEO_BYTES, STORY_BYTES = 8 * 2**20, 300 * 2**20, 100 * 2**20
RATIO = (4 / 5, 1.91)
CONTAINERS = 400
DAY = timedelta(hours=24)
IMAGE_SECONDS, VIDEO_SECONDS = 3, 30
"""Processing time of an image and of a video."""
PRIVATE_REPLY = timedelta(days=7)
STORY_LIFE = timedelta(hours=24)

PRODUCTS = {"REELS": "REELS", "STORIES": "STORY", "CAROUSEL": "FEED", "IMAGE": "FEED", "VIDEO": "REELS"}
CORE = ("views", "reach", "likes", "comments", "shares", "saved", "total_interactions")
ACTIVITY = ("follows", "profile_visits", "profile_activity")
METRICS = {
    "FEED": (*CORE, "reposts", *ACTIVITY),
    "REELS": (*CORE, "ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "reposts", "reels_skip_rate"),
    "STORY": ("views", "reach", "replies", "shares", "total_interactions", "reposts", *ACTIVITY, "navigation"),
}
"""Metrics by product, with either login (``meta.md`` 10.5)."""

TOTALS = ("total_likes", "total_comments", "total_views")
FACEBOOK_METRICS = {
    "FEED": TOTALS,
    "REELS": ("crossposted_views", "facebook_views", *TOTALS),
    "STORY": ("link_clicks", "total_views"),
}
"""Further metrics with Facebook Login (``meta.md`` 10.5)."""

ON_FACEBOOK = ("crossposted_views", "facebook_views")
"""Metrics of media on Facebook; for other media the whole request fails (``meta.md`` 10.5, subcode 2207086)."""

BREAKDOWNS = {
    "profile_activity": ("action_type", ("bio_link_clicked", "call", "direction", "email", "other", "text")),
    "navigation": ("story_navigation_action_type", ("tap_forward", "tap_back", "tap_exit", "swipe_forward")),
}
"""Metrics that come as ``total_value``, and their breakdown; in lower case on the wire (``meta.md`` 10.5)."""

PRODUCT, FOLLOW = "media_product_type", "follow_type"
INTERACTIONS = ("total_interactions", "accounts_engaged", "likes", "comments", "shares", "saves", "replies", "reposts")
DEMOGRAPHICS = ("age", "city", "country", "gender")
ACCOUNT_METRICS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "reach": (("total_value", "time_series"), (PRODUCT, FOLLOW)),
    "follower_count": (("time_series",), ()),
    "online_followers": (("time_series",), ()),
    "views": (("total_value",), (PRODUCT, "follower_type")),
    **dict.fromkeys(INTERACTIONS, (("total_value",), (PRODUCT,))),
    "follows_and_unfollows": (("total_value",), (FOLLOW,)),
    "profile_links_taps": (("total_value",), ("contact_button_type",)),
    "follower_demographics": (("total_value",), DEMOGRAPHICS),
    "engaged_audience_demographics": (("total_value",), DEMOGRAPHICS),
    "profile_views": (("total_value",), ()),
    "website_clicks": (("total_value",), ()),
}
"""Account metrics: their metric types and breakdowns (``meta.md`` 10.8)."""

WINDOW_SECONDS = 30 * 86_400
ALT_CHARACTERS, COLLABORATORS = 1000, 3
REEL_MILLISECONDS = 15 * 60 * 1000
ADD_ONS = ("poll_attachment", "is_comment_prompt_used")


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
    parent: str | None = None
    """Id of the album that it belongs to."""
    alt_text: str | None = None
    ai_generated: bool = False
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
    """Accounts, media and comments, shared by both logins."""

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
        """Return the id of a commenter."""
        return self.fans.setdefault(name, self.people[name].user_id if name in self.people else self.id())

    def account(self, id_: str) -> Person | None:
        return next((person for person in self.people.values() if id_ in (person.user_id, person.scoped_id)), None)

    def of(self, account: str) -> list[Media]:
        """Return an account's media, newest first; stories for 24 hours."""
        now = self.sandbox.clock.now()
        return [
            media
            for media in reversed(self.media.values())
            if media.account == account
            and media.parent is None
            and (media.product != "STORY" or now - media.created < STORY_LIFE)
        ]

    def under(self, media: str, parent: str | None = None) -> list[Comment]:
        """Newest first."""
        return [c for c in reversed(self.media[media].comments.values()) if c.parent == parent]

    def post(self, account: str, kind: str, caption: str, url: str = "") -> Media:
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
        )
        self.media[id_] = media
        if len(self.media) > self.sandbox.capacity:
            self.drop(next(iter(self.media)))
        return media

    def say(self, media: Media, by: str, text: str, parent: str | None = None) -> Comment:
        """Add a comment and send its event; a reply to a reply is added below the top one."""
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
        """Delete a comment or a medium with everything below it. No event is sent (``meta.md`` 2.2)."""
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
        """Simulate one action, mostly a comment."""
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
    """Handlers. ``permissions`` are the scopes that each kind of call needs."""

    permissions: ClassVar[Mapping[str, Sequence[str]]]
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        **GraphApi.variants,
        "quota": ("100", "50"),
        # The subcode for a container that was published before (meta.md 7.4 and 7.5).
        "republished": ("2207006", "2207008"),
        "comment_id": ("id", "comment_id"),
        # Fields that were refused on a live account (meta.md 10.2, 14: T23).
        "comment_fields": ("all", "basic"),
        # What insights are answered (meta.md 10.5): "before_conversion" concerns the account's oldest medium alone.
        "insights": ("available", "before_conversion", "few_viewers", "empty"),
    }
    with_facebook_login = False
    business = "instagram"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.instagram = sandbox.common(InstagramService)
        self.instagram.listeners.append(self)

    def handle_event(self, topic: str, account: str, value: Any) -> None:
        """Queue a webhook event if the account is subscribed."""
        raise NotImplementedError

    def comment_value(self, comment: Comment, media: Media) -> dict[str, Any]:
        """Return the value of a comment event: no time, no verb, and a parent only for a reply (``meta.md`` 2.2)."""
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

    def configure(self, account: str, settings: Mapping[str, Any]) -> None:
        if account not in self.instagram.people:
            raise CommandError(f"Instagram's accounts are {', '.join(self.instagram.people)}")
        apply_settings(self.instagram.people[account], {"restricted": bool}, settings)

    # --- whose it is

    def professional(self, call: Call, right: str) -> tuple[Token, Person]:
        """Return token and account of a call. Raises 100 if the token may not act for the account."""
        token = self.authorised(call, *self.permissions[right])
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
                "permalink": f"https://www.instagram.com/p/{media.shortcode}/" if media.parent is None else None,
                "shortcode": media.shortcode,
                "timestamp": when(media.created),
                "username": media.account,
                "owner": {"id": self.instagram.people[media.account].user_id},
                "is_comment_enabled": media.open,
                "like_count": media.likes,
                "comments_count": len(media.comments),
                "alt_text": media.alt_text,
                "is_ai_generated": media.ai_generated,
                "is_shared_to_feed": True if media.product == "REELS" else None,
                "view_count": 40 * (len(media.comments) + 1) if media.parent is None else None,
                "saved_count": 0 if media.parent is None else None,
                "shares_count": 0 if media.parent is None else None,
                "reposts_count": 0 if media.parent is None else None,
                "media_audio_type": "ORIGINAL" if media.kind == "VIDEO" else None,
                "copyright_check_information": {"status": {"status": "completed", "matches_found": False}},
                "boost_eligibility_info": {"eligible_to_boost": True},
                "legacy_instagram_media_id": media.id[::-1],
                "comments": Edge(lambda: [self.comment_node(comment) for comment in self.instagram.under(media.id)]),
                "children": Edge(
                    lambda: [
                        self.media_node(self.instagram.media[child], base)
                        for child in media.children
                        if child in self.instagram.media
                    ]
                ),
            },
        )

    def comment_node(self, comment: Comment) -> Node:
        author = Node("IGCommentFromUser", {"id": comment.by_id, "username": comment.by}, ("id", "username"))
        own = comment.by == self.instagram.media[comment.media].account
        optional = {
            "from": author,
            "parent_id": comment.parent,
            "media": Node("IGMedia", {"id": comment.media}),
            "user": Node("IGUser", {"id": comment.by_id}) if own else None,
        }
        return Node(
            "IGComment",
            (optional if self.variant("comment_fields") == "all" else {})
            | {
                "id": comment.id,
                "text": comment.text,
                "timestamp": when(comment.created),
                "username": comment.by,
                "hidden": comment.hidden,
                "like_count": 0,
                "replies": Edge(
                    lambda: [self.comment_node(c) for c in reversed(self.instagram.under(comment.media, comment.id))]
                ),
            },
            ("id", "text", "timestamp"),
        )

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
        mine = [media for media in self.instagram.of(person.name) if media.product != "STORY"][:10_000]
        nodes = [self.media_node(media, call.base) for media in mine if self.listed(media.created)]
        return self.answer(token, self.page(call, nodes, moment="timestamp"))

    def stories(self, call: Call) -> Answer:
        token, person = self.professional(call, "read")
        mine = [media for media in self.instagram.of(person.name) if media.product == "STORY"]
        nodes = [self.media_node(media, call.base) for media in mine if self.listed(media.created)]
        return self.answer(token, self.page(call, nodes))

    def media_comments(self, call: Call) -> Answer:
        """List top-level comments, newest first, 50 a page (``meta.md`` 10.2)."""
        token = self.authorised(call, *self.permissions["comments"])
        media = self.own_media(call, token)
        return self.answer(
            token, self.page(call, [self.comment_node(c) for c in self.instagram.under(media.id)], most=50)
        )

    def comment_replies(self, call: Call) -> Answer:
        token = self.authorised(call, *self.permissions["comments"])
        comment = self.own_comment(call, token)
        replies = self.instagram.under(comment.media, comment.id)
        return self.answer(token, self.page(call, [self.comment_node(c) for c in reversed(replies)], most=50))

    def insights(self, call: Call) -> Answer:
        """Answer for an account or a medium. One metric that does not fit fails them all (``meta.md`` 10.5)."""
        if call.parts["id"] == "me" or self.instagram.account(call.parts["id"]):
            return self._account_insights(call)
        token = self.authorised(call, *self.permissions["insights"])
        media = self.own_media(call, token)
        asked = self._metrics(call)
        allowed = () if media.parent else METRICS[media.product]
        allowed += FACEBOOK_METRICS[media.product] if self.with_facebook_login and allowed else ()
        if not asked or not set(asked) <= set(allowed):
            raise self.refused(100, f"metric must be one of the following values: {', '.join(allowed)}")
        if set(asked) & set(ON_FACEBOOK):
            raise self.refused(100, "The media is not shared to Facebook.", 2207086)
        breakdown = call.text("breakdown")
        if breakdown and any(BREAKDOWNS.get(name, ("",))[0] != breakdown for name in asked):
            raise self.refused(100, "Incompatible breakdowns", status=400)
        answered = self.variant("insights")
        if answered == "few_viewers":
            raise self.refused(10, "Not enough viewers for the media to show insights")
        if answered == "before_conversion" and media is self.instagram.of(media.account)[-1]:
            title = {"error_user_title": "Media posted before business account conversion"}
            refusal = self.refused(100, "Invalid parameter", 2108006)
            refusal.answer.content["error"] |= title | {"message": "Invalid parameter"}
            raise refusal
        if answered == "empty":
            return self.answer(token, {"data": []})
        return self.answer(token, {"data": [self._insight(media, name, breakdown) for name in asked]})

    def _metrics(self, call: Call) -> list[str]:
        return [name for item in call.many("metric") for name in item.split(",") if name]

    def _insight(self, media: Media, name: str, breakdown: str | None) -> dict[str, Any]:
        said = len(media.comments)
        counts = {"comments": said, "likes": media.likes, "views": 40 * (said + 1), "reach": 30 * (said + 1)}
        shown = {"name": name, "period": "lifetime", "title": name.replace("_", " ").title()}
        shown["id"] = f"{media.id}/insights/{name}/lifetime"
        if name not in BREAKDOWNS:
            return shown | {"values": [{"value": counts.get(name, 0)}]}
        total: dict[str, Any] = {"value": 3}
        if breakdown:
            values = BREAKDOWNS[name][1]
            results = [{"dimension_values": [value], "value": int(value in values[:3])} for value in values]
            total["breakdowns"] = [{"dimension_keys": [breakdown], "results": results}]
        return shown | {"total_value": total}

    def _account_insights(self, call: Call) -> Answer:
        """Answer ``total_value`` or a daily series, over 30 days at most (``meta.md`` 10.8)."""
        token, person = self.professional(call, "insights")
        asked, breakdown, kind = self._metrics(call), call.text("breakdown"), call.text("metric_type")
        if not asked or not set(asked) <= set(ACCOUNT_METRICS):
            raise self.refused(100, f"metric must be one of the following values: {', '.join(ACCOUNT_METRICS)}")
        now = self.sandbox.clock.seconds()
        try:
            until = min(now, unix(call.text("until") or str(int(now))))
            since = unix(call.text("since") or str(int(until) - 86_400))
        except (ValueError, OverflowError):
            raise self.refused(100, "since and until must be times") from None
        if until - since > WINDOW_SECONDS:
            text = "There cannot be more than 30 days (2592000 s) between since and until"
            raise self.refused(100, text)
        data = []
        for name in asked:
            kinds, breakdowns = ACCOUNT_METRICS[name]
            chosen = kind or kinds[-1]
            if chosen not in kinds or (breakdown and breakdown not in breakdowns):
                raise self.refused(100, f"({name}) does not support this metric_type or breakdown")
            shown: dict[str, Any] = {"name": name, "period": call.text("period") or "day", "title": name}
            shown["id"] = f"{person.user_id}/insights/{name}/day"
            if chosen == "time_series":
                ends = range(int(since) + 86_400, int(until) + 1, 86_400)
                shown["values"] = [{"value": 5, "end_time": when(datetime.fromtimestamp(end, UTC))} for end in ends]
            elif name != "follows_and_unfollows" or breakdown:  # without its breakdown it has no value
                shown["total_value"] = {"value": 12}
                if breakdown:
                    keys = ("FOLLOWER", "NON_FOLLOWER", "UNKNOWN") if breakdown == FOLLOW else ("FEED", "REELS")
                    results = [{"dimension_values": [key], "value": 4} for key in keys]
                    shown["total_value"]["breakdowns"] = [{"dimension_keys": [breakdown], "results": results}]
            data.append(shown)
        return self.answer(token, {"data": data})

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
            comment.hidden = call.flag("hide")
            account = self.instagram.media[comment.media].account
            self.changed("hide" if comment.hidden else "unhide", account, comment.id)
        elif call.parts["id"] in self.instagram.media and call.text("comment_enabled") is not None:
            media = self.own_media(call, token)
            media.open = call.flag("comment_enabled")
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
            below.parent = media.id
            media.children.append(below.id)
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
        """Comment on a post, or reply to a comment."""
        comment = self.instagram.comments.get(post)
        media = self.instagram.media.get(comment.media if comment else post)
        if media is None or media.account != account:
            raise CommandError(f"{account} has no post {post}")
        return self.instagram.say(media, by, text, comment.id if comment else None).id

    def simulate_remove(self, account: str, id_: str) -> None:
        if not self.instagram.drop(id_):
            raise CommandError(f"there is no {id_}")


def _told_story(story: Media, seen: int) -> dict[str, Any]:
    """Return the value of a story insights event; counts under 5 are -1 (``meta.md`` 2.4)."""
    counts = {"impressions": seen, "reach": seen * 3 // 4, "taps_forward": seen // 3, "exits": seen // 5}
    return {"media_id": story.id, **counts, "taps_back": seen // 9, "replies": -1}


def _text(call: Call) -> str:
    message = call.fields.get("message")
    if isinstance(message, str):
        message = loaded(message)
    return str(message.get("text")) if isinstance(message, dict) else ""
