"""What views of schema ``reporting`` are made of: those of the user's design, and the published ones, ``…_v1``."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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


def gained(table: str, row: str, key: str, name: str) -> str:
    """Return the expression for how much a number of a day's row is above its last earlier value.

    ``key`` is the column of the table that names the object of the account, '' where it is the account itself. A day
    that does not know the number is passed over, so the difference may be of several days.
    """
    same = " AND ".join(f"b.{column} = {row}.{column}" for column in ("bucket", "account_id", *filter(None, [key])))
    earlier = f"{same} AND b.day < {row}.day AND b.metrics_json ->> '{name}' IS NOT NULL"
    return f"""{number(row, name)} - (SELECT {number("b", name)} FROM {table} b WHERE {earlier}
            ORDER BY b.day DESC LIMIT 1)"""


FRESHNESS = MappingProxyType(
    {
        "created_at": Shown(TIME, "when it was first known"),
        "updated_at": Shown(TIME, "when it was last heard of"),
        "synced_at": Shown(TIME, "when the platform was last asked for it, and showed it; NULL: never"),
        "source_time": Shown(TIME, "when it was made, by the platform's clock; NULL until it was read"),
        "stale": Shown(
            BOOLEAN,
            "whether it may say what is no longer so: nobody reads the account, it was not looked at when it was due or"
            " is not looked at again, reading it has trouble, or an event of it waits to be looked up",
        ),
    }
)
"""Columns that every published view has: how fresh its rows are."""

OVERDUE = "interval '1 hour'"
"""How late a look may be before a row counts as stale: a worker takes what is due within minutes."""

UNSEEN = "interval '35 days'"
"""After so long without a look a row is stale whatever the plan: no plan waits longer than 30 days."""

ONCE = "interval '1 day'"
"""The same for what no plan looks at again."""


@dataclass(frozen=True, slots=True)
class Looks:
    """How the object of a row is looked at: kinds of objects and tasks are the words of the platform's pull.

    ``row`` is the alias of rows with ``bucket`` and ``account_id``, ``kinds`` are what the object may be read as, and
    ``object_id`` is SQL for its id. ``lookups`` are kinds of tasks that read it singly, once an event asks for it;
    ``walks`` those that read it again and again in the listing of the object ``listing`` (SQL), and ``figures`` those
    that read its numbers, as the kind of object ``counted``. What hangs on ``unlisted`` stands in no listing, and
    nobody looks at it again. ``connected`` is whether the join of the account with its connection is there, as
    ``owner``.

    All is found by keys, in subqueries in the place of a column, which are evaluated only where somebody asks for that
    column: joins would be more than PostgreSQL puts in order where somebody joins two views (``join_collapse_limit``),
    and EXISTS it may answer by reading a whole table, even for a page of rows.
    """

    platform: str
    row: str
    kinds: Sequence[str]
    object_id: str
    lookups: Sequence[str] = ()
    walks: Sequence[str] = ()
    listing: str = "''"
    figures: Sequence[str] = ()
    counted: str = ""
    unlisted: str = ""
    connected: bool = True

    @property
    def synced_at(self) -> str:
        """When it was looked at; where its numbers are read by themselves, until when all of it was."""
        return self._seen(self._looked_at)

    @property
    def source_time(self) -> str:
        """When it was made, as its last reading has it."""
        return self._seen("seen.source_time")

    @property
    def stale(self) -> str:
        """Whether it may say what is no longer so."""
        at = self._looked_at
        once = f"CASE WHEN seen.parent = '{self.unlisted}' THEN {ONCE} ELSE {UNSEEN} END" if self.unlisted else UNSEEN
        walk = f"t.trouble IS NOT NULL OR t.skip_code <> 'gone' OR t.due_at < now() - {OVERDUE} AND {at} < t.due_at"
        missing = "seen.missed_at IS NOT NULL OR seen.unlisted_at IS NOT NULL"
        of_object = [
            f"{at} IS NULL",
            f"seen.gone_at IS NULL AND ({missing} OR {at} < now() - {once})",
            *self._tasks(self.walks, self.listing, f"({walk})"),
        ]
        reasons = [
            *([f"owner.state IS DISTINCT FROM '{ConnectionState.ACTIVE}'"] if self.connected else []),
            f"(SELECT r.authorized_at FROM public.pull_accounts r WHERE {self._of('r')} AND r.trouble IS NULL) IS NULL",
            f"coalesce({self._seen(_any(of_object))}, true)",
            *self._tasks(self.lookups, self.object_id, "t.due_at IS NOT NULL AND t.skip_code IS NULL"),
            *self._tasks(
                self.figures,
                self.object_id,
                f"t.skip_code IS NULL AND (t.trouble IS NOT NULL OR t.due_at < now() - {OVERDUE})",
            ),
        ]
        return _any(reasons)

    @property
    def _looked_at(self) -> str:
        if not self.counted:
            return "seen.checked_at"
        counted = (
            f"SELECT f.checked_at FROM public.pull_objects f WHERE {self._of('f')} AND f.kind = '{self.counted}'"
            f" AND f.object_id = {self.object_id}"
        )
        return f"CASE WHEN seen.checked_at IS NOT NULL THEN least(seen.checked_at, ({counted})) END"

    def _seen(self, what: str) -> str:
        latest = " ORDER BY seen.checked_at DESC NULLS LAST LIMIT 1" if len(self.kinds) > 1 else ""
        return f"""(SELECT {what} FROM public.pull_objects seen WHERE {self._of("seen")}
            AND seen.kind IN ({_quoted(self.kinds)}) AND seen.object_id = {self.object_id}{latest})"""

    def _of(self, alias: str) -> str:
        key = " AND ".join(f"{alias}.{name} = {self.row}.{name}" for name in ("bucket", "account_id"))
        return f"{key} AND {alias}.provider = '{self.platform}'"

    def _tasks(self, kinds: Sequence[str], object_id: str, condition: str) -> Iterator[str]:
        if kinds:
            yield f"""(SELECT true FROM public.pull_tasks t WHERE {self._of("t")}
                AND t.kind IN ({_quoted(kinds)}) AND t.object_id = {object_id} AND {condition} LIMIT 1) IS NOT NULL"""


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f"'{word}'" for word in words)


def _any(conditions: Iterable[str]) -> str:
    return " OR ".join(f"({condition})" for condition in conditions)


def freshness(row: str, looks: Looks | None = None, *, made: str = "NULL") -> dict[str, str]:
    """Return the expressions of ``FRESHNESS`` for a row of a CRM table: the one place that says how fresh a row is.

    ``made`` is SQL for when the platform made it. Without ``looks`` nobody looks at it again.
    """
    return {
        "created_at": f"{row}.created_at",
        "updated_at": f"coalesce({row}.updated_at, {row}.created_at)",
        "synced_at": "NULL" if looks is None else looks.synced_at,
        "source_time": made,
        "stale": "true" if looks is None else looks.stale,
    }


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
