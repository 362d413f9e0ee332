"""What views of schema ``reporting`` are made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from schema.states import CONNECTION, ConnectionState

_ACTIVE = CONNECTION.conditions[ConnectionState.ACTIVE]


@dataclass(frozen=True, slots=True)
class View:
    """``columns`` are the names in their order with their comments; ``query`` selects them."""

    comment: str
    columns: Mapping[str, str]
    query: str


CREATED = "when it was first known"
UPDATED = "when it was last heard of"


def latest_connection(platform: str) -> str:
    """Return a query for the connection that counts of each account: several tenants may have connected it in turn."""
    return f"""SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
    WHERE platform = '{platform}' ORDER BY account_id, {_ACTIVE} DESC, authorized_at DESC, id"""
