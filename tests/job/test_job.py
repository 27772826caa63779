"""The data that passes between the rooms."""

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

from impasto.config.settings import Runtime, Settings
from impasto.errors import ImageError
from impasto.job.job import Job
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
