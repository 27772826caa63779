"""Optical flow: known motion is found, and what cannot be known is not trusted."""

import sys

import pytest
import torch

from impasto.errors import MissingPackageError
from impasto.film import flow


def moved(texture, right, down):
    """A frame, and the same scene after everything has moved."""
    before = texture[..., 30:110, 30:130]
    after = texture[..., 30 - down : 110 - down, 30 - right : 130 - right]
    return after, before


@pytest.mark.parametrize(("right", "down"), [(3, 0), (-5, 2), (0, 4)])
def test_a_known_motion_is_found(texture, right, down):
    found = flow.between(*moved(texture, right, down))
    inside = found.vectors[..., 10:-10, 10:-10]
    expected = torch.tensor([-right, -down], dtype=torch.float32).view(1, 2, 1, 1)
    assert float((inside - expected).abs().mean()) < 0.25
    assert float(found.certainty[..., 10:-10, 10:-10].mean()) > 0.9


def test_what_comes_into_the_picture_is_not_certain(texture):
    found = flow.between(*moved(texture, 6, 0))
    assert float(found.certainty[..., 10:-10, :5].mean()) < 0.1
    assert float(found.certainty[..., 10:-10, 15:-10].mean()) > 0.9


def test_what_an_object_uncovers_is_not_certain(texture):
    before = texture[..., :80, :100].clone()
    after = before.clone()
    thing = texture[..., 100:130, 100:130].flip(1)
    before[..., 20:50, 30:60] = thing
    after[..., 20:50, 38:68] = thing
    found = flow.between(after, before)
    assert float(found.certainty[..., 22:48, 31:37].mean()) < 0.3
    assert float(found.certainty[..., 24:46, 44:62].mean()) > 0.8


def test_equal_frames_are_still(texture):
    found = flow.between(texture, texture.clone())
    assert not found.vectors.any()
    assert found.certainty.all()
    assert found.still.all()


def test_where_nothing_changed_nothing_moves(texture):
    after = texture.clone()
    after[..., 60:90, 60:90] = texture[..., 60:90, 64:94]
    found = flow.between(after, texture)
    assert found.still[..., :50].all()
    assert not found.vectors[..., :50].any()


def test_noise_is_no_motion(texture):
    generator = torch.Generator().manual_seed(0)
    noisy = [
        (texture + 1.5 / 255 * torch.randn(texture.shape, generator=generator)).clamp(0, 1)
        for _ in range(2)
    ]
    found = flow.between(*noisy)
    assert float((found.vectors == 0).float().mean()) > 0.95
    assert float(found.certainty.mean()) > 0.95


def test_a_plain_area_moves_with_the_camera(texture):
    scene = texture.clone()
    scene[..., 50:80, 50:150] = 1.0
    before, after = scene[..., 20:110, 20:140], scene[..., 20:110, 26:146]
    found = flow.between(after, before)
    assert not found.still[..., 35:55, 40:100].any()


def test_warping_by_whole_pixels_is_exact(texture):
    vectors = torch.zeros(1, 2, *texture.shape[-2:])
    vectors[:, 0, :, 100:] = 3
    result = flow.warp(texture, vectors)
    assert torch.equal(result[..., :100], texture[..., :100])
    torch.testing.assert_close(result[..., 100:190], texture[..., 103:193], atol=1e-4, rtol=0)


def test_without_opencv_the_message_says_how_to_get_it(monkeypatch, texture):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingPackageError, match=r"pip install '\.\[video\]'"):
        flow.between(*moved(texture, 3, 0))
