"""Values as programs are shown them."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def json_object(value: "DataclassInstance") -> dict[str, object]:
    """Return a dataclass as a JSON object: its fields by name, times in ISO 8601 form."""
    return {name: each.isoformat() if isinstance(each, datetime) else each for name, each in asdict(value).items()}
