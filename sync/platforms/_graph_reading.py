"""Read objects and pages of listings of the Graph API, whose fields may be refused or be too much: ``meta.md`` 10.

One field that the platform refuses to a connection refuses the whole request (``meta.md`` 10.2), so fields that are not
always given are dropped, and the names of those that were refused are remembered with the connection. A listing that
asks for too much is asked again with smaller pages, and then with fewer fields (``meta.md`` 10.7).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from ops.runtime.graph_api import VERSION, asks_for_less, checked, error_text
from ops.runtime.platform_protocol import JsonObject, PlatformError, Request, Response, Steps, member, text
from sync.pull.contract import Account

PAGING = "paging"
"""The key beside ``data`` whose addresses hold the token (``meta.md`` 10.7)."""

MISSING = "100/33"
"""The code for an object that does not exist or may not be seen, which does not tell these apart (``meta.md`` 7.4)."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Fields to ask for, as the platform takes them, such as ``from{id,username}``; the most important come first.

    ``base`` is given to every connection. ``optional`` may be refused to one; ``kind`` then begins the names by which
    that is remembered. ``nested`` is an edge whose objects are asked for with the same fields in the same request, such
    as ``replies.limit(50)``.
    """

    kind: str
    base: Sequence[str]
    optional: Sequence[str] = ()
    nested: str = ""

    def allowed(self, account: Account) -> list[str]:
        """Return the optional fields that were not refused to the connection."""
        return [item for item in self.optional if self.name(account, item) not in account.refused]

    def name(self, account: Account, item: str) -> str:
        """Return the name by which it is remembered that a field is refused; what one login has another may not."""
        return f"{account.login}.{self.kind}.{_word(item)}"

    def fields(self, optional: Sequence[str], fewer: int = 0) -> str:
        """Return the value of ``fields``, without the ``fewer`` least important ones, but with the first always."""
        chosen = [*self.base, *optional]
        if fewer and self.nested:
            fewer -= 1  # what is nested goes last, and first
            nested = False
        else:
            nested = bool(self.nested)
        chosen = chosen[: max(1, len(chosen) - fewer)]
        listed = ",".join(chosen)
        return f"{listed},{self.nested}{{{listed}}}" if nested else listed

    @property
    def most_fewer(self) -> int:
        """How many fields can be left out."""
        return len(self.base) + len(self.optional) - 1 + bool(self.nested)


def _word(item: str) -> str:
    return item.partition("{")[0].partition(".")[0]


class TooMuchError(Exception):
    """The platform asks for less data at once."""


class Found(NamedTuple):
    """An answer, and the names of fields that turned out to be refused to the connection."""

    content: JsonObject
    refused: Sequence[str] = ()


def get(account: Account, path: str, **query: str) -> Request:
    """Return the request for a path with the account's token."""
    return Request(
        "GET",
        account.api.url("graph", f"{VERSION}{path}"),
        {**query, "access_token": account.secrets["access_token"]},
    )


def read(account: Account, path: str, selection: Selection, doing: str) -> Steps[Found]:
    """Read one object with all fields that the connection is given, and find out which are refused to it.

    Raises PlatformError where the request is refused for other reasons than its optional fields.
    """
    position = Position(limit=1)
    while True:
        try:
            return (yield from _read(account, path, selection, doing, position.fewer, {}))
        except TooMuchError:
            position = _smaller(position, selection, doing)


def read_object(account: Account, id_: str, selection: Selection, doing: str) -> Steps[Found]:
    """Read the object of an id. Raises PlatformError, also where the answer is another one."""
    found = yield from read(account, f"/{id_}", selection, doing)
    require_id(found.content, id_, doing)
    return found


def require_id(node: JsonObject, id_: str, doing: str) -> None:
    """Raises PlatformError where an object has another id than the one that was asked for."""
    if text(node.get("id")) != id_:
        raise PlatformError("transient", f"The platform's answer was another object while {doing}; try again later.")


def _read(
    account: Account, path: str, selection: Selection, doing: str, fewer: int, query: Mapping[str, str]
) -> Steps[Found]:
    """Raises TooMuchError, and PlatformError as ``read`` does."""
    optional = selection.allowed(account)
    refused: list[str] = []
    while True:
        response = yield get(account, path, fields=selection.fields(optional, fewer), **query)
        try:
            return Found(_content(response, doing), refused)
        except PlatformError as problem:
            if not optional or not _may_be_of_a_field(problem):
                raise
        named = [item for item in optional if f"({_word(item)})" in error_text(response)]
        if not named:
            named = yield from _refused_singly(account, path, selection, optional, doing, query)
        if not named:
            optional = []  # each by itself is taken: what is refused is this object with all of them
        refused += [selection.name(account, item) for item in named]
        optional = [item for item in optional if item not in named]


def _refused_singly(
    account: Account, path: str, selection: Selection, optional: Sequence[str], doing: str, query: Mapping[str, str]
) -> Steps[list[str]]:
    """Return which of these fields are refused. Raises PlatformError where the request is refused without them too.

    That is so where a cursor is over: one that is kept may end (``meta.md`` 10.7).
    """
    small = {**query, "limit": "1"}
    _content((yield get(account, path, fields=selection.fields((), selection.most_fewer), **small)), doing)
    refused = []
    for item in optional:
        alone = replace(selection, base=[selection.base[0], item], optional=(), nested="")
        try:
            _content((yield get(account, path, fields=alone.fields(()), **small)), doing)
        except PlatformError as problem:
            if not _may_be_of_a_field(problem):
                raise
            refused.append(item)
    return refused


def _content(response: Response, doing: str) -> JsonObject:
    if asks_for_less(response):
        raise TooMuchError
    return checked(response, doing)


def _may_be_of_a_field(problem: PlatformError) -> bool:
    """Whether a refusal may be about one field: a bad parameter, or a permission (``meta.md`` 10.2, 7.4)."""
    return problem.kind == "lacking" or (
        problem.kind == "wrong" and problem.code.startswith("100/") and problem.code != MISSING
    )


@dataclass(frozen=True, slots=True)
class Position:
    """Where the next page of a listing begins, as a text that is kept: how much is asked for belongs to it."""

    after: str = ""
    limit: int = 50
    fewer: int = 0

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, cursor: str, limit: int) -> "Position":
        """Return the position that a cursor says; the beginning for an empty one."""
        return cls(**json.loads(cursor)) if cursor else cls(limit=limit)


class Listed(NamedTuple):
    """A page of a listing; ``cursor`` is where the next one begins, None after the last one.

    ``whole``: no field had to be left out to make it smaller.
    """

    nodes: Sequence[JsonObject]
    cursor: str | None
    refused: Sequence[str]
    whole: bool


def read_page(account: Account, path: str, selection: Selection, doing: str, cursor: str, limit: int) -> Steps[Listed]:
    """Read the page of a listing that begins at a cursor, of up to ``limit`` objects. Raises PlatformError.

    It ends where ``next`` is absent, however short a page is (``meta.md`` 10.7). Pages that had to be smaller grow
    again. A cursor that the platform does not take any more is refused as a bad parameter is.
    """
    position = Position.of(cursor, limit)
    while True:
        query = {"limit": str(position.limit)} | ({"after": position.after} if position.after else {})
        try:
            found = yield from _read(account, path, selection, doing, position.fewer, query)
        except TooMuchError:
            position = _smaller(position, selection, doing)
            continue
        break
    content = found.content
    data = content.get("data")
    if not isinstance(data, list):
        raise PlatformError("transient", f"The platform's answer was no list while {doing}; try again later.")
    paging = member(content, PAGING)
    after = text(member(paging, "cursors").get("after"))
    following = None
    if paging.get("next"):
        if not after or after == position.after:
            raise PlatformError("transient", f"The platform did not say how to go on while {doing}; try again later.")
        following = replace(position, after=after, limit=min(limit, 2 * position.limit), fewer=position.fewer // 2)
    nodes = [node for node in data if isinstance(node, dict) and text(node.get("id"))]
    return Listed(nodes, None if following is None else str(following), found.refused, not position.fewer)


def _smaller(position: Position, selection: Selection, doing: str) -> Position:
    """Return the same position with half as many objects, or with fewer fields where there is one object only."""
    if position.limit > 1:
        return replace(position, limit=position.limit // 2)
    if position.fewer < selection.most_fewer:
        return replace(position, fewer=min(selection.most_fewer, max(1, 2 * position.fewer)))
    raise PlatformError(
        "transient", f"The platform asks for less than one object while {doing}; try again later.", "1/-"
    )


def without_addresses(value: object) -> Any:
    """Return a value without the addresses of further pages, which hold the token, at any depth."""
    if isinstance(value, dict):
        return {key: without_addresses(item) for key, item in value.items() if key != PAGING}
    if isinstance(value, list):
        return [without_addresses(item) for item in value]
    return value
