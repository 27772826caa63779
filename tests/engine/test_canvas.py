"""The canvas: brought from size to size with no seam where it wraps."""

import torch

from impasto.engine import canvas
from impasto.engine.pyramid import Scale


def waves(height, width):
    """A picture that goes on at its other side, without a corner."""
    rows = torch.arange(height).add(0.5).div(height)[:, None]
    columns = torch.arange(width).add(0.5).div(width)[None]
    wave = 0.5 + 0.2 * torch.sin(2 * torch.pi * rows) + 0.2 * torch.cos(2 * torch.pi * columns)
    return wave.expand(1, 3, height, width)


def test_a_canvas_that_wraps_is_enlarged_as_its_neighbours_continue_it():
    scale = Scale(48, 80, 0, 1, wraps=True)
    larger = canvas.resize_canvas(waves(32, 48), scale)
    assert larger.shape == (1, 3, 48, 80)
    torch.testing.assert_close(larger, waves(48, 80), rtol=0, atol=2e-3)


def test_without_wrapping_the_border_is_another():
    larger = canvas.resize_canvas(waves(32, 48), Scale(48, 80, 0, 1))
    assert (larger - waves(48, 80)).abs().max() > 2e-3


def test_a_canvas_that_wraps_is_enlarged_alike_wherever_it_begins():
    generator = torch.Generator().manual_seed(0)
    small, scale = torch.rand(1, 3, 32, 48, generator=generator), Scale(64, 96, 0, 1, wraps=True)
    rolled = canvas.resize_canvas(torch.roll(small, (5, 7), (2, 3)), scale)
    expected = torch.roll(canvas.resize_canvas(small, scale), (10, 14), (2, 3))
    torch.testing.assert_close(rolled, expected, rtol=0, atol=1e-5)
