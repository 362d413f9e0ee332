"""Meta verifies the address before it sends anything (meta.md 1.1)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import Refusal
from ops.cli import wiring

OWN, SHARED = "instagram-token", "meta-token"


def ask(own: tuple[str, ...] = (), shared: tuple[str, ...] = (SHARED,), **query: str) -> tuple[int, str]:
    """The status and the text of the answer."""
    asked = {"hub.mode": "subscribe", "hub.challenge": "1158201444", "hub.verify_token": SHARED}
    asked |= {f"hub.{name}": value for name, value in query.items()}
    return answered(asked, own, shared)


def answered(asked: dict[str, str], own: tuple[str, ...], shared: tuple[str, ...]) -> tuple[int, str]:
    handshake = wiring.webhooks()["instagram"].handshake
    assert handshake is not None
    try:
        return 200, handshake(asked, {"INSTAGRAM_VERIFY_TOKEN": own, "META_VERIFY_TOKEN": shared})
    except Refusal as refusal:
        return refusal.status, str(refusal.failure.body)


def test_right_token_gets_the_challenge_back_as_text() -> None:
    assert ask() == (200, "1158201444")


CASES: list[tuple[dict[str, Any], int, str]] = [
    # question, answer, why
    ({"challenge": "aZ09"}, 200, "the page says an int; letters harm nobody"),
    ({"challenge": "1" * 256}, 200, "the longest"),
    ({"challenge": "1" * 257}, 400, "longer than any"),
    ({"challenge": ""}, 400, "nothing to answer"),
    ({"challenge": "<script>alert(1)</script>"}, 400, "markup would be reflected (meta.md 14 T18)"),
    ({"challenge": "1\r\nSet-Cookie: a=b"}, 400, "another header"),
    ({"challenge": "1\n"}, 400, "a newline, which $ would let pass"),
    ({"challenge": "\uff11"}, 400, "a digit, but not ASCII"),
    ({"challenge": "1\ud800"}, 400, "half a surrogate pair"),
    ({"verify_token": "wrong"}, 403, "a wrong token"),
    ({"verify_token": ""}, 403, "an empty token"),
    ({"verify_token": SHARED.upper()}, 403, "another case"),
    ({"verify_token": SHARED + " "}, 403, "a space too many"),
    ({"verify_token": "ü\udcff\ud800"}, 403, "text that is not ASCII, nor even text"),
    ({"verify_token": "wrong", "challenge": "<b>"}, 403, "a stranger is not told what is wrong with the challenge"),
    ({"mode": "unsubscribe"}, 403, "only subscribe is documented"),
    ({"mode": ""}, 403, "no mode"),
    ({"shared": ()}, 503, "no token is configured: later, not never"),
    ({"shared": (), "verify_token": ""}, 503, "and an empty one does not fit none"),
    ({"own": (OWN,), "verify_token": OWN}, 200, "the platform's own token"),
    ({"own": (OWN,)}, 403, "which overrides the one for all of Meta"),
    ({"own": (OWN,), "shared": (), "verify_token": OWN}, 200, "and needs no other"),
    ({"shared": ("new", SHARED)}, 200, "two values while the token changes"),
    ({"shared": (SHARED, "new")}, 200, "in either order"),
]


@pytest.mark.parametrize(("question", "status"), [row[:2] for row in CASES], ids=[row[2] for row in CASES])
def test_handshake(question: dict[str, Any], status: int) -> None:
    found, text = ask(**question)
    assert found == status
    assert (text == question.get("challenge", "1158201444")) is (status == 200)


def test_question_without_parameters_is_refused() -> None:
    assert answered({}, (), (SHARED,))[0] == 403


odd = st.text(st.characters(codec=None, categories=None))


@given(mode=odd, token=odd, challenge=odd)
def test_any_question_gets_an_answer_that_reflects_nothing(mode: str, token: str, challenge: str) -> None:
    status, text = ask(mode=mode, verify_token=token, challenge=challenge)
    assert status == 403
    assert SHARED not in text
    status, _ = ask(challenge=challenge)
    assert status == (200 if challenge.isascii() and challenge.isalnum() else 400)


def test_tiktok_verifies_nothing_in_advance() -> None:
    """tiktok.md 2.1 documents no handshake."""
    assert wiring.webhooks()["tiktok"].handshake is None
