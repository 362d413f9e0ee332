"""What can be posted on a platform, as one JSON document for programs, a command line and pages."""

from collections.abc import Mapping

from publish.preflight.contract import AccountFacts, Limit, Owner, PostingRules, PostKind, Severity
from publish.preflight.options import schema

NOTHING_KNOWN = AccountFacts()


def described(rules: PostingRules, facts: AccountFacts = NOTHING_KNOWN) -> dict[str, object]:
    """Return the kinds of post of a platform with their limits and the JSON schemas of their options.

    With the facts of an account its own limits stand in place of the general ones, and ``choices`` and ``switched_off``
    say which values of options it allows now. ``owners`` say what persons and organizations may do, where a platform
    has accounts of both: of each group of permissions one is needed.
    """
    return {
        "title": rules.title,
        "kinds": {name: _kind(kind, facts) for name, kind in rules.kinds.items()},
        "choices": {name: list(values) for name, values in facts.choices.items()},
        "switched_off": list(facts.switched_off),
        "owners": {name: _owner(owner) for name, owner in rules.owners.items()},
    }


def _owner(owner: Owner) -> dict[str, object]:
    return {
        "title": owner.title,
        "permissions": [sorted(group) for group in owner.scopes],
        "reply_permissions": [sorted(group) for group in owner.reply_scopes],
        "option_permissions": {name: sorted(group) for name, group in owner.option_scopes.items()},
        "notes": list(owner.notes),
        "source": owner.source,
    }


def _kind(kind: PostKind, facts: AccountFacts) -> dict[str, object]:
    text = kind.text
    return {
        "title": kind.title,
        "text": None
        if text is None
        else {"needed": kind.text_needed, "unit": text.unit, **_limit(text.limit, facts)}
        | {
            name: _limit(limit, facts)
            for name, limit in (("hashtags", text.hashtags), ("mentions", text.mentions), ("links", text.links))
            if limit is not None
        },
        "link": kind.link,
        "files": {**_limit(kind.items, facts)}
        | {
            "kinds": {
                rule.kind: {
                    "content_types": sorted(rule.content_types if facts.content_types is None else facts.content_types),
                    "codecs": sorted(rule.codecs),
                    "audio_codecs": sorted(rule.audio_codecs),
                    "limits": {measure: _limit(limit, facts) for measure, limit in rule.limits.items()},
                }
                for rule in kind.media
            }
        },
        "alt_text": None if kind.alt_text is None else {"on": list(kind.alt_text_on), **_limit(kind.alt_text, facts)},
        "options": schema(kind.options),
        "source": kind.source,
    }


def _limit(limit: Limit, facts: AccountFacts) -> Mapping[str, object]:
    found = {
        "at_least": limit.at_least,
        "at_most": facts.limits.get(limit.fact, limit.at_most) if limit.fact else limit.at_most,
        "warning_only": True if limit.severity is Severity.WARNING else None,
    }
    return {name: value for name, value in found.items() if value is not None}
