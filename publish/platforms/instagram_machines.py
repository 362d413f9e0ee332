"""Publishing to Instagram: ``meta.md`` 8. A container is made, watched until it is finished, and then published.

The container's id is stored before it is published, and tells afterwards whether it was. There is no other key: what
follows an unknown outcome is the recipe of ``meta.md`` 9.6.
"""

import json
from collections.abc import Mapping, Sequence

from ops.runtime.platform_protocol import JsonObject, Request, Response, member, number, objects, text
from publish.platforms.instagram_posting import PLATFORM as RULES
from publish.platforms.instagram_posting import Everywhere, Feed, Reel
from publish.posting.contract import (
    AGAIN,
    Doubt,
    Effect,
    Failed,
    Go,
    Hold,
    Job,
    JsonValue,
    Kept,
    Looks,
    Machine,
    Media,
    PostingPlatform,
    Published,
    PublishedUnnamed,
    Step,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.decision import DOUBT
from publish.posting.matching import normal, one_of, unbound
from publish.posting.verdicts import error_verdict
from schema.states import TargetState

VERSION = "/v25.0"

POLL_SECONDS, SLOW_POLL_SECONDS, MANY_POLLS = 5.0, 60.0, 24
"""A container is asked often for two minutes and once a minute after that (``meta.md`` 8.1)."""

CONTAINER_SECONDS = 86_400.0
"""A container that is not published ends after a day (``meta.md`` 8.1)."""

MOST_CONTAINERS = 3
"""So often a container that ended or failed is made again (``faults.md`` H5)."""

SETTLE = Looks(2, 60)
"""A status that says that nothing happened counts when it was read twice, a minute apart (``meta.md`` 9.6)."""

LISTING = Looks(2, 600)
"""A listing without the post counts when it was read twice, ten minutes apart (``meta.md`` 9.6)."""

MEDIA_FIELDS = "id,timestamp,caption,media_type,media_product_type,permalink"

PRODUCTS = {"reel": "REELS", "story": "STORY"}
"""``media_product_type`` of each kind; the others are FEED."""

MEDIA_TYPES = {"reel": "REELS", "story": "STORIES", "carousel": "CAROUSEL"}
"""``media_type`` of each kind; an image has none."""


def _query(job: Job, **more: str) -> dict[str, str]:
    return {"access_token": job.token, **more}


def _url(job: Job, path: str) -> str:
    return job.app.url("graph", f"{VERSION}/{path}")


def _kept_containers(job: Job) -> Kept:
    """Return what is kept when everything is made again: nothing of the containers but their number."""
    made = job.kept_number("containers") + 1
    return {"container": "", "children": [], "ready": 0, "polls": 0, "containers": made}


def _anew(job: Job, message: str) -> Verdict:
    """Make new containers, a few times."""
    if job.kept_number("containers") + 1 >= MOST_CONTAINERS:
        return Failed("container_failed", message, retryable=True)
    return Go("quota", 5.0, keep=_kept_containers(job))


def _error(job: Job, response: Response, *, commit: bool = False, anew: Verdict | None = None) -> Verdict | None:
    return error_verdict(RULES.errors, job, response, commit=commit, anew=anew)


# --- how much may be published still


def ask_quota(job: Job) -> Request:
    fields = "quota_usage,config"
    return Request("GET", _url(job, f"{job.account_id}/content_publishing_limit"), _query(job, fields=fields))


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


def _file(media: Media) -> dict[str, str]:
    found = {"video_url" if media.is_video else "image_url": media.url}
    return found | ({"alt_text": media.alt_text} if media.alt_text and media.is_image else {})


def ask_child(job: Job) -> Request:
    """One container for each file of a carousel, in order."""
    return _ask_child(job, len(job.kept_list("children")))


def _ask_child(job: Job, place: int) -> Request:
    media, options = job.media[place], RULES.kinds[job.kind].options.model_validate(job.options)
    form = _query(job, is_carousel_item="true", **_file(media))
    if media.is_video:
        form["media_type"] = "VIDEO"
    if isinstance(options, Everywhere) and (tags := _tags(options, place)):
        form["user_tags"] = tags
    return Request("POST", _url(job, f"{job.account_id}/media"), form=form)


def read_child(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no container")
    children: list[JsonValue] = [*job.kept_list("children"), made]
    return Go("child" if len(children) < len(job.media) else "children", keep={"children": children})


def ask_children(job: Job) -> Request:
    """Read the first child that is not known to be finished: also those count (``meta.md`` 8.5)."""
    return _ask_status(job, job.kept_list("children")[job.kept_number("ready")])


def read_children(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    ready = job.kept_number("ready")
    match text(response.content.get("status_code")):
        case "FINISHED":
            done = ready + 1 == len(job.kept_list("children"))
            return Go("container" if done else "children", keep={"ready": ready + 1, "polls": 0})
        case "ERROR" | "EXPIRED":
            # Only this one is made again: its siblings are as good as they were (meta.md 7.4, 9004).
            return _remade_child(job, ready, response)
    return _poll(job)


def _remade_child(job: Job, place: int, response: Response) -> Verdict:
    tried = job.kept_number("remade") + 1
    if tried >= MOST_CONTAINERS:
        message = f"The platform could not use file {place + 1}: {_said(response)}"
        return Failed("media_refused", message, retryable=True)
    kept: list[JsonValue] = [*job.kept_list("children")]
    return Go("child_again", 5.0, keep={"children": kept, "remade": tried})


def ask_child_again(job: Job) -> Request:
    return _ask_child(job, job.kept_number("ready"))


def read_child_again(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no container")
    children: list[JsonValue] = [*job.kept_list("children")]
    children[job.kept_number("ready")] = made
    return Go("children", keep={"children": children, "polls": 0})


def ask_container(job: Job) -> Request:
    form = _query(job, **_content(job))
    return Request("POST", _url(job, f"{job.account_id}/media"), form=form)


def _content(job: Job) -> dict[str, str]:
    """Return the parameters of ``POST /media`` (``meta.md`` 8.2)."""
    options = RULES.kinds[job.kind].options.model_validate(job.options)
    found = {} if job.kind == "carousel" else _file(job.media[0])
    if job.kind == "story":
        found.pop("alt_text", None)  # for posts of the feed only
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
    if problem := _error(job, response, anew=_anew(job, "The platform could not use the files.")):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no container")
    return Go("status", 1.0, keep={"container": made, "polls": 0})


def _ask_status(job: Job, container: str) -> Request:
    return Request("GET", _url(job, container), _query(job, fields="status_code,status"))


def ask_status(job: Job) -> Request:
    return _ask_status(job, job.kept_text("container"))


def _said(response: Response) -> str:
    return str(response.content.get("status") or "no reason is given")[:200]


def _poll(job: Job) -> Wait:
    polls = job.kept_number("polls") + 1
    return Wait(POLL_SECONDS if polls < MANY_POLLS else SLOW_POLL_SECONDS, keep={"polls": polls})


def read_status(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    match text(response.content.get("status_code")):
        case "FINISHED":
            return Go("publish")
        case "PUBLISHED":
            return PublishedUnnamed("locate")
        case "ERROR" | "EXPIRED":
            return _anew(job, f"The platform could not use the files: {_said(response)}")
    return _poll(job)


def overdue_status(job: Job) -> Verdict:
    return _anew(job, "The platform was still at it after a day.")


# --- publishing


def ask_publish(job: Job) -> Request:
    form = _query(job, creation_id=job.kept_text("container"))
    return Request("POST", _url(job, f"{job.account_id}/media_publish"), form=form)


def read_publish(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response, commit=True, anew=_anew(job, "The platform lost the container.")):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no post")
    return Published(made, step="permalink")


def read_look(job: Job, response: Response) -> Verdict:
    """What the container says after a publish whose outcome is unknown (``meta.md`` 9.6)."""
    if problem := _error(job, response):
        return Go("search") if isinstance(problem, Failed) and _unreadable(response) else problem
    match text(response.content.get("status_code")):
        case "PUBLISHED":
            return PublishedUnnamed("locate")
        case "FINISHED":
            return SETTLE.not_found(job, Go("publish"))
        case "ERROR" | "EXPIRED":
            return _anew(job, f"The platform could not use the files: {_said(response)}")
    return _poll(job)


def overdue_look(job: Job) -> Verdict:
    message = "The platform did not say within a day whether it was published. Look there."
    return Doubt(message, [job.kept_text(DOUBT)])


def _unreadable(response: Response) -> bool:
    """Whether an answer says that there is no such object, or that it may not be seen."""
    return number(member(response.content, "error").get("code")) == 100


def ask_listing(job: Job) -> Request:
    edge = "stories" if job.kind == "story" else "media"
    query = _query(job, fields=MEDIA_FIELDS, limit="25")
    return Request("GET", _url(job, f"{job.account_id}/{edge}"), query)


def _listed(job: Job, response: Response) -> list[JsonObject]:
    product = PRODUCTS.get(job.kind, "FEED")

    def same(post: JsonObject) -> bool:
        if text(post.get("media_product_type")) not in ("", product):
            return False
        return product == "STORY" or normal(post.get("caption")) == normal(job.text)

    return unbound(job, objects(response.content.get("data")), same, created="timestamp")


def _found(post: JsonObject) -> Published:
    return Published(text(post.get("id")), text(post.get("permalink")))


def _shown(post: JsonObject) -> str:
    return f"{text(post.get('permalink')) or text(post.get('id'))} of {text(post.get('timestamp'))}"


def read_search(job: Job, response: Response) -> Verdict:
    """The container cannot be read: only the listing can tell (``meta.md`` 9.6, point 6)."""
    if problem := _error(job, response):
        return problem
    message = "The container cannot be read, and no post like this is listed. Look there, and say whether it is there."
    doubt = Doubt(message, [job.kept_text(DOUBT), "the list of posts was read twice, ten minutes apart"])
    return one_of(job, _listed(job, response), _found, LISTING, doubt, shown=_shown)


def read_locate(job: Job, response: Response) -> Verdict:
    """It is published; find its id. Nothing found leaves it published, with its id unknown."""
    if problem := _error(job, response):
        return problem
    return one_of(job, _listed(job, response), _found, Looks(12, 3600), Failed("not_listed", ""), shown=_shown)


def ask_permalink(job: Job) -> Request:
    return Request("GET", _url(job, job.post_id), _query(job, fields="permalink"))


def read_permalink(job: Job, response: Response) -> Verdict:
    if problem := _error(job, response):
        return problem
    return Published(job.post_id, text(response.content.get("permalink")))


def _publishing() -> Mapping[str, Step]:
    """Return the steps that all kinds end with."""
    return {
        "container": Step(
            TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_container, read_container, ("status", "quota")
        ),
        "status": Step(
            TargetState.PROCESSING,
            Effect.READ,
            AGAIN,
            ask_status,
            read_status,
            ("publish", "locate", "quota"),
            CONTAINER_SECONDS,
            overdue_status,
        ),
        "publish": Step(
            TargetState.PUBLISHING, Effect.COMMIT, "look", ask_publish, read_publish, ("permalink", "quota")
        ),
        "look": Step(
            TargetState.UNCONFIRMED,
            Effect.READ,
            AGAIN,
            ask_status,
            read_look,
            ("publish", "search", "locate", "quota"),
            CONTAINER_SECONDS,
            overdue_look,
        ),
        "search": Step(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask_listing, read_search),
        "locate": Step(TargetState.PUBLISHED_ID_UNKNOWN, Effect.READ, AGAIN, ask_listing, read_locate),
        "permalink": Step(TargetState.PUBLISHED, Effect.READ, AGAIN, ask_permalink, read_permalink),
    }


_QUOTA = {"quota": Step(TargetState.PREPARING, Effect.READ, AGAIN, ask_quota, read_quota, ("container",))}

_CHILDREN = {
    "quota": Step(TargetState.PREPARING, Effect.READ, AGAIN, ask_quota, read_quota, ("child",)),
    "child": Step(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_child, read_child, ("child", "children")),
    "children": Step(
        TargetState.PROCESSING,
        Effect.READ,
        AGAIN,
        ask_children,
        read_children,
        ("children", "container", "child_again"),
        CONTAINER_SECONDS,
        overdue_status,
    ),
    "child_again": Step(
        TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_child_again, read_child_again, ("children",)
    ),
}


def _machine(name: str, title: str, before: Mapping[str, Step]) -> Machine:
    return Machine(name, title, {**before, **_publishing()}, "quota", "search")


def kind_of(media: Sequence[Media], options: Kept, link: Mapping[str, str]) -> str:  # noqa: ARG001
    if len(media) > 1:
        return "carousel"
    return "reel" if media and media[0].is_video else "image"


PLATFORM = PostingPlatform(
    machines={
        "image": _machine("image", "Image", _QUOTA),
        "reel": _machine("reel", "Reel", _QUOTA),
        "story": _machine("story", "Story", _QUOTA),
        "carousel": _machine("carousel", "Carousel", _CHILDREN),
    },
    kind_of=kind_of,
)
