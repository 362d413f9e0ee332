"""Files are looked into in a process of its own, which a hostile one cannot leave, nor outlast its bounds."""

import asyncio
import io
import os
import struct
from pathlib import Path

import psutil
import pytest
from PIL import Image

from publish.media import decoder, inspection, sniffing
from publish.media.inspection import Conversion, Facts, Inspector
from publish.media.refusal import MediaRefused
from tests import media_samples


async def looked(content: bytes) -> Facts:
    claim = sniffing.claim(content[: sniffing.HEAD_BYTES])
    assert claim is not None

    async def read(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    return await Inspector().look(claim, len(content), read)


async def converted(content: bytes, conversion: Conversion) -> Image.Image:
    claim = sniffing.claim(content)
    assert claim is not None

    async def read(offset: int, length: int) -> bytes:
        return content[offset : offset + length]

    async with Inspector().converted(claim, len(content), read, conversion) as made:
        image = Image.open(io.BytesIO(b"".join([piece async for piece in made])))
        image.load()
        return image


def children() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if str(inspection.DECODER) in child.cmdline()]


async def test_image_has_its_size_as_it_is_shown() -> None:
    found = await looked(media_samples.turned())
    assert (found.width, found.height, found.duration_ms) == (200, 300, None)
    assert found.details == {"codec": "jpeg", "mode": "RGB", "frames": 1, "has_alpha": False, "orientation": 6}
    found = await looked(media_samples.image("PNG", colour=(255, 0, 0, 128)))
    assert (found.details["mode"], found.details["has_alpha"]) == ("RGBA", True)


async def test_moving_image_has_its_frames_and_how_long_they_take() -> None:
    found = await looked(media_samples.moving_gif())
    assert (found.kind, found.details["frames"], found.duration_ms) == ("gif", 3, 300)


@pytest.mark.parametrize(("form", "codec", "named"), [("mp4", "libx264", "h264"), ("webm", "libvpx", "vp8")])
async def test_video_has_its_codecs_and_times(form: str, codec: str, named: str) -> None:
    found = await looked(media_samples.video(form, codec, 2))
    assert (found.kind, found.width, found.height) == ("video", 320, 240)
    assert abs((found.duration_ms or 0) - 2000) < 50
    assert (found.details["codec"], found.details["frames_per_second"]) == (named, 30.0)
    assert found.details["audio"]["sample_rate"] == 48000
    silent = await looked(media_samples.video(sound=False))
    assert silent.details["audio"] is None
    assert silent.details["index_first"] is False


@pytest.mark.parametrize(
    ("form", "codec"), [("mp3", "mp3"), ("ogg", "opus"), ("wav", "pcm_s16le"), ("flac", "flac"), ("ipod", "aac")]
)
async def test_audio_has_its_codec_and_how_long_it_is(form: str, codec: str) -> None:
    found = await looked(media_samples.audio(form, 2))
    assert (found.kind, found.width, found.height) == ("audio", None, None)
    assert abs((found.duration_ms or 0) - 2000) < 150
    assert found.details["codec"].removesuffix("float") == codec
    assert (found.details["sample_rate"], found.details["channels"]) == (48000, 2)


async def test_file_that_only_says_it_is_sound_is_refused_in_words() -> None:
    for head in (b"ID3", b"OggS", b"RIFF\0\0\0\0WAVE", b"fLaC"):
        with pytest.raises(MediaRefused, match="damaged audio file"):
            await looked(head + bytes(2000))
    renamed = media_samples.video().replace(b"ftypisom", b"ftypM4A ", 1)
    with pytest.raises(MediaRefused, match="has moving pictures"):
        await looked(renamed)


async def test_document_has_its_pages() -> None:
    assert (await looked(media_samples.pdf(7))).details == {"pages": 7}
    slides = media_samples.archive("ppt/presentation.xml", "ppt/slides/slide1.xml", "ppt/slides/slide2.xml")
    found = await looked(slides)
    assert found.content_type.endswith("presentationml.presentation")
    assert found.details == {"pages": 2}
    found = await looked(media_samples.archive("word/document.xml"))
    assert found.content_type.endswith("wordprocessingml.document")


async def test_bomb_is_refused_before_it_is_unpacked() -> None:
    with pytest.raises(MediaRefused, match="20000 x 20000") as raised:
        await looked(media_samples.bomb())
    assert raised.value.reason == "too_many_pixels"


async def test_file_that_needs_more_memory_than_there_is_ends_its_process_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inspection, "MEMORY_BYTES", 200 * 2**20)
    with pytest.raises(MediaRefused) as raised:
        await looked(media_samples.bomb(9_000))
    assert raised.value.reason == "decoder_failed"
    assert children() == []


async def test_file_that_needs_more_time_than_there_is_ends_its_process_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value, script in (
        ("PROCESSOR_SECONDS", 1, f"import sys; sys.path.insert(0, {str(inspection.DECODER.parent)!r})\n{BUSY}"),
        ("WALL_SECONDS", 0.5, "import time; time.sleep(60)"),
    ):
        program = tmp_path / f"{name}.py"
        program.write_text(script)
        with monkeypatch.context() as patched:
            patched.setattr(inspection, name, value)
            patched.setattr(inspection, "DECODER", program)
            with pytest.raises(MediaRefused) as raised:
                await asyncio.wait_for(looked(media_samples.image()), 20)
            assert raised.value.reason == "decoder_failed"
            assert children() == []


BUSY = """
import decoder

def never_ends(file, order):
    while True:
        pass

decoder.LOOKS["image"] = never_ends
decoder.run()
"""


async def test_process_can_write_no_file_and_has_nothing_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANDFALL_VAULT_KEYS", "canary")
    program = tmp_path / "program.py"
    program.write_text(
        f"import sys; sys.path.insert(0, {str(inspection.DECODER.parent)!r})\n"
        f"""
import os, decoder

def looks(file, order):
    written = open({str(tmp_path / "written")!r}, "wb")
    try:
        written.write(b"x")
        written.flush()
        wrote = True
    except OSError:
        wrote = False
    return {{"details": {{"environment": dict(os.environ), "wrote": wrote}}}}

import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
decoder.LOOKS["image"] = looks
decoder.run()
"""
    )
    monkeypatch.setattr(inspection, "DECODER", program)
    found = await looked(media_samples.image())
    assert found.details["wrote"] is False
    assert "canary" not in str(found.details["environment"])


@pytest.mark.parametrize(
    "content",
    [
        media_samples.image("JPEG", (2000, 1000))[:3000],
        media_samples.image("PNG")[:200],
        media_samples.video()[:3000],
        b"\x00\x00\x00\x18ftypisom" + os.urandom(5000),
        b"%PDF-1.7\n" + os.urandom(5000),
        b"PK\x03\x04" + os.urandom(5000),
        b"\x1a\x45\xdf\xa3\x42\x82\x84webm" + os.urandom(5000),
        b"GIF89a" + bytes(10),
    ],
)
async def test_damaged_file_is_refused_clearly(content: bytes) -> None:
    with pytest.raises(MediaRefused) as raised:
        await looked(content)
    assert raised.value.reason == "broken"
    assert children() == []


async def test_storage_that_fails_while_a_file_is_looked_into_is_no_fault_of_the_file() -> None:
    async def read(offset: int, length: int) -> bytes:
        raise LookupError("the storage is away")

    with pytest.raises(LookupError):
        await Inspector().look(sniffing.PNG, 1000, read)
    assert children() == []


async def test_image_is_converted() -> None:
    source = media_samples.image("PNG", (400, 200), (255, 0, 0, 0))
    made = await converted(source, Conversion("jpeg", longest=100))
    assert (made.format, made.size, made.mode) == ("JPEG", (100, 50), "RGB")
    assert made.getpixel((5, 5)) == (255, 255, 255), "what can be seen through is white"
    made = await converted(source, Conversion("png", ratio=(1, 1)))
    assert (made.format, made.size, made.mode) == ("PNG", (200, 200), "RGBA")
    made = await converted(source, Conversion("png", ratio=(1, 1), fit="pad", longest=300))
    assert made.size == (300, 300)
    made = await converted(media_samples.turned(), Conversion("jpeg"))
    assert (made.size, made.getexif().get(decoder.ORIENTATION)) == ((200, 300), None)
    made = await converted(media_samples.image("PNG", (50, 50)), Conversion("png", longest=100))
    assert made.size == (50, 50), "nothing is made larger"


def test_index_of_a_video_is_found_before_or_after_its_pictures() -> None:
    def box(kind: bytes, size: int = 8) -> bytes:
        return struct.pack("!I4s", size, kind) + bytes(size - 8)

    large = struct.pack("!I4sQ", 1, b"free", 24) + bytes(8)
    for content, first in (
        (box(b"ftyp", 16) + box(b"moov") + box(b"mdat"), True),
        (box(b"ftyp", 16) + large + box(b"mdat") + box(b"moov"), False),
        (box(b"ftyp", 16), None),
        (struct.pack("!I4s", 4, b"ftyp"), None),
    ):
        assert decoder.index_first(io.BytesIO(content)) is first
