"""The sizes from coarse to fine, at arguments whose answer is known."""

import pytest

from impasto.config.settings import make_settings
from impasto.engine.pyramid import Scale, scales
from impasto.errors import ImageError


def sizes(*args, **options):
    smallest_px = options.pop("smallest_px", 16)
    laid_out = scales(*args, make_settings(**options), smallest_px=smallest_px)
    return [(scale.height_px, scale.width_px) for scale in laid_out]


def iterations(*args, **options):
    laid_out = scales(*args, make_settings(**options), smallest_px=16)
    return [scale.iterations for scale in laid_out]


def test_the_default_sizes():
    assert sizes(512, 512) == [(128, 128), (181, 181), (256, 256), (362, 362), (512, 512)]


def test_the_aspect_is_kept_at_every_size():
    assert sizes(384, 512) == [(96, 128), (136, 181), (192, 256), (272, 362), (384, 512)]
    assert sizes(512, 384) == [(width, height) for height, width in sizes(384, 512)]


def test_a_ratio_of_two():
    assert [height for height, _ in sizes(1024, 1024, size_ratio=2)] == [128, 256, 512, 1024]


@pytest.mark.parametrize("size", [128, 100, 16])
def test_a_result_no_larger_than_the_coarsest_is_painted_at_once(size):
    assert sizes(size, size) == [(size, size)]


def test_a_coarsest_of_the_result_s_size_means_one_size_alone():
    assert sizes(300, 512, coarsest=512) == [(300, 512)]
    assert sizes(300, 512, coarsest=4096) == [(300, 512)]


def test_a_size_just_above_the_coarsest_still_gets_two():
    assert sizes(129, 129) == [(128, 128), (129, 129)]


def test_the_coarsest_size_grows_until_its_shorter_side_suffices():
    assert sizes(64, 2048)[0] == (16, 512)
    assert sizes(16, 2048) == [(16, 2048)]


def test_the_default_iterations_fall_from_size_to_size():
    assert iterations(512, 512) == [60, 43, 31, 22, 20]
    assert iterations(8192, 8192)[-1] == 20
    assert iterations(64, 64) == [150]  # with no coarser size before it


def test_noise_takes_more_iterations():
    assert iterations(512, 512, start="noise") == [150, 108, 78, 56, 50]
    assert iterations(512, 512, start="content=3,noise=1") == [150, 108, 78, 56, 50]


def test_iterations_are_shared_out_in_the_same_proportion():
    assert iterations(512, 512, iterations=176) == [60, 43, 31, 22, 20]
    assert iterations(512, 512, iterations=352) == [120, 86, 62, 44, 40]


@pytest.mark.parametrize("total", [0, 1, 2, 3, 4, 5, 500, 1001])
def test_iterations_sum_to_what_was_asked(total):
    assert sum(iterations(512, 512, iterations=total)) == total


def test_few_iterations_go_to_the_coarse_sizes_first():
    assert iterations(512, 512, iterations=1) == [1, 0, 0, 0, 0]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 2000), (2000, 3), (15, 15)])
def test_a_result_too_small_for_the_layers_is_refused(height, width):
    with pytest.raises(ImageError, match=f"at least 16 pixels .* got {width} x {height}; raise"):
        sizes(height, width)


def test_shallow_layers_allow_a_sliver():
    assert sizes(3, 2000, smallest_px=1)[-1] == (3, 2000)
    assert sizes(1, 1, smallest_px=1) == [(1, 1)]


def test_work_is_the_canvas_s_pixels_times_iterations():
    scale = Scale(30, 40, 5, 7)
    assert scale.canvas_px == (40, 50)
    assert scale.work == 40 * 50 * 7
    assert scale.longest_px == 40


def test_the_margin_is_a_share_of_the_longer_side():
    found = scales(300, 400, make_settings(coarsest=400, margin=0.1))
    assert [scale.margin_px for scale in found] == [40]


def test_a_margin_reaches_no_further_than_the_picture_it_mirrors():
    (sliver,) = scales(20, 400, make_settings(coarsest=400, margin=0.1))
    assert sliver.margin_px == 19


def test_seamless_sizes_are_whole_multiples_without_a_margin():
    found = scales(192, 256, make_settings(seamless=True, coarsest=100), smallest_px=16)
    assert all(
        scale.height_px % 16 == scale.width_px % 16 == scale.margin_px == 0 for scale in found
    )
    assert (found[-1].height_px, found[-1].width_px) == (192, 256)
    assert all(scale.wraps for scale in found)
