"""Options that several commands share."""

from typing import BinaryIO

import click

PASSWORD_FILE_BYTES = 4096

json_lines = click.option(
    "--json", "as_json", is_flag=True, help="One JSON object a line, with the keys of the README."
)
json_document = click.option("--json", "as_json", is_flag=True, help="One JSON document, with the keys of the README.")
tenant = click.option("--tenant", metavar="NAME", help="Of an install with several; see `landfall tenant`.")


def password_in(file: BinaryIO) -> str:
    """Return the password in a file of one line. Raises ClickException."""
    content = file.read(PASSWORD_FILE_BYTES + 1)
    try:
        line = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise click.ClickException("the password file is not UTF-8") from None
    if "\n" in line or len(content) > PASSWORD_FILE_BYTES:
        raise click.ClickException("the password file must hold one line, the password, and nothing else")
    return line
