"""Whatever is asked, the platform answers in its own envelope: no call makes the sandbox itself fail."""

import inspect
import random
import re
from typing import Any
from urllib.parse import quote

import pytest

from tests.sandbox import test_facebook, test_instagram, test_linkedin, test_mastodon, test_threads, test_tiktok, test_x
from tests.sandbox.conftest import Stand

VALUES: list[Any] = ["", "x", "0", "-1", "1e9", "9" * 40, "é😀", "{", "a,b", "true", "http://127.0.0.1:1/", "List("]
ODD: list[Any] = [*VALUES, None, 0, -1, 1.5, True, [], [[]], ["x"], {}, {"x": {}}, {"id": []}]
NAMES = re.compile(r"""(?:text|many|flag|get)\(\s*f?["']([a-zA-Z_]+)["']""")


async def token(stand: Stand, name: str) -> str:
    """Return a token that has every scope, so that calls reach their handlers."""
    if name in ("x", "linkedin"):
        connected = test_x.connected if name == "x" else test_linkedin.administrator
        return str((await connected(stand)).token["access_token"])
    if name == "facebook":
        return (await test_facebook.connected(stand)).token()
    if name == "threads":
        return str((await test_threads.connected(stand)).access_token)
    if name == "instagram":
        return (await test_instagram.long(stand))[1]
    return await test_tiktok.connected(stand) if name == "tiktok" else await mastodon(stand)


async def mastodon(stand: Stand) -> str:
    return str((await test_mastodon.connected(stand)).real.access_token)


def known(stand: Stand, name: str) -> tuple[list[str], list[str]]:
    """Parameter names that the platform's source looks for, and ids that exist."""
    platform = stand.server.simulation.platforms[name]
    names = {found for kind in type(platform).__mro__[:-1] for found in NAMES.findall(inspect.getsource(kind))}
    ids = [post["id"] for account in platform.people() for post in platform.visible_posts(account)]
    for attribute in ("media", "containers", "statuses", "videos", "publishes", "assets", "uploads", "users"):
        ids += list(getattr(platform, attribute, {}))[:3]
    return sorted(names), ids


@pytest.mark.parametrize("name", ["facebook", "instagram", "linkedin", "mastodon", "threads", "tiktok", "x"])
async def test_no_nonsense_makes_it_fail(stand: Stand, name: str) -> None:
    platform = stand.server.simulation.platforms[name]
    for _ in range(30):
        platform.simulate_activity()
    secret = await token(stand, name)
    names, ids = known(stand, name)
    assert len(names) > 5
    rng = random.Random(11)
    asked = 0
    for route in platform.routes():
        for _ in range(40):
            path = re.sub(r"\{version:[^/]*/\)\?\}", lambda _: rng.choice(("", "v25.0/")), route.path)
            path = re.sub(r"\{kind:[^}]*\}", "videos", path)
            path = re.sub(
                r"\{\w+(?::[^}]*)?\}",
                lambda _: rng.choice([*ids[:20], "me", "0", "x%2Fy", "%F0%9F", "upload:1"]),
                path,
            )
            fields = {field: rng.choice(ODD) for field in rng.sample(names, min(len(names), 4))}
            text = {field: str(value) for field, value in fields.items()}
            options: dict[str, Any] = rng.choice(
                [
                    {"json": fields},
                    {"data": text},
                    {"params": text},
                    {"json": rng.choice(ODD)},
                    {"data": b"\xff{"},
                    {},
                ]
            )
            headers = {
                "Authorization": rng.choice([f"Bearer {secret}"] * 8 + ["Basic abc", "Basic"]),
                "LinkedIn-Version": "202609",
                "Content-Range": rng.choice(["bytes 0-0/1", "bytes 9-1/0", "nonsense"]),
                "offset": rng.choice(["0", "x"]),
                "file_size": rng.choice(["1", "x"]),
            }
            if "data" in options and isinstance(options["data"], bytes):
                headers["Content-Type"] = "application/json"
            url = f"{stand.url}/{name}{path}"
            async with stand.http.request(
                route.method, url, headers=headers, allow_redirects=False, **options
            ) as response:
                body = await response.read()
                assert response.status < 500, f"{route.method} {path} {options}: {response.status} {body[:300]!r}"
                asked += 1
        secret = await token(stand, name)  # some of it revoked the last one
    assert asked > 300


@pytest.mark.parametrize("number", ["\u00b2", "9" * 5000, "-1", "1e9"])
@pytest.mark.parametrize(
    ("name", "path", "parameter"),
    [
        ("mastodon", "/api/v1/notifications", "limit"),
        ("mastodon", "/api/v1/notifications", "max_id"),
        ("x", "/2/users/{id}/tweets", "max_results"),
        ("x", "/2/users/{id}/tweets", "pagination_token"),
        (
            "linkedin",
            "/rest/organizationalEntityNotifications?q=criteria&organizationalEntity=urn:li:organization:1000",
            "start",
        ),
    ],
)
async def test_what_only_looks_like_a_number_is_refused(
    stand: Stand, name: str, path: str, parameter: str, number: str
) -> None:
    headers = {"Authorization": f"Bearer {await token(stand, name)}", "LinkedIn-Version": "202609"}
    path = path.format(id=stand.server.simulation.platforms[name].accounts["alice"])  # type: ignore[attr-defined]
    joint = "&" if "?" in path else "?"
    answer = await stand.call("GET", f"/{name}{path}{joint}{parameter}={quote(number)}", headers=headers)
    assert answer["status"] == 400


@pytest.mark.parametrize(
    ("name", "method", "path", "body"),
    [
        ("instagram", "POST", "/v25.0/me/media", {"collaborators": "5", "image_url": "http://127.0.0.1:1/a.jpg"}),
        ("instagram", "GET", f"/v25.0/me/insights?metric=reach&since={'9' * 39}&until={'9' * 39}", None),
        ("threads", "GET", f"/v1.0/me/threads_insights?metric=views&since=1712991600&until={'9' * 39}", None),
        ("threads", "POST", "/v1.0/me/threads", {"media_type": "TEXT", "text": "x", "text_entities": "5"}),
        ("threads", "POST", "/v1.0/me/threads", {"media_type": "TEXT", "text": "x", "poll_attachment": "[1]"}),
        ("linkedin", "POST", "/rest/posts", {"reshareContext": {"parent": []}}),
        ("linkedin", "POST", "/rest/posts", {"content": {"poll": {"options": 5, "settings": {"duration": []}}}}),
        ("linkedin", "GET", "/rest/posts?ids=List(", None),
        ("mastodon", "POST", "/api/v1/statuses", {"status": "x", "poll": {"options": [[], {}], "expires_in": []}}),
        ("x", "POST", "/2/tweets", {"text": "x", "reply": {"in_reply_to_tweet_id": {}}}),
        ("x", "POST", "/2/tweets", {"text": "x", "poll": {"options": {}, "duration_minutes": []}}),
        ("tiktok", "POST", "/v2/post/publish/video/init/", {"post_info": {"privacy_level": []}, "source_info": 5}),
    ],
)
async def test_odd_values_inside_of_objects_are_answered(
    stand: Stand, name: str, method: str, path: str, body: Any
) -> None:
    headers = {"Authorization": f"Bearer {await token(stand, name)}", "LinkedIn-Version": "202609"}
    if name == "linkedin" and body:
        common = {"author": "urn:li:person:aLiCe01", "visibility": "PUBLIC", "lifecycleState": "PUBLISHED"}
        body = common | {"commentary": "x", "distribution": {"feedDistribution": "MAIN_FEED"}} | body
    async with stand.http.request(method, f"{stand.url}/{name}{path}", headers=headers, json=body) as response:
        assert response.status < 500, await response.text()


async def test_odd_media_attributes_of_an_edit_are_answered(stand: Stand) -> None:
    headers = {"Authorization": f"Bearer {await mastodon(stand)}"}
    url = f"{stand.url}/mastodon/api/v1/statuses"
    async with stand.http.post(url, headers=headers, json={"status": "x"}) as response:
        made = (await response.json())["id"]
    change = {"status": "y", "media_attributes": 5}
    async with stand.http.put(f"{url}/{made}", headers=headers, json=change) as response:
        assert response.status == 422
