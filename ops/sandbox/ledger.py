"""The record of what happened, to check that nothing was published twice and nothing was lost."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

Entry = dict[str, Any]

KINDS = ("call", "token", "post", "draft", "change", "webhook", "fetch")
LASTING = ("token", "post", "draft", "change")
"""Kinds of which every entry is kept. The others are bounded by ``ring``."""


@dataclass
class Spent:
    """Calls of one account to one edge: all, those that were refused, and those that met a fault."""

    calls: int = 0
    refused: int = 0
    faulted: int = 0


class Ledger:
    """Entries have ``kind``, ``number`` (ascending), ``at`` (by the sandbox's clock) and ``platform``."""

    def __init__(self, ring: int) -> None:
        self._spent: dict[tuple[str, str, str], Spent] = {}
        self._entries: dict[str, deque[Entry]] = {
            kind: deque(maxlen=None if kind in LASTING else ring) for kind in KINDS
        }
        self._number = 0

    def add(self, kind: str, at: str, platform: str, **fields: Any) -> Entry:
        """Add an entry. Later changes, such as a token's ``state``, are made in place."""
        self._number += 1
        entry = {"kind": kind, "number": self._number, "at": at, "platform": platform, **fields}
        self._entries[kind].append(entry)
        return entry

    def find(self, kind: str | None = None, **fields: Any) -> list[Entry]:
        """Return the entries that have all of these values, oldest first."""
        chosen: Iterable[Entry] = self._entries[kind] if kind else chain.from_iterable(self._entries.values())
        found = [entry for entry in chosen if all(entry.get(name) == value for name, value in fields.items())]
        return sorted(found, key=lambda entry: int(entry["number"]))

    def spend(self, platform: str, account: str | None, edge: str, status: int | None, *, faulted: bool) -> None:
        """Count a call to ``edge``; ``status`` is None where it took no effect. Counts are kept without end."""
        spent = self._spent.setdefault((platform, account or "", edge), Spent())
        spent.calls += 1
        spent.refused += status is not None and status >= 400
        spent.faulted += faulted

    def spent(self, platform: str | None = None, account: str | None = None) -> list[Entry]:
        """Return the counts of calls by platform, account and edge."""
        return [
            {"platform": name, "account": who, "edge": edge, **vars(spent)}
            for (name, who, edge), spent in sorted(self._spent.items())
            if platform in (None, name) and account in (None, who)
        ]

    def clear_spent(self) -> None:
        self._spent.clear()

    def newest(self, kind: str, count: int, platform: str | None = None) -> list[Entry]:
        """Return the last ``count`` entries of one platform or of all, newest first."""
        found = (entry for entry in reversed(self._entries[kind]) if platform in (None, entry["platform"]))
        return list(islice(found, count))

    def clear(self) -> None:
        for entries in self._entries.values():
            entries.clear()
        self.clear_spent()
