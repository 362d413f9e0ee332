"""What programs read: every listing has --json, in a shape that is written down and stays."""

import asyncio
import json
import os
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ops.access.audit_log_store import COMMAND
from ops.cli import wiring
from ops.cli.composition import posts_of
from ops.cli.shapes import SHAPES
from ops.runtime.db import open_pool
from publish.posting.recurrences import Recurrences
from publish.posting.requests import PostBody, RecurrenceBody, read
from schema.rights import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from sync.projection.worker import Projector
from tests import fork_server, media_samples
from tests.rig import KEYS, Rig
from tests.support import ENVIRONMENT, append_event, commands

README = (Path(__file__).parents[2] / "README.md").read_text()

LISTING = {"list", "status", "show"}
"""How a command is called that lists something; the rest of them are words of their own."""

DOCUMENTS = {
    *("doctor", "events show", "posts create", "posts preview-link", "posts repeat create", "posts repeat show"),
    *("posts show", "posts slots show", "retention plan", "verify"),
}
"""They print one document; all others an object a line."""

CALLS: dict[str, list[str]] = {
    "events show": ["{event}"],
    "explain": ["ig_comments", "c1"],
    "posts create": ["--content", "Tea", "--connection", "{connection}"],
    "posts import": ["{file}", "--dry-run"],
    "posts repeat create": [
        *("--content", "Tea", "--connection", "{writer}"),
        *("--rule", "FREQ=DAILY;COUNT=2", "--at", "2099-06-01T09:00Z"),
    ],
    "posts repeat show": ["{recurrence}"],
    "posts show": ["{post}"],
    "posts slots show": ["{connection}"],
}
"""What a command wants besides --json."""

OUTSIDE = {"posts preview-link"}
"""What looks at the internet, which tests do not: `tests/integration/ops/cli/test_posts.py` compares what it prints."""


def has_json(name: str) -> bool:
    return any("--json" in parameter.opts for parameter in commands()[name].params)


def test_every_listing_has_json_and_every_json_has_a_shape() -> None:
    assert {name for name in commands() if has_json(name)} == set(SHAPES)
    assert {name for name in commands() if name.split()[-1] in LISTING} <= set(SHAPES)


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
    [account] = await rig.connect("tiktok")
    body = read(PostBody, {"content": "Tea", "targets": [{"connection": account}]})
    posts = posts_of(rig.pool, None, None, rig.url)
    made = await posts.create(DEFAULT_TENANT, COMMAND, body)
    assert made.post is not None
    [writer] = await rig.connect("x")
    repeated = {"content": "Tea", "targets": [{"connection": writer}]}
    asked = {"post": repeated, "rule": "FREQ=DAILY;COUNT=2", "start_time": "2099-06-01T09:00Z"}
    saved = await Recurrences(posts).create(DEFAULT_TENANT, COMMAND, read(RecurrenceBody, asked))
    assert saved.recurrence is not None
    known = {"connection": account, "writer": writer, "post": made.post.id, "recurrence": saved.recurrence.stored.id}
    comment = {"id": "c1", "media": {"id": "m1"}, "from": {"id": "1", "username": "u"}, "text": "t"}
    event = await append_event(connection, "a", "e1", payload=comment)
    assert (await rig.api("POST", "/api/media", data=media_samples.image()))[0] == 201
    await connection.execute("INSERT INTO retention_policies VALUES ('instagram', 'events', 30)")
    async with await open_pool(database, "test", 2, role=APP_ROLE) as pool:
        await Projector(pool, wiring.projections(), tries=1).drain()
    await each_listing_prints_its_shape(database, tmp_path, event, **known)


async def each_listing_prints_its_shape(
    database: str,
    tmp_path: Path,
    event: int | None = None,
    **known: str,
) -> None:
    file = tmp_path / "posts.json"
    post = {"content": "Coffee", "platforms": ["x"], "scheduled_time": "2099-06-01T09:00Z"}
    file.write_text(json.dumps({"posts": [post]}))
    names = ("connection", "writer", "post", "recurrence")
    ids = {**dict.fromkeys(names, DEFAULT_TENANT), **known, "event": event or 1, "file": file}
    settings = {"LANDFALL_VAULT_KEYS": ",".join(KEYS), "LANDFALL_SPOOL_DIR": str(tmp_path / "spool")}
    for name, keys in SHAPES.items():
        if name in OUTSIDE:
            continue
        arguments = [argument.format(**ids) for argument in CALLS.get(name, [])]
        code, text = await landfall(database, *name.split(), *arguments, "--json", **settings)
        if event is None and name in CALLS:
            assert code == 1, "there is no such thing, and that is said in words"
            continue
        assert code == 0 or name == "doctor", (name, text)
        found = parsed(name, text)
        assert found or event is None, name
        for item in found:
            assert tuple(item) == keys, name
            times = [value for key, value in item.items() if value and (key == "at" or key.endswith("_at"))]
            for value in times:
                assert datetime.fromisoformat(value).tzinfo is not None, (name, value)
                assert "T" in value, (name, value)
