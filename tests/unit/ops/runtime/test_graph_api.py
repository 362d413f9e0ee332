"""Errors and rate limits of the Graph API (``meta.md`` 7.4, 11)."""

from datetime import UTC, datetime
from typing import Any

import pytest

from ops.runtime.graph_api import asks_for_less, code_number, problem_of, rate_limit_status
from ops.runtime.platform_protocol import Response


def test_graph_error_is_trouble_where_it_says_so_whatever_its_code() -> None:
    """``meta.md`` 7.4: ``is_transient`` is preferred where it is there; a token that is over stays over."""
    for code, transient, kind in (
        (100, True, "transient"), (100, False, "wrong"), (100, None, "wrong"), (100, "true", "wrong"),
        (10, True, "transient"), (10, None, "lacking"), (299, None, "lacking"), (300, None, "wrong"),
        (2, False, "transient"), (190, True, "grant"),
    ):  # fmt: skip
        error = {"code": code, "message": "m"} | ({} if transient is None else {"is_transient": transient})
        assert problem_of(error, Response(400, {"error": error}), "testing").kind == kind, (code, transient)


@pytest.mark.parametrize(
    ("code", "subcode", "message"),
    [
        (10, None, "(#10) Not enough viewers for the media to show insights"),
        (100, 2108006, "Invalid parameter"),
        (4, 2108006, "Invalid parameter"),
    ],
)
def test_figures_that_one_object_does_not_have_say_nothing_of_the_account(
    code: int, subcode: int | None, message: str
) -> None:
    """``meta.md`` 7.4 and 10.5: no permission is missing, no budget is spent, and no repeat would help."""
    error = {"code": code, "error_subcode": subcode, "message": message}
    answer = Response(400, {"error": error})
    assert problem_of(error, answer, "reading figures").kind == "wrong"
    assert rate_limit_status(answer, datetime.now(UTC)) == []


@pytest.mark.parametrize(("given", "code"), [(190, 190), (190.0, 190), ("190", 190), (" 190 ", 190), ("459.0", 459)])
def test_code_of_graph_is_read_as_a_number_a_float_or_text(given: Any, code: int) -> None:
    assert code_number(given) == code
    assert [code_number(nonsense) for nonsense in (190.5, "soon", [190], None)] == [None] * 4


def test_request_for_too_much_is_told_from_other_trouble_of_the_platform() -> None:
    """``meta.md`` 10.7: only its text tells code 1 for too much data from any other."""
    much = "Please reduce the amount of data you're asking for, then retry your request"
    for error, less in (({"code": 1, "message": much}, True), ({"code": 1, "message": "An unknown error"}, False)):
        assert asks_for_less(Response(500, {"error": error})) is less
    assert [asks_for_less(Response(200, odd)) for odd in (None, [], {"error": None}, {"error": {"message": 5}})] == [
        False
    ] * 4
