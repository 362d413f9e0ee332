"""What `landfall up` shows of a CRM table while it runs."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Table


@dataclass(frozen=True, slots=True)
class Preview:
    """``columns`` are SQL expressions over one row of the table, by heading.

    ``widest`` is the heading of the column that gets the width which the others leave.
    """

    columns: Mapping[str, str]
    widest: str = ""


def preview_of(table: Table) -> Preview | None:
    """Return the preview in the ``info`` of a table; None if it has none."""
    found: Preview | None = table.info.get("preview")
    return found
