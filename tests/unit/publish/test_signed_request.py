"""``meta.md`` 6 and the vector of its section 12."""

import base64
import hashlib
import hmac

import pytest

from publish.signed_request import Wish, opened

SECRET = "test_app_secret_0123456789abcdef"
VECTOR = (
    "4AQNQMGvsaRNHmcrCVLK_eD2UEV-ri4gBiVaTdDCLf4.eyJhbGdvcml0aG0iOiJITUFDLVNIQTI1NiIsImV4cGlyZXMiOjEyOTE4NDA0MDAsIm"
    "lzc3VlZF9hdCI6MTI5MTgzNjgwMCwidXNlcl9pZCI6IjIxODQ3MSJ9"
)


@pytest.mark.parametrize("secrets", [[SECRET], ["another", SECRET], ["", SECRET]])
def test_opens_what_one_of_the_secrets_signed(secrets: list[str]) -> None:
    assert opened(VECTOR, secrets) == Wish("218471", 1291836800)


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
    assert opened(text, [SECRET]) is None
    assert opened(VECTOR, []) is None
    assert opened(VECTOR, [""]) is None


@pytest.mark.parametrize(
    "document",
    [
        b'{"algorithm": "HMAC-SHA256", "user_id": "a\\u0000b", "issued_at": 1}',
        b'{"algorithm": "HMAC-SHA256", "user_id": "\\ud800", "issued_at": 1}',
        b'{"algorithm": "HMAC-SHA256", "user_id": "1", "issued_at": Infinity}',
        b'{"algorithm": "HMAC-SHA256", "user_id": "1", "issued_at": 1e300}',
        b'{"algorithm": "HMAC-SHA256", "user_id": "1", "issued_at": -1}',
        b'["HMAC-SHA256"]',
        b"[" * 30_000,
        b"\xff",
    ],
)
def test_what_is_signed_and_makes_no_sense_is_no_wish(document: bytes) -> None:
    payload = base64.urlsafe_b64encode(document).rstrip(b"=")
    digest = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), payload, hashlib.sha256)).rstrip(b"=")
    assert opened(f"{digest.decode()}.{payload.decode()}", [SECRET]) is None
