"""Scheduled faults: which call of which endpoint fails, and how."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ops.sandbox.contract import Call


class Fault(BaseModel):
    """What to do to some calls.

    ``endpoint`` is a pattern for ``METHOD /path`` as the platform knows it, such as ``POST /api/v1/*``, and ``where``
    holds what fields of the call must be, such as ``{"upload_phase": "finish"}``; a dot leads into a field
    (``source_info.source``), and a value is a pattern too. The first ``skip`` calls that fit go through, then ``times``
    fail (0: all). Without ``effect`` the platform does nothing and answers ``status``; with it the platform does what
    was asked, and only its answer is lost or damaged. ``error`` names one of the platform's own answers
    (``Platform.error_answers``); ``status``, ``body`` and ``headers`` override parts of it.

    ``late_seconds`` is how many sandbox seconds after the answer the effect happens. ``receive`` is how many bytes of
    an upload arrive before the connection breaks: platforms that resume keep them, the others keep nothing.
    """

    model_config = ConfigDict(extra="forbid")

    platform: str = "*"
    endpoint: str = "*"
    account: str | None = None
    where: dict[str, str] = Field(default_factory=dict)
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=0)

    effect: bool = False
    late_seconds: float = Field(default=0.0, ge=0)
    receive: int | None = Field(default=None, ge=0)
    error: str | None = None
    status: int | None = Field(default=None, ge=200, le=599)
    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)
    delay_seconds: float = Field(default=0.0, ge=0)
    drop: bool = False
    truncate: int | None = Field(default=None, ge=0)
    spoil: Literal["html", "hang"] | None = None

    def fits(self, platform: str, call: Call, account: str | None) -> bool:
        """Return whether the fault is for this call, whatever its count."""
        return (
            fnmatchcase(platform, self.platform)
            and fnmatchcase(f"{call.method} {call.path}", self.endpoint)
            and self.account in (None, account)
            and all(fnmatchcase(_named(call, name), pattern) for name, pattern in self.where.items())
        )


class FaultSchedule:
    """The faults in force, in the order they were added; the first that matches is used."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._seen: list[int] = []

    def add(self, fault: Fault) -> None:
        self.faults.append(fault)
        self._seen.append(0)

    def clear(self) -> None:
        self.faults.clear()
        self._seen.clear()

    def take(self, platform: str, call: Call, account: str | None) -> Fault | None:
        """Return the fault of this call; None if it has none."""
        for number, fault in enumerate(self.faults):
            if not fault.fits(platform, call, account):
                continue
            self._seen[number] += 1
            seen = self._seen[number]
            if seen > fault.skip and (not fault.times or seen <= fault.skip + fault.times):
                return fault
        return None


def _named(call: Call, path: str) -> str:
    """Return a field of a call as text, empty where there is none; booleans as JSON writes them."""
    first, *rest = path.split(".")
    value: Any = call.fields.get(first, call.query.get(first, ""))
    for name in rest:
        value = value.get(name, "") if isinstance(value, Mapping) else ""
    return str(value).lower() if isinstance(value, bool) else str(value)
