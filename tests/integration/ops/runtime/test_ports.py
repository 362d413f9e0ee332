"""What a pull needs of the other stages: a token for the account, a way to ask its platform, the log to append to."""

import json

import pytest

from ops.cli.composition import assembled
from ops.runtime.db import transaction
from ops.runtime.platform_protocol import PlatformError, Request, Steps
from ops.runtime.ports import Fact, Pulling
from publish.vault.envelope import LocalRing, Vault
from schema.tenancy import DEFAULT_TENANT
from tests.rig import KEYS, Rig


def pulling(rig: Rig) -> Pulling:
    """As the command line passes it in; as the owner of the database, whose login may append."""
    return assembled(rig.pool, Vault(LocalRing(KEYS)), rig.providers).pulling


def reading(url: str, token: str) -> Steps[str]:
    """The profile of an account, as text."""
    answer = yield Request("GET", url, {"fields": "id,username", "access_token": token})
    assert answer.ok, answer
    return json.dumps(answer.content)


async def test_listed_look_up_is_read_with_the_accounts_token_and_appended_once(rig: Rig) -> None:
    [id_] = await rig.connect("instagram")
    account = (await rig.shown(id_))["account_id"]
    await rig.raw(
        "INSERT INTO pull_tasks (bucket, account_id, provider, kind, object_id, reason, priority, due_at)"
        " VALUES (bucket_of('instagram', $1), $1, 'instagram', 'ig_user', $1, 'a test', 0, now())",
        account,
    )
    needs = pulling(rig)
    for _ in range(2):
        [wanted] = await rig.raw("SELECT account_id, provider, kind, object_id FROM pull_tasks")
        token = (await needs.tokens.access(DEFAULT_TENANT, id_))["access_token"]
        app = await needs.applications.app(wanted["provider"], "", DEFAULT_TENANT)
        steps = reading(app.url("graph", "/v25.0/me"), token)
        found = await needs.platforms.run(steps, platform=wanted["provider"], account=wanted["account_id"])
        name = f"read:{wanted['object_id']}"
        fact = Fact(wanted["provider"], 1, account, wanted["kind"], name, found, source="poll")
        async with rig.pool.acquire() as connection, transaction(connection):
            await needs.append(connection, [fact])
    logged = await rig.connection.fetch(
        "SELECT account_id, event_type, payload_json, delivery_id, source FROM webhook_event_log"
    )
    assert [(row["account_id"], row["event_type"], row["delivery_id"], row["source"]) for row in logged] == [
        (account, "ig_user", None, "poll")
    ]
    assert json.loads(logged[0]["payload_json"])["username"] == (await rig.shown(id_))["username"]
    assert await rig.connection.fetchval("SELECT count(*) FROM webhook_event_queue") == 1, "it is to be projected"


async def test_account_that_needs_a_person_gives_no_token(rig: Rig) -> None:
    [id_] = await rig.connect("x")
    await rig.raw("UPDATE connections SET state = 'needs_reconnect', reason = 'It was removed.'")
    with pytest.raises(PlatformError, match="It was removed") as refused:
        await pulling(rig).tokens.access(DEFAULT_TENANT, id_)
    assert refused.value.kind == "grant"


async def test_platform_is_not_asked_while_its_rate_limit_is_used_up(rig: Rig) -> None:
    needs = pulling(rig)
    await rig.raw(
        "INSERT INTO platform_budgets (platform, instance, subject, percent, held_until)"
        " VALUES ('x', '', '1', 100, now() + interval '1 minute')"
    )
    asked = len(await rig.sandbox.ledger("call", platform="x"))
    with pytest.raises(PlatformError, match="asked too often"):
        await needs.platforms.run(reading("https://api.x.com/2/users/me", ""), platform="x", account="1")
    assert len(await rig.sandbox.ledger("call", platform="x")) == asked
