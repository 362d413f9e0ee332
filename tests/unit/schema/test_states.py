"""State machines as tables: what follows what, and the SQL and the diagram that are made of it."""

import pytest

from schema.event_states import TRANSITIONS, IllegalTransitionError
from schema.states import CONNECTION, DELETION_REQUEST, NOTICE, document


def test_event_leads_from_the_states_that_know_it_and_from_no_other() -> None:
    assert CONNECTION.next("needs_reconnect", "connect") == "active"
    with pytest.raises(IllegalTransitionError, match="end_grant is not possible in state disconnected"):
        CONNECTION.next("disconnected", "end_grant")


def test_condition_of_an_event_names_every_state_that_it_is_possible_in() -> None:
    assert CONNECTION.allows("end_grant") == "((state = 'active'))"
    assert CONNECTION.allows("disconnect") == "((state = 'active') OR (state = 'needs_reconnect'))"


@pytest.mark.parametrize("event", ["no such event", "erase and finish"])
def test_event_that_nothing_knows_is_an_error_and_no_condition_that_is_always_false(event: str) -> None:
    for ask in (NOTICE.allows, NOTICE.target):
        with pytest.raises(IllegalTransitionError):
            ask(event)


def test_event_leads_to_one_state_wherever_it_is_possible() -> None:
    assert (CONNECTION.target("disconnect"), DELETION_REQUEST.target("finish")) == ("disconnected", "done")


def test_diagram_begins_with_what_makes_a_row_and_ends_where_nothing_leaves() -> None:
    assert NOTICE.diagram == (
        "stateDiagram-v2\n    [*] --> open: raise\n    open --> resolved: resolve\n    resolved --> [*]"
    )


def test_documentation_shows_every_transition_of_an_event() -> None:
    section = document().split("\n## Events of the log")[1].split("\n## ")[0]
    shown = set()
    for line in section.splitlines():
        if " --> " in line and not line.strip().startswith("[*]"):
            before, after, steps = line.replace(" --> ", ":").split(":")
            shown |= {(before.strip(), step.strip(), after) for step in steps.split(",")}
    assert shown == {(before, step, after) for before, steps in TRANSITIONS.items() for step, after in steps.items()}
