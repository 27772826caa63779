"""Changes of settings during a painting: which are allowed, and their effect on targets."""

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
    """List the fields of Settings that may change while painting."""
    return tuple(
        name
        for name, field in Settings.model_fields.items()
        if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("steerable")
    )


def check_change(job: Job, settings: Settings, change: Mapping[str, Any]) -> Settings:
    """Return ``settings`` with ``change`` applied.

    Args:
        job: the job being painted.
        settings: the current settings.
        change: fields of Settings by name.

    Raises:
        SettingsError: a field that may not change while painting, a value out of its bounds,
            or a change that leaves nothing to minimise.
    """
    allowed, change = steerable(), british(change)
    for name in change:
        if name not in allowed:
            raise SettingsError(
                f"{name}: cannot change while painting: expected one of {', '.join(allowed)}; "
                "start another painting for it"
            )
    changed = check(Settings, overlay(settings.model_dump(), change))
    return defaults.complete(job, changed)


def with_changes(job: Job, settings: Settings, decisions: Decisions) -> Settings:
    """Return ``settings`` with the changes of an earlier painting applied.

    Raises:
        SettingsError: as ``check_change`` does.
    """
    for change in decisions.changes:
        settings = check_change(job, settings, change.settings)
    return settings


def target_options(settings: Settings) -> dict[str, Any]:
    """Return the values that the targets of an objective depend on.

    Args:
        settings: with alpha and beta in place of strength.
    """
    return values_without_weights(settings, *COMPARISON)
