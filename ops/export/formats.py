"""Write rows as bytes: each format has its beginning, its portions and its end."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ops.export.request import Export
from ops.runtime.text import visible_json

BOM = b"\xef\xbb\xbf"

_SIGNS = "=+\\-@\uff1d\uff0b\uff0d\uff20"

_FORMULA = re.compile(f"^(?=[{_SIGNS}\t\r\n])|(?<=[,;|\t\r\n])(?=[{_SIGNS}])")
"""Where a spreadsheet may see the beginning of a formula (OWASP, CSV Injection; full-width signs too): where a cell
begins, and after what may end one for a spreadsheet that expects another separator, and so takes no quotes for such."""

_NUMERIC = ("bigint", "integer", "numeric", "boolean", "date", "timestamp with time zone", "uuid")
"""Types whose values are written as they are: none of them can hold a formula."""


class Writer(Protocol):
    def begin(self) -> bytes: ...

    def write(self, rows: Sequence[Sequence[Any]]) -> bytes: ...

    def end(self) -> bytes: ...


def writer(export: Export) -> Writer:
    """Return the writer of an export's format."""
    if export.format == "csv":
        return Csv(export.columns, bom=export.bom)
    if export.format == "jsonl":
        return JsonLines()
    from ops.export.parquet import Parquet

    return Parquet(export.columns)


class Csv:
    """CSV (RFC 4180) in UTF-8 that a spreadsheet opens without running anything of it.

    Text stands in quotes, and has an apostrophe wherever a formula might begin. NULL is nothing at all between two
    commas, and an empty text a pair of quotes.
    """

    def __init__(self, columns: Mapping[str, str], *, bom: bool = False) -> None:
        self._names = list(columns)
        self._plain = [kind in _NUMERIC for kind in columns.values()]
        self._bom = bom

    def begin(self) -> bytes:
        return (BOM if self._bom else b"") + (",".join(self._names) + "\r\n").encode()

    def write(self, rows: Sequence[Sequence[Any]]) -> bytes:
        lines = [
            ",".join(
                value if plain and value is not None else _cell(value)
                for value, plain in zip(row, self._plain, strict=True)
            )
            for row in rows
        ]
        return "".join(f"{line}\r\n" for line in lines).encode()

    def end(self) -> bytes:
        return b""


def _cell(value: str | None) -> str:
    if value is None:
        return ""
    return '"' + _FORMULA.sub("'", value).replace('"', '""') + '"'


class JsonLines:
    """One JSON object a line, as PostgreSQL writes it: numbers keep all their digits.

    What a terminal would obey is written as JSON's escape for it, which reads back as the same text.
    """

    def begin(self) -> bytes:
        return b""

    def write(self, rows: Sequence[Sequence[Any]]) -> bytes:
        return "".join(f"{visible_json(row[0])}\n" for row in rows).encode()

    def end(self) -> bytes:
        return b""
