"""Recipes: what they say, that they come back, and that a stranger's does no harm."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from impasto import images
from impasto.config.settings import Settings
from impasto.errors import ImageError
from impasto.job import recipe
from impasto.job.hashes import InputHashes, PictureHash
from impasto.job.history import LossHistory
from impasto.job.job import JobSpec, PictureReference
from impasto.job.recipe import Decisions, Recipe, Versions
from impasto.job.result import Result

MADE = Recipe(
    mode="style_transfer",
    settings=Settings(size=64, seed=7, style_weights=(1, 0.5), start="matched"),
    weights_sha256="0" * 64,
    versions=Versions(impasto="0.1.0", torch="2.13.0", python="3.12.0"),
    decisions=Decisions(precision="bf16", device="cpu", threads=2),
    inputs=InputHashes(
        content=PictureHash(name="Öl\n.png", sha256="1" * 64),
        styles=(
            PictureHash(name="a.png", sha256="2" * 64),
            PictureHash(name="b.png", sha256="3" * 64),
        ),
    ),
)
PLAIN = json.loads(MADE.text())


def result(made=MADE):
    pixels = torch.linspace(0, 1, 3 * 8 * 8).reshape(1, 3, 8, 8)
    return Result(
        pixels, LossHistory(), Settings(), "style", 1.0, metadata={"Software": "s"}, recipe=made
    )


def changed(**fields):
    return json.dumps(PLAIN | fields)


def nested(part, **fields):
    return changed(**{part: PLAIN[part] | fields})


def test_a_recipe_is_ascii_json_and_comes_back():
    text = MADE.text()
    assert text.isascii()
    assert "\n" not in text
    assert recipe.parse(text, "it") == MADE
    assert recipe.parse(MADE.text(indent=2), "it") == MADE


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "avif"])
def test_every_format_carries_the_recipe(tmp_path, ending):
    path = result().save(tmp_path / f"out.{ending}")
    assert recipe.read(path) == MADE
    assert images.read_metadata(path)["Software"] == "s"


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_pictures_of_16_bits_carry_the_recipe(tmp_path, ending):
    assert recipe.read(result().save(tmp_path / f"out.{ending}", bits=16)) == MADE


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "webp", "avif"])
def test_the_recipe_can_be_left_out(tmp_path, ending):
    path = result().save(tmp_path / f"out.{ending}", recipe=False)
    assert images.read_metadata(path) == {"Software": "s"}
    assert b"sha256" not in path.read_bytes()
    with pytest.raises(ImageError, match="has no recipe"):
        recipe.read(path)


def test_a_jpeg_leaves_out_what_is_longer_than_its_segments(tmp_path):
    many = MADE.inputs.styles * 400
    made = MADE.model_copy(update={"inputs": InputHashes(styles=many)})
    path = result(made).save(tmp_path / "out.jpg")
    assert images.load(path).width_px == 8
    assert "Recipe" not in images.read_metadata(path)
    assert recipe.read(result(made).save(tmp_path / "out.png")).inputs.styles == many


def test_inputs_are_named_without_their_folder(tmp_path):
    path = tmp_path / "private.png"
    Image.new("RGB", (4, 4)).save(path)
    picture = images.load(path)
    odd = dataclasses.replace(picture, file_name="caf\udce9" + "x" * 300)
    array = images.load(np.zeros((4, 4, 3)))
    refer = PictureReference.to
    named = JobSpec("style", refer(picture), (refer(odd), refer(array))).hashes()
    assert named.content == PictureHash(name="private.png", sha256=picture.sha256)
    assert [style.name[:9] for style in named.styles] == ["caf\\udce9", "image"]
    assert named.start is None
    text = MADE.model_copy(update={"inputs": named}).text()
    assert str(tmp_path) not in text
    assert recipe.parse(text, "it").inputs == named


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot be read"),
        ("2 eggs, 100 g of flour", "cannot be read"),
        ("null", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "mode: Field required"),
        (MADE.text()[:-5], "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ('{"a":' * 40_000, "cannot be read"),
        (" " * 300_000, "300000 characters"),
        (changed(format=2), "of format 2"),
        (changed(format="1"), "format: "),
        (changed(mode="oil"), "mode: "),
        (changed(extra=1), "extra: "),
        (changed(**{"\x1b[31mred\n": 1}), r"\?\[31mred"),
        (changed(inputs={"styles": 3}), r"inputs\.styles: "),
        (changed(weights_sha256="abc"), "weights_sha256: "),
        (changed(weights_sha256=5), "weights_sha256: "),
        (nested("settings", alpha=float("nan")), r"settings\.alpha: "),
        (nested("settings", beta=float("inf")), r"settings\.beta: "),
        (MADE.text().replace('"alpha":null', '"alpha":1e999', 1), r"settings\.alpha: "),
        (MADE.text().replace('"seed":7', f'"seed":{"9" * 5000}'), r"settings\.seed: |cannot be"),
        (nested("settings", size=10**9), r"settings\.size: "),
        (nested("settings", size=[1]), r"settings\.size: "),
        (nested("settings", unknown=1), r"settings\.unknown: "),
        (nested("settings", style_layers={"relu9_9": 1}), "relu9_9"),
        (nested("settings", start="/etc/passwd"), "expected start to be one of"),
        (nested("decisions", threads="2"), r"decisions\.threads: "),
        (nested("decisions", threads=10**6), r"decisions\.threads: "),
        (nested("decisions", precision="int4"), r"decisions\.precision: "),
        (nested("decisions", device="cpu; rm -rf /"), r"decisions\.device: "),
        (nested("versions", torch="v" * 1000), r"versions\.torch: "),
        (MADE.text().replace("a.png", "\\udc00"), "cannot be read"),
    ],
)
def test_what_is_no_recipe_is_refused_in_one_line(text, words):
    with pytest.raises(ImageError, match=words) as caught:
        recipe.parse(text, "'out.png'")
    message = str(caught.value)
    assert message.startswith("'out.png' has a recipe")
    assert message.isprintable()
    assert len(message) < 500


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 200, '{"Recipe": "' + "x" * 2**21 + '"}'])
def test_a_hostile_description_is_no_recipe(tmp_path, text):
    path = tmp_path / "out.tif"
    Image.new("RGB", (4, 4)).save(path, tiffinfo={270: text})
    with pytest.raises(ImageError, match="has no recipe"):
        recipe.read(path)


def test_a_recipe_of_anothers_is_refused_in_one_line(tmp_path):
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("Recipe", "2 eggs")
    Image.new("RGB", (4, 4)).save(tmp_path / "cake.png", pnginfo=texts)
    with pytest.raises(ImageError, match=r"cake\.png' has a recipe that cannot be read"):
        recipe.read(tmp_path / "cake.png")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
PLACES = [(name,) for name in PLAIN] + [
    (part, name) for part, fields in PLAIN.items() if isinstance(fields, dict) for name in fields
]


def parse_or_refuse(text):
    refusal = ""
    try:
        made = recipe.parse(text, "it")
    except ImageError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert len(refusal) < 500
    assert refusal or recipe.parse(made.text(), "it") == made


@given(st.text())
def test_no_text_makes_the_parser_fail_otherwise(text):
    parse_or_refuse(text)


@given(place=st.sampled_from(PLACES), value=JSON)
def test_no_value_makes_the_parser_fail_otherwise(place, value):
    first, *second = place
    parse_or_refuse(nested(first, **{second[0]: value}) if second else changed(**{first: value}))


@given(st.integers(0, len(MADE.text()) - 1), st.characters(), st.integers(0, 12))
def test_no_damage_makes_the_parser_fail_otherwise(place, letter, width):
    text = MADE.text()
    parse_or_refuse(text[:place] + letter + text[place + width :])


def test_a_recipe_without_a_palette_painted_as_palette_0_does():
    settings = {name: value for name, value in PLAIN["settings"].items() if name != "palette"}
    assert recipe.parse(changed(settings=settings), "it").settings.palette == 0
    assert recipe.parse(nested("settings", palette=0.5), "it").settings.palette == 0.5
    keeping = settings | {"colour": "keep"}
    assert recipe.parse(changed(settings=keeping), "it").settings.colour == "keep"
