"""What may be changed while a painting is under way, and what it then should come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from impasto.config.affects import COMPARISON, values_without_weights
from impasto.config.settings import Settings, overlay
from impasto.config.validation import british, check
from impasto.engine import defaults
from impasto.errors import SettingsError
from impasto.job.job import Job
from impasto.job.recipe import Decisions


def steerable() -> tuple[str, ...]:
    """List the fields of Settings that may change while painting: those marked so there."""
    return tuple(
        name
        for name, field in Settings.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("steerable")
    )


def check_change(job: Job, settings: Settings, change: Mapping[str, Any]) -> Settings:
    """Return ``settings`` with ``change`` made, or say why that cannot be.

    Args:
        job: the painting under way.
        settings: what it is painted with so far.
        change: fields of Settings by name.

    Raises:
        SettingsError: a field that may not change while painting, a value out of its bounds,
            or a change that leaves nothing to minimise.
    """
    may, change = steerable(), british(change)
    for name in change:
        if name not in may:
            raise SettingsError(
                f"{name}: cannot change while painting: expected one of {', '.join(may)}; "
                "begin another painting for it"
            )
    changed = check(Settings, overlay(settings.model_dump(), change))
    return defaults.complete(job, changed)


def steered(job: Job, settings: Settings, decisions: Decisions) -> Settings:
    """Return ``settings`` with the changes of an earlier painting made.

    Raises:
        SettingsError: as ``check_change`` does.
    """
    for change in decisions.changes:
        settings = check_change(job, settings, change.settings)
    return settings


def needs_targets(settings: Settings) -> dict[str, Any]:
    """Return what the targets of an objective depend on; weights alone they do not.

    Args:
        settings: with alpha and beta in the place of strength.
    """
    return values_without_weights(settings, *COMPARISON)
