"""What each option affects, as declared at its field.

Cache keys, cached targets, replay and timing take the options that they depend on from here. So one
word at the field of a new option is enough for all of them. A field also has the value with which
older files, which lack it, are read.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import BaseModel

Aspect = Literal["network", "pictures", "style_target", "content_target", "weights", "schedule"]
"""What an option can affect.

network: how features are computed.
pictures: which pixels the network is shown, apart from their size. It is an aspect of its own
    because entries that are cached by their pixels do not depend on how the pixels were made.
style_target: the style statistics that a picture's features are turned into.
content_target: the content features, and what a difference from them counts.
weights: how much a loss term counts.
schedule: sizes, starting image and optimiser.
"""
ASPECTS: tuple[Aspect, ...] = get_args(Aspect)
# What the painting is compared with, and by which network.
COMPARISON: tuple[Aspect, ...] = ("network", "pictures", "style_target", "content_target")


def affects(*aspects: Aspect, steerable: bool = False, **extra: Any) -> dict[str, Any]:
    """Return the ``json_schema_extra`` of a field.

    Args:
        aspects: what the option affects; at least one.
        steerable: whether it may change while painting.
        extra: more entries, such as ``metavar``. An option that was added to files on disk has
            ``as_before``: the value that means what was done before there was the option.
    """
    return {"affects": list(aspects), **({"steerable": True} if steerable else {}), **extra}


def as_before(model: type[BaseModel]) -> dict[str, Any]:
    """Return the values with which a file is read that was written before the options existed."""
    return {
        name: field.json_schema_extra["as_before"]
        for name, field in model.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and "as_before" in field.json_schema_extra
    }


def aspects_of(model: type[BaseModel], name: str) -> frozenset[Aspect]:
    """Return the aspects that the field ``name`` of ``model`` declares; empty if it has none."""
    extra = model.model_fields[name].json_schema_extra
    declared: Any = extra.get("affects", ()) if isinstance(extra, dict) else ()
    return frozenset(declared)


def affecting(model: type[BaseModel], *aspects: Aspect) -> tuple[str, ...]:
    """Return the fields of ``model`` that affect any of ``aspects``."""
    wanted = frozenset(aspects)
    return tuple(name for name in model.model_fields if aspects_of(model, name) & wanted)


def values(options: BaseModel, *aspects: Aspect) -> dict[str, Any]:
    """Return the options that affect any of ``aspects``, with their values."""
    return options.model_dump(include=set(affecting(type(options), *aspects)))


def values_without_weights(options: BaseModel, *aspects: Aspect) -> dict[str, Any]:
    """Return the options that affect any of ``aspects``, with weights reduced to what they select.

    Targets depend on which layers and terms count, and not on how much: of layers with weights
    the names are left, and of a number whether it is above 0.
    """
    selected = values(options, *aspects)
    for name in affecting(type(options), "weights"):
        if isinstance(selected.get(name), dict):
            selected[name] = list(selected[name])
        elif isinstance(selected.get(name), (int, float)):
            selected[name] = selected[name] > 0
    return selected
