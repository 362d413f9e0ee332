"""Rows as programs and pages are shown them."""

from datetime import datetime
from typing import Any

import asyncpg


def plain(row: asyncpg.Record) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
