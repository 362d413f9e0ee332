"""Options of posts as fields of a form, for every kind of post of every platform."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from multidict import MultiDict

import publish.platforms
from ops.runtime.discovery import discover
from ops.web.option_fields import ON, Field, Known, fields_of, options_of, sent, values_of
from publish.preflight.check import valid_options
from publish.preflight.contract import PostingRules
from publish.preflight.options import schema

RULES: Mapping[str, PostingRules] = discover(publish.platforms, PostingRules, "posting")
KINDS = [(name, kind) for name, rules in RULES.items() for kind in rules.kinds]


def schema_of(platform: str, kind: str) -> dict[str, Any]:
    return dict(schema(RULES[platform].kinds[kind].options))


def all_of(platform: str) -> dict[str, Any]:
    return {kind.title: schema(kind.options) for kind in RULES[platform].kinds.values()}


PATTERNS = {
    "^[A-Z]{2}$": "DE",
    "^[0-9]{1,19}$": "17",
    "^[a-z]{2,3}$": "de",
    "^urn:li:(share|ugcPost):": "urn:li:share:1",
}


def example(given: Mapping[str, Any], defs: Mapping[str, Any]) -> Any:
    """A value that the schema allows and that is not the default of it."""
    if "anyOf" in given:
        return example(given["anyOf"][0], defs)
    if "$ref" in given:
        return example(defs[given["$ref"].rpartition("/")[2]], defs)
    if given["type"] == "array":
        return [example(given["items"], defs) for _ in range(max(2, given.get("minItems", 0)))]
    if given["type"] == "object":
        return {name: example(each, defs) for name, each in given["properties"].items()}
    if "enum" in given:
        return next(value for value in reversed(given["enum"]) if value != given.get("default"))
    plain = {"boolean": given.get("default") is not True, "integer": given.get("minimum", 0) + 2, "number": 0.25}
    return {**plain, "string": PATTERNS.get(given.get("pattern", ""), "tea")}[given["type"]]


def flat(fields: Sequence[Field]) -> Iterator[Field]:
    for each in fields:
        yield each
        yield from flat([*each.fields, *(part for row in each.rows for part in row)])


@pytest.mark.parametrize(("platform", "kind"), KINDS)
def test_options_of_every_kind_come_back_from_a_form_as_they_were_given(platform: str, kind: str) -> None:
    given = schema_of(platform, kind)
    options = options_of({"a post": given})
    full = {name: example(each, given.get("$defs", {})) for name, each in given["properties"].items()}
    for values in (full, {}):
        shown = fields_of(options, values, "o.1", kinds=1)
        assert values_of(options, MultiDict(sent(shown)), "o.1") == values
    _, findings = valid_options(RULES[platform], kind, full)
    assert findings == [], "the example is one that the platform takes"
    assert {each.path for each in fields_of(options, {}, "o.1")} == set(given["properties"])


@pytest.mark.parametrize("platform", RULES)
def test_kinds_of_a_platform_share_one_form_that_says_which_of_them_have_an_option(platform: str) -> None:
    kinds = all_of(platform)
    options = options_of(kinds)
    fields = fields_of(options, {}, "o.1", kinds=len(kinds))
    assert {each.path for each in fields} == {name for each in kinds.values() for name in each["properties"]}
    assert values_of(options, MultiDict(sent(fields)), "o.1") == {}, "what nobody touches decides nothing"
    everywhere = {name for name in fields_names(kinds) if all(name in each["properties"] for each in kinds.values())}
    needed = {name for each in kinds.values() for name in each.get("required", ())}
    assert {each.path for each in fields if not each.note} == everywhere - needed
    for each in flat(fields):
        assert each.label[:1].isupper(), each
        assert "_" not in each.label, each
        assert all("_" not in choice.label for choice in each.choices), each
        assert not any(choice.label.isupper() for choice in each.choices), each


def fields_names(kinds: Mapping[str, Any]) -> set[str]:
    return {name for each in kinds.values() for name in each["properties"]}


def field(platform: str, path: str, values: Mapping[str, Any] | None = None, known: Known | None = None) -> Field:
    kinds = all_of(platform)
    found = fields_of(options_of(kinds), values or {}, "o.1", known or Known(), len(kinds))
    return next(each for each in flat(found) if each.path == path)


def test_required_choice_has_nothing_chosen_and_says_which_kinds_need_it() -> None:
    privacy = field("tiktok", "privacy_level")
    assert (privacy.value, privacy.choices[0].value, privacy.choices[0].label) == ("", "", "Choose…")
    assert "Only the account itself" in [choice.label for choice in privacy.choices]
    assert (privacy.note, privacy.required) == ("Required for a video or a post of photos.", False)
    [alone] = [
        each
        for each in fields_of(options_of({"a document": schema_of("linkedin", "document")}), {}, "o", kinds=1)
        if each.path == "title"
    ]
    assert (alone.note, alone.required) == ("", True)
    assert (privacy.label, privacy.help[:24]) == ("Who may see it", "The account's own choice")


def test_choices_are_those_that_the_account_has_now_and_what_it_lacks_is_switched_off() -> None:
    known = Known({"privacy_level": ["SELF_ONLY"]}, ["allow_duet"], {"privacy_level": ["Choose a value."]})
    privacy = field("tiktok", "privacy_level", known=known)
    assert [choice.value for choice in privacy.choices] == ["", "SELF_ONLY"]
    assert privacy.errors == ["Choose a value."]
    stored = field("tiktok", "privacy_level", {"privacy_level": "PUBLIC_TO_EVERYONE"}, known)
    assert stored.value in [choice.value for choice in stored.choices], "what is stored is shown, and refused there"
    assert field("tiktok", "allow_duet", known=known).switched_off
    assert not field("tiktok", "allow_stitch", known=known).switched_off


def test_errors_stand_at_their_control_in_lists_and_rows_too() -> None:
    known = Known(errors={"user_tags.1.username": ["It is empty."], "collaborators.2": ["It is too long."]})
    values = {"user_tags": [{"username": "ada"}, {"x": 0.5}], "collaborators": ["a", "b", "c"]}
    assert field("instagram", "user_tags.1.username", values, known).errors == ["It is empty."]
    assert field("instagram", "user_tags.0.username", values, known).errors == []
    assert field("instagram", "collaborators", values, known).errors == ["It is too long."]
    assert len(field("instagram", "user_tags", values, known).rows) == 3, "one more row is empty"


def test_switch_that_is_on_at_first_is_sent_only_when_it_is_off() -> None:
    options = options_of(all_of("instagram"))
    assert field("instagram", "share_to_feed").value == ON
    for texts, expected in ((["off", "on"], {}), (["off"], {"share_to_feed": False}), ([], {})):
        form = MultiDict([("o.1.share_to_feed", text) for text in texts])
        assert values_of(options, form, "o.1") == expected


def test_what_is_typed_wrong_stays_as_it_was_typed() -> None:
    options = options_of(all_of("x"))
    form = MultiDict({"o.1.poll.minutes": " soon ", "o.1.poll.options": " a ", "o.1.quote_of": "\tx "})
    form.add("o.1.poll.options", "")
    values = values_of(options, form, "o.1")
    assert values == {"poll": {"options": ["a"], "minutes": "soon"}, "quote_of": "x"}
    assert field("x", "poll.minutes", values).value == "soon"
    assert values_of(options, MultiDict({"o.2.quote_of": "7", "quote_of": "8"}), "o.1") == {}


def test_rows_that_are_left_empty_are_left_out() -> None:
    options = options_of(all_of("mastodon"))
    names = ("position", "x", "y")
    form = MultiDict([(f"o.1.focus.{row}.{n}", "" if row == 0 else "1") for row in (0, 2, 10) for n in names])
    assert values_of(options, form, "o.1") == {"focus": [{"position": 1, "x": 1, "y": 1}] * 2}


@pytest.mark.parametrize(
    "given",
    [
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "array", "items": {"type": "integer"}},
        {"type": "null"},
        {},
    ],
)
def test_schema_that_no_control_shows_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no control shows"):
        options_of({"a post": {"properties": {"a": given}}})


def test_two_kinds_cannot_mean_different_things_by_one_name() -> None:
    one, other = ({"properties": {"a": {"type": type_}}} for type_ in ("string", "integer"))
    with pytest.raises(ValueError, match="a is something else for a reel than for a story"):
        options_of({"a story": one, "a reel": other})
