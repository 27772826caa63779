"""Parse options in text: `name=value`, and lists separated by commas."""

from __future__ import annotations

import itertools
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from impasto.config.registry import choices_of
from impasto.config.validation import british
from impasto.errors import SettingsError, one_line


def vary(words: Sequence[str]) -> list[dict[str, Any]]:
    """Parse words such as ``beta=1e4,1e5``; return every combination of their values.

    Values of an option that is itself a list are separated by semicolons.

    Raises:
        SettingsError: a word that is not NAME=VALUE,VALUE, or a name that is there twice.

    Example:
        >>> vary(["seed=1,2", "style_layers=relu1_1;relu1_1,relu2_1"])[1]
        {'seed': '1', 'style_layers': 'relu1_1,relu2_1'}
    """
    choices: dict[str, list[str]] = {}
    for word in words:
        flag, equals, values = word.partition("=")
        name = flag.strip().removeprefix("--").replace("-", "_")
        several = [
            value.strip() for value in values.split(";" if ";" in values else ",") if value.strip()
        ]
        if not (name and equals and several) or name in choices:
            raise SettingsError(
                f"vary: expected NAME=VALUE,VALUE, each name once, got {word!r}; such as "
                "beta=1e4,1e5"
            )
        choices[name] = several
    choices = british(choices)
    return [
        dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())
    ]


_METAVARS: dict[Any, str] = {Path: "FILE", int: "N", float: "X", str: "TEXT"}


def assignments(words: Sequence[str], model: type[BaseModel]) -> dict[str, Any]:
    """Parse words such as ``size=2048`` as fields of ``model``; it checks the values later.

    Raises:
        SettingsError: a word that is not NAME=VALUE.
    """
    values: dict[str, Any] = {}
    for word in words:
        flag, equals, value = word.partition("=")
        name = flag.strip().replace("-", "_")
        if not (name and equals):
            raise SettingsError(
                f"expected NAME=VALUE, got {one_line(repr(word))}; such as size=2048"
            )
        values[name] = value
    return {name: _split(model, name, value) for name, value in british(values).items()}


def words_of(
    model: type[BaseModel], options: Mapping[str, Any], *, also: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the ``options`` that are fields of ``model``, and those named ``also``.

    A string for a field with several values is split at its commas, as on the command line.
    """
    return {
        name: _split(model, name, value) if isinstance(value, str) else value
        for name, value in options.items()
        if name in model.model_fields or name in also
    }


def _split(model: type[BaseModel], name: str, value: str) -> str | list[str]:
    field = model.model_fields.get(name)
    if field is None or get_origin(_type_of(field)[0]) is not list:
        return value
    return [value] if _extra(field).get("whole") else value.split(",")


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra or {}  # type: ignore[return-value]


def _type_of(field: FieldInfo) -> tuple[Any, str | None]:
    """Return the type of a field on the command line, and its placeholder in the help."""
    if (choices := choices_of(field)) is not None:
        return str, "|".join(choices)
    kind = _without_none(field.annotation)
    if kind is bool:
        return bool, None
    if kind in _METAVARS:
        return str, _METAVARS[kind]
    # Layers with weights, or a list of numbers: strings, separated by commas or repeated.
    return list[str], "NAME[=WEIGHT],..." if get_origin(kind) is dict else "X,..."


def _without_none(annotation: Any) -> Any:
    """Return the type of a field's values, or the first of several types."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
