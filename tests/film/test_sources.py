"""Where frames come from: files in the order of their numbers, and animations."""

from fractions import Fraction

import pytest
import torch
from PIL import Image

from impasto import images
from impasto.errors import ImageError, SettingsError
from impasto.film.sources import digest, open_source


def test_pictures_come_in_the_order_of_their_numbers(frames_folder, pan):
    frames = pan(12)
    folder = frames_folder(frames)
    (folder / "notes.txt").write_text("no frame")
    found = list(open_source(folder).frames())
    assert [frame.index for frame in found] == list(range(12))
    for frame, expected in zip(found, frames, strict=True):
        assert torch.equal(frame.pixels, images.load(images.to_image(expected)).pixels)


def test_a_pattern_names_its_numbers_only(frames_folder, pan):
    folder = frames_folder(pan(3))
    images.save_image(images.to_image(pan(1)[0]), folder / "other.png")
    assert len(open_source(folder / "%d.png").files) == 3


def test_a_rate_is_for_pictures_only(frames_folder, film_file, pan):
    source = open_source(frames_folder(pan(2)), rate=24)
    assert source.format.frame_s == Fraction(1, 24)
    assert [frame.time * source.format.time_base for frame in source.frames()] == [
        0,
        Fraction(1, 24),
    ]
    with pytest.raises(SettingsError, match="fps: expected none"):
        open_source(film_file(pan(2)), rate=24)


def test_an_animation_has_its_own_times(folder, pan):
    first, *rest = [images.to_image(frame) for frame in pan(3)]
    first.save("in.gif", save_all=True, append_images=rest, duration=[40, 100, 70])
    found = list(open_source("in.gif").frames())
    assert [(frame.time, frame.duration) for frame in found] == [(0, 40), (40, 100), (140, 70)]


def test_what_is_transparent_is_on_white(folder):
    Image.new("RGBA", (32, 24), (255, 0, 0, 0)).save("in.webp", lossless=True)
    (frame,) = open_source("in.webp").frames()
    assert bool((frame.pixels == 1).all())


def test_a_damaged_animation_is_refused(folder):
    (folder / "in.gif").write_bytes(b"GIF89a and nothing else")
    with pytest.raises(ImageError, match="cannot be read"):
        open_source("in.gif")


def test_the_digest_depends_on_every_file(frames_folder, pan):
    source = open_source(frames_folder(pan(3)))
    before = digest(source.files)
    assert digest(source.files) == before
    images.save_image(images.to_image(1 - pan(1)[0]), source.files[1])
    assert digest(source.files) != before
