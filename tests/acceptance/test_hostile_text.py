"""Whatever came from outside is shown as text: every command and page, over rows that try to be more than that.

Row E12 of ``faults.md``.
"""

import asyncio
import html
import json
import os
import pty
import re
import signal
import sys
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from ops.cli import wiring
from ops.cli.stack import stack
from ops.runtime.db import open_pool
from ops.runtime.embedded import free_port
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from sync.projection.worker import Projector
from tests.integration.ops.access.test_users import EMAIL, HTML, PASSWORD, logged_in
from tests.rig import KEYS, Rig
from tests.support import append_event, command, commands

HOSTILE = (
    "so good [/] thanks [red]\x1b[2J\x1b]0;owned\x07\x9b31m\u202egnp.exe\u2028"
    '<script>alert(1)</script>" :smile:\r\nFAKE'
)
"""Markup of rich, terminal escapes in both forms, a change of direction, line breaks, HTML, and an emoji code."""

ACTION = "00000000-0000-7000-8000-0000000000ac"
"""The id of an action on what is there, and of its target."""

SHOWN = r"\x1b[2J"
"""What proves that a hostile text was shown, and not left out."""


pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner"})


@pytest.fixture
async def rig(rig: Rig) -> Rig:
    await rig.connect("tiktok")
    await rig.connect("facebook")
    await arranged(rig)
    return rig


async def arranged(rig: Rig) -> None:
    """Put hostile text wherever a platform, a person or a fan can put text."""
    comment = {
        "id": f"c1{HOSTILE}",
        "media": {"id": f"m1{HOSTILE}", "media_product_type": HOSTILE, "ad_id": "1", "ad_title": HOSTILE},
        "from": {"id": "1", "username": HOSTILE},
        "text": HOSTILE,
    }
    await append_event(rig.connection, f"a{HOSTILE}", "e1", payload=comment)
    await append_event(rig.connection, f"a{HOSTILE}", f"e2{HOSTILE}", payload={"text": HOSTILE})
    await append_event(rig.connection, f"a{HOSTILE}", "e3", type=f"strange{HOSTILE}", payload=HOSTILE)
    for number, content in enumerate(("{broken", HOSTILE, json.dumps({"publish_id": HOSTILE}), "[" * 5000, None, "1")):
        payload = {"content": content, "event": HOSTILE}
        await append_event(
            rig.connection, "p", f"t{number}", provider="tiktok", type="post.publish.complete", payload=payload
        )
    async with await open_pool(rig.dsn, "test", 2, role=APP_ROLE) as pool:
        await Projector(pool, wiring.projections(), tries=1).drain()
    await rig.connection.execute(
        "UPDATE webhook_event_outcomes SET error_message = error_message || $1 WHERE state = 'parked'", HOSTILE
    )
    await rig.raw("UPDATE tenants SET name = $1", f"t{HOSTILE}")
    await rig.raw("UPDATE api_keys SET name = $1 WHERE name = 'tests'", f"k{HOSTILE}")
    await rig.raw(
        "UPDATE connections SET username = $1, scopes = ARRAY[$1], trouble = $1, refresh_failures = 1", HOSTILE
    )
    await rig.raw("UPDATE connections SET instance = $1, account_id = account_id || $1", HOSTILE)
    await rig.raw(
        "UPDATE connections SET state = 'needs_reconnect', reason = $1 WHERE id = (SELECT min(id::text)::uuid FROM"
        " connections)",
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO notices (tenant_id, id, connection_id, kind, episode, says)"
        " SELECT tenant_id, gen_random_uuid(), id, 'needs_reconnect', now(), $1 FROM connections",
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO media (tenant_id, id, stored_as, sha256, bytes, content_type, kind, details, file_name,"
        " created_by) VALUES ($1::uuid, gen_random_uuid(), 'name', sha256(''), 1, $2, 'image', '{}', $2, $2)",
        DEFAULT_TENANT,
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO posts (tenant_id, id, content, author, campaign_id, hashtags)"
        " VALUES ($1::uuid, gen_random_uuid(), $2, $2, $2, ARRAY[$2])",
        DEFAULT_TENANT,
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO post_targets (tenant_id, id, post_id, connection_id, platform, account_id, kind, digest, state,"
        " error_code, error_message, evidence, platform_post_url)"
        " SELECT p.tenant_id, gen_random_uuid(), p.id, c.id, c.platform, c.account_id, $1::text, '', 'unconfirmed', $1,"
        " $1, jsonb_build_array($1::text), $1"
        " FROM posts p, (SELECT * FROM connections WHERE platform = 'tiktok' LIMIT 1) c",
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO posts (tenant_id, id, content, author) VALUES ($1::uuid, $2::uuid, $3, $3)",
        DEFAULT_TENANT,
        ACTION,
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO post_targets (tenant_id, id, post_id, connection_id, platform, account_id, kind, digest, state,"
        " options, error_code, error_message, evidence)"
        " SELECT tenant_id, $2::uuid, $2::uuid, id, platform, account_id, $1::text, '', 'unconfirmed',"
        " jsonb_build_object('parent_post_id', $1::text), $1, $1, jsonb_build_array($1::text)"
        " FROM connections WHERE platform = 'tiktok' LIMIT 1",
        HOSTILE,
        ACTION,
    )
    await rig.raw(
        "WITH link AS (INSERT INTO media_links (tenant_id, id, media_id, target_id, attempt, token_sha256, expires_at)"
        " SELECT m.tenant_id, gen_random_uuid(), m.id, t.id, 1, sha256('a'), now() FROM media m, post_targets t"
        " WHERE t.id <> t.post_id RETURNING tenant_id, id)"
        " INSERT INTO media_fetches (tenant_id, link_id, method, status, user_agent)"
        " SELECT tenant_id, id, 'GET', 200, $1 FROM link",
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO post_recurrences (tenant_id, id, template, rule, start_time, zone, author, trouble)"
        " VALUES ($1::uuid, gen_random_uuid(), jsonb_build_object('content', $2::text, 'campaign_id', $2::text),"
        " 'FREQ=DAILY;COUNT=2', '2099-06-01 09:00', $2, $2, $2)",
        DEFAULT_TENANT,
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO post_occurrences (tenant_id, recurrence_id, revision, number, at, state, reason)"
        " SELECT tenant_id, id, 1, 1, now(), 'missed', $1 FROM post_recurrences",
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO queue_slots (tenant_id, connection_id, weekday, local_time, zone)"
        " SELECT tenant_id, id, 0, '09:00', $1 FROM connections",
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO audit_log (tenant_id, actor, action, subject, detail) VALUES ($1::uuid, $2, $2, $2, $3::jsonb)",
        DEFAULT_TENANT,
        HOSTILE,
        json.dumps({HOSTILE: HOSTILE}),
    )
    await rig.raw(
        "INSERT INTO users (id, email, password_hash) VALUES ('00000000-0000-0000-0000-0000000000aa', lower($1), 'x')",
        HOSTILE,
    )
    await rig.raw(
        "INSERT INTO memberships (tenant_id, user_id, role)"
        " VALUES ($1::uuid, '00000000-0000-0000-0000-0000000000aa', 'viewer')",
        DEFAULT_TENANT,
    )


def controls(text: str, keep: str = "\n") -> list[str]:
    """Every character that a terminal or a browser would obey."""
    bad = {"Cc", "Zl", "Zp", "Cs"}
    return [c for c in text if c not in keep and (unicodedata.category(c) in bad or c in "\u202a\u202b\u202d\u202e")]


# --- the terminal

LISTINGS: dict[str, list[list[str]]] = {
    "events list": [[], ["--json"], ["--state", "parked"]],
    "events show": [["#2"], ["#3"], ["#5"], ["#2", "--json"]],
    "explain": [
        ["ig_comments", f"c1{HOSTILE}"],
        ["ig_media", f"m1{HOSTILE}", "--history"],
        ["ig_comments", f"c1{HOSTILE}", "--json"],
    ],
    "connections events": [[], ["--json"]],
    "connections list": [[], ["--json"]],
    "actions list": [[], ["--json"]],
    "actions show": [[ACTION], [ACTION, "--json"]],
    "posts list": [[], ["--json"]],
    "posts show": [["#post"], ["#post", "--json"]],
    "posts history": [["#post"], ["#post", "--json"]],
    "posts summary": [[], ["--json"]],
    "posts repeat list": [[], ["--json"]],
    "posts repeat show": [["#recurrence"], ["#recurrence", "--json"]],
    "posts slots show": [["#account"], ["#account", "--json"]],
    "audit": [[], ["--json"]],
    "user list": [[], ["--json"]],
    "key list": [[], ["--json"]],
    "tenant list": [[], ["--json"]],
    "media list": [[], ["--json"], ["--removed"]],
    "media fetches": [["#media"], ["#media", "--json"]],
}
"""Commands that show stored text, and what shows it. ``#2`` stands for the id of the second event."""

ACTIONS: dict[str, list[list[str]]] = {
    "doctor": [[], ["--json"]],
    "verify": [[], ["--json"], ["--changed"], ["--changed", "--json"]],
    "rebuild": [["--lose-failed"], ["--outdated"]],
    "events retry": [["--state", "parked", "--yes"], [], ["--account", HOSTILE]],
    "events ignore": [["--state", "parked", "--yes", "--reason", HOSTILE]],
    "connections retry": [[], ["--platform", HOSTILE]],
    "actions create": [
        ["reply", "--connection", "#account", "--object", HOSTILE, "--content", HOSTILE],
        ["hide_comment", "--target", "#target"],
        [HOSTILE],
    ],
    "actions retry": [[ACTION]],
    "actions confirm": [[ACTION, "--there", "--url", HOSTILE]],
    "actions cancel": [[ACTION]],
    "media upload": [[HOSTILE], [f"http://{HOSTILE}/"], ["#file"]],
    "posts create": [["--content", HOSTILE], ["--content", HOSTILE, "--platform", HOSTILE], ["--at", HOSTILE]],
    "posts retry": [["#post"], ["--cause", HOSTILE]],
    "posts confirm": [["#post", "#target", "--there", "--url", HOSTILE], [HOSTILE, HOSTILE]],
    "posts approve": [["#post", "2"]],
    "posts import": [[HOSTILE], ["#file"]],
    "posts preview-link": [[HOSTILE], [f"http://{HOSTILE}/"], ["http://127.0.0.1/", "--json"]],
    "posts cancel": [["#post"]],
    "posts repeat create": [["--rule", HOSTILE, "--at", HOSTILE], ["--rule", "FREQ=DAILY;COUNT=2", "--at", "2099"]],
    "posts repeat pause": [["#recurrence"]],
    "posts repeat resume": [["#recurrence"]],
    "posts repeat end": [["#recurrence"]],
    "posts slots set": [["#account", HOSTILE], ["#account", "MO/09:00", "--zone", HOSTILE], ["#account"]],
    "erase": [["instagram", "--person", HOSTILE, "--yes"], ["instagram", "--account", "1", "--yes"], ["--requested"]],
    "split": [[], ["--again", "--platform", "instagram", "--since", "2020-01-01"], ["--again", "--platform", HOSTILE]],
    "spool status": [[], ["--json"]],
    "spool drain": [[]],
    "retention set": [["instagram", "events", "1"], ["instagram", HOSTILE, "1"], [HOSTILE, "events", HOSTILE]],
    "retention list": [[], ["--json"]],
    "retention plan": [[], ["--json"]],
    "retention run": [["--yes"]],
    "retention unset": [["instagram", "events"], [HOSTILE, HOSTILE]],
    "media prune": [[]],
    "vault status": [[], ["--json"]],
    "vault rotate": [[]],
    "vault key": [[]],
    "user add": [[HOSTILE, "--password-file", "/dev/null"], ["a@example.org", "--password-file", HOSTILE]],
    "user role": [[HOSTILE, "owner"]],
    "user remove": [[HOSTILE]],
    "user reset-factors": [[HOSTILE]],
    "user disable": [[HOSTILE]],
    "key create": [[HOSTILE], ["other", "--scope", HOSTILE]],
    "key revoke": [[f"k{HOSTILE}"]],
    "tenant add": [[HOSTILE]],
    "migrate": [[]],
    "drift": [["--calls", "1"], ["--platform", HOSTILE], ["--account", HOSTILE]],
    "sync status": [[], ["--json"]],
    "sync account": [[HOSTILE]],
    "sync media": [[HOSTILE], ["1", "--account", HOSTILE]],
    "sync post": [[HOSTILE], ["#post"]],
    "export": [["posts_v1", "--format", "jsonl"], [HOSTILE], ["posts_v1", "--since", HOSTILE]],
    "db feed enable": [[]],
    "db feed status": [[], ["--json"]],
    "db feed script": [[]],
    "db feed disable": [[]],
    "db login": [["read", "--name", HOSTILE, "--password-file", "/dev/null"]],
    "db seed": [[]],
    "db reset": [["--yes"]],
}
"""Commands that do something over such rows, and say what they did; in an order in which each finds what it needs."""

RUNNING = {"serve", "work", "sandbox", "up", "sql"}
"""`sql` becomes psql, which escapes what it shows. The others run until they are stopped: what they write is a
log, or, for `up`, is watched below."""


def test_every_command_is_walked() -> None:
    assert sorted([*LISTINGS, *ACTIONS, *RUNNING]) == sorted(commands())


def _file_of_posts(folder: Path) -> str:
    path = folder / "posts.csv"
    path.write_text(f'content,platforms\n"{HOSTILE.replace(chr(34), chr(34) * 2)}","{HOSTILE[:8]}"\n')
    return str(path)


async def test_no_command_lets_stored_text_control_the_terminal(rig: Rig, tmp_path: Path) -> None:
    keys = {"LANDFALL_VAULT_KEYS": ",".join(KEYS), "PYTHONIOENCODING": "utf-8"}
    keys["LANDFALL_SPOOL_DIR"] = str(tmp_path / "\x1b[2J")
    keys["LANDFALL_MEDIA_URL"] = (tmp_path / "media").as_uri()
    events = await rig.raw("SELECT id::text FROM webhook_event_log ORDER BY id")
    ids = {f"#{number}": id_ for number, [id_] in enumerate(events, 1)}
    [[ids["#post"], ids["#target"]]] = await rig.raw(
        "SELECT post_id::text, id::text FROM post_targets WHERE id <> post_id"
    )
    [[ids["#media"]]] = await rig.raw("SELECT id::text FROM media")
    [[ids["#recurrence"]]] = await rig.raw("SELECT id::text FROM post_recurrences")
    [[ids["#account"]]] = await rig.raw("SELECT id::text FROM connections WHERE platform = 'tiktok'")
    ids["#file"] = _file_of_posts(tmp_path)
    for name, calls in LISTINGS.items():
        for call in calls:
            arguments = [ids.get(argument, argument) for argument in call]
            code, output = await command(rig.dsn, *name.split(), *arguments, **keys)
            assert code == 0, (name, arguments, output)
            assert controls(output) == [], (name, arguments, output)
            escaped = SHOWN if "--json" not in arguments else r"\u001b[2J"
            assert escaped.lower() in output.lower(), (name, arguments, output)
            assert "\nFAKE" not in output, "no text begins a line of its own"
    for name, calls in ACTIONS.items():
        for call in calls:
            arguments = [ids.get(argument, argument) for argument in call]
            _, output = await command(rig.dsn, *name.split(), *arguments, **keys)
            assert controls(output) == [], (name, arguments, output)


# --- the pages


async def test_no_page_lets_stored_text_be_more_than_text(rig: Rig) -> None:
    await logged_in(rig)
    [[id_]] = await rig.raw("SELECT id::text FROM connections WHERE platform = 'tiktok'")
    [[post]] = await rig.raw("SELECT id::text FROM posts WHERE id::text <> $1", ACTION)
    link = (await rig.link("tiktok", connection=id_)).removeprefix(rig.url)
    shown = 0
    for path in (
        "/",
        "/connections",
        "/people",
        "/account",
        "/audit",
        "/posts",
        "/posts/new",
        "/posts/calendar?day=2099-06-01",
        f"/posts/{post}",
        f"/posts/{post}/edit",
        f"/posts/{ACTION}",
        "/login",
        link,
        f"/api/auth/tiktok?connection={id_}",
    ):
        async with rig.http.get(rig.url + path, headers=HTML) as response:
            assert response.status == 200, path
            text = await response.text()
        assert "<script>" not in text, path
        assert controls(text, keep="\n\t\r") == [], path
        shown += SHOWN in text
    assert shown >= 8
    listings = (
        "/api/connections",
        "/api/notices",
        "/api/audit",
        "/api/media",
        "/api/posts",
        "/api/recurrences",
        "/api/actions",
        f"/api/posts/{post}/history",
        f"/api/posts/{post}/fetches",
    )
    for path in (*listings, f"/api/connections/{id_}/slots"):
        async with rig.http.get(rig.url + path) as response:
            assert response.content_type == "application/json"
            text = await response.text()
        assert controls(text) == [], path
        assert repr(HOSTILE)[1:-1] in str(json.loads(text)), path


async def test_sandbox_shows_what_its_people_wrote_as_text(rig: Rig) -> None:
    await rig.sandbox.command("act", platform="instagram", what="publish", account="shop", text=HOSTILE)
    for path in ("/", "/platforms/instagram"):
        async with rig.http.get(rig.sandbox.url + path, params={"said": HOSTILE, "at": "top"}) as response:
            text = await response.text()
        assert html.unescape(text).count(SHOWN) >= 2, path
        assert "<script>" not in text
        assert controls(text, keep="\n\t\r") == []


# --- `make up`, in a terminal


@pytest.fixture
def environment(database: str, tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TERM": "xterm",
        "COLUMNS": "160",
        "LINES": "50",
        "DATABASE_URL": database,
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "LANDFALL_VAULT_KEYS": ",".join(KEYS),
        "LANDFALL_HTTP_PORT": str(free_port()),
        "LANDFALL_METRICS_PORT": str(free_port()),
    }


@pytest.fixture
async def used(environment: dict[str, str], tmp_path: Path) -> None:
    """A first run on a database that is still empty: `make up` takes none that somebody else filled."""
    async with stack(tmp_path / "data", environment):
        pass


async def test_the_live_tables_go_on_over_hostile_rows(
    used: None, rig: Rig, environment: dict[str, str], tmp_path: Path
) -> None:
    """In a terminal of its own, as a person starts it: it draws, it lives, and only its own escapes are obeyed."""
    arguments = ["up", "--directory", str(tmp_path / "data"), "--pace", "0"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.execve(sys.executable, [sys.executable, "-m", "ops.cli.main", *arguments], environment)
    try:
        written = await asyncio.to_thread(_drawn, terminal, "tiktok_posts · ")
        os.kill(pid, 0)
        os.kill(pid, signal.SIGINT)
        written += await asyncio.to_thread(_rest, terminal)
        _, status = await asyncio.to_thread(os.waitpid, pid, 0)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, written
    assert "Traceback" not in written
    # rich moves the cursor, colours, and draws on the alternate screen; nothing else may come out.
    ours = re.sub(r"\x1b\[[0-9;]*[mAKGFH]|\x1b\[\?(25|1049)[lh]|\r", "", written)
    assert controls(ours) == [], ours
    assert "so good [/] thanks [red]" in ours
    assert "cannot be read" not in ours


def _drawn(terminal: int, wanted: str, seconds: float = 60.0) -> str:
    """All that was written until ``wanted`` stood there three times."""
    end, written = time.monotonic() + seconds, ""
    while written.count(wanted) < 3:
        assert time.monotonic() < end, written
        try:
            written += os.read(terminal, 65_536).decode(errors="replace")
        except OSError:
            raise AssertionError(f"it ended: {written}") from None
    return written


def _rest(terminal: int) -> str:
    written: list[Any] = []
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # the other side is gone
            part = b""
        if not part:
            return b"".join(written).decode(errors="replace")
        written.append(part)
