"""Instagram's accounts, media and comments, which both logins show (``meta.md`` 2, 10)."""

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from ops.sandbox import growth, sample_text
from ops.sandbox.contract import Change, CommandError, Sandbox, apply_settings, forget_oldest
from ops.sandbox.graph_api import Container, when

STORY_LIFE = timedelta(hours=24)
PRODUCTS = {"REELS": "REELS", "STORIES": "STORY", "CAROUSEL": "FEED", "IMAGE": "FEED", "VIDEO": "REELS"}
WITHHELD = ("live", "age_gated", "ad")
"""Kinds of comments that no listing returns (``meta.md`` 10.2)."""

PERSON_SETTINGS: Mapping[str, type] = {
    "restricted": bool,
    "followers": int,
    "refused_fields": list,
    "refused_metrics": list,
    "denied_metrics": list,
    "names_absent": bool,
    "converted_at": int,
    "deactivated": bool,
}
MEDIA_SETTINGS: Mapping[str, type] = {
    "likes_hidden": bool,
    "file_absent": bool,
    "collab": bool,
    "few_viewers": bool,
    "before_conversion": bool,
}
COMMENT_SETTINGS: Mapping[str, type] = {"author_absent": bool, "likes_hidden": bool}


@dataclass
class Person:
    """A professional account. ``user_id`` is the one in webhooks, ``scoped_id`` the application's (``meta.md`` 0.9)."""

    name: str
    user_id: str
    scoped_id: str
    followers: int = 1200
    restricted: bool = False
    """Whether Instagram lets it publish nothing (25/2207050)."""
    refused_fields: list[str] = field(default_factory=list)
    """Fields of comments with which a call is refused whole (``meta.md`` 10.2, T23)."""
    refused_metrics: list[str] = field(default_factory=list)
    """Metrics that are unknown for it (code 100)."""
    denied_metrics: list[str] = field(default_factory=list)
    """Metrics that it may not read (code 200, ``meta.md`` 10.5)."""
    names_absent: bool = False
    """Whether its comments come without their authors."""
    converted_at: int = 0
    """When it became a business account, in Unix seconds; media before that have no insights (2108006)."""
    deactivated: bool = False
    """Whether nothing of it can be read for now."""
    restricts: set[str] = field(default_factory=set)
    """People whose comments wait for its approval."""


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
    archived: bool = False
    likes_hidden: bool = False
    file_absent: bool = False
    """Whether it has no ``media_url``, as after a claim of copyright."""
    collab: bool = False
    """Whether another account owns it, and this one is its collaborator: its insights are refused."""
    few_viewers: bool = False
    before_conversion: bool = False
    before: dict[str, tuple[Any, float]] = field(default_factory=dict)
    """The last change of an attribute: what it was, and when it was changed, in Unix seconds."""
    comments: "dict[str, Comment]" = field(default_factory=dict)
    threads: "dict[str | None, dict[str, Comment]]" = field(default_factory=dict)
    """The same comments by their parent; None holds the top level."""

    @property
    def counted(self) -> int:
        """How many comments it shows: those that listings return."""
        return sum(not comment.withheld for comment in self.comments.values())


@dataclass(slots=True)
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
    likes: int = 0
    kind: str = ""
    """One of ``WITHHELD``, or empty."""
    pending: bool = False
    """Whether it waits for approval, for its author is restricted."""
    author_absent: bool = False
    likes_hidden: bool = False
    before: dict[str, tuple[Any, float]] = field(default_factory=dict)
    """As of media."""

    @property
    def withheld(self) -> bool:
        return self.pending or bool(self.kind)


@dataclass
class Mention:
    """Where an account is mentioned: in a comment on somebody else's post or, without one, in its caption."""

    account: str
    media: str
    caption: str
    by: str
    by_id: str
    created: datetime
    comment: str | None = None
    text: str = ""


class Listener(Protocol):
    """One of the two logins."""

    name: str

    def handle_event(self, topic: str, account: str, value: Any) -> None:
        """Queue a webhook event if the account is subscribed."""

    def comment_value(self, comment: Comment, media: Media) -> dict[str, Any]:
        """Return the value of a comment event."""

    def mention_event(self, mention: Mention) -> tuple[str, dict[str, Any]] | None:
        """Return topic and value of the event of a mention; None if there is none."""

    def account_added(self, person: Person) -> None:
        """Make what the login has of every account."""


class InstagramService:
    """Accounts, media and comments, shared by both logins."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self._ids = 17_800_000_000_000_000 + sandbox.rng.randrange(10**12)
        self.people: dict[str, Person] = {}
        self._by_id: dict[str, Person] = {}
        self._of: dict[str, dict[str, Media]] = {}
        for number, name in enumerate(("alice", "bob", "shop"), sandbox.rng.randrange(10**9)):
            self.add_person(Person(name, f"178414{number:011d}", f"2{number:016d}"))
        self.fans: dict[str, str] = {}
        self.media: dict[str, Media] = {}
        self.comments: dict[str, Comment] = {}
        self.gone_media: dict[str, Media] = {}
        self.gone_comments: dict[str, Comment] = {}
        """What was deleted, for whoever compares with the whole world."""
        self.mentions: dict[str, Mention] = {}
        """By the id of the comment, or of the post."""
        self.containers: dict[str, Container] = {}
        self.publishes: dict[str, list[datetime]] = {}
        self.listeners: list[Listener] = []
        self.expiring: list[tuple[float, str]] = []
        """A heap of stories by their end."""
        for person in self.people.values():
            for _ in range(4):
                self.post(person.name, "IMAGE", sample_text.caption(sandbox))

    def id(self) -> str:
        self._ids += self.sandbox.rng.randint(1, 5000)
        return str(self._ids)

    def add_person(self, person: Person) -> None:
        self.people[person.name] = self._by_id[person.user_id] = self._by_id[person.scoped_id] = person
        self._of[person.name] = {}

    def fan(self, name: str) -> str:
        """Return the id of a commenter."""
        return self.fans.setdefault(name, self.people[name].user_id if name in self.people else self.id())

    def account(self, id_: str) -> Person | None:
        return self._by_id.get(id_)

    def visible(self, media: Media) -> bool:
        """Return whether a medium can be read: it and its album are not archived, a story is not over, and its
        account is there.
        """
        above = self.media.get(media.parent or "")
        over = media.product == "STORY" and self.sandbox.clock.now() - media.created >= STORY_LIFE
        archived = media.archived or (above is not None and above.archived)
        return not (archived or over or self.people[media.account].deactivated)

    def of(self, account: str) -> list[Media]:
        """Return the media that an account shows, newest first; stories for 24 hours."""
        mine = [media for media in reversed(self._of[account].values()) if self.visible(media)]
        return sorted(mine, key=lambda media: media.created, reverse=True)

    def under(self, media: str, parent: str | None = None) -> list[Comment]:
        """Newest first."""
        return list(reversed(self.media[media].threads.get(parent, {}).values()))

    def add_media(self, media: Media) -> None:
        self.media[media.id] = media
        if media.parent is None:
            self._of[media.account][media.id] = media

    def add_comment(self, comment: Comment) -> None:
        media = self.media[comment.media]
        self.comments[comment.id] = media.comments[comment.id] = comment
        media.threads.setdefault(comment.parent, {})[comment.id] = comment

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
        self.add_media(media)
        if len(self.media) > self.sandbox.capacity:
            self.forget(next(iter(self.media)))
        return media

    def place_in(self, album: Media, child: Media) -> None:
        """Make a medium a child of an album, which it is listed below."""
        child.parent = album.id
        album.children.append(child.id)
        self._of[child.account].pop(child.id, None)

    def expire_later(self, story: Media) -> None:
        """Plan the end of a story, when its numbers are told (``meta.md`` 2.4)."""
        heapq.heappush(self.expiring, ((story.created + STORY_LIFE).timestamp(), story.id))

    def expire(self) -> None:
        """Tell of the stories that are over."""
        while self.expiring and self.expiring[0][0] <= self.sandbox.clock.seconds():
            story = self.media.get(heapq.heappop(self.expiring)[1])
            if story is not None:
                self.tell(story.account, "story_insights", told_story(story, media_number(story, "views", STORY_LIFE)))

    def tell(self, account: str, topic: str, value: Any) -> None:
        for listener in self.listeners:
            listener.handle_event(topic, account, value)

    def say(self, media: Media, by: str, text: str, parent: str | None = None, kind: str = "") -> Comment:
        """Add a comment and send its event; a reply to a reply is added below the top one.

        Whether there is an event for one that waits for approval is not documented; here there is one.
        """
        if parent is not None:
            parent = self.comments[parent].parent or parent
        comment = Comment(self.id(), media.id, by, self.fan(by), text, self.sandbox.clock.now(), parent, kind=kind)
        comment.pending = by in self.people[media.account].restricts
        self.add_comment(comment)
        if len(self.comments) > self.sandbox.capacity:
            self.forget(next(iter(self.comments)))
        for listener in self.listeners:
            topic = "live_comments" if kind == "live" else "comments"
            listener.handle_event(topic, media.account, listener.comment_value(comment, media))
        return comment

    def mention(self, account: str, by: str, text: str, *, in_caption: bool) -> Mention:
        """Mention an account in somebody else's post, or in a comment on it, and send its event."""
        caption = text if in_caption else "a post of somebody else"
        found = Mention(account, self.id(), caption, by, self.fan(by), self.sandbox.clock.now())
        if not in_caption:
            found.comment, found.text = self.id(), text
        self.mentions[found.comment or found.media] = found
        forget_oldest(self.mentions, self.sandbox.capacity)
        for listener in self.listeners:
            if (event := listener.mention_event(found)) is not None:
                listener.handle_event(event[0], account, event[1])
        return found

    def drop(self, id_: str) -> bool:
        """Delete a comment or a medium with everything below it. No event is sent (``meta.md`` 2.2)."""
        if self.mentions.pop(id_, None) is not None:
            return True
        media, comments = self.forget(id_)
        self.gone_media |= {each.id: each for each in media}
        self.gone_comments |= {each.id: each for each in comments}
        forget_oldest(self.gone_media, self.sandbox.capacity)
        forget_oldest(self.gone_comments, self.sandbox.capacity)
        return bool(media or comments)

    def forget(self, id_: str) -> tuple[list[Media], list[Comment]]:
        """Remove a comment or a medium with everything below it. Return the media and comments of that."""
        if (media := self.media.pop(id_, None)) is not None:
            self._of[media.account].pop(id_, None)
            for comment in media.comments:
                del self.comments[comment]
            children = [self.media.pop(child) for child in media.children if child in self.media]
            return [media, *children], list(media.comments.values())
        if id_ not in self.comments:
            return [], []
        media = self.media[self.comments[id_].media]
        gone = [self.comments[id_], *media.threads.get(id_, {}).values()]
        for each in gone:
            del self.comments[each.id], media.comments[each.id]
            media.threads[each.parent].pop(each.id)
        media.threads.pop(id_, None)
        return [], gone

    # --- life

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
        media.likes += rng.randint(0, 3)
        if dice < 0.05:
            story = self.post(account, "STORIES", "")
            self.forget(story.id)  # it is told about when it is over
            self.tell(account, "story_insights", told_story(story, rng.randint(50, 500)))
            return
        top = self.under(media.id)
        if top and dice < 0.08:
            self.drop(rng.choice(top).id)
            return
        parent = rng.choice(top).id if top and dice < 0.25 else None
        self.say(media, sample_text.commenter(self.sandbox), sample_text.comment_text(self.sandbox), parent)

    def publish(self, account: str, text: str, kind: str) -> Media:
        """Publish as the owner does in the app: one of ``PRODUCTS``. Raises CommandError."""
        if kind not in PRODUCTS:
            raise CommandError(f"a post is one of {', '.join(PRODUCTS)}")
        media = self.post(account, kind, text)
        for _ in range(3 if kind == "CAROUSEL" else 0):
            self.place_in(media, self.post(account, "IMAGE", ""))
        if kind == "STORIES":
            self.expire_later(media)
        return media

    def apply(self, change: Change) -> None:
        """Do what a person does in the app, or moderation does. No event is sent (``meta.md`` 2.2).

        Raises CommandError.
        """
        if change.what in ("restrict", "unrestrict"):
            restricts = self.people[change.account].restricts
            (restricts.add if change.what == "restrict" else restricts.discard)(change.by)
            return
        media, comment = self.media.get(change.id), self.comments.get(change.id)
        owner = media or (self.media[comment.media] if comment else None)
        if owner is None or owner.account != change.account:
            raise CommandError(f"{change.account} has no post or comment {change.id}")
        target = media or comment
        setting = _ON_MEDIA.get(change.what) if media else _ON_COMMENTS.get(change.what)
        if target is None or setting is None:
            reason = "Instagram has no edits of comments: its moderation may change one (moderate)"
            if change.what != "edit":
                reason = f"{change.what} is not for {'a post' if media else 'a comment'}"
            raise CommandError(reason)
        name, value = setting
        if name == "likes":
            value = max(0, target.likes + change.count)
        elif value is None:
            value = change.text
        alter(target, name, value, self.sandbox.clock.seconds())

    def configure(self, id_: str, settings: Mapping[str, Any]) -> None:
        """Set what is so of a medium or a comment. Raises CommandError."""
        if id_ in self.media:
            apply_settings(self.media[id_], MEDIA_SETTINGS, settings)
        elif id_ in self.comments:
            apply_settings(self.comments[id_], COMMENT_SETTINGS, settings)
        else:
            raise CommandError(f"there is no {id_}")

    def churn(self, rng: random.Random, kind: str) -> "Change | None":
        """Do one of ``CHURN`` to a random object. Return what was done; None if there was nothing to do it to."""
        account = rng.choice(list(self.people))
        text = f"churn {rng.randrange(10**6)}"
        if kind == "publish":
            return Change(kind, account, self.publish(account, text, rng.choice(("IMAGE", "REELS", "CAROUSEL"))).id)
        posts = [
            media
            for media in self._of[account].values()
            if media.product != "STORY" and media.archived == (kind == "unarchive")
        ]
        if not posts:
            return None
        media = rng.choice(posts)
        if kind in ("comment", "reply"):
            return self._churn_comment(rng, kind, media, text)
        id_ = media.id
        if kind in ("hide", "unhide", "moderate", "remove_comment"):
            comments = [c for c in media.comments.values() if c.hidden == (kind == "unhide")]
            if not comments:
                return None
            id_ = rng.choice(comments).id
        change = Change(kind, account, id_, text=text, count=rng.randint(1, 9))
        if kind.startswith("remove"):
            self.drop(id_)
        else:
            self.apply(change)
        return change

    def _churn_comment(self, rng: random.Random, kind: str, media: Media, text: str) -> "Change | None":
        if not media.open:
            return None
        comments = list(media.comments)
        parent = rng.choice(comments) if kind == "reply" and comments else None
        return Change(kind, media.account, self.say(media, f"fan_{rng.randrange(400)}", text, parent).id)

    # --- the whole world

    def export(self, account: str | None) -> dict[str, Any]:
        """Return everything as it is, and what was deleted. Raises CommandError."""
        if account is not None and account not in self.people:
            raise CommandError(f"account is one of {', '.join(self.people)}")
        people = [person for person in self.people.values() if account in (None, person.name)]
        names = {person.name for person in people}
        media = [media for media in (*self.media.values(), *self.gone_media.values()) if media.account in names]
        owned = {each.id for each in media}
        return {
            "accounts": [
                {
                    "account": person.name,
                    "id": person.scoped_id,
                    "user_id": person.user_id,
                    "followers_count": person.followers,
                    "media_count": len(self.of(person.name)),
                }
                for person in people
            ],
            "media": [self._exported_media(each, deleted=each.id not in self.media) for each in media],
            "mentions": [
                {
                    "account": mention.account,
                    "media": mention.media,
                    "caption": mention.caption,
                    "comment": mention.comment,
                    "text": mention.text if mention.comment else None,
                    "username": mention.by,
                    "timestamp": when(mention.created),
                }
                for mention in self.mentions.values()
                if mention.account in names
            ],
            "comments": [
                self._exported_comment(comment, deleted=comment.id not in self.comments)
                for comment in (*self.comments.values(), *self.gone_comments.values())
                if comment.media in owned
            ],
        }

    def _exported_media(self, media: Media, *, deleted: bool) -> dict[str, Any]:
        return {
            "id": media.id,
            "account": media.account,
            "caption": media.caption or None,
            "media_type": media.kind,
            "media_product_type": media.product,
            "permalink": permalink(media),
            "shortcode": media.shortcode,
            "timestamp": when(media.created),
            "like_count": media.likes,
            "comments_count": media.counted,
            "is_comment_enabled": media.open,
            "parent": media.parent,
            "children": list(media.children),
            "archived": media.archived,
            "deleted": deleted,
            "readable": not deleted and self.visible(media),
            "likes_hidden": media.likes_hidden,
            "collab": media.collab,
        }

    def _exported_comment(self, comment: Comment, *, deleted: bool) -> dict[str, Any]:
        media = self.media.get(comment.media)
        return {
            "id": comment.id,
            "media": comment.media,
            "username": comment.by,
            "from_id": comment.by_id,
            "text": comment.text,
            "parent": comment.parent,
            "hidden": comment.hidden,
            "like_count": comment.likes,
            "timestamp": when(comment.created),
            "deleted": deleted,
            "pending": comment.pending,
            "kind": comment.kind,
            "author_absent": comment.author_absent,
            "listed": not deleted and not comment.withheld and media is not None and self.visible(media),
        }


def permalink(media: Media) -> str | None:
    return f"https://www.instagram.com/p/{media.shortcode}/" if media.parent is None else None


def media_number(media: Media, metric: str, age: timedelta) -> int:
    """Return one of a medium's numbers at an age; those of the same name in fields and insights are the same."""
    said, hours = media.counted, age.total_seconds()
    own = {"likes": media.likes, "comments": said}
    if metric in own:
        return own[metric]
    if metric in ("views", "reach"):
        views = 40 * (said + 1) + 10 * media.likes + growth.grown(media.id, "views", hours)
        return views if metric == "views" else views * 3 // 4
    if metric == "total_interactions":
        return media.likes + said + sum(growth.grown(media.id, name, hours) for name in ("shares", "saved", "replies"))
    return growth.grown(media.id, metric, hours)


def told_story(story: Media, seen: int) -> dict[str, Any]:
    """Return the value of a story insights event; counts under 5 are -1 (``meta.md`` 2.4)."""
    counts = {"impressions": seen, "reach": seen * 3 // 4, "taps_forward": seen // 3, "exits": seen // 5}
    shown = {name: count if count >= 5 else -1 for name, count in counts.items()}
    return {"media_id": story.id, **shown, "taps_back": seen // 9 if seen // 9 >= 5 else -1, "replies": -1}


def alter(target: Media | Comment, name: str, value: Any, at: float) -> None:
    """Set an attribute, and remember what it was."""
    if getattr(target, name) != value:
        target.before[name] = (getattr(target, name), at)
        setattr(target, name, value)


_ON_MEDIA: Mapping[str, tuple[str, Any]] = {
    "edit": ("caption", None),
    "archive": ("archived", True),
    "unarchive": ("archived", False),
    "like": ("likes", None),
    "comments_off": ("open", False),
    "comments_on": ("open", True),
}
_ON_COMMENTS: Mapping[str, tuple[str, Any]] = {
    "moderate": ("text", None),
    "hide": ("hidden", True),
    "unhide": ("hidden", False),
    "approve": ("pending", False),
    "like": ("likes", None),
}
"""What a change sets, and to what; None for what the change says."""

CHURN: Sequence[str] = (
    *("comment", "reply", "hide", "unhide", "moderate", "remove_comment", "like", "edit", "archive", "unarchive"),
    *("publish", "remove_media"),
)
