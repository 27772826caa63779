"""The form of the page, generated from the settings model; new options appear by themselves."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo

from impasto.config.labels import GROUPS, label_of
from impasto.config.presets import PRESETS
from impasto.config.registry import choices_of
from impasto.config.settings import MODES, Mode, Settings, make_settings
from impasto.engine.defaults import complete
from impasto.errors import SettingsError
from impasto.job.job import Job

# Options that are shown at once; all others are in the laboratory.
_UP_FRONT = ("strength", "motifs", "size")
# Options that name files; the page uploads pictures instead.
_NAMES_FILES = ("region",)
Kind = Literal["integer", "number", "choice", "flag", "text", "weights", "numbers"]


class Option(BaseModel):
    """One field of the form."""

    name: str
    label: str = Field(description="Its name, for people.")
    unit: str
    group: str = Field(description="The name of the group that it belongs to.")
    modes: list[Mode] = Field(description="The modes in which it has an effect.")
    kind: Kind
    description: str
    default: Any = None
    usual: Any = Field(
        default=None, description="In style_transfer mode, what the default comes to."
    )
    choices: list[str] | None = None
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    up_front: bool = False
    steerable: bool = Field(default=False, description="Whether it can change while painting.")


class FormGroup(BaseModel):
    """A group of options."""

    name: str
    title: str


class FormPreset(BaseModel):
    """A preset: settings to begin from."""

    name: str
    told: str = Field(description="What it is, in a few words.")
    modes: list[Mode] = Field(description="The modes that it can be used in.")


class Form(BaseModel):
    """All presets and options."""

    groups: list[FormGroup]
    presets: list[FormPreset]
    options: list[Option]


_BOUNDS = {"ge": "at_least", "gt": "above", "le": "at_most", "lt": "below"}
_KINDS: dict[Any, Kind] = {bool: "flag", int: "integer", float: "number", str: "text"}


def make_form() -> Form:
    """Describe the fields of Settings for the page."""
    usual = complete(Job("style_transfer"), Settings())
    options = [
        _option(name, field, getattr(usual, name))
        for name, field in Settings.model_fields.items()
        if name not in _NAMES_FILES
    ]
    options.sort(key=lambda option: _UP_FRONT.index(option.name) if option.up_front else 99)
    presets = [
        FormPreset(name=name, told=preset.summary, modes=_modes_of(name))
        for name, preset in PRESETS.items()
    ]
    groups = [FormGroup(name=name, title=title) for name, title in GROUPS.items()]
    return Form(groups=groups, presets=presets, options=options)


def _modes_of(preset: str) -> list[Mode]:
    """Return the modes in which a preset's settings are valid."""

    def is_valid(mode: Mode) -> bool:
        try:
            complete(Job(mode), make_settings(preset=preset))
        except SettingsError:
            return False
        return True

    return [mode for mode in MODES if is_valid(mode)]


def _option(name: str, field: FieldInfo, usual: Any) -> Option:
    annotation: Any = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        # Of several types the form offers the first; for size that is the longest side.
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    metadata = list(field.metadata)
    if get_origin(annotation) is Annotated:
        annotation, *own = get_args(annotation)
        # A Field holds bounds; a validator, such as the one that reads layers, has none.
        for part in own:
            metadata += part.metadata if isinstance(part, FieldInfo) else [part]
    kind: Kind = _KINDS.get(annotation, "text")
    choices = choices_of(field)
    if choices is not None:
        kind = "choice"
    elif get_origin(annotation) is dict:
        kind = "weights"
    elif get_origin(annotation) in (tuple, list):
        kind = "numbers"
    bounds = {
        word: getattr(bound, limit)
        for bound in metadata
        for limit, word in _BOUNDS.items()
        if getattr(bound, limit, None) is not None
    }
    label = label_of(Settings, name)
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return Option(
        name=name,
        label=label.text,
        unit=label.unit,
        group=label.group,
        modes=list(label.modes),
        kind=kind,
        description=str(field.description),
        default=field.default,
        usual=usual,
        choices=None if choices is None else list(choices),
        up_front=name in _UP_FRONT,
        steerable=bool(extra.get("steerable")),
        **bounds,
    )
