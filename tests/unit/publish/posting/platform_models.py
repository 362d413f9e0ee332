"""Platforms as small immutable values: what their pages say of publishing, and nothing else.

What is on its way to becoming visible counts as visible. Posts are listed without a time, so that each may be ours.
"""

import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from ops.runtime.platform_protocol import Request, Response

SIZE = 1000
"""Of the files that a platform fetches."""


def graph_error(code: int, subcode: int | None = None, message: str = "no") -> Response:
    also = {} if subcode is None else {"error_subcode": subcode}
    return Response(400, {"error": {"message": message, "code": code, **also}})


def _path(request: Request) -> str:
    """The path without the version of the API."""
    return re.sub(r"^/v[0-9.]+/", "", urlsplit(request.url).path)


def _with(all_: tuple[Any, ...], number: int, value: Any) -> tuple[Any, ...]:
    return (*all_[:number], value, *all_[number + 1 :])


@dataclass(frozen=True, slots=True)
class Containers:
    """Containers by number: their status. ``posts`` has the container of each post. ``errors`` may still come."""

    made: tuple[str, ...] = ()
    posts: tuple[int, ...] = ()
    errors: int = 1


class InstagramModel:
    """``meta.md`` 8: a container is published once; a second attempt does not find it (7.5)."""

    listing, publishing, status = "17/media", "17/media_publish", "status_code"

    def respond(self, platform: Containers, request: Request, now: float) -> tuple[Containers, Response]:
        path = _path(request)
        if path.endswith("_publishing_limit"):
            config = {"quota_usage": 1, "config": {"quota_total": 50}}
            return platform, Response(200, {"data": [config]})
        if path == self.publishing:
            return self._published(platform, int((request.form or {})["creation_id"][1:]))
        if path == self.listing:
            if request.method == "GET":
                return platform, Response(200, {"data": [self.post(number) for number in platform.posts]})
            made = (*platform.made, "IN_PROGRESS")
            return replace(platform, made=made), Response(200, {"id": f"c{len(made) - 1}"})
        if found := re.fullmatch(r"c(\d+)", path):
            return self._read(platform, int(found[1]))
        return platform, Response(200, {"permalink": "https://platform.example/p"})

    def post(self, number: int) -> Mapping[str, str]:
        return {"id": f"m{number}", "caption": "Tea", "media_product_type": "FEED"}

    def missing(self) -> Response:
        return graph_error(24, 2207006)

    def _published(self, platform: Containers, number: int) -> tuple[Containers, Response]:
        if platform.made[number] == "IN_PROGRESS":
            return platform, graph_error(9007, 2207027)
        if platform.made[number] != "FINISHED":
            return platform, self.missing()
        made = _with(platform.made, number, "PUBLISHED")
        return replace(platform, made=made, posts=(*platform.posts, number)), Response(200, {"id": f"m{number}"})

    def _read(self, platform: Containers, number: int) -> tuple[Containers, Response]:
        """The first reading finds it unfinished."""
        status = platform.made[number]
        after = "FINISHED" if status == "IN_PROGRESS" else status
        return replace(platform, made=_with(platform.made, number, after)), self.shown(status)

    def shown(self, status: str) -> Response:
        return Response(200, {"status_code": status, "status": "why"})

    def visible(self, platform: Containers) -> int:
        return len(platform.posts)

    def choices(self, platform: Containers) -> Iterator[Containers]:
        for number, status in enumerate(platform.made):
            if status == "IN_PROGRESS" and platform.errors:
                yield replace(platform, made=_with(platform.made, number, "ERROR"), errors=platform.errors - 1)


class ThreadsModel(InstagramModel):
    """``meta.md`` 9.1: as Instagram; but a container that is published reads as a post (14, T11)."""

    listing, publishing = "me/threads", "me/threads_publish"

    def post(self, number: int) -> Mapping[str, str]:
        return {"id": f"m{number}", "text": "Tea"}

    def missing(self) -> Response:
        return graph_error(24, 4279009)

    def shown(self, status: str) -> Response:
        if status == "PUBLISHED":
            return graph_error(100, message="(#100) Tried accessing nonexisting field (status)")
        return Response(200, {"status": status, "error_message": "UNKNOWN"})


@dataclass(frozen=True, slots=True)
class Page:
    """Posts of a Page by number: draft, shown or gone. ``drafts`` is what becomes of a call to publish one."""

    drafts: str = "published"
    posts: tuple[str, ...] = ()


class FacebookModel:
    """``meta.md`` 9.2, 9.4: a post is made unpublished and then published, which may be refused or come to nothing."""

    def respond(self, platform: Page, request: Request, now: float) -> tuple[Page, Response]:
        path, form = _path(request), request.form or {}
        if path == "17/feed":
            posts = (*platform.posts, "draft" if form.get("published") == "false" else "shown")
            return replace(platform, posts=posts), Response(200, {"id": f"17_{len(posts) - 1}"})
        if path == "17/published_posts":
            shown = [self._post(number) for number, state in enumerate(platform.posts) if state == "shown"]
            return platform, Response(200, {"data": shown})
        number = int(path.removeprefix("17_"))
        if platform.posts[number] == "gone":
            return platform, graph_error(100, 33)
        if request.method == "DELETE":
            return self._changed(platform, number, "gone")
        if request.method == "POST":
            return self._published(platform, number)
        return platform, Response(200, {**self._post(number), "is_published": platform.posts[number] == "shown"})

    def _published(self, platform: Page, number: int) -> tuple[Page, Response]:
        match platform.drafts:
            case "refused":
                return platform, graph_error(100)
            case "ignored":
                return platform, Response(200, {"success": True})
        return self._changed(platform, number, "shown")

    def _changed(self, platform: Page, number: int, state: str) -> tuple[Page, Response]:
        return replace(platform, posts=_with(platform.posts, number, state)), Response(200, {"success": True})

    def _post(self, number: int) -> dict[str, Any]:
        return {"id": f"17_{number}", "message": "Tea", "permalink_url": "https://platform.example/p"}

    def visible(self, platform: Page) -> int:
        return platform.posts.count("shown")

    def choices(self, platform: Page) -> Iterator[Page]:
        yield from ()


@dataclass(frozen=True, slots=True)
class Publishes:
    """Publishes by number: state, bytes that are there, and the attempt at whose address a file is fetched.

    ``ended`` is the last attempt whose addresses have ended. ``public``: posts are listed. ``troubles`` may still come.
    """

    made: tuple[tuple[str, int, int], ...] = ()
    ended: int = 0
    public: bool = True
    troubles: int = 1


class TikTokModel:
    """``tiktok.md`` 6 to 8: an upload with all of its bytes is posted, and so is a file that was fetched."""

    def respond(self, platform: Publishes, request: Request, now: float) -> tuple[Publishes, Response]:
        path, body = urlsplit(request.url).path, request.json
        if path.startswith("/upload/"):
            return self._stored(platform, int(path.removeprefix("/upload/")), request.headers["Content-Range"])
        assert isinstance(body, dict)
        if path.endswith("/init/"):
            return self._begun(platform, str(body["source_info"].get("video_url", "")))
        if path.endswith("/status/fetch/"):
            return self._status(platform, int(str(body["publish_id"])[1:]))
        if path.endswith("/video/list/"):
            return self._listed(platform)
        if path.endswith("/video/query/"):
            return platform, _data(videos=[{"id": "1", "share_url": "https://platform.example/p"}])
        return platform, _data(privacy_level_options=["PUBLIC_TO_EVERYONE"])

    def _begun(self, platform: Publishes, address: str) -> tuple[Publishes, Response]:
        attempt = int(address.rpartition("=")[2] or 0)
        number = len(platform.made)
        made = (*platform.made, ("FETCHING" if attempt else "UPLOAD", 0, attempt))
        url = f"https://upload.example/upload/{number}"
        return replace(platform, made=made), _data(publish_id=f"v{number}", upload_url=url)

    def _stored(self, platform: Publishes, number: int, range_: str) -> tuple[Publishes, Response]:
        state, uploaded, _ = platform.made[number]
        first, last, total = map(int, re.findall(r"\d+", range_))
        if state == "OVER":
            return platform, Response(403, {})
        if state != "UPLOAD" or first != uploaded:
            return platform, Response(416, {})
        whole = last + 1 == total
        changed = ("PROCESSING" if whole else "UPLOAD", last + 1, 0)
        return replace(platform, made=_with(platform.made, number, changed)), Response(201 if whole else 206, {})

    def _status(self, platform: Publishes, number: int) -> tuple[Publishes, Response]:
        state, there, attempt = platform.made[number]
        match state:
            case "UPLOAD" | "OVER":
                return platform, _data(status="PROCESSING_UPLOAD", uploaded_bytes=there)
            case "FETCHING":
                after = (
                    self._fetched(platform, number)
                    if attempt > platform.ended
                    else self._to(platform, number, "FAILED")
                )
                return after, _data(status="PROCESSING_DOWNLOAD")
            case "PROCESSING":
                return self._to(platform, number, "COMPLETE"), _data(status="PROCESSING_DOWNLOAD")
            case "FAILED":
                return platform, _data(status="FAILED", fail_reason="internal")
        return platform, _data(
            status="PUBLISH_COMPLETE", publicaly_available_post_id=[number] if platform.public else []
        )

    def _listed(self, platform: Publishes) -> tuple[Publishes, Response]:
        """What is being processed is done by the next reading."""
        shown = [
            {"id": str(number), "title": "Tea", "share_url": "https://platform.example/p"}
            for number, (state, _, _) in enumerate(platform.made)
            if state == "COMPLETE" and platform.public
        ]
        made = tuple(("COMPLETE", *rest) if state == "PROCESSING" else (state, *rest) for state, *rest in platform.made)
        return replace(platform, made=made), _data(videos=shown)

    def _to(self, platform: Publishes, number: int, state: str) -> Publishes:
        return replace(platform, made=_with(platform.made, number, (state, *platform.made[number][1:])))

    def _fetched(self, platform: Publishes, number: int) -> Publishes:
        return replace(platform, made=_with(platform.made, number, ("PROCESSING", SIZE, platform.made[number][2])))

    def fetched(self, platform: Publishes, attempt: int) -> Mapping[str, int]:
        return {"v": max((there for _, there, of in platform.made if of == attempt), default=0)}

    def without_links(self, platform: Publishes, attempt: int) -> Publishes:
        return replace(platform, ended=max(platform.ended, attempt))

    def visible(self, platform: Publishes) -> int:
        return sum(state in ("PROCESSING", "COMPLETE") for state, _, _ in platform.made)

    def choices(self, platform: Publishes) -> Iterator[Publishes]:
        for number, (state, _, attempt) in enumerate(platform.made):
            if state == "FETCHING" and attempt > platform.ended:
                yield self._fetched(platform, number)
            if state in ("PROCESSING", "UPLOAD") and platform.troubles:
                after = "FAILED" if state == "PROCESSING" else "OVER"
                yield replace(self._to(platform, number, after), troubles=platform.troubles - 1)


def _data(**data: Any) -> Response:
    return Response(200, {"data": data, "error": {"code": "ok"}})


@dataclass(frozen=True, slots=True)
class Server:
    """``keys`` has each key that is remembered, with the time and number of its status. ``known``: it is Mastodon.

    ``forgets`` is how often it may still forget its keys before their time.
    """

    known: bool = True
    statuses: int = 0
    keys: tuple[tuple[str, float, int], ...] = ()
    forgets: int = 0


class MastodonModel:
    """``mastodon.md`` 5: a key is remembered for an hour where the server is known to do so."""

    def respond(self, platform: Server, request: Request, now: float) -> tuple[Server, Response]:
        path = urlsplit(request.url).path
        if path.endswith("/instance"):
            return platform, Response(200, {"api_versions": {"mastodon": 7}} if platform.known else {"version": "1"})
        if request.method == "GET":
            return platform, Response(200, [_status(number) for number in range(platform.statuses)])
        key = request.headers["Idempotency-Key"]
        for remembered, at, number in platform.keys:
            if remembered == key and now - at < 3600:
                return platform, Response(200, _status(number))
        keys = (*platform.keys, (key, now, platform.statuses)) if platform.known else ()
        return replace(platform, statuses=platform.statuses + 1, keys=keys), Response(200, _status(platform.statuses))

    def ages(self, platform: Server, now: float) -> Hashable:
        keys = tuple((key, min(now - at, 3600), number) for key, at, number in platform.keys)
        return platform.known, platform.statuses, keys, platform.forgets

    def visible(self, platform: Server) -> int:
        return platform.statuses

    def choices(self, platform: Server) -> Iterator[Server]:
        if platform.keys and platform.forgets:
            yield replace(platform, keys=(), forgets=platform.forgets - 1)


def _status(number: int) -> dict[str, Any]:
    return {"id": f"s{number}", "url": "https://platform.example/s", "content": "<p>Tea</p>", "spoiler_text": ""}
