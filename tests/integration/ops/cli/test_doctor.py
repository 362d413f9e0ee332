"""The doctor tries the storage of files, and says what failed and what to do."""

import asyncio
import errno
import json
import os
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ops.cli import doctor, wiring
from ops.runtime.process_store import Process
from publish.media import storage as storage_module
from tests.integration.publish.media.conftest import KEYS, s3  # noqa: F401  a fixture
from tests.support import command


async def files(database: str, url: str, **environment: str) -> tuple[int, dict[str, str]]:
    code, said = await command(database, "doctor", "--json", LANDFALL_MEDIA_URL=url, **environment)
    [found] = [each for each in json.loads(said[said.index("[\n") :]) if each["about"] == "files"]
    return code, found


def inside(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_folder_that_is_missing_is_made_by_no_doctor_and_is_a_fault_once_files_are_in_it(
    database: str, connection: asyncpg.Connection, tmp_path: Path
) -> None:
    folder = tmp_path / "media"
    code, found = await files(database, folder.as_uri())
    assert (code, found["level"]) == (0, "warning")
    assert "the first upload makes it" in found["message"]
    assert not folder.exists()
    await connection.execute("SELECT set_config('landfall.tenant', '*', false)")
    await connection.execute(
        """
        INSERT INTO media (tenant_id, id, stored_as, sha256, bytes, content_type, kind, details, created_by)
        SELECT id, id, 'a/b/c', sha256('a'), 1, 'image/png', 'image', '{}', 'test' FROM tenants"""
    )
    code, found = await files(database, folder.as_uri())
    assert (code, found["level"]) == (1, "fault")
    assert "1 files are in it: is its disk not mounted?" in found["message"]
    assert found["remedy"]
    folder.mkdir(mode=0o755)
    code, found = await files(database, folder.as_uri())
    assert (code, found["level"], "chmod 700" in found["remedy"]) == (0, "warning", True)
    assert folder.stat().st_mode & 0o777 == 0o755, "looking changes nothing"
    folder.chmod(0o700)
    code, found = await files(database, folder.as_uri())
    assert (code, found["level"], found["message"]) == (0, "ok", "a small file was written, read back and deleted")
    assert inside(folder) == []


async def test_what_is_no_folder_of_this_account_alone_is_a_fault_and_is_left_as_it_is(
    database: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    for path, said in (
        (tmp_path / "file", "could not be written"),
        (tmp_path / "file" / "media", "cannot be looked at"),
        (tmp_path / "link", "could not be written"),
        (shared, "anybody may write"),
    ):
        code, found = await files(database, path.as_uri())
        assert (code, found["level"]) == (1, "fault"), path
        assert said in found["message"]
        assert found["remedy"]
    assert shared.stat().st_mode & 0o7777 == 0o1777
    assert inside(shared) == []


async def test_read_only_storage_is_a_fault_that_names_the_missing_right(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def read_only(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system (os error 30)")

    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("LANDFALL_MEDIA_URL", tmp_path.as_uri())
    for call, did, right in (("put_async", "written", "write"), ("delete_async", "deleted", "delete")):
        with monkeypatch.context() as patched:
            patched.setattr(storage_module.obstore, call, read_only)
            [found] = await doctor._storage(wiring.configuration(), [])
        assert (found.level, f"could not be {did}" in found.message) == ("fault", True)
        assert "Read-only file system" in found.message
        assert f"the right to {right} there" in found.remedy


async def test_full_storage_is_said_to_be_full(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device (os error 28)")

    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("LANDFALL_MEDIA_URL", tmp_path.as_uri())
    monkeypatch.setattr(storage_module.obstore, "put_async", full)
    [found] = await doctor._storage(wiring.configuration(), [])
    assert (found.level, "could not be written" in found.message) == ("fault", True)
    assert "No space left on device" in found.message
    assert "make room" in found.remedy


async def test_storage_that_never_answers_is_not_waited_for(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("LANDFALL_MEDIA_URL", tmp_path.as_uri())
    monkeypatch.setattr(storage_module.obstore, "put_async", silent)
    monkeypatch.setattr(doctor, "STORAGE_SECONDS", 0.1)
    [found] = await doctor._storage(wiring.configuration(), [])
    assert (found.level, "no complete answer within" in found.message) == ("fault", True)


async def test_folder_of_another_account_is_not_tried(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("LANDFALL_MEDIA_URL", tmp_path.as_uri())
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    [found] = await doctor._storage(wiring.configuration(), [])
    assert (found.level, "belongs to another account" in found.message) == ("warning", True)
    assert inside(tmp_path) == []


async def test_worker_without_the_place_that_the_web_process_has_is_a_fault(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    processes = [Process("serve", "h", 1, ["media"], 1.0), Process("work", "h", 2, ["vault"], 1.0)]
    [found] = await doctor._storage(wiring.configuration(), processes)
    assert (found.level, "this shell has none" in found.message) == ("warning", True)
    monkeypatch.setenv("LANDFALL_MEDIA_URL", tmp_path.as_uri())
    worker, tried = await doctor._storage(wiring.configuration(), processes)
    assert (worker.level, tried.level) == ("fault", "ok")
    assert "give `landfall work` the LANDFALL_MEDIA_URL" in worker.remedy


@pytest.mark.server
async def test_bucket_is_tried_and_a_wrong_one_is_said_without_its_secret(database: str, s3: str) -> None:  # noqa: F811
    given = {**{name: value for name, [value] in KEYS.items()}, "AWS_ENDPOINT_URL": s3}
    code, found = await files(database, "s3://files/landfall", **given)
    assert (code, found["level"]) == (0, "ok"), found
    code, found = await files(database, "s3://no-such-bucket", **given)
    assert (code, found["level"]) == (1, "fault")
    assert "could not be written" in found["message"]
    assert "s3:PutObject" in found["remedy"]
    assert "secret-canary" not in str(found)
