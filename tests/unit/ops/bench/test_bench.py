"""The parts of the benchmark that decide: what counts as an answer, as a rate, and as a target met."""

import io
import re
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from ops.bench import traffic
from ops.bench.load import RefusedError, answer_size
from ops.bench.measure import _rate
from ops.bench.report import TARGETS, Report, Target, picture, short
from tests.support import sign_meta

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\nDate: now\r\n\r\n"


def test_answer_is_whole_when_its_length_says_so() -> None:
    assert answer_size(OK + b'{"ok":true}') == len(OK) + 11
    assert answer_size(OK) == len(OK) + 11
    assert answer_size(OK[:-1]) is None


@pytest.mark.parametrize("status", [b"503 Service Unavailable", b"401 Unauthorized", b"204 No Content"])
def test_any_other_answer_ends_the_run(status: bytes) -> None:
    with pytest.raises(RefusedError):
        answer_size(OK.replace(b"200 OK", status))


def test_target_is_a_floor_or_a_ceiling() -> None:
    assert Target(0.7).met(0.7)
    assert not Target(0.7).met(0.69)
    assert Target(1.8, at_most=True).met(1.8)
    assert not Target(1.8, at_most=True).met(1.81)


def test_median_decides_and_the_table_says_so() -> None:
    name = "all duplicates / all new"
    report = Report()
    for value in (0.2, 1.1, 1.3):
        report.add(name, value)
    report.add("resident memory of the web process, MB", 61)
    report.left_out.append("(d) growth")
    assert report.missed() == ["resident memory of the web process, MB"]
    shown = io.StringIO()
    report.show(Console(file=shown, width=140))
    assert re.search(rf"{name} +│ +1.1 +│ +0.2 to 1.3 +│ +≥ 1 +│ met", shown.getvalue())
    assert "left out for want of time: (d) growth" in shown.getvalue()
    assert set(report.figures) <= set(TARGETS)


def test_rate_is_taken_between_two_counts() -> None:
    seen = [(0.0, 0.0), (1.0, 100.0), (2.0, 150.0), (4.0, 250.0)]
    assert _rate(seen, 0, 100) == pytest.approx(100)
    assert _rate(seen, 50, 150) == pytest.approx(100 / 1.5)
    assert _rate(seen, 150, 250) == pytest.approx(50)


def test_figures_are_short() -> None:
    assert [short(value) for value in (0.30512, 11.234, 12345.6)] == ["0.305", "11.2", "12,346"]


def test_picture_is_a_drawing_with_its_axes_named() -> None:
    drawn = picture("a title", [10, 100], {"ingest": [1.0, 0.9], "projection": [1.0, 1.3]})
    root = ET.fromstring(drawn)
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a title", "events in the log", "10", "100", "ingest: 0.90", "projection: 1.30"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2


def test_deliveries_are_signed_distinct_and_of_the_size_they_say() -> None:
    one, other = traffic.new(2)
    assert one != other
    head, _, body = one.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}" in head.decode()
    assert 600 < len(body) < 760
    assert sign_meta(body, traffic.SECRET)["X-Hub-Signature-256"] in head.decode()
    assert sum(item == one for item in traffic.repeated([one, other] * 50, 1.0, seed=1)) == 100
