"""The forms in which a post is written and changed: what they send, as programs send it, and what they show again.

Pure. What was typed is kept as it was typed, right or wrong: a form is always shown from the fields that it sends.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from multidict import MultiDict, MultiMapping

from ops.runtime.text import visible
from ops.web.option_fields import Choice, Field, Known, Option, fields_of, options_of, sent, values_of
from publish.posting.acceptance import Publisher, first_comment
from publish.posting.edits import own_text
from publish.posting.errors import PostError
from publish.posting.plans import targets_below
from publish.posting.post_store import Account, StoredPost, StoredTarget
from publish.preflight.contract import AccountFacts
from publish.preflight.options import schema

_PART = re.compile(r"part-([2-9]|[1-9][0-9])(-media)?")

Finding = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Form:
    """What a post has of its own at one place: an account, or a target of a post that is there.

    ``id`` is part of the names of its controls. ``about`` says which account it is, ``content`` is the text that is
    shown there alone, ``errors`` what is wrong with it. ``filled`` is whether something is in it.
    """

    id: str
    about: str
    chosen: bool
    kinds: Sequence[Choice]
    kind: str
    content: str
    fields: Sequence[Field]
    errors: Sequence[str] = ()

    @property
    def filled(self) -> bool:
        return bool(self.kind or self.content or self.errors or any(each.filled for each in self.fields))


class OptionForms:
    """The options of platforms as forms. ``publishers`` are the platforms to which posts can be published."""

    def __init__(self, publishers: Mapping[str, Publisher]) -> None:
        self._kinds = {
            name: {kind: about for kind, about in publisher.rules.kinds.items() if kind in publisher.machines.machines}
            for name, publisher in publishers.items()
        }
        self._options = {
            name: options_of({kind.title: schema(kind.options) for kind in kinds.values()})
            for name, kinds in self._kinds.items()
        }

    def values(self, platform: str, given: MultiMapping[str], id_: str) -> dict[str, object]:
        """Return the options that a form names at a place."""
        return values_of(self._options.get(platform, ()), given, f"o.{id_}")

    def form(
        self,
        platform: str,
        given: MultiMapping[str],
        id_: str,
        about: str,
        *,
        chosen: bool = True,
        kind: str | None = None,
        facts: AccountFacts | None = None,
        findings: Sequence[Finding] = (),
        with_options: bool = True,
    ) -> Form:
        """Return what is shown for a place. ``kind`` is its kind where that cannot be chosen.

        ``findings`` are those of this place; ``facts`` what its account may do now, None if nobody asked.
        """
        kinds = self._kinds.get(platform, {})
        wanted = given.get(f"kind.{id_}", "") if kind is None else kind
        options: Sequence[Option] = self._options.get(platform, ()) if with_options else ()
        count = len(kinds)
        if wanted in kinds:
            options, count = _of_kind(options, kinds[wanted].title, self.values(platform, given, id_)), 1
        known = _known(facts, findings)
        texts = [f"{each['message']} {each['remedy']}" for each in findings if each["item"] == "text"]
        return Form(
            id=id_,
            about=about,
            chosen=chosen,
            kinds=[Choice(name, f"{each.title[:1].upper()}{each.title[1:]}") for name, each in kinds.items()],
            kind=wanted,
            content=given.get(f"text.{id_}", ""),
            fields=fields_of(options, self.values(platform, given, id_), f"o.{id_}", known, count),
            errors=texts if given.get(f"text.{id_}", "").strip() else [],
        )

    def stored(self, platform: str, values: Mapping[str, object], id_: str) -> list[tuple[str, str]]:
        """Return what a form sends of options that are stored, where nobody touches it."""
        return sent(fields_of(self._options.get(platform, ()), values, f"o.{id_}"))


def _of_kind(options: Sequence[Option], title: str, values: Mapping[str, object]) -> list[Option]:
    """Return the options of one kind of post, and those of others in which something is."""
    return [
        replace(each, kinds=[title], needing=[title] if title in each.needing else [])
        for each in options
        if title in each.kinds or each.name in values
    ]


def _known(facts: AccountFacts | None, findings: Sequence[Finding]) -> Known:
    errors: dict[str, list[str]] = {}
    for finding in findings:
        part, _, path = finding["item"].partition(" ")
        if part == "option":
            errors.setdefault(path, []).append(f"{finding['message']} {finding['remedy']}")
    if facts is None:
        return Known(errors=errors)
    return Known(facts.choices, facts.switched_off, errors)


def findings_of(findings: Sequence[Finding], connection: str) -> list[Finding]:
    """Return the findings about one account."""
    return [each for each in findings if each.get("connection") == connection]


# --- what a form sends


def _with_lines(given: MultiMapping[str]) -> MultiDict[str]:
    """Return a form with its lines as they were written: browsers end each with two characters."""
    return MultiDict((name, text.replace("\r\n", "\n")) for name, text in given.items())


def ticked(given: MultiMapping[str]) -> list[str]:
    """Return the accounts that are ticked. Raises PostError where none is."""
    found = given.getall("target", [])
    if not found:
        raise PostError("invalid_request", "No account is ticked.", "tick where to post it", status=400)
    return found


def last_part(given: Mapping[str, str]) -> int:
    """Return the number of the last part of a thread in which something is; 1 for none."""
    found = [int(match[1]) for name, text in given.items() if text.strip() and (match := _PART.fullmatch(name))]
    return max(found, default=1)


def part_files(given: MultiMapping[str]) -> dict[str, list[str]]:
    """Return the files that are chosen for further parts, by the names of their controls."""
    return {name: given.getall(name) for name in given if name.endswith("-media") and _PART.fullmatch(name)}


def _described(ids: Sequence[str], texts: str) -> list[dict[str, str]]:
    """Return files with their alternative texts, which are lines in the order of the files shown."""
    lines = texts.splitlines()
    return [{"id": id_, "alt_text": text.strip()} for id_, text in zip(ids, [*lines, *[""] * len(ids)], strict=False)]


def _part_document(given: MultiMapping[str], name: str) -> dict[str, object]:
    """Return a further part as programs send it."""
    media = _described(given.getall(f"{name}-media", []), given.get(f"{name}-alt", ""))
    return {"content": given.get(name, ""), "media": media}


def _content(given: MultiMapping[str]) -> dict[str, object]:
    """Return what both forms have. Raises PostError."""
    if waiting := given.get("file"):
        message = f"The file {waiting[:100]} is chosen and not uploaded."
        raise PostError("invalid_request", message, "press Upload first, or take the choice back", status=400)
    ids = [*given.getall("media", []), *given.get("more_media", "").split()]
    return {
        "content": given.get("content", ""),
        "hashtags": given.get("hashtags", "").split(),
        "campaign_id": given.get("campaign_id", "").strip() or None,
        "media": [{"id": id_, "alt_text": given.get(f"alt-{id_}", "")} for id_ in ids],
        "utm": "utm" in given,
        "needs_approval": "needs_approval" in given,
        "repeat": "repeat" in given,
    }


def new_document(given: MultiMapping[str], forms: OptionForms, platforms: Mapping[str, str]) -> dict[str, object]:
    """Return the post that a form describes, as programs send it. ``platforms`` are by account. Raises PostError."""
    given = _with_lines(given)
    action = given.get("action", "draft")
    time, queued = given.get("scheduled_time", "").strip() or None, action == "queue"
    targets: list[dict[str, object]] = [
        {
            "connection": id_,
            "kind": given.get(f"kind.{id_}", ""),
            "content": given[f"text.{id_}"] if given.get(f"text.{id_}", "").strip() else None,
            "options": forms.values(platforms.get(id_, ""), given, id_),
        }
        for id_ in ticked(given)
    ]
    document: dict[str, object] = _content(given) | {
        "targets": targets,
        "thread": [_part_document(given, f"part-{number}") for number in range(2, last_part(given) + 1)],
        "scheduled_time": time if action != "publish" and not queued else None,
        "next_free_slot": queued,
        "timezone": given.get("timezone", "").strip() or None,
        "action": None if action == "check" or queued else action,
        "dry_run": action == "check",
    }
    if action == "check":
        document["action"] = "schedule" if time else "publish"
    return document


def recurrence_document(
    given: MultiMapping[str], forms: OptionForms, platforms: Mapping[str, str]
) -> dict[str, object]:
    """Return the post that repeats by a form, as programs send it. Raises PostError."""
    names = ("content", "hashtags", "campaign_id", "utm", "media", "targets", "thread", "needs_approval")
    shown = new_document(given, forms, platforms)
    return {
        "post": {name: shown[name] for name in names},
        "rule": given.get("rule", "").strip(),
        "start_time": given.get("scheduled_time", "").strip(),
        "timezone": given.get("timezone", "").strip() or None,
    }


# --- changing a post that is there


def roots_of(post: StoredPost) -> list[StoredTarget]:
    """Return the targets of a post that are no further parts."""
    return [target for target in post.targets if target.parent_id is None]


def parts_of(post: StoredPost, root: StoredTarget) -> list[StoredTarget]:
    """Return the further parts of a thread at an account, without the first comment, which is an option."""
    found = targets_below(post, root)
    return found[:-1] if first_comment(root.options) else found


def stored_form(post: StoredPost, forms: OptionForms) -> MultiDict[str]:
    """Return what the form of a post that is there sends, where nobody touches it."""
    given = MultiDict(
        {
            "content": post.content,
            "hashtags": " ".join(post.hashtags),
            "campaign_id": post.campaign_id or "",
            "scheduled_time": stored_time(post),
            "timezone": post.zone or "UTC",
            "version": str(post.version),
        }
    )
    for name, set_ in (("utm", post.utm), ("needs_approval", post.needs_approval)):
        if set_:
            given.add(name, "on")
    for name in ("url", "title", "description", "image"):
        if post.link:
            given.add(f"link-{name}", post.link.get(name, ""))
    for file in post.media:
        given.add("media", file.id)
        given.add(f"alt-{file.id}", file.alt_text)
    for root in roots_of(post):
        given.add(f"text.{root.id}", own_text(post, root) or "")
        given.extend(forms.stored(root.platform, root.options, root.id))
        for part in parts_of(post, root):
            given.add(f"part.{part.id}", part.written or "")
            given.add(f"part.{part.id}-alt", "\n".join(file.alt_text for file in part.media))
            for file in part.media:
                given.add(f"part.{part.id}-media", file.id)
    return given


def stored_time(post: StoredPost) -> str:
    """Return the wall time of a post as its control has it; empty for none."""
    if post.local_time is not None:
        return post.local_time[:16]
    return "" if post.scheduled_at is None else post.scheduled_at.strftime("%Y-%m-%dT%H:%M")


def _untouched(given: MultiMapping[str], before: MultiMapping[str]) -> MultiDict[str]:
    """Return a form with what is stored in place of what a page shows of it, where nobody touched that.

    Pages write control characters as escapes, and controls leave line breaks out.
    """
    found = MultiDict[str]()
    for name, text in given.items():
        stored = (each for each in before.getall(name, []) if text in _as_sent(each))
        found.add(name, next(stored, text))
    return found


def _as_sent(stored: str) -> Iterator[str]:
    """Yield what a control may send of a text: as it is shown, without a first line break, and without any."""
    for text in (stored, stored.replace("\r\n", "\n")):
        shown = visible(text, keep="\n\t")
        yield from (shown, shown.removeprefix("\n"), shown.replace("\n", ""))


def edit_document(given: MultiMapping[str], post: StoredPost, forms: OptionForms) -> dict[str, object]:
    """Return the change of a post that a form describes, as programs send it. Raises PostError.

    A time that is as it was is not named, and neither are options: what a form cannot show of them stays.
    """
    before = stored_form(post, forms)
    given = _untouched(_with_lines(given), before)
    document = _content(given)
    version = given.get("version", "")
    document["version"] = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
    if any(given.get(name, "").strip() != before[name] for name in ("scheduled_time", "timezone")):
        document["scheduled_time"] = given.get("scheduled_time", "").strip() or None
        document["timezone"] = given.get("timezone", "").strip() or None
    if given.get("action") in ("draft", "schedule"):
        document["action"] = given["action"]
    if "link-url" in before:
        names = ("url", "title", "description", "image")
        document["link"] = {name: given.get(f"link-{name}", "").strip() for name in names}
    targets: list[dict[str, object]] = []
    for root in roots_of(post):
        own = given.get(f"text.{root.id}", "")
        edit: dict[str, object] = {"id": root.id, "content": own if own.strip() else None}
        options = forms.values(root.platform, given, root.id)
        if options != forms.values(root.platform, before, root.id):
            edit["options"] = options
        targets.append(edit)
        targets += [{"id": part.id, **_part_document(given, f"part.{part.id}")} for part in parts_of(post, root)]
    return document | {"targets": targets}


def account_name(account: Account, title: str) -> str:
    """Return the platform and the name of an account, as its control is called."""
    name = f"{title}, {account.username or account.account_id}"
    return f"{name} ({account.owner})" if account.owner else name
