"""Publishing on Threads: ``meta.md`` 9.1 and 9.3. A container is made, watched until it is finished, and published.

All calls name the account as ``me``: writes by its id were seen to fail (``meta.md`` 14, T12). Once it is published, a
container reads as a post, which has no ``status``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ops.runtime.platform_protocol import JsonObject, Request, Response, Steps, expected, member, objects, text
from publish.oauth.contract import App
from publish.platforms import _meta_posting
from publish.platforms._meta_containers import Containers, made_anew
from publish.platforms._meta_machines import (
    Action,
    actions,
    error_code,
    error_subcode,
    is_missing,
    page_of,
    parent_missing,
    permalink_step,
    query,
    unread,
)
from publish.platforms.threads_posting import PLATFORM as RULES
from publish.platforms.threads_posting import Media as MediaOptions
from publish.platforms.threads_posting import Text, quota
from publish.posting.contract import (
    AGAIN,
    Effect,
    Failed,
    Go,
    Hold,
    Job,
    Kept,
    Machine,
    Media,
    PostingPlatform,
    Published,
    PublishedUnnamed,
    Read,
    Sample,
    Step,
    Unknown,
    Verdict,
)
from publish.posting.decision import ASIDE
from publish.posting.matching import normal, since_intent, unbound
from publish.posting.verdicts import QUOTA_SECONDS, error_verdict, is_repeat
from publish.preflight.contract import AccountFacts
from publish.preflight.error_catalogue import ErrorClass, classify_error
from schema.states import TargetState

READY_SECONDS = 30.0
"""A container is published about half a minute after it was made (``meta.md`` 9.1)."""

NOT_THERE = 4279009
"""Of a container or a parent that is not there, or not yet (``meta.md`` 7.4)."""

AGAIN_SECONDS = 10.0

FIELDS = "id,text,timestamp,media_type,permalink"


def _url(job: Job, path: str) -> str:
    return job.app.url("graph", f"/v1.0/{path}")


def _error(job: Job, response: Response, *, commit: bool = False, anew: Verdict | None = None) -> Verdict | None:
    return error_verdict(RULES.errors, job, response, commit=commit, anew=anew)


def _unread(job: Job, response: Response) -> Verdict | None:
    return unread(RULES.errors, job, response)


def _is_reply(job: Job) -> bool:
    return bool(job.parent_id)


def _options(job: Job) -> Text | MediaOptions:
    """A reply has the options of a post with the same files."""
    kind = job.kind if job.kind in RULES.kinds else kind_of(job.media, job.options, job.link)
    found = RULES.kinds[kind].options.model_validate(job.options)
    assert isinstance(found, Text | MediaOptions)  # noqa: S101  there are no others
    return found


# --- how much may be published still


def ask_quota(job: Job) -> Request:
    fields = "quota_usage,config,reply_quota_usage,reply_config"
    return Request("GET", _url(job, "me/threads_publishing_limit"), query(job, fields=fields))


def read_quota(job: Job, response: Response) -> Verdict:
    """Replies have a limit of their own."""
    if problem := _error(job, response):
        return problem
    if quota(response.content, reply=_is_reply(job)).quota_left == 0:
        noun = "replies" if _is_reply(job) else "posts"
        message = f"This account has published as many {noun} as are allowed within a day."
        return Hold(QUOTA_SECONDS, "rate_limit_exceeded", message)
    return Go("child" if len(job.media) > 1 else "container")


# --- containers


def _file(media: Media) -> dict[str, str]:
    kind, name = ("VIDEO", "video_url") if media.is_video else ("IMAGE", "image_url")
    return {"media_type": kind, name: media.url} | ({"alt_text": media.alt_text} if media.alt_text else {})


def _ask_child(job: Job, place: int) -> Request:
    form = query(job, is_carousel_item="true", **_file(job.media[place]))
    return Request("POST", _url(job, "me/threads"), form=form)


def ask_container(job: Job) -> Request:
    return Request("POST", _url(job, "me/threads"), form=query(job, **_content(job)))


def _content(job: Job) -> dict[str, str]:
    """Return the parameters of ``POST /threads`` (``meta.md`` 9.1, 9.3)."""
    options = _options(job)
    if len(job.media) > 1:
        found = {"media_type": "CAROUSEL", "children": ",".join(job.kept_list("children"))}
    elif job.media:
        found = _file(job.media[0])
    else:
        found = {"media_type": "TEXT"}
    if job.text:
        found["text"] = job.text
    if job.parent_id:
        found["reply_to_id"] = job.parent_id
    given = {
        "reply_control": options.reply_control,
        "topic_tag": options.topic_tag,
        "location_id": options.location_id,
        "quote_post_id": options.quote_of,
        "allowlisted_country_codes": ",".join(options.countries),
        "enable_reply_approvals": "true" if options.reply_approvals else "",
    }
    found |= {name: value for name, value in given.items() if value}
    if options.spoilers:
        parts = [{"entity_type": "SPOILER", "offset": part.offset, "length": part.length} for part in options.spoilers]
        found["text_entities"] = json.dumps(parts)
    return found | (_text_only(job, options) if isinstance(options, Text) else _media_only(options))


def _text_only(job: Job, options: Text) -> dict[str, str]:
    found = {"link_attachment": job.link["url"]} if job.link.get("url") else {}
    if options.poll:
        named = zip(("option_a", "option_b", "option_c", "option_d"), options.poll, strict=False)
        found["poll_attachment"] = json.dumps(dict(named))
    if options.long_text:
        found["text_attachment"] = json.dumps({"plaintext": options.long_text})
    return found


def _media_only(options: MediaOptions) -> dict[str, str]:
    return {"is_spoiler_media": "true"} if options.spoiler_media else {}


def read_container(job: Job, response: Response) -> Verdict:
    if _is_reply(job) and (not_yet := parent_missing(job, response)):
        return not_yet
    if problem := _error(job, response, anew=made_anew(job, "The platform could not use the files.")):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no container")
    return Go("status", READY_SECONDS, keep={"container": made, "polls": 0})


def _said(response: Response) -> str:
    return str(response.content.get("error_message") or "no reason is given")[:200]


def _never(response: Response) -> Verdict | None:
    """Return a failure where a container failed for a file of the wrong shape: it would be refused at each repeat."""
    said = classify_error(RULES.errors, _meta_posting.reported(_said(response)), 400, commit=False)
    return Failed("media_refused", f"{said.message} {said.remedy}") if said.error_class is ErrorClass.MEDIA else None


def _is_post(response: Response) -> bool:
    """Whether an answer says that what was a container has no ``status``, as a post has none (``meta.md`` 14, T11)."""
    error = member(response.content if isinstance(response.content, dict) else {}, "error")
    return error_code(response) == 100 and "nonexisting field" in str(error.get("message")).lower()


# --- publishing


def ask_publish(job: Job) -> Request:
    form = query(job, creation_id=job.kept_text("container"))
    if share := _options(job).share_to_story:
        form["crossreshare_to_ig" if share == "light" else "crossreshare_to_ig_dark_mode"] = "true"
    return Request("POST", _url(job, "me/threads_publish"), form=form)


def read_publish(job: Job, response: Response) -> Verdict:
    """A container that is not there on its first attempt is not ready: the same one again, after its status was read.

    Another one only after that, and never after an attempt whose outcome is unknown (``meta.md`` 7.5, 14: T9, T10).
    """
    if error_subcode(response) == NOT_THERE and not is_repeat(job):
        missed = job.kept_number("missed") + 1
        keep: Kept = {"missed": missed}
        if missed == 1:
            return Go("status", AGAIN_SECONDS, keep=keep)
        again = made_anew(job, "The platform does not find the container that it finished.")
        return Go("quota", 5.0, keep={**again.keep, **keep}) if missed == 2 and isinstance(again, Go) else _lost()
    if problem := _error(job, response, commit=True):
        return problem
    if not (made := text(response.content.get("id"))):
        return Unknown("the platform named no post")
    told = text(response.content.get("crossreshare_to_ig_status")).upper()
    keep = _share_told(job, {"SUCCESS": "success", "FAILED": "failed"}.get(told, "unknown"))
    return Published(made, step="permalink", keep=keep)


# The share to the story of the Instagram account is another visible thing, beside the post (meta.md 9.3). It is asked
# for by the call that publishes the container, so it is asked for again only where the container is not published: then
# nothing was shared either. There is no call that shares by itself, and none here that reads the account's stories.

SHARES: Mapping[str, str] = {
    "failed": "It is published on Threads, and the share to the story on Instagram failed. Share it in the app. Sharing"
    " needs the permission threads_share_to_instagram: if it was not asked for, connect the account again with"
    " optional_scopes=threads_share_to_instagram.",
    "unknown": "It is published on Threads, and whether it was shared to the story on Instagram is not known, as the"
    " answer that tells it was lost. Look at the account's stories before you share it again.",
}


def _share_told(job: Job, share: str) -> Kept:
    """Return what is kept of a share that was asked for: how it went, and what a person has to know of that."""
    if not _options(job).share_to_story:
        return {}
    if share not in SHARES:
        return {"story_share": share}
    return {"story_share": share, ASIDE: {"code": f"story_share_{share}", "message": SHARES[share]}}


def _share_unknown(read: Read) -> Read:
    """Return the reading of a step that finds out that the post is there, which tells nothing of the share."""

    def read_without_share(job: Job, response: Response) -> Verdict:
        found = read(job, response)
        if not isinstance(found, Published | PublishedUnnamed) or "story_share" in job.kept:
            return found
        return replace(found, keep={**found.keep, **_share_told(job, "unknown")})

    return read_without_share


def _lost() -> Failed:
    return Failed("container_failed", "The platform does not find the container that it finished.", retryable=True)


def ask_listing(job: Job) -> Request:
    """List the account's posts, or its replies, which are not among them (``meta.md`` 10.6)."""
    edge, fields = ("me/replies", f"{FIELDS},replied_to") if _is_reply(job) else ("me/threads", FIELDS)
    since = str(int(since_intent(job).timestamp()))
    return Request("GET", _url(job, edge), query(job, fields=fields, since=since, limit="50", **page_of(job)))


def _media_type(job: Job) -> str:
    if len(job.media) > 1:
        return "CAROUSEL_ALBUM"
    if job.media:
        return "VIDEO" if job.media[0].is_video else "IMAGE"
    return "TEXT_POST"


def _listed(job: Job, response: Response) -> list[JsonObject]:
    def same(post: JsonObject) -> bool:
        """What a reply answers is left out where that is gone or hidden (``meta.md`` 10.6)."""
        fits = text(post.get("media_type")) in ("", _media_type(job))
        answered = text(member(post, "replied_to").get("id")) in ("", job.parent_id)
        return fits and answered and normal(post.get("text")) == normal(job.text)

    return unbound(job, objects(response.content.get("data")), same, created="timestamp")


def ask_permalink(job: Job) -> Request:
    return Request("GET", _url(job, job.post_id), query(job, fields="permalink"))


CONTAINERS = Containers(
    errors=RULES.errors,
    status="status",
    make_child=_ask_child,
    read=lambda job, container: Request("GET", _url(job, container), query(job, fields="status,error_message")),
    reason=_said,
    listing=ask_listing,
    listed=_listed,
    is_unreadable=is_missing,
    is_post=_is_post,
    never=_never,
)

SINGLE = {
    "quota": Step(TargetState.PREPARING, Effect.READ, AGAIN, ask_quota, read_quota, ("container",)),
    "container": Step(
        *(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask_container, read_container), ("status", "quota")
    ),
    **{name: replace(step, read=_share_unknown(step.read)) for name, step in CONTAINERS.watching().items()},
    "publish": Step(
        *(TargetState.PUBLISHING, Effect.COMMIT, "look", ask_publish, read_publish),
        ("permalink", "status", "quota"),
    ),
    "permalink": permalink_step(RULES.errors, ask_permalink, "permalink"),
}
"""Of what has one file at most."""

SEVERAL = SINGLE | {
    "quota": Step(TargetState.PREPARING, Effect.READ, AGAIN, ask_quota, read_quota, ("child", "container")),
    **CONTAINERS.children(),
}
"""Of what may have several: a reply has one file, several or none."""


def _manage(job: Job, *, hide: bool) -> Request:
    return Request("POST", _url(job, f"{job.parent_id}/manage_reply"), form=query(job, hide=str(hide).lower()))


def _read(job: Job, fields: str) -> Request:
    return Request("GET", _url(job, job.parent_id), query(job, fields=fields))


HIDDEN = "HIDDEN"

ACTIONS = {
    "hide_comment": Action(
        "Hide a reply",
        lambda job: _manage(job, hide=True),
        lambda job: _read(job, "hide_status"),
        lambda _, reply: text(reply.get("hide_status")) == HIDDEN,
    ),
    "show_comment": Action(
        "Show a reply",
        lambda job: _manage(job, hide=False),
        lambda job: _read(job, "hide_status"),
        lambda _, reply: text(reply.get("hide_status")) not in ("", HIDDEN),
    ),
    "delete_post": Action(
        "Delete a post",
        lambda job: Request("DELETE", _url(job, job.parent_id), query(job)),
        lambda job: _read(job, "id"),
        None,
    ),
}


def inquire(app: App, account_id: str, secrets: Mapping[str, str]) -> Steps[AccountFacts]:
    """Ask how many posts are left (``meta.md`` 9.1)."""
    asked = {"access_token": secrets["access_token"], "fields": "quota_usage,config"}
    path = f"/v1.0/{account_id}/threads_publishing_limit"
    return quota(expected((yield Request("GET", app.url("graph", path), asked)), "asking"))


def kind_of(media: Sequence[Media], options: Kept, link: Mapping[str, str]) -> str:  # noqa: ARG001
    if len(media) > 1:
        return "carousel"
    if media:
        return "video" if media[0].is_video else "image"
    return "text"


MACHINES = [
    Machine("text", "Text", SINGLE, "quota"),
    Machine("image", "Image", SINGLE, "quota"),
    Machine("video", "Video", SINGLE, "quota"),
    Machine("carousel", "Carousel", SEVERAL, "quota"),
    Machine("reply", "Reply", SEVERAL, "quota"),
]

PLATFORM = PostingPlatform(
    machines={
        **{machine.name: machine for machine in MACHINES},
        **actions(RULES.errors, ACTIONS),
    },
    sample=Sample("text"),
    kind_of=kind_of,
    inquire=inquire,
    reply_kind="reply",
    reply_with_files=lambda _: "reply",
)
