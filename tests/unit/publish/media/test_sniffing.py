"""The first bytes say what a file claims to be, whatever its name is."""

from collections.abc import Callable
from functools import partial

import pytest

from publish.media import sniffing
from publish.media.sniffing import claim
from tests import media_samples


@pytest.mark.parametrize(
    ("made", "content_type"),
    [
        (partial(media_samples.image, "JPEG"), "image/jpeg"),
        (partial(media_samples.image, "PNG"), "image/png"),
        (partial(media_samples.image, "WEBP"), "image/webp"),
        (partial(media_samples.image, "AVIF"), "image/avif"),
        (media_samples.moving_gif, "image/gif"),
        (media_samples.video, "video/mp4"),
        (partial(media_samples.video, "mov"), "video/quicktime"),
        (partial(media_samples.video, "webm", "libvpx"), "video/webm"),
        (media_samples.audio, "audio/mpeg"),
        (partial(media_samples.audio, bare=True), "audio/mpeg"),
        (partial(media_samples.audio, "ogg"), "audio/ogg"),
        (partial(media_samples.audio, "wav"), "audio/wav"),
        (partial(media_samples.audio, "flac"), "audio/flac"),
        (partial(media_samples.audio, "ipod"), "audio/mp4"),
        (media_samples.pdf, "application/pdf"),
        (partial(media_samples.archive, "word/document.xml"), "application/zip"),
        (lambda: b"\x00\x00\x00\x08moov", "video/quicktime"),
    ],
)
def test_supported_file_is_known(made: Callable[[], bytes], content_type: str) -> None:
    found = claim(made()[: sniffing.HEAD_BYTES])
    assert found is not None
    assert found.content_type == content_type


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"<!doctype html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'>",
        b"#EXTM3U\n",
        b"ffconcat version 1.0\nfile /etc/passwd",
        b"RIFF\x00\x00\x00\x00AVI LIST",
        b"\x00\x00\x00\x18ftypheic\x00\x00",
        b"\x00\x00\x00\x18ftypM4P \x00\x00",
        b"\xff\xf1\x50\x80",
        b"\xff\xea\x90\x00",
        b"\xff\xfb",
        b"MZ\x90\x00",
        b"\x7fELF",
        b"%!PS-Adobe-3.0",
    ],
)
def test_everything_else_is_not_supported(head: bytes) -> None:
    assert claim(head[: sniffing.HEAD_BYTES]) is None


def test_matroska_is_no_webm() -> None:
    assert claim(media_samples.video("matroska")[: sniffing.HEAD_BYTES]) is None
