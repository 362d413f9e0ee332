"""What the receiver holds of a request it gives back, however that ends: else it would soon take nothing more."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiohttp.test_utils import TestServer

from ingest import endpoint, store
from ingest.app import build
from ingest.committer import BATCH_BYTES, BATCH_DELIVERIES, SECOND_TASK_FROM, Committer, _Waiting
from ingest.endpoint import Receiver
from ingest.errors import Overloaded, Unavailable
from ops.cli import wiring
from ops.runtime import bodies
from ops.runtime.bodies import Budget
from ops.runtime.clock import now
from ops.runtime.db import open_pool
from schema.metadata import APP_ROLE
from tests.recordings import received
from tests.support import VARIABLES, comment, eventually, instagram, sign_meta

LIMIT = 40_000
BODY_LIMIT = 20_000
PATH = "/api/webhooks/instagram"


@pytest.fixture
async def receiver(database: str) -> AsyncIterator[Receiver]:
    async with await open_pool(database, "test", 2, role=APP_ROLE, wait_seconds=5) as pool:
        yield Receiver(
            webhooks=wiring.webhooks(),
            variables=VARIABLES,
            committer=Committer(pool, max_deliveries=10),
            samples=pool,
            clock=now,
            body_limit=BODY_LIMIT,
            budget=Budget(LIMIT, LIMIT),
        )


@pytest.fixture
async def server(receiver: Receiver) -> AsyncIterator[TestServer]:
    running = TestServer(build(receiver))
    await running.start_server()
    yield running
    await running.close()


async def sent(server: TestServer, body: Any, headers: dict[str, str]) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.post(server.make_url(PATH), data=body, headers=headers) as response,
    ):
        return response.status


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 3000):
        yield body[start : start + 3000]
        await asyncio.sleep(0.01)


async def hung_up(server: TestServer, body: bytes) -> None:
    """Half a body, and nobody is there any more."""
    assert server.port is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in sign_meta(body).items())
    writer.write(head.encode() + b"\r\n" + body[: len(body) // 2])
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await reader.read()


async def test_bytes_in_flight_are_given_back_however_a_request_ends(
    receiver: Receiver, server: TestServer, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = instagram(comment(1, text="x" * 12_000))
    rounds = 2 * LIMIT // len(body)
    sizes: list[int] = []
    real = bodies.read

    async def seen(*arguments: Any) -> bytes:
        found = await real(*arguments)
        sizes.append(receiver.budget.held)
        return found

    monkeypatch.setattr(bodies, "read", seen)

    async def ends(status: int, body: Any = body, headers: dict[str, str] | None = None) -> None:
        for _ in range(rounds):
            data = in_pieces(body) if headers == {"Transfer-Encoding": "chunked"} else body
            signed = sign_meta(body) if headers is None or "Transfer-Encoding" in headers else headers
            assert await sent(server, data, signed) == status
            assert receiver.budget.held == 0

    await ends(200)
    assert sizes, "it was counted"
    assert set(sizes) == {len(body)}
    await ends(200, headers={"Transfer-Encoding": "chunked"})
    await ends(200, b"no JSON" * 1000)
    await ends(401, headers={"X-Hub-Signature-256": "sha256=" + "0" * 64})
    await ends(413, b"x" * (BODY_LIMIT + 1))
    await ends(413, b"x" * (BODY_LIMIT + 1), {"Transfer-Encoding": "chunked"})
    for _ in range(rounds):
        await hung_up(server, body)

    async def nothing() -> bool:
        return receiver.budget.held == 0

    await eventually(nothing)

    async def away(*_: Any) -> None:
        raise ConnectionResetError

    def surprised(*_: Any) -> None:
        raise RuntimeError

    for module, name, failure in ((store, "receive", away), (endpoint, "accept", surprised)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, failure)
            await ends(503)
    assert await sent(server, body, sign_meta(body)) == 200
    assert await connection.fetchval("SELECT count(*) FROM webhook_deliveries") == 3 * rounds + 1


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([BATCH_BYTES + 1, 1], [1, 1]),
        ([BATCH_BYTES // 2] * 3, [2, 1]),
        ([1] * (BATCH_DELIVERIES + 1), [BATCH_DELIVERIES, 1]),
    ],
    ids=["many bytes", "bytes together", "deliveries"],
)
async def test_commit_takes_no_more_than_its_caps_and_what_is_over_them_alone(
    receiver: Receiver, sizes: list[int], batches: list[int]
) -> None:
    committer, loop = receiver.committer, asyncio.get_running_loop()
    for size in sizes:
        delivery = received("instagram", b"{}")._replace(body=bytes(size))
        committer._queue.append(_Waiting(delivery, loop.create_future()))
    assert [len(committer._take()) for _ in batches] == batches
    assert not committer._queue


async def test_no_more_deliveries_wait_for_a_commit_than_are_allowed(receiver: Receiver) -> None:
    committer = Committer(receiver.samples, max_deliveries=2)
    running = [asyncio.create_task(committer.commit(received("instagram", b"{}"))) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await asyncio.wait_for(committer.commit(received("instagram", b"{}")), 1)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_whatever_waits_when_commits_end_is_told_and_nothing_more_is_taken(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(store, "receive", never)
    committer = receiver.committer
    running = asyncio.create_task(committer.run())
    waiting = asyncio.create_task(committer.commit(received("instagram", b"{}")))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(waiting, 1)
    with pytest.raises(Overloaded):
        await asyncio.wait_for(committer.commit(received("instagram", b"{}")), 1)


@pytest.mark.parametrize("name", ["first commit task", "second commit task"])
async def test_commits_end_as_a_whole_when_one_task_ends(receiver: Receiver, name: str) -> None:
    """The process ends with them and is started again; half of it would go on unseen."""
    running = asyncio.create_task(receiver.committer.run())
    await asyncio.sleep(0)
    [task] = [task for task in asyncio.all_tasks() if task.get_name() == name]
    task.cancel()
    await asyncio.wait({running}, timeout=1)
    assert running.done()
    with pytest.raises(Overloaded):
        await receiver.committer.commit(received("instagram", b"{}"))


async def test_many_that_wait_are_committed_by_two_tasks_and_a_few_by_one(
    receiver: Receiver, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    running_at_once: list[int] = []
    inside = 0
    real = store.receive

    async def seen(*arguments: Any) -> None:
        nonlocal inside
        inside += 1
        running_at_once.append(inside)
        await asyncio.sleep(0.02)
        await real(*arguments)
        inside -= 1

    monkeypatch.setattr(store, "receive", seen)
    committer = Committer(receiver.samples, max_deliveries=1000)
    running = asyncio.create_task(committer.run())
    for count, tasks in ((SECOND_TASK_FROM - 1, 1), (5 * BATCH_DELIVERIES, 2)):
        running_at_once.clear()
        await asyncio.gather(*(committer.commit(received("instagram", b"%d" % number)) for number in range(count)))
        assert max(running_at_once) == tasks
    committer.close()
    await running
    stored = await connection.fetchval("SELECT count(*) FROM webhook_deliveries")
    assert stored == SECOND_TASK_FROM - 1 + 5 * BATCH_DELIVERIES


async def test_delivery_that_was_answered_already_is_not_committed(receiver: Receiver) -> None:
    """It was answered 503 and comes again."""
    committer = receiver.committer
    given_up = asyncio.get_running_loop().create_future()
    given_up.cancel()
    committer._queue.append(_Waiting(received("instagram", b"{}"), given_up))
    assert committer._take() == []
    assert not committer._queue
