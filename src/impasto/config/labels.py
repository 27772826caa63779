"""What an option is called where people see it: label, unit, group and modes.

They are declared at the option's field, beside what it affects, so that every front end that shows
options to people takes them from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel

Mode = Literal["style_transfer", "content", "style"]
MODES: tuple[Mode, ...] = get_args(Mode)
# The modes that have a photograph, and those that have a painting.
WITH_CONTENT: tuple[Mode, ...] = ("style_transfer", "content")
WITH_STYLE: tuple[Mode, ...] = ("style_transfer", "style")

Group = Literal["look", "picture", "schedule", "weights", "network"]
GROUPS: dict[Group, str] = {
    "look": "Look",
    "picture": "Picture",
    "schedule": "Steps and sizes",
    "weights": "Layers and weights",
    "network": "Network",
}
"""The groups of options with their titles, in the order in which they are shown."""

_KEY = "shown"


@dataclass(frozen=True)
class Label:
    """How an option is shown.

    Attributes:
        text: its name, for people.
        group: the group that it belongs to.
        unit: the unit of its value; empty without one.
        modes: the modes in which it has an effect.
    """

    text: str
    group: Group
    unit: str = ""
    modes: tuple[Mode, ...] = MODES


def shown(
    text: str, group: Group, *, unit: str = "", modes: tuple[Mode, ...] = MODES
) -> dict[str, Any]:
    """Return entries for the ``json_schema_extra`` of a field; see ``Label``."""
    return {_KEY: {"text": text, "group": group, "unit": unit, "modes": list(modes)}}


def is_labelled(model: type[BaseModel], name: str) -> bool:
    """Return whether the field ``name`` declares how it is shown."""
    extra = model.model_fields[name].json_schema_extra
    return isinstance(extra, dict) and _KEY in extra


def label_of(model: type[BaseModel], name: str) -> Label:
    """Return how the field ``name`` of ``model`` is shown.

    A field that declares nothing is shown under its own name, among the steps and sizes.
    """
    extra = model.model_fields[name].json_schema_extra
    declared: Any = extra.get(_KEY) if isinstance(extra, dict) else None
    if declared is None:
        return Label(name.replace("_", " ").capitalize(), "schedule")
    return Label(declared["text"], declared["group"], declared["unit"], tuple(declared["modes"]))
