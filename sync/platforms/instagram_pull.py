"""What Instagram's accounts are read for, by either login: ``meta.md`` 10.1, 10.2, 10.4, 10.5, 10.7, 10.8 and 10.10.

Nothing tells of new media, nor of an edit, a hide or a deletion, so listings are walked again: what changes often more
often. The count of comments in a listing of media says whose comments are worth a walk. Payloads are the answers'
objects in the platform's own fields, with these exceptions:

- Addresses of files end after days and differ from answer to answer, so they are a reading of their own
  (``media.files``): else each answer would be news.
- ``paging`` is left out: its addresses hold the token (``meta.md`` 10.7).
- ``listed_media_id`` and ``listed_parent_id`` are keys of our own, of a comment whose answer does not say what it is
  on: where it was found says so (``meta.md`` 10.2).
- ``day`` is a key of our own, in figures of an account: the day of UTC that they are about.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from ops.runtime.graph_api import checked
from ops.runtime.platform_protocol import JsonObject, PlatformError, Steps, member, objects, text
from schema.reading import UNLISTED, moment
from sync.platforms._graph_reading import (
    MISSING,
    Listed,
    Selection,
    get,
    read,
    read_object,
    read_page,
    require_id,
    without_addresses,
)
from sync.platforms._instagram_insights import (
    ACCOUNT_GROUPS,
    FACEBOOK_LOGIN,
    MEDIA_GROUPS,
    NoFiguresError,
    TooFewViewersError,
    read_figures,
)
from sync.pull.contract import (
    Account,
    Again,
    Object,
    Page,
    Priority,
    PullingPlatform,
    PullTask,
    Range,
    Read,
    Reading,
    Task,
    Turn,
    Wanted,
    never,
)

READ = ("instagram_business_basic", "instagram_basic")
COMMENTS = ("instagram_business_manage_comments", "instagram_manage_comments")
INSIGHTS = ("instagram_business_manage_insights", "instagram_manage_insights")
"""Scopes of either login (``meta.md`` 2.1, 10.8)."""

MEDIA, COMMENT = "ig_media", "ig_comment"
"""Kinds of objects, and of the tasks that read one of them."""

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
RECENT = timedelta(days=30)
"""Media of this age are listed again often: they are where comments, likes and changes come."""

KEPT_FIGURES = timedelta(days=730)
"""The platform keeps figures of media for two years (``meta.md`` 10.5)."""

STORY_LIFE, LAST_LOOK = timedelta(hours=24), timedelta(hours=23)
"""Figures of a story are there while it lives; the last look is at 23 hours (``meta.md`` 10.5)."""

MEDIA_LIMIT, COMMENT_LIMIT = 50, 50
NEWEST = 10_000
"""How many media the listing shows (``meta.md`` 10.1)."""

FEW_COMMENTS = 200
"""Comments of media with no more than these are walked as a whole when their count changed; of others the new ones."""

LATE = timedelta(hours=36)
"""How late the newest comments of a walk may have come into a listing, as late as a webhook (``meta.md`` 1.3)."""

SERIES_DAYS, HISTORY_DAYS = 3, 90
"""Figures of a day are final after 48 hours, and are kept for 90 days (``meta.md`` 10.8)."""

_PROFILE = ["id", "username", "name", "profile_picture_url", "followers_count", "follows_count", "media_count"]
_FILES = ("media_url", "thumbnail_url")

_MEDIA_FIELDS = (
    *("id", "timestamp", "media_type", "media_product_type", "permalink", "caption", "comments_count", "like_count"),
    *("username", "owner", "shortcode", "is_comment_enabled", *_FILES),
    *("children{id,media_type,media_url,thumbnail_url}", "alt_text", "is_shared_to_feed"),
)
_NEWER_COUNTS = ("view_count", "reposts_count", "saved_count", "shares_count")
_LESS_ASKED = (
    *("media_audio_type", "is_ai_generated", "copyright_check_information", "boost_eligibility_info"),
    "legacy_instagram_media_id",
)
_BY_FACEBOOK_LOGIN = ("total_like_count", "total_comments_count", "total_views_count", "collaborators{id,username}")
"""Fields of media (``meta.md`` 10.1)."""

_COMMENT_FIELDS = ("id", "text", "timestamp", "username", "like_count", "hidden")
_REFUSABLE = ("from{id,username}", "parent_id", "media{id}", "user")
"""Fields of comments; the latter were refused to a connection (``meta.md`` 10.2)."""


def _media(account: Account) -> Selection:
    more = _BY_FACEBOOK_LOGIN if account.login == FACEBOOK_LOGIN else ()
    return Selection("media", _MEDIA_FIELDS, (*_NEWER_COUNTS, *more, *_LESS_ASKED))


_COMMENT = Selection("comment", _COMMENT_FIELDS, _REFUSABLE)
_THREAD = Selection("comment", _COMMENT_FIELDS, _REFUSABLE, nested="replies.limit(50)")


def of_one(read_one: Read, *, missing: str) -> Read:
    """Return steps that skip one object that the platform refuses, and that name one that it does not find.

    ``missing`` is the kind of object that is missing then.
    """

    def steps(account: Account, turn: Turn) -> Steps[Page]:
        try:
            return (yield from read_one(account, turn))
        except PlatformError as problem:
            if problem.code == MISSING:
                return Page(missing=[Object(missing, turn.task.object_id)])
            if problem.kind not in ("wrong", "lacking"):
                raise
            return _skipped(problem)

    return steps


def of_edge(read_edge: Read) -> Read:
    """Return steps that skip what hangs on one object where the platform refuses it for a permission.

    That is about the object, as of media of others: the account's own permissions are looked at before. What is refused
    otherwise, or not found, is tried again later: the object may be gone, or the platform may have too much to do
    (``meta.md`` 7.4).
    """

    def steps(account: Account, turn: Turn) -> Steps[Page]:
        try:
            return (yield from read_edge(account, turn))
        except PlatformError as problem:
            if problem.kind != "lacking":
                raise
            return _skipped(problem)

    return steps


def _skipped(problem: PlatformError) -> Page:
    return Page(skipped=f"The platform refuses it to this account ({problem.code}).")


# --- the account and its media (meta.md 10.1)


def read_account(account: Account, turn: Turn) -> Steps[Page]:  # noqa: ARG001
    """Read the profile and what is counted of it; only Instagram Login knows it as ``me`` (``meta.md`` 7.1)."""
    own = account.login != FACEBOOK_LOGIN
    base = (*_PROFILE, "user_id", "account_type") if own else _PROFILE
    profile = Selection("account", base, ("biography", "website"))
    found = yield from read(account, "/me" if own else f"/{account.account_id}", profile, "reading the profile")
    wrapped = objects(found.content.get("data"))  # documented so, observed flat (meta.md 7.1)
    about = Object("ig_account", account.account_id)
    payload = without_addresses(wrapped[0] if wrapped else found.content)
    return Page([Reading("account.read", about, payload)], refused=found.refused)


def read_all_media(account: Account, turn: Turn) -> Steps[Page]:
    """Read a page of all media."""
    return (yield from _media_page(account, turn, recent=False))


def read_recent_media(account: Account, turn: Turn) -> Steps[Page]:
    """Read a page of media, newest first, up to the first that is older than what is read often."""
    return (yield from _media_page(account, turn, recent=True))


def _media_page(account: Account, turn: Turn, *, recent: bool) -> Steps[Page]:
    path = f"/{account.account_id}/media"
    listed = yield from read_page(account, path, _media(account), "listing media", turn.cursor, MEDIA_LIMIT)
    readings: list[Reading] = []
    wanted: list[Wanted] = []
    for node in listed.nodes:
        made = moment(node.get("timestamp"))
        is_recent = _is_younger(made, turn.now, RECENT)
        # The files of media that an earlier walk found are looked up while anybody looks at the media.
        readings += _media_readings(node, files=turn.first or (is_recent if not recent else _is_new(made, turn)))
        wanted += _of_media(node, turn.now, first=turn.first, listed_often=recent)
    over = recent and any(not _is_younger(moment(node.get("timestamp")), turn.now, RECENT) for node in listed.nodes)
    return Page(readings, None if over else listed.cursor, wanted, refused=listed.refused)


def _is_younger(made: datetime | None, now: datetime, age: timedelta) -> bool:
    """Whether something may be younger than an age: what has no time may be."""
    return made is None or now - made < age


def _is_new(made: datetime | None, turn: Turn) -> bool:
    return made is None or turn.since is None or made >= turn.since - HOUR


def _media_readings(node: JsonObject, *, files: bool, parent: str = "") -> Iterator[Reading]:
    """Yield what is read of media, and of its files, whose addresses change by themselves."""
    id_, made = text(node.get("id")), moment(node.get("timestamp"))
    payload = {key: value for key, value in without_addresses(node).items() if key not in _FILES}
    children = objects(member(payload, "children").get("data"))
    if children:
        payload["children"] = {"data": [_without(child, _FILES) for child in children]}
    yield Reading("media.read", Object(MEDIA, id_), payload, parent, made)
    found: JsonObject = {key: node[key] for key in _FILES if key in node}
    of_children = [_only(child, ("id", *_FILES)) for child in objects(member(node, "children").get("data"))]
    if of_children:
        found["children"] = {"data": of_children}
    if files and found:
        yield Reading("media.files", Object(MEDIA, id_), {"id": id_, **found}, parent, made)


def _without(node: JsonObject, names: Sequence[str]) -> JsonObject:
    return {key: value for key, value in node.items() if key not in names}


def _only(node: JsonObject, names: Sequence[str]) -> JsonObject:
    return {key: value for key, value in node.items() if key in names}


FIGURES = {"FEED": "feed_insights", "REELS": "reel_insights", "STORY": "story_insights"}
"""The task that reads the figures of media, by its product; others have none (``meta.md`` 10.5)."""


def _of_media(node: JsonObject, now: datetime, *, first: bool, listed_often: bool) -> Iterator[Wanted]:
    """Yield what is to be read of media beside itself: its comments where their count changed, and its figures."""
    id_, made, count = text(node.get("id")), moment(node.get("timestamp")), node.get("comments_count")
    priority = Priority.RECENT if _is_younger(made, now, RECENT) else Priority.BACKFILL
    comments, why = Task("comments", id_), "the count of its comments changed"
    if not isinstance(count, int):
        yield Wanted(comments, "its comments are not counted", priority, source_time=made, mark="uncounted")
    elif count > FEW_COMMENTS:
        yield Wanted(comments, "it has many comments", priority, source_time=made, mark="many")
        if not first:
            yield Wanted(Task("new_comments", id_), why, priority, source_time=made, mark=str(count))
    elif count or (listed_often and not first):
        # Of media that are listed often, also where the last one went; of others that shows by plan.
        yield Wanted(comments, why, priority, source_time=made, mark=str(count))
    task = FIGURES.get(text(node.get("media_product_type")))
    if task is not None and _is_younger(made, now, KEPT_FIGURES):
        yield Wanted(Task(task, id_), "its figures are to be read", priority, source_time=made, mark="known")


def read_one_media(account: Account, turn: Turn) -> Steps[Page]:
    """Read one media. One that stands in no listing, or that is somebody else's, is missing from none."""
    found = yield from read_object(account, turn.task.object_id, _media(account), "reading a media")
    node = found.content
    product, owner = text(node.get("media_product_type")), text(member(node, "owner").get("id"))
    author = text(node.get("username"))
    others = owner not in ("", account.account_id) and author not in ("", account.username)
    # Items of albums have no address for people (meta.md 10.1).
    listed = not others and product in ("FEED", "REELS") and bool(text(node.get("permalink")))
    readings = [*_media_readings(node, files=True, parent="" if listed else UNLISTED)]
    wanted = (
        []
        if others or not text(node.get("permalink"))
        else [*_of_media(node, turn.now, first=False, listed_often=True)]
    )
    return Page(readings, wanted=wanted, refused=found.refused)


def read_stories(account: Account, turn: Turn) -> Steps[Page]:
    """Read a page of the stories that live; there is no other listing of them (``meta.md`` 10.1)."""
    path = f"/{account.account_id}/stories"
    listed = yield from read_page(account, path, _media(account), "listing stories", turn.cursor, MEDIA_LIMIT)
    readings: list[Reading] = []
    wanted: list[Wanted] = []
    for node in listed.nodes:
        made = moment(node.get("timestamp"))
        readings += _media_readings(node, files=turn.first or _is_new(made, turn), parent=UNLISTED)
        wanted += _of_media({"media_product_type": "STORY"} | node, turn.now, first=turn.first, listed_often=False)
    return Page(readings, listed.cursor, wanted, refused=listed.refused)


# --- comments (meta.md 10.2)


def read_comments(account: Account, turn: Turn) -> Steps[Page]:
    """Read a page of all comments of a media, and of each the first of its replies."""
    return (yield from _comment_page(account, turn, until=None))


def read_new_comments(account: Account, turn: Turn) -> Steps[Page]:
    """Read pages of a media's comments, newest first, up to those that the last walk has seen."""
    return (yield from _comment_page(account, turn, until=(turn.since or turn.now) - LATE))


def _comment_page(account: Account, turn: Turn, until: datetime | None) -> Steps[Page]:
    media = turn.task.object_id
    path = f"/{media}/comments"
    listed = yield from read_page(account, path, _THREAD, "listing comments", turn.cursor, COMMENT_LIMIT)
    readings: list[Reading] = []
    wanted: list[Wanted] = []
    over = False
    for node in listed.nodes:
        made = moment(node.get("timestamp"))
        replies = member(node, "replies")
        id_ = text(node["id"])
        readings.append(_comment_reading(node, media, ""))
        below = [reply for reply in objects(replies.get("data")) if text(reply.get("id"))]
        readings += [_comment_reading(reply, media, id_) for reply in below]
        if walk := _replies_to_walk(id_, below, cut=not listed.whole or "next" in member(replies, "paging"), turn=turn):
            wanted.append(walk._replace(source_time=made))
        over = over or (until is not None and made is not None and made < until)
    # What was never walked before says nothing of what stood in it.
    control = not turn.first and (yield from _is_empty_and_there(account, turn, listed, "is_comment_enabled"))
    return Page(readings, None if over else listed.cursor, wanted, refused=listed.refused, control=control)


def _replies_to_walk(id_: str, shown: Sequence[JsonObject], *, cut: bool, turn: Turn) -> Wanted | None:
    """Return the walk of the replies of a comment; None if there are none.

    Of replies that are not all there, because what is nested is one page. Of others where they differ from those of
    the walk before, since only a walk of their own tells which are gone; the first time that can wait.
    """
    task = Task("replies", id_)
    if cut:
        priority = Priority.BACKFILL if turn.first else Priority.RECENT
        return Wanted(task, "not all replies came with the comment", priority)
    if not shown:
        return None
    mark = hashlib.sha256(",".join(text(reply.get("id")) for reply in shown).encode()).hexdigest()[:16]
    if turn.first:
        return Wanted(task, "whether all replies are there", Priority.SELDOM, RECENT, mark=mark)
    return Wanted(task, "the replies changed", Priority.RECENT, mark=mark)


def _comment_reading(node: JsonObject, media: str, parent: str) -> Reading:
    """Return the reading of a comment that was found on a media, and below a comment if it is a reply."""
    payload = {key: value for key, value in without_addresses(node).items() if key != "replies"}
    if media and not text(member(payload, "media").get("id")):
        payload["listed_media_id"] = media
    if parent and not text(payload.get("parent_id")):
        payload["listed_parent_id"] = parent
    about = Object(COMMENT, text(node.get("id")))
    return Reading("comment.read", about, payload, parent or media, moment(node.get("timestamp")))


def read_replies(account: Account, turn: Turn) -> Steps[Page]:
    """Read a page of all replies of a comment; what media they are on is what their comment says."""
    comment = turn.task.object_id
    path = f"/{comment}/replies"
    listed = yield from read_page(account, path, _COMMENT, "listing replies", turn.cursor, COMMENT_LIMIT)
    readings = [_comment_reading(node, "", comment) for node in listed.nodes]
    control = yield from _is_empty_and_there(account, turn, listed)
    return Page(readings, listed.cursor, refused=listed.refused, control=control)


def _is_empty_and_there(account: Account, turn: Turn, listed: Listed, *flags: str) -> Steps[bool]:
    """Return whether an object is there whose listing shows nothing any more, by the token that asked for the listing.

    ``flags`` are fields that must not be false: media whose comments are switched off may show none.
    """
    if listed.nodes or turn.cursor or listed.cursor:
        return False
    doing = "looking at what shows nothing any more"
    node = checked((yield get(account, f"/{turn.task.object_id}", fields=",".join(("id", *flags)))), doing)
    require_id(node, turn.task.object_id, doing)
    return all(node.get(flag) is not False for flag in flags)


def read_one_comment(account: Account, turn: Turn) -> Steps[Page]:
    """Read one comment. Where its answer does not say what it is on, whoever told of it did."""
    found = yield from read_object(account, turn.task.object_id, _COMMENT, "reading a comment")
    reading = _comment_reading(found.content, "", "")
    above = text(found.content.get("parent_id")) or text(member(found.content, "media").get("id"))
    return Page([reading._replace(parent=above)], refused=found.refused)


def read_unlisted_comment(account: Account, turn: Turn) -> Steps[Page]:
    """Read a comment of a live broadcast or of an ad, which no listing shows (``meta.md`` 10.2)."""
    page = yield from read_one_comment(account, turn)
    return Page([reading._replace(parent=UNLISTED) for reading in page.readings], refused=page.refused)


# --- mentions (meta.md 10.4)

BY_PAGE_ONLY = "The platform shows mentions to accounts that were connected by Facebook Login only."


def read_mentioned_media(account: Account, turn: Turn) -> Steps[Page]:
    """Read somebody else's media in whose caption the account is mentioned."""
    fields = "id,caption,media_type,timestamp,username"
    node = yield from _mentioned(account, turn, "mentioned_media.media_id", fields)
    if node is None:
        return Page(skipped=BY_PAGE_ONLY)
    about = Object(turn.task.kind, turn.task.object_id)
    return Page([Reading("mentioned_media.read", about, node, UNLISTED, moment(node.get("timestamp")))])


def read_mentioned_comment(account: Account, turn: Turn) -> Steps[Page]:
    """Read a comment in which the account is mentioned, and want the media that it is on."""
    fields = "id,text,timestamp,like_count,media{id}"
    node = yield from _mentioned(account, turn, "mentioned_comment.comment_id", fields)
    if node is None:
        return Page(skipped=BY_PAGE_ONLY)
    about = Object(turn.task.kind, turn.task.object_id)
    reading = Reading("mentioned_comment.read", about, node, UNLISTED, moment(node.get("timestamp")))
    media = text(member(node, "media").get("id"))
    task = Task("ig_mentioned_media", media)
    wanted = [Wanted(task, "a comment on it mentions the account", Priority.RECENT, mark="known")] if media else []
    return Page([reading], wanted=wanted)


def _mentioned(account: Account, turn: Turn, field: str, fields: str) -> Steps[JsonObject | None]:
    """Ask the account for what mentions it; None where the login does not show mentions."""
    if account.login != FACEBOOK_LOGIN:
        return None
    asked = f"{field}({turn.task.object_id}){{{fields}}}"
    doing = "reading a mention"
    content = checked((yield get(account, f"/{account.account_id}", fields=asked)), doing)
    node = member(content, field.partition(".")[0])
    require_id(node, turn.task.object_id, doing)
    payload: JsonObject = without_addresses(node)
    return payload


# --- figures (meta.md 10.5, 10.8)


def figures_of(product: str) -> Read:
    """Return the steps that read the figures of media of one product."""

    def steps(account: Account, turn: Turn) -> Steps[Page]:
        id_ = turn.task.object_id
        path, doing = f"/{id_}/insights", "reading the figures of a media"
        try:
            found = yield from read_figures(account, path, MEDIA_GROUPS[product], f"insights.{product}", doing)
        except NoFiguresError as none:
            return Page(skipped=str(none))
        except TooFewViewersError:
            return Page()  # unknown, not 0, and there later
        about = Object("ig_media_insights", id_)
        payload = {"id": id_, "data": found.data}
        readings = [Reading("media.insights", about, payload, UNLISTED, turn.source_time)] if found.data else []
        return Page(readings, refused=found.refused)

    return steps


def days_of_account(first: int, last: int, task: str | None = None) -> Read:
    """Return the steps that read figures of an account, one page for each day from ``first`` to ``last`` days ago.

    ``task`` reads the days before those.
    """

    def steps(account: Account, turn: Turn) -> Steps[Page]:
        begun, ago = (
            turn.cursor.split("/") if turn.cursor else (turn.now.astimezone(UTC).date().isoformat(), str(first))
        )
        day = date.fromisoformat(begun) - timedelta(days=int(ago))
        since = datetime.combine(day, time(), UTC)
        window = {"since": since, "until": since + DAY}
        query = {"period": "day"} | {name: str(int(at.timestamp())) for name, at in window.items()}
        path, doing = f"/{account.account_id}/insights", "reading the figures of the account"
        cursor = f"{begun}/{int(ago) + 1}" if int(ago) < last else None
        history = [] if task is None else [Wanted(Task(task), "the days before", Priority.SELDOM, mark="known")]
        try:
            found = yield from read_figures(account, path, ACCOUNT_GROUPS, "account_insights", doing, query)
        except NoFiguresError as none:
            return Page(skipped=str(none))
        except TooFewViewersError:
            return Page(cursor=cursor, wanted=history)
        about = Object("ig_account_day", day.isoformat())
        payload = {"id": account.account_id, "day": day.isoformat(), "data": found.data}
        readings = [Reading("account.insights", about, payload, UNLISTED, since)] if found.data else []
        return Page(readings, cursor, history, refused=found.refused)

    return steps


# --- how often


def every(interval: timedelta) -> Again:
    return lambda now, source_time: interval  # noqa: ARG005


def by_age(*plan: tuple[timedelta, timedelta], then: timedelta | None) -> Again:
    """Return how often something is read again by its age: each age goes with the interval that is used up to it."""

    def again(now: datetime, source_time: datetime | None) -> timedelta | None:
        if source_time is None:
            return plan[-1][1]
        age = now - source_time
        return next((interval for most, interval in plan if age < most), then)

    return again


def while_it_lives(now: datetime, source_time: datetime | None) -> timedelta | None:
    """Every three hours, and at the last look; a story whose time is not known is read once."""
    if source_time is None:
        return None
    left = LAST_LOOK - (now - source_time)
    return min(3 * HOUR, left) if left > timedelta(0) else None


OFTEN = 15 * timedelta(minutes=1)

TASKS: Mapping[str, PullTask] = {
    "account": PullTask(read_account, every(3 * HOUR), Priority.RECENT, scopes=READ),
    "media": PullTask(read_all_media, every(WEEK), lists=MEDIA, range=Range(NEWEST), scopes=READ),
    "recent_media": PullTask(read_recent_media, every(OFTEN), Priority.RECENT, scopes=READ, backfill=False),
    "stories": PullTask(read_stories, every(3 * HOUR), Priority.RECENT, scopes=READ, backfill=False),
    MEDIA: PullTask(of_one(read_one_media, missing=MEDIA), never, Priority.RECENT, scopes=READ, backfill=False),
    "comments": PullTask(
        of_edge(read_comments),
        by_age((WEEK, 12 * HOUR), (RECENT, DAY), then=RECENT),
        lists=COMMENT,
        scopes=COMMENTS,
    ),
    "new_comments": PullTask(of_edge(read_new_comments), never, Priority.RECENT, scopes=COMMENTS, backfill=False),
    "replies": PullTask(of_edge(read_replies), never, lists=COMMENT, scopes=COMMENTS, backfill=False),
    COMMENT: PullTask(
        of_one(read_one_comment, missing=COMMENT), never, Priority.RECENT, scopes=COMMENTS, backfill=False
    ),
    "ig_unlisted_comment": PullTask(
        of_one(read_unlisted_comment, missing=COMMENT), never, Priority.RECENT, scopes=COMMENTS, backfill=False
    ),
    "ig_mentioned_media": PullTask(
        of_one(read_mentioned_media, missing="ig_mentioned_media"),
        never,
        Priority.RECENT,
        scopes=COMMENTS,
        backfill=False,
    ),
    "ig_mentioned_comment": PullTask(
        of_one(read_mentioned_comment, missing="ig_mentioned_comment"),
        never,
        Priority.RECENT,
        scopes=COMMENTS,
        backfill=False,
    ),
    **{
        FIGURES[product]: PullTask(
            of_edge(figures_of(product)),
            by_age((DAY, 3 * HOUR), (WEEK, 12 * HOUR), (RECENT, DAY), then=RECENT),
            scopes=INSIGHTS,
        )
        for product in ("FEED", "REELS")
    },
    FIGURES["STORY"]: PullTask(
        of_edge(figures_of("STORY")), while_it_lives, Priority.RECENT, scopes=INSIGHTS, backfill=False
    ),
    "account_insights": PullTask(
        days_of_account(1, SERIES_DAYS, "past_account_insights"),
        every(12 * HOUR),
        Priority.RECENT,
        scopes=INSIGHTS,
        backfill=False,
    ),
    "past_account_insights": PullTask(
        days_of_account(SERIES_DAYS + 1, HISTORY_DAYS), never, Priority.SELDOM, scopes=INSIGHTS, backfill=False
    ),
}

PLATFORM = PullingPlatform(
    tasks=TASKS,
    first=[Task(name) for name in ("account", "recent_media", "stories", "media", "account_insights")],
    confirms={MEDIA: MEDIA, COMMENT: COMMENT},
    gone={MEDIA: "media.gone", COMMENT: "comment.gone"},
    not_offered=(
        "who liked, saved or shared something",
        "media beyond the newest 10,000, and stories that are over",
        "comments on ads and of live broadcasts, but for those that a notification brought",
        "comments of people who are too young for the account, or whom it restricted, until it approved them",
        "figures of ads, of single items of carousels, and of media from before the account became a professional one",
    ),
)
