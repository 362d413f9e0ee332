"""The states of an event of the log, as a table: which state follows which, by what happens. Standard library only.

The row of ``webhook_event_queue`` is the state ``pending``; every other state is that of a row of
``webhook_event_outcomes``. Triggers of the database refuse every other transition, and a test compares them with this
table. What ingest receives begins as ``pending``, or as ``parked`` where it could not be read.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    PENDING = "pending"
    DONE = "done"
    IGNORED = "ignored"
    PARKED = "parked"
    DEAD = "dead"


class Step(StrEnum):
    """What can happen to an event."""

    PROJECT = "project"
    """Its facts are written."""
    SKIP = "skip"
    """Nothing reads its type."""
    FAIL = "fail"
    """It is tried again later."""
    PARK = "park"
    """It cannot be projected as it is, or failed too often: a person decides."""
    GIVE_UP = "give_up"
    """It was put back after being parked, and failed too often again."""
    RELEASE = "release"
    """A person, or a new release, puts it back to be projected."""
    IGNORE = "ignore"
    """A person decided that it is not to be projected."""


TRANSITIONS: Mapping[State, Mapping[Step, State]] = MappingProxyType(
    {
        State.PENDING: {
            Step.PROJECT: State.DONE,
            Step.SKIP: State.IGNORED,
            Step.FAIL: State.PENDING,
            Step.PARK: State.PARKED,
            Step.GIVE_UP: State.DEAD,
        },
        State.DONE: {Step.RELEASE: State.PENDING},
        State.IGNORED: {Step.RELEASE: State.PENDING},
        State.PARKED: {Step.RELEASE: State.PENDING, Step.IGNORE: State.IGNORED},
        State.DEAD: {Step.RELEASE: State.PENDING, Step.IGNORE: State.IGNORED},
    }
)

ON_THE_QUEUE = (State.PENDING.value, "leased")
"""A pending event as the view ``webhook_events`` shows it: waiting, or being worked on."""

SETTLED = tuple(state for state in State if state is not State.PENDING)
"""The states of rows of ``webhook_event_outcomes``."""


class IllegalTransitionError(Exception):
    """A step, or the event of a state machine, that the state does not allow."""


def after(step: Step, state: State = State.PENDING) -> State:
    """Return the state that ``step`` leads to. Raises IllegalTransitionError."""
    try:
        return TRANSITIONS[state][step]
    except KeyError:
        raise IllegalTransitionError(f"an event that is {state} cannot {step}") from None


def quoted(states: Iterable[State]) -> str:
    """Return states as SQL text literals, to stand within ``IN (…)``."""
    return ", ".join(f"'{state}'" for state in states)


def sources(step: Step) -> tuple[State, ...]:
    """Return the states in which ``step`` is possible."""
    return tuple(state for state, steps in TRANSITIONS.items() if step in steps)


PROCESSED = tuple(state for state in SETTLED if Step.IGNORE not in TRANSITIONS[state])
"""Settled for good: ``processed_at`` is set."""

FOR_A_PERSON = sources(Step.IGNORE)
"""Settled for now: they wait for somebody's decision."""
