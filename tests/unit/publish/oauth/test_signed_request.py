"""``meta.md`` 6 and the vector of its section 12."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from publish.oauth.signed_request import SignedRequest, verified

SECRET = "test_app_secret_0123456789abcdef"
VECTOR = (
    "4AQNQMGvsaRNHmcrCVLK_eD2UEV-ri4gBiVaTdDCLf4.eyJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImV4cGlyZXMiOjEyOTE4NDA0MDAsIm"
    "lzc3VlZF9hdCI6MTI5MTgzNjgwMCwidXNlcl9pZCI6IjIxODQ3MSJ9"
)


@pytest.mark.parametrize("secrets", [[SECRET], ["another", SECRET], ["", SECRET]])
def test_opens_what_one_of_the_secrets_signed(secrets: list[str]) -> None:
    assert verified(VECTOR, secrets) == SignedRequest("218471", 1291836800)


@pytest.mark.parametrize(
    "text",
    [
        VECTOR.replace("4AQN", "4AQM"),
        VECTOR[:-1] + "A",
        VECTOR.partition(".")[0],
        VECTOR.replace(".", ".."),
        "." + VECTOR.partition(".")[2],
        VECTOR + "=",
        "é.é",
        "",
        ".",
    ],
)
def test_opens_nothing_else(text: str) -> None:
    assert verified(text, [SECRET]) is None
    assert verified(VECTOR, []) is None
    assert verified(VECTOR, [""]) is None


def signed(document: Any) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=")
    digest = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), payload, hashlib.sha256)).rstrip(b"=")
    return f"{digest.decode()}.{payload.decode()}"


@pytest.mark.parametrize(
    ("issued", "read"),
    [
        (1291836800, 1291836800),
        ("1291836800", 1291836800),
        (1291836800.0, 1291836800),
        *((nonsense, 0) for nonsense in (1_790_000_000_000, -1, 1e300, float("inf"), float("nan"), "soon", None, [1])),
        (10**400, 0),
    ],
)
def test_time_that_makes_no_sense_was_not_said(issued: Any, read: int) -> None:
    document = {"algorithm": "HMAC-SHA256", "user_id": "218471", "issued_at": issued}
    assert verified(signed(document), [SECRET]) == SignedRequest("218471", read)


@pytest.mark.parametrize("user", ["", None, "2\x0018", "\ud800", "x" * 5000, ["1"], True])
def test_request_that_names_nobody_is_none(user: Any) -> None:
    assert verified(signed({"algorithm": "HMAC-SHA256", "user_id": user}), [SECRET]) is None


@pytest.mark.parametrize("document", [None, [], "x", 7, {}, {"user_id": "1"}, {"algorithm": "none", "user_id": "1"}])
def test_request_of_another_shape_is_none(document: Any) -> None:
    assert verified(signed(document), [SECRET]) is None
    assert verified(signed(document) + "\ud800", [SECRET]) is None
