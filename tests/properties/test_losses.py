"""What holds for every feature map."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from impasto import losses
from impasto.losses.statistics import gram_sum

quick = settings(deadline=None, max_examples=60)
numbers = st.floats(-100, 100, width=32)
shapes = st.tuples(st.just(1), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6))
maps = shapes.flatmap(lambda shape: arrays.arrays("float64", shape, elements=numbers)).map(
    torch.from_numpy
)
pairs = shapes.flatmap(
    lambda shape: st.tuples(*[arrays.arrays("float64", shape, elements=numbers)] * 2)
).map(lambda both: tuple(map(torch.from_numpy, both)))


def style_between(F, S):
    """The style loss of F against S, which may have another size."""
    positions = F[0, 0].numel()
    A = gram_sum(S) * (positions / S[0, 0].numel())
    return losses.style_loss(gram_sum(F), A, F.shape[1], positions)


@quick
@given(maps)
def test_every_loss_is_zero_at_its_target(F):
    assert losses.content_loss(F, F) == 0
    assert style_between(F, F) == 0
    assert losses.total_variation(torch.ones_like(F) * F[0, 0, 0, 0]) == 0


@quick
@given(pairs)
def test_no_loss_is_ever_negative(both):
    F, P = both
    assert losses.content_loss(F, P) >= 0
    assert style_between(F, P) >= 0
    assert losses.total_variation(F) >= 0


@quick
@given(pairs)
def test_a_loss_is_the_same_from_either_side(both):
    F, P = both
    assert losses.content_loss(F, P) == losses.content_loss(P, F)
    assert style_between(F, P) == style_between(P, F)


@quick
@given(pairs.filter(lambda both: not both[0].equal(both[1])))
def test_content_loss_tells_any_two_maps_apart(both):
    # Halves of squares below the least float64 vanish; these differ by more.
    F, P = both
    assert losses.content_loss(F, P) > 0 or (F - P).abs().max() < 1e-150


@quick
@given(maps, st.randoms(use_true_random=False))
def test_a_gram_matrix_is_blind_to_the_order_of_positions(F, random):
    order = list(range(F[0, 0].numel()))
    random.shuffle(order)
    shuffled = F.flatten(2)[:, :, order].view_as(F)
    torch.testing.assert_close(gram_sum(shuffled), gram_sum(F), rtol=1e-12, atol=1e-9)


@quick
@given(maps, st.data())
def test_a_gram_matrix_follows_the_order_of_channels(F, data):
    order = data.draw(st.permutations(range(F.shape[1])))
    expected = gram_sum(F)[order][:, order]
    torch.testing.assert_close(gram_sum(F[:, order]), expected, rtol=1e-12, atol=1e-9)


@quick
@given(maps, st.integers(0, 6), st.integers(0, 6))
def test_sums_over_any_four_tiles_make_the_whole(F, row, column):
    tiles = [
        tile
        for strip in (F[:, :, :row], F[:, :, row:])
        for tile in (strip[..., :column], strip[..., column:])
    ]
    total = sum(gram_sum(tile) for tile in tiles)
    torch.testing.assert_close(total, gram_sum(F), rtol=1e-12, atol=1e-9)
    content = sum(losses.content_loss(tile, torch.zeros_like(tile)) for tile in tiles)
    torch.testing.assert_close(
        content, losses.content_loss(F, torch.zeros_like(F)), rtol=1e-12, atol=1e-9
    )


@quick
@given(maps, st.integers(1, 3), st.integers(1, 3))
def test_a_repeated_texture_has_the_same_style_at_every_size(F, down, across):
    repeated = F.repeat(1, 1, down, across)
    scale = 1 + gram_sum(F).abs().max().item() ** 2
    assert style_between(repeated, F).item() == pytest.approx(0, abs=1e-20 * scale)
    other = F + 1
    expected = style_between(F, other).item()
    assert style_between(repeated, other).item() == pytest.approx(expected, rel=1e-6, abs=1e-12)


@quick
@given(maps, st.floats(0.1, 10))
def test_losses_grow_with_the_right_power(F, factor):
    zero = torch.zeros_like(F)
    content = losses.content_loss(F, zero).item()
    assert losses.content_loss(factor * F, zero).item() == pytest.approx(factor**2 * content)
    style = style_between(F, zero).item()
    assert style_between(factor * F, zero).item() == pytest.approx(factor**4 * style)
