"""Reading errors by a catalogue, without any platform's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.runtime.platform_protocol import Response
from publish.preflight.error_catalogue import (
    Classified,
    ErrorCatalogue,
    ErrorClass,
    ErrorRule,
    ReportedError,
    classify,
    without_secrets,
)

TOKEN = "EAAGm0PX4ZCpsBAKZBdZCZAaYZC9ZAQ1"


def read(response: Response) -> ReportedError | None:
    if response.ok:
        return None
    content = response.content or {}
    return ReportedError(content.get("code", ""), content.get("sub", ""), content.get("text", ""), own=bool(content))


CATALOGUE = ErrorCatalogue(
    read,
    (
        ErrorRule(ErrorClass.PERMISSION, "As a page.", "Ask.", "x", codes=["190"], text="as a page"),
        ErrorRule(ErrorClass.TOKEN, "Ended.", "Connect.", "x", codes=["190"], user_code="access_token_invalid"),
        ErrorRule(
            ErrorClass.AGAIN,
            "Trouble.",
            "Wait.",
            "x",
            codes=["2"],
            on_commit=ErrorClass.UNKNOWN_OUTCOME,
            retryable=True,
        ),
        ErrorRule(
            ErrorClass.NOT_READY,
            "Not yet.",
            "Wait.",
            "x",
            subcodes=["7"],
            on_repeat=ErrorClass.UNKNOWN_OUTCOME,
            retryable=True,
            wait_seconds=10,
        ),
        ErrorRule(ErrorClass.MEDIA, "Too large.", "Change.", "x", either=["77"]),
        ErrorRule(ErrorClass.NOT_DONE, "Refused.", "Ask.", "x", codes=["new"], known=False),
        ErrorRule(
            ErrorClass.CONTENT, "Refused.", "Change.", "x", codes=["a_code_that_is_longer_than_forty_characters_is"]
        ),
    ),
)


def classified(status: int, *, commit: bool, repeated: bool = False, **content: str) -> Classified:
    found = classify(CATALOGUE, Response(status, content or None), commit=commit, repeated=repeated)
    assert found is not None
    return found


def test_success_is_no_error() -> None:
    assert classify(CATALOGUE, Response(200, {"code": "190"}), commit=True) is None


def test_first_rule_that_fits_counts() -> None:
    assert classified(400, commit=False, code="190", text="must be made as a page").error_class is ErrorClass.PERMISSION
    ended = classified(400, commit=False, code="190", text="expired")
    assert (ended.error_class, ended.user_code, ended.code) == (ErrorClass.TOKEN, "access_token_invalid", "190")


def test_same_error_is_tried_again_by_a_read_and_leaves_a_commit_unknown() -> None:
    read_, commit = (classified(400, commit=commit, code="2") for commit in (False, True))
    assert (read_.error_class, read_.retryable) == (ErrorClass.AGAIN, True)
    assert (commit.error_class, commit.retryable) == (ErrorClass.UNKNOWN_OUTCOME, False)
    assert "looks whether the post is there" in commit.remedy


def test_error_that_proves_nothing_after_an_unknown_attempt() -> None:
    first = classified(400, commit=True, code="24", sub="7")
    assert (first.error_class, first.retryable, first.wait_seconds) == (ErrorClass.NOT_READY, True, 10)
    again = classified(400, commit=True, repeated=True, code="24", sub="7")
    assert (again.error_class, again.retryable) == (ErrorClass.UNKNOWN_OUTCOME, False)
    assert classified(400, commit=False, repeated=True, code="24", sub="7").error_class is ErrorClass.NOT_READY


@pytest.mark.parametrize("content", [{"code": "77"}, {"code": "100", "sub": "77"}])
def test_code_may_come_as_a_subcode(content: dict[str, str]) -> None:
    assert classified(400, commit=True, **content).error_class is ErrorClass.MEDIA


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_server_error_leaves_a_commit_unknown_whatever_its_code(status: int) -> None:
    assert classified(status, commit=True, code="190").error_class is ErrorClass.UNKNOWN_OUTCOME
    assert classified(status, commit=True).error_class is ErrorClass.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    ("status", "error_class"),
    [
        (400, ErrorClass.NOT_DONE),
        (401, ErrorClass.TOKEN),
        (403, ErrorClass.PERMISSION),
        (429, ErrorClass.WAIT),
        (503, ErrorClass.AGAIN),
    ],
)
def test_error_that_is_in_no_catalogue(status: int, error_class: ErrorClass) -> None:
    other = classified(status, commit=False, code="4711")
    assert (other.error_class, other.catalogued, other.code) == (error_class, False, "4711")
    commit = classified(status, commit=True, code="4711")
    assert (commit.error_class, commit.catalogued, commit.retryable) == (ErrorClass.UNKNOWN_OUTCOME, False, False)


def test_rule_for_all_others_does_not_make_an_error_known() -> None:
    assert not classified(400, commit=True, code="new").catalogued


def test_code_of_the_catalogue_is_kept_whatever_its_length_and_others_only_if_they_look_like_one() -> None:
    code = "a_code_that_is_longer_than_forty_characters_is"
    assert classified(400, commit=False, code=code).code == code
    assert classified(400, commit=False, code=f"{code}_not").code == "unknown"
    assert classified(400, commit=False, code=TOKEN).code == "unknown"


def test_operators_see_what_was_said_without_secrets() -> None:
    text = f"error validating access token {TOKEN} of https://x.example/?access_token=a1 for alice: session has expired"
    found = classified(400, commit=True, code="4711", text=text)
    assert found.raw.startswith("400 4711 error validating access token … of … for alice: session has expired")
    assert TOKEN not in repr(found)
    assert all(TOKEN not in repr(classified(400, commit=commit, code=TOKEN)) for commit in (True, False))
    assert classified(400, commit=True, code="9004", sub="2207052").raw == "400 9004/2207052"


@given(st.text(alphabet="abcdefABCDEF0123456789-_.~", min_size=24, max_size=80), st.text(max_size=20))
def test_no_token_is_shown(token: str, before: str) -> None:
    if any(character.isdigit() for character in token):
        assert token not in without_secrets(f"{before} {token}")
