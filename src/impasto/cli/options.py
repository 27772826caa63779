"""Turn the fields of options models into command line options, with types, bounds and help."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from impasto.cli.short_help import Line, lines_of, mode_command, show_all
from impasto.config.labels import GROUPS, Mode, is_labelled, label_of
from impasto.config.presets import PRESETS
from impasto.config.validation import AMERICAN, british
from impasto.config.words import _extra, _type_of
from impasto.output.options import QUIET

_BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help=QUIET)]

Action = Callable[[Mode, dict[str, Any], str | None, list[str]], None]
_Preset = Annotated[
    str,
    typer.Option(
        "--preset",
        help=f"Settings to begin from: {', '.join(PRESETS)}.",
        rich_help_panel="The picture",
        autocompletion=lambda incomplete: [n for n in PRESETS if n.startswith(incomplete)],
    ),
]
_HelpAll = Annotated[
    bool,
    typer.Option(
        "--help-all", is_eager=True, callback=show_all, help="Show every option, in groups."
    ),
]
_PRESET_LINE = Line("    --preset NAME", "Looks: gentle, bold, drawing, best ...")
_Content = Annotated[str, typer.Argument(metavar="CONTENT", help="The photograph.")]
_Styles = Annotated[list[str], typer.Argument(metavar="STYLE", help="The paintings.")]
_Image = Annotated[str, typer.Argument(metavar="IMAGE", help="The picture to rebuild.")]
_Images = Annotated[list[str], typer.Argument(metavar="IMAGE", help="The paintings.")]


@dataclass(frozen=True)
class ModeHelp:
    """The help of a mode's command.

    Attributes:
        text: what the command does.
        example: its words after the command's name, for the first screen.
    """

    text: str
    example: str


def add_modes(
    app: typer.Typer, panels: Mapping[str, type[BaseModel]], action: Action, **helps: ModeHelp
) -> None:
    """Add the commands ``transfer``, ``content`` and ``style`` to ``app``.

    Args:
        app: the Typer application.
        panels: as for :func:`with_options`.
        action: called with the mode, the user's options, the content picture and the styles.
        helps: the help of each command, by its name.
    """

    def command(mode: Mode, pictures: str) -> Callable[..., Any]:
        name = "transfer" if mode == "style_transfer" else mode
        lines = [*lines_of(panels, mode), _PRESET_LINE]
        if any(line.flags.startswith("-o") for line in lines):
            pictures += " -o OUTPUT"
        kind = mode_command(pictures, helps[name].example, lines)
        options = with_options(panels, mode)
        return lambda function: app.command(name, cls=kind, help=helps[name].text)(
            options(function)
        )

    @command("style_transfer", "CONTENT STYLE...")
    def transfer(
        content: _Content,
        styles: _Styles,
        preset: _Preset = "default",
        help_all: _HelpAll = False,
        **chosen: Any,
    ) -> None:
        action("style_transfer", chosen | {"preset": preset}, content, styles)

    @command("content", "IMAGE")
    def content(
        image: _Image, preset: _Preset = "default", help_all: _HelpAll = False, **chosen: Any
    ) -> None:
        action("content", chosen | {"preset": preset}, image, [])

    @command("style", "IMAGE...")
    def style(
        images: _Images, preset: _Preset = "default", help_all: _HelpAll = False, **chosen: Any
    ) -> None:
        action("style", chosen | {"preset": preset}, None, images)


def with_options(
    panels: Mapping[str, type[BaseModel]], mode: Mode | None = None
) -> Callable[..., Any]:
    """Add an option to a command for each field of some models.

    The command takes ``**options``: the user's values by field name.

    Args:
        panels: the models, by the heading of their options in ``--help``. A field becomes
            ``--field-name``; its ``json_schema_extra`` may name another ``flag``, a ``short``
            one and a ``metavar``. A list is split at commas, unless its field is ``whole``.
            Values are passed on as strings. The model validates them, so that its messages are
            the same in every front end.
        mode: the command's only mode: it does not show the options without an effect in it.
    """

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        own = [
            parameter
            for parameter in inspect.signature(command, eval_str=True).parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        options = [
            option
            for panel, model in panels.items()
            for name, field in model.model_fields.items()
            for option in _options(
                name,
                field,
                GROUPS[label_of(model, name).group] if is_labelled(model, name) else panel,
                hidden=mode is not None and mode not in label_of(model, name).modes,
            )
        ]
        names = {option.name for option in options}
        whole = {
            name
            for model in panels.values()
            for name, field in model.model_fields.items()
            if _extra(field).get("whole")
        }

        def called(**arguments: Any) -> Any:
            # Compared by identity: 0 is a value, and equals False.
            left_out = {n for n in names if arguments[n] is None or arguments[n] is False}
            left_out |= {name for name in names if arguments[name] == []}
            chosen = {k: v for k, v in arguments.items() if k not in left_out}
            for name in names & chosen.keys():
                if isinstance(chosen[name], list) and name not in whole:
                    chosen[name] = [word for words in chosen[name] for word in words.split(",")]
            return command(**british(chosen))

        called.__name__, called.__doc__ = command.__name__, command.__doc__
        called.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        called.__annotations__ = {
            parameter.name: parameter.annotation for parameter in (*own, *options)
        }
        return called

    return decorate


def _options(name: str, field: FieldInfo, panel: str, *, hidden: bool) -> list[inspect.Parameter]:
    """Return the option, and a hidden one with the American spelling."""
    american = [word for word, british_name in AMERICAN.items() if british_name == name]
    return [
        _option(name, field, panel, hidden=hidden),
        *(_option(word, field, panel, hidden=True) for word in american),
    ]


def _option(name: str, field: FieldInfo, panel: str, *, hidden: bool = False) -> inspect.Parameter:
    kind, metavar = _type_of(field)
    extra = _extra(field)
    flags = [extra.get("flag", f"--{name.replace('_', '-')}")]
    if "short" in extra:
        flags.append(extra["short"])
    option = typer.Option(
        *flags,
        help=_help(field),
        show_default=False,
        rich_help_panel=panel,
        metavar=extra.get("metavar", metavar),
        hidden=hidden,
        autocompletion=_completion(metavar.split("|") if metavar else []),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if field.is_required() else None,
        annotation=Annotated[kind if field.is_required() else kind | None, option],
    )


def _completion(words: Iterable[str]) -> Callable[[str], list[str]] | None:
    """Return what a shell proposes for an option that takes one of these words."""
    fixed = [word for word in words if word.islower()]
    if not fixed:
        return None

    def complete(incomplete: str) -> list[str]:
        return [word for word in fixed if word.startswith(incomplete)]

    return complete


def _help(field: FieldInfo) -> str:
    """Return the help text: description, bounds and default."""
    facts = [
        f"{words} {getattr(bound, name):.6g}"
        for bound in field.metadata
        for name, words in _BOUNDS.items()
        if hasattr(bound, name)
    ]
    default = field.default
    if isinstance(default, dict):
        default = ", ".join(f"{name}={weight:g}" for name, weight in default.items())
    elif isinstance(default, float):
        default = f"{default:.6g}"
    if not (field.is_required() or default is None or default is False):
        facts.append(f"default {default}")
    return f"{field.description} ({'; '.join(facts)})" if facts else str(field.description)
