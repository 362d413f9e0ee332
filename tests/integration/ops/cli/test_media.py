"""`landfall media`, and files that `landfall posts create` uploads first."""

import io
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from ops.runtime.tenancy import tenant_transaction
from publish.media.links import Links
from schema.tenancy import DEFAULT_TENANT
from tests import media_samples
from tests.rig import Rig
from tests.support import command


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {"LANDFALL_MEDIA_URL": f"file://{tmp_path / 'kept'}"}


async def test_files_are_uploaded_from_a_terminal_once_each(rig: Rig, tmp_path: Path, settings: dict[str, str]) -> None:
    picture = tmp_path / "tea cup.png"
    picture.write_bytes(media_samples.image())
    code, output = await command(rig.dsn, "media", "upload", str(picture), "--json", **settings)
    assert code == 0, output
    first = json.loads(output)
    assert (first["file_name"], first["content_type"], first["width"]) == ("tea cup.png", "image/png", 300)
    code, output = await command(rig.dsn, "media", "upload", str(picture), **settings)
    assert (code, output.startswith(first["id"]), "was there already" in output) == (0, True, True), output
    [[kept, by]] = await rig.raw("SELECT stored_as, created_by FROM media")
    assert (tmp_path / "kept" / kept).read_bytes() == picture.read_bytes()
    assert by == "command"


async def test_who_fetched_a_file_is_listed(rig: Rig, settings: dict[str, str]) -> None:
    _, file = await rig.api("POST", "/api/media", data=io.BytesIO(media_samples.image()))
    target = str(uuid4())
    async with tenant_transaction(rig.pool, DEFAULT_TENANT) as connection:
        url = await Links(rig.url).make(connection, DEFAULT_TENANT, file["id"], target, 1, 60)
    code, output = await command(rig.dsn, "media", "fetches", file["id"], **settings)
    assert (code, output) == (0, "nobody fetched it\n")
    async with aiohttp.ClientSession() as http, http.get(url, headers={"User-Agent": "fetcher/1"}) as response:
        await response.read()
    code, output = await command(rig.dsn, "media", "fetches", file["id"], **settings)
    assert code == 0, output
    assert "GET 200" in output
    assert f"file {file['id']}  attempt 1  fetcher/1  from 127.0.0.1" in output
    code, output = await command(rig.dsn, "media", "fetches", target, **settings)
    assert (code, output.count("GET 200")) == (0, 1), output
    code, output = await command(rig.dsn, "media", "fetches", str(uuid4()), **settings)
    assert (code, "neither a file nor a post nor a target" in output) == (1, True), output


async def test_what_cannot_be_taken_is_said_with_its_name(rig: Rig, tmp_path: Path, settings: dict[str, str]) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a picture")
    code, output = await command(rig.dsn, "media", "upload", str(text), **settings)
    assert (code, str(text) in output, "What to do" in output) == (1, True, True), output
    code, output = await command(rig.dsn, "media", "upload", str(tmp_path / "gone.png"), **settings)
    assert (code, "gone.png cannot be read (No such file or directory)" in output) == (1, True), output
    code, output = await command(rig.dsn, "media", "upload", "http://127.0.0.1:1/x.png", **settings)
    assert (code, "http://127.0.0.1:1/x.png: " in output) == (1, True), output
    code, output = await command(rig.dsn, "media", "upload", str(text))
    assert (code, "there is no place for files" in output) == (1, True), output
    assert await rig.raw("SELECT 1 FROM media") == []


async def test_post_is_made_with_files_that_are_uploaded_first(
    rig: Rig, tmp_path: Path, settings: dict[str, str]
) -> None:
    [account] = await rig.connect("instagram")
    files = []
    for name, colour in (("one.jpg", "red"), ("two.jpg", "green")):
        (tmp_path / name).write_bytes(media_samples.image("JPEG", (640, 640), colour))
        files += ["--file", str(tmp_path / name)]
    create = ("posts", "create", "--content", "Tea", "--connection", account, *files, "--json")
    code, output = await command(rig.dsn, *create, "--alt-text", "a cup", "--alt-text", "a pot", **settings)
    assert code == 0, output
    post = json.loads(output.splitlines()[-1])["post"]
    assert [each["alt_text"] for each in post["media"]] == ["a cup", "a pot"]
    assert post["targets"][0]["kind"] == "carousel"
    names = await rig.raw("SELECT file_name FROM post_media JOIN media ON id = media_id ORDER BY position")
    assert [name for [name] in names] == ["one.jpg", "two.jpg"]
    code, output = await command(rig.dsn, *create, *["--alt-text", "x"] * 3, **settings)
    assert (code, "more --alt-text than" in output) == (2, True), output


async def test_files_whose_bytes_are_gone_or_of_another_size_are_said(rig: Rig, database: str) -> None:
    async def listed(*arguments: str) -> tuple[int, list[Any]]:
        code, said = await command(database, "media", "list", "--json", *arguments, **place)
        return code, [json.loads(line) for line in said.splitlines() if line.startswith('{"tenant')]

    place = {"LANDFALL_MEDIA_URL": (rig.media / "media").as_uri()}
    made = []
    for size in (30, 40, 50):
        content = media_samples.image("PNG", (size, size))
        made.append((await rig.api("POST", "/api/media", data=io.BytesIO(content)))[1])
    whole, short, gone = [each["id"] for each in made]
    assert (await command(database, "media", "list", "--check", **place))[0] == 0
    code, found = await listed("--check")
    assert (code, {each["stored"] for each in found}) == (0, {"ok"})
    names = await rig.raw("SELECT id::text, stored_as FROM media")
    paths = {row["id"]: rig.media / "media" / row["stored_as"] for row in names}
    paths[short].write_bytes(b"less")
    paths[gone].unlink()
    code, found = await listed("--check")
    shown = {each["id"]: (each["stored"], each["stored_bytes"]) for each in found}
    assert (code, shown) == (
        1,
        {whole: ("ok", made[0]["bytes"]), short: ("other_size", 4), gone: ("missing", None)},
    )
    assert await listed() == (0, [each | {"stored": None, "stored_bytes": None} for each in found])
    code, said = await command(database, "media", "list", "--check", **place)
    assert (code, "its bytes are missing" in said, "the storage has 4 bytes of it" in said) == (1, True, True)
    assert "the storage does not have the bytes of 2 files as they were" in said
    await rig.api("DELETE", f"/api/media/{gone}")
    code, found = await listed("--check", "--removed")
    assert [each["stored"] for each in found if each["id"] == gone] == [None], "of a removed file nothing is asked"
    code, said = await command(database, "media", "list", "--check")
    assert (code, "there is no place for files" in said) == (1, True)
