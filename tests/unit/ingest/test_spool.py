"""The spool gives back everything that it took, in order, whatever happens to its files (``faults.md`` I1, B13)."""

import asyncio
import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uuid_utils

from ingest import spool as module
from ingest.contract import Received
from ingest.spool import SUFFIX, Backlog, Spool, SpoolError, SpoolFullError, SpoolInUseError, State, look

LIMIT = 2**24
AT = datetime(2026, 11, 28, 4, 5, 6, 789012, UTC)


def received(number: int, size: int = 20) -> Received:
    signed = None if number % 2 else AT - timedelta(seconds=number)
    body = b"%d:" % number + bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    return Received(
        str(uuid_utils.uuid7()),
        "instagram",
        AT + timedelta(seconds=number),
        "accepted",
        "SECRET",
        signed,
        b"h: 1",
        body,
    )


async def taken(directory: Path, size: int = 3) -> list[Received]:
    """Everything that waits, as a new process drains it."""
    spool = await Spool.open(directory, LIMIT)
    found: list[Received] = []
    try:
        while batch := await spool.next_batch(size):
            assert 0 < len(batch.records) <= size
            found += batch.records
            await spool.done(batch)
        assert spool.backlog == (0, 0, None)
    finally:
        await spool.close()
    return found


async def spooled(directory: Path, records: list[Received], each: int = 2, **options: int) -> None:
    spool = await Spool.open(directory, LIMIT, **options)
    for start in range(0, len(records), each):
        await spool.append(records[start : start + each])
    await spool.close()


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob(f"*{SUFFIX}"))


async def test_everything_comes_back_as_it_was_and_in_order(tmp_path: Path) -> None:
    odd = Received(str(uuid_utils.uuid7()), "ü", datetime(1999, 1, 1, tzinfo=UTC), "", "", AT, b"", b"\x00" * 70_000)
    records = [*(received(n, n * 37) for n in range(40)), odd]
    await spooled(tmp_path / "s", records, segment_bytes=4096)
    assert len(segments(tmp_path / "s")) > 5
    assert await taken(tmp_path / "s") == records
    assert segments(tmp_path / "s") == []
    assert await taken(tmp_path / "s") == []


async def test_batch_is_given_again_until_it_is_done_and_appending_goes_on_meanwhile(tmp_path: Path) -> None:
    spool = await Spool.open(tmp_path / "s", LIMIT)
    records = [received(n) for n in range(6)]
    await spool.append(records[:3])
    first = await spool.next_batch(2)
    assert first is not None
    await spool.append(records[3:])
    assert await spool.next_batch(2) == first
    assert spool.backlog.records == 6
    await spool.done(first)
    with pytest.raises(SpoolError, match="given last"):
        await spool.done(first)
    rest = []
    while batch := await spool.next_batch(10):
        rest += batch.records
        await spool.done(batch)
    assert [*first.records, *rest] == records
    await spool.close()


async def test_batch_is_bounded_in_bytes_but_holds_a_record_that_is_larger(tmp_path: Path) -> None:
    await spooled(tmp_path / "s", [received(n, 5000) for n in range(4)])
    spool = await Spool.open(tmp_path / "s", LIMIT)
    for size, count in ((11_000, 2), (100, 1), (100, 1)):
        batch = await spool.next_batch(100, size)
        assert batch is not None
        assert len(batch.records) == count
        await spool.done(batch)
    await spool.close()


async def test_crash_before_a_segment_is_done_gives_its_records_back_again(tmp_path: Path) -> None:
    records = [received(n) for n in range(4)]
    await spooled(tmp_path / "s", records)
    spool = await Spool.open(tmp_path / "s", LIMIT)
    batch = await spool.next_batch(2)
    assert batch is not None
    await spool.done(batch)
    await spool.close()
    assert await taken(tmp_path / "s") == records, "the ids are the same, so nothing is stored twice"


async def test_tail_that_was_cut_at_any_byte_is_passed_over(tmp_path: Path) -> None:
    records = [received(n) for n in range(3)]
    await spooled(tmp_path / "whole", records)
    [path] = segments(tmp_path / "whole")
    content = path.read_bytes()
    size = len(content) // 3
    for length in range(len(content)):
        directory = tmp_path / f"{length}"
        directory.mkdir()
        (directory / path.name).write_bytes(content[:length])
        assert await taken(directory) == records[: length // size if length < 3 * size - 2 else 2], length
        assert [*directory.glob("*.damaged")] == [], "it was never acknowledged"


@pytest.mark.parametrize("zeros", [1, 20, 21, 5000])
async def test_tail_of_zeros_is_passed_over(tmp_path: Path, zeros: int) -> None:
    records = [received(n) for n in range(3)]
    await spooled(tmp_path / "s", records)
    [path] = segments(tmp_path / "s")
    path.write_bytes(path.read_bytes() + bytes(zeros))
    assert await taken(tmp_path / "s") == records
    assert [*(tmp_path / "s").glob("*.damaged")] == []


async def test_flipped_bit_anywhere_costs_one_record_and_the_file_is_kept(tmp_path: Path) -> None:
    records = [received(n, 3) for n in range(3)]
    await spooled(tmp_path / "whole", records)
    [path] = segments(tmp_path / "whole")
    content = path.read_bytes()
    sizes = [len(module._framed(b"12345678", module._encode(record))) for record in records]
    owner = [number for number, size in enumerate(sizes) for _ in range(size)]
    assert len(owner) == len(content)
    for place, number in enumerate(owner):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        directory = tmp_path / f"{place}"
        directory.mkdir()
        (directory / path.name).write_bytes(flipped)
        spool = await Spool.open(directory, LIMIT)
        assert (spool.backlog.records, spool._count_aside("damaged")) == (2, 1), place
        await spool.close()
        assert await taken(directory) == [record for n, record in enumerate(records) if n != number], place
        [kept] = directory.glob("*.damaged")
        assert kept.read_bytes() == flipped


async def test_file_of_which_nothing_can_be_read_is_kept(tmp_path: Path) -> None:
    for number in (1, 3):
        await spooled(tmp_path / "s", [received(number)])
    for path in segments(tmp_path / "s"):
        path.write_bytes(b"\xff" * 50)
    assert await taken(tmp_path / "s") == []
    assert [path.read_bytes() for path in (tmp_path / "s").glob("*.damaged")] == [b"\xff" * 50] * 2


async def test_record_within_a_body_is_not_taken_for_one(tmp_path: Path) -> None:
    """Not even where the record around it is damaged: whoever wrote the body does not know the marker."""
    inner = received(7)
    forged = received(1)._replace(body=module._framed(b"\x00" * 8, module._encode(inner)))
    records = [forged, received(2)]
    await spooled(tmp_path / "s", records)
    [path] = segments(tmp_path / "s")
    content = bytearray(path.read_bytes())
    content[30] ^= 1
    path.write_bytes(content)
    assert await taken(tmp_path / "s") == records[1:]


async def test_blocks_that_the_disk_cannot_read_cost_no_other_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [received(n, 1500) for n in range(30)]
    await spooled(tmp_path / "s", records)
    pread = os.pread

    def broken(number: int, size: int, begin: int) -> bytes:
        if begin <= 9000 < begin + size:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return pread(number, size, begin)

    monkeypatch.setattr(os, "pread", broken)
    found = await taken(tmp_path / "s")
    assert 25 < len(found) < 30
    assert found == [record for record in records if record in found]
    assert len([*(tmp_path / "s").glob("*.damaged")]) == 1


class Disk:
    """What is certainly on a disk: of each file as much as at its last fsync, under the names that were synced."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sizes: dict[int, int] = {}
        self.names: dict[str, int] = {}

    def fsync(self, number: int) -> None:
        found = os.fstat(number)
        if not stat.S_ISDIR(found.st_mode):
            self.sizes[found.st_ino] = found.st_size
        elif found.st_ino == self.directory.stat().st_ino:
            self.names = {entry.name: entry.inode() for entry in os.scandir(number)}

    def after_power_loss(self, place: Path) -> None:
        place.mkdir()
        for name, inode in self.names.items():
            if name.endswith(SUFFIX):
                (place / name).write_bytes((self.directory / name).read_bytes()[: self.sizes.get(inode, 0)])


async def test_what_was_acknowledged_is_synced_with_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path / "s")
    monkeypatch.setattr(os, "fsync", disk.fsync)
    spool = await Spool.open(tmp_path / "s", LIMIT, segment_bytes=400)
    records: list[Received] = []
    for number in range(12):
        records.append(received(number))
        await spool.append(records[-1:])
        disk.after_power_loss(tmp_path / f"{number}")
        assert await taken(tmp_path / f"{number}") == records
    assert len(segments(tmp_path / "s")) > 3
    await spool.close()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS])
@pytest.mark.parametrize("call", ["write", "fsync"])
async def test_failed_write_or_fsync_refuses_its_batch_and_ends_the_segment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    spool = await Spool.open(tmp_path / "s", LIMIT)
    first, second, third = received(1), received(2), received(3)
    await spool.append([first])
    with monkeypatch.context() as patched:

        def failing(*_: object) -> int:
            raise OSError(code, os.strerror(code))

        patched.setattr(os, call, failing)
        with pytest.raises(SpoolError, match=os.strerror(code)):
            await spool.append([second])
    assert spool.backlog.records == 1
    await spool.append([third])
    assert len(segments(tmp_path / "s")) == 2, "nothing is written to a file whose fsync failed"
    await spool.close()
    assert await taken(tmp_path / "s") == [first, third]


async def test_failure_at_the_beginning_of_a_segment_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = await Spool.open(tmp_path / "s", LIMIT)

    def failing(number: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        for _ in range(3):
            with pytest.raises(SpoolError):
                await spool.append([received(1)])
    assert segments(tmp_path / "s") == []
    await spool.append([received(2)])
    assert len(segments(tmp_path / "s")) == 1
    await spool.close()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond a size: what exceeds it is written in part, and then refused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


async def test_record_that_was_written_in_part_is_cut_off(tmp_path: Path) -> None:
    spool = await Spool.open(tmp_path / "s", LIMIT)
    first, second = received(1, 200), received(2, 200)
    await spool.append([first])
    [path] = segments(tmp_path / "s")
    end = path.stat().st_size
    with largest_file(end + 100), pytest.raises(SpoolError, match="too large"):
        await spool.append([second])
    assert path.stat().st_size == end
    await spool.append([second])
    await spool.close()
    assert await taken(tmp_path / "s") == [first, second]


async def test_refused_record_is_not_given_back_where_it_cannot_be_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = await Spool.open(tmp_path / "s", LIMIT)
    first, second = received(1), received(2)
    await spool.append([first])

    def failing(*_: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        patched.setattr(os, "ftruncate", failing)
        with pytest.raises(SpoolError):
            await spool.append([second])
    batch = await spool.next_batch(10)
    assert batch is not None
    assert batch.records == [first]
    await spool.close()


async def test_full_spool_refuses_until_something_is_done(tmp_path: Path) -> None:
    spool = await Spool.open(tmp_path / "s", 2000)
    kept = [received(number, 300) for number in range(5)]
    for record in kept:
        await spool.append([record])
    with pytest.raises(SpoolFullError, match=r"of 2000 bytes"):
        await spool.append([received(8, 300)])
    assert spool.backlog.records == len(kept)
    batch = await spool.next_batch(100)
    assert batch is not None
    assert batch.records == kept
    await spool.done(batch)
    await spool.append([received(9, 300)])
    await spool.close()


async def test_second_process_is_told_what_to_do_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys, time; from pathlib import Path; from ingest.spool import Spool\n"
        "async def main():\n    await Spool.open(Path(sys.argv[1]), 1000)\n    print('open', flush=True)\n"
        "    time.sleep(60)\nasyncio.run(main())"
    )
    other = await asyncio.create_subprocess_exec(sys.executable, "-c", code, tmp_path / "s", stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        assert await other.stdout.readline() == b"open\n"
        with pytest.raises(SpoolInUseError) as caught:
            await Spool.open(tmp_path / "s", LIMIT)
        for part in (str(tmp_path / "s"), str(other.pid), "LANDFALL_SPOOL_DIR", "of its own"):
            assert part in str(caught.value)
    finally:
        other.kill()
        await other.wait()
    assert await taken(tmp_path / "s") == []


async def test_nobody_else_may_read_it_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        await spooled(tmp_path / "s", [received(1)])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "s").iterdir()} == {0o600}


async def test_folder_of_other_files_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir(mode=0o755)
    (tmp_path / "s" / "lost+found").mkdir()
    await spooled(tmp_path / "s", [received(1)])
    (tmp_path / "s" / "letter").touch()
    (tmp_path / "s").chmod(0o755)
    with pytest.raises(SpoolError, match=r"other files .letter.: give the spool a folder of its own"):
        await Spool.open(tmp_path / "s", LIMIT)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o755


async def test_backlog_says_what_waits(tmp_path: Path) -> None:
    await spooled(tmp_path / "s", [received(n) for n in range(5)], segment_bytes=300)
    spool = await Spool.open(tmp_path / "s", LIMIT)
    size = sum(path.stat().st_size for path in segments(tmp_path / "s"))
    assert spool.backlog == (5, size, AT)
    batch = await spool.next_batch(1)
    assert batch is not None
    await spool.done(batch)
    assert spool.backlog.records == 4
    assert AT <= (spool.backlog.oldest or AT) <= AT + timedelta(seconds=1)
    await spool.close()


async def test_file_with_a_refused_record_is_set_aside_whole_and_can_be_put_back(tmp_path: Path) -> None:
    records = [received(number) for number in range(5)]
    await spooled(tmp_path / "s", records)
    [content] = [path.read_bytes() for path in segments(tmp_path / "s")]
    spool = await Spool.open(tmp_path / "s", LIMIT)
    for refused in ([], [records[3].id], []):
        batch = await spool.next_batch(2)
        assert batch is not None
        await spool.done(batch, refused)
        assert spool._count_aside("refused") == (batch.records[-1] in records[2:])
    assert await spool.next_batch(2) is None
    assert (spool.backlog.records, spool.used) == (0, len(content)), "what is set aside takes room"
    await spool.close()
    [kept] = (tmp_path / "s").glob("*.refused")
    assert kept.read_bytes() == content
    kept.rename(kept.with_suffix(""))
    assert await taken(tmp_path / "s") == records


async def test_files_that_are_set_aside_count_towards_the_limit(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    await spooled(directory, [received(1, 1200)])
    spool = await Spool.open(directory, 2000)
    batch = await spool.next_batch(1)
    assert batch is not None
    await spool.done(batch, [batch.records[0].id])
    with pytest.raises(SpoolFullError):
        await spool.append([received(2, 1200)])
    await spool.close()


async def test_anybody_of_the_account_may_look_while_a_process_writes(tmp_path: Path) -> None:
    directory = tmp_path / "s"
    assert look(directory) == State(Backlog(), 0, {"damaged": 0, "refused": 0})
    spool = await Spool.open(directory, LIMIT)
    await spool.append([received(1), received(2)])
    size = sum(path.stat().st_size for path in segments(directory))
    assert look(directory) == State(
        (2, size, AT + timedelta(seconds=1)), size, {"damaged": 0, "refused": 0}, f"{os.getpid()}"
    )
    await spool.close()
    assert look(directory).holder == ""
    (directory / f"1{SUFFIX}").touch()
    with pytest.raises(SpoolError, match="move it away"):
        look(directory)
