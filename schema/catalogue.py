"""The catalogue of published columns: what dashboards, exports and programs of others rely on.

``docs/reporting.md`` is it, written by ``python -m schema.catalogue docs/reporting.md``. A test compares it with the
migrated database. A column that stands there keeps its name and its type for ever, so nothing is written where one
would vanish or change: what has to change is published as another version of its view.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from schema.published import PUBLISHED
from schema.reporting import VIEWS
from schema.views import View

_TIME = "timestamp with time zone"

_DESIGN_TYPES: Mapping[str, str] = MappingProxyType(
    {
        "id": "bigint",
        "connection": "bigint",
        "user_id": "uuid",
        "hidden": "boolean",
        "retry_count": "integer",
        **dict.fromkeys(("scopes", "media_urls", "hashtags"), "text[]"),
        **dict.fromkeys(("metadata", "metrics_json", "payload_json", "extra_data"), "jsonb"),
        **dict.fromkeys(("created_at", "updated_at", "expires_at", "processed_at", "timestamp"), _TIME),
        **dict.fromkeys(("scheduled_time", "token_expires_at", "revoked_at"), _TIME),
    }
)
"""Types of the columns of the user's design, by their names in all its views; see :func:`_design_type`."""

_NUMBERED = ("account_id", "media_id", "connection_id")
"""How names of columns end that refer to the ``id`` of another view."""

_VIEW = re.compile(r"^## `(\w+)`$")
_COLUMN = re.compile(r"^\| `(\w+)` \| (.+?) \| ")


class BrokenPromiseError(Exception):
    """Published columns would vanish or change; each line of the message names one."""


def catalogue() -> dict[str, dict[str, str]]:
    """Return the type of every published column, by view and name."""
    design = {view: {name: _design_type(name) for name in each.columns} for view, each in VIEWS.items()}
    return design | {view: dict(each.types) for view, each in PUBLISHED.items()}


def _design_type(name: str) -> str:
    return "bigint" if name.endswith(_NUMBERED) else _DESIGN_TYPES.get(name, "text")


def listed(text: str) -> dict[str, dict[str, str]]:
    """Return what a document lists, as :func:`catalogue` does."""
    found: dict[str, dict[str, str]] = {}
    view = ""
    for line in text.splitlines():
        if heading := _VIEW.match(line):
            view = heading[1]
            found[view] = {}
        elif view and (column := _COLUMN.match(line)):
            found[view][column[1]] = column[2]
    return found


def broken(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return what was published and is there no more, or otherwise, in words; what was added breaks nothing."""
    return list(_broken(before, now))


def _broken(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    for view, columns in before.items():
        if view not in now:
            yield f"view {view} is gone"
            continue
        for name, kind in columns.items():
            if name not in now[view]:
                yield f"{view}.{name} is gone, or has another name"
            elif now[view][name] != kind:
                yield f"{view}.{name} was {kind} and is {now[view][name]}"


def document() -> str:
    """Return the text of ``docs/reporting.md``."""
    introduction = (
        "Made from `schema/published.py` and `schema/reporting.py` by `python -m schema.catalogue docs/reporting.md`,"
        " which refuses to drop or change what stands here: a published column keeps its name and its type, columns"
        " and views are only added, and what has to change is published as another version of its view. A test"
        " compares this page with the database."
    )
    published = (
        "For new dashboards, exports and programs. In schema `reporting` with all rows, and in schema"
        " `reporting_tenant` with those of one tenant. [dashboards](dashboards.md) has queries on them."
    )
    design = "The tables of the user's design, in schema `reporting` alone, without all platforms and all columns."
    parts = ["# Views to read", introduction, "# Published views", published]
    parts += [_section(name, view) for name, view in PUBLISHED.items()]
    parts += ["# Views of the user's design", design, *(_section(name, view) for name, view in VIEWS.items())]
    return "\n\n".join(parts) + "\n"


def _section(name: str, view: View) -> str:
    types = catalogue()[name]
    rows = [f"| `{column}` | {types[column]} | {comment} |" for column, comment in view.columns.items()]
    return "\n".join(
        [f"## `{name}`", "", f"{view.comment}.", "", "| column | type | holds |", "| --- | --- | --- |", *rows]
    )


def write(path: Path) -> None:
    """Write the document. Raises BrokenPromiseError, and writes nothing, where it would break what it promises."""
    if path.exists() and (problems := broken(listed(path.read_text()), catalogue())):
        advice = "publish another version of the view, such as …_v2, and leave this one as it is"
        raise BrokenPromiseError("\n".join([*problems, advice]))
    path.write_text(document())


if __name__ == "__main__":
    try:
        write(Path(sys.argv[1]))
    except BrokenPromiseError as error:
        sys.exit(str(error))
