"""No path through a machine posts twice, and none ends without a word."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

import publish.platforms
from ops.runtime.discovery import discover
from ops.runtime.periodic import RetryPolicy
from ops.runtime.platform_protocol import Request, Response
from publish.oauth.contract import App
from publish.posting import decision
from publish.posting.contract import Go, Job, Machine, Media, PostingPlatform
from schema.states import TargetState
from tests.exploration import EPOCH, Explorer, ViolationError

POSTING = discover(publish.platforms, PostingPlatform, "machines")
APP = App("client", "secret", "https://example.org/callback", {name: f"https://{name}.example" for name in ("graph",)})
PICTURE = Media("p1", "image/jpeg", 1000, 640, 640, url="https://example.org/p1")
SECOND = replace(PICTURE, id="p2", url="https://example.org/p2")


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decision, "RETRIES", RetryPolicy((10, 60), jitter=0.0))


def job(kind: str, **more: Any) -> Job:
    return Job(id="t1", kind=kind, app=APP, account_id="17", text="Tea", secrets={"access_token": "token"}, **more)


def graph_error(code: int, subcode: int = 0, status: int = 400) -> Response:
    return Response(status, {"error": {"message": "no", "code": code, "error_subcode": subcode}})


@dataclass(frozen=True, slots=True)
class Containers:
    """Containers by number: their status. ``posts`` has container and time of each post. ``errors`` may still come."""

    made: tuple[str, ...] = ()
    posts: tuple[tuple[int, float], ...] = ()
    errors: int = 1


class InstagramModel:
    """``meta.md`` 8: a container is published once; a second attempt does not find it (7.5)."""

    def respond(self, platform: Containers, request: Request, now: float) -> tuple[Containers, Response]:
        path = request.url.rpartition("/v25.0/")[2]
        if path.endswith("/content_publishing_limit"):
            return platform, Response(200, {"data": [{"quota_usage": 1, "config": {"quota_total": 50}}]})
        if request.method == "POST" and path.endswith("/media"):
            made = (*platform.made, "IN_PROGRESS")
            return replace(platform, made=made), Response(200, {"id": f"c{len(made) - 1}"})
        if path.endswith("/media_publish"):
            return self._published(platform, int((request.form or {})["creation_id"][1:]), now)
        if path.endswith("/media"):
            return platform, Response(200, {"data": [_post(number, at) for number, at in platform.posts]})
        if found := re.fullmatch(r"c(\d+)", path):
            return self._status(platform, int(found[1]))
        return platform, Response(200, {"permalink": "https://instagram.example/p"})

    def _published(self, platform: Containers, number: int, now: float) -> tuple[Containers, Response]:
        if platform.made[number] in ("IN_PROGRESS", "NEARLY"):
            return platform, graph_error(9007, 2207027)
        if platform.made[number] != "FINISHED":
            return platform, graph_error(24, 2207006)
        posted = replace(_with(platform, number, "PUBLISHED"), posts=(*platform.posts, (number, now)))
        return posted, Response(200, {"id": f"m{number}"})

    def _status(self, platform: Containers, number: int) -> tuple[Containers, Response]:
        """It is asked twice at most before it is finished."""
        status = platform.made[number]
        after = {"IN_PROGRESS": "NEARLY", "NEARLY": "FINISHED"}.get(status, status)
        shown = "IN_PROGRESS" if status == "NEARLY" else status
        return _with(platform, number, after), Response(200, {"status_code": shown, "status": "why"})

    def visible(self, platform: Containers) -> int:
        return len(platform.posts)

    def choices(self, platform: Containers) -> Iterator[Containers]:
        for number, status in enumerate(platform.made):
            if status == "IN_PROGRESS" and platform.errors:
                yield replace(_with(platform, number, "ERROR"), errors=platform.errors - 1)


def _with(platform: Containers, number: int, status: str) -> Containers:
    return replace(platform, made=(*platform.made[:number], status, *platform.made[number + 1 :]))


def _post(number: int, at: float) -> dict[str, Any]:
    made = (EPOCH + timedelta(seconds=at)).isoformat()
    return {"id": f"m{number}", "caption": "Tea", "media_product_type": "FEED", "timestamp": made}


def explored(machine: Machine, of: Job) -> dict[str, int]:
    return dict(Explorer(machine, InstagramModel(), of).explore(Containers()))


def test_instagram_image() -> None:
    found = explored(POSTING["instagram"].machines["image"], job("image", media=[PICTURE]))
    print(found)  # noqa: T201
    assert found["values"] > 1000
    assert found[TargetState.PUBLISHED] > 0


def test_explorer_finds_a_machine_that_asks_again_after_an_unknown_outcome() -> None:
    machine = POSTING["instagram"].machines["image"]
    steps = dict(machine.steps)
    steps["look"] = replace(steps["look"], read=lambda job, response: Go("quota", keep={"container": ""}))
    with pytest.raises(ViolationError, match="2 posts are visible"):
        explored(Machine("image", "Image", steps, machine.first), job("image", media=[PICTURE]))
