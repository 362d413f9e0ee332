"""Cells as bytes: what a spreadsheet would run is text, and nothing else is changed."""

import csv
import io
import json

import pytest

from ops.export.formats import Csv, JsonLines

COLUMNS = {"id": "bigint", "text": "text", "at": "timestamp with time zone", "more": "jsonb"}


def written(*rows: tuple[str | None, ...], bom: bool = False, columns: dict[str, str] = COLUMNS) -> bytes:
    target = Csv(columns, bom=bom)
    return target.begin() + target.write(rows) + target.end()


def test_csv_is_these_bytes() -> None:
    rows = ("-5", 'say "hi", ok', "2026-11-27T12:00:00+00:00", '{"a": 1}'), (None, "", None, None)
    assert written(*rows) == (
        b'id,text,at,more\r\n-5,"say ""hi"", ok",2026-11-27T12:00:00+00:00,"{""a"": 1}"\r\n,"",,\r\n'
    )


def test_csv_begins_with_a_byte_order_mark_only_where_it_is_asked_for() -> None:
    assert written(bom=True) == b"\xef\xbb\xbfid,text,at,more\r\n"
    assert not written().startswith(b"\xef\xbb\xbf")


FULL_WIDTH = ["\uff1d1+1", "\uff0b1", "\uff0d1", "\uff20A1"]


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "=cmd|' /C calc'!A0", *FULL_WIDTH]
)
def test_text_that_begins_like_a_formula_has_an_apostrophe_before_it(text: str) -> None:
    content = written(("1", text, None, None))
    assert content.startswith(f"id,text,at,more\r\n1,\"'{text[0]}".encode())
    [row] = list(csv.reader(io.StringIO(content.decode(), newline="")))[1:]
    assert row[1].replace("'", "") == text.replace("'", "")


@pytest.mark.parametrize("text", ["1-1", "a=b", " =1", "'=1", "äöü ☕", "a\r\nb", 'x"=1+1', "a - b", "a@b.example"])
def test_any_other_text_is_what_it_was(text: str) -> None:
    [row] = list(csv.reader(io.StringIO(written(("1", text, None, None)).decode(), newline="")))[1:]
    assert row == ["1", text, "", ""]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("text", ["a;=1+1", "a\t=1", "a\n=1", "a\r\n@x", 'a";+1', "a|-1", "a,=1", '",=1', '\n";=1'])
def test_spreadsheet_that_expects_another_separator_finds_no_formula_either(text: str, separator: str) -> None:
    content = written(("1", text, None, None)).decode()
    rows = list(csv.reader(io.StringIO(content, newline=""), delimiter=separator))
    rows += [line.split(separator) for line in content.splitlines()]  # as whoever knows no quotes takes it
    assert [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@"))] == []


def test_number_below_zero_stays_a_number_and_text_of_json_and_of_lists_does_not_begin_like_a_formula() -> None:
    assert written(("-7",), columns={"likes": "bigint"}) == b"likes\r\n-7\r\n"
    assert written(('["=1"]',), columns={"scopes": "text[]"}) == b'scopes\r\n"[""=1""]"\r\n'


def test_json_lines_are_as_the_database_wrote_them() -> None:
    line = '{"id":9007199254740993,"text":"=1\\n","n":1.10,"m":{"likes": null}}'
    target = JsonLines()
    content = target.begin() + target.write([(line,), (line,)]) + target.end()
    assert content == f"{line}\n{line}\n".encode()
    assert json.loads(content.splitlines()[0])["id"] == 9007199254740993
