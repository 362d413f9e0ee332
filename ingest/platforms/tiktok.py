"""TikTok for Developers webhooks: contract ``tiktok.md`` section 2."""

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ingest.contract import Change, Identity, Variables, Webhook, text_of
from ingest.signatures import TimestampedHmac
from schema.configuration import Variable

CLIENT_SECRET = Variable("TIKTOK_CLIENT_SECRET", "Developer portal: Manage apps, your app, Client secret")
CLIENT_KEY = Variable("TIKTOK_CLIENT_KEY", "Developer portal: Manage apps, your app, Client key")


def changes(document: Any) -> Iterator[Change]:
    """One event per request; a list is taken too, since nothing says that it cannot come."""
    for doc in document if isinstance(document, list) else [document]:
        if not isinstance(doc, dict):
            yield Change("", "unknown", doc, "the body holds no object")
            continue
        event = doc.get("event")
        # user_openid is absent where an event is about the app, not a person.
        account = doc.get("user_openid")
        yield Change(
            "" if account is None else str(account),
            event if isinstance(event, str) and event else "unknown",
            doc,
            None if isinstance(event, str) and event else "the body names no event",
        )


def identify(change: Change) -> Identity:
    """``tiktok.md`` 2.5: nothing official; ``create_time`` stays in, because toggles repeat for the same ids."""
    event = change.type.replace("publicaly", "publicly")  # the pages spell it both ways
    created = change.value.get("create_time") if isinstance(change.value, dict) else None
    stamp = "" if created is None else text_of(created)
    key = change.value.get("client_key") if isinstance(change.value, dict) else None
    parts = (str(key or ""), event, change.account_id, stamp, _discriminator(event, change))
    name = hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return Identity(f"tiktok:{name}", datetime.fromtimestamp(int(stamp), UTC) if stamp else None)


def _discriminator(event: str, change: Change) -> str:
    raw = change.value.get("content") if isinstance(change.value, dict) else None
    content = _content(raw)
    if event.startswith("post.publish.") and "publish_id" in content:
        post = content.get("post_id")
        return f"{text_of(content['publish_id'])}|{'' if post is None else text_of(post)}"
    for name in ("share_id", "request_id", "reason"):
        if name in content:
            return text_of(content[name])
    text = raw if isinstance(raw, str) else json.dumps(raw, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _content(raw: Any) -> dict[str, Any]:
    """``content`` is JSON serialised into a string: decode twice. An object as it is is taken too."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            return {}
    return raw if isinstance(raw, dict) else {}


def check(change: Change, variables: Variables) -> str | None:
    """Another app's event, signed with our secret, is nobody's mistake but the portal's: keep it aside."""
    ours = variables.get(CLIENT_KEY.name, ())
    given = change.value.get("client_key") if isinstance(change.value, dict) else None
    if ours and given is not None and given not in ours:
        return f"client_key is not {CLIENT_KEY.name}"
    return None


PLATFORM = Webhook(
    signature=TimestampedHmac(header="tiktok-signature", secrets=(CLIENT_SECRET,)),
    changes=changes,
    identify=identify,
    check=check,
    rule_version=1,
    others=(CLIENT_KEY,),
)
