"""`landfall actions`: what a person at a terminal does to what is there."""

import json

import pytest

from tests.rig import Rig
from tests.support import command


@pytest.fixture
async def account(rig: Rig) -> str:
    [id_] = await rig.connect("instagram")
    return id_


async def landfall(rig: Rig, *arguments: str) -> tuple[int, str]:
    return await command(rig.dsn, "actions", *arguments)


async def test_action_is_asked_for_listed_decided_and_cancelled(rig: Rig, account: str) -> None:
    named = ("--connection", account, "--object", "77")
    code, output = await landfall(rig, "create", "delete_comment", *named)
    assert (code, "say sure" in output) == (1, True), output
    code, output = await landfall(rig, "create", "reply", *named, "--content", "Thanks", "--json")
    found = json.loads(output.splitlines()[0])
    assert (code, found["result"], found["action"]["object"]) == (0, "created", "77"), output
    id_ = found["action"]["id"]
    code, output = await landfall(rig, "create", "reply", *named, "--content", "Thanks")
    assert (code, f"was asked for already  {id_}" in output) == (0, True), output
    code, output = await landfall(rig, "list", *named, "--state", "pending")
    assert (code, id_ in output, "reply on 77  Thanks" in output) == (0, True, True), output

    await rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
    await rig.raw("UPDATE post_targets SET state = 'unconfirmed', due_at = NULL, evidence = '[\"a listing\"]'")
    await rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")
    code, output = await landfall(rig, "show", id_)
    assert (code, "a listing" in output, "landfall actions confirm" in output) == (0, True, True), output
    assert (await landfall(rig, "confirm", id_))[0] == 2, "nothing is decided for the person"
    code, output = await landfall(rig, "retry", id_)
    assert (code, "Nothing of this failed" in output) == (1, True), output
    code, output = await landfall(rig, "confirm", id_, "--not-there", "--evidence", "I looked")
    assert (code, "scheduled" in output) == (0, True), output
    code, output = await landfall(rig, "cancel", id_)
    assert (code, output) == (0, "cancelled\n")
    code, output = await landfall(rig, "cancel", id_)
    assert (code, output) == (0, "not cancelled, it is cancelled\n")
    code, output = await landfall(rig, "show", account)
    assert (code, "There is no such action" in output) == (1, True), output
