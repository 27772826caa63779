"""Presets as data: the options that each changes, and its source.

Where a paper's weights belong to a network of another scale of activations, a preset leaves
them out: strength sets the balance from what is measured (see ``impasto.engine.strength``).
What reproduces published work leaves the colours as the network does (palette 0).
"""

from dataclasses import dataclass, field
from typing import Any

_FIVE_LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
# The notebook's mean squares over C x C of Gram matrices divided by C x positions are ours
# times 4 / C^2; so are its weights.
_NOTEBOOK_STYLE = {
    **dict.fromkeys(("conv1_1", "conv1_2"), 4 / 64**2),
    **dict.fromkeys(("conv2_1", "conv2_2"), 4 / 128**2),
    **dict.fromkeys(("conv3_1", "conv3_2", "conv3_3"), 4 / 256**2),
    **dict.fromkeys(("conv4_1", "conv4_2", "conv4_3"), 4 / 512**2),
}
# Its mean squares over C channels are twice ours per position, divided by C.
_NOTEBOOK_CONTENT = {"conv2_2": 2 / 128, "conv3_1": 2 / 256}


@dataclass(frozen=True)
class Preset:
    """Settings to begin from.

    Attributes:
        summary: a short description.
        source: the paper or project that it comes from.
        changes: fields of Settings that differ from the defaults.
    """

    summary: str
    source: str
    changes: dict[str, Any] = field(default_factory=dict)


PRESETS: dict[str, Preset] = {
    "default": Preset(
        "a painting in which the photograph is still clear, with few of the painting's objects",
        "this project",
    ),
    "gentle": Preset(
        "for portraits and pictures of things: strokes and colours alone, features stay",
        "this project",
        {"strength": 0.3, "motifs": 0.0},
    ),
    "bold": Preset(
        "for skies and landscapes: the painting wins, and its objects come along",
        "this project",
        {"strength": 0.7, "motifs": 0.6},
    ),
    "drawing": Preset(
        "for line drawings and engravings: lines stay lines, and paper stays paper",
        "Kolkin et al., Neural neighbor style transfer, 2022 (arXiv 2203.13215). Differs: see "
        "docs/control.md, statistics",
        {"statistic": "neighbours"},
    ),
    "fast": Preset(
        "fewer sizes and iterations, for a quick look at a pair",
        "this project",
        {"iterations": 70, "size_ratio": 2.0},
    ),
    "best": Preset(
        "more iterations and a longer L-BFGS history, for the final picture",
        "this project",
        {"iterations": 600, "history": 40},
    ),
    "gatys2015": Preset(
        "one size, from noise, average pooling, sums over positions",
        "Gatys, Ecker and Bethge, A neural algorithm of artistic style, 2015. Differs: alpha and "
        "beta fit these networks, whose activations have another scale",
        {
            "start": "noise",
            "pooling": "average",
            "padding": "zeros",
            "normalisation": "paper",
            "style_layers": dict.fromkeys(_FIVE_LAYERS, 1.0),
            "alpha": 1e-3,
            "beta": 1e5,
            "total_variation": 0.0,
            "coarsest": 65536,
            "iterations": 500,
            "palette": 0.0,
        },
    ),
    "gatys2016": Preset(
        "coarse to fine in doubled sizes, from the photograph, average pooling",
        "Gatys, Ecker and Bethge, Image style transfer using convolutional neural networks, CVPR "
        "2016; coarse to fine as in Gatys et al., Controlling perceptual factors in neural style "
        "transfer, CVPR 2017, section 6",
        {
            "start": "content",
            "pooling": "average",
            "padding": "zeros",
            "style_layers": dict.fromkeys(_FIVE_LAYERS, 1.0),
            "total_variation": 0.0,
            "size_ratio": 2.0,
            "palette": 0.0,
        },
    ),
    "notebook": Preset(
        "the notebook that this project replaces: ten convolutions, one size",
        "its weights, 1e5 and 0.01, for mean-square losses. Differs: its network was VGG-19, "
        "whose conv3_4 VGG-16 lacks; conv4_3 stands in",
        {
            "start": "content",
            "padding": "zeros",
            "style_layers": _NOTEBOOK_STYLE,
            "content_layers": _NOTEBOOK_CONTENT,
            "alpha": 0.01 * sum(_NOTEBOOK_CONTENT.values()),
            "beta": 1e5 * sum(_NOTEBOOK_STYLE.values()),
            "total_variation": 0.0,
            "coarsest": 65536,
            "iterations": 1000,
            "palette": 0.0,
        },
    ),
    "johnson": Preset(
        "shallower content, four style layers, total variation, one size",
        "the baseline of Johnson, Alahi and Fei-Fei, Perceptual losses for real-time style "
        "transfer and super-resolution, ECCV 2016, section 4.1",
        {
            "content_layers": {"relu2_2": 1.0},
            "style_layers": dict.fromkeys(("relu1_2", "relu2_2", "relu3_3", "relu4_3"), 1.0),
            "start": "noise",
            "padding": "zeros",
            "coarsest": 65536,
            "iterations": 500,
            "palette": 0.0,
        },
    ),
    "crowson": Preset(
        "means and covariances, weights that fall fast with depth, Adam, from the photograph",
        "crowsonkb's style-transfer-pytorch, 2021. Differs: 700 iterations over all sizes instead "
        "of 1000 and then 500 a size; iterates are not averaged, which gained nothing "
        "(docs/control.md)",
        {
            "statistic": "mean+covariance",
            "style_layers": dict(zip(_FIVE_LAYERS, (256.0, 64.0, 16.0, 4.0, 1.0), strict=True)),
            "start": "content",
            "optimiser": "adam",
            "learning_rate": 0.02,
            "iterations": 700,
            "palette": 0.0,
        },
    ),
    "spst": Preset(
        "Gram matrices with means and deviations, doubled sizes, from the photograph",
        "Galerne, Raad, Lezama and Morel, Scaling painting style transfer, Computer Graphics Forum "
        "2024 (arXiv 2212.13459), and its code. Differs: as many iterations as the sizes need "
        "instead of 600 and then 300 a size; their network is VGG-19",
        {
            "statistic": "gram+mean+std",
            # Theirs are means over C x C: ours times 1 / C^2.
            "style_layers": dict(zip(_FIVE_LAYERS, (64.0, 16.0, 4.0, 1.0, 1.0), strict=True)),
            "start": "content",
            "size_ratio": 2.0,
            "palette": 0.0,
        },
    ),
}
