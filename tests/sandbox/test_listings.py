"""Pages, caps and cursors of Graph's listings, and fields that are refused (``meta.md`` 10.1, 10.2, 10.7)."""

from typing import Any

import pytest

from tests.sandbox.conftest import Stand, code
from tests.sandbox.reading import act, commented, graph, ids, newest, platform_of, token, walked


async def posted(stand: Stand, count: int) -> list[str]:
    """The ids of so many posts of the shop's, a minute apart, newest first."""
    found = []
    for number in range(count):
        found.append((await act(stand, "publish", text=str(number)))["id"])
        await stand.command("clock", jump=60)
    return found[::-1]


@pytest.mark.parametrize("login", ["instagram", "facebook"])
async def test_listing_ends_at_its_cap_whatever_time_is_asked_for(stand: Stand, login: str) -> None:
    secret, account = token(stand, login), platform_of(stand).instagram.people["shop"].user_id
    made = await posted(stand, 8)
    await stand.command("limits", platform=login, listed=5)
    path = f"{account}/media"
    assert ids(await walked(stand, secret, path, login, fields="id", limit=2)) == made[:5]
    beyond = str(int(stand.server.simulation.clock.seconds()) - 6 * 60)
    assert ids(await walked(stand, secret, path, login, until=beyond)) == []
    assert (await graph(stand, secret, made[7], login))["id"] == made[7], "by its id it is there"
    await stand.command("limits", platform=login, listed=None)
    assert len(ids(await walked(stand, secret, path, login))) == 12


async def test_page_that_weighs_too_much_is_refused_until_less_is_asked_for(stand: Stand) -> None:
    """``meta.md`` 10.7: halve ``limit``, then drop fields."""
    secret, media = token(stand), newest(stand)
    top = await commented(stand, media)
    for _ in range(9):
        await commented(stand, top)
    await stand.command("limits", platform="instagram", page_weight=10)
    path = "me/media"
    heavy = await graph(stand, secret, path, fields="id,caption,timestamp", limit=4)
    assert (heavy["status"], code(heavy)) == (500, (1, None))
    assert "Please reduce the amount of data" in heavy["error"]["message"]
    assert len((await graph(stand, secret, path, fields="id,caption,timestamp", limit=3))["data"]) == 3
    assert len((await graph(stand, secret, path, fields="id", limit=4))["data"]) == 4
    nested = await graph(stand, secret, f"{media}/comments", fields="id,replies{id}")
    assert code(nested) == (1, None), "what is expanded weighs too"


async def test_withheld_comment_leaves_its_page_shorter(stand: Stand) -> None:
    """``meta.md`` 10.7: stop where ``next`` is absent, not where a page is short or empty."""
    secret, media = token(stand), newest(stand)
    kinds = ["", "", "age_gated", "age_gated", "", "live", ""]
    made = [await commented(stand, media, kind=kind) for kind in kinds][::-1]
    pages = await walked(stand, secret, f"{media}/comments", limit=2)
    assert [len(page) for page in pages] == [1, 1, 1, 1]
    assert ids(pages) == [id_ for id_, kind in zip(made, kinds[::-1], strict=True) if not kind]
    for id_ in made[1:3]:
        await act(stand, "remove", id=id_)
    pages = await walked(stand, secret, f"{media}/comments", limit=1)
    assert [len(page) for page in pages] == [1, 0, 0, 1, 1], "two that are empty, with a next"


async def test_pages_are_shorter_than_asked_for_and_nothing_is_left_out(stand: Stand) -> None:
    secret = token(stand)
    made = await posted(stand, 6)
    await stand.command("limits", platform="instagram", short_pages=1)
    pages = await walked(stand, secret, "me/media", fields="id", limit=4)
    assert ids(pages)[:6] == made
    assert len(ids(pages)) == 10
    assert all(len(page) < 4 for page in pages[:-1])


@pytest.mark.parametrize(
    ("variant", "found"), [("goes_on", [2, 3, 4, 5]), ("skips", [3, 4, 5]), ("refused", (100, None))]
)
async def test_cursor_whose_object_was_deleted(stand: Stand, variant: str, found: Any) -> None:
    secret = token(stand)
    made = await posted(stand, 6)
    await stand.command("variants", platform="instagram", name="lost_cursor", variant=variant)
    first = await graph(stand, secret, "me/media", fields="id", limit=2)
    await act(stand, "remove", id=made[1])
    answer = await graph(stand, secret, "me/media", after=first["paging"]["cursors"]["after"], limit=4)
    if variant == "refused":
        assert code(answer) == found
    else:
        assert [made.index(id_) for id_ in ids([answer["data"]]) if id_ in made] == found


async def test_deletion_above_leaves_what_follows_a_cursor_in_place_except_where_cursors_are_numbers(
    stand: Stand,
) -> None:
    secret = token(stand)
    made = await posted(stand, 6)
    first = await graph(stand, secret, "me/media", fields="id", limit=3)
    query = {"after": first["paging"]["cursors"]["after"], "limit": 1}
    await act(stand, "remove", id=made[0])
    assert (await graph(stand, secret, "me/media", **query))["data"][0]["id"] == made[3]
    await act(stand, "remove", id=made[2])
    assert (await graph(stand, secret, "me/media", **query))["data"][0]["id"] == made[3], "and the object itself"
    await stand.command("variants", platform="instagram", name="lost_cursor", variant="skips")
    assert (await graph(stand, secret, "me/media", **query))["data"][0]["id"] == made[5], "two are left out"


async def test_cursor_expires(stand: Stand) -> None:
    """``meta.md`` 10.7: do not keep cursors."""
    secret = token(stand)
    await stand.command("limits", platform="instagram", cursor_seconds=60)
    first = await graph(stand, secret, "me/media", fields="id", limit=2)
    query = {"after": first["paging"]["cursors"]["after"]}
    assert len((await graph(stand, secret, "me/media", **query))["data"]) == 2
    await stand.command("clock", jump=62)
    assert code(await graph(stand, secret, "me/media", **query)) == (100, None)


async def test_replies_below_50_are_walked_by_their_own_edge(stand: Stand) -> None:
    """``meta.md`` 10.2: expanded replies are one page."""
    secret, media = token(stand), newest(stand)
    top = await commented(stand, media)
    below = [await commented(stand, top, str(number)) for number in range(60)]
    [comment] = (await graph(stand, secret, f"{media}/comments", fields="id,replies.limit(50){id}"))["data"]
    assert [reply["id"] for reply in comment["replies"]["data"]] == below[:50]
    assert "next" in comment["replies"]["paging"]
    pages = await walked(stand, secret, f"{top}/replies", fields="id", limit=500)
    assert [len(page) for page in pages] == [50, 10]
    assert ids(pages) == below


async def test_fields_are_refused_to_one_account_and_names_are_absent_without_a_refusal(stand: Stand) -> None:
    """``meta.md`` 10.2 and T23 of 14: as a whole, with code 100."""
    secret, other = token(stand), token(stand, account="alice")
    media, others = newest(stand), newest(stand, "alice")
    comment = await commented(stand, media, by="fan_1")
    await commented(stand, others, account="alice")
    settings: dict[str, Any] = {"refused_fields": ["from", "parent_id"]}
    await stand.command("account", platform="instagram", account="shop", settings=settings)
    for fields in ("id,text,from{id}", "id,parent_id", "id,replies{id,from}"):
        await commented(stand, comment)
        assert code(await graph(stand, secret, f"{media}/comments", fields=fields)) == (100, None), fields
    assert "from" in (await graph(stand, other, f"{others}/comments", fields="id,from"))["data"][0]
    assert (await graph(stand, secret, comment, fields="username,text"))["username"] == "fan_1"
    await stand.command("account", platform="instagram", account="shop", settings={"names_absent": True})
    assert set(await graph(stand, secret, comment, fields="username,text")) == {"text", "id"}
    await stand.command("account", platform="instagram", account="shop", settings={"names_absent": False})
    await stand.command("object", platform="instagram", id=comment, settings={"author_absent": True})
    assert set(await graph(stand, secret, comment, fields="username,text")) == {"text", "id"}
    assert "settings are" in await stand.refused(
        "account", platform="instagram", account="shop", settings={"refused_fields": "from"}
    )


async def test_either_login_names_an_account_by_its_own_id(stand: Stand) -> None:
    """``meta.md`` 0 and 7.1."""
    person = platform_of(stand).instagram.people["shop"]
    own = await graph(stand, token(stand), "me", fields="id,user_id,account_type")
    assert (own["id"], own["user_id"]) == (person.scoped_id, person.user_id)
    secret = token(stand, "facebook")
    behind = await graph(stand, secret, person.user_id, "facebook", fields="id,username,followers_count,biography")
    assert (behind["id"], behind["username"]) == (person.user_id, "shop")
    assert code(await graph(stand, secret, person.user_id, "facebook", fields="account_type")) == (100, None)


async def test_media_of_another_owner_is_listed_and_says_so(stand: Stand) -> None:
    secret, media = token(stand), newest(stand)
    person = platform_of(stand).instagram.people["shop"]
    await stand.command("object", platform="instagram", id=media, settings={"collab": True, "file_absent": True})
    fields = "id,owner,username,media_url,collaborators{id,username}"
    found = (await graph(stand, secret, "me/media", fields=fields, limit=1))["data"][0]
    assert found["owner"]["id"] != person.user_id
    assert found["username"] != "shop"
    assert found["collaborators"]["data"] == [{"id": person.user_id, "username": "shop"}]
    assert "media_url" not in found
