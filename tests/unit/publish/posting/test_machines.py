"""``docs/machines.md`` shows the machines as they are."""

from pathlib import Path

from publish.posting.machines import document

DOCUMENT = Path(__file__).parents[4] / "docs" / "machines.md"


def test_document_shows_the_machines_as_they_are() -> None:
    assert DOCUMENT.read_text() == document(), "run: python -m publish.posting.machines > docs/machines.md"
