"""A post whose answer was lost may stand on a later page, which is read before anything is sent again."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.runtime.platform_protocol import Request, Response
from publish.oauth.contract import App
from publish.platforms import facebook_machines, linkedin_machines, mastodon_machines
from publish.posting.contract import Go, Job, Published, Verdict, Wait
from publish.posting.matching import PAGE

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
INTENT = NOW - timedelta(days=2)
APP = App("id", "secret", "https://acme.example", {"graph": "https://g", "api": "https://a", "instance": "https://i"})
LOOKED = {"looks": 20, "known": True}
"""It was looked for often enough: without it there, it would be sent again."""

JOB = Job("t1", "text", APP, "17", "Tea", {"access_token": "token"}, now=NOW, intent_at=INTENT, step_since=INTENT)


def at(hours: float) -> datetime:
    return INTENT + timedelta(hours=hours)


def statuses(*made: tuple[str, str, datetime], more: bool) -> Response:
    items = [{"id": id_, "content": f"<p>{text}</p>", "created_at": when.isoformat()} for id_, text, when in made]
    return Response(200, items)


def page_posts(*made: tuple[str, str, datetime], more: bool) -> Response:
    data = [{"id": id_, "message": text, "created_time": when.isoformat()} for id_, text, when in made]
    paging = {"cursors": {"after": "c2"}} | ({"next": "https://g/next"} if more else {})
    return Response(200, {"data": data, "paging": paging})


def organization_posts(*made: tuple[str, str, datetime], more: bool) -> Response:
    items = [
        {"id": f"urn:li:share:{id_}", "commentary": text, "createdAt": int(when.timestamp() * 1000)}
        for id_, text, when in made
    ]
    links = [{"rel": "next", "href": "/rest/posts?start=50"}] if more else []
    return Response(200, {"elements": items, "paging": {"start": 0, "count": 50, "links": links}})


Ask, Read, Listing = Callable[[Job], Request], Callable[[Job, Response], Verdict], Callable[..., Response]

CASES: Mapping[str, tuple[Ask, Read, Listing, Mapping[str, Any]]] = {
    "mastodon": (mastodon_machines.ask_look, mastodon_machines.read_look, statuses, LOOKED),
    "facebook": (facebook_machines.ask_search, facebook_machines.read_search, page_posts, LOOKED | {"direct": True}),
    "linkedin": (linkedin_machines.ask_look, linkedin_machines.read_look, organization_posts, LOOKED),
}


@pytest.fixture(params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> tuple[Ask, Read, Listing, Job]:
    ask, read, listing, kept = CASES[request.param]
    return ask, read, listing, replace(JOB, platform=request.param, kept=kept)


def test_page_of_newer_posts_leads_to_the_next_one(case: tuple[Ask, Read, Listing, Job]) -> None:
    ask, read, listing, job = case
    first = ask(job)
    verdict = read(job, listing(("9", "Coffee", at(3)), ("8", "Coffee", at(2)), more=True))
    assert isinstance(verdict, Wait), "what is older than these may be ours"
    assert verdict.keep[PAGE]
    later = replace(job, kept={**job.kept, **verdict.keep})
    assert ask(later) != first, "and it is asked for"
    found = read(later, listing(("7", "Tea", at(0)), more=False))
    assert isinstance(found, Published | Go)
    assert "post" not in getattr(found, "step", ""), "nothing is sent again"
    assert found.keep.get(PAGE) == "", "the next look begins at the first page"


def test_page_that_reaches_to_the_intent_is_the_last_that_is_read(case: tuple[Ask, Read, Listing, Job]) -> None:
    _, read, listing, job = case
    verdict = read(job, listing(("9", "Coffee", at(3)), ("6", "Tea", at(-1)), more=True))
    assert not isinstance(verdict, Wait) or not verdict.keep.get(PAGE)


def test_last_page_without_it_ends_the_look(case: tuple[Ask, Read, Listing, Job]) -> None:
    _, read, listing, job = case
    later = replace(job, kept={**job.kept, PAGE: "p2"})
    verdict = read(later, listing(more=False))
    assert not isinstance(verdict, Wait) or verdict.keep.get(PAGE) == ""
