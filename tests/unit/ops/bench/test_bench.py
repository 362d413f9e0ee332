"""The parts of the benchmark that decide: what counts as an answer, as a rate, and as a target met."""

import io
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime

import pytest
from rich.console import Console

from ingest.accept import accept
from ingest.contract import Delivery
from ingest.split import split
from ops.bench import traffic
from ops.bench.load import RefusedError, answer_size
from ops.bench.measure import _rate
from ops.bench.report import TARGETS, Report, Target, picture, short
from ops.cli import wiring

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
    name = "projection / one arq job per event"
    report = Report()
    for value in (20, 51, 63):
        report.add(name, value)
    report.add("PSS of the web process under load, MB", 61)
    report.left_out.append("(d) growth")
    assert report.missed() == ["PSS of the web process under load, MB"]
    shown = io.StringIO()
    report.show(Console(file=shown, width=140))
    assert re.search(rf"{name} +│ +51 +│ +20 to 63 +│ +≥ 50 +│ met", shown.getvalue())
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


def test_deliveries_are_distinct_and_accepted_with_their_signatures() -> None:
    now = datetime.now(UTC)
    webhooks, variables = (
        wiring.webhooks(),
        {"META_APP_SECRET": (traffic.SECRET,), "TIKTOK_CLIENT_SECRET": (traffic.SECRET,)},
    )
    requests = list(traffic.new(100))
    assert len(set(requests)) == 100
    for request in requests:
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ") for line in lines)}
        assert headers["content-length"] == str(len(body))
        platform = first.split()[1].rpartition("/")[2]
        received = accept(platform, webhooks[platform], Delivery(headers, body), variables, now)
        [event] = split(webhooks[platform], received, variables).events
        assert event.defect is None


def test_deliveries_are_as_large_and_as_mixed_as_they_say() -> None:
    requests = list(traffic.new(1000))
    comments = [request for request in requests if b"/instagram " in request]
    assert sum(b"/tiktok " in request for request in requests) == 300
    assert 600 < sum(len(request.partition(b"\r\n\r\n")[2]) for request in comments) / 700 < 800
    emoji, escaped = [b"\xf0\x9f\x98\x8d" in r for r in comments], [rb"\ud83d\ude0d" in r for r in comments]
    assert 180 < sum(emoji) < 220
    assert 180 < sum(escaped) < 220


def test_delivery_of_many_has_new_comments_only() -> None:
    one, other = traffic.new_of_many(2, 10)
    found = re.findall(rb'"id": "(1790\d+)"', one + other)
    assert len(found) == len(set(found)) == 20


def test_share_of_deliveries_comes_again() -> None:
    one, other = traffic.new(2)
    assert sum(item == one for item in traffic.repeated([one, other] * 50, 1.0, seed=1)) == 100
