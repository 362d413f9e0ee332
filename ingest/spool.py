"""Keep accepted deliveries in local files while PostgreSQL does not take them, and give them back in order.

The directory holds segments, each written by one process and never appended to by another. A record is framed as in
TFRecord, with a checksum of the head of its own, so that a length is believed before the bytes that it counts; before
it stands a random marker, as in Avro's object files, by which reading goes on after damage. The marker is in the name
of the segment and in no other place, so nobody who wrote a body can imitate a record.

What an interrupted write leaves, the beginning of a record or zeros at the end of a segment, was never acknowledged
and is passed over. Anything else that cannot be read is damage: the readable records around it are given back, and
the segment is set aside, that is kept under another name. So is one with a record that PostgreSQL refuses.
"""

import asyncio
import errno
import fcntl
import os
import re
import secrets
import struct
import time
import uuid
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

import structlog

from ingest.contract import Received
from ops.runtime import metrics
from ops.runtime.files import private_folder

SEGMENT_BYTES = 16 * 2**20
"""A segment is begun anew beyond this size. One segment at a time is in memory while it is drained."""

BATCH_BYTES = 8 * 2**20
"""Bytes of records given back at once, unless a single one is larger."""

SUFFIX = ".spool"
ASIDE = ("damaged", "refused")
"""Why a segment may be set aside; each is also its last suffix."""

LOCK = "lock"
LOCK_SECONDS = 0.5
"""How long the lock is tried for: whoever looks at a spool holds it for a moment."""

VERSION = 1
BLOCK = 4096
"""What is left out of a segment where the disk cannot read a part of it."""

_MARKER = 8
_NAME = re.compile(rf"(\d+)-([0-9a-f]{{{2 * _MARKER}}}){re.escape(SUFFIX)}")
_HEAD = struct.Struct(">8sBIII")
"""Marker, version, length and CRC-32 of the content, CRC-32 of what stands before it in the head."""

_HEAD_CHECKED = _HEAD.size - 4
_FIXED = struct.Struct(">16sqqHHHI")
"""Id, time of receipt and of the signature in microseconds, lengths of three names and of the headers."""

_NO_TIME = -(2**63)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

P = ParamSpec("P")
R = TypeVar("R")

log = structlog.get_logger()


class SpoolError(Exception):
    """The spool did not take, or does not give back, what was asked for; the message says why."""


class SpoolFullError(SpoolError):
    """As many bytes as allowed wait in the spool."""


class SpoolInUseError(SpoolError):
    """Another process holds the directory; the message says what to do."""


class Batch(NamedTuple):
    """Records in the order they were appended, and where in the spool they end."""

    records: Sequence[Received]
    segment: int
    end: int


class Backlog(NamedTuple):
    """What waits: ``oldest`` is about when the first of it was received, None where nothing waits."""

    records: int = 0
    size: int = 0
    oldest: datetime | None = None


@dataclass(slots=True)
class _Segment:
    number: int
    path: Path
    marker: bytes
    size: int = 0
    """Bytes up to which the segment counts: what a failed write left after them is not read."""
    begin: int = 0
    """Where the first record that is not done begins."""
    records: int = 0
    oldest: datetime | None = None
    aside: str = ""
    """Why it is to be kept once its records are done: one of ``ASIDE``."""


class State(NamedTuple):
    """What is in a directory: ``aside`` counts the files set aside, by why; ``holder`` is the process that has it."""

    backlog: Backlog
    used: int
    aside: Mapping[str, int]
    holder: str = ""


class _Part(NamedTuple):
    """A part of a segment: a record, or bytes that cannot be read."""

    end: int
    record: Received | None
    torn: bool = False


class Spool:
    """One directory of segments. One thread does all file work, in order, so that nothing here needs a lock."""

    def __init__(self, directory: Path, limit: int, segment_bytes: int) -> None:
        self.directory = directory
        self._limit = limit
        self._segment_bytes = segment_bytes
        self._segments: list[_Segment] = []
        self._active: int | None = None
        """The descriptor that the last segment is written by."""
        self._content: tuple[int, bytes] | None = None
        self._lock: int | None = None
        self._number = 0
        self._aside: Mapping[str, int] = {}
        self._aside_size = 0
        self._thread = ThreadPoolExecutor(1, "spool")
        self.backlog = Backlog()
        self.used = 0
        """Bytes of files, those set aside included."""

    @classmethod
    async def open(cls, directory: Path, limit: int, *, segment_bytes: int = SEGMENT_BYTES) -> "Spool":
        """Take the directory, and find what a former process left in it.

        ``limit`` is in bytes of files. Raises SpoolInUseError, SpoolError.
        """
        spool = cls(directory, limit, segment_bytes)
        try:
            await spool._run(spool._open)
        except BaseException:
            await spool.close()
            raise
        metrics.spool_deliveries.set_function(lambda: spool.backlog.records)
        metrics.spool_bytes.set_function(lambda: spool.used)
        metrics.spool_limit_bytes.set(limit)
        metrics.spool_oldest_seconds.set_function(spool._age)
        for reason in ASIDE:
            metrics.of(metrics.spool_files_aside, reason).set_function(partial(spool._count_aside, reason))
        for reason in ("full", "disk"):  # a first one is an increase only from a zero that was seen
            metrics.of(metrics.spool_failures, reason)
        return spool

    async def close(self) -> None:
        """Let go of the directory. What waits stays there."""
        await self._run(self._close)
        self._thread.shutdown()

    async def append(self, records: Sequence[Received]) -> None:
        """Return once all records are on the disk. Raises SpoolFullError, SpoolError; then none of them counts."""
        try:
            with metrics.spool_append_seconds.time():
                await self._run(self._append, records)
        except SpoolError as error:
            metrics.spool_failures.labels("full" if isinstance(error, SpoolFullError) else "disk").inc()
            raise
        metrics.spool_appended.inc(len(records))

    async def next_batch(self, records: int, size: int = BATCH_BYTES) -> Batch | None:
        """Return the oldest records that are not done, the same ones until they are; None where nothing waits.

        Raises SpoolError.
        """
        return await self._run(self._next_batch, records, size)

    async def done(self, batch: Batch, refused: Collection[str] = ()) -> None:
        """Forget the records of the batch given last: they are in PostgreSQL, but for those it ``refused``, by id.

        A file with a refused one is set aside at its end, whole. A crash before this returns, or before their segment
        is done, gives the records back again. Raises SpoolError.
        """
        await self._run(self._done, batch, refused)
        metrics.spool_drained.inc(len(batch.records) - len(refused))

    async def _run(self, work: Callable[P, R], *arguments: P.args, **named: P.kwargs) -> R:
        """Do file work in the thread. Raises SpoolError for every error of the disk."""

        def guarded() -> R:
            try:
                return work(*arguments, **named)
            except OSError as error:
                raise SpoolError(f"{self.directory}: {error.strerror or error}") from error
            finally:
                self._count()

        return await asyncio.get_running_loop().run_in_executor(self._thread, guarded)

    def _age(self) -> float:
        oldest = self.backlog.oldest
        return 0.0 if oldest is None else max(time.time() - oldest.timestamp(), 0.0)

    def _count_aside(self, reason: str) -> int:
        """Return the files set aside, and those that will be."""
        return self._aside.get(reason, 0) + sum(segment.aside == reason for segment in self._segments)

    def _count(self) -> None:
        self.backlog = _backlog(self._segments)
        self.used = self._aside_size + sum(segment.size for segment in self._segments)

    def _look_aside(self) -> None:
        self._aside, self._aside_size = _found_aside(self.directory)

    def _open(self) -> None:
        if others := _others(self.directory):
            raise SpoolError(f"{self.directory} holds other files ({others[0]}): give the spool a folder of its own")
        private_folder(self.directory)
        with suppress(PermissionError):  # the folder above may be passed through and not listed
            _sync(self.directory.parent)
        self._lock = _lock(self.directory)
        self._look_aside()
        for path in sorted(self.directory.glob(f"*{SUFFIX}")):
            segment = _segment(path)
            self._number = max(self._number, segment.number)
            if segment.aside:
                _report(segment)
            if segment.records or segment.aside:
                self._segments.append(segment)
            else:
                path.unlink()
        while self._segments and not self._segments[0].records:
            self._remove(self._segments[0])
        if self._segments:
            records = sum(segment.records for segment in self._segments)
            log.warning("spool.found", directory=str(self.directory), deliveries=records)

    def _close(self) -> None:
        self._seal()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _append(self, records: Sequence[Received]) -> None:
        if not records:
            return
        contents = [_encode(record) for record in records]
        size = sum(_HEAD.size + len(content) for content in contents)
        used = self._aside_size + sum(segment.size for segment in self._segments)
        if used + size > self._limit:
            raise SpoolFullError(f"{self.directory}: {used} of {self._limit} bytes are in use")
        if self._active is not None and self._segments[-1].size + size > self._segment_bytes:
            self._seal()
        number = self._begin() if self._active is None else self._active
        segment = self._segments[-1]
        try:
            _write(number, b"".join(_framed(segment.marker, content) for content in contents))
            os.fsync(number)
        except BaseException:
            self._abandon()
            raise
        segment.size += size
        segment.records += len(records)
        segment.oldest = segment.oldest or records[0].received_at

    def _begin(self) -> int:
        """Begin a segment; its name is on the disk before anything in it is acknowledged."""
        marker = secrets.token_bytes(_MARKER)
        path = self.directory / f"{self._number + 1:016d}-{marker.hex()}{SUFFIX}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        number = os.open(path, flags, 0o600)
        self._number += 1
        try:
            os.fchmod(number, 0o600)
            _sync(self.directory)
        except BaseException:
            os.close(number)
            path.unlink(missing_ok=True)
            raise
        self._segments.append(_Segment(self._number, path, marker))
        self._active = number
        return number

    def _abandon(self) -> None:
        """End the last segment after a failed write or fsync, where it ended before.

        A second fsync may succeed though the first one lost pages, so nothing is written to this segment any more.
        """
        segment, number = self._segments[-1], self._active
        try:
            if number is not None:
                os.ftruncate(number, segment.size)
        except OSError as error:  # what was refused may then come back after a restart, which repeats nothing
            log.warning("spool.not_truncated", segment=segment.path.name, error=error.strerror)
        try:
            self._seal()
        except OSError as error:
            log.warning("spool.not_closed", segment=segment.path.name, error=error.strerror)

    def _seal(self) -> None:
        """Write no more to the last segment. One in which nothing stands goes."""
        if self._active is None:
            return
        number, self._active = self._active, None
        try:
            os.close(number)
        finally:
            if not self._segments[-1].size:
                self._segments.pop().path.unlink(missing_ok=True)

    def _next_batch(self, records: int, size: int) -> Batch | None:
        while self._segments:
            segment = self._segments[0]
            if self._active is not None and len(self._segments) == 1:
                self._seal()
                continue
            batch: list[Received] = []
            end, held = segment.begin, 0
            for part in _parts(self._load(segment), segment.marker, segment.begin):
                if part.record is not None:
                    held += part.end - end
                    if batch and (len(batch) == records or held > size):
                        break
                    batch.append(part.record)
                elif not part.torn:
                    self._notice_damage(segment)
                end = part.end
            if batch:
                return Batch(batch, segment.number, end)
            if segment.records:
                self._notice_damage(segment)
            self._remove(segment)
        return None

    def _done(self, batch: Batch, refused: Collection[str]) -> None:
        segment = self._segments[0] if self._segments else None
        if segment is None or segment.number != batch.segment or batch.end <= segment.begin:
            raise SpoolError("this batch is not the one that was given last")
        if refused:
            segment.aside = segment.aside or "refused"
            log.critical("spool.refused", deliveries=list(refused), kept=_aside_name(segment))
        if batch.end >= segment.size:
            self._remove(segment)
            return
        segment.begin = batch.end
        segment.records = max(segment.records - len(batch.records), 0)
        segment.oldest = batch.records[-1].received_at

    def _load(self, segment: _Segment) -> bytes:
        if self._content is None or self._content[0] != segment.number:
            try:
                content = _read(segment.path)
            except FileNotFoundError:
                log.critical("spool.segment_missing", segment=segment.path.name, deliveries=segment.records)
                content = b""
            if len(content) < segment.size:
                self._notice_damage(segment)
            self._content = (segment.number, content[: segment.size])
        return self._content[1]

    def _notice_damage(self, segment: _Segment) -> None:
        if segment.aside != "damaged":
            segment.aside = "damaged"
            _report(segment)

    def _remove(self, segment: _Segment) -> None:
        """Remove a segment whose records are done, or set it aside."""
        try:
            if segment.aside:
                segment.path.rename(segment.path.with_name(_aside_name(segment)))
            else:
                segment.path.unlink()
        except FileNotFoundError:
            log.warning("spool.segment_missing", segment=segment.path.name, deliveries=0)
        self._segments.remove(segment)
        self._content = None
        self._look_aside()
        _sync(self.directory)


def look(directory: Path) -> State:
    """Return what is in a directory, whether or not a process holds it. Raises SpoolError."""
    segments = []
    try:
        for path in sorted(directory.glob(f"*{SUFFIX}")):
            with suppress(FileNotFoundError):  # done meanwhile
                segments.append(_segment(path))
        aside, size = _found_aside(directory)
        used = size + sum(segment.size for segment in segments)
        return State(_backlog(segments), used, aside, _holder(directory))
    except OSError as error:
        raise SpoolError(f"{directory}: {error.strerror or error}") from error


def _others(directory: Path) -> list[str]:
    """Return what is in a folder and not of a spool: its mode is for whoever made it to set."""
    names = sorted(path.name for path in directory.iterdir()) if directory.is_dir() else []
    return [name for name in names if SUFFIX not in name and name not in (LOCK, "lost+found")]


def _segment(path: Path) -> _Segment:
    """Read a segment, and count what waits in it."""
    named = _NAME.fullmatch(path.name)
    if named is None:
        raise SpoolError(f"{path} is no file of the spool: move it away")
    segment = _Segment(int(named[1]), path, bytes.fromhex(named[2]))
    content = _read(path)
    segment.size = len(content)
    for part in _parts(content, segment.marker, 0):
        if part.record is not None:
            segment.records += 1
            segment.oldest = segment.oldest or part.record.received_at
        elif not part.torn:
            segment.aside = "damaged"
    return segment


def _backlog(segments: Sequence[_Segment]) -> Backlog:
    waiting = [segment for segment in segments if segment.records]
    return Backlog(
        sum(segment.records for segment in waiting),
        sum(segment.size - segment.begin for segment in waiting),
        waiting[0].oldest if waiting else None,
    )


def _report(segment: _Segment) -> None:
    log.critical("spool.damaged", segment=segment.path.name, kept=_aside_name(segment))


def _aside_name(segment: _Segment) -> str:
    return f"{segment.path.name}.{segment.aside}"


def _found_aside(directory: Path) -> tuple[Mapping[str, int], int]:
    """Return how many files were set aside, by why, and their bytes in all."""
    found = {reason: list(directory.glob(f"*{SUFFIX}.{reason}")) for reason in ASIDE}
    size = sum(path.stat().st_size for paths in found.values() for path in paths)
    return {reason: len(paths) for reason, paths in found.items()}, size


def _lock(directory: Path) -> int:
    """Take the directory for this process. The kernel lets go of it when the process ends, however it does."""
    number = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    until = time.monotonic() + LOCK_SECONDS
    while not _locked(number, fcntl.LOCK_EX):
        if time.monotonic() > until:
            holder = _written(number)
            os.close(number)
            raise SpoolInUseError(
                f"{directory} is the spool of another process ({holder}): end that one first, or give each `landfall "
                "serve` a LANDFALL_SPOOL_DIR of its own"
            )
        time.sleep(LOCK_SECONDS / 10)
    with suppress(OSError):  # for people to read; on a full disk the lock holds without it
        os.ftruncate(number, 0)
        os.pwrite(number, f"{os.getpid()}\n".encode(), 0)
    return number


def _holder(directory: Path) -> str:
    """Return the process that holds a directory; empty if none does."""
    try:
        number = os.open(directory / LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    try:
        return "" if _locked(number, fcntl.LOCK_SH) else _written(number)
    finally:
        os.close(number)


def _locked(number: int, kind: int) -> bool:
    try:
        fcntl.flock(number, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _written(number: int) -> str:
    """Return the number of a process as it stands in a lock."""
    return os.pread(number, 20, 0).decode("ascii", "replace").strip() or "unknown"


def _sync(directory: Path) -> None:
    number = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _write(number: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(number, left) :]


def _read(path: Path) -> bytes:
    """Return the content of a segment, with zeros where the disk cannot read it."""
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        size = os.fstat(number).st_size
        return b"".join(
            _block(number, begin, min(SEGMENT_BYTES, size - begin)) for begin in range(0, size, SEGMENT_BYTES)
        )
    finally:
        os.close(number)


def _block(number: int, begin: int, size: int) -> bytes:
    try:
        return os.pread(number, size, begin)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
    if size <= BLOCK:
        return bytes(size)
    return b"".join(_block(number, at, min(BLOCK, begin + size - at)) for at in range(begin, begin + size, BLOCK))


def _framed(marker: bytes, content: bytes) -> bytes:
    head = struct.pack(">8sBII", marker, VERSION, len(content), zlib.crc32(content))
    return head + struct.pack(">I", zlib.crc32(head)) + content


def _parts(content: bytes, marker: bytes, begin: int) -> Iterator[_Part]:
    """Yield the records from ``begin`` on, and what lies between them."""
    view = memoryview(content)
    while begin < len(content):
        found = _part(view, marker, begin)
        if found is None:
            following = begin
            while found is None and (following := content.find(marker, following + 1)) >= 0:
                found = _part(view, marker, following)
            end = len(content) if found is None else following
            yield _Part(end, None, torn=found is None and _is_torn(content[begin:], marker))
            begin = end
        else:
            yield found
            begin = found.end


def _part(view: memoryview, marker: bytes, begin: int) -> _Part | None:
    """Return the record that begins here, None where none does."""
    length = _length(view, marker, begin)
    if length is None:
        return None
    content = view[begin + _HEAD.size : begin + _HEAD.size + length]
    _, version, _, checksum, _ = _HEAD.unpack_from(view, begin)
    if version != VERSION or len(content) < length or zlib.crc32(content) != checksum:
        return None
    return _Part(begin + _HEAD.size + length, _decode(bytes(content)))


def _length(view: memoryview, marker: bytes, begin: int) -> int | None:
    """Return the length that a whole and sound head here names."""
    if len(view) - begin < _HEAD.size:
        return None
    found, _, length, _, checksum = _HEAD.unpack_from(view, begin)
    sound = found == marker and zlib.crc32(view[begin : begin + _HEAD_CHECKED]) == checksum
    return int(length) if sound else None


def _is_torn(tail: bytes, marker: bytes) -> bool:
    """Return whether an interrupted write may have left this, rather than that a whole record went bad."""
    if not tail.strip(b"\x00"):
        return True
    if len(tail) < _HEAD.size:
        return tail[:_MARKER] == marker[: len(tail)]
    length = _length(memoryview(tail), marker, 0)
    return length is not None and _HEAD.size + length > len(tail)


def _encode(record: Received) -> bytes:
    names = [name.encode() for name in (record.provider, record.verdict, record.secret_used)]
    fixed = _FIXED.pack(
        uuid.UUID(record.id).bytes,
        (record.received_at - _EPOCH) // _MICROSECOND,
        _NO_TIME if record.signed_at is None else (record.signed_at - _EPOCH) // _MICROSECOND,
        *map(len, names),
        len(record.headers),
    )
    return b"".join((fixed, *names, record.headers, record.body))


def _decode(content: bytes) -> Received:
    raw, received, signed, *lengths = _FIXED.unpack_from(content)
    parts, begin = [], _FIXED.size
    for length in lengths:
        parts.append(content[begin : begin + length])
        begin += length
    provider, verdict, secret_used, headers = parts
    return Received(
        str(uuid.UUID(bytes=raw)),
        provider.decode(),
        _EPOCH + received * _MICROSECOND,
        verdict.decode(),
        secret_used.decode(),
        None if signed == _NO_TIME else _EPOCH + signed * _MICROSECOND,
        headers,
        content[begin:],
    )
