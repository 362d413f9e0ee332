"""Whatever way a server is written, it is known by one name."""

import pytest

from publish.oauth.instances import instance_of, moved_to


@pytest.mark.parametrize(
    ("given", "host"),
    [
        ("social.example", "social.example"),
        ("  Social.EXAMPLE ", "social.example"),
        ("https://social.example", "social.example"),
        ("HTTPS://social.example/", "social.example"),
        ("https://social.example:443", "social.example"),
        ("https://social.example/@me", "social.example"),
        ("https://social.example/@friend@other.example", "social.example"),
        ("@me@social.example", "social.example"),
        ("@Me@SOCIAL.example", "social.example"),
        ("social.example.", "social.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("https://BÜCHER.example/@me", "xn--bcher-kva.example"),
        ("@ich@bücher.example", "xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_server_is_found_in_whatever_a_person_writes(given: str, host: str) -> None:
    assert instance_of(given) == host


@pytest.mark.parametrize(
    "given",
    ["", "@", "@me", "@me@", "me", "http://social.example", "user@evil.example", "evil.example/path", "[::1]",
     "evil.example:8080", "https://a@b@c/", "https://user:x@social.example", "-.example", "social..example",
     "a" * 64 + ".example", "https://social.example/@me?x=1", "\u2488.example", "\udcff.example", "so cial.example",
     "ftp://social.example"],
)  # fmt: skip
def test_what_is_no_server_is_none(given: str) -> None:
    assert instance_of(given) is None


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://web.example/.well-known/host-meta", "web.example"),
        ("https://WEB.example:443/x", "web.example"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("http://web.example/", None),
        ("https://web.example:8443/", None),
        ("https://user@web.example/", None),
        ("https://:@web.example/", None),
        ("https://localhost/", None),
        ("https://[::1]/", None),
        ("https://[::1", None),
        ("https://web.example:x/", None),
        ("/relative", None),
        ("//web.example/", None),
        ("", None),
    ],
)
def test_redirect_leads_only_to_what_a_person_could_have_written(location: str, host: str | None) -> None:
    assert moved_to(location) == host
