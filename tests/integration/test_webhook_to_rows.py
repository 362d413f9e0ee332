"""One signed request through the real processes, from HTTP to rows."""

import asyncpg

from tests.support import Service, comment, drained, instagram, rows, split_into, tiktok


async def test_signed_webhooks_become_rows(service: Service, connection: asyncpg.Connection) -> None:
    status, answer = await service.send("instagram", instagram(comment(1, text="first!")))
    assert (status, await split_into(connection, answer)) == (200, (1, 1))
    status, answer = await service.send("instagram", instagram(comment(1, text="first!")))
    assert (status, await split_into(connection, answer)) == (200, (1, 0)), "it is acknowledged and counts once"
    content = {"publish_id": "v_pub_file~v2-1.1", "publish_type": "DIRECT_POST"}
    assert (await service.send("tiktok", tiktok("post.publish.complete", content)))[0] == 200
    await drained(connection)

    [written] = await rows(connection, "ig_comments")
    assert (written["ig_id"], written["text"]) == ("178500000001", "first!")
    [media] = await rows(connection, "ig_media")
    assert (media["ig_id"], media["placeholder"]) == (written["media_ig_id"], True)
    [post] = await rows(connection, "tiktok_posts")
    assert (post["publish_id"], post["status"]) == ("v_pub_file~v2-1.1", "PUBLISH_COMPLETE")
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 3
    assert await connection.fetchval("SELECT count(*) FROM webhook_events WHERE processed_at IS NOT NULL") == 2
