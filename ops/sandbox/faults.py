"""Scheduled faults: which call of which endpoint fails, and how."""

from fnmatch import fnmatchcase
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Fault(BaseModel):
    """What to do to some calls.

    ``endpoint`` is a pattern for ``METHOD /path`` as the platform knows it, such as ``POST /api/v1/*``. The first
    ``skip`` calls that fit go through, then ``times`` fail (0: all). Without ``effect`` the platform does nothing and
    answers ``status``; with it the platform does what was asked, and only its answer is lost or damaged. ``error``
    names one of the platform's own answers (``Platform.error_answers``); ``status``, ``body`` and ``headers`` override
    parts of it.
    """

    model_config = ConfigDict(extra="forbid")

    platform: str = "*"
    endpoint: str = "*"
    account: str | None = None
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=0)

    effect: bool = False
    error: str | None = None
    status: int | None = Field(default=None, ge=200, le=599)
    body: Any = None
    headers: dict[str, str] = Field(default_factory=dict)
    delay_seconds: float = Field(default=0.0, ge=0)
    drop: bool = False
    truncate: int | None = Field(default=None, ge=0)
    spoil: Literal["html", "hang"] | None = None


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

    def take(self, platform: str, endpoint: str, account: str | None) -> Fault | None:
        """Return the fault of this call; None if it has none."""
        for number, fault in enumerate(self.faults):
            if not fnmatchcase(platform, fault.platform) or not fnmatchcase(endpoint, fault.endpoint):
                continue
            if fault.account is not None and fault.account != account:
                continue
            self._seen[number] += 1
            seen = self._seen[number]
            if seen > fault.skip and (not fault.times or seen <= fault.skip + fault.times):
                return fault
        return None
