"""The options of a post as fields of a form: made from the JSON schemas of its kinds, and read back from what was sent.

Pure. A value that equals its default is not sent on, so that fields which nobody touched decide nothing: a form shows
the options of all kinds of post of a platform, and which kind it becomes may depend on the files.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from multidict import MultiMapping

from publish.preflight.options import LABELS, MULTILINE, label_of

Schema = Mapping[str, Any]
Control = Literal["text", "long_text", "number", "choice", "switch", "lines", "several", "group", "rows"]
"""``lines`` is a list with a value on each line, ``several`` one with a control for each value. ``group`` is an object,
``rows`` a list of objects."""

MOST_APART = 4
"""A list of at most so many values has a control for each."""

MOST_ROWS = 100
ON, OFF = "on", "off"
YES, NO = "yes", "no"

_INTEGER = re.compile(r"[+-]?[0-9]{1,15}")
_NUMBER = re.compile(r"[+-]?[0-9]{0,15}\.?[0-9]{1,15}")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a platform. ``schema`` is resolved: it has neither references nor alternatives.

    ``nullable`` is whether null is a value, and ``required`` whether there is no default. ``kinds`` are the titles of
    the kinds of post that have it, ``needing`` of those that need it; both empty for a part of another option.
    """

    name: str
    schema: Schema
    label: str
    help: str
    nullable: bool
    required: bool
    parts: Sequence["Option"] = ()
    kinds: Sequence[str] = ()
    needing: Sequence[str] = ()

    @property
    def default(self) -> object:
        """The value that an option has where none is given; None for one that has to be given."""
        return self.schema.get("default")


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Field:
    """A control of a form, with what is in it. ``path`` names the option, as findings do; ``name`` the control.

    ``required`` is whether it has to be given in any case, ``note`` says which kinds of post have it, or need it.
    ``values`` are those of a list with a control for each.
    """

    name: str
    path: str
    control: Control
    label: str
    help: str = ""
    note: str = ""
    required: bool = False
    value: str = ""
    values: Sequence[str] = ()
    default: str = ""
    choices: Sequence[Choice] = ()
    at_least: float | None = None
    at_most: float | None = None
    whole: bool = False
    most_characters: int | None = None
    switched_off: bool = False
    fields: Sequence["Field"] = ()
    rows: Sequence[Sequence["Field"]] = ()
    errors: Sequence[str] = field(default=())

    @property
    def bounds(self) -> str:
        """Between which numbers a value is, in words; empty where any will do."""
        match (self.at_least, self.at_most):
            case (None, None):
                return ""
            case (least, None):
                return f"At least {least:g}."
            case (None, most):
                return f"At most {most:g}."
            case (least, most):
                return f"From {least:g} to {most:g}."

    @property
    def filled(self) -> bool:
        """Whether something is in it that is not there at first, or something is wrong with it."""
        inner = any(each.filled for each in [*self.fields, *(each for row in self.rows for each in row)])
        own = self.value != (self.default if self.control in ("switch", "choice") else "")
        return inner or own or any(self.values) or bool(self.errors)


# --- from schemas to options


def options_of(kinds: Mapping[str, Schema]) -> list[Option]:
    """Return the options of kinds of post, each once. The schemas are by the titles of the kinds.

    Raises ValueError for a schema that no control shows, and where two kinds mean different things by one name.
    """
    found: dict[str, Option] = {}
    for title, schema in kinds.items():
        for option in _properties(schema, schema.get("$defs", {})):
            before = found.get(option.name)
            if before is None:
                found[option.name] = replace(option, kinds=[title], needing=[title] if option.required else [])
                continue
            if _shape(before) != _shape(option):
                raise ValueError(f"{option.name} is something else for {title} than for {', '.join(before.kinds)}")
            needing = [*before.needing, *([title] if option.required else [])]
            found[option.name] = replace(
                before,
                kinds=[*before.kinds, title],
                needing=needing,
                help=before.help or option.help,
                required=before.required and option.required,
                nullable=before.nullable or option.nullable,
            )
    return list(found.values())


def _properties(schema: Schema, definitions: Schema) -> list[Option]:
    needed = schema.get("required", ())
    return [
        _option(name, each, definitions, required=name in needed) for name, each in schema.get("properties", {}).items()
    ]


def _option(name: str, given: Schema, definitions: Schema, *, required: bool) -> Option:
    schema, nullable = _resolved(given, definitions)
    parts: Sequence[Option] = ()
    if schema.get("type") == "object":
        parts = _properties(schema, definitions)
    elif schema.get("type") == "array":
        item, _ = _resolved(schema["items"], definitions)
        schema = {**schema, "items": item}
        parts = _properties(item, definitions) if item.get("type") == "object" else ()
    label = given.get("title") or label_of(name)
    help_ = given.get("description") or (schema.get("description", "") if parts else "")
    if schema.get("type") == "array" and parts:
        help_ = help_ or schema["items"].get("description", "")
    option = Option(name, schema, label, help_, nullable, required, parts)
    _control(option)
    return option


def _resolved(given: Schema, definitions: Schema) -> tuple[Schema, bool]:
    """Return a schema without its reference, and without null among its alternatives; and whether null was there."""
    schema, nullable = dict(given), False
    if alternatives := schema.pop("anyOf", None):
        rest = [each for each in alternatives if each.get("type") != "null"]
        if len(rest) != 1:
            raise ValueError(f"no control shows several alternatives: {alternatives}")
        nullable = len(rest) < len(alternatives)
        schema = {**rest[0], **schema}
    if reference := schema.pop("$ref", None):
        schema = {**definitions[reference.rpartition("/")[2]], **schema}
    return schema, nullable


def _shape(option: Option) -> object:
    """Return what an option is, without what differs between kinds of post that have it."""
    schema = {k: v for k, v in option.schema.items() if k not in ("default", "description", "title", "properties")}
    return (schema, [_shape(part) for part in option.parts])


def _control(option: Option) -> Control:
    """Return the control that shows an option. Raises ValueError where none does."""
    schema = option.schema
    match schema.get("type"):
        case "string":
            return "choice" if "enum" in schema else "long_text" if schema.get(MULTILINE) else "text"
        case "boolean":
            return "choice" if option.nullable or option.required else "switch"
        case "integer" | "number":
            return "number"
        case "object":
            return "group"
        case "array" if option.parts:
            return "rows"
        case "array" if schema["items"].get("type") == "string" and "enum" not in schema["items"]:
            return "several" if schema.get("maxItems", MOST_APART + 1) <= MOST_APART else "lines"
    raise ValueError(f"no control shows the option {option.name}: {schema}")


# --- from options to fields


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an account: the values that it allows for an option, options that it does not allow to be
    switched on, and what was wrong with what was sent, by the path of the option.
    """

    choices: Mapping[str, Collection[str]] = field(default_factory=dict)
    switched_off: Collection[str] = ()
    errors: Mapping[str, Sequence[str]] = field(default_factory=dict)


NOTHING_KNOWN = Known()


def fields_of(
    options: Sequence[Option], values: Mapping[str, object], name: str, known: Known = NOTHING_KNOWN, kinds: int = 0
) -> list[Field]:
    """Return the controls of options with values in them, valid or not. Their names begin with ``name`` and a dot.

    ``kinds`` is how many kinds of post are possible: an option that not all of them have says which do.
    """
    return [_field(each, values.get(each.name, _MISSING), f"{name}.", "", known, kinds) for each in options]


def _field(option: Option, value: object, prefix: str, above: str, known: Known, kinds: int = 0) -> Field:
    path = f"{above}{option.name}"
    schema, control = option.schema, _control(option)
    of_list = control in ("lines", "several", "rows")
    found = Field(
        name=f"{prefix}{path}",
        path=path,
        control=control,
        label=option.label,
        help=option.help,
        note=_note(option, kinds),
        required=_always_needed(option, kinds),
        at_least=schema.get("minimum"),
        at_most=schema.get("maximum"),
        whole=schema.get("type") == "integer",
        most_characters=schema.get("maxLength"),
        errors=_errors(known.errors, path, inner=control in ("lines", "several")),
    )
    inner = f"{path}."
    if control == "group":
        given = value if isinstance(value, Mapping) else {}
        parts = [_field(p, given.get(p.name, _MISSING), prefix, inner, known) for p in option.parts]
        return replace(found, fields=parts)
    if of_list:
        return _list_field(found, option, value if isinstance(value, list) else [], prefix, known)
    if control == "switch":
        default = option.default is True
        on = default if value is _MISSING else value is True
        shown, at_first = (ON if each else OFF for each in (on, default))
        return replace(found, value=shown, default=at_first, switched_off=path in known.switched_off)
    default_text = "" if option.default is None else _text(option.default)
    if control == "choice":
        shown = default_text if value is _MISSING or value is None else _text(value)
        choices = _choices(option, known.choices.get(path), shown)
        return replace(found, value=shown, default=default_text, choices=choices)
    return replace(found, value="" if value is _MISSING or value is None else _text(value), default=default_text)


def _list_field(found: Field, option: Option, value: Sequence[object], prefix: str, known: Known) -> Field:
    if found.control == "lines":
        return replace(found, value="\n".join(map(_text, value)))
    if found.control == "several":
        texts = [_text(each) for each in value]
        return replace(found, values=[*texts, *[""] * (option.schema["maxItems"] - len(texts))])
    rows = []
    most = min(option.schema.get("maxItems", MOST_ROWS), MOST_ROWS)
    for number in range(max(len(value), min(len(value) + 1, most))):
        given = value[number] if number < len(value) else {}
        given = given if isinstance(given, Mapping) else {}
        above = f"{found.path}.{number}."
        rows.append([_field(part, given.get(part.name, _MISSING), prefix, above, known) for part in option.parts])
    return replace(found, rows=rows)


def _always_needed(option: Option, kinds: int) -> bool:
    """Whether all that an option may belong to needs it."""
    return len(option.needing) >= kinds if option.kinds else option.required


def _note(option: Option, kinds: int) -> str:
    """Return which kinds of post have an option or need it, as a sentence; empty for all that are possible."""
    if _always_needed(option, kinds):
        return ""
    if option.needing:
        return f"Required for {_listed(option.needing)}."
    return f"For {_listed(option.kinds)}." if 0 < len(option.kinds) < kinds else ""


def _listed(titles: Sequence[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} or {titles[-1]}"


def _errors(errors: Mapping[str, Sequence[str]], path: str, *, inner: bool) -> list[str]:
    """Return what is wrong with an option, and with a value inside it where that has no control with an error."""
    return [
        text for at, texts in errors.items() if at == path or (inner and at.startswith(f"{path}.")) for text in texts
    ]


def _choices(option: Option, allowed: Collection[str] | None, shown: str) -> list[Choice]:
    first = Choice("", "Choose…" if option.required else "Not chosen")
    if option.schema.get("type") == "boolean":
        return [first, Choice(YES, "Yes"), Choice(NO, "No")]
    labels = option.schema.get(LABELS, {})
    values = [value for value in option.schema["enum"] if allowed is None or value in allowed or value == shown]
    if shown and shown not in values:
        values.append(shown)
    found = [Choice(value, labels.get(value) or label_of(value)) for value in values]
    return found if option.default is not None and not option.nullable else [first, *found]


def _text(value: object) -> str:
    """Return a value as its control shows it."""
    if isinstance(value, bool):
        return YES if value else NO
    return f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)


# --- from a form to values


def values_of(options: Iterable[Option], given: MultiMapping[str], name: str) -> dict[str, object]:
    """Return the options that a form names, as programs send them; what was typed wrong stays as it was typed."""
    found = {each.name: _value(each, given, f"{name}.{each.name}") for each in options}
    return {key: value for key, value in found.items() if value is not _MISSING}


def _value(option: Option, given: MultiMapping[str], name: str) -> object:
    """Return the value that an option has in a form; _MISSING for none, and for the default."""
    control = _control(option)
    texts = [text.replace("\r\n", "\n") for text in given.getall(name, [])]
    found: object = None
    match control:
        case "rows":
            found = _rows(option, given, name)
        case "group":
            found = values_of(option.parts, given, name)
        case "lines" | "several":
            found = [line.strip() for text in texts for line in text.split("\n") if line.strip()]
        case "switch":
            return _MISSING if not texts or (texts[-1] == ON) == (option.default is True) else texts[-1] == ON
        case _:
            text = texts[-1] if texts else ""
            found = _READERS[option.schema["type"]](text if control == "long_text" else text.strip())
    return found if found not in ("", [], {}, option.default) else _MISSING


def _rows(option: Option, given: MultiMapping[str], name: str) -> list[dict[str, object]]:
    begins = re.compile(rf"{re.escape(name)}\.([0-9]{{1,3}})\.")
    numbers = sorted({int(found[1]) for key in given if (found := begins.match(key))})
    rows = [values_of(option.parts, given, f"{name}.{number}") for number in numbers[:MOST_ROWS]]
    return [row for row in rows if row]


def _number(text: str) -> object:
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def _boolean(text: str) -> object:
    return {YES: True, NO: False}.get(text, text)


def _string(text: str) -> object:
    return text if text.strip() else ""


_READERS: Mapping[str, Callable[[str], object]] = {
    "string": _string,
    "integer": _number,
    "number": _number,
    "boolean": _boolean,
}


def sent(fields: Iterable[Field]) -> list[tuple[str, str]]:
    """Return what a browser sends of controls that nobody touches."""
    found: list[tuple[str, str]] = []
    for each in fields:
        match each.control:
            case "group":
                found += sent(each.fields)
            case "rows":
                found += [pair for row in each.rows for pair in sent(row)]
            case "several":
                found += [(each.name, value) for value in each.values]
            case "switch":
                found += [(each.name, OFF)] if each.default == ON else []
                found += [(each.name, ON)] if each.value == ON and not each.switched_off else []
            case _:
                found.append((each.name, each.value))
    return found
