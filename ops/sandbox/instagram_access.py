"""Whose an account, a medium or a comment of Instagram is, and what a token may do with it (``meta.md`` 7.4, 10.10)."""

import random
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ops.sandbox.contract import Call, Change, CommandError, Sandbox, WorldSize, apply_settings
from ops.sandbox.graph_api import GraphApi, Token
from ops.sandbox.instagram_seeding import seed
from ops.sandbox.instagram_service import (
    CHURN,
    PERSON_SETTINGS,
    WITHHELD,
    Comment,
    InstagramService,
    Media,
    Mention,
    Person,
)


class InstagramAccess(GraphApi):
    """``permissions`` are the scopes that each kind of call needs."""

    permissions: ClassVar[Mapping[str, Sequence[str]]]
    variants: ClassVar[Mapping[str, Sequence[str]]] = {
        **GraphApi.variants,
        "comment_id": ("id", "comment_id"),
        # Whether a comment that no listing returns can be read by its id (no page says it).
        "withheld": ("readable", "missing"),
    }
    bounded: ClassVar[Sequence[str]] = (*GraphApi.bounded, "listed")
    churn_kinds = CHURN
    reads_lag = True
    with_facebook_login = False
    business = "instagram"

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.instagram = sandbox.common(InstagramService)
        self.instagram.listeners.append(self)

    def handle_event(self, topic: str, account: str, value: Any) -> None:
        """Queue a webhook event if the account is subscribed."""
        raise NotImplementedError

    def account_added(self, person: Person) -> None:
        """Make what this login has of every account, beside the account itself."""

    def comment_value(self, comment: Comment, media: Media) -> dict[str, Any]:
        """Return the value of a comment event: no time, no verb, and a parent only for a reply (``meta.md`` 2.2)."""
        author = {"id": comment.by_id, "username": comment.by}
        if comment.by == media.account:
            author["self_ig_scoped_id"] = self.instagram.people[comment.by].scoped_id
        value = {
            self.variant("comment_id"): comment.id,
            "text": comment.text,
            "from": author,
            "media": {"id": media.id, "media_product_type": media.product},
        }
        return value | ({"parent_id": comment.parent} if comment.parent else {})

    def mention_event(self, mention: Mention) -> tuple[str, dict[str, Any]] | None:
        """Return the event ``mentions`` of Facebook Login, or the comment that the other login sends (2.2, 2.3)."""
        if self.with_facebook_login:
            told = {"media_id": mention.media, "comment_id": mention.comment}
            return "mentions", {name: id_ for name, id_ in told.items() if id_}
        if mention.comment is None:
            return None
        return "comments", {
            self.variant("comment_id"): mention.comment,
            "text": mention.text,
            "from": {"id": mention.by_id, "username": mention.by},
            "media": {"id": mention.media, "media_product_type": "FEED"},
        }

    def professional(self, call: Call, right: str) -> tuple[Token, Person]:
        """Return token and account of a call. Raises 100 if the token may not act for the account."""
        token = self.authorised(call, *self.permissions[right])
        person = self.instagram.account(call.parts["id"])
        if person is None or person.deactivated or not self.acts_for(token, person):
            raise self.missing(call.parts["id"])
        return token, person

    def acts_for(self, token: Token, person: Person) -> bool:
        raise NotImplementedError

    def own_media(self, call: Call, token: Token) -> Media:
        """Return the medium of a call. Raises 100/33 for one that is deleted, archived, over or somebody else's."""
        media = self.instagram.media.get(call.parts["id"])
        if (
            media is None
            or not self.instagram.visible(media)
            or not self.acts_for(token, self.instagram.people[media.account])
        ):
            raise self.missing(call.parts["id"])
        return media

    def seen(self, changed: Media | Comment, name: str) -> Any:
        """Return an attribute as reads show it: as it was before, for the seconds that they lag behind."""
        value, at = changed.before.get(name, (None, 0.0))
        return value if self.sandbox.clock.seconds() - at < self.read_lag else getattr(changed, name)

    def own_comment(self, call: Call, token: Token) -> Comment:
        """Return the comment of a call. Raises 100/33 as for its medium."""
        comment = self.instagram.comments.get(call.parts["id"])
        media = None if comment is None else self.instagram.media[comment.media]
        if (
            comment is None
            or media is None
            or not self.instagram.visible(media)
            or (comment.withheld and self.variant("withheld") == "missing")
            or not self.acts_for(token, self.instagram.people[media.account])
        ):
            raise self.missing(call.parts["id"])
        return comment

    def kind_of(self, id_: str) -> str:
        """Return what an id is of, whether it is still there or not; empty for what is not Instagram's."""
        instagram = self.instagram
        if instagram.account(id_):
            return "account"
        if id_ in instagram.media or id_ in instagram.gone_media:
            return "media"
        if id_ in instagram.comments or id_ in instagram.gone_comments:
            return "comment"
        return "container" if id_ in instagram.containers else ""

    def is_instagram(self, id_: str) -> bool:
        return bool(self.kind_of(id_))

    def edge(self, call: Call, path: str) -> str:
        kind = self.kind_of(call.parts.get("id", ""))
        return path.replace("{id}", f"{{{kind}}}") if kind else path

    # --- what tests and people do

    def configure(self, account: str, settings: Mapping[str, Any]) -> None:
        if account not in self.instagram.people:
            raise CommandError(f"Instagram's accounts are {', '.join(self.instagram.people)}")
        apply_settings(self.instagram.people[account], PERSON_SETTINGS, settings)

    def configure_object(self, id_: str, settings: Mapping[str, Any]) -> None:
        self.instagram.configure(id_, settings)

    def seed_world(self, size: WorldSize) -> Mapping[str, Any]:
        return seed(self.instagram, size)

    def export_world(self, account: str | None) -> Mapping[str, Any]:
        return self.instagram.export(account)

    def churn(self, rng: random.Random, kind: str) -> bool:
        done = self.instagram.churn(rng, kind)
        if done is None:
            return False
        self.record("change", action=kind, account=done.account, id=done.id, by="owner", endpoint=None)
        return True

    def instagram_posts(self, account: str) -> list[dict[str, Any]]:
        return [
            {
                "id": media.id,
                "text": media.caption,
                "comments": [
                    {"id": c.id, "by": c.by, "text": c.text, "parent": c.parent} for c in media.comments.values()
                ],
            }
            for media in self.instagram.of(account)
        ]

    def simulate_comment(self, account: str, post: str, by: str, text: str) -> str:
        """Comment on a post, or reply to a comment."""
        return self.simulate_comment_kind(account, post, by, text, "")

    def simulate_comment_kind(self, account: str, post: str, by: str, text: str, kind: str) -> str:
        comment = self.instagram.comments.get(post)
        media = self.instagram.media.get(comment.media if comment else post)
        if media is None or media.account != account:
            raise CommandError(f"{account} has no post {post}")
        if kind and kind not in WITHHELD:
            raise CommandError(f"a comment that listings withhold is one of {', '.join(WITHHELD)}")
        if not media.open:
            raise CommandError(f"comments are off for post {post}")
        return self.instagram.say(media, by, text, comment.id if comment else None, kind).id

    def simulate_mention(self, account: str, by: str, text: str, kind: str) -> str:
        if kind not in ("", "comment", "caption"):
            raise CommandError("an account is mentioned in a comment or in a caption")
        found = self.instagram.mention(account, by, text, in_caption=kind == "caption")
        return found.comment or found.media

    def simulate_remove(self, account: str, id_: str) -> None:
        if not self.instagram.drop(id_):
            raise CommandError(f"there is no {id_}")

    def simulate_change(self, change: Change) -> None:
        self.instagram.apply(change)
        about = change.by if change.what in ("restrict", "unrestrict") else change.id
        self.record("change", action=change.what, account=change.account, id=about, by="owner", endpoint=None)
