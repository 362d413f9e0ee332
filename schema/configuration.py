"""How a platform file says which environment variables it reads, and where a person finds their values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variable:
    """``name`` is the environment variable; several live values may be given, separated by commas."""

    name: str
    where: str
