"""The README's table of options says what settings.py says."""

import re
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from impasto.config.registry import choices_of
from impasto.config.settings import Runtime, Settings

README = Path(__file__).parents[2] / "README.md"
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def rows() -> str:
    lines = ["| option | default | meaning |", "|---|---|---|"]
    for model in (Settings, Runtime):
        for name, field in model.model_fields.items():
            cells = (f"`{name}`", shown_default(field), meaning(field))
            lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def shown_default(field: FieldInfo) -> str:
    default: Any = field.default
    if default is None:
        return ""
    if isinstance(default, dict):
        return "`" + " ".join(f"{name}={weight:g}" for name, weight in default.items()) + "`"
    return f"`{default:.6g}`" if isinstance(default, float) else f"`{default}`"


def meaning(field: FieldInfo) -> str:
    limits = [
        f"{sign} {getattr(bound, word):g}"
        for bound in field.metadata
        for word, sign in BOUNDS.items()
        if hasattr(bound, word) and getattr(bound, word) < 2**31
    ]
    choices = choices_of(field)
    if choices is not None:
        limits = [", ".join(f"`{choice}`" for choice in choices)]
    told = str(field.description)
    return f"{told} ({', '.join(limits)})" if limits else told


def test_the_table_of_options_is_complete_and_true() -> None:
    text = README.read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- options:.*?-->\n(.*?)\n?<!-- /options -->", text, flags=re.S)
    assert table.strip() == rows(), f"put this between the marks in README.md:\n\n{rows()}\n"
