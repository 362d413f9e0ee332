"""What is made of single values of an answer: lives, moments, ids, scopes, and the word of an error."""

import json
from typing import Any

import pytest

from ops.cli.composition import checked_every
from ops.runtime.platform_protocol import (
    LONGEST_ID,
    LONGEST_LIFE,
    PlatformError,
    error_word,
    label,
    moment,
    seconds,
    secret,
    text,
)
from publish.oauth.contract import Account, App, OAuthProvider, TokenLifetimes, TokenUpdate, granted_scopes, scope_list
from publish.oauth.protocol import Token
from tests.rig import PROVIDERS

NONSENSE = (None, "", "soon", True, False, [], {}, -1, 0, "-7200", float("nan"), float("inf"), "1e400", "NaN", 10**400)


@pytest.mark.parametrize(
    ("given", "life"),
    [(7200, 7200), ("7200", 7200), (7200.0, 7200), ("7200.5", 7200), (" 7200 ", 7200), (LONGEST_LIFE, LONGEST_LIFE)],
)
def test_life_is_read_as_a_number_a_float_or_text(given: Any, life: int) -> None:
    assert seconds(given) == life


@pytest.mark.parametrize("given", [*NONSENSE, 1_790_000_000_000, LONGEST_LIFE + 1, "9" * 400])
def test_life_that_no_platform_can_mean_is_none(given: Any) -> None:
    assert seconds(given) is None


@pytest.mark.parametrize("given", [*NONSENSE, 1_790_000_000_000, 5, 2**32, "9" * 400])
def test_moment_that_no_platform_can_mean_is_none(given: Any) -> None:
    assert moment(given) is None


def test_moment_is_read_as_a_number_a_float_or_text() -> None:
    assert {moment(given) for given in (1_790_000_000, "1790000000", 1_790_000_000.0)} == {moment(1_790_000_000)}
    assert str(moment(1_790_000_000)) == "2026-09-21 14:13:20+00:00"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("a b", ["a", "b"]),
        ("a,b", ["a", "b"]),
        ("a, b", ["a", "b"]),
        ("a+b", ["a", "b"]),
        (["a", "b"], ["a", "b"]),
        ('["a", "b"]', ["a", "b"]),
        (" a  b,,a ", ["a", "b"]),
        ("", []),
        ([], []),
        ("[" * 5000, []),
        ('["a"', []),
        ([1, None, "a", ["b"]], ["a"]),
        ({"a": 1}, []),
        (7, []),
        ("a " + "b" * 101, ["a"]),
    ],
)
def test_scopes_are_read_in_every_form_they_come_in(given: Any, found: list[str]) -> None:
    assert scope_list(given) == found


def test_scopes_that_an_answer_does_not_name_are_those_that_were_asked_for_and_named_ones_are_not_added_to() -> None:
    app = App("id", "secret", "https://app.example/", {}, scopes=("a", "b"))
    assert granted_scopes(app, None) == ["a", "b"]
    assert granted_scopes(app, "a") == ["a"]
    assert granted_scopes(app, "") == granted_scopes(app, []) == []


@pytest.mark.parametrize(
    ("error", "word"),
    [
        ("invalid_grant", "invalid_grant"),
        ({"code": "access_token_invalid"}, "access_token_invalid"),
        ({"code": 190}, "190"),
        ({"code": "ok", "message": ""}, None),
        ("ok", None),
        ({"message": "no code"}, "unknown"),
        ({"code": ""}, "unknown"),
        ({"code": ["x"]}, "unknown"),
        (["x"], "unknown"),
        (True, "unknown"),
        (None, None),
        ("", None),
        ({}, None),
        ([], None),
        (False, None),
    ],
)
def test_error_is_one_in_every_shape_but_ok_and_nothing(error: Any, word: str | None) -> None:
    assert error_word({"error": error, "access_token": "x"}) == word


@pytest.mark.parametrize(
    "code", ["invalid_grant", "ACCESS_DENIED", "190/460", "190/-", "-2/2207003", "401", "budget", ""]
)
def test_problem_keeps_short_identifiers(code: str) -> None:
    assert PlatformError("transient", "words of ours", code).code == code


@pytest.mark.parametrize(
    "code",
    ["act.example12345", "x" * 41, "invalid_grant\ufffd", "Forbidden", "invalid grant", "a\nb", "EAAB12cd", "_", "a__b",
     "190/460/1", "12345678901", "é", "invalid_grant token=abc"],
)  # fmt: skip
def test_problem_keeps_nothing_else_of_what_a_platform_says(code: str) -> None:
    assert PlatformError("transient", "words of ours", code).code == "unknown"


def test_ids_names_and_tokens_are_bounded_and_an_empty_or_spoiled_one_is_none() -> None:
    assert (text("17"), text(17), text("x" * LONGEST_ID)) == ("17", "17", "x" * LONGEST_ID)
    assert {text(value) for value in ("", None, True, 1.5, ["1"], "1\ufffd", "x" * (LONGEST_ID + 1))} == {""}
    assert (label("Zoë"), label("x" * 3000), label(None), label(5)) == ("Zoë", "x" * 200, "", "")
    assert (secret("act.1*!"), secret("EAA|b")) == ("act.1*!", "EAA|b")
    assert {secret(value) for value in ("", None, 5, ["a"], "a\ufffd", "a\nb", "é")} == {""}


def test_every_channel_lists_what_ends_a_grant_in_words_that_a_problem_keeps() -> None:
    for name, provider in PROVIDERS.items():
        assert provider.ended_by, name
        assert [PlatformError("grant", "", word).code for word in provider.ended_by] == list(provider.ended_by)
    assert {name for name, provider in PROVIDERS.items() if provider.lifetimes == TokenLifetimes()} == {
        "facebook",
        "mastodon",
    }
    for name, provider in PROVIDERS.items():
        if provider.refresh is not None:
            assert provider.access_life(None), f"{name} refreshes, so a token without an end is none of its"


def test_graph_error_ends_a_grant_by_its_first_number() -> None:
    facebook = PROVIDERS["facebook"]
    assert all(facebook.ends_grant(code) for code in ("190", "190/460", "102/-"))
    assert not any(facebook.ends_grant(code) for code in ("100/190", "1900", "", "unknown", json.dumps(190) + "0/1"))


@pytest.mark.parametrize(
    ("granted", "fields"),
    [
        (("instagram_business_manage_comments",), "comments"),
        (("instagram_business_manage_comments", "instagram_business_manage_messages"), "comments,messages"),
    ],
)
def test_instagram_subscribes_to_no_field_whose_permission_was_not_granted(
    granted: tuple[str, ...], fields: str
) -> None:
    """``meta.md`` 1.5: one such field, and all of them are refused."""
    verify_and_subscribe = PROVIDERS["instagram"].verify_and_subscribe
    assert verify_and_subscribe is not None
    account = Account("17", "shop", ("instagram_business_basic", *granted), {"access_token": "t"})
    request = next(
        verify_and_subscribe(App("id", "secret", "https://x.example/", PROVIDERS["instagram"].hosts), account)
    )
    assert request.form is not None
    assert request.form["subscribed_fields"] == fields


def test_facebook_asks_for_what_reading_needs_beside_publishing() -> None:
    """``meta.md`` 7.2: without these, figures are empty and what others wrote is not there, and no error says so."""
    reading = {"read_insights", "pages_read_user_content", "instagram_manage_insights"}
    assert reading <= set(PROVIDERS["facebook"].scopes)
    assert not reading & set(PROVIDERS["facebook"].needed), "publishing goes on without them"


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_every_scope_that_is_asked_for_has_a_use_that_is_told(provider: OAuthProvider) -> None:
    assert set(provider.scopes) >= set(provider.needed)
    if provider.scope_uses:
        asked = {*provider.scopes, *(scope for scopes in provider.products.values() for scope in scopes)}
        assert set(provider.scope_uses) == asked


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
def test_accounts_are_checked_as_often_as_configured_and_never_less_than_by_policy(provider: OAuthProvider) -> None:
    assert checked_every(provider, 120).check_in == (120 if provider.check else None)
    assert checked_every(provider, 10**9).check_in in (provider.check_in, 10**9)


def test_values_that_hold_secrets_do_not_show_them() -> None:
    held = {"access_token": "secret-word"}
    for value in (
        App("id", "secret-word", "https://x.example/", {}),
        Account("1", "shop", (), held),
        TokenUpdate(held),
        Token(held, [], None, None, held),
    ):
        assert "secret-word" not in repr(value), type(value)
