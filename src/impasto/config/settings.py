"""All options, each defined once: ``Settings`` decides the picture, ``Runtime`` how it is computed.

Both are flat, so that a flag, a JSON key, a keyword argument and a form field have the same name.
Command, Python, notebook and browser take names, bounds and help from here. A preset overrides the
defaults, and explicit options override the preset.
"""

import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from impasto.config.affects import affects
from impasto.config.initialization import parse_start
from impasto.config.labels import MODES as MODES
from impasto.config.labels import WITH_CONTENT, WITH_STYLE, shown
from impasto.config.labels import Mode as Mode
from impasto.config.motifs import default_layers, has_motifs
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

# Alpha and beta where they are not measured; chosen by eye at 512 pixels.
FORMULA_WEIGHTS = (1.0, 5e4)
# Larger weights times gradients would exceed the range of float32.
LARGEST_WEIGHT = 1e12


class Settings(Options):
    """The options that change the picture. The weights of each group are divided by their sum."""

    size: Size = Field(
        default=512,
        json_schema_extra=affects(
            "schedule",
            metavar="N|WIDTHxHEIGHT|original",
            **shown("Size", "picture", unit="px"),
            brief="Longest side in pixels (default 512).",
            brief_metavar="N",
        ),
        description="Longest side of the result in pixels, 16 to 65536; or original, for the "
        "photograph's own size (in style mode the painting's); or both sides, such as 1080x1350, "
        "to which the photograph is cropped at its centre.",
    )
    aspect: str | None = Field(
        default=None,
        json_schema_extra=affects(
            "schedule",
            **shown("Aspect ratio", "picture", modes=("style",)),
            brief="Shape of the result, such as 16:9.",
            brief_metavar="W:H",
        ),
        pattern=r"^\d+(\.\d+)?:\d+(\.\d+)?$",
        examples=["16:9", "1:1"],
        description="Aspect ratio (width:height) of the result in style mode, such as 16:9; by "
        "default that of the style picture.",
    )
    seed: int = Field(
        default=0,
        json_schema_extra=affects(
            "schedule", **shown("Seed", "picture"), brief="Another number, another variant."
        ),
        ge=0,
        lt=2**63,
        description="Seed of all random numbers.",
    )
    start: str | None = Field(
        default=None,
        json_schema_extra=affects("schedule", **shown("Start from", "picture")),
        min_length=1,
        description="The image that painting starts from: matched (the content picture in the "
        "style's colours), content, style, noise, a blend such as content=0.7,noise=0.3, or the "
        "path of a picture. In style_transfer mode the default is the photograph, with colours "
        "that are moved towards the style's as strength grows. In the other modes it is noise.",
    )
    network: NetworkName = Field(
        default="vgg16",
        json_schema_extra=affects("network", **shown("Network", "network")),
        description="Network whose features are compared.",
    )
    pooling: Literal["max", "average"] = Field(
        default="max",
        json_schema_extra=affects("network", **shown("Pooling", "network")),
        description="How the network halves its feature maps. Gatys et al. preferred average; "
        "with the default weights max preserves the strokes.",
    )
    padding: Literal["replicate", "zeros"] = Field(
        default="replicate",
        json_schema_extra=affects("network", **shown("Padding", "network")),
        description="Padding of the first convolution: replicate repeats the border's own pixels, "
        "zeros is the padding that the network was trained with.",
    )
    seamless: bool = Field(
        default=False,
        json_schema_extra=affects(
            "network",
            "schedule",
            **shown("Tiles without seams", "picture", modes=("style",)),
            brief="Opposite edges match, so that the texture tiles.",
        ),
        description="In style mode, paint a texture whose opposite edges match, so that it tiles.",
    )
    content_layers: LayerWeights = Field(
        default={"relu4_2": 1.0},
        json_schema_extra=affects(
            "content_target",
            "weights",
            steerable=True,
            **shown("Layers of the photograph", "weights", modes=WITH_CONTENT),
            brief="What is kept: relu1_1 pixels ... relu5_1 the idea.",
            brief_metavar="NAME,...",
        ),
        description="Layers that the content loss compares: NAME or NAME=WEIGHT. FIRST..LAST is a "
        "range of layers.",
    )
    style_layers: LayerWeights | None = Field(
        default=None,
        json_schema_extra=affects(
            "style_target",
            "weights",
            steerable=True,
            **shown("Layers of the painting", "weights", modes=WITH_STYLE),
        ),
        description="Layers that the style loss compares: NAME or NAME=WEIGHT. FIRST..LAST is a "
        "range of layers. The default layers follow from motifs; "
        "those of statistic neighbours are relu2_1=4 relu3_1=2 relu4_1=1.",
    )
    motifs: float | None = Field(
        default=None,
        # The layers that it stands for are filled in before a painting, and affect the targets.
        json_schema_extra=affects(
            "weights",
            steerable=True,
            as_before=None,
            **shown("Motifs", "look", modes=WITH_STYLE),
            brief="The painting's objects: 0 none, 1 as many as it has.",
            brief_metavar="0..1",
        ),
        ge=0,
        le=1,
        description="How many of the painting's objects appear in the result: at 0 only its "
        "strokes and colours, at 1 also its eyes, stars or houses. The default is 0.25; 1 in style "
        "mode.",
    )
    statistic: StatisticName = Field(
        default="gram",
        json_schema_extra=affects(
            "style_target", **shown("What counts as style", "look", modes=WITH_STYLE)
        ),
        description="What is compared as style: Gram matrices; means and covariances, by their "
        "Wasserstein distance (also called moments); Gram matrices with means and standard "
        "deviations; or neighbours, which draws each position towards the most similar one of the "
        "painting, and suits drawings.",
    )
    strength: float | None = Field(
        default=None,
        json_schema_extra=affects(
            "content_target",
            "style_target",
            "weights",
            steerable=True,
            **shown("Strength", "look", modes=("style_transfer",)),
            brief="0: the photograph, 1: style alone (default 0.5).",
            brief_metavar="0..1",
        ),
        ge=0,
        le=1,
        description="Balance between photograph and painting in style_transfer mode: at 0 the "
        "photograph stays as it is, at 1 only the style counts. The default is 0.5, unless alpha "
        "or beta is set.",
    )
    alpha: float | None = Field(
        default=None,
        json_schema_extra=affects(
            "content_target",
            "weights",
            steerable=True,
            **shown("Weight of the photograph", "weights", modes=WITH_CONTENT),
        ),
        ge=0,
        le=LARGEST_WEIGHT,
        description="Weight of the content loss, instead of strength. The default is 1 if only "
        "beta is set.",
    )
    beta: float | None = Field(
        default=None,
        json_schema_extra=affects(
            "style_target",
            "weights",
            steerable=True,
            **shown("Weight of the painting", "weights", modes=WITH_STYLE),
        ),
        ge=0,
        le=LARGEST_WEIGHT,
        description="Weight of the style loss, instead of strength. The default is 50000 if only "
        "alpha is set.",
    )
    total_variation: float | None = Field(
        default=None,
        json_schema_extra=affects("weights", steerable=True, **shown("Smoothness", "weights")),
        ge=0,
        le=LARGEST_WEIGHT,
        description="Weight of the smoothness term. The default is 8500; in content mode it is 20 "
        "to 6000, larger for deeper layers.",
    )
    style_weights: tuple[float, ...] | None = Field(
        default=None,
        json_schema_extra=affects(
            "style_target",
            steerable=True,
            **shown("Shares of the paintings", "look", modes=WITH_STYLE),
        ),
        description="Weight of each style picture, in their order; by default all are equal.",
    )
    style_scale: tuple[Annotated[float, Field(ge=0.1, le=10)], ...] | None = Field(
        default=None,
        json_schema_extra=affects(
            "pictures",
            steerable=True,
            **shown("Size of the strokes", "look", unit="×", modes=WITH_STYLE),
            brief="Size of the strokes, 0.1 to 10.",
            brief_metavar="X",
        ),
        description="Size of the strokes: the network sees each style picture at this multiple of "
        "the painting's size, 0.1 to 10. One number for all style pictures, or one for each.",
    )
    colour: Literal["free", "keep", "match"] = Field(
        default="free",
        json_schema_extra=affects(
            "pictures",
            **shown("Colours", "look", modes=("style_transfer",)),
            brief="keep leaves the photograph's colours.",
            brief_metavar="WORD",
        ),
        description="Colours of the result: free takes the style's; keep combines the "
        "photograph's chroma with the painting's lightness; match gives the style picture the "
        "photograph's colours before painting.",
    )
    palette: float | None = Field(
        default=None,
        ge=0,
        le=1,
        json_schema_extra=affects(
            "schedule",
            steerable=True,
            as_before=0.0,
            **shown("Match of the palette", "look", modes=WITH_STYLE),
        ),
        description="How far the result's colours are moved to the style's, between the sizes and "
        "at the end. At 0 they stay as the network makes them; at 1 the result has the style's "
        "colours. The default is 1, or 0 with colour keep. A strength below 0.5 lowers it in "
        "proportion.",
    )
    region: tuple[str, ...] | None = Field(
        default=None,
        json_schema_extra=affects(
            "pictures",
            metavar="MASK:STYLE[:MASK]",
            whole=True,
            **shown("Regions", "look", modes=WITH_STYLE),
            brief="A part of the picture with its own painting.",
            brief_metavar="MASK:STYLE",
        ),
        description="A part of the picture with its own style, as files: a mask, which is white "
        "inside the part, and a painting. A third file is a mask of the painting, and selects the "
        "part of it to use. In a map of labels, map.png#ff0000 selects one label by its colour. "
        "Repeat the option for each region.",
    )
    margin: float = Field(
        default=0.04,
        json_schema_extra=affects("schedule", **shown("Margin", "picture", unit="of the side")),
        ge=0,
        le=0.5,
        description="How far the painting extends beyond each border before it is cropped, as a "
        "share of the longest side. Without a margin, the network's own border shows as a frame.",
    )
    normalisation: Literal["position", "paper"] = Field(
        default="position",
        json_schema_extra=affects(
            "content_target", "weights", **shown("Normalisation", "weights", modes=WITH_CONTENT)
        ),
        description="position divides the content loss by the number of positions, so that a look "
        "stays the same at every size; paper is the plain sum.",
    )
    optimiser: OptimiserName = Field(
        default="lbfgs",
        json_schema_extra=affects("schedule", **shown("Optimiser", "schedule")),
        description="Algorithm that minimises the loss.",
    )
    iterations: int | None = Field(
        default=None,
        json_schema_extra=affects(
            "schedule", **shown("Steps", "schedule"), brief="More take longer and are finer."
        ),
        ge=0,
        description="Total number of iterations, distributed over the sizes; by default as many "
        "as the sizes need.",
    )
    learning_rate: float = Field(
        default=0.02,
        json_schema_extra=affects(
            "schedule", steerable=True, **shown("Step size of Adam", "schedule")
        ),
        gt=0,
        le=10,
        description="Step size of Adam, in pixel values of [0, 1].",
    )
    history: int = Field(
        default=20,
        json_schema_extra=affects(
            "schedule", **shown("Memory of L-BFGS", "schedule", unit="steps")
        ),
        ge=1,
        le=200,
        description="Number of past steps from which L-BFGS estimates the curvature.",
    )
    coarsest: int = Field(
        default=128,
        json_schema_extra=affects("schedule", **shown("Coarsest size", "schedule", unit="px")),
        ge=16,
        le=65536,
        description="Longest side of the first, coarsest size, in pixels. The value of size gives "
        "a single size.",
    )
    size_ratio: float = Field(
        default=2**0.5,
        json_schema_extra=affects("schedule", **shown("Ratio of the sizes", "schedule", unit="×")),
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
        """The padding of the image's border: circular, replicate or zeros."""
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
    def _check_weights(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        if weights is None:
            return None
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
                f"{self.strength:g}; set them, or leave the normalisation as it is"
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
    def _check_motifs(self) -> "Settings":
        if self.motifs is None:
            return self
        if not has_motifs(self.statistic):
            raise ValueError(
                f"expected no motifs with statistic {self.statistic}, which has layers of its own, "
                f"got {self.motifs:g}; leave one out"
            )
        layers = default_layers(self.statistic, self.motifs)
        # Settings whose open options have been filled in have both, and they agree.
        if self.style_layers not in (None, layers):
            raise ValueError(
                f"expected motifs, or style_layers, got motifs {self.motifs:g} beside them; "
                "leave one out"
            )
        check_known("motifs", layers, self.network)
        return self

    @property
    def layers_of_style(self) -> dict[str, float]:
        """The style layers and their weights: those that are named, or the default ones."""
        if self.style_layers is not None:
            return self.style_layers
        return default_layers(self.statistic, 1.0 if self.motifs is None else self.motifs)

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
            check_known(option, getattr(self, option) or {}, self.network)
        return self


class Runtime(Options):
    """The options that do not change the picture, apart from small effects.

    Number types and tiles change the rounding. With little memory, L-BFGS stores fewer steps, in
    sixteen bits. Recipes record these decisions.
    """

    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        examples=["auto", "cpu", "cuda:1"],
        description="Device that computes: auto, cpu, cuda, cuda:1 or mps.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16", "int8"] = Field(
        default="auto",
        description="Number type inside the network; auto selects bf16 or fp32, whichever is fast "
        "on the hardware. int8 is faster still on a CPU with AVX512-VNNI or AMX.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Number of CPU threads; by default that of the physical cores.",
    )
    memory: int | None = Field(
        default=None,
        ge=1,
        description="Memory budget, such as 6GiB; larger pictures go through the network in "
        "tiles. The default is 80 % of the free memory.",
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

    Strength replaces alpha and beta, and they replace it; so do motifs and style layers.
    ``colour="keep"`` replaces a palette.
    """
    replaced = set()
    if above.get("strength") is not None:
        replaced = {"alpha", "beta"}
    elif any(above.get(name) is not None for name in ("alpha", "beta")):
        replaced = {"strength"}
    if above.get("motifs") is not None:
        replaced.add("style_layers")
    elif above.get("style_layers") is not None:
        replaced.add("motifs")
    if above.get("colour") == "keep":
        replaced.add("palette")
    return {**{name: value for name, value in below.items() if name not in replaced}, **above}


def make_runtime(**options: Any) -> Runtime:
    """Check ``options`` as fields of Runtime.

    Raises:
        SettingsError: an unknown option, or a value out of its bounds.
    """
    return check(Runtime, options)
