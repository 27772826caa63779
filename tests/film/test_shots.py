"""Cuts are found; motion, flashes and fades are none."""

import pytest
import torch

from impasto.film.shots import find_shots
from impasto.output.film_file import FilmFrame


def as_film(frames):
    return [FilmFrame(index, index, 1, pixels) for index, pixels in enumerate(frames)]


def spans(frames):
    return [(shot.first, shot.stop) for shot in find_shots(as_film(frames))]


@pytest.fixture
def other(texture):
    return [texture.flip(-1).flip(1)[..., 60:108, 30 + n : 94 + n] for n in range(4)]


def test_a_pan_is_one_shot(pan):
    assert spans(pan(6)) == [(0, 6)]


def test_a_cut_is_found(pan, other):
    assert spans([*pan(5), *other]) == [(0, 5), (5, 9)]


def test_each_cut_is_found(pan, other):
    assert spans([*pan(3), *other, *pan(2)]) == [(0, 3), (3, 7), (7, 9)]


def test_a_flash_is_no_cut(pan):
    frames = pan(6)
    frames[3] = 0.4 + 0.6 * frames[3]
    assert spans(frames) == [(0, 6)]


def test_a_fade_is_no_cut(pan):
    frames = [
        frame * share for frame, share in zip(pan(6), (1, 0.7, 0.4, 0.15, 0.05, 0), strict=True)
    ]
    assert spans(frames) == [(0, 6)]


def test_samples_are_spread_over_the_shot(texture):
    frames = [texture[..., 40:88, 20:84] * (0.5 + index / 100) for index in range(30)]
    (shot,) = find_shots(as_film(frames))
    assert len(shot.samples) == 3
    means = [float(sample.mean()) for sample in shot.samples]
    assert means == sorted(means)
    assert means[2] - means[0] > 0.5 * float((frames[-1] - frames[0]).mean())


def test_no_frames_are_no_shots():
    assert list(find_shots([])) == []


def test_black_frames_are_one_shot():
    assert spans([torch.zeros(1, 3, 48, 64)] * 3) == [(0, 3)]
