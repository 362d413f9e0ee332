"""What an account's events are subscribed to, at both of Meta's halves: ``meta.md`` 1.4 and 1.5."""

from collections.abc import Sequence
from typing import Any

import pytest

import publish.platforms
from ops.cli import wiring
from ops.runtime.discovery import discover
from ops.runtime.platform_protocol import PlatformError, Request, Response, Steps
from publish.oauth.contract import App, HeldAccount, OAuthProvider, Subscription

PROVIDERS = discover(publish.platforms, OAuthProvider)
CALLBACK = "https://app.example/api/webhooks/instagram"
PAGE = HeldAccount("page1", {}, {"access_token": "page-token"}, "facebook", (), "page1")
BEHIND = HeldAccount("ig1", {}, {"access_token": "page-token"}, "instagram", (), "page1")
ALONE = HeldAccount("ig1", {}, {"access_token": "t"}, "instagram", ("instagram_business_manage_comments",))
REFUSED = Response(400, {"error": {"code": 100, "message": "Param subscribed_fields[0] must be one of"}})
WORKED = Response(200, {"success": True})


def app(platform: str, verify_token: str = "word") -> App:
    return App("17", "secret", "https://app.example/", PROVIDERS[platform].hosts, verify_token=verify_token)


def account(*fields: str) -> Response:
    return Response(200, {"data": [{"id": "17", "subscribed_fields": list(fields)}]})


NOT_SUBSCRIBED = Response(200, {"data": []})
"""The platform lists no subscription of ours."""


def application(kind: str, fields: Any, **more: Any) -> Response:
    shown = {"object": kind, "callback_url": CALLBACK, "active": True, "fields": fields} | more
    return Response(200, {"data": [{"object": "user", "fields": ["feed"]}, shown]})


def run(steps: Steps[Subscription], answers: Sequence[Response]) -> tuple[Subscription, list[Request]]:
    asked, left = [next(steps)], list(answers)
    try:
        while True:
            asked.append(steps.send(left.pop(0)))
    except StopIteration as done:
        assert not left, "an answer was not asked for"
        return done.value, asked


def of(platform: str, held: HeldAccount, *answers: Response, **more: Any) -> tuple[Subscription, list[Request]]:
    look = PROVIDERS[platform].subscription
    assert look is not None
    return run(look(app(platform, **more), held), answers)


PAGES = ["account feed", "account mention", "application page feed", "application page mention"]


def test_complete_subscription_is_read_and_nothing_is_written() -> None:
    found, asked = of(
        "facebook", PAGE, account("feed", "mention", "messages"), application("page", ["feed", "mention"])
    )
    assert found == Subscription(PAGES, [], [])
    assert [request.method for request in asked] == ["GET", "GET"]
    assert [request.url.rpartition("/v25.0")[2] for request in asked] == ["/page1/subscribed_apps", "/17/subscriptions"]
    assert [request.query["access_token"] for request in asked] == ["page-token", "17|secret"], "the application's own"


def test_field_that_an_account_lost_is_subscribed_to_with_the_whole_list_and_read_back() -> None:
    halves = application("page", ["feed", "mention"])
    found, asked = of("facebook", PAGE, account("mention"), WORKED, account("feed", "mention"), halves)
    assert (found.missing, found.repaired) == ([], ["account feed"])
    assert asked[1].form == {"subscribed_fields": "feed,mention", "access_token": "page-token"}


def test_what_is_read_back_counts_and_not_that_it_was_accepted() -> None:
    halves = application("page", ["feed", "mention"])
    found, _ = of("facebook", PAGE, NOT_SUBSCRIBED, WORKED, account("mention"), halves)
    assert (found.missing, found.repaired) == (["account feed"], ["account mention"])
    assert "Connect the account again" in found.advice


def test_refused_subscription_is_missing_and_the_other_half_is_looked_at_all_the_same() -> None:
    found, _ = of("facebook", PAGE, NOT_SUBSCRIBED, REFUSED, application("page", ["feed"], active=False), REFUSED)
    assert found.missing == PAGES
    assert found.repaired == []
    assert "Connect the account again" in found.advice
    assert "dashboard" in found.advice


@pytest.mark.parametrize("fields", [["feed"], [{"name": "feed", "version": "v25.0"}]])
def test_field_that_the_application_lost_is_added_at_the_address_that_the_platform_has(fields: Any) -> None:
    found, asked = of(
        "facebook",
        PAGE,
        account("feed", "mention"),
        application("page", fields),
        WORKED,
        application("page", ["feed", "mention"]),
    )
    assert (found.missing, found.repaired, found.advice) == ([], ["application page mention"], "")
    assert asked[2].form == {
        "object": "page",
        "callback_url": CALLBACK,
        "fields": "feed,mention",
        "verify_token": "word",
        "access_token": "17|secret",
    }


@pytest.mark.parametrize(
    ("halves", "more"),
    [
        (Response(200, {"data": []}), {}),
        (application("page", ["feed"]), {"verify_token": ""}),
    ],
    ids=["the platform has no address", "no token of ours"],
)
def test_applications_half_that_no_call_can_mend_is_the_operators(halves: Response, more: Any) -> None:
    found, asked = of("facebook", PAGE, account("feed", "mention"), halves, **more)
    assert "application page mention" in found.missing
    assert "object page" in found.advice
    assert all(request.method == "GET" for request in asked)


def test_accounts_behind_pages_have_the_other_vocabulary_and_their_half_is_never_written() -> None:
    """meta.md 1.1: whether a call may change the object of Instagram is not confirmed."""
    found, asked = of("facebook", BEHIND, account("feed", "mention"), application("instagram", ["mentions"]))
    assert found.missing == ["application instagram comments"]
    assert asked[0].url.endswith("/page1/subscribed_apps"), "the page has the application"
    assert [request.method for request in asked] == ["GET", "GET"]
    whole, _ = of("facebook", BEHIND, account("feed", "mention"), application("instagram", ["comments"]))
    assert whole.missing == []


def test_account_by_its_own_login_is_kept_subscribed_to_what_its_permissions_allow() -> None:
    found, asked = of("instagram", ALONE, NOT_SUBSCRIBED, WORKED, account("comments"))
    assert (found.wanted, found.missing, found.repaired) == (["account comments"], [], ["account comments"])
    assert asked[1].form == {"subscribed_fields": "comments", "access_token": "t"}


def test_subscription_that_lists_no_fields_counts_as_complete() -> None:
    found, _ = of("instagram", ALONE, Response(200, {"data": [{"id": "17"}]}))
    assert found.missing == []


@pytest.mark.parametrize("answers", [[Response(500, {})], [NOT_SUBSCRIBED, Response(500, {})]])
def test_trouble_of_the_platform_says_nothing_of_a_subscription(answers: Sequence[Response]) -> None:
    with pytest.raises(PlatformError) as problem:
        of("instagram", ALONE, *answers)
    assert problem.value.kind == "transient"


def test_every_platform_keeps_subscriptions_or_says_how_events_come() -> None:
    kept = {name for name, provider in PROVIDERS.items() if provider.subscription is not None}
    assert kept == {"facebook", "instagram"}
    assert all(PROVIDERS[name].unsubscribed for name in PROVIDERS)
    assert "portal" in PROVIDERS["tiktok"].unsubscribed


def test_accounts_are_missed_only_where_webhooks_tell_what_others_do() -> None:
    """tiktok.md 2.4: TikTok tells what became of our own posts, so an account that posts less is no silent one."""
    assert wiring.heard_platforms() == ["instagram"]
