"""Sums over positions: the same whole, in parts, in any order, in any type."""

import pytest
import torch

from impasto.losses.statistics import gram_sum


def seeded(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(dtype)


def loops(features):
    batch, channels, height, width = features.shape
    gram = torch.zeros(channels, channels, dtype=torch.float64)
    for i in range(channels):
        for j in range(channels):
            for b in range(batch):
                for y in range(height):
                    for x in range(width):
                        gram[i, j] += features[b, i, y, x] * features[b, j, y, x]
    return gram


@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 4, 3, 3), (1, 1, 1, 1)])
def test_it_is_the_sum_over_positions_and_batch(shape):
    features = seeded(*shape)
    torch.testing.assert_close(gram_sum(features), loops(features), rtol=1e-13, atol=1e-13)


def test_it_is_symmetric_and_positive_semi_definite():
    # Fewer positions than channels: the matrix is singular.
    gram = gram_sum(seeded(1, 6, 2, 2))
    torch.testing.assert_close(gram, gram.t(), rtol=0, atol=1e-14)
    assert torch.linalg.eigvalsh(gram).min() > -1e-12


@pytest.mark.parametrize(
    "layout", [torch.contiguous_format, torch.channels_last], ids=["plain", "channels_last"]
)
def test_the_memory_layout_does_not_matter(layout):
    features = seeded(2, 4, 6, 5)
    torch.testing.assert_close(
        gram_sum(features.contiguous(memory_format=layout)), gram_sum(features)
    )


@pytest.mark.parametrize(("rows", "columns"), [([4, 9], [7]), ([1, 2, 3], [5]), ([], [1, 2])])
def test_the_sum_over_tiles_is_the_whole(rows, columns):
    features = seeded(1, 5, 12, 10)
    tiles = [
        tile
        for strip in features.tensor_split(rows, dim=2)
        for tile in strip.tensor_split(columns, dim=3)
    ]
    total = sum(gram_sum(tile) for tile in tiles)
    torch.testing.assert_close(total, gram_sum(features), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (4, 4), (7, 9), (33, 31), (128, 128)])
def test_narrow_features_give_a_wide_sum_near_the_exact_one(size, dtype):
    features = seeded(1, 16, *size).abs().to(dtype)
    gram = gram_sum(features)
    exact = gram_sum(features.double())
    assert gram.dtype == torch.float32
    assert (gram - exact).norm() / exact.norm() < 2e-3


def test_narrow_sums_do_not_overflow():
    # As large as a photograph's relu3_1 is in places; float16 ends at 65504.
    gram = gram_sum(torch.full((1, 2, 128, 128), 60.0, dtype=torch.float16))
    torch.testing.assert_close(gram, torch.full((2, 2), 60.0 * 60 * 128 * 128))


def test_rounding_in_bfloat16_does_not_grow_with_the_picture():
    def error(side):
        features = seeded(1, 8, side, side, dtype=torch.bfloat16).abs()
        exact = gram_sum(features.double())
        return (gram_sum(features) - exact).norm() / exact.norm()

    assert error(256) < 2 * error(32)


def test_the_gradient_is_the_slope():
    features = seeded(2, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(gram_sum, (features,))


def test_the_gradient_of_a_slope_that_is_not_symmetric():
    features = seeded(1, 3, 4, 4).requires_grad_()
    slope = seeded(3, 3, seed=1)
    (ours,) = torch.autograd.grad((slope * gram_sum(features)).sum(), features)
    rows = features.permute(0, 2, 3, 1).reshape(-1, 3)
    (plain,) = torch.autograd.grad((slope * (rows.t() @ rows)).sum(), features)
    torch.testing.assert_close(ours, plain)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_gradient_of_narrow_features_is_near_the_exact_one(dtype):
    narrow = seeded(1, 6, 9, 9, dtype=dtype)
    wide = narrow.double().requires_grad_()
    narrow.requires_grad_()
    target = seeded(6, 6, seed=2)
    (gradient,) = torch.autograd.grad(((gram_sum(narrow) - target) / 81).square().sum(), narrow)
    (exact,) = torch.autograd.grad(((gram_sum(wide) - target) / 81).square().sum(), wide)
    assert gradient.dtype == dtype
    assert (gradient.double() - exact).norm() / exact.norm() < 0.01
