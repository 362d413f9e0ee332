"""Each step of each machine, with what its platform may answer; none is left without a test.

``step_answers`` is the table. A step that is added to a machine, or an arrow between two, fails here until a line of
the table goes through it.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import pytest

import publish.platforms
from ops.runtime.discovery import discover
from ops.runtime.platform_client import TRIPPED
from ops.runtime.platform_protocol import Response
from publish.posting.contract import (
    AFTERWARDS,
    Doubt,
    Effect,
    Failed,
    Go,
    HandedOver,
    Hold,
    Job,
    JsonValue,
    Machine,
    PostingPlatform,
    Published,
    PublishedUnnamed,
    Retry,
    Step,
    TokenRefused,
    Unknown,
    Verdict,
    Wait,
)
from publish.posting.decision import VISIBLE, decide
from schema.states import TargetState
from tests.unit.publish.platforms.sandbox_errors import SANDBOX_ERRORS
from tests.unit.publish.platforms.step_answers import FAMILIES, HOSTS, NOW, Family, Line

PLATFORMS = discover(publish.platforms, PostingPlatform, "machines")
ADDRESSES = (*HOSTS.values(), "https://up.example", "https://u.example")
MACHINES = [
    pytest.param(name, machine, id=f"{name}-{machine.name}")
    for name, platform in PLATFORMS.items()
    for machine in platform.machines.values()
]


SEEN_AS_PUBLISHED = (TargetState.PUBLISHING, TargetState.UNCONFIRMED)
"""States of readings of what may be visible already."""


@dataclass
class At:
    """How far a target has come."""

    state: TargetState
    step: str
    failures: int
    kept: Mapping[str, JsonValue] = field(default_factory=dict)
    intent_at: datetime | None = NOW
    asked: bool = False
    commits: int = 1


def told(verdict: Verdict | None) -> str:
    """Return in short what a verdict says, with the step or the code that it names."""
    match verdict:
        case None:
            return "nothing"
        case Go(step=step):
            return f"go {step}"
        case Published(post_id=post_id, step=step):
            return f"published {post_id}".strip() + (f", then {step}" if step else "")
        case PublishedUnnamed(step=step):
            return "published unnamed" + (f", then {step}" if step else "")
        case Retry(code=code) | Hold(code=code) | Failed(code=code):
            return f"{type(verdict).__name__.lower()} {code}"
    names = {HandedOver: "handed over", Doubt: "doubt", TokenRefused: "token", Unknown: "unknown", Wait: "wait"}
    return names[type(verdict)]


def read(step: Step, job: Job, response: Response) -> Verdict:
    """As the driver does, which takes what cannot be read for unknown."""
    try:
        return step.read(job, response)
    except TRIPPED:
        return Unknown("unreadable")


def verdict_of(step: Step, job: Job, line: Line) -> Verdict | None:
    if line.seen:
        assert step.read_log is not None, line
        return step.read_log(job)
    if line.answer is not None:
        return read(step, job, line.answer)
    assert step.overdue is not None, line
    return step.overdue(job)


def lines_of(platform: str, machine: Machine) -> Iterator[tuple[Family, Line]]:
    for family in FAMILIES:
        if family.platform == platform and machine.name in family.media:
            yield from ((family, line) for line in family.lines)


@pytest.mark.parametrize(("platform", "machine"), MACHINES)
def test_answer_means_what_the_page_says(platform: str, machine: Machine) -> None:
    wrong = []
    for family, line in lines_of(platform, machine):
        step, job = machine.steps[line.step], family.job(machine.name, line)
        if line.answer is not None:
            assert step.ask(job).url.startswith(ADDRESSES), line
        verdict = verdict_of(step, job, line)
        wrong += [f"{told(verdict)}: {line}"] if told(verdict) != line.means else []
        leads_to = getattr(verdict, "step", "")
        wrong += [f"no arrow leads there: {line}"] if leads_to not in ("", step.unknown, *step.leads_to) else []
    assert not wrong, "\n".join(wrong)


NOTHING_KNOWN = [
    Response(status, content) for status in (400, 403, 404, 418, 500, 502) for content in (None, [], {"a": 1})
]
"""Answers of nobody's, such as a proxy's."""


def errors_of(platform: str) -> Sequence[Response]:
    """What the platform may answer in place of what was asked for."""
    return [*SANDBOX_ERRORS[platform].values(), *NOTHING_KNOWN]


def one_for_each_step(platform: str, machine: Machine) -> Iterable[tuple[Family, Line]]:
    """Return a line of each step, for what it has besides its answer."""
    return {line.step: (family, line) for family, line in lines_of(platform, machine)}.values()


@pytest.mark.parametrize(("platform", "machine"), MACHINES)
def test_no_error_of_a_reading_decides_against_a_post_that_may_be_there(platform: str, machine: Machine) -> None:
    for family, line in one_for_each_step(platform, machine):
        step = machine.steps[line.step]
        if step.effect is not Effect.READ or step.state not in (*AFTERWARDS, *SEEN_AS_PUBLISHED):
            continue
        for response in errors_of(platform):
            for failures in (0, 99):
                job = replace(family.job(machine.name, line), intent_at=NOW)
                verdict = read(step, job, response)
                if isinstance(verdict, TokenRefused):  # what the driver finds where the platform stays with it
                    verdict = Failed("access_token_invalid", "")
                outcome = decide(At(step.state, line.step, failures, job.kept), machine, verdict)
                assert outcome.state is not TargetState.FAILED, (line.step, response, outcome)
                assert step.state not in AFTERWARDS or outcome.state in AFTERWARDS, (line.step, response, outcome)


@pytest.mark.parametrize(("platform", "machine"), MACHINES)
def test_unreadable_answer_to_what_people_may_see_is_no_failure(platform: str, machine: Machine) -> None:
    for family, line in one_for_each_step(platform, machine):
        step = machine.steps[line.step]
        if step.effect in VISIBLE:
            for response in (
                Response(status, content) for status in (500, 502, 504) for content in (None, [], {"a": 1})
            ):
                found = read(step, family.job(machine.name, line), response)
                uploads = (platform, line.step) == ("tiktok", "last")  # the same part again, to the same address
                assert isinstance(found, Retry if uploads else Unknown | Go), (line, response, found)


@pytest.mark.parametrize(("platform", "machine"), MACHINES)
def test_failure_tells_a_person_what_to_do_and_not_that_it_passes_by_itself(platform: str, machine: Machine) -> None:
    for family, line in one_for_each_step(platform, machine):
        for response in errors_of(platform):
            found = read(machine.steps[line.step], family.job(machine.name, line), response)
            if isinstance(found, Failed) and machine.steps[line.step].state not in AFTERWARDS:
                assert found.code, (line, response)
                assert found.message.endswith("."), found
                assert "by itself" not in found.message, found
                assert "by themselves" not in found.message, found


@pytest.mark.parametrize(("platform", "machine"), MACHINES)
def test_no_step_is_without_an_answer_and_no_deadline_without_its_end(platform: str, machine: Machine) -> None:
    lines = [line for _, line in lines_of(platform, machine)]
    assert machine.steps.keys() - {line.step for line in lines if line.answer is not None} == set()
    late = {name for name, step in machine.steps.items() if step.deadline is not None}
    assert {line.step for line in lines if line.answer is None and not line.seen} == late


@pytest.mark.parametrize(("platform", "machine"), MACHINES)
def test_something_decides_at_each_step_that_heeds_the_log_and_no_other_step_heeds_it(
    platform: str, machine: Machine
) -> None:
    lines = [line for _, line in lines_of(platform, machine)]
    reading = {name for name, step in machine.steps.items() if step.read_log is not None}
    assert {line.step for line in lines if line.seen} == reading
    assert {line.step for line in lines if line.seen and line.means != "nothing"} == reading


@pytest.mark.parametrize(("platform", "machine"), MACHINES)
def test_what_the_platform_processes_has_a_deadline_after_which_it_is_made_again_or_a_person_is_told(
    platform: str, machine: Machine
) -> None:
    for family, line in one_for_each_step(platform, machine):
        step = machine.steps[line.step]
        if step.state is TargetState.PROCESSING or line.step == "status":
            assert step.deadline is not None, line.step
            assert step.overdue is not None
            assert isinstance(step.overdue(family.job(machine.name, line)), Doubt | Failed | Go | Published)


DRAWN = {
    (platform, machine.diagram): [
        each for each in PLATFORMS[platform].machines.values() if each.diagram == machine.diagram
    ]
    for platform in PLATFORMS
    for machine in PLATFORMS[platform].machines.values()
}
"""The machines of each diagram of ``docs/machines.md``."""


@pytest.mark.parametrize(
    ("platform", "machines"),
    [
        pytest.param(platform, machines, id=f"{platform}-{machines[0].name}")
        for (platform, _), machines in DRAWN.items()
    ],
)
def test_every_arrow_of_a_diagram_is_taken(platform: str, machines: list[Machine]) -> None:
    taken = {
        (line.step, getattr(verdict_of(machine.steps[line.step], family.job(machine.name, line), line), "step", ""))
        for machine in machines
        for family, line in lines_of(platform, machine)
    }
    drawn = {(name, other) for name, step in machines[0].steps.items() for other in step.leads_to}
    assert drawn - taken == set()
