"""A machine whose table contradicts itself does not load."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

import publish.platforms
from ops.runtime.discovery import discover
from ops.runtime.platform_protocol import Request, Response
from publish.posting.contract import (
    AGAIN,
    ASK_PERSON,
    Effect,
    Go,
    Job,
    Machine,
    MachineError,
    PostingPlatform,
    Step,
    Verdict,
)
from schema.states import TargetState


def ask(_: Job) -> Request:
    return Request("GET", "https://example.org")


def read(_: Job, __: Response) -> Verdict:
    return Go("end")


MAKE = Step(TargetState.PREPARING, Effect.REPEATABLE, AGAIN, ask, read, ("publish",))
PUBLISH = Step(TargetState.PUBLISHING, Effect.COMMIT, "look", ask, read, ("show",))
LOOK = Step(TargetState.UNCONFIRMED, Effect.READ, AGAIN, ask, read, ("publish",))
SHOW = Step(TargetState.PUBLISHED, Effect.READ, AGAIN, ask, read)
STEPS: Mapping[str, Step] = {"make": MAKE, "publish": PUBLISH, "look": LOOK, "show": SHOW}


def test_whole_machine_loads_and_draws_itself() -> None:
    drawn = Machine("whole", "Whole", STEPS, "make").diagram
    assert "make --> publish" in drawn
    assert "publish --> look: outcome unknown" in drawn
    assert "publish: publish (commit, publishing)" in drawn


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"publish": replace(PUBLISH, unknown=AGAIN)}, "could do twice is not asked again"),
        ({"publish": replace(PUBLISH, unknown="make")}, "no step that reads"),
        ({"publish": replace(PUBLISH, unknown="nowhere")}, "no step that reads"),
        ({"publish": replace(PUBLISH, unknown="show")}, "must see that it is unconfirmed"),
        ({"publish": replace(PUBLISH, state=TargetState.READY)}, "its state is publishing"),
        ({"publish": replace(PUBLISH, leads_to=("gone",))}, "it leads to gone, which there is not"),
        ({"make": replace(MAKE, unknown=ASK_PERSON)}, "it is asked again when its outcome is unknown"),
        ({"make": replace(MAKE, unknown="look")}, "it is asked again when its outcome is unknown"),
        ({"look": replace(LOOK, unknown=ASK_PERSON)}, "it is asked again when its outcome is unknown"),
        ({"show": replace(SHOW, leads_to=("publish",))}, "publish comes before publishing"),
        ({"make": replace(MAKE, state=TargetState.SCHEDULED)}, "is done in flight only"),
        ({"look": replace(LOOK, deadline=60.0)}, "a deadline and what is done then belong together"),
        ({"spare": SHOW}, "nothing leads to spare"),
        ({"make": replace(MAKE, read_log=lambda _: None)}, "only a step that reads may read the log"),
        ({"show": replace(SHOW, state=TargetState.AWAITING_PERSON)}, "nobody asks about it"),
        (
            {"show": replace(SHOW, state=TargetState.AWAITING_PERSON, read_log=lambda _: None, leads_to=("look",))},
            "look comes before publishing",
        ),
    ],
)
def test_contradictions_are_refused(changed: Mapping[str, Any], why: str) -> None:
    with pytest.raises(MachineError, match=why):
        Machine("bad", "Bad", {**STEPS, **changed}, "make")


def test_first_step_must_be_one_of_it() -> None:
    with pytest.raises(MachineError, match="there is no step nowhere"):
        Machine("bad", "Bad", STEPS, "nowhere")


def test_post_without_files_may_begin_at_a_step_of_its_own() -> None:
    machine = Machine("whole", "Whole", STEPS, "make", without_files="publish")
    assert (machine.beginning(files=True), machine.beginning(files=False)) == ("make", "publish")
    assert Machine("same", "Same", STEPS, "make").beginning(files=False) == "make"
    assert "[*] --> publish" in machine.diagram
    with pytest.raises(MachineError, match="there is no step nowhere"):
        Machine("bad", "Bad", STEPS, "make", without_files="nowhere")


def test_every_step_says_what_it_does_and_what_its_unknown_outcome_leads_to() -> None:
    machines = [
        machine
        for platform in discover(publish.platforms, PostingPlatform, "machines").values()
        for machine in platform.machines.values()
    ]
    steps = [step for machine in machines for step in machine.steps.values()]
    assert len(steps) > 20
    assert {step.effect for step in steps} >= {Effect.READ, Effect.REPEATABLE, Effect.COMMIT}
    with pytest.raises(TypeError):
        Step(TargetState.PREPARING, Effect.READ)  # type: ignore[call-arg]
