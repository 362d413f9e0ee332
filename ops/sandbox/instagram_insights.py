"""Insights of Instagram's media and accounts (``meta.md`` 10.5, 10.8)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from ops.sandbox import growth
from ops.sandbox.contract import Answer, Call, Refusal
from ops.sandbox.graph_api import when
from ops.sandbox.instagram_access import InstagramAccess
from ops.sandbox.instagram_service import Media, Person, media_number

CORE = ("views", "reach", "likes", "comments", "shares", "saved", "total_interactions")
ACTIVITY = ("follows", "profile_visits", "profile_activity")
METRICS = {
    "FEED": (*CORE, "reposts", *ACTIVITY),
    "REELS": (*CORE, "ig_reels_avg_watch_time", "ig_reels_video_view_total_time", "reposts", "reels_skip_rate"),
    "STORY": ("views", "reach", "replies", "shares", "total_interactions", "reposts", *ACTIVITY, "navigation"),
}
"""Metrics by product, with either login (``meta.md`` 10.5)."""

TOTALS = ("total_likes", "total_comments", "total_views")
FACEBOOK_METRICS = {
    "FEED": TOTALS,
    "REELS": ("crossposted_views", "facebook_views", *TOTALS),
    "STORY": ("link_clicks", "total_views"),
}
"""Further metrics with Facebook Login (``meta.md`` 10.5)."""

ON_FACEBOOK = ("crossposted_views", "facebook_views")
"""Metrics of media on Facebook; for other media the whole request fails (``meta.md`` 10.5, subcode 2207086)."""

BREAKDOWNS = {
    "profile_activity": ("action_type", ("bio_link_clicked", "call", "direction", "email", "other", "text")),
    "navigation": ("story_navigation_action_type", ("tap_forward", "tap_back", "tap_exit", "swipe_forward")),
}
"""Metrics that come as ``total_value``, and their breakdown; in lower case on the wire (``meta.md`` 10.5)."""

PRODUCT, FOLLOW = "media_product_type", "follow_type"
INTERACTIONS = ("total_interactions", "accounts_engaged", "likes", "comments", "shares", "saves", "replies", "reposts")
DEMOGRAPHICS = ("age", "city", "country", "gender")
DEMOGRAPHIC_METRICS = ("follower_demographics", "engaged_audience_demographics")
ACCOUNT_METRICS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "reach": (("total_value", "time_series"), (PRODUCT, FOLLOW)),
    "follower_count": (("time_series",), ()),
    "online_followers": (("time_series",), ()),
    "views": (("total_value",), (PRODUCT, "follower_type")),
    **dict.fromkeys(INTERACTIONS, (("total_value",), (PRODUCT,))),
    "follows_and_unfollows": (("total_value",), (FOLLOW,)),
    "profile_links_taps": (("total_value",), ("contact_button_type",)),
    **dict.fromkeys(DEMOGRAPHIC_METRICS, (("total_value",), DEMOGRAPHICS)),
    "profile_views": (("total_value",), ()),
    "website_clicks": (("total_value",), ()),
}
"""Account metrics: their metric types and breakdowns (``meta.md`` 10.8)."""

WINDOW_SECONDS = 30 * 86_400
WITH_FOLLOWERS = ("follower_count", "online_followers", "follows_and_unfollows", *DEMOGRAPHIC_METRICS)
"""Metrics that only accounts of 100 followers and more have."""
FOLLOWERS = 100


class InstagramInsights(InstagramAccess):
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        **InstagramAccess.variants,
        # What insights are answered (meta.md 10.5): "before_conversion" concerns the account's oldest medium alone.
        "insights": ("available", "before_conversion", "few_viewers", "empty"),
        # The code beside 2108006 (meta.md 10.5).
        "conversion_code": ("100", "4"),
        # The code with which insights of another account's medium are refused (meta.md 10.5).
        "collab_refusal": ("10", "100"),
    }

    def insights(self, call: Call) -> Answer:
        """Answer for an account or a medium. One metric that does not fit fails them all (``meta.md`` 10.5)."""
        if call.parts["id"] == "me" or self.instagram.account(call.parts["id"]):
            return self._account_insights(call)
        token = self.authorised(call, *self.permissions["insights"])
        media = self.own_media(call, token)
        asked = self._metrics(call)
        known = () if media.parent else METRICS[media.product]
        known += FACEBOOK_METRICS[media.product] if self.with_facebook_login and known else ()
        self._check_metrics(asked, known, self.instagram.people[media.account])
        if set(asked) & set(ON_FACEBOOK):
            raise self.refused(100, "The media is not shared to Facebook.", 2207086)
        breakdown = call.text("breakdown")
        if breakdown and any(BREAKDOWNS.get(name, ("",))[0] != breakdown for name in asked):
            raise self.refused(100, "Incompatible breakdowns", status=400)
        self._check_medium(media)
        if self.variant("insights") == "empty":
            return self.answer(token, {"data": []})
        return self.answer(token, {"data": [self._insight(media, name, breakdown) for name in asked]})

    def _metrics(self, call: Call) -> list[str]:
        return [name for item in call.many("metric") for name in item.split(",") if name]

    def _check_metrics(self, asked: Sequence[str], known: Sequence[str], person: Person) -> None:
        """Raises 100 or 200 for a metric that is unknown for the account, or that it may not read."""
        allowed = [name for name in known if name not in person.refused_metrics]
        if not asked or not set(asked) <= set(allowed):
            raise self.refused(100, f"metric must be one of the following values: {', '.join(allowed)}")
        if denied := sorted(set(asked) & set(person.denied_metrics)):
            raise self.refused(200, f"({denied[0]}) is not available for this account")

    def _check_medium(self, media: Media) -> None:
        """Raises for a medium that has no insights, or none yet."""
        chosen, person = self.variant("insights"), self.instagram.people[media.account]
        if media.collab:
            text = "Application does not have permission for this action"
            raise self.refused(int(self.variant("collab_refusal")), text)
        oldest = chosen == "before_conversion" and media is self.instagram.of(media.account)[-1]
        if oldest or media.before_conversion or media.created.timestamp() < person.converted_at:
            raise self._before_conversion()
        if chosen == "few_viewers" or media.few_viewers:
            raise self.refused(10, "Not enough viewers for the media to show insights")

    def _before_conversion(self) -> Refusal:
        title = {"error_user_title": "Media posted before business account conversion"}
        refusal = self.refused(int(self.variant("conversion_code")), "Invalid parameter", 2108006)
        refusal.answer.content["error"] |= title | {"message": "Invalid parameter"}
        return refusal

    def media_total(self, media: Media, name: str, age: timedelta) -> int:
        """Return one of ``TOTALS``, which count boosts too (``meta.md`` 10.5)."""
        return media_number(media, name.removeprefix("total_"), age) + media_number(media, "boosted", age)

    def _insight(self, media: Media, name: str, breakdown: str | None) -> dict[str, Any]:
        age = self.sandbox.clock.now() - media.created
        number = self.media_total(media, name, age) if name in TOTALS else media_number(media, name, age)
        shown = {"name": name, "period": "lifetime", "title": name.replace("_", " ").title()}
        shown["id"] = f"{media.id}/insights/{name}/lifetime"
        if name not in BREAKDOWNS:
            return shown | {"values": [{"value": number}]}
        total: dict[str, Any] = {"value": number}
        if breakdown:
            values = BREAKDOWNS[name][1]
            results = [
                {"dimension_values": [value], "value": (number + place) // len(values)}
                for place, value in enumerate(values)
            ]
            total["breakdowns"] = [{"dimension_keys": [breakdown], "results": results}]
        return shown | {"total_value": total}

    def _account_insights(self, call: Call) -> Answer:
        """Answer ``total_value`` or a daily series, over 30 days at most (``meta.md`` 10.8)."""
        token, person = self.professional(call, "insights")
        asked, breakdown, kind = self._metrics(call), call.text("breakdown"), call.text("metric_type")
        self._check_metrics(asked, tuple(ACCOUNT_METRICS), person)
        now = self.sandbox.clock.seconds()
        since, until = self.bounds(call)
        until = min(now, until)
        since = since or int(until) - growth.DAY
        if until - since > WINDOW_SECONDS:
            text = "There cannot be more than 30 days (2592000 s) between since and until"
            raise self.refused(100, text)
        data = []
        for name in asked:
            kinds, breakdowns = ACCOUNT_METRICS[name]
            chosen = kind or kinds[-1]
            if chosen not in kinds or (breakdown and breakdown not in breakdowns):
                raise self.refused(100, f"({name}) does not support this metric_type or breakdown")
            if name in WITH_FOLLOWERS and person.followers < FOLLOWERS:
                continue  # left out, which is not 0
            shown: dict[str, Any] = {"name": name, "period": call.text("period") or "day", "title": name}
            shown["id"] = f"{person.user_id}/insights/{name}/day"
            if chosen == "time_series":
                shown["values"] = self._series(person, name, since, until)
            else:
                shown |= self._total(person, name, breakdown, since, until)
            data.append(shown)
        return self.answer(token, {"data": data, "paging": self._windows(call, since, until)})

    def _series(self, person: Person, name: str, since: float, until: float) -> list[dict[str, Any]]:
        """Return a value for each whole day; new followers only of days before today, of the last 30 days."""
        now = self.sandbox.clock.seconds()
        ends: Sequence[int] = range(int(since) + growth.DAY, int(until) + 1, growth.DAY)
        if name == "follower_count":
            ends = [end for end in ends if now - WINDOW_SECONDS - growth.DAY <= end <= now // growth.DAY * growth.DAY]
        return [
            {
                "value": growth.between(person.user_id, name, end - growth.DAY, end, now),
                "end_time": when(datetime.fromtimestamp(end, UTC)),
            }
            for end in ends
        ]

    def _total(self, person: Person, name: str, breakdown: str | None, since: float, until: float) -> dict[str, Any]:
        """Return the number of a window. ``follows_and_unfollows`` has none without its breakdown, and lacks a day."""
        now, subject = self.sandbox.clock.seconds(), person.user_id
        if name == "follows_and_unfollows":
            until = min(until, (now // growth.DAY - 1) * growth.DAY)
            if not breakdown or until <= since:
                return {}
        number = growth.between(subject, name, since, until, now)
        if name == "reach" and until - since > growth.DAY:
            number = number * 7 // 10  # people, not visits: those who came on two days count once
        total: dict[str, Any] = {"value": number}
        if breakdown:
            keys = ("FOLLOWER", "NON_FOLLOWER", "UNKNOWN") if breakdown == FOLLOW else ("FEED", "REELS")
            results = [
                {"dimension_values": [key], "value": (number + place) // len(keys)} for place, key in enumerate(keys)
            ]
            total["breakdowns"] = [{"dimension_keys": [breakdown], "results": results}]
        return {"total_value": total}

    def _windows(self, call: Call, since: float, until: float) -> dict[str, str]:
        """Return ``previous`` and ``next``, which move the window without end, into the future (``meta.md`` 10.7)."""
        length = until - since
        given = {name: value for name, value in call.query.items() if name not in ("since", "until", "access_token")}
        given["access_token"] = self.given(call)
        return {
            name: f"{call.base}{call.path}?"
            + urlencode(given | {"since": int(since + moved), "until": int(until + moved)})
            for name, moved in (("previous", -length), ("next", length))
        }
