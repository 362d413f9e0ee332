"""Publishing to Mastodon: ``mastodon.md`` 4, 5 and 12.

A server that is known to be Mastodon recognises a repeat by the key that we send, for up to an hour. Other servers
speak the same language and may ignore the key: what is posted there is looked for during an hour, and sent again once.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from ops.runtime.platform_protocol import (
    FilePart,
    JsonObject,
    Request,
    Response,
    Steps,
    expected,
    member,
    objects,
    text,
)
from publish.oauth.contract import App
from publish.platforms.mastodon_posting import PLATFORM as RULES
from publish.platforms.mastodon_posting import Everywhere, PollPost, instance_facts
from publish.platforms.mastodon_posting import Media as MediaOptions
from publish.posting.contract import (
    AGAIN,
    Doubt,
    Effect,
    Failed,
    Go,
    Job,
    JsonValue,
    Kept,
    Looks,
    Machine,
    Media,
    PostingPlatform,
    Published,
    Sample,
    Step,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.decision import DOUBT
from publish.posting.matching import PAGE, next_page, normal, one_of, tagless, unbound
from publish.posting.verdicts import error_verdict, unread_verdict
from publish.preflight.contract import AccountFacts
from schema.states import TargetState

KEY_SECONDS = 55 * 60.0
"""How long a key is trusted: a server remembers it for up to an hour (``mastodon.md`` 5)."""

LOOKS = Looks(3, 60)
"""A post that no reading shows is not there after three of them (``mastodon.md`` 12)."""

SLOW = Looks(11, 3600)
"""The same where the server may not recognise a repeat, and may be slow to store the first: not before an hour."""

MOST_UPLOADS = 3
MOST_RESENDS = 2
MOST_RESENDS_WITHOUT_KEY = 1

PROCESSING_SECONDS = 900.0
"""How long a server may process a file before it is uploaded again."""


def _request(job: Job, method: str, path: str, query: Mapping[str, str] | None = None, **body: Any) -> Request:
    headers = {"Authorization": f"Bearer {job.token}", **body.pop("headers", {})}
    return Request(method, job.app.url("instance", path), query or {}, headers=headers, **body)


def _error(job: Job, response: Response, *, commit: bool = False, anew: Verdict | None = None) -> Verdict | None:
    return error_verdict(RULES.errors, job, response, commit=commit, anew=anew)


def ask_instance(job: Job) -> Request:
    return _request(job, "GET", "/api/v2/instance")


def read_instance(job: Job, response: Response) -> Verdict:
    """Only a server that says so is known to recognise a repeat (``mastodon.md`` 5, caveat f)."""
    if response.status >= 500 or response.status == 429:
        return _error(job, response) or Unknown("the server answered what it does not document")
    versions = member(response.content, "api_versions") if isinstance(response.content, dict) else {}
    known = isinstance(versions.get("mastodon"), int)
    return Go("upload" if job.media else _post(known=known), keep={"known": known})


def _post(*, known: bool) -> str:
    return "post" if known else "post_once"


# --- files


def ask_upload(job: Job) -> Request:
    place = len(job.kept_list("files"))
    media, options = job.media[place], RULES.kinds[job.kind].options.model_validate(job.options)
    form = {"description": media.alt_text} if media.alt_text else {}
    for focus in options.focus if isinstance(options, MediaOptions) else ():
        if focus.position == place + 1:
            form["focus"] = f"{focus.x:g},{focus.y:g}"
    part = FilePart(media.id, 0, media.size, media.content_type, media.file_name or "file")
    return _request(job, "POST", "/api/v2/media", form=form, files={"file": part})


def read_upload(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    made = text(response.content.get("id"))
    if not made:
        return Unknown("the server named no file")
    files: list[JsonValue] = [*job.kept_list("files"), made]
    return Go("upload" if len(files) < len(job.media) else "ready", keep={"files": files, "checked": 0})


def ask_ready(job: Job) -> Request:
    return _request(job, "GET", f"/api/v1/media/{job.kept_list('files')[job.kept_number('checked')]}")


def read_ready(job: Job, response: Response) -> Verdict:
    """206 while it is being processed; 404 once the server has thrown it away (``mastodon.md`` 4)."""
    if response.status == 206:
        polls = job.kept_number("polls") + 1
        return Wait(float(min(2**polls, 15)), keep={"polls": polls})
    if response.status in (404, 422):
        return _uploaded_again(job, "The server could not process a file.")
    if problem := _error(job, response):
        return problem
    checked = job.kept_number("checked") + 1
    known = bool(job.kept.get("known"))
    return Go("ready" if checked < len(job.media) else _post(known=known), keep={"checked": checked, "polls": 0})


def _uploaded_again(job: Job, message: str) -> Verdict:
    tried = job.kept_number("uploads") + 1
    if tried >= MOST_UPLOADS:
        return Failed("media_refused", message, retryable=True)
    return Go("upload", 5.0, keep={"files": [], "checked": 0, "polls": 0, "uploads": tried})


def overdue_ready(job: Job) -> Verdict:
    return _uploaded_again(job, "The server was still processing a file after a quarter of an hour.")


# --- the post


def _content(job: Job) -> dict[str, JsonValue]:
    options = RULES.kinds[job.kind].options.model_validate(job.options)
    found: dict[str, JsonValue] = {"status": job.text}
    if job.parent_id:
        found["in_reply_to_id"] = job.parent_id
    if files := job.kept_list("files"):
        found["media_ids"] = list[JsonValue](files)
    if isinstance(options, PollPost):
        poll = options.poll
        found["poll"] = {
            "options": list[JsonValue](poll.options),
            "expires_in": poll.seconds,
            "multiple": poll.multiple,
            "hide_totals": poll.hide_totals,
        }
    if isinstance(options, Everywhere):
        given = {
            "visibility": options.visibility,
            "spoiler_text": options.spoiler_text or None,
            "sensitive": options.sensitive or None,
            "language": options.language,
            "quote_approval_policy": options.quote_policy,
            "quoted_status_id": options.quote_of,
        }
        found |= {name: value for name, value in given.items() if value is not None}
    return found


def _key(job: Job) -> str:
    """Return the key of a post: the same for each repeat, and another once the server may have forgotten it."""
    return f"{job.id}.{job.attempt}.{job.kept_number('resends') if job.kept.get('new_key') else 0}"


def ask_post(job: Job) -> Request:
    return _request(job, "POST", "/api/v1/statuses", json=_content(job), headers={"Idempotency-Key": _key(job)})


def read_post(job: Job, response: Response) -> Verdict:
    """A repeat that is answered with 500 may be there nevertheless (``mastodon.md`` 5, caveat b): it is looked for."""
    if response.status >= 500 and DOUBT in job.kept:
        return Go("look", 5.0, keep={DOUBT: f"the server answered {response.status} to a repeat"})
    return _read_post(job, response)


def _read_post(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, commit=True):
        return problem
    made = text(response.content.get("id")) if isinstance(response.content, dict) else ""
    if not made:
        return Unknown("the server named no post")
    return _published(response.content)


def _published(post: JsonObject) -> Published:
    url = post.get("url") or post.get("uri")
    return Published(text(post.get("id")), url if isinstance(url, str) else "")


def overdue_post(job: Job) -> Verdict:
    """The key is not trusted any more: look first, where anything may have come of it."""
    return Go("look", keep={DOUBT: job.kept_text(DOUBT)}) if DOUBT in job.kept else Go("post")


LISTED = 40
"""Statuses in a page of a listing (``mastodon.md`` 5.2)."""


def ask_look(job: Job) -> Request:
    query = {"limit": str(LISTED), "exclude_reblogs": "true"}
    if page := job.kept_text(PAGE):
        query["max_id"] = page
    return _request(job, "GET", f"/api/v1/accounts/{job.account_id}/statuses", query)


def read_look(job: Job, response: Response) -> Verdict:
    if problem := unread_verdict(RULES.errors, job, response):
        return problem
    listed = objects(response.content)
    files = set(job.kept_list("files"))
    ours = [post for post in listed if files & _files(post)]
    found = ours or unbound(job, listed, lambda post: _same(job, post), created="created_at")
    message = "The server shows no such post, and it was sent more than once. Look there, and say whether it is there."
    again, evidence = _sent_again(job), "the account's own posts were read three times"
    if len(files) < len(job.media):  # it was never begun here: that no copy is there is for a person to say
        again, message = None, "The server shows no such post. Look there, and say whether it is there."
    doubt = Doubt(message, [job.kept_text(DOUBT), evidence])
    looks = LOOKS if job.kept.get("known") else SLOW
    # Reblogs are left out of a page after it was counted, so that a short one may not be the last.
    more = next_page(job, listed, text(listed[-1].get("id")) if listed else "", created="created_at")
    return one_of(job, found, _published, looks, again or doubt, shown=_shown, more=more)


def _files(post: JsonObject) -> set[str]:
    return {text(file.get("id")) for file in objects(post.get("media_attachments"))}


def _same(job: Job, post: JsonObject) -> bool:
    content = _content(job)
    poll = member(post, "poll")
    answers = [text(option.get("title")) for option in objects(poll.get("options"))]
    asked = content.get("poll")
    return (
        normal(tagless(post.get("content"))) == normal(job.text)
        and normal(post.get("spoiler_text")) == normal(content.get("spoiler_text", ""))
        and text(post.get("in_reply_to_id")) == job.parent_id
        and answers == (asked["options"] if isinstance(asked, dict) else [])
        and post.get("visibility") == content.get("visibility", post.get("visibility"))
        and len(objects(post.get("media_attachments"))) == len(job.media)
    )


def _shown(post: JsonObject) -> str:
    return f"{text(post.get('url'))} of {text(post.get('created_at'))}"


def _sent_again(job: Job) -> Verdict | None:
    """It is not there: send it once more, with the same key while the server remembers it (``mastodon.md`` 12)."""
    resends, known = job.kept_number("resends") + 1, bool(job.kept.get("known"))
    if resends > (MOST_RESENDS if known else MOST_RESENDS_WITHOUT_KEY):
        return None
    old = job.intent_at is None or job.now - job.intent_at > timedelta(seconds=KEY_SECONDS)
    return Go(_post(known=known), keep={"resends": resends, "new_key": old or bool(job.kept.get("new_key"))})


_POST: Mapping[str, Step] = {
    "post": Step(
        TargetState.PUBLISHING,
        Effect.KEYED,
        AGAIN,
        ask_post,
        read_post,
        ("look", "post"),
        KEY_SECONDS,
        overdue_post,
    ),
    "post_once": Step(TargetState.PUBLISHING, Effect.COMMIT, "look", ask_post, _read_post),
    "look": Step(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_look, read_look, ("post", "post_once")),
}

_FILES: Mapping[str, Step] = {
    "upload": Step(TargetState.UPLOADING, Effect.REPEATABLE, AGAIN, ask_upload, read_upload, ("upload", "ready")),
    "ready": Step(
        TargetState.PROCESSING,
        Effect.READ,
        AGAIN,
        ask_ready,
        read_ready,
        ("ready", "upload", "post", "post_once"),
        PROCESSING_SECONDS,
        overdue_ready,
    ),
}


def _machine(name: str, title: str, *, files: bool) -> Machine:
    then = ("upload",) if files else ("post", "post_once")
    first = Step(TargetState.PREPARING, Effect.READ, AGAIN, ask_instance, read_instance, then)
    return Machine(name, title, {"instance": first, **(_FILES if files else {}), **_POST}, "instance", "look")


def kind_of(media: Sequence[Media], options: Kept, link: Mapping[str, str]) -> str:  # noqa: ARG001
    if not media:
        return "poll" if options.get("poll") else "text"
    if media[0].is_video:
        return "video"
    return "audio" if media[0].content_type.startswith("audio/") else "images"


def inquire(app: App, _: str, __: Mapping[str, str]) -> Steps[AccountFacts]:
    """Ask what the instance allows (``mastodon.md`` 1)."""
    return instance_facts(expected((yield Request("GET", app.url("instance", "/api/v2/instance"))), "asking"))


PLATFORM = PostingPlatform(
    machines={
        "text": _machine("text", "Text", files=False),
        "poll": _machine("poll", "Poll", files=False),
        "images": _machine("images", "Images", files=True),
        "video": _machine("video", "Video", files=True),
        "audio": _machine("audio", "Audio", files=True),
    },
    sample=Sample("images", "image"),
    kind_of=kind_of,
    inquire=inquire,
    reply_kind="text",
    reply_with_files=lambda media: kind_of(media, {}, {}),
)
