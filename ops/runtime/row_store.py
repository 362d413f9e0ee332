"""Send rows to PostgreSQL as one parameter for each type of their columns.

asyncpg looks at each element of an array before it encodes it, which takes longer than to encode it. Of an array of
arrays it looks at the elements of the first one only, so all columns of a type go as one.
"""

from collections.abc import Sequence
from typing import Any


class Rows:
    """The columns of a statement's rows, by their types. ``sql`` is the table function that yields them, in order."""

    def __init__(self, types: Sequence[str], first: int = 1) -> None:
        """``first`` is the number of the statement's first parameter for them."""
        distinct = list(dict.fromkeys(types))
        self._parameters = [distinct.index(name) for name in types]
        self._count = len(distinct)
        positions = [types[: number + 1].count(name) for number, name in enumerate(types)]
        slices = [
            f"(${first + parameter}::{name}[])[{position}:{position}]"
            for name, parameter, position in zip(types, self._parameters, positions, strict=True)
        ]
        self.sql = f"unnest({', '.join(slices)})"

    def parameters(self, columns: Sequence[list[Any]]) -> list[list[list[Any]]]:
        """Return the columns as parameters; each is a list, since asyncpg takes a tuple for a composite value."""
        found: list[list[list[Any]]] = [[] for _ in range(self._count)]
        for parameter, column in zip(self._parameters, columns, strict=True):
            found[parameter].append(column)
        return found
