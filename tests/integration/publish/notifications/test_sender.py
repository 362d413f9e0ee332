"""Notices by mail, against a real mail server: once, to whom they concern, and never again where nobody knows."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from prometheus_client import REGISTRY
from structlog.testing import CapturingLogger

from ops.access import tenants, users
from ops.runtime.db import open_pool
from ops.runtime.embedded import free_port
from ops.runtime.mail import Mailer
from ops.runtime.mailserver import MailServer
from ops.runtime.tenancy import tenant_transaction
from publish.notifications import mail_store, sender
from publish.notifications.sender import NoticeSender
from schema.metadata import APP_ROLE
from schema.tenancy import DEFAULT_TENANT
from tests.rig import KEYS, TESTS, Rig, join
from tests.secret_scan import shown, tables
from tests.smtp_server import SmtpServer, certified
from tests.support import ENVIRONMENT, Process, eventually

FROM = "landfall@example.org"
OWNER, EDITOR, VIEWER, GONE = (f"{name}@example.org" for name in ("owner", "editor", "viewer", "gone"))
PASSWORD = "canary-password/1"


@pytest.fixture
async def rig(rig: Rig) -> Rig:
    await member(rig, OWNER, "owner")
    return rig


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    found = CapturingLogger()
    monkeypatch.setattr(sender, "log", found)
    return found


async def member(rig: Rig, email: str, role: str, tenant: str = DEFAULT_TENANT) -> None:
    await users.add(rig.pool, tenant, email, "correct horse battery", role, TESTS)


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    found = SmtpServer()
    async with found.open():
        yield found


def notice_sender(rig: Rig, smtp: SmtpServer, url: str = "", **changes: Any) -> NoticeSender:
    tls = changes.pop("tls", None)
    server = replace(MailServer.of(url or f"smtp://127.0.0.1:{smtp.port}"), **changes)
    return NoticeSender(rig.pool, Mailer(server, FROM, tls), rig.built.flows.titles, rig.url)


async def broken(rig: Rig, platform: str = "tiktok", **connecting: str) -> str:
    """An account whose owner removed us; its id."""
    [id_] = await rig.connect(platform, **connecting)
    await rig.sandbox.command("act", platform=platform, what="revoke", account="shop")
    await rig.due()
    assert await rig.refresher.refresh(id_) == "needs_reconnect"
    return id_


async def round_of(*postmen: NoticeSender) -> None:
    await asyncio.gather(*(one.round(asyncio.Event()) for one in postmen))


async def states(rig: Rig) -> dict[str, str]:
    rows = await rig.raw("SELECT email, state FROM notice_mails JOIN users ON id = user_id ORDER BY email")
    return dict(rows)


async def later(rig: Rig, minutes: float = 60) -> None:
    """Time passes for what waits."""
    await rig.raw("UPDATE notice_mails SET due_at = due_at - make_interval(secs => $1)", minutes * 60)


def counted() -> dict[str, float]:
    found = {
        sample.labels["outcome"]: sample.value
        for metric in REGISTRY.collect()
        if metric.name == "landfall_mails"
        for sample in metric.samples
        if sample.name.endswith("_total")
    }
    return dict.fromkeys(("sent", "refused", "unknown", "given_up"), 0.0) | found


def since(before: dict[str, float]) -> dict[str, float]:
    return {name: value - before[name] for name, value in counted().items() if value != before[name]}


# --- who is told, and of what


async def test_owner_and_editor_are_told_once_and_nobody_else_is(rig: Rig, smtp: SmtpServer) -> None:
    await member(rig, EDITOR, "editor")
    await member(rig, VIEWER, "viewer")
    await member(rig, GONE, "editor")
    assert await users.disable(rig.pool, DEFAULT_TENANT, GONE, TESTS)
    other = await tenants.add(rig.connection, "other", TESTS)
    await member(rig, "stranger@example.org", "owner", other)
    id_ = await broken(rig)
    one, two = notice_sender(rig, smtp), notice_sender(rig, smtp)
    before = counted()
    for _ in range(10):
        await round_of(one, two)
    assert smtp.to() == [EDITOR, OWNER]
    assert since(before) == {"sent": 2.0}
    for mail in smtp.received:
        assert mail.message["Subject"] == "1 account needs you: TikTok"
        assert (mail.message["From"], mail.message["To"]) == (f"Landfall <{FROM}>", mail.to)
        assert (EDITOR in str(mail.message)) == (mail.to == EDITOR), "nobody sees whom else it went to"
        assert f"{rig.url}/connections\n" in mail.text
        assert "TikTok, “shop”: " in mail.text
        assert "Press “connect again”" in mail.text
        [reason] = await rig.raw("SELECT says FROM notices")
        assert reason["says"] in mail.text
    rows = await rig.raw("SELECT subject, actor, detail FROM audit_log WHERE action = 'notice.mailed' ORDER BY id")
    assert {(row["subject"], row["actor"]) for row in rows} == {(id_, "worker")}
    assert [json.loads(row["detail"]) for row in rows] == [{"kind": "needs_reconnect"}] * 2, "and nobody's address"
    _, log = await rig.api("GET", "/api/audit")
    told = [entry for entry in log["entries"] if entry["action"] == "notice.mailed"]
    assert [(entry["platform"], entry["username"]) for entry in told] == [("tiktok", "shop")] * 2


async def test_several_who_begin_at_once_send_one(rig: Rig, smtp: SmtpServer, database: str) -> None:
    for platform in ("tiktok", "x", "mastodon"):
        await broken(rig, platform)
    await member(rig, EDITOR, "editor")
    smtp.slow = 0.05
    async with await open_pool(database, "another", 4, role=APP_ROLE, wait_seconds=20, pgbouncer=True) as pool:
        another = notice_sender(rig, smtp)
        another._pool = pool
        outcomes = await asyncio.gather(
            *(one.round(asyncio.Event()) for one in (notice_sender(rig, smtp), another) * 3), return_exceptions=True
        )
    assert [outcome for outcome in outcomes if outcome] == []
    assert smtp.to() == [EDITOR, OWNER]
    assert all(str(m.message["Subject"]) == "3 accounts need you: 1 Mastodon, 1 TikTok, 1 X" for m in smtp.received)


async def test_whoever_finds_another_at_it_neither_waits_nor_takes_the_rest(rig: Rig) -> None:
    await broken(rig)
    async with tenant_transaction(rig.pool, "*") as one, tenant_transaction(rig.pool, "*") as other:
        await mail_store.address_mails(one)
        await one.execute("COMMIT; BEGIN")
        await one.execute("SELECT set_config('landfall.tenant', '*', true)")
        claimed = await mail_store.claim_mail(one)
        assert claimed is not None
        assert [item.platform for item in claimed.items] == ["tiktok"]
        async with asyncio.timeout(1):
            assert await mail_store.claim_mail(other) is None


async def test_next_account_that_breaks_is_a_mail_of_its_own_and_names_no_old_one(rig: Rig, smtp: SmtpServer) -> None:
    await broken(rig, "tiktok")
    await round_of(notice_sender(rig, smtp))
    await broken(rig, "x")
    await round_of(notice_sender(rig, smtp))
    assert [str(mail.message["Subject"]) for mail in smtp.received] == [
        "1 account needs you: TikTok",
        "1 account needs you: X",
    ]


async def test_end_that_is_near_is_told_too(rig: Rig, smtp: SmtpServer) -> None:
    [id_] = await rig.connect("linkedin")
    await rig.raw("UPDATE connections SET refresh_expires_at = now() + interval '3 days' WHERE id = $1::uuid", id_)
    await rig.refresher._round()
    await round_of(notice_sender(rig, smtp))
    [mail] = smtp.received
    assert "connect the account again before that" in mail.text


async def test_person_of_several_tenants_is_told_which(rig: Rig, smtp: SmtpServer) -> None:
    await broken(rig)
    other = await tenants.add(rig.connection, "Second & Sons", TESTS)
    await join(rig, other, OWNER, "owner")
    await round_of(notice_sender(rig, smtp))
    [mail] = smtp.received
    assert mail.text.startswith("1 account of default needs you:")


async def test_what_was_resolved_or_is_a_day_old_is_not_sent(rig: Rig, smtp: SmtpServer) -> None:
    await broken(rig, "tiktok")
    await rig.connect("tiktok")  # somebody looked and saw to it
    await broken(rig, "x")
    await rig.raw("UPDATE notices SET created_at = now() - interval '25 hours' WHERE resolved_at IS NULL")
    await round_of(notice_sender(rig, smtp))
    assert smtp.connections == 0
    await broken(rig, "mastodon")
    await round_of(notice_sender(rig, smtp))
    assert [str(mail.message["Subject"]) for mail in smtp.received] == ["1 account needs you: Mastodon"]


async def test_what_is_resolved_or_whoever_leaves_while_the_server_is_away_gets_nothing(rig: Rig) -> None:
    await member(rig, EDITOR, "editor")
    await broken(rig)
    smtp = SmtpServer()
    one = notice_sender(rig, smtp)
    await round_of(one)
    user = await users.find_member(rig.pool, DEFAULT_TENANT, EDITOR)
    assert user is not None
    await users.remove(rig.pool, DEFAULT_TENANT, user, TESTS)
    await later(rig)
    async with smtp.open():
        await round_of(one)
        assert smtp.to() == [OWNER]
        await broken(rig, "x")
        smtp.answer = "451 later"
        await round_of(one)
        await rig.connect("x")
        smtp.answer = "250 OK"
        await later(rig)
        await round_of(one)
    assert smtp.to() == [OWNER]


# --- servers that do not take it


async def test_server_that_is_away_is_asked_with_growing_pauses_and_gets_it_when_it_is_back(rig: Rig) -> None:
    await broken(rig)
    smtp, before = SmtpServer(), counted()
    one = notice_sender(rig, smtp)
    pauses = []
    for _ in range(6):
        await round_of(one, one)
        [row] = await rig.raw("SELECT extract(epoch FROM due_at - now())::int AS left, state FROM notice_mails")
        pauses.append(round(row["left"] / 60))
        await rig.raw("UPDATE notice_mails SET due_at = now()")
    assert pauses == [1, 5, 30, 60, 60, 60]
    assert since(before) == {"refused": 6.0}, "of two at once, one counts"
    async with smtp.open():
        await round_of(one)
        await round_of(one)
    assert smtp.to() == [OWNER]


async def test_what_nobody_takes_for_a_day_is_given_up_and_counted(rig: Rig) -> None:
    await broken(rig)
    smtp, before = SmtpServer(), counted()
    one = notice_sender(rig, smtp)
    await round_of(one)
    await later(rig)
    await rig.raw("UPDATE notice_mails SET created_at = now() - interval '25 hours'")
    await round_of(one)
    assert since(before) == {"refused": 2.0, "given_up": 1.0}
    assert await states(rig) == {OWNER: "given_up"}
    async with smtp.open():
        await later(rig)
        await round_of(one)
    assert smtp.received == []


@pytest.mark.parametrize("answer", ["451 4.3.0 later", "554 5.7.1 never", "421 4.3.2 bye"])
async def test_message_refused_after_it_was_read_is_tried_again(rig: Rig, smtp: SmtpServer, answer: str) -> None:
    await broken(rig)
    smtp.answer = answer
    one, before = notice_sender(rig, smtp), counted()
    await round_of(one)
    assert since(before) == {"refused": 1.0}
    smtp.answer = "250 OK"
    await round_of(one)
    assert smtp.received == [], "not before its pause is over"
    await later(rig)
    await round_of(one)
    await round_of(one)
    assert smtp.to() == [OWNER]


async def test_connection_that_breaks_after_the_message_leaves_a_doubt_and_no_second_mail(
    rig: Rig, smtp: SmtpServer
) -> None:
    await member(rig, EDITOR, "editor")
    await broken(rig)
    smtp.drops = 1
    one, before = notice_sender(rig, smtp), counted()
    for _ in range(4):
        await round_of(one)
        await later(rig, 24 * 60)
    assert smtp.to() == [EDITOR, OWNER], "the server kept both; the one that was not answered is not sent again"
    assert since(before) == {"unknown": 1.0, "sent": 1.0}
    assert sorted((await states(rig)).values()) == ["sent", "unknown"]


async def test_sender_who_dies_with_a_mail_in_hand_leaves_a_doubt(rig: Rig, smtp: SmtpServer) -> None:
    await broken(rig)
    one, before = notice_sender(rig, smtp), counted()
    smtp.slow = 30.0
    dying = asyncio.create_task(one.round(asyncio.Event()))

    async def in_hand() -> bool:
        return await states(rig) == {OWNER: "sending"}

    await eventually(in_hand)
    await asyncio.sleep(0.2)
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    smtp.slow = 0.0
    await round_of(one)
    assert await states(rig) == {OWNER: "sending"}
    await rig.raw("UPDATE notice_mails SET claimed_at = now() - interval '11 minutes'")
    await round_of(one)
    assert await states(rig) == {OWNER: "unknown"}
    assert since(before) == {"unknown": 1.0}


def worker(rig: Rig, smtp: SmtpServer, database: str, directory: Path, **more: str) -> Process:
    """`landfall work`, with mail."""
    environment = {
        **ENVIRONMENT,
        "DATABASE_URL": database,
        "LANDFALL_METRICS_PORT": str(free_port()),
        "LANDFALL_VAULT_KEYS": ",".join(KEYS),
        "LANDFALL_PUBLIC_URL": rig.url,
        "LANDFALL_SMTP_URL": f"smtp://127.0.0.1:{smtp.port}",
        "LANDFALL_MAIL_FROM": FROM,
        **more,
    }
    return Process(("work",), environment, directory / "work.log")


@pytest.mark.parametrize(
    ("number", "name", "came"), [(1, "publish.mail_claimed", []), (2, "publish.mail_accepted", [OWNER])]
)
async def test_worker_who_is_killed_with_a_mail_in_hand_leaves_a_doubt(
    rig: Rig, smtp: SmtpServer, database: str, tmp_path: Path, spawned: list[Process], number: int, name: str, came: Any
) -> None:
    await broken(rig)
    fired = tmp_path / "fired"
    dying = worker(rig, smtp, database, tmp_path, LANDFALL_FAULT=f"exit:{number}:{fired}")
    spawned.append(await dying.start())

    async def dead() -> bool:
        return not dying.running

    await eventually(dead)
    assert fired.read_text() == f"{name}\n", dying.output()
    await broken(rig, "x")
    spawned.append(await worker(rig, smtp, database, tmp_path).start())

    async def mailed() -> bool:
        return len(smtp.received) == len(came) + 1

    await eventually(mailed)
    assert str(smtp.received[-1].message["Subject"]) == "1 account needs you: X"
    assert sorted(row["state"] for row in await rig.raw("SELECT state FROM notice_mails")) in (
        ["sending", "sent"],
        ["sending", "sending"],  # it was accepted a moment ago
    )


async def test_server_that_hangs_up_at_once_is_not_asked_without_end(rig: Rig) -> None:
    async def curt(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(1)
        writer.write(b"220 here\r\n")
        await reader.readline()
        writer.write(b"250 here\r\n")
        writer.close()

    asked: list[int] = []
    server = await asyncio.start_server(curt, "127.0.0.1", 0)
    await broken(rig)
    before = counted()
    async with asyncio.timeout(10):
        await round_of(notice_sender(rig, SmtpServer(port=server.sockets[0].getsockname()[1])))
    assert len(asked) == 1
    assert since(before) == {"refused": 1.0}
    server.close()


async def test_one_person_whom_the_server_does_not_want_stops_nobody_else(
    rig: Rig, smtp: SmtpServer, logged: CapturingLogger
) -> None:
    wrong = "öl@example.org"
    for number in range(3):
        await member(rig, f"editor{number}@example.org", "editor")
    await member(rig, wrong, "editor")
    smtp.refuses = {"editor1@example.org"}
    await broken(rig)
    before = counted()
    await round_of(notice_sender(rig, smtp))
    assert smtp.to() == ["editor0@example.org", "editor2@example.org", OWNER]
    assert since(before) == {"sent": 3.0, "refused": 2.0}
    assert "canary-of-the-server" not in str(logged.calls)
    assert "SMTPRecipientRefused 550" in str(logged.calls)
    found = await states(rig)
    assert (found["editor1@example.org"], found[wrong]) == ("waiting", "waiting")


async def test_mail_server_that_hangs_delays_no_refresh(rig: Rig) -> None:
    async def silent(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    done = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    await broken(rig)
    smtp = SmtpServer(port=server.sockets[0].getsockname()[1])
    waiting = asyncio.create_task(notice_sender(rig, smtp).round(asyncio.Event()))
    await asyncio.sleep(0.3)
    [id_] = await rig.connect("x")
    await rig.due()
    async with asyncio.timeout(5):
        assert await rig.refresher.refresh(id_) == "refreshed"
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    done.set()
    server.close()


# --- what platforms' people call themselves


@pytest.mark.parametrize(
    "name",
    [
        "shop\r\nBcc: evil@example.org\r\n\r\n<script>",
        "shop\n.\r\nMAIL FROM:<evil@example.org>",
        "x" * 10_000,
        "\u202egro.live\u202c \x1b[2J\x07 \u2028Bcc: evil@example.org",
        "Käse & Brötchen 🧀 店",
        ".",
    ],
)
async def test_hostile_name_stays_a_name(rig: Rig, smtp: SmtpServer, name: str) -> None:
    id_ = await broken(rig)
    await rig.raw("UPDATE connections SET username = $2 WHERE id = $1::uuid", id_, name)
    await rig.raw("UPDATE notices SET says = says || $1", name)
    await round_of(notice_sender(rig, smtp))
    [mail] = smtp.received
    assert set(mail.message.keys()) == {
        "To",
        "From",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    }
    assert mail.to == mail.message["To"] == OWNER
    assert len(mail.raw) < 5000
    assert not [c for c in mail.text if ord(c) < 32 and c not in "\r\n"]
    assert not set(mail.text) & set("\u202e\u202c\u2028\x1b")
    assert not [one for one in mail.text.splitlines() if one.startswith(("Bcc", "MAIL", "."))]
    if name.startswith("Käse"):
        assert f"“{name}”" in mail.text
    assert all(len(one) <= 998 for one in mail.raw.split(b"\r\n"))


# --- secrets


async def test_password_goes_to_a_server_only_after_tls_and_is_seen_nowhere(
    rig: Rig, connection: asyncpg.Connection, tmp_path: Path, logged: CapturingLogger
) -> None:
    serving, trusting = certified(tmp_path, ["127.0.0.1"])
    smtp = SmtpServer(password=PASSWORD)
    url = f"smtp://landfall:{PASSWORD.replace('/', '%2F')}@127.0.0.1:{smtp.port}"
    await broken(rig)
    async with smtp.open():
        elsewhere = notice_sender(rig, smtp, url, here=False, tls=trusting)
        await round_of(elsewhere)
        assert smtp.received == [], "it offers no TLS"
        smtp.tls = serving
        await later(rig)
        await round_of(notice_sender(rig, smtp, url, here=False))
        assert smtp.received == [], "nobody vouches for it"
        await later(rig)
        await round_of(notice_sender(rig, smtp, url.replace("canary", "wrong"), here=False, tls=trusting))
        assert smtp.received == [], "wrong password"
        await later(rig)
        await round_of(elsewhere)
    [mail] = smtp.received
    assert (mail.secure, mail.user) == (True, "landfall")
    refusals = [call.kwargs["error"] for call in logged.calls if call.args == ("mail.refused",)]
    assert [error.split()[0] for error in refusals] == [
        "SMTPException",
        "SSLCertVerificationError",
        "SMTPAuthenticationError",
    ]
    tokens = [row["key_sha256"].hex() for row in await rig.raw("SELECT key_sha256 FROM api_keys")]
    said = {"log": str(logged.calls), "mail": mail.raw.decode(), "text": mail.text}
    assert shown([PASSWORD, rig.key, *tokens], said) == []
    assert shown([PASSWORD], await tables(connection)) == []
    assert PASSWORD not in repr(MailServer.of(url))


async def test_server_may_speak_tls_from_the_first_byte(rig: Rig, tmp_path: Path, logged: CapturingLogger) -> None:
    serving, trusting = certified(tmp_path, ["127.0.0.1"])
    smtp = SmtpServer()
    url = f"smtps://127.0.0.1:{smtp.port}"
    await broken(rig)
    async with smtp.open(serving):
        await round_of(notice_sender(rig, smtp, url, here=False))
        assert logged.calls[0].kwargs["error"] == "SSLCertVerificationError"
        await later(rig)
        await round_of(notice_sender(rig, smtp, url, here=False, tls=trusting))
    assert smtp.to() == [OWNER]


async def test_server_of_this_machine_takes_a_password_without_tls_and_uses_tls_where_it_is_offered(
    rig: Rig, tmp_path: Path
) -> None:
    smtp = SmtpServer(password=PASSWORD)
    url = f"smtp://landfall:{PASSWORD.replace('/', '%2F')}@127.0.0.1:{smtp.port}"
    await broken(rig)
    async with smtp.open():
        await round_of(notice_sender(rig, smtp, url))
        smtp.tls, _ = certified(tmp_path, ["127.0.0.1"])
        await broken(rig, "x")
        await round_of(notice_sender(rig, smtp, url))
    assert [(mail.secure, mail.user) for mail in smtp.received] == [(False, "landfall"), (True, "landfall")]
