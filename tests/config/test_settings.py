"""The options: each checked once, explained in one line, and carried anywhere as JSON."""

import json
import math

import numpy as np
import pydantic
import pytest

from impasto.config import settings as options
from impasto.config.presets import Preset
from impasto.config.settings import Runtime, Settings, make_runtime, make_settings
from impasto.errors import SettingsError

MODELS = [Settings, Runtime]
FIELDS = [(model, name) for model in MODELS for name in model.model_fields]
CHANGED = {
    "size": 768,
    "aspect": "16:9",
    "seed": 7,
    "start": "noise",
    "network": "vgg19",
    "pooling": "average",
    "padding": "zeros",
    "content_layers": {"relu3_4": 2.0, "conv4_2": 1.0},
    "style_layers": {"pool1": 0.25},
    "statistic": "mean+covariance",
    "region": ("mask.png:night.jpg",),
    "seamless": True,
    "alpha": 0.5,
    "beta": 3.0,
    "total_variation": 0.0,
    "style_weights": (1.0, 3.0),
    "normalisation": "paper",
    "optimiser": "adam",
    "iterations": 11,
    "learning_rate": 0.1,
    "history": 5,
    "coarsest": 64,
    "size_ratio": 2.0,
    "margin": 0.1,
    "style_scale": (0.5, 2.0),
    "colour": "keep",
    "palette": 0.0,
}


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_every_option_is_described_in_a_sentence(model, name):
    description = model.model_fields[name].description
    assert description
    assert description.endswith(".")


@pytest.mark.parametrize(("model", "name"), FIELDS)
def test_every_number_has_bounds(model, name):
    schema = model.model_json_schema()["properties"][name]
    kinds = schema.get("anyOf", [schema])
    for kind in kinds:
        if kind.get("type") in ("integer", "number"):
            assert {"minimum", "exclusiveMinimum"} & kind.keys()


@pytest.mark.parametrize("model", MODELS)
def test_the_schema_can_build_a_form(model):
    properties = model.model_json_schema()["properties"]
    assert properties.keys() == model.model_fields.keys()
    assert all("default" in schema for schema in properties.values())


def test_the_schema_carries_bounds_choices_and_defaults():
    properties = Settings.model_json_schema()["properties"]
    longest, original, both = properties["size"]["anyOf"]
    assert (longest["minimum"], longest["maximum"]) == (16, 65536)
    assert original["const"] == "original"
    assert [side["minimum"] for side in both["prefixItems"]] == [16, 16]
    assert properties["size"]["default"] == 512
    assert properties["network"]["enum"] == ["vgg16", "vgg19"]
    assert properties["content_layers"]["additionalProperties"] == {"type": "number"}


def test_the_paper_s_layers_are_the_default():
    chosen = Settings()
    assert list(chosen.content_layers) == ["relu4_2"]
    paper = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"]
    assert list(Settings(motifs=1).layers_of_style) == paper
    assert make_settings() == chosen


@pytest.mark.parametrize("model", MODELS)
def test_options_are_frozen(model):
    name = next(iter(model.model_fields))
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        setattr(model(), name, 1)


def test_two_settings_do_not_share_their_layers():
    for name in ("content_layers", "layers_of_style"):
        getattr(Settings(), name)["pool5"] = 9.0
        assert "pool5" not in getattr(Settings(), name)


def test_every_field_can_be_changed_and_comes_back_from_json():
    # Strength stands in the place of two others, motifs in that of style_layers.
    assert CHANGED.keys() == Settings.model_fields.keys() - {"strength", "motifs"}
    changed = make_settings(**CHANGED)
    assert changed.model_dump() == {**CHANGED, "strength": None, "motifs": None}
    assert Settings.model_validate_json(changed.model_dump_json()) == changed
    assert make_settings(**json.loads(changed.model_dump_json())) == changed


def test_the_order_of_the_layers_comes_back_from_json():
    changed = make_settings(style_layers="relu3_1,relu1_1")
    again = Settings.model_validate_json(changed.model_dump_json())
    assert list(again.style_layers) == ["relu3_1", "relu1_1"]


def test_runtime_comes_back_from_json():
    runtime = make_runtime(
        device="cuda:1", precision="bf16", threads=2, weights="w.pth", offline=True
    )
    assert Runtime.model_validate_json(runtime.model_dump_json()) == runtime


@pytest.mark.parametrize(
    ("option", "value", "parsed"),
    [
        ("content_layers", "conv4_2", {"conv4_2": 1.0}),
        ("style_layers", ["relu1_1", "relu2_1=0.5"], {"relu1_1": 1.0, "relu2_1": 0.5}),
        ("size", "768", 768),
        ("beta", "1e5", 1e5),
        ("style_weights", [2, 1], (2.0, 1.0)),
        ("style_weights", None, None),
    ],
)
def test_values_arrive_as_words_too(option, value, parsed):
    assert getattr(make_settings(**{option: value}), option) == parsed


BAD = [
    ("size", 15),
    ("size", 65537),
    ("size", 512.5),
    ("size", "large"),
    ("size", None),
    ("aspect", "16x9"),
    ("aspect", "-1:2"),
    ("seed", -1),
    ("seed", 2**63),
    ("start", ""),
    ("network", "vgg11"),
    ("pooling", "median"),
    ("padding", "reflect"),
    ("content_layers", "relu9_9"),
    ("content_layers", ""),
    ("content_layers", []),
    ("content_layers", {}),
    ("content_layers", None),
    ("content_layers", 4),
    ("content_layers", {"relu4_2": None}),
    ("style_layers", "relu3_4"),
    ("style_layers", "relu1_1=-1"),
    ("style_layers", "relu1_1=0"),
    ("style_layers", "relu1_1=nan"),
    ("style_layers", "relu1_1=inf"),
    ("style_layers", "relu1_1=much"),
    ("style_layers", "relu1_1,relu1_1"),
    ("alpha", -0.5),
    ("alpha", math.nan),
    ("beta", math.inf),
    ("beta", -1),
    ("total_variation", -1),
    ("style_weights", []),
    ("style_weights", [0, 0]),
    ("style_weights", [1, -1]),
    ("style_weights", "much"),
    ("normalisation", "none"),
    ("optimiser", "sgd"),
    ("iterations", -1),
    ("learning_rate", 0),
    ("learning_rate", 11),
    ("history", 0),
    ("history", 201),
    ("coarsest", 15),
    ("size_ratio", 1.05),
    ("size_ratio", 9),
    ("margin", -0.1),
    ("margin", 0.6),
]


@pytest.mark.parametrize(("option", "value"), BAD)
def test_a_bad_value_is_refused_in_one_line(option, value):
    with pytest.raises(SettingsError) as raised:
        make_settings(**{option: value})
    message = str(raised.value)
    assert "\n" not in message
    assert option in message
    told = message.count("expected") == message.count(", got ") == 1
    assert told or "vgg16 has no layer" in message


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("device", "tpu"),
        ("device", "cuda:x"),
        ("precision", "fp8"),
        ("threads", 0),
        ("offline", "perhaps"),
    ],
)
def test_a_bad_runtime_value_is_refused_in_one_line(option, value):
    with pytest.raises(SettingsError, match=rf"^{option}: expected [^\n]+, got {value!r}$"):
        make_runtime(**{option: value})


def test_known_messages():
    def message(**wrong):
        with pytest.raises(SettingsError) as raised:
            make_settings(**wrong)
        return str(raised.value)

    assert message(size=3) == "size: expected a number greater than or equal to 16, got 3"
    assert message(pooling="median") == "pooling: expected 'max' or 'average', got 'median'"
    assert message(style_layers="relu1_1=much") == (
        "style_layers: expected a layer as NAME or NAME=WEIGHT, got 'relu1_1=much'; "
        "write relu4_2=0.5"
    )
    assert message(content_layers="relu4-2").startswith(
        "content_layers: vgg16 has no layer 'relu4-2': did you mean relu4_2"
    )
    assert message(aspect="16x9") == "aspect: expected something like 16:9 or 1:1, got '16x9'"
    assert message(seed="zero") == "seed: expected a valid integer, got 'zero'"
    assert (
        message(size=16.5) == "size: expected a whole number of pixels, both sides such as 96x64, "
        "or original, got 16.5"
    )
    assert message(start="") == "start: expected at least 1 character, got ''"


def test_a_value_that_prints_on_several_lines_is_refused_in_one():
    with pytest.raises(SettingsError, match=r"^alpha: expected a valid number, got [^\n]+$"):
        make_settings(alpha=np.eye(3))


def test_two_bad_values_are_both_named_on_one_line():
    with pytest.raises(SettingsError, match=r"^size: [^\n]+; alpha: [^\n]+$"):
        make_settings(size=3, alpha=-1)


@pytest.mark.parametrize(
    ("make", "name", "alike"),
    [
        (make_settings, "siz", "size?"),
        (make_settings, "style-layers", "style_layers"),
        (make_settings, "Seed", "seed"),
        (make_runtime, "thread", "threads"),
    ],
)
def test_an_unknown_option_is_refused_with_those_that_are_alike(make, name, alike):
    with pytest.raises(SettingsError) as refused:
        make(**{name: 1})
    assert str(refused.value).startswith(f"no option {name!r}: did you mean {alike}")


@pytest.mark.parametrize("make", [make_settings, make_runtime])
def test_an_option_that_is_like_no_other_is_refused_without_a_list(make):
    with pytest.raises(SettingsError, match=r"no option 'zzz': .* --help-all lists") as refused:
        make(zzz=1)
    assert len(str(refused.value)) < 100


@pytest.mark.parametrize(
    ("american", "name", "value"), [("color", "colour", "keep"), ("optimizer", "optimiser", "adam")]
)
def test_american_spelling_is_read_and_british_is_written(american, name, value):
    settings = make_settings(**{american: value})
    assert getattr(settings, name) == value
    assert settings.model_dump(exclude_unset=True) == {name: value}
    assert Settings(**{american: value}) == settings
    assert Settings.model_validate_json(json.dumps({american: value})) == settings
    # It overrides what came before, as the other spelling does.
    assert (
        getattr(
            make_settings(
                Settings(**{name: "lbfgs" if value == "adam" else "free"}), **{american: value}
            ),
            name,
        )
        == value
    )


@pytest.mark.parametrize(("american", "name"), [("color", "colour"), ("optimizer", "optimiser")])
def test_both_spellings_at_once_are_refused(american, name):
    with pytest.raises(SettingsError, match=f"^{name}: expected {name} or {american}, got both"):
        make_settings(**{american: "keep", name: "keep"})


def test_a_layer_of_the_other_network_is_named_as_such():
    with pytest.raises(SettingsError, match="vgg19 has it"):
        make_settings(style_layers="relu3_4")
    assert make_settings(style_layers="relu3_4", network="vgg19").style_layers == {"relu3_4": 1.0}


@pytest.fixture
def _broad_preset(monkeypatch):
    changes = {"beta": 7.0, "pooling": "average"}
    monkeypatch.setitem(options.PRESETS, "broad", Preset("", "", changes))


@pytest.mark.usefixtures("_broad_preset")
def test_a_preset_wins_over_defaults_and_loses_to_what_is_explicit():
    assert make_settings(preset="broad").beta == 7.0
    assert make_settings(preset="broad", beta=8.0).beta == 8.0
    assert make_settings(preset="broad", beta=8.0).pooling == "average"
    assert make_settings(preset="broad").alpha == Settings().alpha


@pytest.mark.usefixtures("_broad_preset")
def test_settings_made_before_win_over_a_preset_where_they_were_explicit():
    made = make_settings(Settings(beta=9.0), preset="broad")
    assert made.beta == 9.0
    assert made.pooling == "average"
    assert make_settings(Settings(beta=9.0), preset="broad", beta=10.0).beta == 10.0


@pytest.mark.usefixtures("_broad_preset")
def test_strength_and_the_formula_s_weights_cover_each_other_layer_by_layer():
    assert make_settings(preset="broad", strength=0.3).beta is None
    assert make_settings(Settings(strength=0.3), alpha=2.0).strength is None
    assert make_settings(Settings(strength=0.3), alpha=2.0).weights == (2.0, 5e4)


def test_strength_beside_the_formula_s_weights_is_refused():
    with pytest.raises(SettingsError, match="expected strength, or alpha and beta, got strength"):
        make_settings(strength=0.5, beta=1e4)
    with pytest.raises(SettingsError, match="expected alpha and beta with the paper's normal"):
        make_settings(strength=0.5, normalisation="paper")


@pytest.mark.parametrize("name", sorted(options.PRESETS))
def test_every_preset_is_valid(name):
    assert isinstance(make_settings(preset=name), Settings)


@pytest.mark.parametrize("name", ["gatys", "", 3])
def test_an_unknown_preset_is_refused_with_the_known_ones(name):
    with pytest.raises(SettingsError, match=f"no preset {name!r}: expected one of default"):
        make_settings(preset=name)
