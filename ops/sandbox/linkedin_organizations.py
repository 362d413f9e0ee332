"""LinkedIn's organizations: roles, comments on posts, and notifications: ``linkedin.md`` 1.2, 2 and 4.6."""

import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode

from ops.sandbox import sample_text
from ops.sandbox.contract import (
    Answer,
    Call,
    CommandError,
    Fetched,
    OutboundRequest,
    Platform,
    PlatformEvent,
    Refusal,
    Route,
    Sandbox,
    forget_oldest,
    whole,
)

EVENT = "ORGANIZATION_SOCIAL_ACTION_NOTIFICATIONS"
KEPT = timedelta(days=60)
FAILURES = 3
"""Failed checks in a row that block an address."""
ACTIONS = frozenset(("LIKE", "COMMENT", "SHARE", "SHARE_MENTION", "ADMIN_COMMENT", "COMMENT_EDIT", "COMMENT_DELETE"))
READ_COMMENTS = ("r_organization_social_feed", "r_organization_social")
WRITE_COMMENTS_AS_MEMBER = ("w_member_social_feed", "w_member_social")
WRITE_COMMENTS_AS_ORGANIZATION = ("w_organization_social_feed", "w_organization_social")
WRITE_COMMENTS = (*WRITE_COMMENTS_AS_MEMBER, *WRITE_COMMENTS_AS_ORGANIZATION)
"""The newer scopes, and those of the older surface (``linkedin.md`` 1)."""
ADMINISTRATOR = "ADMINISTRATOR"
POSTING_ROLES = (ADMINISTRATOR, "CONTENT_ADMINISTRATOR", "DIRECT_SPONSORED_CONTENT_POSTER")
ROLES = (
    *POSTING_ROLES,
    *("RECRUITING_POSTER", "LEAD_CAPTURE_ADMINISTRATOR", "LEAD_GEN_FORMS_MANAGER", "ANALYST", "CURATOR"),
)
APPROVED = "APPROVED"
ROLE_STATES = (APPROVED, "REQUESTED", "REJECTED", "REVOKED")
MOST_LISTED = 100

_LIST = re.compile(r"List\(([A-Z_,]*)\)")
_IDS = re.compile(r"List\(([0-9]{1,19}(?:,[0-9]{1,19})*)\)")
_RANGE = re.compile(r"\(start:(\d{1,15}),end:(\d{1,15})\)")
_COMMENT = re.compile(r"urn:li:comment:\((.+),(\d+)\)")
_KEY = re.compile(r"\(developerApplication:([^,]+),user:([^,]+),entity:([^,]+),eventType:([A-Z_]+)\)")


@dataclass
class Comment:
    id: str
    by: str
    text: str
    created: datetime
    parent: str | None = None
    edited: datetime | None = None


@dataclass
class Post:
    urn: str
    account: str
    body: dict[str, Any]
    shown: str
    """What readers see: unescaped, and cut where a parenthesis stood without its backslash."""
    created: datetime
    modified: datetime | None = None
    comments: dict[str, Comment] = field(default_factory=dict)


@dataclass(frozen=True)
class Role:
    """What a member is to an organization; a right only in the state APPROVED (``linkedin.md`` 1.2)."""

    role: str = ADMINISTRATOR
    state: str = APPROVED


@dataclass
class Subscription:
    user: str
    entity: str
    url: str
    expires: datetime


class LinkedInOrganizations(Platform):
    """The organization part of LinkedIn. The other part has the members, their tokens and the posts."""

    accounts: dict[str, str]
    posts: dict[str, Post]
    batch = 10
    retry_seconds = (300,) * 96  # every 5 minutes for 8 hours
    answer_seconds = 3.0
    recheck_seconds = 7200.0
    variants: ClassVar[Mapping[str, Sequence[str]]] = {"prefix": ("bare", "prefixed")}

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.organizations = {"acme": "1000", "bakery": "2000"}
        self.roles = {
            "acme": {"alice": Role(), "shop": Role()},
            "bakery": {
                "bob": Role(),
                "shop": Role("ANALYST"),
                "alice": Role("CONTENT_ADMINISTRATOR", "REQUESTED"),
            },
        }
        """The role of each member in each organization."""
        self.subscriptions: dict[str, Subscription] = {}
        self.notifications: list[tuple[datetime, dict[str, Any]]] = []
        self._said: dict[str, Post] = {}
        """The post of each comment, oldest first."""
        self._failed = 0
        self._number = 369_668_042

    def new_id(self) -> str:
        raise NotImplementedError

    def person(self, call: Call, *scopes: str) -> str:
        """Return the member of the call's token, if it has one of the scopes."""
        raise NotImplementedError

    def scopes_of(self, call: Call) -> Sequence[str]:
        raise NotImplementedError

    def versioned(self, call: Call) -> None:
        raise NotImplementedError

    def error(self, status: int, message: str, code: str | None) -> Refusal:
        return Refusal(Answer(status, {"status": status, "message": message} | ({"code": code} if code else {})))

    def organization_routes(self) -> Sequence[Route]:
        return (
            Route("PUT", "/rest/eventSubscriptions/{key}", self.subscribe),
            Route("GET", "/rest/eventSubscriptions/{key}", self.show_subscription),
            Route("DELETE", "/rest/eventSubscriptions/{key}", self.end_subscription),
            Route("GET", "/rest/organizationalEntityNotifications", self.list_notifications),
            Route("GET", "/rest/organizationAcls", self.list_roles),
            Route("GET", "/rest/organizations/{id}", self.show_organization),
            Route("GET", "/rest/organizationsLookup", self.look_up),
            Route("GET", "/rest/socialActions/{urn}/comments", self.list_comments),
            Route("POST", "/rest/socialActions/{urn}/comments", self.add_comment),
            Route("DELETE", "/rest/socialActions/{urn}/comments/{id}", self.delete_comment),
        )

    def urn(self, account: str) -> str:
        if account in self.organizations:
            return f"urn:li:organization:{self.organizations[account]}"
        return f"urn:li:person:{self.accounts.get(account, account)}"

    def organization(self, urn: Any) -> str | None:
        return next((name for name in self.organizations if self.urn(name) == urn), None)

    def may(self, account: str, organization: str, *roles: str) -> bool:
        """Return whether a member has one of these roles in an organization, approved."""
        held = self.roles[organization].get(account)
        return held is not None and held.state == APPROVED and held.role in roles

    def configure(self, account: str, settings: Mapping[str, Any]) -> None:
        """Give a ``member`` another ``role`` in an organization, or another ``state`` of it; an empty role ends it."""
        known = self.roles.get(account)
        if known is None:
            raise CommandError(f"the organizations are {', '.join(self.roles)}")
        member, role = str(settings.get("member")), settings.get("role", ADMINISTRATOR)
        state = settings.get("state", APPROVED)
        fits = member in self.accounts and role in ("", *ROLES) and state in ROLE_STATES
        if not fits or not set(settings) <= {"member", "role", "state"}:
            members, roles = ", ".join(self.accounts), ", ".join(ROLES)
            raise CommandError(f"member is one of {members}; role empty or one of {roles}; state {ROLE_STATES}")
        known.pop(member, None)
        if role:
            known[member] = Role(role, state)
        if not self.may(member, account, ADMINISTRATOR):  # the subscription ends without a word (linkedin.md 2.3)
            for key in [
                key for key, made in self.subscriptions.items() if (made.user, made.entity) == (member, account)
            ]:
                del self.subscriptions[key]

    def page_of(self, call: Call) -> tuple[int, int]:
        """Return start and count of a listing. Raises 400."""
        numbers = [call.text("start") or "0", call.text("count") or "10"]
        if not all(map(whole, numbers)) or int(numbers[1]) > MOST_LISTED:
            raise self.error(400, f"start and count are numbers, count up to {MOST_LISTED}", "ILLEGAL_ARGUMENT")
        return int(numbers[0]), int(numbers[1])

    def list_roles(self, call: Call) -> Answer:
        """List the roles of the token's member in organizations, whatever their state (``linkedin.md`` 1.2)."""
        self.versioned(call)
        account = self.person(call, "rw_organization_admin", "r_organization_admin")
        role, state = call.text("role"), call.text("state")
        if call.text("q") != "roleAssignee" or role not in (None, *ROLES) or state not in (None, *ROLE_STATES):
            raise self.error(400, "q is roleAssignee; role and state are of the documented ones", "ILLEGAL_ARGUMENT")
        start, count = self.page_of(call)
        found = [
            {
                "organization": self.urn(name),
                "role": held[account].role,
                "roleAssignee": self.urn(account),
                "state": held[account].state,
            }
            for name, held in self.roles.items()
            if account in held
            if role in (None, held[account].role) and state in (None, held[account].state)
        ]
        links = []
        if start + count < len(found):
            query = {**call.query, "start": str(start + count), "count": str(count)}
            links = [{"rel": "next", "type": "application/json", "href": f"/rest/organizationAcls?{urlencode(query)}"}]
        paging = {"start": start, "count": count, "links": links}
        return Answer(content={"elements": found[start : start + count], "paging": paging})

    def _shown_organization(self, name: str) -> dict[str, Any]:
        return {"id": int(self.organizations[name]), "localizedName": name.title(), "vanityName": name}

    def show_organization(self, call: Call) -> Answer:
        """Show an organization to its administrators (``linkedin.md`` 1.2)."""
        self.versioned(call)
        account = self.person(call, "rw_organization_admin")
        name = self.organization(f"urn:li:organization:{call.parts['id']}")
        if name is None:
            raise self.error(404, "Organization is not found", "NOT_FOUND")
        if not self.may(account, name, ADMINISTRATOR):
            raise self.error(403, "Not enough permissions to access: GET /organizations", "ACCESS_DENIED")
        return Answer(content=self._shown_organization(name) | {"primaryOrganizationType": "NONE", "locations": []})

    def look_up(self, call: Call) -> Answer:
        """Name organizations to everybody, several at once; not in the development tier (``linkedin.md`` 6)."""
        self.versioned(call)
        self.person(call, "rw_organization_admin")
        if self.variant("tier") == "development":
            raise self.error(403, "Not enough permissions to access: organizationsLookup.BATCH_GET", "ACCESS_DENIED")
        named = _IDS.fullmatch(call.text("ids") or "")
        if named is None:
            raise self.error(400, "ids is List(...)", "ILLEGAL_ARGUMENT")
        ids = named[1].split(",")
        found = {id_: name for id_ in ids if (name := self.organization(f"urn:li:organization:{id_}"))}
        missing = self.error(404, "Organization is not found", "NOT_FOUND").answer.content
        return Answer(
            content={
                "results": {id_: self._shown_organization(name) for id_, name in found.items()},
                "statuses": {id_: 200 if id_ in found else 404 for id_ in ids},
                "errors": {id_: missing for id_ in ids if id_ not in found},
            }
        )

    # --- handshake and signature (linkedin.md 2.1, 2.2)

    def challenge(self, code: str, secret: str) -> str:
        return hmac.new(secret.encode(), code.encode(), hashlib.sha256).hexdigest()

    def handshake(self, url: str, then: Callable[[bool], Any]) -> OutboundRequest | None:
        code = str(uuid.UUID(bytes=self.sandbox.rng.randbytes(16), version=4))

        def judged(fetched: Fetched) -> Any:
            wanted = {"challengeCode": code, "challengeResponse": self.challenge(code, self.signing_secret)}
            try:
                given = json.loads(fetched.content)
            except ValueError:
                given = None
            return then(fetched.status == 200 and fetched.content_type == "application/json" and given == wanted)

        return OutboundRequest(url, judged, {"challengeCode": code}, seconds=3.0)

    def callback_set(self, stream: str) -> None:
        self._failed = 0

    def handshake_repeated(self, stream: str, *, passed: bool) -> None:
        """Block the address after three failures in a row, until it is entered again."""
        self._failed = 0 if passed else self._failed + 1

    @property
    def blocked(self) -> bool:
        return self._failed >= FAILURES

    def is_paused(self, stream: str) -> bool:
        return self.blocked

    def ends_delivery(self, status: int | None) -> bool:
        return status is not None and 200 <= status < 300

    def body(self, events: Sequence[PlatformEvent]) -> bytes:
        document = {"type": EVENT, "notifications": [event.value for event in events]}
        return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()

    def signature(self, body: bytes, secret: str, first: float, now: float) -> Mapping[str, str]:
        """Sign the body with its literal prefix; whether the header repeats it is unconfirmed."""
        digest = hmac.new(secret.encode(), b"hmacsha256=" + body, hashlib.sha256).hexdigest()
        return {"X-LI-Signature": digest if self.variant("prefix") == "bare" else f"hmacsha256={digest}"}

    # --- subscriptions (linkedin.md 2.3)

    def _keyed(self, call: Call) -> tuple[str, str]:
        """Return member and organization of a key. Raises 400 and 403."""
        self.versioned(call)
        account = self.person(call, "rw_organization_admin", "r_organization_social")
        key = _KEY.fullmatch(call.parts["key"])
        entity = self.organization(key[3]) if key else None
        if key is None or entity is None or key[4] != EVENT or key[2] != self.urn(account):
            raise self.error(400, "The key of the event subscription is not valid", "ILLEGAL_ARGUMENT")
        if not self.may(account, entity, ADMINISTRATOR):
            raise self.error(403, "The member is not an administrator of the organization", "ACCESS_DENIED")
        return account, entity

    def subscribe(self, call: Call) -> Answer:
        account, entity = self._keyed(call)
        url = call.text("webhook")
        if url is None or url != self.callbacks.get("") or self.blocked:
            raise self.error(400, "The webhook was not validated in the developer portal", "INVALID_WEBHOOK")
        expires = self.sandbox.clock.in_(days=60)
        self.subscriptions[call.parts["key"]] = Subscription(account, entity, url, expires)
        return Answer(204, "")

    def show_subscription(self, call: Call) -> Answer:
        self._keyed(call)
        made = self.subscriptions.get(call.parts["key"])
        if made is None:
            raise self.error(404, "No such subscription", "NOT_FOUND")
        return Answer(content={"webhook": made.url, "expiresAt": int(made.expires.timestamp() * 1000)})

    def end_subscription(self, call: Call) -> Answer:
        self._keyed(call)
        self.subscriptions.pop(call.parts["key"], None)
        return Answer(204, "")

    def list_notifications(self, call: Call) -> Answer:
        """List the notifications of 60 days, newest first."""
        self.versioned(call)
        account = self.person(call, "rw_organization_admin", "r_organization_social")
        entity = self.organization(call.text("organizationalEntity"))
        if call.text("q") != "criteria" or entity is None or not self.may(account, entity, ADMINISTRATOR):
            raise self.error(403, "Not an organization that the member administers", "ACCESS_DENIED")
        start, count = self.page_of(call)
        actions, between = _LIST.fullmatch(call.text("actions") or ""), _RANGE.fullmatch(call.text("timeRange") or "")
        if (call.text("actions") and actions is None) or (call.text("timeRange") and between is None):
            raise self.error(400, "actions is List(..), timeRange is (start:..,end:..)", "ILLEGAL_ARGUMENT")
        wanted = set(actions[1].split(",")) if actions else ACTIONS
        first, last = (int(between[1]), int(between[2])) if between else (0, 10**15)
        since = self.sandbox.clock.now() - KEPT
        found = [
            shown
            for at, shown in reversed(self.notifications)
            if at > since
            and shown["organizationalEntity"] == self.urn(entity)
            and shown["action"] in wanted
            and call.text("sourcePost") in (None, shown["sourcePost"])
            and first <= shown["lastModifiedAt"] < last
        ]
        paging = {"start": start, "count": count, "total": len(found), "links": []}
        return Answer(content={"elements": found[start : start + count], "paging": paging})

    def act(self, action: str, post: Post, subject: str) -> None:
        """Record an action on an organization's post, and send it to the subscribers.

        Only to public posts (``linkedin.md`` 2.3 has it of likes, comments and shares; for the others it is inferred).
        """
        if post.account not in self.organizations or post.body.get("visibility") != "PUBLIC":
            return
        now = self.sandbox.clock.now()
        self._number += 1
        shown = {
            "notificationId": self._number,
            "organizationalEntity": self.urn(post.account),
            "action": action,
            "sourcePost": post.urn,
            "lastModifiedAt": int(now.timestamp() * 1000),
            "generatedActivity": subject,
        }
        self.notifications.append((now, shown))
        del self.notifications[: -self.sandbox.capacity]
        for made in self.subscriptions.values():
            if made.entity == post.account and made.expires > now and not self.blocked:
                self.notify(action, post.account, shown | {"subscriber": self.urn(made.user)})

    # --- comments: plain text, unlike posts (linkedin.md 4.1)

    def _commented(self, call: Call) -> Post:
        return self._subject(call)[0]

    def _subject(self, call: Call) -> tuple[Post, Comment | None]:
        """Return the post of a URN, and the comment if it is that of one."""
        self.versioned(call)
        found = _COMMENT.fullmatch(call.parts["urn"])
        post = self.posts.get(found[1] if found else call.parts["urn"])
        comment = post.comments.get(found[2]) if post and found else None
        if post is None or (found and comment is None):
            raise self.error(404, "Post is not found", "NOT_FOUND")
        return post, comment

    def comment_urn(self, post: Post, comment: Comment) -> str:
        return f"urn:li:comment:({post.urn},{comment.id})"

    def _shown_comment(self, post: Post, comment: Comment) -> dict[str, Any]:
        at = int(comment.created.timestamp() * 1000)
        edited = at if comment.edited is None else int(comment.edited.timestamp() * 1000)
        return {
            "id": comment.id,
            "commentUrn": self.comment_urn(post, comment),
            "object": post.urn,
            "actor": self.urn(comment.by),
            "message": {"text": comment.text, "attributes": []},
            "created": {"time": at, "actor": self.urn(comment.by)},
            "lastModified": {"time": edited, "actor": self.urn(comment.by)},
            "commentsSummary": {"totalFirstLevelComments": len(self._replies(post, comment))},
            "likesSummary": {"totalLikes": 0},
        } | ({"parentComment": comment.parent} if comment.parent else {})

    def _replies(self, post: Post, comment: Comment) -> list[Comment]:
        return [other for other in post.comments.values() if other.parent == self.comment_urn(post, comment)]

    def list_comments(self, call: Call) -> Answer:
        """List the first level below a post, or the replies to a comment (``linkedin.md`` 4.6)."""
        self.person(call, *READ_COMMENTS)
        post, comment = self._subject(call)
        below = (
            [c for c in post.comments.values() if c.parent is None] if comment is None else self._replies(post, comment)
        )
        start, count = self.page_of(call)
        elements = [self._shown_comment(post, one) for one in below[start : start + count]]
        links = [{"rel": "next", "start": start + count}] if start + count < len(below) else []
        paging = {"start": start, "count": count, "links": links, "total": len(below)}
        return Answer(content={"elements": elements, "paging": paging})

    def _actors(self, call: Call) -> set[str]:
        """Return the accounts that a call may act as, by its scopes (``linkedin.md`` 1)."""
        account, scopes = self.person(call, *WRITE_COMMENTS), self.scopes_of(call)
        member = {account} if set(WRITE_COMMENTS_AS_MEMBER) & set(scopes) else set()
        organizations = {name for name in self.organizations if self.may(account, name, *POSTING_ROLES)}
        return member | (organizations if set(WRITE_COMMENTS_AS_ORGANIZATION) & set(scopes) else set())

    def add_comment(self, call: Call) -> Answer:
        account = self.person(call, *WRITE_COMMENTS)
        post, actor = self._commented(call), call.fields.get("actor")
        by = account if actor == self.urn(account) else self.organization(actor)
        message = call.fields.get("message")
        text = message.get("text") if isinstance(message, dict) else None
        if not self.answerable(post.created):
            raise self.error(404, "Post is not found", "NOT_FOUND")
        if by is None or by not in self._actors(call):
            raise self.error(403, "Not an actor that the member may act for", "ACCESS_DENIED")
        if not isinstance(text, str) or not text:
            raise self.error(422, "Field Value validation failed in REQUEST_BODY: message.text", "FIELD_INVALID")
        comment = self.say(post, by, text, call.text("parentComment"))
        self.record("post", account=by, id=comment.id, text=text, reply_to=post.urn)
        return Answer(201, self._shown_comment(post, comment), {"x-restli-id": comment.id})

    def delete_comment(self, call: Call) -> Answer:
        self.person(call, *WRITE_COMMENTS)
        post = self._commented(call)
        comment = post.comments.get(call.parts["id"])
        if comment is None or not self._actors(call) & {comment.by, post.account}:
            raise self.error(404, "Comment is not found", "NOT_FOUND")
        self._drop(post, comment)
        self.changed("delete", post.account, comment.id)
        return Answer(204, "")

    def say(self, post: Post, by: str, text: str, parent: str | None = None) -> Comment:
        comment = Comment(self.new_id(), by, text, self.sandbox.clock.now(), parent)
        post.comments[comment.id] = comment
        self._said[comment.id] = post
        if len(self._said) > self.sandbox.capacity:
            oldest = next(iter(self._said))
            self._said.pop(oldest).comments.pop(oldest, None)
        action = "ADMIN_COMMENT" if by == post.account else "COMMENT"
        self.act(action, post, self.comment_urn(post, comment))
        return comment

    def _drop(self, post: Post, comment: Comment) -> None:
        del post.comments[comment.id]
        self.act("COMMENT_DELETE", post, self.comment_urn(post, comment))

    # --- life

    def people(self) -> Sequence[str]:
        """Return the members and the organizations."""
        return [*self.accounts, *self.organizations]

    def visible_posts(self, account: str) -> list[dict[str, Any]]:
        return [
            {
                "id": post.urn,
                "text": post.shown,
                "comments": [
                    {"id": c.id, "by": c.by, "text": c.text, "parent": c.parent} for c in post.comments.values()
                ],
            }
            for post in reversed(self.posts.values())
            if post.account == account
        ]

    def simulate_activity(self) -> None:
        rng = self.sandbox.rng
        name = rng.choice(list(self.organizations))
        posts = [post for post in list(self.posts.values())[-50:] if post.account == name]
        dice = rng.random()
        if not posts or dice < 0.05:
            self.simulate_publish(name, sample_text.caption(self.sandbox))
            return
        post = rng.choice(posts)
        comments = list(post.comments.values())
        if comments and dice < 0.15:
            self._drop(post, rng.choice(comments))
        elif comments and dice < 0.25:
            comment = rng.choice(comments)
            comment.text, comment.edited = sample_text.comment_text(self.sandbox), self.sandbox.clock.now()
            self.act("COMMENT_EDIT", post, self.comment_urn(post, comment))
        elif dice < 0.45:
            self.act("LIKE", post, f"urn:li:activity:{self.new_id()}")
        else:
            self.say(post, sample_text.commenter(self.sandbox), sample_text.comment_text(self.sandbox))

    def simulate_publish(self, account: str, text: str) -> str:
        urn = f"urn:li:share:{self.new_id()}"
        body = {"author": self.urn(account), "commentary": text, "visibility": "PUBLIC"}
        self.posts[urn] = Post(urn, account, body, text, self.sandbox.clock.now())
        forget_oldest(self.posts, self.sandbox.capacity)
        self.record("post", account=account, id=urn, text=text, by="owner")
        return urn

    def simulate_comment(self, account: str, post: str, by: str, text: str) -> str:
        if post not in self.posts:
            raise CommandError(f"{account} has no post {post}")
        return self.say(self.posts[post], by, text).id

    def simulate_remove(self, account: str, id_: str) -> None:
        if self.posts.pop(id_, None) is not None:
            return
        for post in self.posts.values():
            if id_ in post.comments:
                self._drop(post, post.comments[id_])
                return
        raise CommandError(f"there is no {id_}")

    def simulate_unsubscribe(self, account: str) -> None:
        gone = [key for key, made in self.subscriptions.items() if account in (made.user, made.entity)]
        for key in gone:
            del self.subscriptions[key]

    def subscribe_all(self) -> None:
        for entity, held in self.roles.items():
            user = next(member for member in held if self.may(member, entity, ADMINISTRATOR))
            made = Subscription(user, entity, self.callbacks.get("", ""), self.sandbox.clock.in_(days=3650))
            self.subscriptions[entity] = made
