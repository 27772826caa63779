"""The options as type checkers see them are those of the models."""

import os
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from impasto.config import values
from impasto.config.settings import Runtime, Settings
from impasto.config.validation import AMERICAN
from impasto.job import job, options
from impasto.job.loss_term import LossTerm

FIELDS = {**Settings.model_fields, **Runtime.model_fields}
PICTURE = "a picture in any form"
REGION = "a region"
FUNCTION = "a function"
HINTS = get_type_hints(
    options.JobOptions,
    localns={
        **{name: getattr(values, name) for name in ("NetworkName", "StatisticName")},
        "OptimiserName": values.OptimiserName,
        "os": os,
        "ImageSource": Literal[PICTURE],
        "Region": Literal[REGION],
        "LossFunction": Literal[FUNCTION],
        "LossTerm": LossTerm,
    },
)
# What the functions accept beside what a field holds.
WIDER = {
    "content_layers": options.Layers,
    "style_layers": options.Layers | None,
    "start": Literal[PICTURE] | None,
    "region": Sequence[str | Literal[REGION]] | None,
    "memory": int | str | None,
    "weights": HINTS["weights"],
}


def plain(annotation):
    """The type without bounds; several values may come in any sequence."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return plain(arguments[0])
    if origin in (Union, types.UnionType):
        return Union[tuple(map(plain, arguments))]  # noqa: UP007 - of a computed list
    if origin is tuple and arguments[-1] is Ellipsis:
        return Sequence[plain(arguments[0])]
    if origin is tuple:
        return tuple[tuple(map(plain, arguments))]
    return annotation


def test_the_options_are_the_fields_of_the_models():
    assert set(HINTS) == set(FIELDS) | set(AMERICAN) | {"preset", "terms"}
    assert options.JobOptions.__required_keys__ == frozenset()


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_an_option_has_the_type_of_its_field(name):
    expected = WIDER.get(name, plain(FIELDS[name].annotation))
    assert HINTS[name] == expected


@pytest.mark.parametrize(("american", "name"), AMERICAN.items())
def test_both_spellings_have_one_type(american, name):
    assert HINTS[american] == HINTS[name]


def test_a_wider_type_holds_what_its_field_does():
    assert set(get_args(HINTS["memory"])) > set(get_args(FIELDS["memory"].annotation))
    assert set(get_args(HINTS["weights"])) > set(get_args(FIELDS["weights"].annotation))
    assert dict[str, Any] != plain(FIELDS["content_layers"].annotation) == dict[str, float]


def test_pictures_come_in_every_form_that_is_loaded():
    assert [form.strip() for form in job.ImageSource.split("|")] == [
        "str",
        "os.PathLike[str]",
        "bytes",
        "bytearray",
        "memoryview",
        "Image",
        "NDArray[Any]",
        "Tensor",
        "Picture",
        "OpenFile",
        "ForeignArray",
    ]
