"""Publishing on a Facebook Page: ``meta.md`` 9.2 and 9.4.

Posts of the timeline are created unpublished, and become visible by a second call that names their id and may be
repeated. Where the platform does not take that call, the draft is deleted and the post is made directly, once. Reels
and stories become visible by a call that names their upload; a video by one that names nothing which we could ask for.
"""

import json
import re
from collections.abc import Mapping, Sequence

from ops.runtime.graph_api import VERSION
from ops.runtime.platform_protocol import FilePart, JsonObject, Request, Response, member, number, objects, text
from publish.platforms._meta_machines import (
    DAY,
    SETTLE,
    UPLOADS,
    Action,
    Commenting,
    actions,
    anew,
    commenting,
    delete_object,
    error_code,
    error_subcode,
    is_missing,
    next_cursor,
    page_of,
    permalink_step,
    poll,
    query,
    read_object,
    shown_post,
    unread,
    url,
)
from publish.platforms.facebook_posting import PLATFORM as RULES
from publish.platforms.facebook_posting import Feed, Reel, Video
from publish.posting.contract import (
    AGAIN,
    Effect,
    Evidence,
    Failed,
    Go,
    Job,
    JsonValue,
    Kept,
    Looks,
    Machine,
    Media,
    Permission,
    PostingPlatform,
    Published,
    PublishedUnnamed,
    Retry,
    Sample,
    Step,
    Unknown,
    Verdict,
)
from publish.posting.decision import DOUBT
from publish.posting.matching import next_page, normal, one_of, since_intent, unbound
from publish.posting.verdicts import error_verdict, in_doubt
from schema.states import TargetState

LISTING = Looks(3, 300)
"""A listing without the post counts when it was read three times over five minutes (``meta.md`` 9.6)."""

VIDEOS, STORIES = Looks(6, 1800), Looks(3, 600)

CONFIRM = Looks(3, 60)
CONFIRM_SECONDS = 600.0
"""How long the platform is asked whether a post is visible that it called published; after that its answer counts."""

DUPLICATE_SECONDS = 600.0
"""The platform refuses the text of the newest post for a while, also where that is an unpublished one of ours whose id
was lost (``meta.md`` 7.4, 506).
"""

UPLOAD = r"upload:[\w.=:-]+(\?sig=[\w.=%-]+)?"
"""An upload as the platform names it; it stands in an address."""

MOST_STUCK = 5
"""How often in a row an upload may make no progress."""

ALREADY_POSTED = 1366051

LOG = "webhook_event_log"

POST_FIELDS = "id,created_time,message,permalink_url,attachments{media_type,target{id},subattachments{target{id}}}"


def _error(job: Job, response: Response, *, commit: bool = False, anew: Verdict | None = None) -> Verdict | None:
    return error_verdict(RULES.errors, job, response, commit=commit, anew=anew)


def _unread(job: Job, response: Response) -> Verdict | None:
    return unread(RULES.errors, job, response)


def _since(job: Job) -> str:
    return str(int(since_intent(job).timestamp()))


def _authorization(job: Job, **more: str) -> dict[str, str]:
    return {"Authorization": f"OAuth {job.token}", **more}


# --- posts of the timeline


def ask_photo(job: Job) -> Request:
    """Upload the next photo without showing it, with its alternative text."""
    media = job.media[len(job.kept_list("photos"))]
    form = query(job, url=media.url, published="false")
    if media.alt_text:
        form["alt_text_custom"] = media.alt_text
    return Request("POST", url(job, f"{job.account_id}/photos"), form=form)


def read_photo(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no photo")
    photos: list[JsonValue] = [*job.kept_list("photos"), made]
    if len(photos) < len(job.media):
        return Go("photo", keep={"photos": photos})
    return Go("direct" if job.kept.get("direct") else "draft", keep={"photos": photos})


def _content(job: Job) -> dict[str, str]:
    options = RULES.kinds[job.kind].options.model_validate(job.options)
    form = query(job)
    if job.text:
        form["message"] = job.text
    if link := job.link.get("url"):
        form["link"] = link
    if isinstance(options, Feed) and options.place_id:
        form["place"] = options.place_id
    for number_, photo in enumerate(job.kept_list("photos")):
        form[f"attached_media[{number_}]"] = json.dumps({"media_fbid": photo})
    return form


def ask_draft(job: Job) -> Request:
    return Request("POST", url(job, f"{job.account_id}/feed"), form=_content(job) | {"published": "false"})


def read_draft(job: Job, response: Response) -> Verdict:
    """A draft whose id was lost is seen by nobody; another is made (``meta.md`` 9.4), which needs photos of its own."""
    if error_subcode(response) == ALREADY_POSTED and job.media:
        return anew(job, "photo", {"photos": []}, "The platform says again and again that these photos were posted.")
    if error_code(response) == 506:
        return Retry("duplicate", "The platform says that the same was posted just before.", DUPLICATE_SECONDS)
    if problem := _error(job, response):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no post")
    return Go("publish", keep={"draft": made})


def ask_publish(job: Job) -> Request:
    return Request("POST", url(job, job.kept_text("draft")), form=query(job, is_published="true"))


def read_publish(job: Job, response: Response) -> Verdict:
    """That the parameter publishes is unproven (``meta.md`` 9.4): where it is refused, the post is made directly."""
    if error_code(response) == 100 and error_subcode(response) is None and DOUBT not in job.kept:
        return Go("discard", keep={"direct": True})
    if problem := _error(job, response, commit=True):
        return problem
    if response.content.get("success") is not True:
        return Unknown("the platform did not say that it was published")
    return Go("confirm", 1.0)


def ask_post(job: Job) -> Request:
    fields = "is_published,permalink_url,created_time"
    return Request("GET", url(job, job.kept_text("draft")), query(job, fields=fields))


def read_confirm(job: Job, response: Response) -> Verdict:
    """The platform said that it is published. That the call does so is unproven (``meta.md`` 9.4).

    Where it shows the post as unpublished for a minute, the draft is deleted and the post made directly.
    """
    draft = job.kept_text("draft")
    if problem := _error(job, response):
        return Published(draft, step="permalink") if isinstance(problem, Failed) else problem
    if response.content.get("is_published") is not False:
        return Published(draft, text(response.content.get("permalink_url")))
    return CONFIRM.not_found(job, Go("discard", keep={"direct": True}))


def overdue_confirm(job: Job) -> Verdict:
    return Published(job.kept_text("draft"), step="permalink")


def read_look(job: Job, response: Response) -> Verdict:
    """What the post says after a call to publish it whose outcome is unknown."""
    if error_code(response) == 100:
        return SETTLE.not_found(job, Go("search"))
    if problem := _unread(job, response):
        return problem
    if response.content.get("is_published") is True:
        return Published(job.kept_text("draft"), text(response.content.get("permalink_url")))
    return SETTLE.not_found(job, Go("publish"))


def ask_discard(job: Job) -> Request:
    return Request("DELETE", url(job, job.kept_text("draft")), query(job))


def read_discard(job: Job, response: Response) -> Verdict:
    """Only once the draft is gone can it not become visible beside the post that takes its place."""
    if is_missing(response):
        return _begun_directly(job)
    problem = _error(job, response)
    if isinstance(problem, Failed):
        message = "The platform neither published the draft nor let it be deleted. Look there."
        return in_doubt(job, message, job.kept_text("draft"))
    return problem or _begun_directly(job)


def _begun_directly(job: Job) -> Verdict:
    return Go("photo" if job.media else "direct", keep={"draft": "", "photos": []})


def ask_direct(job: Job) -> Request:
    return Request("POST", url(job, f"{job.account_id}/feed"), form=_content(job))


def read_direct(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, commit=True):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no post")
    return Published(made, step="permalink")


def ask_search(job: Job) -> Request:
    """List published posts: ``/feed`` is ranked and omits some (``meta.md`` 9.6)."""
    fields = query(job, fields=POST_FIELDS, since=_since(job), limit="100", **page_of(job))
    return Request("GET", url(job, f"{job.account_id}/published_posts"), fields)


def _targets(post: JsonObject) -> set[str]:
    """Return the ids of what a listed post shows."""
    shown = objects(member(post, "attachments").get("data"))
    shown += [below for item in shown for below in objects(member(item, "subattachments").get("data"))]
    return {text(member(item, "target").get("id")) for item in shown}


def events_in_log(job: Job) -> list[JsonObject]:
    """Return what ``feed`` told of things that the page itself added (``meta.md`` 3.2)."""
    values = [value for row in job.seen.get(LOG, ()) if isinstance(value := row.get("payload_json"), dict)]
    return [
        value
        for value in values
        if value.get("verb") == "add" and text(member(value, "from").get("id")) == job.account_id
    ]


POSTS = ("status", "post", "photo", "link", "share", "video", "album")
"""``item`` of what a page posts (``meta.md`` 3.2)."""


def post_in_log(job: Job) -> Verdict | None:
    """The webhook names the post, its photo and its text (``meta.md`` 9.6); of a draft the post itself tells more."""
    if job.kept_text("draft"):
        return None
    photos, same_text = set(job.kept_list("photos")), normal(job.text)

    def same(value: JsonObject) -> bool:
        if photos:
            return text(value.get("photo_id")) in photos
        return not value.get("photo_id") and normal(value.get("message")) == same_text

    told = [value for value in events_in_log(job) if value.get("item") in POSTS]
    found = {text(value.get("post_id")) for value in unbound(job, told, same, created="created_time", id_="post_id")}
    return Published(found.pop(), step="permalink") if len(found) == 1 else None


def read_search(job: Job, response: Response) -> Verdict:
    """By the photos, which are this target's alone, else by the text (``meta.md`` 9.6)."""
    if problem := _unread(job, response):
        return problem
    draft, photos = job.kept_text("draft"), set(job.kept_list("photos"))
    listed = objects(response.content.get("data"))
    exact = [post for post in listed if text(post.get("id")) == draft or photos & _targets(post)]
    if draft or photos:
        found = exact
    else:
        same_text = normal(job.text)
        found = unbound(job, listed, lambda post: normal(post.get("message")) == same_text, created="created_time")
    message = "No post like this is listed. Look there, and say whether it is there."
    doubt = in_doubt(job, message, "the list of posts was read three times over five minutes")
    otherwise: Verdict = Go("direct") if job.kept.get("direct") else doubt
    more = next_page(job, listed, next_cursor(response), created="created_time")
    return one_of(job, found, _of_listing, LISTING, otherwise, shown=_shown, more=more)


def _of_listing(post: JsonObject) -> Published:
    return Published(text(post.get("id")), text(post.get("permalink_url")))


def _shown(post: JsonObject) -> str:
    return shown_post(post, "permalink_url", "created_time")


def ask_permalink(job: Job) -> Request:
    return Request("GET", url(job, job.post_id), query(job, fields="permalink_url"))


PERMALINK = permalink_step(RULES.errors, ask_permalink)


def _timeline(name: str, title: str, *, photos: bool) -> Machine:
    first = "photo" if photos else "draft"
    steps = {
        "draft": Step(
            *(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_draft, read_draft),
            ("publish", "photo") if photos else ("publish",),
        ),
        "publish": Step(
            *(TargetState.PUBLISHING, Effect.KEYED, "look", ask_publish, read_publish),
            ("confirm", "discard"),
        ),
        "confirm": Step(
            *(TargetState.PUBLISHING, Effect.READ, AGAIN, ask_post, read_confirm),
            ("permalink", "discard"),
            CONFIRM_SECONDS,
            overdue_confirm,
        ),
        "look": Step(
            *(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_post, read_look),
            ("publish", "search"),
        ),
        "discard": Step(
            *(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_discard, read_discard),
            ("photo",) if photos else ("direct",),
        ),
        "direct": Step(
            *(TargetState.PUBLISHING, Effect.COMMIT, "search", ask_direct, read_direct),
            ("permalink",),
        ),
        "search": Step(
            *(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_search, read_search),
            ("direct", "permalink"),
            read_log=post_in_log,
        ),
        "permalink": PERMALINK,
    }
    if photos:
        steps["photo"] = Step(
            *(TargetState.UPLOADING, Effect.REPEATABLE, AGAIN, ask_photo, read_photo),
            ("photo", "draft", "direct"),
        )
    return Machine(name, title, steps, first)


# --- uploads by bytes, which go on where the platform says


def _rest(job: Job) -> FilePart:
    media, offset = job.media[0], job.kept_number("offset")
    return FilePart(media.id, offset, media.size - offset, media.content_type, media.file_name or "file")


def _moved(job: Job, offset: float | None) -> Verdict:
    """Go on with the upload where the platform has got to."""
    if offset is None or offset > job.media[0].size:
        return Unknown("the platform did not say how much of the file it has")
    stuck = job.kept_number("stuck") + 1 if int(offset) == job.kept_number("offset") else 0
    if stuck >= MOST_STUCK:
        return Failed("upload_failed", "The file does not get through to the platform.", retryable=True)
    return Go("upload", keep={"offset": int(offset), "stuck": stuck})


def _stopped(response: Response) -> bool:
    """Whether the upload host says that bytes are missing, or were others than these (``meta.md`` 9.2)."""
    content = response.content if isinstance(response.content, dict) else {}
    kind = text(member(content, "debug_info").get("type"))
    return kind in ("OffsetInvalidError", "PartialRequestError")


_BEGUN = {"offset": 0, "stuck": 0}


def _again(job: Job, step: str) -> Verdict:
    return anew(job, step, _BEGUN, "The platform lost the upload again and again.")


# --- videos


def ask_session(job: Job) -> Request:
    media = job.media[0]
    more = {"file_name": media.file_name or "video.mp4", "file_length": str(media.size), "file_type": "video/mp4"}
    return Request("POST", url(job, f"{job.app.client_id}/uploads"), form=query(job, **more))


def read_session(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    session = response.content.get("id")
    if not isinstance(session, str) or not re.fullmatch(UPLOAD, session):
        return Unknown("the platform named no upload")
    return Go("upload", seal={"session": session}, keep=_BEGUN)


def _session(job: Job) -> str:
    return url(job, job.sealed["session"])


def ask_bytes(job: Job) -> Request:
    headers = _authorization(job, file_offset=str(job.kept_number("offset")))
    return Request("POST", _session(job), headers=headers, content=_rest(job))


def read_bytes(job: Job, response: Response) -> Verdict:
    if _stopped(response):
        return Go("offset", 1.0)
    if problem := _error(job, response, anew=_again(job, "session")):
        return problem
    handle = response.content.get("h")
    if not isinstance(handle, str) or not handle:
        return Unknown("the platform gave nothing to name the file with")
    return Go("publish", seal={"handle": handle})


def ask_session_offset(job: Job) -> Request:
    return Request("GET", _session(job), headers=_authorization(job))


def read_session_offset(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, anew=_again(job, "session")):
        return problem
    return _moved(job, number(response.content.get("file_offset")))


def ask_video(job: Job) -> Request:
    options = RULES.kinds[job.kind].options.model_validate(job.options)
    form = query(job, fbuploader_video_file_chunk=job.sealed["handle"])
    if job.text:
        form["description"] = job.text
    if isinstance(options, Video) and options.title:
        form["title"] = options.title
    if isinstance(options, Video) and options.place_id:
        form["place"] = options.place_id
    return Request("POST", url(job, f"{job.account_id}/videos"), form=form)


def read_video(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, commit=True):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no video")
    return Go("status", 5.0, keep={"video": made, "polls": 0})


def ask_videos(job: Job) -> Request:
    fields = "id,description,created_time,permalink_url"
    return Request("GET", url(job, f"{job.account_id}/videos"), query(job, fields=fields, limit="25", **page_of(job)))


def read_videos(job: Job, response: Response) -> Verdict:
    """The answer that named the video was lost: only the list of videos can tell."""
    if problem := _unread(job, response):
        return problem
    same_text = normal(job.text)
    listed = objects(response.content.get("data"))
    found = unbound(job, listed, lambda video: normal(video.get("description")) == same_text, created="created_time")
    if len(found) == 1:
        return Go("status", keep={"video": text(found[0].get("id")), "polls": 0})
    message = "No video like this is listed. Look there, and say whether it is there."
    doubt = in_doubt(job, message, "the list of videos was read several times over half an hour")
    more = next_page(job, listed, next_cursor(response), created="created_time")
    return one_of(job, found, _of_listing, VIDEOS, doubt, shown=_shown, more=more)


# --- reels and stories


def _edge(job: Job) -> str:
    return f"{job.account_id}/{'video_reels' if job.kind == 'reel' else 'video_stories'}"


def ask_start(job: Job) -> Request:
    return Request("POST", url(job, _edge(job)), form=query(job, upload_phase="start"))


def read_start(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    if not (made := text(response.content.get("video_id"))):
        return Unknown("the platform named no video")
    return Go("upload", keep={"video": made, **_BEGUN})


def ask_upload(job: Job) -> Request:
    """The documented address, and not the one that the platform names: that one may lead anywhere."""
    path = f"/video-upload{VERSION}/{job.kept_text('video')}"
    headers = _authorization(job, offset=str(job.kept_number("offset")), file_size=str(job.media[0].size))
    return Request("POST", job.app.url(UPLOADS, path), headers=headers, content=_rest(job))


def read_upload(job: Job, response: Response) -> Verdict:
    if _stopped(response):
        return Go("offset", 1.0)
    if problem := _error(job, response, anew=_again(job, "start")):
        return problem
    if response.content.get("success") is not True:
        return Unknown("the platform did not say that it has the file")
    return Go("publish")


def ask_status(job: Job) -> Request:
    fields = "status,published,permalink_url,post_id"
    return Request("GET", url(job, job.kept_text("video")), query(job, fields=fields))


def read_offset(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, anew=_again(job, "start")):
        return problem
    # The spelling is the platform's (meta.md 9.2).
    return _moved(job, number(member(member(response.content, "status"), "uploading_phase").get("bytes_transfered")))


def ask_finish(job: Job) -> Request:
    form = query(job, upload_phase="finish", video_id=job.kept_text("video"), video_state="PUBLISHED")
    options = RULES.kinds[job.kind].options.model_validate(job.options)
    if isinstance(options, Reel):
        form |= {"description": job.text} if job.text else {}
        form |= {"title": options.title} if options.title else {}
    return Request("POST", url(job, _edge(job)), form=form)


def read_finish(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, commit=True):
        return problem
    if response.content.get("success") is not True:
        return Unknown("the platform did not say that it was published")
    return Go("status", 5.0, keep={"polls": 0})


DONE = ("complete", "completed", "published")


def _phase(response: Response, name: str) -> str:
    """Samples print ``complete`` where the table says ``completed`` (``meta.md`` 9.2)."""
    return text(member(member(response.content, "status"), name).get("status"))


def _video_state(job: Job, response: Response) -> Verdict | None:
    """Return what a video says of itself; None where it is neither published nor refused."""
    status = member(response.content, "status")
    if _phase(response, "publishing_phase") in DONE or response.content.get("published") is True:
        return _published_video(job, response)
    overall, processing = text(status.get("video_status")), member(status, "processing_phase")
    if overall in ("error", "upload_failed", "expired") or text(processing.get("status")) == "error":
        said = member(processing, "error").get("message") or overall
        return Failed("media_refused", f"The platform could not use the video: {str(said)[:200]}", retryable=True)
    return None


def _published_video(job: Job, response: Response) -> Verdict:
    """The id of a post is another than that of the video in it, and is not always given."""
    post, address = text(response.content.get("post_id")), text(response.content.get("permalink_url"))
    if address.startswith("/"):
        address = f"https://www.facebook.com{address}"
    if post:
        return Published(post, address, "" if address else "permalink")
    if job.kind == "story":
        return PublishedUnnamed("locate")
    return Published(job.kept_text("video"), address, "" if address else "permalink")


def read_status(job: Job, response: Response) -> Verdict:
    if problem := _unread(job, response):
        return problem
    return _video_state(job, response) or poll(job)


def overdue_status(job: Job) -> Verdict:
    message = "The platform was still processing it after a day, and may publish it yet. Look there."
    return in_doubt(job, message, job.kept_text("video"))


def read_look_reel(job: Job, response: Response) -> Verdict:
    """After a ``finish`` whose outcome is unknown: it is sent again for the same video once nothing came of it."""
    if problem := _unread(job, response):
        return problem
    if state := _video_state(job, response):
        return state
    if _phase(response, "processing_phase") == "in_progress":
        return poll(job)
    return SETTLE.not_found(job, Go("publish"))


def ask_begin_story(job: Job) -> Request:
    return ask_start(job) if job.media[0].is_video else ask_photo(job)


def read_begin_story(job: Job, response: Response) -> Verdict:
    if job.media[0].is_video:
        return read_start(job, response)
    found = read_photo(job, response)
    return Go("publish", keep=found.keep) if isinstance(found, Go) else found


def ask_story(job: Job) -> Request:
    if job.media[0].is_video:
        return ask_finish(job)
    [photo] = job.kept_list("photos")
    return Request("POST", url(job, f"{job.account_id}/photo_stories"), form=query(job, photo_id=photo))


def read_story(job: Job, response: Response) -> Verdict:
    if job.media[0].is_video:
        return read_finish(job, response)
    if problem := _error(job, response, commit=True):
        return problem
    if response.content.get("success") is not True:
        return Unknown("the platform did not say that it was published")
    post = text(response.content.get("post_id"))
    return Published(post, step="permalink") if post else PublishedUnnamed("locate")


def ask_stories(job: Job) -> Request:
    fields = "post_id,status,creation_time,media_type,media_id,url"
    return Request("GET", url(job, f"{job.account_id}/stories"), query(job, fields=fields, since=_since(job)))


def _story(job: Job, response: Response, otherwise: Verdict) -> Verdict:
    ours = {job.kept_text("video"), *job.kept_list("photos")} - {""}
    found = [story for story in objects(response.content.get("data")) if text(story.get("media_id")) in ours]
    return one_of(
        *(job, found, lambda story: Published(text(story.get("post_id")), text(story.get("url"))), STORIES, otherwise),
        shown=lambda story: text(story.get("url")),
    )


def read_look_story(job: Job, response: Response) -> Verdict:
    """By what was uploaded; what is not listed may be there all the same (``meta.md`` 9.6)."""
    if problem := _unread(job, response):
        return problem
    message = "No story with this file is listed. Look there, and say whether it is there."
    doubt = in_doubt(job, message, "the list of stories was read three times over ten minutes")
    return _story(job, response, doubt)


def read_locate_story(job: Job, response: Response) -> Verdict:
    if problem := _unread(job, response):
        return problem
    return _story(job, response, Failed("not_listed", ""))


_UPLOADING = (TargetState.UPLOADING, Effect.REPEATABLE, AGAIN)
_ASKED = (TargetState.UPLOADING, Effect.READ, AGAIN)

_STATUS = Step(
    *(TargetState.PUBLISHING, Effect.READ, AGAIN, ask_status, read_status), ("permalink",), DAY, overdue_status
)

VIDEO = Machine(
    "video",
    "Video",
    {
        "session": Step(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_session, read_session, ("upload",)),
        "upload": Step(*_UPLOADING, ask_bytes, read_bytes, ("offset", "publish", "session")),
        "offset": Step(*_ASKED, ask_session_offset, read_session_offset, ("upload", "session")),
        "publish": Step(TargetState.PUBLISHING, Effect.COMMIT, "search", ask_video, read_video, ("status",)),
        "status": _STATUS,
        "search": Step(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_videos, read_videos, ("status",)),
        "permalink": PERMALINK,
    },
    "session",
)

REEL = Machine(
    "reel",
    "Reel",
    {
        "start": Step(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_start, read_start, ("upload",)),
        "upload": Step(*_UPLOADING, ask_upload, read_upload, ("offset", "publish", "start")),
        "offset": Step(*_ASKED, ask_status, read_offset, ("upload", "start")),
        "publish": Step(TargetState.PUBLISHING, Effect.COMMIT, "look", ask_finish, read_finish, ("status",)),
        "status": _STATUS,
        "look": Step(
            *(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_status, read_look_reel),
            ("publish", "permalink"),
            DAY,
            overdue_status,
        ),
        "permalink": PERMALINK,
    },
    "start",
)

STORY = Machine(
    "story",
    "Story",
    {
        "start": Step(
            *(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_begin_story, read_begin_story),
            ("upload", "publish"),
        ),
        "upload": Step(*_UPLOADING, ask_upload, read_upload, ("offset", "publish", "start")),
        "offset": Step(*_ASKED, ask_status, read_offset, ("upload", "start")),
        "publish": Step(
            *(TargetState.PUBLISHING, Effect.COMMIT, "look", ask_story, read_story), ("status", "locate", "permalink")
        ),
        "status": Step(
            *(TargetState.PUBLISHING, Effect.READ, AGAIN, ask_status, read_status),
            ("locate", "permalink"),
            DAY,
            overdue_status,
        ),
        "look": Step(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_stories, read_look_story),
        "locate": Step(TargetState.PUBLISHED_ID_UNKNOWN, Effect.READ, AGAIN, ask_stories, read_locate_story),
        "permalink": PERMALINK,
    },
    "start",
)


# --- comments and moderation


def ask_comment(job: Job) -> Request:
    return Request("POST", url(job, f"{job.parent_id}/comments"), form=query(job, message=job.text))


def ask_comments(job: Job) -> Request:
    fields = query(
        job, fields="id,from{id},message,created_time", order="reverse_chronological", limit="50", **page_of(job)
    )
    return Request("GET", url(job, f"{job.parent_id}/comments"), fields | {"filter": "stream"})


def comments_in_log(job: Job) -> list[JsonObject]:
    """``parent_id`` of a comment is the post, or the comment that it answers (``meta.md`` 3.2)."""
    told = [value for value in events_in_log(job) if value.get("item") == "comment"]
    return [{**value, "id": value.get("comment_id")} for value in told if text(value.get("parent_id")) == job.parent_id]


COMMENTING = Commenting(
    ask=ask_comment,
    listing=ask_comments,
    own=lambda job, comment: text(member(comment, "from").get("id")) == job.account_id,
    text="message",
    created="created_time",
    address=ask_permalink,
    in_log=comments_in_log,
)


def _change(job: Job, **form: str) -> Request:
    return Request("POST", url(job, job.parent_id), form=query(job, **form))


ACTIONS = {
    "hide_comment": Action(
        "Hide a comment",
        lambda job: _change(job, is_hidden="true"),
        lambda job: read_object(job, "is_hidden"),
        lambda _, comment: comment.get("is_hidden") is True,
    ),
    "show_comment": Action(
        "Show a comment",
        lambda job: _change(job, is_hidden="false"),
        lambda job: read_object(job, "is_hidden"),
        lambda _, comment: comment.get("is_hidden") is False,
    ),
    "delete_comment": Action("Delete a comment", delete_object, lambda job: read_object(job, "id"), None),
    "delete_post": Action("Delete a post", delete_object, lambda job: read_object(job, "id"), None),
    "edit_post": Action(
        "Edit a post",
        lambda job: _change(job, message=job.text),
        lambda job: read_object(job, "message"),
        lambda job, post: normal(post.get("message")) == normal(job.text),
    ),
}


def kind_of(media: Sequence[Media], options: Kept, link: Mapping[str, str]) -> str:  # noqa: ARG001
    if len(media) > 1:
        return "multi_photo"
    if media:
        return "video" if media[0].is_video else "photo"
    return "link" if link.get("url") else "text"


MODERATION = Permission([["pages_manage_engagement"]])

FEED = "e.event_type = 'page.feed'"
"""Events of pages, which one callback may serve together with Instagram's (``meta.md`` 1.4, 3.2)."""

EVIDENCE = (
    Evidence(
        *(LOG, ("payload_json",), ("search",)),
        condition=FEED,
        kinds=("text", "link", "photo", "multi_photo"),
        provider="instagram",
    ),
    Evidence(
        *(LOG, ("payload_json",), ("look",)),
        condition=f"{FEED} AND e.payload_json->>'post_id' = t.kept->>'draft'",
        asks=True,
        kinds=("text", "link", "photo", "multi_photo"),
        provider="instagram",
    ),
    Evidence(
        *(LOG, ("payload_json",), ("look",)),
        condition=FEED,
        kinds=("comment", "comment_reply"),
        provider="instagram",
    ),
)

PLATFORM = PostingPlatform(
    machines={
        "text": _timeline("text", "Text", photos=False),
        "link": _timeline("link", "Link", photos=False),
        "photo": _timeline("photo", "Photo", photos=True),
        "multi_photo": _timeline("multi_photo", "Several photos", photos=True),
        "video": VIDEO,
        "reel": REEL,
        "story": STORY,
        "comment": commenting(RULES.errors, "comment", "Comment", COMMENTING),
        "comment_reply": commenting(RULES.errors, "comment_reply", "Answer to a comment", COMMENTING),
        **actions(RULES.errors, ACTIONS),
    },
    sample=Sample("text"),
    kind_of=kind_of,
    reply_kind="comment",
    evidence=EVIDENCE,
    post_id=r"[0-9]+(_[0-9]+)?",
    comment_id=r"[0-9]+(_[0-9]+)?",
    permissions=dict.fromkeys(
        ("comment", "comment_reply", "hide_comment", "show_comment", "delete_comment"), MODERATION
    ),
)
