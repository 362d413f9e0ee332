"""What is to be exported, checked before anything is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from types import MappingProxyType

from schema.views import EVERYTHING, ONE_TENANT, View


@dataclass(frozen=True, slots=True)
class Format:
    """``packages`` are what it needs beyond Landfall itself, ``extra`` the extra that brings them."""

    content_type: str
    packages: tuple[str, ...] = ()
    extra: str = ""


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "csv": Format("text/csv; charset=utf-8"),
        "jsonl": Format("application/jsonl; charset=utf-8"),
        "parquet": Format("application/vnd.apache.parquet", ("pyarrow",), "parquet"),
    }
)

TIME_TYPES = ("timestamp with time zone", "date")


class UnfitExport(Exception):  # noqa: N818  a refusal
    """Nothing can be exported of this; ``remedy`` says what to do. ``missing`` is whether there is no such view."""

    def __init__(self, message: str, remedy: str, *, missing: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.missing = missing


class NotInstalled(UnfitExport):
    """A format needs a package that is not installed here."""


@dataclass(frozen=True, slots=True)
class Export:
    """A view, by its schema and name, with the types of its columns, and which of its rows.

    ``time`` is the column that ``since`` (inclusive) and ``until`` (exclusive) are about, and ``account`` is an id of
    the platform's. ``bom`` is whether CSV begins with a byte order mark.
    """

    schema: str
    view: str
    columns: Mapping[str, str]
    format: str
    time: str
    since: datetime | None = None
    until: datetime | None = None
    account: str | None = None
    bom: bool = False

    @property
    def file_name(self) -> str:
        return f"{self.view}.{self.format}"


def exportable(*, one_tenant: bool) -> Mapping[str, View]:
    """Return the views that can be exported, by name."""
    # They come with all tables, which the web process does not hold in memory before somebody exports.
    from schema.published import PUBLISHED
    from schema.reporting import VIEWS

    return PUBLISHED if one_tenant else {**PUBLISHED, **VIEWS}


def export_of(
    view: str,
    form: str,
    *,
    one_tenant: bool,
    since: str | None = None,
    until: str | None = None,
    account: str | None = None,
    bom: bool = False,
) -> Export:
    """Check what is asked for. Raises UnfitExport."""
    from schema.catalogue import catalogue

    views, every = exportable(one_tenant=one_tenant), exportable(one_tenant=False)
    if view not in views:
        whole = "" if view not in every else ": it shows no rows of one tenant"
        raise UnfitExport(f"There is no view {view} to export{whole}.", f"name one of {_listed(views)}", missing=True)
    if form not in FORMATS:
        raise UnfitExport(f"There is no format {form}.", f"name one of {_listed(FORMATS)}")
    if lacking := [name for name in FORMATS[form].packages if find_spec(name) is None]:
        message = f"Nothing here writes {form}: the package {', '.join(lacking)} is not installed."
        install = f"pip install 'landfall[{FORMATS[form].extra}]'"
        raise NotInstalled(message, f"install it where Landfall runs, with {install}, or take another format")
    if bom and form != "csv":
        raise UnfitExport("Only CSV can begin with a byte order mark.", "leave it out")
    found = views[view]
    if found.time is None:
        raise UnfitExport(f"{view} has no time.", "leave since and until out")
    if account is not None and found.account is None:
        message = f"{view} has no column with the platform's id of an account."
        raise UnfitExport(message, f"leave the account out, or name one of {_listed(exportable(one_tenant=True))}")
    start, end = _moment("since", since), _moment("until", until)
    if start is not None and end is not None and start >= end:
        raise UnfitExport("since is not before until.", "give an earlier since")
    schema = ONE_TENANT.schema if one_tenant else EVERYTHING.schema
    return Export(schema, view, catalogue()[view], form, found.time, start, end, account, bom)


def _moment(name: str, given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{name} is no date and no time."
        raise UnfitExport(
            message, "write it as 2026-11-28 or 2026-11-28T09:00:00+01:00; UTC if it names no zone"
        ) from None


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(names)
