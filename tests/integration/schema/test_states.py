"""The tables of ``schema.states`` are what the database allows, and what the documentation shows."""

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import asyncpg
import pytest

from schema.states import CONNECTION, MACHINES, NOTICE_MAIL, RECURRENCE, TARGET, StateMachine
from schema.tenancy import DEFAULT_TENANT

DOCUMENT = Path(__file__).parents[3] / "docs" / "states.md"

ID = "00000000-0000-0000-0000-00000000000a"

ACCOUNT = f"""
INSERT INTO connections (tenant_id, id, platform, account_id, other_ids, username, scopes, profile, state,
    authorized_at)
VALUES ('{DEFAULT_TENANT}', '{ID}', 'x', '1', '{{}}', '', '{{}}', '{{}}', 'active', now());"""
RAISED = f"""
{ACCOUNT} INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)
VALUES ('{DEFAULT_TENANT}', '{ID}', '{ID}', 'in_trouble', now(), '');"""

ROW: Mapping[str, str] = {
    "connections": ACCOUNT,
    "oauth_states": f"""
        INSERT INTO oauth_states (tenant_id, state_sha256, platform, sealed_verifier, redirect_uri, return_to, actor,
            expires_at) VALUES ('{DEFAULT_TENANT}', '', 'x', '', '', '', '', now())""",
    "notices": RAISED,
    "notice_mails": f"""{RAISED}
        INSERT INTO users (id, email, password_hash) VALUES ('{ID}', 'a@b.example', '');
        INSERT INTO notice_mails (tenant_id, notice_id, user_id) VALUES ('{DEFAULT_TENANT}', '{ID}', '{ID}')""",
    "post_targets": f"""{ACCOUNT}
        INSERT INTO posts (tenant_id, id, content, author) VALUES ('{DEFAULT_TENANT}', '{ID}', 'hello', 'test');
        INSERT INTO post_targets (tenant_id, id, post_id, connection_id, platform, account_id, kind, digest, state)
        VALUES ('{DEFAULT_TENANT}', '{ID}', '{ID}', '{ID}', 'x', '1', 'post', '', 'draft')""",
    "post_recurrences": f"""
        INSERT INTO post_recurrences (tenant_id, id, template, rule, start_time, zone, author)
        VALUES ('{DEFAULT_TENANT}', '{ID}', '{{}}', 'FREQ=DAILY;COUNT=2', '2027-05-01 09:00', 'UTC', 'test')""",
    "deletion_requests": "INSERT INTO deletion_requests (code, platform, user_id) VALUES ('c', 'x', 'u')",
}
"""A row of each table in the state in which it is made."""

ASSIGNED: Mapping[str, Mapping[str, str]] = {
    "connections": {state: f"state = '{state}', reason = 'why'" for state in CONNECTION.conditions},
    "oauth_states": {
        "started": "opened_at = NULL, used_at = NULL, outcome = NULL",
        "opened": "opened_at = now(), used_at = NULL, outcome = NULL",
        "exchanging": "opened_at = now(), used_at = now(), outcome = NULL",
        "selecting": """opened_at = now(), used_at = now(), outcome = '{"ok": false, "kind": "choose"}'""",
        "connected": """opened_at = now(), used_at = now(), outcome = '{"ok": true}'""",
        "failed": """opened_at = now(), used_at = now(), outcome = '{"ok": false, "kind": "denied"}'""",
    },
    "notices": {"open": "resolved_at = NULL", "resolved": "resolved_at = now()"},
    "notice_mails": {
        state: f"state = '{state}', mail_id = '{ID}', claimed_at = now()" for state in NOTICE_MAIL.conditions
    },
    "post_targets": {state: f"state = '{state}'" for state in TARGET.conditions},
    "post_recurrences": {state: f"state = '{state}'" for state in RECURRENCE.conditions},
    "deletion_requests": {
        "received": "user_id = 'u', rebuild_due = false, done_at = NULL, repeat_until = NULL",
        "erased": "user_id = 'u', rebuild_due = true, done_at = NULL, repeat_until = NULL",
        "done": "user_id = 'u', rebuild_due = false, done_at = now(), repeat_until = now()",
        "forgotten": "user_id = NULL, rebuild_due = false, done_at = now(), repeat_until = now()",
    },
}
"""What a row of each table is given to be in a state."""


async def test_every_machine_has_a_table_of_its_own_and_a_row_to_try_it_with() -> None:
    assert {machine.table for machine in MACHINES} == set(ROW) == set(ASSIGNED)
    for machine in MACHINES:
        assert set(ASSIGNED[machine.table]) == set(machine.conditions) == set(machine.transitions), machine.title
        reached = {machine.initial, *(after for _, after in machine.pairs)}
        assert reached == set(machine.conditions), f"{machine.title}: every state can be reached"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.table)
async def test_database_refuses_exactly_the_transitions_that_are_not_in_the_table(
    connection: asyncpg.Connection, machine: StateMachine
) -> None:
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    found = f"SELECT {machine.column} AS state FROM {machine.table}"
    allowed = set()
    for before, after in product(machine.conditions, repeat=2):
        attempt = connection.transaction()
        await attempt.start()
        await connection.execute(ROW[machine.table])
        assert await connection.fetchval(found) == machine.initial
        trigger = f"TRIGGER {machine.table}_transition"
        await connection.execute(f"ALTER TABLE {machine.table} DISABLE {trigger}")
        await connection.execute(f"UPDATE {machine.table} SET {ASSIGNED[machine.table][before]}")
        await connection.execute(f"ALTER TABLE {machine.table} ENABLE {trigger}")
        for state in machine.conditions:
            holds = await connection.fetchval(f"SELECT count(*) FROM {machine.table} WHERE {machine.any_of(state)}")
            assert holds == (state == before), f"{before} is {state}"
        try:
            await connection.execute(f"UPDATE {machine.table} SET {ASSIGNED[machine.table][after]}")
        except asyncpg.CheckViolationError as error:
            refusing = error.constraint_name
        else:
            refusing = None
            assert await connection.fetchval(found) == after
            allowed.add((before, after))
        assert refusing in (None, f"{machine.table}_transition"), (before, after)
        await attempt.rollback()
    assert {(before, after) for before, after in allowed if before != after} == machine.pairs


def test_documentation_shows_the_tables_as_they_are() -> None:
    from schema.states import document

    assert DOCUMENT.read_text() == document(), "run: python -m schema.states > docs/states.md"
