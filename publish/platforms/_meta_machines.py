"""What the machines of Instagram, Facebook and Threads share: requests to Graph, comments, and acting on what is there.

Hiding, editing and deleting are repeated without harm (``meta.md`` 9.6): their outcome is read from the object itself.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from ops.runtime.graph_api import VERSION
from ops.runtime.platform_protocol import JsonObject, Request, Response, member, number, objects, text
from publish.posting.contract import (
    AGAIN,
    Ask,
    Effect,
    Failed,
    Go,
    Job,
    Kept,
    Looks,
    Machine,
    Published,
    Retry,
    Step,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.matching import PAGE, next_page, normal, one_of, unbound
from publish.posting.verdicts import error_verdict, in_doubt, is_repeat
from publish.preflight.error_catalogue import ErrorCatalogue
from schema.states import TargetState

UPLOADS = "rupload"
"""The name of the host that takes files by bytes (``meta.md`` 8.4, 9.2)."""

POLL_SECONDS, SLOW_POLL_SECONDS, MANY_POLLS = 5.0, 60.0, 24
"""What is being processed is asked often for two minutes and once a minute after that (``meta.md`` 8.1)."""

DAY = 86_400.0
"""A container that is not published ends after a day, and nothing is processed longer than that (``meta.md`` 8.1)."""

MOST_CONTAINERS = 3
"""How often a container or an upload that ends or fails is made, at most (``faults.md`` H5)."""

SETTLE = Looks(2, 60)
"""A status that says that nothing happened counts when it was read twice, a minute apart (``meta.md`` 9.6)."""

LISTING = Looks(2, 600)
"""A listing without the post counts when it was read twice, ten minutes apart (``meta.md`` 9.6)."""

ANSWERS = Looks(3, 300)
"""How long a comment or a reply is looked for."""

PARENT_SECONDS = 20.0
"""What is seconds old may not be found by a call that answers it (``meta.md`` 9.6)."""


def url(job: Job, path: str) -> str:
    return job.app.url("graph", f"{VERSION}/{path}")


def query(job: Job, **more: str) -> dict[str, str]:
    return {"access_token": job.token, **more}


def page_of(job: Job) -> dict[str, str]:
    """Return the parameter for the page of a listing that is to be read; none for the first (``meta.md`` 10.7)."""
    page = job.kept_text(PAGE)
    return {"after": page} if page else {}


def next_cursor(response: Response) -> str:
    """Return where the next page of a listing begins; '' after the last, which has no ``next`` (``meta.md`` 10.7)."""
    paging = member(response.content, "paging")
    return text(member(paging, "cursors").get("after")) if paging.get("next") else ""


def error_code(response: Response) -> int | None:
    return _number_in_error(response, "code")


def error_subcode(response: Response) -> int | None:
    return _number_in_error(response, "error_subcode")


def _number_in_error(response: Response, name: str) -> int | None:
    content = response.content if isinstance(response.content, dict) else {}
    found = number(member(content, "error").get(name))
    return None if found is None else int(found)


def is_missing(response: Response) -> bool:
    """Whether an answer says that there is no such object, or that it may not be seen (``meta.md`` 7.4)."""
    return error_code(response) == 100 and error_subcode(response) == 33


def poll(job: Job) -> Wait:
    polls = job.kept_number("polls") + 1
    return Wait(POLL_SECONDS if polls < MANY_POLLS else SLOW_POLL_SECONDS, keep={"polls": polls})


def unread(errors: ErrorCatalogue, job: Job, response: Response) -> Verdict | None:
    """Return what an error of a reading means; None if the response is no error.

    Once something may be visible, no reading that fails says that it is not.
    """
    problem = error_verdict(errors, job, response)
    if isinstance(problem, Failed) and job.intent_at is not None:
        return Retry(problem.code, problem.message)
    return problem


def parent_missing(job: Job, response: Response) -> Verdict | None:
    """Return a repeat where what is answered is not found yet: it was not done (``meta.md`` 9.6)."""
    gone = is_missing(response) or error_subcode(response) == 4279009
    if not gone or is_repeat(job):
        return None
    return Retry("parent_not_found", "The platform does not find what this answers, or not yet.", PARENT_SECONDS)


def read_object(job: Job, fields: str) -> Request:
    """Read fields of what is acted on."""
    return Request("GET", url(job, job.parent_id), query(job, fields=fields))


def delete_object(job: Job) -> Request:
    """Delete what is acted on."""
    return Request("DELETE", url(job, job.parent_id), query(job))


@dataclass(frozen=True, slots=True)
class Action:
    """Something that is done to a post or a comment that is there, which the job names as ``parent_id``.

    ``look`` reads the object, and ``done`` tells by it whether it was done; None where that is when the object is gone.
    """

    title: str
    ask: Ask
    look: Ask
    done: Callable[[Job, JsonObject], bool] | None


def actions(errors: ErrorCatalogue, by_kind: Mapping[str, Action]) -> dict[str, Machine]:
    return {kind: _action(errors, kind, action) for kind, action in by_kind.items()}


def _action(errors: ErrorCatalogue, kind: str, action: Action) -> Machine:
    def read_act(job: Job, response: Response) -> Verdict:
        if is_missing(response) and not is_repeat(job):
            return Retry("not_found", "The platform does not find it, or does not show it to this account.", 60.0)
        if problem := error_verdict(errors, job, response, commit=True):
            return problem
        # Of some the answer was not read on any page; a refusal always has an error in it (meta.md 9.1).
        if response.content.get("success", True) is not True:
            return Unknown("the platform did not say that it was done")
        return Published("")

    def read_look(job: Job, response: Response) -> Verdict:
        if action.done is None and is_missing(response):
            return SETTLE.not_found(job, Published(""))
        if problem := unread(errors, job, response):
            return problem
        if action.done is not None and action.done(job, response.content):
            return Published("")
        return SETTLE.not_found(job, Go("act"))

    def overdue(job: Job) -> Verdict:
        return in_doubt(job, "The platform did not say within a day whether it was done. Look there.")

    steps = {
        "act": Step(TargetState.PUBLISHING, Effect.KEYED, "look", action.ask, read_act),
        "look": Step(TargetState.UNCONFIRMED, Effect.READ, AGAIN, action.look, read_look, ("act",), DAY, overdue),
    }
    return Machine(kind, action.title, steps, "act")


@dataclass(frozen=True, slots=True)
class Commenting:
    """How a platform is told a comment, and where it lists them.

    ``own`` tells whether the account wrote one that is listed; ``text`` and ``created`` name the fields with its text
    and its time. ``address`` asks for the address of one; None where it has none. ``in_log`` returns the account's own
    comments at the same place of which webhooks told, as a listing has them; None where nothing tells of them.
    """

    ask: Ask
    listing: Ask
    own: Callable[[Job, JsonObject], bool]
    text: str
    created: str
    address: Ask | None = None
    in_log: Callable[[Job], list[JsonObject]] | None = None


def commenting(errors: ErrorCatalogue, kind: str, title: str, how: Commenting) -> Machine:
    """Return the machine of a comment or of an answer to one."""
    after = "" if how.address is None else "permalink"

    def read_say(job: Job, response: Response) -> Verdict:
        if not_yet := parent_missing(job, response):
            return not_yet
        if problem := error_verdict(errors, job, response, commit=True):
            return problem
        if not (made := text(response.content.get("id"))):
            return Unknown("the platform named no comment")
        return Published(made, step=after)

    def read_look(job: Job, response: Response) -> Verdict:
        return unread(errors, job, response) or _found_comment(job, response, how, after)

    def comment_in_log(job: Job) -> Verdict | None:
        """One that fits is ours; several are for the listing, which says more of each (``meta.md`` 9.6)."""
        found = _fitting(job, how.in_log(job), how) if how.in_log is not None else []
        return Published(text(found[0].get("id")), step=after) if len(found) == 1 else None

    steps = {
        "say": Step(TargetState.PUBLISHING, Effect.COMMIT, "look", how.ask, read_say, (after,) if after else ()),
        "look": Step(
            *(TargetState.UNCONFIRMED, Effect.READ, AGAIN, how.listing, read_look),
            (after,) if after else (),
            read_log=None if how.in_log is None else comment_in_log,
        ),
    }
    if how.address is not None:
        steps["permalink"] = permalink_step(errors, how.address)
    return Machine(kind, title, steps, "say")


def _fitting(job: Job, comments: list[JsonObject], how: Commenting) -> list[JsonObject]:
    """Return the comments that may be ours: same text, made since the intent (``meta.md`` 9.6)."""
    return unbound(job, comments, lambda one: normal(one.get(how.text)) == normal(job.text), created=how.created)


def _found_comment(job: Job, response: Response, how: Commenting, after: str) -> Verdict:
    """Return what a listing tells of the account's own comments."""

    def published(comment: JsonObject) -> Published:
        return Published(text(comment.get("id")), step=after)

    message = "No comment like this is listed. Look there, and say whether it is there."
    doubt = in_doubt(job, message, "the list of comments was read three times over five minutes")
    listed = objects(response.content.get("data"))
    found = _fitting(job, [comment for comment in listed if how.own(job, comment)], how)
    more = next_page(job, listed, next_cursor(response), created=how.created)
    shown = partial(shown_post, address="id", created=how.created)
    return one_of(job, found, published, ANSWERS, doubt, shown=shown, more=more)


def permalink_step(errors: ErrorCatalogue, ask: Ask, field: str = "permalink_url") -> Step:
    """Return the step that reads the address of what is published."""

    def read_permalink(job: Job, response: Response) -> Verdict:
        if problem := error_verdict(errors, job, response):
            return problem
        return Published(job.post_id, text(response.content.get(field)))

    return Step(TargetState.PUBLISHED, Effect.READ, AGAIN, ask, read_permalink)


def shown_post(post: JsonObject, address: str, created: str) -> str:
    """Describe a listed post to the person who decides."""
    return f"{text(post.get(address)) or text(post.get('id'))} of {text(post.get(created))}"


def anew(job: Job, step: str, begun: Kept, message: str) -> Verdict:
    """Make again what ended or failed, a few times; ``begun`` replaces what was kept of it."""
    made = job.kept_number("made_again") + 1
    if made >= MOST_CONTAINERS:
        return Failed("container_failed", message, retryable=True)
    return Go(step, 5.0, keep={**begun, "polls": 0, "made_again": made})
