"""Posts are written and changed on pages, with the options of each account as fields, by a browser without scripts."""

import re
from datetime import UTC, datetime
from html import unescape
from typing import Any

import aiohttp
import lxml.html
import pytest

from ops.runtime.tenancy import tenant_transaction
from ops.web.pages.calendar import PER_DAY
from publish.media.links import Links
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.integration.ops.access.test_users import EMAIL, HTML, PASSWORD, logged_in
from tests.integration.ops.web.pages.test_posts import page, pressed, state, token, uploaded
from tests.rig import Rig
from tests.support import eventually

EDITOR, VIEWER = "editor@example.org", "viewer@example.org"
pytestmark = pytest.mark.rig(password=PASSWORD, members={EMAIL: "owner", EDITOR: "editor", VIEWER: "viewer"})

POLL = {"options": ["Green", "Black"], "seconds": 3600, "multiple": True}


def fields(shown: str, action: str) -> list[tuple[str, str]]:
    """What a browser sends of the form that leads to an address, where nobody touches it, buttons apart."""
    [form] = [each for each in lxml.html.document_fromstring(shown).forms if each.action == action]
    return [(str(name), str(value)) for name, value in form.form_values()]


def changed(sent: list[tuple[str, str]], **new: str) -> list[tuple[str, str]]:
    """That form with other values in some of its fields, which are named by the ends of their names."""
    names = {name for name, _ in sent} | {"action"}
    found = list(sent)
    for end, value in new.items():
        [name] = {each for each in names if each.endswith(end.replace("__", "."))}
        found = [pair for pair in found if pair[0] != name] + [(name, value)]
    return found


async def submit(rig: Rig, path: str, sent: list[tuple[str, str]]) -> tuple[int, str, str]:
    async with rig.http.post(rig.url + path, data=aiohttp.FormData(sent), headers=HTML) as response:
        return response.status, response.url.path, unescape(await response.text())


def control(shown: str, name: str) -> Any:
    [found] = lxml.html.document_fromstring(shown).xpath(f"//*[@name='{name}' and not(@type='hidden')]")
    return found


async def test_fields_of_an_account_become_its_options_and_its_own_text(rig: Rig) -> None:
    [mastodon], [x] = await rig.connect("mastodon"), await rig.connect("x")
    await logged_in(rig)
    status, shown = await page(rig, "/posts/new")
    assert status == 200
    sent = fields(shown, "/posts")
    assert not [name for name, _ in sent if name == "target"], "nothing is ticked at first"
    poll = [(f"o.{mastodon}.poll.options", text) for text in ("Green", " Black ", "")]
    sent = [pair for pair in sent if not pair[0].endswith(".poll.options")] + poll
    new = {"content": "Which tea?", f"text.{x}": "Tea?\r\nOr cake?", f"o.{mastodon}.visibility": "unlisted"}
    sent = [*changed(sent, **new, action="draft"), ("target", mastodon), ("target", x)]
    sent += [(f"o.{mastodon}.poll.seconds", "3600"), (f"o.{mastodon}.poll.multiple", "on")]
    status, path, shown = await submit(rig, "/posts", [("csrf", await token(rig)), *sent])
    assert (status, path.startswith("/posts/")) == (200, True), shown
    _, post = await rig.api("GET", f"/api{path}")
    found = {target["connection"]: target for target in post["targets"]}
    assert found[mastodon]["options"] == {"visibility": "unlisted", "poll": POLL}
    assert (found[mastodon]["kind"], found[mastodon]["text"]) == ("poll", "Which tea?")
    assert (found[x]["options"], found[x]["text"]) == ({}, "Tea?\nOr cake?")


async def test_what_is_wrong_stands_beside_its_field_with_what_was_typed(rig: Rig) -> None:
    [account] = await rig.connect("tiktok")
    await logged_in(rig)
    id_ = await uploaded(rig)
    form = {"content": "Tea", "target": account, "media": id_, "action": "draft"}
    wrong = {f"o.{account}.cover_position": "first", f"o.{account}.title": "A title"}
    status, _, shown = await pressed(rig, "/posts", **form | {"action": "publish"}, **wrong)
    assert status == 422
    privacy = control(shown, f"o.{account}.privacy_level")
    assert privacy.get("aria-invalid") == "true"
    about = lxml.html.document_fromstring(shown).get_element_by_id(privacy.get("aria-describedby"))
    assert "nothing is chosen for you" in about.text_content()
    assert [option.get("value") for option in privacy.iter("option") if option.get("selected")] == [""]
    position = control(shown, f"o.{account}.cover_position")
    assert (position.get("value"), position.get("aria-invalid")) == ("first", "true")
    assert control(shown, f"o.{account}.title").get("aria-invalid") is None
    assert control(shown, f"o.{account}.title").get("value") == "A title"
    assert await rig.raw("SELECT 1 FROM posts") == []


async def test_kind_that_is_chosen_has_its_own_options_and_keeps_what_does_not_fit(rig: Rig) -> None:
    [account] = await rig.connect("instagram")
    await logged_in(rig)
    form = {"target": account, f"kind.{account}": "story", f"o.{account}.collaborators": "ada"}
    status, path, shown = await pressed(rig, "/posts", **form, action="options")
    assert (status, path, "Nothing was stored" in shown) == (200, "/posts", True)
    shown_names = set(re.findall(rf'name="o\.{account}\.(\w+)', shown))
    assert shown_names == {"user_tags", "ai_generated", "paid_partnership", "sponsor_ids", "collaborators"}
    status, _, shown = await pressed(rig, "/posts", **form, content="", media=await uploaded(rig), action="publish")
    [first, *_] = lxml.html.document_fromstring(shown).xpath(f"//input[@name='o.{account}.collaborators']")
    assert (status, first.get("value"), first.get("aria-invalid")) == (422, "ada", "true")


async def test_address_fills_in_a_form_and_publishes_nothing(rig: Rig) -> None:
    [account] = await rig.connect("x")
    await logged_in(rig)
    status, shown = await page(
        rig, f"/posts/new?content=Tea&target={account}&scheduled_time=2099-06-01T09:00&action=publish"
    )
    assert (status, ">Tea</textarea>" in shown, 'value="2099-06-01T09:00"' in shown) == (200, True, True)
    assert f'value="{account}" checked' in shown
    assert await rig.raw("SELECT 1 FROM posts") == []


async def written(rig: Rig) -> tuple[str, dict[str, str]]:
    """A scheduled post of two files at three accounts, with options, a text of its own, and a thread; its page."""
    accounts = {name: (await rig.connect(name))[0] for name in ("mastodon", "x", "instagram")}
    await logged_in(rig)
    files = [await uploaded(rig)]
    content = media_samples.image("JPEG", (640, 800))
    _, made = await rig.api("POST", "/api/media", data=content, headers={"Content-Type": "image/jpeg"})
    files.append(made["id"])
    body = {
        "content": "Tea\n\n& <cake>",
        "hashtags": ["tea", "cake"],
        "media": [{"id": files[0], "alt_text": "a cup"}, files[1]],
        "targets": [
            {
                "connection": accounts["mastodon"],
                "options": {"visibility": "private", "language": "de", "sensitive": True, "spoiler_text": "Tea"},
                "content": "Tee",
            },
            {"connection": accounts["x"], "options": {"first_comment": "More below", "tagged_user_ids": ["7", "8"]}},
            {
                "connection": accounts["instagram"],
                "options": {"user_tags": [{"username": "ada", "x": 0.5, "y": 1}], "comment_prompt": False},
            },
        ],
        "scheduled_time": "2099-06-01T09:00",
        "timezone": "Europe/Berlin",
        "campaign_id": "spring",
        "needs_approval": True,
    }
    status, made = await rig.api("POST", "/api/posts", json=body)
    assert status == 201, made
    return f"/posts/{made['post']['id']}", accounts


async def test_post_that_is_saved_as_it_is_stays_as_it_is(rig: Rig) -> None:
    path, _ = await written(rig)
    _, before = await rig.api("GET", f"/api{path}")
    status, shown = await page(rig, f"{path}/edit")
    assert status == 200
    sent = fields(shown, f"{path}/edit")
    status, at, shown = await submit(rig, f"{path}/edit", [*sent, ("action", "save")])
    assert (status, at, "nothing was changed" in shown) == (200, path, True), shown
    _, after = await rig.api("GET", f"/api{path}")
    assert after == before


async def test_text_that_no_page_can_show_stays_as_it_is_where_nobody_touches_it(rig: Rig) -> None:
    [x] = await rig.connect("x")
    await logged_in(rig)
    hostile = "\n\u202egnp.exe\u2028\x1b[2J</textarea><script>\r\nend"
    target = {"connection": x, "content": f"{hostile} here", "options": {"first_comment": f"a {hostile} b"}}
    body = {"content": hostile, "targets": [target], "campaign_id": f"a{hostile}", "thread": [f"{hostile} 2"]}
    status, made = await rig.api("POST", "/api/posts", json=body)
    assert status == 201, made
    before, path = made["post"], f"/posts/{made['post']['id']}"
    _, shown = await page(rig, f"{path}/edit")
    async with rig.http.get(f"{rig.url}{path}/edit", headers=HTML) as response:
        raw = await response.text()
    sent = fields(raw, f"{path}/edit")
    _, _, shown = await submit(rig, f"{path}/edit", [*sent, ("action", "save")])
    assert "nothing was changed" in shown
    await submit(rig, f"{path}/edit", changed(sent, campaign_id="spring", action="save"))
    _, after = await rig.api("GET", f"/api{path}")
    assert (after["campaign_id"], after["content"]) == ("spring", hostile)
    assert [t["content"] for t in after["targets"]] == [t["content"] for t in before["targets"]]
    assert [t["options"] for t in after["targets"]] == [t["options"] for t in before["targets"]]


async def test_text_options_and_time_of_a_post_are_changed_by_the_same_fields(rig: Rig) -> None:
    path, accounts = await written(rig)
    _, before = await rig.api("GET", f"/api{path}")
    ids = {name: next(t["id"] for t in before["targets"] if t["connection"] == id_) for name, id_ in accounts.items()}
    _, shown = await page(rig, f"{path}/edit")
    assert control(shown, f"o.{ids['mastodon']}.language").get("value") == "de"
    assert control(shown, f"o.{ids['mastodon']}.sensitive").get("checked") is not None
    assert control(shown, f"o.{ids['instagram']}.user_tags.0.y").get("value") == "1"
    assert control(shown, f"text.{ids['mastodon']}").text == "Tee"
    new = {
        f"o.{ids['mastodon']}.language": "fr",
        f"o.{ids['instagram']}.user_tags.1.username": "bob",
        f"o.{ids['instagram']}.user_tags.1.x": "0",
        f"o.{ids['instagram']}.user_tags.1.y": ".25",
        f"o.{ids['x']}.first_comment": "Still more below",
        f"text.{ids['mastodon']}": "",
        "scheduled_time": "2099-06-02T10:30",
        "campaign_id": "summer",
    }
    sent = changed(fields(shown, f"{path}/edit"), **new, action="save")
    status, at, shown = await submit(rig, f"{path}/edit", sent)
    assert (status, at, "It is changed." in shown) == (200, path, True), shown
    _, after = await rig.api("GET", f"/api{path}")
    found = {target["id"]: target for target in after["targets"]}
    assert found[ids["mastodon"]]["options"] == {
        "visibility": "private",
        "language": "fr",
        "sensitive": True,
        "spoiler_text": "Tea",
    }
    assert found[ids["mastodon"]]["text"] == found[ids["x"]]["text"] == "Tea\n\n& <cake>\n\n#tea #cake"
    assert found[ids["instagram"]]["options"]["user_tags"] == [
        {"username": "ada", "x": 0.5, "y": 1},
        {"username": "bob", "x": 0, "y": 0.25},
    ]
    [comment] = [target for target in after["targets"] if target["parent"] == ids["x"]]
    assert comment["text"] == "Still more below"
    assert (after["campaign_id"], after["version"], after["local_time"]) == ("summer", 2, "2099-06-02T10:30")
    assert after["media"] == before["media"], "in their order, with their alternative texts"
    status, _, shown = await submit(rig, f"{path}/edit", sent)
    assert (status, "Somebody changed the post meanwhile" in shown) == (409, True)
    assert control(shown, f"o.{ids['mastodon']}.language").get("value") == "fr"


async def test_wrong_change_is_shown_with_what_was_typed_and_changes_nothing(rig: Rig) -> None:
    path, accounts = await written(rig)
    _, before = await rig.api("GET", f"/api{path}")
    [mastodon] = [t["id"] for t in before["targets"] if t["connection"] == accounts["mastodon"]]
    _, shown = await page(rig, f"{path}/edit")
    sent = changed(
        fields(shown, f"{path}/edit"), **{f"o.{mastodon}.language": "Deutsch"}, action="save", content="Cake"
    )
    status, _, shown = await submit(rig, f"{path}/edit", sent)
    language = control(shown, f"o.{mastodon}.language")
    assert (status, language.get("value"), language.get("aria-invalid")) == (422, "Deutsch", "true")
    assert ">Cake</textarea>" in shown
    assert (await rig.api("GET", f"/api{path}"))[1] == before


async def test_parts_of_a_thread_are_changed_and_keep_their_files(rig: Rig) -> None:
    [x] = await rig.connect("x")
    await logged_in(rig)
    id_ = await uploaded(rig)
    form = {"content": "One", "target": x, "part__2": "Two", "part__2__media": id_, "part__2__alt": "a square"}
    _, path, _ = await pressed(rig, "/posts", **form, part__3="Three", action="draft")
    _, shown = await page(rig, f"{path}/edit")
    _, before = await rig.api("GET", f"/api{path}")
    third = before["targets"][2]["id"]
    sent = changed(fields(shown, f"{path}/edit"), **{f"part.{third}": "Four"}, action="save")
    status, _, shown = await submit(rig, f"{path}/edit", sent)
    assert (status, "It is changed." in shown) == (200, True), shown
    _, after = await rig.api("GET", f"/api{path}")
    assert [target["content"] for target in after["targets"]] == [None, "Two", "Four"]
    assert after["targets"][1]["media"] == [{"id": id_, "alt_text": "a square"}]


async def test_draft_is_scheduled_by_its_form_and_what_began_is_not_changed(rig: Rig) -> None:
    [x] = await rig.connect("x")
    await logged_in(rig)
    _, path, shown = await pressed(rig, "/posts", content="Tea", target=x, action="draft")
    assert f'href="{path}/edit"' in shown
    _, shown = await page(rig, f"{path}/edit")
    sent = fields(shown, f"{path}/edit")
    _, at, shown = await submit(
        rig, f"{path}/edit", changed(sent, scheduled_time="2099-06-01T09:00", action="schedule")
    )
    assert (at, "It is changed. 2099-06-01 09:00 in UTC" in shown) == (path, True), shown
    assert [row[0] for row in await rig.raw("SELECT state FROM post_targets")] == ["scheduled"]
    await state(rig, "published")
    for answer in (await page(rig, f"{path}/edit"), (await submit(rig, f"{path}/edit", sent))[::2]):
        assert (answer[0], "too late to change the post" in answer[1]) == (200, True), answer[1]
    assert f'href="{path}/edit"' not in (await page(rig, path))[1]


async def test_file_is_uploaded_for_a_post_that_is_there(rig: Rig) -> None:
    [x] = await rig.connect("x")
    await logged_in(rig)
    _, path, _ = await pressed(rig, "/posts", content="Tea", target=x, action="draft")
    _, shown = await page(rig, f"{path}/edit")
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in changed(fields(shown, f"{path}/edit"), content="Coffee"):
        data.add_field(name, value)
    data.add_field("file", media_samples.image("JPEG", (640, 640)), filename="cup.jpg", content_type="image/jpeg")
    async with rig.http.post(f"{rig.url}{path}/files", data=data, headers=HTML) as response:
        shown = unescape(await response.text())
        assert (response.status, "Save the post to keep it so." in shown) == (200, True), shown
    assert ">Coffee</textarea>" in shown
    assert (await rig.api("GET", f"/api{path}"))[1]["content"] == "Tea", "nothing of it is saved so far"
    await submit(rig, f"{path}/edit", [*fields(shown, f"{path}/edit"), ("action", "save")])
    _, post = await rig.api("GET", f"/api{path}")
    assert (post["content"], len(post["media"])) == ("Coffee", 1)


async def test_editor_cannot_take_away_that_a_post_is_approved_first(rig: Rig) -> None:
    path, _ = await written(rig)
    await logged_in(rig, EDITOR)
    _, shown = await page(rig, f"{path}/edit")
    sent = [pair for pair in fields(shown, f"{path}/edit") if pair[0] != "needs_approval"]
    status, _, shown = await submit(rig, f"{path}/edit", [*sent, ("action", "save")])
    assert (status, "may not approve" in shown) == (403, True)


async def test_many_accounts_show_the_options_of_those_that_are_ticked(rig: Rig) -> None:
    [first] = await rig.connect("x")
    await rig.raw(
        "INSERT INTO connections (tenant_id, id, platform, instance, account_id, state, other_ids, username, scopes,"
        " profile, authorized_at) SELECT tenant_id, gen_random_uuid(), platform, instance, 'n' || n, state, other_ids,"
        " 'n' || n, scopes, profile, authorized_at FROM connections, generate_series(1, 20) AS n"
    )
    await logged_in(rig)
    _, shown = await page(rig, "/posts/new")
    assert ('name="target"' in shown, 'name="o.' in shown) == (True, False)
    _, _, shown = await pressed(rig, "/posts", target=first, action="options")
    assert set(re.findall(r'name="o\.([0-9a-f-]{36})\.', shown)) == {first}


async def test_calendar_shows_what_is_planned_by_day_account_and_campaign(rig: Rig) -> None:
    [x], [mastodon] = await rig.connect("x"), await rig.connect("mastodon")
    await logged_in(rig)
    form = {"scheduled_time": "2099-05-31T23:30", "timezone": "Europe/Berlin", "action": "schedule"}
    await pressed(rig, "/posts", content="Late tea", target=[x, mastodon], campaign_id="spring", **form)
    form |= {"scheduled_time": "2099-06-01T09:00", "rule": "FREQ=DAILY;COUNT=3", "action": "repeat"}
    _, _, shown = await pressed(rig, "/posts", content="Daily cake", target=x, **form)
    assert "It repeats." in shown

    async def days(query: str) -> dict[str, list[str]]:
        status, shown = await page(rig, f"/posts/calendar?{query}")
        assert status == 200, shown
        cells = lxml.html.document_fromstring(shown).xpath("//td[.//a[contains(@class, 'slot')]]")
        found: dict[str, list[str]] = {}
        for cell in cells:
            [day] = cell.xpath(".//time/@datetime")
            found[day] = [
                " ".join(" ".join(each.itertext()).split()) for each in cell.xpath(".//a[contains(@class, 'slot')]")
            ]
        return found

    found = await days("day=2099-06-10")
    assert list(found) == ["2099-05-31", "2099-06-01", "2099-06-02", "2099-06-03"] or list(found) == [
        *("2099-06-01", "2099-06-02", "2099-06-03")
    ], "the month begins on a Monday"
    assert found["2099-06-02"] == ["09:00 in Europe/Berlin repeats: comes by its rule Daily cake"]
    week = await days("view=week&day=2099-05-31")
    assert [len(each) for each in week.values()] == [2]
    assert all("23:30 in Europe/Berlin" in each and "Late tea" in each for each in week["2099-05-31"])
    assert list(await days("view=week&day=2099-06-01&zone=Asia/Tokyo")) == ["2099-06-01", "2099-06-02", "2099-06-03"]
    tokyo = await days("view=week&day=2099-06-01&zone=Asia/Tokyo")
    assert any("06:30 in Asia/Tokyo" in each for each in tokyo["2099-06-01"]), "it is another day there"
    assert [len(each) for each in (await days(f"view=week&day=2099-05-31&connection={mastodon}")).values()] == [1]
    assert await days(f"view=week&day=2099-06-03&connection={mastodon}") == {}, "what repeats is for another account"
    assert await days("view=week&day=2099-05-31&campaign=autumn") == {}
    assert list(await days("view=week&day=2099-05-31&campaign=spring")) == ["2099-05-31"]
    await pressed(rig, f"/connections/{x}/slots", slots="WE/07:15", timezone="UTC")
    await pressed(rig, "/posts", content="Queued tea", target=x, action="queue")
    [[slot]] = await rig.raw("SELECT slot_at FROM post_targets WHERE slot_at IS NOT NULL")
    [queued] = (await days(f"view=week&zone=UTC&day={slot:%Y-%m-%d}"))[f"{slot:%Y-%m-%d}"]
    assert queued == "07:15 UTC X, shop: scheduled Queued tea", "at its slot"
    for query, words in (("zone=Nowhere/There", "There is no time zone"), ("day=tomorrow", "write it as 2027-05-01")):
        status, shown = await page(rig, f"/posts/calendar?{query}")
        assert (status, words in shown) == (400, True), query
    for other in ("x", x[:-1] + ("0" if x[-1] != "0" else "1")):
        assert (await page(rig, f"/posts/calendar?connection={other}"))[0] == 404
    assert f'datetime="{datetime.now(UTC):%Y-%m-}' in (await page(rig, "/posts/calendar?zone=UTC"))[1]


async def test_day_with_many_posts_leads_to_all_of_them(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PER_DAY, "week", 6)  # type: ignore[arg-type]
    [x] = await rig.connect("x")
    await logged_in(rig)
    for hour in range(10, 18):
        body = {"content": f"Tea at {hour}", "targets": [{"connection": x}]}
        when = {"scheduled_time": f"2099-06-03T{hour}:00", "timezone": "Europe/Berlin"}
        assert (await rig.api("POST", "/api/posts", json=body | when))[0] == 201
    links = {}
    for view in ("month", "week"):
        async with rig.http.get(f"{rig.url}/posts/calendar?view={view}&day=2099-06-03", headers=HTML) as response:
            shown = lxml.html.document_fromstring(await response.text())
        [link] = [each for each in shown.iter("a") if each.text_content() == "2 more on 2099-06-03"]
        links[view] = link.get("href")
    assert links["month"].startswith("/posts/calendar?view=week&day=2099-06-03&zone=Europe")
    _, listed = await page(rig, links["week"])
    assert re.findall(r">(Tea at \d+)</a>", listed) == ["Tea at 17", "Tea at 16"]


async def test_page_of_a_post_shows_how_it_came_there_and_what_comes_next(rig: Rig) -> None:
    [x] = await rig.connect("x")
    await logged_in(rig)
    form = {"scheduled_time": "2099-06-01T09:00", "timezone": "UTC", "action": "schedule"}
    _, path, shown = await pressed(rig, "/posts", content="Tea", target=x, **form)
    assert "Publishing begins. 2099-06-01 09:00:00 UTC" in " ".join(
        lxml.html.document_fromstring(shown).text_content().split()
    )
    assert f'<a href="{path}">Look again</a>' in shown
    assert re.search(r'<script src="/static/live\.js\?v=\w+" defer></script>', shown)
    _, _, shown = await pressed(rig, f"{path}/cancel")
    steps = [each.text_content() for each in lxml.html.document_fromstring(shown).xpath("//ol[@class='steps']/li")]
    assert [step.split(" UTC ")[1] for step in steps] == ["scheduled", "cancelled"]
    assert "live.js" not in shown, "nothing of it changes by itself any more"
    async with rig.http.get(rig.url + path, headers=HTML) as response:
        policy = response.headers["Content-Security-Policy"]
    assert "script-src 'self'; connect-src 'self'" in policy
    async with aiohttp.ClientSession() as nobody, nobody.get(f"{rig.url}/static/live.js") as response:
        assert (response.status, response.content_type) == (200, "text/javascript")


async def test_editors_see_on_the_page_who_fetched_a_file_and_viewers_do_not(rig: Rig) -> None:
    [account] = await rig.connect("instagram")
    await logged_in(rig)
    id_ = await uploaded(rig)
    _, path, _ = await pressed(rig, "/posts", content="Tea", target=account, media=id_, action="draft")
    [[target]] = await rig.raw("SELECT id::text FROM post_targets")
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        url = await Links(rig.url).make(connection, DEFAULT_TENANT, id_, target, 1, 60)
    async with rig.http.get(url, headers={"User-Agent": "fetcher/1"}) as response:
        assert (response.status, bool(await response.read())) == (200, True)

    async def ended() -> bool:
        return bool(await rig.raw("SELECT 1 FROM media_fetches WHERE last_byte IS NOT NULL"))

    await eventually(ended)  # that follows the last byte
    _, shown = await page(rig, path)
    [row] = lxml.html.document_fromstring(shown).xpath("//table//tr[td]")
    cells = [cell.text_content().strip() for cell in row]
    assert cells[1:] == ["GET 200", "all of it", id_, "fetcher/1", "127.0.0.1"]
    assert url.rpartition("/")[2] not in shown
    await logged_in(rig, VIEWER)
    status, shown = await page(rig, path)
    assert (status, "fetcher/1" in shown) == (200, False)


async def test_list_is_narrowed_by_filters_that_the_next_page_keeps(rig: Rig) -> None:
    [x] = await rig.connect("x")
    await logged_in(rig)
    for number in range(51):
        body = {"content": f"Tea {number}", "targets": [{"connection": x}], "campaign_id": "spring"}
        assert (await rig.api("POST", "/api/posts", json=body))[0] == 201
    _, shown = await page(rig, f"/posts?text=tea&state=draft&connection={x}")
    [older] = re.findall(r'href="(/posts\?[^"]*before[^"]*)"', shown)
    _, shown = await page(rig, unescape(older))
    assert re.findall(r">(Tea \d+)</a>", shown) == ["Tea 0"]
    assert '<option value="draft" selected>' in shown
    await state(rig, "missed")
    for wanted, count in (("failed", 50), ("only:failed", 0), ("missed", 50)):
        _, shown = await page(rig, f"/posts?state={wanted}")
        assert (len(re.findall(r">Tea \d+</a>", shown)), f'value="{wanted}" selected' in shown) == (count, True)
    assert "No post fits" in (await page(rig, "/posts?text=cake"))[1]
