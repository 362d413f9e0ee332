"""What can be exported, and what is said of what cannot."""

from datetime import UTC, datetime

import pytest

from ops.export import request
from ops.export.request import NotInstalled, UnfitExport, export_of
from schema.published import PUBLISHED
from schema.reporting import VIEWS


def test_every_view_can_be_exported_and_of_one_tenant_the_published_ones() -> None:
    for view in (*PUBLISHED, *VIEWS):
        found = export_of(view, "csv", one_tenant=False)
        assert (found.schema, found.file_name) == ("reporting", f"{view}.csv")
        assert found.time in found.columns
    for view in PUBLISHED:
        assert export_of(view, "jsonl", one_tenant=True).schema == "reporting_tenant"
    for view in VIEWS:
        with pytest.raises(UnfitExport, match="it shows no rows of one tenant"):
            export_of(view, "csv", one_tenant=True)


def test_times_are_read_with_their_zone_and_in_utc_without() -> None:
    found = export_of("posts_v1", "csv", one_tenant=True, since="2026-11-28", until="2026-11-28T09:00:00+01:00")
    assert (found.since, found.until) == (datetime(2026, 11, 28, tzinfo=UTC), datetime(2026, 11, 28, 8, tzinfo=UTC))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"view": "posts_v9"}, "There is no view posts_v9 to export"),
        ({"view": 'posts_v1"; DROP TABLE x; --'}, "There is no view"),
        ({"form": "xlsx"}, "There is no format xlsx"),
        ({"since": "yesterday"}, "since is no date and no time"),
        ({"until": "0001-01-01T00:00:00+10:00"}, "until is no date and no time"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "since is not before until"),
        ({"form": "jsonl", "bom": True}, "Only CSV can begin with a byte order mark"),
        ({"view": "ig_comments", "account": "1"}, "ig_comments has no column with the platform's id"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_what_to_do(asked: dict[str, object], said: str) -> None:
    given = {"view": "posts_v1", "form": "csv", "one_tenant": False} | asked
    with pytest.raises(UnfitExport, match=said) as found:
        export_of(**given)  # type: ignore[arg-type]
    assert found.value.remedy


def test_format_whose_package_is_not_installed_is_refused_with_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request, "find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match="pyarrow is not installed") as found:
        export_of("posts_v1", "parquet", one_tenant=True)
    assert "pip install 'landfall[parquet]'" in found.value.remedy
    assert export_of("posts_v1", "csv", one_tenant=True).format == "csv"
