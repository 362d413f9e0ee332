"""What programs read: every listing has --json, in a shape that is written down and stays."""

import asyncio
import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ops.access.audit_log_store import COMMAND, Actor
from ops.cli import wiring
from ops.cli.composition import posts_of
from ops.cli.shapes import SHAPES
from ops.runtime.db import open_pool
from ops.runtime.tenancy import tenant_transaction
from publish.media.links import Links
from publish.posting.actions import Actions
from publish.posting.recurrences import Recurrences
from publish.posting.requests import ActionBody, PostBody, RecurrenceBody, read
from schema.rights import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from sync.projection.worker import Projector
from sync.pull.worker import Puller
from tests import fork_server, media_samples
from tests.rig import KEYS, Rig
from tests.support import ENVIRONMENT, append_event, commands

README = (Path(__file__).parents[2] / "README.md").read_text()

LISTING = {"list", "status", "show"}
"""How a command is called that lists something; the rest of them are words of their own."""

DOCUMENTS = {
    *("actions cancel", "actions confirm", "actions create", "actions retry", "actions show"),
    *(
        "db feed status",
        "doctor",
        "events show",
        "posts approve",
        "posts cancel",
        "posts confirm",
        "posts create",
        "posts preview-link",
    ),
    "posts history",
    *("posts repeat create", "posts repeat end", "posts repeat pause", "posts repeat resume", "posts repeat show"),
    *("posts retry", "posts show", "posts slots set", "posts slots show", "posts summary"),
    *("retention plan", "verify"),
}
"""They print one document; all others an object a line."""

CALLS: dict[str, list[str]] = {
    "actions cancel": ["{cancel_action}"],
    "actions confirm": ["{confirm_action}", "--there"],
    "actions create": ["hide_comment", "--connection", "{writer}", "--object", "77", "--dry-run"],
    "actions retry": ["{retry_action}"],
    "actions show": ["{action}"],
    "events show": ["{event}"],
    "explain": ["ig_comments", "c1"],
    "media fetches": ["{uploaded}"],
    "media upload": ["{file}"],
    "posts approve": ["{approve}", "1"],
    "posts cancel": ["{cancel}"],
    "posts confirm": ["{confirm}", "{target}", "--there", "--post-id", "1"],
    "posts create": ["--content", "Tea", "--connection", "{connection}"],
    "posts history": ["{cancel}"],
    "posts import": ["{posts}", "--dry-run"],
    "posts repeat create": [
        *("--content", "Tea", "--connection", "{writer}"),
        *("--rule", "FREQ=DAILY;COUNT=2", "--at", "2099-06-01T09:00Z"),
    ],
    "posts repeat end": ["{ended}"],
    "posts repeat pause": ["{recurrence}"],
    "posts repeat resume": ["{recurrence}"],
    "posts repeat show": ["{recurrence}"],
    "posts retry": ["{retry}"],
    "posts show": ["{cancel}"],
    "posts slots set": ["{connection}", "MO/09:00"],
    "posts slots show": ["{connection}"],
    "sync account": ["{reader}"],
    "sync media": ["17899", "--account", "{reader}"],
    "sync post": ["{published}"],
}
"""What a command wants besides --json."""

OUTSIDE = {"posts preview-link"}
"""What looks at the internet, which tests do not: `tests/integration/ops/cli/test_posts.py` compares what it prints."""


def has_json(name: str) -> bool:
    return any("--json" in parameter.opts for parameter in commands()[name].params)


def test_every_listing_has_json_and_every_json_has_a_shape() -> None:
    assert {name for name in commands() if has_json(name)} == set(SHAPES)
    assert {name for name in commands() if name.split()[-1] in LISTING} <= set(SHAPES)


def test_every_command_about_posts_and_actions_has_json() -> None:
    assert {name for name in commands() if name.split()[0] in ("actions", "posts")} <= set(SHAPES)


def test_readme_lists_the_keys_of_every_shape() -> None:
    rows = re.findall(r"^\| `landfall ([a-z -]+)` \| (.+) \|$", README, re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\w+)`", keys)) for name, keys in rows} == dict(SHAPES)


async def landfall(database: str, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run a command; its exit code, and what a program reads: standard output alone."""
    variables = {"PATH": os.environ["PATH"], "DATABASE_URL": database} | ENVIRONMENT | environment
    done = await asyncio.to_thread(fork_server.run, *arguments, environment=variables)
    return done.returncode, done.stdout


def parsed(name: str, text: str) -> list[dict[str, Any]]:
    if name not in DOCUMENTS:
        return [json.loads(line) for line in text.splitlines()]
    document = json.loads(text)
    return document if isinstance(document, list) else [document]


async def test_each_listing_of_an_empty_install_prints_its_shape(database: str, tmp_path: Path) -> None:
    await each_listing_prints_its_shape(database, tmp_path)


@pytest.mark.rig(password="correct horse battery", members={"a@example.org": "owner"})
async def test_each_listing_of_one_that_is_used_prints_its_shape(
    rig: Rig, database: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    [account], [writer] = await rig.connect("tiktok"), await rig.connect("x")
    posts, known = posts_of(rig.pool, None, None, rig.url), {"connection": account, "file": str(tmp_path / "tea.png")}
    (tmp_path / "tea.png").write_bytes(media_samples.image(colour="green"))
    for name in ("approve", "cancel", "confirm", "retry"):
        document = {"content": name, "targets": [{"connection": writer}], "needs_approval": name == "approve"}
        made = await posts.create(DEFAULT_TENANT, Actor("a@example.org"), read(PostBody, document))
        assert made.post is not None
        known[name] = made.post.id
        if name == "confirm":
            known["target"] = made.post.targets[0].id
    repeated = {"content": "Tea", "targets": [{"connection": writer}]}
    for name, count in (("recurrence", 2), ("ended", 3)):
        asked = {"post": repeated, "rule": f"FREQ=DAILY;COUNT={count}", "start_time": "2099-06-01T09:00Z"}
        saved = await Recurrences(posts).create(DEFAULT_TENANT, COMMAND, read(RecurrenceBody, asked))
        assert saved.recurrence is not None
        known[name] = saved.recurrence.stored.id
    known["writer"] = writer
    for number, name in enumerate(("action", "cancel_action", "confirm_action", "retry_action"), 77):
        acting = read(ActionBody, {"kind": "hide_comment", "connection": writer, "object": str(number)})
        acted = await Actions(posts).create(DEFAULT_TENANT, COMMAND, acting)
        assert acted.action is not None
        known[name] = acted.action.id
    await connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
    states = {"confirm": "unconfirmed", "retry": "failed", "confirm_action": "unconfirmed", "retry_action": "failed"}
    for name, state in states.items():
        query = "UPDATE post_targets SET state = $2 WHERE post_id = $1::uuid"
        await rig.raw(query, known[name], state)
    await connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")
    [read_by] = await rig.connect("instagram")
    known["reader"] = (await rig.shown(read_by))["account_id"]
    await Puller(rig.pool, wiring.pulling_platforms(), rig.built.pulling).refresh_accounts()
    draft = {"content": "Tea", "targets": [{"connection": read_by}]}
    made = await posts.create(DEFAULT_TENANT, Actor("a@example.org"), read(PostBody, draft))
    assert made.post is not None
    known["published"] = made.post.id
    await rig.raw("UPDATE post_targets SET platform_post_id = '17898' WHERE post_id = $1::uuid", made.post.id)
    comment = {"id": "c1", "media": {"id": "m1"}, "from": {"id": "1", "username": "u"}, "text": "t"}
    event = await append_event(connection, "a", "e1", payload=comment)
    status, uploaded = await rig.api("POST", "/api/media", data=media_samples.image())
    assert status == 201, uploaded
    known["uploaded"] = uploaded["id"]
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as acting:
        url = await Links(rig.url).make(acting, DEFAULT_TENANT, uploaded["id"], known["action"], 1, 60)
    async with rig.http.get(url) as response:
        assert response.status == 200
    await connection.execute("INSERT INTO retention_policies VALUES ('instagram', 'events', 30)")
    async with await open_pool(database, "test", 2, role=APP_ROLE) as pool:
        await Projector(pool, wiring.projections(), tries=1).drain()
    await each_listing_prints_its_shape(database, tmp_path, event, known)


async def each_listing_prints_its_shape(
    database: str,
    tmp_path: Path,
    event: int | None = None,
    known: Mapping[str, str] | None = None,
) -> None:
    """``known`` are what CALLS name; ids of nothing where it is not given."""
    file = tmp_path / "posts.json"
    post = {"content": "Coffee", "platforms": ["x"], "scheduled_time": "2099-06-01T09:00Z"}
    file.write_text(json.dumps({"posts": [post]}))
    given = {**(known or {}), "event": event or 1, "posts": file}
    named: Mapping[str, object] = defaultdict(lambda: DEFAULT_TENANT, given)
    settings = {"LANDFALL_VAULT_KEYS": ",".join(KEYS), "LANDFALL_SPOOL_DIR": str(tmp_path / "spool")}
    settings["LANDFALL_MEDIA_URL"] = f"file://{tmp_path}/media"
    for name, keys in SHAPES.items():
        if name in OUTSIDE:
            continue
        arguments = [argument.format_map(named) for argument in CALLS.get(name, [])]
        code, text = await landfall(database, *name.split(), *arguments, "--json", **settings)
        if event is None and name in CALLS:
            assert code == 1, "there is no such thing, and that is said in words"
            continue
        assert code == 0 or name in ("doctor", "drift"), (name, text)  # these report by it what they found
        found = parsed(name, text)
        assert found or event is None, name
        for item in found:
            assert tuple(item) == keys, name
            times = [value for key, value in item.items() if value and (key == "at" or key.endswith("_at"))]
            for value in times:
                assert datetime.fromisoformat(value).tzinfo is not None, (name, value)
                assert "T" in value, (name, value)
