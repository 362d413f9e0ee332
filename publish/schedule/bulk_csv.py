"""Read posts as CSV, as spreadsheets send it."""

import csv
import io
import re
from collections.abc import Iterator

from publish.schedule.bulk import (
    FIELDS,
    MOST_POSTS,
    Defaults,
    FileError,
    Problem,
    Reader,
    Report,
    decoded,
    unknown_fields,
)

UNIT = "line"
REQUIRED = ("content", "platforms")
DELIMITERS = ",;\t|"

_SEPARATOR_LINE = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)
"""The first line by which a spreadsheet says which separator the file has."""

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")  # noqa: RUF001  spreadsheets take the wide forms for formulas too
"""How a cell begins that a spreadsheet takes for a formula, or for text by the apostrophe before it."""


def read_csv(content: bytes, defaults: Defaults) -> Report:
    """Read posts from CSV with a line of column names. Never raises: the report says what is wrong."""
    reader = Reader(defaults, UNIT)
    try:
        problems = _read(decoded(content), reader)
    except FileError as error:
        return Report(UNIT, (), error.problems)
    return Report(UNIT, tuple(reader.lines), problems)


def _read(text: str, reader: Reader) -> tuple[Problem, ...]:
    records = _Records(text)
    columns = _columns(records)
    for number, cells in records:
        if not any(cell.strip() for cell in cells):
            continue
        if len(reader.lines) == MOST_POSTS:
            raise FileError(Problem("", f"the file has more than {MOST_POSTS} posts", "send it in several parts"))
        if len(cells) != len(columns):
            message = f"the line has {len(cells)} cells, and there are {len(columns)} columns"
            remedy = "put quotes around a text that holds the separator or a line break"
            reader.refuse(number, Problem("", message, remedy))
        else:
            reader.add(number, dict(zip(columns, map(_from_cell, cells), strict=True)))
    if records.broken is not None:
        number, problem = records.broken
        reader.refuse(number, problem)
        return (Problem("", f"nothing after line {number} was read", "correct that line and send the file again"),)
    if not reader.lines:
        raise FileError(Problem("", "the file has no posts", "write one on each line after the names of the columns"))
    return ()


class _Records:
    """The records of a file with the line on which each begins. ``broken`` is where and why reading ended early."""

    def __init__(self, text: str) -> None:
        self.broken: tuple[int, Problem] | None = None
        named = _SEPARATOR_LINE.match(text)
        self._before = 1 if named else 0
        lines = io.StringIO(text[named.end() :] if named else text, newline="")
        first = next((line for line in lines if line.strip()), "")
        lines.seek(0)
        delimiter = named[1] if named else max(DELIMITERS, key=lambda each: _known(first, each))
        if delimiter not in DELIMITERS:
            message = f"the first line names {delimiter!r} as separator"
            raise FileError(Problem("", message, "separate by comma, semicolon, tab or |"))
        self._reader = csv.reader(lines, delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        while True:
            number = self._before + self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error as error:
                remedy = "close each quote, and write a quote inside a text twice"
                self.broken = number, Problem("", f"the line is no CSV: {error}", remedy)
                return
            yield number, cells


def _known(line: str, delimiter: str) -> int:
    """Return how many column names a line has if this separates them."""
    return sum(_column(name.strip('"')) in FIELDS for name in line.split(delimiter))


def _column(name: str) -> str:
    return "_".join(name.strip().lower().split())


def _columns(records: _Records) -> list[str]:
    """Read the names of the columns. Raises FileError for unknown, repeated and missing ones."""
    names = next(([_column(name) for name in cells] for _, cells in records if any(map(str.strip, cells))), None)
    known = f"the columns are {', '.join(FIELDS)}"
    if records.broken is not None:
        raise FileError(records.broken[1])
    if names is None:
        raise FileError(Problem("", "the file has no line with the names of the columns", known))
    problems = unknown_fields(names, FIELDS, "column")
    problems += [
        Problem(name, f"the column {name} is there more than once", "keep one of them")
        for name in FIELDS
        if names.count(name) > 1
    ]
    problems += [Problem(name, f"the column {name} is missing", known) for name in REQUIRED if name not in names]
    if problems:
        raise FileError(*problems)
    return names


def _from_cell(text: str) -> str:
    """Take the mark of a text away again; a formula is a text like any other."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text
