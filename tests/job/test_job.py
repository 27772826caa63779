"""The data that passes between the rooms."""

import dataclasses
import hashlib
import io
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from impasto.config.settings import Runtime, Settings
from impasto.errors import ImageError
from impasto.job.job import Job, JobSpec, PictureReference, RegionReference
from impasto.job.result import Result, Step


@pytest.fixture
def result():
    pixels = torch.arange(4 * 5 * 3).reshape(1, 3, 4, 5) / 255
    return Result(pixels, [{"total": 1.0}], Settings(), "style", 2.0)


def test_a_job_needs_no_more_than_a_mode():
    job = Job("content", content_image="photograph.jpg")
    assert job.settings == Settings()
    assert job.runtime == Runtime()
    assert job.style_images == ()
    assert job.start_image is None


@pytest.mark.parametrize("record", [Job, Step, Result])
def test_records_are_frozen(record):
    assert record.__dataclass_params__.frozen


def test_a_job_cannot_change_under_way():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Job("style").mode = "content"


def test_a_result_saves_its_picture_and_says_where(result, tmp_path):
    path = result.save(tmp_path / "painting.png")
    assert path == tmp_path / "painting.png"
    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(result.image))


def test_a_result_refuses_an_ending_it_cannot_write(result, tmp_path):
    with pytest.raises(ImageError):
        result.save(tmp_path / "painting.docx")


def test_a_notebook_shows_a_result_as_its_picture(result):
    shown = Image.open(io.BytesIO(result._repr_png_()))
    assert shown.format == "PNG"
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(result.image))


@pytest.fixture
def spec(tmp_path):
    """A job of five files, of which two are the region's."""

    def refer(name, grey):
        path = tmp_path / name
        Image.new("RGB", (6, 5), (grey, grey, grey)).save(path)
        return PictureReference(path, hashlib.sha256(path.read_bytes()).hexdigest(), name)

    return JobSpec(
        mode="style_transfer",
        content=refer("photograph.png", 10),
        styles=(refer("one.png", 20), refer("two.png", 30)),
        regions=(RegionReference(refer("mask.png", 255), refer("other.png", 40)),),
        settings=Settings(seed=3),
    )


def test_a_spec_lists_its_pictures_in_order(spec):
    names = ["photograph.png", "one.png", "two.png", "mask.png", "other.png"]
    assert [reference.name for reference in spec.references()] == names
    begun = dataclasses.replace(spec, start=spec.styles[1], content=None)
    assert [reference.name for reference in begun.references()] == [
        *("one.png", "two.png", "two.png"),
        *names[3:],
    ]


def test_a_spec_loads_its_pictures(spec):
    job = spec.load(runtime=Runtime(threads=2))
    assert (job.mode, job.settings, job.runtime) == (spec.mode, spec.settings, Runtime(threads=2))
    (region,) = job.regions
    loaded = [job.content_image, *job.style_images, region.mask, region.style]
    assert [picture.sha256 for picture in loaded] == [
        reference.sha256 for reference in spec.references()
    ]
    assert (job.start_image, region.style_mask, job.decisions) == (None, None, None)


def test_a_spec_loads_by_whatever_reads(spec):
    job = spec.load(lambda reference: reference.name.upper())
    assert (job.content_image, job.style_images) == ("PHOTOGRAPH.PNG", ("ONE.PNG", "TWO.PNG"))


def test_another_picture_than_was_referred_to_is_refused(spec):
    Image.new("RGB", (6, 5)).save(spec.styles[0].path)
    with pytest.raises(ImageError, match=r"'one\.png': expected SHA-256 .*, got .*; find"):
        spec.load()
    anything = dataclasses.replace(spec.styles[0], sha256=None)
    assert dataclasses.replace(spec, styles=(anything,)).load().style_images


def test_a_picture_known_by_its_hash_alone_is_refused(spec):
    with pytest.raises(ImageError, match=r"expected the path of 'one\.png', got none"):
        dataclasses.replace(spec.styles[0], path=None).load()


def test_a_spec_comes_back_from_its_hashes_without_paths(spec):
    again = JobSpec.from_hashes(spec.mode, spec.hashes(), spec.settings)
    assert [(picture.name, picture.sha256, picture.path) for picture in again.references()] == [
        (picture.name, picture.sha256, None) for picture in spec.references()
    ]
    assert again.hashes() == spec.hashes()


def test_a_spec_can_be_sent_to_a_process(spec):
    assert pickle.loads(pickle.dumps(spec)) == spec
