"""State machines, each as a table: which state follows which, by what event, and how PostgreSQL tells the states apart.

The stores build the conditions of their updates from these tables, a trigger of the database refuses every other
transition, and ``docs/states.md`` is made from them by ``python -m schema.states``. Standard library only.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from schema.event_states import TRANSITIONS, IllegalTransitionError, State


class ConnectionState(StrEnum):
    ACTIVE = "active"
    NEEDS_RECONNECT = "needs_reconnect"
    DISCONNECTED = "disconnected"


class TargetState(StrEnum):
    """How far a post is at one of its targets. ``unconfirmed``: it may be there, and is looked for or decided upon."""

    DRAFT = "draft"
    AWAITING_APPROVAL = "awaiting_approval"
    SCHEDULED = "scheduled"
    PREPARING = "preparing"
    UPLOADING = "uploading"
    PROCESSING = "processing"
    READY = "ready"
    PUBLISHING = "publishing"
    PUBLISHED = "published"
    PUBLISHED_ID_UNKNOWN = "published_id_unknown"
    UNCONFIRMED = "unconfirmed"
    AWAITING_PERSON = "awaiting_person"
    FAILED = "failed"
    CANCELLED = "cancelled"
    MISSED = "missed"


class RecurrenceState(StrEnum):
    ACTIVE = "active"
    PAUSED = "paused"
    ENDED = "ended"


class OccurrenceState(StrEnum):
    """What became of an occurrence. ``replaced``: its post was cancelled by a change before it was published."""

    MADE = "made"
    MISSED = "missed"
    REPLACED = "replaced"


IN_FLIGHT = (
    TargetState.PREPARING,
    TargetState.UPLOADING,
    TargetState.PROCESSING,
    TargetState.READY,
    TargetState.PUBLISHING,
)
"""The states between the first request for a target and the end of its publishing."""


LISTENING = (
    TargetState.PROCESSING,
    TargetState.PUBLISHED_ID_UNKNOWN,
    TargetState.UNCONFIRMED,
    TargetState.AWAITING_PERSON,
)
"""States in which a platform may tell what became of a target without being asked."""

NOT_BEGUN = (TargetState.DRAFT, TargetState.AWAITING_APPROVAL, TargetState.SCHEDULED)
"""States of a target that nobody began to publish."""

POSTED = (TargetState.PUBLISHED, TargetState.PUBLISHED_ID_UNKNOWN, TargetState.AWAITING_PERSON)
NOT_POSTED = (TargetState.FAILED, TargetState.MISSED)
"""What the user's words *posted* and *failed* stand for; *cancelled* is itself, and *pending* is every other state."""


@dataclass(frozen=True, slots=True)
class StateMachine:
    """The states of the rows of one table.

    ``conditions`` hold, for each state, the SQL condition on a row that is in it: exactly one of them is true for any
    row. ``transitions`` hold, for each state, the state that each event leads to. ``created_by`` is the event that
    makes a row in the state ``initial``. Deleting a row is no transition, and inserting one is not checked by the
    database, so that a backup can be restored.
    """

    title: str
    table: str
    created_by: str
    initial: str
    conditions: Mapping[str, str]
    transitions: Mapping[str, Mapping[str, str]]
    notes: str = ""

    def next(self, state: str, event: str) -> str:
        """Return the state that the event leads to. Raises IllegalTransitionError."""
        try:
            return self.transitions[state][event]
        except KeyError:
            raise IllegalTransitionError(f"{self.table}: {event} is not possible in state {state}") from None

    def target(self, event: str) -> str:
        """Return the one state that the event leads to, from wherever it is possible. Raises IllegalTransitionError."""
        found = {events[event] for events in self.transitions.values() if event in events}
        if len(found) != 1:
            raise IllegalTransitionError(f"{self.table}: {event} leads to {sorted(found) or 'nothing'}")
        return found.pop()

    def allows(self, event: str) -> str:
        """Return the SQL condition on a row in which the event is possible. Raises IllegalTransitionError."""
        self.target(event)
        return self.any_of(*(state for state, events in self.transitions.items() if event in events))

    def any_of(self, *states: str, row: str = "") -> str:
        """Return the SQL condition on a row that is in one of these states; ``row`` is its table's alias, if any."""
        conditions = (self.conditions[state] for state in states)
        if row:
            conditions = (re.sub(r"\bstate\b", f"{row}.state", condition) for condition in conditions)
        return f"({' OR '.join(f'({condition})' for condition in conditions)})"

    @property
    def column(self) -> str:
        """An SQL expression for the state of a row."""
        cases = "\n".join(f"        WHEN {condition} THEN '{state}'" for state, condition in self.conditions.items())
        return f"CASE\n{cases} END"

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """The changes from one state to another that some event makes."""
        found = {(state, after) for state, events in self.transitions.items() for after in events.values()}
        return frozenset(pair for pair in found if pair[0] != pair[1])

    @property
    def diagram(self) -> str:
        """A Mermaid state diagram. A state that nothing leaves leads to the end."""
        return diagram({self.created_by: self.initial}, self.transitions)


def diagram(created: Mapping[str, str], transitions: Mapping[str, Mapping[str, str]]) -> str:
    """Return a Mermaid state diagram. ``created`` has the first states by the events that make a row."""
    lines = [f"[*] --> {state}: {event}" for event, state in created.items()]
    for state, events in transitions.items():
        by_target: dict[str, list[str]] = {}
        for event, after in events.items():
            by_target.setdefault(after, []).append(event)
        lines += [f"{state} --> {after}: {', '.join(found)}" for after, found in by_target.items()]
        if not any(after != state for after in events.values()):
            lines.append(f"{state} --> [*]")
    return "\n".join(["stateDiagram-v2", *(f"    {line}" for line in lines)])


CONNECTION = StateMachine(
    title="Connections",
    table="connections",
    created_by="connect",
    initial=ConnectionState.ACTIVE,
    conditions={state: f"state = '{state}'" for state in ConnectionState},
    transitions={
        ConnectionState.ACTIVE: {
            "connect": ConnectionState.ACTIVE,
            "refresh": ConnectionState.ACTIVE,
            "check": ConnectionState.ACTIVE,
            "end_grant": ConnectionState.NEEDS_RECONNECT,
            "disconnect": ConnectionState.DISCONNECTED,
        },
        ConnectionState.NEEDS_RECONNECT: {
            "connect": ConnectionState.ACTIVE,
            "disconnect": ConnectionState.DISCONNECTED,
        },
        ConnectionState.DISCONNECTED: {
            "connect": ConnectionState.ACTIVE,
            "revoke": ConnectionState.DISCONNECTED,
        },
    },
    notes="`end_grant`: the platform refuses what is held, says that a person removed the application, or the token ran"
    " out and nothing can renew it. `revoke`: the platform is told, and the tokens are deleted.",
)

FLOW = StateMachine(
    title="Authorization flows",
    table="oauth_states",
    created_by="start",
    initial="started",
    conditions={
        "started": "outcome IS NULL AND used_at IS NULL AND opened_at IS NULL",
        "opened": "outcome IS NULL AND used_at IS NULL AND opened_at IS NOT NULL",
        "exchanging": "outcome IS NULL AND used_at IS NOT NULL",
        "selecting": "outcome->>'kind' = 'choose'",
        "connected": "(outcome->>'ok')::boolean",
        "failed": "NOT (outcome->>'ok')::boolean AND outcome->>'kind' IS DISTINCT FROM 'choose'",
    },
    transitions={
        "started": {"open": "opened", "withdraw": "failed"},
        "opened": {"claim_code": "exchanging", "withdraw": "failed"},
        "exchanging": {"offer": "selecting", "connect": "connected", "fail": "failed", "withdraw": "failed"},
        "selecting": {"connect": "connected", "fail": "failed", "withdraw": "failed"},
        "connected": {"connect": "connected"},
        "failed": {},
    },
    notes="`withdraw`: whoever began the flow may not connect accounts any more. A flow whose time is over stays as it"
    " is, counts for nothing, and is deleted a day later.",
)

NOTICE = StateMachine(
    title="Notices",
    table="notices",
    created_by="raise",
    initial="open",
    conditions={"open": "resolved_at IS NULL", "resolved": "resolved_at IS NOT NULL"},
    transitions={"open": {"resolve": "resolved"}, "resolved": {}},
    notes="A notice is raised once for each account, kind and episode, so one that is resolved is never opened again.",
)

NOTICE_MAIL = StateMachine(
    title="Mails about notices",
    table="notice_mails",
    created_by="address",
    initial="waiting",
    conditions={state: f"state = '{state}'" for state in ("waiting", "sending", "sent", "unknown", "given_up")},
    transitions={
        "waiting": {"claim": "sending", "retry": "waiting", "give_up": "given_up"},
        "sending": {"accept": "sent", "lose": "unknown", "retry": "waiting", "give_up": "given_up"},
        "unknown": {"accept": "sent", "lose": "unknown"},
        "sent": {},
        "given_up": {},
    },
    notes="`lose`: the mail was handed over and no answer came, or the process that sent it is gone. It may have"
    " arrived, so nobody sends it again. `retry` in state `waiting`: no mail server could be reached.",
)

DELETION_REQUEST = StateMachine(
    title="Deletion requests",
    table="deletion_requests",
    created_by="request",
    initial="received",
    conditions={
        "received": "user_id IS NOT NULL AND NOT rebuild_due AND done_at IS NULL",
        "erased": "user_id IS NOT NULL AND rebuild_due",
        "done": "user_id IS NOT NULL AND NOT rebuild_due AND done_at IS NOT NULL",
        "forgotten": "user_id IS NULL",
    },
    transitions={
        "received": {"erase": "erased", "finish": "done"},
        "erased": {"erase": "erased", "finish": "done", "forget": "forgotten"},
        "done": {"erase": "erased", "finish": "done", "forget": "forgotten"},
        "forgotten": {},
    },
    notes="`erase`: the log has forgotten the person, the tables are not rebuilt yet. `finish` without `erase`: there"
    " was nothing to erase. Platforms repeat deliveries for days, so a request that is done is carried out again until"
    " its time is over; then it forgets whom it was about.",
)

_GO_ON: Mapping[str, str] = {str(state): str(state) for state in IN_FLIGHT}
_END: Mapping[str, str] = {
    "publish": TargetState.PUBLISHED,
    "publish_unnamed": TargetState.PUBLISHED_ID_UNKNOWN,
    "lose": TargetState.UNCONFIRMED,
    "hand_over": TargetState.AWAITING_PERSON,
    "fail": TargetState.FAILED,
}
"""How the work on a target can end, from any state in flight."""

TARGET = StateMachine(
    title="Targets of posts",
    table="post_targets",
    created_by="create",
    initial=TargetState.DRAFT,
    conditions={state: f"state = '{state}'" for state in TargetState},
    transitions={
        TargetState.DRAFT: {
            "submit": TargetState.AWAITING_APPROVAL,
            "schedule": TargetState.SCHEDULED,
            "cancel": TargetState.CANCELLED,
        },
        TargetState.AWAITING_APPROVAL: {
            "schedule": TargetState.SCHEDULED,
            "unschedule": TargetState.DRAFT,
            "cancel": TargetState.CANCELLED,
            "miss": TargetState.MISSED,
        },
        TargetState.SCHEDULED: {
            **_GO_ON,
            "lose": TargetState.UNCONFIRMED,
            "fail": TargetState.FAILED,
            "submit": TargetState.AWAITING_APPROVAL,
            "unschedule": TargetState.DRAFT,
            "cancel": TargetState.CANCELLED,
            "miss": TargetState.MISSED,
        },
        **{state: {**_GO_ON, **_END, "cancel": TargetState.CANCELLED} for state in IN_FLIGHT[:-1]},
        TargetState.PUBLISHING: {**_GO_ON, **_END},
        TargetState.UNCONFIRMED: {**_GO_ON, **_END},
        TargetState.PUBLISHED_ID_UNKNOWN: {"publish": TargetState.PUBLISHED},
        TargetState.AWAITING_PERSON: {
            "publish": TargetState.PUBLISHED,
            "publish_unnamed": TargetState.PUBLISHED_ID_UNKNOWN,
            "fail": TargetState.FAILED,
        },
        TargetState.PUBLISHED: {},
        TargetState.FAILED: {"schedule": TargetState.SCHEDULED},
        TargetState.CANCELLED: {},
        TargetState.MISSED: {"schedule": TargetState.SCHEDULED, "cancel": TargetState.CANCELLED},
    },
    notes="A step of a machine leads to the state of that step. `lose`: a request may have made the post visible, and"
    " no answer says so; it is looked for, and where that leaves a doubt a person decides (`publish`, `fail` or another"
    " attempt). `hand_over`: the platform waits for the account's owner, and tells later what"
    " came of it. Nothing is cancelled once publishing began.",
)

RECURRENCE = StateMachine(
    title="Posts that repeat",
    table="post_recurrences",
    created_by="create",
    initial=RecurrenceState.ACTIVE,
    conditions={state: f"state = '{state}'" for state in RecurrenceState},
    transitions={
        RecurrenceState.ACTIVE: {
            "edit": RecurrenceState.ACTIVE,
            "pause": RecurrenceState.PAUSED,
            "end": RecurrenceState.ENDED,
        },
        RecurrenceState.PAUSED: {
            "edit": RecurrenceState.PAUSED,
            "resume": RecurrenceState.ACTIVE,
            "end": RecurrenceState.ENDED,
        },
        RecurrenceState.ENDED: {},
    },
    notes="`end`: a person ends it, or its last occurrence was made or missed. `edit`, `pause` and a person's `end`"
    " cancel those of its posts that nobody began to publish.",
)

MACHINES = (CONNECTION, FLOW, NOTICE, NOTICE_MAIL, DELETION_REQUEST, TARGET, RECURRENCE)


EVENT_NOTES = (
    "A row of `webhook_event_queue` is the state `pending`; the others are those of a row of `webhook_event_outcomes`."
    " `park`: it cannot be projected as it is, or failed too often, so a person decides. `give_up`: it was released"
    " after that, and failed too often again."
)


def document() -> str:
    """Return the text of ``docs/states.md``."""
    introduction = (
        "Made from the tables in `schema/states.py` and `schema/event_states.py` by"
        " `python -m schema.states > docs/states.md`. The stores look up"
        " their transitions there, and a trigger on each table refuses every other one."
    )
    # To a type checker, a Mapping whose keys are members of an enum is none whose keys are texts.
    after: dict[str, dict[str, str]] = {
        str(at): {str(k): str(v) for k, v in by.items()} for at, by in TRANSITIONS.items()
    }
    events = diagram({"receive": State.PENDING, "receive_unreadable": State.PARKED}, after)
    parts = ["# States", introduction, "## Events of the log (`webhook_event_queue`, `webhook_event_outcomes`)"]
    parts += [EVENT_NOTES, f"```mermaid\n{events}\n```"]
    for machine in MACHINES:
        title = f"## {machine.title} (`{machine.table}`)"
        parts += [title, *([machine.notes] if machine.notes else []), f"```mermaid\n{machine.diagram}\n```"]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
