"""Instagram API with Instagram Login: contract ``meta.md`` 1, 2, 7.1, 8 and 10."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ops.sandbox.contract import Answer, Call, CommandError, PlatformEvent, Route, Sandbox
from ops.sandbox.graph_api import SHORT_SECONDS, Code, Node, OwnLogin, Token
from ops.sandbox.instagram_api import InstagramApi
from ops.sandbox.instagram_service import Person

VERSION = r"/{version:(?:v\d+\.\d+/)?}"
BASIC = "instagram_business_basic"
FIELDS = (
    *("comments", "live_comments", "messages", "message_echoes", "message_edit", "message_reactions"),
    *("messaging_handover", "messaging_optins", "messaging_postbacks", "messaging_referral", "messaging_seen"),
    "standby",
)
NEEDED = {
    name: "instagram_business_manage_comments" if "comments" in name else "instagram_business_manage_messages"
    for name in FIELDS
}
"""The permission without which a field cannot be subscribed to (``meta.md`` 2.1)."""


class Instagram(OwnLogin, InstagramApi):
    """Its three hosts are one here, since no two of their paths are equal."""

    name = "instagram"
    title = "Instagram"
    client_id = "1000000000000001"
    token_prefix = "IGAA"  # noqa: S105
    basic = BASIC
    exchange_grant, refresh_grant = "ig_exchange_token", "ig_refresh_token"
    scopes = (
        BASIC,
        "instagram_business_content_publish",
        "instagram_business_manage_messages",
        "instagram_business_manage_comments",
        "instagram_business_manage_insights",
    )
    permissions: ClassVar[Mapping[str, Sequence[str]]] = {
        "read": (BASIC,),
        "comments": (BASIC, "instagram_business_manage_comments"),
        "insights": (BASIC, "instagram_business_manage_insights"),
        "publish": (BASIC, "instagram_business_content_publish"),
        "messages": (BASIC, "instagram_business_manage_messages"),
        "contents": (BASIC, "instagram_manage_contents"),  # which no page offers by this login (meta.md 8.5)
    }
    resumable = ("upload",)
    streams = ("", "deauthorize", "deletion")
    unreported: ClassVar[Mapping[str, str]] = {  # meta.md 0.6 and 2.2
        "publish": "Instagram sends nothing for a new post.",
        "delete_post": "Instagram sends nothing for a deleted post.",
        "delete_comment": "Instagram sends nothing for a deleted comment.",
        "change": "Instagram sends nothing for a like, or for a comment that is edited or hidden.",
    }
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        **InstagramApi.variants,
        "token": ("wrapped", "flat", "listed"),
        "identity": ("flat", "wrapped"),
        "entry": ("changes", "flat"),
        "document": ("object", "list"),
    }

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.subscribed: dict[str, list[str]] = {}
        """Accounts with the fields that were asked for; each gets all that the application has (``meta.md`` 1.3)."""
        self.app_fields: set[str] = set(FIELDS)
        """The application's half of all subscriptions, as entered in the dashboard (``meta.md`` 1.4)."""

    def routes(self) -> Sequence[Route]:
        node = VERSION + r"{id:[^/]+}"
        return (
            Route("GET", "/oauth/authorize", self.ask),
            Route("POST", "/oauth/authorize", self.decide),
            Route("POST", "/oauth/access_token", self.exchange),
            Route("GET", "/access_token", self.lengthen),
            Route("GET", "/refresh_access_token", self.refresh),
            Route("GET", f"{VERSION}access_token", self.lengthen),
            Route("GET", f"{VERSION}refresh_access_token", self.refresh),
            Route("POST", "/ig-api-upload/{version}/{id}", self.upload),
            Route("DELETE", f"{node}/permissions", self.remove_permissions),
            Route("POST", f"{node}/subscribed_apps", self.subscribe),
            Route("GET", f"{node}/subscribed_apps", self.subscriptions),
            Route("DELETE", f"{node}/subscribed_apps", self.end_subscription),
            Route("GET", f"{node}/media", self.media_list),
            Route("POST", f"{node}/media", self.create),
            Route("POST", f"{node}/media_publish", self.publish),
            Route("GET", f"{node}/content_publishing_limit", self.quota),
            Route("GET", f"{node}/stories", self.stories),
            Route("GET", f"{node}/comments", self.media_comments),
            Route("POST", f"{node}/comments", self.comment_on),
            Route("GET", f"{node}/replies", self.comment_replies),
            Route("POST", f"{node}/replies", self.reply),
            Route("GET", f"{node}/insights", self.insights),
            Route("POST", f"{node}/messages", self.message),
            Route("GET", node, self.show),
            Route("POST", node, self.change),
            Route("DELETE", node, self.delete_instagram),
        )

    def business_id(self, account: str) -> str:
        return self.instagram.people[account].user_id

    def acts_for(self, token: Token, person: Person) -> bool:
        return token.account == person.name

    def professional(self, call: Call, right: str) -> tuple[Token, Person]:
        """Return token and account; ``me`` is the token's own."""
        if call.parts["id"] != "me":
            return super().professional(call, right)
        token = self.authorised(call, *self.permissions[right])
        person = self.instagram.people[token.account]
        if person.deactivated:
            raise self.missing(person.scoped_id)
        return token, person

    # --- OAuth (meta.md 7.1)

    def exchange(self, call: Call) -> Answer:
        if call.text("client_id") != self.client_id or call.text("client_secret") != self.client_secret:
            return self.wrong("Invalid platform app")
        if call.text("grant_type") != "authorization_code":
            return self.wrong("Invalid grant_type")
        code = self.spent(call)
        if code is None:
            return self.wrong("Matching code was not found or was already used")
        return Answer(content=self._short(code))

    def _short(self, code: Code) -> Any:
        person = self.instagram.people[code.account]
        secret = self.issue(code.account, code.scopes, "short", SHORT_SECONDS)
        content: dict[str, Any] = {
            "access_token": secret,
            "user_id": person.scoped_id,
            "permissions": ",".join(code.scopes),
        }
        if self.variant("token") == "wrapped":
            return {"data": [content]}
        # Observed in the wild: numbers, and permissions as a list.
        return (
            content
            | {"user_id": int(person.scoped_id)}
            | ({"permissions": code.scopes} if self.variant("token") == "listed" else {})
        )

    def remove_permissions(self, call: Call) -> Answer:
        token, person = self.professional(call, "read")
        self.end(token.account, 458, "revoked")
        self.tell_of("deauthorize", person.name, person.scoped_id)
        return Answer(content={"success": True})

    # --- webhooks (meta.md 1.4, 2)

    def subscribe(self, call: Call) -> Answer:
        """Subscribe to all of the fields or, if one is unknown or not permitted, to none (``meta.md`` 1.5)."""
        token, person = self.professional(call, "read")
        before = self.subscribed.get(person.name, ())
        self.subscribed[person.name] = self.subscription_fields(call, token, FIELDS, NEEDED, before)
        return self.answer(token, {"success": True})

    def subscriptions(self, call: Call) -> Answer:
        token, person = self.professional(call, "read")
        fields = self.subscribed.get(person.name, [])
        app = {"id": self.client_id, "name": "the application", "subscribed_fields": fields}
        return self.answer(token, {"data": [app] if fields else []})

    def end_subscription(self, call: Call) -> Answer:
        token, person = self.professional(call, "read")
        self.subscribed.pop(person.name, None)
        return self.answer(token, {"success": True})

    def account_added(self, person: Person) -> None:
        if self.all_subscribed:
            self.subscribed[person.name] = list(FIELDS)

    def handle_event(self, topic: str, account: str, value: Any) -> None:
        if account in self.subscribed and topic in self.app_fields:
            self.notify(topic, account, value)

    def document(self, events: Sequence[PlatformEvent]) -> Any:
        now = int(self.sandbox.clock.seconds())
        entries: list[dict[str, Any]] = []
        for event in events:
            entry = {"id": self.instagram.people[event.account].user_id, "time": now}
            change = {"field": event.topic, "value": event.value}
            if self.variant("entry") == "flat":
                entries.append(entry | change)
            elif entries and entries[-1]["id"] == entry["id"]:
                entries[-1]["changes"].append(change)
            else:
                entries.append(entry | {"changes": [change]})
        document = {"object": "instagram", "entry": entries}
        return [document] if self.variant("document") == "list" else document

    # --- reading

    def show(self, call: Call) -> Answer:
        if call.parts["id"] == "me":
            token, person = self.professional(call, "read")
            shown = self.pick(call, self.person_node(person), self.fields(call))
            return self.answer(token, {"data": [shown]} if self.variant("identity") == "wrapped" else shown)
        node: Node | None = self.instagram_node(call)
        if node is None:
            self.authorised(call)
            raise self.missing(call.parts["id"])
        return Answer(content=self.pick(call, node, self.fields(call)), headers=self.usage(self.account_of(call) or ""))

    # --- life

    def next_due(self) -> float | None:
        return self.instagram.expiring[0][0] if self.instagram.expiring else None

    def advance(self) -> None:
        self.instagram.expire()

    def edge(self, call: Call, path: str) -> str:
        return path.replace("{id}", "{account}") if call.parts.get("id") == "me" else super().edge(call, path)

    def people(self) -> Sequence[str]:
        return list(self.instagram.people)

    def visible_posts(self, account: str) -> list[dict[str, Any]]:
        return self.instagram_posts(account)

    def simulate_activity(self) -> None:
        self.instagram.simulate_activity()

    def simulate_publish(self, account: str, text: str) -> str:
        return self.simulate_publish_kind(account, text, "IMAGE")

    def simulate_publish_kind(self, account: str, text: str, kind: str) -> str:
        media = self.instagram.publish(account, text, kind)
        story = {"story": True} if media.product == "STORY" else {}
        self.record("post", account=account, id=media.id, text=text, by="owner", **story)
        return media.id

    def simulate_revoke(self, account: str) -> int:
        person = self.instagram.people[account]
        self.subscribed.pop(account, None)
        self.tell_of("deauthorize", account, person.scoped_id)
        return self.end(account, 458, "revoked by the person")

    def simulate_erase(self, account: str) -> None:
        self.tell_of("deletion", account, self.instagram.people[account].scoped_id)

    def simulate_unsubscribe(self, account: str) -> None:
        self.subscribed.pop(account, None)

    def set_subscription(self, account: str | None, kind: str, fields: Sequence[str]) -> None:
        if kind not in ("", "instagram") or not set(fields) <= set(FIELDS):
            raise CommandError(f"the fields of object instagram are {', '.join(FIELDS)}")
        if account is None:
            self.app_fields = set(fields)
        elif account not in self.instagram.people:
            raise CommandError(f"account is one of {', '.join(self.instagram.people)}")
        elif fields:
            self.subscribed[account] = list(fields)
        else:
            self.subscribed.pop(account, None)

    def subscribe_all(self) -> None:
        self.subscribed = {name: list(FIELDS) for name in self.instagram.people}


PLATFORM = Instagram
