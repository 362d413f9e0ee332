"""What accounts of TikTok can be read for: ``tiktok.md`` 3.4, 4, 9, 12 and 17.

Only what everybody may see is listed, and a video that is missing may be private, deleted or under moderation: so it is
said to be absent, never to be deleted, and only where a sibling of it came back in the same answer (``tiktok.md`` 17).
Addresses of pictures are not read: they hold for hours, and differ each time (``tiktok.md`` 12).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from ops.runtime.platform_protocol import (
    JsonObject,
    PlatformError,
    Request,
    Response,
    Steps,
    error_word,
    expected,
    member,
    moment,
    objects,
    text,
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
    Reading,
    Task,
    Turn,
    Wanted,
    never,
)

VIDEO, PROFILE = "tiktok_video", "tiktok_account"
"""Kinds of objects; the first is the kind of look-up too that webhooks ask for."""

PROFILE_FIELDS: Mapping[str, Sequence[str]] = {
    "user.info.basic": ("open_id", "union_id", "display_name"),
    "user.info.profile": ("username", "profile_deep_link", "bio_description", "is_verified"),
    "user.info.stats": ("follower_count", "following_count", "likes_count", "video_count"),
}
"""By scope: a field without its scope refuses the whole call (``tiktok.md`` 3.4)."""

VIDEO_FIELDS: Sequence[Sequence[str]] = (
    (
        *("id", "create_time", "share_url", "video_description", "title", "duration", "height", "width"),
        *("embed_link", "like_count", "comment_count", "share_count", "view_count"),
    ),
    ("is_aigc",),  # since August 2026; an unknown field refuses the whole call (tiktok.md 12)
)

MOST_IDS, PAGE = 20, 20
"""Ids of one query, and videos of one page (``tiktok.md`` 12)."""

REREAD = timedelta(days=7)
"""For how long numbers of a video move (``tiktok.md`` 12), and for how late a video may be listed (17)."""

HOUR, DAY, MONTH = timedelta(hours=1), timedelta(days=1), timedelta(days=30)

MOST_PAGES = 500
"""Of one round of the videos that are known."""

SECOND = 1000
"""In milliseconds, which cursors are in; ``create_time`` is in seconds (``tiktok.md`` 12)."""

LATER = ("rate_limit_exceeded", "internal_error")
"""``tiktok.md`` 9."""

SCOPE_MISSING = ("scope_not_authorized", "scope_permission_missed")
REFUSED = ("scope_permission_missed", "invalid_param", "invalid_params")
"""What a call is refused with for one of its fields (``tiktok.md`` 12): the pages spell the last one both ways."""


def _data(response: Response, doing: str) -> JsonObject:
    """Return what an answer holds. Raises PlatformError: what counts is the code, at any status (``tiktok.md`` 4)."""
    content = expected(response, doing)
    word = error_word(content)
    if word is None and response.ok:
        return member(content, "data")
    word = word or str(response.status)
    if word in LATER:
        raise PlatformError("transient", f"The platform asks for patience while {doing}; try again later.", word)
    if word == "access_token_invalid":
        message = f"The platform did not accept the access token while {doing}; it is tried again with a new one."
        raise PlatformError("transient", message, word)
    if word in SCOPE_MISSING:
        message = f"A permission is missing for {doing}; connect the account again and leave all of them ticked."
        raise PlatformError("lacking", message, word)
    raise PlatformError("wrong", f"The platform refused {doing}.", word)


def _undocumented(doing: str) -> PlatformError:
    message = f"The platform answered in a way that it does not document while {doing}; try again later."
    return PlatformError("transient", message, "undocumented")


Ask = Callable[[Sequence[str]], Request]
"""From the fields to the request that asks for them."""


def _asked(
    account: Account, groups: Sequence[Sequence[str]], ask: Ask, doing: str
) -> Steps[tuple[JsonObject, Sequence[str]]]:
    """Ask for the fields of all groups, and return what the answer holds and the fields that are refused.

    Where the platform refuses the call, groups are asked for one after the other, once: what it then refuses is not
    asked for again. Without one of them being accepted it was not for the fields: raises PlatformError.
    """
    wanted = [group for group in groups if not account.refused.intersection(group)]
    response = yield ask([name for group in wanted for name in group])
    try:
        return _data(response, doing), ()
    except PlatformError as error:
        if error.code not in REFUSED or len(wanted) < 2:
            raise
        problem = error
    accepted: list[str] = []
    refused: list[str] = []
    data: JsonObject | None = None
    for group in wanted:
        response = yield ask([*accepted, *group])
        try:
            data = _data(response, doing)
            accepted += group
        except PlatformError as error:
            if error.code not in REFUSED:
                raise
            refused += group
    if data is None:
        raise problem
    return data, refused


def _request(account: Account, method: str, path: str, fields: Sequence[str], body: object = None) -> Request:
    """Fields stand in the query, all else in the body (``tiktok.md`` 12)."""
    headers = {"Authorization": f"Bearer {account.secrets['access_token']}"}
    return Request(method, account.api.url("api", path), {"fields": ",".join(fields)}, json=body, headers=headers)


def read_account(account: Account, turn: Turn) -> Steps[Page]:  # noqa: ARG001
    """Read the profile and its counters, as far as the scopes reach."""
    groups = [fields for scope, fields in PROFILE_FIELDS.items() if scope in account.scopes]
    groups = [fields for fields in groups if not account.refused.intersection(fields)]
    if not groups:
        return Page(skipped="No scope allows reading the profile; connect the account again and leave all ticked.")

    def ask(fields: Sequence[str]) -> Request:
        return _request(account, "GET", "/v2/user/info/", fields)

    data, refused = yield from _asked(account, groups, ask, "reading the profile")
    user = member(data, "user")
    names = [name for fields in groups for name in fields]
    found = {name: user[name] for name in names if name in user}
    whose = text(user.get("open_id"))
    if not found or (whose and whose != account.account_id):
        # Never the numbers of one person under the name of another.
        raise _undocumented("reading the profile")
    about = Object(PROFILE, account.account_id)
    return Page([Reading("account.read", about, found)], refused=refused)


def _video(video: JsonObject) -> Reading:
    found = {name: video[name] for group in VIDEO_FIELDS for name in group if name in video}
    id_ = text(video.get("id"))
    return Reading("video.read", Object(VIDEO, id_), {**found, "id": id_}, source_time=moment(video.get("create_time")))


def _videos(data: JsonObject, doing: str) -> Sequence[Reading]:
    """Return the videos of an answer, each once."""
    if not isinstance(data.get("videos"), list):
        raise _undocumented(doing)
    return [*{text(video["id"]): _video(video) for video in objects(data["videos"]) if text(video.get("id"))}.values()]


LISTING = "listing the videos"


def _list(account: Account, cursor: int | None, count: int = PAGE) -> Steps[tuple[JsonObject, Sequence[str]]]:
    body = {"max_count": count} | ({} if cursor is None else {"cursor": cursor})

    def ask(fields: Sequence[str]) -> Request:
        return _request(account, "POST", "/v2/video/list/", fields, body)

    return (yield from _asked(account, VIDEO_FIELDS, ask, LISTING))


def _listed(account: Account, turn: Turn, until: datetime | None) -> Steps[Page]:
    """Read a page of the listing, which is newest first. The walk ends at what was posted before ``until``.

    A cursor means "posted before". Posts of one second share it where it has no milliseconds, so that those of them
    that did not fit on a page would be passed over: the next page begins a second later, and shows some videos again
    (``tiktok.md`` 12). The cursor of this walk is JSON: where the page begins (``at``), and where the one before it
    ended (``end``).
    """
    place = json.loads(turn.cursor) if turn.cursor else {}
    data, refused = yield from _list(account, place.get("at"))
    readings = _videos(data, LISTING)
    if data.get("has_more") is False:
        return Page(readings, refused=refused)
    end, before = data.get("cursor"), place.get("end")
    if data.get("has_more") is not True or not isinstance(end, int) or isinstance(end, bool) or end <= 0:
        raise _undocumented(LISTING)
    if until is not None and end <= until.timestamp() * SECOND:
        return Page(readings, refused=refused)
    if before is not None and end >= before:
        if place["at"] == before:  # it gets no older: the walk would never end
            raise _undocumented(LISTING)
        following = {"at": before, "end": before}  # all of this page was on the one before it
    else:
        following = {"at": end if end % SECOND else end + SECOND, "end": end}
    return Page(readings, json.dumps(following), refused=refused)


def read_videos(account: Account, turn: Turn) -> Steps[Page]:
    """Read all videos the first time, and then those that are new, or so young that their numbers move.

    What was posted well before the last walk began was found by it, unless nobody could see it then
    (:func:`read_all_videos`).
    """
    until = turn.since - REREAD if turn.since is not None and not turn.first else None
    page = yield from _listed(account, turn, until)
    if page.cursor is None and turn.first:
        again = Wanted(Task("all_videos"), "videos that became public later", Priority.SELDOM, MONTH)
        return Page(page.readings, wanted=[again], refused=page.refused)
    return page


def read_all_videos(account: Account, turn: Turn) -> Steps[Page]:
    """Read all videos again: an old one that its owner made public is announced by nothing (``tiktok.md`` 2.4)."""
    return (yield from _listed(account, turn, None))


QUERYING = "reading videos"


def _query(account: Account, ids: Sequence[str]) -> Steps[tuple[JsonObject, Sequence[str]]]:
    def ask(fields: Sequence[str]) -> Request:
        return _request(account, "POST", "/v2/video/query/", fields, {"filters": {"video_ids": list(ids)}})

    return (yield from _asked(account, VIDEO_FIELDS, ask, QUERYING))


def _queried(account: Account, ids: Sequence[str]) -> Steps[Page]:
    """Read these videos. One is missing where it did not come and another one of the same answer did.

    Where none came, they are asked for again together with the newest one that is listed. If that does not come either,
    or none is listed, nothing is learned: the account may be private (``tiktok.md`` 17).
    """
    data, refused = yield from _query(account, ids)
    readings = _videos(data, QUERYING)
    if not readings:
        listed, _ = yield from _list(account, None, 1)
        newest = [reading.about.id for reading in _videos(listed, LISTING)][:1]
        if newest:
            ids = [*newest, *(id_ for id_ in ids if id_ not in newest)][:MOST_IDS]
            data, refused = yield from _query(account, ids)
            readings = _videos(data, QUERYING)
    found = {reading.about.id for reading in readings}
    missing = [Object(VIDEO, id_) for id_ in ids if id_ not in found] if readings else []
    return Page(readings, missing=missing, refused=refused)


def _is_id(id_: str) -> bool:
    """Return whether the platform could have given this id: one that it did not may refuse the whole call."""
    return id_.isascii() and id_.isdigit() and len(id_) <= 32


def read_known_videos(account: Account, turn: Turn) -> Steps[Page]:
    """Read a batch of the known videos, those that were checked longest ago.

    The cursor is JSON: the number of pages before, and the ids of the first one, at which the round is complete.
    """
    pages, first = json.loads(turn.cursor) if turn.cursor else (0, [])
    ids = [id_ for id_ in turn.known if _is_id(id_)][:MOST_IDS]
    again = next((number for number, id_ in enumerate(ids) if id_ in first), None)
    ids = ids[:again]
    if not ids:
        return Page()
    page = yield from _queried(account, ids)
    if again is not None or len(ids) < MOST_IDS or pages + 1 >= MOST_PAGES:
        return page
    cursor = json.dumps([pages + 1, first or ids])
    return Page(page.readings, cursor, missing=page.missing, refused=page.refused)


def read_video(account: Account, turn: Turn) -> Steps[Page]:
    """Read one video, and with it those that were checked longest ago: by them it is seen that it is missing."""
    wanted = turn.task.object_id
    if not _is_id(wanted):
        return Page(skipped="This is no id of a video.")
    siblings = [id_ for id_ in turn.known if _is_id(id_) and id_ != wanted]
    page = yield from _queried(account, [wanted, *siblings][:MOST_IDS])
    if not page.readings:
        return Page(skipped="No video of the account is shown at the moment: it may be private.", refused=page.refused)
    return page


def _every(interval: timedelta) -> Again:
    def again(now: datetime, source_time: datetime | None) -> timedelta | None:  # noqa: ARG001
        return interval

    return again


LISTS = ("video.list",)

PLATFORM = PullingPlatform(
    tasks={
        "account": PullTask(read_account, _every(6 * HOUR), Priority.RECENT, scopes=tuple(PROFILE_FIELDS)),
        "videos": PullTask(
            read_videos, _every(HOUR), Priority.RECENT, lists=VIDEO, range=Range(life=REREAD), scopes=LISTS
        ),
        "all_videos": PullTask(
            read_all_videos, _every(MONTH), Priority.SELDOM, lists=VIDEO, scopes=LISTS, backfill=False
        ),
        "videos_by_id": PullTask(
            read_known_videos,
            _every(DAY),
            Priority.SELDOM,
            needs=VIDEO,
            most_known=MOST_IDS,
            scopes=LISTS,
            backfill=False,
        ),
        VIDEO: PullTask(
            read_video, never, Priority.LIVE, needs=VIDEO, most_known=MOST_IDS - 1, scopes=LISTS, backfill=False
        ),
    },
    first=(Task("account"), Task("videos"), Task("videos_by_id")),
    confirms={VIDEO: VIDEO},
    gone={VIDEO: "video.absent"},
    siblings_prove=(VIDEO,),
    not_offered=(  # tiktok.md 12.1
        "Comments, mentions and messages: TikTok gives them to applications of its API for Business only.",
        "Videos that are not public, drafts and scheduled posts: TikTok lists them to nobody.",
        "Reach, watch time, audience, traffic sources and followers by day: TikTok offers a few counters only.",
        "Numbers of days before the account was connected: TikTok keeps no history of counters.",
        "Whether a video that is no longer shown was deleted or made private: TikTok does not tell them apart.",
        "Editing or deleting a post, and changing who can see it: its owner does that in TikTok's app.",
        "Videos of other people.",
    ),
)
