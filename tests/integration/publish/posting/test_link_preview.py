"""A shared page says of itself what a post does not say of it, and a page that says nothing harms no post."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ops.access.audit_log_store import Actor
from ops.runtime.http import Client
from publish.media.inspection import Inspector
from publish.media.library import MediaLibrary
from publish.media.uploads import Uploads
from publish.posting import many
from publish.posting.edits import Edits
from publish.posting.errors import PostError
from publish.posting.link_preview import Previews
from publish.posting.listing import PostListing
from publish.posting.occurrences import OccurrenceSweep
from publish.posting.post_store import PostFilter, StoredPost
from publish.posting.posts import Posts
from publish.posting.recurrences import Recurrences, Saved
from publish.posting.requests import EditBody, PostBody, RecurrenceBody, RecurrenceEdit, ShareBody, read
from schema.tenancy import DEFAULT_TENANT
from tests.linked_site import linked_site
from tests.posting import Posting, posting
from tests.rig import LIMITS, Rig

AUTHOR = Actor("author@example.org")


@dataclass(repr=False)
class Sharer:
    """Somebody who shares pages of ``site`` at one account of LinkedIn and one page of Facebook."""

    publishing: Posting
    posts: Posts
    linkedin: str
    facebook: str
    site: str
    asked: list[str]

    async def made(self, link: dict[str, str], *accounts: str, **more: Any) -> tuple[StoredPost, list[str]]:
        """A post with a link, and what was said of it."""
        targets = [{"connection": id_} for id_ in accounts or (self.linkedin,)]
        body = read(PostBody, {"content": "Tea", "link": link, "targets": targets, **more})
        created = await self.posts.create(DEFAULT_TENANT, AUTHOR, body)
        assert created.post is not None
        return created.post, [finding["message"] for finding in created.findings]

    async def edit(self, id_: str, **fields: Any) -> Any:
        body = read(EditBody, fields)
        return await Edits(self.posts).edit(DEFAULT_TENANT, AUTHOR, id_, body, may_approve=False)

    async def share(self, path: str, **more: Any) -> many.Shared:
        body = read(ShareBody, {"url": f"{self.site}/{path}", **more})
        return await many.share(self.posts, DEFAULT_TENANT, AUTHOR, body)


@pytest.fixture
async def sharer(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sharer]:
    async with posting(rig) as found, Client(frozenset()) as client:
        [linkedin] = await rig.connect("linkedin")
        pages = await rig.connect("facebook")
        [facebook] = [id_ for id_ in pages if (await rig.shown(id_))["username"] == "Shop"]
        async with linked_site(monkeypatch) as (site, asked):
            posts = replace(found.posts, previews=Previews(client))
            yield Sharer(found, posts, linkedin, facebook, site, asked)


async def test_card_of_an_article_is_what_the_page_says_of_itself(sharer: Sharer) -> None:
    url = f"{sharer.site}/tea"
    post, said = await sharer.made({"url": url}, action="publish")
    card = {"title": "All about tea", "description": "Green & black", "image": f"{sharer.site}/cup.jpg"}
    assert (post.link, said) == ({"url": url, **card}, [])
    assert (await sharer.publishing.run(post.targets[0].id))["state"] == "published"
    [shown] = await sharer.publishing.shown("linkedin")
    article = shown["options"]["content"]["article"]
    assert article == {"source": url, "title": "All about tea", "description": "Green & black"}


@pytest.fixture
async def pictured(sharer: Sharer) -> AsyncIterator[Sharer]:
    """One whose pictures of pages are taken into the library."""
    rig = sharer.publishing.rig
    library = MediaLibrary(rig.pool, rig.uploads.storage, rig.url)
    async with Client(frozenset()) as client:
        uploads = Uploads(rig.pool, rig.uploads.storage, Inspector(), client, LIMITS)
        driver = replace(sharer.publishing.driver, media=library)
        posts = replace(sharer.posts, files=library, pictures=uploads)
        yield replace(sharer, posts=posts, publishing=replace(sharer.publishing, driver=driver))


@pytest.mark.parametrize(("path", "content_type"), [("tea", "image/jpeg"), ("webp", "image/jpeg")])
async def test_card_of_an_article_has_the_picture_of_the_page(pictured: Sharer, path: str, content_type: str) -> None:
    post, said = await pictured.made({"url": f"{pictured.site}/{path}"}, action="publish")
    file = post.link["image_media"]
    [row] = await pictured.publishing.rig.raw("SELECT content_type, bytes FROM media WHERE id = $1::uuid", file)
    assert (said, row["content_type"]) == ([], content_type)
    assert (await pictured.publishing.rig.api("DELETE", f"/api/media/{file}"))[0] == 409, "it is held until then"
    row = await pictured.publishing.run(post.targets[0].id)
    assert row["state"] == "published", dict(row)
    [shown] = await pictured.publishing.shown("linkedin")
    [urn] = json.loads(row["kept"])["urns"]
    assert shown["options"]["content"]["article"]["thumbnail"] == urn
    assert (await pictured.publishing.rig.api("DELETE", f"/api/media/{file}"))[0] in (200, 204)
    pictured.asked.clear()
    other, _ = await pictured.made({"url": f"{pictured.site}/{path}"}, pictured.facebook, content="Coffee")
    assert ("image_media" in other.link, pictured.asked) == (False, [f"/{path}"]), "who reads pages needs no file"


async def test_article_whose_picture_cannot_be_taken_or_processed_is_shared_without_it(pictured: Sharer) -> None:
    link = {"url": f"{pictured.site}/broken"}
    post, said = await pictured.made(link, action="publish")
    assert ("image_media" in post.link, len(said)) == (False, 1)
    assert "The picture of the page was not taken: The address answers with 404" in said[0]
    assert (await pictured.publishing.run(post.targets[0].id))["state"] == "published"
    post, _ = await pictured.made({"url": f"{pictured.site}/tea"}, action="publish", content="Coffee")
    failed = {"endpoint": "GET */images/*", "status": 200, "body": {"status": "PROCESSING_FAILED"}, "times": 5}
    await pictured.publishing.rig.sandbox.command("faults", platform="linkedin", **failed)
    row = await pictured.publishing.run(post.targets[0].id)
    assert row["state"] == "published", dict(row)
    for shown in await pictured.publishing.shown("linkedin"):
        assert "thumbnail" not in shown["options"]["content"]["article"]


async def test_change_keeps_the_picture_of_the_same_page_and_takes_that_of_another(pictured: Sharer) -> None:
    post, _ = await pictured.made({"url": f"{pictured.site}/tea"})
    file = post.link["image_media"]
    pictured.asked.clear()
    same = await pictured.edit(post.id, link={"url": f"{pictured.site}/tea"})
    assert (same.changed, same.post.link["image_media"], pictured.asked) == (False, file, [])
    other = await pictured.edit(post.id, link={"url": f"{pictured.site}/webp"})
    assert (other.changed, other.post.link["image_media"] != file) == (True, True)
    own = await pictured.edit(post.id, link={"url": f"{pictured.site}/webp", "image_media": file})
    assert own.post.link["image_media"] == file, "one that is named comes first"
    with pytest.raises(PostError, match="There is no file"):
        await pictured.made({"url": f"{pictured.site}/tea", "image_media": post.id}, content="Coffee")


async def test_what_is_given_comes_before_what_the_page_says(sharer: Sharer) -> None:
    link = {"url": f"{sharer.site}/tea", "title": "Mine", "description": ""}
    post, _ = await sharer.made(link)
    assert post.link == {"url": link["url"], "title": "Mine", "image": f"{sharer.site}/cup.jpg"}
    whole, _ = await sharer.made({**link, "image": ""})
    assert (whole.link, sharer.asked) == ({"url": link["url"], "title": "Mine"}, ["/tea"]), "nothing is lacking"


@pytest.mark.parametrize(
    ("path", "why"), [("inside", "no server on the internet"), ("picture", "no HTML page"), ("gone", "status 404")]
)
async def test_page_without_a_preview_harms_no_post(sharer: Sharer, path: str, why: str) -> None:
    link = {"url": f"{sharer.site}/{path}"}
    post, said = await sharer.made(link, sharer.facebook, action="publish")
    assert (post.link, len(said)) == (link, 1)
    assert why in said[0]
    assert (await sharer.publishing.run(post.targets[0].id))["state"] == "published"
    with pytest.raises(PostError, match="needs a title") as caught:
        await sharer.made(link, action="publish")
    findings: Any = caught.value.details["findings"]
    assert [finding["code"] for finding in findings] == ["option_missing", "link_preview"]
    assert why in findings[1]["message"]


async def test_change_keeps_the_card_of_the_same_page_and_looks_at_another_one(sharer: Sharer) -> None:
    url = f"{sharer.site}/tea"
    post, _ = await sharer.made({"url": url, "title": "Mine"})
    sharer.asked.clear()
    same = await sharer.edit(post.id, link={"url": url})
    assert (same.changed, same.post.link, sharer.asked) == (False, post.link, [])
    other = await sharer.edit(post.id, link={"url": f"{url}?b"})
    assert (other.post.version, other.post.link["title"], sharer.asked) == (2, "All about tea", ["/tea?b"])
    await sharer.edit(post.id, content="Coffee")
    assert sharer.asked == ["/tea?b"], "a change of something else looks at nothing"


async def test_shared_page_is_looked_at_once_and_stays_the_same_post(sharer: Sharer) -> None:
    accounts = [sharer.linkedin, sharer.facebook]
    shared = await sharer.share("tea", accounts=accounts)
    assert [(result.result, shared.note) for result in shared.results] == [("created", None), ("created", None)]
    assert sharer.asked == ["/tea"]
    assert shared.created.post is not None
    assert (shared.created.post.content, shared.created.post.link["title"]) == ("", "All about tea")
    again = await sharer.share("tea", accounts=accounts, description="Other words")
    assert [result.result for result in again.results] == ["exists", "exists"]


async def test_share_of_a_page_without_a_preview_says_why(sharer: Sharer) -> None:
    shared = await sharer.share("gone", accounts=[sharer.facebook], message="Tea")
    assert shared.note is not None
    assert ("status 404" in shared.note.message, shared.results[0].result) == (True, "created")
    with pytest.raises(PostError) as caught:
        await sharer.share("gone", accounts=[sharer.linkedin], message="Tea")
    findings: Any = caught.value.details["findings"]
    assert "status 404" in findings[-1]["message"]


async def test_page_of_what_repeats_is_looked_at_once_and_shown_by_each_occurrence(
    sharer: Sharer, monkeypatch: pytest.MonkeyPatch
) -> None:
    recurrences, url = Recurrences(sharer.posts), f"{sharer.site}/tea"
    start = f"{datetime.now(UTC) + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"

    async def saved(link: dict[str, str], **more: Any) -> Saved:
        post = {"content": "Tea", "link": link, "targets": [{"connection": sharer.linkedin}], **more}
        body = read(RecurrenceBody, {"post": post, "rule": "FREQ=DAILY;COUNT=20", "start_time": start})
        return await recurrences.create(DEFAULT_TENANT, AUTHOR, body)

    made = await saved({"url": url})
    assert made.recurrence is not None
    id_, card = made.recurrence.stored.id, {"title": "All about tea", "description": "Green & black"}
    shown = {"url": url, **card, "image": f"{sharer.site}/cup.jpg", "image_media": None}
    assert made.recurrence.stored.template["link"] == shown
    await sharer.publishing.driver.drain()  # which gets to know the database
    assert await OccurrenceSweep(sharer.posts).drain() == 7
    shown = (await PostListing(sharer.posts).page(DEFAULT_TENANT, PostFilter())).posts
    assert {(post.link["title"], post.link["description"]) for post in shown} == {tuple(card.values())}
    assert sharer.asked == ["/tea"]
    same = await recurrences.edit(
        DEFAULT_TENANT, AUTHOR, id_, read(RecurrenceEdit, {"post": {"link": {"url": url}}}), may_approve=False
    )
    assert (same.changed, sharer.asked) == (False, ["/tea"])
    monkeypatch.setattr("tests.linked_site.TEA", "<title>Coffee now</title>")
    again = await saved({"url": url})
    assert again.recurrence is not None
    assert (again.changed, again.recurrence.stored.id) == (False, id_), "the page alone says something else"
    assert (await saved({"url": url, "title": "Mine"})).changed
    with pytest.raises(PostError, match="needs a title") as caught:
        await saved({"url": f"{sharer.site}/gone"})
    findings: Any = caught.value.details["findings"]
    assert [finding["code"] for finding in findings][:2] == ["option_missing", "link_preview"]
