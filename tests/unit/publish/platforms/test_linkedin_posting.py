"""LinkedIn: little text, posts as a person and as an organization, and parts of videos (``linkedin.md`` 4, 5)."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.runtime.platform_protocol import Response
from publish.platforms.linkedin_posting import PLATFORM, duplicate_of, little_text, plain_text, upload_parts
from publish.preflight.check import check
from publish.preflight.contract import Draft
from publish.preflight.error_catalogue import ErrorClass, classify
from tests.unit.publish.platforms.drafts import FACTS, codes, document, findings, image, video


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a (b) [c] {d} <e> f|g h*i j_k l~m", r"a \(b\) \[c\] \{d\} \<e\> f\|g h\*i j\_k l\~m"),
        ("#tag and C# and # alone", r"#tag and C\# and \# alone"),
        (r"back\slash", r"back\\slash"),
        ("@name", r"\@name"),
        ("#my_tag", r"#my\_tag"),
    ],
)
def test_little_text(text: str, expected: str) -> None:
    assert little_text(text) == expected


@given(st.text())
def test_little_text_has_an_inverse(text: str) -> None:
    assert plain_text(little_text(text)) == text


@given(st.text(alphabet="\\|{}@[]()<>#*_~ab "))
def test_no_reserved_character_is_left_but_in_hashtags(text: str) -> None:
    left = re.sub(r"\\.", "", little_text(text), flags=re.DOTALL)
    assert not re.search(r"[\\|{}@\[\]()<>*_~]", left)
    assert plain_text(little_text(text)) == text


@pytest.mark.parametrize(
    ("little", "expected"),
    [
        (r"{hashtag|\#|launch} now", "#launch now"),
        ("hello @[Acme \\(EU\\)](urn:li:organization:123)!", "hello Acme (EU)!"),
        ("{hashtag|#|a\\_b}", "#a_b"),
    ],
)
def test_elements_of_little_text_are_read_as_they_are_shown(little: str, expected: str) -> None:
    assert plain_text(little) == expected


def test_length_is_that_of_the_plain_text_with_a_warning_where_escapes_are_too_many() -> None:
    assert codes(PLATFORM, "text", "x" * 3000) == []
    assert codes(PLATFORM, "text", "x" * 3001) == [("refusal", "text_length")]
    assert codes(PLATFORM, "text", "(" * 3000) == [("warning", "text_length")]


@pytest.mark.parametrize(
    ("kind", "media", "options", "expected"),
    [
        ("image", [image(width=6020, height=6006)], {}, ["media_pixels"]),
        ("image", [image(width=6000, height=6000, alt_text="a dog")], {}, []),
        ("multi_image", [image()], {}, ["media_count"]),
        ("multi_image", [image(number) for number in range(1, 22)], {}, ["media_count"]),
        ("image", [image(content_type="image/gif", frames=251)], {}, ["media_frames"]),
        ("video", [video(bytes=74_999)], {}, ["media_bytes"]),
        ("video", [video(seconds=1801.0)], {}, ["media_seconds"]),
        ("document", [document()], {"title": "Report"}, []),
        ("document", [document()], {}, ["option_missing"]),
        ("document", [document(pages=301)], {"title": "Report"}, ["media_pages"]),
        ("document", [document(pages=None)], {"title": "Report"}, ["media_not_measured"]),
        ("document", [document(bytes=200_000_000)], {"title": "Report"}, ["media_bytes"]),
        ("poll", [], {"poll": {"question": "?", "options": ["a", "b"], "duration": "ONE_DAY"}}, []),
        (
            "poll",
            [],
            {"poll": {"question": "?", "options": ["a", "b" * 31], "duration": "ONE_DAY"}},
            ["option_not_valid"],
        ),
        ("poll", [], {"poll": {"question": "?", "options": ["a", "b"], "duration": "ONE_WEEK"}}, ["option_not_valid"]),
        ("poll", [], {}, ["option_missing"]),
        ("text", [], {"visibility": "CONTAINER"}, ["option_not_valid"]),
    ],
)
def test_kinds(kind: str, media: list[Any], options: dict[str, Any], expected: list[str]) -> None:
    assert [finding.code for finding in findings(PLATFORM, kind, "hello", *media, **options)] == expected


def test_article_is_given_its_card() -> None:
    assert codes(PLATFORM, "article", "hi", link="https://a.example", title="News") == []
    assert codes(PLATFORM, "article", "hi", link="https://a.example") == [("refusal", "option_missing")]


def test_article_is_called_as_the_shared_page_is_where_nobody_says_otherwise() -> None:
    draft = Draft("article", "hi", "https://a.example", link_title="News")
    assert check(PLATFORM, draft, FACTS).findings == []


@pytest.mark.parametrize(("owner", "other"), [("person", "w_organization_social"), ("organization", "w_member_social")])
def test_person_and_organization_need_a_permission_of_their_own(owner: str, other: str) -> None:
    facts = replace(FACTS, owner=owner, scopes=[other])
    assert codes(PLATFORM, "text", "hi", facts=facts) == [("refusal", "scope_not_authorized")]


GHOST = {
    "errorDetailType": "com.linkedin.common.error.BadRequest",
    "message": "...BadRequestResponseException: Content is a duplicate of urn:li:share:7141138937766391808",
    "errorDetails": {
        "inputErrors": [{"description": "Duplicate post is detected", "input": {}, "code": "DUPLICATE_POST"}]
    },
    "status": 422,
}


def test_duplicate_is_evidence_and_no_success() -> None:
    response = Response(422, GHOST)
    assert duplicate_of(response) == "urn:li:share:7141138937766391808"
    found = classify(PLATFORM.errors, response, commit=True)
    assert found is not None
    assert (found.error_class, found.code, found.retryable) == (ErrorClass.UNKNOWN_OUTCOME, "DUPLICATE_POST", False)
    assert duplicate_of(Response(422, {"message": "other"})) == ""


@pytest.mark.parametrize(
    ("status", "content", "error_class"),
    [
        (400, {"status": 400, "message": "bad"}, ErrorClass.CONTENT),
        (401, {"status": 401, "message": "Expired"}, ErrorClass.TOKEN),
        (403, {"status": 403, "code": "ACCESS_DENIED", "message": "no"}, ErrorClass.PERMISSION),
        (426, {"status": 426, "code": "NONEXISTENT_VERSION", "message": "no"}, ErrorClass.APPLICATION),
        (429, {"status": 429, "message": "no"}, ErrorClass.WAIT),
        (409, {"status": 409, "message": "no"}, ErrorClass.UNKNOWN_OUTCOME),
        (422, {"status": 422, "message": "no"}, ErrorClass.UNKNOWN_OUTCOME),
        (504, None, ErrorClass.UNKNOWN_OUTCOME),
    ],
)
def test_errors_of_a_commit(status: int, content: Any, error_class: ErrorClass) -> None:
    found = classify(PLATFORM.errors, Response(status, content), commit=True)
    assert found is not None
    assert found.error_class is error_class


def instructions(*ranges: tuple[int, int]) -> dict[str, Any]:
    return {
        "uploadInstructions": [
            {"uploadUrl": f"https://up.example/{first}", "firstByte": first, "lastByte": last} for first, last in ranges
        ]
    }


@given(st.lists(st.integers(1, 10_000), min_size=1, max_size=20))
def test_parts_that_cover_a_file(lengths: list[int]) -> None:
    ranges, at = [], 0
    for length in lengths:
        ranges.append((at, at + length - 1))
        at += length
    parts = upload_parts(instructions(*ranges), at)
    assert [last - first + 1 for _, first, last in parts] == lengths, "both ends are included (linkedin.md 7)"


@pytest.mark.parametrize(
    ("ranges", "size"),
    [([], 1), ([(0, 9)], 11), ([(0, 9), (11, 20)], 21), ([(0, 9), (9, 20)], 21), ([(1, 9)], 10), ([(0, 9)], 9)],
)
def test_parts_that_do_not_cover_the_file_are_refused(ranges: list[tuple[int, int]], size: int) -> None:
    with pytest.raises(ValueError, match="upload instructions"):
        upload_parts(instructions(*ranges), size)


def test_part_without_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="no address"):
        upload_parts({"uploadInstructions": [{"firstByte": 0, "lastByte": 1}]}, 2)
