"""Why a browser came back without a code: every documented word ends in what to do."""

import pytest

from publish.oauth.protocol import refusal


@pytest.mark.parametrize(
    ("error", "kind", "says"),
    [
        ("access_denied", "denied", "Start again"),  # RFC 6749 4.1.2.1; meta.md 7.1; tiktok.md 3.3
        ("user_cancelled_login", "denied", "Start again"),  # linkedin.md 1
        ("user_cancelled_authorize", "denied", "Start again"),
        ("unauthorized_scope_error", "app", "operator"),
        ("invalid_scope", "app", "operator"),
        ("invalid_client", "app", "operator"),
        ("unauthorized_client", "app", "operator"),
        ("unsupported_response_type", "app", "operator"),
        ("invalid_redirect_uri", "app", "operator"),
        ("server_error", "transient", "in a few minutes"),
        ("temporarily_unavailable", "transient", "in a few minutes"),
        ("invalid_request", "wrong", "(invalid_request); start connecting again"),
        ("1349003", "wrong", "start connecting again"),
        ("a word of tomorrow", "wrong", "start connecting again"),
        ("<script>alert(1)</script>", "wrong", "start connecting again"),
        ("x" * 5000, "wrong", "start connecting again"),
        ("", "wrong", "start connecting again"),
    ],
)
def test_every_word_ends_in_what_to_do(error: str, kind: str, says: str) -> None:
    problem = refusal(error)
    assert (problem.kind, says in problem.user_message) == (kind, True)
    assert len(problem.user_message) < 200
    assert "<" not in problem.user_message
