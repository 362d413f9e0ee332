"""`landfall doctor`: check that everything is as the promises need it, and say what to do where it is not."""

import asyncio
import os
import shutil
import stat
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import click
from arq.connections import ArqRedis
from redis.exceptions import RedisError, ResponseError

from ingest import spool
from ingest import store as ingest_store
from ops.cli import feed, logins, options, structure, wiring
from ops.cli.composition import storage_of, vault_of
from ops.cli.store import logins as login_store
from ops.cli.store import server
from ops.cli.terminal import echo, echo_json
from ops.erasure import store as erasure
from ops.retention import store as retention
from ops.runtime import db, process_store, server_store
from ops.runtime.health import DURABLE
from ops.runtime.platform_protocol import PlatformError
from ops.runtime.process_store import Outage, Process
from ops.runtime.settings import Configuration, ConfigurationError, Settings
from ops.runtime.tenancy import ALL_TENANTS, set_tenant, tenant_transaction
from ops.runtime.worker_listener import open_redis
from publish.connections import refresh_store, subscription_store
from publish.connections.subscription_store import Shown
from publish.media import integrity, media_store
from publish.media.storage import NOT_CONFIGURED, StorageError, folder_at
from publish.oauth.providers import asked_scopes
from publish.vault import key_rotation
from publish.vault.envelope import VAULT_KEYS, VaultError
from schema.jobs import QUEUE
from schema.revision import HEAD
from schema.rights import APP_ROLE
from schema.tables import all_tables
from sync.projection import store
from sync.pull import gaps
from sync.rebuild import shadow
from sync.rebuild import store as rebuild_store

KINDS = {"serve": "web", "work": "worker"}
"""How people call the processes of each command."""

SKEW_WARN_SECONDS, SKEW_FAULT_SECONDS = 2.0, 60.0
OVERDUE_SECONDS = 60.0
ENOUGH_MONTHS = 2
COPIES_SECONDS = 10
LATE_SECONDS = 600
OLDEST_POSTGRES = 150000
STORAGE_SECONDS = 20
FORGOTTEN_HOURS = 24
"""After the time in which a platform may bring an erased person back, whose id is forgotten then."""


LEVELS = ("fault", "warning", "ok")
"""What is wrong comes first."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one thing: ``level`` is ok, warning or fault; ``remedy`` is what to do about the last two."""

    level: str
    about: str
    message: str
    remedy: str = ""


@click.command()
@options.json_document
def doctor(*, as_json: bool) -> None:
    """Check everything the promises rest on; exits 1 on a fault."""
    findings = wiring.run(examine(wiring.load()))
    show(findings, as_json=as_json)
    sys.exit(any(finding.level == "fault" for finding in findings))


async def examine(configuration: Configuration) -> list[Finding]:
    reported = await _reported(configuration.settings)
    running = reported or []
    findings = [
        *(() if reported is None else _processes(reported)),
        *_secrets(configuration, running),
        *await _postgres(configuration.settings),
        *_spool(configuration.settings, running),
        *await _storage(configuration, running),
        *await _connections(configuration, running),
        *await _redis(configuration.settings, running),
    ]
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def show(findings: Sequence[Finding], *, as_json: bool) -> None:
    """Print findings; the exit code is the caller's."""
    if as_json:
        echo_json([asdict(finding) for finding in findings], indent=2)
        return
    marks = {"ok": click.style("ok   ", fg="green"), "warning": click.style("warn ", fg="yellow")}
    for finding in findings:
        mark = marks.get(finding.level, click.style("FAULT", fg="red", bold=True))
        echo(f"{finding.about}: {finding.message}", mark=f"{mark} ")
        if finding.remedy:
            echo(f"      -> {finding.remedy}")


async def _connected(settings: Settings) -> asyncpg.Connection:
    dsn = settings.database_url.get_secret_value()
    try:
        return await db.connect(dsn, settings.role(APP_ROLE), "doctor")
    except asyncpg.InsufficientPrivilegeError:
        if settings.landfall_database_role is not None:
            raise
        return await db.connect(dsn, name="doctor")  # the login of a process, which can be nothing else


async def _reported(settings: Settings) -> Sequence[Process] | None:
    """Return what the processes report; None where the database, or its schema, does not let us look."""
    try:
        connection = await _connected(settings)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return None
    try:
        return await process_store.reported(connection)
    except asyncpg.PostgresError:
        return None
    finally:
        await connection.close()


def _processes(running: Sequence[Process]) -> Iterator[Finding]:
    for kind, name in KINDS.items():
        heard = [process for process in running if process.kind == kind]
        living = [process for process in heard if process.lives]
        if living:
            counted = "" if len(living) == 1 else f"{len(living)} run, "
            where = f"{living[0].host}, process {living[0].pid}"
            yield Finding("ok", name, f"{counted}last heard {living[0].silent:.0f} s ago ({where})")
        elif heard:
            message = f"last heard {_ago(heard[0].silent)} ago ({heard[0].host}, process {heard[0].pid})"
            yield Finding("fault", name, message, f"start `landfall {kind}`, or look at its log")
        else:
            yield Finding("warning", name, "has not been heard of", f"start `landfall {kind}`")


def _ago(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _of(running: Sequence[Process], kind: str) -> set[str]:
    """Return what the living processes of a kind are configured for."""
    return {what for process in running if process.kind == kind and process.lives for what in process.configured}


def _secrets(configuration: Configuration, running: Sequence[Process]) -> Iterator[Finding]:
    known = {what.removeprefix("webhooks:") for what in _of(running, "serve") if what.startswith("webhooks:")}
    here = {name for name, webhook in wiring.webhooks().items() if wiring.has_secret(configuration, webhook)}
    if known and not here:
        for name in sorted(known):
            yield Finding("ok", name, "the web process has a secret for it; this shell has none")
        return
    configured = 0
    for name, webhook in wiring.webhooks().items():
        signing = [v for v in webhook.signature.secrets if configuration.variables[v.name]]
        if signing:
            configured += 1
            count = sum(len(configuration.variables[v.name]) for v in signing)
            yield Finding("ok", name, f"{count} signing {'secret' if count == 1 else 'secrets'} configured")
        else:
            first = webhook.signature.secrets[0]
            served = "no secret, so its webhooks are answered 503"
            message = "the web process has a secret for it; this shell has none" if name in known else served
            yield Finding("warning", name, message, f"{first.name}: {first.where}")
        missing = [v for v in webhook.others if not configuration.variables[v.name]]
        if signing and missing and len(missing) == len(webhook.others):
            remedy = f"{missing[0].name}: {missing[0].where}"
            yield Finding("warning", name, f"{' and '.join(v.name for v in missing)} not set", remedy)
    if not configured:
        yield Finding("fault", "secrets", "no platform is configured: nothing can be received", "see .env.example")


async def _postgres(settings: Settings) -> list[Finding]:
    asked = time.monotonic()
    try:
        connection = await _connected(settings)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        message = f"cannot be reached as role {settings.role(APP_ROLE)!r} ({db.describe(error)})"
        remedy = "check DATABASE_URL and that the server runs; if the role is missing, run `landfall migrate`"
        return [Finding("fault", "postgresql", message, remedy)]
    try:
        return [
            Finding("ok", "postgresql", f"answered in {(time.monotonic() - asked) * 1000:.0f} ms"),
            *_hosts(settings.database_url.get_secret_value()),
            *await _server(connection),
            *await _schema(connection),
        ]
    finally:
        await connection.close()


def _hosts(dsn: str) -> Iterator[Finding]:
    """Check that the primary is asked for where there are several servers."""
    count, wanted = len(db.hosts(dsn)), db.wanted_server(dsn)
    if count > 1 and wanted not in ("primary", "read-write"):
        message = f"DATABASE_URL names {count} hosts and no target_session_attrs that needs a primary" + (
            "" if wanted == "any" else f" (it is {wanted})"
        )
        remedy = "add ?target_session_attrs=primary: the first host that answers is taken otherwise, be it a standby"
        yield Finding("warning", "hosts", message, remedy)


async def _server(connection: asyncpg.Connection) -> list[Finding]:
    findings = []
    version = await server.version(connection)
    if version < OLDEST_POSTGRES:
        findings.append(Finding("fault", "version", f"PostgreSQL {version // 10000}", "use PostgreSQL 15 or newer"))
    for name, value in (await server_store.settings(connection, DURABLE)).items():
        if value not in DURABLE[name]:
            message = f"{name} = {value}: what was acknowledged can be lost in a crash"
            findings.append(Finding("fault", "durability", message, f"{server.durable_setting(name)}, and reload"))
    if not any(finding.about == "durability" for finding in findings):
        findings.append(Finding("ok", "durability", "a commit is on disk when it is acknowledged"))
    if await server.data_checksums(connection) == "off":
        remedy = "run pg_checksums --enable while the server is stopped"
        findings.append(Finding("warning", "checksums", "silent disk errors go unnoticed", remedy))
    findings += await _replication(connection)
    findings += [Finding(level, "feed", *said) for level, *said in await feed.findings(connection)]
    theirs = await server.clock(connection)
    skew = abs((datetime.now(UTC) - theirs).total_seconds())
    if skew > SKEW_WARN_SECONDS:
        level = "fault" if skew > SKEW_FAULT_SECONDS else "warning"
        findings.append(Finding(level, "clock", f"{skew:.1f} s apart from PostgreSQL's", "synchronise both by NTP"))
    else:
        findings.append(Finding("ok", "clock", f"within {max(skew, 0.001):.3f} s of PostgreSQL's"))
    return findings


async def _replication(connection: asyncpg.Connection) -> list[Finding]:
    if await server.is_standby(connection):
        message = "this server is a standby: nothing can be written here, so every webhook is answered 503"
        remedy = (
            "name every server in DATABASE_URL and end it in ?target_session_attrs=primary, "
            "or point it at the primary; promote this one if there is no other"
        )
        return [Finding("fault", "replication", message, remedy)]
    wanted = await server.synchronous_standby_names(connection)
    if not wanted:
        followers = await server.followers(connection)
        message = f"{followers} servers follow, none of them synchronous: a failover loses what was acknowledged last"
        remedy = "set synchronous_standby_names, or synchronous_mode of Patroni"
        return [Finding("warning", "replication", message, remedy)] if followers else []
    synchronous, unknown = await server.standbys(connection)
    if synchronous:
        return [Finding("ok", "replication", f"{synchronous} synchronous standbys are connected")]
    if unknown:
        message = f"{unknown} standbys are connected; whether one is synchronous is not shown to this login"
        return [Finding("ok", "replication", f"{message} (GRANT pg_read_all_stats shows it)")]
    message = f"synchronous_standby_names = {wanted!r}, but none is connected: commits wait for ever"
    return [Finding("fault", "replication", message, "bring the standby back, or empty the setting")]


async def _schema(connection: asyncpg.Connection) -> list[Finding]:
    revision = await server_store.schema_revision(connection)
    if revision != HEAD:
        return [Finding("fault", "schema", f"at {revision}, this release needs {HEAD}", "run `landfall migrate`")]
    flaws = await structure.examine(connection, all_tables())
    findings = [Finding("fault", "structure", flaw.message, flaw.remedy) for flaw in flaws] or [
        Finding("ok", "structure", "every key and index is there and valid")
    ]
    findings.insert(0, Finding("ok", "schema", f"at {HEAD}"))
    if rights := await server.rights_to_change_the_log(connection):
        message = f"the service may {', '.join(rights)} events: the log is only as immutable as its role"
        remedy = "unset LANDFALL_DATABASE_ROLE, and give `serve` and `work` logins of their own"
        findings.append(Finding("fault", "role", message, remedy))
    else:
        findings.append(Finding("ok", "role", "events cannot be changed or deleted by the service"))
    findings += await _logins(connection)
    if not await server_store.may_act_as(connection, APP_ROLE):
        message = "this login may not look at the rest: backlog, tables, erasures and connections"
        remedy = f"run this with a DATABASE_URL whose login is a member of {APP_ROLE}, such as the owner's"
        return [*findings, Finding("warning", "login", message, remedy)]
    found, unsplit = await store.backlog(connection), await ingest_store.waiting(connection)
    waits = f"{unsplit.deliveries} deliveries and {found.waiting} events wait"
    if (oldest := max(found.oldest_due_seconds, unsplit.oldest_seconds)) > OVERDUE_SECONDS:
        message = f"{waits}, the oldest for {oldest:.0f} s"
        findings.append(Finding("fault", "backlog", message, "start `landfall work`, or look at its log"))
    else:
        findings.append(Finding("ok", "backlog", waits))
    findings.append(await _partitions(connection))
    findings += await _tables(connection)
    findings += await _erasures(connection)
    for state, count in found.unsettled.items():
        if count:
            remedy = f"`landfall events list --state {state}`, mend the cause, `landfall events retry --state {state}`"
            findings.append(Finding("warning", state, f"{count} events", remedy))
    return findings


async def _logins(connection: asyncpg.Connection) -> list[Finding]:
    """Check that no process, and nobody who breaks into one, could do more than the process needs.

    Looks at the logins that processes hold now, and at this command's own where none runs.
    """
    held, messages = await logins.running(connection), set[str]()
    if not held:
        own = await login_store.own_login(connection)
        found = [await logins.excess(connection, own, group) for group in logins.PROCESSES.values()]
        if all(found):
            messages.add(f"the login {own} {', '.join(found[0])}: for `serve` or `work` that is more than it needs")
    else:
        for process, names in held.items():
            for name in names:
                if more := await logins.excess(connection, name, logins.PROCESSES[process]):
                    messages.add(f"`{process}` is logged in as {name}, which {', '.join(more)}: more than it needs")
    if not messages:
        return [Finding("ok", "logins", "no process can do more than it needs")]
    remedy = (
        "make logins with `landfall db login serve` and `landfall db login work`, and give each process its own in"
        ' DATABASE_URL (ops/RUNBOOK.md, "Logins of the database")'
    )
    return [Finding("warning", "logins", message, remedy) for message in sorted(messages)]


async def _partitions(connection: asyncpg.Connection) -> Finding:
    """Check that the log has partitions for the months to come, and that every row stands in that of its month."""
    found = await retention.gaps(connection)
    if found.months_ahead < ENOUGH_MONTHS:
        message = f"the log has partitions for {found.months_ahead} months to come; rows of later ones get no partition"
        remedy = "start `landfall work`, or look in its log for partitions.not_made"
        return Finding("warning", "partitions", f"{message} of their own", remedy)
    if found.misplaced:
        message = "rows of the log stand outside of the partition of their month: nothing is lost, and none is dropped"
        remedy = "look at the clock of the web processes, and in the worker's log for partitions.not_made"
        return Finding("warning", "partitions", message, remedy)
    return Finding("ok", "partitions", f"the log has partitions for {found.months_ahead} months to come")


async def _tables(connection: asyncpg.Connection) -> list[Finding]:
    findings = []
    verified = await store.last_verification(connection)
    if verified is None:
        message = "never verified against the log"
        findings.append(Finding("warning", "tables", message, "run `landfall verify`, and then nightly"))
    elif verified.drifted_rows:
        message = f"{verified.drifted_rows} rows were not what the log says on {verified.at:%Y-%m-%d %H:%M}Z"
        findings.append(Finding("fault", "tables", message, "run `landfall rebuild`, then `landfall verify`"))
    else:
        findings.append(Finding("ok", "tables", f"what the log says, as of {verified.at:%Y-%m-%d %H:%M}Z"))
    for name, count in (await rebuild_store.estimate_outdated(connection, wiring.projections())).items():
        message = f"about {count} events of {name} were projected by another version than this release's"
        findings.append(Finding("warning", "projections", message, "run `landfall rebuild --outdated`"))
    if await server.schema_exists(connection, shadow.KEPT):
        message = "one is under way, or was interrupted"
        findings.append(Finding("warning", "rebuild", message, "`landfall rebuild` goes on with it"))
    return findings


async def _erasures(connection: asyncpg.Connection) -> list[Finding]:
    """Find people who asked to be erased and still are here, or whose ids are."""
    await erasure.see_all_tenants(connection)
    asked, overdue, waiting = await erasure.counts(connection, FORGOTTEN_HOURS)
    counted = {
        "asked to be erased": asked,
        "were erased, and are not forgotten: what came again may still be here": overdue,
    }
    remedy = "run `landfall erase --requested`, and then daily"
    findings = [Finding("warning", "erasure", f"{n} people {what}", remedy) for what, n in counted.items() if n]
    if waiting:
        message = f"{waiting} requests of tenants wait until no other tenant has the account connected"
        findings.append(Finding("ok", "erasure", message))
    try:
        lost = await asyncio.wait_for(erasure.copies_of_erased_bodies(connection), COPIES_SECONDS)
    except TimeoutError:
        lost = 0  # so many deliveries that looking takes too long; the daily erasure looks without a limit
    if lost:
        message = f"{lost} deliveries are copies of a body that was erased while they came"
        findings.append(Finding("warning", "erasure", message, remedy))
    return findings


async def _connections(configuration: Configuration, running: Sequence[Process]) -> list[Finding]:
    """Check that accounts can be connected, and find those that wait for somebody."""
    if not wiring.has_vault(configuration) and "vault" in _of(running, "serve"):
        message = "the web process has a key for tokens and this shell has none, so that connections were not looked at"
        return [Finding("warning", "connections", message, "run it with the settings of the service")]
    if not wiring.has_vault(configuration):
        remedy = f"set {VAULT_KEYS.name} to what `landfall vault key` prints"
        return [Finding("warning", "connections", "no key for tokens, so no account can be connected", remedy)]
    settings = configuration.settings
    dsn = settings.database_url.get_secret_value()
    try:
        vault = vault_of(configuration)
        async with await db.open_pool(dsn, "doctor", 1, role=settings.role(APP_ROLE)) as pool:
            await key_rotation.check(pool, vault)
            counted = await key_rotation.count(pool)
            async with tenant_transaction(pool, ALL_TENANTS) as connection:
                late = await refresh_store.overdue(connection, LATE_SECONDS)
                waiting = await server.accounts_waiting(connection)
                events = await subscription_store.shown(connection)
                outages = await process_store.recent_outages(connection, gaps.SHOWN_DAYS)
    except (VaultError, ConfigurationError) as error:
        problem = error.problems[0] if isinstance(error, ConfigurationError) else str(error)
        return [Finding("fault", "vault", problem, "see `landfall vault status`, and the runbook on its keys")]
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return []  # what is wrong with the database is another finding
    findings = [Finding("ok", "vault", f"{counted.total()} secrets, sealed with {vault.primary}")]
    if others := sum(count for name, count in counted.items() if name != vault.primary):
        findings.append(
            Finding("warning", "vault", f"{others} secrets under older keys", "run `landfall vault rotate`")
        )
    url = settings.landfall_public_url
    if url.startswith("http://") and urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
        message = f"LANDFALL_PUBLIC_URL is {url}: cookies and codes travel in the clear"
        findings.append(Finding("fault", "public address", message, "put https in front, and say so in the setting"))
    if url.startswith("https://") and not settings.landfall_trusted_proxies:
        message = "whoever speaks https for us is not named: every visitor seems to come from there"
        remedy = "set LANDFALL_TRUSTED_PROXIES to the address of the proxy"
        findings.append(Finding("warning", "proxy", message, remedy))
    findings += _permissions(configuration)
    if late:
        message = f"{late} connections should have been refreshed or checked {LATE_SECONDS // 60} minutes ago"
        remedy = f"start `landfall work` with {VAULT_KEYS.name} set as for `landfall serve`, or look at its log"
        findings.append(Finding("fault", "refreshes", message, remedy))
    findings.append(_mail(settings))
    findings += _events(events)
    findings += _lost(outages)
    for platform, accounts in waiting:
        message = f"{accounts} accounts of {platform} wait for somebody to connect them again"
        findings.append(
            Finding("warning", "connections", message, "`landfall connections list` has the reason of each")
        )
    return findings


def _permissions(configuration: Configuration) -> Iterator[Finding]:
    """Find settings of what people are asked for that no platform has: nobody could connect an account there."""
    for provider in wiring.oauth_providers().values():
        try:
            asked_scopes(provider, configuration.variables)
        except PlatformError as problem:
            yield Finding("fault", "permissions", problem.user_message, "correct it, and restart `landfall serve`")


def _events(shown: Sequence[Shown]) -> Iterator[Finding]:
    """Find accounts whose events do not come: not subscribed to, or silent for longer than is usual."""
    listed = "`landfall connections events` has what is missing of each, and what to do"
    for platform, accounts in Counter(item.platform for item in shown if item.state == "incomplete").items():
        message = f"the events of {accounts} accounts of {platform} are not subscribed to in full"
        yield Finding("fault", "subscriptions", message, listed)
    for platform, accounts in Counter(item.platform for item in shown if item.silent_since is not None).items():
        message = f"{accounts} accounts of {platform} have been silent for far longer than is usual for them"
        remedy = "compare with what the platform shows; `landfall connections events` has their last events"
        yield Finding("warning", "silence", message, remedy)


def _lost(outages: Sequence[Outage]) -> Iterator[Finding]:
    """Find webhooks that platforms sent and dropped while nothing received them."""
    for outage in outages:
        for platform, hours in wiring.retry_hours().items():
            if (until := gaps.lost_until(outage, timedelta(hours=hours))) is not None:
                message = f"{gaps.reason(outage, until)} from {platform}, which repeats them for {hours:g} hours"
                remedy = "their accounts are read again by `landfall work`; `landfall sync status` says how far it is"
                yield Finding("warning", "gaps", message, remedy)


def _mail(settings: Settings) -> Finding:
    if settings.landfall_smtp_url is None:
        remedy = "set LANDFALL_SMTP_URL and LANDFALL_MAIL_FROM to have owners and editors told"
        return Finding("warning", "mail", "not configured: people see notices only when they look", remedy)
    return Finding("ok", "mail", f"notices are mailed as {settings.landfall_mail_from}")


def _spool(settings: Settings, running: Sequence[Process]) -> Iterator[Finding]:
    directory, limit = settings.landfall_spool_dir, settings.landfall_spool_bytes
    if directory is None:
        there = "spool" in _of(running, "serve")
        without = "none: while PostgreSQL is away, webhooks are answered 503 (LANDFALL_SPOOL_DIR)"
        yield Finding("ok", "spool", "the web process has one; this shell has none" if there else without)
        return
    try:
        found = spool.look(directory)
    except spool.SpoolError as error:
        yield Finding("fault", "spool", str(error), "make LANDFALL_SPOOL_DIR a folder of the web process's account")
        return
    waiting, oldest = found.backlog.records, found.backlog.oldest
    age = 0.0 if oldest is None else (datetime.now(UTC) - oldest).total_seconds()
    message = f"{waiting} deliveries wait" + (f", the oldest for {age:.0f} s" if waiting else "")
    if waiting and not found.holder:
        remedy = "start `landfall serve` with this folder, or run `landfall spool drain`"
        yield Finding("fault", "spool", f"{message}, and no process has it", remedy)
    elif age > OVERDUE_SECONDS:
        yield Finding("fault", "spool", message, "bring PostgreSQL back; the web process stores them by itself")
    else:
        yield Finding("ok", "spool", message)
    for reason, count in found.aside.items():
        if count:
            remedy = 'ops/RUNBOOK.md, "LandfallSpoolFilesAside"'
            yield Finding("warning", "spool", f"{count} files were set aside: {reason}", remedy)
    room = found.used + shutil.disk_usage(directory).free if directory.is_dir() else limit
    if room < limit:
        message = f"its disk has room for {room} of {limit} bytes"
        yield Finding("warning", "spool", message, "make room, or lower LANDFALL_SPOOL_BYTES")


STORAGE_REMEDIES = {
    "write": "give the account of the web process and of the worker the right to write there (s3:PutObject)",
    "read": "give the account of the web process and of the worker the right to read there (s3:GetObject)",
    "delete": "give the account of the web process and of the worker the right to delete there (s3:DeleteObject)",
}
"""By what the storage did not do."""


async def _storage(configuration: Configuration, running: Sequence[Process]) -> list[Finding]:
    """Check that files can be stored, read and deleted, by doing so."""
    url, storage = configuration.settings.landfall_media_url, storage_of(configuration)
    serving = "media" in _of(running, "serve")
    if url is None or storage is None:
        if serving:
            message = "the web process has a place for files and this shell has none, so that it was not tried"
            return [Finding("warning", "files", message, "run it with the settings of the service")]
        return [Finding("warning", "files", "no place for them: uploads are answered 503", NOT_CONFIGURED)]
    findings = []
    if serving and "work" in {process.kind for process in running if process.lives} and not _works_with_files(running):
        message = "the web process takes files and the worker has no place to read them from: they are not published"
        findings.append(Finding("fault", "files", message, "give `landfall work` the LANDFALL_MEDIA_URL of the others"))
    folder = folder_at(url)
    if folder is not None and (found := await _folder(configuration.settings, folder)) is not None:
        return [*findings, found]
    try:
        async with asyncio.timeout(STORAGE_SECONDS):
            await integrity.probe(storage)
    except TimeoutError:
        message = f"the storage gave no complete answer within {STORAGE_SECONDS} s"
        remedy = "check AWS_ENDPOINT_URL, AWS_REGION and the network, and that the server runs"
        return [*findings, Finding("fault", "files", message, remedy)]
    except StorageError as error:
        return [*findings, _storage_fault(error, bucket=folder is None)]
    return [*findings, Finding("ok", "files", "a small file was written, read back and deleted")]


def _works_with_files(running: Sequence[Process]) -> bool:
    return "media" in _of(running, "work")


async def _folder(settings: Settings, folder: Path) -> Finding | None:
    """Return what is wrong with a folder that must not be tried; None where it can be.

    The first write makes it, and makes it the writing account's own.
    """
    try:
        status = await asyncio.to_thread(folder.lstat)
    except FileNotFoundError:
        if kept := await _kept_files(settings):
            message = f"the folder {folder} is not there, and {kept} files are in it: is its disk not mounted?"
            return Finding("fault", "files", message, "mount it, or bring it back from a backup; then start again")
        message = f"the folder {folder} is not there yet: the first upload makes it"
        remedy = "make it, mode 0700, for the account of the web process and the worker"
        return Finding("warning", "files", message, remedy)
    except OSError as error:
        message = f"the folder {folder} cannot be looked at: {os.strerror(error.errno or 0)}"
        return Finding("fault", "files", message, "correct LANDFALL_MEDIA_URL, or what lies above the folder")
    return _of_folder(folder, status)


def _of_folder(folder: Path, status: os.stat_result) -> Finding | None:
    """Return why a folder is not tried; None where it is. Whoever takes files makes it its own, mode 0700: not we."""
    if not stat.S_ISDIR(status.st_mode):
        return None  # trying says what is wrong
    if status.st_mode & stat.S_IWOTH:
        message = f"anybody may write in the folder {folder}, and whoever takes files makes it its own alone"
        return Finding("fault", "files", message, "name a folder in LANDFALL_MEDIA_URL that is for files only")
    if status.st_uid != os.geteuid():
        message = f"the folder {folder} belongs to another account (uid {status.st_uid}), so it was not tried"
        return Finding("warning", "files", message, "run this as the account of the web process and the worker")
    if status.st_mode & 0o077:
        message = f"others may look into the folder {folder}; it was not tried, as the first upload makes it mode 0700"
        return Finding("warning", "files", message, f"chmod 700 {folder}, if it is for files only")
    return None


async def _kept_files(settings: Settings) -> int:
    """Return how many files there are by the database; 0 where it cannot be asked."""
    try:
        connection = await _connected(settings)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return 0
    try:
        async with connection.transaction():
            await set_tenant(connection, ALL_TENANTS)
            return await media_store.count(connection)
    except asyncpg.PostgresError:
        return 0
    finally:
        await connection.close()


def _storage_fault(error: StorageError, *, bucket: bool) -> Finding:
    did = {"write": "written", "read": "read back", "delete": "deleted"}[error.operation]
    message = f"a small file could not be {did}: {error.said or error.reason}"
    if error.reason == "full":
        return Finding("fault", "files", message, "make room: `landfall media prune`, or a lower LANDFALL_MEDIA_DAYS")
    where = ", and check the bucket, AWS_REGION, AWS_ENDPOINT_URL and the key" if bucket else ""
    return Finding("fault", "files", message, f"{STORAGE_REMEDIES[error.operation]}{where}")


async def _redis(settings: Settings, running: Sequence[Process]) -> list[Finding]:
    if settings.redis_url is None and "redis" in _of(running, "work"):
        message = "the worker has an address for it and this shell has none, so that it was not looked at"
        return [Finding("warning", "redis", message, "run it with the settings of the service")]
    if settings.redis_url is None:
        return [Finding("warning", "redis", "not configured: rows appear up to a second later", "set REDIS_URL")]
    try:
        redis = await open_redis(settings.redis_url.get_secret_value())
    except Exception as error:  # noqa: BLE001  every way of not answering is the same finding
        message = f"cannot be reached ({error.__class__.__name__}): rows appear up to a second later"
        return [Finding("warning", "redis", message, "check REDIS_URL and that the server runs; nothing is lost")]
    try:
        return [await _eviction(redis), await _answering(redis)]
    except (RedisError, OSError, TimeoutError) as error:
        message = f"stopped answering ({error.__class__.__name__}): rows appear up to a second later"
        return [Finding("warning", "redis", message, "look at that server; nothing is lost")]
    finally:
        await redis.aclose()


async def _eviction(redis: ArqRedis) -> Finding:
    """Check whether it may evict what it holds, as far as it lets us look."""
    try:
        # By INFO: a server that is locked down, as in docker-compose.yml, lets nobody CONFIG.
        policy = (await redis.info("memory")).get("maxmemory_policy")
    except ResponseError:
        policy = None
    if policy is None:
        message = "answers; it does not let this login ask for maxmemory-policy, so that was not looked at"
        return Finding("ok", "redis", message)
    if policy != "noeviction":
        remedy = "CONFIG SET maxmemory-policy noeviction"
        return Finding("warning", "redis", f"answers; maxmemory-policy = {policy}: wake-ups may be evicted", remedy)
    return Finding("ok", "redis", "answers")


async def _answering(redis: ArqRedis) -> Finding:
    if await redis.get(f"{QUEUE}:health-check") is None:
        message = "no worker has been listening on Redis lately"
        return Finding("warning", "arq", message, "start `landfall work`; its sweep works without")
    return Finding("ok", "arq", "a worker listens on Redis")
