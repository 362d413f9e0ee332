"""Requests that nobody friendly would send: never a 500, never a dropped signed event, never more memory.

Rows E1 to E10 of ``faults.md``, over real sockets against the real processes.
"""

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from ingest.store import REFUSAL_BYTES, REFUSAL_SLOTS
from tests.support import (
    CANARIES,
    ENVIRONMENT,
    SIGN,
    Service,
    comment,
    drained,
    eventually,
    instagram,
    is_error,
    sign_meta,
    sign_tiktok,
    split_into,
    tiktok,
)

BODY_LIMIT = 2**20
QUEUE_BYTES = 4 * BODY_LIMIT
PATH = "/api/webhooks/instagram"
CLAIMED = f"X-Hub-Signature-256: sha256={'0' * 64}\r\n"
"""A signature that nobody made: without any the body is not read."""


@pytest.fixture
async def hostile(database: str, redis_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    running = Service(
        database,
        redis_url,
        tmp_path,
        {"LANDFALL_BODY_LIMIT": str(BODY_LIMIT), "LANDFALL_QUEUE_BYTES": str(QUEUE_BYTES)},
    )
    await running.start()
    yield running
    await running.stop()
    for log in (running.web.output(), running.worker.output()):
        assert "Traceback" not in log, log[-3000:]
        assert not any(canary in log for canary in (*CANARIES, password(database)))


def password(dsn: str) -> str:
    return urlsplit(dsn).password or ""


async def raw(port: int, payload: bytes, seconds: float = 5.0) -> bytes:
    """Whatever comes back for ``payload`` until the server closes or the time is up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = b""
    try:
        writer.write(payload)
        await writer.drain()
        async with asyncio.timeout(seconds):
            while chunk := await reader.read(65536):
                answer += chunk
    except (ConnectionError, TimeoutError):
        pass
    finally:
        writer.close()
    return answer


def rss(service: Service) -> int:
    return psutil.Process(service.web.pid).memory_info().rss


async def still_good(service: Service) -> None:
    status, answer = await service.send("instagram", instagram(comment(4711)))
    assert (status, list(answer)) == (200, ["delivery"])


async def test_e1_body_over_the_cap_is_refused_before_it_costs_memory(hostile: Service) -> None:
    body = b"x" * (BODY_LIMIT + 1)
    status, answer = await hostile.send("instagram", body)
    assert (status, answer["error"]["code"], answer["error"]["retryable"]) == (413, "body_too_large", False)
    before = rss(hostile)

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3200):  # 200 MiB, if anybody took it
            yield b"y" * 65536

    sent = 0
    reader, writer = await asyncio.open_connection("127.0.0.1", hostile.port)
    writer.write(f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{CLAIMED}Transfer-Encoding: chunked\r\n\r\n".encode())
    try:
        async with asyncio.timeout(30):
            async for chunk in endless():
                writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
                await writer.drain()
                sent += len(chunk)
                await asyncio.sleep(0.005)
    except ConnectionError:
        pass
    answer_line = b""
    try:
        async with asyncio.timeout(5):
            answer_line = await reader.readline()
    except (ConnectionError, TimeoutError):
        pass
    writer.close()
    assert answer_line in (b"", b"HTTP/1.1 413 Request Entity Too Large\r\n")
    assert sent < 50 * 2**20, "the connection was closed long before the end"
    assert rss(hostile) - before < 20 * 2**20
    await still_good(hostile)


async def test_unsigned_body_is_refused_before_it_is_read(hostile: Service, connection: asyncpg.Connection) -> None:
    for path in (PATH, "/api/webhooks/tiktok"):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_LIMIT}\r\n\r\n".encode()
        begun = asyncio.get_running_loop().time()
        answer = await raw(hostile.port, head + b"x")
        assert asyncio.get_running_loop().time() - begun < 2, "nobody waited for the rest, and the connection is closed"
        top, _, said = answer.partition(b"\r\n\r\n")
        assert top.startswith(b"HTTP/1.1 401")
        assert b"Connection: close" in top
        error = json.loads(said)["error"]
        assert (error["code"], error["details"]["reason"]) == ("invalid_signature", "missing")
    kept = await connection.fetch("SELECT provider, reason, body_size FROM webhook_refusals ORDER BY 1")
    assert [tuple(row) for row in kept] == [("instagram", "missing", 0), ("tiktok", "missing", 0)]


async def test_unfinished_bodies_leave_memory_for_signed_ones(hostile: Service) -> None:
    """Bodies one byte short, from four addresses: more than the memory for all of them, were nobody held to a share."""
    writers = []
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{CLAIMED}Content-Length: {BODY_LIMIT}\r\n\r\n".encode()
    for number in range(16):
        _, writer = await asyncio.open_connection(
            "127.0.0.1", hostile.port, local_addr=(f"127.0.0.{2 + number % 4}", 0)
        )
        writer.write(head + b"x" * (BODY_LIMIT - 1))
        writers.append(writer)
    await asyncio.wait([asyncio.create_task(writer.drain()) for writer in writers], timeout=2)
    big = instagram(comment(1, text="x" * 200_000))
    for number in range(40):
        async with asyncio.timeout(3):
            status, answer = await hostile.send("instagram", big if number % 4 == 0 else instagram(comment(number)))
        assert status == 200, answer
    for writer in writers:
        writer.close()


ENCODED = ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", "GZIP", "nonsense"]
NOT_ENCODED = ["", "  ", "identity", "Identity ", "identity, identity", ",", "identity,"]


@pytest.mark.parametrize("encoding", ENCODED)
async def test_e2_encoded_bodies_are_not_read(hostile: Service, encoding: str) -> None:
    bomb = {"gzip": gzip.compress(b"0" * 2**24), "deflate": zlib.compress(b"0" * 2**24)}.get(encoding, b"\x00\x01")
    status, answer = await hostile.send("instagram", bomb, sign_meta(bomb) | {"Content-Encoding": encoding})
    assert (status, answer["error"]["code"]) == (415, "content_encoding")


async def test_e2_body_that_is_announced_as_not_encoded_is_read(hostile: Service) -> None:
    body = instagram(comment(1))
    for encoding in NOT_ENCODED:
        status, answer = await hostile.send("instagram", body, sign_meta(body) | {"Content-Encoding": encoding})
        assert status == 200, (encoding, answer)


async def test_e2_every_content_encoding_header_counts(hostile: Service) -> None:
    body = instagram(comment(1))
    signature = f"X-Hub-Signature-256: {sign_meta(body)['X-Hub-Signature-256']}\r\n"
    for codings, status in ((("identity", "gzip"), 415), (("", "gzip"), 415), (("", "identity"), 200)):
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n{signature}"
        head += "".join(f"Content-Encoding: {coding}\r\n" for coding in codings)
        answer = await raw(hostile.port, f"{head}\r\n".encode() + body)
        assert answer.startswith(f"HTTP/1.1 {status}".encode()), (codings, answer)


async def test_address_with_a_slash_at_its_end_is_the_same_one(
    hostile: Service, connection: asyncpg.Connection
) -> None:
    body = instagram(comment(1))
    for path, new in ((PATH, 1), (f"{PATH}/", 0)):
        async with hostile.client.post(hostile.url + path, data=body, headers=sign_meta(body)) as response:
            assert response.status == 200
            assert await split_into(connection, await response.json()) == (1, new), path
        query = {"hub.mode": "subscribe", "hub.challenge": "1", "hub.verify_token": ENVIRONMENT["META_VERIFY_TOKEN"]}
        async with hostile.client.get(hostile.url + path, params=query) as response:
            assert (response.status, await response.text()) == (200, "1"), path
        async with hostile.client.post(hostile.url + path, data=body) as response:
            assert response.status == 401, path


async def test_e3_slow_senders_are_ended_and_do_not_hold_up_a_good_one(hostile: Service) -> None:
    async def drip(head: bytes, seconds: float) -> bytes:
        """What the server says before it ends the connection. A byte sent after the end resets it; the answer stays."""
        reader, writer = await asyncio.open_connection("127.0.0.1", hostile.port)
        said = b""

        async def listen() -> None:
            nonlocal said
            with suppress(ConnectionResetError):
                while more := await reader.read(200):
                    said += more

        writer.write(head)
        answer = asyncio.create_task(listen())
        for _ in range(int(seconds)):
            await asyncio.wait({answer}, timeout=1)
            if answer.done() or said:
                break
            writer.write(b"x")
        ended = answer.done() or bool(said)
        answer.cancel()
        writer.close()
        return said if ended else b"still open"

    slow_body = f"POST {PATH} HTTP/1.1\r\nHost: x\r\n{CLAIMED}Content-Length: 9000\r\n\r\n".encode()
    slow_head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nX-Slow: ".encode()
    tasks = [asyncio.create_task(drip(slow_body, 15)) for _ in range(250)]
    tasks += [asyncio.create_task(drip(slow_head, 36)) for _ in range(250)]
    await asyncio.sleep(3)
    for _ in range(5):
        async with asyncio.timeout(1):
            await still_good(hostile)
    answers = await asyncio.gather(*tasks)
    assert all(answer.startswith(b"HTTP/1.1 408") for answer in answers[:250])
    assert set(answers[250:]) == {b""}


MALFORMED = {
    "two different lengths": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunks": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\n",
    "a chunk size that is none": b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "a negative length": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length that is no number": b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
    "a thousand headers": b"POST %s HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    "a header of a mebibyte": b"POST %s HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 2**20 + b"\r\n\r\n",
    "a NUL in a header": b"POST %s HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n",
    "a method that is none": b"\x16\x03\x01 %s HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"POST %s\r\n\r\n",
    "binary": bytes(range(256)) + b"%s\r\n\r\n",
}


async def test_e4_malformed_http_is_refused_and_the_connection_closed(hostile: Service) -> None:
    smuggled = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    for case, template in MALFORMED.items():
        answer = await raw(hostile.port, template.replace(b"%s", PATH.encode()) + smuggled)
        if answer or case != "a header of a mebibyte":  # TCP may drop the answer to whoever is still sending
            assert answer.startswith(b"HTTP/1.0 400"), (case, answer)
            assert b'"code": "bad_request"' in answer, (case, answer)
        assert b'"status": "ok"' not in answer, f"{case}: what followed was taken for a request of its own"
        await still_good(hostile)


ODD = {
    "NUL in a text": instagram(comment(1, text="a\x00b")),
    "half a surrogate pair": instagram(comment(2)).replace(b"hello", rb"\ud83d"),
    "emoji and their escapes": instagram(comment(3, text="\U0001f60d é <b>")),
    "an integer of 5000 digits": instagram(comment(4)).replace(b'"hello"', b"9" * 5000),
    "an integer beyond 64 bits": instagram(comment(5)).replace(b'"hello"', b"18446744073709551617"),
    "1e400": instagram(comment(6)).replace(b'"hello"', b"1e400"),
    "NaN": instagram(comment(7)).replace(b'"hello"', b"NaN"),
    "invalid UTF-8": instagram(comment(8)).replace(b"hello", b"\xff\xfe"),
    "a byte order mark": b"\xef\xbb\xbf" + instagram(comment(9)),
    "UTF-16": instagram(comment(10)).decode().encode("utf-16"),
    "a key twice": instagram(comment(11)).replace(b'"text":', b'"text": "first", "text":'),
    "nesting of 100000": b"[" * 100_000 + b"]" * 100_000,
    "nesting of 1000 in a value": instagram(comment(12)).replace(b'"hello"', b"[" * 1000 + b"]" * 1000),
    "an id of half a mebibyte": instagram(comment(13, id="9" * 2**19)),
    "no JSON": b"hello",
    "nothing": b"",
    "a number": b"17",
    "null": b"null",
    "an object of another kind": b'{"surprise": [1, 2, {"deep": null}]}',
    "ids of the wrong types": b'{"object":"instagram","entry":[{"id":{},"changes":[{"field":"comments","value":[]}]},7]}',  # noqa: E501
    "markup": instagram(comment(14, text="<script>alert(1)</script>=cmd|' /C calc'!A0")),
}


async def test_e5_to_e8_whatever_is_signed_is_acknowledged_and_kept_byte_for_byte(
    hostile: Service, connection: asyncpg.Connection
) -> None:
    for platform in ("instagram", "tiktok"):
        for case, body in ODD.items():
            status, answer = await hostile.send(platform, body, SIGN[platform](body))
            assert status == 200, (platform, case, answer)
            kept = await connection.fetchval(
                "SELECT body FROM webhook_deliveries WHERE id = $1::uuid", answer["delivery"]
            )
            assert kept == body, (platform, case)
            assert (await split_into(connection, answer))[0] >= 1, (platform, case)
    await drained(connection)
    rows = await connection.fetch("SELECT state, error_message, sanitized FROM webhook_events")
    assert {row["state"] for row in rows} <= {"done", "ignored", "parked"}
    assert all(row["error_message"] for row in rows if row["state"] == "parked")
    assert any(row["sanitized"] for row in rows)
    texts = {row[0]: row[1] for row in await connection.fetch("SELECT ig_id, text FROM ig_comments")}
    assert texts["178500000003"] == "\U0001f60d é <b>"
    assert texts["178500000001"] == "a\ufffdb"
    assert texts["178500000011"] == "hello", "of a repeated key the last one counts"


async def test_e9_bad_signatures_are_told_apart_counted_and_sampled(
    hostile: Service, connection: asyncpg.Connection
) -> None:
    body = instagram(comment(1))
    good = sign_meta(body)["X-Hub-Signature-256"]
    name = "X-Hub-Signature-256"
    cases: list[tuple[dict[str, str], str]] = [
        ({}, "missing"),
        ({name: ""}, "malformed"),
        ({name: good.removeprefix("sha256=")}, "malformed"),
        ({name: good.replace("sha256", "sha1")}, "malformed"),
        ({"X-Hub-Signature": "sha1=" + "0" * 40}, "missing"),
        ({name: "sha256=" + "0" * 64}, "mismatch"),
        ({name: "sha256=é\udcff"}, "mismatch"),
        ({name: good[:-1]}, "mismatch"),
        ({name: good + ", " + good}, "mismatch"),
        (sign_meta(body, "another secret"), "mismatch"),
    ]
    for headers, reason in cases:
        head = "".join(f"{key}: {value}\r\n" for key, value in headers.items()).encode("utf-8", "surrogateescape")
        request = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n".encode()
        answer = await raw(hostile.port, request + head + b"\r\n" + body)
        assert answer.startswith(b"HTTP/1.1 401"), (headers, answer)
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["details"]["reason"] == reason, headers
    late = tiktok("post.publish.complete", {"publish_id": "p"})
    status, answer_json = await hostile.send("tiktok", late, {"TikTok-Signature": "t=1,s="})
    assert (status, answer_json["error"]["details"]["reason"]) == (401, "malformed")
    await asyncio.gather(*(hostile.send("instagram", b"x" * 5000, {name: f"sha256={n:064x}"}) for n in range(500)))
    counted = await hostile.metrics()
    assert counted['landfall_ingest_refusals_total{platform="instagram",reason="mismatch"}'] == 505
    assert counted['landfall_ingest_refusals_total{platform="instagram",reason="missing"}'] == 2
    kept = await connection.fetchrow(
        "SELECT count(*) AS rows, max(octet_length(body_head)) AS bytes, max(slot) AS slot FROM webhook_refusals"
    )
    assert 0 < kept["rows"] <= REFUSAL_SLOTS
    assert kept["bytes"] <= REFUSAL_BYTES
    assert await connection.fetchval("SELECT count(*) FROM webhook_event_log") == 0


async def test_e10_unknown_is_stored_and_counted_and_a_broken_sibling_costs_nobody_else(
    hostile: Service, connection: asyncpg.Connection
) -> None:
    novel = {"id": "17841400000000001", "time": 1, "changes": [{"field": "brand_new", "value": {"x": 1}}]}
    broken = {"id": "17841400000000001", "time": 1, "changes": [{"field": "comments", "value": {"text": "no id"}}]}
    status, answer = await hostile.send(
        "instagram", instagram(comment(1), novel, broken, comment(2, extra={"new": [1]}))
    )
    assert (status, await split_into(connection, answer)) == (200, (4, 4))
    await drained(connection)
    states = await connection.fetch("SELECT event_type, state FROM webhook_events ORDER BY id")
    assert sorted(tuple(row) for row in states) == [
        ("brand_new", "ignored"),
        ("comments", "done"),
        ("comments", "done"),
        ("comments", "parked"),
    ]
    ignored = 'landfall_sync_events_total{outcome="ignored",platform="instagram"}'

    async def counted() -> bool:
        return (await hostile.metrics(hostile.work_metrics)).get(ignored) == 1

    await eventually(counted)


async def test_wrong_doors_get_clear_answers(hostile: Service) -> None:
    for method, path, status, error in (
        ("POST", "/api/webhooks/myspace", 404, "unknown_platform"),
        ("POST", "/api/webhooks/myspace/", 404, "unknown_platform"),
        ("POST", "/api/webhooks/", 404, "not_found"),
        ("PUT", PATH, 405, "method_not_allowed"),
        ("PUT", f"{PATH}/", 405, "method_not_allowed"),
        ("DELETE", PATH, 405, "method_not_allowed"),
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/metrics", 404, "not_found"),
    ):
        async with hostile.client.request(method, hostile.url + path) as response:
            answer = await response.json()
            assert (response.status, answer["error"]["code"]) == (status, error), (method, path)
            assert is_error(answer)
    async with hostile.client.get(f"{hostile.url}/api/webhooks/tiktok") as response:
        assert response.status == 200
    query = {
        "hub.mode": "subscribe",
        "hub.challenge": "1158201444",
        "hub.verify_token": ENVIRONMENT["META_VERIFY_TOKEN"],
    }
    async with hostile.client.get(hostile.url + PATH, params=query) as response:
        assert (response.status, response.content_type, await response.text()) == (200, "text/plain", "1158201444")
    async with hostile.client.get(hostile.url + PATH, params=query | {"hub.verify_token": "wrong"}) as response:
        assert response.status == 403


async def test_platform_without_a_secret_accepts_nothing(
    database: str, tmp_path: Path, connection: asyncpg.Connection
) -> None:
    running = Service(database, None, tmp_path, {"TIKTOK_CLIENT_SECRET": ""})
    await running.start(worker=False)
    try:
        body = tiktok("post.publish.complete", {"publish_id": "p"})
        for headers in (sign_tiktok(body), sign_tiktok(body, secret=""), {}):
            status, answer = await running.send("tiktok", body, headers)
            assert (status, answer["error"]["code"], answer["error"]["retryable"]) == (503, "not_configured", True)
        async with running.client.get(f"{running.url}/api/webhooks/tiktok") as response:
            assert response.status == 503
        assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 0
    finally:
        await running.stop()


async def test_secrets_appear_nowhere(hostile: Service, connection: asyncpg.Connection, database: str) -> None:
    """Canaries through good, bad and failing paths; logs are searched when the fixture ends."""
    answers = [await hostile.send("instagram", body) for body in (instagram(comment(1)), b"{", b"")]
    answers.append(await hostile.send("instagram", b"x", {"X-Hub-Signature-256": "sha256=00"}))
    headers = sign_meta(instagram(comment(2))) | {"Authorization": "Bearer header-canary", "Cookie": "a=header-canary"}
    answers.append(await hostile.send("instagram", instagram(comment(2)), headers))
    for path in ("/readyz", "/healthz", "/api/webhooks/instagram?hub.verify_token=x"):
        async with hostile.client.get(hostile.url + path) as response:
            answers.append((response.status, {"body": await response.text()}))
    await drained(connection)
    shown = json.dumps(answers)
    for port in (hostile.web_metrics, hostile.work_metrics):
        async with hostile.client.get(f"http://127.0.0.1:{port}/metrics") as response:
            shown += await response.text()
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')"
    )
    for table in tables:
        shown += str(await connection.fetch(f"SELECT * FROM {table['relname']}"))
    for canary in (*CANARIES, "header-canary", password(database)):
        assert canary not in shown
