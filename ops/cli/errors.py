"""What a command says of errors that a person can mend."""

import asyncpg

from ops.runtime.db import describe
from ops.runtime.settings import ConfigurationError
from publish.posting.errors import PostError
from schema.rights import APP_ROLE, WEB_ROLE, WORKER_ROLE


def explain(error: Exception) -> str | None:
    """Return what happened and what to do, None for an error in this program."""
    if isinstance(error, ConfigurationError):
        return f"{error}\nSee .env.example for every variable."
    if isinstance(error, PostError):
        return _with_findings(error)
    if isinstance(error, OSError | asyncpg.PostgresConnectionError | asyncpg.InvalidAuthorizationSpecificationError):
        return f"PostgreSQL cannot be reached ({describe(error)}). Check DATABASE_URL, and that the server runs."
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return (
            f"this login may not do that: {error}. `landfall migrate`, `db login`, `rebuild`, `erase` and "
            "`tenant add` need the owner of the database; the first two also the right to create roles, or these "
            f"made beforehand. `serve` needs a member of {WEB_ROLE}, `work` one of {WORKER_ROLE}, any other "
            f'command one of {APP_ROLE}: ops/RUNBOOK.md, "Logins of the database".'
        )
    if isinstance(error, asyncpg.InvalidParameterValueError) and "role" in str(error):
        return f"{error}: run `landfall migrate`, which makes it"
    return next((message for kind, message in _MESSAGES.items() if isinstance(error, kind)), None)


def _with_findings(error: PostError) -> str:
    """Return why something about a post is not done, and every finding on it."""
    found = error.details.get("findings")
    findings = found if isinstance(found, list) else []
    lines = [f"{each['severity']}, {each['item']}: {each['message']} {each['remedy']}" for each in findings]
    return "\n".join([f"{error.message} What to do: {error.remedy}", *lines])


_MESSAGES = {
    asyncpg.UndefinedTableError: "the database has not been migrated: run `landfall migrate`",
    asyncpg.LockNotAvailableError: (
        "somebody else holds a lock on what this changes, and kept it too long. The step under way was taken back; run"
        " the command again."
    ),
    asyncpg.QueryCanceledError: (
        "PostgreSQL cancelled a statement that took too long. The step under way was taken back; run the command again."
    ),
}
