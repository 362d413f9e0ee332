"""Put the pages and the API together."""

from collections.abc import Callable
from dataclasses import replace

from aiohttp import hdrs, web

from ops.runtime.db import Pool
from ops.runtime.mail import Mailer
from ops.web import static_files
from ops.web.api.actions import ActionsApi
from ops.web.api.audit import AuditApi
from ops.web.api.authorization import AuthorizationApi
from ops.web.api.connections import ConnectionsApi
from ops.web.api.export import ExportApi
from ops.web.api.media import MediaApi
from ops.web.api.media_uploads import MediaUploadsApi
from ops.web.api.notices import NoticesApi
from ops.web.api.platform_callbacks import PlatformCallbacks
from ops.web.api.posts import PostsApi
from ops.web.api.queues import QueuesApi
from ops.web.api.recurrences import RecurrencesApi
from ops.web.media_files import MediaFiles
from ops.web.not_configured import ConnectionsNotConfigured
from ops.web.pages.account import AccountPages
from ops.web.pages.audit import AuditPages
from ops.web.pages.authorization import AuthorizationPages
from ops.web.pages.calendar import CalendarPages
from ops.web.pages.compose import ComposePages
from ops.web.pages.connections import ConnectionPages
from ops.web.pages.deletion import DeletionPages
from ops.web.pages.invitations import InvitationPages
from ops.web.pages.login import LoginPages
from ops.web.pages.people import PeoplePages
from ops.web.pages.posts import PostPages
from ops.web.pages.second_step import SecondStepPages
from ops.web.routing import Route
from ops.web.site import Connecting, Publishing, Site
from publish.media.uploads import Uploads
from schema.sealing import Sealer


def add_access(app: web.Application, site: Site, vault: Sealer | None, mailer: Mailer | None = None) -> None:
    """Add login, accounts, people, keys and the audit log.

    ``vault`` seals the secrets of authenticator apps; without one no app can be added or used. ``mailer`` sends
    invitations, which are shown without one.
    """
    invitations = InvitationPages(site)
    second_step = SecondStepPages(site, vault, invitations)
    for part in (
        LoginPages(site, second_step, invitations),
        second_step,
        invitations,
        AccountPages(site, vault),
        PeoplePages(site, mailer),
        AuditPages(site),
        AuditApi(site),
    ):
        site.router.add(app, part.routes())
    static = Route("GET", f"{static_files.PATH}/{{name}}", static_files.serve, limited=False)
    site.router.add(app, [static])


def add_connections(app: web.Application, site: Site, connecting: Connecting) -> None:
    """Add what connects accounts, and shows and ends connections."""
    authorization = AuthorizationApi(site, connecting)
    for part in (
        authorization,
        AuthorizationPages(site, connecting, authorization),
        ConnectionPages(site, connecting),
        DeletionPages(site),
        ConnectionsApi(site, connecting),
        NoticesApi(site),
        PlatformCallbacks(connecting),
    ):
        site.router.add(app, part.routes())


def add_posts(app: web.Application, site: Site, publishing: Publishing) -> None:
    """Add what makes, shows and decides upon posts."""
    for part in (
        PostsApi(site, publishing),
        ActionsApi(site, publishing),
        RecurrencesApi(site, publishing),
        QueuesApi(site, publishing),
        ComposePages(site, publishing),
        CalendarPages(site, publishing),
        PostPages(site, publishing),
    ):
        site.router.add(app, [_notifying(route, publishing.notify) for route in part.routes()])


def _notifying(route: Route, notify: Callable[[], None]) -> Route:
    """Return a route that tells the worker of what it changed, once that is committed."""
    if route.method == hdrs.METH_GET:
        return route

    async def handle(request: web.Request) -> web.StreamResponse:
        response = await route.handler(request)
        notify()
        return response

    return replace(route, handler=handle)


def add_connections_not_configured(app: web.Application, site: Site) -> None:
    """Add what answers in place of :func:`add_connections` where there is no vault key."""
    site.router.add(app, ConnectionsNotConfigured(site).routes())


def add_media(app: web.Application, site: Site, uploads: Uploads | None) -> None:
    """Add what takes files and gives them to platforms. Without a storage it says what to set."""
    storage = None if uploads is None else uploads.storage
    for part in (MediaUploadsApi(site, uploads), MediaApi(site, uploads), MediaFiles(site, storage)):
        site.router.add(app, part.routes())


def add_export(app: web.Application, site: Site, pool: Pool) -> None:
    """Add what gives the rows of published views as files. An export holds a connection of ``pool`` until its end."""
    site.router.add(app, ExportApi(site, pool).routes())
