"""Publishing to TikTok: ``tiktok.md`` 5 to 9 and 16.

A file that we send is safe: its ``publish_id`` is stored before the first byte, an upload without all of its bytes
posts nothing, and the last part is recognised by its address. What TikTok fetches is not: the request that begins it
already posts, and no list of ours tells what an answer that was lost had begun. So each attempt has addresses of its
own, and whether they were fetched decides (``tiktok.md`` 6.1, 16).
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence

from ops.runtime.platform_protocol import (
    FilePart,
    JsonObject,
    Request,
    Response,
    Steps,
    expected,
    member,
    number,
    objects,
    text,
)
from publish.oauth.contract import App
from publish.platforms.tiktok_posting import (
    PLATFORM as RULES,
)
from publish.platforms.tiktok_posting import (
    ChunkPlan,
    Direct,
    Photos,
    PhotosOptions,
    Video,
    chunk_plan,
    creator_facts,
    failed,
)
from publish.posting.contract import (
    AGAIN,
    Doubt,
    Effect,
    Evidence,
    Fact,
    Failed,
    Go,
    HandedOver,
    Hold,
    Job,
    Kept,
    Looks,
    Machine,
    Media,
    PostingPlatform,
    Published,
    PublishedUnnamed,
    Retry,
    Sample,
    Step,
    TokenRefused,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.decision import DOUBT
from publish.posting.matching import normal, one_of, unbound
from publish.posting.verdicts import error_verdict, in_doubt, reported_verdict, unread_verdict
from publish.preflight.contract import AccountFacts
from schema.states import TargetState

MOST_UPLOADS = 3
"""How often a publish that comes to nothing is begun, at most."""

UPLOAD_SECONDS = 3600.0
"""How long the address of an upload holds (``tiktok.md`` 6)."""

DAY = 86_400.0

DEAD_SECONDS = 70 * 60.0
"""A publish whose files were not fetched by then is dead: the platform pulls for an hour (``tiktok.md`` 6.1)."""

TITLE_LENGTH = 150
"""How much of a caption a list shows (``tiktok.md`` 16)."""


def _call(job: Job, path: str, body: object, **query: str) -> Request:
    headers = {"Authorization": f"Bearer {job.token}"}
    return Request("POST", job.app.url("api", path), query, json=body, headers=headers)


def _data(response: Response) -> JsonObject:
    return member(response.content, "data")


def _error(job: Job, response: Response, *, commit: bool = False, anew: Verdict | None = None) -> Verdict | None:
    return error_verdict(RULES.errors, job, response, commit=commit, anew=anew)


def _begun_anew(job: Job, message: str, *, files: bool = False) -> Verdict:
    """Begin with a new publish, a few times; ``files``: the platform fetches, so the old addresses end."""
    begun = job.kept_number("begun") + 1
    if begun >= MOST_UPLOADS:
        return Failed("publish_failed", message, retryable=True)
    keep: Kept = {"publish_id": "", "uploaded": 0, "begun": begun, "polls": 0}
    return Go(_beginning(job), 5.0, keep=keep, new_links=files)


def _beginning(job: Job) -> str:
    """Return the step that a publish begins with; what goes to the inbox needs nothing of the creator's choices."""
    return _first(job) if job.kind.startswith("inbox") else "creator"


# --- what the account allows at this moment


def ask_creator(job: Job) -> Request:
    return _call(job, "/v2/post/publish/creator_info/query/", {})


def read_creator(job: Job, response: Response) -> Verdict:
    """The account's choices are asked for right before each direct post (``tiktok.md`` 5)."""
    if problem := _error(job, response):
        return problem
    options, info = RULES.kinds[job.kind].options.model_validate(job.options), _data(response)
    offered = info.get("privacy_level_options")
    if isinstance(options, Direct) and isinstance(offered, list) and options.privacy_level not in offered:
        message = f"The account allows {', '.join(map(str, offered))} now; choose the privacy again."
        return Failed("privacy_level_option_mismatch", message)
    return Go(_first(job))


def _first(job: Job) -> str:
    return "pull" if job.kind.endswith("photos") or job.options.get("transfer") == "url" else "begin"


# --- a file that we send


def _video_info(job: Job) -> dict[str, object]:
    """Return ``post_info`` (``tiktok.md`` 6); the two brand switches are always sent."""
    options = Video.model_validate(job.options)
    found: dict[str, object] = {
        "privacy_level": options.privacy_level,
        "title": job.text,
        "disable_comment": not options.allow_comments,
        "disable_duet": not options.allow_duet,
        "disable_stitch": not options.allow_stitch,
        "brand_content_toggle": options.branded_content,
        "brand_organic_toggle": options.own_brand,
        "is_aigc": options.ai_generated,
    }
    return found | ({"video_cover_timestamp_ms": options.cover_ms} if options.cover_ms is not None else {})


def _plan(job: Job) -> ChunkPlan:
    return chunk_plan(job.media[0].size)


def _init(job: Job, source: object) -> Request:
    if job.kind == "inbox_video":
        return _call(job, "/v2/post/publish/inbox/video/init/", {"source_info": source})
    return _call(job, "/v2/post/publish/video/init/", {"post_info": _video_info(job), "source_info": source})


def ask_begin(job: Job) -> Request:
    plan = _plan(job)
    source = {"source": "FILE_UPLOAD", "video_size": plan.size, "chunk_size": plan.chunk_size}
    return _init(job, source | {"total_chunk_count": plan.count})


def read_begin(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    id_, address = text(_data(response).get("publish_id")), _data(response).get("upload_url")
    if not id_ or not isinstance(address, str) or not address:
        return Unknown("the platform named no upload")
    keep: Kept = {"publish_id": id_, "uploaded": 0, "polls": 0}
    return Go(_next_part(job, 0), keep=keep, seal={"upload_url": address}, facts=[_begun(job, id_, "FILE_UPLOAD")])


def _begun(job: Job, publish_id: str, source: str) -> Fact:
    return Fact("post.begun", publish_id, {"publish_id": publish_id, "source": source, "title": job.text or None})


def _next_part(job: Job, uploaded: int) -> str:
    """Return the step for the part that follows so many bytes: the last one makes the platform process them."""
    return "last" if _plan(job).chunk_at(uploaded) == _plan(job).count - 1 else "part"


def ask_part(job: Job) -> Request:
    plan, media = _plan(job), job.media[0]
    first, last = plan.range(plan.chunk_at(job.kept_number("uploaded")) or 0)
    length = last - first + 1
    headers = {
        "Content-Type": media.content_type,
        "Content-Length": str(length),
        "Content-Range": f"bytes {first}-{last}/{plan.size}",
    }
    part = FilePart(media.id, first, length, media.content_type)
    return Request("PUT", job.sealed["upload_url"], headers=headers, content=part)


def read_part(job: Job, response: Response) -> Verdict:
    """A part that was stored before is refused with 416 (``tiktok.md`` 7.2); then the status tells how far it is."""
    match response.status:
        case 201:
            return Go("status", 5.0)
        case 206:
            plan, at = _plan(job), job.kept_number("uploaded")
            stored = plan.range(plan.chunk_at(at) or 0)[1] + 1
            if stored == plan.size:
                return Go("progress")  # a last part after which more is expected: the status tells how much it has
            return Go(_next_part(job, stored), keep={"uploaded": stored})
        case 416:
            return Go("progress")
        case 403 | 404:
            return Go("progress", keep={"address_over": True})
    return _error(job, response) or Unknown("the platform answered what it does not document")


def overdue_part(_: Job) -> Verdict:
    return Go("progress", keep={"address_over": True})


def ask_status(job: Job) -> Request:
    return _call(job, "/v2/post/publish/status/fetch/", {"publish_id": job.kept_text("publish_id")})


def read_progress(job: Job, response: Response) -> Verdict:
    """Go on where the platform is, or begin anew where it cannot be told, or the address is over."""
    if problem := _status_error(job, response):
        return problem
    if text(_data(response).get("status")) != "PROCESSING_UPLOAD":
        return Go("status")
    uploaded = int(number(_data(response).get("uploaded_bytes")) or 0)
    if uploaded >= _plan(job).size:
        return Go("status", 5.0)
    if job.kept.get("address_over") or _plan(job).chunk_at(uploaded) is None:
        return _restarted(job)
    return Go(_next_part(job, uploaded), keep={"uploaded": uploaded})


def _restarted(job: Job) -> Verdict:
    """An upload that lacks bytes posts nothing, so a new one may be begun (``tiktok.md`` 16)."""
    begun = job.kept_number("begun") + 1
    if begun >= MOST_UPLOADS:
        return Failed("upload_failed", "The upload broke off several times; try again later.", retryable=True)
    keep: Kept = {"publish_id": "", "uploaded": 0, "begun": begun, "address_over": False}
    return Go(_beginning(job), 5.0, keep=keep)


# --- files that the platform fetches


SHOWN = ("title", "cover_position")
"""Options that photos have wherever they go."""


def ask_pull(job: Job) -> Request:
    if not job.kind.endswith("photos"):
        return _init(job, {"source": "PULL_FROM_URL", "video_url": job.media[0].url})
    direct = job.kind == "photos"
    shown = PhotosOptions.model_validate({name: job.options[name] for name in SHOWN if name in job.options})
    info: dict[str, object] = {"title": shown.title or "", "description": job.text}
    if direct:
        options = Photos.model_validate(job.options)
        info |= {
            "privacy_level": options.privacy_level,
            "disable_comment": not options.allow_comments,
            "auto_add_music": options.auto_add_music,
            "brand_content_toggle": options.branded_content,
            "brand_organic_toggle": options.own_brand,
        }
    urls = [media.url for media in job.media]
    source = {"source": "PULL_FROM_URL", "photo_images": urls, "photo_cover_index": shown.cover_position - 1}
    body = {"media_type": "PHOTO", "post_mode": "DIRECT_POST" if direct else "MEDIA_UPLOAD", "post_info": info}
    return _call(job, "/v2/post/publish/content/init/", body | {"source_info": source})


def read_pull(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, commit=True):
        return problem
    id_ = text(_data(response).get("publish_id"))
    if not id_:
        return Unknown("the platform named no publish")
    keep: Kept = {"publish_id": id_, "polls": 0}
    return Go("status", 5.0, keep=keep, facts=[_begun(job, id_, "PULL_FROM_URL")])


LIST_FIELDS = "id,create_time,title,video_description,share_url"


def ask_listing(job: Job) -> Request:
    return _call(job, "/v2/video/list/", {"max_count": 20}, fields=LIST_FIELDS)


def read_lost(job: Job, response: Response) -> Verdict:
    """The answer that named the publish was lost. What was fetched decides (``tiktok.md`` 16)."""
    if problem := unread_verdict(RULES.errors, job, response):
        return problem
    found = unbound(job, objects(_data(response).get("videos")), lambda post: _same(job, post), created="create_time")
    all_fetched = all(media.fetched >= media.size for media in job.media)
    if not found and not all_fetched:
        if not job.kept.get("ended_links"):
            return Wait(
                60.0, "its addresses end, so that nothing more is fetched", keep={"ended_links": True}, end_links=True
            )
        if job.seconds_here < DEAD_SECONDS:
            return Wait(300.0, "a publish that fetched nothing ends by itself")
        return Go(_beginning(job), keep={"ended_links": False}, new_links=True)
    message = "TikTok has fetched the files, and shows no such post. Look at the account."
    fetched = [f"file {number}: {media.fetched} of {media.size} bytes" for number, media in enumerate(job.media, 1)]
    doubt = Doubt(message, [job.kept_text(DOUBT), *fetched])
    return one_of(job, found, _listed, Looks(12, DAY), doubt, shown=lambda post: text(post.get("share_url")))


def _same(job: Job, post: JsonObject) -> bool:
    shown = normal(post.get("title")) or normal(post.get("video_description"))
    return shown[:TITLE_LENGTH] == normal(job.text)[:TITLE_LENGTH]


def _listed(post: JsonObject) -> Published:
    return Published(text(post.get("id")), _address(post))


def _address(post: JsonObject) -> str:
    """Return the address of a post without what its query tells about whoever asked."""
    found = post.get("share_url")
    return re.sub(r"\?.*", "", found) if isinstance(found, str) else ""


# --- what becomes of it

CADENCE = ((6, 5.0), (14, 15.0), (24, 60.0))
"""Pauses by how often it was asked before (``tiktok.md`` 8.1)."""


def _pause(polls: int) -> float:
    return next((seconds for most, seconds in CADENCE if polls < most), 1800.0)


def _read_fact(job: Job, data: JsonObject) -> list[Fact]:
    """Return what the status says, for the log: once for each thing that it says."""
    said: Kept = {"publish_id": job.kept_text("publish_id"), **data}
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]
    return [Fact("post.read", f"{job.kept_text('publish_id')}:{digest}", said)]


def _status_error(job: Job, response: Response) -> Verdict | None:
    """Return what an error means that answers for a status; it says nothing of the post (``tiktok.md`` 8.4)."""
    problem = _error(job, response)
    if isinstance(problem, Failed) and problem.code in ("invalid_publish_id", UNOWNED):
        return Doubt("TikTok does not know this publish any more. Look at the account.", [problem.message])
    if isinstance(problem, Failed) and job.intent_at is not None:
        return in_doubt(job, f"The status of the post cannot be read: {problem.message}")
    return problem


def read_status(job: Job, response: Response) -> Verdict:
    if problem := _status_error(job, response):
        return problem
    data = {name: value for name, value in _data(response).items() if name in STATUS_FIELDS}
    facts = _read_fact(job, {name: value for name, value in data.items() if name not in PROGRESS})
    match text(data.get("status")):
        case "SEND_TO_USER_INBOX":
            return HandedOver(IN_INBOX, "inbox", facts=facts)
        case "PUBLISH_COMPLETE":
            ids = _ids(data)
            return Published(ids[0], step="address", facts=facts) if ids else PublishedUnnamed("locate", facts=facts)
        case "FAILED":
            return _failed(job, text(data.get("fail_reason")), facts)
    polls = job.kept_number("polls") + 1
    return Wait(_pause(polls), keep={"polls": polls}, facts=facts)


IN_INBOX = "It waits in the inbox of the account: its owner posts it in TikTok's app."


def ids_in_log(job: Job) -> Verdict | None:
    """An id of a post proves that it was public, whether or not it is so still (``tiktok.md`` 2.4)."""
    told = sorted(
        job.seen.get("tiktok_post_ids", ()),
        key=lambda row: (row.get("is_public") is not True, str(row.get("visibility_at")), str(row.get("post_id"))),
    )
    return Published(text(told[0].get("post_id")), step="address") if told else None


def _row_in_log(job: Job) -> JsonObject:
    return next(iter(job.seen.get("tiktok_posts", ())), {})


def status_in_log(job: Job) -> Verdict | None:
    """Of a publish that failed the status tells more; it is asked for then."""
    if found := ids_in_log(job):
        return found
    return PublishedUnnamed("locate") if text(_row_in_log(job).get("status")) == "PUBLISH_COMPLETE" else None


def inbox_in_log(job: Job) -> Verdict | None:
    """What waits in the inbox is not asked about: webhooks tell what its owner did with it (``tiktok.md`` 8.3)."""
    if text(_row_in_log(job).get("status")) == "FAILED" and not job.seen.get("tiktok_post_ids"):
        reason = text(_row_in_log(job).get("error_code")) or "unknown"
        return _with_facts(reported_verdict(RULES.errors, job, failed(reason)), ())
    return status_in_log(job)


def lost_in_log(job: Job) -> Verdict | None:
    """A webhook names a publish that no target of ours began: it is ours if it can be no other's (``tiktok.md`` 16)."""
    told = [text(row.get("publish_id")) for row in job.seen.get("tiktok_posts", ())]
    if len(told) != 1 or job.rivals:
        return None
    return Go("status", keep={"publish_id": told[0], "polls": 0}, facts=[_begun(job, told[0], "PULL_FROM_URL")])


STATUS_FIELDS = ("status", "fail_reason", "publicaly_available_post_id", "uploaded_bytes", "downloaded_bytes")
PROGRESS = ("uploaded_bytes", "downloaded_bytes")
UNOWNED = "token_not_authorized_for_specified_publish_id"


def _ids(data: JsonObject) -> list[str]:
    found = data.get("publicaly_available_post_id")
    return [id_ for id_ in map(text, found if isinstance(found, list) else ()) if id_]


def _failed(job: Job, reason: str, facts: Sequence[Fact]) -> Verdict:
    """``FAILED`` is final for a publish (``tiktok.md`` 8.4), so nothing of it is there."""
    pulled = _first(job) == "pull"
    anew = _begun_anew(job, f"TikTok could not publish it: {reason or 'no reason is given'}.", files=pulled)
    verdict = reported_verdict(RULES.errors, job, failed(reason or "unknown"), anew=anew)
    return _with_facts(verdict, facts)


def _with_facts(verdict: Verdict, facts: Sequence[Fact]) -> Verdict:
    match verdict:
        case Failed(code=code, message=message, retryable=retryable):
            return Failed(code, message, retryable, facts=facts)
        case Go(step=step, seconds=seconds, keep=keep, new_links=new_links):
            return Go(step, seconds, keep=keep, new_links=new_links, facts=facts)
        case Retry(code=code, message=message) | Hold(code=code, message=message):
            return Failed(code, message, retryable=True, facts=facts)
        case TokenRefused(code=code):
            message = (
                "The owner ended the connection before it was published. Connect the account again, and try again."
            )
            return Failed(code, message, retryable=True, facts=facts)
    return Failed("publish_failed", "TikTok could not publish it.", retryable=True, facts=facts)


def overdue_status(job: Job) -> Verdict:
    return Doubt("TikTok was still processing it after a day. Look at the account.", [job.kept_text("publish_id")])


def read_locate(job: Job, response: Response) -> Verdict:
    """Public posts get an id after moderation; private ones never do (``tiktok.md`` 8.1)."""
    if problem := _error(job, response):
        return problem
    data = {name: value for name, value in _data(response).items() if name in STATUS_FIELDS and name not in PROGRESS}
    if ids := _ids(data):
        return Published(ids[0], step="address", facts=_read_fact(job, data))
    polls = job.kept_number("polls") + 1
    return Wait(60.0 if polls < 10 else 600.0, keep={"polls": polls})


def overdue_locate(_: Job) -> Verdict:
    return Failed("not_public", "")


def ask_address(job: Job) -> Request:
    filters = {"filters": {"video_ids": [job.post_id]}}
    return _call(job, "/v2/video/query/", filters, fields="id,share_url")


def read_address(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    first = next(iter(objects(_data(response).get("videos"))), {})
    return Published(job.post_id, _address(first))


def _ends(*anew: str) -> Mapping[str, Step]:
    """Return the steps that watch a publish; ``anew`` are those with which one that failed begins anew."""
    return {
        "status": Step(
            *(TargetState.PROCESSING, Effect.READ, AGAIN, ask_status, read_status),
            ("address", "locate", "inbox", *anew),
            DAY,
            overdue_status,
            status_in_log,
        ),
        "inbox": Step(
            *(TargetState.AWAITING_PERSON, Effect.READ, AGAIN, ask_status, read_locate),
            ("address", "locate"),
            read_log=inbox_in_log,
        ),
        "locate": Step(
            *(TargetState.PUBLISHED_ID_UNKNOWN, Effect.READ, AGAIN, ask_status, read_locate),
            ("address",),
            DAY,
            overdue_locate,
            ids_in_log,
        ),
        "address": Step(TargetState.PUBLISHED, Effect.READ, AGAIN, ask_address, read_address),
    }


def _sent(anew: str) -> Mapping[str, Step]:
    """Return the steps of a file that is sent; ``anew`` is the one with which an upload that broke off begins anew."""
    return {
        "begin": Step(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_begin, read_begin, ("part", "last")),
        "part": Step(
            *(TargetState.UPLOADING, Effect.REPEATABLE, AGAIN, ask_part, read_part),
            ("part", "last", "status", "progress"),
            UPLOAD_SECONDS,
            overdue_part,
        ),
        "last": Step(
            *(TargetState.PUBLISHING, Effect.KEYED, AGAIN, ask_part, read_part),
            ("status", "progress"),
            UPLOAD_SECONDS,
            overdue_part,
        ),
        "progress": Step(
            *(TargetState.PROCESSING, Effect.READ, AGAIN, ask_status, read_progress),
            ("part", "last", "status", anew),
            DAY,
            overdue_status,
        ),
    }


def _pulled(anew: str) -> Mapping[str, Step]:
    """Return the steps of files that TikTok fetches; ``anew`` is the one with which a dead publish begins anew."""
    return {
        "pull": Step(TargetState.PUBLISHING, Effect.COMMIT, "lost", ask_pull, read_pull, ("status",)),
        "lost": Step(
            *(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_listing, read_lost),
            (anew, "status"),
            read_log=lost_in_log,
        ),
    }


def _machine(name: str, title: str, *parts: Mapping[str, Step], first: str) -> Machine:
    return Machine(name, title, {step: found for part in parts for step, found in part.items()}, first)


def _creator(*then: str) -> Mapping[str, Step]:
    return {"creator": Step(TargetState.PREPARING, Effect.READ, AGAIN, ask_creator, read_creator, then)}


DIRECT_VIDEO = (_creator("begin", "pull"), _sent("creator"), _pulled("creator"), _ends("creator"))
DIRECT_PHOTOS = (_creator("pull"), _pulled("creator"), _ends("creator"))

ENDED = "e.status IN ('FAILED', 'PUBLISH_COMPLETE', 'SEND_TO_USER_INBOX')"
"""Statuses of which a webhook tells before the next poll."""

TOLD = ("status", "inbox", "locate")

EVIDENCE = (
    Evidence("tiktok_posts", ("status", "error_code"), TOLD, "publish_id", "publish_id", ENDED, asks=True),
    Evidence("tiktok_post_ids", ("is_public", "visibility_at", "post_id"), TOLD, "publish_id", "publish_id"),
    Evidence("tiktok_posts", ("publish_id",), ("lost",), "publish_id", "publish_id", "e.source IS NULL", unheld=True),
)


def kind_of(media: Sequence[Media], options: Kept, link: Mapping[str, str]) -> str:  # noqa: ARG001
    return "video" if media and media[0].is_video else "photos"


def inquire(app: App, _: str, secrets: Mapping[str, str]) -> Steps[AccountFacts]:
    """Ask what the creator allows (``tiktok.md`` 5)."""
    headers = {"Authorization": f"Bearer {secrets['access_token']}"}
    url = app.url("api", "/v2/post/publish/creator_info/query/")
    return creator_facts(member(expected((yield Request("POST", url, json={}, headers=headers)), "asking"), "data"))


PLATFORM = PostingPlatform(
    machines={
        "video": _machine("video", "Video", *DIRECT_VIDEO, first="creator"),
        "photos": _machine("photos", "Photos", *DIRECT_PHOTOS, first="creator"),
        "inbox_video": _machine(
            *("inbox_video", "Video for the inbox", _sent("begin"), _pulled("pull"), _ends("begin", "pull")),
            first="begin",
        ),
        "inbox_photos": _machine(
            *("inbox_photos", "Photos for the inbox", _pulled("pull"), _ends("pull")), first="pull"
        ),
    },
    sample=Sample("video", "video", {"privacy_level": "PUBLIC_TO_EVERYONE", "music_usage_confirmed": True}),
    kind_of=kind_of,
    inquire=inquire,
    evidence=EVIDENCE,
)
