from publish.preflight.contract import MediaFacts
from publish.preflight.stored_media import media_facts


def test_video() -> None:
    audio = {"codec": "AAC", "sample_rate": 48_000, "channels": 2, "bits_per_second": 128_000}
    details = {
        "codec": "h264",
        "profile": "High",
        "pixel_format": "yuv420p",
        "frames_per_second": 29.97,
        "bits_per_second": 4_000_000,
        "rotation": 0,
        "index_first": False,
        "audio": audio,
    }
    found = media_facts(
        2,
        content_type="video/mp4",
        size=5,
        width=720,
        height=1280,
        duration_ms=10_500,
        details=details,
        alt_text="a dog",
    )
    assert found == MediaFacts(
        position=2,
        content_type="video/mp4",
        bytes=5,
        width=720,
        height=1280,
        seconds=10.5,
        codec="h264",
        audio_codec="aac",
        audio_hertz=48_000,
        frames_per_second=29.97,
        bits_per_second=4_000_000,
        alt_text="a dog",
        pixel_format="yuv420p",
        index_first=False,
    )


def test_video_without_sound_is_not_one_of_unknown_sound() -> None:
    found = media_facts(
        1, content_type="video/mp4", size=5, width=1, height=1, duration_ms=None, details={"audio": None, "codec": 7}
    )
    assert (found.audio_codec, found.audio_hertz, found.seconds, found.codec) == ("", None, None, None)


def test_still_and_moving_gif_and_document() -> None:
    def kind(content_type: str, **details: object) -> str:
        return media_facts(
            1, content_type=content_type, size=5, width=1, height=1, duration_ms=None, details=details
        ).kind

    assert kind("image/gif", frames=1) == "image"
    assert kind("image/gif", frames=2) == "gif"
    assert kind("image/gif") == "gif"
    assert kind("image/jpeg", codec="jpeg") == "image"
    assert kind("application/pdf", pages=3) == "document"
    assert kind("audio/mpeg") == "audio"
