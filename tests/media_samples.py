"""Files of every kind that can be posted, made anew, and some that cannot."""

import hashlib
import io
import struct
import tempfile
import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import av
import pypdf
from PIL import Image


def image(form: str = "PNG", size: tuple[int, int] = (300, 200), colour: Any = "red", **options: Any) -> bytes:
    made = io.BytesIO()
    Image.new("RGBA" if isinstance(colour, tuple) else "RGB", size, colour).save(made, form, **options)
    return made.getvalue()


def turned() -> bytes:
    """A JPEG of 300 x 200 that is shown as 200 x 300."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return image("JPEG", exif=exif)


def moving_gif() -> bytes:
    frames = [Image.new("RGB", (50, 40), colour) for colour in ("red", "green", "blue")]
    made = io.BytesIO()
    frames[0].save(made, "GIF", save_all=True, append_images=frames[1:], duration=100)
    return made.getvalue()


@cache
def video(form: str = "mp4", codec: str = "libx264", seconds: int = 1, *, sound: bool = True) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video"
        with av.open(str(path), "w", format=form) as container:
            stream = container.add_stream(codec, rate=30)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            tone = container.add_stream("libopus" if form == "webm" else "aac", rate=48000) if sound else None
            for number in range(30 * seconds):
                frame = av.VideoFrame(320, 240, "yuv420p")
                frame.pts = number
                for plane in frame.planes:
                    plane.update(bytes(plane.buffer_size))
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
            if tone is not None:
                samples = 960 if form == "webm" else 1024
                for number in range(48000 * seconds // samples):
                    part = av.AudioFrame(format="s16" if form == "webm" else "fltp", layout="stereo", samples=samples)
                    part.sample_rate, part.pts = 48000, number * samples
                    for plane in part.planes:
                        plane.update(bytes(plane.buffer_size))
                    container.mux(tone.encode(part))
                container.mux(tone.encode())
        return path.read_bytes()


SOUND = {
    "mp3": ("libmp3lame", "fltp", 1152),
    "ogg": ("libopus", "s16", 960),
    "wav": ("pcm_s16le", "s16", 1024),
    "flac": ("flac", "s16", 4096),
    "ipod": ("aac", "fltp", 1024),
}
"""Formats of sound, as FFmpeg names them: encoder, format of samples, and their number in a frame. M4A is ipod."""


@cache
def audio(form: str = "mp3", seconds: int = 2, *, bare: bool = False) -> bytes:
    """Sound in a format; ``bare`` without the tags before it."""
    codec, samples, size = SOUND[form]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound"
        options = {"id3v2_version": "0", "write_xing": "0"} if bare else {}
        with av.open(str(path), "w", format=form, options=options) as container:
            tone = container.add_stream(codec, rate=48000)
            for number in range(48000 * seconds // size):
                part = av.AudioFrame(format=samples, layout="stereo", samples=size)
                part.sample_rate, part.pts = 48000, number * size
                for plane in part.planes:
                    plane.update(bytes(plane.buffer_size))
                container.mux(tone.encode(part))
            container.mux(tone.encode())
        return path.read_bytes()


def pdf(pages: int = 3, password: str = "") -> bytes:
    writer, made = pypdf.PdfWriter(), io.BytesIO()
    for _ in range(pages):
        writer.add_blank_page(100, 100)
    if password:
        writer.encrypt(password)
    writer.write(made)
    return made.getvalue()


def archive(*names: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return made.getvalue()


def bomb(side: int = 20_000) -> bytes:
    """A PNG of some kilobytes that takes gigabytes once it is decoded."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))

    packing = zlib.compressobj()
    rows = b"".join(packing.compress(bytes(side * 3 + 1)) for _ in range(side)) + packing.flush()
    head = struct.pack("!IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def large_video(size: int, *, filled: bool = True) -> bytes:
    """A video that can be read, filled up to a size with a box of the type ``free``, which players pass over; or only
    what comes before those bytes.
    """
    made = video()
    head = made + struct.pack("!I4s", size - len(made), b"free")
    return head + bytes(size - len(head)) if filled else head


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
