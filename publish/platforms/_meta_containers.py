"""What the machines of Instagram and Threads share: containers, of which one is published once it is finished.

A container is made, also one for each file of a carousel, and watched until it is finished (``meta.md`` 8.1, 9.1).
After a publish whose outcome is unknown the container tells what came of it, and where it cannot be read, the list of
posts does (``meta.md`` 9.6).
"""

from collections.abc import Callable
from dataclasses import dataclass

from ops.runtime.platform_protocol import JsonObject, Request, Response, objects, text
from publish.platforms._meta_machines import DAY, LISTING, SETTLE, anew, next_cursor, poll, shown_post, unread
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
    Published,
    PublishedUnnamed,
    ReadLog,
    Step,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.matching import next_page, one_of
from publish.posting.verdicts import error_verdict, in_doubt
from publish.preflight.error_catalogue import ErrorCatalogue
from schema.states import TargetState

BEGUN: Kept = {"container": "", "children": [], "ready": 0}
"""What is kept of containers before any is made."""


def made_anew(job: Job, message: str) -> Verdict:
    """Make new containers, a few times."""
    return anew(job, "quota", BEGUN, message)


@dataclass(frozen=True, slots=True)
class Containers:
    """How a platform makes, reads and lists containers.

    ``make_child`` asks for the container of a file, by its place in the post, counted from 0. ``read`` asks how far the
    container with an id is: ``status`` names the field that says it, and ``reason`` returns why it failed. ``is_post``
    tells whether the answer is that of the post which it became; ``is_unreadable`` whether the platform hides it.
    ``never`` returns a failure where the same file would be refused as often as it is sent. ``listing`` reads the
    account's posts, and ``listed`` picks those that may be ours. ``read_log`` reads what the log has of them; None
    where it has nothing.
    """

    errors: ErrorCatalogue
    status: str
    make_child: Callable[[Job, int], Request]
    read: Callable[[Job, str], Request]
    reason: Callable[[Response], str]
    listing: Ask
    listed: Callable[[Job, Response], list[JsonObject]]
    is_unreadable: Callable[[Response], bool]
    is_post: Callable[[Response], bool] = lambda _: False
    never: Callable[[Response], Verdict | None] = lambda _: None
    read_log: ReadLog | None = None

    # --- the files of a carousel

    def ask_child(self, job: Job) -> Request:
        """One container for each file of a carousel, in order."""
        return self.make_child(job, len(job.kept_list("children")))

    def read_child(self, job: Job, response: Response) -> Verdict:
        if problem := error_verdict(self.errors, job, response):
            return problem
        if not (made := text(response.content.get("id"))):
            return Unknown("the platform named no container")
        children: list[JsonValue] = [*job.kept_list("children"), made]
        return Go("child" if len(children) < len(job.media) else "children", keep={"children": children})

    def ask_children(self, job: Job) -> Request:
        """Read the first child that is not known to be finished: they count too (``meta.md`` 8.5, 14: T6)."""
        return self.read(job, job.kept_list("children")[job.kept_number("ready")])

    def read_children(self, job: Job, response: Response) -> Verdict:
        if problem := unread(self.errors, job, response):
            return problem
        ready = job.kept_number("ready")
        match text(response.content.get(self.status)):
            case "FINISHED":
                done = ready + 1 == len(job.kept_list("children"))
                return Go("container" if done else "children", keep={"ready": ready + 1, "polls": 0})
            case "ERROR" | "EXPIRED":
                # Only this one is made again: its siblings are as good as they were (meta.md 7.4, 9004).
                message = f"The platform could not use file {ready + 1}: {self.reason(response)}"
                return self.never(response) or anew(job, "child_again", {}, message)
        return poll(job)

    def ask_child_again(self, job: Job) -> Request:
        return self.make_child(job, job.kept_number("ready"))

    def read_child_again(self, job: Job, response: Response) -> Verdict:
        if problem := error_verdict(self.errors, job, response):
            return problem
        if not (made := text(response.content.get("id"))):
            return Unknown("the platform named no container")
        children: list[JsonValue] = [*job.kept_list("children")]
        children[job.kept_number("ready")] = made
        return Go("children", keep={"children": children, "polls": 0})

    def children(self) -> dict[str, Step]:
        """Return the steps of the files of a carousel."""
        return {
            "child": Step(
                *(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, self.ask_child, self.read_child),
                ("child", "children"),
            ),
            "children": Step(
                *(TargetState.PROCESSING, Effect.READ, AGAIN, self.ask_children, self.read_children),
                ("children", "container", "child_again", "quota"),
                DAY,
                overdue_status,
            ),
            "child_again": Step(
                *(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, self.ask_child_again, self.read_child_again),
                ("children",),
            ),
        }

    # --- the container that is published

    def ask_status(self, job: Job) -> Request:
        return self.read(job, job.kept_text("container"))

    def read_status(self, job: Job, response: Response) -> Verdict:
        if self.is_post(response):
            return PublishedUnnamed("locate")
        if problem := unread(self.errors, job, response):
            return problem
        match text(response.content.get(self.status)):
            case "FINISHED":
                return Go("publish")
            case "PUBLISHED":
                return PublishedUnnamed("locate")
            case "ERROR" | "EXPIRED":
                return self._ended(job, response)
        return poll(job)

    def read_look(self, job: Job, response: Response) -> Verdict:
        """What the container says after a publish whose outcome is unknown (``meta.md`` 9.6)."""
        if self.is_unreadable(response):
            return SETTLE.not_found(job, Go("search"))
        published = self.is_post(response)
        if not published and (problem := unread(self.errors, job, response)):
            return problem
        match "PUBLISHED" if published else text(response.content.get(self.status)):
            case "PUBLISHED":
                return PublishedUnnamed("locate")
            case "FINISHED":
                return SETTLE.not_found(job, Go("publish"))
            case "ERROR" | "EXPIRED":
                return self._ended(job, response)
        return poll(job)

    def _ended(self, job: Job, response: Response) -> Verdict:
        message = f"The platform could not use the files: {self.reason(response)}"
        return self.never(response) or made_anew(job, message)

    # --- the list of posts, which tells where the container does not

    def read_search(self, job: Job, response: Response) -> Verdict:
        """For a container that cannot be read, where only the list can tell (``meta.md`` 9.6, point 6)."""
        if problem := unread(self.errors, job, response):
            return problem
        message = (
            "The container cannot be read, and no post like this is listed. Look there, and say whether it is there."
        )
        doubt = in_doubt(job, message, "the list of posts was read twice, ten minutes apart")
        found, more = self.listed(job, response), _more(job, response)
        return one_of(job, found, _found, LISTING, doubt, shown=_shown, more=more)

    def read_locate(self, job: Job, response: Response) -> Verdict:
        """Find the id of what is published; nothing found leaves it published, with its id unknown."""
        if problem := unread(self.errors, job, response):
            return problem
        looks = Looks(12, 3600)
        not_there = Failed("not_listed", "")
        return one_of(
            job, self.listed(job, response), _found, looks, not_there, shown=_shown, more=_more(job, response)
        )

    def watching(self) -> dict[str, Step]:
        """Return the steps that read what became of a container."""
        return {
            "status": Step(
                *(TargetState.PROCESSING, Effect.READ, AGAIN, self.ask_status, self.read_status),
                ("publish", "locate", "quota"),
                DAY,
                overdue_status,
            ),
            "look": Step(
                *(TargetState.UNCONFIRMED, Effect.READ, AGAIN, self.ask_status, self.read_look),
                ("publish", "search", "locate", "quota"),
                DAY,
                overdue_look,
                self.read_log,
            ),
            "search": Step(
                TargetState.UNCONFIRMED, Effect.READ, AGAIN, self.listing, self.read_search, read_log=self.read_log
            ),
            "locate": Step(
                TargetState.PUBLISHED_ID_UNKNOWN,
                Effect.READ,
                AGAIN,
                self.listing,
                self.read_locate,
                read_log=self.read_log,
            ),
        }


def overdue_status(job: Job) -> Verdict:
    return made_anew(job, "The platform was still processing the files after a day.")


def overdue_look(job: Job) -> Verdict:
    return in_doubt(job, "The platform did not say within a day whether it was published. Look there.")


def _found(post: JsonObject) -> Published:
    return Published(text(post.get("id")), text(post.get("permalink")))


def _more(job: Job, response: Response) -> Wait | None:
    return next_page(job, objects(response.content.get("data")), next_cursor(response), created="timestamp")


def _shown(post: JsonObject) -> str:
    return shown_post(post, "permalink", "timestamp")
