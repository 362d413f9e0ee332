"""`landfall drift`: compare the CRM tables with what the platforms say now."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime

import click

from ops.cli import options, wiring
from ops.cli.composition import built
from ops.cli.terminal import echo, echo_json
from ops.runtime.db import open_pool
from ops.runtime.settings import Configuration, ConfigurationError
from schema.rights import APP_ROLE
from sync.pull.drift import Drift, DriftCheck, Finding

SHOWN = 20
"""Of more rows than that, only the first of an account are named; --json names all."""

INCOMPLETE = 2
"""The exit code where nothing differs and not all could be read."""


@click.command()
@click.option("--platform", help="Only accounts of this one.")
@click.option("--account", help="Only the account of this id, as webhooks name it.")
@click.option("--metrics", is_flag=True, help="Numbers too, which change by the hour.")
@click.option(
    "--calls", default=10_000, show_default=True, type=click.IntRange(1), help="Pages to read of one account at most."
)
@options.json_lines
def drift_command(*, platform: str | None, account: str | None, metrics: bool, calls: int, as_json: bool) -> None:
    """Compare the CRM tables with what the platforms say now. Changes no row.

    Walks every listing of the connected accounts, which costs calls of their rate limits. Exits 1 if a row is missing,
    different or extra, and 2 if nothing is and not all could be read.
    """
    found = wiring.run(compare(wiring.load(), platform, account, calls, metrics=metrics, as_json=as_json))
    if any(each.findings for each in found):
        sys.exit(1)
    if not all(each.complete for each in found):
        sys.exit(INCOMPLETE)


async def compare(
    configuration: Configuration, platform: str | None, account: str | None, calls: int, *, metrics: bool, as_json: bool
) -> Sequence[Drift]:
    """Compare the accounts, print what was found of each, and return it. Raises UsageError, ConfigurationError."""
    if not wiring.has_vault(configuration):
        raise ConfigurationError(["LANDFALL_VAULT_KEYS is not set: without it no platform can be asked"])
    settings = configuration.settings
    found = []
    async with (
        await open_pool(
            settings.database_url.get_secret_value(), "drift", 3, role=settings.role(APP_ROLE), statement_seconds=60
        ) as pool,
        built(configuration, pool) as services,
    ):
        check = DriftCheck(pool, wiring.pulling_platforms(), wiring.projections(), services.pulling, calls)
        if platform is not None and platform not in check.platforms:
            raise click.UsageError(f"accounts of {', '.join(check.platforms)} can be read, and none of {platform}")
        keys = await check.accounts(platform, account)
        if not keys:
            echo("no such account is connected", err=True)
        for key in keys:
            drift = await check.compare(key, metrics=metrics)
            found.append(drift)
            if as_json:
                _print_json(drift)
            else:
                _print(drift)
    return found


def _print(drift: Drift) -> None:
    counts = ", ".join(f"{drift.number(kind)} {kind}" for kind in ("missing", "different", "extra"))
    whole = "" if drift.complete else "; not all could be read"
    echo(f"{drift.platform} {drift.account_id}: {drift.compared} objects compared, {counts}{whole}")
    for finding in drift.findings[:SHOWN]:
        echo(f"  {finding.kind:<9} {finding.table} {' '.join(finding.key.values())}: {finding.cause}")
        for name, (ours, theirs) in finding.columns.items():
            echo(f"      {name}: {_short(ours)} here, {_short(theirs)} there")
    if len(drift.findings) > SHOWN:
        echo(f"  … and {len(drift.findings) - SHOWN} more; --json has them")
    reasons = sorted(set(drift.unread.values()))
    for reason in reasons[:SHOWN]:
        count = sum(1 for each in drift.unread.values() if each == reason)
        echo(f"  not read, {count} times: {reason}")


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _print_json(drift: Drift) -> None:
    echo_json(
        {
            "platform": drift.platform,
            "account_id": drift.account_id,
            "compared": drift.compared,
            "missing": drift.number("missing"),
            "different": drift.number("different"),
            "extra": drift.number("extra"),
            "unlisted": drift.unlisted,
            "complete": drift.complete,
            "findings": [_document(finding) for finding in drift.findings],
            "unread": [{**task._asdict(), "reason": reason} for task, reason in drift.unread.items()],
        }
    )


def _document(finding: Finding) -> dict[str, object]:
    columns = {
        name: {"here": _plain(ours), "there": _plain(theirs)} for name, (ours, theirs) in finding.columns.items()
    }
    return asdict(finding) | {"columns": columns}


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
