"""A whole world of Instagram from a seed: accounts, media, and comments in threads."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from ops.sandbox.contract import CommandError, WorldSize
from ops.sandbox.instagram_service import PRODUCTS, Comment, InstagramService, Media, Person
from ops.sandbox.sample_text import CAPTIONS, COMMENTS

FANS = 400
GROUP = 10
"""Of so many media, the first has half of all comments. Of every second such medium most are below one comment, so that
there is more than a page in both places."""
LONG_THREAD = (0.6, 0.9)
"""The share of replies in that one, and of those that answer its first comment."""
KINDS = ("IMAGE",) * 6 + ("REELS",) * 3 + ("CAROUSEL",)


class _Ids:
    """Ids of a seed's own range, which no others reach."""

    def __init__(self, rng: random.Random, number: int) -> None:
        self._rng, self._last = rng, 18 * 10**15 + number % 9000 * 10**11

    def __call__(self) -> str:
        self._last += self._rng.randint(1, 50_000)
        return str(self._last)


def seed(instagram: InstagramService, size: WorldSize) -> dict[str, Any]:
    """Add accounts named after the seed; the same size and seed give the same ids, texts and times before now.

    Makes room for all of it. Raises CommandError if they are there already.
    """
    names = [f"s{size.seed}_{number:03d}" for number in range(1, size.accounts + 1)]
    if set(names) & set(instagram.people):
        raise CommandError(f"the accounts of seed {size.seed} are there already: take another seed")
    rng = random.Random(size.seed)  # noqa: S311  made-up data, not a secret
    ids = _Ids(rng, size.seed)
    now = instagram.sandbox.clock.now().replace(microsecond=0)
    sandbox = instagram.sandbox
    media = size.accounts * size.media
    sandbox.capacity = max(sandbox.capacity, 2 * media * size.comments, 8 * media)
    fans = [(f"fan_s{size.seed}_{number}", ids()) for number in range(FANS)]
    instagram.fans |= dict(fans)
    made = 0
    for name in names:
        person = Person(name, f"16{ids()[2:]}", f"25{ids()[2:]}", followers=rng.randrange(10, 50_000))
        instagram.add_person(person)
        for listener in instagram.listeners:
            listener.account_added(person)
        times = sorted(now - timedelta(seconds=rng.randrange(3600, size.days * 86_400)) for _ in range(size.media))
        counts = _shared_out(size.media, size.comments)
        for place, (created, count) in enumerate(zip(times, counts, strict=True)):
            post = _media(rng, ids, name, created, place)
            instagram.add_media(post)
            for child in post.children:
                kind = rng.choice(("IMAGE", "VIDEO"))
                below = Media(child, name, kind, "FEED", "", created, _code(rng), post.url, parent=post.id)
                instagram.add_media(below)
            shares = LONG_THREAD if place % (2 * GROUP) == GROUP and size.replies else (size.replies, 0.3)
            for comment in _comments(rng, ids, post, count, now, shares, [*fans, (name, person.user_id)]):
                instagram.add_comment(comment)
                made += 1
    return {"accounts": names, "media": media, "comments": made}


def _shared_out(media: int, mean: int) -> list[int]:
    """Return how many comments each of the media has: ``mean`` of them on average."""
    counts: list[int] = []
    while len(counts) < media:
        size = min(GROUP, media - len(counts))
        total = size * mean
        first = total // 2 if size > 1 else total
        rest = total - first
        others = [rest // (size - 1) + (place < rest % (size - 1)) for place in range(size - 1)]
        counts += [first, *others]
    return counts


def _media(rng: random.Random, ids: _Ids, account: str, created: datetime, place: int) -> Media:
    kind = rng.choice(KINDS)
    shown = {"REELS": "VIDEO", "CAROUSEL": "CAROUSEL_ALBUM"}.get(kind, kind)
    file = "clip.mp4" if kind == "REELS" else "picture.jpg"
    caption = "" if rng.random() < 0.05 else f"{rng.choice(CAPTIONS)} #{account} {place}"
    media = Media(ids(), account, shown, PRODUCTS[kind], caption, created, _code(rng), f"/_sandbox/media/{file}")
    media.likes = rng.randrange(500)
    media.children = [ids() for _ in range(rng.randint(2, 4))] if kind == "CAROUSEL" else []
    return media


def _comments(
    rng: random.Random,
    ids: _Ids,
    media: Media,
    count: int,
    now: datetime,
    shares: tuple[float, float],
    people: list[tuple[str, str]],
) -> Iterator[Comment]:
    """Yield comments, oldest first, which each answer an earlier one or none."""
    seconds = int((now - media.created).total_seconds())
    tops: list[str] = []
    for moment in sorted(rng.randrange(seconds) for _ in range(count)):
        parent = None
        if tops and rng.random() < shares[0]:
            parent = tops[0] if rng.random() < shares[1] else rng.choice(tops)
        by, by_id = people[-1] if parent and rng.random() < 0.3 else rng.choice(people)
        text = f"{rng.choice(COMMENTS)} ({rng.randrange(1000)})"
        comment = Comment(ids(), media.id, by, by_id, text, media.created + timedelta(seconds=moment), parent)
        comment.likes = rng.randrange(20)
        comment.hidden = rng.random() < 0.03
        if parent is None:
            tops.append(comment.id)
        yield comment


def _code(rng: random.Random) -> str:
    return "".join(rng.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", k=11))
