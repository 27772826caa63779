"""Masks of every kind that people have: grey, label maps, palettes, shapes in opacity."""

import numpy as np
import pytest
import torch
from PIL import Image

from impasto import api, images
from impasto.engine import masks, regions
from impasto.engine.cache import Cache
from impasto.errors import ImageError, SettingsError
from impasto.job import recipe
from impasto.job.job import Region

INSIDE = np.zeros((12, 16), bool)
INSIDE[3:9, 4:12] = True
LABEL = "the mask of region 1"


def weights(source, colour=None):
    return masks.weights(masks.load(source, LABEL, colour))[0, 0].numpy()


def of_levels(outside, inside, dtype=np.uint8):
    return np.where(INSIDE[..., None], inside, outside).astype(dtype).squeeze()


def palette():
    image = Image.fromarray(INSIDE.astype(np.uint8), "P")
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


TWO_VALUED = {
    "black and white": of_levels(0, 255),
    "0 and 1": of_levels(0, 1),
    "1 and 2": of_levels(1, 2),
    "0 and 20": of_levels(0, 20),
    "0 and 1 in 16 bits": of_levels(0, 1, np.uint16),
    "a palette": palette(),
    "red on black": of_levels((0, 0, 0), (255, 0, 0)),
    "truths": INSIDE,
    "black on nothing": of_levels((0, 0, 0, 0), (0, 0, 0, 255)),
    "red on nothing": of_levels((9, 9, 9, 0), (255, 0, 0, 255)),
    "grey on nothing": of_levels((255, 255, 255, 0), (90, 90, 90, 255)),
}


@pytest.mark.parametrize("name", TWO_VALUED)
def test_a_mask_of_two_values_is_a_mask(name):
    assert np.array_equal(weights(TWO_VALUED[name]), INSIDE)


@pytest.mark.parametrize("name", ["mask_0_1", "mask_black_alpha", "mask_palette01"])
def test_the_masks_that_people_sent_are_what_they_meant(name, request):
    path = request.path.parent / "masks" / f"{name}.png"
    found = weights(path)
    assert set(np.unique(found)) == {0, 1}
    assert 0.2 < found.mean() < 0.4


@pytest.mark.parametrize(
    "mask",
    [
        of_levels(0, 128),
        of_levels(40, 200),
        np.linspace(0, 1, 192, dtype=np.float32).reshape(12, 16),
        # Numbers are weights, however small.
        of_levels(0, 0.1, np.float32),
        of_levels(0.0, 0.003, np.float32),
        of_levels((0, 0, 0), (200, 190, 210)),
    ],
    ids=["half", "two greys", "a ramp", "a tenth", "little", "a trace of colour"],
)
def test_a_grey_mask_stays_a_grey_mask(mask):
    picture = images.load(mask)
    assert masks.load(picture, LABEL) is picture


def test_soft_edges_of_a_shape_stay_soft():
    shape = of_levels((0, 0, 0, 0), (0, 0, 0, 255))
    shape[2, :, 3] = 128
    assert weights(shape)[2, 0] == pytest.approx(128 / 255)


def coloured():
    three = of_levels((255, 0, 0), (0, 255, 0))
    three[0, :8] = (0, 0, 255)
    return three


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (of_levels((255, 0, 0), (0, 255, 0)), r"the commonest are #ff0000, #00ff00\)"),
        (coloured(), "#ff0000, #00ff00, #0000ff"),
        (np.arange(192, dtype=np.uint8).reshape(12, 16) // 32, "a map of several labels"),
    ],
    ids=["two colours", "three colours", "numbers"],
)
def test_a_map_of_labels_is_refused_until_one_is_picked(mask, expected):
    with pytest.raises(ImageError, match=expected) as caught:
        masks.load(mask, LABEL)
    assert "pick one by its colour, as in map.png#" in str(caught.value)
    assert "white where the region is" in str(caught.value)


def test_a_label_is_picked_by_its_colour():
    assert np.array_equal(weights(of_levels((255, 0, 0), (0, 255, 0)), "#00ff00"), INSIDE)
    assert np.array_equal(weights(of_levels(7, 3), "#030303"), INSIDE)
    seen = of_levels((255, 0, 0, 255), (0, 255, 0, 255))
    seen[4, 4, 3] = 0
    assert weights(seen, "#00ff00").sum() == INSIDE.sum() - 1


def test_a_colour_that_is_not_there_is_refused():
    with pytest.raises(ImageError, match=r"the colour #123456, got none .*#ff0000.* as PNG"):
        masks.load(of_levels((255, 0, 0), (0, 255, 0)), LABEL, "#123456")


def test_a_shape_without_anything_to_see_is_black():
    for mask in (of_levels(0, 0), of_levels((255, 255, 255, 0), (255, 255, 255, 0))):
        with pytest.raises(ImageError, match="got black everywhere"):
            masks.load(mask, LABEL)


@pytest.mark.parametrize(
    ("word", "region"),
    [
        ("map.png#FF0000:s.jpg", Region("map.png", "s.jpg", None, "#ff0000")),
        ("map.png#f80:s.jpg", Region("map.png", "s.jpg", None, "#ff8800")),
        (
            "a.png#000001 : s.jpg : b.png#0000ff",
            Region("a.png", "s.jpg", "b.png", "#000001", "#0000ff"),
        ),
        ("#1.png:s.jpg", Region("#1.png", "s.jpg")),
        (r"C:\m#1#ff0000:s.jpg", Region(r"C:\m#1", "s.jpg", None, "#ff0000")),
    ],
)
def test_a_picked_colour_is_written_behind_the_file(word, region):
    assert regions.parse([word]) == (region,)


def test_what_is_no_colour_is_refused():
    style = np.zeros((12, 16, 3), np.uint8)
    with pytest.raises(SettingsError, match=r"expected a colour such as #ff0000, got 'red'"):
        regions.read([Region(coloured(), style, mask_colour="red")], 12, 16)


@pytest.mark.heavy
def test_a_picked_label_stands_in_the_recipe_and_two_of_one_map_differ(job_of, picture, paint):
    side = np.zeros((48, 40, 3), np.uint8)
    side[:, :20], side[:, 20:] = (255, 0, 0), (0, 255, 0)
    style, cache = picture(40, 44, seed=9).float(), Cache()

    def painted(colour):
        job = job_of(strength=0.5, region=[Region(side, style, mask_colour=colour)])
        return paint(job, cache=cache)[1]

    left, right = painted("#ff0000"), painted("#00ff00")
    assert not torch.equal(left.pixels, right.pixels)
    again = recipe.parse(left.recipe.text(), "it")
    assert again.inputs.regions[0].mask_colour == "#ff0000"
    same = job_of(strength=0.5, region=[Region(side, style, mask_colour="#ff0000")])
    assert api.paint(same).pixels.equal(left.pixels)
