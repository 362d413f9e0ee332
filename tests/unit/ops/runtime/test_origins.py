"""One address has many spellings, and one origin."""

import pytest

from ops.runtime.origins import Origin, origin_of


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://crm.example.org", "https://CRM.Example.ORG"),
        ("https://crm.example.org", "https://crm.example.org:443"),
        ("http://crm.example.org", "http://crm.example.org:80/"),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:443", "https://xn--bcher-kva.example"),
        ("http://[::1]:8080", "http://[::1]:8080/path"),
    ],
)
def test_spellings_of_one_address_are_one_origin(one: str, other: str) -> None:
    assert origin_of(one) == origin_of(other) != None  # noqa: E711


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://crm.example.org", "http://crm.example.org"),
        ("https://crm.example.org", "https://crm.example.org:8443"),
        ("https://crm.example.org", "https://crm.example.org.evil.example"),
        ("http://crm.example.org:443", "https://crm.example.org"),
    ],
)
def test_another_scheme_host_or_port_is_another_origin(one: str, other: str) -> None:
    assert None not in (origin_of(one), origin_of(other))
    assert origin_of(one) != origin_of(other)


@pytest.mark.parametrize(
    "text",
    ["", "null", "http://[::1", "http://a:99999", "http://a:b", "http://", "ftp://a", "\udcff", "https://\u2488.example",
     "http://\udcff", "http://a\u0000.b\udc80"],
)  # fmt: skip
def test_what_is_no_address_of_the_web_has_no_origin(text: str) -> None:
    assert origin_of(text) is None


def test_origin_is_in_lower_case_and_a_labels() -> None:
    assert origin_of("HTTPS://Bücher.example") == Origin("https", "xn--bcher-kva.example", 443)
