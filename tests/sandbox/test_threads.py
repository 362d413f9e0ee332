"""``meta.md`` by its numbers for Threads, and a client that nobody here wrote."""

import asyncio
from typing import Any
from urllib.parse import urlencode

import pytest
from pyfacebook import FacebookError, ThreadsGraphAPI

from ops.sandbox.platforms.threads import Threads
from ops.sandbox.server import MEDIA
from tests.sandbox.conftest import Receiver, Stand, code, until

CALLBACK = "https://app.example/callback/threads"
DAY = 86_400
CLIP = (MEDIA / "clip.mp4").read_bytes()


def threads(stand: Stand) -> Any:
    return stand.server.simulation.platforms["threads"]


async def connected(stand: Stand, account: str = "alice") -> Any:
    """By a stranger's client, as far as it follows the page: it asks for the long token at another address."""
    base = f"{stand.url}/threads"
    await stand.command("redirects", platform="threads", redirect_uri=CALLBACK)
    client = ThreadsGraphAPI(
        Threads.client_id,
        threads(stand).client_secret,
        oauth_flow=True,
        version="v1.0",
        base_url=f"{base}/",
        authorization_url=f"{base}/oauth/authorize",
        access_token_url=f"{base}/oauth/access_token",
    )
    address, _ = client.get_authorization_url(redirect_uri=CALLBACK, scope=list(Threads.scopes))
    answer = await stand.consent(address, account=account)
    whole = f"{CALLBACK}?{urlencode(answer)}"
    short = await asyncio.to_thread(client.exchange_user_access_token, whole, CALLBACK, scope=list(Threads.scopes))
    assert short["user_id"] == int(threads(stand).users[account]), "a bare number of 17 digits"
    query = {"grant_type": "th_exchange_token", "client_secret": threads(stand).client_secret}
    found = await stand.get("/threads/access_token", **query, access_token=short["access_token"])
    assert found["expires_in"] == 5_183_944
    client.access_token = found["access_token"]
    return client


async def post(stand: Stand, client: Any, **params: Any) -> Any:
    form = params | {"access_token": client.access_token}
    return await stand.call("POST", "/threads/v1.0/me/threads", data=form)


async def publish(stand: Stand, client: Any, container: str) -> Any:
    form = {"creation_id": container, "access_token": client.access_token}
    return await stand.call("POST", "/threads/v1.0/me/threads_publish", data=form)


async def said(stand: Stand, client: Any, **params: Any) -> str:
    made = await post(stand, client, media_type="TEXT", **params)
    await stand.command("clock", jump=8)
    return str((await publish(stand, client, made["id"]))["id"])


async def test_strangers_client_reads_and_refreshes_after_24_hours(stand: Stand) -> None:
    client = await connected(stand)
    me = await asyncio.to_thread(client.get_object, "me", fields="id,username")
    assert me["username"] == "alice"
    with pytest.raises(FacebookError, match="24 hours"):
        await asyncio.to_thread(client.refresh_access_token, client.access_token)
    await stand.command("clock", jump=DAY + 1)
    refreshed = await asyncio.to_thread(client.refresh_access_token, client.access_token)
    client.access_token = refreshed["access_token"]
    listed = await asyncio.to_thread(client.get_connection, "me", "threads", fields="id,text,media_type")
    assert {item["media_type"] for item in listed["data"]} == {"TEXT_POST"}


async def test_even_a_text_is_not_there_at_once_and_its_status_is_gone_afterwards(stand: Stand) -> None:
    client = await connected(stand)
    made = await post(stand, client, media_type="TEXT", text="hello")
    early = await publish(stand, client, made["id"])
    assert (*code(early), early["error"]["type"]) == (24, 4279009, "THApiException")
    await stand.command("clock", jump=8)
    query = {"fields": "status,error_message", "access_token": client.access_token}
    assert (await stand.get(f"/threads/{made['id']}", **query))["status"] == "FINISHED"
    media = await publish(stand, client, made["id"])
    assert code(await stand.get(f"/threads/{made['id']}", **query)) == (100, None)
    assert code(await publish(stand, client, made["id"])) == (24, 4279009)
    assert [entry["id"] for entry in await stand.ledger("post")] == [media["id"]]


@pytest.mark.parametrize(
    ("params", "taken"),
    [
        ({"text": "x" * 500}, True),
        ({"text": "x" * 501}, False),
        ({"text": "😀" * 125}, True),
        ({"text": "😀" * 125 + "x"}, False),
        ({"text": " ".join(f"https://a.example/{n}" for n in range(5))}, True),
        ({"text": " ".join(f"https://a.example/{n}" for n in range(6))}, False),
        ({"text": "https://a.example/ " * 9}, True),
        (
            {"text": " ".join(f"https://a.example/{n}" for n in range(5)), "link_attachment": "https://b.example/"},
            False,
        ),
        ({"text": "x", "topic_tag": "t" * 50}, True),
        ({"text": "x", "topic_tag": "t" * 51}, False),
        ({"text": "x", "topic_tag": "a.b"}, False),
        ({"text": "x", "reply_control": "nobody"}, False),
        ({"text": "x", "reply_to_id": "1"}, False),
        ({}, False),
    ],
)
async def test_texts_links_and_tags_at_their_limits(stand: Stand, params: dict[str, str], *, taken: bool) -> None:
    client = await connected(stand)
    assert ("id" in await post(stand, client, media_type="TEXT", **params)) is taken


async def test_files_are_fetched_later_and_the_container_says_why_not(stand: Stand, receiver: Receiver) -> None:
    client = await connected(stand)
    receiver.files |= {"bad.mp4": CLIP + b"corrupt", "odd.mp4": CLIP + b"unknown", "text.jpg": b"words"}
    wanted = {
        "picture.jpg": ("FINISHED", None),
        "clip.mp4": ("FINISHED", None),
        "bad.mp4": ("ERROR", "FAILED_PROCESSING_VIDEO"),
        "odd.mp4": ("ERROR", "UNKNOWN"),
        "none.mp4": ("ERROR", "FAILED_DOWNLOADING_VIDEO"),
        "text.jpg": ("ERROR", "INVALID_ASPEC_RATIO"),
    }
    made = {}
    for name in wanted:
        kind, key = ("IMAGE", "image_url") if name.endswith("jpg") else ("VIDEO", "video_url")
        answer = await post(stand, client, media_type=kind, **{key: f"{receiver.media}/{name}"})
        made[name] = answer["id"]
    containers = threads(stand).containers
    await until(lambda: all(containers[id_].error or containers[id_].ready for id_ in made.values()))
    await stand.command("clock", jump=41)
    query = {"fields": "status,error_message", "access_token": client.access_token}
    found = {name: await stand.get(f"/threads/{id_}", **query) for name, id_ in made.items()}
    assert {name: (item["status"], item.get("error_message")) for name, item in found.items()} == wanted
    carousel = [
        (
            await post(
                stand, client, media_type="IMAGE", image_url=f"{receiver.media}/picture.jpg", is_carousel_item="true"
            )
        )
        for _ in range(2)
    ]
    children = ",".join(item["id"] for item in carousel)
    parent = await post(stand, client, media_type="CAROUSEL", children=children, text="two")
    assert code(await publish(stand, client, parent["id"])) == (24, 4279009)
    await until(lambda: all(containers[item["id"]].ready for item in carousel))
    await stand.command("clock", jump=11)
    assert "id" in await publish(stand, client, parent["id"])
    alone = await post(stand, client, media_type="CAROUSEL", children=carousel[0]["id"])
    assert code(alone) == (100, None)


async def test_quotas_are_250_posts_1000_replies_and_100_deletions(stand: Stand) -> None:
    client = await connected(stand)
    first = await said(stand, client, text="first")
    now = stand.server.simulation.clock.now()
    threads(stand)._used |= {("alice", "post"): [now] * 250, ("alice", "reply"): [now] * 999}
    fields = "quota_usage,config,reply_quota_usage,reply_config,delete_config"
    limit = await stand.get("/threads/me/threads_publishing_limit", fields=fields, access_token=client.access_token)
    assert limit["data"] == [
        {
            "quota_usage": 250,
            "config": {"quota_total": 250, "quota_duration": 86_400},
            "reply_quota_usage": 999,
            "reply_config": {"quota_total": 1000, "quota_duration": 86_400},
            "delete_config": {"quota_total": 100, "quota_duration": 86_400},
        }
    ]
    made = await post(stand, client, media_type="TEXT", text="one more")
    replies = [await post(stand, client, media_type="TEXT", text=f"r{n}", reply_to_id=first) for n in range(2)]
    await stand.command("clock", jump=8)
    assert code(await publish(stand, client, made["id"]))[0] == 9
    assert "id" in await publish(stand, client, replies[0]["id"])
    assert code(await publish(stand, client, replies[1]["id"]))[0] == 9
    threads(stand)._used["alice", "delete"] = [now] * 100
    path = f"/threads/{first}?access_token={client.access_token}"
    assert code(await stand.call("DELETE", path))[0] == 9
    await stand.command("clock", jump=DAY)
    assert (await stand.call("DELETE", path))["success"]


async def test_replies_mentions_posts_and_deletions_are_told_flat(stand: Stand, receiver: Receiver) -> None:
    await stand.command("webhooks", platform="threads", url=receiver.url, verify_token=receiver.token)
    client = await connected(stand)
    mine = await said(stand, client, text="mine")
    answer = {"platform": "threads", "account": "alice"}
    reply = (await stand.command("act", what="comment", post=mine, by="fan_2", text="oh", **answer))["id"]
    below = (await stand.command("act", what="comment", post=reply, by="fan_3", text="my", **answer))["id"]
    threads(stand)._mention("alice")
    stand.server.wake()
    await stand.call("DELETE", f"/threads/{mine}?access_token={client.access_token}")
    came = {r.json["values"]["field"] + r.json["values"]["value"]["id"]: r.json for r in await receiver.until(5)}
    published, first, second = came[f"publish{mine}"], came[f"replies{reply}"], came[f"replies{below}"]
    assert (published["topic"], first["topic"]) == ("interaction", "moderate")
    assert first["target_id"] == reply
    assert first["values"]["value"]["root_post"]["owner_id"] == threads(stand).users["alice"]
    assert second["values"]["value"]["replied_to"]["id"] == reply
    assert second["values"]["value"]["root_post"]["id"] == mine
    assert came[f"delete{mine}"]["values"]["value"]["owner"]["owner_id"] == threads(stand).users["alice"]
    [mention] = [item for key, item in came.items() if key.startswith("mentions")]
    assert mention["target_id"] == threads(stand).users["alice"]
    assert {item["subscription_id"] for item in came.values()} == {threads(stand).subscriptions["alice"]}
    assert all("entry" not in item and "object" not in item for item in came.values())
    await stand.command("variants", platform="threads", name="values", variant="list")
    await stand.command("act", what="publish", text="more", **answer)
    assert isinstance((await receiver.until(6))[-1].json["values"], list)


async def test_conversation_goes_all_the_way_down_and_hiding_takes_what_is_below(stand: Stand) -> None:
    client = await connected(stand)
    mine = await said(stand, client, text="mine")
    act = {"platform": "threads", "account": "alice", "what": "comment"}
    reply = (await stand.command("act", post=mine, text="a", **act))["id"]
    below = (await stand.command("act", post=reply, text="b", **act))["id"]
    query = {"access_token": client.access_token, "fields": "id,hide_status"}
    assert [item["id"] for item in (await stand.get(f"/threads/{mine}/replies", **query))["data"]] == [reply]
    assert [i["id"] for i in (await stand.get(f"/threads/{mine}/conversation", **query))["data"]] == [below, reply]
    hide = {"hide": "true", "access_token": client.access_token}
    assert code(await stand.call("POST", f"/threads/{below}/manage_reply", data=hide)) == (100, None)
    assert (await stand.call("POST", f"/threads/{reply}/manage_reply", data=hide))["success"]
    shown = (await stand.get(f"/threads/{mine}/conversation", **query))["data"]
    assert {item["hide_status"] for item in shown} == {"HIDDEN"}


async def test_what_it_does_not_know_is_refused_in_its_envelope(stand: Stand) -> None:
    client = await connected(stand)
    for method, path, expected in (
        ("GET", "/threads/v1.0/no/where/at/all", 2500),
        ("GET", "/threads/12345", 100),
        ("POST", "/threads/me/threads?media_type=SONG", 100),
        ("POST", "/threads/me/threads_publish?creation_id=1", 24),
        ("POST", "/threads/12345/manage_reply", 100),
        ("GET", "/threads/me?fields=shoe_size", 100),
        ("DELETE", "/threads/12345", 100),
    ):
        joint = "&" if "?" in path else "?"
        answer = await stand.call(method, f"{path}{joint}access_token={client.access_token}")
        assert (answer["status"], code(answer)[0]) == (400, expected), path
    assert (await stand.call("POST", "/threads/oauth/access_token", data={}))["error_type"] == "OAuthException"


# --- the pages as they were changed (meta.md, 2026-11-27)

POLL = '{"option_a":"yes","option_b":"no"}'
LONG = '{"plaintext":"' + "x" * 10_000 + '"}'


@pytest.mark.parametrize(
    ("params", "taken"),
    [
        ({"media_type": "TEXT", "poll_attachment": POLL}, True),
        ({"media_type": "TEXT", "poll_attachment": '{"option_a":"yes"}'}, False),
        ({"media_type": "TEXT", "poll_attachment": '{"option_a":"yes","option_b":"' + "x" * 26 + '"}'}, False),
        ({"media_type": "IMAGE", "image_url": "picture.jpg", "poll_attachment": POLL}, False),
        ({"media_type": "TEXT", "text_attachment": LONG}, True),
        ({"media_type": "TEXT", "text_attachment": LONG.replace("xx", "xxx", 1)}, False),
        ({"media_type": "TEXT", "text_attachment": LONG, "poll_attachment": POLL}, False),
        ({"media_type": "TEXT", "is_spoiler_media": "true"}, False),
        ({"media_type": "IMAGE", "image_url": "picture.jpg", "is_spoiler_media": "true"}, True),
        (
            {
                "media_type": "TEXT",
                "link_attachment": "https://a.example/",
                "text_attachment": '{"plaintext":"p","link_attachment_url":"https://b.example/"}',
            },
            False,
        ),
    ],
)
async def test_extras_go_with_what_the_page_says(
    stand: Stand, receiver: Receiver, params: dict[str, str], *, taken: bool
) -> None:
    """``meta.md`` 9.3."""
    client = await connected(stand)
    if "image_url" in params:
        params = params | {"image_url": f"{receiver.media}/{params['image_url']}"}
    answer = await post(stand, client, text="x", **params)
    assert ("id" in answer) is taken, answer


async def read(stand: Stand, client: Any, id_: str, fields: str) -> Any:
    return await stand.get(f"/threads/v1.0/{id_}", fields=fields, access_token=client.access_token)


async def test_poll_in_the_wrong_form_is_silently_ignored(stand: Stand) -> None:
    """``meta.md`` 9.3 and T34 of 14."""
    client = await connected(stand)
    good = await said(stand, client, text="one", poll_attachment=POLL)
    bad = await said(stand, client, text="two", poll_attachment='{"options":["yes","no"]}')
    shown = await read(stand, client, good, "media_type,poll_attachment")
    assert (shown["media_type"], shown["poll_attachment"]["option_a"]) == ("TEXT_POST", "yes")
    assert shown["poll_attachment"]["total_votes"] == 0
    assert "poll_attachment" not in await read(stand, client, bad, "id,poll_attachment")


async def test_every_documented_field_can_be_read(stand: Stand) -> None:
    """``meta.md`` 10.6."""
    client = await connected(stand)
    fields = (
        "id,media_product_type,media_type,media_url,permalink,owner,username,text,timestamp,shortcode,thumbnail_url,"
        "children,is_quote_post,alt_text,link_attachment_url,has_replies,is_reply,is_reply_owned_by_me,root_post,"
        "replied_to,hide_status,reply_audience,quoted_post,reposted_post,gif_url,poll_attachment,topic_tag,"
        "is_spoiler_media,text_entities,text_attachment,location_id,is_verified,profile_picture_url,"
        "reply_approval_status,ghost_post_status,ghost_post_expiration_timestamp"
    )
    mine = await said(stand, client, text="mine")
    shown = await read(stand, client, mine, fields)
    assert shown["owner"] == {"id": threads(stand).users["alice"]}
    reply = (await stand.command("act", platform="threads", what="comment", account="alice", post=mine, text="r"))["id"]
    other = await read(stand, client, reply, fields)
    assert "owner" not in other, "only of one's own top-level posts"
    assert (other["is_reply_owned_by_me"], other["root_post"], other["replied_to"]) == (
        False,
        {"id": mine},
        {"id": mine},
    )


async def test_own_replies_have_an_edge_and_conversations_can_be_turned_round(stand: Stand) -> None:
    """``meta.md`` 10.6."""
    client = await connected(stand)
    top = await said(stand, client, text="top")
    own = await said(stand, client, text="own", reply_to_id=top)
    act = {"platform": "threads", "what": "comment", "account": "alice", "by": "fan_1"}
    fan = (await stand.command("act", **act, post=top, text="fan"))["id"]

    async def listed(path: str, **query: str) -> list[str]:
        found = await stand.get(f"/threads/{path}", fields="id", access_token=client.access_token, **query)
        return [item["id"] for item in found["data"]]

    assert await listed("me/replies") == [own]
    assert own not in await listed("me/threads")
    assert await listed(f"{top}/conversation") == [fan, own], "newest first"
    assert await listed(f"{top}/conversation", reverse="false") == [own, fan]
    now = int(stand.server.simulation.clock.seconds())
    assert await listed("me/threads", since=str(now + 5)) == []
    assert top in await listed("me/threads", since=str(now - 120))
    threads(stand)._mention("alice")
    [mention] = await listed("me/mentions")
    assert mention


async def test_replies_wait_for_approval_where_the_post_says_so(stand: Stand) -> None:
    """``meta.md`` 9.1."""
    client, bob = await connected(stand), await connected(stand, "bob")
    top = await said(stand, client, text="top", enable_reply_approvals="true")
    reply = await said(stand, bob, text="may I?", reply_to_id=top)
    query = {"fields": "id", "access_token": client.access_token}
    assert (await stand.get(f"/threads/{top}/replies", **query))["data"] == []
    assert (await stand.get(f"/threads/{top}/pending_replies", **query))["data"] == [{"id": reply}]
    form = {"approve": "true", "access_token": client.access_token}
    assert (await stand.call("POST", f"/threads/{reply}/manage_pending_reply", data=form))["success"]
    assert (await stand.get(f"/threads/{top}/replies", **query))["data"] == [{"id": reply}]


async def test_items_of_a_carousel_are_read_below_it_and_listed_nowhere(stand: Stand, receiver: Receiver) -> None:
    """``meta.md`` 9.1 and 10.6."""
    client = await connected(stand)
    item = {"media_type": "IMAGE", "image_url": f"{receiver.media}/picture.jpg", "is_carousel_item": "true"}
    children = [(await post(stand, client, alt_text="alt", **item))["id"] for _ in range(2)]
    await until(lambda: all(threads(stand).containers[child].ready for child in children))
    parent = await post(stand, client, media_type="CAROUSEL", children=",".join(children))
    await stand.command("clock", jump=41)
    made = (await publish(stand, client, parent["id"]))["id"]
    shown = await read(stand, client, made, "children{id,alt_text}")
    assert [child["alt_text"] for child in shown["children"]["data"]] == ["alt", "alt"]
    listed = await stand.get("/threads/me/threads", fields="id", access_token=client.access_token)
    ids = {entry["id"] for entry in listed["data"]}
    assert made in ids
    assert not ids & {child["id"] for child in shown["children"]["data"]}
    assert len(await stand.published("threads")) == 1


async def test_sharing_to_a_story_is_a_second_effect_that_may_fail(stand: Stand) -> None:
    """``meta.md`` 9.3: the post is published even if the share fails."""
    client = await connected(stand)
    for permitted, status, count in ((True, "SUCCESS", 2), (False, "FAILED", 3)):
        if not permitted:
            for token in threads(stand).tokens.values():
                token.scopes = [scope for scope in token.scopes if scope != "threads_share_to_instagram"]
        made = await post(stand, client, media_type="TEXT", text=status, crossreshare_to_ig="true")
        await stand.command("clock", jump=8)
        assert (await publish(stand, client, made["id"]))["crossreshare_to_ig_status"] == status
        assert len(await stand.published("threads")) == count


async def test_user_metrics_are_series_links_and_totals(stand: Stand) -> None:
    """``meta.md`` 10.5."""
    client = await connected(stand)
    now = int(stand.server.simulation.clock.seconds())

    async def asked(metric: str, **query: Any) -> Any:
        path = "/threads/v1.0/me/threads_insights"
        return await stand.get(path, metric=metric, access_token=client.access_token, **query)

    found = (await asked("views,clicks,likes", since=str(now - 3 * DAY), until=str(now)))["data"]
    assert len(found[0]["values"]) == 3
    assert found[1]["link_total_values"][0]["link_url"]
    assert found[2]["total_value"]["value"] > 0
    assert code(await asked("views", since="1712991599")) == (100, None), "there are none of before"
    assert code(await asked("impressions")) == (100, None)
    assert code(await asked("follower_demographics")) == (100, None)
    assert "data" in await asked("follower_demographics", breakdown="country")
