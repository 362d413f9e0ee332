"""Routes for login, accounts, people, keys and the audit log. They work without a vault key.

Where there is none, :class:`ConnectionsNotConfigured` answers for the routes that connect accounts.
"""

from aiohttp import web

from ops.runtime import responses
from ops.runtime.db import Pool
from ops.runtime.mail import Mailer
from ops.web.authentication import Door
from ops.web.pages.account import Account
from ops.web.pages.administration import Rooms
from ops.web.pages.invitations import Inviting
from ops.web.pages.login import Login
from ops.web.pages.second_step import SecondStep
from ops.web.refusals import Refusals
from ops.web.responses import MAKE_VAULT_KEY, Refused, page, sentence
from schema.sealing import Sealer

NOT_CONFIGURED = "Accounts cannot be connected: no vault key is configured to encrypt their tokens."

_PUBLIC = (
    "/api/auth/{rest:.*}",
    "/api/connections{rest:(?:/.*)?}",
    "/api/flows/{rest:.*}",
    "/api/notices",
    "/deletions/{rest:.*}",
)
_FOR_PEOPLE = "/connections{rest:(?:/.*)?}"


class AccessViews:
    """``vault`` seals the secrets of authenticator apps; without one no app can be added or used."""

    def __init__(
        self, pool: Pool, vault: Sealer | None, door: Door, refusals: Refusals, mailer: Mailer | None = None
    ) -> None:
        second_step = SecondStep(pool, vault, door, refusals)
        account = Account(pool, vault, door, refusals)
        self._pages = (
            Login(pool, door, refusals, second_step),
            Rooms(pool, door, refusals, account, door.site, mailer),
            Inviting(pool, door, refusals),
            account,
            second_step,
        )

    def add_to(self, app: web.Application) -> None:
        for pages in self._pages:
            pages.add_to(app)


class ConnectionsNotConfigured:
    """Answers 503 for the routes that connect accounts, and says what to set."""

    def __init__(self, door: Door, refusals: Refusals) -> None:
        self._door = door
        self._refusals = refusals

    def add_to(self, app: web.Application) -> None:
        for path, handler in (*((path, self.refuse) for path in _PUBLIC), (_FOR_PEOPLE, self.show)):
            answer = self._door.answering(self._refusals.noting(handler), in_turn=False, any_query=True)
            app.router.add_route("*", path, answer, expect_handler=responses.expect)

    async def show(self, request: web.Request) -> web.Response:
        """Show somebody who is logged in what is missing; the other pages stay in reach from there."""
        person = await self._door.visitor(request)
        if not responses.wants_page(request):
            return await self.refuse(request)
        says = f"{NOT_CONFIGURED} {sentence(MAKE_VAULT_KEY)}"
        return page("Accounts cannot be connected yet", says, 503, person=person)

    async def refuse(self, _: web.Request) -> web.Response:
        raise Refused(503, "not_configured", NOT_CONFIGURED, MAKE_VAULT_KEY)
