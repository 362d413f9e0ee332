"""Tell by the first bytes what a file claims to be. What it is, is found by whatever reads it whole."""

from dataclasses import dataclass
from typing import Literal

Decoder = Literal["image", "video", "audio", "pdf", "office"]

HEAD_BYTES = 4096
"""As much of a file as has to be seen."""


@dataclass(frozen=True, slots=True)
class Claim:
    """``kind`` is one of ``schema.media.KINDS``; ``form`` is the name by which the decoder knows the format."""

    kind: str
    content_type: str
    decoder: Decoder
    form: str

    @property
    def noun(self) -> str:
        """What people call a file of this kind."""
        return noun(self.kind)


def noun(kind: str) -> str:
    """Return what people call a file of a kind."""
    return {"gif": "GIF", "audio": "audio file"}.get(kind, kind)


def article(kind: str) -> str:
    """Return that with its article."""
    return f"{'an' if kind in ('image', 'audio') else 'a'} {noun(kind)}"


JPEG = Claim("image", "image/jpeg", "image", "JPEG")
PNG = Claim("image", "image/png", "image", "PNG")
WEBP = Claim("image", "image/webp", "image", "WEBP")
AVIF = Claim("image", "image/avif", "image", "AVIF")
GIF = Claim("gif", "image/gif", "image", "GIF")
MP4 = Claim("video", "video/mp4", "video", "mov")
QUICKTIME = Claim("video", "video/quicktime", "video", "mov")
WEBM = Claim("video", "video/webm", "video", "matroska")
MP3 = Claim("audio", "audio/mpeg", "audio", "mp3")
OGG = Claim("audio", "audio/ogg", "audio", "ogg")
WAV = Claim("audio", "audio/wav", "audio", "wav")
FLAC = Claim("audio", "audio/flac", "audio", "flac")
M4A = Claim("audio", "audio/mp4", "audio", "mov")
PDF = Claim("document", "application/pdf", "pdf", "")
OFFICE = Claim("document", "application/zip", "office", "")
"""A Word or PowerPoint file is an archive; which of the two it is, if either, its list of contents says."""

SUPPORTED = "JPEG, PNG, GIF, WebP, AVIF, MP4, MOV, WebM, MP3, M4A, OGG, FLAC, WAV, PDF, DOCX and PPTX"

_VIDEO_BRANDS = frozenset(
    b"isom iso2 iso3 iso4 iso5 iso6 iso7 iso8 iso9 mp41 mp42 avc1 M4VH M4VP MSNV dash 3gp4 3gp5 3gp6 XAVC".split()
) | {b"M4V ", b"f4v "}
"""``ftyp`` of ISO/IEC 14496-12 names many more: of images and protected files, which nobody can post."""


def claim(head: bytes) -> Claim | None:  # noqa: PLR0911  one line for each format
    """Return what the first bytes say; None for what is not supported."""
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PNG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return _iso(head)
    if head.startswith(b"\x1a\x45\xdf\xa3") and b"\x42\x82" in head[:64] and b"webm" in head[:64]:
        return WEBM
    if (sound := _sound(head)) is not None:
        return sound
    if head.startswith(b"%PDF-"):
        return PDF
    if head.startswith(b"PK\x03\x04"):
        return OFFICE
    return None


def _sound(head: bytes) -> Claim | None:
    """Tell formats of sound alone. An MP3 begins with tags, or with a frame: its sync word, and layer III."""
    if head.startswith(b"OggS"):
        return OGG
    if head.startswith(b"fLaC"):
        return FLAC
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        return WAV
    frame = len(head) > 3 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08
    return MP3 if head.startswith(b"ID3") or frame else None


def _iso(head: bytes) -> Claim | None:
    """Tell files of boxes apart. QuickTime's first versions begin without ``ftyp``."""
    brand = head[8:12]
    if head[4:8] != b"ftyp" or brand == b"qt  ":
        return QUICKTIME
    if brand in (b"avif", b"avis"):
        return AVIF
    if brand in (b"M4A ", b"M4B "):
        return M4A
    return MP4 if brand in _VIDEO_BRANDS else None
