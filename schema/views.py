"""What views of schema ``reporting`` are made of: those of the user's design, and the published ones, ``…_v1``."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from schema.states import CONNECTION, ConnectionState

_ACTIVE = CONNECTION.conditions[ConnectionState.ACTIVE]


@dataclass(frozen=True, slots=True)
class View:
    """``columns`` are the names in their order with their comments; ``query`` selects them.

    ``types`` are those of published columns, by name; a view of the user's design has none here. ``time`` and
    ``account`` are the columns by which it is exported in part, None where there is none.
    """

    comment: str
    columns: Mapping[str, str]
    query: str
    types: Mapping[str, str] = field(default_factory=dict)
    time: str | None = "created_at"
    account: str | None = None


CREATED = "when it was first known"
UPDATED = "when it was last heard of"


def latest_connection(platform: str) -> str:
    """Return a query for the connection that counts of each account: several tenants may have connected it in turn."""
    return f"""SELECT DISTINCT ON (account_id) * FROM public.find_reported_connections()
    WHERE platform = '{platform}' ORDER BY account_id, {_ACTIVE} DESC, authorized_at DESC, id"""


# --- published views


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose rows published views show: all rows, or those of one tenant, in a schema of their own.

    ``connections`` selects from the connections that may be seen. ``filtered`` is whether rows of accounts that are not
    among them are left out.
    """

    schema: str
    connections: str
    filtered: bool

    def owner(self, platform: str, row: str) -> str:
        """Return the join of a row's account with the connection that counts of it, as ``owner``."""
        shown = " AND shown" if self.filtered else ""
        join = "JOIN" if self.filtered else "LEFT JOIN"
        return f"""{join} (SELECT DISTINCT ON (account_id) * FROM {self.connections}
            WHERE platform = '{platform}'{shown} ORDER BY account_id, {_ACTIVE} DESC, authorized_at DESC, id) owner
            ON owner.account_id = {row}.account_id"""

    def maker(self, target: str) -> str:
        """Return the join of what Landfall published with the connection it was published with, as ``owner``.

        ``target`` is the alias of ``social_posts``.
        """
        own = f" AND owner.tenant_id::text = {target}.user_id" if self.filtered else ""
        join = "JOIN" if self.filtered else "LEFT JOIN"
        number = f"uuid_hash_extended({target}.connection_id::uuid, 0) & 9223372036854775807"
        return f"{join} {self.connections} owner ON owner.id = {number}{own}"

    def own(self, target: str) -> str:
        """Return the condition on a target of ours that it may be shown beside a row of the account ``owner``."""
        return f" AND {target}.user_id = owner.tenant_id::text" if self.filtered else ""


EVERYTHING = Scope("reporting", "public.find_reported_connections()", filtered=False)
ONE_TENANT = Scope("reporting_tenant", "public.find_own_connections()", filtered=True)


@dataclass(frozen=True, slots=True)
class Shown:
    """A published column: its type, as PostgreSQL writes it, and its comment."""

    type: str
    comment: str


@dataclass(frozen=True, slots=True)
class Part:
    """A platform's rows of a published view: an SQL expression for each column that it knows, and where they are from.

    A column that is left out is NULL.
    """

    columns: Mapping[str, str]
    source: str


Parts = Callable[[Scope], Iterable[Part]]
"""What a module of ``schema.crm`` gives for a published view, by the view's name in its ``PARTS``."""

_TEXT, BIGINT, UUID, BOOLEAN, JSON = "text", "bigint", "uuid", "boolean", "jsonb"
TIME = "timestamp with time zone"

OWNER = MappingProxyType(
    {
        "tenant_id": Shown(UUID, "whose account it is; NULL where no tenant has connected it"),
        "platform": Shown(_TEXT, "where it is"),
        "account_id": Shown(_TEXT, "the platform's id of the account"),
        "account": Shown(_TEXT, "username of the account, as its connection has it"),
        "connection_id": Shown(BIGINT, "accounts_v1.connection_id; NULL where no tenant has connected the account"),
    }
)
"""Columns that every published view has."""

METRICS = MappingProxyType(
    {
        "views": Shown(BIGINT, "how often it was seen or played; NULL is unknown, not 0"),
        "likes": Shown(BIGINT, "NULL is unknown, not 0"),
        "comments_count": Shown(BIGINT, "as the platform counts them, replies among them; NULL is unknown, not 0"),
        "shares_count": Shown(BIGINT, "NULL is unknown, not 0"),
        "saves": Shown(BIGINT, "NULL is unknown, not 0"),
        "reach": Shown(BIGINT, "accounts that saw it; NULL is unknown, not 0"),
    }
)
"""Numbers of a post, with the same names for all platforms."""


def owned(platform: str, row: str) -> dict[str, str]:
    """Return the expressions of ``OWNER`` for a row of an account, beside ``Scope.owner``."""
    return {
        "tenant_id": "owner.tenant_id",
        "platform": f"'{platform}'",
        "account_id": f"{row}.account_id",
        "account": "nullif(owner.username, '')",
        "connection_id": "owner.id",
    }


def number(row: str, name: str) -> str:
    """Return the expression for a number of ``metrics_json``; JSON null, and a number that is not there, are NULL."""
    return f"({row}.metrics_json ->> '{name}')::numeric::bigint"


FRESHNESS = MappingProxyType(
    {
        "created_at": Shown(TIME, "when it was first known"),
        "updated_at": Shown(TIME, "when it was last heard of"),
    }
)


def freshness(row: str) -> dict[str, str]:
    """Return the expressions of ``FRESHNESS`` for a row of a CRM table: the one place that says how fresh a row is.

    Every published view of such rows has these columns.
    """
    return {"created_at": f"{row}.created_at", "updated_at": f"coalesce({row}.updated_at, {row}.created_at)"}


def select(columns: Mapping[str, Shown], part: Part) -> str:
    """Return the query of a part, with every column of the view in its order.

    Raises ValueError for a part with a column that the view has not.
    """
    if unknown := part.columns.keys() - columns.keys():
        raise ValueError(f"the view has no column {', '.join(sorted(unknown))}")
    shown = ", ".join(
        f"({part.columns.get(name, 'NULL')})::{column.type} AS {name}" for name, column in columns.items()
    )
    return f"SELECT {shown} {part.source}"


def published(
    comment: str,
    columns: Mapping[str, Shown],
    query: str,
    *,
    time: str | None,
) -> View:
    """Return a published view."""
    return View(
        comment,
        {name: column.comment for name, column in columns.items()},
        query,
        {name: column.type for name, column in columns.items()},
        time,
        "account_id",
    )
