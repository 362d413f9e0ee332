"""`landfall media list` says what there is, and with --check whether the storage has it."""

import io
import json
from typing import Any

from tests import media_samples
from tests.rig import Rig
from tests.support import command


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
