"""Scheduled faults: which call of which endpoint fails, and how."""

import random
from collections.abc import Mapping, Sequence
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


MALFORMED: tuple[Any, ...] = (
    {},
    [],
    {"data": None},
    {"data": [{}]},
    {"data": {"videos": [{}], "has_more": "yes"}, "error": {"code": "ok"}},
)
"""Documents that are no page of a listing."""

GENERAL: Mapping[str, Mapping[str, Any]] = {
    "500": {"status": 500},
    "429": {"status": 429},
    "reset": {"drop": True},
    "timeout": {"drop": True},
    "html": {"spoil": "html"},
    "truncated": {"effect": True, "truncate": 20},
    "malformed": {"effect": True},
}
"""Random faults that every platform can have."""


class RandomFaults(BaseModel):
    """A share of all calls fails by chance, each in one of ``kinds``; the same seed fails the same ones.

    ``kinds`` are those of ``GENERAL``, and errors of the platform by name; without them, all of ``GENERAL`` and the
    platform's transient errors. ``endpoint`` is a pattern for ``METHOD /path``. A ``timeout`` breaks the connection
    after ``timeout_seconds``.
    """

    model_config = ConfigDict(extra="forbid")

    platforms: list[str] | None = None
    endpoint: str = "*"
    share: float = Field(ge=0, le=1)
    kinds: list[str] = Field(default_factory=list)
    seed: int = 1
    timeout_seconds: float = Field(default=1.0, ge=0)

    def made(self, kind: str, rng: random.Random) -> Fault:
        """Return one fault of a kind."""
        if kind not in GENERAL:
            return Fault(error=kind)
        own: dict[str, Any] = {}
        if kind == "timeout":
            own = {"delay_seconds": self.timeout_seconds}
        elif kind == "malformed":
            own = {"body": rng.choice(MALFORMED)}
        return Fault(**GENERAL[kind], **own)


class FaultSchedule:
    """The faults in force, in the order they were added; the first that matches is used, before random ones."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self._seen: list[int] = []
        self._random: RandomFaults | None = None
        self._rng = random.Random()  # noqa: S311

    def add(self, fault: Fault) -> None:
        self.faults.append(fault)
        self._seen.append(0)

    def clear(self) -> None:
        self.faults.clear()
        self._seen.clear()
        self._random = None

    def fail_by_chance(self, faults: RandomFaults) -> None:
        """Let a share of calls fail from now on, in place of another share."""
        self._random, self._rng = faults, random.Random(faults.seed)  # noqa: S311

    def take(
        self, platform: str, call: Call, account: str | None, transient_errors: Sequence[str] = ()
    ) -> Fault | None:
        """Return the fault of this call; None if it has none. ``transient_errors`` are the platform's."""
        for number, fault in enumerate(self.faults):
            if not fault.fits(platform, call, account):
                continue
            self._seen[number] += 1
            seen = self._seen[number]
            if seen > fault.skip and (not fault.times or seen <= fault.skip + fault.times):
                return fault
        return self._by_chance(platform, call, transient_errors)

    def _by_chance(self, platform: str, call: Call, transient_errors: Sequence[str]) -> Fault | None:
        chance = self._random
        if (
            chance is None
            or (chance.platforms is not None and platform not in chance.platforms)
            or not fnmatchcase(f"{call.method} {call.path}", chance.endpoint)
            or self._rng.random() >= chance.share
        ):
            return None
        return chance.made(self._rng.choice(chance.kinds or [*GENERAL, *transient_errors]), self._rng)


def _named(call: Call, path: str) -> str:
    """Return a field of a call as text, empty where there is none; booleans as JSON writes them."""
    first, *rest = path.split(".")
    value: Any = call.fields.get(first, call.query.get(first, ""))
    for name in rest:
        value = value.get(name, "") if isinstance(value, Mapping) else ""
    return str(value).lower() if isinstance(value, bool) else str(value)
