"""Labels: every option has one, and its modes are those in which it can be set."""

import pytest
from pydantic import BaseModel, Field

from impasto.config.labels import GROUPS, MODES, Label, label_of, shown
from impasto.config.settings import Settings
from impasto.engine.defaults import complete
from impasto.errors import SettingsError
from impasto.job.job import Job

# A value that differs from the default, for the options that some modes refuse.
SET = {
    "strength": 0.4,
    "motifs": 0.4,
    "colour": "keep",
    "palette": 0.4,
    "seamless": True,
    "aspect": "1:1",
}


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_option_has_a_label_in_a_group_with_modes(name):
    label = label_of(Settings, name)
    assert label.group in GROUPS
    assert set(label.modes) <= set(MODES)
    assert label.modes
    assert "_" not in label.text
    assert "shown" in Settings.model_fields[name].json_schema_extra


@pytest.mark.parametrize("name", SET)
@pytest.mark.parametrize("mode", MODES)
def test_an_option_is_shown_where_it_is_accepted(mode, name):
    settings = Settings(**{name: SET[name]})
    if mode in label_of(Settings, name).modes:
        complete(Job(mode), settings)
    else:
        with pytest.raises(SettingsError, match=name):
            complete(Job(mode), settings)


def test_a_label_is_declared_at_the_field_and_has_a_fallback():
    class Model(BaseModel):
        grain: float = Field(
            default=0.0, json_schema_extra=shown("Grain", "look", unit="px", modes=("style",))
        )
        paper_tone: float = 0.0

    assert label_of(Model, "grain") == Label("Grain", "look", "px", ("style",))
    assert label_of(Model, "paper_tone") == Label("Paper tone", "schedule")
