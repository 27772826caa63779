"""The help of a mode: what people use, on one screen; ``--help-all`` has the rest."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import typer
from pydantic import BaseModel
from typer.core import TyperCommand

from impasto.config.labels import GROUPS, Mode, is_labelled, label_of
from impasto.config.words import _extra, _type_of

# The width of the column with the flags, and the widest text that is comfortable to read.
_FLAGS_COLUMN = 28
_WIDEST = 100


@dataclass(frozen=True)
class Line:
    """An option on the first screen.

    Attributes:
        flags: such as ``-o, --output FILE``.
        text: what it is for, short enough for one line.
    """

    flags: str
    text: str


def lines_of(models: Mapping[str, type[BaseModel]], mode: Mode) -> list[Line]:
    """Return the options with a ``brief`` at their field, for those that ``mode`` takes."""
    groups = list(GROUPS)
    fields = [
        (model, name)
        for model in models.values()
        for name, field in model.model_fields.items()
        if "brief" in _extra(field) and mode in label_of(model, name).modes
    ]
    # What has no group, such as the output, comes first.
    fields.sort(
        key=lambda found: groups.index(label_of(*found).group) if is_labelled(*found) else -1
    )
    return [
        Line(_flags(name, model), _extra(model.model_fields[name])["brief"])
        for model, name in fields
    ]


def _flags(name: str, model: type[BaseModel]) -> str:
    field = model.model_fields[name]
    extra = _extra(field)
    placeholder = extra.get("brief_metavar") or _type_of(field)[1] or ""
    short = f"{extra['short']}, " if "short" in extra else "    "
    return f"{short}--{name.replace('_', '-')} {placeholder}".rstrip()


class ModeCommand(TyperCommand):
    """A command whose ``--help`` is one screen.

    Attributes:
        pictures: the arguments, as the usage shows them.
        example: the words of an example, after ``impasto`` and the name.
        lines: the options of the first screen.
    """

    pictures: str
    example: str
    lines: list[Line]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Print the first screen."""
        width = min(shutil.get_terminal_size().columns, _WIDEST)
        column = min(_FLAGS_COLUMN, round(0.6 * width))
        rows = [
            *_wrapped(f"Usage: {ctx.command_path} {self.pictures} [OPTIONS]", width),
            "",
            *_wrapped(str(self.help), width),
            "",
            *_wrapped(f"  {ctx.command_path} {self.example}", width, "    "),
            "",
        ]
        for line in [*self.lines, Line("-h, --help", "Show this; --help-all shows every option.")]:
            begin = f"  {line.flags}"
            if len(begin) >= column:
                rows.append(begin)
                begin = ""
            texts = textwrap.wrap(line.text, max(width - column, 10))
            rows += [
                f"{begin if number == 0 else '':{column}}{text}"
                for number, text in enumerate(texts)
            ]
        formatter.write("\n".join(rows) + "\n")

    def get_help(self, ctx: Any) -> str:
        """Return the first screen."""
        formatter = ctx.make_formatter()
        self.format_help(ctx, formatter)
        return str(formatter.getvalue()).rstrip("\n")


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)


def mode_command(pictures: str, example: str, lines: list[Line]) -> type[ModeCommand]:
    """Return the class of a command with this first screen."""
    facts = {"pictures": pictures, "example": example, "lines": lines}
    return type("ModeCommand", (ModeCommand,), facts)


def show_all(ctx: typer.Context, asked: bool) -> None:
    """Print every option in groups, and exit."""
    if asked:
        TyperCommand.format_help(ctx.command, ctx, ctx.make_formatter())  # type: ignore[arg-type]
        raise typer.Exit
