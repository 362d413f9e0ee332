"""What `landfall up` shows of tables comes from the tables and the projections: no platform is named in its code."""

from datetime import UTC, datetime

from ops.cli import wiring
from ops.cli.up import named_rows, previews
from schema.crm.instagram import ig_comments, ig_media
from schema.events import Event
from sync.projection.store import Claimed


def comment(number: int, media: str, type_: str = "comments") -> Claimed:
    payload = {"id": f"c{number}", "text": "hello", "media": {"id": media}}
    event = Event("instagram", "a1", f"event {number}", type_, payload, None)
    return Claimed(number, event, None, datetime.now(UTC), 0)


def test_tables_with_a_preview_are_found_and_its_headings_are_theirs() -> None:
    assert [table.name for table, _ in previews()] == ["ig_comments", "ig_media", "social_posts", "tiktok_posts"]
    for _, preview in previews():
        assert preview.widest in ("", *preview.columns)


def test_rows_are_those_that_the_events_name_each_once_in_their_order() -> None:
    unreadable = Claimed(9, Event("instagram", "a1", "event 9", "comments", "text", None), None, datetime.now(UTC), 0)
    events = [comment(3, "m2"), unreadable, comment(2, "m1"), comment(1, "m2"), comment(0, "m3", "unknown")]
    found = named_rows(wiring.projections(), events)
    assert found[ig_comments] == [("a1", "c3"), ("a1", "c2"), ("a1", "c1")]
    assert found[ig_media] == [("a1", "m2"), ("a1", "m1")]
