"""TikTok for Developers webhooks: contract ``tiktok.md`` section 2."""

import hashlib
from collections.abc import Iterator

from ingest.contract import Change, Identity, Variables, Webhook, account_of, canonical
from ingest.signatures import FUTURE_SECONDS, TimestampedHmac
from schema.configuration import Variable
from schema.reading import Unreadable, moment, read_text

CLIENT_SECRET = Variable("TIKTOK_CLIENT_SECRET", "Developer portal: Manage apps, your app, Client secret")
CLIENT_KEY = Variable("TIKTOK_CLIENT_KEY", "Developer portal: Manage apps, your app, Client key")
RETRY_HOURS = 72
"""``tiktok.md`` 2.1."""


def changes(document: object) -> Iterator[Change]:
    """Yield the one event of a request; a list is accepted too, since the page does not exclude it."""
    for doc in document if isinstance(document, list) else [document]:
        if not isinstance(doc, dict):
            yield Change("", "unknown", doc, "the body holds no object")
            continue
        event = doc.get("event")
        # user_openid is absent where an event is about the app, not a person.
        yield Change(
            account_of(doc.get("user_openid")),
            event if isinstance(event, str) and event else "unknown",
            doc,
            None if isinstance(event, str) and event else "the body names no event",
        )


def identify(change: Change) -> Identity:
    """Name an event (``tiktok.md`` 2.5), with one deviation: by a digest of the whole content, not of some ids in it.

    By ids alone a notification that lacks a detail takes the name of the same one with it, and whichever comes first
    keeps the other out of the log; by content both are kept, and the projection puts together what they know. It is
    made of the content as parsed, since white space and the order of keys may change on a retry. ``create_time`` stays
    in, because toggles repeat for the same ids; it is read first, so that its form does not matter.
    """
    value = change.value if isinstance(change.value, dict) else {}
    event = change.type.replace("publicaly", "publicly")  # the pages spell it both ways
    created = value.get("create_time")
    at = moment(created)
    stamp = canonical(created) if at is None else at.isoformat()
    content = hashlib.sha256(canonical(_content(value.get("content"))).encode()).hexdigest()
    parts = (str(value.get("client_key") or ""), event, change.account_id, stamp, content)
    name = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return Identity(f"tiktok:{name}", at)


def _content(raw: object) -> object:
    """Decode ``content``, which is JSON in a string. object other value is returned as it is."""
    if not isinstance(raw, str):
        return raw
    try:
        return read_text(raw)
    except Unreadable:
        return raw


def check(change: Change, variables: Variables) -> str | None:
    """Return a defect for the event of another app that is signed with our secret."""
    ours = variables.get(CLIENT_KEY.name, ())
    given = change.value.get("client_key") if isinstance(change.value, dict) else None
    if ours and given and given not in ours:
        return f"client_key is not {CLIENT_KEY.name}"
    return None


PLATFORM = Webhook(
    signature=TimestampedHmac("tiktok-signature", (CLIENT_SECRET,), horizon=RETRY_HOURS * 3600 + FUTURE_SECONDS),
    changes=changes,
    identify=identify,
    check=check,
    type_is_enough=("authorization.removed",),
    rule_version=2,
    retry_hours=RETRY_HOURS,
    others=(CLIENT_KEY,),
)
