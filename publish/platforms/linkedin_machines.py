"""Publishing to LinkedIn: ``linkedin.md`` 4, 5 and 11.

There is no key by which a repeat is recognised, and the refusal of one may name a post that never was. Posts of an
organization can be listed, and one with files is told by the URN of a file, which is uploaded for this post alone.
What a member has posted can be read by nobody but LinkedIn, so there a person decides.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ops.runtime.platform_protocol import FilePart, JsonObject, Request, Response, member, objects, text
from publish.platforms import linkedin_posting
from publish.platforms._linkedin import is_organization, key, urn_of, versioned
from publish.platforms.linkedin_posting import PLATFORM as RULES
from publish.platforms.linkedin_posting import Everywhere, duplicate_of, little_text, plain_text, upload_parts
from publish.posting.contract import (
    AGAIN,
    CARD_FILE,
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
from publish.posting.matching import PAGE, folded, next_page, one_of, unbound
from publish.posting.verdicts import error_verdict, in_doubt, unread_verdict
from publish.preflight.error_catalogue import ErrorClass, classify
from schema.states import TargetState

MOST_UPLOADS = 3
"""So often a file is uploaded whose address ended or whose processing failed."""

POLL_SECONDS, WAITING_SECONDS, PROCESSING_SECONDS = 10.0, 120.0, 1800.0
"""Pauses; how long a file may count as not uploaded; how long it may be processed. No page names a time."""

UNREADABLE_SECONDS = {"image": 15.0, "document": 60.0, "video": 120.0}
"""How long a file is left alone whose state must not be read, before it is posted anyway (``linkedin.md`` 5)."""

LISTING = Looks(3, 300)
"""A list without the post counts when it was read three times over five minutes (``linkedin.md`` 11)."""

SHOWN = Looks(3, 60)
"""A change that is not shown counts as ignored then (``linkedin.md`` 4.3)."""

VANISH_SECONDS = 300.0
"""So long a post that was accepted may not be found yet."""

PARENT_SECONDS = 30.0
"""How long a post that is commented on may not be found yet everywhere."""

COLLECTIONS = {"document": "documents", "video": "videos"}
"""Where files are uploaded, by kind of post; all others hold images."""

ACTIVITY = "https://www.linkedin.com/in/me/recent-activity/all/"
"""Where a member sees their own posts, whoever they are."""


def _call(job: Job, method: str, path: str, body: object = None, *, restli: str = "") -> Request:
    return Request(method, job.app.url("api", path), json=body, headers=versioned(job.token, restli))


def _is_organization(job: Job) -> bool:
    return is_organization(job.profile)


def _author(job: Job) -> str:
    return urn_of(job.profile.get("owner"), job.account_id)


def _profile(job: Job) -> str:
    return f"https://www.linkedin.com/company/{job.account_id}/" if _is_organization(job) else ACTIVITY


ROLE_LOST = (
    "LinkedIn does not allow it: the person who connected this organization is no longer administrator or content"
    " administrator of its page, or a permission of the connection is missing. Have an administrator of the page give"
    " the role back, or let somebody who has it connect the organization again; then post it again."
)


def _error(job: Job, response: Response, *, commit: bool = False, anew: Verdict | None = None) -> Verdict | None:
    """Return what an error means. To an organization 403 is said where the role is lost (``linkedin.md`` 1.2)."""
    found = error_verdict(RULES.errors, job, response, commit=commit, anew=anew)
    if response.status == 403 and isinstance(found, Failed) and _is_organization(job):
        return replace(found, message=ROLE_LOST)
    return found


# --- files: each is begun, sent in the parts that LinkedIn names, ended where it is a video, and watched


def _collection(job: Job) -> str:
    return COLLECTIONS.get(job.kind, "images")


def _asset(job: Job) -> str:
    return _collection(job).removesuffix("s")


def _files(job: Job) -> Sequence[Media]:
    """Return the files that are uploaded: those of the post, or else the picture of the shared page."""
    card = job.others.get(job.link.get(CARD_FILE, "")) if _has_card(job) and not job.kept.get("without_card") else None
    return job.media or ([card] if card is not None else [])


def _file(job: Job) -> Media:
    """Return the file that is being uploaded: URNs are kept in the order of the files."""
    return _files(job)[len(job.kept_list("urns")) - 1]


def ask_begin(job: Job) -> Request:
    command: dict[str, object] = {"owner": _author(job)}
    if job.kind == "video":
        size = job.media[len(job.kept_list("urns"))].size
        command |= {"fileSizeBytes": size, "uploadCaptions": False, "uploadThumbnail": False}
    path = f"/rest/{_collection(job)}?action=initializeUpload"
    return _call(job, "POST", path, {"initializeUploadRequest": command})


def read_begin(job: Job, response: Response) -> Verdict:
    """Keep the URN, and sealed the addresses with their first and last bytes."""
    if problem := _error(job, response):
        return problem
    value, media = member(response.content, "value"), _files(job)[len(job.kept_list("urns"))]
    urn, token = text(value.get(_asset(job))), value.get("uploadToken")
    if job.kind == "video":
        parts = upload_parts(value, media.size)
    else:
        parts = [(str(value.get("uploadUrl") or ""), 0, media.size - 1)]
    if not urn or not all(address for address, _, _ in parts):
        return Unknown("the platform named no upload")
    urns: list[JsonValue] = [*job.kept_list("urns"), urn]
    seal = {"upload": json.dumps(parts), "upload_token": token if isinstance(token, str) else ""}
    return Go("send", keep={"urns": urns, "etags": [], "sent": 0, "quoted": False}, seal=seal)


def _parts(job: Job) -> list[tuple[str, int, int]]:
    return [(address, first, last) for address, first, last in json.loads(job.sealed["upload"])]


def ask_send(job: Job) -> Request:
    """Parts of a video are sent without the token: their address holds what is needed (``linkedin.md`` 5)."""
    media, (address, first, last) = _file(job), _parts(job)[job.kept_number("sent")]
    video = job.kind == "video"
    kind = "application/octet-stream" if video else media.content_type
    headers = {"Content-Type": kind} | ({} if video else {"Authorization": f"Bearer {job.token}"})
    return Request("PUT", address, headers=headers, content=FilePart(media.id, first, last - first + 1, kind))


def read_send(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, anew=_uploaded_again(job, "The address for the upload was over.")):
        return problem
    sent = job.kept_number("sent") + 1
    if job.kind != "video":
        return _after_file(job)
    if not (tag := response.headers.get("etag", "")):
        return Unknown("the platform named no part")
    etags: list[JsonValue] = [*job.kept_list("etags"), tag]
    return Go("send" if sent < len(_parts(job)) else "finish", keep={"etags": etags, "sent": sent})


def ask_finish(job: Job) -> Request:
    """Whether an ETag is sent with its quotes is not known: it is tried without, and then with (``linkedin.md`` 5)."""
    tags = job.kept_list("etags")
    shown = tags if job.kept.get("quoted") else [tag.strip('"') for tag in tags]
    command = {
        "video": job.kept_list("urns")[-1],
        "uploadToken": job.sealed.get("upload_token", ""),
        "uploadedPartIds": shown,
    }
    return _call(job, "POST", "/rest/videos?action=finalizeUpload", {"finalizeUploadRequest": command})


def read_finish(job: Job, response: Response) -> Verdict:
    problem = _error(job, response)
    if isinstance(problem, Failed) and response.status in (400, 422):
        if not job.kept.get("quoted"):
            return Go("finish", keep={"quoted": True})
        return _uploaded_again(job, problem.message)
    return problem or _after_file(job)


def _after_file(job: Job) -> Verdict:
    return Go("begin" if len(job.kept_list("urns")) < len(_files(job)) else "status", keep={"ready": 0})


def _uploaded_again(job: Job, message: str, place: int = -1) -> Verdict:
    """Upload again from a file on; what was uploaded before it is as good as it was."""
    again = job.kept_number("again") + 1
    if again >= MOST_UPLOADS:
        return Failed("media_refused", message, retryable=True)
    urns: list[JsonValue] = [*job.kept_list("urns")[:place]]
    return Go("begin", 5.0, keep={"urns": urns, "again": again})


def ask_status(job: Job) -> Request:
    return _call(job, "GET", f"/rest/{_collection(job)}/{key(job.kept_list('urns')[job.kept_number('ready')])}")


def read_status(job: Job, response: Response) -> Verdict:
    """Who may only post must not read this; the files are posted after a while, unverified (``linkedin.md`` 5)."""
    if response.status == 403:
        return Go("publish", UNREADABLE_SECONDS[_asset(job)], keep={"unverified": True})
    if problem := _error(job, response):
        return problem
    ready = job.kept_number("ready")
    message = f"LinkedIn could not process file {ready + 1}."
    match text(response.content.get("status")):
        case "AVAILABLE":
            return Go("status" if ready + 1 < len(_files(job)) else "publish", keep={"ready": ready + 1})
        case "PROCESSING_FAILED":
            return _unprocessed(job, message, ready)
        case "WAITING_UPLOAD" if job.seconds_here > WAITING_SECONDS:
            return _uploaded_again(job, message, ready)
    return Wait(POLL_SECONDS)


def _unprocessed(job: Job, message: str, place: int) -> Verdict:
    """The picture of a shared page is no reason not to share it."""
    if not job.media:
        return Go("publish", keep={"urns": [], "without_card": True})
    return _uploaded_again(job, message, place)


def overdue_status(job: Job) -> Verdict:
    return _uploaded_again(job, "LinkedIn was still processing a file after half an hour.", job.kept_number("ready"))


# --- publishing


def _options(job: Job) -> Everywhere:
    found = RULES.kinds[job.kind].options.model_validate(job.options)
    if not isinstance(found, Everywhere):
        raise TypeError(job.kind)
    return found


def ask_publish(job: Job) -> Request:
    options = _options(job)
    body: dict[str, object] = {
        "author": _author(job),
        "commentary": little_text(job.text),
        "visibility": options.visibility,
        "distribution": {
            "feedDistribution": options.feed,
            "targetEntities": [],
            "thirdPartyDistributionChannels": [],
        },
        "lifecycleState": "PUBLISHED",
        "isReshareDisabledByAuthor": options.reshare_disabled,
    }
    if content := _content(job, options):
        body["content"] = content
    if isinstance(options, linkedin_posting.Text) and options.reshare_of:
        body["reshareContext"] = {"parent": options.reshare_of}
    return _call(job, "POST", "/rest/posts", body)


def _content(job: Job, options: Everywhere) -> dict[str, object]:
    """Return ``content`` (``linkedin.md`` 4): its texts are plain, and only the commentary is little text."""
    urns = job.kept_list("urns")
    match options:
        case linkedin_posting.Article():
            description = job.link.get("description", "") if options.description is None else options.description
            article = {
                "source": job.link.get("url", ""),
                "title": options.title or job.link.get("title", ""),
                "description": description,
            }
            return {"article": article | ({"thumbnail": urns[0]} if urns else {})}
        case linkedin_posting.PollPost():
            return {"poll": _poll(options.poll)}
        case linkedin_posting.Document():
            return {"media": {"id": urns[0], "title": options.title}}
        case linkedin_posting.Media() if job.kind == "multi_image":
            return {"multiImage": {"images": [_shown(*pair) for pair in zip(urns, job.media, strict=True)]}}
        case linkedin_posting.Media():
            return {"media": _shown(urns[0], job.media[0]) | ({"title": options.title} if options.title else {})}
    return {}


def _poll(poll: linkedin_posting.PollContent) -> dict[str, object]:
    settings = {"duration": poll.duration, "voteSelectionType": "SINGLE_VOTE", "isVoterVisibleToAuthor": True}
    return {"question": poll.question, "options": [{"text": one} for one in poll.options], "settings": settings}


def _shown(urn: str, media: Media) -> dict[str, str]:
    return {"id": urn} | ({"altText": media.alt_text} if media.alt_text and media.is_image else {})


def read_publish(job: Job, response: Response) -> Verdict:
    said = classify(RULES.errors, response, commit=True, repeated=DOUBT in job.kept)
    if said is not None and said.error_class is ErrorClass.NOT_READY:
        return Go("status", POLL_SECONDS, keep={"ready": 0})
    problem = _error(job, response, commit=True)
    if isinstance(problem, Unknown) and response.status == 422:
        return Unknown(problem.reason, keep={"refused": True, "named": duplicate_of(response)})
    if problem is not None:
        return problem
    if not (urn := text(response.headers.get("x-restli-id"))):
        return Unknown("the platform named no post")
    return _accepted(job, urn)


def _accepted(job: Job, urn: str) -> Verdict:
    """A post with files may vanish when they cannot be processed, so it is read back (``linkedin.md`` 4)."""
    return Go("verify", keep={"urn": urn}) if _files(job) else _published(urn)


def _published(urn: str) -> Published:
    return Published(urn, _address(urn))


def _address(urn: str) -> str:
    return f"https://www.linkedin.com/feed/update/{urn}/"


def ask_verify(job: Job) -> Request:
    return _call(job, "GET", f"/rest/posts/{key(job.kept_text('urn'))}?viewContext=AUTHOR")


def read_verify(job: Job, response: Response) -> Verdict:
    """Whoever must not read it keeps LinkedIn's word for it: the post was accepted."""
    urn = job.kept_text("urn")
    if response.status == 404:
        lost = in_doubt(job, "LinkedIn accepted the post, and does not show it. Look there.", _address(urn))
        return Wait(VANISH_SECONDS / 5, "it is not found yet") if job.seconds_here < VANISH_SECONDS else lost
    problem = _error(job, response)
    if problem is not None:
        return _published(urn) if isinstance(problem, Failed) else problem
    match text(response.content.get("lifecycleState")):
        case "PUBLISHED":
            return _published(urn)
        case "PUBLISH_FAILED":
            return Failed("media_refused", VANISHED, retryable=True)
    return Wait(POLL_SECONDS)


VANISHED = (
    "LinkedIn accepted the post, could not process its files, and dropped it. Replace the files; the same text"
    " may be refused for up to 48 hours."
)


def overdue_verify(job: Job) -> Verdict:
    return _published(job.kept_text("urn"))


# --- an unknown outcome


LISTED = 50
"""Posts in a page of a listing."""


def _next_start(job: Job, response: Response) -> str:
    """Return where the next page of a listing begins, '' after the last one (``linkedin.md`` 6)."""
    links = objects(member(response.content, "paging").get("links"))
    if not any(link.get("rel") == "next" for link in links):
        return ""
    return str(int(job.kept_text(PAGE) or 0) + LISTED)


def ask_look(job: Job) -> Request:
    start = job.kept_text(PAGE) or "0"
    path = f"/rest/posts?q=author&author={key(_author(job))}&start={start}&count={LISTED}&sortBy=CREATED"
    return _call(job, "GET", path, restli="FINDER")


def read_look(job: Job, response: Response) -> Verdict:
    """The list is for organizations; of a member's posts nothing can be read, and nothing is sent again."""
    if response.status in (400, 403):
        message = "LinkedIn does not show these posts to applications. Look at the profile, and say what you see."
        return in_doubt(job, message, *_refusal(job), _profile(job))
    if problem := unread_verdict(RULES.errors, job, response):
        return problem
    listed = objects(response.content.get("elements"))
    found = unbound(job, listed, lambda post: _is_ours(job, post), created="createdAt")
    return one_of(
        *(job, found, lambda post: _accepted(job, text(post.get("id"))), LISTING, _not_there(job)),
        shown=_described,
        more=next_page(job, listed, _next_start(job, response), created="createdAt"),
    )


def _refusal(job: Job) -> list[str]:
    """Return what a refused repeat said. The post that it names may be one that never was (``linkedin.md`` 11)."""
    if not job.kept.get("refused"):
        return []
    named = job.kept_text("named")
    return [f"LinkedIn says that it repeats {_address(named)}, which need not exist" if named else "it is a repeat"]


def _not_there(job: Job) -> Verdict:
    """A post with files of its own that is not there was not made, so it may be sent once more."""
    whole = bool(_files(job)) and len(job.kept_list("urns")) == len(_files(job))
    if whole and not job.kept.get("refused") and not job.kept.get("sent_again"):
        return Go("publish", keep={"sent_again": True})
    message = "No post like this is listed. Look there, and say whether it is there."
    return in_doubt(job, message, *_refusal(job), "the list of posts was read three times over five minutes")


def _is_ours(job: Job, post: JsonObject) -> bool:
    """Return whether a listed post has our files; without files, whether it says and shares the same."""
    content = member(post, "content")
    files, urns = sorted(_files_of(content)), sorted(job.kept_list("urns"))
    if files and (urns or not _files(job)):
        return files == urns
    options = _options(job)
    question = options.poll.question if isinstance(options, linkedin_posting.PollPost) else ""
    reshared = options.reshare_of if isinstance(options, linkedin_posting.Text) else ""
    return (
        not urns
        and folded(plain_text(str(post.get("commentary") or ""))) == folded(job.text)
        and str(member(content, "article").get("source") or "") == (job.link.get("url", "") if _has_card(job) else "")
        and str(member(content, "poll").get("question") or "") == question
        and str(member(post, "reshareContext").get("parent") or "") == (reshared or "")
    )


def _has_card(job: Job) -> bool:
    return job.kind == "article"


def _files_of(content: JsonObject) -> list[str]:
    images = objects(member(content, "multiImage").get("images"))
    found = [member(content, "media").get("id"), member(content, "article").get("thumbnail")]
    return [text(urn) for urn in (*found, *(image.get("id") for image in images)) if text(urn)]


def _described(post: JsonObject) -> str:
    return f"{_address(text(post.get('id')))} of {text(post.get('createdAt'))}"


# --- comments, which are plain text


_COMMENT = re.compile(r"urn:li:comment:\((.+),([0-9]+)\)")


def _post_of(job: Job) -> str:
    """Return the URN of the post that is commented on, also where a comment of it is answered."""
    found = _COMMENT.fullmatch(job.parent_id)
    return found[1] if found is not None else job.parent_id


def _comments_path(urn: str) -> str:
    return f"/rest/socialActions/{key(urn)}/comments"


def ask_comment(job: Job) -> Request:
    body: dict[str, object] = {"actor": _author(job), "object": _post_of(job), "message": {"text": job.text}}
    if job.parent_id != _post_of(job):
        body["parentComment"] = job.parent_id
    return _call(job, "POST", _comments_path(_post_of(job)), body)


def read_comment(job: Job, response: Response) -> Verdict:
    problem = _error(job, response, commit=True)
    if isinstance(problem, Failed) and response.status == 404:
        return Retry(problem.code, problem.message, PARENT_SECONDS)
    if problem is not None:
        return problem
    if not (made := text(response.headers.get("x-restli-id"))):
        return Unknown("the platform named no comment")
    return Published(_comment_urn(job, made), _address(_post_of(job)))


def _comment_urn(job: Job, id_: str) -> str:
    return id_ if id_.startswith("urn:") else f"urn:li:comment:({_post_of(job)},{id_})"


def ask_comments(job: Job) -> Request:
    return _call(job, "GET", f"{_comments_path(job.parent_id)}?start={job.kept_text(PAGE) or 0}&count={LISTED}")


def read_comments(job: Job, response: Response) -> Verdict:
    if response.status in (400, 403):
        message = "This account must not read comments. Look at the post, and say whether the comment is there."
        return in_doubt(job, message, _address(_post_of(job)))
    if problem := unread_verdict(RULES.errors, job, response):
        return problem
    listed = [
        {**comment, "id": _comment_urn(job, text(comment.get("id"))), "at": member(comment, "created").get("time")}
        for comment in objects(response.content.get("elements"))
    ]

    def same(comment: JsonObject) -> bool:
        said = str(member(comment, "message").get("text") or "")
        return comment.get("actor") == _author(job) and folded(said) == folded(job.text)

    return one_of(
        job,
        unbound(job, listed, same, created="at"),
        lambda comment: Published(text(comment.get("id")), _address(_post_of(job))),
        LISTING,
        in_doubt(job, "No comment like this is listed. Look at the post.", _address(_post_of(job))),
        shown=lambda comment: f"{text(comment.get('id'))} of {text(comment.get('at'))}",
        more=next_page(job, [], _next_start(job, response), created="at"),  # their order is not documented
    )


_COMMENTING: Mapping[str, Step] = {
    "say": Step(TargetState.PUBLISHING, Effect.COMMIT, "look", ask_comment, read_comment),
    "look": Step(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_comments, read_comments),
}


# --- what is done to posts and comments that are there


def ask_delete_post(job: Job) -> Request:
    return _call(job, "DELETE", f"/rest/posts/{key(job.parent_id)}", restli="DELETE")


def ask_delete_comment(job: Job) -> Request:
    found = _COMMENT.fullmatch(job.parent_id)
    id_ = found[2] if found is not None else job.parent_id
    return _call(job, "DELETE", f"{_comments_path(_post_of(job))}/{id_}?actor={key(_author(job))}")


def ask_edit(job: Job) -> Request:
    """The text is set, and nothing else can be (``linkedin.md`` 4.3)."""
    patch = {"patch": {"$set": {"commentary": little_text(job.text)}}}
    return _call(job, "POST", f"/rest/posts/{key(job.parent_id)}", patch, restli="PARTIAL_UPDATE")


def ask_edited(job: Job) -> Request:
    return _call(job, "GET", f"/rest/posts/{key(job.parent_id)}?viewContext=AUTHOR")


def _acted(then: Verdict) -> Callable[[Job, Response], Verdict]:
    def read(job: Job, response: Response) -> Verdict:
        """What is gone after an unknown outcome was deleted by it."""
        if response.status == 404 and DOUBT in job.kept:
            return Published("")
        return _error(job, response, commit=True) or then

    return read


def read_edited(job: Job, response: Response) -> Verdict:
    """One was told that it was done, and nothing had changed; who must not read it keeps LinkedIn's word for it."""
    problem = _error(job, response)
    if isinstance(problem, Failed):
        return Published("")
    if problem is not None:
        return problem
    if folded(plain_text(str(response.content.get("commentary") or ""))) == folded(job.text):
        return Published("")
    message = "LinkedIn took the change, and still shows the old text; edit it there."
    return SHOWN.not_found(job, Failed("edit_ignored", message))


def _action(name: str, title: str, ask: Ask) -> Machine:
    """Return the machine of what is repeated without harm (``linkedin.md`` 11)."""
    act = Step(TargetState.PUBLISHING, Effect.KEYED, AGAIN, ask, _acted(Published("")))
    return Machine(name, title, {"act": act}, "act")


_EDITING: Mapping[str, Step] = {
    "act": Step(TargetState.PUBLISHING, Effect.KEYED, AGAIN, ask_edit, _acted(Go("check")), ("check",)),
    "check": Step(TargetState.PUBLISHING, Effect.READ, AGAIN, ask_edited, read_edited),
}


# --- the tables

_POST: Mapping[str, Step] = {
    "publish": Step(TargetState.PUBLISHING, Effect.COMMIT, "look", ask_publish, read_publish),
    "look": Step(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_look, read_look),
}

_WITH_FILES: Mapping[str, Step] = {
    "begin": Step(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_begin, read_begin, ("send",)),
    "send": Step(TargetState.UPLOADING, Effect.REPEATABLE, AGAIN, ask_send, read_send, ("begin", "status")),
    "status": Step(
        TargetState.PROCESSING,
        Effect.READ,
        AGAIN,
        ask_status,
        read_status,
        ("status", "begin", "publish"),
        PROCESSING_SECONDS,
        overdue_status,
    ),
    "publish": replace(_POST["publish"], leads_to=("verify", "status")),
    "look": replace(_POST["look"], leads_to=("publish", "verify")),
    # Nothing visible is cancelled any more, so it counts as being published until it was read back.
    "verify": Step(
        TargetState.PUBLISHING, Effect.READ, AGAIN, ask_verify, read_verify, (), PROCESSING_SECONDS, overdue_verify
    ),
}

_WITH_VIDEO: Mapping[str, Step] = {
    **_WITH_FILES,
    "send": replace(_WITH_FILES["send"], leads_to=("send", "begin", "finish")),
    "status": replace(_WITH_FILES["status"], leads_to=("begin", "publish")),
    "finish": Step(
        TargetState.UPLOADING, Effect.REPEATABLE, AGAIN, ask_finish, read_finish, ("finish", "begin", "status")
    ),
}


def kind_of(media: Sequence[Media], options: Kept, link: Mapping[str, str]) -> str:
    if options.get("poll"):
        return "poll"
    if link.get("url"):
        return "article"
    if len(media) > 1:
        return "multi_image"
    if not media:
        return "text"
    if media[0].is_video:
        return "video"
    return "image" if media[0].is_image else "document"


PLATFORM = PostingPlatform(
    machines={
        "text": Machine("text", "Text", _POST, "publish", "look"),
        "poll": Machine("poll", "Poll", _POST, "publish", "look"),
        "article": Machine("article", "Link with its card", _WITH_FILES, "begin", "look", "publish"),
        "image": Machine("image", "Image", _WITH_FILES, "begin", "look"),
        "multi_image": Machine("multi_image", "Several images", _WITH_FILES, "begin", "look"),
        "document": Machine("document", "Document", _WITH_FILES, "begin", "look"),
        "video": Machine("video", "Video", _WITH_VIDEO, "begin", "look"),
        "comment": Machine("comment", "Comment", _COMMENTING, "say", "look"),
        "edit_post": Machine("edit_post", "Edit a post", _EDITING, "act"),
        "delete_post": _action("delete_post", "Delete a post", ask_delete_post),
        "delete_comment": _action("delete_comment", "Delete a comment", ask_delete_comment),
    },
    sample=Sample("text"),
    kind_of=kind_of,
    checked_first=is_organization,  # a role in its page ends without a word (linkedin.md 1.2)
    reply_kind="comment",
    post_id=r"urn:li:(share|ugcPost|activity):[0-9]+",
    comment_id=r"urn:li:comment:\(urn:li:(share|ugcPost|activity):[0-9]+,[0-9]+\)",
)
