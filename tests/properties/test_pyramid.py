"""What holds for every size, ratio and number of iterations."""

import itertools

from hypothesis import assume, given
from hypothesis import strategies as st

from impasto.config.settings import make_settings
from impasto.engine.pyramid import scales

sides = st.integers(1, 20_000)
layouts = st.fixed_dictionaries(
    {
        "coarsest": st.integers(16, 4096),
        "size_ratio": st.floats(1.05, 8, exclude_min=True),
        "iterations": st.none() | st.integers(0, 10_000),
    }
)
smallest = st.integers(1, 32)


def laid_out(height, width, layout, smallest_px):
    assume(min(height, width) >= smallest_px)
    return scales(height, width, make_settings(**layout), smallest_px=smallest_px)


@given(sides, sides, layouts, smallest)
def test_sizes_grow_to_exactly_what_was_asked(height, width, layout, smallest_px):
    found = laid_out(height, width, layout, smallest_px)
    assert (found[-1].height_px, found[-1].width_px) == (height, width)
    for coarser, finer in itertools.pairwise(found):
        assert coarser.longest_px < finer.longest_px
        assert coarser.height_px <= finer.height_px
        assert coarser.width_px <= finer.width_px


@given(sides, sides, layouts, smallest)
def test_no_side_is_shorter_than_the_layers_need(height, width, layout, smallest_px):
    for scale in laid_out(height, width, layout, smallest_px):
        assert min(scale.height_px, scale.width_px) >= smallest_px


@given(sides, sides, layouts, smallest)
def test_no_leap_is_much_larger_than_the_ratio(height, width, layout, smallest_px):
    found = laid_out(height, width, layout, smallest_px)
    for coarser, finer in itertools.pairwise(found):
        # Rounded to a whole number of leaps, one leap may have to do the work of 1.5.
        most = layout["size_ratio"] ** 1.5 * (coarser.longest_px + 0.5) + 0.5
        assert finer.longest_px <= most


@given(sides, sides, layouts, smallest)
def test_iterations_sum_to_what_was_asked(height, width, layout, smallest_px):
    found = [scale.iterations for scale in laid_out(height, width, layout, smallest_px)]
    assert min(found) >= 0
    assert found == sorted(found, reverse=True)
    if layout["iterations"] is not None:
        assert sum(found) == layout["iterations"]
    else:
        assert min(found) >= 20
