"""Publishing to Instagram: ``meta.md`` 8. A container is made, watched until it is finished, and then published.

The container's id is stored before it is published, and tells afterwards whether it was. There is no other key: what
follows an unknown outcome is the recipe of ``meta.md`` 9.6.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ops.runtime.graph_api import VERSION
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
from publish.platforms._meta_containers import Containers, made_anew
from publish.platforms._meta_machines import (
    UPLOADS,
    Action,
    Commenting,
    actions,
    commenting,
    delete_object,
    error_code,
    error_subcode,
    page_of,
    permalink_step,
    query,
    read_object,
    unread,
    url,
)
from publish.platforms.instagram_posting import PLATFORM as RULES
from publish.platforms.instagram_posting import Everywhere, Feed, Reel, quota
from publish.posting.contract import (
    AGAIN,
    Effect,
    Evidence,
    Failed,
    Go,
    Hold,
    Job,
    Kept,
    Machine,
    Media,
    Permission,
    PostingPlatform,
    Published,
    Sample,
    Step,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.matching import normal, unbound
from publish.posting.verdicts import error_verdict
from publish.preflight.contract import AccountFacts
from schema.states import TargetState

MISSING = 2207008
"""Of a container that is not there, or not yet (``meta.md`` 7.4)."""

MEDIA_FIELDS = "id,timestamp,caption,media_type,media_product_type,permalink"

PRODUCTS = {"reel": "REELS", "story": "STORY"}
"""``media_product_type`` of each kind; the others are FEED."""

MEDIA_TYPES = {"reel": "REELS", "story": "STORIES", "carousel": "CAROUSEL"}
"""``media_type`` of each kind; an image has none."""


def _error(job: Job, response: Response, *, commit: bool = False, anew: Verdict | None = None) -> Verdict | None:
    return error_verdict(RULES.errors, job, response, commit=commit, anew=anew)


def _unread(job: Job, response: Response) -> Verdict | None:
    return unread(RULES.errors, job, response)


# --- how much may be published still


def ask_quota(job: Job) -> Request:
    fields = "quota_usage,config"
    return Request("GET", url(job, f"{job.account_id}/content_publishing_limit"), query(job, fields=fields))


def read_quota(job: Job, response: Response) -> Verdict:
    """``config`` is right where the pages disagree about the limit (``meta.md`` 8.1)."""
    if problem := _error(job, response):
        return problem
    first = next(iter(objects(response.content.get("data"))), {})
    used, total = number(first.get("quota_usage")), number(member(first, "config").get("quota_total"))
    if used is not None and total is not None and used >= total > 0:
        message = f"This account has published {used:g} posts within a day, and {total:g} are allowed."
        return Hold(1800.0, "rate_limit_exceeded", message)
    return Go("child" if job.kind == "carousel" else "container")


# --- containers


def _file(job: Job, media: Media) -> dict[str, str]:
    """A story with an alternative text would be refused (``meta.md`` 8.2)."""
    found = {"video_url" if media.is_video else "image_url": media.url}
    described = media.alt_text and media.is_image and RULES.kinds[job.kind].alt_text is not None
    return found | ({"alt_text": media.alt_text} if described else {})


def _ask_child(job: Job, place: int) -> Request:
    media, options = job.media[place], RULES.kinds[job.kind].options.model_validate(job.options)
    form = query(job, is_carousel_item="true", **_file(job, media))
    if media.is_video:
        form["media_type"] = "VIDEO"
    if isinstance(options, Everywhere) and (tags := _tags(options, place)):
        form["user_tags"] = tags
    return Request("POST", url(job, f"{job.account_id}/media"), form=form)


def ask_container(job: Job) -> Request:
    form = query(job, **_content(job))
    return Request("POST", url(job, f"{job.account_id}/media"), form=form)


def _by_bytes(job: Job) -> bool:
    """Whether the file is sent to the upload host, which is for accounts of Facebook Login (``meta.md`` 8.4).

    Where a container of that kind was refused or ended, the platform fetches the file from our address.
    """
    one = job.kind in ("reel", "story") and job.media[0].is_video
    return one and UPLOADS in job.app.hosts and not job.kept.get("by_address") and not job.kept_number("made_again")


def _content(job: Job) -> dict[str, str]:
    """Return the parameters of ``POST /media`` (``meta.md`` 8.2)."""
    options = RULES.kinds[job.kind].options.model_validate(job.options)
    found = {} if job.kind == "carousel" else _file(job, job.media[0])
    if job.kind == "story":
        found.pop("alt_text", None)  # for posts of the feed only
    if _by_bytes(job):
        found = {"upload_type": "resumable"}
    if kind := MEDIA_TYPES.get(job.kind):
        found["media_type"] = kind
    if job.kind == "carousel":
        found["children"] = ",".join(job.kept_list("children"))
    if isinstance(options, Everywhere):
        found |= _labels(options, 0 if job.kind != "carousel" else None)
    if isinstance(options, Feed):
        found |= _feed(options) | ({"caption": job.text} if job.text else {})
    if isinstance(options, Reel):
        found |= _reel(job, options)
    return found


def _labels(options: Everywhere, file: int | None) -> dict[str, str]:
    """Return people who are shown in one file, and what the post is labelled with; ``file`` counts from 0."""
    found = {}
    if file is not None and (tags := _tags(options, file)):
        found["user_tags"] = tags
    if options.ai_generated:
        found["is_ai_generated"] = "true"
    if options.paid_partnership:
        found["is_paid_partnership"] = "true"
    if options.sponsor_ids:
        found["branded_content_sponsor_ids"] = json.dumps(options.sponsor_ids)
    return found


def _tags(options: Everywhere, file: int) -> str:
    tags = [tag for tag in options.user_tags if tag.position == file + 1]
    shown = [
        {"username": tag.username, **({"x": tag.x, "y": tag.y} if tag.x is not None and tag.y is not None else {})}
        for tag in tags
    ]
    return json.dumps(shown) if shown else ""


def _feed(options: Feed) -> dict[str, str]:
    found = {"location_id": options.location_id} if options.location_id else {}
    if options.collaborators:
        found["collaborators"] = json.dumps(options.collaborators)
    if options.poll is not None:
        named = zip(("option_a", "option_b", "option_c", "option_d"), options.poll.options, strict=False)
        found["poll_attachment"] = json.dumps(dict(named))
        found |= {"is_poll_duration_extended": "true"} if options.poll.open_end else {}
    if options.comment_prompt:
        found["is_comment_prompt_used"] = "true"
    return found


def _reel(job: Job, options: Reel) -> dict[str, str]:
    found = {"share_to_feed": str(options.share_to_feed).lower()}
    if options.cover_ms is not None:
        found["thumb_offset"] = str(options.cover_ms)
    if options.audio_name:
        found["audio_name"] = options.audio_name
    if options.trial_reel:
        found["trial_params"] = json.dumps({"graduation_strategy": options.trial_reel})
    if (cover := job.others.get(options.cover_media_id or "")) is not None:
        found["cover_url"] = cover.url
    return found


def read_container(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, anew=made_anew(job, "The platform could not use the files.")):
        refused = isinstance(problem, Failed) and _by_bytes(job)
        return Go("container", keep={"by_address": True}) if refused else problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no container")
    return Go("upload" if _by_bytes(job) else "status", 1.0, keep={"container": made, "polls": 0})


def ask_upload(job: Job) -> Request:
    """The documented address, and not the one that the platform names: that one may lead anywhere."""
    media = job.media[0]
    headers = {"Authorization": f"OAuth {job.token}", "offset": "0", "file_size": str(media.size)}
    part = FilePart(media.id, 0, media.size, media.content_type, media.file_name or "file")
    path = f"/ig-api-upload{VERSION}/{job.kept_text('container')}"
    return Request("POST", job.app.url(UPLOADS, path), headers=headers, content=part)


def read_upload(job: Job, response: Response) -> Verdict:
    """Where to go on after a break is not documented: a broken upload is begun anew in another container."""
    problem = _error(job, response)
    refused = isinstance(response.content, dict) and "debug_info" in response.content
    if isinstance(problem, Failed) or (problem is not None and refused):
        return made_anew(job, "The platform did not take the file.")
    if problem is not None:
        return problem
    if response.content.get("success") is not True:
        return Unknown("the platform did not say that it has the file")
    return Go("status", 1.0)


def _said(response: Response) -> str:
    return str(response.content.get("status") or "no reason is given")[:200]


# --- publishing


def ask_publish(job: Job) -> Request:
    form = query(job, creation_id=job.kept_text("container"))
    return Request("POST", url(job, f"{job.account_id}/media_publish"), form=form)


def read_publish(job: Job, response: Response) -> Verdict:
    problem = _error(job, response, commit=True)
    if isinstance(problem, Wait):
        return _not_ready(job, response)
    if problem is not None:
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no post")
    return Published(made, step="permalink")


def _not_ready(job: Job, response: Response) -> Verdict:
    """It was not done: read the container again, and make another where a finished one is missing (``meta.md`` 7.4)."""
    missed = job.kept_number("missed") + (error_subcode(response) == MISSING)
    if missed > 1:
        return made_anew(job, "The platform does not find the container that it finished.")
    return Go("status", 30.0, keep={"missed": missed, "polls": 0})


def ask_listing(job: Job) -> Request:
    edge = "stories" if job.kind == "story" else "media"
    fields = query(job, fields=MEDIA_FIELDS, limit="25", **page_of(job))
    return Request("GET", url(job, f"{job.account_id}/{edge}"), fields)


def _listed(job: Job, response: Response) -> list[JsonObject]:
    return _fitting(job, objects(response.content.get("data")))


def _fitting(job: Job, posts: list[JsonObject]) -> list[JsonObject]:
    """Return the posts that may be ours: of the same product, with the same caption (``meta.md`` 9.6)."""
    product = PRODUCTS.get(job.kind, "FEED")

    def same(post: JsonObject) -> bool:
        if text(post.get("media_product_type")) not in ("", product):
            return False
        return product == "STORY" or normal(post.get("caption")) == normal(job.text)

    return unbound(job, posts, same, created="timestamp")


def media_in_log(job: Job) -> Verdict | None:
    """What was read of the account's posts since the intent: one that fits is ours, as in a listing.

    Webhooks tell of no new post (``meta.md`` 2.1), and of others' posts too that mention the account (2.2), which have
    another name on them.
    """
    rows: list[JsonObject] = [{**row, "id": row.get("ig_id")} for row in job.seen.get("ig_media", ())]
    own = [row for row in rows if job.username and row.get("username") == job.username and row.get("timestamp")]
    found = _fitting(job, own)
    return Published(text(found[0].get("id")), text(found[0].get("permalink"))) if len(found) == 1 else None


def ask_permalink(job: Job) -> Request:
    return Request("GET", url(job, job.post_id), query(job, fields="permalink"))


_FIRST: Mapping[str, Step] = {
    "quota": Step(TargetState.PREPARING, Effect.READ, AGAIN, ask_quota, read_quota, ("container",)),
}

_BY_BYTES: Mapping[str, Step] = {
    "container": Step(
        *(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_container, read_container),
        ("status", "quota", "upload", "container"),
    ),
    "upload": Step(*(TargetState.UPLOADING, Effect.REPEATABLE, AGAIN, ask_upload, read_upload), ("status", "quota")),
}
"""Of kinds that may be a single video."""

CONTAINERS = Containers(
    errors=RULES.errors,
    status="status_code",
    make_child=_ask_child,
    read=lambda job, container: Request("GET", url(job, container), query(job, fields="status_code,status")),
    reason=_said,
    listing=ask_listing,
    listed=_listed,
    is_unreadable=lambda response: error_code(response) == 100,
    read_log=media_in_log,
)

_CHILDREN: Mapping[str, Step] = {
    "quota": Step(TargetState.PREPARING, Effect.READ, AGAIN, ask_quota, read_quota, ("child",)),
    **CONTAINERS.children(),
}

_PUBLISHING: Mapping[str, Step] = {
    "container": Step(
        *(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_container, read_container), ("status", "quota")
    ),
    **CONTAINERS.watching(),
    "publish": Step(
        *(TargetState.PUBLISHING, Effect.COMMIT, "look", ask_publish, read_publish),
        ("permalink", "status", "quota"),
    ),
    "permalink": permalink_step(RULES.errors, ask_permalink, "permalink"),
}
"""The steps that all kinds end with."""

_STORY: Mapping[str, Step] = replace(CONTAINERS, read_log=None).watching()
"""Of what was read, nothing tells one story from another."""


def _machine(name: str, title: str, *before: Mapping[str, Step]) -> Machine:
    steps = dict(_PUBLISHING)
    for more in before:
        steps |= more
    return Machine(name, title, steps, "quota", "search")


# --- comments and moderation


def _edge(job: Job) -> str:
    """Where a comment belongs: below a post, or below another comment (``meta.md`` 10.3)."""
    answers = job.kind == "comment_reply" or job.parent_id != (job.root_id or job.parent_id)
    return f"{job.parent_id}/{'replies' if answers else 'comments'}"


def ask_comment(job: Job) -> Request:
    return Request("POST", url(job, _edge(job)), form=query(job, message=job.text))


def ask_comments(job: Job) -> Request:
    """Ask for the fields that are never refused: one that is fails the whole listing (``meta.md`` 10.2)."""
    fields = query(job, fields="id,text,timestamp,username", limit="50", **page_of(job))
    return Request("GET", url(job, _edge(job)), fields)


def comments_in_log(job: Job) -> list[JsonObject]:
    """Own comments are notified like others' (``meta.md`` 2.2), and name what they are below."""

    def place(row: JsonObject) -> str:
        return text(row.get("parent_ig_id")) or text(row.get("media_ig_id"))

    rows = [row for row in job.seen.get("ig_comments", ()) if place(row) == job.parent_id]
    return [{**row, "id": row.get("ig_id")} for row in rows]


COMMENTING = Commenting(
    ask=ask_comment,
    listing=ask_comments,
    own=lambda job, comment: text(comment.get("username")) == job.username,
    text="text",
    created="timestamp",
    in_log=comments_in_log,
)


def _hide(job: Job, *, hide: bool) -> Request:
    return Request("POST", url(job, job.parent_id), query(job, hide=str(hide).lower()))


ACTIONS = {
    "hide_comment": Action(
        "Hide a comment",
        lambda job: _hide(job, hide=True),
        lambda job: read_object(job, "hidden"),
        lambda _, comment: comment.get("hidden") is True,
    ),
    "show_comment": Action(
        "Show a comment",
        lambda job: _hide(job, hide=False),
        lambda job: read_object(job, "hidden"),
        lambda _, comment: comment.get("hidden") is False,
    ),
    "delete_comment": Action("Delete a comment", delete_object, lambda job: read_object(job, "id"), None),
    "delete_post": Action("Delete a post", delete_object, lambda job: read_object(job, "id"), None),
}


def inquire(app: App, account_id: str, secrets: Mapping[str, str]) -> Steps[AccountFacts]:
    """Ask how many posts are left (``meta.md`` 8.1)."""
    asked = {"access_token": secrets["access_token"], "fields": "quota_usage,config"}
    path = f"{VERSION}/{account_id}/content_publishing_limit"
    return quota(expected((yield Request("GET", app.url("graph", path), asked)), "asking"))


def kind_of(media: Sequence[Media], options: Kept, link: Mapping[str, str]) -> str:  # noqa: ARG001
    if len(media) > 1:
        return "carousel"
    return "reel" if media and media[0].is_video else "image"


MODERATION = Permission([["instagram_business_manage_comments", "instagram_manage_comments"]])
"""By Instagram Login, and by Facebook Login (``meta.md`` 2.1)."""

DELETION = Permission(
    [["instagram_manage_contents"]],
    "It is granted to accounts that are connected by Facebook Login, where it is asked for"
    " (optional_scopes=instagram_manage_contents); without it, delete the post in the app.",
)
"""Of Instagram Login no page names a permission for it (``meta.md`` 8.5)."""

EVIDENCE = (
    Evidence(
        *("ig_comments", ("ig_id", "text", "media_ig_id", "parent_ig_id", "timestamp"), ("look",)),
        condition="e.is_own",
        kinds=("comment", "comment_reply"),
    ),
    Evidence(
        "ig_media",
        ("ig_id", "username", "caption", "media_product_type", "timestamp", "permalink"),
        ("look", "search", "locate"),
        condition="e.username IS NOT NULL AND e.permalink IS NOT NULL",
        kinds=("image", "reel", "carousel"),
    ),
)

PLATFORM = PostingPlatform(
    machines={
        "image": _machine("image", "Image", _FIRST),
        "reel": _machine("reel", "Reel", _FIRST, _BY_BYTES),
        "story": _machine("story", "Story", _FIRST, _BY_BYTES, _STORY),
        "carousel": _machine("carousel", "Carousel", _CHILDREN),
        "comment": commenting(RULES.errors, "comment", "Comment", COMMENTING),
        "comment_reply": commenting(RULES.errors, "comment_reply", "Answer to a comment", COMMENTING),
        **actions(RULES.errors, ACTIONS),
    },
    sample=Sample("image", "image"),
    kind_of=kind_of,
    inquire=inquire,
    reply_kind="comment",
    evidence=EVIDENCE,
    permissions={
        **dict.fromkeys(("comment", "comment_reply", "hide_comment", "show_comment", "delete_comment"), MODERATION),
        "delete_post": DELETION,
    },
)
