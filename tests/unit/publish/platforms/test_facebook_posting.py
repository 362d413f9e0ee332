"""Facebook Pages: kinds, and what errors of Graph mean for a post (``meta.md`` 7.4, 7.5, 9.2, 9.5)."""

from typing import Any

import pytest

from ops.runtime.platform_protocol import Response
from publish.platforms._meta_posting import reported
from publish.platforms.facebook_posting import PLATFORM
from publish.preflight.error_catalogue import ErrorClass, classify, classify_error
from tests.unit.publish.platforms.drafts import codes, findings, image, video

UNKNOWN = ErrorClass.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    ("kind", "text", "media", "options", "expected"),
    [
        ("text", "hello", [], {"first_comment": "more"}, []),
        ("text", "", [], {}, ["text_missing"]),
        ("photo", "", [image(alt_text="a dog")], {}, []),
        ("photo", "", [image(bytes=5_000_000)], {}, ["media_bytes"]),
        ("photo", "", [image(content_type="image/webp")], {}, ["media_type"]),
        ("multi_photo", "", [image()], {}, ["media_count"]),
        ("multi_photo", "", [image(), image(2)], {}, []),
        ("video", "hi", [video(bytes=10**10, width=1920, height=1080)], {"title": "Film"}, []),
        ("reel", "", [video()], {}, []),
        ("reel", "", [video(width=1280, height=720)], {}, ["media_ratio", "media_height"]),
        ("reel", "", [video(width=450, height=800)], {}, ["media_width", "media_height"]),
        ("reel", "", [video(seconds=90.5)], {}, ["media_seconds"]),
        ("reel", "", [video(audio_hertz=44_100)], {}, ["media_audio_hertz"]),
        ("story", "", [image(bytes=6_000_000)], {}, ["media_bytes"]),
        ("story", "", [video(seconds=70.0)], {}, ["media_seconds"]),
        ("story", "", [image()], {"title": "no"}, ["unknown_option"]),
    ],
)
def test_kinds(kind: str, text: str, media: list[Any], options: dict[str, Any], expected: list[str]) -> None:
    assert [finding.code for finding in findings(PLATFORM, kind, text, *media, **options)] == expected


def test_link() -> None:
    assert codes(PLATFORM, "link", "", link="https://a.example") == []
    assert codes(PLATFORM, "link", "") == [("refusal", "link_missing")]
    assert codes(PLATFORM, "link", "", link="https://scontent.fbcdn.net/x.jpg") == [("refusal", "link_not_valid")]


def graph(status: int, code: int, subcode: int | None = None, message: str = "", **more: Any) -> Response:
    error = {"message": message, "type": "OAuthException", "code": code, **more}
    return Response(status, {"error": error if subcode is None else error | {"error_subcode": subcode}})


@pytest.mark.parametrize(
    ("response", "other", "commit"),
    [
        (graph(500, 1), ErrorClass.AGAIN, UNKNOWN),
        (Response(500, {"error": {"code": 1.0}}), ErrorClass.AGAIN, UNKNOWN),
        (graph(500, 2), ErrorClass.AGAIN, UNKNOWN),
        (graph(400, -1, 2207001), ErrorClass.AGAIN, UNKNOWN),
        (graph(403, 4, 2207051), ErrorClass.ACCOUNT_STOPPED, UNKNOWN),
        (graph(403, 4), ErrorClass.WAIT, UNKNOWN),
        (graph(400, 506), ErrorClass.CONTENT, UNKNOWN),
        (graph(400, 1366051), ErrorClass.CONTENT, UNKNOWN),
        (graph(400, 100, 1366051), ErrorClass.CONTENT, UNKNOWN),
        (graph(400, 368), ErrorClass.ACCOUNT_STOPPED, UNKNOWN),
        (graph(400, 7_777_777, is_transient=True), ErrorClass.AGAIN, UNKNOWN),
        (graph(400, 7_777_777), ErrorClass.NOT_DONE, UNKNOWN),
        (
            Response(401, {"error": {"message": "Please wait a few minutes before you try again."}}),
            ErrorClass.WAIT,
            UNKNOWN,
        ),
        (Response(502, None), ErrorClass.AGAIN, UNKNOWN),
        (graph(400, 24, 2207006), ErrorClass.ANEW, UNKNOWN),
        (graph(400, 24, 2207008), ErrorClass.NOT_READY, ErrorClass.NOT_READY),
        (graph(400, 24, 4279009), ErrorClass.NOT_READY, ErrorClass.NOT_READY),
        (graph(400, 9007, 2207027), ErrorClass.NOT_READY, ErrorClass.NOT_READY),
        (graph(400, 100), ErrorClass.CONTENT, ErrorClass.CONTENT),
        (graph(400, 100, 33), ErrorClass.AGAIN, ErrorClass.NOT_DONE),
        (graph(400, 9, 2207042), ErrorClass.QUOTA, ErrorClass.QUOTA),
        (graph(400, 36003, 2207009), ErrorClass.MEDIA, ErrorClass.MEDIA),
        (graph(400, 352), ErrorClass.MEDIA, ErrorClass.MEDIA),
        (graph(403, 10), ErrorClass.PERMISSION, ErrorClass.PERMISSION),
        (graph(403, 200), ErrorClass.PERMISSION, ErrorClass.PERMISSION),
        (graph(400, 190, 463), ErrorClass.TOKEN, ErrorClass.TOKEN),
        (graph(401, 190), ErrorClass.TOKEN, ErrorClass.TOKEN),
        (graph(400, 190, 459), ErrorClass.ACCOUNT_STOPPED, ErrorClass.ACCOUNT_STOPPED),
        (
            graph(400, 190, message="(#190) This method must be made as a Page."),
            ErrorClass.PERMISSION,
            ErrorClass.PERMISSION,
        ),
        (
            graph(400, 190, message="This method must be called with a Page Access Token"),
            ErrorClass.PERMISSION,
            ErrorClass.PERMISSION,
        ),
        (
            graph(400, 100, message="(#100) No permission to publish the video"),
            ErrorClass.PERMISSION,
            ErrorClass.PERMISSION,
        ),
    ],
)
def test_errors_of_graph_for_other_steps_and_for_a_commit(
    response: Response, other: ErrorClass, commit: ErrorClass
) -> None:
    for step, expected in ((False, other), (True, commit)):
        found = classify(PLATFORM.errors, response, commit=step)
        assert found is not None
        assert found.error_class is expected


@pytest.mark.parametrize("subcode", [2207006, 2207008, 4279009])
def test_container_of_which_an_earlier_attempt_is_unknown(subcode: int) -> None:
    """One that was published reads as missing too (``meta.md`` 7.5)."""
    found = classify(PLATFORM.errors, graph(400, 24, subcode), commit=True, repeated=True)
    assert found is not None
    assert (found.error_class, found.retryable) == (UNKNOWN, False)


@pytest.mark.parametrize(
    ("content", "error_class"),
    [
        (
            {
                "debug_info": {
                    "retriable": False,
                    "type": "ProcessingFailedError",
                    "message": "Request processing failed",
                }
            },
            ErrorClass.MEDIA,
        ),
        ({"debug_info": {"retriable": True, "type": "OffsetInvalidError", "message": "x"}}, ErrorClass.AGAIN),
    ],
)
def test_errors_of_the_upload_host(content: dict[str, Any], error_class: ErrorClass) -> None:
    found = classify(PLATFORM.errors, Response(400, content), commit=False)
    assert found is not None
    assert found.error_class is error_class


def test_container_that_reports_a_subcode_in_words() -> None:
    found = classify_error(
        PLATFORM.errors, reported("Error: Media upload has failed with error code 2207082"), 200, commit=False
    )
    assert (found.error_class, found.code) == (ErrorClass.ANEW, "2207082")


def test_success_of_graph() -> None:
    assert classify(PLATFORM.errors, Response(200, {"id": "1_2"}), commit=True) is None
    assert classify(PLATFORM.errors, Response(200, {"success": True}), commit=True) is None
