"""Instagram webhooks: contract ``meta.md`` sections 1, 2 and 5.

Documented on the Instagram and Graph webhook pages; *observed* marks what only public captures show.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from hmac import compare_digest

from ingest.contract import Change, Identity, Persons, Portal, Variables, Webhook, account_of, text_of
from ingest.errors import BadChallenge, HandshakeRefused, NotConfigured
from ingest.signatures import Hmac
from schema.configuration import Variable
from schema.reading import moment

APP_SECRET = Variable(
    "INSTAGRAM_APP_SECRET",
    "App dashboard: Instagram, API setup with Instagram login, Business login settings, Instagram app secret",
)
META_SECRET = Variable("META_APP_SECRET", "App dashboard: App settings, Basic, App secret")
VERIFY_TOKEN = Variable("INSTAGRAM_VERIFY_TOKEN", "Any text of yours; type the same in the dashboard's webhook form")
META_TOKEN = Variable("META_VERIFY_TOKEN", "As INSTAGRAM_VERIFY_TOKEN, for every Meta product that has none of its own")

MESSAGING = (
    # In the order in which meta.md section 5 tells kinds apart. A message that is unsent is still a `message`.
    "message",
    "message_edit",
    "reaction",
    "read",
    "delivery",
    "postback",
    "referral",
    "optin",
    "pass_thread_control",
    "take_thread_control",
    "request_thread_control",
    "app_roles",
)
MESSAGING_FIELDS = (
    "messages",
    "message_echoes",
    "message_edit",
    "message_reactions",
    "messaging_postbacks",
    "messaging_referral",
    "messaging_seen",
    "messaging_handover",
    "messaging_optins",
    "standby",
)
ENVELOPES = ("changes", "messaging", "standby", "changed_fields")


def handshake(query: Mapping[str, str], variables: Variables) -> str:
    """Return the challenge of Meta's endpoint verification if the token is ours (``meta.md`` 1.1). Raises Refusal."""
    tokens = variables[VERIFY_TOKEN.name] or variables[META_TOKEN.name]
    if not tokens:
        problem = f"no token is configured for this platform: {VERIFY_TOKEN.name} or {META_TOKEN.name} is not set"
        raise NotConfigured(problem, remedy="Set it, restart, and verify again.")
    given = query.get("hub.verify_token", "").encode("utf-8", "surrogatepass")
    if query.get("hub.mode") != "subscribe" or not any(compare_digest(t.encode(), given) for t in tokens):
        raise HandshakeRefused("hub.verify_token is not the configured one")
    challenge = query.get("hub.challenge", "")
    if not re.fullmatch("[A-Za-z0-9]{1,256}", challenge):  # echoed: must not be able to carry markup
        raise BadChallenge("hub.challenge must be 1 to 256 letters and digits")
    return challenge


def changes(document: object) -> Iterator[Change]:
    """Split every documented envelope, in every form of the pages that contradict each other."""
    for doc in document if isinstance(document, list) else [document]:
        if not isinstance(doc, dict):
            yield Change("", "unknown", doc, "the body holds no object")
            continue
        entries = doc.get("entry")
        if not isinstance(entries, list):
            yield Change("", "unknown", doc)
            continue
        # One callback may serve several products: another object's fields keep their own names apart from ours.
        scope = "" if doc.get("object") == "instagram" else f"{doc.get('object')}."
        for entry in entries:
            yield from _entry(scope, entry)


def _entry(scope: str, entry: object) -> Iterator[Change]:
    if not isinstance(entry, dict):
        yield Change("", f"{scope}unknown", entry, "an entry is not an object")
        return
    account = account_of(entry.get("id"))
    # When the entry was sent must not get into an identity, not by way of a digest either (meta.md section 5).
    entry = {key: item for key, item in entry.items() if key != "time"}
    found = False
    for name in ENVELOPES:
        if entry.get(name) is not None and not isinstance(entry[name], list):
            found = True
            yield Change(account, f"{scope}unknown", {name: entry[name]}, f"{name} is not a list")
    listed = entry.get("changes")
    # The Instagram-Login example page puts field and value on the entry itself.
    for change in listed if isinstance(listed, list) and listed else [entry] if "field" in entry else []:
        found = True
        yield _field(scope, account, change)
    for envelope in ("messaging", "standby"):
        items = entry.get(envelope)
        for item in items if isinstance(items, list) else []:
            found = True
            yield _message(_standby(scope, envelope), account, item)
    fields = entry.get("changed_fields")  # the dashboard's "Include Values" is off: only names arrive
    for field in fields if isinstance(fields, list) else []:
        found = True
        yield Change(account, f"{scope}changed_fields.{field}", entry | {"changed_fields": [field]})
    if not found:
        yield Change(account, f"{scope}unknown", entry)


def _field(scope: str, account: str, change: object) -> Change:
    if not isinstance(change, dict) or not isinstance(change.get("field"), str):
        return Change(account, f"{scope}unknown", change, "a change has no field")
    field, value = change["field"], change.get("value")
    # Observed: test sends from the dashboard wrap messaging items in a change; the reference describes them so.
    if isinstance(value, dict) and field in MESSAGING_FIELDS and any(kind in value for kind in MESSAGING):
        return _message(_standby(scope, field), account, value)
    return Change(account, scope + field, value, None if "value" in change else "a change has no value")


def _standby(scope: str, envelope: str) -> str:
    """Return the scope of a change; messages that another app handles have one of their own."""
    return f"{scope}standby." if envelope == "standby" else scope


def _message(scope: str, account: str, item: object) -> Change:
    if not isinstance(item, dict):
        return Change(account, f"{scope}messaging", item, "a messaging item is not an object")
    kind = next((kind for kind in MESSAGING if kind in item), "messaging")
    return Change(account, scope + kind, item)


def identify(change: Change) -> Identity:
    """Name a change (``meta.md`` 5): every part comes from inside it, since batches may be split anew on a retry.

    ``entry.time`` is when the notification was sent, so it is no part of an identity, nor of ``occurred_at``.
    """
    scope, _, kind = change.type.rpartition(".")
    rule = RULES.get(kind)
    if rule is None or change.defect or scope not in ("", "standby"):
        return Identity(f"ig:{change.account_id}:{change.type}:{change.digest}")
    name, occurred_at = rule(change)
    return Identity(f"ig:{change.account_id}:{scope + '.' if scope else ''}{name}", occurred_at)


def _comment(change: Change) -> tuple[str, None]:
    # H(value), because a comment on a boosted post is notified twice with different media: both are kept.
    value = change.value
    return f"{change.type}:{text_of(value.get('id') or value.get('comment_id'))}:{change.digest}", None


def _mention(change: Change) -> tuple[str, None]:
    # Either id alone still says that we were mentioned, and where to look.
    comment, media = change.value.get("comment_id"), change.value.get("media_id")
    return (
        f"mentions:{text_of(media) if media or not comment else '-'}:{text_of(comment) if comment else 'caption'}",
        None,
    )


def _story(change: Change) -> tuple[str, None]:
    # Sent once, when the story expires. The digest is a deviation from meta.md 5: without it a notification that lacks
    # some numbers takes the name of the whole one, and whichever comes first keeps the other out of the log.
    return f"story_insights:{text_of(change.value['media_id'])}:{change.digest}", None


def _mid(change: Change) -> tuple[str, datetime | None]:
    # The mid alone: payloads hold signed CDN addresses that may differ between renderings.
    message = change.value["message"]
    unsent = ":deleted" if message.get("is_deleted") else ""
    return f"message:{text_of(message['mid'])}{unsent}", _when(change.value)


def _edit(change: Change) -> tuple[str, datetime | None]:
    edit = change.value["message_edit"]
    # The digest for the reason given at _story. It holds num_edit, which meta.md 5 has in its place.
    return f"message_edit:{text_of(edit['mid'])}:{change.digest}", _when(change.value)


def _reaction(change: Change) -> tuple[str, datetime | None]:
    reaction = change.value["reaction"]
    parts = (
        text_of(reaction["mid"]),
        _sender(change.value),
        str(reaction.get("action")),
        str(reaction.get("reaction") or "-"),
        str(change.value.get("timestamp")),
    )
    return "reaction:" + ":".join(parts), _when(change.value)


def _read(change: Change) -> tuple[str, datetime | None]:
    return f"read:{text_of(change.value['read']['mid'])}:{_sender(change.value)}", _when(change.value)


def _postback(change: Change) -> tuple[str, datetime | None]:
    mid = change.value["postback"].get("mid")
    if mid:
        return f"postback:{text_of(mid)}", _when(change.value)
    return _by_time(change)


def _by_time(change: Change) -> tuple[str, datetime | None]:
    kind = change.type.rpartition(".")[2]
    name = f"{kind}:{_sender(change.value)}:{change.value.get('timestamp')}:{change.digest}"
    return name, _when(change.value)


def _sender(item: dict[str, object]) -> str:
    sender = item.get("sender")  # observed: message_edit may come without one
    return str(sender.get("id") or "?") if isinstance(sender, dict) else "?"


def _when(item: dict[str, object]) -> datetime | None:
    return moment(item.get("timestamp"))


RULES = {
    "comments": _comment,
    "live_comments": _comment,
    "mentions": _mention,
    "story_insights": _story,
    "message": _mid,
    "message_edit": _edit,
    "reaction": _reaction,
    "read": _read,
    "postback": _postback,
    "referral": _by_time,
    "optin": _by_time,
    "pass_thread_control": _by_time,
    "take_thread_control": _by_time,
    "request_thread_control": _by_time,
    "app_roles": _by_time,
}

PLATFORM = Webhook(
    # The page says only "App Secret"; Instagram-Login apps have one of their own, so both are tried (meta.md 1.2).
    signature=Hmac(header="x-hub-signature-256", prefix="sha256=", secrets=(APP_SECRET, META_SECRET)),
    handshake=handshake,
    changes=changes,
    identify=identify,
    rule_version=2,
    retry_hours=36,  # meta.md 1.3
    others=(VERIFY_TOKEN, META_TOKEN),
    other_portals=(Portal("facebook", "instagram"),),
    persons=Persons(
        keys=("id", "comment_id", "username"),
        usernames=("lax $.** ? (@.id == $ids[*] || @.self_ig_scoped_id == $ids[*]).username",),
        writings=tuple(
            f"lax $.** ? (@.from.id == $ids[*] || @.from.username == $names[*]).{key}" for key in ("id", "comment_id")
        ),
    ),
)
