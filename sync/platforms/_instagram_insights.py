"""What is counted of Instagram's media and accounts: ``meta.md`` 10.5 and 10.8.

One metric that the platform does not have for an object refuses the whole request. So metrics are asked for in groups,
a group that is refused is asked for one by one, and those whose name the platform does not know for a kind of object
are remembered with the connection. What counts organic interaction, and what counts that of ads too, have names of
their own; what is not answered is unknown and not 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ops.runtime.graph_api import NO_INSIGHTS, TOO_FEW_VIEWERS, checked, error_text
from ops.runtime.platform_protocol import JsonObject, PlatformError, Response, Steps, objects
from sync.platforms._graph_reading import MISSING, get
from sync.pull.contract import Account

FACEBOOK_LOGIN = "facebook"
"""``Account.login`` of an account behind a page: another host, and metrics that the other login does not have."""


@dataclass(frozen=True, slots=True)
class Group:
    """Metrics that are asked for in one request. With a ``breakdown`` the parts of each number come too."""

    metrics: Sequence[str]
    breakdown: str = ""
    facebook: bool = False
    metric_type: str = ""

    def verdict(self, account: Account, kind: str, metric: str) -> str:
        """Return the name by which it is remembered that a metric is refused for a kind of object, by a login."""
        return ".".join(filter(None, (account.login, kind, metric, self.breakdown)))


CORE = ("views", "reach", "likes", "comments", "shares", "saved", "total_interactions")
TOTALS = ("total_likes", "total_comments", "total_views")
WATCHED = ("ig_reels_avg_watch_time", "ig_reels_video_view_total_time")

MEDIA_GROUPS: Mapping[str, Sequence[Group]] = {
    "FEED": (
        Group(CORE),
        Group(("reposts", "follows", "profile_visits")),
        Group(("profile_activity",), "action_type"),
        Group(TOTALS, facebook=True),
    ),
    "REELS": (
        Group((*CORE, *WATCHED)),
        Group(("reposts", "reels_skip_rate")),
        Group(TOTALS, facebook=True),
        Group(("crossposted_views", "facebook_views"), facebook=True),
    ),
    "STORY": (
        Group(("views", "reach", "replies", "shares", "total_interactions")),
        Group(("reposts", "follows", "profile_visits")),
        Group(("profile_activity",), "action_type"),
        Group(("navigation",), "story_navigation_action_type"),
        Group(("link_clicks", "total_views"), facebook=True),
    ),
}
"""By product (``meta.md`` 10.5); the first group is what every media of the product has."""

INTERACTIONS = ("total_interactions", "likes", "comments", "shares", "saves", "replies", "reposts")
TOTAL, SERIES = "total_value", "time_series"

ACCOUNT_GROUPS = (
    Group(("reach", "views", "accounts_engaged", *INTERACTIONS), metric_type=TOTAL),
    Group(("reach", "views", "total_interactions"), "media_product_type", metric_type=TOTAL),
    Group(("reach",), "follow_type", metric_type=TOTAL),
    Group(("views",), "follower_type", metric_type=TOTAL),
    Group(("follows_and_unfollows",), "follow_type", metric_type=TOTAL),
    Group(("profile_links_taps",), "contact_button_type", metric_type=TOTAL),
    Group(("profile_views", "website_clicks"), metric_type=TOTAL),
    Group(("follower_count",), metric_type=SERIES),
)
"""Of one day of an account (``meta.md`` 10.8); without its breakdown ``follows_and_unfollows`` has no number."""

UNKNOWN_NAME = (
    "must be one of the following values",
    "valid insights metric",
    "does not support",
    "incompatible breakdown",
)
"""In the text of a refusal that is about the name of a metric or a breakdown (``meta.md`` 10.5)."""

BEFORE_CONVERSION = (
    "The platform has no figures of media that were posted before the account became a professional one."
)
NONE_GIVEN = "The platform gives no figures of it to this account, as of live media, ads and posts of others"

KEPT = ("name", "period", "values", "total_value")
"""What is kept of a metric; its title and description are words in somebody's language."""


class NoFiguresError(Exception):
    """The platform has no figures of the object; the text says why, for a person."""


class TooFewViewersError(Exception):
    """Fewer than five people saw the object: there will be figures later (``meta.md`` 7.4)."""


class Figures(NamedTuple):
    """Numbers in the platform's own shape, and the names of what turned out to be refused to the connection."""

    data: Sequence[JsonObject]
    refused: Sequence[str]


def read_figures(
    account: Account, path: str, groups: Sequence[Group], kind: str, doing: str, query: Mapping[str, str] | None = None
) -> Steps[Figures]:
    """Read all numbers of an object that the platform has, of which the first group is what it must have.

    Raises NoFiguresError, TooFewViewersError, and PlatformError for what is not about the numbers.
    """
    data: list[JsonObject] = []
    refused: list[str] = []
    for number, group in enumerate(groups):
        metrics = [name for name in group.metrics if group.verdict(account, kind, name) not in account.refused]
        if not metrics or (group.facebook and account.login != FACEBOOK_LOGIN):
            continue
        found, verdicts, problem = yield from _read_group(account, path, group, metrics, doing, query or {})
        if problem is not None and not found and number == 0 and not verdicts:
            raise NoFiguresError(f"{NONE_GIVEN} ({problem.code}).")
        data += found
        refused += [group.verdict(account, kind, name) for name in verdicts]
    return Figures(data, refused)


class _Group(NamedTuple):
    data: Sequence[JsonObject]
    refused: Sequence[str]
    problem: PlatformError | None


def _read_group(
    account: Account, path: str, group: Group, metrics: Sequence[str], doing: str, query: Mapping[str, str]
) -> Steps[_Group]:
    """Read the numbers of a group: together, and after a refusal one by one."""
    chosen = {"breakdown": group.breakdown, "metric_type": group.metric_type}
    more = {**query, **{name: value for name, value in chosen.items() if value}}
    response = yield get(account, path, metric=",".join(metrics), **more)
    problem = _refusal(response, doing)
    if problem is None:
        return _Group(_numbers(response), (), None)
    if len(metrics) == 1:
        return _Group((), metrics if _is_of_the_name(response, problem) else (), problem)
    data: list[JsonObject] = []
    refused: list[str] = []
    for name in metrics:
        response = yield get(account, path, metric=name, **more)
        alone = _refusal(response, doing)
        if alone is None:
            data += _numbers(response)
        elif _is_of_the_name(response, alone):
            refused.append(name)
    return _Group(data, refused, problem)


def _refusal(response: Response, doing: str) -> PlatformError | None:
    """Return why metrics are refused, None if they are not. Raises what concerns the object or more than it."""
    try:
        checked(response, doing)
    except PlatformError as problem:
        if problem.code.endswith(f"/{NO_INSIGHTS}"):
            raise NoFiguresError(BEFORE_CONVERSION) from None
        if problem.code.startswith("10/") and TOO_FEW_VIEWERS in error_text(response):
            raise TooFewViewersError from None
        if problem.kind not in ("wrong", "lacking") or problem.code == MISSING:
            raise
        return problem
    return None


def _is_of_the_name(response: Response, problem: PlatformError) -> bool:
    """Whether a refusal of one metric is about its name, or about a permission for it alone, and so about all objects.

    A story's ``total_views`` is refused for some accounts with code 200; that a reel is not on Facebook refuses two
    metrics with 100/2207086, which is about the reel alone (``meta.md`` 10.5).
    """
    said = error_text(response)
    return problem.code.startswith("200/") or any(words in said for words in UNKNOWN_NAME)


def _numbers(response: Response) -> list[JsonObject]:
    return [{key: item[key] for key in KEPT if key in item} for item in objects(response.content.get("data"))]
