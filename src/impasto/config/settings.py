"""All options, each defined once: ``Settings`` decides the picture, ``Runtime`` how it is computed.

Both are flat, so that a flag, a JSON key, a keyword argument and a form field are the same
word. Command, Python, notebook and browser read names, bounds and help from here.
Precedence: default < preset < explicit.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from impasto.config.affects import affects
from impasto.config.initialization import parse_start
from impasto.config.presets import PRESETS
from impasto.config.validation import Options, british, check
from impasto.config.values import (
    LayerWeights,
    NetworkName,
    OptimiserName,
    Size,
    StatisticName,
    check_known,
    check_relative,
    parse_bytes,
)
from impasto.errors import SettingsError
from impasto.files import path_of

Mode = Literal["style_transfer", "content", "style"]
MODES: tuple[Mode, ...] = ("style_transfer", "content", "style")

# Measured on four pairs of photograph and painting (docs/look.md): weights that fall with
# depth give strokes without grit; equal ones give larger motifs and rougher flats.
DEFAULT_STYLE_LAYERS = {
    "relu1_1": 16.0,
    "relu2_1": 8.0,
    "relu3_1": 4.0,
    "relu4_1": 2.0,
    "relu5_1": 1.0,
}
# Chosen by looking (docs/control.md).
NEIGHBOURS_STYLE_LAYERS = {"relu2_1": 4.0, "relu3_1": 2.0, "relu4_1": 1.0}
# What alpha and beta are to each other where they are not measured: liked at 512 pixels.
FORMULA_WEIGHTS = (1.0, 5e4)
# Above this, gradients times weights leave the range of float32.
LARGEST_WEIGHT = 1e12


class Settings(Options):
    """What decides the picture. Weights are relative: each group is divided by its sum."""

    size: Size = Field(
        default=512,
        json_schema_extra=affects("schedule", metavar="N|WIDTHxHEIGHT|original"),
        description="Longest side of the result, 16 to 65536 pixels; original for the "
        "photograph's own size (in style mode the painting's); or both sides, such as 1080x1350, "
        "which the photograph covers, cropped at its centre.",
    )
    aspect: str | None = Field(
        default=None,
        json_schema_extra=affects("schedule"),
        pattern=r"^\d+(\.\d+)?:\d+(\.\d+)?$",
        examples=["16:9", "1:1"],
        description="Width:height of the result in style mode, such as 16:9; by default the "
        "style picture's own.",
    )
    seed: int = Field(
        default=0,
        json_schema_extra=affects("schedule"),
        ge=0,
        lt=2**63,
        description="Seed of every random number.",
    )
    start: str | None = Field(
        default=None,
        json_schema_extra=affects("schedule"),
        min_length=1,
        description="What painting starts from: matched (the content picture in the style's "
        "colours), content, style, noise, a blend such as content=0.7,noise=0.3, or a picture's "
        "path. In style_transfer mode the default is the photograph, with colours that are moved "
        "towards the style's as strength grows; in the other modes it is noise.",
    )
    network: NetworkName = Field(
        default="vgg16",
        json_schema_extra=affects("network"),
        description="Network whose features are compared.",
    )
    pooling: Literal["max", "average"] = Field(
        default="max",
        json_schema_extra=affects("network"),
        description="How the network halves its maps. Gatys et al. preferred average; at these "
        "weights max keeps the strokes.",
    )
    padding: Literal["replicate", "zeros"] = Field(
        default="replicate",
        json_schema_extra=affects("network"),
        description="What the first convolution sees beyond the border: the border's own "
        "pixels, or the trained network's zeros.",
    )
    seamless: bool = Field(
        default=False,
        json_schema_extra=affects("network", "schedule"),
        description="Paint a texture that fits itself at every edge, in style mode.",
    )
    content_layers: LayerWeights = Field(
        default={"relu4_2": 1.0},
        json_schema_extra=affects("content_target", "weights", steerable=True),
        description="Layers that hold the content: NAME or NAME=WEIGHT; FIRST..LAST names a range.",
    )
    style_layers: LayerWeights = Field(
        default=DEFAULT_STYLE_LAYERS,
        json_schema_extra=affects("style_target", "weights", steerable=True),
        description="Layers that hold the style: NAME or NAME=WEIGHT; FIRST..LAST names a range. "
        "With statistic neighbours the default is relu2_1=4 relu3_1=2 relu4_1=1.",
    )
    statistic: StatisticName = Field(
        default="gram",
        json_schema_extra=affects("style_target"),
        description="What of the features counts as style: Gram matrices, means and covariances "
        "(their Wasserstein distance; also called moments), Gram matrices with means and "
        "deviations, or neighbours: each place is drawn towards the most similar place of the "
        "painting, which suits drawings.",
    )
    strength: float | None = Field(
        default=None,
        json_schema_extra=affects("content_target", "style_target", "weights", steerable=True),
        ge=0,
        le=1,
        description="How far the painting wins over the photograph in style_transfer mode: at 0 "
        "the photograph stays as it is, at 1 only the style counts. By default 0.5, unless alpha "
        "or beta are given.",
    )
    alpha: float | None = Field(
        default=None,
        json_schema_extra=affects("content_target", "weights", steerable=True),
        ge=0,
        le=LARGEST_WEIGHT,
        description="Weight of the content loss, in place of strength; 1 beside a given beta.",
    )
    beta: float | None = Field(
        default=None,
        json_schema_extra=affects("style_target", "weights", steerable=True),
        ge=0,
        le=LARGEST_WEIGHT,
        description="Weight of the style loss, in place of strength; 50000 beside a given alpha.",
    )
    total_variation: float | None = Field(
        default=None,
        json_schema_extra=affects("weights", steerable=True),
        ge=0,
        le=LARGEST_WEIGHT,
        description="Weight of the smoothness term; by default 8500; in content mode 20 to "
        "6000, the more the deeper the layer.",
    )
    style_weights: tuple[float, ...] | None = Field(
        default=None,
        json_schema_extra=affects("style_target", steerable=True),
        description="How much each style picture counts, in their order; by default equally.",
    )
    style_scale: tuple[Annotated[float, Field(ge=0.1, le=10)], ...] | None = Field(
        default=None,
        json_schema_extra=affects("pictures", steerable=True),
        description="How large the strokes are: each style picture is shown to the network at "
        "so many times the painting's size, 0.1 to 10; one number for all, or one for each.",
    )
    colour: Literal["free", "keep", "match"] = Field(
        default="free",
        json_schema_extra=affects("pictures"),
        description="Whose colours the result has: the style's, the photograph's chroma under the "
        "painting's lightness, or a palette of the photograph's that the style picture is given "
        "before painting.",
    )
    palette: float | None = Field(
        default=None,
        ge=0,
        le=1,
        json_schema_extra=affects("schedule", steerable=True, as_before=0.0),
        description="How far the result's colours are moved onto the style's, between the sizes "
        "and at the end: at 0 they stay as the network leaves them, at 1 the result has the "
        "style's colours. By default 1; 0 with colour keep. A strength below 0.5 lowers it in "
        "proportion.",
    )
    region: tuple[str, ...] | None = Field(
        default=None,
        json_schema_extra=affects("pictures", metavar="MASK:STYLE[:MASK]", whole=True),
        description="A part of the picture with a style of its own: the file of a mask, white "
        "where the part is, and of a painting; a third says which part of the painting. In a map "
        "of labels, map.png#ff0000 picks one by its colour. Give it once for each region.",
    )
    margin: float = Field(
        default=0.04,
        json_schema_extra=affects("schedule"),
        ge=0,
        le=0.5,
        description="How far the painting goes on beyond each border, as a share of the longest "
        "side, before it is cut to size; without it the network's own border shows as a frame.",
    )
    normalisation: Literal["position", "paper"] = Field(
        default="position",
        json_schema_extra=affects("content_target", "weights"),
        description="Content loss per position, so that a look keeps at every size, or the "
        "paper's plain sum.",
    )
    optimiser: OptimiserName = Field(
        default="lbfgs",
        json_schema_extra=affects("schedule"),
        description="How the pixels descend the loss.",
    )
    iterations: int | None = Field(
        default=None,
        json_schema_extra=affects("schedule"),
        ge=0,
        description="Iterations in all, shared out over the sizes; by default as many as the "
        "sizes need.",
    )
    learning_rate: float = Field(
        default=0.02,
        json_schema_extra=affects("schedule", steerable=True),
        gt=0,
        le=10,
        description="Step size of Adam, in pixel values of [0, 1].",
    )
    history: int = Field(
        default=20,
        json_schema_extra=affects("schedule"),
        ge=1,
        le=200,
        description="Steps that L-BFGS remembers for its curvature.",
    )
    coarsest: int = Field(
        default=128,
        json_schema_extra=affects("schedule"),
        ge=16,
        le=65536,
        description="Longest side of the first, coarsest painting, in pixels; size for one size "
        "alone.",
    )
    size_ratio: float = Field(
        default=2**0.5,
        json_schema_extra=affects("schedule"),
        gt=1.05,
        le=8,
        description="Ratio from one size to the next.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_american_names(cls, options: Any) -> Any:
        return british(options) if isinstance(options, Mapping) else options

    @property
    def border(self) -> str:
        """What the network sees beyond the image's border."""
        return "circular" if self.seamless else self.padding

    @model_validator(mode="after")
    def _check_shape(self) -> "Settings":
        if isinstance(self.size, tuple) and self.aspect is not None:
            width_px, height_px = self.size
            raise ValueError(
                f"expected size as both sides, or aspect, got {width_px}x{height_px} and "
                f"{self.aspect}; leave one out"
            )
        return self

    @field_validator("content_layers", "style_layers")
    @classmethod
    def _check_weights(cls, weights: dict[str, float]) -> dict[str, float]:
        if not weights:
            raise ValueError("expected at least one layer, got none; name one, such as relu4_2")
        check_relative(list(weights.values()))
        return weights

    @field_validator("start")
    @classmethod
    def _check_start(cls, start: str | None) -> str | None:
        if start is not None:
            parse_start(start)
        return start

    @field_validator("style_weights")
    @classmethod
    def _check_style_weights(cls, weights: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if weights is not None:
            check_relative(list(weights))
        return weights

    @model_validator(mode="after")
    def _check_strength(self) -> "Settings":
        if self.strength is None:
            return self
        if self.alpha is not None or self.beta is not None:
            raise ValueError(
                f"expected strength, or alpha and beta, got strength {self.strength:g} beside "
                f"{'alpha' if self.beta is None else 'beta'}; leave one out"
            )
        if self.normalisation == "paper":
            raise ValueError(
                f"expected alpha and beta with the paper's normalisation, got strength "
                f"{self.strength:g}; give them, or leave the normalisation as it is"
            )
        return self

    @model_validator(mode="after")
    def _check_palette(self) -> "Settings":
        if self.palette and self.colour == "keep":
            raise ValueError(
                f"expected palette 0 with colour keep, which keeps the photograph's colours, got "
                f"{self.palette:g}; leave one out"
            )
        return self

    @model_validator(mode="after")
    def _choose_style_layers(self) -> "Settings":
        if self.statistic == "neighbours" and "style_layers" not in self.model_fields_set:
            # Not assigned as if it had been asked for: another statistic has other layers.
            object.__setattr__(self, "style_layers", dict(NEIGHBOURS_STYLE_LAYERS))
        return self

    @property
    def weights(self) -> tuple[float, float]:
        """Alpha and beta; 1 and 50000 where they are not set."""
        return (
            FORMULA_WEIGHTS[0] if self.alpha is None else self.alpha,
            FORMULA_WEIGHTS[1] if self.beta is None else self.beta,
        )

    @model_validator(mode="after")
    def _check_layers(self) -> "Settings":
        for option in ("content_layers", "style_layers"):
            check_known(option, getattr(self, option), self.network)
        return self


class Runtime(Options):
    """Where and how the picture is painted.

    None of it is meant to change the picture: number types and tiles round otherwise, and where
    memory is scarce L-BFGS remembers fewer steps, in sixteen bits. Recipes keep what was decided.
    """

    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        examples=["auto", "cpu", "cuda:1"],
        description="auto, cpu, cuda, cuda:1, mps.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="Number type inside the network; auto takes a fast one where the hardware "
        "has it.",
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads; by default the physical cores."
    )
    memory: int | None = Field(
        default=None,
        ge=1,
        description="Memory that the painting may take, such as 6GiB; larger pictures go through "
        "the network in tiles. By default 80 % of what is free.",
    )
    weights: str | None = Field(
        default=None, description="The network's weights file (.safetensors or .pth)."
    )
    offline: bool = Field(default=False, description="Never download.")

    @field_validator("memory", mode="before")
    @classmethod
    def _size_as_bytes(cls, memory: object) -> object:
        return memory if memory is None else parse_bytes(memory)

    @field_validator("weights", mode="before")
    @classmethod
    def _path_as_text(cls, weights: object) -> object:
        return str(path_of(weights)) if isinstance(weights, (str, os.PathLike)) else weights


def make_settings(settings: Settings | None = None, **options: Any) -> Settings:
    """Let ``options`` override a preset or ``settings``, and check the result.

    Args:
        settings: base settings, which the options override; the defaults if absent.
        options: fields of Settings by name; ``preset`` names one of PRESETS.

    Raises:
        SettingsError: an unknown option or preset, or a value out of its bounds.
    """
    options = british(options)
    preset = options.pop("preset", None)
    if preset is not None and preset not in PRESETS:
        raise SettingsError(f"no preset {preset!r}: expected one of {', '.join(PRESETS)}")
    base = settings.model_dump(exclude_unset=True) if settings else {}
    base = overlay(PRESETS[preset or "default"].changes, base)
    return check(Settings, overlay(base, options))


def overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return ``below`` with the options of ``above`` in place of its own.

    Strength replaces alpha and beta, and they replace it. ``colour="keep"`` replaces a palette.
    """
    replaced = set()
    if above.get("strength") is not None:
        replaced = {"alpha", "beta"}
    elif any(above.get(name) is not None for name in ("alpha", "beta")):
        replaced = {"strength"}
    if above.get("colour") == "keep":
        replaced.add("palette")
    return {**{name: value for name, value in below.items() if name not in replaced}, **above}


def make_runtime(**options: Any) -> Runtime:
    """Check ``options`` as fields of Runtime.

    Raises:
        SettingsError: an unknown option, or a value out of its bounds.
    """
    return check(Runtime, options)
