"""A flow that was begun with a challenge ends with its verifier, whatever the platform (RFC 7636 4.6)."""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest

from ops.sandbox.platforms.instagram import Instagram
from ops.sandbox.platforms.threads import Threads
from tests.sandbox.conftest import Stand

CALLBACK = "https://app.example/callback"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Way:
    """How a platform lets an application in; X, TikTok and Mastodon have tests of their own beside their contracts."""

    authorize: str
    token: str
    scope: str


WAYS = {
    "facebook": Way("/v25.0/dialog/oauth", "/v25.0/oauth/access_token", "pages_show_list"),
    "instagram": Way("/oauth/authorize", "/oauth/access_token", Instagram.basic),
    "linkedin": Way("/oauth/v2/authorization", "/oauth/v2/accessToken", "openid"),
    "threads": Way("/oauth/authorize", "/oauth/access_token", Threads.basic),
}


async def exchanged(stand: Stand, platform: str, begun: dict[str, str], **more: str) -> bool:
    """Whether a code of a flow that was begun so is taken with these fields."""
    way = WAYS[platform]
    client_id, secret = stand.server.simulation.platforms[platform].application()
    await stand.command("redirects", platform=platform, redirect_uri=CALLBACK)
    query = {"client_id": client_id, "redirect_uri": CALLBACK, "response_type": "code", "scope": way.scope}
    found = await stand.consent(f"{stand.url}/{platform}{way.authorize}?{urlencode(query | {'state': 's'} | begun)}")
    assert isinstance(found, dict), found
    form = {"client_id": client_id, "client_secret": secret, "redirect_uri": CALLBACK, "code": found["code"]}
    form |= {"grant_type": "authorization_code"} | more
    answer: Any = await stand.call("POST", f"/{platform}{way.token}", data=form)
    return "status" not in answer


@pytest.mark.parametrize("platform", WAYS)
async def test_flow_with_a_challenge_ends_with_its_verifier_and_with_nothing_else(stand: Stand, platform: str) -> None:
    hashed = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
    assert await exchanged(stand, platform, hashed, code_verifier=VERIFIER)
    assert not await exchanged(stand, platform, hashed), "no verifier"
    assert not await exchanged(stand, platform, hashed, code_verifier="w" * 43), "that of another flow"
    assert not await exchanged(stand, platform, hashed, code_verifier=CHALLENGE), "what the browser has seen"
    for plain in ({"code_challenge": VERIFIER}, {"code_challenge": VERIFIER, "code_challenge_method": "plain"}):
        assert await exchanged(stand, platform, plain, code_verifier=VERIFIER), "plain is what no name means (4.3)"
        assert not await exchanged(stand, platform, plain, code_verifier=CHALLENGE)
    odd = {"code_challenge": CHALLENGE, "code_challenge_method": "s256"}
    assert not await exchanged(stand, platform, odd, code_verifier=VERIFIER), "no such method"


@pytest.mark.parametrize("platform", WAYS)
async def test_flow_without_a_challenge_ends_without_a_verifier(stand: Stand, platform: str) -> None:
    """Or whoever changes the address that a browser is sent to could take the challenge out (RFC 9700 2.1.1)."""
    assert await exchanged(stand, platform, {})
    assert not await exchanged(stand, platform, {}, code_verifier=VERIFIER)
