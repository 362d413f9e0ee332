"""The `landfall` command."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, BinaryIO

import asyncpg
import click
import uvloop

from ops.cli import wiring
from ops.cli.terminal import echo
from ops.runtime import logs
from ops.runtime.db import describe
from ops.runtime.settings import Configuration, ConfigurationError
from ops.runtime.text import visible
from schema.revision import HEAD


class Group(click.Group):
    """Turns what a person can mend into one clear message and exit code 2."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not all(_encodable(argument) for argument in args):
            raise click.UsageError("an argument is not UTF-8; check how this terminal encodes what is typed", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return self._explained(ctx)
        except click.ClickException as error:
            # A message may repeat a name that somebody pasted here.
            error.message = visible(error.message, keep="\n\t")  # type: ignore[misc]
            raise

    def _explained(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            raise click.ClickException(f"{error}\nSee .env.example for every variable.") from None
        except (
            OSError,
            asyncpg.PostgresConnectionError,
            asyncpg.InvalidAuthorizationSpecificationError,
        ) as error:
            raise click.ClickException(
                f"PostgreSQL cannot be reached ({describe(error)}). Check DATABASE_URL, and that the server runs."
            ) from None
        except asyncpg.InsufficientPrivilegeError as error:
            from schema.rights import APP_ROLE, WEB_ROLE, WORKER_ROLE

            raise click.ClickException(
                f"this login may not do that: {error}. `landfall migrate`, `db login`, `rebuild`, `erase` and "
                "`tenant add` need the owner of the database; the first two also the right to create roles, or these "
                f"made beforehand. `serve` needs a member of {WEB_ROLE}, `work` one of {WORKER_ROLE}, any other "
                f'command one of {APP_ROLE}: ops/RUNBOOK.md, "Logins of the database".'
            ) from None
        except asyncpg.InvalidParameterValueError as error:
            if "role" not in str(error):
                raise
            raise click.ClickException(f"{error}: run `landfall migrate`, which makes it") from None
        except asyncpg.UndefinedTableError:
            raise click.ClickException("the database has not been migrated: run `landfall migrate`") from None


def _encodable(argument: str) -> bool:
    """Whether PostgreSQL can take it: bytes that are not UTF-8 arrive from the shell as surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


_EVENT_ID = click.IntRange(1, 2**63 - 1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="landfall")
def main() -> None:
    """Signed webhooks from social platforms become CRM rows, once each.

    Configured by environment variables; see .env.example.
    """


def run(program: Coroutine[Any, Any, Any]) -> Any:
    return uvloop.run(program)


def load() -> Configuration:
    configuration = wiring.configuration()
    logs.configure(configuration.settings.landfall_log_level)
    return configuration


def dsn_of(configuration: Configuration) -> str:
    return configuration.settings.database_url.get_secret_value()


@main.command()
def serve() -> None:
    """Receive webhooks over HTTP."""
    from ops.cli.serve import serve as program

    sys.exit(run(program(load())))


@main.command()
def work() -> None:
    """Project the log into the CRM tables."""
    from ops.cli.work import work as program

    sys.exit(run(program(load())))


@main.command()
@click.option("--down", "down_to", metavar="REVISION", help="Go back to a revision, or to `base`: this drops data.")
def migrate(down_to: str | None) -> None:
    """Bring the database schema to this release."""
    from ops.cli.migrate import migrate as program

    program(dsn_of(load()), down_to or "head")
    echo(f"schema is at {down_to or HEAD}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(*, as_json: bool) -> None:
    """Check everything the promises rest on; exits 1 on a fault."""
    from ops.cli.doctor import examine, show

    findings = run(examine(load()))
    show(findings, as_json=as_json)
    sys.exit(any(finding.level == "fault" for finding in findings))


@main.group()
def events() -> None:
    """Look at the log, and mend what is parked."""


_FILTERS = [
    click.option("--state", type=click.Choice(["pending", "leased", "done", "ignored", "parked", "dead"])),
    click.option("--platform"),
    click.option("--type", "event_type"),
    click.option("--account"),
    click.option("--delivery", type=click.UUID, help="Only events first carried by this delivery."),
]


def filters(command: Any) -> Any:
    for option in reversed(_FILTERS):
        command = option(command)
    return command


@events.command("list")
@filters
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def events_list(*, limit: int, as_json: bool, **chosen: str | None) -> None:
    """Newest events first."""
    from ops.cli import events as program

    run(program.show_list(load(), chosen, limit, as_json=as_json))


@events.command("show")
@click.argument("event_id", type=_EVENT_ID)
@click.option("--json", "as_json", is_flag=True)
def events_show(event_id: int, *, as_json: bool) -> None:
    """One event, its payload, and the delivery that brought it."""
    from ops.cli import events as program

    run(program.show_one(load(), event_id, as_json=as_json))


@events.command("retry")
@click.argument("event_ids", type=_EVENT_ID, nargs=-1)
@filters
@click.option("--yes", is_flag=True, help="Do not ask before changing more than one event.")
@click.option(
    "--wait",
    "seconds",
    default=10.0,
    show_default=True,
    type=click.FloatRange(0, 3600),
    help="Seconds to wait for the worker; 0 to put them back only.",
)
def events_retry(event_ids: tuple[int, ...], *, yes: bool, seconds: float, **chosen: str | None) -> None:
    """Put events back on the queue, and say what became of them.

    By id, or all that fit the filters (parked ones unless --state says other).
    """
    from ops.cli import events as program

    run(program.retry(load(), event_ids, chosen, yes=yes, seconds=seconds))


@events.command("ignore")
@click.argument("event_ids", type=_EVENT_ID, nargs=-1)
@filters
@click.option("--reason", required=True, help="Why; it stands beside the event from then on.")
@click.option("--yes", is_flag=True, help="Do not ask before changing more than one event.")
def events_ignore(event_ids: tuple[int, ...], *, reason: str, yes: bool, **chosen: str | None) -> None:
    """Decide that parked or dead events need no more work. They stay in the log."""
    from ops.cli import events as program

    run(program.ignore(load(), event_ids, chosen, reason, yes=yes))


@main.command()
@click.option("--platform", "platforms", multiple=True, help="Only this platform's tables; may be repeated.")
@click.option("--outdated", is_flag=True, help="Only platforms with events that an older version projected.")
@click.option("--lose-failed", is_flag=True, help="Go on although this release cannot read some events any more.")
def rebuild(platforms: tuple[str, ...], *, outdated: bool, lose_failed: bool) -> None:
    """Make the CRM tables anew from the log, while traffic flows; readers see the old ones or the new ones.

    Needs the owner of the database, as `landfall migrate` does. Interrupted, it goes on where it was.
    """
    from ops.cli import tables as program

    run(program.rebuild(load(), platforms, outdated=outdated, lose_failed=lose_failed))


@main.command()
@click.option("--json", "as_json", is_flag=True)
def verify(*, as_json: bool) -> None:
    """Compare the CRM tables with the log, row by row; exits 1 if they differ. Changes nothing."""
    from ops.cli import tables as program

    sys.exit(not run(program.verify(load(), as_json=as_json)))


@main.command()
@click.argument("table")
@click.argument("object_id", metavar="ID")
@click.option("--account", help="Only the row of this account.")
@click.option("--history", "full", is_flag=True, help="Also events that were superseded.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a row.")
def explain(table: str, object_id: str, *, account: str | None, full: bool, as_json: bool) -> None:
    """Which events made a row of TABLE what it is."""
    from ops.cli import tables as program

    run(program.explain(load(), table, object_id, account, full=full, as_json=as_json))


@main.group()
def db() -> None:
    """Logins for the processes; and for development, wiping and filling a database of our own."""


@db.command("login")
@click.argument("process", type=click.Choice(["serve", "work", "read"]))
@click.option("--name", help="Of the login; landfall_serve, landfall_work or landfall_read if not given.")
@click.option(
    "--password-file",
    type=click.File("rb"),
    metavar="FILE",
    help="A file of one line, the password, of 12 visible ASCII characters at least; - is standard input. Asked for"
    " if not given.",
)
def db_login(process: str, name: str | None, password_file: BinaryIO | None) -> None:
    """Make the database login that `landfall serve` or `landfall work` needs, or one that only reads the tables.

    One that is there gets a new password.

    Needs the owner of the database, as `landfall migrate` does, and the right to create roles.
    """
    from ops.cli.keys import password_in
    from ops.cli.logins import login as program

    if password_file is None:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    else:
        password = password_in(password_file)
    run(program(load(), process, name or f"landfall_{process}", password))


@db.command("reset")
@click.option("--yes", is_flag=True, help="Do not ask.")
def db_reset(*, yes: bool) -> None:
    """Drop everything and migrate again. Refused for a database that is not on this machine or not ours."""
    from ops.cli import db as program

    program.reset(load(), yes=yes)


@db.command("seed")
def db_seed() -> None:
    """Append a few sample events to the log, as if platforms had sent them."""
    from ops.cli import db as program

    run(program.seed(load()))


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8090, show_default=True, type=click.IntRange(0, 65535))
@click.option("--seed", default=1, show_default=True, help="The same seed makes the same world.")
@click.option("--remember", default=10_000, show_default=True, type=click.IntRange(1), help="Calls kept in the ledger.")
@click.option("--room", default=10_000, show_default=True, type=click.IntRange(10), help="Comments a platform keeps.")
@click.option("--pace", type=click.FloatRange(0), help="Things that happen a second; none in a new world.")
@click.option("--speed", type=click.FloatRange(0), help="Its seconds in one of ours; 1 in a new world.")
@click.option(
    "--state", type=click.Path(path_type=Path, dir_okay=False), help="A file to go on from and to keep it in."
)
def sandbox(
    host: str,
    port: int,
    seed: int,
    remember: int,
    room: int,
    pace: float | None,
    speed: float | None,
    state: Path | None,
) -> None:
    """Stand in for the platforms on this machine, with a page to try things and a ledger of all that happened."""
    from ops.cli.sandbox import sandbox as program

    logs.configure()
    run(program(host, port, seed, remember, room, pace, speed, state))


@main.command()
@click.argument("platform", required=False)
@click.option(
    "--requested", is_flag=True, help="Carry out what was asked for, and take out again what came back; daily."
)
@click.option("--person", help="The platform's id of somebody who wrote, liked or was named.")
@click.option("--account", help="The platform's id of an account whose events were received.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(platform: str | None, *, requested: bool, person: str | None, account: str | None, yes: bool) -> None:
    """Take a person or an account out of the log, the tables and the connections, for good."""
    from ops.cli.erase import erase as program
    from ops.cli.erase import requested as asked

    id_ = person or account
    if requested and platform is None and id_ is None:
        run(asked(load()))
        return
    if platform is None or requested or id_ is None or (person and account):
        raise click.UsageError("give a platform and either --person or --account; or --requested alone")
    if not yes:
        click.confirm(f"Everything about {id_} at {platform} goes, and cannot be had back. Go on?", abort=True)
    run(program(load(), platform, id_, account=account is not None))


@main.group("connections")
def connections_() -> None:
    """Connected accounts, of all tenants."""


@connections_.command("list")
@click.option("--state", type=click.Choice(["active", "needs_reconnect", "disconnected"]))
@click.option("--platform")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def connections_list(*, state: str | None, platform: str | None, as_json: bool) -> None:
    """What is connected, until when, and what is wrong with it; what needs somebody comes first."""
    from ops.cli.connections import show

    run(show(load(), state, platform, as_json=as_json))


@connections_.command("retry")
@click.option("--platform", help="Only this one's; all if it is not given.")
def connections_retry(platform: str | None) -> None:
    """Try again at once whatever failed, instead of when its pause is over: after something was mended."""
    from ops.cli.connections import retry

    run(retry(load(), platform))


@main.group()
def vault() -> None:
    """The keys that tokens are kept under."""


@vault.command("key")
def vault_key() -> None:
    """Print a new key, for the front of LANDFALL_VAULT_KEYS."""
    from publish.vault.envelope import new_key

    echo(new_key())


@vault.command("status")
def vault_status() -> None:
    """How many secrets are under each key; a key can go when it has none."""
    from ops.cli.vault import status

    run(status(load()))


@vault.command("rotate")
def vault_rotate() -> None:
    """Bring every secret under the first key, while everything goes on. Run it again if it was stopped."""
    from ops.cli.vault import rotate

    run(rotate(load()))


_tenant = click.option("--tenant", metavar="NAME", help="Of an install with several; see `landfall tenant`.")
_role = click.Choice(["owner", "editor", "viewer"])


@main.group()
def user() -> None:
    """People who log in."""


@user.command("add")
@click.argument("email")
@click.option("--role", type=_role, help="owner for a newcomer if not given; a member keeps the role.")
@click.option(
    "--password-file",
    type=click.File("rb"),
    metavar="FILE",
    help="A file of one line, a password for the first login, of 12 characters at least; - is standard input.",
)
@_tenant
def user_add(email: str, role: str | None, password_file: BinaryIO | None, tenant: str | None) -> None:
    """Invite somebody: the link that is printed works once. A newcomer chooses a password, others log in and confirm.

    With --password-file a newcomer, or a member, can log in with that password once, and chooses another one; all
    sessions of theirs end. There is no option for the password itself: everybody on a machine can
    read a command's arguments.
    """
    from ops.cli.keys import add_user, password_in

    password = None if password_file is None else password_in(password_file)
    run(add_user(load(), tenant, email, role, password))


@user.command("list")
@_tenant
def user_list(tenant: str | None) -> None:
    """Who may log in, and as what."""
    from ops.cli.keys import show_users

    run(show_users(load(), tenant))


@user.command("role")
@click.argument("email")
@click.argument("role", type=_role)
@_tenant
def user_role(email: str, role: str, tenant: str | None) -> None:
    """Change what somebody may do: an owner everything, an editor connect and disconnect, a viewer look."""
    from ops.cli.keys import change_role

    run(change_role(load(), tenant, email, role))


@user.command("remove")
@click.argument("email")
@_tenant
def user_remove(email: str, tenant: str | None) -> None:
    """Take somebody out of the list, at once, with the API keys they made; or withdraw an invitation."""
    from ops.cli.keys import remove_user

    run(remove_user(load(), tenant, email))


@user.command("reset-factors")
@click.argument("email")
@_tenant
def user_reset_factors(email: str, tenant: str | None) -> None:
    """Take the second factors of somebody who lost them all, and end their sessions.

    Make sure that it is the person who asks: the password alone lets in from then on, until a factor is added.
    """
    from ops.cli.keys import reset_factors

    run(reset_factors(load(), tenant, email))


@user.command("disable")
@click.argument("email")
@_tenant
def user_disable(email: str, tenant: str | None) -> None:
    """Shut somebody out everywhere, at once."""
    from ops.cli.keys import disable_user

    run(disable_user(load(), tenant, email))


@main.group()
def key() -> None:
    """API keys for programs."""


@key.command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help="connections:read, connections:write, audit:read; the first two if none is named.",
)
@_tenant
def key_create(name: str, scopes: tuple[str, ...], tenant: str | None) -> None:
    """Make a key and show it, for the only time."""
    from ops.cli.keys import create

    run(create(load(), tenant, name, scopes))


@key.command("list")
@_tenant
def key_list(tenant: str | None) -> None:
    """The keys there are, and when each was last used."""
    from ops.cli.keys import show

    run(show(load(), tenant))


@key.command("revoke")
@click.argument("name")
@_tenant
def key_revoke(name: str, tenant: str | None) -> None:
    """End a key, at once."""
    from ops.cli.keys import revoke

    run(revoke(load(), tenant, name))


@main.group()
def tenant() -> None:
    """Several customers on one install, who see nothing of each other."""


@tenant.command("add")
@click.argument("name")
def tenant_add(name: str) -> None:
    """Make a tenant. Needs the owner of the database, as `landfall migrate` does."""
    from ops.cli.keys import add_tenant

    run(add_tenant(load(), name))


@tenant.command("list")
def tenant_list() -> None:
    """The tenants there are, the install's own first."""
    from ops.cli.keys import show_tenants

    run(show_tenants(load()))


@main.command()
@_tenant
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def audit(tenant: str | None, limit: int, *, as_json: bool) -> None:
    """Who did what to connections, people and keys, newest first."""
    from ops.cli.audit import show

    run(show(load(), tenant, limit, as_json=as_json))


@main.command()
@click.option("--directory", type=click.Path(path_type=Path), help="Where the servers keep their data.")
@click.option("--pace", default=20.0, show_default=True, type=click.FloatRange(0, 2000), help="Deliveries a second.")
@click.option("--for", "seconds", type=click.FloatRange(0), help="Stop after so many seconds.")
def up(directory: Path | None, pace: float, seconds: float | None) -> None:
    """Start everything on this machine and watch signed webhooks become rows."""
    from ops.cli.up import up as program

    chosen = directory or Path(os.environ.get("LANDFALL_DATA_DIR") or ".landfall")
    sys.exit(asyncio.run(program(chosen.absolute(), pace, seconds)))


if __name__ == "__main__":
    main()
