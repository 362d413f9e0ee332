"""``meta.md`` 6 and the vector of its section 12."""

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
