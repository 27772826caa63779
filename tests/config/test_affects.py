"""Every option says what it affects; caches, replay and timing follow from that."""

import pytest
from pydantic import Field, create_model

from impasto.config.affects import (
    ASPECTS,
    COMPARISON,
    affecting,
    affects,
    aspects_of,
    values,
    values_without_weights,
)
from impasto.config.settings import Settings, make_settings
from impasto.config.validation import Options


def unmarked(model):
    """Names of the fields that do not say what they affect, or say what there is not."""
    return [
        name
        for name in model.model_fields
        if not aspects_of(model, name) or not aspects_of(model, name) <= set(ASPECTS)
    ]


def test_every_field_says_what_it_affects():
    assert unmarked(Settings) == []


@pytest.mark.parametrize("extra", [None, {}, {"affects": []}, {"affects": ["colour"]}])
def test_a_field_that_does_not_is_found(extra):
    field = Field(default=1, json_schema_extra=extra)
    model = create_model("Model", __base__=Settings, sharpness=(int, field))
    assert unmarked(model) == ["sharpness"]


def test_each_aspect_has_a_field():
    assert all(affecting(Settings, aspect) for aspect in ASPECTS)


def test_what_the_network_depends_on():
    assert set(affecting(Settings, "network")) == {"network", "pooling", "padding", "seamless"}


def test_what_changes_the_schedule_or_smoothness_alone_is_compared_with_the_same():
    beside = set(Settings.model_fields) - set(affecting(Settings, *COMPARISON))
    assert beside == {
        "motifs",
        "size",
        "aspect",
        "seed",
        "start",
        "total_variation",
        "palette",
        "margin",
        "optimiser",
        "iterations",
        "learning_rate",
        "history",
        "coarsest",
        "size_ratio",
    }


# Of these a style's statistics depend only through the network and the pictures themselves.
@pytest.mark.parametrize(
    "change",
    [
        {"size": 99},
        {"seed": 5},
        {"start": "noise"},
        {"content_layers": "relu3_1"},
        {"alpha": 7},
        {"beta": 7},
        {"total_variation": 7},
        {"colour": "match"},
        {"style_scale": (2,)},
        {"margin": 0.1},
        {"normalisation": "paper"},
        {"optimiser": "adam"},
        {"aspect": "1:2"},
        {"style_layers": dict.fromkeys(Settings().layers_of_style, 2.0)},
    ],
)
def test_what_leaves_a_styles_statistics_as_they_are(change):
    assert about_style(**{"alpha": 1, "beta": 1} | change) == about_style(alpha=1, beta=1)


@pytest.mark.parametrize(
    "change",
    [
        {"style_layers": "relu1_1"},
        {"statistic": "moments"},
        {"style_weights": (1, 2)},
        {"network": "vgg19"},
        {"pooling": "average"},
        {"padding": "zeros"},
        {"seamless": True},
        {"beta": 0},
    ],
)
def test_what_changes_a_styles_statistics(change):
    assert about_style(**{"alpha": 1, "beta": 1} | change) != about_style(alpha=1, beta=1)


def about_style(**options):
    options = {"style_layers": Settings().layers_of_style} | options
    return values_without_weights(make_settings(**options), "network", "style_target")


def test_values_are_those_of_the_options_that_matter():
    assert values(make_settings(style_weights=(1, 2)), "style_target")["style_weights"] == (1, 2)
    assert "size" not in values(Settings(), *COMPARISON)


def test_more_stands_beside_what_an_option_affects():
    assert affects("schedule", steerable=True, metavar="N") == {
        "affects": ["schedule"],
        "steerable": True,
        "metavar": "N",
    }


def test_other_groups_need_not_say():
    assert affecting(Options, *ASPECTS) == ()
