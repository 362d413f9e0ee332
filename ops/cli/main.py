"""The `landfall` command. Each command is in a module of its own, beside its options."""

import click

from ops.cli.groups import Lazy, MainGroup

COMMANDS = {
    "actions": Lazy(
        "ops.cli.actions:actions", "Act on posts and comments that are there: answer, hide, show, edit, delete."
    ),
    "audit": Lazy("ops.cli.audit:audit_command", "List who did what to connections, people and keys, newest first."),
    "connections": Lazy("ops.cli.connections:connections", "Connected accounts, of all tenants."),
    "db": Lazy(
        "ops.cli.db:db_group", "Make logins, publish changes, and wipe and fill a database of our own for development."
    ),
    "doctor": Lazy("ops.cli.doctor:doctor", "Check everything the promises rest on; exits 1 on a fault."),
    "drift": Lazy(
        "ops.cli.drift:drift_command",
        "Compare the CRM tables with what the platforms say now. Changes no row.",
    ),
    "erase": Lazy(
        "ops.cli.erase:erase_command",
        "Erase a person or an account from the log, the tables and the connections, for good.",
    ),
    "events": Lazy("ops.cli.events:events", "Look at the log, and release events that are parked."),
    "explain": Lazy("ops.cli.tables:explain_command", "Show which events made a row of TABLE what it is."),
    "export": Lazy("ops.cli.export:export_command", "Write the rows of a view to a file: CSV, JSONL or Parquet."),
    "key": Lazy("ops.cli.keys:key", "API keys for programs."),
    "media": Lazy("ops.cli.media:media_group", "Files to be posted: upload, list, prune, and see who fetched them."),
    "migrate": Lazy("ops.cli.migrate:migrate_command", "Bring the database schema to this release."),
    "posts": Lazy("ops.cli.posts:posts", "Posts: make, list, repeat, retry, confirm, approve and cancel them."),
    "rebuild": Lazy(
        "ops.cli.tables:rebuild_command",
        "Make the CRM tables anew from the log, while traffic flows; readers see the old ones or the new ones.",
    ),
    "retention": Lazy(
        "ops.cli.retention:retention", "How long the log is kept. Without a policy everything is kept for ever."
    ),
    "sandbox": Lazy(
        "ops.cli.sandbox:sandbox_command",
        "Stand in for the platforms on this machine, with a page to try things and a ledger of all that happened.",
    ),
    "serve": Lazy("ops.cli.serve:serve_command", "Receive webhooks over HTTP, and serve the pages."),
    "split": Lazy("ops.cli.split:split_command", "Split deliveries that wait into events, as a worker does."),
    "spool": Lazy("ops.cli.spool:spool_group", "Deliveries that were accepted while PostgreSQL was away."),
    "sql": Lazy("ops.cli.sql:sql_command", "Open psql on the tables, with a login that can only read."),
    "sync": Lazy("ops.cli.sync:sync_group", "Reading connected accounts: how far it is, and reading something now."),
    "tenant": Lazy("ops.cli.tenants:tenant", "Several customers on one install, who see nothing of each other."),
    "up": Lazy("ops.cli.up:up_command", "Start everything on this machine and watch signed webhooks become rows."),
    "user": Lazy("ops.cli.users:user", "People who log in."),
    "vault": Lazy("ops.cli.vault:vault", "The keys that tokens are kept under."),
    "verify": Lazy(
        "ops.cli.tables:verify_command",
        "Compare the CRM tables with the log, row by row; exits 1 if they differ. Changes nothing.",
    ),
    "work": Lazy(
        "ops.cli.work:work_command",
        "Split deliveries into events, project those, read connected accounts, keep them connected and publish posts.",
    ),
}


@click.group(cls=MainGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="landfall")
def main() -> None:
    """Signed webhooks from social platforms become CRM rows, once each.

    Configured by environment variables; see .env.example.
    """


if __name__ == "__main__":
    main()
