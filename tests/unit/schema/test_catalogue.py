"""The listing of published columns: nothing that stands in it vanishes or changes, and it is what the schema says."""

from pathlib import Path

import pytest

from schema import catalogue
from schema.catalogue import BrokenPromiseError, broken, document, listed, write
from schema.published import PUBLISHED, PUBLISHED_FOR_TENANT
from schema.reporting import VIEWS

PAGE = Path(__file__).parents[3] / "docs" / "reporting.md"


def test_page_lists_every_column_as_the_schema_has_it() -> None:
    assert PAGE.read_text() == document()
    assert listed(PAGE.read_text()) == catalogue.catalogue()
    assert set(listed(PAGE.read_text())) == {*VIEWS, *PUBLISHED}


def test_both_schemas_publish_the_same_columns() -> None:
    assert {name: view.types for name, view in PUBLISHED.items()} == {
        name: view.types for name, view in PUBLISHED_FOR_TENANT.items()
    }


def test_column_that_is_renamed_or_dropped_or_of_another_type_breaks_a_promise_and_one_more_does_not() -> None:
    before = {"a_v1": {"id": "bigint", "text": "text"}, "b_v1": {"id": "bigint"}}
    now = {"a_v1": {"id": "integer", "body": "text"}, "c_v1": {"id": "bigint"}}
    assert broken(before, now) == [
        "a_v1.id was bigint and is integer",
        "a_v1.text is gone, or has another name",
        "view b_v1 is gone",
    ]
    assert broken(before, {name: columns | {"more": "text"} for name, columns in before.items()}) == []


@pytest.mark.parametrize(
    ("listed_now", "published"),
    [
        ("| `views` | bigint |", "| `seen` | bigint |"),
        ("| `views` | bigint |", "| `views` | integer |"),
        ("## `posts_v1`", "## `posts_v0`"),
    ],
)
def test_page_is_not_written_again_where_that_would_break_what_it_promises(
    tmp_path: Path, listed_now: str, published: str
) -> None:
    page = tmp_path / "reporting.md"
    promised = document().replace(listed_now, published)
    assert promised != document()
    page.write_text(promised)
    with pytest.raises(BrokenPromiseError, match="publish another version of the view"):
        write(page)
    assert page.read_text() == promised


def test_page_with_fewer_columns_than_there_are_now_is_written_again(tmp_path: Path) -> None:
    page = tmp_path / "reporting.md"
    page.write_text("\n".join(line for line in document().splitlines() if not line.startswith("| `views` ")))
    write(page)
    assert page.read_text() == document()
