"""The options as text for ``help()``: each with its default, its bounds and its description."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic.fields import FieldInfo

from impasto.config.presets import PRESETS
from impasto.config.registry import choices_of
from impasto.config.settings import Runtime, Settings

Function = TypeVar("Function", bound=Callable[..., Any])

_WIDTH = 92
_SIGNS = (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below"))


def with_options(function: Function) -> Function:
    """Append the options to the docstring of a function that takes them."""
    function.__doc__ = f"{function.__doc__}\n{options_text()}"
    return function


def options_text() -> str:
    """Return all options, indented as a part of a docstring."""
    lines = ["    Options:", *_lines("preset", f"one of {', '.join(PRESETS)}.")]
    lines += _lines("terms", "losses of one's own, by name: functions, or LossTerms.")
    for model in (Settings, Runtime):
        for name, field in model.model_fields.items():
            lines += _lines(name, f"{_values(field)}. {field.description}")
    return "\n".join(lines)


def _lines(name: str, text: str) -> list[str]:
    return textwrap.wrap(
        f"{name}: {text}", _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 12
    )


def _values(field: FieldInfo) -> str:
    """Return the default, the choices and the bounds of a field."""
    parts = [f"default {field.default!r}"]
    if choices := choices_of(field):
        parts.append(f"one of {', '.join(choices)}")
    parts += [
        f"{words} {getattr(bound, sign):g}"
        for bound in field.metadata
        for sign, words in _SIGNS
        if getattr(bound, sign, None) is not None
    ]
    return ", ".join(parts)
