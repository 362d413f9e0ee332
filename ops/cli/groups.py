"""Groups of commands that load a command when it is called: help and completion import none of them."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

import click

from ops.runtime.text import visible


class Lazy(NamedTuple):
    """A command that is loaded when it is called: where it is, as ``module:attribute``, and its line in the help."""

    target: str
    help: str


class LazyGroup(click.Group):
    """A group whose commands are in modules that are imported when a command of theirs is asked for."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy], **options: Any) -> None:
        super().__init__(*args, **options)
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        return sorted(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in self._lazy:
            return None
        module, _, attribute = self._lazy[cmd_name].target.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self._lazy[name].help) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class MainGroup(LazyGroup):
    """Turns errors that a person can mend into one clear message, and exit code 1, or 2 for wrong arguments."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not all(_encodable(argument) for argument in args):
            raise click.UsageError("an argument is not UTF-8; check how this terminal encodes what is typed", ctx)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return self._explained(ctx)
        except click.ClickException as error:
            # A message may repeat a name that somebody pasted here.
            error.message = visible(error.message, keep="\n\t")  # type: ignore[misc]
            raise

    def _explained(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            from ops.cli.errors import explain

            message = explain(error)
            if message is None:
                raise
            raise click.ClickException(message) from None


def _encodable(argument: str) -> bool:
    """Return whether PostgreSQL can take it: bytes that are not UTF-8 arrive from the shell as surrogates."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True
