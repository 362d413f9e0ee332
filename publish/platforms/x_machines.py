"""Publishing to X: ``x.md`` 4, 5 and 12.

X has no key by which it recognises a repeat. It refuses an exact repeat of a text without saying which post that is, so
the refusal is evidence and no answer. The post is looked for in the list of the account's posts: the ``media_key`` of a
file is known before the post is made and tells it for certain; a text is compared as people see it.
"""

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

from ops.runtime.platform_protocol import FilePart, JsonObject, Request, Response, member, number, objects, text
from publish.platforms import x_posting
from publish.platforms.x_posting import DUPLICATE, segments
from publish.platforms.x_posting import PLATFORM as RULES
from publish.platforms.x_text import urls
from publish.posting.contract import (
    AGAIN,
    Ask,
    Effect,
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
    Retry,
    Sample,
    Step,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.decision import DOUBT
from publish.posting.matching import folded, one_of, since_intent, unbound
from publish.posting.verdicts import error_verdict, in_doubt, unread_verdict
from schema.states import TargetState

MOST_UPLOADS = 3
"""How often a file is uploaded whose upload ends or fails, at most."""

PROCESSING_SECONDS = 3600.0
"""How long a file may be processed; no page names a time."""

POLL_SECONDS = 5.0
"""Where the answer does not say when to ask again."""

SETTLE = Looks(3, 120)
"""A list without the post counts when it was read three times over two minutes (``x.md`` 12)."""

DAY = timedelta(days=1)
"""How far back a post of the same text is looked for, when X says that there is one (``x.md`` 12)."""

PARENT_SECONDS = 30.0
"""How long a post that is answered may not be known yet everywhere."""

LISTED_FIELDS = "created_at,referenced_tweets,attachments,entities,note_tweet"

CATEGORIES = {"images": "tweet_image", "gif": "tweet_gif", "video": "tweet_video"}

LOST_MEDIA = "media ids are invalid"
"""How X names files whose time is over; nothing was posted then."""


def _call(job: Job, method: str, path: str, body: object = None, **query: str) -> Request:
    headers = {"Authorization": f"Bearer {job.token}"}
    return Request(method, job.app.url("api", path), query, json=body, headers=headers)


def _data(response: Response) -> JsonObject:
    return member(response.content, "data")


def _error(job: Job, response: Response, *, commit: bool = False) -> Verdict | None:
    return error_verdict(RULES.errors, job, response, commit=commit)


# --- files: each is begun, sent in pieces, ended, and watched until it is processed


def _file(job: Job) -> Media:
    """Return the file that is being uploaded: ids are kept in the order of the files."""
    return job.media[len(job.kept_list("media_ids")) - 1]


def _media_id(job: Job) -> str:
    return job.kept_list("media_ids")[-1]


def ask_initialize(job: Job) -> Request:
    media = job.media[len(job.kept_list("media_ids"))]
    body = {"media_type": media.content_type, "total_bytes": media.size, "media_category": CATEGORIES[job.kind]}
    return _call(job, "POST", "/2/media/upload/initialize", body)


def read_initialize(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    id_, key = text(_data(response).get("id")), text(_data(response).get("media_key"))
    if not id_ or not key:
        return Unknown("the platform named no upload")
    ids: list[JsonValue] = [*job.kept_list("media_ids"), id_]
    keys: list[JsonValue] = [*job.kept_list("media_keys"), key]
    return Go("append", keep={"media_ids": ids, "media_keys": keys, "segment": 0})


def ask_append(job: Job) -> Request:
    media, place = _file(job), job.kept_number("segment")
    first, last = segments(media.size)[place]
    part = FilePart(media.id, first, last - first + 1)
    return replace(
        _call(job, "POST", f"/2/media/upload/{_media_id(job)}/append"),
        form={"segment_index": str(place)},
        files={"media": part},
    )


def read_append(job: Job, response: Response) -> Verdict:
    if problem := _upload_error(job, response):
        return problem
    sent = job.kept_number("segment") + 1
    return Go("append" if sent < len(segments(_file(job).size)) else "finalize", keep={"segment": sent})


def ask_finalize(job: Job) -> Request:
    return _call(job, "POST", f"/2/media/upload/{_media_id(job)}/finalize")


def ask_status(job: Job) -> Request:
    return _call(job, "GET", "/2/media/upload", media_id=_media_id(job), command="STATUS")


def read_progress(job: Job, response: Response) -> Verdict:
    """Read what ends an upload, or what asks how far it is: no ``processing_info`` means that it is ready."""
    if problem := _upload_error(job, response):
        return problem
    info = _data(response).get("processing_info")
    if not isinstance(info, dict):
        return _uploaded(job)
    match text(info.get("state")):
        case "succeeded":
            return _uploaded(job)
        case "failed":
            return _uploaded_again(job, f"X could not process file {len(job.kept_list('media_ids'))}.")
    return Go("status", number(info.get("check_after_secs")) or POLL_SECONDS)


def read_status(job: Job, response: Response) -> Verdict:
    found = read_progress(job, response)
    return Wait(found.seconds) if isinstance(found, Go) and found.step == "status" else found


def overdue_status(job: Job) -> Verdict:
    return _uploaded_again(job, "X was still processing a file after an hour.")


def _upload_error(job: Job, response: Response) -> Verdict | None:
    """An upload that X does not know any more is begun anew: what nobody sees does no harm (``x.md`` 12)."""
    problem = _error(job, response)
    if isinstance(problem, Failed) and response.status in (400, 404):
        return _uploaded_again(job, problem.message)
    return problem


def _uploaded_again(job: Job, message: str) -> Verdict:
    again = job.kept_number("again") + 1
    if again >= MOST_UPLOADS:
        return Failed("media_refused", message, retryable=True)
    ids: list[JsonValue] = [*job.kept_list("media_ids")[:-1]]
    keys: list[JsonValue] = [*job.kept_list("media_keys")[:-1]]
    return Go("initialize", 5.0, keep={"media_ids": ids, "media_keys": keys, "again": again})


def _uploaded(job: Job) -> Verdict:
    described = _file(job).alt_text and not _file(job).is_video
    return Go("describe") if described else _after_file(job)


def _after_file(job: Job) -> Verdict:
    return Go("initialize" if len(job.kept_list("media_ids")) < len(job.media) else "publish")


def ask_describe(job: Job) -> Request:
    body = {"id": _media_id(job), "metadata": {"alt_text": {"text": _file(job).alt_text}}}
    return _call(job, "POST", "/2/media/metadata", body)


def read_describe(job: Job, response: Response) -> Verdict:
    return _upload_error(job, response) or _after_file(job)


# --- publishing


def ask_publish(job: Job) -> Request:
    return _call(job, "POST", "/2/tweets", _body(job))


def _body(job: Job) -> dict[str, object]:
    """Return the post (``x.md`` 4); no key is sent that it does not need."""
    options = RULES.kinds[job.kind].options.model_validate(job.options)
    body: dict[str, object] = {"text": job.text} if job.text else {}
    if job.parent_id:
        body["reply"] = {"in_reply_to_tweet_id": job.parent_id}
    if job.media:
        body["media"] = {"media_ids": job.kept_list("media_ids")}
    if isinstance(options, x_posting.Media) and options.tagged_user_ids:
        body["media"] = {"media_ids": job.kept_list("media_ids"), "tagged_user_ids": options.tagged_user_ids}
    if isinstance(options, x_posting.PollPost):
        body["poll"] = {"options": options.poll.options, "duration_minutes": options.poll.minutes}
    return body | (_shared(options) if isinstance(options, x_posting.Text) else {})


def _shared(options: x_posting.Text) -> dict[str, object]:
    chosen: Mapping[str, object] = {
        "reply_settings": options.reply_control,
        "made_with_ai": options.ai_generated,
        "paid_partnership": options.paid_partnership,
        "quote_tweet_id": options.quote_of,
        "community_id": options.community_id,
        "share_with_followers": options.share_with_followers,
    }
    return {name: value for name, value in chosen.items() if value}


def read_publish(job: Job, response: Response) -> Verdict:
    """Errors beside ``data`` are warnings; an answer without ``data`` tells nothing (``x.md`` 4)."""
    problem = _error(job, response, commit=True)
    if isinstance(problem, Unknown) and _is_duplicate(response):
        return Unknown(problem.reason, keep={"duplicate": True})
    if isinstance(problem, Failed):
        return _refused(job, response, problem)
    if problem is not None:
        return problem
    if not (made := text(_data(response).get("id"))):
        return Unknown("the platform named no post")
    return _published(job, made)


def _is_duplicate(response: Response) -> bool:
    said = RULES.errors.read(response)
    return said is not None and response.status == 403 and (said.code == "187" or DUPLICATE in said.text)


def _refused(job: Job, response: Response, problem: Failed) -> Verdict:
    said = RULES.errors.read(response)
    if response.status == 400 and said is not None and LOST_MEDIA in said.text + _details(response):
        if DOUBT in job.kept:
            return in_doubt(job, "Its files are gone, and an earlier request may have posted it. Look there.")
        return _uploaded_again(replace(job, kept={**job.kept, "media_ids": [], "media_keys": []}), problem.message)
    if job.parent_id and response.status in (400, 404):
        return Retry(problem.code, problem.message, PARENT_SECONDS)
    if job.parent_id and response.status == 403:
        message = "X does not let this account answer that post; what follows it in the thread is not posted."
        return Failed("reply_refused", message)
    return problem


def _details(response: Response) -> str:
    return " ".join(str(one.get("message") or "") for one in objects(response.content.get("errors"))).lower()


def _published(job: Job, post_id: str) -> Published:
    """The address is made and not read: each reading costs money (``x.md`` 8)."""
    return Published(post_id, f"https://x.com/{job.username or 'i/web'}/status/{post_id}")


# --- an unknown outcome


def ask_look(job: Job) -> Request:
    """List the account's posts since the intent, or of a day where X says that the same text is there already."""
    since = job.now - DAY if job.kept.get("duplicate") else since_intent(job)
    query = {
        "max_results": "100",
        "start_time": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "exclude": "retweets" if job.parent_id else "retweets,replies",
        "tweet.fields": LISTED_FIELDS,
    }
    query |= {"pagination_token": page} if (page := job.kept_text("page")) else {}
    return _call(job, "GET", f"/2/users/{job.account_id}/tweets", **query)


def read_look(job: Job, response: Response) -> Verdict:
    if problem := unread_verdict(RULES.errors, job, response):
        return problem
    listed = objects(response.content.get("data"))
    found = unbound(job, listed, lambda post: _is_ours(job, post), created="created_at")
    found = [post for post in found if _media_keys(post)] or found  # its files tell it for certain
    earlier = [*job.kept_list("earlier"), *(_shown(job, post) for post in listed if _is_ours(job, post))]
    if not found and (page := text(member(response.content, "meta").get("next_token"))):
        return Wait(1.0, "the list goes on", keep={"page": page, "earlier": [*earlier]})
    verdict = one_of(
        job,
        found,
        lambda post: _published(job, text(post.get("id"))),
        SETTLE,
        _not_there(job, earlier),
        shown=lambda post: _shown(job, post),
    )
    return replace(verdict, keep={**verdict.keep, "page": "", "earlier": []})


def _not_there(job: Job, earlier: Sequence[str]) -> Verdict:
    """A text that is not there may be sent once more, as X refuses an exact repeat by itself (``x.md`` 12)."""
    read = "the list of posts was read three times over two minutes"
    if job.kept.get("duplicate"):
        message = "X says that the same text is there already. Look there, and say whether it is this post."
        return in_doubt(job, message, *earlier, read)
    if job.kind == "text" and not job.kept.get("sent_again"):
        return Go("publish", keep={"sent_again": True})
    return in_doubt(job, "No post like this is listed. Look there, and say whether it is there.", read)


def _shown(job: Job, post: JsonObject) -> str:
    return f"{_published(job, text(post.get('id'))).url} of {text(post.get('created_at'))}"


def _media_keys(post: JsonObject) -> list[str]:
    keys = member(post, "attachments").get("media_keys")
    return sorted(map(str, keys)) if isinstance(keys, list) else []


def _is_ours(job: Job, post: JsonObject) -> bool:
    """Return whether a listed post has our files, or our text and place where the files are not known."""
    keys, ours = _media_keys(post), sorted(job.kept_list("media_keys"))
    if keys and (ours or not job.media):
        return keys == ours
    quoted, seen = job.options.get("quote_of") or "", _without_mentions(job, _compared(_written(post)))
    place = _referenced(post, "replied_to"), _referenced(post, "quoted")
    return place == (job.parent_id, quoted) and seen == _without_mentions(job, _compared(job.text))


def _referenced(post: JsonObject, kind: str) -> str:
    found = objects(post.get("referenced_tweets") or post.get("referenced_posts"))
    return next((text(one.get("id")) for one in found if one.get("type") == kind), "")


_SCHEME = re.compile(r"https?://", re.IGNORECASE)
_OWN_PAGE = re.compile(r"https?://(x|twitter)\.com/\w+/status/(\d+)(/(photo|video)/\d+)?")
_MENTIONS = re.compile(r"(@\w+\s+)+")


def _written(post: JsonObject) -> str:
    """Return a listed text as it was written: shortened addresses are undone, and those that X added are left out."""
    note = post.get("note_tweet") or post.get("note_post")
    source = note if isinstance(note, dict) and note.get("text") else post
    shown = html.unescape(str(source.get("text") or ""))
    for link in objects(member(source, "entities").get("urls")):
        written = str(link.get("expanded_url") or "")
        page = _OWN_PAGE.fullmatch(written)
        added = page is not None and (page[3] is not None or page[2] == _referenced(post, "quoted"))
        shown = shown.replace(str(link.get("url")), "" if added else written)
    return shown


def _compared(written: str) -> str:
    """Return a text as it is compared: X gives bare domains a protocol, and may write a host small."""
    found, at = "", 0
    for url in urls(written):
        found += written[at : url.start] + _address(written[url.start : url.end])
        at = url.end
    return folded(found + written[at:])


def _address(url: str) -> str:
    parts = urlsplit(url if _SCHEME.match(url) else f"http://{url}")
    return f"<{parts.netloc.lower()}{parts.path.rstrip('/')}?{parts.query}#{parts.fragment}>"


def _without_mentions(job: Job, shown: str) -> str:
    """An answer may begin with the names of those whom it answers, whoever wrote them there (``x.md`` 4.1)."""
    return _MENTIONS.sub("", shown, count=1) if job.parent_id and _MENTIONS.match(shown) else shown


# --- what is done to posts that are there


def ask_delete(job: Job) -> Request:
    return _call(job, "DELETE", f"/2/tweets/{job.parent_id}")


def ask_hide(job: Job) -> Request:
    return _call(job, "PUT", f"/2/tweets/{job.parent_id}/hidden", {"hidden": job.kind == "hide_comment"})


def _acting(wanted: Callable[[Job, JsonObject], bool]) -> Callable[[Job, Response], Verdict]:
    def read(job: Job, response: Response) -> Verdict:
        """What is gone after an unknown outcome was deleted by it."""
        if response.status == 404 and DOUBT in job.kept:
            return Published("")
        if problem := _error(job, response, commit=True):
            return problem
        return Published("") if wanted(job, _data(response)) else Unknown("the platform did not say that it was done")

    return read


def _action(name: str, title: str, ask: Ask, wanted: Callable[[Job, JsonObject], bool]) -> Machine:
    """Return the machine of what is repeated without harm (``x.md`` 12)."""
    steps = {"act": Step(TargetState.PUBLISHING, Effect.KEYED, AGAIN, ask, _acting(wanted))}
    return Machine(name, title, steps, "act")


# --- the tables

_POST: Mapping[str, Step] = {
    "publish": Step(TargetState.PUBLISHING, Effect.COMMIT, "look", ask_publish, read_publish),
    "look": Step(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_look, read_look, ("publish",)),
}

_THEN = ("initialize", "publish")

_VIDEO: Mapping[str, Step] = {
    "initialize": Step(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_initialize, read_initialize, ("append",)),
    "append": Step(
        TargetState.UPLOADING, Effect.REPEATABLE, AGAIN, ask_append, read_append, ("append", "finalize", "initialize")
    ),
    "finalize": Step(TargetState.UPLOADING, Effect.REPEATABLE, AGAIN, ask_finalize, read_progress, ("status", *_THEN)),
    "status": Step(
        TargetState.PROCESSING,
        Effect.READ,
        AGAIN,
        ask_status,
        read_status,
        _THEN,
        PROCESSING_SECONDS,
        overdue_status,
    ),
    "publish": replace(_POST["publish"], leads_to=("initialize",)),
    "look": replace(_POST["look"], leads_to=()),
}

_IMAGES: Mapping[str, Step] = {
    **_VIDEO,
    "finalize": replace(_VIDEO["finalize"], leads_to=("status", "describe", *_THEN)),
    "status": replace(_VIDEO["status"], leads_to=("describe", *_THEN)),
    "describe": Step(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_describe, read_describe, _THEN),
}
"""Images have a text that describes them, which videos have not."""


def kind_of(media: Sequence[Media], options: Kept, link: Mapping[str, str]) -> str:  # noqa: ARG001
    if not media:
        return "poll" if options.get("poll") else "text"
    if media[0].is_video:
        return "video"
    return "gif" if len(media) == 1 and media[0].content_type == "image/gif" else "images"


MODERATION = Permission([["tweet.read"], ["users.read"], ["tweet.moderate.write"]])
"""``x.md`` 4.2."""

PLATFORM = PostingPlatform(
    machines={
        "text": Machine("text", "Text", _POST, "publish", "look"),
        "poll": Machine("poll", "Poll", _POST, "publish", "look"),
        "images": Machine("images", "Images", _IMAGES, "initialize", "look"),
        "gif": Machine("gif", "Animated GIF", _IMAGES, "initialize", "look"),
        "video": Machine("video", "Video", _VIDEO, "initialize", "look"),
        "delete_post": _action("delete_post", "Delete a post", ask_delete, lambda _, data: data.get("deleted") is True),
        "hide_comment": _action("hide_comment", "Hide an answer", ask_hide, lambda _, data: data.get("hidden") is True),
        "show_comment": _action(
            "show_comment", "Show an answer", ask_hide, lambda _, data: data.get("hidden") is False
        ),
    },
    sample=Sample("text"),
    kind_of=kind_of,
    reply_kind="text",
    reply_with_files=lambda media: kind_of(media, {}, {}),
    permissions={"hide_comment": MODERATION, "show_comment": MODERATION},
)
