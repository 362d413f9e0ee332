"""The pages of posts, as a browser without scripts uses them."""

import asyncio
import io
import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import aiohttp
import pytest

from tests import media_samples
from tests.integration.ops.access.test_users import EMAIL, HTML, PASSWORD, logged_in
from tests.linked_site import linked_site
from tests.rig import Rig
from tests.support import command, eventually

VIEWER, EDITOR = "viewer@example.org", "editor@example.org"
pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner", EDITOR: "editor", VIEWER: "viewer"})


@pytest.fixture
async def account(rig: Rig) -> str:
    [id_] = await rig.connect("instagram")
    await logged_in(rig)
    return id_


async def uploaded(rig: Rig) -> str:
    content = media_samples.image("JPEG", (640, 640))
    status, made = await rig.api("POST", "/api/media", data=content, headers={"Content-Type": "image/jpeg"})
    assert status == 201, made
    return str(made["id"])


async def page(rig: Rig, path: str) -> tuple[int, str]:
    async with rig.http.get(rig.url + path, headers=HTML) as response:
        return response.status, unescape(await response.text())


async def token(rig: Rig) -> str:
    """What the forms of the pages hold."""
    _, shown = await page(rig, "/account")
    [csrf, *_] = re.findall(r'name="csrf" value="(\w+)"', shown)
    return str(csrf)


async def pressed(rig: Rig, path: str, **fields: Any) -> tuple[int, str, str]:
    """What a button leads to: status, the address that it ends at, and the page there."""
    data = [("csrf", await token(rig))]
    for name, value in fields.items():
        data += [(name.replace("__", "-"), each) for each in (value if isinstance(value, list) else [value])]
    async with rig.http.post(rig.url + path, data=aiohttp.FormData(data), headers=HTML) as response:
        return response.status, response.url.path, unescape(await response.text())


async def state(rig: Rig, value: str) -> None:
    await rig.connection.execute("ALTER TABLE post_targets DISABLE TRIGGER post_targets_transition")
    await rig.raw("UPDATE post_targets SET state = $1, evidence = '[\"a listing without it\"]', due_at = NULL", value)
    await rig.connection.execute("ALTER TABLE post_targets ENABLE TRIGGER post_targets_transition")


async def test_post_is_written_checked_kept_and_published(rig: Rig, account: str) -> None:
    id_ = await uploaded(rig)
    status, shown = await page(rig, "/posts/new")
    assert (status, account in shown, id_ in shown) == (200, True, True)
    form = {"content": "Tea", "target": account, "media": id_, f"alt__{id_}": "a red square"}
    status, path, shown = await pressed(rig, "/posts", **form, action="check")
    assert (status, path, "It could be accepted" in shown) == (200, "/posts", True)
    assert await rig.raw("SELECT 1 FROM posts") == []
    status, path, shown = await pressed(rig, "/posts", **form, action="draft")
    assert (status, "draft" in shown, "a red square" in shown) == (200, True, True), shown
    status, path, shown = await pressed(rig, f"{path}/publish")
    assert (status, "It is published now." in shown, "scheduled" in shown) == (200, True, True)
    status, path, shown = await pressed(rig, f"{path}/cancel")
    assert "It is cancelled." in shown
    status, shown = await page(rig, "/posts?state=cancelled")
    assert "Tea" in shown
    status, shown = await page(rig, "/posts?state=nonsense")
    assert status == 400


async def test_refusals_stand_on_the_page_with_what_was_written(rig: Rig, account: str) -> None:
    text = "x" * 2300
    status, _, shown = await pressed(rig, "/posts", content=text, target=account, action="publish")
    assert (status, text in shown, "text: The text has 2300 characters" in shown) == (422, True, True)
    assert f'value="{account}" checked' in shown
    assert await rig.raw("SELECT 1 FROM posts") == []


async def test_time_that_the_clocks_of_its_zone_moved_is_said_beside_the_post(rig: Rig, account: str) -> None:
    _, path, _ = await pressed(rig, "/posts", content="Tea", target=account, action="draft")
    await rig.raw("UPDATE posts SET local_time = '2099-06-01T09:00', zone = 'Europe/Berlin'")
    await rig.raw("UPDATE post_targets SET tzdata = '2098b', moved_from = '2099-06-01T08:00Z'")
    said = "2098b of the time zone database changed the clocks of Europe/Berlin: it was due at 2099-06-01 08:00 UTC"
    assert said in (await page(rig, path))[1]
    code, output = await command(rig.dsn, "posts", "show", path.rpartition("/")[2])
    assert (code, said in output) == (0, True), output


async def test_unconfirmed_is_explained_and_decided_by_two_buttons(rig: Rig) -> None:
    [account] = await rig.connect("mastodon")
    await logged_in(rig)
    _, path, _ = await pressed(rig, "/posts", content="Tea", target=account, action="draft")
    await state(rig, "unconfirmed")
    _, shown = await page(rig, path)
    assert "a listing without it" in shown
    assert "It is there" in shown
    assert "It is not there, post it again" in shown
    [target] = re.findall(r'name="target" value="([^"]+)"', shown)
    _, _, shown = await pressed(rig, f"{path}/confirm", target=target, there="yes")
    assert "Neither its id nor its address" in shown
    _, _, shown = await pressed(rig, f"{path}/confirm", target=target)
    assert "Neither button was pressed" in shown
    _, _, shown = await pressed(rig, f"{path}/confirm", target=target, there="no", evidence="I looked")
    assert "It is posted again." in shown
    [[attempt]] = await rig.raw("SELECT attempt FROM post_targets")
    assert attempt == 2
    await state(rig, "unconfirmed")
    await rig.raw("UPDATE connections SET scopes = ARRAY['read']")
    _, _, shown = await pressed(rig, f"{path}/confirm", target=target, there="no")
    assert "It is not sent again: " in shown
    [[attempt]] = await rig.raw("SELECT attempt FROM post_targets")
    assert attempt == 2
    await rig.raw("UPDATE connections SET scopes = ARRAY['read', 'write', 'push']")
    await state(rig, "failed")
    _, _, shown = await pressed(rig, f"{path}/retry")
    assert "It is tried again." in shown


async def test_editor_writes_owner_approves_and_viewer_looks(rig: Rig, account: str) -> None:
    await logged_in(rig, EDITOR)
    id_ = await uploaded(rig)
    form = {"content": "Tea", "target": account, "media": id_, "needs_approval": "on"}
    status, path, shown = await pressed(
        rig, "/posts", **form, scheduled_time="2099-06-01T09:00", timezone="UTC", action="schedule"
    )
    assert ("waits for approval" in shown, "Approve version" in shown) == (True, False)
    status, _, shown = await pressed(rig, f"{path}/approve", version="1")
    assert status == 403
    await logged_in(rig, VIEWER)
    status, shown = await page(rig, path)
    assert (status, "Cancel" in shown) == (200, False)
    assert (await pressed(rig, f"{path}/cancel"))[0] == 403
    assert "Write a post" not in (await page(rig, "/posts"))[1]
    assert (await page(rig, "/posts/new"))[0] == 403
    assert (await page(rig, f"{path}/edit"))[0] == 403
    assert (await page(rig, "/share"))[0] == 403
    await logged_in(rig)
    _, shown = await page(rig, path)
    assert "Approve version 1" in shown
    _, _, shown = await pressed(rig, f"{path}/approve", version="1")
    assert ("It is approved." in shown, "approved by" in shown) == (True, True)


async def test_check_shows_what_the_first_link_leads_to(
    rig: Rig, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = await uploaded(rig)
    async with linked_site(monkeypatch) as (site, asked):
        form = {"target": account, "media": id_, "action": "check", "utm": "on"}
        text = f"See {site}/tea, and {site}/other"
        status, path, shown = await pressed(rig, "/posts", **form, content=text)
        assert (status, path, text in shown, 'name="utm" checked' in shown) == (200, "/posts", True, True)
        assert all(each in shown for each in ("It could be accepted", "All about tea", "Green & black"))
        assert asked == ["/tea"]
        status, _, shown = await pressed(rig, "/posts", **form, content=f"See {site}/gone")
        assert (status, "status 404" in shown, "can be published all the same" in shown) == (200, True, True)
        await pressed(rig, "/posts", **form, content="no link")
        assert asked == ["/tea", "/gone"]
        _, _, shown = await pressed(rig, "/posts", **form | {"action": "draft", "campaign_id": "spring"}, content=text)
        assert f"{site}/tea?utm_source=instagram&utm_medium=social&utm_campaign=spring, and" in shown


async def test_share_page_is_filled_by_what_the_page_says_of_itself(
    rig: Rig, account: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with linked_site(monkeypatch) as (site, asked):
        status, shown = await page(rig, f"/share?url={site}/tea&title=Mine")
        assert (status, 'name="title" value="Mine"' in shown) == (200, True)
        assert all(each in shown for each in ("Green & black", f'value="{site}/cup.jpg"'))
        status, shown = await page(rig, f"/share?url={site}/gone")
        assert (status, "status 404" in shown, f'value="{site}/gone"' in shown) == (200, True, True)
        assert asked == ["/tea", "/gone"]
    assert (await page(rig, "/share"))[0] == 200


async def test_share_page_is_filled_by_its_address_and_says_what_came_of_it(rig: Rig, account: str) -> None:
    status, shown = await page(rig, "/share?url=https://example.org/tea&title=Tea%20%3Cb%3E&description=Green&image=x")
    assert (status, 'value="https://example.org/tea"' in shown) == (200, True)
    status, _, shown = await pressed(rig, "/share", url="https://example.org/tea", title="Tea")
    assert (status, "No account is ticked" in shown) == (400, True)
    status, _, shown = await pressed(rig, "/share", url="https://example.org/tea", title="Tea", target=account)
    assert (status, "has no link beside its text" in shown) == (422, True), "Instagram shares no pages"


async def test_post_that_is_not_there_is_not_found(rig: Rig, account: str) -> None:
    for path in (f"/posts/{account}", "/posts/nonsense"):
        assert (await page(rig, path))[0] == 404
        assert (await pressed(rig, f"{path}/retry"))[0] == 404


async def test_thread_with_a_file_in_its_second_part_is_written_and_shown(rig: Rig) -> None:
    [x] = await rig.connect("x")
    await logged_in(rig)
    id_ = await uploaded(rig)
    _, shown = await page(rig, "/posts/new")
    assert f'<select name="part-2-media" multiple size="3"><option value="{id_}">' in shown
    form = {"content": "One", "target": x, "part__3": "Three", "part__3__media": id_, "part__3__alt": "a red square"}
    status, _, shown = await pressed(rig, "/posts", **form, action="publish")
    assert (status, "part 2 post: Part 2 has no text." in shown) == (422, True)
    assert f'<option value="{id_}" selected>' in shown
    assert ">Three</textarea>" in shown
    status, path, shown = await pressed(rig, "/posts", **form, part__2="Two", action="draft")
    assert (status, "a red square" in shown, id_ in shown) == (200, True, True), shown
    _, post = await rig.api("GET", f"/api{path}")
    assert [target["content"] for target in post["targets"]] == [None, "Two", "Three"]
    assert [target["media"] for target in post["targets"]] == [[], [], [{"id": id_, "alt_text": "a red square"}]]


def form_with_files(csrf: str, *files: tuple[str, bytes], **fields: Any) -> aiohttp.FormData:
    """A form as a browser without scripts sends it: the fields of the page in order, the files after them."""
    data = aiohttp.FormData(default_to_multipart=True)
    data.add_field("csrf", csrf)
    for name, value in fields.items():
        data.add_field(name.replace("__", "-"), value)
    for name, content in files:
        data.add_field("file", io.BytesIO(content), filename=name, content_type="image/jpeg")
    return data


async def sent(rig: Rig, data: aiohttp.FormData | bytes, **headers: str) -> tuple[int, str]:
    async with rig.http.post(f"{rig.url}/posts/files", data=data, headers=HTML | headers) as response:
        return response.status, unescape(await response.text())


async def test_files_are_uploaded_without_scripts_and_chosen_for_the_post_that_is_being_written(
    rig: Rig, account: str
) -> None:
    _, shown = await page(rig, "/posts/new")
    assert '<button formaction="/posts/files" formenctype="multipart/form-data">' in shown
    assert '<input type="file" name="file" multiple>' in shown
    before = await uploaded(rig)
    csrf = await token(rig)
    files = [(f"beach-{n}.jpg", media_samples.image("JPEG", (640, 640 + n))) for n in (1, 2)]
    fields = {"content": "Tea & cake", "target": account, "media": before, f"alt__{before}": "a square"}
    status, shown = await sent(rig, form_with_files(csrf, *files, **fields))
    assert status == 200, shown
    assert "Uploaded and chosen for the post: beach-1.jpg, beach-2.jpg." in shown
    _, listed = await rig.api("GET", "/api/media")
    made = {each["file_name"]: each for each in listed["media"] if each["file_name"]}
    assert {name: each["created_by"] for name, each in made.items()} == {
        "beach-1.jpg": f"user:{EMAIL}",
        "beach-2.jpg": f"user:{EMAIL}",
    }
    ids = {before, *(each["id"] for each in made.values())}
    assert set(re.findall(r'name="media" value="([^"]+)" checked', shown)) == ids
    assert ('value="a square"' in shown, ">Tea & cake</textarea>" in shown) == (True, True)
    assert f'name="target" value="{account}" checked' in shown


async def test_file_that_is_refused_is_said_on_the_page_with_what_was_written(rig: Rig, account: str) -> None:
    csrf = await token(rig)
    good, large = media_samples.image("JPEG", (640, 640)), media_samples.image() + bytes(10 * 2**20)
    for files, status, words in (
        ([("a.html", b"<html>")], 415, "The bytes are those of no file that can be posted."),
        ([("a.jpg", b"")], 400, "The file is empty."),
        ([], 400, "No file is chosen."),
        ([("", b"")], 400, "No file is chosen."),
        ([("large.jpg", large)], 413, f"An image of more than {10 * 2**20} bytes is not taken here."),
        ([(f"{n}.jpg", good) for n in range(11)], 400, "More than 10 files came at once."),
    ):
        found, shown = await sent(rig, form_with_files(csrf, *files, content="Tea", target=account))
        assert (found, words in shown, ">Tea</textarea>" in shown) == (status, True, True), (words, shown)
    status, _, shown = await pressed(rig, "/posts", content="Tea", target=account, action="draft", file="beach.jpg")
    assert (status, "The file beach.jpg is chosen and not uploaded." in shown) == (400, True)
    assert await rig.raw("SELECT 1 FROM posts") == []


async def test_form_with_files_needs_the_token_of_the_page_before_anything_else(rig: Rig, account: str) -> None:
    csrf, content = await token(rig), media_samples.image("JPEG", (640, 640))
    late = aiohttp.FormData(default_to_multipart=True)
    late.add_field("file", io.BytesIO(content), filename="a.jpg")
    late.add_field("csrf", csrf)
    empty = {"Content-Type": "multipart/form-data; boundary=x"}
    given: list[tuple[aiohttp.FormData | bytes, dict[str, str]]] = [
        (form_with_files("wrong", ("a.jpg", content)), {}),
        (late, {}),
        (b"--x--\r\n", empty),
        (form_with_files(csrf, ("a.jpg", content)), {"Origin": "https://elsewhere.example"}),
    ]
    for data, headers in given:
        assert (await sent(rig, data, **headers))[0] == 403
    assert await rig.raw("SELECT 1 FROM media") == []
    assert await rig.raw("SELECT 1 FROM media_uploads") == [], "nothing of it was stored"
    await logged_in(rig, VIEWER)
    status, _ = await sent(rig, form_with_files(await token(rig), ("a.jpg", content)))
    assert status == 403
    async with (
        aiohttp.ClientSession() as nobody,
        nobody.post(f"{rig.url}/posts/files", data=form_with_files(csrf, ("a.jpg", content)), headers=HTML) as response,
    ):
        assert response.status == 401
    assert await rig.raw("SELECT 1 FROM media") == []


async def test_fields_of_a_form_with_files_are_bounded_and_text(rig: Rig, account: str) -> None:
    csrf = await token(rig)
    for fields, status, words in (
        ({"content": "x" * 70_000}, 413, "The fields of the form are longer than 65536 bytes in all."),
        ({"content": "a\0b"}, 400, "A field of the form is no text."),
    ):
        found, shown = await sent(rig, form_with_files(csrf, ("a.jpg", b"x"), **fields))
        assert (found, words in shown) == (status, True), shown
    data = aiohttp.FormData({"csrf": csrf})
    found, shown = await sent(rig, data)
    assert (found, "The body must be multipart/form-data." in shown) == (415, True)


async def test_large_file_of_a_form_is_never_whole_in_memory(rig: Rig, account: str) -> None:
    """What is held is read while it comes: the storage has its beginning while the rest is not sent yet."""
    content, more = media_samples.large_video(20 * 2**20), asyncio.Event()
    boundary = "landfall"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n{await token(rig)}\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="film.mp4"\r\n\r\n'
    ).encode()

    async def body() -> AsyncIterator[bytes]:
        yield head
        for at in range(0, 12 * 2**20, 2**20):
            yield content[at : at + 2**20]
        await more.wait()
        yield content[12 * 2**20 :]
        yield f"\r\n--{boundary}--\r\n".encode()

    async def begun() -> bool:
        return any(path.stat().st_size > 0 for path in rig.media.rglob("*") if path.is_file())

    headers = HTML | {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    sending = asyncio.create_task(rig.http.post(f"{rig.url}/posts/files", data=body(), headers=headers))
    await eventually(begun)
    more.set()
    async with await sending as response:
        assert (response.status, "film.mp4" in await response.text()) == (200, True)
    [made] = (await rig.api("GET", "/api/media"))[1]["media"]
    assert made["sha256"] == media_samples.sha256(content)


async def test_post_repeats_and_is_paused_resumed_and_ended_by_buttons(rig: Rig, account: str) -> None:
    id_ = await uploaded(rig)
    form = {"content": "Tea", "target": account, "media": id_, "scheduled_time": "2099-06-01T09:00", "timezone": "UTC"}
    more = {"utm": "on", "rule": "FREQ=WEEKLY;COUNT=3"}
    status, path, shown = await pressed(rig, "/posts", **form, action="repeat", **more)
    assert (status, path, "It repeats. First at 2099-06-01 09:00" in shown) == (200, "/posts", True), shown
    assert [row[0] for row in await rig.raw("SELECT template->'utm' FROM post_recurrences")] == ["true"]
    [found] = re.findall(r'action="/recurrences/([^/]+)/pause"', shown)
    for button, said, other in (
        ("pause", "It is paused", "resume"),
        ("resume", "It goes on", "pause"),
        ("end", "It has ended", None),
    ):
        _, path, shown = await pressed(rig, f"/recurrences/{found}/{button}")
        assert (path, said in shown) == ("/posts", True), shown
        assert other is None or f"/recurrences/{found}/{other}" in shown
    assert "What repeats" not in shown
    _, _, shown = await pressed(rig, f"/recurrences/{found}/resume")
    assert "It has ended. Make another one" in shown
    status, _, shown = await pressed(rig, "/posts", **form, action="repeat", rule="FREQ=WEEKLY")
    assert (status, "The rule needs one end" in shown, 'value="FREQ=WEEKLY"' in shown) == (422, True, True)
    assert (await pressed(rig, f"/recurrences/{account}/pause"))[0] == 404


async def test_slots_are_set_on_the_page_and_a_post_takes_the_next_one(rig: Rig, account: str) -> None:
    id_ = await uploaded(rig)
    _, path, shown = await pressed(rig, f"/connections/{account}/slots", slots="MO/09:00 th/17:30", timezone="UTC")
    assert (path, "The slots are set. The next free one is" in shown) == ("/posts", True), shown
    assert 'value="MO/09:00 TH/17:30"' in shown
    _, path, shown = await pressed(rig, "/posts", content="Tea", target=account, media=id_, action="queue")
    assert path.startswith("/posts/"), shown
    [[slot]] = await rig.raw("SELECT slot_at FROM post_targets")
    assert (slot.weekday(), f"{slot:%H:%M}") in ((0, "09:00"), (3, "17:30"))
    for slots, said in (("Monday/9", "is no slot"), ("MO/25:00", "String should match")):
        _, _, shown = await pressed(rig, f"/connections/{account}/slots", slots=slots)
        assert said in shown


async def test_what_failed_is_tried_again_by_its_cause_and_at_one_account_alone(rig: Rig, account: str) -> None:
    id_ = await uploaded(rig)
    [other] = await rig.connect("mastodon")
    form = {"content": "Tea", "target": [account, other], "media": id_, "action": "draft"}
    _, path, _ = await pressed(rig, "/posts", **form)
    assert "What failed" not in (await page(rig, "/posts"))[1]
    await state(rig, "failed")
    await rig.raw("UPDATE post_targets SET error_code = 'spam'")
    _, shown = await page(rig, path)
    [target, _] = re.findall(r'name="target" value="([\w-]+)"><button>Try again here alone', shown)
    await pressed(rig, f"{path}/retry", target=target)
    states = await rig.raw("SELECT id::text, state FROM post_targets ORDER BY state DESC")
    assert [row["state"] for row in states] == ["scheduled", "failed"]
    assert states[0]["id"] == target
    _, shown = await page(rig, "/posts")
    assert shown.count("1 with <code>spam</code>") == 1, shown
    [[platform]] = await rig.raw("SELECT platform FROM post_targets WHERE state = 'failed'")
    status, _, shown = await pressed(rig, "/posts/retry", cause="spam", platform=platform)
    assert (status, "Tried again: 1." in shown) == (200, True)
    status, _, shown = await pressed(rig, "/posts/retry", cause="spam", platform=platform)
    assert (status, "Nothing of it could be tried again" in shown) == (200, True)
