"""Frames of a shot, painted by a small network."""

import itertools
from dataclasses import replace

import pytest
import torch

from impasto import images
from impasto.engine.cache import Cache
from impasto.film.flow import warp
from impasto.film.shot import ShotPainter

# Two sizes, as the pyramid of a larger film has.
OPTIONS = {"size": 64, "coarsest": 40, "iterations": 12}


@pytest.fixture
def job(job_of):
    """The paintings and options of a film."""
    return job_of(**OPTIONS)


def first_of(painter, pixels, samples=()):
    steps = painter.first(0, pixels, samples)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def painted(job, frames, temporal=0.5):
    painter = ShotPainter(job, temporal, Cache())
    finished = [first_of(painter, frames[0])]
    for index, frame in enumerate(frames[1:], start=1):
        finished.append(painter.next(index, frame))
    return finished


def flicker(finished, step):
    """RMS difference of neighbours after moving by ``step``, inside of the picture."""
    vectors = torch.zeros(1, 2, *finished[0].pixels.shape[-2:])
    vectors[:, 0] = step
    differences = [
        (after.pixels - warp(before.pixels, vectors))[..., 6:-6, 6 : -6 - step]
        for before, after in itertools.pairwise(finished)
    ]
    return torch.cat(differences).square().mean().sqrt().item()


def test_a_still_film_is_still_to_the_bit(job, pan):
    frame = pan(1)[0]
    finished = painted(job, [frame, frame.clone(), frame.clone()])
    assert torch.equal(finished[1].pixels, finished[0].pixels)
    assert torch.equal(finished[2].pixels, finished[0].pixels)
    assert [one.steps for one in finished] == [12, 0, 0]


def test_the_first_frame_is_painted_as_a_picture(job, pan, paint):
    frame = pan(1)[0]
    settings = job.settings.model_copy(update={"size": (64, 48)})
    _, alone = paint(replace(job, content_image=frame, settings=settings))
    assert torch.equal(painted(job, [frame])[0].pixels, alone.pixels)


def test_what_is_still_keeps_its_bits_while_a_thing_moves(job, texture):
    frames = []
    for index in range(4):
        frame = texture[..., :64, :96].clone()
        left = 60 + 4 * index
        frame[..., 20:36, left : left + 16] = texture[..., 120:136, 120:136]
        frames.append(frame)
    finished = painted(job, frames)
    for one in finished[1:]:
        assert torch.equal(one.pixels[..., :40], finished[0].pixels[..., :40])
    assert not torch.equal(
        finished[3].pixels[..., 20:36, 60:88], finished[0].pixels[..., 20:36, 60:88]
    )


def test_strokes_move_with_things(job, pan):
    frames = pan(3)
    film = flicker(painted(job, frames), 2)
    alone = flicker([painted(job, [frame])[0] for frame in frames], 2)
    assert film < 0.5 * alone


def test_the_more_temporal_the_less_flicker(job, pan):
    frames = pan(3)
    free, held, fixed = (flicker(painted(job, frames, share), 2) for share in (0.0, 0.5, 1.0))
    assert fixed < held < free


def test_a_shot_goes_on_from_what_it_remembers(job, pan):
    frames = pan(5)
    whole = painted(job, frames)
    painter = ShotPainter(job, 0.5, Cache())
    first_of(painter, frames[0])
    for index in (1, 2):
        painter.next(index, frames[index])
    another = ShotPainter(job, 0.5, Cache())
    another.restore(painter.look, painter.earlier, whole[2].pixels)
    for index in (3, 4):
        assert torch.equal(another.next(index, frames[index]).pixels, whole[index].pixels)


def test_strength_is_the_mean_of_what_the_frames_ask_for(job_of, pan, texture):
    job = job_of(**OPTIONS, strength=0.5)
    frame, other = pan(1)[0], texture[..., 90:138, 100:164]

    def alpha_of(*samples):
        painter = ShotPainter(job, 0.5, Cache())
        first_of(painter, frame, samples)
        return painter.look.decisions.alpha

    apart = alpha_of(frame), alpha_of(other)
    assert alpha_of(frame, other) == pytest.approx((apart[0] * apart[1]) ** 0.5)
    assert apart[0] != apart[1]


def test_colours_are_mapped_alike_in_every_frame(job, pan):
    painter = ShotPainter(job, 0.5, Cache())
    first_of(painter, pan(1)[0])
    maps = dict(painter.look.maps)
    painter.next(1, pan(2)[1])
    assert painter.look.maps == maps


def test_at_strength_0_the_film_is_the_photographs(job_of, pan):
    frames = pan(2)
    finished = painted(job_of(size=64, strength=0), frames)
    for one, frame in zip(finished, frames, strict=True):
        torch.testing.assert_close(one.pixels, frame, atol=1e-6, rtol=0)


def test_with_colours_kept_each_frame_has_its_own(job_of, pan):
    frames = pan(2)
    finished = painted(job_of(**OPTIONS, colour="keep"), frames)
    assert finished[1].pixels.shape == frames[1].shape
    assert images.to_image(finished[1].pixels).size == (64, 48)
