"""The rows of a published view of a tenant, as a file."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import asyncpg
import structlog
from aiohttp import hdrs, web

from ops.access.api_keys import Caller
from ops.access.audit_log_store import audit
from ops.export.exporting import exported
from ops.export.request import FORMATS, Export, NotInstalled, UnfitExport, export_of
from ops.runtime import metrics, responses
from ops.runtime.db import Pool, describe
from ops.runtime.tenancy import tenant_transaction
from ops.web.responses import Refused
from ops.web.routing import Route
from ops.web.site import Site

SCOPE = "reports:read"
PARAMETERS = ("format", "since", "until", "account", "bom")
AGAIN_SECONDS = 30

log = structlog.get_logger()


class ExportApi:
    """A tenant has one export at a time. ``pool`` is for them alone."""

    def __init__(self, site: Site, pool: Pool) -> None:
        self._site = site
        self._pool = pool
        self._running: set[str] = set()

    def routes(self) -> Sequence[Route]:
        # An export may take minutes, and is limited here: it takes no slot from the tenant's other requests.
        return (Route("GET", "/api/export/{view}", self.export, limited=False),)

    async def export(self, request: web.Request) -> web.StreamResponse:
        authentication = self._site.authentication
        async with self._site.limit.slot(authentication.credentials(request)):
            caller = await authentication.require_caller(request, SCOPE)
        wanted = _wanted(request)
        headers = responses.NO_STORE | {
            hdrs.CONTENT_TYPE: FORMATS[wanted.format].content_type,
            hdrs.CONTENT_DISPOSITION: f'attachment; filename="{wanted.file_name}"',
        }
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=headers)
        async with self._alone(caller.tenant), self._connection() as connection:
            await self._record(caller, wanted)
            return await _send(request, headers, connection, wanted, caller.tenant)

    @asynccontextmanager
    async def _alone(self, tenant: str) -> AsyncIterator[None]:
        """Raises Refused while another export of the tenant is running."""
        if tenant in self._running:
            message, remedy = "Another export of yours is running.", "wait until it is through"
            raise Refused(429, "rate_limit_exceeded", message, remedy, retry=True, after=AGAIN_SECONDS)
        self._running.add(tenant)
        try:
            yield
        finally:
            self._running.discard(tenant)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Raises Refused where all connections for exports are taken."""
        async with AsyncExitStack() as stack:
            try:
                connection = await stack.enter_async_context(self._pool.acquire())
            except TimeoutError:
                message, remedy = "Too many exports are running here.", "ask again later"
                raise Refused(503, "overloaded", message, remedy, retry=True, after=AGAIN_SECONDS) from None
            yield connection

    async def _record(self, caller: Caller, wanted: Export) -> None:
        async with tenant_transaction(self._site.pool, caller.tenant) as connection:
            await audit(connection, caller.tenant, caller.actor, "data.exported", wanted.view, format=wanted.format)


async def _send(
    request: web.Request, headers: dict[str, str], connection: asyncpg.Connection, wanted: Export, tenant: str
) -> web.StreamResponse:
    """Send piece by piece. What fails before the first byte is an error; after it the connection is cut off."""
    async with aclosing(exported(connection, wanted, tenant)) as pieces:
        first = await anext(pieces, b"")
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        try:
            await response.write(first)
            async for piece in pieces:
                await response.write(piece)
            await response.write_eof()
            metrics.of(metrics.exports, wanted.view, "whole").inc()
        except BaseException as error:
            metrics.of(metrics.exports, wanted.view, "cut_off").inc()
            log.warning("export.cut_off", view=wanted.view, error=describe(error))
            response.force_close()
            if request.transport is not None:
                request.transport.abort()  # what was sent must not look whole
            if not isinstance(error, ConnectionError | asyncpg.PostgresError | OSError | TimeoutError):
                raise
    return response


def _wanted(request: web.Request) -> Export:
    """Return what is asked for. Raises Refused."""
    query = request.query
    if unknown := sorted(set(query) - set(PARAMETERS)):
        message = f"There is no parameter {unknown[0]}."
        raise Refused(400, "invalid_request", message, f"name some of {', '.join(PARAMETERS)}")
    bom = query.get("bom", "false")
    if bom not in ("true", "false"):
        raise Refused(400, "invalid_request", "bom is neither true nor false.", "write true or false")
    try:
        return export_of(
            request.match_info["view"],
            query.get("format", "csv"),
            one_tenant=True,
            since=query.get("since"),
            until=query.get("until"),
            account=query.get("account"),
            bom=bom == "true",
        )
    except NotInstalled as lacking:
        raise Refused(503, "not_configured", lacking.message, lacking.remedy) from None
    except UnfitExport as unfit:
        if unfit.missing:
            raise Refused(404, "not_found", unfit.message, unfit.remedy) from None
        raise Refused(400, "invalid_request", unfit.message, unfit.remedy) from None
