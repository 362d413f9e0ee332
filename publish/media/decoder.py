"""Read a file that somebody sent, in a process of its own: look into it, or convert an image.

This runs as a script, with nothing of Landfall imported and nothing in its environment. It opens no file: it asks its
parent for bytes, by a line of JSON on standard output, and gets them on standard input behind their number. It takes no
more memory and processor time than it is given, so a hostile file ends this process and nothing else.
"""

import contextlib
import io
import json
import math
import os
import resource
import struct
import sys
from collections.abc import Callable
from typing import IO, Any, NoReturn

BUFFER_BYTES = 256 * 2**10
MOST_FRAMES = 2000
"""Of a moving image; no platform takes as many."""

MOST_ENTRIES = 10_000
"""Of the list of contents of an Office file."""

QUALITY = 90
"""Of a JPEG that is made here."""

ORIENTATION = 0x0112


class Refused(Exception):  # noqa: N818  an answer
    """The file is not taken; ``reason`` is one of ``publish.media.refusal``."""

    def __init__(self, reason: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = remedy


class Parent:
    """The other end of the pipes."""

    def __init__(self, source: IO[bytes], answers: IO[bytes]) -> None:
        self._source = source
        self._answers = answers

    def read(self, offset: int, length: int) -> bytes:
        self.tell({"read": [offset, length]})
        [size] = struct.unpack("!I", self._exactly(4))
        return self._exactly(size)

    def tell(self, message: dict[str, Any]) -> None:
        self._answers.write(json.dumps(message).encode() + b"\n")
        self._answers.flush()

    def refuse(self, refused: Refused) -> None:
        self.tell({"refused": [refused.reason, str(refused), refused.remedy]})

    def give(self, content: memoryview) -> None:
        self.tell({"content": len(content)})
        self._answers.write(content)
        self._answers.flush()

    def _exactly(self, size: int) -> bytes:
        content = self._source.read(size)
        if len(content) != size:
            sys.exit(1)  # the parent is gone
        return content


class Remote(io.RawIOBase):
    """The file, which the parent has."""

    def __init__(self, parent: Parent, size: int) -> None:
        super().__init__()
        self._parent = parent
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), max(0, self._size - self._at), BUFFER_BYTES)
        if length:
            buffer[:length] = self._parent.read(self._at, length)
            self._at += length
        return length


def broken(what: str) -> Refused:
    return Refused("broken", f"The file is a damaged {what}.", "save or export it once more, and send that")


def check_pixels(width: int, height: int, most: int) -> None:
    if width * height > most:
        message = f"The image has {width} x {height} pixels; {most} in all are taken."
        raise Refused("too_many_pixels", message, "make it smaller, and send that")


def opened_image(file: IO[bytes], form: str, most_pixels: int) -> Any:
    from PIL import Image, ImageFile

    Image.MAX_IMAGE_PIXELS = None  # checked here before anything is decoded, with a refusal that has the numbers
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    forms = ("JPEG", "MPO") if form == "JPEG" else (form,)  # cameras append further pictures to a JPEG: MPO
    image = Image.open(file, formats=forms)
    check_pixels(*image.size, most_pixels)
    return image


def look_at_image(file: IO[bytes], order: dict[str, Any]) -> dict[str, Any]:
    image = opened_image(file, order["form"], order["pixels"])
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if frames > MOST_FRAMES:
        message = f"The image has {frames} frames; {MOST_FRAMES} are taken."
        raise Refused("too_many_pixels", message, "send it as a video, or with fewer frames")
    duration = 0.0
    for number in range(frames):
        if frames > 1:
            image.seek(number)
        image.load()
        duration += image.info.get("duration") or 0
    turned = image.getexif().get(ORIENTATION, 1)
    width, height = image.size if turned < 5 else reversed(image.size)
    details: dict[str, Any] = {"codec": order["form"].lower(), "mode": image.mode, "frames": frames}
    details["has_alpha"] = image.has_transparency_data
    if turned != 1:
        details["orientation"] = turned
    return {
        "width": width,
        "height": height,
        "duration_ms": round(duration) if frames > 1 and math.isfinite(duration) else None,
        "details": details,
    }


def convert_image(file: IO[bytes], order: dict[str, Any]) -> memoryview:
    """Turn it as it says, cut or fill it to a ratio, make it smaller, and write it in another format."""
    from PIL import Image, ImageOps

    image = opened_image(file, order["form"], order["pixels"])
    image.load()
    profile = image.info.get("icc_profile")
    image = ImageOps.exif_transpose(image)
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    jpeg = order["format"] == "jpeg"
    if jpeg and image.mode == "RGBA":
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image).convert("RGB")
    if ratio := order.get("ratio"):
        image = _to_ratio(image, ratio[0] / ratio[1], pad=order["fit"] == "pad", most=order["pixels"])
    longest = order.get("longest")
    if longest and max(image.size) > longest:
        scale = longest / max(image.size)
        image = image.resize(tuple(max(1, round(side * scale)) for side in image.size), Image.Resampling.LANCZOS)
    made = io.BytesIO()
    options: dict[str, Any] = {"quality": QUALITY, "optimize": True, "progressive": False} if jpeg else {}
    if profile:
        options["icc_profile"] = profile
    image.save(made, "JPEG" if jpeg else "PNG", **options)
    return made.getbuffer()


def _to_ratio(image: Any, ratio: float, *, pad: bool, most: int) -> Any:
    from PIL import Image

    width, height = image.size
    wider = width / height > ratio
    if pad:
        size = (width, max(1, round(width / ratio))) if wider else (max(1, round(height * ratio)), height)
        check_pixels(*size, most)
        ground = Image.new(image.mode, size, "white")
        ground.paste(image, ((size[0] - width) // 2, (size[1] - height) // 2))
        return ground
    size = (max(1, round(height * ratio)), height) if wider else (width, max(1, round(width / ratio)))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    return image.crop((left, top, left + size[0], top + size[1]))


def look_at_video(file: IO[bytes], order: dict[str, Any]) -> dict[str, Any]:
    import av

    av.logging.set_level(av.logging.PANIC)
    # The format is given, so that no playlist is taken for a video: those name further files and addresses.
    options = {"protocol_whitelist": "", "probesize": "20000000"}
    with av.open(file, "r", format=order["form"], options=options) as container:
        if not container.streams.video:
            remedy = "send a video, or the sound as one of MP3, M4A, OGG, FLAC and WAV"
            raise Refused("unsupported", "The file has sound and no picture.", remedy)
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        frame = next(container.decode(stream), None)
        if frame is None:
            raise broken("video")
        width, height = frame.width, frame.height
        rotation = getattr(frame, "rotation", 0) % 360
        if rotation in (90, 270):
            width, height = height, width
        duration = _seconds(container, stream, "video", "MP4")
        rate = stream.average_rate
        details: dict[str, Any] = {
            "codec": stream.codec_context.name,
            "profile": stream.codec_context.profile,
            "pixel_format": stream.codec_context.pix_fmt,
            "frames_per_second": round(float(rate), 3) if rate else None,
            "bits_per_second": container.bit_rate or None,
            "rotation": rotation,
            "audio": None,
        }
        if container.streams.audio:
            details["audio"] = _sound(container.streams.audio[0])
        if order["form"] == "mov":
            details["index_first"] = index_first(file)
        return {"width": width, "height": height, "duration_ms": round(duration * 1000), "details": details}


def _sound(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "codec": context.name,
        "sample_rate": context.sample_rate,
        "channels": context.channels,
        "bits_per_second": context.bit_rate or None,
    }


def _seconds(container: Any, stream: Any, what: str, better: str) -> float:
    """Return how long a file is. Raises Refused where it does not say so."""
    import av

    seconds = container.duration / av.time_base if container.duration else None
    if seconds is None and stream.duration is not None and stream.time_base is not None:
        seconds = float(stream.duration * stream.time_base)
    if seconds is None or not math.isfinite(seconds) or seconds <= 0:
        raise Refused("broken", f"The {what} does not say how long it is.", f"export it as {better}, and send that")
    return float(seconds)


def look_at_audio(file: IO[bytes], order: dict[str, Any]) -> dict[str, Any]:
    """Look into a file of sound; a picture of its cover may be in it, and no other."""
    import av

    av.logging.set_level(av.logging.PANIC)
    options = {"protocol_whitelist": "", "probesize": "20000000"}
    with av.open(file, "r", format=order["form"], options=options) as container:
        if not container.streams.audio:
            raise Refused("unsupported", "The file has no sound.", f"send one of {order['supported']}")
        if any(not each.disposition & av.stream.Disposition.attached_pic for each in container.streams.video):
            raise Refused("unsupported", "The file of sound has moving pictures.", "send it as MP4, MOV or WebM")
        stream = container.streams.audio[0]
        stream.codec_context.thread_count = 1
        if next(container.decode(stream), None) is None:
            raise broken("audio file")
        seconds = _seconds(container, stream, "audio file", "MP3")
        return {"duration_ms": round(seconds * 1000), "details": _sound(stream)}


def index_first(file: IO[bytes]) -> bool | None:
    """Return whether the index of an MP4, ``moov``, stands before the pictures; None where it cannot be told."""
    at, end = 0, file.seek(0, io.SEEK_END)
    for _ in range(100):
        file.seek(at)
        head = file.read(16)
        if len(head) < 8 or at >= end:
            return None
        size, kind = struct.unpack("!I4s", head[:8])
        if kind in (b"moov", b"mdat"):
            return bool(kind == b"moov")
        if size == 1 and len(head) == 16:
            [size] = struct.unpack("!Q", head[8:])
        if size < 8:
            return None
        at += size
    return None


def look_at_pdf(file: IO[bytes], order: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG001  as the others
    from pypdf import PdfReader

    reader = PdfReader(file)
    if reader.is_encrypted:
        message = "The PDF is encrypted, and no platform can show it."
        raise Refused("unsupported", message, "save it without a password, and send that")
    return {"details": {"pages": len(reader.pages)}}


OFFICE = {
    "word/document.xml": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "ppt/presentation.xml": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}


def look_at_office(file: IO[bytes], order: dict[str, Any]) -> dict[str, Any]:
    import zipfile

    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    if len(names) > MOST_ENTRIES:
        raise broken("archive")
    kind = next((kind for name, kind in OFFICE.items() if name in names), None)
    if kind is None:
        message = "The file is an archive, and neither a Word nor a PowerPoint file."
        raise Refused("unsupported", message, f"send one of {order['supported']}")
    slides = sum(name.startswith("ppt/slides/slide") and name.endswith(".xml") for name in names)
    return {"content_type": kind, "details": {"pages": slides or None}}


LOOKS: dict[str, Callable[[IO[bytes], dict[str, Any]], dict[str, Any]]] = {
    "image": look_at_image,
    "video": look_at_video,
    "audio": look_at_audio,
    "pdf": look_at_pdf,
    "office": look_at_office,
}


def limit(memory: int, seconds: int) -> None:
    """Give up what this process does not need, and be the first to go where the machine runs out of memory."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("1000")
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def run() -> NoReturn:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no answer
    source = os.fdopen(0, "rb")
    order = json.loads(source.readline())
    limit(order["memory"], order["seconds"])
    parent = Parent(source, answers)
    file = io.BufferedReader(Remote(parent, order["size"]), BUFFER_BYTES)
    try:
        if order["do"] == "convert":
            parent.give(convert_image(file, order))
        else:
            parent.tell({"found": LOOKS[order["decoder"]](file, order)})
    except Refused as refused:
        parent.refuse(refused)
    except MemoryError:
        os._exit(2)  # there may be none left to say so
    except Exception:  # noqa: BLE001  what a decoder raises over a damaged file is of any type
        parent.refuse(broken(order["said"]))
    os._exit(0)  # nothing of a hostile file is taken apart any more


if __name__ == "__main__":
    run()
