"""Text from outside is kept as far as it can be stored, and shown without the characters that control a viewer."""

import ast
import json
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment
from markupsafe import Markup

from ops.runtime.text import excerpt, finalize, parsed_json, storable, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcödé 漢字", "plain ünïcödé 漢字"),
        ("👩\u200d👩\u200d👧 क\u200dष", "👩\u200d👩\u200d👧 क\u200dष"),  # joiners are part of emoji and of words
        ("\x1b[2J", r"\x1b[2J"),
        ("\x9b2J", r"\x9b2J"),  # CSI as one C1 character
        ("a\nb\r\tc\x00\x7f", r"a\nb\r\tc\x00\x7f"),
        ("\u202egro.live\u202c", r"\u202egro.live\u202c"),
        ("\u2066x\u2069\u2028\ufeff", r"\u2066x\u2069\u2028\ufeff"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_what_controls_a_viewer_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_line_breaks_stay_where_they_are_kept() -> None:
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@given(st.text(st.characters(categories=None)))
def test_any_text_becomes_printable_and_can_be_written(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert not [c for c in shown if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")]


def test_excerpt_is_one_bounded_line() -> None:
    assert excerpt("a \n  b\x1b", 80) == r"a b\x1b"
    assert excerpt("x" * 100, 10) == "x" * 9 + "…"


def test_templates_show_text_visibly_and_escaped_and_leave_markup_and_numbers_alone() -> None:
    page = Environment(autoescape=True, finalize=finalize).from_string("{{ a }}|{{ b }}|{{ c }}|{{ d }}")
    shown = page.render(a="<b>\x1b\u202e</b>\n", b=Markup("<i>ours</i>"), c=3, d=None)
    assert shown == "&lt;b&gt;\\x1b\\u202e&lt;/b&gt;\n|<i>ours</i>|3|None"


def test_commands_print_through_one_place() -> None:
    """A bare ``print`` or ``click.echo`` of a stored text would hand a terminal over to whoever wrote it."""
    strays = []
    for path in sorted(Path("ops/cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and path.name != "terminal.py":
                called = ast.unparse(node.func)
                if called in ("print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"):
                    strays.append(f"{path}:{node.lineno} {called}")
    assert strays == []


def test_logs_escape_what_they_are_given() -> None:
    """In a process of its own: loggers keep the standard error that they were made with."""
    program = (
        "import logging, structlog; from ops.runtime import logs; logs.configure('info');"
        r"structlog.get_logger().warning('hostile', text='\x1b[2J\u202e\x9b\n{', list=['\x07']);"
        r"logging.getLogger('asyncio').warning('\x1b]0;title\x07 %s', '\x9b')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert r"\u001b[2J\u202e\u009b\n{" in done.stderr
    assert done.stderr.count("\n") == 2
    assert not [c for c in done.stderr if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]


def test_what_cannot_be_stored_is_replaced_and_the_rest_is_kept() -> None:
    assert storable("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    assert storable("Zoë \U0001f600 \t\n") == "Zoë \U0001f600 \t\n"


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (rb'{"a": "x\u0000y", "b\u0000": ["\ud83d", "\ud83d\ude00"]}', {"a": "x\ufffdy", "b\ufffd": ["\ufffd", "😀"]}),
        (b'{"name": "caf\xe9", "token": "t"}', {"name": "caf\ufffd", "token": "t"}),
        (b'{"a": NaN, "b": -Infinity, "c": 1e400, "d": 1.5}', {"a": None, "b": None, "c": None, "d": 1.5}),
        (b'{"life": ' + b"9" * 5000 + b', "token": "t"}', {"life": None, "token": "t"}),
        (b"\xef\xbb\xbf{}", {}),
        ("[1]".encode("utf-16"), [1]),
        (b"", {}),
        (b"<html>", None),
        (b"{", None),
        (b"[" * 100_000, None),
    ],
)  # fmt: skip
def test_json_comes_out_storable_and_finite(content: bytes, found: Any) -> None:
    assert parsed_json(content) == found
    json.dumps(parsed_json(content), allow_nan=False, ensure_ascii=False).encode()
