"""What all pages and all routes of the API share."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from aiohttp import web

from ops.access import sessions
from ops.access.audit_log_store import Actor
from ops.access.sessions import Person
from ops.runtime.db import Pool
from ops.runtime.proxies import Network
from ops.web.authentication import Authentication
from ops.web.client import Client
from ops.web.concurrency_limit import ConcurrencyLimit
from ops.web.cookies import Cookies
from ops.web.csrf import OriginCheck
from ops.web.messages import Messages
from ops.web.refusals import Refusals
from ops.web.routing import Router
from publish.connections.disconnect import Disconnector
from publish.connections.refresh import Refresher
from publish.media.uploads import Uploads
from publish.oauth.authorization import AuthorizationFlows
from publish.posting.posts import Posts
from sync.pull.contract import PullingPlatform

RequestDeletion = Callable[[Pool, str, str, Actor], Awaitable[str | None]]
"""Records that a tenant wants everything of one of its connections deleted.

Takes the tenant, the connection's id and who asks. Returns the request's code, None if there is no such connection.
"""


@dataclass(frozen=True, slots=True)
class Connecting:
    """What connects accounts, keeps them connected and ends that. It needs a vault key."""

    flows: AuthorizationFlows
    disconnector: Disconnector
    refresher: Refresher
    request_deletion: RequestDeletion
    pulling: Mapping[str, PullingPlatform] = field(default_factory=dict)
    """The platforms whose accounts the worker reads."""


def _nobody() -> None:
    """Tell nobody: the worker looks for itself every second."""


@dataclass(frozen=True, slots=True)
class Publishing:
    """What makes posts of a tenant, which a worker with a vault key publishes.

    ``uploads`` takes files; None where there is no storage for them. ``notify`` tells the worker that posts may be due.
    """

    posts: Posts
    uploads: Uploads | None = None
    notify: Callable[[], None] = _nobody


@dataclass(frozen=True, slots=True)
class Site:
    pool: Pool
    public_url: str
    client: Client
    cookies: Cookies
    origins: OriginCheck
    authentication: Authentication
    messages: Messages
    refusals: Refusals
    limit: ConcurrencyLimit
    router: Router

    def actor(self, request: web.Request, person: Person) -> Actor:
        """Return who acts, for the audit log."""
        return person.actor(self.client.address(request))


def build_site(
    pool: Pool,
    *,
    secure: bool,
    public_url: str = "",
    trusted: Sequence[Network] = (),
    idle_minutes: int = sessions.IDLE_MINUTES,
    owners_need_second_factor: bool = False,
) -> Site:
    """Build what pages share. ``secure`` says whether ``public_url`` is https, ``trusted`` are the proxies in front.

    A session ends after ``idle_minutes`` without a request.
    """
    client, cookies, limit = Client(trusted), Cookies(secure=secure), ConcurrencyLimit()
    origins = OriginCheck(client, public_url, secure=secure)
    authentication = Authentication(
        pool,
        cookies,
        client,
        origins,
        limit,
        idle_minutes=idle_minutes,
        owners_need_second_factor=owners_need_second_factor,
    )
    messages, refusals = Messages(cookies), Refusals(cookies, client)
    router = Router(authentication, limit, messages, refusals)
    return Site(pool, public_url, client, cookies, origins, authentication, messages, refusals, limit, router)
