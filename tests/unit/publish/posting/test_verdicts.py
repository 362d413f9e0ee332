"""What errors mean for a step, and that one which no catalogue has is counted and shown to operators as it came."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import CapturingLogger

from ops.runtime.platform_protocol import Response
from publish.oauth.contract import App
from publish.posting import verdicts
from publish.posting.contract import Job, Unknown
from publish.posting.verdicts import error_verdict, reported_verdict, unread_verdict
from publish.preflight.error_catalogue import ErrorCatalogue, ErrorClass, ErrorRule, ReportedError

JOB = Job("t1", "text", App("", "", "", {}), "1", "Tea", {}, platform="acme")
KNOWN = ErrorRule(ErrorClass.CONTENT, "It does not fit.", "Shorten it.", "the page of acme 1", codes=["17"])


def read(response: Response) -> ReportedError | None:
    return ReportedError(response.headers["code"], text="the gate is shut") if response.status >= 400 else None


CATALOGUE = ErrorCatalogue(read, [KNOWN])


def counted() -> float:
    return REGISTRY.get_sample_value("landfall_post_unknown_errors_total", {"platform": "acme"}) or 0.0


def answer(code: str) -> Response:
    return Response(400, b"", {"code": code})


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> CapturingLogger:
    found = CapturingLogger()
    monkeypatch.setattr(verdicts, "log", found)
    return found


def test_error_that_no_catalogue_has_is_counted_and_shown_as_it_came(logged: CapturingLogger) -> None:
    before = counted()
    assert isinstance(error_verdict(CATALOGUE, JOB, answer("4711"), commit=True), Unknown)
    unread_verdict(CATALOGUE, JOB, answer("4711"))
    reported_verdict(CATALOGUE, JOB, ReportedError("4711", text="the gate is shut"))
    assert counted() == before + 3
    assert [call.args for call in logged.calls] == [("posting.unknown_error",)] * 3
    for line in (call.kwargs for call in logged.calls):
        assert (line["platform"], line["target"], line["kind"]) == ("acme", "t1", "text")
        assert "4711 the gate is shut" in line["said"]


def test_error_of_the_catalogue_and_an_answer_that_is_none_are_not_counted(logged: CapturingLogger) -> None:
    before = counted()
    error_verdict(CATALOGUE, JOB, answer("17"))
    reported_verdict(CATALOGUE, JOB, ReportedError("17"))
    assert error_verdict(CATALOGUE, JOB, Response(200, b"", {})) is None
    assert (counted(), logged.calls) == (before, [])
