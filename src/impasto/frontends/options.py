"""The fields of a settings model as options of a command: names, types, bounds and help."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo


def with_options(panels: Mapping[str, type[BaseModel]]) -> Callable[..., Any]:
    """Give a command one option for each field of some models.

    The command takes ``**options`` and gets those that the user has given, by field name.

    Args:
        panels: the models, by the heading that their options stand under in ``--help``.
            A field becomes ``--field-name``; its ``json_schema_extra`` may name another
            ``flag`` and a ``short`` one.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = [
            parameter
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        options = [
            _option(name, field, panel)
            for panel, model in panels.items()
            for name, field in model.model_fields.items()
        ]
        names = {option.name for option in options}

        def called(**arguments: Any) -> Any:
            # Compared by identity: 0 is a value, and equals False.
            not_given = {n for n in names if arguments[n] is None or arguments[n] is False}
            not_given |= {name for name in names if arguments[name] == []}
            return command(**{k: v for k, v in arguments.items() if k not in not_given})

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        called.__annotations__ = {
            parameter.name: parameter.annotation for parameter in (*own, *options)
        }
        return called

    return decorate


def _option(name: str, field: FieldInfo, panel: str) -> inspect.Parameter:
    kind, shown = _type_of(field)
    extra: dict[str, Any] = field.json_schema_extra or {}  # type: ignore[assignment]
    flags = [extra.get("flag", f"--{name.replace('_', '-')}")]
    if "short" in extra:
        flags.append(extra["short"])
    option = typer.Option(
        *flags,
        help=field.description,
        show_default=_shown_default(field),
        rich_help_panel=panel,
        **shown,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.is_required() else None,
        annotation=Annotated[kind if field.is_required() else kind | None, option],
    )


def _type_of(field: FieldInfo) -> tuple[Any, dict[str, Any]]:
    """Choose the command-line type: a number in its bounds, a choice, a switch, or words."""
    kind = _without_none(field.annotation)
    if kind is bool:
        return bool, {}
    if kind is Path:
        return Path, {"metavar": "FILE"}
    if get_origin(kind) is Literal:
        return kind, {}
    if kind is int:
        low, high = _bounds(field)
        return int, {"min": low, "max": high, "metavar": "N"}
    if kind is float:
        return float, {"metavar": "X"}
    if kind is str:
        return str, {"metavar": "TEXT"}
    # Layers with weights, or a list of numbers: words, separated by commas or repeated.
    return list[str], {"metavar": "NAME[=WEIGHT],..." if get_origin(kind) is dict else "X,..."}


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        (annotation,) = [part for part in get_args(annotation) if part is not type(None)]
    return annotation


def _bounds(field: FieldInfo) -> tuple[int | None, int | None]:
    low: int | None = None
    high: int | None = None
    for bound in field.metadata:
        if isinstance(bound, Ge):
            low = int(bound.ge)  # type: ignore[call-overload]
        elif isinstance(bound, Gt):
            low = int(bound.gt) + 1  # type: ignore[call-overload]
        elif isinstance(bound, Le):
            high = int(bound.le)  # type: ignore[call-overload]
        elif isinstance(bound, Lt):
            high = int(bound.lt) - 1  # type: ignore[call-overload]
    return low, high


def _shown_default(field: FieldInfo) -> str | bool:
    default = field.default
    if field.is_required() or default is None or default is False:
        return False
    if isinstance(default, dict):
        return ",".join(f"{name}={weight:g}" for name, weight in default.items())
    return f"{default:.6g}" if isinstance(default, float) else str(default)
