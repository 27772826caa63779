"""Tiles: how far a window must reach, and how an image is cut."""

import pytest
import torch

from impasto.config.networks import network_spec
from impasto.losses.tiling import geometry


@pytest.mark.parametrize(
    ("network", "layer", "grid_px", "halo_px"),
    [
        ("vgg16", "conv1_1", 1, 1),
        ("vgg16", "relu1_2", 1, 2),
        ("vgg16", "pool1", 2, 2),
        ("vgg16", "relu3_1", 4, 12),
        ("vgg16", "relu5_1", 16, 64),
        ("vgg16", "relu5_3", 16, 96),
        ("vgg16", "pool5", 32, 96),
        ("vgg19", "relu5_1", 16, 80),
    ],
)
def test_the_halo_is_what_the_deepest_layer_sees_rounded_to_its_grid(
    network, layer, grid_px, halo_px
):
    found = geometry([layer, "relu1_1"], network)
    assert (found.grid_px, found.halo_px) == (grid_px, halo_px)


@pytest.mark.parametrize("name", [layer.name for layer in network_spec("vgg16").layers])
def test_a_feature_sees_its_own_place_and_a_halo_and_nothing_beyond(name, small_network, picture):
    layer = next(layer for layer in network_spec("vgg16").layers if layer.name == name)
    # Average pooling passes something of every pixel on, where a maximum hides most.
    network = small_network(pooling="average")
    middle = 7 if layer.stride_px > 8 else 128 // layer.stride_px
    image = picture(256, 256).requires_grad_()
    features = network.features(image, [name])[name]
    features[..., middle, middle].sum().backward()
    (seen,) = image.grad.abs().sum((0, 1, 2)).nonzero(as_tuple=True)
    first, end = middle * layer.stride_px, (middle + 1) * layer.stride_px
    assert seen.min() >= first - layer.halo_px
    assert seen.max() < end + layer.halo_px


def test_an_image_held_whole_is_one_tile():
    image = torch.rand(1, 3, 77, 130)
    (tile,) = geometry(["relu5_1"], "vgg16").split(77, 130, None)
    assert tile.window(image).shape == image.shape
    assert tile.core_px == (77, 130)


def test_tiles_are_even_and_begin_on_the_grid():
    tiles = geometry(["relu4_1"], "vgg16").split(100, 203, 64)
    assert [tile.core_px for tile in tiles] == [
        (48, 56), (48, 48), (48, 48), (48, 51), (52, 56), (52, 48), (52, 48), (52, 51)
    ]  # fmt: skip
    for tile in tiles:
        for span in (tile.rows, tile.columns):
            assert span.core.start % 8 == span.window.start % 8 == 0
            assert span.window.start == max(0, span.core.start - 32)


def test_a_tile_is_never_smaller_than_the_grid():
    tiles = geometry(["pool5"], "vgg16").split(40, 70, 1)
    assert [tile.core_px for tile in tiles] == [(40, 32), (40, 38)]
