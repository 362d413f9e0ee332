"""The options of a post: a model for each kind of post, which checks what was sent and gives the JSON schema of it."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.config import JsonDict

LABELS = "x-labels"
"""In a schema: what a person is shown for each value of a choice. A value that is not named is shown as its words."""

MULTILINE = "x-multiline"
"""In a schema: whether a text may have several lines."""

_CAPITALS = {"ai": "AI", "id": "ID", "ids": "IDs", "url": "URL"}


def label_of(name: str) -> str:
    """Return the name of an option, or a value of one, as words for a person."""
    words = [_CAPITALS.get(word, word) for word in name.replace("-", "_").lower().split("_")]
    text = " ".join(word for word in words if word)
    return f"{text[:1].upper()}{text[1:]}"


def labelled(**labels: str) -> JsonDict:
    """Return what a field's schema says of the labels of its values."""
    return {LABELS: dict(labels)}


class Part(BaseModel):
    """An object inside the options. Names that it does not have are refused, and no value is converted to another.

    A field without a title gets its name as words: forms show it.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, field_title_generator=lambda name, _: label_of(name)
    )


class Options(Part):
    """The options of one kind of post. An option without a default must be given."""


class NoOptions(Options):
    """A kind of post without options."""


Words = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
"""Text that says something."""

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A place in a picture, from its left or upper edge."""

FirstComment = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    Field(
        title="First comment",
        description="A comment of the account's own below the post: published after it, with a state of its own.",
        json_schema_extra={MULTILINE: True},
    ),
]


@cache  # making one takes longer than the rest of a page that shows it
def schema(options: type[Options]) -> Mapping[str, Any]:
    """Return the JSON schema (2020-12) of the options, as an API, a command line and pages read it."""
    return options.model_json_schema()
