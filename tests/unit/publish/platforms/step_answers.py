"""What each step of each machine may be answered, and what the machine makes of it: the pages, as a table.

``test_steps`` holds the table against the machines: a step or an arrow that no line goes through fails there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.runtime.platform_protocol import Response
from publish.oauth.contract import App
from publish.posting.contract import Job, Media
from publish.posting.decision import DOUBT

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
PICTURE = Media("m1", "image/jpeg", 1000, 640, 640, alt_text="a picture", url="https://landfall.example/m1")
CLIP = Media("m2", "video/mp4", 5000, 720, 1280, 5.0, url="https://landfall.example/m2")
FILM = replace(CLIP, size=70_000_000)
PAPER = Media("m3", "application/pdf", 9000)
SOUND = Media("m4", "audio/mpeg", 9000)
HOSTS = {name: f"https://{name}.example" for name in ("api", "graph", "rupload", "instance")}
LONG_HERE = {"step_since": NOW - timedelta(days=1)}
"""Of a target that has been at its step long enough for every look that ``meta.md`` 9.6 and its like ask for."""


@dataclass(frozen=True)
class Line:
    """An answer to a step, None where its deadline is over. ``means`` is what ``test_steps.told`` says of it.

    ``kept`` and ``job`` are what the target has that differs from others; ``media`` its files. ``seen`` is what the log
    has, by table, where that is read and nothing is asked.
    """

    step: str
    answer: Response | None
    means: str
    kept: Mapping[str, Any] = field(default_factory=dict)
    media: Sequence[Media] | None = None
    job: Mapping[str, Any] = field(default_factory=dict)
    seen: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)


def in_log(step: str, means: str, table: str, *rows: Mapping[str, Any], **more: Any) -> Line:
    """A line of a step that reads what the log has in a table."""
    return Line(step, None, means, seen={table: rows}, **more)


@dataclass(frozen=True)
class Family:
    """Kinds of one platform that share lines. ``media`` are the files of a target of each kind."""

    platform: str
    media: Mapping[str, Sequence[Media]]
    lines: Sequence[Line]
    kept: Mapping[str, Any] = field(default_factory=dict)
    sealed: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    parent_id: str = ""

    def job(self, kind: str, line: Line) -> Job:
        standing = Job(
            id="t1",
            kind=kind,
            app=App("app", "secret", "https://landfall.example", HOSTS),
            account_id="1",
            username="shop",
            text="Tea",
            secrets={"access_token": "token"},
            options=self.options,
            media=self.media[kind] if line.media is None else line.media,
            parent_id=self.parent_id,
            post_id="9",
            kept={**self.kept, **line.kept},
            sealed=self.sealed,
            now=NOW,
            step_since=NOW,
            intent_at=NOW,
            seen=line.seen,
        )
        return replace(standing, **line.job)


def ok(**content: Any) -> Response:
    return Response(200, content)


def graph(code: int, subcode: int | None = None, message: str = "It did not work") -> Response:
    """An error of Graph (``meta.md`` 7.4)."""
    error = {"code": code, "message": message} | ({"error_subcode": subcode} if subcode else {})
    return Response(400, {"error": error})


NOTHING = ok()
LISTED_NONE = ok(data=[])
TROUBLE = graph(2)
MISSING = graph(100, 33)
LOOKED = {"looks": 99}
DOUBTED = {DOUBT: "no answer came"}


def settled(step: str, answer: Response, early: str, late: str, **kept: Any) -> Iterator[Line]:
    """Lines of a step that looks more than once: the first look, and the last."""
    yield Line(step, answer, early, kept=kept)
    yield Line(step, answer, late, kept={**kept, **LOOKED}, job=LONG_HERE)


# --- Facebook (meta.md 9.2, 9.4, 9.6)

POST = {"id": "1_5", "message": "Tea", "created_time": NOW.isoformat(), "permalink_url": "https://fb.example/5"}

TIMELINE = [
    Line("draft", ok(id="1_2"), "go publish"),
    Line("draft", NOTHING, "unknown"),
    Line("draft", graph(506), "retry duplicate"),
    Line("publish", ok(success=True), "go confirm"),
    Line("publish", ok(success=False), "unknown"),
    Line("publish", graph(100), "go discard"),
    Line("publish", graph(100), "failed 100", kept=DOUBTED),
    Line("publish", TROUBLE, "unknown"),
    Line("confirm", ok(is_published=True, permalink_url="https://fb.example/2"), "published 1_2"),
    Line("confirm", graph(10), "published 1_2, then permalink"),
    Line("confirm", TROUBLE, "retry 2"),
    *settled("confirm", ok(is_published=False), "wait", "go discard"),
    Line("confirm", None, "published 1_2, then permalink"),
    Line("look", ok(is_published=True), "published 1_2"),
    Line("look", graph(10), "retry scope_not_authorized"),
    *settled("look", ok(is_published=False), "wait", "go publish"),
    *settled("look", MISSING, "wait", "go search"),
    Line("discard", graph(10), "doubt"),
    Line("discard", TROUBLE, "retry 2"),
    Line("direct", ok(id="1_5"), "published 1_5, then permalink"),
    Line("direct", NOTHING, "unknown"),
    Line("direct", graph(1), "unknown"),
    Line("search", TROUBLE, "retry 2"),
    *settled("search", LISTED_NONE, "wait", "doubt"),
    *settled("search", LISTED_NONE, "wait", "go direct", draft="", direct=True, photos=[]),
    Line("search", ok(data=[POST, {**POST, "id": "1_6"}]), "doubt", kept={"draft": "", "photos": []}),
    Line("permalink", ok(permalink_url="https://fb.example/9"), "published 9"),
    Line("permalink", MISSING, "retry 100/33"),
]

LOG = "webhook_event_log"


def fed(**more: Any) -> Mapping[str, Any]:
    """A row of the log of what the feed of a page told, as ``meta.md`` 3.2 has it."""
    made = {"item": "status", "verb": "add", "post_id": "1_5", "message": "Tea", "from": {"id": "1"}}
    return {"payload_json": {**made, "created_time": int(NOW.timestamp()), **more}}


ADOPTED = "published 1_5, then permalink"
UNDRAFTED = {"draft": "", "photos": []}
TIMELINE_TOLD = [
    in_log("search", ADOPTED, LOG, fed(), kept=UNDRAFTED),
    in_log("search", ADOPTED, LOG, fed(), fed(item="post"), kept=UNDRAFTED),
    in_log("search", "nothing", LOG, fed(), fed(post_id="1_6"), kept=UNDRAFTED),
    in_log("search", "nothing", LOG, fed(verb="edited"), kept=UNDRAFTED),
    in_log("search", "nothing", LOG, fed(item="comment"), kept=UNDRAFTED),
    in_log("search", "nothing", LOG, fed(photo_id="p9"), kept=UNDRAFTED),
    in_log("search", "nothing", LOG, fed(**{"from": {"id": "2"}}), kept=UNDRAFTED),
    in_log("search", "nothing", LOG, fed(created_time=1), kept=UNDRAFTED),
    in_log("search", "nothing", LOG, fed(), job={"bound": frozenset(["1_5"])}, kept=UNDRAFTED),
    in_log("search", "nothing", LOG, {"payload_json": None}, {"payload_json": []}, kept=UNDRAFTED),
    in_log("search", "nothing", LOG, fed(post_id="1_2")),
]

COMMENTED = {"id": "7_8", "message": "Tea", "from": {"id": "1"}, "created_time": NOW.isoformat()}

COMMENT_FED = {"item": "comment", "comment_id": "7_8", "parent_id": "7"}

FACEBOOK = [
    Family(
        "facebook",
        {"text": [], "link": []},
        [
            *TIMELINE,
            Line("discard", ok(success=True), "go direct"),
            Line("discard", MISSING, "go direct"),
            Line("search", ok(data=[POST]), "published 1_5", kept={"draft": ""}),
            Line("search", ok(data=[{**POST, "id": "1_2", "message": ""}]), "published 1_2"),
            *TIMELINE_TOLD,
        ],
        kept={"draft": "1_2"},
    ),
    Family(
        "facebook",
        {"photo": [PICTURE], "multi_photo": [PICTURE, PICTURE]},
        [
            *TIMELINE,
            Line("photo", ok(id="p1"), "go draft", kept={"photos": []}, media=[PICTURE]),
            Line("photo", ok(id="p1"), "go photo", kept={"photos": []}, media=[PICTURE, PICTURE]),
            Line("photo", ok(id="p2"), "go direct", kept={"direct": True}, media=[PICTURE, PICTURE]),
            Line("photo", NOTHING, "unknown", kept={"photos": []}),
            Line("photo", graph(324), "failed 324", kept={"photos": []}),
            Line("draft", graph(100, 1366051), "go photo"),
            Line("draft", graph(100, 1366051), "failed container_failed", kept={"made_again": 2}),
            Line("discard", ok(success=True), "go photo"),
            Line("discard", MISSING, "go photo"),
            Line(
                "search",
                ok(data=[POST | {"attachments": {"data": [{"target": {"id": "p1"}}]}}]),
                "published 1_5",
                kept={"draft": ""},
            ),
            *TIMELINE_TOLD,
            in_log("search", ADOPTED, LOG, fed(item="photo", photo_id="p1", message="Coffee"), kept={"draft": ""}),
            in_log("search", "nothing", LOG, fed(item="photo", photo_id="p2"), kept={"draft": ""}),
        ],
        kept={"draft": "1_2", "photos": ["p1"]},
    ),
    Family(
        "facebook",
        {"video": [CLIP]},
        [
            Line("session", ok(id="upload:1"), "go upload"),
            Line("session", ok(id="https://elsewhere.example"), "unknown"),
            Line("session", graph(10), "failed scope_not_authorized"),
            Line("upload", ok(h="2:1"), "go publish"),
            Line("upload", NOTHING, "unknown"),
            Line("upload", Response(400, {"debug_info": {"type": "OffsetInvalidError"}}), "go offset"),
            Line("upload", graph(-1, 2207053), "go session"),
            Line("upload", graph(-1, 2207053), "failed container_failed", kept={"made_again": 2}),
            Line("offset", ok(file_offset=3000), "go upload"),
            Line("offset", ok(file_offset=0), "failed upload_failed", kept={"stuck": 4}),
            Line("offset", NOTHING, "unknown"),
            Line("offset", graph(-1, 2207053), "go session"),
            Line("publish", ok(id="v1"), "go status"),
            Line("publish", NOTHING, "unknown"),
            Line("publish", graph(100, 1363047), "unknown"),
            Line("publish", graph(100, None, "No permission to publish the video"), "failed scope_not_authorized"),
            Line("status", ok(published=True, post_id="1_5"), "published 1_5, then permalink"),
            Line("status", ok(published=True, permalink_url="/5"), "published v1"),
            Line("status", ok(status={"video_status": "error"}), "failed media_refused"),
            Line("status", ok(status={"video_status": "processing"}), "wait"),
            Line("status", graph(10), "retry scope_not_authorized"),
            Line("status", None, "doubt"),
            Line("search", ok(data=[{"id": "v1", "description": "Tea"}]), "go status"),
            Line("search", ok(data=[{"id": "v1", "description": "Tea"}, {"id": "v2", "description": "Tea"}]), "doubt"),
            Line("search", TROUBLE, "retry 2"),
            *settled("search", LISTED_NONE, "wait", "doubt"),
            Line("permalink", ok(permalink_url="https://fb.example/9"), "published 9"),
        ],
        kept={"video": "v1", "offset": 0},
        sealed={"session": "upload:1", "handle": "2:1"},
    ),
    *(
        Family(
            "facebook",
            {kind: [CLIP]},
            [
                Line("start", ok(video_id="v1"), "go upload"),
                Line("start", NOTHING, "unknown"),
                Line("start", TROUBLE, "retry 2"),
                Line("upload", ok(success=True), "go publish"),
                Line("upload", ok(success=False), "unknown"),
                Line("upload", Response(400, {"debug_info": {"type": "PartialRequestError"}}), "go offset"),
                Line("upload", graph(-1, 2207053), "go start"),
                Line("offset", ok(status={"uploading_phase": {"bytes_transfered": 3000}}), "go upload"),
                Line("offset", graph(-1, 2207053), "go start"),
                Line("publish", ok(success=True), "go status"),
                Line("publish", NOTHING, "unknown"),
                Line("publish", TROUBLE, "unknown"),
                Line("status", ok(status={"publishing_phase": {"status": "complete"}}), *without_id),
                Line("status", ok(published=True, post_id="1_5"), "published 1_5, then permalink"),
                Line("status", ok(status={"processing_phase": {"status": "error"}}), "failed media_refused"),
                Line("status", NOTHING, "wait"),
                Line("status", None, "doubt"),
                Line("permalink", ok(permalink_url="https://fb.example/9"), "published 9"),
                *more,
            ],
            kept={"video": "v1", "offset": 0, "photos": ["p1"]},
        )
        for kind, without_id, more in (
            (
                "reel",
                ["published v1, then permalink"],
                [
                    Line("look", ok(published=True, post_id="1_5"), "published 1_5, then permalink"),
                    Line("look", ok(status={"video_status": "expired"}), "failed media_refused"),
                    Line("look", ok(status={"processing_phase": {"status": "in_progress"}}), "wait"),
                    Line("look", MISSING, "retry 100/33"),
                    *settled("look", NOTHING, "wait", "go publish"),
                    Line("look", None, "doubt"),
                ],
            ),
            (
                "story",
                ["published unnamed, then locate"],
                [
                    Line("start", ok(id="p1"), "go publish", media=[PICTURE], kept={"photos": []}),
                    Line("start", NOTHING, "unknown", media=[PICTURE], kept={"photos": []}),
                    Line("publish", ok(success=True, post_id="8"), "published 8, then permalink", media=[PICTURE]),
                    Line("publish", ok(success=True), "published unnamed, then locate", media=[PICTURE]),
                    Line("publish", NOTHING, "unknown", media=[PICTURE]),
                    Line("publish", TROUBLE, "unknown", media=[PICTURE]),
                    *(
                        line
                        for step, late in (("look", "doubt"), ("locate", "failed not_listed"))
                        for line in (
                            Line(
                                step, ok(data=[{"media_id": "v1", "post_id": "8", "url": "https://s"}]), "published 8"
                            ),
                            Line(step, TROUBLE, "retry 2"),
                            *settled(step, ok(data=[{"media_id": "v7", "post_id": "8"}]), "wait", late),
                        )
                    ),
                ],
            ),
        )
    ),
    Family(
        "facebook",
        {"comment": [], "comment_reply": []},
        [
            Line("say", ok(id="7_8"), "published 7_8, then permalink"),
            Line("say", NOTHING, "unknown"),
            Line("say", MISSING, "retry parent_not_found"),
            Line("say", MISSING, "unknown", kept=DOUBTED),
            Line("say", TROUBLE, "unknown"),
            Line("look", ok(data=[COMMENTED]), "published 7_8, then permalink"),
            in_log("look", "published 7_8, then permalink", LOG, fed(**COMMENT_FED)),
            in_log("look", "nothing", LOG, fed(**COMMENT_FED, message="Coffee")),
            in_log("look", "nothing", LOG, fed(**COMMENT_FED), fed(**{**COMMENT_FED, "comment_id": "7_9"})),
            in_log("look", "nothing", LOG, fed(**{**COMMENT_FED, "parent_id": "6"})),
            Line("look", graph(10), "retry scope_not_authorized"),
            *settled("look", LISTED_NONE, "wait", "doubt"),
            Line("permalink", ok(permalink_url="https://fb.example/9"), "published 9"),
        ],
        parent_id="7",
    ),
]


def acting(platform: str, kind: str, done: Mapping[str, Any] | None) -> Family:
    """Hide, show, edit or delete something: ``done`` is how it reads afterwards, None where it is gone then."""
    lines = [
        Line("act", ok(success=True), "published"),
        Line("act", ok(success=False), "unknown"),
        Line("act", MISSING, "retry not_found"),
        Line("act", TROUBLE, "unknown"),
        Line("act", graph(10), "failed scope_not_authorized"),
        *settled("look", ok(id="7"), "wait", "go act"),
        Line("look", graph(10), "retry scope_not_authorized"),
        Line("look", None, "doubt"),
    ]
    lines += settled("look", MISSING, "wait", "published") if done is None else [Line("look", ok(**done), "published")]
    return Family(platform, {kind: []}, lines, parent_id="7")


ACTING = [
    acting("facebook", "hide_comment", {"is_hidden": True}),
    acting("facebook", "show_comment", {"is_hidden": False}),
    acting("facebook", "edit_post", {"message": "Tea"}),
    acting("instagram", "hide_comment", {"hidden": True}),
    acting("instagram", "show_comment", {"hidden": False}),
    acting("threads", "hide_comment", {"hide_status": "HIDDEN"}),
    acting("threads", "show_comment", {"hide_status": "NOT_HUSHED"}),
    *(
        acting(platform, kind, None)
        for platform, kind in (
            ("facebook", "delete_comment"),
            ("facebook", "delete_post"),
            ("instagram", "delete_comment"),
            ("instagram", "delete_post"),
            ("threads", "delete_post"),
        )
    ),
]


# --- Instagram and Threads: containers (meta.md 8, 9.1, 9.6)

SEEN = {"id": "5", "timestamp": NOW.isoformat(), "permalink": "https://p.example/5", "caption": "Tea", "text": "Tea"}


def containers(status: str) -> list[Line]:
    """Lines that containers of Instagram and of Threads share; ``status`` is how the field is called."""
    finished, ended = ok(**{status: "FINISHED"}), ok(**{status: "ERROR"})
    return [
        Line("quota", TROUBLE, "retry 2"),
        Line("container", NOTHING, "unknown"),
        Line("container", graph(-1, 2207032), "go quota"),
        Line("container", graph(-1, 2207032), "failed container_failed", kept={"made_again": 2}),
        Line("status", finished, "go publish"),
        Line("status", ok(**{status: "PUBLISHED"}), "published unnamed, then locate"),
        Line("status", ended, "go quota"),
        Line("status", ended, "failed container_failed", kept={"made_again": 2}),
        Line("status", ok(**{status: "IN_PROGRESS"}), "wait"),
        Line("status", MISSING, "retry 100/33"),
        Line("status", None, "go quota"),
        Line("publish", ok(id="9"), "published 9, then permalink"),
        Line("publish", NOTHING, "unknown"),
        Line("publish", TROUBLE, "unknown"),
        Line("publish", graph(4, 2207051), "unknown"),
        Line("publish", graph(-2, 2207020), "unknown"),
        Line("publish", graph(-1, 2207032), "unknown"),
        Line("publish", graph(9, 2207042), "hold rate_limit_exceeded"),
        Line("publish", graph(190), "token"),
        Line("look", ok(**{status: "PUBLISHED"}), "published unnamed, then locate"),
        *settled("look", finished, "wait", "go publish"),
        *settled("look", MISSING, "wait", "go search"),
        Line("look", ended, "go quota"),
        Line("look", ok(**{status: "IN_PROGRESS"}), "wait"),
        Line("look", graph(10), "retry scope_not_authorized"),
        Line("look", None, "doubt"),
        Line("search", ok(data=[SEEN]), "published 5"),
        Line("search", ok(data=[SEEN, {**SEEN, "id": "6"}]), "doubt"),
        Line("search", graph(10), "retry scope_not_authorized"),
        *settled("search", LISTED_NONE, "wait", "doubt"),
        Line("locate", ok(data=[SEEN]), "published 5"),
        Line("locate", graph(10), "retry scope_not_authorized"),
        *settled("locate", LISTED_NONE, "wait", "failed not_listed"),
        Line("permalink", ok(permalink="https://p.example/9"), "published 9"),
    ]


def children(status: str) -> list[Line]:
    """Lines of the containers of the files of a carousel."""
    return [
        Line("child", ok(id="c3"), "go children", kept={"children": ["c1"]}),
        Line("child", ok(id="c1"), "go child", kept={"children": []}),
        Line("child", NOTHING, "unknown", kept={"children": ["c1"]}),
        Line("child", graph(9004, 2207052), "retry 9004/2207052", kept={"children": ["c1"]}),
        Line("children", ok(**{status: "FINISHED"}), "go children"),
        Line("children", ok(**{status: "FINISHED"}), "go container", kept={"ready": 1}),
        Line("children", ok(**{status: "ERROR"}), "go child_again"),
        Line("children", ok(**{status: "EXPIRED"}), "failed container_failed", kept={"made_again": 2}),
        Line("children", ok(**{status: "IN_PROGRESS"}), "wait"),
        Line("children", TROUBLE, "retry 2"),
        Line("children", None, "go quota"),
        Line("child_again", ok(id="c3"), "go children"),
        Line("child_again", NOTHING, "unknown"),
        Line("child_again", graph(10), "failed scope_not_authorized"),
    ]


def limit(used: int) -> Response:
    return ok(data=[{"quota_usage": used, "config": {"quota_total": 50}}])


def reply_limit(used: int) -> Response:
    return ok(data=[{"reply_quota_usage": used, "reply_config": {"quota_total": 50}}])


def ig_media(**more: Any) -> Mapping[str, Any]:
    """A row of a post that was read meanwhile."""
    return {**SEEN, "ig_id": "5", "username": "shop", "media_product_type": "FEED", **more}


def instagram_in_log(product: str) -> Iterator[Line]:
    """Lines of what was read of the account's posts meanwhile."""
    read = ig_media(media_product_type=product)
    for step in ("look", "search", "locate"):
        yield in_log(step, "published 5", "ig_media", read)
        yield in_log(step, "nothing", "ig_media", read, {**read, "ig_id": "6"})
        yield in_log(step, "nothing", "ig_media", {**read, "username": "fan"})
        yield in_log(step, "nothing", "ig_media", {**read, "caption": "Coffee"})
        yield in_log(step, "nothing", "ig_media", {**read, "media_product_type": "STORY"})
        yield in_log(step, "nothing", "ig_media", {**read, "timestamp": None})
        yield in_log(step, "nothing", "ig_media", read, job={"username": ""})


MADE = {"container": "c1", "children": ["c1", "c2"], "ready": 0}
GONE_AGAIN = {"missed": 1}

INSTAGRAM_CONTAINERS = [
    *containers("status_code"),
    Line("quota", limit(50), "hold rate_limit_exceeded"),
    Line("publish", graph(9007, 2207027), "go status"),
    Line("publish", graph(24, 2207008), "go status"),
    Line("publish", graph(24, 2207008), "go quota", kept=GONE_AGAIN),
    Line("publish", graph(24, 2207008), "unknown", kept={**GONE_AGAIN, "repeated": True}),
    Line("publish", graph(24, 2207006), "unknown"),
]

COMMENT_IN_LOG = {"ig_id": "5", "text": "Tea", "media_ig_id": "7", "parent_ig_id": None, "timestamp": NOW.isoformat()}

INSTAGRAM = [
    Family(
        "instagram",
        {"image": [PICTURE]},
        [
            *INSTAGRAM_CONTAINERS,
            *instagram_in_log("FEED"),
            Line("quota", limit(1), "go container"),
            Line("container", ok(id="c1"), "go status"),
        ],
        kept=MADE,
    ),
    *(
        Family(
            "instagram",
            {kind: [CLIP]},
            [
                *(
                    replace(line, answer=ok(data=[{**SEEN, "media_product_type": product}]))
                    if line.means == "published 5"
                    else line
                    for line in INSTAGRAM_CONTAINERS
                    if not (line.step == "container" and "2207032" in str(line.answer))
                ),
                *(instagram_in_log(product) if kind == "reel" else ()),
                Line("quota", limit(1), "go container"),
                Line("container", ok(id="c1"), "go upload"),
                Line("container", ok(id="c1"), "go status", kept={"by_address": True}),
                Line(
                    "container",
                    ok(id="c1"),
                    "go status",
                    media=[PICTURE] if kind == "story" else None,
                    kept={"made_again": 1},
                ),
                Line("container", graph(100), "go container"),
                Line("container", graph(-1, 2207032), "go quota"),
                Line("upload", ok(success=True), "go status"),
                Line("upload", ok(success=False), "unknown"),
                Line("upload", Response(500, None), "retry 500"),
                Line("upload", Response(400, {"debug_info": {"type": "ProcessingFailedError"}}), "go quota"),
            ],
            kept=MADE,
        )
        for kind, product in (("reel", "REELS"), ("story", "STORY"))
    ),
    Family(
        "instagram",
        {"carousel": [PICTURE, CLIP]},
        [
            *INSTAGRAM_CONTAINERS,
            *instagram_in_log("FEED"),
            *children("status_code"),
            Line("quota", limit(1), "go child"),
            Line("container", ok(id="c1"), "go status"),
        ],
        kept=MADE,
    ),
    Family(
        "instagram",
        {"comment": [], "comment_reply": []},
        [
            Line("say", ok(id="7_8"), "published 7_8"),
            Line("say", MISSING, "retry parent_not_found"),
            Line("say", TROUBLE, "unknown"),
            Line("look", ok(data=[{**SEEN, "username": "shop"}]), "published 5"),
            in_log("look", "published 5", "ig_comments", COMMENT_IN_LOG),
            in_log("look", "published 5", "ig_comments", {**COMMENT_IN_LOG, "media_ig_id": "3", "parent_ig_id": "7"}),
            in_log("look", "nothing", "ig_comments", {**COMMENT_IN_LOG, "parent_ig_id": "8"}),
            in_log("look", "nothing", "ig_comments", {**COMMENT_IN_LOG, "text": "Coffee"}),
            in_log("look", "nothing", "ig_comments", COMMENT_IN_LOG, {**COMMENT_IN_LOG, "ig_id": "6"}),
            Line("look", TROUBLE, "retry 2"),
            *settled("look", LISTED_NONE, "wait", "doubt"),
        ],
        parent_id="7",
    ),
]

NO_FIELD = graph(100, None, "Tried accessing nonexisting field (status)")

THREADS_CONTAINERS = [
    *containers("status"),
    Line("quota", limit(50), "hold rate_limit_exceeded", job={"parent_id": ""}),
    Line("container", ok(id="c1"), "go status"),
    Line("status", NO_FIELD, "published unnamed, then locate"),
    Line("status", ok(status="ERROR", error_message="INVALID_ASPEC_RATIO"), "failed media_refused"),
    Line("publish", graph(24, 4279009), "go status"),
    Line("publish", graph(24, 4279009), "go quota", kept=GONE_AGAIN),
    Line("publish", graph(24, 4279009), "failed container_failed", kept={"missed": 2}),
    Line("publish", graph(24, 4279009), "failed container_failed", kept={"missed": 1, "made_again": 2}),
    Line("publish", graph(24, 4279009), "unknown", kept=DOUBTED),
    Line("publish", graph(24, 4279009), "unknown", kept={**GONE_AGAIN, "repeated": True}),
    Line("look", NO_FIELD, "published unnamed, then locate"),
]

SINGLE = Line("quota", limit(1), "go container")
SEVERAL = [*children("status"), Line("quota", limit(1), "go child", job={"parent_id": ""})]

THREADS = [
    Family("threads", {"text": [], "image": [PICTURE], "video": [CLIP]}, [*THREADS_CONTAINERS, SINGLE], kept=MADE),
    Family("threads", {"carousel": [PICTURE, CLIP]}, [*THREADS_CONTAINERS, *SEVERAL], kept=MADE),
    Family(
        "threads",
        {"reply": [PICTURE, CLIP]},
        [
            *THREADS_CONTAINERS,
            *SEVERAL,
            Line("quota", reply_limit(1), "go container", media=[]),
            Line("quota", reply_limit(50), "hold rate_limit_exceeded", media=[]),
            Line("container", graph(24, 4279009), "retry parent_not_found", media=[]),
            Line("container", MISSING, "retry parent_not_found", media=[]),
        ],
        kept=MADE,
        parent_id="7",
    ),
]


# --- TikTok (tiktok.md 5 to 9, 16)


def tiktok(**data: Any) -> Response:
    return Response(200, {"data": data, "error": {"code": "ok"}})


def tiktok_error(status: int, code: str) -> Response:
    return Response(status, {"data": {}, "error": {"code": code, "message": "It did not work"}})


def uploading(count: int) -> Response:
    return tiktok(status="PROCESSING_UPLOAD", uploaded_bytes=count)


ALLOWED = tiktok(privacy_level_options=["PUBLIC_TO_EVERYONE"])
LIMITED = tiktok_error(429, "rate_limit_exceeded")
LAST_ONE = {"uploaded": 60_000_000}
DIRECT = {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}
PULLED = {"options": {**DIRECT, "transfer": "url"}}
WHOLE = [replace(PICTURE, fetched=1000)]


COMPLETE = {"status": "PUBLISH_COMPLETE"}
POST_IDS = [{"is_public": False, "post_id": "4"}, {"is_public": True, "post_id": "5"}]


def tiktok_in_log() -> Iterator[Line]:
    """Lines of what webhooks tell of a publish (``tiktok.md`` 2.4, 8.3)."""
    for step in ("status", "inbox"):
        yield in_log(step, "published 5, then address", "tiktok_post_ids", *POST_IDS)
        yield in_log(step, "published unnamed, then locate", "tiktok_posts", COMPLETE)
        yield in_log(step, "nothing", "tiktok_posts", {"status": "SEND_TO_USER_INBOX"})
    yield in_log("locate", "published 5, then address", "tiktok_post_ids", *POST_IDS)
    yield in_log("status", "nothing", "tiktok_posts", {"status": "FAILED", "error_code": "internal"})
    for reason, code in (
        ("picture_size_check_failed", "picture_size_check_failed"),
        ("internal", "internal"),
        ("auth_removed", "auth_removed"),
        ("spam_risk_too_many_posts", "rate_limit_exceeded"),
        (None, "unknown"),
    ):
        yield in_log("inbox", f"failed {code}", "tiktok_posts", {"status": "FAILED", "error_code": reason})


def tiktok_ends(again: str) -> list[Line]:
    """Lines of what becomes of a publish; ``again`` is where it begins anew."""
    return [
        *tiktok_in_log(),
        Line("inbox", tiktok(**COMPLETE, publicaly_available_post_id=["5"]), "published 5, then address"),
        Line("inbox", tiktok(status="SEND_TO_USER_INBOX"), "wait"),
        Line("status", tiktok(status="PROCESSING_DOWNLOAD"), "wait"),
        Line("status", tiktok(status="SEND_TO_USER_INBOX"), "handed over"),
        Line("status", tiktok(status="PUBLISH_COMPLETE", publicaly_available_post_id=[5]), "published 5, then address"),
        Line("status", tiktok(status="PUBLISH_COMPLETE"), "published unnamed, then locate"),
        Line("status", tiktok(status="FAILED", fail_reason="internal"), f"go {again}"),
        Line("status", tiktok(status="FAILED", fail_reason="internal"), "failed publish_failed", kept={"begun": 2}),
        Line(
            "status",
            tiktok(status="FAILED", fail_reason="picture_size_check_failed"),
            "failed picture_size_check_failed",
        ),
        Line("status", tiktok(status="FAILED", fail_reason="spam_risk_too_many_posts"), "failed rate_limit_exceeded"),
        Line("status", tiktok(status="FAILED", fail_reason="auth_removed"), "failed auth_removed"),
        Line("status", tiktok(status="FAILED", fail_reason="internal_error"), "failed internal_error"),
        Line("status", tiktok_error(400, "invalid_publish_id"), "doubt"),
        Line("status", tiktok_error(400, "token_not_authorized_for_specified_publish_id"), "doubt"),
        Line("status", LIMITED, "hold rate_limit_exceeded"),
        Line("status", tiktok_error(401, "access_token_invalid"), "token"),
        Line("status", None, "doubt"),
        Line(
            "locate", tiktok(status="PUBLISH_COMPLETE", publicaly_available_post_id=["5"]), "published 5, then address"
        ),
        Line("locate", tiktok(status="PUBLISH_COMPLETE"), "wait"),
        Line("locate", LIMITED, "hold rate_limit_exceeded"),
        Line("locate", None, "failed not_public"),
        Line("address", tiktok(videos=[{"id": "9", "share_url": "https://t.example/9?who=1"}]), "published 9"),
        Line("address", tiktok_error(400, "invalid_params"), "failed invalid_params"),
    ]


def tiktok_sent(again: str) -> list[Line]:
    """Lines of a file that we send: 70 MB are sent in seven parts, a small one in one (``tiktok.md`` 7.1)."""
    return [
        Line("begin", tiktok(publish_id="v1", upload_url="https://u.example"), "go part"),
        Line("begin", tiktok(publish_id="v1", upload_url="https://u.example"), "go last", media=[CLIP]),
        Line("begin", tiktok(publish_id="v1"), "unknown"),
        Line("begin", tiktok_error(403, "spam_risk_too_many_pending_share"), "hold spam_risk_too_many_pending_share"),
        *(
            line
            for step, kept in (("part", {"uploaded": 0}), ("last", LAST_ONE))
            for line in (
                Line(step, Response(201, None), "go status", kept=kept),
                Line(step, Response(416, None), "go progress", kept=kept),
                Line(step, Response(403, None), "go progress", kept=kept),
                Line(step, Response(404, None), "go progress", kept=kept),
                Line(step, Response(400, None), "failed 400", kept=kept),
                Line(step, Response(503, None), "retry 503", kept=kept),
                Line(step, None, "go progress", kept=kept),
            )
        ),
        Line("part", Response(206, None), "go part", kept={"uploaded": 0}),
        Line("part", Response(206, None), "go last", kept={"uploaded": 50_000_000}),
        Line("last", Response(206, None), "go progress", kept=LAST_ONE),
        Line("progress", uploading(10_000_000), "go part"),
        Line("progress", uploading(60_000_000), "go last"),
        Line("progress", uploading(70_000_000), "go status"),
        Line("progress", uploading(17), f"go {again}"),
        Line("progress", uploading(17), "failed upload_failed", kept={"begun": 2}),
        Line("progress", uploading(10_000_000), f"go {again}", kept={"address_over": True}),
        Line("progress", tiktok(status="PUBLISH_COMPLETE"), "go status"),
        Line("progress", LIMITED, "hold rate_limit_exceeded"),
        Line("progress", tiktok_error(400, "invalid_publish_id"), "doubt"),
        Line("progress", None, "doubt"),
    ]


def tiktok_pulled(again: str) -> list[Line]:
    """Lines of what TikTok fetches: what it has fetched decides where the answer was lost (``tiktok.md`` 16)."""
    return [
        in_log("lost", "go status", "tiktok_posts", {"publish_id": "v2"}),
        in_log("lost", "nothing", "tiktok_posts", {"publish_id": "v2"}, {"publish_id": "v3"}),
        in_log("lost", "nothing", "tiktok_posts", {"publish_id": "v2"}, job={"rivals": 1}),
        Line("pull", tiktok(publish_id="v1"), "go status"),
        Line("pull", tiktok(), "unknown"),
        Line("pull", tiktok_error(500, "internal_error"), "unknown"),
        Line("pull", tiktok_error(403, "url_ownership_unverified"), "failed url_ownership_unverified"),
        Line("lost", tiktok(videos=[{"id": "5", "title": "Tea", "share_url": "https://t.example/5"}]), "published 5"),
        Line("lost", tiktok(videos=[{"id": "5", "title": "Tea"}, {"id": "6", "title": "Tea"}]), "doubt"),
        Line("lost", tiktok(videos=[]), "wait"),
        Line("lost", tiktok(videos=[]), "wait", kept={"ended_links": True}),
        Line("lost", tiktok(videos=[]), f"go {again}", kept={"ended_links": True}, job={**LONG_HERE, **PULLED}),
        Line("lost", tiktok(videos=[]), "wait", media=WHOLE),
        Line("lost", tiktok(videos=[]), "doubt", media=WHOLE, kept=LOOKED, job=LONG_HERE),
        Line("lost", tiktok_error(400, "invalid_params"), "doubt"),
        Line("lost", tiktok_error(401, "scope_not_authorized"), "doubt"),
    ]


def creator(*then: Line) -> list[Line]:
    return [
        Line("creator", tiktok(privacy_level_options=["SELF_ONLY"]), "failed privacy_level_option_mismatch"),
        Line("creator", tiktok_error(401, "access_token_invalid"), "token"),
        *then,
    ]


BEGUN = {"publish_id": "v1", "uploaded": 0}

TIKTOK = [
    Family(
        "tiktok",
        {"video": [FILM]},
        [
            *creator(Line("creator", ALLOWED, "go begin"), Line("creator", ALLOWED, "go pull", job=PULLED)),
            *tiktok_sent("creator"),
            *tiktok_pulled("creator"),
            *tiktok_ends("creator"),
        ],
        kept=BEGUN,
        sealed={"upload_url": "https://u.example/1"},
        options=DIRECT,
    ),
    Family(
        "tiktok",
        {"photos": [PICTURE]},
        [
            *creator(Line("creator", ALLOWED, "go pull")),
            *tiktok_pulled("creator"),
            *tiktok_ends("creator"),
            Line("status", tiktok(status="FAILED", fail_reason="photo_pull_failed"), "go creator"),
        ],
        kept=BEGUN,
        options=DIRECT,
    ),
    Family(
        "tiktok",
        {"inbox_video": [FILM]},
        [
            *tiktok_sent("begin"),
            *tiktok_pulled("pull"),
            *tiktok_ends("begin"),
            Line("status", tiktok(status="FAILED", fail_reason="video_pull_failed"), "go pull", job=PULLED),
        ],
        kept=BEGUN,
        sealed={"upload_url": "https://u.example/1"},
    ),
    Family("tiktok", {"inbox_photos": [PICTURE]}, [*tiktok_pulled("pull"), *tiktok_ends("pull")], kept=BEGUN),
]


# --- X (x.md 4, 5, 7, 12)


def x(status: int = 200, **data: Any) -> Response:
    return Response(status, {"data": data})


def x_problem(status: int, detail: str = "no", slug: str = "") -> Response:
    kind = f"https://api.x.com/2/problems/{slug}" if slug else "about:blank"
    return Response(status, {"type": kind, "title": "Problem", "detail": detail, "status": status})


def processed(state: str) -> Response:
    return x(id="9", processing_info={"state": state, "check_after_secs": 3})


TWEET = {"id": "5", "text": "Tea", "created_at": NOW.isoformat()}

X_POST = [
    Line("publish", x(201, id="5", text="Tea"), "published 5"),
    Line("publish", Response(201, {}), "unknown"),
    Line("publish", x_problem(403, "You are not allowed to create a Tweet with duplicate content."), "unknown"),
    Line("publish", x_problem(503), "unknown"),
    Line("publish", x_problem(429, slug="rate-limit-exceeded"), "hold rate_limit_exceeded"),
    Line("publish", x_problem(401), "token"),
    Line("publish", x_problem(403), "failed scope_not_authorized"),
    Line("publish", x_problem(400), "retry 400", job={"parent_id": "7"}),
    Line("publish", x_problem(403), "failed reply_refused", job={"parent_id": "7"}),
    Line("look", ok(data=[TWEET, {**TWEET, "id": "6"}]), "doubt", kept={"media_keys": []}),
    Line("look", ok(data=[TWEET]), "published 5", kept={"media_keys": []}),
    Line("look", ok(data=[], meta={"next_token": "p2"}), "wait"),
    Line("look", x_problem(503), "retry 503"),
    Line("look", x_problem(403), "doubt"),
    Line("look", LISTED_NONE, "doubt", kept={**LOOKED, "duplicate": True}, job=LONG_HERE),
]

X_LOOKED = [*settled("look", LISTED_NONE, "wait", "doubt")]

X_UPLOAD = [
    Line("initialize", x(id="9", media_key="3_9"), "go append", kept={"media_ids": [], "media_keys": []}),
    Line("initialize", x(id="9"), "unknown", kept={"media_ids": []}),
    Line("initialize", x_problem(400), "failed 400", kept={"media_ids": []}),
    Line("append", x(), "go finalize"),
    Line("append", x_problem(404), "go initialize"),
    Line("append", x_problem(404), "failed media_refused", kept={"again": 2}),
    Line("append", x_problem(503), "retry 503"),
    Line("finalize", processed("pending"), "go status"),
    Line("finalize", processed("failed"), "go initialize"),
    Line("finalize", x_problem(503), "retry 503"),
    Line("status", processed("in_progress"), "wait"),
    Line("status", processed("failed"), "go initialize"),
    Line("status", x_problem(401), "token"),
    Line("status", None, "go initialize"),
    Line("publish", Response(400, {"errors": [{"message": "Your media IDs are invalid."}]}), "go initialize"),
    Line("publish", Response(400, {"errors": [{"message": "Your media IDs are invalid."}]}), "doubt", kept=DOUBTED),
]

X = [
    Family("x", {"text": []}, [*X_POST, *settled("look", LISTED_NONE, "wait", "go publish")]),
    Family(
        "x",
        {"poll": []},
        [*X_POST, *X_LOOKED],
        options={"poll": {"options": ["black", "green"], "minutes": 60}},
    ),
    *(
        Family(
            "x",
            {kind: [file]},
            [
                *X_POST,
                *X_LOOKED,
                *X_UPLOAD,
                Line("append", x(), "go append", media=[replace(file, size=3 * 2**20)]),
                Line("finalize", x(id="9"), "go initialize", media=[undescribed, undescribed]),
                Line("finalize", x(id="9"), "go publish", media=[undescribed]),
                Line("status", processed("succeeded"), "go initialize", media=[undescribed, undescribed]),
                Line("status", processed("succeeded"), "go publish", media=[undescribed]),
                *described,
            ],
            kept={"media_ids": ["9"], "media_keys": ["3_9"]},
        )
        for kind, file, undescribed, described in (
            *(
                (
                    kind,
                    file,
                    replace(file, alt_text=""),
                    [
                        Line("finalize", x(id="9"), "go describe"),
                        Line("status", processed("succeeded"), "go describe"),
                        Line("describe", x(), "go publish"),
                        Line("describe", x(), "go initialize", media=[file, file]),
                        Line("describe", x_problem(503), "retry 503"),
                    ],
                )
                for kind, file in (("images", PICTURE), ("gif", replace(PICTURE, content_type="image/gif")))
            ),
            ("video", CLIP, CLIP, []),
        )
    ),
    *(
        Family(
            "x",
            {kind: []},
            [
                Line("act", x(**done), "published"),
                Line("act", x(), "unknown"),
                Line("act", x_problem(404), "failed 404"),
                Line("act", x_problem(404), "published", kept=DOUBTED),
                Line("act", x_problem(503), "unknown"),
            ],
            parent_id="7",
        )
        for kind, done in (
            ("delete_post", {"deleted": True}),
            ("hide_comment", {"hidden": True}),
            ("show_comment", {"hidden": False}),
        )
    ),
]


# --- Mastodon (mastodon.md 4, 5, 12)


def mastodon_error(status: int, error: str = "no") -> Response:
    return Response(status, {"error": error})


KNOWN = ok(api_versions={"mastodon": 7})
TOLD = {"id": "5", "url": "https://m.example/5", "content": "<p>Tea</p>", "created_at": NOW.isoformat()}
OTHER = {**TOLD, "content": "<p>Coffee</p>"}
OLD = {**OTHER, "created_at": (NOW - timedelta(hours=1)).isoformat()}
KEPT_POLL = {"poll": {"options": [{"title": "black"}, {"title": "green"}]}}
RESENT = {"resends": 2}
UNLISTED = {"visibility": "unlisted"}


def mastodon(kind: str, media: Sequence[Media], *more: Line, **found: Any) -> Family:
    files = [{"id": f"f{number}"} for number in range(len(media))]
    seen = TOLD | {"media_attachments": files} | found
    lines = [
        *(
            line
            for step in ("post", "post_once")
            for line in (
                Line(step, ok(**TOLD), "published 5"),
                Line(step, ok(params={}), "unknown"),
                Line(step, Response(502, None), "unknown"),
                Line(step, mastodon_error(422), "failed 422"),
                Line(step, mastodon_error(404), "retry 404"),
                Line(step, mastodon_error(429), "hold rate_limit_exceeded"),
                Line(step, mastodon_error(401), "token"),
            )
        ),
        Line("post", mastodon_error(500), "go look", kept=DOUBTED),
        Line("post", None, "go post"),
        Line("post", None, "go look", kept=DOUBTED),
        Line("look", Response(200, [seen]), "published 5"),
        Line("look", Response(200, [seen, {**seen, "id": "6"}]), "doubt"),
        Line("look", Response(503, None), "retry 503"),
        Line("look", mastodon_error(403), "doubt"),
        Line("look", mastodon_error(404), "retry 404"),
        *settled("look", Response(200, []), "wait", "go post", known=True),
        *settled("look", Response(200, []), "wait", "go post_once"),
        *settled("look", Response(200, []), "wait", "doubt", known=True, **RESENT),
        *settled("look", Response(200, []), "wait", "doubt", **RESENT),
        *settled("look", Response(200, [OTHER] * 40), "wait", "wait", known=True),  # the next page
        *settled("look", Response(200, [OTHER] * 39 + [OLD]), "wait", "go post", known=True),
        *(settled("look", Response(200, []), "wait", "doubt", files=[]) if media else ()),
        Line("instance", Response(503, None), "retry 503"),
        *more,
    ]
    options = {"poll": {"options": ["black", "green"], "seconds": 3600}} if kind == "poll" else {}
    return Family("mastodon", {kind: media}, lines, kept={"files": [each["id"] for each in files]}, options=options)


UPLOADED = [
    Line("instance", KNOWN, "go upload"),
    Line("upload", ok(id="f1"), "go ready", kept={"files": []}),
    Line("upload", NOTHING, "unknown", kept={"files": []}),
    Line("upload", mastodon_error(413), "failed 413", kept={"files": []}),
    Line("ready", Response(206, {}), "wait"),
    Line("ready", ok(id="f1"), "go post", kept={"known": True, "checked": 0}),
    Line("ready", ok(id="f1"), "go post_once", kept={"checked": 0}),
    Line("ready", mastodon_error(404), "go upload"),
    Line("ready", mastodon_error(422), "failed media_refused", kept={"uploads": 2}),
    Line("ready", Response(503, None), "retry 503"),
    Line("ready", None, "go upload"),
]

MASTODON = [
    mastodon(
        "text",
        [],
        Line("instance", KNOWN, "go post"),
        Line("instance", ok(version="1"), "go post_once"),
        *(
            Line("look", Response(200, [{**TOLD, "visibility": shown}]), means, job={"options": UNLISTED})
            for shown, means in (("unlisted", "published 5"), ("private", "wait"))
        ),
    ),
    mastodon(
        "poll",
        [],
        Line("instance", KNOWN, "go post"),
        Line("instance", mastodon_error(404), "go post_once"),
        **KEPT_POLL,
    ),
    mastodon("video", [CLIP], *UPLOADED),
    mastodon("audio", [SOUND], *UPLOADED),
    mastodon(
        "images",
        [PICTURE],
        *UPLOADED,
        Line("upload", ok(id="f1"), "go upload", kept={"files": []}, media=[PICTURE, PICTURE]),
        Line("ready", ok(id="f1"), "go ready", kept={"files": ["f1", "f2"]}, media=[PICTURE, PICTURE]),
    ),
]


# --- LinkedIn (linkedin.md 4, 5, 11)


def li_error(status: int, code: str = "") -> Response:
    return Response(status, {"status": status, "message": "no", "code": code})


URN = "urn:li:share:5"
ASSET = "urn:li:image:1"
CREATED = Response(201, None, {"x-restli-id": URN})
REPEATED = Response(422, {"message": f"Content is a duplicate of {URN}", "code": "DUPLICATE_POST", "status": 422})
SHARED = {"id": URN, "commentary": "Tea", "createdAt": int(NOW.timestamp() * 1000), "lifecycleState": "PUBLISHED"}
PARTS = [["https://up.example/1", 0, 2499], ["https://up.example/2", 2500, 4999]]
ORGANIZATION = {"profile": {"owner": "organization"}}

LI_POST = [
    Line("publish", Response(201, None), "unknown"),
    Line("publish", REPEATED, "unknown"),
    Line("publish", li_error(504), "unknown"),
    Line("publish", li_error(429), "hold rate_limit_exceeded"),
    Line("publish", li_error(401), "token"),
    Line("publish", li_error(403), "failed scope_not_authorized"),
    Line("publish", li_error(400), "failed 400"),
    Line("look", li_error(403), "doubt"),
    Line("look", li_error(400), "doubt"),
    Line("look", li_error(503), "retry 503"),
    Line("look", li_error(404), "doubt"),
]

LI_TEXT = [
    *LI_POST,
    Line("publish", CREATED, f"published {URN}"),
    *settled("look", ok(elements=[]), "wait", "doubt"),
]

LI_FILES = [
    *LI_POST,
    Line("begin", li_error(503), "retry 503", kept={"urns": []}),
    Line("send", li_error(400, "EXPIRED_UPLOAD_URL"), "go begin"),
    Line("send", li_error(400, "EXPIRED_UPLOAD_URL"), "failed media_refused", kept={"again": 2}),
    Line("status", li_error(403), "go publish"),
    Line("status", ok(status="AVAILABLE"), "go publish"),
    Line("status", ok(status="PROCESSING"), "wait"),
    Line("status", ok(status="WAITING_UPLOAD"), "wait"),
    Line("status", ok(status="WAITING_UPLOAD"), "go begin", job=LONG_HERE),
    Line("status", ok(status="PROCESSING_FAILED"), "go begin"),
    Line("status", li_error(503), "retry 503"),
    Line("status", None, "go begin"),
    Line("publish", CREATED, "go verify"),
    Line("publish", li_error(400, "MEDIA_ASSET_WAITING_UPLOAD"), "go status"),
    *settled("look", ok(elements=[]), "wait", "go publish"),
    *settled("look", ok(elements=[]), "wait", "doubt", sent_again=True),
    *settled("look", ok(elements=[]), "wait", "doubt", refused=True),
    Line("verify", ok(lifecycleState="PUBLISHED"), f"published {URN}"),
    Line("verify", ok(lifecycleState="PUBLISH_FAILED"), "failed media_refused"),
    Line("verify", ok(lifecycleState="PUBLISH_REQUESTED"), "wait"),
    Line("verify", li_error(404), "wait"),
    Line("verify", li_error(404), "doubt", job=LONG_HERE),
    Line("verify", li_error(403), f"published {URN}"),
    Line("verify", li_error(503), "retry 503"),
    Line("verify", None, f"published {URN}"),
]

LI_SENT = [
    *LI_FILES,
    Line("send", Response(201, None), "go status"),
    Line("send", Response(201, None), "go begin", media=[PICTURE, PICTURE]),
    Line("status", ok(status="AVAILABLE"), "go status", media=[PICTURE, PICTURE], kept={"urns": [ASSET, ASSET]}),
]

LI_UPLOAD = {"urn": URN, "urns": [ASSET], "etags": ['"a"'], "sent": 1, "ready": 0}


def linkedin(kind: str, media: Sequence[Media], content: Any, lines: Sequence[Line], **options: Any) -> Family:
    """A kind with files; ``content`` is how a listed post shows ours."""
    asset = {"video": "video", "document": "document"}.get(kind, "image")
    value: dict[str, Any] = {asset: ASSET, "uploadUrl": "https://up.example/1", "uploadToken": ""}
    value["uploadInstructions"] = [
        {"uploadUrl": one, "firstByte": first, "lastByte": last} for one, first, last in PARTS
    ]
    seen = ok(elements=[{**SHARED, "content": content}])
    more = [
        Line("begin", ok(value=value), "go send", kept={"urns": []}),
        *([] if kind == "video" else [Line("begin", ok(value={}), "unknown", kept={"urns": []})]),
        Line("look", seen, "go verify"),
    ]
    sealed = {"upload": str(PARTS).replace("'", '"')}
    kept = {**LI_UPLOAD, "sent": 0}
    return Family("linkedin", {kind: media}, [*lines, *more], kept=kept, sealed=sealed, options=options)


LINKEDIN = [
    Family("linkedin", {"text": []}, [*LI_TEXT, Line("look", ok(elements=[SHARED]), f"published {URN}")]),
    Family(
        "linkedin",
        {"poll": []},
        [
            *LI_TEXT,
            Line("look", ok(elements=[{**SHARED, "content": {"poll": {"question": "Which?"}}}]), f"published {URN}"),
        ],
        options={"poll": {"question": "Which?", "options": ["black", "green"], "duration": "ONE_DAY"}},
    ),
    linkedin("image", [PICTURE], {"media": {"id": ASSET}}, LI_SENT),
    linkedin("article", [PICTURE], {"article": {"thumbnail": ASSET}}, LI_SENT, title="About tea"),
    linkedin("multi_image", [PICTURE], {"multiImage": {"images": [{"id": ASSET}]}}, LI_SENT),
    linkedin("document", [PAPER], {"media": {"id": ASSET}}, LI_SENT, title="About tea"),
    linkedin(
        "video",
        [CLIP],
        {"media": {"id": ASSET}},
        [
            *LI_FILES,
            Line("begin", ok(value={"video": ASSET}), "unknown", kept={"urns": []}),
            Line("send", Response(200, None, {"etag": '"a"'}), "go send"),
            Line("send", Response(200, None, {"etag": '"b"'}), "go finish", kept={"sent": 1}),
            Line("send", Response(200, None), "unknown"),
            Line("finish", Response(200, None), "go status"),
            Line("finish", li_error(422), "go finish"),
            Line("finish", li_error(422), "go begin", kept={"quoted": True}),
            Line("finish", li_error(503), "retry 503"),
        ],
    ),
    Family(
        "linkedin",
        {"comment": []},
        [
            Line("say", Response(201, None, {"x-restli-id": "6"}), "published urn:li:comment:(urn:li:activity:7,6)"),
            Line("say", Response(201, None), "unknown"),
            Line("say", li_error(404), "retry 404"),
            Line("say", li_error(503), "unknown"),
            Line(
                "look",
                ok(elements=[{"id": "6", "actor": "urn:li:person:1", "message": {"text": "Tea"}}]),
                "published urn:li:comment:(urn:li:activity:7,6)",
            ),
            Line("look", li_error(403), "doubt"),
            Line("look", li_error(503), "retry 503"),
            *settled("look", ok(elements=[]), "wait", "doubt"),
        ],
        parent_id="urn:li:activity:7",
    ),
    Family(
        "linkedin",
        {"edit_post": []},
        [
            Line("act", Response(204, None), "go check"),
            Line("act", li_error(503), "unknown"),
            Line("act", li_error(400), "failed 400"),
            Line("check", ok(commentary="Tea"), "published"),
            *settled("check", ok(commentary="Coffee"), "wait", "failed edit_ignored"),
            Line("check", li_error(403), "published"),
            Line("check", li_error(503), "retry 503"),
        ],
        parent_id=URN,
    ),
    *(
        Family(
            "linkedin",
            {kind: []},
            [
                Line("act", Response(204, None), "published"),
                Line("act", li_error(404), "failed 404"),
                Line("act", li_error(404), "published", kept=DOUBTED),
                Line("act", li_error(503), "unknown"),
            ],
            parent_id=parent,
        )
        for kind, parent in (("delete_post", URN), ("delete_comment", "urn:li:comment:(urn:li:activity:7,6)"))
    ),
]

FAMILIES = [*FACEBOOK, *ACTING, *INSTAGRAM, *THREADS, *TIKTOK, *X, *MASTODON, *LINKEDIN]
