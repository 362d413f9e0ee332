"""The only way from a command to the terminal: nothing that came from outside controls it."""

import json
from datetime import datetime

import click

from ops.runtime.text import visible


def echo(line: str = "", *, mark: str = "", err: bool = False, bold: bool = False) -> None:
    """Print one line, control characters and line breaks in it made visible. ``mark`` before it may be styled."""
    click.echo(mark + click.style(visible(line), bold=bold or None), err=err)


def echo_json(document: object, *, indent: int | None = None) -> None:
    """Print a JSON document. It is ASCII, so control characters are escaped; times are written in ISO 8601 form."""
    click.echo(json.dumps(document, indent=indent, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
