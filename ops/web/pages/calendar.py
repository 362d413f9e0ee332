"""The calendar of what accounts publish: a month or a week, in a time zone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from urllib.parse import urlencode

from aiohttp import web

from ops.access.sessions import Person
from ops.web import forms
from ops.web.api.posts import READ, WRITE
from ops.web.pages.post_words import CLASSES, NAMES
from ops.web.post_form import account_name
from ops.web.responses import Refused, render
from ops.web.routing import Route
from ops.web.site import Publishing, Site
from publish.posting.listing import MOST_PLANNED, PostListing
from publish.posting.post_store import Account
from publish.posting.recurrences import Recurrences
from publish.schedule.calendar import VIEWS, Calendar, View, calendar_of
from publish.schedule.errors import ScheduleError
from publish.schedule.zones import TimeZones

PER_DAY: Mapping[View, int] = {"month": 6, "week": 40}
"""Entries that are shown of a day; the others are counted, with a link to them."""

NEW_AT = "09:00"
"""The time of a post that is begun on a day of the calendar."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What an account publishes. ``page`` is where it is; ``class_`` and ``state`` say how far it is."""

    at: datetime
    page: str
    about: str
    state: str
    class_: str
    text: str


class CalendarPages:
    def __init__(self, site: Site, publishing: Publishing) -> None:
        self._site = site
        self._zones = publishing.posts.zones
        self._listing = PostListing(publishing.posts)
        self._recurrences = Recurrences(publishing.posts)
        self._titles = {name: publisher.rules.title for name, publisher in publishing.posts.publishers.items()}

    def routes(self) -> Sequence[Route]:
        return (Route("GET", "/posts/calendar", self.show),)

    async def show(self, request: web.Request) -> web.Response:
        """Show a month or a week, of all accounts or of one, of all campaigns or of one."""
        person = await self._site.authentication.require_login(request, READ)
        query = request.query
        accounts = await self._listing.accounts(person.tenant)
        chosen = next((each for each in accounts if each.id == query.get("connection")), None)
        if query.get("connection") and chosen is None:
            forms.parse_id(query["connection"], _no_account())
            raise _no_account()
        zone = query.get("zone", "").strip() or await self._listing.usual_zone(person.tenant)
        shown, error = _calendar(query, zone, self._zones)
        entries = await self._entries(person, shown, chosen, query.get("campaign") or None)
        rules = self._zones.zone(shown.zone)
        days: dict[date, list[Entry]] = {}
        for entry in sorted(entries, key=lambda each: each.at):
            days.setdefault(entry.at.astimezone(rules).date(), []).append(entry)
        asked = {"zone": shown.zone, "connection": query.get("connection"), "campaign": query.get("campaign")}
        kept = urlencode({name: text for name, text in asked.items() if text})
        return render(
            "calendar.html",
            400 if error else 200,
            person=person,
            calendar=shown,
            days=days,
            rules=rules,
            today=_today(rules),
            per_day=PER_DAY[shown.view],
            most=MOST_PLANNED,
            cut=len(entries) >= MOST_PLANNED,
            error=error,
            kept=kept,
            views=VIEWS,
            accounts=[(each.id, account_name(each, self._titles[each.platform])) for each in accounts],
            connection="" if chosen is None else chosen.id,
            campaign=query.get("campaign", ""),
            title=_title(shown),
            new_at=NEW_AT,
            minute=timedelta(minutes=1),
            may_write=person.may(WRITE),
        )

    async def _entries(
        self, person: Person, shown: Calendar, account: Account | None, campaign: str | None
    ) -> list[Entry]:
        """Return what is planned on the days that are shown, with what repeats and has no post yet."""
        connection = None if account is None else account.id
        asked = (person.tenant, shown.since, shown.until)
        found = [
            Entry(
                each.at,
                f"/posts/{each.post}",
                f"{self._titles.get(each.platform, each.platform)}, {each.account}",
                NAMES[each.state],
                CLASSES[each.state],
                each.content,
            )
            for each in await self._listing.planned(*asked, connection=connection, campaign=campaign)
        ]
        for stored, times in await self._recurrences.to_come(*asked):
            targets = [each.get("connection") for each in stored.template.get("targets", [])]
            elsewhere = account is not None and (
                account.id not in targets and account.platform not in stored.template.get("platforms", [])
            )
            if elsewhere or campaign not in (None, stored.template.get("campaign_id")):
                continue
            text = str(stored.template.get("content", ""))
            page = f"/posts#at-{stored.id}"
            found += [Entry(at, page, "repeats", "comes by its rule", "soft", text) for at in times]
        return found


def _calendar(query: Mapping[str, str], zone: str, zones: TimeZones) -> tuple[Calendar, str]:
    """Return the page of the calendar that a query asks for, and what is wrong with the query."""
    view = next((each for each in VIEWS if each == query.get("view")), VIEWS[0])
    error = ""
    try:
        rules = zones.zone(zone)
    except ScheduleError as problem:
        error = f"{problem.message[:1].upper()}{problem.message[1:]}; {problem.remedy}."
        zone, rules = "UTC", zones.zone("UTC")
    try:
        day = date.fromisoformat(query["day"]) if query.get("day") else _today(rules)
    except ValueError:
        error, day = "The day is none; write it as 2027-05-01.", _today(rules)
    return calendar_of(view, day, zone, zones), error


def _today(rules: tzinfo) -> date:
    return datetime.now(rules).date()


def _title(shown: Calendar) -> str:
    """Return what the page of the calendar is called."""
    if shown.view == "month":
        return f"{shown.day:%B %Y}"
    first, last = shown.weeks[0][0], shown.weeks[0][-1]
    return f"{first:%-d %B} to {last:%-d %B %Y}"


def _no_account() -> Refused:
    return Refused(404, "not_found", "There is no such account.", "choose one of the list")
