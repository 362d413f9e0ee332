"""Compare a draft with what its platform says about posts: refusals and warnings, each naming its item."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from pydantic import ValidationError

from publish.preflight.contract import (
    AccountFacts,
    Draft,
    Finding,
    Limit,
    PostingRules,
    PostKind,
    Severity,
    TextRule,
)
from publish.preflight.media_check import allowed, check_media, outside
from publish.preflight.options import Options
from publish.preflight.text import hashtags, links, mentions

FEW_LEFT = 3
"""With no more posts than this left in the platform's window, the person is told."""


LONGEST_TEXT = 100_000
"""A text of more characters is refused without being counted."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found. ``options`` are the valid options with their defaults, None where they are not valid."""

    findings: Sequence[Finding]
    options: Options | None

    @property
    def refusals(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity is Severity.REFUSAL]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity is Severity.WARNING]


def check(rules: PostingRules, draft: Draft, facts: AccountFacts) -> Report:
    """Return all that is wrong with a draft, and what the person should know before it is published.

    What is left of the account's quota depends on the time, and is :func:`check_quota`'s.
    """
    kind = rules.kinds.get(draft.kind)
    if kind is None:
        known = ", ".join(rules.kinds)
        message = f"{rules.title} has no kind of post that is called {draft.kind!r}; it has {known}."
        return Report([_refusal("unknown_kind", "Choose one of these.", message)], None)
    if len(draft.text) > LONGEST_TEXT:
        message = f"The text has {len(draft.text)} characters; no platform takes more than {LONGEST_TEXT}."
        return Report([Finding(Severity.REFUSAL, "text_length", "text", message, "Shorten it.")], None)
    options, wrong = valid_options(rules, draft.kind, draft.options)
    findings = [*wrong, *_check_permissions(rules, draft, kind, facts)]
    findings += [*_check_text(draft, kind, facts), *_check_link(draft, kind), *check_media(draft, kind, facts)]
    findings += [*_check_addresses(draft, kind, facts), *_check_choices(draft, options, facts)]
    for further in rules.checks:
        findings += further(draft, options, facts)
    return Report(findings, options)


def valid_options(rules: PostingRules, kind: str, given: object) -> tuple[Options | None, list[Finding]]:
    """Return the options of a kind of post with their defaults, or None and what is wrong with them, each by name."""
    model = rules.kinds[kind].options
    try:
        return model.model_validate(given), []
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_context=False, include_input=False)
        return None, [_option_finding(rules, kind, error["type"], error["loc"], error["msg"]) for error in errors]


def _option_finding(rules: PostingRules, kind: str, error: str, where: Sequence[int | str], said: str) -> Finding:
    title, source = rules.kinds[kind].title, rules.kinds[kind].source
    name = ".".join(map(str, where))
    if error == "extra_forbidden":
        known = ", ".join(rules.kinds[kind].options.model_fields) or "none"
        message = f"{title} of {rules.title} has no option {name!r}."
        remedy = f"Leave it out. The options are: {known}."
        code = "unknown_option"
    elif error == "missing":
        message = f"{title} of {rules.title} needs the option {name!r}, and nothing is chosen for you."
        remedy, code = "Choose a value.", "option_missing"
    else:
        message = f"The option {name!r} is not valid: {said[0].lower()}{said[1:]}."
        remedy, code = "Correct it.", "option_not_valid"
    message = f"{message[0].upper()}{message[1:]}"
    return Finding(Severity.REFUSAL, code, "option", message, remedy, name, source)


def _refusal(code: str, remedy: str, message: str, source: str = "") -> Finding:
    return Finding(Severity.REFUSAL, code, "post", message, remedy, source=source)


CONNECT_AGAIN = "Connect the account again and leave all permissions ticked."


def _check_permissions(rules: PostingRules, draft: Draft, kind: PostKind, facts: AccountFacts) -> Iterator[Finding]:
    owner = rules.owner(facts)
    for groups, options, source in (
        (kind.scopes, kind.option_scopes, kind.source),
        *([(owner.scopes, owner.option_scopes, owner.source)] if owner is not None else []),
    ):
        if missing := _missing(groups, facts):
            message = f"The account has not allowed what {kind.title} needs: {_groups(missing)}."
            yield _refusal("scope_not_authorized", CONNECT_AGAIN, message, source)
        for name, group in options.items():
            if draft.options.get(name) and _missing([group], facts):
                message = f"The account has not allowed what the option {name!r} needs: {_groups([group])}."
                remedy = f"{CONNECT_AGAIN[:-1]}, or leave the option out."
                yield Finding(Severity.REFUSAL, "scope_not_authorized", "option", message, remedy, name, source)


def check_reply_permissions(rules: PostingRules, facts: AccountFacts) -> list[Finding]:
    """Return what an account has not allowed of what the further parts of a thread need."""
    owner = rules.owner(facts)
    missing = _missing(owner.reply_scopes, facts) if owner is not None else []
    if owner is None or not missing:
        return []
    message = f"The account has not allowed what further parts of a thread need: {_groups(missing)}."
    remedy = f"{CONNECT_AGAIN[:-1]}, or leave the further parts out."
    return [_refusal("scope_not_authorized", remedy, message, owner.source)]


def permission_findings(
    groups: Iterable[Collection[str]], facts: AccountFacts, what: str, remedy: str = CONNECT_AGAIN, source: str = ""
) -> list[Finding]:
    """Return what an account has not allowed of ``groups``, of each of which ``what`` needs one."""
    missing = _missing(groups, facts)
    if not missing:
        return []
    message = f"The account has not allowed what {what} needs: {_groups(missing)}."
    return [_refusal("scope_not_authorized", remedy, message, source)]


def _missing(groups: Iterable[Collection[str]], facts: AccountFacts) -> list[Collection[str]]:
    """Return the groups of which an account has allowed nothing; none where that is not known."""
    return [] if facts.scopes is None else [group for group in groups if not {*group} & {*facts.scopes}]


def _groups(groups: Iterable[Collection[str]]) -> str:
    return ", ".join(" or ".join(group) for group in groups)


LONGEST_WINDOW = timedelta(days=1)
"""How long what a platform says of a quota counts where its rules name no window."""


def check_quota(rules: PostingRules, kind: str, facts: AccountFacts, now: datetime, at: datetime) -> Iterator[Finding]:
    """Yield what the platform says now of the quota of an account, for a post of a kind that is due at ``at``.

    Its answer counts until the quota is there again: until it says, or until what was published so far is out of the
    window. For later posts only what is planned around their time decides.
    """
    left, resets = facts.quota_left, facts.quota_resets_at
    windows = [timedelta(seconds=each.seconds) for each in rules.quotas if not each.kinds or kind in each.kinds]
    if left is None or left > FEW_LEFT or at >= (resets or now + max(windows, default=LONGEST_WINDOW)):
        return
    then = f" More are allowed from {resets:%Y-%m-%d %H:%M %Z} on." if resets is not None else ""
    if left <= 0:
        message = f"The account has published all that {rules.title} allows for now.{then}"
        yield _refusal("quota_used_up", "Publish it later.", message)
        return
    message = f"The account may publish {left} more for now.{then}"
    yield Finding(Severity.WARNING, "quota_nearly_used_up", "post", message, "Spread posts over more time.")


def _check_text(draft: Draft, kind: PostKind, facts: AccountFacts) -> Iterator[Finding]:
    rule, empty = kind.text, not draft.text.strip()
    if rule is None:
        if not empty:
            message = f"{_capital(kind.title)} has no text; the text is not sent."
            remedy = "Leave it out, or write it into the picture."
            yield Finding(Severity.REFUSAL, "text_not_possible", "text", message, remedy, source=kind.source)
        return
    if empty and kind.text_needed:
        message = f"{_capital(kind.title)} needs a text."
        yield Finding(Severity.REFUSAL, "text_missing", "text", message, "Write one.", source=kind.source)
    yield from count_finding(
        rule.count(draft.text), rule.limit, facts, "text_length", f"The text has {{}} {rule.unit}", "Shorten it."
    )
    yield from _check_counts(draft.text, rule, facts)


def _check_counts(text: str, rule: TextRule, facts: AccountFacts) -> Iterator[Finding]:
    for code, limit, found, noun in (
        ("hashtags", rule.hashtags, hashtags(text), "hashtags"),
        ("mentions", rule.mentions, mentions(text), "mentions"),
        ("links", rule.links, list(dict.fromkeys(links(text))), "different links"),
    ):
        if limit is not None:
            words = f"The text has {{}} {noun}"
            yield from count_finding(len(found), limit, facts, code, words, "Leave some out.")


def count_finding(
    value: float, limit: Limit, facts: AccountFacts, code: str, words: str, remedy: str
) -> Iterator[Finding]:
    """Yield the finding on a number of the text that is outside its limit. ``words`` has a place for the number."""
    if (found := outside(value, limit, facts)) is not None:
        message = f"{words.format(f'{value:g}')}; {allowed(*found, lambda v: f'{v:g}')}."
        yield Finding(limit.severity, code, "text", message, remedy, source=limit.source)
    elif limit.doubt_above is not None and limit.fact not in facts.limits and value > limit.doubt_above:
        message = f"{words.format(f'{value:g}')}; more than {limit.doubt_above:g} may be refused."
        yield Finding(Severity.WARNING, code, "text", message, remedy, source=limit.source)


def _check_link(draft: Draft, kind: PostKind) -> Iterator[Finding]:
    if not draft.link:
        if kind.link == "needed":
            message = f"{_capital(kind.title)} needs a link."
            yield Finding(Severity.REFUSAL, "link_missing", "link", message, "Give one.", source=kind.source)
        return
    if kind.link == "none":
        message = f"{_capital(kind.title)} has no link beside its text."
        remedy = "Write the link into the text, or choose another kind of post."
        yield Finding(Severity.REFUSAL, "link_not_possible", "link", message, remedy, source=kind.source)
        return
    parts = urlsplit(draft.link)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = "The link is no address that begins with http:// or https://."
        yield Finding(Severity.REFUSAL, "link_not_valid", "link", message, "Correct it.", source=kind.source)


def _check_addresses(draft: Draft, kind: PostKind, facts: AccountFacts) -> Iterator[Finding]:
    if not kind.fetched or not draft.media:
        return
    remedy = "The operator sets LANDFALL_PUBLIC_URL to an address that begins with https://."
    if not facts.media_url:
        message = "The platform fetches the files from Landfall, which has no public address."
        yield _refusal("media_not_reachable", remedy, message, kind.source)
    elif not facts.media_url.startswith("https://"):
        message = f"The platform fetches the files from {facts.media_url}, which only a sandbox on this machine can do."
        yield Finding(Severity.WARNING, "media_not_reachable", "post", message, remedy, source=kind.source)


def _check_choices(draft: Draft, options: Options | None, facts: AccountFacts) -> Iterator[Finding]:
    given = draft.options if options is None else options.model_dump()
    for name, values in facts.choices.items():
        value = given.get(name)
        if value is not None and value not in values:
            message = f"The account does not allow {value!r} for {name!r} now; it allows {', '.join(values)}."
            yield Finding(Severity.REFUSAL, "option_not_allowed", "option", message, "Choose one of these.", name)
    for name in facts.switched_off:
        if given.get(name) is True:
            message = f"The account has switched {name!r} off."
            remedy = "Switch it off here too, or on at the platform."
            yield Finding(Severity.REFUSAL, "option_switched_off", "option", message, remedy, name)


def owns(address: str, owned: Iterable[str]) -> bool:
    """Return whether an address is below one of the owned ones: a host with its subdomains, or a prefix."""
    host = (urlsplit(address).hostname or "").lower()
    for one in owned:
        if "://" in one:
            if address.startswith(one):
                return True
        elif host == one.lower() or host.endswith(f".{one.lower()}"):
            return True
    return False


def _capital(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}"
