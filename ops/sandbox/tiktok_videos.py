"""TikTok's creators and their posts, with the counters that the Display API shows (``tiktok.md`` 12, 17)."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from ops.sandbox.contract import CommandError, Sandbox, WorldSize, apply_settings
from ops.sandbox.sample_text import CAPTIONS

DAILY_POSTS = 15
COUNTERS: Mapping[str, type] = dict.fromkeys(("likes", "comments", "shares", "views"), int)
CHURN = ("publish", "like", "edit", "hide", "unhide", "remove")


@dataclass
class Creator:
    name: str
    open_id: str
    union_id: str
    private: bool
    posted: list[datetime] = field(default_factory=list)
    comment_disabled: bool = False
    duet_disabled: bool = False
    stitch_disabled: bool = False
    max_video_post_duration_sec: int = 180
    daily_posts: int = DAILY_POSTS
    """Its cap, which varies by creator (``tiktok.md`` 10)."""
    blocked: str = ""
    """The code with which posting is refused; empty for none."""
    followers: int = 500
    following: int = 20


@dataclass
class Post:
    id: str
    account: str
    text: str
    created: datetime
    public: bool
    photo: bool = False
    publish: str = ""
    """The ``publish_id`` that made it, if an application did."""
    ai_generated: bool = False
    likes: int = 5
    comments: int = 1
    shares: int = 0
    views: int = 100


class TikTokVideos:
    """Creators by name, and their posts by id and by creator."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.creators: dict[str, Creator] = {}
        self.posts: dict[str, Post] = {}
        self.gone: dict[str, Post] = {}
        """What was deleted, for whoever compares with the whole world."""
        self._of: dict[str, dict[str, Post]] = {}

    def add_creator(self, creator: Creator) -> None:
        self.creators[creator.name] = creator
        self._of[creator.name] = {}

    def add(self, post: Post) -> None:
        """Add the newest post of its creator; the oldest of all are dropped where there is no room."""
        self.posts[post.id] = self._of[post.account][post.id] = post
        while len(self.posts) > self._sandbox.capacity:
            oldest = self.posts.pop(next(iter(self.posts)))
            del self._of[oldest.account][oldest.id]

    def remove(self, id_: str) -> None:
        post = self.gone[id_] = self.posts.pop(id_)
        del self._of[post.account][id_]

    def of(self, account: str) -> list[Post]:
        """Newest first."""
        return list(reversed(self._of[account].values()))

    def public(self, account: str) -> list[Post]:
        """Return the posts that everybody sees, newest first: none of an account that is private."""
        return [] if self.creators[account].private else [post for post in self.of(account) if post.public]

    def own(self, account: str, id_: str) -> Post:
        """Return a post. Raises CommandError if it is not the account's."""
        post = self.posts.get(id_)
        if post is None or post.account != account:
            raise CommandError(f"{account} has no post {id_}")
        return post

    def configure(self, id_: str, settings: Mapping[str, Any]) -> None:
        """Set the counters of a post. Raises CommandError."""
        if id_ not in self.posts:
            raise CommandError(f"there is no post {id_}")
        apply_settings(self.posts[id_], COUNTERS, settings)

    def seed(self, size: WorldSize) -> dict[str, Any]:
        """Add creators named after the seed; the same size and seed give the same ids, texts and times before now.

        Every tenth post is not public, every seventh was made in the same second as the one before. Makes room for
        all of it. Raises CommandError if they are there already.
        """
        names = [f"s{size.seed}_{number:03d}" for number in range(1, size.accounts + 1)]
        if set(names) & set(self.creators):
            raise CommandError(f"the accounts of seed {size.seed} are there already: take another seed")
        self._sandbox.capacity = max(self._sandbox.capacity, 4 * size.accounts * size.media)
        rng = random.Random(size.seed)  # noqa: S311  made-up data, not a secret
        now = self._sandbox.clock.now().replace(microsecond=0)
        for name in names:
            open_id, union_id = (f"{rng.getrandbits(160):040x}" for _ in range(2))
            creator = Creator(name, f"-000{open_id}", union_id, private=False)
            creator.followers, creator.following = rng.randrange(10, 50_000), rng.randrange(500)
            self.add_creator(creator)
            times = sorted(now - timedelta(seconds=rng.randrange(3600, size.days * 86_400)) for _ in range(size.media))
            for place, moment in enumerate(times):
                if place % 7 == 6:
                    times[place] = times[place - 1] + timedelta(milliseconds=300)
                moment = times[place]  # noqa: PLW2901
                id_ = str((int(moment.timestamp()) << 32) + rng.getrandbits(31))
                text = f"{rng.choice(CAPTIONS)} #{name} {place} " + "x" * rng.choice((0, 0, 200))
                post = Post(id_, name, text, moment, public=place % 10 != 9)
                post.views, post.likes = rng.randrange(10_000), rng.randrange(500)
                post.comments, post.shares = rng.randrange(50), rng.randrange(20)
                self.add(post)
        return {"accounts": names, "media": size.accounts * size.media, "comments": 0}

    def export(self, account: str | None) -> dict[str, Any]:
        """Return everything as it is, and what was deleted. Raises CommandError."""
        if account is not None and account not in self.creators:
            raise CommandError(f"account is one of {', '.join(self.creators)}")
        creators = [creator for creator in self.creators.values() if account in (None, creator.name)]
        return {
            "accounts": [
                {
                    "account": creator.name,
                    "open_id": creator.open_id,
                    "union_id": creator.union_id,
                    "private": creator.private,
                    **self.counted(creator),
                }
                for creator in creators
            ],
            "videos": [
                {
                    "id": post.id,
                    "account": post.account,
                    "text": post.text,
                    "create_time": int(post.created.timestamp()),
                    "share_url": link(post),
                    "like_count": post.likes,
                    "comment_count": post.comments,
                    "share_count": post.shares,
                    "view_count": post.views,
                    "photo": post.photo,
                    "is_aigc": post.ai_generated,
                    "public": post.public and not self.creators[post.account].private,
                    "deleted": post.id not in self.posts,
                }
                for post in (*self.posts.values(), *self.gone.values())
                if account in (None, post.account)
            ],
        }

    def counted(self, creator: Creator) -> dict[str, int]:
        """Return the four counters of a profile."""
        public = self.public(creator.name)
        return {
            "follower_count": creator.followers,
            "following_count": creator.following,
            "likes_count": sum(post.likes for post in public),
            "video_count": len(public),
        }


def link(post: Post) -> str:
    return f"https://www.tiktok.com/@{post.account}/video/{post.id}"
