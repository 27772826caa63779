"""A network and a loss term of one's own.

python examples/own_network.py photograph.jpg painting.jpg out.png
"""

import sys
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

import impasto


class SmallNet(nn.Module):
    """Random filters in three blocks: textures can be painted without any training.

    Source: Ustyuzhaninov et al., "Texture synthesis using shallow convolutional networks with
    random filters", 2016.
    """

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.relu1 = nn.Conv2d(3, channels, 3, padding=1), nn.ReLU()
        self.conv2, self.relu2 = nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()
        self.conv3, self.relu3 = nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU()
        # How far features see around their own position, in pixels of the image. With it, large
        # pictures are painted in tiles.
        self.halo_px = {"relu1": 1, "relu2": 3, "relu3": 7}

    def forward(self, image: Tensor) -> Tensor:
        """Take (1, 3, H, W), sRGB in [0, 1], and normalise it here."""
        first = self.relu1(self.conv1(image - 0.5))
        second = self.relu2(self.conv2(nn.functional.max_pool2d(first, 2)))
        deep: Tensor = self.relu3(self.conv3(nn.functional.max_pool2d(second, 2)))
        return deep


def warmth(pixels: Tensor, features: Mapping[str, Tensor]) -> Tensor:
    """Return a loss that is lower, the more red the picture has than blue."""
    return (pixels[:, 2] - pixels[:, 0]).mean()


def main(content: Any, style: Any, output: str, **options: Any) -> impasto.Result:
    """Paint with both, and save the picture."""
    layers: Any = {"content_layers": "relu3", "style_layers": "relu1,relu2,relu3"}
    terms = {"warmth": impasto.LossTerm(warmth, weight=50.0)}
    with impasto.Painter(SmallNet()) as painter:
        result = painter.style_transfer(content, style, terms=terms, **{**layers, **options})
    result.save(output)
    return result


if __name__ == "__main__":
    main(*sys.argv[1:4], progress=True)
