"""Sizes: resize and cover."""

import pytest
import torch
from tests.images.written_files import colours

from impasto import images


def test_resize_of_the_same_size_is_the_same_tensor():
    pixels = torch.rand(1, 3, 6, 8)
    assert images.resize(pixels, 6, 8) is pixels


def test_resize_stays_in_range_and_does_not_alias():
    stripes = torch.zeros(1, 3, 64, 64)
    stripes[..., ::2] = 1
    small = images.resize(stripes, 16, 16)
    assert small.shape == (1, 3, 16, 16)
    # Away from the border, stripes narrower than a pixel become an even grey.
    assert (small[..., 2:-2] - 0.5).abs().max() < 0.02
    large = images.resize(torch.eye(8).expand(1, 3, 8, 8), 50, 30)
    assert large.min() >= 0
    assert large.max() <= 1


def test_resize_keeps_a_ramp_where_it_is():
    ramp = torch.linspace(0, 1, 32).expand(1, 3, 16, 32)
    small = images.resize(ramp, 8, 16)
    middles = (ramp[0, 0, 0, ::2] + ramp[0, 0, 0, 1::2]) / 2
    torch.testing.assert_close(small[0, 0, 4, 2:-2], middles[2:-2], atol=1e-3, rtol=0)


@pytest.mark.parametrize(("height", "width", "middle"), [(4, 12, (0, 12)), (8, 4, (4, 8))])
def test_cover_fills_a_size_with_the_middle_in_the_same_aspect(height, width, middle):
    columns = torch.arange(12.0).expand(1, 3, 8, 12) / 12
    covered = images.cover(columns, height, width)
    assert covered.shape == (1, 3, height, width)
    left, right = middle
    assert float(covered.mean()) == pytest.approx((left + right - 1) / 2 / 12, abs=1e-6)


def test_cover_of_the_same_shape_is_a_resize():
    pixels = images.load(colours(height=6, width=9)).pixels
    assert torch.equal(images.cover(pixels, 12, 18), images.resize(pixels, 12, 18))
